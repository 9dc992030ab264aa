/* Training support vector machines against LIBSVM's svm-train, and what it may not depend on. */
#include "tests/common/memory.h"
#include "tests/nn/svm.h"

enum { LONG_RUN = 3000 };

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
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
