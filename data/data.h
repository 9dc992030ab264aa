/* data: files to inputs and labels. Sound and its short-term features, frames, video, manifests.
 *
 * Depends on libtensor only. Nothing here prints or exits; functions that can fail return a tn_status and
 * leave one message in the context that names the file, what was found and what was expected.
 */
#ifndef DATA_DATA_H
#define DATA_DATA_H

#include "libtensor/tensor.h"

/* ---- sound ------------------------------------------------------------------------------------------- */

/* One channel of sound. */
typedef struct data_audio {
    double *samples; /* the mean of the file's channels, in [-1, 1): 16-bit values divided by 2^15; floats as
                        they are, which may lie outside */
    size_t count;    /* samples; at least 1 after a successful read */
    int rate;        /* samples per second, after resampling */
    int channels;    /* of the source */
} data_audio;

/* What is taken as sound: rates in Hz, channels, and how long a file may become when it is decoded. Memory is
 * at most 4 times the file plus 64 MB: a file may give one (mono, resampled) sample for every two of its
 * bytes, which any PCM of 16 bits and more keeps to, and DATA_AUDIO_FREE_SAMPLES more (125 s at 48 kHz),
 * which is the room for compressed sound. Decoded values, all channels counted, are capped likewise in time's
 * interest: four for each byte plus DATA_AUDIO_FREE_VALUES. */
enum {
    DATA_AUDIO_MIN_RATE = 1,
    DATA_AUDIO_MAX_RATE = 768000,
    DATA_AUDIO_MAX_CHANNELS = 1024,
    DATA_AUDIO_FREE_SAMPLES = 6000000,
    DATA_AUDIO_FREE_VALUES = 24000000
};

/* Reads a sound file (WAV, FLAC, Ogg, AIFF: whatever libsndfile opens; the content decides, not the name).
 * `want_rate` 0 keeps the file's rate; otherwise the sound is resampled by libsamplerate with
 * SRC_SINC_MEDIUM_QUALITY (121 dB signal to noise, 90 % of the bandwidth).
 * Fails, and leaves *out empty, with TN_IO (missing, unreadable, not a regular file), TN_FORMAT (not sound:
 * the message has the first bytes; 0 bytes; no samples; fewer than announced; values that are no numbers),
 * TN_UNSUPPORTED (rate, channels), TN_RANGE (longer than the limits above; want_rate) or TN_NOMEM. */
tn_status data_audio_read(tn_ctx *ctx, const char *path, int want_rate, data_audio *out);

/* The type of samples in memory, and what is full scale. */
typedef enum data_sample {
    DATA_INT16, /* 2^15 */
    DATA_FLOAT, /* 1 */
    DATA_DOUBLE /* 1 */
} data_sample;

/* Makes sound of `frames` x `channels` interleaved samples in memory (copied), as data_audio_read() makes it
 * of a file's; `name` stands in messages. Fails with TN_FORMAT (no frames, values that are no numbers),
 * TN_UNSUPPORTED, TN_RANGE or TN_NOMEM. */
tn_status data_audio_from(tn_ctx *ctx, const char *name, data_sample type, const void *samples, size_t frames,
                          int channels, int rate, int want_rate, data_audio *out);

void data_audio_free(tn_ctx *ctx, data_audio *audio); /* and empties it; an empty one is fine */

/* Whether every sample is 0: digital silence, which has features, but says nothing. */
bool data_audio_is_silent(const data_audio *audio);

/* ---- short-term features ----------------------------------------------------------------------------- */

/* zcr, energy, energy_entropy, spectral_centroid, spectral_spread, spectral_entropy, spectral_flux,
 * spectral_rolloff, mfcc_1..13, chroma_1..12, chroma_std; and, where they are asked for, harmonic_ratio and
 * pitch (Hz). */
enum { DATA_FEATURES = 34, DATA_FEATURES_HARMONIC = 36 };

/* The i-th of them, 0 to 35; NULL past the last. */
const char *data_feature_name(int i);

typedef struct data_feature_options {
    double eps; /* keeps divisors and logarithms from 0. The default is 2^-52. With any other, silent windows
                   divide by 0 as pyAudioAnalysis up to release 0.3.6 (eps 1e-8) did: centroid, spread and the
                   chroma features are not numbers there */
    bool harmonic; /* 36 features, not 34 */
} data_feature_options;

data_feature_options data_feature_defaults(void);

typedef struct data_features {
    double *value;  /* windows x width, row-major */
    size_t windows; /* 1 + (count - length) / step; at least 1 */
    int width;      /* DATA_FEATURES or DATA_FEATURES_HARMONIC */
    int length;     /* samples of a window: int(0.025 * rate) */
    int step;       /* samples from one window to the next: int(0.010 * rate) */
} data_features;

/* Short-term features, those of pyAudioAnalysis 0.3.14 (Giannakopoulos 2015, feature_extraction() without
 * deltas) to within 1e-6 * max(1, |value|); formulas are in docs/features.md. `options` may be NULL, `name`
 * stands in messages. Fails, and leaves *out empty, with TN_RANGE (sound shorter than one window: the message
 * has the number of samples needed; eps not above 0), TN_UNSUPPORTED (a rate too low for the filter bank and
 * the chroma features; 8000 Hz and up are fine) or TN_NOMEM. */
tn_status data_features_compute(tn_ctx *ctx, const char *name, const data_audio *audio,
                                const data_feature_options *options, data_features *out);

void data_features_free(tn_ctx *ctx, data_features *features); /* and empties it */

/* How many values are infinite or not numbers; 0 with the default eps. */
size_t data_features_nonfinite(const data_features *features);

/* ---- frames and video -------------------------------------------------------------------------------- */

#endif
