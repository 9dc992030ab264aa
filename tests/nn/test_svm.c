/* Support vector machines against LIBSVM's own answers, and files that are wrong. */
#include "tests/common/testing.h"

#include "nn/nn.h"

#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_CLASSES = 8, MAX_PAIRS = MAX_CLASSES * (MAX_CLASSES - 1) / 2 };

static char *path_of(const char *dir, const char *name, const char *suffix)
{
    char *path = NULL;
    assert_true(asprintf(&path, "%s/%s%s", dir, name, suffix) > 0);
    return path;
}

static FILE *open_text(const char *dir, const char *name, const char *suffix)
{
    char *path = path_of(dir, name, suffix);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    free(path);
    return file;
}

static nn_svm *read_model(tn_ctx *ctx, const char *dir, const char *name)
{
    char *path = path_of(dir, name, ".model");
    nn_svm *svm = NULL;
    assert_ok(ctx, nn_svm_read(ctx, path, &svm));
    free(path);
    return svm;
}

static nn_svm_data read_data(tn_ctx *ctx, const char *path)
{
    nn_svm_data data;
    assert_ok(ctx, nn_svm_data_read(ctx, path, &data));
    return data;
}

/* ---- answers --------------------------------------------------------------------------------------- */

static void labels_are_those_of_libsvm(tn_ctx *ctx, const nn_svm *svm, const nn_svm_data *data, FILE *want)
{
    (void)ctx;
    double decision[MAX_PAIRS];
    for (size_t i = 0; i < data->rows; i++) {
        int label;
        assert_int_equal(fscanf(want, "%d", &label), 1);
        int winner = nn_svm_decide(svm, nn_svm_row(data, i), decision);
        assert_int_equal(nn_svm_labels(svm)[winner], label);
    }
    int surplus;
    assert_int_equal(fscanf(want, "%d", &surplus), EOF);
    fclose(want);
}

/* Lines are "label p p p"; that label is the probabilities' argmax and is not what we answer. */
static void probabilities_are_those_of_libsvm(tn_ctx *ctx, const nn_svm *svm, const nn_svm_data *data,
                                              FILE *want)
{
    const int k = nn_svm_classes(svm);
    double decision[MAX_PAIRS], probability[MAX_CLASSES];
    assert_int_equal(fscanf(want, "labels"), 0);
    for (int c = 0; c < k; c++) {
        int label;
        assert_int_equal(fscanf(want, "%d", &label), 1);
        assert_int_equal(label, nn_svm_labels(svm)[c]);
    }
    for (size_t i = 0; i < data->rows; i++) {
        double p, sum = 0;
        nn_svm_decide(svm, nn_svm_row(data, i), decision);
        assert_ok(ctx, nn_svm_probability(ctx, svm, decision, probability));
        assert_int_equal(fscanf(want, "%*d"), 0);
        for (int c = 0; c < k; c++) {
            assert_int_equal(fscanf(want, "%lf", &p), 1);
            /* svm-predict prints six significant digits. */
            if (!(fabs(probability[c] - p) <= 5.1e-6 * p))
                fail_msg("row %zu, class %d: %.9g, libsvm says %.6g", i, c, probability[c], p);
            sum += probability[c];
        }
        assert_true(fabs(sum - 1) < 1e-12);
    }
    fclose(want);
}

static const char *const models[] = {"linear", "polynomial", "rbf", "sigmoid", "nu", "pair"};
enum { MODELS = sizeof models / sizeof *models };

static void every_kernel_answers_as_libsvm(void **state)
{
    (void)state;
    const char *dir = "tests/golden/svm";
    tn_ctx *ctx = test_ctx(1, NULL);
    nn_svm_data data = read_data(ctx, "tests/golden/svm/test.data");
    assert_int_equal(data.rows, 40);
    assert_int_equal(data.max_index, 4);
    for (int m = 0; m < MODELS; m++) {
        nn_svm *svm = read_model(ctx, dir, models[m]);
        assert_true(nn_svm_has_probability(svm));
        labels_are_those_of_libsvm(ctx, svm, &data, open_text(dir, models[m], ".labels"));
        probabilities_are_those_of_libsvm(ctx, svm, &data, open_text(dir, models[m], ".probabilities"));
        nn_svm_destroy(ctx, svm);
    }
    nn_svm_data_free(ctx, &data);
    tn_ctx_destroy(ctx);
}

static void heart_scale(void **state)
{
    (void)state;
    char *model = test_data("svm/heart_scale.model"), *rows = test_data("svm/heart_scale"),
         *out = test_data("svm/heart_scale_out");
    tn_ctx *ctx = test_ctx(1, NULL);
    nn_svm *svm = NULL;
    assert_ok(ctx, nn_svm_read(ctx, model, &svm));
    assert_int_equal(nn_svm_vectors(svm), 132);
    assert_false(nn_svm_has_probability(svm));
    nn_svm_data data = read_data(ctx, rows);
    assert_int_equal(data.rows, 270);
    FILE *want = fopen(out, "r");
    assert_non_null(want);
    labels_are_those_of_libsvm(ctx, svm, &data, want);

    double decision[1], probability[2];
    nn_svm_decide(svm, nn_svm_row(&data, 0), decision);
    assert_status(ctx, nn_svm_probability(ctx, svm, decision, probability), TN_UNSUPPORTED);
    nn_svm_data_free(ctx, &data);
    nn_svm_destroy(ctx, svm);
    tn_ctx_destroy(ctx);
    free(model);
    free(rows);
    free(out);
}

/* With one support vector a class the decision is written down by hand: f = 2 K(a, x) - 3 K(b, x) - 0.5. */
static void decision_by_hand(void **state)
{
    (void)state;
    char *dir = test_make_dir(), *path = path_of(dir, "hand", ".model");
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(
        "svm_type c_svc\nkernel_type rbf\ngamma 0.5\nnr_class 2\ntotal_sv 2\nrho 0.5\nlabel 7 -3\nnr_sv 1 1\n"
        "SV\n2 1:1 3:-1\n-3 2:2\n",
        file);
    fclose(file);
    tn_ctx *ctx = test_ctx(1, NULL);
    nn_svm *svm = NULL;
    assert_ok(ctx, nn_svm_read(ctx, path, &svm));
    const nn_svm_entry x[] = {{1, 0.5}, {2, 1}, {4, 2}};
    double decision;
    int winner = nn_svm_decide(svm, (nn_svm_vector){x, 3}, &decision);
    /* |a - x|^2 = 0.25 + 1 + 1 + 4, |b - x|^2 = 0.25 + 1 + 4 */
    double want = 2 * exp(-0.5 * 6.25) - 3 * exp(-0.5 * 5.25) - 0.5;
    assert_true(fabs(decision - want) < 1e-15);
    assert_int_equal(winner, 1);
    assert_int_equal(nn_svm_labels(svm)[winner], -3);
    assert_int_equal(nn_svm_max_index(svm), 3);
    nn_svm_destroy(ctx, svm);
    tn_ctx_destroy(ctx);
    free(path);
    test_remove_dir(dir);
}

/* ---- files ----------------------------------------------------------------------------------------- */

static char *slurp(const char *path, size_t *size)
{
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    char *bytes = calloc(1, 1 << 20);
    assert_non_null(bytes);
    *size = fread(bytes, 1, (1 << 20) - 1, file);
    fclose(file);
    return bytes;
}

static void writing_gives_back_the_same_file(void **state)
{
    (void)state;
    tn_ctx *ctx = test_ctx(1, NULL);
    char *dir = test_make_dir();
    for (int m = 0; m < MODELS; m++) {
        nn_svm *svm = read_model(ctx, "tests/golden/svm", models[m]);
        char *from = path_of("tests/golden/svm", models[m], ".model"), *to = path_of(dir, models[m], "");
        assert_ok(ctx, nn_svm_write(ctx, svm, to));
        size_t a, b;
        char *before = slurp(from, &a), *after = slurp(to, &b);
        assert_int_equal(a, b);
        assert_memory_equal(before, after, a);
        free(before);
        free(after);
        free(from);
        free(to);
        nn_svm_destroy(ctx, svm);
    }
    nn_svm *svm = read_model(ctx, "tests/golden/svm", "rbf");
    assert_status(ctx, nn_svm_write(ctx, svm, "no/such/folder/x.model"), TN_IO);
    nn_svm_destroy(ctx, svm);
    tn_ctx_destroy(ctx);
    test_remove_dir(dir);
}

/* A program in such a locale reads and writes the same, and keeps its locale. */
static void the_locale_does_not_matter(void **state)
{
    char *dir = test_make_dir(), number[16];
    if (test_use_decimal_comma(dir)) {
        writing_gives_back_the_same_file(state);
        snprintf(number, sizeof number, "%.1f", 0.5);
        setlocale(LC_ALL, "C");
        assert_string_equal(number, "0,5");
        test_remove_dir(dir);
        return;
    }
    test_remove_dir(dir);
    print_message("skip: no locale with a decimal comma here\n");
    skip();
}

#define HEAD                                                                                                 \
    "svm_type c_svc\nkernel_type rbf\ngamma 0.5\nnr_class 2\ntotal_sv 2\nrho 0.5\nlabel 1 -1\nnr_sv 1 1\nSV\n"

static const struct {
    const char *text;    /* of the file */
    tn_status status;    /* of reading it */
    const char *message; /* part of what is said */
} wrong_models[] = {
    {"", TN_FORMAT, "ends before \"SV\""},
    {"hello world\n", TN_FORMAT, ":1: \"hello\" where a LIBSVM model begins"},
    {"svm_type c_svc\nhello\n", TN_FORMAT, ":2: \"hello\" is not a keyword"},
    {"svm_type epsilon_svr\n", TN_UNSUPPORTED, "epsilon_svr"},
    {"svm_type one_class\n", TN_UNSUPPORTED, "one_class"},
    {"svm_type\n", TN_UNSUPPORTED, "svm_type"},
    {"svm_type c_svc\nkernel_type precomputed\n", TN_UNSUPPORTED, "precomputed"},
    {"svm_type c_svc\nsvm_type c_svc\n", TN_FORMAT, ":2: svm_type is there twice"},
    {"svm_type c_svc x\n", TN_FORMAT, "unexpected \"x\""},
    {"gamma inf\n", TN_FORMAT, "\"inf\" is not a finite number"},
    {"gamma 1e999\n", TN_FORMAT, "1e999"},
    {"gamma 0x10\n", TN_FORMAT, "0x10"},
    {"gamma\n", TN_FORMAT, "gamma"},
    {"degree -1\n", TN_FORMAT, "at least 0"},
    {"nr_class 1\n", TN_FORMAT, "at least 2"},
    {"nr_class 99999999999\n", TN_FORMAT, "not a whole number"},
    {"nr_class 2000000000\n", TN_FORMAT, "more than"},
    {"rho 1\n", TN_FORMAT, "rho before nr_class"},
    {"nr_class 2\nlabel 1\n", TN_FORMAT, ":2: label"},
    {"nr_class 2\nlabel 1 1\n", TN_FORMAT, "label 1 is there twice"},
    {"nr_class 2\nlabel 1 2 3\n", TN_FORMAT, "unexpected \"3\""},
    {"nr_class 2\nrho 1 2\n", TN_FORMAT, "unexpected \"2\""},
    {"nr_class 2\n\n", TN_FORMAT, ":2: empty line"},
    {"svm_type c_svc\nkernel_type rbf\nnr_class 2\ntotal_sv 2\nrho 0.5\nlabel 1 -1\nnr_sv 1 1\nSV\n",
     TN_FORMAT, "no gamma"},
    {"svm_type c_svc\nkernel_type linear\nnr_class 2\ntotal_sv 2\nlabel 1 -1\nnr_sv 1 1\nSV\n", TN_FORMAT,
     "no rho"},
    {"svm_type c_svc\nkernel_type linear\nnr_class 2\ntotal_sv 3\nrho 0\nlabel 1 -1\nnr_sv 1 1\nSV\n",
     TN_FORMAT, "nr_sv sums to 2"},
    {"svm_type c_svc\nkernel_type linear\nnr_class 2\ntotal_sv 2\nrho 0\nlabel 1 -1\nprobA 1\nnr_sv 1 1\nSV\n",
     TN_FORMAT, "probA alone"},
    {"svm_type c_svc\nkernel_type linear\nnr_class 2\ntotal_sv 2000000000\nrho 0\nlabel 1 -1\nnr_sv 1000000000 "
     "1000000000\nSV\n1 1:1\n",
     TN_FORMAT, "do not fit"},
    {HEAD "1 1:1\n", TN_FORMAT, "ends after 1 of 2"},
    {HEAD "1 1:1\n-1 1:2\n-1 1:3\n", TN_FORMAT, "more lines"},
    {HEAD "x 1:1\n-1 1:2\n", TN_FORMAT, ":10: coefficient: \"x\""},
    {HEAD "1 1:1\n-1 1\n", TN_FORMAT, ":11: \"1\" is not index:value"},
    {HEAD "1 1:1\n-1 a:1\n", TN_FORMAT, ":11: \"a\" is not an index"},
    {HEAD "1 1:1\n-1 -1:1\n", TN_FORMAT, "\"-1\" is not an index"},
    {HEAD "1 1:1\n-1 1:nan\n", TN_FORMAT, "index 1: \"nan\""},
    {HEAD "1 1:1\n-1 1:1:1\n", TN_FORMAT, "1:1"},
    {HEAD "1 1:1\n-1 2:1 2:3\n", TN_FORMAT, "index 2 after 2"},
};

static char *write_text(const char *dir, const char *text, size_t size)
{
    char *path = path_of(dir, "file", ".txt");
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, size, file), size);
    fclose(file);
    return path;
}

static void wrong_models_are_refused_by_line(void **state)
{
    (void)state;
    char *dir = test_make_dir();
    tn_ctx *ctx = test_ctx(1, NULL);
    for (size_t i = 0; i < sizeof wrong_models / sizeof *wrong_models; i++) {
        char *path = write_text(dir, wrong_models[i].text, strlen(wrong_models[i].text));
        nn_svm *svm = NULL;
        assert_status(ctx, nn_svm_read(ctx, path, &svm), wrong_models[i].status);
        assert_null(svm);
        if (!strstr(tn_error(ctx), wrong_models[i].message) || !strstr(tn_error(ctx), path))
            fail_msg("\"%s\" lacks \"%s\"", tn_error(ctx), wrong_models[i].message);
        tn_clear_error(ctx);
        free(path);
    }
    char *path = write_text(dir, HEAD "1 1:1\n-1 \0001:1\n", sizeof HEAD + 14);
    nn_svm *svm = NULL;
    assert_status(ctx, nn_svm_read(ctx, path, &svm), TN_FORMAT);
    assert_non_null(strstr(tn_error(ctx), "not a text file"));
    tn_clear_error(ctx);
    assert_status(ctx, nn_svm_read(ctx, "no/such.model", &svm), TN_IO);
    tn_clear_error(ctx);
    assert_status(ctx, nn_svm_read(ctx, dir, &svm), TN_IO);
    free(path);
    tn_ctx_destroy(ctx);
    test_remove_dir(dir);
}

/* No prefix of a model is taken for a whole one, but those that only lack the blanks at the end, or cut the
 * last number short. */
static void cut_models_are_refused(void **state)
{
    (void)state;
    char *dir = test_make_dir();
    tn_ctx *ctx = test_ctx(1, NULL);
    size_t size;
    char *bytes = slurp("tests/golden/svm/pair.model", &size);
    size_t last = size - 2;
    while (bytes[last - 1] != '\n')
        last--;
    for (size_t n = 0; n <= last; n++) {
        char *path = write_text(dir, bytes, n);
        nn_svm *svm = NULL;
        tn_status status = nn_svm_read(ctx, path, &svm);
        assert_true(status == TN_FORMAT || status == TN_UNSUPPORTED); /* "svm_type c_s" */
        assert_null(svm);
        tn_clear_error(ctx);
        free(path);
    }
    free(bytes);
    tn_ctx_destroy(ctx);
    test_remove_dir(dir);
}

static void data_files(void **state)
{
    (void)state;
    static const struct {
        const char *text, *message; /* message NULL: good */
    } files[] = {
        {"1 1:2 3:4\n-1\n+2 0:1e-3", NULL},    {"", "empty"},
        {"1 1:2\n\n", ":2: empty line"},       {"a 1:2\n", ":1: \"a\" is not a label"},
        {"1 2:1 1:1\n", "index 1 after 2"},    {"1 1:\n", "index 1: \"\""},
        {"1 99999999999:1\n", "not an index"}, {"1 1:1 x\n", "\"x\" is not index:value"},
    };
    char *dir = test_make_dir();
    tn_ctx *ctx = test_ctx(1, NULL);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char *path = write_text(dir, files[i].text, strlen(files[i].text));
        nn_svm_data data;
        assert_status(ctx, nn_svm_data_read(ctx, path, &data), files[i].message ? TN_FORMAT : TN_OK);
        if (files[i].message)
            assert_non_null(strstr(tn_error(ctx), files[i].message));
        tn_clear_error(ctx);
        if (i == 0) {
            assert_int_equal(data.rows, 3);
            assert_int_equal(data.max_index, 3);
            assert_int_equal(nn_svm_row(&data, 0).count, 2);
            assert_int_equal(nn_svm_row(&data, 0).entry[1].index, 3);
            assert_true(nn_svm_row(&data, 0).entry[1].value == 4);
            assert_int_equal(nn_svm_row(&data, 1).count, 0);
            assert_true(data.label[1] == -1 && data.label[2] == 2);
            assert_true(nn_svm_row(&data, 2).entry[0].value == 1e-3);
        }
        nn_svm_data_free(ctx, &data);
        free(path);
    }
    tn_ctx_destroy(ctx);
    test_remove_dir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kernel_answers_as_libsvm),
        cmocka_unit_test(heart_scale),
        cmocka_unit_test(decision_by_hand),
        cmocka_unit_test(writing_gives_back_the_same_file),
        cmocka_unit_test(the_locale_does_not_matter),
        cmocka_unit_test(wrong_models_are_refused_by_line),
        cmocka_unit_test(cut_models_are_refused),
        cmocka_unit_test(data_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
