/* Resizing against Pillow's results (tests/golden/resize.py). */
#include "data/data.h"
#include "tests/common/testing.h"
#include "tests/data/memory.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The picture of resize.py. */
static data_image picture(tn_ctx *ctx, uint32_t seed, int style, int width, int height)
{
    size_t n = (size_t)width * (size_t)height * 3;
    data_image image = {tn_alloc(ctx, n, 1), width, height};
    assert_non_null(image.rgb);
    for (size_t i = 0; i < n; i++) {
        if (style == 2) {
            size_t x = i / 3 % (size_t)width, y = i / 3 / (size_t)width;
            image.rgb[i] = (unsigned char)(x * 5 + y * 3 + i % 3 * 50 + seed);
            continue;
        }
        uint32_t h = (uint32_t)i * 0x9e3779b1u + seed * 0x85ebca6bu;
        h = (h ^ h >> 15) * 0x2c1b3c6du;
        h = (h ^ h >> 12) * 0x297a2d39u;
        h = (h ^ h >> 15) >> 24;
        image.rgb[i] = (unsigned char)(style == 1 ? (h < 128 ? 0 : 255) : h);
    }
    return image;
}

static uint64_t fnv(const unsigned char *bytes, size_t n)
{
    uint64_t h = 0xcbf29ce484222325u;
    for (size_t i = 0; i < n; i++)
        h = (h ^ bytes[i]) * 0x100000001b3u;
    return h;
}

static void every_byte_is_pillows(void **state)
{
    (void)state;
    tn_ctx *ctx = test_ctx(1, NULL);
    FILE *golden = fopen("tests/golden/resize.txt", "r");
    assert_non_null(golden);
    char line[1024];
    int cases = 0;
    while (fgets(line, sizeof line, golden)) {
        uint32_t seed;
        int style, w, h, new_w, new_h, used = 0;
        uint64_t want;
        assert_int_equal(sscanf(line, "%" SCNu32 " %d %d %d %d %d %" SCNx64 "%n", &seed, &style, &w, &h,
                                &new_w, &new_h, &want, &used),
                         7);
        data_image in = picture(ctx, seed, style, w, h), out;
        assert_ok(ctx, data_image_resize(ctx, &in, new_w, new_h, &out));
        assert_int_equal(out.width, new_w);
        assert_int_equal(out.height, new_h);
        size_t n = (size_t)new_w * (size_t)new_h * 3;
        const char *hex = line + used + 1;
        if (line[used] == ' ')
            for (size_t i = 0; i < n; i++) {
                unsigned byte;
                assert_int_equal(sscanf(hex + 2 * i, "%2x", &byte), 1);
                if (byte != out.rgb[i])
                    fail_msg("%d x %d to %d x %d: byte %zu is %d, not %u", w, h, new_w, new_h, i, out.rgb[i],
                             byte);
            }
        if (fnv(out.rgb, n) != want)
            fail_msg("%d x %d to %d x %d, style %d: other bytes than Pillow's", w, h, new_w, new_h, style);
        data_image_free(ctx, &in);
        data_image_free(ctx, &out);
        cases++;
    }
    fclose(golden);
    assert_int_equal(cases, 38 * 3);
    tn_ctx_destroy(ctx);
}

static void sizes_out_of_range(void **state)
{
    (void)state;
    tn_ctx *ctx = test_ctx(1, NULL);
    data_image in = picture(ctx, 1, 0, 3, 70000), out;
    static const int sizes[][2] = {
        {0, 5}, {5, 0}, {-1, 5}, {1 << 14, 1 << 13}, {1000, 5}, {1 << 30, 1 << 30}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        tn_clear_error(ctx);
        assert_status(ctx, data_image_resize(ctx, &in, sizes[i][0], sizes[i][1], &out), TN_RANGE);
        assert_null(out.rgb);
        assert_non_null(strstr(tn_error(ctx), "3 x 70000"));
    }
    data_image_free(ctx, &in);
    tn_ctx_destroy(ctx);
}

static tn_status resize_once(tn_ctx *ctx, void *arg)
{
    data_image out;
    tn_status status = data_image_resize(ctx, arg, 7, 15, &out);
    data_image_free(ctx, &out);
    return status;
}

static void no_memory_is_an_error_and_no_leak(void **state)
{
    (void)state;
    tn_ctx *ctx = test_ctx(1, NULL);
    data_image in = picture(ctx, 1, 0, 20, 10);
    assert_true(fail_each_allocation(resize_once, &in) > 5);
    data_image_free(ctx, &in);
    tn_ctx_destroy(ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_byte_is_pillows),
        cmocka_unit_test(sizes_out_of_range),
        cmocka_unit_test(no_memory_is_an_error_and_no_leak),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
