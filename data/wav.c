/* WAV files of one channel. */
#include "data/wav.h"

#include "data/files.h"

#include <math.h>
#include <string.h>

enum { HEADER = 44, PCM = 1, FLOAT = 3 };

static void put_int(unsigned char *p, uint32_t value, int bytes)
{
    for (int i = 0; i < bytes; i++)
        p[i] = (unsigned char)(value >> (8 * i));
}

/* Room for a file of `count` samples, with its header in place. */
static tn_status make_file(tn_ctx *ctx, const char *path, int format, int rate, size_t count,
                           unsigned char **out, size_t *bytes)
{
    const size_t width = format == PCM ? 2 : 4;
    if (count > (UINT32_MAX - HEADER) / width)
        return tn_fail(ctx, TN_RANGE, "%s: %zu samples, more than a WAV file can hold", path, count);
    *bytes = HEADER + count * width;
    unsigned char *file = *out = tn_alloc(ctx, *bytes, 1);
    if (!file)
        return TN_NOMEM;
    const uint32_t size = (uint32_t)width, length = (uint32_t)(count * width);
    memcpy(file, "RIFF....WAVEfmt ", 16);
    put_int(file + 4, HEADER - 8 + length, 4);
    put_int(file + 16, 16, 4);
    put_int(file + 20, (uint32_t)format, 2);
    put_int(file + 22, 1, 2);
    put_int(file + 24, (uint32_t)rate, 4);
    put_int(file + 28, (uint32_t)rate * size, 4);
    put_int(file + 32, size, 2);
    put_int(file + 34, size * 8, 2);
    memcpy(file + 36, "data", 4);
    put_int(file + 40, length, 4);
    return TN_OK;
}

tn_status data_wav_write_int16(tn_ctx *ctx, const char *path, int rate, const int16_t *samples, size_t count)
{
    unsigned char *file;
    size_t bytes;
    TN_TRY(make_file(ctx, path, PCM, rate, count, &file, &bytes));
    for (size_t i = 0; i < count; i++)
        put_int(file + HEADER + 2 * i, (uint16_t)samples[i], 2);
    tn_status status = data_write_file(ctx, path, file, bytes);
    tn_free(ctx, file);
    return status;
}

tn_status data_wav_write(tn_ctx *ctx, const char *path, const data_audio *audio)
{
    unsigned char *file;
    size_t bytes;
    bool whole = true;
    for (size_t i = 0; whole && i < audio->count; i++) {
        const double value = audio->samples[i] * 32768;
        whole = value >= -32768 && value <= 32767 && value == floor(value);
    }
    TN_TRY(make_file(ctx, path, whole ? PCM : FLOAT, audio->rate, audio->count, &file, &bytes));
    for (size_t i = 0; i < audio->count; i++) {
        const float single = (float)audio->samples[i];
        uint32_t bits;
        memcpy(&bits, &single, sizeof bits);
        if (whole)
            put_int(file + HEADER + 2 * i, (uint32_t)(int32_t)(audio->samples[i] * 32768), 2);
        else
            put_int(file + HEADER + 4 * i, bits, 4);
    }
    tn_status status = data_write_file(ctx, path, file, bytes);
    tn_free(ctx, file);
    return status;
}
