/* What a training run is made of, to a checkpoint and back. */
#include "nn/train.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { COUNTERS = 5, VALUES = 5, OWN_TENSORS = 4, OWN_META = 2, SEED_TEXT = 24 };

/* The run as tensors and metadata, in the making. */
typedef struct picture {
    int64_t counter[COUNTERS]; /* "train.counters" */
    double value[VALUES];      /* "train.values" */
    char seed[SEED_TEXT];      /* of the metadata */
    char (*name)[2 * NN_NAME]; /* of the moments */
    wt_tensor *tensor;         /* all of them */
    int tensors;               /* how many */
    wt_meta *meta;             /* "train.seed" and the settings */
    int metas;                 /* how many */
} picture;

static void add_array(picture *p, const char *name, wt_dtype dtype, int64_t n, const void *data)
{
    p->tensor[p->tensors++] = (wt_tensor){.name = name, .dtype = dtype, .rank = 1, .size = {n}, .data = data};
}

static void take_tensors(picture *p, const nn_trainer *t)
{
    for (int i = 0; i < tn_param_count(t->graph); i++) {
        const tn_var *param = tn_param_at(t->graph, i);
        wt_tensor tensor = {.name = tn_var_name(param),
                            .dtype = WT_F32,
                            .rank = tn_var_rank(param),
                            .data = tn_value_const(param)};
        memcpy(tensor.size, tn_var_size(param), (size_t)tensor.rank * sizeof *tensor.size);
        p->tensor[p->tensors++] = tensor;
    }
    for (int i = 0; i < nn_optimizer_count(t->optimizer); i++)
        p->tensor[p->tensors++] = nn_optimizer_moment(t->optimizer, i, p->name[i], sizeof p->name[i]);
    const int64_t counter[COUNTERS] = {t->step, t->epoch, t->batch, t->best_epoch, t->waited};
    const double value[VALUES] = {t->tally.loss, t->tally.weight, t->best_accuracy, t->best_loss,
                                  t->lowest_loss};
    memcpy(p->counter, counter, sizeof counter);
    memcpy(p->value, value, sizeof value);
    add_array(p, "train.counters", WT_I64, COUNTERS, p->counter);
    add_array(p, "train.values", WT_F64, VALUES, p->value);
    add_array(p, "train.rows", WT_I64, t->classes, t->tally.rows);
    add_array(p, "train.hits", WT_I64, t->classes, t->tally.hits);
}

static tn_status take(picture *p, const nn_trainer *t)
{
    const size_t moments = (size_t)nn_optimizer_count(t->optimizer);
    *p = (picture){0};
    p->name = tn_alloc(t->ctx, moments, sizeof *p->name);
    p->tensor =
        tn_zalloc(t->ctx, (size_t)tn_param_count(t->graph) + moments + OWN_TENSORS, sizeof *p->tensor);
    p->meta = tn_alloc(t->ctx, (size_t)t->option.setting_count + OWN_META, sizeof *p->meta);
    if (!p->name || !p->tensor || !p->meta)
        return TN_NOMEM;
    take_tensors(p, t);
    snprintf(p->seed, sizeof p->seed, "%" PRIu64, t->option.seed);
    p->meta[p->metas++] = (wt_meta){"train.checkpoint", "1"};
    p->meta[p->metas++] = (wt_meta){"train.seed", p->seed};
    for (int i = 0; i < t->option.setting_count; i++)
        p->meta[p->metas++] = t->option.settings[i];
    return TN_OK;
}

static void drop(const nn_trainer *t, picture *p)
{
    tn_free(t->ctx, p->name);
    tn_free(t->ctx, p->tensor);
    tn_free(t->ctx, p->meta);
}

tn_status nn_trainer_save(const nn_trainer *t, const char *path)
{
    picture p;
    tn_status status = take(&p, t);
    if (status == TN_OK)
        status = nn_checkpoint_save(t->ctx, path, p.tensor, p.tensors, p.meta, p.metas);
    drop(t, &p);
    return status;
}

/* ---- back ------------------------------------------------------------------------------------------ */

/* The file is of a run with the same settings. */
static tn_status check_meta(const nn_trainer *t, const wt_file *file, const picture *p)
{
    for (int i = 0; i < p->metas; i++) {
        const char *said = wt_metadata(file, p->meta[i].key);
        char text[64], now[64];
        if (said && strcmp(said, p->meta[i].value) == 0)
            continue;
        return tn_fail(t->ctx, TN_RANGE, "%s: saved with %s = %s, this run has %s: cannot go on",
                       wt_path(file), p->meta[i].key,
                       said ? wt_printable(said, text, sizeof text) : "(nothing)",
                       wt_printable(p->meta[i].value, now, sizeof now));
    }
    return TN_OK;
}

static tn_status check_tensors(const nn_trainer *t, const wt_file *file, const picture *p)
{
    for (int i = 0; i < p->tensors; i++) {
        const wt_tensor *want = &p->tensor[i];
        const wt_entry *e = wt_find(file, want->name);
        if (!e)
            return tn_fail(t->ctx, TN_SHAPE, "%s: %s is missing", wt_path(file), want->name);
        if (e->dtype != want->dtype || e->rank != want->rank ||
            memcmp(e->size, want->size, (size_t)e->rank * sizeof *e->size) != 0)
            return tn_fail(t->ctx, TN_SHAPE, "%s: %s is %s, expected %s", wt_path(file), want->name,
                           nn_shape(e->rank, e->size).text, nn_shape(want->rank, want->size).text);
    }
    if (wt_count(file) != p->tensors)
        return tn_fail(t->ctx, TN_SHAPE, "%s: %d tensors, expected %d", wt_path(file), wt_count(file),
                       p->tensors);
    return TN_OK;
}

/* Counters that no run can have would be used as sizes and indices. */
static tn_status check_counters(const nn_trainer *t, const wt_file *file, const int64_t *counter)
{
    for (int i = 0; i < COUNTERS; i++)
        if (counter[i] < 0 || counter[i] > INT64_C(1) << 52)
            return tn_fail(t->ctx, TN_FORMAT, "%s: train.counters: element %d is %" PRId64, wt_path(file), i,
                           counter[i]);
    return TN_OK;
}

static tn_status copy(const nn_trainer *t, const wt_file *file, const char *name, void *out)
{
    const wt_entry *e = wt_find(file, name);
    return wt_copy(t->ctx, file, e, out, e->count);
}

/* Into the run: all was checked before, so that nothing fails half-way. */
static tn_status restore(nn_trainer *t, const wt_file *file, picture *p)
{
    TN_TRY(copy(t, file, "train.counters", p->counter));
    TN_TRY(copy(t, file, "train.values", p->value));
    TN_TRY(check_counters(t, file, p->counter));
    for (int i = 0; i < tn_param_count(t->graph); i++) {
        tn_var *param = tn_param_at(t->graph, i);
        const tn_tensor value = tn_value(param);
        if (!value.data)
            return TN_NOMEM;
        TN_TRY(copy(t, file, tn_var_name(param), value.data));
    }
    for (int i = 0; i < nn_optimizer_count(t->optimizer); i++)
        TN_TRY(copy(t, file, p->name[i], nn_optimizer_values(t->optimizer, i)));
    TN_TRY(copy(t, file, "train.rows", t->tally.rows));
    TN_TRY(copy(t, file, "train.hits", t->tally.hits));
    t->step = p->counter[0];
    t->epoch = p->counter[1];
    t->batch = p->counter[2];
    t->best_epoch = p->counter[3];
    t->waited = p->counter[4];
    t->tally.loss = p->value[0];
    t->tally.weight = p->value[1];
    t->best_accuracy = p->value[2];
    t->best_loss = p->value[3];
    t->lowest_loss = p->value[4];
    return TN_OK;
}

tn_status nn_trainer_load(nn_trainer *t, const char *path)
{
    picture p;
    wt_file *file = NULL;
    tn_status status = nn_checkpoint_open(t->ctx, path, &file);
    if (status != TN_OK)
        return status;
    status = take(&p, t);
    if (status == TN_OK)
        status = check_meta(t, file, &p);
    if (status == TN_OK)
        status = check_tensors(t, file, &p);
    if (status == TN_OK)
        status = restore(t, file, &p);
    drop(t, &p);
    wt_close(file);
    return status;
}
