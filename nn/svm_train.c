/* Training support vector machines: one problem for each pair of classes, and five more for its sigmoid. */
#include "nn/svm_train.h"

#include <string.h>

enum { PLATT_FOLDS = 5 };

/* One pair's results, written by its tasks. */
typedef struct pair_state {
    int a, b;                       /* classes, a < b */
    size_t first;                   /* where its rows begin in alpha, decision, fold_of_row */
    nn_smo_result result;           /* of the machine on all rows */
    bool folds_finite[PLATT_FOLDS]; /* whether the kernels of these machines were */
} pair_state;

/* nn_svm_train() at work. */
typedef struct trainer {
    nn_svm_data data; /* the caller's rows, class behind class */
    nn_svm_job job;   /* these, classes, workers */
    int pairs;        /* of classes */
    int parts;        /* tasks of a pair: 1, with sigmoids 1 + PLATT_FOLDS */
    pair_state *pair; /* pairs */
    double *alpha;    /* rows x (k - 1): the pairs' solutions, pair behind pair */
    double *decision; /* same: from machines that did not see the row; NULL without sigmoids */
    double *target;   /* rows: scratch of the fit; same */
    signed char *y;   /* rows: same */
    int *fold;        /* pairs x rows: which fold a row is in; same */
    double *a, *b;    /* pairs: the sigmoids; same */
} trainer;

static void trainer_free(tn_ctx *ctx, trainer *t)
{
    nn_svm_job_free(ctx, &t->job);
    nn_svm_data_free(ctx, &t->data);
    tn_free(ctx, t->pair);
    tn_free(ctx, t->alpha);
    tn_free(ctx, t->decision);
    tn_free(ctx, t->target);
    tn_free(ctx, t->y);
    tn_free(ctx, t->fold);
    tn_free(ctx, t->a);
    tn_free(ctx, t->b);
}

static int class_size(const trainer *t, int c)
{
    return t->job.groups.first[c + 1] - t->job.groups.first[c];
}

/* Row r of a pair is a row of its first class, then of its second. */
static int pair_row(const trainer *t, const pair_state *p, int r)
{
    const nn_groups *g = &t->job.groups;
    const int first = class_size(t, p->a);
    return r < first ? g->row[g->first[p->a] + r] : g->row[g->first[p->b] + r - first];
}

static int pair_size(const trainer *t, const pair_state *p)
{
    return class_size(t, p->a) + class_size(t, p->b);
}

static const int *pair_folds(const trainer *t, int pair)
{
    return t->fold + (size_t)pair * t->job.data->rows;
}

/* ---- preparing ------------------------------------------------------------------------------------- */

/* Each pair's rows, shuffled, are cut into five runs. */
static void deal_folds(trainer *t, int pair, int *item)
{
    const pair_state *p = &t->pair[pair];
    int *fold = t->fold + (size_t)pair * t->job.data->rows;
    const int n = pair_size(t, p);
    for (int r = 0; r < n; r++)
        item[r] = pair_row(t, p, r);
    nn_svm_shuffle(item, (size_t)n, t->job.params->seed, tn_hash("svm.platt") + (uint64_t)pair);
    for (int r = 0; r < n; r++)
        fold[item[r]] = (int)((int64_t)r * PLATT_FOLDS / n);
}

static tn_status prepare_sigmoids(tn_ctx *ctx, trainer *t, size_t numbers)
{
    const size_t n = t->job.data->rows, pairs = (size_t)t->pairs;
    size_t folds;
    if (!tn_mul_size(n, pairs, &folds))
        return tn_fail(ctx, TN_NOMEM, "no memory for the folds of %d pairs", t->pairs);
    t->decision = tn_alloc(ctx, numbers, sizeof *t->decision);
    t->target = tn_alloc(ctx, n, sizeof *t->target);
    t->y = tn_alloc(ctx, n, sizeof *t->y);
    t->fold = tn_alloc(ctx, folds, sizeof *t->fold);
    t->a = tn_alloc(ctx, pairs, sizeof *t->a);
    t->b = tn_alloc(ctx, pairs, sizeof *t->b);
    int *item = tn_alloc(ctx, n, sizeof *item);
    const bool there = t->decision && t->target && t->y && t->fold && t->a && t->b && item;
    for (int p = 0; there && p < t->pairs; p++)
        deal_folds(t, p, item);
    tn_free(ctx, item);
    return there ? TN_OK : TN_NOMEM;
}

static tn_status prepare(tn_ctx *ctx, const nn_svm_data *data, const nn_svm_params *params, trainer *t)
{
    TN_TRY(nn_svm_check(ctx, data, params));
    int *order = tn_alloc(ctx, data->rows, sizeof *order);
    const tn_status status = order ? nn_svm_sort(ctx, data, NULL, 1, order, &t->data) : TN_NOMEM;
    tn_free(ctx, order);
    TN_TRY(status);
    TN_TRY(nn_svm_job_create(ctx, &t->data, params, &t->job));
    const int k = t->job.groups.classes;
    t->pairs = nn_svm_pair_count(k);
    t->parts = params->probability ? 1 + PLATT_FOLDS : 1;
    size_t numbers;
    if (!tn_mul_size(data->rows, (size_t)k - 1, &numbers))
        return tn_fail(ctx, TN_NOMEM, "no memory for %zu rows of %d coefficients", data->rows, k - 1);
    t->pair = tn_zalloc(ctx, (size_t)t->pairs, sizeof *t->pair);
    t->alpha = tn_alloc(ctx, numbers, sizeof *t->alpha);
    if (!t->pair || !t->alpha)
        return TN_NOMEM;
    size_t first = 0;
    for (int a = 0, p = 0; a < k; a++)
        for (int b = a + 1; b < k; b++, p++) {
            t->pair[p] = (pair_state){.a = a, .b = b, .first = first};
            first += (size_t)pair_size(t, &t->pair[p]);
        }
    if (params->probability)
        TN_TRY(prepare_sigmoids(ctx, t, numbers));
    return nn_svm_job_hire(ctx, &t->job, (int64_t)t->pairs * t->parts, params->cache_bytes, 0);
}

/* ---- tasks ----------------------------------------------------------------------------------------- */

/* Decision values of a pair's rows in a fold, by the machine that the worker has solved without them. */
static void decide_fold(const trainer *t, nn_svm_worker *w, int pair, int held, int count, double rho)
{
    const pair_state *p = &t->pair[pair];
    const int *fold = pair_folds(t, pair), n = pair_size(t, p);
    int vectors = 0;
    for (int i = 0; i < count; i++)
        if (w->alpha[i] > 0) {
            w->row[vectors] = w->row[i];
            w->alpha[vectors++] = w->alpha[i] * w->y[i];
        }
    for (int r = 0; r < n; r++) {
        const int row = pair_row(t, p, r);
        if (fold[row] != held)
            continue;
        nn_gram_row(&t->job.gram, row, w->row, vectors, w->dots, w->kernel);
        double sum = 0;
        for (int i = 0; i < vectors; i++)
            sum += w->alpha[i] * w->kernel[i];
        t->decision[p->first + (size_t)r] = sum - rho;
    }
}

static void train_part(void *arg, int64_t task, int thread)
{
    trainer *t = arg;
    const int pair = (int)(task / t->parts), part = (int)(task % t->parts);
    pair_state *p = &t->pair[pair];
    nn_svm_worker *w = nn_svm_job_worker(&t->job, thread);
    int count;
    if (part == 0) {
        p->result = nn_svm_solve_pair(&t->job, w, p->a, p->b, NULL, 0, t->job.params->cost, &count);
        memcpy(t->alpha + p->first, w->alpha, (size_t)count * sizeof *w->alpha);
        return;
    }
    const nn_smo_result result =
        nn_svm_solve_pair(&t->job, w, p->a, p->b, pair_folds(t, pair), part - 1, t->job.params->cost, &count);
    p->folds_finite[part - 1] = result.finite;
    decide_fold(t, w, pair, part - 1, result.vectors > 0 ? count : 0, result.rho);
}

static bool all_finite(const trainer *t)
{
    bool finite = true;
    for (int p = 0; p < t->pairs; p++) {
        finite &= t->pair[p].result.finite;
        for (int f = 0; f < t->parts - 1; f++)
            finite &= t->pair[p].folds_finite[f];
    }
    return finite;
}

static void fit_sigmoids(trainer *t)
{
    for (int p = 0; p < t->pairs; p++) {
        const pair_state *pair = &t->pair[p];
        const int n = pair_size(t, pair), first = class_size(t, pair->a);
        for (int r = 0; r < n; r++)
            t->y[r] = r < first ? 1 : -1;
        nn_platt_fit(t->decision + pair->first, t->y, (size_t)n, t->target, &t->a[p], &t->b[p]);
    }
}

/* ---- the model ------------------------------------------------------------------------------------- */

/* alpha of row i of class c (counted within the class) in the pair with class o. */
static double alpha_of(const trainer *t, int c, int i, int o)
{
    const int k = t->job.groups.classes;
    const pair_state *p = &t->pair[c < o ? nn_svm_pair_index(k, c, o) : nn_svm_pair_index(k, o, c)];
    return t->alpha[p->first + (size_t)(c < o ? i : class_size(t, o) + i)];
}

static bool is_vector(const trainer *t, int c, int i)
{
    for (int o = 0; o < t->job.groups.classes; o++)
        if (o != c && alpha_of(t, c, i, o) > 0)
            return true;
    return false;
}

static tn_status allocate_model(tn_ctx *ctx, const trainer *t, nn_svm *svm)
{
    const nn_groups *g = &t->job.groups;
    const size_t k = (size_t)g->classes, pairs = (size_t)t->pairs;
    size_t entries = 0;
    svm->classes = g->classes;
    svm->label = tn_alloc(ctx, k, sizeof *svm->label);
    svm->count = tn_zalloc(ctx, k, sizeof *svm->count);
    svm->rho = tn_alloc(ctx, pairs, sizeof *svm->rho);
    if (!svm->label || !svm->count || !svm->rho)
        return TN_NOMEM;
    for (int c = 0; c < g->classes; c++)
        for (int i = 0; i < class_size(t, c); i++)
            if (is_vector(t, c, i)) {
                svm->count[c]++;
                svm->vectors++;
                entries += nn_svm_row(t->job.data, (size_t)g->row[g->first[c] + i]).count;
            }
    if (svm->vectors == 0)
        return tn_fail(ctx, TN_RANGE, "no row became a support vector: tolerance %g is too large",
                       t->job.params->tolerance);
    svm->coef = tn_alloc(ctx, (size_t)svm->vectors * (k - 1), sizeof *svm->coef);
    svm->start = tn_alloc(ctx, (size_t)svm->vectors + 1, sizeof *svm->start);
    svm->entry = tn_alloc(ctx, entries, sizeof *svm->entry);
    if (!svm->coef || !svm->start || !svm->entry)
        return TN_NOMEM;
    if (!t->job.params->probability)
        return TN_OK;
    svm->prob_a = tn_alloc(ctx, pairs, sizeof *svm->prob_a);
    svm->prob_b = tn_alloc(ctx, pairs, sizeof *svm->prob_b);
    return svm->prob_a && svm->prob_b ? TN_OK : TN_NOMEM;
}

static void fill_model(const trainer *t, nn_svm *svm)
{
    const nn_groups *g = &t->job.groups;
    size_t used = 0;
    int64_t at = 0;
    double *coef = svm->coef;
    svm->kernel = t->job.gram.kernel;
    for (int c = 0; c < g->classes; c++) {
        svm->label[c] = g->label[c];
        for (int i = 0; i < class_size(t, c); i++) {
            if (!is_vector(t, c, i))
                continue;
            for (int o = 0; o < g->classes; o++)
                if (o != c)
                    *coef++ = c < o ? alpha_of(t, c, i, o) : -alpha_of(t, c, i, o);
            const nn_svm_vector x = nn_svm_row(t->job.data, (size_t)g->row[g->first[c] + i]);
            svm->start[at++] = used;
            for (size_t e = 0; e < x.count; e++)
                svm->entry[used++] = x.entry[e];
            if (x.count > 0 && x.entry[x.count - 1].index > svm->max_index)
                svm->max_index = x.entry[x.count - 1].index;
        }
    }
    svm->start[at] = used;
    for (int p = 0; p < t->pairs; p++) {
        svm->rho[p] = t->pair[p].result.rho;
        if (svm->prob_a) {
            svm->prob_a[p] = t->a[p];
            svm->prob_b[p] = t->b[p];
        }
    }
}

static void fill_fits(const trainer *t, nn_svm_pair_fit *fits)
{
    for (int p = 0; p < t->pairs; p++) {
        const pair_state *pair = &t->pair[p];
        fits[p] = (nn_svm_pair_fit){.first = t->job.groups.label[pair->a],
                                    .second = t->job.groups.label[pair->b],
                                    .objective = pair->result.objective,
                                    .rho = pair->result.rho,
                                    .iterations = pair->result.iterations,
                                    .vectors = pair->result.vectors,
                                    .bounded = pair->result.bounded,
                                    .converged = pair->result.converged};
    }
}

static tn_status make_model(tn_ctx *ctx, const trainer *t, nn_svm **out, nn_svm_pair_fit **fits)
{
    nn_svm *svm = tn_zalloc(ctx, 1, sizeof *svm);
    nn_svm_pair_fit *list = fits ? tn_alloc(ctx, (size_t)t->pairs, sizeof *list) : NULL;
    tn_status status = svm && (list || !fits) ? allocate_model(ctx, t, svm) : TN_NOMEM;
    if (status != TN_OK) {
        nn_svm_destroy(ctx, svm);
        tn_free(ctx, list);
        return status;
    }
    fill_model(t, svm);
    *out = svm;
    if (fits) {
        fill_fits(t, list);
        *fits = list;
    }
    return TN_OK;
}

tn_status nn_svm_train(tn_ctx *ctx, const nn_svm_data *data, const nn_svm_params *params, nn_svm **out,
                       nn_svm_pair_fit **fits)
{
    *out = NULL;
    if (fits)
        *fits = NULL;
    trainer t = {0};
    tn_status status = prepare(ctx, data, params, &t);
    if (status == TN_OK) {
        nn_svm_job_run(ctx, &t.job, (int64_t)t.pairs * t.parts, train_part, &t);
        status = all_finite(&t) ? TN_OK : nn_svm_overflow(ctx);
    }
    if (status == TN_OK && params->probability)
        fit_sigmoids(&t);
    if (status == TN_OK)
        status = make_model(ctx, &t, out, fits);
    trainer_free(ctx, &t);
    return status;
}
