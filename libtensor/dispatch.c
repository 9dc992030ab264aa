/* Which kernels this build and this machine have. */
#include "libtensor/internal.h"

#include <string.h>

extern const tn_kernels tn_kernels_generic;

#if defined(__x86_64__)
#include <cpuid.h>

extern const tn_kernels tn_kernels_avx2, tn_kernels_avx512;

/* The processor's word is not enough: the system must also save the registers (XCR0), which CPUID does not
 * say. */
static bool system_saves(uint64_t registers)
{
    unsigned a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_OSXSAVE))
        return false;
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (((uint64_t)high << 32 | low) & registers) == registers;
}

enum { XCR0_AVX = 0x06, XCR0_AVX512 = 0xe6 };

static bool has_avx2(void)
{
    unsigned a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_FMA) || !(c & bit_AVX) || !system_saves(XCR0_AVX))
        return false;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & bit_AVX2);
}

static bool has_avx512(void)
{
    const unsigned need = bit_AVX512F | bit_AVX512VL | bit_AVX512DQ | bit_AVX512BW;
    unsigned a, b, c, d;
    if (!has_avx2() || !system_saves(XCR0_AVX512))
        return false;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & need) == need;
}

extern const tn_bf16_kernels tn_bf16_kernels_avx512;

/* AVX512_BF16: bit 5 of EAX of leaf 7, subleaf 1, which leaf 7 must say is there. */
static bool has_avx512_bf16(void)
{
    unsigned a, b, c, d;
    if (!has_avx512() || !__get_cpuid_count(7, 0, &a, &b, &c, &d) || a < 1)
        return false;
    return __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a >> 5 & 1);
}
#elif defined(__aarch64__)
extern const tn_kernels tn_kernels_neon;
#endif

static bool always(void)
{
    return true;
}

/* Worst first. */
static const struct {
    const tn_kernels *kernels;
    bool (*usable)(void);
} levels[] = {
    {&tn_kernels_generic, always},
#if defined(__x86_64__)
    {&tn_kernels_avx2, has_avx2},
    {&tn_kernels_avx512, has_avx512},
#elif defined(__aarch64__)
    {&tn_kernels_neon, always},
#endif
};

enum { LEVELS = sizeof levels / sizeof *levels };

const tn_kernels *tn_kernels_find(const char *isa)
{
    for (int i = LEVELS - 1; i >= 0; i--)
        if ((!isa || strcmp(isa, levels[i].kernels->name) == 0) && levels[i].usable())
            return levels[i].kernels;
    return NULL;
}

const char *tn_isa_list(int i)
{
    for (int level = 0; level < LEVELS; level++)
        if (levels[level].usable() && i-- == 0)
            return levels[level].kernels->name;
    return NULL;
}

const tn_bf16_kernels *tn_bf16_kernels_find(const tn_kernels *kernels)
{
#if defined(__x86_64__)
    if (kernels == &tn_kernels_avx512 && has_avx512_bf16())
        return &tn_bf16_kernels_avx512;
#endif
    (void)kernels;
    return NULL;
}
