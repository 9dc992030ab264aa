#include "apps/common/video_clips.h"

#include "apps/common/batch.h"
#include "apps/common/predict.h"
#include "apps/common/prefetch.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

const data_item *video_part_item(const video_part *part, size_t clip)
{
    return &part->manifest->item[part->index[clip]];
}

/* ---- hashes ---------------------------------------------------------------------------------------- */

tn_status video_hash_file(tn_ctx *ctx, const char *path, uint64_t *hash)
{
    unsigned char bytes[1 << 14];
    FILE *file = fopen(path, "rb");
    if (!file)
        return tn_fail(ctx, TN_IO, "%s: cannot be read: %s", path, strerror(errno));
    size_t n;
    while ((n = fread(bytes, 1, sizeof bytes, file)) > 0)
        *hash = nn_hash(*hash, bytes, n);
    const bool failed = ferror(file) != 0;
    fclose(file);
    return failed ? tn_fail(ctx, TN_IO, "%s: cannot be read: %s", path, strerror(errno)) : TN_OK;
}

/* Of a folder only the pictures that are taken count. */
static tn_status hash_clip(tn_ctx *ctx, const data_item *item, const data_video_options *take, uint64_t salt,
                           uint64_t *out)
{
    const int sizes[3] = {take->frames, take->height, take->width};
    const double times[2] = {take->seconds, take->fps};
    *out = nn_hash(nn_hash(nn_hash(NN_HASH_BEGIN, &salt, sizeof salt), sizes, sizeof sizes), times,
                   sizeof times);
    if (!item->frames)
        return video_hash_file(ctx, item->video, out);
    data_names names;
    TN_TRY(data_frames_list(ctx, item->frames, &names));
    tn_status status = TN_OK;
    for (int i = 0; status == TN_OK && i < take->frames; i++)
        status = video_hash_file(ctx, names.path[data_frame_pick(names.count, take->frames, i)], out);
    data_names_free(ctx, &names);
    return status;
}

/* ---- parts ----------------------------------------------------------------------------------------- */

tn_status video_part_open(tn_ctx *ctx, const data_manifest *manifest, const size_t *index, size_t clips,
                          const data_video_options *take, uint64_t salt, video_part *p)
{
    *p = (video_part){.manifest = manifest, .index = index, .clips = clips};
    p->key = tn_zalloc(ctx, clips, sizeof *p->key);
    if (!p->key)
        return TN_NOMEM;
    for (size_t i = 0; i < clips && !train_interrupted(); i++)
        TN_TRY(hash_clip(ctx, video_part_item(p, i), take, salt, &p->key[i]));
    return TN_OK;
}

void video_part_free(tn_ctx *ctx, video_part *p)
{
    tn_free(ctx, p->features);
    tn_free(ctx, p->key);
    *p = (video_part){0};
}

/* ---- frames ---------------------------------------------------------------------------------------- */

static clip_source source_of(const data_item *item)
{
    return (clip_source){.name = item->name, .frames = item->frames, .video = item->video};
}

size_t video_clip_bytes(const data_video_options *take)
{
    return (size_t)take->frames * (size_t)take->height * (size_t)take->width * 3;
}

tn_status video_read_clip(tn_ctx *ctx, const data_item *item, const data_video_options *take,
                          unsigned char *rgb)
{
    const clip_source source = source_of(item);
    data_clip clip;
    TN_TRY(clip_read_frames(ctx, &source, take, &clip));
    memcpy(rgb, clip.rgb, video_clip_bytes(take));
    data_clip_free(ctx, &clip);
    return TN_OK;
}

/* How reading a clip went. */
typedef struct outcome {
    tn_status status;  /* TN_OK: it is there */
    char message[512]; /* why not */
} outcome;

typedef struct reading {
    const video_part *part;         /* whose clips */
    const size_t *clip;             /* which of them */
    const data_video_options *take; /* what of each */
    unsigned char *const *rgb;      /* where to */
    outcome *outcome;               /* of each */
} reading;

static void read_task(tn_ctx *ctx, void *arg, size_t task)
{
    const reading *r = arg;
    outcome *o = &r->outcome[task];
    o->status = video_read_clip(ctx, video_part_item(r->part, r->clip[task]), r->take, r->rgb[task]);
    if (o->status != TN_OK) {
        snprintf(o->message, sizeof o->message, "%s", tn_error(ctx));
        tn_clear_error(ctx); /* the context goes on with other clips */
    }
}

tn_status video_read_clips(tn_ctx *ctx, const video_part *part, const size_t *clip, size_t count,
                           const data_video_options *take, unsigned char *const *rgb)
{
    reading r = {part, clip, take, rgb, tn_zalloc(ctx, count, sizeof(outcome))};
    if (!r.outcome)
        return TN_NOMEM;
    tn_status status = batch_run(ctx, count, read_task, &r);
    for (size_t i = 0; status == TN_OK && i < count && !train_interrupted(); i++)
        if (r.outcome[i].status != TN_OK)
            status = tn_fail(ctx, r.outcome[i].status, "%s", r.outcome[i].message);
    tn_free(ctx, r.outcome);
    return status;
}

/* ---- features -------------------------------------------------------------------------------------- */

typedef struct extraction {
    tn_ctx *ctx;                    /* for memory and messages */
    const video_part *part;         /* whose clips */
    nn_model *model;                /* frozen network */
    const data_video_options *take; /* of each clip */
    nn_cache *cache;                /* where features go */
    size_t *missing;                /* clips that are not there */
    size_t count;                   /* of them */
} extraction;

static tn_status read_missing(tn_ctx *ctx, const void *arg, size_t i, void *out)
{
    const extraction *e = arg;
    const clip_source source = source_of(video_part_item(e->part, e->missing[i]));
    return clip_read_frames(ctx, &source, e->take, out);
}

static void drop_clip(tn_ctx *ctx, void *clip)
{
    data_clip_free(ctx, clip);
}

static tn_status compute(const extraction *e, uint64_t key, const data_clip *clip)
{
    nn_result result;
    TN_TRY(clip_run_video(e->ctx, e->model, clip, &result));
    const int64_t width = result.features.size[1];
    float *row = tn_alloc(e->ctx, (size_t)width, sizeof *row);
    if (!row)
        return TN_NOMEM;
    const tn_tensor copy = tn_view(row, 2, result.features.size);
    tn_copy(&copy, &result.features);
    const tn_status status = nn_cache_add(e->cache, key, row);
    tn_free(e->ctx, row);
    return status;
}

/* Clip by clip, while the next ones are read: a batch of them takes as long a clip (docs/03-performance.md),
 * and would make their last bits depend on which clips are missing. */
static tn_status compute_missing(const extraction *e, prefetch *ahead, const report_bar *bar,
                                 size_t *computed, bool *stopped)
{
    for (size_t i = 0; i < e->count; i++) {
        void *clip;
        const tn_status status = prefetch_next(ahead, &clip);
        *stopped = train_interrupted();
        if (*stopped) {
            tn_clear_error(e->ctx); /* the signal may have ended a decoder */
            return TN_OK;
        }
        TN_TRY(status);
        TN_TRY(compute(e, e->part->key[e->missing[i]], clip));
        ++*computed;
        report_bar_show(bar, i + 1, "video features");
    }
    return TN_OK;
}

static tn_status extract(extraction *e, bool quiet, size_t *computed, bool *stopped)
{
    e->missing = tn_alloc(e->ctx, e->part->clips, sizeof *e->missing);
    if (!e->missing)
        return TN_NOMEM;
    for (size_t i = 0; i < e->part->clips; i++)
        if (!nn_cache_has(e->cache, e->part->key[i]))
            e->missing[e->count++] = i;
    if (e->count == 0)
        return TN_OK;
    const prefetch_job job = {
        .count = e->count, .bytes = sizeof(data_clip), .read = read_missing, .drop = drop_clip, .arg = e};
    prefetch *ahead;
    TN_TRY(prefetch_open(e->ctx, &job, &ahead));
    const report_bar bar = report_bar_begin(e->count, quiet);
    const tn_status status = compute_missing(e, ahead, &bar, computed, stopped);
    report_bar_clear(&bar);
    prefetch_close(ahead);
    return status;
}

tn_status video_part_features(tn_ctx *ctx, video_part *part, nn_model *model, const data_video_options *take,
                              nn_cache *cache, bool quiet, size_t *computed, bool *stopped)
{
    const size_t width = (size_t)nn_video_features(nn_model_video(model));
    extraction e = {.ctx = ctx, .part = part, .model = model, .take = take, .cache = cache};
    tn_status status = extract(&e, quiet, computed, stopped);
    tn_free(ctx, e.missing);
    if (status != TN_OK || *stopped)
        return status;
    size_t values;
    if (!tn_mul_size(part->clips, width, &values))
        return tn_fail(ctx, TN_NOMEM, "too many features");
    part->features = tn_alloc(ctx, values, sizeof *part->features);
    if (!part->features)
        return TN_NOMEM;
    for (size_t i = 0; status == TN_OK && i < part->clips; i++)
        status = nn_cache_read(cache, part->key[i], part->features + i * width);
    return status;
}
