/* What convolution's forward and backward share. */
#ifndef TN_OPS_CONV3D_H
#define TN_OPS_CONV3D_H

#include "libtensor/internal.h"

typedef struct conv_geometry {
    int64_t n, c, o;    /* samples, input channels, output channels */
    int64_t in[3];      /* T, H, W of x */
    int64_t out[3];     /* T, H, W of the result */
    int64_t k[3];       /* kernel */
    int64_t s[3], p[3]; /* stride, padding */
    int64_t taps;       /* (kt, kh) pairs */
    int64_t volume;     /* taps * KW */
    int64_t kt_begin;   /* the first kernel frame that is not in the padding for every output frame */
    int64_t kt_end;     /* past the last such */
    bool pointwise;     /* 1 x 1 x 1, stride 1, no padding: one plain product */
} conv_geometry;

conv_geometry conv_get_geometry(const tn_step *step);

/* (kt, kh) pairs of the kernel frames in use; forward packs no others. */
static inline int64_t conv_used_taps(const conv_geometry *g)
{
    return (g->kt_end - g->kt_begin) * g->k[1];
}

/* What forward adds to each output channel, behind the packed weights. */
float *conv_shift(const tn_step *step, const conv_geometry *g);

/* conv3d_gather.c: forward over blocks of pixels, and its scratch of each thread. */
size_t conv_gather_bytes(const conv_geometry *g);
void conv_gather_forward(const tn_step *step, const conv_geometry *g);

/* conv3d_winograd.c: forward of 3 x 3 along H and W. The size of its tiles, 2 or 4, or 0 where the direct way
 * is faster or the only one; what it needs; weights in its order, output channel j times scale[j]. */
int conv_winograd_size(const conv_geometry *g);
size_t conv_winograd_packed_floats(const tn_kernels *kernels, const conv_geometry *g, int m);
size_t conv_winograd_bytes(const tn_kernels *kernels, const conv_geometry *g, int m);
void conv_winograd_pack(const tn_step *step, const conv_geometry *g, int m, const float *scale);
void conv_winograd_forward(const tn_step *step, const conv_geometry *g, int m);

/* Adds what conv_backward() needs to the step's scratch sizes. */
void conv_prepare_backward(tn_step *step, const conv_geometry *g);
void conv_backward(tn_step *step);

#endif
