/* The legacy stream of torch.save() before 1.6: pickles one after the other, then the storages. */
#include "weights/pickle.h"

#include <string.h>

/* A pickle of 0x1950a86a20f9469cfc6c. */
static const unsigned char magic[15] = {0x80, 2,    0x8a, 10,   0x6c, 0xfc, 0x9c, 0x46,
                                        0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19, '.'};

static tn_status check_magic(const wt_source *source)
{
    for (size_t i = 0; i < sizeof magic; i++) {
        if (i == source->size)
            return wt_bad(source, TN_FORMAT, "magic number", i, "the file ends");
        if (source->data[i] != magic[i])
            return wt_bad(source, TN_FORMAT, "magic number", i,
                          "expected byte 0x%02x, got 0x%02x: a pickle, but not one of torch.save()", magic[i],
                          source->data[i]);
    }
    return TN_OK;
}

static tn_status check_protocol(const wt_source *source, size_t *at)
{
    pk_machine m;
    pk_ref root;
    tn_status status = pk_run(&m, source, "protocol version", *at, source->size, 0, &root);
    if (status == TN_OK && (m.nodes[root].kind != PK_INT || m.nodes[root].u.integer != 1001))
        status = wt_bad(source, TN_UNSUPPORTED, "protocol version", *at, "it is not 1001");
    *at = m.at;
    pk_free(&m);
    return status;
}

static tn_status check_system(const wt_source *source, size_t *at)
{
    pk_machine m;
    pk_ref root, little;
    tn_status status = pk_run(&m, source, "system information", *at, source->size, 0, &root);
    if (status == TN_OK && !(pk_lookup(&m, root, "little_endian", &little) &&
                             m.nodes[little].kind == PK_BOOL && m.nodes[little].u.integer))
        status =
            wt_bad(source, TN_UNSUPPORTED, "system information", *at, "it does not say little_endian: True");
    *at = m.at;
    pk_free(&m);
    return status;
}

/* One storage of the stream: int64 number of elements, then the elements. */
static tn_status index_storage(const wt_source *source, pk_machine *object, const pk_node *key, size_t *at)
{
    static const char section[] = "storages";
    pk_storage *storage = key->kind == PK_TEXT ? pk_find_storage(object, key->u.text, key->count) : NULL;
    if (!storage)
        return wt_bad(source, TN_FORMAT, section, *at,
                      "the list of keys has one that the object does not mention");
    if (storage->data)
        return wt_bad(source, TN_FORMAT, section, *at, "the list of keys has one twice");
    if (source->size - *at < 8)
        return wt_bad(source, TN_FORMAT, section, *at, "the file ends before a storage's length");
    uint64_t numel = wt_u64(source->data + *at);
    size_t bytes;
    if (numel != (uint64_t)storage->numel)
        return wt_bad(source, TN_FORMAT, section, *at, "a storage of %llu elements, the object says %lld",
                      (unsigned long long)numel, (long long)storage->numel);
    *at += 8;
    if (!tn_mul_size((size_t)numel, wt_dtype_size(storage->dtype), &bytes) || bytes > source->size - *at)
        return wt_bad(source, TN_FORMAT, section, *at, "a storage of %llu x %s, but %zu bytes are left",
                      (unsigned long long)numel, wt_dtype_name(storage->dtype), source->size - *at);
    storage->data = source->data + *at;
    *at += bytes;
    return TN_OK;
}

/* The list of keys, and behind it their storages in its order, up to the file's end. */
static tn_status index_storages(const wt_source *source, pk_machine *object, size_t at)
{
    pk_machine m;
    pk_ref root;
    tn_status status = pk_run(&m, source, "storage keys", at, source->size, 0, &root);
    if (status == TN_OK && m.nodes[root].kind != PK_LIST)
        status = wt_bad(source, TN_FORMAT, "storage keys", at, "not a list");
    size_t end = m.at;
    for (uint32_t i = 0; status == TN_OK && i < m.nodes[root].count; i++)
        status = index_storage(source, object, &m.nodes[m.nodes[root].u.items[i]], &end);
    if (status == TN_OK && m.nodes[root].count != object->storage_count)
        status =
            wt_bad(source, TN_FORMAT, "storage keys", at, "%u keys, but the object mentions %zu storages",
                   m.nodes[root].count, object->storage_count);
    if (status == TN_OK && end != source->size)
        status = wt_bad(source, TN_FORMAT, "storages", end, "%zu bytes after the last storage",
                        source->size - end);
    pk_free(&m);
    return status;
}

tn_status wt_open_legacy(wt_file *file, const wt_source *source)
{
    file->format = "PyTorch legacy";
    TN_TRY(check_magic(source));
    size_t at = sizeof magic;
    TN_TRY(check_protocol(source, &at));
    TN_TRY(check_system(source, &at));
    pk_machine m;
    pk_ref root;
    tn_status status = pk_run(&m, source, "object pickle", at, source->size, 6, &root);
    if (status == TN_OK)
        status = pk_merge_storages(&m);
    if (status == TN_OK)
        status = index_storages(source, &m, m.at);
    if (status == TN_OK)
        status = wt_checkpoint(file, &m, root);
    pk_free(&m);
    return status;
}
