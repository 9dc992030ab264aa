/* evaluate: how well systems do, from their scores or from published confusion matrices. */
#include "apps/common/command.h"
#include "apps/common/evaluation.h"

#include <sys/stat.h>

typedef struct arguments {
    cmd_line cmd;            /* common options, and the score files */
    cmd_texts matrix;        /* --matrix */
    const char *split;       /* --split; NULL: all clips */
    const char *predictions; /* --predictions; NULL: none are written */
    int faces;               /* --faces */
    bool csv;                /* --csv */
} arguments;

static int parse(arguments *args, int argc, char **argv)
{
    const cmd_option options[] = {
        cmd_list("matrix", "FILE", "a published confusion matrix; as often as there are", &args->matrix),
        cmd_text("split", "NAME", "only the clips of this split", &args->split),
        cmd_int("faces", "N", "compare clips with fewer faces than N to the others (5)", &args->faces, 1,
                1000000),
        cmd_text("predictions", "OUT",
                 "write the predictions for the clips without a label as\na label file (one score file)",
                 &args->predictions),
        cmd_flag("csv", "CSV: a line for each number", &args->csv),
    };
    args->faces = 5;
    args->cmd = (cmd_line){
        .program = "evaluate",
        .usage = "[OPTION]... SCORES.csv...\n[OPTION]... --matrix FILE...",
        .about =
            "Accuracy, UAR, F1 and confusion matrix of systems with 95 % intervals, and McNemar's test of\n"
            "every two of them. A score file has a line for each clip, a matrix file a line for each class.",
        .options = options,
        .option_count = sizeof options / sizeof options[0],
        .offers = CMD_OFFERS_QUIET | CMD_OFFERS_JSON,
        .max_operands = -1,
    };
    return cmd_parse(&args->cmd, argc, argv);
}

static bool is_same_file(const char *a, const char *b)
{
    struct stat one, two;
    return stat(a, &one) == 0 && stat(b, &two) == 0 && one.st_dev == two.st_dev && one.st_ino == two.st_ino;
}

static int check(const arguments *args)
{
    const char *name = args->cmd.program;
    if (args->cmd.operand_count + args->matrix.count == 0)
        return cli_usage(name, "no system: expected score files or --matrix");
    if (args->cmd.operand_count > CMD_MAX_TEXTS)
        return cli_usage(name, "%d score files, expected at most %d", args->cmd.operand_count, CMD_MAX_TEXTS);
    if (args->csv && args->cmd.json)
        return cli_usage(name, "--csv and --json are two formats: choose one");
    if (args->predictions && (args->cmd.operand_count != 1 || args->matrix.count > 0))
        return cli_usage(name, "--predictions takes one score file");
    if (args->predictions && is_same_file(args->predictions, args->cmd.operand[0]))
        return cli_usage(name, "--predictions %s: is the score file, which would be lost", args->predictions);
    return CMD_GO;
}

static tn_status add_all(const arguments *args, tn_ctx *ctx, evaluation *e)
{
    for (int i = 0; i < args->cmd.operand_count; i++)
        TN_TRY(evaluation_add(ctx, e, args->cmd.operand[i], false));
    for (int i = 0; i < args->matrix.count; i++)
        TN_TRY(evaluation_add(ctx, e, args->matrix.text[i], true));
    return evaluation_finish(ctx, e);
}

/* A system without labelled clips is a mistake, unless its predictions are wanted. */
static int check_systems(const arguments *args, const evaluation *e)
{
    for (int i = 0; i < e->count; i++) {
        const evaluation_system *s = &e->system[i];
        if (s->metrics.clips == 0 && !args->predictions) {
            cli_warn(args->cmd.program, "%s: no labelled clip%s%s%s", s->path,
                     args->split ? " of split \"" : "", args->split ? args->split : "",
                     args->split ? "\"" : "");
            return CLI_FAILED;
        }
        if (s->splits > 1)
            cmd_note(&args->cmd, "%s: clips of several splits are taken together; --split chooses one",
                     s->path);
    }
    return CLI_OK;
}

static int print_all(const arguments *args, const evaluation *e)
{
    if (args->csv)
        evaluation_csv(e);
    else if (!args->cmd.json)
        evaluation_text(e);
    else if (!evaluation_json(e)) {
        cli_warn(args->cmd.program, "no memory for JSON");
        return CLI_FAILED;
    }
    return CLI_OK;
}

static int run(tn_ctx *ctx, void *arg)
{
    const arguments *args = arg;
    const nn_selection selection = {.split = args->split, .limit = args->faces};
    evaluation e;
    size_t written = 0;
    int status = CLI_FAILED;
    if (evaluation_open(ctx, args->cmd.operand_count + args->matrix.count, selection, &e) != TN_OK ||
        add_all(args, ctx, &e) != TN_OK)
        goto done;
    status = check_systems(args, &e);
    if (status == CLI_OK && args->predictions &&
        nn_predictions_write(ctx, args->predictions, &e.system[0].scores, &selection, &written) != TN_OK)
        status = CLI_FAILED;
    if (status != CLI_OK)
        goto done;
    if (args->predictions)
        cmd_note(&args->cmd, "%zu prediction%s in %s", written, written == 1 ? "" : "s", args->predictions);
    status = print_all(args, &e);
done:
    evaluation_close(ctx, &e);
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
