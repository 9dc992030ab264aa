#include "apps/common/bench.h"

#include "apps/common/report.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

static int ascending(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double processor_time(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static double median(double *x, int n)
{
    qsort(x, (size_t)n, sizeof *x, ascending);
    return (x[n / 2] + x[(n - 1) / 2]) / 2;
}

/* ---- time ------------------------------------------------------------------------------------------ */

/* The clock and the processor's, of run r of each turn: 2 * runs numbers a turn. */
static tn_status run_turns(const bench_options *o, bench_turn *turn, int turns, double *sample)
{
    for (int i = 0; i < turns; i++)
        TN_TRY(turn[i].run(turn[i].arg));
    for (int r = 0; r < o->runs; r++)
        for (int i = 0; i < turns; i++) {
            double *seconds = sample + (size_t)i * 2 * (size_t)o->runs + r;
            const double begin = report_now(), cpu_begin = processor_time();
            TN_TRY(turn[i].run(turn[i].arg));
            seconds[0] = report_now() - begin;
            seconds[o->runs] = processor_time() - cpu_begin;
        }
    return TN_OK;
}

tn_status bench_time_turns(tn_ctx *ctx, const bench_options *o, bench_turn *turn, int turns)
{
    double *sample = tn_alloc(ctx, 2 * (size_t)o->runs * (size_t)turns, sizeof *sample);
    if (!sample)
        return TN_NOMEM;
    const tn_status status = run_turns(o, turn, turns, sample);
    for (int i = 0; status == TN_OK && i < turns; i++) {
        double *seconds = sample + (size_t)i * 2 * (size_t)o->runs;
        turn[i].times.seconds = median(seconds, o->runs); /* sorts them */
        turn[i].times.lowest = seconds[0];
        turn[i].times.highest = seconds[o->runs - 1];
        turn[i].times.cpu = median(seconds + o->runs, o->runs);
    }
    tn_free(ctx, sample);
    return status;
}

tn_status bench_time(tn_ctx *ctx, const bench_options *o, bench_fn run, void *arg, bench_times *out)
{
    bench_turn turn = {.run = run, .arg = arg};
    TN_TRY(bench_time_turns(ctx, o, &turn, 1));
    *out = turn.times;
    return TN_OK;
}

/* ---- result ---------------------------------------------------------------------------------------- */

void bench_row_shapes(bench_row *row, const tn_step_info *step)
{
    char in[48], out[48];
    snprintf(row->shapes, sizeof row->shapes, "%s > %s", report_shape(&step->in, in, sizeof in),
             report_shape(&step->out, out, sizeof out));
}

tn_status bench_add_row(tn_ctx *ctx, bench_result *result, const bench_row *row)
{
    TN_TRY(tn_grow(ctx, &result->row, &result->capacity, result->rows + 1, sizeof *row));
    result->row[result->rows++] = *row;
    return TN_OK;
}

void bench_result_free(tn_ctx *ctx, bench_result *result)
{
    tn_free(ctx, result->row);
    result->row = NULL;
    result->rows = result->capacity = 0;
}

/* The most memory that the process ever held, in MB. */
static double peak_memory(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)usage.ru_maxrss * 1024 * 1e-6;
}

static json_t *row_objects(const bench_result *r, double peak)
{
    json_t *list = json_array();
    for (size_t i = 0; i < r->rows; i++) {
        const bench_row *row = &r->row[i];
        const double rate = row->flops / row->seconds;
        json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:s, s:f, s:f, s:f, s:f, s:f}", "op", row->op,
                                              "case", row->label, "pass", row->pass, "shapes", row->shapes,
                                              "seconds", row->seconds, "cpu_seconds", row->cpu, "gflops",
                                              rate * 1e-9, "peak_share", rate / peak, "gbytes_per_second",
                                              row->bytes / row->seconds * 1e-9));
    }
    return list;
}

static int print_json(const tn_ctx *ctx, const bench_options *o, const bench_result *r, double rate,
                      double peak)
{
    const bench_times *t = &r->times;
    json_t *object = json_pack("{s:s, s:s, s:f, s:f, s:f, s:f, s:i, s:f, s:f, s:f, s:f, s:i, s:s, s:s}",
                               "benchmark", o->cmd.operand[0], "work", r->work, "seconds", t->seconds,
                               "lowest", t->lowest, "highest", t->highest, "cpu_seconds", t->cpu, "runs",
                               o->runs, "gflops", rate * 1e-9, "peak_gflops", peak * 1e-9, "peak_share",
                               rate / peak, "peak_rss_mb", peak_memory(), "threads", tn_threads(ctx), "isa",
                               tn_isa(ctx), "precision", o->cmd.precision == TN_BF16 ? "bf16" : "fp32");
    if (object && r->rows > 0 && json_object_set_new(object, "cases", row_objects(r, peak)) != 0) {
        json_decref(object);
        object = NULL;
    }
    const int failed = object ? json_dumpf(object, stdout, JSON_REAL_PRECISION(6)) : -1;
    json_decref(object);
    putchar('\n');
    return failed ? CLI_FAILED : CLI_OK;
}

/* A core does some eight operations in the time in which a byte comes from memory. */
static bool bound_by_memory(const bench_row *row)
{
    enum { OPERATIONS_A_BYTE = 8 };
    return row->flops < OPERATIONS_A_BYTE * row->bytes;
}

static void print_rows(const bench_result *r, double peak)
{
    printf("  %-16s %-32s %-44s %-8s %10s %8s %6s %7s\n", "op", "case", "shapes", "pass", "ms", "GFLOP/s",
           "peak %", "GB/s");
    for (size_t i = 0; i < r->rows; i++) {
        const bench_row *row = &r->row[i];
        const double rate = row->flops / row->seconds;
        char flops[32] = "", share[32] = "", bytes[32] = "";
        if (row->flops > 0 && !bound_by_memory(row)) {
            snprintf(flops, sizeof flops, "%.1f", rate * 1e-9);
            snprintf(share, sizeof share, "%.1f", 100 * rate / peak);
        } else if (row->bytes > 0) {
            snprintf(bytes, sizeof bytes, "%.1f", row->bytes / row->seconds * 1e-9);
        }
        printf("  %-16s %-32s %-44s %-8s %10.4f %8s %6s %7s\n", row->op, row->label, row->shapes, row->pass,
               row->seconds * 1e3, flops, share, bytes);
    }
}

int bench_print(const tn_ctx *ctx, const bench_options *o, const bench_result *r)
{
    const bench_times *t = &r->times;
    const tn_precision precision = o->cmd.precision;
    const double core = tn_core_peak(ctx, precision), peak = core * tn_threads(ctx),
                 rate = r->flops / t->seconds;
    if (o->cmd.json)
        return print_json(ctx, o, r, rate, peak);
    printf("%s: %s, %d thread%s, %s%s\n", o->cmd.operand[0], r->work, tn_threads(ctx),
           tn_threads(ctx) == 1 ? "" : "s", tn_isa(ctx), precision == TN_BF16 ? ", bf16" : "");
    if (r->rows > 0)
        print_rows(r, peak);
    printf("  seconds      %.6g (median of %d; %.6g to %.6g)\n", t->seconds, o->runs, t->lowest, t->highest);
    printf("  processor    %.6g s, all threads\n", t->cpu);
    if (r->flops > 0)
        printf("  GFLOP/s      %.1f: %.1f GFLOP, %.1f %% of %d x %.1f GFLOP/s\n", rate * 1e-9,
               r->flops * 1e-9, 100 * rate / peak, tn_threads(ctx), core * 1e-9);
    printf("  peak memory  %.1f MB\n", peak_memory());
    return CLI_OK;
}
