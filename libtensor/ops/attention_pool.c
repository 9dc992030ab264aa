/* Local attention (Mirsamadi, Barsoum and Zhang 2017, "Automatic speech emotion recognition using recurrent
 * neural networks with local attention", eq. 2 and 3): alpha_t = softmax over time of query . x_t, z = sum_t
 * alpha_t x_t. */
#include "libtensor/internal.h"

#include <math.h>
#include <string.h>

enum { X, QUERY, LENGTHS };
enum { Z, ALPHA };

static tn_status infer(tn_step *step)
{
    const tn_tensor *x = &step->in[X], *query = &step->in[QUERY], *lengths = &step->in[LENGTHS];
    if (x->rank != 3)
        return tn_step_fail(step, TN_SHAPE, "x is %s, expected (N, T, F)", tn_shape(x).text);
    if (query->rank != 1 || query->size[0] != x->size[2])
        return tn_step_fail(step, TN_SHAPE, "x has %lld features, the query is %s", (long long)x->size[2],
                            tn_shape(query).text);
    if (tn_present(step, LENGTHS) && (lengths->rank != 1 || lengths->size[0] != x->size[0]))
        return tn_step_fail(step, TN_SHAPE, "lengths are %s, x is %s", tn_shape(lengths).text,
                            tn_shape(x).text);
    step->out[Z].rank = 2;
    step->out[Z].size[0] = x->size[0];
    step->out[Z].size[1] = x->size[2];
    step->out[ALPHA].rank = 2;
    step->out[ALPHA].size[0] = x->size[0];
    step->out[ALPHA].size[1] = x->size[1];
    return TN_OK;
}

static tn_status prepare(tn_step *step)
{
    const tn_tensor *x = &step->in[X];
    step->flops = 4.0 * (double)tn_numel(x);
    /* Backward: each sample's part of the query's gradient. */
    step->thread_scratch_bytes = (size_t)(x->size[2] + x->size[1]) * sizeof(double);
    step->scratch_bytes = step->want[QUERY] ? (size_t)(x->size[0] * x->size[2]) * sizeof(double) : 0;
    return TN_OK;
}

static double dot(const float *a, const float *b, int64_t n)
{
    enum { LANES = 8 }; /* sums side by side: one alone would wait for each addition */
    double lane[LANES] = {0}, sum = 0;
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int j = 0; j < LANES; j++)
            lane[j] += (double)a[i + j] * (double)b[i + j];
    for (; i < n; i++)
        sum += (double)a[i] * (double)b[i];
    for (int j = 0; j < LANES; j++)
        sum += lane[j];
    return sum;
}

static void forward_sample(void *arg, int64_t n, int thread)
{
    const tn_step *step = arg;
    const int64_t steps = step->in[X].size[1], f = step->in[X].size[2];
    const int64_t length = tn_length(&step->in[LENGTHS], n, steps);
    const float *x = step->in[X].data + n * steps * f;
    float *alpha = step->out[ALPHA].data + n * steps;
    double *z = tn_thread_scratch(step, thread), *score = z + f, largest = -INFINITY, total = 0;
    for (int64_t t = 0; t < length; t++) {
        score[t] = dot(x + t * f, step->in[QUERY].data, f);
        largest = score[t] > largest ? score[t] : largest;
    }
    for (int64_t t = 0; t < length; t++)
        total += score[t] = exp(score[t] - largest);
    memset(z, 0, (size_t)f * sizeof *z);
    for (int64_t t = 0; t < length; t++) {
        const double weight = score[t] / total;
        alpha[t] = (float)weight;
        for (int64_t j = 0; j < f; j++)
            z[j] += weight * (double)x[t * f + j];
    }
    for (int64_t t = length; t < steps; t++)
        alpha[t] = 0.0f;
    for (int64_t j = 0; j < f; j++)
        step->out[Z].data[n * f + j] = (float)z[j];
}

static void forward(tn_step *step)
{
    tn_parallel(step->ctx, step->in[X].size[0], forward_sample, step);
}

/* With g_t = dz . x_t + dalpha_t: dscore_t = alpha_t (g_t - sum_s alpha_s g_s), dx_t = alpha_t dz + dscore_t
 * query, dquery = sum_t dscore_t x_t. */
static void backward_sample(void *arg, int64_t n, int thread)
{
    const tn_step *step = arg;
    const int64_t steps = step->in[X].size[1], f = step->in[X].size[2];
    const int64_t length = tn_length(&step->in[LENGTHS], n, steps);
    const float *x = step->in[X].data + n * steps * f, *alpha = step->out[ALPHA].data + n * steps;
    const float *dz = step->dout[Z].data ? step->dout[Z].data + n * f : NULL;
    const float *dalpha = step->dout[ALPHA].data ? step->dout[ALPHA].data + n * steps : NULL;
    float *dx = step->din[X].data ? step->din[X].data + n * steps * f : NULL;
    double *dquery = step->din[QUERY].data ? (double *)step->scratch + n * f : NULL;
    double *dscore = (double *)tn_thread_scratch(step, thread), mean = 0;
    for (int64_t t = 0; t < length; t++) {
        dscore[t] = (dz ? dot(dz, x + t * f, f) : 0) + (dalpha ? (double)dalpha[t] : 0);
        mean += (double)alpha[t] * dscore[t];
    }
    for (int64_t t = 0; t < length; t++)
        dscore[t] = (double)alpha[t] * (dscore[t] - mean);
    for (int64_t j = 0; dquery && j < f; j++)
        dquery[j] = 0;
    for (int64_t t = 0; dquery && t < length; t++)
        for (int64_t j = 0; j < f; j++)
            dquery[j] += dscore[t] * (double)x[t * f + j];
    for (int64_t t = 0; dx && t < steps; t++)
        for (int64_t j = 0; j < f; j++)
            dx[t * f + j] = t >= length ? 0.0f
                                        : (float)((dz ? (double)alpha[t] * (double)dz[j] : 0) +
                                                  dscore[t] * (double)step->in[QUERY].data[j]);
}

static void backward(tn_step *step)
{
    const int64_t samples = step->in[X].size[0], f = step->in[X].size[2];
    tn_parallel(step->ctx, samples, backward_sample, step);
    for (int64_t j = 0; step->din[QUERY].data && j < f; j++) {
        double sum = 0;
        for (int64_t n = 0; n < samples; n++)
            sum += ((double *)step->scratch)[n * f + j];
        step->din[QUERY].data[j] = (float)sum;
    }
}

static const tn_case cases[] = {
    {"plain", {{3, 2, 5, 4}, {1, 4}}, NULL, false},
    {"lengths", {{3, 5, 7, 6}, {1, 6}, {1, 5}}, NULL, false},
    {"one step", {{3, 2, 1, 3}, {1, 3}}, NULL, false},
    {0},
};

static const tn_layer layers[] = {
    {{"clip", {{3, 1, 498, 256}, {1, 256}, {1, 1}}, NULL, false}, false},
    {{"128 clips", {{3, 128, 498, 256}, {1, 256}, {1, 128}}, NULL, false}, false},
    {{0}, false},
};

const tn_op tn_op_attention_pool = {
    .name = "attention_pool",
    .role = {TN_ROLE_DATA, TN_ROLE_DATA, TN_ROLE_LENGTH}, /* the query may be computed */
    .optional = 1u << LENGTHS,
    .outputs = 2,
    .keep_in = 1u << X | 1u << QUERY | 1u << LENGTHS,
    .keep_out = 1u << ALPHA,
    .cases = cases,
    .layers = layers,
    .infer = infer,
    .prepare = prepare,
    .forward = forward,
    .backward = backward,
};

tn_var *tn_attention_pool(tn_var *x, tn_var *query, tn_var *lengths, tn_var **alpha)
{
    tn_var *in[TN_MAX_IN] = {x, query, lengths};
    tn_var *z = tn_apply(x->graph, &tn_op_attention_pool, in, NULL);
    if (alpha)
        *alpha = z->kind == TN_VAR_POISON ? z : z->node->out[ALPHA];
    return z;
}
