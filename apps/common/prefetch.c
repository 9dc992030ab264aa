#include "apps/common/prefetch.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

/* Room for an item, for one of every `room` items. */
typedef struct slot {
    bool ready;        /* read() has returned */
    tn_status status;  /* what it said */
    char message[512]; /* why it failed */
    tn_ctx *ctx;       /* whose memory it is */
    void *made;        /* the item */
} slot;

typedef struct reader {
    prefetch *p;      /* whose */
    tn_ctx *ctx;      /* its own */
    pthread_t thread; /* where it runs */
} reader;

struct prefetch {
    tn_ctx *ctx;            /* borrowed: memory and errors of the caller's thread */
    prefetch_job job;       /* as given */
    pthread_mutex_t mutex;  /* guards what follows, and slot.ready */
    pthread_cond_t wanted;  /* there is room for another item, or it is over */
    pthread_cond_t arrived; /* a slot is ready */
    size_t begun;           /* items that a reader has taken */
    size_t given;           /* items that the caller has got */
    size_t dropped;         /* of those, what it has done with */
    bool stop;              /* begin nothing more */
    slot *slot;             /* item i is in number i % room */
    size_t room;            /* of them */
    reader *reader;         /* threads */
    size_t readers;         /* that run */
};

/* ---- reading --------------------------------------------------------------------------------------- */

static void read_item(prefetch *p, tn_ctx *ctx, size_t item)
{
    slot *s = &p->slot[item % p->room];
    s->ctx = ctx;
    memset(s->made, 0, p->job.bytes);
    s->status = p->job.read(ctx, p->job.arg, item, s->made);
    if (s->status == TN_OK)
        return;
    const char *text = tn_error(ctx);
    snprintf(s->message, sizeof s->message, "%s", *text ? text : tn_status_text(s->status));
    tn_clear_error(ctx); /* the context goes on with other items */
}

static void *reader_main(void *arg)
{
    const reader *self = arg;
    prefetch *p = self->p;
    pthread_mutex_lock(&p->mutex);
    for (;;) {
        while (!p->stop && p->begun < p->job.count && p->begun == p->dropped + p->room)
            pthread_cond_wait(&p->wanted, &p->mutex);
        if (p->stop || p->begun == p->job.count)
            break;
        const size_t item = p->begun++;
        pthread_mutex_unlock(&p->mutex);
        read_item(p, self->ctx, item);
        pthread_mutex_lock(&p->mutex);
        p->slot[item % p->room].ready = true;
        pthread_cond_signal(&p->arrived);
    }
    pthread_mutex_unlock(&p->mutex);
    return NULL;
}

/* ---- opening --------------------------------------------------------------------------------------- */

static tn_status make_slots(prefetch *p)
{
    p->slot = tn_zalloc(p->ctx, p->room, sizeof *p->slot);
    for (size_t i = 0; p->slot && i < p->room; i++) {
        p->slot[i].made = tn_alloc(p->ctx, p->job.bytes, 1);
        if (!p->slot[i].made)
            return TN_NOMEM;
    }
    return p->slot ? TN_OK : TN_NOMEM;
}

static tn_status start_readers(prefetch *p, size_t count)
{
    const tn_options options = {.threads = 1, .isa = tn_isa(p->ctx)};
    p->reader = tn_zalloc(p->ctx, count, sizeof *p->reader);
    if (!p->reader)
        return TN_NOMEM;
    for (; p->readers < count; p->readers++) {
        reader *r = &p->reader[p->readers];
        r->p = p;
        if (tn_ctx_create(&options, &r->ctx) != TN_OK)
            return tn_fail(p->ctx, TN_NOMEM, "out of memory for %zu threads", count);
        if (pthread_create(&r->thread, NULL, reader_main, r) != 0) {
            tn_ctx_destroy(r->ctx);
            return tn_fail(p->ctx, TN_NOMEM, "cannot start thread %zu of %zu", p->readers + 1, count);
        }
    }
    return TN_OK;
}

tn_status prefetch_open(tn_ctx *ctx, const prefetch_job *job, prefetch **out)
{
    *out = NULL;
    prefetch *p = tn_zalloc(ctx, 1, sizeof *p);
    if (!p)
        return TN_NOMEM;
    const size_t threads = (size_t)tn_threads(ctx), count = threads < job->count ? threads : job->count;
    p->ctx = ctx;
    p->job = *job;
    p->room = count + PREFETCH_AHEAD;
    if (p->room > job->count)
        p->room = job->count ? job->count : 1;
    pthread_mutex_init(&p->mutex, NULL);
    pthread_cond_init(&p->wanted, NULL);
    pthread_cond_init(&p->arrived, NULL);
    tn_status status = make_slots(p);
    if (status == TN_OK)
        status = start_readers(p, count);
    if (status == TN_OK)
        *out = p;
    else
        prefetch_close(p);
    return status;
}

/* ---- using ----------------------------------------------------------------------------------------- */

static void drop(prefetch *p, size_t item)
{
    slot *s = &p->slot[item % p->room];
    p->job.drop(s->ctx, s->made);
    s->ready = false; /* no reader looks at it: it is not free yet */
}

tn_status prefetch_next(prefetch *p, void **out)
{
    *out = NULL;
    if (p->given == p->job.count)
        return tn_fail(p->ctx, TN_RANGE, "there are %zu items, and no more", p->job.count);
    const bool before = p->given > p->dropped;
    if (before)
        drop(p, p->dropped);
    slot *s = &p->slot[p->given % p->room];
    pthread_mutex_lock(&p->mutex);
    if (before) {
        p->dropped++;
        pthread_cond_signal(&p->wanted);
    }
    while (!s->ready)
        pthread_cond_wait(&p->arrived, &p->mutex);
    p->given++;
    pthread_mutex_unlock(&p->mutex);
    *out = s->made;
    return s->status == TN_OK ? TN_OK : tn_fail(p->ctx, s->status, "%s", s->message);
}

void prefetch_close(prefetch *p)
{
    if (!p)
        return;
    pthread_mutex_lock(&p->mutex);
    p->stop = true;
    pthread_cond_broadcast(&p->wanted);
    pthread_mutex_unlock(&p->mutex);
    for (size_t i = 0; i < p->readers; i++)
        pthread_join(p->reader[i].thread, NULL);
    for (size_t i = p->dropped; i < p->begun; i++)
        drop(p, i);
    for (size_t i = 0; i < p->readers; i++)
        tn_ctx_destroy(p->reader[i].ctx);
    for (size_t i = 0; p->slot && i < p->room; i++)
        tn_free(p->ctx, p->slot[i].made);
    pthread_cond_destroy(&p->arrived);
    pthread_cond_destroy(&p->wanted);
    pthread_mutex_destroy(&p->mutex);
    tn_free(p->ctx, p->reader);
    tn_free(p->ctx, p->slot);
    tn_free(p->ctx, p);
}
