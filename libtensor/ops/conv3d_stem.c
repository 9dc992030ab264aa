/* The stem of video networks: a kernel of seven frames with stride 1 and of seven rows with stride 2, by
 * Winograd's F(6, 7) along time and F(4, 4) along H.
 *
 * Six output frames need 14 products of planes instead of up to 42. Along H a stride of 2 splits rows into
 * even ones, which meet kernel rows 0, 2, 4, 6, and odd ones, which meet 1, 3, 5: two convolutions of stride
 * 1 and four taps (the last odd one 0), whose products are summed before the one transform back, so that four
 * output rows need 14 instead of 28. Each product is a row of k = KW * C as everywhere; transforms are sums
 * of rows. Winograd 1980; Lavin and Gray 2016.
 *
 * Where the result is bfloat16, so are V and U, the transformed rows and weights, and along H it is F(7, 4),
 * 24 products for seven rows, at points that magnify rounding far less.
 */
#include "libtensor/ops/conv3d.h"
#include "libtensor/toom.h"

#include <string.h>

enum {
    TAPS_T = 7, /* kernel frames, and kernel rows of both phases */
    TAPS_H = 4, /* kernel rows of a phase */
    PHASES = 2, /* even and odd rows */
    PIXELS = 28 /* of a row at a time: their products stay in the second-level cache */
};

/* What the polynomials of Toom and Cook's method are taken at, besides infinity. Complex points on the unit
 * circle, and real ones near it, magnify rounding least; these are near the best of their number. */
static const tn_toom_points along_t = {
    .group = 6,
    .taps = TAPS_T,
    .reals = 7,
    .real = {0, 1, -1, 5.0 / 3, -5.0 / 3, 3.0 / 5, -3.0 / 5},
    .pairs = 2,
    .pair = {{5.0 / 13, 12.0 / 13}, {-5.0 / 13, 12.0 / 13}},
};

/* For floats: the fewest products of four rows, and all coefficients are exact in binary. */
static const tn_toom_points along_h = {
    .group = 4, .taps = TAPS_H, .reals = 6, .real = {0, 1, -1, 2, -2, 0.5}};

/* For bfloat16. With these, rounding V and U of independent values costs three times what rounding x and the
 * weights themselves does (with those for floats eight times), and of neighbouring frames and rows that are
 * alike hardly more than that. */
static const tn_toom_points along_h_of_pairs = {
    .group = 7,
    .taps = TAPS_H,
    .reals = 5,
    .real = {0, 4.0 / 3, -4.0 / 3, 3.0 / 4, -3.0 / 4},
    .pairs = 2,
    .pair = {{8.0 / 17, 15.0 / 17}, {-8.0 / 17, 15.0 / 17}},
};

/* Whether products are of bfloat16: where the result is that, and every window begins with a whole pair.
 * Where a window's row is of odd length, its last pair has a value of the next pixel, whose weight is 0. That
 * keeps numbers out, but what is not a number comes in from there, as it does from other frames and rows of
 * the task by the transforms. */
static bool in_pairs(const conv_geometry *g)
{
    return g->to_bf16 && g->s[2] * g->c % 2 == 0;
}

/* Along H; along T they are the same for all. */
static const tn_toom_points *points_of(const conv_geometry *g)
{
    return in_pairs(g) ? &along_h_of_pairs : &along_h;
}

/* Planes of products. */
static int64_t planes_of(const conv_geometry *g)
{
    return (int64_t)tn_toom_products(&along_t) * tn_toom_products(points_of(g)) * PHASES;
}

static int64_t groups_of(const conv_geometry *g, int axis)
{
    return tn_ceil_div(g->out[axis], axis == 0 ? along_t.group : points_of(g)->group);
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
    return 4 * groups_of(g, 0) * groups_of(g, 1) * planes_of(g) < 3 * taps * g->out[1] * g->k[1];
}

/* ---- sizes -------------------------------------------------------------------------------------------- */

/* Words of a window's row: floats or pairs, the last one half empty where their number is odd. */
static int64_t window_words(const conv_geometry *g)
{
    const int64_t values = g->k[2] * g->c;
    return in_pairs(g) ? tn_ceil_div(values, 2) : values;
}

static size_t packed_floats(const tn_kernels *kernels, const conv_geometry *g)
{
    return (size_t)planes_of(g) * tn_packed_floats(kernels, window_words(g), g->o);
}

/* What a thread has beside it, in floats. */
typedef struct layout {
    int64_t row;      /* an input row with its zero edges */
    int64_t v_row;    /* the same in V, where two bfloat16 take the place of a float */
    int64_t rows;     /* input rows of a task */
    int64_t frames;   /* sums over frames: [point of T][input row] */
    int64_t v;        /* sums of those over rows: [point of H][point of T][phase] */
    int64_t tile;     /* PIXELS x columns */
    int64_t products; /* [point of T], tiles */
    int64_t half;     /* back along T: [point of H][frame], tiles */
} layout;

static layout layout_of(const tn_kernels *kernels, const conv_geometry *g)
{
    enum { WHOLE = 32 /* bfloat16 in a line of the cache */ };
    const tn_toom_points *h = points_of(g);
    const int products_t = tn_toom_products(&along_t);
    layout l = {
        .row = conv_padded_row(g), .rows = PHASES * tn_toom_values(h) - 1, .tile = PIXELS * kernels->nr};
    /* The last pair of the last window may begin with the last value there is. */
    if (in_pairs(g))
        l.row = tn_ceil_div(l.row, WHOLE) * WHOLE;
    l.v_row = in_pairs(g) ? l.row / 2 : l.row;
    l.frames = products_t * l.rows * l.row;
    l.v = planes_of(g) * l.v_row;
    l.products = products_t * l.tile;
    l.half = tn_toom_products(h) * along_t.group * l.tile;
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
    tn_toom t, h; /* along time and along H */
    int nr;
    const float *weight, *scale;
    float *out;
} pack_job;

/* G_T w G_H^T for one kernel column, input and output channel; `w` at kernel row `phase`, frames and rows so
 * far apart. */
static void transform_weights(const pack_job *job, const float *w, int phase, double u[TN_MIX][TN_MIX])
{
    const conv_geometry *g = job->g;
    const int64_t row = g->k[2], frame = g->k[1] * row;
    double sum[TAPS_H][TN_MIX] = {{0}};
    for (int h = 0; phase + PHASES * h < TAPS_T; h++)
        for (int p = 0; p < job->t.products; p++)
            for (int t = 0; t < TAPS_T; t++)
                sum[h][p] += job->t.g[p][t] * (double)w[t * frame + (phase + PHASES * h) * row];
    for (int q = 0; q < job->h.products; q++)
        for (int p = 0; p < job->t.products; p++) {
            u[q][p] = 0;
            for (int h = 0; h < TAPS_H; h++)
                u[q][p] += job->h.g[q][h] * sum[h][p];
        }
}

/* One panel of output channels: [point of H][point of T][phase][kw][c][column], of bfloat16 in pairs along
 * [kw][c]. */
static void pack_panel(void *arg, int64_t panel, int thread)
{
    (void)thread;
    const pack_job *job = arg;
    const conv_geometry *g = job->g;
    const bool pairs = in_pairs(g);
    const int64_t o = panel * job->nr, words = window_words(g), volume = g->k[0] * g->k[1] * g->k[2];
    float *out = job->out + panel * planes_of(g) * words * job->nr;
    for (int64_t j = 0; j < job->nr; j++)
        for (int64_t i = 0; i < (pairs ? 2 * words : words); i++)
            for (int phase = 0; phase < PHASES; phase++) {
                double u[TN_MIX][TN_MIX] = {{0}};
                const bool there = o + j < g->o && i < g->k[2] * g->c;
                const double scale = there ? (double)job->scale[o + j] : 0;
                if (there)
                    transform_weights(job, job->weight + ((o + j) * g->c + i % g->c) * volume + i / g->c,
                                      phase, u);
                for (int q = 0; q < job->h.products; q++)
                    for (int p = 0; p < job->t.products; p++) {
                        const int64_t plane = (q * job->t.products + p) * PHASES + phase;
                        float *word = out + (plane * words + (pairs ? i / 2 : i)) * job->nr + j;
                        if (pairs)
                            ((tn_bf16 *)word)[i % 2] = tn_to_bf16((float)(u[q][p] * scale));
                        else
                            *word = (float)(u[q][p] * scale);
                    }
            }
}

static void pack(const tn_step *step, const conv_geometry *g, const float *scale)
{
    const int nr = step->ctx->kernels->nr;
    pack_job job = {
        g, tn_toom_make(&along_t), tn_toom_make(points_of(g)), nr, step->in[1].data, scale, step->packed};
    tn_parallel(step->ctx, tn_ceil_div(g->o, nr), pack_panel, &job);
}

/* ---- forward ------------------------------------------------------------------------------------------ */

typedef struct stem_job {
    const tn_step *step;
    const conv_geometry *g;
    layout l;     /* of the thread scratch */
    tn_toom t, h; /* along time and along H */
    /* In floats, rows TN_MIX apart, what is past the points 0. */
    float bt_t[TN_MIX * TN_MIX], at_t[TN_TOOM_GROUP * TN_MIX];
    float bt_h[TN_MIX * TN_MIX], at_h[TN_TOOM_GROUP * TN_MIX];
} stem_job;

/* What a task works on. */
typedef struct stem_block {
    int64_t n, t0, oh;                           /* sample, first output frame, first output row */
    int64_t h0;                                  /* first input row, may be negative */
    float *zeros, *frames, *v, *products, *half; /* see layout; zeros is for what is not there */
} stem_block;

/* Sums over frames of each input row. */
static void transform_frames(const stem_job *job, const stem_block *b)
{
    const conv_geometry *g = job->g;
    const int64_t width = g->in[2] * g->c, edge = g->p[2] * g->c;
    const float *in[TN_MIX];
    void *out[TN_MIX];
    const tn_mix mix = {.rows = job->t.products,
                        .terms = job->t.values,
                        .matrix = job->bt_t,
                        .in = in,
                        .out = out,
                        .m = 1,
                        .n = width};
    for (int64_t r = 0; r < job->l.rows; r++) {
        const int64_t h = b->h0 + r;
        for (int i = 0; i < job->t.values; i++) {
            const int64_t t = b->t0 + i - g->p[0];
            const bool there = t >= 0 && t < g->in[0] && h >= 0 && h < g->in[1];
            in[i] = there ? job->step->in[0].data + ((b->n * g->in[0] + t) * g->in[1] + h) * width : b->zeros;
        }
        for (int p = 0; p < job->t.products; p++) {
            float *row = b->frames + (p * job->l.rows + r) * job->l.row;
            memset(row, 0, (size_t)edge * sizeof *row);
            memset(row + edge + width, 0, (size_t)(job->l.row - edge - width) * sizeof *row);
            out[p] = row + edge;
        }
        job->step->ctx->kernels->mix(&mix);
    }
}

/* Sums over the rows of each phase of those. */
static void transform_rows(const stem_job *job, const stem_block *b)
{
    const tn_ctx *ctx = job->step->ctx;
    const float *in[TN_MIX];
    void *out[TN_MIX];
    const tn_mix mix = {.rows = job->h.products,
                        .terms = job->h.values,
                        .matrix = job->bt_h,
                        .in = in,
                        .out = out,
                        .m = 1,
                        .n = job->l.row,
                        .out_bf16 = in_pairs(job->g)};
    for (int p = 0; p < job->t.products; p++)
        for (int phase = 0; phase < PHASES; phase++) {
            for (int i = 0; i < job->h.values; i++) {
                const int64_t r = PHASES * i + phase;
                in[i] = r < job->l.rows ? b->frames + (p * job->l.rows + r) * job->l.row : b->zeros;
            }
            for (int q = 0; q < job->h.products; q++)
                out[q] = b->v + ((q * job->t.products + p) * PHASES + phase) * job->l.v_row;
            (mix.out_bf16 ? ctx->bf16->mix : ctx->kernels->mix)(&mix);
        }
}

/* The products of pixels [ow, ow + count) for one panel and point of H. */
static void multiply(const stem_job *job, const stem_block *b, int64_t panel, int q, int64_t ow,
                     int64_t count)
{
    const conv_geometry *g = job->g;
    const tn_ctx *ctx = job->step->ctx;
    const int nr = ctx->kernels->nr;
    const int64_t k = window_words(g), weights = k * nr;
    const bool pairs = in_pairs(g);
    const int64_t pixel = pairs ? g->s[2] * g->c / 2 : g->s[2] * g->c;
    const float *packed = (const float *)job->step->packed + panel * planes_of(g) * weights;
    const float *at_a[PHASES], *at_b[PHASES];
    tn_brgemm product = {.m = count,
                         .n = nr,
                         .k = k,
                         .batch = PHASES,
                         .a = at_a,
                         .b = at_b,
                         .lda = pixel,
                         .ldc = nr,
                         .pairs = pairs};
    for (int p = 0; p < job->t.products; p++) {
        for (int phase = 0; phase < PHASES; phase++) {
            const int64_t plane = (q * job->t.products + p) * PHASES + phase;
            at_a[phase] = b->v + plane * job->l.v_row + ow * pixel;
            at_b[phase] = packed + plane * weights;
        }
        product.c = b->products + p * job->l.tile;
        (pairs ? ctx->bf16->brgemm : ctx->kernels->brgemm)(&product);
    }
}

/* Those back along T. */
static void transform_back(const stem_job *job, const stem_block *b, int q, int64_t count)
{
    const int nr = job->step->ctx->kernels->nr;
    const float *in[TN_MIX];
    void *out[TN_TOOM_GROUP];
    const tn_mix mix = {.rows = job->t.group,
                        .terms = job->t.products,
                        .matrix = job->at_t,
                        .in = in,
                        .out = out,
                        .m = 1,
                        .n = count * nr};
    for (int p = 0; p < job->t.products; p++)
        in[p] = b->products + p * job->l.tile;
    for (int i = 0; i < job->t.group; i++)
        out[i] = b->half + (q * job->t.group + i) * job->l.tile;
    job->step->ctx->kernels->mix(&mix);
}

/* Back along H, and what is fused behind. */
static void finish(const stem_job *job, const stem_block *b, int64_t panel, int64_t ow, int64_t count)
{
    const conv_geometry *g = job->g;
    const tn_step *step = job->step;
    const int nr = step->ctx->kernels->nr;
    const float *in[TN_MIX];
    const void *residual[TN_TOOM_GROUP];
    void *out[TN_TOOM_GROUP];
    const int64_t o = panel * nr;
    const tn_mix mix = {.rows = (int)tn_min(job->h.group, g->out[1] - b->oh),
                        .terms = job->h.products,
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
    for (int64_t i = 0; i < job->t.group && b->t0 + i < g->out[0]; i++) {
        for (int q = 0; q < job->h.products; q++)
            in[q] = b->half + (q * job->t.group + i) * job->l.tile;
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
                    .t0 = group * job->t.group,
                    .oh = task % down * job->h.group,
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
            for (int q = 0; q < job->h.products; q++) {
                multiply(job, &b, panel, q, ow, count);
                transform_back(job, &b, q, count);
            }
            finish(job, &b, panel, ow, count);
        }
}

static void to_floats(const tn_toom *m, float *bt, float *at)
{
    for (int i = 0; i < TN_MIX * TN_MIX; i++)
        bt[i] = (float)m->bt[i / TN_MIX][i % TN_MIX];
    for (int i = 0; i < TN_TOOM_GROUP * TN_MIX; i++)
        at[i] = (float)m->at[i / TN_MIX][i % TN_MIX];
}

static void forward(const tn_step *step, const conv_geometry *g)
{
    stem_job job = {.step = step,
                    .g = g,
                    .l = layout_of(step->ctx->kernels, g),
                    .t = tn_toom_make(&along_t),
                    .h = tn_toom_make(points_of(g))};
    to_floats(&job.t, job.bt_t, job.at_t);
    to_floats(&job.h, job.bt_h, job.at_h);
    tn_parallel(step->ctx, g->n * groups_of(g, 0) * groups_of(g, 1), stem_task, &job);
}

const conv_way conv_by_stem = {fits, packed_floats, thread_bytes, pack, forward, 0x1p-6, .rounds = in_pairs};
