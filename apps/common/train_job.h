/* train_job: a program that trains, but for what is its own: how clips become input, and its network.
 *
 * A program fills in a train_job, calls train_job_open(), train_job_read() and, when its settings are known,
 * train_job_run(): one network learns from all clips, and with --oof one more for each fold from those
 * outside it. Each of them is a run of its own in a folder of its own, which goes on from its own checkpoint.
 */
#ifndef APPS_COMMON_TRAIN_JOB_H
#define APPS_COMMON_TRAIN_JOB_H

#include "apps/common/train.h"
#include "data/data.h"

/* The splits of a list by what they are for. */
enum { TRAIN_LEARN, TRAIN_VAL, TRAIN_TEST, TRAIN_PARTS };

/* The clips of a split. */
typedef struct train_part {
    const char *name;         /* of the split; NULL: the part is not there */
    data_selection selection; /* clips of the list; those that cannot be used are taken out */
    size_t *place;            /* which each was of all clips of the split */
    int *label;               /* class of each; -1: unlabelled */
    int *steps;               /* length of each, for the program to fill in; not read without lengths */
    train_split count;        /* clips of each class, and left out ones */
} train_part;

typedef struct train_job train_job;

/* What is a program's own. Hooks are handed train_job.self; `part` is one of the three, `clip` a number of
 * its clips. */
typedef struct train_kind {
    const char *name;          /* its files are called after it: "audio" */
    const char *best;          /* file that the weights of the best epoch are in: "audio.safetensors" */
    const char *content;       /* what of a clip it learns from: "sound" */
    const char *const *reason; /* why clips are left out */
    int reasons;               /* of them */
    bool lengths;              /* clips have lengths */

    /* Looks at all clips of a split: reason[i] (0 before) becomes 1 + the number of the reason why clip i of
     * the selection is left out. May set job->stopped. */
    tn_status (*examine)(void *self, int part, int *reason);

    /* Makes a network, with the values to begin with, that is to learn from `count` clips of TRAIN_LEARN.
     * What else hangs on them (scaling) is made here, too. The graph before it is gone already. */
    tn_status (*make)(void *self, const size_t *clip, size_t count, tn_graph **graph, nn_network *net);

    /* nn_clips.fill(). */
    tn_status (*fill)(void *self, int part, size_t clip, int64_t step, const tn_tensor *out);

    /* Saves the graph as `best`, and opens such a file. */
    tn_status (*save)(void *self, tn_graph *graph, const char *path, const wt_meta *meta, int count);
    tn_status (*open)(tn_ctx *ctx, const char *path, wt_file **out);

    /* Where `best` is not all of the model: makes it, at `path`, of a graph with the best epoch's weights.
     * NULL where it is. */
    tn_status (*finish)(void *self, tn_graph *graph, const char *path, const wt_meta *meta, int count);
} train_kind;

struct train_job {
    tn_ctx *ctx;                   /* for memory and messages */
    const cmd_line *cmd;           /* common options */
    const train_args *args;        /* those of every training */
    nn_train_options options;      /* what these come to */
    const train_kind *kind;        /* hooks */
    void *self;                    /* their argument */
    data_manifest manifest;        /* all clips: train_job_open() */
    train_part part[TRAIN_PARTS];  /* of the list: train_job_read() */
    int64_t size[TN_MAX_RANK - 1]; /* of the input of one clip, as in nn_clips */
    train_settings settings;       /* resolved */
    int *fold;                     /* of each clip to learn from; NULL without --oof */
    train_signals before;          /* what signals did before */
    bool watching;                 /* `before` is there */
    bool stopped;                  /* SIGINT or SIGTERM came, and the work at hand was ended */
    bool begun;                    /* there is something to go on from */
};

/* Makes the folder and reads the list. From here on, signals only stop the work at hand. Class names that
 * no model file or no score file can hold are TN_RANGE. */
tn_status train_job_open(train_job *job);

/* Selects the clips of each split, has them examined, tells which are left out, and deals folds. TN_RANGE
 * where nothing is left of a split, or of a class to learn, in a fold's clips too; TN_OK and job->stopped
 * after a signal. */
tn_status train_job_read(train_job *job);

/* A hash over class names, and name, label and hash(self, part, clip, hash) of each clip that is learnt from
 * or validated with. */
uint64_t train_job_hash(const train_job *job,
                        uint64_t (*hash)(const void *self, int part, size_t clip, uint64_t so_far));

/* Learns, scores and saves. A graph of the program's is gone behind it. TN_OK and job->stopped after a
 * signal. */
tn_status train_job_run(train_job *job);

/* Tells how it ended and frees the job; the exit status. What went wrong is left to cmd_run(). */
int train_job_close(train_job *job, tn_status status);

const data_item *train_item(const train_job *job, int part, size_t clip);

#endif
