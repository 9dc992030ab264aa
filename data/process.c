/* Child processes. */
#include "data/process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* A pipe that no other child inherits, with ends above the standard three even where those are closed. */
static bool make_pipe(int ends[2])
{
    if (pipe2(ends, O_CLOEXEC) != 0)
        return false;
    for (int i = 0; i < 2; i++) {
        if (ends[i] > 2)
            continue;
        int higher = fcntl(ends[i], F_DUPFD_CLOEXEC, 3);
        int reason = errno;
        close(ends[i]);
        ends[i] = higher;
        if (higher < 0) {
            close(ends[1 - i]);
            errno = reason;
            return false;
        }
    }
    return true;
}

static void close_end(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

/* The child's side of the fork: only what is safe there. Reports errno through `report` where it fails. */
static void run_child(char *const argv[], const char *dir, int out, int err, int report)
{
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_DFL);
    int null = open("/dev/null", O_RDONLY);
    if (null >= 0 && dup2(null, 0) == 0 && dup2(out, 1) == 1 && dup2(err, 2) == 2 &&
        (!dir || chdir(dir) == 0))
        execvp(argv[0], argv);
    int reason = errno;
    ssize_t put = write(report, &reason, sizeof reason);
    _exit(put < 0 ? 126 : 127);
}

static tn_status start_failed(tn_ctx *ctx, const char *name, const char *program, int reason)
{
    if (reason == ENOENT)
        return tn_fail(ctx, TN_IO,
                       "%s: the program %s is needed for this and is not in PATH: install the package %s",
                       name, program, program);
    return tn_fail(ctx, TN_IO, "%s: the program %s cannot be started: %s", name, program, strerror(reason));
}

/* Waits until the child runs its program; 0, or the errno that kept it from that. */
static int await_start(int report)
{
    int reason = 0;
    ssize_t got;
    do
        got = read(report, &reason, sizeof reason);
    while (got < 0 && errno == EINTR);
    return got == (ssize_t)sizeof reason ? reason : 0;
}

tn_status data_process_start(tn_ctx *ctx, const char *name, char *const argv[], const char *dir,
                             double stall_seconds, data_process *p)
{
    *p = (data_process){
        .program = argv[0], .name = name, .out = -1, .err = -1, .stall_seconds = stall_seconds};
    int pipes[3][2] = {{-1, -1}, {-1, -1}, {-1, -1}}; /* output, error, and how the start went */
    for (int i = 0; i < 3; i++)
        if (!make_pipe(pipes[i])) {
            int reason = errno;
            for (int k = 0; k < i; k++) {
                close(pipes[k][0]);
                close(pipes[k][1]);
            }
            return start_failed(ctx, name, argv[0], reason);
        }
    pid_t pid = fork();
    int reason = pid < 0 ? errno : 0;
    if (pid == 0)
        run_child(argv, dir, pipes[0][1], pipes[1][1], pipes[2][1]);
    for (int i = 0; i < 3; i++)
        close(pipes[i][1]);
    p->out = pipes[0][0];
    p->err = pipes[1][0];
    if (pid > 0) {
        p->pid = pid;
        reason = await_start(pipes[2][0]);
    }
    close(pipes[2][0]);
    if (reason == 0)
        return TN_OK;
    data_process_end(p);
    return start_failed(ctx, name, argv[0], reason);
}

/* Keeps the end of what comes on standard error; false at its end. */
static bool read_log(data_process *p)
{
    if (p->log_count > DATA_PROCESS_LOG / 2) {
        size_t drop = p->log_count - DATA_PROCESS_LOG / 4;
        memmove(p->log, p->log + drop, p->log_count - drop);
        p->log_count -= drop;
    }
    ssize_t got = read(p->err, p->log + p->log_count, sizeof p->log - 1 - p->log_count);
    if (got > 0)
        p->log_count += (size_t)got;
    if (got == 0 || (got < 0 && errno != EINTR && errno != EAGAIN))
        close_end(&p->err);
    return p->err >= 0;
}

static tn_status stalled(tn_ctx *ctx, data_process *p)
{
    data_process_end(p);
    return tn_fail(ctx, TN_IO, "%s: %s was silent for %g seconds, and was ended", p->name, p->program,
                   p->stall_seconds);
}

/* Waits until there is output to read (or its end), reading what comes on standard error meanwhile. With
 * `both`, until either says something. */
static tn_status await_output(tn_ctx *ctx, data_process *p, bool both)
{
    for (;;) {
        struct pollfd watch[2] = {{p->out, POLLIN, 0}, {p->err, POLLIN, 0}};
        int ready = poll(watch, 2, (int)(p->stall_seconds * 1000));
        if (ready < 0 && errno == EINTR)
            continue;
        if (ready == 0)
            return stalled(ctx, p);
        if (ready < 0)
            return tn_fail(ctx, TN_IO, "%s: waiting for %s failed: %s", p->name, p->program, strerror(errno));
        if (p->err >= 0 && watch[1].revents)
            read_log(p);
        if (both || (p->out >= 0 && watch[0].revents))
            return TN_OK;
    }
}

tn_status data_process_read(tn_ctx *ctx, data_process *p, void *bytes, size_t count, size_t *got)
{
    *got = 0;
    while (*got < count && p->out >= 0) {
        TN_TRY(await_output(ctx, p, false));
        ssize_t n = read(p->out, (char *)bytes + *got, count - *got);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return tn_fail(ctx, TN_IO, "%s: reading from %s failed: %s", p->name, p->program,
                           strerror(errno));
        if (n == 0)
            close_end(&p->out);
        *got += (size_t)n;
    }
    return TN_OK;
}

/* What waitpid() says of a child that has ended. */
static int exit_status(int status)
{
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + (WIFSIGNALED(status) ? WTERMSIG(status) : 0);
}

tn_status data_process_wait(tn_ctx *ctx, data_process *p, int *status)
{
    char ignored[4096];
    size_t got;
    *status = 0;
    do
        TN_TRY(data_process_read(ctx, p, ignored, sizeof ignored, &got));
    while (got > 0);
    while (p->err >= 0)
        TN_TRY(await_output(ctx, p, true));
    /* All it had to say is said; it should be gone at once. */
    for (double waited = 0; p->pid > 0; waited += 0.005) {
        int how = 0;
        pid_t pid = waitpid(p->pid, &how, WNOHANG);
        if (pid == p->pid || (pid < 0 && errno != EINTR)) {
            /* A program that ignores SIGCHLD has its children's statuses thrown away. */
            *status = pid < 0 ? 0 : exit_status(how);
            p->pid = 0;
        } else if (waited > p->stall_seconds) {
            return stalled(ctx, p);
        } else {
            nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
        }
    }
    return TN_OK;
}

void data_process_end(data_process *p)
{
    close_end(&p->out);
    close_end(&p->err);
    if (p->pid > 0) {
        kill(p->pid, SIGKILL);
        while (waitpid(p->pid, NULL, 0) < 0 && errno == EINTR)
            ;
    }
    p->pid = 0;
}

/* Steps over "[mov,mp4,m4a,3gp,3g2,mj2 @ 0x55d0c8a7c2c0] ". */
static char *without_address(char *line)
{
    while (*line == '[') {
        char *end = strstr(line, "] ");
        if (!end || !strstr(line, " @ 0x") || strstr(line, " @ 0x") > end)
            break;
        line = end + 2;
    }
    return line;
}

const char *data_process_complaint(data_process *p)
{
    p->log[p->log_count] = '\0';
    for (char *end = p->log + p->log_count; end > p->log;) {
        while (end > p->log && (end[-1] == '\n' || end[-1] == '\r' || end[-1] == ' '))
            *--end = '\0';
        char *line = end;
        while (line > p->log && line[-1] != '\n' && line[-1] != '\r')
            line--;
        char *text = without_address(line);
        if (*text && strcmp(text, "Conversion failed!") != 0)
            return text;
        end = line;
    }
    return "it said nothing";
}
