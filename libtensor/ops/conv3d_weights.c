/* The gradient of 3D convolution's weights: dW = X^T dY for each (kt, kh), X's rows being the KW * C
 * stretches that forward reads.
 *
 * A task owns one kernel frame for one panel of output channels. It goes through the output in chunks that
 * stay in the second-level cache: their input rows are copied with zero edges and their part of dY is packed
 * once for all kh. The kernel reads X by columns where it lies, so that an element of dW is summed over
 * output rows in order and nothing is added up between threads.
 */
#include "libtensor/ops/conv3d.h"

#include <string.h>

enum { X, WEIGHT };
enum { PIXELS = 256, CACHED = 1 << 17 /* floats of copied input */ };

typedef struct weight_job {
    const tn_step *step;
    const conv_geometry *g;
    int64_t rows;    /* output rows of a chunk in each of its planes */
    int64_t planes;  /* of a chunk */
    int64_t panels;  /* of output channels */
    float *products; /* [kt][kh][kw][c][o] */
} weight_job;

/* A part of the output that a task works on. */
typedef struct chunk {
    int64_t kt;
    int64_t first, planes; /* output planes, counted among those that kernel frame kt meets */
    int64_t oh, rows;      /* of each */
    float *x;              /* [plane][input row] with zero edges */
    float *dy;             /* [plane][row][pixel][column] */
} chunk;

static void set_chunks(const conv_geometry *g, int64_t *rows, int64_t *planes)
{
    *rows = tn_max(1, tn_min(g->out[1], PIXELS / tn_max(1, g->out[2])));
    *planes = 1;
    if (*rows == g->out[1])
        *planes = tn_min(PIXELS / tn_max(1, *rows * g->out[2]),
                         CACHED / tn_max(1, conv_input_rows(g, *rows) * conv_padded_row(g)));
    *planes = tn_max(1, *planes);
}

static int64_t copied_floats(const conv_geometry *g, int64_t rows, int64_t planes)
{
    return planes * conv_input_rows(g, rows) * conv_padded_row(g);
}

size_t conv_weights_floats(const conv_geometry *g)
{
    return (size_t)(g->o * g->c * g->volume);
}

size_t conv_weights_thread_floats(const tn_kernels *kernels, const conv_geometry *g)
{
    int64_t rows, planes;
    set_chunks(g, &rows, &planes);
    return (size_t)(copied_floats(g, rows, planes) + planes * rows * g->out[2] * kernels->nr);
}

/* Output positions [*begin, *end) along an axis that kernel position k meets inside the input. */
static void meeting(const conv_geometry *g, int axis, int64_t k, int64_t *begin, int64_t *end)
{
    const int64_t last = g->in[axis] - 1 + g->p[axis] - k;
    *begin = tn_min(g->out[axis], tn_max(0, tn_ceil_div(g->p[axis] - k, g->s[axis])));
    *end = last < 0 ? *begin : tn_max(*begin, tn_min(g->out[axis], last / g->s[axis] + 1));
}

/* ---- one chunk ----------------------------------------------------------------------------------------- */

static int64_t frames_met(const conv_geometry *g, int64_t kt, int64_t *first)
{
    int64_t end;
    meeting(g, 0, kt, first, &end);
    return end - *first;
}

static void copy_x(const weight_job *job, const chunk *c, int64_t n, int64_t it, float *out)
{
    const conv_geometry *g = job->g;
    const int64_t edge = g->p[2] * g->c, middle = g->in[2] * g->c, h0 = c->oh * g->s[1] - g->p[1];
    for (int64_t r = 0; r < conv_input_rows(g, c->rows); r++, out += conv_padded_row(g)) {
        const int64_t h = h0 + r;
        if (h < 0 || h >= g->in[1])
            continue;
        const float *x = job->step->in[X].data + ((n * g->in[0] + it) * g->in[1] + h) * middle;
        memset(out, 0, (size_t)edge * sizeof *out);
        memcpy(out + edge, x, (size_t)middle * sizeof *out);
        memset(out + edge + middle, 0, (size_t)edge * sizeof *out);
    }
}

static void fill_chunk(const weight_job *job, const chunk *c, int64_t panel)
{
    const conv_geometry *g = job->g;
    const tn_kernels *kernels = job->step->ctx->kernels;
    const int64_t o = panel * kernels->nr, columns = tn_min(kernels->nr, g->o - o);
    const int64_t pixels = c->rows * g->out[2];
    int64_t ot0;
    const int64_t frames = frames_met(g, c->kt, &ot0);
    for (int64_t i = 0; i < c->planes; i++) {
        const int64_t n = (c->first + i) / frames, ot = ot0 + (c->first + i) % frames;
        copy_x(job, c, n, ot * g->s[0] + c->kt - g->p[0], c->x + i * copied_floats(g, c->rows, 1));
        const float *dy =
            job->step->dout[0].data + (((n * g->out[0] + ot) * g->out[1] + c->oh) * g->out[2]) * g->o + o;
        kernels->pack_b(pixels, columns, dy, g->o, pixels * kernels->nr, c->dy + i * pixels * kernels->nr);
    }
}

/* Adds the chunk's products for all kh; `before` says which kh have some already. */
static void multiply(const weight_job *job, const chunk *c, int64_t panel, bool *before)
{
    const conv_geometry *g = job->g;
    const tn_kernels *kernels = job->step->ctx->kernels;
    const int64_t m = g->k[2] * g->c, o = panel * kernels->nr, row = conv_padded_row(g);
    const float *a[PIXELS], *b[PIXELS], *at[PIXELS];
    for (int64_t kh = 0; kh < g->k[1]; kh++) {
        int64_t begin, end;
        meeting(g, 1, kh, &begin, &end);
        begin = tn_max(begin, c->oh);
        end = tn_min(end, c->oh + c->rows);
        int batch = 0;
        for (int64_t i = 0; i < c->planes; i++)
            for (int64_t oh = begin; oh < end; oh++, batch++) {
                const int64_t r = oh - c->oh;
                at[batch] = c->x + i * copied_floats(g, c->rows, 1) + (r * g->s[1] + kh) * row;
                b[batch] = c->dy + (i * c->rows + r) * g->out[2] * kernels->nr;
            }
        float *out = job->products + (c->kt * g->k[1] + kh) * m * g->o + o;
        tn_brgemm product = {.n = (int)tn_min(kernels->nr, g->o - o),
                             .k = g->out[2],
                             .batch = batch,
                             .a = a,
                             .b = b,
                             .lda = g->s[2] * g->c,
                             .flipped = true,
                             .ldc = g->o,
                             .ldr = g->o};
        /* Tile by tile: what the tile reads of X is the same lines for all its rows. */
        for (int64_t i = 0; batch > 0 && i < m; i += product.m) {
            product.m = tn_min(kernels->mr, m - i);
            for (int j = 0; j < batch; j++)
                a[j] = at[j] + i;
            product.c = out + i * g->o;
            product.residual = before[kh] ? product.c : NULL;
            kernels->brgemm(&product);
        }
        before[kh] |= batch > 0;
    }
}

static void weight_task(void *arg, int64_t task, int thread)
{
    const weight_job *job = arg;
    const conv_geometry *g = job->g;
    const int64_t panel = task % job->panels, m = g->k[2] * g->c;
    const int nr = job->step->ctx->kernels->nr;
    bool before[TN_MAX_TAPS] = {false};
    chunk c = {.kt = task / job->panels, .x = tn_thread_scratch(job->step, thread)};
    c.dy = c.x + copied_floats(g, job->rows, job->planes);
    int64_t ot0;
    const int64_t planes = g->n * frames_met(g, c.kt, &ot0);
    for (c.first = 0; c.first < planes; c.first += job->planes)
        for (c.oh = 0; c.oh < g->out[1]; c.oh += job->rows) {
            c.planes = tn_min(job->planes, planes - c.first);
            c.rows = tn_min(job->rows, g->out[1] - c.oh);
            fill_chunk(job, &c, panel);
            multiply(job, &c, panel, before);
        }
    for (int64_t kh = 0; kh < g->k[1]; kh++)
        for (int64_t i = 0; !before[kh] && i < m; i++)
            memset(job->products + ((c.kt * g->k[1] + kh) * m + i) * g->o + panel * nr, 0,
                   (size_t)tn_min(nr, g->o - panel * nr) * sizeof(float));
}

/* ---- to the parameter's order -------------------------------------------------------------------------- */

enum { LINE = 16 };

/* [tap][kw][c][o] to [o][c][tap][kw] for 16 output channels: each line of theirs is read once. */
static void transpose_task(void *arg, int64_t task, int thread)
{
    (void)thread;
    const weight_job *job = arg;
    const conv_geometry *g = job->g;
    const int64_t o = task * LINE, columns = tn_min(LINE, g->o - o);
    float *dw = job->step->din[WEIGHT].data + o * g->c * g->volume;
    for (int64_t c = 0; c < g->c; c++)
        for (int64_t at = 0; at < g->volume; at++) {
            const float *from = job->products + (at * g->c + c) * g->o + o;
            for (int64_t j = 0; j < columns; j++)
                dw[(j * g->c + c) * g->volume + at] = from[j];
        }
}

void conv_weights_gradient(const tn_step *step, const conv_geometry *g, float *products)
{
    weight_job job = {.step = step, .g = g, .panels = tn_ceil_div(g->o, step->ctx->kernels->nr)};
    job.products = products;
    set_chunks(g, &job.rows, &job.planes);
    tn_parallel(step->ctx, g->k[0] * job.panels, weight_task, &job);
    tn_parallel(step->ctx, tn_ceil_div(g->o, LINE), transpose_task, &job);
}
