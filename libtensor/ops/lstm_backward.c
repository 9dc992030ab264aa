/* Gradients of the LSTM: back through time in the same tasks as forward, then products over all steps. */
#include "libtensor/ops/lstm.h"

#include <string.h>

enum { INPUT_ROWS = 112 }; /* of dx in a task */

static size_t gradient_floats(const lstm_shape *s)
{
    return (size_t)(s->directions * s->n * s->t * 4 * s->h);
}

/* Scratch: gradients before the activations (as the gates lie), packed W_hh and W_ih of each direction for
 * products with them from the left, and what gradients of weights take. */
static size_t recurrent_floats(const tn_step *step, const lstm_shape *s)
{
    return tn_packed_floats(step->ctx->kernels, 4 * s->h, s->h);
}

static size_t input_floats(const tn_step *step, const lstm_shape *s)
{
    return tn_packed_floats(step->ctx->kernels, 4 * s->h, s->i);
}

static size_t weights_floats(const tn_step *step, const lstm_shape *s)
{
    return (size_t)s->directions * (recurrent_floats(step, s) + input_floats(step, s));
}

static float *pre_activation(const tn_step *step, const lstm_shape *s, int64_t d, int64_t n, int64_t t)
{
    return (float *)step->scratch + ((d * s->n + n) * s->t + t) * 4 * s->h;
}

static float *packed_recurrent(const tn_step *step, const lstm_shape *s, int64_t d)
{
    return (float *)step->scratch + gradient_floats(s) +
           (size_t)d * (recurrent_floats(step, s) + input_floats(step, s));
}

static float *packed_input(const tn_step *step, const lstm_shape *s, int64_t d)
{
    return packed_recurrent(step, s, d) + recurrent_floats(step, s);
}

static void *gradient_scratch(const tn_step *step, const lstm_shape *s)
{
    return (float *)step->scratch + (gradient_floats(s) + weights_floats(step, s) + 1) / 2 * 2;
}

/* dh = dy_t + (gradients of step `after`) W_hh for all rows of the task; after < 0: dy_t alone. */
static void output_gradient(const tn_step *step, const lstm_shape *s, int64_t d, int64_t n, int64_t rows,
                            int64_t t, int64_t after, float *dh)
{
    const tn_kernels *kernels = step->ctx->kernels;
    const float *a = after < 0 ? NULL : pre_activation(step, s, d, n, after);
    for (int64_t j = 0; j < s->h; j += kernels->nr) {
        const float *panel = packed_recurrent(step, s, d) + j * 4 * s->h;
        const tn_brgemm product = {.m = rows,
                                   .n = (int)tn_min(kernels->nr, s->h - j),
                                   .k = 4 * s->h,
                                   .batch = after < 0 ? 0 : 1,
                                   .a = &a,
                                   .b = &panel,
                                   .lda = s->t * 4 * s->h,
                                   .c = dh + j,
                                   .ldc = s->h,
                                   .residual = lstm_output(s, step->dout[0].data, d, n, t) + j,
                                   .ldr = s->t * s->directions * s->h};
        kernels->brgemm(&product);
    }
}

static void backward_task(void *arg, int64_t task, int thread)
{
    const tn_step *step = arg;
    const lstm_shape s = lstm_get_shape(step);
    const int64_t d = task % s.directions, begin = task / s.directions * LSTM_ROWS;
    const int64_t rows = tn_min(LSTM_ROWS, s.n - begin);
    float *dh = tn_thread_scratch(step, thread), *dc = dh + LSTM_ROWS * s.h;
    memset(dc, 0, (size_t)(rows * s.h) * sizeof *dc);
    for (int64_t k = s.t - 1; k >= 0; k--) {
        const int64_t t = d ? s.t - 1 - k : k, before = d ? t + 1 : t - 1, after = d ? t - 1 : t + 1;
        output_gradient(step, &s, d, begin, rows, t, k == s.t - 1 ? -1 : after, dh);
        for (int64_t row = 0; row < rows; row++) {
            const int64_t n = begin + row;
            float *out = pre_activation(step, &s, d, n, t);
            if (t < tn_length(&step->in[LSTM_LENGTHS], n, s.t)) {
                step->ctx->kernels->lstm_cell_gradient(
                    s.h, lstm_gates(step, &s, d, n, t), k > 0 ? lstm_cell(step, &s, d, n, before) : NULL,
                    lstm_cell(step, &s, d, n, t), dh + row * s.h, dc + row * s.h, out);
            } else {
                memset(out, 0, 4 * (size_t)s.h * sizeof *out);
                memset(dc + row * s.h, 0, (size_t)s.h * sizeof *dc);
            }
        }
    }
}

/* With G the gradients before the activations: dW_ih = G^T x, dW_hh = G^T h of the step before, each bias
 * gets the sum of G over rows and steps. Both directions at once, so that x is packed once. A plan that is
 * being made has no memory yet and asks for the widths. */
static tn_gradients gradients(const tn_step *step, const lstm_shape *s)
{
    const int64_t gates = 4 * s->h, features = s->directions * s->h;
    tn_gradients g = {.rows = s->n * s->t, .lefts = (int)s->directions, .rights = 1};
    g.right[0] = (tn_factor){step->in[LSTM_X].data, s->i, s->i, s->t, 0, NULL};
    for (int d = 0; d < s->directions; d++) {
        const int first = LSTM_WEIGHTS + 4 * d;
        const tn_tensor *dw = &step->din[first];
        g.left[d] = (tn_factor){.x = step->scratch ? pre_activation(step, s, d, 0, 0) : NULL,
                                .width = gates,
                                .ld = gates,
                                .sums = dw[LSTM_B_IH].data ? dw[LSTM_B_IH].data : dw[LSTM_B_HH].data};
        if (step->want[first + LSTM_W_IH])
            g.product[g.products++] = (tn_outer){d, 0, dw[LSTM_W_IH].data};
        if (!step->want[first + LSTM_W_HH])
            continue;
        g.right[g.rights] =
            (tn_factor){.x = step->scratch ? lstm_output(s, step->out[0].data, d, 0, 0) : NULL,
                        .width = s->h,
                        .ld = features,
                        .sequence = s->t,
                        .shift = d ? 1 : -1};
        g.product[g.products++] = (tn_outer){d, g.rights++, dw[LSTM_W_HH].data};
    }
    return g;
}

static void weight_gradients(tn_step *step, const lstm_shape *s)
{
    const tn_gradients g = gradients(step, s);
    tn_weight_gradients(step->ctx, &g, gradient_scratch(step, s));
    for (int64_t d = 0; d < s->directions; d++) {
        const tn_tensor *dw = &step->din[LSTM_WEIGHTS + 4 * d];
        if (dw[LSTM_B_IH].data && dw[LSTM_B_HH].data)
            memcpy(dw[LSTM_B_HH].data, dw[LSTM_B_IH].data, 4 * (size_t)s->h * sizeof(float));
    }
}

void lstm_prepare_backward(tn_step *step, const lstm_shape *s)
{
    const tn_gradients g = gradients(step, s);
    step->scratch_bytes = (gradient_floats(s) + weights_floats(step, s) + 1) / 2 * 2 * sizeof(float) +
                          tn_gradients_bytes(step->ctx->kernels, &g);
    step->thread_scratch_bytes = (size_t)(2 * LSTM_ROWS * s->h) * sizeof(float); /* dh, dc */
}

/* dx = sum over directions of gradients W_ih, for a block of rows and steps. */
static void input_task(void *arg, int64_t task, int thread)
{
    (void)thread;
    const tn_step *step = arg;
    const lstm_shape s = lstm_get_shape(step);
    const tn_kernels *kernels = step->ctx->kernels;
    const int64_t begin = task * INPUT_ROWS, rows = tn_min(INPUT_ROWS, s.n * s.t - begin);
    for (int64_t j = 0; j < s.i; j += kernels->nr) {
        const float *a[2] = {NULL, NULL}, *b[2] = {NULL, NULL};
        for (int64_t d = 0; d < s.directions; d++) {
            a[d] = pre_activation(step, &s, d, 0, 0) + begin * 4 * s.h;
            b[d] = packed_input(step, &s, d) + j * 4 * s.h;
        }
        const tn_brgemm product = {.m = rows,
                                   .n = (int)tn_min(kernels->nr, s.i - j),
                                   .k = 4 * s.h,
                                   .batch = (int)s.directions,
                                   .a = a,
                                   .b = b,
                                   .lda = 4 * s.h,
                                   .c = step->din[LSTM_X].data + begin * s.i + j,
                                   .ldc = s.i};
        kernels->brgemm(&product);
    }
}

void lstm_backward(tn_step *step)
{
    const lstm_shape s = lstm_get_shape(step);
    const tn_kernels *kernels = step->ctx->kernels;
    for (int64_t d = 0; d < s.directions; d++) {
        const tn_tensor *w = &step->in[LSTM_WEIGHTS + 4 * d];
        tn_pack_b(kernels, 4 * s.h, s.h, w[LSTM_W_HH].data, s.h, 1, NULL, packed_recurrent(step, &s, d));
        tn_pack_b(kernels, 4 * s.h, s.i, w[LSTM_W_IH].data, s.i, 1, NULL, packed_input(step, &s, d));
    }
    tn_parallel(step->ctx, s.directions * tn_ceil_div(s.n, LSTM_ROWS), backward_task, step);
    weight_gradients(step, &s);
    if (step->din[LSTM_X].data)
        tn_parallel(step->ctx, tn_ceil_div(s.n * s.t, INPUT_ROWS), input_task, step);
}
