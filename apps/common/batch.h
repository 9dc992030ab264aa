/* batch: many clips at once, each thread with a context of its own. */
#ifndef APPS_COMMON_BATCH_H
#define APPS_COMMON_BATCH_H

#include "libtensor/tensor.h"

/* Works on one task; `ctx` has one thread, and no other thread uses it meanwhile. */
typedef void (*batch_fn)(tn_ctx *ctx, void *arg, size_t task);

/* Calls fn() for every task in [0, tasks), on as many threads as `ctx` has. Fails with TN_NOMEM, before
 * anything is called. */
tn_status batch_run(tn_ctx *ctx, size_t tasks, batch_fn fn, void *arg);

#endif
