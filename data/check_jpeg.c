/* The structure of a JPEG file (ITU-T T.81, annex B), walked before anything is decoded. */
#include "data/check.h"

#include <string.h>

enum { MAX_COMPONENTS = 4, BLOCK = 64 };

typedef struct component {
    int id;                       /* as scans name it */
    int h, v;                     /* sampling factors, 1 to 4 */
    int table;                    /* quantisation table */
    size_t blocks_x, blocks_y;    /* 8 x 8 blocks in a scan of its own */
    signed char precision[BLOCK]; /* of each coefficient: the lowest bit that came so far; -1: nothing yet */
} component;

typedef struct walk {
    tn_ctx *ctx;                /* takes the message */
    const char *name;           /* of the file */
    const unsigned char *bytes; /* all of it */
    size_t count;               /* of them */
    size_t at;                  /* where the marker under way begins */
    bool framed;                /* a frame header was seen */
    bool progressive;           /* and it said so */
    int width, height;          /* of the picture */
    size_t mcus;                /* units of an interleaved scan */
    int components;             /* in `component` */
    component component[MAX_COMPONENTS];
    bool quantisation[4]; /* tables that are there */
    bool huffman[2][4];   /* DC and AC tables that are there */
} walk;

static tn_status bad(const walk *w, const char *what)
{
    return tn_fail(w->ctx, TN_FORMAT, "%s: damaged JPEG at byte %zu: %s", w->name, w->at, what);
}

static tn_status check_quantisation(walk *w, const unsigned char *p, size_t n)
{
    while (n > 0) {
        size_t need = p[0] >> 4 ? 129 : 65;
        if (p[0] >> 4 > 1 || (p[0] & 15) > 3 || n < need)
            return bad(w, "malformed quantisation table");
        w->quantisation[p[0] & 15] = true;
        p += need;
        n -= need;
    }
    return TN_OK;
}

static tn_status check_huffman(walk *w, const unsigned char *p, size_t n)
{
    while (n > 0) {
        if (n < 17 || p[0] >> 4 > 1 || (p[0] & 15) > 3)
            return bad(w, "malformed Huffman table");
        bool ac = p[0] >> 4;
        size_t symbols = 0, free_codes = 1;
        for (int length = 1; length <= 16; length++) {
            free_codes *= 2;
            if (p[length] > free_codes)
                return bad(w, "Huffman table with more codes than there are");
            free_codes -= p[length];
            symbols += p[length];
        }
        if (symbols > 256 || n < 17 + symbols)
            return bad(w, "Huffman table longer than its segment");
        for (size_t i = 0; i < symbols && !ac; i++)
            if (p[17 + i] > 15)
                return bad(w, "Huffman table of differences above 15 bits");
        w->huffman[ac][p[0] & 15] = true;
        p += 17 + symbols;
        n -= 17 + symbols;
    }
    return TN_OK;
}

static tn_status check_components(walk *w, const unsigned char *p)
{
    int h_max = 1, v_max = 1;
    for (int i = 0; i < w->components; i++) {
        component *c = &w->component[i];
        c->id = p[i * 3];
        c->h = p[i * 3 + 1] >> 4;
        c->v = p[i * 3 + 1] & 15;
        c->table = p[i * 3 + 2];
        if (c->h < 1 || c->h > 4 || c->v < 1 || c->v > 4 || c->table > 3)
            return bad(w, "sampling factors or table out of range");
        for (int other = 0; other < i; other++)
            if (w->component[other].id == c->id)
                return bad(w, "two components of one name");
        h_max = c->h > h_max ? c->h : h_max;
        v_max = c->v > v_max ? c->v : v_max;
        memset(c->precision, -1, sizeof c->precision);
    }
    for (int i = 0; i < w->components; i++) {
        component *c = &w->component[i];
        size_t samples_x = (size_t)(w->width * c->h + h_max - 1) / (size_t)h_max;
        size_t samples_y = (size_t)(w->height * c->v + v_max - 1) / (size_t)v_max;
        c->blocks_x = (samples_x + 7) / 8;
        c->blocks_y = (samples_y + 7) / 8;
    }
    size_t unit_x = (size_t)h_max * 8, unit_y = (size_t)v_max * 8;
    w->mcus = (((size_t)w->width + unit_x - 1) / unit_x) * (((size_t)w->height + unit_y - 1) / unit_y);
    return TN_OK;
}

static tn_status check_frame(walk *w, int marker, const unsigned char *p, size_t n, size_t max_pixels)
{
    if (w->framed)
        return bad(w, "a second frame header");
    if (n < 6)
        return bad(w, "frame header cut short");
    w->framed = true;
    w->progressive = marker == 0xc2;
    w->height = p[1] << 8 | p[2];
    w->width = p[3] << 8 | p[4];
    w->components = p[5];
    if (p[0] != 8)
        return tn_fail(w->ctx, TN_UNSUPPORTED, "%s: JPEG of %d bits a sample, only 8 are read", w->name,
                       p[0]);
    if (w->width < 1 || w->height < 1)
        return bad(w, "a side of 0 pixels");
    if (w->components != 1 && w->components != 3 && w->components != 4)
        return bad(w, "neither 1, 3 nor 4 components");
    if (n != 6 + 3 * (size_t)w->components)
        return bad(w, "frame header of the wrong length");
    if ((size_t)w->width * (size_t)w->height > max_pixels)
        return tn_fail(w->ctx, TN_RANGE, "%s: %d x %d pixels, more than the %zu that are read", w->name,
                       w->width, w->height, max_pixels);
    return check_components(w, p + 6);
}

/* One component's part of a scan: its tables are there, and each coefficient of first..last comes for the
 * first time (high = 0) or gets its next bit. */
static tn_status check_progress(walk *w, component *c, int tables, const unsigned char *range)
{
    int first = range[0], last = range[1], high = range[2] >> 4, low = range[2] & 15;
    bool wants_dc = first == 0 && high == 0, wants_ac = last > 0;
    if (tables >> 4 > 3 || (tables & 15) > 3 || (wants_dc && !w->huffman[0][tables >> 4]) ||
        (wants_ac && !w->huffman[1][tables & 15]))
        return bad(w, "a scan uses a Huffman table that is not there");
    if (!w->quantisation[c->table])
        return bad(w, "a scan uses a quantisation table that is not there");
    if (first > 0 && c->precision[0] < 0)
        return bad(w, "a scan of details before the first coefficients");
    for (int k = first; k <= last; k++) {
        bool next = high == 0 ? c->precision[k] < 0 : c->precision[k] == high && low == high - 1;
        if (!next)
            return bad(w, "a scan repeats or skips what another has");
        c->precision[k] = (signed char)low;
    }
    return TN_OK;
}

/* A scan's header; *bits is the least that its coded data may take: a bit for the code of each first
 * coefficient, another for the end of each block that has more. Runs make the other progressive scans as
 * short as they like. */
static tn_status check_scan(walk *w, const unsigned char *p, size_t n, size_t *bits)
{
    if (!w->framed)
        return bad(w, "a scan before the frame header");
    int parts = n > 0 ? p[0] : 0;
    if (parts < 1 || parts > w->components || n != 4 + 2 * (size_t)parts)
        return bad(w, "malformed scan header");
    unsigned char range[3] = {p[n - 3], p[n - 2], p[n - 1]};
    if (!w->progressive) {
        if (range[0] != 0 || range[2] != 0)
            return bad(w, "malformed scan header");
        range[1] = BLOCK - 1; /* some writers leave it 0 */
    } else if (range[0] > range[1] || range[1] > 63 || (range[0] == 0 && range[1] > 0) ||
               (range[0] > 0 && parts > 1) || (range[2] & 15) > 13) {
        return bad(w, "malformed scan header");
    }
    size_t blocks = 0;
    for (int i = 0; i < parts; i++) {
        component *c = w->component;
        while (c < w->component + w->components && c->id != p[1 + 2 * i])
            c++;
        if (c == w->component + w->components)
            return bad(w, "a scan of a component that is not in the frame");
        TN_TRY(check_progress(w, c, p[2 + 2 * i], range));
        blocks += parts == 1 ? c->blocks_x * c->blocks_y : w->mcus * (size_t)(c->h * c->v);
    }
    *bits = !w->progressive ? blocks * 2 : range[0] == 0 ? blocks : 0;
    return TN_OK;
}

/* The end of the coded data that begins at `from`: the next marker that is no restart. */
static size_t scan_end(const walk *w, size_t from)
{
    for (;;) {
        const unsigned char *mark = memchr(w->bytes + from, 0xff, w->count - from);
        if (!mark)
            return w->count;
        from = (size_t)(mark - w->bytes) + 1;
        if (from == w->count)
            return w->count;
        unsigned char next = w->bytes[from];
        if (next != 0 && next != 0xff && !(next >= 0xd0 && next <= 0xd7))
            return from - 1;
    }
}

static tn_status check_segment(walk *w, int marker, const unsigned char *p, size_t n, size_t max_pixels)
{
    switch (marker) {
    case 0xdb:
        return check_quantisation(w, p, n);
    case 0xc4:
        return check_huffman(w, p, n);
    case 0xc0:
    case 0xc1:
    case 0xc2:
        return check_frame(w, marker, p, n, max_pixels);
    case 0xdd:
        return n == 2 ? TN_OK : bad(w, "malformed restart interval");
    case 0xdc:
        return n == 2 && w->framed && (p[0] << 8 | p[1]) == w->height ? TN_OK
                                                                      : bad(w, "malformed number of lines");
    default:
        break;
    }
    if ((marker >= 0xc3 && marker <= 0xcf) || marker == 0xde || marker == 0xdf)
        return tn_fail(w->ctx, TN_UNSUPPORTED,
                       "%s: a lossless, hierarchical or arithmetic-coded JPEG (marker ff %02x); baseline and "
                       "progressive ones are read",
                       w->name, (unsigned)marker);
    if ((marker >= 0xe0 && marker <= 0xef) || marker == 0xfe)
        return TN_OK;
    return bad(w, "unknown marker");
}

/* Walks to the end marker. */
static tn_status walk_segments(walk *w, size_t max_pixels)
{
    size_t next = 2;
    for (;;) {
        w->at = next;
        /* Some cameras pad before the frame header. */
        while (!w->framed && next < w->count && w->bytes[next] != 0xff)
            next++;
        if (next < w->count && w->bytes[next] != 0xff)
            return bad(w, "no marker");
        while (next < w->count && w->bytes[next] == 0xff)
            next++;
        if (next >= w->count)
            return bad(w, "cut short, no end marker");
        int marker = w->bytes[next++];
        if (marker == 0xd9)
            return TN_OK;
        size_t length = w->count - next >= 2 ? (size_t)w->bytes[next] << 8 | w->bytes[next + 1] : 0;
        if (length < 2 || length > w->count - next)
            return bad(w, "a segment longer than the file");
        const unsigned char *p = w->bytes + next + 2;
        next += length;
        if (marker != 0xda) {
            TN_TRY(check_segment(w, marker, p, length - 2, max_pixels));
            continue;
        }
        size_t bits = 0;
        TN_TRY(check_scan(w, p, length - 2, &bits));
        size_t end = scan_end(w, next);
        if (end - next < bits / 8)
            return bad(w, "a scan with too little data for the size of the picture");
        next = end;
    }
}

tn_status data_check_jpeg(tn_ctx *ctx, const char *name, const unsigned char *bytes, size_t count,
                          size_t max_pixels, data_picture_info *out)
{
    walk w = {.ctx = ctx, .name = name, .bytes = bytes, .count = count};
    TN_TRY(walk_segments(&w, max_pixels));
    if (!w.framed)
        return bad(&w, "no frame header");
    for (int i = 0; i < w.components; i++)
        if (w.component[i].precision[0] < 0)
            return bad(&w, "a component without data");
    out->width = w.width;
    out->height = w.height;
    return TN_OK;
}
