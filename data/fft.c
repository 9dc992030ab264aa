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
#include "data/lanes.h"

#include <assert.h>
#include <math.h>

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

/* ---- plans ------------------------------------------------------------------------------------------- */

size_t data_fft_work(const data_fft *fft)
{
    if (!fft->chirp_fft)
        return 2 * (size_t)fft->n + 4 * (size_t)fft->largest;
    return 2 * (size_t)fft->chirp_fft->n + data_fft_work(fft->chirp_fft);
}

/* Fours, then at most one two, which is moved to the front, then odd factors upwards: pocketfft's order. */
static int factorise(int n, int factor[DATA_FFT_FACTORS])
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
    int factor[DATA_FFT_FACTORS];
    double sum = 0;
    for (int count = factorise(n, factor); count > 0; count--)
        sum += factor[count - 1] <= 5 ? factor[count - 1] : 1.1 * factor[count - 1];
    return sum * n;
}

/* Elements of a pass's cosines; the small radices have theirs in the program. */
static size_t matrix_size(int radix)
{
    size_t half = (size_t)radix / 2;
    return radix > 5 ? half * half : 0;
}

static tn_status plan_passes(tn_ctx *ctx, data_fft *fft)
{
    int factor[DATA_FFT_FACTORS];
    size_t room = 0;
    fft->passes = factorise(fft->n, factor);
    for (int i = 0, outer = 1; i < fft->passes; i++) {
        int radix = factor[i], inner = fft->n / (outer * radix);
        fft->pass[i] = (fft_pass){.radix = radix, .inner = inner, .outer = outer};
        room += (size_t)(radix - 1) * (size_t)(inner - 1) + 2 * matrix_size(radix);
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
        size_t matrix = matrix_size(pass->radix), half = (size_t)pass->radix / 2;
        pass->cosine = at;
        pass->sine = at + matrix;
        for (size_t e = 0; e < matrix; e++) {
            double point[2];
            size_t angle = (e / half + 1) * (e % half + 1) % (size_t)pass->radix;
            circle_at(&points, angle * (size_t)(fft->n / pass->radix), point);
            at[e] = point[0];
            at[matrix + e] = point[1];
        }
        at += 2 * matrix;
    }
    circle_free(ctx, &points);
    return TN_OK;
}

static tn_status plan_chirp(tn_ctx *ctx, data_fft *fft, int m)
{
    const int n = fft->n;
    TN_TRY(data_fft_create(ctx, m, &fft->chirp_fft));
    circle points = {0};
    const data_lanes_code *code = data_lanes_for(ctx);
    size_t room = 2 * (size_t)m + data_fft_work(fft), lanes = (size_t)code->lanes;
    double *re = tn_zalloc(ctx, room * lanes, sizeof *re), *im = re ? re + (size_t)m * lanes : NULL;
    fft->chirp = tn_alloc(ctx, 2 * (size_t)n, sizeof *fft->chirp);
    fft->chirp_spectrum = tn_alloc(ctx, 2 * (size_t)m, sizeof *fft->chirp_spectrum);
    if (!re || !fft->chirp || !fft->chirp_spectrum || circle_init(ctx, &points, 2 * (size_t)n) != TN_OK) {
        tn_free(ctx, re);
        return TN_NOMEM;
    }
    for (int j = 0; j < n; j++) {
        double *b = fft->chirp + 2 * j;
        circle_at(&points, (size_t)j * (size_t)j % (2 * (size_t)n), b);
        /* The first lane is all that is used; j and m - j are the same for j = 0 alone. */
        size_t at = (size_t)j * lanes, mirror = (size_t)(j ? m - j : 0) * lanes;
        re[at] = re[mirror] = b[0] / m;
        im[at] = im[mirror] = b[1] / m;
    }
    code->forward_complex(fft->chirp_fft, re, im, im + (size_t)m * lanes);
    for (size_t k = 0; k < (size_t)m; k++) {
        fft->chirp_spectrum[2 * k] = re[k * lanes];
        fft->chirp_spectrum[2 * k + 1] = im[k * lanes];
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
