#include "tests/ref/ref.h"

#include <string.h>

void ref_linear(ref_call *call)
{
    const ref_tensor *x = &call->in[0], *weight = &call->in[1], *bias = &call->in[2];
    const int64_t features = weight->size[1], outputs = weight->size[0];
    int64_t size[TN_MAX_RANK];
    memcpy(size, x->size, sizeof size);
    size[x->rank - 1] = outputs;
    double *out = ref_output(call, 0, x->rank, size);
    for (int64_t row = 0; row < ref_count(x, 0, x->rank - 1); row++)
        for (int64_t o = 0; o < outputs; o++) {
            double sum = bias->data ? bias->data[o] : 0;
            for (int64_t i = 0; i < features; i++)
                sum += x->data[row * features + i] * weight->data[o * features + i];
            out[row * outputs + o] = sum;
        }
}
