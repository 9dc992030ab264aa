/* Reading JPEG and PNG files: what comes out, what is refused, and at what cost. */
#include "data/data.h"
#include "tests/common/testing.h"
#include "tests/data/memory.h"
#include "tests/data/pictures.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

static tn_status decode(tn_ctx *ctx, const buffer *b, data_image *out)
{
    tn_clear_error(ctx);
    return data_image_decode(ctx, "x", b->bytes, b->count, DATA_MAX_PIXELS, out);
}

static void refused(tn_ctx *ctx, const buffer *b, tn_status want, const char *words)
{
    data_image out;
    assert_status(ctx, decode(ctx, b, &out), want);
    assert_null(out.rgb);
    if (!strstr(tn_error(ctx), words) || strncmp(tn_error(ctx), "x: ", 3) != 0)
        fail_msg("\"%s\" does not begin with the name and say \"%s\"", tn_error(ctx), words);
}

/* ---- PNG ------------------------------------------------------------------------------------------- */

/* Two pixels of each kind, with what they are in RGB. */
static void every_png_colour_type(void **state)
{
    (void)state;
    static const struct {
        int depth, colour;
        const char *palette; /* bytes of PLTE */
        size_t palette_count;
        const char *transparency; /* bytes of tRNS */
        size_t transparency_count;
        unsigned char row[17]; /* filter and two pixels */
        size_t row_count;
        unsigned char rgb[6];
    } cases[] = {
        {1, 0, NULL, 0, NULL, 0, {0, 0x40}, 2, {0, 0, 0, 255, 255, 255}},
        {2, 0, NULL, 0, NULL, 0, {0, 0x60}, 2, {85, 85, 85, 170, 170, 170}},
        {4, 0, NULL, 0, "\0\1", 2, {0, 0x1e}, 2, {17, 17, 17, 238, 238, 238}},
        {8, 0, NULL, 0, NULL, 0, {0, 7, 200}, 3, {7, 7, 7, 200, 200, 200}},
        {16, 0, NULL, 0, NULL, 0, {0, 7, 255, 200, 1}, 5, {7, 7, 7, 200, 200, 200}},
        {8, 2, NULL, 0, "\0\1\0\2\0\3", 6, {0, 1, 2, 3, 250, 251, 252}, 7, {1, 2, 3, 250, 251, 252}},
        {16, 2, NULL, 0, NULL, 0, {0, 1, 9, 2, 9, 3, 9, 4, 255, 5, 255, 6, 255}, 13, {1, 2, 3, 4, 5, 6}},
        {1, 3, "abcdef", 6, NULL, 0, {0, 0x40}, 2, {'a', 'b', 'c', 'd', 'e', 'f'}},
        {8, 3, "abcdef", 6, "\0", 1, {0, 1, 0}, 3, {'d', 'e', 'f', 'a', 'b', 'c'}},
        {8, 3, "abcdef", 6, NULL, 0, {0, 1, 77}, 3, {'d', 'e', 'f', 0, 0, 0}}, /* beyond the palette: black */
        {8, 4, NULL, 0, NULL, 0, {0, 9, 0, 99, 128}, 5, {9, 9, 9, 99, 99, 99}},
        {16, 4, NULL, 0, NULL, 0, {0, 9, 1, 0, 0, 99, 2, 128, 0}, 9, {9, 9, 9, 99, 99, 99}},
        {8, 6, NULL, 0, NULL, 0, {0, 1, 2, 3, 0, 4, 5, 6, 200}, 9, {1, 2, 3, 4, 5, 6}},
        {16,
         6,
         NULL,
         0,
         NULL,
         0,
         {0, 1, 9, 2, 9, 3, 9, 0, 0, 4, 9, 5, 9, 6, 9, 200, 0},
         17,
         {1, 2, 3, 4, 5, 6}},
    };
    tn_ctx *ctx = test_ctx(1, NULL);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        buffer b = {0};
        png_begin(&b, 2, 1, cases[i].depth, cases[i].colour);
        if (cases[i].palette)
            chunk(&b, "PLTE", cases[i].palette, cases[i].palette_count);
        if (cases[i].transparency)
            chunk(&b, "tRNS", cases[i].transparency, cases[i].transparency_count);
        png_end(&b, cases[i].row, cases[i].row_count);
        data_image out;
        assert_ok(ctx, decode(ctx, &b, &out));
        assert_int_equal(out.width, 2);
        assert_int_equal(out.height, 1);
        assert_memory_equal(out.rgb, cases[i].rgb, 6);
        data_image_free(ctx, &out);
        free(b.bytes);
    }
    tn_ctx_destroy(ctx);
}

static void pngs_that_are_refused(void **state)
{
    (void)state;
    tn_ctx *ctx = test_ctx(1, NULL);
    static const unsigned char row[128] = {0};
    static const struct {
        uint32_t width, height;
        int depth, colour;
        size_t row_count;
        tn_status status;
        const char *words;
    } cases[] = {
        {65536, 65536, 8, 2, 4, TN_RANGE, "65536 x 65536 pixels, more than the 67108864"},
        {0xffffffff, 1, 8, 0, 4, TN_FORMAT, "width or height out of range"},
        {0, 1, 8, 0, 4, TN_FORMAT, "width or height out of range"},
        {4, 4, 3, 0, 4, TN_FORMAT, "do not go together"},
        {4, 4, 2, 2, 4, TN_FORMAT, "do not go together"},
        {4, 4, 16, 3, 4, TN_FORMAT, "do not go together"},
        {4, 4, 8, 7, 4, TN_FORMAT, "do not go together"},
        {4, 4, 8, 3, 4, TN_FORMAT, "no palette"},
        {4, 4, 8, 0, 9, TN_FORMAT, "damaged picture"},
        {8000, 8000, 8, 2, 64, TN_FORMAT, "too little data for the size"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        buffer b = {0};
        png_begin(&b, cases[i].width, cases[i].height, cases[i].depth, cases[i].colour);
        png_end(&b, row, cases[i].row_count);
        refused(ctx, &b, cases[i].status, cases[i].words);
        free(b.bytes);
    }
    buffer b = {0};
    put(&b, "ID3\4", 4);
    refused(ctx, &b, TN_FORMAT, "neither JPEG nor PNG (first bytes 49 44 33 04)");
    b.count = 0;
    refused(ctx, &b, TN_FORMAT, "neither JPEG nor PNG (it is empty)");
    free(b.bytes);
    tn_ctx_destroy(ctx);
}

/* A deflate stream of one zero and then `copies` times 258 more. */
static buffer bomb(size_t copies)
{
    buffer z = {0};
    unsigned char head[2] = {0x78, 1};
    put(&z, head, 2);
    uint64_t bits = 0;
    int used = 0;
    for (size_t i = 0; i < copies + 3; i++) {
        uint32_t code = i == 0           ? 3    /* last block, fixed codes */
                        : i == 1         ? 0x0c /* literal 0: 00110000, first bit first */
                        : i < copies + 2 ? 0xa3 /* length 258: 11000101; distance 1: 00000 */
                                         : 0;   /* end */
        int n = i == 0 ? 3 : i == 1 ? 8 : i < copies + 2 ? 13 : 7;
        bits |= (uint64_t)code << used;
        for (used += n; used >= 8; used -= 8, bits >>= 8) {
            unsigned char byte = (unsigned char)bits;
            put(&z, &byte, 1);
        }
    }
    unsigned char tail[8] = {(unsigned char)bits};
    put(&z, tail, sizeof tail);
    return z;
}

static void a_bomb_is_not_unpacked(void **state)
{
    (void)state;
    test_memory w;
    test_memory_init(&w);
    tn_ctx *ctx = test_memory_ctx(&w);
    size_t copies = 800000; /* 206 MB of zeros */
    buffer z = bomb(copies), b = {0};
    png_begin(&b, 1, 1, 8, 0);
    chunk(&b, "IDAT", z.bytes, z.count);
    chunk(&b, "IEND", NULL, 0);
    refused(ctx, &b, TN_RANGE, "more memory than 1 x 1 pixels should");
    assert_true(w.peak <= 4 * b.count + (64 << 20));
    /* The same stream is a fine picture where it has the size for it. */
    free(b.bytes);
    b = (buffer){0};
    free(z.bytes);
    z = bomb(1000);
    png_begin(&b, 257, 1000, 8, 0);
    chunk(&b, "IDAT", z.bytes, z.count);
    chunk(&b, "IEND", NULL, 0);
    data_image out;
    assert_ok(ctx, decode(ctx, &b, &out));
    for (size_t i = 0; i < 257 * 1000 * 3; i++)
        assert_int_equal(out.rgb[i], 0);
    data_image_free(ctx, &out);
    free(b.bytes);
    free(z.bytes);
    tn_ctx_destroy(ctx);
}

static data_image noise(tn_ctx *ctx, int width, int height)
{
    size_t n = (size_t)width * (size_t)height * 3;
    data_image image = {tn_alloc(ctx, n, 1), width, height};
    assert_non_null(image.rgb);
    for (size_t i = 0; i < n; i++)
        image.rgb[i] = (unsigned char)(256 * tn_uniform(3, 5, i));
    return image;
}

static void what_is_written_is_read_again(void **state)
{
    (void)state;
    tn_ctx *ctx = test_ctx(1, NULL);
    char *dir = test_make_dir(), *path = NULL;
    assert_true(asprintf(&path, "%s/a b.png", dir) > 0);
    static const int sizes[][2] = {{1, 1}, {3, 2}, {64, 48}, {257, 1}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        data_image in = noise(ctx, sizes[i][0], sizes[i][1]), out;
        assert_ok(ctx, data_image_write_png(ctx, path, &in));
        assert_ok(ctx, data_image_read(ctx, path, &out));
        assert_int_equal(out.width, in.width);
        assert_int_equal(out.height, in.height);
        assert_memory_equal(out.rgb, in.rgb, (size_t)in.width * (size_t)in.height * 3);
        data_image_free(ctx, &in);
        data_image_free(ctx, &out);
    }
    char *listing = NULL;
    assert_int_equal(test_run(&listing, NULL, "ls -A '%s'", dir), 0);
    assert_string_equal(listing, "a b.png\n"); /* no temporaries */
    free(listing);
    data_image in = noise(ctx, 2, 2);
    assert_status(ctx, data_image_write_png(ctx, "/nonexistent/x.png", &in), TN_IO);
    assert_non_null(strstr(tn_error(ctx), "/nonexistent/x.png: cannot be written: No such file"));
    data_image_free(ctx, &in);
    free(path);
    test_remove_dir(dir);
    tn_ctx_destroy(ctx);
}

/* ---- JPEG ------------------------------------------------------------------------------------------ */

static const char *const kinds[] = {"baseline420", "baseline444", "progressive", "restart", "grey", "cmyk"};
enum { KINDS = sizeof kinds / sizeof *kinds };

static buffer golden(const char *name, const char *ending)
{
    char path[100];
    snprintf(path, sizeof path, "tests/golden/pictures/%s%s", name, ending);
    return load(path);
}

static void jpegs_are_near_pillows(void **state)
{
    (void)state;
    tn_ctx *ctx = test_ctx(1, NULL);
    for (int i = 0; i < KINDS; i++) {
        buffer file = golden(kinds[i], ".jpg"), want = golden(kinds[i], ".rgb");
        data_image out;
        assert_ok(ctx, decode(ctx, &file, &out));
        assert_int_equal(out.width, 21);
        assert_int_equal(out.height, 13);
        assert_int_equal(want.count, 21 * 13 * 3);
        long sum = 0;
        for (size_t k = 0; k < want.count; k++) {
            int difference = abs(out.rgb[k] - want.bytes[k]);
            assert_true(difference <= 3);
            sum += difference;
        }
        assert_true((double)sum <= 0.3 * (double)want.count);
        data_image_free(ctx, &out);
        free(file.bytes);
        free(want.bytes);
    }
    tn_ctx_destroy(ctx);
}

/* Where marker ff `marker` is. */
static size_t find_marker(const buffer *b, int marker)
{
    for (size_t i = 2; i + 1 < b->count; i++)
        if (b->bytes[i] == 0xff && b->bytes[i + 1] == marker)
            return i;
    fail_msg("no marker %02x", (unsigned)marker);
    return 0;
}

static buffer without(const buffer *b, size_t at, size_t n)
{
    buffer out = {0};
    put(&out, b->bytes, at);
    put(&out, b->bytes + at + n, b->count - at - n);
    return out;
}

static buffer with(const buffer *b, size_t at, const unsigned char *bytes, size_t n)
{
    buffer out = {0};
    put(&out, b->bytes, at);
    put(&out, bytes, n);
    put(&out, b->bytes + at, b->count - at);
    return out;
}

/* What a decoder would trust, and should not. */
static void jpegs_that_are_refused(void **state)
{
    (void)state;
    tn_ctx *ctx = test_ctx(1, NULL);
    buffer good = golden("baseline420", ".jpg"), b;
    size_t frame = find_marker(&good, 0xc0), tables = find_marker(&good, 0xc4),
           scan = find_marker(&good, 0xda);
    size_t quantisation = find_marker(&good, 0xdb);

    /* 4,080 symbols in a table for 256. */
    unsigned char huge[4 + 17 + 4080] = {0xff, 0xc4, (19 + 4080) >> 8, (19 + 4080) & 255, 0};
    memset(huge + 5, 255, 16);
    b = with(&good, frame, huge, sizeof huge);
    refused(ctx, &b, TN_FORMAT, "more codes than there are");
    free(b.bytes);
    /* 510 of them that are codes, all of 16 bits and 15 bits. */
    unsigned char many[4 + 17 + 510] = {0xff, 0xc4, (19 + 510) >> 8, (19 + 510) & 255, 0x10};
    many[4 + 15] = many[4 + 16] = 255;
    b = with(&good, frame, many, sizeof many);
    refused(ctx, &b, TN_FORMAT, "Huffman table longer");
    free(b.bytes);

    b = without(&good, tables, 2 + (size_t)(good.bytes[tables + 2] << 8 | good.bytes[tables + 3]));
    refused(ctx, &b, TN_FORMAT, "Huffman table that is not there");
    free(b.bytes);
    b = without(&good, quantisation,
                2 + (size_t)(good.bytes[quantisation + 2] << 8 | good.bytes[quantisation + 3]));
    refused(ctx, &b, TN_FORMAT, "quantisation table that is not there");
    free(b.bytes);
    b = with(&good, scan, good.bytes + frame, 19);
    refused(ctx, &b, TN_FORMAT, "a second frame header");
    free(b.bytes);
    b = with(&good, good.count - 2, good.bytes + scan, good.count - 2 - scan);
    refused(ctx, &b, TN_FORMAT, "repeats or skips");
    free(b.bytes);
    b = without(&good, scan, good.count - 2 - scan);
    refused(ctx, &b, TN_FORMAT, "a component without data");
    free(b.bytes);

    unsigned char *side = good.bytes + frame + 5;
    memcpy(side, "\x1f\x40\x1f\x40", 4); /* 8000 x 8000 */
    refused(ctx, &good, TN_FORMAT, "too little data for the size");
    memcpy(side, "\xff\xff\xff\xff", 4);
    refused(ctx, &good, TN_RANGE, "65535 x 65535 pixels, more than the 67108864");
    memcpy(side, "\0\0\0\7", 4);
    refused(ctx, &good, TN_FORMAT, "a side of 0 pixels");
    good.bytes[frame + 1] = 0xc9;
    refused(ctx, &good, TN_UNSUPPORTED, "arithmetic-coded");
    good.bytes[frame + 1] = 0xc1;
    good.bytes[frame + 4] = 12;
    refused(ctx, &good, TN_UNSUPPORTED, "12 bits a sample");
    free(good.bytes);
    tn_ctx_destroy(ctx);
}

static void the_area_cap_is_the_callers(void **state)
{
    (void)state;
    tn_ctx *ctx = test_ctx(1, NULL);
    buffer b = golden("grey", ".jpg");
    data_image out;
    assert_ok(ctx, data_image_decode(ctx, "x", b.bytes, b.count, 21 * 13, &out));
    data_image_free(ctx, &out);
    assert_status(ctx, data_image_decode(ctx, "x", b.bytes, b.count, 21 * 13 - 1, &out), TN_RANGE);
    free(b.bytes);
    tn_ctx_destroy(ctx);
}

/* ---- both ------------------------------------------------------------------------------------------ */

static buffer small_png(void)
{
    buffer b = {0};
    png_begin(&b, 2, 2, 8, 3);
    chunk(&b, "PLTE", "abcdef", 6);
    chunk(&b, "tEXt", "a\0b", 3);
    static const unsigned char rows[6] = {0, 0, 1, 0, 1, 0};
    png_end(&b, rows, sizeof rows);
    return b;
}

static void no_prefix_is_a_picture(void **state)
{
    (void)state;
    tn_ctx *ctx = test_ctx(1, NULL);
    for (int i = -1; i < KINDS; i++) {
        buffer whole = i < 0 ? small_png() : golden(kinds[i], ".jpg");
        for (size_t n = 0; n < whole.count; n++) {
            /* Exactly n bytes, so that a sanitizer sees a read past them. */
            buffer part = {malloc(n ? n : 1), n, n};
            assert_non_null(part.bytes);
            memcpy(part.bytes, whole.bytes, n);
            refused(ctx, &part, TN_FORMAT, "");
            free(part.bytes);
        }
        free(whole.bytes);
    }
    tn_ctx_destroy(ctx);
}

/* An answer or an error, and the same each time, whatever bit is wrong. */
static void every_flipped_bit_is_survived(void **state)
{
    (void)state;
    tn_ctx *ctx = test_ctx(1, NULL);
    size_t wrong = 0, fine = 0;
    for (int i = -1; i < KINDS; i++) {
        buffer file = i < 0 ? small_png() : golden(kinds[i], ".jpg");
        for (size_t bit = 0; bit < file.count * 8; bit += test_quick() ? 7 : 1) {
            file.bytes[bit / 8] ^= (unsigned char)(1 << bit % 8);
            data_image a, b;
            tn_status status = decode(ctx, &file, &a);
            assert_int_equal(decode(ctx, &file, &b), status);
            if (status == TN_OK) {
                assert_int_equal(a.width, b.width);
                assert_int_equal(a.height, b.height);
                assert_memory_equal(a.rgb, b.rgb, (size_t)a.width * (size_t)a.height * 3);
                fine++;
            } else {
                assert_true(strlen(tn_error(ctx)) > 10);
                wrong++;
            }
            data_image_free(ctx, &a);
            data_image_free(ctx, &b);
            file.bytes[bit / 8] ^= (unsigned char)(1 << bit % 8);
        }
        free(file.bytes);
    }
    assert_true(wrong > 500 && fine > 500);
    tn_ctx_destroy(ctx);
}

static tn_status decode_once(tn_ctx *ctx, void *arg)
{
    data_image out;
    tn_status status = decode(ctx, arg, &out);
    data_image_free(ctx, &out);
    return status;
}

static tn_status write_once(tn_ctx *ctx, void *arg)
{
    unsigned char rgb[3 * 40] = {1, 2, 3};
    data_image image = {rgb, 8, 5};
    return data_image_write_png(ctx, arg, &image);
}

static void no_memory_is_an_error_and_no_leak(void **state)
{
    (void)state;
    for (int i = -1; i < KINDS; i++) {
        buffer file = i < 0 ? small_png() : golden(kinds[i], ".jpg");
        assert_true(fail_each_allocation(decode_once, &file) > 3);
        free(file.bytes);
    }
    char *dir = test_make_dir(), *path = NULL;
    assert_true(asprintf(&path, "%s/x.png", dir) > 0);
    assert_true(fail_each_allocation(write_once, path) > 5);
    free(path);
    test_remove_dir(dir);
}

static void paths_that_are_no_pictures(void **state)
{
    (void)state;
    tn_ctx *ctx = test_ctx(1, NULL);
    char *dir = test_make_dir(), path[200], want[300];
    data_image out;
    assert_status(ctx, data_image_read(ctx, dir, &out), TN_IO);
    assert_non_null(strstr(tn_error(ctx), "a folder, where a file is expected"));
    tn_clear_error(ctx);
    snprintf(path, sizeof path, "%s/none.png", dir);
    assert_status(ctx, data_image_read(ctx, path, &out), TN_IO);
    snprintf(want, sizeof want, "%s: No such file or directory", path);
    assert_string_equal(tn_error(ctx), want);
    tn_clear_error(ctx);
    store(path, "hello", 5);
    assert_status(ctx, data_image_read(ctx, path, &out), TN_FORMAT);
    snprintf(want, sizeof want, "%s: neither JPEG nor PNG (first bytes 68 65 6c 6c 6f)", path);
    assert_string_equal(tn_error(ctx), want);
    tn_clear_error(ctx);
    snprintf(path, sizeof path, "%s/pipe.png", dir);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_status(ctx, data_image_read(ctx, path, &out), TN_IO);
    assert_non_null(strstr(tn_error(ctx), "not a regular file"));
    test_remove_dir(dir);
    tn_ctx_destroy(ctx);
}

/* ---- real files ------------------------------------------------------------------------------------ */

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

typedef struct tally {
    int fine, wrong; /* pictures and errors */
} tally;

/* Reads every file of a folder: time and memory bounded, and a message for each error. */
static tally read_folder(const char *name)
{
    char *dir = test_data(name);
    test_memory w;
    test_memory_init(&w);
    tn_ctx *ctx = test_memory_ctx(&w);
    size_t before = w.bytes;
    tally t = {0};
    DIR *folder = opendir(dir);
    assert_non_null(folder);
    for (struct dirent *entry; (entry = readdir(folder));) {
        char path[1000];
        if (entry->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, "%s/%s", dir, entry->d_name);
        struct stat info;
        assert_int_equal(stat(path, &info), 0);
        data_image out;
        w.peak = 0;
        double begin = now();
        tn_status status = data_image_read(ctx, path, &out);
        assert_true(now() - begin < 1);
        size_t pixels = (size_t)out.width * (size_t)out.height;
        assert_true(w.peak <= before + 4 * (size_t)info.st_size + (64 << 20) + 27 * pixels);
        if (status == TN_OK)
            t.fine++;
        else {
            assert_non_null(strstr(tn_error(ctx), entry->d_name));
            t.wrong++;
        }
        data_image_free(ctx, &out);
        tn_clear_error(ctx);
        assert_true(w.bytes == before);
    }
    closedir(folder);
    tn_ctx_destroy(ctx);
    free(dir);
    return t;
}

static void hostile_files(void **state)
{
    (void)state;
    tally corrupt = read_folder("hostile/png/corrupt"), fine = read_folder("hostile/png/primary");
    assert_int_equal(corrupt.fine, 0);
    assert_true(corrupt.wrong > 10);
    assert_int_equal(fine.wrong, 0);
    assert_int_equal(read_folder("hostile/png/16bit").wrong, 0);
    assert_int_equal(read_folder("hostile/png/iphone").fine, 0);
    tally jpeg = read_folder("hostile/jpeg");
    assert_true(jpeg.fine > 0 && jpeg.wrong > 0);
    assert_int_equal(read_folder("cifar10/cat").wrong, 0);
}

static void pngsuite_is_what_it_should_be(void **state)
{
    (void)state;
    char *dir = test_data("hostile/png/primary"), *truth = test_data("hostile/png/primary_check");
    tn_ctx *ctx = test_ctx(1, NULL);
    data_names names;
    assert_ok(ctx, data_frames_list(ctx, dir, &names));
    assert_true(names.count > 70);
    for (size_t i = 0; i < names.count; i++) {
        char path[1000];
        snprintf(path, sizeof path, "%s%s", truth, strrchr(names.path[i], '/'));
        data_image a, b;
        assert_ok(ctx, data_image_read(ctx, names.path[i], &a));
        assert_ok(ctx, data_image_read(ctx, path, &b));
        assert_int_equal(a.width, b.width);
        assert_int_equal(a.height, b.height);
        assert_memory_equal(a.rgb, b.rgb, (size_t)a.width * (size_t)a.height * 3);
        data_image_free(ctx, &a);
        data_image_free(ctx, &b);
    }
    data_names_free(ctx, &names);
    tn_ctx_destroy(ctx);
    free(dir);
    free(truth);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_png_colour_type),         cmocka_unit_test(pngs_that_are_refused),
        cmocka_unit_test(a_bomb_is_not_unpacked),        cmocka_unit_test(what_is_written_is_read_again),
        cmocka_unit_test(jpegs_are_near_pillows),        cmocka_unit_test(jpegs_that_are_refused),
        cmocka_unit_test(the_area_cap_is_the_callers),   cmocka_unit_test(no_prefix_is_a_picture),
        cmocka_unit_test(every_flipped_bit_is_survived), cmocka_unit_test(no_memory_is_an_error_and_no_leak),
        cmocka_unit_test(paths_that_are_no_pictures),    cmocka_unit_test(hostile_files),
        cmocka_unit_test(pngsuite_is_what_it_should_be),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
