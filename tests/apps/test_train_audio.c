/* The program train-audio: it learns tones, goes on bit for bit, tells what it leaves out and what is wrong.
 */
#include "tests/common/files.h"
#include "tests/common/programs.h"

#include "data/data.h"
#include "nn/nn.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { RATE = 8000, TRAIN = 24, VAL = 9 };

static struct {
    char *dir; /* with everything below */
} all;

/* A small network and short runs. */
#define SMALL "--dense 16 --cells 8 --batch 7 --bucket 2 --lr 0.01 --dropout 0.2 --input-dropout 0.2 "

#define TRAIN_AUDIO(out, err, format, ...)                                                                   \
    test_run((out), (err), "cd %s && %s " SMALL format, all.dir, test_program("train-audio"), __VA_ARGS__)

/* A mono WAV file with a tone of that frequency in noise. */
static void write_tone(const char *path, int samples, double hertz, uint64_t seed)
{
    test_bytes b = {0};
    const uint32_t bytes = 2 * (uint32_t)samples;
    test_put_text(&b, "RIFF");
    test_put_int(&b, 36 + bytes, 4);
    test_put_text(&b, "WAVEfmt ");
    test_put_int(&b, 16, 4);
    test_put_int(&b, 1, 2);
    test_put_int(&b, 1, 2);
    test_put_int(&b, RATE, 4);
    test_put_int(&b, 2 * RATE, 4);
    test_put_int(&b, 2, 2);
    test_put_int(&b, 16, 2);
    test_put_text(&b, "data");
    test_put_int(&b, bytes, 4);
    for (int i = 0; i < samples; i++) {
        const double noise = 2 * (double)tn_uniform(seed, 1, (uint64_t)i) - 1;
        const double x = hertz > 0 ? 6000 * sin(6.2831853 * hertz * i / RATE) + 3000 * noise : 0;
        test_put_int(&b, (uint64_t)(int64_t)x & 0xFFFF, 2);
    }
    test_write_file(path, b.data, b.size);
    free(b.data);
}

/* Three classes of tones; and a list with clips that cannot be used besides. */
static int set_up(void **state)
{
    (void)state;
    static const char *const classes[] = {"positive", "neutral", "negative"};
    test_bytes list = {0};
    all.dir = test_make_dir();
    test_put_text(&list, "name,frames,audio,label,split\n");
    for (int i = 0; i < TRAIN + VAL; i++) {
        char *name = test_text("%d.wav", i);
        char *line = test_text("c%d,,%s,%s,%s\n", i, name, classes[i % 3], i < TRAIN ? "train" : "val");
        write_tone(test_in(all.dir, name), 800 + 157 * (i % 10), 400 * (1 + i % 3) + 9 * (i * 7 % 33),
                   (uint64_t)i);
        test_put_text(&list, line);
        free(name);
        free(line);
    }
    test_write_file(test_in(all.dir, "list.csv"), list.data, list.size);
    write_tone(test_in(all.dir, "silent.wav"), 2000, 0, 0);
    write_tone(test_in(all.dir, "short.wav"), 100, 500, 0);
    assert_int_equal(mkdir(test_in(all.dir, "frames"), 0777), 0);
    test_write_file(test_in(all.dir, "frames/1.png"), "x", 1);
    test_put_text(&list, "quiet,,silent.wav,neutral,train\nquiet2,,silent.wav,neutral,val\n"
                         "brief,,short.wav,negative,train\nmute,frames,,positive,train\n");
    test_write_file(test_in(all.dir, "odd.csv"), list.data, list.size);
    free(list.data);
    /* the same clips, and two without labels, one of them without sound */
    char *same = (char *)test_read_file(test_in(all.dir, "list.csv"), NULL);
    for (int i = 0; i < 2; i++) {
        const char *name = i ? "exam" : "test";
        char *text = test_text("%st1,,25.wav,,%s\nt2,,silent.wav,,%s\n", same, name, name);
        test_write_file(test_in(all.dir, i ? "exam.csv" : "test.csv"), text, strlen(text));
        free(text);
    }
    free(same);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    test_remove_dir(all.dir);
    return 0;
}

/* ---- learning -------------------------------------------------------------------------------------- */

/* The scores are those of the epoch that was kept: all of validation is told right, as the program said. */
static void scores_agree(void)
{
    tn_ctx *ctx = test_ctx(1, NULL);
    for (int i = 0; i < 2; i++) {
        nn_scores scores;
        assert_ok(ctx, nn_scores_read(
                           ctx, test_in(all.dir, i ? "learnt/scores.val.csv" : "learnt/scores.train.csv"),
                           &scores));
        assert_int_equal(scores.count, i ? VAL : TRAIN);
        assert_string_equal(scores.class_name[0], "positive");
        assert_string_equal(scores.row[0].name, i ? "c24" : "c0");
        assert_string_equal(scores.row[0].split, i ? "val" : "train");
        for (size_t k = 0; k < scores.count; k++) {
            assert_int_equal(scores.row[k].label, k % 3);
            if (i)
                assert_int_equal(scores.row[k].predicted, k % 3);
        }
        nn_scores_free(ctx, &scores);
    }
    tn_ctx_destroy(ctx);
}

static void learns_tones(void **state)
{
    (void)state;
    char *out, *err;
    assert_int_equal(
        TRAIN_AUDIO(&out, &err, "--data list.csv --out learnt --patience 0 --dropout 0 --epochs %d", 40), 0);
    assert_string_equal(err, "");
    test_has(out, "learnt/audio.safetensors: ");
    test_has(out, "validation accuracy 1.0000");
    free(out);
    free(err);
    test_file_has(all.dir, "learnt/settings.json", "\"positive\": 8");
    test_file_has(all.dir, "learnt/settings.json", "\"lr\": \"0.01\"");
    test_file_has(all.dir, "learnt/log.csv",
                  "epoch,loss,accuracy,uar,val_loss,val_accuracy,val_uar,learning_rate,seconds\n1,");
    assert_int_equal(test_run(&out, NULL,
                              "cd %s && %s --quiet --json --audio-weights learnt/audio.safetensors "
                              "--audio 26.wav",
                              all.dir, test_program("infer")),
                     0);
    test_has(out, "\"valence\": \"negative\"");
    free(out);
    scores_agree();
}

static void leaves_out_and_tells(void **state)
{
    (void)state;
    char *err;
    assert_int_equal(
        TRAIN_AUDIO(NULL, &err, "--data odd.csv --out odd --epochs %d --class-weights --schedule cosine", 2),
        0);
    test_has(err, "train: 1 of 27 clips left out: silent");
    test_has(err, "train: 1 of 27 clips left out: shorter than a window");
    test_has(err, "train: 1 of 27 clips left out: without sound");
    test_has(err, "val: 1 of 10 clips left out: silent");
    free(err);
    test_file_has(all.dir, "odd/settings.json", "\"clips\": 24");
    test_file_has(all.dir, "odd/settings.json", "\"shorter than a window\": 1");
}

/* Clips that are only to be scored may be without labels and change nothing of what is learnt. */
static void scores_a_test_split(void **state)
{
    (void)state;
    char *err;
    assert_int_equal(TRAIN_AUDIO(NULL, NULL, "--data list.csv --out bare --epochs %d", 2), 0);
    assert_int_equal(TRAIN_AUDIO(NULL, &err, "--data test.csv --out tested --epochs %d", 2), 0);
    test_has(err, "test: 1 of 2 clips left out: silent");
    free(err);
    test_same_files(all.dir, "bare/audio.safetensors", "tested/audio.safetensors");
    test_same_files(all.dir, "bare/scores.val.csv", "tested/scores.val.csv");
    assert_int_equal(test_count_lines(all.dir, "tested/scores.test.csv"), 2);
    test_file_has(all.dir, "tested/scores.test.csv", "\nt1,");
    test_file_has(all.dir, "tested/settings.json", "\"test\": {");
    assert_int_not_equal(test_run(NULL, NULL, "ls %s", test_in(all.dir, "bare/scores.test.csv")), 0);
    assert_int_equal(TRAIN_AUDIO(NULL, NULL, "--data exam.csv --out named --epochs %d --test-split exam", 2),
                     0);
    assert_int_equal(test_count_lines(all.dir, "named/scores.test.csv"), 2);
    assert_int_equal(
        TRAIN_AUDIO(NULL, NULL, "--data test.csv --out unasked --epochs %d --test-split none", 1), 0);
    assert_int_not_equal(test_run(NULL, NULL, "ls %s", test_in(all.dir, "unasked/scores.test.csv")), 0);
}

/* ---- going on -------------------------------------------------------------------------------------- */

static void goes_on_bit_for_bit(void **state)
{
    (void)state;
    assert_int_equal(
        TRAIN_AUDIO(NULL, NULL, "--data list.csv --out made/on/the/way/straight --epochs 6 --threads %d", 1),
        0);
    for (int epochs = 2; epochs <= 6; epochs += 2)
        assert_int_equal(TRAIN_AUDIO(NULL, NULL, "--data list.csv --out parts --epochs %d --threads %d %s",
                                     epochs, 1 + epochs / 4, epochs > 2 ? "--resume" : ""),
                         0);
    test_same_files(all.dir, "made/on/the/way/straight/audio.checkpoint.safetensors",
                    "parts/audio.checkpoint.safetensors");
    test_same_files(all.dir, "made/on/the/way/straight/audio.safetensors", "parts/audio.safetensors");
    assert_int_equal(test_count_lines(all.dir, "made/on/the/way/straight/log.csv"), 7);
    assert_int_equal(test_count_lines(all.dir, "parts/log.csv"), 7);
}

/* A signal in the middle of a run saves; going on ends where the uninterrupted run does. */
static void a_signal_saves(void **state)
{
    (void)state;
    const int epochs = 50;
    for (int i = 0; i < 2; i++) {
        char *out, *err;
        const char *name = i ? "TERM" : "INT";
        assert_int_equal(test_run(&out, &err,
                                  "cd %s && { %s " SMALL
                                  "--data list.csv --out cut%d --epochs %d --patience 0 & "
                                  "pid=$!; while [ ! -e cut%d/log.csv ]; do sleep 0.01; done; kill -%s $pid; "
                                  "wait $pid; echo status $?; }",
                                  all.dir, test_program("train-audio"), i, epochs, i, name),
                         0);
        test_has(out, "status 130");
        test_has(err, "interrupted and saved");
        free(out);
        free(err);
        char *folder = test_text("cut%d", i), *path = test_text("cut%d/audio.checkpoint.safetensors", i);
        assert_true(test_count_lines(all.dir, i ? "cut1/log.csv" : "cut0/log.csv") < epochs);
        assert_int_equal(TRAIN_AUDIO(NULL, NULL, "--data list.csv --out %s --epochs %d --patience 0 --resume",
                                     folder, epochs),
                         0);
        if (i)
            test_same_files(all.dir, "cut0/audio.checkpoint.safetensors", path);
        free(folder);
        free(path);
    }
    assert_int_equal(TRAIN_AUDIO(NULL, NULL, "--data list.csv --out whole --epochs %d --patience 0", epochs),
                     0);
    test_same_files(all.dir, "whole/audio.checkpoint.safetensors", "cut0/audio.checkpoint.safetensors");
    test_same_files(all.dir, "whole/audio.safetensors", "cut0/audio.safetensors");
}

/* A table of the layers' times on stderr, which changes nothing of the result. */
static void profile(void **state)
{
    (void)state;
    char *err;
    assert_int_equal(TRAIN_AUDIO(NULL, NULL, "--data list.csv --out unseen --epochs %d", 2), 0);
    assert_int_equal(TRAIN_AUDIO(NULL, &err, "--data list.csv --out seen --epochs %d --profile", 2), 0);
    test_has(err, "audio: ");
    test_has(err, "mean of 8 training steps");
    test_has(err, "linear+relu+dropout ");
    test_has(err, "dense1 ");
    test_has(err, "lstm ");
    test_same_files(all.dir, "unseen/audio.checkpoint.safetensors", "seen/audio.checkpoint.safetensors");
    free(err);
}

/* ---- out of fold ----------------------------------------------------------------------------------- */

enum { FOLDS = 3 };
#define OOF "--epochs 6 --oof 3 --class-weights "

/* Two clips of each recording. `fold` unless NULL: those of fold 0 are only to be scored. */
static void write_sources(const char *file, const int *fold)
{
    static const char *const classes[] = {"positive", "neutral", "negative"};
    test_bytes list = {0};
    test_put_text(&list, "name,frames,audio,label,split,source\n");
    for (int i = 0; i < TRAIN + VAL; i++) {
        const char *split = i >= TRAIN ? "val" : fold && fold[i] == 0 ? "test" : "train";
        char *line = test_text("c%d,,%d.wav,%s,%s,s%d\n", i, i, classes[i % 3], split, i / 2);
        test_put_text(&list, line);
        free(line);
    }
    test_write_file(test_in(all.dir, file), list.data, list.size);
    free(list.data);
}

static nn_scores read_scores(tn_ctx *ctx, const char *name)
{
    nn_scores scores;
    assert_ok(ctx, nn_scores_read(ctx, test_in(all.dir, name), &scores));
    return scores;
}

/* A clip's score is what a run says that has never seen its recording. */
static void scores_out_of_fold_are_of_strangers(void **state)
{
    (void)state;
    tn_ctx *ctx = test_ctx(1, NULL);
    data_manifest list;
    data_selection train;
    int fold[TRAIN];
    char *err;
    write_sources("sources.csv", NULL);
    assert_ok(ctx, data_manifest_read(ctx, test_in(all.dir, "sources.csv"), NULL, &list));
    assert_ok(ctx, data_manifest_select(ctx, &list, "train", &train));
    assert_int_equal(train.count, TRAIN);
    assert_ok(ctx, data_manifest_folds(ctx, &list, train.index, TRAIN, FOLDS, 0, fold));
    write_sources("strangers.csv", fold);
    assert_int_equal(TRAIN_AUDIO(NULL, &err, OOF "--data sources.csv --out %s", "fair"), 0);
    test_has(err, "fold 3/3: 6 epochs");
    free(err);
    assert_int_equal(
        TRAIN_AUDIO(NULL, NULL, "--epochs 6 --class-weights --data strangers.csv --out %s", "strange"), 0);
    nn_scores fair = read_scores(ctx, "fair/scores.oof.csv"),
              strange = read_scores(ctx, "strange/scores.test.csv");
    assert_int_equal(fair.count, TRAIN);
    size_t seen = 0;
    for (size_t i = 0; i < TRAIN; i++) {
        assert_string_equal(fair.row[i].name, list.item[train.index[i]].name);
        assert_string_equal(fair.row[i].split, "train");
        if (fold[i] != 0)
            continue;
        assert_string_equal(fair.row[i].name, strange.row[seen].name);
        assert_memory_equal(fair.row[i].probability, strange.row[seen].probability, 3 * sizeof(double));
        seen++;
    }
    assert_int_equal(seen, strange.count);
    assert_true(seen > 0 && seen < TRAIN);
    nn_scores_free(ctx, &fair);
    nn_scores_free(ctx, &strange);
    tn_free(ctx, train.index);
    data_manifest_free(ctx, &list);
    tn_ctx_destroy(ctx);
}

static ino_t inode_of(const char *name)
{
    struct stat info;
    assert_int_equal(stat(test_in(all.dir, name), &info), 0);
    return info.st_ino;
}

/* Stopped in the second fold: going on leaves the first alone and ends where the uninterrupted run does, with
 * other threads; the main network is that of a run without folds. */
static void folds_go_on_bit_for_bit(void **state)
{
    (void)state;
    char *out, *err;
    write_sources("sources.csv", NULL);
    assert_int_equal(
        TRAIN_AUDIO(NULL, NULL, "--epochs 60 --patience 0 --data sources.csv --out %s", "bare60"), 0);
    assert_int_equal(TRAIN_AUDIO(NULL, NULL,
                                 "--epochs 60 --patience 0 --oof 3 --data sources.csv --out %s --threads 1",
                                 "at-once"),
                     0);
    test_same_files(all.dir, "bare60/audio.safetensors", "at-once/audio.safetensors");
    assert_int_equal(
        test_run(&out, &err,
                 "cd %s && { %s " SMALL
                 "--epochs 60 --patience 0 --oof 3 --data sources.csv --out cut-fold & "
                 "pid=$!; while [ ! -e cut-fold/oof/2/log.csv ]; do sleep 0.002; done; kill -INT $pid; "
                 "wait $pid; echo status $?; }",
                 all.dir, test_program("train-audio")),
        0);
    test_has(out, "status 130");
    test_has(err, "interrupted and saved; the same command with --resume goes on");
    free(out);
    free(err);
    assert_true(test_count_lines(all.dir, "cut-fold/oof/2/log.csv") < 61);
    assert_int_not_equal(test_run(NULL, NULL, "ls %s", test_in(all.dir, "cut-fold/scores.oof.csv")), 0);
    const ino_t first = inode_of("cut-fold/oof/1/audio.checkpoint.safetensors");
    assert_int_equal(
        TRAIN_AUDIO(NULL, NULL,
                    "--epochs 60 --patience 0 --oof 3 --data sources.csv --out %s --resume --threads 3",
                    "cut-fold"),
        0);
    assert_true(first == inode_of("cut-fold/oof/1/audio.checkpoint.safetensors"));
    test_same_files(all.dir, "at-once/scores.oof.csv", "cut-fold/scores.oof.csv");
    for (int i = 1; i <= 3; i++) {
        char *a = test_text("at-once/oof/%d/audio.checkpoint.safetensors", i);
        char *b = test_text("cut-fold/oof/%d/audio.checkpoint.safetensors", i);
        test_same_files(all.dir, a, b);
        free(a);
        free(b);
    }
    assert_int_equal(TRAIN_AUDIO(NULL, &err,
                                 "--epochs 60 --patience 0 --oof 4 --data sources.csv --out %s --resume",
                                 "cut-fold"),
                     1);
    test_has(err, "cut-fold/oof/1/audio.checkpoint.safetensors: saved with set.fold = 1/3, this run has 1/4");
    free(err);
}

/* ---- mistakes -------------------------------------------------------------------------------------- */

static void mistakes(void **state)
{
    (void)state;
    static const test_mistake cases[] = {
        {"--data list.csv", 2, "expected --data and --out"},
        {"--data list.csv --out x --norm huge", 2, "--norm huge: expected train, frame or none"},
        {"--data list.csv --out x --optimizer sdg", 2, "--optimizer sdg"},
        {"--data list.csv --out x --schedule no", 2, "--schedule no"},
        {"--data list.csv --out x --epochs 0", 2, "epochs"},
        {"--data list.csv --out x --oof 1", 2, "oof"},
        {"--data list.csv --out x --oof 25 --quiet", 1, "25 folds of 24"},
        {"--data lone.csv --out x --oof 2 --val-split none --quiet", 1,
         "--oof 2: without fold 2 no clip of class b is left"},
        {"--data none.csv --out x", 1, "none.csv"},
        {"--data list.csv --out list.csv", 1, "list.csv: cannot be made"},
        {"--data list.csv --out list.csv/below", 1, "list.csv: cannot be made"},
        {"--data list.csv --out x --val-split dev", 1, "dev"},
        {"--data silent.csv --out x --quiet", 1, "no clip of class b in split train has sound"},
        {"--data text.csv --out x", 1, "text.wav: "},
    };
    test_write_file(test_in(all.dir, "text.wav"), "no sound\n", 9);
    const char silent[] = "name,frames,audio,label,split\na,,0.wav,a,train\nb,,silent.wav,b,train\n"
                          "c,,0.wav,a,val\nd,,1.wav,b,val\n";
    test_write_file(test_in(all.dir, "silent.csv"), silent, strlen(silent));
    const char text[] = "name,frames,audio,label,split\na,,0.wav,a,train\nb,,text.wav,b,train\n"
                        "c,,0.wav,a,val\nd,,1.wav,b,val\n";
    test_write_file(test_in(all.dir, "text.csv"), text, strlen(text));
    const char lone[] =
        "name,frames,audio,label,split\na,,0.wav,a,train\nb,,3.wav,a,train\nc,,1.wav,b,train\n";
    test_write_file(test_in(all.dir, "lone.csv"), lone, strlen(lone));
    test_failures(all.dir, "train-audio", cases, sizeof cases / sizeof cases[0]);
}

/* Another run's checkpoint, and a damaged one. */
static void other_checkpoints(void **state)
{
    (void)state;
    assert_int_equal(TRAIN_AUDIO(NULL, NULL, "--data list.csv --out run --epochs %d", 1), 0);
    test_failure(all.dir, "train-audio", SMALL "--data list.csv --out run --resume --quiet --weight-decay 1",
                 1, "saved with set.weight-decay = 0, this run has 1");
    test_failure(all.dir, "train-audio", SMALL "--data odd.csv --out run --resume --quiet --seed 7", 1,
                 "train.seed = 0, this run has 7");
    size_t size;
    unsigned char *bytes = test_read_file(test_in(all.dir, "run/audio.checkpoint.safetensors"), &size);
    bytes[size / 2] ^= 1;
    test_write_file(test_in(all.dir, "run/audio.checkpoint.safetensors"), bytes, size);
    free(bytes);
    test_failure(all.dir, "train-audio", SMALL "--data list.csv --out run --resume --quiet", 1, "damaged");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(learns_tones),
        cmocka_unit_test(leaves_out_and_tells),
        cmocka_unit_test(scores_a_test_split),
        cmocka_unit_test(goes_on_bit_for_bit),
        cmocka_unit_test(a_signal_saves),
        cmocka_unit_test(profile),
        cmocka_unit_test(scores_out_of_fold_are_of_strangers),
        cmocka_unit_test(folds_go_on_bit_for_bit),
        cmocka_unit_test(mistakes),
        cmocka_unit_test(other_checkpoints),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
