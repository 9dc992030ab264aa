/* The chunks of a PNG file (ISO/IEC 15948), walked before anything is decoded. */
#include "data/check.h"

#include <limits.h>
#include <string.h>

enum { HEADER = 13, PALETTE = 256 * 3 };

typedef struct walk {
    tn_ctx *ctx;       /* takes the message */
    const char *name;  /* of the file */
    size_t at;         /* where the chunk under way begins */
    int width, height; /* of the picture; 0 before the header */
    int bits;          /* of a pixel */
    bool indexed;      /* colours come from a palette */
    bool has_palette;  /* and it was there */
    size_t data;       /* bytes of IDAT so far */
} walk;

static tn_status bad(const walk *w, const char *what)
{
    return tn_fail(w->ctx, TN_FORMAT, "%s: damaged PNG at byte %zu: %s", w->name, w->at, what);
}

static uint32_t get32(const unsigned char *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void put32(unsigned char *p, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        p[i] = (unsigned char)(value >> (24 - 8 * i));
}

/* CRC-32 of ISO 3309, four bits at a time. */
static uint32_t crc32_of(const unsigned char *p, size_t n)
{
    static const uint32_t table[16] = {0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4,
                                       0x4db26158, 0x5005713c, 0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c,
                                       0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c};
    uint32_t crc = 0xffffffff;
    for (size_t i = 0; i < n; i++) {
        crc ^= p[i];
        crc = crc >> 4 ^ table[crc & 15];
        crc = crc >> 4 ^ table[crc & 15];
    }
    return ~crc;
}

static tn_status check_header(walk *w, const unsigned char *p, size_t n, size_t max_pixels)
{
    if (n != HEADER)
        return bad(w, "header of the wrong length");
    uint32_t width = get32(p), height = get32(p + 4);
    int depth = p[8], colour = p[9];
    if (width < 1 || height < 1 || width > INT_MAX || height > INT_MAX)
        return bad(w, "width or height out of range");
    /* Bit b is set where depth b goes with the colour type. */
    static const uint32_t depths[7] = {1u << 1 | 1u << 2 | 1u << 4 | 1u << 8 | 1u << 16,
                                       0,
                                       1u << 8 | 1u << 16,
                                       1u << 1 | 1u << 2 | 1u << 4 | 1u << 8,
                                       1u << 8 | 1u << 16,
                                       0,
                                       1u << 8 | 1u << 16};
    static const int channels[7] = {1, 0, 3, 1, 2, 0, 4};
    if (colour > 6 || depth > 16 || !(depths[colour] >> depth & 1))
        return bad(w, "a colour type and bit depth that do not go together");
    if (p[10] != 0 || p[11] != 0 || p[12] > 1)
        return bad(w, "unknown compression, filter or interlace method");
    if ((uint64_t)width * height > max_pixels)
        return tn_fail(w->ctx, TN_RANGE, "%s: %u x %u pixels, more than the %zu that are read", w->name,
                       width, height, max_pixels);
    w->width = (int)width;
    w->height = (int)height;
    w->bits = depth * channels[colour];
    w->indexed = colour == 3;
    return TN_OK;
}

/* Deflate makes at most 258 bytes of two bits. */
enum { DEFLATE_RATIO = 1032 };

static tn_status check_end(const walk *w)
{
    if (w->indexed && !w->has_palette)
        return bad(w, "no palette");
    uint64_t pixels = (uint64_t)w->width * (uint64_t)w->height;
    if (w->data == 0 || pixels * (uint64_t)w->bits / 8 / DEFLATE_RATIO > w->data)
        return bad(w, "too little data for the size of the picture");
    return TN_OK;
}

/* Where the parts of the plain file are: signature, IHDR, PLTE and the beginning of IDAT. */
enum { PLAIN_PALETTE = 8 + 12 + HEADER, PLAIN_DATA = PLAIN_PALETTE + 12 + PALETTE };

static void begin_plain(unsigned char *plain, const unsigned char *file)
{
    memset(plain, 0, PLAIN_DATA + 8);
    memcpy(plain, file, 8);
    put32(plain + 8, HEADER);
    memcpy(plain + 12, "IHDR", 4);
    put32(plain + PLAIN_PALETTE, PALETTE);
    memcpy(plain + PLAIN_PALETTE + 4, "PLTE", 4);
    memcpy(plain + PLAIN_DATA + 4, "IDAT", 4);
}

/* The decoder at hand does not look at checksums, so they stay 0. */
static size_t end_plain(unsigned char *plain, size_t data)
{
    put32(plain + PLAIN_DATA, (uint32_t)data);
    unsigned char *p = plain + PLAIN_DATA + 8 + data;
    memset(p, 0, 16);
    memcpy(p + 8, "IEND", 4);
    return (size_t)(p + 16 - plain);
}

_Static_assert((int)PLAIN_DATA + 8 + 16 <= (int)DATA_PNG_EXTRA, "room for what the plain file adds");

static tn_status check_chunk(walk *w, const unsigned char *type, const unsigned char *p, size_t n,
                             size_t max_pixels, unsigned char *plain)
{
    bool critical = !(type[0] & 0x20);
    if (memcmp(type, "CgBI", 4) == 0)
        return tn_fail(w->ctx, TN_UNSUPPORTED,
                       "%s: a PNG made for iPhones (chunk CgBI), which is not standard", w->name);
    if ((memcmp(type, "IHDR", 4) == 0) != (w->width == 0))
        return bad(w, w->width ? "a second header" : "the first chunk is not the header");
    if (critical && crc32_of(type, n + 4) != get32(p + n))
        return bad(w, "wrong checksum");
    if (memcmp(type, "IHDR", 4) == 0) {
        TN_TRY(check_header(w, p, n, max_pixels));
        memcpy(plain + 16, p, HEADER);
    } else if (memcmp(type, "PLTE", 4) == 0) {
        if (n < 3 || n > PALETTE || n % 3 != 0 || w->data > 0 || w->has_palette)
            return bad(w, "malformed palette");
        w->has_palette = true;
        memcpy(plain + PLAIN_PALETTE + 8, p, n);
    } else if (memcmp(type, "IDAT", 4) == 0) {
        memcpy(plain + PLAIN_DATA + 8 + w->data, p, n);
        w->data += n;
    } else if (critical && memcmp(type, "IEND", 4) != 0) {
        return bad(w, "unknown critical chunk");
    }
    return TN_OK;
}

tn_status data_check_png(tn_ctx *ctx, const char *name, const unsigned char *bytes, size_t count,
                         size_t max_pixels, data_picture_info *out, unsigned char *plain, size_t *plain_count)
{
    walk w = {.ctx = ctx, .name = name};
    begin_plain(plain, bytes);
    for (size_t next = 8;;) {
        w.at = next;
        size_t left = count - next;
        if (left < 12)
            return bad(&w, "cut short, no end chunk");
        size_t n = get32(bytes + next);
        if (n > left - 12)
            return bad(&w, "a chunk longer than the file");
        const unsigned char *type = bytes + next + 4;
        TN_TRY(check_chunk(&w, type, type + 4, n, max_pixels, plain));
        if (memcmp(type, "IEND", 4) == 0)
            break;
        next += 12 + n;
    }
    TN_TRY(check_end(&w));
    *plain_count = end_plain(plain, w.data);
    out->width = w.width;
    out->height = w.height;
    return TN_OK;
}
