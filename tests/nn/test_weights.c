/* Weights of networks: sizes from tensors, binding and its complaints, initial values, calibration. */
#include "tests/nn/small.h"

#include <math.h>

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
    assert_status(f.ctx, nn_video_calibrate(f.graph, &config, &clip, NULL, NULL), TN_RANGE);
    said(f.ctx, "has no values");
    assert_ok(f.ctx, nn_init(f.graph, 1));
    const float weight = tn_value_const(tn_find(f.graph, "conv1.weight"))[7];
    assert_ok(f.ctx, nn_video_calibrate(f.graph, &config, &clip, NULL, NULL));
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
    assert_status(f.ctx, nn_video_calibrate(f.graph, &config, &clip, NULL, NULL), TN_RANGE);
    said(f.ctx, "bn1.running_mean: the clips give statistics that are not finite");
    assert_true(tn_value_const(tn_find(f.graph, "bn1.running_mean"))[0] == before);
    clip.size[1] = 2;
    assert_status(f.ctx, nn_video_calibrate(f.graph, &config, &clip, NULL, NULL), TN_SHAPE);
    said(f.ctx, "(2, 2, 8, 32, 32), expected (N, 3, T, H, W)");
    free(clip.data);
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
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
