/* Every machine: four floats at a time in the compiler's portable vectors (gcc's and clang's `vector_size`),
 * which it puts into whatever registers there are. */
#include <math.h>
#include <stdint.h>
#include <string.h>

typedef float V __attribute__((vector_size(16)));
typedef uint64_t U __attribute__((vector_size(16)));

#define VW 4
#define MR 4
#define NV 2
#define KERNELS tn_kernels_generic
#define ISA_NAME "generic"

#define v_zero() ((V){0})
#define v_set1(f) ((V){(f), (f), (f), (f)})
#define v_fma(a, b, c) ((a) * (b) + (c))
#define v_add(a, b) ((a) + (b))
#define v_sub(a, b) ((a) - (b))
#define v_mul(a, b) ((a) * (b))
#define v_div(a, b) ((a) / (b))
#define u_mul(a, b) (((a)&0xFFFFFFFFu) * ((b)&0xFFFFFFFFu))
#define u_even(a, b) ((U){(a)[0], (b)[0]})
#define u_odd(a, b) ((U){(a)[1], (b)[1]})

static inline V v_load_n(const float *p, int n)
{
    V v = {0};
    memcpy(&v, p, (size_t)n * sizeof *p);
    return v;
}
static inline void v_store_n(float *p, V v, int n)
{
    memcpy(p, &v, (size_t)n * sizeof *p);
}
static inline V v_load(const float *p)
{
    return v_load_n(p, VW);
}
static inline void v_store(float *p, V v)
{
    v_store_n(p, v, VW);
}
static inline V v_max(V a, V b)
{
    for (int i = 0; i < VW; i++)
        b[i] = a[i] > b[i] ? a[i] : b[i];
    return b;
}
static inline V v_sqrt(V a)
{
    for (int i = 0; i < VW; i++)
        a[i] = sqrtf(a[i]);
    return a;
}
static inline V v_min(V a, V b)
{
    for (int i = 0; i < VW; i++)
        b[i] = a[i] < b[i] ? a[i] : b[i];
    return b;
}

#include "libtensor/kernels/kernels.inc"
