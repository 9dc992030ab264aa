/* Transforms and features of several windows at a time, one in each lane of a vector, for each instruction
 * set. Private to data.
 *
 * A vector holds one element of each window, so that the arithmetic of each is that of a scalar program:
 * results depend neither on the vector's width nor on the neighbours.
 */
#ifndef DATA_LANES_H
#define DATA_LANES_H

#include "data/data.h"
#include "data/feature_tables.h"
#include "data/fft.h"

/* What a run over one sound needs. Vectors have as many doubles as the code has lanes. */
typedef struct data_extractor {
    const data_audio *audio;
    data_feature_options options;
    int length, step;           /* of windows, in samples */
    int bins;                   /* length / 2 */
    double mean, scale;         /* of the whole sound: the features see (x - mean) / scale */
    data_fft *fft;              /* of `length` */
    data_feature_tables tables; /* for the rate and `bins` */
    double *window;             /* length vectors: samples of the windows at hand */
    double *work;               /* vectors that the transform asks for */
    double *magnitude;          /* bins vectors: |X| / bins */
    double *share;              /* bins vectors: magnitude / its sum */
    double *span;               /* length + (lanes - 1) * step samples: the windows at hand, once */
} data_extractor;

typedef struct data_lanes_code {
    int lanes; /* doubles in a vector */

    /* X[k] = sum_j x[j] exp(-2 pi i j k / n) for k from 0 to n / 2, x of n vectors, aligned to 64 bytes.
     * Returns the result, n vectors, which lies in x or in work: Re X[0], Re X[1], Im X[1], Re X[2], ..., and
     * for even n at last Re X[n / 2]. */
    const double *(*forward)(const data_fft *fft, const double *x, double *work);

    /* re + i im, n vectors each, to its spectrum, in place. Lengths that go by passes only. */
    void (*forward_complex)(const data_fft *fft, double *re, double *im, double *work);

    /* Mean of n samples, and the largest distance of one from it. Equal bits with all code. */
    void (*measure)(const double *x, size_t n, double *mean, double *farthest);

    /* Fills the DATA_FEATURES first values of every row of `out`. */
    void (*extract)(const data_extractor *e, data_features *out);

    /* Of a vector, as the features take it: positive numbers, within 4 units in the last place; NaN of NaN.
     */
    void (*log2)(const double *x, double *y);
} data_lanes_code;

/* The code for the context's instruction set. */
const data_lanes_code *data_lanes_for(const tn_ctx *ctx);

extern const data_lanes_code data_lanes_generic, data_lanes_avx2, data_lanes_avx512;

#endif
