/* Packing, and products of whole matrices on the micro-kernel. */
#include "libtensor/internal.h"

static void pack(int width, int64_t k, int64_t n, const float *b, int64_t row, int64_t col,
                 const float *scale, float *out)
{
    for (int64_t j0 = 0; j0 < n; j0 += width) {
        const int64_t columns = tn_min(width, n - j0);
        for (int64_t p = 0; p < k; p++) {
            for (int64_t j = 0; j < columns; j++)
                out[j] = b[p * row + (j0 + j) * col] * (scale ? scale[j0 + j] : 1.0f);
            for (int64_t j = columns; j < width; j++)
                out[j] = 0.0f;
            out += width;
        }
    }
}

void tn_pack_b(const tn_kernels *kernels, int64_t k, int64_t n, const float *b, int64_t row, int64_t col,
               const float *scale, float *out)
{
    pack(kernels->nr, k, n, b, row, col, scale, out);
}

void tn_pack_row(const tn_kernels *kernels, int64_t k, int64_t n, const float *b, int64_t row, int64_t col,
                 float *out)
{
    pack(kernels->row_width, k, n, b, row, col, NULL, out);
}

static uint32_t pair(float first, float second)
{
    return (uint32_t)tn_to_bf16(first) | (uint32_t)tn_to_bf16(second) << 16;
}

void tn_pack_pairs(const tn_kernels *kernels, int64_t k, int64_t n, const float *b, int64_t row, int64_t col,
                   const float *scale, float *out)
{
    const int nr = kernels->nr;
    for (int64_t j0 = 0; j0 < n; j0 += nr)
        for (int64_t p = 0; p < k; p += 2, out += nr)
            for (int64_t j = 0; j < nr; j++) {
                const float *from = b + p * row + (j0 + j) * col, s = scale && j0 + j < n ? scale[j0 + j] : 1;
                const uint32_t word = j0 + j < n ? pair(from[0] * s, from[row] * s) : 0;
                memcpy(out + j, &word, sizeof word);
            }
}

/* At some 200 operations a nanosecond; generic kernels take longer, and then a thread more would have been
 * woken. */
static double product_nanoseconds(int64_t m, int64_t n, int64_t k)
{
    return (double)m * (double)n * (double)k / 100;
}

typedef struct gemm_job {
    const tn_kernels *kernels;
    tn_brgemm g;     /* of the first panel and all rows */
    int64_t n;       /* all columns */
    int64_t block;   /* rows of a task */
    int64_t columns; /* of a task, a multiple of nr */
    int64_t tasks;   /* beside each other in a block of rows */
    const float *a, *b;
} gemm_job;

static void gemm_task(void *arg, int64_t task, int thread)
{
    (void)thread;
    const gemm_job *job = arg;
    const int nr = job->kernels->nr;
    const int64_t row = task / job->tasks * job->block, begin = task % job->tasks * job->columns;
    const int64_t end = tn_min(begin + job->columns, job->n);
    const float *a = job->a + row * job->g.lda;
    for (int64_t col = begin; col < end; col += nr) {
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
}

void tn_gemm_packed(tn_ctx *ctx, int64_t m, int64_t n, int64_t k, const float *a, int64_t lda,
                    const float *packed, float *c, int64_t ldc, const float *bias, const float *residual,
                    int64_t ldr, bool relu)
{
    enum { BLOCK = 112 }; /* rows per task: their part of A stays in the second-level cache */
    const int64_t nr = ctx->kernels->nr, blocks = tn_ceil_div(m, BLOCK), panels = tn_ceil_div(n, nr);
    /* Rows are read once where there are enough of them for all threads. */
    const int64_t together = blocks >= 4 * ctx->threads ? panels : 1;
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
        .block = BLOCK,
        .columns = together * nr,
        .tasks = tn_ceil_div(panels, together),
        .a = a,
        .b = packed,
    };
    tn_parallel_short(ctx, blocks * job.tasks, product_nanoseconds(m, n, k), gemm_task, &job);
}

/* ---- gradients of weights -------------------------------------------------------------------------- */

/* A task owns a block of C and goes along k in blocks whose rows it packs, so that both packs and its part of
 * C stay in the second-level cache. */
enum { BLOCK_M = 288, BLOCK_N = 256, BLOCK_K = 320 };

typedef struct tn_job {
    const tn_step *step;
    int64_t m, n, k, lda, ldb;
    int64_t block_m;       /* rows of C in a task: even parts of m, and whole tiles but for the last */
    int64_t column_blocks; /* tasks beside each other */
    const float *a, *b;
    float *c;
} tn_job;

static size_t packed_a_floats(const tn_kernels *kernels)
{
    return (size_t)(BLOCK_K * kernels->a_pitch) * (size_t)(BLOCK_M / kernels->mr + 1);
}

size_t tn_gemm_tn_bytes(const tn_kernels *kernels)
{
    return (packed_a_floats(kernels) + tn_packed_floats(kernels, BLOCK_K, BLOCK_N)) * sizeof(float);
}

/* The block of C at (i, j), rows x columns, gets what k rows at `a` and `b`, packed, come to. */
static void add_block(const tn_job *job, int64_t i, int64_t j, int64_t rows, int64_t columns, int64_t k,
                      bool first, const float *a, const float *b)
{
    const tn_kernels *kernels = job->step->ctx->kernels;
    for (int64_t col = 0; col < columns; col += kernels->nr)
        for (int64_t row = 0; row < rows; row += kernels->mr) {
            const float *panel_a = a + row / kernels->mr * k * kernels->a_pitch, *panel_b = b + col * k;
            float *c = job->c + (i + row) * job->n + j + col;
            const tn_brgemm g = {.m = tn_min(kernels->mr, rows - row),
                                 .n = (int)tn_min(kernels->nr, columns - col),
                                 .k = k,
                                 .batch = 1,
                                 .a = &panel_a,
                                 .b = &panel_b,
                                 .lda = kernels->a_pitch,
                                 .flipped = true,
                                 .c = c,
                                 .ldc = job->n,
                                 .residual = first ? NULL : c,
                                 .ldr = job->n};
            kernels->brgemm(&g);
        }
}

static void tn_task(void *arg, int64_t task, int thread)
{
    const tn_job *job = arg;
    const tn_kernels *kernels = job->step->ctx->kernels;
    const int64_t i = task / job->column_blocks * job->block_m, j = task % job->column_blocks * BLOCK_N;
    const int64_t rows = tn_min(job->block_m, job->m - i), columns = tn_min(BLOCK_N, job->n - j);
    float *a = tn_thread_scratch(job->step, thread), *b = a + packed_a_floats(kernels);
    for (int64_t p = 0; p == 0 || p < job->k; p += BLOCK_K) {
        const int64_t k = tn_min(BLOCK_K, job->k - p);
        kernels->pack_a(k, rows, job->a + p * job->lda + i, job->lda, k * kernels->a_pitch, a);
        kernels->pack_b(k, columns, job->b + p * job->ldb + j, job->ldb, k * kernels->nr, b);
        add_block(job, i, j, rows, columns, k, p == 0, a, b);
    }
}

void tn_gemm_tn(const tn_step *step, int64_t m, int64_t n, int64_t k, const float *a, int64_t lda,
                const float *b, int64_t ldb, float *c)
{
    const int64_t mr = step->ctx->kernels->mr;
    const int64_t each = tn_ceil_div(m, tn_max(1, tn_ceil_div(m, BLOCK_M / mr * mr)));
    tn_job job = {.step = step,
                  .m = m,
                  .n = n,
                  .k = k,
                  .lda = lda,
                  .ldb = ldb,
                  .block_m = tn_ceil_div(each, mr) * mr,
                  .column_blocks = tn_ceil_div(n, BLOCK_N),
                  .a = a,
                  .b = b,
                  .c = c};
    if (m > 0)
        tn_parallel_short(step->ctx, tn_ceil_div(m, job.block_m) * job.column_blocks,
                          product_nanoseconds(m, n, k), tn_task, &job);
}
