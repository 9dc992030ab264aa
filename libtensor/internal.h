/* What libtensor's files share: the context, nodes of a graph, steps of a plan, the op struct, the kernels.
 */
#ifndef TN_INTERNAL_H
#define TN_INTERNAL_H

#include "libtensor/tensor.h"

#include <pthread.h>
#include <string.h>

/* ---- context --------------------------------------------------------------------------------------- */

typedef struct tn_kernels tn_kernels;
typedef struct tn_bf16_kernels tn_bf16_kernels;
typedef struct tn_pool tn_pool;

struct tn_ctx {
    tn_allocator allocator;      /* where memory comes from */
    const tn_kernels *kernels;   /* of the chosen instruction set */
    const tn_bf16_kernels *bf16; /* beside them, or NULL */
    tn_pool *pool;               /* NULL with one thread */
    int threads;                 /* callers of a parallel task, the calling thread included */
    tn_status status;            /* of the first error */
    char message[512];           /* of the first error */
};

/* Workers for tn_parallel(): threads - 1 of them. */
tn_status tn_pool_create(tn_ctx *ctx, int threads, tn_pool **out);
void tn_pool_destroy(tn_ctx *ctx, tn_pool *pool);
void tn_pool_run(tn_pool *pool, int64_t tasks, tn_task_fn fn, void *arg);

/* Kernels of the named instruction set, or the best one for NULL; NULL where there is none. */
const tn_kernels *tn_kernels_find(const char *isa);

/* ---- bfloat16 ------------------------------------------------------------------------------------- */

/* The upper half of a float. May alias, because pairs of them are moved and multiplied as words of 32 bits.
 */
typedef uint16_t __attribute__((may_alias)) tn_bf16;

/* To the nearest, ties to even; not-a-numbers stay such. */
static inline tn_bf16 tn_to_bf16(float f)
{
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    if ((bits & 0x7fffffffu) > 0x7f800000u)
        return (tn_bf16)(bits >> 16 | 0x40u);
    return (tn_bf16)((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

static inline float tn_from_bf16(tn_bf16 half)
{
    const uint32_t bits = (uint32_t)half << 16;
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

/* ---- nodes of a graph ------------------------------------------------------------------------------ */

typedef struct tn_op tn_op;
typedef struct tn_node tn_node;
typedef struct tn_step tn_step;

typedef enum tn_var_kind {
    TN_VAR_POISON,
    TN_VAR_INPUT,
    TN_VAR_PARAM,
    TN_VAR_BUFFER,
    TN_VAR_NODE
} tn_var_kind;

struct tn_var {
    tn_graph *graph;           /* owner */
    tn_var_kind kind;          /* what it is */
    int id;                    /* index in graph->vars */
    char *name;                /* inputs, parameters, buffers, outputs; else NULL */
    int rank;                  /* inputs, parameters, buffers: as declared */
    int64_t size[TN_MAX_RANK]; /* same; TN_ANY where the plan decides */
    tn_node *node;             /* TN_VAR_NODE: who computes it */
    int slot;                  /* TN_VAR_NODE: which of the node's outputs */
    bool output;               /* marked by tn_output() */
    bool trainable;            /* see tn_set_trainable() */
    float *own;                /* parameters, buffers: the graph's own values, or NULL */
    const float *bound;        /* parameters, buffers: borrowed values, or NULL; unused once own is there */
};

struct tn_node {
    const tn_op *op;         /* what it computes */
    int id;                  /* index in graph->nodes, and what its random numbers are keyed by */
    char *name;              /* for messages and profiles: "layer1.0.conv2" */
    void *attr;              /* copy of op->attr_size bytes, or NULL */
    tn_var *in[TN_MAX_IN];   /* NULL where an optional input is left out */
    tn_var *out[TN_MAX_OUT]; /* its results */
};

struct tn_graph {
    tn_ctx *ctx;   /* borrowed */
    tn_var **vars; /* all of them, in order of creation */
    size_t var_count, var_capacity;
    tn_node **nodes; /* in order of creation, which is a topological order */
    size_t node_count, node_capacity;
    tn_var poison;     /* what builders return after a mistake */
    tn_status status;  /* of the first mistake */
    char message[512]; /* of the first mistake */
};

/* Adds a node; builders are thin calls of this. `in` has op->max_in entries. Returns its first output. */
tn_var *tn_apply(tn_graph *graph, const tn_op *op, tn_var *const *in, const void *attr);

/* The first non-NULL var's graph, and the poison var of a graph with a message recorded. */
tn_var *tn_poison(tn_graph *graph, tn_status status, const char *format, ...) TN_PRINTF(3, 4);

/* ---- ops ------------------------------------------------------------------------------------------- */

/* What an input is for: whether it has a gradient, and what a test may feed it. */
typedef enum tn_role {
    TN_ROLE_NONE,     /* past the last input */
    TN_ROLE_DATA,     /* activations; differentiable */
    TN_ROLE_WEIGHT,   /* parameters; differentiable */
    TN_ROLE_MEAN,     /* running statistics, updated in training */
    TN_ROLE_VARIANCE, /* the same, not negative */
    TN_ROLE_LABEL,    /* class indices as floats */
    TN_ROLE_LENGTH,   /* sequence lengths as floats */
    TN_ROLE_POSITIVE  /* data that is not negative and not differentiated: class weights */
} tn_role;

/* One set of shapes and attributes that an op is tested and benchmarked on. */
typedef struct tn_case {
    const char *label;
    int64_t in[TN_MAX_IN][TN_MAX_RANK + 1]; /* rank, then sizes; rank 0 leaves an optional input out */
    const void *attr;                       /* of op->attr_size bytes, or NULL */
    bool frozen;                            /* buffers are not trainable */
} tn_case;

/* A layer of the networks at full size: too large for an oracle, so for benchmarks only. */
typedef struct tn_layer {
    tn_case at; /* its shapes and attributes */
    bool first; /* input 0 comes from outside the network: nobody wants its gradient */
} tn_layer;

struct tn_op {
    const char *name;
    tn_role role[TN_MAX_IN];    /* of each input */
    unsigned optional;          /* bit i: input i may be left out */
    int outputs;                /* 1 or more */
    size_t attr_size;           /* 0: no attributes */
    unsigned keep_in, keep_out; /* bit i: backward reads input i, output i */
    bool identity_in_inference; /* an inference plan passes input 0 on */
    const tn_case *cases;       /* to test it on; ends with a NULL label */
    const tn_layer *layers;     /* to benchmark it on; same */

    /* Checks step->in against each other and the attributes and sets the sizes of step->out. */
    tn_status (*infer)(tn_step *step);

    /* Sets flops, error and the byte counts of packed, saved, scratch and thread_scratch. Sizes are known. */
    tn_status (*prepare)(tn_step *step);

    /* Fills step->packed from the parameters (NULL: nothing to pack). May fail with no one. */
    void (*pack)(tn_step *step);

    /* Computes step->out (every element) from step->in. */
    void (*forward)(tn_step *step);

    /* Computes every step->din whose data is not NULL (every element) from step->dout, whose data is not
     * NULL. */
    void (*backward)(tn_step *step);

    /* In a plan of bfloat16: whether input 0 may be that (NULL: never), and then output 0, whose precision is
     * decided after the inputs'. An op that has takes_bf16 and takes in an addition also adds bfloat16. */
    bool (*takes_bf16)(const tn_step *step);
    bool (*gives_bf16)(const tn_step *step);

    /* Whether this step can compute `next`, which reads this step's output 0 as its input `slot`, in its own
     * epilogue; sets step->epilogue (NULL: takes nothing). In training, backward then gets the gradient of
     * what the last of them gives, and reads that output too. */
    bool (*absorb)(tn_step *step, const tn_node *next, int slot);
};

#define TN_OP(name) extern const tn_op tn_op_##name;
#include "libtensor/ops.def"
#undef TN_OP

/* ---- steps of a plan ------------------------------------------------------------------------------- */

enum { TN_MAX_DROPOUTS = 2 };

/* What a plan fused behind a product of matrices: in inference batch norm, a residual and ReLU, in training
 * ReLU and the dropouts behind it. */
typedef struct tn_epilogue {
    const tn_node *batch_norm;               /* folded into weights and bias, or NULL */
    tn_tensor residual;                      /* added before the ReLU; data NULL when there is none */
    tn_var *residual_var;                    /* whose value that is */
    bool add;                                /* whether there is a residual */
    bool relu;                               /* whether a ReLU ends it, in training before the dropouts */
    const tn_node *dropout[TN_MAX_DROPOUTS]; /* in their order */
    int dropouts;                            /* of them */
} tn_epilogue;

/* One op with everything that it needs to run. Callbacks of an op see nothing else. */
struct tn_step {
    tn_ctx *ctx;
    tn_plan *plan;
    const tn_node *node;
    bool training;
    bool frozen; /* buffers are not to be updated */

    tn_tensor in[TN_MAX_IN]; /* rank 0 and data NULL where left out */
    tn_tensor out[TN_MAX_OUT];
    tn_tensor din[TN_MAX_IN];   /* gradients to write; data NULL where none is wanted */
    tn_tensor dout[TN_MAX_OUT]; /* gradients of the outputs */
    bool want[TN_MAX_IN];       /* which gradients are wanted; known when prepare is called */
    tn_epilogue epilogue;       /* nothing where the op has no absorb() */

    double flops;                /* forward; a multiply-add counts 2 */
    double error;                /* how far forward may be off, relative to the largest value and before that
                                  * is stored; 0: 1e-5 */
    size_t packed_bytes;         /* weights in kernel order */
    size_t saved_bytes;          /* from forward to backward */
    size_t scratch_bytes;        /* while it runs, forward or backward */
    size_t thread_scratch_bytes; /* same, per thread; a multiple of 64 is allotted */
    void *packed, *saved, *scratch, *thread_scratch;
    size_t thread_stride; /* bytes between two threads' scratch */

    uint64_t seed, run, first_sample; /* see tn_plan_seed() */

    char *fused; /* for profiles: "+batch_norm+relu" */
    int64_t runs;
    double forward_seconds, backward_seconds;
};

static inline void *tn_thread_scratch(const tn_step *step, int thread)
{
    return (char *)step->thread_scratch + (size_t)thread * step->thread_stride;
}

/* Fails with a message that begins with the step's name. */
tn_status tn_step_fail(tn_step *step, tn_status status, const char *format, ...) TN_PRINTF(3, 4);

/* Strides of an activation with these sizes: channels-last for rank 5, row-major else. */
void tn_set_layout(tn_tensor *t);

/* The axis order of that layout, slowest first. */
void tn_physical_order(int rank, int order[TN_MAX_RANK]);

/* "(1, 64, 8, 56, 56)" */
typedef struct tn_shape_text {
    char text[128];
} tn_shape_text;
tn_shape_text tn_shape(const tn_tensor *t);

/* Whether there are at most 2^40 elements (4 TB), so that products of a few sizes cannot overflow. */
bool tn_size_fits(int rank, const int64_t *size);

static inline size_t tn_element_bytes(const tn_tensor *t)
{
    return t->precision == TN_BF16 ? sizeof(tn_bf16) : sizeof(float);
}

/* The i-th element in memory. */
static inline void *tn_at(const tn_tensor *t, int64_t i)
{
    return (char *)t->data + i * (int64_t)tn_element_bytes(t);
}

static inline bool tn_same_size(const tn_tensor *a, const tn_tensor *b)
{
    if (a->rank != b->rank)
        return false;
    for (int i = 0; i < a->rank; i++)
        if (a->size[i] != b->size[i])
            return false;
    return true;
}

static inline bool tn_present(const tn_step *step, int i)
{
    return step->node->in[i] != NULL;
}

static inline int64_t tn_min(int64_t a, int64_t b)
{
    return a < b ? a : b;
}
static inline int64_t tn_max(int64_t a, int64_t b)
{
    return a > b ? a : b;
}
static inline int64_t tn_ceil_div(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

/* Calls fn for ranges of [0, n) in chunks of `grain`. */
typedef void (*tn_range_fn)(void *arg, int64_t begin, int64_t end);
void tn_parallel_ranges(tn_ctx *ctx, int64_t n, int64_t grain, tn_range_fn fn, void *arg);

/* Sums over rows: out[j] = sum_i x[i * n + j], in doubles and in a fixed order. `scratch` holds
 * tn_column_sums_bytes(n). */
void tn_column_sums(tn_ctx *ctx, int64_t rows, int64_t n, const float *x, float *out, void *scratch);
size_t tn_column_sums_bytes(int64_t n);

/* The same for two sums of a function of rows: fn adds row i's terms to a[0..n) and b[0..n). The results are
 * left in the first 2 n doubles of scratch, which holds tn_row_sums_bytes(n). */
typedef void (*tn_row_fn)(const void *arg, int64_t row, double *a, double *b);
double *tn_row_sums(tn_ctx *ctx, int64_t rows, int64_t n, tn_row_fn fn, const void *arg, void *scratch);
size_t tn_row_sums_bytes(int64_t n);

typedef struct tn_concat_attr {
    int axis;
} tn_concat_attr;

/* Rows of a tensor whose last physical axis is `*columns` wide: channels of rank 5, else the last axis. */
static inline int64_t tn_rows(const tn_tensor *t, int64_t *columns)
{
    *columns = t->rank == 0 ? 1 : t->rank == 5 ? t->size[1] : t->size[t->rank - 1];
    return *columns ? tn_numel(t) / *columns : 0;
}

/* The length of row n, clamped to [0, steps]; `steps` where there are no lengths. */
static inline int64_t tn_length(const tn_tensor *lengths, int64_t n, int64_t steps)
{
    if (!lengths->data)
        return steps;
    const float length = lengths->data[n];
    return length >= (float)steps ? steps : length > 0 ? (int64_t)length : 0;
}

/* absorb() of ops that end in a packed product: in inference batch norm, then add, then ReLU, each at most
 * once; in training nothing. */
bool tn_absorb_epilogue(tn_step *step, const tn_node *next, int slot);

/* What batch norm and bias come to behind a product with n columns: y = scale * product + shift. `bias` may
 * be NULL. */
void tn_fold_epilogue(const tn_step *step, int64_t n, const float *bias, float *scale, float *shift);

/* ---- kernels --------------------------------------------------------------------------------------- */

enum { TN_MAX_TAPS = 512 };

/* C = sum_i A_i B_i, then + bias, + residual, ReLU. A_i is m x k with rows lda apart (rows may overlap), B_i
 * is k x nr, packed: element (p, j) at b[i][p * nr + j], columns past n zero. Each element of C is summed in
 * the order of i and p, whatever m and n are, so that its bits do not depend on the tile it lies in.
 *
 * With `pairs` A and B hold pairs of bfloat16: wherever this counts or points to a float of theirs, there are
 * two, neighbours along k. Products are exact and sums rounded to floats; what is too small for a normal
 * float counts as 0. This and bfloat16 in C or the residual are for the kernels of tn_bf16_kernels only,
 * which do not take `flipped`. */
typedef struct tn_brgemm {
    int64_t m;
    int n; /* at most the kernels' nr */
    int64_t k;
    int batch;
    const float *const *a;
    const float *const *b;
    int64_t ldb; /* how far rows of B_i are apart where they are not packed; 0: packed, nr */
    int64_t lda;
    bool flipped; /* A_i is k x m instead: element (row, p) at a[i][p * lda + row] */
    float *c;
    int64_t ldc;
    const float *bias;     /* n, or NULL */
    const float *residual; /* m x n, or NULL; may be c itself */
    int64_t ldr;
    bool relu;
    bool pairs;                 /* A and B hold pairs of bfloat16 */
    bool c_bf16, residual_bf16; /* C, the residual holds bfloat16 */
} tn_brgemm;

/* Which elements of a sample dropout keeps: see ops/dropout.c. */
typedef struct tn_mask {
    uint64_t key;        /* of Philox */
    uint32_t counter[4]; /* of it; [0] counts blocks of four elements and is set by the kernel */
    uint32_t least;      /* a word that is less drops its element */
    float scale;         /* of what is kept */
} tn_mask;

/* Winograd's F(m x m, 3 x 3), m = 2 or 4; their matrices are in kernels/winograd.h. */
typedef enum tn_tiling { TN_F2, TN_F4, TN_F4_COMPLEX } tn_tiling;

/* The end of one tile: y = A^T M A for n columns, then + bias, + residual, ReLU. */
typedef struct tn_winograd {
    tn_tiling tiling;
    int n;           /* columns, at most the kernels' nr */
    const float *in; /* plane p of M at in[p * plane], nr columns, those past n zero */
    int64_t plane;
    const float *bias;           /* n, or NULL */
    void *const *pixel;          /* m x m results; NULL where the tile juts out */
    const void *const *residual; /* m x m, or NULL */
    bool relu;
    bool out_bf16, residual_bf16; /* as in tn_brgemm */
} tn_winograd;

/* That of a dropout node for row `sample` of a step's inputs. */
tn_mask tn_dropout_mask(const tn_step *step, const tn_node *node, int64_t sample);

enum { TN_MIX = 14 };

/* Sums of planes: out[i] = sum_j matrix[i * TN_MIX + j] in[j] over m rows of n floats, then + bias, +
 * residual, ReLU. */
typedef struct tn_mix {
    int rows;  /* planes that come out */
    int terms; /* planes that go in: 7, 10, 12 or 14 */
    const float *matrix;
    const float *const *in;
    void *const *out;
    int64_t m, n;
    int64_t ld_in, ld_out;       /* elements from row to row */
    const float *bias;           /* n, or NULL */
    const void *const *residual; /* one for each plane, rows ld_out apart; or NULL */
    bool relu;
    bool out_bf16, residual_bf16; /* as in tn_brgemm */
} tn_mix;

/* What Adam's update of one step is made of. */
typedef struct tn_adam_update {
    float beta1, beta2, eps, weight_decay; /* of tn_adam */
    float step_size;                       /* lr / (1 - beta1^t) */
    float root_correction;                 /* sqrt(1 - beta2^t) */
} tn_adam_update;

/* Batch norm of a row: each but `relu` has a value for each channel. */
typedef struct tn_norm {
    const float *mean, *inverse; /* of x; inverse is 1 / deviation */
    const float *scale, *shift;  /* y = (x - mean) scale + shift */
    const float *mean_dy, *mix;  /* backward: mean of dy; mean of dy times the normalised x, times inverse */
    bool relu;                   /* a ReLU follows */
} tn_norm;

struct tn_kernels {
    const char *name;
    int nr; /* columns of a packed panel */
    int mr; /* rows of a full tile */
    void (*brgemm)(const tn_brgemm *g);

    /* c += a B for one row of k floats and all n columns of B, packed in panels of row_width columns: wide
     * enough that no sum waits for itself, and read as one stream. Each element is the chain that brgemm adds
     * to its residual, and has the same bits. */
    int row_width;
    void (*add_row)(int64_t n, int64_t k, const float *a, const float *packed, float *c);

    /* Row-major k x m and k x n, rows ldx apart, as brgemm wants them, panel q at out + q * stride. A for
     * `flipped`: panels of mr columns with lda = a_pitch; B: panels of nr columns. */
    int a_pitch;
    void (*pack_a)(int64_t k, int64_t m, const float *x, int64_t ldx, int64_t stride, float *out);
    void (*pack_b)(int64_t k, int64_t n, const float *x, int64_t ldx, int64_t stride, float *out);

    /* The beginning of a tile: V = B^T D B over `channels` channels of the pixels D, (m + 2) x (m + 2);
     * its plane p goes to out[p * plane]. */
    void (*winograd_in)(tn_tiling tiling, int64_t channels, const void *const *pixel, void *out,
                        int64_t plane);
    void (*winograd_out)(const tn_winograd *w);

    void (*mix)(const tn_mix *mix);

    /* One row and step of an LSTM with h cells. `gates` holds i, f, g, o before their activations and gets
     * them after; `previous` is c_{t-1}, or NULL for 0; cell and y become c_t and h_t. */
    void (*lstm_cell)(int64_t h, float *gates, const float *previous, float *cell, float *y);

    /* Its gradient: from dh = dL/dh_t and dc = dL/dc_t from the step after, `out` gets those of the four
     * gates before their activations, and dc becomes that of the step before. */
    void (*lstm_cell_gradient)(int64_t h, const float *gates, const float *previous, const float *cell,
                               const float *dh, float *dc, float *out);

    /* to = scale * from where the mask keeps it, else 0, for elements [first, first + count) of a sample;
     * `first` is a multiple of 4. to may be from. The same elements on every machine. */
    void (*dropout)(const tn_mask *mask, int64_t first, int64_t count, const float *from, float *to);

    /* dx = scale[1] * (scale[0] * dy) where y is above 0, else 0. dx may be dy. */
    void (*relu_gradient)(int64_t n, const float scale[2], const float *y, const float *dy, float *dx);

    /* Max pool of a row of n channels: out[i] = the largest of row[0][i] to row[rows - 1][i], the first of
     * equal ones, or what is not a number; out may be row[0]. Where `where` is not NULL, where[i] = position
     * of that row; position[0] < 0 leaves those of row[0] as they are. */
    void (*largest)(int64_t n, int rows, const void *const *row, const int32_t *position, float *out,
                    int32_t *where);

    /* dx[i] += dy[i] where where[i] is `position`. */
    void (*largest_gradient)(int64_t n, int32_t position, const int32_t *where, const float *dy, float *dx);

    /* Batch norm of a row of n channels: adds x - from to a and its square to b; y; adds dy, behind the ReLU,
     * to a and it times the normalised x to b; dx. */
    void (*norm_moments)(int64_t n, const float *x, const float *from, double *a, double *b);
    void (*norm_forward)(const tn_norm *p, int64_t n, const float *x, float *y);
    void (*norm_sums)(const tn_norm *p, int64_t n, const float *x, const float *dy, double *a, double *b);
    void (*norm_gradient)(const tn_norm *p, int64_t n, const float *x, const float *dy, float *dx);

    /* One step of n parameters and their moments. The same bits on every machine. */
    void (*adam)(const tn_adam_update *u, int64_t n, float *param, const float *grad, float *m, float *v);

    /* Nothing but fused multiply-adds, `rounds` of each accumulator of a full tile; returns how many floating
     * point operations that was. `sink` gets 1 float, so that they are not left out. */
    double (*multiply_add)(int64_t rounds, float *sink);
};

/* What computes with bfloat16 beside an instruction set's kernels, whose nr and mr are these kernels', too.
 * Differences: brgemm takes `pairs`, and like winograd_out and mix gives and adds bfloat16; winograd_in goes
 * from bfloat16 to bfloat16, `plane` counting those. */
struct tn_bf16_kernels {
    void (*brgemm)(const tn_brgemm *g);
    void (*winograd_in)(tn_tiling tiling, int64_t channels, const void *const *pixel, void *out,
                        int64_t plane);
    void (*winograd_out)(const tn_winograd *w);
    void (*mix)(const tn_mix *mix);

    /* out[i] = the largest of row[0][i] to row[rows - 1][i], or what is not a number; out may be a row. */
    void (*largest)(int64_t n, int rows, const void *const *row, tn_bf16 *out);

    double (*multiply_add)(int64_t rounds, float *sink); /* as in tn_kernels, products of pairs */
};

/* Those beside `kernels` on this machine; NULL where there are none. */
const tn_bf16_kernels *tn_bf16_kernels_find(const tn_kernels *kernels);

/* Packs a k x n matrix with element (p, j) at b[p * row + j * col] into panels of nr columns: panel q begins
 * at out
 * + q * k * nr. `scale`, where not NULL, multiplies column j. */
void tn_pack_b(const tn_kernels *kernels, int64_t k, int64_t n, const float *b, int64_t row, int64_t col,
               const float *scale, float *out);

/* The same in pairs of bfloat16, k / 2 of them; k is even. */
void tn_pack_pairs(const tn_kernels *kernels, int64_t k, int64_t n, const float *b, int64_t row, int64_t col,
                   const float *scale, float *out);
static inline size_t tn_packed_floats(const tn_kernels *kernels, int64_t k, int64_t n)
{
    return (size_t)(tn_ceil_div(n, kernels->nr) * kernels->nr * k);
}

/* The same for add_row(). */
void tn_pack_row(const tn_kernels *kernels, int64_t k, int64_t n, const float *b, int64_t row, int64_t col,
                 float *out);
static inline size_t tn_packed_row_floats(const tn_kernels *kernels, int64_t k, int64_t n)
{
    return (size_t)(tn_ceil_div(n, kernels->row_width) * kernels->row_width * k);
}

/* C (m x n, rows ldc apart) = A (m x k) times packed B, all panels, split over the context's threads. */
void tn_gemm_packed(tn_ctx *ctx, int64_t m, int64_t n, int64_t k, const float *a, int64_t lda,
                    const float *packed, float *c, int64_t ldc, const float *bias, const float *residual,
                    int64_t ldr, bool relu);

/* C (m x n, rows n apart) = A^T B with A (k x m) and B (k x n), rows lda and ldb apart: gradients of weights.
 * An element is summed in blocks of k and in their order. The step's thread scratch holds tn_gemm_tn_bytes().
 */
void tn_gemm_tn(const tn_step *step, int64_t m, int64_t n, int64_t k, const float *a, int64_t lda,
                const float *b, int64_t ldb, float *c);
size_t tn_gemm_tn_bytes(const tn_kernels *kernels);

/* Several such products over the same rows, and sums of columns: see gradients.c. */
enum { TN_GRADIENT_FACTORS = 4 };

typedef struct tn_factor {
    const float *x;   /* rows x width, row-major */
    int64_t width;    /* columns */
    int64_t ld;       /* floats from row to row */
    int64_t sequence; /* right ones: steps of a sequence; rows are sequences one behind the other */
    int shift;        /* right ones: step t stands for step t + shift, 0 where there is none */
    float *sums;      /* left ones: gets the sum of each column, in doubles; or NULL */
} tn_factor;

typedef struct tn_outer {
    int left, right; /* which factors */
    float *c;        /* gets left^T right */
} tn_outer;

typedef struct tn_gradients {
    int64_t rows;                                                    /* of every factor */
    int lefts, rights, products;                                     /* how many there are */
    tn_factor left[TN_GRADIENT_FACTORS], right[TN_GRADIENT_FACTORS]; /* A and B of A^T B */
    tn_outer product[TN_GRADIENT_FACTORS];                           /* which with which */
} tn_gradients;

/* Scratch of that many bytes; they depend on rows and widths alone. */
size_t tn_gradients_bytes(const tn_kernels *kernels, const tn_gradients *g);
void tn_weight_gradients(tn_ctx *ctx, const tn_gradients *g, void *scratch);

#endif
