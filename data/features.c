/* The short-term features of a whole sound. The arithmetic of its windows is in data/features.inc. */
#include "data/data.h"
#include "data/harmonic.h"
#include "data/lanes.h"

#include <float.h>
#include <math.h>

const char *data_feature_name(int i)
{
    static const char *const name[DATA_FEATURES_HARMONIC] = {"zcr",
                                                             "energy",
                                                             "energy_entropy",
                                                             "spectral_centroid",
                                                             "spectral_spread",
                                                             "spectral_entropy",
                                                             "spectral_flux",
                                                             "spectral_rolloff",
                                                             "mfcc_1",
                                                             "mfcc_2",
                                                             "mfcc_3",
                                                             "mfcc_4",
                                                             "mfcc_5",
                                                             "mfcc_6",
                                                             "mfcc_7",
                                                             "mfcc_8",
                                                             "mfcc_9",
                                                             "mfcc_10",
                                                             "mfcc_11",
                                                             "mfcc_12",
                                                             "mfcc_13",
                                                             "chroma_1",
                                                             "chroma_2",
                                                             "chroma_3",
                                                             "chroma_4",
                                                             "chroma_5",
                                                             "chroma_6",
                                                             "chroma_7",
                                                             "chroma_8",
                                                             "chroma_9",
                                                             "chroma_10",
                                                             "chroma_11",
                                                             "chroma_12",
                                                             "chroma_std",
                                                             "harmonic_ratio",
                                                             "pitch"};
    return i >= 0 && i < DATA_FEATURES_HARMONIC ? name[i] : NULL;
}

data_feature_options data_feature_defaults(void)
{
    return (data_feature_options){.eps = DBL_EPSILON, .harmonic = false};
}

/* ---- a whole sound ----------------------------------------------------------------------------------- */

static void extractor_free(tn_ctx *ctx, data_extractor *e)
{
    data_fft_destroy(ctx, e->fft);
    data_feature_tables_free(ctx, &e->tables);
    tn_free(ctx, e->window);
    tn_free(ctx, e->span);
}

static tn_status extractor_init(tn_ctx *ctx, const char *name, const data_lanes_code *code, data_extractor *e)
{
    const size_t length = (size_t)e->length, bins = (size_t)e->bins, lanes = (size_t)code->lanes;
    TN_TRY(data_feature_tables_create(ctx, name, e->audio->rate, e->bins, &e->tables));
    TN_TRY(data_fft_create(ctx, e->length, &e->fft));
    e->window = tn_alloc(ctx, (length + 2 * bins + data_fft_work(e->fft)) * lanes, sizeof *e->window);
    e->span = tn_alloc(ctx, length + (lanes - 1) * (size_t)e->step, sizeof *e->span);
    if (!e->window || !e->span)
        return TN_NOMEM;
    e->magnitude = e->window + length * lanes;
    e->share = e->magnitude + bins * lanes;
    e->work = e->share + bins * lanes;
    code->measure(e->audio->samples, e->audio->count, &e->mean, &e->scale);
    e->scale += 1e-10; /* keeps silence at 0 */
    return TN_OK;
}

static tn_status append_harmonic(tn_ctx *ctx, const data_extractor *e, data_features *out)
{
    double *x = tn_alloc(ctx, 3 * (size_t)e->length, sizeof *x);
    if (!x)
        return TN_NOMEM;
    for (size_t w = 0; w < out->windows; w++) {
        const double *from = e->audio->samples + w * (size_t)e->step;
        for (int i = 0; i < e->length; i++)
            x[i] = (from[i] - e->mean) / e->scale;
        data_harmonic(e, x, x + e->length, out->value + w * (size_t)out->width + DATA_FEATURES);
    }
    tn_free(ctx, x);
    return TN_OK;
}

tn_status data_features_compute(tn_ctx *ctx, const char *name, const data_audio *audio,
                                const data_feature_options *options, data_features *out)
{
    *out = (data_features){0};
    data_extractor e = {.audio = audio, .options = options ? *options : data_feature_defaults()};
    if (!(e.options.eps > 0 && e.options.eps < 1))
        return tn_fail(ctx, TN_RANGE, "%s: eps of the features is %g, expected above 0 and below 1", name,
                       e.options.eps);
    if (audio->rate < DATA_AUDIO_MIN_RATE || audio->rate > DATA_AUDIO_MAX_RATE)
        return tn_fail(ctx, TN_UNSUPPORTED, "%s: a rate of %d Hz, expected %d to %d", name, audio->rate,
                       DATA_AUDIO_MIN_RATE, DATA_AUDIO_MAX_RATE);
    e.length = (int)(0.025 * audio->rate);
    e.step = (int)(0.010 * audio->rate);
    e.bins = e.length / 2;
    if (e.bins < DATA_FEATURE_BLOCKS)
        return tn_fail(ctx, TN_UNSUPPORTED, "%s: %d Hz is too low a rate; resample to 8000 Hz or more", name,
                       audio->rate);
    if (audio->count < (size_t)e.length)
        return tn_fail(ctx, TN_RANGE, "%s: %zu samples, but one window of 25 ms at %d Hz needs %d", name,
                       audio->count, audio->rate, e.length);
    data_features f = {.windows = 1 + (audio->count - (size_t)e.length) / (size_t)e.step,
                       .width = e.options.harmonic ? DATA_FEATURES_HARMONIC : DATA_FEATURES,
                       .length = e.length,
                       .step = e.step};
    const data_lanes_code *code = data_lanes_for(ctx);
    tn_status status = extractor_init(ctx, name, code, &e);
    if (status == TN_OK) {
        f.value = tn_alloc(ctx, f.windows * (size_t)f.width, sizeof *f.value);
        status = f.value ? TN_OK : TN_NOMEM;
    }
    if (status == TN_OK)
        code->extract(&e, &f);
    if (status == TN_OK && e.options.harmonic)
        status = append_harmonic(ctx, &e, &f);
    if (status == TN_OK)
        *out = f;
    else
        tn_free(ctx, f.value);
    extractor_free(ctx, &e);
    return status;
}

void data_features_free(tn_ctx *ctx, data_features *features)
{
    tn_free(ctx, features->value);
    *features = (data_features){0};
}

size_t data_features_nonfinite(const data_features *features)
{
    size_t count = 0;
    for (size_t i = 0; i < features->windows * (size_t)features->width; i++)
        count += isfinite(features->value[i]) ? 0 : 1;
    return count;
}
