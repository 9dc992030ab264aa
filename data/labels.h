/* What the readers of lists share: lines of text, and a list that grows. */
#ifndef DATA_LABELS_H
#define DATA_LABELS_H

#include "data/data.h"

/* A text file that is gone through from its beginning. */
typedef struct data_text {
    const char *path;     /* borrowed; for messages */
    unsigned char *bytes; /* tn_free() */
    size_t count;         /* of them */
    size_t at;            /* the next one */
    size_t line;          /* its line, from 1 */
} data_text;

/* Reads a file of at most 256 MB without NUL bytes and steps over a byte order mark. */
tn_status data_text_open(tn_ctx *ctx, const char *path, data_text *out);
void data_text_close(tn_ctx *ctx, data_text *text);

/* The next line, without its end (LF or CRLF), as a piece of the bytes. False at the end. */
bool data_text_line(data_text *text, const char **line, size_t *length);

/* "PATH: line N: message", TN_FORMAT. */
tn_status data_text_fail(tn_ctx *ctx, const char *path, size_t line, const char *format, ...) TN_PRINTF(4, 5);

/* 64-bit FNV-1a: the hash of nothing, of more bytes behind it, of a file's bytes and their number, of the
 * pictures of a folder in natural order; *pictures becomes their number. */
#define DATA_HASH_BEGIN 0xcbf29ce484222325u
uint64_t data_hash_bytes(uint64_t h, const void *bytes, size_t count);
tn_status data_hash_file(tn_ctx *ctx, const char *path, uint64_t *h);
tn_status data_hash_folder(tn_ctx *ctx, const char *dir, uint64_t *h, size_t *pictures);

/* A list in the making. */
typedef struct data_builder {
    data_manifest list; /* so far */
    size_t room;        /* for items */
    size_t class_room;  /* for class names */
} data_builder;

/* Copies of `item`'s texts become the next item; `line` of `path` is where it stands. Fails with TN_FORMAT
 * for names that are not fit for files. */
tn_status data_builder_add(tn_ctx *ctx, data_builder *b, const char *path, size_t line,
                           const data_item *item);

/* Fails with TN_FORMAT where two of the items from `first` on, all from the file `path`, have the same name
 * in the same split. */
tn_status data_builder_check(tn_ctx *ctx, const data_builder *b, const char *path, size_t first);

/* The number of a class, or -1. */
int data_builder_find_class(const data_builder *b, const char *name);
tn_status data_builder_add_class(tn_ctx *ctx, data_builder *b, const char *name);

/* Both read a whole list into an empty builder, whose path and given classes are there; what is the same for
 * both is checked later. */
tn_status data_labels_read_csv(tn_ctx *ctx, const char *path, bool classes_given, data_builder *b);
tn_status data_labels_read_vgaf(tn_ctx *ctx, const char *dir, bool classes_given, data_builder *b);

#endif
