/* Strict reading of text files of numbers, line by line. */
#ifndef NN_TEXT_H
#define NN_TEXT_H

#include "libtensor/tensor.h"

#include <locale.h>

typedef struct nn_text {
    tn_ctx *ctx;      /* borrowed */
    const char *path; /* borrowed; for messages */
    char *data;       /* the whole file and a NUL behind it */
    size_t size;      /* bytes of the file */
    size_t at;        /* where the next line begins */
    long line;        /* number of the line at hand, from 1 */
    locale_t c;       /* the C locale, in use for this thread */
    locale_t before;  /* what was in use */
} nn_text;

/* Reads the file and puts this thread, not the process, into the C locale until nn_text_close(), which is
 * to be called after a failure too. TN_IO; TN_FORMAT for a file with NUL bytes or of more than a gigabyte. */
tn_status nn_text_open(tn_ctx *ctx, const char *path, nn_text *out);
void nn_text_close(nn_text *text);

/* The next line without its end, NUL-terminated, to be taken apart by nn_text_word(); NULL after the last. */
char *nn_text_line(nn_text *text);

/* Cuts the next word off *rest; NULL where only white space is left. */
char *nn_text_word(char **rest);

/* Decimal numbers and nothing else: no "inf", no hexadecimal, no overflow. False for any other text. */
bool nn_text_double(const char *word, double *out);
bool nn_text_int(const char *word, int *out);

/* Fails with TN_FORMAT and "PATH:LINE: ...". */
tn_status nn_text_fail(const nn_text *text, const char *format, ...) TN_PRINTF(2, 3);

#endif
