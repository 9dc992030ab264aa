#include "apps/common/train_scores.h"

static tn_status fill(const data_manifest *manifest, const data_selection *selection, train_ask_fn ask,
                      void *arg, nn_score *row, double *value)
{
    const size_t classes = (size_t)manifest->classes;
    for (size_t i = 0; i < selection->count; i++, value += classes) {
        const data_item *item = &manifest->item[selection->index[i]];
        row[i] = (nn_score){.name = item->name,
                            .label = item->label,
                            .source = item->source ? item->source : "",
                            .faces = item->faces,
                            .split = item->split,
                            .probability = value};
        TN_TRY(ask(arg, i, value));
        for (size_t c = 1; c < classes; c++)
            if (value[c] > value[row[i].predicted])
                row[i].predicted = (int)c;
    }
    return TN_OK;
}

tn_status train_save_scores(tn_ctx *ctx, const char *path, const data_manifest *manifest,
                            const data_selection *selection, train_ask_fn ask, void *arg)
{
    size_t values;
    if (!tn_mul_size(selection->count, (size_t)manifest->classes, &values))
        return tn_fail(ctx, TN_NOMEM, "%s: too many scores", path);
    nn_score *row = tn_zalloc(ctx, selection->count, sizeof *row);
    double *value = tn_alloc(ctx, values, sizeof *value);
    tn_status status = row && value ? TN_OK : TN_NOMEM;
    if (status == TN_OK)
        status = fill(manifest, selection, ask, arg, row, value);
    const nn_scores scores = {.classes = manifest->classes,
                              .class_name = (const char **)manifest->class_name,
                              .count = selection->count,
                              .row = row};
    if (status == TN_OK)
        status = nn_scores_write(ctx, path, &scores);
    tn_free(ctx, row);
    tn_free(ctx, value);
    return status;
}
