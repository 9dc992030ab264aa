#include "data/mp4.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAX_BOXES = 4096 }; /* looked at in a file */

/* A file, and how much of it may still be looked at. */
typedef struct source {
    int fd;    /* of it */
    int boxes; /* so many more */
} source;

/* A box: what is in it. */
typedef struct box {
    char type[4];       /* its name */
    int64_t begin, end; /* of its content, in the file */
} box;

static bool read_at(const source *s, void *bytes, size_t count, int64_t at)
{
    return pread(s->fd, bytes, count, (off_t)at) == (ssize_t)count;
}

static uint64_t number(const unsigned char *p, int bytes)
{
    uint64_t value = 0;
    for (int i = 0; i < bytes; i++)
        value = value << 8 | p[i];
    return value;
}

/* The box at *at, which is moved behind it; false at `end`, or where there is none. */
static bool next_box(source *s, int64_t *at, int64_t end, box *out)
{
    unsigned char head[16];
    if (s->boxes-- <= 0 || end - *at < 8 || !read_at(s, head, 8, *at))
        return false;
    uint64_t size = number(head, 4);
    int64_t header = 8;
    if (size == 1) {
        if (!read_at(s, head + 8, 8, *at + 8))
            return false;
        size = number(head + 8, 8);
        header = 16;
    }
    const uint64_t room = (uint64_t)(end - *at);
    if (size == 0)
        size = room; /* to the end */
    if (size < (uint64_t)header || size > room)
        return false;
    memcpy(out->type, head + 4, 4);
    out->begin = *at + header;
    out->end = *at += (int64_t)size;
    return true;
}

/* The first box of that name inside. */
static bool find_box(source *s, const box *in, const char *type, box *out)
{
    int64_t at = in->begin;
    while (next_box(s, &at, in->end, out))
        if (memcmp(out->type, type, 4) == 0)
            return true;
    return false;
}

static bool is_video(source *s, const box *media)
{
    box handler;
    unsigned char bytes[12]; /* version and flags, nothing, type */
    return find_box(s, media, "hdlr", &handler) && read_at(s, bytes, sizeof bytes, handler.begin) &&
           memcmp(bytes + 8, "vide", 4) == 0;
}

static bool read_length(source *s, const box *media, int64_t *num, int64_t *den)
{
    box header;
    unsigned char
        bytes[32]; /* version and flags, two times, time scale, duration; of version 1 twice as wide */
    if (!find_box(s, media, "mdhd", &header) || !read_at(s, bytes, sizeof bytes, header.begin))
        return false;
    const bool wide = bytes[0] == 1;
    const uint64_t scale = number(bytes + (wide ? 20 : 12), 4);
    const uint64_t length = wide ? number(bytes + 24, 8) : number(bytes + 16, 4);
    if (scale < 1 || scale > INT32_MAX || length < 1 || length >= (wide ? INT64_MAX : UINT32_MAX))
        return false;
    *num = (int64_t)length;
    *den = (int64_t)scale;
    return true;
}

bool data_mp4_length(const char *path, int64_t *num, int64_t *den)
{
    /* A pipe is not waited for. */
    source s = {open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), MAX_BOXES};
    if (s.fd < 0)
        return false;
    struct stat info;
    const bool regular = fstat(s.fd, &info) == 0 && S_ISREG(info.st_mode);
    const box file = {"", 0, regular ? info.st_size : 0};
    box movie, track, media;
    bool found = false;
    int64_t at = 0;
    if (next_box(&s, &at, file.end, &movie) && memcmp(movie.type, "ftyp", 4) == 0 &&
        find_box(&s, &file, "moov", &movie))
        for (at = movie.begin; !found && next_box(&s, &at, movie.end, &track);)
            found = memcmp(track.type, "trak", 4) == 0 && find_box(&s, &track, "mdia", &media) &&
                    is_video(&s, &media) && read_length(&s, &media, num, den);
    close(s.fd);
    return found;
}
