/* What the program infer says where weights are missing or do not fit, of every kind of bad input, and of
 * wrong usage. */
#include "tests/apps/infer.h"

#include "weights/weights.h"

#include <stdio.h>

/* ---- weights --------------------------------------------------------------------------------------- */

static void without_weights_it_says_how_to_get_them(void **state)
{
    (void)state;
    static const char *const arguments[] = {
        "--frames frames", "sound.wav", "--frames frames --audio-weights a.safetensors",
        "--frames frames --video-weights missing.safetensors",
        "--frames frames --audio sound.wav " NETWORKS " --fusion missing.svm"};
    for (size_t i = 0; i < sizeof arguments / sizeof arguments[0]; i++) {
        test_failure(all.dir, "infer", arguments[i], 1, "make demo");
        test_failure(all.dir, "infer", arguments[i], 1, "docs/weights.md");
    }
}

static void trained_weights_come_before_the_demos(void **state)
{
    (void)state;
    assert_int_equal(
        test_run(NULL, NULL,
                 "cd %s && mkdir -p tree/demo-out && cp v.safetensors tree/demo-out/video.safetensors && "
                 "cp a.safetensors tree/demo-out/audio.safetensors && cp fusion.svm tree/demo-out/",
                 all.dir),
        0);
    const char *infer = test_program("infer");
    char *out, *err;
    assert_int_equal(
        test_run(&out, &err, "cd %s/tree && %s --frames ../frames --audio ../sound.wav", all.dir, infer), 0);
    assert_true(test_is_line(err, "infer: note: ", "the demo's weights"));
    assert_non_null(strstr(out, "fused by the SVM\n"));
    free(out);
    free(err);
    /* A trained network is not fused with one that means nothing. */
    assert_int_equal(
        test_run(&out, &err,
                 "cd %s/tree && mkdir weights && cp ../v.safetensors weights/video.safetensors && "
                 "%s --frames ../frames --audio ../sound.wav",
                 all.dir, infer),
        0);
    assert_string_equal(err, "");
    assert_non_null(strstr(out, "from video (4 frames) alone\n"));
    free(out);
    free(err);
    assert_int_equal(test_run(&out, &err,
                              "cd %s/tree && cp ../a.safetensors weights/audio.safetensors && "
                              "%s --frames ../frames --audio ../sound.wav && cp ../fusion.svm weights/ && "
                              "%s --frames ../frames --audio ../sound.wav",
                              all.dir, infer, infer),
                     0);
    assert_true(test_is_line(err, "infer: note: ", "mean of both"));
    assert_non_null(strstr(out, "fused by the SVM\n"));
    free(out);
    free(err);
}

/* Writes v.safetensors again as `name` with one tensor of another shape. */
static void write_misshapen(const char *name)
{
    wt_file *file;
    assert_ok(all.ctx, wt_open(all.ctx, test_in(all.dir, "v.safetensors"), &file));
    wt_tensor *tensors = calloc((size_t)wt_count(file), sizeof *tensors);
    assert_non_null(tensors);
    for (int i = 0; i < wt_count(file); i++) {
        tensors[i] = wt_tensor_of(wt_at(file, i));
        if (strcmp(tensors[i].name, "layer2.0.bn2.weight") == 0) {
            tensors[i].data = wt_floats(wt_at(file, i));
            tensors[i].size[0] -= 1;
        }
    }
    wt_meta meta[16];
    int metas = 0;
    while (wt_metadata_at(file, metas, &meta[metas]))
        metas++;
    assert_ok(all.ctx, wt_save(all.ctx, test_in(all.dir, name), tensors, wt_count(file), meta, metas));
    free(tensors);
    wt_close(file);
}

static void bad_weights_are_refused_by_name(void **state)
{
    (void)state;
    write_misshapen("misshapen.safetensors");
    assert_int_equal(test_run(NULL, NULL, "cd %s && head -c 20000 v.safetensors > cut.safetensors", all.dir),
                     0);
    static const char *const cases[][2] = {
        {"--video-weights zero.safetensors", "zero.safetensors"},
        {"--video-weights cut.safetensors", "cut.safetensors"},
        {"--video-weights misshapen.safetensors", "layer2.0.bn2.weight"},
        {"--video-weights a.safetensors", "a.safetensors"},
        {"--video-weights sound.wav", "sound.wav"},
        {"--video-weights nameless.safetensors", "7 classes"},
        {"--video-weights nameless.safetensors --labels three.txt", "7 classes, but 3"},
        {"--video-weights v.safetensors --labels seven.txt", "3 classes, but 7"},
        {"--video-weights v.safetensors --labels missing.txt", "missing.txt"},
        {"--activities 2 --video-weights nameless.safetensors --labels three.txt", "7 classes, but 3"},
        {"--audio sound.wav --video-weights two.safetensors --audio-weights a.safetensors",
         "good, plain, bad"},
        {"--audio sound.wav --video-weights v.safetensors --audio-weights v.safetensors", "v.safetensors"},
        {"--audio sound.wav " NETWORKS " --fusion two.svm", "2 classes"},
        {"--audio sound.wav " NETWORKS " --fusion three.txt", "three.txt"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char arguments[512];
        snprintf(arguments, sizeof arguments, "--frames frames %s", cases[i][0]);
        test_failure(all.dir, "infer", arguments, 1, cases[i][1]);
    }
}

/* ---- bad input ------------------------------------------------------------------------------------- */

static void bad_clips_give_one_line_that_names_them(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"--frames missing", "missing"},
        {"--frames empty", "empty"},
        {"--frames broken", "3.png"},
        {"--frames sound.wav", "sound.wav"},
        {"--frames frames --audio missing.wav", "missing.wav"},
        {"--frames frames --audio text.wav", "text.wav"},
        {"--frames frames --audio zero.wav", "zero.wav"},
        {"--frames frames --audio empty", "empty"},
        {"missing.wav", "missing.wav"},
        {"text.wav", "text.wav: not a sound file"},
        {"zero.wav", "zero.wav"},
        {"missing.mp4", "missing.mp4"},
        {"-- --frames", "--frames"},
        {"\"$(printf 'two\\nlines.wav')\"", "two\\x0alines.wav"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char arguments[512];
        snprintf(arguments, sizeof arguments, NETWORKS " %s", cases[i][0]);
        test_failure(all.dir, "infer", arguments, 1, cases[i][1]);
    }
}

static void bad_video_files_give_one_line_that_names_them(void **state)
{
    (void)state;
    if (!test_have_ffmpeg()) {
        printf("skip: no ffmpeg\n");
        skip();
    }
    static const char *const cases[] = {"text.mp4", "zero.mp4", "--video text.wav", "--video empty",
                                        "fusion.svm"};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char arguments[512];
        snprintf(arguments, sizeof arguments, NETWORKS " %s", cases[i]);
        test_failure(all.dir, "infer", arguments, 1,
                     strrchr(cases[i], ' ') ? strrchr(cases[i], ' ') + 1 : cases[i]);
    }
}

static void wrong_usage_is_two(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"", "--frames"},
        {"--no-such-option", "--no-such-option"},
        {"-x", "-x"},
        {"--frames", "--frames"},
        {"--frames ''", "--frames"},
        {"--json=yes sound.wav", "--json"},
        {"--frames frames --video clip.avi", "--video"},
        {"--frames frames sound.wav", "sound.wav"},
        {"frames growing --audio sound.wav", "--audio"},
        {"sound.wav --audio sound.wav", "sound.wav"},
        {"--num-frames 0 frames", "--num-frames"},
        {"--num-frames 2.5 frames", "--num-frames"},
        {"--num-frames ten frames", "--num-frames"},
        {"--num-frames 99999 frames", "--num-frames"},
        {"--threads 0 frames", "--threads"},
        {"--threads -1 frames", "--threads"},
        {"--threads 1e999 frames", "--threads"},
        {"--activities 0 frames", "--activities"},
        {"--precision fp16 frames", "--precision"},
        {"--precision '' frames", "--precision"},
        {"--precision", "--precision"},
        {"--activities 5 --audio sound.wav frames", "--activities"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        test_failure(all.dir, "infer", cases[i][0], 2, cases[i][1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_weights_it_says_how_to_get_them),
        cmocka_unit_test(trained_weights_come_before_the_demos),
        cmocka_unit_test(bad_weights_are_refused_by_name),
        cmocka_unit_test(bad_clips_give_one_line_that_names_them),
        cmocka_unit_test(bad_video_files_give_one_line_that_names_them),
        cmocka_unit_test(wrong_usage_is_two),
    };
    return cmocka_run_group_tests_name("infer refuses", tests, set_up, tear_down);
}
