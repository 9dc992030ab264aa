/* An allocator that counts, and that fails on demand. */
#ifndef TESTS_MEMORY_H
#define TESTS_MEMORY_H

#include "tests/common/testing.h"

typedef struct test_memory {
    tn_allocator allocator; /* for tn_options; its user is this struct */
    size_t bytes, peak;     /* held now, and at most */
    long blocks;            /* held now */
    long calls;             /* so far */
    long fail_at;           /* the call, from 1, that gets NULL; 0: none */
    bool fail_after;        /* so do all calls behind it */
} test_memory;

void test_memory_init(test_memory *memory);

/* A context with one thread that takes its memory from there. */
tn_ctx *test_memory_ctx(test_memory *memory);

#endif
