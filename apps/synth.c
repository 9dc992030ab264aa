/* synth: makes a short audiovisual clip by itself. */
#include "apps/common/command.h"
#include "data/data.h"

#include <stdio.h>
#include <string.h>

static const char program[] = "synth";

/* The options that take a class: the whole clip's, then one of each cue, in the order of data_synth_cue. */
static const char *const class_options[1 + DATA_SYNTH_CUES] = {"class", "colour", "motion", "posture",
                                                               "sound"};

typedef struct options {
    cmd_line cmd;                           /* common options and the folder */
    const char *label[1 + DATA_SYNTH_CUES]; /* values of class_options; NULL: not given */
    const char *size;                       /* --size; NULL: not given */
    data_synth_options clip;                /* what to make */
    bool video;                             /* --video */
} options;

static bool read_class(const char *text, int *out)
{
    for (int i = 0; data_synth_class(i); i++)
        if (strcmp(text, data_synth_class(i)) == 0) {
            *out = i;
            return true;
        }
    return false;
}

/* Turns the texts of options into what they mean. */
static int take_texts(options *o)
{
    int label[1 + DATA_SYNTH_CUES] = {1}, end = 0;
    for (int i = 0; i <= DATA_SYNTH_CUES; i++) {
        if (o->label[i] && !read_class(o->label[i], &label[i]))
            return cli_usage(program, "--%s cannot be '%s', expected positive, neutral or negative",
                             class_options[i], o->label[i]);
        if (i > 0)
            o->clip.cue[i - 1] = o->label[i] ? label[i] : label[0];
    }
    if (o->size && (sscanf(o->size, "%5dx%5d%n", &o->clip.width, &o->clip.height, &end) != 2 || o->size[end]))
        return cli_usage(program, "--size cannot be '%s', expected two numbers as in 320x240", o->size);
    return CMD_GO;
}

/* CMD_GO, or the status to exit with. What is out of range is told by data_synth_check(). */
static int parse(int argc, char **argv, options *o)
{
    *o = (options){.clip = data_synth_defaults(1, 0)};
    const cmd_option list[] = {
        cmd_text(class_options[0], "C", "what the clip shows: positive, neutral (the default) or negative",
                 &o->label[0]),
        cmd_text(class_options[1], "C", "the same for its colours alone", &o->label[1]),
        cmd_text(class_options[2], "C", "for its motion", &o->label[2]),
        cmd_text(class_options[3], "C", "for the postures", &o->label[3]),
        cmd_text(class_options[4], "C", "for the sound", &o->label[4]),
        cmd_number("seconds", "S", "length (5)", &o->clip.seconds, -1e9, 1e9),
        cmd_number("fps", "F", "frames per second (10)", &o->clip.fps, -1e9, 1e9),
        cmd_text("size", "WxH", "of a frame in pixels (320x240)", &o->size),
        cmd_int("rate", "N", "of the sound in Hz (16000)", &o->clip.rate, -1000000000, 1000000000),
        cmd_flag("video", "also make FOLDER/clip.mp4 of both; needs the program ffmpeg", &o->video),
    };
    o->cmd = (cmd_line){
        .program = program,
        .usage = "[OPTION]... FOLDER",
        .about =
            "Makes a clip of a group of simple figures: FOLDER/frames/0001.png ... and FOLDER/audio.wav. The\n"
            "same options give the same bytes. FOLDER appears whole or not at all, and must not be there before\n"
            "(or be empty). --seed is who stands where, clothes, tempo, pitch.",
        .options = list,
        .option_count = sizeof list / sizeof list[0],
        .offers = CMD_OFFERS_SEED | CMD_OFFERS_QUIET,
        .max_operands = 2,
        .threads = 1,
    };
    const int status = cmd_parse(&o->cmd, argc, argv);
    if (status != CMD_GO)
        return status;
    if (o->cmd.operand_count != 1)
        return cli_usage(program, o->cmd.operand_count ? "more than one folder" : "which folder?");
    o->clip.seed = o->cmd.seed;
    return take_texts(o);
}

static int run(tn_ctx *ctx, void *arg)
{
    const options *o = arg;
    const char *folder = o->cmd.operand[0];
    if (data_synth_check(ctx, &o->clip) != TN_OK) {
        cli_usage(program, "%s", tn_error(ctx));
        tn_clear_error(ctx);
        return CLI_USAGE;
    }
    if (data_synth_write(ctx, folder, &o->clip, o->video) != TN_OK)
        return CLI_FAILED;
    if (!o->cmd.quiet)
        printf("%s: %d frames of %d x %d, %g s of sound at %d Hz\n", folder, data_synth_frame_count(&o->clip),
               o->clip.width, o->clip.height, (double)data_synth_sample_count(&o->clip) / o->clip.rate,
               o->clip.rate);
    return CLI_OK;
}

int main(int argc, char **argv)
{
    cli_start();
    options o;
    const int status = parse(argc, argv, &o);
    return status == CMD_GO ? cmd_run(&o.cmd, run, &o) : status;
}
