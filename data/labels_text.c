/* Lists of clips: lines of text, and a list that grows. */
#include "data/labels.h"

#include "data/files.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_BYTES = 1 << 28, MESSAGE = 1024 };

/* ---- text ------------------------------------------------------------------------------------------ */

tn_status data_text_fail(tn_ctx *ctx, const char *path, size_t line, const char *format, ...)
{
    char text[MESSAGE];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return tn_fail(ctx, TN_FORMAT, "%s: line %zu: %s", path, line, text);
}

tn_status data_text_open(tn_ctx *ctx, const char *path, data_text *out)
{
    *out = (data_text){.path = path, .line = 1};
    TN_TRY(data_read_file(ctx, path, MAX_BYTES, &out->bytes, &out->count));
    for (size_t i = 0, line = 1; i < out->count; i++) {
        line += out->bytes[i] == '\n';
        if (out->bytes[i] == 0) {
            data_text_close(ctx, out);
            return data_text_fail(ctx, path, line, "a NUL byte: not a text file");
        }
    }
    if (out->count >= 3 && memcmp(out->bytes, "\xef\xbb\xbf", 3) == 0)
        out->at = 3;
    return TN_OK;
}

void data_text_close(tn_ctx *ctx, data_text *text)
{
    tn_free(ctx, text->bytes);
    *text = (data_text){0};
}

bool data_text_line(data_text *text, const char **line, size_t *length)
{
    if (text->at == text->count)
        return false;
    const unsigned char *begin = text->bytes + text->at;
    const unsigned char *end = memchr(begin, '\n', text->count - text->at);
    *line = (const char *)begin;
    *length = end ? (size_t)(end - begin) : text->count - text->at;
    text->at += *length + (end ? 1 : 0);
    text->line++;
    if (*length > 0 && begin[*length - 1] == '\r')
        --*length;
    return true;
}

/* ---- the list -------------------------------------------------------------------------------------- */

/* Names become names of files and folders when clips are prepared. */
static const char *what_is_wrong(const char *name)
{
    if (!*name)
        return "is empty";
    if (strlen(name) > DATA_MANIFEST_MAX_NAME)
        return "is too long (200 bytes at most)";
    if (*name == '.')
        return "begins with a dot";
    for (const char *c = name; *c; c++)
        if (*c == '/' || (unsigned char)*c < ' ' || *c == 127)
            return "has a slash or a control character in it";
    return NULL;
}

static tn_status check_name(tn_ctx *ctx, const char *path, size_t line, const char *what, const char *name)
{
    const char *wrong = what_is_wrong(name);
    return wrong ? data_text_fail(ctx, path, line, "the %s '%.80s' %s", what, name, wrong) : TN_OK;
}

static char *copy(tn_ctx *ctx, const char *text, bool *good)
{
    char *result = text ? tn_strdup(ctx, text) : NULL;
    *good = *good && (result || !text);
    return result;
}

tn_status data_builder_add(tn_ctx *ctx, data_builder *b, const char *path, size_t line, const data_item *item)
{
    data_manifest *list = &b->list;
    TN_TRY(check_name(ctx, path, line, "name", item->name));
    TN_TRY(check_name(ctx, path, line, "split", item->split));
    TN_TRY(check_name(ctx, path, line, "source", item->source));
    if (list->count == DATA_MANIFEST_MAX_CLIPS)
        return data_text_fail(ctx, path, line, "more than %d clips", DATA_MANIFEST_MAX_CLIPS);
    TN_TRY(tn_grow(ctx, &list->item, &b->room, list->count + 1, sizeof *list->item));
    bool good = true;
    list->item[list->count++] = (data_item){
        .name = copy(ctx, item->name, &good),
        .frames = copy(ctx, item->frames, &good),
        .video = copy(ctx, item->video, &good),
        .audio = copy(ctx, item->audio, &good),
        .label = item->label,
        .split = copy(ctx, item->split, &good),
        .source = copy(ctx, item->source, &good),
        .faces = item->faces,
        .line = line,
    };
    return good ? TN_OK : TN_NOMEM;
}

int data_builder_find_class(const data_builder *b, const char *name)
{
    for (int i = 0; i < b->list.classes; i++)
        if (strcmp(b->list.class_name[i], name) == 0)
            return i;
    return -1;
}

tn_status data_builder_add_class(tn_ctx *ctx, data_builder *b, const char *name)
{
    data_manifest *list = &b->list;
    if (list->classes == DATA_MANIFEST_MAX_CLASSES)
        return tn_fail(ctx, TN_RANGE, "%s: more than %d classes", list->path, DATA_MANIFEST_MAX_CLASSES);
    TN_TRY(
        tn_grow(ctx, &list->class_name, &b->class_room, (size_t)list->classes + 1, sizeof *list->class_name));
    char *text = tn_strdup(ctx, name);
    if (!text)
        return TN_NOMEM;
    list->class_name[list->classes++] = text;
    return TN_OK;
}

static int compare_items(const void *a, const void *b)
{
    const data_item *p = *(const data_item *const *)a, *q = *(const data_item *const *)b;
    int order = strcmp(p->split, q->split);
    if (!order)
        order = strcmp(p->name, q->name);
    return order ? order : (p->line > q->line) - (p->line < q->line);
}

tn_status data_builder_check(tn_ctx *ctx, const data_builder *b, const char *path, size_t first)
{
    size_t count = b->list.count - first;
    const data_item **sorted = tn_alloc(ctx, count, sizeof(const data_item *));
    if (!sorted)
        return TN_NOMEM;
    for (size_t i = 0; i < count; i++)
        sorted[i] = &b->list.item[first + i];
    if (count > 1)
        qsort(sorted, count, sizeof(const data_item *), compare_items);
    tn_status status = TN_OK;
    for (size_t i = 1; status == TN_OK && i < count; i++)
        if (strcmp(sorted[i]->name, sorted[i - 1]->name) == 0 &&
            strcmp(sorted[i]->split, sorted[i - 1]->split) == 0)
            status = data_text_fail(ctx, path, sorted[i]->line,
                                    "duplicate clip %s in the split %s, which is in line %zu already",
                                    sorted[i]->name, sorted[i]->split, sorted[i - 1]->line);
    tn_free(ctx, sorted);
    return status;
}
