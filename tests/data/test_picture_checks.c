/* What of a picture file is looked at before a decoder sees it: each rule with what just keeps it and what
 * just breaks it. The files are structure alone: their coded data mean nothing. */
#include "data/check.h"
#include "tests/data/pictures.h"

/* ---- JPEG ------------------------------------------------------------------------------------------ */

static unsigned digit(char c)
{
    const char *at = strchr("0123456789abcdef", c);
    assert_true(at && *at);
    return (unsigned)(at - "0123456789abcdef");
}

/* The bytes of a text as "ffdb 0043 01*64": pairs of hex digits, and a byte that is there N times. */
static buffer bytes_of(const char *text)
{
    buffer b = {0};
    for (const char *c = text; *c;) {
        if (*c == ' ') {
            c++;
            continue;
        }
        const unsigned char byte = (unsigned char)(digit(c[0]) << 4 | digit(c[1]));
        long times = 1;
        c += 2;
        if (*c == '*') {
            char *end;
            times = strtol(c + 1, &end, 10);
            c = end;
        }
        while (times-- > 0)
            put(&b, &byte, 1);
    }
    return b;
}

/* Segments of small files. A Huffman table with one code, of one bit. */
#define SOI "ffd8"
#define EOI "ffd9"
#define TABLE "ffdb 0043 00 01*64"
#define DC "ffc4 0014 00 01 00*15 00"
#define AC "ffc4 0014 10 01 00*15 00"
#define TABLES SOI TABLE DC AC
#define GREY "ffc0 000b 08 0008 0008 01 01 11 00" /* 8 x 8 */
#define SCAN "ffda 0008 01 01 00 00 3f 00"
#define DONE SCAN "2a" EOI
#define THREE "ffc0 0011 08 0008 0008 03 01 11 00 02 11 00 03 11 00"
#define SCAN_THREE "ffda 000c 03 01 00 02 00 03 00 00 3f 00"
#define STEPS "ffc2 000b 08 0008 0008 01 01 11 00" /* progressive */
#define FIRST "ffda 0008 01 01 00 00 00 01 2a"     /* its first coefficients but for their lowest bit */
#define REFINED "ffda 0008 01 01 00 00 00 10 2a"   /* and that */
#define DETAILS(range, bits) "ffda 0008 01 01 00" range bits "2a"

static const struct {
    const char *text;
    const char *words; /* of the message; NULL: nothing is wrong */
} jpegs[] = {
    {TABLES GREY DONE, NULL},
    {TABLES THREE SCAN_THREE "2a" EOI, NULL},
    {TABLES STEPS FIRST REFINED DETAILS("01 3f", "00") EOI, NULL},
    /* Segments. */
    {SOI EOI, "at byte 2: no frame header"},
    {SOI, "at byte 2: cut short, no end marker"},
    {SOI "ff", "at byte 2: cut short, no end marker"},
    {SOI "fffe 0002" TABLE DC AC GREY DONE, NULL},
    {SOI "fffe 0001" TABLE DC AC GREY DONE, "at byte 2: a segment longer than the file"},
    {SOI "fffe 0003", "a segment longer than the file"},
    {SOI "fffe 0003 00", "at byte 7: cut short, no end marker"},
    {SOI "fffe 00", "a segment longer than the file"},
    {SOI "00 07 ffffff"
         "fffe 0002" TABLE DC AC GREY DONE,
     NULL},
    {TABLES GREY "00" DONE, "no marker"},
    {SOI "ffe0 0002 ffef 0002" TABLE DC AC GREY DONE, NULL},
    {SOI "fff0 0002" TABLE DC AC GREY DONE, "at byte 2: unknown marker"},
    {SOI "ffdd 0004 0001" TABLE DC AC GREY DONE, NULL},
    {SOI "ffdd 0005 000101" TABLE DC AC GREY DONE, "malformed restart interval"},
    {TABLES GREY "ffdc 0004 0008" DONE, NULL},
    {TABLES GREY "ffdc 0004 0009" DONE, "malformed number of lines"},
    {TABLES GREY "ffdc 0005 0008 00" DONE, "malformed number of lines"},
    {TABLES "ffdc 0004 0000" GREY DONE, "malformed number of lines"},
    {SOI "ffc3 0002", "lossless, hierarchical or arithmetic-coded JPEG (marker ff c3)"},
    {SOI "ffcf 0002", "(marker ff cf)"},
    {SOI "ffde 0002", "(marker ff de)"},
    {SOI "ffdf 0002", "(marker ff df)"},
    /* Tables. */
    {SOI "ffdb 0083 00 01*64 01 01*63" DC AC GREY DONE, "malformed quantisation table"},
    {SOI "ffdb 0084 00 01*64 03 01*64" DC AC GREY DONE, NULL},
    {SOI "ffdb 0083 13 01*128" TABLE DC AC GREY DONE, NULL},
    {SOI "ffdb 0043 13 01*64" TABLE DC AC GREY DONE, "malformed quantisation table"},
    {SOI "ffdb 0083 20 01*128" DC AC GREY DONE, "malformed quantisation table"},
    {SOI "ffdb 0043 04 01*64" DC AC GREY DONE, "malformed quantisation table"},
    {SOI "ffdb 0042 00 01*63" DC AC GREY DONE, "malformed quantisation table"},
    {SOI TABLE "ffc4 0012 00*16" AC GREY DONE, "malformed Huffman table"},
    {SOI "ffc4 0013 00 00*16" TABLE DC AC GREY DONE, NULL},
    {SOI "ffc4 0014 20 01 00*15 00" TABLE DC AC GREY DONE, "malformed Huffman table"},
    {SOI "ffc4 0014 04 01 00*15 00" TABLE DC AC GREY DONE, "malformed Huffman table"},
    {SOI "ffc4 0014 13 01 00*15 00" TABLE DC AC GREY DONE, NULL},
    {SOI "ffc4 0015 10 02 00*15 0000" TABLE DC AC GREY DONE, NULL},
    {SOI "ffc4 0016 10 03 00*15 000000" TABLE DC AC GREY DONE, "more codes than there are"},
    {SOI "ffc4 0014 10 02 00*15 00" TABLE DC AC GREY DONE, "longer than its segment"},
    {SOI "ffc4 0113 10 00*8 ff 01 00*6 00*256" TABLE DC AC GREY DONE, NULL},
    {SOI "ffc4 0114 10 00*8 ff 02 00*6 00*257" TABLE DC AC GREY DONE, "longer than its segment"},
    {SOI "ffc4 0015 10 01 00*14 01 0000" TABLE DC AC GREY DONE, NULL},
    {SOI "ffc4 0014 10 01 00*14 01 00" TABLE DC AC GREY DONE, "longer than its segment"},
    {SOI "ffc4 0014 00 01 00*15 0f" TABLE DC AC GREY DONE, NULL},
    {SOI "ffc4 0014 00 01 00*15 10" TABLE DC AC GREY DONE, "differences above 15 bits"},
    {SOI "ffc4 0014 10 01 00*15 10" TABLE DC AC GREY DONE, NULL},
    /* Frames. */
    {TABLES GREY GREY DONE, "a second frame header"},
    {TABLES "ffc0 0007 08 0008 0008" DONE, "frame header cut short"},
    {TABLES "ffc0 0008 08 0008 0008 01" DONE, "frame header of the wrong length"},
    {TABLES "ffc0 000c 08 0008 0008 01 01 11 00 00" DONE, "frame header of the wrong length"},
    {TABLES "ffc0 000b 0c 0008 0008 01 01 11 00" DONE, "JPEG of 12 bits a sample, only 8 are read"},
    {TABLES "ffc0 000b 08 0000 0008 01 01 11 00" DONE, "a side of 0 pixels"},
    {TABLES "ffc0 000b 08 0008 0000 01 01 11 00" DONE, "a side of 0 pixels"},
    {TABLES "ffc0 000b 08 0001 0001 01 01 11 00" DONE, NULL},
    {TABLES "ffc0 000e 08 0008 0008 02 01 11 00 02 11 00" DONE, "neither 1, 3 nor 4 components"},
    {TABLES "ffc0 000b 08 0040 0040 01 01 11 00" SCAN "2a*16" EOI, NULL},
    {TABLES "ffc0 000b 08 0040 0041 01 01 11 00" SCAN "2a*18" EOI, "65 x 64 pixels, more than the 4096"},
    {TABLES "ffc0 000b 08 0008 0008 01 01 01 00" DONE, "sampling factors or table out of range"},
    {TABLES "ffc0 000b 08 0008 0008 01 01 51 00" DONE, "sampling factors or table out of range"},
    {TABLES "ffc0 000b 08 0008 0008 01 01 10 00" DONE, "sampling factors or table out of range"},
    {TABLES "ffc0 000b 08 0008 0008 01 01 15 00" DONE, "sampling factors or table out of range"},
    {TABLES "ffc0 000b 08 0008 0008 01 01 44 00" DONE, NULL},
    {TABLES "ffc0 000b 08 0008 0008 01 01 11 04" DONE, "sampling factors or table out of range"},
    {TABLES "ffdb 0043 03 01*64 ffc0 000b 08 0008 0008 01 01 11 03" DONE, NULL},
    {TABLES "ffc0 0011 08 0008 0008 03 01 11 00 02 11 00 01 11 00" SCAN_THREE "2a" EOI,
     "two components of one name"},
    /* Scans. */
    {TABLES SCAN, "a scan before the frame header"},
    {TABLES GREY "ffda 0006 00 00 3f 00 2a" EOI, "malformed scan header"},
    {TABLES GREY "ffda 0002 2a" EOI, "malformed scan header"},
    {TABLES GREY "ffda 000a 02 01 00 01 00 00 3f 00 2a" EOI, "malformed scan header"},
    {TABLES GREY "ffda 0009 01 01 00 00 3f 00 00 2a" EOI, "malformed scan header"},
    {TABLES GREY "ffda 0008 01 01 00 01 3f 00 2a" EOI, "malformed scan header"},
    {TABLES GREY "ffda 0008 01 01 00 00 3f 01 2a" EOI, "malformed scan header"},
    {TABLES GREY "ffda 0008 01 01 00 00 00 00 2a" EOI, NULL}, /* some writers leave the 3f out */
    {TABLES GREY "ffda 0008 01 02 00 00 3f 00 2a" EOI, "a component that is not in the frame"},
    {SOI TABLE AC GREY DONE, "a Huffman table that is not there"},
    {SOI TABLE DC GREY DONE, "a Huffman table that is not there"},
    {TABLES GREY "ffda 0008 01 01 40 00 3f 00 2a" EOI, "a Huffman table that is not there"},
    {TABLES GREY "ffda 0008 01 01 04 00 3f 00 2a" EOI, "a Huffman table that is not there"},
    {TABLES "ffc4 0014 03 01 00*15 00 ffc4 0014 13 01 00*15 00" GREY "ffda 0008 01 01 33 00 3f 00 2a" EOI,
     NULL},
    {SOI DC AC GREY DONE, "a quantisation table that is not there"},
    {TABLES GREY SCAN "2a" DONE, "a scan repeats or skips what another has"},
    {TABLES THREE SCAN "2a" EOI, "a component without data"},
    {TABLES "ffc0 000b 08 0040 0040 01 01 11 00" SCAN "2a*15" EOI, "too little data"},
    {TABLES "ffc0 000b 08 0040 0040 01 01 11 00" SCAN "2a*10 ff00 ffd0 ffd7" EOI, NULL},
    {TABLES "ffc0 000b 08 0040 0040 01 01 11 00" SCAN "2a*10 ff00 ffd0 ffcf" EOI, "too little data"},
    {TABLES GREY SCAN "2a", "cut short, no end marker"},
    {TABLES GREY SCAN "2a ff", "cut short, no end marker"},
    /* Progressive ones. */
    {TABLES STEPS DETAILS("01 3f", "00") EOI, "details before the first coefficients"},
    {TABLES STEPS "ffda 0008 01 01 00 00 01 00 2a" EOI, "malformed scan header"},
    {TABLES STEPS FIRST DETAILS("02 01", "00") EOI, "malformed scan header"},
    {TABLES STEPS FIRST DETAILS("01 40", "00") EOI, "malformed scan header"},
    {TABLES STEPS FIRST DETAILS("3f 3f", "00") EOI, NULL},
    {TABLES STEPS FIRST DETAILS("01 3f", "0e") EOI, "malformed scan header"},
    {TABLES STEPS FIRST DETAILS("01 3f", "0d") EOI, NULL},
    {TABLES STEPS FIRST FIRST EOI, "repeats or skips"},
    {TABLES STEPS REFINED EOI, "repeats or skips"},
    {TABLES STEPS FIRST "ffda 0008 01 01 00 00 00 20 2a" EOI, "repeats or skips"},
    {TABLES STEPS FIRST "ffda 0008 01 01 00 00 00 21 2a" EOI, "repeats or skips"},
    {TABLES STEPS FIRST "ffda 0008 01 01 00 00 00 11 2a" EOI, "repeats or skips"},
    {TABLES "ffc2 0011 08 0008 0008 03 01 11 00 02 11 00 03 11 00"
            "ffda 000c 03 01 00 02 00 03 00 00 00 00 2a ffda 000a 02 01 00 02 00 01 3f 00 2a" EOI,
     "malformed scan header"},
    {TABLES "ffc2 0011 08 0008 0008 03 01 11 00 02 11 00 03 11 00"
            "ffda 000c 03 01 00 02 00 03 00 00 00 00 2a" EOI,
     NULL},
    {SOI TABLE DC STEPS FIRST EOI, NULL},
    {SOI TABLE DC STEPS FIRST "ffda 0008 01 01 30 00 00 10 2a" EOI, NULL}, /* bits have no codes */
    {SOI TABLE DC STEPS FIRST DETAILS("01 3f", "00") EOI, "a Huffman table that is not there"},
    {TABLES "ffc2 000b 08 0040 0040 01 01 11 00 ffda 0008 01 01 00 00 00 00 2a*8" EOI, NULL},
    {TABLES "ffc2 000b 08 0040 0040 01 01 11 00 ffda 0008 01 01 00 00 00 00 2a*7" EOI, "too little data"},
};

static void jpegs_keep_the_rules(void **state)
{
    (void)state;
    tn_ctx *ctx = test_ctx(1, NULL);
    for (size_t i = 0; i < sizeof jpegs / sizeof jpegs[0]; i++) {
        data_picture_info info;
        buffer b = bytes_of(jpegs[i].text);
        tn_clear_error(ctx);
        const tn_status status = data_check_jpeg(ctx, "x", b.bytes, b.count, 4096, &info);
        if ((status == TN_OK) != !jpegs[i].words || strncmp(tn_error(ctx), "x: ", jpegs[i].words ? 3 : 0) ||
            !strstr(tn_error(ctx), jpegs[i].words ? jpegs[i].words : ""))
            fail_msg("JPEG %zu, \"%s\": \"%s\", expected \"%s\"", i, jpegs[i].text, tn_error(ctx),
                     jpegs[i].words ? jpegs[i].words : "");
        free(b.bytes);
    }
    tn_ctx_destroy(ctx);
}

/* ---- PNG ------------------------------------------------------------------------------------------- */

/* A file of a header and other chunks: P a palette of `n` bytes, D data of `n` bytes, H a header once more, X
 * and x unknown chunks, critical and not, E the end. */
typedef struct png {
    uint32_t width, height; /* as the header says */
    int depth, colour;
    const char *chunks;
    size_t n;          /* bytes of each chunk */
    const char *words; /* of the message; NULL: nothing is wrong */
} png;

static void put_chunks(buffer *b, const png *p)
{
    static const unsigned char zeros[2000];
    static const char letters[] = "PDHXxE";
    static const char *const type[] = {"PLTE", "IDAT", "IHDR", "XXXX", "xxXx", "IEND"};
    png_begin(b, p->width, p->height, p->depth, p->colour);
    for (const char *c = p->chunks; *c; c++)
        chunk(b, type[strchr(letters, *c) - letters], zeros, *c == 'E' ? 0 : p->n);
}

static tn_status check_png(tn_ctx *ctx, const buffer *b)
{
    data_picture_info info;
    size_t count;
    unsigned char *plain = malloc(b->count + DATA_PNG_EXTRA);
    tn_clear_error(ctx);
    const tn_status status = data_check_png(ctx, "x", b->bytes, b->count, 4096, &info, plain, &count);
    free(plain);
    return status;
}

static void pngs_keep_the_rules(void **state)
{
    (void)state;
    static const png pngs[] = {
        {4, 4, 8, 0, "DE", 10, NULL},
        {4, 4, 8, 0, "xDE", 10, NULL},
        {4, 4, 8, 0, "DDE", 1, NULL},
        {4, 4, 8, 0, "E", 0, "too little data for the size of the picture"},
        {4, 4, 8, 0, "DE", 0, "too little data for the size of the picture"},
        {64, 64, 16, 2, "DE", 23, NULL}, /* 24,576 bytes from 23: the most that Deflate makes */
        {64, 64, 16, 2, "DE", 22, "too little data for the size of the picture"},
        {4, 4, 8, 0, "D", 10, "cut short, no end chunk"},
        {4, 4, 8, 0, "XDE", 10, "at byte 33: unknown critical chunk"},
        {4, 4, 8, 0, "HDE", 13, "at byte 33: a second header"},
        {4, 4, 8, 3, "DE", 10, "no palette"},
        {4, 4, 8, 3, "PDE", 3, NULL},
        {4, 4, 8, 3, "PDE", 768, NULL},
        {4, 4, 8, 3, "PDE", 0, "malformed palette"},
        {4, 4, 8, 3, "PDE", 4, "malformed palette"},
        {4, 4, 8, 3, "PDE", 771, "malformed palette"},
        {4, 4, 8, 3, "PPDE", 6, "malformed palette"},
        {4, 4, 8, 0, "DPE", 6, "malformed palette"},
        {0, 4, 8, 0, "DE", 10, "width or height out of range"},
        {4, 0, 8, 0, "DE", 10, "width or height out of range"},
        {0x80000000, 1, 8, 0, "DE", 10, "width or height out of range"},
        {1, 0x80000000, 8, 0, "DE", 10, "width or height out of range"},
        {64, 64, 8, 0, "DE", 10, NULL},
        {4097, 1, 8, 0, "DE", 10, "4097 x 1 pixels, more than the 4096 that are read"},
        {4, 4, 8, 7, "DE", 10, "a colour type and bit depth that do not go together"},
        {4, 4, 8, 1, "DE", 10, "a colour type and bit depth that do not go together"},
        {4, 4, 4, 2, "DE", 10, "a colour type and bit depth that do not go together"},
        {4, 4, 16, 3, "PDE", 3, "a colour type and bit depth that do not go together"},
        {4, 4, 33, 0, "DE", 10, "a colour type and bit depth that do not go together"},
        {4, 4, 16, 6, "DE", 10, NULL},
    };
    tn_ctx *ctx = test_ctx(1, NULL);
    for (size_t i = 0; i < sizeof pngs / sizeof pngs[0]; i++) {
        buffer b = {0};
        put_chunks(&b, &pngs[i]);
        const tn_status status = check_png(ctx, &b);
        if ((status == TN_OK) != !pngs[i].words || !strstr(tn_error(ctx), pngs[i].words ? pngs[i].words : ""))
            fail_msg("PNG %zu: \"%s\", expected \"%s\"", i, tn_error(ctx),
                     pngs[i].words ? pngs[i].words : "");
        free(b.bytes);
    }
    tn_ctx_destroy(ctx);
}

/* What png_begin() cannot make. */
static void odd_png_headers(void **state)
{
    (void)state;
    tn_ctx *ctx = test_ctx(1, NULL);
    static const struct {
        const char *type; /* of the first chunk */
        size_t n;         /* bytes of it */
        int at;           /* which of them is 2; below 0: none */
        const char *words;
    } cases[] = {
        {"IHDR", 12, -1, "at byte 8: header of the wrong length"},
        {"IHDR", 14, -1, "at byte 8: header of the wrong length"},
        {"IHDR", 13, 10, "unknown compression, filter or interlace method"},
        {"IHDR", 13, 11, "unknown compression, filter or interlace method"},
        {"IHDR", 13, 12, "unknown compression, filter or interlace method"},
        {"IEND", 0, -1, "at byte 8: the first chunk is not the header"},
        {"CgBI", 4, -1, "a PNG made for iPhones (chunk CgBI)"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        unsigned char header[64] = {0, 0, 0, 4, 0, 0, 0, 4, 8};
        if (cases[i].at >= 0)
            header[cases[i].at] = 2;
        buffer b = {0};
        put(&b, "\x89PNG\r\n\x1a\n", 8);
        chunk(&b, cases[i].type, header, cases[i].n);
        assert_true(check_png(ctx, &b) != TN_OK);
        if (!strstr(tn_error(ctx), cases[i].words))
            fail_msg("PNG header %zu: \"%s\", expected \"%s\"", i, tn_error(ctx), cases[i].words);
        free(b.bytes);
    }
    tn_ctx_destroy(ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(jpegs_keep_the_rules),
        cmocka_unit_test(pngs_keep_the_rules),
        cmocka_unit_test(odd_png_headers),
    };
    return cmocka_run_group_tests_name("picture checks", tests, NULL, NULL);
}
