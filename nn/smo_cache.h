/* The rows of Q that a solver keeps: as many as memory allows, the least recently used goes first. */
#ifndef NN_SMO_CACHE_H
#define NN_SMO_CACHE_H

#include "libtensor/tensor.h"

typedef struct nn_cache_slot {
    int owner;        /* row whose values these are, -1: none */
    int length;       /* of them are valid, from the first */
    int newer, older; /* slots in the order of use; -1 at the ends */
} nn_cache_slot;

typedef struct nn_cache {
    int width;           /* floats of a row */
    int slots;           /* rows that there is room for */
    int newest, oldest;  /* slots */
    float *values;       /* room for all slots */
    nn_cache_slot *slot; /* of them */
    int *slot_of;        /* for each row; -1: not there */
    size_t floats;       /* room in `values` */
} nn_cache;

/* For problems of up to `room` rows in `bytes`, but two rows at least. TN_NOMEM. */
tn_status nn_cache_create(tn_ctx *ctx, int room, size_t bytes, nn_cache *out);
void nn_cache_free(tn_ctx *ctx, nn_cache *cache);

/* Forgets everything and gets ready for rows of `width` values. */
void nn_cache_reset(nn_cache *cache, int width);

/* The row's memory, now the most recently used, and how many of its values are valid; the caller fills in the
 * others up to `want`. The row asked for before this one stays where it is. */
float *nn_cache_take(nn_cache *cache, int row, int want, int *valid);

/* Two rows that change places. */
typedef struct nn_cache_swap {
    int i, j; /* i < j */
} nn_cache_swap;

/* Rows i and j, and values i and j in every row, change places: one such swap after the other. */
void nn_cache_swap_all(nn_cache *cache, const nn_cache_swap *swap, int count);

#endif
