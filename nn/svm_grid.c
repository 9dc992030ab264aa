/* Cross-validation of support vector machines, of one set of parameters or of a grid of them. */
#include "nn/svm_train.h"

#include <string.h>

/* Points of one kernel at work; a task is one of them and a fold. */
typedef struct validator {
    nn_svm_job job;     /* data, classes, workers */
    const int *fold;    /* rows */
    int folds;          /* the largest + 1 */
    const double *cost; /* of each point */
    int *predicted;     /* rows: labels, or NULL */
    int64_t *correct;   /* a task's: rows predicted right; -1: kernel values are not finite */
    double *matrix;     /* rows x rows: kernel values of all points, or NULL where there is no room */
} validator;

/* ---- one fold -------------------------------------------------------------------------------------- */

/* Trains all pairs without the fold, into worker->coef, rho and present. */
static bool train_fold(validator *v, nn_svm_worker *w, int held, double cost)
{
    const nn_groups *g = &v->job.groups;
    const int k = g->classes;
    memset(w->coef, 0, v->job.data->rows * (size_t)(k - 1) * sizeof *w->coef);
    memset(w->present, 0, (size_t)k * sizeof *w->present);
    for (size_t i = 0; i < v->job.data->rows; i++)
        w->present[g->class_of[i]] += v->fold[i] != held;
    for (int a = 0, p = 0; a < k; a++)
        for (int b = a + 1; b < k; b++, p++) {
            if (!w->present[a] || !w->present[b])
                continue;
            int count;
            const nn_smo_result result = nn_svm_solve_pair(&v->job, w, a, b, v->fold, held, cost, &count);
            if (!result.finite)
                return false;
            w->rho[p] = result.rho;
            for (int i = 0; i < count; i++)
                w->coef[(size_t)w->row[i] * (size_t)(k - 1) + (size_t)(w->y[i] > 0 ? b - 1 : a)] =
                    w->y[i] * w->alpha[i];
        }
    return true;
}

/* Support vectors, class behind class, into worker->row. */
static int list_vectors(const validator *v, nn_svm_worker *w)
{
    const nn_groups *g = &v->job.groups;
    const size_t others = (size_t)g->classes - 1;
    int vectors = 0;
    for (size_t i = 0; i < v->job.data->rows; i++) {
        const double *coef = w->coef + (size_t)g->row[i] * others;
        bool any = false;
        for (size_t o = 0; o < others; o++)
            any |= coef[o] != 0;
        if (any)
            w->row[vectors++] = g->row[i];
    }
    return vectors;
}

/* The class of a row: decision values as in nn_svm_decide(), votes of the pairs that there are. */
static int classify(const validator *v, nn_svm_worker *w, int row, int vectors)
{
    const nn_groups *g = &v->job.groups;
    const int k = g->classes, pairs = nn_svm_pair_count(k);
    memset(w->decision, 0, (size_t)pairs * sizeof *w->decision);
    nn_gram_row(&v->job.gram, row, w->row, vectors, w->dots, w->kernel);
    for (int n = 0; n < vectors; n++) {
        const double *coef = w->coef + (size_t)w->row[n] * (size_t)(k - 1), value = w->kernel[n];
        const int c = g->class_of[w->row[n]];
        for (int i = 0; i < c; i++)
            w->decision[nn_svm_pair_index(k, i, c)] += coef[i] * value;
        for (int j = c + 1; j < k; j++)
            w->decision[nn_svm_pair_index(k, c, j)] += coef[j - 1] * value;
    }
    int winner = 0, most = -1;
    for (int c = 0; c < k; c++) {
        int votes = 0;
        for (int o = 0; o < k; o++) {
            if (o == c || !w->present[o])
                continue;
            const int p = c < o ? nn_svm_pair_index(k, c, o) : nn_svm_pair_index(k, o, c);
            votes += (w->decision[p] - w->rho[p] > 0) == (c < o);
        }
        if (w->present[c] && votes > most) {
            winner = c;
            most = votes;
        }
    }
    return winner;
}

static void validate_fold(void *arg, int64_t task, int thread)
{
    validator *v = arg;
    const nn_groups *g = &v->job.groups;
    const int held = (int)(task % v->folds);
    nn_svm_worker *w = nn_svm_job_worker(&v->job, thread);
    v->correct[task] = -1;
    if (!train_fold(v, w, held, v->cost[task / v->folds]))
        return;
    const int vectors = list_vectors(v, w);
    int64_t correct = 0;
    for (size_t i = 0; i < v->job.data->rows; i++) {
        if (v->fold[i] != held)
            continue;
        const int c = classify(v, w, (int)i, vectors);
        correct += c == g->class_of[i];
        if (v->predicted)
            v->predicted[i] = g->label[c];
    }
    v->correct[task] = correct;
}

/* ---- all folds ------------------------------------------------------------------------------------- */

static tn_status check_folds(tn_ctx *ctx, const int *fold, size_t rows, int *folds)
{
    bool differ = false;
    *folds = 0;
    for (size_t i = 0; i < rows; i++) {
        if (fold[i] < 0 || (size_t)fold[i] >= rows)
            return tn_fail(ctx, TN_RANGE, "row %zu is in fold %d, expected 0 to %zu", i + 1, fold[i],
                           rows - 1);
        differ |= fold[i] != fold[0];
        if (fold[i] >= *folds)
            *folds = fold[i] + 1;
    }
    return differ ? TN_OK : tn_fail(ctx, TN_RANGE, "one fold holds every row: nothing is left to train on");
}

/* Everything for up to `points` points of one kernel at a time. */
static tn_status validator_create(tn_ctx *ctx, const nn_svm_data *data, const nn_svm_params *params,
                                  const int *fold, size_t points, validator *v)
{
    *v = (validator){.fold = fold};
    TN_TRY(nn_svm_job_create(ctx, data, params, &v->job));
    TN_TRY(check_folds(ctx, fold, data->rows, &v->folds));
    size_t tasks, cells, bytes, cache = params->cache_bytes;
    if (!tn_mul_size(points, (size_t)v->folds, &tasks) || tasks > INT64_MAX / sizeof *v->correct)
        return tn_fail(ctx, TN_RANGE, "%zu points with %d folds are too many", points, v->folds);
    v->correct = tn_alloc(ctx, tasks, sizeof *v->correct);
    if (!v->correct)
        return TN_NOMEM;
    /* The matrix of kernel values, where three quarters of the memory hold it, serves all points and folds.
     */
    if (tn_mul_size(data->rows, data->rows, &cells) && tn_mul_size(cells, sizeof *v->matrix, &bytes) &&
        bytes <= cache / 4 * 3) {
        v->matrix = tn_alloc(ctx, cells, sizeof *v->matrix);
        if (!v->matrix)
            return TN_NOMEM;
        cache -= bytes;
    }
    return nn_svm_job_hire(ctx, &v->job, (int64_t)tasks, cache, true);
}

static void validator_free(tn_ctx *ctx, validator *v)
{
    v->job.gram.matrix = NULL;
    nn_svm_job_free(ctx, &v->job);
    tn_free(ctx, v->correct);
    tn_free(ctx, v->matrix);
}

/* Every worker_count-th row of the matrix. */
static void fill_rows(void *arg, int64_t task, int thread)
{
    validator *v = arg;
    nn_svm_worker *w = nn_svm_job_worker(&v->job, thread);
    const int rows = (int)v->job.data->rows;
    for (int i = 0; i < rows; i++)
        w->row[i] = i;
    for (int i = (int)task; i < rows; i += v->job.worker_count)
        nn_gram_row(&v->job.gram, i, w->row, rows, w->dots, v->matrix + (size_t)i * (size_t)rows);
}

/* Sets `correct` of each task of these costs. */
static void validate(tn_ctx *ctx, validator *v, const nn_svm_kernel_params *kernel, const double *cost,
                     size_t count)
{
    v->job.gram.kernel = *kernel;
    v->job.gram.matrix = NULL;
    v->cost = cost;
    if (v->matrix) {
        nn_svm_job_run(ctx, &v->job, v->job.worker_count, fill_rows, v);
        v->job.gram.matrix = v->matrix;
    }
    nn_svm_job_run(ctx, &v->job, (int64_t)count * v->folds, validate_fold, v);
}

static int64_t sum_correct(const validator *v, size_t point)
{
    int64_t sum = 0;
    for (int f = 0; f < v->folds; f++) {
        const int64_t correct = v->correct[point * (size_t)v->folds + (size_t)f];
        if (correct < 0)
            return -1;
        sum += correct;
    }
    return sum;
}

tn_status nn_svm_cross_validate(tn_ctx *ctx, const nn_svm_data *data, const nn_svm_params *params,
                                const int *fold, int *predicted)
{
    validator v;
    tn_status status = validator_create(ctx, data, params, fold, 1, &v);
    if (status == TN_OK) {
        const nn_svm_kernel_params kernel = v.job.gram.kernel;
        v.predicted = predicted;
        validate(ctx, &v, &kernel, &params->cost, 1);
        status = sum_correct(&v, 0) >= 0 ? TN_OK : nn_svm_overflow(ctx);
    }
    validator_free(ctx, &v);
    return status;
}

/* ---- grid ------------------------------------------------------------------------------------------ */

static nn_svm_kernel_params kernel_of(const nn_svm_data *data, const nn_svm_params *params,
                                      const nn_svm_point *point)
{
    return nn_svm_job_kernel(data, point->kernel, point->degree, point->gamma, params->coef0);
}

static bool same_kernel(const nn_svm_kernel_params *a, const nn_svm_kernel_params *b)
{
    return a->kernel == b->kernel && a->degree == b->degree && a->gamma == b->gamma && a->coef0 == b->coef0;
}

/* Whether a is to be preferred to b, which comes before it. */
static bool is_better(const nn_svm_point *a, const nn_svm_point *b)
{
    if (a->correct != b->correct)
        return a->correct > b->correct;
    if (a->cost != b->cost)
        return a->cost < b->cost;
    if (a->kernel != b->kernel)
        return a->kernel < b->kernel;
    if (a->degree != b->degree)
        return a->degree < b->degree;
    return a->gamma < b->gamma;
}

static tn_status check_points(tn_ctx *ctx, const nn_svm_data *data, const nn_svm_params *params,
                              const nn_svm_point *points, size_t count)
{
    if (count == 0)
        return tn_fail(ctx, TN_RANGE, "the grid has no points");
    for (size_t i = 0; i < count; i++) {
        nn_svm_params at = *params;
        at.kernel = points[i].kernel;
        at.degree = points[i].degree;
        at.gamma = points[i].gamma;
        at.cost = points[i].cost;
        TN_TRY(nn_svm_check(ctx, data, &at));
    }
    return TN_OK;
}

/* Validates the points that have the kernel of points[from] and returns how many these are; `cost` and
 * `place` have room for all. */
static size_t validate_like(tn_ctx *ctx, validator *v, nn_svm_point *points, size_t count, size_t from,
                            double *cost, size_t *place)
{
    const nn_svm_kernel_params kernel = kernel_of(v->job.data, v->job.params, &points[from]);
    size_t n = 0;
    for (size_t i = from; i < count; i++) {
        const nn_svm_kernel_params other = kernel_of(v->job.data, v->job.params, &points[i]);
        if (same_kernel(&kernel, &other)) {
            cost[n] = points[i].cost;
            place[n++] = i;
        }
    }
    validate(ctx, v, &kernel, cost, n);
    for (size_t i = 0; i < n; i++)
        points[place[i]].correct = sum_correct(v, i);
    return n;
}

tn_status nn_svm_grid(tn_ctx *ctx, const nn_svm_data *data, const nn_svm_params *params, const int *fold,
                      nn_svm_point *points, size_t count, size_t *best)
{
    TN_TRY(check_points(ctx, data, params, points, count));
    enum { NOT_YET = -2 };
    validator v;
    tn_status status = validator_create(ctx, data, params, fold, count, &v);
    double *cost = tn_alloc(ctx, count, sizeof *cost);
    size_t *place = tn_alloc(ctx, count, sizeof *place);
    if (status == TN_OK && (!cost || !place))
        status = TN_NOMEM;
    if (status == TN_OK) {
        for (size_t i = 0; i < count; i++)
            points[i].correct = NOT_YET;
        size_t done = 0;
        for (size_t i = 0; i < count; i++) {
            if (points[i].correct != NOT_YET)
                continue;
            done += validate_like(ctx, &v, points, count, i, cost, place);
            if (params->progress)
                params->progress(params->progress_arg, done, count);
        }
        *best = 0;
        for (size_t i = 1; i < count; i++)
            if (is_better(&points[i], &points[*best]))
                *best = i;
        if (points[*best].correct < 0)
            status = nn_svm_overflow(ctx);
    }
    tn_free(ctx, place);
    tn_free(ctx, cost);
    validator_free(ctx, &v);
    return status;
}
