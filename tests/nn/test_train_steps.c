/* Ten training steps of both networks against PyTorch; what a step does about numbers that are not finite. */
#include "tests/common/golden.h"

#include "nn/nn.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { STEPS = 10, ROWS = 4 };

/* Bounds, as shares of a tensor's largest value. */
static const double loss_bound = 2e-5, weight_bound = 5e-4;

/* A network with drawn weights and a training plan of four rows. */
typedef struct fixture {
    tn_ctx *ctx;
    tn_graph *graph;
    nn_network net;
    tn_var *loss;
    tn_plan *plan;
    nn_optimizer *optimizer;
} fixture;

static fixture make(int threads, nn_kind kind, const nn_optimizer_options *options)
{
    const nn_audio_config audio = {.inputs = 10, .dense = {13, 12}, .cells = 7, .classes = 3};
    nn_video_config video = nn_video_defaults(5);
    video.width = 3;
    memcpy(video.blocks, (int[]){2, 1, 1, 1}, sizeof video.blocks);
    fixture f = {.ctx = test_ctx(threads, NULL)};
    assert_ok(f.ctx, tn_graph_create(f.ctx, &f.graph));
    f.net = kind == NN_VIDEO ? nn_video_build(f.graph, &video) : nn_audio_build(f.graph, &audio);
    f.loss = nn_add_loss(f.graph, f.net.logits, kind == NN_VIDEO ? 5 : 3, false);
    for (int i = 0; i < tn_param_count(f.graph); i++) {
        const tn_tensor value = tn_value(tn_param_at(f.graph, i));
        assert_non_null(value.data);
        golden_draw_shifted(tn_var_name(tn_param_at(f.graph, i)), &value);
    }
    tn_input_shape shapes[3] = {{"labels", {ROWS}}, {"sequence", {ROWS, 11, 10}}, {"lengths", {ROWS}}};
    if (kind == NN_VIDEO)
        shapes[1] = (tn_input_shape){"clip", {ROWS, 3, 5, 40, 36}};
    const tn_plan_options plan = {.mode = TN_TRAINING, .loss = f.loss};
    assert_ok(f.ctx, tn_plan_create(f.graph, &plan, shapes, kind == NN_VIDEO ? 2 : 3, &f.plan));
    assert_ok(f.ctx, nn_optimizer_create(f.graph, options, &f.optimizer));
    return f;
}

static void destroy(fixture *f)
{
    nn_optimizer_destroy(f->optimizer);
    tn_plan_destroy(f->plan);
    tn_graph_destroy(f->graph);
    tn_ctx_destroy(f->ctx);
}

/* Writes the batch of a step: what tests/golden/training.py feeds. */
static void feed(const fixture *f, int step)
{
    static const float lengths[ROWS] = {11, 4, 1, 8};
    static const float labels[2][ROWS] = {{0, 3, 4, 1}, {2, 0, 1, 1}};
    char name[32];
    snprintf(name, sizeof name, "%s.%d", tn_var_name(f->net.input), step);
    const tn_tensor input = tn_plan_value(f->plan, f->net.input);
    golden_input(name, &input);
    if (f->net.lengths)
        memcpy(tn_plan_value(f->plan, f->net.lengths).data, lengths, sizeof lengths);
    float *label = tn_plan_value(f->plan, tn_find(f->graph, "labels")).data;
    for (int i = 0; i < ROWS; i++)
        label[(i + step) % ROWS] = labels[f->net.lengths != NULL][i];
}

static nn_optimizer_options options_of(nn_method method)
{
    nn_optimizer_options options = nn_optimizer_defaults(method);
    options.weight_decay = 0.01;
    options.clip = method == NN_SGD ? 0.5 : 0;
    return options;
}

static fixture trained(int threads, nn_kind kind, nn_method method, float losses[STEPS])
{
    const nn_optimizer_options options = options_of(method);
    fixture f = make(threads, kind, &options);
    const double rate = method == NN_SGD ? 0.005 : kind == NN_VIDEO ? 1e-4 : 1e-3;
    for (int step = 0; step < STEPS; step++) {
        double loss;
        feed(&f, step);
        assert_ok(f.ctx, nn_train_step(f.graph, f.plan, f.loss, f.optimizer, rate, step + 1, &loss));
        losses[step] = (float)loss;
    }
    return f;
}

/* ---- against PyTorch ------------------------------------------------------------------------------- */

static void ten_steps(nn_kind kind, nn_method method)
{
    char name[64];
    float losses[STEPS];
    fixture f = trained(2, kind, method, losses);
    snprintf(name, sizeof name, "training/%s_%s", nn_kind_name(kind), nn_method_name(method));
    wt_file *want = golden_open(f.ctx, name);
    const tn_tensor got = tn_view(losses, 1, (int64_t[]){STEPS});
    golden_near(f.ctx, want, "losses", &got, loss_bound);
    for (int i = 0; i < tn_param_count(f.graph); i++) {
        tn_var *param = tn_param_at(f.graph, i);
        const tn_tensor value = tn_value(param);
        golden_near(f.ctx, want, tn_var_name(param), &value, weight_bound);
    }
    assert_int_equal(wt_count(want), tn_param_count(f.graph) + 1);
    wt_close(want);
    destroy(&f);
}

static void video_with_adam(void **state)
{
    (void)state;
    ten_steps(NN_VIDEO, NN_ADAM);
}

static void video_with_sgd(void **state)
{
    (void)state;
    ten_steps(NN_VIDEO, NN_SGD);
}

static void audio_with_adam(void **state)
{
    (void)state;
    ten_steps(NN_AUDIO, NN_ADAM);
}

static void audio_with_sgd(void **state)
{
    (void)state;
    ten_steps(NN_AUDIO, NN_SGD);
}

/* ---- equal bits ------------------------------------------------------------------------------------ */

static void same_values(const fixture *a, const fixture *b)
{
    for (int i = 0; i < tn_param_count(a->graph); i++) {
        const tn_tensor x = tn_value(tn_param_at(a->graph, i)), y = tn_value(tn_param_at(b->graph, i));
        assert_memory_equal(x.data, y.data, (size_t)tn_numel(&x) * sizeof(float));
    }
}

static void threads_give_equal_bits(void **state)
{
    (void)state;
    for (int kind = 0; kind < 2; kind++) {
        float losses[STEPS], others[STEPS];
        fixture one = trained(1, kind ? NN_AUDIO : NN_VIDEO, NN_SGD, losses);
        for (int threads = 2; threads <= 3; threads++) {
            fixture more = trained(threads, kind ? NN_AUDIO : NN_VIDEO, NN_SGD, others);
            assert_memory_equal(losses, others, sizeof losses);
            same_values(&one, &more);
            destroy(&more);
        }
        destroy(&one);
    }
}

/* ---- clipping -------------------------------------------------------------------------------------- */

/* Plain SGD with rate 1 moves the parameters by the clipped gradient, whose norm is the bound; the direction
 * is that of the gradient. */
static void clipping_bounds_the_norm(void **state)
{
    (void)state;
    nn_optimizer_options options = nn_optimizer_defaults(NN_SGD);
    options.momentum = 0;
    options.clip = 0.01;
    fixture f = make(2, NN_AUDIO, &options);
    feed(&f, 0);
    float *before[32], *grad[32];
    const int params = tn_param_count(f.graph);
    tn_plan_forward(f.plan);
    tn_plan_backward(f.plan);
    double squares = 0, norm, moved = 0, along = 0;
    for (int i = 0; i < params; i++) {
        const tn_tensor value = tn_value(tn_param_at(f.graph, i)),
                        g = tn_plan_grad(f.plan, tn_param_at(f.graph, i));
        before[i] = golden_rows(&value);
        grad[i] = golden_rows(&g);
        for (int64_t k = 0; k < tn_numel(&g); k++)
            squares += (double)grad[i][k] * (double)grad[i][k];
    }
    assert_ok(f.ctx, nn_optimizer_step(f.optimizer, f.plan, 1, 1, &norm));
    assert_true(norm > 0.1 && fabs(norm - sqrt(squares)) < 1e-9);
    for (int i = 0; i < params; i++) {
        const tn_tensor value = tn_value(tn_param_at(f.graph, i));
        for (int64_t k = 0; k < tn_numel(&value); k++) {
            const double d = (double)before[i][k] - (double)value.data[k];
            moved += d * d;
            along += d * (double)grad[i][k];
        }
        free(before[i]);
        free(grad[i]);
    }
    assert_true(fabs(sqrt(moved) - 0.01) < 1e-6);
    assert_true(fabs(along / sqrt(moved * squares) - 1) < 1e-5);
    destroy(&f);
}

/* ---- what is not finite ---------------------------------------------------------------------------- */

/* The step fails, says `first` and `second`, and leaves every parameter's bits and the moments alone. */
static void refuses(fixture *f, int64_t step, const char *first, const char *second)
{
    float *before[32];
    double loss;
    const int params = tn_param_count(f->graph);
    for (int i = 0; i < params; i++) {
        const tn_tensor value = tn_value(tn_param_at(f->graph, i));
        before[i] = golden_rows(&value);
    }
    assert_status(f->ctx, nn_train_step(f->graph, f->plan, f->loss, f->optimizer, 0.1, step, &loss),
                  TN_RANGE);
    if (!strstr(tn_error(f->ctx), first) || !strstr(tn_error(f->ctx), second))
        fail_msg("\"%s\" lacks \"%s\" or \"%s\"", tn_error(f->ctx), first, second);
    tn_clear_error(f->ctx);
    for (int i = 0; i < params; i++) {
        const tn_tensor value = tn_value(tn_param_at(f->graph, i));
        assert_memory_equal(before[i], value.data, (size_t)tn_numel(&value) * sizeof(float));
        free(before[i]);
    }
    for (int i = 0; i < nn_optimizer_count(f->optimizer); i++)
        assert_true(nn_optimizer_values(f->optimizer, i)[0] == 0);
}

static void not_finite_stops(void **state)
{
    (void)state;
    const nn_optimizer_options options = nn_optimizer_defaults(NN_ADAM);
    fixture f = make(2, NN_AUDIO, &options);
    feed(&f, 0);
    float *x = tn_plan_value(f.plan, f.net.input).data, kept = x[3];
    x[3] = NAN;
    refuses(&f, 17, "step 17", "\"sequence\" is not");
    x[3] = kept;
    float *w = tn_value(tn_find(f.graph, "lstm.weight_hh_l0_reverse")).data;
    kept = w[5];
    w[5] = INFINITY;
    refuses(&f, 18, "step 18", "element 5 of lstm.weight_hh_l0_reverse");
    w[5] = kept;
    /* The head's bias keeps the loss finite where its gradient's seed is not. */
    tn_plan_grad(f.plan, f.loss).data[0] = NAN;
    refuses(&f, 19, "step 19", "gradient of dense1.weight");
    destroy(&f);
}

static void frozen_parameters_stay(void **state)
{
    (void)state;
    fixture f = make(1, NN_AUDIO, &(nn_optimizer_options){.method = NN_ADAM, .eps = 1e-8});
    assert_true(nn_optimizer_count(f.optimizer) == 2 * tn_param_count(f.graph));
    tn_set_trainable(f.graph, "", false);
    nn_optimizer *none = NULL;
    assert_status(f.ctx, nn_optimizer_create(f.graph, &(nn_optimizer_options){.eps = 1}, &none), TN_RANGE);
    tn_clear_error(f.ctx);
    assert_int_equal(tn_set_trainable(f.graph, "head", true), 2);
    const nn_optimizer_options adam = nn_optimizer_defaults(NN_ADAM);
    assert_ok(f.ctx, nn_optimizer_create(f.graph, &adam, &none));
    char name[160];
    assert_int_equal(nn_optimizer_count(none), 4);
    assert_string_equal(nn_optimizer_moment(none, 1, name, sizeof name).name, "adam.v.head.weight");
    nn_optimizer_destroy(none);
    const nn_optimizer_options bad = {.method = NN_ADAM, .beta1 = 1, .eps = 1e-8};
    assert_status(f.ctx, nn_optimizer_create(f.graph, &bad, &none), TN_RANGE);
    destroy(&f);
}

/* ---- learning rates -------------------------------------------------------------------------------- */

static void schedules(void **state)
{
    (void)state;
    nn_schedule s = {NN_SCHEDULE_CONSTANT, 0.5, 10, 3, 0.1};
    assert_true(nn_schedule_rate(&s, 7) == 0.5);
    s.kind = NN_SCHEDULE_COSINE;
    assert_true(nn_schedule_rate(&s, 0) == 0.5 && fabs(nn_schedule_rate(&s, 5) - 0.25) < 1e-15);
    assert_true(fabs(nn_schedule_rate(&s, 2.5) - 0.25 * (1 + sqrt(0.5))) < 1e-15);
    assert_true(nn_schedule_rate(&s, 10) < 1e-15 && nn_schedule_rate(&s, 12) < 1e-15);
    s.kind = NN_SCHEDULE_STEP;
    assert_true(nn_schedule_rate(&s, 2.9) == 0.5 && fabs(nn_schedule_rate(&s, 3) - 0.05) < 1e-15);
    assert_true(fabs(nn_schedule_rate(&s, 8) - 0.005) < 1e-15);
    nn_schedule_kind kind = NN_SCHEDULE_STEP;
    assert_true(nn_schedule_parse("cosine", &kind) && kind == NN_SCHEDULE_COSINE);
    assert_false(nn_schedule_parse("cosin", &kind));
    nn_method method = NN_ADAM;
    assert_true(nn_method_parse("sgd", &method) && method == NN_SGD && !nn_method_parse("", &method));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(video_with_adam),
        cmocka_unit_test(video_with_sgd),
        cmocka_unit_test(audio_with_adam),
        cmocka_unit_test(audio_with_sgd),
        cmocka_unit_test(threads_give_equal_bits),
        cmocka_unit_test(clipping_bounds_the_norm),
        cmocka_unit_test(not_finite_stops),
        cmocka_unit_test(frozen_parameters_stay),
        cmocka_unit_test(schedules),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
