/* Mean over T, H and W: one vector of channels per sample. */
#include "libtensor/internal.h"

static tn_status infer(tn_step *step)
{
    const tn_tensor *x = &step->in[0];
    if (x->rank != 5 || tn_numel(x) == 0)
        return tn_step_fail(step, TN_SHAPE, "x is %s, expected (N, C, T, H, W)", tn_shape(x).text);
    step->out[0].rank = 2;
    step->out[0].size[0] = x->size[0];
    step->out[0].size[1] = x->size[1];
    return TN_OK;
}

static tn_status prepare(tn_step *step)
{
    step->flops = (double)tn_numel(&step->in[0]);
    step->scratch_bytes = (size_t)tn_numel(&step->out[0]) * sizeof(double);
    return TN_OK;
}

static int64_t pixels(const tn_step *step)
{
    return tn_numel(&step->in[0]) / tn_numel(&step->out[0]);
}

static void forward_task(void *arg, int64_t n, int thread)
{
    (void)thread;
    const tn_step *step = arg;
    const int64_t channels = step->in[0].size[1], count = pixels(step);
    const float *x = step->in[0].data + n * count * channels;
    const tn_bf16 *half = tn_at(&step->in[0], n * count * channels);
    double *sum = (double *)step->scratch + n * channels;
    for (int64_t c = 0; c < channels; c++)
        sum[c] = 0;
    const bool bf16 = step->in[0].precision == TN_BF16;
    for (int64_t i = 0; i < count; i++)
        for (int64_t c = 0; c < channels; c++)
            sum[c] += (double)(bf16 ? tn_from_bf16(half[i * channels + c]) : x[i * channels + c]);
    for (int64_t c = 0; c < channels; c++)
        step->out[0].data[n * channels + c] = (float)(sum[c] / (double)count);
}

static bool takes_bf16(const tn_step *step)
{
    (void)step;
    return true;
}

static void forward(tn_step *step)
{
    tn_parallel(step->ctx, step->in[0].size[0], forward_task, step);
}

static void backward_task(void *arg, int64_t n, int thread)
{
    (void)thread;
    const tn_step *step = arg;
    const int64_t channels = step->in[0].size[1], count = pixels(step);
    const float *dy = step->dout[0].data + n * channels;
    float *dx = step->din[0].data + n * count * channels;
    for (int64_t i = 0; i < count; i++, dx += channels)
        for (int64_t c = 0; c < channels; c++)
            dx[c] = dy[c] / (float)count;
}

static void backward(tn_step *step)
{
    tn_parallel(step->ctx, step->in[0].size[0], backward_task, step);
}

static const tn_case cases[] = {
    {"5d", {{5, 2, 7, 2, 3, 4}}, NULL, false},
    {"one pixel", {{5, 3, 5, 1, 1, 1}}, NULL, false},
    {0},
};

static const tn_layer layers[] = {
    {{"behind layer4", {{5, 1, 2048, 1, 7, 7}}, NULL, false}, false},
    {{0}, false},
};

const tn_op tn_op_global_avg_pool = {
    .name = "global_avg_pool",
    .role = {TN_ROLE_DATA},
    .outputs = 1,
    .cases = cases,
    .layers = layers,
    .infer = infer,
    .prepare = prepare,
    .forward = forward,
    .backward = backward,
    .takes_bf16 = takes_bf16,
};

tn_var *tn_global_avg_pool(tn_var *x)
{
    tn_var *in[TN_MAX_IN] = {x};
    return tn_apply(x->graph, &tn_op_global_avg_pool, in, NULL);
}
