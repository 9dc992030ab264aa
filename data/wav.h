/* WAV files of one channel, written whole or not at all. */
#ifndef DATA_WAV_H
#define DATA_WAV_H

#include "data/data.h"

/* Writes 16-bit samples. Fails with TN_IO, TN_RANGE (4 GB) or TN_NOMEM. */
tn_status data_wav_write_int16(tn_ctx *ctx, const char *path, int rate, const int16_t *samples, size_t count);

/* Writes sound with 16 bits where every sample is a multiple of 2^-15 in [-1, 1), else as 32-bit floats. */
tn_status data_wav_write(tn_ctx *ctx, const char *path, const data_audio *audio);

#endif
