/* The transform of real signals, against its definition. */
#include "tests/common/testing.h"

#include "data/fft.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const double pi = 3.14159265358979323846;

/* A transform of n with its memory. */
typedef struct bench {
    tn_ctx *ctx;
    data_fft *fft;
    data_lanes *x, *kept, *work;
    int n;
} bench;

static void bench_open(bench *b, int n)
{
    *b = (bench){.ctx = test_ctx(1, NULL), .n = n};
    assert_ok(b->ctx, data_fft_create(b->ctx, n, &b->fft));
    b->x = tn_alloc(b->ctx, (size_t)n, sizeof *b->x);
    b->kept = tn_alloc(b->ctx, (size_t)n, sizeof *b->kept);
    b->work = tn_alloc(b->ctx, data_fft_work(b->fft), sizeof *b->work);
    for (int i = 0; i < n; i++)
        for (int l = 0; l < DATA_LANES; l++)
            b->x[i][l] = (double)tn_uniform(7, (uint64_t)(n * DATA_LANES + l), (uint64_t)i) * 2 - 1;
    memcpy(b->kept, b->x, (size_t)n * sizeof *b->x);
    /* Work space is not to be counted on. */
    memset(b->work, 0xff, data_fft_work(b->fft) * sizeof *b->work);
}

static void bench_close(bench *b)
{
    tn_free(b->ctx, b->work);
    tn_free(b->ctx, b->kept);
    tn_free(b->ctx, b->x);
    data_fft_destroy(b->ctx, b->fft);
    tn_ctx_destroy(b->ctx);
}

static void part_of(const data_lanes *y, int n, int k, int lane, double *re, double *im)
{
    *re = y[k ? 2 * k - 1 : 0][lane];
    *im = k && 2 * k < n ? y[2 * k][lane] : 0;
}

/* The largest error of every `step`-th bin of every lane, over the root of n. */
static double error_by_definition(int n, int step)
{
    bench b;
    bench_open(&b, n);
    const data_lanes *y = data_fft_forward(b.fft, b.x, b.work);
    double *cosine = malloc((size_t)n * sizeof *cosine), *sine = malloc((size_t)n * sizeof *sine), worst = 0;
    assert_non_null(cosine);
    assert_non_null(sine);
    for (int i = 0; i < n; i++) {
        cosine[i] = cos(2 * pi * i / n);
        sine[i] = sin(2 * pi * i / n);
    }
    for (int k = 0; k <= n / 2; k += step)
        for (int l = 0; l < DATA_LANES; l++) {
            double re = 0, im = 0, got_re, got_im;
            for (int j = 0; j < n; j++) {
                int64_t angle = (int64_t)j * k % n;
                re += b.kept[j][l] * cosine[angle];
                im -= b.kept[j][l] * sine[angle];
            }
            part_of(y, n, k, l, &got_re, &got_im);
            worst = fmax(worst, hypot(got_re - re, got_im - im));
        }
    free(cosine);
    free(sine);
    bench_close(&b);
    return worst / sqrt(n);
}

static void small_lengths_equal_the_definition(void **state)
{
    (void)state;
    for (int n = 1; n <= 200; n++)
        assert_true(error_by_definition(n, 1) < 2e-14);
}

/* Windows of usual rates, products of large primes, primes that take Bluestein's way, powers of each radix.
 */
static void large_lengths_equal_the_definition(void **state)
{
    (void)state;
    static const int length[] = {256,  275,  400,  551,  600,  729,  1101, 1102, 1103, 1200,
                                 2187, 2205, 2401, 3125, 4096, 4799, 4800, 9973, 19200};
    for (size_t i = 0; i < sizeof length / sizeof *length; i++)
        assert_true(error_by_definition(length[i], length[i] > 1000 ? 37 : 1) < 1e-13);
}

/* sum x^2 = sum |X|^2 / n over all n bins. */
static void energy_is_kept(void **state)
{
    (void)state;
    static const int length[] = {1, 2, 7, 96, 1102, 2003, 12007, 65536, 99991};
    for (size_t i = 0; i < sizeof length / sizeof *length; i++) {
        int n = length[i];
        bench b;
        bench_open(&b, n);
        const data_lanes *y = data_fft_forward(b.fft, b.x, b.work);
        for (int l = 0; l < DATA_LANES; l++) {
            double before = 0, after = 0;
            for (int j = 0; j < n; j++)
                before += b.kept[j][l] * b.kept[j][l];
            for (int k = 0; k <= n / 2; k++) {
                double re, im;
                part_of(y, n, k, l, &re, &im);
                after += (re * re + im * im) * (k == 0 || 2 * k == n ? 1 : 2);
            }
            assert_true(fabs(after / n - before) <= 1e-12 * before);
        }
        bench_close(&b);
    }
}

/* The bits of one signal do not depend on the others beside it. */
static void lanes_are_independent(void **state)
{
    (void)state;
    static const int length[] = {400, 1102, 1103};
    for (size_t i = 0; i < sizeof length / sizeof *length; i++) {
        int n = length[i];
        double *alone = malloc((size_t)n * sizeof *alone);
        assert_non_null(alone);
        bench b;
        bench_open(&b, n);
        for (int j = 0; j < n; j++)
            b.x[j] = (data_lanes){0} + b.kept[j][1];
        const data_lanes *y = data_fft_forward(b.fft, b.x, b.work);
        for (int j = 0; j < n; j++)
            alone[j] = y[j][2];
        memcpy(b.x, b.kept, (size_t)n * sizeof *b.x);
        y = data_fft_forward(b.fft, b.x, b.work);
        for (int j = 0; j < n; j++)
            assert_true(alone[j] == y[j][1]);
        free(alone);
        bench_close(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(small_lengths_equal_the_definition),
        cmocka_unit_test(large_lengths_equal_the_definition),
        cmocka_unit_test(energy_is_kept),
        cmocka_unit_test(lanes_are_independent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
