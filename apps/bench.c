/* bench: how fast it is, measured from inside. */
#include "apps/common/bench.h"

#include <string.h>

static const char program[] = "bench";

static const bench_work works[] = {
    {"video", "the video network on clips of frames", bench_video},
    {"fine-tune", "a step of the whole video network's training", bench_fine_tune},
    {"train-head", "a new head's training on cached features", bench_train_head},
    {"audio", "the audio network on clips of sound", bench_audio},
    {"train-audio", "a step of the audio network's training", bench_train_audio},
    {"features", "the short-term features of sound", bench_features},
    {"grid", "the grid search of the fusion", bench_grid},
    {"svm", "one fit of its machine", bench_svm},
    {"ops", "every op by itself", bench_ops},
    {"gemm", "products of matrices", bench_gemm},
};

enum { WORKS = sizeof works / sizeof *works };

static const char about[] =
    "Measures one thing: runs it once, then several times with a clock, and prints the median.\n"
    "BENCHMARK is one of\n"
    "  video        the video network's answer for --batch (1) clips of --frames of 224 x 224\n"
    "  fine-tune    a step of training all of it on --batch (4) clips of --frames\n"
    "  train-head   250 epochs of its head on the features of 2,661 clips, --batch (32) at a time\n"
    "  audio        the audio network's answer for --batch (1) clips of --windows\n"
    "  train-audio  a step of its training on --batch (128) clips of --windows\n"
    "  features     the short-term features of --seconds of sound at --rate\n"
    "  grid         the fusion's grid of 135 points in five folds on --rows of six scores\n"
    "  svm          one fit on them: RBF, gamma 0.5, C 32\n"
    "  ops          every op, or --op, on the layers of both networks: as in an answer (inference),\n"
    "               forward and backward as in training; the sum of their medians\n"
    "  gemm         the product of two square matrices of --size by libtensor and, in turns, by OpenBLAS\n"
    "               (OPENBLAS_CORETYPE chooses its kernels), and the inner loop of two convolutions\n"
    "What a convolution leaves out (padding, Winograd) counts as done in its GFLOP/s.\n"
    "A share of the peak is that of what the core does in a loop of nothing but fused multiply-adds.";

static bool is_op(const char *name)
{
    for (int i = 0; tn_op_name(i); i++)
        if (strcmp(tn_op_name(i), name) == 0)
            return true;
    return false;
}

static int parse(int argc, char **argv, bench_options *o)
{
    *o = (bench_options){
        .runs = 5, .frames = 16, .windows = 498, .rate = 16000, .seconds = 5, .rows = 2661, .size = 2048};
    const cmd_option list[] = {
        cmd_int("runs", "N", "timed runs (5)", &o->runs, 1, 100000),
        cmd_int("batch", "N", "clips at a time", &o->batch, 1, 1 << 16),
        cmd_int("frames", "N", "frames of a clip (16)", &o->frames, 1, 4096),
        cmd_int("windows", "N", "windows of a clip (498, as 5 s have)", &o->windows, 1, 1 << 20),
        cmd_int("rate", "N", "of the sound in Hz (16000)", &o->rate, 8000, 192000),
        cmd_number("seconds", "S", "length of the sound (5)", &o->seconds, 0.1, 3600),
        cmd_int("rows", "N", "clips that grid and svm learn from (2661)", &o->rows, 30, 1 << 20),
        cmd_int("size", "N", "rows and columns of gemm's matrices (2048)", &o->size, 1, 16384),
        cmd_text("op", "NAME", "measure this op alone", &o->op),
        cmd_flag("small", "measure ops on the small cases that tests have", &o->small),
    };
    o->cmd = (cmd_line){
        .program = program,
        .usage = "[OPTION...] BENCHMARK",
        .about = about,
        .options = list,
        .option_count = sizeof list / sizeof *list,
        .offers = CMD_OFFERS_THREADS | CMD_OFFERS_JSON | CMD_OFFERS_PROFILE | CMD_OFFERS_PRECISION,
        .max_operands = 1,
    };
    const int status = cmd_parse(&o->cmd, argc, argv);
    if (status == CMD_GO && o->cmd.operand_count < 1)
        return cli_usage(program, "no benchmark is named");
    if (status == CMD_GO && o->op && !is_op(o->op))
        return cli_usage(program, "there is no op '%s'", o->op);
    return status;
}

static int run(tn_ctx *ctx, void *arg)
{
    const bench_options *o = arg;
    bench_result result = {0};
    for (int i = 0; i < WORKS; i++)
        if (strcmp(works[i].name, o->cmd.operand[0]) == 0) {
            if (o->cmd.precision != TN_FP32 && works[i].run != bench_video)
                return cli_usage(o->cmd.program, "--precision is for 'video'");
            const tn_status status = works[i].run(ctx, o, &result);
            const int exit_status = status == TN_OK ? bench_print(ctx, o, &result) : CLI_FAILED;
            bench_result_free(ctx, &result);
            return exit_status;
        }
    return cli_usage(program, "there is no benchmark '%s'", o->cmd.operand[0]);
}

int main(int argc, char **argv)
{
    cli_start();
    bench_options o;
    const int status = parse(argc, argv, &o);
    return status == CMD_GO ? cmd_run(&o.cmd, run, &o) : status;
}
