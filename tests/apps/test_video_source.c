/* Clips as input: the same whether frames are kept or read, mirrored and cut at random by seed, step and
 * clip. */
#include "apps/common/predict.h"
#include "apps/common/video_source.h"
#include "tests/common/files.h"
#include "tests/common/programs.h"

#include <stdlib.h>
#include <string.h>

enum { FRAMES = 3, SIZE = 16, VALUES = 3 * FRAMES * SIZE * SIZE };

static struct {
    tn_ctx *ctx;              /* of two threads */
    char *dir;                /* with everything below */
    data_manifest manifest;   /* two clips */
    data_selection selection; /* of them */
    video_part part;          /* same */
    data_video_options take;  /* small */
    float plain[2][VALUES];   /* both clips as they are */
} all;

static void fill(video_source *source, size_t clip, int64_t step, float *out)
{
    const int64_t size[4] = {3, FRAMES, SIZE, SIZE};
    const tn_tensor view = tn_view(out, 4, size);
    assert_int_equal(video_source_fill(source, clip, step, &view), TN_OK);
}

static void open_source(size_t memory, uint64_t seed, bool flip, double crop, video_source *out)
{
    const video_source_options options = {&all.take, memory, seed, flip, crop, true};
    assert_int_equal(video_source_open(all.ctx, &all.part, &options, out), TN_OK);
}

static int set_up(void **state)
{
    (void)state;
    const tn_options options = {.threads = 2};
    const char list[] = "name,frames,audio,label,split\na,a,,x,train\nb,b,,y,train\n";
    assert_int_equal(tn_ctx_create(&options, &all.ctx), TN_OK);
    all.dir = test_make_dir();
    test_write_frames(all.ctx, test_in(all.dir, "a"), 3, 2);
    test_write_frames(all.ctx, test_in(all.dir, "b"), 5, 1);
    test_write_file(test_in(all.dir, "list.csv"), list, strlen(list));
    assert_int_equal(data_manifest_read(all.ctx, test_in(all.dir, "list.csv"), NULL, &all.manifest), TN_OK);
    all.take = data_video_defaults();
    all.take.frames = FRAMES;
    all.take.height = all.take.width = SIZE;
    assert_int_equal(data_manifest_select(all.ctx, &all.manifest, "train", &all.selection), TN_OK);
    assert_int_equal(video_part_open(all.ctx, &all.manifest, all.selection.index, all.selection.count,
                                     &all.take, 0, &all.part),
                     TN_OK);
    video_source source;
    open_source(0, 0, false, 1, &source);
    for (size_t i = 0; i < 2; i++)
        fill(&source, i, 1, all.plain[i]);
    video_source_close(&source);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    video_part_free(all.ctx, &all.part);
    tn_free(all.ctx, all.selection.index);
    data_manifest_free(all.ctx, &all.manifest);
    tn_ctx_destroy(all.ctx);
    test_remove_dir(all.dir);
    return 0;
}

static bool is_mirrored(const float *x, const float *plain)
{
    for (int i = 0; i < VALUES; i++)
        if (x[i] != plain[i / SIZE * SIZE + SIZE - 1 - i % SIZE])
            return false;
    return true;
}

static bool is_equal(const float *x, const float *y)
{
    return memcmp(x, y, VALUES * sizeof *x) == 0;
}

/* What is plain is what infer makes of the folder. */
static void plain_is_what_infer_sees(void **state)
{
    (void)state;
    data_clip clip;
    float expected[VALUES];
    const int64_t size[5] = {1, 3, FRAMES, SIZE, SIZE};
    const tn_tensor view = tn_view(expected, 5, size);
    assert_int_equal(data_clip_from_dir(all.ctx, test_in(all.dir, "b"), FRAMES, SIZE, SIZE, &clip), TN_OK);
    clip_normalise(&clip, &view);
    data_clip_free(all.ctx, &clip);
    assert_true(is_equal(all.plain[1], expected));
    assert_false(is_equal(all.plain[0], expected));
}

static void flips_every_other_time(void **state)
{
    (void)state;
    video_source source;
    float x[VALUES];
    int mirrored = 0;
    open_source(1 << 20, 7, true, 1, &source);
    for (int64_t step = 1; step <= 100; step++) {
        fill(&source, 1, step, x);
        const bool flipped = is_mirrored(x, all.plain[1]);
        assert_true(flipped || is_equal(x, all.plain[1]));
        mirrored += flipped;
    }
    assert_in_range(mirrored, 30, 70);
    fill(&source, 1, 0, x); /* validation */
    assert_true(is_equal(x, all.plain[1]));
    video_source_close(&source);
}

/* The same numbers from kept and from read frames; others at another step, of another seed. */
static void crops_by_seed_and_step(void **state)
{
    (void)state;
    video_source kept, read, other;
    float x[VALUES], y[VALUES], z[VALUES], before[VALUES] = {0};
    int new_step = 0, new_seed = 0;
    open_source(1 << 20, 7, true, 0.4, &kept);
    open_source(0, 7, true, 0.4, &read);
    open_source(0, 8, true, 0.4, &other);
    for (int64_t step = 1; step <= 20; step++) {
        fill(&kept, 0, step, x);
        fill(&read, 0, step, y);
        fill(&other, 0, step, z);
        assert_true(is_equal(x, y));
        new_step += !is_equal(x, before);
        new_seed += !is_equal(x, z);
        memcpy(before, x, sizeof x);
    }
    assert_true(new_step > 15 && new_seed > 15);
    video_source_close(&kept);
    video_source_close(&read);
    video_source_close(&other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_is_what_infer_sees),
        cmocka_unit_test(flips_every_other_time),
        cmocka_unit_test(crops_by_seed_and_step),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
