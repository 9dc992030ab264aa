/* NPY (numpy/lib/format.py): magic, version, header length, a Python dictionary as text, the array. */
#include "weights/internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { MAX_HEADER = 65536 };

typedef struct npy_type {
    char name[3];   /* NumPy's, without byte order */
    wt_dtype dtype; /* ours */
} npy_type;

static const npy_type types[] = {
    {"b1", WT_BOOL}, {"u1", WT_U8},  {"i1", WT_I8},  {"u2", WT_U16}, {"i2", WT_I16}, {"f2", WT_F16},
    {"u4", WT_U32},  {"i4", WT_I32}, {"f4", WT_F32}, {"u8", WT_U64}, {"i8", WT_I64}, {"f8", WT_F64},
};

bool wt_numpy_dtype(const unsigned char *name, size_t bytes, wt_dtype *out)
{
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        if (bytes == 2 && memcmp(name, types[i].name, 2) == 0) {
            *out = types[i].dtype;
            return true;
        }
    }
    return false;
}

/* ---- reading ----------------------------------------------------------------------------------------- */

typedef struct npy_parser {
    const wt_source *source; /* the array's file */
    size_t at, end;          /* where in the header's text */
    wt_entry entry;          /* type and shape, as parsed */
    bool fortran;            /* the first axis is the fastest */
} npy_parser;

#define NPY_BAD(p, ...) wt_bad((p)->source, TN_FORMAT, "header", (p)->at, __VA_ARGS__)

static void skip_space(npy_parser *p)
{
    while (p->at < p->end && memchr(" \t\r\n", p->source->data[p->at], 4))
        p->at++;
}

static bool next_is(npy_parser *p, const char *text)
{
    skip_space(p);
    size_t n = strlen(text);
    if (p->end - p->at < n || memcmp(p->source->data + p->at, text, n) != 0)
        return false;
    p->at += n;
    return true;
}

static tn_status expect(npy_parser *p, const char *text)
{
    return next_is(p, text) ? TN_OK : NPY_BAD(p, "expected %s", text);
}

/* A string in either kind of quotes, without escapes, which no header needs. */
static tn_status parse_string(npy_parser *p, const unsigned char **text, size_t *bytes)
{
    skip_space(p);
    const unsigned char *begin = p->source->data + p->at;
    size_t left = p->end - p->at;
    if (left == 0 || (*begin != '\'' && *begin != '"'))
        return NPY_BAD(p, "expected a string");
    const unsigned char *end = memchr(begin + 1, *begin, left - 1);
    if (!end || memchr(begin, '\\', (size_t)(end - begin)))
        return NPY_BAD(p, "a string that does not end, or with a backslash");
    *text = begin + 1;
    *bytes = (size_t)(end - begin) - 1;
    p->at += *bytes + 2;
    return TN_OK;
}

static tn_status parse_type(npy_parser *p)
{
    if (next_is(p, "["))
        return wt_bad(p->source, TN_UNSUPPORTED, "header", p->at, "an array of records");
    const unsigned char *text = NULL;
    size_t bytes = 0;
    TN_TRY(parse_string(p, &text, &bytes));
    if (bytes >= 2 && text[1] == 'O')
        return wt_bad(p->source, TN_UNSUPPORTED, "header", p->at,
                      "an array of Python objects, which are pickles");
    if (bytes < 1 || !memchr("<|>=", *text, 4) || !wt_numpy_dtype(text + 1, bytes - 1, &p->entry.dtype))
        return wt_bad(p->source, TN_UNSUPPORTED, "header", p->at, "elements that are no plain numbers");
    if (*text == '>' && wt_dtype_size(p->entry.dtype) > 1)
        return wt_bad(p->source, TN_UNSUPPORTED, "header", p->at, "big-endian elements");
    return TN_OK;
}

/* (), (3,) or (3, 4); Python 2 writes an L behind a number. */
static tn_status parse_shape(npy_parser *p)
{
    TN_TRY(expect(p, "("));
    wt_entry *e = &p->entry;
    while (!next_is(p, ")")) {
        int64_t size = 0;
        size_t begin = p->at; /* blanks are skipped already */
        for (; p->at < p->end && p->source->data[p->at] >= '0' && p->source->data[p->at] <= '9'; p->at++) {
            int digit = p->source->data[p->at] - '0';
            if (size > (INT64_MAX - digit) / 10)
                return NPY_BAD(p, "a size that is too large");
            size = size * 10 + digit;
        }
        if (p->at == begin)
            return NPY_BAD(p, "expected a size of at least 0");
        if (e->rank == WT_MAX_RANK)
            return wt_bad(p->source, TN_UNSUPPORTED, "header", p->at, "more than %d axes", WT_MAX_RANK);
        e->size[e->rank++] = size;
        next_is(p, "L");
        if (!next_is(p, ",") && (e->rank == 1 || !next_is(p, ")")))
            return NPY_BAD(p, "expected , in a shape");
        if (p->source->data[p->at - 1] == ')')
            return TN_OK;
    }
    return TN_OK;
}

static tn_status parse_order(npy_parser *p)
{
    p->fortran = next_is(p, "True");
    return p->fortran ? TN_OK : expect(p, "False");
}

/* {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }, keys in any order, each once. */
static tn_status parse_header(npy_parser *p)
{
    static const char *const keys[3] = {"descr", "fortran_order", "shape"};
    bool seen[3] = {false, false, false};
    TN_TRY(expect(p, "{"));
    while (!next_is(p, "}")) {
        const unsigned char *text = NULL;
        size_t bytes = 0;
        TN_TRY(parse_string(p, &text, &bytes));
        int key = 0;
        while (key < 3 && !(strlen(keys[key]) == bytes && memcmp(text, keys[key], bytes) == 0))
            key++;
        if (key == 3 || seen[key])
            return NPY_BAD(p, key == 3 ? "an unknown key" : "a key is there twice");
        seen[key] = true;
        TN_TRY(expect(p, ":"));
        TN_TRY(key == 0 ? parse_type(p) : key == 1 ? parse_order(p) : parse_shape(p));
        if (!next_is(p, ",")) {
            TN_TRY(expect(p, "}"));
            break;
        }
    }
    for (int i = 0; i < 3; i++)
        if (!seen[i])
            return NPY_BAD(p, "there is no '%s'", keys[i]);
    skip_space(p);
    return p->at == p->end ? TN_OK : NPY_BAD(p, "text after the dictionary");
}

/* The header's extent, from magic, version and length. */
static tn_status read_preamble(npy_parser *p)
{
    const wt_source *source = p->source;
    if (source->size < 8 || memcmp(source->data, "\x93NUMPY", 6) != 0)
        return wt_bad(source, TN_FORMAT, "magic", 0, "not NPY, or the file ends");
    int major = source->data[6];
    if ((major != 1 && major != 2) || source->data[7] != 0)
        return wt_bad(source, TN_UNSUPPORTED, "version", 6, "%d.%d, only 1.0 and 2.0 are read", major,
                      source->data[7]);
    size_t length_bytes = major == 1 ? 2 : 4;
    p->at = 8 + length_bytes;
    if (source->size < p->at)
        return wt_bad(source, TN_FORMAT, "header length", 8, "the file ends");
    size_t length = major == 1 ? wt_u16(source->data + 8) : wt_u32(source->data + 8);
    if (length > MAX_HEADER)
        return wt_bad(source, TN_UNSUPPORTED, "header length", 8, "%zu, the limit is %d", length, MAX_HEADER);
    if (length > source->size - p->at)
        return wt_bad(source, TN_FORMAT, "header length", 8, "%zu, but only %zu bytes follow", length,
                      source->size - p->at);
    p->end = p->at + length;
    return TN_OK;
}

static void set_fortran_strides(wt_entry *entry)
{
    uint64_t stride = 1;
    for (int i = 0; i < entry->rank; i++) {
        entry->stride[i] = (int64_t)stride;
        stride = entry->count ? stride * (uint64_t)entry->size[i] : 1;
    }
}

tn_status wt_open_npy(wt_file *file, const wt_source *source, const char *name)
{
    file->format = "NPY";
    npy_parser p = {.source = source};
    TN_TRY(read_preamble(&p));
    TN_TRY(parse_header(&p));
    wt_entry *e = &p.entry;
    size_t bytes;
    if (!wt_element_count(e->rank, e->size, &e->count) ||
        !tn_mul_size(e->count, wt_dtype_size(e->dtype), &bytes) || bytes != source->size - p.end)
        return wt_bad(source, TN_FORMAT, "array", p.end, "%zu bytes, which shape and type do not give",
                      source->size - p.end);
    e->data = source->data + p.end;
    if (p.fortran)
        set_fortran_strides(e);
    else
        wt_set_strides(e);
    size_t n = strlen(name);
    if (n > 4 && strcmp(name + n - 4, ".npy") == 0)
        n -= 4;
    return wt_add_entry(file, source, "header", p.end, name, n, e);
}

/* ---- writing ----------------------------------------------------------------------------------------- */

/* The header of version 1.0, padded so that the array begins on a multiple of 64. */
static tn_status write_header(wt_writer *writer, const wt_tensor *tensor)
{
    const char *name = NULL;
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (types[i].dtype == tensor->dtype)
            name = types[i].name;
    char shape[WT_MAX_RANK * 22 + 2] = "", text[128 + sizeof shape];
    size_t used = 0;
    for (int i = 0; i < tensor->rank; i++)
        used += (size_t)snprintf(shape + used, sizeof shape - used, i ? ", %" PRId64 : "%" PRId64,
                                 tensor->size[i]);
    int n =
        snprintf(text, sizeof text, "{'descr': '%c%s', 'fortran_order': False, 'shape': (%s%s), }",
                 wt_dtype_size(tensor->dtype) == 1 ? '|' : '<', name, shape, tensor->rank == 1 ? "," : "");
    int padded = (10 + n + 1 + 63) / 64 * 64 - 10;
    const unsigned char start[10] = {
        0x93, 'N', 'U', 'M', 'P', 'Y', 1, 0, (unsigned char)padded, (unsigned char)(padded >> 8)};
    TN_TRY(wt_write(writer, start, sizeof start));
    return wt_printf(writer, "%-*s\n", padded - 1, text);
}

tn_status wt_write_npy(tn_ctx *ctx, const char *path, const wt_tensor *tensor)
{
    if (tensor->dtype == WT_BF16)
        return tn_fail(ctx, TN_UNSUPPORTED, "%s: NPY has no type BF16", path);
    wt_writer *writer;
    TN_TRY(wt_create(ctx, path, &writer));
    tn_status status = write_header(writer, tensor);
    if (status == TN_OK)
        status = wt_write_payload(writer, tensor);
    if (status == TN_OK)
        return wt_commit(writer);
    wt_discard(writer);
    return status;
}

tn_status wt_save_npy(tn_ctx *ctx, const char *path, wt_dtype dtype, int rank, const int64_t *size,
                      const void *data)
{
    wt_tensor tensor = {.name = path, .dtype = dtype, .rank = rank, .data = data};
    size_t count, bytes;
    if (rank < 0 || rank > WT_MAX_RANK || !wt_element_count(rank, size, &count) ||
        !tn_mul_size(count, wt_dtype_size(dtype), &bytes))
        return tn_fail(ctx, TN_RANGE, "%s: a shape of rank %d that is negative or too large", path, rank);
    for (int i = 0; i < rank; i++)
        tensor.size[i] = size[i];
    return wt_write_npy(ctx, path, &tensor);
}
