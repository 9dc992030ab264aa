/* Probabilities of support vector machines, training on data that are odd, memory that ends. */
#include "tests/common/memory.h"
#include "tests/nn/svm.h"

/* ---- probabilities --------------------------------------------------------------------------------- */

/* -log likelihood with Platt's targets, as the paper writes it. */
static double platt_loss(const double *decision, const signed char *y, size_t n, double positive, double a,
                         double b)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        const double p = 1 / (1 + exp(a * decision[i] + b)),
                     t = y[i] > 0 ? (positive + 1) / (positive + 2) : 1 / ((double)n - positive + 2);
        sum -= t * log(p) + (1 - t) * log(1 - p);
    }
    return sum;
}

static void sigmoid_is_the_most_likely(void **state)
{
    (void)state;
    enum { N = 200 };
    double decision[N], target[N], a, b, positive = 0;
    signed char y[N];
    for (size_t i = 0; i < N; i++) {
        decision[i] = 4 * (double)tn_uniform(1, 2, i) - 2;
        y[i] = decision[i] + 2 * (double)tn_uniform(1, 3, i) > 1.5 ? 1 : -1;
        positive += y[i] > 0;
    }
    nn_platt_fit(decision, y, N, target, &a, &b);
    assert_true(a < -0.5);
    const double least = platt_loss(decision, y, N, positive, a, b);
    for (int i = 0; i < 16; i++) {
        const double angle = i * 0.3926990817, step = 1e-3;
        assert_true(platt_loss(decision, y, N, positive, a + step * cos(angle), b + step * sin(angle)) >
                    least);
    }
    /* Perfectly separated decision values, on which Newton's method without backtracking runs away. */
    for (size_t i = 0; i < N; i++)
        decision[i] = 1000 * y[i];
    nn_platt_fit(decision, y, N, target, &a, &b);
    assert_true(isfinite(a) && isfinite(b) && a < 0);
    const double p = 1 / (1 + exp(a * 1000 + b));
    assert_true(fabs(p - (positive + 1) / (positive + 2)) < 1e-3);
}

/* LIBSVM shuffles by rand(), so that its sigmoids differ as those of two seeds do. */
static void probabilities_are_near_those_of_libsvm(void **state)
{
    (void)state;
    tn_ctx *ctx = test_ctx(1, NULL);
    nn_svm_data data = read_data(ctx, "tests/golden/svm/train.data"),
                test = read_data(ctx, "tests/golden/svm/test.data");
    nn_svm_params params = nn_svm_defaults();
    params.gamma = 0.35;
    params.cost = 4;
    params.probability = true;
    nn_svm *svm = train(ctx, &data, &params), *theirs;
    assert_ok(ctx, nn_svm_read(ctx, "tests/golden/svm/rbf.model", &theirs));
    assert_int_equal(nn_svm_vectors(svm), nn_svm_vectors(theirs));
    double difference = 0;
    for (size_t i = 0; i < test.rows; i++) {
        double decision[3], other[3], p[3], q[3];
        assert_int_equal(nn_svm_decide(svm, nn_svm_row(&test, i), decision),
                         nn_svm_decide(theirs, nn_svm_row(&test, i), other));
        assert_ok(ctx, nn_svm_probability(ctx, svm, decision, p));
        assert_ok(ctx, nn_svm_probability(ctx, theirs, other, q));
        for (int c = 0; c < 3; c++)
            difference += fabs(p[c] - q[c]) / 3 / (double)test.rows;
    }
    if (!(difference < 0.05))
        fail_msg("mean difference of probabilities %g", difference);
    nn_svm_destroy(ctx, theirs);
    nn_svm_destroy(ctx, svm);
    nn_svm_data_free(ctx, &test);
    nn_svm_data_free(ctx, &data);
    tn_ctx_destroy(ctx);
}

/* ---- odd data -------------------------------------------------------------------------------------- */

/* Each trains to something finite that is a valid model file, with probabilities too where that ends soon. */
static void odd_data_train(void **state)
{
    (void)state;
    static const struct {
        const char *what, *text; /* data */
        double cost;             /* C */
    } sets[] = {
        {"a class with one row", "1 1:1\n2 1:3\n2 1:4\n2 1:5\n2 1:6\n3 1:9\n", 1},
        {"two rows", "1 1:1\n2 1:2\n", 1},
        {"equal rows of different labels", "1 1:1 2:1\n2 1:1 2:1\n1 1:1 2:1\n2 1:1 2:1\n2 1:1 2:1\n", 100},
        {"no features", "1\n2\n1\n3\n2\n", 1},
        {"zeros", "1 1:0 2:0\n2 1:0 2:0\n2 1:0\n", 1},
        {"a huge C", "1 1:1\n1 1:2\n2 1:1.5\n2 1:3\n1 1:4\n2 1:0.5\n", 1e12},
        {"a tiny C", "1 1:1\n1 1:2\n2 1:1.5\n2 1:3\n", 1e-12},
        {"a large index", "1 2147483647:1\n2 2147483647:2 \n1 5:1\n", 1},
    };
    tn_ctx *ctx = test_ctx(2, NULL);
    char *dir = test_make_dir(), *path = test_text("%s/model", dir);
    for (size_t i = 0; i < sizeof sets / sizeof sets[0]; i++)
        for (int kernel = 0; kernel < 4; kernel++) {
            /* Labels that no line separates: it stops at the limit of steps, as LIBSVM does. */
            const bool endless = sets[i].cost > 1e9 && kernel < NN_SVM_RBF;
            if (endless && test_quick())
                continue;
            nn_svm_data data = data_of(ctx, sets[i].text);
            nn_svm_params params = nn_svm_defaults();
            params.kernel = (nn_svm_kernel)kernel;
            params.cost = sets[i].cost;
            params.probability = !endless;
            nn_svm *svm, *back;
            nn_svm_pair_fit *fits;
            assert_ok(ctx, nn_svm_train(ctx, &data, &params, &svm, &fits));
            for (int p = 0; p < nn_svm_pairs(svm); p++)
                assert_true(fits[p].converged == !endless && isfinite(fits[p].objective) &&
                            isfinite(fits[p].rho) &&
                            (endless || (isfinite(svm->prob_a[p]) && isfinite(svm->prob_b[p]))));
            assert_ok(ctx, nn_svm_write(ctx, svm, path));
            assert_ok(ctx, nn_svm_read(ctx, path, &back));
            assert_same_model(back, svm);
            tn_free(ctx, fits);
            nn_svm_destroy(ctx, back);
            nn_svm_destroy(ctx, svm);
            nn_svm_data_free(ctx, &data);
        }
    free(path);
    test_remove_dir(dir);
    tn_ctx_destroy(ctx);
}

static void gamma_0_is_one_over_the_largest_index(void **state)
{
    (void)state;
    tn_ctx *ctx = test_ctx(1, NULL);
    nn_svm_data data = read_data(ctx, GOLDEN "three.data");
    nn_svm_params params = nn_svm_defaults();
    nn_svm *svm = train(ctx, &data, &params);
    assert_true(svm->kernel.gamma == 1.0 / 5);
    nn_svm_destroy(ctx, svm);
    nn_svm_data_free(ctx, &data);

    const double value[6] = {0, 2, 0, 3, 4, 0};
    const int label[2] = {1, -1};
    assert_ok(ctx, nn_svm_data_from(ctx, value, label, 2, 3, &data));
    assert_int_equal(data.max_index, 3);
    assert_int_equal(nn_svm_row(&data, 0).count, 1);
    assert_int_equal(nn_svm_row(&data, 0).entry[0].index, 2);
    assert_true(nn_svm_row(&data, 1).entry[1].value == 4 && data.label[1] == -1);
    svm = train(ctx, &data, &params);
    assert_true(svm->kernel.gamma == 1.0 / 3);
    nn_svm_destroy(ctx, svm);
    nn_svm_data_free(ctx, &data);
    tn_ctx_destroy(ctx);
}

static void wrong_input_is_refused(void **state)
{
    (void)state;
    const int label = 7;
    const double one = 1, none = 0;
    nn_svm_params d = nn_svm_defaults(), cost = d, gamma = d, tolerance = d, large = d, degree = d,
                  unknown = d, zero = d, power = d, off = d;
    cost.cost = 0;
    gamma.gamma = -1;
    tolerance.tolerance = NAN;
    large.tolerance = 10;
    degree.degree = -1;
    unknown.weight_count = zero.weight_count = 1;
    unknown.weight_label = zero.weight_label = &label;
    unknown.weight = &one;
    zero.weight = &none;
    power.kernel = NN_SVM_POLYNOMIAL;
    power.degree = 40;
    power.coef0 = 1e200;
    /* Zero for a row with itself, (-2e4)^11 for two rows: beyond floats. */
    off.kernel = NN_SVM_POLYNOMIAL;
    off.degree = 11;
    off.gamma = 1e4;
    off.coef0 = -1e4;
    const char *good = "1 1:1\n2 1:2\n";
    const struct {
        const char *text;            /* data */
        const nn_svm_params *params; /* of training */
        const char *message;         /* a part of it */
    } cases[] = {
        {"1 1:1\n1 1:2\n", &d, "every row has the label 1"},
        {"1 1:1\n1.5 1:2\n", &d, "row 2: label 1.5"},
        {"1 1:1\n1e10 1:2\n", &d, "row 2: label 1e+10"},
        {good, &cost, "cost is 0"},
        {good, &gamma, "gamma is -1"},
        {good, &tolerance, "tolerance is"},
        {good, &large, "tolerance 10 is too large"},
        {good, &degree, "degree is -1"},
        {good, &unknown, "no row has that label"},
        {good, &zero, "weight of class 7 is 0"},
        {good, &power, "scale the features"},
        {"1 1:1\n2 1:-1\n", &off, "scale the features"},
    };
    tn_ctx *ctx = test_ctx(1, NULL);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        nn_svm_data data = data_of(ctx, cases[i].text);
        nn_svm *svm = NULL;
        nn_svm_pair_fit *fits = NULL;
        assert_status(ctx, nn_svm_train(ctx, &data, cases[i].params, &svm, &fits), TN_RANGE);
        if (!strstr(tn_error(ctx), cases[i].message))
            fail_msg("\"%s\" lacks \"%s\"", tn_error(ctx), cases[i].message);
        assert_null(svm);
        assert_null(fits);
        tn_clear_error(ctx);
        nn_svm_data_free(ctx, &data);
    }
    const double value[2] = {1, NAN};
    const int labels[1] = {1};
    nn_svm_data data;
    assert_status(ctx, nn_svm_data_from(ctx, value, labels, 1, 2, &data), TN_RANGE);
    assert_non_null(strstr(tn_error(ctx), "row 1, column 2"));
    tn_ctx_destroy(ctx);
}

/* ---- memory ---------------------------------------------------------------------------------------- */

static tn_status everything(tn_ctx *ctx, const nn_svm_data *data)
{
    const char *source[6] = {"a", "b", "c", "a", "b", "c"};
    const double value[4] = {1, 2, 3, 4};
    const int label[2] = {1, 2};
    nn_svm_point point[2] = {{.kernel = NN_SVM_LINEAR, .cost = 1}, {.kernel = NN_SVM_RBF, .cost = 2}};
    nn_svm_params params = nn_svm_defaults();
    params.probability = true;
    int fold[6], predicted[6];
    size_t best;
    nn_svm *svm;
    nn_svm_pair_fit *fits;
    TN_TRY(nn_svm_train(ctx, data, &params, &svm, &fits));
    tn_free(ctx, fits);
    nn_svm_destroy(ctx, svm);
    TN_TRY(nn_svm_folds_grouped(ctx, source, 6, 3, 0, fold));
    TN_TRY(nn_svm_folds_stratified(ctx, data, 3, 0, fold));
    TN_TRY(nn_svm_cross_validate(ctx, data, &params, fold, predicted));
    TN_TRY(nn_svm_grid(ctx, data, &params, fold, point, 2, &best));
    nn_svm_data made;
    TN_TRY(nn_svm_data_from(ctx, value, label, 2, 2, &made));
    nn_svm_data_free(ctx, &made);
    return TN_OK;
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    for (int after = 0; after < 2; after++) {
        test_memory memory;
        test_memory_init(&memory);
        tn_ctx *ctx = test_memory_ctx(&memory);
        nn_svm_data data = data_of(ctx, "1 1:1\n2 1:2\n3 1:3 2:1\n1 1:1.5\n2 1:2.5\n3 1:3.5\n");
        const long blocks = memory.blocks;
        long calls = memory.calls;
        assert_ok(ctx, everything(ctx, &data));
        calls = memory.calls - calls;
        assert_true(calls > 100);
        for (long i = 1; i <= calls; i++) {
            memory.fail_at = memory.calls + i;
            memory.fail_after = after;
            assert_status(ctx, everything(ctx, &data), TN_NOMEM);
            assert_int_equal(memory.blocks, blocks);
            memory.fail_at = 0;
            memory.fail_after = false;
            tn_clear_error(ctx);
        }
        nn_svm_data_free(ctx, &data);
        tn_ctx_destroy(ctx);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sigmoid_is_the_most_likely),
        cmocka_unit_test(probabilities_are_near_those_of_libsvm),
        cmocka_unit_test(odd_data_train),
        cmocka_unit_test(gamma_0_is_one_over_the_largest_index),
        cmocka_unit_test(wrong_input_is_refused),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
