/* AVX2 with FMA: 6 x 16 tiles in 12 of 16 registers. */
#if defined(__AVX2__) && defined(__FMA__)
#include <immintrin.h>
#include <stdint.h>

typedef __m256 V;
typedef uint64_t U __attribute__((vector_size(32)));
#define VW 8
#define MR 6
#define NV 2
#define KERNELS tn_kernels_avx2
#define ISA_NAME "avx2"

static inline __m256i first(int n)
{
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
#define v_zero() _mm256_setzero_ps()
#define v_set1(f) _mm256_set1_ps(f)
#define v_load(p) _mm256_loadu_ps(p)
#define v_store(p, v) _mm256_storeu_ps(p, v)
#define v_load_n(p, n) _mm256_maskload_ps(p, first(n))
#define v_store_n(p, v, n) _mm256_maskstore_ps(p, first(n), v)
#define v_fma(a, b, c) _mm256_fmadd_ps(a, b, c)
#define v_add(a, b) _mm256_add_ps(a, b)
#define v_sub(a, b) _mm256_sub_ps(a, b)
#define v_mul(a, b) _mm256_mul_ps(a, b)
#define v_div(a, b) _mm256_div_ps(a, b)
#define v_sqrt(a) _mm256_sqrt_ps(a)
#define v_min(a, b) _mm256_min_ps(a, b)
#define v_max(a, b) _mm256_max_ps(a, b)
#define u_mul(a, b) ((U)_mm256_mul_epu32((__m256i)(a), (__m256i)(b)))
#define u_even(a, b) ((U)_mm256_unpacklo_epi64((__m256i)(a), (__m256i)(b)))
#define u_odd(a, b) ((U)_mm256_unpackhi_epi64((__m256i)(a), (__m256i)(b)))

#include "libtensor/kernels/kernels.inc"
#else
typedef int tn_avx2_is_not_built;
#endif
