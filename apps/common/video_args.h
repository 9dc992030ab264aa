/* video_args: the command line of train-video. */
#ifndef APPS_COMMON_VIDEO_ARGS_H
#define APPS_COMMON_VIDEO_ARGS_H

#include "apps/common/train.h"

typedef struct video_args {
    cmd_line cmd;             /* common options */
    train_args train;         /* those of every training */
    const char *weights;      /* --video-weights */
    int num_frames, size;     /* --num-frames, --size; 0: as the weights say */
    const char *unfreeze;     /* --unfreeze; NULL: only the head is trained, on features */
    const char *batch_norm;   /* --batch-norm */
    bool flip;                /* --flip */
    double crop;              /* --crop; 1: none */
    int memory;               /* --memory, in MB */
    int width;                /* --width of a new network; 0: not given */
    const char *blocks;       /* --blocks of it; NULL: those of ResNet-50 */
    double fps;               /* --fps; 0: as the weights say */
    nn_train_options options; /* what all of it comes to */
} video_args;

/* Reads and checks it; defaults are those of Pinto et al. 2020. CMD_GO, or the status to exit with after what
 * it has told. */
int video_args_parse(video_args *args, int argc, char **argv);

#endif
