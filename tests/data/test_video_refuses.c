/* Video files that are damaged or are none, an ffmpeg that misbehaves, and what is left behind. */
#include "tests/data/memory.h"
#include "tests/data/video.h"

#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void refused(tn_ctx *ctx, const char *path, tn_status want, const char *words)
{
    data_video_options o = data_video_defaults();
    data_clip clip;
    int files = open_files();
    tn_clear_error(ctx);
    assert_status(ctx, data_video_clip(ctx, path, &o, &clip), want);
    assert_null(clip.rgb);
    size_t length = strlen(path);
    if (strncmp(tn_error(ctx), path, length) != 0 || !strstr(tn_error(ctx) + length, words) ||
        strchr(tn_error(ctx), '\n'))
        fail_msg("\"%s\" does not say \"%s\" of %s", tn_error(ctx), words, path);
    assert_int_equal(open_files(), files);
    assert_no_children();
}

static void files_that_are_refused(void **state)
{
    (void)state;
    char *dir = begin(), *path = joined(dir, "x.mp4");
    tn_ctx *ctx = test_ctx(1, NULL);
    refused(ctx, path, TN_IO, ": No such file or directory");
    refused(ctx, dir, TN_IO, ": a folder, where a video file is expected");
    assert_int_equal(test_run(NULL, NULL, "echo some text > '%s'", path), 0);
    refused(ctx, path, TN_FORMAT, ": ffmpeg cannot read it as video or sound: Invalid data found");
    assert_int_equal(test_run(NULL, NULL, ": > '%s'", path), 0);
    refused(ctx, path, TN_FORMAT, ": ffmpeg cannot read it as video or sound: ");
    make_clip("-f lavfi -i sine=d=1 '%s'", path);
    refused(ctx, path, TN_FORMAT, ": no video stream, only sound");
    /* A cover is no film. */
    char *cover = joined(dir, "cover.mkv");
    make_clip("-f lavfi -i testsrc=s=32x32:r=1:d=1 -frames:v 1 '%s/cover.png'", dir);
    make_clip("-f lavfi -i sine=d=1 -attach '%s/cover.png' -metadata:s:t mimetype=image/png '%s'", dir,
              cover);
    refused(ctx, cover, TN_FORMAT, ": no video stream, only sound");
    free(cover);
    assert_int_equal(test_run(NULL, NULL, "rm '%s' && mkfifo '%s'", path, path), 0);
    refused(ctx, path, TN_IO, ": not a regular file");
    free(path);
    tn_ctx_destroy(ctx);
    test_remove_dir(dir);
}

static void options_out_of_range(void **state)
{
    (void)state;
    tn_ctx *ctx = test_ctx(1, NULL);
    char *dir = begin(), *path = clock_clip(dir, "x.mkv", 1, "");
    data_clip clip;
    data_audio audio;
    bool has;
    for (int i = 0; i < 8; i++) {
        data_video_options o = data_video_defaults();
        o.frames = i == 0 ? 0 : i == 1 ? 4097 : 10;
        o.seconds = i == 2 ? 0 : i == 3 ? 601 : i == 4 ? NAN : 5;
        o.fps = i == 5 ? -1 : 0;
        o.width = i == 6 ? 0 : 224;
        o.stall_seconds = i == 7 ? 0 : 60;
        tn_clear_error(ctx);
        assert_status(ctx, data_video_clip(ctx, path, &o, &clip), TN_RANGE);
        assert_non_null(strstr(tn_error(ctx), "expected"));
        if (i >= 2 && i != 6)
            assert_status(ctx, data_video_audio(ctx, path, &o, &has, &audio), TN_RANGE);
    }
    free(path);
    tn_ctx_destroy(ctx);
    test_remove_dir(dir);
}

static void refused_with(tn_ctx *ctx, const char *dir, const char *script, const char *path,
                         const char *words)
{
    data_video_options o = data_video_defaults();
    o.stall_seconds = 0.5;
    data_clip clip;
    int files = open_files();
    tn_clear_error(ctx);
    char *old = replace_ffmpeg(dir, script);
    tn_status status = data_video_clip(ctx, path, &o, &clip);
    put_back(old);
    assert_true(status != TN_OK && !clip.rgb);
    if (!strstr(tn_error(ctx), words) || !strstr(tn_error(ctx), path))
        fail_msg("\"%s\" does not say \"%s\"", tn_error(ctx), words);
    assert_int_equal(open_files(), files);
    assert_no_children();
}

#define PROBED                                                                                               \
    "case \"$*\" in *framecrc*) echo '#tb 0: 1/10'; echo '#media_type 0: video'; "                           \
    "echo '0, 0, 0, 50, 1, 0x1'; exit 0;; esac; "

static void a_program_that_misbehaves(void **state)
{
    (void)state;
    char *dir = begin(), *path = clock_clip(dir, "x.mkv", 1, "");
    tn_ctx *ctx = test_ctx(1, NULL);
    refused_with(ctx, dir, NULL, path,
                 "ffmpeg is needed for this and is not in PATH: install the package ffmpeg");
    refused_with(ctx, dir, "sleep 20", path, "ffmpeg was silent for 0.5 seconds, and was ended");
    refused_with(ctx, dir, "exec >&- 2>&-; sleep 20", path,
                 "ffmpeg was silent for 0.5 seconds, and was ended");
    refused_with(ctx, dir,
                 "echo first >&2; echo '[x @ 0x55d0] the reason' >&2; echo 'Conversion failed!' >&2; exit 1",
                 path, "ffmpeg cannot read it as video or sound: the reason");
    refused_with(ctx, dir, "kill -9 $$", path, "it said nothing");
    refused_with(ctx, dir, PROBED "exit 0", path, "ffmpeg gave 0 of 10 frames: it said nothing");
    refused_with(ctx, dir, PROBED "echo rubbish; echo 1; echo 2", path, "something else than a PPM picture");
    refused_with(ctx, dir, PROBED "printf 'P6\\n2 2\\n255\\nabc'", path, "stopped in the middle of a frame");
    refused_with(ctx, dir, PROBED "printf 'P6\\n20000 20000\\n255\\nabc'", path,
                 "more than the 67108864 that are read");
    refused_with(ctx, dir, PROBED "printf 'P6\\n2 -2\\n255\\nabc'", path,
                 "something else than a PPM picture");
    refused_with(ctx, dir, PROBED "printf 'P6\\n2 2\\n65535\\nabcdabcdabcd'", path,
                 "something else than a PPM picture");
    refused_with(ctx, dir, PROBED "printf 'P6\\n1 1\\n255\\nabc'; echo 'oh no' >&2; exit 3", path,
                 "ffmpeg gave 1 of 10 frames: oh no");
    /* Much on standard error does not block it, and the last line counts. */
    refused_with(ctx, dir,
                 "i=0; while [ $i -lt 3000 ]; do echo \"line $i of many, to fill the pipe and more\" >&2; "
                 "i=$((i+1)); done; exit 1",
                 path, "line 2999 of many");
    free(path);
    tn_ctx_destroy(ctx);
    test_remove_dir(dir);
}

/* What we ignore and block, the program does not; and it has no standard input. */
static void a_program_gets_its_signals(void **state)
{
    (void)state;
    char *dir = begin(), *path = clock_clip(dir, "x.mkv", 1, "");
    tn_ctx *ctx = test_ctx(1, NULL);
    sigset_t term, before;
    sigemptyset(&term);
    sigaddset(&term, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &term, &before);
    void (*old)(int) = signal(SIGPIPE, SIG_IGN);
    refused_with(ctx, dir, "kill -PIPE $$; echo alive >&2; exit 1", path, "it said nothing");
    refused_with(ctx, dir, "kill -TERM $$; echo alive >&2; exit 1", path, "it said nothing");
    refused_with(ctx, dir, "read line || echo none >&2; exit 1", path, ": none");
    signal(SIGPIPE, old);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    free(path);
    tn_ctx_destroy(ctx);
    test_remove_dir(dir);
}

static void sound_without_end_is_cut(void **state)
{
    (void)state;
    char *dir = begin(), *path = joined(dir, "x.avi");
    assert_int_equal(test_run(NULL, NULL, ": > '%s'", path), 0);
    char *old = replace_ffmpeg(
        dir, "case \"$*\" in *framecrc*) echo '#media_type 0: audio';; "
             "*) printf '.snd\\0\\0\\0\\030\\377\\377\\377\\377\\0\\0\\0\\3\\0\\0\\037\\100\\0\\0\\0\\2'; "
             "exec cat /dev/zero;; esac");
    tn_ctx *ctx = test_ctx(1, NULL);
    data_video_options o = data_video_defaults();
    data_audio audio;
    bool has = false;
    tn_status status = data_video_audio(ctx, path, &o, &has, &audio);
    put_back(old);
    assert_ok(ctx, status);
    assert_true(has && audio.rate == 8000 && audio.count == 40000 && audio.channels == 2);
    assert_no_children();
    data_audio_free(ctx, &audio);
    free(path);
    tn_ctx_destroy(ctx);
    test_remove_dir(dir);
}

/* A file cut short, and one with damage inside: frames or one clear line, in bounded time. */
static void damaged_files(void **state)
{
    (void)state;
    char *dir = begin(), *path = joined(dir, "x.avi"), *cut = joined(dir, "cut.avi");
    make_clip("-f lavfi -i testsrc=s=64x64:r=10:d=3 -f lavfi -i sine=d=3 -c:v mpeg4 '%s'", path);
    tn_ctx *ctx = test_ctx(1, NULL);
    struct stat info;
    assert_int_equal(stat(path, &info), 0);
    int fine = 0, wrong = 0;
    for (int i = 0; i < 4; i++) {
        if (i % 2 == 0)
            assert_int_equal(
                test_run(NULL, NULL, "head -c %ld '%s' > '%s'", (long)info.st_size * i / 4, path, cut), 0);
        else
            assert_int_equal(test_run(NULL, NULL,
                                      "cp '%s' '%s' && head -c 3000 /dev/zero | tr '\\0' '\\377' | "
                                      "dd of='%s' bs=1 seek=%ld conv=notrunc 2>&1",
                                      path, cut, cut, (long)info.st_size * i / 4),
                             0);
        data_video_options o = data_video_defaults();
        data_clip clip;
        data_audio audio;
        bool has;
        tn_clear_error(ctx);
        if (data_video_clip(ctx, cut, &o, &clip) == TN_OK)
            fine++;
        else {
            assert_non_null(strstr(tn_error(ctx), "cut.avi: "));
            wrong++;
        }
        data_clip_free(ctx, &clip);
        tn_clear_error(ctx);
        data_video_audio(ctx, cut, &o, &has, &audio);
        data_audio_free(ctx, &audio);
    }
    assert_true(fine > 0 && wrong > 0);
    assert_no_children();
    free(path);
    free(cut);
    tn_ctx_destroy(ctx);
    test_remove_dir(dir);
}

static tn_status read_once(tn_ctx *ctx, void *arg)
{
    data_video_options o = data_video_defaults();
    o.frames = 2;
    data_clip clip;
    data_audio audio = {0};
    bool has;
    tn_status status = data_video_clip(ctx, arg, &o, &clip);
    data_clip_free(ctx, &clip);
    if (status == TN_OK)
        status = data_video_audio(ctx, arg, &o, &has, &audio);
    data_audio_free(ctx, &audio);
    return status;
}

/* A stand-in for ffmpeg, because it starts faster. */
static void nothing_is_left_behind(void **state)
{
    (void)state;
    char *dir = begin(), *path = joined(dir, "x.avi");
    assert_int_equal(test_run(NULL, NULL, ": > '%s'", path), 0);
    char *old = replace_ffmpeg(
        dir,
        "case \"$*\" in *framecrc*) echo '#tb 0: 1/10'; echo '#media_type 0: video'; "
        "echo '#media_type 1: audio'; echo '0, 0, 0, 50, 1, 0x1';; "
        "*ppm*) printf 'P6\\n2 1\\n255\\nabcdefP6\\n1 1\\n255\\nabc';; "
        "*) printf '.snd\\0\\0\\0\\030\\377\\377\\377\\377\\0\\0\\0\\3\\0\\0\\037\\100\\0\\0\\0\\1ab';; esac");
    int files = open_files();
    long failures = fail_each_allocation(read_once, path);
    put_back(old);
    assert_true(failures > 20);
    assert_int_equal(open_files(), files);
    assert_no_children();
    free(path);
    test_remove_dir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_that_are_refused),    cmocka_unit_test(options_out_of_range),
        cmocka_unit_test(a_program_that_misbehaves), cmocka_unit_test(a_program_gets_its_signals),
        cmocka_unit_test(sound_without_end_is_cut),  cmocka_unit_test(damaged_files),
        cmocka_unit_test(nothing_is_left_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
