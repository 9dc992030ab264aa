/* Whole files in and out. */
#include "data/files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static tn_status read_open(tn_ctx *ctx, const char *path, int fd, size_t max, unsigned char **bytes,
                           size_t *count)
{
    struct stat info;
    if (fstat(fd, &info) != 0)
        return tn_fail(ctx, TN_IO, "%s: %s", path, strerror(errno));
    if (S_ISDIR(info.st_mode))
        return tn_fail(ctx, TN_IO, "%s: a folder, where a file is expected", path);
    if (!S_ISREG(info.st_mode))
        return tn_fail(ctx, TN_IO, "%s: not a regular file", path);
    size_t size = (size_t)info.st_size;
    if (size > max)
        return tn_fail(ctx, TN_RANGE, "%s: %zu bytes, more than the %zu that are read", path, size, max);
    unsigned char *buffer = tn_alloc(ctx, size, 1);
    if (!buffer)
        return TN_NOMEM;
    size_t used = 0;
    while (used < size) {
        ssize_t got = read(fd, buffer + used, size - used);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) {
            tn_free(ctx, buffer);
            return tn_fail(ctx, TN_IO, "%s: reading failed: %s", path, strerror(errno));
        }
        if (got == 0)
            break;
        used += (size_t)got;
    }
    *bytes = buffer;
    *count = used;
    return TN_OK;
}

tn_status data_read_file(tn_ctx *ctx, const char *path, size_t max, unsigned char **bytes, size_t *count)
{
    *bytes = NULL;
    *count = 0;
    /* Not to hang on a pipe without a writer. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return tn_fail(ctx, TN_IO, "%s: %s", path, strerror(errno));
    tn_status status = read_open(ctx, path, fd, max, bytes, count);
    close(fd);
    return status;
}

/* "DIR/.NAME.PID-i.tmp" for "DIR/NAME". */
static char *temporary_name(tn_ctx *ctx, const char *path, int i)
{
    size_t room = strlen(path) + 40;
    char *name = tn_alloc(ctx, room, 1);
    if (!name)
        return NULL;
    const char *slash = strrchr(path, '/');
    int dir = slash ? (int)(slash - path + 1) : 0;
    snprintf(name, room, "%.*s.%s.%ld-%d.tmp", dir, path, path + dir, (long)getpid(), i);
    return name;
}

/* So that a rename survives a crash. A folder that cannot be opened for that is no reason to fail. */
static void sync_folder_of(const char *path)
{
    char dir[PATH_MAX];
    const char *slash = strrchr(path, '/');
    size_t length = slash ? (size_t)(slash - path) : 0;
    if (length >= sizeof dir)
        return;
    memcpy(dir, path, length);
    dir[length] = '\0';
    int fd = open(!slash ? "." : length ? dir : "/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        fsync(fd);
        close(fd);
    }
}

static bool write_all(int fd, const unsigned char *bytes, size_t count)
{
    while (count > 0) {
        ssize_t put = write(fd, bytes, count);
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0) {
            errno = put < 0 ? errno : EIO;
            return false;
        }
        bytes += put;
        count -= (size_t)put;
    }
    return true;
}

enum { TEMPORARY_TRIES = 100 };

tn_status data_write_file(tn_ctx *ctx, const char *path, const void *bytes, size_t count)
{
    char *temporary = NULL;
    int fd = -1, reason = 0;
    for (int i = 0; fd < 0 && i < TEMPORARY_TRIES; i++) {
        tn_free(ctx, temporary);
        temporary = temporary_name(ctx, path, i);
        if (!temporary)
            return TN_NOMEM;
        fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        reason = fd < 0 ? errno : 0;
        if (fd < 0 && reason != EEXIST)
            break;
    }
    if (fd >= 0) {
        if (!write_all(fd, bytes, count) || fsync(fd) != 0)
            reason = errno;
        if (close(fd) != 0 && !reason)
            reason = errno;
        if (!reason && rename(temporary, path) != 0)
            reason = errno;
        if (reason)
            unlink(temporary);
        else
            sync_folder_of(path);
    }
    tn_free(ctx, temporary);
    return reason ? tn_fail(ctx, TN_IO, "%s: cannot be written: %s", path, strerror(reason)) : TN_OK;
}

tn_status data_make_folder(tn_ctx *ctx, const char *path, char **temporary)
{
    int reason = 0;
    *temporary = NULL;
    for (int i = 0; i < TEMPORARY_TRIES; i++) {
        char *name = temporary_name(ctx, path, i);
        if (!name)
            return TN_NOMEM;
        if (mkdir(name, 0777) == 0) {
            *temporary = name;
            return TN_OK;
        }
        reason = errno;
        tn_free(ctx, name);
        if (reason != EEXIST)
            break;
    }
    return tn_fail(ctx, TN_IO, "%s: cannot be made: %s", path, strerror(reason));
}

tn_status data_check_place(tn_ctx *ctx, const char *dir)
{
    DIR *folder = opendir(dir);
    if (!folder && errno == ENOENT)
        return TN_OK;
    if (!folder) {
        const int reason = errno;
        struct stat info;
        /* Else it is one above that is no folder. */
        const bool file = reason == ENOTDIR && lstat(dir, &info) == 0;
        return tn_fail(ctx, TN_IO, "%s: %s", dir, file ? "a file of that name is there" : strerror(reason));
    }
    int entries = 0;
    while (readdir(folder))
        entries++;
    closedir(folder);
    return entries <= 2 ? TN_OK : tn_fail(ctx, TN_IO, "%s: the folder is there and is not empty", dir);
}

tn_status data_rename_folder(tn_ctx *ctx, const char *temporary, const char *path)
{
    if (rename(temporary, path) != 0)
        return tn_fail(ctx, TN_IO, "%s: cannot be made: %s", path, strerror(errno));
    sync_folder_of(path);
    return TN_OK;
}

static int remove_entry(const char *path, const struct stat *info, int type, struct FTW *where)
{
    (void)info, (void)type, (void)where;
    remove(path);
    return 0;
}

void data_remove_folder(const char *path)
{
    nftw(path, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

char *data_without_slash(tn_ctx *ctx, const char *dir)
{
    char *path = tn_strdup(ctx, dir);
    for (size_t n = path ? strlen(path) : 0; n > 1 && path[n - 1] == '/'; n--)
        path[n - 1] = '\0';
    return path;
}

char *data_join(tn_ctx *ctx, const char *dir, const char *name)
{
    size_t length = strlen(dir), room = length + strlen(name) + 2;
    char *path = tn_alloc(ctx, room, 1);
    if (path)
        snprintf(path, room, "%s%s%s", dir, length > 0 && dir[length - 1] == '/' ? "" : "/", name);
    return path;
}

const char *data_first_bytes(const unsigned char *bytes, size_t count, char text[DATA_BYTES_TEXT])
{
    int used = snprintf(text, DATA_BYTES_TEXT, count ? "first bytes" : "it is empty");
    for (size_t i = 0; i < count && i < 8; i++)
        used += snprintf(text + used, DATA_BYTES_TEXT - (size_t)used, " %02x", bytes[i]);
    return text;
}
