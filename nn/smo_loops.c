/* Loops of the solver, written once in smo_loops.inc and compiled for each instruction set. */
#include "nn/smo_loops.h"

#include <float.h>
#include <math.h>
#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

static const double least_curvature = 1e-12; /* where the kernel is not positive definite */

/* ---- any machine: two lanes, vectors of the compiler ----------------------------------------------------
 */

typedef double pair __attribute__((vector_size(16)));
typedef int64_t pair_mask __attribute__((vector_size(16)));

static inline pair pair_load(const double *from)
{
    pair x;
    memcpy(&x, from, sizeof x);
    return x;
}

static inline pair pair_if(pair_mask m, pair x, pair y)
{
    return (pair)((m & (pair_mask)x) | (~m & (pair_mask)y));
}

static inline int pair_bits(pair_mask m)
{
    return (int)(m[0] & 1) | (int)(m[1] & 2);
}

#define NAME(x) generic_##x
#define TARGET
#define LANES 2
#define vec pair
#define LOAD(p) pair_load(p)
#define STORE(p, x) memcpy(p, &(pair){(x)[0], (x)[1]}, sizeof(pair))
#define LOAD_FLOATS(p) ((pair){(double)(p)[0], (double)(p)[1]})
#define FILL(x) ((pair){x, x})
#define LARGER(a, b) IF_ABOVE(a, b, a, b)
#define SMALLER(a, b) IF_ABOVE(b, a, a, b)
#define IF_ABOVE(a, b, x, y) pair_if((a) > (b), x, y)
#define MULTIPLY_ADD(a, b, c) ((a) * (b) + (c))
#define MAGNITUDE(a) pair_if((a) < FILL(0), FILL(0) - (a), a)
#define LARGEST(a) ((a)[0] > (a)[1] ? (a)[0] : (a)[1])
#define BITS_EQUAL(a, b) pair_bits((a) == (b))
#define BITS_AT_LEAST(a, b) pair_bits((a) >= (b))
#define STORE_FLOATS(p, x) memcpy(p, &(float[]){(float)(x)[0], (float)(x)[1]}, 2 * sizeof(float))
#define POWER_OF_2(x) ((pair)(((pair_mask)(x) + 1023) << 52))
#include "nn/smo_loops.inc"

#if defined(__x86_64__)
/* ---- AVX2 -----------------------------------------------------------------------------------------------
 */

__attribute__((target("avx2,fma"))) static inline double largest_of_4(__m256d x)
{
    const __m128d two = _mm_max_pd(_mm256_castpd256_pd128(x), _mm256_extractf128_pd(x, 1));
    return _mm_cvtsd_f64(_mm_max_sd(two, _mm_unpackhi_pd(two, two)));
}

#define NAME(x) avx2_##x
#define TARGET __attribute__((target("avx2,fma")))
#define LANES 4
#define vec __m256d
#define LOAD(p) _mm256_loadu_pd(p)
#define STORE(p, x) _mm256_storeu_pd(p, x)
#define LOAD_FLOATS(p) _mm256_cvtps_pd(_mm_loadu_ps(p))
#define FILL(x) _mm256_set1_pd(x)
#define LARGER(a, b) _mm256_max_pd(a, b)
#define SMALLER(a, b) _mm256_min_pd(a, b)
#define IF_ABOVE(a, b, x, y) _mm256_blendv_pd(y, x, _mm256_cmp_pd(a, b, _CMP_GT_OQ))
#define MULTIPLY_ADD(a, b, c) _mm256_fmadd_pd(a, b, c)
#define MAGNITUDE(a) _mm256_andnot_pd(_mm256_set1_pd(-0.0), a)
#define LARGEST(a) largest_of_4(a)
#define BITS_EQUAL(a, b) _mm256_movemask_pd(_mm256_cmp_pd(a, b, _CMP_EQ_OQ))
#define BITS_AT_LEAST(a, b) _mm256_movemask_pd(_mm256_cmp_pd(a, b, _CMP_GE_OQ))
#define STORE_FLOATS(p, x) _mm_storeu_ps(p, _mm256_cvtpd_ps(x))
#define POWER_OF_2(x)                                                                                        \
    _mm256_castsi256_pd(                                                                                     \
        _mm256_slli_epi64(_mm256_add_epi64(_mm256_castpd_si256(x), _mm256_set1_epi64x(1023)), 52))
#include "nn/smo_loops.inc"

/* ---- AVX-512 --------------------------------------------------------------------------------------------
 */

#define NAME(x) avx512_##x
#define TARGET __attribute__((target("avx512f,avx512vl,avx512dq")))
#define LANES 8
#define vec __m512d
#define LOAD(p) _mm512_loadu_pd(p)
#define STORE(p, x) _mm512_storeu_pd(p, x)
#define LOAD_FLOATS(p) _mm512_cvtps_pd(_mm256_loadu_ps(p))
#define FILL(x) _mm512_set1_pd(x)
#define LARGER(a, b) _mm512_max_pd(a, b)
#define SMALLER(a, b) _mm512_min_pd(a, b)
#define IF_ABOVE(a, b, x, y) _mm512_mask_blend_pd(_mm512_cmp_pd_mask(a, b, _CMP_GT_OQ), y, x)
#define MULTIPLY_ADD(a, b, c) _mm512_fmadd_pd(a, b, c)
#define MAGNITUDE(a) _mm512_abs_pd(a)
#define LARGEST(a) _mm512_reduce_max_pd(a)
#define BITS_EQUAL(a, b) _mm512_cmp_pd_mask(a, b, _CMP_EQ_OQ)
#define BITS_AT_LEAST(a, b) _mm512_cmp_pd_mask(a, b, _CMP_GE_OQ)
#define STORE_FLOATS(p, x) _mm256_storeu_ps(p, _mm512_cvtpd_ps(x))
#define POWER_OF_2(x)                                                                                        \
    _mm512_castsi512_pd(                                                                                     \
        _mm512_slli_epi64(_mm512_add_epi64(_mm512_castpd_si512(x), _mm512_set1_epi64(1023)), 52))
#include "nn/smo_loops.inc"
#endif

const nn_smo_loops *nn_smo_loops_for(const tn_ctx *ctx)
{
#if defined(__x86_64__)
    if (strcmp(tn_isa(ctx), "avx512") == 0)
        return &avx512_loops;
    if (strcmp(tn_isa(ctx), "avx2") == 0)
        return &avx2_loops;
#else
    (void)ctx;
#endif
    return &generic_loops;
}
