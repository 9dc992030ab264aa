/* The matrices of Toom and Cook's method. B^T has the rows of the Lagrange polynomials' coefficients, G the
 * values of the taps' polynomial, divided by what those polynomials are off by; A^T the powers of points. */
#include "libtensor/toom.h"

#include <math.h>

/* Rows p to p + rows - 1 of B^T go to G but for a power of two, so that both have coefficients around 1. */
static void balance(tn_toom *m, int p, int rows)
{
    double largest = 0;
    for (int i = 0; i < TN_MIX; i++)
        largest = fmax(largest, fabs(m->bt[p][i]));
    const double scale = exp2(-round(log2(largest)));
    for (int row = p; row < p + rows; row++) {
        for (int i = 0; i < TN_MIX; i++)
            m->bt[row][i] *= scale;
        for (int i = 0; i < TN_TOOM_TAPS; i++)
            m->g[row][i] /= scale;
    }
}

/* Coefficients of the product of x - q over the real points q, and of x^2 - 2 re(z) x + |z|^2 over the pairs
 * z; real point `but` and pair `but_pair` are left out. */
static void multiply_out(const tn_toom_points *points, int but, int but_pair, double *row)
{
    row[0] = 1;
    int degree = 0;
    for (int q = 0; q < points->reals; q++) {
        if (q == but)
            continue;
        degree++;
        for (int k = degree; k >= 0; k--)
            row[k] = (k > 0 ? row[k - 1] : 0) - points->real[q] * row[k];
    }
    for (int z = 0; z < points->pairs; z++) {
        if (z == but_pair)
            continue;
        const double re = points->pair[z][0], im = points->pair[z][1];
        degree += 2;
        for (int k = degree; k >= 0; k--)
            row[k] =
                (k > 1 ? row[k - 2] : 0) - (k > 0 ? 2 * re * row[k - 1] : 0) + (re * re + im * im) * row[k];
    }
}

/* A real point, or infinity: row p of B^T is the product of all the others. */
static void at_point(tn_toom *m, const tn_toom_points *points, int p)
{
    enum { NONE = -1 };
    const bool infinity = p == points->reals;
    const double x = infinity ? 0 : points->real[p];
    multiply_out(points, p, NONE, m->bt[p]);
    double norm = 1;
    for (int z = 0; z < points->pairs; z++) {
        const double away = x - points->pair[z][0], im = points->pair[z][1];
        norm *= infinity ? 1 : away * away + im * im;
    }
    for (int q = 0; q < points->reals; q++)
        norm *= infinity || q == p ? 1 : x - points->real[q];
    for (int k = 0; k < points->taps; k++)
        m->g[p][k] = (infinity ? k == points->taps - 1 : pow(x, k)) / norm;
    for (int k = 0; k < points->group; k++)
        m->at[k][p] = infinity ? k == points->group - 1 : pow(x, k);
    balance(m, p, 1);
}

typedef struct complex_number {
    double re, im;
} complex_number;

static complex_number times(complex_number a, complex_number b)
{
    return (complex_number){a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re};
}

/* The product of z less every other point, its own conjugate the first. */
static complex_number distances(const tn_toom_points *points, int pair)
{
    const double re = points->pair[pair][0], im = points->pair[pair][1];
    complex_number product = {0, 2 * im};
    for (int q = 0; q < points->reals; q++)
        product = times(product, (complex_number){re - points->real[q], im});
    for (int w = 0; w < points->pairs; w++) {
        if (w == pair)
            continue;
        const double away = re - points->pair[w][0], other = points->pair[w][1];
        product = times(product, (complex_number){away, im - other});
        product = times(product, (complex_number){away, im + other});
    }
    return product;
}

/* The points z and its conjugate give values that are each other's conjugates: u of the taps, v of the
 * values. Their part of result k is 2 Re(z^k u v), and u v takes three real products (Karatsuba): u_r v_r,
 * u_i v_i, (u_r + u_i) (v_r + v_i). With R, the product over all other points, v is that of (x - conj z) R.
 */
static void at_pair(tn_toom *m, const tn_toom_points *points, int pair, int p)
{
    const complex_number z = {points->pair[pair][0], points->pair[pair][1]};
    const complex_number norm = distances(points, pair);
    const double square = norm.re * norm.re + norm.im * norm.im;
    enum { NONE = -1 };
    double r[TN_MIX] = {0};
    multiply_out(points, NONE, pair, r);
    for (int k = 0; k < m->values; k++) {
        m->bt[p][k] = (k > 0 ? r[k - 1] : 0) - z.re * r[k];
        m->bt[p + 1][k] = z.im * r[k];
        m->bt[p + 2][k] = m->bt[p][k] + m->bt[p + 1][k];
    }
    complex_number power = {1, 0};
    for (int k = 0; k < points->taps; k++, power = times(power, z)) {
        m->g[p][k] = (power.re * norm.re + power.im * norm.im) / square;
        m->g[p + 1][k] = (power.im * norm.re - power.re * norm.im) / square;
        m->g[p + 2][k] = m->g[p][k] + m->g[p + 1][k];
    }
    power = (complex_number){1, 0};
    for (int k = 0; k < points->group; k++, power = times(power, z)) {
        m->at[k][p] = 2 * power.re + 2 * power.im;
        m->at[k][p + 1] = 2 * power.im - 2 * power.re;
        m->at[k][p + 2] = -2 * power.im;
    }
    balance(m, p, 3);
}

tn_toom tn_toom_make(const tn_toom_points *points)
{
    tn_toom m = {.group = points->group,
                 .taps = points->taps,
                 .values = tn_toom_values(points),
                 .products = tn_toom_products(points)};
    for (int p = 0; p <= points->reals; p++)
        at_point(&m, points, p);
    for (int z = 0; z < points->pairs; z++)
        at_pair(&m, points, z, points->reals + 1 + 3 * z);
    return m;
}
