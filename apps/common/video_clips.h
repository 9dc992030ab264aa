/* video_clips: the frames of many clips, and what a frozen network makes of them, kept in a file. */
#ifndef APPS_COMMON_VIDEO_CLIPS_H
#define APPS_COMMON_VIDEO_CLIPS_H

#include "apps/common/train.h"
#include "data/data.h"

/* Clips of a list. */
typedef struct video_part {
    const data_manifest *manifest; /* borrowed */
    const size_t *index;           /* the clips, which have frames: numbers of the list; borrowed */
    size_t clips;                  /* of them */
    uint64_t *key;                 /* hash of each clip's files, of what is taken of them and of `salt` */
    float *features;               /* clips x width, or NULL */
} video_part;

/* Hashes the files of the clips, as far as train_interrupted() lets it. TN_IO, TN_NOMEM. What is in `part`
 * after a failure is to be freed as well. */
tn_status video_part_open(tn_ctx *ctx, const data_manifest *manifest, const size_t *index, size_t clips,
                          const data_video_options *take, uint64_t salt, video_part *part);
void video_part_free(tn_ctx *ctx, video_part *part); /* and empties it */

const data_item *video_part_item(const video_part *part, size_t clip);

/* Hashes the bytes of a file on top of *hash. TN_IO. */
tn_status video_hash_file(tn_ctx *ctx, const char *path, uint64_t *hash);

/* Reads the frames of one clip, take->frames x take->height x take->width x 3 bytes, into `rgb`. */
tn_status video_read_clip(tn_ctx *ctx, const data_item *item, const data_video_options *take,
                          unsigned char *rgb);
size_t video_clip_bytes(const data_video_options *take);

/* Reads `count` clips of a part at once, clip[i] into rgb[i], each thread one. Fails with the message of the
 * first that cannot be read, unless train_interrupted(): the signal may have ended a decoder, and what is in
 * `rgb` then is not to be used. */
tn_status video_read_clips(tn_ctx *ctx, const video_part *part, const size_t *clip, size_t count,
                           const data_video_options *take, unsigned char *const *rgb);

/* Features of the network `model` for all clips of a part: those that are in the cache are taken from there,
 * the others computed and added. Stops with *stopped after train_interrupted(); otherwise part->features is
 * filled. *computed counts the clips that had to be computed. */
tn_status video_part_features(tn_ctx *ctx, video_part *part, nn_model *model, const data_video_options *take,
                              nn_cache *cache, bool quiet, size_t *computed, bool *stopped);

#endif
