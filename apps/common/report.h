/* report: where a plan's time goes (--profile), and how far a batch has come. */
#ifndef APPS_COMMON_REPORT_H
#define APPS_COMMON_REPORT_H

#include "libtensor/tensor.h"

/* Prints a table on stderr: for each step of the plan the operation with what was fused into it, its name,
 * the shapes that go in and out, the mean time of a forward run, GFLOP/s and the share of all steps' time;
 * and the sums. `title` names the network. Nothing where the plan has not run. */
void report_profile(const char *title, const tn_plan *plan);

/* The same of steps that were summed up elsewhere, with the mean times of their forward and backward runs. */
void report_training(const char *title, const tn_step_info *step, int count);

/* Writes sizes as "1x3x10x224x224", of bfloat16 "1x64x8x56x56:bf16", into `out` and returns it. */
char *report_shape(const tn_tensor *t, char *out, size_t room);

/* A bar on stderr for something that takes `total` steps, with the time that is left. */
typedef struct report_bar {
    bool shown;   /* stderr is a terminal and nobody asked for quiet */
    size_t total; /* steps */
    double begun; /* when it began, in report_now() */
} report_bar;

/* Seconds of a clock that only goes forward. */
double report_now(void);

report_bar report_bar_begin(size_t total, bool quiet);
void report_bar_show(const report_bar *bar, size_t done, const char *what); /* `what` is being worked on */
void report_bar_clear(const report_bar *bar); /* before other output, and at the end */

#endif
