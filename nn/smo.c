/* Sequential minimal optimisation for two classes.
 *
 * Working set: Fan, Chen and Lin 2005, "Working set selection using second order information for training
 * SVM", WSS 2. Step, bounds, shrinking and rho: Chang and Lin 2011, "LIBSVM: a library for support vector
 * machines", sections 4.1.2, 4.1.5, 4.2 and 5.1. Rows of Q are floats and equal candidates are decided for
 * the last one, as there, so that both take the same steps.
 */
#include "nn/smo_state.h"

#include <float.h>
#include <limits.h>
#include <math.h>

enum { SHRINK_EVERY = 1000, LEAST_STEPS = 10000000, MOST_FREE = 384, JUMP_EVERY = 20 };

void nn_smo_destroy(tn_ctx *ctx, nn_smo *smo)
{
    if (!smo)
        return;
    tn_free(ctx, smo->order);
    tn_free(ctx, smo->row);
    tn_free(ctx, smo->y);
    tn_free(ctx, smo->alpha);
    tn_free(ctx, smo->slope);
    tn_free(ctx, smo->rise);
    tn_free(ctx, smo->fall);
    tn_free(ctx, smo->bounded);
    tn_free(ctx, smo->self);
    tn_free(ctx, smo->free_of);
    tn_free(ctx, smo->factor);
    tn_free(ctx, smo->direction);
    tn_free(ctx, smo->dots);
    tn_free(ctx, smo->kernel);
    nn_cache_free(ctx, &smo->cache);
    tn_free(ctx, smo->swap);
    tn_free(ctx, smo);
}

/* Room for the steps of all free variables. */
static tn_status allow_jumps(tn_ctx *ctx, int room, nn_smo *s)
{
    s->free_room = room < MOST_FREE ? room : MOST_FREE;
    const size_t n = (size_t)s->free_room;
    s->free_of = tn_alloc(ctx, n, sizeof *s->free_of);
    s->factor = tn_alloc(ctx, n * n, sizeof *s->factor);
    s->direction = tn_alloc(ctx, n, 2 * sizeof *s->direction);
    return s->free_of && s->factor && s->direction ? TN_OK : TN_NOMEM;
}

tn_status nn_smo_create(tn_ctx *ctx, int room, size_t rows, size_t cache_bytes, bool jumping, nn_smo **out)
{
    *out = NULL;
    nn_smo *s = tn_zalloc(ctx, 1, sizeof *s);
    if (!s)
        return TN_NOMEM;
    const size_t n = (size_t)room;
    s->loops = nn_smo_loops_for(ctx);
    s->order = tn_alloc(ctx, n, sizeof *s->order);
    s->row = tn_alloc(ctx, n, sizeof *s->row);
    s->y = tn_alloc(ctx, n, sizeof *s->y);
    s->alpha = tn_alloc(ctx, n, sizeof *s->alpha);
    s->slope = tn_alloc(ctx, n, sizeof *s->slope);
    s->rise = tn_alloc(ctx, n, sizeof *s->rise);
    s->fall = tn_alloc(ctx, n, sizeof *s->fall);
    s->bounded = tn_alloc(ctx, n, sizeof *s->bounded);
    s->self = tn_alloc(ctx, n, sizeof *s->self);
    s->dots = tn_alloc(ctx, rows, sizeof *s->dots);
    s->kernel = tn_alloc(ctx, n, sizeof *s->kernel);
    s->swap = tn_alloc(ctx, n, sizeof *s->swap);
    if (!s->order || !s->row || !s->y || !s->alpha || !s->slope || !s->rise || !s->fall || !s->bounded ||
        !s->self || !s->dots || !s->kernel || !s->swap ||
        nn_cache_create(ctx, room, cache_bytes, &s->cache) != TN_OK ||
        (jumping && allow_jumps(ctx, room, s) != TN_OK)) {
        nn_smo_destroy(ctx, s);
        return TN_NOMEM;
    }
    *out = s;
    return TN_OK;
}

/* ---- variables ------------------------------------------------------------------------------------- */

static bool at_zero(const nn_smo *s, int t)
{
    return s->alpha[t] <= 0;
}

static bool at_cost(const nn_smo *s, int t)
{
    return s->alpha[t] >= nn_smo_cost(s, t);
}

void nn_smo_set(nn_smo *s, int t, double alpha)
{
    s->alpha[t] = alpha;
    const bool more = !at_cost(s, t), less = !at_zero(s, t);
    s->rise[t] = (s->y[t] > 0 ? more : less) ? 0 : -INFINITY;
    s->fall[t] = (s->y[t] > 0 ? less : more) ? 0 : INFINITY;
}

const float *nn_smo_row(nn_smo *s, int t, int want)
{
    const nn_gram *gram = s->problem.gram;
    const float *table = gram->table ? gram->table + (size_t)s->row[t] * gram->data->rows : NULL;
    if (s->in_place)
        return table;
    int valid;
    float *k = nn_cache_take(&s->cache, t, want, &valid);
    if (table) {
        for (int j = valid; j < want; j++)
            k[j] = table[s->row[j]];
    } else if (valid < want) {
        nn_gram_row(gram, s->row[t], s->row + valid, want - valid, s->dots, s->kernel);
        s->finite &= s->loops->narrow(s->kernel, want - valid, k + valid);
    }
    return k;
}

void nn_smo_add(const nn_smo *s, double *sum, const float *k, double x, int count)
{
    if (!s->in_place)
        s->loops->add(sum, k, x, count);
    for (int r = 0; s->in_place && r < s->runs; r++)
        s->loops->add(sum + s->run[r].at, k + s->run[r].column, x, s->run[r].count);
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

/* All but what the cache has of them. */
static void swap_variables(nn_smo *s, int i, int j)
{
    const signed char y = s->y[i];
    s->y[i] = s->y[j];
    s->y[j] = y;
    swap_ints(s->order, i, j);
    swap_ints(s->row, i, j);
    swap_doubles(s->alpha, i, j);
    swap_doubles(s->slope, i, j);
    swap_doubles(s->rise, i, j);
    swap_doubles(s->fall, i, j);
    swap_doubles(s->bounded, i, j);
    swap_doubles(s->self, i, j);
}

/* How the variables lie in the gram's table. */
static void find_runs(nn_smo *s)
{
    s->runs = 0;
    for (int t = 0; s->problem.gram->table && t < s->problem.count; t++) {
        if (t == 0 || s->row[t] != s->row[t - 1] + 1) {
            if (s->runs == NN_SMO_RUNS) {
                s->runs = 0;
                break;
            }
            s->run[s->runs++] = (nn_smo_run){.at = t, .column = s->row[t]};
        }
        s->run[s->runs - 1].count++;
    }
    s->in_place = s->runs > 0;
}

static void start(nn_smo *s, const nn_smo_problem *problem)
{
    s->problem = *problem;
    s->active = problem->count;
    s->unshrunk = false;
    s->finite = true;
    for (int t = 0; t < problem->count; t++) {
        s->order[t] = t;
        s->row[t] = problem->row[t];
        s->y[t] = problem->y[t];
        nn_smo_set(s, t, 0);
        s->slope[t] = s->y[t];
        s->bounded[t] = 0;
        s->self[t] = nn_gram_self(problem->gram, problem->row[t]);
        s->finite &= fabs(s->self[t]) <= FLT_MAX;
    }
    nn_cache_reset(&s->cache, problem->count);
    find_runs(s);
}

/* ---- working set ----------------------------------------------------------------------------------- */

/* The active variable that may rise and has the largest slope; step() leaves it behind. */
static void find_steepest(nn_smo *s)
{
    s->steepest = s->loops->steepest(s->slope, s->rise, s->active, &s->top);
}

/* WSS 2: i has the largest slope, j lets the objective fall most with it. False where the active variables
 * are optimal. */
static bool select_pair(nn_smo *s, int *out_i, int *out_j)
{
    const int i = s->steepest;
    if (i < 0)
        return false;
    const float *k = nn_smo_row(s, i, s->active);
    double bottom = INFINITY, most = -INFINITY;
    int j = -1;
    if (!s->in_place)
        j = s->loops->partner(s->slope, s->fall, s->self, k, s->self[i], s->top, s->active, &bottom, &most);
    for (int r = 0; s->in_place && r < s->runs; r++) {
        const nn_smo_run *run = &s->run[r];
        const int found = s->loops->partner(s->slope + run->at, s->fall + run->at, s->self + run->at,
                                            k + run->column, s->self[i], s->top, run->count, &bottom, &most);
        j = found >= 0 ? run->at + found : j;
    }
    if (j < 0 || s->top - bottom < s->problem.tolerance)
        return false;
    *out_i = i;
    *out_j = j;
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

void nn_smo_note_bound(nn_smo *s, int t, bool was_at_cost)
{
    if (was_at_cost == at_cost(s, t))
        return;
    const int n = s->problem.count;
    const double z = s->y[t] * nn_smo_cost(s, t);
    nn_smo_add(s, s->bounded, nn_smo_row(s, t, n), was_at_cost ? -z : z, n);
}

/* The slopes after z_i and z_j have changed, and the steepest of them. */
static void update(nn_smo *s, const float *ki, const float *kj, double di, double dj)
{
    if (!s->in_place) {
        s->steepest = s->loops->update(s->slope, s->rise, ki, kj, di, dj, s->active, &s->top);
        return;
    }
    s->steepest = -1;
    s->top = -INFINITY;
    for (int r = 0; r < s->runs; r++) {
        const nn_smo_run *run = &s->run[r];
        double top;
        const int found = s->loops->update(s->slope + run->at, s->rise + run->at, ki + run->column,
                                           kj + run->column, di, dj, run->count, &top);
        if (found >= 0 && top >= s->top) {
            s->steepest = run->at + found;
            s->top = top;
        }
    }
}

static void step(nn_smo *s, int i, int j)
{
    const float *ki = nn_smo_row(s, i, s->active), *kj = nn_smo_row(s, j, s->active);
    const double before_i = s->alpha[i], before_j = s->alpha[j];
    const bool cost_i = at_cost(s, i), cost_j = at_cost(s, j);
    double ai = before_i, aj = before_j,
           curvature = s->self[i] + s->self[j] - 2 * (double)ki[nn_smo_place(s, j)];
    if (curvature <= 0)
        curvature = nn_smo_least_curvature;
    const double delta = s->y[i] * (s->slope[j] - s->slope[i]) / curvature;
    if (s->y[i] == s->y[j])
        step_like(&ai, &aj, nn_smo_cost(s, i), nn_smo_cost(s, j), delta);
    else
        step_unlike(&ai, &aj, nn_smo_cost(s, i), nn_smo_cost(s, j), -delta);
    nn_smo_set(s, i, ai);
    nn_smo_set(s, j, aj);
    update(s, ki, kj, s->y[i] * (ai - before_i), s->y[j] * (aj - before_j));
    nn_smo_note_bound(s, i, cost_i);
    nn_smo_note_bound(s, j, cost_j);
}

/* ---- shrinking ------------------------------------------------------------------------------------- */

/* Lets the variables of the cached rows change places as they themselves have; from a table they are taken
 * again. */
static void swap_cached(nn_smo *s, int swaps)
{
    if (s->problem.gram->table)
        nn_cache_reset(&s->cache, s->problem.count);
    else
        nn_cache_swap_all(&s->cache, s->swap, swaps);
}

/* The problem's own order, in which rows of the table serve as they are. */
static void restore_order(nn_smo *s)
{
    int swaps = 0;
    for (int t = 0; t < s->problem.count; t++)
        while (s->order[t] != t) {
            const nn_cache_swap swap = {t, s->order[t]}; /* what comes before t is in its place */
            swap_variables(s, swap.i, swap.j);
            s->swap[swaps++] = swap;
        }
    swap_cached(s, swaps);
    s->in_place = s->runs > 0;
}

/* Brings the slope of shrunk variables up to date, over rows or over columns of K, whichever are fewer, and
 * looks at all variables again. */
static void reconstruct(nn_smo *s)
{
    const int n = s->problem.count, active = s->active;
    if (active == n)
        return;
    int64_t free_count = 0;
    for (int t = 0; t < active; t++)
        free_count += nn_smo_is_free(s, t);
    for (int t = active; t < n; t++)
        s->slope[t] = s->y[t] - s->bounded[t];
    if (free_count * n > 2 * (int64_t)active * (n - active)) {
        for (int t = active; t < n; t++) {
            const float *row = nn_smo_row(s, t, active);
            for (int k = 0; k < active; k++)
                if (nn_smo_is_free(s, k))
                    s->slope[t] -= s->y[k] * s->alpha[k] * (double)row[k];
        }
    } else {
        for (int k = 0; k < active; k++)
            if (nn_smo_is_free(s, k))
                s->loops->add(s->slope + active, nn_smo_row(s, k, n) + active, -s->y[k] * s->alpha[k],
                              n - active);
    }
    s->active = n;
    if (s->problem.jumping)
        restore_order(s);
    find_steepest(s);
}

/* Whether a variable at a bound would stay there for every slope between the two. */
static bool can_go(const nn_smo *s, int t, double top, double bottom)
{
    if (nn_smo_is_free(s, t))
        return false;
    return nn_smo_may_rise(s, t) ? s->slope[t] < bottom : s->slope[t] > top;
}

static void shrink(nn_smo *s)
{
    double top = -INFINITY, bottom = INFINITY;
    int swaps = 0;
    for (int t = 0; t < s->active; t++) {
        if (nn_smo_may_rise(s, t))
            top = fmax(top, s->slope[t]);
        if (nn_smo_may_fall(s, t))
            bottom = fmin(bottom, s->slope[t]);
    }
    if (!s->unshrunk && top - bottom <= s->problem.tolerance * 10) {
        s->unshrunk = true;
        reconstruct(s);
    }
    for (int t = 0; t < s->active; t++) {
        if (!can_go(s, t, top, bottom))
            continue;
        for (s->active--; s->active > t; s->active--)
            if (!can_go(s, s->active, top, bottom)) {
                swap_variables(s, t, s->active);
                s->swap[swaps++] = (nn_cache_swap){t, s->active};
                break;
            }
    }
    s->in_place &= s->active == s->problem.count;
    if (swaps > 0)
        swap_cached(s, swaps);
    find_steepest(s);
}

/* ---- the whole ------------------------------------------------------------------------------------- */

static double rho_of(const nn_smo *s)
{
    double lower = -INFINITY, upper = INFINITY, sum = 0;
    int free_count = 0;
    for (int t = 0; t < s->active; t++) {
        const double value = -s->slope[t];
        if (nn_smo_is_free(s, t)) {
            free_count++;
            sum += value;
        } else if (nn_smo_may_rise(s, t)) {
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
    for (int t = 0; t < s->problem.count; t++) {
        sum += s->alpha[t] * (-s->y[t] * s->slope[t] - 1);
        alpha[s->order[t]] = s->alpha[t];
        result->vectors += s->alpha[t] > 0;
        result->bounded += at_cost(s, t);
    }
    result->objective = sum / 2;
    result->rho = rho_of(s);
    result->finite = s->finite && isfinite(result->objective) && isfinite(result->rho);
}

/* From where the variables are. */
static nn_smo_result run(nn_smo *s, double *alpha)
{
    const int n = s->problem.count, every = n < SHRINK_EVERY ? n : SHRINK_EVERY;
    const int64_t limit = (int64_t)n * 100 > LEAST_STEPS ? (int64_t)n * 100 : LEAST_STEPS;
    nn_smo_result result = {0};
    int countdown = every + 1;
    int64_t jump = s->problem.jumping ? JUMP_EVERY : limit;
    find_steepest(s);
    for (; result.iterations < limit && s->finite; result.iterations++) {
        if (--countdown == 0) {
            countdown = every;
            if (s->problem.shrinking)
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
        if (result.iterations >= jump) {
            /* A tenth of the time in others finds out better what will be free in the end than none. */
            jump = result.iterations + JUMP_EVERY + nn_smo_step_free(s) / 10;
            find_steepest(s);
        }
    }
    reconstruct(s);
    finish(s, alpha, &result);
    return result;
}

nn_smo_result nn_smo_solve(nn_smo *s, const nn_smo_problem *problem, double *alpha)
{
    start(s, problem);
    return run(s, alpha);
}

nn_smo_result nn_smo_solve_scaled(nn_smo *s, double factor, double *alpha)
{
    const double cost[2] = {s->problem.cost[0], s->problem.cost[1]};
    for (int side = 0; side < 2; side++)
        s->problem.cost[side] = cost[side] * factor;
    for (int t = 0; t < s->problem.count; t++) {
        const bool was_at_cost = s->alpha[t] >= cost[s->y[t] < 0];
        const double now = nn_smo_cost(s, t), scaled = s->alpha[t] * factor;
        nn_smo_set(s, t, was_at_cost ? now : fmin(scaled, nextafter(now, 0))); /* rounding moves no bound */
        s->slope[t] = factor * s->slope[t] + (1 - factor) * s->y[t];
        s->bounded[t] *= factor;
    }
    s->unshrunk = false;
    return run(s, alpha);
}
