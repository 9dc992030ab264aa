/* Folds for cross-validation: sources stay together, classes are spread evenly. */
#include "data/data.h"

#include <stdlib.h>
#include <string.h>

/* The clips of one source. */
typedef struct group {
    const char *source; /* its name */
    size_t first;       /* of the sorted clips */
    size_t count;       /* of them */
    float key;          /* orders groups of one size */
} group;

/* A clip among those that are dealt. */
typedef struct member {
    const char *source; /* its source */
    int label;          /* its class; the last + 1 where it has none */
    size_t at;          /* which of the caller's it is */
} member;

typedef struct deal {
    member *member;    /* all, sources together */
    group *group;      /* all sources */
    size_t members;    /* clips */
    size_t groups;     /* sources */
    int columns;       /* classes and one for unlabelled */
    size_t *total;     /* columns: clips of each class */
    size_t *of_fold;   /* folds x columns: the same in each fold */
    size_t *of_group;  /* columns: the same in the group at hand */
    size_t *fold_size; /* folds: clips in each */
} deal;

static int compare_members(const void *a, const void *b)
{
    return strcmp(((const member *)a)->source, ((const member *)b)->source);
}

static int compare_groups(const void *a, const void *b)
{
    const group *p = a, *q = b;
    if (p->count != q->count)
        return p->count < q->count ? 1 : -1;
    if (p->key < q->key || p->key > q->key)
        return p->key < q->key ? -1 : 1;
    return strcmp(p->source, q->source);
}

static void gather(const data_manifest *m, const size_t *index, uint64_t seed, deal *d)
{
    for (size_t i = 0; i < d->members; i++) {
        const data_item *item = &m->item[index[i]];
        d->member[i] = (member){item->source, item->label >= 0 ? item->label : m->classes, i};
        d->total[d->member[i].label]++;
    }
    qsort(d->member, d->members, sizeof *d->member, compare_members);
    for (size_t i = 0; i < d->members; i++) {
        const char *source = d->member[i].source;
        if (i == 0 || strcmp(source, d->member[i - 1].source) != 0)
            d->group[d->groups++] =
                (group){.source = source, .first = i, .key = tn_uniform(seed, tn_hash(source), 0)};
        d->group[d->groups - 1].count++;
    }
    qsort(d->group, d->groups, sizeof *d->group, compare_groups);
}

/* How much less even the classes get when the group at hand goes to a fold: the sum over classes of
 * ((n + g)^2 - n^2) / total^2. */
static double cost(const deal *d, int fold)
{
    const size_t *n = d->of_fold + (size_t)fold * (size_t)d->columns;
    double sum = 0;
    for (int c = 0; c < d->columns; c++)
        if (d->of_group[c] > 0) {
            double total = (double)d->total[c], mine = (double)d->of_group[c];
            sum += mine * (2 * (double)n[c] + mine) / (total * total);
        }
    return sum;
}

/* Puts one group where it costs least, and of those where fewest clips are. */
static void place(deal *d, const group *g, int folds, int *fold)
{
    memset(d->of_group, 0, (size_t)d->columns * sizeof *d->of_group);
    for (size_t i = g->first; i < g->first + g->count; i++)
        d->of_group[d->member[i].label]++;
    int best = 0;
    double least = cost(d, 0);
    for (int f = 1; f < folds; f++) {
        double here = cost(d, f);
        if (here < least || (here <= least && d->fold_size[f] < d->fold_size[best])) {
            best = f;
            least = here;
        }
    }
    for (int c = 0; c < d->columns; c++)
        d->of_fold[(size_t)best * (size_t)d->columns + (size_t)c] += d->of_group[c];
    d->fold_size[best] += g->count;
    for (size_t i = g->first; i < g->first + g->count; i++)
        fold[d->member[i].at] = best;
}

tn_status data_manifest_folds(tn_ctx *ctx, const data_manifest *m, const size_t *index, size_t count,
                              int folds, uint64_t seed, int *fold)
{
    if (folds < 2 || (size_t)folds > count)
        return tn_fail(ctx, TN_RANGE, "%s: %d folds of %zu clips, expected 2 or more, and a clip for each",
                       m->path, folds, count);
    deal d = {.members = count, .columns = m->classes + 1};
    d.member = tn_alloc(ctx, count, sizeof *d.member);
    d.group = tn_alloc(ctx, count, sizeof *d.group);
    d.total = tn_zalloc(ctx, (size_t)d.columns, sizeof *d.total);
    d.of_fold = tn_zalloc(ctx, (size_t)folds * (size_t)d.columns, sizeof *d.of_fold);
    d.of_group = tn_alloc(ctx, (size_t)d.columns, sizeof *d.of_group);
    d.fold_size = tn_zalloc(ctx, (size_t)folds, sizeof *d.fold_size);
    tn_status status =
        d.member && d.group && d.total && d.of_fold && d.of_group && d.fold_size ? TN_OK : TN_NOMEM;
    if (status == TN_OK) {
        gather(m, index, seed, &d);
        if (d.groups < (size_t)folds)
            status =
                tn_fail(ctx, TN_RANGE, "%s: %d folds, but only %zu sources, which are not to be torn apart",
                        m->path, folds, d.groups);
    }
    for (size_t i = 0; status == TN_OK && i < d.groups; i++)
        place(&d, &d.group[i], folds, fold);
    tn_free(ctx, d.member);
    tn_free(ctx, d.group);
    tn_free(ctx, d.total);
    tn_free(ctx, d.of_fold);
    tn_free(ctx, d.of_group);
    tn_free(ctx, d.fold_size);
    return status;
}
