/* sounds: the features of many clips' sound, computed once, a clip to a thread. */
#ifndef APPS_COMMON_SOUNDS_H
#define APPS_COMMON_SOUNDS_H

#include "data/data.h"

/* What a clip's sound is good for. */
typedef enum sound_state {
    SOUND_GOOD,    /* it has features, all of them finite */
    SOUND_ODD,     /* some are no finite numbers */
    SOUND_MISSING, /* the clip has no sound */
    SOUND_SILENT,  /* every sample is 0 */
    SOUND_SHORT,   /* less than a window */
    SOUND_STATES
} sound_state;

const char *sound_state_name(sound_state state); /* "good", "with non-numbers", "without sound", ... */

typedef struct sound {
    sound_state state;      /* of the five */
    data_features features; /* where it is SOUND_GOOD or SOUND_ODD */
    int worker;             /* whose memory that is */
} sound;

typedef struct sounds {
    sound *clip;     /* one for each clip asked for */
    size_t count;    /* of them */
    tn_ctx **worker; /* a context of one thread for each thread of the caller's */
    int workers;     /* of them */
    bool stopped;    /* options->stop() said so before all were read */
} sounds;

typedef struct sound_options {
    int rate;                      /* Hz that sound is resampled to; 0: as it is */
    data_feature_options features; /* what is computed */
    bool quiet;                    /* no progress bar */
    bool (*stop)(void);            /* asked before each clip, on any thread: whether to stop; NULL: no */
} sound_options;

/* The sound of the clips `index` (`count` of them) of a list: their sound file's, else their video file's.
 * Fails with the message of the first clip, in that order, whose file cannot be read, unless it was to stop
 * (the signal that says so may have ended a decoder); what is in `out` then is to be freed as well. */
tn_status sounds_read(tn_ctx *ctx, const data_manifest *manifest, const size_t *index, size_t count,
                      const sound_options *options, sounds *out);
void sounds_free(tn_ctx *ctx, sounds *s); /* and empties it */

/* Frees the features of one clip. */
void sounds_drop(sounds *s, size_t clip);

#endif
