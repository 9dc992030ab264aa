/* The training loop: epochs of shuffled batches, validation, early stopping, checkpoints. */
#include "nn/train.h"

#include <math.h>
#include <stdio.h>

/* ---- making ---------------------------------------------------------------------------------------- */

static tn_status check_options(tn_ctx *ctx, const nn_train_options *o)
{
    const nn_schedule *s = &o->schedule;
    if (o->epochs < 1 || o->batch < 1 || o->bucket < 0 || o->patience < 0 || o->least < 0)
        return tn_fail(ctx, TN_RANGE,
                       "training: %d epochs, batches of %d and at least %d, buckets of %d, patience %d: "
                       "expected at least 1, 1, 0, 0, 0",
                       o->epochs, o->batch, o->least, o->bucket, o->patience);
    if (!(s->rate > 0) || (s->kind == NN_SCHEDULE_COSINE && !(s->epochs > 0)) ||
        (s->kind == NN_SCHEDULE_STEP && !(s->every > 0 && s->factor > 0)))
        return tn_fail(ctx, TN_RANGE, "training: the learning rate and its schedule want numbers above 0");
    return TN_OK;
}

static tn_status make(nn_trainer *t)
{
    TN_TRY(check_options(t->ctx, &t->option));
    t->loss = nn_add_loss(t->graph, t->net.logits, t->classes, t->option.class_weight != NULL);
    t->tally.rows = tn_zalloc(t->ctx, (size_t)t->classes, sizeof *t->tally.rows);
    t->tally.hits = tn_zalloc(t->ctx, (size_t)t->classes, sizeof *t->tally.hits);
    if (!t->tally.rows || !t->tally.hits)
        return TN_NOMEM;
    return nn_optimizer_create(t->graph, &t->option.optimizer, &t->optimizer);
}

tn_status nn_trainer_create(tn_graph *graph, const nn_network *net, int classes,
                            const nn_train_options *options, nn_trainer **out)
{
    tn_ctx *ctx = tn_graph_ctx(graph);
    *out = NULL;
    nn_trainer *t = tn_zalloc(ctx, 1, sizeof *t);
    if (!t)
        return TN_NOMEM;
    t->ctx = ctx;
    t->graph = graph;
    t->net = *net;
    t->classes = classes;
    t->option = *options;
    t->train.mode = TN_TRAINING;
    t->val.mode = t->ask.mode = TN_INFERENCE;
    t->ask.asks = true;
    t->best_loss = t->lowest_loss = INFINITY;
    const tn_status status = make(t);
    if (status == TN_OK)
        *out = t;
    else
        nn_trainer_destroy(t);
    return status;
}

void nn_trainer_destroy(nn_trainer *t)
{
    if (!t)
        return;
    nn_batch_drop(t, &t->train);
    nn_batch_drop(t, &t->val);
    nn_batch_drop(t, &t->ask);
    nn_order_free(t->ctx, &t->order);
    nn_optimizer_destroy(t->optimizer);
    tn_free(t->ctx, t->tally.rows);
    tn_free(t->ctx, t->tally.hits);
    nn_profile_free(t);
    tn_free(t->ctx, t);
}

nn_train_progress nn_trainer_progress(const nn_trainer *t)
{
    return (nn_train_progress){.step = t->step,
                               .epoch = t->epoch,
                               .batch = t->batch,
                               .batches = (int64_t)t->order.batches,
                               .best_epoch = t->best_epoch,
                               .best_accuracy = t->best_accuracy,
                               .best_loss = t->best_loss,
                               .loss = nn_tally_loss(&t->tally)};
}

/* ---- one epoch ------------------------------------------------------------------------------------- */

static tn_status check_clips(const nn_trainer *t, const nn_clips *clips, const char *what)
{
    if (!clips->steps != !t->net.lengths)
        return tn_fail(t->ctx, TN_SHAPE, "%s: clips %s, but the network is of the other kind", what,
                       clips->steps ? "have lengths" : "have no lengths");
    for (size_t i = 0; i < clips->count; i++) {
        if (clips->label[i] < 0 || clips->label[i] >= t->classes)
            return tn_fail(t->ctx, TN_RANGE, "%s: clip %zu has the label %d, expected 0 to %d", what, i,
                           clips->label[i], t->classes - 1);
        if (clips->steps && clips->steps[i] < 1)
            return tn_fail(t->ctx, TN_RANGE, "%s: clip %zu has %d steps, expected at least 1", what, i,
                           clips->steps[i]);
    }
    return TN_OK;
}

static tn_status train_batch(nn_trainer *t, const nn_clips *clips)
{
    size_t rows;
    const size_t *clip = nn_order_batch(&t->order, clips, (size_t)t->batch, &rows);
    const double epoch = (double)t->epoch + (double)t->batch / (double)t->order.batches;
    double loss;
    TN_TRY(nn_batch_fill(t, &t->train, clips, clip, rows, t->step + 1));
    tn_plan_seed(t->train.plan, t->option.seed, (uint64_t)t->step + 1, 0);
    TN_TRY(nn_train_step(t->graph, t->train.plan, t->loss, t->optimizer,
                         nn_schedule_rate(&t->option.schedule, epoch), t->step + 1, &loss));
    nn_tally_add(t, &t->tally, t->train.plan, clips, clip, rows, true, loss);
    t->step++;
    t->batch++;
    return TN_OK;
}

static tn_status run_validation(nn_trainer *t, const nn_clips *clips, nn_order *order, nn_tally *tally)
{
    TN_TRY(nn_order_make(t->ctx, order, clips->count, (size_t)t->option.batch, 1));
    nn_order_sort(order, clips);
    for (size_t i = 0; i < order->batches; i++) {
        size_t rows;
        const size_t *clip = nn_order_batch(order, clips, i, &rows);
        TN_TRY(nn_batch_fill(t, &t->val, clips, clip, rows, 0));
        tn_plan_forward(t->val.plan);
        const double loss = (double)tn_plan_value(t->val.plan, t->loss).data[0];
        if (!isfinite(loss)) {
            char when[64];
            snprintf(when, sizeof when, "validation after step %lld", (long long)t->step);
            return nn_blame(t->graph, t->val.plan, when, loss);
        }
        nn_tally_add(t, tally, t->val.plan, clips, clip, rows, false, loss);
    }
    return TN_OK;
}

/* Loss, accuracy and UAR on validation. */
static tn_status validate(nn_trainer *t, const nn_clips *clips, nn_epoch *out)
{
    nn_order order = {0};
    nn_tally tally = {0};
    tally.rows = tn_zalloc(t->ctx, (size_t)t->classes, sizeof *tally.rows);
    tally.hits = tn_zalloc(t->ctx, (size_t)t->classes, sizeof *tally.hits);
    tn_status status = tally.rows && tally.hits ? run_validation(t, clips, &order, &tally) : TN_NOMEM;
    out->val_loss = nn_tally_loss(&tally);
    if (status == TN_OK) {
        out->val_accuracy = nn_tally_accuracy(&tally, t->classes);
        out->val_uar = nn_tally_uar(&tally, t->classes);
    }
    nn_order_free(t->ctx, &order);
    tn_free(t->ctx, tally.rows);
    tn_free(t->ctx, tally.hits);
    return status;
}

/* Which epoch is kept, and how long the loss has not fallen. Without validation the last one is kept. */
static void judge(nn_trainer *t, bool validated, nn_epoch *e)
{
    e->best = !validated || t->best_epoch == 0 || e->val_accuracy > t->best_accuracy ||
              (e->val_accuracy == t->best_accuracy && e->val_loss < t->best_loss);
    if (e->best) {
        t->best_epoch = e->epoch;
        t->best_accuracy = validated ? e->val_accuracy : e->accuracy;
        t->best_loss = validated ? e->val_loss : e->loss;
    }
    if (!validated)
        return;
    t->waited = e->val_loss < t->lowest_loss ? 0 : t->waited + 1;
    t->lowest_loss = fmin(t->lowest_loss, e->val_loss);
}

static tn_status finish_epoch(nn_trainer *t, const nn_clips *val, const nn_train_hooks *hooks)
{
    const bool validated = val && val->count > 0;
    nn_epoch e = {.epoch = t->epoch + 1,
                  .loss = nn_tally_loss(&t->tally),
                  .accuracy = nn_tally_accuracy(&t->tally, t->classes),
                  .uar = nn_tally_uar(&t->tally, t->classes),
                  .val_loss = NAN,
                  .val_accuracy = NAN,
                  .val_uar = NAN,
                  .rate = nn_schedule_rate(&t->option.schedule, (double)t->epoch)};
    if (validated)
        TN_TRY(validate(t, val, &e));
    judge(t, validated, &e);
    t->epoch++;
    t->batch = 0;
    nn_tally_clear(&t->tally, t->classes);
    if (e.best && hooks->better)
        TN_TRY(hooks->better(hooks->arg, &e));
    if (hooks->epoch)
        TN_TRY(hooks->epoch(hooks->arg, &e));
    return t->option.checkpoint ? nn_trainer_save(t, t->option.checkpoint) : TN_OK;
}

/* ---- all of them ----------------------------------------------------------------------------------- */

static tn_status interrupt(const nn_trainer *t, nn_train_end *end)
{
    *end = NN_TRAIN_INTERRUPTED;
    return t->option.checkpoint ? nn_trainer_save(t, t->option.checkpoint) : TN_OK;
}

static tn_status run_epoch(nn_trainer *t, const nn_clips *train, const nn_train_hooks *hooks, bool *stopped)
{
    nn_order_shuffle(&t->order, train, (size_t)t->option.bucket, t->option.seed, (uint64_t)t->epoch);
    while (!*stopped && t->batch < (int64_t)t->order.batches) {
        TN_TRY(train_batch(t, train));
        if (hooks->step)
            hooks->step(hooks->arg, t);
        *stopped = hooks->stop && hooks->stop(hooks->arg);
    }
    return TN_OK;
}

tn_status nn_trainer_run(nn_trainer *t, const nn_clips *train, const nn_clips *val,
                         const nn_train_hooks *hooks, nn_train_end *end)
{
    TN_TRY(check_clips(t, train, "training"));
    if (val)
        TN_TRY(check_clips(t, val, "validation"));
    if (train->count == 0)
        return tn_fail(t->ctx, TN_RANGE, "training: there are no clips");
    nn_order_free(t->ctx, &t->order);
    TN_TRY(nn_order_make(t->ctx, &t->order, train->count, (size_t)t->option.batch, (size_t)t->option.least));
    bool stopped = false;
    for (;;) {
        *end = NN_TRAIN_EPOCHS;
        if (t->epoch >= t->option.epochs)
            return TN_OK;
        *end = NN_TRAIN_PATIENCE;
        if (t->option.patience > 0 && t->waited >= t->option.patience)
            return TN_OK;
        TN_TRY(run_epoch(t, train, hooks, &stopped));
        if (stopped)
            return interrupt(t, end);
        TN_TRY(finish_epoch(t, val, hooks));
    }
}

/* ---- asking the result ----------------------------------------------------------------------------- */

tn_status nn_trainer_take(nn_trainer *t, const wt_file *file)
{
    nn_batch_drop(t, &t->train);
    nn_batch_drop(t, &t->val);
    nn_batch_drop(t, &t->ask);
    return nn_bind(t->graph, file, NULL);
}

tn_status nn_trainer_ask(nn_trainer *t, const nn_clips *clips, size_t clip, double *probability)
{
    TN_TRY(nn_batch_fill(t, &t->ask, clips, &clip, 1, 0));
    tn_plan_forward(t->ask.plan);
    const tn_tensor out = tn_plan_value(t->ask.plan, t->net.probabilities);
    for (int i = 0; i < t->classes; i++) {
        if (!isfinite(out.data[i]))
            return tn_fail(t->ctx, TN_RANGE, "the probability of class %d is %g, not a finite number", i,
                           (double)out.data[i]);
        probability[i] = (double)out.data[i];
    }
    return TN_OK;
}
