/* Score files: what a system says of each clip, as CSV. */
#include "nn/csv.h"
#include "nn/nn.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The columns that are no classes. */
enum { NAME, LABEL, PREDICTED, SOURCE, FACES, SPLIT, FIXED };
static const char *const fixed_name[FIXED] = {"name", "label", "predicted", "source", "faces", "split"};

typedef struct reader {
    nn_csv csv;          /* the file */
    nn_scores *scores;   /* being filled */
    int columns;         /* of the header */
    int column[FIXED];   /* where the fixed columns are; -1: nowhere */
    int *class_column;   /* where each class is */
    char **cell;         /* of the record at hand; room for MAX_COLUMNS */
    double *probability; /* room for all clips */
} reader;

enum { MAX_COLUMNS = NN_MAX_SCORE_CLASSES + FIXED };

static int fixed_column(const char *name)
{
    for (int i = 0; i < FIXED; i++)
        if (strcmp(name, fixed_name[i]) == 0)
            return i;
    return -1;
}

static int find_class(const nn_scores *scores, const char *name)
{
    for (int i = 0; i < scores->classes; i++)
        if (strcmp(name, scores->class_name[i]) == 0)
            return i;
    return -1;
}

static const char *path_of(const nn_scores *scores)
{
    return scores->path ? scores->path : "scores in memory";
}

/* ---- order ----------------------------------------------------------------------------------------- */

static int by_name(const void *a, const void *b, void *rows)
{
    const nn_score *row = rows;
    const size_t i = *(const size_t *)a, j = *(const size_t *)b;
    const int order = strcmp(row[i].name, row[j].name);
    return order != 0 ? order : (i > j) - (i < j);
}

/* The rows' indices by name, equal names in the rows' order. NULL: TN_NOMEM is recorded. */
static size_t *sort_names(tn_ctx *ctx, const nn_scores *scores)
{
    size_t *index = tn_alloc(ctx, scores->count + 1, sizeof *index);
    if (!index)
        return NULL;
    for (size_t i = 0; i < scores->count; i++)
        index[i] = i;
    qsort_r(index, scores->count, sizeof *index, by_name, scores->row);
    return index;
}

/* The first clip that was there before: sets `again` and where it was first. `count`: there is none. */
static tn_status find_twice(tn_ctx *ctx, const nn_scores *scores, size_t *again, size_t *before)
{
    size_t *index = sort_names(ctx, scores);
    if (!index)
        return TN_NOMEM;
    *again = *before = scores->count;
    for (size_t i = 1; i < scores->count; i++)
        if (strcmp(scores->row[index[i]].name, scores->row[index[i - 1]].name) == 0 && index[i] < *again) {
            *again = index[i];
            *before = index[i - 1];
        }
    tn_free(ctx, index);
    return TN_OK;
}

/* ---- reading --------------------------------------------------------------------------------------- */

static tn_status read_header(reader *r)
{
    nn_csv *csv = &r->csv;
    nn_scores *s = r->scores;
    TN_TRY(nn_csv_record(csv, r->cell, MAX_COLUMNS, &r->columns));
    if (r->columns == 0)
        return tn_fail(csv->text.ctx, TN_FORMAT, "%s: the file is empty", csv->text.path);
    if (r->columns > MAX_COLUMNS)
        return tn_fail(csv->text.ctx, TN_UNSUPPORTED, "%s: %d columns; at most %d are read", csv->text.path,
                       r->columns, MAX_COLUMNS);
    for (int i = 0; i < FIXED; i++)
        r->column[i] = -1;
    for (int i = 0; i < r->columns; i++) {
        const int fixed = fixed_column(r->cell[i]);
        if (*r->cell[i] == '\0')
            return nn_text_fail(&csv->text, "column %d has no name", i + 1);
        if (fixed >= 0 ? r->column[fixed] >= 0 : find_class(s, r->cell[i]) >= 0)
            return nn_text_fail(&csv->text, "there are two columns \"%.60s\"", r->cell[i]);
        if (fixed >= 0) {
            r->column[fixed] = i;
            continue;
        }
        if (s->classes == NN_MAX_SCORE_CLASSES)
            return tn_fail(csv->text.ctx, TN_UNSUPPORTED, "%s: more than %d classes", csv->text.path,
                           NN_MAX_SCORE_CLASSES);
        r->class_column[s->classes] = i;
        s->class_name[s->classes++] = r->cell[i];
    }
    if (r->column[NAME] < 0)
        return nn_text_fail(&csv->text, "no column \"name\"");
    return s->classes >= 2 ? TN_OK
                           : nn_text_fail(&csv->text, "%d column%s of classes, expected at least 2",
                                          s->classes, s->classes == 1 ? "" : "s");
}

/* The cell of a fixed column; "" where there is no such column. */
static const char *fixed_cell(const reader *r, int which)
{
    return r->column[which] < 0 ? "" : r->cell[r->column[which]];
}

/* The class that a cell names; -1 for an empty one. */
static tn_status read_class(const reader *r, int which, int *out)
{
    const char *cell = fixed_cell(r, which);
    *out = *cell ? find_class(r->scores, cell) : -1;
    return *cell && *out < 0 ? nn_text_fail(&r->csv.text, "%s \"%.60s\" is not one of the class columns",
                                            fixed_name[which], cell)
                             : TN_OK;
}

/* The probabilities of the row, or NULL where all of their cells are empty. */
static tn_status read_probabilities(reader *r, double *value, const double **out)
{
    const nn_text *text = &r->csv.text;
    const nn_scores *s = r->scores;
    int empty = 0;
    double sum = 0;
    for (int i = 0; i < s->classes; i++) {
        const char *cell = r->cell[r->class_column[i]];
        empty += *cell == '\0';
        if (*cell == '\0')
            continue;
        if (!nn_text_double(cell, &value[i]))
            return nn_text_fail(text, "%.60s: \"%.40s\" is not a number", s->class_name[i], cell);
        if (value[i] < 0)
            return nn_text_fail(text, "%.60s: a probability of %.40s", s->class_name[i], cell);
        sum += value[i];
    }
    *out = empty == 0 ? value : NULL;
    if (empty > 0 && empty < s->classes)
        return nn_text_fail(text, "%d of %d probabilities are there, expected all or none",
                            s->classes - empty, s->classes);
    return empty == 0 && fabs(sum - 1) > NN_SCORES_TOLERANCE
               ? nn_text_fail(text, "the probabilities' sum is %.6g, expected 1 within %g", sum,
                              NN_SCORES_TOLERANCE)
               : TN_OK;
}

static tn_status read_prediction(const reader *r, nn_score *row)
{
    TN_TRY(read_class(r, PREDICTED, &row->predicted));
    if (row->predicted >= 0)
        return TN_OK;
    if (r->column[PREDICTED] >= 0)
        return nn_text_fail(&r->csv.text, "no predicted class");
    if (!row->probability)
        return nn_text_fail(&r->csv.text, "neither a predicted class nor probabilities");
    row->predicted = 0;
    for (int i = 1; i < r->scores->classes; i++)
        if (row->probability[i] > row->probability[row->predicted])
            row->predicted = i;
    return TN_OK;
}

static tn_status read_row(reader *r, double *probability, nn_score *row)
{
    const nn_text *text = &r->csv.text;
    *row = (nn_score){.line = text->line, .faces = -1};
    row->name = fixed_cell(r, NAME);
    if (*row->name == '\0')
        return nn_text_fail(text, "no name");
    row->source = fixed_cell(r, SOURCE);
    row->split = fixed_cell(r, SPLIT);
    const char *faces = fixed_cell(r, FACES);
    if (*faces && (!nn_text_int(faces, &row->faces) || row->faces < 0))
        return nn_text_fail(text, "faces: \"%.40s\" is not a whole number of at least 0", faces);
    TN_TRY(read_class(r, LABEL, &row->label));
    TN_TRY(read_probabilities(r, probability, &row->probability));
    return read_prediction(r, row);
}

static tn_status read_rows(reader *r)
{
    nn_scores *s = r->scores;
    nn_csv *csv = &r->csv;
    const size_t rows = nn_csv_count(csv);
    tn_ctx *ctx = csv->text.ctx;
    if (rows > NN_MAX_CLIPS || rows * (size_t)s->classes > NN_MAX_PROBABILITIES)
        return tn_fail(ctx, TN_UNSUPPORTED,
                       "%s: %zu clips of %d classes; at most %d clips and %d probabilities "
                       "are read",
                       csv->text.path, rows, s->classes, NN_MAX_CLIPS, NN_MAX_PROBABILITIES);
    s->row = tn_alloc(ctx, rows + 1, sizeof *s->row);
    s->probability = r->probability = tn_alloc(ctx, rows * (size_t)s->classes + 1, sizeof *r->probability);
    if (!s->row || !r->probability)
        return TN_NOMEM;
    for (int cells; s->count < rows; s->count++) {
        TN_TRY(nn_csv_record(csv, r->cell, r->columns, &cells));
        if (cells == 0)
            break;
        if (cells != r->columns)
            return nn_text_fail(&csv->text, "%d cell%s, the header has %d", cells, cells == 1 ? "" : "s",
                                r->columns);
        TN_TRY(read_row(r, r->probability + s->count * (size_t)s->classes, &s->row[s->count]));
    }
    size_t again, before;
    TN_TRY(find_twice(ctx, s, &again, &before));
    if (again == s->count)
        return TN_OK;
    return tn_fail(ctx, TN_FORMAT, "%s:%ld: clip \"%.100s\" is on line %ld already", csv->text.path,
                   s->row[again].line, s->row[again].name, s->row[before].line);
}

static tn_status read_all(reader *r, tn_ctx *ctx)
{
    nn_scores *s = r->scores;
    r->cell = tn_alloc(ctx, MAX_COLUMNS, sizeof *r->cell);
    r->class_column = tn_alloc(ctx, NN_MAX_SCORE_CLASSES, sizeof *r->class_column);
    s->class_name = tn_alloc(ctx, NN_MAX_SCORE_CLASSES, sizeof *s->class_name);
    if (!r->cell || !r->class_column || !s->class_name)
        return TN_NOMEM;
    TN_TRY(read_header(r));
    return read_rows(r);
}

tn_status nn_scores_read(tn_ctx *ctx, const char *path, nn_scores *out)
{
    *out = (nn_scores){0};
    reader r = {.scores = out};
    tn_status status = nn_csv_open(ctx, path, &r.csv);
    if (status == TN_OK)
        status = read_all(&r, ctx);
    if (status == TN_OK && !(out->path = tn_strdup(ctx, path)))
        status = TN_NOMEM;
    tn_free(ctx, r.cell);
    tn_free(ctx, r.class_column);
    out->text = nn_csv_close(&r.csv);
    if (status != TN_OK)
        nn_scores_free(ctx, out);
    return status;
}

void nn_scores_free(tn_ctx *ctx, nn_scores *scores)
{
    tn_free(ctx, scores->class_name);
    tn_free(ctx, scores->row);
    tn_free(ctx, (void *)scores->path);
    tn_free(ctx, scores->text);
    tn_free(ctx, scores->probability);
    *scores = (nn_scores){0};
}

/* ---- writing --------------------------------------------------------------------------------------- */

static tn_status check_row(tn_ctx *ctx, const char *path, const nn_scores *s, size_t i)
{
    const nn_score *row = &s->row[i];
    if (!row->name || *row->name == '\0')
        return tn_fail(ctx, TN_RANGE, "%s: clip %zu has no name", path, i + 1);
    if (row->label < -1 || row->label >= s->classes || row->predicted < 0 || row->predicted >= s->classes ||
        row->faces < -1)
        return tn_fail(ctx, TN_RANGE, "%s: clip \"%.100s\": label %d, predicted %d of %d classes, %d faces",
                       path, row->name, row->label, row->predicted, s->classes, row->faces);
    double sum = 0, least = 0;
    for (int k = 0; row->probability && k < s->classes; k++) {
        sum += row->probability[k];
        least = fmin(least, row->probability[k]);
    }
    /* Written so that a sum that is not a number fails too. */
    if (row->probability && !(least >= 0 && fabs(sum - 1) <= NN_SCORES_TOLERANCE))
        return tn_fail(ctx, TN_RANGE, "%s: clip \"%.100s\": probabilities of sum %g, the least of them %g",
                       path, row->name, sum, least);
    return TN_OK;
}

static tn_status check_classes(tn_ctx *ctx, const char *path, const nn_scores *s)
{
    if (s->classes < 2 || s->classes > NN_MAX_SCORE_CLASSES || s->count > NN_MAX_CLIPS ||
        s->count * (size_t)s->classes > NN_MAX_PROBABILITIES)
        return tn_fail(ctx, TN_RANGE, "%s: %zu clips of %d classes cannot be written", path, s->count,
                       s->classes);
    for (int k = 0; k < s->classes; k++) {
        const char *name = s->class_name[k];
        if (*name == '\0' || fixed_column(name) >= 0 || find_class(s, name) != k)
            return tn_fail(ctx, TN_RANGE, "%s: a class cannot be called \"%.60s\"%s", path, name,
                           find_class(s, name) != k ? " twice" : "");
    }
    return TN_OK;
}

tn_status nn_scores_check_names(tn_ctx *ctx, const char *path, char *const *class_name, int classes)
{
    const nn_scores none = {.classes = classes, .class_name = (const char **)(uintptr_t)class_name};
    if (classes < 2)
        return tn_fail(ctx, TN_RANGE, "%s: %d class, expected at least 2", path, classes);
    return check_classes(ctx, path, &none);
}

static tn_status check_scores(tn_ctx *ctx, const char *path, const nn_scores *s)
{
    TN_TRY(check_classes(ctx, path, s));
    for (size_t i = 0; i < s->count; i++)
        TN_TRY(check_row(ctx, path, s, i));
    size_t again, before;
    TN_TRY(find_twice(ctx, s, &again, &before));
    return again == s->count
               ? TN_OK
               : tn_fail(ctx, TN_RANGE, "%s: clip \"%.100s\" is there twice", path, s->row[again].name);
}

static tn_status put_row(wt_writer *w, const nn_scores *s, const nn_score *row)
{
    TN_TRY(nn_csv_put(w, row->name));
    TN_TRY(wt_write(w, ",", 1));
    TN_TRY(nn_csv_put(w, row->label >= 0 ? s->class_name[row->label] : ""));
    TN_TRY(wt_write(w, ",", 1));
    TN_TRY(nn_csv_put(w, s->class_name[row->predicted]));
    TN_TRY(wt_write(w, ",", 1));
    TN_TRY(nn_csv_put(w, row->source ? row->source : ""));
    TN_TRY(row->faces >= 0 ? wt_printf(w, ",%d,", row->faces) : wt_write(w, ",,", 2));
    TN_TRY(nn_csv_put(w, row->split ? row->split : ""));
    for (int k = 0; k < s->classes; k++)
        TN_TRY(row->probability ? wt_printf(w, ",%.17g", row->probability[k]) : wt_write(w, ",", 1));
    return wt_write(w, "\n", 1);
}

static tn_status put_all(wt_writer *w, const nn_scores *s)
{
    for (int i = 0; i < FIXED; i++)
        TN_TRY(wt_printf(w, "%s%s", i ? "," : "", fixed_name[i]));
    for (int k = 0; k < s->classes; k++) {
        TN_TRY(wt_write(w, ",", 1));
        TN_TRY(nn_csv_put(w, s->class_name[k]));
    }
    TN_TRY(wt_write(w, "\n", 1));
    for (size_t i = 0; i < s->count; i++)
        TN_TRY(put_row(w, s, &s->row[i]));
    return TN_OK;
}

tn_status nn_scores_write(tn_ctx *ctx, const char *path, const nn_scores *scores)
{
    TN_TRY(check_scores(ctx, path, scores));
    nn_locale locale;
    TN_TRY(nn_locale_enter(ctx, &locale));
    wt_writer *writer = NULL;
    tn_status status = wt_create(ctx, path, &writer);
    if (status == TN_OK)
        status = put_all(writer, scores);
    if (status == TN_OK)
        status = wt_commit(writer);
    else
        wt_discard(writer);
    nn_locale_leave(&locale);
    return status;
}

/* ---- counting and comparing ------------------------------------------------------------------------ */

bool nn_selected(const nn_score *score, const nn_selection *selection)
{
    if (selection->split && strcmp(score->split ? score->split : "", selection->split) != 0)
        return false;
    switch (selection->faces) {
    case NN_FACES_ANY:
        return true;
    case NN_FACES_FEWER:
        return score->faces >= 0 && score->faces < selection->limit;
    case NN_FACES_MORE:
        return score->faces >= selection->limit;
    case NN_FACES_UNKNOWN:
        return score->faces < 0;
    }
    return false;
}

int64_t nn_scores_confusion(const nn_scores *scores, const nn_selection *selection, int64_t *matrix)
{
    const size_t k = (size_t)scores->classes;
    int64_t clips = 0;
    memset(matrix, 0, k * k * sizeof *matrix);
    for (size_t i = 0; i < scores->count; i++) {
        const nn_score *row = &scores->row[i];
        if (row->label < 0 || !nn_selected(row, selection))
            continue;
        matrix[(size_t)row->label * k + (size_t)row->predicted]++;
        clips++;
    }
    return clips;
}

/* Counts one clip that both have. */
static tn_status count_pair(tn_ctx *ctx, const nn_scores *first, const nn_score *a, const nn_scores *second,
                            const nn_score *b, nn_paired *out)
{
    const char *label = first->class_name[a->label], *other = second->class_name[b->label];
    if (strcmp(label, other) != 0)
        return tn_fail(ctx, TN_FORMAT, "clip \"%.100s\" is labelled %.60s in %s but %.60s in %s", a->name,
                       label, path_of(first), other, path_of(second));
    const bool first_right = a->label == a->predicted, second_right = b->label == b->predicted;
    out->clips++;
    out->both += first_right && second_right;
    out->first += first_right && !second_right;
    out->second += second_right && !first_right;
    out->neither += !first_right && !second_right;
    return TN_OK;
}

tn_status nn_scores_compare(tn_ctx *ctx, const nn_scores *first, const nn_scores *second,
                            const nn_selection *selection, nn_paired *out)
{
    *out = (nn_paired){0};
    size_t *one = sort_names(ctx, first), *two = sort_names(ctx, second);
    tn_status status = one && two ? TN_OK : TN_NOMEM;
    for (size_t i = 0, j = 0; status == TN_OK && i < first->count && j < second->count;) {
        const nn_score *a = &first->row[one[i]], *b = &second->row[two[j]];
        const int order = strcmp(a->name, b->name);
        if (order == 0 && a->label >= 0 && b->label >= 0 && nn_selected(a, selection) &&
            nn_selected(b, selection))
            status = count_pair(ctx, first, a, second, b, out);
        i += order <= 0;
        j += order >= 0;
    }
    out->test = nn_mcnemar_test(out->first, out->second);
    tn_free(ctx, one);
    tn_free(ctx, two);
    return status;
}

/* ---- predictions for unlabelled clips -------------------------------------------------------------- */

/* Whether a name ends like a file's: a dot, then one to four letters or digits with a letter among them. */
static bool has_ending(const char *name)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    static const char digits[] = "0123456789";
    const char *dot = strrchr(name, '.');
    if (!dot || strlen(dot + 1) > 4)
        return false;
    const size_t digit = strspn(dot + 1, digits), letter = strspn(dot + 1 + digit, letters);
    return letter > 0 && dot[1 + digit + letter + strspn(dot + 1 + digit + letter, digits)] == '\0';
}

static tn_status put_predictions(tn_ctx *ctx, const char *path, const nn_scores *scores,
                                 const nn_selection *selection, wt_writer *writer, size_t *count)
{
    TN_TRY(wt_printf(writer, "Vid_name Label\n"));
    for (size_t i = 0; i < scores->count; i++) {
        const nn_score *row = &scores->row[i];
        if (row->label >= 0 || !nn_selected(row, selection))
            continue;
        if (row->name[strcspn(row->name, " \t\r\n\v\f")] || has_ending(row->name))
            return tn_fail(ctx, TN_RANGE,
                           "%s: clip \"%.100s\": label files have names without white space and file endings",
                           path, row->name);
        TN_TRY(wt_printf(writer, "%s %d\n", row->name, row->predicted + 1));
        ++*count;
    }
    return *count > 0 ? TN_OK
                      : tn_fail(ctx, TN_RANGE, "%s: %s has no unlabelled clip", path, path_of(scores));
}

tn_status nn_predictions_write(tn_ctx *ctx, const char *path, const nn_scores *scores,
                               const nn_selection *selection, size_t *count)
{
    wt_writer *writer = NULL;
    *count = 0;
    TN_TRY(wt_create(ctx, path, &writer));
    tn_status status = put_predictions(ctx, path, scores, selection, writer, count);
    if (status == TN_OK)
        return wt_commit(writer);
    wt_discard(writer);
    return status;
}
