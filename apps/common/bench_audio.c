/* Benchmarks of the audio branch: the network's answer for a clip, a step of its training, and the short-term
 * features of sound. */
#include "apps/common/bench.h"
#include "apps/common/bench_network.h"
#include "data/data.h"
#include "nn/nn.h"

#include <stdio.h>

enum { CLASSES = 3, TRAIN_BATCH = 128 };

/* ---- network --------------------------------------------------------------------------------------- */

/* Random input of full length and, for training, labels. */
static void fill_inputs(const bench_network *n, int batch, int windows)
{
    const tn_tensor x = tn_plan_value(n->plan, n->vars.input), l = tn_plan_value(n->plan, n->vars.lengths);
    tn_fill_uniform(x.data, (size_t)tn_numel(&x), 1, tn_hash("sequence"), -1.7f, 1.7f);
    const tn_var *labels = tn_find(n->graph, "labels");
    for (int i = 0; i < batch; i++) {
        l.data[i] = (float)windows;
        if (labels)
            tn_plan_value(n->plan, labels).data[i] = (float)(i % CLASSES);
    }
}

static tn_status open_network(tn_ctx *ctx, bool train, int batch, int windows, bench_network *n)
{
    const nn_audio_config config = nn_audio_defaults(CLASSES);
    const nn_optimizer_options adam = nn_optimizer_defaults(NN_ADAM);
    TN_TRY(tn_graph_create(ctx, &n->graph));
    n->vars = nn_audio_build(n->graph, &config);
    if (train)
        n->loss = nn_add_loss(n->graph, n->vars.logits, CLASSES, false);
    TN_TRY(nn_init(n->graph, 1));
    if (train)
        TN_TRY(nn_optimizer_create(n->graph, &adam, &n->optimizer));
    const tn_input_shape shapes[] = {{tn_var_name(n->vars.input), {batch, windows, config.inputs}},
                                     {tn_var_name(n->vars.lengths), {batch}},
                                     {"labels", {batch}}};
    const tn_plan_options options = {.mode = train ? TN_TRAINING : TN_INFERENCE, .loss = n->loss};
    TN_TRY(tn_plan_create(n->graph, &options, shapes, train ? 3 : 2, &n->plan));
    fill_inputs(n, batch, windows);
    return TN_OK;
}

static tn_status measure(tn_ctx *ctx, const bench_options *o, bool training, int batch, bench_result *out)
{
    bench_network n = {.rate = 1e-4};
    tn_status status = open_network(ctx, training, batch, o->windows, &n);
    if (status == TN_OK)
        status = bench_time(ctx, o, training ? bench_network_train : bench_network_answer, &n, &out->times);
    if (status == TN_OK) {
        /* Backward does about twice the products of forward. */
        out->flops = tn_plan_get_info(n.plan).flops * (training ? 3 : 1);
        snprintf(out->work, sizeof out->work, "%s of %d x %d windows",
                 training ? "training steps" : "the audio network's answers", batch, o->windows);
        if (o->cmd.profile)
            status = bench_network_profile("audio network", &n);
    }
    bench_network_close(&n);
    return status;
}

tn_status bench_audio(tn_ctx *ctx, const bench_options *o, bench_result *out)
{
    return measure(ctx, o, false, o->batch ? o->batch : 1, out);
}

tn_status bench_train_audio(tn_ctx *ctx, const bench_options *o, bench_result *out)
{
    return measure(ctx, o, true, o->batch ? o->batch : TRAIN_BATCH, out);
}

/* ---- features -------------------------------------------------------------------------------------- */

typedef struct sound {
    tn_ctx *ctx;            /* borrowed */
    data_audio audio;       /* owned */
    data_features features; /* owned: of the last run */
} sound;

static tn_status extract(void *arg)
{
    sound *s = arg;
    data_features_free(s->ctx, &s->features);
    return data_features_compute(s->ctx, "sound", &s->audio, NULL, &s->features);
}

static tn_status make_sound(tn_ctx *ctx, const bench_options *o, sound *s)
{
    data_synth_options clip = data_synth_defaults(1, 1);
    clip.seconds = o->seconds;
    clip.rate = o->rate;
    TN_TRY(data_synth_check(ctx, &clip));
    const size_t count = data_synth_sample_count(&clip);
    int16_t *samples = tn_alloc(ctx, count, sizeof *samples);
    if (!samples)
        return TN_NOMEM;
    data_synth_audio(&clip, 0, count, samples);
    const tn_status status =
        data_audio_from(ctx, "sound", DATA_INT16, samples, count, 1, o->rate, 0, &s->audio);
    tn_free(ctx, samples);
    return status;
}

tn_status bench_features(tn_ctx *ctx, const bench_options *o, bench_result *out)
{
    sound s = {.ctx = ctx};
    tn_status status = make_sound(ctx, o, &s);
    if (status == TN_OK)
        status = bench_time(ctx, o, extract, &s, &out->times);
    if (status == TN_OK)
        snprintf(out->work, sizeof out->work, "%d features of %g s of sound at %d Hz, %zu windows",
                 s.features.width, o->seconds, o->rate, s.features.windows);
    data_features_free(ctx, &s.features);
    data_audio_free(ctx, &s.audio);
    return status;
}
