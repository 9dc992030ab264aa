#include "apps/common/batch.h"

typedef struct batch {
    tn_ctx **worker; /* a context for each thread */
    batch_fn fn;     /* what to do */
    void *arg;       /* its argument */
} batch;

static void run_task(void *arg, int64_t task, int thread)
{
    const batch *b = arg;
    b->fn(b->worker[thread], b->arg, (size_t)task);
}

tn_status batch_run(tn_ctx *ctx, size_t tasks, batch_fn fn, void *arg)
{
    const int threads = tn_threads(ctx);
    const tn_options options = {.threads = 1, .isa = tn_isa(ctx)};
    batch b = {tn_zalloc(ctx, (size_t)threads, sizeof(tn_ctx *)), fn, arg};
    tn_status status = b.worker ? TN_OK : TN_NOMEM;
    for (int i = 0; status == TN_OK && i < threads; i++)
        if (tn_ctx_create(&options, &b.worker[i]) != TN_OK)
            status = tn_fail(ctx, TN_NOMEM, "out of memory for %d threads", threads);
    if (status == TN_OK)
        tn_parallel(ctx, (int64_t)tasks, run_task, &b);
    for (int i = 0; b.worker && i < threads; i++)
        tn_ctx_destroy(b.worker[i]);
    tn_free(ctx, b.worker);
    return status;
}
