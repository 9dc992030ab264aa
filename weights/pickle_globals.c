/* What a checkpoint may name: the known globals, and the values that stand for calling them. */
#include "weights/pickle.h"

#include <stdlib.h>
#include <string.h>

typedef enum pk_function {
    ORDERED_DICT,
    REBUILD_TENSOR,
    REBUILD_PARAMETER,
    TORCH_SIZE,
    NUMPY_SCALAR,
    NUMPY_DTYPE,
    ENCODE,
    STORAGE
} pk_function;

typedef struct pk_global {
    const char *module, *name; /* as in the pickle */
    pk_function function;      /* what it stands for */
    wt_dtype dtype;            /* STORAGE: of its elements */
} pk_global;

/* Classes of storages on a GPU are those of the same name in main memory. */
#define STORAGE_OF(type, dtype)                                                                              \
    {"torch", #type "Storage", STORAGE, dtype},                                                              \
    {                                                                                                        \
        "torch.cuda", #type "Storage", STORAGE, dtype                                                        \
    }

static const pk_global globals[] = {
    {"collections", "OrderedDict", ORDERED_DICT, 0},
    {"torch._utils", "_rebuild_tensor", REBUILD_TENSOR, 0},
    {"torch._utils", "_rebuild_tensor_v2", REBUILD_TENSOR, 0},
    {"torch._utils", "_rebuild_parameter", REBUILD_PARAMETER, 0},
    {"torch", "Size", TORCH_SIZE, 0},
    {"numpy.core.multiarray", "scalar", NUMPY_SCALAR, 0},
    {"numpy._core.multiarray", "scalar", NUMPY_SCALAR, 0},
    {"numpy", "dtype", NUMPY_DTYPE, 0},
    {"_codecs", "encode", ENCODE, 0},
    STORAGE_OF(Double, WT_F64),
    STORAGE_OF(Float, WT_F32),
    STORAGE_OF(Half, WT_F16),
    STORAGE_OF(BFloat16, WT_BF16),
    STORAGE_OF(Long, WT_I64),
    STORAGE_OF(Int, WT_I32),
    STORAGE_OF(Short, WT_I16),
    STORAGE_OF(Char, WT_I8),
    STORAGE_OF(Byte, WT_U8),
    STORAGE_OF(Bool, WT_BOOL),
};

static bool equals(const unsigned char *text, size_t bytes, const char *name)
{
    return strlen(name) == bytes && memcmp(text, name, bytes) == 0;
}

int pk_find_global(const unsigned char *module, size_t module_bytes, const unsigned char *name,
                   size_t name_bytes)
{
    for (size_t i = 0; i < sizeof globals / sizeof *globals; i++)
        if (equals(module, module_bytes, globals[i].module) && equals(name, name_bytes, globals[i].name))
            return (int)i;
    return -1;
}

/* ---- arguments --------------------------------------------------------------------------------------- */

/* Item i of a tuple that is known to be long enough. */
static const pk_node *item(const pk_machine *m, const pk_node *tuple, uint32_t i)
{
    return &m->nodes[tuple->u.items[i]];
}

static bool take_count(const pk_node *node, int64_t *out)
{
    if (node->kind != PK_INT || node->u.integer < 0)
        return false;
    *out = node->u.integer;
    return true;
}

static bool is_pair(const pk_node *node)
{
    return (node->kind == PK_TUPLE || node->kind == PK_LIST) && node->count == 2;
}

/* OrderedDict(), or as Python 2 writes it OrderedDict([[key, value], ...]). */
static tn_status make_dict(pk_machine *m, const pk_node *args)
{
    const pk_node *pairs = args->count == 1 ? item(m, args, 0) : NULL;
    if (args->count > 1 || (pairs && pairs->kind != PK_LIST))
        return PK_BAD(m, "OrderedDict takes nothing or a list of pairs");
    pk_ref dict = pk_new(m, PK_DICT);
    for (uint32_t i = 0; pairs && i < pairs->count; i++) {
        const pk_node *pair = item(m, pairs, i);
        if (!is_pair(pair))
            return PK_BAD(m, "OrderedDict takes nothing or a list of pairs");
        TN_TRY(pk_append(m, dict, pair->u.items[0]));
        TN_TRY(pk_append(m, dict, pair->u.items[1]));
    }
    return TN_OK;
}

/* ---- tensors ----------------------------------------------------------------------------------------- */

/* 1 + offset + sum of (size - 1) * stride <= numel, and product of sizes <= numel, so that nothing lies
 * outside and nothing unfolds. Where there are no elements only the offset is bounded. */
static bool fits(const pk_tensor *t, int64_t numel)
{
    size_t count, last = (size_t)t->offset;
    if (!wt_element_count(t->rank, t->size, &count) || count > (size_t)numel || t->offset > numel)
        return false;
    for (int i = 0; i < t->rank && count; i++) {
        size_t step;
        if (!tn_mul_size((size_t)t->size[i] - 1, (size_t)t->stride[i], &step) ||
            !tn_add_size(last, step, &last))
            return false;
    }
    return count == 0 || last < (size_t)numel;
}

/* _rebuild_tensor(storage, offset, size, stride), and _rebuild_tensor_v2 with requires_grad, hooks and
 * perhaps metadata behind them, which say nothing about the values. */
static tn_status make_tensor(pk_machine *m, const pk_node *args)
{
    if (args->count != 4 && args->count != 6 && args->count != 7)
        return PK_BAD(m, "a tensor is rebuilt from %u arguments", args->count);
    const pk_node *storage = item(m, args, 0), *size = item(m, args, 2), *stride = item(m, args, 3);
    pk_tensor tensor = {.place = m->place};
    if (storage->kind != PK_STORAGE || size->kind != PK_TUPLE || stride->kind != PK_TUPLE ||
        size->count != stride->count || !take_count(item(m, args, 1), &tensor.offset))
        return PK_BAD(m, "a tensor is rebuilt from something else than storage, offset, sizes and strides");
    if (size->count > WT_MAX_RANK)
        return wt_bad(m->source, TN_UNSUPPORTED, m->section, m->place,
                      "a tensor has %u axes, the limit is %d", size->count, WT_MAX_RANK);
    tensor.use = (uint32_t)storage->u.integer;
    tensor.rank = (int)size->count;
    for (uint32_t i = 0; i < size->count; i++)
        if (!take_count(item(m, size, i), &tensor.size[i]) ||
            !take_count(item(m, stride, i), &tensor.stride[i]))
            return PK_BAD(m, "a tensor's size or stride is negative or no integer");
    if (!fits(&tensor, m->uses[tensor.use].length))
        return PK_BAD(m, "a tensor does not fit into its storage of %lld elements",
                      (long long)m->uses[tensor.use].length);
    if (m->tensor_count == WT_MAX_TENSORS)
        return wt_bad(m->source, TN_UNSUPPORTED, m->section, m->place, "more than %d tensors",
                      WT_MAX_TENSORS);
    TN_TRY(tn_grow(m->ctx, &m->tensors, &m->tensor_room, m->tensor_count + 1, sizeof *m->tensors));
    m->tensors[m->tensor_count] = tensor;
    m->nodes[pk_new(m, PK_TENSOR)].u.integer = (int64_t)m->tensor_count++;
    return TN_OK;
}

/* _rebuild_parameter(tensor, requires_grad, hooks) is the tensor. */
static tn_status make_parameter(pk_machine *m, const pk_node *args)
{
    if (args->count != 3 || item(m, args, 0)->kind != PK_TENSOR)
        return PK_BAD(m, "a parameter is rebuilt from something else than a tensor");
    return pk_push(m, args->u.items[0]);
}

/* ---- storages ---------------------------------------------------------------------------------------- */

/* The last item of a legacy id: None, or (key, first, length) of a view of the storage. */
static tn_status take_view(pk_machine *m, const pk_node *view, pk_use *use)
{
    if (view->kind == PK_NONE)
        return TN_OK;
    if (view->kind != PK_TUPLE || view->count != 3 || item(m, view, 0)->kind != PK_TEXT ||
        !take_count(item(m, view, 1), &use->first) || !take_count(item(m, view, 2), &use->length) ||
        use->first > use->numel || use->length > use->numel - use->first)
        return PK_BAD(m, "a view of a storage lies outside it");
    return TN_OK;
}

/* ('storage', class, key, location, numel), in legacy files with a view behind. */
tn_status pk_persistent(pk_machine *m, pk_ref id)
{
    const pk_node *tuple = &m->nodes[id];
    if (m->id_items && tuple->kind == PK_TUPLE && tuple->count && pk_is_text(item(m, tuple, 0), "module"))
        return wt_bad(m->source, TN_UNSUPPORTED, m->section, m->place,
                      "a whole pickled module: save its state_dict instead");
    if (m->id_items == 0 || tuple->kind != PK_TUPLE || tuple->count != (uint32_t)m->id_items ||
        !pk_is_text(item(m, tuple, 0), "storage"))
        return PK_BAD(m, "a persistent id that is no storage");
    const pk_node *class = item(m, tuple, 1), *key = item(m, tuple, 2);
    pk_use use = {.offset = m->place};
    if (class->kind != PK_GLOBAL || globals[class->u.integer].function != STORAGE || key->kind != PK_TEXT ||
        key->count == 0 || key->count > WT_MAX_NAME || item(m, tuple, 3)->kind != PK_TEXT ||
        !take_count(item(m, tuple, 4), &use.numel))
        return PK_BAD(m, "a storage's id is not (class, key, location, number of elements)");
    use.key = key->u.text;
    use.key_bytes = key->count;
    use.dtype = globals[class->u.integer].dtype;
    use.length = use.numel;
    if (m->id_items == 6)
        TN_TRY(take_view(m, item(m, tuple, 5), &use));
    if (m->use_count == WT_MAX_TENSORS)
        return wt_bad(m->source, TN_UNSUPPORTED, m->section, m->place, "more than %d storages",
                      WT_MAX_TENSORS);
    TN_TRY(tn_grow(m->ctx, &m->uses, &m->use_room, m->use_count + 1, sizeof *m->uses));
    m->uses[m->use_count] = use;
    m->nodes[pk_new(m, PK_STORAGE)].u.integer = (int64_t)m->use_count++;
    return TN_OK;
}

static int compare_keys(const unsigned char *a, size_t a_bytes, const unsigned char *b, size_t b_bytes)
{
    int order = memcmp(a, b, a_bytes < b_bytes ? a_bytes : b_bytes);
    return order ? order : (a_bytes > b_bytes) - (a_bytes < b_bytes);
}

static int by_key(const void *a, const void *b)
{
    const pk_use *const *x = a, *const *y = b;
    int order = compare_keys((*x)->key, (*x)->key_bytes, (*y)->key, (*y)->key_bytes);
    return order ? order : ((*x)->offset > (*y)->offset) - ((*x)->offset < (*y)->offset);
}

tn_status pk_merge_storages(pk_machine *m)
{
    size_t n = m->use_count;
    pk_use **sorted = tn_alloc(m->ctx, n, sizeof *sorted);
    m->storages = tn_alloc(m->ctx, n, sizeof *m->storages);
    tn_status status = sorted && m->storages ? TN_OK : TN_NOMEM;
    for (size_t i = 0; i < n && status == TN_OK; i++)
        sorted[i] = &m->uses[i];
    if (status == TN_OK)
        qsort(sorted, n, sizeof *sorted, by_key);
    for (size_t i = 0; i < n && status == TN_OK; i++) {
        pk_use *use = sorted[i];
        pk_storage *last = m->storage_count ? &m->storages[m->storage_count - 1] : NULL;
        if (!last || compare_keys(last->key, last->key_bytes, use->key, use->key_bytes) != 0)
            m->storages[m->storage_count++] =
                (pk_storage){use->key, use->key_bytes, use->dtype, use->numel, use->offset, NULL, 0, false};
        else if (last->dtype != use->dtype || last->numel != use->numel)
            status = wt_bad(m->source, TN_FORMAT, m->section, use->offset,
                            "a storage of %lld x %s that was %lld x %s at offset %zu", (long long)use->numel,
                            wt_dtype_name(use->dtype), (long long)last->numel, wt_dtype_name(last->dtype),
                            m->source->base + last->offset);
        use->storage = (uint32_t)(m->storage_count - 1);
    }
    tn_free(m->ctx, sorted);
    return status;
}

static int storage_by_key(const void *a, const void *b)
{
    const pk_storage *x = a, *y = b;
    return compare_keys(x->key, x->key_bytes, y->key, y->key_bytes);
}

pk_storage *pk_find_storage(pk_machine *m, const unsigned char *key, size_t key_bytes)
{
    const pk_storage wanted = {.key = key, .key_bytes = (uint32_t)key_bytes};
    return m->storage_count
               ? bsearch(&wanted, m->storages, m->storage_count, sizeof *m->storages, storage_by_key)
               : NULL;
}

/* ---- NumPy scalars ----------------------------------------------------------------------------------- */

/* numpy.dtype('f8', False, True) */
static tn_status make_numpy_dtype(pk_machine *m, const pk_node *args)
{
    wt_dtype dtype;
    if (args->count != 3 || item(m, args, 0)->kind != PK_TEXT ||
        !wt_numpy_dtype(item(m, args, 0)->u.text, item(m, args, 0)->count, &dtype))
        return PK_BAD(m, "a NumPy type that is no plain number");
    pk_node *node = &m->nodes[pk_new(m, PK_DTYPE)];
    node->u.integer = dtype;
    return TN_OK;
}

/* numpy scalar(dtype, bytes) */
static tn_status make_numpy_scalar(pk_machine *m, const pk_node *args)
{
    const pk_node *type = args->count == 2 ? item(m, args, 0) : NULL;
    const pk_node *bytes = type ? item(m, args, 1) : NULL;
    wt_dtype dtype = type && type->kind == PK_DTYPE ? (wt_dtype)type->u.integer : WT_BOOL;
    size_t size = wt_dtype_size(dtype);
    if (!type || type->kind != PK_DTYPE || bytes->kind != PK_TEXT || bytes->count != size)
        return PK_BAD(m, "a NumPy number that is not a type and its bytes");
    const unsigned char *text = bytes->u.text;
    pk_node *node = &m->nodes[pk_new(m, PK_INT)];
    if (wt_dtype_is_float(dtype)) {
        float value = 0;
        wt_widen(dtype, text, 1, &value);
        node->kind = PK_FLOAT;
        node->u.real = (double)value;
        if (dtype == WT_F64)
            memcpy(&node->u.real, text, size);
        return TN_OK;
    }
    bool is_signed = dtype == WT_I8 || dtype == WT_I16 || dtype == WT_I32 || dtype == WT_I64;
    uint64_t value = is_signed && text[size - 1] & 0x80 ? UINT64_MAX : 0;
    for (size_t i = size; i > 0; i--)
        value = value << 8 | text[i - 1];
    node->u.integer = (int64_t)value;
    if (dtype == WT_BOOL) {
        node->kind = PK_BOOL;
    } else if (dtype == WT_U64 && value > INT64_MAX) {
        node->kind = PK_FLOAT;
        node->u.real = (double)value;
    }
    return TN_OK;
}

/* _codecs.encode(text, 'latin1'): how protocol 2 writes bytes. Only those of a number are ever looked at:
 * longer ones stay the text, because decoding would make a copy for every mention. */
static tn_status make_bytes(pk_machine *m, const pk_node *args)
{
    enum { LONGEST_NUMBER = 16 }; /* 8 bytes, each of which takes up to two of UTF-8 */
    if (args->count != 2 || item(m, args, 0)->kind != PK_TEXT || !pk_is_text(item(m, args, 1), "latin1"))
        return PK_BAD(m, "bytes that are not encoded as latin1");
    const pk_node *text = item(m, args, 0);
    if (text->count > LONGEST_NUMBER)
        return pk_push(m, args->u.items[0]);
    unsigned char *out = wt_arena_alloc(&m->arena, text->count, 1);
    if (!out)
        return TN_NOMEM;
    uint32_t count = 0;
    for (uint32_t i = 0; i < text->count; count++) {
        const unsigned char *p = text->u.text + i;
        size_t n = wt_utf8_length(p, text->count - i);
        if (n == 0 || n > 2 || *p > 0xc3)
            return PK_BAD(m, "bytes that are not encoded as latin1");
        out[count] = n == 1 ? *p : (unsigned char)((*p & 3) << 6 | (p[1] & 0x3f));
        i += (uint32_t)n;
    }
    pk_node *node = &m->nodes[pk_new(m, PK_TEXT)];
    node->u.text = out;
    node->count = count;
    return TN_OK;
}

/* ---- calls ------------------------------------------------------------------------------------------- */

tn_status pk_reduce(pk_machine *m, pk_ref function, pk_ref args_ref)
{
    const pk_node *global = &m->nodes[function], *args = &m->nodes[args_ref];
    if (global->kind != PK_GLOBAL || args->kind != PK_TUPLE)
        return PK_BAD(m, "a call of something that is no global, or without a tuple of arguments");
    switch (globals[global->u.integer].function) {
    case ORDERED_DICT:
        return make_dict(m, args);
    case REBUILD_TENSOR:
        return make_tensor(m, args);
    case REBUILD_PARAMETER:
        return make_parameter(m, args);
    case TORCH_SIZE:
        if (args->count != 1 || item(m, args, 0)->kind != PK_TUPLE)
            return PK_BAD(m, "torch.Size takes a tuple");
        return pk_push(m, args->u.items[0]);
    case NUMPY_SCALAR:
        return make_numpy_scalar(m, args);
    case NUMPY_DTYPE:
        return make_numpy_dtype(m, args);
    case ENCODE:
        return make_bytes(m, args);
    case STORAGE:
        break;
    }
    return PK_BAD(m, "a storage that is made by a call");
}

/* A dictionary's attributes (PyTorch keeps _metadata there) are dropped; a NumPy type gets its byte order. */
tn_status pk_build(pk_machine *m, pk_ref object, pk_ref state_ref)
{
    const pk_node *node = &m->nodes[object], *state = &m->nodes[state_ref];
    if (node->kind == PK_DTYPE) {
        const pk_node *order = state->kind == PK_TUPLE && state->count >= 2 ? item(m, state, 1) : NULL;
        if (!order || !(pk_is_text(order, "<") || pk_is_text(order, "|") || pk_is_text(order, "=")))
            return PK_BAD(m, "a NumPy type that is not little-endian");
    } else if (node->kind != PK_DICT) {
        return PK_BAD(m, "a state for something that has none");
    }
    return pk_push(m, object);
}
