/* video_source: frames of clips as input of a network, changed at random in training. */
#ifndef APPS_COMMON_VIDEO_SOURCE_H
#define APPS_COMMON_VIDEO_SOURCE_H

#include "apps/common/video_clips.h"

typedef struct video_source_options {
    const data_video_options *take; /* of each clip, borrowed; height and width are equal */
    size_t memory;                  /* bytes of frames that are kept; what is more is read each time */
    uint64_t seed;                  /* of what is random */
    bool flip;                      /* mirror every other clip, left to right */
    double crop;                    /* least side of a random square, as a share of the frame's; 1: no crop */
    bool quiet;                     /* no progress bar */
} video_source_options;

typedef struct video_source {
    tn_ctx *ctx;                  /* borrowed */
    const video_part *part;       /* borrowed: whose clips */
    video_source_options options; /* as given */
    unsigned char **rgb;          /* frames of each clip that is kept; NULL: read each time */
    unsigned char *scratch[2];    /* a clip as it is read, and as it is changed */
} video_source;

/* Reads as many clips as are kept, on all threads, as far as train_interrupted() lets it. Fails as
 * video_read_clips(). What is in `out` after a failure is to be freed as well. */
tn_status video_source_open(tn_ctx *ctx, const video_part *part, const video_source_options *options,
                            video_source *out);
void video_source_close(video_source *source); /* an empty one is fine */

/* The frames of a clip; good until the next call. */
tn_status video_source_frames(video_source *source, size_t clip, unsigned char **rgb);

/* nn_clips.fill() of a video_source. With step > 0 all frames of the clip are mirrored with probability 1/2,
 * and cut to one square, whose side is uniform from `crop` to 1 of the frame's and whose place is uniform,
 * and resized back by data_image_resize(). Both are a function of seed, step and clip alone. */
tn_status video_source_fill(void *source, size_t clip, int64_t step, const tn_tensor *out);

#endif
