/* The loops over all variables that a step of the solver takes, for the widest vectors that there are. Sums
 * and choices are the same bits for all widths: nothing is contracted, and of equals the last one is taken.
 */
#ifndef NN_SMO_LOOPS_H
#define NN_SMO_LOOPS_H

#include "libtensor/tensor.h"

/* Besides its slope v (-y times the gradient) a variable t has rise[t], 0 where y a may grow and else
 * -infinity, and fall[t], 0 where it may fall and else infinity. */
typedef struct nn_smo_loops {
    /* v[t] -= ki[t] di + kj[t] dj for t in [0, n); then as steepest(). */
    int (*update)(double *v, const double *rise, const float *ki, const float *kj, double di, double dj,
                  int n, double *top);
    /* The index of the largest v[t] + rise[t], and that in *top; -1 where there is none above -infinity. */
    int (*steepest)(const double *v, const double *rise, int n, double *top);
    /* With d = top - (v[t] + fall[t]) above 0 and c = self_i + self[t] - 2 k[t] (1e-12 where that is not
     * above 0): the index of the largest d^2 / c; -1 where there is none. *bottom is the least v[t] +
     * fall[t]. */
    int (*partner)(const double *v, const double *fall, const double *self, const float *k, double self_i,
                   double top, int n, double *bottom);
    /* sum[t] += x k[t]. */
    void (*add)(double *sum, const float *k, double x, int n);
    /* Same with doubles. */
    void (*add_doubles)(double *sum, const double *k, double x, int n);
    /* The sum of a[t] b[t]. */
    double (*dot)(const double *a, const double *b, int n);
} nn_smo_loops;

/* For the context's instruction set. */
const nn_smo_loops *nn_smo_loops_for(const tn_ctx *ctx);

#endif
