/* Lists of labelled clips: reading whichever kind, what must hold of both, counting, hashing. */
#include "data/files.h"
#include "data/labels.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- reading --------------------------------------------------------------------------------------- */

void data_manifest_free(tn_ctx *ctx, data_manifest *m)
{
    for (size_t i = 0; i < m->count; i++) {
        tn_free(ctx, m->item[i].name);
        tn_free(ctx, m->item[i].frames);
        tn_free(ctx, m->item[i].video);
        tn_free(ctx, m->item[i].audio);
        tn_free(ctx, m->item[i].split);
        tn_free(ctx, m->item[i].source);
    }
    for (int i = 0; i < m->classes; i++)
        tn_free(ctx, m->class_name[i]);
    tn_free(ctx, m->item);
    tn_free(ctx, m->class_name);
    tn_free(ctx, m->path);
    *m = (data_manifest){0};
}

/* Whether every class has a clip among those of `split` (NULL: all). */
static tn_status check_classes(tn_ctx *ctx, const data_manifest *m, const char *split)
{
    bool *seen = tn_zalloc(ctx, (size_t)m->classes, sizeof *seen);
    if (!seen)
        return TN_NOMEM;
    for (size_t i = 0; i < m->count; i++)
        if (m->item[i].label >= 0 && (!split || strcmp(m->item[i].split, split) == 0))
            seen[m->item[i].label] = true;
    tn_status status = TN_OK;
    for (int c = 0; status == TN_OK && c < m->classes; c++)
        if (!seen[c])
            status = tn_fail(ctx, split ? TN_RANGE : TN_FORMAT, "%s: no clip of the class %s%s%s", m->path,
                             m->class_name[c], split ? " in the split " : "", split ? split : "");
    tn_free(ctx, seen);
    return status;
}

static tn_status read_list(tn_ctx *ctx, const char *path, const data_names *classes, data_builder *b)
{
    struct stat info;
    if (stat(path, &info) != 0)
        return tn_fail(ctx, TN_IO, "%s: %s", path, strerror(errno));
    for (size_t i = 0; classes && i < classes->count; i++) {
        if (data_builder_find_class(b, classes->path[i]) >= 0)
            return tn_fail(ctx, TN_RANGE, "the class %s is given twice", classes->path[i]);
        TN_TRY(data_builder_add_class(ctx, b, classes->path[i]));
    }
    if (S_ISDIR(info.st_mode))
        TN_TRY(data_labels_read_vgaf(ctx, path, classes, b));
    else
        TN_TRY(data_labels_read_csv(ctx, path, classes, b));
    if (b->list.classes == 0)
        return tn_fail(ctx, TN_FORMAT, "%s: no clip has a label", path);
    data_summary summary;
    TN_TRY(data_manifest_summary(ctx, &b->list, &summary));
    data_summary_free(ctx, &summary);
    return check_classes(ctx, &b->list, NULL);
}

tn_status data_manifest_read(tn_ctx *ctx, const char *path, const data_names *classes, data_manifest *out)
{
    data_builder b = {.list.path = tn_strdup(ctx, path)};
    *out = (data_manifest){0};
    tn_status status = b.list.path ? read_list(ctx, path, classes, &b) : TN_NOMEM;
    if (status == TN_OK)
        *out = b.list;
    else
        data_manifest_free(ctx, &b.list);
    return status;
}

/* ---- selecting ------------------------------------------------------------------------------------- */

/* Fails, telling which splits there are. */
static tn_status no_such_split(tn_ctx *ctx, const data_manifest *m, const char *split)
{
    char text[512];
    size_t used = 0;
    data_summary s;
    TN_TRY(data_manifest_summary(ctx, m, &s));
    text[0] = '\0';
    for (size_t i = 0; i < s.splits && used < sizeof text; i++)
        used += (size_t)snprintf(text + used, sizeof text - used, "%s%s (%zu)", i ? ", " : "",
                                 s.split[i].name, s.split[i].clips);
    data_summary_free(ctx, &s);
    return tn_fail(ctx, TN_RANGE, "%s: no clips in the split %s, there are: %s", m->path, split, text);
}

tn_status data_manifest_select(tn_ctx *ctx, const data_manifest *m, const char *split, data_selection *out)
{
    *out = (data_selection){.index = tn_alloc(ctx, m->count, sizeof *out->index)};
    if (!out->index)
        return TN_NOMEM;
    for (size_t i = 0; i < m->count; i++)
        if (!split || strcmp(m->item[i].split, split) == 0)
            out->index[out->count++] = i;
    if (out->count > 0)
        return TN_OK;
    tn_free(ctx, out->index);
    *out = (data_selection){0};
    return no_such_split(ctx, m, split);
}

tn_status data_manifest_select_labelled(tn_ctx *ctx, const data_manifest *m, const char *split,
                                        data_selection *out)
{
    TN_TRY(data_manifest_select(ctx, m, split, out));
    tn_status status = TN_OK;
    for (size_t i = 0; status == TN_OK && i < out->count; i++)
        if (m->item[out->index[i]].label < 0)
            status = tn_fail(ctx, TN_RANGE, "%s: clip %s of the split %s has no label", m->path,
                             m->item[out->index[i]].name, m->item[out->index[i]].split);
    if (status == TN_OK)
        status = check_classes(ctx, m, split);
    if (status != TN_OK) {
        tn_free(ctx, out->index);
        *out = (data_selection){0};
    }
    return status;
}

/* ---- counting -------------------------------------------------------------------------------------- */

void data_summary_free(tn_ctx *ctx, data_summary *s)
{
    for (size_t i = 0; i < s->splits; i++)
        tn_free(ctx, s->split[i].clips_of_class);
    tn_free(ctx, s->split);
    *s = (data_summary){0};
}

static tn_status find_split(tn_ctx *ctx, const data_manifest *m, const char *name, data_summary *s,
                            size_t *room, size_t *found)
{
    for (*found = 0; *found < s->splits; ++*found)
        if (strcmp(s->split[*found].name, name) == 0)
            return TN_OK;
    if (s->splits == DATA_MANIFEST_MAX_SPLITS)
        return tn_fail(ctx, TN_RANGE, "%s: more than %d splits", m->path, DATA_MANIFEST_MAX_SPLITS);
    TN_TRY(tn_grow(ctx, &s->split, room, s->splits + 1, sizeof *s->split));
    size_t *counts = tn_zalloc(ctx, (size_t)m->classes + 1, sizeof *counts);
    if (!counts)
        return TN_NOMEM;
    s->split[s->splits++] = (data_split_summary){.name = name, .clips_of_class = counts};
    return TN_OK;
}

/* A clip's source and the number of its split. */
typedef struct origin {
    const char *source; /* the name */
    size_t split;       /* in the summary */
} origin;

static int compare_origins(const void *a, const void *b)
{
    const origin *p = a, *q = b;
    int order = strcmp(p->source, q->source);
    return order ? order : (p->split > q->split) - (p->split < q->split);
}

static void count_sources(origin *list, size_t count, data_summary *s)
{
    qsort(list, count, sizeof *list, compare_origins);
    for (size_t i = 0; i < count; i++) {
        if (i > 0 && compare_origins(&list[i], &list[i - 1]) == 0)
            continue;
        s->split[list[i].split].sources++;
        if (i > 0 && strcmp(list[i].source, list[i - 1].source) == 0)
            s->split[list[i].split].shared_sources++;
    }
}

static tn_status count_all(tn_ctx *ctx, const data_manifest *m, data_summary *s)
{
    size_t room = 0, at;
    origin *list = tn_alloc(ctx, m->count, sizeof *list);
    tn_status status = list ? TN_OK : TN_NOMEM;
    for (size_t i = 0; status == TN_OK && i < m->count; i++) {
        const data_item *item = &m->item[i];
        status = find_split(ctx, m, item->split, s, &room, &at);
        if (status != TN_OK)
            break;
        data_split_summary *split = &s->split[at];
        list[i] = (origin){item->source, at};
        split->clips++;
        split->clips_of_class[item->label >= 0 ? item->label : m->classes]++;
        split->no_frames += !item->frames && !item->video;
        split->no_audio += !item->audio && !item->video;
        split->faces_known += item->faces >= 0;
    }
    if (status == TN_OK)
        count_sources(list, m->count, s);
    tn_free(ctx, list);
    return status;
}

tn_status data_manifest_summary(tn_ctx *ctx, const data_manifest *m, data_summary *out)
{
    *out = (data_summary){0};
    tn_status status = count_all(ctx, m, out);
    if (status != TN_OK)
        data_summary_free(ctx, out);
    return status;
}

/* ---- hashing --------------------------------------------------------------------------------------- */

uint64_t data_hash_bytes(uint64_t h, const void *bytes, size_t count)
{
    const unsigned char *p = bytes;
    for (size_t i = 0; i < count; i++)
        h = (h ^ p[i]) * 0x100000001b3u;
    return h;
}

/* With its NUL, so that "ab", "c" and "a", "bc" differ. */
static uint64_t hash_text(uint64_t h, const char *text)
{
    return data_hash_bytes(h, text, strlen(text) + 1);
}

uint64_t data_manifest_hash(const data_manifest *m)
{
    uint64_t h = DATA_HASH_BEGIN;
    char line[64];
    for (int c = 0; c < m->classes; c++)
        h = hash_text(h, m->class_name[c]);
    for (size_t i = 0; i < m->count; i++) {
        const data_item *item = &m->item[i];
        h = hash_text(hash_text(hash_text(h, item->name), item->split), item->source);
        snprintf(line, sizeof line, "%d %d %d %d %d", item->label, item->faces, item->frames != NULL,
                 item->video != NULL, item->audio != NULL);
        h = hash_text(h, line);
    }
    return h;
}

tn_status data_hash_file(tn_ctx *ctx, const char *path, uint64_t *h)
{
    enum { PART = 1 << 16 };
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat info;
    if (fd < 0)
        return tn_fail(ctx, TN_IO, "%s: %s", path, strerror(errno));
    /* A device may have no end. */
    if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) {
        close(fd);
        return tn_fail(ctx, TN_IO, "%s: not a regular file", path);
    }
    unsigned char *part = tn_alloc(ctx, PART, 1);
    tn_status status = part ? TN_OK : TN_NOMEM;
    uint64_t total = 0;
    while (status == TN_OK) {
        ssize_t got = read(fd, part, PART);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            status = tn_fail(ctx, TN_IO, "%s: reading failed: %s", path, strerror(errno));
        if (got <= 0)
            break;
        *h = data_hash_bytes(*h, part, (size_t)got);
        total += (uint64_t)got;
    }
    /* In the same order on every machine. */
    for (int i = 0; i < 8; i++)
        *h = data_hash_bytes(*h, &(unsigned char){(unsigned char)(total >> (8 * i))}, 1);
    tn_free(ctx, part);
    close(fd);
    return status;
}

tn_status data_hash_folder(tn_ctx *ctx, const char *dir, uint64_t *h, size_t *pictures)
{
    data_names names;
    TN_TRY(data_frames_list(ctx, dir, &names));
    tn_status status = TN_OK;
    for (size_t i = 0; status == TN_OK && i < names.count; i++)
        status = data_hash_file(ctx, names.path[i], h);
    *pictures = names.count;
    data_names_free(ctx, &names);
    return status;
}

tn_status data_manifest_hash_files(tn_ctx *ctx, const data_manifest *m, uint64_t *out)
{
    uint64_t h = data_manifest_hash(m);
    size_t pictures;
    *out = 0;
    for (size_t i = 0; i < m->count; i++) {
        const data_item *item = &m->item[i];
        if (item->frames)
            TN_TRY(data_hash_folder(ctx, item->frames, &h, &pictures));
        if (item->video)
            TN_TRY(data_hash_file(ctx, item->video, &h));
        if (item->audio)
            TN_TRY(data_hash_file(ctx, item->audio, &h));
    }
    *out = h;
    return TN_OK;
}
