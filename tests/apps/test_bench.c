/* bin/bench: what it prints, as text and as JSON. Times themselves prove nothing on a shared machine. */
#include "tests/common/programs.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static double number(const json_t *object, const char *name)
{
    const json_t *value = json_object_get(object, name);
    assert_true(json_is_number(value));
    return json_number_value(value);
}

static json_t *measure(const char *arguments)
{
    char *out, *err;
    assert_int_equal(
        test_run(&out, &err, "%s %s --json --runs 3 --threads 2", test_program("bench"), arguments), 0);
    assert_string_equal(err, "");
    json_t *object = json_loads(out, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(object);
    assert_true(number(object, "seconds") > 0);
    assert_true(number(object, "lowest") <= number(object, "seconds"));
    assert_true(number(object, "seconds") <= number(object, "highest"));
    assert_true(number(object, "cpu_seconds") > 0);
    assert_true(number(object, "peak_rss_mb") > 1 && number(object, "peak_rss_mb") < 4000);
    assert_int_equal(number(object, "threads"), 2);
    free(out);
    free(err);
    return object;
}

/* Work per second is what the sizes say, and its share that of the peak of both threads. */
static void benchmarks_of_the_network_count_its_work(void **state)
{
    (void)state;
    json_t *answer = measure("audio --windows 20 --batch 3"),
           *step = measure("train-audio --windows 20 --batch 3");
    const double products = 3 * 20 * 2.0 * (34 * 512 + 512 * 512 + 2 * 512 * (512 + 128));
    for (int i = 0; i < 2; i++) {
        const json_t *object = i ? step : answer;
        const double flops = number(object, "gflops") * 1e9 * number(object, "seconds") / (i ? 3 : 1);
        assert_true(flops > products && flops < 1.05 * products);
        assert_true(
            fabs(number(object, "peak_share") * number(object, "peak_gflops") / number(object, "gflops") -
                 1) < 1e-3);
    }
    json_decref(answer);
    json_decref(step);
}

/* 79.7 GFLOP for 16 frames; two have an eighth of most layers, and no fewer than one frame anywhere. */
static void the_video_network_is_measured(void **state)
{
    (void)state;
    json_t *object = measure("video --frames 2");
    const double flops = number(object, "gflops") * number(object, "seconds");
    assert_true(flops > 79.7 / 8 && flops < 79.7 / 4);
    assert_string_equal(json_string_value(json_object_get(object, "work")),
                        "the video network's answers of 1 x 2 frames of 224 x 224");
    assert_string_equal(json_string_value(json_object_get(object, "precision")), "fp32");
    json_decref(object);
}

/* The same work, measured against the peak of bfloat16. */
static void the_video_network_is_measured_in_bf16(void **state)
{
    (void)state;
    test_need_bf16();
    json_t *fp32 = measure("video --frames 1"), *bf16 = measure("video --frames 1 --precision bf16");
    assert_string_equal(json_string_value(json_object_get(bf16, "precision")), "bf16");
    assert_true(number(bf16, "peak_gflops") > 1.2 * number(fp32, "peak_gflops"));
    assert_true(number(bf16, "peak_rss_mb") < 0.9 * number(fp32, "peak_rss_mb"));
    assert_true(fabs(number(bf16, "gflops") * number(bf16, "seconds") /
                         (number(fp32, "gflops") * number(fp32, "seconds")) -
                     1) < 1e-3);
    json_decref(fp32);
    json_decref(bf16);
}

/* Forward, and two products for each of its own; the stem (26.4 GFLOP of 16 frames) needs no gradient of the
 * clip. */
static void a_step_of_its_training_is_measured(void **state)
{
    (void)state;
    json_t *object = measure("fine-tune --frames 2 --batch 1");
    const double flops = number(object, "gflops") * number(object, "seconds");
    assert_true(flops > (3 * 79.7 - 26.4) / 8 && flops < (3 * 79.7 - 26.4) / 4);
    assert_string_equal(json_string_value(json_object_get(object, "work")),
                        "training steps of the video network on 1 x 2 frames of 224 x 224");
    json_decref(object);
}

static void the_head_is_trained_for_250_epochs(void **state)
{
    (void)state;
    if (test_quick())
        skip();
    json_t *object = measure("train-head --batch 512");
    const double flops = number(object, "gflops") * 1e9 * number(object, "seconds");
    assert_true(fabs(flops / (250.0 * 2661 * 2048 * 3 * 4) - 1) < 1e-3);
    assert_string_equal(json_string_value(json_object_get(object, "work")),
                        "250 epochs of the video network's head on 2661 clips, batches of 512");
    json_decref(object);
}

static void features_are_measured_at_any_rate(void **state)
{
    (void)state;
    json_t *object = measure("features --rate 44100 --seconds 0.5");
    assert_string_equal(json_string_value(json_object_get(object, "work")),
                        "34 features of 0.5 s of sound at 44100 Hz, 48 windows");
    assert_true(number(object, "gflops") == 0);
    json_decref(object);
}

/* At the best of 135 points more than the 923 of 2661 of a guess are right, and less than all. */
static void the_grid_is_searched(void **state)
{
    (void)state;
    json_t *object = measure("grid --rows 150");
    int right = 0;
    assert_int_equal(sscanf(json_string_value(json_object_get(object, "work")),
                            "a grid of 135 points in 5 folds on 150 rows of 6 scores, at best %d right",
                            &right),
                     1);
    assert_true(right > 150 / 2 && right < 150);
    assert_true(number(object, "gflops") == 0 && number(object, "peak_share") == 0);
    json_decref(object);
}

static void a_machine_is_fitted(void **state)
{
    (void)state;
    json_t *object = measure("svm --rows 300");
    int vectors = 0;
    assert_int_equal(sscanf(json_string_value(json_object_get(object, "work")),
                            "a machine fitted to 300 rows of 6 scores, %d support vectors", &vectors),
                     1);
    assert_true(vectors > 2 && vectors < 300);
    assert_true(number(object, "gflops") == 0);
    json_decref(object);
}

static const char *text(const json_t *object, const char *name)
{
    const json_t *value = json_object_get(object, name);
    assert_true(json_is_string(value));
    return json_string_value(value);
}

/* Shares are those of the peak, and the median of the whole is the sum of the medians of its cases. Returns
 * how many there are. */
static size_t check_cases(const json_t *object)
{
    const json_t *cases = json_object_get(object, "cases"), *c;
    size_t i;
    double seconds = 0, cpu = 0, flops = 0;
    assert_true(json_is_array(cases));
    json_array_foreach(cases, i, c)
    {
        assert_true(text(c, "case")[0] && strstr(text(c, "shapes"), " > "));
        assert_true(number(c, "seconds") > 0 && number(c, "cpu_seconds") > 0);
        cpu += number(c, "cpu_seconds");
        assert_true(number(c, "gbytes_per_second") > 0);
        assert_true(fabs(number(c, "peak_share") * number(object, "peak_gflops") - number(c, "gflops")) <=
                    1e-3 * number(c, "gflops"));
        seconds += number(c, "seconds");
        flops += number(c, "gflops") * number(c, "seconds");
    }
    assert_true(fabs(seconds / number(object, "seconds") - 1) < 1e-3);
    assert_true(fabs(cpu / number(object, "cpu_seconds") - 1) < 1e-3);
    assert_true(fabs(flops / (number(object, "gflops") * number(object, "seconds")) - 1) < 1e-3);
    return json_array_size(cases);
}

/* Each op in turn, an answer (but for dropout, which is nothing then), forward and backward. */
static void every_op_is_measured(void **state)
{
    (void)state;
    static const char *const passes[] = {"answer", "forward", "backward"};
    json_t *object = measure("ops --small");
    size_t at = 0;
    for (int op = 0; tn_op_name(op); op++)
        for (int i = 0; tn_case_label(op, TN_SMALL_CASES, i); i++)
            for (int pass = strcmp(tn_op_name(op), "dropout") == 0; pass < 3; pass++) {
                const json_t *c = json_array_get(json_object_get(object, "cases"), at++);
                assert_string_equal(text(c, "op"), tn_op_name(op));
                assert_string_equal(text(c, "case"), tn_case_label(op, TN_SMALL_CASES, i));
                assert_string_equal(text(c, "pass"), passes[pass]);
            }
    assert_true(at > 100);
    assert_int_equal(check_cases(object), at);
    json_decref(object);
}

/* Its backward reads y and the gradient of it, and writes that of x. */
static void one_op_is_measured_on_layers(void **state)
{
    (void)state;
    json_t *object = measure("ops --op softmax");
    const json_t *c = json_array_get(json_object_get(object, "cases"), 2);
    assert_int_equal(check_cases(object), 6);
    assert_string_equal(text(object, "work"), "softmax on 2 layers, the sum of medians");
    assert_string_equal(text(c, "case"), "305 classes");
    assert_string_equal(text(c, "shapes"), "1x305 > 1x305");
    assert_string_equal(text(c, "pass"), "backward");
    const double bytes = number(c, "gbytes_per_second") * 1e9 * number(c, "seconds");
    assert_true(fabs(bytes / (4 * 305 * 3) - 1) < 1e-3);
    json_decref(object);
}

/* Products of 300 x 300, and two convolutions of known size; OpenBLAS beside them. */
static void products_are_measured_beside_openblas(void **state)
{
    (void)state;
    static const char *const ops[] = {"linear", "conv3d", "conv3d", "OpenBLAS"};
    const double flops[] = {2.0 * 300 * 300 * 300, 2.0 * 2 * 14 * 14 * 256 * 1024,
                            2.0 * 4 * 28 * 28 * 128 * 128 * 27, 2.0 * 300 * 300 * 300};
    json_t *object = measure("gemm --size 300");
    const json_t *cases = json_object_get(object, "cases");
    assert_int_equal(json_array_size(cases), 4);
    for (size_t i = 0; i < 4; i++) {
        const json_t *c = json_array_get(cases, i);
        assert_string_equal(text(c, "op"), ops[i]);
        assert_true(fabs(number(c, "gflops") * 1e9 * number(c, "seconds") / flops[i] - 1) < 1e-3);
        assert_true(number(c, "cpu_seconds") > 0);
        assert_true(fabs(number(c, "peak_share") * number(object, "peak_gflops") / number(c, "gflops") - 1) <
                    1e-3);
        /* No core does more than its peak. What is repeated in a run is divided by how often: threads that
         * wait for each other on a busy machine make less than that of a difference. Sanitizers slow our
         * peak down, and not OpenBLAS. */
        if (i < 3)
            assert_true(number(c, "peak_share") < 2 &&
                        number(c, "peak_share") > number(object, "peak_share") / 100);
    }
    assert_true(fabs(number(object, "gflops") * 1e9 * number(object, "seconds") / flops[0] - 1) < 1e-3);
    json_decref(object);
}

/* Tables go to stderr; what a step of training has more than an answer is a column. */
static void profiles_tell_backward_of_training(void **state)
{
    (void)state;
    for (int training = 0; training < 2; training++) {
        char *out, *err;
        assert_int_equal(test_run(&out, &err, "%s %s --profile --windows 9 --batch 2 --runs 1 --threads 1",
                                  test_program("bench"), training ? "train-audio" : "audio"),
                         0);
        test_has(err, training ? "mean of 2 training steps" : "mean of 2 runs");
        test_has(err, "2x9x512 > 2x9x256");
        assert_true(!strstr(err, "back ms") == !training);
        free(out);
        free(err);
    }
}

static void text_and_mistakes(void **state)
{
    (void)state;
    char *out, *err;
    assert_int_equal(test_run(&out, &err, "%s audio --windows 9 --runs 2 --threads 1", test_program("bench")),
                     0);
    test_has(out, "audio: the audio network's answers of 1 x 9 windows, 1 thread");
    test_has(out, "(median of 2; ");
    free(out);
    free(err);
    assert_int_equal(
        test_run(&out, &err, "%s ops --small --op conv3d --runs 2 --threads 1", test_program("bench")), 0);
    test_has(out, "ops: conv3d on 25 small cases, the sum of medians, 1 thread");
    test_has(out, "tiles of 4");
    free(out);
    free(err);
    test_failure(".", "bench", "nothing", 2, "there is no benchmark 'nothing'");
    test_failure(".", "bench", "ops --op nothing", 2, "there is no op 'nothing'");
    test_failure(".", "bench", "", 2, "no benchmark is named");
    test_failure(".", "bench", "audio --precision bf16", 2, "--precision");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(benchmarks_of_the_network_count_its_work),
        cmocka_unit_test(the_video_network_is_measured),
        cmocka_unit_test(the_video_network_is_measured_in_bf16),
        cmocka_unit_test(a_step_of_its_training_is_measured),
        cmocka_unit_test(the_head_is_trained_for_250_epochs),
        cmocka_unit_test(features_are_measured_at_any_rate),
        cmocka_unit_test(the_grid_is_searched),
        cmocka_unit_test(a_machine_is_fitted),
        cmocka_unit_test(every_op_is_measured),
        cmocka_unit_test(one_op_is_measured_on_layers),
        cmocka_unit_test(products_are_measured_beside_openblas),
        cmocka_unit_test(profiles_tell_backward_of_training),
        cmocka_unit_test(text_and_mistakes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
