/* Files of bytes for tests, and bytes put together by hand. */
#ifndef TESTS_FILES_H
#define TESTS_FILES_H

#include "tests/common/testing.h"

/* A printf() into new memory, which the caller free()s; paths mostly. */
char *test_text(const char *format, ...) TN_PRINTF(1, 2);

/* The bytes of a file with a NUL behind them, freed by the caller; `size` may be NULL. Asserts. */
unsigned char *test_read_file(const char *path, size_t *size);
void test_write_file(const char *path, const void *data, size_t size);

/* How many entries a folder has, "." and ".." aside. */
int test_count_files(const char *dir);

/* Bytes that grow. */
typedef struct test_bytes {
    unsigned char *data; /* malloc()ed */
    size_t size, room;   /* bytes in it, and bytes that it has room for */
} test_bytes;

void test_put(test_bytes *b, const void *data, size_t size);
void test_put_text(test_bytes *b, const char *text);           /* without its NUL */
void test_put_int(test_bytes *b, uint64_t value, size_t size); /* little-endian */

/* A string literal with NULs in it, and its size. */
#define TEST_LITERAL(text) (text), sizeof(text) - 1

#endif
