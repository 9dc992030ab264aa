/* The stem of video networks: a kernel of seven frames with stride 1 and of seven rows with stride 2, by
 * Winograd's F(4, 7) along time and F(4, 4) along H.
 *
 * Four output frames need eleven products of planes instead of up to 28. Along H a stride of 2 splits rows
 * into even ones, which meet kernel rows 0, 2, 4, 6, and odd ones, which meet 1, 3, 5: two convolutions of
 * stride 1 and four taps (the last odd one 0), whose products are summed before the one transform back, so
 * that four output rows need 14 instead of 28. Each product is a row of k = KW * C as everywhere; transforms
 * are sums of rows. Winograd 1980; Lavin and Gray 2016.
 */
#include "libtensor/ops/conv3d.h"

#include <math.h>
#include <string.h>

enum {
    TAPS_T = 7,     /* kernel frames */
    TAPS_H = 4,     /* kernel rows of a phase */
    GROUP = 4,      /* output frames, and output rows, of a task */
    FRAMES_IN = 10, /* input frames of a task */
    POINTS_T = 11,
    POINTS_H = 7,
    POINTS = POINTS_T * POINTS_H,
    PHASES = 2,   /* even and odd rows */
    ROWS_IN = 13, /* input rows of a task */
    PIXELS = 28   /* of a row at a time: their products stay in the second-level cache */
};

/* y = A^T ((G g) * (B^T d)): values d, taps g, GROUP results y; what is past the points and taps is 0. */
typedef struct toom {
    double at[GROUP][TN_MIX], g[TN_MIX][TAPS_T], bt[TN_MIX][TN_MIX];
} toom;

/* What the polynomials of Toom and Cook's method are taken at, besides infinity; along T also at i. Ten
 * values would need two more real points (3/4 and -4/3, say), which lie close to the others: that loses five
 * times as much to rounding. i and -i cost three products, one more, and all coefficients stay exact in
 * binary. */
static const double points_t[] = {0, 1, -1, 2, -2, 0.5, -0.5};
static const double points_h[] = {0, 1, -1, 2, -2, 0.5};

enum { REAL_T = sizeof points_t / sizeof *points_t, REAL_H = sizeof points_h / sizeof *points_h };

/* Rows p to p + rows - 1 of B^T go to G but for a power of two, so that both have coefficients around 1. */
static void balance(toom *m, int p, int rows)
{
    double largest = 0;
    for (int i = 0; i < TN_MIX; i++)
        largest = fmax(largest, fabs(m->bt[p][i]));
    const double scale = exp2(-round(log2(largest)));
    for (int row = p; row < p + rows; row++) {
        for (int i = 0; i < TN_MIX; i++)
            m->bt[row][i] *= scale;
        for (int i = 0; i < TAPS_T; i++)
            m->g[row][i] /= scale;
    }
}

/* Coefficients of prod_q (x - q) over the points q but one (all for but = count), times x^2 + 1 with `i`. */
static void multiply_out(const double *point, int count, bool i, int but, double *row)
{
    row[0] = 1;
    int degree = 0;
    for (int q = 0; q < count; q++) {
        if (q == but)
            continue;
        degree++;
        for (int k = degree; k >= 0; k--)
            row[k] = (k > 0 ? row[k - 1] : 0) - point[q] * row[k];
    }
    for (int k = degree + 2; i && k >= 2; k--)
        row[k] += row[k - 2];
}

/* A real point: row p of B^T is the product of all the others. */
static void at_point(toom *m, const double *point, int count, bool i, int p, int taps)
{
    const bool infinity = p == count;
    multiply_out(point, count, i, p, m->bt[p]);
    double norm = !infinity && i ? point[p] * point[p] + 1 : 1;
    for (int q = 0; q < count; q++)
        if (!infinity && q != p)
            norm *= point[p] - point[q];
    for (int k = 0; k < taps; k++)
        m->g[p][k] = (infinity ? k == taps - 1 : pow(point[p], k)) / norm;
    for (int k = 0; k < GROUP; k++)
        m->at[k][p] = infinity ? k == GROUP - 1 : pow(point[p], k);
    balance(m, p, 1);
}

/* The points i and -i give complex values that are each other's conjugates: u of the taps, v of the values.
 * Their part of the result is 2 Re(i^k u v), and u v takes three real products (Karatsuba): u_r v_r, u_i v_i,
 * (u_r + u_i) (v_r + v_i). With R, the product over the real points, v is that of (x + i) R. */
static void at_i(toom *m, const double *point, int count, int p, int taps)
{
    enum { TURN = 4 };
    static const double re[TURN] = {1, 0, -1, 0}, im[TURN] = {0, 1, 0, -1}; /* of i^k */
    double norm_re = 0, norm_im = 2;                                        /* of 2 i R(i) */
    for (int q = 0; q < count; q++) {
        const double keep = norm_re;
        norm_re = -point[q] * norm_re - norm_im;
        norm_im = keep - point[q] * norm_im;
    }
    const double square = norm_re * norm_re + norm_im * norm_im;
    multiply_out(point, count, false, count, m->bt[p + 1]);
    for (int k = 0; k + 1 < TN_MIX; k++)
        m->bt[p][k + 1] = m->bt[p + 1][k];
    for (int k = 0; k < TN_MIX; k++)
        m->bt[p + 2][k] = m->bt[p][k] + m->bt[p + 1][k];
    for (int k = 0; k < taps; k++) {
        m->g[p][k] = (re[k % TURN] * norm_re + im[k % TURN] * norm_im) / square;
        m->g[p + 1][k] = (im[k % TURN] * norm_re - re[k % TURN] * norm_im) / square;
        m->g[p + 2][k] = m->g[p][k] + m->g[p + 1][k];
    }
    for (int k = 0; k < GROUP; k++) {
        m->at[k][p] = 2 * re[k % TURN] + 2 * im[k % TURN];
        m->at[k][p + 1] = 2 * im[k % TURN] - 2 * re[k % TURN];
        m->at[k][p + 2] = -2 * im[k % TURN];
    }
    balance(m, p, 3);
}

/* At `count` real points, infinity, and i and -i as well. */
static toom make_toom(const double *point, int count, bool i, int taps)
{
    toom m = {.at = {{0}}, .g = {{0}}, .bt = {{0}}};
    for (int p = 0; p <= count; p++)
        at_point(&m, point, count, i, p, taps);
    if (i)
        at_i(&m, point, count, count + 1, taps);
    return m;
}

static int64_t groups_of(const conv_geometry *g, int axis)
{
    return tn_ceil_div(g->out[axis], GROUP);
}

static bool fits(const tn_step *step, const conv_geometry *g)
{
    enum { NARROW = 16 };
    if (step->training || g->pairs || g->k[0] != TAPS_T || g->k[1] != TAPS_T || g->s[0] != 1 ||
        g->s[1] != 2 || g->o < NARROW)
        return false;
    int64_t taps = 0; /* (output frame, kt) pairs that do not lie in the padding */
    for (int64_t ot = 0; ot < g->out[0]; ot++)
        taps += tn_min(g->k[0], g->in[0] + g->p[0] - ot) - tn_max(0, g->p[0] - ot);
    /* Transforms take about a third of the products' time. */
    return 4 * groups_of(g, 0) * groups_of(g, 1) * POINTS * PHASES < 3 * taps * g->out[1] * g->k[1];
}

/* ---- sizes -------------------------------------------------------------------------------------------- */

static size_t packed_floats(const tn_kernels *kernels, const conv_geometry *g)
{
    return (size_t)(POINTS * PHASES) * tn_packed_floats(kernels, g->k[2] * g->c, g->o);
}

/* What a thread has beside it, in floats. */
typedef struct layout {
    int64_t row;      /* an input row with its zero edges */
    int64_t frames;   /* sums over frames: [point of T][input row] */
    int64_t v;        /* sums of those over rows: [point of T][point of H][phase] */
    int64_t tile;     /* PIXELS x columns */
    int64_t products; /* [point of H][point of T], tiles */
    int64_t half;     /* back along T: [point of H][frame], tiles */
} layout;

static layout layout_of(const tn_kernels *kernels, const conv_geometry *g)
{
    layout l = {.row = conv_padded_row(g), .tile = PIXELS * kernels->nr};
    l.frames = POINTS_T * ROWS_IN * l.row;
    l.v = POINTS * PHASES * l.row;
    l.products = POINTS * l.tile;
    l.half = POINTS_H * GROUP * l.tile;
    return l;
}

static size_t thread_bytes(const tn_kernels *kernels, const conv_geometry *g)
{
    const layout l = layout_of(kernels, g);
    return (size_t)(l.row + l.tile + l.frames + l.v + l.products + l.half) * sizeof(float);
}

/* ---- packing ------------------------------------------------------------------------------------------ */

typedef struct pack_job {
    const conv_geometry *g;
    toom t, h; /* along time and along H */
    int nr;
    const float *weight, *scale;
    float *out;
} pack_job;

/* G_T w G_H^T for one kernel column, input and output channel; `w` at kernel row `phase`, frames and rows so
 * far apart. */
static void transform_weights(const pack_job *job, const float *w, int phase, double u[POINTS_H][POINTS_T])
{
    const conv_geometry *g = job->g;
    const int64_t row = g->k[2], frame = g->k[1] * row;
    double sum[TAPS_H][POINTS_T] = {{0}};
    for (int h = 0; phase + PHASES * h < TAPS_T; h++)
        for (int p = 0; p < POINTS_T; p++)
            for (int t = 0; t < TAPS_T; t++)
                sum[h][p] += job->t.g[p][t] * (double)w[t * frame + (phase + PHASES * h) * row];
    for (int q = 0; q < POINTS_H; q++)
        for (int p = 0; p < POINTS_T; p++) {
            u[q][p] = 0;
            for (int h = 0; h < TAPS_H; h++)
                u[q][p] += job->h.g[q][h] * sum[h][p];
        }
}

/* One panel of output channels: [point of H][point of T][phase][kw][c][column]. */
static void pack_panel(void *arg, int64_t panel, int thread)
{
    (void)thread;
    const pack_job *job = arg;
    const conv_geometry *g = job->g;
    const int64_t o = panel * job->nr, k = g->k[2] * g->c, volume = g->k[0] * g->k[1] * g->k[2];
    float *out = job->out + panel * POINTS * PHASES * k * job->nr;
    for (int64_t j = 0; j < job->nr; j++)
        for (int64_t i = 0; i < k; i++)
            for (int phase = 0; phase < PHASES; phase++) {
                double u[POINTS_H][POINTS_T] = {{0}};
                const bool there = o + j < g->o;
                const double scale = there ? (double)job->scale[o + j] : 0;
                if (there)
                    transform_weights(job, job->weight + ((o + j) * g->c + i % g->c) * volume + i / g->c,
                                      phase, u);
                for (int p = 0; p < POINTS; p++)
                    out[((p * PHASES + phase) * k + i) * job->nr + j] =
                        (float)(u[p / POINTS_T][p % POINTS_T] * scale);
            }
}

static void pack(const tn_step *step, const conv_geometry *g, const float *scale)
{
    const int nr = step->ctx->kernels->nr;
    pack_job job = {g,
                    make_toom(points_t, REAL_T, true, TAPS_T),
                    make_toom(points_h, REAL_H, false, TAPS_H),
                    nr,
                    step->in[1].data,
                    scale,
                    step->packed};
    tn_parallel(step->ctx, tn_ceil_div(g->o, nr), pack_panel, &job);
}

/* ---- forward ------------------------------------------------------------------------------------------ */

typedef struct stem_job {
    const tn_step *step;
    const conv_geometry *g;
    layout l; /* of the thread scratch */
    /* In floats, rows TN_MIX apart, what is past the points 0. */
    float bt_t[TN_MIX * TN_MIX], at_t[GROUP * TN_MIX], bt_h[TN_MIX * TN_MIX], at_h[GROUP * TN_MIX];
} stem_job;

/* What a task works on. */
typedef struct stem_block {
    int64_t n, t0, oh;                           /* sample, first output frame, first output row */
    int64_t h0;                                  /* first input row, may be negative */
    float *zeros, *frames, *v, *products, *half; /* see layout; zeros is for what is not there */
} stem_block;

/* Eleven sums over frames of each input row. */
static void transform_frames(const stem_job *job, const stem_block *b)
{
    const conv_geometry *g = job->g;
    const int64_t width = g->in[2] * g->c, edge = g->p[2] * g->c;
    const float *in[TN_MIX];
    void *out[TN_MIX];
    const tn_mix mix = {
        .rows = POINTS_T, .terms = FRAMES_IN, .matrix = job->bt_t, .in = in, .out = out, .m = 1, .n = width};
    for (int64_t r = 0; r < ROWS_IN; r++) {
        const int64_t h = b->h0 + r;
        for (int i = 0; i < FRAMES_IN; i++) {
            const int64_t t = b->t0 + i - g->p[0];
            const bool there = t >= 0 && t < g->in[0] && h >= 0 && h < g->in[1];
            in[i] = there ? job->step->in[0].data + ((b->n * g->in[0] + t) * g->in[1] + h) * width : b->zeros;
        }
        for (int p = 0; p < POINTS_T; p++) {
            float *row = b->frames + (p * ROWS_IN + r) * job->l.row;
            memset(row, 0, (size_t)edge * sizeof *row);
            memset(row + edge + width, 0, (size_t)edge * sizeof *row);
            out[p] = row + edge;
        }
        job->step->ctx->kernels->mix(&mix);
    }
}

/* Seven sums over the rows of each phase of those. */
static void transform_rows(const stem_job *job, const stem_block *b)
{
    const float *in[TN_MIX];
    void *out[TN_MIX];
    const tn_mix mix = {.rows = POINTS_H,
                        .terms = POINTS_H,
                        .matrix = job->bt_h,
                        .in = in,
                        .out = out,
                        .m = 1,
                        .n = job->l.row};
    for (int p = 0; p < POINTS_T; p++)
        for (int phase = 0; phase < PHASES; phase++) {
            for (int q = 0; q < POINTS_H; q++) {
                const int r = PHASES * q + phase;
                in[q] = r < ROWS_IN ? b->frames + (p * ROWS_IN + r) * job->l.row : b->zeros;
                out[q] = b->v + ((q * POINTS_T + p) * PHASES + phase) * job->l.row;
            }
            job->step->ctx->kernels->mix(&mix);
        }
}

/* All products of pixels [ow, ow + count) for one panel. */
static void multiply(const stem_job *job, const stem_block *b, int64_t panel, int64_t ow, int64_t count)
{
    const conv_geometry *g = job->g;
    const tn_kernels *kernels = job->step->ctx->kernels;
    const int64_t k = g->k[2] * g->c, weights = k * kernels->nr, pixel = g->s[2] * g->c;
    const float *packed = (const float *)job->step->packed + panel * POINTS * PHASES * weights;
    const float *at_a[PHASES], *at_b[PHASES];
    tn_brgemm product = {.m = count,
                         .n = kernels->nr,
                         .k = k,
                         .batch = PHASES,
                         .a = at_a,
                         .b = at_b,
                         .lda = pixel,
                         .ldc = kernels->nr};
    for (int p = 0; p < POINTS; p++) {
        for (int phase = 0; phase < PHASES; phase++) {
            at_a[phase] = b->v + (p * PHASES + phase) * job->l.row + ow * pixel;
            at_b[phase] = packed + (p * PHASES + phase) * weights;
        }
        product.c = b->products + p * job->l.tile;
        kernels->brgemm(&product);
    }
}

/* Back along T. */
static void transform_back(const stem_job *job, const stem_block *b, int64_t count)
{
    const int nr = job->step->ctx->kernels->nr;
    const float *in[TN_MIX];
    void *out[TN_MIX];
    const tn_mix mix = {
        .rows = GROUP, .terms = POINTS_T, .matrix = job->at_t, .in = in, .out = out, .m = 1, .n = count * nr};
    for (int q = 0; q < POINTS_H; q++) {
        for (int p = 0; p < POINTS_T; p++)
            in[p] = b->products + (q * POINTS_T + p) * job->l.tile;
        for (int i = 0; i < GROUP; i++)
            out[i] = b->half + (q * GROUP + i) * job->l.tile;
        job->step->ctx->kernels->mix(&mix);
    }
}

/* Back along H, and what is fused behind. */
static void finish(const stem_job *job, const stem_block *b, int64_t panel, int64_t ow, int64_t count)
{
    const conv_geometry *g = job->g;
    const tn_step *step = job->step;
    const int nr = step->ctx->kernels->nr;
    const float *in[TN_MIX];
    const void *residual[GROUP];
    void *out[GROUP];
    const int64_t o = panel * nr;
    const tn_mix mix = {.rows = (int)tn_min(GROUP, g->out[1] - b->oh),
                        .terms = POINTS_H,
                        .matrix = job->at_h,
                        .in = in,
                        .out = out,
                        .m = count,
                        .n = tn_min(nr, g->o - o),
                        .ld_in = nr,
                        .ld_out = g->o,
                        .bias = conv_shift(step, g) + o,
                        .residual = step->epilogue.add ? residual : NULL,
                        .relu = step->epilogue.relu,
                        .out_bf16 = step->out[0].precision == TN_BF16,
                        .residual_bf16 = step->epilogue.residual.precision == TN_BF16};
    const bool bf16 = mix.out_bf16 || mix.residual_bf16;
    for (int64_t i = 0; i < GROUP && b->t0 + i < g->out[0]; i++) {
        for (int q = 0; q < POINTS_H; q++)
            in[q] = b->half + (q * GROUP + i) * job->l.tile;
        for (int r = 0; r < mix.rows; r++) {
            const int64_t line = ((b->n * g->out[0] + b->t0 + i) * g->out[1] + b->oh + r) * g->out[2] + ow;
            out[r] = tn_at(&step->out[0], line * g->o + o);
            if (mix.residual)
                residual[r] = tn_at(&step->epilogue.residual, line * g->o + o);
        }
        (bf16 ? step->ctx->bf16->mix : step->ctx->kernels->mix)(&mix);
    }
}

static void stem_task(void *arg, int64_t task, int thread)
{
    const stem_job *job = arg;
    const conv_geometry *g = job->g;
    const int64_t down = groups_of(g, 1), group = task / down % groups_of(g, 0);
    stem_block b = {.n = task / down / groups_of(g, 0),
                    .t0 = group * GROUP,
                    .oh = task % down * GROUP,
                    .zeros = tn_thread_scratch(job->step, thread)};
    const int64_t zeros = job->l.row + job->l.tile;
    b.h0 = b.oh * g->s[1] - g->p[1];
    b.frames = b.zeros + zeros;
    b.v = b.frames + job->l.frames;
    b.products = b.v + job->l.v;
    b.half = b.products + job->l.products;
    memset(b.zeros, 0, (size_t)zeros * sizeof *b.zeros);
    transform_frames(job, &b);
    transform_rows(job, &b);
    for (int64_t panel = 0; panel < tn_ceil_div(g->o, job->step->ctx->kernels->nr); panel++)
        for (int64_t ow = 0; ow < g->out[2]; ow += PIXELS) {
            const int64_t count = tn_min(PIXELS, g->out[2] - ow);
            multiply(job, &b, panel, ow, count);
            transform_back(job, &b, count);
            finish(job, &b, panel, ow, count);
        }
}

static void to_floats(const toom *m, float *bt, float *at)
{
    for (int i = 0; i < TN_MIX * TN_MIX; i++)
        bt[i] = (float)m->bt[i / TN_MIX][i % TN_MIX];
    for (int i = 0; i < GROUP * TN_MIX; i++)
        at[i] = (float)m->at[i / TN_MIX][i % TN_MIX];
}

static void forward(const tn_step *step, const conv_geometry *g)
{
    stem_job job = {.step = step, .g = g, .l = layout_of(step->ctx->kernels, g)};
    const toom t = make_toom(points_t, REAL_T, true, TAPS_T), h = make_toom(points_h, REAL_H, false, TAPS_H);
    to_floats(&t, job.bt_t, job.at_t);
    to_floats(&h, job.bt_h, job.at_h);
    tn_parallel(step->ctx, g->n * groups_of(g, 0) * groups_of(g, 1), stem_task, &job);
}

const conv_way conv_by_stem = {fits, packed_floats, thread_bytes, pack, forward, 0};
