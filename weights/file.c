/* An open file: mapping, telling kinds apart, entries and what is asked about them. */
#include "weights/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- opening ----------------------------------------------------------------------------------------- */

/* Maps what `fd` is open on. */
static tn_status map_fd(wt_file *file, const char *path, int fd, size_t size, wt_map *out)
{
    if (size == 0)
        return tn_fail(file->ctx, TN_FORMAT, "%s: beginning at offset 0: the file is empty", path);
    TN_TRY(tn_grow(file->ctx, &file->maps, &file->map_room, file->map_count + 1, sizeof *file->maps));
    void *data = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (data == MAP_FAILED)
        return wt_io_error(file->ctx, path, "cannot map");
    *out = (wt_map){data, size};
    file->maps[file->map_count++] = *out;
    return TN_OK;
}

/* Opens without waiting for the writer of a pipe, and says what the path is. */
static tn_status open_path(tn_ctx *ctx, const char *path, int *fd, struct stat *info)
{
    *fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (*fd < 0)
        return wt_io_error(ctx, path, "cannot open");
    if (fstat(*fd, info) != 0)
        return wt_io_error(ctx, path, "cannot open");
    if (!S_ISREG(info->st_mode) && !S_ISDIR(info->st_mode))
        return tn_fail(ctx, TN_IO, "%s: neither a regular file nor a folder", path);
    return TN_OK;
}

tn_status wt_map_file(wt_file *file, const char *path, wt_map *out)
{
    int fd = -1;
    struct stat info;
    tn_status status = open_path(file->ctx, path, &fd, &info);
    if (status == TN_OK && S_ISDIR(info.st_mode))
        status = tn_fail(file->ctx, TN_IO, "%s: is a folder, not a file", path);
    if (status == TN_OK)
        status = map_fd(file, path, fd, (size_t)info.st_size, out);
    if (fd >= 0)
        close(fd);
    return status;
}

static bool begins(const wt_source *source, size_t at, const char *magic, size_t bytes)
{
    return source->size >= at + bytes && memcmp(source->data + at, magic, bytes) == 0;
}

static tn_status unknown_kind(const wt_source *source)
{
    static const char hex[] = "0123456789abcdef";
    char first[3 * 8 + 1] = "";
    for (size_t i = 0; i < 8 && i < source->size; i++) {
        const char text[3] = {hex[source->data[i] >> 4], hex[source->data[i] & 15], ' '};
        memcpy(first + 3 * i, text, 3);
        first[3 * i + 2] = '\0';
        if (i > 0)
            first[3 * i - 1] = ' ';
    }
    return wt_bad(source, TN_FORMAT, "beginning", 0,
                  "neither safetensors nor a PyTorch checkpoint nor NPY (first bytes %s)", first);
}

/* The name of an array in a file of its own. */
static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static tn_status open_content(wt_file *file, const wt_source *source)
{
    if (begins(source, 0, "PK\3\4", 4) || begins(source, 0, "PK\5\6", 4))
        return wt_open_zip(file, source);
    if (begins(source, 0, "\x93NUMPY", 6))
        return wt_open_npy(file, source, base_name(source->path));
    if (begins(source, 257, "ustar", 5))
        return wt_bad(source, TN_UNSUPPORTED, "tar header", 257,
                      "a tar file, such as PyTorch 0.1.1 wrote: open and save it again with PyTorch");
    if (begins(source, 0, "\x89HDF\r\n\x1a\n", 8))
        return wt_bad(source, TN_UNSUPPORTED, "beginning", 0,
                      "an HDF5 file: convert it to safetensors where it was made");
    /* The length of a safetensors header may begin with a pickle's first byte; a pickle's first eight bytes
     * are no length that fits. */
    const bool has_header = source->size > 8 && memchr("{ \t\r\n", source->data[8], 5);
    if (source->data[0] == 0x80 && !(has_header && wt_u64(source->data) <= source->size - 8))
        return wt_open_legacy(file, source);
    if (has_header)
        return wt_open_safetensors(file, source);
    return unknown_kind(source);
}

tn_status wt_open(tn_ctx *ctx, const char *path, wt_file **out)
{
    *out = NULL;
    wt_file *file = tn_zalloc(ctx, 1, sizeof *file);
    if (!file)
        return TN_NOMEM;
    file->ctx = ctx;
    file->arena.ctx = ctx;
    int fd = -1;
    struct stat info;
    tn_status status = open_path(ctx, path, &fd, &info);
    if (status == TN_OK && !(file->path = tn_strdup(ctx, path)))
        status = TN_NOMEM;
    if (status == TN_OK && S_ISDIR(info.st_mode)) {
        status = wt_open_folder(file);
    } else if (status == TN_OK) {
        wt_map map;
        status = map_fd(file, path, fd, (size_t)info.st_size, &map);
        if (status == TN_OK)
            status = open_content(file, &(wt_source){ctx, path, "", map.data, map.size, 0});
    }
    if (fd >= 0)
        close(fd);
    if (status == TN_OK)
        status = wt_finish(file);
    if (status != TN_OK) {
        wt_close(file);
        return status;
    }
    *out = file;
    return TN_OK;
}

void wt_unmap(wt_file *file)
{
    for (size_t i = 0; i < file->map_count; i++)
        munmap(file->maps[i].data, file->maps[i].size);
    tn_free(file->ctx, file->maps);
}

void wt_close(wt_file *file)
{
    if (!file)
        return;
    wt_unmap(file);
    tn_ctx *ctx = file->ctx;
    tn_free(ctx, file->entries);
    tn_free(ctx, file->by_name);
    tn_free(ctx, file->meta);
    tn_free(ctx, file->facts);
    tn_free(ctx, file->sums);
    tn_free(ctx, file->path);
    wt_arena_free(&file->arena);
    tn_free(ctx, file);
}

/* ---- entries ----------------------------------------------------------------------------------------- */

tn_status wt_add_entry(wt_file *file, const wt_source *source, const char *section, size_t offset,
                       const void *name, size_t name_bytes, const wt_entry *entry)
{
    if (name_bytes == 0)
        return wt_bad(source, TN_FORMAT, section, offset, "a tensor has an empty name");
    if (name_bytes > WT_MAX_NAME)
        return wt_bad(source, TN_UNSUPPORTED, section, offset,
                      "a tensor's name has %zu bytes, the limit is %d", name_bytes, WT_MAX_NAME);
    if (!wt_is_text(name, name_bytes))
        return wt_bad(source, TN_FORMAT, section, offset, "a tensor's name is not UTF-8, or holds a NUL");
    if (file->count == WT_MAX_TENSORS)
        return wt_bad(source, TN_UNSUPPORTED, section, offset, "more than %d tensors", WT_MAX_TENSORS);
    TN_TRY(tn_grow(file->ctx, &file->entries, &file->room, file->count + 1, sizeof *file->entries));
    wt_entry *added = &file->entries[file->count];
    *added = *entry;
    added->name = wt_arena_text(&file->arena, name, name_bytes);
    if (!added->name)
        return TN_NOMEM;
    if (!wt_element_count(added->rank, added->size, &added->count)) {
        char shown[WT_SHOWN];
        return wt_bad(source, TN_FORMAT, section, offset, "the shape of %s is negative or overflows",
                      wt_printable(added->name, shown, sizeof shown));
    }
    file->count++;
    return TN_OK;
}

static size_t offset_in_map(const wt_file *file, const unsigned char *data)
{
    for (size_t i = 0; i < file->map_count; i++)
        if (data >= file->maps[i].data && data <= file->maps[i].data + file->maps[i].size)
            return (size_t)(data - file->maps[i].data);
    return 0;
}

static int by_name(const void *a, const void *b)
{
    const wt_entry *const *x = a, *const *y = b;
    return strcmp((*x)->name, (*y)->name);
}

tn_status wt_finish(wt_file *file)
{
    /* Tensors may share memory, but a small file must not unfold into terabytes when it is written. */
    enum { MAX_SHARING = 16 };
    size_t mapped = 0, total = 0;
    for (size_t i = 0; i < file->map_count; i++)
        mapped += file->maps[i].size;
    for (size_t i = 0; i < file->count; i++) {
        size_t bytes;
        if (!tn_mul_size(file->entries[i].count, wt_dtype_size(file->entries[i].dtype), &bytes) ||
            !tn_add_size(total, bytes, &total) || total / MAX_SHARING > mapped)
            return tn_fail(
                file->ctx, TN_UNSUPPORTED,
                "%s: tensors at offset 0: together they are more than %d times the file's %zu bytes",
                file->path, MAX_SHARING, mapped);
    }
    file->by_name = tn_alloc(file->ctx, file->count, sizeof *file->by_name);
    if (!file->by_name)
        return TN_NOMEM;
    for (size_t i = 0; i < file->count; i++)
        file->by_name[i] = &file->entries[i];
    qsort(file->by_name, file->count, sizeof *file->by_name, by_name);
    for (size_t i = 1; i < file->count; i++) {
        if (strcmp(file->by_name[i - 1]->name, file->by_name[i]->name) == 0) {
            char shown[WT_SHOWN];
            return tn_fail(file->ctx, TN_FORMAT, "%s: tensor at offset %zu: the name %s is there twice",
                           file->path, offset_in_map(file, file->by_name[i]->data),
                           wt_printable(file->by_name[i]->name, shown, sizeof shown));
        }
    }
    return TN_OK;
}

/* ---- questions --------------------------------------------------------------------------------------- */

const char *wt_path(const wt_file *file)
{
    return file->path;
}

const char *wt_format(const wt_file *file)
{
    return file->format;
}

int wt_count(const wt_file *file)
{
    return (int)file->count;
}

const wt_entry *wt_at(const wt_file *file, int i)
{
    return i >= 0 && (size_t)i < file->count ? &file->entries[i] : NULL;
}

const wt_entry *wt_find(const wt_file *file, const char *name)
{
    const wt_entry key = {.name = name}, *wanted = &key;
    const wt_entry *const *found =
        bsearch(&wanted, file->by_name, file->count, sizeof *file->by_name, by_name);
    return found ? *found : NULL;
}

const char *wt_metadata(const wt_file *file, const char *key)
{
    for (size_t i = 0; i < file->meta_count; i++)
        if (strcmp(file->meta[i].key, key) == 0)
            return file->meta[i].value;
    return NULL;
}

bool wt_metadata_at(const wt_file *file, int i, wt_meta *out)
{
    if (i < 0 || (size_t)i >= file->meta_count)
        return false;
    *out = file->meta[i];
    return true;
}

const char *wt_fact(const wt_file *file, int i)
{
    return i >= 0 && (size_t)i < file->fact_count ? file->facts[i] : NULL;
}

tn_status wt_verify(tn_ctx *ctx, const wt_file *file)
{
    for (size_t i = 0; i < file->sum_count; i++) {
        const wt_checksum *sum = &file->sums[i];
        uint32_t crc = wt_crc32(sum->data, sum->size);
        if (crc != sum->crc) {
            char shown[WT_SHOWN];
            return tn_fail(
                ctx, TN_FORMAT, "%s: record %s at offset %zu: its CRC-32 is %08x, the directory says %08x",
                file->path, wt_printable(sum->name, shown, sizeof shown), sum->offset, crc, sum->crc);
        }
    }
    return TN_OK;
}

void wt_release_pages(wt_file *file)
{
    for (size_t i = 0; i < file->map_count; i++)
        madvise(file->maps[i].data, file->maps[i].size, MADV_DONTNEED);
}
