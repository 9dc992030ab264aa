/* Packing, and products of whole matrices on the micro-kernel. */
#include "libtensor/internal.h"

#include <cblas.h>

void tn_pack_b(const tn_kernels *kernels, int64_t k, int64_t n, const float *b, int64_t row, int64_t col,
               const float *scale, float *out)
{
    const int nr = kernels->nr;
    for (int64_t j0 = 0; j0 < n; j0 += nr) {
        const int64_t columns = tn_min(nr, n - j0);
        for (int64_t p = 0; p < k; p++) {
            for (int64_t j = 0; j < columns; j++)
                out[j] = b[p * row + (j0 + j) * col] * (scale ? scale[j0 + j] : 1.0f);
            for (int64_t j = columns; j < nr; j++)
                out[j] = 0.0f;
            out += nr;
        }
    }
}

typedef struct gemm_job {
    const tn_kernels *kernels;
    tn_brgemm g;        /* of the first panel and all rows */
    int64_t n;          /* all columns */
    int64_t row_blocks; /* tasks along m */
    int64_t block;      /* rows of one */
    const float *a, *b;
} gemm_job;

static void gemm_task(void *arg, int64_t task, int thread)
{
    (void)thread;
    const gemm_job *job = arg;
    const int nr = job->kernels->nr;
    const int64_t panel = task / job->row_blocks, row = task % job->row_blocks * job->block;
    const int64_t col = panel * nr;
    const float *a = job->a + row * job->g.lda;
    const float *b = job->b + col * job->g.k;
    tn_brgemm g = job->g;
    g.m = tn_min(job->block, job->g.m - row);
    g.n = (int)tn_min(nr, job->n - col);
    g.a = &a;
    g.b = &b;
    g.c += row * g.ldc + col;
    if (g.bias)
        g.bias += col;
    if (g.residual)
        g.residual += row * g.ldr + col;
    job->kernels->brgemm(&g);
}

void tn_gemm_packed(tn_ctx *ctx, int64_t m, int64_t n, int64_t k, const float *a, int64_t lda,
                    const float *packed, float *c, int64_t ldc, const float *bias, const float *residual,
                    int64_t ldr, bool relu)
{
    enum { BLOCK = 112 }; /* rows per task: their part of A stays in the second-level cache */
    gemm_job job = {
        .kernels = ctx->kernels,
        .g = {.m = m,
              .k = k,
              .batch = 1,
              .lda = lda,
              .c = c,
              .ldc = ldc,
              .bias = bias,
              .residual = residual,
              .ldr = ldr,
              .relu = relu},
        .n = n,
        .row_blocks = tn_ceil_div(m, BLOCK),
        .block = BLOCK,
        .a = a,
        .b = packed,
    };
    tn_parallel(ctx, job.row_blocks * tn_ceil_div(n, ctx->kernels->nr), gemm_task, &job);
}

/* ---- gradients of weights -------------------------------------------------------------------------- */

typedef struct tn_job {
    int64_t m, n, k, lda, ldb, column_blocks;
    const float *a, *b;
    float *c;
    bool accumulate;
} tn_job;

/* Blocks of C. They do not depend on the number of threads, because OpenBLAS may sum in another order in
 * products of another shape. */
enum { BLOCK_M = 64, BLOCK_N = 256 };

static void tn_task(void *arg, int64_t task, int thread)
{
    (void)thread;
    const tn_job *job = arg;
    const int64_t i = task / job->column_blocks * BLOCK_M, j = task % job->column_blocks * BLOCK_N;
    cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, (int)tn_min(BLOCK_M, job->m - i),
                (int)tn_min(BLOCK_N, job->n - j), (int)job->k, 1.0f, job->a + i, (int)job->lda, job->b + j,
                (int)job->ldb, job->accumulate ? 1.0f : 0.0f, job->c + i * job->n + j, (int)job->n);
}

void tn_gemm_tn(tn_ctx *ctx, int64_t m, int64_t n, int64_t k, const float *a, int64_t lda, const float *b,
                int64_t ldb, float *c, bool accumulate)
{
    tn_job job = {m, n, k, lda, ldb, tn_ceil_div(n, BLOCK_N), a, b, c, accumulate};
    tn_parallel(ctx, tn_ceil_div(m, BLOCK_M) * job.column_blocks, tn_task, &job);
}
