#include "tests/common/memory.h"

#include <stdlib.h>
#include <string.h>

enum { HEAD = 64 }; /* before each block: its size, and room that keeps the alignment */

static void *count_alloc(void *user, size_t bytes)
{
    test_memory *m = user;
    m->calls++;
    if (m->fail_at && (m->calls == m->fail_at || (m->fail_after && m->calls > m->fail_at)))
        return NULL;
    unsigned char *block = aligned_alloc(64, HEAD + bytes);
    if (!block)
        return NULL;
    memcpy(block, &bytes, sizeof bytes);
    m->blocks++;
    m->bytes += bytes;
    if (m->bytes > m->peak)
        m->peak = m->bytes;
    return block + HEAD;
}

static void count_release(void *user, void *block)
{
    test_memory *m = user;
    unsigned char *begin = (unsigned char *)block - HEAD;
    size_t bytes;
    memcpy(&bytes, begin, sizeof bytes);
    m->blocks--;
    m->bytes -= bytes;
    free(begin);
}

void test_memory_init(test_memory *memory)
{
    memset(memory, 0, sizeof *memory);
    memory->allocator = (tn_allocator){count_alloc, count_release, memory};
}

tn_ctx *test_memory_ctx(test_memory *memory)
{
    tn_ctx *ctx = NULL;
    tn_options options = {.threads = 1, .allocator = &memory->allocator};
    assert_int_equal(tn_ctx_create(&options, &ctx), TN_OK);
    return ctx;
}
