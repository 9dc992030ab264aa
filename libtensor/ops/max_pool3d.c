/* Maximum over windows. Of equal values the first in order of T, H, W has the gradient, as in PyTorch. */
#include "libtensor/ops/pool3d.h"

static tn_status prepare(tn_step *step)
{
    const tn_pool3d_attr *attr = step->node->attr;
    const int64_t n = tn_numel(&step->out[0]);
    step->flops = (double)n * attr->kernel[0] * attr->kernel[1] * attr->kernel[2];
    if (step->training)
        step->saved_bytes = (size_t)n * sizeof(int32_t); /* where each maximum is: t, h, w in its sample */
    else
        step->thread_scratch_bytes =
            (size_t)(step->in[0].size[1] * (step->in[0].size[4] + 1)) * tn_element_bytes(&step->in[0]);
    return TN_OK;
}

/* The largest of pixels, or of whole rows of them, that are named one by one: some at a time, so that each is
 * read once and the result written once. */
typedef struct gather {
    const tn_step *step;
    int64_t n;            /* elements of each */
    void *out;            /* the largest of those so far */
    int32_t *where;       /* `position` of that, or NULL */
    const void *from[16]; /* that are not yet in it */
    int32_t position[16]; /* of them */
    int count;            /* of them */
} gather;

static void flush(gather *g)
{
    if (g->step->in[0].precision == TN_BF16)
        g->step->ctx->bf16->largest(g->n, g->count, g->from, g->out);
    else
        g->step->ctx->kernels->largest(g->n, g->count, g->from, g->position, g->out, g->where);
    g->from[0] = g->out;
    g->position[0] = -1;
    g->count = 1;
}

static void add(gather *g, const void *from, int64_t position)
{
    if (g->count == sizeof g->from / sizeof *g->from)
        flush(g);
    g->from[g->count] = from;
    g->position[g->count++] = (int32_t)position;
}

/* One row of output pixels in training, pixel by pixel. */
static void pixels_task(void *arg, int64_t task, int thread)
{
    (void)thread;
    const tn_step *step = arg;
    const tn_tensor *x = &step->in[0], *y = &step->out[0];
    const int64_t oh = task % y->size[3], ot = task / y->size[3] % y->size[2];
    const int64_t n = task / y->size[3] / y->size[2];
    int64_t t0, t1, h0, h1, w0, w1;
    pool_window(step, 0, ot, &t0, &t1);
    pool_window(step, 1, oh, &h0, &h1);
    for (int64_t ow = 0; ow < y->size[4]; ow++) {
        const int64_t at = pool_pixel(y, n, ot, oh, ow);
        gather window = {
            .step = step, .n = x->size[1], .out = y->data + at, .where = (int32_t *)step->saved + at};
        pool_window(step, 2, ow, &w0, &w1);
        for (int64_t t = t0; t < t1; t++)
            for (int64_t h = h0; h < h1; h++)
                for (int64_t w = w0; w < w1; w++)
                    add(&window, tn_at(x, pool_pixel(x, n, t, h, w)), (t * x->size[3] + h) * x->size[4] + w);
        flush(&window); /* holds a pixel at least, because padding is at most half the kernel */
    }
}

/* The same where nobody asks which pixel it was: first the maximum over T and H of whole rows, then of what
 * lies in the windows along W. Where the result of bfloat16 is floats, a pixel's is in scratch before. */
static void rows_task(void *arg, int64_t task, int thread)
{
    const tn_step *step = arg;
    const tn_tensor *x = &step->in[0], *y = &step->out[0];
    const int64_t channels = x->size[1], oh = task % y->size[3], ot = task / y->size[3] % y->size[2];
    const int64_t n = task / y->size[3] / y->size[2], width = x->size[4] * channels;
    const size_t pixel = (size_t)channels * tn_element_bytes(x);
    const bool widen = x->precision == TN_BF16 && y->precision != TN_BF16;
    char *row = tn_thread_scratch(step, thread), *behind = row + (size_t)x->size[4] * pixel;
    gather all = {.step = step, .n = width, .out = row};
    int64_t t0, t1, h0, h1, w0, w1;
    pool_window(step, 0, ot, &t0, &t1);
    pool_window(step, 1, oh, &h0, &h1);
    for (int64_t t = t0; t < t1; t++)
        for (int64_t h = h0; h < h1; h++)
            add(&all, tn_at(x, pool_pixel(x, n, t, h, 0)), 0);
    flush(&all);
    for (int64_t ow = 0; ow < y->size[4]; ow++) {
        const int64_t at = pool_pixel(y, n, ot, oh, ow);
        gather window = {.step = step, .n = channels, .out = widen ? behind : tn_at(y, at)};
        pool_window(step, 2, ow, &w0, &w1);
        for (int64_t w = w0; w < w1; w++)
            add(&window, row + (size_t)w * pixel, 0);
        flush(&window);
        for (int64_t c = 0; widen && c < channels; c++)
            y->data[at + c] = tn_from_bf16(((const tn_bf16 *)window.out)[c]);
    }
}

static void forward(tn_step *step)
{
    const tn_tensor *y = &step->out[0];
    tn_parallel(step->ctx, y->size[0] * y->size[2] * y->size[3], step->training ? pixels_task : rows_task,
                step);
}

/* One row of input pixels gathers from the windows that hold it, so that no two tasks write to one place. */
static void backward_task(void *arg, int64_t task, int thread)
{
    (void)thread;
    const tn_step *step = arg;
    const tn_tensor *x = &step->in[0], *y = &step->out[0];
    const int64_t channels = x->size[1], h = task % x->size[3], t = task / x->size[3] % x->size[2];
    const int64_t n = task / x->size[3] / x->size[2];
    int64_t t0, t1, h0, h1, w0, w1;
    pool_covering(step, 0, t, &t0, &t1);
    pool_covering(step, 1, h, &h0, &h1);
    for (int64_t w = 0; w < x->size[4]; w++) {
        float *dx = step->din[0].data + pool_pixel(x, n, t, h, w);
        const int32_t here = (int32_t)((t * x->size[3] + h) * x->size[4] + w);
        pool_covering(step, 2, w, &w0, &w1);
        for (int64_t c = 0; c < channels; c++)
            dx[c] = 0.0f;
        for (int64_t ot = t0; ot < t1; ot++)
            for (int64_t oh = h0; oh < h1; oh++)
                for (int64_t ow = w0; ow < w1; ow++) {
                    const int64_t at = pool_pixel(y, n, ot, oh, ow);
                    step->ctx->kernels->largest_gradient(channels, here, (const int32_t *)step->saved + at,
                                                         step->dout[0].data + at, dx);
                }
    }
}

static void backward(tn_step *step)
{
    const tn_tensor *x = &step->in[0];
    tn_parallel(step->ctx, x->size[0] * x->size[2] * x->size[3], backward_task, step);
}

static bool takes_bf16(const tn_step *step)
{
    (void)step;
    return true;
}

static bool gives_bf16(const tn_step *step)
{
    return step->in[0].precision == TN_BF16;
}

static tn_status infer(tn_step *step)
{
    TN_TRY(pool_infer(step));
    const tn_tensor *x = &step->in[0];
    if (x->size[2] * x->size[3] * x->size[4] > INT32_MAX)
        return tn_step_fail(step, TN_UNSUPPORTED, "x is %s, too many pixels in a sample", tn_shape(x).text);
    return TN_OK;
}

const tn_op tn_op_max_pool3d = {
    .name = "max_pool3d",
    .role = {TN_ROLE_DATA},
    .outputs = 1,
    .attr_size = sizeof(tn_pool3d_attr),
    .cases = pool_cases,
    .layers = pool_layers,
    .infer = infer,
    .prepare = prepare,
    .forward = forward,
    .backward = backward,
    .takes_bf16 = takes_bf16,
    .gives_bf16 = gives_bf16,
};

tn_var *tn_max_pool3d(tn_var *x, tn_pool3d_attr attr)
{
    tn_var *in[TN_MAX_IN] = {x};
    return tn_apply(x->graph, &tn_op_max_pool3d, in, &attr);
}
