/* Numbers that sum a confusion matrix up, how sure they are, and a test of two systems on the same clips. */
#include "nn/nn.h"

#include <math.h>
#include <stdlib.h>

/* The 97.5 % quantile of the normal distribution. */
static const double z95 = 1.959963984540054;

/* Below this many clips that only one system has right, chi-square is too rough. */
enum { EXACT_BELOW = 25 };

static const nn_rate none = {NAN, {NAN, NAN}};

static double quotient(int64_t a, int64_t b)
{
    return b > 0 ? (double)a / (double)b : NAN;
}

nn_interval nn_wilson(int64_t right, int64_t clips)
{
    if (clips <= 0)
        return none.interval;
    const double n = (double)clips, p = (double)right / n, z2 = z95 * z95;
    const double centre = (p + z2 / (2 * n)) / (1 + z2 / n);
    const double half = z95 / (1 + z2 / n) * sqrt(p * (1 - p) / n + z2 / (4 * n * n));
    /* At the ends the formula gives 0 and 1 but for rounding. */
    return (nn_interval){right == 0 ? 0 : centre - half, right == clips ? 1 : centre + half};
}

static nn_rate proportion(int64_t right, int64_t clips)
{
    return (nn_rate){quotient(right, clips), nn_wilson(right, clips)};
}

/* Fills counts and the numbers of single classes. */
static void count_classes(const int64_t *matrix, nn_metrics *m)
{
    const size_t k = (size_t)m->classes;
    for (size_t i = 0; i < k; i++)
        for (size_t j = 0; j < k; j++) {
            m->of_class[i].clips += matrix[i * k + j];
            m->of_class[j].predicted += matrix[i * k + j];
        }
    for (size_t i = 0; i < k; i++) {
        nn_class_metrics *c = &m->of_class[i];
        c->right = matrix[i * k + i];
        c->recall = proportion(c->right, c->clips);
        c->precision = proportion(c->right, c->predicted);
        c->f1 = quotient(2 * c->right, c->clips + c->predicted);
        m->clips += c->clips;
        m->right += c->right;
    }
}

/* Independent proportions r_k with intervals [l_k, u_k] have the mean's interval
 *     mean - sqrt(sum_k (r_k - l_k)^2) / K   to   mean + sqrt(sum_k (u_k - r_k)^2) / K.
 * It never leaves [0, 1], and keeps its width where all r_k are 0 or 1. */
static nn_rate average_recall(const nn_metrics *m)
{
    double sum = 0, below = 0, above = 0, k = 0;
    for (int i = 0; i < m->classes; i++) {
        const nn_class_metrics *c = &m->of_class[i];
        if (c->clips == 0)
            continue;
        const double r = c->recall.value, low = r - c->recall.interval.low,
                     high = c->recall.interval.high - r;
        sum += r;
        below += low * low;
        above += high * high;
        k += 1;
    }
    if (k <= 0)
        return none;
    const double mean = sum / k;
    return (nn_rate){mean, {fmax(0, mean - sqrt(below) / k), fmin(1, mean + sqrt(above) / k)}};
}

/* The delta method. With t_k the cell (k, k), d_k = clips + predicted of class k and F_k = 2 t_k / d_k, one
 * more clip in cell (i, j) changes sum_k F_k by
 *     g_ii = 2 / d_i - 4 t_i / d_i^2,    g_ij = -2 t_i / d_i^2 - 2 t_j / d_j^2,
 * and the variance of the mean of K is sum_ij count_ij g_ij^2 / K^2: a quotient does not change when all
 * counts grow alike, so that sum_ij count_ij g_ij, whose square would go off, is 0. */
static nn_rate macro_f1(const int64_t *matrix, const nn_metrics *m)
{
    const size_t classes = (size_t)m->classes;
    double sum = 0, variance = 0, k = 0;
    for (size_t i = 0; i < classes; i++) {
        const nn_class_metrics *a = &m->of_class[i];
        const double d = (double)(a->clips + a->predicted), f = a->f1;
        if (d <= 0)
            continue;
        sum += f;
        k += 1;
        for (size_t j = 0; j < classes; j++) {
            const nn_class_metrics *b = &m->of_class[j];
            const double n = (double)matrix[i * classes + j];
            if (n <= 0)
                continue;
            const double g = i == j ? 2 * (1 - f) / d : -f / d - b->f1 / (double)(b->clips + b->predicted);
            variance += n * g * g;
        }
    }
    if (k <= 0)
        return none;
    const double mean = sum / k, half = z95 * sqrt(variance) / k;
    /* All right or all wrong, the method has nothing to tell from. */
    if (half <= 0)
        return (nn_rate){mean, none.interval};
    return (nn_rate){mean, {fmax(0, mean - half), fmin(1, mean + half)}};
}

tn_status nn_metrics_compute(tn_ctx *ctx, const int64_t *matrix, int classes, nn_metrics *out)
{
    *out = (nn_metrics){.classes = classes};
    out->of_class = tn_zalloc(ctx, (size_t)classes, sizeof *out->of_class);
    if (!out->of_class)
        return TN_NOMEM;
    count_classes(matrix, out);
    out->accuracy = proportion(out->right, out->clips);
    out->uar = average_recall(out);
    out->f1 = macro_f1(matrix, out);
    return TN_OK;
}

void nn_metrics_free(tn_ctx *ctx, nn_metrics *metrics)
{
    tn_free(ctx, metrics->of_class);
    *metrics = (nn_metrics){0};
}

nn_mcnemar nn_mcnemar_test(int64_t first, int64_t second)
{
    const int64_t n = first + second, least = first < second ? first : second;
    if (n < EXACT_BELOW) {
        /* term is the probability of i of n, by its recurrence. */
        double term = ldexp(1, -(int)n), tail = 0;
        for (int64_t i = 0; i <= least; i++) {
            tail += term;
            term *= (double)(n - i) / (double)(i + 1);
        }
        return (nn_mcnemar){.exact = true, .p = fmin(1, 2 * tail)};
    }
    const double off = fmax(0, (double)(n - 2 * least) - 1), chi2 = off * off / (double)n;
    return (nn_mcnemar){.chi2 = chi2, .p = erfc(sqrt(chi2 / 2))};
}
