/* Models ready to answer: metadata, class names, predicting, scaling, failing memory. */
#include "tests/nn/small.h"

#include <math.h>

static nn_model *open_model(fixture *f, nn_kind kind)
{
    const nn_model_options options = {.kind = kind};
    nn_model *model = NULL;
    assert_ok(f->ctx, nn_model_open(f->ctx, f->path, &options, &model));
    return model;
}

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
