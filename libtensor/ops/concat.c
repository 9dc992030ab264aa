/* Joins tensors along one axis. */
#include "libtensor/internal.h"

static tn_status infer(tn_step *step)
{
    const tn_concat_attr *attr = step->node->attr;
    const tn_tensor *first = &step->in[0];
    if (attr->axis < 0 || attr->axis >= first->rank)
        return tn_step_fail(step, TN_RANGE, "axis %d of %s", attr->axis, tn_shape(first).text);
    step->out[0] = *first;
    for (int i = 1; i < TN_MAX_IN && tn_present(step, i); i++) {
        tn_tensor like = step->in[i];
        if (like.rank == first->rank)
            like.size[attr->axis] = first->size[attr->axis];
        if (!tn_same_size(&like, first))
            return tn_step_fail(step, TN_SHAPE, "part %d is %s, the first %s: only axis %d may differ", i,
                                tn_shape(&step->in[i]).text, tn_shape(first).text, attr->axis);
        step->out[0].size[attr->axis] += step->in[i].size[attr->axis];
    }
    return TN_OK;
}

static tn_status prepare(tn_step *step)
{
    (void)step;
    return TN_OK;
}

/* The part of `whole` that begins at `start` along the axis and is as long as `part`. */
static tn_tensor part_of(const tn_step *step, const tn_tensor *whole, const tn_tensor *part, int64_t start)
{
    const tn_concat_attr *attr = step->node->attr;
    tn_tensor view = *whole;
    view.data += start * view.stride[attr->axis];
    view.size[attr->axis] = part->size[attr->axis];
    return view;
}

static void forward(tn_step *step)
{
    const tn_concat_attr *attr = step->node->attr;
    int64_t start = 0;
    for (int i = 0; i < TN_MAX_IN && tn_present(step, i); i++) {
        const tn_tensor to = part_of(step, &step->out[0], &step->in[i], start);
        tn_copy(&to, &step->in[i]);
        start += step->in[i].size[attr->axis];
    }
}

static void backward(tn_step *step)
{
    const tn_concat_attr *attr = step->node->attr;
    int64_t start = 0;
    for (int i = 0; i < TN_MAX_IN && tn_present(step, i); i++) {
        const tn_tensor from = part_of(step, &step->dout[0], &step->in[i], start);
        if (step->din[i].data)
            tn_copy(&step->din[i], &from);
        start += step->in[i].size[attr->axis];
    }
}

static const tn_concat_attr axis0 = {0}, axis1 = {1}, axis2 = {2};
static const tn_case cases[] = {
    {"rows", {{2, 2, 3}, {2, 4, 3}}, &axis0, false},
    {"three columns", {{2, 4, 3}, {2, 4, 1}, {2, 4, 6}}, &axis1, false},
    {"channels", {{5, 2, 3, 2, 3, 4}, {5, 2, 5, 2, 3, 4}}, &axis1, false},
    {"frames", {{5, 1, 3, 2, 3, 4}, {5, 1, 3, 1, 3, 4}}, &axis2, false},
    {"one part", {{1, 6}}, &axis0, false},
    {0},
};

static const tn_layer layers[] = {
    {{"two halves of 128 clips", {{3, 128, 498, 128}, {3, 128, 498, 128}}, &axis2, false}, false},
    {{"channels of layer1", {{5, 1, 128, 8, 56, 56}, {5, 1, 128, 8, 56, 56}}, &axis1, false}, false},
    {{0}, false},
};

const tn_op tn_op_concat = {
    .name = "concat",
    .role = {TN_ROLE_DATA, TN_ROLE_DATA, TN_ROLE_DATA, TN_ROLE_DATA, TN_ROLE_DATA, TN_ROLE_DATA, TN_ROLE_DATA,
             TN_ROLE_DATA, TN_ROLE_DATA, TN_ROLE_DATA},
    .optional = ~1u,
    .outputs = 1,
    .attr_size = sizeof(tn_concat_attr),
    .cases = cases,
    .layers = layers,
    .infer = infer,
    .prepare = prepare,
    .forward = forward,
    .backward = backward,
};

tn_var *tn_concat(tn_var *const *parts, int count, int axis)
{
    const tn_concat_attr attr = {axis};
    tn_var *in[TN_MAX_IN] = {NULL};
    if (count < 1 || count > TN_MAX_IN)
        return tn_poison(parts[0]->graph, TN_RANGE, "concat: %d parts, expected 1 to %d", count, TN_MAX_IN);
    for (int i = 0; i < count; i++)
        in[i] = parts[i];
    return tn_apply(parts[0]->graph, &tn_op_concat, in, &attr);
}
