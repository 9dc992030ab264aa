/* Batch normalisation (Ioffe and Szegedy 2015), with PyTorch's running statistics. */
#include "libtensor/internal.h"

#include <math.h>

enum { X, WEIGHT, BIAS, MEAN, VAR, PARAMS_BEGIN = WEIGHT };

static tn_status infer(tn_step *step)
{
    const tn_batch_norm_attr *attr = step->node->attr;
    const tn_tensor *x = &step->in[X];
    if (x->rank != 2 && x->rank != 5)
        return tn_step_fail(step, TN_SHAPE, "x has shape %s, expected (N, C) or (N, C, T, H, W)",
                            tn_shape(x).text);
    for (int i = PARAMS_BEGIN; i <= VAR; i++)
        if (step->in[i].rank != 1 || step->in[i].size[0] != x->size[1])
            return tn_step_fail(step, TN_SHAPE, "x has %lld channels, parameter %d has shape %s",
                                (long long)x->size[1], i - PARAMS_BEGIN, tn_shape(&step->in[i]).text);
    if (!(attr->eps >= 0) || !(attr->momentum >= 0 && attr->momentum <= 1))
        return tn_step_fail(step, TN_RANGE, "eps %g or momentum %g is out of range", (double)attr->eps,
                            (double)attr->momentum);
    step->out[0] = *x;
    return TN_OK;
}

/* Whether this run normalises with the batch's own statistics. */
static bool uses_batch(const tn_step *step)
{
    return step->training && !step->frozen;
}

static tn_status prepare(tn_step *step)
{
    int64_t c;
    const int64_t rows = tn_rows(&step->in[X], &c);
    if (uses_batch(step) && rows < 2)
        return tn_step_fail(step, TN_RANGE, "training needs more than one value per channel, x is %s",
                            tn_shape(&step->in[X]).text);
    step->flops = 2.0 * (double)tn_numel(&step->in[X]);
    step->saved_bytes = 2 * (size_t)c * sizeof(float); /* mean, 1 / deviation */
    step->scratch_bytes = tn_row_sums_bytes(c) + 3 * (size_t)c * sizeof(float);
    return TN_OK;
}

/* In training a ReLU behind it is done in the same pass; in inference a convolution takes in both. */
static bool absorb(tn_step *step, const tn_node *next, int slot)
{
    (void)slot;
    if (!step->training || next->op != &tn_op_relu || step->epilogue.relu)
        return false;
    return step->epilogue.relu = true;
}

/* What the row functions below see. */
typedef struct rows {
    const tn_kernels *kernels;
    tn_norm norm;
    int64_t c;           /* channels */
    const float *x, *dy; /* rows x c */
    float *y;            /* result */
} rows;

/* Counted from the first row, so that squares do not lose what a large mean would hide. */
static void add_moments(const void *arg, int64_t row, double *a, double *b)
{
    const rows *r = arg;
    r->kernels->norm_moments(r->c, r->x + row * r->c, r->x, a, b);
}

static void batch_statistics(tn_step *step, const rows *r, int64_t count, float *mean, float *inverse)
{
    const tn_batch_norm_attr *attr = step->node->attr;
    const double m = (double)attr->momentum, n = (double)count;
    float *running_mean = step->in[MEAN].data, *running_var = step->in[VAR].data;
    const double *sum = tn_row_sums(step->ctx, count, r->c, add_moments, r, step->scratch),
                 *square = sum + r->c;
    for (int64_t j = 0; j < r->c; j++) {
        const double off = sum[j] / n, average = (double)r->x[j] + off, spread = square[j] - sum[j] * off;
        const double squares = spread < 0 ? 0 : spread; /* not-a-numbers pass */
        mean[j] = (float)average;
        running_mean[j] = (float)((1 - m) * (double)running_mean[j] + m * average);
        inverse[j] = (float)(1 / sqrt(squares / n + (double)attr->eps));
        running_var[j] = (float)((1 - m) * (double)running_var[j] + m * squares / (n - 1));
    }
}

static void normalise(void *arg, int64_t begin, int64_t end)
{
    const rows *r = arg;
    for (int64_t row = begin; row < end; row++)
        r->kernels->norm_forward(&r->norm, r->c, r->x + row * r->c, r->y + row * r->c);
}

enum { GRAIN = 256 }; /* rows in a task */

static void forward(tn_step *step)
{
    const tn_batch_norm_attr *attr = step->node->attr;
    rows r = {.kernels = step->ctx->kernels, .x = step->in[X].data, .y = step->out[0].data};
    const int64_t count = tn_rows(&step->in[X], &r.c);
    float *mean = step->saved, *inverse = mean + r.c;
    float *scale = (float *)((char *)step->scratch + tn_row_sums_bytes(r.c));
    if (uses_batch(step)) {
        batch_statistics(step, &r, count, mean, inverse);
    } else {
        for (int64_t j = 0; j < r.c; j++) {
            mean[j] = step->in[MEAN].data[j];
            inverse[j] = (float)(1 / sqrt((double)step->in[VAR].data[j] + (double)attr->eps));
        }
    }
    for (int64_t j = 0; j < r.c; j++)
        scale[j] = inverse[j] * step->in[WEIGHT].data[j];
    r.norm =
        (tn_norm){.mean = mean, .scale = scale, .shift = step->in[BIAS].data, .relu = step->epilogue.relu};
    tn_parallel_ranges(step->ctx, count, GRAIN, normalise, &r);
}

/* Sums of dy and of dy times the normalised x: the gradients of bias and weight. */
static void add_gradients(const void *arg, int64_t row, double *a, double *b)
{
    const rows *r = arg;
    r->kernels->norm_sums(&r->norm, r->c, r->x + row * r->c, r->dy + row * r->c, a, b);
}

/* dx = scale * (dy - mean(dy) - xhat * mean(dy * xhat)), the last two being 0 with fixed statistics. */
static void input_gradient(void *arg, int64_t begin, int64_t end)
{
    const rows *r = arg;
    for (int64_t row = begin; row < end; row++)
        r->kernels->norm_gradient(&r->norm, r->c, r->x + row * r->c, r->dy + row * r->c, r->y + row * r->c);
}

static void backward(tn_step *step)
{
    rows r = {.kernels = step->ctx->kernels,
              .x = step->in[X].data,
              .dy = step->dout[0].data,
              .y = step->din[X].data};
    const int64_t count = tn_rows(&step->in[X], &r.c);
    const float *mean = step->saved, *inverse = mean + r.c;
    float *scale = (float *)((char *)step->scratch + tn_row_sums_bytes(r.c)), *mean_dy = scale + r.c,
          *mix = mean_dy + r.c;
    for (int64_t j = 0; j < r.c; j++)
        scale[j] = inverse[j] * step->in[WEIGHT].data[j];
    r.norm = (tn_norm){mean, inverse, scale, step->in[BIAS].data, mean_dy, mix, step->epilogue.relu};
    const double *sum = tn_row_sums(step->ctx, count, r.c, add_gradients, &r, step->scratch);
    const double batch = uses_batch(step) ? 1.0 / (double)count : 0.0;
    for (int64_t j = 0; j < r.c; j++) {
        mean_dy[j] = (float)(sum[j] * batch);
        mix[j] = (float)(sum[r.c + j] * batch * (double)inverse[j]);
        if (step->din[BIAS].data)
            step->din[BIAS].data[j] = (float)sum[j];
        if (step->din[WEIGHT].data)
            step->din[WEIGHT].data[j] = (float)sum[r.c + j];
    }
    if (r.y)
        tn_parallel_ranges(step->ctx, count, GRAIN, input_gradient, &r);
}

static const tn_batch_norm_attr usual = {1e-5f, 0.1f}, odd = {1e-3f, 0.35f};
static const tn_case cases[] = {
    {"2d", {{2, 6, 5}, {1, 5}, {1, 5}, {1, 5}, {1, 5}}, &usual, false},
    {"5d", {{5, 2, 3, 2, 3, 4}, {1, 3}, {1, 3}, {1, 3}, {1, 3}}, &usual, false},
    {"5d odd", {{5, 1, 19, 3, 1, 5}, {1, 19}, {1, 19}, {1, 19}, {1, 19}}, &odd, false},
    {"5d long", {{5, 2, 3, 3, 12, 13}, {1, 3}, {1, 3}, {1, 3}, {1, 3}}, &usual, false},
    {"2d frozen", {{2, 6, 5}, {1, 5}, {1, 5}, {1, 5}, {1, 5}}, &odd, true},
    {"5d frozen", {{5, 2, 3, 2, 3, 4}, {1, 3}, {1, 3}, {1, 3}, {1, 3}}, &usual, true},
    {"one row frozen", {{2, 1, 4}, {1, 4}, {1, 4}, {1, 4}, {1, 4}}, &usual, true},
    {0},
};

static const tn_layer layers[] = {
    {{"stem", {{5, 1, 64, 16, 112, 112}, {1, 64}, {1, 64}, {1, 64}, {1, 64}}, &usual, false}, false},
    {{"layer1", {{5, 1, 256, 8, 56, 56}, {1, 256}, {1, 256}, {1, 256}, {1, 256}}, &usual, false}, false},
    {{"layer4", {{5, 1, 2048, 1, 7, 7}, {1, 2048}, {1, 2048}, {1, 2048}, {1, 2048}}, &usual, false}, false},
    {{0}, false},
};

const tn_op tn_op_batch_norm = {
    .name = "batch_norm",
    .role = {TN_ROLE_DATA, TN_ROLE_WEIGHT, TN_ROLE_WEIGHT, TN_ROLE_MEAN, TN_ROLE_VARIANCE},
    .outputs = 1,
    .attr_size = sizeof(tn_batch_norm_attr),
    .keep_in = 1u << X,
    .cases = cases,
    .layers = layers,
    .infer = infer,
    .prepare = prepare,
    .forward = forward,
    .backward = backward,
    .absorb = absorb,
};

tn_var *tn_batch_norm(tn_var *x, tn_var *weight, tn_var *bias, tn_var *running_mean, tn_var *running_var,
                      tn_batch_norm_attr attr)
{
    tn_var *in[TN_MAX_IN] = {x, weight, bias, running_mean, running_var};
    return tn_apply(x->graph, &tn_op_batch_norm, in, &attr);
}
