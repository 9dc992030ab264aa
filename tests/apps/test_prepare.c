/* The program prepare: a VGAF folder in, a list out; interruption, a full disk, threads, bad clips. */
#include "tests/common/files.h"
#include "tests/common/programs.h"

#include "data/data.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { TRAIN = 12, VAL = 6 };

static struct {
    tn_ctx *ctx; /* for making files */
    char *dir;   /* with vgaf/ and all output */
} all;

#define PREPARE(out, err, format, ...)                                                                       \
    test_run((out), (err), "cd %s && %s " format, all.dir, test_program("prepare"), __VA_ARGS__)

/* A set of clips of frames and WAV files, three classes; some lack sound, one is silent. */
static int set_up(void **state)
{
    (void)state;
    all.ctx = test_ctx(1, NULL);
    all.dir = test_make_dir();
    char train[1000] = "Vid_name Label\n", val[1000] = "Vid_name Label\n", name[64];
    assert_int_equal(test_run(NULL, NULL, "cd '%s' && mkdir -p vgaf/Train vgaf/Val", all.dir), 0);
    for (int i = 0; i < TRAIN + VAL; i++) {
        const char *split = i < TRAIN ? "Train" : "Val";
        snprintf(name, sizeof name, "vgaf/%s/%d_%d", split, i / 3, i % 3);
        test_write_frames(all.ctx, test_in(all.dir, name), 12, i);
        snprintf(name, sizeof name, "vgaf/%s/%d_%d.wav", split, i / 3, i % 3);
        if (i % 5 != 4)
            test_write_wav(test_in(all.dir, name), 8000, i == 3 ? 0 : 8000);
        char *labels = i < TRAIN ? train : val;
        snprintf(labels + strlen(labels), 40, "%d_%d %d\n", i / 3, i % 3, i % 3 + 1);
    }
    test_write_file(test_in(all.dir, "vgaf/Train_labels.txt"), train, strlen(train));
    test_write_file(test_in(all.dir, "vgaf/Val_labels.txt"), val, strlen(val));
    /* What every other way has to lead to, with one thread. */
    assert_int_equal(PREPARE(NULL, NULL, "--size 48 --threads %d vgaf whole", 1), 0);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    test_remove_dir(all.dir);
    tn_ctx_destroy(all.ctx);
    return 0;
}

static void assert_equal_to_whole(const char *name)
{
    char *out = NULL;
    if (test_run(&out, NULL, "cd '%s' && diff -r whole '%s'", all.dir, name) != 0)
        fail_msg("%s differs: %s", name, out);
    free(out);
}

static void the_list_is_what_was_prepared(void **state)
{
    (void)state;
    char *out, *err;
    data_manifest from, list;
    assert_int_equal(PREPARE(&out, &err, "--size 48 --threads %d vgaf whole", 2), 0);
    assert_string_equal(err, "");
    assert_non_null(
        strstr(out, "train: 12 clips of 4 sources: 4 positive, 4 neutral, 4 negative; 0 without frames, "
                    "2 without sound\n"));
    assert_non_null(strstr(out, "sound: 14 fine, 1 silent, 0 shorter than a window, 3 missing\n"));
    assert_non_null(strstr(out, "whole: 0 clips prepared, 18 were there already\n"));
    assert_ok(all.ctx, data_manifest_read(all.ctx, test_in(all.dir, "vgaf"), NULL, &from));
    assert_ok(all.ctx, data_manifest_read(all.ctx, test_in(all.dir, "whole/manifest.csv"), NULL, &list));
    assert_true(data_manifest_hash(&from) == data_manifest_hash(&list));
    char hash[64];
    snprintf(hash, sizeof hash, "list: whole/manifest.csv, hash %016llx\n",
             (unsigned long long)data_manifest_hash(&list));
    assert_non_null(strstr(out, hash));
    for (size_t i = 0; i < list.count; i++) {
        data_clip a, b;
        assert_ok(all.ctx, data_clip_from_dir(all.ctx, from.item[i].frames, 10, 48, 48, &a));
        assert_ok(all.ctx, data_clip_from_dir(all.ctx, list.item[i].frames, 10, 48, 48, &b));
        assert_memory_equal(a.rgb, b.rgb, 10 * 48 * 48 * 3);
        data_clip_free(all.ctx, &a);
        data_clip_free(all.ctx, &b);
    }
    data_manifest_free(all.ctx, &from);
    data_manifest_free(all.ctx, &list);
    free(out);
    free(err);
}

static void threads_make_no_difference(void **state)
{
    (void)state;
    assert_int_equal(PREPARE(NULL, NULL, "--size 48 --threads %d vgaf three", 3), 0);
    assert_equal_to_whole("three");
}

/* Killed once some clips are there, and again later; then it goes on. */
static void a_killed_run_goes_on(void **state)
{
    (void)state;
    char *out;
    for (int wanted = 2; wanted <= 8; wanted += 6)
        assert_int_equal(
            test_run(NULL, NULL,
                     "cd '%s' && { '%s' --size 48 --threads 1 --quiet vgaf killed & pid=$!; "
                     "while [ \"$(ls killed/train 2>/dev/null | wc -l)\" -lt %d ] && kill -0 $pid "
                     "2>/dev/null; do :; done; kill -9 $pid; wait $pid; test $? = 137; } && "
                     "! test -e killed/manifest.csv",
                     all.dir, test_program("prepare"), wanted),
            0);
    assert_int_equal(PREPARE(&out, NULL, "--size 48 vgaf %s", "killed"), 0);
    const char *kept = strstr(out, "clips prepared, ");
    assert_non_null(kept);
    assert_true(atoi(kept + 16) >= 8);
    assert_equal_to_whole("killed");
    free(out);
}

/* Files of more than 4 kB cannot be written: the frames can, the sound of 16 kB cannot. */
static void a_full_disk_stops_it(void **state)
{
    (void)state;
    char *out, *err;
    assert_int_equal(test_run(&out, &err,
                              "cd '%s' && bash -c 'ulimit -f 12; exec \"%s\" --size 48 vgaf full'", all.dir,
                              test_program("prepare")),
                     1);
    assert_string_equal(out, "");
    assert_non_null(strstr(err, "cannot be written: File too large"));
    assert_non_null(strstr(err, "prepare: stopped: full cannot be written; what is there is kept"));
    free(out);
    free(err);
    assert_int_equal(test_run(&out, NULL, "cd '%s' && find full -name '*.tmp'", all.dir), 0);
    assert_string_equal(out, "");
    free(out);
    assert_int_equal(PREPARE(NULL, NULL, "--size 48 vgaf %s", "full"), 0);
    assert_equal_to_whole("full");
}

static void bad_clips_are_named_and_left_out(void **state)
{
    (void)state;
    char *out, *err;
    static const char list[] = "name,frames,audio,label,split\na,whole/train/0_0,,x,t\nb,bad.mp4,,y,t\n"
                               "c,,vgaf/Train_labels.txt,y,t\nd,,whole/train/0_1/audio.wav,y,u\n";
    test_write_file(test_in(all.dir, "bad.mp4"), "no video\n", 9);
    test_write_file(test_in(all.dir, "list.csv"), list, strlen(list));
    assert_int_equal(PREPARE(&out, &err, "--size 48 list.csv %s", "bad"), 3);
    assert_non_null(strstr(err, "prepare: t/b: bad.mp4: "));
    assert_non_null(strstr(err, "prepare: t/c: vgaf/Train_labels.txt: "));
    assert_non_null(strstr(out, "failed: 2 of 4 clips, which are not in the list\n"));
    assert_non_null(strstr(out, "u: 1 clips of 1 sources: 0 x, 1 y; 1 without frames, 0 without sound\n"));
    free(out);
    free(err);
    char *text = (char *)test_read_file(test_in(all.dir, "bad/manifest.csv"), NULL);
    assert_string_equal(text, "name,frames,audio,label,split,source,faces\na,t/a,,x,t,a,\n"
                              "d,,u/d/audio.wav,y,u,d,\n");
    free(text);
    static const char none[] = "name,frames,audio,label,split\nb,bad.mp4,,y,t\n";
    test_write_file(test_in(all.dir, "list.csv"), none, strlen(none));
    assert_int_equal(PREPARE(&out, &err, "list.csv %s", "none"), 1);
    assert_non_null(strstr(err, "list.csv: no clip could be prepared"));
    free(out);
    free(err);
}

static void mistakes_are_told(void **state)
{
    (void)state;
    test_failure(all.dir, "prepare", "", 2, "expected two arguments");
    test_failure(all.dir, "prepare", "vgaf", 2, "expected two arguments");
    test_failure(all.dir, "prepare", "vgaf a b", 2, "'b' is one argument too many");
    test_failure(all.dir, "prepare", "vgaf ''", 2, "an argument is empty");
    test_failure(all.dir, "prepare", "--size 0 vgaf x", 2, "--size cannot be '0'");
    test_failure(all.dir, "prepare", "--rate 100 vgaf x", 2, "--rate cannot be '100'");
    test_failure(all.dir, "prepare", "missing x", 1, "missing: No such file");
    test_failure(all.dir, "prepare", "whole x", 1, "whole/Train_labels.txt: No such file");
    test_failure(all.dir, "prepare", "vgaf nowhere/x", 1, "nowhere/x: cannot be made");
    test_failure(all.dir, "prepare", "vgaf list.csv", 1, "list.csv: ");
}

/* A folder with its own manifest.csv as the target: that list would be replaced by the prepared one. */
static void the_list_that_was_read_stays(void **state)
{
    (void)state;
    static const char list[] = "name,frames,audio,label,split\na,../whole/train/0_0,,x,t\n";
    assert_int_equal(test_run(NULL, NULL, "mkdir '%s/own'", all.dir), 0);
    test_write_file(test_in(all.dir, "own/manifest.csv"), list, strlen(list));
    static const char *const ways[] = {"own/manifest.csv own", "./own//manifest.csv own/",
                                       "--size 48 whole/../own/manifest.csv own"};
    for (int i = 0; i < 3; i++)
        test_failure(all.dir, "prepare", ways[i], 1, "is the list itself");
    static const char taken[] = "name,frames,audio,label,split\na,../whole/train/0_0,,x,manifest.csv\n";
    test_write_file(test_in(all.dir, "own/taken.csv"), taken, strlen(taken));
    test_failure(all.dir, "prepare", "own/taken.csv own/taken", 1, "a split cannot be called manifest.csv");
    assert_int_equal(unlink(test_in(all.dir, "own/taken.csv")), 0);
    char *text = (char *)test_read_file(test_in(all.dir, "own/manifest.csv"), NULL), *out;
    assert_string_equal(text, list);
    free(text);
    assert_int_equal(test_run(&out, NULL, "ls -A '%s/own'", all.dir), 0);
    assert_string_equal(out, "manifest.csv\n");
    free(out);
    assert_int_equal(PREPARE(NULL, NULL, "--size 48 %s own/ready", "own/manifest.csv"), 0);
}

/* `infer` says the same of a prepared clip as of the video. */
static void infer_says_the_same(void **state)
{
    (void)state;
    char *out;
    if (!test_have_ffmpeg())
        skip();
    static const char list[] = "name,frames,audio,label,split\na,clip/clip.mp4,,x,t\n";
    test_write_file(test_in(all.dir, "list.csv"), list, strlen(list));
    assert_int_equal(
        test_run(NULL, NULL,
                 "cd '%s' && B=$(dirname %s) && $B/synth --quiet --seconds 1 --size 80x60 --video clip && "
                 "$B/init-weights --video v.safetensors --classes a,b,c --width 4 --blocks 1,1,1,1 --seed 3 "
                 "--calibrate clip/frames && $B/init-weights --audio a.safetensors --classes a,b,c --dense 8 "
                 "--cells 4 --seed 3 && $B/prepare --quiet list.csv ready",
                 all.dir, test_program("prepare")),
        0);
    const char *infer = getenv("VALENCE_INFER") ? getenv("VALENCE_INFER") : "./infer";
    static const char weights[] = "--video-weights v.safetensors --audio-weights a.safetensors";
    assert_int_equal(
        test_run(&out, NULL,
                 "I=$(realpath '%s') && cd '%s' && $I %s --video clip/clip.mp4 > one && $I %s --frames "
                 "ready/t/a --audio ready/t/a/audio.wav > two && sed -i 1d one two && cat one && cmp "
                 "one two",
                 infer, all.dir, weights, weights),
        0);
    assert_non_null(strstr(out, "from video (10 frames) and audio ("));
    free(out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_list_is_what_was_prepared),
        cmocka_unit_test(threads_make_no_difference),
        cmocka_unit_test(a_killed_run_goes_on),
        cmocka_unit_test(a_full_disk_stops_it),
        cmocka_unit_test(bad_clips_are_named_and_left_out),
        cmocka_unit_test(mistakes_are_told),
        cmocka_unit_test(the_list_that_was_read_stays),
        cmocka_unit_test(infer_says_the_same),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
