/* Sequential minimal optimisation for two classes.
 *
 * Working set: Fan, Chen and Lin 2005, "Working set selection using second order information for training
 * SVM", WSS 2. Step, bounds, shrinking and rho: Chang and Lin 2011, "LIBSVM: a library for support vector
 * machines", sections 4.1.2, 4.1.5, 4.2 and 5.1. Rows of Q are floats and equal candidates are decided for
 * the last one, as there, so that both take the same steps.
 */
#include "nn/smo.h"
#include "nn/smo_cache.h"

#include <float.h>
#include <limits.h>
#include <math.h>

static const double least_curvature = 1e-12; /* tau of WSS 2, where the kernel is not positive definite */
enum { SHRINK_EVERY = 1000, LEAST_STEPS = 10000000 };

struct nn_smo {
    const nn_smo_problem *problem; /* at hand */
    int active;                    /* variables [0, active) are looked at, the others shrunk */
    bool unshrunk;                 /* everything was looked at again once, near the end */
    bool finite;                   /* no kernel value has overflowed so far */
    int *order;                    /* room: place in the problem of each variable */
    int *row;                      /* room: its row in the data set */
    signed char *y;                /* room: its label */
    double *alpha;                 /* room: its value */
    double *gradient;              /* room: of the objective; of shrunk variables out of date */
    double *bounded;               /* room: the part of the gradient that variables at their cost make */
    double *self;                  /* room: K(t, t) */
    double *dots;                  /* rows of the data set: scratch of nn_gram_row() */
    double *kernel;                /* room: same */
    nn_cache cache;                /* rows of Q */
};

void nn_smo_destroy(tn_ctx *ctx, nn_smo *smo)
{
    if (!smo)
        return;
    tn_free(ctx, smo->order);
    tn_free(ctx, smo->row);
    tn_free(ctx, smo->y);
    tn_free(ctx, smo->alpha);
    tn_free(ctx, smo->gradient);
    tn_free(ctx, smo->bounded);
    tn_free(ctx, smo->self);
    tn_free(ctx, smo->dots);
    tn_free(ctx, smo->kernel);
    nn_cache_free(ctx, &smo->cache);
    tn_free(ctx, smo);
}

tn_status nn_smo_create(tn_ctx *ctx, int room, size_t rows, size_t cache_bytes, nn_smo **out)
{
    *out = NULL;
    nn_smo *s = tn_zalloc(ctx, 1, sizeof *s);
    if (!s)
        return TN_NOMEM;
    const size_t n = (size_t)room;
    s->order = tn_alloc(ctx, n, sizeof *s->order);
    s->row = tn_alloc(ctx, n, sizeof *s->row);
    s->y = tn_alloc(ctx, n, sizeof *s->y);
    s->alpha = tn_alloc(ctx, n, sizeof *s->alpha);
    s->gradient = tn_alloc(ctx, n, sizeof *s->gradient);
    s->bounded = tn_alloc(ctx, n, sizeof *s->bounded);
    s->self = tn_alloc(ctx, n, sizeof *s->self);
    s->dots = tn_alloc(ctx, rows, sizeof *s->dots);
    s->kernel = tn_alloc(ctx, n, sizeof *s->kernel);
    if (!s->order || !s->row || !s->y || !s->alpha || !s->gradient || !s->bounded || !s->self || !s->dots ||
        !s->kernel || nn_cache_create(ctx, room, cache_bytes, &s->cache) != TN_OK) {
        nn_smo_destroy(ctx, s);
        return TN_NOMEM;
    }
    *out = s;
    return TN_OK;
}

/* ---- variables ------------------------------------------------------------------------------------- */

static double cost_of(const nn_smo *s, int t)
{
    return s->problem->cost[s->y[t] < 0];
}

static bool at_zero(const nn_smo *s, int t)
{
    return s->alpha[t] <= 0;
}

static bool at_cost(const nn_smo *s, int t)
{
    return s->alpha[t] >= cost_of(s, t);
}

/* Whether y_t alpha_t may grow (I_up of the papers), and whether it may fall (I_low). */
static bool may_rise(const nn_smo *s, int t)
{
    return s->y[t] > 0 ? !at_cost(s, t) : !at_zero(s, t);
}

static bool may_fall(const nn_smo *s, int t)
{
    return s->y[t] > 0 ? !at_zero(s, t) : !at_cost(s, t);
}

/* -y_t times the gradient: largest in I_up and smallest in I_low meet at the optimum. */
static double slope(const nn_smo *s, int t)
{
    return s->y[t] > 0 ? -s->gradient[t] : s->gradient[t];
}

/* Row t of Q, its first `want` values. */
static const float *q_row(nn_smo *s, int t, int want)
{
    int valid;
    float *q = nn_cache_take(&s->cache, t, want, &valid);
    if (valid >= want)
        return q;
    nn_gram_row(s->problem->gram, s->row[t], s->row + valid, want - valid, s->dots, s->kernel);
    bool finite = true;
    for (int j = valid; j < want; j++) {
        const double value = s->y[t] * s->y[j] * s->kernel[j - valid];
        finite &= fabs(value) <= FLT_MAX; /* not so for a NaN either */
        q[j] = finite ? (float)value : 0;
    }
    s->finite &= finite;
    return q;
}

static void swap_doubles(double *x, int i, int j)
{
    const double value = x[i];
    x[i] = x[j];
    x[j] = value;
}

static void swap_ints(int *x, int i, int j)
{
    const int value = x[i];
    x[i] = x[j];
    x[j] = value;
}

static void swap_variables(nn_smo *s, int i, int j)
{
    const signed char y = s->y[i];
    s->y[i] = s->y[j];
    s->y[j] = y;
    swap_ints(s->order, i, j);
    swap_ints(s->row, i, j);
    swap_doubles(s->alpha, i, j);
    swap_doubles(s->gradient, i, j);
    swap_doubles(s->bounded, i, j);
    swap_doubles(s->self, i, j);
    nn_cache_swap(&s->cache, i, j);
}

static void start(nn_smo *s, const nn_smo_problem *problem)
{
    s->problem = problem;
    s->active = problem->count;
    s->unshrunk = false;
    s->finite = true;
    for (int t = 0; t < problem->count; t++) {
        s->order[t] = t;
        s->row[t] = problem->row[t];
        s->y[t] = problem->y[t];
        s->alpha[t] = 0;
        s->gradient[t] = -1;
        s->bounded[t] = 0;
        s->self[t] = nn_gram_self(problem->gram, problem->row[t]);
        s->finite &= fabs(s->self[t]) <= FLT_MAX;
    }
    nn_cache_reset(&s->cache, problem->count);
}

/* ---- working set ----------------------------------------------------------------------------------- */

/* The active variable that may rise and has the largest slope; -1: none. */
static int steepest(const nn_smo *s, double *largest)
{
    int best = -1;
    *largest = -INFINITY;
    for (int t = 0; t < s->active; t++)
        if (may_rise(s, t) && slope(s, t) >= *largest) {
            *largest = slope(s, t);
            best = t;
        }
    return best;
}

/* WSS 2: i has the largest slope, j lets the objective fall most with it. False where the active variables
 * are optimal. */
static bool select_pair(nn_smo *s, int *out_i, int *out_j)
{
    double top;
    const int i = steepest(s, &top);
    const float *q = i >= 0 ? q_row(s, i, s->active) : NULL;
    double bottom = INFINITY, best_gain = INFINITY;
    int best = -1;
    for (int j = 0; j < s->active; j++) {
        if (!may_fall(s, j))
            continue;
        const double here = slope(s, j), difference = top - here;
        if (here <= bottom)
            bottom = here;
        if (!(difference > 0) || !q)
            continue;
        /* K(i, j) is y_i y_j Q(i, j). */
        const double curvature = s->self[i] + s->self[j] - 2.0 * s->y[i] * s->y[j] * (double)q[j];
        const double gain = -(difference * difference) / (curvature > 0 ? curvature : least_curvature);
        if (gain <= best_gain) {
            best_gain = gain;
            best = j;
        }
    }
    if (best < 0 || top - bottom < s->problem->tolerance)
        return false;
    *out_i = i;
    *out_j = best;
    return true;
}

/* ---- a step ---------------------------------------------------------------------------------------- */

/* The minimum along the line of two variables of unlike labels, where their difference stays, cut to the box
 * [0, ci] x [0, cj]. */
static void step_unlike(double *ai, double *aj, double ci, double cj, double delta)
{
    const double difference = *ai - *aj;
    *ai += delta;
    *aj += delta;
    if (difference > 0 && *aj < 0) {
        *aj = 0;
        *ai = difference;
    } else if (difference <= 0 && *ai < 0) {
        *ai = 0;
        *aj = -difference;
    }
    if (difference > ci - cj && *ai > ci) {
        *ai = ci;
        *aj = ci - difference;
    } else if (difference <= ci - cj && *aj > cj) {
        *aj = cj;
        *ai = cj + difference;
    }
}

/* Same for like labels, where their sum stays. */
static void step_like(double *ai, double *aj, double ci, double cj, double delta)
{
    const double sum = *ai + *aj;
    *ai -= delta;
    *aj += delta;
    if (sum > ci && *ai > ci) {
        *ai = ci;
        *aj = sum - ci;
    } else if (sum <= ci && *aj < 0) {
        *aj = 0;
        *ai = sum;
    }
    if (sum > cj && *aj > cj) {
        *aj = cj;
        *ai = sum - cj;
    } else if (sum <= cj && *ai < 0) {
        *ai = 0;
        *aj = sum;
    }
}

/* Keeps `bounded` right where variable t has come to its cost or left it. */
static void note_bound(nn_smo *s, int t, bool was_at_cost)
{
    if (was_at_cost == at_cost(s, t))
        return;
    const int n = s->problem->count;
    const double c = was_at_cost ? -cost_of(s, t) : cost_of(s, t);
    const float *q = q_row(s, t, n);
    for (int k = 0; k < n; k++)
        s->bounded[k] += c * (double)q[k];
}

static void step(nn_smo *s, int i, int j)
{
    const float *qi = q_row(s, i, s->active), *qj = q_row(s, j, s->active);
    const double before_i = s->alpha[i], before_j = s->alpha[j];
    const bool cost_i = at_cost(s, i), cost_j = at_cost(s, j), like = s->y[i] == s->y[j];
    double curvature = s->self[i] + s->self[j] + (like ? -2 : 2) * (double)qi[j];
    if (curvature <= 0)
        curvature = least_curvature;
    if (like)
        step_like(&s->alpha[i], &s->alpha[j], cost_of(s, i), cost_of(s, j),
                  (s->gradient[i] - s->gradient[j]) / curvature);
    else
        step_unlike(&s->alpha[i], &s->alpha[j], cost_of(s, i), cost_of(s, j),
                    (-s->gradient[i] - s->gradient[j]) / curvature);
    const double di = s->alpha[i] - before_i, dj = s->alpha[j] - before_j;
    for (int k = 0; k < s->active; k++)
        s->gradient[k] += (double)qi[k] * di + (double)qj[k] * dj;
    note_bound(s, i, cost_i);
    note_bound(s, j, cost_j);
}

/* ---- shrinking ------------------------------------------------------------------------------------- */

static bool is_free(const nn_smo *s, int t)
{
    return !at_zero(s, t) && !at_cost(s, t);
}

/* Brings the gradient of shrunk variables up to date, over rows or over columns of Q, whichever are fewer. */
static void reconstruct(nn_smo *s)
{
    const int n = s->problem->count, active = s->active;
    if (active == n)
        return;
    int64_t free_count = 0;
    for (int t = 0; t < active; t++)
        free_count += is_free(s, t);
    for (int t = active; t < n; t++)
        s->gradient[t] = s->bounded[t] - 1;
    if (free_count * n > 2 * (int64_t)active * (n - active)) {
        for (int t = active; t < n; t++) {
            const float *q = q_row(s, t, active);
            for (int k = 0; k < active; k++)
                if (is_free(s, k))
                    s->gradient[t] += s->alpha[k] * (double)q[k];
        }
    } else {
        for (int k = 0; k < active; k++) {
            if (!is_free(s, k))
                continue;
            const float *q = q_row(s, k, n);
            for (int t = active; t < n; t++)
                s->gradient[t] += s->alpha[k] * (double)q[t];
        }
    }
    s->active = n;
}

/* Whether a variable at a bound would stay there for every slope between the two. */
static bool can_go(const nn_smo *s, int t, double top, double bottom)
{
    if (is_free(s, t))
        return false;
    return may_rise(s, t) ? slope(s, t) < bottom : slope(s, t) > top;
}

static void shrink(nn_smo *s)
{
    double top = -INFINITY, bottom = INFINITY;
    for (int t = 0; t < s->active; t++) {
        if (may_rise(s, t))
            top = fmax(top, slope(s, t));
        if (may_fall(s, t))
            bottom = fmin(bottom, slope(s, t));
    }
    if (!s->unshrunk && top - bottom <= s->problem->tolerance * 10) {
        s->unshrunk = true;
        reconstruct(s);
    }
    for (int t = 0; t < s->active; t++) {
        if (!can_go(s, t, top, bottom))
            continue;
        for (s->active--; s->active > t; s->active--)
            if (!can_go(s, s->active, top, bottom)) {
                swap_variables(s, t, s->active);
                break;
            }
    }
}

/* ---- the whole ------------------------------------------------------------------------------------- */

static double rho_of(const nn_smo *s)
{
    double lower = -INFINITY, upper = INFINITY, sum = 0;
    int free_count = 0;
    for (int t = 0; t < s->active; t++) {
        const double value = -slope(s, t);
        if (is_free(s, t)) {
            free_count++;
            sum += value;
        } else if (may_rise(s, t)) {
            upper = fmin(upper, value);
        } else {
            lower = fmax(lower, value);
        }
    }
    return free_count > 0 ? sum / free_count : (upper + lower) / 2;
}

static void finish(const nn_smo *s, double *alpha, nn_smo_result *result)
{
    double sum = 0;
    for (int t = 0; t < s->problem->count; t++) {
        sum += s->alpha[t] * (s->gradient[t] - 1);
        alpha[s->order[t]] = s->alpha[t];
        result->vectors += s->alpha[t] > 0;
        result->bounded += at_cost(s, t);
    }
    result->objective = sum / 2;
    result->rho = rho_of(s);
    result->finite = s->finite && isfinite(result->objective) && isfinite(result->rho);
}

nn_smo_result nn_smo_solve(nn_smo *s, const nn_smo_problem *problem, double *alpha)
{
    const int n = problem->count, every = n < SHRINK_EVERY ? n : SHRINK_EVERY;
    const int64_t limit = (int64_t)n * 100 > LEAST_STEPS ? (int64_t)n * 100 : LEAST_STEPS;
    nn_smo_result result = {0};
    start(s, problem);
    int countdown = every + 1;
    for (; result.iterations < limit && s->finite; result.iterations++) {
        if (--countdown == 0) {
            countdown = every;
            if (problem->shrinking)
                shrink(s);
        }
        int i, j;
        if (!select_pair(s, &i, &j)) {
            reconstruct(s);
            if (!select_pair(s, &i, &j)) {
                result.converged = true;
                break;
            }
            countdown = 1; /* shrink again at the next step */
        }
        step(s, i, j);
    }
    reconstruct(s);
    finish(s, alpha, &result);
    return result;
}
