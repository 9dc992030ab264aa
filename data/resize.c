/* Pillow's BILINEAR resize (Pillow, src/libImaging/Resample.c): for each output position a triangle filter,
 * stretched by the reduction, whose weights are normalised in double and then rounded to 22 fraction bits;
 * one pass along rows and one along columns, each rounded to 8 bits. */
#include "data/data.h"

#include <math.h>
#include <string.h>

enum { PRECISION = 32 - 8 - 2 };

/* The weights along one axis. */
typedef struct taps {
    int *begin;     /* of the input, for each output position */
    int *count;     /* of weights from there on */
    int32_t *value; /* `room` for each output position */
    size_t room;    /* at least every count */
} taps;

static void taps_free(tn_ctx *ctx, taps *t)
{
    tn_free(ctx, t->begin);
    tn_free(ctx, t->count);
    tn_free(ctx, t->value);
}

/* The weights of output position i, as doubles that sum to 1. */
static void weigh(double *weight, int in, double scale, int i, int *begin, int *count)
{
    double stretch = scale < 1 ? 1 : scale;
    double centre = (i + 0.5) * scale;
    int first = (int)(centre - stretch + 0.5), last = (int)(centre + stretch + 0.5);
    first = first < 0 ? 0 : first;
    last = last > in ? in : last;
    double sum = 0, inverse = 1 / stretch;
    for (int x = 0; x < last - first; x++) {
        double distance = fabs((x + first - centre + 0.5) * inverse);
        weight[x] = distance < 1 ? 1 - distance : 0;
        sum += weight[x];
    }
    for (int x = 0; x < last - first; x++)
        if (sum != 0)
            weight[x] /= sum;
    *begin = first;
    *count = last - first;
}

static tn_status taps_make(tn_ctx *ctx, int in, int out, taps *t)
{
    double scale = (double)in / out;
    size_t room = 2 * (size_t)ceil(scale < 1 ? 1 : scale) + 1, all = SIZE_MAX;
    if (!tn_mul_size(room, (size_t)out, &all))
        all = SIZE_MAX; /* which tn_alloc() refuses */
    *t = (taps){.room = room};
    t->begin = tn_alloc(ctx, (size_t)out, sizeof *t->begin);
    t->count = tn_alloc(ctx, (size_t)out, sizeof *t->count);
    t->value = tn_alloc(ctx, all, sizeof *t->value);
    double *weight = tn_alloc(ctx, room, sizeof *weight);
    bool good = t->begin && t->count && t->value && weight;
    for (int i = 0; good && i < out; i++) {
        weigh(weight, in, scale, i, &t->begin[i], &t->count[i]);
        for (int x = 0; x < t->count[i]; x++)
            t->value[(size_t)i * room + (size_t)x] = (int32_t)(0.5 + weight[x] * (1 << PRECISION));
    }
    tn_free(ctx, weight);
    return good ? TN_OK : TN_NOMEM;
}

static unsigned char clip(int32_t sum)
{
    int32_t value = sum >> PRECISION;
    return (unsigned char)(value < 0 ? 0 : value > 255 ? 255 : value);
}

enum { HALF = 1 << (PRECISION - 1) };

static void resize_row(const taps *t, const unsigned char *in, int width, unsigned char *out)
{
    for (int x = 0; x < width; x++) {
        const int32_t *value = t->value + (size_t)x * t->room;
        const unsigned char *p = in + (size_t)t->begin[x] * 3;
        int32_t r = HALF, g = HALF, b = HALF;
        for (int k = 0; k < t->count[x]; k++, p += 3) {
            r += p[0] * value[k];
            g += p[1] * value[k];
            b += p[2] * value[k];
        }
        out[3 * x] = clip(r);
        out[3 * x + 1] = clip(g);
        out[3 * x + 2] = clip(b);
    }
}

/* Output row y of `bytes` bytes from rows of as many. `sums` has room for them. */
static void resize_column(const taps *t, const unsigned char *in, size_t bytes, int y, int32_t *sums,
                          unsigned char *out)
{
    const int32_t *value = t->value + (size_t)y * t->room;
    const unsigned char *row = in + (size_t)t->begin[y] * bytes;
    for (size_t i = 0; i < bytes; i++)
        sums[i] = HALF;
    for (int k = 0; k < t->count[y]; k++, row += bytes)
        for (size_t i = 0; i < bytes; i++)
            sums[i] += row[i] * value[k];
    for (size_t i = 0; i < bytes; i++)
        out[i] = clip(sums[i]);
}

static tn_status resize_rows(tn_ctx *ctx, const unsigned char *in, int height, int from, int to,
                             unsigned char *out)
{
    taps t;
    tn_status status = taps_make(ctx, from, to, &t);
    for (int y = 0; status == TN_OK && y < height; y++)
        resize_row(&t, in + (size_t)y * (size_t)from * 3, to, out + (size_t)y * (size_t)to * 3);
    taps_free(ctx, &t);
    return status;
}

static tn_status resize_columns(tn_ctx *ctx, const unsigned char *in, int width, int from, int to,
                                unsigned char *out)
{
    taps t;
    size_t bytes = (size_t)width * 3;
    tn_status status = taps_make(ctx, from, to, &t);
    int32_t *sums = tn_alloc(ctx, bytes, sizeof *sums);
    if (!sums)
        status = TN_NOMEM;
    for (int y = 0; status == TN_OK && y < to; y++)
        resize_column(&t, in, bytes, y, sums, out + (size_t)y * bytes);
    tn_free(ctx, sums);
    taps_free(ctx, &t);
    return status;
}

/* Both passes. */
static tn_status resize_both(tn_ctx *ctx, const data_image *in, int width, int height, unsigned char *rgb)
{
    /* Pillow from release 13 on begins with columns where those shrink much more. The order shows in the last
     * bit. */
    bool columns_first = height < in->height && in->height - height > 2 * ((int64_t)in->width - width);
    size_t pixels = columns_first ? (size_t)in->width * (size_t)height : (size_t)width * (size_t)in->height;
    unsigned char *middle = tn_alloc(ctx, pixels, 3);
    if (!middle)
        return TN_NOMEM;
    tn_status status;
    if (columns_first) {
        status = resize_columns(ctx, in->rgb, in->width, in->height, height, middle);
        if (status == TN_OK)
            status = resize_rows(ctx, middle, height, in->width, width, rgb);
    } else {
        status = resize_rows(ctx, in->rgb, in->height, in->width, width, middle);
        if (status == TN_OK)
            status = resize_columns(ctx, middle, width, in->height, height, rgb);
    }
    tn_free(ctx, middle);
    return status;
}

tn_status data_image_resize(tn_ctx *ctx, const data_image *in, int width, int height, data_image *out)
{
    *out = (data_image){0};
    if (width < 1 || height < 1 || (size_t)width * (size_t)height > DATA_MAX_PIXELS ||
        (size_t)width * (size_t)in->height > DATA_MAX_PIXELS)
        return tn_fail(ctx, TN_RANGE, "a picture of %d x %d cannot be resized to %d x %d", in->width,
                       in->height, width, height);
    bool across = width != in->width, down = height != in->height;
    size_t pixels = (size_t)width * (size_t)height;
    unsigned char *rgb = tn_alloc(ctx, pixels, 3);
    if (!rgb)
        return TN_NOMEM;
    tn_status status = TN_OK;
    if (across && down)
        status = resize_both(ctx, in, width, height, rgb);
    else if (across)
        status = resize_rows(ctx, in->rgb, height, in->width, width, rgb);
    else if (down)
        status = resize_columns(ctx, in->rgb, width, in->height, height, rgb);
    else
        memcpy(rgb, in->rgb, pixels * 3);
    if (status != TN_OK) {
        tn_free(ctx, rgb);
        return status;
    }
    *out = (data_image){rgb, width, height};
    return TN_OK;
}
