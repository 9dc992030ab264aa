/* safetensors: u64 header length, JSON header, payload.
 *
 * The header is parsed here and not with a JSON library: it may be 100 MB of hostile text, of which a tree of
 * values would take twenty times as much memory, and its grammar is small. */
#include "weights/internal.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_HEADER = 100000000 };

static const char SECTION[] = "header";

/* What is known of a tensor while its object is parsed. */
typedef struct st_range {
    uint64_t begin, end; /* of its payload, counted from the payload's begin */
    size_t entry;        /* index in the file */
} st_range;

typedef struct st_parser {
    wt_file *file;             /* gets entries and metadata */
    const wt_source *source;   /* the whole file */
    const unsigned char *text; /* the whole file's bytes */
    size_t at, end;            /* where in the file, and where the header ends */
    char *string;              /* the last string, decoded, with a NUL */
    size_t length, room;       /* bytes of it, and of its memory */
    st_range *ranges;          /* one per tensor */
    size_t range_room;         /* of ranges */
} st_parser;

#define JSON_FAIL(p, ...) wt_bad((p)->source, TN_FORMAT, SECTION, (p)->at, __VA_ARGS__)

/* ---- JSON -------------------------------------------------------------------------------------------- */

static void skip_space(st_parser *p)
{
    while (p->at < p->end && memchr(" \t\r\n", p->text[p->at], 4))
        p->at++;
}

/* Skips blanks and takes `c` if it is next. */
static bool next_is(st_parser *p, char c)
{
    skip_space(p);
    if (p->at == p->end || p->text[p->at] != (unsigned char)c)
        return false;
    p->at++;
    return true;
}

static tn_status expect(st_parser *p, char c)
{
    if (next_is(p, c))
        return TN_OK;
    return p->at == p->end ? JSON_FAIL(p, "the header ends where '%c' is expected", c)
                           : JSON_FAIL(p, "expected '%c', got byte 0x%02x", c, p->text[p->at]);
}

static tn_status put(st_parser *p, const unsigned char *bytes, size_t n)
{
    TN_TRY(tn_grow(p->file->ctx, &p->string, &p->room, p->length + n + 1, 1));
    memcpy(p->string + p->length, bytes, n);
    p->length += n;
    p->string[p->length] = '\0';
    return TN_OK;
}

/* Four hexadecimal digits at p->at; -1 where they are not. */
static int32_t hex4(st_parser *p)
{
    if (p->end - p->at < 4)
        return -1;
    int32_t value = 0;
    for (int i = 0; i < 4; i++) {
        unsigned char c = p->text[p->at + (size_t)i];
        int digit = c >= '0' && c <= '9'   ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : -1;
        if (digit < 0)
            return -1;
        value = value * 16 + digit;
    }
    p->at += 4;
    return value;
}

/* After "\u": a code point, of two halves where it is a surrogate pair, as UTF-8. */
static tn_status put_code_point(st_parser *p)
{
    int32_t c = hex4(p);
    if (c >= 0xd800 && c < 0xdc00 && p->end - p->at >= 6 && memcmp(p->text + p->at, "\\u", 2) == 0) {
        p->at += 2;
        int32_t low = hex4(p);
        c = low >= 0xdc00 && low < 0xe000 ? 0x10000 + (c - 0xd800) * 1024 + (low - 0xdc00) : -1;
    }
    if (c <= 0 || (c >= 0xd800 && c < 0xe000))
        return JSON_FAIL(p, "a \\u escape that is no character");
    unsigned char utf8[4];
    size_t n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    static const unsigned char lead[5] = {0, 0, 0xc0, 0xe0, 0xf0};
    for (size_t i = n - 1; i > 0; i--, c >>= 6)
        utf8[i] = (unsigned char)(0x80 | (c & 0x3f));
    utf8[0] = (unsigned char)(lead[n] | c);
    return put(p, utf8, n);
}

static tn_status put_escape(st_parser *p)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    unsigned char c = p->at < p->end ? p->text[p->at] : 0;
    const char *found = c ? strchr(from, c) : NULL;
    if (c != 'u' && !found)
        return JSON_FAIL(p, "an unknown escape in a string");
    p->at++;
    return c == 'u' ? put_code_point(p) : put(p, (const unsigned char *)&to[found - from], 1);
}

static tn_status parse_string(st_parser *p)
{
    TN_TRY(expect(p, '"'));
    p->length = 0;
    TN_TRY(put(p, (const unsigned char *)"", 0));
    for (;;) {
        if (p->at == p->end)
            return JSON_FAIL(p, "the header ends inside a string");
        const unsigned char *c = p->text + p->at;
        size_t n = wt_utf8_length(c, p->end - p->at);
        if (n == 0)
            return JSON_FAIL(p, "a string is not UTF-8");
        if (*c < 0x20)
            return JSON_FAIL(p, "a control character in a string");
        p->at += n;
        if (*c == '"')
            return TN_OK;
        TN_TRY(*c == '\\' ? put_escape(p) : put(p, c, n));
    }
}

/* A whole number of at most INT64_MAX, in JSON's form. */
static tn_status parse_integer(st_parser *p, uint64_t *out)
{
    skip_space(p);
    size_t begin = p->at;
    uint64_t value = 0;
    while (p->at < p->end && p->text[p->at] >= '0' && p->text[p->at] <= '9') {
        unsigned digit = (unsigned)(p->text[p->at] - '0');
        if (value > ((uint64_t)INT64_MAX - digit) / 10 || (value == 0 && p->at > begin))
            return JSON_FAIL(p, "a number that is too large or begins with 0");
        value = value * 10 + digit;
        p->at++;
    }
    if (p->at == begin)
        return JSON_FAIL(p, "expected a whole number of at least 0");
    *out = value;
    return TN_OK;
}

/* ---- the header's objects ---------------------------------------------------------------------------- */

static tn_status parse_dtype(st_parser *p, wt_dtype *out)
{
    static const char *const others[] = {"F4",      "F6_E2M3",     "F6_E3M2",     "F8_E5M2", "F8_E4M3",
                                         "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ", "C64"};
    TN_TRY(parse_string(p));
#define MATCH(name, bytes)                                                                                   \
    if (strcmp(p->string, #name) == 0) {                                                                     \
        *out = WT_##name;                                                                                    \
        return TN_OK;                                                                                        \
    }
    WT_DTYPE_LIST(MATCH)
#undef MATCH
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (strcmp(p->string, others[i]) == 0)
            return wt_bad(p->source, TN_UNSUPPORTED, SECTION, p->at, "tensors of type %s are not supported",
                          others[i]);
    char shown[WT_SHOWN];
    return JSON_FAIL(p, "unknown type \"%s\"", wt_printable(p->string, shown, sizeof shown));
}

static tn_status parse_shape(st_parser *p, wt_entry *entry)
{
    TN_TRY(expect(p, '['));
    entry->rank = 0;
    if (next_is(p, ']'))
        return TN_OK;
    do {
        uint64_t size;
        TN_TRY(parse_integer(p, &size));
        if (entry->rank == WT_MAX_RANK)
            return wt_bad(p->source, TN_UNSUPPORTED, SECTION, p->at, "a tensor has more than %d axes",
                          WT_MAX_RANK);
        entry->size[entry->rank++] = (int64_t)size;
    } while (next_is(p, ','));
    return expect(p, ']');
}

static tn_status parse_offsets(st_parser *p, st_range *range)
{
    TN_TRY(expect(p, '['));
    TN_TRY(parse_integer(p, &range->begin));
    TN_TRY(expect(p, ','));
    TN_TRY(parse_integer(p, &range->end));
    TN_TRY(expect(p, ']'));
    return range->begin <= range->end ? TN_OK : JSON_FAIL(p, "a payload ends before it begins");
}

/* {"dtype": ..., "shape": [...], "data_offsets": [...]}, each once, in any order. */
static tn_status parse_tensor_object(st_parser *p, wt_entry *entry, st_range *range)
{
    static const char *const keys[3] = {"dtype", "shape", "data_offsets"};
    bool seen[3] = {false, false, false};
    TN_TRY(expect(p, '{'));
    do {
        TN_TRY(parse_string(p));
        int key = 0;
        while (key < 3 && strcmp(p->string, keys[key]) != 0)
            key++;
        if (key == 3) {
            char shown[WT_SHOWN];
            return JSON_FAIL(p, "unknown key \"%s\" of a tensor",
                             wt_printable(p->string, shown, sizeof shown));
        }
        if (seen[key])
            return JSON_FAIL(p, "the key \"%s\" is there twice", keys[key]);
        seen[key] = true;
        TN_TRY(expect(p, ':'));
        TN_TRY(key == 0   ? parse_dtype(p, &entry->dtype)
               : key == 1 ? parse_shape(p, entry)
                          : parse_offsets(p, range));
    } while (next_is(p, ','));
    TN_TRY(expect(p, '}'));
    for (int i = 0; i < 3; i++)
        if (!seen[i])
            return JSON_FAIL(p, "a tensor without \"%s\"", keys[i]);
    return TN_OK;
}

static tn_status parse_tensor(st_parser *p)
{
    wt_file *file = p->file;
    char shown[WT_SHOWN];
    size_t place = p->at;
    if (p->length > WT_MAX_NAME)
        return wt_bad(p->source, TN_UNSUPPORTED, SECTION, place,
                      "a tensor's name has %zu bytes, the limit is %d", p->length, WT_MAX_NAME);
    char *name = wt_arena_text(&file->arena, p->string, p->length);
    if (!name)
        return TN_NOMEM;
    size_t name_bytes = p->length, count, bytes;
    wt_entry entry = {0};
    st_range range = {.entry = file->count};
    TN_TRY(parse_tensor_object(p, &entry, &range));
    if (!wt_element_count(entry.rank, entry.size, &count) ||
        !tn_mul_size(count, wt_dtype_size(entry.dtype), &bytes) || bytes != range.end - range.begin)
        return JSON_FAIL(p, "the payload of %s has %zu bytes, which its shape and type do not give",
                         wt_printable(name, shown, sizeof shown), (size_t)(range.end - range.begin));
    if (range.end > p->source->size - p->end)
        return JSON_FAIL(p, "the payload of %s ends at byte %zu of %zu",
                         wt_printable(name, shown, sizeof shown), (size_t)range.end,
                         p->source->size - p->end);
    entry.count = count;
    entry.data = p->text + p->end + range.begin;
    wt_set_strides(&entry);
    TN_TRY(wt_add_entry(file, p->source, SECTION, place, name, name_bytes, &entry));
    TN_TRY(tn_grow(file->ctx, &p->ranges, &p->range_room, file->count, sizeof *p->ranges));
    p->ranges[file->count - 1] = range;
    return TN_OK;
}

/* {"key": "value", ...} */
static tn_status parse_metadata(st_parser *p)
{
    wt_file *file = p->file;
    TN_TRY(expect(p, '{'));
    if (next_is(p, '}'))
        return TN_OK;
    do {
        if (file->meta_count == WT_MAX_TENSORS)
            return wt_bad(p->source, TN_UNSUPPORTED, SECTION, p->at, "more than %d entries of __metadata__",
                          WT_MAX_TENSORS);
        TN_TRY(tn_grow(file->ctx, &file->meta, &file->meta_room, file->meta_count + 1, sizeof *file->meta));
        wt_meta *meta = &file->meta[file->meta_count];
        TN_TRY(parse_string(p));
        if (!(meta->key = wt_arena_text(&file->arena, p->string, p->length)))
            return TN_NOMEM;
        TN_TRY(expect(p, ':'));
        TN_TRY(parse_string(p));
        if (!(meta->value = wt_arena_text(&file->arena, p->string, p->length)))
            return TN_NOMEM;
        file->meta_count++;
    } while (next_is(p, ','));
    TN_TRY(expect(p, '}'));
    const char *twice;
    TN_TRY(wt_find_equal_keys(file->ctx, file->meta, (int)file->meta_count, &twice));
    char shown[WT_SHOWN];
    return twice ? JSON_FAIL(p, "__metadata__ has the key %s twice", wt_printable(twice, shown, sizeof shown))
                 : TN_OK;
}

static tn_status parse_header(st_parser *p)
{
    bool has_metadata = false;
    TN_TRY(expect(p, '{'));
    if (!next_is(p, '}')) {
        do {
            TN_TRY(parse_string(p));
            bool metadata = strcmp(p->string, "__metadata__") == 0;
            if (metadata && has_metadata)
                return JSON_FAIL(p, "the key \"__metadata__\" is there twice");
            has_metadata |= metadata;
            TN_TRY(expect(p, ':'));
            TN_TRY(metadata ? parse_metadata(p) : parse_tensor(p));
        } while (next_is(p, ','));
        TN_TRY(expect(p, '}'));
    }
    skip_space(p);
    return p->at == p->end ? TN_OK : JSON_FAIL(p, "text after the header's object");
}

/* ---- the payload ------------------------------------------------------------------------------------- */

static int by_offset(const void *a, const void *b)
{
    const st_range *x = a, *y = b;
    if (x->begin != y->begin)
        return x->begin < y->begin ? -1 : 1;
    return (x->end > y->end) - (x->end < y->end);
}

/* Each payload begins where the last one ended, and the file ends with the last. */
static tn_status check_layout(st_parser *p)
{
    size_t n = p->file->count;
    if (n)
        qsort(p->ranges, n, sizeof *p->ranges, by_offset);
    uint64_t at = 0;
    char shown[WT_SHOWN];
    for (size_t i = 0; i < n; i++) {
        const st_range *range = &p->ranges[i];
        if (range->begin != at)
            return wt_bad(p->source, TN_FORMAT, "payload", p->end + at, "%s before %s, which begins at %zu",
                          range->begin > at ? "a hole" : "an overlap",
                          wt_printable(p->file->entries[range->entry].name, shown, sizeof shown),
                          p->end + (size_t)range->begin);
        at = range->end;
    }
    if (at != p->source->size - p->end)
        return wt_bad(p->source, TN_FORMAT, "payload", p->end + at, "%zu bytes after the last tensor",
                      p->source->size - p->end - (size_t)at);
    return TN_OK;
}

tn_status wt_open_safetensors(wt_file *file, const wt_source *source)
{
    file->format = "safetensors";
    uint64_t header = wt_u64(source->data);
    if (header > MAX_HEADER)
        return wt_bad(source, TN_FORMAT, "header length", 0, "%llu, the limit is %d",
                      (unsigned long long)header, MAX_HEADER);
    if (header > source->size - 8)
        return wt_bad(source, TN_FORMAT, "header length", 0, "%llu, but only %zu bytes follow",
                      (unsigned long long)header, source->size - 8);
    st_parser p = {.file = file, .source = source, .text = source->data, .at = 8, .end = 8 + (size_t)header};
    tn_status status = parse_header(&p);
    if (status == TN_OK)
        status = check_layout(&p);
    tn_free(file->ctx, p.string);
    tn_free(file->ctx, p.ranges);
    return status;
}
