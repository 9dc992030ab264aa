/* A model that is ready to answer: file, graph, class names, and the plan of the last shape. */
#include "nn/internal.h"

#include <string.h>

struct nn_model {
    tn_ctx *ctx;            /* borrowed */
    wt_file *file;          /* its mapped floats are the graph's parameters */
    tn_graph *graph;        /* the network */
    nn_facts facts;         /* with the class names in use */
    tn_precision precision; /* of plans */
    nn_video_config video;  /* of a video model */
    nn_audio_config audio;  /* of an audio model */
    nn_network net;         /* vars in the graph */
    tn_plan *plan;          /* of the last prepare, or NULL */
    tn_input_shape shape;   /* what the plan was made for */
};

/* ---- opening --------------------------------------------------------------------------------------- */

static tn_status read_sizes(nn_model *m, nn_kind kind)
{
    TN_TRY(nn_check_kind(m->ctx, m->file, kind));
    if (kind == NN_VIDEO) {
        TN_TRY(nn_video_config_from(m->ctx, m->file, &m->video));
        return nn_facts_read(m->ctx, m->file, kind, m->video.classes, 0, &m->facts);
    }
    TN_TRY(nn_audio_config_from(m->ctx, m->file, &m->audio));
    return nn_facts_read(m->ctx, m->file, kind, m->audio.classes, m->audio.inputs, &m->facts);
}

static tn_status take_names(nn_model *m, const nn_model_options *options)
{
    if (options->labels) {
        if (options->labels->count != m->facts.classes)
            return tn_fail(m->ctx, TN_SHAPE, "%s: the head has %d classes, but %d class names were given",
                           wt_path(m->file), m->facts.classes, options->labels->count);
        char **names = nn_names_copy(m->ctx, options->labels->name, options->labels->count);
        if (!names)
            return TN_NOMEM;
        tn_free(m->ctx, m->facts.class_name);
        m->facts.class_name = names;
    }
    if (!m->facts.class_name && !options->nameless)
        return tn_fail(
            m->ctx, TN_FORMAT,
            "%s: the file does not name its %d classes (metadata valence.classes); give a list of them",
            wt_path(m->file), m->facts.classes);
    return TN_OK;
}

static tn_status open_model(nn_model *m, const char *path, const nn_model_options *options)
{
    TN_TRY(tn_check_precision(m->ctx, options->precision));
    m->precision = options->precision;
    TN_TRY(wt_open(m->ctx, path, &m->file));
    TN_TRY(read_sizes(m, options->kind));
    TN_TRY(take_names(m, options));
    TN_TRY(tn_graph_create(m->ctx, &m->graph));
    m->net =
        options->kind == NN_VIDEO ? nn_video_build(m->graph, &m->video) : nn_audio_build(m->graph, &m->audio);
    return nn_bind(m->graph, m->file, NULL);
}

tn_status nn_model_open(tn_ctx *ctx, const char *path, const nn_model_options *options, nn_model **out)
{
    *out = NULL;
    nn_model *m = tn_zalloc(ctx, 1, sizeof *m);
    if (!m)
        return TN_NOMEM;
    m->ctx = ctx;
    tn_status status = open_model(m, path, options);
    if (status == TN_OK)
        *out = m;
    else
        nn_model_close(m);
    return status;
}

void nn_model_close(nn_model *m)
{
    if (!m)
        return;
    tn_plan_destroy(m->plan);
    tn_graph_destroy(m->graph);
    nn_facts_free(m->ctx, &m->facts);
    wt_close(m->file);
    tn_free(m->ctx, m);
}

const nn_facts *nn_model_facts(const nn_model *model)
{
    return &model->facts;
}

const char *nn_model_path(const nn_model *model)
{
    return wt_path(model->file);
}

tn_graph *nn_model_graph(const nn_model *model)
{
    return model->graph;
}

const nn_video_config *nn_model_video(const nn_model *model)
{
    return model->facts.kind == NN_VIDEO ? &model->video : NULL;
}

const nn_audio_config *nn_model_audio(const nn_model *model)
{
    return model->facts.kind == NN_AUDIO ? &model->audio : NULL;
}

const tn_plan *nn_model_plan(const nn_model *model)
{
    return model->plan;
}

/* ---- running --------------------------------------------------------------------------------------- */

static void release(void *file)
{
    wt_release_pages(file);
}

static tn_status prepare(nn_model *m, nn_kind kind, const tn_input_shape *shape)
{
    if (m->facts.kind != kind)
        return tn_fail(m->ctx, TN_RANGE, "%s: a model for %s was given %s", wt_path(m->file),
                       nn_kind_name(m->facts.kind), nn_kind_name(kind));
    for (int i = 0; i < tn_var_rank(m->net.input); i++)
        if (shape->size[i] < 1)
            return tn_fail(m->ctx, TN_RANGE, "%s: an input of shape %s has no values", wt_path(m->file),
                           nn_shape(tn_var_rank(m->net.input), shape->size).text);
    if (m->plan && memcmp(m->shape.size, shape->size, sizeof shape->size) == 0)
        return TN_OK;
    tn_plan_destroy(m->plan);
    m->plan = NULL;
    /* Layer by layer, so that the file and its packed copy are never both in memory. */
    const tn_plan_options options = {
        .mode = TN_INFERENCE, .precision = m->precision, .packed = release, .packed_arg = m->file};
    const tn_input_shape shapes[2] = {*shape, {.name = "lengths", .size = {shape->size[0]}}};
    TN_TRY(tn_plan_create(m->graph, &options, shapes, kind == NN_AUDIO ? 2 : 1, &m->plan));
    m->shape = *shape;
    return TN_OK;
}

tn_status nn_video_prepare(nn_model *model, int batch, int frames, int height, int width, tn_tensor *input)
{
    const tn_input_shape shape = {.name = "clip",
                                  .size = {batch, model->video.in_channels, frames, height, width}};
    TN_TRY(prepare(model, NN_VIDEO, &shape));
    *input = tn_plan_value(model->plan, model->net.input);
    return TN_OK;
}

tn_status nn_audio_prepare(nn_model *model, int batch, int steps, tn_tensor *input, tn_tensor *lengths)
{
    const tn_input_shape shape = {.name = "sequence", .size = {batch, steps, model->audio.inputs}};
    TN_TRY(prepare(model, NN_AUDIO, &shape));
    *input = tn_plan_value(model->plan, model->net.input);
    *lengths = tn_plan_value(model->plan, model->net.lengths);
    for (int i = 0; i < batch; i++)
        lengths->data[i] = (float)steps;
    return TN_OK;
}

/* Why a result is not finite: the first parameter, or the input, that is not. */
static tn_status blame(const nn_model *m)
{
    for (int i = 0; i < tn_param_count(m->graph); i++) {
        const tn_var *param = tn_param_at(m->graph, i);
        const tn_tensor shape = tn_view(NULL, tn_var_rank(param), tn_var_size(param));
        const int64_t at = nn_first_not_finite(tn_value_const(param), tn_numel(&shape));
        if (at >= 0)
            return tn_fail(m->ctx, TN_RANGE, "%s: %s: element %lld is not a finite number", wt_path(m->file),
                           tn_var_name(param), (long long)at);
    }
    const tn_tensor input = tn_plan_value(m->plan, m->net.input);
    if (nn_first_not_finite(input.data, tn_numel(&input)) >= 0)
        return tn_fail(m->ctx, TN_RANGE, "%s: the input holds numbers that are not finite", wt_path(m->file));
    return tn_fail(m->ctx, TN_RANGE, "%s: the logits are not finite: weights or input are too large",
                   wt_path(m->file));
}

tn_status nn_model_run(nn_model *model, nn_result *result)
{
    if (!model->plan)
        return tn_fail(model->ctx, TN_RANGE, "%s: run before it was prepared", wt_path(model->file));
    tn_plan_forward(model->plan);
    *result = (nn_result){
        .features = tn_plan_value(model->plan, model->net.features),
        .logits = tn_plan_value(model->plan, model->net.logits),
        .probabilities = tn_plan_value(model->plan, model->net.probabilities),
    };
    if (model->net.attention)
        result->attention = tn_plan_value(model->plan, model->net.attention);
    if (nn_first_not_finite(result->logits.data, tn_numel(&result->logits)) >= 0)
        return blame(model);
    return TN_OK;
}

tn_status nn_audio_predict(nn_model *model, const double *features, size_t windows, int width,
                           nn_result *result, size_t *replaced)
{
    if (windows < 1 || windows > NN_MAX_NUMBER)
        return tn_fail(model->ctx, TN_RANGE, "%s: a clip of %zu windows, expected 1 to %d",
                       wt_path(model->file), windows, (int)NN_MAX_NUMBER);
    if (model->facts.kind == NN_AUDIO && width != model->audio.inputs)
        return tn_fail(model->ctx, TN_SHAPE, "%s: %d features a window, expected %d", wt_path(model->file),
                       width, model->audio.inputs);
    tn_tensor input, lengths;
    TN_TRY(nn_audio_prepare(model, 1, (int)windows, &input, &lengths));
    const tn_tensor rows = tn_view(input.data, 2, input.size + 1);
    const size_t count = nn_scale(&model->facts.scaling, features, windows, &rows);
    if (replaced)
        *replaced = count;
    return nn_model_run(model, result);
}
