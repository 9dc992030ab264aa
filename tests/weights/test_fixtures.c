/* Files that PyTorch and NumPy wrote (tests/golden/convert.py): what is in them, and what of them is left
 * when they are cut or a bit of them flips. */
#include "tests/common/files.h"
#include "tests/common/memory.h"
#include "weights/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define GOLDEN "tests/golden/convert/"

typedef struct fixture {
    const char *file, *text; /* and what a listing of it has to be */
} fixture;

static const fixture fixtures[] = {
    {"small-legacy.pth", "small.txt"},
    {"small-zip.pth", "small.txt"},
    {"bare-legacy.pth", "bare.txt"},
    {"bare-zip.pth", "bare.txt"},
    {"tensor-legacy.pth", "tensor.txt"},
    {"tensor-zip.pth", "tensor.txt"},
    {"nested-legacy.pth", "nested.txt"},
    {"nested-zip.pth", "nested.txt"},
    {"python2-legacy.pth", "python2.txt"},
    {"hand.safetensors", "hand.txt"},
    {"arrays.npz", "arrays.txt"},
    {"version2.npy", "version2.txt"},
    {"arrays", "arrays.txt"}, /* a folder, and the last */
};

enum { FIXTURES = sizeof fixtures / sizeof *fixtures, FILES = FIXTURES - 1 };

/* ---- listings ---------------------------------------------------------------------------------------- */

static void put_hex(test_bytes *out, const void *data, size_t n)
{
    const unsigned char *p = data;
    for (size_t i = 0; i < n; i++) {
        char digits[3];
        snprintf(digits, sizeof digits, "%02x", p[i]);
        test_put_text(out, digits);
    }
}

/* Name, type, shape, the bytes, and the same as floats: entry() in convert.py. */
static void put_entry(test_bytes *out, tn_ctx *ctx, const wt_file *file, const wt_entry *entry)
{
    size_t bytes = entry->count * wt_dtype_size(entry->dtype);
    unsigned char *own = malloc(bytes + 1);
    float *floats = malloc(entry->count * sizeof *floats + 1);
    assert_ok(ctx, wt_copy(ctx, file, entry, own, entry->count));
    assert_ok(ctx, wt_read(ctx, file, entry, floats, entry->count));
    test_put_text(out, entry->name);
    test_put_text(out, "\t");
    test_put_text(out, wt_dtype_name(entry->dtype));
    test_put_text(out, "\t");
    for (int i = 0; i < entry->rank; i++) {
        char *size = test_text(i ? ",%lld" : "%lld", (long long)entry->size[i]);
        test_put_text(out, size);
        free(size);
    }
    test_put_text(out, "\t");
    put_hex(out, own, bytes);
    test_put_text(out, "\t");
    put_hex(out, floats, entry->count * sizeof *floats);
    test_put_text(out, "\n");
    free(own);
    free(floats);
}

static char *listing(tn_ctx *ctx, const wt_file *file)
{
    test_bytes out = {0};
    for (int i = 0; wt_fact(file, i); i++) {
        test_put_text(&out, "# ");
        test_put_text(&out, wt_fact(file, i));
        test_put_text(&out, "\n");
    }
    for (int i = 0; i < wt_count(file); i++)
        put_entry(&out, ctx, file, wt_at(file, i));
    test_put(&out, "", 1);
    return (char *)out.data;
}

static void listings_are_those_of_the_writers(void **state)
{
    (void)state;
    tn_ctx *ctx = test_ctx(1, NULL);
    for (int i = 0; i < FIXTURES; i++) {
        char *path = test_text(GOLDEN "%s", fixtures[i].file),
             *golden = test_text(GOLDEN "%s", fixtures[i].text);
        wt_file *file;
        assert_ok(ctx, wt_open(ctx, path, &file));
        char *got = listing(ctx, file), *want = (char *)test_read_file(golden, NULL);
        assert_string_equal(got, want);
        assert_ok(ctx, wt_verify(ctx, file));
        wt_release_pages(file);
        char *again = listing(ctx, file);
        assert_string_equal(again, want);
        wt_close(file);
        free(again);
        free(got);
        free(want);
        free(golden);
        free(path);
    }
    tn_ctx_destroy(ctx);
}

static void entries_are_found_by_name(void **state)
{
    (void)state;
    tn_ctx *ctx = test_ctx(1, NULL);
    wt_file *file;
    assert_ok(ctx, wt_open(ctx, GOLDEN "small-zip.pth", &file));
    assert_string_equal(wt_format(file), "PyTorch zip");
    assert_string_equal(wt_path(file), GOLDEN "small-zip.pth");
    for (int i = 0; i < wt_count(file); i++)
        assert_ptr_equal(wt_find(file, wt_at(file, i)->name), wt_at(file, i));
    assert_null(wt_find(file, "module.plain"));
    assert_null(wt_find(file, ""));
    assert_null(wt_at(file, -1));
    assert_null(wt_at(file, wt_count(file)));
    /* Three views of one storage, one after the other in memory and one not. */
    const wt_entry *shared = wt_find(file, "shared"), *narrow = wt_find(file, "narrow");
    assert_ptr_equal(wt_floats(shared), wt_find(file, "transposed")->data);
    assert_ptr_equal(narrow->data, shared->data + 4 * (6 + 2));
    assert_null(wt_floats(narrow));
    assert_null(wt_floats(wt_find(file, "transposed")));
    assert_null(wt_floats(wt_find(file, "half")));
    float room[7];
    const wt_entry *plain = wt_find(file, "plain");
    assert_status(ctx, wt_read(ctx, file, plain, room, 7), TN_SHAPE);
    assert_string_equal(tn_error(ctx), GOLDEN "small-zip.pth: plain has 6 elements, there is room for 7");
    tn_clear_error(ctx);
    assert_status(ctx, wt_copy(ctx, file, plain, room, 5), TN_SHAPE);
    wt_close(file);
    tn_clear_error(ctx);
    assert_ok(ctx, wt_open(ctx, GOLDEN "hand.safetensors", &file));
    assert_string_equal(wt_metadata(file, "format"), "pt");
    assert_string_equal(wt_metadata(file, "gr\u00fc\U0001F600\n"), "\"\\/ok");
    assert_null(wt_metadata(file, "dtype"));
    wt_meta meta;
    assert_true(wt_metadata_at(file, 1, &meta));
    assert_string_equal(meta.value, "\"\\/ok");
    assert_false(wt_metadata_at(file, 2, &meta));
    wt_close(file);
    tn_ctx_destroy(ctx);
}

/* ---- real checkpoints -------------------------------------------------------------------------------- */

static void real_checkpoints_are_as_pytorch_reads_them(void **state)
{
    (void)state;
    char *lines = (char *)test_read_file(GOLDEN "real.txt", NULL), *rest = lines;
    tn_ctx *ctx = test_ctx(1, NULL);
    for (char *line; (line = strsep(&rest, "\n")) && *line;) {
        char name[100], crc[16], *path = NULL;
        int count;
        double sum, got = 0;
        assert_int_equal(sscanf(line, "%99s %d %15s %lf", name, &count, crc, &sum), 4);
        char *relative = test_text("checkpoints/%s", name);
        path = test_data(relative);
        wt_file *file;
        assert_ok(ctx, wt_open(ctx, path, &file));
        assert_int_equal(wt_count(file), count);
        test_bytes all = {0};
        for (int i = 0; i < count; i++) {
            const wt_entry *entry = wt_at(file, i);
            float *values = malloc(entry->count * sizeof *values + 1);
            assert_ok(ctx, wt_read(ctx, file, entry, values, entry->count));
            for (size_t j = 0; j < entry->count; j++)
                got += (double)values[j];
            free(values);
            put_entry(&all, ctx, file, entry);
        }
        char *own = test_text("%08x", wt_crc32(all.data, all.size));
        assert_string_equal(own, crc);
        assert_true(got - sum < 1e-3 && sum - got < 1e-3);
        wt_close(file);
        free(own);
        free(all.data);
        free(path);
        free(relative);
    }
    free(lines);
    tn_ctx_destroy(ctx);
}

/* ---- damage ------------------------------------------------------------------------------------------ */

/* One line that begins with the path and has a place. */
static void assert_message(tn_ctx *ctx, const char *path)
{
    const char *message = tn_error(ctx);
    if (strncmp(message, path, strlen(path)) != 0 || strchr(message, '\n') || !strstr(message, " at offset "))
        fail_msg("a message without a place: %s", message);
    tn_clear_error(ctx);
}

static void every_prefix_fails_with_a_place(void **state)
{
    (void)state;
    tn_ctx *ctx = test_ctx(1, NULL);
    char *dir = test_make_dir(), *path = test_text("%s/cut", dir);
    for (int i = 0; i < FILES; i++) {
        char *golden = test_text(GOLDEN "%s", fixtures[i].file);
        size_t size;
        unsigned char *data = test_read_file(golden, &size);
        test_write_file(path, data, size);
        wt_file *file;
        assert_ok(ctx, wt_open(ctx, path, &file));
        wt_close(file);
        for (size_t n = size; n-- > 0;) {
            assert_int_equal(truncate(path, (off_t)n), 0);
            if (wt_open(ctx, path, &file) == TN_OK)
                fail_msg("%s: the first %zu of %zu bytes are taken for a file", golden, n, size);
            assert_null(file);
            assert_message(ctx, path);
        }
        /* Nor may anything follow. */
        data[size] = 0;
        test_write_file(path, data, size + 1);
        assert_status(ctx, wt_open(ctx, path, &file), TN_FORMAT);
        assert_message(ctx, path);
        free(data);
        free(golden);
    }
    free(path);
    test_remove_dir(dir);
    tn_ctx_destroy(ctx);
}

/* Opens a damaged file: either it says what is wrong, or all of it can be read. */
static void read_all(tn_ctx *ctx, const char *path)
{
    wt_file *file;
    if (wt_open(ctx, path, &file) != TN_OK) {
        assert_message(ctx, path);
        return;
    }
    for (int i = 0; i < wt_count(file); i++) {
        const wt_entry *entry = wt_at(file, i);
        assert_true(entry->count < 4096);
        float values[4096];
        assert_ok(ctx, wt_read(ctx, file, entry, values, entry->count));
    }
    wt_close(file);
}

static void every_flipped_bit_gives_an_answer(void **state)
{
    (void)state;
    test_memory memory;
    test_memory_init(&memory);
    tn_ctx *ctx = test_memory_ctx(&memory);
    long held = memory.blocks;
    char *dir = test_make_dir(), *path = test_text("%s/flipped", dir);
    for (int i = 0; i < FILES; i++) {
        char *golden = test_text(GOLDEN "%s", fixtures[i].file);
        size_t size;
        unsigned char *data = test_read_file(golden, &size);
        test_write_file(path, data, size);
        FILE *f = fopen(path, "r+b");
        assert_non_null(f);
        setvbuf(f, NULL, _IONBF, 0);
        for (size_t at = 0; at < size; at++) {
            for (int bit = 0; bit < 8; bit++) {
                if (test_quick() && (at + (size_t)bit) % 8 != 0)
                    continue;
                fseek(f, (long)at, SEEK_SET);
                fputc(data[at] ^ 1 << bit, f);
                read_all(ctx, path);
            }
            fseek(f, (long)at, SEEK_SET);
            fputc(data[at], f);
        }
        fclose(f);
        free(data);
        free(golden);
    }
    assert_int_equal(memory.blocks, held);
    assert_true(memory.peak < (64 << 20));
    free(path);
    test_remove_dir(dir);
    tn_ctx_destroy(ctx);
}

/* ---- memory that runs out ---------------------------------------------------------------------------- */

static void open_and_close(tn_ctx *ctx, const char *path, test_memory *memory, long call, bool after)
{
    long held = memory->blocks;
    memory->calls = 0;
    memory->fail_at = call;
    memory->fail_after = after;
    wt_file *file;
    tn_status status = wt_open(ctx, path, &file);
    bool reached = memory->calls >= call;
    assert_int_equal(status, reached ? TN_NOMEM : TN_OK);
    wt_close(file);
    assert_int_equal(memory->blocks, held);
    tn_clear_error(ctx);
}

static void each_allocation_may_fail(void **state)
{
    (void)state;
    for (int i = 0; i < FIXTURES; i++) {
        test_memory memory;
        test_memory_init(&memory);
        tn_ctx *ctx = test_memory_ctx(&memory);
        char *path = test_text(GOLDEN "%s", fixtures[i].file);
        long call = 0;
        do {
            call++;
            open_and_close(ctx, path, &memory, call, false);
            open_and_close(ctx, path, &memory, call, true);
        } while (memory.calls >= call);
        assert_true(call > 3);
        free(path);
        tn_ctx_destroy(ctx);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(listings_are_those_of_the_writers),
        cmocka_unit_test(entries_are_found_by_name),
        cmocka_unit_test(real_checkpoints_are_as_pytorch_reads_them),
        cmocka_unit_test(every_prefix_fails_with_a_place),
        cmocka_unit_test(every_flipped_bit_gives_an_answer),
        cmocka_unit_test(each_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
