/* Ops by themselves: each alone in a graph, on the shapes that its file lists. */
#include "libtensor/plan.h"

#include <stdio.h>
#include <string.h>

static const tn_op *const ops[] = {
#define TN_OP(name) &tn_op_##name,
#include "libtensor/ops.def"
#undef TN_OP
};

enum { OPS = sizeof ops / sizeof *ops };

const char *tn_op_name(int op)
{
    return op >= 0 && op < OPS ? ops[op]->name : NULL;
}

/* NULL where there is none. */
static const tn_case *find_case(int op, tn_case_set set, int i)
{
    if (op < 0 || op >= OPS || i < 0)
        return NULL;
    for (int n = 0; n <= i; n++) {
        const tn_case *c = set == TN_SMALL_CASES ? &ops[op]->cases[n] : &ops[op]->layers[n].at;
        if (!c->label)
            return NULL;
        if (n == i)
            return c;
    }
    return NULL;
}

const char *tn_case_label(int op, tn_case_set set, int i)
{
    const tn_case *c = find_case(op, set, i);
    return c ? c->label : NULL;
}

/* ---- values ---------------------------------------------------------------------------------------- */

/* Row-major or channels-last: what lies where does not matter, and views of a plan have no gaps. Labels name
 * classes, and lengths are all steps; input 0 says how many there are. */
static void fill(const tn_op *op, const tn_case *c, int i, const tn_tensor *t)
{
    const int64_t *first = c->in[0];
    const size_t n = (size_t)tn_numel(t);
    switch (op->role[i]) {
    case TN_ROLE_LABEL:
        for (size_t e = 0; e < n; e++)
            t->data[e] = (float)(e % (size_t)first[first[0]]);
        break;
    case TN_ROLE_LENGTH:
        for (size_t e = 0; e < n; e++)
            t->data[e] = (float)first[2];
        break;
    case TN_ROLE_VARIANCE:
    case TN_ROLE_POSITIVE:
        tn_fill_uniform(t->data, n, 1, (uint64_t)i, 0.5f, 1.5f);
        break;
    case TN_ROLE_WEIGHT: /* small, so that an LSTM does not saturate */
        tn_fill_uniform(t->data, n, 1, (uint64_t)i, -0.05f, 0.05f);
        break;
    default:
        tn_fill_uniform(t->data, n, 1, (uint64_t)i, -1, 1);
    }
}

/* ---- graph and plan -------------------------------------------------------------------------------- */

/* Declares input i, with its values where it is a parameter. */
static tn_status declare(tn_graph *graph, const tn_op *op, const tn_case *c, int i, bool trainable,
                         tn_var **out)
{
    const int rank = (int)c->in[i][0];
    const int64_t *size = c->in[i] + 1;
    const tn_role role = op->role[i];
    char name[32];
    snprintf(name, sizeof name, "%s.in%d", op->name, i);
    *out = role == TN_ROLE_WEIGHT                             ? tn_param(graph, name, rank, size)
           : role == TN_ROLE_MEAN || role == TN_ROLE_VARIANCE ? tn_buffer(graph, name, rank, size)
                                                              : tn_input(graph, name, rank, size);
    TN_TRY(tn_graph_check(graph));
    tn_set_trainable(graph, name, trainable);
    if ((*out)->kind == TN_VAR_INPUT)
        return TN_OK;
    const tn_tensor value = tn_value(*out);
    if (!value.data)
        return TN_NOMEM;
    fill(op, c, i, &value);
    return TN_OK;
}

static tn_status build(tn_graph *graph, const tn_op *op, const tn_case *c, bool first, tn_var **in,
                       tn_var **out)
{
    for (int i = 0; i < TN_MAX_IN && op->role[i]; i++) {
        const bool statistic = op->role[i] == TN_ROLE_MEAN || op->role[i] == TN_ROLE_VARIANCE;
        const bool trainable =
            statistic ? !c->frozen : plan_differentiable(op->role[i]) && !(first && i == 0);
        /* Rank 0 leaves an input out: no op takes a scalar. */
        if (c->in[i][0] > 0)
            TN_TRY(declare(graph, op, c, i, trainable, &in[i]));
    }
    *out = tn_apply(graph, op, in, c->attr);
    tn_output(*out, "out");
    return tn_graph_check(graph);
}

tn_status tn_case_plan(tn_graph *graph, int op, tn_case_set set, int i, tn_mode mode, tn_plan **out)
{
    *out = NULL;
    const tn_case *c = find_case(op, set, i);
    if (!c)
        return tn_fail(graph->ctx, TN_RANGE, "there is no case %d of op %d", i, op);
    tn_var *in[TN_MAX_IN] = {NULL}, *result;
    TN_TRY(build(graph, ops[op], c, set == TN_LAYERS && ops[op]->layers[i].first, in, &result));
    tn_input_shape shapes[TN_MAX_IN];
    int count = 0;
    for (int k = 0; k < TN_MAX_IN; k++) {
        if (!in[k] || in[k]->kind != TN_VAR_INPUT)
            continue;
        shapes[count].name = in[k]->name;
        memcpy(shapes[count++].size, c->in[k] + 1, sizeof shapes->size);
    }
    const tn_plan_options options = {.mode = mode, .loss = mode == TN_TRAINING ? result : NULL};
    TN_TRY(tn_plan_create(graph, &options, shapes, count, out));
    for (int k = 0; k < TN_MAX_IN; k++) {
        if (!in[k] || in[k]->kind != TN_VAR_INPUT)
            continue;
        const tn_tensor value = tn_plan_value(*out, in[k]);
        fill(ops[op], c, k, &value);
    }
    return TN_OK;
}
