/* Loops of the solver, written once for vectors of eight doubles and compiled for each instruction set. */
#include "nn/smo_loops.h"

#include <math.h>
#include <string.h>

enum { LANES = 8 };

typedef double vec __attribute__((vector_size(LANES * sizeof(double))));
typedef int64_t mask __attribute__((vector_size(LANES * sizeof(double))));
typedef float half __attribute__((vector_size(LANES * sizeof(float))));

static const double least_curvature = 1e-12; /* where the kernel is not positive definite */

#define INLINE static inline __attribute__((always_inline))

INLINE void load(const double *from, vec *out)
{
    memcpy(out, from, sizeof *out);
}

INLINE void load_floats(const float *from, vec *out)
{
    half h;
    memcpy(&h, from, sizeof h);
    *out = __builtin_convertvector(h, vec);
}

/* a where m is set, else b. */
INLINE void choose(const mask *m, const vec *a, const vec *b, vec *out)
{
    *out = (vec)((*m & (mask)*a) | (~*m & (mask)*b));
}

/* The best values of each lane so far and where they are, as doubles. */
typedef struct best {
    vec value; /* largest */
    vec place; /* of it */
} best;

INLINE void best_begin(best *b)
{
    for (int l = 0; l < LANES; l++) {
        b->value[l] = -INFINITY;
        b->place[l] = -1;
    }
}

/* Takes x at `place` where it is at least as large; -infinity never wins over what is there. */
INLINE void best_take(best *b, const vec *x, const vec *place)
{
    const mask m = *x >= b->value;
    choose(&m, x, &b->value, &b->value);
    choose(&m, place, &b->place, &b->place);
}

/* The largest of all lanes, of equals the last. */
INLINE int best_end(const best *b, double *value)
{
    double most = -INFINITY, place = -1;
    for (int l = 0; l < LANES; l++)
        if (b->value[l] > most || (b->value[l] == most && b->place[l] > place)) {
            most = b->value[l];
            place = b->place[l];
        }
    *value = most;
    return most > -INFINITY ? (int)place : -1;
}

INLINE void places(vec *out)
{
    for (int l = 0; l < LANES; l++)
        (*out)[l] = l;
}

INLINE int steepest_body(const double *v, const double *rise, int n, double *top)
{
    best b;
    vec at;
    int t = 0;
    best_begin(&b);
    places(&at);
    for (; t + LANES <= n; t += LANES) {
        vec x, r;
        load(v + t, &x);
        load(rise + t, &r);
        x += r;
        best_take(&b, &x, &at);
        at += LANES;
    }
    int found = best_end(&b, top);
    for (; t < n; t++)
        if (v[t] + rise[t] >= *top && v[t] + rise[t] > -INFINITY) {
            *top = v[t] + rise[t];
            found = t;
        }
    return found;
}

INLINE int update_body(double *v, const double *rise, const float *ki, const float *kj, double di, double dj,
                       int n, double *top)
{
    best b;
    vec at;
    int t = 0;
    best_begin(&b);
    places(&at);
    for (; t + LANES <= n; t += LANES) {
        vec x, r, a, c;
        load(v + t, &x);
        load(rise + t, &r);
        load_floats(ki + t, &a);
        load_floats(kj + t, &c);
        x -= a * di + c * dj;
        memcpy(v + t, &x, sizeof x);
        x += r;
        best_take(&b, &x, &at);
        at += LANES;
    }
    int found = best_end(&b, top);
    for (; t < n; t++) {
        v[t] -= (double)ki[t] * di + (double)kj[t] * dj;
        if (v[t] + rise[t] >= *top && v[t] + rise[t] > -INFINITY) {
            *top = v[t] + rise[t];
            found = t;
        }
    }
    return found;
}

INLINE int partner_body(const double *v, const double *fall, const double *self, const float *k,
                        double self_i, double top, int n, double *bottom)
{
    best b;
    vec at, least, none, zero, tiny;
    int t = 0;
    best_begin(&b);
    places(&at);
    for (int l = 0; l < LANES; l++) {
        least[l] = INFINITY;
        none[l] = -INFINITY;
        zero[l] = 0;
        tiny[l] = least_curvature;
    }
    for (; t + LANES <= n; t += LANES) {
        vec x, f, s, kernel;
        load(v + t, &x);
        load(fall + t, &f);
        load(self + t, &s);
        load_floats(k + t, &kernel);
        x += f;
        const mask lower = x < least;
        choose(&lower, &x, &least, &least);
        const vec d = top - x;
        vec c = self_i + s - 2.0 * kernel;
        const mask positive = c > zero, right = d > zero;
        choose(&positive, &c, &tiny, &c);
        vec gain = d * d / c;
        choose(&right, &gain, &none, &gain);
        best_take(&b, &gain, &at);
        at += LANES;
    }
    double most, low = INFINITY;
    int found = best_end(&b, &most);
    for (int l = 0; l < LANES; l++)
        low = least[l] < low ? least[l] : low;
    for (; t < n; t++) {
        const double x = v[t] + fall[t], d = top - x, c = self_i + self[t] - 2.0 * (double)k[t];
        low = x < low ? x : low;
        if (!(d > 0))
            continue;
        const double gain = d * d / (c > 0 ? c : least_curvature);
        if (gain >= most) {
            most = gain;
            found = t;
        }
    }
    *bottom = low;
    return found;
}

INLINE void add_body(double *sum, const float *k, double x, int n)
{
    int t = 0;
    for (; t + LANES <= n; t += LANES) {
        vec s, a;
        load(sum + t, &s);
        load_floats(k + t, &a);
        s += a * x;
        memcpy(sum + t, &s, sizeof s);
    }
    for (; t < n; t++)
        sum[t] += x * (double)k[t];
}

INLINE void add_doubles_body(double *sum, const double *k, double x, int n)
{
    int t = 0;
    for (; t + LANES <= n; t += LANES) {
        vec s, a;
        load(sum + t, &s);
        load(k + t, &a);
        s += a * x;
        memcpy(sum + t, &s, sizeof s);
    }
    for (; t < n; t++)
        sum[t] += x * k[t];
}

INLINE double dot_body(const double *a, const double *b, int n)
{
    vec sum[2];
    double all = 0;
    int t = 0;
    memset(sum, 0, sizeof sum);
    for (; t + 2 * LANES <= n; t += 2 * LANES)
        for (int h = 0; h < 2; h++) {
            vec x, y;
            load(a + t + h * LANES, &x);
            load(b + t + h * LANES, &y);
            sum[h] += x * y;
        }
    sum[0] += sum[1];
    for (int l = 0; l < LANES; l++)
        all += sum[0][l];
    for (; t < n; t++)
        all += a[t] * b[t];
    return all;
}

#define LOOPS(name, target)                                                                                  \
    target static int name##_update(double *v, const double *rise, const float *ki, const float *kj,         \
                                    double di, double dj, int n, double *top)                                \
    {                                                                                                        \
        return update_body(v, rise, ki, kj, di, dj, n, top);                                                 \
    }                                                                                                        \
    target static int name##_steepest(const double *v, const double *rise, int n, double *top)               \
    {                                                                                                        \
        return steepest_body(v, rise, n, top);                                                               \
    }                                                                                                        \
    target static int name##_partner(const double *v, const double *fall, const double *self,                \
                                     const float *k, double self_i, double top, int n, double *bottom)       \
    {                                                                                                        \
        return partner_body(v, fall, self, k, self_i, top, n, bottom);                                       \
    }                                                                                                        \
    target static void name##_add(double *sum, const float *k, double x, int n)                              \
    {                                                                                                        \
        add_body(sum, k, x, n);                                                                              \
    }                                                                                                        \
    target static void name##_add_doubles(double *sum, const double *k, double x, int n)                     \
    {                                                                                                        \
        add_doubles_body(sum, k, x, n);                                                                      \
    }                                                                                                        \
    target static double name##_dot(const double *a, const double *b, int n)                                 \
    {                                                                                                        \
        return dot_body(a, b, n);                                                                            \
    }                                                                                                        \
    static const nn_smo_loops name##_loops = {name##_update, name##_steepest,    name##_partner,             \
                                              name##_add,    name##_add_doubles, name##_dot}

LOOPS(generic, );
#if defined(__x86_64__)
LOOPS(avx2, __attribute__((target("avx2"))));
LOOPS(avx512, __attribute__((target("avx512f,avx512vl,avx512dq"))));
#endif

const nn_smo_loops *nn_smo_loops_for(const tn_ctx *ctx)
{
#if defined(__x86_64__)
    if (strcmp(tn_isa(ctx), "avx512") == 0)
        return &avx512_loops;
    if (strcmp(tn_isa(ctx), "avx2") == 0)
        return &avx2_loops;
#else
    (void)ctx;
#endif
    return &generic_loops;
}
