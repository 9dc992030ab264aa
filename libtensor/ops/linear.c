/* The fully connected layer: y = x W^T + b. */
#include "libtensor/internal.h"

enum { X, WEIGHT, BIAS };

typedef struct shape {
    int64_t rows, in, out;
} shape;

static shape get_shape(const tn_step *step)
{
    shape s = {.in = step->in[WEIGHT].size[1], .out = step->in[WEIGHT].size[0]};
    s.rows = tn_rows(&step->in[X], &s.in);
    return s;
}

static tn_status infer(tn_step *step)
{
    const tn_tensor *x = &step->in[X], *w = &step->in[WEIGHT], *b = &step->in[BIAS];
    if (w->rank != 2 || tn_numel(w) == 0)
        return tn_step_fail(step, TN_SHAPE, "weight is %s, expected (outputs, inputs)", tn_shape(w).text);
    if (x->rank < 1 || x->rank == 5)
        return tn_step_fail(step, TN_SHAPE, "x is %s, expected (..., %lld)", tn_shape(x).text,
                            (long long)w->size[1]);
    if (x->size[x->rank - 1] != w->size[1])
        return tn_step_fail(step, TN_SHAPE, "x has %lld features, weight wants %lld",
                            (long long)x->size[x->rank - 1], (long long)w->size[1]);
    if (tn_present(step, BIAS) && (b->rank != 1 || b->size[0] != w->size[0]))
        return tn_step_fail(step, TN_SHAPE, "bias is %s, weight has %lld outputs", tn_shape(b).text,
                            (long long)w->size[0]);
    step->out[0] = *x;
    step->out[0].size[x->rank - 1] = w->size[0];
    return TN_OK;
}

/* dW = dy^T x, and db = sum of dy over rows. */
static tn_gradients gradients(const tn_step *step, const shape *s)
{
    const bool weight = step->want[WEIGHT];
    return (tn_gradients){
        .rows = s->rows,
        .lefts = 1,
        .rights = weight,
        .products = weight,
        .left = {{step->dout[0].data, s->out, s->out, 0, 0, step->din[BIAS].data}},
        .right = {{step->in[X].data, s->in, s->in, s->rows, 0, NULL}},
        .product = {{0, 0, step->din[WEIGHT].data}},
    };
}

static tn_status prepare(tn_step *step)
{
    const shape s = get_shape(step);
    const tn_kernels *kernels = step->ctx->kernels;
    step->flops = 2.0 * (double)s.rows * (double)s.in * (double)s.out;
    step->packed_bytes = (tn_packed_floats(kernels, s.in, s.out) + 2 * (size_t)s.out) * sizeof(float);
    const tn_gradients g = gradients(step, &s);
    const size_t flipped = step->want[X] ? tn_packed_floats(kernels, s.out, s.in) * sizeof(float) : 0;
    const size_t packs = step->want[WEIGHT] || step->want[BIAS] ? tn_gradients_bytes(kernels, &g) : 0;
    step->scratch_bytes = flipped > packs ? flipped : packs;
    return TN_OK;
}

static void pack(tn_step *step)
{
    const shape s = get_shape(step);
    const tn_kernels *kernels = step->ctx->kernels;
    float *packed = step->packed, *shift = packed + tn_packed_floats(kernels, s.in, s.out),
          *scale = shift + s.out;
    tn_fold_epilogue(step, s.out, step->in[BIAS].data, scale, shift);
    tn_pack_b(kernels, s.in, s.out, step->in[WEIGHT].data, 1, s.in, scale, packed);
}

/* ---- training: ReLU and dropouts behind the product ------------------------------------------------ */

/* Dropouts only behind a ReLU: what survived both is then what is above 0, so that backward needs no masks.
 */
static bool absorb(tn_step *step, const tn_node *next, int slot)
{
    tn_epilogue *e = &step->epilogue;
    if (!step->training)
        return tn_absorb_epilogue(step, next, slot);
    if (next->op == &tn_op_relu && !e->relu)
        return e->relu = true;
    /* A row begins with a block of four random numbers. */
    if (next->op != &tn_op_dropout || !e->relu || e->dropouts == TN_MAX_DROPOUTS || step->out[0].rank < 2 ||
        get_shape(step).out % 4 != 0)
        return false;
    e->dropout[e->dropouts++] = next;
    return true;
}

enum {
    BLOCK = 112
}; /* rows per task: what one pass leaves in the second-level cache, the next finds there */

/* Drops in rows [begin, end) of the output, those of one sample at a time. */
static void drop(const tn_step *step, const shape *s, const tn_node *node, int64_t begin, int64_t end)
{
    const tn_dropout_attr *attr = node->attr;
    const int64_t together = s->rows / step->out[0].size[0]; /* rows of a sample */
    for (int64_t row = begin; row < end;) {
        const tn_mask mask = tn_dropout_mask(step, node, row / together);
        const int64_t stop = attr->per_channel ? row + 1 : tn_min(end, (row / together + 1) * together);
        float *y = step->out[0].data + row * s->out;
        step->ctx->kernels->dropout(&mask, attr->per_channel ? 0 : row % together * s->out,
                                    (stop - row) * s->out, y, y);
        row = stop;
    }
}

/* c = a times packed weights for rows [begin, end). */
static void product(const tn_step *step, int64_t begin, int64_t end, int64_t n, int64_t k, const float *a,
                    const float *packed, float *c, const float *bias, bool relu)
{
    const tn_kernels *kernels = step->ctx->kernels;
    const float *rows = a + begin * k;
    for (int64_t j = 0; j < n; j += kernels->nr) {
        const float *panel = packed + j * k;
        const tn_brgemm g = {.m = end - begin,
                             .n = (int)tn_min(kernels->nr, n - j),
                             .k = k,
                             .batch = 1,
                             .a = &rows,
                             .b = &panel,
                             .lda = k,
                             .c = c + begin * n + j,
                             .ldc = n,
                             .bias = bias ? bias + j : NULL,
                             .relu = relu};
        kernels->brgemm(&g);
    }
}

static void forward_task(void *arg, int64_t task, int thread)
{
    (void)thread;
    const tn_step *step = arg;
    const shape s = get_shape(step);
    const int64_t begin = task * BLOCK, end = tn_min(begin + BLOCK, s.rows);
    const float *packed = step->packed, *shift = packed + tn_packed_floats(step->ctx->kernels, s.in, s.out);
    product(step, begin, end, s.out, s.in, step->in[X].data, packed, step->out[0].data, shift, true);
    for (int i = 0; i < step->epilogue.dropouts; i++)
        drop(step, &s, step->epilogue.dropout[i], begin, end);
}

static float dropout_scale(const tn_step *step, int i)
{
    return i < step->epilogue.dropouts ? tn_dropout_mask(step, step->epilogue.dropout[i], 0).scale : 1.0f;
}

/* Turns dy into the gradient of the product, in place, and then into dx. */
static void backward_task(void *arg, int64_t task, int thread)
{
    (void)thread;
    const tn_step *step = arg;
    const shape s = get_shape(step);
    const int64_t begin = task * BLOCK, end = tn_min(begin + BLOCK, s.rows);
    float *dy = step->dout[0].data + begin * s.out;
    const float scale[2] = {dropout_scale(step, 1), dropout_scale(step, 0)};
    step->ctx->kernels->relu_gradient((end - begin) * s.out, scale, step->out[0].data + begin * s.out, dy,
                                      dy);
    if (step->din[X].data)
        product(step, begin, end, s.in, s.out, step->dout[0].data, step->scratch, step->din[X].data, NULL,
                false);
}

/* ---- running --------------------------------------------------------------------------------------- */

static void forward(tn_step *step)
{
    const shape s = get_shape(step);
    const float *packed = step->packed;
    if (step->epilogue.dropouts)
        tn_parallel(step->ctx, tn_ceil_div(s.rows, BLOCK), forward_task, step);
    else
        tn_gemm_packed(step->ctx, s.rows, s.out, s.in, step->in[X].data, s.in, packed, step->out[0].data,
                       s.out, packed + tn_packed_floats(step->ctx->kernels, s.in, s.out),
                       step->epilogue.add ? step->epilogue.residual.data : NULL, s.out, step->epilogue.relu);
}

/* dx = dy W, and what gradients() says. */
static void backward(tn_step *step)
{
    const shape s = get_shape(step);
    const float *dy = step->dout[0].data;
    if (step->din[X].data)
        tn_pack_b(step->ctx->kernels, s.out, s.in, step->in[WEIGHT].data, s.in, 1, NULL, step->scratch);
    if (step->epilogue.relu)
        tn_parallel(step->ctx, tn_ceil_div(s.rows, BLOCK), backward_task, step);
    else if (step->din[X].data)
        tn_gemm_packed(step->ctx, s.rows, s.in, s.out, dy, s.out, step->scratch, step->din[X].data, s.in,
                       NULL, NULL, 0, false);
    const tn_gradients g = gradients(step, &s);
    if (step->want[WEIGHT] || step->want[BIAS])
        tn_weight_gradients(step->ctx, &g, step->scratch);
}

static const tn_case cases[] = {
    {"2d", {{2, 6, 5}, {2, 3, 5}, {1, 3}}, NULL, false},
    {"no bias", {{2, 1, 9}, {2, 40, 9}}, NULL, false},
    {"sequence", {{3, 2, 17, 34}, {2, 33, 34}, {1, 33}}, NULL, false},
    {"vector", {{1, 8}, {2, 6, 8}, {1, 6}}, NULL, false},
    {"blocks", {{2, 120, 70}, {2, 66, 70}, {1, 66}}, NULL, false},
    {0},
};

static const tn_layer layers[] = {
    {{"dense1 of a clip", {{3, 1, 498, 34}, {2, 512, 34}, {1, 512}}, NULL, false}, true},
    {{"dense2 of a clip", {{3, 1, 498, 512}, {2, 512, 512}, {1, 512}}, NULL, false}, false},
    {{"dense1 of 128 clips", {{3, 128, 498, 34}, {2, 512, 34}, {1, 512}}, NULL, false}, true},
    {{"dense2 of 128 clips", {{3, 128, 498, 512}, {2, 512, 512}, {1, 512}}, NULL, false}, false},
    {{"305 classes of a clip", {{2, 1, 2048}, {2, 305, 2048}, {1, 305}}, NULL, false}, false},
    {{"3 classes of 32 clips", {{2, 32, 2048}, {2, 3, 2048}, {1, 3}}, NULL, false}, true},
    {{0}, false},
};

const tn_op tn_op_linear = {
    .name = "linear",
    .role = {TN_ROLE_DATA, TN_ROLE_WEIGHT, TN_ROLE_WEIGHT},
    .optional = 1u << BIAS,
    .outputs = 1,
    .keep_in = 1u << X,
    .cases = cases,
    .layers = layers,
    .infer = infer,
    .prepare = prepare,
    .pack = pack,
    .forward = forward,
    .backward = backward,
    .absorb = absorb,
};

tn_var *tn_linear(tn_var *x, tn_var *weight, tn_var *bias)
{
    tn_var *in[TN_MAX_IN] = {x, weight, bias};
    return tn_apply(x->graph, &tn_op_linear, in, NULL);
}
