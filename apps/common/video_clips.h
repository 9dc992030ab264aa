/* video_clips: the frames of many clips, and what a frozen network makes of them, kept in a file. */
#ifndef APPS_COMMON_VIDEO_CLIPS_H
#define APPS_COMMON_VIDEO_CLIPS_H

#include "apps/common/train.h"
#include "data/data.h"

/* The clips of a split. */
typedef struct video_part {
    const char *name;              /* of the split; NULL: the part is not there */
    const data_manifest *manifest; /* borrowed */
    data_selection selection;      /* clips of the list; those without frames are taken out */
    int *label;                    /* class of each; -1: unlabelled */
    uint64_t *key;                 /* hash of each clip's files, of what is taken of them and of `salt` */
    train_split count;             /* clips of each class, and left out ones */
    float *features;               /* clips x width, or NULL */
} video_part;

/* The one reason why clips are left out. */
extern const char *const video_part_reason;

/* Selects the clips of `part->name`, leaves out those without frames and hashes the files of the others.
 * `labelled`: each clip must have a class; `complete`: each class a clip. TN_RANGE names what is missing;
 * TN_IO. What is in `part` after a failure is to be freed as well. */
tn_status video_part_read(tn_ctx *ctx, const data_manifest *manifest, const data_video_options *take,
                          uint64_t salt, bool labelled, bool complete, video_part *part);
void video_part_free(tn_ctx *ctx, video_part *part); /* and empties it */

const data_item *video_part_item(const video_part *part, size_t clip);

/* Hashes the bytes of a file on top of *hash. TN_IO. */
tn_status video_hash_file(tn_ctx *ctx, const char *path, uint64_t *hash);

/* Reads the frames of one clip, take->frames x take->height x take->width x 3 bytes, into `rgb`. */
tn_status video_read_clip(tn_ctx *ctx, const data_item *item, const data_video_options *take,
                          unsigned char *rgb);
size_t video_clip_bytes(const data_video_options *take);

/* Reads `count` clips of a part at once, clip[i] into rgb[i], each thread one. Fails with the message of the
 * first that cannot be read. */
tn_status video_read_clips(tn_ctx *ctx, const video_part *part, const size_t *clip, size_t count,
                           const data_video_options *take, unsigned char *const *rgb);

/* Features of the network `model` for all clips of a part: those that are in the cache are taken from there,
 * the others computed and added. Stops with *stopped after train_interrupted(); otherwise part->features is
 * filled. *computed counts the clips that had to be computed. */
tn_status video_part_features(tn_ctx *ctx, video_part *part, nn_model *model, const data_video_options *take,
                              nn_cache *cache, bool quiet, size_t *computed, bool *stopped);

#endif
