/* Window geometry that both poolings share. */
#ifndef TN_OPS_POOL3D_H
#define TN_OPS_POOL3D_H

#include "libtensor/internal.h"

/* Sets the output's shape of a pooling op with a tn_pool3d_attr. */
tn_status pool_infer(tn_step *step);

/* The input positions [begin, end) under output position `at` along `axis` (0 is T), padding left out. */
void pool_window(const tn_step *step, int axis, int64_t at, int64_t *begin, int64_t *end);

/* The output positions [begin, end) whose windows hold input position `at`. */
void pool_covering(const tn_step *step, int axis, int64_t at, int64_t *begin, int64_t *end);

/* Elements of one pixel of a channels-last tensor lie together: where pixel (n, t, h, w) begins. */
static inline int64_t pool_pixel(const tn_tensor *x, int64_t n, int64_t t, int64_t h, int64_t w)
{
    return (((n * x->size[2] + t) * x->size[3] + h) * x->size[4] + w) * x->size[1];
}

/* What both poolings are tested and benchmarked on. */
extern const tn_case pool_cases[];
extern const tn_layer pool_layers[];

#endif
