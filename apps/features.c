/* features: what the networks see of a clip, as a table of numbers. */
#include "apps/common/command.h"
#include "apps/common/predict.h"
#include "apps/common/report.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

typedef struct arguments {
    cmd_line cmd;              /* common options */
    const char *audio;         /* --audio */
    const char *frames;        /* --frames */
    const char *video_weights; /* --video-weights */
    const char *out;           /* -o; NULL: CSV to stdout */
    double eps;                /* --eps; 0: not given */
    int rate;                  /* --rate; 0: as it is */
    int num_frames;            /* --num-frames; 0: as the weights say, else 10 */
    bool harmonic;             /* --harmonic */
} arguments;

/* Numbers to write: of one of the two types. */
typedef struct table {
    int64_t rows, columns; /* shape */
    const double *wide;    /* rows x columns, or NULL */
    const float *single;   /* same */
} table;

/* ---- writing --------------------------------------------------------------------------------------- */

/* CSV goes to a file that is written whole or not at all, or, `writer` being NULL, to stdout. */
static tn_status put(wt_writer *writer, const char *text)
{
    if (writer)
        return wt_write(writer, text, strlen(text));
    fputs(text, stdout); /* cli_finish() tells whether it came out */
    return TN_OK;
}

/* As many digits as the value needs to come back with the same bits. */
static const char *number_text(const table *t, int64_t at, char *out, size_t room)
{
    const double value = t->wide ? t->wide[at] : (double)t->single[at];
    if (isnan(value))
        return "nan";
    if (isinf(value))
        return value > 0 ? "inf" : "-inf";
    snprintf(out, room, "%.*g", t->wide ? 17 : 9, value);
    return out;
}

static tn_status put_csv(wt_writer *writer, const table *t)
{
    char text[64];
    for (int64_t c = 0; c < t->columns; c++) {
        if (t->wide)
            snprintf(text, sizeof text, "%s", data_feature_name((int)c));
        else
            snprintf(text, sizeof text, "feature_%lld", (long long)c + 1);
        TN_TRY(put(writer, c ? "," : ""));
        TN_TRY(put(writer, text));
    }
    TN_TRY(put(writer, "\n"));
    for (int64_t at = 0; at < t->rows * t->columns; at++) {
        TN_TRY(put(writer, number_text(t, at, text, sizeof text)));
        TN_TRY(put(writer, (at + 1) % t->columns ? "," : "\n"));
    }
    return TN_OK;
}

static bool ends_in(const char *path, const char *ending)
{
    const size_t n = strlen(path), m = strlen(ending);
    return n > m && strcasecmp(path + n - m, ending) == 0;
}

static tn_status write_table(tn_ctx *ctx, const arguments *args, const table *t)
{
    if (!args->out)
        return put_csv(NULL, t);
    if (ends_in(args->out, ".npy")) {
        const int64_t size[2] = {t->rows, t->columns};
        return t->wide ? wt_save_npy(ctx, args->out, WT_F64, 2, size, t->wide)
                       : wt_save_npy(ctx, args->out, WT_F32, 2, size, t->single);
    }
    wt_writer *writer;
    TN_TRY(wt_create(ctx, args->out, &writer));
    const tn_status status = put_csv(writer, t);
    if (status == TN_OK)
        return wt_commit(writer);
    wt_discard(writer);
    return status;
}

/* ---- computing ------------------------------------------------------------------------------------- */

static tn_status of_sound(tn_ctx *ctx, const arguments *args)
{
    data_feature_options options = data_feature_defaults();
    if (args->eps > 0)
        options.eps = args->eps;
    options.harmonic = args->harmonic;
    data_audio audio = {0};
    data_features features = {0};
    tn_status status = data_audio_read(ctx, args->audio, args->rate, &audio);
    if (status == TN_OK && data_audio_is_silent(&audio))
        cmd_note(&args->cmd, "%s: digital silence", args->audio);
    if (status == TN_OK)
        status = data_features_compute(ctx, args->audio, &audio, &options, &features);
    if (status == TN_OK) {
        const size_t odd = data_features_nonfinite(&features);
        if (odd > 0)
            cmd_note(&args->cmd, "%s: %zu values are not finite numbers", args->audio, odd);
        const table t = {
            .rows = (int64_t)features.windows, .columns = features.width, .wide = features.value};
        status = write_table(ctx, args, &t);
    }
    data_features_free(ctx, &features);
    data_audio_free(ctx, &audio);
    return status;
}

static tn_status of_frames(tn_ctx *ctx, const arguments *args)
{
    const clip_source source = {.name = args->frames, .frames = args->frames};
    const nn_model_options options = {.kind = NN_VIDEO, .nameless = true, .precision = args->cmd.precision};
    nn_model *video = NULL;
    data_clip clip = {0};
    nn_result result;
    tn_status status = nn_model_open(ctx, args->video_weights, &options, &video);
    if (status == TN_OK) {
        const data_video_options take = clip_options(video, args->num_frames);
        status = clip_read_frames(ctx, &source, &take, &clip);
    }
    if (status == TN_OK)
        status = clip_run_video(ctx, video, &clip, &result);
    if (status == TN_OK) {
        const tn_tensor *f = &result.features;
        float *row = tn_alloc(ctx, (size_t)tn_numel(f), sizeof *row);
        const table t = {.rows = 1, .columns = f->size[1], .single = row};
        status = TN_NOMEM;
        if (row) {
            const tn_tensor copy = tn_view(row, 2, f->size);
            tn_copy(&copy, f);
            status = write_table(ctx, args, &t);
        }
        tn_free(ctx, row);
    }
    if (args->cmd.profile && status == TN_OK)
        report_profile("video network", nn_model_plan(video));
    data_clip_free(ctx, &clip);
    nn_model_close(video);
    return status;
}

/* ---- command line ---------------------------------------------------------------------------------- */

static int parse(arguments *args, int argc, char **argv)
{
    const cmd_option options[] = {
        cmd_text("audio", "FILE", "a sound file: 34 features of each 25 ms window", &args->audio),
        cmd_text("frames", "DIR", "a folder of pictures: one row of what the video network's head sees",
                 &args->frames),
        cmd_with_letter(
            'o', cmd_text("output", "FILE", "FILE.csv or FILE.npy (default: CSV on stdout)", &args->out)),
        cmd_number("eps", "E",
                   "with --audio: keeps divisors from 0 (default 2^-52; 1e-8 makes\n"
                   "non-numbers of silence, as early pyAudioAnalysis did)",
                   &args->eps, 1e-300, 1),
        cmd_int("rate", "HZ", "with --audio: resample first (default: as it is)", &args->rate, 1,
                DATA_AUDIO_MAX_RATE),
        cmd_flag("harmonic", "with --audio: harmonic ratio and pitch as well", &args->harmonic),
        cmd_text("video-weights", "F", "with --frames: the network", &args->video_weights),
        cmd_int("num-frames", "N", "with --frames: frames of a clip (default: as the\nweights say, else 10)",
                &args->num_frames, 1, 4096),
    };
    args->cmd = (cmd_line){
        .program = "features",
        .usage = "--audio FILE [--eps E] [--rate HZ] [--harmonic] [-o OUT]\n"
                 "--frames DIR --video-weights F [--num-frames N] [-o OUT]",
        .about = "Writes the features that the networks see, as CSV with a header line or as NPY.",
        .options = options,
        .option_count = sizeof options / sizeof options[0],
        .offers = CMD_OFFERS_THREADS | CMD_OFFERS_QUIET | CMD_OFFERS_PROFILE | CMD_OFFERS_PRECISION,
    };
    return cmd_parse(&args->cmd, argc, argv);
}

static int check(const arguments *args)
{
    const char *name = args->cmd.program;
    if (!args->audio == !args->frames)
        return cli_usage(name, "expected one of --audio and --frames");
    if (args->frames && !args->video_weights)
        return cli_usage(name, "--frames wants --video-weights");
    if (args->frames && (args->eps > 0 || args->rate > 0 || args->harmonic))
        return cli_usage(name, "--eps, --rate and --harmonic are for --audio");
    if (args->audio && (args->video_weights || args->num_frames > 0))
        return cli_usage(name, "--video-weights and --num-frames are for --frames");
    if (args->audio && args->cmd.precision != TN_FP32)
        return cli_usage(name, "--precision is for --frames: features of sound are doubles");
    if (args->out && !ends_in(args->out, ".csv") && !ends_in(args->out, ".npy"))
        return cli_usage(name, "%s: what is written is called .csv or .npy", args->out);
    return CMD_GO;
}

static int run(tn_ctx *ctx, void *arg)
{
    const arguments *args = arg;
    const tn_status status = args->audio ? of_sound(ctx, args) : of_frames(ctx, args);
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
