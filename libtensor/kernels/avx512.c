/* AVX-512. */
#if defined(__AVX512F__) && defined(__AVX512VL__)
#include "libtensor/kernels/avx512.inc"

#define KERNELS tn_kernels_avx512
#define ISA_NAME "avx512"

#include "libtensor/kernels/kernels.inc"
#else
typedef int tn_avx512_is_not_built;
#endif
