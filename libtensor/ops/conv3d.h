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
    bool pointwise;     /* 1 x 1 x 1, stride 1, no padding: one plain product */
} conv_geometry;

conv_geometry conv_get_geometry(const tn_step *step);

/* Adds what conv_backward() needs to the step's scratch sizes. */
void conv_prepare_backward(tn_step *step, const conv_geometry *g);
void conv_backward(tn_step *step);

#endif
