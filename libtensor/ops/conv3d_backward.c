/* Gradients of 3D convolution; that of the weights is in conv3d_weights.c.
 *
 * Of the input: again products of rows, now of dy with flipped weights. Along W a stride s splits the input
 * pixels into s phases; in each phase neighbours meet the same kernel columns, so a row of one phase is a
 * product with k = taps of that phase * O over a row of dy, written every s pixels. Along T and H the taps
 * that do not meet the row are dropped.
 */
#include "libtensor/ops/conv3d.h"

#include <string.h>

enum { X, WEIGHT, BIAS };

/* Kernel columns kw = r, r + s, ... of phase r. */
static int64_t phase_taps(const conv_geometry *g, int64_t r)
{
    return r < g->k[2] ? (g->k[2] - 1 - r) / g->s[2] + 1 : 0;
}

/* Rows of dy are copied with KW pixels of zeros on both sides, which covers whatever a phase reads. */
static int64_t edge(const conv_geometry *g)
{
    return g->k[2];
}

static int64_t gradient_row(const conv_geometry *g)
{
    return (g->out[2] + 2 * edge(g)) * g->o;
}

static size_t flipped_floats(const tn_kernels *kernels, const conv_geometry *g)
{
    return (size_t)g->taps * tn_packed_floats(kernels, g->k[2] * g->o, g->c);
}

/* With stride 1 the gradient of the input is itself a convolution: of dy with the kernel turned round and
 * its channels swapped. */
static bool turns_round(const conv_geometry *g)
{
    bool turns = !g->pointwise;
    for (int i = 0; i < 3; i++)
        turns &= g->s[i] == 1 && g->p[i] < g->k[i];
    return turns;
}

/* That convolution, as an inference step that any way of forward can run. */
static tn_step turned_step(const tn_step *step, const conv_geometry *g, conv_geometry *turned)
{
    *turned = (conv_geometry){.n = g->n, .c = g->o, .o = g->c};
    for (int i = 0; i < 3; i++) {
        turned->in[i] = g->out[i];
        turned->out[i] = g->in[i];
        turned->k[i] = g->k[i];
        turned->s[i] = 1;
        turned->p[i] = g->k[i] - 1 - g->p[i];
    }
    conv_complete(turned);
    return (tn_step){.ctx = step->ctx,
                     .node = step->node,
                     .in = {step->dout[0]},
                     .out = {step->din[X]},
                     .thread_scratch = step->thread_scratch,
                     .thread_stride = step->thread_stride};
}

/* Its weights, those packed, and shifts and scales. */
static size_t turned_floats(const tn_step *step, const conv_geometry *g)
{
    conv_geometry turned;
    const tn_step as_step = turned_step(step, g, &turned);
    const conv_way *way = conv_way_of(&as_step, &turned);
    const size_t floats = (size_t)(g->o * g->c * g->volume) + 2 * (size_t)g->c +
                          way->packed_floats(step->ctx->kernels, &turned);
    return (floats + 15) / 16 * 16;
}

static size_t turned_thread_floats(const tn_step *step, const conv_geometry *g)
{
    conv_geometry turned;
    const tn_step as_step = turned_step(step, g, &turned);
    return conv_way_of(&as_step, &turned)->thread_bytes(step->ctx->kernels, &turned) / sizeof(float);
}

static size_t input_floats(const tn_step *step, const conv_geometry *g)
{
    return turns_round(g) ? turned_floats(step, g) : flipped_floats(step->ctx->kernels, g);
}

void conv_prepare_backward(tn_step *step, const conv_geometry *g)
{
    size_t floats = 0, thread_floats = 0;
    if (step->want[X]) {
        floats += input_floats(step, g);
        if (turns_round(g))
            thread_floats = turned_thread_floats(step, g);
        else if (!g->pointwise)
            thread_floats = (size_t)(g->taps * gradient_row(g));
    }
    if (step->want[WEIGHT] && !g->pointwise) {
        floats += conv_weights_floats(g);
        const size_t chunk = conv_weights_thread_floats(step->ctx->kernels, g);
        if (chunk > thread_floats)
            thread_floats = chunk;
    }
    if (step->want[WEIGHT] && g->pointwise)
        thread_floats = tn_gemm_tn_bytes(step->ctx->kernels) / sizeof(float);
    step->scratch_bytes = floats * sizeof(float);
    if (step->want[BIAS])
        step->scratch_bytes = (floats + 1) / 2 * 2 * sizeof(float) + tn_column_sums_bytes(g->o);
    if (thread_floats * sizeof(float) > step->thread_scratch_bytes)
        step->thread_scratch_bytes = thread_floats * sizeof(float);
}

/* ---- of the input ---------------------------------------------------------------------------------- */

typedef struct input_job {
    const tn_step *step;
    conv_geometry g;
    float *packed;  /* [phase][panel][kt, kh][column of the phase, last first][o][channel] */
    int64_t panels; /* of input channels */
} input_job;

/* Where a phase begins in the packed weights: phases before it hold KW columns less than it... in units of
 * one column. */
static float *phase_weights(const input_job *job, int64_t r)
{
    const conv_geometry *g = &job->g;
    int64_t columns = 0;
    for (int64_t i = 0; i < r; i++)
        columns += phase_taps(g, i);
    return job->packed + columns * g->taps * g->o * job->panels * job->step->ctx->kernels->nr;
}

static void pack_task(void *arg, int64_t task, int thread)
{
    (void)thread;
    const input_job *job = arg;
    const conv_geometry *g = &job->g;
    const tn_kernels *kernels = job->step->ctx->kernels;
    const int64_t r = task / job->panels, panel = task % job->panels, count = phase_taps(g, r);
    const int64_t c = panel * kernels->nr, columns = tn_min(kernels->nr, g->c - c);
    const float *weight = job->step->in[WEIGHT].data + c * g->volume;
    float *out = phase_weights(job, r) + panel * g->taps * count * g->o * kernels->nr;
    for (int64_t tap = 0; tap < g->taps; tap++)
        for (int64_t q = count - 1; q >= 0; q--, out += g->o * kernels->nr)
            tn_pack_b(kernels, g->o, columns, weight + tap * g->k[2] + r + q * g->s[2], g->c * g->volume,
                      g->volume, NULL, out);
}

/* The taps along one axis that meet input position i: output position of tap k, or -1. */
static int64_t meets(const conv_geometry *g, int axis, int64_t i, int64_t k)
{
    const int64_t at = i + g->p[axis] - k;
    if (at < 0 || at % g->s[axis] != 0 || at / g->s[axis] >= g->out[axis])
        return -1;
    return at / g->s[axis];
}

/* Copies the rows of dy that meet input row (t, h), each with its zero edges, and lists their taps. */
static int copy_rows(const input_job *job, int64_t n, int64_t t, int64_t h, float *copy, int64_t *tap)
{
    const conv_geometry *g = &job->g;
    const int64_t width = g->out[2] * g->o, zeros = edge(g) * g->o;
    int count = 0;
    for (int64_t kt = 0; kt < g->k[0]; kt++)
        for (int64_t kh = 0; kh < g->k[1]; kh++) {
            const int64_t ot = meets(g, 0, t, kt), oh = meets(g, 1, h, kh);
            if (ot < 0 || oh < 0)
                continue;
            float *row = copy + count * gradient_row(g);
            memset(row, 0, (size_t)zeros * sizeof *row);
            memcpy(row + zeros, job->step->dout[0].data + ((n * g->out[0] + ot) * g->out[1] + oh) * width,
                   (size_t)width * sizeof *row);
            memset(row + zeros + width, 0, (size_t)zeros * sizeof *row);
            tap[count++] = kt * g->k[1] + kh;
        }
    return count;
}

static void input_task(void *arg, int64_t task, int thread)
{
    const input_job *job = arg;
    const conv_geometry *g = &job->g;
    const tn_kernels *kernels = job->step->ctx->kernels;
    const int64_t h = task % g->in[1], t = task / g->in[1] % g->in[0], n = task / g->in[1] / g->in[0];
    float *copy = tn_thread_scratch(job->step, thread), *dx = job->step->din[X].data + task * g->in[2] * g->c;
    const float *a[TN_MAX_TAPS], *b[TN_MAX_TAPS];
    int64_t tap[TN_MAX_TAPS];
    const int batch = copy_rows(job, n, t, h, copy, tap);
    for (int64_t r = 0; r < g->s[2]; r++) {
        const int64_t count = phase_taps(g, r), k = count * g->o;
        /* The first pixel w of the phase, (w + p) mod s = r, and the output pixel that its first tap meets.
         */
        const int64_t w0 = ((r - g->p[2]) % g->s[2] + g->s[2]) % g->s[2],
                      first = (w0 + g->p[2] - r) / g->s[2];
        if (w0 >= g->in[2])
            continue;
        tn_brgemm product = {.m = tn_ceil_div(g->in[2] - w0, g->s[2]),
                             .k = k,
                             .batch = count ? batch : 0,
                             .a = a,
                             .b = b,
                             .lda = g->o,
                             .ldc = g->s[2] * g->c};
        for (int i = 0; i < product.batch; i++)
            a[i] = copy + i * gradient_row(g) + (edge(g) + first - (count - 1)) * g->o;
        for (int64_t panel = 0; panel < job->panels; panel++) {
            const float *weights = phase_weights(job, r) + panel * g->taps * k * kernels->nr;
            for (int i = 0; i < product.batch; i++)
                b[i] = weights + tap[i] * k * kernels->nr;
            product.n = (int)tn_min(kernels->nr, g->c - panel * kernels->nr);
            product.c = dx + w0 * g->c + panel * kernels->nr;
            kernels->brgemm(&product);
        }
    }
}

typedef struct turn_job {
    const conv_geometry *g;
    const float *weight; /* [o][c][kt, kh, kw] */
    float *turned;       /* [c][o][last tap first] */
} turn_job;

static void turn_task(void *arg, int64_t c, int thread)
{
    (void)thread;
    const turn_job *job = arg;
    const conv_geometry *g = job->g;
    float *to = job->turned + c * g->o * g->volume;
    for (int64_t o = 0; o < g->o; o++, to += g->volume) {
        const float *from = job->weight + (o * g->c + c) * g->volume;
        for (int64_t i = 0; i < g->volume; i++)
            to[i] = from[g->volume - 1 - i];
    }
}

static void gradient_by_forward(const tn_step *step, const conv_geometry *g, float *scratch)
{
    conv_geometry turned;
    tn_step as_step = turned_step(step, g, &turned);
    turn_job job = {g, step->in[WEIGHT].data, scratch};
    tn_parallel(step->ctx, g->c, turn_task, &job);
    as_step.in[WEIGHT].data = scratch;
    as_step.packed = scratch + g->o * g->c * g->volume;
    float *shift = conv_shift(&as_step, &turned), *scale = shift + g->c;
    tn_fold_epilogue(&as_step, g->c, NULL, scale, shift);
    const conv_way *way = conv_way_of(&as_step, &turned);
    way->pack(&as_step, &turned, scale);
    way->forward(&as_step, &turned);
}

static void input_gradient(const tn_step *step, const conv_geometry *g, float *packed)
{
    if (turns_round(g)) {
        gradient_by_forward(step, g, packed);
        return;
    }
    input_job job = {step, *g, packed, tn_ceil_div(g->c, step->ctx->kernels->nr)};
    tn_parallel(step->ctx, g->s[2] * job.panels, pack_task, &job);
    if (g->pointwise)
        tn_gemm_packed(step->ctx, g->n * g->in[0] * g->in[1] * g->in[2], g->c, g->o, step->dout[0].data, g->o,
                       packed, step->din[X].data, g->c, NULL, NULL, 0, false);
    else
        tn_parallel(step->ctx, g->n * g->in[0] * g->in[1], input_task, &job);
}

/* ---- all of them ----------------------------------------------------------------------------------- */

static void weight_gradient(const tn_step *step, const conv_geometry *g, float *products)
{
    if (g->pointwise)
        tn_gemm_tn(step, g->o, g->c, g->n * g->in[0] * g->in[1] * g->in[2], step->dout[0].data, g->o,
                   step->in[X].data, g->c, step->din[WEIGHT].data);
    else
        conv_weights_gradient(step, g, products);
}

void conv_backward(tn_step *step)
{
    const conv_geometry g = conv_get_geometry(step);
    float *scratch = step->scratch;
    if (step->din[X].data) {
        input_gradient(step, &g, scratch);
        scratch += input_floats(step, &g);
    }
    if (step->din[WEIGHT].data) {
        weight_gradient(step, &g, scratch);
        scratch += g.pointwise ? 0 : conv_weights_floats(&g);
    }
    if (step->din[BIAS].data) {
        /* Doubles stand on even floats. */
        scratch = (float *)step->scratch + (scratch - (float *)step->scratch + 1) / 2 * 2;
        tn_column_sums(step->ctx, g.n * g.out[0] * g.out[1] * g.out[2], g.o, step->dout[0].data,
                       step->din[BIAS].data, scratch);
    }
}
