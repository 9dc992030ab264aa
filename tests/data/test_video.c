/* Video files through ffmpeg: which frames and which sound. */
#include "tests/data/video.h"

#include <math.h>
#include <string.h>
#include <sys/stat.h>

/* The clip of a video file equals that of the folder of all its frames (or of every frame of a window), bit
 * for bit, whatever their number. */
static void a_video_equals_the_folder_of_its_frames(void **state)
{
    (void)state;
    static const struct {
        const char *name, *make;
        int frames; /* that there are */
        int wanted;
    } cases[] = {
        {"five.mp4", "-f lavfi -i testsrc=s=96x64:r=12:d=5 -c:v mpeg4 -bf 2 -q:v 2", 60, 10},
        {"few.mkv", "-f lavfi -i testsrc=s=64x64:r=3:d=1 -c:v ffv1 -pix_fmt yuv420p", 3, 10},
        {"one.mkv", "-f lavfi -i testsrc=s=33x47:r=10:d=0.1 -c:v ffv1 -pix_fmt yuv420p", 1, 4},
        {"odd.mkv", "-f lavfi -i testsrc=s=50x40:r=30000/1001:d=3 -c:v ffv1 -pix_fmt yuv420p", 90, 16},
    };
    char *dir = begin();
    tn_ctx *ctx = test_ctx(1, NULL);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *path = joined(dir, cases[i].name), *folder = NULL;
        assert_true(asprintf(&folder, "%s/frames%zu", dir, i) > 0);
        assert_int_equal(mkdir(folder, 0700), 0);
        make_clip("%s '%s'", cases[i].make, path);
        make_clip("-i '%s' -pix_fmt rgb24 '%s/%%d.png'", path, folder);
        data_names names;
        assert_ok(ctx, data_frames_list(ctx, folder, &names));
        assert_int_equal(names.count, cases[i].frames);
        data_names_free(ctx, &names);
        data_video_options o = data_video_defaults();
        o.frames = cases[i].wanted;
        o.height = 30;
        o.width = 40;
        data_clip a, b;
        assert_ok(ctx, data_video_clip(ctx, path, &o, &a));
        assert_ok(ctx, data_clip_from_dir(ctx, folder, o.frames, o.height, o.width, &b));
        for (int k = 0; k < o.frames; k++)
            if (memcmp(a.rgb + k * 30 * 40 * 3, b.rgb + k * 30 * 40 * 3, 30 * 40 * 3) != 0)
                fail_msg("%s: frame %d differs", cases[i].name, k);
        data_clip_free(ctx, &a);
        data_clip_free(ctx, &b);
        free(path);
        free(folder);
    }
    tn_ctx_destroy(ctx);
    test_remove_dir(dir);
}

static void assert_levels(tn_ctx *ctx, const char *path, const data_video_options *o, const int *frames)
{
    data_clip clip;
    assert_ok(ctx, data_video_clip(ctx, path, o, &clip));
    assert_int_equal(clip.frames, o->frames);
    for (int i = 0; i < o->frames; i++) {
        int level = clip.rgb[(size_t)i * (size_t)clip.height * (size_t)clip.width * 3];
        if (level != 2 + 2 * frames[i])
            fail_msg("frame %d of the clip has level %d, expected that of frame %d", i, level, frames[i]);
    }
    data_clip_free(ctx, &clip);
}

static void the_window_begins_at_the_first_frame(void **state)
{
    (void)state;
    char *dir = begin();
    tn_ctx *ctx = test_ctx(1, NULL);
    data_video_options o = data_video_defaults();
    char *path = clock_clip(dir, "long.mkv", 9, "");
    assert_levels(ctx, path, &o, (const int[]){2, 7, 12, 17, 22, 27, 32, 37, 42, 47});
    o.frames = 16; /* more frames, the same five seconds */
    assert_levels(ctx, path, &o, (const int[]){1, 4, 7, 10, 14, 17, 20, 23, 26, 29, 32, 35, 39, 42, 45, 48});
    o.frames = 4;
    o.fps = 2; /* 2 seconds */
    assert_levels(ctx, path, &o, (const int[]){2, 7, 12, 17});
    o.fps = 0;
    o.seconds = 60; /* all of it */
    assert_levels(ctx, path, &o, (const int[]){11, 33, 56, 78});
    free(path);
    tn_ctx_destroy(ctx);
    test_remove_dir(dir);
}

/* The sound begins first, the picture 0.35 s later: its own beginning counts. */
static void a_late_picture_counts_from_its_first_frame(void **state)
{
    (void)state;
    char *dir = begin(), *path = clock_clip(dir, "clock.mkv", 7, ""), *late = joined(dir, "late.mkv");
    make_clip("-f lavfi -i sine=d=8 -itsoffset 0.35 -i '%s' -map 0 -map 1 -c:v copy '%s'", path, late);
    tn_ctx *ctx = test_ctx(1, NULL);
    data_video_options o = data_video_defaults();
    assert_levels(ctx, late, &o, (const int[]){2, 7, 12, 17, 22, 27, 32, 37, 42, 47});
    free(path);
    free(late);
    tn_ctx_destroy(ctx);
    test_remove_dir(dir);
}

/* Frames 0 to 9 last for 0.1 s, 10 to 19 for 0.4 s each: time counts, not numbers. */
static void a_variable_rate_is_sampled_in_time(void **state)
{
    (void)state;
    char *dir = begin();
    tn_ctx *ctx = test_ctx(1, NULL);
    data_video_options o = data_video_defaults();
    char *path = clock_clip(dir, "vfr.mkv", 3,
                            "-vf \"setpts='if(lt(N,10),N,10+4*(N-10))*0.1/TB'\" -vsync passthrough");
    assert_levels(ctx, path, &o, (const int[]){2, 7, 10, 11, 13, 14, 15, 16, 18, 19});
    free(path);
    tn_ctx_destroy(ctx);
    test_remove_dir(dir);
}

static void a_rotation_mark_is_obeyed(void **state)
{
    (void)state;
    char *dir = begin(), *path = joined(dir, "plain.mp4"), *turned = joined(dir, "turned.mp4");
    make_clip(
        "-f lavfi -i \"color=black:s=64x32:r=5:d=1,drawbox=w=32:h=32:color=white:t=fill\" -c:v mpeg4 -q:v 2 '%s'",
        path);
    make_clip("-i '%s' -c copy -metadata:s:v rotate=90 '%s'", path, turned);
    tn_ctx *ctx = test_ctx(1, NULL);
    data_video_options o = data_video_defaults();
    o.frames = 1;
    o.height = o.width = 16;
    data_clip a, b;
    assert_ok(ctx, data_video_clip(ctx, path, &o, &a));
    assert_ok(ctx, data_video_clip(ctx, turned, &o, &b));
    /* White on the left, and after a quarter turn above or below. */
    int left = a.rgb[(8 * 16 + 2) * 3], right = a.rgb[(8 * 16 + 13) * 3];
    int above = b.rgb[(2 * 16 + 8) * 3], below = b.rgb[(13 * 16 + 8) * 3];
    assert_true(left > 200 && right < 50);
    assert_true(abs(above - below) > 150);
    data_clip_free(ctx, &a);
    data_clip_free(ctx, &b);
    free(path);
    free(turned);
    tn_ctx_destroy(ctx);
    test_remove_dir(dir);
}

static double loudest(const data_audio *a)
{
    double most = 0;
    for (size_t i = 0; i < a->count; i++)
        most = fmax(most, fabs(a->samples[i]));
    return most;
}

static void sound_silence_and_nothing(void **state)
{
    (void)state;
    static const struct {
        const char *name, *make;
        bool has;
        size_t count;
        int rate, channels;
        double low, high; /* of the loudest sample */
    } cases[] = {
        {"long.mkv", "-f lavfi -i testsrc=s=32x32:d=7 -f lavfi -i sine=440:r=8000:d=7 -c:a pcm_s16le", true,
         40000, 8000, 1, 0.12, 0.13},
        {"silent.mkv",
         "-f lavfi -i testsrc=s=32x32:d=1 -f lavfi -i anullsrc=r=44100:cl=stereo -t 1 -c:a pcm_s16le", true,
         44100, 44100, 2, 0, 0},
        {"six.mkv", "-f lavfi -i testsrc=s=32x32:d=1 -f lavfi -i anullsrc=r=48000:cl=5.1 -t 1 -c:a pcm_s16le",
         true, 48000, 48000, 6, 0, 0},
        {"mute.mkv", "-f lavfi -i testsrc=s=32x32:d=1", false, 0, 0, 0, 0, 0},
    };
    char *dir = begin();
    tn_ctx *ctx = test_ctx(1, NULL);
    data_video_options o = data_video_defaults();
    data_audio audio;
    bool has;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *path = joined(dir, cases[i].name);
        make_clip("%s '%s'", cases[i].make, path);
        has = !cases[i].has;
        assert_ok(ctx, data_video_audio(ctx, path, &o, &has, &audio));
        assert_int_equal(has, cases[i].has);
        assert_int_equal(audio.count, cases[i].count);
        assert_int_equal(audio.rate, cases[i].rate);
        assert_int_equal(audio.channels, cases[i].channels);
        assert_true(loudest(&audio) >= cases[i].low && loudest(&audio) <= cases[i].high);
        data_audio_free(ctx, &audio);
        free(path);
    }
    char *path = joined(dir, "long.mkv");
    o.rate = 16000;
    assert_ok(ctx, data_video_audio(ctx, path, &o, &has, &audio));
    assert_true(has && audio.rate == 16000 && audio.count >= 79998 && audio.count <= 80000);
    data_audio_free(ctx, &audio);
    free(path);
    tn_ctx_destroy(ctx);
    test_remove_dir(dir);
}

/* The samples of a WAV file come through unchanged, whichever way it is read. */
static void pcm_is_untouched(void **state)
{
    (void)state;
    char *dir = begin(), *path = joined(dir, "noise.wav");
    make_clip("-f lavfi -i \"anoisesrc=r=22050:d=1:seed=5,pan=stereo|c0=c0|c1=-0.5*c0\" -c:a pcm_s16le '%s'",
              path);
    tn_ctx *ctx = test_ctx(1, NULL);
    data_video_options o = data_video_defaults();
    data_audio a, b;
    bool has = false;
    assert_ok(ctx, data_video_audio(ctx, path, &o, &has, &a));
    assert_ok(ctx, data_audio_read(ctx, path, 0, &b));
    assert_true(has && a.count == b.count && a.rate == b.rate && a.channels == b.channels);
    assert_memory_equal(a.samples, b.samples, a.count * sizeof *a.samples);
    assert_true(loudest(&a) > 0.1);
    data_audio_free(ctx, &a);
    data_audio_free(ctx, &b);
    free(path);
    tn_ctx_destroy(ctx);
    test_remove_dir(dir);
}

static void any_name_will_do(void **state)
{
    (void)state;
    static const char *const names[] = {"-v.avi", "http:a 100%d.avi", "it's \"$HOME\" `id` [0]\\,;*?.avi"};
    char *dir = begin(), *source = joined(dir, "x.avi"), *here = getcwd(NULL, 0);
    make_clip("-f lavfi -i testsrc=s=32x32:r=5:d=1 -f lavfi -i sine=d=1 -c:v mpeg4 '%s'", source);
    tn_ctx *ctx = test_ctx(1, NULL);
    data_video_options o = data_video_defaults();
    assert_int_equal(chdir(dir), 0);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        assert_int_equal(rename(i ? names[i - 1] : "x.avi", names[i]), 0);
        data_clip clip;
        assert_ok(ctx, data_video_clip(ctx, names[i], &o, &clip));
        data_clip_free(ctx, &clip);
    }
    assert_int_equal(chdir(here), 0);
    tn_ctx_destroy(ctx);
    free(here);
    free(source);
    test_remove_dir(dir);
}

/* ---- real files ------------------------------------------------------------------------------------ */

static void real_clips_with_and_without_sound(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        bool has, silent;
    } cases[] = {{"groupclips/fi001.mp4", true, true},
                 {"groupclips/fi077.mp4", false, true},
                 {"clips/jumping.avi", true, false}};
    free(test_data("groupclips"));
    need_ffmpeg();
    tn_ctx *ctx = test_ctx(1, NULL);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *path = test_data(cases[i].name);
        data_video_options o = data_video_defaults();
        data_clip clip;
        data_audio audio;
        bool has = !cases[i].has;
        assert_ok(ctx, data_video_clip(ctx, path, &o, &clip));
        for (int k = 1; k < clip.frames; k++)
            assert_memory_not_equal(clip.rgb, clip.rgb + k * 224 * 224 * 3, 224 * 224 * 3);
        data_clip_free(ctx, &clip);
        assert_ok(ctx, data_video_audio(ctx, path, &o, &has, &audio));
        assert_int_equal(has, cases[i].has);
        assert_int_equal(loudest(&audio) == 0, cases[i].silent);
        data_audio_free(ctx, &audio);
        free(path);
    }
    tn_ctx_destroy(ctx);
}

/* The sound of a film against the same sound, extracted by another hand: correlated, at some small delay. */
static void the_sound_of_a_film_is_that_of_its_wav(void **state)
{
    (void)state;
    char *film = test_data("clips/jumping.avi"), *wav = test_data("clips/jumping.wav");
    need_ffmpeg();
    tn_ctx *ctx = test_ctx(1, NULL);
    data_video_options o = data_video_defaults();
    o.rate = 16000;
    data_audio a, b;
    bool has = false;
    assert_ok(ctx, data_video_audio(ctx, film, &o, &has, &a));
    assert_ok(ctx, data_audio_read(ctx, wav, 0, &b));
    assert_true(has && a.rate == b.rate && a.count >= 79998 && a.count <= 80000 && b.count >= 80000);
    double best = 0;
    for (int delay = -1200; delay <= 1200; delay++) {
        double ab = 0, aa = 0, bb = 0;
        for (int i = 20000; i < 40000; i += 3) {
            double x = a.samples[i], y = b.samples[i + delay];
            ab += x * y;
            aa += x * x;
            bb += y * y;
        }
        best = fmax(best, ab / sqrt(aa * bb + 1e-30));
    }
    if (best < 0.98)
        fail_msg("correlation %g", best);
    data_audio_free(ctx, &a);
    data_audio_free(ctx, &b);
    free(film);
    free(wav);
    tn_ctx_destroy(ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_video_equals_the_folder_of_its_frames),
        cmocka_unit_test(the_window_begins_at_the_first_frame),
        cmocka_unit_test(a_late_picture_counts_from_its_first_frame),
        cmocka_unit_test(a_variable_rate_is_sampled_in_time),
        cmocka_unit_test(a_rotation_mark_is_obeyed),
        cmocka_unit_test(sound_silence_and_nothing),
        cmocka_unit_test(pcm_is_untouched),
        cmocka_unit_test(any_name_will_do),
        cmocka_unit_test(real_clips_with_and_without_sound),
        cmocka_unit_test(the_sound_of_a_film_is_that_of_its_wav),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
