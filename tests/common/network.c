#include "tests/common/network.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- networks -------------------------------------------------------------------------------------- */

static tn_var *parameter(tn_graph *graph, bool buffer, const char *layer, const char *name, int rank,
                         const int64_t *size)
{
    char text[96];
    snprintf(text, sizeof text, "%s.%s", layer, name);
    return buffer ? tn_buffer(graph, text, rank, size) : tn_param(graph, text, rank, size);
}

tn_var *net_conv(tn_var *x, const char *layer, int64_t in, int64_t out, int64_t kernel, int stride)
{
    const int pad = (int)kernel / 2;
    tn_var *weight = parameter(x->graph, false, layer, "weight", 5, SIZE(out, in, kernel, kernel, kernel));
    return tn_conv3d(x, weight, NULL, (tn_conv3d_attr){{1, stride, stride}, {pad, pad, pad}});
}

tn_var *net_norm(tn_var *x, const char *layer, int64_t channels)
{
    tn_var *weight = parameter(x->graph, false, layer, "weight", 1, &channels);
    tn_var *bias = parameter(x->graph, false, layer, "bias", 1, &channels);
    tn_var *mean = parameter(x->graph, true, layer, "running_mean", 1, &channels);
    tn_var *var = parameter(x->graph, true, layer, "running_var", 1, &channels);
    return tn_batch_norm(x, weight, bias, mean, var, (tn_batch_norm_attr){1e-5f, 0.1f});
}

tn_var *net_linear(tn_var *x, const char *layer, int64_t in, int64_t out)
{
    tn_var *weight = parameter(x->graph, false, layer, "weight", 2, SIZE(out, in));
    return tn_linear(x, weight, parameter(x->graph, false, layer, "bias", 1, &out));
}

/* He et al. 2016, figure 2; with a convolution on the shortcut where the channels change. */
static tn_var *residual_block(tn_var *x, const char *layer, int64_t in, int64_t out)
{
    char name[6][64];
    static const char *const part[6] = {"conv1", "bn1", "conv2", "bn2", "downsample.0", "downsample.1"};
    for (int i = 0; i < 6; i++)
        snprintf(name[i], sizeof name[i], "%s.%s", layer, part[i]);
    tn_var *y = tn_relu(net_norm(net_conv(x, name[0], in, out, 3, in == out ? 1 : 2), name[1], out));
    y = net_norm(net_conv(y, name[2], out, out, 3, 1), name[3], out);
    tn_var *shortcut = in == out ? x : net_norm(net_conv(x, name[4], in, out, 1, 2), name[5], out);
    return tn_relu(tn_add(y, shortcut));
}

void net_residual(tn_graph *graph)
{
    tn_var *x = tn_input(graph, "x", 5, SIZE(TN_ANY, 3, TN_ANY, TN_ANY, TN_ANY));
    x = tn_relu(net_norm(net_conv(x, "conv1", 3, 8, 3, 1), "bn1", 8));
    x = tn_max_pool3d(x, (tn_pool3d_attr){{1, 2, 2}, {1, 2, 2}, {0, 0, 0}});
    x = residual_block(x, "layer1.0", 8, 8);
    x = residual_block(x, "layer2.0", 8, 12);
    tn_output(net_linear(tn_global_avg_pool(x), "fc", 12, 5), "logits");
}

tn_status net_fill(tn_graph *graph)
{
    for (int i = 0; i < tn_param_count(graph); i++) {
        tn_var *var = tn_param_at(graph, i);
        const char *name = tn_var_name(var);
        const bool one = strstr(name, "running_var") || (var->rank == 1 && strstr(name, "weight"));
        tn_tensor value = tn_value(var);
        if (!value.data)
            return TN_NOMEM;
        tn_fill_uniform(value.data, (size_t)tn_numel(&value), 1, tn_hash(name), one ? 0.5f : -0.4f,
                        one ? 1.5f : 0.4f);
    }
    return TN_OK;
}

net net_open(int threads)
{
    net n = {.ctx = test_ctx(threads, NULL)};
    assert_ok(n.ctx, tn_graph_create(n.ctx, &n.graph));
    return n;
}

void net_close(net *n)
{
    tn_graph_destroy(n->graph);
    tn_ctx_destroy(n->ctx);
}

net net_open_residual(int threads)
{
    net n = net_open(threads);
    net_residual(n.graph);
    assert_ok(n.ctx, net_fill(n.graph));
    return n;
}

/* ---- plans ----------------------------------------------------------------------------------------- */

tn_status net_plan(net *n, tn_plan_options options, const int64_t *size, int rank, tn_plan **plan)
{
    tn_input_shape shape = {.name = "x"};
    memcpy(shape.size, size, (size_t)rank * sizeof *size);
    return tn_plan_create(n->graph, &options, &shape, 1, plan);
}

tn_plan *net_inference(net *n, const int64_t *size, int rank)
{
    tn_plan *plan = NULL;
    assert_ok(n->ctx, net_plan(n, (tn_plan_options){.mode = TN_INFERENCE}, size, rank, &plan));
    return plan;
}

tn_plan *net_training(net *n, const char *loss, const int64_t *size, int rank)
{
    tn_plan *plan = NULL;
    tn_plan_options options = {.mode = TN_TRAINING, .loss = tn_find(n->graph, loss)};
    assert_ok(n->ctx, net_plan(n, options, size, rank, &plan));
    return plan;
}

static float *new_floats(const tn_tensor *like)
{
    float *data = calloc((size_t)tn_numel(like) + 1, sizeof *data);
    assert_non_null(data);
    return data;
}

float *net_read(tn_tensor view)
{
    assert_non_null(view.data);
    tn_tensor copy = tn_view(new_floats(&view), view.rank, view.size);
    tn_copy(&copy, &view);
    return copy.data;
}

float *net_value(const tn_plan *plan, const char *name)
{
    return net_read(tn_plan_value(plan, tn_find(plan->graph, name)));
}

void net_randomise(tn_tensor view, uint64_t seed)
{
    assert_non_null(view.data);
    tn_tensor from = tn_view(new_floats(&view), view.rank, view.size);
    tn_fill_uniform(from.data, (size_t)tn_numel(&from), seed, 0, -1, 1);
    tn_copy(&view, &from);
    free(from.data);
}

void net_randomise_x(const tn_plan *plan)
{
    net_randomise(tn_plan_value(plan, tn_find(plan->graph, "x")), 7);
}

void net_assert_same_bits(float *a, float *b, int64_t n)
{
    assert_memory_equal(a, b, (size_t)n * sizeof *a);
    free(a);
    free(b);
}

void net_assert_close(float *a, float *b, int64_t n, double bound)
{
    const double error = test_relative_error(a, b, (size_t)n);
    if (!(error <= bound))
        fail_msg("the relative error is %g", error);
    free(a);
    free(b);
}

void net_assert_error(tn_ctx *ctx, tn_status got, tn_status want, const char *const *texts)
{
    assert_int_equal(got, want);
    for (; *texts; texts++)
        if (!strstr(tn_error(ctx), *texts))
            fail_msg("\"%s\" does not say \"%s\"", tn_error(ctx), *texts);
    tn_clear_error(ctx);
}
