/* svm: support vector machines on LIBSVM's files, with LIBSVM's option letters. */
#include "apps/common/svm_grid.h"
#include "nn/nn.h"

#include <errno.h>
#include <jansson.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char program[] = "svm";

enum { MAX_WEIGHTS = 256 };

/* What the command line says; each command uses a part of it. */
typedef struct options {
    cmd_line cmd;                  /* common options and paths */
    nn_svm_params params;          /* of training */
    int svm_type, kernel;          /* -s, -t */
    int shrinking, probability;    /* -h, -b: 0 or 1 */
    int folds;                     /* -v; 0: none */
    double cache_mb;               /* -m */
    int weight_label[MAX_WEIGHTS]; /* -wLABEL */
    double weight[MAX_WEIGHTS];    /* its values */
    svm_grid_args grid;            /* lists and ranges of grid */
} options;

/* ---- data ------------------------------------------------------------------------------------------ */

/* Reads a file and refuses labels that are no classes by the line that they are on. */
static tn_status read_classes(tn_ctx *ctx, const char *path, nn_svm_data *data)
{
    TN_TRY(nn_svm_data_read(ctx, path, data));
    for (size_t i = 0; i < data->rows; i++)
        if (!(fabs(data->label[i]) <= INT_MAX) || data->label[i] != floor(data->label[i])) {
            const double label = data->label[i];
            nn_svm_data_free(ctx, data);
            return tn_fail(ctx, TN_FORMAT, "%s:%zu: label %g is not a whole number", path, i + 1, label);
        }
    return TN_OK;
}

/* ---- results --------------------------------------------------------------------------------------- */

/* Takes the object, which is NULL where memory was out. */
static tn_status print_object(tn_ctx *ctx, json_t *object)
{
    char *line = object ? json_dumps(object, JSON_PRESERVE_ORDER | JSON_REAL_PRECISION(17)) : NULL;
    json_decref(object);
    if (!line)
        return tn_fail(ctx, TN_NOMEM, "no memory for JSON");
    puts(line);
    free(line);
    return TN_OK;
}

static json_t *json_accuracy(int64_t correct, size_t rows)
{
    return json_pack("{s:I, s:I, s:f}", "correct", (json_int_t)correct, "rows", (json_int_t)rows, "accuracy",
                     (double)correct / (double)rows);
}

/* ---- train ----------------------------------------------------------------------------------------- */

static void warn_of_fits(const nn_svm *svm, const nn_svm_pair_fit *fits)
{
    for (int p = 0; p < nn_svm_pairs(svm); p++)
        if (!fits[p].converged)
            cli_warn(program,
                     "warning: %d against %d: stopped after %lld steps, before the tolerance was met",
                     fits[p].first, fits[p].second, (long long)fits[p].iterations);
}

static json_t *json_fits(const nn_svm *svm, const nn_svm_pair_fit *fits)
{
    bool good = true;
    json_t *pairs = json_array();
    for (int p = 0; p < nn_svm_pairs(svm); p++) {
        const nn_svm_pair_fit *f = &fits[p];
        json_t *fit =
            json_pack("{s:i, s:i, s:I, s:f, s:f, s:i, s:i, s:b}", "first", f->first, "second", f->second,
                      "steps", (json_int_t)f->iterations, "objective", f->objective, "rho", f->rho, "vectors",
                      f->vectors, "bounded", f->bounded, "converged", (int)f->converged);
        good = json_array_append_new(pairs, fit) == 0 && good;
    }
    json_t *all = json_pack("{s:o, s:I}", "pairs", pairs, "vectors", (json_int_t)nn_svm_vectors(svm));
    if (good)
        return all;
    json_decref(all);
    return NULL;
}

static void print_fits(const nn_svm *svm, const nn_svm_pair_fit *fits)
{
    for (int p = 0; p < nn_svm_pairs(svm); p++) {
        const nn_svm_pair_fit *f = &fits[p];
        printf("%d against %d: #iter = %lld\nobj = %f, rho = %f\nnSV = %d, nBSV = %d\n", f->first, f->second,
               (long long)f->iterations, f->objective, f->rho, f->vectors, f->bounded);
    }
    printf("Total nSV = %lld\n", (long long)nn_svm_vectors(svm));
}

static tn_status train_model(tn_ctx *ctx, const options *o, const nn_svm_data *data)
{
    nn_svm *svm;
    nn_svm_pair_fit *fits;
    TN_TRY(nn_svm_train(ctx, data, &o->params, &svm, &fits));
    tn_status status = nn_svm_write(ctx, svm, o->cmd.operand[1]);
    if (status == TN_OK && !o->cmd.quiet) {
        warn_of_fits(svm, fits);
        if (o->cmd.json)
            status = print_object(ctx, json_fits(svm, fits));
        else
            print_fits(svm, fits);
    }
    tn_free(ctx, fits);
    nn_svm_destroy(ctx, svm);
    return status;
}

static tn_status cross_validate(tn_ctx *ctx, const options *o, const nn_svm_data *data)
{
    int *fold = tn_alloc(ctx, data->rows, sizeof *fold),
        *predicted = tn_alloc(ctx, data->rows, sizeof *predicted);
    tn_status status = fold && predicted ? TN_OK : TN_NOMEM;
    if (status == TN_OK)
        status = nn_svm_folds_stratified(ctx, data, o->folds, o->params.seed, fold);
    if (status == TN_OK)
        status = nn_svm_cross_validate(ctx, data, &o->params, fold, predicted);
    if (status == TN_OK) {
        size_t correct = 0;
        for (size_t i = 0; i < data->rows; i++)
            correct += predicted[i] == (int)data->label[i];
        if (o->cmd.json)
            status = print_object(ctx, json_accuracy((int64_t)correct, data->rows));
        else
            printf("Cross Validation Accuracy = %g%%\n", 100.0 * (double)correct / (double)data->rows);
    }
    tn_free(ctx, predicted);
    tn_free(ctx, fold);
    return status;
}

static int run_train(tn_ctx *ctx, void *arg)
{
    const options *o = arg;
    nn_svm_data data;
    tn_status status = read_classes(ctx, o->cmd.operand[0], &data);
    if (status != TN_OK)
        return CLI_FAILED;
    status = o->folds ? cross_validate(ctx, o, &data) : train_model(ctx, o, &data);
    nn_svm_data_free(ctx, &data);
    return status == TN_OK ? CLI_OK : CLI_FAILED;
}

/* ---- predict --------------------------------------------------------------------------------------- */

/* Writes a line for each row and counts those that are right. `room` holds pairs + classes doubles. */
static tn_status predict_rows(tn_ctx *ctx, const nn_svm *svm, const nn_svm_data *data, bool probability,
                              double *room, wt_writer *w, size_t *correct)
{
    const int k = nn_svm_classes(svm);
    double *p = room + nn_svm_pairs(svm);
    if (probability) {
        wt_printf(w, "labels");
        for (int c = 0; c < k; c++)
            wt_printf(w, " %d", nn_svm_labels(svm)[c]);
        wt_printf(w, "\n");
    }
    for (size_t i = 0; i < data->rows; i++) {
        const int label = nn_svm_labels(svm)[nn_svm_decide(svm, nn_svm_row(data, i), room)];
        *correct += label == data->label[i];
        wt_printf(w, "%d", label);
        if (probability) {
            TN_TRY(nn_svm_probability(ctx, svm, room, p));
            for (int c = 0; c < k; c++)
                wt_printf(w, " %g", p[c]);
        }
        wt_printf(w, "\n");
    }
    return TN_OK;
}

static tn_status predict(tn_ctx *ctx, const options *o, const nn_svm *svm, const nn_svm_data *data)
{
    if (o->probability && !nn_svm_has_probability(svm))
        return tn_fail(ctx, TN_UNSUPPORTED, "%s: the model has no probabilities; train it with -b 1",
                       o->cmd.operand[1]);
    const size_t numbers = (size_t)nn_svm_pairs(svm) + (size_t)nn_svm_classes(svm);
    double *room = tn_alloc(ctx, numbers, sizeof *room);
    if (!room)
        return TN_NOMEM;
    size_t correct = 0;
    wt_writer *w = NULL;
    tn_status status = wt_create(ctx, o->cmd.operand[2], &w);
    if (status == TN_OK) {
        status = predict_rows(ctx, svm, data, o->probability != 0, room, w, &correct);
        if (status == TN_OK)
            status = wt_commit(w);
        else
            wt_discard(w);
    }
    if (status == TN_OK && !o->cmd.quiet && o->cmd.json)
        status = print_object(ctx, json_accuracy((int64_t)correct, data->rows));
    else if (status == TN_OK && !o->cmd.quiet)
        printf("Accuracy = %g%% (%zu/%zu) (classification)\n", 100.0 * (double)correct / (double)data->rows,
               correct, data->rows);
    tn_free(ctx, room);
    return status;
}

static int run_predict(tn_ctx *ctx, void *arg)
{
    const options *o = arg;
    nn_svm_data data = {0};
    nn_svm *svm = NULL;
    tn_status status = nn_svm_data_read(ctx, o->cmd.operand[0], &data);
    if (status == TN_OK)
        status = nn_svm_read(ctx, o->cmd.operand[1], &svm);
    if (status == TN_OK)
        status = predict(ctx, o, svm, &data);
    nn_svm_destroy(ctx, svm);
    nn_svm_data_free(ctx, &data);
    return status == TN_OK ? CLI_OK : CLI_FAILED;
}

/* ---- grid ------------------------------------------------------------------------------------------ */

static void print_point(const nn_svm_point *p, size_t rows)
{
    printf("-t %d", (int)p->kernel);
    if (p->kernel == NN_SVM_POLYNOMIAL)
        printf(" -d %d", p->degree);
    printf(" -c %.10g", p->cost);
    if (p->kernel != NN_SVM_LINEAR)
        printf(" -g %.10g", p->gamma);
    if (p->correct < 0)
        printf(": kernel values overflow\n");
    else
        printf(": %g%% (%lld/%zu)\n", 100.0 * (double)p->correct / (double)rows, (long long)p->correct, rows);
}

/* "correct" and "accuracy" are null where kernel values overflow. */
static json_t *json_point(const nn_svm_point *p, size_t rows, bool best)
{
    const bool there = p->correct >= 0, poly = p->kernel == NN_SVM_POLYNOMIAL,
               linear = p->kernel == NN_SVM_LINEAR;
    return json_pack("{s:s, s:o, s:f, s:o, s:o, s:I, s:o, s:b}", "kernel", svm_grid_kernel(p->kernel),
                     "degree", poly ? json_integer(p->degree) : json_null(), "cost", p->cost, "gamma",
                     linear ? json_null() : json_real(p->gamma), "correct",
                     there ? json_integer(p->correct) : json_null(), "rows", (json_int_t)rows, "accuracy",
                     there ? json_real((double)p->correct / (double)rows) : json_null(), "best", (int)best);
}

/* One object for each point; quiet: of the best one. */
static tn_status print_json(tn_ctx *ctx, const options *o, const svm_grid *g, size_t rows, size_t best)
{
    for (size_t i = 0; i < g->count; i++)
        if (!o->cmd.quiet || i == best)
            TN_TRY(print_object(ctx, json_point(&g->point[i], rows, i == best)));
    return TN_OK;
}

static tn_status search(tn_ctx *ctx, const options *o, const nn_svm_data *data, svm_grid *g)
{
    size_t best = 0;
    int *fold = tn_alloc(ctx, data->rows, sizeof *fold);
    tn_status status = fold ? svm_grid_points(ctx, g) : TN_NOMEM;
    if (status == TN_OK)
        status = nn_svm_folds_stratified(ctx, data, o->folds, o->params.seed, fold);
    if (status == TN_OK)
        status = nn_svm_grid(ctx, data, &o->params, fold, g->point, g->count, &best);
    if (status == TN_OK && o->cmd.json) {
        status = print_json(ctx, o, g, data->rows, best);
    } else if (status == TN_OK) {
        for (size_t i = 0; i < g->count && !o->cmd.quiet; i++)
            print_point(&g->point[i], data->rows);
        printf("best: ");
        print_point(&g->point[best], data->rows);
    }
    svm_grid_free(ctx, g);
    tn_free(ctx, fold);
    return status;
}

typedef struct grid_run {
    const options *o; /* what was asked for */
    svm_grid g;       /* read from it */
} grid_run;

static int run_grid(tn_ctx *ctx, void *arg)
{
    grid_run *r = arg;
    nn_svm_data data;
    tn_status status = read_classes(ctx, r->o->cmd.operand[0], &data);
    if (status != TN_OK)
        return CLI_FAILED;
    status = search(ctx, r->o, &data, &r->g);
    nn_svm_data_free(ctx, &data);
    return status == TN_OK ? CLI_OK : CLI_FAILED;
}

/* ---- options --------------------------------------------------------------------------------------- */

static cmd_option letter_int(char letter, const char *name, const char *help, int *out, int low, int high)
{
    return cmd_with_letter(letter, cmd_int(name, "N", help, out, low, high));
}

static cmd_option letter_number(char letter, const char *name, const char *help, double *out, double low,
                                double high)
{
    return cmd_with_letter(letter, cmd_number(name, "X", help, out, low, high));
}

/* Takes "-wLABEL VALUE" out of the arguments, which getopt cannot read. CMD_GO, or the status to exit with.
 */
static int take_weights(int *argc, char **argv, options *o)
{
    int kept = 1, weights = 0;
    for (int i = 1; i < *argc; i++) {
        const char *name = argv[i];
        if (strcmp(name, "--") == 0) {
            while (i < *argc)
                argv[kept++] = argv[i++];
            break;
        }
        if (name[0] != '-' || name[1] != 'w') {
            argv[kept++] = argv[i];
            continue;
        }
        char *end, *value_end;
        errno = 0;
        const long label = strtol(name + 2, &end, 10);
        if (end == name + 2 || *end || errno || label < INT_MIN || label > INT_MAX)
            return cli_usage(program, "%s: expected -wLABEL VALUE with a whole number", name);
        if (++i == *argc)
            return cli_usage(program, "%s needs a value", name);
        const double value = strtod(argv[i], &value_end);
        if (value_end == argv[i] || *value_end || !(value > 0) || !isfinite(value))
            return cli_usage(program, "%s %s: expected a number above 0", name, argv[i]);
        if (weights == MAX_WEIGHTS)
            return cli_usage(program, "more than %d weights", (int)MAX_WEIGHTS);
        o->weight_label[weights] = (int)label;
        o->weight[weights++] = value;
    }
    argv[kept] = NULL;
    *argc = kept;
    o->params.weight_count = weights;
    o->params.weight_label = o->weight_label;
    o->params.weight = o->weight;
    return CMD_GO;
}

static const double least = 1e-300, most = 1e300;

/* Puts options that train and grid share at the end of `list`; returns how many there are then. */
static int add_shared(options *o, cmd_option *list, int count)
{
    list[count++] = letter_int('s', "svm-type", "0: C-SVC, the only one there is", &o->svm_type, 0, 0);
    list[count++] =
        letter_number('r', "coef0", "of polynomial and sigmoid (default 0)", &o->params.coef0, -most, most);
    list[count++] =
        letter_number('e', "tolerance", "of stopping (default 0.001)", &o->params.tolerance, least, most);
    list[count++] =
        letter_number('m', "cache", "memory for kernel values in MB (default 100)", &o->cache_mb, 0, 1e9);
    list[count++] = letter_int('h', "shrinking", "0 or 1: leave out what stays at its bound (default 1)",
                               &o->shrinking, 0, 1);
    list[count++] = cmd_with_letter('q', cmd_flag("quiet", "results only", &o->cmd.quiet));
    return count;
}

/* Reads the arguments of a command that takes `least_operands` to `cmd.max_operands` of them. */
static int parse(options *o, int argc, char **argv, int least_operands, const char *wanted)
{
    o->cmd.program = program;
    const int status = cmd_parse(&o->cmd, argc, argv);
    if (status != CMD_GO)
        return status;
    if (o->cmd.operand_count < least_operands)
        return cli_usage(program, "arguments are missing: %s", wanted);
    o->params.shrinking = o->shrinking != 0;
    o->params.probability = o->probability != 0;
    o->params.seed = o->cmd.seed;
    o->params.cache_bytes = (size_t)(o->cache_mb * 1048576);
    return CMD_GO;
}

static int train(int argc, char **argv, options *o)
{
    cmd_option list[CMD_MAX_OPTIONS];
    int n = 0;
    o->kernel = NN_SVM_RBF;
    list[n++] = letter_int(
        't', "kernel",
        "0 linear u.v, 1 polynomial (g u.v + r)^d, 2 RBF exp(-g |u-v|^2),\n3 sigmoid tanh(g u.v + r) (default 2)",
        &o->kernel, 0, NN_SVM_SIGMOID);
    list[n++] = letter_int('d', "degree", "of the polynomial (default 3)", &o->params.degree, 0, INT_MAX);
    list[n++] = letter_number('g', "gamma", "g of the kernel (default 0: 1 / largest index)",
                              &o->params.gamma, 0, most);
    list[n++] = letter_number('c', "cost", "C (default 1); -wLABEL X multiplies it for one class",
                              &o->params.cost, least, most);
    list[n++] =
        letter_int('b', "probability", "0 or 1: fit probabilities (default 0)", &o->probability, 0, 1);
    list[n++] = letter_int('v', "folds", "cross-validate in N stratified folds, write no model", &o->folds, 2,
                           INT_MAX);
    n = add_shared(o, list, n);
    o->cmd =
        (cmd_line){.usage = "train [options] DATA MODEL\ntrain -v N [options] DATA",
                   .about = "Trains a C-SVC, one machine for each pair of classes, on a LIBSVM data file.",
                   .options = list,
                   .option_count = n,
                   .offers = CMD_OFFERS_JSON | CMD_OFFERS_THREADS | CMD_OFFERS_SEED,
                   .max_operands = 2};
    int status = take_weights(&argc, argv, o);
    if (status == CMD_GO)
        status = parse(o, argc, argv, 1, "DATA MODEL");
    if (status != CMD_GO)
        return status;
    if (o->cmd.operand_count != (o->folds ? 1 : 2))
        return cli_usage(program, "%s",
                         o->folds ? "-v writes no model" : "arguments are missing: DATA MODEL");
    o->params.kernel = (nn_svm_kernel)o->kernel;
    return cmd_run(&o->cmd, run_train, o);
}

static int predict_command(int argc, char **argv, options *o)
{
    const cmd_option list[] = {
        letter_int('b', "probability", "0 or 1: write probabilities too (default 0)", &o->probability, 0, 1),
        cmd_with_letter('q', cmd_flag("quiet", "do not print the accuracy", &o->cmd.quiet)),
    };
    o->cmd = (cmd_line){
        .usage = "predict [-b 1] DATA MODEL OUT",
        .about = "Writes the label of each row of DATA to OUT; it is the pairs' vote, with -b 1 too.",
        .options = list,
        .option_count = sizeof list / sizeof list[0],
        .offers = CMD_OFFERS_JSON,
        .max_operands = 3,
        .threads = 1};
    const int status = parse(o, argc, argv, 3, "DATA MODEL OUT");
    return status == CMD_GO ? cmd_run(&o->cmd, run_predict, o) : status;
}

static int grid_command(int argc, char **argv, options *o)
{
    cmd_option list[CMD_MAX_OPTIONS];
    int n = 0;
    o->grid = (svm_grid_args){.kernels = "2", .degrees = "3", .log2c = "-5,15,2", .log2g = "3,-15,-2"};
    o->folds = 5;
    n = svm_grid_options(&o->grid, list);
    list[n++] = letter_int('v', "folds", "stratified folds (default 5)", &o->folds, 2, INT_MAX);
    n = add_shared(o, list, n);
    o->cmd =
        (cmd_line){.usage = "grid [options] DATA",
                   .about = "Cross-validates every combination and names the best: most correct rows, of\n"
                            "equals the smallest C, the first kernel, the smallest degree and gamma.\n"
                            "-wLABEL X multiplies C for one class.",
                   .options = list,
                   .option_count = n,
                   .offers = CMD_OFFERS_JSON | CMD_OFFERS_THREADS | CMD_OFFERS_SEED,
                   .max_operands = 1};
    int status = take_weights(&argc, argv, o);
    if (status == CMD_GO)
        status = parse(o, argc, argv, 1, "DATA");
    grid_run r = {.o = o};
    if (status == CMD_GO)
        status = svm_grid_parse(program, &o->grid, &r.g);
    return status == CMD_GO ? cmd_run(&o->cmd, run_grid, &r) : status;
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;                                /* of the command */
        int (*run)(int argc, char **argv, options *out); /* its arguments begin with its name */
    } commands[] = {{"train", train}, {"predict", predict_command}, {"grid", grid_command}};
    cli_start();
    options o = {.params = nn_svm_defaults(), .shrinking = 1, .cache_mb = 100};
    for (size_t i = 0; argc > 1 && i < sizeof commands / sizeof commands[0]; i++)
        if (strcmp(argv[1], commands[i].name) == 0)
            return commands[i].run(argc - 1, argv + 1, &o);
    o.cmd = (cmd_line){
        .program = program,
        .usage = "train [options] DATA MODEL\npredict [options] DATA MODEL OUT\ngrid [options] DATA",
        .about = "Support vector machines; \"svm train --help\" and so on list the options.",
        .max_operands = -1};
    const int status = cmd_parse(&o.cmd, argc, argv);
    return status == CMD_GO ? cli_usage(program, "a command is needed: train, predict or grid") : status;
}
