/* synth: makes a short audiovisual clip by itself. */
#include "apps/common/cli.h"
#include "data/data.h"

#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char program[] = "synth";

static const char help[] =
    "Usage: synth [options] FOLDER\n"
    "\n"
    "Makes a clip of a group of simple figures: FOLDER/frames/0001.png ... and FOLDER/audio.wav. The same options\n"
    "give the same bytes. FOLDER appears whole or not at all, and must not be there before (or be empty).\n"
    "\n"
    "  --class C      what the clip shows: positive, neutral (the default) or negative\n"
    "  --colour C     the same for one of its four cues alone\n"
    "  --motion C\n"
    "  --posture C\n"
    "  --sound C\n"
    "  --seed N       who stands where, clothes, tempo, pitch (0)\n"
    "  --seconds S    length (5)\n"
    "  --fps F        frames per second (10)\n"
    "  --size WxH     of a frame in pixels (320x240)\n"
    "  --rate N       of the sound in Hz (16000)\n"
    "  --video        also make FOLDER/clip.mp4 of both; needs the program ffmpeg\n"
    "  --quiet        print nothing but errors\n"
    "  --help         print this\n"
    "  --version      print the version\n"
    "\n"
    "Exit status: 0 done, 1 failed, 2 wrong usage.\n";

/* What getopt_long() returns; the options of a cue are CUE + its number. */
enum { CLASS = 256, SEED, SECONDS, FPS, SIZE, RATE, VIDEO, QUIET, HELP, VERSION, CUE };

static const struct option long_options[] = {{"class", required_argument, NULL, CLASS},
                                             {"colour", required_argument, NULL, CUE + DATA_SYNTH_COLOUR},
                                             {"motion", required_argument, NULL, CUE + DATA_SYNTH_MOTION},
                                             {"posture", required_argument, NULL, CUE + DATA_SYNTH_POSTURE},
                                             {"sound", required_argument, NULL, CUE + DATA_SYNTH_SOUND},
                                             {"seed", required_argument, NULL, SEED},
                                             {"seconds", required_argument, NULL, SECONDS},
                                             {"fps", required_argument, NULL, FPS},
                                             {"size", required_argument, NULL, SIZE},
                                             {"rate", required_argument, NULL, RATE},
                                             {"video", no_argument, NULL, VIDEO},
                                             {"quiet", no_argument, NULL, QUIET},
                                             {"help", no_argument, NULL, HELP},
                                             {"version", no_argument, NULL, VERSION},
                                             {NULL, 0, NULL, 0}};

typedef struct options {
    int label;                /* of --class */
    int cue[DATA_SYNTH_CUES]; /* of the cues' own options; -1: as the class */
    data_synth_options clip;  /* all but the cues */
    bool video, quiet;        /* as given */
    const char *folder;       /* borrowed from argv */
} options;

static bool read_number(const char *text, double *out)
{
    char *end;
    errno = 0;
    *out = strtod(text, &end);
    return end != text && !*end && errno == 0 && isfinite(*out);
}

static bool read_class(const char *text, int *out)
{
    for (int i = 0; data_synth_class(i); i++)
        if (strcmp(text, data_synth_class(i)) == 0) {
            *out = i;
            return true;
        }
    return false;
}

static bool read_seed(const char *text, uint64_t *out)
{
    char *end;
    errno = 0;
    *out = strtoull(text, &end, 10);
    return *text >= '0' && *text <= '9' && !*end && errno == 0;
}

/* Takes one option's value; false where it makes no sense. */
static bool take(options *o, int option, const char *value)
{
    double number = 0;
    int end = 0;
    switch (option) {
    case CLASS:
        return read_class(value, &o->label);
    case SEED:
        return read_seed(value, &o->clip.seed);
    case SECONDS:
        return read_number(value, &o->clip.seconds);
    case FPS:
        return read_number(value, &o->clip.fps);
    case SIZE:
        return sscanf(value, "%5dx%5d%n", &o->clip.width, &o->clip.height, &end) == 2 && !value[end];
    case RATE:
        if (!read_number(value, &number) || fabs(number) > 1e9 || number != floor(number))
            return false;
        o->clip.rate = (int)number;
        return true;
    case VIDEO:
        return o->video = true;
    case QUIET:
        return o->quiet = true;
    default:
        return read_class(value, &o->cue[option - CUE]);
    }
}

/* Returns -1 to go on, or the exit status. */
static int parse(int argc, char **argv, options *o)
{
    *o = (options){.label = 1, .clip = data_synth_defaults(1, 0), .cue = {-1, -1, -1, -1}};
    int option, which = 0;
    while ((option = getopt_long(argc, argv, "", long_options, &which)) != -1) {
        if (option == HELP) {
            fputs(help, stdout);
            return cli_finish(program, CLI_OK);
        }
        if (option == VERSION)
            return cli_version(program);
        if (option == '?')
            return cli_try_help(program);
        if (!take(o, option, optarg))
            return cli_usage(program, "--%s cannot be '%s'", long_options[which].name, optarg);
    }
    if (argc - optind != 1)
        return cli_usage(program, argc == optind ? "which folder?" : "more than one folder");
    o->folder = argv[optind];
    for (int i = 0; i < DATA_SYNTH_CUES; i++)
        o->clip.cue[i] = o->cue[i] >= 0 ? o->cue[i] : o->label;
    return -1;
}

int main(int argc, char **argv)
{
    cli_start();
    options o;
    int status = parse(argc, argv, &o);
    if (status >= 0)
        return status;
    tn_ctx *ctx = NULL;
    tn_status made = tn_ctx_create(&(tn_options){.threads = 1}, &ctx);
    if (made != TN_OK) {
        cli_warn(program, "%s", tn_status_text(made));
        return CLI_FAILED;
    }
    if (data_synth_check(ctx, &o.clip) != TN_OK)
        status = cli_usage(program, "%s", tn_error(ctx));
    else if (data_synth_write(ctx, o.folder, &o.clip, o.video) != TN_OK)
        status = cli_fail(program, ctx);
    else
        status = CLI_OK;
    if (status == CLI_OK && !o.quiet)
        printf("%s: %d frames of %d x %d, %g s of sound at %d Hz\n", o.folder,
               data_synth_frame_count(&o.clip), o.clip.width, o.clip.height,
               (double)data_synth_sample_count(&o.clip) / o.clip.rate, o.clip.rate);
    tn_ctx_destroy(ctx);
    return cli_finish(program, status);
}
