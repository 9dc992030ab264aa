/* Checkpoints: safetensors with a hash over everything that they say. */
#include "nn/internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const char hash_key[] = "valence.hash";
enum { HASH_TEXT = 17 };

/* FNV-1a over 8-byte words, the last one filled up with zeros. Each word changes the hash by a bijection, so
 * that two texts of one length that differ in one word never have the same hash. */
static uint64_t mix(uint64_t hash, const void *data, size_t bytes)
{
    const unsigned char *at = data;
    for (size_t i = 0; i < bytes; i += 8) {
        uint64_t word = 0;
        memcpy(&word, at + i, bytes - i < 8 ? bytes - i : 8);
        hash = (hash ^ word) * UINT64_C(0x100000001B3);
    }
    return hash;
}

static uint64_t mix_text(uint64_t hash, const char *text)
{
    const uint64_t length = strlen(text);
    return mix(mix(hash, &length, sizeof length), text, (size_t)length);
}

/* Name, type, shape and values of one tensor. Files sort their tensors: the sum of these does not care. */
static uint64_t hash_tensor(const char *name, wt_dtype dtype, int rank, const int64_t *size, const void *data)
{
    const int64_t kind[2] = {(int64_t)dtype, rank};
    size_t bytes = wt_dtype_size(dtype);
    for (int i = 0; i < rank; i++)
        bytes *= (size_t)size[i];
    uint64_t hash = mix_text(UINT64_C(0xCBF29CE484222325), name);
    hash = mix(hash, kind, sizeof kind);
    hash = mix(hash, size, (size_t)rank * sizeof *size);
    return mix(hash, data, bytes);
}

static uint64_t hash_pair(uint64_t hash, const wt_meta *pair)
{
    return mix_text(mix_text(hash, pair->key), pair->value);
}

/* Control characters are written as \\u and four digits, where turning 'a' into 'A' says the same. */
static tn_status check_text(tn_ctx *ctx, const char *path, const char *text)
{
    char shown[64];
    for (const char *c = text; *c; c++)
        if ((unsigned char)*c < ' ')
            return tn_fail(ctx, TN_RANGE, "%s: cannot save \"%s\": it has control characters", path,
                           wt_printable(text, shown, sizeof shown));
    return TN_OK;
}

tn_status nn_checkpoint_save(tn_ctx *ctx, const char *path, const wt_tensor *tensors, int count,
                             const wt_meta *meta, int meta_count)
{
    char text[HASH_TEXT];
    for (int i = 0; i < meta_count; i++) {
        TN_TRY(check_text(ctx, path, meta[i].key));
        TN_TRY(check_text(ctx, path, meta[i].value));
    }
    for (int i = 0; i < count; i++)
        TN_TRY(check_text(ctx, path, tensors[i].name));
    wt_meta *all = tn_alloc(ctx, (size_t)meta_count + 1, sizeof *all);
    if (!all)
        return TN_NOMEM;
    uint64_t hash = 0, sum = 0;
    for (int i = 0; i < meta_count; i++) {
        all[i] = meta[i];
        hash = hash_pair(hash, &meta[i]);
    }
    for (int i = 0; i < count; i++)
        sum +=
            hash_tensor(tensors[i].name, tensors[i].dtype, tensors[i].rank, tensors[i].size, tensors[i].data);
    snprintf(text, sizeof text, "%016" PRIx64, mix(hash, &sum, sizeof sum));
    all[meta_count] = (wt_meta){hash_key, text};
    const tn_status status = wt_save(ctx, path, tensors, count, all, meta_count + 1);
    tn_free(ctx, all);
    return status;
}

static tn_status verify(tn_ctx *ctx, const wt_file *file)
{
    uint64_t hash = 0, sum = 0;
    const char *said = wt_metadata(file, hash_key);
    if (strcmp(wt_format(file), "safetensors") != 0 || !said)
        return tn_fail(ctx, TN_FORMAT, "%s: no checkpoint of a training run (metadata %s is missing)",
                       wt_path(file), hash_key);
    wt_meta pair;
    for (int i = 0; wt_metadata_at(file, i, &pair); i++)
        if (strcmp(pair.key, hash_key) != 0)
            hash = hash_pair(hash, &pair);
    for (int i = 0; i < wt_count(file); i++) {
        const wt_entry *e = wt_at(file, i);
        sum += hash_tensor(e->name, e->dtype, e->rank, e->size, e->data);
    }
    char text[HASH_TEXT], shown[64];
    snprintf(text, sizeof text, "%016" PRIx64, mix(hash, &sum, sizeof sum));
    if (strcmp(text, said) != 0)
        return tn_fail(ctx, TN_FORMAT, "%s: damaged: its hash is %s, its contents give %s", wt_path(file),
                       wt_printable(said, shown, sizeof shown), text);
    return TN_OK;
}

tn_status nn_checkpoint_open(tn_ctx *ctx, const char *path, wt_file **out)
{
    *out = NULL;
    wt_file *file;
    TN_TRY(wt_open(ctx, path, &file));
    const tn_status status = verify(ctx, file);
    if (status == TN_OK)
        *out = file;
    else
        wt_close(file);
    return status;
}
