/* A context whose memory is watched, and fails on demand. */
#ifndef TESTS_DATA_MEMORY_H
#define TESTS_DATA_MEMORY_H

#include "tests/common/testing.h"

#include <stdlib.h>
#include <string.h>

typedef struct watched {
    long left;          /* calls that still succeed; below 0: all of them */
    long live;          /* blocks in use */
    size_t bytes, peak; /* in use, and the most that ever was */
} watched;

static inline void *watched_alloc(void *user, size_t bytes)
{
    watched *w = user;
    if (w->left == 0)
        return NULL;
    w->left -= w->left > 0;
    unsigned char *block = aligned_alloc(64, bytes + 64);
    if (!block)
        return NULL;
    memcpy(block, &bytes, sizeof bytes);
    w->live++;
    w->bytes += bytes;
    if (w->bytes > w->peak)
        w->peak = w->bytes;
    return block + 64;
}

static inline void watched_release(void *user, void *block)
{
    watched *w = user;
    size_t bytes;
    memcpy(&bytes, (unsigned char *)block - 64, sizeof bytes);
    w->bytes -= bytes;
    w->live--;
    free((unsigned char *)block - 64);
}

static inline tn_ctx *watched_ctx(watched *w)
{
    *w = (watched){.left = -1};
    tn_allocator allocator = {watched_alloc, watched_release, w};
    tn_ctx *ctx = NULL;
    assert_int_equal(tn_ctx_create(&(tn_options){.threads = 1, .allocator = &allocator}, &ctx), TN_OK);
    return ctx;
}

/* Calls fn(ctx, arg) with the first, the second, ... allocation failing until it succeeds: each failure must
 * be TN_NOMEM with a message, and leave nothing behind. Returns how many there were. `fn` frees what it made.
 */
static inline int fail_each_allocation(tn_status (*fn)(tn_ctx *ctx, void *arg), void *arg)
{
    watched w;
    tn_ctx *ctx = watched_ctx(&w);
    long before = w.live;
    for (int failures = 0;; failures++) {
        w.left = failures;
        tn_clear_error(ctx);
        tn_status status = fn(ctx, arg);
        assert_int_equal(w.live, before);
        if (status == TN_OK) {
            w.left = -1;
            tn_ctx_destroy(ctx);
            return failures;
        }
        assert_int_equal(status, TN_NOMEM);
        assert_non_null(strstr(tn_error(ctx), "out of memory"));
    }
}

#endif
