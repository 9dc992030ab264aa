/* The sum of two tensors of one shape: a residual connection. */
#include "libtensor/internal.h"

#include <string.h>

static tn_status infer(tn_step *step)
{
    const tn_tensor *a = &step->in[0], *b = &step->in[1];
    if (!tn_same_size(a, b))
        return tn_step_fail(step, TN_SHAPE, "a is %s, b is %s", tn_shape(a).text, tn_shape(b).text);
    for (int i = 0; i < a->rank; i++)
        if (a->stride[i] != b->stride[i])
            return tn_step_fail(step, TN_UNSUPPORTED,
                                "a parameter of rank 5 is not laid out like activations");
    step->out[0] = *a;
    return TN_OK;
}

static tn_status prepare(tn_step *step)
{
    step->flops = (double)tn_numel(&step->in[0]);
    return TN_OK;
}

enum { GRAIN = 1 << 14 };

static void forward_range(void *arg, int64_t begin, int64_t end)
{
    const tn_step *step = arg;
    const float *a = step->in[0].data, *b = step->in[1].data;
    float *y = step->out[0].data;
    for (int64_t i = begin; i < end; i++)
        y[i] = a[i] + b[i];
}

static void forward(tn_step *step)
{
    tn_parallel_ranges(step->ctx, tn_numel(&step->in[0]), GRAIN, forward_range, step);
}

static void backward_range(void *arg, int64_t begin, int64_t end)
{
    const tn_step *step = arg;
    for (int i = 0; i < 2; i++)
        if (step->din[i].data)
            memcpy(step->din[i].data + begin, step->dout[0].data + begin,
                   (size_t)(end - begin) * sizeof(float));
}

static void backward(tn_step *step)
{
    tn_parallel_ranges(step->ctx, tn_numel(&step->in[0]), GRAIN, backward_range, step);
}

static const tn_case cases[] = {
    {"vector", {{1, 37}, {1, 37}}, NULL, false},
    {"5d", {{5, 2, 3, 2, 3, 5}, {5, 2, 3, 2, 3, 5}}, NULL, false},
    {"long", {{2, 3, 12000}, {2, 3, 12000}}, NULL, false},
    {0},
};

static const tn_layer layers[] = {
    {{"layer1", {{5, 1, 256, 8, 56, 56}, {5, 1, 256, 8, 56, 56}}, NULL, false}, false},
    {{"layer4", {{5, 1, 2048, 1, 7, 7}, {5, 1, 2048, 1, 7, 7}}, NULL, false}, false},
    {{0}, false},
};

const tn_op tn_op_add = {
    .name = "add",
    .role = {TN_ROLE_DATA, TN_ROLE_DATA},
    .outputs = 1,
    .cases = cases,
    .layers = layers,
    .infer = infer,
    .prepare = prepare,
    .forward = forward,
    .backward = backward,
};

tn_var *tn_add(tn_var *a, tn_var *b)
{
    tn_var *in[TN_MAX_IN] = {a, b};
    return tn_apply(a->graph, &tn_op_add, in, NULL);
}
