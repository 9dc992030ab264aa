/* Concatenation and slicing. Both see a tensor as (outer, axis, inner). */
#include "libtensor/internal.h"
#include "tests/ref/ref.h"

void ref_concat(ref_call *call)
{
    const tn_concat_attr *attr = call->attr;
    ref_tensor whole = call->in[0];
    whole.size[attr->axis] = 0;
    for (int p = 0; p < TN_MAX_IN; p++)
        if (call->in[p].data)
            whole.size[attr->axis] += call->in[p].size[attr->axis];
    double *out = ref_output(call, 0, whole.rank, whole.size);
    const int64_t inner = ref_count(&whole, attr->axis + 1, whole.rank), length = whole.size[attr->axis];
    int64_t begin = 0;
    for (int p = 0; p < TN_MAX_IN; p++) {
        const ref_tensor *part = &call->in[p];
        if (!part->data)
            continue;
        const int64_t mine = part->size[attr->axis];
        for (int64_t o = 0; o < ref_count(part, 0, attr->axis); o++)
            for (int64_t a = 0; a < mine; a++)
                for (int64_t i = 0; i < inner; i++)
                    out[(o * length + begin + a) * inner + i] = part->data[(o * mine + a) * inner + i];
        begin += mine;
    }
}

void ref_slice(ref_call *call)
{
    const tn_slice_attr *attr = call->attr;
    const ref_tensor *x = &call->in[0];
    const int64_t length = x->size[attr->axis], stop = attr->stop == TN_ANY ? length : attr->stop;
    ref_tensor cut = *x;
    cut.size[attr->axis] = 0;
    for (int64_t a = attr->start; a < stop; a += attr->step)
        cut.size[attr->axis]++;
    double *out = ref_output(call, 0, cut.rank, cut.size);
    const int64_t inner = ref_count(x, attr->axis + 1, x->rank);
    for (int64_t o = 0; o < ref_count(x, 0, attr->axis); o++)
        for (int64_t a = attr->start; a < stop; a += attr->step)
            for (int64_t i = 0; i < inner; i++)
                *out++ = x->data[(o * length + a) * inner + i];
}
