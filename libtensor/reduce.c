/* Sums over rows that come out the same whatever the number of threads: fixed chunks, added in order. */
#include "libtensor/internal.h"

#include <string.h>

enum { CHUNKS = 32 };

typedef struct sums_job {
    int64_t rows, n;
    tn_row_fn fn;
    const void *arg;
    double *partial; /* CHUNKS x 2 n */
} sums_job;

static void sums_task(void *arg, int64_t chunk, int thread)
{
    (void)thread;
    const sums_job *job = arg;
    double *a = job->partial + chunk * 2 * job->n, *b = a + job->n;
    memset(a, 0, 2 * (size_t)job->n * sizeof *a);
    const int64_t end = job->rows * (chunk + 1) / CHUNKS;
    for (int64_t row = job->rows * chunk / CHUNKS; row < end; row++)
        job->fn(job->arg, row, a, b);
}

size_t tn_row_sums_bytes(int64_t n)
{
    return (size_t)CHUNKS * 2 * (size_t)n * sizeof(double);
}

double *tn_row_sums(tn_ctx *ctx, int64_t rows, int64_t n, tn_row_fn fn, const void *arg, void *scratch)
{
    sums_job job = {rows, n, fn, arg, scratch};
    tn_parallel_short(ctx, CHUNKS, (double)(rows * n), sums_task, &job);
    for (int64_t chunk = 1; chunk < CHUNKS; chunk++)
        for (int64_t j = 0; j < 2 * n; j++)
            job.partial[j] += job.partial[chunk * 2 * n + j];
    return job.partial;
}

typedef struct column_arg {
    const float *x;
    int64_t n;
} column_arg;

static void column_row(const void *arg, int64_t row, double *a, double *b)
{
    (void)b;
    const column_arg *job = arg;
    const float *x = job->x + row * job->n;
    for (int64_t j = 0; j < job->n; j++)
        a[j] += (double)x[j];
}

size_t tn_column_sums_bytes(int64_t n)
{
    return tn_row_sums_bytes(n);
}

void tn_column_sums(tn_ctx *ctx, int64_t rows, int64_t n, const float *x, float *out, void *scratch)
{
    const column_arg arg = {x, n};
    const double *sum = tn_row_sums(ctx, rows, n, column_row, &arg, scratch);
    for (int64_t j = 0; j < n; j++)
        out[j] = (float)sum[j];
}
