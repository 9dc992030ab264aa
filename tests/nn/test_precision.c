/* The video network in bfloat16: how far its answers are from those in floats, and that threads change none.
 */
#include "tests/common/testing.h"

#include "nn/nn.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { CLASSES = 10, CLIPS = 4, FRAMES = 8, SIDE = 64 };

static const tn_input_shape shape = {"clip", {CLIPS, 3, FRAMES, SIDE, SIDE}};

static void fill_clips(tn_tensor clips)
{
    tn_fill_uniform(clips.data, (size_t)tn_numel(&clips), 3, tn_hash("clips"), -2, 2);
}

/* A seeded network with all kinds of layers, and the statistics of such clips. */
static tn_graph *make_network(tn_ctx *ctx, nn_network *net)
{
    tn_graph *graph;
    nn_video_config config = nn_video_defaults(CLASSES);
    config.width = 16;
    memcpy(config.blocks, (int[NN_STAGES]){2, 2, 2, 1}, sizeof config.blocks);
    assert_ok(ctx, tn_graph_create(ctx, &graph));
    *net = nn_video_build(graph, &config);
    assert_ok(ctx, nn_init(graph, 3));
    tn_tensor clips = tn_view(NULL, 5, shape.size);
    clips.data = malloc((size_t)tn_numel(&clips) * sizeof *clips.data);
    assert_non_null(clips.data);
    fill_clips(clips);
    assert_ok(ctx, nn_video_calibrate(graph, &config, &clips, NULL, NULL));
    free(clips.data);
    return graph;
}

/* The logits of one run, and the plan's memory. */
static void run(int threads, tn_precision precision, float logits[CLIPS * CLASSES], tn_plan_info *info)
{
    tn_ctx *ctx = test_ctx(threads, NULL);
    nn_network net;
    tn_graph *graph = make_network(ctx, &net);
    const tn_plan_options options = {.mode = TN_INFERENCE, .precision = precision};
    tn_plan *plan = NULL;
    assert_ok(ctx, tn_plan_create(graph, &options, &shape, 1, &plan));
    fill_clips(tn_plan_value(plan, net.input));
    tn_plan_forward(plan);
    const tn_tensor value = tn_plan_value(plan, net.logits);
    memcpy(logits, value.data, CLIPS * CLASSES * sizeof *logits);
    *info = tn_plan_get_info(plan);
    tn_plan_destroy(plan);
    tn_graph_destroy(graph);
    tn_ctx_destroy(ctx);
}

/* Largest distance of b from a, relative to the largest of a. */
static double distance(const float *a, const float *b)
{
    return test_relative_error(b, a, CLIPS * CLASSES);
}

static void logits_stay_near_those_in_floats(void **state)
{
    (void)state;
    test_need_bf16();
    float fp32[CLIPS * CLASSES], bf16[CLIPS * CLASSES], other[CLIPS * CLASSES];
    tn_plan_info wide, narrow;
    run(1, TN_FP32, fp32, &wide);
    run(1, TN_BF16, bf16, &narrow);
    print_message("logits off by %.3g of the largest\n", distance(fp32, bf16));
    /* Statistics of so few clips of noise magnify what rounding leaves; trained networks stay within 1 % in
     * quadratic mean (test_cifar.c). */
    assert_true(distance(fp32, bf16) < 0.1);
    assert_true(distance(fp32, bf16) > 1e-4); /* or it was not bfloat16 */
    assert_true(narrow.slab_bytes < wide.slab_bytes);
    assert_true((double)narrow.packed_bytes < 0.6 * (double)wide.packed_bytes);
    for (int threads = 2; threads <= 3; threads++) {
        run(threads, TN_BF16, other, &narrow);
        assert_memory_equal(other, bf16, sizeof bf16);
    }
}

static void a_model_is_not_opened_where_it_could_not_run(void **state)
{
    (void)state;
    tn_ctx *ctx = test_ctx(1, "generic");
    const nn_model_options options = {.kind = NN_VIDEO, .precision = TN_BF16};
    nn_model *model = NULL;
    assert_status(ctx, nn_model_open(ctx, "no such file", &options, &model), TN_UNSUPPORTED);
    assert_non_null(strstr(tn_error(ctx), "AVX512_BF16"));
    assert_null(model);
    tn_ctx_destroy(ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(logits_stay_near_those_in_floats),
        cmocka_unit_test(a_model_is_not_opened_where_it_could_not_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
