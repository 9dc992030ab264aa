/* train_scores: what a network says of labelled clips, as a score file. */
#ifndef APPS_COMMON_TRAIN_SCORES_H
#define APPS_COMMON_TRAIN_SCORES_H

#include "data/data.h"
#include "nn/nn.h"

/* Saves `probability`, for each clip of `selection` a number a class, as a score file with labels, sources,
 * faces and splits of the list. Fails as nn_scores_write() does, and with TN_NOMEM. */
tn_status train_save_scores(tn_ctx *ctx, const char *path, const data_manifest *manifest,
                            const data_selection *selection, const double *probability);

#endif
