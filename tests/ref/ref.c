/* What the oracles share: outputs, indices, random numbers. */
#include "tests/ref/ref.h"

#include <stdlib.h>
#include <string.h>

int64_t ref_count(const ref_tensor *t, int first, int last)
{
    int64_t n = 1;
    for (int i = first; i < last; i++)
        n *= t->size[i];
    return n;
}

int64_t ref_numel(const ref_tensor *t)
{
    return ref_count(t, 0, t->rank);
}

double *ref_output(ref_call *call, int o, int rank, const int64_t *size)
{
    ref_tensor *out = &call->out[o];
    free(out->data);
    out->rank = rank;
    memcpy(out->size, size, (size_t)rank * sizeof *size);
    out->data = calloc((size_t)ref_numel(out) + 1, sizeof *out->data);
    if (!out->data)
        abort();
    return out->data;
}

void ref_free(ref_call *call)
{
    for (int o = 0; o < TN_MAX_OUT; o++) {
        free(call->out[o].data);
        call->out[o].data = NULL;
    }
}

int64_t ref_at5(const ref_tensor *t, int64_t n, int64_t c, int64_t d, int64_t h, int64_t w)
{
    return (((n * t->size[1] + c) * t->size[2] + d) * t->size[3] + h) * t->size[4] + w;
}

int64_t ref_length(const ref_tensor *lengths, int64_t n, int64_t steps)
{
    if (!lengths->data)
        return steps;
    const double length = lengths->data[n];
    return length < 0 ? 0 : length > (double)steps ? steps : (int64_t)length;
}

uint32_t ref_philox(uint64_t key, const uint32_t counter[4], int word)
{
    uint32_t c[4], k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
    memcpy(c, counter, sizeof c);
    for (int round = 0; round < 10; round++) {
        const uint64_t left = 0xD2511F53ull * c[0], right = 0xCD9E8D57ull * c[2];
        const uint32_t next[4] = {(uint32_t)(right >> 32) ^ c[1] ^ k0, (uint32_t)right,
                                  (uint32_t)(left >> 32) ^ c[3] ^ k1, (uint32_t)left};
        memcpy(c, next, sizeof next);
        k0 += 0x9E3779B9u; /* the golden ratio */
        k1 += 0xBB67AE85u; /* sqrt(3) - 1 */
    }
    return c[word];
}

double ref_uniform(uint64_t seed, uint64_t stream, uint64_t i)
{
    const uint64_t block = i / 4;
    const uint32_t counter[4] = {(uint32_t)block, (uint32_t)(block >> 32), (uint32_t)stream,
                                 (uint32_t)(stream >> 32)};
    return (ref_philox(seed, counter, (int)(i % 4)) / 256) / 16777216.0;
}
