/* What convolution's forward and backward share. */
#ifndef TN_OPS_CONV3D_H
#define TN_OPS_CONV3D_H

#include "libtensor/internal.h"

typedef struct conv_geometry {
    int64_t n, c, o;    /* samples, input channels (of bfloat16: pairs of them), output channels */
    bool pairs;         /* x is bfloat16 */
    bool to_bf16;       /* the result is bfloat16 */
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

static inline int64_t conv_channels(const conv_geometry *g)
{
    return g->pairs ? 2 * g->c : g->c;
}

/* Sets what follows from the sizes, strides and paddings: taps and below. */
void conv_complete(conv_geometry *g);

/* (kt, kh) pairs of the kernel frames in use; forward packs no others. */
static inline int64_t conv_used_taps(const conv_geometry *g)
{
    return (g->kt_end - g->kt_begin) * g->k[1];
}

/* Input rows that `rows` output rows read, per kernel frame. */
static inline int64_t conv_input_rows(const conv_geometry *g, int64_t rows)
{
    return (rows - 1) * g->s[1] + g->k[1];
}

/* Floats of an input row with its zero edges. */
static inline int64_t conv_padded_row(const conv_geometry *g)
{
    return (g->in[2] + 2 * g->p[2]) * g->c;
}

/* What forward adds to each output channel, behind the packed weights. */
float *conv_shift(const tn_step *step, const conv_geometry *g);

/* What all products of the step that end in its output share. */
static inline tn_brgemm conv_product(const tn_step *step, const conv_geometry *g)
{
    return (tn_brgemm){.ldc = g->o,
                       .ldr = g->o,
                       .relu = step->epilogue.relu,
                       .pairs = g->pairs,
                       .c_bf16 = step->out[0].precision == TN_BF16,
                       .residual_bf16 = step->epilogue.residual.precision == TN_BF16};
}

/* Multiplies for the output's channels from `o` on and its pixels from `pixel` on. */
void conv_multiply(const tn_step *step, const conv_geometry *g, tn_brgemm *product, int64_t pixel, int64_t o);

/* One way to compute forward. */
typedef struct conv_way {
    /* Whether it can, and is the fastest, where no way before it is. */
    bool (*fits)(const tn_step *step, const conv_geometry *g);
    size_t (*packed_floats)(const tn_kernels *kernels, const conv_geometry *g);
    size_t (*thread_bytes)(const tn_kernels *kernels, const conv_geometry *g);
    /* Puts the weights into step->packed in this way's order, output channel j times scale[j]. */
    void (*pack)(const tn_step *step, const conv_geometry *g, const float *scale);
    void (*forward)(const tn_step *step, const conv_geometry *g);
    double bf16_error; /* tn_step.error where x and weights are bfloat16 */
    /* Whether floats are rounded to that, too, to be multiplied; NULL: never. */
    bool (*rounds)(const conv_geometry *g);
} conv_way;

extern const conv_way conv_by_blocks; /* conv3d_gather.c: blocks of pixels */
extern const conv_way conv_by_tiles;  /* conv3d_winograd.c: 3 x 3 along H and W */
extern const conv_way conv_by_stem;   /* conv3d_stem.c: 7 x 7 along T and H, stride 2 along H */

/* The first that fits; the last one always does. */
const conv_way *conv_way_of(const tn_step *step, const conv_geometry *g);

/* The direct ways' weights: [panel][kt, kh][kw][c][column]. */
size_t conv_direct_floats(const tn_kernels *kernels, const conv_geometry *g);
void conv_direct_pack(const tn_step *step, const conv_geometry *g, const float *scale);

/* conv3d_weights.c: the gradient of the weights. `products` has conv_weights_floats(), a thread's scratch
 * conv_weights_thread_floats(). */
size_t conv_weights_floats(const conv_geometry *g);
size_t conv_weights_thread_floats(const tn_kernels *kernels, const conv_geometry *g);
void conv_weights_gradient(const tn_step *step, const conv_geometry *g, float *products);

/* Adds what conv_backward() needs to the step's scratch sizes. */
void conv_prepare_backward(tn_step *step, const conv_geometry *g);
void conv_backward(tn_step *step);

#endif
