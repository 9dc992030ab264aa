/* Oracles: every op once more, in double precision, by its definition and by nothing else.
 *
 * They share types with libtensor, and no code: an oracle that called what it checks would agree with it.
 * Plain loops over logical indices, row-major, one thread. Where a formula is a paper's or PyTorch's, the
 * public declaration in tensor.h names it.
 */
#ifndef TESTS_REF_H
#define TESTS_REF_H

#include "libtensor/tensor.h"

/* A row-major tensor in logical order. */
typedef struct ref_tensor {
    double *data;              /* NULL: an optional input that is left out */
    int rank;                  /* 0 to TN_MAX_RANK */
    int64_t size[TN_MAX_RANK]; /* in logical order */
} ref_tensor;

/* One evaluation of an op. */
typedef struct ref_call {
    ref_tensor in[TN_MAX_IN];   /* the caller's; batch_norm writes to its running statistics */
    ref_tensor out[TN_MAX_OUT]; /* shaped and filled by the oracle; freed by ref_free() */
    const void *attr;           /* the op's attributes, or NULL */
    bool training;              /* as in a training plan */
    bool frozen;                /* buffers are not to be updated */
    uint64_t seed, run;         /* see tn_plan_seed() */
    uint64_t first_sample;      /* same */
    int node;                   /* index of the node in its graph */
} ref_call;

typedef void (*ref_fn)(ref_call *call);

/* The oracle of every op; one that is missing is missed by the linker. */
#define TN_OP(name) void ref_##name(ref_call *call);
#include "libtensor/ops.def"
#undef TN_OP

/* Gives output `o` its shape, and zeros to begin with. */
double *ref_output(ref_call *call, int o, int rank, const int64_t *size);
void ref_free(ref_call *call);

/* Elements of a tensor; of axes [first, last). */
int64_t ref_numel(const ref_tensor *t);
int64_t ref_count(const ref_tensor *t, int first, int last);

/* The place of an element of a tensor of rank 5. */
int64_t ref_at5(const ref_tensor *t, int64_t n, int64_t c, int64_t d, int64_t h, int64_t w);

/* Valid steps of row n: what the `lengths` tensor says, within [0, steps]; `steps` where there is none. */
int64_t ref_length(const ref_tensor *lengths, int64_t n, int64_t steps);

/* One word of a block of Philox4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3",
 * section 3.3), and the i-th number in [0, 1) of stream (seed, stream), as tn_uniform() documents it. */
uint32_t ref_philox(uint64_t key, const uint32_t counter[4], int word);
double ref_uniform(uint64_t seed, uint64_t stream, uint64_t i);

#endif
