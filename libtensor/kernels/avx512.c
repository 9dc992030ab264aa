/* AVX-512: 14 x 32 tiles in 28 of 32 registers. */
#if defined(__AVX512F__) && defined(__AVX512VL__)
#include <immintrin.h>
#include <stdint.h>

typedef __m512 V;
typedef uint64_t U __attribute__((vector_size(64)));
#define VW 16
#define MR 14
#define NV 2
#define KERNELS tn_kernels_avx512
#define ISA_NAME "avx512"

#define first(n) ((__mmask16)((1u << (n)) - 1u))
#define v_zero() _mm512_setzero_ps()
#define v_set1(f) _mm512_set1_ps(f)
#define v_load(p) _mm512_loadu_ps(p)
#define v_store(p, v) _mm512_storeu_ps(p, v)
#define v_load_n(p, n) _mm512_maskz_loadu_ps(first(n), p)
#define v_store_n(p, v, n) _mm512_mask_storeu_ps(p, first(n), v)
#define v_fma(a, b, c) _mm512_fmadd_ps(a, b, c)
#define v_add(a, b) _mm512_add_ps(a, b)
#define v_sub(a, b) _mm512_sub_ps(a, b)
#define v_mul(a, b) _mm512_mul_ps(a, b)
#define v_div(a, b) _mm512_div_ps(a, b)
#define v_sqrt(a) _mm512_sqrt_ps(a)
#define v_min(a, b) _mm512_min_ps(a, b)
#define v_max(a, b) _mm512_max_ps(a, b)
#define u_mul(a, b) ((U)_mm512_mul_epu32((__m512i)(a), (__m512i)(b)))
#define u_even(a, b) ((U)_mm512_unpacklo_epi64((__m512i)(a), (__m512i)(b)))
#define u_odd(a, b) ((U)_mm512_unpackhi_epi64((__m512i)(a), (__m512i)(b)))

#include "libtensor/kernels/kernels.inc"
#else
typedef int tn_avx512_is_not_built;
#endif
