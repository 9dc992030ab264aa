#include "apps/common/cli.h"

#include "weights/weights.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { LINE_BYTES = 4096 };

void cli_start(void)
{
    signal(SIGXFSZ, SIG_IGN);
    /* The lowest free number is what open() gives, so that each finds its place. Opened the wrong way round,
     * a standard output that was closed still cannot be written. */
    for (int fd = 0; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0 && errno == EBADF)
            open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY);
}

/* "PROGRAM: MESSAGE" as one printable line, whatever a file's name holds; the caller ends it. */
static void print_message(const char *program, const char *format, va_list args)
{
    char text[LINE_BYTES], line[LINE_BYTES];
    vsnprintf(text, sizeof text, format, args);
    fflush(stdout);
    fprintf(stderr, "%s: %s", program, wt_printable(text, line, sizeof line));
}

void cli_line(const char *format, ...)
{
    char text[LINE_BYTES], line[LINE_BYTES];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    puts(wt_printable(text, line, sizeof line));
}

int cli_fail(const char *program, const tn_ctx *ctx)
{
    cli_warn(program, "%s", tn_error(ctx));
    return CLI_FAILED;
}

void cli_warn(const char *program, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    print_message(program, format, args);
    fputc('\n', stderr);
    va_end(args);
}

int cli_usage(const char *program, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    print_message(program, format, args);
    fprintf(stderr, ". Try '%s --help'.\n", program);
    va_end(args);
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
