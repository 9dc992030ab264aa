#include "tests/ref/ref.h"

#include <math.h>

typedef struct channel {
    double mean, var; /* what the channel is normalised with */
    double unbiased;  /* variance over n - 1 */
} channel;

/* Statistics of channel c over every axis but axis 1. */
static channel measure(const ref_tensor *x, int64_t c)
{
    const int64_t inner = ref_count(x, 2, x->rank);
    const double n = (double)(x->size[0] * inner);
    channel s = {0, 0, 0};
    for (int64_t b = 0; b < x->size[0]; b++)
        for (int64_t i = 0; i < inner; i++)
            s.mean += x->data[(b * x->size[1] + c) * inner + i] / n;
    for (int64_t b = 0; b < x->size[0]; b++)
        for (int64_t i = 0; i < inner; i++) {
            const double d = x->data[(b * x->size[1] + c) * inner + i] - s.mean;
            s.var += d * d / n;
        }
    s.unbiased = s.var * n / (n - 1);
    return s;
}

void ref_batch_norm(ref_call *call)
{
    const tn_batch_norm_attr *attr = call->attr;
    const ref_tensor *x = &call->in[0];
    const double *weight = call->in[1].data, *bias = call->in[2].data, momentum = attr->momentum;
    double *mean = call->in[3].data, *var = call->in[4].data;
    const int64_t inner = ref_count(x, 2, x->rank);
    double *out = ref_output(call, 0, x->rank, x->size);
    for (int64_t c = 0; c < x->size[1]; c++) {
        channel s = {mean[c], var[c], 0};
        if (call->training && !call->frozen) {
            s = measure(x, c);
            mean[c] = (1 - momentum) * mean[c] + momentum * s.mean;
            var[c] = (1 - momentum) * var[c] + momentum * s.unbiased;
        }
        for (int64_t b = 0; b < x->size[0]; b++)
            for (int64_t i = 0; i < inner; i++) {
                const int64_t at = (b * x->size[1] + c) * inner + i;
                out[at] = (x->data[at] - s.mean) / sqrt(s.var + (double)attr->eps) * weight[c] + bias[c];
            }
    }
}
