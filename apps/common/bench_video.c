/* Benchmarks of the video branch: the network's answer for clips, a step of training all of it, and a new
 * head's training on features. */
#include "apps/common/bench.h"
#include "apps/common/bench_network.h"
#include "nn/nn.h"

#include <stdio.h>

enum { CLASSES = 305, SIZE = 224, TRAIN_CLASSES = 3, TRAIN_BATCH = 4 };

/* ---- the network ----------------------------------------------------------------------------------- */

/* A plan for seeded weights and clips: what they are does not change how long it takes. */
static tn_status open_network(tn_ctx *ctx, bool train, int batch, int frames, tn_precision precision,
                              bench_network *n)
{
    const nn_video_config config = nn_video_defaults(train ? TRAIN_CLASSES : CLASSES);
    const nn_optimizer_options adam = nn_optimizer_defaults(NN_ADAM);
    TN_TRY(tn_graph_create(ctx, &n->graph));
    n->vars = nn_video_build(n->graph, &config);
    if (train)
        n->loss = nn_add_loss(n->graph, n->vars.logits, TRAIN_CLASSES, false);
    TN_TRY(nn_init(n->graph, 1));
    if (train)
        TN_TRY(nn_optimizer_create(n->graph, &adam, &n->optimizer));
    const tn_input_shape shapes[] = {{tn_var_name(n->vars.input), {batch, 3, frames, SIZE, SIZE}},
                                     {"labels", {batch}}};
    const tn_plan_options options = {
        .mode = train ? TN_TRAINING : TN_INFERENCE, .loss = n->loss, .precision = precision};
    TN_TRY(tn_plan_create(n->graph, &options, shapes, train ? 2 : 1, &n->plan));
    const tn_tensor x = tn_plan_value(n->plan, n->vars.input);
    tn_fill_uniform(x.data, (size_t)tn_numel(&x), 1, tn_hash("clip"), -1, 1);
    for (int i = 0; train && i < batch; i++)
        tn_plan_value(n->plan, tn_find(n->graph, "labels")).data[i] = (float)(i % TRAIN_CLASSES);
    return TN_OK;
}

tn_status bench_video(tn_ctx *ctx, const bench_options *o, bench_result *out)
{
    const int batch = o->batch ? o->batch : 1;
    bench_network n = {.rate = 1e-5};
    tn_status status = open_network(ctx, false, batch, o->frames, o->cmd.precision, &n);
    if (status == TN_OK)
        status = bench_time(ctx, o, bench_network_answer, &n, &out->times);
    if (status == TN_OK) {
        out->flops = tn_plan_get_info(n.plan).flops;
        snprintf(out->work, sizeof out->work, "the video network's answers of %d x %d frames of %d x %d",
                 batch, o->frames, SIZE, SIZE);
        if (o->cmd.profile)
            status = bench_network_profile("video network", &n);
    }
    bench_network_close(&n);
    return status;
}

/* ---- a step of training all of it ------------------------------------------------------------------ */

tn_status bench_fine_tune(tn_ctx *ctx, const bench_options *o, bench_result *out)
{
    const int batch = o->batch ? o->batch : TRAIN_BATCH;
    bench_network n = {.rate = 1e-5};
    tn_status status = open_network(ctx, true, batch, o->frames, TN_FP32, &n);
    if (status == TN_OK)
        status = bench_time(ctx, o, bench_network_train, &n, &out->times);
    if (status == TN_OK) {
        /* Backward has two products for each of forward's; nobody asks for the clip's gradient. */
        out->flops = tn_plan_get_info(n.plan).flops * 3 - tn_plan_step(n.plan, 0).flops;
        snprintf(out->work, sizeof out->work,
                 "training steps of the video network on %d x %d frames of %d x %d", batch, o->frames, SIZE,
                 SIZE);
        if (o->cmd.profile)
            status = bench_network_profile("video network", &n);
    }
    bench_network_close(&n);
    return status;
}

/* ---- the head's training on features --------------------------------------------------------------- */

enum { CLIPS = 2661, EPOCHS = 250, HEAD_BATCH = 32 };

typedef struct head {
    tn_ctx *ctx;            /* borrowed */
    nn_video_config config; /* the network's */
    float *features;        /* CLIPS x features; owned */
    int label[CLIPS];       /* of each */
    int batch;              /* clips of a step */
} head;

static tn_status fill(void *arg, size_t clip, int64_t step, const tn_tensor *out)
{
    (void)step;
    const head *h = arg;
    const tn_tensor in = tn_view(h->features + clip * (size_t)out->size[0], 1, out->size);
    tn_copy(out, &in);
    return TN_OK;
}

static tn_status fit(head *h, tn_graph *graph)
{
    const int64_t size[2] = {TN_ANY, nn_video_features(&h->config)};
    nn_network net = {.input = tn_input(graph, "features", 2, size)};
    net.features = net.input;
    net.logits = nn_video_head(graph, net.input, &h->config);
    tn_output(net.logits, "logits");
    net.probabilities = tn_softmax(net.logits);
    tn_output(net.probabilities, "probabilities");
    TN_TRY(nn_init(graph, 1));
    const nn_train_options options = {.seed = 1,
                                      .epochs = EPOCHS,
                                      .batch = h->batch,
                                      .optimizer = nn_optimizer_defaults(NN_ADAM),
                                      .schedule = {NN_SCHEDULE_CONSTANT, 1e-5, EPOCHS, 1, 1}};
    const nn_clips clips = {.count = CLIPS, .label = h->label, .size = {size[1]}, .fill = fill, .arg = h};
    const nn_train_hooks hooks = {0};
    nn_trainer *trainer = NULL;
    nn_train_end end;
    tn_status status = nn_trainer_create(graph, &net, TRAIN_CLASSES, &options, &trainer);
    if (status == TN_OK)
        status = nn_trainer_run(trainer, &clips, NULL, &hooks, &end);
    nn_trainer_destroy(trainer);
    return status;
}

static tn_status train_head(void *arg)
{
    head *h = arg;
    tn_graph *graph = NULL;
    TN_TRY(tn_graph_create(h->ctx, &graph));
    const tn_status status = fit(h, graph);
    tn_graph_destroy(graph);
    return status;
}

tn_status bench_train_head(tn_ctx *ctx, const bench_options *o, bench_result *out)
{
    head h = {.ctx = ctx, .config = nn_video_defaults(TRAIN_CLASSES)};
    h.batch = o->batch ? o->batch : HEAD_BATCH;
    const size_t width = (size_t)nn_video_features(&h.config);
    h.features = tn_alloc(ctx, CLIPS * width, sizeof *h.features);
    if (!h.features)
        return TN_NOMEM;
    tn_fill_uniform(h.features, CLIPS * width, 1, tn_hash("features"), 0, 1);
    for (int i = 0; i < CLIPS; i++)
        h.label[i] = i % TRAIN_CLASSES;
    const tn_status status = bench_time(ctx, o, train_head, &h, &out->times);
    /* Products forward and for the weights' gradient. */
    out->flops = 2.0 * 2.0 * EPOCHS * CLIPS * TRAIN_CLASSES * (double)width;
    snprintf(out->work, sizeof out->work, "%d epochs of the video network's head on %d clips, batches of %d",
             EPOCHS, CLIPS, h.batch);
    tn_free(ctx, h.features);
    return status;
}
