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

bool tn_size_fits(int rank, const int64_t *size)
{
    int64_t left = (int64_t)1 << 40;
    for (int i = 0; i < rank; i++) {
        if (size[i] > left)
            return false;
        left /= tn_max(1, size[i]);
    }
    return true;
}

/* Axes of a copy, outermost first. */
typedef struct copy_axes {
    int count;
    int64_t size[TN_MAX_RANK], to[TN_MAX_RANK], from[TN_MAX_RANK]; /* strides of the two sides */
} copy_axes;

/* Orders the axes so that the target is written in order of its memory. */
static copy_axes order_axes(const tn_tensor *dst, const tn_tensor *src)
{
    copy_axes axes = {0};
    for (int i = 0; i < dst->rank; i++) {
        int at = axes.count++;
        for (; at > 0 && axes.to[at - 1] < dst->stride[i]; at--) {
            axes.size[at] = axes.size[at - 1];
            axes.to[at] = axes.to[at - 1];
            axes.from[at] = axes.from[at - 1];
        }
        axes.size[at] = dst->size[i];
        axes.to[at] = dst->stride[i];
        axes.from[at] = src->stride[i];
    }
    return axes;
}

static void copy_axis(const copy_axes *axes, int axis, float *to, const float *from)
{
    if (axis == axes->count) {
        *to = *from;
        return;
    }
    const int64_t n = axes->size[axis], ts = axes->to[axis], fs = axes->from[axis];
    if (axis < axes->count - 1) {
        for (int64_t i = 0; i < n; i++)
            copy_axis(axes, axis + 1, to + i * ts, from + i * fs);
    } else if (ts == 1 && fs == 1) {
        memcpy(to, from, (size_t)n * sizeof *to);
    } else {
        for (int64_t i = 0; i < n; i++)
            to[i * ts] = from[i * fs];
    }
}

void tn_copy(const tn_tensor *dst, const tn_tensor *src)
{
    assert(tn_same_size(dst, src) && dst->precision == TN_FP32 && src->precision == TN_FP32);
    const copy_axes axes = order_axes(dst, src);
    if (tn_numel(dst) > 0)
        copy_axis(&axes, 0, dst->data, src->data);
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
