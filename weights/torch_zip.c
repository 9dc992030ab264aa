/* What lies in zip files: checkpoints of torch.save() since 1.6, and NPZ. */
#include "weights/pickle.h"
#include "weights/zip.h"

#include <string.h>

/* The top folder of an archive with its slash. */
typedef struct zip_folder {
    const unsigned char *name; /* borrowed from the directory */
    size_t bytes;              /* of it */
} zip_folder;

static const wt_record *find(const wt_zip *zip, zip_folder folder, const char *name)
{
    return wt_zip_find(zip, folder.name, folder.bytes, (const unsigned char *)name, strlen(name));
}

/* Entries of a checkpoint all lie in one top folder. */
static tn_status top_folder(const wt_zip *zip, zip_folder *folder)
{
    for (size_t i = 0; i < zip->count; i++) {
        const wt_record *r = &zip->records[i];
        const unsigned char *slash = memchr(r->name, '/', r->name_bytes);
        size_t bytes = slash ? (size_t)(slash - r->name) + 1 : 0;
        if (i == 0)
            *folder = (zip_folder){r->name, bytes};
        if (bytes == 0 || bytes != folder->bytes || memcmp(r->name, folder->name, bytes) != 0)
            return wt_bad(zip->source, TN_FORMAT, "local header", r->header,
                          "an entry outside the checkpoint's one top folder");
    }
    return TN_OK;
}

/* "version" is a number from 1 to 10, "byteorder" is "little" or missing. */
static tn_status check_facts(const wt_zip *zip, zip_folder folder)
{
    const wt_source *source = zip->source;
    const wt_record *version = find(zip, folder, "version"), *order = find(zip, folder, "byteorder");
    if (!version)
        return wt_bad(source, TN_FORMAT, "central directory", source->size, "there is no record \"version\"");
    int value = 0;
    const unsigned char *text = source->data + version->offset;
    for (size_t i = 0; i < version->size && i < 3 && text[i] >= '0' && text[i] <= '9'; i++)
        value = value * 10 + text[i] - '0';
    if (value < 1 || value > 10)
        return wt_bad(source, TN_UNSUPPORTED, "record version", version->offset,
                      "it is not a number from 1 to 10");
    if (order && (order->size != 6 || memcmp(source->data + order->offset, "little", 6) != 0))
        return wt_bad(source, TN_UNSUPPORTED, "record byteorder", order->offset, "it is not \"little\"");
    return TN_OK;
}

static tn_status find_storages(const wt_zip *zip, zip_folder folder, pk_machine *m)
{
    unsigned char name[5 + WT_MAX_NAME] = "data/";
    for (size_t i = 0; i < m->storage_count; i++) {
        pk_storage *storage = &m->storages[i];
        memcpy(name + 5, storage->key, storage->key_bytes); /* at most WT_MAX_NAME */
        const wt_record *record = wt_zip_find(zip, folder.name, folder.bytes, name, 5 + storage->key_bytes);
        size_t bytes;
        if (!record)
            return wt_bad(zip->source, TN_FORMAT, m->section, storage->offset,
                          "there is no record for a storage");
        if (!tn_mul_size((size_t)storage->numel, wt_dtype_size(storage->dtype), &bytes) ||
            bytes != record->size)
            return wt_bad(zip->source, TN_FORMAT, "record of a storage", record->offset,
                          "%zu bytes, but the object says %lld x %s", record->size, (long long)storage->numel,
                          wt_dtype_name(storage->dtype));
        storage->data = zip->source->data + record->offset;
        storage->record = (size_t)(record - zip->records);
    }
    return TN_OK;
}

static tn_status keep_checksum(wt_file *file, const wt_zip *zip, const wt_record *r)
{
    TN_TRY(tn_grow(file->ctx, &file->sums, &file->sum_room, file->sum_count + 1, sizeof *file->sums));
    char *name = wt_arena_text(&file->arena, r->name, r->name_bytes);
    if (!name)
        return TN_NOMEM;
    file->sums[file->sum_count++] =
        (wt_checksum){name, zip->source->data + r->offset, r->size, r->offset, r->crc};
    return TN_OK;
}

static tn_status open_checkpoint(wt_file *file, const wt_zip *zip, zip_folder folder, const wt_record *object)
{
    file->format = "PyTorch zip";
    TN_TRY(check_facts(zip, folder));
    pk_machine m;
    pk_ref root;
    size_t end = object->offset + object->size;
    tn_status status = pk_run(&m, zip->source, "data.pkl", object->offset, end, 5, &root);
    if (status == TN_OK && m.at != end)
        status = wt_bad(zip->source, TN_FORMAT, "data.pkl", m.at, "%zu bytes after the pickle", end - m.at);
    if (status == TN_OK)
        status = pk_merge_storages(&m);
    if (status == TN_OK)
        status = find_storages(zip, folder, &m);
    if (status == TN_OK)
        status = wt_checkpoint(file, &m, root);
    if (status == TN_OK)
        status = keep_checksum(file, zip, object);
    for (size_t i = 0; i < m.storage_count && status == TN_OK; i++)
        if (m.storages[i].used)
            status = keep_checksum(file, zip, &zip->records[m.storages[i].record]);
    pk_free(&m);
    return status;
}

static bool is_npy(const wt_record *r)
{
    return r->name_bytes > 4 && memcmp(r->name + r->name_bytes - 4, ".npy", 4) == 0;
}

static tn_status open_npz(wt_file *file, const wt_zip *zip)
{
    for (size_t i = 0; i < zip->count; i++) {
        const wt_record *r = &zip->records[i];
        char *name = wt_arena_text(&file->arena, r->name, r->name_bytes), shown[WT_SHOWN];
        char *part =
            name ? wt_arena_printf(&file->arena, "%s: ", wt_printable(name, shown, sizeof shown)) : NULL;
        if (!part)
            return TN_NOMEM;
        wt_source array = {file->ctx, zip->source->path, part, zip->source->data + r->offset,
                           r->size,   r->offset};
        TN_TRY(wt_open_npy(file, &array, name));
        TN_TRY(keep_checksum(file, zip, r));
    }
    file->format = "NPZ";
    return TN_OK;
}

tn_status wt_open_zip(wt_file *file, const wt_source *source)
{
    wt_zip zip;
    tn_status status = wt_zip_read(source, &zip);
    bool npz = zip.count > 0;
    for (size_t i = 0; i < zip.count; i++)
        npz &= is_npy(&zip.records[i]);
    zip_folder folder = {NULL, 0};
    if (status == TN_OK && npz) {
        status = open_npz(file, &zip);
    } else if (status == TN_OK) {
        status = top_folder(&zip, &folder);
        const wt_record *object = status == TN_OK && folder.bytes ? find(&zip, folder, "data.pkl") : NULL;
        if (status == TN_OK)
            status = object ? open_checkpoint(file, &zip, folder, object)
                            : wt_bad(source, TN_FORMAT, "central directory", source->size,
                                     "there is no data.pkl: a zip file, but no checkpoint");
    }
    wt_zip_free(&zip);
    return status;
}
