/* Kernel rows of a data set. */
#include "nn/smo.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

void nn_gram_free(tn_ctx *ctx, nn_gram *gram)
{
    tn_free(ctx, gram->column);
    tn_free(ctx, gram->start);
    tn_free(ctx, gram->row);
    tn_free(ctx, gram->value);
    tn_free(ctx, gram->square);
    *gram = (nn_gram){0};
}

static int by_value(const void *a, const void *b)
{
    const int x = *(const int *)a, y = *(const int *)b;
    return (x > y) - (x < y);
}

/* Numbers the indices that there are, in ascending order, into gram->column: by a table of all up to the
 * largest. */
static tn_status number_by_table(tn_ctx *ctx, nn_gram *gram, size_t entries, int largest)
{
    int *column = tn_zalloc(ctx, (size_t)largest + 1, sizeof *column);
    if (!column)
        return TN_NOMEM;
    for (size_t e = 0; e < entries; e++)
        column[gram->data->entry[e].index] = 1;
    for (int i = 0; i <= largest; i++)
        if (column[i])
            column[i] = gram->columns++;
    for (size_t e = 0; e < entries; e++)
        gram->column[e] = column[gram->data->entry[e].index];
    tn_free(ctx, column);
    return TN_OK;
}

/* Same by sorting, for a few indices that are large. */
static tn_status number_by_sorting(tn_ctx *ctx, nn_gram *gram, size_t entries)
{
    int *index = tn_alloc(ctx, entries, sizeof *index);
    if (!index)
        return TN_NOMEM;
    for (size_t e = 0; e < entries; e++)
        index[e] = gram->data->entry[e].index;
    if (entries > 0)
        qsort(index, entries, sizeof *index, by_value);
    int columns = 0;
    for (size_t e = 0; e < entries; e++)
        if (e == 0 || index[e] != index[columns - 1])
            index[columns++] = index[e];
    for (size_t e = 0; e < entries; e++) {
        const int *at = bsearch(&gram->data->entry[e].index, index, (size_t)columns, sizeof *index, by_value);
        gram->column[e] = (int)(at - index);
    }
    gram->columns = columns;
    tn_free(ctx, index);
    return TN_OK;
}

static tn_status number_columns(tn_ctx *ctx, nn_gram *gram, size_t entries)
{
    int largest = 0;
    for (size_t e = 0; e < entries; e++)
        largest = gram->data->entry[e].index > largest ? gram->data->entry[e].index : largest;
    return (size_t)largest < entries ? number_by_table(ctx, gram, entries, largest)
                                     : number_by_sorting(ctx, gram, entries);
}

static tn_status fill_columns(tn_ctx *ctx, nn_gram *gram)
{
    const nn_svm_data *data = gram->data;
    gram->start = tn_zalloc(ctx, (size_t)gram->columns + 2, sizeof *gram->start);
    if (!gram->start)
        return TN_NOMEM;
    /* start[c + 2] counts, then start[c + 1] is where the next entry of column c goes. */
    for (size_t e = 0; e < data->start[data->rows]; e++)
        gram->start[gram->column[e] + 2]++;
    for (int c = 0; c < gram->columns; c++)
        gram->start[c + 2] += gram->start[c + 1];
    for (size_t i = 0; i < data->rows; i++)
        for (size_t e = data->start[i]; e < data->start[i + 1]; e++) {
            const size_t at = gram->start[gram->column[e] + 1]++;
            gram->row[at] = (int)i;
            gram->value[at] = data->entry[e].value;
            gram->square[i] += data->entry[e].value * data->entry[e].value;
        }
    return TN_OK;
}

tn_status nn_gram_create(tn_ctx *ctx, const nn_svm_data *data, nn_gram *out)
{
    *out = (nn_gram){.data = data, .loops = nn_smo_loops_for(ctx)};
    if (data->rows > INT_MAX)
        return tn_fail(ctx, TN_RANGE, "%zu rows; at most %d can be trained on", data->rows, INT_MAX);
    const size_t entries = data->start[data->rows];
    out->column = tn_alloc(ctx, entries, sizeof *out->column);
    out->row = tn_alloc(ctx, entries, sizeof *out->row);
    out->value = tn_alloc(ctx, entries, sizeof *out->value);
    out->square = tn_zalloc(ctx, data->rows, sizeof *out->square);
    if (!out->column || !out->row || !out->value || !out->square)
        return TN_NOMEM;
    TN_TRY(number_columns(ctx, out, entries));
    return fill_columns(ctx, out);
}

/* out[t] = row i . row first + t for t in [0, count). Columns in which every row has an entry are summed some
 * at a time. */
static void dot_rows(const nn_gram *gram, int i, int first, int count, double *out)
{
    enum { SOME = 16 };
    const nn_svm_data *data = gram->data;
    const double *column[SOME];
    double x[SOME];
    int columns = 0;
    memset(out, 0, (size_t)count * sizeof *out);
    for (size_t e = data->start[i]; e < data->start[i + 1]; e++) {
        size_t at = gram->start[gram->column[e]];
        const size_t end = gram->start[gram->column[e] + 1];
        const bool full = end - at == data->rows;
        if (full) {
            column[columns] = gram->value + at + first;
            x[columns++] = data->entry[e].value;
        }
        if (columns == SOME || !full) {
            gram->loops->combine(column, x, columns, count, out);
            columns = 0;
        }
        if (full)
            continue;
        for (size_t less = end; at < less;) { /* the first entry that is not above `first` */
            const size_t middle = at + (less - at) / 2;
            if (gram->row[middle] < first)
                at = middle + 1;
            else
                less = middle;
        }
        for (; at < end && gram->row[at] - first < count; at++)
            out[gram->row[at] - first] += data->entry[e].value * gram->value[at];
    }
    gram->loops->combine(column, x, columns, count, out);
}

/* What the kernel is a function of, for rows that follow each other: |u - v|^2 or u.v. */
static void measure_rows(const nn_gram *gram, int i, int first, int count, double *out)
{
    dot_rows(gram, i, first, count, out);
    if (gram->kernel.kernel == NN_SVM_RBF)
        gram->loops->distances(gram->square[i], gram->square + first, count, out);
}

static void apply_kernel(const nn_gram *gram, int count, double *x)
{
    const nn_svm_kernel_params *k = &gram->kernel;
    switch (k->kernel) {
    case NN_SVM_LINEAR:
        break;
    case NN_SVM_POLYNOMIAL:
        gram->loops->power(k->gamma, k->coef0, k->degree, count, x);
        break;
    case NN_SVM_RBF:
        gram->loops->gauss(k->gamma, count, x);
        break;
    case NN_SVM_SIGMOID:
        for (int t = 0; t < count; t++)
            x[t] = nn_svm_kernel_of(k, x[t], 0, 0);
        break;
    }
}

/* How many numbers from the first are one more each. */
static int count_run(const int *index, int count)
{
    enum { BLOCK = 32 };
    int n = 1;
    for (; n + BLOCK <= count; n += BLOCK) {
        int other = 0;
        for (int t = n; t < n + BLOCK; t++)
            other |= index[t] - index[0] - t;
        if (other)
            break;
    }
    while (n < count && index[n] == index[0] + n)
        n++;
    return n;
}

void nn_gram_row(const nn_gram *gram, int i, const int *index, int count, double *dots, double *out)
{
    /* Training and cross-validation sort their rows so that many follow each other, until they are shrunk. */
    enum { LONG = 32 };
    int t = 0;
    while (t < count) {
        const int n = count_run(index + t, count - t);
        if (n < LONG && t + n < count)
            break;
        measure_rows(gram, i, index[t], n, out + t);
        t += n;
    }
    if (t < count) {
        int low = index[t], high = index[t];
        for (int s = t; s < count; s++) {
            low = index[s] < low ? index[s] : low;
            high = index[s] > high ? index[s] : high;
        }
        measure_rows(gram, i, low, high - low + 1, dots);
        for (; t < count; t++)
            out[t] = dots[index[t] - low];
    }
    apply_kernel(gram, count, out);
}

double nn_gram_self(const nn_gram *gram, int i)
{
    return nn_svm_kernel_of(&gram->kernel, gram->square[i], gram->square[i], gram->square[i]);
}
