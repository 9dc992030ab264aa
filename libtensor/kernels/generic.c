/* Plain C: what every machine runs, and the easiest to read. A vector is an array of 4 floats, which
 * compilers put into whatever registers there are. */
typedef struct generic_vector {
    float f[4];
} V;

#define VW 4
#define MR 4
#define NV 2
#define KERNELS tn_kernels_generic
#define ISA_NAME "generic"

static inline V v_set1(float f)
{
    return (V){{f, f, f, f}};
}
static inline V v_zero(void)
{
    return v_set1(0.0f);
}
static inline V v_load_n(const float *p, int n)
{
    V v = {{0}};
    for (int i = 0; i < n; i++)
        v.f[i] = p[i];
    return v;
}
static inline V v_load(const float *p)
{
    return (V){{p[0], p[1], p[2], p[3]}};
}
static inline void v_store_n(float *p, V v, int n)
{
    for (int i = 0; i < n; i++)
        p[i] = v.f[i];
}
static inline void v_store(float *p, V v)
{
    for (int i = 0; i < 4; i++)
        p[i] = v.f[i];
}
static inline V v_fma(V a, V b, V c)
{
    for (int i = 0; i < 4; i++)
        c.f[i] += a.f[i] * b.f[i];
    return c;
}
static inline V v_add(V a, V b)
{
    for (int i = 0; i < 4; i++)
        a.f[i] += b.f[i];
    return a;
}
static inline V v_max(V a, V b)
{
    for (int i = 0; i < 4; i++)
        a.f[i] = a.f[i] > b.f[i] ? a.f[i] : b.f[i];
    return a;
}

#include "libtensor/kernels/kernels.inc"
