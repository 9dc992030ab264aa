/* Zip directories (PKWARE's APPNOTE.TXT 4.3): the end record and its 64-bit form, central and local headers.
 */
#include "weights/zip.h"

#include <stdlib.h>
#include <string.h>

enum { END_BYTES = 22, LOCATOR_BYTES = 20, END64_BYTES = 56, CENTRAL_BYTES = 46, LOCAL_BYTES = 30 };

/* Where the directory is. */
typedef struct zip_extent {
    uint64_t entries, size, offset; /* of the central directory */
    size_t end;                     /* where it has to end: at the first of the end records */
} zip_extent;

/* ---- end records ------------------------------------------------------------------------------------- */

static bool has_signature(const wt_source *source, size_t at, uint32_t signature)
{
    return at < source->size && source->size - at >= 4 && wt_u32(source->data + at) == signature;
}

/* A field of the old record has the value of the new one, or says that it cannot. */
static bool agrees(uint64_t old, uint64_t full, uint64_t unset)
{
    return old == full || old == unset;
}

static tn_status read_end64(const wt_source *source, size_t locator_at, zip_extent *extent)
{
    const unsigned char *locator = source->data + locator_at;
    uint64_t at = wt_u64(locator + 8);
    if (wt_u32(locator + 4) != 0 || wt_u32(locator + 16) > 1)
        return wt_bad(source, TN_UNSUPPORTED, "zip64 locator", locator_at, "the archive is on several disks");
    if (at > locator_at || locator_at - at < END64_BYTES || !has_signature(source, (size_t)at, 0x06064b50))
        return wt_bad(source, TN_FORMAT, "zip64 locator", locator_at, "no end record at %llu",
                      (unsigned long long)at);
    const unsigned char *end = source->data + at;
    if (wt_u64(end + 4) != locator_at - at - 12)
        return wt_bad(source, TN_FORMAT, "zip64 end record", (size_t)at, "its length is wrong");
    if (wt_u32(end + 16) != 0 || wt_u32(end + 20) != 0 || wt_u64(end + 24) != wt_u64(end + 32))
        return wt_bad(source, TN_UNSUPPORTED, "zip64 end record", (size_t)at,
                      "the archive is on several disks");
    zip_extent full = {wt_u64(end + 32), wt_u64(end + 40), wt_u64(end + 48), (size_t)at};
    if (!agrees(extent->entries, full.entries, 0xffff) || !agrees(extent->size, full.size, 0xffffffff) ||
        !agrees(extent->offset, full.offset, 0xffffffff))
        return wt_bad(source, TN_FORMAT, "zip64 end record", (size_t)at, "it contradicts the end record");
    *extent = full;
    return TN_OK;
}

static tn_status read_end(const wt_source *source, zip_extent *extent)
{
    size_t at = source->size < END_BYTES ? 0 : source->size - END_BYTES;
    const unsigned char *end = source->data + at;
    if (source->size < END_BYTES || !has_signature(source, at, 0x06054b50) || wt_u16(end + 20) != 0)
        return wt_bad(source, TN_FORMAT, "zip end record", at,
                      "not there: the file was cut, or bytes follow it");
    if (wt_u16(end + 4) != 0 || wt_u16(end + 6) != 0 || wt_u16(end + 8) != wt_u16(end + 10))
        return wt_bad(source, TN_UNSUPPORTED, "zip end record", at, "the archive is on several disks");
    *extent = (zip_extent){wt_u16(end + 10), wt_u32(end + 12), wt_u32(end + 16), at};
    if (at >= LOCATOR_BYTES && has_signature(source, at - LOCATOR_BYTES, 0x07064b50))
        TN_TRY(read_end64(source, at - LOCATOR_BYTES, extent));
    if (extent->offset > extent->end || extent->size != extent->end - extent->offset)
        return wt_bad(source, TN_FORMAT, "zip end record", at,
                      "a directory of %llu bytes at %llu does not end where it should, at %zu",
                      (unsigned long long)extent->size, (unsigned long long)extent->offset, extent->end);
    if (extent->entries > extent->size / CENTRAL_BYTES)
        return wt_bad(source, TN_FORMAT, "zip end record", at, "%llu entries in a directory of %llu bytes",
                      (unsigned long long)extent->entries, (unsigned long long)extent->size);
    return TN_OK;
}

/* ---- headers ----------------------------------------------------------------------------------------- */

static bool contains(const unsigned char *text, size_t bytes, const char *part)
{
    return memmem(text, bytes, part, strlen(part)) != NULL;
}

static char *shown_name(const wt_record *record, char *out)
{
    char name[WT_SHOWN];
    size_t n = record->name_bytes < sizeof name ? record->name_bytes : sizeof name - 1;
    memcpy(name, record->name, n);
    name[n] = '\0';
    return wt_printable(name, out, WT_SHOWN);
}

static tn_status check_name(const wt_source *source, size_t at, const wt_record *record)
{
    const unsigned char *name = record->name;
    size_t n = record->name_bytes;
    if (n == 0 || !wt_is_text(name, n))
        return wt_bad(source, TN_FORMAT, "central directory", at, "a name is empty or not UTF-8");
    char shown[WT_SHOWN];
    bool climbs = contains(name, n, "/../") ||
                  (n >= 3 && (memcmp(name, "../", 3) == 0 || memcmp(name + n - 3, "/..", 3) == 0)) ||
                  (n == 2 && memcmp(name, "..", 2) == 0);
    if (climbs || name[0] == '/' || memchr(name, '\\', n))
        return wt_bad(source, TN_FORMAT, "central directory", at, "the name %s leads out of the archive",
                      shown_name(record, shown));
    if (contains(name, n, "/code/") || (n >= 14 && memcmp(name + n - 14, "/constants.pkl", 14) == 0))
        return wt_bad(source, TN_UNSUPPORTED, "central directory", at,
                      "%s: a TorchScript archive, which holds a program: save its state_dict instead",
                      shown_name(record, shown));
    return TN_OK;
}

/* The 64-bit values of a central header, for fields that say that they are there. */
static tn_status read_extra(const wt_source *source, size_t at, size_t bytes, uint64_t *values[3])
{
    const unsigned char *extra = source->data + at;
    while (bytes >= 4) {
        size_t id = wt_u16(extra), length = wt_u16(extra + 2);
        if (length > bytes - 4)
            break;
        const unsigned char *value = extra + 4, *end = value + length;
        for (int i = 0; id == 1 && i < 3; i++) {
            if (*values[i] != 0xffffffff)
                continue;
            if (end - value < 8)
                return wt_bad(source, TN_FORMAT, "central directory", at, "a 64-bit size is missing");
            *values[i] = wt_u64(value);
            value += 8;
        }
        extra = end;
        bytes -= 4 + length;
    }
    return TN_OK;
}

static tn_status check_local(const wt_source *source, wt_record *record, size_t directory)
{
    char shown[WT_SHOWN];
    size_t at = record->header;
    if (at > directory || directory - at < LOCAL_BYTES || !has_signature(source, at, 0x04034b50))
        return wt_bad(source, TN_FORMAT, "local header", at, "not there, for %s", shown_name(record, shown));
    const unsigned char *local = source->data + at;
    size_t name = wt_u16(local + 26), head = LOCAL_BYTES + name + wt_u16(local + 28);
    if (head > directory - at || name != record->name_bytes ||
        memcmp(local + LOCAL_BYTES, record->name, name) != 0)
        return wt_bad(source, TN_FORMAT, "local header", at, "its name is not %s", shown_name(record, shown));
    if (wt_u16(local + 6) & 0x2041 || wt_u16(local + 8) != 0)
        return wt_bad(source, TN_UNSUPPORTED, "local header", at, "%s is encrypted or compressed",
                      shown_name(record, shown));
    /* With bit 3 the sizes follow the payload and only the directory's count. */
    if (!(wt_u16(local + 6) & 8) && !agrees(wt_u32(local + 22), record->size, 0xffffffff))
        return wt_bad(source, TN_FORMAT, "local header", at, "the size of %s is not what the directory says",
                      shown_name(record, shown));
    record->offset = at + head;
    if (record->size > directory - record->offset)
        return wt_bad(source, TN_FORMAT, "local header", at, "%s has %zu bytes, %zu are left",
                      shown_name(record, shown), record->size, directory - record->offset);
    return TN_OK;
}

/* The central header at *at and the local one that it points to. */
static tn_status read_header(const wt_source *source, const zip_extent *extent, size_t *at, wt_record *record)
{
    static const char section[] = "central directory";
    char shown[WT_SHOWN];
    const unsigned char *central = source->data + *at;
    if (extent->end - *at < CENTRAL_BYTES || wt_u32(central) != 0x02014b50)
        return wt_bad(source, TN_FORMAT, section, *at, "no entry where one is expected");
    size_t name = wt_u16(central + 28), extra = wt_u16(central + 30), comment = wt_u16(central + 32);
    if (name + extra + comment > extent->end - *at - CENTRAL_BYTES)
        return wt_bad(source, TN_FORMAT, section, *at, "an entry is longer than the directory");
    uint64_t packed = wt_u32(central + 20), size = wt_u32(central + 24), offset = wt_u32(central + 42);
    *record = (wt_record){.name = central + CENTRAL_BYTES, .name_bytes = name, .crc = wt_u32(central + 16)};
    TN_TRY(check_name(source, *at, record));
    TN_TRY(read_extra(source, *at + CENTRAL_BYTES + name, extra, (uint64_t *[3]){&size, &packed, &offset}));
    if (wt_u16(central + 8) & 0x2041)
        return wt_bad(source, TN_UNSUPPORTED, section, *at, "%s is encrypted (flags %04x)",
                      shown_name(record, shown), wt_u16(central + 8));
    if (wt_u16(central + 10) != 0)
        return wt_bad(source, TN_UNSUPPORTED, section, *at,
                      "%s is compressed (method %u), only stored entries are read", shown_name(record, shown),
                      wt_u16(central + 10));
    if (packed != size || wt_u16(central + 34) != 0 || size > source->size || offset > source->size)
        return wt_bad(source, TN_FORMAT, section, *at, "%s has two sizes, or lies outside the file",
                      shown_name(record, shown));
    record->size = (size_t)size;
    record->header = (size_t)offset;
    *at += CENTRAL_BYTES + name + extra + comment;
    return check_local(source, record, (size_t)extent->offset);
}

/* ---- all entries ------------------------------------------------------------------------------------- */

static int by_header(const void *a, const void *b)
{
    const wt_record *x = a, *y = b;
    return (x->header > y->header) - (x->header < y->header);
}

static int by_name(const void *a, const void *b)
{
    const wt_record *x = a, *y = b;
    int order = memcmp(x->name, y->name, x->name_bytes < y->name_bytes ? x->name_bytes : y->name_bytes);
    return order ? order : (x->name_bytes > y->name_bytes) - (x->name_bytes < y->name_bytes);
}

/* Sorts by place for the one check and by name for the other, which is the order that stays. */
static tn_status check_together(wt_zip *zip)
{
    char shown[WT_SHOWN];
    wt_record *r = zip->records;
    qsort(r, zip->count, sizeof *r, by_header);
    for (size_t i = 1; i < zip->count; i++)
        if (r[i].header < r[i - 1].offset + r[i - 1].size)
            return wt_bad(zip->source, TN_FORMAT, "local header", r[i].header,
                          "%s overlaps the entry before it", shown_name(&r[i], shown));
    qsort(r, zip->count, sizeof *r, by_name);
    for (size_t i = 1; i < zip->count; i++)
        if (by_name(&r[i - 1], &r[i]) == 0)
            return wt_bad(zip->source, TN_FORMAT, "local header", r[i].header, "the name %s is there twice",
                          shown_name(&r[i], shown));
    return TN_OK;
}

tn_status wt_zip_read(const wt_source *source, wt_zip *zip)
{
    *zip = (wt_zip){.source = source};
    zip_extent extent = {0};
    TN_TRY(read_end(source, &extent));
    zip->records = tn_alloc(source->ctx, (size_t)extent.entries, sizeof *zip->records);
    if (!zip->records)
        return TN_NOMEM;
    size_t at = (size_t)extent.offset;
    for (uint64_t i = 0; i < extent.entries; i++) {
        TN_TRY(read_header(source, &extent, &at, &zip->records[i]));
        zip->count++;
    }
    if (at != extent.end)
        return wt_bad(source, TN_FORMAT, "central directory", at, "%zu bytes after the last entry",
                      extent.end - at);
    return check_together(zip);
}

void wt_zip_free(wt_zip *zip)
{
    tn_free(zip->source->ctx, zip->records);
    zip->records = NULL;
}

const wt_record *wt_zip_find(const wt_zip *zip, const unsigned char *prefix, size_t prefix_bytes,
                             const unsigned char *name, size_t name_bytes)
{
    size_t low = 0, high = zip->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const wt_record *r = &zip->records[middle];
        size_t first = r->name_bytes < prefix_bytes ? r->name_bytes : prefix_bytes,
               rest = r->name_bytes - first;
        int order = memcmp(r->name, prefix, first);
        if (order == 0 && first == prefix_bytes)
            order = memcmp(r->name + first, name, rest < name_bytes ? rest : name_bytes);
        if (order == 0)
            order = (r->name_bytes > prefix_bytes + name_bytes) - (r->name_bytes < prefix_bytes + name_bytes);
        if (order == 0)
            return r;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}
