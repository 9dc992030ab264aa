/* What the short-term features need once for each rate. Private to data. */
#ifndef DATA_FEATURE_TABLES_H
#define DATA_FEATURE_TABLES_H

#include "libtensor/tensor.h"

enum { DATA_BANDS = 40, DATA_MFCC = 13, DATA_FEATURE_BLOCKS = 10 /* of the entropies */ };

/* One triangle of the mel filter bank. */
typedef struct data_band {
    int first;            /* the first bin with a weight */
    int bins;             /* how many have one */
    const double *weight; /* of each */
} data_band;

/* One element of the chroma vector that a bin writes last. */
typedef struct data_note {
    int bin;         /* whose energy it is */
    int pitch_class; /* note modulo 12; 0 is A */
    double divisor;  /* by how many it is divided */
} data_note;

typedef struct data_feature_tables {
    double *frequency;                    /* bins: of bin k, counted from 1, in Hz */
    data_band band[DATA_BANDS];           /* the filter bank */
    double *weight;                       /* of all bands, one behind the other */
    data_note *note;                      /* `notes` of them, by rising note */
    int notes;                            /* at most bins */
    double cosine[DATA_MFCC][DATA_BANDS]; /* DCT-II, orthonormal */
} data_feature_tables;

/* Fails with TN_UNSUPPORTED, naming `name`, where the rate (Hz) is too low for the filter bank or the chroma
 * vector, or TN_NOMEM. Tables that failed hold nothing to free. */
tn_status data_feature_tables_create(tn_ctx *ctx, const char *name, int rate, int bins,
                                     data_feature_tables *out);
void data_feature_tables_free(tn_ctx *ctx, data_feature_tables *tables);

#endif
