/* What the tests of this folder share: allocations that fail one by one, and what is left open. */
#ifndef TESTS_DATA_MEMORY_H
#define TESTS_DATA_MEMORY_H

#include "tests/common/memory.h"
#include "tests/common/testing.h"

#include <dirent.h>
#include <string.h>

/* Calls fn(ctx, arg) with the first, the second, ... allocation failing (every other time all that follow,
 * too) until it succeeds: each failure must be TN_NOMEM with a message, and leave nothing behind. Returns how
 * many allocations there were. `fn` frees what it made. */
static inline long fail_each_allocation(tn_status (*fn)(tn_ctx *ctx, void *arg), void *arg)
{
    test_memory memory;
    test_memory_init(&memory);
    tn_ctx *ctx = test_memory_ctx(&memory);
    long before = memory.blocks, failures = 0;
    for (tn_status status = TN_NOMEM; status != TN_OK; failures++) {
        memory.calls = 0;
        memory.fail_at = failures + 1;
        memory.fail_after = failures % 2;
        tn_clear_error(ctx);
        status = fn(ctx, arg);
        assert_int_equal(memory.blocks, before);
        if (status == TN_OK) {
            assert_string_equal(tn_error(ctx), ""); /* nothing failed on the way */
            continue;
        }
        assert_int_equal(status, TN_NOMEM);
        assert_non_null(strstr(tn_error(ctx), "out of memory"));
    }
    tn_ctx_destroy(ctx);
    assert_int_equal(memory.blocks, 0);
    return failures;
}

/* How many files this process has open. */
static inline int open_files(void)
{
    int n = 0;
    DIR *dir = opendir("/proc/self/fd");
    assert_non_null(dir);
    while (readdir(dir))
        n++;
    closedir(dir);
    return n;
}

#endif
