/* 3D convolution over blocks of pixels that need not lie in one row.
 *
 * A block of output pixels is one product with the block's height as m; its rows are copied together first,
 * tap by tap, unless they lie one behind the other anyway (1 x 1 x 1, stride 1). That serves layers whose
 * output rows are too short to use a panel of weights well, and 1 x 1 x 1 layers with a stride. Copied rows
 * begin 64 bytes more than k apart: rows a multiple of 4096 bytes apart would meet in the same few places of
 * the first-level cache.
 */
#include "libtensor/ops/conv3d.h"

#include <string.h>

enum {
    BLOCK = 112,    /* pixels of a task: their rows stay in the second-level cache */
    FEW = 14,       /* pixels at a time where there is a residual: one tile of the largest kernel */
    GAP = 16,       /* floats between copied rows */
    ALIASING = 1024 /* floats: one page */
};

static bool must_copy(const conv_geometry *g)
{
    return !g->pointwise || g->c % ALIASING == 0;
}

static int64_t pixels(const conv_geometry *g)
{
    return g->n * g->out[0] * g->out[1] * g->out[2];
}

static int64_t row_floats(const conv_geometry *g)
{
    return g->k[2] * g->c + GAP;
}

/* Pixels of a task, so that all tasks have about as many. */
static int64_t block_pixels(const conv_geometry *g)
{
    return tn_ceil_div(pixels(g), tn_max(1, tn_ceil_div(pixels(g), BLOCK)));
}

static bool fits(const tn_step *step, const conv_geometry *g)
{
    enum { SHORT_ROW = 13, NARROW = 64 };
    (void)step;
    if (g->volume == 1 && g->p[0] == 0 && g->p[1] == 0 && g->p[2] == 0)
        return true;
    return g->out[2] <= SHORT_ROW && g->o >= NARROW;
}

static size_t thread_bytes(const tn_kernels *kernels, const conv_geometry *g)
{
    (void)kernels;
    if (!must_copy(g))
        return 0;
    return (size_t)(conv_used_taps(g) * block_pixels(g) * row_floats(g)) * sizeof(float);
}

typedef struct gather_job {
    const tn_step *step;
    const conv_geometry *g;
    int64_t block;        /* pixels of a task */
    int64_t panels;       /* of output channels */
    int64_t panel_groups; /* tasks along them */
} gather_job;

/* Where the stretch under kernel row (kt, kh) and pixel ow = 0 of an output row begins; NULL where it lies in
 * the padding of T or H. */
static const float *input_row(const gather_job *job, int64_t output_row, int64_t kt, int64_t kh)
{
    const conv_geometry *g = job->g;
    const int64_t oh = output_row % g->out[1], ot = output_row / g->out[1] % g->out[0],
                  n = output_row / g->out[1] / g->out[0];
    const int64_t t = ot * g->s[0] + kt - g->p[0], h = oh * g->s[1] + kh - g->p[1];
    if (t < 0 || t >= g->in[0] || h < 0 || h >= g->in[1])
        return NULL;
    return job->step->in[0].data + ((n * g->in[0] + t) * g->in[1] + h) * g->in[2] * g->c;
}

/* Copies what pixels [first, first + count) read under kernel row (kt, kh); false where all of it is padding.
 */
static bool copy_tap(const gather_job *job, int64_t first, int64_t count, int64_t kt, int64_t kh, float *out)
{
    const conv_geometry *g = job->g;
    bool any = false;
    for (int64_t i = 0; i < count; i++, out += row_floats(g)) {
        const float *row = input_row(job, (first + i) / g->out[2], kt, kh);
        const int64_t w = (first + i) % g->out[2] * g->s[2] - g->p[2];
        const int64_t begin = row ? tn_min(tn_max(0, -w), g->k[2]) : g->k[2],
                      end = tn_max(begin, tn_min(g->k[2], g->in[2] - w));
        memset(out, 0, (size_t)(begin * g->c) * sizeof *out);
        if (end > begin)
            memcpy(out + begin * g->c, row + (w + begin) * g->c,
                   (size_t)((end - begin) * g->c) * sizeof *out);
        memset(out + end * g->c, 0, (size_t)((g->k[2] - end) * g->c) * sizeof *out);
        any |= row != NULL;
    }
    return any;
}

/* Lists the taps that some pixel of the block meets, and where their rows are. */
static int list_taps(const gather_job *job, int64_t first, int64_t count, float *copy, const float **a,
                     int64_t *tap)
{
    const conv_geometry *g = job->g;
    if (!must_copy(g)) {
        a[0] = job->step->in[0].data + first * g->c;
        tap[0] = 0;
        return 1;
    }
    int taps = 0;
    for (int64_t kt = g->kt_begin; kt < g->kt_end; kt++)
        for (int64_t kh = 0; kh < g->k[1]; kh++)
            if (copy_tap(job, first, count, kt, kh, copy)) {
                a[taps] = copy;
                tap[taps++] = (kt - g->kt_begin) * g->k[1] + kh;
                copy += count * row_floats(g);
            }
    return taps;
}

/* Pixels [row, row + m) of the block that begins at pixel `first`, for one panel of output channels. */
static void multiply(const gather_job *job, tn_brgemm *product, int64_t first, int64_t row, int64_t panel,
                     const int64_t *tap)
{
    const conv_geometry *g = job->g;
    const tn_step *step = job->step;
    const int nr = step->ctx->kernels->nr;
    const int64_t step_b = product->k * nr;
    const float *weights = (const float *)step->packed + panel * conv_used_taps(g) * step_b;
    const float *b[TN_MAX_TAPS];
    for (int i = 0; i < product->batch; i++)
        b[i] = weights + tap[i] * step_b;
    product->b = b;
    conv_multiply(step, g, product, first + row, panel * nr);
}

static void gather_task(void *arg, int64_t task, int thread)
{
    const gather_job *job = arg;
    const conv_geometry *g = job->g;
    const tn_step *step = job->step;
    const int64_t group = task % job->panel_groups, first = task / job->panel_groups * job->block;
    const int64_t count = tn_min(job->block, pixels(g) - first);
    const float *a[TN_MAX_TAPS];
    int64_t tap[TN_MAX_TAPS];
    tn_brgemm product = conv_product(step, g);
    product.k = g->k[2] * g->c;
    product.a = a;
    product.lda = must_copy(g) ? row_floats(g) : g->c;
    product.batch = list_taps(job, first, count, tn_thread_scratch(step, thread), a, tap);
    /* A residual is read along its pixels' channels while they are at hand; else weights are used by all
     * pixels before the next. */
    const int64_t height = step->epilogue.add ? tn_min(count, FEW) : count;
    for (int64_t row = 0; row < count; row += height) {
        product.m = tn_min(height, count - row);
        for (int64_t panel = job->panels * group / job->panel_groups;
             panel < job->panels * (group + 1) / job->panel_groups; panel++)
            multiply(job, &product, first, row, panel, tap);
        for (int i = 0; i < product.batch; i++)
            a[i] += height * product.lda;
    }
}

static void forward(const tn_step *step, const conv_geometry *g)
{
    gather_job job = {step, g, tn_max(1, block_pixels(g)), tn_ceil_div(g->o, step->ctx->kernels->nr), 1};
    const int64_t blocks = tn_ceil_div(pixels(g), job.block);
    job.panel_groups = tn_max(1, tn_min(job.panels, 2 * step->ctx->threads / tn_max(1, blocks)));
    tn_parallel(step->ctx, blocks * job.panel_groups, gather_task, &job);
}

const conv_way conv_by_blocks = {fits, conv_direct_floats, thread_bytes, conv_direct_pack, forward, 0, NULL};
