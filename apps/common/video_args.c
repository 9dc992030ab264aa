#include "apps/common/video_args.h"

#include "apps/common/predict.h"

#include <string.h>

static int parse(video_args *a, int argc, char **argv)
{
    const cmd_option own[] = {
        cmd_text("video-weights", "FILE", "the network to begin with", &a->weights),
        cmd_text("unfreeze", "LAYER",
                 "train from this layer on: conv1, layer1 ... layer4, layer4.2,\n"
                 "or all (default: the head alone, on features)",
                 &a->unfreeze),
        cmd_text("batch-norm", "HOW", "statistics of the trained layers: train (default) or frozen",
                 &a->batch_norm),
        cmd_flag("flip", "with --unfreeze: mirror clips with probability 1/2", &a->flip),
        cmd_number("crop", "F", "with --unfreeze: cut clips to random squares of F to 1 of the\nframe's side",
                   &a->crop, 0.05, 1),
        cmd_int("memory", "MB", "with --unfreeze: frames that are kept in memory\n(default 1024)", &a->memory,
                0, 1 << 20),
        cmd_int("width", "N", "without --video-weights: a new network whose stem has N\nchannels", &a->width,
                1, 512),
        cmd_text("blocks", "A,B,C,D", "of a new network: blocks of each stage (default 3,4,6,3)", &a->blocks),
        cmd_int("num-frames", "N", "frames of a clip (default: as the weights say, else 10)", &a->num_frames,
                1, 4096),
        cmd_int("size", "N", "height and width of a frame (default: as the weights\nsay, else 224)", &a->size,
                8, 1024),
        cmd_number("fps", "F",
                   "of video files: frames a second (default: as the weights\nsay, else spread evenly)",
                   &a->fps, 1e-3, 1e3),
    };
    a->cmd = (cmd_line){
        .program = "train-video",
        .usage = "--data PATH --out DIR --video-weights FILE [options]\n"
                 "--data PATH --out DIR --width N [--blocks A,B,C,D] [options]",
        .about =
            "Learns a new head of the video network, with --unfreeze more of it, or a new network, from\n"
            "labelled clips: video.safetensors in --out is what infer opens, log.csv has a line for each\n"
            "epoch. Defaults are those of Pinto et al. 2020: 250 epochs, batches of 32, learning rate\n"
            "1e-5, no patience. A run that is interrupted saves, and goes on with --resume.",
    };
    return train_parse(&a->cmd, &a->train, own, sizeof own / sizeof *own, argc, argv);
}

static int check(video_args *a)
{
    const char *name = a->cmd.program;
    int blocks[NN_STAGES];
    const int status = train_check(name, &a->train, &a->options);
    if (status != CMD_GO)
        return status;
    if (!a->weights == !a->width)
        return cli_usage(name, "expected one of --video-weights and --width");
    if (a->weights && a->blocks)
        return cli_usage(name, "--blocks is of a new network: it wants --width");
    if (a->blocks && !video_blocks_parse(a->blocks, blocks))
        return cli_usage(name, "--blocks %s: expected four numbers from 1 to 64 between commas", a->blocks);
    if (!a->weights && !a->unfreeze)
        a->unfreeze = "all";
    if (!a->weights && strcmp(a->unfreeze, "all") != 0)
        return cli_usage(name, "--unfreeze %s: all of a new network is trained", a->unfreeze);
    if (!a->unfreeze && (a->flip || a->crop < 1))
        return cli_usage(name, "--flip and --crop want --unfreeze: features are computed once");
    if (strcmp(a->batch_norm, "train") != 0 && strcmp(a->batch_norm, "frozen") != 0)
        return cli_usage(name, "--batch-norm %s: expected train or frozen", a->batch_norm);
    if (!a->weights && strcmp(a->batch_norm, "frozen") == 0)
        return cli_usage(name, "--batch-norm frozen: a new network has no statistics yet");
    return CMD_GO;
}

int video_args_parse(video_args *a, int argc, char **argv)
{
    *a = (video_args){
        .train = train_defaults(250, 32, 0, 1e-5), .batch_norm = "train", .crop = 1, .memory = 1024};
    const int status = parse(a, argc, argv);
    return status == CMD_GO ? check(a) : status;
}
