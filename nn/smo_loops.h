/* The loops over all variables that a step of the solver takes, and those of kernel rows, for the widest
 * vectors that there are. Sums and choices are the same bits for all widths: nothing is contracted that would
 * round otherwise, and of equals the last one is taken. */
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
     * above 0): the index of the largest d^2 / c where that is at least *most, which it then becomes; -1
     * where there is none. *bottom becomes the least v[t] + fall[t] where that is less. */
    int (*partner)(const double *v, const double *fall, const double *self, const float *k, double self_i,
                   double top, int n, double *bottom, double *most);
    /* sum[t] += x k[t]. */
    void (*add)(double *sum, const float *k, double x, int n);
    /* Same with doubles. */
    void (*add_doubles)(double *sum, const double *k, double x, int n);
    /* out[t] += x[c] column[c][t] for c in [0, columns), in that order. */
    void (*combine)(const double *const *column, const double *x, int columns, int n, double *out);
    /* x[t] = square + squares[t] - 2 x[t], which makes |u - v|^2 of u.v. */
    void (*distances)(double square, const double *squares, int n, double *x);
    /* x[t] = exp(-gamma x[t]), within a unit in the last place. */
    void (*gauss)(double gamma, int n, double *x);
    /* x[t] = (gamma x[t] + coef0)^degree, the bits of nn_svm_kernel_of(). */
    void (*power)(double gamma, double coef0, int degree, int n, double *x);
    /* Floats of x; what is no finite float becomes 0. False where there was any such. */
    bool (*narrow)(const double *x, int n, float *out);
    /* The sum of a[t] b[t]. */
    double (*dot)(const double *a, const double *b, int n);
} nn_smo_loops;

/* For the context's instruction set. */
const nn_smo_loops *nn_smo_loops_for(const tn_ctx *ctx);

#endif
