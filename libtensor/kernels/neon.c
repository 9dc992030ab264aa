/* NEON of 64-bit ARM: 6 x 16 tiles in 24 of 32 registers. */
#if defined(__aarch64__)
#include <arm_neon.h>

typedef float32x4_t V;
typedef uint64_t U __attribute__((vector_size(16)));
#define VW 4
#define MR 6
#define NV 4
#define KERNELS tn_kernels_neon
#define ISA_NAME "neon"

static inline V v_load_n(const float *p, int n)
{
    float f[4] = {0};
    for (int i = 0; i < n; i++)
        f[i] = p[i];
    return vld1q_f32(f);
}
static inline void v_store_n(float *p, V v, int n)
{
    float f[4];
    vst1q_f32(f, v);
    for (int i = 0; i < n; i++)
        p[i] = f[i];
}
#define v_zero() vdupq_n_f32(0.0f)
#define v_set1(f) vdupq_n_f32(f)
#define v_load(p) vld1q_f32(p)
#define v_store(p, v) vst1q_f32(p, v)
#define v_fma(a, b, c) vfmaq_f32(c, a, b)
#define v_add(a, b) vaddq_f32(a, b)
#define v_sub(a, b) vsubq_f32(a, b)
#define v_mul(a, b) vmulq_f32(a, b)
#define v_div(a, b) vdivq_f32(a, b)
#define v_sqrt(a) vsqrtq_f32(a)
#define v_min(a, b) vminq_f32(a, b)
#define v_max(a, b) vmaxq_f32(a, b)
#define u_mul(a, b) ((U)vmull_u32(vmovn_u64((uint64x2_t)(a)), vmovn_u64((uint64x2_t)(b))))
#define u_even(a, b) ((U)vzip1q_u64((uint64x2_t)(a), (uint64x2_t)(b)))
#define u_odd(a, b) ((U)vzip2q_u64((uint64x2_t)(a), (uint64x2_t)(b)))

#include "libtensor/kernels/kernels.inc"
#else
typedef int tn_neon_is_not_built;
#endif
