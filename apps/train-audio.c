/* train-audio: learns the audio network from labelled clips. */
#include "apps/common/sounds.h"
#include "apps/common/train_job.h"

#include <inttypes.h>
#include <math.h>

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
    nn_train_options options;     /* what those of every training come to */
} arguments;

/* The program at work. */
typedef struct program {
    train_job job;             /* what is not its own */
    const arguments *args;     /* borrowed */
    sounds sound[TRAIN_PARTS]; /* of all clips of each split */
    int width;                 /* features of a window */
    nn_audio_config config;    /* network */
    nn_facts facts;            /* of the model file; scaling points to the two below */
    float *mean, *deviation;   /* of each feature over the clips that are learnt from, or NULL */
} program;

/* ---- clips ----------------------------------------------------------------------------------------- */

static const data_features *features_of(const program *p, int part, size_t clip)
{
    return &p->sound[part].clip[p->job.part[part].place[clip]].features;
}

/* Training leaves out what is not finite, other parts count it as 0, as infer does. */
static tn_status examine(void *self, int part, int *reason)
{
    program *p = self;
    const arguments *a = p->args;
    const data_selection *all = &p->job.part[part].selection;
    sound_options options = {a->rate, data_feature_defaults(), a->cmd.quiet, train_interrupted};
    options.features.harmonic = a->harmonic;
    if (a->eps > 0)
        options.features.eps = a->eps;
    sounds *s = &p->sound[part];
    TN_TRY(sounds_read(p->job.ctx, &p->job.manifest, all->index, all->count, &options, s));
    p->job.stopped = s->stopped;
    for (size_t i = 0; i < all->count; i++) {
        const sound_state state = s->clip[i].state;
        if (state != SOUND_ODD || part == TRAIN_LEARN)
            reason[i] = (int)state; /* SOUND_GOOD is 0 */
        if (reason[i])
            sounds_drop(s, i);
    }
    return TN_OK;
}

static void tell_replaced(program *p, int part)
{
    size_t values = 0;
    for (size_t i = 0; i < p->job.part[part].count.clips; i++)
        values += data_features_nonfinite(features_of(p, part, i));
    if (values)
        cmd_note(&p->args->cmd, "%s: %zu features are no finite numbers and count as 0",
                 p->job.part[part].name, values);
}

static tn_status read_clips(program *p)
{
    train_job *j = &p->job;
    TN_TRY(train_job_read(j));
    for (int part = 0; part < TRAIN_PARTS && !j->stopped; part++) {
        for (size_t i = 0; i < j->part[part].count.clips; i++)
            j->part[part].steps[i] = (int)features_of(p, part, i)->windows;
        tell_replaced(p, part);
    }
    return TN_OK;
}

static tn_status fill(void *self, int part, size_t clip, int64_t step, const tn_tensor *out)
{
    (void)step;
    const program *p = self;
    const data_features *f = features_of(p, part, clip);
    nn_scale(&p->facts.scaling, f->value, f->windows, out);
    return TN_OK;
}

/* ---- network --------------------------------------------------------------------------------------- */

/* Mean and population deviation of each feature over all windows of the clips. */
static void measure(program *p, const size_t *clip, size_t count)
{
    const size_t width = (size_t)p->width;
    for (size_t f = 0; f < width; f++) {
        double windows = 0, sum = 0, squares = 0;
        for (size_t i = 0; i < count; i++) {
            const data_features *x = features_of(p, TRAIN_LEARN, clip[i]);
            windows += (double)x->windows;
            for (size_t w = 0; w < x->windows; w++)
                sum += x->value[w * width + f];
        }
        const double mean = sum / windows;
        for (size_t i = 0; i < count; i++) {
            const data_features *x = features_of(p, TRAIN_LEARN, clip[i]);
            for (size_t w = 0; w < x->windows; w++) {
                const double d = x->value[w * width + f] - mean;
                squares += d * d;
            }
        }
        p->mean[f] = (float)mean;
        p->deviation[f] = (float)sqrt(squares / windows);
    }
}

static tn_status make(void *self, const size_t *clip, size_t count, tn_graph **graph, nn_network *net)
{
    program *p = self;
    if (p->facts.scaling.norm == NN_NORM_TRAIN)
        measure(p, clip, count);
    TN_TRY(tn_graph_create(p->job.ctx, graph));
    *net = nn_audio_build(*graph, &p->config);
    return nn_init(*graph, p->args->cmd.seed);
}

static tn_status save(void *self, tn_graph *graph, const char *path, const wt_meta *meta, int count)
{
    const program *p = self;
    return nn_save(graph, path, NULL, &p->config, &p->facts, meta, count);
}

static tn_status configure(program *p)
{
    const arguments *a = p->args;
    const data_manifest *list = &p->job.manifest;
    p->width = a->harmonic ? DATA_FEATURES_HARMONIC : DATA_FEATURES;
    p->job.size[1] = p->width;
    nn_audio_config *c = &p->config;
    *c = nn_audio_defaults(list->classes);
    c->inputs = p->width;
    c->dense[0] = c->dense[1] = a->dense;
    c->cells = a->cells;
    c->dropout = (float)a->dropout;
    c->input_dropout = (float)a->input_dropout;
    nn_attention_parse(a->attention, &c->kind);
    p->facts = (nn_facts){.kind = NN_AUDIO,
                          .classes = list->classes,
                          .class_name = list->class_name,
                          .rate = a->rate,
                          .eps = a->eps,
                          .scaling.width = p->width};
    nn_norm_parse(a->norm, &p->facts.scaling.norm);
    if (p->facts.scaling.norm != NN_NORM_TRAIN)
        return TN_OK;
    p->facts.scaling.mean = p->mean = tn_zalloc(p->job.ctx, (size_t)p->width, sizeof *p->mean);
    p->facts.scaling.deviation = p->deviation = tn_zalloc(p->job.ctx, (size_t)p->width, sizeof *p->deviation);
    return p->mean && p->deviation ? TN_OK : TN_NOMEM;
}

/* ---- the run --------------------------------------------------------------------------------------- */

static uint64_t hash_clip(const void *self, int part, size_t clip, uint64_t hash)
{
    const program *p = self;
    const data_features *f = features_of(p, part, clip);
    return nn_hash(hash, f->value, f->windows * (size_t)p->width * sizeof *f->value);
}

static void settle(program *p)
{
    const arguments *a = p->args;
    train_settings *s = &p->job.settings;
    train_set(s, "data-hash", "%016" PRIx64, train_job_hash(&p->job, hash_clip));
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

static tn_status train(program *p)
{
    TN_TRY(train_job_open(&p->job));
    TN_TRY(configure(p));
    TN_TRY(read_clips(p));
    if (p->job.stopped)
        return TN_OK;
    settle(p);
    return train_job_run(&p->job);
}

static int run(tn_ctx *ctx, void *arg)
{
    const char *reason[SOUND_STATES - 1];
    for (int i = 0; i < SOUND_STATES - 1; i++)
        reason[i] = sound_state_name((sound_state)(i + 1));
    const train_kind kind = {.name = "audio",
                             .best = "audio.safetensors",
                             .content = "sound",
                             .reason = reason,
                             .reasons = SOUND_STATES - 1,
                             .lengths = true,
                             .examine = examine,
                             .make = make,
                             .fill = fill,
                             .save = save,
                             .open = wt_open};
    const arguments *a = arg;
    program p = {.args = a};
    p.job = (train_job){
        .ctx = ctx, .cmd = &a->cmd, .args = &a->train, .options = a->options, .kind = &kind, .self = &p};
    const int status = train_job_close(&p.job, train(&p));
    for (int i = 0; i < TRAIN_PARTS; i++)
        sounds_free(ctx, &p.sound[i]);
    tn_free(ctx, p.mean);
    tn_free(ctx, p.deviation);
    return status;
}

/* ---- command line ---------------------------------------------------------------------------------- */

static int parse(arguments *a, int argc, char **argv)
{
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
    a->cmd = (cmd_line){
        .program = "train-audio",
        .usage = "--data PATH --out DIR [options]",
        .about = "Learns the audio network from labelled clips: audio.safetensors in --out is what infer\n"
                 "opens, log.csv has a line for each epoch. Defaults are those of Pinto et al. 2020: 200\n"
                 "epochs, batches of 128, learning rate 0.01, patience 15. A run that is interrupted\n"
                 "saves, and goes on with --resume.",
    };
    return train_parse(&a->cmd, &a->train, own, sizeof own / sizeof *own, argc, argv);
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
    arguments a = {.train = train_defaults(200, 128, 15, 1e-2),
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
