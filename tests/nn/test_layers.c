/* The layers that ops are benchmarked on are those of the two networks at full size. */
#include "nn/nn.h"
#include "tests/common/testing.h"

#include <stdio.h>
#include <string.h>

enum { MAX_LAYERS = 64 };

/* What is compared of a layer. */
typedef struct shape {
    const char *op; /* name */
    tn_tensor in;   /* first input */
    tn_tensor out;  /* first output */
    double flops;   /* forward: tells kernels of different sizes apart */
} shape;

typedef struct shapes {
    shape layer[MAX_LAYERS]; /* different ones */
    int count;               /* of them */
} shapes;

static bool same_size(const tn_tensor *a, const tn_tensor *b)
{
    return a->rank == b->rank && memcmp(a->size, b->size, (size_t)a->rank * sizeof *a->size) == 0;
}

static bool has(const shapes *s, const shape *x)
{
    for (int i = 0; i < s->count; i++)
        if (strcmp(s->layer[i].op, x->op) == 0 && same_size(&s->layer[i].in, &x->in) &&
            same_size(&s->layer[i].out, &x->out) && s->layer[i].flops == x->flops)
            return true;
    return false;
}

static void add_step(shapes *s, const char *op, const tn_step_info *step)
{
    const shape x = {op, step->in, step->out, step->flops};
    if (has(s, &x))
        return;
    assert_true(s->count < MAX_LAYERS);
    s->layer[s->count++] = x;
}

/* Those of an inference plan of `graph` that have this op. */
static void add_network(tn_ctx *ctx, tn_graph *graph, const tn_input_shape *inputs, int count, const char *op,
                        shapes *out)
{
    tn_plan *plan;
    const tn_plan_options options = {.mode = TN_INFERENCE};
    for (int i = 0; i < tn_param_count(graph); i++)
        assert_non_null(tn_value(tn_param_at(graph, i)).data);
    assert_ok(ctx, tn_plan_create(graph, &options, inputs, count, &plan));
    for (int i = 0; i < tn_plan_get_info(plan).steps; i++) {
        const tn_step_info step = tn_plan_step(plan, i);
        if (strcmp(step.op, op) == 0)
            add_step(out, op, &step);
    }
    tn_plan_destroy(plan);
}

static void add_video(tn_ctx *ctx, const char *op, shapes *out)
{
    const nn_video_config config = nn_video_defaults(305);
    tn_graph *graph;
    assert_ok(ctx, tn_graph_create(ctx, &graph));
    const nn_network net = nn_video_build(graph, &config);
    const tn_input_shape input = {tn_var_name(net.input), {1, 3, 16, 224, 224}};
    add_network(ctx, graph, &input, 1, op, out);
    tn_graph_destroy(graph);
}

static void add_audio(tn_ctx *ctx, int64_t clips, const char *op, shapes *out)
{
    const nn_audio_config config = nn_audio_defaults(3);
    tn_graph *graph;
    assert_ok(ctx, tn_graph_create(ctx, &graph));
    const nn_network net = nn_audio_build(graph, &config);
    const tn_input_shape inputs[] = {{tn_var_name(net.input), {clips, 498, config.inputs}},
                                     {tn_var_name(net.lengths), {clips}}};
    add_network(ctx, graph, inputs, 2, op, out);
    tn_graph_destroy(graph);
}

/* The op's layers; names are the op's, so that they outlive the plans. */
static void add_listed(tn_ctx *ctx, const char *name, shapes *out)
{
    int op = 0;
    while (strcmp(tn_op_name(op), name) != 0)
        op++;
    for (int i = 0; tn_case_label(op, TN_LAYERS, i); i++) {
        tn_graph *graph;
        tn_plan *plan;
        assert_ok(ctx, tn_graph_create(ctx, &graph));
        assert_ok(ctx, tn_case_plan(graph, op, TN_LAYERS, i, TN_INFERENCE, &plan));
        const tn_step_info step = tn_plan_step(plan, 0);
        add_step(out, name, &step);
        tn_plan_destroy(plan);
        tn_graph_destroy(graph);
    }
}

/* That `of` has no layer that is not in `in`. */
static void assert_all_in(const shapes *of, const shapes *in, const char *where)
{
    for (int i = 0; i < of->count; i++)
        if (!has(in, &of->layer[i]))
            fail_msg("%s %d, %lld channels of %lld x %lld: not %s", of->layer[i].op, i,
                     (long long)of->layer[i].in.size[1], (long long)of->layer[i].in.size[3],
                     (long long)of->layer[i].in.size[4], where);
}

static void every_kind_of_convolution_is_listed_once(void **state)
{
    (void)state;
    tn_ctx *ctx = test_ctx(1, NULL);
    static shapes network, listed;
    add_video(ctx, "conv3d", &network);
    add_listed(ctx, "conv3d", &listed);
    assert_true(network.count > 20);
    assert_all_in(&network, &listed, "listed");
    assert_all_in(&listed, &network, "in the network");
    tn_ctx_destroy(ctx);
}

static void layers_of_sound_are_those_of_the_audio_network(void **state)
{
    (void)state;
    static const char *const ops[] = {"lstm", "attention_pool"};
    tn_ctx *ctx = test_ctx(1, NULL);
    for (int i = 0; i < 2; i++) {
        shapes network = {.count = 0}, listed = {.count = 0};
        add_audio(ctx, 1, ops[i], &network);
        add_audio(ctx, 128, ops[i], &network);
        add_listed(ctx, ops[i], &listed);
        assert_int_equal(network.count, 2);
        assert_all_in(&network, &listed, "listed");
        assert_all_in(&listed, &network, "in the network");
    }
    tn_ctx_destroy(ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_of_convolution_is_listed_once),
        cmocka_unit_test(layers_of_sound_are_those_of_the_audio_network),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
