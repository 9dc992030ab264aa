#include "apps/common/evaluation.h"

#include <stdio.h>
#include <string.h>

tn_status evaluation_open(tn_ctx *ctx, int room, nn_selection selection, evaluation *out)
{
    *out = (evaluation){.selection = selection};
    const size_t systems = (size_t)room;
    out->system = tn_zalloc(ctx, systems, sizeof *out->system);
    out->pair = tn_zalloc(ctx, systems * systems / 2 + 1, sizeof *out->pair);
    return out->system && out->pair ? TN_OK : TN_NOMEM;
}

void evaluation_close(tn_ctx *ctx, evaluation *e)
{
    for (int i = 0; i < e->count; i++) {
        evaluation_system *s = &e->system[i];
        nn_metrics_free(ctx, &s->metrics);
        tn_free(ctx, s->count);
        nn_scores_free(ctx, &s->scores);
        nn_matrix_free(ctx, &s->matrix);
    }
    tn_free(ctx, e->system);
    tn_free(ctx, e->pair);
    *e = (evaluation){0};
}

/* ---- one system ------------------------------------------------------------------------------------ */

static void take_name(evaluation_system *s)
{
    const char *slash = strrchr(s->path, '/'), *base = slash && slash[1] ? slash + 1 : s->path;
    const char *dot = strrchr(base, '.');
    const size_t length = dot && dot > base ? (size_t)(dot - base) : strlen(base);
    char stem[sizeof s->name];
    snprintf(stem, sizeof stem, "%.*s", (int)length, base);
    wt_printable(stem, s->name, sizeof s->name);
}

/* The numbers of clips by faces. */
static tn_status count_groups(tn_ctx *ctx, const evaluation *e, evaluation_system *s)
{
    nn_selection selection = e->selection;
    for (int g = 0; g < EVALUATION_GROUPS; g++) {
        selection.faces = (nn_faces)(NN_FACES_FEWER + g);
        const int64_t clips = nn_scores_confusion(&s->scores, &selection, s->count);
        s->by_faces = s->by_faces || (clips > 0 && selection.faces != NN_FACES_UNKNOWN);
        nn_metrics m;
        TN_TRY(nn_metrics_compute(ctx, s->count, s->classes, &m));
        s->group[g] = (evaluation_group){m.clips, m.right, m.accuracy};
        nn_metrics_free(ctx, &m);
    }
    return TN_OK;
}

static void count_others(const evaluation *e, evaluation_system *s)
{
    const char *split = NULL;
    for (size_t i = 0; i < s->scores.count; i++) {
        const nn_score *row = &s->scores.row[i];
        if (!nn_selected(row, &e->selection))
            continue;
        s->unlabelled += row->label < 0;
        if (row->label < 0 || (split && strcmp(split, row->split) == 0))
            continue;
        s->splits++;
        split = row->split;
    }
}

static tn_status read_system(tn_ctx *ctx, const evaluation *e, evaluation_system *s)
{
    if (s->published) {
        TN_TRY(nn_matrix_read(ctx, s->path, &s->matrix));
        s->classes = s->matrix.classes;
        s->class_name = (const char *const *)s->matrix.class_name;
    } else {
        TN_TRY(nn_scores_read(ctx, s->path, &s->scores));
        s->classes = s->scores.classes;
        s->class_name = (const char *const *)s->scores.class_name;
    }
    const size_t cells = (size_t)s->classes * (size_t)s->classes;
    s->count = tn_alloc(ctx, cells, sizeof *s->count);
    if (!s->count)
        return TN_NOMEM;
    if (s->published) {
        memcpy(s->count, s->matrix.count, cells * sizeof *s->count);
    } else {
        TN_TRY(count_groups(ctx, e, s));
        count_others(e, s);
        nn_scores_confusion(&s->scores, &e->selection, s->count);
    }
    return nn_metrics_compute(ctx, s->count, s->classes, &s->metrics);
}

static tn_status check_classes(tn_ctx *ctx, const evaluation_system *first, const evaluation_system *s)
{
    if (s->classes != first->classes)
        return tn_fail(ctx, TN_SHAPE, "%s: %d classes, but %s has %d", s->path, s->classes, first->path,
                       first->classes);
    for (int i = 0; i < s->classes; i++) {
        int k = 0;
        while (k < first->classes && strcmp(s->class_name[i], first->class_name[k]) != 0)
            k++;
        if (k == first->classes)
            return tn_fail(ctx, TN_SHAPE, "%s: class \"%.60s\" is none of %s", s->path, s->class_name[i],
                           first->path);
    }
    return TN_OK;
}

tn_status evaluation_add(tn_ctx *ctx, evaluation *e, const char *path, bool published)
{
    evaluation_system *s = &e->system[e->count++];
    *s = (evaluation_system){.path = path, .published = published};
    take_name(s);
    TN_TRY(read_system(ctx, e, s));
    return check_classes(ctx, &e->system[0], s);
}

/* ---- all of them ----------------------------------------------------------------------------------- */

static void tell_names_apart(evaluation *e)
{
    for (int i = 0; i < e->count; i++) {
        bool twice = false;
        for (int j = i + 1; j < e->count; j++)
            if (strcmp(e->system[i].name, e->system[j].name) == 0) {
                wt_printable(e->system[j].path, e->system[j].name, sizeof e->system[j].name);
                twice = true;
            }
        if (twice)
            wt_printable(e->system[i].path, e->system[i].name, sizeof e->system[i].name);
    }
}

tn_status evaluation_finish(tn_ctx *ctx, evaluation *e)
{
    tell_names_apart(e);
    for (int i = 0; i < e->count; i++)
        for (int j = i + 1; j < e->count; j++) {
            const evaluation_system *a = &e->system[i], *b = &e->system[j];
            if (a->published || b->published || a->metrics.clips == 0 || b->metrics.clips == 0)
                continue;
            evaluation_pair *pair = &e->pair[e->pairs++];
            *pair = (evaluation_pair){.first = i, .second = j};
            TN_TRY(nn_scores_compare(ctx, &a->scores, &b->scores, &e->selection, &pair->paired));
        }
    return TN_OK;
}
