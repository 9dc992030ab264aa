/* Ops by themselves, as benchmarks run them: every one can be planned and run on every case. */
#include "tests/common/network.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static int find_op(const char *name)
{
    int op = 0;
    while (tn_op_name(op) && strcmp(tn_op_name(op), name) != 0)
        op++;
    assert_non_null(tn_op_name(op));
    return op;
}

static void every_op_of_the_list_has_cases(void **state)
{
    (void)state;
    static const char *const names[] = {
#define TN_OP(name) #name,
#include "libtensor/ops.def"
#undef TN_OP
    };
    enum { OPS = sizeof names / sizeof *names };
    for (int op = 0; op < OPS; op++) {
        assert_string_equal(tn_op_name(op), names[op]);
        assert_non_null(tn_case_label(op, TN_LAYERS, 0));
        assert_non_null(tn_case_label(op, TN_SMALL_CASES, 0));
    }
    assert_null(tn_op_name(OPS));
    assert_null(tn_op_name(-1));
    assert_null(tn_case_label(OPS, TN_LAYERS, 0));
    assert_null(tn_case_label(0, TN_LAYERS, -1));
}

static void check_finite(const tn_tensor *t)
{
    assert_non_null(t->data);
    for (int64_t i = 0; i < tn_numel(t); i++)
        assert_true(isfinite(t->data[i]));
}

static bool all_zero(const tn_tensor *t)
{
    for (int64_t i = 0; i < tn_numel(t); i++)
        if (t->data[i] != 0)
            return false;
    return true;
}

/* An output of zeros would come from labels or lengths that leave everything out. */
static void try_case(tn_ctx *ctx, int op, int i, tn_mode mode)
{
    tn_graph *graph;
    tn_plan *plan;
    assert_ok(ctx, tn_graph_create(ctx, &graph));
    assert_ok(ctx, tn_case_plan(graph, op, TN_SMALL_CASES, i, mode, &plan));
    const bool identity = mode == TN_INFERENCE && strcmp(tn_op_name(op), "dropout") == 0;
    assert_int_equal(tn_plan_get_info(plan).steps, identity ? 0 : 1);
    tn_plan_forward(plan);
    const tn_tensor out = tn_plan_value(plan, tn_find(graph, "out"));
    check_finite(&out);
    assert_false(all_zero(&out));
    char name[32];
    snprintf(name, sizeof name, "%s.in0", tn_op_name(op));
    if (mode == TN_TRAINING) {
        tn_plan_backward(plan);
        const tn_tensor grad = tn_plan_grad(plan, tn_find(graph, name));
        check_finite(&grad);
        const tn_step_info step = tn_plan_step(plan, 0);
        assert_string_equal(step.op, tn_op_name(op));
        assert_true(step.runs == 1 && step.forward_bytes > 0 && step.backward_bytes > 0);
    }
    tn_plan_destroy(plan);
    tn_graph_destroy(graph);
}

static void every_op_runs_on_its_small_cases(void **state)
{
    (void)state;
    tn_ctx *ctx = test_ctx(2, NULL);
    for (int op = 0; tn_op_name(op); op++)
        for (int i = 0; tn_case_label(op, TN_SMALL_CASES, i); i++) {
            try_case(ctx, op, i, TN_INFERENCE);
            try_case(ctx, op, i, TN_TRAINING);
        }
    tn_ctx_destroy(ctx);
}

/* x (6, 5) times weight (3, 5) with bias (3), in floats. */
static void steps_count_their_work(void **state)
{
    (void)state;
    enum { X = 6 * 5, WEIGHT = 3 * 5, BIAS = 3, Y = 6 * 3 };
    tn_ctx *ctx = test_ctx(1, NULL);
    for (tn_mode mode = TN_INFERENCE; mode <= TN_TRAINING; mode++) {
        tn_graph *graph;
        tn_plan *plan;
        assert_ok(ctx, tn_graph_create(ctx, &graph));
        assert_ok(ctx, tn_case_plan(graph, find_op("linear"), TN_SMALL_CASES, 0, mode, &plan));
        const tn_step_info step = tn_plan_step(plan, 0);
        const bool training = mode == TN_TRAINING;
        assert_true(step.flops == 2 * X * 3);
        assert_true(step.backward_flops == (training ? 2 * step.flops : 0));
        assert_true(step.forward_bytes == 4 * (X + WEIGHT + BIAS + Y));
        /* dy and x are read, gradients of x, weight and bias written. */
        assert_true(step.backward_bytes == (training ? 4 * (Y + X + X + WEIGHT + BIAS) : 0));
        tn_plan_destroy(plan);
        tn_graph_destroy(graph);
    }
    tn_ctx_destroy(ctx);
}

/* The stem reads the clip: one product instead of two. ReLU has no product, and reads y. */
static void layers_at_the_input_want_no_gradient_of_it(void **state)
{
    (void)state;
    tn_ctx *ctx = test_ctx(1, NULL);
    tn_graph *graph;
    tn_plan *plan;
    assert_ok(ctx, tn_graph_create(ctx, &graph));
    assert_string_equal(tn_case_label(find_op("conv3d"), TN_LAYERS, 0), "stem");
    assert_ok(ctx, tn_case_plan(graph, find_op("conv3d"), TN_LAYERS, 0, TN_TRAINING, &plan));
    assert_true(tn_plan_step(plan, 0).backward_flops == tn_plan_step(plan, 0).flops);
    assert_null(tn_plan_grad(plan, tn_find(graph, "conv3d.in0")).data);
    assert_non_null(tn_plan_grad(plan, tn_find(graph, "conv3d.in1")).data);
    tn_plan_destroy(plan);
    tn_graph_destroy(graph);
    assert_ok(ctx, tn_graph_create(ctx, &graph));
    assert_ok(ctx, tn_case_plan(graph, find_op("relu"), TN_SMALL_CASES, 0, TN_TRAINING, &plan));
    assert_true(tn_plan_step(plan, 0).backward_flops == 0);
    assert_true(tn_plan_step(plan, 0).backward_bytes == 4 * 3 * 37);
    tn_plan_destroy(plan);
    tn_graph_destroy(graph);
    tn_ctx_destroy(ctx);
}

/* A plan in which an addition is fused reads what is added. */
static void a_fused_addition_is_counted(void **state)
{
    (void)state;
    net n = net_open_residual(1);
    tn_plan *plan = net_inference(&n, SIZE(1, 3, 4, 16, 16), 5);
    int with = 0;
    for (int i = 0; i < tn_plan_get_info(plan).steps; i++) {
        const tn_step_info step = tn_plan_step(plan, i);
        if (strcmp(step.op, "conv3d") != 0 || !strstr(step.name, "conv2"))
            continue;
        const bool added = strstr(step.fused, "add");
        const double x = (double)tn_numel(&step.in), y = (double)tn_numel(&step.out),
                     weight = (double)(step.in.size[1] * step.out.size[1]) * 27;
        with += added;
        assert_true(step.forward_bytes == 4 * (x + weight + y * (added ? 2 : 1)));
    }
    assert_true(with > 0);
    tn_plan_destroy(plan);
    net_close(&n);
}

static void what_there_is_not_is_refused(void **state)
{
    (void)state;
    net n = net_open(1);
    tn_plan *plan;
    ASSERT_ERROR(n.ctx, tn_case_plan(n.graph, 0, TN_LAYERS, 99, TN_INFERENCE, &plan), TN_RANGE, "case 99");
    assert_null(plan);
    ASSERT_ERROR(n.ctx, tn_case_plan(n.graph, 99, TN_LAYERS, 0, TN_INFERENCE, &plan), TN_RANGE, "op 99");
    assert_null(plan);
    net_close(&n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_op_of_the_list_has_cases),
        cmocka_unit_test(every_op_runs_on_its_small_cases),
        cmocka_unit_test(steps_count_their_work),
        cmocka_unit_test(layers_at_the_input_want_no_gradient_of_it),
        cmocka_unit_test(a_fused_addition_is_counted),
        cmocka_unit_test(what_there_is_not_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
