/* Fusion of two networks' probabilities, with a small SVM whose decisions are known by hand. */
#include "tests/common/testing.h"

#include "nn/nn.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Of two classes the one with the larger sum of both scores wins: support vector i is e_i + e_(3+i), and each
 * pair's decision value the difference of two products. Labels are out of order on purpose. */
static const char voter[] = "svm_type c_svc\nkernel_type linear\nnr_class 3\ntotal_sv 3\nrho 0 0 0\n"
                            "label 3 1 2\n%snr_sv 1 1 1\nSV\n"
                            "1 1 3:1 6:1\n-1 1 1:1 4:1\n-1 -1 2:1 5:1\n";

static char *write_text(const char *dir, const char *text)
{
    char *path = NULL;
    assert_true(asprintf(&path, "%s/fusion.svm", dir) > 0);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
    return path;
}

static nn_fusion *open_voter(tn_ctx *ctx, const char *dir, const char *platt)
{
    char text[512];
    snprintf(text, sizeof text, voter, platt);
    char *path = write_text(dir, text);
    nn_fusion *fusion = NULL;
    assert_ok(ctx, nn_fusion_open(ctx, path, 3, &fusion));
    free(path);
    return fusion;
}

static void the_vote_is_the_label_and_classes_are_in_the_networks_order(void **state)
{
    (void)state;
    tn_ctx *ctx = test_ctx(1, NULL);
    char *dir = test_make_dir();
    nn_fusion *fusion = open_voter(ctx, dir, "probA -2 -2 -2\nprobB 0 0 0\n");
    assert_true(nn_fusion_is_svm(fusion));
    assert_true(nn_fusion_has_probability(fusion));

    /* Sums are 0.9, 0.7 and 0.4. */
    const float video[3] = {0.6f, 0.1f, 0.3f}, audio[3] = {0.3f, 0.6f, 0.1f};
    int label;
    double p[3];
    bool known;
    assert_ok(ctx, nn_fuse(fusion, video, audio, &label, p, &known));
    assert_int_equal(label, 0);
    assert_true(known);
    assert_true(p[0] > p[1] && p[1] > p[2] && p[2] > 0);
    assert_true(fabs(p[0] + p[1] + p[2] - 1) < 1e-9);

    /* Scores are not mixed up with each other: now the last class has the larger sum. */
    const float other[3] = {0.0f, 0.1f, 0.9f};
    assert_ok(ctx, nn_fuse(fusion, video, other, &label, p, &known));
    assert_int_equal(label, 2);
    nn_fusion_close(fusion);
    test_remove_dir(dir);
    tn_ctx_destroy(ctx);
}

static void without_platts_numbers_there_are_no_probabilities(void **state)
{
    (void)state;
    tn_ctx *ctx = test_ctx(1, NULL);
    char *dir = test_make_dir();
    nn_fusion *fusion = open_voter(ctx, dir, "");
    assert_false(nn_fusion_has_probability(fusion));
    const float video[3] = {0.1f, 0.7f, 0.2f}, audio[3] = {0.3f, 0.4f, 0.3f};
    int label;
    double p[3] = {9, 9, 9};
    bool known = true;
    assert_ok(ctx, nn_fuse(fusion, video, audio, &label, p, &known));
    assert_int_equal(label, 1);
    assert_false(known);
    assert_true(p[0] == 0 && p[1] == 0 && p[2] == 0);
    nn_fusion_close(fusion);
    test_remove_dir(dir);
    tn_ctx_destroy(ctx);
}

static void one_network_alone_is_the_answer_and_two_without_svm_the_mean(void **state)
{
    (void)state;
    tn_ctx *ctx = test_ctx(1, NULL);
    nn_fusion *fusion = NULL;
    assert_ok(ctx, nn_fusion_open(ctx, NULL, 3, &fusion));
    assert_false(nn_fusion_is_svm(fusion));
    const float video[3] = {0.25f, 0.25f, 0.5f}, audio[3] = {0.0f, 0.75f, 0.25f};
    const double want[3][3] = {{0.25, 0.25, 0.5}, {0, 0.75, 0.25}, {0.125, 0.5, 0.375}};
    const int labels[3] = {2, 1, 1};
    for (int i = 0; i < 3; i++) {
        int label;
        double p[3];
        bool known;
        assert_ok(ctx, nn_fuse(fusion, i == 1 ? NULL : video, i == 0 ? NULL : audio, &label, p, &known));
        assert_true(known);
        assert_int_equal(label, labels[i]);
        for (int c = 0; c < 3; c++)
            assert_true(p[c] == want[i][c]);
    }
    nn_fusion_close(fusion);
    tn_ctx_destroy(ctx);
}

static void an_svm_of_other_classes_is_refused(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"svm_type c_svc\nkernel_type linear\nnr_class 2\ntotal_sv 2\nrho 0\nlabel 1 2\nnr_sv 1 1\n"
         "SV\n1 1:1\n-1 2:1\n",
         "the SVM has 2 classes, the networks have 3"},
        {"svm_type c_svc\nkernel_type linear\nnr_class 3\ntotal_sv 3\nrho 0 0 0\nlabel 0 1 2\nnr_sv 1 1 1\n"
         "SV\n1 1 1:1\n-1 1 2:1\n-1 -1 3:1\n",
         "label 0, expected 1 to 3"},
        {"svm_type c_svc\nkernel_type linear\nnr_class 3\ntotal_sv 3\nrho 0 0 0\nlabel 1 2 3\nnr_sv 1 1 1\n"
         "SV\n1 1 1:1\n-1 1 2:1\n-1 -1 7:1\n",
         "input 7, expected at most 6"},
    };
    tn_ctx *ctx = test_ctx(1, NULL);
    char *dir = test_make_dir();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char *path = write_text(dir, cases[i][0]);
        nn_fusion *fusion = NULL;
        assert_status(ctx, nn_fusion_open(ctx, path, 3, &fusion), TN_SHAPE);
        assert_null(fusion);
        assert_non_null(strstr(tn_error(ctx), cases[i][1]));
        tn_clear_error(ctx);
        free(path);
    }
    nn_fusion *fusion = NULL;
    assert_status(ctx, nn_fusion_open(ctx, "/nonexistent/fusion.svm", 3, &fusion), TN_IO);
    test_remove_dir(dir);
    tn_ctx_destroy(ctx);
}

static void the_largest_come_in_order(void **state)
{
    (void)state;
    const float value[6] = {0.1f, 0.3f, 0.05f, 0.3f, 0.25f, 0.0f};
    int index[6];
    nn_largest(value, 6, 6, index);
    const int all[6] = {1, 3, 4, 0, 2, 5};
    assert_memory_equal(index, all, sizeof all);
    int first[2];
    nn_largest(value, 6, 2, first);
    assert_memory_equal(first, all, sizeof first);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_vote_is_the_label_and_classes_are_in_the_networks_order),
        cmocka_unit_test(without_platts_numbers_there_are_no_probabilities),
        cmocka_unit_test(one_network_alone_is_the_answer_and_two_without_svm_the_mean),
        cmocka_unit_test(an_svm_of_other_classes_is_refused),
        cmocka_unit_test(the_largest_come_in_order),
    };
    return cmocka_run_group_tests_name("fusion", tests, NULL, NULL);
}
