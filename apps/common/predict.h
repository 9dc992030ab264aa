/* predict: from a clip's files to an answer. */
#ifndef APPS_COMMON_PREDICT_H
#define APPS_COMMON_PREDICT_H

#include "data/data.h"
#include "nn/nn.h"

/* A clip: a folder of pictures or a video file or neither, and a sound file or none. A video file brings its
 * own sound unless there is a sound file. */
typedef struct clip_source {
    const char *name;   /* in the answer */
    const char *frames; /* folder of pictures; NULL: none */
    const char *video;  /* video file; NULL: none */
    const char *audio;  /* sound file; NULL: none */
} clip_source;

/* What a path names, for programs that are given nothing but paths: a folder is a folder of pictures; a file
 * is sound where it begins like WAV, AIFF, FLAC or AU, or else is called like a sound file (.wav .flac .ogg
 * .oga .opus .mp3 .aif .aiff .au); every other file is video. The path becomes the source's name. */
clip_source clip_source_of(const char *path);

/* What is to be taken of a clip for a video network: what the model file says, with `num_frames` frames where
 * that is not 0, else 10 frames of 224 x 224. */
data_video_options clip_options(const nn_model *video, int num_frames);

/* Reads blocks of each stage as text, "3,4,6,3", 1 to 64 each; false where it is another text. */
bool video_blocks_parse(const char *text, int blocks[NN_STAGES]);

/* The frames of a clip, one of source->frames and source->video being there. Fails as the functions of data.h
 * do. */
tn_status clip_read_frames(tn_ctx *ctx, const clip_source *source, const data_video_options *options,
                           data_clip *out);

/* Pixels as the video networks take them: data_clip_normalise() with ImageNet's mean and deviation, which the
 * released networks were trained with. */
void clip_normalise(const data_clip *clip, const tn_tensor *out);

/* Runs the video network on one clip. Fails as nn_video_prepare() and nn_model_run() do. */
tn_status clip_run_video(tn_ctx *ctx, nn_model *video, const data_clip *clip, nn_result *result);

/* ---- the whole way --------------------------------------------------------------------------------- */

typedef struct predictor_options {
    const char *video;       /* weights of the video network; NULL: none */
    const char *audio;       /* weights of the audio network; NULL: none */
    const char *fusion;      /* SVM that fuses; NULL: the mean */
    const wt_labels *labels; /* class names; NULL: those of the files */
    int num_frames;          /* of a clip; 0: as the model file says, else 10 */
    tn_precision precision;  /* of the video network */
    int activities;          /* 0: a valence; else name that many activities, from video alone */
} predictor_options;

typedef struct predictor predictor;

/* Opens the weights. Fails as nn_model_open() and nn_fusion_open() do, and with TN_SHAPE where the classes of
 * both networks differ or a network wants inputs that there are none of. */
tn_status predictor_open(tn_ctx *ctx, const predictor_options *options, predictor **out);
void predictor_close(predictor *p); /* NULL is fine */

int predictor_classes(const predictor *p);
const char *predictor_class_name(const predictor *p, int i);

/* Prints the profile of each network that has run. */
void predictor_profile(const predictor *p);

enum { PREDICTION_NOTES = 4, PREDICTION_NOTE_BYTES = 320 };

/* What a reader of the answer has to know. */
typedef struct prediction_notes {
    int count;                                          /* of them */
    char text[PREDICTION_NOTES][PREDICTION_NOTE_BYTES]; /* each without a full stop */
} prediction_notes;

/* What of a clip goes into the networks. */
typedef struct clip_inputs {
    data_clip clip;         /* rgb NULL: no frames */
    data_features features; /* value NULL: no sound */
    prediction_notes notes; /* of what is left out */
    double seconds;         /* that reading it took */
} clip_inputs;

/* Reads a clip. What the clip or the weights lack is left out with a note; sound that is digital silence or
 * shorter than a window too, where there are frames. Fails where nothing is left to judge (TN_RANGE), where a
 * file is bad, and with TN_NOMEM; what is in `out` then is to be freed as well. Any thread may call it with a
 * context of its own, while others do and while the predictor judges. */
tn_status predict_read(const predictor *p, tn_ctx *ctx, const clip_source *source, clip_inputs *out);
void clip_inputs_free(tn_ctx *ctx, clip_inputs *in); /* and empties them */

/* Where an answer comes from: "svm", "mean", "video", "audio". */
typedef enum prediction_fusion {
    PREDICTION_SVM,
    PREDICTION_MEAN,
    PREDICTION_VIDEO,
    PREDICTION_AUDIO
} prediction_fusion;

const char *prediction_fusion_name(prediction_fusion fusion);

/* The answer for one clip. Pointers belong to the predictor and are good until its next clip. */
typedef struct prediction {
    int label;                /* class; -1: activities were asked for */
    prediction_fusion fusion; /* where it comes from */
    const double *fused;      /* a probability a class; NULL: the SVM has none, or there is no label */
    const float *video;       /* softmax of the video network; NULL: not used */
    const float *audio;       /* softmax of the audio network; NULL: not used */
    const int *activity;      /* classes of `video`, most probable first; NULL: not asked for */
    int activities;           /* of them */
    int frames;               /* of the clip; 0 where video is not used */
    size_t windows;           /* of the sound; 0 where audio is not used */
    prediction_notes notes;   /* of the clip and of judging it */
} prediction;

/* Judges a clip that predict_read() has read. Fails as running the networks does. */
tn_status predict(predictor *p, const clip_inputs *in, prediction *out);

#endif
