/* What the programs' main()s share: starting, failing, usage errors. */
#ifndef APPS_CLI_H
#define APPS_CLI_H

#include "libtensor/tensor.h"

/* Exit statuses. */
enum {
    CLI_OK = 0,
    CLI_FAILED = 1, /* the message is on standard error */
    CLI_USAGE = 2,  /* wrong options or arguments */
    CLI_PARTIAL = 3 /* a batch was finished, but some of it failed */
};

/* First thing in main(): a limit on file sizes becomes an error of write() instead of a signal, so that no
 * half-written file stays behind; and where one of the three standard files is closed, no file that is opened
 * later takes its number and what is printed. */
void cli_start(void);

/* A line of results on standard output, one line whatever a file's name in it holds. */
void cli_line(const char *format, ...) TN_PRINTF(1, 2);

/* "PROGRAM: the context's message" on standard error; CLI_FAILED. */
int cli_fail(const char *program, const tn_ctx *ctx);

/* "PROGRAM: message" on standard error; the caller goes on. */
void cli_warn(const char *program, const char *format, ...) TN_PRINTF(2, 3);

/* A message and where to find help, on standard error; CLI_USAGE. */
int cli_usage(const char *program, const char *format, ...) TN_PRINTF(2, 3);

/* "PROGRAM (valence) VERSION" on standard output; what cli_finish() says. */
int cli_version(const char *program);

/* Last thing in main(): CLI_FAILED with a message where standard output could not be written, else `status`.
 */
int cli_finish(const char *program, int status);

#endif
