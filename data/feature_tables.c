/* Filter bank, notes and cosines of the short-term features, with pyAudioAnalysis's oddities
 * (docs/features.md). */
#include "data/feature_tables.h"

#include <math.h>

static const double pi = 3.14159265358979323846;

/* ---- filter bank ------------------------------------------------------------------------------------- */

enum { LINEAR_BANDS = 13, EDGES = DATA_BANDS + 2 };

/* Band i rises from edge i to edge i + 1 and falls to edge i + 2, in Hz: 13 in equal steps, the rest in equal
 * ratios. */
static void band_edges(double edge[EDGES])
{
    static const double lowest = 133.33, step = 200.0 / 3.0, ratio = 1.0711703;
    for (int i = 0; i < LINEAR_BANDS; i++)
        edge[i] = lowest + i * step;
    for (int i = LINEAR_BANDS; i < EDGES; i++)
        edge[i] = edge[LINEAR_BANDS - 1] * pow(ratio, i - LINEAR_BANDS + 1);
}

/* The last bin at or below a frequency, as if `bins` of them spanned the whole rate; they span half of it. */
static int bin_below(double frequency, int rate, int bins)
{
    return (int)floor(frequency * bins / rate);
}

static tn_status make_bands(tn_ctx *ctx, const char *name, int rate, int bins, data_feature_tables *t)
{
    double edge[EDGES];
    band_edges(edge);
    size_t total = 0;
    for (int i = 0; i < DATA_BANDS; i++) {
        int first = bin_below(edge[i], rate, bins) + 1, last = bin_below(edge[i + 2], rate, bins);
        if (last >= bins)
            return tn_fail(ctx, TN_UNSUPPORTED,
                           "%s: %d Hz is too low a rate: the filter bank of the features reaches %.0f Hz; "
                           "resample to 8000 Hz or more",
                           name, rate, edge[EDGES - 1]);
        t->band[i] = (data_band){.first = first, .bins = last + 1 - first};
        total += (size_t)t->band[i].bins;
    }
    t->weight = tn_alloc(ctx, total, sizeof *t->weight);
    if (!t->weight)
        return TN_NOMEM;
    double *weight = t->weight;
    for (int i = 0; i < DATA_BANDS; i++) {
        data_band *band = &t->band[i];
        double height = 2 / (edge[i + 2] - edge[i]);
        double rise = height / (edge[i + 1] - edge[i]), fall = height / (edge[i + 2] - edge[i + 1]);
        int centre = bin_below(edge[i + 1], rate, bins);
        band->weight = weight;
        for (int k = band->first; k < band->first + band->bins; k++) {
            double f = (double)k / bins * rate;
            *weight++ = k <= centre ? rise * (f - edge[i]) : fall * (edge[i + 2] - f);
        }
    }
    return TN_OK;
}

/* ---- notes ------------------------------------------------------------------------------------------- */

/* Semitones above A0 (27.5 Hz), to the nearest, halves to even. */
static int note_of(double frequency)
{
    return (int)rint(12 * log2(frequency / 27.5));
}

/* The chroma vector has an element for each note, and each bin writes its energy to its note's: of bins that
 * share a note the last one stays. Then element j is divided by the number of bins that share the note of bin
 * m, where m is the note of bin j: the library takes notes for bins twice. */
static tn_status make_notes(tn_ctx *ctx, const char *name, int rate, int bins, data_feature_tables *t)
{
    if (note_of(t->frequency[bins - 1]) >= bins)
        return tn_fail(ctx, TN_UNSUPPORTED,
                       "%s: %d Hz is too low a rate: the chroma features have %d bins for %d notes; "
                       "resample to 8000 Hz or more",
                       name, rate, bins, note_of(t->frequency[bins - 1]) + 1);
    t->note = tn_alloc(ctx, (size_t)bins, sizeof *t->note);
    int *sharing = tn_zalloc(ctx, (size_t)bins, sizeof *sharing);
    if (!t->note || !sharing) {
        tn_free(ctx, sharing);
        return TN_NOMEM;
    }
    for (int k = 0; k < bins; k++)
        sharing[note_of(t->frequency[k])]++;
    for (int k = 0; k < bins; k++) {
        int note = note_of(t->frequency[k]);
        if (k + 1 < bins && note_of(t->frequency[k + 1]) == note)
            continue;
        int twice = note_of(t->frequency[note_of(t->frequency[note])]);
        t->note[t->notes++] =
            (data_note){.bin = k, .pitch_class = note % 12, .divisor = (double)sharing[twice]};
    }
    tn_free(ctx, sharing);
    return TN_OK;
}

/* ---- all --------------------------------------------------------------------------------------------- */

tn_status data_feature_tables_create(tn_ctx *ctx, const char *name, int rate, int bins,
                                     data_feature_tables *out)
{
    *out = (data_feature_tables){0};
    out->frequency = tn_alloc(ctx, (size_t)bins, sizeof *out->frequency);
    tn_status status = out->frequency ? TN_OK : TN_NOMEM;
    for (int k = 0; k < bins && status == TN_OK; k++)
        out->frequency[k] = (k + 1) * (rate / (2.0 * bins));
    if (status == TN_OK)
        status = make_bands(ctx, name, rate, bins, out);
    if (status == TN_OK)
        status = make_notes(ctx, name, rate, bins, out);
    if (status != TN_OK) {
        data_feature_tables_free(ctx, out);
        return status;
    }
    for (int i = 0; i < DATA_MFCC; i++)
        for (int b = 0; b < DATA_BANDS; b++)
            out->cosine[i][b] =
                sqrt((i ? 2.0 : 1.0) / DATA_BANDS) * cos(pi * i * (2 * b + 1) / (2.0 * DATA_BANDS));
    return TN_OK;
}

void data_feature_tables_free(tn_ctx *ctx, data_feature_tables *tables)
{
    tn_free(ctx, tables->frequency);
    tn_free(ctx, tables->weight);
    tn_free(ctx, tables->note);
    *tables = (data_feature_tables){0};
}
