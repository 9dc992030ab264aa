/* Window geometry that both poolings share. */
#include "libtensor/ops/pool3d.h"

tn_status pool_infer(tn_step *step)
{
    const tn_pool3d_attr *attr = step->node->attr;
    const tn_tensor *x = &step->in[0];
    if (x->rank != 5)
        return tn_step_fail(step, TN_SHAPE, "x is %s, expected (N, C, T, H, W)", tn_shape(x).text);
    step->out[0] = *x;
    for (int i = 0; i < 3; i++) {
        const int k = attr->kernel[i], s = attr->stride[i], p = attr->pad[i];
        if (k < 1 || s < 1 || p < 0 || p > k / 2)
            return tn_step_fail(step, TN_RANGE, "kernel %d, stride %d, padding %d", k, s, p);
        const int64_t room = x->size[2 + i] + 2 * p;
        if (room < k)
            return tn_step_fail(step, TN_SHAPE, "a kernel of %d does not fit into %lld with padding", k,
                                (long long)room);
        step->out[0].size[2 + i] = (room - k) / s + 1;
    }
    return TN_OK;
}

void pool_window(const tn_step *step, int axis, int64_t at, int64_t *begin, int64_t *end)
{
    const tn_pool3d_attr *attr = step->node->attr;
    const int64_t first = at * attr->stride[axis] - attr->pad[axis];
    *begin = tn_max(0, first);
    *end = tn_min(step->in[0].size[2 + axis], first + attr->kernel[axis]);
}

void pool_covering(const tn_step *step, int axis, int64_t at, int64_t *begin, int64_t *end)
{
    const tn_pool3d_attr *attr = step->node->attr;
    const int64_t last = at + attr->pad[axis]; /* o * stride <= last < o * stride + kernel */
    *begin = tn_max(0, tn_ceil_div(last - attr->kernel[axis] + 1, attr->stride[axis]));
    *end = tn_min(step->out[0].size[2 + axis], last / attr->stride[axis] + 1);
}

static const tn_pool3d_attr resnet = {{3, 3, 3}, {2, 2, 2}, {1, 1, 1}};
static const tn_pool3d_attr tiles = {{2, 2, 2}, {2, 2, 2}, {0, 0, 0}};
static const tn_pool3d_attr odd = {{1, 4, 3}, {1, 3, 1}, {0, 2, 1}};
static const tn_pool3d_attr gaps = {{2, 1, 2}, {3, 2, 4}, {1, 0, 0}};

const tn_case pool_cases[] = {
    {"3 stride 2", {{5, 2, 5, 5, 7, 6}}, &resnet, false},
    {"3 stride 2 of one frame", {{5, 1, 17, 1, 5, 4}}, &resnet, false},
    {"tiles", {{5, 1, 3, 4, 5, 6}}, &tiles, false},
    {"odd", {{5, 2, 2, 2, 7, 5}}, &odd, false},
    {"gaps", {{5, 1, 4, 6, 5, 9}}, &gaps, false},
    {0},
};

const tn_layer pool_layers[] = {
    {{"behind the stem", {{5, 1, 64, 16, 112, 112}}, &resnet, false}, false},
    {{0}, false},
};
