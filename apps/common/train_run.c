#include "apps/common/train_run.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- clips ----------------------------------------------------------------------------------------- */

static tn_status fill(void *arg, size_t i, int64_t step, const tn_tensor *out)
{
    const train_feed *f = arg;
    return f->job->kind->fill(f->job->self, f->part, f->clip ? f->clip[i] : i, step, out);
}

static tn_status feed_open(const train_job *j, int part, const size_t *clip, size_t count, train_feed *f)
{
    const train_part *p = &j->part[part];
    *f = (train_feed){.job = j, .part = part, .clip = clip};
    f->label = tn_alloc(j->ctx, count, sizeof *f->label);
    f->steps = tn_alloc(j->ctx, count, sizeof *f->steps);
    if (!f->label || !f->steps)
        return TN_NOMEM;
    for (size_t i = 0; i < count; i++) {
        f->label[i] = p->label[clip ? clip[i] : i];
        f->steps[i] = p->steps[clip ? clip[i] : i];
    }
    f->clips = (nn_clips){.count = count,
                          .label = f->label,
                          .steps = j->kind->lengths ? f->steps : NULL,
                          .fill = fill,
                          .arg = f};
    memcpy(f->clips.size, j->size, sizeof j->size);
    return TN_OK;
}

/* All clips to learn from, or those outside the fold. */
static tn_status take_clips(train_run *r)
{
    const train_job *j = r->job;
    const size_t all = j->part[TRAIN_LEARN].count.clips;
    r->learn = tn_alloc(j->ctx, all, sizeof *r->learn);
    if (!r->learn)
        return TN_NOMEM;
    for (size_t i = 0; i < all; i++)
        if (r->fold < 0 || j->fold[i] != r->fold)
            r->learn[r->learn_count++] = i;
    TN_TRY(feed_open(j, TRAIN_LEARN, r->learn, r->learn_count, &r->feed[TRAIN_LEARN]));
    for (int i = TRAIN_VAL; i < TRAIN_PARTS; i++)
        if (j->part[i].name)
            TN_TRY(feed_open(j, i, NULL, j->part[i].count.clips, &r->feed[i]));
    return TN_OK;
}

static tn_status weigh_classes(train_run *r)
{
    const train_job *j = r->job;
    const int classes = j->manifest.classes;
    size_t *count = tn_zalloc(j->ctx, (size_t)classes, sizeof *count);
    r->class_weight = tn_alloc(j->ctx, (size_t)classes, sizeof *r->class_weight);
    if (count && r->class_weight) {
        for (size_t i = 0; i < r->learn_count; i++)
            count[r->feed[TRAIN_LEARN].label[i]]++;
        train_balance(count, classes, r->learn_count, r->class_weight);
    }
    tn_free(j->ctx, count);
    return count && r->class_weight ? TN_OK : TN_NOMEM;
}

/* ---- making ---------------------------------------------------------------------------------------- */

static tn_status name_files(train_run *r)
{
    const train_job *j = r->job;
    const char *out = j->args->out;
    char name[80];
    if (r->fold < 0) {
        r->out = tn_strdup(j->ctx, out);
    } else {
        snprintf(name, sizeof name, "oof/%d", r->fold + 1);
        r->out = train_path(j->ctx, out, name);
    }
    if (!r->out)
        return TN_NOMEM;
    TN_TRY(train_make_folder(j->ctx, r->out));
    snprintf(name, sizeof name, "%s.checkpoint.safetensors", j->kind->name);
    r->best = train_path(j->ctx, r->out, j->kind->best);
    r->checkpoint = train_path(j->ctx, r->out, name);
    r->log = train_path(j->ctx, r->out, "log.csv");
    return r->best && r->checkpoint && r->log ? TN_OK : TN_NOMEM;
}

/* A checkpoint says which clips its network learns from. */
static void take_settings(train_run *r)
{
    const train_settings *s = &r->job->settings;
    memcpy(r->setting, s->pair, (size_t)s->fixed * sizeof *s->pair);
    r->settings = s->fixed;
    if (r->fold < 0)
        return;
    snprintf(r->fold_text, sizeof r->fold_text, "%d/%d", r->fold + 1, r->job->args->oof);
    r->setting[r->settings++] = (wt_meta){"set.fold", r->fold_text};
}

static tn_status make_trainer(train_run *r)
{
    const train_job *j = r->job;
    nn_train_options options = j->options;
    options.seed = j->cmd->seed;
    options.checkpoint = r->checkpoint;
    options.settings = r->setting;
    options.setting_count = r->settings;
    options.class_weight = r->class_weight;
    options.profile = j->cmd->profile && r->fold < 0;
    return nn_trainer_create(r->graph, &r->net, j->manifest.classes, &options, &r->trainer);
}

/* Where there is no checkpoint yet, a run begins that was killed in its first epoch. */
static tn_status go_on(train_run *r)
{
    const train_job *j = r->job;
    if (!j->args->resume)
        return TN_OK;
    if (access(r->checkpoint, F_OK) != 0) {
        if (r->fold < 0)
            cmd_note(j->cmd, "%s is not there yet: the run begins anew", r->checkpoint);
        return TN_OK;
    }
    TN_TRY(nn_trainer_load(r->trainer, r->checkpoint));
    const nn_train_progress p = nn_trainer_progress(r->trainer);
    if (r->fold < 0)
        cmd_note(j->cmd, "going on after step %lld of epoch %lld", (long long)p.batch,
                 (long long)p.epoch + 1);
    if (p.best_epoch && access(r->best, R_OK) != 0)
        return tn_fail(j->ctx, TN_IO, "%s is missing, the best of epoch %lld", r->best,
                       (long long)p.best_epoch);
    return TN_OK;
}

tn_status train_run_open(train_job *j, int fold, train_run *r)
{
    *r = (train_run){.job = j, .fold = fold};
    TN_TRY(name_files(r));
    TN_TRY(take_clips(r));
    if (j->args->class_weights)
        TN_TRY(weigh_classes(r));
    take_settings(r);
    TN_TRY(j->kind->make(j->self, r->learn, r->learn_count, &r->graph, &r->net));
    TN_TRY(make_trainer(r));
    return go_on(r);
}

void train_run_close(train_run *r)
{
    tn_ctx *ctx = r->job->ctx;
    nn_trainer_destroy(r->trainer);
    tn_graph_destroy(r->graph);
    wt_close(r->file);
    for (int i = 0; i < TRAIN_PARTS; i++) {
        tn_free(ctx, r->feed[i].label);
        tn_free(ctx, r->feed[i].steps);
    }
    tn_free(ctx, r->class_weight);
    tn_free(ctx, r->learn);
    tn_free(ctx, r->lines);
    char *const path[] = {r->out, r->best, r->checkpoint, r->log};
    for (size_t i = 0; i < sizeof path / sizeof *path; i++)
        tn_free(ctx, path[i]);
}

/* ---- log ------------------------------------------------------------------------------------------- */

static const char log_header[] =
    "epoch,loss,accuracy,uar,val_loss,val_accuracy,val_uar,learning_rate,seconds\n";

enum { LOG_LINE = 320 };

/* Takes the lines of earlier epochs from the file that is there, each once; what it lacks stays away. */
static void take_log(train_run *r, int64_t epoch)
{
    FILE *file = fopen(r->log, "r");
    char line[LOG_LINE];
    int64_t last = 0;
    if (!file)
        return;
    while (fgets(line, sizeof line, file)) {
        const int64_t number = strtoll(line, NULL, 10); /* 0 for the header */
        const size_t n = strlen(line);
        if (number <= last || number > epoch || line[n - 1] != '\n')
            continue;
        memcpy(r->lines + r->line_bytes, line, n);
        r->line_bytes += n;
        last = number;
    }
    fclose(file);
}

/* Room for a line of every epoch, done and to come. */
static tn_status begin_log(train_run *r)
{
    const int64_t epoch = nn_trainer_progress(r->trainer).epoch, most = r->job->args->epochs;
    r->lines = tn_alloc(r->job->ctx, (size_t)(epoch > most ? epoch : most) + 1, LOG_LINE);
    if (!r->lines)
        return TN_NOMEM;
    r->line_bytes = strlen(log_header);
    memcpy(r->lines, log_header, r->line_bytes);
    if (epoch > 0)
        take_log(r, epoch);
    return TN_OK;
}

/* Validation's columns are empty where there is none. */
static tn_status add_to_log(train_run *r, const nn_epoch *e, double seconds)
{
    char val[96] = ",,";
    if (!isnan(e->val_loss))
        snprintf(val, sizeof val, "%.9g,%.6f,%.6f", e->val_loss, e->val_accuracy, e->val_uar);
    const int n = snprintf(r->lines + r->line_bytes, LOG_LINE, "%" PRId64 ",%.9g,%.6f,%.6f,%s,%.9g,%.3f\n",
                           e->epoch, e->loss, e->accuracy, e->uar, val, e->rate, seconds);
    r->line_bytes += (size_t)n;
    return train_write_text(r->job->ctx, r->log, r->lines, r->line_bytes);
}

/* ---- training -------------------------------------------------------------------------------------- */

/* Metadata of a model: what is the best epoch so far. It says nothing of how long the run may be, so that it
 * makes no difference where that changed. */
static tn_status save_with(train_run *r, const char *path,
                           tn_status (*save)(void *, tn_graph *, const char *, const wt_meta *, int))
{
    const nn_train_progress p = nn_trainer_progress(r->trainer);
    wt_meta more[sizeof r->setting / sizeof *r->setting + 3];
    char epoch[24], accuracy[32];
    int count = 0;
    snprintf(epoch, sizeof epoch, "%" PRId64, p.best_epoch);
    snprintf(accuracy, sizeof accuracy, "%.6f", p.best_accuracy);
    more[count++] = (wt_meta){"train.version", VALENCE_VERSION};
    more[count++] = (wt_meta){"train.epoch", epoch};
    if (r->job->part[TRAIN_VAL].name)
        more[count++] = (wt_meta){"train.val_accuracy", accuracy};
    for (int i = 0; i < r->settings; i++)
        more[count++] = r->setting[i];
    return save(r->job->self, r->graph, path, more, count);
}

static bool stop(void *arg)
{
    (void)arg;
    return train_interrupted();
}

static void after_step(void *arg, const nn_trainer *trainer)
{
    const train_run *r = arg;
    const nn_train_progress p = nn_trainer_progress(trainer);
    char what[96], fold[48] = "";
    if (r->fold >= 0)
        snprintf(fold, sizeof fold, "fold %s, ", r->fold_text);
    snprintf(what, sizeof what, "%sepoch %lld, loss %.4f", fold, (long long)p.epoch + 1, p.loss);
    report_bar bar = r->bar;
    bar.total = (size_t)r->job->args->epochs * (size_t)p.batches;
    report_bar_show(&bar, (size_t)p.epoch * (size_t)p.batches + (size_t)p.batch, what);
}

static tn_status after_epoch(void *arg, const nn_epoch *e)
{
    train_run *r = arg;
    const double now = report_now(), seconds = now - r->epoch_begun;
    r->epoch_begun = now;
    return add_to_log(r, e, seconds);
}

static tn_status better(void *arg, const nn_epoch *e)
{
    (void)e;
    train_run *r = arg;
    return save_with(r, r->best, r->job->kind->save);
}

static tn_status train(train_run *r)
{
    TN_TRY(begin_log(r));
    const nn_train_hooks hooks = {
        .arg = r, .step = after_step, .stop = stop, .better = better, .epoch = after_epoch};
    r->bar = report_bar_begin(2, r->job->cmd->quiet);
    r->epoch_begun = report_now();
    const nn_clips *val = r->job->part[TRAIN_VAL].name ? &r->feed[TRAIN_VAL].clips : NULL;
    const tn_status status = nn_trainer_run(r->trainer, &r->feed[TRAIN_LEARN].clips, val, &hooks, &r->end);
    report_bar_clear(&r->bar);
    if (status == TN_OK && r->end == NN_TRAIN_INTERRUPTED)
        r->job->stopped = true;
    r->job->begun = true;
    int count;
    const tn_step_info *profile = nn_trainer_profile(r->trainer, &count);
    report_training(r->job->kind->name, profile, count);
    return status;
}

/* The best epoch's weights, and all of the model where these are not. */
static tn_status take_best(train_run *r)
{
    train_job *j = r->job;
    TN_TRY(j->kind->open(j->ctx, r->best, &r->file));
    TN_TRY(nn_trainer_take(r->trainer, r->file));
    if (!j->kind->finish || r->fold >= 0)
        return TN_OK;
    char name[64];
    snprintf(name, sizeof name, "%s.safetensors", j->kind->name);
    char *path = train_path(j->ctx, r->out, name);
    const tn_status status = path ? save_with(r, path, j->kind->finish) : TN_NOMEM;
    tn_free(j->ctx, path);
    return status;
}

tn_status train_run_go(train_run *r)
{
    const tn_status status = train(r);
    if (!nn_trainer_progress(r->trainer).best_epoch)
        return status;
    const tn_status taken = take_best(r);
    return status != TN_OK ? status : taken;
}

tn_status train_run_ask(train_run *r, int part, const size_t *clip, size_t count, double *probability)
{
    train_job *j = r->job;
    train_feed feed;
    tn_status status = feed_open(j, part, clip, count, &feed);
    for (size_t i = 0; status == TN_OK && !j->stopped && i < count; i++) {
        j->stopped = train_interrupted();
        if (!j->stopped)
            status =
                nn_trainer_ask(r->trainer, &feed.clips, i, probability + i * (size_t)j->manifest.classes);
    }
    tn_free(j->ctx, feed.label);
    tn_free(j->ctx, feed.steps);
    return status;
}
