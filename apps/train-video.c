/* train-video: learns the video network, or only its head, from labelled clips. */
#include "apps/common/predict.h"
#include "apps/common/train_job.h"
#include "apps/common/video_args.h"
#include "apps/common/video_source.h"

#include <inttypes.h>
#include <string.h>

/* The program at work. */
typedef struct program {
    train_job job;                    /* what is not its own */
    const video_args *args;           /* borrowed */
    video_part part[TRAIN_PARTS];     /* files of the clips */
    video_source source[TRAIN_PARTS]; /* clips for a whole network */
    data_video_options take;          /* of each clip */
    nn_video_config config;           /* network, with the new head */
    nn_facts facts;                   /* of the model file */
    uint64_t weights_hash;            /* of the bytes of --video-weights */
    wt_file *file;                    /* weights that a whole network borrows, or NULL */
} program;

/* ---- clips ----------------------------------------------------------------------------------------- */

static tn_status examine(void *self, int part, int *reason)
{
    const train_job *j = &((const program *)self)->job;
    const data_selection *all = &j->part[part].selection;
    for (size_t i = 0; i < all->count; i++) {
        const data_item *item = &j->manifest.item[all->index[i]];
        reason[i] = !item->frames && !item->video;
    }
    return TN_OK;
}

/* What is to be trained on what, `model` being NULL where there are no weights: what these say, unless an
 * option says otherwise. */
static tn_status take_facts(program *p, const nn_model *model)
{
    const video_args *a = p->args;
    p->config = model ? *nn_model_video(model) : nn_video_defaults(1);
    if (p->config.in_channels != 3)
        return tn_fail(p->job.ctx, TN_SHAPE, "%s: the network takes pictures of %d channels, expected 3",
                       a->weights, p->config.in_channels);
    if (a->width > 0)
        p->config.width = a->width;
    if (a->blocks)
        video_blocks_parse(a->blocks, p->config.blocks);
    p->config.classes = p->job.manifest.classes;
    p->take = clip_options(model, a->num_frames);
    if (a->size > 0)
        p->take.height = p->take.width = a->size;
    if (a->fps > 0)
        p->take.fps = a->fps;
    p->facts = (nn_facts){.kind = NN_VIDEO,
                          .classes = p->job.manifest.classes,
                          .class_name = p->job.manifest.class_name,
                          .frames = p->take.frames,
                          .size = p->take.width,
                          .fps = p->take.fps};
    return TN_OK;
}

static tn_status extract(program *p, nn_model *model, nn_cache *cache, const char *path)
{
    size_t computed = 0, clips = 0;
    for (int i = 0; i < TRAIN_PARTS && !p->job.stopped; i++) {
        if (!p->part[i].clips)
            continue;
        TN_TRY(video_part_features(p->job.ctx, &p->part[i], model, &p->take, cache, p->args->cmd.quiet,
                                   &computed, &p->job.stopped));
        clips += p->part[i].clips;
    }
    if (!p->job.stopped)
        cmd_note(&p->args->cmd, "features: %zu clips computed, %zu from %s", computed,
                 clips > computed ? clips - computed : 0, path);
    return TN_OK;
}

/* Features of all clips; an interrupted run finds those that it had. */
static tn_status compute_features(program *p, nn_model *model)
{
    nn_cache *cache = NULL;
    char *path = train_path(p->job.ctx, p->args->train.out, "features.cache");
    tn_status status =
        path ? nn_cache_open(p->job.ctx, path, (int)nn_video_features(&p->config), &cache) : TN_NOMEM;
    if (status == TN_OK)
        status = extract(p, model, cache, path);
    const tn_status closed = nn_cache_close(cache);
    tn_free(p->job.ctx, path);
    return status == TN_OK ? closed : status;
}

static tn_status open_sources(program *p)
{
    const video_args *a = p->args;
    size_t memory = (size_t)a->memory << 20;
    for (int i = 0; i < TRAIN_PARTS && !train_interrupted(); i++) {
        if (!p->part[i].clips)
            continue;
        const video_source_options options = {&p->take, memory, a->cmd.seed, a->flip, a->crop, a->cmd.quiet};
        TN_TRY(video_source_open(p->job.ctx, &p->part[i], &options, &p->source[i]));
        const size_t used = video_clip_bytes(&p->take) * p->part[i].clips;
        memory -= used < memory ? used : memory;
    }
    p->job.stopped = train_interrupted();
    return TN_OK;
}

static tn_status read_with(program *p, nn_model *model)
{
    train_job *j = &p->job;
    TN_TRY(take_facts(p, model));
    p->weights_hash = NN_HASH_BEGIN;
    if (model)
        TN_TRY(video_hash_file(j->ctx, p->args->weights, &p->weights_hash));
    TN_TRY(train_job_read(j));
    for (int i = 0; i < TRAIN_PARTS; i++)
        if (j->part[i].name)
            TN_TRY(video_part_open(j->ctx, &j->manifest, j->part[i].selection.index, j->part[i].count.clips,
                                   &p->take, p->weights_hash, &p->part[i]));
    j->stopped = train_interrupted();
    if (j->stopped)
        return TN_OK;
    return p->args->unfreeze ? open_sources(p) : compute_features(p, model);
}

static tn_status read_clips(program *p)
{
    const nn_model_options options = {.kind = NN_VIDEO, .nameless = true};
    nn_model *model = NULL;
    if (p->args->weights)
        TN_TRY(nn_model_open(p->job.ctx, p->args->weights, &options, &model));
    const tn_status status = read_with(p, model);
    nn_model_close(model);
    const int64_t clip[4] = {3, p->take.frames, p->take.height, p->take.width};
    if (p->args->unfreeze)
        memcpy(p->job.size, clip, sizeof clip);
    else
        p->job.size[0] = nn_video_features(&p->config);
    return status;
}

static tn_status fill(void *self, int part, size_t clip, int64_t step, const tn_tensor *out)
{
    program *p = self;
    if (p->args->unfreeze)
        return video_source_fill(&p->source[part], clip, step, out);
    const tn_tensor in = tn_view(p->part[part].features + clip * (size_t)out->size[0], 1, out->size);
    tn_copy(out, &in);
    return TN_OK;
}

/* ---- networks -------------------------------------------------------------------------------------- */

/* The new head alone, on features. Its values depend on the seed alone. */
static tn_status make_head(const program *p, tn_graph **graph, nn_network *net)
{
    const int64_t size[2] = {TN_ANY, nn_video_features(&p->config)};
    TN_TRY(tn_graph_create(p->job.ctx, graph));
    net->input = net->features = tn_input(*graph, "features", 2, size);
    net->logits = nn_video_head(*graph, net->input, &p->config);
    tn_output(net->logits, "logits");
    net->probabilities = tn_softmax(net->logits);
    tn_output(net->probabilities, "probabilities");
    return nn_init(*graph, p->args->cmd.seed);
}

static tn_status copy_head(tn_graph *head, tn_graph *whole)
{
    for (int i = 0; i < tn_param_count(head); i++) {
        tn_var *from = tn_param_at(head, i);
        const tn_tensor in = tn_value(from), out = tn_value(tn_find(whole, tn_var_name(from)));
        if (!in.data || !out.data)
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
static tn_status unfreeze(const program *p, tn_graph *graph)
{
    const video_args *a = p->args;
    const bool all = strcmp(a->unfreeze, "all") == 0, norm = strcmp(a->batch_norm, "train") == 0;
    bool found = all;
    tn_set_trainable(graph, "", false);
    for (int i = 0; i < tn_param_count(graph); i++) {
        const tn_var *param = tn_param_at(graph, i);
        found = found || is_below(tn_var_name(param), a->unfreeze);
        if (found && (norm || !tn_is_buffer(param)))
            tn_set_trainable(graph, tn_var_name(param), true);
    }
    if (found)
        return TN_OK;
    char text[64];
    return tn_fail(p->job.ctx, TN_RANGE,
                   "--unfreeze %s: expected all, conv1, layer1, ... layer4, layer4.0, ... or %s",
                   wt_printable(a->unfreeze, text, sizeof text), p->config.head);
}

/* Weights of the file with a new head. */
static tn_status load_weights(program *p, tn_graph *graph)
{
    tn_graph *head = NULL;
    nn_network net = {0};
    wt_close(p->file); /* that of the network before */
    p->file = NULL;
    TN_TRY(wt_open(p->job.ctx, p->args->weights, &p->file));
    TN_TRY(nn_bind(graph, p->file, p->config.head));
    tn_status status = make_head(p, &head, &net);
    if (status == TN_OK)
        status = copy_head(head, graph);
    tn_graph_destroy(head);
    return status;
}

static tn_status make(void *self, const size_t *clip, size_t count, tn_graph **graph, nn_network *net)
{
    program *p = self;
    (void)clip;
    (void)count;
    *net = (nn_network){0};
    if (!p->args->unfreeze)
        return make_head(p, graph, net);
    TN_TRY(tn_graph_create(p->job.ctx, graph));
    *net = nn_video_build(*graph, &p->config);
    TN_TRY(tn_graph_check(*graph));
    TN_TRY(p->args->weights ? load_weights(p, *graph) : nn_init(*graph, p->args->cmd.seed));
    return unfreeze(p, *graph);
}

/* ---- results --------------------------------------------------------------------------------------- */

/* Small, so that it can be saved as often as there is a better one. */
static tn_status save_head(void *self, tn_graph *head, const char *path, const wt_meta *meta, int count)
{
    const program *p = self;
    wt_tensor tensor[4];
    const int params = tn_param_count(head);
    for (int i = 0; i < params && i < 4; i++) {
        const tn_var *param = tn_param_at(head, i);
        tensor[i] = (wt_tensor){.name = tn_var_name(param),
                                .dtype = WT_F32,
                                .rank = tn_var_rank(param),
                                .data = tn_value_const(param)};
        memcpy(tensor[i].size, tn_var_size(param), (size_t)tensor[i].rank * sizeof *tensor[i].size);
    }
    return nn_checkpoint_save(p->job.ctx, path, tensor, params, meta, count);
}

static tn_status save_network(void *self, tn_graph *graph, const char *path, const wt_meta *meta, int count)
{
    const program *p = self;
    return nn_save(graph, path, &p->config, NULL, &p->facts, meta, count);
}

/* The frozen network with the best head. */
static tn_status assemble(void *self, tn_graph *head, const char *path, const wt_meta *meta, int count)
{
    program *p = self;
    wt_file *file;
    tn_graph *whole = NULL;
    TN_TRY(wt_open(p->job.ctx, p->args->weights, &file));
    tn_status status = tn_graph_create(p->job.ctx, &whole);
    if (status == TN_OK) {
        nn_video_build(whole, &p->config);
        status = nn_bind(whole, file, p->config.head);
    }
    if (status == TN_OK)
        status = copy_head(head, whole);
    if (status == TN_OK)
        status = save_network(self, whole, path, meta, count);
    tn_graph_destroy(whole);
    wt_close(file);
    return status;
}

/* ---- the run --------------------------------------------------------------------------------------- */

static uint64_t hash_clip(const void *self, int part, size_t clip, uint64_t hash)
{
    const program *p = self;
    return nn_hash(hash, &p->part[part].key[clip], sizeof p->part[part].key[clip]);
}

static void settle(program *p)
{
    const video_args *a = p->args;
    const int *block = p->config.blocks;
    train_settings *s = &p->job.settings;
    char text[64];
    const char *unfrozen = a->unfreeze ? wt_printable(a->unfreeze, text, sizeof text) : "none";
    train_set(s, "data-hash", "%016" PRIx64, train_job_hash(&p->job, hash_clip));
    train_set(s, "weights-hash", "%016" PRIx64, p->weights_hash);
    train_set(s, "num-frames", "%d", p->take.frames);
    train_set(s, "size", "%d", p->take.width);
    train_set(s, "fps", "%.17g", p->take.fps);
    train_set(s, "unfreeze", "%s", unfrozen);
    if (a->unfreeze) {
        train_set(s, "batch-norm", "%s", a->batch_norm);
        train_set(s, "flip", "%d", a->flip);
        train_set(s, "crop", "%.17g", a->crop);
    }
    train_set(s, "width", "%d", p->config.width);
    train_set(s, "blocks", "%d,%d,%d,%d", block[0], block[1], block[2], block[3]);
    train_set_all(s, &a->train, &a->options, a->cmd.seed);
}

static tn_status train(program *p)
{
    TN_TRY(train_job_open(&p->job));
    TN_TRY(read_clips(p));
    if (p->job.stopped)
        return TN_OK;
    settle(p);
    return train_job_run(&p->job);
}

static int run(tn_ctx *ctx, void *arg)
{
    static const char *const reason[] = {"without frames"};
    const video_args *a = arg;
    train_kind kind = {.name = "video",
                       .best = "video.head.safetensors",
                       .content = "frames",
                       .reason = reason,
                       .reasons = 1,
                       .examine = examine,
                       .make = make,
                       .fill = fill,
                       .save = save_head,
                       .open = nn_checkpoint_open,
                       .finish = assemble};
    if (a->unfreeze) {
        kind.best = "video.safetensors";
        kind.save = save_network;
        kind.open = wt_open;
        kind.finish = NULL;
    }
    program p = {.args = a};
    p.job = (train_job){
        .ctx = ctx, .cmd = &a->cmd, .args = &a->train, .options = a->options, .kind = &kind, .self = &p};
    /* One clip alone has no variance where the last layer leaves one value a channel of it. */
    if (a->unfreeze && strcmp(a->batch_norm, "train") == 0)
        p.job.options.least = 2;
    const int status = train_job_close(&p.job, train(&p));
    wt_close(p.file);
    for (int i = 0; i < TRAIN_PARTS; i++) {
        video_source_close(&p.source[i]);
        video_part_free(ctx, &p.part[i]);
    }
    return status;
}

int main(int argc, char **argv)
{
    cli_start();
    video_args a;
    int status = video_args_parse(&a, argc, argv);
    return status == CMD_GO ? cmd_run(&a.cmd, run, &a) : status;
}
