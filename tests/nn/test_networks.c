/* Both networks against PyTorch: outputs, gradients, statistics; equal bits for every number of threads. */
#include "tests/common/golden.h"

#include "nn/nn.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Bounds, as shares of a tensor's largest value. */
static const double output_bound = 1e-4, gradient_bound = 1e-3, statistics_bound = 1e-5;

/* A network with drawn weights, and a plan. */
typedef struct fixture {
    tn_ctx *ctx;
    tn_graph *graph;
    nn_network net;
    tn_var *loss;  /* NULL without one */
    tn_plan *plan; /* made by prepare() */
} fixture;

static fixture make_video(int threads, const nn_video_config *config)
{
    fixture f = {.ctx = test_ctx(threads, NULL)};
    assert_ok(f.ctx, tn_graph_create(f.ctx, &f.graph));
    f.net = nn_video_build(f.graph, config);
    return f;
}

static fixture make_audio(int threads, const nn_audio_config *config)
{
    fixture f = {.ctx = test_ctx(threads, NULL)};
    assert_ok(f.ctx, tn_graph_create(f.ctx, &f.graph));
    f.net = nn_audio_build(f.graph, config);
    return f;
}

static void destroy(fixture *f)
{
    tn_plan_destroy(f->plan);
    tn_graph_destroy(f->graph);
    tn_ctx_destroy(f->ctx);
}

static void prepare(fixture *f, tn_mode mode, const int64_t *size)
{
    tn_input_shape shapes[3] = {{.name = tn_var_name(f->net.input)}};
    int count = 1;
    memcpy(shapes[0].size, size, (size_t)tn_var_rank(f->net.input) * sizeof *size);
    if (f->net.lengths)
        shapes[count++] = (tn_input_shape){.name = "lengths", .size = {size[0]}};
    if (f->loss)
        shapes[count++] = (tn_input_shape){.name = "labels", .size = {size[0]}};
    const tn_plan_options options = {.mode = mode, .loss = f->loss, .debug = test_quick()};
    assert_ok(f->ctx, tn_plan_create(f->graph, &options, shapes, count, &f->plan));
    const tn_tensor input = tn_plan_value(f->plan, f->net.input);
    golden_input(tn_var_name(f->net.input), &input);
}

static void set(const fixture *f, const char *name, const float *values, int count)
{
    const tn_tensor t = tn_plan_value(f->plan, tn_find(f->graph, name));
    assert_int_equal(tn_numel(&t), count);
    memcpy(t.data, values, (size_t)count * sizeof *values);
}

static void compare(const fixture *f, const wt_file *want, const char *name, double bound)
{
    const tn_tensor got = tn_plan_value(f->plan, tn_find(f->graph, name));
    golden_near(f->ctx, want, name, &got, bound);
}

static void compare_gradients(const fixture *f, const wt_file *want)
{
    int compared = 0;
    for (int i = 0; i < tn_param_count(f->graph); i++) {
        const tn_var *param = tn_param_at(f->graph, i);
        char name[160];
        if (tn_is_buffer(param))
            continue;
        snprintf(name, sizeof name, "grad.%s", tn_var_name(param));
        const tn_tensor got = tn_plan_grad(f->plan, param);
        golden_near(f->ctx, want, name, &got, gradient_bound);
        compared++;
    }
    int wanted = 0;
    for (int i = 0; i < wt_count(want); i++)
        wanted += strncmp(wt_at(want, i)->name, "grad.", 5) == 0;
    assert_int_equal(compared, wanted);
}

static void compare_training(const fixture *f, const wt_file *want)
{
    static const char *const outputs[] = {"features", "logits", "loss"};
    for (int i = 0; i < 3; i++)
        compare(f, want, outputs[i], output_bound);
    compare_gradients(f, want);
}

/* ---- small networks, whole ------------------------------------------------------------------------- */

static const nn_video_config *small_video(void)
{
    static nn_video_config config;
    config = nn_video_defaults(5);
    config.width = 3;
    memcpy(config.blocks, (int[]){2, 1, 1, 1}, sizeof config.blocks);
    return &config;
}

static const int64_t small_clip[5] = {4, 3, 9, 40, 36};

static void freeze_statistics(tn_graph *graph)
{
    for (int i = 0; i < tn_param_count(graph); i++)
        if (tn_is_buffer(tn_param_at(graph, i)))
            assert_int_equal(tn_set_trainable(graph, tn_var_name(tn_param_at(graph, i)), false), 1);
}

static fixture trained_video(bool frozen)
{
    fixture f = make_video(2, small_video());
    f.loss = nn_add_loss(f.graph, f.net.logits, 5, false);
    golden_draw_all(f.graph);
    if (frozen)
        freeze_statistics(f.graph);
    prepare(&f, TN_TRAINING, small_clip);
    set(&f, "labels", (float[]){0, 3, 4, 1}, 4);
    tn_plan_forward(f.plan);
    tn_plan_backward(f.plan);
    assert_ok(f.ctx, tn_plan_check(f.plan));
    return f;
}

static void video_with_frozen_statistics(void **state)
{
    (void)state;
    fixture f = trained_video(true);
    wt_file *want = golden_open(f.ctx, "networks/video_frozen");
    compare_training(&f, want);
    wt_close(want);
    destroy(&f);
}

static void video_with_batch_statistics(void **state)
{
    (void)state;
    fixture f = trained_video(false);
    wt_file *want = golden_open(f.ctx, "networks/video_training");
    compare_training(&f, want);
    int buffers = 0;
    for (int i = 0; i < tn_param_count(f.graph); i++) {
        tn_var *param = tn_param_at(f.graph, i);
        if (!tn_is_buffer(param))
            continue;
        const tn_tensor got = tn_value(param);
        golden_near(f.ctx, want, tn_var_name(param), &got, statistics_bound);
        buffers++;
    }
    assert_int_equal(buffers, 2 * (1 + 3 * 5 + 4));
    wt_close(want);
    destroy(&f);
}

/* The inference plan folds and fuses; it must say what the frozen network says. */
static void video_inference(void **state)
{
    (void)state;
    for (int i = 0; tn_isa_list(i); i++) {
        fixture f = {.ctx = test_ctx(2, tn_isa_list(i))};
        assert_ok(f.ctx, tn_graph_create(f.ctx, &f.graph));
        f.net = nn_video_build(f.graph, small_video());
        golden_draw_all(f.graph);
        prepare(&f, TN_INFERENCE, small_clip);
        tn_plan_forward(f.plan);
        wt_file *want = golden_open(f.ctx, "networks/video_frozen");
        compare(&f, want, "features", output_bound);
        compare(&f, want, "logits", output_bound);
        wt_close(want);
        destroy(&f);
    }
}

static void audio_network(nn_attention kind, const char *golden)
{
    nn_audio_config config = {
        .inputs = 10, .dense = {13, 12}, .cells = 7, .classes = 3, .kind = kind}; /* no dropout */
    const float lengths[4] = {11, 4, 1, 8}, labels[4] = {2, 0, 1, 1};
    static const char *const outputs[] = {"features", "logits", "probabilities", "attention"};
    for (int training = 0; training < 2; training++) {
        fixture f = make_audio(2, &config);
        if (training)
            f.loss = nn_add_loss(f.graph, f.net.logits, 3, false);
        golden_draw_all(f.graph);
        prepare(&f, training ? TN_TRAINING : TN_INFERENCE, (int64_t[]){4, 11, 10});
        set(&f, "lengths", lengths, 4);
        if (training)
            set(&f, "labels", labels, 4);
        tn_plan_forward(f.plan);
        wt_file *want = golden_open(f.ctx, golden);
        for (int i = 0; i < 4; i++)
            compare(&f, want, outputs[i], output_bound);
        if (training) {
            tn_plan_backward(f.plan);
            compare(&f, want, "loss", output_bound);
            compare_gradients(&f, want);
        }
        assert_ok(f.ctx, tn_plan_check(f.plan));
        wt_close(want);
        destroy(&f);
    }
}

static void audio_with_local_attention(void **state)
{
    (void)state;
    audio_network(NN_ATTENTION_LOCAL, "networks/audio_local");
}

static void audio_with_softmax_query(void **state)
{
    (void)state;
    audio_network(NN_ATTENTION_SOFTMAX, "networks/audio_softmax_query");
}

/* ---- real widths ----------------------------------------------------------------------------------- */

/* Drawn once and bound by every graph: 47 million numbers. */
typedef struct drawn {
    float **values; /* of each parameter in order */
    int count;      /* parameters */
} drawn;

static drawn draw_once(const nn_video_config *config)
{
    fixture f = make_video(1, config);
    drawn d = {.count = tn_param_count(f.graph)};
    d.values = calloc((size_t)d.count, sizeof *d.values);
    assert_non_null(d.values);
    for (int i = 0; i < d.count; i++) {
        const tn_var *param = tn_param_at(f.graph, i);
        tn_tensor t = tn_view(NULL, tn_var_rank(param), tn_var_size(param));
        t.data = d.values[i] = malloc((size_t)tn_numel(&t) * sizeof *t.data);
        assert_non_null(t.data);
        golden_draw(tn_var_name(param), &t);
    }
    destroy(&f);
    return d;
}

static void free_drawn(drawn *d)
{
    for (int i = 0; i < d->count; i++)
        free(d->values[i]);
    free(d->values);
}

static fixture run_full(const nn_video_config *config, const drawn *d, int threads, const int64_t *size)
{
    fixture f = make_video(threads, config);
    for (int i = 0; i < d->count; i++)
        tn_bind(tn_param_at(f.graph, i), d->values[i]);
    prepare(&f, TN_INFERENCE, size);
    tn_plan_forward(f.plan);
    return f;
}

static void same_bits(const fixture *a, const fixture *b, const char *name)
{
    const tn_tensor x = tn_plan_value(a->plan, tn_find(a->graph, name));
    const tn_tensor y = tn_plan_value(b->plan, tn_find(b->graph, name));
    float *p = golden_rows(&x), *q = golden_rows(&y);
    assert_int_equal(tn_numel(&x), tn_numel(&y));
    assert_memory_equal(p, q, (size_t)tn_numel(&x) * sizeof *p);
    free(p);
    free(q);
}

static void video_at_full_width(void **state)
{
    (void)state;
    static const struct {
        const char *golden;
        int64_t size[5];
    } cases[2] = {{"networks/video_4x112", {1, 3, 4, 112, 112}},
                  {"networks/video_16x224", {1, 3, 16, 224, 224}}};
    const nn_video_config config = nn_video_defaults(305);
    drawn d = draw_once(&config);
    int64_t parameters = 0;
    for (int c = 0; c < (test_quick() ? 1 : 2); c++) {
        fixture first = run_full(&config, &d, 1, cases[c].size);
        wt_file *want = golden_open(first.ctx, cases[c].golden);
        compare(&first, want, "features", 1e-3);
        compare(&first, want, "logits", 1e-3);
        wt_close(want);
        for (int threads = 2; threads <= (c == 0 ? 3 : 2); threads++) {
            fixture other = run_full(&config, &d, threads, cases[c].size);
            same_bits(&first, &other, "features");
            same_bits(&first, &other, "logits");
            destroy(&other);
        }
        parameters = 0;
        for (int i = 0; i < d.count; i++) {
            const tn_var *param = tn_param_at(first.graph, i);
            const tn_tensor t = tn_view(NULL, tn_var_rank(param), tn_var_size(param));
            parameters += tn_is_buffer(param) ? 0 : tn_numel(&t);
        }
        destroy(&first);
    }
    assert_int_equal(parameters, 46823921);
    free_drawn(&d);
}

static void audio_at_full_width(void **state)
{
    (void)state;
    const nn_audio_config config = nn_audio_defaults(3);
    static const char *const outputs[] = {"features", "logits", "probabilities", "attention"};
    fixture f[3];
    for (int i = 0; i < 3; i++) {
        f[i] = make_audio(i + 1, &config);
        golden_draw_all(f[i].graph);
        prepare(&f[i], TN_INFERENCE, (int64_t[]){2, 498, 34});
        set(&f[i], "lengths", (float[]){498, 311}, 2);
        tn_plan_forward(f[i].plan);
    }
    wt_file *want = golden_open(f[0].ctx, "networks/audio_498");
    for (int i = 0; i < 4; i++) {
        compare(&f[0], want, outputs[i], 1e-3);
        same_bits(&f[0], &f[1], outputs[i]);
        same_bits(&f[0], &f[2], outputs[i]);
    }
    wt_close(want);
    for (int i = 0; i < 3; i++)
        destroy(&f[i]);
}

/* ---- padding and threads --------------------------------------------------------------------------- */

/* A clip alone, and in the middle of a longer batch with rubbish behind it: the same bits. */
static void padding_changes_nothing(void **state)
{
    (void)state;
    nn_audio_config config = nn_audio_defaults(3);
    config.dense[0] = 40;
    config.dense[1] = 36;
    config.cells = 20;
    enum { STEPS = 37, LONG = 61, F = 34 };
    fixture alone = make_audio(1, &config), batch = make_audio(3, &config);
    golden_draw_all(alone.graph);
    golden_draw_all(batch.graph);
    prepare(&alone, TN_INFERENCE, (int64_t[]){1, STEPS, F});
    prepare(&batch, TN_INFERENCE, (int64_t[]){4, LONG, F});
    set(&alone, "lengths", (float[]){STEPS}, 1);
    set(&batch, "lengths", (float[]){LONG, 5, STEPS, 0}, 4);
    const tn_tensor one = tn_plan_value(alone.plan, alone.net.input);
    const tn_tensor all = tn_plan_value(batch.plan, batch.net.input);
    memcpy(all.data + 2 * LONG * F, one.data, STEPS * F * sizeof(float));
    tn_plan_forward(alone.plan);
    tn_plan_forward(batch.plan);
    static const char *const outputs[] = {"features", "logits", "probabilities"};
    for (int i = 0; i < 3; i++) {
        const tn_tensor a = tn_plan_value(alone.plan, tn_find(alone.graph, outputs[i]));
        const tn_tensor b = tn_plan_value(batch.plan, tn_find(batch.graph, outputs[i]));
        assert_memory_equal(a.data, b.data + 2 * b.size[1], (size_t)a.size[1] * sizeof(float));
    }
    const tn_tensor a = tn_plan_value(alone.plan, alone.net.attention);
    const tn_tensor b = tn_plan_value(batch.plan, batch.net.attention);
    assert_memory_equal(a.data, b.data + 2 * LONG, STEPS * sizeof(float));
    for (int t = STEPS; t < LONG; t++)
        assert_true(b.data[2 * LONG + t] == 0);
    destroy(&alone);
    destroy(&batch);
}

/* One training step, dropout and all: gradients and statistics have the same bits for 1, 2 and 3 threads. */
static void gradients_have_the_same_bits(void **state)
{
    (void)state;
    nn_audio_config audio = nn_audio_defaults(3);
    audio.dense[0] = 33;
    audio.dense[1] = 20;
    audio.cells = 9;
    for (int kind = 0; kind < 2; kind++) {
        fixture f[3];
        for (int i = 0; i < 3; i++) {
            f[i] = kind ? make_audio(i + 1, &audio) : make_video(i + 1, small_video());
            f[i].loss = nn_add_loss(f[i].graph, f[i].net.logits, kind ? 3 : 5, true);
            golden_draw_all(f[i].graph);
            tn_input_shape shapes[4] = {{.name = kind ? "sequence" : "clip", .size = {4, 29, 34}},
                                        {.name = "labels", .size = {4}},
                                        {.name = "class_weights", .size = {kind ? 3 : 5}},
                                        {.name = "lengths", .size = {4}}};
            if (!kind)
                memcpy(shapes[0].size, small_clip, sizeof small_clip);
            const tn_plan_options options = {.mode = TN_TRAINING, .loss = f[i].loss};
            assert_ok(f[i].ctx, tn_plan_create(f[i].graph, &options, shapes, 3 + kind, &f[i].plan));
            const tn_tensor input = tn_plan_value(f[i].plan, f[i].net.input);
            golden_input("clip", &input);
            set(&f[i], "labels", (float[]){0, 2, 1, 1}, 4);
            set(&f[i], "class_weights", (float[]){1, 2, 0.5f, 1, 1}, kind ? 3 : 5);
            if (kind)
                set(&f[i], "lengths", (float[]){29, 3, 17, 28}, 4);
            tn_plan_seed(f[i].plan, 1, 2, 3);
            tn_plan_forward(f[i].plan);
            tn_plan_backward(f[i].plan);
        }
        for (int p = 0; p < tn_param_count(f[0].graph); p++)
            for (int i = 1; i < 3; i++) {
                tn_var *a = tn_param_at(f[0].graph, p), *b = tn_param_at(f[i].graph, p);
                const bool buffer = tn_is_buffer(a);
                const tn_tensor x = buffer ? tn_value(a) : tn_plan_grad(f[0].plan, a);
                const tn_tensor y = buffer ? tn_value(b) : tn_plan_grad(f[i].plan, b);
                assert_memory_equal(x.data, y.data, (size_t)tn_numel(&x) * sizeof(float));
            }
        for (int i = 0; i < 3; i++)
            destroy(&f[i]);
    }
}

/* Any number of frames runs, down to one. */
static void any_number_of_frames(void **state)
{
    (void)state;
    for (int frames = 1; frames <= 10; frames += 3) {
        fixture f = make_video(2, small_video());
        golden_draw_all(f.graph);
        prepare(&f, TN_INFERENCE, (int64_t[]){1, 3, frames, 33, 47});
        tn_plan_forward(f.plan);
        const tn_tensor p = tn_plan_value(f.plan, f.net.probabilities);
        float sum = 0;
        for (int i = 0; i < 5; i++)
            sum += p.data[i];
        assert_true(fabsf(sum - 1) < 1e-5f);
        destroy(&f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(video_with_frozen_statistics),
        cmocka_unit_test(video_with_batch_statistics),
        cmocka_unit_test(video_inference),
        cmocka_unit_test(audio_with_local_attention),
        cmocka_unit_test(audio_with_softmax_query),
        cmocka_unit_test(video_at_full_width),
        cmocka_unit_test(audio_at_full_width),
        cmocka_unit_test(padding_changes_nothing),
        cmocka_unit_test(gradients_have_the_same_bits),
        cmocka_unit_test(any_number_of_frames),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
