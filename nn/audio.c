/* The audio network: dense layers, a bidirectional LSTM and local attention, and the scaling before it. */
#include "nn/internal.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

nn_audio_config nn_audio_defaults(int classes)
{
    return (nn_audio_config){
        .inputs = 34,
        .dense = {512, 512},
        .cells = 128,
        .classes = classes,
        .kind = NN_ATTENTION_LOCAL,
        .dropout = 0.5f,
        .input_dropout = 0.5f,
    };
}

/* ---- graph ----------------------------------------------------------------------------------------- */

static tn_lstm_weights lstm_weights(tn_graph *graph, const char *suffix, int64_t in, int64_t cells)
{
    const int64_t w_ih[2] = {4 * cells, in}, w_hh[2] = {4 * cells, cells}, gates = 4 * cells;
    const struct {
        const char *what;
        int rank;
        const int64_t *size;
    } parts[4] = {
        {"weight_ih", 2, w_ih}, {"weight_hh", 2, w_hh}, {"bias_ih", 1, &gates}, {"bias_hh", 1, &gates}};
    tn_var *var[4];
    for (int i = 0; i < 4; i++) {
        char name[NN_NAME];
        snprintf(name, sizeof name, "lstm.%s_l0%s", parts[i].what, suffix);
        var[i] = tn_param(graph, name, parts[i].rank, parts[i].size);
    }
    return (tn_lstm_weights){var[0], var[1], var[2], var[3]};
}

static tn_var *query(tn_graph *graph, nn_attention kind, int64_t features)
{
    if (kind == NN_ATTENTION_LOCAL)
        return tn_param(graph, "attention.query", 1, &features);
    tn_var *constant = tn_buffer(graph, "attention.constant", 1, &features);
    return tn_softmax(nn_linear(graph, constant, "attention.query", features, features));
}

nn_network nn_audio_build(tn_graph *graph, const nn_audio_config *config)
{
    const int64_t size[3] = {TN_ANY, TN_ANY, config->inputs}, any = TN_ANY;
    const int64_t features = 2 * (int64_t)config->cells;
    nn_network net = {.input = tn_input(graph, "sequence", 3, size)};
    net.lengths = tn_input(graph, "lengths", 1, &any);

    const tn_dropout_attr dropout = {config->dropout, false},
                          sequence_dropout = {config->input_dropout, true};
    tn_var *x = tn_relu(nn_linear(graph, net.input, "dense1", config->inputs, config->dense[0]));
    x = tn_dropout(x, dropout);
    x = tn_relu(nn_linear(graph, x, "dense2", config->dense[0], config->dense[1]));
    x = tn_dropout(tn_dropout(x, dropout), sequence_dropout);
    tn_lstm_weights forward = lstm_weights(graph, "", config->dense[1], config->cells);
    tn_lstm_weights reverse = lstm_weights(graph, "_reverse", config->dense[1], config->cells);
    x = tn_lstm(x, net.lengths, &forward, &reverse);

    net.features = tn_attention_pool(x, query(graph, config->kind, features), net.lengths, &net.attention);
    tn_output(net.attention, "attention");
    tn_output(net.features, "features");
    net.logits = nn_linear(graph, net.features, "head", features, config->classes);
    tn_output(net.logits, "logits");
    net.probabilities = tn_softmax(net.logits);
    tn_output(net.probabilities, "probabilities");
    return net;
}

/* ---- sizes from the weights ------------------------------------------------------------------------ */

/* Rows and columns of a matrix in a file, each at least 1; fixed ones are given as positive numbers. */
static tn_status matrix(tn_ctx *ctx, const wt_file *file, const char *name, const char *expected,
                        int64_t rows, int64_t columns, int64_t size[2])
{
    const wt_entry *entry;
    TN_TRY(nn_need(ctx, file, name, 2, expected, &entry));
    const int64_t want[2] = {rows, columns};
    for (int i = 0; i < 2; i++) {
        if (entry->size[i] < 1 || entry->size[i] > NN_MAX_SIZE || (want[i] && entry->size[i] != want[i]))
            return tn_fail(ctx, TN_SHAPE, "%s: %s is %s, expected %s", wt_path(file), name,
                           nn_shape(2, entry->size).text, expected);
        size[i] = entry->size[i];
    }
    return TN_OK;
}

tn_status nn_audio_config_from(tn_ctx *ctx, const wt_file *file, nn_audio_config *config)
{
    *config = nn_audio_defaults(1);
    int64_t size[2];
    char expected[64];
    TN_TRY(matrix(ctx, file, "dense1.weight", "(units, inputs)", 0, 0, size));
    config->dense[0] = (int)size[0];
    config->inputs = (int)size[1];
    snprintf(expected, sizeof expected, "(units, %d)", config->dense[0]);
    TN_TRY(matrix(ctx, file, "dense2.weight", expected, 0, config->dense[0], size));
    config->dense[1] = (int)size[0];
    TN_TRY(matrix(ctx, file, "lstm.weight_hh_l0", "(4 * cells, cells)", 0, 0, size));
    if (size[0] != 4 * size[1])
        return tn_fail(ctx, TN_SHAPE, "%s: lstm.weight_hh_l0 is %s, expected (4 * cells, cells)",
                       wt_path(file), nn_shape(2, size).text);
    config->cells = (int)size[1];
    snprintf(expected, sizeof expected, "(classes, %d)", 2 * config->cells);
    TN_TRY(matrix(ctx, file, "head.weight", expected, 0, 2 * config->cells, size));
    config->classes = (int)size[0];
    if (wt_find(file, "attention.query.weight"))
        config->kind = NN_ATTENTION_SOFTMAX;
    return TN_OK;
}

/* ---- scaling --------------------------------------------------------------------------------------- */

static const char *const norm_names[] = {"train", "frame", "none"};
static const char *const attention_names[] = {"local", "softmax-query"};
enum {
    NORMS = sizeof norm_names / sizeof *norm_names,
    ATTENTIONS = sizeof attention_names / sizeof *attention_names
};

const char *nn_norm_name(nn_norm norm)
{
    return norm_names[norm];
}

const char *nn_attention_name(nn_attention kind)
{
    return attention_names[kind];
}

bool nn_norm_parse(const char *text, nn_norm *out)
{
    for (int i = 0; i < NORMS; i++)
        if (strcmp(text, norm_names[i]) == 0) {
            *out = (nn_norm)i;
            return true;
        }
    return false;
}

bool nn_attention_parse(const char *text, nn_attention *out)
{
    for (int i = 0; i < ATTENTIONS; i++)
        if (strcmp(text, attention_names[i]) == 0) {
            *out = (nn_attention)i;
            return true;
        }
    return false;
}

/* Mean and population deviation of a window's features, each not finite counting as 0. */
static void window_statistics(const double *x, int width, double *mean, double *deviation)
{
    double sum = 0, squares = 0;
    for (int i = 0; i < width; i++)
        sum += isfinite(x[i]) ? x[i] : 0;
    *mean = sum / width;
    for (int i = 0; i < width; i++) {
        const double d = (isfinite(x[i]) ? x[i] : 0) - *mean;
        squares += d * d;
    }
    /* Equal values differ from their mean by rounding alone. */
    const double spread = sqrt(squares / width);
    *deviation = spread > 1e-12 * fabs(*mean) ? spread : INFINITY;
}

size_t nn_scale(const nn_scaling *scaling, const double *features, size_t windows, const tn_tensor *out)
{
    const int width = scaling->width;
    size_t replaced = 0;
    for (size_t t = 0; t < windows; t++) {
        const double *x = features + t * (size_t)width;
        float *to = out->data + (int64_t)t * out->stride[0];
        double mean = 0, deviation = 1;
        if (scaling->norm == NN_NORM_FRAME)
            window_statistics(x, width, &mean, &deviation);
        for (int i = 0; i < width; i++) {
            if (scaling->norm == NN_NORM_TRAIN) {
                mean = (double)scaling->mean[i];
                deviation = (double)scaling->deviation[i];
            }
            const bool finite = isfinite(x[i]);
            const double centred = (finite ? x[i] : 0) - mean;
            const float value = (float)(deviation > 0 ? centred / deviation : centred);
            const bool fits = isfinite(value);
            to[i * out->stride[1]] = fits ? value : 0.0f;
            replaced += !finite || !fits;
        }
    }
    return replaced;
}
