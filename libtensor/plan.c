/* Plans as callers see them: making, running, reading. */
#include "libtensor/plan.h"

#include <assert.h>
#include <math.h>
#include <string.h>
#include <time.h>

enum { GUARD = 64 }; /* bytes of canary on both sides of a debug plan's buffers */
static const unsigned char canary = 0xA5;

/* ---- making ---------------------------------------------------------------------------------------- */

static void set_guards(tn_plan *plan)
{
    memset(plan->slab, canary, plan->slab_bytes);
    for (size_t i = 0; i < plan->buffer_count; i++)
        memset(plan->slab + plan->buffers[i].offset + GUARD, 0, plan->buffers[i].bytes);
}

/* Everything else is written before it is read. */
static void clear_inputs(tn_plan *plan)
{
    for (size_t i = 0; i < plan->buffer_count; i++)
        if (plan->buffers[i].step < 0)
            memset(plan->slab + plan->buffers[i].offset, 0, plan->buffers[i].bytes);
}

static tn_status check_precision(const tn_plan *plan)
{
    if (plan->precision == TN_FP32)
        return TN_OK;
    if (plan->training)
        return tn_fail(plan->ctx, TN_UNSUPPORTED,
                       "bfloat16 is for inference: a training plan computes in fp32");
    return tn_check_precision(plan->ctx, plan->precision);
}

static tn_status make(tn_plan *plan, const tn_input_shape *shapes, int shape_count)
{
    tn_graph *graph = plan->graph;
    TN_TRY(tn_graph_check(graph));
    if (plan->training && (!plan->loss || plan->loss->graph != graph || !plan->loss->output))
        return tn_fail(plan->ctx, TN_RANGE, "a training plan needs an output of the graph as its loss");
    TN_TRY(check_precision(plan));
    plan->values = tn_zalloc(plan->ctx, graph->var_count, sizeof *plan->values);
    if (!plan->values)
        return TN_NOMEM;
    plan->value_count = graph->var_count;
    TN_TRY(plan_build(plan, shapes, shape_count));
    TN_TRY(plan_lay_out(plan));
    if (plan->debug)
        set_guards(plan);
    else
        clear_inputs(plan);
    if (plan->training) {
        tn_tensor seed = tn_plan_grad(plan, plan->loss);
        for (int64_t i = 0; i < tn_numel(&seed); i++)
            seed.data[i] = 1.0f;
    }
    tn_plan_refresh(plan);
    return TN_OK;
}

tn_status tn_plan_create(tn_graph *graph, const tn_plan_options *options, const tn_input_shape *shapes,
                         int shape_count, tn_plan **out)
{
    *out = NULL;
    tn_plan *plan = tn_zalloc(graph->ctx, 1, sizeof *plan);
    if (!plan)
        return TN_NOMEM;
    plan->graph = graph;
    plan->ctx = graph->ctx;
    plan->training = options->mode == TN_TRAINING;
    plan->debug = options->debug;
    plan->precision = options->precision;
    plan->loss = plan->training ? options->loss : NULL;
    plan->packed_hook = options->packed;
    plan->packed_arg = options->packed_arg;
    tn_status status = make(plan, shapes, shape_count);
    if (status != TN_OK) {
        tn_plan_destroy(plan);
        return status;
    }
    *out = plan;
    return TN_OK;
}

void tn_plan_destroy(tn_plan *plan)
{
    if (!plan)
        return;
    tn_ctx *ctx = plan->ctx;
    for (int s = 0; s < plan->step_count; s++) {
        tn_free(ctx, plan->steps[s]->step.fused);
        tn_free(ctx, plan->steps[s]);
    }
    tn_free(ctx, plan->steps);
    tn_free(ctx, plan->values);
    tn_free(ctx, plan->buffers);
    tn_free(ctx, plan->slab);
    tn_free(ctx, plan->packed);
    tn_free(ctx, plan);
}

/* ---- reading --------------------------------------------------------------------------------------- */

/* Whether the var was there when the plan was made. */
static bool knows(const tn_plan *plan, const tn_var *var)
{
    return var->kind != TN_VAR_POISON && (size_t)var->id < plan->value_count;
}

tn_tensor tn_plan_value(const tn_plan *plan, const tn_var *var)
{
    if (!knows(plan, var))
        return (tn_tensor){0};
    const tn_var *source = plan_resolve(plan, (tn_var *)var);
    if (plan_is_parameter(source))
        return tn_view((float *)tn_value_const(source), source->rank, source->size);
    tn_tensor t = plan_at(plan, source)->value;
    /* Other values share memory with what comes later. */
    if (!var->output && var->kind != TN_VAR_INPUT)
        t.data = NULL;
    return t;
}

tn_tensor tn_plan_grad(const tn_plan *plan, const tn_var *var)
{
    if (!knows(plan, var))
        return (tn_tensor){0};
    tn_tensor t = plan_at(plan, var)->grad;
    if (var != plan->loss && var->kind == TN_VAR_NODE)
        t.data = NULL;
    return t;
}

tn_plan_info tn_plan_get_info(const tn_plan *plan)
{
    tn_plan_info info = {
        .slab_bytes = plan->slab_bytes, .packed_bytes = plan->packed_bytes, .steps = plan->step_count};
    for (int s = 0; s < plan->step_count; s++)
        info.flops += plan->steps[s]->step.flops;
    return info;
}

/* Weights count as they are stored, not as packed. */
static double forward_bytes(const tn_step *step)
{
    size_t sum = step->epilogue.add ? plan_bytes(&step->out[0]) : 0;
    for (int i = 0; i < TN_MAX_IN; i++)
        sum += tn_present(step, i) ? plan_bytes(&step->in[i]) : 0;
    for (int o = 0; o < step->node->op->outputs; o++)
        sum += plan_bytes(&step->out[o]);
    return (double)sum;
}

static double backward_bytes(const tn_step *step)
{
    const tn_op *op = step->node->op;
    size_t sum = 0;
    for (int i = 0; i < TN_MAX_IN; i++) {
        sum += step->din[i].data ? plan_bytes(&step->din[i]) : 0;
        sum += tn_present(step, i) && op->keep_in >> i & 1 ? plan_bytes(&step->in[i]) : 0;
    }
    for (int o = 0; o < op->outputs; o++) {
        sum += step->dout[o].data ? plan_bytes(&step->dout[o]) : 0;
        sum += op->keep_out >> o & 1 ? plan_bytes(&step->out[o]) : 0;
    }
    return (double)sum;
}

/* Where weights are a matrix: a product for the gradient of what they meet, another for their own. */
static double backward_flops(const tn_step *step)
{
    bool matrix = false, weights = false;
    for (int i = 1; i < TN_MAX_IN && step->node->op->role[i]; i++) {
        if (step->node->op->role[i] != TN_ROLE_WEIGHT || step->in[i].rank < 2)
            continue;
        matrix = true;
        weights |= step->din[i].data != NULL;
    }
    return matrix ? step->flops * ((step->din[0].data != NULL) + weights) : 0;
}

tn_step_info tn_plan_step(const tn_plan *plan, int i)
{
    const tn_step *step = &plan->steps[i]->step;
    tn_step_info info = {
        .op = step->node->op->name,
        .name = step->node->name,
        .fused = step->fused ? step->fused : "",
        .in = step->in[0],
        .out = step->out[0],
        .flops = step->flops,
        .backward_flops = backward_flops(step),
        .forward_bytes = forward_bytes(step),
        .backward_bytes = plan->training ? backward_bytes(step) : 0,
        .runs = step->runs,
        .forward_seconds = step->forward_seconds,
        .backward_seconds = step->backward_seconds,
    };
    info.in.data = info.out.data = NULL;
    return info;
}

void tn_plan_reset_profile(tn_plan *plan)
{
    for (int s = 0; s < plan->step_count; s++) {
        tn_step *step = &plan->steps[s]->step;
        step->runs = 0;
        step->forward_seconds = step->backward_seconds = 0;
    }
}

tn_status tn_plan_check(const tn_plan *plan)
{
    for (size_t i = 0; plan->debug && i < plan->buffer_count; i++) {
        const plan_buffer *b = &plan->buffers[i];
        const unsigned char *before = (const unsigned char *)plan->slab + b->offset;
        const unsigned char *after = before + GUARD + b->bytes;
        for (int j = 0; j < GUARD; j++)
            if (before[j] != canary || after[j] != canary)
                return tn_fail(plan->ctx, TN_RANGE, "%s: %s was written past its %s",
                               b->step < 0 ? "input" : plan->steps[b->step]->step.node->name, b->purpose,
                               before[j] != canary ? "beginning" : "end");
    }
    return TN_OK;
}

/* ---- running --------------------------------------------------------------------------------------- */

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

void tn_plan_seed(tn_plan *plan, uint64_t seed, uint64_t run, uint64_t first_sample)
{
    for (int s = 0; s < plan->step_count; s++) {
        tn_step *step = &plan->steps[s]->step;
        step->seed = seed;
        step->run = run;
        step->first_sample = first_sample;
    }
}

/* All bits set are not a number, as a float, as a double and as bfloat16. */
static void fill_nan(void *memory, size_t bytes)
{
    if (memory)
        memset(memory, 0xff, bytes);
}

static void fill_tensor(const tn_tensor *t)
{
    fill_nan(t->data, plan_bytes(t));
}

/* Points the step's scratch at this phase's; in a debug plan everything that it must write becomes NaN first.
 */
static void enter(const tn_plan *plan, plan_step *p, int phase)
{
    tn_step *step = &p->step;
    const int buffers[2] = {p->scratch[phase], p->thread_scratch[phase]};
    void *at[2] = {NULL, NULL};
    for (int i = 0; i < 2; i++) {
        if (buffers[i] < 0)
            continue;
        at[i] = plan->slab + plan->buffers[buffers[i]].offset + (plan->debug ? GUARD : 0);
        if (plan->debug)
            fill_nan(at[i], plan->buffers[buffers[i]].bytes);
    }
    step->scratch = at[0];
    step->thread_scratch = at[1];
    if (!plan->debug)
        return;
    if (phase == 0) {
        for (int o = 0; o < step->node->op->outputs; o++)
            fill_tensor(&step->out[o]);
        fill_nan(step->saved, step->saved_bytes);
    } else {
        for (int i = 0; i < TN_MAX_IN; i++)
            if (step->want[i])
                fill_tensor(&step->din[i]);
    }
}

/* Parameters may have moved or changed since they were last looked at. */
static void refresh_step(const tn_plan *plan, plan_step *p)
{
    for (int i = 0; i < TN_MAX_IN; i++)
        if (p->in[i] && plan_is_parameter(p->in[i]))
            p->step.in[i].data = (float *)tn_value_const(p->in[i]);
    if (!p->step.node->op->pack)
        return;
    p->step.node->op->pack(&p->step);
    if (plan->packed_hook)
        plan->packed_hook(plan->packed_arg);
}

void tn_plan_refresh(tn_plan *plan)
{
    for (int s = 0; s < plan->step_count; s++)
        refresh_step(plan, plan->steps[s]);
}

static void run_step(const tn_plan *plan, plan_step *p)
{
    enter(plan, p, 0);
    if (plan->training)
        refresh_step(plan, p);
    p->step.node->op->forward(&p->step);
}

void tn_plan_forward(tn_plan *plan)
{
    double begin = now();
    for (int s = 0; s < plan->step_count; s++) {
        plan_step *p = plan->steps[s];
        run_step(plan, p);
        const double end = now();
        p->step.forward_seconds += end - begin;
        p->step.runs++;
        begin = end;
    }
}

/* Outputs lie without gaps, whatever the order of their axes. */
static bool is_finite(const tn_tensor *t)
{
    const int64_t n = tn_numel(t);
    for (int64_t i = 0; t->data && i < n; i++)
        if (!isfinite(t->precision == TN_BF16 ? tn_from_bf16(*(tn_bf16 *)tn_at(t, i)) : t->data[i]))
            return false;
    return true;
}

int tn_plan_find_not_finite(tn_plan *plan)
{
    for (int s = 0; s < plan->step_count; s++) {
        const plan_step *p = plan->steps[s];
        run_step(plan, plan->steps[s]);
        for (int o = 0; o < p->step.node->op->outputs; o++)
            if (!is_finite(&p->step.out[o]))
                return s;
    }
    return -1;
}

typedef struct sum_job {
    float *to;
    const float *from;
} sum_job;

static void sum_range(void *arg, int64_t begin, int64_t end)
{
    const sum_job *job = arg;
    for (int64_t i = begin; i < end; i++)
        job->to[i] += job->from[i];
}

static void add_partial(const tn_plan *plan, const plan_step *p, int i)
{
    const plan_value *v = plan_at(plan, p->in[i]);
    sum_job job = {v->grad.data, p->step.din[i].data};
    tn_parallel_ranges(plan->ctx, tn_numel(&v->grad), 1 << 14, sum_range, &job);
}

void tn_plan_backward(tn_plan *plan)
{
    assert(plan->training);
    double begin = now();
    for (int s = plan->step_count - 1; s >= 0; s--) {
        plan_step *p = plan->steps[s];
        if (!p->backward)
            continue;
        enter(plan, p, 1);
        p->step.node->op->backward(&p->step);
        for (int i = 0; i < TN_MAX_IN; i++)
            if (p->partial[i] >= 0)
                add_partial(plan, p, i);
        const double end = now();
        p->step.backward_seconds += end - begin;
        begin = end;
    }
}
