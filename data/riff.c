/* The chunks of WAV files: "RIFF", length, "WAVE", then chunks of a name, a length and as many bytes, padded
 * to an even number. RIFX is big-endian; RF64 has 64-bit lengths in its first chunk, "ds64" (EBU Tech 3306).
 */
#include "data/riff.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

enum {
    HEAD = 12,            /* bytes before the first chunk */
    CHUNK_HEAD = 8,       /* bytes of a chunk's name and length */
    MAX_CHUNKS = 4096,    /* looked at before "data" */
    OPEN_END = 0x7ffff000 /* lengths from here on are those of writers that did not know */
};

/* A file while its chunks are looked at. */
typedef struct riff {
    tn_ctx *ctx;
    const char *path;
    int fd;
    uint64_t bytes;      /* of the file */
    bool big_endian;     /* RIFX */
    bool has_lengths;    /* RF64: the next two are known */
    uint64_t riff_bytes; /* behind the first 8 */
    uint64_t data_bytes; /* of the chunk "data" */
} riff;

static uint64_t number(const riff *r, const unsigned char *at, int bytes)
{
    uint64_t value = 0;
    for (int i = 0; i < bytes; i++)
        value |= (uint64_t)at[r->big_endian ? bytes - 1 - i : i] << 8 * i;
    return value;
}

/* Reads what is there, up to n bytes; the rest becomes 0. */
static tn_status read_at(const riff *r, uint64_t offset, unsigned char *to, size_t n, size_t *got)
{
    memset(to, 0, n);
    ssize_t count = pread(r->fd, to, n, (off_t)offset);
    if (count < 0)
        return tn_fail(r->ctx, TN_IO, "%s: cannot read: %s", r->path, strerror(errno));
    *got = (size_t)count;
    return TN_OK;
}

static tn_status check_data(const riff *r, uint64_t offset, uint64_t length)
{
    uint64_t left = r->bytes - offset - CHUNK_HEAD;
    bool open_end = length >= OPEN_END;
    if (r->has_lengths && length == 0xffffffff) {
        length = r->data_bytes;
        open_end = false;
    }
    if (open_end && length > left)
        return TN_OK;
    if (length > left)
        return tn_fail(r->ctx, TN_FORMAT,
                       "%s: cut off: chunk \"data\" at byte %llu announces %llu bytes, %llu are there",
                       r->path, (unsigned long long)offset, (unsigned long long)length,
                       (unsigned long long)left);
    uint64_t end = offset + CHUNK_HEAD + length, riff_end = r->riff_bytes + CHUNK_HEAD;
    bool known = r->has_lengths || r->riff_bytes < OPEN_END;
    /* Many a writer leaves the last pad byte out. */
    bool pad_missing = length % 2 == 1 && end == r->bytes && riff_end == end + 1;
    if (known && riff_end > r->bytes && !pad_missing)
        return tn_fail(r->ctx, TN_FORMAT, "%s: cut off: the header announces %llu bytes, %llu are there",
                       r->path, (unsigned long long)riff_end, (unsigned long long)r->bytes);
    return TN_OK;
}

static tn_status check_chunks(riff *r)
{
    unsigned char head[CHUNK_HEAD + 16];
    uint64_t offset = HEAD;
    size_t got = 0;
    for (int i = 0; i < MAX_CHUNKS; i++) {
        TN_TRY(read_at(r, offset, head, sizeof head, &got));
        if (got < CHUNK_HEAD)
            return tn_fail(r->ctx, TN_FORMAT, "%s: cut off or no sound: no chunk \"data\" in %llu bytes",
                           r->path, (unsigned long long)r->bytes);
        uint64_t length = number(r, head + 4, 4), left = r->bytes - offset - CHUNK_HEAD;
        if (memcmp(head, "data", 4) == 0)
            return check_data(r, offset, length);
        for (int c = 0; c < 4; c++)
            head[c] = isprint(head[c]) ? head[c] : '?';
        if (length > left)
            return tn_fail(r->ctx, TN_FORMAT,
                           "%s: cut off: chunk \"%.4s\" at byte %llu announces %llu bytes, %llu are there",
                           r->path, (const char *)head, (unsigned long long)offset,
                           (unsigned long long)length, (unsigned long long)left);
        if (memcmp(head, "ds64", 4) == 0 && length >= 16 && i == 0) {
            r->has_lengths = true;
            r->riff_bytes = number(r, head + 8, 8);
            r->data_bytes = number(r, head + 16, 8);
        }
        offset += CHUNK_HEAD + length + length % 2;
    }
    return TN_OK;
}

tn_status data_riff_check(tn_ctx *ctx, const char *path, int fd, size_t bytes)
{
    riff r = {.ctx = ctx, .path = path, .fd = fd, .bytes = bytes};
    unsigned char head[HEAD];
    size_t got = 0;
    TN_TRY(read_at(&r, 0, head, sizeof head, &got));
    r.big_endian = memcmp(head, "RIFX", 4) == 0;
    if (!r.big_endian && memcmp(head, "RIFF", 4) != 0 && memcmp(head, "RF64", 4) != 0)
        return TN_OK;
    if (got < HEAD)
        return tn_fail(ctx, TN_FORMAT, "%s: cut off: a RIFF header of %zu bytes, expected %d", path, got,
                       HEAD);
    if (memcmp(head + 8, "WAVE", 4) != 0)
        return TN_OK;
    r.riff_bytes = number(&r, head + 4, 4);
    return check_chunks(&r);
}
