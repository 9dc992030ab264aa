/* Metrics of confusion matrices and McNemar's test, against scikit-learn and scipy, and by hand. */
#include "tests/common/memory.h"
#include "tests/common/testing.h"

#include "nn/nn.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_CLASSES = 8 };

static void assert_number(double got, double want, double bound)
{
    if (isnan(want) ? !isnan(got) : !(fabs(got - want) <= bound))
        fail_msg("%.17g, expected %.17g", got, want);
}

/* The next line of a golden file: `what` and numbers. */
static void read_numbers(FILE *file, const char *what, double *out, int count)
{
    char word[64];
    assert_int_equal(fscanf(file, "%63s", word), 1);
    assert_string_equal(word, what);
    for (int i = 0; i < count; i++)
        assert_int_equal(fscanf(file, "%lf", &out[i]), 1);
}

static void expect_rate(FILE *file, const char *what, nn_rate rate, double bound)
{
    double want[3];
    read_numbers(file, what, want, 3);
    assert_number(rate.value, want[0], 1e-15);
    assert_number(rate.interval.low, want[1], bound);
    assert_number(rate.interval.high, want[2], bound);
}

/* One matrix of the golden file, whose first word has been read. */
static void expect_matrix(tn_ctx *ctx, FILE *file)
{
    int64_t matrix[MAX_CLASSES * MAX_CLASSES];
    long long count;
    int classes;
    assert_int_equal(fscanf(file, "%*s %d", &classes), 1);
    assert_in_range(classes, 2, MAX_CLASSES);
    for (int i = 0; i < classes * classes; i++) {
        assert_int_equal(fscanf(file, "%lld", &count), 1);
        matrix[i] = count;
    }
    nn_metrics m;
    assert_ok(ctx, nn_metrics_compute(ctx, matrix, classes, &m));
    expect_rate(file, "accuracy", m.accuracy, 1e-12);
    expect_rate(file, "uar", m.uar, 1e-12);
    /* The golden file's derivatives are numeric. */
    expect_rate(file, "f1", m.f1, 1e-8);
    for (int k = 0; k < classes; k++) {
        double f1;
        expect_rate(file, "recall", m.of_class[k].recall, 1e-12);
        expect_rate(file, "precision", m.of_class[k].precision, 1e-12);
        read_numbers(file, "class_f1", &f1, 1);
        assert_number(m.of_class[k].f1, f1, 1e-15);
    }
    nn_metrics_free(ctx, &m);
}

static void numbers_are_those_of_scikit_learn_and_scipy(void **state)
{
    (void)state;
    tn_ctx *ctx = test_ctx(1, NULL);
    FILE *file = fopen("tests/golden/metrics.txt", "r");
    assert_non_null(file);
    int matrices = 0, tests = 0;
    for (char word[32]; fscanf(file, "%31s", word) == 1;) {
        if (strcmp(word, "matrix") == 0) {
            expect_matrix(ctx, file);
            matrices++;
            continue;
        }
        assert_string_equal(word, "mcnemar");
        long long first, second;
        double chi2, p;
        assert_int_equal(fscanf(file, "%lld %lld %lf %lf", &first, &second, &chi2, &p), 4);
        const nn_mcnemar got = nn_mcnemar_test(first, second);
        assert_int_equal(got.exact, first + second < 25);
        assert_number(got.chi2, chi2, 1e-12 * (1 + chi2));
        assert_number(got.p, p, 1e-12 * p);
        tests++;
    }
    assert_int_equal(matrices, 10);
    assert_int_equal(tests, 13);
    fclose(file);
    tn_ctx_destroy(ctx);
}

/* 8 clips of a, 2 of b: 6 of a and 1 of b right. */
static void a_small_matrix_by_hand(void **state)
{
    (void)state;
    tn_ctx *ctx = test_ctx(1, NULL);
    nn_metrics m;
    assert_ok(ctx, nn_metrics_compute(ctx, (int64_t[]){6, 2, 1, 1}, 2, &m));
    assert_int_equal(m.clips, 10);
    assert_int_equal(m.right, 7);
    assert_int_equal(m.of_class[0].clips, 8);
    assert_int_equal(m.of_class[0].predicted, 7);
    assert_int_equal(m.of_class[1].clips, 2);
    assert_int_equal(m.of_class[1].predicted, 3);
    assert_number(m.accuracy.value, 0.7, 1e-15);
    assert_number(m.uar.value, (0.75 + 0.5) / 2, 1e-15);
    assert_number(m.f1.value, (12.0 / 15 + 2.0 / 5) / 2, 1e-15);
    assert_number(m.of_class[0].precision.value, 6.0 / 7, 1e-15);
    const double a = 0.75 - nn_wilson(6, 8).low, b = 0.5 - nn_wilson(1, 2).low;
    assert_number(m.uar.interval.low, 0.625 - sqrt(a * a + b * b) / 2, 1e-15);
    nn_metrics_free(ctx, &m);
    assert_ok(ctx, nn_metrics_compute(ctx, (int64_t[]){0, 0, 0, 0}, 2, &m));
    assert_true(isnan(m.accuracy.value) && isnan(m.uar.value) && isnan(m.f1.value));
    assert_true(isnan(m.uar.interval.low) && isnan(m.accuracy.interval.high));
    nn_metrics_free(ctx, &m);
    tn_ctx_destroy(ctx);
}

/* On drawn matrices: intervals hold their numbers, exchanging classes exchanges answers, exchanging the axes
 * exchanges recall and precision. */
static void what_holds_for_every_matrix(void **state)
{
    (void)state;
    tn_ctx *ctx = test_ctx(1, NULL);
    for (uint64_t trial = 0; trial < 300; trial++) {
        const int k = 2 + (int)(trial % 4);
        int64_t matrix[25], turned[25], flipped[25];
        for (int i = 0; i < k * k; i++) {
            const float u = tn_uniform(5, trial, (uint64_t)i);
            matrix[i] = u < 0.3f ? 0 : (int64_t)(u * 40);
            turned[(i / k + 1) % k * k + (i % k + 1) % k] = matrix[i];
            flipped[i % k * k + i / k] = matrix[i];
        }
        nn_metrics m, t, f;
        assert_ok(ctx, nn_metrics_compute(ctx, matrix, k, &m));
        assert_ok(ctx, nn_metrics_compute(ctx, turned, k, &t));
        assert_ok(ctx, nn_metrics_compute(ctx, flipped, k, &f));
        const nn_rate *rate[] = {&m.accuracy, &m.uar, &m.f1, &m.of_class[0].recall, &m.of_class[1].precision};
        for (size_t i = 0; i < sizeof rate / sizeof *rate; i++) {
            const nn_rate *r = rate[i];
            assert_true(isnan(r->interval.low) || (0 <= r->interval.low && r->interval.low <= r->value &&
                                                   r->value <= r->interval.high && r->interval.high <= 1));
        }
        assert_number(t.uar.value, m.uar.value, 1e-14);
        assert_number(t.f1.interval.low, m.f1.interval.low, 1e-13);
        assert_number(t.of_class[1].f1, m.of_class[0].f1, 0);
        assert_number(f.f1.value, m.f1.value, 1e-14);
        assert_number(f.f1.interval.high, m.f1.interval.high, 1e-13);
        assert_number(f.of_class[0].recall.value, m.of_class[0].precision.value, 0);
        assert_int_equal(f.of_class[1].predicted, m.of_class[1].clips);
        nn_metrics_free(ctx, &m);
        nn_metrics_free(ctx, &t);
        nn_metrics_free(ctx, &f);
    }
    tn_ctx_destroy(ctx);
}

/* One clip of a class, one class with clips, one class at all. */
static void the_fewest_clips_have_numbers(void **state)
{
    (void)state;
    tn_ctx *ctx = test_ctx(1, NULL);
    nn_metrics m;
    const int64_t one_class[4] = {3, 1, 0, 0}, one_clip[4] = {0, 1, 0, 1}, alone[1] = {4};
    assert_ok(ctx, nn_metrics_compute(ctx, one_class, 2, &m));
    assert_true(m.uar.value == 0.75 && isnan(m.of_class[1].recall.value));
    assert_number(m.uar.interval.low, m.of_class[0].recall.interval.low, 1e-12);
    assert_number(m.uar.interval.high, m.of_class[0].recall.interval.high, 1e-12);
    nn_metrics_free(ctx, &m);
    assert_ok(ctx, nn_metrics_compute(ctx, one_clip, 2, &m));
    assert_true(m.of_class[0].recall.value == 0 && m.of_class[1].recall.value == 1);
    assert_number(m.of_class[1].recall.interval.low, nn_wilson(1, 1).low, 0);
    /* F1 is 0 where a class has a clip and no prediction, and 2/3: clips and predictions are three. */
    assert_number(m.of_class[0].f1, 0, 0);
    assert_number(m.f1.value, 1.0 / 3, 1e-12);
    nn_metrics_free(ctx, &m);
    assert_ok(ctx, nn_metrics_compute(ctx, alone, 1, &m));
    assert_true(m.f1.value == 1 && isnan(m.f1.interval.low) && m.uar.value == 1);
    assert_true(m.uar.interval.high <= 1);
    nn_metrics_free(ctx, &m);
    const nn_interval one = nn_wilson(1, 1), none = nn_wilson(0, 0);
    assert_number(one.low, 1 / (1 + 3.841458820694124), 1e-12); /* 1 / (1 + z^2) */
    assert_true(one.high == 1 && isnan(none.low));
    tn_ctx_destroy(ctx);
}

/* 24 clips on which two systems differ are few enough for the exact test, 25 are not. The numbers are
 * scipy's. */
static void mcnemar_changes_at_25(void **state)
{
    (void)state;
    const nn_mcnemar few = nn_mcnemar_test(20, 4), many = nn_mcnemar_test(20, 5),
                     equal = nn_mcnemar_test(0, 0);
    assert_true(few.exact && few.chi2 == 0 && !many.exact && equal.exact && equal.p == 1);
    assert_number(few.p, 0.001543879508972168, 1e-15);
    assert_number(many.chi2, 14.0 * 14.0 / 25, 1e-12);
    assert_number(many.p, 0.005110260660855866, 1e-14);
    assert_number(nn_mcnemar_test(4, 20).p, few.p, 0);
    assert_number(nn_mcnemar_test(5, 20).p, many.p, 0);
    /* The correction does not turn the difference round: |first - second| - 1 is at least 0. */
    assert_true(nn_mcnemar_test(13, 13).p == 1 && nn_mcnemar_test(13, 13).chi2 == 0);
    assert_true(nn_mcnemar_test(12, 12).p == 1);
}

static void wilson_at_the_ends(void **state)
{
    (void)state;
    assert_true(nn_wilson(0, 7).low == 0 && nn_wilson(7, 7).high == 1);
    assert_true(nn_wilson(0, 7).high > 0.3 && nn_wilson(7, 7).low < 0.7);
    assert_true(nn_wilson(0, 1000).high < 0.004);
    assert_true(isnan(nn_wilson(0, 0).low) && isnan(nn_wilson(0, 0).high));
}

/* Both ways to p agree in size where one takes over from the other, and p never grows with the difference. */
static void p_falls_with_the_difference(void **state)
{
    (void)state;
    for (int n = 1; n < 60; n++)
        for (int first = 0; 2 * first <= n; first++) {
            const nn_mcnemar test = nn_mcnemar_test(first, n - first),
                             other = nn_mcnemar_test(n - first, first);
            assert_true(test.p == other.p && test.p > 0 && test.p <= 1);
            if (first > 0)
                assert_true(test.p >= nn_mcnemar_test(first - 1, n - first + 1).p);
        }
    assert_true(fabs(nn_mcnemar_test(6, 18).p - nn_mcnemar_test(6, 19).p) < 0.01);
    assert_true(nn_mcnemar_test(0, 0).p == 1);
}

static void memory_that_is_out_is_an_error(void **state)
{
    (void)state;
    test_memory memory;
    test_memory_init(&memory);
    tn_ctx *ctx = test_memory_ctx(&memory);
    const long before = memory.blocks;
    nn_metrics m;
    memory.fail_at = memory.calls + 1;
    assert_status(ctx, nn_metrics_compute(ctx, (int64_t[]){1, 2, 3, 4}, 2, &m), TN_NOMEM);
    nn_metrics_free(ctx, &m);
    assert_int_equal(memory.blocks, before);
    tn_ctx_destroy(ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_are_those_of_scikit_learn_and_scipy),
        cmocka_unit_test(a_small_matrix_by_hand),
        cmocka_unit_test(what_holds_for_every_matrix),
        cmocka_unit_test(the_fewest_clips_have_numbers),
        cmocka_unit_test(mcnemar_changes_at_25),
        cmocka_unit_test(wilson_at_the_ends),
        cmocka_unit_test(p_falls_with_the_difference),
        cmocka_unit_test(memory_that_is_out_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
