/* command: a program's command line, described by a table.
 *
 * A program describes its options in an array of cmd_option, calls cmd_parse() and goes on only where that
 * returns CMD_GO. Results go to stdout; messages go to stderr, one line each, beginning with the program's
 * name.
 */
#ifndef APPS_COMMON_COMMAND_H
#define APPS_COMMON_COMMAND_H

#include "apps/common/cli.h"

/* What cmd_parse() returns when the program is to go on; every other value is an exit status. */
enum { CMD_GO = -1 };

/* Where an option's value goes. */
typedef enum cmd_type {
    CMD_FLAG,     /* bool, set to true; takes no value */
    CMD_TEXT,     /* const char *, borrowed from argv; not empty */
    CMD_TEXTS,    /* cmd_texts: the same, as often as it is given */
    CMD_INT,      /* int, from low to high */
    CMD_U64,      /* uint64_t */
    CMD_NUMBER,   /* double, from low to high, finite */
    CMD_PRECISION /* tn_precision: "fp32" or "bf16" */
} cmd_type;

/* The values of an option that may be given more than once, in order. */
enum { CMD_MAX_TEXTS = 64 };
typedef struct cmd_texts {
    const char *text[CMD_MAX_TEXTS]; /* borrowed from argv; not empty */
    int count;                       /* of them */
} cmd_texts;

typedef struct cmd_option {
    const char *name;  /* "num-frames" for --num-frames */
    char letter;       /* 'o' for -o, 0: none */
    cmd_type type;     /* of `out` */
    const char *value; /* what --help calls the value: "N"; NULL for a flag */
    const char *help;  /* one line; a line end goes on in the same column */
    void *out;         /* where the value goes; keeps its value where the option is not given */
    double low, high;  /* CMD_INT and CMD_NUMBER: the range, both ends allowed */
} cmd_option;

/* Entries of such an array; -o needs a letter too. */
cmd_option cmd_flag(const char *name, const char *help, bool *out);
cmd_option cmd_text(const char *name, const char *value, const char *help, const char **out);
cmd_option cmd_list(const char *name, const char *value, const char *help, cmd_texts *out);
cmd_option cmd_int(const char *name, const char *value, const char *help, int *out, int low, int high);
cmd_option cmd_number(const char *name, const char *value, const char *help, double *out, double low,
                      double high);
cmd_option cmd_with_letter(char letter, cmd_option option);

/* Options that several programs have; each is offered where its bit is in cmd_line.offers. --help and
 * --version always are. */
enum {
    CMD_OFFERS_THREADS = 1,
    CMD_OFFERS_SEED = 2,
    CMD_OFFERS_QUIET = 4,
    CMD_OFFERS_JSON = 8,
    CMD_OFFERS_PROFILE = 16,
    CMD_OFFERS_PRECISION = 32
};

typedef struct cmd_line {
    const char *program;       /* its name */
    const char *usage;         /* lines behind "usage: NAME ", separated by line ends */
    const char *about;         /* what the program does: --help prints it below the usage */
    const char *exits;         /* what --help adds to the exit statuses: "3 ..."; NULL: nothing */
    const cmd_option *options; /* the program's own; of use to cmd_parse() alone */
    int option_count;          /* of `options`, at most CMD_MAX_OPTIONS */
    int offers;                /* bits of CMD_OFFERS_ */
    int max_operands;          /* arguments that are no options; more are wrong usage; -1: any number */
    int threads;               /* --threads; 0: one per core */
    uint64_t seed;             /* --seed */
    bool quiet;                /* --quiet: no notes and no progress */
    bool json;                 /* --json */
    bool profile;              /* --profile */
    tn_precision precision;    /* --precision of the video network */
    char **operand;            /* arguments that are no options, in order: set by cmd_parse() */
    int operand_count;         /* of them */
} cmd_line;

enum { CMD_MAX_OPTIONS = 48 };

/* Reads the command line; fields of `cmd` keep what they had where an option is not given. Returns CMD_GO, or
 * the status to exit with: after --help and --version CLI_OK, after a mistake (which it has told)
 * CLI_USAGE. Options and operands may be mixed; "--" ends the options. No operand is empty. */
int cmd_parse(cmd_line *cmd, int argc, char **argv);

/* "PROGRAM: note: message" on stderr unless --quiet was given. */
void cmd_note(const cmd_line *cmd, const char *format, ...) TN_PRINTF(2, 3);

/* Calls run(ctx, args), which returns an exit status, with a context of --threads threads; tells the error
 * that is then recorded in it, and whether stdout could be written. Returns what main() is to return. */
int cmd_run(const cmd_line *cmd, int (*run)(tn_ctx *ctx, void *args), void *args);

#endif
