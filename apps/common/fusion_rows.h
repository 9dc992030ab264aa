/* fusion_rows: what two networks say of the same clips, side by side, and machines that learn from it. */
#ifndef APPS_COMMON_FUSION_ROWS_H
#define APPS_COMMON_FUSION_ROWS_H

#include "nn/nn.h"

/* Why a clip is left out. */
enum { FUSION_NO_VIDEO, FUSION_NO_AUDIO, FUSION_NO_LABEL, FUSION_REASONS };
extern const char *const fusion_reason[FUSION_REASONS]; /* "without video scores", ... */

/* The clips of a split that both score files have. */
typedef struct fusion_rows {
    const char *name;                /* of the split, borrowed */
    nn_scores video, audio;          /* the two files; names and labels are borrowed from them */
    int classes;                     /* of both */
    size_t count;                    /* clips, in the order of the video's file */
    nn_score *row;                   /* count: name, label, source, faces, split; the rest to be filled in */
    double *value;                   /* count x 2 classes: [video | audio], each rounded to a float as the
                                        networks hand it to nn_fuse() */
    double *probability;             /* count x classes: what fusion_ask() writes */
    size_t left_out[FUSION_REASONS]; /* clips; those without label only where labels were asked for */
} fusion_rows;

/* Reads and joins two score files by name and split. With `labelled`, clips without a label are left out.
 * Fails as nn_scores_read() does, and with TN_FORMAT naming both files where classes (or their order), a
 * clip's labels or its splits are not the same in both. Having no clip at all is no failure. To be freed
 * after a failure too. */
tn_status fusion_rows_read(tn_ctx *ctx, const char *name, const char *video, const char *audio, bool labelled,
                           fusion_rows *out);
void fusion_rows_free(tn_ctx *ctx, fusion_rows *rows);

/* nn_hash() over classes, names, labels and numbers. */
uint64_t fusion_rows_hash(const fusion_rows *rows, uint64_t hash);

/* The labelled clips of the `count` (1 or 2) sets as data for a machine, labels 1 for the first class and so
 * on; with `fold`, only those of the first set whose fold is not `held`. TN_NOMEM. */
tn_status fusion_data(tn_ctx *ctx, const fusion_rows *const *rows, int count, const int *fold, int held,
                      nn_svm_data *out);

/* Lets a machine with probabilities tell clips: sets `predicted` to its vote, and `probability`. With `fold`,
 * only clips whose fold is `held`. A class that the machine does not know has probability 0. TN_NOMEM. */
tn_status fusion_ask(tn_ctx *ctx, const nn_svm *svm, fusion_rows *rows, const int *fold, int held);

/* Saves what was told as a score file. Fails as nn_scores_write() does. */
tn_status fusion_save(tn_ctx *ctx, const fusion_rows *rows, const char *path);

/* How many of the labelled clips are told right; *labelled is their number. */
size_t fusion_right(const fusion_rows *rows, size_t *labelled);

#endif
