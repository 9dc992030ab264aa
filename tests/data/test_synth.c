/* Synthetic clips: the same bytes each time, cues that differ, folders whole or not there; bin/synth. */
#include "data/data.h"
#include "tests/common/testing.h"
#include "tests/data/memory.h"

#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static uint64_t fnv(const void *bytes, size_t n, uint64_t h)
{
    const unsigned char *p = bytes;
    for (size_t i = 0; i < n; i++)
        h = (h ^ p[i]) * 0x100000001b3u;
    return h;
}

static uint64_t hash_frames(const data_synth_options *o)
{
    size_t n = (size_t)o->width * (size_t)o->height * 3;
    unsigned char *rgb = malloc(n);
    assert_non_null(rgb);
    uint64_t h = 0xcbf29ce484222325u;
    for (int i = 0; i < 4; i++) {
        memset(rgb, 77 * i, n); /* what was there before does not matter */
        data_synth_frame(o, 0.37 * i, rgb);
        h = fnv(rgb, n, h);
    }
    free(rgb);
    return h;
}

static uint64_t hash_sound(const data_synth_options *o)
{
    enum { N = 8000 };
    int16_t samples[N];
    data_synth_audio(o, 0, N, samples);
    return fnv(samples, sizeof samples, 0xcbf29ce484222325u);
}

static data_synth_options small(int label, uint64_t seed)
{
    data_synth_options o = data_synth_defaults(label, seed);
    o.width = 80;
    o.height = 60;
    return o;
}

/* The bytes are part of what the function promises: with any compiler, on any machine. */
static void the_bytes_are_these(void **state)
{
    (void)state;
    static const uint64_t want[3][2] = {
        {0x2ecd23507a55db62, 0xd2c73c5519ca7c58},
        {0xa2981c43df4a868b, 0xbecb4f3811d1972c},
        {0xe9a606370961c1e9, 0xc46c32fd2ef2ec65},
    };
    for (int label = 0; label < 3; label++) {
        data_synth_options o = small(label, 7);
        uint64_t frames = hash_frames(&o), sound = hash_sound(&o);
        if (frames != want[label][0] || sound != want[label][1])
            fail_msg("%s: 0x%016llx, 0x%016llx", data_synth_class(label), (unsigned long long)frames,
                     (unsigned long long)sound);
    }
}

static void the_seed_counts(void **state)
{
    (void)state;
    for (int label = 0; label < 3; label++) {
        data_synth_options a = small(label, 1), b = small(label, 2);
        assert_true(hash_frames(&a) != hash_frames(&b));
        assert_true(hash_sound(&a) != hash_sound(&b));
    }
}

static void each_cue_changes_what_it_should(void **state)
{
    (void)state;
    for (int cue = 0; cue < DATA_SYNTH_CUES; cue++) {
        data_synth_options a = small(0, 5), b = a;
        b.cue[cue] = 2;
        assert_int_equal(hash_frames(&a) != hash_frames(&b), cue != DATA_SYNTH_SOUND);
        assert_int_equal(hash_sound(&a) != hash_sound(&b), cue == DATA_SYNTH_SOUND);
    }
}

static double mean_of(const unsigned char *rgb, size_t pixels, int channel)
{
    double sum = 0;
    for (size_t i = 0; i < pixels; i++)
        sum += rgb[3 * i + (size_t)channel];
    return sum / (double)pixels;
}

/* The cues are in the pictures: bright or dark, still or moving, arms above the heads or not. */
static void classes_look_different(void **state)
{
    (void)state;
    enum { W = 160, H = 120, N = W * H };
    static unsigned char a[N * 3], b[N * 3];
    double bright[3], change[3], above[3];
    for (int label = 0; label < 3; label++) {
        bright[label] = change[label] = above[label] = 0;
        for (uint64_t seed = 0; seed < 8; seed++) {
            data_synth_options o = data_synth_defaults(label, seed);
            o.width = W;
            o.height = H;
            data_synth_frame(&o, 1.0, a);
            data_synth_frame(&o, 1.1, b);
            bright[label] += (mean_of(a, N, 0) + mean_of(a, N, 1) + mean_of(a, N, 2)) / 3 / 8;
            for (int i = 0; i < N * 3; i++)
                change[label] += abs(a[i] - b[i]) / (8.0 * N * 3);
            /* Rows at arms' height: pixels that are not background, which is the same all along a row. */
            for (int y = H / 5; y < H * 2 / 5; y++)
                for (int x = 1; x < W; x++)
                    above[label] += abs(a[(y * W + x) * 3] - a[(y * W + x - 1) * 3]) > 8;
        }
    }
    assert_true(bright[0] > bright[1] + 20 && bright[1] > bright[2] + 60);
    assert_true(change[1] < change[0] / 2 && change[1] < change[2] / 2);
    assert_true(above[0] > 4 * above[1] && above[0] > 4 * above[2]);
}

static void classes_sound_different(void **state)
{
    (void)state;
    enum { N = 32000 };
    static int16_t s[N];
    double crossings[3], loudness[3];
    for (int label = 0; label < 3; label++) {
        data_synth_options o = data_synth_defaults(label, 3);
        data_synth_audio(&o, 0, N, s);
        crossings[label] = loudness[label] = 0;
        for (int i = 1; i < N; i++) {
            crossings[label] += (s[i] < 0) != (s[i - 1] < 0);
            loudness[label] += fabs((double)s[i]) / N;
        }
    }
    assert_true(crossings[0] > 2 * crossings[1]);
    assert_true(crossings[2] > 3 * crossings[1]);
    assert_true(loudness[0] > 500 && loudness[2] > loudness[1] && loudness[1] > 500);
}

static void sound_may_be_had_in_pieces(void **state)
{
    (void)state;
    for (int label = 0; label < 3; label++) {
        data_synth_options o = small(label, 9);
        int16_t whole[3000], part[3000];
        data_synth_audio(&o, 0, 3000, whole);
        for (size_t first = 0, n = 1; first < 3000; first += n, n = n * 3 % 401 + 1)
            data_synth_audio(&o, first, n < 3000 - first ? n : 3000 - first, part + first);
        assert_memory_equal(whole, part, sizeof whole);
    }
}

static void a_folder_has_what_it_says(void **state)
{
    (void)state;
    tn_ctx *ctx = test_ctx(1, NULL);
    char *dir = test_make_dir(), path[300];
    snprintf(path, sizeof path, "%s/clip//", dir);
    data_synth_options o = small(2, 4);
    o.seconds = 1.24;
    o.fps = 5;
    assert_ok(ctx, data_synth_write(ctx, path, &o, false));
    snprintf(path, sizeof path, "%s/clip/frames", dir);
    data_names names;
    assert_ok(ctx, data_frames_list(ctx, path, &names));
    assert_int_equal(names.count, 6);
    unsigned char *want = malloc(80 * 60 * 3);
    for (size_t i = 0; i < names.count; i++) {
        data_image image;
        assert_ok(ctx, data_image_read(ctx, names.path[i], &image));
        assert_true(image.width == 80 && image.height == 60);
        data_synth_frame(&o, (double)i / o.fps, want);
        assert_memory_equal(image.rgb, want, 80 * 60 * 3);
        data_image_free(ctx, &image);
    }
    free(want);
    data_names_free(ctx, &names);
    snprintf(path, sizeof path, "%s/clip/audio.wav", dir);
    data_audio audio;
    assert_ok(ctx, data_audio_read(ctx, path, 0, &audio));
    assert_true(audio.count == 19840 && audio.rate == 16000 && audio.channels == 1);
    int16_t samples[19840];
    data_synth_audio(&o, 0, 19840, samples);
    for (size_t i = 0; i < audio.count; i++)
        assert_true(audio.samples[i] == samples[i] / 32768.0);
    data_audio_free(ctx, &audio);
    char *listing = NULL;
    assert_int_equal(test_run(&listing, NULL, "cd '%s' && ls -A . clip", dir), 0);
    assert_null(strstr(listing, "tmp"));
    assert_null(strstr(listing, "mp4"));
    free(listing);
    test_remove_dir(dir);
    tn_ctx_destroy(ctx);
}

/* The status, words of the message, and that the folder `dir` still has what `listing` says. */
static void refused(tn_ctx *ctx, const char *dir, const char *path, const data_synth_options *o, bool video,
                    tn_status want, const char *words, const char *listing)
{
    tn_clear_error(ctx);
    assert_status(ctx, data_synth_write(ctx, path, o, video), want);
    if (!strstr(tn_error(ctx), words))
        fail_msg("\"%s\" does not say \"%s\"", tn_error(ctx), words);
    char *left = NULL;
    assert_int_equal(test_run(&left, NULL, "cd '%s' && find . -mindepth 1 | sort | tr '\\n' ' '", dir), 0);
    assert_string_equal(left, listing);
    free(left);
}

static void a_folder_is_whole_or_not_there(void **state)
{
    (void)state;
    tn_ctx *ctx = test_ctx(1, NULL);
    char *dir = test_make_dir(), path[300], *old = strdup(getenv("PATH"));
    data_synth_options o = small(1, 4);
    o.seconds = 0.2;
    snprintf(path, sizeof path, "%s/clip", dir);
    setenv("PATH", dir, 1);
    tn_clear_error(ctx);
    assert_status(ctx, data_synth_write(ctx, path, &o, true), TN_IO);
    setenv("PATH", old, 1);
    assert_non_null(strstr(tn_error(ctx), "install the package ffmpeg"));
    assert_int_equal(access(path, F_OK), -1);

    assert_int_equal(mkdir(path, 0700), 0);
    data_synth_options bad = o;
    bad.fps = 0;
    refused(ctx, dir, path, &bad, false, TN_RANGE, "0 frames per second", "./clip ");
    bad = o;
    bad.cue[1] = 3;
    refused(ctx, dir, path, &bad, false, TN_RANGE, "class 3 of cue 1", "./clip ");
    bad = o;
    bad.rate = 7999;
    refused(ctx, dir, path, &bad, false, TN_RANGE, "7999 Hz", "./clip ");
    assert_ok(ctx,
              (tn_clear_error(ctx), data_synth_write(ctx, path, &o, false))); /* an empty folder is fine */
    refused(ctx, dir, path, &o, false, TN_IO, "the folder is there and is not empty",
            "./clip ./clip/audio.wav ./clip/frames ./clip/frames/0001.png ./clip/frames/0002.png ");
    snprintf(path, sizeof path, "%s/clip/audio.wav", dir);
    refused(ctx, dir, path, &o, false, TN_IO, "a file of that name is there",
            "./clip ./clip/audio.wav ./clip/frames ./clip/frames/0001.png ./clip/frames/0002.png ");
    snprintf(path, sizeof path, "%s/clip/audio.wav/below", dir);
    refused(ctx, dir, path, &o, false, TN_IO, "clip/audio.wav/below: Not a directory",
            "./clip ./clip/audio.wav ./clip/frames ./clip/frames/0001.png ./clip/frames/0002.png ");
    snprintf(path, sizeof path, "%s/none/clip", dir);
    refused(ctx, dir, path, &o, false, TN_IO, "none/clip: cannot be made: No such file or directory",
            "./clip ./clip/audio.wav ./clip/frames ./clip/frames/0001.png ./clip/frames/0002.png ");
    free(old);
    test_remove_dir(dir);
    tn_ctx_destroy(ctx);
}

static tn_status write_once(tn_ctx *ctx, void *arg)
{
    char path[300];
    data_synth_options o = small(0, 1);
    o.seconds = 0.2;
    o.width = o.height = 16;
    snprintf(path, sizeof path, "%s/clip", (const char *)arg);
    tn_status status = data_synth_write(ctx, path, &o, false);
    if (status != TN_OK) {
        int entries = 0;
        DIR *dir = opendir(arg);
        assert_non_null(dir);
        while (readdir(dir))
            entries++;
        closedir(dir);
        assert_int_equal(entries, 2); /* itself and its parent */
    }
    return status;
}

static void no_memory_leaves_nothing(void **state)
{
    (void)state;
    char *dir = test_make_dir();
    assert_true(fail_each_allocation(write_once, dir) > 20);
    test_remove_dir(dir);
}

static void the_program_does_what_it_says(void **state)
{
    (void)state;
    const char *bin = getenv("VALENCE_BIN");
    char *dir = test_make_dir(), *out = NULL, *err = NULL;
    bin = bin ? bin : "bin";
    static const struct {
        const char *arguments; /* "DIR" is the folder of the test */
        int status;
        const char *out, *err; /* words */
    } cases[] = {
        {"--help", 0, "Usage: synth", ""},
        {"--version", 0, "synth (valence) ", ""},
        {"--class positive --seed 3 --seconds 0.4 --size 64x48 DIR/a", 0, "4 frames of 64 x 48", ""},
        {"--seed 3 --seconds 0.4 --size 64x48 --class=positive --quiet -- DIR/b", 0, "", ""},
        {"--seed 3 --seconds 0.4 --size 64x48 --class=positive --motion=negative --quiet -- DIR/c", 0, "",
         ""},
        {"--seconds 0.2 DIR/a", 1, "", "a: the folder is there and is not empty"},
        {"--seconds 0.2 DIR/none/a", 1, "", "none/a: cannot be made"},
        {"", 2, "", "expected one argument, the folder to make"},
        {"DIR/x DIR/y", 2, "", "is one argument too many"},
        {"--class happy DIR/x", 2, "", "--class cannot be 'happy'"},
        {"--sound 1 DIR/x", 2, "", "--sound cannot be '1'"},
        {"--seed -1 DIR/x", 2, "", "--seed cannot be '-1'"},
        {"--seconds 5s DIR/x", 2, "", "--seconds cannot be '5s'"},
        {"--seconds nan DIR/x", 2, "", "--seconds cannot be 'nan'"},
        {"--seconds 0 DIR/x", 2, "", "--seconds cannot be '0'"},
        {"--rate 7999 DIR/x", 2, "", "--rate cannot be '7999', expected a whole number from 8000 to 192000"},
        {"--fps 241 DIR/x", 2, "", "--fps cannot be '241'"},
        {"--size 15x16 DIR/x", 2, "", "frames of 15 x 16, expected sides of 16 to 4096"},
        {"--size 320 DIR/x", 2, "", "--size cannot be '320'"},
        {"--rate 16000.5 DIR/x", 2, "", "--rate cannot be '16000.5'"},
        {"--nonsense DIR/x", 2, "", "nonsense"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int status =
            test_run(&out, &err, "DIR='%s'; set -- $(echo '%s' | sed \"s|DIR|$DIR|g\"); '%s/synth' \"$@\"",
                     dir, cases[i].arguments, bin);
        if (status != cases[i].status || !strstr(out, cases[i].out) || !strstr(err, cases[i].err) ||
            (!*cases[i].err && *err) || (!*cases[i].out && *out))
            fail_msg("synth %s: status %d, \"%s\", \"%s\"", cases[i].arguments, status, out, err);
        free(out);
        free(err);
    }
    assert_int_equal(test_run(NULL, NULL, "diff -r '%s/a' '%s/b'", dir, dir), 0);
    assert_int_equal(test_run(NULL, NULL, "diff -r '%s/a' '%s/c'", dir, dir), 1);
    assert_int_equal(test_run(&out, NULL, "ls -A '%s'", dir), 0);
    assert_string_equal(out, "a\nb\nc\n");
    free(out);
    test_remove_dir(dir);
}

static void the_video_is_of_the_frames(void **state)
{
    (void)state;
    if (test_run(NULL, NULL, "command -v ffmpeg") != 0) {
        printf("skip: no ffmpeg\n");
        skip();
    }
    tn_ctx *ctx = test_ctx(1, NULL);
    char *dir = test_make_dir(), path[300];
    snprintf(path, sizeof path, "%s/50%%d clip", dir);
    data_synth_options o = data_synth_defaults(0, 2);
    o.seconds = 1;
    assert_ok(ctx, data_synth_write(ctx, path, &o, true));
    data_clip a, b;
    data_audio audio;
    bool has = false;
    data_video_options v = data_video_defaults();
    snprintf(path, sizeof path, "%s/50%%d clip/clip.mp4", dir);
    assert_ok(ctx, data_video_clip(ctx, path, &v, &a));
    assert_ok(ctx, data_video_audio(ctx, path, &v, &has, &audio));
    assert_true(has && audio.rate == 16000 && audio.count > 15000);
    snprintf(path, sizeof path, "%s/50%%d clip/frames", dir);
    assert_ok(ctx, data_clip_from_dir(ctx, path, v.frames, v.height, v.width, &b));
    double sum = 0;
    size_t n = (size_t)v.frames * 224 * 224 * 3;
    for (size_t i = 0; i < n; i++)
        sum += abs(a.rgb[i] - b.rgb[i]);
    assert_true(sum / (double)n < 4); /* levels that compression costs */
    data_clip_free(ctx, &a);
    data_clip_free(ctx, &b);
    data_audio_free(ctx, &audio);
    test_remove_dir(dir);
    tn_ctx_destroy(ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_bytes_are_these),
        cmocka_unit_test(the_seed_counts),
        cmocka_unit_test(each_cue_changes_what_it_should),
        cmocka_unit_test(classes_look_different),
        cmocka_unit_test(classes_sound_different),
        cmocka_unit_test(sound_may_be_had_in_pieces),
        cmocka_unit_test(a_folder_has_what_it_says),
        cmocka_unit_test(a_folder_is_whole_or_not_there),
        cmocka_unit_test(no_memory_leaves_nothing),
        cmocka_unit_test(the_program_does_what_it_says),
        cmocka_unit_test(the_video_is_of_the_frames),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
