/* 3D convolution on channels-last activations: products of matrices without im2col.
 *
 * A row of output pixels is a product with k = KW * C: in channels-last memory the KW input pixels under a
 * kernel row are one contiguous stretch, and the next output pixel's stretch begins stride * C further on.
 * The batch of products is the (kt, kh) taps that do not fall into the padding. Padding along W is the zero
 * edge of a copied row. Georganas et al. 2019, "High-performance deep learning via a single building block".
 */
#include "libtensor/ops/conv3d.h"

#include <string.h>

enum { X, WEIGHT, BIAS };

void conv_complete(conv_geometry *g)
{
    g->taps = g->k[0] * g->k[1];
    g->volume = g->taps * g->k[2];
    g->pointwise = g->volume == 1;
    for (int i = 0; i < 3; i++)
        g->pointwise &= g->s[i] == 1 && g->p[i] == 0;
    g->kt_begin = tn_max(0, tn_min(g->k[0] - 1, g->p[0] - (g->out[0] - 1) * g->s[0]));
    g->kt_end = tn_max(g->kt_begin + 1, tn_min(g->k[0], g->in[0] + g->p[0]));
}

conv_geometry conv_get_geometry(const tn_step *step)
{
    const tn_tensor *x = &step->in[X], *w = &step->in[WEIGHT];
    conv_geometry g = {.n = x->size[0], .c = x->size[1], .o = w->size[0]};
    g.pairs = x->precision == TN_BF16;
    g.to_bf16 = step->out[0].precision == TN_BF16;
    if (g.pairs)
        g.c /= 2;
    const tn_conv3d_attr *attr = step->node->attr;
    for (int i = 0; i < 3; i++) {
        g.in[i] = x->size[2 + i];
        g.k[i] = w->size[2 + i];
        g.s[i] = attr->stride[i];
        g.p[i] = attr->pad[i];
        g.out[i] = (g.in[i] + 2 * g.p[i] - g.k[i]) / g.s[i] + 1;
    }
    conv_complete(&g);
    return g;
}

static tn_status infer(tn_step *step)
{
    static const char axis[3] = {'T', 'H', 'W'};
    const tn_tensor *x = &step->in[X], *w = &step->in[WEIGHT];
    const tn_conv3d_attr *attr = step->node->attr;
    if (x->rank != 5 || w->rank != 5)
        return tn_step_fail(step, TN_SHAPE, "x %s and weight %s must have rank 5", tn_shape(x).text,
                            tn_shape(w).text);
    if (x->size[1] != w->size[1])
        return tn_step_fail(step, TN_SHAPE, "x has %lld channels, weight wants %lld", (long long)x->size[1],
                            (long long)w->size[1]);
    if (tn_present(step, BIAS) && (step->in[BIAS].rank != 1 || step->in[BIAS].size[0] != w->size[0]))
        return tn_step_fail(step, TN_SHAPE, "bias is %s, weight has %lld outputs",
                            tn_shape(&step->in[BIAS]).text, (long long)w->size[0]);
    step->out[0].rank = 5;
    step->out[0].size[0] = x->size[0];
    step->out[0].size[1] = w->size[0];
    for (int i = 0; i < 3; i++) {
        if (attr->stride[i] < 1 || attr->pad[i] < 0)
            return tn_step_fail(step, TN_RANGE, "stride %d, padding %d along %c", attr->stride[i],
                                attr->pad[i], axis[i]);
        const int64_t room = x->size[2 + i] + 2 * attr->pad[i], kernel = w->size[2 + i];
        if (kernel < 1 || room < kernel)
            return tn_step_fail(step, TN_SHAPE, "%c is %lld with padding, the kernel %lld", axis[i],
                                (long long)room, (long long)kernel);
        step->out[0].size[2 + i] = (room - kernel) / attr->stride[i] + 1;
    }
    if (w->size[2] * w->size[3] > TN_MAX_TAPS)
        return tn_step_fail(step, TN_UNSUPPORTED, "a kernel of %lld x %lld rows, at most %d are supported",
                            (long long)w->size[2], (long long)w->size[3], TN_MAX_TAPS);
    return TN_OK;
}

static const conv_way along_rows;

const conv_way *conv_way_of(const tn_step *step, const conv_geometry *g)
{
    static const conv_way *const ways[] = {&conv_by_stem, &conv_by_tiles, &conv_by_blocks, &along_rows};
    size_t i = 0;
    while (!ways[i]->fits(step, g))
        i++;
    return ways[i];
}

static tn_status prepare(tn_step *step)
{
    const conv_geometry g = conv_get_geometry(step);
    const conv_way *way = conv_way_of(step, &g);
    const int64_t pixels = g.n * g.out[0] * g.out[1] * g.out[2];
    step->flops = 2.0 * (double)pixels * (double)g.o * (double)conv_channels(&g) * (double)g.volume;
    step->error = g.pairs || (way->rounds && way->rounds(&g)) ? way->bf16_error : 0;
    step->packed_bytes = (way->packed_floats(step->ctx->kernels, &g) + 2 * (size_t)g.o) * sizeof(float);
    step->thread_scratch_bytes = way->thread_bytes(step->ctx->kernels, &g);
    if (step->training)
        conv_prepare_backward(step, &g);
    return TN_OK;
}

float *conv_shift(const tn_step *step, const conv_geometry *g)
{
    return (float *)step->packed + conv_way_of(step, g)->packed_floats(step->ctx->kernels, g);
}

void conv_multiply(const tn_step *step, const conv_geometry *g, tn_brgemm *product, int64_t pixel, int64_t o)
{
    const tn_ctx *ctx = step->ctx;
    const int64_t at = pixel * g->o + o;
    product->n = (int)tn_min(ctx->kernels->nr, g->o - o);
    product->c = tn_at(&step->out[0], at);
    product->bias = conv_shift(step, g) + o;
    product->residual = step->epilogue.add ? tn_at(&step->epilogue.residual, at) : NULL;
    if (product->pairs || product->c_bf16 || product->residual_bf16)
        ctx->bf16->brgemm(product);
    else
        ctx->kernels->brgemm(product);
}

/* A pair must not lie across two pixels. */
static bool takes_bf16(const tn_step *step)
{
    return step->in[X].size[1] % 2 == 0;
}

static bool gives_bf16(const tn_step *step)
{
    (void)step;
    return true;
}

static void pack(tn_step *step)
{
    const conv_geometry g = conv_get_geometry(step);
    float *shift = conv_shift(step, &g), *scale = shift + g.o;
    tn_fold_epilogue(step, g.o, step->in[BIAS].data, scale, shift);
    conv_way_of(step, &g)->pack(step, &g, scale);
}

static void forward(tn_step *step)
{
    const conv_geometry g = conv_get_geometry(step);
    conv_way_of(step, &g)->forward(step, &g);
}

/* ---- packing for the direct ways ----------------------------------------------------------------------- */

typedef struct pack_job {
    const conv_geometry *g;
    const tn_kernels *kernels;
    const float *weight, *scale;
    float *out;
} pack_job;

/* One panel of output channels: [tap][kw][c][column]. */
static void pack_panel(void *arg, int64_t panel, int thread)
{
    (void)thread;
    const pack_job *job = arg;
    const conv_geometry *g = job->g;
    const int nr = job->kernels->nr;
    const int64_t o = panel * nr, columns = tn_min(nr, g->o - o), channels = conv_channels(g);
    float *out = job->out + panel * conv_used_taps(g) * g->k[2] * g->c * nr;
    const int64_t frame = g->k[1] * g->k[2];
    for (int64_t k = g->kt_begin * frame; k < g->kt_end * frame; k++, out += g->c * nr)
        (g->pairs ? tn_pack_pairs : tn_pack_b)(job->kernels, channels, columns,
                                               job->weight + o * channels * g->volume + k, g->volume,
                                               channels * g->volume, job->scale + o, out);
}

size_t conv_direct_floats(const tn_kernels *kernels, const conv_geometry *g)
{
    return (size_t)conv_used_taps(g) * tn_packed_floats(kernels, g->k[2] * g->c, g->o);
}

void conv_direct_pack(const tn_step *step, const conv_geometry *g, const float *scale)
{
    pack_job job = {g, step->ctx->kernels, step->in[WEIGHT].data, scale, step->packed};
    tn_parallel(step->ctx, tn_ceil_div(g->o, job.kernels->nr), pack_panel, &job);
}

/* ---- along rows --------------------------------------------------------------------------------------- */

typedef struct forward_job {
    const tn_step *step;
    conv_geometry g;
    int64_t rows;         /* output rows of a task */
    int64_t blocks;       /* tasks along H */
    int64_t panels;       /* of output channels */
    int64_t panel_groups; /* tasks along them */
} forward_job;

/* The input rows of one task: where row (kt, r) begins, with its zero edges; NULL where it lies in the
 * padding. */
typedef struct input_window {
    const float *base; /* of sample n */
    float *copy;       /* thread scratch, or NULL where W has no padding */
    int64_t t0, h0;    /* first input frame and row, may be negative */
    int64_t rows;      /* per depth tap */
} input_window;

static const float *window_row(const conv_geometry *g, const input_window *w, int64_t kt, int64_t r)
{
    const int64_t t = w->t0 + kt, h = w->h0 + r;
    if (t < 0 || t >= g->in[0] || h < 0 || h >= g->in[1])
        return NULL;
    if (w->copy)
        return w->copy + (kt * w->rows + r) * conv_padded_row(g);
    return w->base + (t * g->in[1] + h) * g->in[2] * g->c;
}

static void copy_window(const conv_geometry *g, const input_window *w)
{
    const size_t edge = (size_t)(g->p[2] * g->c), middle = (size_t)(g->in[2] * g->c);
    for (int64_t kt = 0; kt < g->k[0]; kt++)
        for (int64_t r = 0; r < w->rows; r++) {
            float *row = (float *)window_row(g, w, kt, r);
            if (!row)
                continue;
            memset(row, 0, edge * sizeof *row);
            memcpy(row + edge, w->base + ((w->t0 + kt) * g->in[1] + w->h0 + r) * g->in[2] * g->c,
                   middle * sizeof *row);
            memset(row + edge + middle, 0, edge * sizeof *row);
        }
}

/* Lists the taps of output row `row` of the window that do not lie in the padding. */
static int list_taps(const conv_geometry *g, const input_window *w, int64_t row, const float **a,
                     int64_t *tap)
{
    int count = 0;
    for (int64_t kt = g->kt_begin; kt < g->kt_end; kt++)
        for (int64_t kh = 0; kh < g->k[1]; kh++) {
            const float *at = window_row(g, w, kt, row * g->s[1] + kh);
            if (!at)
                continue;
            a[count] = at;
            tap[count++] = (kt - g->kt_begin) * g->k[1] + kh;
        }
    return count;
}

static void forward_task(void *arg, int64_t task, int thread)
{
    const forward_job *job = arg;
    const conv_geometry *g = &job->g;
    const tn_step *step = job->step;
    const int nr = step->ctx->kernels->nr;
    const int64_t group = task % job->panel_groups, block = task / job->panel_groups % job->blocks;
    const int64_t plane = task / job->panel_groups / job->blocks, n = plane / g->out[0],
                  ot = plane % g->out[0];
    const int64_t oh0 = block * job->rows, rows = tn_min(job->rows, g->out[1] - oh0);
    const input_window window = {
        .base = step->in[X].data + n * g->in[0] * g->in[1] * g->in[2] * g->c,
        .copy = g->p[2] > 0 ? tn_thread_scratch(step, thread) : NULL,
        .t0 = ot * g->s[0] - g->p[0],
        .h0 = oh0 * g->s[1] - g->p[1],
        .rows = conv_input_rows(g, rows),
    };
    if (window.copy)
        copy_window(g, &window);

    const float *a[TN_MAX_TAPS], *b[TN_MAX_TAPS];
    int64_t tap[TN_MAX_TAPS];
    const int64_t k = g->k[2] * g->c;
    tn_brgemm product = conv_product(step, g);
    product.m = g->out[2];
    product.k = k;
    product.a = a;
    product.b = b;
    product.lda = g->s[2] * g->c;
    for (int64_t row = 0; row < rows; row++) {
        product.batch = list_taps(g, &window, row, a, tap);
        const int64_t pixel = (plane * g->out[1] + oh0 + row) * g->out[2];
        for (int64_t panel = job->panels * group / job->panel_groups;
             panel < job->panels * (group + 1) / job->panel_groups; panel++) {
            const float *weights = (const float *)step->packed + panel * conv_used_taps(g) * k * nr;
            for (int i = 0; i < product.batch; i++)
                b[i] = weights + tap[i] * k * nr;
            conv_multiply(step, g, &product, pixel, panel * nr);
        }
    }
}

/* Output rows of one task: enough pixels to reuse a panel of weights, few enough to keep the copied rows
 * small. */
static int64_t rows_per_task(const conv_geometry *g)
{
    enum { PIXELS = 56 };
    return tn_max(1, tn_min(g->out[1], PIXELS / tn_max(1, g->out[2])));
}

static bool rows_fit(const tn_step *step, const conv_geometry *g)
{
    (void)step;
    (void)g;
    return true;
}

static size_t rows_bytes(const tn_kernels *kernels, const conv_geometry *g)
{
    (void)kernels;
    if (g->p[2] == 0)
        return 0;
    return (size_t)(g->k[0] * conv_input_rows(g, rows_per_task(g)) * conv_padded_row(g)) * sizeof(float);
}

static void rows_forward(const tn_step *step, const conv_geometry *g)
{
    forward_job job = {.step = step, .g = *g, .rows = rows_per_task(g)};
    job.blocks = tn_ceil_div(g->out[1], job.rows);
    job.panels = tn_ceil_div(g->o, step->ctx->kernels->nr);
    /* Small planes alone would not keep all threads busy: their channels are split too. */
    const int64_t tasks = g->n * g->out[0] * job.blocks;
    job.panel_groups = tn_max(1, tn_min(job.panels, 4 * step->ctx->threads / tn_max(1, tasks)));
    tn_parallel(step->ctx, tasks * job.panel_groups, forward_task, &job);
}

static const conv_way along_rows = {
    rows_fit, conv_direct_floats, rows_bytes, conv_direct_pack, rows_forward, 0, NULL};

/* ---- op -------------------------------------------------------------------------------------------- */

#define ATTR(name, s0, s1, s2, p0, p1, p2) static const tn_conv3d_attr name = {{s0, s1, s2}, {p0, p1, p2}}
ATTR(plain, 1, 1, 1, 0, 0, 0);
ATTR(same3, 1, 1, 1, 1, 1, 1);
ATTR(half3, 2, 2, 2, 1, 1, 1);
ATTR(stem, 1, 2, 2, 3, 3, 3);
ATTR(strided, 2, 2, 2, 0, 0, 0);
ATTR(wide, 1, 3, 2, 2, 0, 3);
ATTR(flat, 1, 1, 1, 0, 1, 1);
ATTR(sparse, 3, 3, 3, 0, 0, 0);
ATTR(far, 1, 1, 1, 1, 2, 3);
ATTR(thin, 2, 1, 1, 1, 0, 2);
ATTR(seven, 1, 2, 2, 3, 2, 1);
ATTR(thirds, 3, 3, 3, 1, 1, 2);

static const tn_case cases[] = {
    {"1x1x1", {{5, 2, 5, 2, 3, 4}, {5, 7, 5, 1, 1, 1}, {1, 7}}, &plain, false},
    {"1x1x1 wide", {{5, 1, 33, 2, 5, 5}, {5, 70, 33, 1, 1, 1}}, &plain, false},
    {"1x1x1 stride 2", {{5, 1, 6, 3, 5, 4}, {5, 9, 6, 1, 1, 1}}, &strided, false},
    {"3x3x3", {{5, 2, 4, 3, 5, 6}, {5, 5, 4, 3, 3, 3}, {1, 5}}, &same3, false},
    {"3x3x3 wide", {{5, 1, 17, 2, 4, 15}, {5, 35, 17, 3, 3, 3}}, &same3, false},
    {"3x3x3 stride 2", {{5, 1, 3, 4, 7, 6}, {5, 6, 3, 3, 3, 3}}, &half3, false},
    {"3x3x3 of one frame", {{5, 2, 3, 1, 3, 3}, {5, 4, 3, 3, 3, 3}}, &same3, false},
    {"3x3x3 of one pixel", {{5, 1, 8, 1, 1, 1}, {5, 8, 8, 3, 3, 3}}, &half3, false},
    {"stem", {{5, 1, 3, 5, 13, 14}, {5, 8, 3, 7, 7, 7}}, &stem, false},
    {"odd kernel", {{5, 1, 2, 3, 9, 8}, {5, 3, 2, 4, 2, 5}, {1, 3}}, &wide, false},
    {"conv2d", {{5, 3, 4, 1, 6, 5}, {5, 6, 4, 1, 3, 3}, {1, 6}}, &flat, false},
    {"stride past the kernel", {{5, 1, 3, 4, 7, 8}, {5, 4, 3, 2, 1, 2}}, &sparse, false},
    {"padding past the kernel", {{5, 1, 2, 2, 3, 3}, {5, 3, 2, 1, 1, 1}, {1, 3}}, &far, false},
    {"1x1x1 of a page of channels", {{5, 1, 1024, 1, 3, 2}, {5, 33, 1024, 1, 1, 1}}, &plain, false},
    {"1x1x1 stride 2 wide", {{5, 1, 5, 3, 25, 37}, {5, 67, 5, 1, 1, 1}}, &strided, false},
    {"3x3x3 of short rows", {{5, 2, 3, 2, 9, 8}, {5, 65, 3, 3, 3, 3}, {1, 65}}, &same3, false},
    {"3x3x3 stride 2 of short rows", {{5, 1, 3, 3, 13, 11}, {5, 64, 3, 3, 3, 3}}, &half3, false},
    {"one frame of short rows", {{5, 2, 3, 1, 7, 7}, {5, 64, 3, 3, 3, 3}}, &same3, false},
    {"tiles of 4", {{5, 1, 19, 3, 12, 11}, {5, 37, 19, 3, 3, 3}, {1, 37}}, &same3, false},
    {"tiles of 2", {{5, 2, 32, 3, 6, 5}, {5, 33, 32, 3, 3, 3}}, &same3, false},
    {"tiles, stride 2 along T", {{5, 1, 24, 5, 12, 13}, {5, 20, 24, 3, 3, 3}}, &thin, false},
    {"tiles of several tasks", {{5, 1, 17, 1, 30, 31}, {5, 17, 17, 1, 3, 3}, {1, 17}}, &flat, false},
    {"stem of eight frames", {{5, 1, 3, 8, 15, 16}, {5, 17, 3, 7, 7, 7}, {1, 17}}, &stem, false},
    {"stem, more than a block wide", {{5, 2, 3, 5, 9, 60}, {5, 33, 3, 7, 7, 3}}, &seven, false},
    {"3x3x3 stride 3", {{5, 1, 3, 5, 7, 8}, {5, 4, 3, 3, 3, 3}}, &thirds, false},
    {0},
};

/* x has c channels, t frames and hw x hw pixels, y o channels; the kernel is k x k x k. */
#define LAYER(label, c, t, hw, o, k, attr)                                                                   \
    {                                                                                                        \
        {label, {{5, 1, c, t, hw, hw}, {5, o, c, k, k, k}}, &attr, false}, false                             \
    }
static const tn_layer layers[] = {
    {{"stem", {{5, 1, 3, 16, 224, 224}, {5, 64, 3, 7, 7, 7}}, &stem, false}, true},
    LAYER("layer1 64 to 64", 64, 8, 56, 64, 1, plain),
    LAYER("layer1 3x3x3", 64, 8, 56, 64, 3, same3),
    LAYER("layer1 64 to 256", 64, 8, 56, 256, 1, plain),
    LAYER("layer1 256 to 64", 256, 8, 56, 64, 1, plain),
    LAYER("layer2 256 to 128", 256, 8, 56, 128, 1, plain),
    LAYER("layer2 3x3x3 stride 2", 128, 8, 56, 128, 3, half3),
    LAYER("layer2 3x3x3", 128, 4, 28, 128, 3, same3),
    LAYER("layer2 128 to 512", 128, 4, 28, 512, 1, plain),
    LAYER("layer2 512 to 128", 512, 4, 28, 128, 1, plain),
    LAYER("layer2 shortcut", 256, 8, 56, 512, 1, strided),
    LAYER("layer3 512 to 256", 512, 4, 28, 256, 1, plain),
    LAYER("layer3 3x3x3 stride 2", 256, 4, 28, 256, 3, half3),
    LAYER("layer3 3x3x3", 256, 2, 14, 256, 3, same3),
    LAYER("layer3 256 to 1024", 256, 2, 14, 1024, 1, plain),
    LAYER("layer3 1024 to 256", 1024, 2, 14, 256, 1, plain),
    LAYER("layer3 shortcut", 512, 4, 28, 1024, 1, strided),
    LAYER("layer4 1024 to 512", 1024, 2, 14, 512, 1, plain),
    LAYER("layer4 3x3x3 stride 2", 512, 2, 14, 512, 3, half3),
    LAYER("layer4 3x3x3", 512, 1, 7, 512, 3, same3),
    LAYER("layer4 512 to 2048", 512, 1, 7, 2048, 1, plain),
    LAYER("layer4 2048 to 512", 2048, 1, 7, 512, 1, plain),
    LAYER("layer4 shortcut", 1024, 2, 14, 2048, 1, strided),
    {{0}, false},
};

const tn_op tn_op_conv3d = {
    .name = "conv3d",
    .role = {TN_ROLE_DATA, TN_ROLE_WEIGHT, TN_ROLE_WEIGHT},
    .optional = 1u << BIAS,
    .outputs = 1,
    .attr_size = sizeof(tn_conv3d_attr),
    .keep_in = 1u << X,
    .cases = cases,
    .layers = layers,
    .infer = infer,
    .prepare = prepare,
    .pack = pack,
    .forward = forward,
    .backward = conv_backward,
    .takes_bf16 = takes_bf16,
    .gives_bf16 = gives_bf16,
    .absorb = tn_absorb_epilogue,
};

tn_var *tn_conv3d(tn_var *x, tn_var *weight, tn_var *bias, tn_conv3d_attr attr)
{
    tn_var *in[TN_MAX_IN] = {x, weight, bias};
    return tn_apply(x->graph, &tn_op_conv3d, in, &attr);
}
