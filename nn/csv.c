/* Strict reading of CSV (RFC 4180), record by record. */
#include "nn/csv.h"

#include <limits.h>
#include <string.h>

tn_status nn_csv_open(tn_ctx *ctx, const char *path, nn_csv *out)
{
    *out = (nn_csv){.lines = 1};
    TN_TRY(nn_text_open(ctx, path, &out->text));
    if (strncmp(out->text.data, "\xef\xbb\xbf", 3) == 0)
        out->text.at = 3;
    return TN_OK;
}

void *nn_csv_close(nn_csv *csv)
{
    void *text = csv->text.data;
    csv->text.data = NULL;
    nn_text_close(&csv->text);
    return text;
}

/* Takes the quotes off the cell at `cell`; *end is what follows the closing one. */
static tn_status unquote(nn_csv *csv, char *cell, char **end)
{
    char *from = cell + 1, *to = cell;
    while (*from != '"' || from[1] == '"') {
        if (*from == '\0')
            return nn_text_fail(&csv->text, "a quote is not closed");
        csv->lines += *from == '\n';
        from += *from == '"';
        *to++ = *from++;
    }
    /* There is room for the NUL: the opening quote has gone. */
    *to = '\0';
    *end = from + 1;
    if (strcmp(*end, "\r") == 0 || strncmp(*end, "\r\n", 2) == 0)
        ++*end;
    if (**end != ',' && **end != '\n' && **end != '\0')
        return nn_text_fail(&csv->text, "text behind a closing quote: \"%.20s\"", *end);
    return TN_OK;
}

/* The end of a cell without quotes, whose CR before the line's end is taken off. */
static tn_status plain(const nn_csv *csv, char *cell, char **end)
{
    *end = cell + strcspn(cell, ",\n\"");
    if (**end == '"')
        return nn_text_fail(&csv->text, "a quote inside a cell that does not begin with one");
    if (**end != ',' && *end > cell && (*end)[-1] == '\r')
        (*end)[-1] = '\0';
    return TN_OK;
}

/* Passes over empty lines; the last of them may end with the text. */
static void skip_empty(nn_text *text)
{
    for (; text->at < text->size; text->line++) {
        const char *at = text->data + text->at;
        const size_t cr = *at == '\r';
        if (at[cr] != '\n' && at[cr] != '\0')
            return;
        text->at += cr + 1;
    }
}

tn_status nn_csv_record(nn_csv *csv, char **cell, int room, int *count)
{
    nn_text *text = &csv->text;
    *count = 0;
    text->line += csv->lines;
    csv->lines = 1;
    skip_empty(text);
    if (text->at >= text->size)
        return TN_OK;
    char *at = text->data + text->at, *end = at;
    for (char behind = ','; behind == ','; at = end + 1) {
        TN_TRY(*at == '"' ? unquote(csv, at, &end) : plain(csv, at, &end));
        if (*count == INT_MAX)
            return nn_text_fail(text, "more than %d cells", INT_MAX);
        if (*count < room)
            cell[*count] = at;
        ++*count;
        behind = *end;
        *end = '\0';
    }
    text->at = (size_t)(at - text->data);
    return TN_OK;
}

size_t nn_csv_count(const nn_csv *csv)
{
    const char *data = csv->text.data;
    const size_t size = csv->text.size;
    size_t records = 0;
    bool quoted = false;
    for (size_t i = csv->text.at; i < size; i++) {
        quoted = quoted != (data[i] == '"');
        records += !quoted && data[i] == '\n';
    }
    return records + (csv->text.at < size && (quoted || data[size - 1] != '\n'));
}

tn_status nn_csv_put(wt_writer *writer, const char *cell)
{
    if (cell[strcspn(cell, ",\"\r\n")] == '\0')
        return wt_write(writer, cell, strlen(cell));
    TN_TRY(wt_write(writer, "\"", 1));
    for (const char *at = cell; *at; at++)
        TN_TRY(wt_write(writer, *at == '"' ? "\"\"" : at, *at == '"' ? 2 : 1));
    return wt_write(writer, "\"", 1);
}
