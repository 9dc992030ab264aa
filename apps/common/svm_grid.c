#include "apps/common/svm_grid.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- options --------------------------------------------------------------------------------------- */

int svm_grid_options(svm_grid_args *a, cmd_option out[SVM_GRID_OPTIONS])
{
    int n = 0;
    snprintf(a->help[0], sizeof a->help[0],
             "0 linear, 1 polynomial, 2 RBF, 3 sigmoid, separated by\ncommas (default %s)", a->kernels);
    snprintf(a->help[1], sizeof a->help[1], "degrees of the polynomial (default %s)", a->degrees);
    snprintf(a->help[2], sizeof a->help[2], "C is 2^B, 2^(B+S), ... 2^E (default %s)", a->log2c);
    snprintf(a->help[3], sizeof a->help[3], "gamma, same (default %s)", a->log2g);
    out[n++] = cmd_with_letter('t', cmd_text("kernel", "LIST", a->help[0], &a->kernels));
    out[n++] = cmd_with_letter('d', cmd_text("degree", "LIST", a->help[1], &a->degrees));
    out[n++] = cmd_text("log2c", "B,E,S", a->help[2], &a->log2c);
    out[n++] = cmd_text("log2g", "B,E,S", a->help[3], &a->log2g);
    return n;
}

static bool parse_range(const char *text, svm_grid_range *out)
{
    char rest;
    if (sscanf(text, "%lf,%lf,%lf%c", &out->begin, &out->end, &out->step, &rest) != 3 ||
        !(fabs(out->begin) <= 1000) || !(fabs(out->end) <= 1000) || !(fabs(out->step) >= 1e-3) ||
        !(fabs(out->step) <= 2000))
        return false;
    const double steps = (out->end - out->begin) / out->step;
    out->count = steps < 0 ? 0 : (size_t)floor(steps + 1e-9) + 1;
    return out->count > 0;
}

/* Whole numbers separated by commas, from 0 to `high`; their count, 0 for any other text. */
static int parse_list(const char *text, int high, int *out)
{
    int count = 0;
    for (;;) {
        char *end;
        errno = 0;
        const long value = strtol(text, &end, 10);
        if (end == text || errno || value < 0 || value > high || count == SVM_GRID_LIST)
            return 0;
        out[count++] = (int)value;
        if (*end == '\0')
            return count;
        if (*end != ',')
            return 0;
        text = end + 1;
    }
}

/* ---- points ---------------------------------------------------------------------------------------- */

static double power_of_2(const svm_grid_range *r, size_t i)
{
    return exp2(r->begin + (double)i * r->step);
}

/* The points of one kernel and degree; `point` NULL only counts them. */
static size_t add_points(const svm_grid *g, nn_svm_kernel kernel, int degree, nn_svm_point *point)
{
    const size_t gammas = kernel == NN_SVM_LINEAR ? 1 : g->g.count;
    for (size_t i = 0; point && i < g->c.count; i++)
        for (size_t j = 0; j < gammas; j++)
            *point++ = (nn_svm_point){.kernel = kernel,
                                      .degree = degree,
                                      .gamma = kernel == NN_SVM_LINEAR ? 0 : power_of_2(&g->g, j),
                                      .cost = power_of_2(&g->c, i)};
    return g->c.count * gammas;
}

static size_t add_all_points(const svm_grid *g, nn_svm_point *point)
{
    size_t count = 0;
    for (int i = 0; i < g->kernels; i++) {
        const nn_svm_kernel kernel = (nn_svm_kernel)g->kernel[i];
        for (int d = 0; d < (kernel == NN_SVM_POLYNOMIAL ? g->degrees : 1); d++)
            count += add_points(g, kernel, kernel == NN_SVM_POLYNOMIAL ? g->degree[d] : 0,
                                point ? point + count : NULL);
    }
    return count;
}

int svm_grid_parse(const char *program, const svm_grid_args *a, svm_grid *g)
{
    static const char range[] = "expected BEGIN,END,STEP, a step that leads from one to the other";
    *g = (svm_grid){0};
    if (!parse_range(a->log2c, &g->c))
        return cli_usage(program, "--log2c %s: %s", a->log2c, range);
    if (!parse_range(a->log2g, &g->g))
        return cli_usage(program, "--log2g %s: %s", a->log2g, range);
    g->kernels = parse_list(a->kernels, NN_SVM_SIGMOID, g->kernel);
    if (g->kernels == 0)
        return cli_usage(program, "-t %s: expected kernels from 0 to 3, separated by commas", a->kernels);
    g->degrees = parse_list(a->degrees, INT_MAX, g->degree);
    if (g->degrees == 0)
        return cli_usage(program, "-d %s: expected whole numbers, separated by commas", a->degrees);
    if (add_all_points(g, NULL) > SVM_GRID_POINTS)
        return cli_usage(program, "more than %d points", (int)SVM_GRID_POINTS);
    return CMD_GO;
}

tn_status svm_grid_points(tn_ctx *ctx, svm_grid *g)
{
    g->count = add_all_points(g, NULL);
    g->point = tn_alloc(ctx, g->count, sizeof *g->point);
    if (!g->point)
        return TN_NOMEM;
    add_all_points(g, g->point);
    return TN_OK;
}

void svm_grid_free(tn_ctx *ctx, svm_grid *g)
{
    tn_free(ctx, g->point);
    g->point = NULL;
}

const char *svm_grid_kernel(nn_svm_kernel kernel)
{
    static const char *const name[] = {"linear", "polynomial", "rbf", "sigmoid"};
    return name[kernel];
}
