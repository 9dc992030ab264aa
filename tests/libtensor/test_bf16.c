/* bfloat16: every op that takes or gives it against its oracle, which plans use it, what is refused.
 *
 * The oracle is fed what is left of the values when they are rounded to bfloat16, so that what it may differ
 * by is sums in floats, rounding of the result and what the step states. All numbers of threads and a debug
 * plan (buffers full of NaN, canaries around them) must give the same bits.
 */
#include "libtensor/plan.h"
#include "tests/common/network.h"
#include "tests/ref/problem.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- numbers --------------------------------------------------------------------------------------- */

static float rounded(float f)
{
    return tn_from_bf16(tn_to_bf16(f));
}

static void rounding_is_to_the_nearest(void **state)
{
    (void)state;
    static const struct {
        float from, to;
    } numbers[] = {
        {1.0f, 1.0f},
        {-0.0f, -0.0f},
        {0x1.02p0f, 0x1.02p0f},
        {0x1.01p0f, 0x1.00p0f},  /* ties go to even */
        {0x1.03p0f, 0x1.04p0f},  /* same */
        {0x1.011p0f, 0x1.02p0f}, /* above the middle */
        {-0x1.ffp0f, -0x1.0p1f}, /* carries into the exponent */
        {0x1.fffffep127f, INFINITY},
        {-INFINITY, -INFINITY},
    };
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        const float got = rounded(numbers[i].from);
        assert_memory_equal(&got, &numbers[i].to, sizeof got);
    }
    const uint32_t quiet = 0x7f800001u; /* what tells it from infinity is in the lower half */
    float nan;
    memcpy(&nan, &quiet, sizeof nan);
    assert_true(isnan(rounded(nan)) && isnan(rounded(NAN)));
}

static void the_largest_may_be_no_number(void **state)
{
    (void)state;
    enum { N = 41, ROWS = 3 };
    test_need_bf16();
    tn_ctx *ctx = test_ctx(1, NULL);
    tn_bf16 row[ROWS][N], out[N + 1];
    for (int i = 0; i < N; i++) {
        for (int r = 0; r < ROWS; r++)
            row[r][i] = tn_to_bf16((float)((7 * i + 5 * r) % 11) - 20);
        row[i % ROWS][i] = i % 2 ? tn_to_bf16(NAN) : row[i % ROWS][i];
    }
    out[N] = 1234;
    ctx->bf16->largest(N, ROWS, (const void *[ROWS]){row[0], row[1], row[2]}, out);
    for (int i = 0; i < N; i++) {
        const float a = tn_from_bf16(row[0][i]), b = tn_from_bf16(row[1][i]), c = tn_from_bf16(row[2][i]);
        assert_true(i % 2 ? isnan(tn_from_bf16(out[i])) : tn_from_bf16(out[i]) == fmaxf(a, fmaxf(b, c)));
    }
    assert_int_equal(out[N], 1234);
    tn_ctx_destroy(ctx);
}

/* ---- ops against their oracles --------------------------------------------------------------------- */

/* How an op gets what it reads: as floats, or from a step that gives bfloat16. */
typedef enum feed { NONE, FLOATS, HALVES } feed;

/* One op, case and set of values. */
typedef struct trial {
    const oracle *oracle; /* under test */
    const tn_case *c;     /* shapes and attributes */
    int draw;             /* which values */
    feed x, residual;     /* a residual is added and followed by a ReLU */
    ref_call want;        /* what comes out */
    tn_tensor other;      /* the residual, row-major; data NULL without */
} trial;

static float value_of(const trial *t, int stream, int64_t i)
{
    const float u = tn_uniform(tn_hash(t->c->label) + (uint64_t)t->draw, (uint64_t)stream, (uint64_t)i);
    return rounded(t->draw == 0 || stream > 0 ? 2 * u - 1 : 12 * u - 8);
}

static void set_up(trial *t)
{
    t->want = (ref_call){.attr = t->c->attr};
    for (int i = 0; i < TN_MAX_IN; i++) {
        ref_tensor *in = &t->want.in[i];
        in->rank = (int)t->c->in[i][0];
        if (in->rank == 0)
            continue;
        memcpy(in->size, t->c->in[i] + 1, sizeof in->size);
        in->data = malloc((size_t)ref_numel(in) * sizeof *in->data);
        assert_non_null(in->data);
        for (int64_t e = 0; e < ref_numel(in); e++)
            in->data[e] = (double)value_of(t, i, e);
    }
    t->oracle->ref(&t->want);
    if (!t->residual)
        return;
    ref_tensor *out = &t->want.out[0];
    t->other = problem_new_tensor(out->rank, out->size);
    for (int64_t e = 0; e < ref_numel(out); e++) {
        t->other.data[e] = value_of(t, TN_MAX_IN, e);
        out->data[e] = fmax(0, out->data[e] + (double)t->other.data[e]);
    }
}

static void tear_down(trial *t)
{
    for (int i = 0; i < TN_MAX_IN; i++)
        free(t->want.in[i].data);
    ref_free(&t->want);
    free(t->other.data);
}

/* A convolution that passes its input on, from floats to bfloat16 or back. */
static tn_var *pass_on(tn_var *x, const char *layer, int64_t channels)
{
    char name[64];
    snprintf(name, sizeof name, "%s.weight", layer);
    tn_var *weight = tn_param(x->graph, name, 5, SIZE(channels, channels, 1, 1, 1));
    const tn_tensor value = tn_value(weight);
    for (int64_t i = 0; i < channels; i++)
        value.data[i * channels + i] = 1;
    return tn_conv3d(x, weight, NULL, (tn_conv3d_attr){{1, 1, 1}, {0, 0, 0}});
}

static tn_var *input(tn_graph *graph, const char *name, const char *layer, feed how, const ref_tensor *t)
{
    tn_var *x = tn_input(graph, name, t->rank, t->size);
    return how == HALVES ? pass_on(x, layer, t->size[1]) : x;
}

static void copy_in(tn_tensor to, const double *from)
{
    tn_tensor row_major = problem_new_tensor(to.rank, to.size);
    for (int64_t i = 0; i < tn_numel(&to); i++)
        row_major.data[i] = (float)from[i];
    tn_copy(&to, &row_major);
    free(row_major.data);
}

/* x -> [bfloat16] -> the op, + residual, ReLU -> [bfloat16] -> "y" */
static tn_graph *build(tn_ctx *ctx, const trial *t)
{
    tn_graph *graph;
    assert_ok(ctx, tn_graph_create(ctx, &graph));
    tn_var *in[TN_MAX_IN] = {NULL};
    for (int i = 0; i < TN_MAX_IN; i++) {
        const ref_tensor *from = &t->want.in[i];
        char name[32];
        snprintf(name, sizeof name, "op.in%d", i);
        if (from->data && t->oracle->op->role[i] == TN_ROLE_WEIGHT) {
            in[i] = tn_param(graph, name, from->rank, from->size);
            copy_in(tn_value(in[i]), from->data);
        } else if (from->data) {
            in[i] = input(graph, name, "before.x", t->x, from);
        }
    }
    tn_var *y = tn_apply(graph, t->oracle->op, in, t->c->attr);
    const ref_tensor *out = &t->want.out[0];
    if (t->residual)
        y = tn_relu(tn_add(y, input(graph, "residual", "before.residual", t->residual, out)));
    tn_output(out->rank == 5 ? pass_on(y, "after.y", out->size[1]) : y, "y");
    return graph;
}

static tn_plan *make_plan(tn_ctx *ctx, tn_graph *graph, const trial *t, bool debug)
{
    tn_input_shape shapes[2] = {{.name = "op.in0"}, {.name = "residual"}};
    memcpy(shapes[0].size, t->want.in[0].size, sizeof shapes[0].size);
    memcpy(shapes[1].size, t->want.out[0].size, sizeof shapes[1].size);
    const tn_plan_options options = {.precision = TN_BF16, .debug = debug};
    tn_plan *plan = NULL;
    assert_ok(ctx, tn_plan_create(graph, &options, shapes, t->residual ? 2 : 1, &plan));
    copy_in(tn_plan_value(plan, tn_find(graph, "op.in0")), t->want.in[0].data);
    if (t->residual) {
        const tn_tensor to = tn_plan_value(plan, tn_find(graph, "residual"));
        tn_copy(&to, &t->other);
    }
    return plan;
}

/* The step under test, the only one with its node. */
static const tn_step *step_of(const tn_plan *plan, const trial *t)
{
    const tn_step *found = NULL;
    for (int s = 0; s < plan->step_count; s++) {
        const tn_step *step = &plan->steps[s]->step;
        if (step->node->op == t->oracle->op && strncmp(step->node->name, "before", 6) != 0 &&
            strncmp(step->node->name, "after", 5) != 0)
            found = step;
    }
    assert_non_null(found);
    return found;
}

/* That what could be bfloat16 is. Pairs must not lie across pixels. */
static void check_precisions(const trial *t, const tn_step *step)
{
    const bool conv = t->oracle->op == &tn_op_conv3d;
    const bool even_in = t->want.in[0].size[1] % 2 == 0, even_out = t->want.out[0].size[1] % 2 == 0;
    const bool in = t->x == HALVES && (even_in || !conv);
    const bool out = t->want.out[0].rank == 5 && even_out && (conv || in);
    assert_int_equal(step->in[0].precision, in ? TN_BF16 : TN_FP32);
    assert_int_equal(step->out[0].precision, out ? TN_BF16 : TN_FP32);
    assert_int_equal(step->epilogue.residual.precision, t->residual == HALVES ? TN_BF16 : TN_FP32);
    assert_true(step->epilogue.add == (t->residual != NONE) && step->epilogue.relu == step->epilogue.add);
}

static int compare(const trial *t, const tn_tensor *got, double bound, const tn_ctx *ctx)
{
    const ref_tensor *want = &t->want.out[0];
    double largest = 0, worst = 0;
    assert_int_equal(tn_numel(got), ref_numel(want));
    for (int64_t i = 0; i < ref_numel(want); i++) {
        largest = fmax(largest, fabs(want->data[i]));
        const double off = fabs((double)got->data[i] - want->data[i]);
        worst = off >= worst ? off : isnan(off) ? INFINITY : worst;
    }
    if (worst <= bound * largest)
        return 0;
    print_error("%s, case %s, draw %d, x %d, residual %d, %d threads: off by %g of the largest, bound %g\n",
                t->oracle->op->name, t->c->label, t->draw, t->x, t->residual, tn_threads(ctx),
                worst / largest, bound);
    return 1;
}

/* Returns y, row-major, after comparing it with the oracle's. */
static tn_tensor run(tn_ctx *ctx, const trial *t, bool debug, int *failures)
{
    tn_graph *graph = build(ctx, t);
    tn_plan *plan = make_plan(ctx, graph, t, debug);
    const tn_step *step = step_of(plan, t);
    check_precisions(t, step);
    for (int round = 0; round < 2; round++)
        tn_plan_forward(plan);
    assert_ok(ctx, tn_plan_check(plan));
    const tn_tensor value = tn_plan_value(plan, tn_find(graph, "y"));
    tn_tensor y = problem_new_tensor(value.rank, value.size);
    tn_copy(&y, &value);
    /* Half a unit in the last place where the result is bfloat16. */
    const double stored = step->out[0].precision == TN_BF16 ? 0x1p-8 : 0;
    *failures += compare(t, &y, fmax(step->error, 1e-5) + stored, ctx);
    tn_plan_destroy(plan);
    tn_graph_destroy(graph);
    return y;
}

static int try_trial(trial *t)
{
    int failures = 0;
    tn_tensor first = {0};
    set_up(t);
    for (int threads = 1; threads <= (test_quick() ? 2 : 3); threads++) {
        tn_ctx *ctx = test_ctx(threads, NULL);
        tn_tensor y = run(ctx, t, false, &failures), debug = run(ctx, t, true, &failures);
        const size_t bytes = (size_t)tn_numel(&y) * sizeof *y.data;
        assert_memory_equal(debug.data, y.data, bytes);
        if (first.data)
            assert_memory_equal(y.data, first.data, bytes);
        free(debug.data);
        if (first.data)
            free(y.data);
        else
            first = y;
        tn_ctx_destroy(ctx);
    }
    free(first.data);
    tear_down(t);
    return failures;
}

/* Cases on which each way of convolution gets bfloat16, or gives it where it gets floats. */
static const tn_conv3d_attr plain = {{1, 1, 1}, {0, 0, 0}}, same3 = {{1, 1, 1}, {1, 1, 1}},
                            flat = {{1, 1, 1}, {0, 1, 1}}, thin = {{2, 1, 1}, {1, 0, 2}},
                            stem = {{1, 2, 2}, {3, 3, 3}}, dense = {{1, 2, 1}, {3, 3, 2}},
                            bare = {{1, 2, 2}, {3, 2, 0}};
static const tn_case convolutions[] = {
    {"1x1x1 of a page of pairs", {{5, 1, 2048, 1, 2, 2}, {5, 34, 2048, 1, 1, 1}}, &plain, false},
    {"short rows", {{5, 2, 6, 2, 9, 8}, {5, 66, 6, 3, 3, 3}, {1, 66}}, &same3, false},
    {"tiles of 2", {{5, 1, 62, 3, 8, 9}, {5, 66, 62, 3, 3, 3}, {1, 66}}, &same3, false},
    {"tiles of 2, stride 2 along T", {{5, 2, 64, 5, 7, 8}, {5, 65, 64, 3, 3, 3}}, &thin, false},
    {"tiles of 4", {{5, 1, 18, 5, 25, 30}, {5, 34, 18, 3, 3, 3}, {1, 34}}, &same3, false},
    {"tiles of 4, stride 2 along T", {{5, 1, 32, 7, 29, 27}, {5, 17, 32, 3, 3, 3}}, &thin, false},
    {"tiles of 4, frames apart", {{5, 1, 50, 9, 16, 19}, {5, 66, 50, 1, 3, 3}, {1, 66}}, &flat, false},
    {"tiles of floats", {{5, 1, 17, 3, 12, 11}, {5, 38, 17, 3, 3, 3}, {1, 38}}, &same3, false},
    {"stem", {{5, 1, 3, 6, 15, 16}, {5, 34, 3, 7, 7, 7}, {1, 34}}, &stem, false},
    {"stem of several tasks and blocks", {{5, 2, 3, 8, 18, 62}, {5, 18, 3, 7, 7, 7}}, &stem, false},
    {"stem of even windows", {{5, 1, 2, 6, 15, 9}, {5, 16, 2, 7, 7, 5}, {1, 16}}, &dense, false},
    {"stem of odd windows to the end", {{5, 1, 3, 6, 15, 13}, {5, 16, 3, 7, 7, 5}}, &bare, false},
    {"stem of odd strides", {{5, 1, 3, 6, 15, 9}, {5, 16, 3, 7, 7, 5}}, &dense, false},
    {0},
};

/* More rows in a window than are compared at once. */
static const tn_pool3d_attr tall = {{3, 7, 2}, {1, 2, 1}, {1, 3, 1}};
static const tn_case pools[] = {
    {"windows of 21 rows", {{5, 1, 6, 4, 9, 5}}, &tall, false},
    {0},
};

static int try_cases(const oracle *of, const tn_case *cases)
{
    static const feed feeds[][2] = {
        {HALVES, NONE}, {FLOATS, NONE}, {HALVES, HALVES}, {FLOATS, HALVES}, {HALVES, FLOATS}};
    int failures = 0;
    for (const tn_case *c = cases; c->label; c++)
        for (int draw = 0; draw < PROBLEM_DRAWS; draw++)
            for (size_t f = 0; f < sizeof feeds / sizeof *feeds; f++) {
                trial t = {.oracle = of, .c = c, .draw = draw, .x = feeds[f][0], .residual = feeds[f][1]};
                /* Only what has an epilogue takes a residual in. */
                if (!t.residual || of->op->absorb)
                    failures += try_trial(&t);
            }
    return failures;
}

static void op_agrees_with_its_oracle(void **state)
{
    const oracle *of = *state;
    test_need_bf16();
    assert_int_equal(try_cases(of, of->op->cases), 0);
    if (of->op == &tn_op_conv3d)
        assert_int_equal(try_cases(of, convolutions), 0);
    if (of->op == &tn_op_max_pool3d)
        assert_int_equal(try_cases(of, pools), 0);
}

/* Which stems multiply bfloat16 shows in how far they may be off. */
static void stems_of_whole_pairs_multiply_bf16(void **state)
{
    (void)state;
    static const oracle of = {&tn_op_conv3d, ref_conv3d};
    static const struct {
        const char *label;
        double error;
    } want[] = {{"stem", 0x1p-6},
                {"stem of several tasks and blocks", 0x1p-6},
                {"stem of even windows", 0x1p-6},
                {"stem of odd windows to the end", 0x1p-6},
                {"stem of odd strides", 0}};
    test_need_bf16();
    tn_ctx *ctx = test_ctx(1, NULL);
    size_t found = 0;
    for (const tn_case *c = convolutions; c->label; c++)
        for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
            if (strcmp(c->label, want[i].label) != 0)
                continue;
            trial t = {.oracle = &of, .c = c, .x = FLOATS};
            set_up(&t);
            tn_graph *graph = build(ctx, &t);
            tn_plan *plan = make_plan(ctx, graph, &t, false);
            assert_true(step_of(plan, &t)->error == want[i].error);
            tn_plan_destroy(plan);
            tn_graph_destroy(graph);
            tear_down(&t);
            found++;
        }
    assert_int_equal(found, sizeof want / sizeof *want);
    tn_ctx_destroy(ctx);
}

/* ---- plans ----------------------------------------------------------------------------------------- */

static tn_status plan_of(net *n, tn_plan_options options, tn_plan **plan)
{
    options.precision = TN_BF16;
    return net_plan(n, options, SIZE(2, 3, 5, 20, 22), 5, plan);
}

/* "layer1.0.conv2 bf16+fp32>bf16" for each step: its first input, residual and output. */
static void describe(const tn_plan *plan, char *text, size_t room)
{
    static const char *const names[] = {"fp32", "bf16"};
    size_t used = 0;
    text[0] = '\0';
    for (int s = 0; s < plan->step_count; s++) {
        const tn_step *step = &plan->steps[s]->step;
        const char *residual = step->epilogue.add ? names[step->epilogue.residual.precision] : "";
        used += (size_t)snprintf(text + used, room - used, "%s %s%s%s>%s\n", step->node->name,
                                 names[step->in[0].precision], *residual ? "+" : "", residual,
                                 names[step->out[0].precision]);
        assert_true(used < room);
    }
}

static void what_convolutions_and_pools_pass_on_is_bf16(void **state)
{
    (void)state;
    char text[1024];
    test_need_bf16();
    net n = net_open_residual(1);
    tn_plan *plan = NULL;
    assert_ok(n.ctx, plan_of(&n, (tn_plan_options){0}, &plan));
    describe(plan, text, sizeof text);
    assert_string_equal(text, "conv1 fp32>bf16\n"
                              "max_pool3d_3 bf16>bf16\n"
                              "layer1.0.conv1 bf16>bf16\n"
                              "layer1.0.conv2 bf16+bf16>bf16\n"
                              "layer2.0.conv1 bf16>bf16\n"
                              "layer2.0.downsample.0 bf16>bf16\n"
                              "layer2.0.conv2 bf16+bf16>bf16\n"
                              "global_avg_pool_20 bf16>fp32\n"
                              "fc fp32>fp32\n");
    tn_plan *floats = net_inference(&n, SIZE(2, 3, 5, 20, 22), 5);
    const tn_plan_info less = tn_plan_get_info(plan), more = tn_plan_get_info(floats);
    assert_true(less.slab_bytes < more.slab_bytes && less.packed_bytes < more.packed_bytes);
    assert_true(less.flops == more.flops);
    net_randomise_x(plan);
    net_randomise_x(floats);
    tn_plan_forward(plan);
    tn_plan_forward(floats);
    net_assert_close(net_value(plan, "logits"), net_value(floats, "logits"), 10, 0.02);
    tn_plan_destroy(plan);
    tn_plan_destroy(floats);
    net_close(&n);
}

static void a_value_that_is_not_finite_is_found(void **state)
{
    (void)state;
    test_need_bf16();
    net n = net_open_residual(1);
    tn_plan *plan = NULL;
    assert_ok(n.ctx, plan_of(&n, (tn_plan_options){.debug = true}, &plan));
    net_randomise_x(plan);
    assert_int_equal(tn_plan_find_not_finite(plan), -1);
    tn_tensor x = tn_plan_value(plan, tn_find(n.graph, "x"));
    x.data[0] = NAN;
    assert_int_equal(tn_plan_find_not_finite(plan), 0);
    assert_int_equal(tn_plan_step(plan, 0).out.precision, TN_BF16);
    tn_plan_forward(plan);
    const tn_tensor logits = tn_plan_value(plan, tn_find(n.graph, "logits"));
    assert_true(isnan(logits.data[0]));
    tn_plan_destroy(plan);
    net_close(&n);
}

static void training_and_other_instruction_sets_are_refused(void **state)
{
    (void)state;
    tn_plan *plan = NULL;
    net n = net_open_residual(1);
    const tn_plan_options training = {.mode = TN_TRAINING, .loss = tn_find(n.graph, "logits")};
    ASSERT_ERROR(n.ctx, plan_of(&n, training, &plan), TN_UNSUPPORTED, "bfloat16", "inference", "training");
    assert_null(plan);
    net_close(&n);
    for (int i = 0; tn_isa_list(i); i++) {
        tn_ctx *ctx = test_ctx(1, tn_isa_list(i));
        net other = {.ctx = ctx};
        assert_ok(ctx, tn_graph_create(ctx, &other.graph));
        net_residual(other.graph);
        assert_ok(ctx, net_fill(other.graph));
        if (tn_has_precision(ctx, TN_BF16)) {
            assert_string_equal(tn_isa(ctx), "avx512");
            assert_true(tn_core_peak(ctx, TN_BF16) > 1.4 * tn_core_peak(ctx, TN_FP32));
        } else {
            ASSERT_ERROR(ctx, plan_of(&other, (tn_plan_options){0}, &plan), TN_UNSUPPORTED, "AVX512_BF16",
                         tn_isa(ctx));
            assert_null(plan);
            assert_true(tn_core_peak(ctx, TN_BF16) == 0);
        }
        assert_true(tn_has_precision(ctx, TN_FP32) && tn_core_peak(ctx, TN_FP32) > 0);
        net_close(&other);
    }
}

int main(void)
{
#define TN_OP(name)                                                                                          \
    {"bf16 " #name, op_agrees_with_its_oracle, NULL, NULL, &(oracle){&tn_op_##name, ref_##name}},
    const struct CMUnitTest all[] = {
#include "libtensor/ops.def"
    };
#undef TN_OP
    struct CMUnitTest tests[sizeof all / sizeof *all + 6] = {
        cmocka_unit_test(rounding_is_to_the_nearest),
        cmocka_unit_test(the_largest_may_be_no_number),
        cmocka_unit_test(stems_of_whole_pairs_multiply_bf16),
        cmocka_unit_test(what_convolutions_and_pools_pass_on_is_bf16),
        cmocka_unit_test(a_value_that_is_not_finite_is_found),
        cmocka_unit_test(training_and_other_instruction_sets_are_refused),
    };
    size_t count = 6;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        const oracle *of = all[i].initial_state;
        if (of->op->takes_bf16)
            tests[count++] = all[i];
    }
    return _cmocka_run_group_tests("bf16", tests, count, NULL, NULL);
}
