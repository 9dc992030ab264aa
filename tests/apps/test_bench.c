/* bin/bench: what it prints, as text and as JSON. Times themselves prove nothing on a shared machine. */
#include "tests/common/programs.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>

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
    json_decref(object);
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
    test_failure(".", "bench", "nothing", 2, "there is no benchmark 'nothing'");
    test_failure(".", "bench", "", 2, "which benchmark?");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(benchmarks_of_the_network_count_its_work),
        cmocka_unit_test(the_video_network_is_measured),
        cmocka_unit_test(a_step_of_its_training_is_measured),
        cmocka_unit_test(the_head_is_trained_for_250_epochs),
        cmocka_unit_test(features_are_measured_at_any_rate),
        cmocka_unit_test(text_and_mistakes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
