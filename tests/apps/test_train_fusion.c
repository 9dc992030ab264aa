/* The program train-fusion: it joins what two networks say, its machine is infer's, it tells what it leaves
 * out and what is wrong. */
#include "tests/common/files.h"
#include "tests/common/programs.h"

#include "nn/nn.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CLASSES = 3 };

static char *dir; /* with everything below */

static const char *const class_name[CLASSES] = {"positive", "neutral", "negative"};

/* Small grids. */
#define SMALL "--log2c -1,3,2 --log2g -3,-1,2 -v 3 "
#define HEADER "name,label,predicted,source,faces,split,positive,neutral,negative\n"

#define TRAIN_FUSION(out, err, format, ...)                                                                  \
    test_run((out), (err), "cd %s && %s " SMALL format, dir, test_program("train-fusion"), __VA_ARGS__)

static void write_text(const char *name, const char *text)
{
    test_write_file(test_in(dir, name), text, strlen(text));
}

/* Softmax of noise that the true class is lifted out of, by the video more than by the audio. Clips come from
 * sources of three. Every fifth clip lacks sound. */
static void write_scores(const char *path, const char *split, int clips, bool audio)
{
    test_bytes b = {0};
    test_put_text(&b, HEADER);
    for (int i = 0; i < clips; i++) {
        double e[CLASSES], sum = 0;
        if (audio && i % 5 == 4)
            continue;
        for (int k = 0; k < CLASSES; k++) {
            const double noise =
                2 * (double)tn_uniform(audio ? 1 : 2, tn_hash(split), (uint64_t)(i * 3 + k)) - 1;
            e[k] = exp(1.5 * noise + (k == i % CLASSES ? audio ? 0.7 : 1.2 : 0));
            sum += e[k];
        }
        char *line = test_text("%s%d,%s,positive,s%d,%d,%s,%.17g,%.17g,%.17g\n", split, i, class_name[i % 3],
                               i / 3, i % 9, split, e[0] / sum, e[1] / sum, e[2] / sum);
        test_put_text(&b, line);
        free(line);
    }
    test_write_file(test_in(dir, path), b.data, b.size);
    free(b.data);
}

static void make_folders(const char *name)
{
    char *video = test_text("%s/video", name), *audio = test_text("%s/audio", name);
    assert_int_equal(mkdir(test_in(dir, name), 0777), 0);
    assert_int_equal(mkdir(test_in(dir, video), 0777), 0);
    assert_int_equal(mkdir(test_in(dir, audio), 0777), 0);
    free(video);
    free(audio);
}

static int set_up(void **state)
{
    (void)state;
    static const char *const splits[] = {"train", "val", "test"};
    dir = test_make_dir();
    make_folders("in");
    for (int s = 0; s < 3; s++)
        for (int audio = 0; audio < 2; audio++) {
            char *path = test_text("in/%s/scores.%s.csv", audio ? "audio" : "video", splits[s]);
            write_scores(path, splits[s], s == 0 ? 90 : s == 1 ? 45 : 20, audio);
            free(path);
        }
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    test_remove_dir(dir);
    return 0;
}

static nn_scores read_scores(tn_ctx *ctx, const char *name)
{
    nn_scores scores;
    assert_ok(ctx, nn_scores_read(ctx, test_in(dir, name), &scores));
    return scores;
}

static const nn_score *find(const nn_scores *scores, const char *name)
{
    for (size_t i = 0; i < scores->count; i++)
        if (strcmp(scores->row[i].name, name) == 0)
            return &scores->row[i];
    return NULL;
}

/* ---- right use ------------------------------------------------------------------------------------- */

/* What infer makes of the two networks' answers with this machine is in the score file, bit for bit. */
static void assert_fused(tn_ctx *ctx, const char *out)
{
    char *svm = test_text("%s/fusion.svm", out), *scores = test_text("%s/scores.test.csv", out);
    nn_scores video = read_scores(ctx, "in/video/scores.test.csv"),
              audio = read_scores(ctx, "in/audio/scores.test.csv"), fused = read_scores(ctx, scores);
    nn_fusion *fusion;
    assert_ok(ctx, nn_fusion_open(ctx, test_in(dir, svm), CLASSES, &fusion));
    assert_true(nn_fusion_is_svm(fusion) && nn_fusion_has_probability(fusion));
    assert_int_equal(fused.count, audio.count);
    for (size_t i = 0; i < fused.count; i++) {
        const nn_score *row = &fused.row[i], *v = find(&video, row->name), *a = find(&audio, row->name);
        float of_video[CLASSES], of_audio[CLASSES];
        double probability[CLASSES];
        int label;
        bool known;
        for (int k = 0; k < CLASSES; k++) {
            of_video[k] = (float)v->probability[k];
            of_audio[k] = (float)a->probability[k];
        }
        assert_ok(ctx, nn_fuse(fusion, of_video, of_audio, &label, probability, &known));
        assert_int_equal(row->predicted, label);
        assert_int_equal(row->label, v->label);
        assert_int_equal(row->faces, v->faces);
        assert_string_equal(row->source, v->source);
        assert_string_equal(row->split, "test");
        assert_memory_equal(row->probability, probability, sizeof probability);
    }
    nn_fusion_close(fusion);
    nn_scores_free(ctx, &video);
    nn_scores_free(ctx, &audio);
    nn_scores_free(ctx, &fused);
    free(svm);
    free(scores);
}

static int right_in(tn_ctx *ctx, const char *name, size_t clips)
{
    nn_scores scores = read_scores(ctx, name);
    int right = 0;
    assert_int_equal(scores.count, clips);
    for (size_t i = 0; i < scores.count; i++)
        right += scores.row[i].label == scores.row[i].predicted;
    nn_scores_free(ctx, &scores);
    return right;
}

static void learns_and_infer_takes_it(void **state)
{
    (void)state;
    char *out, *err;
    tn_ctx *ctx = test_ctx(1, NULL);
    assert_int_equal(TRAIN_FUSION(&out, &err, "--data in --out %s", "made/on/the/way"), 0);
    test_has(out, "made/on/the/way/fusion.svm: ");
    test_has(out, "/72), validation accuracy ");
    test_has(out, "/36) before the full train");
    test_has(err, "train: 18 of 90 clips left out: without audio scores\n");
    test_has(err, "val: 9 of 45 clips left out: without audio scores\n");
    free(out);
    free(err);
    assert_fused(ctx, "made/on/the/way");
    /* Better than chance by far on clips that it has not seen. */
    assert_true(right_in(ctx, "made/on/the/way/scores.val.csv", 36) >= 24);
    assert_true(right_in(ctx, "made/on/the/way/scores.train.csv", 72) >= 48);
    /* Linear: 3 costs; degrees 2 and 3 and RBF: 3 costs x 2 gammas each. */
    assert_int_equal(test_count_lines(dir, "made/on/the/way/grid.csv"), 1 + 3 + 3 * 6);
    test_file_has(dir, "made/on/the/way/grid.csv",
                  "kernel,degree,gamma,cost,correct,accuracy,best\nlinear,,,0.5,");
    test_file_has(dir, "made/on/the/way/grid.csv", "\npolynomial,3,0.125,8,");
    test_file_has(dir, "made/on/the/way/settings.json", "\"full-train\": \"1\"");
    test_file_has(dir, "made/on/the/way/settings.json", "\"without audio scores\": 18");
    assert_int_equal(
        test_run(&out, NULL, "cd %s && %s made/on/the/way/scores.val.csv", dir, test_program("evaluate")), 0);
    test_has(out, "36 clips");
    free(out);
    tn_ctx_destroy(ctx);
}

static void threads_change_no_byte(void **state)
{
    (void)state;
    static const char *const files[] = {"fusion.svm",       "grid.csv",       "settings.json",
                                        "scores.train.csv", "scores.val.csv", "scores.test.csv"};
    for (int threads = 1; threads <= 3; threads++) {
        assert_int_equal(TRAIN_FUSION(NULL, NULL, "--data in --out t%d --threads %d", threads, threads), 0);
        for (size_t f = 0; f < sizeof files / sizeof files[0]; f++) {
            char *first = test_text("t1/%s", files[f]), *other = test_text("t%d/%s", threads, files[f]);
            test_same_files(dir, first, other);
            free(first);
            free(other);
        }
    }
    assert_int_equal(TRAIN_FUSION(NULL, NULL, "--data in --out seed --seed %d", 1), 0);
    assert_int_not_equal(test_run(NULL, NULL, "cd %s && cmp t1/fusion.svm seed/fusion.svm", dir), 0);
}

/* The full train changes the machine and test's scores, not what is said of validation. */
static void full_train_sees_validation(void **state)
{
    (void)state;
    char *out;
    assert_int_equal(TRAIN_FUSION(NULL, NULL, "--data in --out %s", "full"), 0);
    assert_int_equal(TRAIN_FUSION(&out, NULL, "--data in --out %s --no-full-train", "first"), 0);
    assert_null(strstr(out, "full train"));
    free(out);
    test_same_files(dir, "full/scores.val.csv", "first/scores.val.csv");
    test_same_files(dir, "full/scores.train.csv", "first/scores.train.csv");
    test_same_files(dir, "full/grid.csv", "first/grid.csv");
    assert_int_not_equal(test_run(NULL, NULL, "cd %s && cmp full/fusion.svm first/fusion.svm", dir), 0);
    assert_int_not_equal(test_run(NULL, NULL, "cd %s && cmp full/scores.test.csv first/scores.test.csv", dir),
                         0);
}

/* --scores val: the machine sees validation only, and tells its clips by folds. --scores oof: it reads that
 * file in training's place. */
static void other_scores(void **state)
{
    (void)state;
    tn_ctx *ctx = test_ctx(1, NULL);
    char *out;
    assert_int_equal(TRAIN_FUSION(&out, NULL, "--data in --out %s --scores val", "val"), 0);
    test_has(out, "/36)\n");
    int correct;
    const char *from = strstr(out, " (");
    assert_non_null(from);
    assert_int_equal(sscanf(from, " (%d/36)", &correct), 1);
    free(out);
    assert_int_equal(right_in(ctx, "val/scores.val.csv", 36), correct);
    right_in(ctx, "val/scores.train.csv", 72);
    assert_fused(ctx, "val");
    test_failure(
        dir, "train-fusion", "--data in --out oof --scores oof", 1,
        "in/video/scores.oof.csv is missing: --scores oof needs what train-video and train-audio write "
        "with --oof K");
    assert_int_equal(TRAIN_FUSION(NULL, NULL, "--data in --out %s", "train"), 0);
    assert_int_equal(
        test_run(NULL, NULL,
                 "cd %s/in && for m in video audio; do cp $m/scores.train.csv $m/scores.oof.csv; done", dir),
        0);
    assert_int_equal(TRAIN_FUSION(NULL, NULL,
                                  "--video-scores in/video --audio-scores in/audio --out %s --scores oof",
                                  "oof"),
                     0);
    test_same_files(dir, "train/fusion.svm", "oof/fusion.svm");
    test_file_has(dir, "oof/settings.json", "\"scores\": \"oof\"");
    tn_ctx_destroy(ctx);
}

/* Without test's scores there are none of a run before either. */
static void splits_that_are_not_there(void **state)
{
    (void)state;
    char *err;
    assert_int_equal(test_run(NULL, NULL,
                              "cd %s && cp -r in some && rm some/audio/scores.test.csv && mkdir some.out && "
                              "touch some.out/scores.test.csv",
                              dir),
                     0);
    assert_int_equal(TRAIN_FUSION(NULL, &err, "--data some --out %s", "some.out"), 0);
    test_has(err, "test: only one of some/video/scores.test.csv and some/audio/scores.test.csv is there");
    free(err);
    assert_int_not_equal(access(test_in(dir, "some.out/scores.test.csv"), F_OK), 0);
    assert_int_equal(test_run(NULL, NULL, "cd %s && rm some/*/scores.val.csv", dir), 0);
    test_failure(dir, "train-fusion", "--data some --out some.out --quiet", 1,
                 "some/video/scores.val.csv is missing; --no-full-train goes without");
    assert_int_equal(TRAIN_FUSION(NULL, NULL, "--data some --out %s --no-full-train --quiet", "some.out"), 0);
}

/* What a clip is is said by the video's scores of every other clip, and by the audio's of the rest. */
static void one_network_knows_enough(void **state)
{
    (void)state;
    enum { CLIPS = 18 };
    tn_ctx *ctx = test_ctx(1, NULL);
    make_folders("half");
    for (int audio = 0; audio < 2; audio++) {
        test_bytes b = {0};
        test_put_text(&b, HEADER);
        for (int i = 0; i < CLIPS; i++) {
            const int k = i / 2 % CLASSES;
            char *known = test_text("c%d,%s,positive,s%d,%d,train", i, class_name[k], i, i % 4 / 2);
            char *blank = test_text("c%d,,positive,,,", i);
            test_put_text(&b, i % 2 == audio ? known : blank);
            test_put_text(&b, k == 0 ? ",0.5,0.25,0.25\n" : k == 1 ? ",0.25,0.5,0.25\n" : ",0.25,0.25,0.5\n");
            free(known);
            free(blank);
        }
        test_write_file(test_in(dir, audio ? "half/audio/scores.train.csv" : "half/video/scores.train.csv"),
                        b.data, b.size);
        free(b.data);
    }
    assert_int_equal(TRAIN_FUSION(NULL, NULL, "--data half --out %s --no-full-train --quiet", "half/out"), 0);
    nn_scores fused = read_scores(ctx, "half/out/scores.train.csv");
    assert_int_equal(fused.count, CLIPS);
    for (int i = 0; i < CLIPS; i++) {
        char *name = test_text("c%d", i), *source = test_text("s%d", i);
        const nn_score *row = find(&fused, name);
        assert_non_null(row);
        assert_string_equal(fused.class_name[row->label], class_name[i / 2 % CLASSES]);
        assert_string_equal(row->source, source);
        assert_string_equal(row->split, "train");
        assert_int_equal(row->faces, i % 4 / 2);
        free(name);
        free(source);
    }
    nn_scores_free(ctx, &fused);
    tn_ctx_destroy(ctx);
}

/* What was chosen is printed, and written down with what it was chosen from. */
static void what_was_chosen_is_told(void **state)
{
    (void)state;
    static const struct {
        const char *arguments, *printed;
        const char *has[3], *lacks[2]; /* settings.json */
    } cases[] = {
        {"-t 0 --log2c 1,1,1",
         "chosen/fusion.svm: linear, C 2: cross-validation accuracy ",
         {"\"chosen.kernel\": \"linear\"", "\"chosen.cost\": \"2\"", "\"kernel\": \"0\""},
         {"chosen.gamma", "chosen.degree"}},
        {"-t 1 -d 2 -r 3 --log2c 1,1,1 --log2g -2,-2,1",
         "chosen/fusion.svm: polynomial, degree 2, gamma 0.25, C 2: cross-validation accuracy ",
         {"\"chosen.degree\": \"2\"", "\"chosen.gamma\": \"0.25\"", "\"coef0\": \"3\""},
         {"chosen.nothing", "chosen.none"}},
        {"-t 2 --log2c 1,1,1 --log2g -2,-2,1",
         "chosen/fusion.svm: rbf, gamma 0.25, C 2: cross-validation",
         {"\"chosen.gamma\": \"0.25\"", "\"log2g\": \"-2", "\"chosen.correct\": \""},
         {"chosen.degree", "chosen.none"}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char *out;
        assert_int_equal(test_run(&out, NULL, "cd %s && %s -v 3 --data in --out chosen --quiet %s", dir,
                                  test_program("train-fusion"), cases[i].arguments),
                         0);
        if (strncmp(out, cases[i].printed, strlen(cases[i].printed)) != 0)
            fail_msg("%s: \"%s\", expected \"%s...\"", cases[i].arguments, out, cases[i].printed);
        free(out);
        char *text = (char *)test_read_file(test_in(dir, "chosen/settings.json"), NULL);
        for (int k = 0; k < 3; k++)
            test_has(text, cases[i].has[k]);
        for (int k = 0; k < 2; k++)
            assert_null(strstr(text, cases[i].lacks[k]));
        free(text);
    }
}

/* ---- mistakes -------------------------------------------------------------------------------------- */

static void mistakes(void **state)
{
    (void)state;
    static const struct {
        const char *video, *audio; /* the text of scores.train.csv behind the header; NULL: no file */
        const char *part;          /* of the message */
    } cases[] = {
        {NULL, "a,positive,positive,,,train,1,0,0\n", "bad/video/scores.train.csv is missing"},
        {"a,positive,positive,,,train,1,0,0\n", NULL, "bad/audio/scores.train.csv is missing"},
        {"a,positive,positive,,,train,1,0,0\n", "a,neutral,positive,,,train,1,0,0\n",
         "clip \"a\" is labelled positive in bad/video/scores.train.csv:2 but neutral in "
         "bad/audio/scores.train.csv:2"},
        {"a,neutral,positive,,,train,1,0,0\n", "a,positive,positive,,,train,1,0,0\n",
         "clip \"a\" is labelled neutral in bad/video/scores.train.csv:2 but positive in"},
        {"a,positive,positive,,,train,1,0,0\n", "a,positive,positive,,,dev,1,0,0\n",
         "clip \"a\" is of split train in bad/video/scores.train.csv:2 but dev in"},
        {"a,positive,positive,,,,1,0,0\na,positive,positive,,,,1,0,0\n", "a,positive,positive,,,,1,0,0\n",
         "bad/video/scores.train.csv:3: clip \"a\" is on line 2 already"},
        {"a,positive,positive,,,,1,0,0\n", "b,positive,positive,,,,1,0,0\n",
         "no labelled clip has both video and audio scores"},
        {"a,positive,positive,,,,1,0,0\n", "a,positive,positive,,,,,,\n",
         "no labelled clip has both video and audio scores"},
        {"a,,positive,,,,1,0,0\n", "a,,positive,,,,1,0,0\n",
         "no labelled clip has both video and audio scores"},
        {"", "", "no labelled clip has both video and audio scores"},
        {"a,positive,positive,,,,1,0,0\nb,negative,positive,,,,1,0,0\n",
         "a,positive,positive,,,,1,0,0\nb,negative,positive,,,,1,0,0\n", "no clip of class neutral has both"},
        {"a,positive,positive,x,,,1,0,0\nb,negative,positive,x,,,1,0,0\nc,neutral,neutral,y,,,0,1,0\n",
         "a,positive,positive,,,,1,0,0\nb,negative,positive,,,,1,0,0\nc,neutral,neutral,,,,0,1,0\n",
         "3 folds of 2 sources"},
    };
    make_folders("bad");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        for (int audio = 0; audio < 2; audio++) {
            const char *text = audio ? cases[i].audio : cases[i].video,
                       *name = audio ? "bad/audio/scores.train.csv" : "bad/video/scores.train.csv";
            char *all = test_text(HEADER "%s", text ? text : "");
            unlink(test_in(dir, name));
            if (text)
                write_text(name, all);
            free(all);
        }
        test_failure(dir, "train-fusion", SMALL "--data bad --out bad.out --no-full-train --quiet", 1,
                     cases[i].part);
    }
    assert_int_not_equal(access(test_in(dir, "bad.out/fusion.svm"), F_OK), 0);
}

static void other_classes(void **state)
{
    (void)state;
    static const char row[] = "a,positive,positive,,,train,1,0,0\n";
    char *text = test_text(HEADER "%s", row);
    make_folders("odd");
    write_text("odd/video/scores.train.csv", text);
    write_text("odd/audio/scores.train.csv",
               "name,label,predicted,source,faces,split,positive,negative,neutral\n"
               "a,positive,positive,,,train,1,0,0\n");
    test_failure(
        dir, "train-fusion", "--data odd --out odd.out", 1,
        "class 2 is neutral in odd/video/scores.train.csv but negative in odd/audio/scores.train.csv");
    write_text("odd/audio/scores.train.csv", "name,label,positive,neutral\na,positive,1,0\n");
    test_failure(dir, "train-fusion", "--data odd --out odd.out", 1,
                 "odd/video/scores.train.csv has 3 classes, odd/audio/scores.train.csv has 2");
    assert_int_equal(test_run(NULL, NULL,
                              "cd %s/odd && cp ../in/video/scores.train.csv video && "
                              "cp ../in/audio/scores.train.csv audio && for m in video audio; do "
                              "echo name,label,good,bad > $m/scores.val.csv; done",
                              dir),
                     0);
    test_failure(
        dir, "train-fusion", "--data odd --out odd.out --quiet", 1,
        "odd/video/scores.val.csv has other classes, or another order, than odd/video/scores.train.csv");
    assert_int_equal(test_run(NULL, NULL,
                              "cd %s/odd && for m in video audio; do head -1 $m/scores.train.csv "
                              "> $m/scores.val.csv; done",
                              dir),
                     0);
    test_failure(
        dir, "train-fusion", "--data odd --out odd.out --quiet", 1,
        "odd/video/scores.val.csv: no labelled clip has both video and audio scores; --no-full-train");
    free(text);
}

static void wrong_use(void **state)
{
    (void)state;
    static const test_mistake cases[] = {
        {"--data in", 2, "expected --data and --out"},
        {"--out x --video-scores in/video", 2, "expected --data and --out"},
        {"--data in --out x --scores all", 2, "--scores all: expected train, oof or val"},
        {"--data in --out x -t 4", 2, "-t 4: expected kernels"},
        {"--data in --out x --log2c 1,2", 2, "--log2c 1,2: expected BEGIN,END,STEP"},
        {"--data in --out x -v 1", 2, "--folds cannot be '1'"},
        {"--data none --out x", 1, "none/video/scores.train.csv is missing"},
        {"--data in --out in/video/scores.val.csv --quiet", 1, "in/video/scores.val.csv: cannot be made"},
        {"--data in --out in/video/scores.val.csv/below --quiet", 1, "cannot be made"},
        {SMALL "--data in --out taken --quiet", 1, "taken/grid.csv"},
    };
    assert_int_equal(mkdir(test_in(dir, "taken"), 0777), 0);
    assert_int_equal(mkdir(test_in(dir, "taken/grid.csv"), 0777), 0);
    test_failures(dir, "train-fusion", cases, sizeof cases / sizeof cases[0]);
    assert_int_not_equal(access(test_in(dir, "taken/fusion.svm"), F_OK), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(learns_and_infer_takes_it),
        cmocka_unit_test(threads_change_no_byte),
        cmocka_unit_test(full_train_sees_validation),
        cmocka_unit_test(other_scores),
        cmocka_unit_test(splits_that_are_not_there),
        cmocka_unit_test(one_network_knows_enough),
        cmocka_unit_test(what_was_chosen_is_told),
        cmocka_unit_test(mistakes),
        cmocka_unit_test(other_classes),
        cmocka_unit_test(wrong_use),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
