/* The short-term features of sound: see docs/features.md for formulas and their oddities.
 *
 * DATA_LANES windows are computed at a time, one in each element of a vector, so that every sum of a window
 * is made in the same order whatever the vector's width, and windows do not depend on their neighbours.
 */
#include "data/data.h"
#include "data/feature_tables.h"
#include "data/fft.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCKS = 10, L = DATA_LANES };

/* Where the features are in a row. */
enum {
    ZCR,
    ENERGY,
    ENERGY_ENTROPY,
    CENTROID,
    SPREAD,
    SPECTRAL_ENTROPY,
    FLUX,
    ROLLOFF,
    MFCC,
    CHROMA = MFCC + DATA_MFCC,
    CHROMA_STD = CHROMA + 12,
    HARMONIC_RATIO,
    PITCH
};

static const double rolloff_share = 0.90;

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

/* What a run over one sound needs. */
typedef struct extractor {
    const data_audio *audio;
    data_feature_options options;
    int length, step;           /* of windows, in samples */
    int bins;                   /* length / 2 */
    double mean, scale;         /* of the whole sound: the features see (x - mean) / scale */
    data_fft *fft;              /* of `length` */
    data_feature_tables tables; /* for the rate and `bins` */
    data_lanes *window;         /* length: samples of the windows at hand */
    data_lanes *spectrum;       /* length, overwritten by the transform */
    data_lanes *work;           /* of the transform */
    data_lanes *magnitude;      /* bins: |X| / bins */
    double *shares;             /* bins x (1 + L): magnitude / its sum; first that of the window before */
    double *span;               /* length + (L - 1) * step samples: the windows at hand, once */
    double *lags;               /* 2 x length: work space of the harmonic features */
} extractor;

/* ---- sums over a window ------------------------------------------------------------------------------ */

/* -sum s log2(s + eps) over the shares s of BLOCKS parts in `total`, of one lane. */
static double entropy(const data_lanes *part, const data_lanes *total, int lane, double eps)
{
    double sum = 0, whole = (*total)[lane] + eps;
    for (int i = 0; i < BLOCKS; i++) {
        double s = part[i][lane] / whole;
        sum += s * log2(s + eps);
    }
    return -sum;
}

/* Sums of squares of BLOCKS parts of n / BLOCKS elements each, and of all n. */
static void energies(const data_lanes *x, int n, data_lanes part[BLOCKS], data_lanes *total)
{
    int each = n / BLOCKS;
    *total = (data_lanes){0};
    for (int b = 0; b < BLOCKS; b++) {
        data_lanes sum = {0};
        for (int i = b * each; i < (b + 1) * each; i++)
            sum += x[i] * x[i];
        part[b] = sum;
        *total += sum;
    }
    for (int i = BLOCKS * each; i < n; i++)
        *total += x[i] * x[i];
}

static void time_features(const extractor *e, double *const row[L])
{
    const data_lanes *x = e->window, zero = {0};
    data_lanes part[BLOCKS], total;
    energies(x, e->length, part, &total);
    /* Comparisons give -1 where they hold. */
    data_lanes_int crossings = {0}, before = (x[0] < zero) - (x[0] > zero);
    for (int i = 1; i < e->length; i++) {
        data_lanes_int sign = (x[i] < zero) - (x[i] > zero), d = sign - before;
        crossings += (d ^ (d >> 63)) - (d >> 63);
        before = sign;
    }
    for (int l = 0; l < L; l++) {
        row[l][ZCR] = (double)crossings[l] / 2 / (e->length - 1.0);
        row[l][ENERGY] = total[l] / e->length;
        row[l][ENERGY_ENTROPY] = entropy(part, &total, l, e->options.eps);
    }
}

/* ---- the spectrum's shape ---------------------------------------------------------------------------- */

static void centroid_and_spread(const extractor *e, double *const row[L])
{
    const data_lanes *m = e->magnitude;
    data_lanes most = m[0], sum = {0}, weighted = {0}, centroid, spread = {0}, den;
    for (int k = 1; k < e->bins; k++)
        for (int l = 0; l < L; l++)
            most[l] = m[k][l] > most[l] ? m[k][l] : most[l];
    if (e->options.eps == DBL_EPSILON)
        for (int l = 0; l < L; l++)
            most[l] = most[l] == 0 ? e->options.eps : most[l];
    const double *f = e->tables.frequency;
    for (int k = 0; k < e->bins; k++) {
        data_lanes w = m[k] / most;
        sum += w;
        weighted += f[k] * w;
    }
    den = sum + e->options.eps;
    centroid = weighted / den;
    for (int k = 0; k < e->bins; k++) {
        data_lanes d = f[k] - centroid;
        spread += d * d * (m[k] / most);
    }
    double nyquist = e->audio->rate / 2.0;
    for (int l = 0; l < L; l++) {
        row[l][CENTROID] = centroid[l] / nyquist;
        row[l][SPREAD] = sqrt(spread[l] / den[l]) / nyquist;
    }
}

/* Sum of squared differences from the window before, which is the lane before; the first window of all has
 * itself before it. */
static void flux(const extractor *e, bool first, double *const row[L])
{
    enum { ROW = L + 1 };
    data_lanes sum = {0}, change = {0};
    for (int k = 0; k < e->bins; k++)
        sum += e->magnitude[k] + e->options.eps;
    for (int k = 0; k < e->bins; k++) {
        double *share = e->shares + k * ROW;
        data_lanes now = e->magnitude[k] / sum, before;
        share[0] = first ? now[0] : share[L];
        memcpy(share + 1, &now, sizeof now);
        memcpy(&before, share, sizeof before);
        change += (now - before) * (now - before);
    }
    for (int l = 0; l < L; l++)
        row[l][FLUX] = change[l];
}

static void rolloff(const extractor *e, const data_lanes *total, double *const row[L])
{
    data_lanes running = {0}, threshold = rolloff_share * *total;
    data_lanes_int below = {0};
    for (int k = 0; k < e->bins; k++) {
        running += e->magnitude[k] * e->magnitude[k];
        below -= running + e->options.eps <= threshold;
    }
    /* The running sum never falls, so the bins below the threshold are the first ones. */
    for (int l = 0; l < L; l++)
        row[l][ROLLOFF] = below[l] < e->bins ? (double)below[l] / e->bins : 0;
}

static void mfcc(const extractor *e, double *const row[L])
{
    data_lanes level[DATA_BANDS];
    for (int b = 0; b < DATA_BANDS; b++) {
        const data_band *band = &e->tables.band[b];
        const data_lanes *m = e->magnitude + band->first;
        data_lanes sum = {0};
        for (int k = 0; k < band->bins; k++)
            sum += band->weight[k] * m[k];
        for (int l = 0; l < L; l++)
            level[b][l] = log10(sum[l] + e->options.eps);
    }
    for (int i = 0; i < DATA_MFCC; i++) {
        data_lanes sum = {0};
        for (int b = 0; b < DATA_BANDS; b++)
            sum += e->tables.cosine[i][b] * level[b];
        for (int l = 0; l < L; l++)
            row[l][MFCC + i] = sum[l];
    }
}

static void chroma(const extractor *e, const data_lanes *total, double *const row[L])
{
    data_lanes sum[12] = {{0}}, mean = {0}, variance = {0}, divisor = *total;
    for (int i = 0; i < e->tables.notes; i++) {
        const data_note *note = &e->tables.note[i];
        sum[note->pitch_class] += e->magnitude[note->bin] * e->magnitude[note->bin] / note->divisor;
    }
    if (e->options.eps == DBL_EPSILON)
        for (int l = 0; l < L; l++)
            divisor[l] = divisor[l] == 0 ? e->options.eps : divisor[l];
    for (int c = 0; c < 12; c++) {
        sum[c] /= divisor;
        mean += sum[c] / 12.0;
    }
    for (int c = 0; c < 12; c++)
        variance += (sum[c] - mean) * (sum[c] - mean) / 12.0;
    for (int l = 0; l < L; l++) {
        for (int c = 0; c < 12; c++)
            row[l][CHROMA + c] = sum[c][l];
        row[l][CHROMA_STD] = sqrt(variance[l]);
    }
}

static void spectral_features(const extractor *e, bool first, double *const row[L])
{
    data_lanes part[BLOCKS], total;
    energies(e->magnitude, e->bins, part, &total);
    for (int l = 0; l < L; l++)
        row[l][SPECTRAL_ENTROPY] = entropy(part, &total, l, e->options.eps);
    centroid_and_spread(e, row);
    flux(e, first, row);
    rolloff(e, &total, row);
    mfcc(e, row);
    chroma(e, &total, row);
}

/* ---- harmonic ratio and pitch ------------------------------------------------------------------------ */

static int sign_of(double x)
{
    return (x > 0) - (x < 0);
}

/* sum_i x[i] x[i + lag] over n samples. */
static double correlation(const double *x, int n, int lag)
{
    double sum = 0;
    for (int i = 0; i + lag < n; i++)
        sum += x[i] * x[i + lag];
    return sum;
}

/* pyAudioAnalysis's harmonic(): the highest normalised autocorrelation behind the first change of its sign
 * and within 16 ms, and the rate over that lag. Its lags count from 0, so a pitch is a sample too high. */
static void harmonic(const extractor *e, const double *x, double *row)
{
    const int n = e->length, lags = n - 2, most = (int)rint(0.016 * e->audio->rate) - 1;
    double *gamma = e->lags, *running = gamma + n, whole = 0;
    for (int i = 0; i < n; i++)
        running[i] = whole += x[i] * x[i];
    int from = lags - 1;
    double before = 0;
    for (int j = 0; j < lags && (j < most || from == lags - 1); j++) {
        double r = correlation(x, n, j + 1);
        if (j > 0 && from == lags - 1 && sign_of(r) != sign_of(before))
            from = j - 1;
        gamma[j] = before = r;
    }
    int changes = 0, best = 0;
    for (int j = 0; j < most; j++) {
        gamma[j] = j < from ? 0 : gamma[j] / (sqrt(whole * running[most + from - j]) + e->options.eps);
        changes += j > 0 ? abs(sign_of(gamma[j]) - sign_of(gamma[j - 1])) : 0;
        best = gamma[j] > gamma[best] ? j : best;
    }
    bool voiced = changes / 2.0 / (most - 1.0) <= 0.15;
    double pitch = e->audio->rate / (best + e->options.eps);
    row[HARMONIC_RATIO] = voiced ? gamma[best] : 0;
    row[PITCH] = voiced && gamma[best] >= 0.1 && pitch <= 5000 ? pitch : 0;
}

/* ---- windows ----------------------------------------------------------------------------------------- */

/* Brings windows [first, first + L) into e->window; past the last one it is repeated. */
static void load_windows(const extractor *e, size_t first, size_t windows)
{
    size_t last = windows - 1 - first < L - 1 ? windows - 1 - first : L - 1;
    size_t samples = (size_t)e->length + last * (size_t)e->step;
    const double *x = e->audio->samples + first * (size_t)e->step;
    for (size_t i = 0; i < samples; i++)
        e->span[i] = (x[i] - e->mean) / e->scale;
    for (size_t l = 0; l < L; l++) {
        const double *from = e->span + (l < last ? l : last) * (size_t)e->step;
        for (int i = 0; i < e->length; i++)
            e->window[i][l] = from[i];
    }
}

static void load_magnitudes(const extractor *e)
{
    memcpy(e->spectrum, e->window, (size_t)e->length * sizeof *e->window);
    const data_lanes *x = data_fft_forward(e->fft, e->spectrum, e->work);
    for (int k = 0; k < e->bins; k++) {
        data_lanes square = k ? x[2 * k - 1] * x[2 * k - 1] + x[2 * k] * x[2 * k] : x[0] * x[0];
        for (int l = 0; l < L; l++)
            e->magnitude[k][l] = sqrt(square[l]) / e->bins;
    }
}

static void extract(const extractor *e, data_features *out)
{
    double spare[DATA_FEATURES_HARMONIC], *row[L];
    for (size_t first = 0; first < out->windows; first += L) {
        for (size_t l = 0; l < L; l++)
            row[l] = first + l < out->windows ? out->value + (first + l) * (size_t)out->width : spare;
        load_windows(e, first, out->windows);
        load_magnitudes(e);
        time_features(e, row);
        spectral_features(e, first == 0, row);
        for (size_t l = 0; l < L && e->options.harmonic && first + l < out->windows; l++)
            harmonic(e, e->span + l * (size_t)e->step, row[l]);
    }
}

/* ---- a whole sound ----------------------------------------------------------------------------------- */

/* Offset and greatest value of the sound. The 1e-10 keeps silence at 0. */
static void measure(extractor *e)
{
    const double *x = e->audio->samples;
    double sum = 0, most = 0;
    for (size_t i = 0; i < e->audio->count; i++)
        sum += x[i];
    e->mean = sum / (double)e->audio->count;
    for (size_t i = 0; i < e->audio->count; i++)
        most = fmax(most, fabs(x[i] - e->mean));
    e->scale = most + 1e-10;
}

static void extractor_free(tn_ctx *ctx, extractor *e)
{
    data_fft_destroy(ctx, e->fft);
    data_feature_tables_free(ctx, &e->tables);
    tn_free(ctx, e->window);
    tn_free(ctx, e->shares);
}

static tn_status extractor_init(tn_ctx *ctx, const char *name, extractor *e)
{
    const size_t length = (size_t)e->length, bins = (size_t)e->bins;
    TN_TRY(data_feature_tables_create(ctx, name, e->audio->rate, e->bins, &e->tables));
    TN_TRY(data_fft_create(ctx, e->length, &e->fft));
    e->window = tn_alloc(ctx, 2 * length + bins + data_fft_work(e->fft), sizeof *e->window);
    e->shares =
        tn_alloc(ctx, bins * (1 + L) + length + (L - 1) * (size_t)e->step + 2 * length, sizeof *e->shares);
    if (!e->window || !e->shares)
        return TN_NOMEM;
    e->spectrum = e->window + length;
    e->magnitude = e->spectrum + length;
    e->work = e->magnitude + bins;
    e->span = e->shares + bins * (1 + L);
    e->lags = e->span + length + (L - 1) * (size_t)e->step;
    measure(e);
    return TN_OK;
}

tn_status data_features_compute(tn_ctx *ctx, const char *name, const data_audio *audio,
                                const data_feature_options *options, data_features *out)
{
    *out = (data_features){0};
    extractor e = {.audio = audio, .options = options ? *options : data_feature_defaults()};
    if (!(e.options.eps > 0 && e.options.eps < 1))
        return tn_fail(ctx, TN_RANGE, "%s: eps of the features is %g, expected above 0 and below 1", name,
                       e.options.eps);
    if (audio->rate < DATA_AUDIO_MIN_RATE || audio->rate > DATA_AUDIO_MAX_RATE)
        return tn_fail(ctx, TN_UNSUPPORTED, "%s: a rate of %d Hz, expected %d to %d", name, audio->rate,
                       DATA_AUDIO_MIN_RATE, DATA_AUDIO_MAX_RATE);
    e.length = (int)(0.025 * audio->rate);
    e.step = (int)(0.010 * audio->rate);
    e.bins = e.length / 2;
    if (e.bins < BLOCKS)
        return tn_fail(ctx, TN_UNSUPPORTED, "%s: %d Hz is too low a rate; resample to 8000 Hz or more", name,
                       audio->rate);
    if (audio->count < (size_t)e.length)
        return tn_fail(ctx, TN_RANGE, "%s: %zu samples, but one window of 25 ms at %d Hz needs %d", name,
                       audio->count, audio->rate, e.length);
    data_features f = {.windows = 1 + (audio->count - (size_t)e.length) / (size_t)e.step,
                       .width = e.options.harmonic ? DATA_FEATURES_HARMONIC : DATA_FEATURES,
                       .length = e.length,
                       .step = e.step};
    tn_status status = extractor_init(ctx, name, &e);
    if (status == TN_OK) {
        f.value = tn_alloc(ctx, f.windows * (size_t)f.width, sizeof *f.value);
        status = f.value ? TN_OK : TN_NOMEM;
    }
    if (status == TN_OK) {
        extract(&e, &f);
        *out = f;
    }
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
