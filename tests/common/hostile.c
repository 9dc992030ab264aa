#include "tests/common/hostile.h"

#include <stdlib.h>
#include <string.h>

int test_bench_open(void **state)
{
    test_bench *b = calloc(1, sizeof *b);
    test_memory_init(&b->memory);
    b->ctx = test_memory_ctx(&b->memory);
    b->dir = test_make_dir();
    b->path = test_text("%s/x", b->dir);
    *state = b;
    return 0;
}

int test_bench_close(void **state)
{
    test_bench *b = *state;
    tn_ctx_destroy(b->ctx);
    free(b->path);
    test_remove_dir(b->dir);
    free(b);
    return 0;
}

tn_status test_bench_bytes(test_bench *b, const test_bytes *bytes, wt_file **file)
{
    test_write_file(b->path, bytes->data, bytes->size);
    tn_clear_error(b->ctx);
    long held = b->memory.blocks;
    size_t before = b->memory.bytes;
    b->memory.peak = before;
    tn_status status = wt_open(b->ctx, b->path, file);
    /* The mapping counts too: at most once the file. */
    assert_true(b->memory.peak - before <= 3 * bytes->size + ((size_t)64 << 20));
    if (status != TN_OK)
        assert_int_equal(b->memory.blocks, held);
    return status;
}

void test_bench_expect(test_bench *b, const test_bytes *bytes, tn_status status, const char *message)
{
    wt_file *file;
    tn_status got = test_bench_bytes(b, bytes, &file);
    const char *text = tn_error(b->ctx);
    if (got != status || (status != TN_OK && (!strstr(text, message) || !strstr(text, " at offset "))))
        fail_msg("%s (%s), expected %s (%s)", tn_status_text(got), text, tn_status_text(status), message);
    wt_close(file);
}
