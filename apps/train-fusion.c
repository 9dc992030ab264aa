/* train-fusion: learns from two networks' scores which class a clip is of. */
#include "apps/common/fusion_rows.h"
#include "apps/common/svm_grid.h"
#include "apps/common/train.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { TRAIN, VAL, TEST, PARTS };
static const char *const part_name[PARTS] = {"train", "val", "test"};

typedef struct arguments {
    cmd_line cmd;            /* common options */
    const char *data, *out;  /* --data, --out */
    const char *folder[2];   /* --video-scores, --audio-scores; NULL: below --data */
    const char *scores;      /* --scores: train, oof or val */
    svm_grid_args lists;     /* of the grid, as given */
    svm_grid grid;           /* of the grid */
    int folds;               /* --folds */
    double coef0, tolerance; /* --coef0, --tolerance */
    double cache_mb;         /* --cache */
    bool no_full_train;      /* --no-full-train */
} arguments;

/* A run in the making. */
typedef struct job {
    arguments *args;         /* borrowed */
    tn_ctx *ctx;             /* same */
    char *folder[2];         /* of the video's and the audio's scores */
    char *given;             /* what settings.json says of them */
    fusion_rows part[PARTS]; /* clips of each split */
    bool there[PARTS];       /* those that have any */
    int learn;               /* which of them the grid and the first machine see: TRAIN or VAL */
    bool full;               /* a second machine is fitted on TRAIN and VAL */
    int *fold;               /* of the clips of `learn` */
    nn_svm_params params;    /* of every machine */
    size_t best;             /* point of the grid */
    nn_svm *machine;         /* fitted on `learn` */
    nn_svm *final;           /* the one that is kept, where it is another */
} job;

/* ---- clips ----------------------------------------------------------------------------------------- */

static const char *file_of(const job *j, int part)
{
    if (part == TRAIN && strcmp(j->args->scores, "oof") == 0)
        return "scores.oof.csv";
    static const char *const name[PARTS] = {"scores.train.csv", "scores.val.csv", "scores.test.csv"};
    return name[part];
}

/* Whether the part's files are there. Those that the run is about have to be. */
static tn_status find_part(const job *j, int part, char *const path[2], bool *there)
{
    const bool val_needed = j->learn == VAL || j->full,
               needed = part == j->learn || (part == VAL && val_needed);
    *there = true;
    for (int i = 0; i < 2; i++) {
        if (access(path[i], F_OK) == 0)
            continue;
        *there = false;
        if (needed && part == TRAIN && strcmp(j->args->scores, "oof") == 0)
            return tn_fail(
                j->ctx, TN_IO,
                "%s is missing: --scores oof needs what train-video and train-audio write with --oof K",
                path[i]);
        if (needed)
            return tn_fail(j->ctx, TN_IO, "%s is missing%s", path[i],
                           part == VAL && j->learn != VAL ? "; --no-full-train goes without" : "");
    }
    if (!*there && (access(path[0], F_OK) == 0 || access(path[1], F_OK) == 0))
        cmd_note(&j->args->cmd, "%s: only one of %s and %s is there: this split is not fused",
                 part_name[part], path[0], path[1]);
    return TN_OK;
}

static void tell_left_out(const job *j, const fusion_rows *r)
{
    size_t all = r->count;
    for (int i = 0; i < FUSION_REASONS; i++)
        all += r->left_out[i];
    for (int i = 0; i < FUSION_REASONS; i++)
        if (r->left_out[i])
            cmd_note(&j->args->cmd, "%s: %zu of %zu clips left out: %s", r->name, r->left_out[i], all,
                     fusion_reason[i]);
}

/* Every class has to be there, as the answers are to be of all of them. */
static tn_status check_learnt(const job *j, const char *path)
{
    const fusion_rows *r = &j->part[j->learn];
    if (r->count == 0)
        return tn_fail(j->ctx, TN_RANGE, "%s: no labelled clip has both video and audio scores", path);
    for (int k = 0; k < r->classes; k++) {
        size_t i = 0;
        while (i < r->count && r->row[i].label != k)
            i++;
        if (i == r->count)
            return tn_fail(j->ctx, TN_RANGE, "%s: no clip of class %s has both video and audio scores", path,
                           r->video.class_name[k]);
    }
    return TN_OK;
}

/* All parts have the classes of the one that is learnt from. */
static tn_status check_part(const job *j, const fusion_rows *r)
{
    const fusion_rows *first = &j->part[j->learn];
    bool same = r->classes == first->classes;
    for (int k = 0; same && k < r->classes; k++)
        same = strcmp(r->video.class_name[k], first->video.class_name[k]) == 0;
    return same ? TN_OK
                : tn_fail(j->ctx, TN_FORMAT, "%s has other classes, or another order, than %s", r->video.path,
                          first->video.path);
}

static tn_status read_part(job *j, int part)
{
    fusion_rows *r = &j->part[part];
    char *path[2] = {train_path(j->ctx, j->folder[0], file_of(j, part)),
                     train_path(j->ctx, j->folder[1], file_of(j, part))};
    tn_status status = path[0] && path[1] ? find_part(j, part, path, &j->there[part]) : TN_NOMEM;
    if (status == TN_OK && j->there[part]) {
        status = fusion_rows_read(j->ctx, part_name[part], path[0], path[1], part != TEST, r);
        if (status == TN_OK)
            tell_left_out(j, r);
        if (status == TN_OK && part == j->learn)
            status = check_learnt(j, path[0]);
        else if (status == TN_OK)
            status = check_part(j, r);
        if (status == TN_OK && part == VAL && j->full && r->count == 0)
            status = tn_fail(j->ctx, TN_RANGE, "%s: no labelled clip has both video and audio scores%s",
                             path[0], "; --no-full-train goes without");
        if (status == TN_OK && r->count == 0)
            cmd_note(&j->args->cmd, "%s: no clip has both video and audio scores", part_name[part]);
        j->there[part] = r->count > 0;
    }
    tn_free(j->ctx, path[0]);
    tn_free(j->ctx, path[1]);
    return status;
}

static tn_status read_parts(job *j)
{
    const arguments *a = j->args;
    static const char *const name[2] = {"video", "audio"};
    for (int i = 0; i < 2; i++) {
        j->folder[i] = a->folder[i] ? tn_strdup(j->ctx, a->folder[i]) : train_path(j->ctx, a->data, name[i]);
        if (!j->folder[i])
            return TN_NOMEM;
    }
    const size_t room = strlen(j->folder[0]) + strlen(j->folder[1]) + 3;
    j->given = tn_alloc(j->ctx, room, 1);
    if (!j->given)
        return TN_NOMEM;
    snprintf(j->given, room, "%s, %s", j->folder[0], j->folder[1]);
    j->learn = strcmp(a->scores, "val") == 0 ? VAL : TRAIN;
    j->full = j->learn == TRAIN && !a->no_full_train;
    TN_TRY(read_part(j, j->learn));
    for (int part = 0; part < PARTS; part++)
        if (part != j->learn)
            TN_TRY(read_part(j, part));
    return TN_OK;
}

/* ---- grid ------------------------------------------------------------------------------------------ */

static tn_status deal_folds(job *j)
{
    const fusion_rows *r = &j->part[j->learn];
    const char **source = tn_alloc(j->ctx, r->count, sizeof(const char *));
    j->fold = tn_alloc(j->ctx, r->count, sizeof *j->fold);
    tn_status status = TN_NOMEM;
    if (source && j->fold) {
        for (size_t i = 0; i < r->count; i++)
            source[i] = r->row[i].source;
        status = nn_svm_folds_grouped(j->ctx, source, r->count, j->args->folds, j->args->cmd.seed, j->fold);
    }
    tn_free(j->ctx, source);
    return status;
}

static void show_progress(void *arg, size_t done, size_t points)
{
    const report_bar *bar = arg;
    (void)points;
    report_bar_show(bar, done, "grid");
}

static tn_status search(job *j)
{
    svm_grid *g = &j->args->grid;
    const fusion_rows *learnt = &j->part[j->learn];
    nn_svm_data data = {0};
    TN_TRY(svm_grid_points(j->ctx, g));
    TN_TRY(deal_folds(j));
    TN_TRY(fusion_data(j->ctx, &learnt, 1, NULL, 0, &data));
    report_bar bar = report_bar_begin(g->count, j->args->cmd.quiet);
    report_bar_show(&bar, 0, "grid");
    nn_svm_params params = j->params;
    params.progress = show_progress;
    params.progress_arg = &bar;
    const tn_status status = nn_svm_grid(j->ctx, &data, &params, j->fold, g->point, g->count, &j->best);
    report_bar_clear(&bar);
    nn_svm_data_free(j->ctx, &data);
    TN_TRY(status);
    const nn_svm_point *best = &g->point[j->best];
    j->params.kernel = best->kernel;
    j->params.degree = best->degree;
    j->params.gamma = best->gamma;
    j->params.cost = best->cost;
    j->params.probability = true;
    return TN_OK;
}

static tn_status put_point(wt_writer *w, const job *j, const nn_svm_point *p)
{
    const size_t rows = j->part[j->learn].count;
    const bool degree = p->kernel == NN_SVM_POLYNOMIAL, gamma = p->kernel != NN_SVM_LINEAR;
    char of_degree[16] = "", of_gamma[32] = "", right[64] = ",";
    if (degree)
        snprintf(of_degree, sizeof of_degree, "%d", p->degree);
    if (gamma)
        snprintf(of_gamma, sizeof of_gamma, "%.10g", p->gamma);
    if (p->correct >= 0)
        snprintf(right, sizeof right, "%" PRId64 ",%.6f", p->correct, (double)p->correct / (double)rows);
    return wt_printf(w, "%s,%s,%s,%.10g,%s,%d\n", svm_grid_kernel(p->kernel), of_degree, of_gamma, p->cost,
                     right, p == &j->args->grid.point[j->best]);
}

/* `correct` and `accuracy` are empty where kernel values overflow. */
static tn_status save_grid(const job *j, const char *path)
{
    const svm_grid *g = &j->args->grid;
    wt_writer *w;
    TN_TRY(wt_create(j->ctx, path, &w));
    tn_status status = wt_printf(w, "kernel,degree,gamma,cost,correct,accuracy,best\n");
    for (size_t i = 0; status == TN_OK && i < g->count; i++)
        status = put_point(w, j, &g->point[i]);
    if (status == TN_OK)
        return wt_commit(w);
    wt_discard(w);
    return status;
}

/* ---- machines -------------------------------------------------------------------------------------- */

static tn_status fit(job *j, const fusion_rows *const *rows, int count, const int *fold, int held,
                     nn_svm **out)
{
    nn_svm_data data;
    nn_svm_pair_fit *fits = NULL;
    TN_TRY(fusion_data(j->ctx, rows, count, fold, held, &data));
    const tn_status status = nn_svm_train(j->ctx, &data, &j->params, out, &fits);
    for (int p = 0; status == TN_OK && p < nn_svm_pairs(*out); p++)
        if (!fits[p].converged)
            cmd_note(&j->args->cmd,
                     "%s against %s: stopped after %" PRId64 " steps, before the tolerance was met",
                     rows[0]->video.class_name[fits[p].first - 1],
                     rows[0]->video.class_name[fits[p].second - 1], fits[p].iterations);
    tn_free(j->ctx, fits);
    nn_svm_data_free(j->ctx, &data);
    return status;
}

/* Each clip is told by a machine that did not see its fold. */
static tn_status ask_by_folds(job *j, fusion_rows *r)
{
    for (int f = 0; f < j->args->folds; f++) {
        const fusion_rows *rows = r;
        nn_svm *svm = NULL;
        TN_TRY(fit(j, &rows, 1, j->fold, f, &svm));
        const tn_status status = fusion_ask(j->ctx, svm, r, j->fold, f);
        nn_svm_destroy(j->ctx, svm);
        TN_TRY(status);
    }
    return TN_OK;
}

/* Validation is told by who has not seen it, test by the machine that is kept. */
static tn_status fit_and_ask(job *j)
{
    const fusion_rows *learnt = &j->part[j->learn], *both[2] = {&j->part[TRAIN], &j->part[VAL]};
    TN_TRY(fit(j, &learnt, 1, NULL, 0, &j->machine));
    if (j->full)
        TN_TRY(fit(j, both, 2, NULL, 0, &j->final));
    if (j->there[TRAIN])
        TN_TRY(fusion_ask(j->ctx, j->machine, &j->part[TRAIN], NULL, 0));
    if (j->learn == VAL)
        TN_TRY(ask_by_folds(j, &j->part[VAL]));
    else if (j->there[VAL])
        TN_TRY(fusion_ask(j->ctx, j->machine, &j->part[VAL], NULL, 0));
    return j->there[TEST] ? fusion_ask(j->ctx, j->final ? j->final : j->machine, &j->part[TEST], NULL, 0)
                          : TN_OK;
}

/* ---- results --------------------------------------------------------------------------------------- */

static void set_range(train_settings *s, const char *name, const svm_grid_range *r)
{
    train_set(s, name, "%.10g,%.10g,%.10g", r->begin, r->end, r->step);
}

static void settle(const job *j, train_settings *s)
{
    const arguments *a = j->args;
    const nn_svm_point *best = &a->grid.point[j->best];
    uint64_t hash = NN_HASH_BEGIN;
    for (int part = 0; part < PARTS; part++)
        if (j->there[part])
            hash = fusion_rows_hash(&j->part[part], hash);
    train_set(s, "data-hash", "%016" PRIx64, hash);
    train_set(s, "scores", "%s", a->scores);
    train_set(s, "kernel", "%s", a->lists.kernels);
    train_set(s, "degree", "%s", a->lists.degrees);
    set_range(s, "log2c", &a->grid.c);
    set_range(s, "log2g", &a->grid.g);
    train_set(s, "coef0", "%.17g", a->coef0);
    train_set(s, "folds", "%d", a->folds);
    train_set(s, "tolerance", "%.17g", a->tolerance);
    train_set(s, "full-train", "%d", j->full);
    train_set(s, "seed", "%" PRIu64, a->cmd.seed);
    train_set(s, "chosen.kernel", "%s", svm_grid_kernel(best->kernel));
    if (best->kernel == NN_SVM_POLYNOMIAL)
        train_set(s, "chosen.degree", "%d", best->degree);
    if (best->kernel != NN_SVM_LINEAR)
        train_set(s, "chosen.gamma", "%.17g", best->gamma);
    train_set(s, "chosen.cost", "%.17g", best->cost);
    train_set(s, "chosen.correct", "%" PRId64, best->correct);
}

/* settings.json has the clips that there are scores of. */
static tn_status save_settings(const job *j, const char *path)
{
    const fusion_rows *learnt = &j->part[j->learn];
    train_settings settings = {0};
    train_split split[PARTS] = {0};
    int splits = 0;
    size_t *of_class = tn_zalloc(j->ctx, (size_t)learnt->classes, PARTS * sizeof *of_class);
    if (!of_class)
        return TN_NOMEM;
    for (int part = 0; part < PARTS; part++) {
        const fusion_rows *r = &j->part[part];
        if (!j->there[part])
            continue;
        train_split *s = &split[splits];
        *s = (train_split){
            .name = r->name, .of_class = of_class + splits++ * learnt->classes, .clips = r->count};
        memcpy(s->left_out, r->left_out, sizeof r->left_out);
        for (size_t i = 0; i < r->count; i++)
            if (r->row[i].label >= 0)
                s->of_class[r->row[i].label]++;
    }
    settle(j, &settings);
    const train_args args = {.data = j->given};
    const tn_status status = train_save_settings(j->ctx, path, j->args->cmd.program, &args, &settings,
                                                 (char *const *)learnt->video.class_name, learnt->classes,
                                                 split, splits, fusion_reason, FUSION_REASONS);
    tn_free(j->ctx, of_class);
    return status;
}

/* Calls save() with OUT/NAME. */
static tn_status save_as(job *j, const char *name, tn_status (*save)(const job *j, const char *path))
{
    char *path = train_path(j->ctx, j->args->out, name);
    const tn_status status = path ? save(j, path) : TN_NOMEM;
    tn_free(j->ctx, path);
    return status;
}

static tn_status save_machine(const job *j, const char *path)
{
    return nn_svm_write(j->ctx, j->final ? j->final : j->machine, path);
}

static tn_status save_scores(job *j, int part)
{
    char name[32];
    snprintf(name, sizeof name, "scores.%s.csv", part_name[part]);
    char *path = train_path(j->ctx, j->args->out, name);
    const tn_status status = path ? fusion_save(j->ctx, &j->part[part], path) : TN_NOMEM;
    tn_free(j->ctx, path);
    return status;
}

/* A run before this one may have had more splits. */
static tn_status remove_scores(const job *j, int part)
{
    char name[32];
    snprintf(name, sizeof name, "scores.%s.csv", part_name[part]);
    return train_remove(j->ctx, j->args->out, name);
}

static tn_status save(job *j)
{
    TN_TRY(save_as(j, "grid.csv", save_grid));
    TN_TRY(save_as(j, "settings.json", save_settings));
    for (int part = 0; part < PARTS; part++)
        TN_TRY(j->there[part] ? save_scores(j, part) : remove_scores(j, part));
    return save_as(j, "fusion.svm", save_machine);
}

static void tell(const job *j)
{
    const nn_svm_point *best = &j->args->grid.point[j->best];
    const size_t rows = j->part[j->learn].count;
    char out[4096];
    printf("%s/fusion.svm: %s", wt_printable(j->args->out, out, sizeof out), svm_grid_kernel(best->kernel));
    if (best->kernel == NN_SVM_POLYNOMIAL)
        printf(", degree %d", best->degree);
    if (best->kernel != NN_SVM_LINEAR)
        printf(", gamma %.10g", best->gamma);
    printf(", C %.10g: cross-validation accuracy %.4f (%" PRId64 "/%zu)", best->cost,
           (double)best->correct / (double)rows, best->correct, rows);
    if (j->learn != VAL && j->there[VAL]) {
        size_t labelled;
        const size_t right = fusion_right(&j->part[VAL], &labelled);
        printf(", validation accuracy %.4f (%zu/%zu)%s", (double)right / (double)labelled, right, labelled,
               j->full ? " before the full train" : "");
    }
    printf("\n");
}

/* ---- the run --------------------------------------------------------------------------------------- */

static tn_status train(job *j)
{
    const arguments *a = j->args;
    TN_TRY(read_parts(j));
    TN_TRY(train_make_folder(j->ctx, a->out));
    j->params = nn_svm_defaults();
    j->params.coef0 = a->coef0;
    j->params.tolerance = a->tolerance;
    j->params.cache_bytes = (size_t)(a->cache_mb * 1048576);
    j->params.seed = a->cmd.seed;
    TN_TRY(search(j));
    TN_TRY(fit_and_ask(j));
    return save(j);
}

static int run(tn_ctx *ctx, void *arg)
{
    job j = {.args = arg, .ctx = ctx};
    const tn_status status = train(&j);
    if (status == TN_OK)
        tell(&j);
    nn_svm_destroy(ctx, j.machine);
    nn_svm_destroy(ctx, j.final);
    for (int part = 0; part < PARTS; part++)
        fusion_rows_free(ctx, &j.part[part]);
    svm_grid_free(ctx, &j.args->grid);
    tn_free(ctx, j.fold);
    tn_free(ctx, j.given);
    tn_free(ctx, j.folder[0]);
    tn_free(ctx, j.folder[1]);
    return status == TN_OK ? CLI_OK : CLI_FAILED;
}

/* ---- command line ---------------------------------------------------------------------------------- */

static int parse(arguments *a, int argc, char **argv)
{
    cmd_option options[CMD_MAX_OPTIONS];
    const cmd_option own[] = {
        cmd_text("data", "DIR", "folder with video/scores.*.csv and audio/scores.*.csv", &a->data),
        cmd_text("video-scores", "DIR", "where the video's are (default: video in --data)", &a->folder[0]),
        cmd_text("audio-scores", "DIR", "where the audio's are (default: audio in --data)", &a->folder[1]),
        cmd_text("out", "DIR", "where results go", &a->out),
        cmd_text("scores", "NAME",
                 "what the machine learns from: train (default), oof (scores\nof clips that the network did "
                 "not see) or val",
                 &a->scores),
        cmd_flag("no-full-train", "keep the machine that has not seen validation", &a->no_full_train),
        cmd_with_letter(
            'r', cmd_number("coef0", "X", "of polynomial and sigmoid (default 0)", &a->coef0, -1e300, 1e300)),
        cmd_with_letter('v', cmd_int("folds", "N", "folds, by source (default 5)", &a->folds, 2, 1 << 18)),
        cmd_with_letter(
            'e', cmd_number("tolerance", "X", "of stopping (default 0.001)", &a->tolerance, 1e-300, 1e300)),
        cmd_with_letter(
            'm', cmd_number("cache", "MB", "memory for kernel values (default 100)", &a->cache_mb, 0, 1e9)),
    };
    int count = 0;
    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        options[count++] = own[i];
    count += svm_grid_options(&a->lists, options + count);
    a->cmd = (cmd_line){
        .program = "train-fusion",
        .usage = "--data DIR --out DIR [options]",
        .about =
            "Learns a support vector machine from the scores that train-video and train-audio left in\n"
            "DIR/video and DIR/audio. Kernel, C and gamma by grid search, folds grouped by source; then\n"
            "training and validation are joined and the machine is fitted again with the chosen\n"
            "settings: fusion.svm in --out is what infer opens.",
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
    const char *name = a->cmd.program;
    if (!a->out || !(a->data || (a->folder[0] && a->folder[1])))
        return cli_usage(name, "expected --data and --out");
    if (strcmp(a->scores, "train") != 0 && strcmp(a->scores, "oof") != 0 && strcmp(a->scores, "val") != 0)
        return cli_usage(name, "--scores %s: expected train, oof or val", a->scores);
    return svm_grid_parse(name, &a->lists, &a->grid);
}

int main(int argc, char **argv)
{
    cli_start();
    /* Scores lie between 0 and 1: where C or gamma is smaller, every row is a support vector at its bound,
     * decision values are all but equal, and Platt's sigmoids are flat. */
    arguments a = {
        .scores = "train",
        .lists = {.kernels = "0,1,2", .degrees = "2,3", .log2c = "-1,9,2", .log2g = "-5,-1,2"},
        .folds = 5,
        .tolerance = 1e-3,
        .cache_mb = 100,
    };
    int status = parse(&a, argc, argv);
    if (status == CMD_GO)
        status = check(&a);
    return status == CMD_GO ? cmd_run(&a.cmd, run, &a) : status;
}
