/* Softmax over the last axis, shifted by the largest value so that nothing overflows. */
#include "libtensor/internal.h"

#include <math.h>

static tn_status infer(tn_step *step)
{
    const tn_tensor *x = &step->in[0];
    if (x->rank < 1 || x->rank == 5 || tn_numel(x) == 0)
        return tn_step_fail(step, TN_SHAPE, "x is %s, expected (..., classes)", tn_shape(x).text);
    step->out[0] = *x;
    return TN_OK;
}

static tn_status prepare(tn_step *step)
{
    step->flops = 4.0 * (double)tn_numel(&step->in[0]);
    return TN_OK;
}

static void forward_rows(void *arg, int64_t begin, int64_t end)
{
    const tn_step *step = arg;
    int64_t n;
    tn_rows(&step->in[0], &n);
    for (int64_t row = begin; row < end; row++) {
        const float *x = step->in[0].data + row * n;
        float *y = step->out[0].data + row * n, largest = x[0];
        double sum = 0;
        for (int64_t j = 1; j < n; j++)
            largest = x[j] > largest ? x[j] : largest;
        for (int64_t j = 0; j < n; j++) {
            y[j] = expf(x[j] - largest);
            sum += (double)y[j];
        }
        for (int64_t j = 0; j < n; j++)
            y[j] = (float)((double)y[j] / sum);
    }
}

static void backward_rows(void *arg, int64_t begin, int64_t end)
{
    const tn_step *step = arg;
    int64_t n;
    tn_rows(&step->in[0], &n);
    for (int64_t row = begin; row < end; row++) {
        const float *y = step->out[0].data + row * n, *dy = step->dout[0].data + row * n;
        float *dx = step->din[0].data + row * n;
        double dot = 0;
        for (int64_t j = 0; j < n; j++)
            dot += (double)y[j] * (double)dy[j];
        for (int64_t j = 0; j < n; j++)
            dx[j] = (float)((double)y[j] * ((double)dy[j] - dot));
    }
}

/* All rows in tasks of some 4096 elements: fewer are not worth waking a thread. */
static void all_rows(tn_step *step, tn_range_fn fn)
{
    int64_t n;
    const int64_t rows = tn_rows(&step->in[0], &n);
    tn_parallel_ranges(step->ctx, rows, tn_max(1, 4096 / n), fn, step);
}

static void forward(tn_step *step)
{
    all_rows(step, forward_rows);
}

static void backward(tn_step *step)
{
    all_rows(step, backward_rows);
}

static const tn_case cases[] = {
    {"2d", {{2, 5, 3}}, NULL, false},
    {"vector", {{1, 9}}, NULL, false},
    {"3d", {{3, 2, 30, 4}}, NULL, false},
    {"one class", {{2, 4, 1}}, NULL, false},
    {0},
};

static const tn_layer layers[] = {
    {{"305 classes", {{2, 1, 305}}, NULL, false}, false},
    {{"128 clips", {{2, 128, 3}}, NULL, false}, false},
    {{0}, false},
};

const tn_op tn_op_softmax = {
    .name = "softmax",
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

tn_var *tn_softmax(tn_var *x)
{
    tn_var *in[TN_MAX_IN] = {x};
    return tn_apply(x->graph, &tn_op_softmax, in, NULL);
}
