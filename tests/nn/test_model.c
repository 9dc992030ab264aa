/* Model files: sizes from tensors, binding and its complaints, initial values, calibration, predicting. */
#include "tests/common/golden.h"

#include "nn/nn.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *video_names[] = {"sitting", "standing up", "running", "waving"};
static char *audio_names[] = {"positive", "neutral", "negative"};

static nn_video_config small_video(void)
{
    nn_video_config config = nn_video_defaults(4);
    config.width = 2;
    memcpy(config.blocks, (int[]){1, 2, 1, 1}, sizeof config.blocks);
    memcpy(config.stem_kernel, (int[]){3, 5, 5}, sizeof config.stem_kernel);
    memcpy(config.stem_stride, (int[]){1, 1, 2}, sizeof config.stem_stride);
    config.stem_pool = false;
    return config;
}

static nn_audio_config small_audio(void)
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

static fixture make(void)
{
    fixture f = {.dir = test_make_dir(), .ctx = test_ctx(2, NULL)};
    assert_true(asprintf(&f.path, "%s/model.safetensors", f.dir) > 0);
    assert_ok(f.ctx, tn_graph_create(f.ctx, &f.graph));
    return f;
}

static void destroy(fixture *f)
{
    tn_graph_destroy(f->graph);
    tn_ctx_destroy(f->ctx);
    test_remove_dir(f->dir);
    free(f->path);
}

static fixture make_video(const nn_video_config *config)
{
    fixture f = make();
    nn_video_build(f.graph, config);
    golden_draw_all(f.graph);
    return f;
}

static fixture make_audio(const nn_audio_config *config)
{
    fixture f = make();
    nn_audio_build(f.graph, config);
    golden_draw_all(f.graph);
    return f;
}

/* The message is there, and gone afterwards. */
static void said(tn_ctx *ctx, const char *part)
{
    if (!strstr(tn_error(ctx), part))
        fail_msg("\"%s\" lacks \"%s\"", tn_error(ctx), part);
    tn_clear_error(ctx);
}

/* A network with drawn weights, saved to f.path. */
static fixture saved_video(const nn_video_config *config)
{
    fixture f = make_video(config);
    const nn_facts facts = {
        .kind = NN_VIDEO, .classes = 4, .class_name = video_names, .frames = 8, .size = 64, .fps = 2.5};
    assert_ok(f.ctx, nn_save(f.graph, f.path, config, NULL, &facts, NULL, 0));
    return f;
}

static fixture saved_audio(const nn_audio_config *config, nn_norm norm)
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

static nn_model *open_model(fixture *f, nn_kind kind)
{
    const nn_model_options options = {.kind = kind};
    nn_model *model = NULL;
    assert_ok(f->ctx, nn_model_open(f->ctx, f->path, &options, &model));
    return model;
}

/* ---- files with one thing wrong -------------------------------------------------------------------- */

/* A copy of the tensors of a graph, to be changed before it is written. */
typedef struct tensors {
    wt_tensor at[400];
    int count;
} tensors;

static void take(tensors *t, const tn_graph *graph)
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

static wt_tensor *find(tensors *t, const char *name)
{
    for (int i = 0; i < t->count; i++)
        if (strcmp(t->at[i].name, name) == 0)
            return &t->at[i];
    fail_msg("no tensor %s", name);
    return NULL;
}

static void drop(tensors *t, const char *name)
{
    *find(t, name) = t->at[--t->count];
}

static void add(tensors *t, const char *name, int64_t n)
{
    static const float zeros[64];
    t->at[t->count++] = (wt_tensor){.name = name, .dtype = WT_F32, .rank = 1, .size = {n}, .data = zeros};
}

static wt_file *written(const fixture *f, const tensors *t)
{
    wt_file *file = NULL;
    assert_ok(f->ctx, wt_save(f->ctx, f->path, t->at, t->count, NULL, 0));
    assert_ok(f->ctx, wt_open(f->ctx, f->path, &file));
    return file;
}

static void cannot_configure(const fixture *f, const tensors *t, const char *message)
{
    nn_video_config config;
    wt_file *file = written(f, t);
    assert_status(f->ctx, nn_video_config_from(f->ctx, file, &config), TN_SHAPE);
    assert_non_null(strstr(tn_error(f->ctx), f->path));
    said(f->ctx, message);
    wt_close(file);
}

static void sizes_come_from_the_tensors(void **state)
{
    (void)state;
    const nn_video_config small = small_video();
    fixture f = make_video(&small);
    tensors t;
    take(&t, f.graph);
    find(&t, "last_linear.weight")->name = "fc.weight";
    find(&t, "last_linear.bias")->name = "fc.bias";
    wt_file *file = written(&f, &t);
    nn_video_config got;
    assert_ok(f.ctx, nn_video_config_from(f.ctx, file, &got));
    assert_memory_equal(got.blocks, small.blocks, sizeof small.blocks);
    assert_int_equal(got.width, 2);
    assert_int_equal(got.expansion, 4);
    assert_int_equal(got.classes, 4);
    assert_memory_equal(got.stem_kernel, small.stem_kernel, sizeof small.stem_kernel);
    /* What tensors do not tell is the release's. */
    assert_memory_equal(got.stem_stride, ((int[]){1, 2, 2}), sizeof got.stem_stride);
    assert_true(got.stem_pool);
    assert_string_equal(got.head, "fc");

    tn_graph *graph;
    assert_ok(f.ctx, tn_graph_create(f.ctx, &graph));
    nn_video_build(graph, &got);
    assert_ok(f.ctx, nn_bind(graph, file, NULL));
    tn_graph_destroy(graph);
    wt_close(file);
    destroy(&f);
}

static void wrong_sizes_are_named(void **state)
{
    (void)state;
    const nn_video_config small = small_video();
    fixture f = make_video(&small);
    tensors t, good;
    take(&good, f.graph);

    t = good;
    find(&t, "conv1.weight")->rank = 4;
    find(&t, "conv1.weight")->size[2] *= 5;
    find(&t, "conv1.weight")->size[3] = 5;
    cannot_configure(&f, &t,
                     "conv1.weight is F32 (2, 3, 15, 5), expected floats (width, channels, KT, KH, KW)");
    t = good;
    drop(&t, "conv1.weight");
    cannot_configure(&f, &t, "conv1.weight is missing");
    t = good;
    drop(&t, "layer3.0.conv1.weight");
    cannot_configure(&f, &t, "layer3.0.conv1.weight");
    t = good;
    drop(&t, "layer1.0.conv3.weight");
    cannot_configure(&f, &t, "networks of basic blocks are not supported");
    t = good;
    find(&t, "layer1.0.conv3.weight")->size[0] = 7;
    cannot_configure(&f, &t, "layer1.0.conv3.weight is (7, 2, 1, 1, 1), expected a multiple of 2");
    t = good;
    drop(&t, "last_linear.weight");
    cannot_configure(&f, &t, "neither last_linear.weight nor fc.weight");
    t = good;
    find(&t, "last_linear.weight")->size[1] = 63;
    cannot_configure(&f, &t, "last_linear.weight is (4, 63), expected (classes, 64)");
    destroy(&f);
}

static void audio_sizes(void **state)
{
    (void)state;
    for (int kind = 0; kind < 2; kind++) {
        nn_audio_config small = small_audio(), got;
        small.kind = (nn_attention)kind;
        fixture f = make_audio(&small);
        tensors t;
        take(&t, f.graph);
        wt_file *file = written(&f, &t);
        assert_ok(f.ctx, nn_audio_config_from(f.ctx, file, &got));
        assert_int_equal(got.inputs, 5);
        assert_memory_equal(got.dense, small.dense, sizeof small.dense);
        assert_int_equal(got.cells, 6);
        assert_int_equal(got.classes, 3);
        assert_int_equal(got.kind, kind);
        assert_true(got.dropout == 0.5f && got.input_dropout == 0.5f);
        wt_close(file);

        find(&t, "dense2.weight")->size[1] = 8;
        file = written(&f, &t);
        assert_status(f.ctx, nn_audio_config_from(f.ctx, file, &got), TN_SHAPE);
        said(f.ctx, "dense2.weight is (8, 8), expected (units, 9)");
        wt_close(file);
        drop(&t, "dense2.weight");
        file = written(&f, &t);
        assert_status(f.ctx, nn_audio_config_from(f.ctx, file, &got), TN_SHAPE);
        said(f.ctx, "dense2.weight is missing");
        wt_close(file);
        destroy(&f);
    }
}

/* ---- binding --------------------------------------------------------------------------------------- */

static void binding_names_all_that_does_not_fit(void **state)
{
    (void)state;
    const nn_video_config small = small_video();
    fixture f = make_video(&small);
    tensors t, good;
    take(&good, f.graph);
    t = good;
    add(&t, "bn1.num_batches_tracked", 1);
    add(&t, "norm.mean", 3);
    wt_file *file = written(&f, &t);
    assert_ok(f.ctx, nn_bind(f.graph, file, NULL));
    /* Mapped, not copied. */
    assert_ptr_equal(tn_value_const(tn_find(f.graph, "conv1.weight")),
                     wt_floats(wt_find(file, "conv1.weight")));

    take(&good, f.graph); /* the graph's own values are gone */
    t = good;
    drop(&t, "layer2.1.bn3.bias");
    find(&t, "bn1.weight")->size[0] = 1;
    find(&t, "last_linear.bias")->dtype = WT_I32;
    add(&t, "layer4.7.conv1.weight", 5);
    wt_file *wrong = written(&f, &t);
    assert_status(f.ctx, nn_bind(f.graph, wrong, NULL), TN_SHAPE);
    const char *const parts[] = {f.path, "layer2.1.bn3.bias is missing, expected (16)",
                                 "bn1.weight is (1), expected (2)", "last_linear.bias holds I32",
                                 "layer4.7.conv1.weight (5) is not part of the network"};
    for (int i = 0; i < 5; i++)
        assert_non_null(strstr(tn_error(f.ctx), parts[i]));
    tn_clear_error(f.ctx);
    wt_close(wrong);

    /* More than a message holds: counted. */
    t = good;
    t.count = 3;
    wrong = written(&f, &t);
    assert_status(f.ctx, nn_bind(f.graph, wrong, NULL), TN_SHAPE);
    const char *more = strstr(tn_error(f.ctx), "; and ");
    assert_non_null(more);
    int named = 0;
    for (const char *c = tn_error(f.ctx); (c = strstr(c, "is missing")) != NULL; c++)
        named++;
    assert_int_equal(named + atoi(more + 6), good.count - 3);
    tn_clear_error(f.ctx);
    wt_close(wrong);
    wt_close(file);
    destroy(&f);
}

static void a_new_head_keeps_its_values(void **state)
{
    (void)state;
    nn_video_config config = small_video();
    fixture f = saved_video(&config);
    wt_file *file;
    assert_ok(f.ctx, wt_open(f.ctx, f.path, &file));
    tn_graph *graph;
    assert_ok(f.ctx, tn_graph_create(f.ctx, &graph));
    config.classes = 3;
    nn_video_build(graph, &config);
    assert_ok(f.ctx, nn_init(graph, 9));
    const float before = tn_value_const(tn_find(graph, "last_linear.weight"))[5];
    assert_status(f.ctx, nn_bind(graph, file, NULL), TN_SHAPE);
    said(f.ctx, "last_linear.weight is (4, 64), expected (3, 64)");
    assert_status(f.ctx, nn_bind(graph, file, "last"), TN_SHAPE);
    said(f.ctx, "last_linear.weight");
    assert_ok(f.ctx, nn_bind(graph, file, "last_linear"));
    assert_true(tn_value_const(tn_find(graph, "last_linear.weight"))[5] == before);
    assert_ptr_equal(tn_value_const(tn_find(graph, "conv1.weight")),
                     wt_floats(wt_find(file, "conv1.weight")));
    tn_graph_destroy(graph);
    wt_close(file);
    destroy(&f);
}

static void other_types_are_converted(void **state)
{
    (void)state;
    const nn_audio_config small = small_audio();
    fixture f = make_audio(&small);
    const double bias[3] = {0.5, -2, 1.0 / 3};
    tensors t;
    take(&t, f.graph);
    find(&t, "head.bias")->dtype = WT_F64;
    find(&t, "head.bias")->data = bias;
    wt_file *file = written(&f, &t);
    assert_ok(f.ctx, nn_bind(f.graph, file, NULL));
    wt_close(file); /* a converted value is the graph's own */
    const float *got = tn_value_const(tn_find(f.graph, "head.bias"));
    for (int i = 0; i < 3; i++)
        assert_true(got[i] == (float)bias[i]);
    destroy(&f);
}

/* ---- initial values -------------------------------------------------------------------------------- */

static void largest_and_mean(const tn_var *param, double *largest, double *mean)
{
    const tn_tensor t = tn_view(NULL, tn_var_rank(param), tn_var_size(param));
    const float *x = tn_value_const(param);
    *largest = *mean = 0;
    for (int64_t i = 0; i < tn_numel(&t); i++) {
        *largest = fmax(*largest, fabs((double)x[i]));
        *mean += (double)x[i] / (double)tn_numel(&t);
    }
}

static void is_uniform(const tn_graph *graph, const char *name, double bound)
{
    double largest, mean;
    largest_and_mean(tn_find(graph, name), &largest, &mean);
    assert_true(largest <= bound * 1.000001 && largest > 0.97 * bound);
    assert_true(fabs(mean) < 0.05 * bound);
}

static void all_are(const tn_graph *graph, const char *name, int from, int to, float value)
{
    for (int i = from; i < to; i++)
        assert_true(tn_value_const(tn_find(graph, name))[i] == value);
}

static void initial_values(void **state)
{
    (void)state;
    fixture f = make();
    nn_audio_config audio = nn_audio_defaults(3);
    audio.cells = 20;
    audio.kind = NN_ATTENTION_SOFTMAX;
    nn_audio_build(f.graph, &audio);
    assert_ok(f.ctx, nn_init(f.graph, 5));
    is_uniform(f.graph, "dense1.weight", sqrt(6.0 / (34 + 512)));
    is_uniform(f.graph, "lstm.weight_ih_l0_reverse", sqrt(6.0 / (512 + 80)));
    is_uniform(f.graph, "attention.query.weight", sqrt(6.0 / 80));
    all_are(f.graph, "dense2.bias", 0, 512, 0);
    all_are(f.graph, "lstm.bias_ih_l0", 0, 20, 0);
    all_are(f.graph, "lstm.bias_ih_l0", 20, 40, 1); /* the forget gate is the second */
    all_are(f.graph, "lstm.bias_ih_l0", 40, 80, 0);
    all_are(f.graph, "lstm.bias_hh_l0_reverse", 0, 80, 0);
    all_are(f.graph, "attention.constant", 0, 40, 1.0f / 40);
    const float *w = tn_value_const(tn_find(f.graph, "lstm.weight_hh_l0"));
    for (int i = 0; i < 20; i++)
        for (int j = 0; j <= i; j++) {
            double dot = 0;
            for (int r = 0; r < 80; r++)
                dot += (double)w[r * 20 + i] * (double)w[r * 20 + j];
            assert_true(fabs(dot - (i == j)) < 1e-6);
        }

    assert_memory_not_equal(tn_value_const(tn_find(f.graph, "lstm.weight_ih_l0")),
                            tn_value_const(tn_find(f.graph, "lstm.weight_ih_l0_reverse")), 64);

    /* A parameter's values depend on its name and the seed alone. */
    tn_graph *graph;
    assert_ok(f.ctx, tn_graph_create(f.ctx, &graph));
    audio.classes = 9;
    audio.kind = NN_ATTENTION_LOCAL;
    nn_audio_build(graph, &audio);
    assert_ok(f.ctx, nn_init(graph, 5));
    assert_memory_equal(tn_value_const(tn_find(graph, "lstm.weight_hh_l0")), w, 80 * 20 * sizeof *w);
    all_are(graph, "attention.query", 0, 40, 1.0f / 40);
    assert_ok(f.ctx, nn_init(graph, 6));
    assert_memory_not_equal(tn_value_const(tn_find(graph, "lstm.weight_hh_l0")), w, 80 * 20 * sizeof *w);
    tn_graph_destroy(graph);
    destroy(&f);

    f = make();
    nn_video_config video = small_video();
    video.width = 8;
    nn_video_build(f.graph, &video);
    assert_ok(f.ctx, nn_init(f.graph, 5));
    is_uniform(f.graph, "conv1.weight", sqrt(6.0 / (3 * 3 * 5 * 5)));
    is_uniform(f.graph, "layer2.1.conv2.weight", sqrt(6.0 / (16 * 27)));
    all_are(f.graph, "layer2.1.bn2.weight", 0, 16, 1);
    all_are(f.graph, "layer2.1.bn2.running_var", 0, 16, 1);
    all_are(f.graph, "layer2.1.bn2.running_mean", 0, 16, 0);
    all_are(f.graph, "layer2.1.bn2.bias", 0, 16, 0);
    destroy(&f);
}

/* ---- calibration ----------------------------------------------------------------------------------- */

static tn_plan *plan_for(fixture *f, const int64_t size[5], const float *clip)
{
    tn_input_shape shape = {.name = "clip"};
    memcpy(shape.size, size, 5 * sizeof *size);
    const tn_plan_options options = {.mode = TN_INFERENCE};
    tn_plan *plan;
    assert_ok(f->ctx, tn_plan_create(f->graph, &options, &shape, 1, &plan));
    const tn_tensor input = tn_plan_value(plan, tn_find(f->graph, "clip")),
                    rows = tn_view((float *)clip, 5, size);
    tn_copy(&input, &rows);
    tn_plan_forward(plan);
    return plan;
}

/* The stem's statistics against a plain sum over the convolution's output, computed by another plan. */
static void stem_statistics(const nn_video_config *config, const fixture *calibrated, const int64_t size[5],
                            const float *clip)
{
    fixture f = make();
    const int64_t any[5] = {TN_ANY, 3, TN_ANY, TN_ANY, TN_ANY};
    const int pad[3] = {1, 2, 2};
    tn_var *x = tn_input(f.graph, "clip", 5, any);
    tn_output(nn_conv(f.graph, x, "conv1", 3, config->width, config->stem_kernel, config->stem_stride, pad),
              "y");
    tn_bind(tn_find(f.graph, "conv1.weight"), tn_value_const(tn_find(calibrated->graph, "conv1.weight")));
    tn_plan *plan = plan_for(&f, size, clip);
    const tn_tensor y = tn_plan_value(plan, tn_find(f.graph, "y"));
    float *rows = golden_rows(&y);
    const int64_t inner = y.size[2] * y.size[3] * y.size[4], n = y.size[0] * inner;
    for (int64_t c = 0; c < config->width; c++) {
        double mean = 0, squares = 0;
        for (int64_t i = 0; i < n; i++)
            mean += (double)rows[(i / inner * config->width + c) * inner + i % inner] / (double)n;
        for (int64_t i = 0; i < n; i++)
            squares += pow((double)rows[(i / inner * config->width + c) * inner + i % inner] - mean, 2);
        const double variance = squares / (double)(n - 1);
        const float *got_mean = tn_value_const(tn_find(calibrated->graph, "bn1.running_mean"));
        const float *got_variance = tn_value_const(tn_find(calibrated->graph, "bn1.running_var"));
        assert_true(fabs((double)got_mean[c] - mean) < 1e-4 * sqrt(variance));
        assert_true(fabs((double)got_variance[c] - variance) < 1e-4 * variance);
    }
    free(rows);
    tn_plan_destroy(plan);
    destroy(&f);
}

static void calibration(void **state)
{
    (void)state;
    fixture f = make();
    nn_video_config config = small_video();
    config.width = 8;
    const int64_t size[5] = {2, 3, 8, 32, 32};
    tn_tensor clip = tn_view(NULL, 5, size);
    clip.data = malloc((size_t)tn_numel(&clip) * sizeof(float));
    assert_non_null(clip.data);
    golden_input("clip", &clip);
    nn_video_build(f.graph, &config);
    assert_status(f.ctx, nn_video_calibrate(f.graph, &config, &clip), TN_RANGE);
    said(f.ctx, "has no values");
    assert_ok(f.ctx, nn_init(f.graph, 1));
    const float weight = tn_value_const(tn_find(f.graph, "conv1.weight"))[7];
    assert_ok(f.ctx, nn_video_calibrate(f.graph, &config, &clip));
    assert_true(tn_value_const(tn_find(f.graph, "conv1.weight"))[7] == weight);
    stem_statistics(&config, &f, size, clip.data);

    /* Normalised by their own statistics, the last block's sums keep a deviation near 1. */
    tn_plan *plan = plan_for(&f, size, clip.data);
    const tn_tensor features = tn_plan_value(plan, tn_find(f.graph, "features"));
    double mean = 0;
    for (int64_t i = 0; i < tn_numel(&features); i++)
        mean += (double)features.data[i] / (double)tn_numel(&features);
    assert_true(mean > 0.2 && mean < 2);
    tn_plan_destroy(plan);

    clip.data[100] = NAN;
    const float before = tn_value_const(tn_find(f.graph, "bn1.running_mean"))[0];
    assert_status(f.ctx, nn_video_calibrate(f.graph, &config, &clip), TN_RANGE);
    said(f.ctx, "bn1.running_mean: the clips give statistics that are not finite");
    assert_true(tn_value_const(tn_find(f.graph, "bn1.running_mean"))[0] == before);
    clip.size[1] = 2;
    assert_status(f.ctx, nn_video_calibrate(f.graph, &config, &clip), TN_SHAPE);
    said(f.ctx, "(2, 2, 8, 32, 32), expected (N, 3, T, H, W)");
    free(clip.data);
    destroy(&f);
}

/* ---- models ---------------------------------------------------------------------------------------- */

static void video_model(void **state)
{
    (void)state;
    const nn_video_config config = small_video();
    fixture f = saved_video(&config);
    nn_model *model = open_model(&f, NN_VIDEO);
    const nn_facts *facts = nn_model_facts(model);
    assert_int_equal(facts->frames, 8);
    assert_int_equal(facts->size, 64);
    assert_true(facts->fps == 2.5);
    for (int i = 0; i < 4; i++)
        assert_string_equal(facts->class_name[i], video_names[i]);
    assert_null(nn_model_audio(model));
    /* What no tensor says came through the metadata. */
    assert_memory_equal(nn_model_video(model)->stem_stride, config.stem_stride, sizeof config.stem_stride);
    assert_false(nn_model_video(model)->stem_pool);
    assert_string_equal(nn_model_video(model)->head, config.head);

    nn_result result;
    assert_status(f.ctx, nn_model_run(model, &result), TN_RANGE);
    said(f.ctx, "run before it was prepared");
    float first[4];
    const tn_plan *plan = NULL;
    for (int round = 0; round < 4; round++) {
        tn_tensor input;
        const int frames = round == 2 ? 5 : 4; /* another shape in between */
        assert_ok(f.ctx, nn_video_prepare(model, 1, frames, 24, 20, &input));
        if (round == 1)
            assert_ptr_equal(nn_model_plan(model), plan);
        plan = nn_model_plan(model);
        golden_input("clip", &input);
        assert_ok(f.ctx, nn_model_run(model, &result));
        assert_int_equal(result.features.size[1], 64);
        assert_null(result.attention.data);
        if (round == 0)
            memcpy(first, result.probabilities.data, sizeof first);
        else if (round != 2)
            assert_memory_equal(first, result.probabilities.data, sizeof first);
        else
            assert_memory_not_equal(first, result.probabilities.data, sizeof first);
    }
    tn_tensor input;
    assert_status(f.ctx, nn_video_prepare(model, 1, 0, 24, 20, &input), TN_RANGE);
    said(f.ctx, "(1, 3, 0, 24, 20)");
    assert_status(f.ctx, nn_audio_prepare(model, 1, 4, &input, &input), TN_RANGE);
    said(f.ctx, "a model for video was given audio");
    nn_model_close(model);
    destroy(&f);
}

static void not_opened(fixture *f, const nn_model_options *options, tn_status status, const char *message)
{
    nn_model *model = NULL;
    assert_status(f->ctx, nn_model_open(f->ctx, f->path, options, &model), status);
    assert_null(model);
    said(f->ctx, message);
}

static void class_names(void **state)
{
    (void)state;
    const nn_video_config config = small_video();
    fixture f = saved_video(&config);
    char *given[] = {"a", "b", "c", "d"};
    const wt_labels labels = {4, given}, too_few = {3, given};
    nn_model *model = NULL;
    assert_ok(f.ctx,
              nn_model_open(f.ctx, f.path, &(nn_model_options){.kind = NN_VIDEO, .labels = &labels}, &model));
    assert_string_equal(nn_model_facts(model)->class_name[3], "d");
    nn_model_close(model);
    not_opened(&f, &(nn_model_options){.kind = NN_VIDEO, .labels = &too_few}, TN_SHAPE,
               "the head has 4 classes, but 3 class names were given");
    not_opened(&f, &(nn_model_options){.kind = NN_AUDIO}, TN_SHAPE,
               "video where weights of the audio network are expected");

    /* A converted checkpoint: no metadata at all. */
    tensors t;
    take(&t, f.graph);
    wt_close(written(&f, &t));
    not_opened(&f, &(nn_model_options){.kind = NN_VIDEO}, TN_FORMAT, "does not name its 4 classes");
    not_opened(&f, &(nn_model_options){.kind = NN_AUDIO}, TN_SHAPE, "video where");
    assert_ok(f.ctx,
              nn_model_open(f.ctx, f.path, &(nn_model_options){.kind = NN_VIDEO, .nameless = true}, &model));
    assert_null(nn_model_facts(model)->class_name);
    nn_model_close(model);

    t.count = 2;
    find(&t, "conv1.weight")->name = "some.weight";
    wt_close(written(&f, &t));
    not_opened(&f, &(nn_model_options){.kind = NN_VIDEO}, TN_SHAPE, "weights of an unknown network where");
    destroy(&f);
}

static void wrong_metadata(void **state)
{
    (void)state;
    static const struct {
        const char *key, *value, *message;
    } wrong[] = {
        {"valence.classes", "a,b,c", "names 3 classes, but the head has 4"},
        {"valence.classes", "a,b,,c", "class name 3 is \"\""},
        {"valence.classes", "a,b,c,a", "class \"a\" is there twice"},
        {"valence.frames", "0", "metadata valence.frames is \"0\", expected 1 whole number of at least 1"},
        {"valence.frames", "x", "valence.frames is \"x\""},
        {"valence.frames", "1,2", "valence.frames is \"1,2\""},
        {"valence.fps", "-1", "valence.fps is \"-1\", expected a number"},
        {"valence.fps", "nan", "valence.fps"},
        {"valence.stem_stride", "1,2", "expected 3 whole numbers"},
        {"valence.stem_stride", "1,2,99999999999999999999", "valence.stem_stride"},
        {"valence.kind", "picture", "picture where weights of the video network are expected"},
    };
    const nn_video_config config = small_video();
    fixture f = make_video(&config);
    tensors t;
    take(&t, f.graph);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        const wt_meta meta[2] = {{wrong[i].key, wrong[i].value}, {"valence.classes", "a,b,c,d"}};
        const bool both = strcmp(wrong[i].key, "valence.classes") != 0;
        assert_ok(f.ctx, wt_save(f.ctx, f.path, t.at, t.count, meta, both ? 2 : 1));
        nn_model *model = NULL;
        assert_int_not_equal(nn_model_open(f.ctx, f.path, &(nn_model_options){.kind = NN_VIDEO}, &model),
                             TN_OK);
        assert_null(model);
        said(f.ctx, wrong[i].message);
    }
    char *with_comma[] = {"a", "b", "c,d", "e"};
    const nn_facts facts = {.kind = NN_VIDEO, .classes = 4, .class_name = with_comma};
    assert_status(f.ctx, nn_save(f.graph, f.path, &config, NULL, &facts, NULL, 0), TN_RANGE);
    said(f.ctx, "class name 3 is \"c,d\"");
    destroy(&f);
}

static void audio_model(void **state)
{
    (void)state;
    nn_audio_config config = small_audio();
    config.kind = NN_ATTENTION_SOFTMAX;
    fixture f = saved_audio(&config, NN_NORM_TRAIN);
    nn_model *model = open_model(&f, NN_AUDIO);
    const nn_facts *facts = nn_model_facts(model);
    assert_int_equal(facts->rate, 16000);
    assert_true(facts->eps == 1e-8);
    assert_int_equal(facts->scaling.norm, NN_NORM_TRAIN);
    assert_true(facts->scaling.mean[3] == 3 && facts->scaling.deviation[1] == 2);
    assert_int_equal(nn_model_audio(model)->kind, NN_ATTENTION_SOFTMAX);

    enum { WINDOWS = 7 };
    double features[WINDOWS * 5];
    for (int i = 0; i < WINDOWS * 5; i++)
        features[i] = sin(i);
    features[12] = NAN;
    features[13] = -INFINITY;
    nn_result a;
    size_t replaced = 0;
    assert_ok(f.ctx, nn_audio_predict(model, features, WINDOWS, 5, &a, &replaced));
    assert_int_equal(replaced, 2);
    float kept[3];
    memcpy(kept, a.logits.data, sizeof kept);
    features[12] = features[13] = 0; /* what stands in for them */
    assert_ok(f.ctx, nn_audio_predict(model, features, WINDOWS, 5, &a, &replaced));
    assert_int_equal(replaced, 0);
    assert_memory_equal(kept, a.logits.data, sizeof kept);
    assert_int_equal(a.attention.size[1], WINDOWS);

    /* The same through a batch that the caller fills. */
    tn_tensor input, lengths;
    assert_ok(f.ctx, nn_audio_prepare(model, 2, WINDOWS + 3, &input, &lengths));
    const tn_tensor second = tn_view(input.data + input.stride[0], 2, input.size + 1);
    assert_int_equal(nn_scale(&facts->scaling, features, WINDOWS, &second), 0);
    assert_true(lengths.data[0] == WINDOWS + 3);
    lengths.data[1] = WINDOWS;
    assert_ok(f.ctx, nn_model_run(model, &a));
    assert_memory_equal(kept, a.logits.data + 3, sizeof kept);

    assert_status(f.ctx, nn_audio_predict(model, features, 0, 5, &a, NULL), TN_RANGE);
    said(f.ctx, "a clip of 0 windows");
    assert_status(f.ctx, nn_audio_predict(model, features, 5, 7, &a, NULL), TN_SHAPE);
    said(f.ctx, "7 features a window, expected 5");
    nn_model_close(model);
    destroy(&f);
}

static void scaling_by_hand(void **state)
{
    (void)state;
    float mean[3] = {1, 0, 2}, deviation[3] = {2, 0, 0.5f}, out[2 * 3];
    const double x[2 * 3] = {3, 5, NAN, -1, 1e300, 0.1};
    const int64_t size[2] = {2, 3};
    const tn_tensor view = tn_view(out, 2, size);

    const nn_scaling train = {NN_NORM_TRAIN, 3, mean, deviation};
    assert_int_equal(nn_scale(&train, x, 2, &view), 2); /* the NaN, and what is no float */
    const float want[6] = {1, 5, -4, -1, 0, -3.8f};
    for (int i = 0; i < 6; i++)
        assert_true(fabsf(out[i] - want[i]) < 1e-6f);

    const nn_scaling none = {.norm = NN_NORM_NONE, .width = 3};
    assert_int_equal(nn_scale(&none, x, 1, &view), 1);
    assert_true(out[0] == 3 && out[1] == 5 && out[2] == 0);

    const nn_scaling frame = {.norm = NN_NORM_FRAME, .width = 3};
    const double y[2 * 3] = {1, 2, 3, 0.1, 0.1, 0.1};
    assert_int_equal(nn_scale(&frame, y, 2, &view), 0);
    const float z = (float)sqrt(1.5);
    const float scores[6] = {-z, 0, z, 0, 0, 0};
    for (int i = 0; i < 6; i++)
        assert_true(fabsf(out[i] - scores[i]) < 1e-6f);

    /* Strides are the view's: a transposed target. */
    float turned[6];
    tn_tensor columns = tn_view(turned, 2, size);
    columns.stride[0] = 1;
    columns.stride[1] = 2;
    nn_scale(&none, y, 2, &columns);
    assert_true(turned[0] == 1 && turned[2] == 2 && turned[4] == 3 && turned[1] == 0.1f);
}

/* A value that is no number is found and named, wherever it is. */
static void not_finite(void **state)
{
    (void)state;
    const nn_video_config config = small_video();
    fixture f = saved_video(&config);
    /* Of layer3.0.conv2 the middle tap: others may lie in the padding, where they are not multiplied. */
    static const struct {
        const char *name;
        int element;
    } places[] = {{"conv1.weight", 37},
                  {"layer1.0.bn2.running_var", 1},
                  {"layer3.0.conv2.weight", 13},
                  {"last_linear.bias", 3}};
    for (int i = 0; i < 4; i++) {
        tensors t;
        take(&t, f.graph);
        wt_tensor *victim = find(&t, places[i].name);
        size_t n = 1;
        for (int a = 0; a < victim->rank; a++)
            n *= (size_t)victim->size[a];
        float *copy = malloc(n * sizeof *copy);
        assert_non_null(copy);
        memcpy(copy, victim->data, n * sizeof *copy);
        copy[places[i].element] = NAN;
        victim->data = copy;
        wt_close(written(&f, &t));
        nn_model *model = NULL;
        assert_ok(f.ctx, nn_model_open(f.ctx, f.path, &(nn_model_options){.kind = NN_VIDEO, .nameless = true},
                                       &model));
        tn_tensor input;
        nn_result result;
        assert_ok(f.ctx, nn_video_prepare(model, 1, 4, 24, 20, &input));
        golden_input("clip", &input);
        assert_status(f.ctx, nn_model_run(model, &result), TN_RANGE);
        char message[96];
        snprintf(message, sizeof message, "%s: element %d is not a finite number", places[i].name,
                 places[i].element);
        said(f.ctx, message);
        nn_model_close(model);
        free(copy);
    }
    wt_close(NULL);
    destroy(&f);
}

/* ---- memory ---------------------------------------------------------------------------------------- */

/* Fails one allocation, or every one from then on. */
typedef struct failing {
    long left;     /* allocations until it fails */
    bool for_good; /* and stays failing */
} failing;

static void *failing_alloc(void *user, size_t bytes)
{
    failing *f = user;
    const long left = f->left--;
    return left == 0 || (left < 0 && f->for_good) ? NULL : aligned_alloc(64, bytes);
}

static void failing_release(void *user, void *block)
{
    (void)user;
    free(block);
}

static tn_status whole_path(tn_ctx *ctx, const char *from, const char *to)
{
    const double features[2 * 5] = {0};
    const nn_model_options options = {.kind = NN_AUDIO};
    nn_model *model = NULL;
    nn_result result;
    tn_status status = nn_model_open(ctx, from, &options, &model);
    if (status == TN_OK)
        status = nn_audio_predict(model, features, 2, 5, &result, NULL);
    if (status == TN_OK)
        status =
            nn_save(nn_model_graph(model), to, NULL, nn_model_audio(model), nn_model_facts(model), NULL, 0);
    nn_model_close(model);
    return status;
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    const nn_audio_config config = small_audio();
    fixture f = saved_audio(&config, NN_NORM_TRAIN);
    char *to = NULL;
    assert_true(asprintf(&to, "%s/copy.safetensors", f.dir) > 0);
    long allocations = 0;
    for (int for_good = 0; for_good < 2; for_good++) {
        tn_status status = TN_NOMEM;
        for (allocations = 1; status != TN_OK; allocations++) {
            failing fail = {allocations, for_good};
            const tn_allocator allocator = {failing_alloc, failing_release, &fail};
            const tn_options options = {.threads = 1, .allocator = &allocator};
            tn_ctx *ctx = NULL;
            assert_int_equal(tn_ctx_create(&options, &ctx), TN_OK);
            status = whole_path(ctx, f.path, to);
            if (status != TN_OK) {
                assert_int_equal(status, TN_NOMEM);
                assert_non_null(strstr(tn_error(ctx), "memory"));
            }
            tn_ctx_destroy(ctx);
        }
    }
    assert_true(allocations > 100);
    /* What was saved is what was read. */
    assert_int_equal(test_run(NULL, NULL, "test $(wc -c < '%s') -gt 5000", to), 0);
    free(to);
    destroy(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes_come_from_the_tensors),
        cmocka_unit_test(wrong_sizes_are_named),
        cmocka_unit_test(audio_sizes),
        cmocka_unit_test(binding_names_all_that_does_not_fit),
        cmocka_unit_test(a_new_head_keeps_its_values),
        cmocka_unit_test(other_types_are_converted),
        cmocka_unit_test(initial_values),
        cmocka_unit_test(calibration),
        cmocka_unit_test(video_model),
        cmocka_unit_test(class_names),
        cmocka_unit_test(wrong_metadata),
        cmocka_unit_test(audio_model),
        cmocka_unit_test(scaling_by_hand),
        cmocka_unit_test(not_finite),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
