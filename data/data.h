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

/* ---- pictures ---------------------------------------------------------------------------------------- */

/* A picture of more pixels is refused before it is decoded; 8K video has half as many. */
enum { DATA_MAX_PIXELS = 1 << 26 };

/* A picture: rows from the top, three bytes (red, green, blue) a pixel, no padding. */
typedef struct data_image {
    unsigned char *rgb; /* height x width x 3 */
    int width, height;  /* at least 1 */
} data_image;

/* Reads a JPEG or PNG file of at most DATA_MAX_PIXELS, told apart by content. As Pillow's convert('RGB')
 * does, grey is repeated, palettes are looked up, and alpha and tRNS are dropped, not blended; 16-bit samples
 * keep their upper byte. Gamma, colour profiles and the EXIF orientation are not applied. A file cut short is
 * an error. Fails with TN_IO (missing, a folder, unreadable), TN_FORMAT (neither JPEG nor PNG, or damaged),
 * TN_RANGE (too large), TN_UNSUPPORTED (a kind of JPEG that is not decoded) or TN_NOMEM. */
tn_status data_image_read(tn_ctx *ctx, const char *path, data_image *out);

/* The same from `count` bytes in memory; `name` is for messages, `max_pixels` the most pixels allowed. */
tn_status data_image_decode(tn_ctx *ctx, const char *name, const unsigned char *bytes, size_t count,
                            size_t max_pixels, data_image *out);

/* Resizes to width x height as Pillow's Image.resize((width, height), BILINEAR) does, every byte equal to
 * that of Pillow 13: a triangle filter as wide as the reduction, along rows and then along columns (the other
 * way round where the height shrinks by more than twice as many pixels as the width; releases before 13 never
 * do that, which is a difference of at most 1 in such pictures), rounded to 8 bits after each. Fails with
 * TN_RANGE (a size below 1, or more than DATA_MAX_PIXELS before, between or after the passes) or TN_NOMEM. */
tn_status data_image_resize(tn_ctx *ctx, const data_image *in, int width, int height, data_image *out);

/* Writes a PNG file, whole or not at all. Fails with TN_IO or TN_NOMEM. */
tn_status data_image_write_png(tn_ctx *ctx, const char *path, const data_image *image);

void data_image_free(tn_ctx *ctx, data_image *image);

/* ---- clips from folders ------------------------------------------------------------------------------ */

/* Names of files. */
typedef struct data_names {
    char **path;  /* `count` paths, folder included */
    size_t count; /* at least 1 */
} data_names;

/* Frames of one size. */
typedef struct data_clip {
    unsigned char *rgb; /* frames x height x width x 3 */
    int frames;         /* at least 1 */
    int height, width;  /* of each */
} data_clip;

/* Orders names as people count: runs of digits by value (2.png before 10.png), other letters without regard
 * to case; names that are equal so far by their bytes (so 02.png comes before 2.png). Like strcmp(). */
int data_natural_compare(const char *a, const char *b);

/* The pictures of a folder in natural order: files that end in .jpg, .jpeg or .png in any case and do not
 * begin with a dot. Folders below are not entered. Fails with TN_IO (no such folder, not a folder), TN_FORMAT
 * (no picture in it), TN_RANGE (over a million) or TN_NOMEM. */
tn_status data_frames_list(tn_ctx *ctx, const char *dir, data_names *out);
void data_names_free(tn_ctx *ctx, data_names *names);

/* Which of `count` frames is the i-th of `wanted` spread evenly: the last that begins before the middle of
 * the i-th of `wanted` equal parts, ((2 i + 1) count - 1) / (2 wanted), rounded down. All of them in order
 * where count = wanted; with fewer, frames repeat evenly. It is what ffmpeg's fps filter picks. */
size_t data_frame_pick(size_t count, int wanted, int i);

/* A clip of `frames` of the pictures of a folder, picked by data_frame_pick() and resized by
 * data_image_resize(); only those are read, and they may differ in size. Fails as data_frames_list() and
 * data_image_read() do, and with TN_RANGE for sizes out of range (see data_video_options). */
tn_status data_clip_from_dir(tn_ctx *ctx, const char *dir, int frames, int height, int width, data_clip *out);
void data_clip_free(tn_ctx *ctx, data_clip *clip);

/* out[0][c][t][y][x] = (value / 255 - mean[c]) / std[c], in float. `out` has rank 5 and the sizes
 * (1, 3, frames, height, width) (asserted), with any strides. */
void data_clip_normalise(const data_clip *clip, const float mean[3], const float std[3],
                         const tn_tensor *out);

/* ---- clips from video files -------------------------------------------------------------------------- */

/* What to take of a video file. Its beginning counts: the window is the first `seconds` (with fps > 0 the
 * first frames / fps of them), or the whole clip where that is shorter. */
typedef struct data_video_options {
    int frames;           /* 1 to 4096; 10 */
    double seconds;       /* more than 0, at most 600; 5 */
    double fps;           /* 0 (the default): `frames` spread evenly over the window; else at this rate */
    int height, width;    /* of a frame, 1 to 16384; 224 x 224 */
    int rate;             /* of the sound; 0 (the default): as it is in the file */
    double stall_seconds; /* give up when ffmpeg is silent for so long; 60 */
} data_video_options;

data_video_options data_video_defaults(void);

/* A clip of a video file, decoded by the program `ffmpeg` (found in PATH) at the size it has and resized by
 * data_image_resize(). Frame i is the one shown at the middle of the i-th of `frames` equal parts of the
 * window; a file with fewer frames repeats them evenly. Rotation marks are obeyed. Frames are read one at a
 * time. Fails with TN_IO (missing file, no ffmpeg), TN_FORMAT (not a video, no video stream; with ffmpeg's
 * own last words), TN_RANGE (options, size of a frame) or TN_NOMEM. */
tn_status data_video_clip(tn_ctx *ctx, const char *path, const data_video_options *options, data_clip *out);

/* The sound of the window. A file without a sound stream is no error: *has_audio is false and *out empty. A
 * silent stream is zeros. Fails as data_video_clip() does. */
tn_status data_video_audio(tn_ctx *ctx, const char *path, const data_video_options *options, bool *has_audio,
                           data_audio *out);

/* ---- synthetic clips --------------------------------------------------------------------------------- */

/* What of a synthetic clip tells its class. */
typedef enum data_synth_cue {
    DATA_SYNTH_COLOUR,  /* warm and bright, plain, dark and red */
    DATA_SYNTH_MOTION,  /* bouncing together, swaying slowly, jerking against each other */
    DATA_SYNTH_POSTURE, /* arms up, arms down, leaning with arms thrust out */
    DATA_SYNTH_SOUND,   /* a rising major arpeggio, a steady hum, noise bursts over a dissonance */
    DATA_SYNTH_CUES
} data_synth_cue;

enum { DATA_SYNTH_CLASSES = 3 };

/* A group of simple figures, drawn and heard. Everything is a function of these fields alone. */
typedef struct data_synth_options {
    uint64_t seed;            /* who stands where, sizes, clothes, tempo, pitch, noise */
    int cue[DATA_SYNTH_CUES]; /* the class that each cue shows: 0 positive, 1 neutral, 2 negative */
    double start;             /* of its first frame and sample, in seconds of the scene, 0 to 1e6; 0 */
    double seconds;           /* more than 0, at most 600; 5 */
    double fps;               /* more than 0, at most 240; 10 */
    int width, height;        /* of a frame, 16 to 4096; 320 x 240 */
    int rate;                 /* of the sound, 8000 to 192000; 16000 */
} data_synth_options;

/* Options whose cues all show `label`. */
data_synth_options data_synth_defaults(int label, uint64_t seed);

/* "positive", "neutral", "negative"; NULL for another number. */
const char *data_synth_class(int label);

/* TN_RANGE and a message that names the field when the options are out of range. */
tn_status data_synth_check(tn_ctx *ctx, const data_synth_options *options);

int data_synth_frame_count(const data_synth_options *options);     /* seconds x fps, rounded, at least 1 */
size_t data_synth_sample_count(const data_synth_options *options); /* seconds x rate, rounded, at least 1 */

/* Draws the frame at time t (in seconds) into height x width x 3 bytes. Options must pass the check. */
void data_synth_frame(const data_synth_options *options, double t, unsigned char *rgb);

/* Samples [first, first + count) of the sound. */
void data_synth_audio(const data_synth_options *options, size_t first, size_t count, int16_t *samples);

/* Makes the folder `dir` with frames/0001.png ..., audio.wav (mono, 16 bits) and, with `video`, clip.mp4 made
 * of both by ffmpeg. The folder appears whole or not at all, and must not be there before, unless empty.
 * Fails with TN_RANGE, TN_IO or TN_NOMEM. */
tn_status data_synth_write(tn_ctx *ctx, const char *dir, const data_synth_options *options, bool video);

/* ---- synthetic sets ------------------------------------------------------------------------------------ */

/* Every source is a scene (people, clothes, tempo, pitch) and has a clip of each class, one behind the other
 * in time. */
enum { DATA_SYNTH_MAX_SET = 1000000 };

/* A labelled set whose cues tell the class only now and then, each for itself. */
typedef struct data_synth_set {
    uint64_t seed;                    /* of everything */
    int clips;                        /* of each class, and sources: 3 to DATA_SYNTH_MAX_SET */
    double right[DATA_SYNTH_CUES];    /* how probably a cue shows the clip's class, 0 to 1; 0.60 for colour,
                                         motion and posture, 0.70 for sound: 70 % right by all that is seen or by
                                         what is heard, 82 % by both */
    double opposite[DATA_SYNTH_CUES]; /* of a positive or negative clip, how probably a cue that is wrong
                                         shows the opposite, 0 to 1; else neutral. 0.2 for what is seen, 0.8
                                         for sound. Of a neutral clip a wrong cue shows either as probably */
    data_synth_options clip;          /* length, rates and size of every clip; 4 frames/s of 160 x 120 */
} data_synth_set;

data_synth_set data_synth_set_defaults(int clips, uint64_t seed);

/* TN_RANGE and a message that names the field when the set is out of range. */
tn_status data_synth_set_check(tn_ctx *ctx, const data_synth_set *set);

/* A clip of a set. */
typedef struct data_synth_entry {
    char name[32];     /* "SOURCE_CLIP", both from 1 */
    char source[16];   /* its number */
    const char *split; /* "train", "val", "test": 3 sources of 5, one, one; a fifth is rounded, at least 1 */
    int label;         /* its class */
    data_synth_options clip; /* what is drawn and heard */
} data_synth_entry;

/* Says what the clips of a set are, all of them: entry[] has room for DATA_SYNTH_CLASSES x set->clips. A
 * function of `set` alone, which must pass the check. Fails with TN_NOMEM. */
tn_status data_synth_set_plan(tn_ctx *ctx, const data_synth_set *set, data_synth_entry *entry);

/* Makes a set in three steps: a folder beside `dir` (*temporary, for tn_free()); data_synth_write() of each
 * clip to data_synth_set_path(), in any order and on any thread; and the lists manifest.csv and cues.csv
 * (which class each cue shows), after which the folder becomes `dir`. So `dir` appears whole or not at all,
 * and must not be there before, unless empty. data_synth_set_abandon() removes the folder. Fail with TN_IO or
 * TN_NOMEM. */
tn_status data_synth_set_begin(tn_ctx *ctx, const char *dir, char **temporary);
char *data_synth_set_path(tn_ctx *ctx, const char *temporary, const data_synth_entry *entry);
tn_status data_synth_set_finish(tn_ctx *ctx, const data_synth_set *set, const data_synth_entry *entry,
                                const char *temporary, const char *dir);
void data_synth_set_abandon(const char *temporary);

/* ---- lists of labelled clips --------------------------------------------------------------------------- */

/* A clip of a list. A modality that it lacks is NULL; at least one is there. A video file brings its own
 * sound, unless `audio` names other sound or the file has none. */
typedef struct data_item {
    char *name;   /* unique within its split; fit for a file's name: no slash, no dot at its beginning */
    char *frames; /* folder of pictures; NULL: none */
    char *video;  /* video file; NULL: none, and always where there is `frames` */
    char *audio;  /* sound file; NULL: none */
    int label;    /* class; -1: unlabelled */
    char *split;  /* "train", "val", "test" or what the list calls it; fit for a file's name like `name` */
    char *source; /* recording that the clip was cut from; clips of one source belong together */
    int faces;    /* how many; -1: unknown */
    size_t line;  /* of the file that lists it, from 1; of a folder without labels, its place */
} data_item;

typedef struct data_manifest {
    char *path;        /* of the CSV file or the folder: for messages */
    char **class_name; /* `classes` names in order; a clip's label is a number of them */
    int classes;       /* at least 1 */
    data_item *item;   /* in the order of the files */
    size_t count;      /* of them, at least 1 */
} data_manifest;

/* What a list may be at most. A line is a row of a label file, or a record of a CSV file. */
enum {
    DATA_MANIFEST_MAX_CLASSES = 4096,
    DATA_MANIFEST_MAX_SPLITS = 64,
    DATA_MANIFEST_MAX_CLIPS = 10000000,
    DATA_MANIFEST_MAX_LINE = 65536,
    DATA_MANIFEST_MAX_NAME = 200,
    DATA_MANIFEST_MAX_FACES = 1000000
};

/* Reads a list of clips: a CSV file, or a folder as the VGAF database has it (docs/data.md describes both).
 * `classes` NULL: VGAF has positive, neutral, negative; a CSV file has its labels in the order in which they
 * first appear, but positive, neutral, negative where it has just these. Otherwise `classes` are the names in
 * order, and every other label is a mistake (a VGAF folder takes no other three).
 * Every file that a list names must be there, names are unique within a split, and every class has a clip.
 * Fails with TN_FORMAT and "FILE: line N: ..." for what is wrong in a file, with TN_IO, TN_RANGE or TN_NOMEM,
 * and leaves *out empty. */
tn_status data_manifest_read(tn_ctx *ctx, const char *path, const data_names *classes, data_manifest *out);
void data_manifest_free(tn_ctx *ctx, data_manifest *manifest); /* and empties it; an empty one is fine */

/* Writes a list as CSV, whole or not at all; files below the CSV file's folder get relative paths. Reading it
 * gives the same list, classes in that order with `classes` given. Fails with TN_IO or TN_NOMEM. */
tn_status data_manifest_write(tn_ctx *ctx, const char *path, const data_manifest *manifest);

/* Numbers of items, in the list's order. */
typedef struct data_selection {
    size_t *index; /* tn_free() */
    size_t count;  /* at least 1 after success */
} data_selection;

/* The clips of a split; NULL: of all. Fails with TN_RANGE where there are none (the message lists the splits
 * that there are) or TN_NOMEM. */
tn_status data_manifest_select(tn_ctx *ctx, const data_manifest *manifest, const char *split,
                               data_selection *out);

/* The same for training and scoring: fails with TN_RANGE where one of the clips has no label or a class has
 * no clip among them, too; the message names it. */
tn_status data_manifest_select_labelled(tn_ctx *ctx, const data_manifest *manifest, const char *split,
                                        data_selection *out);

/* What a split has. A video file counts as sound here: only decoding tells whether it has any. */
typedef struct data_split_summary {
    const char *name;       /* of the split; belongs to the manifest */
    size_t *clips_of_class; /* `classes` + 1 counts; the last is of unlabelled clips */
    size_t clips;           /* of all */
    size_t sources;         /* different ones */
    size_t shared_sources; /* of these, how many an earlier split has, too: what is learnt there leaks here */
    size_t no_frames;      /* clips without pictures */
    size_t no_audio;       /* clips without sound */
    size_t faces_known;    /* clips with a number of faces */
} data_split_summary;

typedef struct data_summary {
    data_split_summary *split; /* in the order in which splits first appear */
    size_t splits;             /* at least 1 after success */
} data_summary;

/* Counts. Fails with TN_NOMEM. */
tn_status data_manifest_summary(tn_ctx *ctx, const data_manifest *manifest, data_summary *out);
void data_summary_free(tn_ctx *ctx, data_summary *summary); /* and empties it */

/* A hash (64-bit FNV-1a) of what the list says: classes, and of each clip name, label, split, source, faces
 * and which modalities it has. Where files lie and how the list is written down do not count. */
uint64_t data_manifest_hash(const data_manifest *manifest);

/* The same, and of the bytes of every file that the list names; of folders, of their pictures in natural
 * order. Reads all of it. Fails as reading does. */
tn_status data_manifest_hash_files(tn_ctx *ctx, const data_manifest *manifest, uint64_t *out);

/* Deals `count` clips (numbers in `index`) to `folds` folds: clips of one source into the same one, classes
 * in about the same shares. Large sources go first, each to the fold where its classes are rarest; `seed`
 * orders equal ones (tn_uniform(seed, tn_hash(source), 0)), so that the folds are a function of the clips
 * alone, whatever their order. fold[i] becomes the fold of index[i]. Fails with TN_RANGE (fewer than 2 folds,
 * fewer sources than folds) or TN_NOMEM. */
tn_status data_manifest_folds(tn_ctx *ctx, const data_manifest *manifest, const size_t *index, size_t count,
                              int folds, uint64_t seed, int *fold);

/* ---- prepared clips ------------------------------------------------------------------------------------ */

/* What became of a clip's sound. All but DATA_SOUND_NONE have a file. */
typedef enum data_sound {
    DATA_SOUND_OK,
    DATA_SOUND_NONE,   /* no sound file and no sound in the video */
    DATA_SOUND_SILENT, /* every sample is 0 */
    DATA_SOUND_SHORT,  /* shorter than one window of features, 25 ms */
    DATA_SOUNDS
} data_sound;

const char *data_sound_name(data_sound sound); /* "ok", "none", "silent", "short" */

typedef struct data_prepared {
    char *frames;     /* folder of pictures; NULL: none; tn_free() */
    char *audio;      /* WAV file; NULL: none; tn_free() */
    data_sound sound; /* what it is like */
    bool kept;        /* it was there already, and whole */
    bool unwritable;  /* after a failure: the place is at fault (disk full), not the clip */
} data_prepared;

/* Makes the folder `out` (its parent must be there) ready for the clips of a list: folders for its splits,
 * what an interrupted run left half done removed, and locked, so that no other run works there. *lock is for
 * data_prepare_end(). Fails with TN_IO, also where the list was read from `out`/manifest.csv, TN_RANGE for a
 * split of that name, or TN_NOMEM. */
tn_status data_prepare_begin(tn_ctx *ctx, const char *out, const data_manifest *manifest, int *lock);
void data_prepare_end(int lock);

/* Prepares a clip: OUT/SPLIT/NAME/ gets options->frames PNG pictures of the network's size (01.png ...), the
 * sound of the window as audio.wav, and prepared.txt, which says what they were made of and has their hash.
 * The folder is there whole or not at all; one that is whole and was made of the same source with the same
 * options is kept. A clip read back from it is equal to the source's, byte by byte, and so is sound of up to
 * two channels (or four, eight ...) that is not resampled: WAV is mono, of 16 bits where these are enough,
 * else 32 bits of float. May run for different clips at once, each with a context of its own. Fails as
 * reading the source does, and with TN_IO for the folder. */
tn_status data_prepare_clip(tn_ctx *ctx, const char *out, const data_item *item,
                            const data_video_options *options, data_prepared *result);
void data_prepared_free(tn_ctx *ctx, data_prepared *result); /* and empties it */

#endif
