/* The matrices of Winograd's F(m, 3) (Lavin and Gray 2016, "Fast algorithms for convolutional neural
 * networks", section 4): m neighbouring results of a correlation with 3 taps g over m + 2 values d are
 *
 *   y = A^T ((G g) * (B^T d)), * element by element.
 *
 * Made by Toom and Cook's method from the values of polynomials at some points; powers of two, and signs
 * where that saves a multiplication, are moved to G.
 */
#ifndef TN_WINOGRAD_H
#define TN_WINOGRAD_H

#include "libtensor/internal.h"

/* Of a row of a tile, and of a tile, at most. */
enum { TN_WINOGRAD_RESULTS = 4, TN_WINOGRAD_VALUES = 6, TN_WINOGRAD_POINTS = 6, TN_WINOGRAD_PLANES = 46 };

typedef struct tn_winograd_scheme {
    tn_tiling tiling;                                  /* what it is called */
    int results;                                       /* y of a row */
    int values;                                        /* d of a row, results + 2 */
    int points;                                        /* rows of B^T and G */
    bool complex;                                      /* the last two are parts of complex numbers */
    int planes;                                        /* products of a tile */
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
    .planes = 16,
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
    .planes = 36,
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

/* At 0, 1, -1, infinity, i and -i. At i and -i u = G g and v = B^T d are complex and each other's conjugates,
 * so one of the two is enough: the last rows of B^T and G are its real and its imaginary part. The pair adds
 * 2 Re(i^k u v) to result k; A^T's last columns are Re i^k and -Im i^k, and G has the 2. Values are only
 * added up, which loses far less to rounding than f4. Meng and Brothers 2019, "Efficient Winograd convolution
 * via integer arithmetic".
 *
 * In a tile each real point of one axis and i of the other make a complex product, 8 of them. i along both
 * makes numbers with two units, a + b i + c j + d ij; put i and -i for j and they are two complex ones, whose
 * products say as much: 10 in all. Each takes three real products (Karatsuba): u_r v_r, u_i v_i and (u_r +
 * u_i) (v_r + v_i); the planes of the sums come behind the 36 others. */
static const tn_winograd_scheme tn_winograd_f4_complex = {
    .tiling = TN_F4_COMPLEX,
    .results = 4,
    .values = 6,
    .points = 6,
    .complex = true,
    .planes = 46,
    .at = {{1, 1, 1, 0, 1, 0}, {0, 1, -1, 0, 0, -1}, {0, 1, 1, 0, -1, 0}, {0, 1, -1, 1, 0, 1}},
    .bt = {{1, 0, 0, 0, -1, 0},
           {0, 1, 1, 1, 1, 0},
           {0, 1, -1, 1, -1, 0},
           {0, 1, 0, 0, 0, -1},
           {0, 0, 1, 0, -1, 0},
           {0, 1, 0, -1, 0, 0}},
    .g = {{1, 0, 0}, {0.25, 0.25, 0.25}, {-0.25, 0.25, -0.25}, {0, 0, -1}, {-0.5, 0, 0.5}, {0, -0.5, 0}},
};

enum { TN_WINOGRAD_REAL = 4, TN_WINOGRAD_SUMS = 36, TN_WINOGRAD_PAIRS = 10 };

/* The planes of a complex factor's real and imaginary part: those of the real rows, of the real columns, and
 * of i along both axes with j = i and with j = -i. The sum of pair k is plane TN_WINOGRAD_SUMS + k. */
static const int tn_winograd_pair[TN_WINOGRAD_PAIRS][2] = {
    {4, 5}, {10, 11}, {16, 17}, {22, 23}, {24, 30}, {25, 31}, {26, 32}, {27, 33}, {28, 29}, {34, 35},
};

/* Where a, b, c and d are, in whose places the last two pairs come. */
enum { TN_UNIT_1 = 28, TN_UNIT_I = 34, TN_UNIT_J = 29, TN_UNIT_IJ = 35 };

#endif
