/* Layers with named parameters, from which networks are made. */
#include "nn/internal.h"

#include <stdio.h>
#include <string.h>

static tn_var *param(tn_graph *graph, const char *layer, const char *what, int rank, const int64_t *size)
{
    char name[NN_NAME];
    snprintf(name, sizeof name, "%s.%s", layer, what);
    return tn_param(graph, name, rank, size);
}

tn_var *nn_conv(tn_graph *graph, tn_var *x, const char *name, int64_t in, int64_t out, const int kernel[3],
                const int stride[3], const int pad[3])
{
    const int64_t size[5] = {out, in, kernel[0], kernel[1], kernel[2]};
    tn_conv3d_attr attr;
    memcpy(attr.stride, stride, sizeof attr.stride);
    memcpy(attr.pad, pad, sizeof attr.pad);
    return tn_conv3d(x, param(graph, name, "weight", 5, size), NULL, attr);
}

tn_var *nn_batch_norm(tn_graph *graph, tn_var *x, const char *name, int64_t channels, tn_batch_norm_attr attr)
{
    static const char *const buffers[2] = {"running_mean", "running_var"};
    tn_var *statistics[2];
    tn_var *weight = param(graph, name, "weight", 1, &channels);
    tn_var *bias = param(graph, name, "bias", 1, &channels);
    for (int i = 0; i < 2; i++) {
        char full[NN_NAME];
        snprintf(full, sizeof full, "%s.%s", name, buffers[i]);
        statistics[i] = tn_buffer(graph, full, 1, &channels);
    }
    return tn_batch_norm(x, weight, bias, statistics[0], statistics[1], attr);
}

tn_var *nn_linear(tn_graph *graph, tn_var *x, const char *name, int64_t in, int64_t out)
{
    const int64_t size[2] = {out, in};
    tn_var *weight = param(graph, name, "weight", 2, size);
    return tn_linear(x, weight, param(graph, name, "bias", 1, &out));
}

tn_var *nn_add_loss(tn_graph *graph, tn_var *logits, int64_t classes, bool weighted)
{
    static const int64_t any = TN_ANY;
    tn_var *labels = tn_input(graph, "labels", 1, &any);
    tn_var *weights = weighted ? tn_input(graph, "class_weights", 1, &classes) : NULL;
    tn_var *loss = tn_cross_entropy(logits, labels, weights);
    tn_output(loss, "loss");
    return loss;
}
