/* Views. */
#include "libtensor/internal.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

tn_tensor tn_view(float *data, int rank, const int64_t *size)
{
    assert(rank >= 0 && rank <= TN_MAX_RANK);
    tn_tensor t = {.data = data, .rank = rank};
    int64_t stride = 1;
    for (int i = rank - 1; i >= 0; i--) {
        t.size[i] = size[i];
        t.stride[i] = stride;
        stride *= size[i];
    }
    return t;
}

int64_t tn_numel(const tn_tensor *t)
{
    int64_t n = 1;
    for (int i = 0; i < t->rank; i++)
        n *= t->size[i];
    return n;
}

static void copy_axis(const tn_tensor *dst, const tn_tensor *src, int axis, float *d, const float *s)
{
    if (axis == dst->rank) {
        *d = *s;
        return;
    }
    const int64_t n = dst->size[axis], ds = dst->stride[axis], ss = src->stride[axis];
    if (axis == dst->rank - 1) {
        if (ds == 1 && ss == 1)
            memcpy(d, s, (size_t)n * sizeof *d);
        else
            for (int64_t i = 0; i < n; i++)
                d[i * ds] = s[i * ss];
        return;
    }
    for (int64_t i = 0; i < n; i++)
        copy_axis(dst, src, axis + 1, d + i * ds, s + i * ss);
}

void tn_copy(const tn_tensor *dst, const tn_tensor *src)
{
    assert(tn_same_size(dst, src));
    if (tn_numel(dst) > 0)
        copy_axis(dst, src, 0, dst->data, src->data);
}

void tn_physical_order(int rank, int order[TN_MAX_RANK])
{
    for (int i = 0; i < rank; i++)
        order[i] = i;
    if (rank == 5) {
        const int ndhwc[5] = {0, 2, 3, 4, 1};
        memcpy(order, ndhwc, sizeof ndhwc);
    }
}

void tn_set_layout(tn_tensor *t)
{
    int order[TN_MAX_RANK];
    tn_physical_order(t->rank, order);
    int64_t stride = 1;
    for (int i = t->rank - 1; i >= 0; i--) {
        t->stride[order[i]] = stride;
        stride *= t->size[order[i]];
    }
}

tn_shape_text tn_shape(const tn_tensor *t)
{
    tn_shape_text s = {"("};
    size_t used = 1;
    for (int i = 0; i < t->rank && used < sizeof s.text; i++)
        used += (size_t)snprintf(s.text + used, sizeof s.text - used, i ? ", %lld" : "%lld",
                                 (long long)t->size[i]);
    if (used < sizeof s.text - 1)
        strcpy(s.text + used, ")");
    return s;
}
