/* The pickle machine: opcodes of protocol 2 as torch.save() and Python 2 write them, and no others. */
#include "weights/pickle.h"

#include <stdlib.h>
#include <string.h>

enum {
    MAX_STEPS = 1000000,
    MAX_PICKLE = 64 << 20, /* bytes */
    MAX_LONG = 16          /* bytes */
};

/* The mark of the stack, no node. Nodes 0 to 4 are constants, of which 0 is never a value. */
static const pk_ref MARK = UINT32_MAX;
enum { NODE_UNSET, NODE_NONE, NODE_FALSE, NODE_TRUE, NODE_EMPTY_TUPLE, CONSTANTS };

/* ---- values ------------------------------------------------------------------------------------------ */

tn_status pk_push(pk_machine *m, pk_ref ref)
{
    m->stack[m->depth++] = ref; /* no opcode pushes more than one, so there is room */
    return TN_OK;
}

pk_ref pk_new(pk_machine *m, pk_kind kind)
{
    pk_ref ref = (pk_ref)m->node_count++;
    m->nodes[ref] = (pk_node){.kind = (uint8_t)kind};
    pk_push(m, ref);
    return ref;
}

static tn_status pop(pk_machine *m, pk_ref *out)
{
    if (m->depth == 0 || m->stack[m->depth - 1] == MARK)
        return PK_BAD(m, "the opcode 0x%02x finds nothing on the stack", m->source->data[m->place]);
    *out = m->stack[--m->depth];
    return TN_OK;
}

tn_status pk_append(pk_machine *m, pk_ref container, pk_ref item)
{
    pk_node *node = &m->nodes[container];
    /* Opcodes put in at most what they pushed; OrderedDict(pairs) could copy one list again and again. */
    if (++m->appended > 2 * m->limit)
        return PK_BAD(m, "the pickle unfolds into more items than its size allows");
    /* Room doubles at the powers of two from 4 on. */
    if (node->count == 0 || (node->count >= 4 && (node->count & (node->count - 1)) == 0)) {
        pk_ref *items = wt_arena_alloc(&m->arena, node->count ? 2 * (size_t)node->count : 4, sizeof *items);
        if (!items)
            return TN_NOMEM;
        if (node->count)
            memcpy(items, node->u.items, node->count * sizeof *items);
        node->u.items = items;
    }
    node->u.items[node->count++] = item;
    return TN_OK;
}

bool pk_is_text(const pk_node *node, const char *text)
{
    size_t bytes = strlen(text);
    return node->kind == PK_TEXT && node->count == bytes && memcmp(node->u.text, text, bytes) == 0;
}

bool pk_lookup(const pk_machine *m, pk_ref dict, const char *key, pk_ref *value)
{
    const pk_node *node = &m->nodes[dict];
    for (uint32_t i = node->count; node->kind == PK_DICT && i >= 2; i -= 2) {
        if (pk_is_text(&m->nodes[node->u.items[i - 2]], key)) {
            *value = node->u.items[i - 1];
            return true;
        }
    }
    return false;
}

/* ---- reading ----------------------------------------------------------------------------------------- */

static tn_status take(pk_machine *m, size_t bytes, const unsigned char **out)
{
    if (bytes > m->end - m->at)
        return PK_BAD(m, "the opcode wants %zu bytes and %zu are left", bytes, m->end - m->at);
    *out = m->source->data + m->at;
    m->at += bytes;
    return TN_OK;
}

/* An unsigned length or argument of 1, 2 or 4 bytes. */
static tn_status take_uint(pk_machine *m, size_t bytes, uint32_t *out)
{
    const unsigned char *p = NULL;
    TN_TRY(take(m, bytes, &p));
    *out = bytes == 1 ? *p : bytes == 2 ? wt_u16(p) : wt_u32(p);
    return TN_OK;
}

static tn_status push_int(pk_machine *m, int64_t value)
{
    m->nodes[pk_new(m, PK_INT)].u.integer = value;
    return TN_OK;
}

/* BININT, BININT1, BININT2: only the first has a sign. */
static tn_status op_int(pk_machine *m, size_t bytes)
{
    uint32_t value;
    TN_TRY(take_uint(m, bytes, &value));
    return push_int(m, bytes == 4 ? (int32_t)value : (int64_t)value);
}

static tn_status op_long(pk_machine *m)
{
    uint32_t bytes;
    const unsigned char *p = NULL;
    TN_TRY(take_uint(m, 1, &bytes));
    if (bytes > MAX_LONG)
        return PK_BAD(m, "an integer of %u bytes, the limit is %d", bytes, MAX_LONG);
    TN_TRY(take(m, bytes, &p));
    if (bytes > 8) {
        pk_node *node = &m->nodes[pk_new(m, PK_LONG)];
        node->u.text = p;
        node->count = bytes;
        return TN_OK;
    }
    uint64_t value = bytes && p[bytes - 1] & 0x80 ? UINT64_MAX : 0;
    for (uint32_t i = bytes; i > 0; i--)
        value = value << 8 | p[i - 1];
    return push_int(m, (int64_t)value);
}

static tn_status op_float(pk_machine *m)
{
    const unsigned char *p = NULL;
    TN_TRY(take(m, 8, &p));
    uint64_t bits = 0;
    for (int i = 0; i < 8; i++)
        bits = bits << 8 | p[i];
    pk_node *node = &m->nodes[pk_new(m, PK_FLOAT)];
    memcpy(&node->u.real, &bits, sizeof bits);
    return TN_OK;
}

static tn_status op_text(pk_machine *m, size_t length_bytes)
{
    uint32_t bytes;
    const unsigned char *p = NULL;
    TN_TRY(take_uint(m, length_bytes, &bytes));
    TN_TRY(take(m, bytes, &p));
    pk_node *node = &m->nodes[pk_new(m, PK_TEXT)];
    node->u.text = p;
    node->count = bytes;
    return TN_OK;
}

/* "MODULE\nNAME\n". */
static tn_status op_global(pk_machine *m)
{
    enum { MAX_NAME = 256 };
    const unsigned char *part[2];
    size_t bytes[2];
    for (int i = 0; i < 2; i++) {
        part[i] = m->source->data + m->at;
        size_t left = m->end - m->at;
        const unsigned char *end = memchr(part[i], '\n', left < MAX_NAME ? left : MAX_NAME);
        if (!end)
            return PK_BAD(m, left < MAX_NAME ? "the pickle ends inside a global's name"
                                             : "a global's name is too long");
        bytes[i] = (size_t)(end - part[i]);
        m->at += bytes[i] + 1;
    }
    int global = pk_find_global(part[0], bytes[0], part[1], bytes[1]);
    if (global < 0) {
        char text[2 * MAX_NAME + 2], shown[200];
        size_t n = 0;
        for (int i = 0; i < 2; i++)
            for (size_t j = 0; j < bytes[i] + (i == 0); j++, n++) /* the line's end between them is a blank */
                text[n] = part[i][j] == '\n' ? ' ' : part[i][j] ? (char)part[i][j] : '?';
        text[n] = '\0';
        return wt_bad(m->source, TN_UNSUPPORTED, m->section, m->place,
                      "the global \"%s\" is not allowed in a checkpoint",
                      wt_printable(text, shown, sizeof shown));
    }
    m->nodes[pk_new(m, PK_GLOBAL)].u.integer = global;
    return TN_OK;
}

/* ---- stack and memo ---------------------------------------------------------------------------------- */

/* Takes what lies above the last mark, and the mark, off the stack; it stays readable until the next push. */
static tn_status pop_mark(pk_machine *m, const pk_ref **items, size_t *count)
{
    if (m->marks == 0)
        return PK_BAD(m, "the opcode 0x%02x finds no mark", m->source->data[m->place]);
    size_t at = m->depth - 1;
    while (m->stack[at] != MARK)
        at--;
    *items = m->stack + at + 1;
    *count = m->depth - at - 1;
    m->depth = at;
    m->marks--;
    return TN_OK;
}

static tn_status make_tuple(pk_machine *m, const pk_ref *items, size_t count)
{
    if (count == 0)
        return pk_push(m, NODE_EMPTY_TUPLE);
    pk_ref *copy = wt_arena_alloc(&m->arena, count, sizeof *copy);
    if (!copy)
        return TN_NOMEM;
    memcpy(copy, items, count * sizeof *copy);
    pk_node *node = &m->nodes[pk_new(m, PK_TUPLE)];
    node->u.items = copy;
    node->count = (uint32_t)count;
    return TN_OK;
}

static tn_status op_tuple_of(pk_machine *m, size_t count)
{
    pk_ref items[3];
    for (size_t i = count; i > 0; i--)
        TN_TRY(pop(m, &items[i - 1]));
    return make_tuple(m, items, count);
}

static tn_status op_tuple(pk_machine *m)
{
    const pk_ref *items = NULL;
    size_t count = 0;
    TN_TRY(pop_mark(m, &items, &count));
    return make_tuple(m, items, count);
}

/* SETITEMS, APPENDS: puts what lies above the mark into the container under it. */
static tn_status extend(pk_machine *m, pk_kind kind, const pk_ref *items, size_t count)
{
    if (m->depth == 0 || m->stack[m->depth - 1] == MARK || m->nodes[m->stack[m->depth - 1]].kind != kind)
        return PK_BAD(m, "the opcode 0x%02x is for a %s", m->source->data[m->place],
                      kind == PK_DICT ? "dictionary" : "list");
    if (kind == PK_DICT && count % 2)
        return PK_BAD(m, "a key without a value");
    for (size_t i = 0; i < count; i++)
        TN_TRY(pk_append(m, m->stack[m->depth - 1], items[i]));
    return TN_OK;
}

static tn_status op_extend_marked(pk_machine *m, pk_kind kind)
{
    const pk_ref *items = NULL;
    size_t count = 0;
    TN_TRY(pop_mark(m, &items, &count));
    return extend(m, kind, items, count);
}

static tn_status op_extend_one(pk_machine *m, pk_kind kind)
{
    pk_ref items[2];
    size_t count = kind == PK_DICT ? 2 : 1;
    for (size_t i = count; i > 0; i--)
        TN_TRY(pop(m, &items[i - 1]));
    return extend(m, kind, items, count);
}

static tn_status op_put(pk_machine *m, size_t bytes)
{
    uint32_t index;
    TN_TRY(take_uint(m, bytes, &index));
    if (index > m->steps || index >= m->limit)
        return PK_BAD(m, "memo index %u after %zu opcodes", index, m->steps);
    if (m->depth == 0 || m->stack[m->depth - 1] == MARK)
        return PK_BAD(m, "nothing on the stack to remember");
    m->memo[index] = m->stack[m->depth - 1];
    return TN_OK;
}

static tn_status op_get(pk_machine *m, size_t bytes)
{
    uint32_t index;
    TN_TRY(take_uint(m, bytes, &index));
    if (index >= m->limit || m->memo[index] == NODE_UNSET)
        return PK_BAD(m, "memo index %u was never put", index);
    return pk_push(m, m->memo[index]);
}

/* REDUCE and BUILD take two values, BINPERSID one. */
static tn_status op_call(pk_machine *m, unsigned char opcode)
{
    pk_ref last = NODE_UNSET, first = NODE_UNSET;
    TN_TRY(pop(m, &last));
    if (opcode == 'Q')
        return pk_persistent(m, last);
    TN_TRY(pop(m, &first));
    return opcode == 'R' ? pk_reduce(m, first, last) : pk_build(m, first, last);
}

static tn_status op_proto(pk_machine *m)
{
    uint32_t protocol;
    TN_TRY(take_uint(m, 1, &protocol));
    return protocol == 2 ? TN_OK
                         : wt_bad(m->source, TN_UNSUPPORTED, m->section, m->place,
                                  "pickle protocol %u, only 2 is supported", protocol);
}

static tn_status op_unknown(pk_machine *m, unsigned char opcode)
{
    return wt_bad(m->source, TN_UNSUPPORTED, m->section, m->place,
                  "the pickle opcode 0x%02x is not one that checkpoints need", opcode);
}

/* ---- the loop ---------------------------------------------------------------------------------------- */

static tn_status run_opcode(pk_machine *m, unsigned char opcode)
{
    switch (opcode) {
    case 0x80:
        return op_proto(m);
    case '(':
        m->marks++;
        return pk_push(m, MARK);
    case '}':
        return pk_new(m, PK_DICT), TN_OK;
    case ']':
        return pk_new(m, PK_LIST), TN_OK;
    case ')':
        return pk_push(m, NODE_EMPTY_TUPLE);
    case 'N':
        return pk_push(m, NODE_NONE);
    case 0x88:
        return pk_push(m, NODE_TRUE);
    case 0x89:
        return pk_push(m, NODE_FALSE);
    case 't':
        return op_tuple(m);
    case 0x85:
    case 0x86:
    case 0x87:
        return op_tuple_of(m, opcode - 0x84u);
    case 'X':
        return op_text(m, 4);
    case 'U':
        return op_text(m, 1);
    case 'J':
        return op_int(m, 4);
    case 'K':
        return op_int(m, 1);
    case 'M':
        return op_int(m, 2);
    case 0x8a:
        return op_long(m);
    case 'G':
        return op_float(m);
    case 'c':
        return op_global(m);
    case 'q':
    case 'r':
        return op_put(m, opcode == 'q' ? 1 : 4);
    case 'h':
    case 'j':
        return op_get(m, opcode == 'h' ? 1 : 4);
    case 's':
        return op_extend_one(m, PK_DICT);
    case 'u':
        return op_extend_marked(m, PK_DICT);
    case 'a':
        return op_extend_one(m, PK_LIST);
    case 'e':
        return op_extend_marked(m, PK_LIST);
    case 'R':
    case 'b':
    case 'Q':
        return op_call(m, opcode);
    default:
        return op_unknown(m, opcode);
    }
}

static tn_status prepare(pk_machine *m)
{
    size_t left = m->end - m->at;
    m->limit = (left < MAX_STEPS ? left : MAX_STEPS) + 1;
    m->nodes = tn_alloc(m->ctx, m->limit + CONSTANTS, sizeof *m->nodes);
    m->stack = tn_alloc(m->ctx, m->limit, sizeof *m->stack);
    m->memo = tn_zalloc(m->ctx, m->limit, sizeof *m->memo);
    if (!m->nodes || !m->stack || !m->memo)
        return TN_NOMEM;
    memset(m->nodes, 0, CONSTANTS * sizeof *m->nodes);
    m->nodes[NODE_FALSE].kind = m->nodes[NODE_TRUE].kind = PK_BOOL;
    m->nodes[NODE_TRUE].u.integer = 1;
    m->nodes[NODE_EMPTY_TUPLE].kind = PK_TUPLE;
    m->node_count = CONSTANTS;
    return TN_OK;
}

static void release_stack(pk_machine *m)
{
    tn_free(m->ctx, m->stack);
    tn_free(m->ctx, m->memo);
    m->stack = m->memo = NULL;
}

tn_status pk_run(pk_machine *m, const wt_source *source, const char *section, size_t at, size_t end,
                 int id_items, pk_ref *root)
{
    *m = (pk_machine){.ctx = source->ctx,
                      .source = source,
                      .section = section,
                      .id_items = id_items,
                      .at = at,
                      .end = end - at > MAX_PICKLE ? at + MAX_PICKLE : end,
                      .arena = {.ctx = source->ctx}};
    TN_TRY(prepare(m));
    for (;; m->steps++) {
        m->place = m->at;
        if (m->at == m->end)
            return m->end == end ? PK_BAD(m, "the pickle ends without a STOP")
                                 : PK_BAD(m, "the pickle is longer than %d bytes", MAX_PICKLE);
        if (m->steps == MAX_STEPS)
            return PK_BAD(m, "the pickle has more than %d opcodes", MAX_STEPS);
        unsigned char opcode = source->data[m->at++];
        if (opcode == '.')
            break;
        TN_TRY(run_opcode(m, opcode));
    }
    TN_TRY(pop(m, root));
    if (m->depth)
        return PK_BAD(m, "%zu values are left on the stack", m->depth);
    release_stack(m);
    return TN_OK;
}

void pk_free(pk_machine *m)
{
    release_stack(m);
    tn_free(m->ctx, m->nodes);
    tn_free(m->ctx, m->uses);
    tn_free(m->ctx, m->storages);
    tn_free(m->ctx, m->tensors);
    wt_arena_free(&m->arena);
    *m = (pk_machine){0};
}
