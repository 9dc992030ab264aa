/* The directory of a zip file whose entries are stored as they are. */
#ifndef WT_ZIP_H
#define WT_ZIP_H

#include "weights/internal.h"

typedef struct wt_record {
    const unsigned char *name; /* in the directory; UTF-8 without NUL */
    size_t name_bytes;         /* of it */
    size_t header;             /* where its local header begins */
    size_t offset, size;       /* where its payload begins, and bytes */
    uint32_t crc;              /* CRC-32 of the payload, as the directory says */
} wt_record;

typedef struct wt_zip {
    const wt_source *source; /* the whole file */
    wt_record *records;      /* sorted by name */
    size_t count;            /* of records */
} wt_zip;

/* Reads the directory and each local header. Refuses what no checkpoint needs: compression, encryption,
 * several disks, comments, names that are there twice or climb out of the archive, entries that overlap.
 * wt_zip_free() is due after success and failure. */
tn_status wt_zip_read(const wt_source *source, wt_zip *out);
void wt_zip_free(wt_zip *zip);

/* The record whose name is `prefix` and `name` one behind the other; NULL where there is none. */
const wt_record *wt_zip_find(const wt_zip *zip, const unsigned char *prefix, size_t prefix_bytes,
                             const unsigned char *name, size_t name_bytes);

#endif
