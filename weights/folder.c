/* A folder of NPY files as a file of named tensors. */
#include "weights/internal.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const char hex[] = "0123456789ABCDEF";

/* Bytes that do not stand for themselves in file names. */
static bool is_escaped(const char *name, size_t i)
{
    unsigned char c = (unsigned char)name[i];
    return c == '/' || c == '%' || c < 0x20 || c == 0x7f || (c == '.' && i == 0);
}

/* "FOLDER/NAME.npy" in new memory; the folder may end in a slash. */
static tn_status path_of(tn_ctx *ctx, const char *folder, const char *name, char **out)
{
    size_t room = strlen(folder) + 3 * strlen(name) + 8, used;
    *out = tn_alloc(ctx, room, 1);
    if (!*out)
        return TN_NOMEM;
    bool slash = folder[0] && folder[strlen(folder) - 1] == '/';
    used = (size_t)snprintf(*out, room, slash ? "%s" : "%s/", folder);
    for (size_t i = 0; name[i]; i++) {
        unsigned char c = (unsigned char)name[i];
        bool escaped = is_escaped(name, i);
        (*out)[used++] = escaped ? '%' : name[i];
        if (escaped) {
            (*out)[used++] = hex[c >> 4];
            (*out)[used++] = hex[c & 15];
        }
    }
    memcpy(*out + used, ".npy", 5);
    return TN_OK;
}

/* Undoes the escapes in place; what is no escape stays. */
static void unescape(char *name)
{
    char *out = name;
    for (const char *in = name; *in; out++) {
        const char *high = *in == '%' && in[1] ? strchr(hex, in[1]) : NULL;
        const char *low = high && in[2] ? strchr(hex, in[2]) : NULL;
        if (low && (high != hex || low != hex)) {
            *out = (char)((high - hex) << 4 | (low - hex));
            in += 3;
        } else {
            *out = *in++;
        }
    }
    *out = '\0';
}

/* ---- reading ----------------------------------------------------------------------------------------- */

static int is_array(const struct dirent *entry)
{
    size_t n = strlen(entry->d_name);
    return entry->d_name[0] != '.' && n > 4 && strcmp(entry->d_name + n - 4, ".npy") == 0;
}

static int by_bytes(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static tn_status open_array(wt_file *file, const char *name)
{
    wt_map map;
    size_t room = strlen(file->path) + strlen(name) + 2;
    char *path = wt_arena_alloc(&file->arena, room, 1);
    char *tensor = path ? wt_arena_text(&file->arena, name, strlen(name)) : NULL;
    if (!tensor)
        return TN_NOMEM;
    unescape(tensor);
    snprintf(path, room, "%s/%s", file->path, name);
    TN_TRY(wt_map_file(file, path, &map));
    return wt_open_npy(file, &(wt_source){file->ctx, path, "", map.data, map.size, 0}, tensor);
}

tn_status wt_open_folder(wt_file *file)
{
    struct dirent **names = NULL;
    int count = scandir(file->path, &names, is_array, by_bytes);
    if (count < 0)
        return wt_io_error(file->ctx, file->path, "cannot list");
    tn_status status = TN_OK;
    if (count == 0)
        status = tn_fail(file->ctx, TN_FORMAT, "%s: a folder without .npy files", file->path);
    for (int i = 0; i < count; i++) {
        if (status == TN_OK)
            status = open_array(file, names[i]->d_name);
        free(names[i]);
    }
    free(names);
    file->format = "folder of NPY files";
    return status;
}

/* ---- writing ----------------------------------------------------------------------------------------- */

static tn_status make_folder(tn_ctx *ctx, const char *path)
{
    struct stat info;
    if (mkdir(path, 0777) == 0 || (errno == EEXIST && stat(path, &info) == 0 && S_ISDIR(info.st_mode)))
        return TN_OK;
    return wt_io_error(ctx, path, "cannot make the folder");
}

tn_status wt_save_folder(tn_ctx *ctx, const char *path, const wt_tensor *tensors, int count)
{
    const wt_tensor **sorted = tn_alloc(ctx, (size_t)count, sizeof *sorted);
    if (!sorted)
        return TN_NOMEM;
    tn_status status = wt_check_tensors(ctx, path, tensors, count, sorted);
    if (status == TN_OK)
        status = make_folder(ctx, path);
    for (int i = 0; i < count && status == TN_OK; i++) {
        char *file = NULL;
        status = path_of(ctx, path, sorted[i]->name, &file);
        if (status == TN_OK)
            status = wt_write_npy(ctx, file, sorted[i]);
        tn_free(ctx, file);
    }
    tn_free(ctx, sorted);
    return status;
}
