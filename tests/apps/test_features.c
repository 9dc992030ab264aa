/* The program features: what it writes is what the library computes, to the last bit, and bad input. */
#include "tests/common/files.h"
#include "tests/common/programs.h"

#include "data/data.h"
#include "weights/weights.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static struct {
    tn_ctx *ctx; /* for making files */
    char *dir;   /* with everything below */
} all;

#define FEATURES(out, err, format, ...)                                                                      \
    test_run((out), (err), "cd %s && %s " format, all.dir, test_program("features"), __VA_ARGS__)

static int set_up(void **state)
{
    (void)state;
    all.ctx = test_ctx(1, NULL);
    all.dir = test_make_dir();
    test_write_wav(test_in(all.dir, "sound.wav"), 8000, 8000);
    test_write_wav(test_in(all.dir, "silence.wav"), 4000, 0);
    test_write_wav(test_in(all.dir, "short.wav"), 399, 399);
    test_write_file(test_in(all.dir, "text.wav"), "no sound at all\n", 16);
    test_write_frames(all.ctx, test_in(all.dir, "frames"), 6, 0);
    assert_int_equal(mkdir(test_in(all.dir, "empty"), 0777), 0);
    assert_int_equal(test_run(NULL, NULL,
                              "cd %s && %s --video v.safetensors --num-classes 3 --width 4 --blocks 1,1,1,1 "
                              "--size 64 --num-frames 4 --seed 3 --calibrate frames",
                              all.dir, test_program("init-weights")),
                     0);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    test_remove_dir(all.dir);
    tn_ctx_destroy(all.ctx);
    return 0;
}

/* Asserts that the rest of `text` is rows of these numbers, bit for bit in their type, and nothing else. */
static void assert_rows(char *text, const double *want, size_t rows, int columns, wt_dtype dtype)
{
    for (size_t row = 0; row < rows; row++) {
        char *line = strsep(&text, "\n");
        for (int c = 0; c < columns; c++) {
            char *cell = strsep(&line, ",");
            assert_non_null(cell);
            char *end;
            const double value = dtype == WT_F64 ? strtod(cell, &end) : (double)strtof(cell, &end);
            assert_true(value == want[row * (size_t)columns + (size_t)c]);
            assert_true(*cell && !*end);
        }
        assert_null(line);
    }
    assert_string_equal(text, "");
}

static void sound_is_a_table_of_what_the_library_computes(void **state)
{
    (void)state;
    for (int harmonic = 0; harmonic < 2; harmonic++) {
        data_audio audio;
        data_features want;
        data_feature_options options = data_feature_defaults();
        options.harmonic = harmonic;
        assert_ok(all.ctx, data_audio_read(all.ctx, test_in(all.dir, "sound.wav"), 8000, &audio));
        assert_ok(all.ctx, data_features_compute(all.ctx, "x", &audio, &options, &want));
        char *out, *err;
        assert_int_equal(
            FEATURES(&out, &err, "--audio sound.wav --rate 8000 %s", harmonic ? "--harmonic" : ""), 0);
        assert_string_equal(err, "");
        char *rest = out, *header = strsep(&rest, "\n");
        for (int i = 0; i < want.width; i++)
            assert_string_equal(strsep(&header, ","), data_feature_name(i));
        assert_null(header);
        assert_rows(rest, want.value, want.windows, want.width, WT_F64);
        free(out);
        free(err);
        data_features_free(all.ctx, &want);
        data_audio_free(all.ctx, &audio);
    }
}

/* Reads a NPY file of rows x columns as doubles. */
static double *read_npy(const char *name, wt_dtype dtype, int64_t *rows, int64_t *columns)
{
    wt_file *file;
    assert_ok(all.ctx, wt_open(all.ctx, test_in(all.dir, name), &file));
    const wt_entry *entry = wt_at(file, 0);
    assert_int_equal(entry->dtype, dtype);
    assert_int_equal(entry->rank, 2);
    *rows = entry->size[0];
    *columns = entry->size[1];
    double *value = calloc(entry->count, sizeof *value);
    float *single = calloc(entry->count, sizeof *single);
    assert_true(value && single);
    if (dtype == WT_F64)
        assert_ok(all.ctx, wt_copy(all.ctx, file, entry, value, entry->count));
    else
        assert_ok(all.ctx, wt_copy(all.ctx, file, entry, single, entry->count));
    for (size_t i = 0; dtype == WT_F32 && i < entry->count; i++)
        value[i] = (double)single[i];
    free(single);
    wt_close(file);
    return value;
}

static void files_hold_the_same_numbers(void **state)
{
    (void)state;
    static const struct {
        const char *arguments; /* what to compute */
        wt_dtype dtype;        /* of the NPY file */
        int64_t rows, columns; /* shape */
    } cases[] = {
        {"--audio sound.wav", WT_F64, 48, 34},
        {"--frames frames --video-weights v.safetensors", WT_F32, 1, 128},
        {"--frames frames --video-weights v.safetensors --num-frames 7", WT_F32, 1, 128},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char *out, *text;
        assert_int_equal(FEATURES(&out, NULL, "%s", cases[i].arguments), 0);
        assert_int_equal(FEATURES(NULL, NULL, "%s -o x.npy", cases[i].arguments), 0);
        assert_int_equal(FEATURES(&text, NULL, "%s --output=x.csv", cases[i].arguments), 0);
        assert_string_equal(text, "");
        free(text);
        text = (char *)test_read_file(test_in(all.dir, "x.csv"), NULL);
        assert_string_equal(text, out);
        int64_t rows, columns;
        double *value = read_npy("x.npy", cases[i].dtype, &rows, &columns);
        assert_int_equal(rows, cases[i].rows);
        assert_int_equal(columns, cases[i].columns);
        char *rest = out;
        strsep(&rest, "\n");
        assert_rows(rest, value, (size_t)rows, (int)columns, cases[i].dtype);
        free(value);
        free(text);
        free(out);
    }
}

static void features_of_frames_do_not_depend_on_threads_but_on_the_frames(void **state)
{
    (void)state;
    char *one, *other;
    assert_int_equal(FEATURES(&one, NULL, "--threads %d --frames frames --video-weights v.safetensors", 1),
                     0);
    for (int threads = 2; threads <= 3; threads++) {
        assert_int_equal(
            FEATURES(&other, NULL, "--threads %d --frames frames --video-weights v.safetensors", threads), 0);
        assert_string_equal(other, one);
        free(other);
    }
    assert_int_equal(
        FEATURES(&other, NULL, "--num-frames %d --frames frames --video-weights v.safetensors", 6), 0);
    assert_string_not_equal(other, one);
    free(other);
    free(one);
}

static void features_of_frames_may_be_bfloat16(void **state)
{
    (void)state;
    test_need_bf16();
    char *fp32, *bf16;
    assert_int_equal(FEATURES(&fp32, NULL, "%s --frames frames --video-weights v.safetensors", ""), 0);
    assert_int_equal(
        FEATURES(&bf16, NULL, "%s --frames frames --video-weights v.safetensors", "--precision bf16"), 0);
    assert_string_not_equal(fp32, bf16);
    free(fp32);
    free(bf16);
}

static void non_numbers_are_kept_and_told(void **state)
{
    (void)state;
    char *out, *err;
    assert_int_equal(FEATURES(&out, &err, "--audio %s --eps 1e-8", "silence.wav"), 0);
    assert_non_null(strstr(err, "features: note: silence.wav: digital silence\n"));
    assert_non_null(strstr(err, "values are not finite"));
    assert_non_null(strstr(out, ",nan,"));
    free(out);
    free(err);
    assert_int_equal(FEATURES(&out, &err, "--quiet --audio %s", "silence.wav"), 0);
    assert_null(strstr(out, "nan"));
    assert_string_equal(err, "");
    free(out);
    free(err);
}

static void profile_is_a_table_on_stderr(void **state)
{
    (void)state;
    char *out, *plain, *err;
    assert_int_equal(FEATURES(&plain, &err, "%s", "--frames frames --video-weights v.safetensors"), 0);
    assert_string_equal(err, "");
    free(err);
    assert_int_equal(FEATURES(&out, &err, "%s", "--frames frames --video-weights v.safetensors --profile"),
                     0);
    assert_string_equal(out, plain);
    test_has(err, "layer1.0.conv2");
    free(err);
    free(out);
    free(plain);
}

static void bad_input_gives_one_line(void **state)
{
    (void)state;
    static const test_mistake cases[] = {
        {"--audio missing.wav", 1, "missing.wav"},
        {"--audio text.wav", 1, "text.wav"},
        {"--audio short.wav", 1, "400"},
        {"--audio sound.wav --rate 1000", 1, "1000"},
        {"--audio sound.wav -o missing/x.csv", 1, "missing/x.csv"},
        {"--audio sound.wav -o missing/x.npy", 1, "missing/x.npy"},
        {"--audio sound.wav > /dev/full", 1, "standard output"},
        {"--frames empty --video-weights v.safetensors", 1, "empty"},
        {"--frames frames --video-weights missing.safetensors", 1, "missing.safetensors"},
        {"--frames frames --video-weights sound.wav", 1, "sound.wav"},
        {"", 2, "--audio"},
        {"sound.wav", 2, "sound.wav"},
        {"--audio sound.wav --frames frames", 2, "--audio"},
        {"--frames frames", 2, "--video-weights"},
        {"--frames frames --video-weights v.safetensors --rate 8000", 2, "--rate"},
        {"--audio sound.wav --num-frames 3", 2, "--num-frames"},
        {"--audio sound.wav --precision bf16", 2, "--precision"},
        {"--frames frames --video-weights v.safetensors --precision half", 2, "--precision"},
        {"--audio sound.wav --eps 0", 2, "--eps"},
        {"--audio sound.wav --eps nan", 2, "--eps"},
        {"--audio sound.wav -o x.txt", 2, "x.txt"},
        {"--audio sound.wav -o", 2, "--output"},
    };
    test_failures(all.dir, "features", cases, sizeof cases / sizeof cases[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sound_is_a_table_of_what_the_library_computes),
        cmocka_unit_test(files_hold_the_same_numbers),
        cmocka_unit_test(features_of_frames_do_not_depend_on_threads_but_on_the_frames),
        cmocka_unit_test(features_of_frames_may_be_bfloat16),
        cmocka_unit_test(non_numbers_are_kept_and_told),
        cmocka_unit_test(profile_is_a_table_on_stderr),
        cmocka_unit_test(bad_input_gives_one_line),
    };
    return cmocka_run_group_tests_name("features", tests, set_up, tear_down);
}
