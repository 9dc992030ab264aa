/* Frames of a video file by one run of ffmpeg and by two. */
#include "tests/common/files.h"
#include "tests/data/video.h"

/* Sets the length that the first media header of an MP4 file gives to `thousandths` of itself. */
static void lie(const char *path, uint32_t thousandths)
{
    size_t size;
    unsigned char *bytes = test_read_file(path, &size), *header = bytes;
    while (header + 28 < bytes + size && memcmp(header, "mdhd", 4) != 0)
        header++;
    assert_true(header + 28 < bytes + size);
    uint64_t length = 0;
    for (int i = 20; i < 24; i++)
        length = length << 8 | header[i];
    length = length * thousandths / 1000;
    for (int i = 23; i >= 20; i--, length >>= 8)
        header[i] = length & 255;
    test_write_file(path, bytes, size);
    free(bytes);
}

/* The clip with `script` in the place of ffmpeg, and how often that was started. */
static int clip_with(tn_ctx *ctx, const char *dir, const char *script, const char *path, int frames,
                     data_clip *clip)
{
    data_video_options o = data_video_defaults();
    o.frames = frames;
    o.height = o.width = 32;
    char *list = joined(dir, "starts"), *old = replace_ffmpeg(dir, script);
    remove(list);
    const tn_status status = data_video_clip(ctx, path, &o, clip);
    put_back(old);
    assert_ok(ctx, status);
    assert_string_equal(tn_error(ctx), "");
    int starts = 0;
    FILE *f = fopen(list, "r");
    assert_non_null(f);
    for (int c; (c = fgetc(f)) != EOF;)
        starts += c == '\n';
    fclose(f);
    free(list);
    return starts;
}

/* Of an MP4 file one run of ffmpeg gives the frames that two would, and two are still there for a file that
 * lies about its length or says nothing. */
static void one_run_gives_the_frames_of_two(void **state)
{
    (void)state;
    static const struct {
        const char *make;
        uint32_t lie; /* thousandths of its length that the file is made to say; 0: the truth */
        int starts;   /* of ffmpeg */
    } cases[] = {
        {"-f lavfi -i testsrc=s=64x48:r=12:d=2 -f lavfi -i sine=d=2 -c:v mpeg4 -bf 2 -c:a aac", 0, 1},
        {"-f lavfi -i sine=d=5 -f lavfi -i testsrc=s=64x48:r=25:d=4.96 -map 0 -map 1 -c:v mpeg4 -c:a aac", 0,
         1},
        {"-f lavfi -i testsrc=s=64x48:r=30000/1001:d=5 -c:v mpeg4 -movflags +faststart", 0, 1},
        {"-f lavfi -i testsrc=s=64x48:r=5:d=9 -c:v mpeg4", 0, 1},
        {"-f lavfi -i testsrc=s=64x48:r=10:d=3 -c:v mpeg4", 700, 3},
        {"-f lavfi -i testsrc=s=64x48:r=10:d=3 -c:v mpeg4", 3000, 3},
        {"-f lavfi -i sine=d=3 -itsoffset 1 -f lavfi -i testsrc=s=64x48:r=10:d=2 -c:v mpeg4 -fps_mode passthrough -c:a aac",
         0, 3},
        {"-f lavfi -i testsrc=s=64x48:r=10:d=2 -c:v mpeg4 -movflags frag_keyframe+empty_moov", 0, 2},
    };
    char *dir = begin(), *path = joined(dir, "x.mp4"), *list = joined(dir, "starts"), *either, *two;
    assert_true(asprintf(&either, "echo >> '%s'\nexec ffmpeg \"$@\"", list) > 0);
    assert_true(asprintf(&two, "case \"$*\" in *pipe:3*) exit 1;; esac\n%s", either) > 0);
    tn_ctx *ctx = test_ctx(1, NULL);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        make_clip("-y %s '%s'", cases[i].make, path);
        if (cases[i].lie)
            lie(path, cases[i].lie);
        const int frames = i % 2 ? 16 : 10;
        data_clip a, b;
        const int starts = clip_with(ctx, dir, either, path, frames, &a);
        assert_int_equal(clip_with(ctx, dir, two, path, frames, &b), 2);
        if (starts != cases[i].starts)
            fail_msg("%s: %d runs, expected %d", cases[i].make, starts, cases[i].starts);
        if (memcmp(a.rgb, b.rgb, (size_t)frames * 32 * 32 * 3) != 0)
            fail_msg("%s: other frames", cases[i].make);
        data_clip_free(ctx, &a);
        data_clip_free(ctx, &b);
    }
    free(either);
    free(two);
    free(list);
    free(path);
    tn_ctx_destroy(ctx);
    test_remove_dir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_run_gives_the_frames_of_two),
    };
    return cmocka_run_group_tests_name("video runs", tests, NULL, NULL);
}
