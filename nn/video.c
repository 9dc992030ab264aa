/* The video network: an inflated bottleneck ResNet. */
#include "nn/internal.h"

#include <stdio.h>
#include <string.h>

nn_video_config nn_video_defaults(int classes)
{
    return (nn_video_config){
        .blocks = {3, 4, 6, 3},
        .width = 64,
        .expansion = 4,
        .in_channels = 3,
        .stem_kernel = {7, 7, 7},
        .stem_stride = {1, 2, 2},
        .stem_pool = true,
        .classes = classes,
        .head = "last_linear",
        .eps = 1e-5f,
        .momentum = 0.1f,
    };
}

int64_t nn_video_features(const nn_video_config *config)
{
    return (int64_t)config->width * (1 << (NN_STAGES - 1)) * config->expansion;
}

/* ---- graph ----------------------------------------------------------------------------------------- */

/* What the parts of one network pass on. */
typedef struct builder {
    tn_graph *graph;
    tn_batch_norm_attr norm;
    int64_t channels; /* of the var at hand */
    char block[48];   /* "layer1.0" */
} builder;

/* Convolution and batch norm called BLOCK.CONV and BLOCK.NORM (without a block: CONV, NORM), padded so that
 * stride 1 keeps the size. */
static tn_var *conv_norm(builder *b, tn_var *x, const char *conv, const char *norm, int64_t out,
                         const int kernel[3], const int stride[3])
{
    const char *dot = b->block[0] ? "." : "";
    const int pad[3] = {kernel[0] / 2, kernel[1] / 2, kernel[2] / 2};
    char name[NN_NAME];
    snprintf(name, sizeof name, "%s%s%s", b->block, dot, conv);
    x = nn_conv(b->graph, x, name, b->channels, out, kernel, stride, pad);
    snprintf(name, sizeof name, "%s%s%s", b->block, dot, norm);
    b->channels = out;
    return nn_batch_norm(b->graph, x, name, out, b->norm);
}

/* He et al. 2016, figure 5 right, with the stride on the middle convolution (as torchvision's). */
static tn_var *bottleneck(builder *b, tn_var *x, int64_t planes, int64_t out, int stride, bool first)
{
    static const int k1[3] = {1, 1, 1}, k3[3] = {3, 3, 3}, s1[3] = {1, 1, 1};
    const int s[3] = {stride, stride, stride};
    const int64_t in = b->channels;
    tn_var *y = tn_relu(conv_norm(b, x, "conv1", "bn1", planes, k1, s1));
    y = tn_relu(conv_norm(b, y, "conv2", "bn2", planes, k3, s));
    y = conv_norm(b, y, "conv3", "bn3", out, k1, s1);
    if (first) {
        b->channels = in;
        x = conv_norm(b, x, "downsample.0", "downsample.1", out, k1, s);
    }
    return tn_relu(tn_add(y, x));
}

tn_var *nn_video_backbone(tn_graph *graph, tn_var *x, const nn_video_config *config)
{
    builder b = {.graph = graph, .norm = {config->eps, config->momentum}, .channels = config->in_channels};
    x = tn_relu(conv_norm(&b, x, "conv1", "bn1", config->width, config->stem_kernel, config->stem_stride));
    if (config->stem_pool)
        x = tn_max_pool3d(x, (tn_pool3d_attr){{3, 3, 3}, {2, 2, 2}, {1, 1, 1}});
    for (int stage = 0; stage < NN_STAGES; stage++) {
        const int64_t planes = (int64_t)config->width << stage;
        for (int i = 0; i < config->blocks[stage]; i++) {
            snprintf(b.block, sizeof b.block, "layer%d.%d", stage + 1, i);
            x = bottleneck(&b, x, planes, planes * config->expansion, i == 0 && stage > 0 ? 2 : 1, i == 0);
        }
    }
    return tn_global_avg_pool(x);
}

tn_var *nn_video_head(tn_graph *graph, tn_var *features, const nn_video_config *config)
{
    return nn_linear(graph, features, config->head, nn_video_features(config), config->classes);
}

nn_network nn_video_build(tn_graph *graph, const nn_video_config *config)
{
    const int64_t size[5] = {TN_ANY, config->in_channels, TN_ANY, TN_ANY, TN_ANY};
    nn_network net = {.input = tn_input(graph, "clip", 5, size)};
    net.features = nn_video_backbone(graph, net.input, config);
    tn_output(net.features, "features");
    net.logits = nn_video_head(graph, net.features, config);
    tn_output(net.logits, "logits");
    net.probabilities = tn_softmax(net.logits);
    tn_output(net.probabilities, "probabilities");
    return net;
}

/* ---- sizes from the weights ------------------------------------------------------------------------ */

static tn_status read_stem(tn_ctx *ctx, const wt_file *file, nn_video_config *config)
{
    const char *expected =
        "(width, channels, KT, KH, KW) with an odd kernel; a network for single pictures has 4 axes";
    const wt_entry *conv;
    TN_TRY(nn_need(ctx, file, "conv1.weight", 5, expected, &conv));
    for (int i = 0; i < 5; i++)
        if (conv->size[i] < 1 || conv->size[i] > NN_MAX_SIZE || (i >= 2 && conv->size[i] % 2 == 0))
            return tn_fail(ctx, TN_SHAPE, "%s: conv1.weight is %s, expected %s", wt_path(file),
                           nn_shape(5, conv->size).text, expected);
    config->width = (int)conv->size[0];
    config->in_channels = (int)conv->size[1];
    for (int i = 0; i < 3; i++)
        config->stem_kernel[i] = (int)conv->size[2 + i];
    TN_TRY(nn_meta_ints(ctx, file, "valence.stem_stride", 1, 3, config->stem_stride));
    int pool = config->stem_pool;
    TN_TRY(nn_meta_ints(ctx, file, "valence.stem_pool", 0, 1, &pool));
    config->stem_pool = pool != 0;
    return TN_OK;
}

static tn_status count_blocks(tn_ctx *ctx, const wt_file *file, nn_video_config *config)
{
    for (int stage = 0; stage < NN_STAGES; stage++) {
        int n = 0;
        for (; n <= NN_MAX_BLOCKS; n++) {
            char name[NN_NAME];
            snprintf(name, sizeof name, "layer%d.%d.conv1.weight", stage + 1, n);
            if (!wt_find(file, name))
                break;
        }
        if (n == 0 || n > NN_MAX_BLOCKS)
            return tn_fail(ctx, TN_SHAPE, "%s: layer%d.0.conv1.weight and on: %d blocks, expected 1 to %d",
                           wt_path(file), stage + 1, n, (int)NN_MAX_BLOCKS);
        config->blocks[stage] = n;
    }
    return TN_OK;
}

static tn_status read_expansion(tn_ctx *ctx, const wt_file *file, nn_video_config *config)
{
    const wt_entry *conv;
    TN_TRY(nn_need(ctx, file, "layer1.0.conv3.weight", 5,
                   "(expansion * width, width, 1, 1, 1); networks of basic blocks are not supported", &conv));
    if (conv->size[0] < config->width || conv->size[0] > NN_MAX_SIZE || conv->size[0] % config->width != 0)
        return tn_fail(
            ctx, TN_SHAPE,
            "%s: layer1.0.conv3.weight is %s, expected a multiple of %d rows (conv1.weight has %d)",
            wt_path(file), nn_shape(5, conv->size).text, config->width, config->width);
    config->expansion = (int)(conv->size[0] / config->width);
    return TN_OK;
}

static tn_status read_head(tn_ctx *ctx, const wt_file *file, nn_video_config *config)
{
    static const char *const heads[2] = {"last_linear", "fc"};
    const wt_entry *weight = NULL;
    char name[NN_NAME];
    for (int i = 0; i < 2 && !weight; i++) {
        snprintf(name, sizeof name, "%s.weight", heads[i]);
        weight = wt_find(file, name);
        snprintf(config->head, sizeof config->head, "%s", heads[i]);
    }
    if (!weight)
        return tn_fail(ctx, TN_SHAPE, "%s: neither last_linear.weight nor fc.weight is there", wt_path(file));
    if (weight->rank != 2 || weight->size[0] < 1 || weight->size[0] > NN_MAX_CLASSES ||
        weight->size[1] != nn_video_features(config))
        return tn_fail(ctx, TN_SHAPE, "%s: %s is %s, expected (classes, %lld)", wt_path(file), name,
                       nn_shape(weight->rank, weight->size).text, (long long)nn_video_features(config));
    config->classes = (int)weight->size[0];
    return TN_OK;
}

tn_status nn_video_config_from(tn_ctx *ctx, const wt_file *file, nn_video_config *config)
{
    *config = nn_video_defaults(1);
    TN_TRY(read_stem(ctx, file, config));
    TN_TRY(count_blocks(ctx, file, config));
    TN_TRY(read_expansion(ctx, file, config));
    return read_head(ctx, file, config);
}

/* ---- calibration ----------------------------------------------------------------------------------- */

/* Lets every parameter of `twin` borrow the values of its namesake in `graph`; buffers begin at 0. */
static tn_status share_values(const tn_graph *graph, tn_graph *twin)
{
    tn_ctx *ctx = tn_graph_ctx(graph);
    for (int i = 0; i < tn_param_count(twin); i++) {
        tn_var *to = tn_param_at(twin, i);
        const tn_var *from = tn_find(graph, tn_var_name(to));
        if (!from)
            return tn_fail(ctx, TN_SHAPE, "%s: the graph to calibrate has no such parameter",
                           tn_var_name(to));
        if (tn_is_buffer(to)) {
            if (!tn_value(to).data)
                return TN_NOMEM;
        } else if (!tn_value_const(from)) {
            return tn_fail(ctx, TN_RANGE, "parameter %s has no values", tn_var_name(to));
        } else {
            tn_bind(to, tn_value_const(from));
        }
    }
    return TN_OK;
}

/* One training step's forward pass without a gradient for anything: only running statistics change. */
static tn_status run_forward(tn_graph *twin, const nn_network *net, tn_var *loss, const tn_tensor *clips,
                             nn_plan_fn seen, void *arg)
{
    tn_input_shape shapes[2] = {{.name = "clip"}, {.name = "labels", .size = {clips->size[0]}}};
    memcpy(shapes[0].size, clips->size, sizeof shapes[0].size);
    tn_set_trainable(twin, "", false);
    for (int i = 0; i < tn_param_count(twin); i++)
        if (tn_is_buffer(tn_param_at(twin, i)))
            tn_set_trainable(twin, tn_var_name(tn_param_at(twin, i)), true);
    const tn_plan_options options = {.mode = TN_TRAINING, .loss = loss};
    tn_plan *plan = NULL;
    TN_TRY(tn_plan_create(twin, &options, shapes, 2, &plan));
    tn_tensor input = tn_plan_value(plan, net->input);
    tn_copy(&input, clips);
    tn_plan_forward(plan);
    if (seen)
        seen(arg, plan);
    tn_plan_destroy(plan);
    return TN_OK;
}

static tn_status take_statistics(tn_graph *graph, tn_graph *twin)
{
    tn_ctx *ctx = tn_graph_ctx(graph);
    for (int pass = 0; pass < 2; pass++) /* all are looked at before one is taken */
        for (int i = 0; i < tn_param_count(twin); i++) {
            tn_var *var = tn_param_at(twin, i);
            if (!tn_is_buffer(var))
                continue;
            const tn_tensor from = tn_value(var);
            const tn_tensor to = pass ? tn_value(tn_find(graph, tn_var_name(var))) : from;
            if (!to.data)
                return TN_NOMEM;
            if (pass)
                tn_copy(&to, &from);
            else if (nn_first_not_finite(from.data, tn_numel(&from)) >= 0)
                return tn_fail(ctx, TN_RANGE, "%s: the clips give statistics that are not finite",
                               tn_var_name(var));
        }
    return TN_OK;
}

tn_status nn_video_calibrate(tn_graph *graph, const nn_video_config *config, const tn_tensor *clips,
                             nn_plan_fn seen, void *arg)
{
    tn_ctx *ctx = tn_graph_ctx(graph);
    if (clips->rank != 5 || clips->size[1] != config->in_channels)
        return tn_fail(ctx, TN_SHAPE, "clips to calibrate on are %s, expected (N, %d, T, H, W)",
                       nn_shape(clips->rank, clips->size).text, config->in_channels);
    tn_graph *twin = NULL;
    TN_TRY(tn_graph_create(ctx, &twin));
    nn_video_config replacing = *config;
    replacing.momentum = 1;
    nn_network net = nn_video_build(twin, &replacing);
    tn_var *loss = nn_add_loss(twin, net.logits, config->classes, false);
    tn_status status = tn_graph_check(twin);
    if (status == TN_OK)
        status = share_values(graph, twin);
    if (status == TN_OK)
        status = run_forward(twin, &net, loss, clips, seen, arg);
    if (status == TN_OK)
        status = take_statistics(graph, twin);
    tn_graph_destroy(twin);
    return status;
}
