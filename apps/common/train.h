/* train: what the programs that train share: their options, settings, files and signals. */
#ifndef APPS_COMMON_TRAIN_H
#define APPS_COMMON_TRAIN_H

#include "apps/common/command.h"
#include "apps/common/report.h"
#include "nn/nn.h"

#include <signal.h>

/* Exit status of a run that was interrupted (SIGINT, SIGTERM) and has saved. */
enum { TRAIN_INTERRUPTED = 130 };

/* ---- options --------------------------------------------------------------------------------------- */

typedef struct train_args {
    const char *data, *out;                  /* --data, --out */
    const char *train_split, *val_split;     /* names of splits; "none": no validation */
    const char *test_split;                  /* --test-split; it may be missing */
    bool resume;                             /* --resume */
    int epochs, batch, patience;             /* of nn_train_options */
    const char *optimizer, *schedule;        /* names */
    double lr, momentum, weight_decay, clip; /* numbers of the optimiser */
    double step_every, step_factor;          /* of the step schedule */
    bool class_weights;                      /* weigh classes by how rare they are */
    int oof;                                 /* --oof: folds for out-of-fold scores; 0: none */
} train_args;

/* The defaults: these four, and those that are the same for every network. */
train_args train_defaults(int epochs, int batch, int patience, double lr);

/* Reads the command line of a program that trains: the options of train_args, then `count` of its own. `cmd`
 * has its name, usage and what it is about; the rest is filled in. Returns as cmd_parse() does. */
int train_parse(cmd_line *cmd, train_args *args, const cmd_option *own, size_t count, int argc, char **argv);

/* What the parsed options say; CMD_GO, or the exit status after a mistake that it has told. */
int train_check(const char *program, const train_args *args, nn_train_options *out);

/* ---- settings -------------------------------------------------------------------------------------- */

/* Resolved settings as texts. */
typedef struct train_settings {
    wt_meta pair[48];  /* key "set.NAME" */
    char key[48][40];  /* keys */
    char text[48][64]; /* values */
    int count;         /* of pairs */
    int fixed;         /* the first of them: those that must be equal to go on with a run */
} train_settings;

void train_set(train_settings *s, const char *name, const char *format, ...) TN_PRINTF(3, 4);

/* Those of train_args and the seed; `fixed` is set behind them. How many epochs there are at most, and the
 * patience, may change from run to run, unless the learning rate depends on it. */
void train_set_all(train_settings *s, const train_args *args, const nn_train_options *options, uint64_t seed);

/* How many clips of each class a split has, and how many were left out for what reason. */
typedef struct train_split {
    const char *name;   /* of the split */
    size_t *of_class;   /* clips of each class */
    size_t clips;       /* that are used */
    size_t left_out[8]; /* for each reason */
} train_split;

/* Saves settings, label counts and the data's hash as OUT/settings.json. `reason` names the first `reasons`
 * of left_out. */
tn_status train_save_settings(tn_ctx *ctx, const char *path, const char *program, const train_args *args,
                              const train_settings *s, char *const *class_name, int classes,
                              const train_split *split, int splits, const char *const *reason, int reasons);

/* ---- the run --------------------------------------------------------------------------------------- */

/* OUT/NAME in new memory; NULL: TN_NOMEM is recorded. */
char *train_path(tn_ctx *ctx, const char *out, const char *name);

/* Removes OUT/NAME of an earlier run, where it is there. TN_NOMEM. */
tn_status train_remove(tn_ctx *ctx, const char *out, const char *name);

/* Makes the folder, and those above it, where they are missing. TN_IO, TN_NOMEM. */
tn_status train_make_folder(tn_ctx *ctx, const char *path);

/* Writes a text as a file, whole or not at all. */
tn_status train_write_text(tn_ctx *ctx, const char *path, const char *text, size_t bytes);

/* Weights that are inverse to how many clips a class has, 1 on average over the clips. */
void train_balance(const size_t *of_class, int classes, size_t clips, float *weight);

/* What SIGINT and SIGTERM did before. */
typedef struct train_signals {
    struct sigaction interrupt; /* SIGINT */
    struct sigaction terminate; /* SIGTERM */
} train_signals;

/* From train_watch() to train_unwatch() these two signals only make train_interrupted() true, so that the
 * work at hand is finished and saved. */
void train_watch(train_signals *before);
void train_unwatch(const train_signals *before);
bool train_interrupted(void);

#endif
