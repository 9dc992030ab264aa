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
    tn_free(ctx, gram->matrix);
    *gram = (nn_gram){0};
}

static int by_value(const void *a, const void *b)
{
    const int x = *(const int *)a, y = *(const int *)b;
    return (x > y) - (x < y);
}

/* Numbers the indices that there are, in ascending order, into gram->column. */
static tn_status number_columns(tn_ctx *ctx, nn_gram *gram, size_t entries)
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

static void dot_row(const nn_gram *gram, int i, double *dots)
{
    const nn_svm_data *data = gram->data;
    memset(dots, 0, data->rows * sizeof *dots);
    for (size_t e = data->start[i]; e < data->start[i + 1]; e++) {
        const size_t first = gram->start[gram->column[e]], end = gram->start[gram->column[e] + 1];
        const double x = data->entry[e].value, *value = gram->value + first;
        if (end - first == data->rows) { /* nothing left out: row numbers are not needed */
            gram->loops->add_doubles(dots, value, x, (int)data->rows);
            continue;
        }
        for (size_t at = first; at < end; at++)
            dots[gram->row[at]] += x * gram->value[at];
    }
}

/* Whether the numbers are one more each. */
static bool follow(const int *index, int count)
{
    int other = 0;
    for (int t = 1; t < count; t++)
        other |= index[t] - index[0] - t;
    return other == 0;
}

void nn_gram_row(const nn_gram *gram, int i, const int *index, int count, double *dots, double *out)
{
    if (gram->matrix) {
        const double *row = gram->matrix + (size_t)i * gram->data->rows;
        /* Cross-validation sorts its rows so that many follow each other. */
        enum { BLOCK = 32 };
        for (int t = 0; t < count;) {
            if (count - t >= BLOCK && follow(index + t, BLOCK)) {
                memcpy(out + t, row + index[t], BLOCK * sizeof *out);
                t += BLOCK;
            } else {
                const int end = count - t < BLOCK ? count : t + BLOCK;
                for (; t < end; t++)
                    out[t] = row[index[t]];
            }
        }
        return;
    }
    const nn_svm_kernel_params *k = &gram->kernel;
    dot_row(gram, i, dots);
    for (int t = 0; t < count; t++)
        out[t] = nn_svm_kernel_of(k, dots[index[t]], gram->square[i], gram->square[index[t]]);
}

double nn_gram_self(const nn_gram *gram, int i)
{
    return nn_svm_kernel_of(&gram->kernel, gram->square[i], gram->square[i], gram->square[i]);
}
