/* evaluation: how well systems do, computed from their files and printed in three formats. */
#ifndef APPS_COMMON_EVALUATION_H
#define APPS_COMMON_EVALUATION_H

#include "nn/nn.h"

/* Clips by number of faces, in the order of nn_faces from NN_FACES_FEWER on. */
enum { EVALUATION_GROUPS = 3 };

typedef struct evaluation_group {
    int64_t clips, right; /* labelled clips of the group */
    nn_rate accuracy;     /* of them */
} evaluation_group;

/* A system: a score file or a published confusion matrix. */
typedef struct evaluation_system {
    const char *path;                          /* as given */
    char name[256];                            /* in the answer: the file's without folder and ending */
    bool published;                            /* a matrix: single clips are not known */
    nn_scores scores;                          /* of a score file */
    nn_matrix matrix;                          /* of a matrix file */
    int classes;                               /* of either */
    const char *const *class_name;             /* of either */
    int64_t *count;                            /* classes x classes: the confusion matrix */
    nn_metrics metrics;                        /* of it */
    size_t unlabelled;                         /* selected clips without a label */
    size_t splits;                             /* that the labelled clips come from: 0, 1 or more */
    bool by_faces;                             /* the faces of some clip are known */
    evaluation_group group[EVALUATION_GROUPS]; /* where by_faces */
} evaluation_system;

/* Two score files. */
typedef struct evaluation_pair {
    int first, second; /* index of the systems */
    nn_paired paired;  /* how they do on the clips that both have */
} evaluation_pair;

typedef struct evaluation {
    evaluation_system *system; /* in the order they were added */
    int count;                 /* of them */
    evaluation_pair *pair;     /* every two score files with labelled clips */
    int pairs;                 /* of them */
    nn_selection selection;    /* clips that count; its `limit` divides the groups of faces */
} evaluation;

/* Makes an evaluation with room for `room` systems. evaluation_close() is to be called after a failure of any
 * of these too. TN_NOMEM. */
tn_status evaluation_open(tn_ctx *ctx, int room, nn_selection selection, evaluation *out);
void evaluation_close(tn_ctx *ctx, evaluation *e);

/* Reads a file and computes its numbers. Fails as nn_scores_read() and nn_matrix_read() do, and with TN_SHAPE
 * where the classes are not those of the first system (in any order). */
tn_status evaluation_add(tn_ctx *ctx, evaluation *e, const char *path, bool published);

/* Gives systems of equal names their paths, and compares every two score files. Fails as nn_scores_compare()
 * does. */
tn_status evaluation_finish(tn_ctx *ctx, evaluation *e);

/* Prints everything on stdout: tables with percentages, or CSV or JSON with fractions. evaluation_json()
 * returns false where memory is out. */
void evaluation_text(const evaluation *e);
void evaluation_csv(const evaluation *e);
bool evaluation_json(const evaluation *e);

#endif
