/* Folders of frames, and clips. */
#include "data/clip.h"
#include "data/files.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

/* ---- names ----------------------------------------------------------------------------------------- */

/* <ctype.h> asks the locale, and the order of frames should not. */
static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static int lower(char c)
{
    return c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : (unsigned char)c;
}

/* Compares the numbers that *a and *b begin with, of any length, and steps over them. */
static int compare_numbers(const char **a, const char **b)
{
    while (**a == '0')
        ++*a;
    while (**b == '0')
        ++*b;
    int first = 0;
    while (is_digit(**a) && is_digit(**b)) {
        if (!first)
            first = **a - **b;
        ++*a;
        ++*b;
    }
    if (is_digit(**a) || is_digit(**b))
        return is_digit(**a) ? 1 : -1;
    return first;
}

int data_natural_compare(const char *a, const char *b)
{
    const char *p = a, *q = b;
    while (*p && *q) {
        int order;
        if (is_digit(*p) && is_digit(*q))
            order = compare_numbers(&p, &q);
        else
            order = lower(*p++) - lower(*q++);
        if (order)
            return order;
    }
    if (*p || *q)
        return *p ? 1 : -1;
    return strcmp(a, b);
}

static bool is_picture(const char *name)
{
    static const char *const endings[] = {".jpg", ".jpeg", ".png"};
    size_t length = strlen(name);
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
        size_t ending = strlen(endings[i]);
        if (name[0] != '.' && length > ending && strcasecmp(name + length - ending, endings[i]) == 0)
            return true;
    }
    return false;
}

static int compare_paths(const void *a, const void *b)
{
    return data_natural_compare(*(char *const *)a, *(char *const *)b);
}

enum { MAX_FILES = 1000000 };

/* Adds `name` to the list unless it is the name of a folder. */
static tn_status add_name(tn_ctx *ctx, const char *dir, const char *name, size_t *room, data_names *out)
{
    if (out->count == MAX_FILES)
        return tn_fail(ctx, TN_RANGE, "%s: more than %d pictures", dir, MAX_FILES);
    char *path = data_join(ctx, dir, name);
    if (!path)
        return TN_NOMEM;
    struct stat info;
    if (stat(path, &info) == 0 && S_ISDIR(info.st_mode)) {
        tn_free(ctx, path);
        return TN_OK;
    }
    tn_status status = tn_grow(ctx, &out->path, room, out->count + 1, sizeof *out->path);
    if (status == TN_OK)
        out->path[out->count++] = path;
    else
        tn_free(ctx, path);
    return status;
}

tn_status data_frames_list(tn_ctx *ctx, const char *dir, data_names *out)
{
    *out = (data_names){0};
    DIR *folder = opendir(dir);
    if (!folder)
        return tn_fail(ctx, TN_IO, "%s: %s", dir,
                       errno == ENOTDIR ? "a file, where a folder of frames is expected" : strerror(errno));
    tn_status status = TN_OK;
    size_t room = 0;
    errno = 0;
    for (struct dirent *entry; status == TN_OK && (entry = readdir(folder)); errno = 0)
        if (is_picture(entry->d_name))
            status = add_name(ctx, dir, entry->d_name, &room, out);
    if (status == TN_OK && errno)
        status = tn_fail(ctx, TN_IO, "%s: reading the folder failed: %s", dir, strerror(errno));
    closedir(folder);
    if (status == TN_OK && out->count == 0)
        status = tn_fail(ctx, TN_FORMAT, "%s: no .jpg, .jpeg or .png files in the folder", dir);
    if (status != TN_OK) {
        data_names_free(ctx, out);
        return status;
    }
    qsort(out->path, out->count, sizeof *out->path, compare_paths);
    return TN_OK;
}

void data_names_free(tn_ctx *ctx, data_names *names)
{
    for (size_t i = 0; i < names->count; i++)
        tn_free(ctx, names->path[i]);
    tn_free(ctx, names->path);
    *names = (data_names){0};
}

/* ---- clips ----------------------------------------------------------------------------------------- */

size_t data_frame_pick(size_t count, int wanted, int i)
{
    return ((2 * (size_t)i + 1) * count - 1) / (2 * (size_t)wanted);
}

enum { MAX_FRAMES = 4096, MAX_SIDE = 16384 };

tn_status data_clip_make(tn_ctx *ctx, const char *name, int frames, int height, int width, data_clip *out)
{
    *out = (data_clip){0};
    if (frames < 1 || frames > MAX_FRAMES)
        return tn_fail(ctx, TN_RANGE, "%s: %d frames asked for, expected 1 to %d", name, frames, MAX_FRAMES);
    if (height < 1 || height > MAX_SIDE || width < 1 || width > MAX_SIDE)
        return tn_fail(ctx, TN_RANGE, "%s: frames of %d x %d asked for, expected 1 to %d", name, width,
                       height, MAX_SIDE);
    out->rgb = tn_alloc(ctx, (size_t)frames, (size_t)height * (size_t)width * 3);
    if (!out->rgb)
        return TN_NOMEM;
    out->frames = frames;
    out->height = height;
    out->width = width;
    return TN_OK;
}

void data_clip_free(tn_ctx *ctx, data_clip *clip)
{
    tn_free(ctx, clip->rgb);
    *clip = (data_clip){0};
}

unsigned char *data_clip_frame(const data_clip *clip, int i)
{
    return clip->rgb + (size_t)i * (size_t)clip->height * (size_t)clip->width * 3;
}

tn_status data_clip_put(tn_ctx *ctx, const data_image *image, data_clip *clip, int i)
{
    data_image small;
    TN_TRY(data_image_resize(ctx, image, clip->width, clip->height, &small));
    memcpy(data_clip_frame(clip, i), small.rgb, (size_t)clip->height * (size_t)clip->width * 3);
    data_image_free(ctx, &small);
    return TN_OK;
}

static tn_status put_file(tn_ctx *ctx, const char *path, data_clip *clip, int i)
{
    data_image image;
    TN_TRY(data_image_read(ctx, path, &image));
    tn_status status = data_clip_put(ctx, &image, clip, i);
    data_image_free(ctx, &image);
    return status;
}

tn_status data_clip_from_dir(tn_ctx *ctx, const char *dir, int frames, int height, int width, data_clip *out)
{
    *out = (data_clip){0};
    data_names names;
    TN_TRY(data_frames_list(ctx, dir, &names));
    tn_status status = data_clip_make(ctx, dir, frames, height, width, out);
    size_t last = 0;
    for (int i = 0; status == TN_OK && i < frames; i++) {
        size_t pick = data_frame_pick(names.count, frames, i);
        if (i > 0 && pick == last)
            memcpy(data_clip_frame(out, i), data_clip_frame(out, i - 1), (size_t)height * (size_t)width * 3);
        else
            status = put_file(ctx, names.path[pick], out, i);
        last = pick;
    }
    if (status != TN_OK)
        data_clip_free(ctx, out);
    data_names_free(ctx, &names);
    return status;
}

void data_clip_normalise(const data_clip *clip, const float mean[3], const float std[3], const tn_tensor *out)
{
    assert(out->rank == 5 && out->size[0] == 1 && out->size[1] == 3 && out->size[2] == clip->frames &&
           out->size[3] == clip->height && out->size[4] == clip->width);
    float value[3][256];
    for (int c = 0; c < 3; c++)
        for (int v = 0; v < 256; v++)
            value[c][v] = ((float)v / 255.0f - mean[c]) / std[c];
    const unsigned char *p = clip->rgb;
    for (int64_t t = 0; t < clip->frames; t++)
        for (int64_t y = 0; y < clip->height; y++)
            for (int64_t x = 0; x < clip->width; x++)
                for (int64_t c = 0; c < 3; c++)
                    out->data[c * out->stride[1] + t * out->stride[2] + y * out->stride[3] +
                              x * out->stride[4]] = value[c][*p++];
}
