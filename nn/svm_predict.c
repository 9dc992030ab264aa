/* Support vector machines: kernels, decision values, votes, probabilities. */
#include "nn/svm.h"

#include <math.h>

int nn_svm_classes(const nn_svm *svm)
{
    return svm->classes;
}

const int *nn_svm_labels(const nn_svm *svm)
{
    return svm->label;
}

int nn_svm_pairs(const nn_svm *svm)
{
    return nn_svm_pair_count(svm->classes);
}

int64_t nn_svm_vectors(const nn_svm *svm)
{
    return svm->vectors;
}

int nn_svm_max_index(const nn_svm *svm)
{
    return svm->max_index;
}

bool nn_svm_has_probability(const nn_svm *svm)
{
    return svm->prob_a != NULL;
}

/* ---- kernels --------------------------------------------------------------------------------------- */

static double dot_product(nn_svm_vector a, nn_svm_vector b)
{
    double sum = 0;
    for (size_t i = 0, j = 0; i < a.count && j < b.count;) {
        if (a.entry[i].index == b.entry[j].index)
            sum += a.entry[i++].value * b.entry[j++].value;
        else if (a.entry[i].index < b.entry[j].index)
            i++;
        else
            j++;
    }
    return sum;
}

static double squared_distance(nn_svm_vector a, nn_svm_vector b)
{
    double sum = 0;
    for (size_t i = 0, j = 0; i < a.count || j < b.count;) {
        double d;
        if (j == b.count || (i < a.count && a.entry[i].index < b.entry[j].index))
            d = a.entry[i++].value;
        else if (i == a.count || a.entry[i].index > b.entry[j].index)
            d = b.entry[j++].value;
        else
            d = a.entry[i++].value - b.entry[j++].value;
        sum += d * d;
    }
    return sum;
}

static double power(double base, int exponent)
{
    double result = 1;
    for (; exponent > 0; exponent /= 2) {
        if (exponent % 2 == 1)
            result *= base;
        base *= base;
    }
    return result;
}

double nn_svm_kernel_of(const nn_svm_kernel_params *params, double dot, double a_square, double b_square)
{
    switch (params->kernel) {
    case NN_SVM_LINEAR:
        return dot;
    case NN_SVM_POLYNOMIAL:
        return power(params->gamma * dot + params->coef0, params->degree);
    case NN_SVM_RBF:
        return exp(-params->gamma * (a_square + b_square - 2 * dot));
    case NN_SVM_SIGMOID:
        return tanh(params->gamma * dot + params->coef0);
    }
    return 0;
}

double nn_svm_kernel_value(const nn_svm_kernel_params *params, nn_svm_vector a, nn_svm_vector b)
{
    if (params->kernel == NN_SVM_RBF) /* the differences themselves: no cancellation */
        return exp(-params->gamma * squared_distance(a, b));
    return nn_svm_kernel_of(params, dot_product(a, b), 0, 0);
}

/* ---- decision -------------------------------------------------------------------------------------- */

int nn_svm_decide(const nn_svm *svm, nn_svm_vector x, double *decision)
{
    const int k = svm->classes, pairs = nn_svm_pairs(svm);
    for (int p = 0; p < pairs; p++)
        decision[p] = 0;
    /* Vectors lie class behind class, so each pair sums its first class, then its second, as LIBSVM does. */
    int64_t at = 0;
    for (int c = 0; c < k; c++)
        for (int n = 0; n < svm->count[c]; n++, at++) {
            const double *coef = svm->coef + at * (k - 1);
            double value = nn_svm_kernel_value(&svm->kernel, nn_svm_sv(svm, at), x);
            for (int i = 0; i < c; i++)
                decision[nn_svm_pair_index(k, i, c)] += coef[i] * value;
            for (int j = c + 1; j < k; j++)
                decision[nn_svm_pair_index(k, c, j)] += coef[j - 1] * value;
        }
    for (int p = 0; p < pairs; p++)
        decision[p] -= svm->rho[p];

    int winner = 0, most = -1;
    for (int c = 0; c < k; c++) {
        int votes = 0;
        for (int i = 0; i < c; i++)
            votes += !(decision[nn_svm_pair_index(k, i, c)] > 0);
        for (int j = c + 1; j < k; j++)
            votes += decision[nn_svm_pair_index(k, c, j)] > 0;
        if (votes > most) {
            winner = c;
            most = votes;
        }
    }
    return winner;
}

/* ---- probabilities --------------------------------------------------------------------------------- */

/* Platt 1999: P(first of the pair | decision value), kept away from 0 and 1 as LIBSVM does. */
static double sigmoid(double decision, double a, double b)
{
    const double least = 1e-7;
    double z = a * decision + b;
    double p = z >= 0 ? exp(-z) / (1 + exp(-z)) : 1 / (1 + exp(z));
    return p < least ? least : p > 1 - least ? 1 - least : p;
}

/* Wu, Lin and Weng 2004, algorithm 2: minimises p'Qp over the simplex, where Q[t][t] = sum_j r[j][t]^2 and
 * Q[t][j] = -r[j][t] r[t][j]. Stops as LIBSVM does. qp has room for k. */
static void couple(int k, const double *q, double *qp, double *p)
{
    const int rounds = k > 100 ? k : 100;
    for (int t = 0; t < k; t++)
        p[t] = 1.0 / k;
    for (int round = 0; round < rounds; round++) {
        double pqp = 0, worst = 0;
        for (int t = 0; t < k; t++) {
            qp[t] = 0;
            for (int j = 0; j < k; j++)
                qp[t] += q[t * k + j] * p[j];
            pqp += p[t] * qp[t];
        }
        for (int t = 0; t < k; t++)
            worst = fmax(worst, fabs(qp[t] - pqp));
        if (worst < 0.005 / k)
            return;
        for (int t = 0; t < k; t++) {
            double step = (pqp - qp[t]) / q[t * k + t];
            p[t] += step;
            pqp = (pqp + step * (step * q[t * k + t] + 2 * qp[t])) / (1 + step) / (1 + step);
            for (int j = 0; j < k; j++) {
                qp[j] = (qp[j] + step * q[t * k + j]) / (1 + step);
                p[j] /= 1 + step;
            }
        }
    }
}

tn_status nn_svm_probability(tn_ctx *ctx, const nn_svm *svm, const double *decision, double *probability)
{
    const int k = svm->classes;
    if (!nn_svm_has_probability(svm))
        return tn_fail(ctx, TN_UNSUPPORTED, "the support vector machine has no probabilities (probA, probB)");
    if (k == 2) { /* one pair: nothing to couple */
        probability[0] = sigmoid(decision[0], svm->prob_a[0], svm->prob_b[0]);
        probability[1] = 1 - probability[0];
        return TN_OK;
    }
    double *q = tn_zalloc(ctx, (size_t)(k + 1) * (size_t)k, sizeof *q);
    if (!q)
        return TN_NOMEM;
    for (int i = 0; i < k; i++)
        for (int j = i + 1; j < k; j++) {
            int p = nn_svm_pair_index(k, i, j);
            double first = sigmoid(decision[p], svm->prob_a[p], svm->prob_b[p]), second = 1 - first;
            q[i * k + i] += second * second;
            q[j * k + j] += first * first;
            q[i * k + j] = q[j * k + i] = -first * second;
        }
    couple(k, q, q + (size_t)k * (size_t)k, probability);
    tn_free(ctx, q);
    return TN_OK;
}
