/* Confusion matrices as papers print them, typed into CSV. */
#include "nn/csv.h"
#include "nn/nn.h"

#include <string.h>

typedef struct reader {
    nn_csv csv;        /* the file */
    nn_matrix *matrix; /* being filled */
    char **cell;       /* of the record at hand; room for MAX_CELLS */
    bool *seen;        /* classes whose row was there */
} reader;

enum { MAX_CELLS = NN_MAX_SCORE_CLASSES + 1 };

/* Lines before the header that begin with #. */
static tn_status read_comments(reader *r)
{
    static const char key[] = "# percentages:";
    nn_text *text = &r->csv.text;
    while (text->at < text->size && text->data[text->at] == '#') {
        char *line = nn_text_line(text);
        if (strncmp(line, key, sizeof key - 1) != 0)
            continue;
        char *rest = line + sizeof key - 1;
        const char *word = nn_text_word(&rest);
        r->matrix->truncated = word && strcmp(word, "truncated") == 0;
        if (!word || (!r->matrix->truncated && strcmp(word, "rounded") != 0) || nn_text_word(&rest))
            return nn_text_fail(text, "%s expected \"rounded\" or \"truncated\"", key);
    }
    return TN_OK;
}

static int find_class(const nn_matrix *m, const char *name)
{
    for (int i = 0; i < m->classes; i++)
        if (strcmp(m->class_name[i], name) == 0)
            return i;
    return -1;
}

static tn_status read_header(reader *r)
{
    nn_matrix *m = r->matrix;
    const nn_text *text = &r->csv.text;
    int cells;
    TN_TRY(nn_csv_record(&r->csv, r->cell, MAX_CELLS, &cells));
    if (cells == 0)
        return tn_fail(text->ctx, TN_FORMAT, "%s: there is no matrix in it", text->path);
    if (cells > MAX_CELLS)
        return tn_fail(text->ctx, TN_UNSUPPORTED, "%s: %d classes; at most %d are read", text->path,
                       cells - 1, NN_MAX_SCORE_CLASSES);
    if (cells < 3)
        return nn_text_fail(text, "%d predicted class%s in the header, expected at least 2", cells - 1,
                            cells == 2 ? "" : "es");
    for (int i = 1; i < cells; i++) {
        if (*r->cell[i] == '\0')
            return nn_text_fail(text, "column %d has no name", i + 1);
        if (find_class(m, r->cell[i]) >= 0)
            return nn_text_fail(text, "there are two columns \"%.60s\"", r->cell[i]);
        m->class_name[m->classes++] = r->cell[i];
    }
    return TN_OK;
}

/* A row of `cells` cells; *total grows by its counts. */
static tn_status read_row(reader *r, int cells, int64_t *total)
{
    nn_matrix *m = r->matrix;
    const nn_text *text = &r->csv.text;
    if (cells != m->classes + 1)
        return nn_text_fail(text, "%d cell%s, the header has %d", cells, cells == 1 ? "" : "s",
                            m->classes + 1);
    const int row = find_class(m, r->cell[0]);
    if (row < 0)
        return nn_text_fail(text, "true class \"%.60s\" is not one of the columns", r->cell[0]);
    if (r->seen[row])
        return nn_text_fail(text, "there are two rows \"%.60s\"", r->cell[0]);
    r->seen[row] = true;
    for (int i = 0; i < m->classes; i++) {
        int count;
        if (!nn_text_int(r->cell[i + 1], &count) || count < 0)
            return nn_text_fail(text, "\"%.40s\" is not a count", r->cell[i + 1]);
        m->count[(size_t)row * (size_t)m->classes + (size_t)i] = count;
        *total += count;
    }
    return TN_OK;
}

static tn_status read_matrix(reader *r)
{
    nn_matrix *m = r->matrix;
    tn_ctx *ctx = r->csv.text.ctx;
    r->cell = tn_alloc(ctx, MAX_CELLS, sizeof *r->cell);
    r->seen = tn_zalloc(ctx, NN_MAX_SCORE_CLASSES, sizeof *r->seen);
    m->class_name = tn_alloc(ctx, NN_MAX_SCORE_CLASSES, sizeof *m->class_name);
    if (!r->cell || !r->seen || !m->class_name)
        return TN_NOMEM;
    TN_TRY(read_comments(r));
    TN_TRY(read_header(r));
    m->count = tn_zalloc(ctx, (size_t)m->classes * (size_t)m->classes, sizeof *m->count);
    if (!m->count)
        return TN_NOMEM;
    int64_t total = 0;
    for (int cells;;) {
        TN_TRY(nn_csv_record(&r->csv, r->cell, MAX_CELLS, &cells));
        if (cells == 0)
            break;
        TN_TRY(read_row(r, cells, &total));
    }
    for (int i = 0; i < m->classes; i++)
        if (!r->seen[i])
            return tn_fail(ctx, TN_FORMAT, "%s: no row \"%.60s\"", r->csv.text.path, m->class_name[i]);
    return total > 0 ? TN_OK : tn_fail(ctx, TN_FORMAT, "%s: all counts are 0", r->csv.text.path);
}

tn_status nn_matrix_read(tn_ctx *ctx, const char *path, nn_matrix *out)
{
    *out = (nn_matrix){0};
    reader r = {.matrix = out};
    tn_status status = nn_csv_open(ctx, path, &r.csv);
    if (status == TN_OK)
        status = read_matrix(&r);
    tn_free(ctx, r.cell);
    tn_free(ctx, r.seen);
    out->text = nn_csv_close(&r.csv);
    if (status != TN_OK)
        nn_matrix_free(ctx, out);
    return status;
}

void nn_matrix_free(tn_ctx *ctx, nn_matrix *matrix)
{
    tn_free(ctx, matrix->class_name);
    tn_free(ctx, matrix->count);
    tn_free(ctx, matrix->text);
    *matrix = (nn_matrix){0};
}
