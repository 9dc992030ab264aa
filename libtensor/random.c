/* Counter-based random numbers. */
#include "libtensor/internal.h"

void tn_philox(uint64_t key, const uint32_t counter[4], uint32_t out[4])
{
    uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
    uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3];
    for (int round = 0; round < 10; round++) {
        uint64_t p0 = (uint64_t)0xD2511F53u * c0;
        uint64_t p1 = (uint64_t)0xCD9E8D57u * c2;
        c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
        c1 = (uint32_t)p1;
        c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c3 = (uint32_t)p0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

static void uniform_block(uint64_t seed, uint64_t stream, uint64_t block, float out[4])
{
    uint32_t counter[4] = {(uint32_t)block, (uint32_t)(block >> 32), (uint32_t)stream,
                           (uint32_t)(stream >> 32)};
    uint32_t word[4];
    tn_philox(seed, counter, word);
    for (int i = 0; i < 4; i++)
        out[i] = (float)(word[i] >> 8) * 0x1p-24f;
}

float tn_uniform(uint64_t seed, uint64_t stream, uint64_t i)
{
    float block[4];
    uniform_block(seed, stream, i / 4, block);
    return block[i % 4];
}

void tn_fill_uniform(float *out, size_t n, uint64_t seed, uint64_t stream, float low, float high)
{
    const float width = high - low;
    for (size_t i = 0; i < n; i += 4) {
        float block[4];
        uniform_block(seed, stream, i / 4, block);
        for (size_t j = 0; j < 4 && i + j < n; j++)
            out[i + j] = low + width * block[j];
    }
}

uint64_t tn_hash(const char *text)
{
    uint64_t hash = 0xcbf29ce484222325u;
    for (; *text; text++)
        hash = (hash ^ (unsigned char)*text) * 0x100000001b3u;
    return hash;
}
