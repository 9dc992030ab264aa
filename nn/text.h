/* Strict reading of text files of numbers, line by line. */
#ifndef NN_TEXT_H
#define NN_TEXT_H

#include "libtensor/tensor.h"

#include <locale.h>

/* This thread, not the process, in the C locale, so that numbers have decimal points. */
typedef struct nn_locale {
    locale_t c;      /* in use; 0 when not entered */
    locale_t before; /* what was in use */
} nn_locale;
tn_status nn_locale_enter(tn_ctx *ctx, nn_locale *out);
void nn_locale_leave(nn_locale *locale); /* also when entering failed */

typedef struct nn_text {
    tn_ctx *ctx;      /* borrowed */
    const char *path; /* borrowed; for messages */
    char *data;       /* the whole file and a NUL behind it */
    size_t size;      /* bytes of the file */
    size_t at;        /* where the next line begins */
    long line;        /* number of the line at hand, from 1 */
    nn_locale locale; /* while the text is open */
} nn_text;

/* Reads the file and enters the C locale until nn_text_close(), which is to be called after a failure too.
 * TN_IO; TN_FORMAT for a file with NUL bytes or of more than a gigabyte. */
tn_status nn_text_open(tn_ctx *ctx, const char *path, nn_text *out);
void nn_text_close(nn_text *text);

/* The next line without its end, NUL-terminated, to be taken apart by nn_text_word(); NULL after the last. */
char *nn_text_line(nn_text *text);

/* Cuts the next word off *rest; NULL where only white space is left. */
char *nn_text_word(char **rest);

/* Decimal numbers and nothing else: no "inf", no hexadecimal, no overflow. False for any other text. To be
 * called in the C locale. */
bool nn_text_double(const char *word, double *out);
bool nn_text_int(const char *word, int *out);

/* Fails with TN_FORMAT and "PATH:LINE: ...". */
tn_status nn_text_fail(const nn_text *text, const char *format, ...) TN_PRINTF(2, 3);

#endif
