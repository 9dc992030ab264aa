/* The thread pool behind tn_parallel(): workers spin a little, then sleep; the caller works too. */
#include "libtensor/internal.h"

#include <stdatomic.h>

enum { SPINS = 2000 };

typedef struct worker {
    tn_pool *pool;
    pthread_t thread;
    int index; /* 1 and up; the caller is 0 */
} worker;

struct tn_pool {
    tn_task_fn fn;            /* of the job at hand */
    void *arg;                /* its argument */
    int64_t tasks;            /* how many it has */
    atomic_int_fast64_t next; /* first task that nobody has taken */
    atomic_int busy;          /* workers that have not finished this job */
    atomic_uint job;          /* counts jobs; a change wakes the workers */
    atomic_bool stop;         /* the pool is going away */
    pthread_mutex_t mutex;    /* guards sleeping on the two below */
    pthread_cond_t wake;      /* job changed */
    pthread_cond_t done;      /* busy became 0 */
    int count;                /* workers */
    worker *workers;
};

static inline void relax(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

static void work(tn_pool *pool, int thread)
{
    for (;;) {
        int64_t task = atomic_fetch_add_explicit(&pool->next, 1, memory_order_relaxed);
        if (task >= pool->tasks)
            return;
        pool->fn(pool->arg, task, thread);
    }
}

static void *worker_main(void *arg)
{
    worker *self = arg;
    tn_pool *pool = self->pool;
    unsigned seen = 0;
    for (;;) {
        for (int i = 0; i < SPINS && atomic_load(&pool->job) == seen; i++)
            relax();
        if (atomic_load(&pool->job) == seen) {
            pthread_mutex_lock(&pool->mutex);
            while (atomic_load(&pool->job) == seen)
                pthread_cond_wait(&pool->wake, &pool->mutex);
            pthread_mutex_unlock(&pool->mutex);
        }
        seen = atomic_load(&pool->job);
        if (atomic_load(&pool->stop))
            return NULL;
        work(pool, self->index);
        if (atomic_fetch_sub(&pool->busy, 1) == 1) {
            pthread_mutex_lock(&pool->mutex);
            pthread_cond_signal(&pool->done);
            pthread_mutex_unlock(&pool->mutex);
        }
    }
}

static void announce(tn_pool *pool)
{
    pthread_mutex_lock(&pool->mutex);
    atomic_fetch_add(&pool->job, 1);
    pthread_cond_broadcast(&pool->wake);
    pthread_mutex_unlock(&pool->mutex);
}

void tn_pool_run(tn_pool *pool, int64_t tasks, tn_task_fn fn, void *arg)
{
    pool->fn = fn;
    pool->arg = arg;
    pool->tasks = tasks;
    atomic_store(&pool->next, 0);
    atomic_store(&pool->busy, pool->count);
    announce(pool);
    work(pool, 0);
    for (int i = 0; i < SPINS && atomic_load(&pool->busy) != 0; i++)
        relax();
    if (atomic_load(&pool->busy) != 0) {
        pthread_mutex_lock(&pool->mutex);
        while (atomic_load(&pool->busy) != 0)
            pthread_cond_wait(&pool->done, &pool->mutex);
        pthread_mutex_unlock(&pool->mutex);
    }
}

tn_status tn_pool_create(tn_ctx *ctx, int threads, tn_pool **out)
{
    tn_pool *pool = tn_zalloc(ctx, 1, sizeof *pool);
    if (!pool)
        return TN_NOMEM;
    pool->workers = tn_zalloc(ctx, (size_t)threads, sizeof *pool->workers);
    if (!pool->workers) {
        tn_free(ctx, pool);
        return TN_NOMEM;
    }
    pthread_mutex_init(&pool->mutex, NULL);
    pthread_cond_init(&pool->wake, NULL);
    pthread_cond_init(&pool->done, NULL);
    for (int i = 1; i < threads; i++) {
        worker *w = &pool->workers[pool->count];
        w->pool = pool;
        w->index = i;
        if (pthread_create(&w->thread, NULL, worker_main, w) != 0) {
            tn_pool_destroy(ctx, pool);
            return tn_fail(ctx, TN_NOMEM, "cannot start thread %d of %d", i + 1, threads);
        }
        pool->count++;
    }
    *out = pool;
    return TN_OK;
}

void tn_pool_destroy(tn_ctx *ctx, tn_pool *pool)
{
    if (!pool)
        return;
    atomic_store(&pool->stop, true);
    announce(pool);
    for (int i = 0; i < pool->count; i++)
        pthread_join(pool->workers[i].thread, NULL);
    pthread_cond_destroy(&pool->done);
    pthread_cond_destroy(&pool->wake);
    pthread_mutex_destroy(&pool->mutex);
    tn_free(ctx, pool->workers);
    tn_free(ctx, pool);
}
