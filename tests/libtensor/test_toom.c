/* The matrices of Toom and Cook's method against correlations by definition. */
#include "libtensor/toom.h"
#include "tests/common/testing.h"

#include <math.h>

static const tn_toom_points sets[] = {
    {.group = 2, .taps = 3, .reals = 3, .real = {0, 1, -1}},
    {.group = 4, .taps = 4, .reals = 6, .real = {0, 1, -1, 2, -2, 0.5}},
    {.group = 1, .taps = 2, .reals = 1, .real = {-3}},
    {.group = 2, .taps = 2, .reals = 0, .pairs = 1, .pair = {{0, 1}}},
    {.group = 4, .taps = 7, .reals = 7, .real = {0, 1, -1, 2, -2, 0.5, -0.5}, .pairs = 1, .pair = {{0, 1}}},
    {.group = 6,
     .taps = 4,
     .reals = 4,
     .real = {0, 1, -1.25, 0.75},
     .pairs = 2,
     .pair = {{0.6, 0.8}, {-0.5, 1}}},
    {.group = 7,
     .taps = 6,
     .reals = 7,
     .real = {0, 1, -1, 2, -2, 0.5, -0.5},
     .pairs = 2,
     .pair = {{0.8, 0.6}, {0, -1}}},
};

enum { SETS = sizeof sets / sizeof *sets };

static void correlations_are_as_by_definition(void **state)
{
    (void)state;
    for (size_t s = 0; s < SETS; s++) {
        const tn_toom m = tn_toom_make(&sets[s]);
        assert_int_equal(m.values, tn_toom_values(&sets[s]));
        assert_int_equal(m.products, tn_toom_products(&sets[s]));
        double values[TN_MIX], taps[TN_TOOM_TAPS], product[TN_MIX] = {0};
        for (uint64_t i = 0; i < TN_MIX; i++)
            values[i] = 2 * (double)tn_uniform(s, 1, i) - 1;
        for (uint64_t i = 0; i < TN_TOOM_TAPS; i++)
            taps[i] = 2 * (double)tn_uniform(s, 2, i) - 1;
        for (int p = 0; p < m.products; p++) {
            double u = 0, v = 0;
            for (int k = 0; k < m.taps; k++)
                u += m.g[p][k] * taps[k];
            for (int k = 0; k < m.values; k++)
                v += m.bt[p][k] * values[k];
            product[p] = u * v;
        }
        for (int i = 0; i < m.group; i++) {
            double got = 0, want = 0;
            for (int p = 0; p < m.products; p++)
                got += m.at[i][p] * product[p];
            for (int k = 0; k < m.taps; k++)
                want += taps[k] * values[i + k];
            assert_true(fabs(got - want) < 1e-12);
        }
    }
}

/* Kernels multiply by all of a row's factors, and rows must not differ much in size. */
static void the_rest_is_0_and_rows_are_around_1(void **state)
{
    (void)state;
    for (size_t s = 0; s < SETS; s++) {
        const tn_toom m = tn_toom_make(&sets[s]);
        for (int p = 0; p < TN_MIX; p++) {
            double largest = 0;
            for (int k = 0; k < TN_MIX; k++) {
                largest = fmax(largest, fabs(m.bt[p][k]));
                assert_true((p < m.products && k < m.values) || m.bt[p][k] == 0);
            }
            for (int k = 0; k < TN_TOOM_TAPS; k++)
                assert_true((p < m.products && k < m.taps) || m.g[p][k] == 0);
            for (int i = 0; i < TN_TOOM_GROUP; i++)
                assert_true((p < m.products && i < m.group) || m.at[i][p] == 0);
            assert_true(p >= m.products || (largest > 0.2 && largest < 4));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(correlations_are_as_by_definition),
        cmocka_unit_test(the_rest_is_0_and_rows_are_around_1),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
