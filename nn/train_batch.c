/* Batches of a training run: their order, their plans and inputs, and what came out. */
#include "nn/train.h"

#include <stdlib.h>
#include <string.h>

/* ---- order ----------------------------------------------------------------------------------------- */

tn_status nn_order_make(tn_ctx *ctx, nn_order *order, size_t clips, size_t batch, size_t least)
{
    order->batch = batch;
    order->least = least < 1 ? 1 : least < batch ? least : batch;
    order->batches = (clips + batch - 1) / batch;
    if (order->batches > 1 && clips - (order->batches - 1) * batch < order->least)
        order->batches--;
    order->clip = tn_alloc(ctx, clips, sizeof *order->clip);
    order->first = tn_alloc(ctx, order->batches, sizeof *order->first);
    return order->clip && order->first ? TN_OK : TN_NOMEM;
}

void nn_order_free(tn_ctx *ctx, nn_order *order)
{
    tn_free(ctx, order->clip);
    tn_free(ctx, order->first);
    *order = (nn_order){0};
}

/* Durstenfeld's shuffle with a random word for each place, a function of key, epoch, use and place. */
static void shuffle(size_t *x, size_t n, uint64_t key, uint64_t epoch, uint32_t use)
{
    for (size_t i = n; i > 1; i--) {
        const uint32_t counter[4] = {(uint32_t)i, use, (uint32_t)epoch, (uint32_t)(epoch >> 32)};
        uint32_t word[4];
        tn_philox(key, counter, word);
        const size_t j = (size_t)(((uint64_t)word[0] * i) >> 32), kept = x[j];
        x[j] = x[i - 1];
        x[i - 1] = kept;
    }
}

static void identity(nn_order *order, size_t clips)
{
    for (size_t i = 0; i < clips; i++)
        order->clip[i] = i;
    for (size_t i = 0; i < order->batches; i++)
        order->first[i] = i * order->batch;
}

/* By length, equal ones by number, so that the result does not depend on the algorithm. */
static int by_length(const void *a, const void *b, void *arg)
{
    const size_t x = *(const size_t *)a, y = *(const size_t *)b;
    const int *steps = arg;
    if (steps[x] != steps[y])
        return steps[x] < steps[y] ? -1 : 1;
    return x < y ? -1 : x > y;
}

static void sort_by_length(size_t *clip, size_t n, const nn_clips *clips)
{
    if (clips->steps)
        qsort_r(clip, n, sizeof *clip, by_length, (void *)(uintptr_t)clips->steps);
}

void nn_order_shuffle(nn_order *order, const nn_clips *clips, size_t bucket, uint64_t seed, uint64_t epoch)
{
    const size_t group = order->batch * bucket;
    const uint64_t key = seed ^ tn_hash("order of clips");
    identity(order, clips->count);
    shuffle(order->clip, clips->count, key, epoch, 0);
    if (!clips->steps || bucket < 2)
        return;
    for (size_t begin = 0; begin < clips->count; begin += group) {
        const size_t left = clips->count - begin;
        sort_by_length(order->clip + begin, left < group ? left : group, clips);
    }
    shuffle(order->first, order->batches, key, epoch, 1);
}

void nn_order_sort(nn_order *order, const nn_clips *clips)
{
    identity(order, clips->count);
    sort_by_length(order->clip, clips->count, clips);
}

const size_t *nn_order_batch(const nn_order *order, const nn_clips *clips, size_t i, size_t *rows)
{
    const size_t left = clips->count - order->first[i];
    *rows = left < order->batch + order->least ? left : order->batch;
    return order->clip + order->first[i];
}

/* ---- plans and inputs ------------------------------------------------------------------------------ */

/* The text that is the plan's is kept from the first one on. */
static void add_step(tn_step_info *sum, const tn_step_info *step)
{
    const double runs = (double)(sum->runs + step->runs);
    tn_step_info s = *step;
    s.fused = sum->fused;
    if (runs > 0)
        s.flops = (sum->flops * (double)sum->runs + step->flops * (double)step->runs) / runs;
    s.runs += sum->runs;
    s.forward_seconds += sum->forward_seconds;
    s.backward_seconds += sum->backward_seconds;
    *sum = s;
}

/* Room for the sums, with the first plan. */
static tn_status begin_profile(nn_trainer *t)
{
    const int count = tn_plan_get_info(t->train.plan).steps;
    t->profile = tn_zalloc(t->ctx, (size_t)count, sizeof *t->profile);
    if (!t->profile)
        return TN_NOMEM;
    for (; t->profile_count < count; t->profile_count++) {
        tn_step_info *sum = &t->profile[t->profile_count];
        sum->fused = tn_strdup(t->ctx, tn_plan_step(t->train.plan, t->profile_count).fused);
        if (!sum->fused)
            return TN_NOMEM;
    }
    return TN_OK;
}

/* Moves what the plan of training has cost to the sums. Plans of one graph and mode have the same steps,
 * whatever the shapes. */
static void collect_profile(nn_trainer *t)
{
    for (int i = 0; t->train.plan && i < t->profile_count; i++) {
        const tn_step_info step = tn_plan_step(t->train.plan, i);
        add_step(&t->profile[i], &step);
    }
    if (t->train.plan)
        tn_plan_reset_profile(t->train.plan);
}

void nn_profile_free(nn_trainer *t)
{
    for (int i = 0; i < t->profile_count; i++)
        tn_free(t->ctx, (char *)(uintptr_t)t->profile[i].fused);
    tn_free(t->ctx, t->profile);
}

const tn_step_info *nn_trainer_profile(nn_trainer *t, int *count)
{
    collect_profile(t);
    *count = t->profile_count;
    return t->profile;
}

void nn_batch_drop(nn_trainer *t, nn_batch_plan *p)
{
    if (p == &t->train)
        collect_profile(t);
    tn_plan_destroy(p->plan);
    p->plan = NULL;
}

static tn_status prepare(nn_trainer *t, nn_batch_plan *p, const nn_clips *clips, int64_t rows, int64_t steps)
{
    if (p->plan && p->rows == rows && p->steps == steps) {
        if (p->mode == TN_INFERENCE && !p->asks)
            tn_plan_refresh(p->plan);
        return TN_OK;
    }
    nn_batch_drop(t, p);
    tn_input_shape shapes[4] = {{.name = tn_var_name(t->net.input)}};
    int count = 1;
    shapes[0].size[0] = rows;
    for (int i = 1; i < tn_var_rank(t->net.input); i++)
        shapes[0].size[i] = clips->size[i - 1];
    if (t->net.lengths) {
        shapes[0].size[1] = steps;
        shapes[count++] = (tn_input_shape){"lengths", {rows}};
    }
    if (!p->asks)
        shapes[count++] = (tn_input_shape){"labels", {rows}};
    if (!p->asks && t->option.class_weight)
        shapes[count++] = (tn_input_shape){"class_weights", {t->classes}};
    const tn_plan_options options = {.mode = p->mode, .loss = p->mode == TN_TRAINING ? t->loss : NULL};
    TN_TRY(tn_plan_create(t->graph, &options, shapes, count, &p->plan));
    if (p == &t->train && t->option.profile && !t->profile)
        TN_TRY(begin_profile(t));
    p->rows = rows;
    p->steps = steps;
    return TN_OK;
}

/* The place of one clip in the input: its own steps, what is behind them being cleared. */
static tn_tensor row_of(const nn_trainer *t, const tn_tensor *input, size_t row, const nn_clips *clips,
                        size_t clip)
{
    tn_tensor view = tn_view(input->data + (int64_t)row * input->stride[0], input->rank - 1, input->size + 1);
    memcpy(view.stride, input->stride + 1, (size_t)view.rank * sizeof *view.stride);
    if (t->net.lengths) { /* (N, T, F), which lies row-major */
        memset(view.data, 0, (size_t)tn_numel(&view) * sizeof *view.data);
        view.size[0] = clips->steps[clip];
    }
    return view;
}

static void fill_labels(nn_trainer *t, nn_batch_plan *p, const nn_clips *clips, const size_t *clip,
                        size_t rows)
{
    float *label = tn_plan_value(p->plan, tn_find(t->graph, "labels")).data;
    for (size_t i = 0; i < rows; i++)
        label[i] = (float)clips->label[clip[i]];
    if (!t->option.class_weight)
        return;
    float *weight = tn_plan_value(p->plan, tn_find(t->graph, "class_weights")).data;
    for (int i = 0; i < t->classes; i++)
        weight[i] = p->mode == TN_TRAINING ? t->option.class_weight[i] : 1.0f;
}

tn_status nn_batch_fill(nn_trainer *t, nn_batch_plan *p, const nn_clips *clips, const size_t *clip,
                        size_t rows, int64_t step)
{
    int longest = 1;
    for (size_t i = 0; clips->steps && i < rows; i++)
        longest = clips->steps[clip[i]] > longest ? clips->steps[clip[i]] : longest;
    TN_TRY(prepare(t, p, clips, (int64_t)rows, longest));
    const tn_tensor input = tn_plan_value(p->plan, t->net.input);
    float *length = t->net.lengths ? tn_plan_value(p->plan, t->net.lengths).data : NULL;
    for (size_t i = 0; i < rows; i++) {
        const tn_tensor out = row_of(t, &input, i, clips, clip[i]);
        TN_TRY(clips->fill(clips->arg, clip[i], step, &out));
        if (length)
            length[i] = (float)clips->steps[clip[i]];
    }
    if (!p->asks)
        fill_labels(t, p, clips, clip, rows);
    return TN_OK;
}

/* ---- results --------------------------------------------------------------------------------------- */

void nn_tally_clear(nn_tally *tally, int classes)
{
    tally->loss = tally->weight = 0;
    memset(tally->rows, 0, (size_t)classes * sizeof *tally->rows);
    memset(tally->hits, 0, (size_t)classes * sizeof *tally->hits);
}

void nn_tally_add(const nn_trainer *t, nn_tally *tally, const tn_plan *plan, const nn_clips *clips,
                  const size_t *clip, size_t rows, bool weighted, double loss)
{
    const tn_tensor logits = tn_plan_value(plan, t->net.logits);
    double weight = 0;
    for (size_t i = 0; i < rows; i++) {
        const int label = clips->label[clip[i]];
        int told;
        nn_largest(logits.data + (int64_t)i * t->classes, t->classes, 1, &told);
        tally->rows[label]++;
        tally->hits[label] += told == label;
        weight += weighted && t->option.class_weight ? (double)t->option.class_weight[label] : 1.0;
    }
    tally->loss += loss * weight;
    tally->weight += weight;
}

double nn_tally_loss(const nn_tally *tally)
{
    return tally->weight > 0 ? tally->loss / tally->weight : 0;
}

double nn_tally_accuracy(const nn_tally *tally, int classes)
{
    int64_t rows = 0, hits = 0;
    for (int i = 0; i < classes; i++) {
        rows += tally->rows[i];
        hits += tally->hits[i];
    }
    return rows ? (double)hits / (double)rows : 0;
}

double nn_tally_uar(const nn_tally *tally, int classes)
{
    double sum = 0;
    int present = 0;
    for (int i = 0; i < classes; i++)
        if (tally->rows[i]) {
            sum += (double)tally->hits[i] / (double)tally->rows[i];
            present++;
        }
    return present ? sum / present : 0;
}
