/* Class names, one per line. */
#include "weights/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_BYTES = 16 << 20, MAX_LABELS = 65536 };

/* Adds the text [begin, end) without blanks around it. */
static tn_status add_label(wt_labels *labels, size_t *room, const wt_source *source, size_t begin, size_t end)
{
    const unsigned char *text = source->data;
    size_t place = begin;
    while (begin < end && memchr(" \t\r", text[begin], 3))
        begin++;
    while (end > begin && memchr(" \t\r", text[end - 1], 3))
        end--;
    char line[32];
    snprintf(line, sizeof line, "line %d", labels->count + 1);
    if (begin == end)
        return wt_bad(source, TN_FORMAT, line, place, "no name");
    if (!wt_is_text(text + begin, end - begin))
        return wt_bad(source, TN_FORMAT, line, place, "not UTF-8");
    if (labels->count == MAX_LABELS)
        return wt_bad(source, TN_UNSUPPORTED, line, place, "more than %d names", MAX_LABELS);
    TN_TRY(tn_grow(source->ctx, &labels->name, room, (size_t)labels->count + 1, sizeof *labels->name));
    char *name = tn_alloc(source->ctx, end - begin + 1, 1);
    if (!name)
        return TN_NOMEM;
    memcpy(name, text + begin, end - begin);
    name[end - begin] = '\0';
    labels->name[labels->count++] = name;
    return TN_OK;
}

static int by_text(const void *a, const void *b)
{
    char *const *x = *(char *const *const *)a, *const *y = *(char *const *const *)b;
    int order = strcmp(*x, *y);
    return order ? order : (x > y) - (x < y);
}

/* Two equal names would make answers ambiguous. */
static tn_status refuse_equal(tn_ctx *ctx, const char *path, const wt_labels *labels)
{
    size_t n = (size_t)labels->count;
    char ***sorted = tn_alloc(ctx, n, sizeof *sorted);
    if (!sorted)
        return TN_NOMEM;
    for (size_t i = 0; i < n; i++)
        sorted[i] = &labels->name[i];
    qsort(sorted, n, sizeof *sorted, by_text);
    tn_status status = TN_OK;
    for (size_t i = 1; i < n && status == TN_OK; i++) {
        char shown[WT_SHOWN];
        if (strcmp(*sorted[i - 1], *sorted[i]) == 0)
            status = tn_fail(ctx, TN_FORMAT, "%s: line %td: the name %s is on line %td too", path,
                             sorted[i] - labels->name + 1, wt_printable(*sorted[i], shown, sizeof shown),
                             sorted[i - 1] - labels->name + 1);
    }
    tn_free(ctx, sorted);
    return status;
}

static bool is_blank(unsigned char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static tn_status read_lines(wt_labels *labels, const wt_source *source)
{
    const unsigned char *text = source->data;
    size_t room = 0, size = source->size;
    if (source->size > MAX_BYTES)
        return wt_bad(source, TN_UNSUPPORTED, "line 1", 0, "a list of names of more than %d bytes",
                      MAX_BYTES);
    while (size > 0 && is_blank(text[size - 1]))
        size--;
    for (size_t at = size >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0 ? 3 : 0; at < size;) {
        const unsigned char *end = memchr(text + at, '\n', size - at);
        size_t stop = end ? (size_t)(end - text) : size;
        TN_TRY(add_label(labels, &room, source, at, stop));
        at = stop + 1;
    }
    if (labels->count == 0)
        return wt_bad(source, TN_FORMAT, "line 1", 0, "no name");
    return refuse_equal(source->ctx, source->path, labels);
}

tn_status wt_labels_read(tn_ctx *ctx, const char *path, wt_labels **out)
{
    *out = NULL;
    wt_file file = {.ctx = ctx, .arena = {.ctx = ctx}}; /* for its mapping */
    wt_map map;
    wt_labels *labels = tn_zalloc(ctx, 1, sizeof *labels);
    tn_status status = labels ? wt_map_file(&file, path, &map) : TN_NOMEM;
    if (status == TN_OK)
        status = read_lines(labels, &(wt_source){ctx, path, "", map.data, map.size, 0});
    wt_unmap(&file);
    if (status != TN_OK) {
        wt_labels_free(ctx, labels);
        return status;
    }
    *out = labels;
    return TN_OK;
}

void wt_labels_free(tn_ctx *ctx, wt_labels *labels)
{
    if (!labels)
        return;
    for (int i = 0; i < labels->count; i++)
        tn_free(ctx, labels->name[i]);
    tn_free(ctx, labels->name);
    tn_free(ctx, labels);
}
