/* How near the core's peak products come: a square one by libtensor's kernels and by OpenBLAS, in turns, and
 * two convolutions that leave nothing out and whose operands stay in the second-level cache. */
#include "apps/common/bench.h"

#include <cblas.h>

#include <stdio.h>
#include <string.h>

enum { LAYERS = 3 };

/* One layer of libtensor, y = x * weight. */
typedef struct layer {
    const char *op, *label; /* for the row */
    int rank;               /* 2: linear, 5: convolution with stride 2 unless its kernel is one pixel */
    int repeats;            /* of a timed run, so that operands are in the cache for most of it */
    int64_t x[5];           /* sizes of the input */
    int64_t weight[5];      /* of the weight */
    tn_graph *graph;        /* owned */
    tn_plan *plan;          /* owned */
} layer;

/* Operands for OpenBLAS. */
typedef struct blas {
    tn_ctx *ctx;      /* borrowed */
    int size;         /* rows and columns */
    float *a, *b, *c; /* size x size each; owned */
    char name[48];    /* for the row: "square, kernels for Haswell" */
} blas;

static tn_status run_layer(void *arg)
{
    const layer *l = arg;
    for (int i = 0; i < l->repeats; i++)
        tn_plan_forward(l->plan);
    return TN_OK;
}

/* With the context's threads; libtensor wants it to have one. */
static tn_status run_blas(void *arg)
{
    const blas *b = arg;
    const int n = b->size;
    openblas_set_num_threads(tn_threads(b->ctx));
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, n, n, n, 1, b->a, n, b->b, n, 0, b->c, n);
    openblas_set_num_threads(1);
    return TN_OK;
}

static tn_var *apply(const layer *l, tn_var *x, tn_var *weight)
{
    const int stride = l->weight[2] > 1 ? 2 : 1;
    return l->rank == 2 ? tn_linear(x, weight, NULL)
                        : tn_conv3d(x, weight, NULL, (tn_conv3d_attr){{stride, stride, stride}, {0, 0, 0}});
}

static tn_status open_layer(tn_ctx *ctx, layer *l)
{
    TN_TRY(tn_graph_create(ctx, &l->graph));
    tn_var *x = tn_input(l->graph, "x", l->rank, l->x);
    tn_var *weight = tn_param(l->graph, "weight", l->rank, l->weight);
    TN_TRY(tn_graph_check(l->graph));
    const tn_tensor w = tn_value(weight);
    if (!w.data)
        return TN_NOMEM;
    tn_fill_uniform(w.data, (size_t)tn_numel(&w), 1, tn_hash("weight"), -1, 1);
    tn_output(apply(l, x, weight), "y");
    tn_input_shape shape = {.name = "x"};
    memcpy(shape.size, l->x, sizeof l->x);
    const tn_plan_options options = {.mode = TN_INFERENCE};
    TN_TRY(tn_plan_create(l->graph, &options, &shape, 1, &l->plan));
    const tn_tensor value = tn_plan_value(l->plan, x);
    tn_fill_uniform(value.data, (size_t)tn_numel(&value), 1, tn_hash("x"), -1, 1);
    return TN_OK;
}

static void close_layer(layer *l)
{
    tn_plan_destroy(l->plan);
    tn_graph_destroy(l->graph);
}

static tn_status open_blas(tn_ctx *ctx, int size, blas *b)
{
    const size_t n = (size_t)size * (size_t)size;
    *b = (blas){.ctx = ctx, .size = size, .a = tn_alloc(ctx, 3 * n, sizeof *b->a)};
    if (!b->a)
        return TN_NOMEM;
    b->b = b->a + n;
    b->c = b->b + n;
    tn_fill_uniform(b->a, 2 * n, 1, tn_hash("x"), -1, 1);
    snprintf(b->name, sizeof b->name, "square, kernels for %s", openblas_get_corename());
    return TN_OK;
}

static tn_status add_row(tn_ctx *ctx, const layer *l, const char *op, const char *label,
                         const bench_times *times, int repeats, bench_result *out)
{
    const tn_step_info step = tn_plan_step(l->plan, 0);
    bench_row row = {.op = op,
                     .pass = "answer",
                     .seconds = times->seconds / repeats,
                     .cpu = times->cpu / repeats,
                     .flops = step.flops};
    snprintf(row.label, sizeof row.label, "%s", label);
    bench_row_shapes(&row, &step);
    return bench_add_row(ctx, out, &row);
}

static tn_status measure(tn_ctx *ctx, const bench_options *o, layer *l, blas *b, bench_result *out)
{
    bench_turn turn[LAYERS + 1] = {{.run = run_blas, .arg = b}};
    TN_TRY(open_blas(ctx, o->size, b));
    for (int i = 0; i < LAYERS; i++) {
        TN_TRY(open_layer(ctx, &l[i]));
        turn[i + 1] = (bench_turn){.run = run_layer, .arg = &l[i]};
    }
    TN_TRY(bench_time_turns(ctx, o, turn, LAYERS + 1));
    for (int i = 0; i < LAYERS; i++)
        TN_TRY(add_row(ctx, &l[i], l[i].op, l[i].label, &turn[i + 1].times, l[i].repeats, out));
    TN_TRY(add_row(ctx, &l[0], "OpenBLAS", b->name, &turn[0].times, 1, out));
    out->times = turn[1].times;
    out->flops = out->row[0].flops;
    snprintf(out->work, sizeof out->work, "%d x %d times %d x %d by libtensor", o->size, o->size, o->size,
             o->size);
    return TN_OK;
}

tn_status bench_gemm(tn_ctx *ctx, const bench_options *o, bench_result *out)
{
    const int n = o->size;
    layer l[LAYERS] = {
        {"linear", "square, packed once", 2, 1, {n, n}, {n, n}, NULL, NULL},
        {"conv3d", "inner loop, 1x1x1", 5, 20, {1, 256, 2, 14, 14}, {1024, 256, 1, 1, 1}, NULL, NULL},
        {"conv3d", "inner loop, 3x3x3 stride 2", 5, 2, {1, 128, 9, 57, 57}, {128, 128, 3, 3, 3}, NULL, NULL},
    };
    blas b = {0};
    const tn_status status = measure(ctx, o, l, &b, out);
    tn_free(ctx, b.a);
    for (int i = 0; i < LAYERS; i++)
        close_layer(&l[i]);
    return status;
}
