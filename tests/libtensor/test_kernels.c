/* The kernels of each instruction set by themselves: the stated errors, tails, and what does not depend on
 * tiles. */
#include "tests/common/testing.h"

#include "libtensor/internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* As stated in kernels.inc. */
#define TANH_ERROR 4e-7
#define TANH_ULPS 7
#define SIGMOID_ERROR 2e-7

/* How far a function of the LSTM's cell is off at worst, and where. */
typedef struct worst {
    double absolute, relative; /* errors */
    double ulps;               /* error in units of the exact value's last place, as a float */
    float at;                  /* where the last one is */
} worst;

static void judge(worst *w, float x, double got, double exact)
{
    const double error = fabs(got - exact);
    int exponent;
    frexp(exact, &exponent);
    const double ulp = ldexp(1, exponent - 24);
    w->absolute = fmax(w->absolute, error);
    w->relative = exact != 0 ? fmax(w->relative, error / fabs(exact)) : w->relative;
    if (exact != 0 && error / ulp > w->ulps) {
        w->ulps = error / ulp;
        w->at = x;
    }
}

/* With i wide open and nothing before, c = tanh(g); the other gates show the sigmoid. */
static void sweep(const tn_kernels *kernels, const float *x, int n, worst *hyperbolic, worst *sigmoid)
{
    enum { MOST = 4096 };
    static float gates[4 * MOST], cell[MOST], y[MOST];
    assert_true(n <= MOST);
    for (int j = 0; j < n; j++) {
        gates[j] = 100.0f;
        gates[n + j] = gates[2 * n + j] = gates[3 * n + j] = x[j];
    }
    kernels->lstm_cell(n, gates, NULL, cell, y);
    for (int j = 0; j < n; j++) {
        judge(hyperbolic, x[j], (double)cell[j], tanh((double)x[j]));
        judge(sigmoid, x[j], (double)gates[3 * n + j], 1 / (1 + exp(-(double)x[j])));
        assert_true(fabs((double)cell[j]) <= 1 && gates[3 * n + j] >= 0 && gates[3 * n + j] <= 1);
    }
}

/* 4.4 million floats of both signs, every 499th that there is from 0 up to 40, where both functions have
 * ended. */
static void tanh_and_sigmoid_are_as_near_as_stated(void **state)
{
    (void)state;
    enum { PIECE = 4096, LAST = 0x42200000 };
    const uint32_t step = test_quick() ? 16381 : 499;
    for (int level = 0; tn_isa_list(level); level++) {
        const tn_kernels *kernels = tn_kernels_find(tn_isa_list(level));
        worst t = {0}, s = {0};
        static float x[PIECE];
        int n = 0;
        for (uint32_t bits = 0; bits <= LAST; bits += step) {
            memcpy(&x[n], &bits, sizeof x[n]);
            x[n + 1] = -x[n];
            n += 2;
            if (n == PIECE || bits + step > LAST) {
                sweep(kernels, x, n, &t, &s);
                n = 0;
            }
        }
        print_message("%s: tanh within %.3g, %.3g of it, %.2f units in the last place (at %g); sigmoid "
                      "within %.3g\n",
                      kernels->name, t.absolute, t.relative, t.ulps, (double)t.at, s.absolute);
        assert_true(t.absolute <= TANH_ERROR && t.relative <= TANH_ERROR && t.ulps <= TANH_ULPS);
        assert_true(s.absolute <= SIGMOID_ERROR);
    }
}

/* A row times a matrix has the bits that the micro-kernel gives, whatever its tails. */
static void a_row_is_what_a_tile_gives(void **state)
{
    (void)state;
    enum { N = 150, K = 37 };
    for (int level = 0; tn_isa_list(level); level++) {
        const tn_kernels *kernels = tn_kernels_find(tn_isa_list(level));
        for (int64_t n = 1; n < N; n += 1 + n / 6) {
            float a[K], b[K * N], c[N + 1], want[N + 1];
            tn_fill_uniform(a, K, 1, 2, -1, 1);
            tn_fill_uniform(b, K * N, 1, 3, -1, 1);
            tn_fill_uniform(c, N + 1, 1, 4, -1, 1);
            memcpy(want, c, sizeof c);
            float *row = malloc(tn_packed_row_floats(kernels, K, n) * sizeof *row);
            float *panels = malloc(tn_packed_floats(kernels, K, n) * sizeof *panels);
            tn_pack_row(kernels, K, n, b, n, 1, row);
            tn_pack_b(kernels, K, n, b, n, 1, NULL, panels);
            kernels->add_row(n, K, a, row, c);
            const float *pa = a;
            for (int64_t j = 0; j < n; j += kernels->nr) {
                const float *panel = panels + j * K;
                const tn_brgemm g = {.m = 1,
                                     .n = (int)tn_min(kernels->nr, n - j),
                                     .k = K,
                                     .batch = 1,
                                     .a = &pa,
                                     .b = &panel,
                                     .lda = K,
                                     .c = want + j,
                                     .ldc = n,
                                     .residual = want + j,
                                     .ldr = n};
                kernels->brgemm(&g);
            }
            assert_memory_equal(c, want, sizeof c);
            free(row);
            free(panels);
        }
    }
}

static void what_is_not_a_number_stays_so(void **state)
{
    (void)state;
    for (int level = 0; tn_isa_list(level); level++) {
        const tn_kernels *kernels = tn_kernels_find(tn_isa_list(level));
        float gates[4] = {0, 0, NAN, 0}, cell, y;
        kernels->lstm_cell(1, gates, NULL, &cell, &y);
        assert_true(isnan(cell) && isnan(y));
        const float a = NAN, b[64] = {1}, *pa = &a, *pb = b;
        float c = 0;
        const tn_brgemm product = {.m = 1,
                                   .n = 1,
                                   .k = 1,
                                   .batch = 1,
                                   .a = &pa,
                                   .b = &pb,
                                   .lda = 1,
                                   .c = &c,
                                   .ldc = 1,
                                   .relu = true};
        kernels->brgemm(&product);
        assert_true(isnan(c));
    }
}

/* Cells of any number give what each gives alone, and nothing is written past them. */
static void tails_of_the_cell_are_exact(void **state)
{
    (void)state;
    enum { MOST = 40 };
    for (int level = 0; tn_isa_list(level); level++) {
        const tn_kernels *kernels = tn_kernels_find(tn_isa_list(level));
        for (int h = 1; h < MOST; h++) {
            float gates[4 * MOST], before[MOST], cell[MOST + 1], y[MOST + 1];
            tn_fill_uniform(gates, 4 * (size_t)h, 1, 2, -3, 3);
            tn_fill_uniform(before, (size_t)h, 1, 3, -1, 1);
            float alone[4];
            for (int g = 0; g < 4; g++)
                alone[g] = gates[g * h + h - 1];
            cell[h] = y[h] = 7.0f;
            kernels->lstm_cell(h, gates, before, cell, y);
            float one_cell, one_y;
            kernels->lstm_cell(1, alone, before + h - 1, &one_cell, &one_y);
            assert_true(one_cell == cell[h - 1] && one_y == y[h - 1]);
            assert_true(cell[h] == 7.0f && y[h] == 7.0f);
        }
    }
}

/* A row's bits do not depend on how many rows and columns are asked for beside it. */
static void an_element_has_the_same_bits_in_every_tile(void **state)
{
    (void)state;
    enum { M = 33, K = 19, LDA = 11, NR_MOST = 32 }; /* rows overlap */
    for (int level = 0; tn_isa_list(level); level++) {
        const tn_kernels *kernels = tn_kernels_find(tn_isa_list(level));
        float a[M * LDA + K], b[2 * K * NR_MOST], whole[M * NR_MOST], part[M * NR_MOST];
        tn_fill_uniform(a, sizeof a / sizeof *a, 1, 1, -1, 1);
        tn_fill_uniform(b, sizeof b / sizeof *b, 1, 2, -1, 1);
        const float *pa[2] = {a, a + 1}, *pb[2] = {b, b + K * kernels->nr};
        tn_brgemm g = {.m = M,
                       .n = kernels->nr,
                       .k = K,
                       .batch = 2,
                       .a = pa,
                       .b = pb,
                       .lda = LDA,
                       .c = whole,
                       .ldc = kernels->nr};
        kernels->brgemm(&g);
        for (int i = 0; i < M; i++)
            for (int j = 0; j < kernels->nr; j++) {
                double sum = 0;
                for (int t = 0; t < 2; t++)
                    for (int p = 0; p < K; p++)
                        sum += (double)pa[t][i * LDA + p] * (double)pb[t][p * kernels->nr + j];
                assert_true(fabs(sum - (double)whole[i * kernels->nr + j]) < 1e-5);
            }
        for (int m = 1; m <= M; m++)
            for (int n = 1; n <= kernels->nr; n++) {
                for (int i = 0; i < M * NR_MOST; i++)
                    part[i] = 7.0f;
                g.m = m, g.n = n, g.c = part;
                kernels->brgemm(&g);
                for (int i = 0; i < M; i++)
                    for (int j = 0; j < kernels->nr; j++)
                        assert_true(part[i * kernels->nr + j] ==
                                    (i < m && j < n ? whole[i * kernels->nr + j] : 7.0f));
            }
    }
}

/* C = A^T B over sizes that fill blocks, spill over them and leave every kind of edge. */
static void transposed_products_are_exact_enough(void **state)
{
    (void)state;
    static const int64_t sizes[][3] = {{1, 1, 1}, {3, 40, 5}, {150, 33, 257}, {285, 260, 300}, {16, 17, 0}};
    enum { MOST = 300, LDA = 290, LDB = 262 };
    static float a[MOST * LDA], b[MOST * LDB], c[285 * 260 + 1];
    tn_fill_uniform(a, sizeof a / sizeof *a, 1, 1, -1, 1);
    tn_fill_uniform(b, sizeof b / sizeof *b, 1, 2, -1, 1);
    for (int level = 0; tn_isa_list(level); level++)
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            const int64_t m = sizes[i][0], n = sizes[i][1], k = sizes[i][2];
            tn_step step = {.ctx = test_ctx(2, tn_isa_list(level))};
            step.thread_stride = (tn_gemm_tn_bytes(step.ctx->kernels) + 63) / 64 * 64;
            step.thread_scratch = tn_alloc(step.ctx, 2, step.thread_stride);
            c[m * n] = 7.0f;
            tn_gemm_tn(&step, m, n, k, a, LDA, b, LDB, c);
            for (int64_t row = 0; row < m; row++)
                for (int64_t col = 0; col < n; col++) {
                    double sum = 0;
                    for (int64_t p = 0; p < k; p++)
                        sum += (double)a[p * LDA + row] * (double)b[p * LDB + col];
                    assert_true(fabs(sum - (double)c[row * n + col]) < 2e-5);
                }
            assert_true(c[m * n] == 7.0f);
            tn_free(step.ctx, step.thread_scratch);
            tn_ctx_destroy(step.ctx);
        }
}

/* Wherever a stretch of a sample begins and ends, the words are those of tn_philox(), and what is kept is
 * decided as on paper. */
static void dropout_keeps_what_the_words_say(void **state)
{
    (void)state;
    enum { MOST = 150 };
    static const float p[] = {0.0f, 0.1f, 0.5f, 1.0f - 0x1p-24f};
    float from[MOST], to[MOST + 1];
    tn_fill_uniform(from, MOST, 1, 4, 1, 2);
    for (int level = 0; tn_isa_list(level); level++)
        for (int64_t first = 0; first < 80; first += 4)
            for (int64_t count = 1; count <= MOST; count += count < 70 ? 1 : 13) {
                const float rate = p[(first / 4 + count) % 4];
                const tn_mask mask = {.key = 0x123456789abcdef0u,
                                      .counter = {77, 3, 0xfffffffeu, 9},
                                      .least = (uint32_t)ceil((double)rate * 0x1p24) << 8,
                                      .scale = 3.0f};
                to[count] = 7.0f;
                tn_kernels_find(tn_isa_list(level))->dropout(&mask, first, count, from, to);
                for (int64_t e = first; e < first + count; e++) {
                    const uint32_t counter[4] = {(uint32_t)(e / 4), 3, 0xfffffffeu, 9};
                    uint32_t word[4];
                    tn_philox(mask.key, counter, word);
                    const bool kept = (float)(word[e % 4] >> 8) * 0x1p-24f >= rate;
                    assert_true(to[e - first] == (kept ? 3.0f * from[e - first] : 0.0f));
                }
                assert_true(to[count] == 7.0f);
            }
}

/* The first of the largest values, or what is not a number, and whose it was; any number of channels and
 * rows, nothing is written past them, and a row that is the result of others keeps where those were. */
static void the_largest_of_rows_is_found(void **state)
{
    (void)state;
    enum { MOST = 150, ROWS = 5 };
    float row[ROWS][MOST];
    const void *from[ROWS];
    for (int level = 0; tn_isa_list(level); level++)
        for (int n = 1; n < MOST; n++) {
            const tn_kernels *kernels = tn_kernels_find(tn_isa_list(level));
            const int rows = 1 + n % ROWS;
            const int32_t position[ROWS] = {n % 2 ? -1 : 40, 41, 42, 43, 44};
            float values[MOST + 1], out[MOST + 1];
            int32_t where[MOST + 1];
            for (int r = 0; r < rows; r++) {
                from[r] = row[r];
                for (int i = 0; i < n; i++)
                    row[r][i] = (float)((7 * i + 5 * r) % 11 / 2) - 3;
            }
            for (int i = 0; i < n; i++) {
                where[i] = 100 + i;
                if (i % 3 == 1)
                    row[i % rows][i] = i % 2 ? NAN : -NAN;
            }
            values[n] = out[n] = 7.0f;
            where[n] = 7;
            kernels->largest(n, rows, from, position, values, NULL);
            kernels->largest(n, rows, from, position, out, where);
            for (int i = 0; i < n; i++) {
                int best = 0;
                for (int r = 1; r < rows; r++)
                    best = isnan(row[r][i]) || row[r][i] > row[best][i] ? r : best;
                const float value = row[best][i];
                assert_true(isnan(value) ? isnan(out[i]) && isnan(values[i])
                                         : out[i] == value && values[i] == value);
                assert_int_equal(where[i], best == 0 && n % 2 ? 100 + i : position[best]);
            }
            assert_true(values[n] == 7.0f && out[n] == 7.0f && where[n] == 7);
        }
}

static void gradients_of_the_largest_go_where_it_was(void **state)
{
    (void)state;
    enum { MOST = 70 };
    for (int level = 0; tn_isa_list(level); level++)
        for (int n = 1; n < MOST; n++) {
            float dy[MOST], dx[MOST + 1];
            int32_t where[MOST];
            for (int i = 0; i < n; i++) {
                where[i] = i % 3;
                dy[i] = (float)i;
                dx[i] = 0.5f;
            }
            dx[n] = 7.0f;
            tn_kernels_find(tn_isa_list(level))->largest_gradient(n, 1, where, dy, dx);
            for (int i = 0; i < n; i++)
                assert_true(dx[i] == (i % 3 == 1 ? 0.5f + (float)i : 0.5f));
            assert_true(dx[n] == 7.0f);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tanh_and_sigmoid_are_as_near_as_stated),
        cmocka_unit_test(a_row_is_what_a_tile_gives),
        cmocka_unit_test(what_is_not_a_number_stays_so),
        cmocka_unit_test(tails_of_the_cell_are_exact),
        cmocka_unit_test(an_element_has_the_same_bits_in_every_tile),
        cmocka_unit_test(transposed_products_are_exact_enough),
        cmocka_unit_test(dropout_keeps_what_the_words_say),
        cmocka_unit_test(the_largest_of_rows_is_found),
        cmocka_unit_test(gradients_of_the_largest_go_where_it_was),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
