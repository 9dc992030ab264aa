#include "tests/ref/ref.h"

/* Whether element e of row n survives: the scheme that ops/dropout.c documents. */
static bool survives(const ref_call *call, int64_t n, int64_t e, double p)
{
    const uint32_t counter[4] = {(uint32_t)(e / 4), (uint32_t)call->node, (uint32_t)call->run,
                                 (uint32_t)(call->first_sample + (uint64_t)n)};
    return (ref_philox(call->seed, counter, (int)(e % 4)) / 256) / 16777216.0 >= p;
}

void ref_dropout(ref_call *call)
{
    const tn_dropout_attr *attr = call->attr;
    const ref_tensor *x = &call->in[0];
    const int64_t elements = ref_count(x, 1, x->rank);
    const double p = (double)attr->p;
    double *out = ref_output(call, 0, x->rank, x->size);
    for (int64_t n = 0; n < x->size[0]; n++)
        for (int64_t i = 0; i < elements; i++) {
            int64_t e = i; /* the element's place among those that have a number of their own */
            if (attr->per_channel)
                e = i % x->size[2];
            else if (x->rank == 5) /* counted channels-last */
                e = i % ref_count(x, 2, 5) * x->size[1] + i / ref_count(x, 2, 5);
            const double value = x->data[n * elements + i];
            if (!call->training)
                out[n * elements + i] = value;
            else
                out[n * elements + i] = survives(call, n, e, p) ? value / (1 - p) : 0;
        }
}
