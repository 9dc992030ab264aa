/* What training and cross-validation share: checks, classes, workers, one pair at a time. */
#include "nn/svm_train.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

nn_svm_params nn_svm_defaults(void)
{
    return (nn_svm_params){.kernel = NN_SVM_RBF,
                           .degree = 3,
                           .cost = 1,
                           .tolerance = 1e-3,
                           .cache_bytes = (size_t)100 << 20,
                           .shrinking = true};
}

tn_status nn_svm_overflow(tn_ctx *ctx)
{
    return tn_fail(ctx, TN_RANGE,
                   "kernel values are too large or not numbers: scale the features, or lower gamma, coef0 or "
                   "the degree");
}

void nn_svm_shuffle(int *item, size_t n, uint64_t seed, uint64_t stream)
{
    for (size_t i = n; i-- > 1;) {
        const uint32_t counter[4] = {(uint32_t)i, (uint32_t)((uint64_t)i >> 32), (uint32_t)stream,
                                     (uint32_t)(stream >> 32)};
        uint32_t word[4];
        tn_philox(seed, counter, word);
        const size_t j = (size_t)((word[0] | (uint64_t)word[1] << 32) % (i + 1));
        const int other = item[j];
        item[j] = item[i];
        item[i] = other;
    }
}

/* ---- checks ---------------------------------------------------------------------------------------- */

static tn_status check_params(tn_ctx *ctx, const nn_svm_params *p)
{
    if (!(p->cost > 0) || !isfinite(p->cost))
        return tn_fail(ctx, TN_RANGE, "cost is %g, expected a number above 0", p->cost);
    if (!(p->gamma >= 0) || !isfinite(p->gamma))
        return tn_fail(ctx, TN_RANGE, "gamma is %g, expected a number of at least 0", p->gamma);
    if (!isfinite(p->coef0))
        return tn_fail(ctx, TN_RANGE, "coef0 is %g, expected a number", p->coef0);
    if (!(p->tolerance > 0) || !isfinite(p->tolerance))
        return tn_fail(ctx, TN_RANGE, "tolerance is %g, expected a number above 0", p->tolerance);
    if (p->degree < 0)
        return tn_fail(ctx, TN_RANGE, "degree is %d, expected at least 0", p->degree);
    if (p->kernel < NN_SVM_LINEAR || p->kernel > NN_SVM_SIGMOID)
        return tn_fail(ctx, TN_RANGE, "there is no kernel %d", (int)p->kernel);
    for (int i = 0; i < p->weight_count; i++)
        if (!(p->weight[i] > 0) || !isfinite(p->weight[i] * p->cost) || !(p->weight[i] * p->cost > 0))
            return tn_fail(ctx, TN_RANGE, "the weight of class %d is %g, expected a number above 0",
                           p->weight_label[i], p->weight[i]);
    return TN_OK;
}

tn_status nn_svm_check_data(tn_ctx *ctx, const nn_svm_data *data)
{
    if (data->rows == 0)
        return tn_fail(ctx, TN_RANGE, "there are no rows to train on");
    if (data->rows >= INT_MAX)
        return tn_fail(ctx, TN_RANGE, "%zu rows; fewer than %d can be trained on", data->rows, INT_MAX);
    for (size_t i = 0; i < data->rows; i++)
        if (!(fabs(data->label[i]) <= INT_MAX) || data->label[i] != floor(data->label[i]))
            return tn_fail(ctx, TN_RANGE, "row %zu: label %g is not a whole number", i + 1, data->label[i]);
    return TN_OK;
}

tn_status nn_svm_check(tn_ctx *ctx, const nn_svm_data *data, const nn_svm_params *params)
{
    TN_TRY(check_params(ctx, params));
    return nn_svm_check_data(ctx, data);
}

/* ---- classes --------------------------------------------------------------------------------------- */

typedef struct labelled {
    int label; /* of a row */
    int row;   /* which */
} labelled;

static int by_label(const void *a, const void *b)
{
    const labelled *x = a, *y = b;
    return x->label != y->label ? (x->label > y->label) - (x->label < y->label)
                                : (x->row > y->row) - (x->row < y->row);
}

/* Fills class_of and returns the number of classes. `item` (rows) is scratch. */
static int number_classes(const nn_svm_data *data, labelled *item, int *class_of)
{
    const size_t n = data->rows;
    for (size_t i = 0; i < n; i++)
        item[i] = (labelled){.label = (int)data->label[i], .row = (int)i};
    qsort(item, n, sizeof *item, by_label);
    /* First the first row of the class, which is at the head of its run; then, from there on, the class. */
    for (size_t i = 0, head = 0; i < n; i++) {
        head = item[i].label == item[head].label ? head : i;
        class_of[item[i].row] = item[head].row;
    }
    int classes = 0;
    for (size_t i = 0; i < n; i++)
        class_of[i] = class_of[i] == (int)i ? classes++ : class_of[class_of[i]];
    return classes;
}

static void largest_two(nn_groups *g)
{
    int most = 0, second = 0;
    for (int c = 0; c < g->classes; c++) {
        const int n = g->first[c + 1] - g->first[c];
        if (n > most) {
            second = most;
            most = n;
        } else if (n > second) {
            second = n;
        }
    }
    g->largest = most + second;
}

void nn_svm_groups_free(tn_ctx *ctx, nn_groups *groups)
{
    tn_free(ctx, groups->label);
    tn_free(ctx, groups->first);
    tn_free(ctx, groups->row);
    tn_free(ctx, groups->class_of);
    *groups = (nn_groups){0};
}

tn_status nn_svm_group(tn_ctx *ctx, const nn_svm_data *data, nn_groups *g)
{
    *g = (nn_groups){0};
    const size_t n = data->rows;
    labelled *item = tn_alloc(ctx, n, sizeof *item);
    g->row = tn_alloc(ctx, n, sizeof *g->row);
    g->class_of = tn_alloc(ctx, n, sizeof *g->class_of);
    if (item && g->row && g->class_of)
        g->classes = number_classes(data, item, g->class_of);
    tn_free(ctx, item);
    if (g->classes == 0)
        return TN_NOMEM;
    if (g->classes == 1)
        return tn_fail(ctx, TN_RANGE, "every row has the label %d; two classes at least are needed",
                       (int)data->label[0]);
    if (g->classes > 46340)
        return tn_fail(ctx, TN_RANGE, "%d classes; their pairs cannot be counted", g->classes);
    g->label = tn_alloc(ctx, (size_t)g->classes, sizeof *g->label);
    g->first = tn_zalloc(ctx, (size_t)g->classes + 2, sizeof *g->first);
    if (!g->label || !g->first)
        return TN_NOMEM;
    for (size_t i = n; i-- > 0;)
        g->label[g->class_of[i]] = (int)data->label[i];
    if (g->classes == 2 && g->label[0] == -1 && g->label[1] == 1) {
        g->label[0] = 1;
        g->label[1] = -1;
        for (size_t i = 0; i < n; i++)
            g->class_of[i] = 1 - g->class_of[i];
    }
    for (size_t i = 0; i < n; i++)
        g->first[g->class_of[i] + 2]++;
    for (int c = 0; c < g->classes; c++)
        g->first[c + 2] += g->first[c + 1];
    for (size_t i = 0; i < n; i++)
        g->row[g->first[g->class_of[i] + 1]++] = (int)i;
    largest_two(g);
    return TN_OK;
}

/* ---- sorting --------------------------------------------------------------------------------------- */

/* `next` has room for all folds and one more. */
static void order_rows(const nn_groups *g, const int *fold, int folds, int *next, int *order)
{
    for (int c = 0; c < g->classes; c++) {
        memset(next, 0, ((size_t)folds + 1) * sizeof *next);
        for (int i = g->first[c]; i < g->first[c + 1]; i++)
            next[(fold ? fold[g->row[i]] : 0) + 1]++;
        next[0] = g->first[c];
        for (int f = 0; f < folds; f++)
            next[f + 1] += next[f];
        for (int i = g->first[c]; i < g->first[c + 1]; i++)
            order[next[(fold ? fold[g->row[i]] : 0)]++] = g->row[i];
    }
}

static tn_status copy_rows(tn_ctx *ctx, const nn_svm_data *data, const int *order, nn_svm_data *out)
{
    out->label = tn_alloc(ctx, data->rows, sizeof *out->label);
    out->start = tn_alloc(ctx, data->rows + 1, sizeof *out->start);
    out->entry = tn_alloc(ctx, data->start[data->rows], sizeof *out->entry);
    if (!out->label || !out->start || !out->entry)
        return TN_NOMEM;
    out->max_index = data->max_index;
    size_t used = 0;
    for (; out->rows < data->rows; out->rows++) {
        const size_t from = (size_t)order[out->rows];
        const nn_svm_vector x = nn_svm_row(data, from);
        out->label[out->rows] = data->label[from];
        out->start[out->rows] = used;
        for (size_t e = 0; e < x.count; e++)
            out->entry[used++] = x.entry[e];
    }
    out->start[out->rows] = used;
    return TN_OK;
}

tn_status nn_svm_sort(tn_ctx *ctx, const nn_svm_data *data, const int *fold, int folds, int *order,
                      nn_svm_data *out)
{
    nn_groups groups = {0};
    int *next = tn_alloc(ctx, (size_t)folds + 1, sizeof *next);
    tn_status status = next ? nn_svm_group(ctx, data, &groups) : TN_NOMEM;
    if (status == TN_OK) {
        order_rows(&groups, fold, folds, next, order);
        status = copy_rows(ctx, data, order, out);
    }
    tn_free(ctx, next);
    nn_svm_groups_free(ctx, &groups);
    return status;
}

/* ---- jobs ------------------------------------------------------------------------------------------ */

nn_svm_kernel_params nn_svm_job_kernel(const nn_svm_data *data, nn_svm_kernel kernel, int degree,
                                       double gamma, double coef0)
{
    nn_svm_kernel_params k = {.kernel = kernel};
    if (kernel != NN_SVM_LINEAR)
        k.gamma = gamma > 0 ? gamma : data->max_index > 0 ? 1.0 / data->max_index : 0;
    if (kernel == NN_SVM_POLYNOMIAL)
        k.degree = degree;
    if (kernel == NN_SVM_POLYNOMIAL || kernel == NN_SVM_SIGMOID)
        k.coef0 = coef0;
    return k;
}

static tn_status take_weights(tn_ctx *ctx, nn_svm_job *job)
{
    const nn_groups *g = &job->groups;
    job->weight = tn_alloc(ctx, (size_t)g->classes, sizeof *job->weight);
    if (!job->weight)
        return TN_NOMEM;
    for (int c = 0; c < g->classes; c++)
        job->weight[c] = 1;
    for (int i = 0; i < job->params->weight_count; i++) {
        int c = 0;
        while (c < g->classes && g->label[c] != job->params->weight_label[i])
            c++;
        if (c == g->classes)
            return tn_fail(ctx, TN_RANGE, "there is a weight for class %d, but no row has that label",
                           job->params->weight_label[i]);
        job->weight[c] *= job->params->weight[i];
    }
    return TN_OK;
}

tn_status nn_svm_job_create(tn_ctx *ctx, const nn_svm_data *data, const nn_svm_params *params,
                            nn_svm_job *out)
{
    memset(out, 0, sizeof *out);
    out->data = data;
    out->params = params;
    TN_TRY(nn_svm_check(ctx, data, params));
    TN_TRY(nn_svm_group(ctx, data, &out->groups));
    TN_TRY(take_weights(ctx, out));
    TN_TRY(nn_gram_create(ctx, data, &out->gram));
    out->gram.kernel = nn_svm_job_kernel(data, params->kernel, params->degree, params->gamma, params->coef0);
    return TN_OK;
}

void nn_svm_job_free(tn_ctx *ctx, nn_svm_job *job)
{
    for (int i = 0; job->worker && i < job->worker_count; i++) {
        nn_svm_worker *w = &job->worker[i];
        nn_smo_destroy(ctx, w->smo);
        tn_free(ctx, w->row);
        tn_free(ctx, w->y);
        tn_free(ctx, w->alpha);
        tn_free(ctx, w->solution);
        tn_free(ctx, w->rho);
        tn_free(ctx, w->dots);
        tn_free(ctx, w->kernel);
    }
    tn_free(ctx, job->worker);
    tn_free(ctx, job->worker_of);
    tn_free(ctx, job->weight);
    nn_svm_groups_free(ctx, &job->groups);
    nn_gram_free(ctx, &job->gram);
}

static tn_status make_worker(tn_ctx *ctx, const nn_svm_job *job, size_t cache_bytes, size_t chain,
                             nn_svm_worker *w)
{
    const size_t n = job->data->rows, room = (size_t)job->groups.largest;
    size_t numbers;
    if (!tn_mul_size(room, chain, &numbers))
        return tn_fail(ctx, TN_NOMEM, "no memory for %zu solutions of %zu rows", chain, room);
    TN_TRY(nn_smo_create(ctx, job->groups.largest, n, cache_bytes, chain > 0, &w->smo));
    w->row = tn_alloc(ctx, n, sizeof *w->row);
    w->y = tn_alloc(ctx, room, sizeof *w->y);
    w->alpha = tn_alloc(ctx, room, sizeof *w->alpha);
    w->dots = tn_alloc(ctx, n, sizeof *w->dots);
    w->kernel = tn_alloc(ctx, n, sizeof *w->kernel);
    if (!w->row || !w->y || !w->alpha || !w->dots || !w->kernel)
        return TN_NOMEM;
    if (chain == 0)
        return TN_OK;
    w->solution = tn_alloc(ctx, numbers, sizeof *w->solution);
    w->rho = tn_alloc(ctx, chain, sizeof *w->rho);
    return w->solution && w->rho ? TN_OK : TN_NOMEM;
}

tn_status nn_svm_job_hire(tn_ctx *ctx, nn_svm_job *job, int64_t tasks, size_t cache_bytes, size_t chain)
{
    const int threads = tn_threads(ctx);
    job->worker_count = tasks < threads ? (int)tasks : threads;
    job->worker = tn_zalloc(ctx, (size_t)job->worker_count, sizeof *job->worker);
    job->worker_of = tn_alloc(ctx, (size_t)threads, sizeof *job->worker_of);
    if (!job->worker || !job->worker_of)
        return TN_NOMEM;
    for (int i = 0; i < job->worker_count; i++)
        TN_TRY(make_worker(ctx, job, cache_bytes / (size_t)job->worker_count, chain, &job->worker[i]));
    return TN_OK;
}

void nn_svm_job_run(tn_ctx *ctx, nn_svm_job *job, int64_t tasks, tn_task_fn fn, void *arg)
{
    for (int t = 0; t < tn_threads(ctx); t++)
        job->worker_of[t] = -1;
    atomic_store(&job->workers_taken, 0);
    tn_parallel(ctx, tasks, fn, arg);
}

nn_svm_worker *nn_svm_job_worker(nn_svm_job *job, int thread)
{
    /* Each thread writes its own entry only, and no more threads than tasks ever come. */
    if (job->worker_of[thread] < 0)
        job->worker_of[thread] = atomic_fetch_add(&job->workers_taken, 1);
    return &job->worker[job->worker_of[thread]];
}

/* ---- one pair -------------------------------------------------------------------------------------- */

nn_smo_result nn_svm_solve_pair(const nn_svm_job *job, nn_svm_worker *w, int a, int b, const int *fold,
                                int held, double cost, int *count)
{
    const nn_groups *g = &job->groups;
    int n = 0, of[2];
    for (int side = 0; side < 2; side++) {
        const int c = side ? b : a, before = n;
        for (int i = g->first[c]; i < g->first[c + 1]; i++)
            if (!fold || fold[g->row[i]] != held) {
                w->row[n] = g->row[i];
                w->y[n++] = side ? -1 : 1;
            }
        of[side] = n - before;
    }
    *count = n;
    if (of[0] == 0 || of[1] == 0)
        return (nn_smo_result){.rho = of[0] ? -1 : of[1] ? 1 : 0, .converged = true, .finite = true};
    /* Jumps come nearer to the optimum at hardly a cost, so that where a chain began makes no difference. */
    const bool jumping = w->solution != NULL;
    const nn_smo_problem problem = {.gram = &job->gram,
                                    .row = w->row,
                                    .y = w->y,
                                    .count = n,
                                    .cost = {cost * job->weight[a], cost * job->weight[b]},
                                    .tolerance = job->params->tolerance * (jumping ? 0.01 : 1),
                                    .shrinking = job->params->shrinking,
                                    .jumping = jumping};
    return nn_smo_solve(w->smo, &problem, w->alpha);
}
