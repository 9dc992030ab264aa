#include "apps/common/train_run.h"
#include "apps/common/train_scores.h"

#include <stdio.h>
#include <string.h>

const data_item *train_item(const train_job *j, int part, size_t clip)
{
    return &j->manifest.item[j->part[part].selection.index[clip]];
}

/* ---- the list -------------------------------------------------------------------------------------- */

tn_status train_job_open(train_job *j)
{
    train_watch(&j->before);
    j->watching = true;
    TN_TRY(train_make_folder(j->ctx, j->args->out));
    TN_TRY(data_manifest_read(j->ctx, j->args->data, NULL, &j->manifest));
    const data_manifest *m = &j->manifest;
    TN_TRY(nn_check_names(j->ctx, m->path, m->class_name, m->classes));
    return nn_scores_check_names(j->ctx, m->path, m->class_name, m->classes);
}

static bool has_split(const data_manifest *manifest, const char *name)
{
    for (size_t i = 0; i < manifest->count; i++)
        if (strcmp(manifest->item[i].split, name) == 0)
            return true;
    return false;
}

static tn_status select_clips(train_job *j, int part, const char *name)
{
    train_part *p = &j->part[part];
    p->name = p->count.name = name;
    TN_TRY((part == TRAIN_TEST ? data_manifest_select : data_manifest_select_labelled)(j->ctx, &j->manifest,
                                                                                       name, &p->selection));
    const size_t n = p->selection.count;
    p->count.of_class = tn_zalloc(j->ctx, (size_t)j->manifest.classes, sizeof *p->count.of_class);
    p->place = tn_alloc(j->ctx, n, sizeof *p->place);
    p->label = tn_alloc(j->ctx, n, sizeof *p->label);
    p->steps = tn_zalloc(j->ctx, n, sizeof *p->steps);
    return p->count.of_class && p->place && p->label && p->steps ? TN_OK : TN_NOMEM;
}

/* Closes the ranks of the clips that are used and counts the others. */
static void take_used(const train_job *j, train_part *p, const int *reason)
{
    size_t n = 0;
    for (size_t i = 0; i < p->selection.count; i++) {
        if (reason[i]) {
            p->count.left_out[reason[i] - 1]++;
            continue;
        }
        const int label = j->manifest.item[p->selection.index[i]].label;
        p->selection.index[n] = p->selection.index[i];
        p->place[n] = i;
        p->label[n++] = label;
        if (label >= 0)
            p->count.of_class[label]++;
    }
    p->count.clips = p->selection.count = n;
}

static tn_status check_part(const train_job *j, int part, size_t all)
{
    const train_part *p = &j->part[part];
    const data_manifest *m = &j->manifest;
    for (int i = 0; i < j->kind->reasons; i++)
        if (p->count.left_out[i])
            cmd_note(j->cmd, "%s: %zu of %zu clips left out: %s", p->name, p->count.left_out[i], all,
                     j->kind->reason[i]);
    for (int i = 0; part == TRAIN_LEARN && i < m->classes; i++)
        if (p->count.of_class[i] == 0)
            return tn_fail(j->ctx, TN_RANGE, "%s: no clip of class %s in split %s has %s to learn from",
                           m->path, m->class_name[i], p->name, j->kind->content);
    if (p->count.clips == 0)
        return tn_fail(j->ctx, TN_RANGE, "%s: no clip of split %s has %s", m->path, p->name,
                       j->kind->content);
    return TN_OK;
}

static tn_status read_part(train_job *j, int part, const char *name)
{
    train_part *p = &j->part[part];
    TN_TRY(select_clips(j, part, name));
    const size_t all = p->selection.count;
    int *reason = tn_zalloc(j->ctx, all, sizeof *reason);
    tn_status status = reason ? j->kind->examine(j->self, part, reason) : TN_NOMEM;
    if (status == TN_OK && !j->stopped) {
        take_used(j, p, reason);
        status = check_part(j, part, all);
    }
    tn_free(j->ctx, reason);
    return status;
}

/* A fold's network must learn each class from the others. */
static tn_status check_fold(const train_job *j, int fold, size_t *left)
{
    const train_part *p = &j->part[TRAIN_LEARN];
    memset(left, 0, (size_t)j->manifest.classes * sizeof *left);
    for (size_t i = 0; i < p->count.clips; i++)
        left[p->label[i]] += j->fold[i] != fold;
    for (int i = 0; i < j->manifest.classes; i++)
        if (left[i] == 0)
            return tn_fail(j->ctx, TN_RANGE,
                           "%s: --oof %d: without fold %d no clip of class %s is left to learn from",
                           j->manifest.path, j->args->oof, fold + 1, j->manifest.class_name[i]);
    return TN_OK;
}

static tn_status deal_folds(train_job *j)
{
    const train_part *p = &j->part[TRAIN_LEARN];
    const int folds = j->args->oof;
    j->fold = tn_alloc(j->ctx, p->count.clips, sizeof *j->fold);
    if (!j->fold)
        return TN_NOMEM;
    TN_TRY(data_manifest_folds(j->ctx, &j->manifest, p->selection.index, p->count.clips, folds, j->cmd->seed,
                               j->fold));
    size_t *left = tn_alloc(j->ctx, (size_t)j->manifest.classes, sizeof *left);
    tn_status status = left ? TN_OK : TN_NOMEM;
    for (int i = 0; status == TN_OK && i < folds; i++)
        status = check_fold(j, i, left);
    tn_free(j->ctx, left);
    return status;
}

tn_status train_job_read(train_job *j)
{
    const char *const name[TRAIN_PARTS] = {j->args->train_split, j->args->val_split, j->args->test_split};
    for (int i = 0; i < TRAIN_PARTS && !j->stopped; i++)
        if (i == TRAIN_LEARN ||
            (strcmp(name[i], "none") != 0 && (i == TRAIN_VAL || has_split(&j->manifest, name[i]))))
            TN_TRY(read_part(j, i, name[i]));
    return j->args->oof && !j->stopped ? deal_folds(j) : TN_OK;
}

uint64_t train_job_hash(const train_job *j,
                        uint64_t (*hash_clip)(const void *self, int part, size_t clip, uint64_t so_far))
{
    uint64_t hash = NN_HASH_BEGIN;
    for (int i = 0; i < j->manifest.classes; i++)
        hash = nn_hash(hash, j->manifest.class_name[i], strlen(j->manifest.class_name[i]) + 1);
    for (int part = TRAIN_LEARN; part <= TRAIN_VAL; part++)
        for (size_t i = 0; i < j->part[part].count.clips; i++) {
            const char *name = train_item(j, part, i)->name;
            hash = nn_hash(hash, name, strlen(name) + 1);
            hash = nn_hash(hash, &j->part[part].label[i], sizeof(int));
            hash = hash_clip(j->self, part, i, hash);
        }
    return hash;
}

/* ---- results --------------------------------------------------------------------------------------- */

static tn_status save_settings(const train_job *j)
{
    train_split split[TRAIN_PARTS];
    int count = 0;
    for (int i = 0; i < TRAIN_PARTS; i++)
        if (j->part[i].name)
            split[count++] = j->part[i].count;
    char *path = train_path(j->ctx, j->args->out, "settings.json");
    const tn_status status = path ? train_save_settings(j->ctx, path, j->cmd->program, j->args, &j->settings,
                                                        j->manifest.class_name, j->manifest.classes, split,
                                                        count, j->kind->reason, j->kind->reasons)
                                  : TN_NOMEM;
    tn_free(j->ctx, path);
    return status;
}

static tn_status save_scores(const train_job *j, int part, const char *name, const double *probability)
{
    char *path = train_path(j->ctx, j->args->out, name);
    const tn_status status =
        path ? train_save_scores(j->ctx, path, &j->manifest, &j->part[part].selection, probability)
             : TN_NOMEM;
    tn_free(j->ctx, path);
    return status;
}

/* Room for what is said of all clips of a part. */
static double *room_for(const train_job *j, int part)
{
    size_t values;
    if (!tn_mul_size(j->part[part].count.clips, (size_t)j->manifest.classes, &values)) {
        tn_fail(j->ctx, TN_NOMEM, "%s: too many scores", j->part[part].name);
        return NULL;
    }
    return tn_alloc(j->ctx, values, sizeof(double));
}

static tn_status score_part(train_job *j, train_run *r, int part)
{
    static const char *const name[TRAIN_PARTS] = {"scores.train.csv", "scores.val.csv", "scores.test.csv"};
    double *probability = room_for(j, part);
    if (!probability)
        return TN_NOMEM;
    tn_status status = train_run_ask(r, part, NULL, j->part[part].count.clips, probability);
    if (status == TN_OK && !j->stopped)
        status = save_scores(j, part, name[part], probability);
    tn_free(j->ctx, probability);
    return status;
}

/* ---- runs ------------------------------------------------------------------------------------------ */

static void tell(const train_job *j, const train_run *r)
{
    const nn_train_progress p = nn_trainer_progress(r->trainer);
    char text[256];
    snprintf(text, sizeof text, "%lld epochs%s, best epoch %lld: %s accuracy %.4f, loss %.4f",
             (long long)p.epoch, r->end == NN_TRAIN_PATIENCE ? " (stopped early)" : "",
             (long long)p.best_epoch, j->part[TRAIN_VAL].name ? "validation" : "training", p.best_accuracy,
             p.best_loss);
    if (r->fold < 0)
        cli_line("%s/%s.safetensors: %s", j->args->out, j->kind->name, text);
    else
        cmd_note(j->cmd, "fold %s: %s", r->fold_text, text);
}

/* The network that learns from all clips, and its scores. */
static tn_status run_all(train_job *j)
{
    train_run r;
    tn_status status = train_run_open(j, -1, &r);
    if (status == TN_OK)
        status = save_settings(j);
    if (status == TN_OK)
        status = train_run_go(&r);
    for (int i = 0; i < TRAIN_PARTS && status == TN_OK && !j->stopped; i++)
        if (j->part[i].name)
            status = score_part(j, &r, i);
    if (status == TN_OK && !j->stopped)
        tell(j, &r);
    train_run_close(&r);
    return status;
}

/* What the network that has not seen the fold says of its clips, to their places in `all`. */
static tn_status ask_fold(train_job *j, train_run *r, double *all)
{
    const size_t clips = j->part[TRAIN_LEARN].count.clips, classes = (size_t)j->manifest.classes;
    size_t *clip = tn_alloc(j->ctx, clips, sizeof *clip), count = 0;
    double *probability = room_for(j, TRAIN_LEARN);
    tn_status status = clip && probability ? TN_OK : TN_NOMEM;
    for (size_t i = 0; status == TN_OK && i < clips; i++)
        if (j->fold[i] == r->fold)
            clip[count++] = i;
    if (status == TN_OK)
        status = train_run_ask(r, TRAIN_LEARN, clip, count, probability);
    for (size_t i = 0; status == TN_OK && !j->stopped && i < count; i++)
        memcpy(all + clip[i] * classes, probability + i * classes, classes * sizeof *all);
    tn_free(j->ctx, probability);
    tn_free(j->ctx, clip);
    return status;
}

static tn_status run_fold(train_job *j, int fold, double *all)
{
    train_run r;
    tn_status status = train_run_open(j, fold, &r);
    if (status == TN_OK)
        status = train_run_go(&r);
    if (status == TN_OK && !j->stopped)
        status = ask_fold(j, &r, all);
    if (status == TN_OK && !j->stopped)
        tell(j, &r);
    train_run_close(&r);
    return status;
}

static tn_status run_folds(train_job *j)
{
    double *all = room_for(j, TRAIN_LEARN);
    tn_status status = all ? TN_OK : TN_NOMEM;
    for (int i = 0; i < j->args->oof && status == TN_OK && !j->stopped; i++)
        status = run_fold(j, i, all);
    if (status == TN_OK && !j->stopped)
        status = save_scores(j, TRAIN_LEARN, "scores.oof.csv", all);
    tn_free(j->ctx, all);
    return status;
}

/* A run that begins anew leaves nothing to be mistaken for its own when it is gone on with. */
static tn_status drop_old_folds(const train_job *j)
{
    for (int i = 0; i < j->args->oof; i++) {
        char name[96];
        snprintf(name, sizeof name, "oof/%d/%s.checkpoint.safetensors", i + 1, j->kind->name);
        TN_TRY(train_remove(j->ctx, j->args->out, name));
    }
    return TN_OK;
}

tn_status train_job_run(train_job *j)
{
    if (!j->args->resume)
        TN_TRY(drop_old_folds(j));
    TN_TRY(run_all(j));
    return j->args->oof && !j->stopped ? run_folds(j) : TN_OK;
}

int train_job_close(train_job *j, tn_status status)
{
    const int how = status != TN_OK ? CLI_FAILED : j->stopped ? TRAIN_INTERRUPTED : CLI_OK;
    if (how == TRAIN_INTERRUPTED)
        cli_warn(j->cmd->program, j->begun
                                      ? "interrupted and saved; the same command with --resume goes on"
                                      : "interrupted before the first step; the same command begins again");
    for (int i = 0; i < TRAIN_PARTS; i++) {
        train_part *p = &j->part[i];
        tn_free(j->ctx, p->count.of_class);
        tn_free(j->ctx, p->place);
        tn_free(j->ctx, p->label);
        tn_free(j->ctx, p->steps);
        tn_free(j->ctx, p->selection.index);
    }
    tn_free(j->ctx, j->fold);
    data_manifest_free(j->ctx, &j->manifest);
    if (j->watching)
        train_unwatch(&j->before);
    return how;
}
