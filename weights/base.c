/* Memory that is freed all at once, messages with a place, integers, text, checksums. */
#include "weights/internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* ---- arena ------------------------------------------------------------------------------------------- */

typedef struct wt_chunk {
    struct wt_chunk *older; /* NULL: the first */
    uint64_t bytes[];       /* aligned to 8 */
} wt_chunk;

enum { CHUNK_BYTES = 16384 };

void *wt_arena_alloc(wt_arena *arena, size_t count, size_t size)
{
    size_t bytes;
    if (!tn_mul_size(count, size, &bytes) || bytes > SIZE_MAX - 64)
        bytes = SIZE_MAX - 64; /* which tn_alloc() refuses with a message */
    bytes = (bytes + 7) & ~(size_t)7;
    if (bytes > arena->room - arena->used || !arena->chunk) {
        size_t room = bytes > CHUNK_BYTES / 4 ? bytes : CHUNK_BYTES;
        wt_chunk *chunk = tn_alloc(arena->ctx, 1, sizeof *chunk + room);
        if (!chunk)
            return NULL;
        /* A large block goes behind the newest chunk, whose rest stays in use. */
        if (room == bytes && arena->chunk) {
            chunk->older = arena->chunk->older;
            arena->chunk->older = chunk;
            return chunk->bytes;
        }
        chunk->older = arena->chunk;
        arena->chunk = chunk;
        arena->used = 0;
        arena->room = room;
    }
    void *block = (unsigned char *)arena->chunk->bytes + arena->used;
    arena->used += bytes;
    return block;
}

void wt_arena_free(wt_arena *arena)
{
    while (arena->chunk) {
        wt_chunk *older = arena->chunk->older;
        tn_free(arena->ctx, arena->chunk);
        arena->chunk = older;
    }
    arena->used = arena->room = 0;
}

char *wt_arena_text(wt_arena *arena, const void *text, size_t bytes)
{
    char *copy = wt_arena_alloc(arena, bytes + 1, 1);
    if (copy) {
        if (bytes)
            memcpy(copy, text, bytes);
        copy[bytes] = '\0';
    }
    return copy;
}

static char *arena_vprintf(wt_arena *arena, const char *format, va_list args)
{
    char line[512];
    int n = vsnprintf(line, sizeof line, format, args);
    if (n < 0)
        n = 0;
    return wt_arena_text(arena, line, (size_t)n < sizeof line ? (size_t)n : sizeof line - 1);
}

char *wt_arena_printf(wt_arena *arena, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    char *text = arena_vprintf(arena, format, args);
    va_end(args);
    return text;
}

tn_status wt_add_fact(wt_file *file, const char *format, ...)
{
    if (file->fact_count == WT_MAX_FACTS)
        return TN_OK;
    TN_TRY(tn_grow(file->ctx, &file->facts, &file->fact_room, file->fact_count + 1, sizeof *file->facts));
    va_list args;
    va_start(args, format);
    char *text = arena_vprintf(&file->arena, format, args);
    va_end(args);
    if (!text)
        return TN_NOMEM;
    file->facts[file->fact_count++] = text;
    return TN_OK;
}

/* ---- messages ---------------------------------------------------------------------------------------- */

tn_status wt_bad(const wt_source *source, tn_status status, const char *section, size_t offset,
                 const char *format, ...)
{
    char text[400];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return tn_fail(source->ctx, status, "%s: %s%s at offset %zu: %s", source->path, source->part, section,
                   source->base + offset, text);
}

tn_status wt_io_error(tn_ctx *ctx, const char *path, const char *what)
{
    int reason = errno;
    return tn_fail(ctx, TN_IO, "%s: %s: %s", path, what, strerror(reason));
}

char *wt_printable(const char *text, char *out, size_t room)
{
    static const char hex[] = "0123456789abcdef";
    const unsigned char *p = (const unsigned char *)text;
    size_t left = strlen(text), used = 0, cut = 0; /* where "..." still fits behind */
    while (left && room) {
        size_t n = wt_utf8_length(p, left);
        /* C1 controls (C2 80 to C2 9F) move terminals too. */
        bool plain = n && *p >= 0x20 && *p != 0x7f && *p != '\\' && !(*p == 0xc2 && p[1] < 0xa0);
        const char escape[4] = {'\\', 'x', hex[*p >> 4], hex[*p & 15]};
        size_t need = plain ? n : sizeof escape;
        if (need >= room - used)
            break;
        memcpy(out + used, plain ? (const void *)p : escape, need);
        used += need;
        if (room - used >= 4)
            cut = used;
        p += plain ? n : 1;
        left -= plain ? n : 1;
    }
    if (left)
        used = cut;
    for (int i = 0; left && i < 3 && used + 1 < room; i++)
        out[used++] = '.';
    if (room)
        out[used] = '\0';
    return out;
}

/* ---- integers ---------------------------------------------------------------------------------------- */

uint16_t wt_u16(const unsigned char *p)
{
    uint16_t value;
    memcpy(&value, p, sizeof value);
    return value;
}

uint32_t wt_u32(const unsigned char *p)
{
    uint32_t value;
    memcpy(&value, p, sizeof value);
    return value;
}

uint64_t wt_u64(const unsigned char *p)
{
    uint64_t value;
    memcpy(&value, p, sizeof value);
    return value;
}

bool wt_element_count(int rank, const int64_t *size, size_t *out)
{
    size_t product = 1;
    bool empty = false;
    for (int i = 0; i < rank; i++) {
        if (size[i] < 0)
            return false;
        empty |= size[i] == 0;
    }
    for (int i = 0; i < rank && !empty; i++)
        if (!tn_mul_size(product, (size_t)size[i], &product))
            return false;
    *out = empty ? 0 : product;
    return true;
}

/* ---- text -------------------------------------------------------------------------------------------- */

size_t wt_utf8_length(const unsigned char *text, size_t bytes)
{
    if (bytes == 0)
        return 0;
    unsigned char first = text[0];
    if (first < 0x80)
        return 1;
    size_t n = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
    if (first < 0xc2 || first > 0xf4 || n > bytes)
        return 0;
    for (size_t i = 1; i < n; i++)
        if ((text[i] & 0xc0) != 0x80)
            return 0;
    /* Overlong forms, surrogates, and what lies past U+10FFFF show in the second byte. */
    unsigned char second = text[1];
    if ((first == 0xe0 && second < 0xa0) || (first == 0xed && second > 0x9f) ||
        (first == 0xf0 && second < 0x90) || (first == 0xf4 && second > 0x8f))
        return 0;
    return n;
}

bool wt_is_text(const void *text, size_t bytes)
{
    const unsigned char *p = text;
    for (size_t i = 0, n; i < bytes; i += n) {
        n = wt_utf8_length(p + i, bytes - i);
        if (n == 0 || p[i] == 0)
            return false;
    }
    return true;
}

/* ---- CRC-32 (ISO 3309, as in zip) -------------------------------------------------------------------- */

uint32_t wt_crc32(const unsigned char *data, size_t bytes)
{
    /* "Slicing by 8": table[k][b] is the effect of byte b with k bytes after it. */
    uint32_t table[8][256];
    for (uint32_t b = 0; b < 256; b++) {
        uint32_t c = b;
        for (int bit = 0; bit < 8; bit++)
            c = (c >> 1) ^ (c & 1 ? 0xedb88320u : 0);
        table[0][b] = c;
    }
    for (int k = 1; k < 8; k++)
        for (int b = 0; b < 256; b++)
            table[k][b] = (table[k - 1][b] >> 8) ^ table[0][table[k - 1][b] & 255];
    uint32_t crc = 0xffffffffu;
    for (; bytes >= 8; bytes -= 8, data += 8) {
        uint32_t low = wt_u32(data) ^ crc;
        crc = table[7][low & 255] ^ table[6][low >> 8 & 255] ^ table[5][low >> 16 & 255] ^
              table[4][low >> 24] ^ table[3][data[4]] ^ table[2][data[5]] ^ table[1][data[6]] ^
              table[0][data[7]];
    }
    for (; bytes; bytes--, data++)
        crc = (crc >> 8) ^ table[0][(crc ^ *data) & 255];
    return ~crc;
}
