/* What training a support vector machine is made of: kernel rows and the solver of one pair of classes. */
#ifndef NN_SMO_H
#define NN_SMO_H

#include "nn/smo_loops.h"
#include "nn/svm.h"

/* The rows of a data set by their columns, which is how a whole row of dot products is summed quickly: entry
 * by entry in ascending order of the indices, so each value has the bits of a dot product of two rows. */
typedef struct nn_gram {
    const nn_svm_data *data;     /* borrowed */
    const nn_smo_loops *loops;   /* for the instruction set */
    nn_svm_kernel_params kernel; /* set before rows are asked for */
    int columns;                 /* different indices */
    int *column;                 /* of each entry of the data */
    size_t *start;               /* columns + 1: column c has row[start[c]] to row[start[c + 1] - 1] */
    int *row;                    /* of each entry, column behind column */
    double *value;               /* same */
    double *square;              /* rows: |x|^2 */
    const float *table;          /* rows x rows: all kernel values, borrowed; or NULL */
} nn_gram;

/* TN_NOMEM; TN_RANGE for more than INT_MAX rows. To be freed also after a failure. */
tn_status nn_gram_create(tn_ctx *ctx, const nn_svm_data *data, nn_gram *out);
void nn_gram_free(tn_ctx *ctx, nn_gram *gram);

/* out[t] = K(row i, row index[t]) for t in [0, count). `dots` has room for all rows. |u - v|^2 is taken as
 * u.u
 * + v.v - 2 u.v, as LIBSVM does in training. */
void nn_gram_row(const nn_gram *gram, int i, const int *index, int count, double *dots, double *out);

/* K(row i, row i). */
double nn_gram_self(const nn_gram *gram, int i);

/* ---- solver ---------------------------------------------------------------------------------------- */

/* A problem of two classes: min 1/2 a'Qa - e'a with y'a = 0, 0 <= a_t <= cost, Q_st = y_s y_t K(s, t). */
typedef struct nn_smo_problem {
    const nn_gram *gram;  /* kernel values */
    const int *row;       /* count: rows of the data set */
    const signed char *y; /* count: 1 or -1 */
    int count;            /* rows of the problem, at least 1 */
    double cost[2];       /* upper bounds of a where y is 1, and where it is -1 */
    double tolerance;     /* stops where the gap of the two gradients is below that */
    bool shrinking;       /* leave out what stays at its bound */
    bool jumping;         /* other steps, to the same tolerance: all free variables at once, too; the order is
                             restored         after shrinking, so that the table serves again */
} nn_smo_problem;

typedef struct nn_smo_result {
    double objective;   /* 1/2 a'Qa - e'a */
    double rho;         /* subtracted from the decision value */
    int64_t iterations; /* steps of two variables */
    int vectors;        /* a > 0 */
    int bounded;        /* a at its cost */
    bool converged;     /* false: stopped by the limit of iterations */
    bool finite;        /* false: a kernel value was no finite float; nothing else counts then */
} nn_smo_result;

/* What a solver works in; made once, so that solving allocates nothing and cannot fail. */
typedef struct nn_smo nn_smo;

/* For problems of up to `room` rows out of a data set of `rows`. The row cache takes up to `cache_bytes`, but
 * has two rows at least and all of them where they fit. Without `jumping` no problem's wish for it is heard.
 * TN_NOMEM. */
tn_status nn_smo_create(tn_ctx *ctx, int room, size_t rows, size_t cache_bytes, bool jumping, nn_smo **out);
void nn_smo_destroy(tn_ctx *ctx, nn_smo *smo);

/* Sequential minimal optimisation with the second-order working set of Fan, Chen and Lin 2005 (WSS 2). alpha
 * has room for problem->count. The result does not depend on the size of the cache. */
nn_smo_result nn_smo_solve(nn_smo *smo, const nn_smo_problem *problem, double *alpha);

/* The problem that was solved last with costs `factor` times as large, from its solution scaled alike, in
 * which what was at a bound still is, and with the kernel values that are there. `factor` is at least 1, and
 * not so large that products overflow. */
nn_smo_result nn_smo_solve_scaled(nn_smo *smo, double factor, double *alpha);

#endif
