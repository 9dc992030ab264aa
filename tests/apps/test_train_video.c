/* The program train-video: its head learns what synthetic clips show, features are computed once, runs go on
 * bit for bit, and what is wrong is told. */
#include "tests/common/files.h"
#include "tests/common/programs.h"
#include "weights/weights.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct {
    char *dir;   /* with everything below */
    tn_ctx *ctx; /* to read weights with */
} all;

/* Short runs of the head of a small network. */
#define HEAD "--video-weights w.safetensors --lr 0.03 --batch 5 "

/* All of a small network, from random weights. */
#define WHOLE "--width 4 --blocks 1,1,1,1 --size 32 --num-frames 4 --batch 6 --lr 0.003 "

#define TRAIN_VIDEO(out, err, format, ...)                                                                   \
    test_run((out), (err), "cd %s && %s " format, all.dir, test_program("train-video"), __VA_ARGS__)

#define ONCE HEAD "--data set/manifest.csv --out once --epochs 3 --num-frames %d"

/* Writes the header and the first `count` lines of the set's list that hold `part`, and `more`. */
static void write_list(const char *name, const char *part, int count, const char *more)
{
    char *text = (char *)test_read_file(test_in(all.dir, "set/manifest.csv"), NULL);
    test_bytes list = {0};
    bool first = true;
    char *rest = text;
    for (char *line = strtok_r(text, "\r\n", &rest); line; line = strtok_r(NULL, "\r\n", &rest)) {
        if (!first && (!strstr(line, part) || count-- <= 0))
            continue;
        first = false;
        test_put_text(&list, line);
        test_put_text(&list, "\n");
    }
    test_put_text(&list, more);
    char *path = test_text("%s/set/%s", all.dir, name);
    test_write_file(path, list.data, list.size);
    free(path);
    free(list.data);
    free(text);
}

static int set_up(void **state)
{
    (void)state;
    all.dir = test_make_dir();
    assert_int_equal(tn_ctx_create(NULL, &all.ctx), TN_OK);
    assert_int_equal(test_run(NULL, NULL,
                              "cd %s && %s --set 10 --seed 5 --right 1 --right-sound 1 --fps 2 --seconds 2 "
                              "--size 64x48 set && %s --video w.safetensors --num-classes 5 --width 4 "
                              "--blocks 1,1,1,1 --size 48 --num-frames 4 --calibrate set/clips/1_1/frames && "
                              "%s --audio a.safetensors --num-classes 5 --dense 4 --cells 2",
                              all.dir, test_program("synth"), test_program("init-weights"),
                              test_program("init-weights")),
                     0);
    write_list("sixteen.csv", ",train,", 16, "");
    write_list("odd.csv", ",", 1000, "deaf,,clips/1_1/audio.wav,positive,train,deaf,\n");
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    test_remove_dir(all.dir);
    tn_ctx_destroy(all.ctx);
    return 0;
}

/* A number of the program's one line of output. */
static double number_behind(const char *out, const char *label)
{
    test_has(out, label);
    return strtod(strstr(out, label) + strlen(label), NULL);
}

/* ---- learning -------------------------------------------------------------------------------------- */

static void head_learns(void **state)
{
    (void)state;
    char *out, *err;
    assert_int_equal(TRAIN_VIDEO(&out, &err, HEAD "--data set/odd.csv --out head --epochs %d", 60), 0);
    test_has(err, "train: 1 of 19 clips left out: without frames");
    test_has(err, "features: 30 clips computed, 0 from head/features.cache");
    assert_true(number_behind(out, "validation accuracy ") > 0.6);
    free(out);
    free(err);
    test_file_has(all.dir, "head/settings.json", "\"without frames\": 1");
    test_file_has(all.dir, "head/settings.json", "\"lr\": \"0.029999999999999999\"");
    assert_int_equal(test_count_lines(all.dir, "head/log.csv"), 61);
    assert_int_equal(test_count_lines(all.dir, "head/scores.train.csv"), 19);
    assert_int_equal(test_count_lines(all.dir, "head/scores.val.csv"), 7);
    assert_int_equal(test_count_lines(all.dir, "head/scores.test.csv"), 7);
    assert_int_equal(
        test_run(&out, NULL, "cd %s && %s head/scores.test.csv", all.dir, test_program("evaluate")), 0);
    free(out);
}

/* infer says of a clip what the score file says. */
static void infer_opens_the_result(void **state)
{
    (void)state;
    char *out;
    assert_int_equal(TRAIN_VIDEO(NULL, NULL, HEAD "--data set/manifest.csv --out opens --epochs %d", 5), 0);
    char *scores = (char *)test_read_file(test_in(all.dir, "opens/scores.val.csv"), NULL);
    char name[32], label[32], predicted[32];
    assert_int_equal(sscanf(strchr(scores, '\n') + 1, "%31[^,],%31[^,],%31[^,]", name, label, predicted), 3);
    assert_int_equal(test_run(&out, NULL,
                              "cd %s && %s --quiet --json --video-weights opens/video.safetensors "
                              "--frames set/clips/%s/frames",
                              all.dir, test_program("infer"), name),
                     0);
    char *expected = test_text("\"valence\": \"%s\"", predicted);
    test_has(out, expected);
    test_has(out, "\"positive\"");
    free(expected);
    free(scores);
    free(out);
}

static void head_overfits_sixteen_clips(void **state)
{
    (void)state;
    char *out;
    assert_int_equal(
        TRAIN_VIDEO(&out, NULL, HEAD "--data set/sixteen.csv --out fit --val-split none --epochs %d --lr 0.1",
                    300),
        0);
    assert_true(number_behind(out, "training accuracy ") > 0.999);
    assert_true(number_behind(out, ", loss ") < 0.01);
    free(out);
}

/* Random weights and augmentation; with all cues right, better than chance on unseen clips. */
static void a_new_network_learns(void **state)
{
    (void)state;
    char *out;
    assert_int_equal(
        TRAIN_VIDEO(&out, NULL, WHOLE "--data set/manifest.csv --out new --epochs %d --flip --crop 0.8", 40),
        0);
    assert_true(number_behind(out, "validation accuracy ") > 0.6);
    free(out);
    assert_int_equal(test_count_lines(all.dir, "new/scores.test.csv"), 7);
    assert_int_equal(test_run(&out, NULL,
                              "cd %s && %s --quiet --json --video-weights new/video.safetensors "
                              "--frames set/clips/1_1/frames",
                              all.dir, test_program("infer")),
                     0);
    test_has(out, "\"status\": \"ok\"");
    free(out);
}

static void a_whole_network_overfits_sixteen_clips(void **state)
{
    (void)state;
    char *out;
    assert_int_equal(TRAIN_VIDEO(&out, NULL,
                                 WHOLE "--data set/sixteen.csv --out fit2 --val-split none --batch 16 "
                                       "--lr 0.01 --epochs %d --schedule cosine",
                                 120),
                     0);
    assert_true(number_behind(out, ", loss ") < 0.01);
    free(out);
}

/* Where the last layer leaves one value a channel, 18 clips in batches of 17 are one batch; a batch of one
 * clip is refused before the first step. */
static void no_batch_of_one(void **state)
{
    (void)state;
    assert_int_equal(
        TRAIN_VIDEO(NULL, NULL, WHOLE "--data set/manifest.csv --out joined --batch %d --epochs 2", 17), 0);
    assert_int_equal(test_count_lines(all.dir, "joined/log.csv"), 3);
    test_failure(all.dir, "train-video", WHOLE "--data set/manifest.csv --out alone --batch 1 --quiet", 1,
                 "more than one value per channel");
    assert_int_not_equal(test_run(NULL, NULL, "ls %s", test_in(all.dir, "alone/log.csv")), 0);
}

/* ---- layers ---------------------------------------------------------------------------------------- */

/* The values of a tensor, for free(). */
static float *values_of(const char *path, const char *name, size_t *count)
{
    wt_file *weights;
    assert_int_equal(wt_open(all.ctx, test_in(all.dir, path), &weights), TN_OK);
    const wt_entry *entry = wt_find(weights, name);
    assert_non_null(entry);
    *count = entry->count;
    float *values = calloc(entry->count, sizeof *values);
    assert_non_null(values);
    assert_int_equal(wt_read(all.ctx, weights, entry, values, entry->count), TN_OK);
    wt_close(weights);
    return values;
}

/* Whether the tensor has other values in `path` than in the weights to begin with. */
static bool changed(const char *path, const char *name)
{
    size_t n, m;
    float *before = values_of("w.safetensors", name, &n), *after = values_of(path, name, &m);
    assert_int_equal(n, m);
    const bool differs = memcmp(before, after, n * sizeof *before) != 0;
    free(before);
    free(after);
    return differs;
}

/* From the named layer on everything changes, and nothing before it; statistics only in the trained mode. */
static void trains_from_a_layer_on(void **state)
{
    (void)state;
    static const struct {
        const char *unfreeze, *norm, *same, *other, *statistics;
    } cases[] = {
        {"layer4", "train", "layer3.0.conv3.weight", "layer4.0.conv1.weight", "layer4.0.bn1.running_mean"},
        {"layer4", "frozen", "layer3.0.bn3.running_var", "layer4.0.bn1.weight", NULL},
        {"layer4.0.conv3", "train", "layer4.0.conv2.weight", "layer4.0.conv3.weight",
         "layer4.0.bn3.running_var"},
        {"all", "frozen", NULL, "conv1.weight", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(TRAIN_VIDEO(NULL, NULL,
                                     HEAD "--data set/manifest.csv --out deep%zu --epochs 1 --unfreeze %s "
                                          "--batch-norm %s",
                                     i, cases[i].unfreeze, cases[i].norm),
                         0);
        char *path = test_text("deep%zu/video.safetensors", i);
        assert_true(changed(path, cases[i].other));
        if (cases[i].same)
            assert_false(changed(path, cases[i].same));
        if (cases[i].statistics)
            assert_true(changed(path, cases[i].statistics));
        else
            assert_false(changed(path, "layer4.0.bn1.running_mean"));
        assert_false(changed(path, "bn1.running_mean"));
        free(path);
    }
}

/* ---- features -------------------------------------------------------------------------------------- */

/* Only what a cut-off cache lacks is computed again, and nothing where pictures and weights are the same;
 * another number of frames and a changed picture are other features. */
static void features_are_computed_once(void **state)
{
    (void)state;
    char *err;
    assert_int_equal(TRAIN_VIDEO(NULL, &err, ONCE, 4), 0);
    test_has(err, "features: 30 clips computed, 0 from");
    free(err);
    assert_int_equal(test_run(NULL, NULL,
                              "cd %s && cp once/video.safetensors before.safetensors && "
                              "cp once/features.cache before.cache",
                              all.dir),
                     0);
    size_t size;
    unsigned char *cache = test_read_file(test_in(all.dir, "once/features.cache"), &size);
    test_write_file(test_in(all.dir, "once/features.cache"), cache,
                    size / 2); /* a header and 14 whole records */
    free(cache);
    assert_int_equal(TRAIN_VIDEO(NULL, &err, ONCE, 4), 0);
    test_has(err, "features: 16 clips computed, 14 from");
    free(err);
    test_same_files(all.dir, "once/video.safetensors", "before.safetensors");
    test_same_files(all.dir, "once/features.cache", "before.cache"); /* whichever clips were missing */
    assert_int_equal(TRAIN_VIDEO(NULL, &err, ONCE, 4), 0);
    test_has(err, "features: 0 clips computed, 30 from");
    free(err);
    assert_int_equal(TRAIN_VIDEO(NULL, &err, ONCE, 3), 0);
    test_has(err, "features: 30 clips computed, 0 from");
    free(err);
    assert_int_equal(test_run(NULL, NULL,
                              "cd %s/set/clips && cp 1_2/frames/0001.png keep.png && "
                              "cp 1_1/frames/0001.png 1_2/frames/0001.png",
                              all.dir),
                     0);
    assert_int_equal(TRAIN_VIDEO(NULL, &err, ONCE, 4), 0);
    test_has(err, "features: 1 clips computed, 29 from");
    free(err);
    assert_int_equal(test_run(NULL, NULL, "cd %s/set/clips && mv keep.png 1_2/frames/0001.png", all.dir), 0);
}

/* ---- reading ahead --------------------------------------------------------------------------------- */

/* How many clips a run says that it computed, and had. */
static void read_counts(const char *err, int *computed, int *had)
{
    const char *line = strstr(err, "features: ");
    assert_non_null(line);
    assert_int_equal(sscanf(line, "features: %d clips computed, %d from", computed, had), 2);
}

/* The clips of the split to learn from that the list has before the one of that name. */
static int clips_before(const char *name)
{
    char *text = (char *)test_read_file(test_in(all.dir, "set/manifest.csv"), NULL), *rest = text;
    int count = 0;
    bool found = false;
    for (char *line = strtok_r(text, "\r\n", &rest); line && !found; line = strtok_r(NULL, "\r\n", &rest)) {
        found = strncmp(line, name, strlen(name)) == 0;
        count += !found && strstr(line, ",train,");
    }
    assert_true(found);
    free(text);
    return count;
}

/* A clip that cannot be read ends the run with its message; those before it stay, and when it is mended all
 * are what they would have been. */
static void a_bad_clip_loses_none_before_it(void **state)
{
    (void)state;
    assert_int_equal(TRAIN_VIDEO(NULL, NULL, HEAD "--data set/manifest.csv --out good --epochs %d", 1), 0);
    for (int threads = 1; threads <= 3; threads++) {
        char *err, *out = test_text("bad%d", threads);
        char *command =
            test_text(HEAD "--data set/manifest.csv --quiet --epochs 1 --threads %d --out %s", threads, out);
        assert_int_equal(test_run(NULL, NULL,
                                  "cd %s/set/clips && mv 6_2/frames/0001.png keep.png && "
                                  "head -c 60 keep.png > 6_2/frames/0001.png",
                                  all.dir),
                         0);
        test_failure(all.dir, "train-video", command, 1, "6_2/frames/0001.png: ");
        assert_int_equal(test_run(NULL, NULL, "cd %s/set/clips && mv keep.png 6_2/frames/0001.png", all.dir),
                         0);
        assert_int_equal(TRAIN_VIDEO(NULL, &err, HEAD "--data set/manifest.csv --epochs 1 --out %s", out), 0);
        int computed, had;
        read_counts(err, &computed, &had);
        assert_true(had > 0 && computed > 0 && computed + had == 30);
        assert_int_equal(had, clips_before("6_2"));
        free(err);
        char *cache = test_text("%s/features.cache", out);
        test_same_files(all.dir, "good/features.cache", cache);
        free(cache);
        free(command);
        free(out);
    }
}

/* Signals while features are computed: what was computed stays, and the next run ends with the bytes that one
 * run would have written. The clips are long, so that there is time. */
static void features_survive_signals(void **state)
{
    (void)state;
    static const char *const signals[] = {"INT", "TERM", "KILL"};
    static const int status[] = {130, 130, 137};
#define LONG HEAD "--data set/manifest.csv --epochs 1 --num-frames 200"
    assert_int_equal(TRAIN_VIDEO(NULL, NULL, LONG " --out long%s", ""), 0);
    for (size_t i = 0; i < sizeof status / sizeof *status; i++) {
        char *out, *err, *cache = test_text("long%s/features.cache", signals[i]);
        assert_int_equal(test_run(&out, NULL,
                                  "cd %s && { %s " LONG " --threads %zu --out long%s & pid=$!; "
                                  "while [ $(stat -c %%s %s 2>/dev/null || echo 0) -lt 500 ]; do :; done; "
                                  "kill -%s $pid; wait $pid; echo status $?; }",
                                  all.dir, test_program("train-video"), i + 1, signals[i], cache, signals[i]),
                         0);
        char *want = test_text("status %d", status[i]);
        test_has(out, want);
        free(want);
        free(out);
        assert_int_equal(TRAIN_VIDEO(NULL, &err, LONG " --out long%s", signals[i]), 0);
        int computed, had;
        read_counts(err, &computed, &had);
        assert_true(had > 0 && computed > 0 && computed + had == 30);
        free(err);
        test_same_files(all.dir, "long/features.cache", cache);
        free(cache);
    }
#undef LONG
}

/* Video files: features are the same with any number of threads, and a signal to all processes of the run, as
 * Ctrl-C sends it, ends it as it should and leaves no decoder behind. */
static void no_decoder_is_left_behind(void **state)
{
    (void)state;
    if (!test_have_ffmpeg())
        skip();
    assert_int_equal(
        test_run(
            NULL, NULL,
            "cd %s && mkdir films bin && echo name,frames,audio,label,split > films.csv && "
            "for i in 1 2 3 4 5 6 7 8; do ffmpeg -nostdin -v error -f lavfi -i "
            "testsrc=s=64x48:r=10:d=$i -c:v mpeg4 films/$i.avi && "
            "echo $i,films/$i.avi,,$([ $i -gt 4 ] && echo a || echo b),train >> films.csv || exit; done; "
            "printf '#!/bin/sh\\necho $$ >> %s/pids\\nexec %%s \"$@\"\\n' $(command -v ffmpeg) > "
            "bin/ffmpeg && chmod +x bin/ffmpeg",
            all.dir, all.dir),
        0);
#define FILMS HEAD "--data films.csv --val-split none --test-split none --epochs 1 --quiet"
    assert_int_equal(TRAIN_VIDEO(NULL, NULL, FILMS " --threads %d --out films1", 1), 0);
    assert_int_equal(TRAIN_VIDEO(NULL, NULL, FILMS " --threads %d --out films3", 3), 0);
    test_same_files(all.dir, "films1/features.cache", "films3/features.cache");
    char *out, *err;
    assert_int_equal(test_run(&out, &err,
                              "cd %s && { PATH=%s/bin:$PATH setsid %s " FILMS
                              " --threads 2 --out films2 & pid=$!; "
                              "while [ ! -s pids ]; do :; done; kill -INT -$pid; wait $pid; echo status $?; "
                              "for i in $(cat pids); do ! kill -0 $i 2>/dev/null || echo $i is left; done; }",
                              all.dir, all.dir, test_program("train-video")),
                     0);
    test_has(out, "status 130");
    assert_null(strstr(out, "is left"));
    assert_null(strstr(err, "ffmpeg gave"));
    free(out);
    free(err);
    assert_int_equal(TRAIN_VIDEO(NULL, NULL, FILMS " --threads %d --out films2", 2), 0);
    test_same_files(all.dir, "films1/features.cache", "films2/features.cache");
#undef FILMS
}

/* ---- going on -------------------------------------------------------------------------------------- */

static void goes_on_bit_for_bit(void **state)
{
    (void)state;
    assert_int_equal(
        TRAIN_VIDEO(NULL, NULL, HEAD "--data set/manifest.csv --out straight --epochs 6 --threads %d", 1), 0);
    for (int epochs = 2; epochs <= 6; epochs += 2)
        assert_int_equal(TRAIN_VIDEO(NULL, NULL,
                                     HEAD "--data set/manifest.csv --out parts --epochs %d --threads %d %s",
                                     epochs, epochs / 2, epochs > 2 ? "--resume" : ""),
                         0);
    test_same_files(all.dir, "straight/video.checkpoint.safetensors", "parts/video.checkpoint.safetensors");
    test_same_files(all.dir, "straight/video.safetensors", "parts/video.safetensors");
    test_same_files(all.dir, "straight/scores.val.csv", "parts/scores.val.csv");
    assert_int_equal(test_count_lines(all.dir, "parts/log.csv"), 7);
    /* another number of threads from the very beginning, features included */
    assert_int_equal(
        TRAIN_VIDEO(NULL, NULL, HEAD "--data set/manifest.csv --out three --epochs 6 --threads %d", 3), 0);
    test_same_files(all.dir, "straight/video.safetensors", "three/video.safetensors");
    test_same_files(all.dir, "straight/features.cache", "three/features.cache");
}

/* Augmentation, threads, what is kept in memory and interruptions change nothing. */
static void a_whole_network_goes_on_bit_for_bit(void **state)
{
    (void)state;
    assert_int_equal(TRAIN_VIDEO(NULL, NULL,
                                 WHOLE "--data set/manifest.csv --out whole1 --flip --crop 0.7 --epochs %d "
                                       "--threads 1",
                                 3),
                     0);
    for (int epochs = 1; epochs <= 3; epochs++)
        assert_int_equal(TRAIN_VIDEO(NULL, NULL,
                                     WHOLE "--data set/manifest.csv --out whole2 --flip --crop 0.7 "
                                           "--epochs %d --threads %d --memory %d %s",
                                     epochs, epochs, epochs == 2 ? 0 : 100, epochs > 1 ? "--resume" : ""),
                         0);
    test_same_files(all.dir, "whole1/video.checkpoint.safetensors", "whole2/video.checkpoint.safetensors");
    test_same_files(all.dir, "whole1/video.safetensors", "whole2/video.safetensors");
    test_same_files(all.dir, "whole1/scores.val.csv", "whole2/scores.val.csv");
}

static void a_signal_saves(void **state)
{
    (void)state;
    enum { EPOCHS = 150 };
    char *out, *err;
    assert_int_equal(test_run(&out, &err,
                              "cd %s && { %s " HEAD "--data set/manifest.csv --out cut --epochs %d & "
                              "pid=$!; while [ ! -e cut/log.csv ]; do sleep 0.01; done; kill -INT $pid; "
                              "wait $pid; echo status $?; }",
                              all.dir, test_program("train-video"), EPOCHS),
                     0);
    test_has(out, "status 130");
    test_has(err, "interrupted and saved");
    free(out);
    free(err);
    assert_true(test_count_lines(all.dir, "cut/log.csv") < EPOCHS);
    assert_int_equal(
        TRAIN_VIDEO(NULL, NULL, HEAD "--data set/manifest.csv --out cut --epochs %d --resume", EPOCHS), 0);
    assert_int_equal(TRAIN_VIDEO(NULL, NULL, HEAD "--data set/manifest.csv --out whole --epochs %d", EPOCHS),
                     0);
    test_same_files(all.dir, "whole/video.checkpoint.safetensors", "cut/video.checkpoint.safetensors");
    test_same_files(all.dir, "whole/video.safetensors", "cut/video.safetensors");
}

/* ---- out of fold ----------------------------------------------------------------------------------- */

/* Of each kind of run: all clips once, in the order of scores.train.csv; again, with other threads and in two
 * parts, the same. Folds take no features of their own. */
static void scores_out_of_fold(void **state)
{
    (void)state;
    static const char *const kind[] = {HEAD, HEAD "--unfreeze layer4 --flip ", WHOLE};
    for (size_t i = 0; i < sizeof kind / sizeof *kind; i++) {
        char *err;
        assert_int_equal(test_run(NULL, &err,
                                  "cd %s && %s %s --data set/manifest.csv --out fair%zu --epochs 2 --oof 3 "
                                  "--threads 1",
                                  all.dir, test_program("train-video"), kind[i], i),
                         0);
        if (i == 0)
            test_has(err, "features: 30 clips computed, 0 from");
        test_has(err, "fold 3/3: 2 epochs");
        free(err);
        for (int epochs = 1; epochs <= 2; epochs++)
            assert_int_equal(test_run(NULL, NULL,
                                      "cd %s && %s %s --data set/manifest.csv --out fair%zub --epochs %d "
                                      "--oof 3 --threads 3 %s",
                                      all.dir, test_program("train-video"), kind[i], i, epochs,
                                      epochs > 1 ? "--resume" : ""),
                             0);
        char *a = test_text("fair%zu/scores.oof.csv", i), *b = test_text("fair%zub/scores.oof.csv", i);
        test_same_files(all.dir, a, b);
        assert_int_equal(test_run(NULL, NULL,
                                  "cd %s/fair%zu && cut -d, -f1,2,4-6 scores.oof.csv > a && "
                                  "cut -d, -f1,2,4-6 scores.train.csv | cmp - a && "
                                  "! cmp -s scores.oof.csv scores.train.csv",
                                  all.dir, i),
                         0);
        free(a);
        free(b);
    }
}

/* ---- mistakes -------------------------------------------------------------------------------------- */

static void mistakes(void **state)
{
    (void)state;
    static const test_mistake cases[] = {
        {"--data set/manifest.csv --out x", 2, "expected one of --video-weights"},
        {HEAD "--data set/manifest.csv", 2, "expected --data and --out"},
        {HEAD "--data set/manifest.csv --out x --width 4", 2, "expected one of --video-weights and --width"},
        {HEAD "--data set/manifest.csv --out x --flip", 2, "want --unfreeze"},
        {HEAD "--data set/manifest.csv --out x --batch-norm no", 2, "--batch-norm no"},
        {HEAD "--data set/manifest.csv --out x --unfreeze layer9", 1, "--unfreeze layer9: expected all"},
        {"--data set/manifest.csv --out x --width 4 --blocks 1,2,3", 2, "--blocks 1,2,3"},
        {"--data set/manifest.csv --out x --width 4 --unfreeze layer4", 2, "all of a new network"},
        {"--data set/manifest.csv --out x --width 4 --batch-norm frozen", 2, "no statistics"},
        {WHOLE "--data set/manifest.csv --out x --lr 1e3 --optimizer sgd --epochs 9 --quiet", 1,
         "not a finite number"},
        {HEAD "--data set/manifest.csv --out x --batch 0", 2, "batch"},
        {HEAD "--data none.csv --out x", 1, "none.csv"},
        {"--data set/manifest.csv --out x --video-weights none.safetensors", 1, "none.safetensors"},
        {"--data set/manifest.csv --out x --video-weights a.safetensors", 1,
         "audio where weights of the video network are expected"},
        {"--data set/manifest.csv --out x --video-weights set/manifest.csv", 1, "manifest.csv"},
        {HEAD "--data set/manifest.csv --out w.safetensors", 1,
         "w.safetensors: cannot be made: a file of that name is there"},
        {HEAD "--data set/manifest.csv --out w.safetensors/x", 1, "w.safetensors: cannot be made"},
        {HEAD "--data set/manifest.csv --out x --val-split dev", 1, "dev"},
        {HEAD "--data set/two.csv --out x --val-split none --quiet", 1,
         "no clip of class positive in split train has frames"},
        {HEAD "--data set/gone.csv --out x --val-split none", 1, "clips/9_9/frames"},
        {HEAD "--data set/bad.csv --out x --val-split none", 1, "0.png"},
    };
    write_list("two.csv", "ne", 0,
               "a,clips/1_1/frames,,neutral,train,,\nb,,clips/1_1/audio.wav,positive,train,,\n");
    write_list("gone.csv", ",", 0,
               "a,clips/1_1/frames,,neutral,train,,\nb,clips/9_9/frames,,positive,train,,\n");
    write_list("bad.csv", ",", 0, "a,clips/1_1/frames,,neutral,train,,\nb,bad,,positive,train,,\n");
    assert_int_equal(test_run(NULL, NULL, "cd %s/set && mkdir bad && echo no picture > bad/0.png", all.dir),
                     0);
    test_failures(all.dir, "train-video", cases, sizeof cases / sizeof cases[0]);
}

/* Another run's checkpoint; a head that is gone; no room on the disk. */
static void cannot_go_on(void **state)
{
    (void)state;
    assert_int_equal(TRAIN_VIDEO(NULL, NULL, HEAD "--data set/manifest.csv --out run --epochs %d", 1), 0);
    test_failure(all.dir, "train-video",
                 HEAD "--data set/manifest.csv --out run --resume --quiet --weight-decay 1", 1,
                 "saved with set.weight-decay = 0, this run has 1");
    test_failure(all.dir, "train-video",
                 HEAD "--data set/sixteen.csv --val-split none --out run --resume --quiet", 1,
                 "set.data-hash");
    assert_int_equal(test_run(NULL, NULL, "cd %s && rm run/video.head.safetensors", all.dir), 0);
    test_failure(all.dir, "train-video", HEAD "--data set/manifest.csv --out run --resume --quiet", 1,
                 "video.head.safetensors is missing");
    char *err;
    assert_int_equal(test_run(NULL, &err,
                              "cd %s && ulimit -f 8 && %s " HEAD "--data set/manifest.csv --out full --quiet",
                              all.dir, test_program("train-video")),
                     1);
    test_has(err, "full/features.cache");
    free(err);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(head_learns),
        cmocka_unit_test(infer_opens_the_result),
        cmocka_unit_test(head_overfits_sixteen_clips),
        cmocka_unit_test(a_new_network_learns),
        cmocka_unit_test(a_whole_network_overfits_sixteen_clips),
        cmocka_unit_test(no_batch_of_one),
        cmocka_unit_test(trains_from_a_layer_on),
        cmocka_unit_test(features_are_computed_once),
        cmocka_unit_test(a_bad_clip_loses_none_before_it),
        cmocka_unit_test(features_survive_signals),
        cmocka_unit_test(no_decoder_is_left_behind),
        cmocka_unit_test(goes_on_bit_for_bit),
        cmocka_unit_test(a_whole_network_goes_on_bit_for_bit),
        cmocka_unit_test(a_signal_saves),
        cmocka_unit_test(scores_out_of_fold),
        cmocka_unit_test(mistakes),
        cmocka_unit_test(cannot_go_on),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
