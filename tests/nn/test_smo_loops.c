/* The solver's loops against the plain ones, for every instruction set and length, with ties and what is no
 * number. */
#include "tests/common/testing.h"

#include "nn/smo.h"

#include <float.h>
#include <math.h>
#include <string.h>

enum { MOST = 150, COLUMNS = 5 };

/* What the loops run on. */
typedef struct numbers {
    double v[MOST], rise[MOST], fall[MOST], self[MOST], more[COLUMNS][MOST];
    float ki[MOST], kj[MOST];
} numbers;

static double draw(uint64_t seed, uint64_t stream, int t)
{
    return (double)tn_uniform(seed, stream, (uint64_t)t);
}

/* Few different values, so that many are equal. */
static void make_numbers(uint64_t seed, numbers *x)
{
    for (int t = 0; t < MOST; t++) {
        const double bound = draw(seed, 1, t);
        x->v[t] = floor(9 * draw(seed, 0, t)) / 4 - 1;
        x->rise[t] = bound < 0.3 ? -INFINITY : 0;
        x->fall[t] = bound > 0.7 ? INFINITY : 0;
        x->self[t] = floor(4 * draw(seed, 2, t)) / 4;
        x->ki[t] = (float)floor(4 * draw(seed, 3, t)) / 4;
        x->kj[t] = (float)draw(seed, 4, t);
        for (int c = 0; c < COLUMNS; c++)
            x->more[c][t] = draw(seed, 5 + (uint64_t)c, t) - 0.5;
    }
}

/* ---- plain loops ------------------------------------------------------------------------------------ */

static int plain_steepest(const numbers *x, int n, double *top)
{
    int found = -1;
    *top = -INFINITY;
    for (int t = 0; t < n; t++)
        if (x->v[t] + x->rise[t] >= *top && x->v[t] + x->rise[t] > -INFINITY) {
            *top = x->v[t] + x->rise[t];
            found = t;
        }
    return found;
}

static int plain_partner(const numbers *x, double self_i, double top, int n, double *bottom)
{
    int found = -1;
    double most = -INFINITY;
    *bottom = INFINITY;
    for (int t = 0; t < n; t++) {
        const double v = x->v[t] + x->fall[t], d = top - v, c = self_i + x->self[t] - 2 * (double)x->ki[t];
        *bottom = v < *bottom ? v : *bottom;
        if (d > 0 && d * d / (c > 0 ? c : 1e-12) >= most) {
            most = d * d / (c > 0 ? c : 1e-12);
            found = t;
        }
    }
    return found;
}

/* ---- the solver's loops ----------------------------------------------------------------------------- */

/* The search goes on from one part to the next. */
static int partner_in_parts(const nn_smo_loops *loops, const numbers *x, double self_i, double top, int n,
                            double *bottom)
{
    double most = -INFINITY;
    int found = -1;
    *bottom = INFINITY;
    for (int t = 0, part = n % 3 ? n : n / 3; t < n; t += part) {
        const int at = loops->partner(x->v + t, x->fall + t, x->self + t, x->ki + t, self_i, top,
                                      part < n - t ? part : n - t, bottom, &most);
        found = at >= 0 ? t + at : found;
    }
    return found;
}

static void working_sets_are_those_of_plain_loops(void **state)
{
    (void)state;
    for (int i = 0; tn_isa_list(i); i++) {
        tn_ctx *ctx = test_ctx(1, tn_isa_list(i));
        const nn_smo_loops *loops = nn_smo_loops_for(ctx);
        int none = 0;
        for (int n = 0; n <= MOST; n++)
            for (uint64_t seed = 0; seed < 20; seed++) {
                numbers x, y;
                /* With the smaller one, curvatures are not all positive. */
                const double self = seed % 2 ? 0.5 : 2;
                double top, bottom, want_top, want_bottom;
                make_numbers(seed, &x);
                if (seed == 19) /* nothing may move */
                    for (int t = 0; t < MOST; t++) {
                        x.rise[t] = -INFINITY;
                        x.fall[t] = INFINITY;
                    }
                /* Slopes near the smallest numbers, where products vanish. */
                for (int t = 0; seed == 18 && t < MOST; t++)
                    x.v[t] *= 1e-160;
                assert_int_equal(loops->steepest(x.v, x.rise, n, &top), plain_steepest(&x, n, &want_top));
                assert_true(top == want_top);
                const int found = plain_partner(&x, self, want_top, n, &want_bottom);
                none += found < 0;
                assert_int_equal(partner_in_parts(loops, &x, self, want_top, n, &bottom), found);
                assert_true(bottom == want_bottom);
                y = x;
                for (int t = 0; t < n; t++)
                    y.v[t] -= (double)x.ki[t] * 0.3 + (double)x.kj[t] * -0.7;
                assert_int_equal(loops->update(x.v, x.rise, x.ki, x.kj, 0.3, -0.7, n, &top),
                                 plain_steepest(&y, n, &want_top));
                assert_true(top == want_top);
                assert_memory_equal(x.v, y.v, sizeof x.v);
            }
        assert_true(none > 0);
        tn_ctx_destroy(ctx);
    }
}

static void sums_are_those_of_plain_loops(void **state)
{
    (void)state;
    double first[MOST + 1];
    for (int i = 0; tn_isa_list(i); i++) {
        tn_ctx *ctx = test_ctx(1, tn_isa_list(i));
        const nn_smo_loops *loops = nn_smo_loops_for(ctx);
        for (int n = 0; n <= MOST; n++) {
            numbers x, y;
            make_numbers((uint64_t)n, &x);
            const double *column[COLUMNS], factor[COLUMNS] = {0.3, -2, 5, 0.1, 7};
            for (int c = 0; c < COLUMNS; c++)
                column[c] = x.more[c];
            y = x;
            for (int t = 0; t < n; t++) {
                y.v[t] += 0.1 * (double)x.ki[t];
                y.self[t] += 0.7 * x.more[0][t];
                for (int c = 0; c < COLUMNS; c++)
                    y.fall[t] += factor[c] * x.more[c][t];
                y.rise[t] = 1.5 + x.more[1][t] - 2 * x.rise[t];
            }
            loops->add(x.v, x.ki, 0.1, n);
            loops->add_doubles(x.self, x.more[0], 0.7, n);
            loops->combine(column, factor, COLUMNS, n, x.fall);
            loops->distances(1.5, x.more[1], n, x.rise);
            assert_memory_equal(&x, &y, sizeof x);
            double sum = 0;
            for (int t = 0; t < n; t++)
                sum += x.more[0][t] * x.more[1][t];
            const double dot = loops->dot(x.more[0], x.more[1], n);
            assert_true(fabs(dot - sum) <= 1e-13);
            first[n] = i == 0 ? dot : first[n];
            assert_true(dot == first[n]);
        }
        tn_ctx_destroy(ctx);
    }
}

/* ---- kernels ---------------------------------------------------------------------------------------- */

static void exponentials_are_within_a_unit(void **state)
{
    (void)state;
    enum { MANY = 20000 };
    static double x[MANY], want[MANY], first[MANY];
    for (int i = 0; tn_isa_list(i); i++) {
        tn_ctx *ctx = test_ctx(1, tn_isa_list(i));
        const nn_smo_loops *loops = nn_smo_loops_for(ctx);
        for (int n = 0; n < MANY; n++) {
            const double power = draw(1, 1, n);
            x[n] = n == 0 ? 0 : n == 1 ? -0.5 : pow(10, 12 * power - 9) * 700 / 1000;
            want[n] = exp(-0.75 * x[n]);
        }
        loops->gauss(0.75, MANY, x);
        assert_true(x[0] == 1);
        for (int n = 0; n < MANY; n++) {
            if (!(fabs(x[n] - want[n]) <= DBL_EPSILON * want[n]))
                fail_msg("%a, the library says %a", x[n], want[n]);
            first[n] = i == 0 ? x[n] : first[n];
            assert_true(x[n] == first[n]);
        }
        /* The end of a row is like its middle. */
        for (int n = 1; n < 20; n++) {
            double some[20];
            for (int t = 0; t < n; t++)
                some[t] = t * 1.25;
            loops->gauss(0.3, n, some);
            for (int t = 0; t < n; t++)
                assert_true(fabs(some[t] - exp(-0.3 * (t * 1.25))) <= DBL_EPSILON);
        }
        double odd[] = {1e300, INFINITY, -1e300, -INFINITY, NAN, 800, -800, 1, 2, 3};
        loops->gauss(1, 10, odd);
        assert_true((float)odd[0] == 0 && (float)odd[1] == 0 && (float)odd[5] == 0);
        assert_true(odd[2] > FLT_MAX && odd[3] > FLT_MAX && odd[6] > FLT_MAX && isnan(odd[4]));
        tn_ctx_destroy(ctx);
    }
}

static void powers_have_the_bits_of_one_value(void **state)
{
    (void)state;
    for (int i = 0; tn_isa_list(i); i++) {
        tn_ctx *ctx = test_ctx(1, tn_isa_list(i));
        const nn_smo_loops *loops = nn_smo_loops_for(ctx);
        for (int degree = 0; degree < 12; degree++)
            for (int n = 0; n < 40; n++) {
                const nn_svm_kernel_params k = {
                    .kernel = NN_SVM_POLYNOMIAL, .degree = degree, .gamma = 0.3, .coef0 = -0.1};
                numbers x;
                make_numbers(3, &x);
                loops->power(k.gamma, k.coef0, degree, n, x.more[0]);
                numbers y;
                make_numbers(3, &y);
                for (int t = 0; t < n; t++)
                    y.more[0][t] = nn_svm_kernel_of(&k, y.more[0][t], 0, 0);
                assert_memory_equal(x.more[0], y.more[0], sizeof x.more[0]);
            }
        tn_ctx_destroy(ctx);
    }
}

static void floats_are_finite(void **state)
{
    (void)state;
    static const double odd[] = {NAN, INFINITY, -INFINITY, 1e39, -1e39};
    for (int i = 0; tn_isa_list(i); i++) {
        tn_ctx *ctx = test_ctx(1, tn_isa_list(i));
        const nn_smo_loops *loops = nn_smo_loops_for(ctx);
        for (int n = 1; n < 40; n++) {
            numbers x;
            float out[MOST];
            make_numbers(7, &x);
            x.more[0][0] = FLT_MAX;
            assert_true(loops->narrow(x.more[0], n, out));
            for (int t = 0; t < n; t++)
                assert_true(out[t] == (float)x.more[0][t]);
            for (int o = 0; o < 5; o++) {
                make_numbers(7, &x);
                x.more[0][n * 3 / 4] = odd[o];
                assert_false(loops->narrow(x.more[0], n, out));
                for (int t = 0; t < n; t++)
                    assert_true(out[t] == (t == n * 3 / 4 ? 0 : (float)x.more[0][t]));
            }
        }
        tn_ctx_destroy(ctx);
    }
}

/* ---- kernel rows ------------------------------------------------------------------------------------ */

/* Rows of any order, full and sparse columns, against one value at a time. */
static void kernel_rows_are_values(void **state)
{
    (void)state;
    enum { ROWS = 120, WIDTH = 21 };
    static double value[ROWS * WIDTH];
    int label[ROWS], index[ROWS];
    for (int i = 0; i < ROWS; i++) {
        label[i] = i % 2;
        for (int c = 0; c < WIDTH; c++)
            value[i * WIDTH + c] = c % 7 == 3 && (i + c) % 3 ? 0 : draw(9, 1, i * WIDTH + c) - 0.4;
    }
    tn_ctx *ctx = test_ctx(1, NULL);
    nn_svm_data data;
    nn_gram gram;
    assert_ok(ctx, nn_svm_data_from(ctx, value, label, ROWS, WIDTH, &data));
    assert_ok(ctx, nn_gram_create(ctx, &data, &gram));
    for (int kernel = 0; kernel < 4; kernel++)
        for (int order = 0; order < 4; order++) {
            gram.kernel = (nn_svm_kernel_params){(nn_svm_kernel)kernel, 3, 0.7, 0.1};
            double dots[ROWS], out[ROWS];
            int n = 0;
            for (int t = 0; t < ROWS; t++) /* all; two runs; backwards; a run, then every other row */
                if (order == 0 || (order == 1 && t % 60 > 10) || order == 2 ||
                    (order == 3 && (t < 50 || t % 2)))
                    index[n++] = order == 2 ? ROWS - 1 - t : t;
            for (int i = 0; i < ROWS; i += 7) {
                nn_gram_row(&gram, i, index, n, dots, out);
                for (int t = 0; t < n; t++) {
                    const double want = nn_svm_kernel_value(&gram.kernel, nn_svm_row(&data, (size_t)i),
                                                            nn_svm_row(&data, (size_t)index[t]));
                    if (!(kernel == NN_SVM_RBF ? fabs(out[t] - want) <= 1e-13 : out[t] == want))
                        fail_msg("kernel %d, order %d: %.17g instead of %.17g", kernel, order, out[t], want);
                }
            }
        }
    nn_gram_free(ctx, &gram);
    nn_svm_data_free(ctx, &data);
    tn_ctx_destroy(ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(working_sets_are_those_of_plain_loops),
        cmocka_unit_test(sums_are_those_of_plain_loops),
        cmocka_unit_test(exponentials_are_within_a_unit),
        cmocka_unit_test(powers_have_the_bits_of_one_value),
        cmocka_unit_test(floats_are_finite),
        cmocka_unit_test(kernel_rows_are_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
