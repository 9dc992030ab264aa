/* The transform of real signals, against its definition, with each instruction set. */
#include "tests/common/testing.h"

#include "data/lanes.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const double pi = 3.14159265358979323846;

/* A transform of n with its memory. */
typedef struct bench {
    tn_ctx *ctx;
    const data_lanes_code *code;
    data_fft *fft;
    double *x, *work; /* vectors */
    int n, lanes;
} bench;

static void bench_open(bench *b, const char *isa, int n)
{
    *b = (bench){.ctx = test_ctx(1, isa), .n = n};
    b->code = data_lanes_for(b->ctx);
    b->lanes = b->code->lanes;
    assert_ok(b->ctx, data_fft_create(b->ctx, n, &b->fft));
    size_t vectors = (size_t)n, room = data_fft_work(b->fft) * (size_t)b->lanes;
    b->x = tn_alloc(b->ctx, vectors * (size_t)b->lanes, sizeof *b->x);
    b->work = tn_alloc(b->ctx, room, sizeof *b->work);
    for (int i = 0; i < n; i++)
        for (int l = 0; l < b->lanes; l++)
            b->x[i * b->lanes + l] = (double)tn_uniform(7, (uint64_t)(n * 8 + l), (uint64_t)i) * 2 - 1;
    /* Work space is not to be counted on. */
    memset(b->work, 0xff, room * sizeof *b->work);
}

static void bench_close(bench *b)
{
    tn_free(b->ctx, b->work);
    tn_free(b->ctx, b->x);
    data_fft_destroy(b->ctx, b->fft);
    tn_ctx_destroy(b->ctx);
}

static void part_of(const bench *b, const double *y, int k, int lane, double *re, double *im)
{
    *re = y[(k ? 2 * k - 1 : 0) * b->lanes + lane];
    *im = k && 2 * k < b->n ? y[2 * k * b->lanes + lane] : 0;
}

/* The largest error of every `step`-th bin of every lane, over the root of n. */
static double error_by_definition(const char *isa, int n, int step)
{
    bench b;
    bench_open(&b, isa, n);
    const double *y = b.code->forward(b.fft, b.x, b.work);
    double *cosine = malloc((size_t)n * sizeof *cosine), *sine = malloc((size_t)n * sizeof *sine), worst = 0;
    assert_non_null(cosine);
    assert_non_null(sine);
    for (int i = 0; i < n; i++) {
        cosine[i] = cos(2 * pi * i / n);
        sine[i] = sin(2 * pi * i / n);
    }
    for (int k = 0; k <= n / 2; k += step)
        for (int l = 0; l < b.lanes; l++) {
            double re = 0, im = 0, got_re, got_im;
            for (int j = 0; j < n; j++) {
                int64_t angle = (int64_t)j * k % n;
                re += b.x[j * b.lanes + l] * cosine[angle];
                im -= b.x[j * b.lanes + l] * sine[angle];
            }
            part_of(&b, y, k, l, &got_re, &got_im);
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
        for (int i = 0; tn_isa_list(i); i++)
            assert_true(error_by_definition(tn_isa_list(i), n, 1) < 2e-14);
}

/* Windows of usual rates, products of large primes, primes that take Bluestein's way, powers of each radix.
 */
static void large_lengths_equal_the_definition(void **state)
{
    (void)state;
    static const int length[] = {256,  275,  400,  551,  600,  729,  1101, 1102, 1103, 1200,
                                 2187, 2205, 2401, 3125, 4096, 4799, 4800, 9973, 19200};
    for (size_t i = 0; i < sizeof length / sizeof *length; i++)
        for (int s = 0; tn_isa_list(s); s++)
            assert_true(error_by_definition(tn_isa_list(s), length[i], length[i] > 1000 ? 37 : 1) < 1e-13);
}

/* sum x^2 = sum |X|^2 / n over all n bins. */
static void energy_is_kept(void **state)
{
    (void)state;
    static const int length[] = {1, 2, 7, 96, 1102, 2003, 12007, 65536, 99991};
    for (size_t i = 0; i < sizeof length / sizeof *length; i++) {
        int n = length[i];
        bench b;
        bench_open(&b, NULL, n);
        const double *y = b.code->forward(b.fft, b.x, b.work);
        for (int l = 0; l < b.lanes; l++) {
            double before = 0, after = 0;
            for (int j = 0; j < n; j++)
                before += b.x[j * b.lanes + l] * b.x[j * b.lanes + l];
            for (int k = 0; k <= n / 2; k++) {
                double re, im;
                part_of(&b, y, k, l, &re, &im);
                after += (re * re + im * im) * (k == 0 || 2 * k == n ? 1 : 2);
            }
            assert_true(fabs(after / n - before) <= 1e-12 * before);
        }
        bench_close(&b);
    }
}

/* The bits of one signal depend neither on the others beside it nor on the vector's width. */
static void lanes_are_independent(void **state)
{
    (void)state;
    static const int length[] = {400, 551, 1102, 1103};
    for (size_t i = 0; i < sizeof length / sizeof *length; i++) {
        int n = length[i];
        bench b, other;
        bench_open(&b, "generic", n);
        for (int j = 0; j < n; j++)
            for (int l = 0; l < b.lanes; l++)
                b.x[j * b.lanes + l] = b.x[j * b.lanes + 1];
        const double *alone = b.code->forward(b.fft, b.x, b.work);
        for (int s = 0; tn_isa_list(s); s++) {
            bench_open(&other, tn_isa_list(s), n);
            const double *y = other.code->forward(other.fft, other.x, other.work);
            for (int j = 0; j < n; j++)
                assert_true(alone[j * b.lanes] == y[j * other.lanes + 1]);
            bench_close(&other);
        }
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
