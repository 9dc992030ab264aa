/* What the files of the support vector machine share: the model's inside and its kernel. */
#ifndef NN_SVM_H
#define NN_SVM_H

#include "nn/nn.h"
#include "nn/text.h"

/* A kernel and its constants; those that a kernel does not use are 0. */
typedef struct nn_svm_kernel_params {
    nn_svm_kernel kernel;
    int degree;
    double gamma, coef0;
} nn_svm_kernel_params;

struct nn_svm {
    bool nu;                     /* svm_type is nu_svc; predicts as c_svc */
    nn_svm_kernel_params kernel; /* of the model */
    int classes;                 /* k */
    int *label;                  /* k: what the classes are called */
    int *count;                  /* k: support vectors of each class; they lie one class behind the other */
    double *rho;                 /* pairs: subtracted from each decision value */
    double *prob_a, *prob_b;     /* pairs: Platt's sigmoid, or both NULL */
    int64_t vectors;             /* support vectors */
    double *coef;                /* vectors x (k - 1): against the other classes in their order */
    size_t *start;               /* vectors + 1: vector i is entry[start[i]] to entry[start[i + 1] - 1] */
    nn_svm_entry *entry;         /* of all vectors */
    int max_index;               /* largest index among them, 0 where there is none */
};

static inline int nn_svm_pair_count(int classes)
{
    return classes * (classes - 1) / 2;
}

static inline nn_svm_vector nn_svm_sv(const nn_svm *svm, int64_t i)
{
    return (nn_svm_vector){svm->entry + svm->start[i], svm->start[i + 1] - svm->start[i]};
}

/* K(a, b), summed in ascending order of the indices. */
double nn_svm_kernel_value(const nn_svm_kernel_params *params, nn_svm_vector a, nn_svm_vector b);

/* The same from a.b, a.a and b.b; RBF by |a - b|^2 = a.a + b.b - 2 a.b. */
double nn_svm_kernel_of(const nn_svm_kernel_params *params, double dot, double a_square, double b_square);

/* Where the pair (i, j), i < j, is among all pairs of k classes. */
static inline int nn_svm_pair_index(int k, int i, int j)
{
    return i * k - i * (i + 1) / 2 + j - i - 1;
}

/* Reads the index:value words in `rest` to `entry`, which has room for `room` more; *count becomes their
 * number and *max_index grows. */
tn_status nn_svm_parse_entries(nn_text *text, char *rest, nn_svm_entry *entry, size_t room, size_t *count,
                               int *max_index);

/* An upper bound of the entries in what has not been read yet: its colons. */
size_t nn_svm_count_entries(const nn_text *text);

#endif
