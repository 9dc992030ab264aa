/* A case of an op with values drawn for it, and what the op's oracle says about them: results, and gradients
 * by central differences under a random cotangent. */
#ifndef TESTS_REF_PROBLEM_H
#define TESTS_REF_PROBLEM_H

#include "libtensor/internal.h"
#include "tests/ref/ref.h"

enum {
    PROBLEM_DRAWS = 2,     /* sets of values that a case is run on, see problem_set_up() */
    PROBLEM_MAX_LOSSES = 3 /* each output, and all of them together */
};

/* What random ops are told. The op is node 1 of its graph. */
enum { PROBLEM_SEED = 42, PROBLEM_RUN = 3, PROBLEM_FIRST_SAMPLE = 5, PROBLEM_NODE = 1 };

/* An op and what it must agree with. */
typedef struct oracle {
    const tn_op *op; /* under test */
    ref_fn ref;      /* its definition */
} oracle;

/* One place where a gradient is known. */
typedef struct probe {
    int input;       /* of the op; -1 ends a list */
    int64_t element; /* row-major index; negative: along random direction -1 - element */
    double want;     /* the derivative */
} probe;

typedef struct problem {
    const oracle *oracle;              /* borrowed */
    const tn_case *c;                  /* shapes and attributes */
    int draw;                          /* which values */
    tn_tensor in[TN_MAX_IN];           /* values, row-major; data NULL where left out */
    tn_tensor cotangent[TN_MAX_OUT];   /* same; what an output's gradient is set to */
    ref_call want[2];                  /* results by tn_mode, with the changed statistics among the inputs */
    int losses;                        /* 1, or 3 for two outputs */
    probe *probes[PROBLEM_MAX_LOSSES]; /* of each loss */
} problem;

/* Draws the values and asks the oracle. Draw 0 is around zero, with lengths from 0 to all steps; draw 1 is
 * wide and lopsided, with some lengths out of range. Some labels are out of range in both. */
void problem_set_up(problem *p, const oracle *of, const tn_case *c, int draw);
void problem_tear_down(problem *p);

/* The role of input i, TN_ROLE_NONE where it is left out. */
tn_role problem_role(const problem *p, int i);
bool problem_differentiable(const problem *p, int i);
bool problem_is_statistic(const problem *p, int i);

/* Loss `l` is output l times its cotangent, the last of several losses all of them together. */
bool problem_takes_part(const problem *p, int loss, int output);

/* What a gradient, row-major, comes to at a probe. */
double problem_project(const problem *p, const probe *at, const tn_tensor *grad);

/* A row-major tensor of zeros; its data is the caller's to free(). */
tn_tensor problem_new_tensor(int rank, const int64_t *size);

#endif
