/* Real transforms: mixed radix with butterflies for 2, 3, 4, 5 and any odd factor, and Bluestein's algorithm
 * for large prime factors.
 *
 * The decomposition is that of FFTPACK (Swarztrauber 1982, "Vectorizing the FFTs"): factors are taken from
 * the last to the first, and every intermediate result is a set of half-complex spectra. Sums are made in the
 * order of pocketfft, which NumPy and SciPy call, so that each rounding is the same as theirs: windows of
 * digital silence with an offset have rounding noise for a spectrum, and the logarithm of the noise is a
 * feature.
 */
#include "data/fft.h"

#include <assert.h>
#include <math.h>
#include <string.h>

enum { MAX_FACTORS = 20 };

/* One factor of the length. */
typedef struct fft_pass {
    int radix;
    int inner;             /* length of the half-complex spectra that go in: product of the later factors */
    int outer;             /* how many come out: product of the earlier factors */
    const double *twiddle; /* [j - 1][m - 1] = cos, sin of 2 pi j m outer / n, 1 <= j < radix, 2 m < inner */
    const double *root;    /* generic radix: cos, sin of 2 pi j / radix, 0 <= j < radix */
} fft_pass;

struct data_fft {
    int n;
    int passes; /* 0 with Bluestein */
    fft_pass pass[MAX_FACTORS];
    int largest;            /* the largest radix */
    double *table;          /* twiddles and roots */
    data_fft *chirp_fft;    /* Bluestein: transform of a power of two >= 2 n - 1, or NULL */
    double *chirp;          /* cos, sin of pi j^2 / n, 0 <= j < n */
    double *chirp_spectrum; /* spectrum of the chirp, divided by the length: re, im of 0 <= k < length */
};

/* A complex number of each signal. */
typedef struct pair {
    data_lanes re, im;
} pair;

/* ---- angles ------------------------------------------------------------------------------------------ */

/* Points of the unit circle, the k-th of n as the product of a fine and a coarse one. That costs a rounding,
 * which is pocketfft's too. */
typedef struct circle {
    size_t n;     /* points */
    size_t mask;  /* k & mask is the fine part */
    int shift;    /* k >> shift the coarse one */
    double *fine; /* cos, sin */
    double *coarse;
} circle;

/* cos and sin of 2 pi k / n, by symmetry from the first octant; `eighth` is pi / (4 n). 0 <= k <= n / 2. */
static void circle_point(size_t k, size_t n, double eighth, double point[2])
{
    size_t x = 8 * k;
    bool second = x >= 2 * n;
    if (second)
        x -= 2 * n;
    bool swap = x >= n;
    double angle = (double)(swap ? 2 * n - x : x) * eighth;
    double c = cos(angle), s = sin(angle);
    double re = swap ? s : c, im = swap ? c : s;
    point[0] = second ? -im : re;
    point[1] = second ? re : im;
}

static void circle_free(tn_ctx *ctx, circle *c)
{
    tn_free(ctx, c->fine);
}

static tn_status circle_init(tn_ctx *ctx, circle *c, size_t n)
{
    size_t half = (n + 2) / 2;
    *c = (circle){.n = n, .shift = 1};
    while (((size_t)1 << c->shift) << c->shift < half)
        c->shift++;
    c->mask = ((size_t)1 << c->shift) - 1;
    size_t coarse = (half + c->mask) / (c->mask + 1);
    c->fine = tn_alloc(ctx, 2 * (c->mask + 1 + coarse), sizeof *c->fine);
    if (!c->fine)
        return TN_NOMEM;
    c->coarse = c->fine + 2 * (c->mask + 1);
    double eighth = (double)(0.25L * 3.141592653589793238462643383279502884L / (long double)n);
    for (size_t i = 0; i <= c->mask && 2 * i <= n; i++)
        circle_point(i, n, eighth, c->fine + 2 * i);
    for (size_t i = 0; i < coarse; i++)
        circle_point(i * (c->mask + 1), n, eighth, c->coarse + 2 * i);
    return TN_OK;
}

/* cos and sin of 2 pi k / n, 0 <= k < n. */
static void circle_at(const circle *c, size_t k, double point[2])
{
    bool below = 2 * k > c->n;
    size_t i = below ? c->n - k : k;
    const double *a = c->fine + 2 * (i & c->mask), *b = c->coarse + 2 * (i >> c->shift);
    point[0] = a[0] * b[0] - a[1] * b[1];
    double sine = a[0] * b[1] + a[1] * b[0];
    point[1] = below ? -sine : sine;
}

/* ---- butterflies -------------------------------------------------------------------------------------
 * A pass of radix p combines p spectra of length `inner` into one of p * inner, `outer` times. Element i of
 * the j-th spectrum of group k is at x[i + inner * (k + outer * j)]; it goes to y[i + inner * (j + p * k)],
 * where rows 2 j of y take the result's j-th part forwards and rows 2 j - 1 its mirrored conjugate backwards.
 */

/* z = (x[0] + i x[1]) * conj(w) */
static inline void turn(pair *z, const data_lanes *x, const double *w)
{
    z->re = w[0] * x[0] + w[1] * x[1];
    z->im = w[0] * x[1] - w[1] * x[0];
}

/* y = a + b, mirror = conj(a - b) */
static inline void put(data_lanes *y, data_lanes *mirror, const pair *a, const pair *b)
{
    y[0] = a->re + b->re;
    y[1] = a->im + b->im;
    mirror[0] = a->re - b->re;
    mirror[1] = b->im - a->im;
}

static void pass_2(const fft_pass *pass, const data_lanes *x, data_lanes *y)
{
    const int inner = pass->inner, apart = inner * pass->outer;
    for (int k = 0; k < pass->outer; k++, x += inner, y += 2 * inner) {
        const data_lanes *b = x + apart;
        y[0] = x[0] + b[0];
        y[2 * inner - 1] = x[0] - b[0];
        if (inner % 2 == 0) {
            y[inner] = -b[inner - 1];
            y[inner - 1] = x[inner - 1];
        }
        for (int i = 1; i + 1 < inner; i += 2) {
            pair z1, z0 = {x[i], x[i + 1]};
            turn(&z1, b + i, pass->twiddle + i - 1);
            put(y + i, y + 2 * inner - i - 2, &z0, &z1);
        }
    }
}

static void pass_3(const fft_pass *pass, const data_lanes *x, data_lanes *y)
{
    static const double half_root3 = 0.86602540378443864676;
    const int inner = pass->inner, apart = inner * pass->outer;
    for (int k = 0; k < pass->outer; k++, x += inner, y += 3 * inner) {
        const data_lanes *b = x + apart, *c = b + apart;
        data_lanes sum = b[0] + c[0];
        y[0] = x[0] + sum;
        y[2 * inner - 1] = x[0] - 0.5 * sum;
        y[2 * inner] = half_root3 * (c[0] - b[0]);
        for (int i = 1; i + 1 < inner; i += 2) {
            pair z1, z2;
            turn(&z1, b + i, pass->twiddle + i - 1);
            turn(&z2, c + i, pass->twiddle + inner - 1 + i - 1);
            pair s = {z1.re + z2.re, z1.im + z2.im};
            y[i] = x[i] + s.re;
            y[i + 1] = x[i + 1] + s.im;
            pair even = {x[i] - 0.5 * s.re, x[i + 1] - 0.5 * s.im};
            pair odd = {half_root3 * (z1.im - z2.im), half_root3 * (z2.re - z1.re)};
            put(y + 2 * inner + i, y + 2 * inner - i - 2, &even, &odd);
        }
    }
}

static void pass_4(const fft_pass *pass, const data_lanes *x, data_lanes *y)
{
    static const double root_half = 0.70710678118654752440;
    const int inner = pass->inner, apart = inner * pass->outer, row = inner - 1;
    for (int k = 0; k < pass->outer; k++, x += inner, y += 4 * inner) {
        const data_lanes *b = x + apart, *c = b + apart, *d = c + apart;
        data_lanes even = x[0] + c[0], odd = d[0] + b[0];
        y[2 * inner] = d[0] - b[0];
        y[2 * inner - 1] = x[0] - c[0];
        y[0] = even + odd;
        y[4 * inner - 1] = even - odd;
        if (inner % 2 == 0) {
            data_lanes im = -root_half * (b[inner - 1] + d[inner - 1]);
            data_lanes re = root_half * (b[inner - 1] - d[inner - 1]);
            y[inner - 1] = x[inner - 1] + re;
            y[3 * inner - 1] = x[inner - 1] - re;
            y[3 * inner] = im + c[inner - 1];
            y[inner] = im - c[inner - 1];
        }
        for (int i = 1; i + 1 < inner; i += 2) {
            pair z1, z2, z3;
            turn(&z1, b + i, pass->twiddle + i - 1);
            turn(&z2, c + i, pass->twiddle + row + i - 1);
            turn(&z3, d + i, pass->twiddle + 2 * row + i - 1);
            pair s02 = {x[i] + z2.re, x[i + 1] + z2.im}, d02 = {x[i] - z2.re, x[i + 1] - z2.im};
            pair s13 = {z3.re + z1.re, z1.im + z3.im}, d13 = {z1.im - z3.im, z3.re - z1.re};
            put(y + i, y + 4 * inner - i - 2, &s02, &s13);
            put(y + 2 * inner + i, y + 2 * inner - i - 2, &d02, &d13);
        }
    }
}

enum { /* real and imaginary part of the fifth roots */ R1, I1, R2, I2 };
static const double fifth[] = {0.30901699437494742410, 0.95105651629515357212, -0.80901699437494742410,
                               0.58778525229247312917};

static void pass_5(const fft_pass *pass, const data_lanes *x, data_lanes *y)
{
    const int inner = pass->inner, apart = inner * pass->outer, row = inner - 1;
    for (int k = 0; k < pass->outer; k++, x += inner, y += 5 * inner) {
        const data_lanes *b = x + apart, *c = b + apart, *d = c + apart, *e = d + apart;
        data_lanes s1 = e[0] + b[0], d1 = e[0] - b[0], s2 = d[0] + c[0], d2 = d[0] - c[0];
        y[0] = x[0] + s1 + s2;
        y[2 * inner - 1] = x[0] + fifth[R1] * s1 + fifth[R2] * s2;
        y[2 * inner] = fifth[I1] * d1 + fifth[I2] * d2;
        y[4 * inner - 1] = x[0] + fifth[R2] * s1 + fifth[R1] * s2;
        y[4 * inner] = fifth[I2] * d1 - fifth[I1] * d2;
        for (int i = 1; i + 1 < inner; i += 2) {
            pair z1, z2, z3, z4;
            turn(&z1, b + i, pass->twiddle + i - 1);
            turn(&z2, c + i, pass->twiddle + row + i - 1);
            turn(&z3, d + i, pass->twiddle + 2 * row + i - 1);
            turn(&z4, e + i, pass->twiddle + 3 * row + i - 1);
            pair s14 = {z4.re + z1.re, z1.im + z4.im}, d14 = {z1.im - z4.im, z4.re - z1.re};
            pair s23 = {z3.re + z2.re, z2.im + z3.im}, d23 = {z2.im - z3.im, z3.re - z2.re};
            y[i] = x[i] + s14.re + s23.re;
            y[i + 1] = x[i + 1] + s14.im + s23.im;
            pair e1 = {x[i] + fifth[R1] * s14.re + fifth[R2] * s23.re,
                       x[i + 1] + fifth[R1] * s14.im + fifth[R2] * s23.im};
            pair e2 = {x[i] + fifth[R2] * s14.re + fifth[R1] * s23.re,
                       x[i + 1] + fifth[R2] * s14.im + fifth[R1] * s23.im};
            pair o1 = {d14.re * fifth[I1] + d23.re * fifth[I2], d14.im * fifth[I1] + d23.im * fifth[I2]};
            pair o2 = {d14.re * fifth[I2] - d23.re * fifth[I1], d14.im * fifth[I2] - d23.im * fifth[I1]};
            put(y + 2 * inner + i, y + 2 * inner - i - 2, &e1, &o1);
            put(y + 4 * inner + i, y + 4 * inner - i - 2, &e2, &o2);
        }
    }
}

/* first + sum over j from 1 to count of root[step * j] * x[j - 1], in pocketfft's grouping: two, then by
 * fours, by twos and alone. `root` has the cosines (first is given) or the sines (first is NULL). count >= 3.
 */
static inline void weighted_sum(data_lanes *out, const data_lanes *first, const data_lanes *x, int count,
                                const double *root, int step, int radix)
{
    int angle = 2 * step, j = 2;
    *out = first ? *first + root[2 * step] * x[0] + root[4 * step] * x[1]
                 : root[2 * step] * x[0] + root[4 * step] * x[1];
    while (j < count) {
        int group = count - j >= 4 ? 4 : count - j >= 2 ? 2 : 1;
        double w[4];
        for (int g = 0; g < group; g++) {
            angle += step;
            if (angle >= radix)
                angle -= radix;
            w[g] = root[2 * angle];
        }
        if (group == 4)
            *out += w[0] * x[j] + w[1] * x[j + 1] + w[2] * x[j + 2] + w[3] * x[j + 3];
        else if (group == 2)
            *out += w[0] * x[j] + w[1] * x[j + 1];
        else
            *out += w[0] * x[j];
        j += group;
    }
}

/* Any odd radix of at least 7. `work` has room for 2 * radix vectors. */
static void pass_odd(const fft_pass *pass, const data_lanes *x, data_lanes *y, data_lanes *work)
{
    const int p = pass->radix, half = p / 2, inner = pass->inner, apart = inner * pass->outer;
    data_lanes *sum_re = work, *sum_im = sum_re + half, *dif_re = sum_im + half, *dif_im = dif_re + half;
    for (int k = 0; k < pass->outer; k++, x += inner, y += p * inner) {
        data_lanes total = x[0];
        for (int j = 1; j <= half; j++) {
            sum_re[j - 1] = x[j * apart] + x[(p - j) * apart];
            dif_im[j - 1] = x[(p - j) * apart] - x[j * apart];
            total += sum_re[j - 1];
        }
        y[0] = total;
        for (int l = 1; l <= half; l++) {
            weighted_sum(y + 2 * l * inner - 1, x, sum_re, half, pass->root, l, p);
            weighted_sum(y + 2 * l * inner, NULL, dif_im, half, pass->root + 1, l, p);
        }
        for (int i = 1; i + 1 < inner; i += 2) {
            pair all = {x[i], x[i + 1]};
            for (int j = 1; j <= half; j++) {
                pair a, b;
                turn(&a, x + j * apart + i, pass->twiddle + (j - 1) * (inner - 1) + i - 1);
                turn(&b, x + (p - j) * apart + i, pass->twiddle + (p - j - 1) * (inner - 1) + i - 1);
                sum_re[j - 1] = a.re + b.re;
                sum_im[j - 1] = a.im + b.im;
                dif_re[j - 1] = a.im - b.im;
                dif_im[j - 1] = b.re - a.re;
                all.re += sum_re[j - 1];
                all.im += sum_im[j - 1];
            }
            y[i] = all.re;
            y[i + 1] = all.im;
            for (int l = 1; l <= half; l++) {
                pair even, odd;
                weighted_sum(&even.re, x + i, sum_re, half, pass->root, l, p);
                weighted_sum(&even.im, x + i + 1, sum_im, half, pass->root, l, p);
                weighted_sum(&odd.re, NULL, dif_re, half, pass->root + 1, l, p);
                weighted_sum(&odd.im, NULL, dif_im, half, pass->root + 1, l, p);
                put(y + 2 * l * inner + i, y + 2 * l * inner - i - 2, &even, &odd);
            }
        }
    }
}

/* x is overwritten; the result is in x or in work, which has room for n + 2 * radix vectors. */
static const data_lanes *forward_by_passes(const data_fft *fft, data_lanes *x, data_lanes *work)
{
    data_lanes *y = work;
    for (int i = fft->passes - 1; i >= 0; i--) {
        const fft_pass *pass = &fft->pass[i];
        switch (pass->radix) {
        case 2:
            pass_2(pass, x, y);
            break;
        case 3:
            pass_3(pass, x, y);
            break;
        case 4:
            pass_4(pass, x, y);
            break;
        case 5:
            pass_5(pass, x, y);
            break;
        default:
            pass_odd(pass, x, y, work + fft->n);
        }
        data_lanes *swap = x;
        x = y;
        y = swap;
    }
    return x;
}

/* ---- Bluestein ---------------------------------------------------------------------------------------
 * With b[j] = exp(pi i j^2 / n): X[k] = conj(b[k]) sum_j (x[j] conj(b[j])) b[k - j] (Bluestein 1970), a
 * cyclic convolution of a length m of our choice. Its complex transforms are two real ones each.
 */

/* Element k of the spectrum of a real signal of even length m, 0 <= k < m. */
static inline void spectrum_at(const data_lanes *half_complex, int m, int k, pair *out)
{
    int i = k <= m / 2 ? k : m - k;
    out->re = half_complex[i ? 2 * i - 1 : 0];
    out->im = i && 2 * i < m ? half_complex[2 * i] : (data_lanes){0};
    if (k > m / 2)
        out->im = -out->im;
}

/* (re + i im), of m elements each, to its spectrum, in place. */
static void forward_complex(const data_fft *fft, data_lanes *re, data_lanes *im, data_lanes *work)
{
    const int m = fft->n;
    size_t bytes = (size_t)m * sizeof *re;
    const data_lanes *r = data_fft_forward(fft, re, work);
    if (r != re)
        memcpy(re, r, bytes);
    r = data_fft_forward(fft, im, work);
    if (r != im)
        memcpy(im, r, bytes);
    for (int k = 0; k < m; k++) {
        pair a, b;
        spectrum_at(re, m, k, &a);
        spectrum_at(im, m, k, &b);
        work[k] = a.re - b.im;
        work[m + k] = a.im + b.re;
    }
    memcpy(re, work, bytes);
    memcpy(im, work + m, bytes);
}

static const data_lanes *forward_by_chirp(const data_fft *fft, data_lanes *x, data_lanes *work)
{
    const int n = fft->n, m = fft->chirp_fft->n;
    data_lanes *re = work, *im = re + m, *rest = im + m;
    for (int j = 0; j < n; j++) {
        re[j] = x[j] * fft->chirp[2 * j];
        im[j] = -x[j] * fft->chirp[2 * j + 1];
    }
    memset(re + n, 0, (size_t)(m - n) * sizeof *re);
    memset(im + n, 0, (size_t)(m - n) * sizeof *im);
    forward_complex(fft->chirp_fft, re, im, rest);
    /* The inverse is the conjugate of the transform of the conjugate. */
    for (int k = 0; k < m; k++) {
        const double *b = fft->chirp_spectrum + 2 * k;
        data_lanes product = re[k] * b[0] - im[k] * b[1];
        im[k] = -(re[k] * b[1] + im[k] * b[0]);
        re[k] = product;
    }
    forward_complex(fft->chirp_fft, re, im, rest);
    x[0] = re[0];
    for (int k = 1; k <= n / 2; k++) {
        const double *b = fft->chirp + 2 * k;
        x[2 * k - 1] = re[k] * b[0] - im[k] * b[1];
        if (2 * k < n)
            x[2 * k] = -(im[k] * b[0] + re[k] * b[1]);
    }
    return x;
}

/* ---- plans ------------------------------------------------------------------------------------------- */

size_t data_fft_work(const data_fft *fft)
{
    if (!fft->chirp_fft)
        return (size_t)fft->n + 2 * (size_t)fft->largest;
    size_t m = (size_t)fft->chirp_fft->n, own = data_fft_work(fft->chirp_fft);
    return 2 * m + (own > 2 * m ? own : 2 * m);
}

const data_lanes *data_fft_forward(const data_fft *fft, data_lanes *x, data_lanes *work)
{
    return fft->chirp_fft ? forward_by_chirp(fft, x, work) : forward_by_passes(fft, x, work);
}

/* Fours, then at most one two, which is moved to the front, then odd factors upwards: pocketfft's order. */
static int factorise(int n, int factor[MAX_FACTORS])
{
    int count = 0;
    for (; n % 4 == 0; n /= 4)
        factor[count++] = 4;
    if (n % 2 == 0) {
        n /= 2;
        factor[count++] = 2;
        int swap = factor[0];
        factor[0] = factor[count - 1];
        factor[count - 1] = swap;
    }
    for (int d = 3; d * d <= n; d += 2)
        for (; n % d == 0; n /= d)
            factor[count++] = d;
    if (n > 1)
        factor[count++] = n;
    return count;
}

/* Roughly the multiplications of a transform by passes; a generic pass costs a tenth more. */
static double cost(int n)
{
    int factor[MAX_FACTORS];
    double sum = 0;
    for (int count = factorise(n, factor); count > 0; count--)
        sum += factor[count - 1] <= 5 ? factor[count - 1] : 1.1 * factor[count - 1];
    return sum * n;
}

static tn_status plan_passes(tn_ctx *ctx, data_fft *fft)
{
    int factor[MAX_FACTORS];
    size_t room = 0;
    fft->passes = factorise(fft->n, factor);
    for (int i = 0, outer = 1; i < fft->passes; i++) {
        int radix = factor[i], inner = fft->n / (outer * radix);
        fft->pass[i] = (fft_pass){.radix = radix, .inner = inner, .outer = outer};
        room += (size_t)(radix - 1) * (size_t)(inner - 1) + 2 * (size_t)radix;
        outer *= radix;
        if (radix > fft->largest)
            fft->largest = radix;
    }
    circle points = {0};
    fft->table = tn_alloc(ctx, room, sizeof *fft->table);
    if (!fft->table || circle_init(ctx, &points, (size_t)fft->n) != TN_OK)
        return TN_NOMEM;
    double *at = fft->table;
    for (int i = 0; i < fft->passes; i++) {
        fft_pass *pass = &fft->pass[i];
        pass->twiddle = at;
        for (int j = 1; j < pass->radix; j++, at += pass->inner - 1)
            for (int m = 1; 2 * m < pass->inner; m++)
                circle_at(&points, (size_t)j * (size_t)m * (size_t)pass->outer, at + 2 * (m - 1));
        pass->root = at;
        for (int j = 0; j < pass->radix; j++, at += 2)
            circle_at(&points, (size_t)j * (size_t)(fft->n / pass->radix), at);
    }
    circle_free(ctx, &points);
    return TN_OK;
}

static tn_status plan_chirp(tn_ctx *ctx, data_fft *fft, int m)
{
    const int n = fft->n;
    TN_TRY(data_fft_create(ctx, m, &fft->chirp_fft));
    circle points = {0};
    size_t room = 2 * (size_t)m + data_fft_work(fft);
    data_lanes *re = tn_zalloc(ctx, room, sizeof *re), *im = re ? re + m : NULL;
    fft->chirp = tn_alloc(ctx, 2 * (size_t)n, sizeof *fft->chirp);
    fft->chirp_spectrum = tn_alloc(ctx, 2 * (size_t)m, sizeof *fft->chirp_spectrum);
    if (!re || !fft->chirp || !fft->chirp_spectrum || circle_init(ctx, &points, 2 * (size_t)n) != TN_OK) {
        tn_free(ctx, re);
        return TN_NOMEM;
    }
    for (int j = 0; j < n; j++) {
        double *b = fft->chirp + 2 * j;
        circle_at(&points, (size_t)j * (size_t)j % (2 * (size_t)n), b);
        re[j] += b[0] / m;
        im[j] += b[1] / m;
        if (j > 0) {
            re[m - j] += b[0] / m;
            im[m - j] += b[1] / m;
        }
    }
    forward_complex(fft->chirp_fft, re, im, im + m);
    for (int k = 0; k < m; k++) {
        fft->chirp_spectrum[2 * k] = re[k][0];
        fft->chirp_spectrum[2 * k + 1] = im[k][0];
    }
    circle_free(ctx, &points);
    tn_free(ctx, re);
    return TN_OK;
}

tn_status data_fft_create(tn_ctx *ctx, int n, data_fft **out)
{
    assert(n >= 1 && n <= 1 << 20);
    *out = NULL;
    data_fft *fft = tn_zalloc(ctx, 1, sizeof *fft);
    if (!fft)
        return TN_NOMEM;
    fft->n = n;
    int m = 1;
    while (m < 2 * n - 1)
        m *= 2;
    /* Two complex transforms are four real ones; the fifth pays for the products between. */
    bool by_passes = cost(n) <= 5 * cost(m);
    tn_status status = by_passes ? plan_passes(ctx, fft) : plan_chirp(ctx, fft, m);
    if (status != TN_OK) {
        data_fft_destroy(ctx, fft);
        return status;
    }
    *out = fft;
    return TN_OK;
}

void data_fft_destroy(tn_ctx *ctx, data_fft *fft)
{
    if (!fft)
        return;
    data_fft_destroy(ctx, fft->chirp_fft);
    tn_free(ctx, fft->chirp_spectrum);
    tn_free(ctx, fft->chirp);
    tn_free(ctx, fft->table);
    tn_free(ctx, fft);
}
