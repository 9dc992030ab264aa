#include "apps/common/train.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- options --------------------------------------------------------------------------------------- */

train_args train_defaults(int epochs, int batch, int patience, double lr)
{
    return (train_args){.train_split = "train",
                        .val_split = "val",
                        .test_split = "test",
                        .epochs = epochs,
                        .batch = batch,
                        .patience = patience,
                        .optimizer = "adam",
                        .schedule = "constant",
                        .lr = lr,
                        .momentum = 0.9,
                        .step_every = 30,
                        .step_factor = 0.1};
}

int train_parse(cmd_line *cmd, train_args *a, const cmd_option *own, size_t count, int argc, char **argv)
{
    const cmd_option shared[] = {
        cmd_text("data", "PATH", "list of clips (CSV), or a folder as VGAF has it", &a->data),
        cmd_text("out", "DIR", "where results go", &a->out),
        cmd_flag("resume", "go on with the run in --out, bit for bit", &a->resume),
        cmd_text("train-split", "NAME", "clips to learn from (default: train)", &a->train_split),
        cmd_text("val-split", "NAME", "clips to validate with; none: no validation\n(default: val)",
                 &a->val_split),
        cmd_text("test-split", "NAME",
                 "clips that are only scored, if there are any; none: no\n(default: test)", &a->test_split),
        cmd_int("epochs", "N", "at most so many", &a->epochs, 1, 1000000),
        cmd_int("batch", "N", "clips of a batch", &a->batch, 1, 65536),
        cmd_int("patience", "N", "stop after so many epochs without a lower validation\nloss; 0: never",
                &a->patience, 0, 1000000),
        cmd_text("optimizer", "NAME", "adam (default) or sgd", &a->optimizer),
        cmd_number("lr", "R", "learning rate", &a->lr, 1e-12, 1e3),
        cmd_number("momentum", "M", "of sgd (default 0.9)", &a->momentum, 0, 0.999999),
        cmd_number("weight-decay", "W", "L2, added to the gradient (default 0)", &a->weight_decay, 0, 1e3),
        cmd_number("clip", "C", "bound of the gradients' norm; 0 (default): none", &a->clip, 0, 1e9),
        cmd_text("schedule", "NAME",
                 "learning rate: constant (default), cosine (to 0 over\n--epochs) or step", &a->schedule),
        cmd_number("step-every", "N", "step schedule: epochs between reductions (default 30)", &a->step_every,
                   1e-3, 1e6),
        cmd_number("step-factor", "F", "step schedule: of each reduction (default 0.1)", &a->step_factor,
                   1e-6, 1),
        cmd_flag("class-weights", "weigh classes by how rare they are", &a->class_weights),
        cmd_int(
            "oof", "K",
            "scores of the clips to learn from by K networks more, each\ntrained without the clips that it "
            "scores: scores.oof.csv",
            &a->oof, 2, 1000),
    };
    cmd_option options[CMD_MAX_OPTIONS];
    memcpy(options, shared, sizeof shared);
    memcpy(options + sizeof shared / sizeof *shared, own, count * sizeof *own);
    cmd->options = options;
    cmd->option_count = (int)(sizeof shared / sizeof *shared + count);
    cmd->exits = "130 interrupted and saved";
    cmd->offers = CMD_OFFERS_THREADS | CMD_OFFERS_SEED | CMD_OFFERS_QUIET | CMD_OFFERS_PROFILE;
    const int status = cmd_parse(cmd, argc, argv);
    cmd->options = NULL; /* they end here */
    return status;
}

int train_check(const char *program, const train_args *a, nn_train_options *out)
{
    nn_method method = NN_ADAM;
    nn_schedule_kind kind = NN_SCHEDULE_CONSTANT;
    if (!a->data || !a->out)
        return cli_usage(program, "expected --data and --out");
    if (!nn_method_parse(a->optimizer, &method))
        return cli_usage(program, "--optimizer %s: expected adam or sgd", a->optimizer);
    if (!nn_schedule_parse(a->schedule, &kind))
        return cli_usage(program, "--schedule %s: expected constant, cosine or step", a->schedule);
    out->epochs = a->epochs;
    out->batch = a->batch;
    out->patience = a->patience;
    out->optimizer = nn_optimizer_defaults(method);
    out->optimizer.momentum = a->momentum;
    out->optimizer.weight_decay = a->weight_decay;
    out->optimizer.clip = a->clip;
    out->schedule = (nn_schedule){kind, a->lr, a->epochs, a->step_every, a->step_factor};
    return CMD_GO;
}

/* ---- settings -------------------------------------------------------------------------------------- */

void train_set(train_settings *s, const char *name, const char *format, ...)
{
    enum { ROOM = sizeof s->pair / sizeof s->pair[0] };
    if (s->count == ROOM)
        return;
    va_list args;
    va_start(args, format);
    vsnprintf(s->text[s->count], sizeof s->text[0], format, args);
    va_end(args);
    snprintf(s->key[s->count], sizeof s->key[0], "set.%s", name);
    s->pair[s->count] = (wt_meta){s->key[s->count], s->text[s->count]};
    s->count++;
}

void train_set_all(train_settings *s, const train_args *a, const nn_train_options *o, uint64_t seed)
{
    char name[64];
    train_set(s, "train-split", "%s", wt_printable(a->train_split, name, sizeof name));
    train_set(s, "val-split", "%s", wt_printable(a->val_split, name, sizeof name));
    train_set(s, "batch", "%d", a->batch);
    train_set(s, "bucket", "%d", o->bucket);
    train_set(s, "optimizer", "%s", a->optimizer);
    train_set(s, "lr", "%.17g", a->lr);
    train_set(s, "momentum", "%.17g", a->momentum);
    train_set(s, "weight-decay", "%.17g", a->weight_decay);
    train_set(s, "clip", "%.17g", a->clip);
    train_set(s, "schedule", "%s", a->schedule);
    train_set(s, "step-every", "%.17g", a->step_every);
    train_set(s, "step-factor", "%.17g", a->step_factor);
    train_set(s, "class-weights", "%d", a->class_weights);
    if (o->schedule.kind == NN_SCHEDULE_COSINE)
        train_set(s, "epochs", "%d", a->epochs);
    train_set(s, "seed", "%" PRIu64, seed);
    s->fixed = s->count;
    if (o->schedule.kind != NN_SCHEDULE_COSINE)
        train_set(s, "epochs", "%d", a->epochs);
    train_set(s, "patience", "%d", a->patience);
    train_set(s, "oof", "%d", a->oof);
}

static json_t *text_of(const char *text)
{
    char shown[4096];
    return json_string(wt_printable(text, shown, sizeof shown));
}

static json_t *split_of(const train_split *split, char *const *class_name, int classes,
                        const char *const *reason, int reasons)
{
    json_t *labels = json_object(), *left_out = json_object();
    for (int i = 0; i < classes; i++)
        json_object_set_new(labels, class_name[i], json_integer((json_int_t)split->of_class[i]));
    for (int i = 0; i < reasons; i++)
        json_object_set_new(left_out, reason[i], json_integer((json_int_t)split->left_out[i]));
    json_t *all = json_object();
    json_object_set_new(all, "clips", json_integer((json_int_t)split->clips));
    json_object_set_new(all, "labels", labels);
    json_object_set_new(all, "left out", left_out);
    return all;
}

tn_status train_write_text(tn_ctx *ctx, const char *path, const char *text, size_t bytes)
{
    wt_writer *writer;
    TN_TRY(wt_create(ctx, path, &writer));
    const tn_status status = wt_write(writer, text, bytes);
    if (status == TN_OK)
        return wt_commit(writer);
    wt_discard(writer);
    return status;
}

tn_status train_save_settings(tn_ctx *ctx, const char *path, const char *program, const train_args *args,
                              const train_settings *s, char *const *class_name, int classes,
                              const train_split *split, int splits, const char *const *reason, int reasons)
{
    json_t *all = json_object(), *settings = json_object(), *data = json_object();
    json_object_set_new(all, "program", json_string(program));
    json_object_set_new(all, "version", json_string(VALENCE_VERSION));
    json_object_set_new(all, "data", text_of(args->data));
    for (int i = 0; i < s->count; i++)
        json_object_set_new(settings, s->key[i] + strlen("set."), json_string(s->text[i]));
    json_object_set_new(all, "settings", settings);
    for (int i = 0; i < splits; i++)
        json_object_set_new(data, split[i].name, split_of(&split[i], class_name, classes, reason, reasons));
    json_object_set_new(all, "splits", data);
    char *text = json_dumps(all, JSON_INDENT(2) | JSON_PRESERVE_ORDER);
    json_decref(all);
    if (!text)
        return tn_fail(ctx, TN_NOMEM, "%s: out of memory", path);
    const tn_status status = train_write_text(ctx, path, text, strlen(text));
    free(text);
    return status;
}

/* ---- files ----------------------------------------------------------------------------------------- */

char *train_path(tn_ctx *ctx, const char *out, const char *name)
{
    const size_t room = strlen(out) + strlen(name) + 2;
    char *path = tn_alloc(ctx, room, 1);
    if (path)
        snprintf(path, room, "%s/%s", out, name);
    return path;
}

tn_status train_remove(tn_ctx *ctx, const char *out, const char *name)
{
    char *path = train_path(ctx, out, name);
    if (!path)
        return TN_NOMEM;
    unlink(path);
    tn_free(ctx, path);
    return TN_OK;
}

static bool is_folder(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

tn_status train_make_folder(tn_ctx *ctx, const char *path)
{
    char *part = tn_strdup(ctx, path);
    if (!part)
        return TN_NOMEM;
    tn_status status = TN_OK;
    for (char *end = part + 1; status == TN_OK && *part; end++) {
        const char was = *end;
        if (was != '/' && was != '\0')
            continue;
        *end = '\0';
        if (!is_folder(part) && mkdir(part, 0777) != 0) {
            const int reason = errno;
            /* Another program may have made it meanwhile. */
            if (!is_folder(part))
                status = tn_fail(ctx, TN_IO, "%s: cannot be made: %s", part,
                                 reason == EEXIST ? "a file of that name is there" : strerror(reason));
        }
        *end = was;
        if (was == '\0')
            break;
    }
    tn_free(ctx, part);
    return status;
}

void train_balance(const size_t *of_class, int classes, size_t clips, float *weight)
{
    for (int i = 0; i < classes; i++)
        weight[i] = (float)((double)clips / ((double)classes * (double)of_class[i]));
}

/* ---- signals ---------------------------------------------------------------------------------------- */

/* A signal handler can reach nothing else. */
static volatile sig_atomic_t interrupted;

static void on_signal(int number)
{
    (void)number;
    interrupted = 1;
}

void train_watch(train_signals *before)
{
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    interrupted = 0;
    sigaction(SIGINT, &action, &before->interrupt);
    sigaction(SIGTERM, &action, &before->terminate);
}

void train_unwatch(const train_signals *before)
{
    sigaction(SIGINT, &before->interrupt, NULL);
    sigaction(SIGTERM, &before->terminate, NULL);
}

bool train_interrupted(void)
{
    return interrupted;
}
