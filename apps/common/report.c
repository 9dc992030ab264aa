#include "apps/common/report.h"

#include "weights/weights.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* ---- profile --------------------------------------------------------------------------------------- */

char *report_shape(const tn_tensor *t, char *out, size_t room)
{
    size_t used = 0;
    out[0] = '\0';
    for (int i = 0; i < t->rank && used < room; i++)
        used += (size_t)snprintf(out + used, room - used, "%s%lld", i ? "x" : "", (long long)t->size[i]);
    if (t->precision == TN_BF16 && used < room)
        snprintf(out + used, room - used, ":bf16");
    return out;
}

static double seconds_per_run(const tn_step_info *step)
{
    return step->runs > 0 ? step->forward_seconds / (double)step->runs : 0;
}

static void print_step(const char *op, const char *name, const char *shapes, double seconds, double flops,
                       double total)
{
    char rate[32] = "";
    if (flops > 0 && seconds > 0)
        snprintf(rate, sizeof rate, "%.1f", flops / seconds * 1e-9);
    fprintf(stderr, "  %-34s %-28s %-40s %9.3f %8s %5.1f\n", op, name, shapes, seconds * 1e3, rate,
            total > 0 ? 100 * seconds / total : 0);
}

void report_profile(const char *title, const tn_plan *plan)
{
    const tn_plan_info info = tn_plan_get_info(plan);
    double total = 0;
    int64_t runs = 0;
    for (int i = 0; i < info.steps; i++) {
        const tn_step_info step = tn_plan_step(plan, i);
        total += seconds_per_run(&step);
        runs = step.runs > runs ? step.runs : runs;
    }
    if (runs == 0)
        return;
    fprintf(stderr, "%s: %.2f GFLOP, %.1f MB of buffers, %.1f MB of packed weights, mean of %lld run%s\n",
            title, info.flops * 1e-9, (double)info.slab_bytes * 1e-6, (double)info.packed_bytes * 1e-6,
            (long long)runs, runs == 1 ? "" : "s");
    fprintf(stderr, "  %-34s %-28s %-40s %9s %8s %5s\n", "op", "name", "shapes", "ms", "GFLOP/s", "%");
    double flops = 0;
    for (int i = 0; i < info.steps; i++) {
        const tn_step_info step = tn_plan_step(plan, i);
        char op[64], in[64], out[64], shapes[160];
        snprintf(op, sizeof op, "%s%s", step.op, step.fused);
        snprintf(shapes, sizeof shapes, "%s > %s", report_shape(&step.in, in, sizeof in),
                 report_shape(&step.out, out, sizeof out));
        print_step(op, step.name, shapes, seconds_per_run(&step), step.flops, total);
        flops += step.flops;
    }
    print_step("all", "", "", total, flops, total);
}

static void print_trained(const char *op, const char *name, const char *shapes, const double seconds[2],
                          double total)
{
    fprintf(stderr, "  %-34s %-28s %-40s %9.3f %9.3f %5.1f\n", op, name, shapes, seconds[0] * 1e3,
            seconds[1] * 1e3, total > 0 ? 100 * (seconds[0] + seconds[1]) / total : 0);
}

void report_training(const char *title, const tn_step_info *step, int count)
{
    double all[2] = {0, 0}, flops = 0;
    int64_t runs = 0;
    for (int i = 0; i < count; i++)
        runs = step[i].runs > runs ? step[i].runs : runs;
    if (runs == 0)
        return;
    for (int i = 0; i < count; i++) {
        all[0] += step[i].forward_seconds / (double)runs;
        all[1] += step[i].backward_seconds / (double)runs;
        flops += step[i].flops;
    }
    fprintf(stderr, "%s: %.2f GFLOP forward, mean of %lld training step%s, shapes of the last\n", title,
            flops * 1e-9, (long long)runs, runs == 1 ? "" : "s");
    fprintf(stderr, "  %-34s %-28s %-40s %9s %9s %5s\n", "op", "name", "shapes", "ms", "back ms", "%");
    for (int i = 0; i < count; i++) {
        char op[64], in[64], out[64], shapes[160];
        const double seconds[2] = {step[i].forward_seconds / (double)runs,
                                   step[i].backward_seconds / (double)runs};
        snprintf(shapes, sizeof shapes, "%s > %s", report_shape(&step[i].in, in, sizeof in),
                 report_shape(&step[i].out, out, sizeof out));
        snprintf(op, sizeof op, "%s%s", step[i].op, step[i].fused);
        print_trained(op, step[i].name, shapes, seconds, all[0] + all[1]);
    }
    print_trained("all", "", "", all, all[0] + all[1]);
}

/* ---- progress -------------------------------------------------------------------------------------- */

double report_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

report_bar report_bar_begin(size_t total, bool quiet)
{
    return (report_bar){
        .shown = !quiet && total > 1 && isatty(STDERR_FILENO) == 1, .total = total, .begun = report_now()};
}

void report_bar_show(const report_bar *bar, size_t done, const char *what)
{
    enum { CELLS = 24 };
    if (!bar->shown)
        return;
    char cells[CELLS + 1], left[32] = "", name[40];
    const size_t full = done * CELLS / bar->total;
    for (size_t i = 0; i < CELLS; i++)
        cells[i] = i < full ? '#' : '.';
    cells[CELLS] = '\0';
    if (done > 0) {
        const double seconds = (report_now() - bar->begun) / (double)done * (double)(bar->total - done);
        snprintf(left, sizeof left, ", %d:%02d left", (int)seconds / 60, (int)seconds % 60);
    }
    fprintf(stderr, "\r\033[K[%s] %zu of %zu%s  %s", cells, done, bar->total, left,
            wt_printable(what, name, sizeof name));
    fflush(stderr);
}

void report_bar_clear(const report_bar *bar)
{
    if (bar->shown) {
        fputs("\r\033[K", stderr);
        fflush(stderr);
    }
}
