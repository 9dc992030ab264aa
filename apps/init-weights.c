/* init-weights: untrained networks as model files, to begin a training with or to try programs on. */
#include "apps/common/command.h"
#include "apps/common/predict.h"
#include "apps/common/report.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct arguments {
    cmd_line cmd;          /* common options */
    const char *video;     /* --video */
    const char *audio;     /* --audio */
    const char *classes;   /* --classes: names between commas; NULL: not given */
    int num_classes;       /* --num-classes: nameless ones; 0: not given */
    int width;             /* --width; this and those below: 0 or NULL where not given, until complete() */
    const char *blocks;    /* --blocks; NULL: those of ResNet-50 */
    int size;              /* --size */
    int num_frames;        /* --num-frames */
    const char *calibrate; /* --calibrate; NULL: no */
    int dense, cells;      /* --dense, --cells */
    int rate;              /* --rate; 0: any */
    double eps;            /* --eps; 0: the default of features */
    bool harmonic;         /* --harmonic */
    const char *norm;      /* --norm */
    const char *attention; /* --attention */
} arguments;

/* The class names that were given, taken apart in `text`. */
typedef struct names {
    char *text;  /* copy of --classes; NULL: none were given */
    char **name; /* into `text` */
    int count;   /* classes, named or not */
} names;

static tn_status take_names(tn_ctx *ctx, const arguments *args, names *out)
{
    *out = (names){.count = args->num_classes};
    if (!args->classes)
        return TN_OK;
    out->count = 1;
    for (const char *at = args->classes; (at = strchr(at, ',')); at++)
        out->count++;
    out->text = tn_strdup(ctx, args->classes);
    out->name = tn_alloc(ctx, (size_t)out->count, sizeof *out->name);
    if (!out->text || !out->name)
        return TN_NOMEM;
    char *rest = out->text;
    for (int i = 0; i < out->count; i++)
        out->name[i] = strsep(&rest, ",");
    return TN_OK;
}

static void drop_names(tn_ctx *ctx, names *n)
{
    tn_free(ctx, n->text);
    tn_free(ctx, n->name);
}

static const wt_meta untrained = {"valence.recipe", "untrained: random values (init-weights)"};

/* ---- video ----------------------------------------------------------------------------------------- */

static void show_profile(void *arg, const tn_plan *plan)
{
    (void)arg;
    report_profile("calibrating the video network", plan);
}

static tn_status calibrate(tn_ctx *ctx, const arguments *args, tn_graph *graph, const nn_video_config *config)
{
    clip_source source = clip_source_of(args->calibrate);
    if (source.audio)
        return tn_fail(ctx, TN_FORMAT, "%s: sound, expected a folder of pictures or a video",
                       args->calibrate);
    data_video_options take = data_video_defaults();
    take.frames = args->num_frames;
    take.height = take.width = args->size;
    data_clip clip = {0};
    float *values = NULL;
    tn_status status = clip_read_frames(ctx, &source, &take, &clip);
    if (status == TN_OK) {
        const int64_t size[5] = {1, 3, clip.frames, clip.height, clip.width};
        values =
            tn_alloc(ctx, 3 * (size_t)clip.frames * (size_t)clip.height * (size_t)clip.width, sizeof *values);
        if (values) {
            const tn_tensor input = tn_view(values, 5, size);
            clip_normalise(&clip, &input);
            status = nn_video_calibrate(graph, config, &input, args->cmd.profile ? show_profile : NULL, NULL);
        } else {
            status = TN_NOMEM;
        }
    }
    tn_free(ctx, values);
    data_clip_free(ctx, &clip);
    return status;
}

static tn_status make_video(tn_ctx *ctx, const arguments *args, const names *classes)
{
    nn_video_config config = nn_video_defaults(classes->count);
    config.width = args->width;
    if (args->blocks)
        video_blocks_parse(args->blocks, config.blocks);
    const nn_facts facts = {.kind = NN_VIDEO,
                            .classes = classes->count,
                            .class_name = classes->name,
                            .frames = args->num_frames,
                            .size = args->size};
    tn_graph *graph;
    TN_TRY(tn_graph_create(ctx, &graph));
    nn_video_build(graph, &config);
    tn_status status = tn_graph_check(graph);
    if (status == TN_OK)
        status = nn_init(graph, args->cmd.seed);
    if (status == TN_OK && args->calibrate)
        status = calibrate(ctx, args, graph, &config);
    if (status == TN_OK)
        status = nn_save(graph, args->video, &config, NULL, &facts, &untrained, 1);
    tn_graph_destroy(graph);
    return status;
}

/* ---- audio ----------------------------------------------------------------------------------------- */

static tn_status make_audio(tn_ctx *ctx, const arguments *args, const names *classes)
{
    nn_audio_config config = nn_audio_defaults(classes->count);
    config.inputs = args->harmonic ? DATA_FEATURES_HARMONIC : DATA_FEATURES;
    config.dense[0] = config.dense[1] = args->dense;
    config.cells = args->cells;
    nn_facts facts = {
        .kind = NN_AUDIO, .classes = classes->count, .class_name = classes->name, .rate = args->rate};
    facts.eps = args->eps;
    facts.scaling.width = config.inputs;
    nn_norm_parse(args->norm, &facts.scaling.norm);
    nn_attention_parse(args->attention, &config.kind);
    tn_graph *graph;
    TN_TRY(tn_graph_create(ctx, &graph));
    nn_audio_build(graph, &config);
    tn_status status = tn_graph_check(graph);
    if (status == TN_OK)
        status = nn_init(graph, args->cmd.seed);
    if (status == TN_OK)
        status = nn_save(graph, args->audio, NULL, &config, &facts, &untrained, 1);
    tn_graph_destroy(graph);
    return status;
}

/* ---- command line ---------------------------------------------------------------------------------- */

static int parse(arguments *args, int argc, char **argv)
{
    const cmd_option options[] = {
        cmd_text("video", "OUT", "make a video network", &args->video),
        cmd_text("audio", "OUT", "make an audio network", &args->audio),
        cmd_text("classes", "NAMES", "names of the classes, between commas", &args->classes),
        cmd_int("num-classes", "N", "or how many, without names", &args->num_classes, 1, 16384),
        cmd_int("width", "N", "video: channels of the stem (64)", &args->width, 1, 512),
        cmd_text("blocks", "A,B,C,D", "video: blocks of each stage (3,4,6,3)", &args->blocks),
        cmd_int("size", "N", "video: height and width of a frame (224)", &args->size, 8, 1024),
        cmd_int("num-frames", "N", "video: frames of a clip (10)", &args->num_frames, 1, 256),
        cmd_text("calibrate", "CLIP",
                 "video: take the batch-norm statistics from this clip, a folder of\n"
                 "pictures or a video file",
                 &args->calibrate),
        cmd_int("dense", "N", "audio: units of each dense layer (512)", &args->dense, 1, 4096),
        cmd_int("cells", "N", "audio: LSTM cells each way (128)", &args->cells, 1, 4096),
        cmd_int("rate", "HZ", "audio: rate that sound is resampled to (any)", &args->rate, 1,
                DATA_AUDIO_MAX_RATE),
        cmd_number("eps", "E", "audio: keeps divisors of the features from 0 (2^-52)", &args->eps, 1e-300, 1),
        cmd_flag("harmonic", "audio: 36 features, with harmonic ratio and pitch", &args->harmonic),
        cmd_text("norm", "HOW", "audio: scaling of features, frame or none (frame)", &args->norm),
        cmd_text("attention", "HOW", "audio: local or softmax-query (local)", &args->attention),
    };
    args->cmd = (cmd_line){
        .program = "init-weights",
        .usage = "--video OUT --classes NAMES [OPTION]...\n--audio OUT --classes NAMES [OPTION]...",
        .about =
            "Writes the weights of an untrained network: random values that depend on --seed alone. What such\n"
            "a network answers means nothing.",
        .options = options,
        .option_count = sizeof options / sizeof options[0],
        .offers = CMD_OFFERS_THREADS | CMD_OFFERS_SEED | CMD_OFFERS_PROFILE | CMD_OFFERS_QUIET,
    };
    return cmd_parse(&args->cmd, argc, argv);
}

/* An option that is given and is of the other kind of network; NULL: none. */
static const char *misplaced(const arguments *a)
{
    const struct {
        const char *name; /* of the option */
        bool given;       /* whether it is */
        bool video;       /* whether it is of a video network */
    } option[] = {
        {"width", a->width, true},         {"blocks", a->blocks, true},
        {"size", a->size, true},           {"num-frames", a->num_frames, true},
        {"calibrate", a->calibrate, true}, {"dense", a->dense, false},
        {"cells", a->cells, false},        {"rate", a->rate, false},
        {"eps", a->eps > 0, false},        {"harmonic", a->harmonic, false},
        {"norm", a->norm, false},          {"attention", a->attention, false},
    };
    for (size_t i = 0; i < sizeof option / sizeof option[0]; i++)
        if (option[i].given && option[i].video != (a->video != NULL))
            return option[i].name;
    return NULL;
}

/* Puts defaults in the place of what was not given. */
static void complete(arguments *a)
{
    const nn_audio_config audio = nn_audio_defaults(1);
    const data_video_options take = data_video_defaults();
    a->width = a->width ? a->width : nn_video_defaults(1).width;
    a->size = a->size ? a->size : take.width;
    a->num_frames = a->num_frames ? a->num_frames : take.frames;
    a->dense = a->dense ? a->dense : audio.dense[0];
    a->cells = a->cells ? a->cells : audio.cells;
    a->norm = a->norm ? a->norm : "frame";
    a->attention = a->attention ? a->attention : "local";
}

/* CMD_GO after complete(), or the exit status after a mistake that it has told. */
static int check(arguments *args)
{
    const char *name = args->cmd.program;
    int blocks[NN_STAGES];
    nn_norm norm = NN_NORM_TRAIN;
    nn_attention attention;
    if (!args->video == !args->audio)
        return cli_usage(name, "expected one of --video and --audio");
    if (!args->classes == !args->num_classes)
        return cli_usage(name, "expected one of --classes and --num-classes");
    if (misplaced(args))
        return cli_usage(name, "--%s is for the other network, of --%s", misplaced(args),
                         args->video ? "audio" : "video");
    complete(args);
    if (args->blocks && !video_blocks_parse(args->blocks, blocks))
        return cli_usage(name, "--blocks cannot be '%s', expected four numbers from 1 to 64 between commas",
                         args->blocks);
    if (!nn_norm_parse(args->norm, &norm) || norm == NN_NORM_TRAIN)
        return cli_usage(name, "--norm cannot be '%s', expected frame or none", args->norm);
    if (!nn_attention_parse(args->attention, &attention))
        return cli_usage(name, "--attention cannot be '%s', expected local or softmax-query",
                         args->attention);
    return CMD_GO;
}

static int run(tn_ctx *ctx, void *arg)
{
    const arguments *args = arg;
    names classes = {0};
    tn_status status = take_names(ctx, args, &classes);
    if (status == TN_OK)
        status = args->video ? make_video(ctx, args, &classes) : make_audio(ctx, args, &classes);
    drop_names(ctx, &classes);
    return status == TN_OK ? CLI_OK : CLI_FAILED;
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
