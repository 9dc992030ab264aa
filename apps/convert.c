/* convert: files of named tensors from one kind to another. */
#include "apps/common/command.h"
#include "weights/weights.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static const char program[] = "convert";

typedef struct options {
    const char *prefix;   /* NULL: none */
    bool list;            /* print, do not convert */
    cmd_line cmd;         /* common options and paths */
    const char *in, *out; /* paths; no `out` with `list` */
} options;

/* Entries as they are to be written, names without the prefix. */
static tn_status take_tensors(tn_ctx *ctx, const wt_file *file, const char *prefix, wt_tensor *tensors)
{
    size_t length = prefix ? strlen(prefix) : 0;
    int matches = 0;
    for (int i = 0; i < wt_count(file); i++) {
        tensors[i] = wt_tensor_of(wt_at(file, i));
        if (length && strncmp(tensors[i].name, prefix, length) == 0) {
            tensors[i].name += length;
            matches++;
        }
    }
    if (length && matches == 0)
        return tn_fail(ctx, TN_RANGE, "%s: no name begins with the prefix \"%s\"", wt_path(file), prefix);
    return TN_OK;
}

static void print_list(const wt_file *file, const wt_tensor *tensors)
{
    char text[2048]; /* any name, each byte escaped */
    size_t elements = 0;
    for (int i = 0; i < wt_count(file); i++)
        elements += wt_at(file, i)->count;
    printf("# %s, %d tensors, %zu elements\n", wt_format(file), wt_count(file), elements);
    for (int i = 0; wt_fact(file, i); i++)
        printf("# %s\n", wt_fact(file, i));
    wt_meta meta;
    for (int i = 0; wt_metadata_at(file, i, &meta); i++) {
        printf("# %s: ", wt_printable(meta.key, text, sizeof text));
        printf("%s\n", wt_printable(meta.value, text, sizeof text));
    }
    for (int i = 0; i < wt_count(file); i++) {
        const wt_entry *entry = wt_at(file, i);
        printf("%s\t%s\t(", wt_printable(tensors[i].name, text, sizeof text), wt_dtype_name(entry->dtype));
        for (int axis = 0; axis < entry->rank; axis++)
            printf(axis ? ", %" PRId64 : "%" PRId64, entry->size[axis]);
        printf("%s)\n", entry->rank == 1 ? "," : "");
    }
}

static bool ends_with(const char *text, const char *end)
{
    size_t n = strlen(text), m = strlen(end);
    return n > m && strcmp(text + n - m, end) == 0;
}

static tn_status write_safetensors(tn_ctx *ctx, const wt_file *file, const char *out,
                                   const wt_tensor *tensors)
{
    int count = 0;
    wt_meta meta;
    while (wt_metadata_at(file, count, &meta))
        count++;
    wt_meta *all = tn_alloc(ctx, (size_t)count, sizeof *all);
    if (!all)
        return TN_NOMEM;
    for (int i = 0; i < count; i++)
        wt_metadata_at(file, i, &all[i]);
    tn_status status = wt_save(ctx, out, tensors, wt_count(file), all, count);
    tn_free(ctx, all);
    return status;
}

static tn_status convert(tn_ctx *ctx, const wt_file *file, const options *o, const wt_tensor *tensors)
{
    /* A checksum may be wrong on purpose, so that a difference is only told. */
    if (wt_verify(ctx, file) != TN_OK) {
        cli_warn(program, "warning: %s", tn_error(ctx));
        tn_clear_error(ctx);
    }
    TN_TRY(ends_with(o->out, ".safetensors") ? write_safetensors(ctx, file, o->out, tensors)
                                             : wt_save_folder(ctx, o->out, tensors, wt_count(file)));
    if (!o->cmd.quiet)
        cli_line("%s: %d tensors from %s (%s)", o->out, wt_count(file), o->in, wt_format(file));
    return TN_OK;
}

static int run(tn_ctx *ctx, void *arg)
{
    const options *o = arg;
    wt_file *file = NULL;
    wt_tensor *tensors = NULL;
    tn_status status = wt_open(ctx, o->in, &file);
    if (status != TN_OK)
        goto done;
    tensors = tn_alloc(ctx, (size_t)wt_count(file), sizeof *tensors);
    status = tensors ? take_tensors(ctx, file, o->prefix, tensors) : TN_NOMEM;
    if (status != TN_OK)
        goto done;
    if (o->list)
        print_list(file, tensors);
    else
        status = convert(ctx, file, o, tensors);
done:
    tn_free(ctx, tensors);
    wt_close(file);
    return status == TN_OK ? CLI_OK : CLI_FAILED;
}

/* A folder is given with a slash at the end, or is there. */
static bool is_folder(const char *path)
{
    struct stat info;
    return path[0] && (path[strlen(path) - 1] == '/' || (stat(path, &info) == 0 && S_ISDIR(info.st_mode)));
}

/* CMD_GO, or the status to exit with. */
static int parse(int argc, char **argv, options *o)
{
    const cmd_option list[] = {
        cmd_flag("list",
                 "print names, types and shapes, and what else IN holds, on lines\nthat begin with '#'",
                 &o->list),
        cmd_text("prefix", "P", "take P off the names that begin with it, after \"module.\"", &o->prefix),
    };
    o->cmd = (cmd_line){
        .program = program,
        .usage = "[--prefix P] IN OUT.safetensors\n[--prefix P] IN FOLDER/\n[--prefix P] --list IN",
        .about =
            "Converts named tensors. IN is a PyTorch checkpoint (of torch.save(), old or new form), a safetensors,\n"
            "NPY or NPZ file, or a folder of .npy files; its content says which. OUT is a safetensors file, or a\n"
            "folder that gets a NAME.npy for each tensor. Floats become 32 bits wide; integers and booleans stay\n"
            "what they are. Of a checkpoint, the state_dict is taken; \"module.\" before its names is taken off.",
        .options = list,
        .option_count = sizeof list / sizeof list[0],
        .offers = CMD_OFFERS_QUIET,
        .max_operands = 2,
        .threads = 1,
    };
    const int status = cmd_parse(&o->cmd, argc, argv);
    if (status != CMD_GO)
        return status;
    if (o->cmd.operand_count != (o->list ? 1 : 2))
        return cli_usage(program, "%s",
                         o->list ? "--list takes one file" : "two arguments are needed: IN and OUT");
    o->in = o->cmd.operand[0];
    o->out = o->list ? NULL : o->cmd.operand[1];
    if (o->out && !is_folder(o->out) && !ends_with(o->out, ".safetensors"))
        return cli_usage(program,
                         "%s: OUT is a name that ends in .safetensors, or a folder (with a / at its end)",
                         o->out);
    return CMD_GO;
}

int main(int argc, char **argv)
{
    cli_start();
    options o = {0};
    const int status = parse(argc, argv, &o);
    return status == CMD_GO ? cmd_run(&o.cmd, run, &o) : status;
}
