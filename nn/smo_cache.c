/* The rows of Q that a solver keeps: as many as memory allows, the least recently used goes first. */
#include "nn/smo_cache.h"

void nn_cache_free(tn_ctx *ctx, nn_cache *cache)
{
    tn_free(ctx, cache->values);
    tn_free(ctx, cache->slot);
    tn_free(ctx, cache->slot_of);
    *cache = (nn_cache){0};
}

tn_status nn_cache_create(tn_ctx *ctx, int room, size_t bytes, nn_cache *out)
{
    *out = (nn_cache){0};
    const size_t width = (size_t)room, most = bytes / sizeof(float) / width;
    const size_t slots = most < 2 ? 2 : most < width ? most : width;
    /* Shorter problems get more rows out of the same memory. */
    if (!tn_mul_size(slots, width, &out->floats))
        return tn_fail(ctx, TN_NOMEM, "no memory for kernel rows of %d values", room);
    const size_t entries = width < 2 ? 2 : width;
    out->values = tn_alloc(ctx, out->floats, sizeof *out->values);
    out->slot = tn_alloc(ctx, entries, sizeof *out->slot);
    out->slot_of = tn_alloc(ctx, entries, sizeof *out->slot_of);
    if (out->values && out->slot && out->slot_of)
        return TN_OK;
    nn_cache_free(ctx, out);
    return TN_NOMEM;
}

void nn_cache_reset(nn_cache *cache, int width)
{
    const size_t most = cache->floats / (size_t)width;
    cache->width = width;
    cache->slots = most < (size_t)width ? (int)most : width;
    for (int s = 0; s < cache->slots; s++)
        cache->slot[s] = (nn_cache_slot){.owner = -1, .newer = s - 1, .older = s + 1};
    cache->slot[cache->slots - 1].older = -1;
    cache->newest = 0;
    cache->oldest = cache->slots - 1;
    for (int i = 0; i < width; i++)
        cache->slot_of[i] = -1;
}

static void unlink_slot(nn_cache *cache, int s)
{
    nn_cache_slot *slot = &cache->slot[s];
    if (slot->newer >= 0)
        cache->slot[slot->newer].older = slot->older;
    else
        cache->newest = slot->older;
    if (slot->older >= 0)
        cache->slot[slot->older].newer = slot->newer;
    else
        cache->oldest = slot->newer;
}

static void make_newest(nn_cache *cache, int s)
{
    if (cache->newest == s)
        return;
    unlink_slot(cache, s);
    cache->slot[s].newer = -1;
    cache->slot[s].older = cache->newest;
    cache->slot[cache->newest].newer = s;
    cache->newest = s;
}

float *nn_cache_take(nn_cache *cache, int row, int want, int *valid)
{
    int s = cache->slot_of[row];
    if (s < 0) {
        s = cache->oldest;
        if (cache->slot[s].owner >= 0)
            cache->slot_of[cache->slot[s].owner] = -1;
        cache->slot[s].owner = row;
        cache->slot[s].length = 0;
        cache->slot_of[row] = s;
        make_newest(cache, s);
    } else if (cache->slots < cache->width) { /* else nothing ever has to go */
        make_newest(cache, s);
    }
    *valid = cache->slot[s].length;
    if (*valid < want)
        cache->slot[s].length = want;
    return cache->values + (size_t)s * (size_t)cache->width;
}

/* Row by row, so that each is in the nearest cache while its values move. */
static void swap_values(const nn_cache_swap *swap, int count, float *row, int *length)
{
    for (int n = 0; n < count; n++) {
        const int i = swap[n].i, j = swap[n].j;
        if (*length > j) {
            const float value = row[i];
            row[i] = row[j];
            row[j] = value;
        } else if (*length > i) {
            *length = i; /* what comes to i is not there */
        }
    }
}

void nn_cache_swap_all(nn_cache *cache, const nn_cache_swap *swap, int count)
{
    for (int s = 0; s < cache->slots; s++)
        if (cache->slot[s].owner >= 0)
            swap_values(swap, count, cache->values + (size_t)s * (size_t)cache->width,
                        &cache->slot[s].length);
    for (int n = 0; n < count; n++) {
        const int i = swap[n].i, j = swap[n].j, slot = cache->slot_of[i];
        cache->slot_of[i] = cache->slot_of[j];
        cache->slot_of[j] = slot;
        if (cache->slot_of[i] >= 0)
            cache->slot[cache->slot_of[i]].owner = i;
        if (slot >= 0)
            cache->slot[slot].owner = j;
    }
}
