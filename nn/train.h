/* What the files of the training loop share. */
#ifndef NN_TRAIN_H
#define NN_TRAIN_H

#include "nn/internal.h"

/* How well clips are told so far. */
typedef struct nn_tally {
    double loss;   /* sum of the clips' losses, each times its class's weight */
    double weight; /* sum of those weights */
    int64_t *rows; /* clips of each class */
    int64_t *hits; /* those of them that were told right */
} nn_tally;

/* A plan for one shape of batches, kept while shapes repeat. */
typedef struct nn_batch_plan {
    tn_mode mode;  /* of the plan */
    bool asks;     /* for nn_trainer_ask(): no labels, and weights that stay */
    tn_plan *plan; /* NULL: not made yet */
    int64_t rows;  /* of a batch */
    int64_t steps; /* of its longest clip */
} nn_batch_plan;

/* The clips of an epoch in order, cut into batches. */
typedef struct nn_order {
    size_t batch;   /* clips of a batch */
    size_t least;   /* of the last one, unless it is the only one */
    size_t *clip;   /* every clip once */
    size_t *first;  /* where each batch begins in `clip` */
    size_t batches; /* of them */
} nn_order;

struct nn_trainer {
    tn_ctx *ctx;              /* borrowed: the graph's */
    tn_graph *graph;          /* borrowed */
    nn_network net;           /* its vars */
    tn_var *loss;             /* output "loss" */
    int classes;              /* of the head */
    nn_train_options option;  /* as given; borrows what it points to */
    nn_optimizer *optimizer;  /* owned */
    nn_batch_plan train, val; /* plans of the two modes */
    nn_batch_plan ask;        /* plan for one clip whose label is not known */
    nn_order order;           /* of the epoch under way */
    nn_tally tally;           /* of the epoch under way */
    int64_t step;             /* updates done */
    int64_t epoch;            /* epochs done */
    int64_t batch;            /* batches done in the epoch under way */
    int64_t best_epoch;       /* the epoch that is kept; 0: none yet */
    int64_t waited;           /* epochs since the validation loss was lowest */
    double best_accuracy;     /* on validation, of the epoch that is kept */
    double best_loss;         /* same */
    double lowest_loss;       /* on validation, so far */
    tn_step_info *profile;    /* with options.profile: sums over the plans of training; owns its `fused` */
    int profile_count;        /* of their steps */
};

/* train_batch.c: the order of an epoch; the plan of a batch, filled. */
tn_status nn_order_make(tn_ctx *ctx, nn_order *order, size_t clips, size_t batch, size_t least);
void nn_order_free(tn_ctx *ctx, nn_order *order);

/* A permutation that is a function of seed and epoch, cut into batches; groups of `bucket` batches are sorted
 * by length, and then the batches shuffled. */
void nn_order_shuffle(nn_order *order, const nn_clips *clips, size_t bucket, uint64_t seed, uint64_t epoch);

/* All clips by length. */
void nn_order_sort(nn_order *order, const nn_clips *clips);

/* The clips of batch i, and how many they are. */
const size_t *nn_order_batch(const nn_order *order, const nn_clips *clips, size_t i, size_t *rows);

/* Makes the plan fit for the batch and writes its inputs, labels but where it asks. `step` is what fill() is
 * told. */
tn_status nn_batch_fill(nn_trainer *t, nn_batch_plan *plan, const nn_clips *clips, const size_t *clip,
                        size_t rows, int64_t step);

/* Frees the plan; with options.profile what one of training has cost is kept first. NULL is fine. */
void nn_batch_drop(nn_trainer *t, nn_batch_plan *plan);
void nn_profile_free(nn_trainer *t);

/* Adds the batch that the plan has run, with its mean loss. */
void nn_tally_add(const nn_trainer *t, nn_tally *tally, const tn_plan *plan, const nn_clips *clips,
                  const size_t *clip, size_t rows, bool weighted, double loss);
double nn_tally_loss(const nn_tally *tally);
double nn_tally_accuracy(const nn_tally *tally, int classes);
double nn_tally_uar(const nn_tally *tally, int classes);
void nn_tally_clear(nn_tally *tally, int classes);

#endif
