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
} bench_options;

/* What came out. */
typedef struct bench_result {
    char work[160]; /* what was done, in words */
    double seconds; /* median of the runs */
    double lowest;  /* of them */
    double highest; /* same */
    double cpu;     /* median of the processor time of all threads, which other programs hardly lengthen */
    double flops;   /* of one run, a multiply-add counts 2; 0: not counted */
} bench_result;

/* One benchmark. */
typedef struct bench_work {
    const char *name;  /* the operand that chooses it */
    const char *about; /* one line for --help */
    tn_status (*run)(tn_ctx *ctx, const bench_options *o, bench_result *out);
} bench_work;

/* Calls run(arg) once, then o->runs times with a clock, and sets the times of `out`. Fails as `run` does. */
typedef tn_status (*bench_fn)(void *arg);
tn_status bench_time(tn_ctx *ctx, const bench_options *o, bench_fn run, void *arg, bench_result *out);

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

#endif
