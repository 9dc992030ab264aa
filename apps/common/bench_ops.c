/* Benchmarks of libtensor's ops by themselves, on the shapes that libtensor lists for them. */
#include "apps/common/bench.h"

#include <stdio.h>
#include <string.h>

/* One op on one of its cases. */
typedef struct op_case {
    int op;          /* for tn_op_name() */
    tn_case_set set; /* which cases */
    int i;           /* which of them */
    tn_graph *graph; /* owned */
    tn_plan *plan;   /* owned */
} op_case;

static tn_status forward(void *arg)
{
    const op_case *c = arg;
    tn_plan_forward(c->plan);
    return TN_OK;
}

static tn_status backward(void *arg)
{
    const op_case *c = arg;
    tn_plan_backward(c->plan);
    return TN_OK;
}

static tn_status open_case(tn_ctx *ctx, op_case *c, tn_mode mode)
{
    TN_TRY(tn_graph_create(ctx, &c->graph));
    return tn_case_plan(c->graph, c->op, c->set, c->i, mode, &c->plan);
}

static void close_case(op_case *c)
{
    tn_plan_destroy(c->plan);
    tn_graph_destroy(c->graph);
    c->plan = NULL;
    c->graph = NULL;
}

/* A row, and its share of the sums. */
static tn_status add_pass(tn_ctx *ctx, const op_case *c, const char *pass, bool back,
                          const bench_times *times, bench_result *out)
{
    const tn_step_info step = tn_plan_step(c->plan, 0);
    bench_row row = {.op = tn_op_name(c->op),
                     .pass = pass,
                     .seconds = times->seconds,
                     .cpu = times->cpu,
                     .flops = back ? step.backward_flops : step.flops,
                     .bytes = back ? step.backward_bytes : step.forward_bytes};
    snprintf(row.label, sizeof row.label, "%s", tn_case_label(c->op, c->set, c->i));
    bench_row_shapes(&row, &step);
    out->times.seconds += times->seconds;
    out->times.lowest += times->lowest;
    out->times.highest += times->highest;
    out->times.cpu += times->cpu;
    out->flops += row.flops;
    return bench_add_row(ctx, out, &row);
}

/* What is the identity there has nothing to be measured. */
static tn_status measure_answer(tn_ctx *ctx, const bench_options *o, op_case *c, bench_result *out)
{
    bench_times times;
    TN_TRY(open_case(ctx, c, TN_INFERENCE));
    if (tn_plan_get_info(c->plan).steps == 0)
        return TN_OK;
    TN_TRY(bench_time(ctx, o, forward, c, &times));
    return add_pass(ctx, c, "answer", false, &times, out);
}

static tn_status measure_training(tn_ctx *ctx, const bench_options *o, op_case *c, bench_result *out)
{
    TN_TRY(open_case(ctx, c, TN_TRAINING));
    bench_turn turn[2] = {{.run = forward, .arg = c}, {.run = backward, .arg = c}};
    TN_TRY(bench_time_turns(ctx, o, turn, 2));
    TN_TRY(add_pass(ctx, c, "forward", false, &turn[0].times, out));
    return add_pass(ctx, c, "backward", true, &turn[1].times, out);
}

static tn_status measure_case(tn_ctx *ctx, const bench_options *o, op_case *c, bench_result *out)
{
    tn_status status = measure_answer(ctx, o, c, out);
    close_case(c);
    if (status != TN_OK)
        return status;
    status = measure_training(ctx, o, c, out);
    close_case(c);
    return status;
}

tn_status bench_ops(tn_ctx *ctx, const bench_options *o, bench_result *out)
{
    op_case c = {.set = o->small ? TN_SMALL_CASES : TN_LAYERS};
    int cases = 0;
    for (c.op = 0; tn_op_name(c.op); c.op++) {
        if (o->op && strcmp(o->op, tn_op_name(c.op)) != 0)
            continue;
        for (c.i = 0; tn_case_label(c.op, c.set, c.i); c.i++) {
            TN_TRY(measure_case(ctx, o, &c, out));
            cases++;
        }
    }
    snprintf(out->work, sizeof out->work, "%s on %d %s%s, the sum of medians", o->op ? o->op : "every op",
             cases, o->small ? "small case" : "layer", cases == 1 ? "" : "s");
    return TN_OK;
}
