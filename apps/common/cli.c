#include "apps/common/cli.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

void cli_start(void)
{
    signal(SIGXFSZ, SIG_IGN);
}

int cli_fail(const char *program, const tn_ctx *ctx)
{
    fprintf(stderr, "%s: %s\n", program, tn_error(ctx));
    return CLI_FAILED;
}

void cli_warn(const char *program, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fprintf(stderr, "%s: ", program);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
}

int cli_usage(const char *program, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fprintf(stderr, "%s: ", program);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    return cli_try_help(program);
}

int cli_try_help(const char *program)
{
    fprintf(stderr, "Try '%s --help'.\n", program);
    return CLI_USAGE;
}

int cli_version(const char *program)
{
    printf("%s (valence) %s\n", program, VALENCE_VERSION);
    return cli_finish(program, CLI_OK);
}

int cli_finish(const char *program, int status)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return status;
    fprintf(stderr, "%s: standard output: %s\n", program, strerror(errno));
    return CLI_FAILED;
}
