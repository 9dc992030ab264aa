/* Convolution with a kernel of seven frames and stride 1 along time by Winograd's F(4, 7) along T.
 *
 * Four output frames need ten products of planes instead of up to 28. Each product is the direct way along
 * H and W: rows of k = KW * C, a batch of the kh taps that do not lie in the padding. The ten planes it reads
 * are sums of ten input frames, row by row; the four it gives are sums of its ten. Winograd 1980; Lavin and
 * Gray 2016.
 */
#include "libtensor/ops/conv3d.h"

#include <math.h>
#include <string.h>

enum { FRAMES = 7, GROUP = 4, POINTS = TN_MIX, ROWS = 4 /* output rows of a task */ };

/* What the polynomials of Toom and Cook's method are taken at, besides infinity. With a point goes the
 * negative of its inverse, which loses least to rounding (Barabasz et al. 2020). */
static const double point[POINTS - 1] = {0, 1, -1, 2, -0.5, 0.5, -2, 0.75, -4.0 / 3};

/* y = A^T ((G g) * (B^T d)): ten values d, seven taps g, four results y. */
typedef struct matrices {
    double at[GROUP][POINTS], g[POINTS][FRAMES], bt[POINTS][POINTS];
} matrices;

/* Row p of B^T are the coefficients of prod_q (x - q) over the other points q; the last one's is over all. */
static void multiply_out(int but, double row[POINTS])
{
    memset(row, 0, POINTS * sizeof *row);
    row[0] = 1;
    for (int q = 0, degree = 0; q < POINTS - 1; q++) {
        if (q == but)
            continue;
        degree++;
        for (int i = degree; i >= 0; i--)
            row[i] = (i > 0 ? row[i - 1] : 0) - point[q] * row[i];
    }
}

static matrices make_matrices(void)
{
    matrices m = {.at = {{0}}, .g = {{0}}};
    for (int p = 0; p < POINTS; p++) {
        const bool infinity = p == POINTS - 1;
        multiply_out(p, m.bt[p]);
        double norm = 1, largest = 0;
        for (int q = 0; q < POINTS - 1; q++)
            if (!infinity && q != p)
                norm *= point[p] - point[q];
        /* A power of two goes from B^T to G, so that both have coefficients around 1. */
        for (int i = 0; i < POINTS; i++)
            largest = fmax(largest, fabs(m.bt[p][i]));
        const double scale = exp2(-round(log2(largest)));
        for (int i = 0; i < POINTS; i++)
            m.bt[p][i] *= scale;
        for (int i = 0; i < FRAMES; i++)
            m.g[p][i] = (infinity ? i == FRAMES - 1 : pow(point[p], i)) / (norm * scale);
        for (int i = 0; i < GROUP; i++)
            m.at[i][p] = infinity ? i == GROUP - 1 : pow(point[p], i);
    }
    return m;
}

static int64_t groups_of(const conv_geometry *g)
{
    return tn_ceil_div(g->out[0], GROUP);
}

static bool fits(const tn_step *step, const conv_geometry *g)
{
    int64_t taps = 0; /* (output frame, kt) pairs that do not lie in the padding */
    for (int64_t ot = 0; ot < g->out[0]; ot++)
        taps += tn_min(g->k[0], g->in[0] + g->p[0] - ot) - tn_max(0, g->p[0] - ot);
    /* Transforms want some depth of the product to pay for them. */
    return !step->training && g->k[0] == FRAMES && g->s[0] == 1 && g->k[1] * g->k[2] * g->c >= 64 &&
           g->o >= 16 && groups_of(g) * (POINTS + 1) < taps;
}

/* ---- sizes -------------------------------------------------------------------------------------------- */

static size_t packed_floats(const tn_kernels *kernels, const conv_geometry *g)
{
    return (size_t)(POINTS * g->k[1]) * tn_packed_floats(kernels, g->k[2] * g->c, g->o);
}

static int64_t rows_of(const conv_geometry *g)
{
    return tn_min(ROWS, g->out[1]);
}

/* V: [point][input row][w][c], zero edges included. */
static int64_t v_plane(const conv_geometry *g)
{
    return conv_input_rows(g, rows_of(g)) * conv_padded_row(g);
}

static size_t thread_bytes(const tn_kernels *kernels, const conv_geometry *g)
{
    return (size_t)(POINTS * (v_plane(g) + g->out[2] * kernels->nr) + g->in[2] * g->c) * sizeof(float);
}

/* ---- packing ------------------------------------------------------------------------------------------ */

typedef struct pack_job {
    const conv_geometry *g;
    const matrices *m;
    int nr;
    const float *weight, *scale;
    float *out;
} pack_job;

/* One panel of output channels: [point][kh][kw][c][column]. */
static void pack_panel(void *arg, int64_t panel, int thread)
{
    (void)thread;
    const pack_job *job = arg;
    const conv_geometry *g = job->g;
    const int64_t plane = g->k[1] * g->k[2], o = panel * job->nr;
    float *out = job->out + panel * POINTS * plane * g->c * job->nr;
    for (int p = 0; p < POINTS; p++)
        for (int64_t k = 0; k < plane; k++)
            for (int64_t c = 0; c < g->c; c++)
                for (int64_t j = 0; j < job->nr; j++) {
                    double sum = 0;
                    const float *w = job->weight + ((o + j) * g->c + c) * FRAMES * plane + k;
                    for (int t = 0; o + j < g->o && t < FRAMES; t++)
                        sum += job->m->g[p][t] * (double)w[t * plane];
                    *out++ = o + j < g->o ? (float)(sum * (double)job->scale[o + j]) : 0.0f;
                }
}

static void pack(const tn_step *step, const conv_geometry *g, const float *scale)
{
    const int nr = step->ctx->kernels->nr;
    const matrices m = make_matrices();
    pack_job job = {g, &m, nr, step->in[1].data, scale, step->packed};
    tn_parallel(step->ctx, tn_ceil_div(g->o, nr), pack_panel, &job);
}

/* ---- forward ------------------------------------------------------------------------------------------ */

typedef struct time_job {
    const tn_step *step;
    const conv_geometry *g;
    float bt[POINTS * POINTS], at[GROUP * POINTS];
    int64_t blocks; /* tasks along H */
} time_job;

/* What a task works on. */
typedef struct row_block {
    int64_t n, t0;   /* sample, first output frame */
    int64_t h0;      /* first input row, may be negative */
    int64_t oh;      /* first output row */
    int64_t rows;    /* output rows */
    float *v;        /* [point][input row][w][c] */
    float *products; /* M of one row and panel: [point][pixel][column] */
    float *zeros;    /* a row of a frame in the padding */
} row_block;

static bool inside(const conv_geometry *g, int64_t h)
{
    return h >= 0 && h < g->in[1];
}

static void transform_in(const time_job *job, const row_block *b)
{
    const conv_geometry *g = job->g;
    const int64_t width = g->in[2] * g->c, edge = g->p[2] * g->c;
    const float *in[POINTS];
    float *out[POINTS];
    const tn_mix mix = {.rows = POINTS, .matrix = job->bt, .in = in, .out = out, .m = 1, .n = width};
    memset(b->zeros, 0, (size_t)width * sizeof(float));
    for (int64_t r = 0; r < conv_input_rows(g, b->rows); r++) {
        const int64_t h = b->h0 + r;
        if (!inside(g, h))
            continue;
        for (int p = 0; p < POINTS; p++) {
            const int64_t t = b->t0 + p - g->p[0];
            const bool there = t >= 0 && t < g->in[0];
            in[p] = there ? job->step->in[0].data + ((b->n * g->in[0] + t) * g->in[1] + h) * width : b->zeros;
            float *row = b->v + p * v_plane(g) + r * conv_padded_row(g);
            memset(row, 0, (size_t)edge * sizeof *row);
            memset(row + edge + width, 0, (size_t)edge * sizeof *row);
            out[p] = row + edge;
        }
        job->step->ctx->kernels->mix(&mix);
    }
}

/* The ten products of output row `row` for one panel. */
static void multiply(const time_job *job, const row_block *b, int64_t row, int64_t panel)
{
    const conv_geometry *g = job->g;
    const tn_kernels *kernels = job->step->ctx->kernels;
    const int64_t k = g->k[2] * g->c, weights = k * kernels->nr;
    const float *at_a[TN_MAX_TAPS], *at_b[TN_MAX_TAPS];
    for (int p = 0; p < POINTS; p++) {
        const float *packed = (const float *)job->step->packed + (panel * POINTS + p) * g->k[1] * weights;
        tn_brgemm product = {.m = g->out[2],
                             .n = kernels->nr,
                             .k = k,
                             .a = at_a,
                             .b = at_b,
                             .lda = g->s[2] * g->c,
                             .c = b->products + p * g->out[2] * kernels->nr,
                             .ldc = kernels->nr};
        for (int64_t kh = 0; kh < g->k[1]; kh++) {
            const int64_t r = row * g->s[1] + kh;
            if (!inside(g, b->h0 + r))
                continue;
            at_a[product.batch] = b->v + p * v_plane(g) + r * conv_padded_row(g);
            at_b[product.batch++] = packed + kh * weights;
        }
        kernels->brgemm(&product);
    }
}

static void transform_out(const time_job *job, const row_block *b, int64_t row, int64_t panel)
{
    const conv_geometry *g = job->g;
    const tn_step *step = job->step;
    const int nr = step->ctx->kernels->nr;
    const float *in[POINTS], *residual[GROUP];
    float *out[GROUP];
    const int64_t o = panel * nr;
    const tn_mix mix = {.rows = (int)tn_min(GROUP, g->out[0] - b->t0),
                        .matrix = job->at,
                        .in = in,
                        .out = out,
                        .m = g->out[2],
                        .n = tn_min(nr, g->o - o),
                        .ld_in = nr,
                        .ld_out = g->o,
                        .bias = conv_shift(step, g) + o,
                        .residual = step->epilogue.add ? residual : NULL,
                        .relu = step->epilogue.relu};
    for (int p = 0; p < POINTS; p++)
        in[p] = b->products + p * g->out[2] * nr;
    for (int i = 0; i < mix.rows; i++) {
        const int64_t line = ((b->n * g->out[0] + b->t0 + i) * g->out[1] + b->oh + row) * g->out[2];
        out[i] = step->out[0].data + line * g->o + o;
        if (mix.residual)
            residual[i] = step->epilogue.residual.data + line * g->o + o;
    }
    step->ctx->kernels->mix(&mix);
}

static void time_task(void *arg, int64_t task, int thread)
{
    const time_job *job = arg;
    const conv_geometry *g = job->g;
    const int nr = job->step->ctx->kernels->nr;
    const int64_t block = task % job->blocks, group = task / job->blocks % groups_of(g);
    row_block b = {.n = task / job->blocks / groups_of(g),
                   .t0 = group * GROUP,
                   .oh = block * rows_of(g),
                   .v = tn_thread_scratch(job->step, thread)};
    b.h0 = b.oh * g->s[1] - g->p[1];
    b.rows = tn_min(rows_of(g), g->out[1] - b.oh);
    b.products = b.v + POINTS * v_plane(g);
    b.zeros = b.products + POINTS * g->out[2] * nr;
    transform_in(job, &b);
    for (int64_t panel = 0; panel < tn_ceil_div(g->o, nr); panel++)
        for (int64_t row = 0; row < b.rows; row++) {
            multiply(job, &b, row, panel);
            transform_out(job, &b, row, panel);
        }
}

static void forward(const tn_step *step, const conv_geometry *g)
{
    time_job job = {.step = step, .g = g, .blocks = tn_ceil_div(g->out[1], rows_of(g))};
    const matrices m = make_matrices();
    for (int i = 0; i < POINTS * POINTS; i++)
        job.bt[i] = (float)m.bt[i / POINTS][i % POINTS];
    for (int i = 0; i < GROUP * POINTS; i++)
        job.at[i] = (float)m.at[i / POINTS][i % POINTS];
    tn_parallel(step->ctx, g->n * groups_of(g) * job.blocks, time_task, &job);
}

const conv_way conv_by_time = {fits, packed_floats, thread_bytes, pack, forward};
