#include "apps/common/sounds.h"
#include "apps/common/report.h"

/* Clips between two looks at the progress bar, for each thread. */
enum { CLIPS_AT_ONCE = 8 };

const char *sound_state_name(sound_state state)
{
    static const char *const names[SOUND_STATES] = {"good", "with non-numbers", "without sound", "silent",
                                                    "shorter than a window"};
    return names[state];
}

typedef struct sounds_job {
    sounds *out;                   /* results */
    tn_status *status;             /* of each clip */
    const data_manifest *manifest; /* borrowed */
    const size_t *index;           /* clips of the manifest */
    const sound_options *options;  /* borrowed */
    size_t begin;                  /* first clip of this round */
} sounds_job;

static tn_status read_one(tn_ctx *ctx, const data_item *item, const sound_options *o, sound *out)
{
    data_audio audio = {0};
    bool has_audio = true;
    tn_status status = TN_OK;
    out->state = SOUND_MISSING;
    if (!item->audio && !item->video)
        return TN_OK;
    if (item->audio) {
        status = data_audio_read(ctx, item->audio, o->rate, &audio);
    } else {
        data_video_options take = data_video_defaults();
        take.rate = o->rate;
        status = data_video_audio(ctx, item->video, &take, &has_audio, &audio);
    }
    if (status == TN_OK && has_audio && data_audio_is_silent(&audio)) {
        out->state = SOUND_SILENT;
    } else if (status == TN_OK && has_audio) {
        const char *name = item->audio ? item->audio : item->video;
        status = data_features_compute(ctx, name, &audio, &o->features, &out->features);
        if (status == TN_RANGE) {
            tn_clear_error(ctx);
            status = TN_OK;
            out->state = SOUND_SHORT;
        } else if (status == TN_OK) {
            out->state = data_features_nonfinite(&out->features) ? SOUND_ODD : SOUND_GOOD;
        }
    }
    data_audio_free(ctx, &audio);
    return status;
}

static bool is_to_stop(const sound_options *o)
{
    return o->stop && o->stop();
}

static void sounds_task(void *arg, int64_t task, int thread)
{
    const sounds_job *job = arg;
    const size_t i = job->begin + (size_t)task;
    sound *s = &job->out->clip[i];
    s->worker = thread;
    tn_ctx *ctx = job->out->worker[thread];
    if (is_to_stop(job->options))
        return;
    if (!*tn_error(ctx)) /* a context keeps its first message; what comes behind it is not needed */
        job->status[i] = read_one(ctx, &job->manifest->item[job->index[i]], job->options, s);
}

static tn_status run(tn_ctx *ctx, sounds_job *job, const report_bar *bar)
{
    sounds *s = job->out;
    const size_t round = (size_t)s->workers * CLIPS_AT_ONCE;
    for (job->begin = 0; job->begin < s->count; job->begin += round) {
        const size_t left = s->count - job->begin, n = left < round ? left : round;
        tn_parallel(ctx, (int64_t)n, sounds_task, job);
        s->stopped = is_to_stop(job->options);
        if (s->stopped)
            return TN_OK;
        for (size_t i = job->begin; i < job->begin + n; i++)
            if (job->status[i] != TN_OK)
                return tn_fail(ctx, job->status[i], "%s", tn_error(s->worker[s->clip[i].worker]));
        report_bar_show(bar, job->begin + n, "sound features");
    }
    return TN_OK;
}

tn_status sounds_read(tn_ctx *ctx, const data_manifest *manifest, const size_t *index, size_t count,
                      const sound_options *options, sounds *out)
{
    *out = (sounds){.count = count};
    const int threads = tn_threads(ctx);
    out->clip = tn_zalloc(ctx, count, sizeof *out->clip);
    out->worker = tn_zalloc(ctx, (size_t)threads, sizeof(tn_ctx *));
    tn_status *status = tn_zalloc(ctx, count, sizeof *status);
    tn_status result = out->clip && out->worker && status ? TN_OK : TN_NOMEM;
    const tn_options one = {.threads = 1, .isa = tn_isa(ctx)};
    for (; result == TN_OK && out->workers < threads; out->workers++) {
        result = tn_ctx_create(&one, &out->worker[out->workers]);
        if (result != TN_OK) {
            tn_fail(ctx, result, "cannot start a thread's context: %s", tn_status_text(result));
            break;
        }
    }
    if (result == TN_OK) {
        const report_bar bar = report_bar_begin(count, options->quiet);
        sounds_job job = {out, status, manifest, index, options, 0};
        result = run(ctx, &job, &bar);
        report_bar_clear(&bar);
    }
    tn_free(ctx, status);
    return result;
}

void sounds_drop(sounds *s, size_t clip)
{
    data_features_free(s->worker[s->clip[clip].worker], &s->clip[clip].features);
}

void sounds_free(tn_ctx *ctx, sounds *s)
{
    for (size_t i = 0; s->clip && i < s->count && s->workers; i++)
        sounds_drop(s, i);
    for (int i = 0; i < s->workers; i++)
        tn_ctx_destroy(s->worker[i]);
    tn_free(ctx, s->clip);
    tn_free(ctx, s->worker);
    *s = (sounds){0};
}
