/* The matrices of Winograd's F(m, 3) (Lavin and Gray 2016, "Fast algorithms for convolutional neural
 * networks", section 4): m neighbouring results of a correlation with 3 taps g over m + 2 values d are
 *
 *   y = A^T ((G g) * (B^T d)), * element by element.
 *
 * Made by Toom and Cook's method from the points 0, 1, -1 and, for m = 4, 1/2, -2, which loses less to
 * rounding than 2, -2 (Barabasz et al. 2020, "Error analysis and improving the accuracy of Winograd
 * convolution"); powers of two are moved from B^T to G. Row-major.
 */
#ifndef TN_WINOGRAD_H
#define TN_WINOGRAD_H

enum { TN_WINOGRAD_MAX = 6 }; /* values of a row of a tile: m + 2 */

static const float tn_winograd_bt2[4 * 4] = {
    -1, 0,  1, 0, /* */
    0,  1,  1, 0, /* */
    0,  -1, 1, 0, /* */
    0,  -1, 0, 1,
};
static const float tn_winograd_at2[2 * 4] = {
    1, 1, 1,  0, /* */
    0, 1, -1, 1,
};
static const float tn_winograd_bt4[6 * 6] = {
    0.5f, -0.75f, -1.0f,  0.75f, 0.5f,  0.0f, /* */
    0.0f, -0.5f,  0.25f,  1.25f, 0.5f,  0.0f, /* */
    0.0f, 0.5f,   -1.25f, 0.25f, 0.5f,  0.0f, /* */
    0.0f, -1.0f,  -0.5f,  1.0f,  0.5f,  0.0f, /* */
    0.0f, 0.5f,   -1.0f,  -0.5f, 1.0f,  0.0f, /* */
    0.0f, 0.5f,   -0.75f, -1.0f, 0.75f, 0.5f,
};
static const float tn_winograd_at4[4 * 6] = {
    1.0f, 1.0f, 1.0f,  1.0f,   1.0f,  0.0f, /* */
    0.0f, 1.0f, -1.0f, 0.5f,   -2.0f, 0.0f, /* */
    0.0f, 1.0f, 1.0f,  0.25f,  4.0f,  0.0f, /* */
    0.0f, 1.0f, -1.0f, 0.125f, -8.0f, 1.0f,
};

#endif
