/* weights: files <-> named tensors.
 *
 * A *file* is opened read-only, whatever its kind, and then holds *entries*: named views of memory that is
 * mapped, not read. Opening checks everything that can be wrong with a file; nothing in it is ever executed
 * or imported. Kinds, told apart by content and never by name:
 *
 *   safetensors          one file, written by wt_save() too
 *   PyTorch zip          torch.save() since 1.6
 *   PyTorch legacy       torch.save() before 1.6 (".pth.tar", ".th": not tar files)
 *   NPY                  one array; its name is the file's name without ".npy"
 *   NPZ                  several arrays, stored, not deflated
 *   folder of NPY files  a tensor for each NAME.npy, as wt_save_folder() writes them
 *
 * Of a PyTorch checkpoint the entries are the tensors of its state_dict: the dictionary under the key
 * "state_dict", at the top or inside other dictionaries, else the top itself. The prefix "module." that
 * DataParallel puts before names is taken off (once, and only as a prefix). What else the checkpoint holds
 * is told by wt_fact() and never read. A tensor alone is called "tensor".
 *
 * A malformed file gives TN_FORMAT, one that is well-formed but not for us TN_UNSUPPORTED, and the message
 * names the file, the section and the byte offset: "x.pth: object pickle at offset 214: global \"posix
 * system\" is not allowed". Memory stays below 4 times the file's size plus 64 MB, whatever the file says.
 *
 * Everything is little-endian, in files as in memory.
 */
#ifndef WT_WEIGHTS_H
#define WT_WEIGHTS_H

#include "libtensor/tensor.h"

/* ---- element types --------------------------------------------------------------------------------- */

/* Name as in safetensors and printed by programs, and bytes per element. */
#define WT_DTYPE_LIST(X)                                                                                     \
    X(BOOL, 1)                                                                                               \
    X(U8, 1)                                                                                                 \
    X(I8, 1)                                                                                                 \
    X(U16, 2)                                                                                                \
    X(I16, 2)                                                                                                \
    X(F16, 2)                                                                                                \
    X(BF16, 2)                                                                                               \
    X(U32, 4)                                                                                                \
    X(I32, 4)                                                                                                \
    X(F32, 4)                                                                                                \
    X(U64, 8)                                                                                                \
    X(I64, 8)                                                                                                \
    X(F64, 8)

typedef enum wt_dtype {
#define WT_DTYPE_ENUM(name, bytes) WT_##name,
    WT_DTYPE_LIST(WT_DTYPE_ENUM)
#undef WT_DTYPE_ENUM
} wt_dtype;

const char *wt_dtype_name(wt_dtype dtype);
size_t wt_dtype_size(wt_dtype dtype);
bool wt_dtype_is_float(wt_dtype dtype); /* F16, BF16, F32, F64 */

/* ---- reading --------------------------------------------------------------------------------------- */

/* Limits of every reader; more is TN_UNSUPPORTED. */
enum {
    WT_MAX_RANK = 8,
    WT_MAX_NAME = 255,     /* bytes */
    WT_MAX_TENSORS = 32768 /* of one file, an optimizer's included */
};

/* A named tensor in a file. */
typedef struct wt_entry {
    const char *name;            /* UTF-8 without NUL, 1 to WT_MAX_NAME bytes, unique in the file */
    wt_dtype dtype;              /* as stored */
    int rank;                    /* 0 to WT_MAX_RANK */
    int64_t size[WT_MAX_RANK];   /* in logical order, any may be 0 */
    int64_t stride[WT_MAX_RANK]; /* in elements, 0 or more */
    size_t count;                /* of elements: the product of the sizes */
    const unsigned char *data;   /* the first element, in mapped memory, not necessarily aligned */
} wt_entry;

typedef struct wt_file wt_file;

/* Opens a file, or a folder of .npy files. Also fails with TN_IO (not there, not readable, neither regular
 * file nor folder) and TN_NOMEM. The file must not be shortened while it is open. */
tn_status wt_open(tn_ctx *ctx, const char *path, wt_file **out);
void wt_close(wt_file *file); /* NULL is fine */

const char *wt_path(const wt_file *file);   /* as given to wt_open() */
const char *wt_format(const wt_file *file); /* "safetensors", "PyTorch legacy", "PyTorch zip", "NPY", ... */

/* Entries, in the file's order. */
int wt_count(const wt_file *file);
const wt_entry *wt_at(const wt_file *file, int i);
const wt_entry *wt_find(const wt_file *file, const char *name); /* NULL where there is none */

/* A value of safetensors' __metadata__; NULL where there is none. wt_metadata_at() gives the i-th pair in the
 * file's order, false past the last. */
typedef struct wt_meta {
    const char *key;   /* UTF-8 */
    const char *value; /* UTF-8 */
} wt_meta;
const char *wt_metadata(const wt_file *file, const char *key);
bool wt_metadata_at(const wt_file *file, int i, wt_meta *out);

/* What else the file holds, one printable line each and at most 1000: "epoch: 42", "optimizer: skipped, 161
 * tensors". NULL past the last. */
const char *wt_fact(const wt_file *file, int i);

/* The mapped memory itself where an entry is F32, row-major without gaps and aligned; else NULL. It is valid
 * until wt_close(). */
const float *wt_floats(const wt_entry *entry);

/* Copies an entry's elements in row-major order. wt_read() converts to float (F16 and BF16 exactly, F64 and
 * integers by rounding); wt_copy() keeps the stored type. `n` is the number of elements that `out` has room
 * for, TN_SHAPE unless it is the entry's count. */
tn_status wt_read(tn_ctx *ctx, const wt_file *file, const wt_entry *entry, float *out, size_t n);
tn_status wt_copy(tn_ctx *ctx, const wt_file *file, const wt_entry *entry, void *out, size_t n);

/* Compares the checksums that a zip keeps with the payloads of its tensors, reading all of them; other kinds
 * keep none. TN_FORMAT names the first that differs. Writers may leave checksums out, so that this is a
 * reason for a warning, not proof of damage. */
tn_status wt_verify(tn_ctx *ctx, const wt_file *file);

/* Gives the mapped pages back: resident memory drops, data stays valid and is read again when touched. */
void wt_release_pages(wt_file *file);

/* ---- writing --------------------------------------------------------------------------------------- */

/* A tensor to write: either row-major memory, or an entry of an open file. */
typedef struct wt_tensor {
    const char *name;          /* UTF-8, 1 to WT_MAX_NAME bytes, unique */
    wt_dtype dtype;            /* as written */
    int rank;                  /* 0 to WT_MAX_RANK */
    int64_t size[WT_MAX_RANK]; /* in logical order */
    const void *data;          /* row-major, in dtype; NULL: take `entry` */
    const wt_entry *entry;     /* where data is NULL: of the same shape, and of type dtype or to be
                                  converted to F32 while it is written */
} wt_tensor;

/* The tensor that keeps `entry`: floats become F32 (F64 is rounded), integers and booleans stay what they
 * are. Borrows everything. */
wt_tensor wt_tensor_of(const wt_entry *entry);

/* Writes a safetensors file, whole or not at all. Tensors lie by falling element size, then by name (so that
 * each is aligned to its element, and equal contents give equal bytes), metadata in the order given. Fails
 * with TN_RANGE (a name that is not UTF-8, empty, too long or there twice, a rank or size out of range),
 * TN_IO or TN_NOMEM. */
tn_status wt_save(tn_ctx *ctx, const char *path, const wt_tensor *tensors, int count, const wt_meta *meta,
                  int meta_count);

/* Writes one array as NPY version 1.0, row-major, whole or not at all. NPY has no BF16: TN_UNSUPPORTED. */
tn_status wt_save_npy(tn_ctx *ctx, const char *path, wt_dtype dtype, int rank, const int64_t *size,
                      const void *data);

/* Writes each tensor as NAME.npy into the folder `path`, which is made where it is missing; other files in it
 * stay. In file names '/', '%', control characters and a leading '.' are written as %XX, which wt_open() on
 * the folder undoes. Each file is written whole or not at all. */
tn_status wt_save_folder(tn_ctx *ctx, const char *path, const wt_tensor *tensors, int count);

/* A file that is written whole or not at all: wt_create() opens a temporary one beside `path`, wt_commit()
 * brings it to the disk and renames it, over an old file too; until then an old file stays as it is. Errors
 * are TN_IO with the path and the system's reason; after the first one every call gives the same status.
 * wt_commit() frees the writer whether it succeeds or fails, wt_discard() removes the temporary file and
 * frees. `path` must not be a folder or a device. A program that writes with a limit on file sizes should
 * ignore SIGXFSZ. */
typedef struct wt_writer wt_writer;
tn_status wt_create(tn_ctx *ctx, const char *path, wt_writer **out);
tn_status wt_write(wt_writer *writer, const void *data, size_t bytes);
tn_status wt_printf(wt_writer *writer, const char *format, ...) TN_PRINTF(2, 3);
tn_status wt_commit(wt_writer *writer);
void wt_discard(wt_writer *writer); /* NULL is fine */

/* ---- class names ----------------------------------------------------------------------------------- */

/* Names of classes in the order of a model's head. */
typedef struct wt_labels {
    int count;   /* at least 1 */
    char **name; /* UTF-8, not empty */
} wt_labels;

/* Reads a text with one name per line; line ends may be LF or CRLF, blanks around a name, blank lines at the
 * end and a byte order mark are dropped. TN_FORMAT names the line: one without a name before others, bytes
 * that are no UTF-8, a name there before. At most 65536 names in 16 MB. */
tn_status wt_labels_read(tn_ctx *ctx, const char *path, wt_labels **out);
void wt_labels_free(tn_ctx *ctx, wt_labels *labels);

/* ---- text ------------------------------------------------------------------------------------------ */

/* `text` in a form that is safe to print on one line: control characters, backslashes and bytes that are no
 * UTF-8 become \xNN, and what does not fit ends in "...". Writes at most `room` bytes with the final NUL into
 * `out` and returns it. */
char *wt_printable(const char *text, char *out, size_t room);

/* Whether bytes are UTF-8 without NUL: what metadata and names of tensors have to be. */
bool wt_is_text(const void *text, size_t bytes);

#endif
