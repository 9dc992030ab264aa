/* Toom and Cook's method for short correlations: y[i] = sum_k taps[k] values[i + k] for a group of results in
 * as few products as there are points, where a direct sum takes group * taps of them.
 *
 *   y = A^T ((G taps) * (B^T values)), * element by element.
 *
 * Both are polynomials, which are multiplied by their values at points, one of them infinity. A complex point
 * comes with its conjugate, and the two cost three real products, one more than two real points would; but
 * points on the unit circle magnify rounding far less than as many real ones (points near each other and far
 * powers do it). Winograd 1980, "Arithmetic complexity of computations"; Blahut 2010, "Fast algorithms for
 * signal processing", chapter 5.
 */
#ifndef TN_TOOM_H
#define TN_TOOM_H

#include "libtensor/internal.h"

enum { TN_TOOM_TAPS = 7, TN_TOOM_GROUP = 7, TN_TOOM_REALS = 8, TN_TOOM_PAIRS = 2 }; /* at most */

/* What to take values at, besides infinity; reals + 2 pairs + 1 = group + taps - 1, all different. */
typedef struct tn_toom_points {
    int group, taps;               /* results and taps of a correlation */
    int reals, pairs;              /* of the following */
    double real[TN_TOOM_REALS];    /* real points */
    double pair[TN_TOOM_PAIRS][2]; /* real and imaginary part of one of two conjugates */
} tn_toom_points;

/* The matrices; what is past the counts is 0. */
typedef struct tn_toom {
    int group, taps;                  /* as in the points */
    int values;                       /* of a correlation: group + taps - 1 */
    int products;                     /* real points, infinity, three for each pair: at most TN_MIX */
    double at[TN_TOOM_GROUP][TN_MIX]; /* A^T: [result][product] */
    double g[TN_MIX][TN_TOOM_TAPS];   /* G: [product][tap] */
    double bt[TN_MIX][TN_MIX];        /* B^T: [product][value] */
} tn_toom;

static inline int tn_toom_values(const tn_toom_points *points)
{
    return points->group + points->taps - 1;
}

static inline int tn_toom_products(const tn_toom_points *points)
{
    return points->reals + 1 + 3 * points->pairs;
}

/* The order of products is that of the real points, then infinity, then the pairs. */
tn_toom tn_toom_make(const tn_toom_points *points);

#endif
