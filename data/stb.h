/* stb_image and stb_image_write behind two functions. Their memory is the context's, bounded, cleared, and
 * freed at the end whatever they leave behind. */
#ifndef DATA_STB_H
#define DATA_STB_H

#include "libtensor/tensor.h"

/* Decodes a JPEG or PNG file of width x height pixels to 3 bytes a pixel (*rgb, for tn_free()) with at most
 * `budget` bytes of memory besides the result. The file must have passed the checks of check.h: by itself
 * stb_image trusts the tables of a JPEG file more than it should. On failure *rgb is NULL: TN_NOMEM with a
 * message, or without one TN_RANGE (budget) or TN_FORMAT (*reason says why). */
tn_status data_stb_decode(tn_ctx *ctx, const unsigned char *bytes, size_t count, int width, int height,
                          size_t budget, unsigned char **rgb, const char **reason);

/* Encodes height x width x 3 bytes as a PNG file in memory (*bytes, for tn_free()). Fails with TN_NOMEM. */
tn_status data_stb_encode(tn_ctx *ctx, const unsigned char *rgb, int width, int height, unsigned char **bytes,
                          size_t *count);

#endif
