/* Random values to begin with: a rule for each kind of parameter, told by name and rank. */
#include "nn/internal.h"

#include <math.h>
#include <string.h>

static bool ends_with(const char *name, const char *end)
{
    const size_t n = strlen(name), m = strlen(end);
    return n >= m && strcmp(name + n - m, end) == 0;
}

static void fill(const tn_tensor *t, float value)
{
    const int64_t n = tn_numel(t);
    for (int64_t i = 0; i < n; i++)
        t->data[i] = value;
}

static void uniform(const tn_tensor *t, uint64_t seed, uint64_t stream, double bound)
{
    tn_fill_uniform(t->data, (size_t)tn_numel(t), seed, stream, (float)-bound, (float)bound);
}

/* Box and Muller 1958: a normal number from the (2 i)-th and the next uniform one. */
static double normal(uint64_t seed, uint64_t stream, uint64_t i)
{
    const double pi = 3.14159265358979323846;
    const double u = 1 - (double)tn_uniform(seed, stream, 2 * i),
                 v = (double)tn_uniform(seed, stream, 2 * i + 1);
    return sqrt(-2 * log(u)) * cos(2 * pi * v);
}

static double column_dot(const double *a, int64_t rows, int64_t columns, int64_t i, int64_t j)
{
    double sum = 0;
    for (int64_t r = 0; r < rows; r++)
        sum += a[r * columns + i] * a[r * columns + j];
    return sum;
}

/* Takes from column j what it has of the columns before it, and makes its length 1. Twice is enough for full
 * precision (Giraud et al. 2005). */
static void orthogonalise(double *a, int64_t rows, int64_t columns, int64_t j)
{
    for (int pass = 0; pass < 2; pass++)
        for (int64_t i = 0; i < j; i++) {
            const double d = column_dot(a, rows, columns, i, j);
            for (int64_t r = 0; r < rows; r++)
                a[r * columns + j] -= d * a[r * columns + i];
        }
    const double length = sqrt(column_dot(a, rows, columns, j, j));
    for (int64_t r = 0; r < rows; r++)
        a[r * columns + j] /= length;
}

/* Orthonormal columns of a Gaussian matrix (Saxe et al. 2014); it has at least as many rows as columns. */
static tn_status orthogonal(tn_ctx *ctx, const tn_tensor *t, uint64_t seed, uint64_t stream)
{
    const int64_t rows = t->size[0], columns = t->size[1];
    double *a = tn_alloc(ctx, (size_t)(rows * columns), sizeof *a);
    if (!a)
        return TN_NOMEM;
    for (int64_t i = 0; i < rows * columns; i++)
        a[i] = normal(seed, stream, (uint64_t)i);
    for (int64_t j = 0; j < columns; j++)
        orthogonalise(a, rows, columns, j);
    for (int64_t i = 0; i < rows * columns; i++)
        t->data[i] = (float)a[i];
    tn_free(ctx, a);
    return TN_OK;
}

static tn_status init_one(tn_ctx *ctx, const char *name, const tn_tensor *t, uint64_t seed)
{
    const uint64_t stream = tn_hash(name);
    const int64_t n = tn_numel(t);
    fill(t, 0);
    if (n == 0)
        return TN_OK;
    if (t->rank == 5)
        uniform(t, seed, stream, sqrt(6.0 / (double)(n / t->size[0])));
    else if (t->rank == 2 && strstr(name, ".weight_hh_"))
        return orthogonal(ctx, t, seed, stream);
    else if (t->rank == 2)
        uniform(t, seed, stream, sqrt(6.0 / (double)(t->size[0] + t->size[1])));
    else if (strstr(name, ".bias_ih_"))
        for (int64_t i = n / 4; i < n / 2; i++) /* gates i, f, g, o */
            t->data[i] = 1;
    else if (strcmp(name, "attention.query") == 0 || strcmp(name, "attention.constant") == 0)
        fill(t, 1.0f / (float)n);
    else if (ends_with(name, ".weight") || ends_with(name, ".running_var"))
        fill(t, 1);
    return TN_OK;
}

tn_status nn_init(tn_graph *graph, uint64_t seed)
{
    TN_TRY(tn_graph_check(graph));
    for (int i = 0; i < tn_param_count(graph); i++) {
        tn_var *var = tn_param_at(graph, i);
        tn_tensor t = tn_value(var);
        if (!t.data)
            return TN_NOMEM;
        TN_TRY(init_one(tn_graph_ctx(graph), tn_var_name(var), &t, seed));
    }
    return TN_OK;
}
