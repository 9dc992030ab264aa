/* AVX-512: eight windows at a time. */
#if defined(__AVX512F__)
#include <immintrin.h>

enum { DATA_LANES = 8 };
#define LANES_CODE data_lanes_avx512
#define LANES_SHIFTED(before, now) __builtin_shufflevector(before, now, 7, 8, 9, 10, 11, 12, 13, 14)
#define LANES_LARGER(a, b) _mm512_max_pd(a, b)

#include "data/lanes.inc"
#else
typedef int data_lanes_avx512_is_not_built;
#endif
