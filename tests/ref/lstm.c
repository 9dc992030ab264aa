#include "tests/ref/ref.h"

#include <math.h>
#include <stdlib.h>

static double sigmoid(double x)
{
    return 1 / (1 + exp(-x));
}

/* Row `gate` of W_ih x + b_ih + W_hh h + b_hh; `w` are the four tensors of a direction. */
static double preactivation(const ref_tensor *w, int64_t gate, const double *x, const double *h)
{
    const int64_t features = w[0].size[1], hidden = w[1].size[1];
    double sum = w[2].data[gate] + w[3].data[gate];
    for (int64_t i = 0; i < features; i++)
        sum += w[0].data[gate * features + i] * x[i];
    for (int64_t i = 0; i < hidden; i++)
        sum += w[1].data[gate * hidden + i] * h[i];
    return sum;
}

/* One step: c and h become the next state. `old` has room for a copy of h, which all gates read. */
static void advance(const ref_tensor *w, const double *x, double *h, double *c, double *old)
{
    const int64_t hidden = w[1].size[1];
    for (int64_t j = 0; j < hidden; j++)
        old[j] = h[j];
    for (int64_t j = 0; j < hidden; j++) {
        const double input = sigmoid(preactivation(w, j, x, old));
        const double forget = sigmoid(preactivation(w, hidden + j, x, old));
        const double cell = tanh(preactivation(w, 2 * hidden + j, x, old));
        const double output = sigmoid(preactivation(w, 3 * hidden + j, x, old));
        c[j] = forget * c[j] + input * cell;
        h[j] = output * tanh(c[j]);
    }
}

/* One direction of row n, written to columns [column, column + hidden) of its valid steps. */
static void run(ref_call *call, const ref_tensor *w, int64_t n, bool reverse, int64_t column)
{
    const ref_tensor *x = &call->in[0], *out = &call->out[0];
    const int64_t steps = x->size[1], features = x->size[2], hidden = w[1].size[1];
    const int64_t length = ref_length(&call->in[1], n, steps);
    double *state = calloc((size_t)(3 * hidden), sizeof *state);
    if (!state)
        abort();
    double *h = state, *c = state + hidden, *old = state + 2 * hidden;
    for (int64_t s = 0; s < length; s++) {
        const int64_t t = reverse ? length - 1 - s : s;
        advance(w, x->data + (n * steps + t) * features, h, c, old);
        for (int64_t j = 0; j < hidden; j++)
            out->data[(n * steps + t) * out->size[2] + column + j] = h[j];
    }
    free(state);
}

void ref_lstm(ref_call *call)
{
    const ref_tensor *x = &call->in[0];
    const int64_t hidden = call->in[3].size[1];
    const bool both = call->in[6].data != NULL;
    const int64_t size[3] = {x->size[0], x->size[1], both ? 2 * hidden : hidden};
    ref_output(call, 0, 3, size);
    for (int64_t n = 0; n < size[0]; n++) {
        run(call, &call->in[2], n, false, 0);
        if (both)
            run(call, &call->in[6], n, true, hidden);
    }
}
