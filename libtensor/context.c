/* The context: status texts, the first error, memory, checked arithmetic. */
#include "libtensor/internal.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

const char *tn_status_text(tn_status status)
{
    static const char *const text[] = {
#define TN_STATUS_TEXT(name, text) [name] = text,
        TN_STATUS_LIST(TN_STATUS_TEXT)
#undef TN_STATUS_TEXT
    };
    return (size_t)status < sizeof text / sizeof *text ? text[status] : "unknown status";
}

static void *system_alloc(void *user, size_t bytes)
{
    (void)user;
    return aligned_alloc(64, bytes);
}

static void system_release(void *user, void *block)
{
    (void)user;
    free(block);
}

static int usable_cores(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) != 0)
        return 1;
    int n = CPU_COUNT(&set);
    return n > 0 ? n : 1;
}

enum { MAX_THREADS = 1024 };

tn_status tn_ctx_create(const tn_options *options, tn_ctx **out)
{
    static const tn_options defaults = {0, NULL, NULL};
    static const tn_allocator system = {system_alloc, system_release, NULL};
    const tn_options *o = options ? options : &defaults;
    *out = NULL;
    if (o->threads < 0 || o->threads > MAX_THREADS)
        return TN_RANGE;
    const char *isa = o->isa ? o->isa : getenv("VALENCE_ISA");
    const tn_kernels *kernels = tn_kernels_find(isa && *isa ? isa : NULL);
    if (!kernels)
        return TN_UNSUPPORTED;

    const tn_allocator *allocator = o->allocator ? o->allocator : &system;
    tn_ctx *ctx = allocator->alloc(allocator->user, (sizeof *ctx + 63) & ~(size_t)63);
    if (!ctx)
        return TN_NOMEM;
    memset(ctx, 0, sizeof *ctx);
    ctx->allocator = *allocator;
    ctx->kernels = kernels;
    ctx->bf16 = tn_bf16_kernels_find(kernels);
    ctx->threads = o->threads ? o->threads : usable_cores();
    if (ctx->threads > 1) {
        tn_status status = tn_pool_create(ctx, ctx->threads, &ctx->pool);
        if (status != TN_OK) {
            tn_ctx_destroy(ctx);
            return status;
        }
    }
    *out = ctx;
    return TN_OK;
}

void tn_ctx_destroy(tn_ctx *ctx)
{
    if (!ctx)
        return;
    tn_pool_destroy(ctx, ctx->pool);
    tn_allocator allocator = ctx->allocator;
    allocator.release(allocator.user, ctx);
}

int tn_threads(const tn_ctx *ctx)
{
    return ctx->threads;
}

const char *tn_isa(const tn_ctx *ctx)
{
    return ctx->kernels->name;
}

bool tn_has_precision(const tn_ctx *ctx, tn_precision precision)
{
    return precision == TN_FP32 || ctx->bf16;
}

tn_status tn_check_precision(tn_ctx *ctx, tn_precision precision)
{
    if (tn_has_precision(ctx, precision))
        return TN_OK;
    const bool machine = strcmp(tn_isa(ctx), "avx512") == 0;
    return tn_fail(ctx, TN_UNSUPPORTED, "bfloat16 needs AVX512_BF16, which %s %s has not",
                   machine ? "this machine with" : "the instruction set", tn_isa(ctx));
}

double tn_core_peak(const tn_ctx *ctx, tn_precision precision)
{
    if (!tn_has_precision(ctx, precision))
        return 0;
    double (*multiply_add)(int64_t, float *) =
        precision == TN_BF16 ? ctx->bf16->multiply_add : ctx->kernels->multiply_add;
    enum { TRIES = 10, ROUNDS = 1 << 16 };
    double best = 0;
    float sink = 1;
    for (int i = 0; i < TRIES; i++) {
        struct timespec from, to;
        clock_gettime(CLOCK_MONOTONIC, &from);
        const double flops = multiply_add(ROUNDS, &sink);
        clock_gettime(CLOCK_MONOTONIC, &to);
        const double seconds = (double)(to.tv_sec - from.tv_sec) + 1e-9 * (double)(to.tv_nsec - from.tv_nsec);
        best = flops / seconds > best ? flops / seconds : best;
    }
    return best;
}

tn_status tn_fail(tn_ctx *ctx, tn_status status, const char *format, ...)
{
    if (ctx->status == TN_OK) {
        va_list args;
        va_start(args, format);
        vsnprintf(ctx->message, sizeof ctx->message, format, args);
        va_end(args);
        ctx->status = status;
    }
    return status;
}

const char *tn_error(const tn_ctx *ctx)
{
    return ctx->message;
}

void tn_clear_error(tn_ctx *ctx)
{
    ctx->status = TN_OK;
    ctx->message[0] = '\0';
}

bool tn_mul_size(size_t a, size_t b, size_t *out)
{
    size_t product;
    if (__builtin_mul_overflow(a, b, &product))
        return false;
    *out = product;
    return true;
}

bool tn_add_size(size_t a, size_t b, size_t *out)
{
    size_t sum;
    if (__builtin_add_overflow(a, b, &sum))
        return false;
    *out = sum;
    return true;
}

void *tn_alloc(tn_ctx *ctx, size_t count, size_t size)
{
    size_t bytes, padded;
    if (!tn_mul_size(count, size, &bytes) || !tn_add_size(bytes, 64, &padded)) {
        tn_fail(ctx, TN_NOMEM, "out of memory: %zu x %zu bytes are more than there can be", count, size);
        return NULL;
    }
    void *block = ctx->allocator.alloc(ctx->allocator.user, bytes ? (bytes + 63) & ~(size_t)63 : 64);
    if (!block)
        tn_fail(ctx, TN_NOMEM, "out of memory: no %zu bytes", bytes);
    return block;
}

void *tn_zalloc(tn_ctx *ctx, size_t count, size_t size)
{
    void *block = tn_alloc(ctx, count, size);
    if (block)
        memset(block, 0, count * size);
    return block;
}

void tn_free(tn_ctx *ctx, void *block)
{
    if (block)
        ctx->allocator.release(ctx->allocator.user, block);
}

char *tn_strdup(tn_ctx *ctx, const char *text)
{
    size_t bytes = strlen(text) + 1;
    char *copy = tn_alloc(ctx, bytes, 1);
    if (copy)
        memcpy(copy, text, bytes);
    return copy;
}

tn_status tn_grow(tn_ctx *ctx, void *block, size_t *capacity, size_t need, size_t size)
{
    if (need <= *capacity)
        return TN_OK;
    size_t room = *capacity + *capacity / 2;
    if (room < need)
        room = need;
    if (room < 8)
        room = 8;
    void *old;
    memcpy(&old, block, sizeof old);
    void *bigger = tn_alloc(ctx, room, size);
    if (!bigger)
        return TN_NOMEM;
    if (old)
        memcpy(bigger, old, *capacity * size);
    tn_free(ctx, old);
    memcpy(block, &bigger, sizeof bigger);
    *capacity = room;
    return TN_OK;
}

/* `pool` NULL: on the calling thread. */
static void run_tasks(tn_pool *pool, int64_t tasks, tn_task_fn fn, void *arg)
{
    if (pool && tasks > 1) {
        tn_pool_run(pool, tasks, fn, arg);
        return;
    }
    for (int64_t task = 0; task < tasks; task++)
        fn(arg, task, 0);
}

void tn_parallel(tn_ctx *ctx, int64_t tasks, tn_task_fn fn, void *arg)
{
    run_tasks(ctx->pool, tasks, fn, arg);
}

void tn_parallel_short(tn_ctx *ctx, int64_t tasks, double nanoseconds, tn_task_fn fn, void *arg)
{
    const double wake = 20e3;
    run_tasks(nanoseconds < wake ? NULL : ctx->pool, tasks, fn, arg);
}

typedef struct range_job {
    int64_t n, grain;
    tn_range_fn fn;
    void *arg;
} range_job;

static void range_task(void *arg, int64_t task, int thread)
{
    (void)thread;
    const range_job *job = arg;
    int64_t begin = task * job->grain;
    job->fn(job->arg, begin, tn_min(begin + job->grain, job->n));
}

void tn_parallel_ranges(tn_ctx *ctx, int64_t n, int64_t grain, tn_range_fn fn, void *arg)
{
    range_job job = {n, grain, fn, arg};
    tn_parallel(ctx, tn_ceil_div(n, grain), range_task, &job);
}
