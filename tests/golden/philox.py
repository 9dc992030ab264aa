"""libtensor's random numbers in numpy, bit for bit: tn_hash(), tn_fill_uniform() (Philox4x32-10)."""
import numpy as np

MASK = np.uint64(0xFFFFFFFF)


def hash_name(text):
    value = 0xCBF29CE484222325
    for byte in text.encode():
        value = ((value ^ byte) * 0x100000001B3) & (2**64 - 1)
    return value


def _words(seed, stream, first, blocks):
    """The four words of blocks first, first + 1, ...: shape (blocks, 4)."""
    index = np.arange(first, first + blocks, dtype=np.uint64)
    c = [index & MASK, index >> np.uint64(32)]
    c += [np.full(blocks, part, np.uint64) for part in (stream & 0xFFFFFFFF, stream >> 32)]
    k0, k1 = seed & 0xFFFFFFFF, seed >> 32
    for _ in range(10):
        p0, p1 = np.uint64(0xD2511F53) * c[0], np.uint64(0xCD9E8D57) * c[2]
        c = [(p1 >> np.uint64(32)) ^ c[1] ^ np.uint64(k0), p1 & MASK,
             (p0 >> np.uint64(32)) ^ c[3] ^ np.uint64(k1), p0 & MASK]
        k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return np.stack(c, axis=1)


def uniform(seed, name, shape, low, high):
    """A float32 array of U(low, high): what tn_fill_uniform(.., seed, tn_hash(name), low, high) gives."""
    n = int(np.prod(shape, dtype=np.int64))
    low, high = np.float32(low), np.float32(high)
    out = np.empty(n, np.float32)
    step = 1 << 20
    for first in range(0, n, step):
        count = min(step, n - first)
        words = _words(seed, hash_name(name), first // 4, (count + 3) // 4).reshape(-1)[:count]
        unit = (words >> np.uint64(8)).astype(np.float32) * np.float32(2.0**-24)
        out[first:first + count] = low + (high - low) * unit
    return out.reshape(shape)


if __name__ == "__main__":
    # Known answer of Random123: key 0, counter 0.
    assert [hex(w) for w in _words(0, 0, 0, 1)[0]] == ["0x6627e8d5", "0xe169c58d", "0xbc57ac4c", "0x9b00dbd8"]
