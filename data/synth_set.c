/* Synthetic sets: which clips there are, what each of their cues shows, and the lists beside them. */
#include "data/data.h"
#include "data/files.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define CLIPS "clips"

enum { POSITIVE, NEUTRAL, NEGATIVE };

/* Streams of random numbers; the names say what for. */
#define ORDER "synthetic set: order of the classes in a source"
#define SCENE "synthetic set: seed of a source"
#define SPLIT "synthetic set: split of a source"
#define RIGHT "synthetic set: whether a cue shows the class"
#define WRONG "synthetic set: which class it shows else"

data_synth_set data_synth_set_defaults(int clips, uint64_t seed)
{
    data_synth_set set = {.seed = seed,
                          .clips = clips,
                          .right = {0.60, 0.60, 0.60, 0.70},
                          .opposite = {0.2, 0.2, 0.2, 0.8},
                          .clip = data_synth_defaults(0, seed)};
    set.clip.fps = 4;
    set.clip.width = 160;
    set.clip.height = 120;
    return set;
}

tn_status data_synth_set_check(tn_ctx *ctx, const data_synth_set *set)
{
    if (set->clips < 3 || set->clips > DATA_SYNTH_MAX_SET)
        return tn_fail(ctx, TN_RANGE, "synthetic set: %d clips of each class, expected 3 to %d", set->clips,
                       DATA_SYNTH_MAX_SET);
    for (int i = 0; i < DATA_SYNTH_CUES; i++) {
        if (!(set->right[i] >= 0 && set->right[i] <= 1))
            return tn_fail(ctx, TN_RANGE,
                           "synthetic set: cue %d is right with probability %g, expected 0 to 1", i,
                           set->right[i]);
        if (!(set->opposite[i] >= 0 && set->opposite[i] <= 1))
            return tn_fail(ctx, TN_RANGE,
                           "synthetic set: cue %d, wrong, shows the opposite with probability %g, expected "
                           "0 to 1",
                           i, set->opposite[i]);
    }
    return data_synth_check(ctx, &set->clip);
}

/* ---- plan ------------------------------------------------------------------------------------------ */

/* A source and what orders it among the others. */
typedef struct ranked {
    float key;  /* random */
    int source; /* from 0 */
} ranked;

static int compare_ranks(const void *a, const void *b)
{
    const ranked *p = a, *q = b;
    if (p->key < q->key || p->key > q->key)
        return p->key < q->key ? -1 : 1;
    return (p->source > q->source) - (p->source < q->source);
}

/* One of the six orders of three classes: order[k] is the class of the k-th clip. */
static void order_classes(const data_synth_set *set, int source, int order[DATA_SYNTH_CLASSES])
{
    for (int i = 0; i < DATA_SYNTH_CLASSES; i++)
        order[i] = i;
    for (int i = DATA_SYNTH_CLASSES - 1; i > 0; i--) {
        float u = tn_uniform(set->seed, tn_hash(ORDER), (uint64_t)source * 4 + (uint64_t)i);
        int k = (int)(u * (float)(i + 1)), kept = order[i];
        order[i] = order[k];
        order[k] = kept;
    }
}

static uint64_t seed_of(const data_synth_set *set, int source)
{
    const uint64_t stream = tn_hash(SCENE);
    const uint32_t counter[4] = {(uint32_t)source, 0, (uint32_t)stream, (uint32_t)(stream >> 32)};
    uint32_t word[4];
    tn_philox(set->seed, counter, word);
    return (uint64_t)word[1] << 32 | word[0];
}

/* Which class a cue shows that does not show `label`; u is uniform in [0, 1). */
static int wrong_class(const data_synth_set *set, int cue, int label, double u)
{
    if (label == NEUTRAL)
        return u < 0.5 ? POSITIVE : NEGATIVE;
    if (u >= set->opposite[cue])
        return NEUTRAL;
    return label == POSITIVE ? NEGATIVE : POSITIVE;
}

static void plan_clip(const data_synth_set *set, int source, int number, int label, data_synth_entry *e)
{
    snprintf(e->source, sizeof e->source, "%d", source + 1);
    snprintf(e->name, sizeof e->name, "%d_%d", source + 1, number + 1);
    e->label = label;
    e->clip = set->clip;
    e->clip.seed = seed_of(set, source);
    e->clip.start = set->clip.start + number * set->clip.seconds;
    for (int cue = 0; cue < DATA_SYNTH_CUES; cue++) {
        const uint64_t at =
            ((uint64_t)source * DATA_SYNTH_CLASSES + (uint64_t)number) * DATA_SYNTH_CUES + (uint64_t)cue;
        const bool right = (double)tn_uniform(set->seed, tn_hash(RIGHT), at) < set->right[cue];
        const double other = (double)tn_uniform(set->seed, tn_hash(WRONG), at);
        e->clip.cue[cue] = right ? label : wrong_class(set, cue, label, other);
    }
}

tn_status data_synth_set_plan(tn_ctx *ctx, const data_synth_set *set, data_synth_entry *entry)
{
    const int fifth = (set->clips + 2) / 5 > 0 ? (set->clips + 2) / 5 : 1, train = set->clips - 2 * fifth;
    ranked *rank = tn_alloc(ctx, (size_t)set->clips, sizeof *rank);
    if (!rank)
        return TN_NOMEM;
    for (int i = 0; i < set->clips; i++)
        rank[i] = (ranked){tn_uniform(set->seed, tn_hash(SPLIT), (uint64_t)i), i};
    qsort(rank, (size_t)set->clips, sizeof *rank, compare_ranks);
    for (int i = 0; i < set->clips; i++) {
        int order[DATA_SYNTH_CLASSES];
        order_classes(set, rank[i].source, order);
        for (int k = 0; k < DATA_SYNTH_CLASSES; k++) {
            data_synth_entry *e = &entry[(size_t)rank[i].source * DATA_SYNTH_CLASSES + (size_t)k];
            plan_clip(set, rank[i].source, k, order[k], e);
            e->split = i < train ? "train" : i < train + fifth ? "val" : "test";
        }
    }
    tn_free(ctx, rank);
    return TN_OK;
}

/* ---- files ----------------------------------------------------------------------------------------- */

tn_status data_synth_set_begin(tn_ctx *ctx, const char *dir, char **temporary)
{
    *temporary = NULL;
    TN_TRY(data_check_place(ctx, dir));
    char *path = data_without_slash(ctx, dir), *clips = NULL;
    tn_status status = path ? data_make_folder(ctx, path, temporary) : TN_NOMEM;
    if (status == TN_OK && !(clips = data_join(ctx, *temporary, CLIPS)))
        status = TN_NOMEM;
    if (status == TN_OK && mkdir(clips, 0777) != 0)
        status = tn_fail(ctx, TN_IO, "%s: cannot be made: %s", clips, strerror(errno));
    if (status != TN_OK && *temporary) {
        data_remove_folder(*temporary);
        tn_free(ctx, *temporary);
        *temporary = NULL;
    }
    tn_free(ctx, clips);
    tn_free(ctx, path);
    return status;
}

char *data_synth_set_path(tn_ctx *ctx, const char *temporary, const data_synth_entry *entry)
{
    char name[64];
    snprintf(name, sizeof name, CLIPS "/%s", entry->name);
    return data_join(ctx, temporary, name);
}

void data_synth_set_abandon(const char *temporary)
{
    data_remove_folder(temporary);
}

static size_t count_of(const data_synth_set *set)
{
    return (size_t)set->clips * DATA_SYNTH_CLASSES;
}

/* Fills in an item; its name, split and source stay the entry's. */
static tn_status fill_item(tn_ctx *ctx, const data_synth_entry *e, const char *temporary, data_item *item)
{
    *item = (data_item){.name = (char *)(uintptr_t)e->name,
                        .label = e->label,
                        .split = (char *)(uintptr_t)e->split,
                        .source = (char *)(uintptr_t)e->source,
                        .faces = -1};
    char *dir = data_synth_set_path(ctx, temporary, e);
    item->frames = dir ? data_join(ctx, dir, "frames") : NULL;
    item->audio = item->frames ? data_join(ctx, dir, "audio.wav") : NULL;
    tn_free(ctx, dir);
    return item->audio ? TN_OK : TN_NOMEM;
}

static tn_status write_list(tn_ctx *ctx, const data_synth_set *set, const data_synth_entry *entry,
                            const char *temporary)
{
    char *names[DATA_SYNTH_CLASSES], *path = data_join(ctx, temporary, "manifest.csv");
    for (int i = 0; i < DATA_SYNTH_CLASSES; i++)
        names[i] = (char *)(uintptr_t)data_synth_class(i);
    data_manifest list = {.path = path, .class_name = names, .classes = DATA_SYNTH_CLASSES};
    list.item = tn_zalloc(ctx, count_of(set), sizeof *list.item);
    tn_status status = path && list.item ? TN_OK : TN_NOMEM;
    for (size_t i = 0; status == TN_OK && i < count_of(set); i++)
        status = fill_item(ctx, &entry[i], temporary, &list.item[list.count++]);
    if (status == TN_OK)
        status = data_manifest_write(ctx, path, &list);
    for (size_t i = 0; i < list.count; i++) {
        tn_free(ctx, list.item[i].frames);
        tn_free(ctx, list.item[i].audio);
    }
    tn_free(ctx, list.item);
    tn_free(ctx, path);
    return status;
}

static tn_status write_cues(tn_ctx *ctx, const data_synth_set *set, const data_synth_entry *entry,
                            const char *temporary)
{
    enum { LINE = 128 };
    const size_t room = (count_of(set) + 1) * LINE;
    char *text = tn_alloc(ctx, room, 1), *path = data_join(ctx, temporary, "cues.csv");
    tn_status status = text && path ? TN_OK : TN_NOMEM;
    if (status == TN_OK) {
        size_t used = (size_t)snprintf(text, room, "name,label,colour,motion,posture,sound\n");
        for (size_t i = 0; i < count_of(set); i++) {
            const int *cue = entry[i].clip.cue;
            used += (size_t)snprintf(
                text + used, room - used, "%s,%s,%s,%s,%s,%s\n", entry[i].name,
                data_synth_class(entry[i].label), data_synth_class(cue[DATA_SYNTH_COLOUR]),
                data_synth_class(cue[DATA_SYNTH_MOTION]), data_synth_class(cue[DATA_SYNTH_POSTURE]),
                data_synth_class(cue[DATA_SYNTH_SOUND]));
        }
        status = data_write_file(ctx, path, text, used);
    }
    tn_free(ctx, text);
    tn_free(ctx, path);
    return status;
}

tn_status data_synth_set_finish(tn_ctx *ctx, const data_synth_set *set, const data_synth_entry *entry,
                                const char *temporary, const char *dir)
{
    TN_TRY(write_list(ctx, set, entry, temporary));
    TN_TRY(write_cues(ctx, set, entry, temporary));
    char *path = data_without_slash(ctx, dir);
    tn_status status = path ? data_rename_folder(ctx, temporary, path) : TN_NOMEM;
    tn_free(ctx, path);
    return status;
}
