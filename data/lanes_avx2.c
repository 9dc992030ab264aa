/* AVX2: four windows at a time. */
#if defined(__AVX2__)
#include <immintrin.h>

enum { DATA_LANES = 4 };
#define LANES_CODE data_lanes_avx2
#define LANES_SHIFTED(before, now) __builtin_shufflevector(before, now, 3, 4, 5, 6)
#define LANES_LARGER(a, b) _mm256_max_pd(a, b)

#include "data/lanes.inc"
#else
typedef int data_lanes_avx2_is_not_built;
#endif
