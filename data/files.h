/* Whole files in and out, and their bytes in messages. */
#ifndef DATA_FILES_H
#define DATA_FILES_H

#include "libtensor/tensor.h"

/* Reads a regular file of at most `max` bytes (*bytes, for tn_free()). Fails with TN_IO, TN_RANGE or
 * TN_NOMEM; an empty file is fine. */
tn_status data_read_file(tn_ctx *ctx, const char *path, size_t max, unsigned char **bytes, size_t *count);

/* Writes a file whole or not at all: a temporary beside it, fsync, rename, fsync of the folder. TN_IO. */
tn_status data_write_file(tn_ctx *ctx, const char *path, const void *bytes, size_t count);

/* A new empty folder beside `path` (no slash at its end), whose name is in *temporary (tn_free()). */
tn_status data_make_folder(tn_ctx *ctx, const char *path, char **temporary);

/* Whether a folder could be put there, before the work of filling it: nothing is there, or an empty folder.
 * TN_IO. */
tn_status data_check_place(tn_ctx *ctx, const char *dir);

/* Puts the folder `temporary` in the place of `path`, which must be missing or an empty folder. TN_IO. */
tn_status data_rename_folder(tn_ctx *ctx, const char *temporary, const char *path);

/* Removes a folder and all that is in it, as far as that works. */
void data_remove_folder(const char *path);

/* A copy of a path without slashes at its end; NULL with the error recorded. */
char *data_without_slash(tn_ctx *ctx, const char *dir);

/* A path put together of two, as tn_strdup() would return it; NULL with the error recorded. */
char *data_join(tn_ctx *ctx, const char *dir, const char *name);

/* Up to 8 bytes as "first bytes 49 44 33", "it is empty" for none. */
enum { DATA_BYTES_TEXT = 40 };
const char *data_first_bytes(const unsigned char *bytes, size_t count, char text[DATA_BYTES_TEXT]);

#endif
