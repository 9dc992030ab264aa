/* Every op of ops.def against its oracle: each case, instruction set and number of threads, forward and
 * backward.
 *
 * Forward is compared with the oracle's result, backward with central differences of the oracle under a
 * random cotangent. Debug plans (buffers full of NaN, canaries around them) and all numbers of threads must
 * give the same bits, and so must a plan that wants only some of the gradients.
 */
#include "libtensor/plan.h"
#include "tests/common/testing.h"
#include "tests/ref/problem.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_REPORTS = 8 }; /* failures told per problem */

static const double forward_tolerance = 1e-5, relative = 1e-3, absolute = 1e-5;

/* Where a failure happened; counts them. */
typedef struct scene {
    const problem *p; /* which case and values */
    tn_ctx *ctx;      /* which instruction set and threads */
    const char *what; /* "training, loss 0" */
    int failures;     /* so far */
} scene;

static void failed(scene *s, const char *tensor, int index, int64_t element, double got, double want)
{
    if (s->failures++ < MAX_REPORTS)
        print_error("%s, case %s, draw %d, %s, %d threads, %s: %s %d [%lld]: got %.9g, want %.9g\n",
                    s->p->oracle->op->name, s->p->c->label, s->p->draw, tn_isa(s->ctx), tn_threads(s->ctx),
                    s->what, tensor, index, (long long)element, got, want);
}

/* ---- the loss that takes in two outputs ------------------------------------------------------------ */

/* Inputs a, its cotangent, b, its cotangent; the result is the sum of all products. */
static tn_status join_infer(tn_step *step)
{
    step->out[0].rank = 0;
    return TN_OK;
}

static tn_status join_prepare(tn_step *step)
{
    (void)step;
    return TN_OK;
}

static void join_forward(tn_step *step)
{
    *step->out[0].data = 0;
    for (int i = 0; i < 4; i += 2)
        for (int64_t e = 0; e < tn_numel(&step->in[i]); e++)
            *step->out[0].data += step->in[i].data[e] * step->in[i + 1].data[e];
}

static void join_backward(tn_step *step)
{
    for (int i = 0; i < 4; i += 2)
        for (int64_t e = 0; step->din[i].data && e < tn_numel(&step->in[i]); e++)
            step->din[i].data[e] = *step->dout[0].data * step->in[i + 1].data[e];
}

static const tn_op join = {
    .name = "join",
    .role = {TN_ROLE_DATA, TN_ROLE_POSITIVE, TN_ROLE_DATA, TN_ROLE_POSITIVE},
    .outputs = 1,
    .keep_in = 1u << 1 | 1u << 3,
    .infer = join_infer,
    .prepare = join_prepare,
    .forward = join_forward,
    .backward = join_backward,
};

/* ---- the op in a graph ----------------------------------------------------------------------------- */

typedef struct network {
    tn_graph *graph;                  /* owned */
    tn_var *in[TN_MAX_IN];            /* NULL where left out */
    tn_var *cotangent[TN_MAX_OUT];    /* inputs of `join` */
    tn_var *loss[PROBLEM_MAX_LOSSES]; /* the outputs, and joined where there are several */
} network;

static tn_var *declare(network *net, const problem *p, int i, bool trainable)
{
    static const int64_t any[] = {TN_ANY, TN_ANY, TN_ANY, TN_ANY, TN_ANY, TN_ANY};
    const bool weight = problem_role(p, i) == TN_ROLE_WEIGHT, statistic = problem_is_statistic(p, i);
    char name[32];
    snprintf(name, sizeof name, "node.in%d", i);
    tn_var *var = weight      ? tn_param(net->graph, name, p->in[i].rank, p->in[i].size)
                  : statistic ? tn_buffer(net->graph, name, p->in[i].rank, p->in[i].size)
                              : tn_input(net->graph, name, p->in[i].rank, any);
    assert_int_equal(tn_set_trainable(net->graph, name, trainable), 1);
    if (weight || statistic) {
        tn_tensor value = tn_value(var);
        assert_non_null(value.data);
        tn_copy(&value, &p->in[i]);
    }
    return var;
}

/* `wanted` has a bit for each input that is to have a gradient. */
static void build(network *net, tn_ctx *ctx, const problem *p, unsigned wanted)
{
    const tn_op *op = p->oracle->op;
    *net = (network){0};
    assert_ok(ctx, tn_graph_create(ctx, &net->graph));
    for (int i = 0; i < TN_MAX_IN; i++)
        if (p->in[i].data)
            net->in[i] = declare(net, p, i, problem_is_statistic(p, i) ? !p->c->frozen : wanted >> i & 1);
    tn_apply(net->graph, op, net->in, p->c->attr); /* node 0, which nobody needs */
    tn_var *first = tn_apply(net->graph, op, net->in, p->c->attr);
    tn_var *joined[TN_MAX_IN] = {NULL};
    for (int o = 0; o < op->outputs; o++) {
        char name[32];
        snprintf(name, sizeof name, "out%d", o);
        net->loss[o] = first->node ? first->node->out[o] : first;
        tn_output(net->loss[o], name);
        snprintf(name, sizeof name, "cotangent%d", o);
        net->cotangent[o] = tn_input(net->graph, name, p->cotangent[o].rank, p->cotangent[o].size);
        joined[2 * o] = net->loss[o];
        joined[2 * o + 1] = net->cotangent[o];
    }
    if (op->outputs > 1) {
        net->loss[op->outputs] = tn_apply(net->graph, &join, joined, NULL);
        tn_output(net->loss[op->outputs], "joined");
    }
}

/* What a run leaves, row-major; data NULL where there is nothing. */
typedef struct result {
    tn_tensor out[TN_MAX_OUT];      /* values of the outputs */
    tn_tensor grad[TN_MAX_IN];      /* gradients of the inputs */
    tn_tensor statistic[TN_MAX_IN]; /* running statistics after it */
    double error;                   /* that the plan's steps state */
} result;

static void free_result(result *r)
{
    for (int o = 0; o < TN_MAX_OUT; o++)
        free(r->out[o].data);
    for (int i = 0; i < TN_MAX_IN; i++) {
        free(r->grad[i].data);
        free(r->statistic[i].data);
    }
}

static tn_tensor read_tensor(const tn_tensor *from)
{
    if (!from->data)
        return (tn_tensor){0};
    tn_tensor t = problem_new_tensor(from->rank, from->size);
    tn_copy(&t, from);
    return t;
}

static void compare_bits(scene *s, const char *name, int index, const tn_tensor *got, const tn_tensor *want)
{
    if (!got->data != !want->data) {
        failed(s, name, index, -1, got->data ? 1 : 0, want->data ? 1 : 0);
        return;
    }
    for (int64_t i = 0; got->data && i < tn_numel(want); i++)
        if (memcmp(&got->data[i], &want->data[i], sizeof(float)) != 0) {
            failed(s, name, index, i, (double)got->data[i], (double)want->data[i]);
            return;
        }
}

static void compare_results(scene *s, const char *what, const result *got, const result *want)
{
    s->what = what;
    for (int o = 0; o < TN_MAX_OUT; o++)
        compare_bits(s, "output", o, &got->out[o], &want->out[o]);
    for (int i = 0; i < TN_MAX_IN; i++) {
        compare_bits(s, "gradient of input", i, &got->grad[i], &want->grad[i]);
        compare_bits(s, "statistic", i, &got->statistic[i], &want->statistic[i]);
    }
}

static void write_tensor(tn_tensor to, const tn_tensor *from)
{
    assert_non_null(to.data);
    tn_copy(&to, from);
}

static tn_status make_plan(const network *net, const problem *p, const tn_plan_options *options,
                           bool with_join, tn_plan **plan)
{
    tn_input_shape shapes[TN_MAX_IN + TN_MAX_OUT];
    int count = 0;
    for (int k = 0; k < TN_MAX_IN + TN_MAX_OUT; k++) {
        const bool extra = k >= TN_MAX_IN;
        const tn_var *var = extra ? net->cotangent[k - TN_MAX_IN] : net->in[k];
        const tn_tensor *t = extra ? &p->cotangent[k - TN_MAX_IN] : &p->in[k];
        if (!var || var->kind != TN_VAR_INPUT || (extra && !with_join))
            continue;
        shapes[count].name = tn_var_name(var);
        memcpy(shapes[count++].size, t->size, sizeof t->size);
    }
    return tn_plan_create(net->graph, options, shapes, count, plan);
}

/* Writes everything that a run reads. */
static void feed(const network *net, const problem *p, tn_plan *plan, int loss, bool with_join)
{
    tn_plan_seed(plan, PROBLEM_SEED, PROBLEM_RUN, PROBLEM_FIRST_SAMPLE);
    for (int i = 0; i < TN_MAX_IN; i++)
        if (p->in[i].data)
            write_tensor(problem_is_statistic(p, i) ? tn_value(net->in[i]) : tn_plan_value(plan, net->in[i]),
                         &p->in[i]);
    for (int o = 0; with_join && o < p->oracle->op->outputs; o++)
        write_tensor(tn_plan_value(plan, net->cotangent[o]), &p->cotangent[o]);
    if (loss >= 0 && !with_join)
        write_tensor(tn_plan_grad(plan, net->loss[loss]), &p->cotangent[loss]);
}

/* Loss -1 is an inference plan. A plan that is not for debugging runs twice: what the first run leaves behind
 * must not show. */
static result run(scene *s, const network *net, int loss, bool debug)
{
    const problem *p = s->p;
    const bool training = loss >= 0, with_join = loss == p->oracle->op->outputs;
    const tn_plan_options options = {.mode = training ? TN_TRAINING : TN_INFERENCE,
                                     .loss = training ? net->loss[loss] : NULL,
                                     .debug = debug};
    tn_plan *plan = NULL;
    result r = {0};
    assert_ok(s->ctx, make_plan(net, p, &options, with_join, &plan));
    for (int round = debug ? 1 : 0; round < 2; round++) {
        feed(net, p, plan, loss, with_join);
        tn_plan_forward(plan);
        if (training)
            tn_plan_backward(plan);
    }
    assert_ok(s->ctx, tn_plan_check(plan));
    for (int i = 0; i < plan->step_count; i++)
        r.error = fmax(r.error, plan->steps[i]->step.error);
    for (int o = 0; o < p->oracle->op->outputs; o++) {
        const tn_tensor view = tn_plan_value(plan, net->loss[o]);
        r.out[o] = read_tensor(&view);
    }
    for (int i = 0; i < TN_MAX_IN; i++) {
        if (!p->in[i].data)
            continue;
        const tn_tensor grad = training ? tn_plan_grad(plan, net->in[i]) : (tn_tensor){0};
        r.grad[i] = read_tensor(&grad);
        const tn_tensor value = tn_plan_value(plan, net->in[i]);
        tn_tensor kept = read_tensor(&value);
        if (problem_is_statistic(p, i)) {
            r.statistic[i] = kept;
            continue;
        }
        s->what = "after the run";
        compare_bits(s, "input", i, &kept, &p->in[i]);
        free(kept.data);
    }
    tn_plan_destroy(plan);
    return r;
}

/* ---- comparing with the oracle --------------------------------------------------------------------- */

static void compare_values(scene *s, const char *name, int index, const tn_tensor *got,
                           const ref_tensor *want, double bound)
{
    double largest = 0;
    if (!got->data || got->rank != want->rank ||
        memcmp(got->size, want->size, (size_t)want->rank * sizeof *want->size) != 0) {
        print_error("%s %d is %s\n", name, index, got->data ? tn_shape(got).text : "missing");
        failed(s, name, index, -1, got->rank, want->rank);
        return;
    }
    for (int64_t i = 0; i < ref_numel(want); i++)
        largest = fmax(largest, fabs(want->data[i]));
    for (int64_t i = 0; i < ref_numel(want); i++)
        if (!(fabs((double)got->data[i] - want->data[i]) <= bound * largest)) {
            failed(s, name, index, i, (double)got->data[i], want->data[i]);
            return;
        }
}

static void compare_gradients(scene *s, int loss, const result *r)
{
    const problem *p = s->p;
    double largest[TN_MAX_IN];
    for (int i = 0; i < TN_MAX_IN; i++) {
        largest[i] = 1;
        if (!r->grad[i].data != !problem_differentiable(p, i))
            failed(s, "presence of gradient", i, -1, r->grad[i].data ? 1 : 0, problem_differentiable(p, i));
        for (int64_t e = 0; r->grad[i].data && e < tn_numel(&p->in[i]); e++)
            if (!isfinite(r->grad[i].data[e]))
                failed(s, "gradient of input", i, e, (double)r->grad[i].data[e], 0);
    }
    /* Wide values make large gradients; what rounding leaves of a sum of such is large too. */
    for (const probe *at = p->probes[loss]; p->draw == 1 && at->input >= 0; at++)
        largest[at->input] = fmax(largest[at->input], fabs(at->want));
    for (const probe *at = p->probes[loss]; at->input >= 0; at++) {
        if (!r->grad[at->input].data)
            continue;
        const double got = problem_project(p, at, &r->grad[at->input]);
        if (!(fabs(got - at->want) <= relative * fabs(at->want) + absolute * largest[at->input]))
            failed(s, "gradient of input", at->input, at->element, got, at->want);
    }
}

static void compare_with_oracle(scene *s, int loss, const result *r)
{
    const problem *p = s->p;
    const ref_call *want = &p->want[loss >= 0 ? TN_TRAINING : TN_INFERENCE];
    const double bound = fmax(r->error, forward_tolerance);
    for (int o = 0; o < p->oracle->op->outputs; o++)
        compare_values(s, "output", o, &r->out[o], &want->out[o], bound);
    for (int i = 0; i < TN_MAX_IN; i++) {
        if (!problem_is_statistic(p, i))
            continue;
        if (loss < 0 || p->c->frozen)
            compare_bits(s, "statistic, which must not change,", i, &r->statistic[i], &p->in[i]);
        else
            compare_values(s, "statistic", i, &r->statistic[i], &want->in[i], bound);
    }
    if (loss >= 0)
        compare_gradients(s, loss, r);
}

/* Gradients of one input alone, and of none: the same bits, and nothing for the others. */
static void try_subsets(scene *s, int loss, const result *all)
{
    for (int only = -1; only < TN_MAX_IN; only++) {
        if (only >= 0 && !problem_differentiable(s->p, only))
            continue;
        network net;
        build(&net, s->ctx, s->p, only < 0 ? 0 : 1u << only);
        result r = run(s, &net, loss, false), want = *all;
        for (int i = 0; i < TN_MAX_IN; i++)
            if (i != only)
                want.grad[i] = (tn_tensor){0};
        compare_results(s, "one gradient alone, against all together", &r, &want);
        free_result(&r);
        tn_graph_destroy(net.graph);
    }
}

static const char *loss_name(int loss)
{
    static const char *const names[] = {"inference", "training, loss 0", "training, loss 1",
                                        "training, outputs together"};
    return names[loss + 1];
}

/* Everything about one problem on one context. `first` has the results of one thread, or takes them. */
static void try_lane(scene *s, result first[PROBLEM_MAX_LOSSES + 1], bool have_first)
{
    network net;
    build(&net, s->ctx, s->p, ~0u);
    for (int loss = -1; loss < s->p->losses; loss++) {
        result r = run(s, &net, loss, false), debug = run(s, &net, loss, true);
        s->what = loss_name(loss);
        compare_with_oracle(s, loss, &r);
        compare_results(s, "debug plan against the other", &debug, &r);
        free_result(&debug);
        if (tn_threads(s->ctx) == 2 && loss >= 0)
            try_subsets(s, loss, &r);
        if (have_first) {
            compare_results(s, "several threads against one", &r, &first[loss + 1]);
            free_result(&r);
        } else {
            first[loss + 1] = r;
        }
    }
    tn_graph_destroy(net.graph);
}

static int try_problem(const problem *p)
{
    scene s = {.p = p};
    for (int isa = 0; tn_isa_list(isa); isa++) {
        result first[PROBLEM_MAX_LOSSES + 1] = {0};
        for (int threads = 1; threads <= (test_quick() ? 2 : 3); threads++) {
            s.ctx = test_ctx(threads, tn_isa_list(isa));
            try_lane(&s, first, threads > 1);
            tn_ctx_destroy(s.ctx);
        }
        for (int loss = 0; loss <= PROBLEM_MAX_LOSSES; loss++)
            free_result(&first[loss]);
    }
    return s.failures;
}

static void op_agrees_with_its_oracle(void **state)
{
    const oracle *of = *state;
    int failures = 0;
    for (const tn_case *c = of->op->cases; c->label; c++)
        for (int d = 0; d < PROBLEM_DRAWS; d++) {
            problem p;
            problem_set_up(&p, of, c, d);
            failures += try_problem(&p);
            problem_tear_down(&p);
        }
    assert_non_null(of->op->cases->label);
    assert_int_equal(failures, 0);
}

/* That a builder's var comes from node `op` with these inputs (up to TN_MAX_IN) and attributes. */
static void check_built(const tn_var *var, const tn_op *op, tn_var *const *in, const void *attr)
{
    assert_int_equal(var->kind, TN_VAR_NODE);
    assert_ptr_equal(var->node->op, op);
    assert_int_equal(var->slot, 0);
    for (int i = 0; i < TN_MAX_IN; i++)
        assert_ptr_equal(var->node->in[i], in[i]);
    if (op->attr_size)
        assert_memory_equal(var->node->attr, attr, op->attr_size);
}
#define CHECK_BUILT(var, name, attr, ...)                                                                    \
    check_built(var, &tn_op_##name, (tn_var *[TN_MAX_IN]){__VA_ARGS__}, attr)

static void builders_apply_their_ops(void **state)
{
    (void)state;
    tn_ctx *ctx = test_ctx(1, NULL);
    tn_graph *graph;
    assert_ok(ctx, tn_graph_create(ctx, &graph));
    tn_var *v[11] = {tn_input(graph, "x", 1, (int64_t[]){4})};
    for (int i = 1; i < 11; i++) {
        char name[32];
        snprintf(name, sizeof name, "p%d", i);
        v[i] = tn_param(graph, name, 1, (int64_t[]){4});
    }
    const tn_conv3d_attr conv = {{1, 2, 3}, {4, 5, 6}};
    const tn_batch_norm_attr norm = {0.5f, 0.25f};
    const tn_pool3d_attr pool = {{1, 2, 3}, {4, 5, 6}, {7, 8, 9}};
    const tn_dropout_attr dropout = {.p = 0.5f, .per_channel = true};
    const tn_slice_attr slice = {1, 2, 3, 4};
    const tn_concat_attr concat = {3};
    CHECK_BUILT(tn_conv3d(v[0], v[1], v[2], conv), conv3d, &conv, v[0], v[1], v[2]);
    CHECK_BUILT(tn_batch_norm(v[0], v[1], v[2], v[3], v[4], norm), batch_norm, &norm, v[0], v[1], v[2], v[3],
                v[4]);
    CHECK_BUILT(tn_relu(v[0]), relu, NULL, v[0]);
    CHECK_BUILT(tn_add(v[0], v[1]), add, NULL, v[0], v[1]);
    CHECK_BUILT(tn_max_pool3d(v[0], pool), max_pool3d, &pool, v[0]);
    CHECK_BUILT(tn_avg_pool3d(v[0], pool), avg_pool3d, &pool, v[0]);
    CHECK_BUILT(tn_global_avg_pool(v[0]), global_avg_pool, NULL, v[0]);
    CHECK_BUILT(tn_linear(v[0], v[1], v[2]), linear, NULL, v[0], v[1], v[2]);
    tn_var *dropped = tn_dropout(v[0], dropout);
    assert_ptr_equal(dropped->node->in[0], v[0]);
    const tn_dropout_attr *copy = dropped->node->attr;
    assert_true(copy->p == 0.5f && copy->per_channel);
    CHECK_BUILT(tn_softmax(v[0]), softmax, NULL, v[0]);
    CHECK_BUILT(tn_cross_entropy(v[0], v[1], v[2]), cross_entropy, NULL, v[0], v[1], v[2]);
    CHECK_BUILT(tn_slice(v[0], slice), slice, &slice, v[0]);
    CHECK_BUILT(tn_concat(v, 10, 3), concat, &concat, v[0], v[1], v[2], v[3], v[4], v[5], v[6], v[7], v[8],
                v[9]);
    CHECK_BUILT(tn_concat(v + 2, 1, 3), concat, &concat, v[2]);
    const tn_lstm_weights one = {v[2], v[3], v[4], v[5]}, two = {v[6], v[7], v[8], v[9]};
    CHECK_BUILT(tn_lstm(v[0], v[1], &one, &two), lstm, NULL, v[0], v[1], v[2], v[3], v[4], v[5], v[6], v[7],
                v[8], v[9]);
    CHECK_BUILT(tn_lstm(v[0], NULL, &two, NULL), lstm, NULL, v[0], NULL, v[6], v[7], v[8], v[9]);
    tn_var *alpha = NULL, *z = tn_attention_pool(v[0], v[1], v[2], &alpha);
    CHECK_BUILT(z, attention_pool, NULL, v[0], v[1], v[2]);
    assert_ptr_equal(alpha, z->node->out[1]);
    CHECK_BUILT(tn_attention_pool(v[0], v[1], NULL, NULL), attention_pool, NULL, v[0], v[1]);
    assert_int_equal(graph->status, TN_OK);
    assert_int_equal(tn_concat(v, 11, 3)->kind, TN_VAR_POISON);
    tn_graph_destroy(graph);
    tn_ctx_destroy(ctx);
}

static void oracle_draws_the_same_random_numbers(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < 1000; i++) {
        const uint64_t seed = i * 0x9e3779b97f4a7c15u, stream = ~seed, at = i < 900 ? i : seed ^ stream << 7;
        assert_true((double)tn_uniform(seed, stream, at) == ref_uniform(seed, stream, at));
    }
}

int main(void)
{
#define TN_OP(name) {#name, op_agrees_with_its_oracle, NULL, NULL, &(oracle){&tn_op_##name, ref_##name}},
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(builders_apply_their_ops),
        cmocka_unit_test(oracle_draws_the_same_random_numbers),
#include "libtensor/ops.def"
    };
#undef TN_OP
    return cmocka_run_group_tests(tests, NULL, NULL);
}
