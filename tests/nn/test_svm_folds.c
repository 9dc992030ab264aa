/* Cross-validation, the grid's choice, folds. */
#include "tests/nn/svm.h"

/* ---- cross-validation and grid --------------------------------------------------------------------- */

/* The rows whose fold is not `held`. */
static nn_svm_data without_fold(const nn_svm_data *data, const int *fold, int held)
{
    nn_svm_data part = {.max_index = data->max_index};
    part.label = calloc(data->rows, sizeof *part.label);
    part.start = calloc(data->rows + 1, sizeof *part.start);
    part.entry = calloc(data->start[data->rows], sizeof *part.entry);
    for (size_t i = 0; i < data->rows; i++) {
        if (fold[i] == held)
            continue;
        const nn_svm_vector x = nn_svm_row(data, i);
        part.label[part.rows] = data->label[i];
        memcpy(part.entry + part.start[part.rows], x.entry, x.count * sizeof *x.entry);
        part.start[part.rows + 1] = part.start[part.rows] + x.count;
        part.rows++;
    }
    return part;
}

static void cross_validation_is_training_without_the_fold(void **state)
{
    (void)state;
    enum { FOLDS = 4, ROWS = 150 };
    tn_ctx *ctx = test_ctx(2, NULL);
    nn_svm_data data = read_data(ctx, GOLDEN "three.data");
    assert_int_equal(data.rows, ROWS);
    int fold[ROWS], predicted[ROWS], again[ROWS];
    for (int kernel = 0; kernel < 8; kernel++) {
        nn_svm_params params = nn_svm_defaults();
        params.kernel = (nn_svm_kernel)(kernel % 4);
        params.gamma = 0.3;
        assert_ok(ctx, nn_svm_folds_stratified(ctx, &data, FOLDS, 3, fold));
        /* Then whole classes are missing in the training parts. */
        for (int i = 0; kernel >= 4 && i < ROWS; i++)
            fold[i] = data.label[i] == 4 ? 1 : data.label[i] == 9 ? 2 : 3;
        assert_ok(ctx, nn_svm_cross_validate(ctx, &data, &params, fold, predicted));
        params.cache_bytes = 0; /* no matrix of kernel values */
        assert_ok(ctx, nn_svm_cross_validate(ctx, &data, &params, fold, again));
        assert_memory_equal(predicted, again, sizeof predicted);
        for (int f = kernel < 4 ? 0 : 1; f < FOLDS; f++) {
            nn_svm_data part = without_fold(&data, fold, f);
            nn_svm *svm = train(ctx, &part, &params);
            for (size_t i = 0; i < data.rows; i++)
                if (fold[i] == f)
                    assert_int_equal(predicted[i], predict(svm, nn_svm_row(&data, i)));
            nn_svm_destroy(ctx, svm);
            free(part.label);
            free(part.start);
            free(part.entry);
        }
    }
    nn_svm_data_free(ctx, &data);
    tn_ctx_destroy(ctx);
}

static void grid_is_cross_validation_at_each_point(void **state)
{
    (void)state;
    enum { ROWS = 150, POINTS = 18 };
    int fold[ROWS], predicted[ROWS];
    nn_svm_point first[POINTS];
    size_t first_best = 0;
    for (int threads = 1; threads <= 3; threads++) {
        tn_ctx *ctx = test_ctx(threads, NULL);
        nn_svm_data data = read_data(ctx, GOLDEN "three.data");
        nn_svm_point point[POINTS] = {{0}};
        for (int i = 0; i < POINTS; i++)
            point[i] = (nn_svm_point){.kernel = (nn_svm_kernel)(i % 3),
                                      .degree = 2 + i / 9,
                                      .gamma = i % 2 ? 0.25 : 2,
                                      .cost = ldexp(1, i / 3 * 2 - 5)};
        const nn_svm_params params = nn_svm_defaults();
        size_t best;
        assert_ok(ctx, nn_svm_folds_stratified(ctx, &data, 5, 0, fold));
        assert_ok(ctx, nn_svm_grid(ctx, &data, &params, fold, point, POINTS, &best));
        for (int i = 0; threads == 1 && i < POINTS; i++) {
            nn_svm_params at = params;
            at.kernel = point[i].kernel;
            at.degree = point[i].degree;
            at.gamma = point[i].gamma;
            at.cost = point[i].cost;
            assert_ok(ctx, nn_svm_cross_validate(ctx, &data, &at, fold, predicted));
            int64_t correct = 0;
            for (size_t r = 0; r < data.rows; r++)
                correct += predicted[r] == (int)data.label[r];
            assert_int_equal(point[i].correct, correct);
            assert_true(point[i].correct <= point[best].correct);
        }
        if (threads == 1) {
            memcpy(first, point, sizeof first);
            first_best = best;
        }
        assert_int_equal(best, first_best);
        for (int i = 0; i < POINTS; i++)
            assert_int_equal(point[i].correct, first[i].correct);
        nn_svm_data_free(ctx, &data);
        tn_ctx_destroy(ctx);
    }
}

/* Separable rows, where many points are right everywhere, and values whose tenth power is no float. */
static void ties_and_points_that_overflow(void **state)
{
    (void)state;
    tn_ctx *ctx = test_ctx(2, NULL);
    const double value[8] = {1e4, 1.1e4, 1.2e4, 1.3e4, -1e4, -1.1e4, -1.2e4, -1.3e4};
    const int label[8] = {1, 1, 1, 1, 0, 0, 0, 0}, fold[8] = {0, 1, 0, 1, 0, 1, 0, 1};
    nn_svm_data data;
    assert_ok(ctx, nn_svm_data_from(ctx, value, label, 8, 1, &data));
    nn_svm_params params = nn_svm_defaults();
    nn_svm_point point[] = {
        {.kernel = NN_SVM_POLYNOMIAL, .degree = 11, .gamma = 1, .cost = 0.5},
        {.kernel = NN_SVM_POLYNOMIAL, .degree = 3, .gamma = 0.5, .cost = 2},
        {.kernel = NN_SVM_POLYNOMIAL, .degree = 3, .gamma = 1e-4, .cost = 1},
        {.kernel = NN_SVM_POLYNOMIAL, .degree = 1, .gamma = 0.5, .cost = 1},
        {.kernel = NN_SVM_POLYNOMIAL, .degree = 1, .gamma = 0.25, .cost = 1},
        {.kernel = NN_SVM_POLYNOMIAL, .degree = 1, .gamma = 0.25, .cost = 1},
        {.kernel = NN_SVM_LINEAR, .cost = 1},
    };
    size_t best;
    assert_ok(ctx, nn_svm_grid(ctx, &data, &params, fold, point, 7, &best));
    assert_int_equal(point[0].correct, -1);
    for (int i = 1; i < 7; i++)
        assert_int_equal(point[i].correct, 8);
    assert_int_equal(best, 6); /* the kernel */
    assert_ok(ctx, nn_svm_grid(ctx, &data, &params, fold, point, 6, &best));
    assert_int_equal(best, 4); /* degree, then gamma, then place */
    assert_ok(ctx, nn_svm_grid(ctx, &data, &params, fold, point, 3, &best));
    assert_int_equal(best, 2); /* cost */
    assert_status(ctx, nn_svm_grid(ctx, &data, &params, fold, point, 1, &best), TN_RANGE);
    assert_non_null(strstr(tn_error(ctx), "scale the features"));
    nn_svm_data_free(ctx, &data);
    tn_ctx_destroy(ctx);
}

/* ---- folds ----------------------------------------------------------------------------------------- */

static void stratified_folds_are_even(void **state)
{
    (void)state;
    enum { ROWS = 150, FOLDS = 7 };
    tn_ctx *ctx = test_ctx(1, NULL);
    nn_svm_data data = read_data(ctx, GOLDEN "three.data");
    int fold[ROWS], again[ROWS];
    assert_ok(ctx, nn_svm_folds_stratified(ctx, &data, FOLDS, 1, fold));
    const double labels[] = {4, -2, 9, NAN}; /* NaN: all rows */
    for (int l = 0; l < 4; l++) {
        int count[FOLDS] = {0}, least = ROWS, most = 0;
        for (int i = 0; i < ROWS; i++)
            if (l == 3 || data.label[i] == labels[l])
                count[fold[i]]++;
        for (int f = 0; f < FOLDS; f++) {
            least = count[f] < least ? count[f] : least;
            most = count[f] > most ? count[f] : most;
        }
        assert_true(least > 0 && most - least <= 1);
    }
    assert_ok(ctx, nn_svm_folds_stratified(ctx, &data, FOLDS, 1, again));
    assert_memory_equal(fold, again, sizeof fold);
    assert_ok(ctx, nn_svm_folds_stratified(ctx, &data, FOLDS, 2, again));
    assert_memory_not_equal(fold, again, sizeof fold);
    assert_status(ctx, nn_svm_folds_stratified(ctx, &data, 1, 1, fold), TN_RANGE);
    tn_clear_error(ctx);
    assert_status(ctx, nn_svm_folds_stratified(ctx, &data, ROWS + 1, 1, fold), TN_RANGE);
    nn_svm_data_free(ctx, &data);
    tn_ctx_destroy(ctx);
}

static void sources_stay_together(void **state)
{
    (void)state;
    enum { ROWS = 60, FOLDS = 3 };
    tn_ctx *ctx = test_ctx(1, NULL);
    char name[ROWS][16];
    const char *source[ROWS];
    int fold[ROWS], again[ROWS], count[FOLDS] = {0};
    for (int i = 0; i < ROWS; i++) {
        snprintf(name[i], sizeof name[i], "clip%d", i * 7 % 11);
        source[i] = i % 10 == 3 ? NULL : i % 10 == 4 ? "" : name[i];
    }
    assert_ok(ctx, nn_svm_folds_grouped(ctx, source, ROWS, FOLDS, 5, fold));
    for (int i = 0; i < ROWS; i++) {
        count[fold[i]]++;
        for (int j = 0; j < i; j++)
            if (source[i] && source[j] && *source[i] && strcmp(source[i], source[j]) == 0)
                assert_int_equal(fold[i], fold[j]);
    }
    for (int f = 0; f < FOLDS; f++)
        assert_in_range(count[f], 19, 21); /* single rows even out what sources leave */
    assert_ok(ctx, nn_svm_folds_grouped(ctx, source, ROWS, FOLDS, 6, again));
    assert_memory_not_equal(fold, again, sizeof fold);
    for (int i = 0; i < ROWS; i++)
        source[i] = i % 2 ? "a" : "b";
    assert_status(ctx, nn_svm_folds_grouped(ctx, source, ROWS, FOLDS, 5, fold), TN_RANGE);
    assert_non_null(strstr(tn_error(ctx), "2 sources"));
    tn_ctx_destroy(ctx);
}

/* A class that the training part lacks gets no vote; what is left of one class wins. */
static void folds_without_a_class(void **state)
{
    (void)state;
    tn_ctx *ctx = test_ctx(1, NULL);
    nn_svm_data data = data_of(ctx, "1 1:1\n1 1:1.5\n2 1:5\n2 1:5.5\n3 1:9\n");
    const nn_svm_params params = nn_svm_defaults();
    const int lone[5] = {0, 0, 1, 1, 2}, single[5] = {0, 1, 1, 1, 1}, all[5] = {2, 2, 2, 2, 2},
              wrong[5] = {0, 1, 5, 0, 0};
    int predicted[5];
    assert_ok(ctx, nn_svm_cross_validate(ctx, &data, &params, lone, predicted));
    assert_int_not_equal(predicted[0], 1);
    assert_int_not_equal(predicted[2], 2);
    assert_int_not_equal(predicted[4], 3);
    assert_ok(ctx, nn_svm_cross_validate(ctx, &data, &params, single, predicted));
    for (int i = 1; i < 5; i++)
        assert_int_equal(predicted[i], 1);
    assert_status(ctx, nn_svm_cross_validate(ctx, &data, &params, all, predicted), TN_RANGE);
    assert_non_null(strstr(tn_error(ctx), "one fold holds every row"));
    tn_clear_error(ctx);
    assert_status(ctx, nn_svm_cross_validate(ctx, &data, &params, wrong, predicted), TN_RANGE);
    assert_non_null(strstr(tn_error(ctx), "row 3 is in fold 5"));
    nn_svm_data_free(ctx, &data);
    tn_ctx_destroy(ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cross_validation_is_training_without_the_fold),
        cmocka_unit_test(grid_is_cross_validation_at_each_point),
        cmocka_unit_test(ties_and_points_that_overflow),
        cmocka_unit_test(stratified_folds_are_even),
        cmocka_unit_test(sources_stay_together),
        cmocka_unit_test(folds_without_a_class),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
