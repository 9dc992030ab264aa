/* Folders of frames: order, choice, what is refused; clips to tensors. */
#include "data/data.h"
#include "tests/common/testing.h"
#include "tests/data/memory.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static void names_in_the_order_people_count(void **state)
{
    (void)state;
    static const char *const sorted[] = {"",
                                         "0.png",
                                         "01.jpg2",
                                         "1.png",
                                         "2.png",
                                         "3a.png",
                                         "3B.png",
                                         "3c.png",
                                         "10.png",
                                         "a",
                                         "A1",
                                         "A2.png",
                                         "a02.png",
                                         "a2.png",
                                         "a10",
                                         "f1x2.png",
                                         "f1x10.png",
                                         "F2.png",
                                         "f2.png",
                                         "frame9.jpeg",
                                         "frame99999999999999999998.png",
                                         "frame99999999999999999999.png"};
    size_t n = sizeof sorted / sizeof *sorted;
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++) {
            int order = data_natural_compare(sorted[i], sorted[j]);
            if ((order > 0) != (i > j) || (order < 0) != (i < j))
                fail_msg("%s and %s compare as %d", sorted[i], sorted[j], order);
        }
}

static void frames_are_spread_evenly(void **state)
{
    (void)state;
    static const struct {
        size_t count;
        int wanted;
        size_t pick[10];
    } cases[] = {
        {10, 10, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9}},
        {1, 10, {0}},
        {2, 10, {0, 0, 0, 0, 0, 1, 1, 1, 1, 1}},
        {3, 10, {0, 0, 0, 1, 1, 1, 1, 2, 2, 2}},
        {5, 10, {0, 0, 1, 1, 2, 2, 3, 3, 4, 4}},
        {20, 10, {0, 2, 4, 6, 8, 10, 12, 14, 16, 18}},
        {125, 10, {6, 18, 31, 43, 56, 68, 81, 93, 106, 118}},
        {150, 10, {7, 22, 37, 52, 67, 82, 97, 112, 127, 142}},
        {7, 3, {1, 3, 5}},
        {100, 1, {49}},
    };
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++)
        for (int i = 0; i < cases[c].wanted; i++)
            assert_int_equal(data_frame_pick(cases[c].count, cases[c].wanted, i), cases[c].pick[i]);
    /* Steps differ by one at most, and both ends are equally far, but for rounding. */
    for (size_t count = 1; count < 60; count++)
        for (int wanted = 1; wanted < 40; wanted++) {
            size_t first = data_frame_pick(count, wanted, 0), before = first, shortest = count, longest = 0;
            for (int i = 1; i < wanted; i++) {
                size_t pick = data_frame_pick(count, wanted, i), step = pick - before;
                assert_true(pick >= before && pick < count);
                shortest = step < shortest ? step : shortest;
                longest = step > longest ? step : longest;
                before = pick;
            }
            assert_true(wanted == 1 || longest - shortest <= 1);
            size_t after = count - 1 - before;
            assert_true(after <= first + 1 && first <= after + 1);
        }
}

/* A picture of one colour. */
static void put_frame(tn_ctx *ctx, const char *dir, const char *name, int width, int height, int level)
{
    char path[400];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    data_image image = {tn_alloc(ctx, (size_t)(width * height), 3), width, height};
    assert_non_null(image.rgb);
    memset(image.rgb, level, (size_t)(width * height) * 3);
    assert_ok(ctx, data_image_write_png(ctx, path, &image));
    data_image_free(ctx, &image);
}

static void put_text(const char *dir, const char *name, const char *text)
{
    char path[400];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void a_folder_in_order_without_what_is_no_frame(void **state)
{
    (void)state;
    tn_ctx *ctx = test_ctx(1, NULL);
    char *dir = test_make_dir(), path[400];
    static const char *const names[] = {"10.png", "2.png", "1.PNG", "03.Jpg", "b.jpeg"};
    for (int i = 0; i < 5; i++)
        put_text(dir, names[i], "x");
    static const char *const others[] = {"notes.txt", ".hidden.png", "png", "x.png~", ".png", "a.gif"};
    for (int i = 0; i < 6; i++)
        put_text(dir, others[i], "x");
    snprintf(path, sizeof path, "%s/5.png", dir);
    assert_int_equal(mkdir(path, 0700), 0);
    data_names list;
    assert_ok(ctx, data_frames_list(ctx, dir, &list));
    static const char *const want[] = {"1.PNG", "2.png", "03.Jpg", "10.png", "b.jpeg"};
    assert_int_equal(list.count, 5);
    for (int i = 0; i < 5; i++) {
        snprintf(path, sizeof path, "%s/%s", dir, want[i]);
        assert_string_equal(list.path[i], path);
    }
    data_names_free(ctx, &list);
    assert_null(list.path);
    test_remove_dir(dir);
    tn_ctx_destroy(ctx);
}

static void frames_may_differ_in_size(void **state)
{
    (void)state;
    tn_ctx *ctx = test_ctx(1, NULL);
    char *dir = test_make_dir();
    int files = open_files();
    put_frame(ctx, dir, "1.png", 40, 30, 10);
    put_frame(ctx, dir, "2.png", 7, 50, 20);
    put_frame(ctx, dir, "10.png", 1, 1, 30);
    data_clip clip;
    assert_ok(ctx, data_clip_from_dir(ctx, dir, 6, 5, 8, &clip));
    assert_int_equal(clip.frames, 6);
    assert_int_equal(clip.height, 5);
    assert_int_equal(clip.width, 8);
    for (int i = 0; i < 6 * 5 * 8 * 3; i++)
        assert_int_equal(clip.rgb[i], 10 * (1 + i / (2 * 5 * 8 * 3)));
    data_clip_free(ctx, &clip);
    assert_int_equal(open_files(), files);
    test_remove_dir(dir);
    tn_ctx_destroy(ctx);
}

/* Asserts the status, the message's beginning `dir` `name`, and words in it; nothing left open or filled. */
static void refused(tn_ctx *ctx, const char *dir, const char *name, tn_status want, const char *words)
{
    data_clip clip;
    char begin[400];
    int files = open_files();
    tn_clear_error(ctx);
    assert_status(ctx, data_clip_from_dir(ctx, dir, 10, 8, 8, &clip), want);
    snprintf(begin, sizeof begin, "%s%s: ", dir, name);
    if (strncmp(tn_error(ctx), begin, strlen(begin)) != 0 || !strstr(tn_error(ctx), words))
        fail_msg("\"%s\" is not \"%s...%s\"", tn_error(ctx), begin, words);
    assert_null(strchr(tn_error(ctx), '\n'));
    assert_null(clip.rgb);
    assert_int_equal(open_files(), files);
}

static void folders_that_are_refused(void **state)
{
    (void)state;
    tn_ctx *ctx = test_ctx(1, NULL);
    char *dir = test_make_dir(), path[400];
    refused(ctx, dir, "", TN_FORMAT, "no .jpg, .jpeg or .png files");
    refused(ctx, "/nonexistent", "", TN_IO, "No such file or directory");
    put_frame(ctx, dir, "1.png", 4, 4, 1);
    snprintf(path, sizeof path, "%s/1.png", dir);
    refused(ctx, path, "", TN_IO, "a file, where a folder of frames is expected");
    put_text(dir, "2.jpg", "this is text");
    refused(ctx, dir, "/2.jpg", TN_FORMAT, "neither JPEG nor PNG (first bytes 74 68 69 73");
    put_text(dir, "2.jpg", "");
    refused(ctx, dir, "/2.jpg", TN_FORMAT, "it is empty");
    snprintf(path, sizeof path, "%s/2.jpg", dir);
    assert_int_equal(remove(path), 0);
    snprintf(path, sizeof path, "ln -s nothing '%s/3.png'", dir);
    assert_int_equal(test_run(NULL, NULL, "%s", path), 0);
    refused(ctx, dir, "/3.png", TN_IO, "No such file or directory");
    data_clip clip;
    static const int sizes[][3] = {{0, 8, 8}, {5000, 8, 8}, {1, 0, 8}, {1, 8, -1}, {1, 20000, 8}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        assert_status(ctx, data_clip_from_dir(ctx, dir, sizes[i][0], sizes[i][1], sizes[i][2], &clip),
                      TN_RANGE);
    test_remove_dir(dir);
    tn_ctx_destroy(ctx);
}

static void normalising_writes_any_layout(void **state)
{
    (void)state;
    enum { T = 2, H = 3, W = 5, N = T * H * W * 3 };
    unsigned char rgb[N];
    for (int i = 0; i < N; i++)
        rgb[i] = (unsigned char)(i * 37);
    data_clip clip = {rgb, T, H, W};
    const float mean[3] = {0.485f, 0.456f, 0.406f}, std[3] = {0.229f, 0.224f, 0.225f};
    float rows[N], last[N + 7];
    for (int i = 0; i < N + 7; i++)
        last[i] = 77;
    int64_t size[5] = {1, 3, T, H, W};
    tn_tensor a = tn_view(rows, 5, size);
    tn_tensor b = {last + 3, 5, {1, 3, T, H, W}, {N, 1, H * W * 3, W * 3, 3}, TN_FP32};
    data_clip_normalise(&clip, mean, std, &a);
    data_clip_normalise(&clip, mean, std, &b);
    for (int t = 0; t < T; t++)
        for (int y = 0; y < H; y++)
            for (int x = 0; x < W; x++)
                for (int c = 0; c < 3; c++) {
                    int from = ((t * H + y) * W + x) * 3 + c;
                    float want = ((float)rgb[from] / 255.0f - mean[c]) / std[c];
                    assert_true(rows[((c * T + t) * H + y) * W + x] == want);
                    assert_true(last[3 + from] == want);
                }
    assert_true(last[2] == 77 && last[3 + N] == 77);
}

static tn_status clip_once(tn_ctx *ctx, void *arg)
{
    data_clip clip;
    tn_status status = data_clip_from_dir(ctx, arg, 4, 6, 6, &clip);
    data_clip_free(ctx, &clip);
    return status;
}

static void no_memory_is_an_error_and_no_leak(void **state)
{
    (void)state;
    tn_ctx *ctx = test_ctx(1, NULL);
    char *dir = test_make_dir();
    for (int i = 0; i < 12; i++) {
        char name[20];
        snprintf(name, sizeof name, "%d.png", i);
        put_frame(ctx, dir, name, 9, 9, i);
    }
    int files = open_files();
    assert_true(fail_each_allocation(clip_once, dir) > 60);
    assert_int_equal(open_files(), files);
    test_remove_dir(dir);
    tn_ctx_destroy(ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_in_the_order_people_count),
        cmocka_unit_test(frames_are_spread_evenly),
        cmocka_unit_test(a_folder_in_order_without_what_is_no_frame),
        cmocka_unit_test(frames_may_differ_in_size),
        cmocka_unit_test(folders_that_are_refused),
        cmocka_unit_test(normalising_writes_any_layout),
        cmocka_unit_test(no_memory_is_an_error_and_no_leak),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
