/* What the files of nn share. */
#ifndef NN_INTERNAL_H
#define NN_INTERNAL_H

#include "nn/nn.h"

/* Longest name of a parameter. */
enum { NN_NAME = 128 };

/* Limits on what a file may ask for, far above any network of this kind. */
enum {
    NN_MAX_BLOCKS = 256,      /* of a stage */
    NN_MAX_SIZE = 1 << 16,    /* of an axis of a tensor that a config is read from */
    NN_MAX_CLASSES = 1 << 14, /* rows of a head */
    NN_MAX_NUMBER = 1 << 20   /* in metadata */
};

/* "(64, 3, 7, 7, 7)" */
typedef struct nn_shape_text {
    char text[176];
} nn_shape_text;
nn_shape_text nn_shape(int rank, const int64_t *size);

/* The entry `name` of a file with floats of that rank. TN_SHAPE names what is there and `expected`. */
tn_status nn_need(tn_ctx *ctx, const wt_file *file, const char *name, int rank, const char *expected,
                  const wt_entry **out);

/* Whether `name` is `prefix` or below it: "layer1" and "layer1.0.conv1.weight". */
bool nn_below(const char *name, const char *prefix);

/* Where the first NaN or infinity is; -1 where there is none. */
int64_t nn_first_not_finite(const float *x, int64_t n);

/* TN_RANGE for a loss that is not finite in the plan's last run, `when` being "step 18": the message names
 * the first parameter that is not, else the input, else the first layer, in order of the graph, that gives
 * such values. */
tn_status nn_blame(tn_graph *graph, tn_plan *plan, const char *when, double loss);

/* Whether the file is of that kind, by its metadata, else by its tensors. TN_SHAPE says what it is. */
tn_status nn_check_kind(tn_ctx *ctx, const wt_file *file, nn_kind kind);

/* Reads what a file says beside its weights; class names as they are in the file, or NULL. `kind` is what
 * the caller expects, `classes` and `width` the sizes of the network that the file's tensors make. */
tn_status nn_facts_read(tn_ctx *ctx, const wt_file *file, nn_kind kind, int classes, int width,
                        nn_facts *out);
void nn_facts_free(tn_ctx *ctx, nn_facts *facts);

/* A copy of a list of names in one block. NULL: TN_NOMEM is recorded. */
char **nn_names_copy(tn_ctx *ctx, char *const *name, int count);

/* Whole numbers of at least `least` between commas: "1,2,2". Without such metadata *out stays as it is. */
tn_status nn_meta_ints(tn_ctx *ctx, const wt_file *file, const char *key, int least, int count, int *out);

#endif
