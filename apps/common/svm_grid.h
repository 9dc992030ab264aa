/* svm_grid: the points of a grid search, from lists and ranges on the command line. */
#ifndef APPS_COMMON_SVM_GRID_H
#define APPS_COMMON_SVM_GRID_H

#include "apps/common/command.h"
#include "nn/nn.h"

enum { SVM_GRID_LIST = 16, SVM_GRID_POINTS = 1000000, SVM_GRID_OPTIONS = 4 };

/* What the command line says, and before it is read the defaults. */
typedef struct svm_grid_args {
    const char *kernels, *degrees;   /* -t, -d: lists as "0,1,2" */
    const char *log2c, *log2g;       /* --log2c, --log2g: "BEGIN,END,STEP", exponents of 2 */
    char help[SVM_GRID_OPTIONS][96]; /* what --help says, with the defaults */
} svm_grid_args;

/* Writes -t, -d, --log2c and --log2g into `out` and returns their number. */
int svm_grid_options(svm_grid_args *args, cmd_option out[SVM_GRID_OPTIONS]);

/* Exponents of 2 as in LIBSVM's grid.py. */
typedef struct svm_grid_range {
    double begin, end, step; /* step is not 0 and leads from begin to end */
    size_t count;            /* of exponents */
} svm_grid_range;

typedef struct svm_grid {
    svm_grid_range c, g;       /* of cost and gamma */
    int kernel[SVM_GRID_LIST]; /* kernels of them */
    int degree[SVM_GRID_LIST]; /* degrees of them, for the polynomial */
    int kernels, degrees;      /* how many */
    nn_svm_point *point;       /* count of them; set by svm_grid_points() */
    size_t count;              /* points; same */
} svm_grid;

/* Reads the arguments; CMD_GO, or the exit status after a mistake that it has told. */
int svm_grid_parse(const char *program, const svm_grid_args *args, svm_grid *out);

/* Makes the points: kernel by kernel (the polynomial degree by degree), C rising slowest. TN_NOMEM. To be
 * freed after a failure too. */
tn_status svm_grid_points(tn_ctx *ctx, svm_grid *grid);
void svm_grid_free(tn_ctx *ctx, svm_grid *grid);

/* "linear", "polynomial", "rbf", "sigmoid", as in model files. */
const char *svm_grid_kernel(nn_svm_kernel kernel);

#endif
