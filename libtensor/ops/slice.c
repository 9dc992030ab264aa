/* Every step-th element of [start, stop) along one axis. */
#include "libtensor/internal.h"

static tn_status infer(tn_step *step)
{
    const tn_slice_attr *attr = step->node->attr;
    const tn_tensor *x = &step->in[0];
    if (attr->axis < 0 || attr->axis >= x->rank)
        return tn_step_fail(step, TN_RANGE, "axis %d of %s", attr->axis, tn_shape(x).text);
    const int64_t size = x->size[attr->axis], stop = attr->stop == TN_ANY ? size : attr->stop;
    if (attr->start < 0 || stop <= attr->start || stop > size || attr->step < 1)
        return tn_step_fail(step, TN_RANGE, "[%lld, %lld) by %lld of axis %d with size %lld",
                            (long long)attr->start, (long long)stop, (long long)attr->step, attr->axis,
                            (long long)size);
    step->out[0] = *x;
    step->out[0].size[attr->axis] = tn_ceil_div(stop - attr->start, attr->step);
    return TN_OK;
}

static tn_status prepare(tn_step *step)
{
    (void)step;
    return TN_OK;
}

/* The elements of `x` (or of its gradient) that the result holds. */
static tn_tensor sliced(const tn_step *step, const tn_tensor *x)
{
    const tn_slice_attr *attr = step->node->attr;
    tn_tensor view = *x;
    view.data += attr->start * view.stride[attr->axis];
    view.stride[attr->axis] *= attr->step;
    view.size[attr->axis] = step->out[0].size[attr->axis];
    return view;
}

static void forward(tn_step *step)
{
    const tn_tensor from = sliced(step, &step->in[0]);
    tn_copy(&step->out[0], &from);
}

static void backward(tn_step *step)
{
    float *dx = step->din[0].data;
    for (int64_t i = 0; i < tn_numel(&step->din[0]); i++)
        dx[i] = 0.0f;
    const tn_tensor to = sliced(step, &step->din[0]);
    tn_copy(&to, &step->dout[0]);
}

static const tn_slice_attr row = {0, 1, 2, 1}, columns = {1, 2, TN_ANY, 1}, width = {4, 0, TN_ANY, 2},
                           odd = {1, 1, 8, 3}, half = {2, 128, TN_ANY, 1};
static const tn_case cases[] = {
    {"one row", {{2, 3, 4}}, &row, false},
    {"last columns", {{2, 3, 5}}, &columns, false},
    {"every second along W", {{5, 2, 3, 2, 3, 5}}, &width, false},
    {"every third channel", {{5, 1, 9, 2, 2, 3}}, &odd, false},
    {0},
};

static const tn_layer layers[] = {
    {{"every second column of layer1", {{5, 1, 256, 8, 56, 56}}, &width, false}, false},
    {{"half of 128 clips", {{3, 128, 498, 256}}, &half, false}, false},
    {{0}, false},
};

const tn_op tn_op_slice = {
    .name = "slice",
    .role = {TN_ROLE_DATA},
    .outputs = 1,
    .attr_size = sizeof(tn_slice_attr),
    .cases = cases,
    .layers = layers,
    .infer = infer,
    .prepare = prepare,
    .forward = forward,
    .backward = backward,
};

tn_var *tn_slice(tn_var *x, tn_slice_attr attr)
{
    tn_var *in[TN_MAX_IN] = {x};
    return tn_apply(x->graph, &tn_op_slice, in, &attr);
}
