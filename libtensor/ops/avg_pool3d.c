/* Mean over windows; padding counts as zeros, as with PyTorch's count_include_pad=True. */
#include "libtensor/ops/pool3d.h"

static float volume(const tn_step *step)
{
    const tn_pool3d_attr *attr = step->node->attr;
    return (float)attr->kernel[0] * (float)attr->kernel[1] * (float)attr->kernel[2];
}

static tn_status prepare(tn_step *step)
{
    step->flops = (double)tn_numel(&step->out[0]) * (double)volume(step);
    return TN_OK;
}

/* to[c] = scale * the sum of from[c] over the pixels [t0, t1) x [h0, h1) x [w0, w1) of sample n. */
static void sum_box(const tn_tensor *from, const float *data, int64_t n, const int64_t t[2],
                    const int64_t h[2], const int64_t w[2], float scale, float *to)
{
    const int64_t channels = from->size[1];
    for (int64_t c = 0; c < channels; c++)
        to[c] = 0.0f;
    for (int64_t i = t[0]; i < t[1]; i++)
        for (int64_t j = h[0]; j < h[1]; j++)
            for (int64_t k = w[0]; k < w[1]; k++) {
                const float *pixel = data + pool_pixel(from, n, i, j, k);
                for (int64_t c = 0; c < channels; c++)
                    to[c] += pixel[c];
            }
    for (int64_t c = 0; c < channels; c++)
        to[c] *= scale;
}

/* One row of output pixels. */
static void forward_task(void *arg, int64_t task, int thread)
{
    (void)thread;
    const tn_step *step = arg;
    const tn_tensor *y = &step->out[0];
    const int64_t oh = task % y->size[3], ot = task / y->size[3] % y->size[2],
                  n = task / y->size[3] / y->size[2];
    int64_t t[2], h[2], w[2];
    pool_window(step, 0, ot, &t[0], &t[1]);
    pool_window(step, 1, oh, &h[0], &h[1]);
    for (int64_t ow = 0; ow < y->size[4]; ow++) {
        pool_window(step, 2, ow, &w[0], &w[1]);
        sum_box(&step->in[0], step->in[0].data, n, t, h, w, 1.0f / volume(step),
                y->data + pool_pixel(y, n, ot, oh, ow));
    }
}

static void forward(tn_step *step)
{
    const tn_tensor *y = &step->out[0];
    tn_parallel(step->ctx, y->size[0] * y->size[2] * y->size[3], forward_task, step);
}

/* One row of input pixels: the sum over the windows that hold it. */
static void backward_task(void *arg, int64_t task, int thread)
{
    (void)thread;
    const tn_step *step = arg;
    const tn_tensor *x = &step->in[0];
    const int64_t ih = task % x->size[3], it = task / x->size[3] % x->size[2],
                  n = task / x->size[3] / x->size[2];
    int64_t t[2], h[2], w[2];
    pool_covering(step, 0, it, &t[0], &t[1]);
    pool_covering(step, 1, ih, &h[0], &h[1]);
    for (int64_t iw = 0; iw < x->size[4]; iw++) {
        pool_covering(step, 2, iw, &w[0], &w[1]);
        sum_box(&step->out[0], step->dout[0].data, n, t, h, w, 1.0f / volume(step),
                step->din[0].data + pool_pixel(x, n, it, ih, iw));
    }
}

static void backward(tn_step *step)
{
    const tn_tensor *x = &step->in[0];
    tn_parallel(step->ctx, x->size[0] * x->size[2] * x->size[3], backward_task, step);
}

const tn_op tn_op_avg_pool3d = {
    .name = "avg_pool3d",
    .role = {TN_ROLE_DATA},
    .outputs = 1,
    .attr_size = sizeof(tn_pool3d_attr),
    .cases = pool_cases,
    .layers = pool_layers,
    .infer = pool_infer,
    .prepare = prepare,
    .forward = forward,
    .backward = backward,
};

tn_var *tn_avg_pool3d(tn_var *x, tn_pool3d_attr attr)
{
    tn_var *in[TN_MAX_IN] = {x};
    return tn_apply(x->graph, &tn_op_avg_pool3d, in, &attr);
}
