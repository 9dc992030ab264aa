/* Benchmarks of the fusion: its grid search, and one fit, on scores like those of the two networks. */
#include "apps/common/bench.h"
#include "apps/common/svm_grid.h"
#include "nn/nn.h"

#include <math.h>
#include <stdio.h>

enum { CLASSES = 3, WIDTH = 2 * CLASSES, FOLDS = 5 };

typedef struct fusion_work {
    tn_ctx *ctx;      /* borrowed */
    nn_svm_data data; /* owned */
    int *fold;        /* of each row; owned */
    svm_grid grid;    /* owned */
    size_t best;      /* point of it, of the last run */
} fusion_work;

/* ---- rows ------------------------------------------------------------------------------------------ */

/* Box and Muller 1958. */
static double normal(uint64_t i)
{
    const uint64_t stream = tn_hash("scores");
    const double u = 1 - (double)tn_uniform(1, stream, 2 * i), v = (double)tn_uniform(1, stream, 2 * i + 1);
    return sqrt(-2 * log(u)) * cos(2 * acos(-1) * v);
}

/* Softmax of three normal numbers; the one of the right class is lifted. */
static void make_scores(uint64_t row, int label, double spread, double lift, double out[CLASSES])
{
    double sum = 0;
    for (int c = 0; c < CLASSES; c++) {
        out[c] = exp(normal(row * CLASSES + (uint64_t)c) * spread + (c == label ? lift : 0));
        sum += out[c];
    }
    for (int c = 0; c < CLASSES; c++)
        out[c] /= sum;
}

/* Class sizes are in the ratio of VGAF's training set, 802, 923 and 936 of 2661; video is right in about 70
 * of 100 rows, audio in 56. tests/bench/grid.py draws from the same distributions. */
static tn_status make_rows(fusion_work *w, size_t rows)
{
    double *value = tn_alloc(w->ctx, rows * WIDTH, sizeof *value);
    int *label = tn_alloc(w->ctx, rows, sizeof *label);
    tn_status status = value && label ? TN_OK : TN_NOMEM;
    for (size_t i = 0; status == TN_OK && i < rows; i++) {
        const size_t at = i * 2661 / rows;
        const int c = at < 802 ? 0 : at < 802 + 923 ? 1 : 2;
        label[i] = c + 1;
        make_scores(2 * i, c, 1.0, 1.2, value + i * WIDTH);
        make_scores(2 * i + 1, c, 0.8, 0.6, value + i * WIDTH + CLASSES);
    }
    if (status == TN_OK)
        status = nn_svm_data_from(w->ctx, value, label, rows, WIDTH, &w->data);
    tn_free(w->ctx, label);
    tn_free(w->ctx, value);
    return status;
}

static void close_work(fusion_work *w)
{
    svm_grid_free(w->ctx, &w->grid);
    tn_free(w->ctx, w->fold);
    nn_svm_data_free(w->ctx, &w->data);
}

/* ---- grid ------------------------------------------------------------------------------------------ */

/* Nine C from 2^-5 to 2^11 and five gammas from 2^-9 to 2^-1 for each of two polynomials and RBF. */
static tn_status open_grid(tn_ctx *ctx, const bench_options *o, fusion_work *w)
{
    *w = (fusion_work){.ctx = ctx,
                       .grid = {.c = {-5, 11, 2, 9},
                                .g = {-9, -1, 2, 5},
                                .kernel = {NN_SVM_POLYNOMIAL, NN_SVM_RBF},
                                .kernels = 2,
                                .degree = {2, 3},
                                .degrees = 2}};
    TN_TRY(make_rows(w, (size_t)o->rows));
    w->fold = tn_alloc(ctx, w->data.rows, sizeof *w->fold);
    if (!w->fold)
        return TN_NOMEM;
    TN_TRY(nn_svm_folds_stratified(ctx, &w->data, FOLDS, 0, w->fold));
    return svm_grid_points(ctx, &w->grid);
}

static tn_status search(void *arg)
{
    fusion_work *w = arg;
    const nn_svm_params params = nn_svm_defaults();
    return nn_svm_grid(w->ctx, &w->data, &params, w->fold, w->grid.point, w->grid.count, &w->best);
}

tn_status bench_grid(tn_ctx *ctx, const bench_options *o, bench_result *out)
{
    fusion_work w;
    tn_status status = open_grid(ctx, o, &w);
    if (status == TN_OK)
        status = bench_time(ctx, o, search, &w, &out->times);
    if (status == TN_OK) {
        const nn_svm_point *best = &w.grid.point[w.best];
        snprintf(out->work, sizeof out->work,
                 "a grid of %zu points in %d folds on %zu rows of %d scores, at best %lld right",
                 w.grid.count, FOLDS, w.data.rows, WIDTH, (long long)best->correct);
    }
    close_work(&w);
    return status;
}

/* ---- one fit --------------------------------------------------------------------------------------- */

static tn_status fit(void *arg)
{
    fusion_work *w = arg;
    nn_svm_params params = nn_svm_defaults();
    params.kernel = NN_SVM_RBF;
    params.gamma = 0.5;
    params.cost = 32;
    nn_svm *svm = NULL;
    const tn_status status = nn_svm_train(w->ctx, &w->data, &params, &svm, NULL);
    w->best = status == TN_OK ? (size_t)nn_svm_vectors(svm) : 0;
    nn_svm_destroy(w->ctx, svm);
    return status;
}

tn_status bench_svm(tn_ctx *ctx, const bench_options *o, bench_result *out)
{
    fusion_work w = {.ctx = ctx};
    tn_status status = make_rows(&w, (size_t)o->rows);
    if (status == TN_OK)
        status = bench_time(ctx, o, fit, &w, &out->times);
    if (status == TN_OK)
        snprintf(out->work, sizeof out->work,
                 "a machine fitted to %zu rows of %d scores, %zu support vectors", w.data.rows, WIDTH,
                 w.best);
    close_work(&w);
    return status;
}
