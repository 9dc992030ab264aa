/* Running plans: gradients of vars that are used more than once, random numbers, views, profiles, memory, and
 * what happens when there is none. */
#include "tests/common/network.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* ---- gradients ------------------------------------------------------------------------------------- */

static void gradients_of_all_uses_add_up(void **state)
{
    (void)state;
    net n = net_open(2);
    tn_var *x = tn_input(n.graph, "x", 1, SIZE(9));
    assert_int_equal(tn_set_trainable(n.graph, "x", true), 1);
    tn_var *twice = tn_add(x, x); /* 2 */
    tn_var *y = tn_add(tn_add(twice, tn_relu(x)), tn_relu(tn_relu(x)));
    tn_output(y, "y"); /* 2 + 2 where x > 0 */
    tn_output(tn_add(tn_relu(x), y), "not the loss");
    tn_plan *plan = net_training(&n, "y", SIZE(9), 1);
    tn_tensor in = tn_plan_value(plan, x), seed = tn_plan_grad(plan, y), grad = tn_plan_grad(plan, x);
    for (int i = 0; i < 9; i++) {
        assert_true(seed.data[i] == 1.0f);
        seed.data[i] = (float)(i + 1);
    }
    for (int round = 0; round < 3; round++) { /* gradients are overwritten, the loss' stays */
        for (int i = 0; i < 9; i++)
            in.data[i] = (float)((i + round) % 3 - 1);
        tn_plan_forward(plan);
        tn_plan_backward(plan);
        for (int i = 0; i < 9; i++)
            assert_true(grad.data[i] == (float)(i + 1) * (in.data[i] > 0 ? 4 : 2));
    }
    tn_plan_destroy(plan);
    net_close(&n);
}

/* y = W (W x): one parameter in two layers. */
static void a_shared_parameter_gets_the_sum(void **state)
{
    (void)state;
    net n = net_open(1);
    tn_var *x = tn_input(n.graph, "x", 2, SIZE(1, 2)), *w = tn_param(n.graph, "w", 2, SIZE(2, 2));
    tn_output(tn_linear(tn_linear(x, w, NULL), w, NULL), "y");
    const float values[4] = {1, 2, 3, 4};
    tn_bind(w, values);
    tn_plan *plan = net_training(&n, "y", SIZE(1, 2), 2);
    tn_tensor in = tn_plan_value(plan, x);
    in.data[0] = 5, in.data[1] = 7; /* h = (19, 43) */
    tn_plan_forward(plan);
    tn_plan_backward(plan);
    const tn_tensor grad = tn_plan_grad(plan, w);
    /* ones h^T + (W^T ones) x^T */
    const float want[4] = {19 + 4 * 5, 43 + 4 * 7, 19 + 6 * 5, 43 + 6 * 7};
    for (int i = 0; i < 4; i++)
        assert_true(grad.data[i] == want[i]);
    tn_plan_destroy(plan);
    net_close(&n);
}

static void gradients_do_not_depend_on_threads_or_debugging(void **state)
{
    (void)state;
    float *first[64] = {NULL};
    for (int threads = 1; threads <= 3; threads++)
        for (int debug = 0; debug < 2; debug++) {
            net n = net_open_residual(threads);
            tn_plan *plan = NULL;
            tn_plan_options options = {
                .mode = TN_TRAINING, .loss = tn_find(n.graph, "logits"), .debug = debug};
            assert_ok(n.ctx, net_plan(&n, options, SIZE(3, 3, 2, 10, 9), 5, &plan));
            for (int round = 0; round < 2; round++) {
                net_randomise_x(plan);
                net_randomise(tn_plan_grad(plan, options.loss), 8);
                tn_plan_forward(plan);
                tn_plan_backward(plan);
            }
            assert_ok(n.ctx, tn_plan_check(plan));
            for (int i = 0; i < tn_param_count(n.graph); i++) {
                tn_var *var = tn_param_at(n.graph, i);
                const tn_tensor view = tn_is_buffer(var) ? tn_value(var) : tn_plan_grad(plan, var);
                float *now = net_read(view);
                if (first[i])
                    assert_memory_equal(first[i], now, (size_t)tn_numel(&view) * sizeof *now);
                free(first[i]);
                first[i] = now;
            }
            tn_plan_destroy(plan);
            net_close(&n);
        }
    for (int i = 0; i < 64; i++)
        free(first[i]);
}

/* ---- random ops ------------------------------------------------------------------------------------ */

static float *dropped(net *n, int64_t rows, uint64_t seed, uint64_t step, uint64_t first_sample)
{
    tn_plan *plan = net_training(n, "y", SIZE(rows, 50), 2);
    tn_tensor x = tn_plan_value(plan, tn_find(n->graph, "x"));
    for (int64_t i = 0; i < tn_numel(&x); i++)
        x.data[i] = 1;
    tn_plan_seed(plan, seed, step, first_sample);
    tn_plan_forward(plan);
    float *y = net_value(plan, "y");
    tn_plan_destroy(plan);
    return y;
}

static void masks_depend_on_seed_step_and_sample_only(void **state)
{
    (void)state;
    net n = net_open(2);
    tn_dropout_attr half = {0.5f, false};
    tn_output(tn_dropout(tn_relu(tn_input(n.graph, "x", 2, SIZE(TN_ANY, 50))), half), "y");
    float *all = dropped(&n, 4, 11, 2, 0);
    float *tail = dropped(&n, 2, 11, 2, 2); /* the last two rows, by another worker */
    assert_memory_equal(all + 100, tail, 100 * sizeof *tail);
    assert_memory_not_equal(all, tail, 100 * sizeof *tail);
    float *other_seed = dropped(&n, 4, 12, 2, 0), *other_step = dropped(&n, 4, 11, 3, 0);
    assert_memory_not_equal(all, other_seed, 200 * sizeof *all);
    assert_memory_not_equal(all, other_step, 200 * sizeof *all);
    free(all);
    free(tail);
    free(other_seed);
    free(other_step);
    net_close(&n);
}

/* ---- views ----------------------------------------------------------------------------------------- */

static void everything_in_the_slab_is_aligned(void **state)
{
    (void)state;
    net n = net_open_residual(3);
    for (int debug = 0; debug < 2; debug++) {
        tn_plan *plan = NULL;
        tn_plan_options options = {.mode = TN_TRAINING, .loss = tn_find(n.graph, "logits"), .debug = debug};
        assert_ok(n.ctx, net_plan(&n, options, SIZE(3, 3, 2, 7, 9), 5, &plan));
        for (int s = 0; s < plan->step_count; s++) {
            const tn_step *step = &plan->steps[s]->step;
            const void *places[] = {step->in[0].data,  step->out[0].data,  step->din[0].data,
                                    step->din[1].data, step->dout[0].data, step->packed,
                                    step->saved};
            for (size_t i = 0; i < sizeof places / sizeof *places; i++)
                assert_int_equal((uintptr_t)places[i] % 64, 0);
        }
        tn_plan_destroy(plan);
    }
    net_close(&n);
}

static void views_are_what_tensor_h_says(void **state)
{
    (void)state;
    net n = net_open(1);
    tn_var *x = tn_input(n.graph, "x", 5, SIZE(TN_ANY, 3, TN_ANY, TN_ANY, TN_ANY));
    tn_var *hidden = net_conv(x, "conv", 3, 4, 3, 1), *y = tn_relu(hidden);
    tn_output(y, "y");
    assert_ok(n.ctx, net_fill(n.graph));
    tn_var *weight = tn_find(n.graph, "conv.weight");
    tn_plan *fast = net_inference(&n, SIZE(2, 3, 4, 5, 6), 5),
            *plan = net_training(&n, "y", SIZE(2, 3, 4, 5, 6), 5);
    tn_tensor in = tn_plan_value(plan, x);
    const int64_t size[5] = {2, 3, 4, 5, 6}, stride[5] = {360, 1, 90, 18, 3};
    assert_memory_equal(in.size, size, sizeof size);
    assert_memory_equal(in.stride, stride, sizeof stride);
    assert_non_null(tn_plan_value(plan, y).data);
    assert_null(tn_plan_value(plan, hidden).data);
    assert_null(tn_plan_grad(plan, hidden).data);
    assert_null(tn_plan_grad(plan, x).data); /* not trainable */
    assert_non_null(tn_plan_grad(plan, y).data);
    tn_tensor grad = tn_plan_grad(plan, weight), value = tn_plan_value(plan, weight);
    const tn_tensor row_major = tn_view(NULL, 5, SIZE(4, 3, 3, 3, 3));
    assert_memory_equal(grad.stride, row_major.stride, sizeof row_major.stride);
    assert_memory_equal(value.stride, row_major.stride, sizeof row_major.stride);
    assert_non_null(grad.data);
    assert_ptr_equal(value.data, tn_value_const(weight));
    assert_null(tn_plan_grad(fast, weight).data);
    assert_null(tn_plan_grad(fast, y).data);
    /* Vars that came after the plan. */
    tn_var *late = tn_relu(y);
    tn_output(late, "late");
    assert_null(tn_plan_value(plan, late).data);
    assert_null(tn_plan_grad(plan, late).data);
    tn_plan_destroy(fast);
    tn_plan_destroy(plan);
    net_close(&n);
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* The first layer whose numbers leave the range, in order of the graph, and none where all are finite. */
static void the_first_step_that_is_not_finite(void **state)
{
    (void)state;
    static const char *const layer[] = {"conv1", "layer2.0.conv2", "fc"};
    for (int training = 0; training < 2; training++)
        for (size_t i = 0; i < sizeof layer / sizeof *layer; i++) {
            net n = net_open_residual(2);
            tn_plan *plan = training ? net_training(&n, "logits", SIZE(2, 3, 4, 16, 16), 5)
                                     : net_inference(&n, SIZE(2, 3, 4, 16, 16), 5);
            net_randomise_x(plan);
            tn_plan_forward(plan);
            float *before = net_value(plan, "logits");
            assert_int_equal(tn_plan_find_not_finite(plan), -1);
            net_assert_same_bits(before, net_value(plan, "logits"), 2 * 5);
            char name[64];
            snprintf(name, sizeof name, "%s.weight", layer[i]);
            const tn_tensor weight = tn_value(tn_find(n.graph, name));
            assert_non_null(weight.data);
            for (int64_t k = 0; k < tn_numel(&weight); k++)
                weight.data[k] = 3e38f;
            tn_plan_refresh(plan);
            const int found = tn_plan_find_not_finite(plan);
            assert_true(found >= 0);
            assert_string_equal(tn_plan_step(plan, found).name, layer[i]);
            tn_plan_destroy(plan);
            net_close(&n);
        }
}

static void profile_sums_runs_up(void **state)
{
    (void)state;
    enum { RUNS = 20 };
    net n = net_open_residual(1);
    tn_plan *plan = net_training(&n, "logits", SIZE(2, 3, 4, 16, 16), 5);
    const tn_plan_info info = tn_plan_get_info(plan);
    net_randomise_x(plan);
    double flops = 0, seconds = 0;
    const double begin = now();
    /* Sums never fall. A step that kept its last run only would be seen to, in twenty runs. */
    double *before = calloc((size_t)info.steps, 2 * sizeof *before);
    assert_non_null(before);
    for (int run = 0; run < RUNS; run++) {
        tn_plan_forward(plan);
        tn_plan_backward(plan);
        for (int i = 0; i < info.steps; i++) {
            const tn_step_info step = tn_plan_step(plan, i);
            assert_true(step.forward_seconds >= before[2 * i] && step.backward_seconds >= before[2 * i + 1]);
            before[2 * i] = step.forward_seconds;
            before[2 * i + 1] = step.backward_seconds;
        }
    }
    const double elapsed = now() - begin;
    for (int i = 0; i < info.steps; i++) {
        const tn_step_info step = tn_plan_step(plan, i);
        assert_int_equal(step.runs, RUNS);
        assert_true(step.forward_seconds > 0 && step.backward_seconds > 0);
        flops += step.flops;
        seconds += step.forward_seconds + step.backward_seconds;
    }
    free(before);
    assert_true(flops > 0 && flops == info.flops);
    assert_true(seconds <= elapsed);
    tn_plan_reset_profile(plan);
    const tn_step_info step = tn_plan_step(plan, 0);
    assert_true(step.runs == 0 && step.forward_seconds == 0 && step.backward_seconds == 0);
    tn_plan_destroy(plan);
    net_close(&n);
}

/* ---- memory ---------------------------------------------------------------------------------------- */

static void buffers_share_memory_and_nothing_shows(void **state)
{
    (void)state;
    net n = net_open_residual(2);
    tn_set_trainable(n.graph, "", false);
    tn_set_trainable(n.graph, "fc", true);
    for (tn_mode mode = TN_INFERENCE; mode <= TN_TRAINING; mode++) {
        tn_plan *plans[2];
        float *logits[2];
        for (int debug = 0; debug < 2; debug++) {
            tn_plan_options options = {.mode = mode, .loss = tn_find(n.graph, "logits"), .debug = debug};
            assert_ok(n.ctx, net_plan(&n, options, SIZE(2, 3, 4, 16, 16), 5, &plans[debug]));
            net_randomise_x(plans[debug]);
            for (int round = 0; round < 2; round++) {
                tn_plan_forward(plans[debug]);
                if (mode == TN_TRAINING)
                    tn_plan_backward(plans[debug]);
            }
            assert_ok(n.ctx, tn_plan_check(plans[debug]));
            logits[debug] = net_value(plans[debug], "logits");
        }
        net_assert_same_bits(logits[0], logits[1], 10);
        /* In a debug plan nothing shares, so that its slab is the sum of all buffers. */
        assert_true(tn_plan_get_info(plans[0]).slab_bytes < tn_plan_get_info(plans[1]).slab_bytes * 6 / 10);
        tn_plan_destroy(plans[0]);
        tn_plan_destroy(plans[1]);
    }
    net_close(&n);
}

static void canaries_tell_who_wrote_past_the_end(void **state)
{
    (void)state;
    net n = net_open(1);
    tn_var *x = tn_input(n.graph, "x", 1, SIZE(TN_ANY)), *y = tn_relu(x);
    tn_output(y, "y");
    tn_plan *plan = NULL;
    assert_ok(n.ctx, net_plan(&n, (tn_plan_options){.debug = true}, SIZE(5), 1, &plan));
    tn_plan_forward(plan);
    assert_ok(n.ctx, tn_plan_check(plan));
    const tn_tensor views[2] = {tn_plan_value(plan, x), tn_plan_value(plan, y)};
    static const char *const who[2] = {"input", "relu"};
    for (int i = 0; i < 2; i++)
        for (int after = 0; after < 2; after++) {
            float *at = views[i].data + (after ? 5 : -1), old = *at;
            *at = 1.5f;
            ASSERT_ERROR(n.ctx, tn_plan_check(plan), TN_RANGE, who[i], after ? "end" : "beginning");
            *at = old;
            assert_ok(n.ctx, tn_plan_check(plan));
        }
    tn_plan_destroy(plan);
    net_close(&n);
}

/* An op that leaves the last element of all that it should write as it is. */
static tn_status forgetful_infer(tn_step *step)
{
    step->out[0] = step->in[0];
    return TN_OK;
}

static tn_status forgetful_prepare(tn_step *step)
{
    step->saved_bytes = step->scratch_bytes = step->thread_scratch_bytes = 64;
    return TN_OK;
}

/* Passes on what it finds in `from`, where it has written nothing but the first element. */
static void forget(float *to, const tn_tensor *like, const float *from)
{
    const int64_t last = tn_numel(like) - 1;
    for (int64_t i = 0; i < last; i++)
        to[i] = from && i > 0 ? from[i] : 1;
}

static void forgetful_forward(tn_step *step)
{
    const float *const from[3] = {step->scratch, step->thread_scratch, step->saved};
    for (int i = 0; i < 3; i++)
        forget(step->out[0].data + 4 * i, &(tn_tensor){.rank = 1, .size = {5}}, from[i]);
    forget(step->out[0].data + 12, &(tn_tensor){.rank = 1, .size = {4}}, NULL);
}

static void forgetful_backward(tn_step *step)
{
    for (int i = 0; i < 2; i++)
        forget(step->din[i].data, &step->din[i], NULL);
}

static const tn_op forgetful = {
    .name = "forgetful",
    .role = {TN_ROLE_DATA, TN_ROLE_DATA},
    .outputs = 1,
    .infer = forgetful_infer,
    .prepare = forgetful_prepare,
    .forward = forgetful_forward,
    .backward = forgetful_backward,
};

static void a_debug_plan_shows_what_was_not_written(void **state)
{
    (void)state;
    net n = net_open(1);
    tn_var *in[TN_MAX_IN] = {tn_input(n.graph, "x", 1, SIZE(16)), tn_param(n.graph, "p", 1, SIZE(16))};
    tn_output(tn_apply(n.graph, &forgetful, in, NULL), "y");
    tn_set_trainable(n.graph, "x", true);
    assert_ok(n.ctx, net_fill(n.graph));
    for (int debug = 0; debug < 2; debug++) {
        tn_plan *plan = NULL;
        tn_plan_options options = {.mode = TN_TRAINING, .loss = tn_find(n.graph, "y"), .debug = debug};
        assert_ok(n.ctx, net_plan(&n, options, SIZE(16), 1, &plan));
        tn_plan_forward(plan);
        tn_plan_backward(plan);
        float *y = net_value(plan, "y");
        for (int i = 0; i < 12; i++) /* 1, then scratch, thread scratch, saved */
            assert_int_equal(isnan(y[i]) != 0, debug && i % 4);
        assert_int_equal(isnan(y[15]) != 0, debug);
        free(y);
        for (int i = 0; i < 2; i++) {
            const tn_tensor grad = tn_plan_grad(plan, in[i]);
            assert_true(grad.data[0] == 1);
            assert_int_equal(isnan(grad.data[15]) != 0, debug);
        }
        tn_plan_destroy(plan);
    }
    net_close(&n);
}

/* ---- no memory ------------------------------------------------------------------------------------- */

/* An allocator that refuses the allocation numbered `fail_at`, and all after it where `for_good`. */
typedef struct faulty {
    long made, fail_at; /* allocations so far; counted from 0 */
    long live;          /* blocks not yet released */
    bool for_good;
} faulty;

static void *faulty_alloc(void *user, size_t bytes)
{
    faulty *f = user;
    const long number = f->made++;
    if (number == f->fail_at || (f->for_good && number > f->fail_at))
        return NULL;
    void *block = aligned_alloc(64, bytes);
    f->live += block != NULL;
    return block;
}

static void faulty_release(void *user, void *block)
{
    ((faulty *)user)->live -= block != NULL;
    free(block);
}

static tn_status plan_and_run(tn_ctx *ctx, tn_graph *graph)
{
    net_residual(graph);
    tn_set_trainable(graph, "layer1", false);
    if (graph->status == TN_OK)
        TN_TRY(net_fill(graph));
    const tn_input_shape shape = {"x", {1, 3, 1, 8, 8}};
    for (tn_mode mode = TN_INFERENCE; mode <= TN_TRAINING; mode++) {
        tn_plan *plan = NULL;
        tn_plan_options options = {
            .mode = mode, .loss = tn_find(graph, "logits"), .debug = mode == TN_TRAINING};
        tn_status status = tn_plan_create(graph, &options, &shape, 1, &plan);
        assert_int_equal(status == TN_OK, plan != NULL);
        if (status != TN_OK)
            return status;
        net_randomise_x(plan);
        const long made = ((faulty *)ctx->allocator.user)->made;
        tn_plan_forward(plan);
        if (mode == TN_TRAINING)
            tn_plan_backward(plan);
        assert_int_equal(((faulty *)ctx->allocator.user)->made, made); /* running allocates nothing */
        tn_plan_destroy(plan);
    }
    return TN_OK;
}

static tn_status whole_life(faulty *f)
{
    const tn_allocator allocator = {faulty_alloc, faulty_release, f};
    const tn_options options = {.threads = 2, .allocator = &allocator};
    tn_ctx *ctx = NULL;
    tn_graph *graph = NULL;
    tn_status status = tn_ctx_create(&options, &ctx);
    if (status == TN_OK)
        status = tn_graph_create(ctx, &graph);
    if (status == TN_OK)
        status = plan_and_run(ctx, graph);
    if (ctx && status != TN_OK)
        assert_non_null(strstr(tn_error(ctx), "out of memory"));
    tn_graph_destroy(graph);
    tn_ctx_destroy(ctx);
    return status;
}

static void every_allocation_can_fail(void **state)
{
    (void)state;
    for (int for_good = 0; for_good < 2; for_good++) {
        long failures = 0;
        for (long at = 0;; at++) {
            faulty f = {.fail_at = at, .for_good = for_good};
            const tn_status status = whole_life(&f);
            assert_int_equal(f.live, 0);
            if (f.made <= at) { /* it was not reached */
                assert_int_equal(status, TN_OK);
                break;
            }
            assert_int_equal(status, TN_NOMEM);
            failures++;
        }
        assert_true(failures > 200);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients_of_all_uses_add_up),
        cmocka_unit_test(a_shared_parameter_gets_the_sum),
        cmocka_unit_test(gradients_do_not_depend_on_threads_or_debugging),
        cmocka_unit_test(masks_depend_on_seed_step_and_sample_only),
        cmocka_unit_test(everything_in_the_slab_is_aligned),
        cmocka_unit_test(views_are_what_tensor_h_says),
        cmocka_unit_test(the_first_step_that_is_not_finite),
        cmocka_unit_test(profile_sums_runs_up),
        cmocka_unit_test(buffers_share_memory_and_nothing_shows),
        cmocka_unit_test(canaries_tell_who_wrote_past_the_end),
        cmocka_unit_test(a_debug_plan_shows_what_was_not_written),
        cmocka_unit_test(every_allocation_can_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
