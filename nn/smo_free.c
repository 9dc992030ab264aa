/* Newton's step of all free variables at once. */
#include "nn/smo_state.h"

#include <math.h>

/* Of the largest K(t, t), added to each: kernel values are floats, and free variables may depend on each
 * other.
 */
static const double ridge = 1e-7;

/* Free variables among the active ones into free_of; 0 where they are more than there is room for. */
static int list_free(nn_smo *s)
{
    int n = 0;
    for (int t = 0; t < s->active; t++) {
        if (!nn_smo_is_free(s, t))
            continue;
        if (n == s->free_room)
            return 0;
        s->free_of[n++] = t;
    }
    return n;
}

/* The upper triangle of K + ridge over the free variables, row by row n apart. */
static void gather(nn_smo *s, int n)
{
    double most = 0;
    for (int i = 0; i < n; i++)
        most = fmax(most, s->self[s->free_of[i]]);
    for (int i = 0; i < n; i++) {
        const float *k = nn_smo_row(s, s->free_of[i], s->active);
        double *row = s->factor + (size_t)i * (size_t)n;
        for (int j = i; j < n; j++)
            row[j] = (double)k[nn_smo_place(s, s->free_of[j])];
        row[i] += ridge * most;
    }
}

/* U'U in place; pivots that have vanished become huge, so that their variables stay. */
static void factorize(const nn_smo *s, int n)
{
    double *u = s->factor;
    for (int i = 0; i < n; i++) {
        double *row = u + (size_t)i * (size_t)n;
        const double pivot = row[i] > 0 ? sqrt(row[i]) : 1e100;
        const double scale = 1 / pivot;
        row[i] = pivot;
        for (int j = i + 1; j < n; j++)
            row[j] *= scale;
        for (int k = i + 1; k < n; k++)
            s->loops->add_doubles(u + (size_t)k * (size_t)n + k, row + k, -row[k], n - k);
    }
}

/* x becomes (U'U)^-1 x. */
static void solve(const nn_smo *s, int n, double *x)
{
    for (int i = 0; i < n; i++) {
        const double *row = s->factor + (size_t)i * (size_t)n;
        x[i] /= row[i];
        s->loops->add_doubles(x + i + 1, row + i + 1, -x[i], n - i - 1);
    }
    for (int i = n - 1; i >= 0; i--) {
        const double *row = s->factor + (size_t)i * (size_t)n;
        x[i] = (x[i] - s->loops->dot(row + i + 1, x + i + 1, n - i - 1)) / row[i];
    }
}

/* Where z = y a of the free variables goes: maximises v'd - d'Kd / 2 with sum d = 0. False where that is
 * nowhere. */
static bool find_direction(nn_smo *s, int n)
{
    double *d = s->direction, *one = s->direction + n, sum_d = 0, sum_one = 0, rise = 0;
    gather(s, n);
    factorize(s, n);
    for (int i = 0; i < n; i++) {
        d[i] = s->slope[s->free_of[i]];
        one[i] = 1;
    }
    solve(s, n, d);
    solve(s, n, one);
    for (int i = 0; i < n; i++) {
        sum_d += d[i];
        sum_one += one[i];
    }
    for (int i = 0; i < n; i++) {
        d[i] -= sum_d / sum_one * one[i];
        rise += d[i] * s->slope[s->free_of[i]];
    }
    return isfinite(rise) && rise > 0;
}

/* How much of the direction there is until a variable meets its bound, and which; at most all of it. */
static double longest(const nn_smo *s, int n, int *meets)
{
    double most = 1;
    *meets = -1;
    for (int i = 0; i < n; i++) {
        const int t = s->free_of[i];
        const double da = s->y[t] * s->direction[i],
                     room = da > 0 ? nn_smo_cost(s, t) - s->alpha[t] : s->alpha[t];
        if (fabs(da) * most > room) {
            most = room / fabs(da);
            *meets = i;
        }
    }
    return most;
}

/* The variable that meets its bound is set to it exactly; what it then lacks of the sum's balance is the
 * rounding of one product. */
static void go(nn_smo *s, int n, double length, int meets)
{
    for (int i = 0; i < n; i++) {
        const int t = s->free_of[i];
        const double before = s->alpha[t], cost = nn_smo_cost(s, t);
        double after = before + s->y[t] * s->direction[i] * length;
        if (i == meets)
            after = s->y[t] * s->direction[i] > 0 ? cost : 0;
        after = fmin(fmax(after, 0), cost);
        nn_smo_set(s, t, after);
        nn_smo_add(s, s->slope, nn_smo_row(s, t, s->active), -s->y[t] * (after - before), s->active);
        nn_smo_note_bound(s, t, false);
    }
}

/* One such step of n variables in steps of two, by what was measured. */
static double work_of(const nn_smo *s, int n)
{
    const double f = n, a = s->active;
    return 2 + f / 5 + 7 * f * f / a + f * f * f / (40 * a);
}

int nn_smo_step_free(nn_smo *s)
{
    enum { MOST = 100 };
    double work = 0;
    for (int steps = 0, meets = 0; meets >= 0 && steps < MOST && s->finite; steps++) {
        const int n = list_free(s);
        if (n < 2 || !find_direction(s, n))
            break;
        const double length = longest(s, n, &meets);
        go(s, n, length, meets);
        work += work_of(s, n);
    }
    return (int)work;
}
