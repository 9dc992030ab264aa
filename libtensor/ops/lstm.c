/* The LSTM layer (Hochreiter and Schmidhuber 1997; forget gate of Gers et al. 2000), one or both directions.
 *
 *   i, f, o = sigmoid, g = tanh of W_ih x_t + b_ih + W_hh h_{t-1} + b_hh
 *   c_t = f c_{t-1} + i g        h_t = o tanh(c_t)
 *
 * W_ih x is one product over all steps. The recurrence then runs in tasks of (direction, a few rows of the
 * batch), which have nothing to wait for. The reverse direction goes from the last step down; past a row's
 * length its state stays 0, so that it begins at the row's own last step.
 */
#include "libtensor/ops/lstm.h"

#include <string.h>

lstm_shape lstm_get_shape(const tn_step *step)
{
    const tn_tensor *x = &step->in[LSTM_X];
    return (lstm_shape){.n = x->size[0],
                        .t = x->size[1],
                        .i = x->size[2],
                        .h = step->in[LSTM_WEIGHTS + LSTM_W_HH].size[1],
                        .directions = tn_present(step, LSTM_WEIGHTS + 4) ? 2 : 1,
                        .cell_steps = step->training ? x->size[1] : 1};
}

static tn_status check_direction(tn_step *step, int first)
{
    const tn_tensor *w_ih = &step->in[first + LSTM_W_IH], *w_hh = &step->in[first + LSTM_W_HH];
    const int64_t inputs = step->in[LSTM_X].size[2], h = step->in[LSTM_WEIGHTS + LSTM_W_HH].size[1];
    for (int i = 0; i < 4; i++)
        if (!tn_present(step, first + i))
            return tn_step_fail(step, TN_RANGE, "weight %d of the reverse direction is missing", i);
    if (w_hh->rank != 2 || h < 1 || w_hh->size[1] != h || w_hh->size[0] != 4 * h)
        return tn_step_fail(step, TN_SHAPE, "weight_hh is %s, expected (4 H, H)", tn_shape(w_hh).text);
    if (w_ih->rank != 2 || w_ih->size[0] != 4 * h || w_ih->size[1] != inputs)
        return tn_step_fail(step, TN_SHAPE, "weight_ih is %s, expected (%lld, %lld)", tn_shape(w_ih).text,
                            (long long)(4 * h), (long long)inputs);
    for (int i = LSTM_B_IH; i <= LSTM_B_HH; i++)
        if (step->in[first + i].rank != 1 || step->in[first + i].size[0] != 4 * h)
            return tn_step_fail(step, TN_SHAPE, "bias is %s, expected (%lld)",
                                tn_shape(&step->in[first + i]).text, (long long)(4 * h));
    return TN_OK;
}

static tn_status infer(tn_step *step)
{
    const tn_tensor *x = &step->in[LSTM_X], *lengths = &step->in[LSTM_LENGTHS];
    if (x->rank != 3)
        return tn_step_fail(step, TN_SHAPE, "x is %s, expected (N, T, features)", tn_shape(x).text);
    if (tn_present(step, LSTM_LENGTHS) && (lengths->rank != 1 || lengths->size[0] != x->size[0]))
        return tn_step_fail(step, TN_SHAPE, "lengths are %s, x is %s", tn_shape(lengths).text,
                            tn_shape(x).text);
    if (step->in[LSTM_WEIGHTS + LSTM_W_HH].rank != 2)
        return tn_step_fail(step, TN_SHAPE, "weight_hh is %s, expected (4 H, H)",
                            tn_shape(&step->in[LSTM_WEIGHTS + LSTM_W_HH]).text);
    TN_TRY(check_direction(step, LSTM_WEIGHTS));
    const lstm_shape s = lstm_get_shape(step);
    if (s.directions == 2)
        TN_TRY(check_direction(step, LSTM_WEIGHTS + 4));
    step->out[0] = *x;
    step->out[0].size[2] = s.directions * s.h;
    return TN_OK;
}

static size_t gate_floats(const lstm_shape *s)
{
    return (size_t)(s->directions * s->n * s->t * 4 * s->h);
}

static size_t cell_floats(const lstm_shape *s)
{
    return (size_t)(s->directions * s->n * s->cell_steps * s->h);
}

/* One clip at a time: each step is a row times W_hh, which has a way of its own. */
static bool is_one_row(const lstm_shape *s)
{
    return s->n == 1;
}

static size_t recurrent_floats(const tn_step *step, const lstm_shape *s)
{
    const tn_kernels *kernels = step->ctx->kernels;
    return is_one_row(s) ? tn_packed_row_floats(kernels, s->h, 4 * s->h)
                         : tn_packed_floats(kernels, s->h, 4 * s->h);
}

/* Packed, per direction: W_ih, W_hh, the sum of the biases. */
static size_t direction_floats(const tn_step *step, const lstm_shape *s)
{
    return tn_packed_floats(step->ctx->kernels, s->i, 4 * s->h) + recurrent_floats(step, s) +
           4 * (size_t)s->h;
}

static tn_status prepare(tn_step *step)
{
    const lstm_shape s = lstm_get_shape(step);
    const double gates = 4.0 * (double)s.h;
    step->flops = (double)(s.directions * s.n * s.t) * (2 * gates * (double)(s.i + s.h) + 5 * gates);
    step->packed_bytes = (size_t)s.directions * direction_floats(step, &s) * sizeof(float);
    step->saved_bytes = (gate_floats(&s) + cell_floats(&s)) * sizeof(float);
    if (step->training)
        lstm_prepare_backward(step, &s);
    return TN_OK;
}

static void pack(tn_step *step)
{
    const lstm_shape s = lstm_get_shape(step);
    const tn_kernels *kernels = step->ctx->kernels;
    for (int64_t d = 0; d < s.directions; d++) {
        const tn_tensor *w = &step->in[LSTM_WEIGHTS + 4 * d];
        float *w_ih = (float *)step->packed + (size_t)d * direction_floats(step, &s);
        float *w_hh = w_ih + tn_packed_floats(kernels, s.i, 4 * s.h);
        float *bias = w_hh + recurrent_floats(step, &s);
        tn_pack_b(kernels, s.i, 4 * s.h, w[LSTM_W_IH].data, 1, s.i, NULL, w_ih);
        if (is_one_row(&s))
            tn_pack_row(kernels, s.h, 4 * s.h, w[LSTM_W_HH].data, 1, s.h, w_hh);
        else
            tn_pack_b(kernels, s.h, 4 * s.h, w[LSTM_W_HH].data, 1, s.h, NULL, w_hh);
        for (int64_t j = 0; j < 4 * s.h; j++)
            bias[j] = w[LSTM_B_IH].data[j] + w[LSTM_B_HH].data[j];
    }
}

/* ---- forward --------------------------------------------------------------------------------------- */

float *lstm_gates(const tn_step *step, const lstm_shape *s, int64_t d, int64_t n, int64_t t)
{
    return (float *)step->saved + ((d * s->n + n) * s->t + t) * 4 * s->h;
}

float *lstm_cell(const tn_step *step, const lstm_shape *s, int64_t d, int64_t n, int64_t t)
{
    return (float *)step->saved + gate_floats(s) +
           ((d * s->n + n) * s->cell_steps + t % s->cell_steps) * s->h;
}

float *lstm_output(const lstm_shape *s, float *y, int64_t d, int64_t n, int64_t t)
{
    return y + ((n * s->t + t) * s->directions + d) * s->h;
}

/* gates += h_{t-1} W_hh^T for all rows of the task. */
static void recur(const tn_step *step, const lstm_shape *s, int64_t d, int64_t n, int64_t rows, int64_t t,
                  int64_t before)
{
    const tn_kernels *kernels = step->ctx->kernels;
    const float *h = lstm_output(s, step->out[0].data, d, n, before);
    const float *w_hh = (const float *)step->packed + (size_t)d * direction_floats(step, s) +
                        tn_packed_floats(kernels, s->i, 4 * s->h);
    if (is_one_row(s)) {
        kernels->add_row(4 * s->h, s->h, h, w_hh, lstm_gates(step, s, d, n, t));
        return;
    }
    for (int64_t j = 0; j < 4 * s->h; j += kernels->nr) {
        const float *panel = w_hh + j * s->h;
        float *gates = lstm_gates(step, s, d, n, t) + j;
        const tn_brgemm product = {.m = rows,
                                   .n = (int)tn_min(kernels->nr, 4 * s->h - j),
                                   .k = s->h,
                                   .batch = 1,
                                   .a = &h,
                                   .b = &panel,
                                   .lda = s->t * s->directions * s->h,
                                   .c = gates,
                                   .ldc = s->t * 4 * s->h,
                                   .residual = gates,
                                   .ldr = s->t * 4 * s->h};
        kernels->brgemm(&product);
    }
}

static void forward_task(void *arg, int64_t task, int thread)
{
    (void)thread;
    const tn_step *step = arg;
    const lstm_shape s = lstm_get_shape(step);
    const int64_t d = task % s.directions, begin = task / s.directions * LSTM_ROWS;
    const int64_t rows = tn_min(LSTM_ROWS, s.n - begin);
    for (int64_t k = 0; k < s.t; k++) {
        const int64_t t = d ? s.t - 1 - k : k, before = d ? t + 1 : t - 1;
        if (k > 0)
            recur(step, &s, d, begin, rows, t, before);
        for (int64_t n = begin; n < begin + rows; n++) {
            float *cell = lstm_cell(step, &s, d, n, t), *y = lstm_output(&s, step->out[0].data, d, n, t);
            if (t < tn_length(&step->in[LSTM_LENGTHS], n, s.t)) {
                step->ctx->kernels->lstm_cell(s.h, lstm_gates(step, &s, d, n, t),
                                              k > 0 ? lstm_cell(step, &s, d, n, before) : NULL, cell, y);
            } else {
                memset(cell, 0, (size_t)s.h * sizeof *cell);
                memset(y, 0, (size_t)s.h * sizeof *y);
            }
        }
    }
}

static void forward(tn_step *step)
{
    const lstm_shape s = lstm_get_shape(step);
    const tn_kernels *kernels = step->ctx->kernels;
    for (int64_t d = 0; d < s.directions; d++) {
        const float *w_ih = (const float *)step->packed + (size_t)d * direction_floats(step, &s);
        const float *bias = w_ih + tn_packed_floats(kernels, s.i, 4 * s.h) + recurrent_floats(step, &s);
        tn_gemm_packed(step->ctx, s.n * s.t, 4 * s.h, s.i, step->in[LSTM_X].data, s.i, w_ih,
                       lstm_gates(step, &s, d, 0, 0), 4 * s.h, bias, NULL, 0, false);
    }
    tn_parallel(step->ctx, s.directions * tn_ceil_div(s.n, LSTM_ROWS), forward_task, step);
}

/* ---- op -------------------------------------------------------------------------------------------- */

#define WEIGHTS(i, h)                                                                                        \
    {2, 4 * h, i}, {2, 4 * h, h}, {1, 4 * h},                                                                \
    {                                                                                                        \
        1, 4 * h                                                                                             \
    }
static const tn_case cases[] = {
    {"one direction", {{3, 2, 5, 3}, {0}, WEIGHTS(3, 4)}, NULL, false},
    {"both", {{3, 3, 4, 5}, {0}, WEIGHTS(5, 3), WEIGHTS(5, 3)}, NULL, false},
    {"both with lengths", {{3, 5, 6, 3}, {1, 5}, WEIGHTS(3, 2), WEIGHTS(3, 2)}, NULL, false},
    {"two blocks of rows", {{3, 18, 3, 2}, {1, 18}, WEIGHTS(2, 9), WEIGHTS(2, 9)}, NULL, false},
    {"one row", {{3, 1, 5, 3}, {1, 1}, WEIGHTS(3, 37), WEIGHTS(3, 37)}, NULL, false},
    {"one step", {{3, 2, 1, 3}, {0}, WEIGHTS(3, 2), WEIGHTS(3, 2)}, NULL, false},
    {0},
};

static const tn_layer layers[] = {
    {{"clip", {{3, 1, 498, 512}, {1, 1}, WEIGHTS(512, 128), WEIGHTS(512, 128)}, NULL, false}, false},
    {{"128 clips", {{3, 128, 498, 512}, {1, 128}, WEIGHTS(512, 128), WEIGHTS(512, 128)}, NULL, false}, false},
    {{0}, false},
};

const tn_op tn_op_lstm = {
    .name = "lstm",
    .role = {TN_ROLE_DATA, TN_ROLE_LENGTH, TN_ROLE_WEIGHT, TN_ROLE_WEIGHT, TN_ROLE_WEIGHT, TN_ROLE_WEIGHT,
             TN_ROLE_WEIGHT, TN_ROLE_WEIGHT, TN_ROLE_WEIGHT, TN_ROLE_WEIGHT},
    .optional = 1u << LSTM_LENGTHS | 0xfu << (LSTM_WEIGHTS + 4),
    .outputs = 1,
    .keep_in = 1u << LSTM_X | 1u << LSTM_LENGTHS,
    .keep_out = 1,
    .cases = cases,
    .layers = layers,
    .infer = infer,
    .prepare = prepare,
    .pack = pack,
    .forward = forward,
    .backward = lstm_backward,
};

tn_var *tn_lstm(tn_var *x, tn_var *lengths, const tn_lstm_weights *forward_weights,
                const tn_lstm_weights *reverse)
{
    const tn_lstm_weights none = {NULL, NULL, NULL, NULL}, *f = forward_weights,
                          *r = reverse ? reverse : &none;
    tn_var *in[TN_MAX_IN] = {x,       lengths, f->w_ih, f->w_hh, f->b_ih,
                             f->b_hh, r->w_ih, r->w_hh, r->b_ih, r->b_hh};
    return tn_apply(x->graph, &tn_op_lstm, in, NULL);
}
