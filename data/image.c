/* Pictures: JPEG and PNG files, checked and then decoded. */
#include "data/check.h"
#include "data/data.h"
#include "data/files.h"
#include "data/stb.h"

#include <string.h>

enum {
    MAX_BYTES = 1 << 28,      /* of a picture file */
    FREE_BYTES = 64 << 20,    /* what decoding may take beside the two below */
    BYTES_FOR_EACH_BYTE = 2,  /* of the file */
    BYTES_FOR_EACH_PIXEL = 24 /* 16-bit RGBA: inflated, unfiltered, deinterlaced */
};

static bool is_jpeg(const unsigned char *bytes, size_t count)
{
    return count >= 3 && bytes[0] == 0xff && bytes[1] == 0xd8 && bytes[2] == 0xff;
}

static bool is_png(const unsigned char *bytes, size_t count)
{
    return count >= 8 && memcmp(bytes, "\x89PNG\r\n\x1a\n", 8) == 0;
}

static tn_status decode_checked(tn_ctx *ctx, const char *name, const unsigned char *bytes, size_t count,
                                const data_picture_info *info, data_image *out)
{
    size_t budget = FREE_BYTES + BYTES_FOR_EACH_BYTE * count +
                    BYTES_FOR_EACH_PIXEL * (size_t)info->width * (size_t)info->height;
    const char *reason = "";
    tn_status status =
        data_stb_decode(ctx, bytes, count, info->width, info->height, budget, &out->rgb, &reason);
    if (status == TN_OK) {
        out->width = info->width;
        out->height = info->height;
        return TN_OK;
    }
    if (status == TN_RANGE)
        return tn_fail(ctx, TN_RANGE, "%s: decoding takes more memory than %d x %d pixels should", name,
                       info->width, info->height);
    return tn_fail(ctx, status, "%s: damaged picture: %s", name, reason);
}

tn_status data_image_decode(tn_ctx *ctx, const char *name, const unsigned char *bytes, size_t count,
                            size_t max_pixels, data_image *out)
{
    *out = (data_image){0};
    data_picture_info info;
    if (is_jpeg(bytes, count)) {
        TN_TRY(data_check_jpeg(ctx, name, bytes, count, max_pixels, &info));
        return decode_checked(ctx, name, bytes, count, &info, out);
    }
    if (is_png(bytes, count)) {
        size_t room, plain_count = 0;
        unsigned char *plain =
            tn_add_size(count, DATA_PNG_EXTRA, &room) ? tn_alloc(ctx, room, 1) : tn_alloc(ctx, SIZE_MAX, 1);
        if (!plain)
            return TN_NOMEM;
        tn_status status = data_check_png(ctx, name, bytes, count, max_pixels, &info, plain, &plain_count);
        if (status == TN_OK)
            status = decode_checked(ctx, name, plain, plain_count, &info, out);
        tn_free(ctx, plain);
        return status;
    }
    char text[DATA_BYTES_TEXT];
    return tn_fail(ctx, TN_FORMAT, "%s: neither JPEG nor PNG (%s)", name,
                   data_first_bytes(bytes, count, text));
}

tn_status data_image_read(tn_ctx *ctx, const char *path, data_image *out)
{
    *out = (data_image){0};
    unsigned char *bytes;
    size_t count;
    TN_TRY(data_read_file(ctx, path, MAX_BYTES, &bytes, &count));
    tn_status status = data_image_decode(ctx, path, bytes, count, DATA_MAX_PIXELS, out);
    tn_free(ctx, bytes);
    return status;
}

tn_status data_image_write_png(tn_ctx *ctx, const char *path, const data_image *image)
{
    unsigned char *bytes;
    size_t count;
    TN_TRY(data_stb_encode(ctx, image->rgb, image->width, image->height, &bytes, &count));
    tn_status status = data_write_file(ctx, path, bytes, count);
    tn_free(ctx, bytes);
    return status;
}

void data_image_free(tn_ctx *ctx, data_image *image)
{
    tn_free(ctx, image->rgb);
    *image = (data_image){0};
}
