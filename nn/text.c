/* Strict reading of text files of numbers, line by line. */
#include "nn/text.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAX_BYTES = 1 << 30 };

static tn_status read_file(nn_text *text, FILE *file)
{
    struct stat info;
    if (fstat(fileno(file), &info) != 0)
        return tn_fail(text->ctx, TN_IO, "%s: %s", text->path, strerror(errno));
    if (!S_ISREG(info.st_mode))
        return tn_fail(text->ctx, TN_IO, "%s: not a regular file", text->path);
    if (info.st_size > MAX_BYTES)
        return tn_fail(text->ctx, TN_FORMAT, "%s: %lld bytes; a text of numbers has at most %d", text->path,
                       (long long)info.st_size, (int)MAX_BYTES);
    text->size = (size_t)info.st_size;
    text->data = tn_alloc(text->ctx, text->size + 1, 1);
    if (!text->data)
        return TN_NOMEM;
    if (fread(text->data, 1, text->size, file) != text->size)
        return tn_fail(text->ctx, TN_IO, "%s: %s", text->path,
                       ferror(file) ? strerror(errno) : "became shorter while it was read");
    text->data[text->size] = '\0';
    const char *nul = memchr(text->data, '\0', text->size);
    if (nul)
        return tn_fail(text->ctx, TN_FORMAT, "%s: not a text file (byte 0 at offset %zu)", text->path,
                       (size_t)(nul - text->data));
    return TN_OK;
}

tn_status nn_locale_enter(tn_ctx *ctx, nn_locale *out)
{
    *out = (nn_locale){0};
    out->c = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    if (!out->c)
        return tn_fail(ctx, TN_NOMEM, "no memory for a locale");
    out->before = uselocale(out->c);
    return TN_OK;
}

void nn_locale_leave(nn_locale *locale)
{
    if (!locale->c)
        return;
    uselocale(locale->before);
    freelocale(locale->c);
    *locale = (nn_locale){0};
}

tn_status nn_text_open(tn_ctx *ctx, const char *path, nn_text *out)
{
    *out = (nn_text){.ctx = ctx, .path = path};
    /* Opening a pipe would wait for somebody to write into it; read_file() refuses it. */
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    FILE *file = fd >= 0 ? fdopen(fd, "rb") : NULL;
    if (!file) {
        const tn_status status = tn_fail(ctx, TN_IO, "%s: %s", path, strerror(errno));
        if (fd >= 0)
            close(fd);
        return status;
    }
    tn_status status = read_file(out, file);
    fclose(file);
    if (status != TN_OK)
        return status;
    return nn_locale_enter(ctx, &out->locale);
}

void nn_text_close(nn_text *text)
{
    nn_locale_leave(&text->locale);
    tn_free(text->ctx, text->data);
    text->data = NULL;
}

char *nn_text_line(nn_text *text)
{
    if (text->at >= text->size)
        return NULL;
    char *line = text->data + text->at;
    char *end = memchr(line, '\n', text->size - text->at);
    if (!end)
        end = text->data + text->size;
    *end = '\0';
    text->at = (size_t)(end - text->data) + 1;
    text->line++;
    return line;
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

char *nn_text_word(char **rest)
{
    char *word = *rest;
    while (is_space(*word))
        word++;
    if (*word == '\0') {
        *rest = word;
        return NULL;
    }
    char *end = word;
    while (*end && !is_space(*end))
        end++;
    if (*end)
        *end++ = '\0';
    *rest = end;
    return word;
}

bool nn_text_double(const char *word, double *out)
{
    if (*word == '\0' || word[strspn(word, "0123456789+-.eE")] != '\0')
        return false;
    char *end;
    double value = strtod(word, &end);
    if (end == word || *end != '\0' || !isfinite(value))
        return false;
    *out = value;
    return true;
}

bool nn_text_int(const char *word, int *out)
{
    if (*word == '\0' || word[strspn(word, "0123456789+-")] != '\0')
        return false;
    char *end;
    errno = 0;
    long value = strtol(word, &end, 10);
    if (end == word || *end != '\0' || errno != 0 || value < INT_MIN || value > INT_MAX)
        return false;
    *out = (int)value;
    return true;
}

tn_status nn_text_fail(const nn_text *text, const char *format, ...)
{
    char message[256];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    return tn_fail(text->ctx, TN_FORMAT, "%s:%ld: %s", text->path, text->line, message);
}
