/* The matrices of Winograd's F(m, 3) (Lavin and Gray 2016, "Fast algorithms for convolutional neural
 * networks", section 4): m neighbouring results of a correlation with 3 taps g over m + 2 values d are
 *
 *   y = A^T ((G g) * (B^T d)), * element by element.
 *
 * Made by Toom and Cook's method from the values of polynomials at some points; powers of two are
 * moved to G.
 */
#ifndef TN_WINOGRAD_H
#define TN_WINOGRAD_H

#include "libtensor/internal.h"

/* Of a row of a tile, at most. */
enum { TN_WINOGRAD_RESULTS = 4, TN_WINOGRAD_VALUES = 6, TN_WINOGRAD_POINTS = 6 };

typedef struct tn_winograd_scheme {
    tn_tiling tiling;                                  /* what it is called */
    int results;                                       /* y of a row */
    int values;                                        /* d of a row, results + 2 */
    int points;                                        /* products of a row */
    float at[TN_WINOGRAD_RESULTS][TN_WINOGRAD_POINTS]; /* A^T */
    float bt[TN_WINOGRAD_POINTS][TN_WINOGRAD_VALUES];  /* B^T */
    double g[TN_WINOGRAD_POINTS][3];                   /* G */
} tn_winograd_scheme;

/* At 0, 1, -1 and infinity. */
static const tn_winograd_scheme tn_winograd_f2 = {
    .tiling = TN_F2,
    .results = 2,
    .values = 4,
    .points = 4,
    .at = {{1, 1, 1, 0}, {0, 1, -1, 1}},
    .bt = {{-1, 0, 1, 0}, {0, 1, 1, 0}, {0, -1, 1, 0}, {0, -1, 0, 1}},
    .g = {{-1, 0, 0}, {0.5, 0.5, 0.5}, {0.5, -0.5, 0.5}, {0, 0, 1}},
};

/* At 0, 1, -1, 1/2, -2 and infinity: the fewest products. 1/2 and -2 lose less to rounding than 2 and -2
 * (Barabasz et al. 2020, "Error analysis and improving the accuracy of Winograd convolution"). */
static const tn_winograd_scheme tn_winograd_f4 = {
    .tiling = TN_F4,
    .results = 4,
    .values = 6,
    .points = 6,
    .at = {{1, 1, 1, 1, 1, 0}, {0, 1, -1, 0.5f, -2, 0}, {0, 1, 1, 0.25f, 4, 0}, {0, 1, -1, 0.125f, -8, 1}},
    .bt = {{0.5f, -0.75f, -1, 0.75f, 0.5f, 0},
           {0, -0.5f, 0.25f, 1.25f, 0.5f, 0},
           {0, 0.5f, -1.25f, 0.25f, 0.5f, 0},
           {0, -1, -0.5f, 1, 0.5f, 0},
           {0, 0.5f, -1, -0.5f, 1, 0},
           {0, 0.5f, -0.75f, -1, 0.75f, 0.5f}},
    .g = {{2, 0, 0},
          {2.0 / 3, 2.0 / 3, 2.0 / 3},
          {-2.0 / 3, 2.0 / 3, -2.0 / 3},
          {-32.0 / 15, -16.0 / 15, -8.0 / 15},
          {1.0 / 15, -2.0 / 15, 4.0 / 15},
          {0, 0, 2}},
};

#endif
