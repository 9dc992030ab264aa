/* Discrete Fourier transforms of real signals, in double precision: what is prepared once for a length. The
 * transforms themselves are in data/lanes.h. Private to data.
 */
#ifndef DATA_FFT_H
#define DATA_FFT_H

#include "libtensor/tensor.h"

enum { DATA_FFT_FACTORS = 20 /* at most */ };

/* One factor of the length. */
typedef struct fft_pass {
    int radix;
    int inner;             /* length of the half-complex spectra that go in: product of the later factors */
    int outer;             /* how many come out: product of the earlier factors */
    const double *twiddle; /* [j - 1][m - 1] = cos, sin of 2 pi j m outer / n, 1 <= j < radix, 2 m < inner */
    const double *cosine;  /* radix >= 7: [l - 1][j - 1] = cos 2 pi j l / radix, 1 <= j, l <= radix / 2 */
    const double *sine;    /* the same of sin */
} fft_pass;

/* Read-only after it is made. */
typedef struct data_fft {
    int n;
    int passes;                      /* 0 with Bluestein */
    fft_pass pass[DATA_FFT_FACTORS]; /* `passes` of them */
    int largest;                     /* the largest radix */
    double *table;                   /* twiddles, cosines and sines */
    struct data_fft *chirp_fft;      /* Bluestein: transform of a power of two >= 2 n - 1, or NULL */
    double *chirp;                   /* cos, sin of pi j^2 / n, 0 <= j < n */
    double *chirp_spectrum; /* spectrum of the chirp, divided by the length: re, im of 0 <= k < length */
} data_fft;

/* Fails with TN_NOMEM. n is 1 to 2^20. */
tn_status data_fft_create(tn_ctx *ctx, int n, data_fft **out);
void data_fft_destroy(tn_ctx *ctx, data_fft *fft);

/* How many vectors a transform needs as its work space. */
size_t data_fft_work(const data_fft *fft);

#endif
