/* Whether a WAV file is all there. Private to data. */
#ifndef DATA_RIFF_H
#define DATA_RIFF_H

#include "libtensor/tensor.h"

/* libsndfile reads what there is of a WAV file and does not say that the rest is missing. Compares the
 * lengths in the chunks of a RIFF, RIFX or RF64 file with its `bytes`, and fails with TN_FORMAT, naming chunk
 * and offset, where it is cut off, or TN_IO. Lengths that say "as long as it goes" (0xffffffff and the like,
 * from a program that wrote to a pipe) are fine, and so is any file that is not one of the three. */
tn_status data_riff_check(tn_ctx *ctx, const char *path, int fd, size_t bytes);

#endif
