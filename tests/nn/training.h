/* Small training runs on drawn clips. */
#ifndef TESTS_NN_TRAINING_H
#define TESTS_NN_TRAINING_H

#include "tests/common/files.h"
#include "tests/common/golden.h"

#include "nn/nn.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CLIPS = 16, CLASSES = 3, INPUTS = 5, LONGEST = 12, MAX_EPOCHS = 400 };

/* A network, a trainer, and what its hooks have seen. */
typedef struct run {
    tn_ctx *ctx;
    tn_graph *graph;
    nn_network net;
    nn_trainer *trainer;
    nn_clips clips;                 /* CLIPS of them */
    int label[CLIPS], steps[CLIPS]; /* of each */
    nn_epoch epoch[MAX_EPOCHS];     /* as told */
    int epochs;                     /* of them */
    int64_t seen;                   /* steps since the run began */
    int64_t stop_at;                /* step to stop after, counted from the run's beginning; 0: none */
    double enough;                  /* stop where an epoch's loss falls below */
    uint64_t order;                 /* hash over all clips that were fed to training */
    bool poison;                    /* feed a NaN from step 5 on */
} run;

static tn_status run_fill(void *arg, size_t clip, int64_t step, const tn_tensor *out)
{
    run *r = arg;
    float values[3 * 4 * 24 * 24];
    const size_t n = (size_t)tn_numel(out);
    assert_true(n <= sizeof values / sizeof *values);
    tn_fill_uniform(values, n, 7, clip, -1, 1);
    /* The class shows a little, so that some validation is possible. */
    for (size_t i = 0; i < n; i++)
        values[i] += 0.2f * (float)(r->label[clip] - 1);
    if (r->poison && step >= 5)
        values[n - 1] = NAN;
    const tn_tensor view = tn_view(values, out->rank, out->size);
    tn_copy(out, &view);
    if (step > 0)
        r->order = (r->order ^ clip) * UINT64_C(0x100000001B3);
    return TN_OK;
}

static void run_step(void *arg, const nn_trainer *trainer)
{
    run *r = arg;
    (void)trainer;
    r->seen++;
}

static bool run_stop(void *arg)
{
    const run *r = arg;
    return r->stop_at && r->seen >= r->stop_at;
}

static tn_status run_epoch(void *arg, const nn_epoch *e)
{
    run *r = arg;
    assert_true(r->epochs < MAX_EPOCHS);
    r->epoch[r->epochs++] = *e;
    if (e->loss < r->enough)
        r->stop_at = r->seen + 1;
    return TN_OK;
}

static inline nn_train_options run_options(void)
{
    return (nn_train_options){.seed = 3,
                              .epochs = 4,
                              .batch = 5,
                              .bucket = 2,
                              .optimizer = nn_optimizer_defaults(NN_ADAM),
                              .schedule = {.kind = NN_SCHEDULE_CONSTANT, .rate = 0.01}};
}

static inline void run_make(run *r, int threads, nn_kind kind, float dropout, const nn_train_options *options)
{
    *r = (run){.ctx = test_ctx(threads, NULL)};
    for (int i = 0; i < CLIPS; i++) {
        r->label[i] = (i * i + i / 3) % CLASSES;
        r->steps[i] = 1 + (i * 7) % LONGEST;
    }
    r->clips = (nn_clips){.count = CLIPS, .label = r->label, .fill = run_fill, .arg = r};
    assert_ok(r->ctx, tn_graph_create(r->ctx, &r->graph));
    if (kind == NN_AUDIO) {
        nn_audio_config config = {.inputs = INPUTS, .dense = {16, 12}, .cells = 8, .classes = CLASSES};
        config.dropout = config.input_dropout = dropout;
        r->net = nn_audio_build(r->graph, &config);
        r->clips.steps = r->steps;
        r->clips.size[1] = INPUTS;
    } else {
        nn_video_config config = nn_video_defaults(CLASSES);
        config.width = 3;
        memcpy(config.blocks, (int[]){1, 1, 1, 1}, sizeof config.blocks);
        r->net = nn_video_build(r->graph, &config);
        memcpy(r->clips.size, (int64_t[]){3, 4, 24, 24}, 4 * sizeof(int64_t));
    }
    assert_ok(r->ctx, nn_init(r->graph, 11));
    assert_ok(r->ctx, nn_trainer_create(r->graph, &r->net, CLASSES, options, &r->trainer));
}

static inline void run_destroy(run *r)
{
    nn_trainer_destroy(r->trainer);
    tn_graph_destroy(r->graph);
    tn_ctx_destroy(r->ctx);
}

static inline tn_status run_go(run *r, const nn_clips *val, nn_train_end *end)
{
    const nn_train_hooks hooks = {.arg = r, .step = run_step, .stop = run_stop, .epoch = run_epoch};
    r->seen = 0;
    return nn_trainer_run(r->trainer, &r->clips, val, &hooks, end);
}

#endif
