/* From the object of a checkpoint to entries and facts. */
#include "weights/pickle.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    MAX_DEPTH = 64, /* of containers in containers */
    SEARCHED = 1,   /* bits of pk_node.seen, so that shared and circular values are visited once */
    COUNTED = 2
};

static tn_status too_deep(const pk_machine *m)
{
    return wt_bad(m->source, TN_UNSUPPORTED, m->section, m->place, "the object is nested deeper than %d",
                  MAX_DEPTH);
}

/* The first dictionary under the key "state_dict", outer ones first; *found stays 0 where there is none. */
static tn_status find_state_dict(pk_machine *m, pk_ref ref, int depth, pk_ref *found)
{
    pk_node *node = &m->nodes[ref];
    if (node->kind != PK_DICT || node->seen & SEARCHED)
        return TN_OK;
    if (depth == MAX_DEPTH)
        return too_deep(m);
    node->seen |= SEARCHED;
    pk_ref value;
    if (pk_lookup(m, ref, "state_dict", &value) && m->nodes[value].kind == PK_DICT) {
        *found = value;
        return TN_OK;
    }
    for (uint32_t i = 1; i < node->count && *found == 0; i += 2)
        TN_TRY(find_state_dict(m, node->u.items[i], depth + 1, found));
    return TN_OK;
}

static tn_status count_tensors(pk_machine *m, pk_ref ref, int depth, size_t *count)
{
    pk_node *node = &m->nodes[ref];
    if (node->seen & COUNTED)
        return TN_OK;
    node->seen |= COUNTED;
    *count += node->kind == PK_TENSOR;
    if (node->kind != PK_TUPLE && node->kind != PK_LIST && node->kind != PK_DICT)
        return TN_OK;
    if (depth == MAX_DEPTH)
        return too_deep(m);
    for (uint32_t i = 0; i < node->count; i++)
        TN_TRY(count_tensors(m, node->u.items[i], depth + 1, count));
    return TN_OK;
}

/* ---- facts ------------------------------------------------------------------------------------------- */

/* Text of a pickle with a NUL, cut to what fits, in printable form. */
static char *printable(const pk_node *text, char *out, size_t room)
{
    char copy[WT_SHOWN];
    size_t n = text->count < sizeof copy - 1 ? text->count : sizeof copy - 1;
    for (size_t i = 0; i < n; i++)
        copy[i] = text->u.text[i] ? (char)text->u.text[i] : '?';
    copy[n] = '\0';
    return wt_printable(copy, out, room);
}

/* The shortest decimal that reads back as the same number. */
static void print_real(double value, char *out, size_t room)
{
    for (int digits = 1; digits <= 17; digits++) {
        snprintf(out, room, "%.*g", digits, value);
        if (strtod(out, NULL) == value)
            break;
    }
}

static void describe_plain(const pk_node *node, char *out, size_t room)
{
    char text[WT_SHOWN];
    switch ((pk_kind)node->kind) {
    case PK_NONE:
        snprintf(out, room, "None");
        break;
    case PK_BOOL:
        snprintf(out, room, "%s", node->u.integer ? "True" : "False");
        break;
    case PK_INT:
        snprintf(out, room, "%" PRId64, node->u.integer);
        break;
    case PK_FLOAT:
        print_real(node->u.real, out, room);
        break;
    case PK_TEXT:
        snprintf(out, room, "\"%s\"", printable(node, text, sizeof text));
        break;
    case PK_TUPLE:
        snprintf(out, room, "a tuple of %u", node->count);
        break;
    case PK_LIST:
        snprintf(out, room, "a list of %u", node->count);
        break;
    case PK_DICT:
        snprintf(out, room, "a dictionary of %u", node->count / 2);
        break;
    case PK_LONG:
    case PK_GLOBAL:
    case PK_DTYPE:
    case PK_STORAGE:
    case PK_TENSOR:
        snprintf(out, room, "skipped");
        break;
    }
}

/* "epoch: 42", "optimizer: skipped, 161 tensors". */
static tn_status add_fact(wt_file *file, pk_machine *m, const char *where, pk_ref key, pk_ref value)
{
    char name[WT_SHOWN], text[2 * WT_SHOWN];
    size_t tensors = 0;
    if (file->fact_count == WT_MAX_FACTS)
        return TN_OK;
    TN_TRY(count_tensors(m, value, 0, &tensors));
    if (m->nodes[key].kind == PK_TEXT)
        printable(&m->nodes[key], name, sizeof name);
    else
        describe_plain(&m->nodes[key], name, sizeof name);
    if (tensors)
        snprintf(text, sizeof text, "skipped, %zu tensor%s", tensors, tensors == 1 ? "" : "s");
    else
        describe_plain(&m->nodes[value], text, sizeof text);
    return wt_add_fact(file, "%s%s: %s", where, name, text);
}

/* ---- entries ----------------------------------------------------------------------------------------- */

static tn_status add_tensor(wt_file *file, pk_machine *m, const unsigned char *name, size_t bytes,
                            pk_ref value)
{
    const pk_tensor *tensor = &m->tensors[m->nodes[value].u.integer];
    const pk_use *use = &m->uses[tensor->use];
    pk_storage *storage = &m->storages[use->storage];
    wt_entry entry = {.dtype = storage->dtype, .rank = tensor->rank};
    memcpy(entry.size, tensor->size, sizeof entry.size);
    memcpy(entry.stride, tensor->stride, sizeof entry.stride);
    entry.data = storage->data + (size_t)(use->first + tensor->offset) * wt_dtype_size(storage->dtype);
    storage->used = true;
    /* nn.DataParallel's; a "module." further inside belongs to the name. */
    static const char prefix[] = "module.";
    size_t skip =
        bytes > sizeof prefix - 1 && memcmp(name, prefix, sizeof prefix - 1) == 0 ? sizeof prefix - 1 : 0;
    return wt_add_entry(file, m->source, m->section, tensor->place, name + skip, bytes - skip, &entry);
}

/* Tensors become entries, everything else facts. */
static tn_status add_dict(wt_file *file, pk_machine *m, pk_ref dict, const char *where)
{
    const pk_node *node = &m->nodes[dict];
    for (uint32_t i = 0; i + 1 < node->count; i += 2) {
        pk_ref key = node->u.items[i], value = node->u.items[i + 1];
        if (m->nodes[value].kind != PK_TENSOR)
            TN_TRY(add_fact(file, m, where, key, value));
        else if (m->nodes[key].kind != PK_TEXT)
            return wt_bad(m->source, TN_FORMAT, m->section, m->tensors[m->nodes[value].u.integer].place,
                          "a tensor's name is not text");
        else
            TN_TRY(add_tensor(file, m, m->nodes[key].u.text, m->nodes[key].count, value));
    }
    return TN_OK;
}

tn_status wt_checkpoint(wt_file *file, pk_machine *m, pk_ref root)
{
    if (m->nodes[root].kind == PK_TENSOR)
        return add_tensor(file, m, (const unsigned char *)"tensor", 6, root);
    if (m->nodes[root].kind != PK_DICT)
        return wt_bad(m->source, TN_UNSUPPORTED, m->section, m->place,
                      "the object is neither a dictionary nor a tensor");
    pk_ref found = 0;
    TN_TRY(find_state_dict(m, root, 0, &found));
    if (!found) {
        TN_TRY(add_dict(file, m, root, ""));
    } else {
        m->nodes[found].seen |= COUNTED;
        const pk_node *top = &m->nodes[root];
        for (uint32_t i = 0; i + 1 < top->count; i += 2)
            if (top->u.items[i + 1] != found)
                TN_TRY(add_fact(file, m, "", top->u.items[i], top->u.items[i + 1]));
        TN_TRY(add_dict(file, m, found, "state_dict."));
    }
    if (file->count == 0)
        return wt_bad(m->source, TN_UNSUPPORTED, m->section, m->place, "%s",
                      found ? "the state_dict holds no tensors"
                            : "there is no state_dict, and there are no tensors at the top");
    return TN_OK;
}
