/* Lists of clips as CSV files (RFC 4180): name, frames, audio, label, split, and maybe source and faces. */
#include "data/files.h"
#include "data/labels.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

typedef enum column { NAME, FRAMES, AUDIO, LABEL, SPLIT, SOURCE, FACES, COLUMNS } column;

enum { REQUIRED = SPLIT + 1 };

static const char *const column_name[COLUMNS] = {"name",  "frames", "audio", "label",
                                                 "split", "source", "faces"};
#define EXPECTED "expected name, frames, audio, label, split, and maybe source and faces"

/* A record: its fields one behind the other, each with a NUL. */
typedef struct record {
    char text[DATA_MANIFEST_MAX_LINE + COLUMNS + 2]; /* the fields */
    const char *field[COLUMNS + 1];                  /* where each begins; one more than can be right */
    size_t fields;                                   /* how many there are, even where more than are kept */
    size_t line;                                     /* where it begins */
    size_t used;                                     /* of `text` */
} record;

/* A file being read. */
typedef struct csv {
    data_text text;     /* the file */
    record *row;        /* the record at hand */
    int at[COLUMNS];    /* which field a column is; -1: not there */
    size_t columns;     /* of the header */
    char *folder;       /* that paths are relative to, with a slash at its end; "" for the working folder */
    bool classes_given; /* no label makes a new class */
    const char *path;   /* of the file */
} csv;

/* ---- records --------------------------------------------------------------------------------------- */

static tn_status put(tn_ctx *ctx, const csv *in, record *r, char c)
{
    if (r->used >= DATA_MANIFEST_MAX_LINE)
        return data_text_fail(ctx, in->path, r->line, "longer than %d bytes", DATA_MANIFEST_MAX_LINE);
    r->text[r->used++] = c;
    return TN_OK;
}

/* Whether the line ends here. A carriage return counts only before a line feed or the end. */
static bool at_line_end(const data_text *t)
{
    if (t->at >= t->count || t->bytes[t->at] == '\n')
        return true;
    return t->bytes[t->at] == '\r' && (t->at + 1 == t->count || t->bytes[t->at + 1] == '\n');
}

static void skip_line_end(data_text *t)
{
    if (t->at < t->count && t->bytes[t->at] == '\r')
        t->at++;
    if (t->at < t->count && t->bytes[t->at] == '\n')
        t->at++;
    t->line++;
}

/* What is between quotes; a quote inside is written twice. */
static tn_status read_quoted(tn_ctx *ctx, csv *in, record *r)
{
    data_text *t = &in->text;
    for (t->at++;; t->at++) {
        if (t->at == t->count)
            return data_text_fail(ctx, in->path, r->line, "a quote is not closed");
        if (t->bytes[t->at] == '"') {
            if (t->at + 1 == t->count || t->bytes[t->at + 1] != '"')
                break;
            t->at++;
        }
        t->line += t->bytes[t->at] == '\n';
        TN_TRY(put(ctx, in, r, (char)t->bytes[t->at]));
    }
    t->at++;
    if (!at_line_end(t) && t->bytes[t->at] != ',')
        return data_text_fail(ctx, in->path, t->line, "text behind a closing quote");
    return TN_OK;
}

static tn_status read_field(tn_ctx *ctx, csv *in, record *r)
{
    data_text *t = &in->text;
    if (r->fields <= COLUMNS)
        r->field[r->fields] = r->text + r->used;
    r->fields++;
    if (t->at < t->count && t->bytes[t->at] == '"')
        TN_TRY(read_quoted(ctx, in, r));
    else
        for (; !at_line_end(t) && t->bytes[t->at] != ','; t->at++) {
            if (t->bytes[t->at] == '"')
                return data_text_fail(ctx, in->path, t->line,
                                      "a quote inside a field that has none around it");
            TN_TRY(put(ctx, in, r, (char)t->bytes[t->at]));
        }
    return put(ctx, in, r, '\0');
}

/* The next record, empty lines aside; *more is false at the end. */
static tn_status read_record(tn_ctx *ctx, csv *in, bool *more)
{
    data_text *t = &in->text;
    record *r = in->row;
    while (t->at < t->count && at_line_end(t))
        skip_line_end(t);
    *more = t->at < t->count;
    if (!*more)
        return TN_OK;
    r->fields = r->used = 0;
    r->line = t->line;
    for (;;) {
        TN_TRY(read_field(ctx, in, r));
        if (at_line_end(t))
            break;
        t->at++;
    }
    skip_line_end(t);
    return TN_OK;
}

/* ---- header ---------------------------------------------------------------------------------------- */

static tn_status read_header(tn_ctx *ctx, csv *in)
{
    bool more;
    TN_TRY(read_record(ctx, in, &more));
    if (!more)
        return data_text_fail(ctx, in->path, 1, "no header: " EXPECTED);
    for (int c = 0; c < COLUMNS; c++)
        in->at[c] = -1;
    in->columns = in->row->fields;
    for (size_t i = 0; i < in->columns && i <= COLUMNS; i++) {
        int c = 0;
        while (c < COLUMNS && strcmp(in->row->field[i], column_name[c]) != 0)
            c++;
        if (c == COLUMNS)
            return data_text_fail(ctx, in->path, in->row->line, "unknown column '%.80s', " EXPECTED,
                                  in->row->field[i]);
        if (in->at[c] >= 0)
            return data_text_fail(ctx, in->path, in->row->line, "the column %s is there twice",
                                  column_name[c]);
        in->at[c] = (int)i;
    }
    for (int c = 0; c < REQUIRED; c++)
        if (in->at[c] < 0)
            return data_text_fail(ctx, in->path, in->row->line, "no column %s, " EXPECTED, column_name[c]);
    return TN_OK;
}

/* ---- rows ------------------------------------------------------------------------------------------ */

/* The text of a column; "" where there is no such column. */
static const char *cell(const csv *in, column c)
{
    return in->at[c] >= 0 ? in->row->field[in->at[c]] : "";
}

/* The path that a cell names, *out NULL for an empty one; it must be there. */
static tn_status take_path(tn_ctx *ctx, const csv *in, column c, char **out, bool *is_folder)
{
    const char *text = cell(in, c);
    struct stat info;
    *out = NULL;
    if (!*text)
        return TN_OK;
    char *path = *text == '/' || !*in->folder ? tn_strdup(ctx, text) : data_join(ctx, in->folder, text);
    if (!path)
        return TN_NOMEM;
    if (stat(path, &info) != 0) {
        tn_status status = data_text_fail(ctx, in->path, in->row->line, "%s %.400s: %s", column_name[c], path,
                                          strerror(errno));
        tn_free(ctx, path);
        return status;
    }
    *is_folder = S_ISDIR(info.st_mode);
    *out = path;
    return TN_OK;
}

static tn_status take_label(tn_ctx *ctx, const csv *in, data_builder *b, int *label)
{
    const char *text = cell(in, LABEL);
    *label = -1;
    if (!*text)
        return TN_OK;
    *label = data_builder_find_class(b, text);
    if (*label >= 0)
        return TN_OK;
    if (in->classes_given)
        return data_text_fail(ctx, in->path, in->row->line,
                              "unknown label '%.80s', expected one of the %d given", text, b->list.classes);
    if (strlen(text) > DATA_MANIFEST_MAX_NAME)
        return data_text_fail(ctx, in->path, in->row->line, "a label of more than %d bytes",
                              DATA_MANIFEST_MAX_NAME);
    TN_TRY(data_builder_add_class(ctx, b, text));
    *label = b->list.classes - 1;
    return TN_OK;
}

static tn_status take_faces(tn_ctx *ctx, const csv *in, int *faces)
{
    const char *text = cell(in, FACES);
    *faces = -1;
    if (!*text)
        return TN_OK;
    size_t digits = strspn(text, "0123456789");
    int value = 0;
    for (size_t i = 0; i < digits && value <= DATA_MANIFEST_MAX_FACES; i++)
        value = value * 10 + (text[i] - '0');
    if (text[digits] || value > DATA_MANIFEST_MAX_FACES)
        return data_text_fail(ctx, in->path, in->row->line,
                              "faces cannot be '%.80s', expected a number up to %d", text,
                              DATA_MANIFEST_MAX_FACES);
    *faces = value;
    return TN_OK;
}

static tn_status take_files(tn_ctx *ctx, const csv *in, data_item *item)
{
    char *pictures = NULL;
    bool folder = false, sound_is_folder = false;
    TN_TRY(take_path(ctx, in, FRAMES, &pictures, &folder));
    if (folder)
        item->frames = pictures;
    else
        item->video = pictures;
    TN_TRY(take_path(ctx, in, AUDIO, &item->audio, &sound_is_folder));
    if (sound_is_folder)
        return data_text_fail(ctx, in->path, in->row->line,
                              "audio %.400s: a folder, where a file is expected", item->audio);
    if (!pictures && !item->audio)
        return data_text_fail(ctx, in->path, in->row->line, "clip %.80s has neither frames nor audio",
                              item->name);
    return TN_OK;
}

static tn_status take_row(tn_ctx *ctx, const csv *in, data_builder *b)
{
    /* The casts drop const: the item only lends its texts to data_builder_add(), which copies them. */
    data_item item = {.name = (char *)(uintptr_t)cell(in, NAME), .split = (char *)(uintptr_t)cell(in, SPLIT)};
    item.source = *cell(in, SOURCE) ? (char *)(uintptr_t)cell(in, SOURCE) : item.name;
    if (in->row->fields != in->columns)
        return data_text_fail(ctx, in->path, in->row->line, "%zu columns, but the header has %zu",
                              in->row->fields, in->columns);
    TN_TRY(take_label(ctx, in, b, &item.label));
    TN_TRY(take_faces(ctx, in, &item.faces));
    tn_status status = take_files(ctx, in, &item);
    if (status == TN_OK)
        status = data_builder_add(ctx, b, in->path, in->row->line, &item);
    tn_free(ctx, item.frames);
    tn_free(ctx, item.video);
    tn_free(ctx, item.audio);
    return status;
}

/* The order of VGAF where the labels are those of VGAF, however they come. */
static void order_classes(data_manifest *list)
{
    int seen[DATA_SYNTH_CLASSES] = {-1, -1, -1}, rank[DATA_SYNTH_CLASSES];
    char *name[DATA_SYNTH_CLASSES];
    if (list->classes != DATA_SYNTH_CLASSES)
        return;
    for (int i = 0; i < DATA_SYNTH_CLASSES; i++) {
        name[i] = list->class_name[i];
        for (int k = 0; k < DATA_SYNTH_CLASSES; k++)
            if (strcmp(list->class_name[i], data_synth_class(k)) == 0)
                seen[k] = i;
    }
    for (int k = 0; k < DATA_SYNTH_CLASSES; k++) {
        if (seen[k] < 0)
            return;
        rank[seen[k]] = k;
    }
    for (int k = 0; k < DATA_SYNTH_CLASSES; k++)
        list->class_name[k] = name[seen[k]];
    for (size_t i = 0; i < list->count; i++)
        if (list->item[i].label >= 0)
            list->item[i].label = rank[list->item[i].label];
}

static tn_status read_rows(tn_ctx *ctx, csv *in, data_builder *b)
{
    TN_TRY(read_header(ctx, in));
    for (bool more = true;;) {
        TN_TRY(read_record(ctx, in, &more));
        if (!more)
            break;
        TN_TRY(take_row(ctx, in, b));
    }
    if (b->list.count == 0)
        return data_text_fail(ctx, in->path, in->text.line, "no clips below the header");
    if (!in->classes_given)
        order_classes(&b->list);
    return data_builder_check(ctx, b, in->path, 0);
}

tn_status data_labels_read_csv(tn_ctx *ctx, const char *path, bool classes_given, data_builder *b)
{
    csv in = {.classes_given = classes_given, .path = path};
    TN_TRY(data_text_open(ctx, path, &in.text));
    in.row = tn_alloc(ctx, 1, sizeof *in.row);
    in.folder = tn_strdup(ctx, path);
    tn_status status = in.row && in.folder ? TN_OK : TN_NOMEM;
    if (status == TN_OK) {
        char *slash = strrchr(in.folder, '/');
        *(slash ? slash + 1 : in.folder) = '\0';
        status = read_rows(ctx, &in, b);
    }
    tn_free(ctx, in.folder);
    tn_free(ctx, in.row);
    data_text_close(ctx, &in.text);
    return status;
}

/* ---- writing --------------------------------------------------------------------------------------- */

/* Text that grows. */
typedef struct sheet {
    tn_ctx *ctx;      /* of the memory */
    char *text;       /* tn_free() */
    size_t used;      /* bytes in it */
    size_t room;      /* bytes that it has room for */
    tn_status status; /* TN_NOMEM after a failure */
} sheet;

static void append(sheet *s, const char *text, size_t length)
{
    if (s->status == TN_OK)
        s->status = tn_grow(s->ctx, &s->text, &s->room, s->used + length, 1);
    if (s->status == TN_OK && length > 0) {
        memcpy(s->text + s->used, text, length);
        s->used += length;
    }
}

/* A field and what ends it; in quotes where it needs them. */
static void append_field(sheet *s, const char *text, char end)
{
    if (!text[strcspn(text, ",\"\r\n")])
        append(s, text, strlen(text));
    else {
        append(s, "\"", 1);
        for (; *text; text++)
            append(s, *text == '"' ? "\"\"" : text, *text == '"' ? 2 : 1);
        append(s, "\"", 1);
    }
    append(s, &end, 1);
}

/* A path as it is written down: without the folder of the CSV file where it begins with that, else from the
 * root, since the CSV file may be anywhere. */
static void append_path(sheet *s, const char *path, const char *csv_path)
{
    const char *slash = strrchr(csv_path, '/');
    size_t folder = slash ? (size_t)(slash - csv_path + 1) : 0;
    if (!path) {
        append(s, ",", 1);
        return;
    }
    if ((slash || *path != '/') && strncmp(path, csv_path, folder) == 0) {
        path += folder;
        append_field(s, path + strspn(path, "/"), ',');
        return;
    }
    char *whole = *path == '/' ? NULL : realpath(path, NULL);
    if (*path != '/' && !whole && s->status == TN_OK)
        s->status = tn_fail(s->ctx, TN_IO, "%s: %s", path, strerror(errno));
    append_field(s, whole ? whole : path, ',');
    free(whole);
}

tn_status data_manifest_write(tn_ctx *ctx, const char *path, const data_manifest *m)
{
    sheet s = {.ctx = ctx};
    for (int c = 0; c < COLUMNS; c++)
        append_field(&s, column_name[c], c + 1 < COLUMNS ? ',' : '\n');
    for (size_t i = 0; i < m->count; i++) {
        const data_item *item = &m->item[i];
        char faces[16] = "";
        if (item->faces >= 0)
            snprintf(faces, sizeof faces, "%d", item->faces);
        append_field(&s, item->name, ',');
        append_path(&s, item->frames ? item->frames : item->video, path);
        append_path(&s, item->audio, path);
        append_field(&s, item->label >= 0 ? m->class_name[item->label] : "", ',');
        append_field(&s, item->split, ',');
        append_field(&s, item->source, ',');
        append_field(&s, faces, '\n');
    }
    tn_status status = s.status;
    if (status == TN_OK)
        status = data_write_file(ctx, path, s.text, s.used);
    tn_free(ctx, s.text);
    return status;
}
