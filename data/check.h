/* What of a picture file is looked at before a decoder sees it: structure, sizes, tables. Both functions need
 * nothing but the bytes and fail with TN_FORMAT, TN_RANGE or TN_UNSUPPORTED and a message that begins with
 * `name` and gives the byte where it went wrong. */
#ifndef DATA_CHECK_H
#define DATA_CHECK_H

#include "libtensor/tensor.h"

/* What the header says. */
typedef struct data_picture_info {
    int width, height; /* at least 1 */
} data_picture_info;

/* Walks all markers of a JPEG file: lengths, one frame header, tables valid and there before they are used,
 * every scan as long as it must be at least, scans that add to each other as ITU-T T.81 (G.1.1.1) demands (so
 * that their number is bounded), an end. */
tn_status data_check_jpeg(tn_ctx *ctx, const char *name, const unsigned char *bytes, size_t count,
                          size_t max_pixels, data_picture_info *out);

/* Walks all chunks of a PNG file (lengths, order, header, CRC of the critical ones, data enough for the size)
 * and writes what a decoder needs for the colours to `plain` of `count` + DATA_PNG_EXTRA bytes as a PNG file
 * of its own: the header, a palette of 256 entries, one chunk of data, an end; no tRNS, nothing else. */
enum { DATA_PNG_EXTRA = 1024 };
tn_status data_check_png(tn_ctx *ctx, const char *name, const unsigned char *bytes, size_t count,
                         size_t max_pixels, data_picture_info *out, unsigned char *plain,
                         size_t *plain_count);

#endif
