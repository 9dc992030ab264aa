/* A bench for readers: bytes are put into a file and opened, with memory counted. */
#ifndef TESTS_HOSTILE_H
#define TESTS_HOSTILE_H

#include "tests/common/files.h"
#include "tests/common/memory.h"
#include "weights/weights.h"

typedef struct test_bench {
    test_memory memory; /* of the context */
    tn_ctx *ctx;        /* one thread */
    char *dir, *path;   /* where files are put: DIR/x */
} test_bench;

/* For cmocka's group set-up and tear-down: *state is the bench. */
int test_bench_open(void **state);
int test_bench_close(void **state);

/* Opens bytes as a file of weights. Asserts that memory stays below 4 times the file and 64 MB, and that
 * nothing is left of it after a failure. */
tn_status test_bench_bytes(test_bench *b, const test_bytes *bytes, wt_file **file);

/* The same, and asserts the status and after a failure that the message has `message` in it, and a place.
 * Closes the file. */
void test_bench_expect(test_bench *b, const test_bytes *bytes, tn_status status, const char *message);

#endif
