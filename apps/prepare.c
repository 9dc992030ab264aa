/* prepare: a list of clips in, frames and sound ready for training out. */
#include "apps/common/batch.h"
#include "apps/common/command.h"
#include "apps/common/report.h"
#include "data/data.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

typedef struct arguments {
    cmd_line cmd;            /* common options and operands */
    data_video_options take; /* what to take of a clip */
    int size;                /* --size */
} arguments;

/* A run over all clips. */
typedef struct job {
    const arguments *args; /* the command line */
    data_manifest list;    /* the clips */
    const char *out;       /* where to */
    report_bar bar;        /* progress */
    pthread_mutex_t mutex; /* guards what is below */
    data_prepared *result; /* of each clip; memory of `ctx` */
    char **complaint;      /* of each clip that failed; NULL: it did not */
    tn_ctx *ctx;           /* whose memory these are */
    size_t done;           /* clips */
    bool stop;             /* the place is at fault: no use to go on */
    bool lost;             /* memory ran out for the results themselves */
} job;

/* ---- clips ----------------------------------------------------------------------------------------- */

/* Keeps the result, or why there is none, in memory that lives longer than the worker's context. */
static void keep_result(job *j, size_t i, tn_status status, const char *message, const data_prepared *r)
{
    data_prepared *mine = &j->result[i];
    *mine = (data_prepared){.sound = r->sound, .kept = r->kept};
    if (status != TN_OK) {
        j->complaint[i] = tn_strdup(j->ctx, *message ? message : tn_status_text(status));
        j->lost = j->lost || !j->complaint[i];
        j->stop = j->stop || r->unwritable;
        return;
    }
    if (r->frames)
        mine->frames = tn_strdup(j->ctx, r->frames);
    if (r->audio)
        mine->audio = tn_strdup(j->ctx, r->audio);
    j->lost = j->lost || (r->frames && !mine->frames) || (r->audio && !mine->audio);
}

static void prepare_one(tn_ctx *ctx, void *arg, size_t i)
{
    job *j = arg;
    data_prepared result;
    pthread_mutex_lock(&j->mutex);
    const bool stop = j->stop;
    report_bar_show(&j->bar, j->done, j->list.item[i].name);
    pthread_mutex_unlock(&j->mutex);
    if (stop)
        return;
    const tn_status status = data_prepare_clip(ctx, j->out, &j->list.item[i], &j->args->take, &result);
    pthread_mutex_lock(&j->mutex);
    keep_result(j, i, status, tn_error(ctx), &result);
    j->done++;
    pthread_mutex_unlock(&j->mutex);
    tn_clear_error(ctx);
    data_prepared_free(ctx, &result);
}

/* ---- what came of it ------------------------------------------------------------------------------- */

static size_t tell_failures(const job *j)
{
    size_t failed = 0;
    for (size_t i = 0; i < j->list.count; i++)
        if (j->complaint[i]) {
            cli_warn(j->args->cmd.program, "%s/%s: %s", j->list.item[i].split, j->list.item[i].name,
                     j->complaint[i]);
            failed++;
        }
    return failed;
}

/* Writes OUT/manifest.csv with the clips that there are; `good` becomes this list, whose texts are borrowed
 * but for the items themselves. */
static tn_status write_list(tn_ctx *ctx, const job *j, data_manifest *good)
{
    char path[4096];
    *good = j->list;
    good->count = 0;
    good->item = tn_alloc(ctx, j->list.count, sizeof *good->item);
    if (!good->item)
        return TN_NOMEM;
    for (size_t i = 0; i < j->list.count; i++) {
        data_item item = j->list.item[i];
        item.frames = j->result[i].frames;
        item.video = NULL;
        item.audio = j->result[i].audio;
        if (!j->complaint[i] && (item.frames || item.audio))
            good->item[good->count++] = item;
    }
    if ((size_t)snprintf(path, sizeof path, "%s/manifest.csv", j->out) >= sizeof path)
        return tn_fail(ctx, TN_RANGE, "%s: too long a path", j->out);
    return good->count > 0 ? data_manifest_write(ctx, path, good)
                           : tn_fail(ctx, TN_FORMAT, "%s: no clip could be prepared", j->list.path);
}

static tn_status print_counts(tn_ctx *ctx, const data_manifest *list)
{
    data_summary s;
    TN_TRY(data_manifest_summary(ctx, list, &s));
    for (size_t i = 0; i < s.splits; i++) {
        const data_split_summary *split = &s.split[i];
        printf("%s: %zu clips of %zu sources", split->name, split->clips, split->sources);
        for (int c = 0; c <= list->classes; c++)
            if (c < list->classes || split->clips_of_class[c])
                printf("%s %zu %s", c ? "," : ":", split->clips_of_class[c],
                       c < list->classes ? list->class_name[c] : "unlabelled");
        printf("; %zu without frames, %zu without sound\n", split->no_frames, split->no_audio);
        if (split->shared_sources)
            printf("%s: %zu of its sources are in an earlier split, too\n", split->name,
                   split->shared_sources);
    }
    data_summary_free(ctx, &s);
    return TN_OK;
}

static void print_sound(const job *j)
{
    size_t count[DATA_SOUNDS] = {0}, kept = 0, made = 0;
    for (size_t i = 0; i < j->list.count; i++)
        if (j->result[i].frames || j->result[i].audio) {
            count[j->result[i].sound]++;
            kept += j->result[i].kept;
            made += !j->result[i].kept;
        }
    printf("sound: %zu fine, %zu silent, %zu shorter than a window, %zu missing\n", count[DATA_SOUND_OK],
           count[DATA_SOUND_SILENT], count[DATA_SOUND_SHORT], count[DATA_SOUND_NONE]);
    cli_line("%s: %zu clips prepared, %zu were there already", j->out, made, kept);
}

static int finish(tn_ctx *ctx, const job *j)
{
    data_manifest good = {0};
    const size_t failed = tell_failures(j);
    if (j->lost) {
        tn_fail(ctx, TN_NOMEM, "out of memory");
        return CLI_FAILED;
    }
    if (j->stop) {
        cli_warn(j->args->cmd.program,
                 "stopped: %s cannot be written; what is there is kept, the same command goes on", j->out);
        return CLI_FAILED;
    }
    tn_status status = write_list(ctx, j, &good);
    if (status == TN_OK)
        status = print_counts(ctx, &good);
    if (status == TN_OK) {
        print_sound(j);
        cli_line("list: %s/manifest.csv, hash %016" PRIx64, j->out, data_manifest_hash(&good));
        if (failed)
            printf("failed: %zu of %zu clips, which are not in the list\n", failed, j->list.count);
    }
    tn_free(ctx, good.item);
    return status != TN_OK ? CLI_FAILED : failed ? CLI_PARTIAL : CLI_OK;
}

static int prepare_all(tn_ctx *ctx, job *j)
{
    int code = CLI_FAILED;
    j->result = tn_zalloc(ctx, j->list.count, sizeof *j->result);
    j->complaint = tn_zalloc(ctx, j->list.count, sizeof *j->complaint);
    if (j->result && j->complaint) {
        j->bar = report_bar_begin(j->list.count, j->args->cmd.quiet);
        const tn_status status = batch_run(ctx, j->list.count, prepare_one, j);
        report_bar_clear(&j->bar);
        if (status == TN_OK)
            code = finish(ctx, j);
    }
    for (size_t i = 0; j->result && i < j->list.count; i++)
        data_prepared_free(ctx, &j->result[i]);
    for (size_t i = 0; j->complaint && i < j->list.count; i++)
        tn_free(ctx, j->complaint[i]);
    tn_free(ctx, j->result);
    tn_free(ctx, j->complaint);
    return code;
}

static int run(tn_ctx *ctx, void *arg)
{
    const arguments *args = arg;
    char **operand = args->cmd.operand;
    job j = {.args = args, .out = operand[1], .ctx = ctx, .mutex = PTHREAD_MUTEX_INITIALIZER};
    int lock = -1, code = CLI_FAILED;
    if (data_manifest_read(ctx, operand[0], NULL, &j.list) != TN_OK)
        return CLI_FAILED;
    if (data_prepare_begin(ctx, j.out, &j.list, &lock) == TN_OK)
        code = prepare_all(ctx, &j);
    data_prepare_end(lock);
    data_manifest_free(ctx, &j.list);
    return code;
}

/* ---- command line ---------------------------------------------------------------------------------- */

static int parse(arguments *args, int argc, char **argv)
{
    *args = (arguments){.take = data_video_defaults()};
    args->size = args->take.width;
    const cmd_option options[] = {
        cmd_int("num-frames", "N", "frames of a clip (10)", &args->take.frames, 1, 4096),
        cmd_int("size", "N", "their height and width in pixels (224)", &args->size, 1, 16384),
        cmd_number("seconds", "S", "how much of a video file counts (5)", &args->take.seconds, 0.001, 600),
        cmd_int("rate", "HZ", "resample the sound (default: as it is)", &args->take.rate, 8000, 192000),
    };
    args->cmd = (cmd_line){
        .program = "prepare",
        .usage = "[OPTION]... DATA OUT",
        .about =
            "Makes the clips of DATA, a folder as VGAF is distributed or a CSV file, ready for training:\n"
            "OUT/SPLIT/NAME/ with PNG pictures and audio.wav, and OUT/manifest.csv, which lists them. Clips\n"
            "that are there already are kept, so that an interrupted run goes on where it was.",
        .exits = "3 some clips failed, the list is without them",
        .options = options,
        .option_count = sizeof options / sizeof options[0],
        .offers = CMD_OFFERS_THREADS | CMD_OFFERS_QUIET,
        .max_operands = 2,
    };
    const int status = cmd_parse(&args->cmd, argc, argv);
    if (status != CMD_GO)
        return status;
    if (args->cmd.operand_count != 2)
        return cli_usage(args->cmd.program, "expected two arguments, the data and the folder to make");
    args->take.width = args->take.height = args->size;
    return CMD_GO;
}

int main(int argc, char **argv)
{
    cli_start();
    arguments args;
    const int status = parse(&args, argc, argv);
    return status == CMD_GO ? cmd_run(&args.cmd, run, &args) : status;
}
