/* Files made by hand: bytes in memory, PNG chunk by chunk. */
#ifndef TESTS_DATA_PICTURES_H
#define TESTS_DATA_PICTURES_H

#include "tests/common/testing.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct buffer {
    unsigned char *bytes; /* free() */
    size_t count;         /* in use */
    size_t room;          /* at least as many */
} buffer;

static inline void put(buffer *b, const void *bytes, size_t n)
{
    if (b->count + n >= b->room) {
        b->room = 2 * (b->count + n) + 64;
        b->bytes = realloc(b->bytes, b->room);
        assert_non_null(b->bytes);
    }
    if (n)
        memcpy(b->bytes + b->count, bytes, n);
    b->count += n;
}

static inline void put32(buffer *b, uint32_t value)
{
    unsigned char p[4] = {(unsigned char)(value >> 24), (unsigned char)(value >> 16),
                          (unsigned char)(value >> 8), (unsigned char)value};
    put(b, p, 4);
}

static inline buffer load(const char *path)
{
    FILE *f = fopen(path, "rb");
    if (!f)
        fail_msg("%s is missing", path);
    buffer b = {0};
    unsigned char part[4096];
    for (size_t got; (got = fread(part, 1, sizeof part, f)) > 0;)
        put(&b, part, got);
    put(&b, part, 0);
    fclose(f);
    return b;
}

static inline void store(const char *path, const void *bytes, size_t n)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
}

static inline void chunk(buffer *b, const char *type, const void *data, size_t n)
{
    put32(b, (uint32_t)n);
    size_t begin = b->count;
    put(b, type, 4);
    put(b, data, n);
    uint32_t crc = 0xffffffff;
    for (size_t i = begin; i < b->count; i++) {
        crc ^= b->bytes[i];
        for (int k = 0; k < 8; k++)
            crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
    }
    put32(b, ~crc);
}

static inline void png_begin(buffer *b, uint32_t width, uint32_t height, int depth, int colour)
{
    unsigned char header[13] = {0};
    for (int i = 0; i < 4; i++) {
        header[i] = (unsigned char)(width >> (24 - 8 * i));
        header[4 + i] = (unsigned char)(height >> (24 - 8 * i));
    }
    header[8] = (unsigned char)depth;
    header[9] = (unsigned char)colour;
    put(b, "\x89PNG\r\n\x1a\n", 8);
    chunk(b, "IHDR", header, sizeof header);
}

/* The rows (each with its filter byte) as one stored block. */
static inline void png_end(buffer *b, const unsigned char *rows, size_t n)
{
    buffer z = {0};
    unsigned char head[7] = {
        0x78, 1, 1, (unsigned char)n, (unsigned char)(n >> 8), (unsigned char)~n, (unsigned char)(~n >> 8)};
    put(&z, head, sizeof head);
    put(&z, rows, n);
    uint32_t a = 1, c = 0;
    for (size_t i = 0; i < n; i++) {
        a = (a + rows[i]) % 65521;
        c = (c + a) % 65521;
    }
    put32(&z, c << 16 | a);
    chunk(b, "IDAT", z.bytes, z.count);
    chunk(b, "IEND", NULL, 0);
    free(z.bytes);
}

#endif
