/* What grid search does to be fast, against the plain way: chains of costs, steps of all free variables,
 * vectors of every width. */
#include "tests/common/testing.h"

#include "nn/smo.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS = 240, WIDTH = 6, CLASSES = 3, FOLDS = 4 };

/* Two softmax scores of three classes that overlap: rows that many machines tell wrong. */
static nn_svm_data make_rows(tn_ctx *ctx)
{
    double value[ROWS * WIDTH];
    int label[ROWS];
    for (int i = 0; i < ROWS; i++) {
        label[i] = i % CLASSES + 1;
        for (int half = 0; half < 2; half++) {
            double *x = value + i * WIDTH + half * CLASSES, sum = 0;
            for (int k = 0; k < CLASSES; k++)
                sum += x[k] = exp(2.5 * (double)tn_uniform(5, 1, (uint64_t)(i * WIDTH + half * CLASSES + k)) +
                                  (k == i % CLASSES ? 0.8 : 0));
            for (int k = 0; k < CLASSES; k++)
                x[k] /= sum;
        }
    }
    nn_svm_data data;
    assert_ok(ctx, nn_svm_data_from(ctx, value, label, ROWS, WIDTH, &data));
    return data;
}

/* ---- the solver ------------------------------------------------------------------------------------ */

/* The first two classes' rows as one problem. */
typedef struct pair {
    nn_svm_data data;
    nn_gram gram;
    int row[ROWS], count;
    signed char y[ROWS];
    double alpha[ROWS];
} pair;

static void make_pair(tn_ctx *ctx, nn_svm_kernel kernel, pair *p)
{
    p->data = make_rows(ctx);
    assert_ok(ctx, nn_gram_create(ctx, &p->data, &p->gram));
    p->gram.kernel = (nn_svm_kernel_params){.kernel = kernel, .degree = 3, .gamma = 0.5};
    p->count = 0;
    for (int i = 0; i < ROWS; i++)
        if (p->data.label[i] < 3) {
            p->row[p->count] = i;
            p->y[p->count++] = p->data.label[i] < 2 ? 1 : -1;
        }
}

static void free_pair(tn_ctx *ctx, pair *p)
{
    nn_gram_free(ctx, &p->gram);
    nn_svm_data_free(ctx, &p->data);
}

/* The objective by its definition, and that alpha keeps its constraints. Its terms are rounded to floats by
 * the solver: *error is what that may come to. */
static double objective_of(const pair *p, double cost, double *error)
{
    double sum = 0, balance = 0, dots[ROWS], kernel[ROWS];
    *error = 0;
    for (int i = 0; i < p->count; i++) {
        assert_true(p->alpha[i] >= 0 && p->alpha[i] <= cost);
        balance += p->y[i] * p->alpha[i];
        sum -= p->alpha[i];
        nn_gram_row(&p->gram, p->row[i], p->row, p->count, dots, kernel);
        for (int j = 0; j < p->count; j++) {
            const double term = p->alpha[i] * p->alpha[j] * kernel[j] / 2;
            sum += p->y[i] * p->y[j] * term;
            *error += ldexp(fabs(term), -24);
        }
    }
    assert_true(fabs(balance) <= 1e-9 * cost * p->count);
    return sum;
}

/* A chain of costs with steps of all free variables ends where the plain solver does at each cost, and has
 * fewer steps where these are many. */
static void chains_end_where_plain_solving_does(void **state)
{
    (void)state;
    tn_ctx *ctx = test_ctx(1, NULL);
    for (int kernel = 0; kernel < 3; kernel++) {
        pair p;
        nn_smo *plain, *chain;
        make_pair(ctx, (nn_svm_kernel)kernel, &p);
        assert_ok(ctx, nn_smo_create(ctx, p.count, ROWS, 1 << 20, false, &plain));
        assert_ok(ctx, nn_smo_create(ctx, p.count, ROWS, 1 << 20, true, &chain));
        nn_smo_result got = {0};
        int64_t steps[2] = {0};
        double before = 0;
        for (double cost = 0.03125; cost < 5000; cost *= 3) {
            nn_smo_problem problem = {.gram = &p.gram,
                                      .row = p.row,
                                      .y = p.y,
                                      .count = p.count,
                                      .cost = {cost, cost},
                                      .tolerance = 1e-5,
                                      .shrinking = true};
            const nn_smo_result want = nn_smo_solve(plain, &problem, p.alpha);
            problem.jumping = true;
            got = before > 0 ? nn_smo_solve_scaled(chain, cost / before, p.alpha)
                             : nn_smo_solve(chain, &problem, p.alpha);
            before = cost;
            assert_true(want.converged && got.converged && want.finite && got.finite);
            assert_true(fabs(got.objective - want.objective) <= 1e-6 * fabs(want.objective));
            double error;
            const double objective = objective_of(&p, cost, &error);
            assert_true(fabs(objective - got.objective) <= 1e-9 * fabs(got.objective) + error);
            assert_true(fabs(got.rho - want.rho) <= 1e-3 * fmax(1, fabs(want.rho)));
            steps[0] += want.iterations;
            steps[1] += got.iterations;
        }
        assert_true(steps[1] * 3 < steps[0]);
        nn_smo_destroy(ctx, plain);
        nn_smo_destroy(ctx, chain);
        free_pair(ctx, &p);
    }
    tn_ctx_destroy(ctx);
}

/* Rows of a table in place (the problem's rows in one to four runs), copied (more runs, or shrunk), and
 * computed give the same bits. */
static void a_table_changes_nothing(void **state)
{
    (void)state;
    tn_ctx *ctx = test_ctx(1, NULL);
    static float table[ROWS * ROWS];
    int shrunk = 0;
    for (int kernel = 0; kernel < 3; kernel++)
        for (int held = -1; held < 5; held++) {
            pair p;
            nn_smo *smo;
            double want[ROWS], dots[ROWS], row[ROWS];
            int all[ROWS];
            make_pair(ctx, (nn_svm_kernel)kernel, &p);
            /* Of the first 80 and the last 80 rows, whatever their classes, those that are not held. */
            p.count = 0;
            for (int i = 0; i < ROWS; i++) {
                const bool hold = held == 4 ? i % 9 == 0 : held >= 0 && (i + 1) % 80 / 20 == held;
                if (i / 80 != 1 && !hold) {
                    p.row[p.count] = i;
                    p.y[p.count++] = i < 80 ? 1 : -1;
                }
                all[i] = i;
            }
            for (int i = 0; i < ROWS; i++) {
                nn_gram_row(&p.gram, i, all, ROWS, dots, row);
                for (int j = 0; j < ROWS; j++)
                    table[i * ROWS + j] = (float)row[j];
            }
            assert_ok(ctx, nn_smo_create(ctx, p.count, ROWS, held % 2 ? 1 << 20 : 0, true, &smo));
            const nn_smo_problem problem = {.gram = &p.gram,
                                            .row = p.row,
                                            .y = p.y,
                                            .count = p.count,
                                            .cost = {30, 20},
                                            .tolerance = 1e-5,
                                            .shrinking = true,
                                            .jumping = true};
            nn_smo_result result[2];
            for (int with = 0; with < 2; with++) {
                p.gram.table = with ? table : NULL;
                shrunk += nn_smo_solve(smo, &problem, p.alpha).iterations > p.count + 10;
                result[with] = nn_smo_solve_scaled(smo, 8, p.alpha);
                if (!with)
                    memcpy(want, p.alpha, sizeof want);
            }
            assert_memory_equal(p.alpha, want, (size_t)p.count * sizeof *want);
            assert_true(result[0].iterations == result[1].iterations && result[0].rho == result[1].rho &&
                        result[0].objective == result[1].objective);
            p.gram.table = NULL;
            nn_smo_destroy(ctx, smo);
            free_pair(ctx, &p);
        }
    assert_true(shrunk >= 6);
    tn_ctx_destroy(ctx);
}

/* ---- the grid -------------------------------------------------------------------------------------- */

/* Each kernel with costs that are not in order, more of them than one chain has. */
enum { COSTS = 40, POINTS = 3 * COSTS };

static void make_points(nn_svm_point *point)
{
    for (int i = 0; i < POINTS; i++)
        point[i] = (nn_svm_point){.kernel = (nn_svm_kernel)(i % 3),
                                  .degree = 3,
                                  .gamma = i % 3 ? 0.5 : 0,
                                  .cost = ldexp(1, (i / 3 * 7) % COSTS / 3 - 4)};
}

/* Rows that single machines, one for each fold, tell otherwise are at their margin: few. */
static void grid_is_training_without_the_fold(void **state)
{
    (void)state;
    enum { TRIED = 12 };
    tn_ctx *ctx = test_ctx(2, NULL);
    nn_svm_data data = make_rows(ctx);
    nn_svm_params params = nn_svm_defaults();
    nn_svm_point point[POINTS];
    int fold[ROWS];
    size_t best;
    make_points(point);
    assert_ok(ctx, nn_svm_folds_stratified(ctx, &data, FOLDS, 3, fold));
    assert_ok(ctx, nn_svm_grid(ctx, &data, &params, fold, point, POINTS, &best));
    for (int i = 0; i < POINTS; i += POINTS / TRIED) {
        int64_t correct = 0;
        for (int f = 0; f < FOLDS; f++) {
            double value[ROWS * WIDTH], decision[CLASSES];
            int label[ROWS], n = 0;
            nn_svm_data part;
            nn_svm *svm;
            for (int r = 0; r < ROWS; r++) {
                const nn_svm_vector x = nn_svm_row(&data, (size_t)r);
                assert_int_equal(x.count, WIDTH);
                for (int k = 0; fold[r] != f && k < WIDTH; k++)
                    value[n * WIDTH + k] = x.entry[k].value;
                if (fold[r] != f)
                    label[n++] = (int)data.label[r];
            }
            params.kernel = point[i].kernel;
            params.gamma = point[i].gamma;
            params.cost = point[i].cost;
            assert_ok(ctx, nn_svm_data_from(ctx, value, label, (size_t)n, WIDTH, &part));
            assert_ok(ctx, nn_svm_train(ctx, &part, &params, &svm, NULL));
            for (int r = 0; r < ROWS; r++)
                correct += fold[r] == f &&
                           nn_svm_labels(svm)[nn_svm_decide(svm, nn_svm_row(&data, (size_t)r), decision)] ==
                               (int)data.label[r];
            nn_svm_destroy(ctx, svm);
            nn_svm_data_free(ctx, &part);
        }
        if (llabs(correct - point[i].correct) > 1)
            fail_msg("point %d: %lld right, of single machines %lld", i, (long long)point[i].correct,
                     (long long)correct);
    }
    nn_svm_data_free(ctx, &data);
    tn_ctx_destroy(ctx);
}

/* Neither threads nor memory (with the kernel matrix and without) nor the instruction set change a number. */
static void nothing_changes_the_grid(void **state)
{
    (void)state;
    static const struct {
        int threads;  /* of the context */
        size_t bytes; /* for kernel values */
    } cases[] = {{1, 100 << 20}, {2, 100 << 20}, {3, 100 << 20}, {1, 0}, {3, 50000}};
    nn_svm_point want[POINTS], point[POINTS];
    size_t first = 0, best;
    int fold[ROWS], tried = 0;
    for (int isa = 0; tn_isa_list(isa); isa++)
        for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
            tn_ctx *ctx = test_ctx(cases[i].threads, tn_isa_list(isa));
            nn_svm_data data = make_rows(ctx);
            nn_svm_params params = nn_svm_defaults();
            params.cache_bytes = cases[i].bytes;
            make_points(point);
            assert_ok(ctx, nn_svm_folds_stratified(ctx, &data, FOLDS, 3, fold));
            assert_ok(ctx, nn_svm_grid(ctx, &data, &params, fold, point, POINTS, &best));
            if (tried++ == 0) {
                memcpy(want, point, sizeof want);
                first = best;
            }
            assert_int_equal(best, first);
            for (int p = 0; p < POINTS; p++)
                assert_int_equal(point[p].correct, want[p].correct);
            nn_svm_data_free(ctx, &data);
            tn_ctx_destroy(ctx);
        }
    assert_true(tried >= 5);
}

/* A machine has the same bits whatever the width of vectors. */
static void every_instruction_set_trains_the_same(void **state)
{
    (void)state;
    nn_svm_pair_fit want[CLASSES];
    int tried = 0;
    for (int isa = 0; tn_isa_list(isa); isa++) {
        tn_ctx *ctx = test_ctx(1, tn_isa_list(isa));
        nn_svm_data data = make_rows(ctx);
        nn_svm_params params = nn_svm_defaults();
        nn_svm *svm;
        nn_svm_pair_fit *fits;
        params.cost = 50;
        assert_ok(ctx, nn_svm_train(ctx, &data, &params, &svm, &fits));
        if (tried++ == 0)
            memcpy(want, fits, sizeof want);
        for (int p = 0; p < CLASSES; p++) {
            assert_int_equal(fits[p].iterations, want[p].iterations);
            assert_memory_equal(&fits[p].objective, &want[p].objective, sizeof want[p].objective);
            assert_memory_equal(&fits[p].rho, &want[p].rho, sizeof want[p].rho);
        }
        tn_free(ctx, fits);
        nn_svm_destroy(ctx, svm);
        nn_svm_data_free(ctx, &data);
        tn_ctx_destroy(ctx);
    }
    assert_true(tried >= 1);
}

/* Counts how often it is called. */
static void count_calls(void *arg, size_t done, size_t points)
{
    (void)points;
    size_t *calls = arg;
    assert_true(done > 0);
    ++*calls;
}

/* Polynomials without coef0 whose C gamma^degree agree are solved once for all, and are each what they are
 * alone. */
static void scaled_kernels_are_shared(void **state)
{
    (void)state;
    enum { GAMMAS = 4, SIDES = 4, SHARED = 2 * GAMMAS * SIDES };
    static const double gamma[GAMMAS] = {0.25, 0.3, 0.5, 1.7}; /* whose factors are no powers of two, too */
    tn_ctx *ctx = test_ctx(2, NULL);
    nn_svm_data data = make_rows(ctx);
    int fold[ROWS], predicted[ROWS];
    assert_ok(ctx, nn_svm_folds_stratified(ctx, &data, FOLDS, 3, fold));
    for (int moved = 0; moved < 2; moved++) {
        nn_svm_params params = nn_svm_defaults();
        nn_svm_point point[SHARED];
        size_t best, calls = 0;
        params.coef0 = moved ? 0.5 : 0;
        params.progress = count_calls;
        params.progress_arg = &calls;
        for (int i = 0; i < SHARED; i++)
            point[i] = (nn_svm_point){.kernel = NN_SVM_POLYNOMIAL,
                                      .degree = 2 + i % 2,
                                      .gamma = gamma[i / 2 % GAMMAS],
                                      .cost = ldexp(1, 3 * (i / 2 / GAMMAS))};
        assert_ok(ctx, nn_svm_grid(ctx, &data, &params, fold, point, SHARED, &best));
        assert_int_equal(calls, moved ? 2 * GAMMAS : 2);
        for (int i = 0; i < SHARED; i++) {
            params.kernel = NN_SVM_POLYNOMIAL;
            params.degree = point[i].degree;
            params.gamma = point[i].gamma;
            params.cost = point[i].cost;
            assert_ok(ctx, nn_svm_cross_validate(ctx, &data, &params, fold, predicted));
            int64_t correct = 0;
            for (int r = 0; r < ROWS; r++)
                correct += predicted[r] == (int)data.label[r];
            if (point[i].correct != correct)
                fail_msg("point %d: %lld right, alone %lld", i, (long long)point[i].correct,
                         (long long)correct);
        }
    }
    nn_svm_data_free(ctx, &data);
    tn_ctx_destroy(ctx);
}

/* A kernel that overflows does so in company, too. */
static void what_overflows_is_not_shared(void **state)
{
    (void)state;
    tn_ctx *ctx = test_ctx(1, NULL);
    const double value[8] = {1e4, 1.1e4, 1.2e4, 1.3e4, -1e4, -1.1e4, -1.2e4, -1.3e4};
    const int label[8] = {1, 1, 1, 1, 0, 0, 0, 0}, fold[8] = {0, 1, 0, 1, 0, 1, 0, 1};
    nn_svm_data data;
    assert_ok(ctx, nn_svm_data_from(ctx, value, label, 8, 1, &data));
    const nn_svm_params params = nn_svm_defaults();
    static const struct {
        double gamma; /* of degree 5, on products of 1e8 */
        int correct;  /* rows, or -1 */
    } cases[] = {{1, -1}, {1e-8, 8}, {2e-8, 8}, {10, -1}, {1e-4, 8}, {1e-18, 8}};
    enum { CASES = sizeof cases / sizeof cases[0] };
    nn_svm_point point[CASES];
    for (int i = 0; i < CASES; i++)
        point[i] =
            (nn_svm_point){.kernel = NN_SVM_POLYNOMIAL, .degree = 5, .gamma = cases[i].gamma, .cost = 1};
    size_t best;
    assert_ok(ctx, nn_svm_grid(ctx, &data, &params, fold, point, CASES, &best));
    for (int i = 0; i < CASES; i++)
        assert_int_equal(point[i].correct, cases[i].correct);
    nn_svm_data_free(ctx, &data);
    tn_ctx_destroy(ctx);
}

/* Costs whose ratio is no number begin a chain anew. */
static void costs_far_apart(void **state)
{
    (void)state;
    tn_ctx *ctx = test_ctx(1, NULL);
    nn_svm_data data = make_rows(ctx);
    nn_svm_params params = nn_svm_defaults();
    nn_svm_point far[2] = {{.kernel = NN_SVM_RBF, .gamma = 1, .cost = 1e-320},
                           {.kernel = NN_SVM_RBF, .gamma = 1, .cost = 1}},
                 one = far[1];
    int fold[ROWS];
    size_t best;
    assert_ok(ctx, nn_svm_folds_stratified(ctx, &data, FOLDS, 3, fold));
    assert_ok(ctx, nn_svm_grid(ctx, &data, &params, fold, far, 2, &best));
    assert_ok(ctx, nn_svm_grid(ctx, &data, &params, fold, &one, 1, &best));
    assert_true(far[0].correct >= 0);
    assert_true(far[1].correct > ROWS / 2);
    assert_int_equal(far[1].correct, one.correct);
    nn_svm_data_free(ctx, &data);
    tn_ctx_destroy(ctx);
}

/* Rounding errors grow with the cost, so that a long chain begins anew on its way. */
static void costs_near_each_other_and_far_apart(void **state)
{
    (void)state;
    enum { LINKS = 30 };
    tn_ctx *ctx = test_ctx(2, NULL);
    nn_svm_data data = make_rows(ctx);
    nn_svm_params params = nn_svm_defaults();
    params.tolerance = 1e-6;
    nn_svm_point point[LINKS];
    int fold[ROWS];
    size_t best;
    for (int i = 0; i < LINKS; i++)
        point[i] = (nn_svm_point){.kernel = NN_SVM_RBF, .gamma = 1, .cost = ldexp(1, 2 * i - 50)};
    assert_ok(ctx, nn_svm_folds_stratified(ctx, &data, FOLDS, 3, fold));
    assert_ok(ctx, nn_svm_grid(ctx, &data, &params, fold, point, LINKS, &best));
    for (int i = LINKS - 8; i < LINKS; i++) {
        nn_svm_point one = point[i];
        assert_ok(ctx, nn_svm_grid(ctx, &data, &params, fold, &one, 1, &best));
        assert_int_equal(point[i].correct, one.correct);
    }
    nn_svm_data_free(ctx, &data);
    tn_ctx_destroy(ctx);
}

typedef struct seen {
    size_t calls, done; /* how often it was called, and what it was told last */
} seen;

static void look(void *arg, size_t done, size_t points)
{
    seen *s = arg;
    assert_int_equal(points, POINTS);
    assert_true(done > s->done && done <= points);
    s->calls++;
    s->done = done;
}

static void progress_is_told(void **state)
{
    (void)state;
    tn_ctx *ctx = test_ctx(2, NULL);
    nn_svm_data data = make_rows(ctx);
    nn_svm_params params = nn_svm_defaults();
    nn_svm_point point[POINTS];
    seen s = {0};
    int fold[ROWS];
    size_t best;
    make_points(point);
    params.progress = look;
    params.progress_arg = &s;
    assert_ok(ctx, nn_svm_folds_stratified(ctx, &data, FOLDS, 3, fold));
    assert_ok(ctx, nn_svm_grid(ctx, &data, &params, fold, point, POINTS, &best));
    assert_int_equal(s.done, POINTS);
    assert_int_equal(s.calls, 3); /* one for each kernel */
    nn_svm_data_free(ctx, &data);
    tn_ctx_destroy(ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chains_end_where_plain_solving_does),   cmocka_unit_test(a_table_changes_nothing),
        cmocka_unit_test(grid_is_training_without_the_fold),     cmocka_unit_test(nothing_changes_the_grid),
        cmocka_unit_test(every_instruction_set_trains_the_same), cmocka_unit_test(scaled_kernels_are_shared),
        cmocka_unit_test(what_overflows_is_not_shared),          cmocka_unit_test(costs_far_apart),
        cmocka_unit_test(costs_near_each_other_and_far_apart),   cmocka_unit_test(progress_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
