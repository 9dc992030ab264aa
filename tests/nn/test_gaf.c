/* Fusion on real scores: fourteen networks that other people trained tell the emotion of groups in pictures
 * (EmotiW 2018), and a machine on their softmax scores is tuned as scikit-learn's was on the same folds
 * (tests/golden/gaf.py). */
#include "tests/common/testing.h"

#include "nn/nn.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NETWORKS = 14, CLASSES = 3, WIDTH = NETWORKS * CLASSES, ROWS = 3341, FOLDS = 5 };

/* What others get right of the rows: the best network alone, the sum of all logits, and the best of 29 points
 * of scikit-learn 1.9.1's SVC. */
enum { BEST_SINGLE = 2485, SUM_OF_LOGITS = 2570, SCIKIT_LEARN = 2603 };

static struct {
    double *logit;   /* ROWS x WIDTH */
    double *score;   /* same: softmax of each network */
    int label[ROWS]; /* classes from 0 */
    int fold[ROWS];  /* the i-th row of a class is in fold i mod FOLDS */
} gaf;

static void parse_row(const char *text, int row)
{
    char *end;
    gaf.label[row] = (int)strtol(text, &end, 10);
    assert_in_range(gaf.label[row], 0, CLASSES - 1);
    for (int i = 0; i < WIDTH; i++) {
        assert_int_equal(*end, ',');
        gaf.logit[row * WIDTH + i] = strtod(end + 1, &end);
    }
    assert_true(*end == '\n' || *end == '\r');
}

static void softmax(const double *logit, double *score)
{
    double most = -INFINITY, sum = 0;
    for (int k = 0; k < CLASSES; k++)
        most = fmax(most, logit[k]);
    for (int k = 0; k < CLASSES; k++)
        sum += score[k] = exp(logit[k] - most);
    for (int k = 0; k < CLASSES; k++)
        score[k] /= sum;
}

static int set_up(void **state)
{
    (void)state;
    gaf.logit = malloc(sizeof(double[ROWS][WIDTH]));
    gaf.score = malloc(sizeof(double[ROWS][WIDTH]));
    return gaf.logit && gaf.score ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    free(gaf.logit);
    free(gaf.score);
    return 0;
}

/* Skips where there is no data. */
static void read_gaf(void)
{
    char *path = test_data("gaf/valid.csv"), line[4096];
    int of_class[CLASSES] = {0};
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    assert_non_null(fgets(line, sizeof line, file));
    assert_int_equal(strncmp(line, "label,m1_0,m1_1,m1_2,m2_0", 25), 0);
    for (int row = 0; row < ROWS; row++) {
        assert_non_null(fgets(line, sizeof line, file));
        parse_row(line, row);
        gaf.fold[row] = of_class[gaf.label[row]]++ % FOLDS;
        for (int n = 0; n < NETWORKS; n++)
            softmax(gaf.logit + row * WIDTH + n * CLASSES, gaf.score + row * WIDTH + n * CLASSES);
    }
    assert_null(fgets(line, sizeof line, file));
    fclose(file);
    free(path);
}

/* Rows whose largest sum over networks [first, end) is that of their class. */
static int right_by_sum(const double *value, int first, int end)
{
    int right = 0;
    for (int row = 0; row < ROWS; row++) {
        double sum[CLASSES] = {0};
        int most = 0;
        for (int n = first; n < end; n++)
            for (int k = 0; k < CLASSES; k++)
                sum[k] += value[row * WIDTH + n * CLASSES + k];
        for (int k = 1; k < CLASSES; k++)
            if (sum[k] > sum[most])
                most = k;
        right += most == gaf.label[row];
    }
    return right;
}

/* The rows are read right: what needs no training has the known results. */
static void networks_alone(void **state)
{
    (void)state;
    read_gaf();
    int best = 0;
    for (int n = 0; n < NETWORKS; n++) {
        const int right = right_by_sum(gaf.logit, n, n + 1);
        best = right > best ? right : best;
    }
    assert_int_equal(best, BEST_SINGLE);
    assert_int_equal(right_by_sum(gaf.logit, 0, NETWORKS), SUM_OF_LOGITS);
}

static void as_good_as_scikit_learn(void **state)
{
    (void)state;
    read_gaf();
    nn_svm_point point[] = {
        {.kernel = NN_SVM_POLYNOMIAL, .degree = 3, .gamma = 0.125, .cost = 2},
        {.kernel = NN_SVM_POLYNOMIAL, .degree = 3, .gamma = 0.125, .cost = 0.5},
        {.kernel = NN_SVM_RBF, .gamma = 1.0 / 128, .cost = 2},
        {.kernel = NN_SVM_RBF, .gamma = 1.0 / 32, .cost = 2},
        {.kernel = NN_SVM_LINEAR, .cost = 0.03125},
    };
    const size_t points = test_quick() ? 1 : sizeof point / sizeof point[0];
    tn_ctx *ctx = test_ctx(2, NULL);
    nn_svm_data data;
    size_t best;
    assert_ok(ctx, nn_svm_data_from(ctx, gaf.score, gaf.label, ROWS, WIDTH, &data));
    nn_svm_params params = nn_svm_defaults();
    params.cache_bytes = (size_t)200 << 20;
    assert_ok(ctx, nn_svm_grid(ctx, &data, &params, gaf.fold, point, points, &best));
    for (size_t i = 0; i < points; i++)
        printf("kernel %d, degree %d, gamma %g, C %g: %lld of %d right\n", (int)point[i].kernel,
               point[i].degree, point[i].gamma, point[i].cost, (long long)point[i].correct, (int)ROWS);
    assert_true((double)point[best].correct / ROWS >= (double)SCIKIT_LEARN / ROWS - 0.001);
    assert_true(point[best].correct > SUM_OF_LOGITS);
    nn_svm_data_free(ctx, &data);
    tn_ctx_destroy(ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(networks_alone),
        cmocka_unit_test(as_good_as_scikit_learn),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
