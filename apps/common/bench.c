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

tn_status bench_time(tn_ctx *ctx, const bench_options *o, bench_fn run, void *arg, bench_result *out)
{
    TN_TRY(run(arg));
    double *seconds = tn_alloc(ctx, 2 * (size_t)o->runs, sizeof *seconds);
    if (!seconds)
        return TN_NOMEM;
    double *cpu = seconds + o->runs;
    tn_status status = TN_OK;
    for (int i = 0; status == TN_OK && i < o->runs; i++) {
        const double begin = report_now(), cpu_begin = processor_time();
        status = run(arg);
        seconds[i] = report_now() - begin;
        cpu[i] = processor_time() - cpu_begin;
    }
    if (status == TN_OK) {
        out->seconds = median(seconds, o->runs);
        out->lowest = seconds[0];
        out->highest = seconds[o->runs - 1];
        out->cpu = median(cpu, o->runs);
    }
    tn_free(ctx, seconds);
    return status;
}

/* The most memory that the process ever held, in MB. */
static double peak_memory(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)usage.ru_maxrss * 1024 * 1e-6;
}

static int print_json(const tn_ctx *ctx, const bench_options *o, const bench_result *r, double rate,
                      double peak)
{
    json_t *object = json_pack(
        "{s:s, s:s, s:f, s:f, s:f, s:f, s:i, s:f, s:f, s:f, s:f, s:i, s:s}", "benchmark", o->cmd.operand[0],
        "work", r->work, "seconds", r->seconds, "lowest", r->lowest, "highest", r->highest, "cpu_seconds",
        r->cpu, "runs", o->runs, "gflops", rate * 1e-9, "peak_gflops", peak * 1e-9, "peak_share", rate / peak,
        "peak_rss_mb", peak_memory(), "threads", tn_threads(ctx), "isa", tn_isa(ctx));
    const int failed = object ? json_dumpf(object, stdout, JSON_REAL_PRECISION(6)) : -1;
    json_decref(object);
    putchar('\n');
    return failed ? CLI_FAILED : CLI_OK;
}

int bench_print(const tn_ctx *ctx, const bench_options *o, const bench_result *r)
{
    const double core = tn_core_peak(ctx), peak = core * tn_threads(ctx), rate = r->flops / r->seconds;
    if (o->cmd.json)
        return print_json(ctx, o, r, rate, peak);
    printf("%s: %s, %d thread%s, %s\n", o->cmd.operand[0], r->work, tn_threads(ctx),
           tn_threads(ctx) == 1 ? "" : "s", tn_isa(ctx));
    printf("  seconds      %.6g (median of %d; %.6g to %.6g)\n", r->seconds, o->runs, r->lowest, r->highest);
    printf("  processor    %.6g s, all threads\n", r->cpu);
    if (r->flops > 0)
        printf("  GFLOP/s      %.1f: %.1f GFLOP, %.1f %% of %d x %.1f GFLOP/s\n", rate * 1e-9,
               r->flops * 1e-9, 100 * rate / peak, tn_threads(ctx), core * 1e-9);
    printf("  peak memory  %.1f MB\n", peak_memory());
    return CLI_OK;
}
