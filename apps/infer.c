/* infer: clips in, valence out. */
#include "apps/common/command.h"
#include "apps/common/predict.h"
#include "apps/common/prefetch.h"
#include "apps/common/report.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Where weights are looked for when they are not given. */
#define TRAINED "weights/"
#define DEMO "demo-out/"
#define HOW_TO_GET "`make demo` makes some to try, docs/weights.md says how to get trained ones"

typedef struct arguments {
    cmd_line cmd;              /* common options and operands */
    const char *frames;        /* --frames */
    const char *video;         /* --video */
    const char *audio;         /* --audio */
    const char *video_weights; /* --video-weights */
    const char *audio_weights; /* --audio-weights */
    const char *fusion;        /* --fusion */
    const char *labels;        /* --labels */
    int num_frames;            /* --num-frames; 0: not given */
    int activities;            /* --activities; 0: not given */
} arguments;

/* ---- answers --------------------------------------------------------------------------------------- */

/* jansson refuses bytes that are no UTF-8, which a file's name may hold. */
static json_t *text_of(const char *text)
{
    char line[1024];
    json_t *value = json_string(text);
    return value ? value : json_string(wt_printable(text, line, sizeof line));
}

/* {"positive": p, ...}, from one of the two; null where both are. */
static json_t *scores_of(const predictor *p, const float *single, const double *wide)
{
    if (!single && !wide)
        return json_null();
    json_t *object = json_object();
    for (int i = 0; i < predictor_classes(p); i++)
        json_object_set_new(object, predictor_class_name(p, i),
                            json_real(wide ? wide[i] : (double)single[i]));
    return object;
}

static json_t *activities_of(const predictor *p, const prediction *a)
{
    json_t *list = json_array();
    for (int i = 0; i < a->activities; i++)
        json_array_append_new(list, json_pack("{s:o, s:f}", "label",
                                              text_of(predictor_class_name(p, a->activity[i])), "probability",
                                              (double)a->video[a->activity[i]]));
    return list;
}

/* Adds a key; *good becomes false where memory is out. */
static void put(json_t *object, const char *key, json_t *value, bool *good)
{
    *good = json_object_set_new(object, key, value) == 0 && *good;
}

/* `reason` is NULL for a clip that was judged; otherwise the answer is not looked at. */
static int print_json(const predictor *p, const char *name, const prediction *a, const char *reason,
                      double seconds)
{
    const bool judged = !reason, valence = judged && a->label >= 0;
    bool good = true;
    json_t *object = json_object(), *notes = json_array();
    put(object, "name", text_of(name), &good);
    put(object, "valence", valence ? text_of(predictor_class_name(p, a->label)) : json_null(), &good);
    put(object, "probabilities", scores_of(p, NULL, valence ? a->fused : NULL), &good);
    put(object, "video", scores_of(p, valence ? a->video : NULL, NULL), &good);
    put(object, "audio", scores_of(p, valence ? a->audio : NULL, NULL), &good);
    put(object, "status", judged ? json_string("ok") : text_of(reason), &good);
    put(object, "seconds", json_real(seconds), &good);
    put(object, "fusion", valence ? json_string(prediction_fusion_name(a->fusion)) : json_null(), &good);
    if (judged && a->activity)
        put(object, "activities", activities_of(p, a), &good);
    for (int i = 0; judged && i < a->notes.count; i++)
        good = json_array_append_new(notes, text_of(a->notes.text[i])) == 0 && good;
    put(object, "notes", notes, &good);

    char *line = good ? json_dumps(object, JSON_PRESERVE_ORDER | JSON_REAL_PRECISION(17)) : NULL;
    json_decref(object);
    if (!line)
        return CLI_FAILED;
    puts(line);
    free(line);
    return CLI_OK;
}

static void print_score(bool there, double value)
{
    if (there)
        printf("  %7.4f", value);
    else
        printf("  %7s", "-");
}

static void print_table(const predictor *p, const prediction *a)
{
    int width = 8;
    for (int i = 0; i < predictor_classes(p); i++)
        width = (int)fmax(width, fmin(40, (double)strlen(predictor_class_name(p, i))));
    printf("  %-*s  %7s  %7s  %7s\n", width, "class", "fused", "video", "audio");
    for (int i = 0; i < predictor_classes(p); i++) {
        char name[256];
        printf("  %-*s", width, wt_printable(predictor_class_name(p, i), name, sizeof name));
        print_score(a->fused, a->fused ? a->fused[i] : 0);
        print_score(a->video, a->video ? (double)a->video[i] : 0);
        print_score(a->audio, a->audio ? (double)a->audio[i] : 0);
        printf("\n");
    }
}

static void print_origin(const prediction *a)
{
    char video[64], audio[64];
    snprintf(video, sizeof video, "video (%d frame%s)", a->frames, a->frames == 1 ? "" : "s");
    snprintf(audio, sizeof audio, "audio (%zu window%s)", a->windows, a->windows == 1 ? "" : "s");
    switch (a->fusion) {
    case PREDICTION_SVM:
        printf("  from %s and %s, fused by the SVM\n", video, audio);
        break;
    case PREDICTION_MEAN:
        printf("  from %s and %s, fused by their mean\n", video, audio);
        break;
    case PREDICTION_VIDEO:
    case PREDICTION_AUDIO:
        printf("  from %s alone\n", a->video ? video : audio);
        break;
    }
}

static void print_text(const predictor *p, const char *name, const prediction *a)
{
    char text[1024];
    printf("%s: ", wt_printable(name, text, sizeof text));
    if (a->activity) {
        printf("%d most probable of %d activities, from %d frames\n", a->activities, predictor_classes(p),
               a->frames);
        for (int i = 0; i < a->activities; i++)
            printf("  %7.4f  %s\n", (double)a->video[a->activity[i]],
                   wt_printable(predictor_class_name(p, a->activity[i]), text, sizeof text));
    } else {
        printf("%s\n", wt_printable(predictor_class_name(p, a->label), text, sizeof text));
        print_table(p, a);
        print_origin(a);
    }
    for (int i = 0; i < a->notes.count; i++)
        printf("  note: %s\n", wt_printable(a->notes.text[i], text, sizeof text));
}

/* ---- clips ----------------------------------------------------------------------------------------- */

/* What is read ahead. */
typedef struct reading {
    const predictor *p;        /* for which networks */
    const clip_source *source; /* the clips */
} reading;

static tn_status read_clip(tn_ctx *ctx, const void *arg, size_t i, void *out)
{
    const reading *r = arg;
    return predict_read(r->p, ctx, &r->source[i], out);
}

static void drop_clip(tn_ctx *ctx, void *in)
{
    clip_inputs_free(ctx, in);
}

/* Judges the next clip and prints the answer in the place of the bar; *mean becomes true where the mean
 * decided. */
static int judge(const arguments *args, tn_ctx *ctx, predictor *p, prefetch *clips, const char *name,
                 const report_bar *bar, bool *mean)
{
    prediction a;
    void *read;
    tn_status status = prefetch_next(clips, &read);
    const clip_inputs *in = read;
    const double begun = report_now();
    if (status == TN_OK)
        status = predict(p, in, &a);
    const double seconds = in->seconds + report_now() - begun;
    report_bar_clear(bar);
    int done = CLI_OK;
    *mean = *mean || (status == TN_OK && a.label >= 0 && a.fusion == PREDICTION_MEAN);
    if (status == TN_OK && !args->cmd.json)
        print_text(p, name, &a);
    if (args->cmd.json) {
        const char *text = tn_error(ctx);
        const char *reason = status == TN_OK ? NULL : *text ? text : tn_status_text(status);
        done = print_json(p, name, &a, reason, seconds);
        if (done != CLI_OK)
            cli_warn(args->cmd.program, "%s: the answer could not be written as JSON", name);
    }
    if (status != TN_OK) {
        done = CLI_FAILED;
        cli_warn(args->cmd.program, "%s", *tn_error(ctx) ? tn_error(ctx) : tn_status_text(status));
        tn_clear_error(ctx);
    }
    fflush(stdout);
    return done;
}

static int judge_all(const arguments *args, tn_ctx *ctx, predictor *p, const clip_source *source,
                     size_t count)
{
    const reading r = {p, source};
    const prefetch_job job = {
        .count = count, .bytes = sizeof(clip_inputs), .read = read_clip, .drop = drop_clip, .arg = &r};
    prefetch *clips;
    if (prefetch_open(ctx, &job, &clips) != TN_OK)
        return CLI_FAILED;
    const report_bar bar = report_bar_begin(count, args->cmd.quiet);
    size_t failed = 0;
    bool mean = false;
    for (size_t i = 0; i < count; i++) {
        report_bar_show(&bar, i, source[i].name);
        failed += judge(args, ctx, p, clips, source[i].name, &bar, &mean) != CLI_OK;
    }
    prefetch_close(clips);
    if (mean)
        cmd_note(&args->cmd, "there is no fusion model: the mean of both networks' probabilities decided");
    if (args->cmd.profile)
        predictor_profile(p);
    if (failed == 0)
        return CLI_OK;
    return count == 1 ? CLI_FAILED : CLI_PARTIAL;
}

/* ---- weights --------------------------------------------------------------------------------------- */

static const char *if_there(const char *path)
{
    return access(path, F_OK) == 0 ? path : NULL;
}

/* Weights that were given, else those in weights/; the demo's only where there are none of these, so that a
 * trained network is never fused with one that means nothing; *demo tells. */
static int choose_weights(const arguments *args, bool want_video, bool want_audio, predictor_options *o,
                          bool *demo)
{
    const char *given[] = {args->video_weights, args->audio_weights, args->fusion};
    for (size_t i = 0; i < sizeof given / sizeof given[0]; i++)
        if (given[i] && !if_there(given[i])) {
            cli_warn(args->cmd.program, "%s: no such file (%s)", given[i], HOW_TO_GET);
            return CLI_FAILED;
        }
    const char *folder_fusion = TRAINED "fusion.svm";
    if (want_video)
        o->video = args->video_weights ? args->video_weights : if_there(TRAINED "video.safetensors");
    if (want_audio)
        o->audio = args->audio_weights ? args->audio_weights : if_there(TRAINED "audio.safetensors");
    const bool any = args->video_weights || args->audio_weights || if_there(TRAINED "video.safetensors") ||
                     if_there(TRAINED "audio.safetensors");
    if (!any) {
        folder_fusion = DEMO "fusion.svm";
        o->video = want_video ? if_there(DEMO "video.safetensors") : NULL;
        o->audio = want_audio ? if_there(DEMO "audio.safetensors") : NULL;
    }
    if (!o->video && !o->audio) {
        cli_warn(args->cmd.program, "no %s weights: not given, none in weights/, %s: %s",
                 !want_audio   ? "video"
                 : !want_video ? "audio"
                               : "video or audio",
                 any ? "and the demo's are for a tree without any" : "none in demo-out/", HOW_TO_GET);
        return CLI_FAILED;
    }
    const bool both = o->video && o->audio;
    o->fusion = args->fusion ? args->fusion : both ? if_there(folder_fusion) : NULL;
    *demo = !any;
    return CLI_OK;
}

/* ---- command line ---------------------------------------------------------------------------------- */

static int parse(arguments *args, int argc, char **argv)
{
    const cmd_option options[] = {
        cmd_text("frames", "DIR", "a folder of JPEG and PNG pictures", &args->frames),
        cmd_text("video", "FILE", "a video file", &args->video),
        cmd_text("audio", "FILE", "a sound file; takes the place of a video's own sound", &args->audio),
        cmd_int("num-frames", "N", "frames of a clip (default: as the weights say, else 10)",
                &args->num_frames, 1, 4096),
        cmd_text("video-weights", "F", "default: weights/video.safetensors", &args->video_weights),
        cmd_text(
            "audio-weights", "F",
            "default: weights/audio.safetensors; where there is\nneither, what the demo left in demo-out/",
            &args->audio_weights),
        cmd_text("fusion", "F",
                 "SVM that fuses, in LIBSVM's format (default:\nweights/fusion.svm, else the mean)",
                 &args->fusion),
        cmd_text("labels", "F", "names of the classes, one a line (default: those in the weights)",
                 &args->labels),
        cmd_int("activities", "K", "name the K most probable classes of the video network", &args->activities,
                1, 65536),
    };
    args->cmd = (cmd_line){
        .program = "infer",
        .usage = "[OPTION]... FILE...\n[OPTION]... [--frames DIR | --video FILE] [--audio FILE]",
        .about =
            "Tells the valence of a group of people in a clip from its pictures and its sound. FILE is a video\n"
            "file, a folder of pictures or a sound file; what it holds decides, each is a clip of its own.",
        .exits = "3 some of several clips failed",
        .options = options,
        .option_count = sizeof options / sizeof options[0],
        .offers = CMD_OFFERS_THREADS | CMD_OFFERS_QUIET | CMD_OFFERS_JSON | CMD_OFFERS_PROFILE |
                  CMD_OFFERS_PRECISION,
        .max_operands = -1,
    };
    return cmd_parse(&args->cmd, argc, argv);
}

/* What options cannot be given together. */
static int check(const arguments *args)
{
    const char *name = args->cmd.program;
    const int files = args->cmd.operand_count;
    if (files == 0 && !args->frames && !args->video && !args->audio)
        return cli_usage(name, "no clip: expected --frames, --video, --audio or files");
    if (args->frames && args->video)
        return cli_usage(name, "--frames and --video are two ways to say the same: give one");
    if (files > 0 && (args->frames || args->video))
        return cli_usage(name, "'%s' is a clip of its own: give it without --frames and --video",
                         args->cmd.operand[0]);
    if (files > 1 && args->audio)
        return cli_usage(name, "--audio is the sound of one clip, but there are %d", files);
    if (args->activities && (args->audio || args->audio_weights || args->fusion))
        return cli_usage(name,
                         "--activities looks at the frames alone: --audio, --audio-weights and --fusion "
                         "do not go with it");
    return CMD_GO;
}

/* The clips that the command line names, in `source`, which has room for one more than there are operands.
 * Returns their number; 0 after a mistake, which it has told. */
static size_t take_sources(const arguments *args, clip_source *source)
{
    const size_t files = (size_t)args->cmd.operand_count;
    if (files == 0) {
        source[0] = (clip_source){.frames = args->frames, .video = args->video, .audio = args->audio};
        source[0].name = args->frames ? args->frames : args->video ? args->video : args->audio;
        return 1;
    }
    for (size_t i = 0; i < files; i++)
        source[i] = clip_source_of(args->cmd.operand[i]);
    if (!args->audio)
        return files;
    if (source[0].audio) {
        cli_usage(args->cmd.program, "'%s' is sound already: --audio is for a clip of frames",
                  source[0].name);
        return 0;
    }
    source[0].audio = args->audio;
    return 1;
}

static int judge_sources(const arguments *args, tn_ctx *ctx, const clip_source *source, size_t count)
{
    predictor_options options = {
        .num_frames = args->num_frames, .activities = args->activities, .precision = args->cmd.precision};
    bool want_video = args->activities > 0, want_audio = false, demo = false;
    for (size_t i = 0; i < count; i++) {
        want_video = want_video || source[i].frames || source[i].video;
        want_audio = want_audio || source[i].audio || source[i].video;
    }
    const int chosen = choose_weights(args, want_video, want_audio && !args->activities, &options, &demo);
    if (chosen != CLI_OK)
        return chosen;
    wt_labels *labels = NULL;
    predictor *p = NULL;
    int status = CLI_FAILED;
    if (args->labels && wt_labels_read(ctx, args->labels, &labels) != TN_OK)
        goto done;
    options.labels = labels;
    if (predictor_open(ctx, &options, &p) != TN_OK)
        goto done;
    status = judge_all(args, ctx, p, source, count);
    if (demo && status != CLI_FAILED)
        cmd_note(
            &args->cmd,
            "these are the demo's weights, trained on synthetic clips: of real people they know nothing");
done:
    predictor_close(p);
    wt_labels_free(ctx, labels);
    return status;
}

static int run(tn_ctx *ctx, void *arg)
{
    const arguments *args = arg;
    clip_source *source = tn_alloc(ctx, (size_t)args->cmd.operand_count + 1, sizeof *source);
    if (!source)
        return CLI_FAILED;
    const size_t count = take_sources(args, source);
    const int status = count > 0 ? judge_sources(args, ctx, source, count) : CLI_USAGE;
    tn_free(ctx, source);
    return status;
}

int main(int argc, char **argv)
{
    cli_start();
    arguments args = {0};
    int status = parse(&args, argc, argv);
    if (status == CMD_GO)
        status = check(&args);
    return status == CMD_GO ? cmd_run(&args.cmd, run, &args) : status;
}
