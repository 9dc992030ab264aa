/* The cache of features.
 *
 * The file, all little-endian: "VLNCACHE", u32 version, u32 width; then records of u64 key, width floats, u64
 * hash of the two. Records are of one size, so a damaged one does not hide those behind it.
 *
 * Values stay in the file: who wants all of them has room for all, and need not have it twice.
 */
#include "nn/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { VERSION = 1, HEADER = 16, KEY = sizeof(uint64_t), HASH = sizeof(uint64_t), MAX_WIDTH = 1 << 20 };
static const char magic[8] = {'V', 'L', 'N', 'C', 'A', 'C', 'H', 'E'};

struct nn_cache {
    tn_ctx *ctx;           /* borrowed */
    char *path;            /* for messages */
    int fd;                /* of the file, locked */
    int width;             /* floats of a record */
    off_t end;             /* where the next record goes */
    unsigned char *record; /* room for one as it lies in the file */
    uint64_t *key;         /* of each record that can be found */
    off_t *at;             /* where each lies in the file */
    size_t count;          /* how many there are */
    size_t keys, places;   /* room in the two */
    size_t *slot;          /* hash table: index + 1 of a record, or 0 */
    size_t slots;          /* its size, a power of two */
};

uint64_t nn_hash(uint64_t hash, const void *data, size_t bytes)
{
    const unsigned char *byte = data;
    for (size_t i = 0; i < bytes; i++)
        hash = (hash ^ byte[i]) * UINT64_C(0x100000001b3);
    return hash;
}

static tn_status io_error(const nn_cache *c, const char *what)
{
    return tn_fail(c->ctx, TN_IO, "%s: %s: %s", c->path, what, strerror(errno));
}

/* ---- in memory ------------------------------------------------------------------------------------- */

/* The slot that holds the key, or the free one where it would go. */
static size_t slot_of(const nn_cache *c, uint64_t key)
{
    size_t at = (size_t)(key * UINT64_C(0x9e3779b97f4a7c15) >> 32) & (c->slots - 1);
    while (c->slot[at] && c->key[c->slot[at] - 1] != key)
        at = (at + 1) & (c->slots - 1);
    return at;
}

/* Makes room for one more record: the table stays at most half full. */
static tn_status make_room(nn_cache *c)
{
    TN_TRY(tn_grow(c->ctx, &c->key, &c->keys, c->count + 1, sizeof *c->key));
    TN_TRY(tn_grow(c->ctx, &c->at, &c->places, c->count + 1, sizeof *c->at));
    if (2 * (c->count + 1) <= c->slots)
        return TN_OK;
    const size_t slots = c->slots ? 2 * c->slots : 64;
    size_t *bigger = tn_zalloc(c->ctx, slots, sizeof *bigger);
    if (!bigger)
        return TN_NOMEM;
    tn_free(c->ctx, c->slot);
    c->slot = bigger;
    c->slots = slots;
    for (size_t i = 0; i < c->count; i++)
        c->slot[slot_of(c, c->key[i])] = i + 1;
    return TN_OK;
}

static void insert(nn_cache *c, uint64_t key, off_t place)
{
    const size_t slot = slot_of(c, key);
    if (c->slot[slot])
        return;
    c->key[c->count] = key;
    c->at[c->count] = place;
    c->slot[slot] = ++c->count;
}

bool nn_cache_has(const nn_cache *cache, uint64_t key)
{
    return cache->slots && cache->slot[slot_of(cache, key)];
}

size_t nn_cache_count(const nn_cache *cache)
{
    return cache->count;
}

/* ---- in the file ----------------------------------------------------------------------------------- */

static size_t record_bytes(const nn_cache *c)
{
    return KEY + (size_t)c->width * sizeof(float) + HASH;
}

static tn_status write_at(const nn_cache *c, const void *data, size_t bytes, off_t at)
{
    const char *from = data;
    while (bytes > 0) {
        const ssize_t put = pwrite(c->fd, from, bytes, at);
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            return io_error(c, "cannot write");
        from += put;
        at += put;
        bytes -= (size_t)put;
    }
    return TN_OK;
}

/* Reads up to `bytes`; *got is less at the end of the file. */
static tn_status read_at(const nn_cache *c, void *data, size_t bytes, off_t at, size_t *got)
{
    for (*got = 0; *got < bytes;) {
        const ssize_t now = pread(c->fd, (char *)data + *got, bytes - *got, at + (off_t)*got);
        if (now < 0 && errno == EINTR)
            continue;
        if (now < 0)
            return io_error(c, "cannot read");
        if (now == 0)
            break;
        *got += (size_t)now;
    }
    return TN_OK;
}

static tn_status begin_file(nn_cache *c)
{
    unsigned char header[HEADER];
    const uint32_t numbers[2] = {VERSION, (uint32_t)c->width};
    memcpy(header, magic, sizeof magic);
    memcpy(header + sizeof magic, numbers, sizeof numbers);
    c->end = HEADER;
    return write_at(c, header, sizeof header, 0);
}

static tn_status check_header(nn_cache *c, const unsigned char *header, size_t got)
{
    uint32_t numbers[2] = {0, 0};
    if (got == HEADER)
        memcpy(numbers, header + sizeof magic, sizeof numbers);
    if (got < HEADER || memcmp(header, magic, sizeof magic) != 0)
        return tn_fail(c->ctx, TN_FORMAT, "%s: not a cache of features (its first 8 bytes are not VLNCACHE)",
                       c->path);
    if (numbers[0] != VERSION)
        return tn_fail(c->ctx, TN_FORMAT, "%s: a cache of version %u, expected %d", c->path, numbers[0],
                       (int)VERSION);
    if (numbers[1] != (uint32_t)c->width)
        return tn_fail(c->ctx, TN_FORMAT, "%s: a cache of %u features a clip, expected %d", c->path,
                       numbers[1], c->width);
    return TN_OK;
}

static tn_status read_records(nn_cache *c)
{
    const size_t bytes = record_bytes(c);
    for (c->end = HEADER;; c->end += (off_t)bytes) {
        size_t got;
        TN_TRY(read_at(c, c->record, bytes, c->end, &got));
        if (got < bytes)
            return TN_OK;
        uint64_t key, hash;
        memcpy(&key, c->record, KEY);
        memcpy(&hash, c->record + bytes - HASH, HASH);
        if (hash != nn_hash(NN_HASH_BEGIN, c->record, bytes - HASH))
            continue;
        TN_TRY(make_room(c));
        insert(c, key, c->end);
    }
}

static tn_status open_file(nn_cache *c)
{
    c->fd = open(c->path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (c->fd < 0)
        return io_error(c, "cannot open");
    if (flock(c->fd, LOCK_EX | LOCK_NB) != 0)
        return errno == EWOULDBLOCK ? tn_fail(c->ctx, TN_IO, "%s: another process is using it", c->path)
                                    : io_error(c, "cannot lock");
    unsigned char header[HEADER];
    size_t got;
    TN_TRY(read_at(c, header, sizeof header, 0, &got));
    /* Empty, or cut off while it was made. */
    if (got < HEADER && memcmp(header, magic, got < sizeof magic ? got : sizeof magic) == 0) {
        TN_TRY(begin_file(c));
        return TN_OK;
    }
    TN_TRY(check_header(c, header, got));
    return read_records(c);
}

tn_status nn_cache_open(tn_ctx *ctx, const char *path, int width, nn_cache **out)
{
    *out = NULL;
    if (width < 1 || width > MAX_WIDTH)
        return tn_fail(ctx, TN_RANGE, "%s: a cache of %d features a clip, expected 1 to %d", path, width,
                       (int)MAX_WIDTH);
    nn_cache *c = tn_zalloc(ctx, 1, sizeof *c);
    if (!c)
        return TN_NOMEM;
    c->ctx = ctx;
    c->fd = -1;
    c->width = width;
    c->path = tn_strdup(ctx, path);
    c->record = tn_alloc(ctx, record_bytes(c), 1);
    const tn_status status = c->path && c->record ? open_file(c) : TN_NOMEM;
    if (status != TN_OK) {
        nn_cache_close(c);
        return status;
    }
    *out = c;
    return TN_OK;
}

tn_status nn_cache_add(nn_cache *cache, uint64_t key, const float *values)
{
    if (nn_cache_has(cache, key))
        return TN_OK;
    TN_TRY(make_room(cache));
    const size_t bytes = record_bytes(cache);
    memcpy(cache->record, &key, KEY);
    memcpy(cache->record + KEY, values, bytes - KEY - HASH);
    const uint64_t hash = nn_hash(NN_HASH_BEGIN, cache->record, bytes - HASH);
    memcpy(cache->record + bytes - HASH, &hash, HASH);
    const tn_status status = write_at(cache, cache->record, bytes, cache->end);
    if (status != TN_OK) {
        /* What was written of it would be dropped anyway, but a full disk wants its bytes back. */
        const int cut = ftruncate(cache->fd, cache->end);
        (void)cut;
        return status;
    }
    insert(cache, key, cache->end);
    cache->end += (off_t)bytes;
    return TN_OK;
}

tn_status nn_cache_read(nn_cache *cache, uint64_t key, float *out)
{
    if (!nn_cache_has(cache, key))
        return tn_fail(cache->ctx, TN_RANGE, "%s: no record of that key", cache->path);
    const size_t bytes = record_bytes(cache);
    size_t got;
    TN_TRY(read_at(cache, cache->record, bytes, cache->at[cache->slot[slot_of(cache, key)] - 1], &got));
    uint64_t hash;
    memcpy(&hash, cache->record + bytes - HASH, HASH);
    if (got < bytes || hash != nn_hash(NN_HASH_BEGIN, cache->record, bytes - HASH))
        return tn_fail(cache->ctx, TN_FORMAT, "%s: a record was changed while the file was open",
                       cache->path);
    memcpy(out, cache->record + KEY, bytes - KEY - HASH);
    return TN_OK;
}

tn_status nn_cache_close(nn_cache *cache)
{
    if (!cache)
        return TN_OK;
    tn_ctx *ctx = cache->ctx;
    tn_status status = TN_OK;
    if (cache->fd >= 0 && fsync(cache->fd) != 0 && errno != EINVAL)
        status = io_error(cache, "cannot bring it to disk");
    if (cache->fd >= 0)
        close(cache->fd);
    tn_free(ctx, cache->slot);
    tn_free(ctx, cache->at);
    tn_free(ctx, cache->key);
    tn_free(ctx, cache->record);
    tn_free(ctx, cache->path);
    tn_free(ctx, cache);
    return status;
}
