/* Making plans: what it refuses and says, what it fuses, whose parameters it uses. */
#include "tests/common/network.h"

#include <stdlib.h>
#include <string.h>

/* ---- refusals -------------------------------------------------------------------------------------- */

static void shape_errors_name_the_layer_and_both_numbers(void **state)
{
    (void)state;
    net n = net_open(1);
    tn_var *x = tn_input(n.graph, "x", 5, SIZE(TN_ANY, 3, 2, TN_ANY, TN_ANY));
    tn_output(net_conv(net_conv(x, "layer1.0.conv1", 3, 128, 3, 1), "layer1.0.conv2", 256, 4, 3, 1), "y");
    assert_ok(n.ctx, net_fill(n.graph));
    tn_plan *plan = NULL;
    tn_plan_options options = {.mode = TN_INFERENCE};
    ASSERT_ERROR(n.ctx, net_plan(&n, options, SIZE(1, 3, 2, 6, 6), 5, &plan), TN_SHAPE, "layer1.0.conv2",
                 "128", "256");
    assert_null(plan);
    ASSERT_ERROR(n.ctx, net_plan(&n, options, SIZE(1, 4, 2, 6, 6), 5, &plan), TN_SHAPE, "input x", "axis 1",
                 "4", "3");
    ASSERT_ERROR(n.ctx, net_plan(&n, options, SIZE(-3, 3, 2, 6, 6), 5, &plan), TN_SHAPE, "input x", "axis 0",
                 "-3");
    net_close(&n);
}

static void sums_of_different_shapes_are_refused(void **state)
{
    (void)state;
    net n = net_open(1);
    tn_var *x = tn_input(n.graph, "x", 2, SIZE(TN_ANY, 4));
    tn_output(tn_add(x, net_linear(x, "fc", 4, 3)), "y");
    assert_ok(n.ctx, net_fill(n.graph));
    tn_plan *plan = NULL;
    ASSERT_ERROR(n.ctx, net_plan(&n, (tn_plan_options){0}, SIZE(2, 4), 2, &plan), TN_SHAPE, "add", "(2, 4)",
                 "(2, 3)");
    net_close(&n);
}

static void sizes_past_all_memory_are_refused(void **state)
{
    (void)state;
    net n = net_open_residual(1);
    tn_plan *plan = NULL;
    const int64_t big = (int64_t)1 << 40;
    const int64_t sizes[3][5] = {{big, 3, big, 4, 4}, {INT64_MAX, 3, 1, 4, 4}, {1, 3, 1, big, INT64_MAX / 2}};
    for (tn_mode mode = TN_INFERENCE; mode <= TN_TRAINING; mode++)
        for (int i = 0; i < 3; i++) {
            const tn_plan_options options = {.mode = mode, .loss = tn_find(n.graph, "logits")};
            ASSERT_ERROR(n.ctx, net_plan(&n, options, sizes[i], 5, &plan), TN_RANGE, "input x",
                         "more elements");
            assert_null(plan);
        }
    net_close(&n);
}

static void products_past_all_memory_are_refused(void **state)
{
    (void)state;
    net n = net_open(1);
    const int64_t big = (int64_t)1 << 30;
    tn_var *x = tn_input(n.graph, "x", 2, SIZE(TN_ANY, 1)),
           *w = tn_param(n.graph, "fc.weight", 2, SIZE(big, 1));
    tn_output(tn_linear(x, w, NULL), "y");
    const float one = 1; /* never read as far as its shape says */
    tn_bind(w, &one);
    tn_plan *plan = NULL;
    ASSERT_ERROR(n.ctx, net_plan(&n, (tn_plan_options){0}, SIZE(big, 1), 2, &plan), TN_RANGE, "fc",
                 "1073741824");
    tn_param(n.graph, "huge", 4, SIZE(big, big, big, big));
    ASSERT_ERROR(n.ctx, net_plan(&n, (tn_plan_options){0}, SIZE(1, 1), 2, &plan), TN_RANGE, "huge");
    net_close(&n);
}

static void weights_must_be_parameters(void **state)
{
    (void)state;
    for (int what = 0; what < 2; what++) {
        net n = net_open(1);
        tn_var *x = tn_input(n.graph, "x", 2, SIZE(4, 4)),
               *w = tn_param(n.graph, "w", 5, SIZE(1, 1, 1, 1, 4));
        if (what == 0)
            tn_linear(x, tn_relu(x), NULL);
        else
            tn_relu(w);
        tn_output(tn_relu(x), "y");
        tn_plan *plan = NULL;
        ASSERT_ERROR(n.ctx, net_plan(&n, (tn_plan_options){0}, SIZE(4, 4), 2, &plan), TN_UNSUPPORTED,
                     what ? "relu: input 0 is a parameter of rank 5" : "linear: input 1 is not a parameter");
        net_close(&n);
    }
}

static void inputs_must_be_known_and_parameters_have_values(void **state)
{
    (void)state;
    net n = net_open(1);
    net_residual(n.graph);
    tn_plan *plan = NULL;
    tn_plan_options options = {.mode = TN_INFERENCE};
    ASSERT_ERROR(n.ctx, net_plan(&n, options, SIZE(1, 3, 2, 8, 8), 5, &plan), TN_RANGE, "conv1.weight",
                 "no values");
    assert_ok(n.ctx, net_fill(n.graph));
    tn_input_shape wrong[2] = {{"x", {1, 3, 2, 8, 8}}, {"fc.weight", {5, 12}}};
    ASSERT_ERROR(n.ctx, tn_plan_create(n.graph, &options, wrong, 2, &plan), TN_RANGE, "no input fc.weight");
    ASSERT_ERROR(n.ctx, tn_plan_create(n.graph, &options, NULL, 0, &plan), TN_RANGE, "no output");
    options.mode = TN_TRAINING;
    ASSERT_ERROR(n.ctx, net_plan(&n, options, SIZE(1, 3, 2, 8, 8), 5, &plan), TN_RANGE, "loss");
    options.loss = tn_find(n.graph, "fc.bias");
    ASSERT_ERROR(n.ctx, net_plan(&n, options, SIZE(1, 3, 2, 8, 8), 5, &plan), TN_RANGE, "loss");
    assert_null(plan);
    net_close(&n);
}

static void the_first_mistake_in_a_graph_is_the_one_reported(void **state)
{
    (void)state;
    net n = net_open(1);
    tn_var *x = tn_input(n.graph, "x", 5, SIZE(TN_ANY, 3, TN_ANY, TN_ANY, TN_ANY));
    tn_output(tn_relu(x), "fine");
    net_conv(x, "conv", 3, 4, 1, 1);
    tn_var *poison = net_conv(x, "conv", 3, 4, 1, 1);
    tn_input(n.graph, "later", 9, SIZE(1, 1, 1, 1, 1, 1, 1, 1, 1));
    tn_lstm_weights w = {poison, poison, poison, poison};
    tn_var *alpha = NULL;
    /* Every builder passes poison on. */
    assert_ptr_equal(tn_relu(poison), poison);
    assert_ptr_equal(tn_add(x, poison), poison);
    assert_ptr_equal(net_norm(poison, "bn", 4), poison);
    assert_ptr_equal(net_linear(poison, "fc", 2, 2), poison);
    assert_ptr_equal(tn_dropout(poison, (tn_dropout_attr){0.5f, false}), poison);
    assert_ptr_equal(tn_softmax(poison), poison);
    assert_ptr_equal(tn_global_avg_pool(poison), poison);
    assert_ptr_equal(tn_cross_entropy(poison, x, NULL), poison);
    assert_ptr_equal(tn_concat((tn_var *[]){x, poison}, 2, 0), poison);
    assert_ptr_equal(tn_slice(poison, (tn_slice_attr){0, 0, 1, 1}), poison);
    assert_ptr_equal(tn_max_pool3d(poison, (tn_pool3d_attr){0}), poison);
    assert_ptr_equal(tn_avg_pool3d(poison, (tn_pool3d_attr){0}), poison);
    assert_ptr_equal(tn_lstm(poison, NULL, &w, &w), poison);
    assert_ptr_equal(tn_attention_pool(poison, poison, NULL, &alpha), poison);
    assert_ptr_equal(alpha, poison);
    assert_ptr_equal(tn_conv3d(x, poison, NULL, (tn_conv3d_attr){0}), poison);
    tn_output(poison, "poison");
    tn_plan *plan = NULL;
    ASSERT_ERROR(n.ctx, net_plan(&n, (tn_plan_options){0}, SIZE(1, 3, 1, 1, 1), 5, &plan), TN_RANGE,
                 "conv.weight", "taken");
    assert_null(plan);
    net_close(&n);
}

static void builders_refuse_what_no_plan_could_use(void **state)
{
    (void)state;
    static const char *const want[] = {"belongs to another graph", "input 1 is missing",
                                       "w: size -1 of axis 0", "x: size -2 of axis 0", "w: rank 7"};
    for (int what = 0; what < 5; what++) {
        net n = net_open(1), other = net_open(1);
        tn_var *x = tn_input(n.graph, "x", 1, SIZE(what == 3 ? -2 : TN_ANY));
        tn_output(tn_relu(x), "y");
        if (what == 0)
            tn_add(x, tn_input(other.graph, "x", 1, SIZE(TN_ANY)));
        else if (what == 1)
            tn_linear(x, NULL, NULL);
        else if (what == 2)
            tn_param(n.graph, "w", 1, SIZE(-1));
        else if (what == 4)
            tn_param(n.graph, "w", 7, SIZE(1, 1, 1, 1, 1, 1, 1));
        tn_plan *plan = NULL;
        ASSERT_ERROR(n.ctx, net_plan(&n, (tn_plan_options){0}, SIZE(4), 1, &plan), TN_RANGE, want[what]);
        net_close(&n);
        net_close(&other);
    }
}

static void names_are_unique(void **state)
{
    (void)state;
    for (int what = 0; what < 4; what++) {
        net n = net_open(1);
        tn_var *x = tn_input(n.graph, "x", 1, SIZE(4));
        tn_var *y = tn_relu(x);
        tn_output(y, "y");
        if (what == 0)
            tn_input(n.graph, "x", 1, SIZE(4));
        else if (what == 1)
            tn_buffer(n.graph, "y", 1, SIZE(4));
        else if (what == 2)
            tn_output(tn_relu(x), "x");
        else
            tn_output(y, "z");
        static const char *const taken[] = {"x", "y", "x", "z"};
        tn_plan *plan = NULL;
        ASSERT_ERROR(n.ctx, net_plan(&n, (tn_plan_options){0}, SIZE(4), 1, &plan), TN_RANGE, taken[what],
                     "taken");
        net_close(&n);
    }
}

static void outputs_whose_inputs_are_missing_are_left_out(void **state)
{
    (void)state;
    net n = net_open(1);
    tn_var *x = tn_input(n.graph, "x", 1, SIZE(TN_ANY)), *other = tn_input(n.graph, "other", 1, SIZE(TN_ANY));
    tn_var *alone = tn_relu(x), *both = tn_add(alone, other), *behind = tn_relu(both);
    tn_output(alone, "alone");
    tn_output(both, "both");
    tn_output(behind, "behind");
    tn_plan *plan = net_inference(&n, SIZE(6), 1);
    assert_int_equal(tn_plan_get_info(plan).steps, 1);
    net_randomise_x(plan);
    tn_plan_forward(plan);
    assert_non_null(tn_plan_value(plan, alone).data);
    assert_null(tn_plan_value(plan, both).data);
    assert_null(tn_plan_value(plan, behind).data);
    assert_null(tn_plan_value(plan, other).data);
    tn_plan_destroy(plan);
    tn_plan_options options = {.mode = TN_TRAINING, .loss = both};
    ASSERT_ERROR(n.ctx, net_plan(&n, options, SIZE(6), 1, &plan), TN_RANGE, "loss");
    net_close(&n);
}

/* ---- fusing ---------------------------------------------------------------------------------------- */

static int count_fused(const tn_plan *plan, const char *fused)
{
    int count = 0;
    for (int i = 0; i < tn_plan_get_info(plan).steps; i++)
        count += strcmp(tn_plan_step(plan, i).fused, fused) == 0;
    return count;
}

static void inference_fuses_residual_blocks_and_computes_the_same(void **state)
{
    (void)state;
    net n = net_open_residual(2);
    tn_set_trainable(n.graph, "", false); /* so that training too uses the running statistics */
    tn_plan *fused = net_inference(&n, SIZE(2, 3, 3, 14, 10), 5),
            *plain = net_training(&n, "logits", SIZE(2, 3, 3, 14, 10), 5);
    net_randomise_x(fused);
    net_randomise_x(plain);
    tn_plan_forward(fused);
    tn_plan_forward(plain);
    net_assert_close(net_value(fused, "logits"), net_value(plain, "logits"), 10, 1e-5);

    /* In training a batch norm takes in the ReLU behind it. */
    assert_int_equal(tn_plan_get_info(plain).steps, 19);
    assert_int_equal(count_fused(plain, "+relu"), 3);
    assert_int_equal(tn_plan_get_info(fused).steps, 9);
    assert_int_equal(count_fused(fused, "+batch_norm+add+relu"), 2);
    assert_int_equal(count_fused(fused, "+batch_norm+relu"), 3);
    assert_int_equal(count_fused(fused, "+batch_norm"), 1);
    assert_int_equal(count_fused(fused, ""), 3); /* both pools, fc */
    const tn_step_info first = tn_plan_step(fused, 0);
    assert_string_equal(first.op, "conv3d");
    assert_string_equal(first.name, "conv1");
    assert_int_equal(first.in.size[1], 3);
    assert_int_equal(first.out.size[1], 8);
    /* 2 per multiply-add of every output and tap. */
    assert_true(first.flops == 2.0 * (2 * 3 * 14 * 10) * 8 * 3 * 27);
    tn_plan_destroy(fused);
    tn_plan_destroy(plain);
    net_close(&n);
}

static void inference_fuses_behind_linear_layers_too(void **state)
{
    (void)state;
    net n = net_open(1);
    tn_var *x = tn_input(n.graph, "x", 2, SIZE(TN_ANY, 19));
    tn_var *y = net_norm(net_linear(x, "fc", 19, 19), "bn", 19);
    tn_output(tn_relu(tn_add(x, y)), "y");
    assert_ok(n.ctx, net_fill(n.graph));
    tn_set_trainable(n.graph, "", false);
    tn_plan *fused = net_inference(&n, SIZE(11, 19), 2), *plain = net_training(&n, "y", SIZE(11, 19), 2);
    net_randomise_x(fused);
    net_randomise_x(plain);
    tn_plan_forward(fused);
    tn_plan_forward(plain);
    net_assert_close(net_value(fused, "y"), net_value(plain, "y"), 11 * 19, 1e-5);
    assert_int_equal(tn_plan_get_info(fused).steps, 1);
    assert_string_equal(tn_plan_step(fused, 0).fused, "+batch_norm+add+relu");
    tn_plan_destroy(fused);
    tn_plan_destroy(plain);
    net_close(&n);
}

/* Every way that convolution has at inference, with all that can be fused behind it, against the direct one
 * of training: whole rows, blocks of pixels that are copied together or not, Winograd's tiles of 4 and 2, the
 * stem. */
static void inference_fuses_behind_every_way_of_convolution(void **state)
{
    (void)state;
    static const struct {
        int64_t channels, kernel, size[3];
        int stride;
    } way[] = {{5, 3, {2, 5, 15}, 1},   {68, 3, {1, 7, 7}, 1}, {20, 1, {3, 7, 9}, 1},
               {32, 3, {3, 14, 14}, 1}, {36, 3, {4, 5, 6}, 1}, {17, 7, {6, 11, 6}, 2}};
    for (size_t i = 0; i < sizeof way / sizeof *way; i++) {
        const int64_t c = way[i].channels, *s = way[i].size, stride = way[i].stride;
        const int64_t *shape = SIZE(2, c, s[0], s[1], s[2]);
        const int64_t elements = 2 * c * s[0] * ((s[1] - 1) / stride + 1) * ((s[2] - 1) / stride + 1);
        net n = net_open(2);
        tn_var *x = tn_input(n.graph, "x", 5, SIZE(TN_ANY, c, TN_ANY, TN_ANY, TN_ANY));
        tn_var *y = net_norm(net_conv(x, "conv", c, c, way[i].kernel, way[i].stride), "bn", c);
        tn_var *residual = stride > 1 ? net_conv(x, "shortcut", c, c, 1, way[i].stride) : x;
        tn_output(tn_relu(tn_add(y, residual)), "y");
        assert_ok(n.ctx, net_fill(n.graph));
        tn_set_trainable(n.graph, "", false);
        tn_plan *fused = net_inference(&n, shape, 5), *plain = net_training(&n, "y", shape, 5);
        net_randomise_x(fused);
        net_randomise_x(plain);
        tn_plan_forward(fused);
        tn_plan_forward(plain);
        net_assert_close(net_value(fused, "y"), net_value(plain, "y"), elements, 5e-5);
        assert_string_equal(tn_plan_step(fused, tn_plan_get_info(fused).steps - 1).fused,
                            "+batch_norm+add+relu");
        tn_plan_destroy(fused);
        tn_plan_destroy(plain);
        net_close(&n);
    }
}

/* What is read elsewhere, or is an output, must be computed as it is. */
static void what_others_read_is_not_fused_away(void **state)
{
    (void)state;
    net n = net_open(1);
    tn_var *x = tn_input(n.graph, "x", 5, SIZE(TN_ANY, 3, TN_ANY, TN_ANY, TN_ANY));
    tn_var *a = net_conv(x, "a", 3, 4, 3, 1), *b = net_norm(a, "a.bn", 4), *c = tn_relu(b);
    tn_output(a, "conv output");
    tn_var *d = tn_add(tn_dropout(net_conv(c, "d", 4, 4, 1, 1), (tn_dropout_attr){0.5f, false}), b);
    tn_output(d, "sum");
    tn_var *e = net_conv(d, "e", 4, 4, 1, 1);
    tn_output(tn_add(e, e), "twice");
    tn_var *f = tn_dropout(net_conv(d, "f", 4, 4, 3, 1), (tn_dropout_attr){0.5f, false});
    tn_output(f, "alias");
    tn_output(tn_relu(f), "behind the alias");
    tn_var *g = net_conv(d, "g", 4, 4, 1, 1), *h = net_conv(d, "h", 4, 4, 1, 1);
    tn_output(tn_add(g, h), "g takes in h");
    tn_output(tn_relu(h), "h must stay");
    assert_ok(n.ctx, net_fill(n.graph));
    tn_set_trainable(n.graph, "", false);
    tn_plan *fused = net_inference(&n, SIZE(2, 3, 2, 5, 5), 5);
    net_randomise_x(fused);
    tn_plan_forward(fused);
    /* A plan for training would drop elements: the unfused one is an inference plan in which everything is an
     * output. */
    net m = net_open(1);
    x = tn_input(m.graph, "x", 5, SIZE(TN_ANY, 3, TN_ANY, TN_ANY, TN_ANY));
    tn_output(a = net_conv(x, "a", 3, 4, 3, 1), "conv output");
    tn_output(b = net_norm(a, "a.bn", 4), "1");
    tn_output(c = tn_relu(b), "2");
    tn_output(d = net_conv(c, "d", 4, 4, 1, 1), "3");
    tn_output(d = tn_add(d, b), "sum");
    tn_output(e = net_conv(d, "e", 4, 4, 1, 1), "5");
    tn_output(tn_add(e, e), "twice");
    tn_output(f = net_conv(d, "f", 4, 4, 3, 1), "alias");
    tn_output(tn_relu(f), "behind the alias");
    tn_output(g = net_conv(d, "g", 4, 4, 1, 1), "6");
    tn_output(h = net_conv(d, "h", 4, 4, 1, 1), "7");
    tn_output(tn_add(g, h), "g takes in h");
    tn_output(tn_relu(h), "h must stay");
    assert_ok(m.ctx, net_fill(m.graph));
    tn_plan *plain = net_inference(&m, SIZE(2, 3, 2, 5, 5), 5);
    net_randomise_x(plain);
    tn_plan_forward(plain);
    static const char *const names[] = {"conv output",      "sum",          "twice",      "alias",
                                        "behind the alias", "g takes in h", "h must stay"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        net_assert_close(net_value(fused, names[i]), net_value(plain, names[i]), 2 * 4 * 2 * 5 * 5, 1e-5);
    for (int i = 0; i < tn_plan_get_info(plain).steps; i++)
        assert_string_equal(tn_plan_step(plain, i).fused, "");
    assert_int_equal(tn_plan_get_info(plain).steps, 13);
    assert_int_equal(count_fused(fused, "+add"), 2); /* d, g */
    assert_int_equal(tn_plan_get_info(fused).steps, 11);
    tn_plan_destroy(fused);
    tn_plan_destroy(plain);
    net_close(&n);
    net_close(&m);
}

/* The other operand of a sum may be a parameter, which lies in no plan's memory. */
static void a_parameter_can_be_added(void **state)
{
    (void)state;
    net n = net_open(1);
    tn_var *x = tn_input(n.graph, "x", 2, SIZE(2, 3));
    tn_output(tn_add(net_linear(x, "fc", 3, 4), tn_param(n.graph, "offset", 2, SIZE(2, 4))), "y");
    assert_ok(n.ctx, net_fill(n.graph));
    tn_plan *fast = net_inference(&n, SIZE(2, 3), 2), *plain = net_training(&n, "y", SIZE(2, 3), 2);
    net_randomise_x(fast);
    net_randomise_x(plain);
    tn_plan_forward(fast);
    tn_plan_forward(plain);
    net_assert_close(net_value(fast, "y"), net_value(plain, "y"), 8, 1e-6);
    tn_plan_destroy(fast);
    tn_plan_destroy(plain);
    net_close(&n);
}

/* So may an output, where dropout passes it on. */
static void a_parameter_can_be_an_output(void **state)
{
    (void)state;
    net n = net_open(1);
    tn_input(n.graph, "x", 1, SIZE(1));
    tn_output(tn_dropout(tn_param(n.graph, "p", 1, SIZE(3)), (tn_dropout_attr){0.5f, false}), "y");
    assert_ok(n.ctx, net_fill(n.graph));
    tn_plan *plan = net_inference(&n, SIZE(1), 1);
    tn_plan_forward(plan);
    net_assert_same_bits(net_value(plan, "y"), net_read(tn_value(tn_find(n.graph, "p"))), 3);
    tn_plan_destroy(plan);
    net_close(&n);
}

/* ---- parameters ------------------------------------------------------------------------------------ */

static void parameters_come_in_order_of_creation(void **state)
{
    (void)state;
    net n = net_open(1);
    tn_var *a = tn_param(n.graph, "b.weight", 1, SIZE(3));
    tn_var *x = tn_input(n.graph, "x", 1, SIZE(3)), *b = tn_buffer(n.graph, "a", 2, SIZE(1, 2));
    assert_int_equal(tn_param_count(n.graph), 2);
    assert_ptr_equal(tn_param_at(n.graph, 0), a);
    assert_ptr_equal(tn_param_at(n.graph, 1), b);
    assert_null(tn_param_at(n.graph, 2));
    assert_true(tn_is_buffer(b) && !tn_is_buffer(a) && !tn_is_buffer(x));
    assert_true(tn_is_trainable(a) && tn_is_trainable(b) && !tn_is_trainable(x));
    assert_ptr_equal(tn_find(n.graph, "b.weight"), a);
    assert_null(tn_find(n.graph, "b"));
    assert_int_equal(tn_set_trainable(n.graph, "", false), 2);
    assert_int_equal(tn_var_rank(b), 2);
    assert_true(tn_var_size(b)[0] == 1 && tn_var_size(b)[1] == 2);
    net_close(&n);
}

static void refresh_packs_changed_parameters(void **state)
{
    (void)state;
    net n = net_open_residual(1);
    tn_plan *plan = net_inference(&n, SIZE(1, 3, 2, 8, 8), 5);
    net_randomise_x(plan);
    tn_plan_forward(plan);
    float *before = net_value(plan, "logits");
    static const char *const changed[] = {"layer1.0.conv1.weight", "bn1.running_var", "layer2.0.bn2.bias",
                                          "fc.bias"};
    for (size_t i = 0; i < sizeof changed / sizeof *changed; i++) {
        tn_value(tn_find(n.graph, changed[i])).data[1] += 0.5f;
        tn_plan_refresh(plan);
        tn_plan_forward(plan);
        float *after = net_value(plan, "logits");
        assert_memory_not_equal(before, after, 5 * sizeof *after);
        tn_plan *fresh = net_inference(&n, SIZE(1, 3, 2, 8, 8), 5);
        net_randomise_x(fresh);
        tn_plan_forward(fresh);
        free(before);
        before = net_value(fresh, "logits");
        assert_memory_equal(before, after, 5 * sizeof *after);
        free(after);
        tn_plan_destroy(fresh);
    }
    free(before);
    tn_plan_destroy(plan);
    net_close(&n);
}

static void bound_values_are_only_read(void **state)
{
    (void)state;
    net n = net_open_residual(1);
    tn_var *mean = tn_find(n.graph, "bn1.running_mean");
    const float bound[8] = {1, 2, 3, 4, 5, 6, 7, 8}, same[8] = {1, 2, 3, 4, 5, 6, 7, 8};
    tn_bind(mean, bound);
    assert_ptr_equal(tn_value_const(mean), bound);
    tn_plan *plan = net_training(&n, "logits", SIZE(2, 3, 2, 8, 8), 5);
    net_randomise_x(plan);
    tn_plan_forward(plan);
    assert_memory_equal(bound, same, sizeof same);
    assert_ptr_not_equal(tn_value_const(mean), bound);
    assert_true(tn_value(mean).data[0] < 0.95f); /* 0.9 of 1, and a tenth of a batch's mean */
    tn_plan_destroy(plan);
    net_close(&n);
}

static void several_plans_share_a_graph(void **state)
{
    (void)state;
    net n = net_open_residual(2);
    tn_plan *pair = net_inference(&n, SIZE(2, 3, 2, 8, 8), 5),
            *single = net_inference(&n, SIZE(1, 3, 2, 8, 8), 5),
            *wide = net_inference(&n, SIZE(1, 3, 4, 12, 6), 5),
            *learning = net_training(&n, "logits", SIZE(2, 3, 2, 8, 8), 5);
    net_randomise_x(pair);
    net_randomise_x(wide);
    net_randomise_x(learning);
    tn_plan_forward(pair);
    float *both = net_value(pair, "logits");
    tn_tensor rows = tn_plan_value(pair, tn_find(n.graph, "x")),
              row = tn_plan_value(single, tn_find(n.graph, "x"));
    for (int i = 0; i < 2; i++) {
        tn_tensor from = rows;
        from.size[0] = 1;
        from.data += i * rows.stride[0];
        tn_copy(&row, &from);
        tn_plan_forward(wide); /* in between: it must not disturb the others */
        tn_plan_forward(single);
        float *one = net_value(single, "logits");
        assert_memory_equal(one, both + 5 * i, 5 * sizeof *one);
        free(one);
    }
    /* A training plan moves the running statistics, which the others see once refreshed. */
    tn_plan_forward(learning);
    tn_plan_forward(pair);
    tn_plan_refresh(pair);
    tn_plan_forward(pair);
    float *moved = net_value(pair, "logits");
    assert_memory_not_equal(moved, both, 10 * sizeof *moved);
    free(moved);
    free(both);
    tn_plan_destroy(pair);
    tn_plan_destroy(single);
    tn_plan_destroy(wide);
    tn_plan_destroy(learning);
    net_close(&n);
}

static void frozen_layers_have_no_gradients_and_keep_their_statistics(void **state)
{
    (void)state;
    net n = net_open_residual(1);
    assert_int_equal(tn_set_trainable(n.graph, "layer1", false), 10);
    assert_int_equal(tn_set_trainable(n.graph, "layer", false), 0);
    assert_int_equal(tn_set_trainable(n.graph, "conv1", false), 1);
    assert_int_equal(tn_set_trainable(n.graph, "bn1", false), 4);
    tn_plan *plan = net_training(&n, "logits", SIZE(2, 3, 2, 8, 8), 5);
    net_randomise_x(plan);
    float *before[64];
    const int count = tn_param_count(n.graph);
    assert_in_range(count, 1, 64);
    for (int i = 0; i < count; i++)
        before[i] = net_read(tn_value(tn_param_at(n.graph, i)));
    tn_plan_forward(plan);
    tn_plan_backward(plan);
    for (int i = 0; i < count; i++) {
        tn_var *var = tn_param_at(n.graph, i);
        const char *name = tn_var_name(var);
        const bool frozen = strncmp(name, "layer2", 6) != 0 && strncmp(name, "fc", 2) != 0;
        assert_int_equal(tn_is_trainable(var), !frozen);
        assert_int_equal(tn_plan_grad(plan, var).data != NULL, !frozen && !tn_is_buffer(var));
        const tn_tensor now = tn_value(var);
        const bool same = memcmp(before[i], now.data, (size_t)tn_numel(&now) * sizeof(float)) == 0;
        assert_int_equal(same, frozen || !tn_is_buffer(var));
        free(before[i]);
    }
    tn_plan_destroy(plan);
    net_close(&n);
}

static void count_call(void *arg)
{
    ++*(int *)arg;
}

/* A caller that mapped the weights may let them go as soon as they are packed. */
static void packing_is_told_layer_by_layer(void **state)
{
    (void)state;
    tn_ctx *ctx = test_ctx(1, NULL);
    tn_graph *graph;
    assert_ok(ctx, tn_graph_create(ctx, &graph));
    tn_var *x = tn_input(graph, "x", 2, (int64_t[]){TN_ANY, 3});
    tn_var *a = tn_param(graph, "a.weight", 2, (int64_t[]){3, 3});
    tn_var *b = tn_param(graph, "b.weight", 2, (int64_t[]){2, 3});
    tn_output(tn_linear(tn_softmax(tn_linear(x, a, NULL)), b, NULL), "y");
    float values[9] = {1, 2, 3, 4, 5, 6, 7, 8, 9}, before[4], *weights = malloc(sizeof values);
    assert_non_null(weights);
    memcpy(weights, values, sizeof values);
    tn_bind(a, weights);
    tn_bind(b, weights);
    int calls = 0;
    const tn_plan_options options = {.mode = TN_INFERENCE, .packed = count_call, .packed_arg = &calls};
    tn_plan *plan;
    assert_ok(ctx, tn_plan_create(graph, &options, &(tn_input_shape){"x", {2, 3}}, 1, &plan));
    assert_int_equal(calls, 2);
    tn_plan_forward(plan);
    const tn_tensor y = tn_plan_value(plan, tn_find(graph, "y"));
    memcpy(before, y.data, sizeof before);
    /* What was bound may be gone until the plan is refreshed. */
    memset(weights, 0xff, sizeof values);
    tn_plan_forward(plan);
    assert_memory_equal(y.data, before, sizeof before);
    assert_int_equal(calls, 2);
    tn_plan_refresh(plan);
    assert_int_equal(calls, 4);
    free(weights);
    tn_plan_destroy(plan);
    tn_graph_destroy(graph);
    tn_ctx_destroy(ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shape_errors_name_the_layer_and_both_numbers),
        cmocka_unit_test(sums_of_different_shapes_are_refused),
        cmocka_unit_test(sizes_past_all_memory_are_refused),
        cmocka_unit_test(products_past_all_memory_are_refused),
        cmocka_unit_test(weights_must_be_parameters),
        cmocka_unit_test(inputs_must_be_known_and_parameters_have_values),
        cmocka_unit_test(the_first_mistake_in_a_graph_is_the_one_reported),
        cmocka_unit_test(builders_refuse_what_no_plan_could_use),
        cmocka_unit_test(names_are_unique),
        cmocka_unit_test(outputs_whose_inputs_are_missing_are_left_out),
        cmocka_unit_test(inference_fuses_residual_blocks_and_computes_the_same),
        cmocka_unit_test(inference_fuses_behind_linear_layers_too),
        cmocka_unit_test(inference_fuses_behind_every_way_of_convolution),
        cmocka_unit_test(what_others_read_is_not_fused_away),
        cmocka_unit_test(a_parameter_can_be_added),
        cmocka_unit_test(a_parameter_can_be_an_output),
        cmocka_unit_test(parameters_come_in_order_of_creation),
        cmocka_unit_test(refresh_packs_changed_parameters),
        cmocka_unit_test(bound_values_are_only_read),
        cmocka_unit_test(several_plans_share_a_graph),
        cmocka_unit_test(frozen_layers_have_no_gradients_and_keep_their_statistics),
        cmocka_unit_test(packing_is_told_layer_by_layer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
