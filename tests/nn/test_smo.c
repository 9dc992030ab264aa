/* Training support vector machines against LIBSVM's svm-train, and on data that are odd. */
#include "tests/common/files.h"
#include "tests/common/memory.h"

#include "nn/svm_train.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GOLDEN "tests/golden/svm_train/"

enum { MAX_PAIRS = 8, LONG_RUN = 3000 };

static nn_svm_data read_data(tn_ctx *ctx, const char *path)
{
    nn_svm_data data;
    assert_ok(ctx, nn_svm_data_read(ctx, path, &data));
    return data;
}

/* A CSV file with a header and the label first. */
static nn_svm_data read_csv(tn_ctx *ctx, const char *path)
{
    enum { WIDTH = 4, MOST = 5000 };
    double *value = calloc(MOST * WIDTH, sizeof *value), label;
    int *labels = calloc(MOST, sizeof *labels);
    size_t rows = 0;
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%*[^\n]"), 0);
    for (double *v = value; fscanf(file, "%lf,%lf,%lf,%lf,%lf", &label, v, v + 1, v + 2, v + 3) == 5;
         v += WIDTH)
        labels[rows++] = (int)label;
    fclose(file);
    nn_svm_data data;
    assert_ok(ctx, nn_svm_data_from(ctx, value, labels, rows, WIDTH, &data));
    free(value);
    free(labels);
    return data;
}

static nn_svm_data read_any(tn_ctx *ctx, const char *folder, const char *name)
{
    char *path = test_text("%s%s", folder, name);
    nn_svm_data data = strncmp(name, "svmguide1", 9) == 0 ? read_csv(ctx, path) : read_data(ctx, path);
    free(path);
    return data;
}

static nn_svm *train(tn_ctx *ctx, const nn_svm_data *data, const nn_svm_params *params)
{
    nn_svm *svm = NULL;
    assert_ok(ctx, nn_svm_train(ctx, data, params, &svm, NULL));
    return svm;
}

static int predict(const nn_svm *svm, nn_svm_vector x)
{
    double decision[MAX_PAIRS];
    return nn_svm_labels(svm)[nn_svm_decide(svm, x, decision)];
}

/* The hash of the file that svm-predict writes. */
static uint64_t hash_of_answers(const nn_svm *svm, const nn_svm_data *data)
{
    test_bytes text = {0};
    for (size_t i = 0; i < data->rows; i++) {
        char line[16];
        snprintf(line, sizeof line, "%d\n", predict(svm, nn_svm_row(data, i)));
        test_put_text(&text, line);
    }
    test_put(&text, "", 1);
    const uint64_t hash = tn_hash((const char *)text.data);
    free(text.data);
    return hash;
}

/* ---- LIBSVM's answers ------------------------------------------------------------------------------ */

/* One line of the golden files, which tests/golden/svm_train.py describes. */
typedef struct golden_case {
    char file[64], test[64];            /* names; test "-": none */
    nn_svm_params params;               /* what svm-train was told */
    int weight_label;                   /* of params */
    double weight;                      /* same */
    unsigned long long hash, test_hash; /* of the predicted labels */
    long long vectors;                  /* of the model */
    int pairs;                          /* of the following */
    nn_svm_pair_fit fit[MAX_PAIRS];     /* what it printed */
} golden_case;

static bool read_case(FILE *file, golden_case *c)
{
    int kernel;
    c->params = nn_svm_defaults();
    const int got = fscanf(file, "%63s %63s %d %d %lf %lf %lf %d %lf %llx %llx %lld %d", c->file, c->test,
                           &kernel, &c->params.degree, &c->params.gamma, &c->params.coef0, &c->params.cost,
                           &c->weight_label, &c->weight, &c->hash, &c->test_hash, &c->vectors, &c->pairs);
    if (got == EOF)
        return false;
    assert_int_equal(got, 13);
    c->params.kernel = (nn_svm_kernel)kernel;
    c->params.weight_count = c->weight > 0;
    c->params.weight_label = &c->weight_label;
    c->params.weight = &c->weight;
    assert_in_range(c->pairs, 1, MAX_PAIRS);
    for (int p = 0; p < c->pairs; p++) {
        nn_svm_pair_fit *f = &c->fit[p];
        long long steps;
        assert_int_equal(
            fscanf(file, "%lld %lf %lf %d %d", &steps, &f->objective, &f->rho, &f->vectors, &f->bounded), 5);
        f->iterations = steps;
    }
    return true;
}

/* Six digits behind the point were printed. */
static void assert_printed(const char *what, double got, double want, double relative)
{
    if (!(fabs(got - want) <= relative * fabs(want) + 5.1e-7))
        fail_msg("%s is %.9f, libsvm says %.6f", what, got, want);
}

static void check_case(tn_ctx *ctx, const golden_case *c, const nn_svm_data *data, const nn_svm_data *test)
{
    nn_svm *svm;
    nn_svm_pair_fit *fits;
    assert_ok(ctx, nn_svm_train(ctx, data, &c->params, &svm, &fits));
    assert_int_equal(nn_svm_pairs(svm), c->pairs);
    assert_int_equal(nn_svm_vectors(svm), c->vectors);
    for (int p = 0; p < c->pairs; p++) {
        assert_true(fits[p].converged);
        assert_printed("objective", fits[p].objective, c->fit[p].objective, 1e-6);
        assert_printed("rho", fits[p].rho, c->fit[p].rho, 1e-5);
        assert_int_equal(fits[p].vectors, c->fit[p].vectors);
        assert_int_equal(fits[p].bounded, c->fit[p].bounded);
    }
    assert_int_equal(hash_of_answers(svm, data), c->hash);
    if (test)
        assert_int_equal(hash_of_answers(svm, test), c->test_hash);
    tn_free(ctx, fits);
    nn_svm_destroy(ctx, svm);
}

static void check_cases(const char *list, const char *folder, int least)
{
    tn_ctx *ctx = test_ctx(2, NULL);
    FILE *file = fopen(list, "r");
    assert_non_null(file);
    golden_case c;
    int checked = 0;
    while (read_case(file, &c)) {
        int64_t steps = 0;
        for (int p = 0; p < c.pairs; p++)
            steps += c.fit[p].iterations;
        if (test_quick() && steps > LONG_RUN)
            continue;
        nn_svm_data data = read_any(ctx, folder, c.file), test = {0};
        if (c.test[0] != '-')
            test = read_any(ctx, folder, c.test);
        check_case(ctx, &c, &data, test.rows ? &test : NULL);
        nn_svm_data_free(ctx, &test);
        nn_svm_data_free(ctx, &data);
        checked++;
    }
    assert_true(checked >= least);
    fclose(file);
    tn_ctx_destroy(ctx);
}

static void made_data_as_libsvm(void **state)
{
    (void)state;
    check_cases(GOLDEN "made.txt", GOLDEN, test_quick() ? 28 : 32);
}

static void real_data_as_libsvm(void **state)
{
    (void)state;
    char *folder = test_data("svm/");
    check_cases(GOLDEN "real.txt", folder, test_quick() ? 20 : 31);
    free(folder);
}

/* What an installed svm-train says of settings that are in no golden file. */
static void live_libsvm(void **state)
{
    (void)state;
    if (test_run(NULL, NULL, "command -v svm-train >/dev/null && command -v svm-predict") != 0) {
        print_message("skip: no svm-train\n");
        skip();
    }
    tn_ctx *ctx = test_ctx(1, NULL);
    char *dir = test_make_dir();
    nn_svm_data data = read_data(ctx, GOLDEN "two.data"), test = read_data(ctx, GOLDEN "two.test.data");
    for (int i = 0; i < 12; i++) {
        golden_case c = {.params = nn_svm_defaults(), .pairs = 1};
        c.params.kernel = (nn_svm_kernel)(i % 4);
        c.params.cost = ldexp(0.75, i);
        c.params.gamma = ldexp(1, -i);
        c.params.coef0 = 0.125 * i;
        c.params.shrinking = i % 3 != 0;
        char *out, *at;
        assert_int_equal(
            test_run(&out, NULL,
                     "cd %s && svm-train -t %d -c %.17g -g %.17g -r %.17g -h %d \"$OLDPWD/" GOLDEN
                     "two.data\" m && svm-predict -q \"$OLDPWD/" GOLDEN
                     "two.data\" m train && svm-predict -q \"$OLDPWD/" GOLDEN "two.test.data\" m test",
                     dir, i % 4, c.params.cost, c.params.gamma, c.params.coef0, c.params.shrinking),
            0);
        assert_non_null(at = strstr(out, "obj = "));
        nn_svm_pair_fit *f = &c.fit[0];
        assert_int_equal(sscanf(at, "obj = %lf, rho = %lf nSV = %d, nBSV = %d", &f->objective, &f->rho,
                                &f->vectors, &f->bounded),
                         4);
        c.vectors = f->vectors;
        for (int part = 0; part < 2; part++) {
            char *path = test_text("%s/%s", dir, part ? "test" : "train");
            unsigned char *answers = test_read_file(path, NULL);
            *(part ? &c.test_hash : &c.hash) = tn_hash((const char *)answers);
            free(answers);
            free(path);
        }
        check_case(ctx, &c, &data, &test);
        free(out);
    }
    nn_svm_data_free(ctx, &data);
    nn_svm_data_free(ctx, &test);
    tn_ctx_destroy(ctx);
    test_remove_dir(dir);
}

/* ---- optimality, by definition --------------------------------------------------------------------- */

/* The conditions of Karush, Kuhn and Tucker with kernel values in double: alpha 0 wants y f >= 1, alpha C
 * wants y f <= 1, anything between y f = 1, each but for the tolerance. */
static void solutions_are_optimal(void **state)
{
    (void)state;
    tn_ctx *ctx = test_ctx(1, NULL);
    nn_svm_data data = read_data(ctx, GOLDEN "two.data");
    for (int kernel = 0; kernel < 3; kernel++) {
        nn_svm_params params = nn_svm_defaults();
        params.kernel = (nn_svm_kernel)kernel;
        params.coef0 = 1;
        params.gamma = 0.125;
        params.tolerance = 1e-4;
        nn_svm *svm = train(ctx, &data, &params);
        int64_t at[2] = {0, svm->count[0]};
        double sum = 0;
        for (int side = 0; side < 2; side++)
            for (size_t i = 0; i < data.rows; i++) {
                if (data.label[i] != svm->label[side])
                    continue;
                const nn_svm_vector x = nn_svm_row(&data, i);
                const int64_t end = side ? svm->vectors : svm->count[0];
                double alpha = 0, decision;
                nn_svm_decide(svm, x, &decision);
                const nn_svm_vector sv = nn_svm_sv(svm, at[side] < end ? at[side] : end - 1);
                /* Of equal rows any may be the support vector. */
                if (at[side] < end && sv.count == x.count &&
                    memcmp(sv.entry, x.entry, x.count * sizeof *x.entry) == 0)
                    alpha = fabs(svm->coef[at[side]++]);
                sum += side ? -alpha : alpha;
                const double margin = side ? -decision : decision;
                assert_true(alpha >= 0 && alpha <= params.cost);
                assert_true(alpha == params.cost || margin >= 1 - 2e-4);
                assert_true(alpha == 0 || margin <= 1 + 2e-4);
            }
        assert_int_equal(at[0], svm->count[0]);
        assert_int_equal(at[1], svm->vectors);
        assert_true(fabs(sum) < 1e-10);
        nn_svm_destroy(ctx, svm);
    }
    nn_svm_data_free(ctx, &data);
    tn_ctx_destroy(ctx);
}

/* ---- what results may not depend on ---------------------------------------------------------------- */

static void assert_same_model(const nn_svm *a, const nn_svm *b)
{
    const size_t pairs = (size_t)nn_svm_pairs(a);
    assert_int_equal(a->vectors, b->vectors);
    assert_memory_equal(a->rho, b->rho, pairs * sizeof *a->rho);
    assert_memory_equal(a->coef, b->coef, (size_t)a->vectors * (size_t)(a->classes - 1) * sizeof *a->coef);
    assert_int_equal(a->prob_a != NULL, b->prob_a != NULL);
    if (a->prob_a) {
        assert_memory_equal(a->prob_a, b->prob_a, pairs * sizeof *a->prob_a);
        assert_memory_equal(a->prob_b, b->prob_b, pairs * sizeof *a->prob_b);
    }
}

static void threads_and_memory_change_nothing(void **state)
{
    (void)state;
    tn_ctx *one = test_ctx(1, NULL);
    nn_svm_data data = read_data(one, GOLDEN "three.data");
    nn_svm_params params = nn_svm_defaults();
    params.cost = 20;
    params.probability = true;
    nn_svm *want = train(one, &data, &params);
    assert_true(nn_svm_has_probability(want));
    for (int threads = 1; threads <= 3; threads++)
        for (size_t bytes = 0; bytes <= 40000; bytes += 10000) {
            tn_ctx *ctx = test_ctx(threads, NULL);
            nn_svm_params other = params;
            other.cache_bytes = bytes;
            nn_svm *got = train(ctx, &data, &other);
            assert_same_model(got, want);
            nn_svm_destroy(ctx, got);
            tn_ctx_destroy(ctx);
        }
    params.seed = 1;
    nn_svm *other = train(one, &data, &params);
    assert_true(other->prob_a[0] != want->prob_a[0]); /* the seed shuffles */
    nn_svm_destroy(one, other);
    nn_svm_destroy(one, want);
    nn_svm_data_free(one, &data);
    tn_ctx_destroy(one);
}

static void memory_is_capped(void **state)
{
    (void)state;
    test_memory memory;
    test_memory_init(&memory);
    tn_ctx *ctx = test_memory_ctx(&memory);
    nn_svm_data data = read_data(ctx, GOLDEN "two.data");
    size_t peak[2];
    for (int i = 0; i < 2; i++) {
        nn_svm_params params = nn_svm_defaults();
        params.cache_bytes = i ? 0 : 60000;
        const size_t before = memory.bytes;
        memory.peak = before;
        nn_svm_destroy(ctx, train(ctx, &data, &params));
        peak[i] = memory.peak - before;
    }
    /* Two rows of 150 floats are the least. */
    assert_in_range(peak[0] - peak[1], 60000 - 1200 - 1200, 60000);
    nn_svm_data_free(ctx, &data);
    tn_ctx_destroy(ctx);
}

/* Enough rows for shrinking to come into play. */
static nn_svm_data make_rows(tn_ctx *ctx, size_t rows, uint64_t seed)
{
    enum { WIDTH = 3 };
    double *value = calloc(rows * WIDTH, sizeof *value);
    int *label = calloc(rows, sizeof *label);
    for (size_t i = 0; i < rows; i++) {
        label[i] = i % 3 == 0 ? 2 : 5;
        for (size_t j = 0; j < WIDTH; j++)
            value[i * WIDTH + j] = (double)tn_uniform(seed, j, i) + (label[i] == 2 && j < 2 ? 0.4 : 0);
    }
    nn_svm_data data;
    assert_ok(ctx, nn_svm_data_from(ctx, value, label, rows, WIDTH, &data));
    free(value);
    free(label);
    return data;
}

static void shrinking_changes_no_prediction(void **state)
{
    (void)state;
    tn_ctx *ctx = test_ctx(1, NULL);
    nn_svm_data data = make_rows(ctx, test_quick() ? 600 : 1500, 4), test = make_rows(ctx, 1000, 5);
    for (int kernel = 0; kernel < 4; kernel++) {
        nn_svm_params params = nn_svm_defaults();
        params.kernel = (nn_svm_kernel)kernel;
        params.cost = kernel == NN_SVM_SIGMOID ? 1 : 10;
        params.coef0 = kernel == NN_SVM_SIGMOID ? -1 : 1;
        /* Both stop somewhere within the tolerance, so that it has to be a small one. */
        params.tolerance = 1e-6;
        nn_svm *with, *without;
        nn_svm_pair_fit *fit, *plain;
        assert_ok(ctx, nn_svm_train(ctx, &data, &params, &with, &fit));
        params.shrinking = false;
        assert_ok(ctx, nn_svm_train(ctx, &data, &params, &without, &plain));
        assert_true(fabs(fit->objective - plain->objective) <= 1e-6 * fabs(plain->objective));
        for (size_t i = 0; i < test.rows; i++)
            assert_int_equal(predict(with, nn_svm_row(&test, i)), predict(without, nn_svm_row(&test, i)));
        tn_free(ctx, fit);
        tn_free(ctx, plain);
        nn_svm_destroy(ctx, with);
        nn_svm_destroy(ctx, without);
    }
    nn_svm_data_free(ctx, &test);
    nn_svm_data_free(ctx, &data);
    tn_ctx_destroy(ctx);
}

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

/* ---- odd data -------------------------------------------------------------------------------------- */

/* Rows as text. */
static nn_svm_data data_of(tn_ctx *ctx, const char *text)
{
    char *dir = test_make_dir(), *path = test_text("%s/data", dir);
    test_write_file(path, text, strlen(text));
    nn_svm_data data = read_data(ctx, path);
    free(path);
    test_remove_dir(dir);
    return data;
}

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
        cmocka_unit_test(made_data_as_libsvm),
        cmocka_unit_test(real_data_as_libsvm),
        cmocka_unit_test(live_libsvm),
        cmocka_unit_test(solutions_are_optimal),
        cmocka_unit_test(threads_and_memory_change_nothing),
        cmocka_unit_test(memory_is_capped),
        cmocka_unit_test(shrinking_changes_no_prediction),
        cmocka_unit_test(sigmoid_is_the_most_likely),
        cmocka_unit_test(probabilities_are_near_those_of_libsvm),
        cmocka_unit_test(cross_validation_is_training_without_the_fold),
        cmocka_unit_test(grid_is_cross_validation_at_each_point),
        cmocka_unit_test(ties_and_points_that_overflow),
        cmocka_unit_test(stratified_folds_are_even),
        cmocka_unit_test(sources_stay_together),
        cmocka_unit_test(odd_data_train),
        cmocka_unit_test(gamma_0_is_one_over_the_largest_index),
        cmocka_unit_test(folds_without_a_class),
        cmocka_unit_test(wrong_input_is_refused),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
