/* Platt's sigmoid: Lin, Lin and Weng 2007, "A note on Platt's probabilistic outputs for support vector
 * machines", algorithm 1 with the constants of its appendix. */
#include "nn/svm_train.h"

#include <math.h>

/* Newton's system at a point. */
typedef struct newton {
    double h11, h12, h22; /* Hessian of the negative log likelihood, made definite */
    double g1, g2;        /* its gradient */
} newton;

enum { MAX_STEPS = 100 };

/* -sum t log p + (1 - t) log(1 - p) without cancellation and overflow (section 3). */
static double loss(const double *decision, const double *target, size_t n, double a, double b)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        const double z = decision[i] * a + b;
        sum += z >= 0 ? target[i] * z + log1p(exp(-z)) : (target[i] - 1) * z + log1p(exp(z));
    }
    return sum;
}

static newton derivatives(const double *decision, const double *target, size_t n, double a, double b)
{
    newton d = {.h11 = 1e-12, .h22 = 1e-12};
    for (size_t i = 0; i < n; i++) {
        const double z = decision[i] * a + b, e = exp(-fabs(z));
        const double p = z >= 0 ? e / (1 + e) : 1 / (1 + e), q = z >= 0 ? 1 / (1 + e) : e / (1 + e);
        d.h11 += decision[i] * decision[i] * p * q;
        d.h22 += p * q;
        d.h12 += decision[i] * p * q;
        d.g1 += decision[i] * (target[i] - p);
        d.g2 += target[i] - p;
    }
    return d;
}

void nn_platt_fit(const double *decision, const signed char *y, size_t n, double *target, double *a,
                  double *b)
{
    double positive = 0;
    for (size_t i = 0; i < n; i++)
        positive += y[i] > 0;
    const double negative = (double)n - positive;
    for (size_t i = 0; i < n; i++)
        target[i] = y[i] > 0 ? (positive + 1) / (positive + 2) : 1 / (negative + 2);
    *a = 0;
    *b = log((negative + 1) / (positive + 1));
    double now = loss(decision, target, n, *a, *b);
    for (int round = 0; round < MAX_STEPS; round++) {
        const newton d = derivatives(decision, target, n, *a, *b);
        if (fabs(d.g1) < 1e-5 && fabs(d.g2) < 1e-5)
            return;
        const double det = d.h11 * d.h22 - d.h12 * d.h12;
        const double da = -(d.h22 * d.g1 - d.h12 * d.g2) / det, db = -(d.h11 * d.g2 - d.h12 * d.g1) / det;
        const double slope = d.g1 * da + d.g2 * db;
        double size = 1, next = now;
        for (; size >= 1e-10; size /= 2) {
            next = loss(decision, target, n, *a + size * da, *b + size * db);
            if (next < now + 0.0001 * size * slope)
                break;
        }
        if (size < 1e-10)
            return;
        *a += size * da;
        *b += size * db;
        now = next;
    }
}
