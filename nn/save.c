/* Model files: parameters and facts of a graph as safetensors. */
#include "nn/internal.h"
#include "nn/text.h"

#include <stdio.h>
#include <string.h>

enum { MAX_META = 12, META_TEXT = 64 };

/* Metadata in the making. */
typedef struct metadata {
    wt_meta *pair;                  /* room for MAX_META and what the caller adds */
    int count;                      /* pairs */
    char text[MAX_META][META_TEXT]; /* values that were formatted here */
    char *classes;                  /* the value of valence.classes, or NULL */
} metadata;

static void say(metadata *meta, const char *key, const char *format, ...) TN_PRINTF(3, 4);
static void say(metadata *meta, const char *key, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(meta->text[meta->count], META_TEXT, format, args);
    va_end(args);
    meta->pair[meta->count] = (wt_meta){key, meta->text[meta->count]};
    meta->count++;
}

static tn_status say_classes(tn_ctx *ctx, metadata *meta, const nn_facts *facts)
{
    size_t bytes = 1;
    for (int i = 0; i < facts->classes; i++)
        bytes += strlen(facts->class_name[i]) + 1;
    meta->classes = tn_alloc(ctx, bytes, 1);
    if (!meta->classes)
        return TN_NOMEM;
    char *to = meta->classes;
    for (int i = 0; i < facts->classes; i++)
        to = stpcpy(stpcpy(to, i ? "," : ""), facts->class_name[i]);
    meta->pair[meta->count++] = (wt_meta){"valence.classes", meta->classes};
    return TN_OK;
}

static void say_video(metadata *meta, const nn_video_config *config, const nn_facts *facts)
{
    const int *stride = config->stem_stride;
    say(meta, "valence.stem_stride", "%d,%d,%d", stride[0], stride[1], stride[2]);
    say(meta, "valence.stem_pool", "%d", config->stem_pool);
    if (facts->frames)
        say(meta, "valence.frames", "%d", facts->frames);
    if (facts->size)
        say(meta, "valence.size", "%d", facts->size);
    if (facts->fps > 0)
        say(meta, "valence.fps", "%.17g", facts->fps);
}

static void say_audio(metadata *meta, const nn_audio_config *config, const nn_facts *facts)
{
    say(meta, "valence.attention", "%s", nn_attention_name(config->kind));
    say(meta, "valence.norm", "%s", nn_norm_name(facts->scaling.norm));
    if (facts->rate)
        say(meta, "valence.rate", "%d", facts->rate);
    if (facts->eps > 0)
        say(meta, "valence.eps", "%.17g", facts->eps);
}

static tn_status say_all(tn_ctx *ctx, metadata *meta, const nn_video_config *video,
                         const nn_audio_config *audio, const nn_facts *facts)
{
    say(meta, "valence.kind", "%s", nn_kind_name(facts->kind));
    if (facts->class_name)
        TN_TRY(say_classes(ctx, meta, facts));
    nn_locale locale;
    TN_TRY(nn_locale_enter(ctx, &locale));
    if (video)
        say_video(meta, video, facts);
    else
        say_audio(meta, audio, facts);
    nn_locale_leave(&locale);
    return TN_OK;
}

/* ---- tensors --------------------------------------------------------------------------------------- */

static wt_tensor vector(const char *name, const float *data, int width)
{
    return (wt_tensor){.name = name, .dtype = WT_F32, .rank = 1, .size = {width}, .data = data};
}

static tn_status collect(tn_graph *graph, const nn_scaling *scaling, wt_tensor *out, int *count)
{
    const int params = tn_param_count(graph);
    for (int i = 0; i < params; i++) {
        const tn_var *param = tn_param_at(graph, i);
        out[i] = (wt_tensor){.name = tn_var_name(param),
                             .dtype = WT_F32,
                             .rank = tn_var_rank(param),
                             .data = tn_value_const(param)};
        memcpy(out[i].size, tn_var_size(param), (size_t)out[i].rank * sizeof *out[i].size);
        if (!out[i].data)
            return tn_fail(tn_graph_ctx(graph), TN_RANGE, "parameter %s has no values to save", out[i].name);
    }
    *count = params;
    if (scaling) {
        out[(*count)++] = vector("norm.mean", scaling->mean, scaling->width);
        out[(*count)++] = vector("norm.std", scaling->deviation, scaling->width);
    }
    return TN_OK;
}

static tn_status check(tn_ctx *ctx, const char *path, const nn_video_config *video,
                       const nn_audio_config *audio, const nn_facts *facts)
{
    if (!video == !audio || (facts->kind == NN_VIDEO) != (video != NULL))
        return tn_fail(ctx, TN_RANGE, "%s: a model has one network, that of its kind", path);
    const int classes = video ? video->classes : audio->classes;
    if (facts->classes != classes)
        return tn_fail(ctx, TN_RANGE, "%s: %d classes, but the head has %d", path, facts->classes, classes);
    const nn_scaling *scaling = &facts->scaling;
    if (audio && scaling->norm == NN_NORM_TRAIN &&
        (scaling->width != audio->inputs || !scaling->mean || !scaling->deviation))
        return tn_fail(ctx, TN_RANGE,
                       "%s: scaling by mean and deviation of %d features, but the network has %d", path,
                       scaling->mean && scaling->deviation ? scaling->width : 0, audio->inputs);
    return facts->class_name ? nn_check_names(ctx, path, facts->class_name, classes) : TN_OK;
}

tn_status nn_save(tn_graph *graph, const char *path, const nn_video_config *video,
                  const nn_audio_config *audio, const nn_facts *facts, const wt_meta *more, int more_count)
{
    tn_ctx *ctx = tn_graph_ctx(graph);
    TN_TRY(tn_graph_check(graph));
    TN_TRY(check(ctx, path, video, audio, facts));
    const bool scaled = audio && facts->scaling.norm == NN_NORM_TRAIN;
    metadata meta = {.count = 0};
    int count = 0;
    wt_tensor *tensors = tn_zalloc(ctx, (size_t)tn_param_count(graph) + 2, sizeof *tensors);
    meta.pair = tn_alloc(ctx, (size_t)more_count + MAX_META, sizeof *meta.pair);
    tn_status status = tensors && meta.pair ? TN_OK : TN_NOMEM;
    if (status == TN_OK)
        status = collect(graph, scaled ? &facts->scaling : NULL, tensors, &count);
    if (status == TN_OK)
        status = say_all(ctx, &meta, video, audio, facts);
    for (int i = 0; status == TN_OK && i < more_count; i++)
        meta.pair[meta.count++] = more[i];
    if (status == TN_OK)
        status = wt_save(ctx, path, tensors, count, meta.pair, meta.count);
    tn_free(ctx, tensors);
    tn_free(ctx, meta.pair);
    tn_free(ctx, meta.classes);
    return status;
}
