/* LIBSVM's data files: "label index:value index:value ...", one vector a line. */
#include "nn/svm.h"

#include <math.h>
#include <string.h>

void nn_svm_data_free(tn_ctx *ctx, nn_svm_data *data)
{
    tn_free(ctx, data->label);
    tn_free(ctx, data->start);
    tn_free(ctx, data->entry);
    *data = (nn_svm_data){0};
}

nn_svm_vector nn_svm_row(const nn_svm_data *data, size_t row)
{
    return (nn_svm_vector){data->entry + data->start[row], data->start[row + 1] - data->start[row]};
}

static size_t count_lines(const nn_text *text)
{
    size_t n = 0;
    for (size_t i = 0; i < text->size; i++)
        n += text->data[i] == '\n';
    return n + (text->size > 0 && text->data[text->size - 1] != '\n');
}

static tn_status read_rows(nn_text *text, nn_svm_data *out)
{
    const size_t rows = count_lines(text), room = nn_svm_count_entries(text);
    if (rows == 0)
        return nn_text_fail(text, "the file is empty");
    out->label = tn_alloc(text->ctx, rows, sizeof *out->label);
    out->start = tn_alloc(text->ctx, rows + 1, sizeof *out->start);
    out->entry = tn_alloc(text->ctx, room, sizeof *out->entry);
    if (!out->label || !out->start || !out->entry)
        return TN_NOMEM;
    size_t used = 0;
    for (char *line; (line = nn_text_line(text)) != NULL; out->rows++) {
        const char *label = nn_text_word(&line);
        if (!label)
            return nn_text_fail(text, "empty line");
        if (!nn_text_double(label, &out->label[out->rows]))
            return nn_text_fail(text, "\"%.40s\" is not a label (a finite number)", label);
        size_t count;
        TN_TRY(nn_svm_parse_entries(text, line, out->entry + used, room - used, &count, &out->max_index));
        out->start[out->rows] = used;
        used += count;
    }
    out->start[out->rows] = used;
    return TN_OK;
}

tn_status nn_svm_data_read(tn_ctx *ctx, const char *path, nn_svm_data *out)
{
    *out = (nn_svm_data){0};
    nn_text text;
    tn_status status = nn_text_open(ctx, path, &text);
    if (status == TN_OK)
        status = read_rows(&text, out);
    nn_text_close(&text);
    if (status != TN_OK)
        nn_svm_data_free(ctx, out);
    return status;
}

tn_status nn_svm_data_from(tn_ctx *ctx, const double *value, const int *label, size_t rows, int width,
                           nn_svm_data *out)
{
    *out = (nn_svm_data){.rows = rows};
    size_t room;
    if (!tn_mul_size(rows, (size_t)width, &room))
        return tn_fail(ctx, TN_NOMEM, "no memory for %zu rows of %d values", rows, width);
    out->label = tn_alloc(ctx, rows, sizeof *out->label);
    out->start = tn_alloc(ctx, rows + 1, sizeof *out->start);
    out->entry = tn_alloc(ctx, room, sizeof *out->entry);
    if (!out->label || !out->start || !out->entry) {
        nn_svm_data_free(ctx, out);
        return TN_NOMEM;
    }
    size_t used = 0;
    for (size_t i = 0; i < rows; i++) {
        out->label[i] = label[i];
        out->start[i] = used;
        for (int j = 0; j < width; j++) {
            const double x = value[i * (size_t)width + (size_t)j];
            if (!isfinite(x)) {
                nn_svm_data_free(ctx, out);
                return tn_fail(ctx, TN_RANGE, "row %zu, column %d is not a finite number", i + 1, j + 1);
            }
            if (x == 0)
                continue;
            out->entry[used++] = (nn_svm_entry){.index = j + 1, .value = x};
        }
    }
    out->start[rows] = used;
    out->max_index = width;
    return TN_OK;
}
