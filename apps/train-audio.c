/* train-audio: learns the audio network from labelled clips. */
#include "apps/common/sounds.h"
#include "apps/common/train.h"
#include "apps/common/train_scores.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

typedef struct arguments {
    cmd_line cmd;                 /* common options */
    train_args train;             /* those of every training */
    int dense, cells;             /* --dense, --cells */
    double dropout;               /* --dropout */
    double input_dropout;         /* --input-dropout */
    const char *norm, *attention; /* names */
    int rate;                     /* --rate; 0: as it is */
    double eps;                   /* --eps; 0: the default of features */
    bool harmonic;                /* --harmonic */
    int bucket;                   /* --bucket */
    nn_train_options options;     /* what all of it comes to */
} arguments;

enum { TRAIN, VAL, TEST, PARTS };

/* A split's clips with their features. */
typedef struct part {
    const char *name;         /* of the split; NULL: the part is not there */
    data_selection selection; /* clips of the list; those without usable sound are taken out */
    sounds sounds;            /* of the selection as it was; freed when `input` is there */
    double **features;        /* windows x width of each clip, borrowed from `sounds` */
    float **input;            /* the same, scaled; owned */
    int *label, *steps;       /* class and windows of each clip; class -1: unlabelled */
    train_split count;        /* clips of each class, and left out ones */
    size_t replaced;          /* values that were no numbers and count as 0 */
} part;

/* A run in the making. */
typedef struct job {
    const arguments *args;    /* borrowed */
    tn_ctx *ctx;              /* same */
    data_manifest manifest;   /* all clips */
    part part[PARTS];         /* to learn from, to validate with, only to be scored */
    int width;                /* features of a window */
    nn_audio_config config;   /* network */
    nn_facts facts;           /* of the model file; owns the scaling's numbers */
    train_settings settings;  /* resolved */
    float *class_weight;      /* or NULL */
    tn_graph *graph;          /* network */
    nn_trainer *trainer;      /* run */
    char *model, *checkpoint; /* paths */
    char *log, *json;         /* same */
    char *scores[PARTS];      /* same, of each part */
} job;

/* ---- clips ----------------------------------------------------------------------------------------- */

/* Whether a clip can be used. Training leaves out what is not finite, other parts count it as 0, as infer
 * does. */
static bool is_used(const job *j, const part *p, sound_state state)
{
    return state == SOUND_GOOD || (state == SOUND_ODD && p != &j->part[TRAIN]);
}

/* Closes the ranks of the clips that are used and counts the others. */
static void take_used(job *j, part *p)
{
    size_t n = 0;
    for (size_t i = 0; i < p->sounds.count; i++) {
        const sound *s = &p->sounds.clip[i];
        if (!is_used(j, p, s->state)) {
            p->count.left_out[s->state - 1]++;
            continue;
        }
        const data_item *item = &j->manifest.item[p->selection.index[i]];
        p->selection.index[n] = p->selection.index[i];
        p->features[n] = s->features.value;
        p->steps[n] = (int)s->features.windows;
        p->label[n] = item->label;
        if (item->label >= 0)
            p->count.of_class[item->label]++;
        n++;
    }
    p->count.clips = p->selection.count = n;
}

static void tell_left_out(const job *j, const part *p)
{
    for (int i = 0; i < SOUND_STATES - 1; i++)
        if (p->count.left_out[i])
            cmd_note(&j->args->cmd, "%s: %zu of %zu clips left out: %s", p->name, p->count.left_out[i],
                     p->sounds.count, sound_state_name((sound_state)(i + 1)));
}

static tn_status read_part(job *j, part *p)
{
    const arguments *a = j->args;
    const bool labelled = p != &j->part[TEST];
    TN_TRY((labelled ? data_manifest_select_labelled : data_manifest_select)(j->ctx, &j->manifest, p->name,
                                                                             &p->selection));
    const size_t n = p->selection.count;
    sound_options options = {a->rate, data_feature_defaults(), a->cmd.quiet};
    options.features.harmonic = a->harmonic;
    if (a->eps > 0)
        options.features.eps = a->eps;
    p->count.name = p->name;
    p->count.of_class = tn_zalloc(j->ctx, (size_t)j->manifest.classes, sizeof *p->count.of_class);
    p->features = tn_zalloc(j->ctx, n, sizeof(double *));
    p->input = tn_zalloc(j->ctx, n, sizeof(float *));
    p->label = tn_zalloc(j->ctx, n, sizeof *p->label);
    p->steps = tn_zalloc(j->ctx, n, sizeof *p->steps);
    if (!p->count.of_class || !p->features || !p->input || !p->label || !p->steps)
        return TN_NOMEM;
    TN_TRY(sounds_read(j->ctx, &j->manifest, p->selection.index, n, &options, &p->sounds));
    take_used(j, p);
    tell_left_out(j, p);
    for (int i = 0; p == &j->part[TRAIN] && i < j->manifest.classes; i++)
        if (p->count.of_class[i] == 0)
            return tn_fail(j->ctx, TN_RANGE, "%s: no clip of class %s in split %s has sound to learn from",
                           j->manifest.path, j->manifest.class_name[i], p->name);
    if (p->count.clips == 0)
        return tn_fail(j->ctx, TN_RANGE, "%s: no clip of split %s has sound", j->manifest.path, p->name);
    return TN_OK;
}

static bool has_split(const data_manifest *manifest, const char *name)
{
    for (size_t i = 0; i < manifest->count; i++)
        if (strcmp(manifest->item[i].split, name) == 0)
            return true;
    return false;
}

/* Those that there are; only the split to be scored may be missing. */
static tn_status read_parts(job *j)
{
    const train_args *a = &j->args->train;
    const char *const name[PARTS] = {a->train_split, a->val_split, a->test_split};
    for (int i = 0; i < PARTS; i++) {
        if ((i != TRAIN && strcmp(name[i], "none") == 0) || (i == TEST && !has_split(&j->manifest, name[i])))
            continue;
        j->part[i].name = name[i];
        TN_TRY(read_part(j, &j->part[i]));
    }
    return TN_OK;
}

static void free_part(tn_ctx *ctx, part *p)
{
    for (size_t i = 0; p->input && i < p->selection.count; i++)
        tn_free(ctx, p->input[i]);
    tn_free(ctx, p->input);
    tn_free(ctx, p->features);
    tn_free(ctx, p->label);
    tn_free(ctx, p->steps);
    tn_free(ctx, p->count.of_class);
    tn_free(ctx, p->selection.index);
    sounds_free(ctx, &p->sounds);
}

/* ---- scaling --------------------------------------------------------------------------------------- */

/* Mean and population deviation of each feature over all windows of the training clips. */
static tn_status measure(job *j)
{
    const part *p = &j->part[TRAIN];
    const size_t width = (size_t)j->width;
    nn_scaling *s = &j->facts.scaling;
    s->mean = tn_zalloc(j->ctx, width, sizeof *s->mean);
    s->deviation = tn_zalloc(j->ctx, width, sizeof *s->deviation);
    if (!s->mean || !s->deviation)
        return TN_NOMEM;
    double windows = 0;
    for (size_t i = 0; i < p->selection.count; i++)
        windows += p->steps[i];
    for (size_t f = 0; f < width; f++) {
        double sum = 0, squares = 0;
        for (size_t i = 0; i < p->selection.count; i++)
            for (size_t w = 0; w < (size_t)p->steps[i]; w++)
                sum += p->features[i][w * width + f];
        const double mean = sum / windows;
        for (size_t i = 0; i < p->selection.count; i++)
            for (size_t w = 0; w < (size_t)p->steps[i]; w++) {
                const double d = p->features[i][w * width + f] - mean;
                squares += d * d;
            }
        s->mean[f] = (float)mean;
        s->deviation[f] = (float)sqrt(squares / windows);
    }
    return TN_OK;
}

static tn_status scale(job *j, part *p)
{
    for (size_t i = 0; i < p->selection.count; i++) {
        const int64_t size[2] = {p->steps[i], j->width};
        p->input[i] = tn_alloc(j->ctx, (size_t)(size[0] * size[1]), sizeof(float));
        if (!p->input[i])
            return TN_NOMEM;
        const tn_tensor out = tn_view(p->input[i], 2, size);
        p->replaced += nn_scale(&j->facts.scaling, p->features[i], (size_t)p->steps[i], &out);
    }
    sounds_free(j->ctx, &p->sounds);
    if (p->replaced)
        cmd_note(&j->args->cmd, "%s: %zu features are no finite numbers and count as 0", p->name,
                 p->replaced);
    return TN_OK;
}

static tn_status fill(void *arg, size_t clip, int64_t step, const tn_tensor *out)
{
    (void)step;
    const part *p = arg;
    const tn_tensor in = tn_view(p->input[clip], 2, out->size);
    tn_copy(out, &in);
    return TN_OK;
}

static nn_clips clips_of(const job *j, part *p)
{
    nn_clips clips = {
        .count = p->selection.count, .label = p->label, .steps = p->steps, .fill = fill, .arg = p};
    clips.size[1] = j->width;
    return clips;
}

/* ---- settings -------------------------------------------------------------------------------------- */

/* Over what is learnt from: names, classes and the scaled features. */
static uint64_t hash_part(const job *j, const part *p, uint64_t hash)
{
    for (size_t i = 0; i < p->selection.count; i++) {
        const char *name = j->manifest.item[p->selection.index[i]].name;
        hash = nn_hash(hash, name, strlen(name) + 1);
        hash = nn_hash(hash, &p->label[i], sizeof p->label[i]);
        hash = nn_hash(hash, p->input[i], (size_t)p->steps[i] * (size_t)j->width * sizeof(float));
    }
    return hash;
}

static void settle(job *j)
{
    const arguments *a = j->args;
    train_settings *s = &j->settings;
    uint64_t hash = NN_HASH_BEGIN;
    for (int i = 0; i < j->manifest.classes; i++)
        hash = nn_hash(hash, j->manifest.class_name[i], strlen(j->manifest.class_name[i]) + 1);
    for (int i = TRAIN; i <= VAL; i++)
        if (j->part[i].name)
            hash = hash_part(j, &j->part[i], hash);
    train_set(s, "data-hash", "%016" PRIx64, hash);
    train_set(s, "dense", "%d", a->dense);
    train_set(s, "cells", "%d", a->cells);
    train_set(s, "dropout", "%.17g", a->dropout);
    train_set(s, "input-dropout", "%.17g", a->input_dropout);
    train_set(s, "norm", "%s", a->norm);
    train_set(s, "attention", "%s", a->attention);
    train_set(s, "rate", "%d", a->rate);
    train_set(s, "eps", "%.17g", a->eps > 0 ? a->eps : data_feature_defaults().eps);
    train_set(s, "harmonic", "%d", a->harmonic);
    train_set_all(s, &a->train, &a->options, a->cmd.seed);
}

/* ---- scores ---------------------------------------------------------------------------------------- */

/* Who is asked about which clips. */
typedef struct asked {
    const job *job;
    const part *part;
    nn_model *model; /* of the epoch that is kept */
} asked;

/* What the kept model says of one clip. */
static tn_status score_clip(void *arg, size_t i, double *probability)
{
    const asked *ask = arg;
    const job *j = ask->job;
    const part *p = ask->part;
    tn_tensor input, lengths;
    nn_result result;
    TN_TRY(nn_audio_prepare(ask->model, 1, p->steps[i], &input, &lengths));
    memcpy(input.data, p->input[i], (size_t)p->steps[i] * (size_t)j->width * sizeof *input.data);
    TN_TRY(nn_model_run(ask->model, &result));
    for (int c = 0; c < j->manifest.classes; c++)
        probability[c] = (double)result.probabilities.data[c];
    return TN_OK;
}

static tn_status score_part(const job *j, nn_model *model, const part *p, const char *path)
{
    asked ask = {j, p, model};
    return train_save_scores(j->ctx, path, &j->manifest, &p->selection, score_clip, &ask);
}

/* Of the epoch that is kept. */
static tn_status save_scores(const job *j)
{
    const nn_model_options options = {.kind = NN_AUDIO};
    nn_model *model;
    TN_TRY(nn_model_open(j->ctx, j->model, &options, &model));
    tn_status status = TN_OK;
    for (int i = 0; i < PARTS && status == TN_OK; i++)
        if (j->part[i].name)
            status = score_part(j, model, &j->part[i], j->scores[i]);
    nn_model_close(model);
    return status;
}

/* ---- the run --------------------------------------------------------------------------------------- */

/* Says nothing of how long the run may be, so that it makes no difference where that changed. */
static tn_status save_model(void *arg, const nn_epoch *e)
{
    job *j = arg;
    wt_meta more[sizeof j->settings.pair / sizeof j->settings.pair[0] + 3];
    char epoch[24], accuracy[32];
    int count = 0;
    snprintf(epoch, sizeof epoch, "%" PRId64, e->epoch);
    snprintf(accuracy, sizeof accuracy, "%.6f", e->val_accuracy);
    more[count++] = (wt_meta){"train.version", VALENCE_VERSION};
    more[count++] = (wt_meta){"train.epoch", epoch};
    if (j->part[VAL].name)
        more[count++] = (wt_meta){"train.val_accuracy", accuracy};
    for (int i = 0; i < j->settings.fixed; i++)
        more[count++] = j->settings.pair[i];
    return nn_save(j->graph, j->model, NULL, &j->config, &j->facts, more, count);
}

static tn_status make_network(job *j)
{
    const arguments *a = j->args;
    nn_audio_config *c = &j->config;
    *c = nn_audio_defaults(j->manifest.classes);
    c->inputs = j->width;
    c->dense[0] = c->dense[1] = a->dense;
    c->cells = a->cells;
    c->dropout = (float)a->dropout;
    c->input_dropout = (float)a->input_dropout;
    nn_attention_parse(a->attention, &c->kind);
    TN_TRY(tn_graph_create(j->ctx, &j->graph));
    const nn_network net = nn_audio_build(j->graph, c);
    TN_TRY(nn_init(j->graph, a->cmd.seed));
    nn_train_options options = a->options;
    options.seed = a->cmd.seed;
    options.bucket = a->bucket;
    options.checkpoint = j->checkpoint;
    options.settings = j->settings.pair;
    options.setting_count = j->settings.fixed;
    options.class_weight = j->class_weight;
    return nn_trainer_create(j->graph, &net, c->classes, &options, &j->trainer);
}

static tn_status name_files(job *j)
{
    static const char *const scores[PARTS] = {"scores.train.csv", "scores.val.csv", "scores.test.csv"};
    const char *out = j->args->train.out;
    TN_TRY(train_make_folder(j->ctx, out));
    j->model = train_path(j->ctx, out, "audio.safetensors");
    j->checkpoint = train_path(j->ctx, out, "audio.checkpoint.safetensors");
    j->log = train_path(j->ctx, out, "log.csv");
    j->json = train_path(j->ctx, out, "settings.json");
    bool made = j->model && j->checkpoint && j->log && j->json;
    for (int i = 0; i < PARTS; i++) {
        j->scores[i] = train_path(j->ctx, out, scores[i]);
        made = made && j->scores[i];
    }
    return made ? TN_OK : TN_NOMEM;
}

static tn_status prepare(job *j)
{
    const arguments *a = j->args;
    TN_TRY(name_files(j));
    TN_TRY(data_manifest_read(j->ctx, a->train.data, NULL, &j->manifest));
    j->width = a->harmonic ? DATA_FEATURES_HARMONIC : DATA_FEATURES;
    j->facts = (nn_facts){.kind = NN_AUDIO,
                          .classes = j->manifest.classes,
                          .class_name = j->manifest.class_name,
                          .rate = a->rate,
                          .eps = a->eps,
                          .scaling.width = j->width};
    nn_norm_parse(a->norm, &j->facts.scaling.norm);
    TN_TRY(read_parts(j));
    if (j->facts.scaling.norm == NN_NORM_TRAIN)
        TN_TRY(measure(j));
    for (int i = 0; i < PARTS; i++)
        if (j->part[i].name)
            TN_TRY(scale(j, &j->part[i]));
    if (a->train.class_weights) {
        j->class_weight = tn_alloc(j->ctx, (size_t)j->manifest.classes, sizeof *j->class_weight);
        if (!j->class_weight)
            return TN_NOMEM;
        const train_split *count = &j->part[TRAIN].count;
        train_balance(count->of_class, j->manifest.classes, count->clips, j->class_weight);
    }
    settle(j);
    return TN_OK;
}

/* Where there is no checkpoint yet, a run begins that was killed in its first epoch. */
static tn_status go_on(const job *j)
{
    if (!j->args->train.resume)
        return TN_OK;
    if (access(j->checkpoint, F_OK) != 0) {
        cmd_note(&j->args->cmd, "%s is not there yet: the run begins anew", j->checkpoint);
        return TN_OK;
    }
    TN_TRY(nn_trainer_load(j->trainer, j->checkpoint));
    const nn_train_progress p = nn_trainer_progress(j->trainer);
    cmd_note(&j->args->cmd, "going on after step %lld of epoch %lld", (long long)p.batch,
             (long long)p.epoch + 1);
    if (p.best_epoch && access(j->model, R_OK) != 0)
        return tn_fail(j->ctx, TN_IO, "%s is missing, the model of epoch %lld", j->model,
                       (long long)p.best_epoch);
    return TN_OK;
}

static void tell(const job *j, nn_train_end end)
{
    const nn_train_progress p = nn_trainer_progress(j->trainer);
    printf("%s: %lld epochs%s, best epoch %lld: %s accuracy %.4f, loss %.4f\n", j->model, (long long)p.epoch,
           end == NN_TRAIN_PATIENCE ? " (stopped early)" : "", (long long)p.best_epoch,
           j->part[VAL].name ? "validation" : "training", p.best_accuracy, p.best_loss);
}

static tn_status train(job *j, nn_train_end *end)
{
    TN_TRY(prepare(j));
    TN_TRY(make_network(j));
    TN_TRY(go_on(j));
    train_split split[PARTS];
    int splits = 0;
    for (int i = 0; i < PARTS; i++)
        if (j->part[i].name)
            split[splits++] = j->part[i].count;
    const char *reasons[SOUND_STATES - 1];
    for (int i = 0; i < SOUND_STATES - 1; i++)
        reasons[i] = sound_state_name((sound_state)(i + 1));
    TN_TRY(train_save_settings(j->ctx, j->json, j->args->cmd.program, &j->args->train, &j->settings,
                               j->manifest.class_name, j->manifest.classes, split, splits, reasons,
                               SOUND_STATES - 1));
    const nn_clips clips = clips_of(j, &j->part[TRAIN]), val = clips_of(j, &j->part[VAL]);
    train_run run = {.ctx = j->ctx,
                     .cmd = &j->args->cmd,
                     .trainer = j->trainer,
                     .log_path = j->log,
                     .epochs = j->args->train.epochs,
                     .save = save_model,
                     .arg = j};
    TN_TRY(
        train_go(&run, &clips, j->part[VAL].name ? &val : NULL, nn_trainer_progress(j->trainer).epoch, end));
    return *end == NN_TRAIN_INTERRUPTED ? TN_OK : save_scores(j);
}

static void free_job(job *j)
{
    nn_trainer_destroy(j->trainer);
    tn_graph_destroy(j->graph);
    for (int i = 0; i < PARTS; i++) {
        free_part(j->ctx, &j->part[i]);
        tn_free(j->ctx, j->scores[i]);
    }
    tn_free(j->ctx, j->facts.scaling.mean);
    tn_free(j->ctx, j->facts.scaling.deviation);
    tn_free(j->ctx, j->class_weight);
    tn_free(j->ctx, j->model);
    tn_free(j->ctx, j->checkpoint);
    tn_free(j->ctx, j->log);
    tn_free(j->ctx, j->json);
    data_manifest_free(j->ctx, &j->manifest);
}

static int run(tn_ctx *ctx, void *arg)
{
    job j = {.args = arg, .ctx = ctx};
    nn_train_end end = NN_TRAIN_EPOCHS;
    int status = train(&j, &end) == TN_OK ? CLI_OK : CLI_FAILED;
    if (status == CLI_OK && end == NN_TRAIN_INTERRUPTED) {
        cli_warn(j.args->cmd.program, "interrupted and saved; the same command with --resume goes on");
        status = TRAIN_INTERRUPTED;
    } else if (status == CLI_OK) {
        tell(&j, end);
    }
    free_job(&j);
    return status;
}

/* ---- command line ---------------------------------------------------------------------------------- */

static int parse(arguments *a, int argc, char **argv)
{
    cmd_option options[TRAIN_OPTIONS + 10];
    int count = train_options_of(&a->train, options);
    const cmd_option own[] = {
        cmd_int("dense", "N", "units of both dense layers (default 512)", &a->dense, 1, 65536),
        cmd_int("cells", "N", "of the LSTM, each way (default 128)", &a->cells, 1, 16384),
        cmd_number("dropout", "P", "behind the dense layers (default 0.5)", &a->dropout, 0, 0.99),
        cmd_number("input-dropout", "P", "before the LSTM, one mask a clip (default 0.5)", &a->input_dropout,
                   0, 0.99),
        cmd_text("norm", "NAME", "scaling of features: train (default), frame or none", &a->norm),
        cmd_text("attention", "NAME", "local (default) or softmax-query", &a->attention),
        cmd_int("rate", "HZ", "resample first (default: as it is)", &a->rate, 1, DATA_AUDIO_MAX_RATE),
        cmd_number("eps", "E", "of the features (default 2^-52)", &a->eps, 1e-300, 1),
        cmd_flag("harmonic", "harmonic ratio and pitch as well: 36 features", &a->harmonic),
        cmd_int("bucket", "N", "sort each N shuffled batches by length (default 1: not)", &a->bucket, 1,
                65536),
    };
    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        options[count++] = own[i];
    a->cmd = (cmd_line){
        .program = "train-audio",
        .usage = "--data PATH --out DIR [options]",
        .about = "Learns the audio network from labelled clips: audio.safetensors in --out is what infer\n"
                 "opens, log.csv has a line for each epoch. Defaults are those of Pinto et al. 2020: 200\n"
                 "epochs, batches of 128, learning rate 0.01, patience 15.\n"
                 "A run that is interrupted saves, says so and exits with 130.",
        .options = options,
        .option_count = count,
        .offers = CMD_OFFERS_THREADS | CMD_OFFERS_SEED | CMD_OFFERS_QUIET,
    };
    const int status = cmd_parse(&a->cmd, argc, argv);
    a->cmd.options = NULL; /* they end here */
    return status;
}

static int check(arguments *a)
{
    nn_norm norm = NN_NORM_TRAIN;
    nn_attention kind = NN_ATTENTION_LOCAL;
    const char *name = a->cmd.program;
    if (!nn_norm_parse(a->norm, &norm))
        return cli_usage(name, "--norm %s: expected train, frame or none", a->norm);
    if (!nn_attention_parse(a->attention, &kind))
        return cli_usage(name, "--attention %s: expected local or softmax-query", a->attention);
    a->options.bucket = a->bucket;
    return train_check(name, &a->train, &a->options);
}

int main(int argc, char **argv)
{
    cli_start();
    arguments a = {.train = {.train_split = "train",
                             .val_split = "val",
                             .test_split = "test",
                             .epochs = 200,
                             .batch = 128,
                             .patience = 15,
                             .optimizer = "adam",
                             .schedule = "constant",
                             .lr = 1e-2,
                             .momentum = 0.9,
                             .step_every = 30,
                             .step_factor = 0.1},
                   .dense = 512,
                   .cells = 128,
                   .dropout = 0.5,
                   .input_dropout = 0.5,
                   .norm = "train",
                   .attention = "local",
                   .bucket = 1};
    int status = parse(&a, argc, argv);
    if (status == CMD_GO)
        status = check(&a);
    return status == CMD_GO ? cmd_run(&a.cmd, run, &a) : status;
}
