/* What a training plan fuses behind a linear layer gives the bits of the layers one by one. */
#include "tests/common/network.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { N = 5, T = 37, IN = 7 };

typedef struct shown {
    bool all; /* outputs between the layers, which therefore stay by themselves */
    int i;    /* how many there are */
} shown;

static tn_var *show(tn_var *var, shown *s)
{
    char name[32];
    snprintf(name, sizeof name, "between %d", s->i++);
    if (s->all)
        tn_output(var, name);
    return var;
}

/* Layers of 24 units, which take in all that follows, of 13, which do not take in dropouts, and of 20 with
 * ReLU alone; one without ReLU, whose dropout must stay. */
static void build(tn_graph *graph, bool all)
{
    const tn_dropout_attr half = {0.5f, false}, third = {0.3f, true};
    shown s = {.all = all};
    tn_var *x = tn_input(graph, "x", 3, SIZE(N, T, IN));
    tn_set_trainable(graph, "x", true);
    tn_var *y = show(tn_relu(show(net_linear(x, "a", IN, 24), &s)), &s);
    y = show(tn_dropout(show(tn_dropout(y, half), &s), third), &s);
    y = show(tn_relu(show(net_linear(y, "b", 24, 13), &s)), &s);
    y = show(tn_dropout(y, third), &s);
    y = show(tn_relu(show(net_linear(y, "c", 13, 20), &s)), &s);
    y = show(tn_dropout(show(net_linear(y, "d", 20, 8), &s), half), &s);
    tn_output(tn_relu(net_linear(y, "e", 8, 3)), "y");
}

/* Output, gradients of all parameters and of the input in one row; *n how many floats. */
static float *results(net *n, const tn_plan *plan, size_t *count)
{
    float *all = NULL;
    *count = 0;
    for (int i = -2; i < tn_param_count(n->graph); i++) {
        tn_tensor t = i == -2   ? tn_plan_value(plan, tn_find(n->graph, "y"))
                      : i == -1 ? tn_plan_grad(plan, tn_find(n->graph, "x"))
                                : tn_plan_grad(plan, tn_param_at(n->graph, i));
        assert_non_null(t.data);
        all = realloc(all, (*count + (size_t)tn_numel(&t)) * sizeof *all);
        assert_non_null(all);
        memcpy(all + *count, t.data, (size_t)tn_numel(&t) * sizeof *all);
        *count += (size_t)tn_numel(&t);
    }
    return all;
}

static float *run(int threads, bool apart, int *steps, size_t *count)
{
    net n = net_open(threads);
    build(n.graph, apart);
    assert_ok(n.ctx, net_fill(n.graph));
    tn_plan *plan = net_training(&n, "y", SIZE(N, T, IN), 3);
    *steps = tn_plan_get_info(plan).steps;
    net_randomise_x(plan);
    tn_plan_seed(plan, 11, 5, 3);
    for (int round = 0; round < 2; round++) { /* backward works on gradients in place */
        tn_plan_forward(plan);
        tn_plan_backward(plan);
    }
    float *all = results(&n, plan, count);
    tn_plan_destroy(plan);
    net_close(&n);
    return all;
}

static void fused_layers_give_the_bits_of_single_ones(void **state)
{
    (void)state;
    int single_steps, steps;
    size_t single_count, count;
    float *single = run(1, true, &single_steps, &single_count);
    size_t zeros = 0;
    for (size_t i = 0; i < single_count; i++)
        zeros += single[i] == 0;
    assert_true(zeros < single_count / 2);
    for (int threads = 1; threads <= 3; threads++) {
        float *fused = run(threads, false, &steps, &count);
        assert_int_equal(single_steps, 13);
        assert_int_equal(steps,
                         8); /* a and c took in 3 and 1, b its ReLU and e none, as its ReLU is the loss */
        assert_int_equal(count, single_count);
        assert_memory_equal(fused, single, count * sizeof *fused);
        free(fused);
    }
    free(single);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fused_layers_give_the_bits_of_single_ones),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
