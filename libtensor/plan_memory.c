/* Laying a plan's buffers out in one slab: what does not live at the same time may share a place. */
#include "libtensor/plan.h"

#include <stdlib.h>
#include <string.h>

enum { ALIGN = 64 };

static tn_status add_buffer(tn_plan *plan, size_t bytes, int first, int last, int step, const char *purpose,
                            int *out)
{
    TN_TRY(tn_grow(plan->ctx, &plan->buffers, &plan->buffer_capacity, plan->buffer_count + 1,
                   sizeof(plan_buffer)));
    *out = (int)plan->buffer_count;
    plan->buffers[plan->buffer_count++] =
        (plan_buffer){.bytes = bytes, .first = first, .last = last, .step = step, .purpose = purpose};
    return TN_OK;
}

static int end_of_time(const tn_plan *plan)
{
    return (plan->training ? 2 : 1) * plan->step_count;
}

static int backward_time(const tn_plan *plan, int step)
{
    return 2 * plan->step_count - 1 - step;
}

/* ---- values ---------------------------------------------------------------------------------------- */

static void use(tn_plan *plan, const tn_var *var, int time)
{
    plan_value *v = plan_at(plan, var);
    if (time > v->last_use)
        v->last_use = time;
}

static void note_uses(tn_plan *plan)
{
    for (int s = 0; s < plan->step_count; s++) {
        const plan_step *p = plan->steps[s];
        const tn_op *op = p->step.node->op;
        for (int i = 0; i < TN_MAX_IN; i++) {
            if (!p->in[i])
                continue;
            use(plan, p->in[i], s);
            if (p->backward && (op->keep_in >> i & 1))
                use(plan, p->in[i], backward_time(plan, s));
        }
        if (p->step.epilogue.residual_var)
            use(plan, p->step.epilogue.residual_var, s);
        for (int o = 0; o < op->outputs; o++) {
            use(plan, p->out[o], s);
            if (p->backward && ((op->keep_out >> o & 1) || p->step.fused))
                use(plan, p->out[o], backward_time(plan, s));
        }
    }
    /* Inputs keep what was written for the next run, outputs what was computed. */
    for (size_t i = 0; i < plan->graph->var_count; i++) {
        tn_var *var = plan->graph->vars[i];
        if (plan->values[i].needed && (var->output || var->kind == TN_VAR_INPUT))
            use(plan, plan_resolve(plan, var), end_of_time(plan));
    }
}

static tn_status add_values(tn_plan *plan)
{
    note_uses(plan);
    for (size_t i = 0; i < plan->graph->var_count; i++) {
        const tn_var *var = plan->graph->vars[i];
        plan_value *v = &plan->values[i];
        const bool input = var->kind == TN_VAR_INPUT && !v->missing;
        if (input)
            v->last_use = end_of_time(plan);
        if (input || v->producer >= 0)
            TN_TRY(add_buffer(plan, plan_bytes(&v->value), input ? 0 : v->producer, v->last_use, v->producer,
                              input ? "input" : "output", &v->buffer));
    }
    return TN_OK;
}

/* ---- gradients ------------------------------------------------------------------------------------- */

/* The first contribution to a var's gradient, in backward's order, is written in place; later ones are
 * written beside and added, always in the same order. */
static tn_status add_gradient(tn_plan *plan, int s, int i)
{
    plan_step *p = plan->steps[s];
    plan_value *v = plan_at(plan, p->in[i]);
    const int now = backward_time(plan, s);
    if (v->grad_buffer >= 0)
        return add_buffer(plan, plan_bytes(&v->value), now, now, s, "partial gradient", &p->partial[i]);
    v->grad = v->value;
    v->grad.data = NULL;
    const int last = v->producer >= 0 ? backward_time(plan, v->producer) : end_of_time(plan);
    return add_buffer(plan, plan_bytes(&v->value), now, last, s, "gradient", &v->grad_buffer);
}

static tn_status add_gradients(tn_plan *plan)
{
    plan_value *loss = plan_at(plan, plan->loss);
    loss->grad = loss->value;
    TN_TRY(add_buffer(plan, plan_bytes(&loss->value), 0, end_of_time(plan), loss->producer,
                      "gradient of the loss", &loss->grad_buffer));
    for (int s = plan->step_count - 1; s >= 0; s--)
        for (int i = 0; i < TN_MAX_IN; i++)
            if (plan->steps[s]->step.want[i])
                TN_TRY(add_gradient(plan, s, i));
    return TN_OK;
}

/* ---- scratch --------------------------------------------------------------------------------------- */

static tn_status add_scratch(tn_plan *plan, int s)
{
    plan_step *p = plan->steps[s];
    tn_step *step = &p->step;
    const int phases = p->backward ? 2 : 1;
    step->thread_stride = (step->thread_scratch_bytes + ALIGN - 1) / ALIGN * ALIGN;
    size_t all_threads;
    if (!tn_mul_size(step->thread_stride, (size_t)plan->ctx->threads, &all_threads))
        return tn_step_fail(step, TN_NOMEM, "scratch is too large");
    for (int phase = 0; phase < phases; phase++) {
        const int now = phase ? backward_time(plan, s) : s;
        if (step->scratch_bytes)
            TN_TRY(add_buffer(plan, step->scratch_bytes, now, now, s, "scratch", &p->scratch[phase]));
        if (all_threads)
            TN_TRY(add_buffer(plan, all_threads, now, now, s, "thread scratch", &p->thread_scratch[phase]));
    }
    if (step->saved_bytes)
        TN_TRY(add_buffer(plan, step->saved_bytes, s, p->backward ? backward_time(plan, s) : s, s, "saved",
                          &p->saved));
    return TN_OK;
}

/* ---- places ---------------------------------------------------------------------------------------- */

static int larger_first(const void *a, const void *b)
{
    const plan_buffer *x = *(plan_buffer *const *)a, *y = *(plan_buffer *const *)b;
    if (x->bytes != y->bytes)
        return x->bytes < y->bytes ? 1 : -1;
    return x < y ? -1 : x > y;
}

static size_t padded(const tn_plan *plan, const plan_buffer *b)
{
    const size_t bytes = (b->bytes + ALIGN - 1) / ALIGN * ALIGN;
    return bytes + (plan->debug ? 2 * ALIGN : 0);
}

static bool collide(const tn_plan *plan, const plan_buffer *a, const plan_buffer *b)
{
    return plan->debug || (a->first <= b->last && b->first <= a->last);
}

/* The lowest offset at which `b` meets none of the `count` buffers placed before. They are visited in order
 * of offset: whatever lies across the candidate pushes it up. */
static size_t lowest_fit(const tn_plan *plan, plan_buffer *const *placed, size_t count, const plan_buffer *b)
{
    const size_t bytes = padded(plan, b);
    size_t offset = 0;
    for (size_t i = 0; i < count; i++) {
        const plan_buffer *other = placed[i];
        if (!collide(plan, b, other))
            continue;
        if (other->offset >= offset + bytes)
            break;
        if (other->offset + padded(plan, other) > offset)
            offset = other->offset + padded(plan, other);
    }
    return offset;
}

/* Greedy by size (as in XNNPACK's and TensorFlow Lite's planners): large buffers first, each as low as it
 * goes. */
static tn_status place(tn_plan *plan)
{
    const size_t n = plan->buffer_count;
    plan_buffer **by_size = tn_alloc(plan->ctx, 2 * n, sizeof *by_size);
    if (!by_size)
        return TN_NOMEM;
    plan_buffer **placed = by_size + n; /* by offset */
    for (size_t i = 0; i < n; i++)
        by_size[i] = &plan->buffers[i];
    qsort(by_size, n, sizeof *by_size, larger_first);
    for (size_t i = 0; i < n; i++) {
        plan_buffer *b = by_size[i];
        b->offset = lowest_fit(plan, placed, i, b);
        const size_t end = b->offset + padded(plan, b);
        if (end > plan->slab_bytes)
            plan->slab_bytes = end;
        size_t at = i;
        for (; at > 0 && placed[at - 1]->offset > b->offset; at--)
            placed[at] = placed[at - 1];
        placed[at] = b;
    }
    tn_free(plan->ctx, by_size);
    return TN_OK;
}

/* ---- pointers -------------------------------------------------------------------------------------- */

static void *pointer(const tn_plan *plan, int buffer)
{
    if (buffer < 0)
        return NULL;
    return plan->slab + plan->buffers[buffer].offset + (plan->debug ? ALIGN : 0);
}

static void set_pointers(tn_plan *plan)
{
    for (size_t i = 0; i < plan->graph->var_count; i++) {
        plan_value *v = &plan->values[i];
        v->value.data = pointer(plan, v->buffer);
        v->grad.data = pointer(plan, v->grad_buffer);
    }
    char *packed = plan->packed;
    for (int s = 0; s < plan->step_count; s++) {
        plan_step *p = plan->steps[s];
        tn_step *step = &p->step;
        for (int i = 0; i < TN_MAX_IN; i++) {
            if (!p->in[i])
                continue;
            const plan_value *v = plan_at(plan, p->in[i]);
            step->in[i].data = v->value.data;
            if (step->want[i]) {
                step->din[i] = v->value;
                step->din[i].data = p->partial[i] >= 0 ? pointer(plan, p->partial[i]) : v->grad.data;
            }
        }
        for (int o = 0; o < step->node->op->outputs; o++) {
            const plan_value *v = plan_at(plan, p->out[o]);
            step->out[o].data = v->value.data;
            step->dout[o] = v->value;
            step->dout[o].data = v->grad.data;
        }
        if (step->epilogue.residual_var)
            step->epilogue.residual = plan_at(plan, step->epilogue.residual_var)->value;
        step->saved = pointer(plan, p->saved);
        step->packed = step->packed_bytes ? packed : NULL;
        packed += (step->packed_bytes + ALIGN - 1) / ALIGN * ALIGN;
    }
}

tn_status plan_lay_out(tn_plan *plan)
{
    TN_TRY(add_values(plan));
    if (plan->training)
        TN_TRY(add_gradients(plan));
    for (int s = 0; s < plan->step_count; s++) {
        TN_TRY(add_scratch(plan, s));
        plan->packed_bytes += (plan->steps[s]->step.packed_bytes + ALIGN - 1) / ALIGN * ALIGN;
    }
    TN_TRY(place(plan));
    plan->slab = tn_alloc(plan->ctx, plan->slab_bytes, 1);
    plan->packed = tn_alloc(plan->ctx, plan->packed_bytes, 1);
    if (!plan->slab || !plan->packed)
        return TN_NOMEM;
    set_pointers(plan);
    return TN_OK;
}
