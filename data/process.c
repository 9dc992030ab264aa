/* Child processes. */
#include "data/process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
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

static tn_status start_failed(tn_ctx *ctx, const char *name, const char *program, int reason)
{
    if (reason == ENOENT)
        return tn_fail(ctx, TN_IO,
                       "%s: the program %s is needed for this and is not in PATH: install the package %s",
                       name, program, program);
    return tn_fail(ctx, TN_IO, "%s: the program %s cannot be started: %s", name, program, strerror(reason));
}

/* What the child does before it becomes the program: nothing on its standard input, our pipes behind the
 * other two, and no signal blocked or ignored that should end it. */
static int prepare(posix_spawn_file_actions_t *actions, posix_spawnattr_t *how, const char *dir, int out,
                   int err, int third)
{
    sigset_t none, pipe_signal;
    sigemptyset(&none);
    sigemptyset(&pipe_signal);
    sigaddset(&pipe_signal, SIGPIPE);
    int reason = posix_spawnattr_setsigmask(how, &none);
    if (reason == 0)
        reason = posix_spawnattr_setsigdefault(how, &pipe_signal);
    if (reason == 0)
        reason = posix_spawnattr_setflags(how, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    if (reason == 0)
        reason = posix_spawn_file_actions_addopen(actions, 0, "/dev/null", O_RDONLY, 0);
    if (reason == 0)
        reason = posix_spawn_file_actions_adddup2(actions, out, 1);
    if (reason == 0)
        reason = posix_spawn_file_actions_adddup2(actions, err, 2);
    if (reason == 0 && third >= 0)
        reason = posix_spawn_file_actions_adddup2(actions, third, 3);
    if (reason == 0 && dir)
        reason = posix_spawn_file_actions_addchdir_np(actions, dir);
    return reason;
}

/* Not fork(): that copies the tables of all our memory, and every page is then written to for the first time
 * once more. Returns 0 or why there is no child. */
static int spawn(char *const argv[], const char *dir, int out, int err, int third, pid_t *pid)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t how;
    int reason = posix_spawn_file_actions_init(&actions);
    if (reason != 0)
        return reason;
    reason = posix_spawnattr_init(&how);
    if (reason == 0) {
        reason = prepare(&actions, &how, dir, out, err, third);
        if (reason == 0)
            reason = posix_spawnp(pid, argv[0], &actions, &how, argv, environ);
        posix_spawnattr_destroy(&how);
    }
    posix_spawn_file_actions_destroy(&actions);
    return reason;
}

tn_status data_process_start(tn_ctx *ctx, const char *name, char *const argv[], const char *dir,
                             double stall_seconds, data_process_text *text, data_process *p)
{
    *p = (data_process){.program = argv[0],
                        .name = name,
                        .out = -1,
                        .err = -1,
                        .third = -1,
                        .text = text,
                        .stall_seconds = stall_seconds};
    int theirs[3] = {-1, -1, -1}, *const ours[3] = {&p->out, &p->err, &p->third};
    int reason = 0;
    for (int i = 0; reason == 0 && i < (text ? 3 : 2); i++) {
        int ends[2];
        if (make_pipe(ends)) {
            *ours[i] = ends[0];
            theirs[i] = ends[1];
        } else {
            reason = errno;
        }
    }
    pid_t pid = 0;
    if (reason == 0)
        reason = spawn(argv, dir, theirs[0], theirs[1], theirs[2], &pid);
    for (int i = 0; i < 3; i++)
        close_end(&theirs[i]);
    if (reason == 0) {
        p->pid = pid;
        return TN_OK;
    }
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

/* Keeps what comes by the third pipe. */
static void read_text(data_process *p)
{
    char more[4096];
    ssize_t got = read(p->third, more, sizeof more);
    if (got > 0) {
        data_process_text *t = p->text;
        const size_t left = t->room - t->count, take = (size_t)got < left ? (size_t)got : left;
        memcpy(t->bytes + t->count, more, take);
        t->count += take;
        t->cut = t->cut || take < (size_t)got;
    }
    if (got == 0 || (got < 0 && errno != EINTR && errno != EAGAIN))
        close_end(&p->third);
}

static tn_status stalled(tn_ctx *ctx, data_process *p)
{
    data_process_end(p);
    return tn_fail(ctx, TN_IO, "%s: %s was silent for %g seconds, and was ended", p->name, p->program,
                   p->stall_seconds);
}

/* Waits until there is output to read (or its end), reading what comes by the other pipes meanwhile. With
 * `any`, until one of them says something. */
static tn_status await_output(tn_ctx *ctx, data_process *p, bool any)
{
    for (;;) {
        struct pollfd watch[3] = {{p->out, POLLIN, 0}, {p->err, POLLIN, 0}, {p->third, POLLIN, 0}};
        int ready = poll(watch, 3, (int)(p->stall_seconds * 1000));
        if (ready < 0 && errno == EINTR)
            continue;
        if (ready == 0)
            return stalled(ctx, p);
        if (ready < 0)
            return tn_fail(ctx, TN_IO, "%s: waiting for %s failed: %s", p->name, p->program, strerror(errno));
        if (p->err >= 0 && watch[1].revents)
            read_log(p);
        if (p->third >= 0 && watch[2].revents)
            read_text(p);
        if (any || (p->out >= 0 && watch[0].revents))
            return TN_OK;
    }
}

/* Reads what there is, `room` bytes at most, waiting for the first; *got is 0 at the end. */
static tn_status read_some(tn_ctx *ctx, data_process *p, void *bytes, size_t room, size_t *got)
{
    *got = 0;
    while (p->out >= 0) {
        TN_TRY(await_output(ctx, p, false));
        ssize_t n = read(p->out, bytes, room);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return tn_fail(ctx, TN_IO, "%s: reading from %s failed: %s", p->name, p->program,
                           strerror(errno));
        if (n == 0)
            close_end(&p->out);
        *got = (size_t)n;
        return TN_OK;
    }
    return TN_OK;
}

tn_status data_process_read(tn_ctx *ctx, data_process *p, void *bytes, size_t count, size_t *got)
{
    *got = 0;
    while (*got < count) {
        char *to = (char *)bytes + *got;
        size_t want = count - *got, some = p->ahead_end - p->ahead_begin;
        if (some > 0) {
            some = some < want ? some : want;
            memcpy(to, p->ahead + p->ahead_begin, some);
            p->ahead_begin += some;
        } else if (want >= sizeof p->ahead) {
            TN_TRY(read_some(ctx, p, to, want, &some));
            if (some == 0)
                return TN_OK;
        } else {
            p->ahead_begin = 0;
            TN_TRY(read_some(ctx, p, p->ahead, sizeof p->ahead, &p->ahead_end));
            if (p->ahead_end == 0)
                return TN_OK;
            continue;
        }
        *got += some;
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
    while (p->err >= 0 || p->third >= 0)
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
    close_end(&p->third);
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
