/* synth: makes a short audiovisual clip by itself, or a labelled set of them. */
#include "apps/common/batch.h"
#include "apps/common/command.h"
#include "apps/common/report.h"
#include "data/data.h"

#include <pthread.h>
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
    int set;                                /* --set; 0: not given */
    double seen, heard;                     /* --right, --right-sound; below 0: not given */
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
    const data_synth_options clip = data_synth_defaults(1, 0), small = data_synth_set_defaults(3, 0).clip;
    const data_synth_options *defaults = o->set ? &small : &clip;
    int label[1 + DATA_SYNTH_CUES] = {1}, end = 0;
    o->clip.fps = o->clip.fps > 0 ? o->clip.fps : defaults->fps;
    o->clip.width = defaults->width;
    o->clip.height = defaults->height;
    if (!o->set && (o->seen >= 0 || o->heard >= 0))
        return cli_usage(program, "--right and --right-sound are for a --set");
    for (int i = 0; i <= DATA_SYNTH_CUES; i++) {
        if (o->label[i] && o->set)
            return cli_usage(program, "a set has clips of all classes: --%s does not go with it",
                             class_options[i]);
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

/* CMD_GO, or the status to exit with. The size's range is told by data_synth_check(). */
static int parse(int argc, char **argv, options *o)
{
    *o = (options){.clip = data_synth_defaults(1, 0), .seen = -1, .heard = -1};
    o->clip.fps = o->clip.width = 0; /* until it is known whether --set is given */
    const cmd_option list[] = {
        cmd_text(class_options[0], "C", "what the clip shows: positive, neutral (the default) or negative",
                 &o->label[0]),
        cmd_text(class_options[1], "C", "the same for its colours alone", &o->label[1]),
        cmd_text(class_options[2], "C", "for its motion", &o->label[2]),
        cmd_text(class_options[3], "C", "for the postures", &o->label[3]),
        cmd_text(class_options[4], "C", "for the sound", &o->label[4]),
        cmd_number("seconds", "S", "length (5)", &o->clip.seconds, 1e-9, 600),
        cmd_number("fps", "F", "frames per second (10; of a set 4)", &o->clip.fps, 1e-9, 240),
        cmd_text("size", "WxH", "of a frame in pixels (320x240; of a set 160x120)", &o->size),
        cmd_int("rate", "N", "of the sound in Hz (16000)", &o->clip.rate, 8000, 192000),
        cmd_flag("video", "also make FOLDER/clip.mp4 of both; needs the program ffmpeg", &o->video),
        cmd_int("set", "N", "make a set: N clips of each class, and as many sources", &o->set, 3,
                DATA_SYNTH_MAX_SET),
        cmd_number("right", "P",
                   "how probably each of colour, motion and posture shows\na set's class (0.60)", &o->seen, 0,
                   1),
        cmd_number("right-sound", "P", "the same for its sound (0.70)", &o->heard, 0, 1),
    };
    o->cmd = (cmd_line){
        .program = program,
        .usage = "[OPTION]... FOLDER\n--set N [OPTION]... FOLDER",
        .about =
            "Makes a clip of a group of simple figures: FOLDER/frames/0001.png ... and FOLDER/audio.wav. The\n"
            "same options give the same bytes. FOLDER appears whole or not at all, and must not be there before\n"
            "(or be empty). --seed is who stands where, clothes, tempo, pitch.\n"
            "With --set it makes FOLDER/clips/1_1/ ... and FOLDER/manifest.csv: labelled clips in which each cue\n"
            "shows the class only with some probability, split by source into train, val and test.",
        .options = list,
        .option_count = sizeof list / sizeof list[0],
        .offers = CMD_OFFERS_SEED | CMD_OFFERS_QUIET | CMD_OFFERS_THREADS,
        .max_operands = 1,
    };
    const int status = cmd_parse(&o->cmd, argc, argv);
    if (status != CMD_GO)
        return status;
    if (o->cmd.operand_count != 1)
        return cli_usage(program, "expected one argument, the folder to make");
    o->clip.seed = o->cmd.seed;
    return take_texts(o);
}

/* ---- one clip -------------------------------------------------------------------------------------- */

static int make_clip(tn_ctx *ctx, const options *o)
{
    const char *folder = o->cmd.operand[0];
    if (data_synth_write(ctx, folder, &o->clip, o->video) != TN_OK)
        return CLI_FAILED;
    if (!o->cmd.quiet)
        cli_line("%s: %d frames of %d x %d, %g s of sound at %d Hz", folder, data_synth_frame_count(&o->clip),
                 o->clip.width, o->clip.height, (double)data_synth_sample_count(&o->clip) / o->clip.rate,
                 o->clip.rate);
    return CLI_OK;
}

/* ---- a set ----------------------------------------------------------------------------------------- */

/* A set that is being made. */
typedef struct set_job {
    const options *o;       /* the command line */
    data_synth_entry *clip; /* all clips */
    char *temporary;        /* where to */
    report_bar bar;         /* progress */
    pthread_mutex_t mutex;  /* guards what is below */
    size_t done;            /* clips */
    tn_status status;       /* of the first that failed */
    char message[1024];     /* of that */
} set_job;

static void make_one(tn_ctx *ctx, void *arg, size_t i)
{
    set_job *j = arg;
    pthread_mutex_lock(&j->mutex);
    const bool stop = j->status != TN_OK;
    report_bar_show(&j->bar, j->done, j->clip[i].name);
    pthread_mutex_unlock(&j->mutex);
    if (stop)
        return;
    char *path = data_synth_set_path(ctx, j->temporary, &j->clip[i]);
    const tn_status status = path ? data_synth_write(ctx, path, &j->clip[i].clip, j->o->video) : TN_NOMEM;
    tn_free(ctx, path);
    pthread_mutex_lock(&j->mutex);
    j->done++;
    if (status != TN_OK && j->status == TN_OK) {
        j->status = status;
        snprintf(j->message, sizeof j->message, "%s", tn_error(ctx));
    }
    pthread_mutex_unlock(&j->mutex);
    tn_clear_error(ctx);
}

static tn_status fill_set(tn_ctx *ctx, const data_synth_set *set, set_job *j)
{
    const size_t count = (size_t)set->clips * DATA_SYNTH_CLASSES;
    j->clip = tn_alloc(ctx, count, sizeof *j->clip);
    if (!j->clip)
        return TN_NOMEM;
    TN_TRY(data_synth_set_plan(ctx, set, j->clip));
    TN_TRY(data_synth_set_begin(ctx, j->o->cmd.operand[0], &j->temporary));
    j->bar = report_bar_begin(count, j->o->cmd.quiet);
    const tn_status status = batch_run(ctx, count, make_one, j);
    report_bar_clear(&j->bar);
    TN_TRY(status);
    if (j->status != TN_OK)
        return tn_fail(ctx, j->status, "%s", j->message);
    return data_synth_set_finish(ctx, set, j->clip, j->temporary, j->o->cmd.operand[0]);
}

static int make_set(tn_ctx *ctx, const options *o, const data_synth_set *set)
{
    set_job j = {.o = o, .mutex = PTHREAD_MUTEX_INITIALIZER};
    const tn_status status = fill_set(ctx, set, &j);
    if (status != TN_OK && j.temporary)
        data_synth_set_abandon(j.temporary);
    tn_free(ctx, j.temporary);
    tn_free(ctx, j.clip);
    if (status != TN_OK)
        return CLI_FAILED;
    if (!o->cmd.quiet)
        cli_line("%s: %d clips of %d sources, %d of each class, %g s each", o->cmd.operand[0],
                 set->clips * DATA_SYNTH_CLASSES, set->clips, set->clips, set->clip.seconds);
    return CLI_OK;
}

static int run(tn_ctx *ctx, void *arg)
{
    const options *o = arg;
    data_synth_set set = data_synth_set_defaults(o->set ? o->set : 3, o->cmd.seed);
    set.clip = o->clip;
    for (int i = 0; i < DATA_SYNTH_CUES; i++) {
        const double given = i == DATA_SYNTH_SOUND ? o->heard : o->seen;
        set.right[i] = given >= 0 ? given : set.right[i];
    }
    if (data_synth_set_check(ctx, &set) != TN_OK) {
        cli_usage(program, "%s", tn_error(ctx));
        tn_clear_error(ctx);
        return CLI_USAGE;
    }
    return o->set ? make_set(ctx, o, &set) : make_clip(ctx, o);
}

int main(int argc, char **argv)
{
    cli_start();
    options o;
    const int status = parse(argc, argv, &o);
    return status == CMD_GO ? cmd_run(&o.cmd, run, &o) : status;
}
