/* Small networks with drawn weights, saved, and files with one thing wrong. */
#ifndef TESTS_NN_SMALL_H
#define TESTS_NN_SMALL_H

#include "tests/common/golden.h"

#include "nn/nn.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *video_names[] = {"sitting", "standing up", "running", "waving"};
static char *audio_names[] = {"positive", "neutral", "negative"};

static inline nn_video_config small_video(void)
{
    nn_video_config config = nn_video_defaults(4);
    config.width = 2;
    memcpy(config.blocks, (int[]){1, 2, 1, 1}, sizeof config.blocks);
    memcpy(config.stem_kernel, (int[]){3, 5, 5}, sizeof config.stem_kernel);
    memcpy(config.stem_stride, (int[]){1, 1, 2}, sizeof config.stem_stride);
    config.stem_pool = false;
    return config;
}

static inline nn_audio_config small_audio(void)
{
    nn_audio_config config = nn_audio_defaults(3);
    config.inputs = 5;
    config.dense[0] = 9;
    config.dense[1] = 8;
    config.cells = 6;
    return config;
}

typedef struct fixture {
    char *dir;  /* of files that a test writes */
    char *path; /* of one in it */
    tn_ctx *ctx;
    tn_graph *graph;
} fixture;

static inline fixture make(void)
{
    fixture f = {.dir = test_make_dir(), .ctx = test_ctx(2, NULL)};
    assert_true(asprintf(&f.path, "%s/model.safetensors", f.dir) > 0);
    assert_ok(f.ctx, tn_graph_create(f.ctx, &f.graph));
    return f;
}

static inline void destroy(fixture *f)
{
    tn_graph_destroy(f->graph);
    tn_ctx_destroy(f->ctx);
    test_remove_dir(f->dir);
    free(f->path);
}

static inline fixture make_video(const nn_video_config *config)
{
    fixture f = make();
    nn_video_build(f.graph, config);
    golden_draw_all(f.graph);
    return f;
}

static inline fixture make_audio(const nn_audio_config *config)
{
    fixture f = make();
    nn_audio_build(f.graph, config);
    golden_draw_all(f.graph);
    return f;
}

/* The message is there, and gone afterwards. */
static inline void said(tn_ctx *ctx, const char *part)
{
    if (!strstr(tn_error(ctx), part))
        fail_msg("\"%s\" lacks \"%s\"", tn_error(ctx), part);
    tn_clear_error(ctx);
}

/* A network with drawn weights, saved to f.path. */
static inline fixture saved_video(const nn_video_config *config)
{
    fixture f = make_video(config);
    const nn_facts facts = {
        .kind = NN_VIDEO, .classes = 4, .class_name = video_names, .frames = 8, .size = 64, .fps = 2.5};
    assert_ok(f.ctx, nn_save(f.graph, f.path, config, NULL, &facts, NULL, 0));
    return f;
}

static inline fixture saved_audio(const nn_audio_config *config, nn_norm norm)
{
    static float mean[5] = {0, 1, 2, 3, 4}, deviation[5] = {1, 2, 1, 2, 0};
    fixture f = make_audio(config);
    const nn_facts facts = {.kind = NN_AUDIO,
                            .classes = 3,
                            .class_name = audio_names,
                            .rate = 16000,
                            .eps = 1e-8,
                            .scaling = {norm, 5, mean, deviation}};
    const wt_meta more = {"recipe", "none"};
    assert_ok(f.ctx, nn_save(f.graph, f.path, NULL, config, &facts, &more, 1));
    return f;
}

/* ---- files with one thing wrong -------------------------------------------------------------------- */

/* A copy of the tensors of a graph, to be changed before it is written. */
typedef struct tensors {
    wt_tensor at[400];
    int count;
} tensors;

static inline void take(tensors *t, const tn_graph *graph)
{
    t->count = tn_param_count(graph);
    assert_true(t->count < 390);
    for (int i = 0; i < t->count; i++) {
        const tn_var *param = tn_param_at(graph, i);
        t->at[i] = (wt_tensor){.name = tn_var_name(param),
                               .dtype = WT_F32,
                               .rank = tn_var_rank(param),
                               .data = tn_value_const(param)};
        memcpy(t->at[i].size, tn_var_size(param), (size_t)t->at[i].rank * sizeof(int64_t));
    }
}

static inline wt_tensor *find(tensors *t, const char *name)
{
    for (int i = 0; i < t->count; i++)
        if (strcmp(t->at[i].name, name) == 0)
            return &t->at[i];
    fail_msg("no tensor %s", name);
    return NULL;
}

static inline void drop(tensors *t, const char *name)
{
    *find(t, name) = t->at[--t->count];
}

static inline void add(tensors *t, const char *name, int64_t n)
{
    static const float zeros[64];
    t->at[t->count++] = (wt_tensor){.name = name, .dtype = WT_F32, .rank = 1, .size = {n}, .data = zeros};
}

static inline wt_file *written(const fixture *f, const tensors *t)
{
    wt_file *file = NULL;
    assert_ok(f->ctx, wt_save(f->ctx, f->path, t->at, t->count, NULL, 0));
    assert_ok(f->ctx, wt_open(f->ctx, f->path, &file));
    return file;
}

#endif
