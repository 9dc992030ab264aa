/* AVX-512 with AVX512_BF16: products of pairs of bfloat16, and what stores and loads bfloat16. */
#if defined(__AVX512BF16__) && defined(__AVX512BW__) && defined(__AVX512VL__)
#include "libtensor/kernels/avx512.inc"

#define v_dot(a, b, c) _mm512_dpbf16_ps(c, (__m512bh)(a), (__m512bh)(b))
#define v_wide(h) _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(h), 16))
#define v_narrow(v) ((__m256i)_mm512_cvtneps_pbh(v))
#define b_load(p) v_wide(_mm256_loadu_si256((const void *)(p)))
#define b_load_n(p, n) v_wide(_mm256_maskz_loadu_epi16(first(n), p))
#define b_store(p, v) _mm256_storeu_si256((void *)(p), v_narrow(v))
#define b_store_n(p, v, n) _mm256_mask_storeu_epi16(p, first(n), v_narrow(v))

#include "libtensor/kernels/product.inc"
#include "libtensor/kernels/winograd.inc"

#include <math.h>

/* The larger of two halves that are floats with zeros behind, or what is not a number. */
static inline __m512 larger_of(__m512 x, __m512 best)
{
    const __mmask16 take = _mm512_cmp_ps_mask(x, best, _CMP_GT_OQ) | _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q);
    return _mm512_mask_mov_ps(best, take, x);
}

static void largest(int64_t n, int rows, const void *const *row, tn_bf16 *out)
{
    enum { PER_VECTOR = 2 * VW, AHEAD = 2048 / sizeof(tn_bf16) }; /* asked for ahead, as floats are */
    const __m512i upper = _mm512_set1_epi32((int)0xffff0000u);
    for (int64_t i = 0; i < n; i += PER_VECTOR) {
        const int64_t left = n - i;
        const __mmask32 there = left >= PER_VECTOR ? ~(__mmask32)0 : (__mmask32)((1u << left) - 1u);
        __m512 high = _mm512_set1_ps(-INFINITY), low = high;
        for (int r = 0; r < rows; r++) {
            __builtin_prefetch((const tn_bf16 *)row[r] + i + AHEAD);
            const __m512i x = _mm512_maskz_loadu_epi16(there, (const tn_bf16 *)row[r] + i);
            high = larger_of(_mm512_castsi512_ps(_mm512_and_si512(x, upper)), high);
            low = larger_of(_mm512_castsi512_ps(_mm512_slli_epi32(x, 16)), low);
        }
        const __m512i both =
            _mm512_or_si512(_mm512_castps_si512(high), _mm512_srli_epi32(_mm512_castps_si512(low), 16));
        _mm512_mask_storeu_epi16(out + i, there, both);
    }
}

const tn_bf16_kernels tn_bf16_kernels_avx512 = {
    .brgemm = brgemm,
    .winograd_in = winograd_in,
    .winograd_out = winograd_out,
    .mix = mix,
    .largest = largest,
    .multiply_add = multiply_add,
};
#else
typedef int tn_avx512_bf16_is_not_built;
#endif
