/* prefetch: things are read on threads of their own while those before them are worked on. */
#ifndef APPS_COMMON_PREFETCH_H
#define APPS_COMMON_PREFETCH_H

#include "libtensor/tensor.h"

/* What is to be read: items 0 to count - 1, each into `bytes` bytes of its own. */
typedef struct prefetch_job {
    size_t count; /* of items */
    size_t bytes; /* of what is made of an item */
    /* Makes an item in `out`, which is all zeros, on any thread, several at a time. `ctx` has one thread and
     * is this call's alone; a failure is recorded there. */
    tn_status (*read)(tn_ctx *ctx, const void *arg, size_t item, void *out);
    /* Frees what read() has put into `out`, also where it failed; any thread, the same context. */
    void (*drop)(tn_ctx *ctx, void *out);
    const void *arg; /* of read() */
} prefetch_job;

typedef struct prefetch prefetch;

/* More items than there are readers that are in memory at once: read, or in use. */
enum { PREFETCH_AHEAD = 4 };

/* Begins to read, on as many threads as `ctx` has (not its own, which are free to compute). They wait while
 * PREFETCH_AHEAD items more than there are threads have not been used. TN_NOMEM. */
tn_status prefetch_open(tn_ctx *ctx, const prefetch_job *job, prefetch **out);

/* The next item, in their order, and the end of the one before, which is dropped. Waits until it is read.
 * Fails as reading it did, with its message and as read() left it; the items behind it can still be had.
 * TN_RANGE, and no item, past the last. */
tn_status prefetch_next(prefetch *p, void **out);

/* Waits for what is being read, begins nothing more, and drops all. NULL is fine. */
void prefetch_close(prefetch *p);

#endif
