/* What training and cross-validation share: classes, workers, one pair at a time. */
#ifndef NN_SVM_TRAIN_H
#define NN_SVM_TRAIN_H

#include "nn/smo.h"

#include <stdatomic.h>

/* The rows of a data set, class behind class. */
typedef struct nn_groups {
    int classes;   /* k */
    int *label;    /* classes: in their order */
    int *first;    /* classes + 1: class c has row[first[c]] to row[first[c + 1] - 1] */
    int *row;      /* rows: in the data's order within a class */
    int *class_of; /* rows */
    int largest;   /* rows of the two largest classes together */
} nn_groups;

/* What one thread works in. */
typedef struct nn_svm_worker {
    nn_smo *smo;      /* solver */
    int *row;         /* rows of the problem at hand; later support vectors */
    signed char *y;   /* largest: their labels */
    double *alpha;    /* largest: their solution */
    double *solution; /* chain x largest: y a of the problem's rows at each cost; NULL without a chain */
    double *rho;      /* chain; same */
    double *dots;     /* rows: scratch of nn_gram_row() */
    double *kernel;   /* rows: a kernel row */
} nn_svm_worker;

/* Data, parameters and threads' places of one call. */
typedef struct nn_svm_job {
    const nn_svm_data *data;     /* borrowed */
    const nn_svm_params *params; /* borrowed */
    nn_groups groups;            /* of the data */
    nn_gram gram;                /* kernel rows */
    double *weight;              /* classes: C is multiplied by it */
    nn_svm_worker *worker;       /* worker_count of them */
    int worker_count;            /* threads that can be at work at once */
    int *worker_of;              /* of each thread of the context; -1: none yet */
    atomic_int workers_taken;    /* how many have one */
} nn_svm_job;

/* What nn_svm_train() asks of data, and of parameters too. TN_RANGE. */
tn_status nn_svm_check_data(tn_ctx *ctx, const nn_svm_data *data);
tn_status nn_svm_check(tn_ctx *ctx, const nn_svm_data *data, const nn_svm_params *params);

/* The classes of checked data. TN_NOMEM; TN_RANGE for fewer than two. To be freed after a failure too. */
tn_status nn_svm_group(tn_ctx *ctx, const nn_svm_data *data, nn_groups *out);
void nn_svm_groups_free(tn_ctx *ctx, nn_groups *groups);

/* A copy of checked data, its rows by class, then fold (NULL: one only), then as they were: the rows of a
 * problem are then few long runs, and classes in the same order. Row i is row order[i] (rows) of the data.
 * TN_NOMEM; TN_RANGE as nn_svm_group(). To be freed with nn_svm_data_free() after a failure too. */
tn_status nn_svm_sort(tn_ctx *ctx, const nn_svm_data *data, const int *fold, int folds, int *order,
                      nn_svm_data *out);

/* Checks data and parameters and makes everything but the workers. To be freed after a failure too. */
tn_status nn_svm_job_create(tn_ctx *ctx, const nn_svm_data *data, const nn_svm_params *params,
                            nn_svm_job *out);
void nn_svm_job_free(tn_ctx *ctx, nn_svm_job *job);

/* Makes workers for up to `tasks` tasks at once, their row caches of cache_bytes together. `chain` is how
 * many costs cross-validation solves a problem for in one task, and lets its solvers jump; 0: none. */
tn_status nn_svm_job_hire(tn_ctx *ctx, nn_svm_job *job, int64_t tasks, size_t cache_bytes, size_t chain);

/* tn_parallel() for at most as many tasks as workers were hired for. The tasks get their workers from
 * nn_svm_job_worker(). */
void nn_svm_job_run(tn_ctx *ctx, nn_svm_job *job, int64_t tasks, tn_task_fn fn, void *arg);
nn_svm_worker *nn_svm_job_worker(nn_svm_job *job, int thread);

/* The kernel of parameters, gamma resolved. */
nn_svm_kernel_params nn_svm_job_kernel(const nn_svm_data *data, nn_svm_kernel kernel, int degree,
                                       double gamma, double coef0);

/* Solves the pair (a, b) on its rows whose fold is not `held` (fold NULL: on all), with C `cost` and the
 * weights: worker->row, y and alpha are then those of *count rows, a's first. Without rows of both classes
 * nothing is solved, and the result has no support vectors. */
nn_smo_result nn_svm_solve_pair(const nn_svm_job *job, nn_svm_worker *worker, int a, int b, const int *fold,
                                int held, double cost, int *count);

/* Permutes n items by Philox with key `seed` and stream `stream` (Fisher and Yates). */
void nn_svm_shuffle(int *item, size_t n, uint64_t seed, uint64_t stream);

/* Platt's sigmoid P(y = 1 | f) = 1 / (1 + exp(a f + b)) by Newton's method with backtracking (Lin, Lin and
 * Weng 2007, algorithm 1). target has room for n. */
void nn_platt_fit(const double *decision, const signed char *y, size_t n, double *target, double *a,
                  double *b);

/* TN_RANGE, saying what to do about it. */
tn_status nn_svm_overflow(tn_ctx *ctx);

#endif
