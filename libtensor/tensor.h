/* libtensor: tensors, graphs, plans and the operations of a small deep-learning stack.
 *
 * Six nouns. A *context* holds threads, the chosen instruction set, the allocator and the first error
 * message. A *graph* is built by calling operations like formulas on *vars*. A *plan* is made from a graph
 * for one mode and one set of input shapes: making it checks every shape, fuses, packs weights and lays
 * every buffer out, so that everything that can fail fails there; running it allocates nothing and cannot
 * fail. An *op* is one struct in ops/NAME.c. A *tensor* is a view that owns nothing.
 *
 * Axes are named in logical order: activations of rank 5 are (N, C, T, H, W). In a plan they lie
 * channels-last in memory; a view's strides say so, and tn_copy() converts between any two layouts.
 *
 * Nothing here prints, exits or touches files. Functions that can fail return a tn_status and leave one
 * message in the context that names the thing that is wrong.
 */
#ifndef TN_TENSOR_H
#define TN_TENSOR_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- status ---------------------------------------------------------------------------------------- */

#define TN_STATUS_LIST(X)                                                                                    \
    X(TN_OK, "no error")                                                                                     \
    X(TN_NOMEM, "out of memory")                                                                             \
    X(TN_SHAPE, "shapes do not fit")                                                                         \
    X(TN_FORMAT, "malformed file")                                                                           \
    X(TN_IO, "input or output failed")                                                                       \
    X(TN_RANGE, "value out of range")                                                                        \
    X(TN_UNSUPPORTED, "not supported")

typedef enum tn_status {
#define TN_STATUS_ENUM(name, text) name,
    TN_STATUS_LIST(TN_STATUS_ENUM)
#undef TN_STATUS_ENUM
} tn_status;

/* The general text of a status; the message of tn_error() says more. */
const char *tn_status_text(tn_status status);

/* Returns from the calling function with the status of `expr` unless it is TN_OK. */
#define TN_TRY(expr)                                                                                         \
    do {                                                                                                     \
        tn_status tn_try_status_ = (expr);                                                                   \
        if (tn_try_status_ != TN_OK)                                                                         \
            return tn_try_status_;                                                                           \
    } while (0)

#if defined(__GNUC__)
#define TN_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#else
#define TN_PRINTF(fmt, args)
#endif

/* ---- context --------------------------------------------------------------------------------------- */

typedef struct tn_ctx tn_ctx;

/* Where a context's memory comes from. `alloc` returns NULL or `bytes` bytes aligned to 64. */
typedef struct tn_allocator {
    void *(*alloc)(void *user, size_t bytes);
    void (*release)(void *user, void *block);
    void *user; /* handed to both */
} tn_allocator;

typedef struct tn_options {
    int threads;     /* 0: one per core that the process may use */
    const char *isa; /* NULL: VALENCE_ISA from the environment, else the best this machine has */
    const tn_allocator *allocator; /* NULL: the C library's */
} tn_options;

/* Makes a context; `options` may be NULL. Fails with TN_NOMEM, TN_RANGE (threads) or TN_UNSUPPORTED (the
 * instruction set is unknown or this machine lacks it; tn_isa_list() has the names). */
tn_status tn_ctx_create(const tn_options *options, tn_ctx **out);
void tn_ctx_destroy(tn_ctx *ctx);

int tn_threads(const tn_ctx *ctx);
const char *tn_isa(const tn_ctx *ctx);

/* The i-th instruction set that this build and this machine have, worst first; NULL past the last. */
const char *tn_isa_list(int i);

/* What numbers are stored as. bfloat16 is the upper half of a float: 8 bits of precision, the same range. */
typedef enum tn_precision { TN_FP32, TN_BF16 } tn_precision;

/* Whether the context's instruction set computes with it: bfloat16 needs AVX512_BF16 beside "avx512". */
bool tn_has_precision(const tn_ctx *ctx, tn_precision precision);

/* TN_UNSUPPORTED where it does not, with a message that says what is missing. */
tn_status tn_check_precision(tn_ctx *ctx, tn_precision precision);

/* What one core does at most: floating-point operations a second of a loop of fused multiply-adds in
 * registers (of bfloat16: with sums in floats), measured on the spot (some 30 ms), with the context's
 * instruction set; 0 where that has no such precision. */
double tn_core_peak(const tn_ctx *ctx, tn_precision precision);

/* Records a message unless one is already there (the first mistake is the one to report) and returns
 * `status`. A context's errors belong to one thread at a time. */
tn_status tn_fail(tn_ctx *ctx, tn_status status, const char *format, ...) TN_PRINTF(3, 4);
const char *tn_error(const tn_ctx *ctx); /* "" when there is none */
void tn_clear_error(tn_ctx *ctx);

/* Memory of the context's allocator, aligned to 64 bytes. NULL with the error TN_NOMEM recorded, also
 * when `count * size` overflows. tn_alloc() leaves it as it comes, tn_zalloc() clears it. */
void *tn_alloc(tn_ctx *ctx, size_t count, size_t size);
void *tn_zalloc(tn_ctx *ctx, size_t count, size_t size);
void tn_free(tn_ctx *ctx, void *block); /* NULL is fine */
char *tn_strdup(tn_ctx *ctx, const char *text);

/* Makes room for `need` elements of `size` bytes behind `*block`, which has room for `*capacity`; keeps
 * what is there and grows by half at least. Fails with TN_NOMEM and changes nothing. */
tn_status tn_grow(tn_ctx *ctx, void *block, size_t *capacity, size_t need, size_t size);

/* Checked arithmetic: false, and *out untouched, where the result does not fit. */
bool tn_mul_size(size_t a, size_t b, size_t *out);
bool tn_add_size(size_t a, size_t b, size_t *out);

/* Calls fn(arg, task, thread) for every task in [0, tasks), on all threads of the context, and returns when
 * all are done. `thread` is in [0, tn_threads()). Which thread gets which task is open, so a result may
 * depend on the task only. Not to be nested. */
typedef void (*tn_task_fn)(void *arg, int64_t task, int thread);
void tn_parallel(tn_ctx *ctx, int64_t tasks, tn_task_fn fn, void *arg);

/* The same for tasks that take about `nanoseconds` together on one thread: where that is less than waking
 * another thread costs (some 20 microseconds or more), the caller does them all. An estimate made of sizes,
 * not of time measured; no result depends on it. */
void tn_parallel_short(tn_ctx *ctx, int64_t tasks, double nanoseconds, tn_task_fn fn, void *arg);

/* ---- random numbers -------------------------------------------------------------------------------- */

/* Philox4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"): four 32-bit words, a
 * pure function of a 64-bit key and a 128-bit counter. */
void tn_philox(uint64_t key, const uint32_t counter[4], uint32_t out[4]);

/* The i-th number of stream (seed, stream), uniform in [0, 1): word i % 4 of the block with counter
 * (lo(i / 4), hi(i / 4), lo(stream), hi(stream)), its upper 24 bits times 2^-24, exact in float. */
float tn_uniform(uint64_t seed, uint64_t stream, uint64_t i);

/* Fills n floats with low + (high - low) * tn_uniform(seed, stream, i), i counting from 0; the product and
 * the sum are each rounded to float. */
void tn_fill_uniform(float *out, size_t n, uint64_t seed, uint64_t stream, float low, float high);

/* A 64-bit FNV-1a hash: the stream number of a name. */
uint64_t tn_hash(const char *text);

/* ---- tensors --------------------------------------------------------------------------------------- */

enum { TN_MAX_RANK = 6 };

typedef struct tn_tensor {
    float *data;                 /* borrowed */
    int rank;                    /* 0 to TN_MAX_RANK */
    int64_t size[TN_MAX_RANK];   /* in logical order */
    int64_t stride[TN_MAX_RANK]; /* in elements */
    tn_precision precision;      /* of the elements: TN_FP32 wherever callers see data */
} tn_tensor;

/* A row-major view of `data`. */
tn_tensor tn_view(float *data, int rank, const int64_t *size);
int64_t tn_numel(const tn_tensor *t);

/* Copies elements by logical index; sizes must be equal (asserted), strides may differ. */
void tn_copy(const tn_tensor *dst, const tn_tensor *src);

/* ---- graph ----------------------------------------------------------------------------------------- */

typedef struct tn_graph tn_graph;
typedef struct tn_var tn_var;

tn_status tn_graph_create(tn_ctx *ctx, tn_graph **out);
void tn_graph_destroy(tn_graph *graph); /* after its plans */
tn_ctx *tn_graph_ctx(const tn_graph *graph);

/* TN_OK, or the status of the first mistake in building, whose message it records. */
tn_status tn_graph_check(const tn_graph *graph);

/* A size that is only known when a plan is made. */
enum { TN_ANY = -1 };

/* Builders never return NULL. After a mistake they record it and return the graph's poison var, which every
 * builder passes on; tn_plan_create() reports it. Names are copied. */
tn_var *tn_input(tn_graph *graph, const char *name, int rank, const int64_t *size);

/* A learned parameter, and a buffer: kept with the parameters and updated by training, but not by the
 * optimiser (running statistics). Sizes are final; names are those of the PyTorch state_dict, and unique. */
tn_var *tn_param(tn_graph *graph, const char *name, int rank, const int64_t *size);
tn_var *tn_buffer(tn_graph *graph, const char *name, int rank, const int64_t *size);

/* Marks a var as an output: it keeps its own memory and can be read after a run. */
void tn_output(tn_var *var, const char *name);

/* Inputs, parameters, buffers and outputs by name; NULL where there is none. */
tn_var *tn_find(const tn_graph *graph, const char *name);
const char *tn_var_name(const tn_var *var);

/* Parameters and buffers in order of creation. */
int tn_param_count(const tn_graph *graph);
tn_var *tn_param_at(const tn_graph *graph, int i);
bool tn_is_buffer(const tn_var *var);
int tn_var_rank(const tn_var *var);
const int64_t *tn_var_size(const tn_var *var); /* inputs, parameters and buffers: as declared */

/* Gives a parameter its values. tn_bind() borrows row-major memory that must outlive the graph's plans and is
 * only read; tn_value() returns the graph's own writable copy (made on first use: of what was bound, else
 * zeros), data NULL when memory is out. Plans made before need tn_plan_refresh(). */
void tn_bind(tn_var *param, const float *data);
tn_tensor tn_value(tn_var *param);
const float *tn_value_const(const tn_var *param); /* NULL when it has none yet */

/* Whether training changes a parameter or buffer, and whether a gradient is wanted for an input. Parameters
 * and buffers begin trainable, inputs not. A prefix ends at a dot or is the whole name; "" is all parameters
 * and buffers.
 * Batch norm uses batch statistics in a training plan only where its running_mean is trainable, so that a
 * frozen layer is frozen altogether. Returns how many vars it set. */
int tn_set_trainable(tn_graph *graph, const char *prefix, bool trainable);
bool tn_is_trainable(const tn_var *var);

/* ---- operations ------------------------------------------------------------------------------------
 * Shapes are in logical order. Optional vars may be NULL. Weights, biases and statistics are parameters and
 * buffers; activations are not, where they have rank 5. Formulas are PyTorch's where nothing else is said.
 */

typedef struct tn_conv3d_attr {
    int stride[3]; /* T, H, W; at least 1 */
    int pad[3];    /* zeros on both sides */
} tn_conv3d_attr;

/* Cross-correlation: x (N, C, T, H, W), weight (O, C, KT, KH, KW), bias (O) optional -> (N, O, T', H', W')
 * with T' = (T + 2 pad - KT) / stride + 1. */
tn_var *tn_conv3d(tn_var *x, tn_var *weight, tn_var *bias, tn_conv3d_attr attr);

typedef struct tn_batch_norm_attr {
    float eps;      /* added to the variance */
    float momentum; /* running = (1 - momentum) * running + momentum * batch, with the unbiased batch variance
                     */
} tn_batch_norm_attr;

/* Over every axis but axis 1: x (N, C) or (N, C, T, H, W); the other four (C). Ioffe and Szegedy 2015. */
tn_var *tn_batch_norm(tn_var *x, tn_var *weight, tn_var *bias, tn_var *running_mean, tn_var *running_var,
                      tn_batch_norm_attr attr);

tn_var *tn_relu(tn_var *x);
tn_var *tn_add(tn_var *a, tn_var *b); /* equal shapes */

typedef struct tn_pool3d_attr {
    int kernel[3];
    int stride[3];
    int pad[3]; /* at most half the kernel */
} tn_pool3d_attr;

/* Padding never wins the maximum; the average counts padding (PyTorch's count_include_pad=True). */
tn_var *tn_max_pool3d(tn_var *x, tn_pool3d_attr attr);
tn_var *tn_avg_pool3d(tn_var *x, tn_pool3d_attr attr);
tn_var *tn_global_avg_pool(tn_var *x); /* (N, C, T, H, W) -> (N, C) */

/* x (..., I), not of rank 5, weight (O, I), bias (O) optional -> (..., O). */
tn_var *tn_linear(tn_var *x, tn_var *weight, tn_var *bias);

typedef struct tn_dropout_attr {
    float p;          /* probability of zero; survivors are scaled by 1 / (1 - p) */
    bool per_channel; /* one mask for all steps of a sequence: x (N, T, F), the mask is (N, 1, F) */
} tn_dropout_attr;

/* Srivastava et al. 2014; masks depend on the plan's seed, step and sample (tn_plan_seed()) and on this node,
 * never on threads or padding. The identity in an inference plan. */
tn_var *tn_dropout(tn_var *x, tn_dropout_attr attr);

/* Weights of one direction, gates in the order i, f, g, o: w_ih (4H, I), w_hh (4H, H), b_ih and b_hh (4H). */
typedef struct tn_lstm_weights {
    tn_var *w_ih, *w_hh, *b_ih, *b_hh;
} tn_lstm_weights;

/* Hochreiter and Schmidhuber 1997, as in PyTorch's nn.LSTM with batch_first and zero initial state: x (N, T,
 * I) -> (N, T, H), or (N, T, 2H) with `reverse`. `lengths` (N) optional: row n has lengths[n] valid steps
 * (clamped to [0, T]), the reverse direction begins at the last of them, and outputs past it are 0. */
tn_var *tn_lstm(tn_var *x, tn_var *lengths, const tn_lstm_weights *forward, const tn_lstm_weights *reverse);

/* Local attention (Mirsamadi et al. 2017, eq. 2 and 3): alpha = softmax over time of x . query, z = sum_t
 * alpha_t x_t. x (N, T, F), query (F), lengths as for tn_lstm() -> z (N, F); *alpha, where not NULL, is (N,
 * T), 0 past the length. A row of length 0 gives zeros. */
tn_var *tn_attention_pool(tn_var *x, tn_var *query, tn_var *lengths, tn_var **alpha);

tn_var *tn_softmax(tn_var *x); /* over the last axis; not for rank 5 */

/* Mean over rows of -log softmax(logits)[label]: logits (N, C), labels (N) as whole floats -> scalar. A label
 * below 0 or above C-1 leaves its row out. class_weights (C) optional, as in PyTorch: sum of w * loss / sum
 * of w. 0 where no row counts. */
tn_var *tn_cross_entropy(tn_var *logits, tn_var *labels, tn_var *class_weights);

tn_var *tn_concat(tn_var *const *parts, int count, int axis); /* at most TN_MAX_IN parts */

typedef struct tn_slice_attr {
    int axis;
    int64_t start, stop; /* [start, stop); stop TN_ANY: to the end */
    int64_t step;        /* at least 1 */
} tn_slice_attr;

tn_var *tn_slice(tn_var *x, tn_slice_attr attr);

enum { TN_MAX_IN = 10, TN_MAX_OUT = 2 };

/* ---- plan ------------------------------------------------------------------------------------------ */

typedef struct tn_plan tn_plan;

typedef enum tn_mode {
    TN_INFERENCE, /* batch norm folded; bias, residual and ReLU fused; dropout gone; weights packed once */
    TN_TRAINING   /* what backward needs is kept; ReLU and dropouts behind a linear layer are fused */
} tn_mode;

/* The shape of one graph input. */
typedef struct tn_input_shape {
    const char *name;
    int64_t size[TN_MAX_RANK];
} tn_input_shape;

typedef struct tn_plan_options {
    tn_mode mode;
    tn_var
        *loss; /* TN_TRAINING: an output to differentiate; its gradient is preset to 1 and may be rewritten */
    tn_precision precision; /* TN_BF16 in inference plans only; see tn_plan_create() */
    bool debug; /* fills buffers with NaN before each run and guards their ends; see tn_plan_check() */
    void (*packed)(void *arg); /* NULL, or called whenever a step has packed its weights: what was bound to
                                * them may leave memory until the next tn_plan_refresh() */
    void *packed_arg;          /* its argument; lives as long as the plan */
} tn_plan_options;

/* Makes a plan. An output that needs an input which is not in `shapes` is left out (the loss, in an inference
 * plan without labels), but one must remain; every parameter that is needed must have values. Fails with
 * TN_SHAPE, TN_RANGE, TN_UNSUPPORTED, TN_NOMEM or what the poisoned graph recorded.
 *
 * With TN_BF16 convolutions multiply bfloat16 and add up in floats, and what they and max pools give to each
 * other and to the global mean is stored as bfloat16. Before their products, weights and pixels of 3 x 3
 * convolutions and of the 7 x 7 x 7 one that reads an input may be summed in floats and rounded again
 * (Winograd), which is off by at most 2^-7, there 2^-6, of the result's largest value; else products are
 * exact. Everything else is as with TN_FP32: inputs and outputs of the graph, linear layers, other
 * convolutions of an input of the graph, and those of an odd number of channels. Fails with TN_UNSUPPORTED in
 * a training plan and where tn_has_precision() says no. */
tn_status tn_plan_create(tn_graph *graph, const tn_plan_options *options, const tn_input_shape *shapes,
                         int shape_count, tn_plan **out);
void tn_plan_destroy(tn_plan *plan);

/* Views into the plan: inputs to write, outputs to read; in a training plan also gradients of the loss and of
 * trainable inputs and parameters (parameters row-major). data is NULL for a var that has none. */
tn_tensor tn_plan_value(const tn_plan *plan, const tn_var *var);
tn_tensor tn_plan_grad(const tn_plan *plan, const tn_var *var);

/* What random ops draw from: key `seed`, with `run` (the training step) and `first_sample` + row in the
 * counter. */
void tn_plan_seed(tn_plan *plan, uint64_t seed, uint64_t run, uint64_t first_sample);

void tn_plan_forward(tn_plan *plan);
void tn_plan_backward(tn_plan *plan); /* training plans, after forward; overwrites every gradient */

/* Runs forward step by step, and returns the first step, for tn_plan_step(), that writes a value that is no
 * finite number; -1 where all are finite. What runs update (batch norm's running statistics) is updated once
 * more. */
int tn_plan_find_not_finite(tn_plan *plan);

/* Packs the weights again after parameters changed. Training plans do so in every forward. */
void tn_plan_refresh(tn_plan *plan);

/* Debug plans: TN_RANGE and a message that names the buffer when something was written past its ends. */
tn_status tn_plan_check(const tn_plan *plan);

typedef struct tn_plan_info {
    size_t slab_bytes;   /* activations, gradients, scratch */
    size_t packed_bytes; /* packed weights */
    double flops;        /* of one forward run; a multiply-add counts 2, padding included */
    int steps;           /* for tn_plan_step() */
} tn_plan_info;

tn_plan_info tn_plan_get_info(const tn_plan *plan);

/* One step of a plan, and what it has cost so far. Strings live as long as the plan. */
typedef struct tn_step_info {
    const char *op;                           /* "conv3d" */
    const char *name;                         /* "layer1.0.conv2" */
    const char *fused;                        /* what it took in: "+batch_norm+add+relu", or "" */
    tn_tensor in, out;                        /* shapes of the first input and output */
    double flops;                             /* forward */
    double backward_flops;                    /* of the products with weights and for them; else 0 */
    double forward_bytes, backward_bytes;     /* at least read and written, if none of it stays in a cache:
                                                 inputs and outputs; gradients and what backward reads */
    int64_t runs;                             /* since the plan was made or tn_plan_reset_profile() */
    double forward_seconds, backward_seconds; /* sums over the runs */
} tn_step_info;

tn_step_info tn_plan_step(const tn_plan *plan, int i);
void tn_plan_reset_profile(tn_plan *plan);

/* ---- ops by themselves ----------------------------------------------------------------------------- */

/* The ops that there are, in the order of ops.def: the name of the i-th, NULL past the last. */
const char *tn_op_name(int op);

/* Shapes and attributes to measure an op on. */
typedef enum tn_case_set {
    TN_LAYERS,     /* those of the video and the audio network at full size, one of each kind */
    TN_SMALL_CASES /* what tests compare with an oracle */
} tn_case_set;

/* The label of an op's i-th case, NULL past the last. */
const char *tn_case_label(int op, tn_case_set set, int i);

/* Builds the op alone, on its i-th case, in a graph that is empty, and makes a plan that has everything it
 * reads: seeded random values, labels in turn, full lengths. The loss of a training plan is the op's first
 * output, and every gradient is wanted but that of what comes from outside the networks. An inference plan
 * of what is the identity there has no steps. TN_RANGE where there is no such case; else fails as
 * tn_plan_create() does. */
tn_status tn_case_plan(tn_graph *graph, int op, tn_case_set set, int i, tn_mode mode, tn_plan **out);

/* ---- update steps ---------------------------------------------------------------------------------- */

/* Adam (Kingma and Ba 2015, algorithm 1; PyTorch's formula): m and v are the moments, all of n floats; step
 * counts from 1. weight_decay is added to the gradient (L2), as in torch.optim.Adam. */
typedef struct tn_adam {
    float lr, beta1, beta2, eps, weight_decay;
} tn_adam;
void tn_adam_step(tn_ctx *ctx, const tn_adam *hyper, int64_t step, size_t n, float *param, const float *grad,
                  float *m, float *v);

/* SGD as in torch.optim.SGD: buf = momentum * buf + (grad + weight_decay * param) (buf = that gradient at
 * step 1), param -= lr * buf, or lr * (gradient + momentum * buf) with nesterov. */
typedef struct tn_sgd {
    float lr, momentum, weight_decay;
    bool nesterov;
} tn_sgd;
void tn_sgd_step(tn_ctx *ctx, const tn_sgd *hyper, int64_t step, size_t n, float *param, const float *grad,
                 float *buf);

#endif
