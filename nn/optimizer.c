/* The optimiser over a graph's trainable parameters. */
#include "nn/internal.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* Elements whose squares are summed by one task: fixed, so that the sum is the same for any threads. */
enum { CHUNK = 1 << 12, LANES = 8 };

/* A trainable parameter and what the optimiser keeps of it. */
typedef struct slot {
    tn_var *param;    /* borrowed */
    size_t count;     /* elements */
    float *moment[2]; /* Adam: both moments; SGD: the momentum buffer and NULL; in the optimiser's block */
    size_t chunk;     /* index of its first chunk */
    size_t chunks;    /* of it */
} slot;

struct nn_optimizer {
    tn_ctx *ctx;                 /* borrowed: the graph's */
    nn_optimizer_options option; /* as given */
    int moments;                 /* kept for each parameter: 2 for Adam, 1 for SGD */
    slot *slots;                 /* in the graph's order */
    int count;                   /* of slots */
    float *block;                /* the moments of all of them */
    double *partial;             /* sum of squares of each chunk */
};

nn_optimizer_options nn_optimizer_defaults(nn_method method)
{
    return (nn_optimizer_options){
        .method = method, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8, .momentum = 0.9};
}

const char *nn_method_name(nn_method method)
{
    return method == NN_ADAM ? "adam" : "sgd";
}

bool nn_method_parse(const char *text, nn_method *out)
{
    for (int i = NN_ADAM; i <= NN_SGD; i++)
        if (strcmp(text, nn_method_name((nn_method)i)) == 0) {
            *out = (nn_method)i;
            return true;
        }
    return false;
}

/* ---- making ---------------------------------------------------------------------------------------- */

static tn_status check_options(tn_ctx *ctx, const nn_optimizer_options *o)
{
    if (!(o->beta1 >= 0 && o->beta1 < 1 && o->beta2 >= 0 && o->beta2 < 1))
        return tn_fail(ctx, TN_RANGE, "Adam: beta1 and beta2 are %g and %g, expected from 0 to below 1",
                       o->beta1, o->beta2);
    if (!(o->eps > 0) || !(o->momentum >= 0 && o->momentum < 1) || !(o->weight_decay >= 0) || !(o->clip >= 0))
        return tn_fail(
            ctx, TN_RANGE,
            "optimiser: eps %g, momentum %g, weight decay %g, clip %g: expected above 0, from 0 to "
            "below 1, and from 0",
            o->eps, o->momentum, o->weight_decay, o->clip);
    return TN_OK;
}

static bool is_trained(const tn_var *param)
{
    return !tn_is_buffer(param) && tn_is_trainable(param);
}

/* Fills the slots but for their moments; *total is the number of elements of all. */
static tn_status take_slots(nn_optimizer *o, tn_graph *graph, size_t *total, size_t *chunks)
{
    *total = *chunks = 0;
    for (int i = 0; i < tn_param_count(graph); i++) {
        tn_var *param = tn_param_at(graph, i);
        if (!is_trained(param))
            continue;
        const tn_tensor value = tn_value(param);
        if (!value.data)
            return TN_NOMEM;
        slot *s = &o->slots[o->count++];
        s->param = param;
        s->count = (size_t)tn_numel(&value);
        s->chunk = *chunks;
        s->chunks = (s->count + CHUNK - 1) / CHUNK;
        *total += s->count;
        *chunks += s->chunks;
    }
    return o->count ? TN_OK : tn_fail(o->ctx, TN_RANGE, "no parameter of the network is to be trained");
}

static tn_status make(nn_optimizer *o, tn_graph *graph)
{
    size_t total, chunks, moments;
    TN_TRY(tn_graph_check(graph));
    TN_TRY(check_options(o->ctx, &o->option));
    o->slots = tn_zalloc(o->ctx, (size_t)tn_param_count(graph) + 1, sizeof *o->slots);
    if (!o->slots)
        return TN_NOMEM;
    TN_TRY(take_slots(o, graph, &total, &chunks));
    if (!tn_mul_size(total, (size_t)o->moments, &moments))
        return tn_fail(o->ctx, TN_NOMEM, "the optimiser's moments of %zu parameters do not fit", total);
    o->block = tn_zalloc(o->ctx, moments, sizeof *o->block);
    o->partial = tn_zalloc(o->ctx, chunks, sizeof *o->partial);
    if (!o->block || !o->partial)
        return TN_NOMEM;
    float *at = o->block;
    for (int i = 0; i < o->count; i++)
        for (int m = 0; m < o->moments; m++) {
            o->slots[i].moment[m] = at;
            at += o->slots[i].count;
        }
    return TN_OK;
}

tn_status nn_optimizer_create(tn_graph *graph, const nn_optimizer_options *options, nn_optimizer **out)
{
    tn_ctx *ctx = tn_graph_ctx(graph);
    *out = NULL;
    nn_optimizer *o = tn_zalloc(ctx, 1, sizeof *o);
    if (!o)
        return TN_NOMEM;
    o->ctx = ctx;
    o->option = *options;
    o->moments = options->method == NN_ADAM ? 2 : 1;
    const tn_status status = make(o, graph);
    if (status == TN_OK)
        *out = o;
    else
        nn_optimizer_destroy(o);
    return status;
}

void nn_optimizer_destroy(nn_optimizer *o)
{
    if (!o)
        return;
    tn_free(o->ctx, o->slots);
    tn_free(o->ctx, o->block);
    tn_free(o->ctx, o->partial);
    tn_free(o->ctx, o);
}

int nn_optimizer_count(const nn_optimizer *o)
{
    return o->count * o->moments;
}

wt_tensor nn_optimizer_moment(const nn_optimizer *o, int i, char *name, size_t room)
{
    static const char *const what[2][2] = {{"adam.m", "adam.v"}, {"sgd.momentum", ""}};
    const slot *s = &o->slots[i / o->moments];
    const int moment = i % o->moments;
    snprintf(name, room, "%s.%s", what[o->option.method][moment], tn_var_name(s->param));
    wt_tensor t = {.name = name, .dtype = WT_F32, .rank = tn_var_rank(s->param), .data = s->moment[moment]};
    memcpy(t.size, tn_var_size(s->param), (size_t)t.rank * sizeof *t.size);
    return t;
}

float *nn_optimizer_values(nn_optimizer *o, int i)
{
    return o->slots[i / o->moments].moment[i % o->moments];
}

/* ---- stepping -------------------------------------------------------------------------------------- */

typedef struct norm_job {
    const float *x;  /* gradient of one parameter */
    size_t count;    /* of its elements */
    double *partial; /* a sum for each chunk */
} norm_job;

static void norm_task(void *arg, int64_t task, int thread)
{
    (void)thread;
    const norm_job *job = arg;
    const size_t begin = (size_t)task * CHUNK, end = begin + CHUNK < job->count ? begin + CHUNK : job->count;
    double sum[LANES] = {0}, all = 0; /* side by side: one alone waits for each addition */
    size_t i = begin;
    for (; i + LANES <= end; i += LANES)
        for (size_t j = 0; j < LANES; j++)
            sum[j] += (double)job->x[i + j] * (double)job->x[i + j];
    for (; i < end; i++)
        all += (double)job->x[i] * (double)job->x[i];
    for (size_t j = 0; j < LANES; j++)
        all += sum[j];
    job->partial[task] = all;
}

typedef struct scale_job {
    float *x;     /* scaled in place */
    size_t count; /* of its elements */
    float factor; /* what with */
} scale_job;

static void scale_task(void *arg, int64_t task, int thread)
{
    (void)thread;
    const scale_job *job = arg;
    const size_t begin = (size_t)task * CHUNK, end = begin + CHUNK < job->count ? begin + CHUNK : job->count;
    for (size_t i = begin; i < end; i++)
        job->x[i] *= job->factor;
}

/* The norm of all gradients as one vector, chunk behind chunk in the graph's order. Squares of floats are
 * exact enough and cannot overflow in double, so that a sum that is not finite tells of a gradient that is
 * not. */
static tn_status global_norm(const nn_optimizer *o, const tn_plan *plan, int64_t step, double *out)
{
    double sum = 0;
    for (int i = 0; i < o->count; i++) {
        const slot *s = &o->slots[i];
        const tn_tensor grad = tn_plan_grad(plan, s->param);
        if (!grad.data)
            continue;
        norm_job job = {grad.data, s->count, o->partial + s->chunk};
        tn_parallel_short(o->ctx, (int64_t)s->chunks, (double)s->count / 2, norm_task, &job);
        double squares = 0;
        for (size_t c = 0; c < s->chunks; c++)
            squares += job.partial[c];
        if (!isfinite(squares))
            return tn_fail(o->ctx, TN_RANGE,
                           "step %lld: the gradient of %s is not finite (element %lld); nothing was changed",
                           (long long)step, tn_var_name(s->param),
                           (long long)nn_first_not_finite(grad.data, (int64_t)s->count));
        sum += squares;
    }
    *out = sqrt(sum);
    return TN_OK;
}

static void update(const nn_optimizer *o, const slot *s, const float *grad, double rate, int64_t step)
{
    const nn_optimizer_options *h = &o->option;
    const tn_tensor value = tn_value(s->param);
    if (h->method == NN_ADAM) {
        const tn_adam adam = {(float)rate, (float)h->beta1, (float)h->beta2, (float)h->eps,
                              (float)h->weight_decay};
        tn_adam_step(o->ctx, &adam, step, s->count, value.data, grad, s->moment[0], s->moment[1]);
    } else {
        const tn_sgd sgd = {(float)rate, (float)h->momentum, (float)h->weight_decay, h->nesterov};
        tn_sgd_step(o->ctx, &sgd, step, s->count, value.data, grad, s->moment[0]);
    }
}

tn_status nn_optimizer_step(nn_optimizer *o, const tn_plan *plan, double rate, int64_t step, double *norm)
{
    double length = 0;
    TN_TRY(global_norm(o, plan, step, &length));
    const double clip = o->option.clip;
    for (int i = 0; i < o->count; i++) {
        const slot *s = &o->slots[i];
        const tn_tensor grad = tn_plan_grad(plan, s->param);
        if (!grad.data) /* the loss does not depend on it */
            continue;
        if (clip > 0 && length > clip) {
            scale_job job = {grad.data, s->count, (float)(clip / length)};
            tn_parallel_short(o->ctx, (int64_t)s->chunks, (double)s->count / 4, scale_task, &job);
        }
        update(o, s, grad.data, rate, step);
    }
    if (norm)
        *norm = length;
    return TN_OK;
}

/* ---- one step of training -------------------------------------------------------------------------- */

tn_status nn_train_step(tn_graph *graph, tn_plan *plan, const tn_var *loss, nn_optimizer *optimizer,
                        double rate, int64_t step, double *out)
{
    tn_plan_forward(plan);
    *out = (double)tn_plan_value(plan, loss).data[0];
    if (!isfinite(*out)) {
        char when[32];
        snprintf(when, sizeof when, "step %lld", (long long)step);
        return nn_blame(graph, plan, when, *out);
    }
    tn_plan_backward(plan);
    return nn_optimizer_step(optimizer, plan, rate, step, NULL);
}
