/* Folds of cross-validation: by class, by source. */
#include "nn/svm_train.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

static tn_status check_count(tn_ctx *ctx, int folds, size_t most, const char *what)
{
    if (folds < 2 || (size_t)folds > most || most > INT_MAX)
        return tn_fail(ctx, TN_RANGE, "%d folds of %zu %s; expected at least 2 and no more than there are %s",
                       folds, most, what, what);
    return TN_OK;
}

/* ---- by class -------------------------------------------------------------------------------------- */

tn_status nn_svm_folds_stratified(tn_ctx *ctx, const nn_svm_data *data, int folds, uint64_t seed, int *fold)
{
    TN_TRY(check_count(ctx, folds, data->rows, "rows"));
    nn_groups g = {0};
    TN_TRY(nn_svm_check_data(ctx, data));
    tn_status status = nn_svm_group(ctx, data, &g);
    /* Each class goes on where the one before it stopped, so that folds are of one size too. */
    int next = 0;
    for (int c = 0; status == TN_OK && c < g.classes; c++) {
        const int n = g.first[c + 1] - g.first[c];
        nn_svm_shuffle(g.row + g.first[c], (size_t)n, seed, tn_hash("svm.folds") + (uint64_t)c);
        for (int i = 0; i < n; i++, next = (next + 1) % folds)
            fold[g.row[g.first[c] + i]] = next;
    }
    nn_svm_groups_free(ctx, &g);
    return status;
}

/* ---- by source ------------------------------------------------------------------------------------- */

typedef struct source_row {
    const char *name; /* NULL: a source of its own */
    int row;          /* of the data */
} source_row;

typedef struct source_run {
    int first, count; /* rows of the source in the sorted list */
    int rank;         /* its place after the shuffle */
} source_run;

static bool same_source(const source_row *a, const source_row *b)
{
    return a->name && b->name && strcmp(a->name, b->name) == 0;
}

static int by_name(const void *a, const void *b)
{
    const source_row *x = a, *y = b;
    const int order = x->name && y->name ? strcmp(x->name, y->name) : (x->name != NULL) - (y->name != NULL);
    return order ? order : (x->row > y->row) - (x->row < y->row);
}

static int by_size(const void *a, const void *b)
{
    const source_run *x = a, *y = b;
    return x->count != y->count ? (x->count < y->count) - (x->count > y->count)
                                : (x->rank > y->rank) - (x->rank < y->rank);
}

/* Sorts the rows by source and lists the runs; returns their number. */
static int find_runs(const char *const *source, size_t rows, source_row *list, source_run *run)
{
    for (size_t i = 0; i < rows; i++)
        list[i] = (source_row){.name = source[i] && *source[i] ? source[i] : NULL, .row = (int)i};
    qsort(list, rows, sizeof *list, by_name);
    int runs = 0;
    for (size_t i = 0; i < rows; i++) {
        if (i == 0 || !same_source(&list[i], &list[i - 1]))
            run[runs++] = (source_run){.first = (int)i};
        run[runs - 1].count++;
    }
    return runs;
}

static void deal_runs(const source_row *list, const source_run *run, int runs, int folds, int *rows_of,
                      int *fold)
{
    memset(rows_of, 0, (size_t)folds * sizeof *rows_of);
    for (int r = 0; r < runs; r++) {
        int least = 0;
        for (int f = 1; f < folds; f++)
            if (rows_of[f] < rows_of[least])
                least = f;
        rows_of[least] += run[r].count;
        for (int i = 0; i < run[r].count; i++)
            fold[list[run[r].first + i].row] = least;
    }
}

tn_status nn_svm_folds_grouped(tn_ctx *ctx, const char *const *source, size_t rows, int folds, uint64_t seed,
                               int *fold)
{
    TN_TRY(check_count(ctx, folds, rows, "rows"));
    tn_status status = TN_NOMEM;
    source_row *list = tn_alloc(ctx, rows, sizeof *list);
    source_run *run = tn_alloc(ctx, rows, sizeof *run);
    int *item = tn_alloc(ctx, rows, sizeof *item);
    if (list && run && item) {
        const int runs = find_runs(source, rows, list, run);
        status = check_count(ctx, folds, (size_t)runs, "sources");
        for (int r = 0; r < runs; r++)
            item[r] = r;
        nn_svm_shuffle(item, (size_t)runs, seed, tn_hash("svm.sources"));
        for (int r = 0; r < runs; r++)
            run[item[r]].rank = r;
        qsort(run, (size_t)runs, sizeof *run, by_size);
        if (status == TN_OK)
            deal_runs(list, run, runs, folds, item, fold);
    }
    tn_free(ctx, item);
    tn_free(ctx, run);
    tn_free(ctx, list);
    return status;
}
