/* Strict reading of CSV (RFC 4180), record by record. */
#ifndef NN_CSV_H
#define NN_CSV_H

#include "nn/text.h"
#include "weights/weights.h"

typedef struct nn_csv {
    nn_text text; /* the file; text.line is the first line of the record at hand */
    long lines;   /* how many lines that record takes */
} nn_csv;

/* As nn_text_open(). A byte order mark is passed over. */
tn_status nn_csv_open(tn_ctx *ctx, const char *path, nn_csv *out);

/* As nn_text_close(), but what cells point to stays: the caller's to tn_free(). NULL where the file could not
 * be read. */
void *nn_csv_close(nn_csv *csv);

/* Takes the next record apart where it lies, quotes taken off: the first `room` cells into `cell`, and their
 * number, which may be larger than `room`, into *count; 0 behind the last record. Lines end in LF or CRLF;
 * empty ones are passed over. TN_FORMAT for a quote that is not closed, a quote inside a cell without quotes,
 * and text behind a closing quote. */
tn_status nn_csv_record(nn_csv *csv, char **cell, int room, int *count);

/* How many records can come at the most: lines that do not end inside quotes, empty ones too. */
size_t nn_csv_count(const nn_csv *csv);

/* Writes one cell, in quotes where it needs them. */
tn_status nn_csv_put(wt_writer *writer, const char *cell);

#endif
