/* train-video: learns the video network, or only its head, from labelled clips. */
#include "apps/common/predict.h"
#include "apps/common/video_clips.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

typedef struct arguments {
    cmd_line cmd;             /* common options */
    train_args train;         /* those of every training */
    const char *weights;      /* --video-weights */
    const char *test_split;   /* --test-split; it may be missing unless it was asked for */
    int num_frames, size;     /* --num-frames, --size; 0: as the weights say */
    double fps;               /* --fps; 0: as the weights say */
    nn_train_options options; /* what all of it comes to */
} arguments;

enum { TRAIN, VAL, TEST, PARTS };

/* A run in the making. */
typedef struct job {
    const arguments *args;           /* borrowed */
    tn_ctx *ctx;                     /* same */
    data_manifest manifest;          /* all clips */
    video_part part[PARTS];          /* name NULL: not there */
    data_video_options take;         /* of each clip */
    nn_video_config config;          /* network, with the new head */
    nn_facts facts;                  /* of the model file */
    uint64_t weights_hash;           /* of the bytes of --video-weights */
    train_settings settings;         /* resolved */
    float *class_weight;             /* or NULL */
    tn_graph *graph;                 /* the head alone */
    nn_network net;                  /* its vars */
    nn_trainer *trainer;             /* run */
    nn_train_end end;                /* how it ended */
    char *model, *head, *checkpoint; /* paths */
    char *log, *json, *cache;        /* same */
} job;

/* ---- clips ----------------------------------------------------------------------------------------- */

static bool has_split(const data_manifest *manifest, const char *name)
{
    for (size_t i = 0; i < manifest->count; i++)
        if (strcmp(manifest->item[i].split, name) == 0)
            return true;
    return false;
}

static tn_status read_parts(job *j)
{
    const arguments *a = j->args;
    const char *const name[PARTS] = {a->train.train_split, a->train.val_split, a->test_split};
    for (int i = 0; i < PARTS; i++) {
        video_part *p = &j->part[i];
        if ((i != TRAIN && strcmp(name[i], "none") == 0) ||
            (i == TEST && !has_split(&j->manifest, a->test_split)))
            continue;
        p->name = name[i];
        TN_TRY(video_part_read(j->ctx, &j->manifest, &j->take, j->weights_hash, i != TEST, i == TRAIN, p));
        if (p->count.left_out[0])
            cmd_note(&a->cmd, "%s: %zu of %zu clips left out: %s", p->name, p->count.left_out[0],
                     p->count.left_out[0] + p->count.clips, video_part_reason);
    }
    return TN_OK;
}

static tn_status extract(job *j, nn_model *model, nn_cache *cache, bool *stopped)
{
    size_t computed = 0, clips = 0;
    for (int i = 0; i < PARTS && !*stopped; i++) {
        if (!j->part[i].name)
            continue;
        TN_TRY(video_part_features(j->ctx, &j->part[i], model, &j->take, cache, j->args->cmd.quiet, &computed,
                                   stopped));
        clips += j->part[i].count.clips;
    }
    if (!*stopped)
        cmd_note(&j->args->cmd, "features: %zu clips computed, %zu from %s", computed,
                 clips > computed ? clips - computed : 0, j->cache);
    return TN_OK;
}

/* Features of all clips; an interrupted run finds those that it had. */
static tn_status compute_features(job *j, nn_model *model)
{
    nn_cache *cache;
    bool stopped = false;
    TN_TRY(nn_cache_open(j->ctx, j->cache, (int)nn_video_features(&j->config), &cache));
    train_signals before;
    train_watch(&before);
    tn_status status = extract(j, model, cache, &stopped);
    train_unwatch(&before);
    const tn_status closed = nn_cache_close(cache);
    if (stopped)
        j->end = NN_TRAIN_INTERRUPTED;
    return status == TN_OK ? closed : status;
}

/* ---- settings -------------------------------------------------------------------------------------- */

/* What the weights say of clips, unless an option says otherwise. */
static tn_status take_facts(job *j, const nn_model *model)
{
    const arguments *a = j->args;
    j->config = *nn_model_video(model);
    if (j->config.in_channels != 3)
        return tn_fail(j->ctx, TN_SHAPE, "%s: the network takes pictures of %d channels, expected 3",
                       a->weights, j->config.in_channels);
    j->config.classes = j->manifest.classes;
    j->take = clip_options(model, a->num_frames);
    if (a->size > 0)
        j->take.height = j->take.width = a->size;
    if (a->fps > 0)
        j->take.fps = a->fps;
    j->facts = (nn_facts){.kind = NN_VIDEO,
                          .classes = j->manifest.classes,
                          .class_name = j->manifest.class_name,
                          .frames = j->take.frames,
                          .size = j->take.width,
                          .fps = j->take.fps};
    return TN_OK;
}

/* Over what is learnt from: classes, and of each clip name, label, files and what is taken of them. */
static uint64_t hash_data(const job *j)
{
    uint64_t hash = NN_HASH_BEGIN;
    for (int i = 0; i < j->manifest.classes; i++)
        hash = nn_hash(hash, j->manifest.class_name[i], strlen(j->manifest.class_name[i]) + 1);
    for (int i = TRAIN; i <= VAL; i++)
        for (size_t k = 0; k < j->part[i].count.clips; k++) {
            const video_part *p = &j->part[i];
            const char *name = video_part_item(p, k)->name;
            hash = nn_hash(hash, name, strlen(name) + 1);
            hash = nn_hash(hash, &p->label[k], sizeof p->label[k]);
            hash = nn_hash(hash, &p->key[k], sizeof p->key[k]);
        }
    return hash;
}

static void settle(job *j)
{
    train_settings *s = &j->settings;
    train_set(s, "data-hash", "%016" PRIx64, hash_data(j));
    train_set(s, "weights-hash", "%016" PRIx64, j->weights_hash);
    train_set(s, "num-frames", "%d", j->take.frames);
    train_set(s, "size", "%d", j->take.width);
    train_set(s, "fps", "%.17g", j->take.fps);
    train_set_all(s, &j->args->train, &j->args->options, j->args->cmd.seed);
}

/* ---- networks -------------------------------------------------------------------------------------- */

/* The new head alone, on features. Its values depend on the seed alone. */
static tn_status make_head(job *j)
{
    const int64_t size[2] = {TN_ANY, nn_video_features(&j->config)};
    TN_TRY(tn_graph_create(j->ctx, &j->graph));
    j->net.input = j->net.features = tn_input(j->graph, "features", 2, size);
    j->net.logits = nn_video_head(j->graph, j->net.input, &j->config);
    tn_output(j->net.logits, "logits");
    j->net.probabilities = tn_softmax(j->net.logits);
    tn_output(j->net.probabilities, "probabilities");
    return nn_init(j->graph, j->args->cmd.seed);
}

static tn_status make_trainer(job *j)
{
    nn_train_options options = j->args->options;
    options.seed = j->args->cmd.seed;
    options.checkpoint = j->checkpoint;
    options.settings = j->settings.pair;
    options.setting_count = j->settings.fixed;
    options.class_weight = j->class_weight;
    return nn_trainer_create(j->graph, &j->net, j->config.classes, &options, &j->trainer);
}

static tn_status fill_features(void *arg, size_t clip, int64_t step, const tn_tensor *out)
{
    (void)step;
    const video_part *p = arg;
    const tn_tensor in = tn_view(p->features + clip * (size_t)out->size[0], 1, out->size);
    tn_copy(out, &in);
    return TN_OK;
}

static nn_clips clips_of(const job *j, video_part *p)
{
    nn_clips clips = {.count = p->count.clips, .label = p->label, .fill = fill_features, .arg = p};
    clips.size[0] = nn_video_features(&j->config);
    return clips;
}

/* ---- results --------------------------------------------------------------------------------------- */

/* The head of the best epoch so far: small, so that it can be saved as often as there is a better one. */
static tn_status save_head(void *arg, const nn_epoch *e)
{
    (void)e;
    job *j = arg;
    wt_tensor tensor[4];
    const int count = tn_param_count(j->graph);
    for (int i = 0; i < count && i < 4; i++) {
        const tn_var *param = tn_param_at(j->graph, i);
        tensor[i] = (wt_tensor){.name = tn_var_name(param),
                                .dtype = WT_F32,
                                .rank = tn_var_rank(param),
                                .data = tn_value_const(param)};
        memcpy(tensor[i].size, tn_var_size(param), (size_t)tensor[i].rank * sizeof *tensor[i].size);
    }
    return nn_checkpoint_save(j->ctx, j->head, tensor, count, j->settings.pair, j->settings.fixed);
}

/* Takes the best epoch's head back into the graph. */
static tn_status load_head(job *j)
{
    wt_file *file;
    TN_TRY(nn_checkpoint_open(j->ctx, j->head, &file));
    tn_status status = nn_bind(j->graph, file, NULL);
    for (int i = 0; status == TN_OK && i < tn_param_count(j->graph); i++)
        if (!tn_value(tn_param_at(j->graph, i)).data) /* a copy, which outlives the file */
            status = TN_NOMEM;
    wt_close(file);
    return status;
}

static tn_status save_network(job *j, tn_graph *whole)
{
    for (int i = 0; i < tn_param_count(j->graph); i++) {
        tn_var *from = tn_param_at(j->graph, i);
        const tn_tensor in = tn_value(from), out = tn_value(tn_find(whole, tn_var_name(from)));
        if (!out.data)
            return TN_NOMEM;
        tn_copy(&out, &in);
    }
    const nn_train_progress p = nn_trainer_progress(j->trainer);
    wt_meta more[sizeof j->settings.pair / sizeof j->settings.pair[0] + 3];
    char epoch[24], accuracy[32];
    int count = 0;
    snprintf(epoch, sizeof epoch, "%" PRId64, p.best_epoch);
    snprintf(accuracy, sizeof accuracy, "%.6f", p.best_accuracy);
    more[count++] = (wt_meta){"train.version", VALENCE_VERSION};
    more[count++] = (wt_meta){"train.epoch", epoch};
    if (j->part[VAL].name)
        more[count++] = (wt_meta){"train.val_accuracy", accuracy};
    for (int i = 0; i < j->settings.fixed; i++)
        more[count++] = j->settings.pair[i];
    return nn_save(whole, j->model, &j->config, NULL, &j->facts, more, count);
}

/* The frozen network with the best head. */
static tn_status assemble(job *j)
{
    wt_file *file;
    tn_graph *whole = NULL;
    TN_TRY(load_head(j));
    TN_TRY(wt_open(j->ctx, j->args->weights, &file));
    tn_status status = tn_graph_create(j->ctx, &whole);
    if (status == TN_OK) {
        nn_video_build(whole, &j->config);
        status = nn_bind(whole, file, j->config.head);
    }
    if (status == TN_OK)
        status = save_network(j, whole);
    tn_graph_destroy(whole);
    wt_close(file);
    return status;
}

/* What the best head says of a clip. */
static tn_status score(job *j, tn_plan *plan, const video_part *p, size_t clip, nn_score *out, double *value)
{
    const data_item *item = video_part_item(p, clip);
    const int classes = j->config.classes;
    const int64_t size[2] = {1, nn_video_features(&j->config)};
    const tn_tensor in = tn_view(p->features + clip * (size_t)size[1], 2, size),
                    input = tn_plan_value(plan, j->net.input);
    tn_copy(&input, &in);
    tn_plan_forward(plan);
    const float *probability = tn_plan_value(plan, j->net.probabilities).data;
    for (int i = 0; i < classes; i++)
        value[i] = (double)probability[i];
    *out = (nn_score){.name = item->name,
                      .label = item->label,
                      .source = item->source ? item->source : "",
                      .faces = item->faces,
                      .split = item->split,
                      .probability = value};
    nn_largest(probability, classes, 1, &out->predicted);
    return TN_OK;
}

static tn_status score_part(job *j, tn_plan *plan, const video_part *p, const char *name)
{
    const size_t classes = (size_t)j->config.classes, clips = p->count.clips;
    char *path = train_path(j->ctx, j->args->train.out, name);
    size_t values = 0;
    const bool fits = tn_mul_size(clips, classes, &values);
    double *value = fits ? tn_alloc(j->ctx, values, sizeof *value) : NULL;
    nn_score *row = tn_zalloc(j->ctx, clips, sizeof *row);
    tn_status status = path && value && row ? TN_OK : tn_fail(j->ctx, TN_NOMEM, "no room for scores");
    for (size_t i = 0; status == TN_OK && i < clips; i++)
        status = score(j, plan, p, i, &row[i], value + i * classes);
    const nn_scores scores = {.classes = j->config.classes,
                              .class_name = (const char **)j->manifest.class_name,
                              .count = clips,
                              .row = row};
    if (status == TN_OK)
        status = nn_scores_write(j->ctx, path, &scores);
    tn_free(j->ctx, row);
    tn_free(j->ctx, value);
    tn_free(j->ctx, path);
    return status;
}

static tn_status save_scores(job *j)
{
    const tn_plan_options options = {.mode = TN_INFERENCE};
    const tn_input_shape shape = {.name = "features", .size = {1, nn_video_features(&j->config)}};
    tn_plan *plan;
    TN_TRY(tn_plan_create(j->graph, &options, &shape, 1, &plan));
    static const char *const name[PARTS] = {"scores.train.csv", "scores.val.csv", "scores.test.csv"};
    tn_status status = TN_OK;
    for (int i = 0; i < PARTS && status == TN_OK; i++)
        if (j->part[i].name)
            status = score_part(j, plan, &j->part[i], name[i]);
    tn_plan_destroy(plan);
    return status;
}

/* ---- the run --------------------------------------------------------------------------------------- */

static tn_status name_files(job *j)
{
    const char *out = j->args->train.out;
    TN_TRY(train_make_folder(j->ctx, out));
    j->model = train_path(j->ctx, out, "video.safetensors");
    j->head = train_path(j->ctx, out, "video.head.safetensors");
    j->checkpoint = train_path(j->ctx, out, "video.checkpoint.safetensors");
    j->log = train_path(j->ctx, out, "log.csv");
    j->json = train_path(j->ctx, out, "settings.json");
    j->cache = train_path(j->ctx, out, "features.cache");
    return j->model && j->head && j->checkpoint && j->log && j->json && j->cache ? TN_OK : TN_NOMEM;
}

static tn_status prepare_clips(job *j, nn_model *model)
{
    TN_TRY(take_facts(j, model));
    j->weights_hash = NN_HASH_BEGIN;
    TN_TRY(video_hash_file(j->ctx, j->args->weights, &j->weights_hash));
    TN_TRY(read_parts(j));
    return compute_features(j, model);
}

static tn_status prepare(job *j)
{
    const arguments *a = j->args;
    const nn_model_options options = {.kind = NN_VIDEO, .nameless = true};
    nn_model *model;
    TN_TRY(name_files(j));
    TN_TRY(data_manifest_read(j->ctx, a->train.data, NULL, &j->manifest));
    TN_TRY(nn_model_open(j->ctx, a->weights, &options, &model));
    const tn_status status = prepare_clips(j, model);
    nn_model_close(model);
    if (status != TN_OK || j->end == NN_TRAIN_INTERRUPTED)
        return status;
    if (a->train.class_weights) {
        const train_split *split = &j->part[TRAIN].count;
        j->class_weight = tn_alloc(j->ctx, (size_t)j->manifest.classes, sizeof *j->class_weight);
        if (!j->class_weight)
            return TN_NOMEM;
        train_balance(split->of_class, j->manifest.classes, split->clips, j->class_weight);
    }
    settle(j);
    TN_TRY(make_head(j));
    return make_trainer(j);
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
    if (p.best_epoch && access(j->head, R_OK) != 0)
        return tn_fail(j->ctx, TN_IO, "%s is missing, the head of epoch %lld", j->head,
                       (long long)p.best_epoch);
    return TN_OK;
}

static tn_status save_settings(const job *j)
{
    train_split split[PARTS];
    int count = 0;
    for (int i = 0; i < PARTS; i++)
        if (j->part[i].name)
            split[count++] = j->part[i].count;
    return train_save_settings(j->ctx, j->json, j->args->cmd.program, &j->args->train, &j->settings,
                               j->manifest.class_name, j->manifest.classes, split, count, &video_part_reason,
                               1);
}

static void tell(const job *j)
{
    const nn_train_progress p = nn_trainer_progress(j->trainer);
    printf("%s: %lld epochs%s, best epoch %lld: %s accuracy %.4f, loss %.4f\n", j->model, (long long)p.epoch,
           j->end == NN_TRAIN_PATIENCE ? " (stopped early)" : "", (long long)p.best_epoch,
           j->part[VAL].name ? "validation" : "training", p.best_accuracy, p.best_loss);
}

static tn_status train(job *j)
{
    TN_TRY(prepare(j));
    if (j->end == NN_TRAIN_INTERRUPTED)
        return TN_OK;
    TN_TRY(go_on(j));
    TN_TRY(save_settings(j));
    const nn_clips clips = clips_of(j, &j->part[TRAIN]), val = clips_of(j, &j->part[VAL]);
    train_run run = {.ctx = j->ctx,
                     .cmd = &j->args->cmd,
                     .trainer = j->trainer,
                     .log_path = j->log,
                     .epochs = j->args->train.epochs,
                     .save = save_head,
                     .arg = j};
    const tn_status status = train_go(&run, &clips, j->part[VAL].name ? &val : NULL,
                                      nn_trainer_progress(j->trainer).epoch, &j->end);
    if (!nn_trainer_progress(j->trainer).best_epoch)
        return status;
    /* After a failure, too, the best head makes a network. */
    const tn_status saved = assemble(j);
    if (status != TN_OK || saved != TN_OK)
        return status != TN_OK ? status : saved;
    return save_scores(j);
}

static void free_job(job *j)
{
    nn_trainer_destroy(j->trainer);
    tn_graph_destroy(j->graph);
    for (int i = 0; i < PARTS; i++)
        video_part_free(j->ctx, &j->part[i]);
    tn_free(j->ctx, j->class_weight);
    char *const path[] = {j->model, j->head, j->checkpoint, j->log, j->json, j->cache};
    for (size_t i = 0; i < sizeof path / sizeof *path; i++)
        tn_free(j->ctx, path[i]);
    data_manifest_free(j->ctx, &j->manifest);
}

static int run(tn_ctx *ctx, void *arg)
{
    job j = {.args = arg, .ctx = ctx, .end = NN_TRAIN_EPOCHS};
    int status = train(&j) == TN_OK ? CLI_OK : CLI_FAILED;
    if (status == CLI_OK && j.end == NN_TRAIN_INTERRUPTED) {
        cli_warn(j.args->cmd.program, "interrupted and saved; the same command with --resume goes on");
        status = TRAIN_INTERRUPTED;
    } else if (status == CLI_OK) {
        tell(&j);
    }
    free_job(&j);
    return status;
}

/* ---- command line ---------------------------------------------------------------------------------- */

static int parse(arguments *a, int argc, char **argv)
{
    cmd_option options[TRAIN_OPTIONS + 8];
    int count = train_options_of(&a->train, options);
    const cmd_option own[] = {
        cmd_text("video-weights", "FILE", "the network to begin with", &a->weights),
        cmd_text("test-split", "NAME",
                 "clips that are only scored, if there are any; none: no\n(default: test)", &a->test_split),
        cmd_int("num-frames", "N", "frames of a clip (default: as the weights say, else 10)", &a->num_frames,
                1, 4096),
        cmd_int("size", "N", "height and width of a frame (default: as the weights\nsay, else 224)", &a->size,
                8, 1024),
        cmd_number("fps", "F",
                   "of video files: frames a second (default: as the weights\nsay, else spread evenly)",
                   &a->fps, 1e-3, 1e3),
    };
    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        options[count++] = own[i];
    a->cmd = (cmd_line){
        .program = "train-video",
        .usage = "--data PATH --out DIR --video-weights FILE [options]",
        .about =
            "Learns a new head of the video network from labelled clips: video.safetensors in --out is\n"
            "what infer opens, log.csv has a line for each epoch. Defaults are those of Pinto et al. 2020.\n"
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
    const int status = train_check(a->cmd.program, &a->train, &a->options);
    if (status != CMD_GO)
        return status;
    if (!a->weights)
        return cli_usage(a->cmd.program, "expected --video-weights");
    return CMD_GO;
}

int main(int argc, char **argv)
{
    cli_start();
    arguments a = {.train = {.train_split = "train",
                             .val_split = "val",
                             .epochs = 250,
                             .batch = 32,
                             .patience = 0,
                             .optimizer = "adam",
                             .schedule = "constant",
                             .lr = 1e-5,
                             .momentum = 0.9,
                             .step_every = 30,
                             .step_factor = 0.1},
                   .test_split = "test"};
    int status = parse(&a, argc, argv);
    if (status == CMD_GO)
        status = check(&a);
    return status == CMD_GO ? cmd_run(&a.cmd, run, &a) : status;
}
