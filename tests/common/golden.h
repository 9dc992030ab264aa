/* Golden files of networks: answers of another implementation, for weights that both sides draw. */
#ifndef TESTS_GOLDEN_H
#define TESTS_GOLDEN_H

#include "tests/common/testing.h"

#include "weights/weights.h"

/* Opens tests/golden/NAME.safetensors; asserts. */
wt_file *golden_open(tn_ctx *ctx, const char *name);

/* Asserts that a tensor of the file has as many elements as `got` and differs by at most `bound` times its
 * largest value. */
void golden_near(tn_ctx *ctx, const wt_file *file, const char *name, const tn_tensor *got, double bound);

/* The values that a parameter, or an input with U(-2, 2), has on both sides: draw() and inputs() in
 * tests/golden/networks.py. */
void golden_draw(const char *name, const tn_tensor *out);
void golden_input(const char *name, const tn_tensor *out);

/* golden_draw(), but biases of batch norm are near 2 or -2, the sign drawn, so that little of what enters a
 * ReLU is near 0: shift_batch_norms() in tests/golden/networks.py. */
void golden_draw_shifted(const char *name, const tn_tensor *out);

/* Draws every parameter and buffer of a graph. */
void golden_draw_all(tn_graph *graph);

/* A row-major copy, freed by the caller. */
float *golden_rows(const tn_tensor *t);

#endif
