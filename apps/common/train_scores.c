#include "apps/common/train_scores.h"

static void take_row(const data_item *item, const double *probability, int classes, nn_score *row)
{
    *row = (nn_score){.name = item->name,
                      .label = item->label,
                      .source = item->source ? item->source : "",
                      .faces = item->faces,
                      .split = item->split,
                      .probability = probability};
    for (int c = 1; c < classes; c++)
        if (probability[c] > probability[row->predicted])
            row->predicted = c;
}

tn_status train_save_scores(tn_ctx *ctx, const char *path, const data_manifest *manifest,
                            const data_selection *selection, const double *probability)
{
    nn_score *row = tn_alloc(ctx, selection->count, sizeof *row);
    if (!row)
        return TN_NOMEM;
    for (size_t i = 0; i < selection->count; i++)
        take_row(&manifest->item[selection->index[i]], probability + i * (size_t)manifest->classes,
                 manifest->classes, &row[i]);
    const nn_scores scores = {.classes = manifest->classes,
                              .class_name = (const char **)manifest->class_name,
                              .count = selection->count,
                              .row = row};
    const tn_status status = nn_scores_write(ctx, path, &scores);
    tn_free(ctx, row);
    return status;
}
