/* Softmax, attention over time, cross-entropy. */
#include "tests/ref/ref.h"

#include <math.h>

/* The largest score is taken off everywhere, which changes nothing but that nothing overflows. */
static double log_sum_exp(const double *score, int64_t n)
{
    double largest = -INFINITY, sum = 0;
    for (int64_t i = 0; i < n; i++)
        largest = fmax(largest, score[i]);
    for (int64_t i = 0; i < n; i++)
        sum += exp(score[i] - largest);
    return largest + log(sum);
}

static void softmax(const double *score, int64_t n, double *out)
{
    const double total = log_sum_exp(score, n);
    for (int64_t i = 0; i < n; i++)
        out[i] = exp(score[i] - total);
}

void ref_softmax(ref_call *call)
{
    const ref_tensor *x = &call->in[0];
    const int64_t classes = x->size[x->rank - 1];
    double *out = ref_output(call, 0, x->rank, x->size);
    for (int64_t at = 0; at < ref_numel(x); at += classes)
        softmax(x->data + at, classes, out + at);
}

void ref_attention_pool(ref_call *call)
{
    const ref_tensor *x = &call->in[0];
    const double *query = call->in[1].data;
    const int64_t steps = x->size[1], features = x->size[2];
    double *z = ref_output(call, 0, 2, (int64_t[]){x->size[0], features});
    double *alpha = ref_output(call, 1, 2, x->size);
    for (int64_t n = 0; n < x->size[0]; n++, alpha += steps, z += features) {
        const double *row = x->data + n * steps * features;
        const int64_t length = ref_length(&call->in[2], n, steps);
        if (length == 0)
            continue;
        for (int64_t t = 0; t < length; t++)
            for (int64_t f = 0; f < features; f++)
                alpha[t] += row[t * features + f] * query[f];
        softmax(alpha, length, alpha);
        for (int64_t t = 0; t < length; t++)
            for (int64_t f = 0; f < features; f++)
                z[f] += alpha[t] * row[t * features + f];
    }
}

void ref_cross_entropy(ref_call *call)
{
    const ref_tensor *logits = &call->in[0];
    const double *labels = call->in[1].data, *weights = call->in[2].data;
    const int64_t classes = logits->size[1];
    double loss = 0, total = 0;
    for (int64_t n = 0; n < logits->size[0]; n++) {
        if (labels[n] < 0 || labels[n] > (double)(classes - 1))
            continue;
        const int64_t label = (int64_t)labels[n];
        const double *row = logits->data + n * classes, weight = weights ? weights[label] : 1;
        loss += weight * (log_sum_exp(row, classes) - row[label]);
        total += weight;
    }
    *ref_output(call, 0, 0, (int64_t[]){0}) = total > 0 ? loss / total : 0;
}
