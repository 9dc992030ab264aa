/* bench: what the benchmarks of bin/bench share. Each is one function, which prepares its work, has it timed
 * and says how much it was; bench.c of apps has the table of them. */
#ifndef APPS_COMMON_BENCH_H
#define APPS_COMMON_BENCH_H

#include "apps/common/command.h"

/* What to measure. */
typedef struct bench_options {
    cmd_line cmd;   /* common options; the operand names the benchmark */
    int runs;       /* --runs: timed ones, after one that is not */
    int batch;      /* --batch; 0: the benchmark's own */
    int frames;     /* --frames of a clip */
    int windows;    /* --windows of sound in a clip */
    int rate;       /* --rate of the sound in Hz */
    double seconds; /* --seconds of sound */
    int rows;       /* --rows of scores */
    int size;       /* --size of square matrices */
    const char *op; /* --op; NULL: all */
    bool small;     /* --small: the cases of tests, not the networks' layers */
} bench_options;

/* How long it took. */
typedef struct bench_times {
    double seconds; /* median of the runs */
    double lowest;  /* of them */
    double highest; /* same */
    double cpu;     /* median of the processor time of all threads, which other programs hardly lengthen */
} bench_times;

/* One of several things that a benchmark measures. */
typedef struct bench_row {
    const char *op;   /* what computes: "conv3d", "OpenBLAS"; lives longer than the row */
    char label[48];   /* "layer1 3x3x3" */
    char shapes[96];  /* of the first input and of the output: "1x64x8x56x56 > 1x64x8x56x56" */
    const char *pass; /* "answer", "forward" or "backward" */
    double seconds;   /* median */
    double cpu;       /* median of the processor time of all threads */
    double flops;     /* of one run; 0: not counted */
    double bytes;     /* read and written at least; 0: not counted */
} bench_row;

/* What came out. */
typedef struct bench_result {
    char work[160];    /* what was done, in words */
    bench_times times; /* of all of it */
    double flops;      /* of one run, a multiply-add counts 2; 0: not counted */
    bench_row *row;    /* details; owned, see bench_result_free() */
    size_t rows;       /* of them */
    size_t capacity;   /* of `row` */
} bench_result;

/* Writes the shapes of a step's first input and output into the row. */
void bench_row_shapes(bench_row *row, const tn_step_info *step);

/* A copy of `row` behind the others. TN_NOMEM. */
tn_status bench_add_row(tn_ctx *ctx, bench_result *result, const bench_row *row);
void bench_result_free(tn_ctx *ctx, bench_result *result);

/* One benchmark. */
typedef struct bench_work {
    const char *name;  /* the operand that chooses it */
    const char *about; /* one line for --help */
    tn_status (*run)(tn_ctx *ctx, const bench_options *o, bench_result *out);
} bench_work;

typedef tn_status (*bench_fn)(void *arg);

/* What is timed in turns with others. */
typedef struct bench_turn {
    bench_fn run;      /* called with arg */
    void *arg;         /* handed to it */
    bench_times times; /* set by bench_time_turns() */
} bench_turn;

/* Calls each in order once, then o->runs times with a clock, and sets the times of each. Fails as the first
 * `run` that does, and with TN_NOMEM. */
tn_status bench_time_turns(tn_ctx *ctx, const bench_options *o, bench_turn *turn, int turns);

/* The same for one alone. */
tn_status bench_time(tn_ctx *ctx, const bench_options *o, bench_fn run, void *arg, bench_times *out);

/* Prints it to stdout as text, or as one JSON object with --json. Returns an exit status. */
int bench_print(const tn_ctx *ctx, const bench_options *o, const bench_result *result);

/* bench_video.c */
tn_status bench_video(tn_ctx *ctx, const bench_options *o, bench_result *out);
tn_status bench_fine_tune(tn_ctx *ctx, const bench_options *o, bench_result *out);
tn_status bench_train_head(tn_ctx *ctx, const bench_options *o, bench_result *out);

/* bench_audio.c */
tn_status bench_audio(tn_ctx *ctx, const bench_options *o, bench_result *out);
tn_status bench_train_audio(tn_ctx *ctx, const bench_options *o, bench_result *out);
tn_status bench_features(tn_ctx *ctx, const bench_options *o, bench_result *out);

/* bench_svm.c */
tn_status bench_grid(tn_ctx *ctx, const bench_options *o, bench_result *out);
tn_status bench_svm(tn_ctx *ctx, const bench_options *o, bench_result *out);

/* bench_ops.c, bench_gemm.c */
tn_status bench_ops(tn_ctx *ctx, const bench_options *o, bench_result *out);
tn_status bench_gemm(tn_ctx *ctx, const bench_options *o, bench_result *out);

#endif
