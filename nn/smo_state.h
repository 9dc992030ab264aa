/* What the solver's files share: its state. */
#ifndef NN_SMO_STATE_H
#define NN_SMO_STATE_H

#include "nn/smo.h"
#include "nn/smo_cache.h"
#include "nn/smo_loops.h"

/* tau of WSS 2, where the kernel is not positive definite. */
static const double nn_smo_least_curvature = 1e-12;

/* Variables that follow each other in kernel rows too. */
typedef struct nn_smo_run {
    int at, column, count; /* the first, its place in the rows, how many */
} nn_smo_run;

/* Two classes, each in one piece or in two around a fold. */
enum { NN_SMO_RUNS = 4 };

struct nn_smo {
    nn_smo_problem problem;    /* at hand */
    const nn_smo_loops *loops; /* for the instruction set */
    int active;                /* variables [0, active) are looked at, the others shrunk */
    bool unshrunk;             /* everything was looked at again once, near the end */
    bool finite;               /* no kernel value has overflowed so far */
    int steepest;              /* active variable that may rise and has the largest slope; -1: none */
    double top;                /* its slope */
    int *order;                /* room: place in the problem of each variable */
    int *row;                  /* room: its row in the data set */
    signed char *y;            /* room: its label */
    double *alpha;             /* room: its value */
    double *slope;             /* room: -y times the gradient; of shrunk variables out of date */
    double *rise, *fall;       /* room: of nn_smo_loops */
    double *bounded;           /* room: sum of y_s C_s K(s, t) over variables s at their cost */
    double *self;              /* room: K(t, t) */
    double *dots;              /* rows of the data set: scratch of nn_gram_row() */
    double *kernel;            /* room: same */
    nn_cache cache;            /* rows of kernel values, unless in place */
    bool in_place;             /* nothing is shrunk and the rows are those of the gram's table */
    int runs; /* of all variables in the table; 0: there is none, or they are more than that */
    nn_smo_run run[NN_SMO_RUNS]; /* these */
    nn_cache_swap *swap;         /* room: what one shrinking lets change places */
    int free_room;               /* how many free variables may step at once; 0: never */
    int *free_of;                /* free_room: the variables */
    double *factor;              /* free_room x free_room: Cholesky factor of their kernel values */
    double *direction;           /* 2 x free_room: where they go */
};

static inline double nn_smo_cost(const nn_smo *s, int t)
{
    return s->problem.cost[s->y[t] < 0];
}

static inline int nn_smo_place(const nn_smo *s, int t)
{
    return s->in_place ? s->row[t] : t;
}

/* sum[t] += x k[t] for the variables [0, count) and a kernel row k; in place that is all of them. */
void nn_smo_add(const nn_smo *s, double *sum, const float *k, double x, int count);

/* Whether y_t alpha_t may grow (I_up of the papers), and whether it may fall (I_low). */
static inline bool nn_smo_may_rise(const nn_smo *s, int t)
{
    return s->rise[t] == 0;
}

static inline bool nn_smo_may_fall(const nn_smo *s, int t)
{
    return s->fall[t] == 0;
}

/* 0 < alpha < cost. */
static inline bool nn_smo_is_free(const nn_smo *s, int t)
{
    return nn_smo_may_rise(s, t) && nn_smo_may_fall(s, t);
}

/* Sets alpha, and whether the variable may rise and fall. */
void nn_smo_set(nn_smo *s, int t, double alpha);

/* Keeps `bounded` right where variable t has come to its cost or left it. */
void nn_smo_note_bound(nn_smo *s, int t, bool was_at_cost);

/* The kernel values of variable t with [0, want), that with variable j at nn_smo_place(j). Good until the
 * call after the next. */
const float *nn_smo_row(nn_smo *s, int t, int want);

/* Lets all free active variables go to the optimum that they have while the others stay, or until one of them
 * meets its bound; then those that are left, and so on. The caller's `steepest` is out of date then. Returns
 * how many steps of two variables take about as long. */
int nn_smo_step_free(nn_smo *s);

#endif
