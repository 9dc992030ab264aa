/* A machine for the pickles of PyTorch checkpoints. It builds a tree of plain values; names of classes and
 * functions become members of an enum and nothing is ever called. Values are shared by reference, so that a
 * pickle of n bytes makes at most n values. */
#ifndef WT_PICKLE_H
#define WT_PICKLE_H

#include "weights/internal.h"

typedef enum pk_kind {
    PK_NONE,
    PK_BOOL,    /* integer */
    PK_INT,     /* integer */
    PK_LONG,    /* text: `count` bytes of a little-endian integer that does not fit */
    PK_FLOAT,   /* real */
    PK_TEXT,    /* text: `count` bytes, not necessarily UTF-8 */
    PK_TUPLE,   /* items */
    PK_LIST,    /* items */
    PK_DICT,    /* items: key, value, key, value ... in order of insertion */
    PK_GLOBAL,  /* integer: an index in the table of known globals */
    PK_DTYPE,   /* text: of a NumPy type, such as "f8" */
    PK_STORAGE, /* integer: an index in `uses` */
    PK_TENSOR   /* integer: an index in `tensors` */
} pk_kind;

/* A value is the index of its node. */
typedef uint32_t pk_ref;

typedef struct pk_node {
    uint8_t kind;   /* a pk_kind */
    uint8_t seen;   /* a walk came by */
    uint32_t count; /* of items (two per pair) or bytes */
    union {
        int64_t integer;           /* PK_BOOL, PK_INT and indices */
        double real;               /* PK_FLOAT */
        const unsigned char *text; /* in the file or the arena */
        pk_ref *items;             /* in the arena */
    } u;
} pk_node;

/* A storage as the pickle mentions it, which it does once for every tensor. */
typedef struct pk_use {
    const unsigned char *key; /* the storage's name */
    uint32_t key_bytes;       /* of it */
    wt_dtype dtype;           /* of its elements */
    int64_t numel;            /* of the whole storage */
    int64_t first, length;    /* the part that this use is a view of */
    size_t offset;            /* of the mention in the source */
    uint32_t storage;         /* index in `storages`, after pk_merge_storages() */
} pk_use;

typedef struct pk_storage {
    const unsigned char *key;  /* borrowed from a use */
    uint32_t key_bytes;        /* of it */
    wt_dtype dtype;            /* of its elements */
    int64_t numel;             /* number of them */
    size_t offset;             /* of the first mention */
    const unsigned char *data; /* set by the format's reader; NULL until then */
    size_t record;             /* zips: its index in the directory */
    bool used;                 /* an entry lies in it */
} pk_storage;

typedef struct pk_tensor {
    uint32_t use;                /* index in `uses` */
    int rank;                    /* up to WT_MAX_RANK */
    int64_t offset;              /* of the first element in the use */
    int64_t size[WT_MAX_RANK];   /* in logical order */
    int64_t stride[WT_MAX_RANK]; /* in elements */
    size_t place;                /* of the opcode in the source, for messages */
} pk_tensor;

typedef struct pk_machine {
    tn_ctx *ctx;                /* for memory */
    const wt_source *source;    /* that the pickle lies in */
    const char *section;        /* for messages */
    int id_items;               /* items of a persistent id: 5 in zips, 6 in legacy files, 0: none allowed */
    size_t at, end;             /* the next byte, and where the section ends at the latest */
    size_t place;               /* of the opcode that runs */
    size_t steps, limit;        /* opcodes so far, and how many there may be */
    pk_node *nodes;             /* `limit` and a few */
    pk_ref *stack;              /* `limit` */
    pk_ref *memo;               /* `limit`; 0 where nothing was put */
    size_t node_count;          /* of nodes */
    size_t depth;               /* of the stack */
    size_t marks;               /* on the stack */
    size_t appended;            /* items put into lists and dictionaries */
    wt_arena arena;             /* items of containers, decoded bytes */
    pk_use *uses;               /* storages as mentioned */
    pk_storage *storages;       /* each storage once, sorted by key */
    pk_tensor *tensors;         /* as built */
    size_t use_count, use_room; /* of uses */
    size_t storage_count;       /* of storages */
    size_t tensor_count, tensor_room; /* of tensors */
} pk_machine;

/* Runs one pickle that begins at `at` of the source, up to its STOP, behind which machine->at then is.
 * `id_items` as in the struct. pk_free() is due after success and failure. */
tn_status pk_run(pk_machine *machine, const wt_source *source, const char *section, size_t at, size_t end,
                 int id_items, pk_ref *root);
void pk_free(pk_machine *machine);

/* Makes `storages` of `uses`; a key must always have one type and number of elements. */
tn_status pk_merge_storages(pk_machine *machine);

/* The storage of that key; NULL where there is none. */
pk_storage *pk_find_storage(pk_machine *machine, const unsigned char *key, size_t key_bytes);

/* Whether a node is the text `text`, and the value that a dictionary has under it (the last, as in Python;
 * false where there is none). */
bool pk_is_text(const pk_node *node, const char *text);
bool pk_lookup(const pk_machine *machine, pk_ref dict, const char *key, pk_ref *value);

/* ---- between the machine and its globals ------------------------------------------------------------- */

/* Records "PATH: SECTION at offset PLACE: ...", for the opcode that runs. */
#define PK_BAD(machine, ...)                                                                                 \
    wt_bad((machine)->source, TN_FORMAT, (machine)->section, (machine)->place, __VA_ARGS__)

tn_status pk_push(pk_machine *machine, pk_ref ref);
/* Makes a node and pushes it. There is always room: no opcode makes more than one. */
pk_ref pk_new(pk_machine *machine, pk_kind kind);
/* Puts an item behind a list's or dictionary's last. */
tn_status pk_append(pk_machine *machine, pk_ref container, pk_ref item);

/* The index of a global in the table; -1 where it is not there. */
int pk_find_global(const unsigned char *module, size_t module_bytes, const unsigned char *name,
                   size_t name_bytes);
/* GLOBAL(*args), of which the result is pushed. */
tn_status pk_reduce(pk_machine *machine, pk_ref function, pk_ref args);
/* object.__setstate__(state). */
tn_status pk_build(pk_machine *machine, pk_ref object, pk_ref state);
/* A persistent id, of which the storage is pushed. */
tn_status pk_persistent(pk_machine *machine, pk_ref id);

/* The checkpoint's entries and facts, from the object and storages whose data is known. */
tn_status wt_checkpoint(wt_file *file, pk_machine *machine, pk_ref root);

#endif
