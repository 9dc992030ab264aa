/* Arithmetic on vectors of windows, with each instruction set. */
#include "tests/common/testing.h"

#include "data/lanes.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The error of a vector's logarithms in units in the last place of the result. */
static double log_error(const data_lanes_code *code, const double *x)
{
    _Alignas(64) double y[8];
    double worst = 0;
    code->log2(x, y);
    for (int l = 0; l < code->lanes; l++) {
        long double want = log2l((long double)x[l]);
        double unit = nextafter(fabs((double)want), (double)INFINITY) - fabs((double)want);
        worst = fmax(worst, fabs((double)(y[l] - want)) / unit);
    }
    return worst;
}

/* Positive numbers of every size, near 1, powers of two, the smallest, the largest. */
static void logarithms_are_exact_to_four_units(void **state)
{
    (void)state;
    for (int s = 0; tn_isa_list(s); s++) {
        tn_ctx *ctx = test_ctx(1, tn_isa_list(s));
        const data_lanes_code *code = data_lanes_for(ctx);
        _Alignas(64) double x[8], y[8];
        double worst = 0;
        for (uint64_t i = 0; i < 40000; i++) {
            for (uint64_t l = 0; l < 8; l++) {
                double u = (double)tn_uniform(3, l, 2 * i) + 0x1p-30 * (double)tn_uniform(3, l, 2 * i + 1);
                x[l] = i % 4 == 0   ? 0.5 + u
                       : i % 4 == 1 ? 1 + (u - 0.5) * 1e-3
                       : i % 4 == 2 ? ldexp(1 + u, (int)(i % 2098) - 1074)
                                    : ldexp(1, (int)(i % 2098) - 1074);
            }
            worst = fmax(worst, log_error(code, x));
        }
        assert_true(worst <= 4);
        for (int l = 0; l < 8; l++)
            x[l] = l % 2 ? (double)NAN : 8;
        code->log2(x, y);
        assert_true(y[0] == 3 && isnan(y[1]));
        tn_ctx_destroy(ctx);
    }
}

static void mean_and_distance_are_the_same_with_all(void **state)
{
    (void)state;
    static const size_t count[] = {1, 7, 8, 9, 1000, 4096, 100003};
    for (size_t c = 0; c < sizeof count / sizeof *count; c++) {
        size_t n = count[c];
        double *x = malloc(n * sizeof *x), first[2] = {0}, farthest = 0;
        assert_non_null(x);
        long double sum = 0;
        for (size_t i = 0; i < n; i++)
            sum += (long double)(x[i] = (double)tn_uniform(5, n, i) - 0.3 + (i == n / 2 ? 2 : 0));
        for (size_t i = 0; i < n; i++)
            farthest = fmax(farthest, fabs(x[i] - (double)(sum / n)));
        for (int s = 0; tn_isa_list(s); s++) {
            tn_ctx *ctx = test_ctx(1, tn_isa_list(s));
            double got[2];
            data_lanes_for(ctx)->measure(x, n, &got[0], &got[1]);
            assert_true(fabs(got[0] - (double)(sum / n)) <= 1e-13);
            assert_true(fabs(got[1] - farthest) <= 1e-13);
            if (s > 0)
                assert_memory_equal(got, first, sizeof got);
            memcpy(first, got, sizeof first);
            tn_ctx_destroy(ctx);
        }
        free(x);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(logarithms_are_exact_to_four_units),
        cmocka_unit_test(mean_and_distance_are_the_same_with_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
