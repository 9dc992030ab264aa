/* Discrete Fourier transforms of real signals, in double precision, several signals at a time. Private to
 * data.
 *
 * A vector holds one element of DATA_LANES signals, so that the arithmetic of each is that of a scalar
 * program and does not depend on the vector's width.
 */
#ifndef DATA_FFT_H
#define DATA_FFT_H

#include "libtensor/tensor.h"

enum { DATA_LANES = 4 };
typedef double data_lanes __attribute__((vector_size(DATA_LANES * sizeof(double))));
typedef int64_t data_lanes_int __attribute__((vector_size(DATA_LANES * sizeof(int64_t))));

/* What is prepared once for one length. Read-only after it is made. */
typedef struct data_fft data_fft;

/* Fails with TN_NOMEM. n is 1 to 2^20. */
tn_status data_fft_create(tn_ctx *ctx, int n, data_fft **out);
void data_fft_destroy(tn_ctx *ctx, data_fft *fft);

/* How many vectors data_fft_forward() needs as its work space. */
size_t data_fft_work(const data_fft *fft);

/* X[k] = sum_j x[j] exp(-2 pi i j k / n) for k from 0 to n / 2. Overwrites x; returns the result, which lies
 * in x or in work: Re X[0], Re X[1], Im X[1], Re X[2], ..., and for even n at last Re X[n / 2]; n vectors. */
const data_lanes *data_fft_forward(const data_fft *fft, data_lanes *x, data_lanes *work);

#endif
