/* train_scores: what a network says of the clips it was trained and validated with, as a score file. */
#ifndef APPS_COMMON_TRAIN_SCORES_H
#define APPS_COMMON_TRAIN_SCORES_H

#include "data/data.h"
#include "nn/nn.h"

/* Writes the probabilities of clip `clip`, one a class of the list. */
typedef tn_status (*train_ask_fn)(void *arg, size_t clip, double *probability);

/* Asks for each of the clips of `selection`, numbered from 0, and saves the answers as a score file with
 * labels, sources, faces and splits of the list. Fails as ask() and nn_scores_write() do, and with TN_NOMEM.
 */
tn_status train_save_scores(tn_ctx *ctx, const char *path, const data_manifest *manifest,
                            const data_selection *selection, train_ask_fn ask, void *arg);

#endif
