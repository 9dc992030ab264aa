/* ReLU: max(0, x). Not-a-numbers pass, so that they can be found. */
#include "libtensor/internal.h"

static tn_status infer(tn_step *step)
{
    step->out[0] = step->in[0];
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
    const float *x = step->in[0].data;
    float *y = step->out[0].data;
    for (int64_t i = begin; i < end; i++)
        y[i] = x[i] < 0.0f ? 0.0f : x[i];
}

static void forward(tn_step *step)
{
    tn_parallel_ranges(step->ctx, tn_numel(&step->in[0]), GRAIN, forward_range, step);
}

static void backward_range(void *arg, int64_t begin, int64_t end)
{
    static const float scale[2] = {1.0f, 1.0f};
    const tn_step *step = arg;
    step->ctx->kernels->relu_gradient(end - begin, scale, step->out[0].data + begin,
                                      step->dout[0].data + begin, step->din[0].data + begin);
}

static void backward(tn_step *step)
{
    tn_parallel_ranges(step->ctx, tn_numel(&step->in[0]), GRAIN, backward_range, step);
}

static const tn_case cases[] = {
    {"vector", {{1, 37}}, NULL, false},
    {"5d", {{5, 2, 3, 2, 3, 5}}, NULL, false},
    {"long", {{2, 3, 12000}}, NULL, false},
    {0},
};

static const tn_layer layers[] = {
    {{"stem", {{5, 1, 64, 16, 112, 112}}, NULL, false}, false},
    {{"layer1", {{5, 1, 256, 8, 56, 56}}, NULL, false}, false},
    {{"dense2 of 128 clips", {{3, 128, 498, 512}}, NULL, false}, false},
    {{0}, false},
};

const tn_op tn_op_relu = {
    .name = "relu",
    .role = {TN_ROLE_DATA},
    .outputs = 1,
    .keep_out = 1,
    .cases = cases,
    .layers = layers,
    .infer = infer,
    .prepare = prepare,
    .forward = forward,
    .backward = backward,
};

tn_var *tn_relu(tn_var *x)
{
    tn_var *in[TN_MAX_IN] = {x};
    return tn_apply(x->graph, &tn_op_relu, in, NULL);
}
