/* 3 x 3 x 3 convolution of stride 1 along H and W by Winograd's F(m x m, 3 x 3), m = 2 or 4.
 *
 * A tile of m x m results is a sum of p products a channel instead of 9 m^2, p the planes of
 * kernels/winograd.h: 4/9 for m = 2; for m = 4 1/4 or, with complex points, 46/144. The kernel's frames stay
 * taps of a batch as everywhere: V of an input frame serves every output frame that meets it, and the sum
 * over kt is taken before the one transform back. A task takes some tiles through all frames: transforms them
 * in, multiplies each of the p planes [frame][tile][channel] with its own packed weights, and transforms
 * back. Lavin and Gray 2016, "Fast algorithms for convolutional neural networks", algorithm 1.
 */
#include "libtensor/kernels/winograd.h"
#include "libtensor/ops/conv3d.h"

#include <assert.h>

enum {
    MOST_VALUES = TN_WINOGRAD_VALUES * TN_WINOGRAD_VALUES,
    MOST_RESULTS = TN_WINOGRAD_RESULTS * TN_WINOGRAD_RESULTS,
    GAP = 16 /* floats between planes, which would else meet in the same cache sets */
};

typedef tn_winograd_scheme scheme;

/* ---- which -------------------------------------------------------------------------------------------- */

static int64_t tiles_across(const conv_geometry *g, const scheme *s)
{
    return tn_ceil_div(g->out[2], s->results);
}

static int64_t tiles_of(const conv_geometry *g, const scheme *s)
{
    return tn_ceil_div(g->out[1], s->results) * tiles_across(g, s);
}

/* (output frame, kt) pairs that do not lie in the padding. */
static int64_t frame_taps(const conv_geometry *g)
{
    int64_t count = 0;
    for (int64_t ot = 0; ot < g->out[0]; ot++)
        for (int64_t kt = g->kt_begin; kt < g->kt_end; kt++) {
            const int64_t t = ot * g->s[0] + kt - g->p[0];
            count += t >= 0 && t < g->in[0];
        }
    return count;
}

/* What a scheme costs, in multiply-adds; NULL is the direct way. A weight that is read counts as much as
 * WEIGHT products, an element that is transformed as TRANSFORM; both were measured. */
static double cost(const conv_geometry *g, const scheme *s)
{
    enum { WEIGHT = 32, TRANSFORM = 16 };
    const double places = s ? (double)(s->planes * tiles_of(g, s)) : 9.0 * (double)(g->out[1] * g->out[2]);
    const double weights = (double)((s ? s->planes : 9) * (g->kt_end - g->kt_begin) * g->c * g->o);
    const double elements = s ? (double)(g->in[0] * g->c + g->out[0] * g->o) : 0;
    return (double)g->n * (double)frame_taps(g) * places * (double)(g->c * g->o) + WEIGHT * weights +
           TRANSFORM * (double)g->n * places * elements;
}

/* The fastest, or NULL where the direct way is that or the only one. In bfloat16 F4 would add as much error
 * again as everything else together. */
static const scheme *scheme_of(const conv_geometry *g)
{
    enum { FEWEST = 16 }; /* channels: below, transforms are most of it */
    if (g->k[1] != 3 || g->k[2] != 3 || g->s[1] != 1 || g->s[2] != 1 || conv_channels(g) < FEWEST ||
        g->o < FEWEST)
        return NULL;
    const scheme *small = &tn_winograd_f2;
    const scheme *large = g->pairs ? &tn_winograd_f4_complex : &tn_winograd_f4;
    const scheme *best = cost(g, small) < cost(g, NULL) ? small : NULL;
    return cost(g, large) < cost(g, best) ? large : best;
}

/* Forward in training stays with the direct way: what rounding turns over behind a ReLU shows in all
 * gradients. Theirs of the input come here. */
static bool fits(const tn_step *step, const conv_geometry *g)
{
    return !step->training && scheme_of(g) != NULL;
}

/* ---- sizes -------------------------------------------------------------------------------------------- */

/* Tiles of a task. Few, so that V and M stay in the second-level cache, but so many that reading all weights
 * for each task does not count. */
static int64_t task_tiles(const conv_geometry *g, const scheme *s)
{
    enum { ROWS = 56, HEAVY = 1 << 20, MORE_ROWS = 196 };
    const int64_t weights = s->planes * (g->kt_end - g->kt_begin) * g->c * g->o;
    const int64_t rows = weights > HEAVY ? MORE_ROWS : ROWS, tiles = tiles_of(g, s);
    const int64_t tasks = tn_ceil_div(tiles * g->in[0], rows);
    return tn_ceil_div(tiles, tn_max(1, tn_min(tasks, tiles)));
}

static size_t packed_floats(const tn_kernels *kernels, const conv_geometry *g)
{
    return (size_t)(scheme_of(g)->planes * (g->kt_end - g->kt_begin)) * tn_packed_floats(kernels, g->c, g->o);
}

/* Floats from one plane of V, and of M, to the next. */
static int64_t v_plane(const conv_geometry *g, int64_t tiles)
{
    return g->in[0] * tiles * g->c + GAP;
}

static int64_t m_plane(const conv_geometry *g, int64_t tiles, int nr)
{
    return g->out[0] * tiles * nr + GAP;
}

static size_t thread_bytes(const tn_kernels *kernels, const conv_geometry *g)
{
    const scheme *s = scheme_of(g);
    const int64_t tiles = task_tiles(g, s);
    return (size_t)(s->planes * (v_plane(g, tiles) + m_plane(g, tiles, kernels->nr)) + g->c) * sizeof(float);
}

/* ---- packing ------------------------------------------------------------------------------------------ */

enum { COLUMNS = 32 }; /* at most, of a panel */

/* As kernels/winograd.inc does for pixels. With two units each axis has given a factor of 2. */
static void complex_factors(double u[TN_WINOGRAD_PLANES][COLUMNS])
{
    enum { LAST = TN_WINOGRAD_PAIRS - 1 };
    const int *plus = tn_winograd_pair[LAST - 1], *minus = tn_winograd_pair[LAST];
    for (int l = 0; l < COLUMNS; l++) {
        const double one = u[TN_UNIT_1][l] / 2, i = u[TN_UNIT_I][l] / 2;
        const double j = u[TN_UNIT_J][l] / 2, ij = u[TN_UNIT_IJ][l] / 2;
        u[plus[0]][l] = one - ij;
        u[plus[1]][l] = i + j;
        u[minus[0]][l] = one + ij;
        u[minus[1]][l] = i - j;
    }
    for (int k = 0; k < TN_WINOGRAD_PAIRS; k++)
        for (int l = 0; l < COLUMNS; l++)
            u[TN_WINOGRAD_SUMS + k][l] = u[tn_winograd_pair[k][0]][l] + u[tn_winograd_pair[k][1]][l];
}

/* U = G w G^T of one kernel frame, row-major, for all columns of a panel. Loops over columns are innermost so
 * that compilers make vectors of them. */
static void transform_weights(const scheme *s, const double w[9][COLUMNS],
                              double u[TN_WINOGRAD_PLANES][COLUMNS])
{
    const double(*g)[3] = s->g;
    for (int i = 0; i < s->points; i++) {
        double row[3][COLUMNS];
        for (int x = 0; x < 3; x++)
            for (int l = 0; l < COLUMNS; l++)
                row[x][l] = g[i][0] * w[x][l] + g[i][1] * w[3 + x][l] + g[i][2] * w[6 + x][l];
        for (int j = 0; j < s->points; j++)
            for (int l = 0; l < COLUMNS; l++)
                u[i * s->points + j][l] = g[j][0] * row[0][l] + g[j][1] * row[1][l] + g[j][2] * row[2][l];
    }
    if (s->complex)
        complex_factors(u);
}

typedef struct pack_job {
    const conv_geometry *g;
    const scheme *s;
    int nr;
    const float *weight, *scale;
    float *out;
} pack_job;

/* The nine weights of each column of a panel for one input channel and kernel frame, row-major. */
static void read_weights(const pack_job *job, int64_t o, int64_t channel, int64_t kt, double w[9][COLUMNS])
{
    const conv_geometry *g = job->g;
    const int64_t columns = tn_min(job->nr, g->o - o), channels = conv_channels(g);
    const float *from = job->weight + ((o * channels + channel) * g->k[0] + g->kt_begin + kt) * 9;
    for (int64_t j = 0; j < columns; j++, from += channels * g->k[0] * 9)
        for (int64_t i = 0; i < 9; i++)
            w[i][j] = (double)from[i];
}

/* One panel of output channels: [plane][kt][c][column], of bfloat16 in pairs. */
static void pack_panel(void *arg, int64_t panel, int thread)
{
    (void)thread;
    const pack_job *job = arg;
    const conv_geometry *g = job->g;
    const int64_t frames = g->kt_end - g->kt_begin, o = panel * job->nr, columns = tn_min(job->nr, g->o - o);
    const int64_t count = job->s->planes, channels = conv_channels(g);
    float *out = job->out + panel * count * frames * g->c * job->nr;
    double w[9][COLUMNS] = {{0}}, u[TN_WINOGRAD_PLANES][COLUMNS], scale[COLUMNS] = {0};
    for (int64_t j = 0; j < columns; j++)
        scale[j] = (double)job->scale[o + j];
    for (int64_t c = 0; c < channels; c++)
        for (int64_t kt = 0; kt < frames; kt++) {
            read_weights(job, o, c, kt, w);
            transform_weights(job->s, w, u);
            /* Whole rows at a time: planes lie powers of two apart and share few sets of a cache. */
            for (int64_t p = 0; p < count; p++) {
                float *row = out + (p * frames + kt) * g->c * job->nr;
                for (int j = 0; j < job->nr; j++)
                    if (g->pairs)
                        ((tn_bf16 *)(row + c / 2 * job->nr + j))[c % 2] =
                            tn_to_bf16((float)(u[p][j] * scale[j]));
                    else
                        row[c * job->nr + j] = (float)(u[p][j] * scale[j]);
            }
        }
}

static void pack(const tn_step *step, const conv_geometry *g, const float *scale)
{
    const int nr = step->ctx->kernels->nr;
    assert(nr <= COLUMNS);
    pack_job job = {g, scheme_of(g), nr, step->in[1].data, scale, step->packed};
    tn_parallel(step->ctx, tn_ceil_div(g->o, nr), pack_panel, &job);
}

/* ---- forward ------------------------------------------------------------------------------------------ */

typedef struct winograd_job {
    const tn_step *step;
    const conv_geometry *g;
    const scheme *s;
    int64_t tiles;        /* of a task */
    int64_t blocks;       /* tasks along the tiles of a frame */
    int64_t panels;       /* of output channels */
    int64_t panel_groups; /* tasks along them */
} winograd_job;

/* What a task works on. */
typedef struct tile_block {
    int64_t n;            /* sample */
    int64_t first, count; /* tiles of each frame */
    float *v;             /* [plane][frame][tile][channel] */
    float *products;      /* M of one panel: [plane][frame][tile][column] */
    float *zeros;         /* a pixel of the padding */
    int64_t v_plane, m_plane;
} tile_block;

static void transform_in(const winograd_job *job, const tile_block *b)
{
    const conv_geometry *g = job->g;
    const scheme *s = job->s;
    const tn_ctx *ctx = job->step->ctx;
    const void *pixel[MOST_VALUES];
    for (int64_t c = 0; c < g->c; c++)
        b->zeros[c] = 0.0f;
    for (int64_t t = 0; t < g->in[0]; t++)
        for (int64_t i = 0; i < b->count; i++) {
            const int64_t tile = b->first + i, across = tiles_across(g, s);
            const int64_t h0 = tile / across * s->results - g->p[1];
            const int64_t w0 = tile % across * s->results - g->p[2];
            for (int64_t p = 0; p < s->values * s->values; p++) {
                const int64_t h = h0 + p / s->values, w = w0 + p % s->values;
                const bool inside = h >= 0 && h < g->in[1] && w >= 0 && w < g->in[2];
                const int64_t at = ((b->n * g->in[0] + t) * g->in[1] + h) * g->in[2] + w;
                pixel[p] = inside ? job->step->in[0].data + at * g->c : b->zeros;
            }
            float *to = b->v + (t * b->count + i) * g->c;
            if (g->pairs)
                ctx->bf16->winograd_in(s->tiling, 2 * g->c, pixel, to, 2 * b->v_plane);
            else
                ctx->kernels->winograd_in(s->tiling, g->c, pixel, to, b->v_plane);
        }
}

static void transform_out(const winograd_job *job, const tile_block *b, int64_t panel)
{
    const conv_geometry *g = job->g;
    const tn_step *step = job->step;
    const int nr = step->ctx->kernels->nr, m = job->s->results;
    const int64_t o = panel * nr;
    const void *residual[MOST_RESULTS];
    void *pixel[MOST_RESULTS];
    tn_winograd w = {.tiling = job->s->tiling,
                     .n = (int)tn_min(nr, g->o - o),
                     .plane = b->m_plane,
                     .bias = conv_shift(step, g) + o,
                     .pixel = pixel,
                     .residual = step->epilogue.add ? residual : NULL,
                     .relu = step->epilogue.relu,
                     .out_bf16 = step->out[0].precision == TN_BF16,
                     .residual_bf16 = step->epilogue.residual.precision == TN_BF16};
    const bool bf16 = g->pairs || w.out_bf16 || w.residual_bf16;
    for (int64_t row = 0; row < g->out[0] * b->count; row++) {
        const int64_t t = row / b->count, tile = b->first + row % b->count, across = tiles_across(g, job->s);
        const int64_t h0 = tile / across * m, w0 = tile % across * m;
        for (int64_t p = 0; p < m * m; p++) {
            const int64_t h = h0 + p / m, x = w0 + p % m;
            const int64_t at = (((b->n * g->out[0] + t) * g->out[1] + h) * g->out[2] + x) * g->o + o;
            const bool inside = h < g->out[1] && x < g->out[2];
            pixel[p] = inside ? tn_at(&step->out[0], at) : NULL;
            if (w.residual)
                residual[p] = inside ? tn_at(&step->epilogue.residual, at) : NULL;
        }
        w.in = b->products + row * nr;
        (bf16 ? step->ctx->bf16->winograd_out : step->ctx->kernels->winograd_out)(&w);
    }
}

/* The kernel frames [begin, end) that output frame ot meets. */
static void meeting_frames(const conv_geometry *g, int64_t ot, int64_t *begin, int64_t *end)
{
    const int64_t t0 = ot * g->s[0] - g->p[0];
    *begin = tn_min(tn_max(g->kt_begin, -t0), g->kt_end);
    *end = tn_max(*begin, tn_min(g->kt_end, g->in[0] - t0));
}

/* One plane of M for one panel. Neighbouring output frames that meet the same kernel frames are one
 * product: with stride 1 their rows lie one behind the other in V. */
static void multiply(const winograd_job *job, const tile_block *b, int64_t panel, int64_t plane)
{
    const conv_geometry *g = job->g;
    const tn_kernels *kernels = job->step->ctx->kernels;
    const int64_t frames = g->kt_end - g->kt_begin, weights = g->c * kernels->nr;
    const float *packed =
        (const float *)job->step->packed + (panel * job->s->planes + plane) * frames * weights;
    const float *at_a[TN_MAX_TAPS], *at_b[TN_MAX_TAPS];
    for (int64_t ot = 0, next; ot < g->out[0]; ot = next) {
        int64_t begin, end;
        meeting_frames(g, ot, &begin, &end);
        for (next = ot + 1; next < g->out[0] && g->s[0] == 1; next++) {
            int64_t other_begin, other_end;
            meeting_frames(g, next, &other_begin, &other_end);
            if (other_begin != begin || other_end != end)
                break;
        }
        for (int64_t kt = begin; kt < end; kt++) {
            const int64_t t = ot * g->s[0] + kt - g->p[0];
            at_a[kt - begin] = b->v + plane * b->v_plane + t * b->count * g->c;
            at_b[kt - begin] = packed + (kt - g->kt_begin) * weights;
        }
        const tn_brgemm product = {.m = (next - ot) * b->count,
                                   .n = kernels->nr,
                                   .k = g->c,
                                   .batch = (int)(end - begin),
                                   .a = at_a,
                                   .b = at_b,
                                   .lda = g->c,
                                   .pairs = g->pairs,
                                   .c = b->products + plane * b->m_plane + ot * b->count * kernels->nr,
                                   .ldc = kernels->nr};
        (g->pairs ? job->step->ctx->bf16->brgemm : kernels->brgemm)(&product);
    }
}

static void winograd_task(void *arg, int64_t task, int thread)
{
    const winograd_job *job = arg;
    const conv_geometry *g = job->g;
    const int64_t group = task % job->panel_groups, block = task / job->panel_groups % job->blocks;
    const int nr = job->step->ctx->kernels->nr;
    tile_block b = {.n = task / job->panel_groups / job->blocks,
                    .first = block * job->tiles,
                    .count = tn_min(job->tiles, tiles_of(g, job->s) - block * job->tiles),
                    .v = tn_thread_scratch(job->step, thread),
                    .v_plane = v_plane(g, job->tiles),
                    .m_plane = m_plane(g, job->tiles, nr)};
    b.products = b.v + job->s->planes * b.v_plane;
    b.zeros = b.products + job->s->planes * b.m_plane;
    transform_in(job, &b);
    for (int64_t panel = job->panels * group / job->panel_groups;
         panel < job->panels * (group + 1) / job->panel_groups; panel++) {
        for (int64_t plane = 0; plane < job->s->planes; plane++)
            multiply(job, &b, panel, plane);
        transform_out(job, &b, panel);
    }
}

static void forward(const tn_step *step, const conv_geometry *g)
{
    const scheme *s = scheme_of(g);
    winograd_job job = {step, g, s, task_tiles(g, s), 0, tn_ceil_div(g->o, step->ctx->kernels->nr), 1};
    job.blocks = tn_ceil_div(tiles_of(g, s), job.tiles);
    const int64_t tasks = g->n * job.blocks;
    job.panel_groups = tn_max(1, tn_min(job.panels, 2 * step->ctx->threads / tn_max(1, tasks)));
    tn_parallel(step->ctx, tasks * job.panel_groups, winograd_task, &job);
}

const conv_way conv_by_tiles = {fits, packed_floats, thread_bytes, pack, forward, .bf16_error = 0x1p-7};
