/* What the files of this folder share: the open file, messages with a place, an arena, text checks. */
#ifndef WT_INTERNAL_H
#define WT_INTERNAL_H

#include "weights/weights.h"

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "weights are little-endian in files and are used as they lie: this needs a little-endian machine"
#endif

/* ---- memory that is freed all at once ---------------------------------------------------------------- */

typedef struct wt_arena {
    tn_ctx *ctx;            /* whose allocator */
    struct wt_chunk *chunk; /* the newest, linked to the older ones */
    size_t used, room;      /* bytes of the newest chunk */
} wt_arena;

/* Memory aligned to 8 bytes, not cleared. NULL with TN_NOMEM recorded. */
void *wt_arena_alloc(wt_arena *arena, size_t count, size_t size);
void wt_arena_free(wt_arena *arena);

/* A copy with a final NUL. */
char *wt_arena_text(wt_arena *arena, const void *text, size_t bytes);
char *wt_arena_printf(wt_arena *arena, const char *format, ...) TN_PRINTF(2, 3);

/* ---- places and messages ----------------------------------------------------------------------------- */

/* Bytes that are parsed: a whole file, or an array inside an archive. */
typedef struct wt_source {
    tn_ctx *ctx;               /* gets the message */
    const char *path;          /* of the file, for messages */
    const char *part;          /* for messages: "" or "arr_0.npy: " */
    const unsigned char *data; /* mapped */
    size_t size;               /* bytes of data */
    size_t base;               /* where data begins in the file */
} wt_source;

/* Records "PATH: PART SECTION at offset N: ..." (offset is relative to the source) and returns `status`. */
tn_status wt_bad(const wt_source *source, tn_status status, const char *section, size_t offset,
                 const char *format, ...) TN_PRINTF(5, 6);

/* Room for a name of ordinary length in printable form; longer ones are cut. */
enum { WT_SHOWN = 100 };

/* Little-endian integers at any address. */
uint16_t wt_u16(const unsigned char *p);
uint32_t wt_u32(const unsigned char *p);
uint64_t wt_u64(const unsigned char *p);

/* Bytes of the UTF-8 sequence that `text` begins with; 0 where it is malformed, overlong, a surrogate or does
 * not fit into `bytes`. */
size_t wt_utf8_length(const unsigned char *text, size_t bytes);

/* The product of sizes, 0 where any is 0. False where it overflows or a size is negative. */
bool wt_element_count(int rank, const int64_t *size, size_t *out);

/* ---- the open file ----------------------------------------------------------------------------------- */

/* Mapped memory of one file. */
typedef struct wt_map {
    unsigned char *data; /* private, read-only */
    size_t size;         /* bytes, not 0 */
} wt_map;

/* A payload with the checksum that its archive keeps. */
typedef struct wt_checksum {
    const char *name;          /* of the record */
    const unsigned char *data; /* its payload */
    size_t size, offset;       /* bytes, and where in the file */
    uint32_t crc;              /* CRC-32 as the directory says */
} wt_checksum;

struct wt_file {
    tn_ctx *ctx;                  /* messages of functions without one, memory */
    char *path;                   /* as given */
    const char *format;           /* static text */
    wt_arena arena;               /* names, facts, metadata */
    wt_map *maps;                 /* one, or one per file of a folder */
    size_t map_count, map_room;   /* of maps */
    wt_entry *entries;            /* in the file's order */
    size_t count, room;           /* of entries */
    const wt_entry **by_name;     /* sorted, once the file is finished */
    wt_meta *meta;                /* safetensors' __metadata__ */
    size_t meta_count, meta_room; /* of meta */
    const char **facts;           /* for wt_fact() */
    size_t fact_count, fact_room; /* of facts */
    wt_checksum *sums;            /* zip: records that entries use */
    size_t sum_count, sum_room;   /* of sums */
};

/* Maps a regular file that is not empty; `file` keeps the memory. */
tn_status wt_map_file(wt_file *file, const char *path, wt_map *out);

void wt_unmap(wt_file *file); /* every map */

/* Adds an entry; the name is copied. Checks name, rank and number, computes `count` from the sizes, and
 * trusts strides and data. `section` and `offset` are for the message. */
tn_status wt_add_entry(wt_file *file, const wt_source *source, const char *section, size_t offset,
                       const void *name, size_t name_bytes, const wt_entry *entry);

/* Row-major strides of an entry's sizes. */
void wt_set_strides(wt_entry *entry);

/* Lines that wt_fact() gives at most. */
enum { WT_MAX_FACTS = 1000 };

/* Adds a line for wt_fact(); drops it where there are too many. */
tn_status wt_add_fact(wt_file *file, const char *format, ...) TN_PRINTF(2, 3);

/* Sorts entries by name, refuses duplicates, and bounds what all entries together hold. */
tn_status wt_finish(wt_file *file);

/* The readers: each fills an empty `file`, `format` included, from a source of its kind. */
tn_status wt_open_safetensors(wt_file *file, const wt_source *source);
tn_status wt_open_legacy(wt_file *file, const wt_source *source);
tn_status wt_open_zip(wt_file *file, const wt_source *source);
tn_status wt_open_npy(wt_file *file, const wt_source *source, const char *name);
tn_status wt_open_folder(wt_file *file);

/* The elements [first, first + n) of an entry in row-major order, in its own type. */
void wt_gather(const wt_entry *entry, size_t first, size_t n, unsigned char *out);

/* n row-major elements of a type as floats. */
void wt_widen(wt_dtype dtype, const unsigned char *in, size_t n, float *out);

/* The type of NumPy's name for it without byte order, such as "f8"; false where it is none of ours. */
bool wt_numpy_dtype(const unsigned char *name, size_t bytes, wt_dtype *out);

uint32_t wt_crc32(const unsigned char *data, size_t bytes);

/* Whether tensors can be written: TN_RANGE for a name or a shape, for data that is not of that shape, and
 * where a name is there twice. `sorted` has room for all and gets them in the order of names. */
tn_status wt_check_tensors(tn_ctx *ctx, const char *path, const wt_tensor *tensors, int count,
                           const wt_tensor **sorted);

tn_status wt_write_npy(tn_ctx *ctx, const char *path, const wt_tensor *tensor);

/* A key that is there twice; NULL where all differ. */
tn_status wt_find_equal_keys(tn_ctx *ctx, const wt_meta *meta, int count, const char **twice);

/* Writes the elements of a tensor, whichever way it is given. */
tn_status wt_write_payload(wt_writer *writer, const wt_tensor *tensor);

/* "PATH: WHAT: the system's reason for errno". */
tn_status wt_io_error(tn_ctx *ctx, const char *path, const char *what);

#endif
