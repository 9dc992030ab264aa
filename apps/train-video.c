/* train-video: learns the video network, or only its head, from labelled clips. */
#include "apps/common/predict.h"
#include "apps/common/train_scores.h"
#include "apps/common/video_args.h"
#include "apps/common/video_source.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { TRAIN, VAL, TEST, PARTS };

/* A run in the making. */
typedef struct job {
    const video_args *args;          /* borrowed */
    tn_ctx *ctx;                     /* same */
    data_manifest manifest;          /* all clips */
    video_part part[PARTS];          /* name NULL: not there */
    data_video_options take;         /* of each clip */
    nn_video_config config;          /* network, with the new head */
    nn_facts facts;                  /* of the model file */
    uint64_t weights_hash;           /* of the bytes of --video-weights */
    train_settings settings;         /* resolved */
    float *class_weight;             /* or NULL */
    tn_graph *head_graph;            /* the new head alone, on features */
    nn_network head_net;             /* its vars */
    wt_file *file;                   /* weights that `graph` borrows, where it is a whole network; or NULL */
    tn_graph *graph;                 /* what is trained: a whole network, or head_graph */
    nn_network net;                  /* its vars */
    video_source source[PARTS];      /* clips for a whole network */
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
    const video_args *a = j->args;
    const char *const name[PARTS] = {a->train.train_split, a->train.val_split, a->train.test_split};
    for (int i = 0; i < PARTS; i++) {
        video_part *p = &j->part[i];
        if ((i != TRAIN && strcmp(name[i], "none") == 0) ||
            (i == TEST && !has_split(&j->manifest, a->train.test_split)))
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

/* What is to be trained on what, `model` being NULL where there are no weights: what these say, unless an
 * option says otherwise. */
static tn_status take_facts(job *j, const nn_model *model)
{
    const video_args *a = j->args;
    j->config = model ? *nn_model_video(model) : nn_video_defaults(1);
    if (j->config.in_channels != 3)
        return tn_fail(j->ctx, TN_SHAPE, "%s: the network takes pictures of %d channels, expected 3",
                       a->weights, j->config.in_channels);
    if (a->width > 0)
        j->config.width = a->width;
    if (a->blocks)
        video_blocks_parse(a->blocks, j->config.blocks);
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
    const video_args *a = j->args;
    const int *block = j->config.blocks;
    train_settings *s = &j->settings;
    char text[64];
    const char *unfreeze = a->unfreeze ? wt_printable(a->unfreeze, text, sizeof text) : "none";
    train_set(s, "data-hash", "%016" PRIx64, hash_data(j));
    train_set(s, "weights-hash", "%016" PRIx64, j->weights_hash);
    train_set(s, "num-frames", "%d", j->take.frames);
    train_set(s, "size", "%d", j->take.width);
    train_set(s, "fps", "%.17g", j->take.fps);
    train_set(s, "unfreeze", "%s", unfreeze);
    if (a->unfreeze) {
        train_set(s, "batch-norm", "%s", a->batch_norm);
        train_set(s, "flip", "%d", a->flip);
        train_set(s, "crop", "%.17g", a->crop);
    }
    train_set(s, "width", "%d", j->config.width);
    train_set(s, "blocks", "%d,%d,%d,%d", block[0], block[1], block[2], block[3]);
    train_set_all(s, &j->args->train, &j->args->options, j->args->cmd.seed);
}

/* ---- networks -------------------------------------------------------------------------------------- */

/* The new head alone, on features. Its values depend on the seed alone. */
static tn_status make_head(job *j)
{
    const int64_t size[2] = {TN_ANY, nn_video_features(&j->config)};
    nn_network *net = &j->head_net;
    TN_TRY(tn_graph_create(j->ctx, &j->head_graph));
    net->input = net->features = tn_input(j->head_graph, "features", 2, size);
    net->logits = nn_video_head(j->head_graph, net->input, &j->config);
    tn_output(net->logits, "logits");
    net->probabilities = tn_softmax(net->logits);
    tn_output(net->probabilities, "probabilities");
    return nn_init(j->head_graph, j->args->cmd.seed);
}

static tn_status copy_head(job *j, tn_graph *whole)
{
    for (int i = 0; i < tn_param_count(j->head_graph); i++) {
        tn_var *from = tn_param_at(j->head_graph, i);
        const tn_tensor in = tn_value(from), out = tn_value(tn_find(whole, tn_var_name(from)));
        if (!out.data)
            return TN_NOMEM;
        tn_copy(&out, &in);
    }
    return TN_OK;
}

static bool is_below(const char *name, const char *prefix)
{
    const size_t n = strlen(prefix);
    return strncmp(name, prefix, n) == 0 && (name[n] == '\0' || name[n] == '.');
}

/* Trains from --unfreeze on; parameters are in the order in which the clip meets them. */
static tn_status unfreeze(job *j)
{
    const video_args *a = j->args;
    const bool all = strcmp(a->unfreeze, "all") == 0, norm = strcmp(a->batch_norm, "train") == 0;
    bool found = all;
    tn_set_trainable(j->graph, "", false);
    for (int i = 0; i < tn_param_count(j->graph); i++) {
        const tn_var *param = tn_param_at(j->graph, i);
        found = found || is_below(tn_var_name(param), a->unfreeze);
        if (found && (norm || !tn_is_buffer(param)))
            tn_set_trainable(j->graph, tn_var_name(param), true);
    }
    if (found)
        return TN_OK;
    char text[64];
    return tn_fail(j->ctx, TN_RANGE,
                   "--unfreeze %s: expected all, conv1, layer1, ... layer4, layer4.0, ... or %s",
                   wt_printable(a->unfreeze, text, sizeof text), j->config.head);
}

static tn_status make_network(job *j)
{
    TN_TRY(make_head(j));
    if (!j->args->unfreeze) {
        j->graph = j->head_graph;
        j->net = j->head_net;
        return TN_OK;
    }
    TN_TRY(tn_graph_create(j->ctx, &j->graph));
    j->net = nn_video_build(j->graph, &j->config);
    TN_TRY(tn_graph_check(j->graph));
    if (j->args->weights) {
        TN_TRY(wt_open(j->ctx, j->args->weights, &j->file));
        TN_TRY(nn_bind(j->graph, j->file, j->config.head));
        TN_TRY(copy_head(j, j->graph));
    } else {
        TN_TRY(nn_init(j->graph, j->args->cmd.seed));
    }
    return unfreeze(j);
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

static nn_clips clips_of(job *j, int part)
{
    video_part *p = &j->part[part];
    nn_clips clips = {.count = p->count.clips, .label = p->label, .fill = fill_features, .arg = p};
    clips.size[0] = nn_video_features(&j->config);
    if (j->args->unfreeze) {
        const int64_t size[4] = {3, j->take.frames, j->take.height, j->take.width};
        memcpy(clips.size, size, sizeof size);
        clips.fill = video_source_fill;
        clips.arg = &j->source[part];
    }
    return clips;
}

/* ---- results --------------------------------------------------------------------------------------- */

/* The head of the best epoch so far: small, so that it can be saved as often as there is a better one. */
static tn_status save_head(job *j)
{
    wt_tensor tensor[4];
    const int count = tn_param_count(j->head_graph);
    for (int i = 0; i < count && i < 4; i++) {
        const tn_var *param = tn_param_at(j->head_graph, i);
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
    tn_status status = nn_bind(j->head_graph, file, NULL);
    for (int i = 0; status == TN_OK && i < tn_param_count(j->head_graph); i++)
        if (!tn_value(tn_param_at(j->head_graph, i)).data) /* a copy, which outlives the file */
            status = TN_NOMEM;
    wt_close(file);
    return status;
}

static tn_status save_network(job *j, tn_graph *whole)
{
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
        status = copy_head(j, whole);
    if (status == TN_OK)
        status = save_network(j, whole);
    tn_graph_destroy(whole);
    wt_close(file);
    return status;
}

static tn_status better(void *arg, const nn_epoch *e)
{
    (void)e;
    job *j = arg;
    return j->args->unfreeze ? save_network(j, j->graph) : save_head(j);
}

/* ---- scores ---------------------------------------------------------------------------------------- */

/* What answers: the plan, or the model. */
typedef struct scorer {
    job *job;        /* borrowed */
    int part;        /* whose clips */
    tn_plan *plan;   /* of the head, for features */
    nn_model *model; /* the whole network that was saved, for frames */
} scorer;

static tn_status run_model(const scorer *by, size_t clip, tn_tensor *out)
{
    job *j = by->job;
    unsigned char *rgb;
    nn_result result;
    TN_TRY(video_source_frames(&j->source[by->part], clip, &rgb));
    const data_clip frames = {rgb, j->take.frames, j->take.height, j->take.width};
    TN_TRY(clip_run_video(j->ctx, by->model, &frames, &result));
    *out = result.probabilities;
    return TN_OK;
}

static void run_head(const scorer *by, size_t clip, tn_tensor *out)
{
    const job *j = by->job;
    const tn_tensor input = tn_plan_value(by->plan, j->head_net.input);
    const tn_tensor in = tn_view(j->part[by->part].features + clip * (size_t)input.size[1], 2, input.size);
    tn_copy(&input, &in);
    tn_plan_forward(by->plan);
    *out = tn_plan_value(by->plan, j->head_net.probabilities);
}

static tn_status ask(void *arg, size_t clip, double *probability)
{
    const scorer *by = arg;
    tn_tensor out;
    if (by->model)
        TN_TRY(run_model(by, clip, &out));
    else
        run_head(by, clip, &out);
    for (int i = 0; i < by->job->config.classes; i++)
        probability[i] = (double)out.data[i];
    return TN_OK;
}

static tn_status score_part(scorer *by, int part, const char *name)
{
    job *j = by->job;
    char *path = train_path(j->ctx, j->args->train.out, name);
    if (!path)
        return TN_NOMEM;
    by->part = part;
    const tn_status status = train_save_scores(j->ctx, path, &j->manifest, &j->part[part].selection, ask, by);
    tn_free(j->ctx, path);
    return status;
}

/* Of the epoch that is kept. */
static tn_status save_scores(job *j)
{
    static const char *const name[PARTS] = {"scores.train.csv", "scores.val.csv", "scores.test.csv"};
    const nn_model_options whole = {.kind = NN_VIDEO};
    const tn_plan_options options = {.mode = TN_INFERENCE};
    const tn_input_shape shape = {.name = "features", .size = {1, nn_video_features(&j->config)}};
    scorer by = {.job = j};
    tn_status status = j->args->unfreeze ? nn_model_open(j->ctx, j->model, &whole, &by.model)
                                         : tn_plan_create(j->head_graph, &options, &shape, 1, &by.plan);
    for (int i = 0; status == TN_OK && i < PARTS; i++)
        if (j->part[i].name)
            status = score_part(&by, i, name[i]);
    nn_model_close(by.model);
    tn_plan_destroy(by.plan);
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

static tn_status open_sources(job *j)
{
    const video_args *a = j->args;
    size_t memory = (size_t)a->memory << 20;
    for (int i = 0; i < PARTS; i++) {
        if (!j->part[i].name)
            continue;
        const video_source_options options = {&j->take, memory, a->cmd.seed, a->flip, a->crop, a->cmd.quiet};
        TN_TRY(video_source_open(j->ctx, &j->part[i], &options, &j->source[i]));
        const size_t used = video_clip_bytes(&j->take) * j->part[i].count.clips;
        memory -= used < memory ? used : memory;
    }
    return TN_OK;
}

static tn_status prepare_clips(job *j, nn_model *model)
{
    TN_TRY(take_facts(j, model));
    j->weights_hash = NN_HASH_BEGIN;
    if (model)
        TN_TRY(video_hash_file(j->ctx, j->args->weights, &j->weights_hash));
    TN_TRY(read_parts(j));
    return j->args->unfreeze ? open_sources(j) : compute_features(j, model);
}

static tn_status prepare(job *j)
{
    const video_args *a = j->args;
    const nn_model_options options = {.kind = NN_VIDEO, .nameless = true};
    nn_model *model = NULL;
    TN_TRY(name_files(j));
    TN_TRY(data_manifest_read(j->ctx, a->train.data, NULL, &j->manifest));
    if (a->weights)
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
    TN_TRY(make_network(j));
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
    const char *best = j->args->unfreeze ? j->model : j->head;
    if (p.best_epoch && access(best, R_OK) != 0)
        return tn_fail(j->ctx, TN_IO, "%s is missing, the best of epoch %lld", best, (long long)p.best_epoch);
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
    const nn_clips clips = clips_of(j, TRAIN), val = clips_of(j, VAL);
    train_run run = {.ctx = j->ctx,
                     .cmd = &j->args->cmd,
                     .trainer = j->trainer,
                     .log_path = j->log,
                     .epochs = j->args->train.epochs,
                     .save = better,
                     .arg = j};
    const tn_status status = train_go(&run, &clips, j->part[VAL].name ? &val : NULL,
                                      nn_trainer_progress(j->trainer).epoch, &j->end);
    if (!nn_trainer_progress(j->trainer).best_epoch)
        return status;
    /* After a failure, too, the best head makes a network. */
    const tn_status saved = j->args->unfreeze ? TN_OK : assemble(j);
    if (status != TN_OK || saved != TN_OK)
        return status != TN_OK ? status : saved;
    return j->end == NN_TRAIN_INTERRUPTED ? TN_OK : save_scores(j);
}

static void free_job(job *j)
{
    nn_trainer_destroy(j->trainer);
    if (j->graph != j->head_graph)
        tn_graph_destroy(j->graph);
    tn_graph_destroy(j->head_graph);
    wt_close(j->file);
    for (int i = 0; i < PARTS; i++) {
        video_source_close(&j->source[i]);
        video_part_free(j->ctx, &j->part[i]);
    }
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

int main(int argc, char **argv)
{
    cli_start();
    video_args a;
    int status = video_args_parse(&a, argc, argv);
    return status == CMD_GO ? cmd_run(&a.cmd, run, &a) : status;
}
