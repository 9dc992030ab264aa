#include "apps/common/fusion_rows.h"

#include <stdlib.h>
#include <string.h>

const char *const fusion_reason[FUSION_REASONS] = {"without video scores", "without audio scores",
                                                   "without a label"};

/* ---- joining --------------------------------------------------------------------------------------- */

static tn_status check_classes(tn_ctx *ctx, const nn_scores *video, const nn_scores *audio)
{
    if (video->classes != audio->classes)
        return tn_fail(ctx, TN_FORMAT, "%s has %d classes, %s has %d", video->path, video->classes,
                       audio->path, audio->classes);
    for (int k = 0; k < video->classes; k++)
        if (strcmp(video->class_name[k], audio->class_name[k]) != 0)
            return tn_fail(ctx, TN_FORMAT, "class %d is %.60s in %s but %.60s in %s: both need one order",
                           k + 1, video->class_name[k], video->path, audio->class_name[k], audio->path);
    return TN_OK;
}

static int by_name(const void *a, const void *b)
{
    const nn_score *const *x = a, *const *y = b;
    return strcmp((*x)->name, (*y)->name);
}

/* What one clip's two rows come to. What only one of them knows is taken from it. */
static tn_status join_row(tn_ctx *ctx, const fusion_rows *r, const nn_score *v, const nn_score *a,
                          nn_score *out)
{
    const nn_scores *video = &r->video, *audio = &r->audio;
    if (v->label >= 0 && a->label >= 0 && v->label != a->label)
        return tn_fail(ctx, TN_FORMAT, "clip \"%.100s\" is labelled %.60s in %s:%ld but %.60s in %s:%ld",
                       v->name, video->class_name[v->label], video->path, v->line,
                       audio->class_name[a->label], audio->path, a->line);
    if (*v->split && *a->split && strcmp(v->split, a->split) != 0)
        return tn_fail(ctx, TN_FORMAT, "clip \"%.100s\" is of split %.60s in %s:%ld but %.60s in %s:%ld",
                       v->name, v->split, video->path, v->line, a->split, audio->path, a->line);
    *out = *v;
    out->probability = NULL;
    if (v->label < 0)
        out->label = a->label;
    if (*v->source == '\0')
        out->source = a->source;
    if (*v->split == '\0')
        out->split = a->split;
    if (v->faces < 0)
        out->faces = a->faces;
    return TN_OK;
}

static void round_scores(const double *probability, int classes, double *out)
{
    for (int k = 0; k < classes; k++)
        out[k] = (double)(float)probability[k];
}

/* `sorted` are the audio's rows by name. */
static tn_status join(tn_ctx *ctx, fusion_rows *r, bool labelled, const nn_score **sorted)
{
    const int k = r->classes;
    size_t matched = 0;
    for (size_t i = 0; i < r->audio.count; i++)
        sorted[i] = &r->audio.row[i];
    qsort(sorted, r->audio.count, sizeof *sorted, by_name);
    for (size_t i = 0; i < r->video.count; i++) {
        const nn_score *v = &r->video.row[i],
                       **found = bsearch(&v, sorted, r->audio.count, sizeof *sorted, by_name);
        matched += found != NULL;
        if (!found || !(*found)->probability || !v->probability) {
            r->left_out[v->probability ? FUSION_NO_AUDIO : FUSION_NO_VIDEO]++;
            continue;
        }
        TN_TRY(join_row(ctx, r, v, *found, &r->row[r->count]));
        if (labelled && r->row[r->count].label < 0) {
            r->left_out[FUSION_NO_LABEL]++;
            continue;
        }
        double *value = r->value + r->count++ * 2 * (size_t)k;
        round_scores(v->probability, k, value);
        round_scores((*found)->probability, k, value + k);
    }
    r->left_out[FUSION_NO_VIDEO] += r->audio.count - matched;
    return TN_OK;
}

tn_status fusion_rows_read(tn_ctx *ctx, const char *name, const char *video, const char *audio, bool labelled,
                           fusion_rows *out)
{
    *out = (fusion_rows){.name = name};
    TN_TRY(nn_scores_read(ctx, video, &out->video));
    TN_TRY(nn_scores_read(ctx, audio, &out->audio));
    TN_TRY(check_classes(ctx, &out->video, &out->audio));
    out->classes = out->video.classes;
    /* Not empty, so that there is something to point to. */
    out->row = tn_zalloc(ctx, out->video.count + 1, sizeof *out->row);
    out->value = tn_alloc(ctx, (out->video.count + 1) * (size_t)out->classes, 2 * sizeof *out->value);
    out->probability = tn_alloc(ctx, (out->video.count + 1) * (size_t)out->classes, sizeof *out->probability);
    const nn_score **sorted = tn_alloc(ctx, out->audio.count + 1, sizeof(const nn_score *));
    const tn_status status =
        out->row && out->value && out->probability && sorted ? join(ctx, out, labelled, sorted) : TN_NOMEM;
    tn_free(ctx, sorted);
    return status;
}

void fusion_rows_free(tn_ctx *ctx, fusion_rows *rows)
{
    nn_scores_free(ctx, &rows->video);
    nn_scores_free(ctx, &rows->audio);
    tn_free(ctx, rows->row);
    tn_free(ctx, rows->value);
    tn_free(ctx, rows->probability);
    *rows = (fusion_rows){0};
}

uint64_t fusion_rows_hash(const fusion_rows *r, uint64_t hash)
{
    const size_t width = 2 * (size_t)r->classes;
    for (int k = 0; k < r->classes; k++)
        hash = nn_hash(hash, r->video.class_name[k], strlen(r->video.class_name[k]) + 1);
    for (size_t i = 0; i < r->count; i++) {
        hash = nn_hash(hash, r->row[i].name, strlen(r->row[i].name) + 1);
        hash = nn_hash(hash, &r->row[i].label, sizeof r->row[i].label);
        hash = nn_hash(hash, r->value + i * width, width * sizeof *r->value);
    }
    return hash;
}

/* ---- machines -------------------------------------------------------------------------------------- */

tn_status fusion_data(tn_ctx *ctx, const fusion_rows *const *rows, int count, const int *fold, int held,
                      nn_svm_data *out)
{
    const size_t width = 2 * (size_t)rows[0]->classes;
    size_t most = 0, n = 0;
    for (int s = 0; s < count; s++)
        most += rows[s]->count;
    double *value = tn_alloc(ctx, most * width + 1, sizeof *value);
    int *label = tn_alloc(ctx, most + 1, sizeof *label);
    for (int s = 0; value && label && s < count; s++)
        for (size_t i = 0; i < rows[s]->count; i++) {
            if (rows[s]->row[i].label < 0 || (fold && fold[i] == held))
                continue;
            memcpy(value + n * width, rows[s]->value + i * width, width * sizeof *value);
            label[n++] = rows[s]->row[i].label + 1;
        }
    const tn_status status =
        value && label ? nn_svm_data_from(ctx, value, label, n, (int)width, out) : TN_NOMEM;
    tn_free(ctx, value);
    tn_free(ctx, label);
    return status;
}

/* `entry` and `decision` are scratch, the second of pairs and classes. */
static tn_status ask_one(tn_ctx *ctx, const nn_svm *svm, const fusion_rows *r, size_t i, nn_svm_entry *entry,
                         double *decision)
{
    const size_t width = 2 * (size_t)r->classes;
    double *coupled = decision + nn_svm_pairs(svm), *probability = r->probability + i * (size_t)r->classes;
    const int *label = nn_svm_labels(svm);
    for (size_t j = 0; j < width; j++)
        entry[j] = (nn_svm_entry){.index = (int)j + 1, .value = r->value[i * width + j]};
    r->row[i].predicted = label[nn_svm_decide(svm, (nn_svm_vector){entry, width}, decision)] - 1;
    TN_TRY(nn_svm_probability(ctx, svm, decision, coupled));
    memset(probability, 0, (size_t)r->classes * sizeof *probability);
    for (int k = 0; k < nn_svm_classes(svm); k++)
        probability[label[k] - 1] = coupled[k];
    r->row[i].probability = probability;
    return TN_OK;
}

tn_status fusion_ask(tn_ctx *ctx, const nn_svm *svm, fusion_rows *r, const int *fold, int held)
{
    const size_t numbers = (size_t)nn_svm_pairs(svm) + (size_t)nn_svm_classes(svm);
    nn_svm_entry *entry = tn_alloc(ctx, 2 * (size_t)r->classes, sizeof *entry);
    double *decision = tn_alloc(ctx, numbers, sizeof *decision);
    tn_status status = entry && decision ? TN_OK : TN_NOMEM;
    for (size_t i = 0; status == TN_OK && i < r->count; i++)
        if (!fold || fold[i] == held)
            status = ask_one(ctx, svm, r, i, entry, decision);
    tn_free(ctx, entry);
    tn_free(ctx, decision);
    return status;
}

/* ---- results --------------------------------------------------------------------------------------- */

tn_status fusion_save(tn_ctx *ctx, const fusion_rows *r, const char *path)
{
    const nn_scores scores = {
        .classes = r->classes, .class_name = r->video.class_name, .count = r->count, .row = r->row};
    return nn_scores_write(ctx, path, &scores);
}

size_t fusion_right(const fusion_rows *r, size_t *labelled)
{
    size_t right = 0;
    *labelled = 0;
    for (size_t i = 0; i < r->count; i++) {
        *labelled += r->row[i].label >= 0;
        right += r->row[i].label >= 0 && r->row[i].label == r->row[i].predicted;
    }
    return right;
}
