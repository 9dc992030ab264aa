/* Small networks and their plans, for tests of what lies above single ops. Everything asserts. */
#ifndef TESTS_NETWORK_H
#define TESTS_NETWORK_H

#include "libtensor/plan.h"
#include "tests/common/testing.h"

#define SIZE(...)                                                                                            \
    (int64_t[])                                                                                              \
    {                                                                                                        \
        __VA_ARGS__                                                                                          \
    }

/* A graph with a context of its own. */
typedef struct net {
    tn_ctx *ctx;     /* owned */
    tn_graph *graph; /* owned */
} net;

net net_open(int threads);
void net_close(net *n);

/* Layers with PyTorch's parameter names below `layer`. */
tn_var *net_conv(tn_var *x, const char *layer, int64_t in, int64_t out, int64_t kernel, int stride);
tn_var *net_norm(tn_var *x, const char *layer, int64_t channels);
tn_var *net_linear(tn_var *x, const char *layer, int64_t in, int64_t out);

/* Stem, pool, a residual block of 8 channels and one from 8 to 12, pool, linear: input "x" (N, 3, T, H, W) to
 * output "logits" (N, 5). Parameters have no values yet. */
void net_residual(tn_graph *graph);

/* Gives every parameter values of its own, variances and scales around 1. Fails with TN_NOMEM only. */
tn_status net_fill(tn_graph *graph);

/* net_residual() with values. */
net net_open_residual(int threads);

/* Plans whose only input is "x". */
tn_status net_plan(net *n, tn_plan_options options, const int64_t *size, int rank, tn_plan **plan);
tn_plan *net_inference(net *n, const int64_t *size, int rank);
tn_plan *net_training(net *n, const char *loss, const int64_t *size, int rank);

/* Writes random numbers in [-1, 1), drawn in logical order; to "x", always the same. */
void net_randomise(tn_tensor view, uint64_t seed);
void net_randomise_x(const tn_plan *plan);

/* A row-major copy, and one of the output `name`; the caller's to free(). */
float *net_read(tn_tensor view);
float *net_value(const tn_plan *plan, const char *name);

/* Compares and frees both. */
void net_assert_same_bits(float *a, float *b, int64_t n);
void net_assert_close(float *a, float *b, int64_t n, double bound);

/* Asserts that a status is the error `want` with all the texts in its message; clears it. */
#define ASSERT_ERROR(ctx, got, want, ...)                                                                    \
    net_assert_error(ctx, got, want, (const char *const[]){__VA_ARGS__, NULL})
void net_assert_error(tn_ctx *ctx, tn_status got, tn_status want, const char *const *texts);

#endif
