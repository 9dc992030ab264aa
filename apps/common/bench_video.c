/* Benchmark of the video branch: the network's answer for clips. */
#include "apps/common/bench.h"
#include "apps/common/report.h"
#include "nn/nn.h"

#include <stdio.h>

enum { CLASSES = 305, SIZE = 224 };

static tn_status answer(void *arg)
{
    tn_plan_forward(arg);
    return TN_OK;
}

/* A plan for seeded weights and clips: what they are does not change how long it takes. */
static tn_status make_plan(tn_graph *graph, int batch, int frames, tn_plan **plan)
{
    const nn_video_config config = nn_video_defaults(CLASSES);
    const nn_network net = nn_video_build(graph, &config);
    TN_TRY(nn_init(graph, 1));
    const tn_plan_options options = {.mode = TN_INFERENCE};
    const tn_input_shape shape = {tn_var_name(net.input), {batch, 3, frames, SIZE, SIZE}};
    TN_TRY(tn_plan_create(graph, &options, &shape, 1, plan));
    const tn_tensor x = tn_plan_value(*plan, net.input);
    tn_fill_uniform(x.data, (size_t)tn_numel(&x), 1, tn_hash("clip"), -1, 1);
    return TN_OK;
}

tn_status bench_video(tn_ctx *ctx, const bench_options *o, bench_result *out)
{
    const int batch = o->batch ? o->batch : 1;
    tn_graph *graph = NULL;
    tn_plan *plan = NULL;
    tn_status status = tn_graph_create(ctx, &graph);
    if (status == TN_OK)
        status = make_plan(graph, batch, o->frames, &plan);
    if (status == TN_OK)
        status = bench_time(ctx, o, answer, plan, out);
    if (status == TN_OK) {
        out->flops = tn_plan_get_info(plan).flops;
        snprintf(out->work, sizeof out->work, "the video network's answers of %d x %d frames of %d x %d",
                 batch, o->frames, SIZE, SIZE);
        if (o->cmd.profile)
            report_profile("video network", plan);
    }
    tn_plan_destroy(plan);
    if (graph)
        tn_graph_destroy(graph);
    return status;
}
