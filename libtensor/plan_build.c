/* Making a plan's steps: which nodes are needed, their shapes, what fuses, which gradients are wanted. */
#include "libtensor/plan.h"

#include <stdio.h>
#include <string.h>

tn_status tn_step_fail(tn_step *step, tn_status status, const char *format, ...)
{
    char text[400];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return tn_fail(step->ctx, status, "%s: %s", step->node->name, text);
}

/* ---- inputs ---------------------------------------------------------------------------------------- */

static tn_status set_input(tn_plan *plan, tn_var *var, const tn_input_shape *shape)
{
    tn_tensor *t = &plan_at(plan, var)->value;
    for (int i = 0; i < var->rank; i++) {
        if (shape->size[i] < 0 || (var->size[i] != TN_ANY && shape->size[i] != var->size[i]))
            return tn_fail(plan->ctx, TN_SHAPE, "input %s: axis %d is %lld, expected %lld", var->name, i,
                           (long long)shape->size[i], (long long)var->size[i]);
        t->size[i] = shape->size[i];
    }
    if (!tn_size_fits(var->rank, t->size))
        return tn_fail(plan->ctx, TN_RANGE, "input %s: %s are more elements than there can be", var->name,
                       tn_shape(t).text);
    plan_at(plan, var)->missing = false;
    return TN_OK;
}

static tn_status set_inputs(tn_plan *plan, const tn_input_shape *shapes, int count)
{
    for (size_t i = 0; i < plan->graph->var_count; i++) {
        tn_var *var = plan->graph->vars[i];
        plan_value *v = &plan->values[i];
        v->producer = v->buffer = v->grad_buffer = -1;
        v->value.rank = var->rank;
        if (plan_is_parameter(var))
            v->value = tn_view(NULL, var->rank, var->size);
        v->missing = var->kind == TN_VAR_INPUT;
    }
    for (int i = 0; i < count; i++) {
        tn_var *var = tn_find(plan->graph, shapes[i].name);
        if (!var || var->kind != TN_VAR_INPUT)
            return tn_fail(plan->ctx, TN_RANGE, "the graph has no input %s", shapes[i].name);
        TN_TRY(set_input(plan, var, &shapes[i]));
        tn_set_layout(&plan_at(plan, var)->value);
    }
    return TN_OK;
}

/* ---- which nodes ----------------------------------------------------------------------------------- */

static void mark_missing(tn_plan *plan)
{
    for (size_t n = 0; n < plan->graph->node_count; n++) {
        const tn_node *node = plan->graph->nodes[n];
        for (int i = 0; i < TN_MAX_IN; i++)
            for (int o = 0; node->in[i] && o < node->op->outputs; o++)
                plan_at(plan, node->out[o])->missing |= plan_at(plan, node->in[i])->missing;
    }
}

static tn_status mark_needed(tn_plan *plan)
{
    tn_graph *graph = plan->graph;
    int outputs = 0;
    mark_missing(plan);
    for (size_t i = 0; i < graph->var_count; i++) {
        plan_value *v = &plan->values[i];
        v->needed = graph->vars[i]->output && !v->missing;
        outputs += v->needed;
    }
    if (outputs == 0)
        return tn_fail(plan->ctx, TN_RANGE, "no output can be computed: give shapes of the graph's inputs");
    if (plan->loss && plan_at(plan, plan->loss)->missing)
        return tn_fail(plan->ctx, TN_RANGE, "the loss needs an input that was given no shape");
    for (size_t n = graph->node_count; n-- > 0;) {
        const tn_node *node = graph->nodes[n];
        bool needed = false;
        for (int o = 0; o < node->op->outputs; o++)
            needed |= plan_at(plan, node->out[o])->needed;
        for (int i = 0; needed && i < TN_MAX_IN; i++)
            if (node->in[i])
                plan_at(plan, node->in[i])->needed = true;
    }
    return TN_OK;
}

static bool node_needed(const tn_plan *plan, const tn_node *node)
{
    for (int o = 0; o < node->op->outputs; o++)
        if (plan_at(plan, node->out[o])->needed)
            return true;
    return false;
}

/* ---- parameters ------------------------------------------------------------------------------------ */

static tn_status check_parameters(tn_plan *plan)
{
    for (size_t i = 0; i < plan->graph->var_count; i++) {
        tn_var *var = plan->graph->vars[i];
        if (!plan_is_parameter(var) || !plan->values[i].needed)
            continue;
        if (!tn_value_const(var))
            return tn_fail(plan->ctx, TN_RANGE, "parameter %s has no values", var->name);
        /* Training writes to what it trains, so that must be the graph's own. */
        if (plan->training && var->trainable && !tn_value(var).data)
            return TN_NOMEM;
    }
    return TN_OK;
}

/* ---- steps and shapes ------------------------------------------------------------------------------ */

static tn_status add_step(tn_plan *plan, tn_node *node)
{
    plan_step *p = tn_zalloc(plan->ctx, 1, sizeof *p);
    if (!p)
        return TN_NOMEM;
    const int index = plan->step_count;
    plan->steps[plan->step_count++] = p;
    p->saved = p->scratch[0] = p->scratch[1] = p->thread_scratch[0] = p->thread_scratch[1] = -1;
    tn_step *step = &p->step;
    step->ctx = plan->ctx;
    step->node = node;
    step->training = plan->training;
    for (int i = 0; i < TN_MAX_IN; i++) {
        p->partial[i] = -1;
        if (!node->in[i])
            continue;
        p->in[i] = plan_resolve(plan, node->in[i]);
        step->in[i] = plan_at(plan, p->in[i])->value;
        if (node->in[i]->kind == TN_VAR_BUFFER && !node->in[i]->trainable)
            step->frozen = true;
    }
    TN_TRY(node->op->infer(step));
    for (int o = 0; o < node->op->outputs; o++) {
        p->out[o] = node->out[o];
        for (int axis = 0; axis < step->out[o].rank; axis++)
            if (step->out[o].size[axis] < 0)
                return tn_step_fail(step, TN_SHAPE, "the output would be %s", tn_shape(&step->out[o]).text);
        if (!tn_size_fits(step->out[o].rank, step->out[o].size))
            return tn_step_fail(step, TN_RANGE, "the output would be %s, more elements than there can be",
                                tn_shape(&step->out[o]).text);
        tn_set_layout(&step->out[o]);
        plan_value *v = plan_at(plan, node->out[o]);
        v->value = step->out[o];
        v->producer = index;
    }
    return TN_OK;
}

static tn_status add_steps(tn_plan *plan)
{
    tn_graph *graph = plan->graph;
    plan->steps = tn_zalloc(plan->ctx, graph->node_count, sizeof *plan->steps);
    if (!plan->steps)
        return TN_NOMEM;
    for (size_t n = 0; n < graph->node_count; n++) {
        tn_node *node = graph->nodes[n];
        if (!node_needed(plan, node))
            continue;
        if (!plan->training && node->op->identity_in_inference)
            plan_at(plan, node->out[0])->alias = plan_resolve(plan, node->in[0]);
        else
            TN_TRY(add_step(plan, node));
    }
    return TN_OK;
}

/* ---- fusing ---------------------------------------------------------------------------------------- */

/* The only step that reads `var`, with the slot; -1 where there are several readers, or none. */
static int only_reader(const tn_plan *plan, const tn_var *var, int *slot)
{
    int reader = -1, readings = 0;
    for (int s = 0; s < plan->step_count; s++) {
        const plan_step *p = plan->steps[s];
        for (int i = 0; !p->removed && i < TN_MAX_IN; i++)
            if (p->in[i] == var) {
                reader = s;
                *slot = i;
                readings++;
            }
        if (!p->removed && p->step.epilogue.residual_var == var)
            readings += 2;
    }
    return readings == 1 ? reader : -1;
}

/* Whether an alias of `var` (or var itself) is an output, which must keep its own memory. */
static bool is_output(const tn_plan *plan, const tn_var *var)
{
    for (size_t i = 0; i < plan->graph->var_count; i++) {
        tn_var *other = plan->graph->vars[i];
        if (other->output && plan->values[i].needed && plan_resolve(plan, other) == var)
            return true;
    }
    return false;
}

static tn_status append_name(tn_step *step, const char *name)
{
    char text[160];
    snprintf(text, sizeof text, "%s+%s", step->fused ? step->fused : "", name);
    tn_free(step->ctx, step->fused);
    step->fused = tn_strdup(step->ctx, text);
    return step->fused ? TN_OK : TN_NOMEM;
}

/* An epilogue reads its residual from the slab, where no parameter is. */
static bool can_be_taken_in(const plan_step *p, int slot)
{
    for (int i = 0; i < TN_MAX_IN; i++)
        if (i != slot && p->in[i] && p->step.node->op->role[i] == TN_ROLE_DATA && plan_is_parameter(p->in[i]))
            return false;
    return true;
}

/* Lets every step take in the steps behind it. It then runs where the last of them stood: by then whatever
 * that one read besides is there. */
static tn_status take_in_what_follows(tn_plan *plan, int s)
{
    plan_step *p = plan->steps[s];
    tn_step *step = &p->step;
    int at = s, slot = 0;
    while (!is_output(plan, p->out[0])) {
        const int reader = only_reader(plan, p->out[0], &slot);
        /* The loss's gradient is the caller's and not to be worked on in place. */
        if (reader < 0 || plan->steps[reader]->out[0] == plan->loss ||
            !can_be_taken_in(plan->steps[reader], slot) ||
            !step->node->op->absorb(step, plan->steps[reader]->step.node, slot))
            break;
        plan_step *taken = plan->steps[reader];
        if (step->epilogue.add && !step->epilogue.residual_var)
            step->epilogue.residual_var = taken->in[1 - slot];
        TN_TRY(append_name(step, taken->step.node->op->name));
        taken->removed = true;
        plan_at(plan, p->out[0])->producer = -1;
        p->out[0] = taken->out[0];
        step->out[0] = taken->step.out[0];
        plan->steps[reader] = p;
        plan->steps[at] = taken;
        at = reader;
    }
    return TN_OK;
}

static tn_status fuse(tn_plan *plan)
{
    for (int s = 0; s < plan->step_count; s++)
        if (!plan->steps[s]->removed && plan->steps[s]->step.node->op->absorb)
            TN_TRY(take_in_what_follows(plan, s));
    int kept = 0;
    for (int s = 0; s < plan->step_count; s++) {
        plan_step *p = plan->steps[s];
        if (p->removed) {
            tn_free(plan->ctx, p->step.fused);
            tn_free(plan->ctx, p);
            continue;
        }
        for (int o = 0; o < p->step.node->op->outputs; o++)
            plan_at(plan, p->out[o])->producer = kept;
        plan->steps[kept++] = p;
    }
    plan->step_count = kept;
    return TN_OK;
}

/* ---- precision ------------------------------------------------------------------------------------- */

/* Whether everything that reads `var` takes bfloat16. */
static bool readers_take_bf16(const tn_plan *plan, const tn_var *var)
{
    for (int s = 0; s < plan->step_count; s++) {
        const tn_step *step = &plan->steps[s]->step;
        for (int i = 0; i < TN_MAX_IN; i++)
            if (plan->steps[s]->in[i] == var &&
                (i > 0 || !step->node->op->takes_bf16 || !step->node->op->takes_bf16(step)))
                return false;
        if (step->epilogue.residual_var == var && !step->node->op->takes_bf16)
            return false;
    }
    return true;
}

/* What one step gives and others take becomes bfloat16, in order, so that a step's input is decided when its
 * output is. */
static void choose_precision(tn_plan *plan)
{
    for (int s = 0; s < plan->step_count; s++) {
        plan_step *p = plan->steps[s];
        tn_step *step = &p->step;
        for (int i = 0; i < TN_MAX_IN; i++)
            if (p->in[i])
                step->in[i].precision = plan_at(plan, p->in[i])->value.precision;
        if (step->node->op->gives_bf16 && step->node->op->gives_bf16(step) && !is_output(plan, p->out[0]) &&
            readers_take_bf16(plan, p->out[0]))
            step->out[0].precision = plan_at(plan, p->out[0])->value.precision = TN_BF16;
    }
}

/* ---- gradients ------------------------------------------------------------------------------------- */

static void mark_gradients(tn_plan *plan)
{
    tn_graph *graph = plan->graph;
    for (size_t i = 0; i < graph->var_count; i++) {
        const tn_var *var = graph->vars[i];
        plan->values[i].needs_grad =
            var->trainable && (var->kind == TN_VAR_PARAM || var->kind == TN_VAR_INPUT);
    }
    plan_at(plan, plan->loss)->reaches_loss = true;
    for (int s = 0; s < plan->step_count; s++) {
        plan_step *p = plan->steps[s];
        for (int i = 0; i < TN_MAX_IN; i++)
            for (int o = 0; p->in[i] && o < p->step.node->op->outputs; o++)
                if (plan_differentiable(p->step.node->op->role[i]))
                    plan_at(plan, p->out[o])->needs_grad |= plan_at(plan, p->in[i])->needs_grad;
    }
    for (int s = plan->step_count - 1; s >= 0; s--) {
        plan_step *p = plan->steps[s];
        bool reaches = false;
        for (int o = 0; o < p->step.node->op->outputs; o++)
            reaches |= plan_at(plan, p->out[o])->reaches_loss;
        for (int i = 0; reaches && i < TN_MAX_IN; i++) {
            if (!p->in[i] || !plan_differentiable(p->step.node->op->role[i]))
                continue;
            plan_at(plan, p->in[i])->reaches_loss = true;
            p->step.want[i] = plan_at(plan, p->in[i])->needs_grad;
            p->backward |= p->step.want[i];
        }
    }
}

tn_status plan_build(tn_plan *plan, const tn_input_shape *shapes, int shape_count)
{
    TN_TRY(set_inputs(plan, shapes, shape_count));
    TN_TRY(mark_needed(plan));
    TN_TRY(check_parameters(plan));
    TN_TRY(add_steps(plan));
    TN_TRY(fuse(plan));
    if (plan->training)
        mark_gradients(plan);
    if (plan->precision == TN_BF16)
        choose_precision(plan);
    for (int s = 0; s < plan->step_count; s++)
        TN_TRY(plan->steps[s]->step.node->op->prepare(&plan->steps[s]->step));
    return TN_OK;
}
