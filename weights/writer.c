/* Files that are written whole or not at all. */
#include "weights/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct wt_writer {
    tn_ctx *ctx;      /* for memory and messages */
    char *path;       /* the target */
    char *folder;     /* the target again, for dirname() to cut */
    char *temporary;  /* beside it; NULL until it exists */
    FILE *stream;     /* on the temporary */
    tn_status status; /* of the first failure */
};

static tn_status writer_fail(wt_writer *writer, const char *what)
{
    if (writer->status == TN_OK)
        writer->status = wt_io_error(writer->ctx, writer->path, what);
    return writer->status;
}

/* Opens "PATH.tmp-PID-N" with the first N that is free. */
static tn_status open_temporary(wt_writer *writer)
{
    enum { TRIES = 100 };
    size_t room = strlen(writer->path) + 40;
    char *name = tn_alloc(writer->ctx, room, 1);
    if (!name)
        return writer->status = TN_NOMEM;
    int fd = -1;
    for (int i = 0; i < TRIES && fd < 0; i++) {
        snprintf(name, room, "%s.tmp-%ld-%d", writer->path, (long)getpid(), i);
        fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (fd < 0 && errno != EEXIST)
            break;
    }
    if (fd < 0) {
        writer_fail(writer, "cannot create");
        tn_free(writer->ctx, name);
        return writer->status;
    }
    writer->temporary = name;
    writer->stream = fdopen(fd, "wb");
    if (!writer->stream) {
        writer_fail(writer, "cannot create");
        close(fd);
    }
    return writer->status;
}

tn_status wt_create(tn_ctx *ctx, const char *path, wt_writer **out)
{
    *out = NULL;
    struct stat info;
    /* rename() would put a file in the place of a device. */
    if (stat(path, &info) == 0 && !S_ISREG(info.st_mode))
        return tn_fail(ctx, TN_IO, "%s: cannot create: it is a %s", path,
                       S_ISDIR(info.st_mode) ? "folder" : "device or pipe");
    wt_writer *writer = tn_zalloc(ctx, 1, sizeof *writer);
    if (!writer)
        return TN_NOMEM;
    writer->ctx = ctx;
    writer->path = tn_strdup(ctx, path);
    writer->folder = writer->path ? tn_strdup(ctx, path) : NULL;
    tn_status status = writer->folder ? open_temporary(writer) : TN_NOMEM;
    if (status != TN_OK) {
        wt_discard(writer);
        return status;
    }
    *out = writer;
    return TN_OK;
}

tn_status wt_write(wt_writer *writer, const void *data, size_t bytes)
{
    if (writer->status == TN_OK && bytes && fwrite(data, 1, bytes, writer->stream) != bytes)
        return writer_fail(writer, "cannot write");
    return writer->status;
}

tn_status wt_printf(wt_writer *writer, const char *format, ...)
{
    if (writer->status != TN_OK)
        return writer->status;
    va_list args;
    va_start(args, format);
    int n = vfprintf(writer->stream, format, args);
    va_end(args);
    return n < 0 ? writer_fail(writer, "cannot write") : TN_OK;
}

/* A rename is on the disk when its folder is. */
static tn_status sync_folder(wt_writer *writer)
{
    int fd = open(dirname(writer->folder), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    /* Some file systems cannot do it for folders, and say EINVAL. */
    if (fd < 0 || (fsync(fd) != 0 && errno != EINVAL))
        writer_fail(writer, "cannot sync its folder");
    if (fd >= 0)
        close(fd);
    return writer->status;
}

tn_status wt_commit(wt_writer *writer)
{
    if (writer->status == TN_OK && (fflush(writer->stream) != 0 || fsync(fileno(writer->stream)) != 0))
        writer_fail(writer, "cannot write");
    if (writer->status == TN_OK) {
        FILE *stream = writer->stream;
        writer->stream = NULL;
        if (fclose(stream) != 0)
            writer_fail(writer, "cannot write");
    }
    if (writer->status == TN_OK && rename(writer->temporary, writer->path) != 0)
        writer_fail(writer, "cannot rename its temporary file");
    if (writer->status == TN_OK) {
        tn_free(writer->ctx, writer->temporary);
        writer->temporary = NULL;
        sync_folder(writer);
    }
    tn_status status = writer->status;
    wt_discard(writer);
    return status;
}

void wt_discard(wt_writer *writer)
{
    if (!writer)
        return;
    if (writer->stream)
        fclose(writer->stream);
    if (writer->temporary)
        unlink(writer->temporary);
    tn_free(writer->ctx, writer->temporary);
    tn_free(writer->ctx, writer->folder);
    tn_free(writer->ctx, writer->path);
    tn_free(writer->ctx, writer);
}
