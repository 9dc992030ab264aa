/* Harmonic ratio and pitch of a window: see docs/features.md for the formulas and their oddities. */
#include "data/harmonic.h"

#include <math.h>
#include <stdlib.h>

static int sign_of(double x)
{
    return (x > 0) - (x < 0);
}

/* sum_i x[i] x[i + lag] over n samples. */
static double correlation(const double *x, int n, int lag)
{
    double sum = 0;
    for (int i = 0; i + lag < n; i++)
        sum += x[i] * x[i + lag];
    return sum;
}

/* pyAudioAnalysis's harmonic(): the highest normalised autocorrelation behind the first change of its sign
 * and within 16 ms, and the rate over that lag. Its lags count from 0, so a pitch is a sample too high. */
void data_harmonic(const data_extractor *e, const double *x, double *work, double *row)
{
    const int n = e->length, lags = n - 2, most = (int)rint(0.016 * e->audio->rate) - 1;
    double *gamma = work, *running = gamma + n, whole = 0;
    for (int i = 0; i < n; i++)
        running[i] = whole += x[i] * x[i];
    int from = lags - 1;
    double before = 0;
    for (int j = 0; j < lags && (j < most || from == lags - 1); j++) {
        double r = correlation(x, n, j + 1);
        if (j > 0 && from == lags - 1 && sign_of(r) != sign_of(before))
            from = j - 1;
        gamma[j] = before = r;
    }
    int changes = 0, best = 0;
    for (int j = 0; j < most; j++) {
        gamma[j] = j < from ? 0 : gamma[j] / (sqrt(whole * running[most + from - j]) + e->options.eps);
        changes += j > 0 ? abs(sign_of(gamma[j]) - sign_of(gamma[j - 1])) : 0;
        best = gamma[j] > gamma[best] ? j : best;
    }
    bool voiced = changes / 2.0 / (most - 1.0) <= 0.15;
    double pitch = e->audio->rate / (best + e->options.eps);
    row[0] = voiced ? gamma[best] : 0;
    row[1] = voiced && gamma[best] >= 0.1 && pitch <= 5000 ? pitch : 0;
}
