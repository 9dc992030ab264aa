/* What the tests of support vector machines share: data, training, comparison. */
#ifndef TESTS_NN_SVM_H
#define TESTS_NN_SVM_H

#include "tests/common/files.h"

#include "nn/svm_train.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GOLDEN "tests/golden/svm_train/"

enum { MAX_PAIRS = 8 };

static inline nn_svm_data read_data(tn_ctx *ctx, const char *path)
{
    nn_svm_data data;
    assert_ok(ctx, nn_svm_data_read(ctx, path, &data));
    return data;
}

/* Rows as text. */
static inline nn_svm_data data_of(tn_ctx *ctx, const char *text)
{
    char *dir = test_make_dir(), *path = test_text("%s/data", dir);
    test_write_file(path, text, strlen(text));
    nn_svm_data data = read_data(ctx, path);
    free(path);
    test_remove_dir(dir);
    return data;
}

static inline nn_svm *train(tn_ctx *ctx, const nn_svm_data *data, const nn_svm_params *params)
{
    nn_svm *svm = NULL;
    assert_ok(ctx, nn_svm_train(ctx, data, params, &svm, NULL));
    return svm;
}

static inline int predict(const nn_svm *svm, nn_svm_vector x)
{
    double decision[MAX_PAIRS];
    return nn_svm_labels(svm)[nn_svm_decide(svm, x, decision)];
}

static inline void assert_same_model(const nn_svm *a, const nn_svm *b)
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

#endif
