/* Cross-validation of support vector machines, of one set of parameters or of a grid of them. */
#include "nn/smo_loops.h"
#include "nn/svm_train.h"

#include <float.h>
#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/* Links of a chain, and what the costs of the first that follows another and of any may differ by: rounding
 * errors of the slopes grow with the cost. */
enum { MOST_CHAIN = 32, MOST_FACTOR = 1 << 20 };

/* Points of one kernel at work. A task is a pair of classes, a fold that is held out, and a chain of rising
 * costs: each problem begins where the one before it ended, with the same kernel values. */
typedef struct validator {
    nn_svm_job job;            /* data, classes, workers */
    const nn_smo_loops *loops; /* for the instruction set */
    nn_svm_data data;          /* the caller's rows, sorted by class, then fold */
    int *order;                /* rows: which of the caller's each one is */
    int *fold;                 /* rows */
    int folds;                 /* the largest + 1 */
    int pairs;                 /* of classes */
    const double *cost;        /* of each point, rising */
    size_t count;              /* points */
    signed char *vote;         /* points x pairs x rows: whether the row is of the pair's first class */
    bool *finite;              /* points x pairs x folds: whether kernel values were */
    int *present;              /* folds x classes: rows of each class that are trained on */
    float *table;              /* rows x rows: kernel values of all points, or NULL where there is no room */
    atomic_bool overflow;      /* some of these are no floats */
} validator;

/* ---- one chain ------------------------------------------------------------------------------------- */

static signed char *votes_of(const validator *v, size_t point, int pair)
{
    return v->vote + (point * (size_t)v->pairs + (size_t)pair) * v->job.data->rows;
}

/* Keeps y a of the problem's rows. */
static void keep(nn_svm_worker *w, int count, size_t link, double rho)
{
    double *solution = w->solution + link * (size_t)count;
    for (int i = 0; i < count; i++)
        solution[i] = w->y[i] * w->alpha[i];
    w->rho[link] = rho;
}

/* Solves the pair at `links` costs; returns the rows of the problem, and in *solved how many problems were
 * solved before one had kernel values that are not finite. */
static int solve_chain(const validator *v, nn_svm_worker *w, int a, int b, int held, const double *cost,
                       size_t links, size_t *solved)
{
    int count;
    double begin = cost[0];
    nn_smo_result result = nn_svm_solve_pair(&v->job, w, a, b, v->fold, held, begin, &count);
    for (*solved = 0; result.finite;) {
        keep(w, count, (*solved)++, result.rho);
        if (*solved == links)
            break;
        const double now = cost[*solved];
        if (now / begin <= MOST_FACTOR) {
            result = nn_smo_solve_scaled(w->smo, now / cost[*solved - 1], w->alpha);
        } else {
            begin = now;
            result = nn_svm_solve_pair(&v->job, w, a, b, v->fold, held, begin, &count);
        }
    }
    return count;
}

/* Decides the held rows with every solution of the chain. */
static void decide(const validator *v, nn_svm_worker *w, int pair, int held, size_t first, size_t links,
                   int count)
{
    for (size_t i = 0; i < v->job.data->rows; i++) {
        if (v->fold[i] != held)
            continue;
        nn_gram_row(&v->job.gram, (int)i, w->row, count, w->dots, w->kernel);
        for (size_t n = 0; n < links; n++) {
            const double *solution = w->solution + n * (size_t)count;
            votes_of(v, first + n, pair)[i] = v->loops->dot(solution, w->kernel, count) - w->rho[n] > 0;
        }
    }
}

static void find_classes(int pair, int classes, int *a, int *b)
{
    *a = 0;
    for (int row = classes - 1; pair >= row; pair -= row--)
        ++*a;
    *b = *a + 1 + pair;
}

static void validate_chain(void *arg, int64_t task, int thread)
{
    validator *v = arg;
    const int held = (int)(task % v->folds), pair = (int)(task / v->folds % v->pairs);
    const size_t first = (size_t)(task / v->folds / v->pairs) * MOST_CHAIN, left = v->count - first,
                 links = left < MOST_CHAIN ? left : MOST_CHAIN;
    const int *present = v->present + (size_t)held * (size_t)v->job.groups.classes;
    int a, b;
    size_t solved = links;
    find_classes(pair, v->job.groups.classes, &a, &b);
    if (present[a] && present[b]) {
        nn_svm_worker *w = nn_svm_job_worker(&v->job, thread);
        const int count = solve_chain(v, w, a, b, held, v->cost + first, links, &solved);
        decide(v, w, pair, held, first, solved, count);
    }
    for (size_t n = 0; n < links; n++)
        v->finite[((first + n) * (size_t)v->pairs + (size_t)pair) * (size_t)v->folds + (size_t)held] =
            n < solved;
}

/* ---- votes ----------------------------------------------------------------------------------------- */

/* The class of a row: most votes of the pairs that there are, of equals the first. */
static int classify(const validator *v, size_t point, size_t row)
{
    const int k = v->job.groups.classes, *present = v->present + (size_t)v->fold[row] * (size_t)k;
    int winner = 0, most = -1;
    for (int c = 0; c < k; c++) {
        int votes = 0;
        for (int o = 0; o < k; o++) {
            if (o == c || !present[o] || !present[c])
                continue;
            const int p = c < o ? nn_svm_pair_index(k, c, o) : nn_svm_pair_index(k, o, c);
            votes += votes_of(v, point, p)[row] == (c < o);
        }
        if (present[c] && votes > most) {
            winner = c;
            most = votes;
        }
    }
    return winner;
}

/* Rows that are predicted right, and `predicted` (rows) unless that is NULL; -1: kernel values are not
 * finite. */
static int64_t count_correct(const validator *v, size_t point, int *predicted)
{
    const size_t tasks = (size_t)v->pairs * (size_t)v->folds;
    int64_t correct = 0;
    for (size_t i = 0; i < tasks; i++)
        if (!v->finite[point * tasks + i])
            return -1;
    for (size_t i = 0; i < v->job.data->rows; i++) {
        const int c = classify(v, point, i);
        correct += c == v->job.groups.class_of[i];
        if (predicted)
            predicted[v->order[i]] = v->job.groups.label[c];
    }
    return correct;
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

static tn_status make_votes(tn_ctx *ctx, size_t points, validator *v)
{
    const size_t rows = v->job.data->rows, k = (size_t)v->job.groups.classes;
    size_t machines, votes, tasks;
    if (!tn_mul_size(points, (size_t)v->pairs, &machines) || !tn_mul_size(machines, rows, &votes) ||
        !tn_mul_size(machines, (size_t)v->folds, &tasks) || tasks > INT64_MAX)
        return tn_fail(ctx, TN_RANGE, "%zu points with %d folds and %d pairs are too many", points, v->folds,
                       v->pairs);
    v->vote = tn_alloc(ctx, votes, sizeof *v->vote);
    v->finite = tn_alloc(ctx, tasks, sizeof *v->finite);
    v->present = tn_alloc(ctx, (size_t)v->folds * k, sizeof *v->present);
    if (!v->vote || !v->finite || !v->present)
        return TN_NOMEM;
    const nn_groups *g = &v->job.groups;
    for (size_t f = 0; f < (size_t)v->folds; f++)
        for (size_t c = 0; c < k; c++)
            v->present[f * k + c] = g->first[c + 1] - g->first[c];
    for (size_t i = 0; i < rows; i++)
        v->present[(size_t)v->fold[i] * k + (size_t)g->class_of[i]]--;
    return TN_OK;
}

static int64_t count_tasks(const validator *v, size_t points)
{
    return (int64_t)((points + MOST_CHAIN - 1) / MOST_CHAIN) * v->pairs * v->folds;
}

static tn_status take_rows(tn_ctx *ctx, const nn_svm_data *data, const int *fold, validator *v)
{
    TN_TRY(check_folds(ctx, fold, data->rows, &v->folds));
    v->order = tn_alloc(ctx, data->rows, sizeof *v->order);
    v->fold = tn_alloc(ctx, data->rows, sizeof *v->fold);
    if (!v->order || !v->fold)
        return TN_NOMEM;
    TN_TRY(nn_svm_sort(ctx, data, fold, v->folds, v->order, &v->data));
    for (size_t i = 0; i < data->rows; i++)
        v->fold[i] = fold[v->order[i]];
    return TN_OK;
}

/* Everything for up to `points` points of one kernel at a time. */
static tn_status validator_create(tn_ctx *ctx, const nn_svm_data *data, const nn_svm_params *params,
                                  const int *fold, size_t points, validator *v)
{
    *v = (validator){.loops = nn_smo_loops_for(ctx)};
    TN_TRY(nn_svm_check(ctx, data, params));
    TN_TRY(take_rows(ctx, data, fold, v));
    TN_TRY(nn_svm_job_create(ctx, &v->data, params, &v->job));
    v->pairs = nn_svm_pair_count(v->job.groups.classes);
    TN_TRY(make_votes(ctx, points, v));
    size_t cells, bytes, cache = params->cache_bytes;
    /* The table of kernel values, where three quarters of the memory hold it, serves all points and folds. */
    if (tn_mul_size(data->rows, data->rows, &cells) && tn_mul_size(cells, sizeof *v->table, &bytes) &&
        bytes <= cache / 4 * 3) {
        v->table = tn_alloc(ctx, cells, sizeof *v->table);
        if (!v->table)
            return TN_NOMEM;
        cache -= bytes;
    }
    return nn_svm_job_hire(ctx, &v->job, count_tasks(v, points), cache,
                           points < MOST_CHAIN ? points : MOST_CHAIN);
}

static void validator_free(tn_ctx *ctx, validator *v)
{
    nn_svm_job_free(ctx, &v->job);
    nn_svm_data_free(ctx, &v->data);
    tn_free(ctx, v->order);
    tn_free(ctx, v->fold);
    tn_free(ctx, v->vote);
    tn_free(ctx, v->finite);
    tn_free(ctx, v->present);
    tn_free(ctx, v->table);
}

/* Every worker_count-th row of the table. */
static void fill_rows(void *arg, int64_t task, int thread)
{
    validator *v = arg;
    nn_svm_worker *w = nn_svm_job_worker(&v->job, thread);
    const int rows = (int)v->job.data->rows;
    for (int i = 0; i < rows; i++)
        w->row[i] = i;
    for (int i = (int)task; i < rows; i += v->job.worker_count) {
        nn_gram_row(&v->job.gram, i, w->row, rows, w->dots, w->kernel);
        if (!v->loops->narrow(w->kernel, rows, v->table + (size_t)i * (size_t)rows))
            atomic_store(&v->overflow, true);
    }
}

/* Votes of all points with these costs, rising. */
static void validate(tn_ctx *ctx, validator *v, const nn_svm_kernel_params *kernel, const double *cost,
                     size_t count)
{
    v->job.gram.kernel = *kernel;
    v->job.gram.table = NULL;
    v->cost = cost;
    v->count = count;
    if (v->table) {
        atomic_store(&v->overflow, false);
        nn_svm_job_run(ctx, &v->job, v->job.worker_count, fill_rows, v);
        /* Otherwise each problem finds out whether it needs such a value. */
        if (!atomic_load(&v->overflow))
            v->job.gram.table = v->table;
    }
    nn_svm_job_run(ctx, &v->job, count_tasks(v, count), validate_chain, v);
}

tn_status nn_svm_cross_validate(tn_ctx *ctx, const nn_svm_data *data, const nn_svm_params *params,
                                const int *fold, int *predicted)
{
    validator v;
    tn_status status = validator_create(ctx, data, params, fold, 1, &v);
    if (status == TN_OK) {
        const nn_svm_kernel_params kernel = v.job.gram.kernel;
        validate(ctx, &v, &kernel, &params->cost, 1);
        status = count_correct(&v, 0, predicted) >= 0 ? TN_OK : nn_svm_overflow(ctx);
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

/* Whether a polynomial without coef0 has values that are far from the ends of what floats hold: |K(u, v)| is
 * at most that of the longest row with itself. */
static bool is_scalable(const validator *v, const nn_svm_kernel_params *k)
{
    double longest = 0;
    for (size_t i = 0; i < v->job.data->rows; i++)
        longest = fmax(longest, v->job.gram.square[i]);
    const double most = nn_svm_kernel_of(k, longest, longest, longest);
    return k->kernel == NN_SVM_POLYNOMIAL && k->coef0 == 0 && k->gamma > 0 && most > 1e-30 && most < 1e30;
}

/* What `cost` is with kernel b, said with kernel a, which makes the same problem of it; 0: none does. With s
 * K in place of K, a / s in place of a and C / s in place of C are as good, and decision values and slopes
 * stay. */
static double cost_with(const validator *v, const nn_svm_kernel_params *a, const nn_svm_kernel_params *b,
                        double cost)
{
    if (same_kernel(a, b))
        return cost;
    if (a->degree != b->degree || !is_scalable(v, a) || !is_scalable(v, b))
        return 0;
    const double same = cost * pow(b->gamma / a->gamma, a->degree);
    return same > DBL_MIN && same < DBL_MAX ? same : 0;
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

enum { NOT_YET = -2 };

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

/* A point of the kernel at hand. */
typedef struct link {
    double cost;  /* of it, with that kernel */
    size_t place; /* among all points */
} link;

static int by_cost(const void *a, const void *b)
{
    const link *x = a, *y = b;
    return x->cost != y->cost ? (x->cost > y->cost) - (x->cost < y->cost)
                              : (x->place > y->place) - (x->place < y->place);
}

/* Validates the points that have the kernel of points[from], or one that makes the same problems, and returns
 * how many these are; `cost` and `links` have room for all. */
static size_t validate_like(tn_ctx *ctx, validator *v, nn_svm_point *points, size_t count, size_t from,
                            double *cost, link *links)
{
    const nn_svm_kernel_params kernel = kernel_of(v->job.data, v->job.params, &points[from]);
    size_t n = 0, different = 0;
    for (size_t i = from; i < count; i++) {
        const nn_svm_kernel_params other = kernel_of(v->job.data, v->job.params, &points[i]);
        const double same = points[i].correct == NOT_YET ? cost_with(v, &kernel, &other, points[i].cost) : 0;
        if (same > 0)
            links[n++] = (link){same, i};
    }
    qsort(links, n, sizeof *links, by_cost);
    for (size_t i = 0; i < n; i++)
        if (i == 0 || links[i].cost != links[i - 1].cost)
            cost[different++] = links[i].cost;
    validate(ctx, v, &kernel, cost, different);
    int64_t correct = 0;
    for (size_t i = 0, at = 0; i < n; i++) {
        if (i == 0 || links[i].cost != links[i - 1].cost)
            correct = count_correct(v, at++, NULL);
        points[links[i].place].correct = correct;
    }
    return n;
}

tn_status nn_svm_grid(tn_ctx *ctx, const nn_svm_data *data, const nn_svm_params *params, const int *fold,
                      nn_svm_point *points, size_t count, size_t *best)
{
    TN_TRY(check_points(ctx, data, params, points, count));
    validator v;
    tn_status status = validator_create(ctx, data, params, fold, count, &v);
    double *cost = tn_alloc(ctx, count, sizeof *cost);
    link *links = tn_alloc(ctx, count, sizeof *links);
    if (status == TN_OK && (!cost || !links))
        status = TN_NOMEM;
    if (status == TN_OK) {
        for (size_t i = 0; i < count; i++)
            points[i].correct = NOT_YET;
        size_t done = 0;
        for (size_t i = 0; i < count; i++) {
            if (points[i].correct != NOT_YET)
                continue;
            done += validate_like(ctx, &v, points, count, i, cost, links);
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
    tn_free(ctx, links);
    tn_free(ctx, cost);
    validator_free(ctx, &v);
    return status;
}
