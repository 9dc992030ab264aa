/* Element types, and elements out of views. */
#include "weights/internal.h"

#include <string.h>

const char *wt_dtype_name(wt_dtype dtype)
{
    static const char *const name[] = {
#define DTYPE_NAME(name, bytes) [WT_##name] = #name,
        WT_DTYPE_LIST(DTYPE_NAME)
#undef DTYPE_NAME
    };
    return name[dtype];
}

size_t wt_dtype_size(wt_dtype dtype)
{
    static const unsigned char size[] = {
#define DTYPE_SIZE(name, bytes) [WT_##name] = bytes,
        WT_DTYPE_LIST(DTYPE_SIZE)
#undef DTYPE_SIZE
    };
    return size[dtype];
}

bool wt_dtype_is_float(wt_dtype dtype)
{
    return dtype == WT_F16 || dtype == WT_BF16 || dtype == WT_F32 || dtype == WT_F64;
}

void wt_set_strides(wt_entry *entry)
{
    /* Where a size is 0 no element is there and any stride would do; 1 keeps the product from overflowing. */
    uint64_t stride = 1;
    for (int i = entry->rank - 1; i >= 0; i--) {
        entry->stride[i] = (int64_t)stride;
        stride = entry->count ? stride * (uint64_t)entry->size[i] : 1;
    }
}

static bool is_contiguous(const wt_entry *entry)
{
    int64_t stride = 1;
    for (int i = entry->rank - 1; i >= 0; i--) {
        if (entry->size[i] != 1 && entry->stride[i] != stride)
            return false;
        stride *= entry->size[i];
    }
    return true;
}

const float *wt_floats(const wt_entry *entry)
{
    if (entry->dtype != WT_F32 || (uintptr_t)entry->data % sizeof(float) != 0)
        return NULL;
    if (entry->count && !is_contiguous(entry))
        return NULL;
    return (const float *)(const void *)entry->data;
}

void wt_gather(const wt_entry *entry, size_t first, size_t n, unsigned char *out)
{
    const size_t bytes = wt_dtype_size(entry->dtype);
    if (n == 0)
        return;
    if (is_contiguous(entry)) {
        memcpy(out, entry->data + first * bytes, n * bytes);
        return;
    }
    size_t index[WT_MAX_RANK] = {0}, offset = 0, rest = first;
    for (int i = entry->rank - 1; i >= 0; i--) {
        index[i] = rest % (size_t)entry->size[i];
        rest /= (size_t)entry->size[i];
        offset += index[i] * (size_t)entry->stride[i];
    }
    for (;;) {
        memcpy(out, entry->data + offset * bytes, bytes);
        out += bytes;
        if (--n == 0)
            return;
        int i = entry->rank - 1;
        while (++index[i] == (size_t)entry->size[i]) {
            offset -= (index[i] - 1) * (size_t)entry->stride[i];
            index[i--] = 0;
        }
        offset += (size_t)entry->stride[i];
    }
}

static float half_to_float(uint16_t half)
{
    uint32_t sign = (uint32_t)(half & 0x8000) << 16, exponent = half >> 10 & 31, mantissa = half & 0x3ff;
    uint32_t bits;
    if (exponent == 31) {
        bits = sign | 0x7f800000 | mantissa << 13;
    } else if (exponent) {
        bits = sign | (exponent + 112) << 23 | mantissa << 13;
    } else {
        float subnormal = (float)mantissa * 0x1p-24f;
        memcpy(&bits, &subnormal, sizeof bits);
        bits |= sign;
    }
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static float bfloat_to_float(uint16_t bfloat)
{
    uint32_t bits = (uint32_t)bfloat << 16;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* out[i] = CONVERT(element i), elements of a C type at any address. */
#define WIDEN(type, convert)                                                                                 \
    for (size_t i = 0; i < n; i++) {                                                                         \
        type value;                                                                                          \
        memcpy(&value, in + i * sizeof value, sizeof value);                                                 \
        out[i] = convert(value);                                                                             \
    }                                                                                                        \
    break

void wt_widen(wt_dtype dtype, const unsigned char *in, size_t n, float *out)
{
    switch (dtype) {
    case WT_BOOL:
    case WT_U8:
        WIDEN(uint8_t, (float));
    case WT_I8:
        WIDEN(int8_t, (float));
    case WT_U16:
        WIDEN(uint16_t, (float));
    case WT_I16:
        WIDEN(int16_t, (float));
    case WT_F16:
        WIDEN(uint16_t, half_to_float);
    case WT_BF16:
        WIDEN(uint16_t, bfloat_to_float);
    case WT_U32:
        WIDEN(uint32_t, (float));
    case WT_I32:
        WIDEN(int32_t, (float));
    case WT_F32:
        memcpy(out, in, n * sizeof *out);
        break;
    case WT_U64:
        WIDEN(uint64_t, (float));
    case WT_I64:
        WIDEN(int64_t, (float));
    case WT_F64:
        WIDEN(double, (float));
    }
}

/* Elements that are converted at a time. */
enum { PIECE = 2048 };

static tn_status check_room(tn_ctx *ctx, const wt_file *file, const wt_entry *entry, size_t n)
{
    if (n == entry->count)
        return TN_OK;
    char name[WT_SHOWN];
    return tn_fail(ctx, TN_SHAPE, "%s: %s has %zu elements, there is room for %zu", wt_path(file),
                   wt_printable(entry->name, name, sizeof name), entry->count, n);
}

tn_status wt_read(tn_ctx *ctx, const wt_file *file, const wt_entry *entry, float *out, size_t n)
{
    TN_TRY(check_room(ctx, file, entry, n));
    if (entry->dtype == WT_F32) {
        wt_gather(entry, 0, n, (unsigned char *)out);
        return TN_OK;
    }
    unsigned char piece[PIECE * 8];
    for (size_t at = 0; at < n; at += PIECE) {
        size_t m = n - at < PIECE ? n - at : PIECE;
        wt_gather(entry, at, m, piece);
        wt_widen(entry->dtype, piece, m, out + at);
    }
    return TN_OK;
}

tn_status wt_copy(tn_ctx *ctx, const wt_file *file, const wt_entry *entry, void *out, size_t n)
{
    TN_TRY(check_room(ctx, file, entry, n));
    wt_gather(entry, 0, n, out);
    return TN_OK;
}

tn_status wt_write_payload(wt_writer *writer, const wt_tensor *tensor)
{
    size_t n = 0;
    wt_element_count(tensor->rank, tensor->size, &n);
    if (tensor->data || n == 0)
        return wt_write(writer, tensor->data, n * wt_dtype_size(tensor->dtype));
    const wt_entry *entry = tensor->entry;
    unsigned char piece[PIECE * 8];
    float floats[PIECE];
    bool widen = entry->dtype != tensor->dtype;
    if (!widen && is_contiguous(entry))
        return wt_write(writer, entry->data, n * wt_dtype_size(entry->dtype));
    for (size_t at = 0; at < n; at += PIECE) {
        size_t m = n - at < PIECE ? n - at : PIECE;
        wt_gather(entry, at, m, piece);
        if (widen)
            wt_widen(entry->dtype, piece, m, floats);
        const void *bytes = widen ? (const void *)floats : piece;
        TN_TRY(wt_write(writer, bytes, m * wt_dtype_size(tensor->dtype)));
    }
    return TN_OK;
}
