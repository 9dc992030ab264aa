#include "apps/common/predict.h"

#include "apps/common/report.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

struct predictor {
    tn_ctx *ctx;             /* borrowed */
    nn_model *video, *audio; /* either may be NULL */
    nn_fusion *fusion;       /* NULL where only activities are wanted */
    data_video_options take; /* of each clip */
    int classes;             /* of both networks */
    int activities;          /* how many to name; 0: none */
    float *video_score;      /* classes */
    float *audio_score;      /* classes */
    double *fused;           /* classes */
    int *activity;           /* activities */
};

/* ---- clips ----------------------------------------------------------------------------------------- */

static bool begins_like_sound(const char *path)
{
    unsigned char head[12] = {0};
    FILE *file = fopen(path, "rb");
    if (!file)
        return false;
    const size_t got = fread(head, 1, sizeof head, file);
    fclose(file);
    if (got < sizeof head)
        return false;
    const bool riff =
        memcmp(head, "RIFF", 4) == 0 || memcmp(head, "RIFX", 4) == 0 || memcmp(head, "RF64", 4) == 0;
    return (riff && memcmp(head + 8, "WAVE", 4) == 0) ||
           (memcmp(head, "FORM", 4) == 0 && memcmp(head + 8, "AIF", 3) == 0) ||
           memcmp(head, "fLaC", 4) == 0 || memcmp(head, ".snd", 4) == 0;
}

static bool is_called_like_sound(const char *path)
{
    static const char *const endings[] = {".wav", ".flac", ".ogg",  ".oga", ".opus",
                                          ".mp3", ".aif",  ".aiff", ".au"};
    const char *dot = strrchr(path, '.');
    for (size_t i = 0; dot && i < sizeof endings / sizeof endings[0]; i++)
        if (strcasecmp(dot, endings[i]) == 0)
            return true;
    return false;
}

clip_source clip_source_of(const char *path)
{
    clip_source source = {.name = path};
    struct stat info;
    const bool there = stat(path, &info) == 0;
    /* Only regular files are looked into: opening a pipe would take its bytes away. */
    if (there && S_ISDIR(info.st_mode))
        source.frames = path;
    else if ((there && S_ISREG(info.st_mode) && begins_like_sound(path)) || is_called_like_sound(path))
        source.audio = path;
    else
        source.video = path;
    return source;
}

data_video_options clip_options(const nn_model *video, int num_frames)
{
    data_video_options take = data_video_defaults();
    const nn_facts *facts = video ? nn_model_facts(video) : NULL;
    if (facts && facts->size > 0)
        take.height = take.width = facts->size;
    if (facts && facts->frames > 0)
        take.frames = facts->frames;
    if (facts && facts->fps > 0)
        take.fps = facts->fps;
    if (num_frames > 0)
        take.frames = num_frames;
    return take;
}

bool video_blocks_parse(const char *text, int blocks[NN_STAGES])
{
    int used = 0;
    const int got = sscanf(text, "%4d,%4d,%4d,%4d%n", &blocks[0], &blocks[1], &blocks[2], &blocks[3], &used);
    bool good = got == NN_STAGES && text[used] == '\0';
    for (int i = 0; good && i < NN_STAGES; i++)
        good = blocks[i] >= 1 && blocks[i] <= 64;
    return good;
}

tn_status clip_read_frames(tn_ctx *ctx, const clip_source *source, const data_video_options *options,
                           data_clip *out)
{
    if (source->frames)
        return data_clip_from_dir(ctx, source->frames, options->frames, options->height, options->width, out);
    return data_video_clip(ctx, source->video, options, out);
}

void clip_normalise(const data_clip *clip, const tn_tensor *out)
{
    static const float mean[3] = {0.485F, 0.456F, 0.406F}, deviation[3] = {0.229F, 0.224F, 0.225F};
    data_clip_normalise(clip, mean, deviation, out);
}

tn_status clip_run_video(tn_ctx *ctx, nn_model *video, const data_clip *clip, nn_result *result)
{
    const int channels = nn_model_video(video)->in_channels;
    if (channels != 3)
        return tn_fail(ctx, TN_SHAPE, "%s: the network takes pictures of %d channels, expected 3",
                       nn_model_path(video), channels);
    tn_tensor input;
    TN_TRY(nn_video_prepare(video, 1, clip->frames, clip->height, clip->width, &input));
    clip_normalise(clip, &input);
    return nn_model_run(video, result);
}

/* ---- opening --------------------------------------------------------------------------------------- */

static void list_classes(const nn_model *model, char *out, size_t room)
{
    const nn_facts *facts = nn_model_facts(model);
    size_t used = (size_t)snprintf(out, room, "%d classes", facts->classes);
    for (int i = 0; i < facts->classes && used < room; i++)
        used += (size_t)snprintf(out + used, room - used, "%s%s", i ? ", " : ": ", facts->class_name[i]);
    if (used >= room)
        memcpy(out + room - 4, "...", 4);
}

static tn_status check_classes(tn_ctx *ctx, const nn_model *video, const nn_model *audio)
{
    const nn_facts *v = nn_model_facts(video), *a = nn_model_facts(audio);
    bool same = v->classes == a->classes;
    for (int i = 0; same && i < v->classes; i++)
        same = strcmp(v->class_name[i], a->class_name[i]) == 0;
    if (same)
        return TN_OK;
    char mine[160], theirs[160];
    list_classes(video, mine, sizeof mine);
    list_classes(audio, theirs, sizeof theirs);
    return tn_fail(ctx, TN_SHAPE,
                   "%s has %s, but %s has %s: both networks need the same classes in one order",
                   nn_model_path(video), mine, nn_model_path(audio), theirs);
}

static tn_status check_audio_inputs(tn_ctx *ctx, const nn_model *audio)
{
    const int inputs = nn_model_audio(audio)->inputs;
    if (inputs == DATA_FEATURES || inputs == DATA_FEATURES_HARMONIC)
        return TN_OK;
    return tn_fail(ctx, TN_SHAPE, "%s: the network takes %d features a window, expected %d or %d",
                   nn_model_path(audio), inputs, DATA_FEATURES, DATA_FEATURES_HARMONIC);
}

static tn_status open_networks(predictor *p, const predictor_options *o)
{
    nn_model_options options = {.kind = NN_VIDEO, .labels = o->labels, .precision = o->precision};
    if (o->video)
        TN_TRY(nn_model_open(p->ctx, o->video, &options, &p->video));
    options.kind = NN_AUDIO;
    options.precision = TN_FP32;
    if (o->audio && !o->activities) {
        TN_TRY(nn_model_open(p->ctx, o->audio, &options, &p->audio));
        TN_TRY(check_audio_inputs(p->ctx, p->audio));
    }
    if (p->video && p->audio)
        TN_TRY(check_classes(p->ctx, p->video, p->audio));
    if (!p->video && !p->audio)
        return tn_fail(p->ctx, TN_RANGE, "there are no weights");
    p->classes = nn_model_facts(p->video ? p->video : p->audio)->classes;
    p->take = clip_options(p->video, o->num_frames);
    if (!o->activities)
        return nn_fusion_open(p->ctx, o->fusion, p->classes, &p->fusion);
    p->activities = o->activities < p->classes ? o->activities : p->classes;
    return TN_OK;
}

tn_status predictor_open(tn_ctx *ctx, const predictor_options *options, predictor **out)
{
    *out = NULL;
    predictor *p = tn_zalloc(ctx, 1, sizeof *p);
    if (!p)
        return TN_NOMEM;
    p->ctx = ctx;
    tn_status status = open_networks(p, options);
    if (status == TN_OK) {
        const size_t classes = (size_t)p->classes;
        p->video_score = tn_alloc(ctx, classes, sizeof *p->video_score);
        p->audio_score = tn_alloc(ctx, classes, sizeof *p->audio_score);
        p->fused = tn_alloc(ctx, classes, sizeof *p->fused);
        p->activity = tn_alloc(ctx, (size_t)p->activities, sizeof *p->activity);
        if (!p->video_score || !p->audio_score || !p->fused || !p->activity)
            status = TN_NOMEM;
    }
    if (status == TN_OK)
        *out = p;
    else
        predictor_close(p);
    return status;
}

void predictor_close(predictor *p)
{
    if (!p)
        return;
    nn_model_close(p->video);
    nn_model_close(p->audio);
    nn_fusion_close(p->fusion);
    tn_free(p->ctx, p->video_score);
    tn_free(p->ctx, p->audio_score);
    tn_free(p->ctx, p->fused);
    tn_free(p->ctx, p->activity);
    tn_free(p->ctx, p);
}

int predictor_classes(const predictor *p)
{
    return p->classes;
}

const char *predictor_class_name(const predictor *p, int i)
{
    return nn_model_facts(p->video ? p->video : p->audio)->class_name[i];
}

void predictor_profile(const predictor *p)
{
    if (p->video && nn_model_plan(p->video))
        report_profile("video network", nn_model_plan(p->video));
    if (p->audio && nn_model_plan(p->audio))
        report_profile("audio network", nn_model_plan(p->audio));
}

const char *prediction_fusion_name(prediction_fusion fusion)
{
    static const char *const names[] = {[PREDICTION_SVM] = "svm",
                                        [PREDICTION_MEAN] = "mean",
                                        [PREDICTION_VIDEO] = "video",
                                        [PREDICTION_AUDIO] = "audio"};
    return names[fusion];
}

/* ---- predicting ------------------------------------------------------------------------------------ */

static void add_note(prediction_notes *notes, const char *format, ...) TN_PRINTF(2, 3);

static void add_note(prediction_notes *notes, const char *format, ...)
{
    if (notes->count == PREDICTION_NOTES)
        return;
    va_list args;
    va_start(args, format);
    vsnprintf(notes->text[notes->count++], PREDICTION_NOTE_BYTES, format, args);
    va_end(args);
}

static tn_status compute_features(const predictor *p, tn_ctx *ctx, const clip_source *source,
                                  const data_audio *audio, clip_inputs *out)
{
    const bool alone = !p->video || (!source->frames && !source->video);
    if (data_audio_is_silent(audio)) {
        add_note(&out->notes, "the sound is digital silence%s", alone ? "" : " and is not used");
        if (!alone)
            return TN_OK;
    }
    data_feature_options options = data_feature_defaults();
    const nn_facts *facts = nn_model_facts(p->audio);
    if (facts->eps > 0)
        options.eps = facts->eps;
    options.harmonic = nn_model_audio(p->audio)->inputs == DATA_FEATURES_HARMONIC;
    const char *name = source->audio ? source->audio : source->video;
    const tn_status status = data_features_compute(ctx, name, audio, &options, &out->features);
    /* With a sane eps there is one value that can be out of range: the length. */
    if (status == TN_RANGE && !alone) {
        add_note(&out->notes, "the sound is not used: %s", tn_error(ctx));
        tn_clear_error(ctx);
        return TN_OK;
    }
    return status;
}

static tn_status read_sound(const predictor *p, tn_ctx *ctx, const clip_source *source, clip_inputs *out)
{
    const int rate = nn_model_facts(p->audio)->rate;
    data_audio audio = {0};
    bool has_audio = true;
    tn_status status;
    if (source->audio) {
        status = data_audio_read(ctx, source->audio, rate, &audio);
    } else {
        data_video_options take = p->take;
        take.rate = rate;
        status = data_video_audio(ctx, source->video, &take, &has_audio, &audio);
    }
    if (status == TN_OK && !has_audio)
        add_note(&out->notes, "the file has no sound");
    else if (status == TN_OK)
        status = compute_features(p, ctx, source, &audio, out);
    data_audio_free(ctx, &audio);
    return status;
}

static tn_status read_inputs(const predictor *p, tn_ctx *ctx, const clip_source *source, clip_inputs *out)
{
    const bool has_frames = source->frames || source->video;
    if (has_frames && !p->video)
        add_note(&out->notes, "the frames are not used: there are no video weights");
    if (has_frames && p->video)
        TN_TRY(clip_read_frames(ctx, source, &p->take, &out->clip));
    if (p->activities)
        return TN_OK;
    if (!source->audio && !source->video)
        add_note(&out->notes, "the clip has no sound");
    else if (!p->audio)
        add_note(&out->notes, "the sound is not used: there are no audio weights");
    else
        TN_TRY(read_sound(p, ctx, source, out));
    return TN_OK;
}

static tn_status read_something(const predictor *p, tn_ctx *ctx, const clip_source *source, clip_inputs *out)
{
    TN_TRY(read_inputs(p, ctx, source, out));
    if (out->clip.rgb || out->features.value)
        return TN_OK;
    return tn_fail(ctx, TN_RANGE, "%s: nothing to judge: %s", source->name,
                   out->notes.count ? out->notes.text[0] : "a clip without frames");
}

tn_status predict_read(const predictor *p, tn_ctx *ctx, const clip_source *source, clip_inputs *out)
{
    const double begun = report_now();
    memset(out, 0, sizeof *out);
    const tn_status status = read_something(p, ctx, source, out);
    out->seconds = report_now() - begun;
    return status;
}

void clip_inputs_free(tn_ctx *ctx, clip_inputs *in)
{
    data_clip_free(ctx, &in->clip);
    data_features_free(ctx, &in->features);
}

static tn_status run_video(predictor *p, const data_clip *clip, prediction *out)
{
    nn_result result;
    TN_TRY(clip_run_video(p->ctx, p->video, clip, &result));
    const tn_tensor score = tn_view(p->video_score, 2, result.probabilities.size);
    tn_copy(&score, &result.probabilities);
    out->video = p->video_score;
    out->frames = clip->frames;
    return TN_OK;
}

static tn_status run_audio(predictor *p, const data_features *features, prediction *out)
{
    nn_result result;
    size_t replaced = 0;
    TN_TRY(
        nn_audio_predict(p->audio, features->value, features->windows, features->width, &result, &replaced));
    const tn_tensor score = tn_view(p->audio_score, 2, result.probabilities.size);
    tn_copy(&score, &result.probabilities);
    out->audio = p->audio_score;
    out->windows = features->windows;
    if (replaced > 0)
        add_note(&out->notes, "%zu of %zu sound features are not numbers and count as 0", replaced,
                 features->windows * (size_t)features->width);
    return TN_OK;
}

static tn_status answer(predictor *p, prediction *out)
{
    if (p->activities) {
        nn_largest(out->video, p->classes, p->activities, p->activity);
        out->activity = p->activity;
        out->activities = p->activities;
        return TN_OK;
    }
    bool known;
    TN_TRY(nn_fuse(p->fusion, out->video, out->audio, &out->label, p->fused, &known));
    out->fused = known ? p->fused : NULL;
    if (out->video && out->audio)
        out->fusion = nn_fusion_is_svm(p->fusion) ? PREDICTION_SVM : PREDICTION_MEAN;
    else
        out->fusion = out->video ? PREDICTION_VIDEO : PREDICTION_AUDIO;
    if (!known)
        add_note(&out->notes, "the fusion model gives no probabilities: it was trained without them (-b 1)");
    return TN_OK;
}

tn_status predict(predictor *p, const clip_inputs *in, prediction *out)
{
    memset(out, 0, sizeof *out);
    out->label = -1;
    out->notes = in->notes;
    if (in->clip.rgb)
        TN_TRY(run_video(p, &in->clip, out));
    if (in->features.value)
        TN_TRY(run_audio(p, &in->features, out));
    return answer(p, out);
}
