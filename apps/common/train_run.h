/* train_run: one network of a training program, from its first values to its scores. */
#ifndef APPS_COMMON_TRAIN_RUN_H
#define APPS_COMMON_TRAIN_RUN_H

#include "apps/common/train_job.h"

/* Clips as a trainer wants them. */
typedef struct train_feed {
    const train_job *job; /* borrowed */
    int part;             /* whose clips */
    const size_t *clip;   /* which of them, borrowed; NULL: all */
    int *label, *steps;   /* of these */
    nn_clips clips;       /* what is made of it */
} train_feed;

/* A run in the making. */
typedef struct train_run {
    train_job *job;                      /* borrowed */
    int fold;                            /* that is left out; -1: none */
    char *out, *best, *checkpoint, *log; /* its folder and files in it */
    size_t *learn;                       /* clips of TRAIN_LEARN that it learns from */
    size_t learn_count;                  /* of them */
    train_feed feed[TRAIN_PARTS];        /* of these; all clips of the other parts */
    float *class_weight;                 /* or NULL */
    wt_meta setting[49];                 /* of the checkpoint: the job's, and which fold it is */
    int settings;                        /* of them */
    char fold_text[32];                  /* "2/5" */
    tn_graph *graph;                     /* network */
    nn_network net;                      /* its vars */
    nn_trainer *trainer;                 /* what trains it */
    wt_file *file;                       /* weights of the best epoch, which the graph borrows in the end */
    char *lines;                         /* text of the log */
    size_t line_bytes;                   /* of it */
    double epoch_begun;                  /* when the epoch began */
    report_bar bar;                      /* over all steps */
    nn_train_end end;                    /* how it ended */
} train_run;

/* Makes the network, the trainer and their files' names; with --resume takes what the checkpoint has. What is
 * in `run` after a failure is to be freed as well. */
tn_status train_run_open(train_job *job, int fold, train_run *run);

/* Trains, and leaves the best epoch's weights in the graph. After a failure the best model so far is there,
 * too. TN_OK and job->stopped after a signal. */
tn_status train_run_go(train_run *run);

/* What the best epoch says of `count` clips of a part (`clip` NULL: of all), `classes` numbers each. TN_OK
 * and job->stopped after a signal. */
tn_status train_run_ask(train_run *run, int part, const size_t *clip, size_t count, double *probability);

void train_run_close(train_run *run);

#endif
