/* Writing safetensors. */
#include "weights/internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

wt_tensor wt_tensor_of(const wt_entry *entry)
{
    wt_tensor tensor = {.name = entry->name, .rank = entry->rank, .entry = entry};
    tensor.dtype = wt_dtype_is_float(entry->dtype) ? WT_F32 : entry->dtype;
    memcpy(tensor.size, entry->size, sizeof tensor.size);
    return tensor;
}

/* By falling element size, then by name. */
static int by_layout(const void *a, const void *b)
{
    const wt_tensor *x = *(const wt_tensor *const *)a, *y = *(const wt_tensor *const *)b;
    size_t x_size = wt_dtype_size(x->dtype), y_size = wt_dtype_size(y->dtype);
    return x_size != y_size ? (x_size < y_size ? 1 : -1) : strcmp(x->name, y->name);
}

static int by_name(const void *a, const void *b)
{
    return strcmp((*(const wt_tensor *const *)a)->name, (*(const wt_tensor *const *)b)->name);
}

static tn_status check_tensor(tn_ctx *ctx, const char *path, const wt_tensor *t)
{
    size_t count, bytes, name = strlen(t->name);
    if (name == 0 || name > WT_MAX_NAME || !wt_is_text(t->name, name) || strcmp(t->name, "__metadata__") == 0)
        return tn_fail(ctx, TN_RANGE,
                       "%s: cannot write: a tensor's name is empty, too long, \"__metadata__\" or not UTF-8",
                       path);
    char shown[WT_SHOWN];
    wt_printable(t->name, shown, sizeof shown);
    if (t->rank < 0 || t->rank > WT_MAX_RANK || !wt_element_count(t->rank, t->size, &count) ||
        !tn_mul_size(count, wt_dtype_size(t->dtype), &bytes) || bytes > INT64_MAX / 4)
        return tn_fail(ctx, TN_RANGE, "%s: cannot write: the shape of %s is negative or too large", path,
                       shown);
    const wt_entry *e = t->data ? NULL : t->entry;
    if (count && !t->data &&
        !(e && e->rank == t->rank && memcmp(e->size, t->size, (size_t)e->rank * sizeof *e->size) == 0 &&
          (e->dtype == t->dtype || t->dtype == WT_F32)))
        return tn_fail(ctx, TN_RANGE, "%s: cannot write: %s has no data of its shape and type", path, shown);
    return TN_OK;
}

tn_status wt_check_tensors(tn_ctx *ctx, const char *path, const wt_tensor *tensors, int count,
                           const wt_tensor **sorted)
{
    for (int i = 0; i < count; i++) {
        TN_TRY(check_tensor(ctx, path, &tensors[i]));
        sorted[i] = &tensors[i];
    }
    qsort(sorted, (size_t)count, sizeof *sorted, by_name);
    char shown[WT_SHOWN];
    for (int i = 1; i < count; i++)
        if (strcmp(sorted[i - 1]->name, sorted[i]->name) == 0)
            return tn_fail(ctx, TN_RANGE, "%s: cannot write: the name %s is there twice", path,
                           wt_printable(sorted[i]->name, shown, sizeof shown));
    return TN_OK;
}

static int by_key(const void *a, const void *b)
{
    return strcmp(((const wt_meta *)a)->key, ((const wt_meta *)b)->key);
}

tn_status wt_find_equal_keys(tn_ctx *ctx, const wt_meta *meta, int count, const char **twice)
{
    *twice = NULL;
    wt_meta *sorted = tn_alloc(ctx, (size_t)count, sizeof *sorted);
    if (!sorted)
        return TN_NOMEM;
    for (int i = 0; i < count; i++)
        sorted[i] = meta[i];
    qsort(sorted, (size_t)count, sizeof *sorted, by_key);
    for (int i = 1; i < count && !*twice; i++)
        if (by_key(&sorted[i - 1], &sorted[i]) == 0)
            *twice = sorted[i].key;
    tn_free(ctx, sorted);
    return TN_OK;
}

static tn_status check_metadata(tn_ctx *ctx, const char *path, const wt_meta *meta, int count)
{
    for (int i = 0; i < count; i++)
        if (!wt_is_text(meta[i].key, strlen(meta[i].key)) ||
            !wt_is_text(meta[i].value, strlen(meta[i].value)))
            return tn_fail(ctx, TN_RANGE, "%s: cannot write: metadata that is not UTF-8", path);
    const char *twice;
    TN_TRY(wt_find_equal_keys(ctx, meta, count, &twice));
    char shown[WT_SHOWN];
    return twice ? tn_fail(ctx, TN_RANGE, "%s: cannot write: metadata has the key %s twice", path,
                           wt_printable(twice, shown, sizeof shown))
                 : TN_OK;
}

/* ---- the header, in memory because its length comes first --------------------------------------------- */

typedef struct st_text {
    tn_ctx *ctx;       /* for memory */
    char *text;        /* not terminated */
    size_t used, room; /* bytes */
    tn_status status;  /* of the first failure */
} st_text;

static void put(st_text *out, const char *text, size_t bytes)
{
    if (out->status == TN_OK)
        out->status = tn_grow(out->ctx, &out->text, &out->room, out->used + bytes, 1);
    if (out->status != TN_OK)
        return;
    memcpy(out->text + out->used, text, bytes);
    out->used += bytes;
}

static void put_text(st_text *out, const char *text)
{
    put(out, text, strlen(text));
}

static void put_json(st_text *out, const char *text)
{
    put(out, "\"", 1);
    for (; *text; text++) {
        char escape[8];
        if (*text == '"' || *text == '\\')
            snprintf(escape, sizeof escape, "\\%c", *text);
        else if ((unsigned char)*text < 0x20)
            snprintf(escape, sizeof escape, "\\u%04x", (unsigned)(unsigned char)*text);
        else
            snprintf(escape, sizeof escape, "%c", *text);
        put_text(out, escape);
    }
    put(out, "\"", 1);
}

static void put_tensor(st_text *out, const wt_tensor *t, size_t begin, size_t end)
{
    char number[96];
    put_json(out, t->name);
    put_text(out, ":{\"dtype\":\"");
    put_text(out, wt_dtype_name(t->dtype));
    put_text(out, "\",\"shape\":[");
    for (int i = 0; i < t->rank; i++) {
        snprintf(number, sizeof number, i ? ",%" PRId64 : "%" PRId64, t->size[i]);
        put_text(out, number);
    }
    snprintf(number, sizeof number, "],\"data_offsets\":[%zu,%zu]}", begin, end);
    put_text(out, number);
}

static void put_header(st_text *out, const wt_tensor *const *order, int count, const wt_meta *meta,
                       int meta_count)
{
    put_text(out, "{");
    if (meta_count)
        put_text(out, "\"__metadata__\":{");
    for (int i = 0; i < meta_count; i++) {
        put_text(out, i ? "," : "");
        put_json(out, meta[i].key);
        put_text(out, ":");
        put_json(out, meta[i].value);
    }
    if (meta_count)
        put_text(out, count ? "}," : "}");
    size_t at = 0, elements = 0;
    for (int i = 0; i < count; i++) {
        wt_element_count(order[i]->rank, order[i]->size, &elements);
        size_t bytes = elements * wt_dtype_size(order[i]->dtype);
        put_text(out, i ? "," : "");
        put_tensor(out, order[i], at, at + bytes);
        at += bytes;
    }
    put_text(out, "}");
    static const char blanks[] = "        ";
    put(out, blanks, (8 - out->used % 8) % 8);
}

/* ---- the file ---------------------------------------------------------------------------------------- */

static tn_status write_file(tn_ctx *ctx, const char *path, const st_text *header,
                            const wt_tensor *const *order, int count)
{
    wt_writer *writer;
    TN_TRY(wt_create(ctx, path, &writer));
    uint64_t length = header->used;
    tn_status status = wt_write(writer, &length, sizeof length);
    if (status == TN_OK)
        status = wt_write(writer, header->text, header->used);
    for (int i = 0; i < count && status == TN_OK; i++)
        status = wt_write_payload(writer, order[i]);
    if (status == TN_OK)
        return wt_commit(writer);
    wt_discard(writer);
    return status;
}

tn_status wt_save(tn_ctx *ctx, const char *path, const wt_tensor *tensors, int count, const wt_meta *meta,
                  int meta_count)
{
    TN_TRY(check_metadata(ctx, path, meta, meta_count));
    const wt_tensor **order = tn_alloc(ctx, (size_t)count, sizeof *order);
    if (!order)
        return TN_NOMEM;
    tn_status status = wt_check_tensors(ctx, path, tensors, count, order);
    st_text header = {.ctx = ctx, .status = status};
    if (status == TN_OK) {
        qsort(order, (size_t)count, sizeof *order, by_layout);
        put_header(&header, order, count, meta, meta_count);
    }
    status = header.status;
    if (status == TN_OK)
        status = write_file(ctx, path, &header, order, count);
    tn_free(ctx, header.text);
    tn_free(ctx, order);
    return status;
}
