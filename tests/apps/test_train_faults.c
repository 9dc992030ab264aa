/* What goes wrong around training, in both programs: lists, class names, signals before the first step, disks
 * that are full, numbers that are none. */
#include "tests/common/files.h"
#include "tests/common/programs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static struct {
    char *dir; /* with everything below */
} all;

#define AUDIO "train-audio", "--dense 4 --cells 2 --batch 8 --quiet"
#define HEAD "train-video", "--video-weights w.safetensors --quiet"

/* The two programs, with what each wants besides a list. */
static const char *const program[2][2] = {{AUDIO}, {HEAD}};

static int set_up(void **state)
{
    (void)state;
    all.dir = test_make_dir();
    assert_int_equal(test_run(NULL, NULL,
                              "cd %s && %s --set 6 --seed 5 --fps 2 --seconds 1 --size 64x48 set && "
                              "%s --video w.safetensors --num-classes 5 --width 4 --blocks 1,1,1,1 --size 48 "
                              "--num-frames 2 --calibrate set/clips/1_1/frames",
                              all.dir, test_program("synth"), test_program("init-weights")),
                     0);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    test_remove_dir(all.dir);
    return 0;
}

/* ---- lists ----------------------------------------------------------------------------------------- */

/* Clips 1 and 2 to learn from, 3 and 4 to validate with, of the classes `a` and `b`; `more` lines behind
 * them. */
static void write_list(const char *a, const char *b, const char *more)
{
    char *text = test_text("name,frames,audio,label,split\n"
                           "1,set/clips/1_1/frames,set/clips/1_1/audio.wav,%s,train\n"
                           "2,set/clips/1_2/frames,set/clips/1_2/audio.wav,%s,train\n"
                           "3,set/clips/1_3/frames,set/clips/1_3/audio.wav,%s,val\n"
                           "4,set/clips/2_1/frames,set/clips/2_1/audio.wav,%s,val\n%s",
                           a, b, a, b, more);
    test_write_file(test_in(all.dir, "list.csv"), text, strlen(text));
    free(text);
}

/* Both programs refuse it with one line that holds `part`, and leave nothing in --out. */
static void refused(const char *arguments, const char *part)
{
    for (int i = 0; i < 2; i++) {
        char *command = test_text("%s --out refused --epochs 2 %s", program[i][1], arguments);
        assert_int_equal(test_run(NULL, NULL, "rm -rf %s/refused", all.dir), 0);
        test_failure(all.dir, program[i][0], command, 1, part);
        assert_int_equal(test_run(NULL, NULL, "rm -f %s/refused/features.cache", all.dir), 0);
        if (test_run(NULL, NULL, "test -d %s/refused", all.dir) == 0)
            assert_int_equal(test_count_files(test_in(all.dir, "refused")), 0);
        free(command);
    }
}

static void names_that_no_file_can_hold(void **state)
{
    (void)state;
    static const struct {
        const char *label, *part;
    } cases[] = {
        {"\"a,b\"", "list.csv: class name 1 is \"a,b\", expected UTF-8 text without commas"},
        {"\"a\nb\"", "list.csv: class name 1 is "},
        {"a\xff", "list.csv: class name 1 is "},
        {"split", "list.csv: a class cannot be called \"split\""},
        {"c", "list.csv: 1 class, expected at least 2"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        write_list(cases[i].label, "c", "");
        refused("--data list.csv", cases[i].part);
    }
}

static void lists_that_are_wrong(void **state)
{
    (void)state;
    static const struct {
        const char *more, *arguments, *part;
    } cases[] = {
        {"1,set/clips/2_1/frames,set/clips/2_1/audio.wav,b,train\n", "", "list.csv: line 6"},
        {"9,set/clips/9_9/frames,set/clips/9_9/audio.wav,b,train\n", "", "clips/9_9/"},
        {"9,set/clips/2_2/frames,set/clips/2_2/audio.wav,,train\n", "", "list.csv: "},
        {"9,set/clips/2_2/frames,set/clips/2_2/audio.wav,c,test\n", "",
         "no clip of the class c in the split train"},
        {"", "--train-split dev", "list.csv: no clips in the split dev"},
        {"", "--val-split dev", "list.csv: no clips in the split dev"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *arguments = test_text("--data list.csv %s", cases[i].arguments);
        write_list("a", "b", cases[i].more);
        refused(arguments, cases[i].part);
        free(arguments);
    }
}

/* The layout of the VGAF database, where labels are 1 to 3. */
static void label_files_that_are_wrong(void **state)
{
    (void)state;
    static const struct {
        const char *rows, *part;
    } cases[] = {
        {"1_1 1\n1_2 7\n", "Train_labels.txt: line 3"},
        {"1_1 1\n1_2 2\n1_1 1\n", "Train_labels.txt: line 4"},
        {"1_1 1\n1_2 2\n1_3 3\n", "1_3"},
    };
    assert_int_equal(
        test_run(NULL, NULL,
                 "cd %s && mkdir -p vgaf/Train vgaf/Val && touch vgaf/Train/1_1.mp4 vgaf/Train/1_2.mp4",
                 all.dir),
        0);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *text = test_text("Vid_name Label\n%s", cases[i].rows);
        test_write_file(test_in(all.dir, "vgaf/Train_labels.txt"), text, strlen(text));
        free(text);
        refused("--data vgaf", cases[i].part);
    }
}

static void places_that_cannot_be_written(void **state)
{
    (void)state;
    write_list("a", "b", "");
    for (int i = 0; i < 2; i++) {
        char *command = test_text("%s --data list.csv --out /proc/none/x", program[i][1]);
        test_failure(all.dir, program[i][0], command, 1, "/proc/none: cannot be made");
        free(command);
        command = test_text("%s --data list.csv --out /proc/self", program[i][1]);
        test_failure(all.dir, program[i][0], command, 1,
                     i ? "/proc/self/features.cache" : "/proc/self/settings.json");
        free(command);
    }
}

/* ---- signals --------------------------------------------------------------------------------------- */

/* Sound that takes a while to look at; the signal comes when the folder is there, long before the first step.
 */
static void a_signal_while_sound_is_read(void **state)
{
    (void)state;
    char *out, *err;
    test_bytes list = {0};
    test_write_wav(test_in(all.dir, "long.wav"), 16000 * 30, UINT32_MAX);
    test_put_text(&list, "name,frames,audio,label,split\n");
    for (int i = 0; i < 400; i++) {
        char *line = test_text("%d,,long.wav,%s,%s\n", i, i % 2 ? "a" : "b", i < 300 ? "train" : "val");
        test_put_text(&list, line);
        free(line);
    }
    test_write_file(test_in(all.dir, "long.csv"), list.data, list.size);
    free(list.data);
    assert_int_equal(test_run(&out, &err,
                              "cd %s && { %s --data long.csv --out early --dense 2 --cells 1 & pid=$!; "
                              "while [ ! -d early ]; do sleep 0.01; done; sleep 0.1; kill -INT $pid; "
                              "wait $pid; echo status $?; }",
                              all.dir, test_program("train-audio")),
                     0);
    assert_string_equal(out, "status 130\n");
    assert_true(test_is_line(
        err, "train-audio: ", "interrupted before the first step; the same command begins again"));
    assert_int_equal(test_count_files(test_in(all.dir, "early")), 0);
    free(out);
    free(err);
}

/* What the cache has by then is not computed again. */
static void a_signal_while_features_are_computed(void **state)
{
    (void)state;
    char *out, *err;
    assert_int_equal(
        test_run(NULL, NULL,
                 "cd %s && %s --video slow.safetensors --num-classes 5 --width 16 --blocks 1,1,1,1 "
                 "--size 160 --num-frames 2",
                 all.dir, test_program("init-weights")),
        0);
#define SLOW "--data set/manifest.csv --out slow --video-weights slow.safetensors --num-frames 24 --epochs 1"
    assert_int_equal(
        test_run(&out, &err,
                 "cd %s && { %s " SLOW " & pid=$!; "
                 "until [ $(stat -c %%s slow/features.cache 2>/dev/null || echo 0) -gt 100 ]; do "
                 "sleep 0.01; done; kill -TERM $pid; wait $pid; echo status $?; }",
                 all.dir, test_program("train-video")),
        0);
    assert_string_equal(out, "status 130\n");
    test_has(err, "interrupted before the first step; the same command begins again");
    assert_int_equal(test_count_files(test_in(all.dir, "slow")), 1);
    free(out);
    free(err);
    assert_int_equal(test_run(NULL, &err, "cd %s && %s " SLOW, all.dir, test_program("train-video")), 0);
    int computed = -1, kept = -1;
    test_has(err, "features: ");
    assert_int_equal(sscanf(strstr(err, "features: "), "features: %d clips computed, %d", &computed, &kept),
                     2);
    assert_int_equal(computed + kept, 18);
    assert_true(kept > 0 && computed > 0);
    free(err);
}

/* ---- full disks ------------------------------------------------------------------------------------ */

static size_t size_of(const char *dir, const char *name)
{
    char *path = test_text("%s/%s/%s", all.dir, dir, name);
    struct stat info;
    if (stat(path, &info) != 0)
        fail_msg("no %s", path);
    free(path);
    return (size_t)info.st_size;
}

/* A log grows with each epoch: of what there is, every line is whole. */
static void same_or_whole(const char *before, const char *path, const char *name)
{
    if (strcmp(name, "log.csv") != 0) {
        test_same_files(all.dir, before, path);
        return;
    }
    size_t size;
    char *text = (char *)test_read_file(test_in(all.dir, path), &size);
    assert_in_range(test_count_lines(all.dir, path), 2, test_count_lines(all.dir, before) - 1);
    assert_int_equal(text[size - 1], '\n');
    free(text);
}

/* Runs what made the folder `made` once more in a copy of it, where no file may be as long as `name` was, and
 * all that are written before it are shorter: it fails, names the file, leaves the old one, and no other. */
static void fails_without_room(const char *made, const char *which, const char *arguments, const char *name)
{
    enum { SECONDS = 100 }; /* a log's last column may be shorter than it was */
    char *err, *path = test_text("full/%s", name), *before = test_text("%s/%s", made, name);
    assert_int_equal(test_run(NULL, NULL, "cd %s && rm -rf full && cp -r %s full", all.dir, made), 0);
    const int files = test_count_files(test_in(all.dir, "full"));
    const int status = test_run(NULL, &err, "cd %s && prlimit --fsize=%zu %s --out full %s", all.dir,
                                size_of(made, name) - (strcmp(name, "log.csv") ? 1 : SECONDS),
                                test_program(which), arguments);
    if (status != 1 || !strstr(err, path) || !strstr(err, "File too large"))
        fail_msg("%s: status %d, %s", name, status, err);
    same_or_whole(before, path, name);
    assert_int_equal(test_count_files(test_in(all.dir, "full")), files);
    free(before);
    free(path);
    free(err);
}

static void make_run(const char *out, const char *which, const char *arguments)
{
    assert_int_equal(
        test_run(NULL, NULL, "cd %s && %s --out %s %s", all.dir, test_program(which), out, arguments), 0);
}

/* Lists whose names are so long that scores are the largest files of a run. */
static void write_long_names(void)
{
    test_bytes list = {0};
    test_put_text(&list, "name,frames,audio,label,split,source\n");
    for (int i = 0; i < 60; i++) {
        char *line = test_text("%0180d,set/clips/1_%d/frames,set/clips/1_%d/audio.wav,%s,%s,%0180d\n", i,
                               1 + i % 3, 1 + i % 3, i % 2 ? "a" : "b", i < 56 ? "many" : "few", i);
        test_put_text(&list, line);
        free(line);
    }
    test_write_file(test_in(all.dir, "names.csv"), list.data, list.size);
    free(list.data);
}

/* Of the three score files the one of many clips is larger than any other file, whichever it is. */
static void no_room_for_scores(const char *which, const char *arguments)
{
    static const struct {
        const char *splits, *name;
    } cases[] = {
        {"--train-split many --val-split few --test-split none", "scores.train.csv"},
        {"--train-split few --val-split many --test-split none", "scores.val.csv"},
        {"--train-split few --val-split none --test-split many", "scores.test.csv"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *command = test_text("%s --data names.csv --epochs 1 %s", arguments, cases[i].splits);
        make_run("scored", which, command);
        fails_without_room("scored", which, command, cases[i].name);
        free(command);
    }
}

static void no_room_for_sound(void **state)
{
    (void)state;
    static const char shorter[] = "--data set/manifest.csv --dense 4 --cells 2 --quiet --epochs 2",
                      longer[] =
                          "--data set/manifest.csv --dense 4 --cells 2 --quiet --epochs 400 --patience 0 "
                          "--batch 32 --test-split none";
    make_run("sound", "train-audio", shorter);
    fails_without_room("sound", "train-audio", shorter, "settings.json");
    fails_without_room("sound", "train-audio", shorter, "audio.safetensors");
    fails_without_room("sound", "train-audio", shorter, "audio.checkpoint.safetensors");
    make_run("sound2", "train-audio", longer);
    fails_without_room("sound2", "train-audio", longer, "log.csv");
    write_long_names();
    no_room_for_scores("train-audio", "--dense 2 --cells 1 --quiet");
}

static void no_room_for_pictures(void **state)
{
    (void)state;
    static const char head[] = "--data set/manifest.csv --video-weights w.safetensors --quiet --epochs 2",
                      longer[] = "--data set/manifest.csv --video-weights w.safetensors --quiet --epochs 400";
    char *err;
    make_run("pictures", "train-video", head);
    fails_without_room("pictures", "train-video", head, "settings.json");
    fails_without_room("pictures", "train-video", head, "video.head.safetensors");
    fails_without_room("pictures", "train-video", head, "video.checkpoint.safetensors");
    fails_without_room("pictures", "train-video", head, "video.safetensors");
    make_run("pictures2", "train-video", longer);
    fails_without_room("pictures2", "train-video", longer, "log.csv");
    write_long_names();
    /* Cut to its first record, the cache is to grow again: what is there stays, what does not fit is cut off.
     */
    assert_int_equal(test_run(NULL, NULL,
                              "cd %s && rm -rf full && cp -r pictures full && "
                              "truncate -s 544 full/features.cache",
                              all.dir),
                     0);
    assert_int_equal(test_run(NULL, &err, "cd %s && prlimit --fsize=1500 %s --out full %s", all.dir,
                              test_program("train-video"), head),
                     1);
    test_has(err, "full/features.cache: cannot write: File too large");
    free(err);
    assert_int_equal(size_of("full", "features.cache"), 16 + 2 * 528);
    assert_int_equal(test_run(NULL, &err,
                              "cd %s && %s --out full --data set/manifest.csv --video-weights w.safetensors "
                              "--epochs 2",
                              all.dir, test_program("train-video")),
                     0);
    test_has(err, "features: 16 clips computed, 2 from full/features.cache");
    free(err);
    test_same_files(all.dir, "pictures/video.safetensors", "full/video.safetensors");
}

/* A folder where a file is to be: whatever is written last, it is told by name and leaves nothing beside it.
 */
static void something_in_the_way(void **state)
{
    (void)state;
    static const char *const names[2][10] = {
        {"settings.json", "audio.safetensors", "log.csv", "audio.checkpoint.safetensors", "scores.train.csv",
         "scores.val.csv", "scores.test.csv", "scores.oof.csv", "oof/2/audio.safetensors"},
        {"features.cache", "settings.json", "video.head.safetensors", "log.csv",
         "video.checkpoint.safetensors", "video.safetensors", "scores.train.csv", "scores.test.csv",
         "scores.oof.csv", "oof/1/video.checkpoint.safetensors"}};
    for (int i = 0; i < 2; i++)
        for (int k = 0; k < 10 && names[i][k]; k++) {
            char *err, *path = test_text("way/%s", names[i][k]);
            assert_int_equal(test_run(NULL, NULL, "cd %s && rm -rf way && mkdir -p %s/below", all.dir, path),
                             0);
            const int status =
                test_run(NULL, &err, "cd %s && %s %s --data set/manifest.csv --out way --epochs 1 --oof 2",
                         all.dir, test_program(program[i][0]), program[i][1]);
            if (status != 1 || !strstr(err, path))
                fail_msg("%s: status %d, %s", path, status, err);
            assert_int_equal(test_run(NULL, NULL,
                                      "cd %s && find way | grep -v -E "
                                      "'/(below|oof(/[12])?|[a-z.]*(csv|json|safetensors|cache))$|^way$'",
                                      all.dir),
                             1);
            free(err);
            free(path);
        }
}

/* ---- numbers --------------------------------------------------------------------------------------- */

/* Weight decay that turns each weight over and makes it 20 times larger with each step, until an activation
 * is no number: the step is told, and what was best stays. */
static void a_loss_that_is_no_number(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        char *err, *out;
        const char *model = i ? "video.safetensors" : "audio.safetensors";
        assert_int_equal(
            test_run(&out, &err,
                     "cd %s && %s %s --data set/manifest.csv --out lost --optimizer sgd --momentum 0 --lr 1 "
                     "--weight-decay 21 --batch 8 --epochs 100 --patience 0",
                     all.dir, test_program(program[i][0]), program[i][1]),
            1);
        assert_string_equal(out, "");
        test_has(err, "step ");
        test_has(err, "not a finite number: what ");
        const int epochs = test_count_lines(all.dir, "lost/log.csv") - 1;
        assert_in_range(epochs, 1, 99);
        char *path = test_text("lost/%s", model);
        assert_int_equal(test_run(NULL, NULL, "cd %s && %s --quiet --%s %s set/clips/1_1/%s", all.dir,
                                  test_program("infer"), i ? "video-weights" : "audio-weights", path,
                                  i ? "frames" : "audio.wav"),
                         0);
        free(path);
        free(out);
        free(err);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_that_no_file_can_hold),
        cmocka_unit_test(lists_that_are_wrong),
        cmocka_unit_test(label_files_that_are_wrong),
        cmocka_unit_test(places_that_cannot_be_written),
        cmocka_unit_test(a_signal_while_sound_is_read),
        cmocka_unit_test(a_signal_while_features_are_computed),
        cmocka_unit_test(no_room_for_sound),
        cmocka_unit_test(no_room_for_pictures),
        cmocka_unit_test(something_in_the_way),
        cmocka_unit_test(a_loss_that_is_no_number),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
