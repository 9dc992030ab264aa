/* Gradients of weights over many rows: against plain sums in doubles, and the same bits for any threads. */
#include "tests/common/testing.h"

#include "libtensor/internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct problem {
    int64_t rows, sequence; /* of a sequence; rows are a multiple */
    int64_t left[2], right[2];
    int shift[2]; /* of the right factors */
} problem;

static float *numbers(int64_t count, uint64_t stream)
{
    float *x = malloc((size_t)(count + 1) * sizeof *x);
    tn_fill_uniform(x, (size_t)count, 5, stream, -1, 1);
    return x;
}

/* Left 0 with both right factors, left 1 with the second; rows of the factors are a few floats apart. */
enum { PRODUCTS = 3, GAP = 3 };
static const int pairs[PRODUCTS][2] = {{0, 0}, {0, 1}, {1, 1}};

static tn_gradients make(const problem *p)
{
    tn_gradients g = {.rows = p->rows, .lefts = 2, .rights = 2, .products = PRODUCTS};
    for (int i = 0; i < 2; i++) {
        const int64_t ld = p->left[i] + GAP, right = p->right[i] + GAP;
        g.left[i] = (tn_factor){.x = numbers(p->rows * ld, (uint64_t)i),
                                .width = p->left[i],
                                .ld = ld,
                                .sums = numbers(p->left[i], 9)};
        g.right[i] = (tn_factor){.x = numbers(p->rows * right, 2 + (uint64_t)i),
                                 .width = p->right[i],
                                 .ld = right,
                                 .sequence = p->sequence,
                                 .shift = p->shift[i]};
    }
    for (int i = 0; i < PRODUCTS; i++)
        g.product[i] =
            (tn_outer){pairs[i][0], pairs[i][1], numbers(p->left[pairs[i][0]] * p->right[pairs[i][1]], 9)};
    return g;
}

static void drop(tn_gradients *g)
{
    for (int i = 0; i < 2; i++) {
        free((void *)(uintptr_t)g->left[i].x);
        free((void *)(uintptr_t)g->right[i].x);
        free(g->left[i].sums);
    }
    for (int i = 0; i < PRODUCTS; i++)
        free(g->product[i].c);
}

static void run(tn_gradients *g, const char *isa, int threads)
{
    tn_ctx *ctx = test_ctx(threads, isa);
    const size_t bytes = tn_gradients_bytes(ctx->kernels, g);
    void *scratch = tn_alloc(ctx, bytes, 1);
    memset(scratch, 0xff, bytes); /* not a number where nothing was packed */
    tn_weight_gradients(ctx, g, scratch);
    tn_free(ctx, scratch);
    tn_ctx_destroy(ctx);
}

/* Element (i, j) of left^T right in doubles; `size` gets the sum of magnitudes, which bounds the rounding. */
static double exact(const tn_gradients *g, const tn_outer *o, int64_t i, int64_t j, double *size)
{
    const tn_factor *left = &g->left[o->left], *right = &g->right[o->right];
    double sum = *size = 0;
    for (int64_t row = 0; row < g->rows; row++) {
        const int64_t from = row % right->sequence + right->shift;
        if (from < 0 || from >= right->sequence)
            continue;
        const double term =
            (double)left->x[row * left->ld + i] * (double)right->x[(row + right->shift) * right->ld + j];
        sum += term;
        *size += fabs(term);
    }
    return sum;
}

static void compare(const tn_gradients *g)
{
    for (int p = 0; p < PRODUCTS; p++) {
        const tn_outer *o = &g->product[p];
        const int64_t m = g->left[o->left].width, n = g->right[o->right].width;
        for (int64_t i = 0; i < m; i += 1 + m / 9)
            for (int64_t j = 0; j < n; j += 1 + n / 9) {
                double size;
                const double want = exact(g, o, i, j, &size);
                assert_true(fabs((double)o->c[i * n + j] - want) <= 2e-6 * size + 1e-12);
            }
    }
    for (int i = 0; i < g->lefts; i++)
        for (int64_t j = 0; j < g->left[i].width; j++) {
            double sum = 0;
            for (int64_t row = 0; row < g->rows; row++)
                sum += (double)g->left[i].x[row * g->left[i].ld + j];
            assert_true(fabs((double)g->left[i].sums[j] - sum) <= 1e-6 * (1 + fabs(sum)));
        }
}

static void same_bits(const tn_gradients *a, const tn_gradients *b)
{
    for (int p = 0; p < PRODUCTS; p++) {
        const int64_t count = a->left[a->product[p].left].width * a->right[a->product[p].right].width;
        assert_memory_equal(a->product[p].c, b->product[p].c, (size_t)count * sizeof(float));
    }
    for (int i = 0; i < a->lefts; i++)
        assert_memory_equal(a->left[i].sums, b->left[i].sums, (size_t)a->left[i].width * sizeof(float));
}

static void products_are_what_they_should_be(void **state)
{
    (void)state;
    static const problem problems[] = {
        {0, 7, {5, 3}, {33, 4}, {0, -1}},           {1, 1, {5, 3}, {33, 4}, {0, 1}},
        {330, 330, {150, 1}, {257, 5}, {0, 0}},     {3 * 65, 65, {14, 15}, {32, 31}, {-1, 1}},
        {41 * 97, 97, {30, 300}, {40, 3}, {1, -1}}, /* several ranges, sequences across chunks */
    };
    for (int level = 0; tn_isa_list(level); level++)
        for (size_t i = 0; i < sizeof problems / sizeof *problems; i++) {
            tn_gradients alone = make(&problems[i]);
            run(&alone, tn_isa_list(level), 1);
            compare(&alone);
            for (int threads = 2; threads <= 3; threads++) {
                tn_gradients g = make(&problems[i]);
                run(&g, tn_isa_list(level), threads);
                same_bits(&alone, &g);
                drop(&g);
            }
            drop(&alone);
        }
}

/* One product with few rows of C reads its factors where they are. */
static void factors_read_in_place_give_the_same(void **state)
{
    (void)state;
    const problem p = {700, 700, {3, 1}, {64, 1}, {0, 0}};
    for (int level = 0; tn_isa_list(level); level++) {
        tn_gradients g = make(&p), packed = make(&p);
        g.lefts = g.rights = g.products = 1;
        run(&packed, tn_isa_list(level), 1);
        run(&g, tn_isa_list(level), 2);
        assert_memory_equal(g.product[0].c, packed.product[0].c, 3 * 64 * sizeof(float));
        assert_memory_equal(g.left[0].sums, packed.left[0].sums, 3 * sizeof(float));
        drop(&g);
        drop(&packed);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(products_are_what_they_should_be),
        cmocka_unit_test(factors_read_in_place_give_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
