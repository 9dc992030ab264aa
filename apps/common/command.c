#include "apps/common/command.h"

#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Options with the common ones behind, and what getopt_long() wants of them. */
typedef struct cmd_table {
    cmd_option option[CMD_MAX_OPTIONS + 8];       /* all of them */
    struct option entry[CMD_MAX_OPTIONS + 8 + 1]; /* the same; `val` is FIRST_LONG + index */
    char letters[2 * (CMD_MAX_OPTIONS + 8) + 2];  /* getopt's string of short options */
    int count;                                    /* of `option` */
    bool help, version;                           /* whether these were given */
} cmd_table;

enum { FIRST_LONG = 256, MAX_THREADS = 1024, LINE_BYTES = 4096 };

/* ---- running --------------------------------------------------------------------------------------- */

void cmd_note(const cmd_line *cmd, const char *format, ...)
{
    if (cmd->quiet)
        return;
    char text[LINE_BYTES];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    cli_warn(cmd->program, "note: %s", text);
}

static tn_ctx *make_context(const cmd_line *cmd)
{
    tn_ctx *ctx = NULL;
    const tn_options options = {.threads = cmd->threads};
    const tn_status status = tn_ctx_create(&options, &ctx);
    if (status == TN_OK)
        return ctx;
    const char *isa = getenv("VALENCE_ISA");
    if (status == TN_UNSUPPORTED && isa)
        cli_warn(cmd->program, "VALENCE_ISA=%s: this machine or this build does not have it", isa);
    else
        cli_warn(cmd->program, "cannot start: %s", tn_status_text(status));
    return NULL;
}

int cmd_run(const cmd_line *cmd, int (*run)(tn_ctx *ctx, void *args), void *args)
{
    tn_ctx *ctx = make_context(cmd);
    if (!ctx)
        return CLI_FAILED;
    const int status = run(ctx, args);
    if (*tn_error(ctx))
        cli_fail(cmd->program, ctx);
    tn_ctx_destroy(ctx);
    return cli_finish(cmd->program, status);
}

/* ---- options --------------------------------------------------------------------------------------- */

cmd_option cmd_flag(const char *name, const char *help, bool *out)
{
    return (cmd_option){.name = name, .type = CMD_FLAG, .help = help, .out = out};
}

cmd_option cmd_text(const char *name, const char *value, const char *help, const char **out)
{
    return (cmd_option){.name = name, .type = CMD_TEXT, .value = value, .help = help, .out = out};
}

cmd_option cmd_list(const char *name, const char *value, const char *help, cmd_texts *out)
{
    return (cmd_option){.name = name, .type = CMD_TEXTS, .value = value, .help = help, .out = out};
}

cmd_option cmd_int(const char *name, const char *value, const char *help, int *out, int low, int high)
{
    return (cmd_option){
        .name = name, .type = CMD_INT, .value = value, .help = help, .out = out, .low = low, .high = high};
}

cmd_option cmd_number(const char *name, const char *value, const char *help, double *out, double low,
                      double high)
{
    return (cmd_option){
        .name = name, .type = CMD_NUMBER, .value = value, .help = help, .out = out, .low = low, .high = high};
}

cmd_option cmd_with_letter(char letter, cmd_option option)
{
    option.letter = letter;
    return option;
}

static void add_common(cmd_line *cmd, cmd_table *table)
{
    cmd_option seed = {.name = "seed", .type = CMD_U64, .value = "N", .help = "of random numbers"};
    seed.out = &cmd->seed;
    cmd_option precision = {.name = "precision", .type = CMD_PRECISION, .value = "P"};
    precision.help = "of the video network: fp32 (default) or bf16, which is faster\n"
                     "and less exact and needs AVX512_BF16";
    precision.out = &cmd->precision;
    const struct {
        int bit;           /* of cmd->offers; 0: always */
        cmd_option option; /* what it offers */
    } common[] = {
        {CMD_OFFERS_JSON, cmd_flag("json", "JSON, one object a line", &cmd->json)},
        {CMD_OFFERS_PROFILE,
         cmd_flag("profile", "tell on stderr where each network's time goes", &cmd->profile)},
        {CMD_OFFERS_SEED, seed},
        {CMD_OFFERS_PRECISION, precision},
        {CMD_OFFERS_THREADS,
         cmd_int("threads", "N", "how many (default: one per core); no result depends on it", &cmd->threads,
                 1, MAX_THREADS)},
        {CMD_OFFERS_QUIET, cmd_flag("quiet", "no notes and no progress on stderr", &cmd->quiet)},
        {0, cmd_flag("help", "this text", &table->help)},
        {0, cmd_flag("version", "the version", &table->version)},
    };
    for (size_t i = 0; i < sizeof common / sizeof common[0]; i++)
        if (common[i].bit == 0 || (cmd->offers & common[i].bit))
            table->option[table->count++] = common[i].option;
}

static void make_table(cmd_line *cmd, cmd_table *table)
{
    memset(table, 0, sizeof *table);
    for (int i = 0; i < cmd->option_count && i < CMD_MAX_OPTIONS; i++)
        table->option[table->count++] = cmd->options[i];
    add_common(cmd, table);
    char *letter = table->letters;
    *letter++ = ':'; /* a missing value is told apart from an unknown option */
    for (int i = 0; i < table->count; i++) {
        const cmd_option *o = &table->option[i];
        const int wants = o->type == CMD_FLAG ? no_argument : required_argument;
        table->entry[i] = (struct option){.name = o->name, .has_arg = wants, .val = FIRST_LONG + i};
        if (o->letter) {
            *letter++ = o->letter;
            if (wants == required_argument)
                *letter++ = ':';
        }
    }
    *letter = '\0';
}

static const cmd_option *find_option(const cmd_table *table, int val)
{
    if (val >= FIRST_LONG)
        return &table->option[val - FIRST_LONG];
    for (int i = 0; i < table->count; i++)
        if (table->option[i].letter == val)
            return &table->option[i];
    return NULL;
}

/* strtod() also takes hexadecimal numbers, "inf" and leading blanks; an option's value is a plain number. */
static bool parse_number(const char *text, double *out)
{
    if (!*text || text[strspn(text, "+-.0123456789eE")] != '\0')
        return false;
    char *end;
    errno = 0;
    *out = strtod(text, &end);
    return *end == '\0' && isfinite(*out);
}

static bool parse_u64(const char *text, uint64_t *out)
{
    if (!*text || text[strspn(text, "0123456789")] != '\0')
        return false;
    errno = 0;
    *out = strtoull(text, NULL, 10);
    return errno == 0;
}

static int store_text(const cmd_line *cmd, const cmd_option *o, const char *text)
{
    if (!*text)
        return cli_usage(cmd->program, "--%s: the %s is empty", o->name, o->value);
    if (o->type == CMD_TEXT) {
        *(const char **)o->out = text;
        return CMD_GO;
    }
    cmd_texts *texts = o->out;
    if (texts->count == CMD_MAX_TEXTS)
        return cli_usage(cmd->program, "--%s is there more than %d times", o->name, CMD_MAX_TEXTS);
    texts->text[texts->count++] = text;
    return CMD_GO;
}

static int store(const cmd_line *cmd, const cmd_option *o, const char *text)
{
    double number = 0;
    switch (o->type) {
    case CMD_FLAG:
        *(bool *)o->out = true;
        return CMD_GO;
    case CMD_TEXT:
    case CMD_TEXTS:
        return store_text(cmd, o, text);
    case CMD_INT:
        if (!parse_number(text, &number) || number < o->low || number > o->high || number != floor(number))
            return cli_usage(cmd->program, "--%s cannot be '%s', expected a whole number from %.0f to %.0f",
                             o->name, text, o->low, o->high);
        *(int *)o->out = (int)number;
        return CMD_GO;
    case CMD_U64:
        if (!parse_u64(text, o->out))
            return cli_usage(cmd->program, "--%s cannot be '%s', expected a whole number from 0 to %llu",
                             o->name, text, (unsigned long long)UINT64_MAX);
        return CMD_GO;
    case CMD_NUMBER:
        if (!parse_number(text, &number) || number < o->low || number > o->high)
            return cli_usage(cmd->program, "--%s cannot be '%s', expected a number from %g to %g", o->name,
                             text, o->low, o->high);
        *(double *)o->out = number;
        return CMD_GO;
    case CMD_PRECISION:
        if (strcmp(text, "fp32") != 0 && strcmp(text, "bf16") != 0)
            return cli_usage(cmd->program, "--%s cannot be '%s', expected fp32 or bf16", o->name, text);
        *(tn_precision *)o->out = *text == 'b' ? TN_BF16 : TN_FP32;
        return CMD_GO;
    }
    return CMD_GO;
}

/* ---- help ------------------------------------------------------------------------------------------ */

enum { HELP_COLUMN = 26 };

static void print_usage(const cmd_line *cmd)
{
    const char *line = cmd->usage;
    for (const char *lead = "Usage:"; line; lead = "      ") {
        const size_t length = strcspn(line, "\n");
        printf("%s %s %.*s\n", lead, cmd->program, (int)length, line);
        line = line[length] ? line + length + 1 : NULL;
    }
}

static void print_option(const cmd_option *o)
{
    int column = printf("  ");
    if (o->letter)
        column += printf("-%c, ", o->letter);
    column += printf("--%s%s%s", o->name, o->value ? " " : "", o->value ? o->value : "");
    if (column >= HELP_COLUMN) {
        printf("\n");
        column = 0;
    }
    printf("%*s", HELP_COLUMN - column, "");
    for (const char *line = o->help;;) {
        const size_t length = strcspn(line, "\n");
        printf("%.*s\n", (int)length, line);
        if (!line[length])
            return;
        line += length + 1;
        printf("%*s", HELP_COLUMN, "");
    }
}

static void print_help(const cmd_line *cmd, const cmd_table *table)
{
    print_usage(cmd);
    printf("\n%s\n\n", cmd->about);
    for (int i = 0; i < table->count; i++)
        print_option(&table->option[i]);
    printf("\nExit status: 0 done, 1 failed, 2 wrong usage%s%s.\n", cmd->exits ? ", " : "",
           cmd->exits ? cmd->exits : "");
}

/* What is wrong with `word`, which begins with two minuses: getopt takes beginnings of names, but not those
 * of several. */
static const char *name_fault(const cmd_table *table, const char *word)
{
    const size_t length = strcspn(word + 2, "=");
    int fits = 0;
    for (int i = 0; i < table->count; i++)
        fits += strncmp(table->option[i].name, word + 2, length) == 0;
    return fits > 1 ? "ambiguous" : "unrecognized";
}

int cmd_parse(cmd_line *cmd, int argc, char **argv)
{
    cmd_table table;
    make_table(cmd, &table);
    opterr = 0;
    for (int val; (val = getopt_long(argc, argv, table.letters, table.entry, NULL)) != -1;) {
        if (val == '?') {
            /* Of an unknown long option only its place in argv is known, of a short one only its letter. */
            const char *word = argv[optind - 1];
            if (optopt == 0)
                return cli_usage(cmd->program, "%s option '%s'", name_fault(&table, word), word);
            if (optopt >= FIRST_LONG)
                return cli_usage(cmd->program, "--%s: takes no value", find_option(&table, optopt)->name);
            return cli_usage(cmd->program, "unrecognized option '-%c'", optopt);
        }
        if (val == ':') {
            const cmd_option *o = find_option(&table, optopt);
            return cli_usage(cmd->program, "--%s: the %s is missing", o->name, o->value);
        }
        const cmd_option *o = find_option(&table, val);
        const int status = store(cmd, o, optarg);
        if (status != CMD_GO)
            return status;
    }
    if (table.help || table.version) {
        if (table.help)
            print_help(cmd, &table);
        else
            return cli_version(cmd->program);
        return cli_finish(cmd->program, CLI_OK);
    }
    cmd->operand = argv + optind;
    cmd->operand_count = argc - optind;
    if (cmd->max_operands >= 0 && cmd->operand_count > cmd->max_operands)
        return cli_usage(cmd->program, "'%s' is one argument too many", cmd->operand[cmd->max_operands]);
    for (int i = 0; i < cmd->operand_count; i++)
        if (!*cmd->operand[i])
            return cli_usage(cmd->program, "an argument is empty, expected the name of a file or folder");
    return CMD_GO;
}
