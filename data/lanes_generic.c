/* Two windows at a time, which SSE2 and NEON hold in a register, and the choice among all. */
enum { DATA_LANES = 2 };
#define LANES_CODE data_lanes_generic
#define LANES_SHIFTED(before, now) __builtin_shufflevector(before, now, 1, 2)
#define LANES_LARGER(a, b) chosen((a) > (b), a, b)

#include "data/lanes.inc"

const data_lanes_code *data_lanes_for(const tn_ctx *ctx)
{
#if defined(__x86_64__)
    if (strcmp(tn_isa(ctx), "avx512") == 0)
        return &data_lanes_avx512;
    if (strcmp(tn_isa(ctx), "avx2") == 0)
        return &data_lanes_avx2;
#else
    (void)ctx;
#endif
    return &data_lanes_generic;
}
