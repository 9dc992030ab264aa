/* NPY and folders of it: headers made by hand, and files that are written and read back. */
#include "tests/common/hostile.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- reading ----------------------------------------------------------------------------------------- */

static void build(test_bytes *out, int major, const char *header, size_t payload)
{
    test_put(out, TEST_LITERAL("\x93NUMPY"));
    test_put_int(out, (uint64_t)major, 2);
    test_put_int(out, strlen(header), major == 1 ? 2 : 4);
    test_put_text(out, header);
    for (size_t i = 0; i < payload; i++)
        test_put_int(out, i, 1);
}

#define H(descr, order, shape) "{'descr': " descr ", 'fortran_order': " order ", 'shape': " shape ", }\n"

static void headers_are_checked(void **state)
{
    static const struct {
        const char *header;
        size_t payload;
        tn_status status;
        const char *message;
    } cases[] = {
        {H("'<f4'", "False", "(3,)"), 12, TN_OK, ""},
        {H("'<f4'", "True", "(3, 2)"), 24, TN_OK, ""},
        {H("'|u1'", "False", "()"), 1, TN_OK, ""},
        {H("'>u1'", "False", "()"), 1, TN_OK, ""},
        {H("'=f4'", "False", "()"), 4, TN_OK, ""},
        {H("'<f4'", "False", "(3L, 2L)"), 24, TN_OK, ""},
        {H("'<f4'", "False", "(3,2,)"), 24, TN_OK, ""},
        {"{\"shape\":(2,),\"fortran_order\":False,\"descr\":\"<i2\"}", 4, TN_OK, ""},
        {H("'<f8'", "False", "(0, 4611686018427387904, 8)"), 0, TN_OK, ""},
        {H("'|O'", "False", "(1,)"), 8, TN_UNSUPPORTED, "an array of Python objects, which are pickles"},
        {H("'O'", "False", "(1,)"), 8, TN_UNSUPPORTED, "elements that are no plain numbers"},
        {H("[('a', '<f4')]", "False", "(1,)"), 4, TN_UNSUPPORTED, "an array of records"},
        {H("'>f4'", "False", "(1,)"), 4, TN_UNSUPPORTED, "big-endian"},
        {H("'<c8'", "False", "(1,)"), 8, TN_UNSUPPORTED, "no plain numbers"},
        {H("'<U1'", "False", "(1,)"), 4, TN_UNSUPPORTED, "no plain numbers"},
        {H("'<f4x'", "False", "(1,)"), 4, TN_UNSUPPORTED, "no plain numbers"},
        {H("''", "False", "(1,)"), 4, TN_UNSUPPORTED, "no plain numbers"},
        {H("4", "False", "(1,)"), 4, TN_FORMAT, "expected a string"},
        {H("'<f4", "False", "(1,)"), 4, TN_UNSUPPORTED, "no plain numbers"},
        {H("'<f\\x34'", "False", "(1,)"), 4, TN_FORMAT, "with a backslash"},
        {H("'<f4'", "0", "(1,)"), 4, TN_FORMAT, "expected False"},
        {H("'<f4'", "False", "(4)"), 16, TN_FORMAT, "expected , in a shape"},
        {H("'<f4'", "False", "(-1,)"), 4, TN_FORMAT, "expected a size"},
        {H("'<f4'", "False", "(1 1)"), 4, TN_FORMAT, "expected ,"},
        {H("'<f4'", "False", "[1]"), 4, TN_FORMAT, "expected ("},
        {H("'<f4'", "False", "(1.0,)"), 4, TN_FORMAT, "expected , in a shape"},
        {H("'<f4'", "False", "(1,1,1,1,1,1,1,1,1)"), 4, TN_UNSUPPORTED, "more than 8 axes"},
        {H("'<f4'", "False", "(9223372036854775808,)"), 4, TN_FORMAT, "too large"},
        {H("'<f4'", "False", "(4611686018427387904,4)"), 0, TN_FORMAT, "array at offset"},
        {H("'<f4'", "False", "(4611686018427387904,)"), 0, TN_FORMAT, "array at offset"},
        {H("'<f4'", "False", "(3,)"), 11, TN_FORMAT, "array at offset"},
        {H("'<f4'", "False", "(3,)"), 13, TN_FORMAT, "array at offset"},
        {"{'descr': '<f4', 'shape': (1,), }", 4, TN_FORMAT, "there is no 'fortran_order'"},
        {"{'descr': '<f4', 'descr': '<f4', 'shape': (1,), }", 4, TN_FORMAT, "a key is there twice"},
        {"{'descr': '<f4', 'more': 1, }", 4, TN_FORMAT, "an unknown key"},
        {"{'descr' '<f4'}", 4, TN_FORMAT, "expected :"},
        {"{'descr': '<f4' 'shape': (1,)}", 4, TN_FORMAT, "expected }"},
        {H("'<f4'", "False", "(1,)") "x", 4, TN_FORMAT, "text after the dictionary"},
        {"", 4, TN_FORMAT, "expected {"},
        {"{", 4, TN_FORMAT, "expected a string"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (", 4, TN_FORMAT, "expected a size"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        for (int major = 1; major <= 2; major++) {
            test_bytes bytes = {0};
            build(&bytes, major, cases[i].header, cases[i].payload);
            test_bench_expect(*state, &bytes, cases[i].status, cases[i].message);
            free(bytes.data);
        }
    }
    test_bytes bytes = {0};
    build(&bytes, 3, H("'<f4'", "False", "(1,)"), 4);
    test_bench_expect(*state, &bytes, TN_UNSUPPORTED, "version at offset 6: 3.0, only 1.0 and 2.0");
    bytes.data[6] = 1;
    bytes.data[8] = bytes.data[9] = 0xff;
    test_bench_expect(*state, &bytes, TN_FORMAT, "header length at offset 8: 65535, but only");
    bytes.data[6] = 2;
    bytes.data[10] = 1;
    test_bench_expect(*state, &bytes, TN_UNSUPPORTED,
                      "header length at offset 8: 131071, the limit is 65536");
    bytes.data[7] = 1;
    test_bench_expect(*state, &bytes, TN_UNSUPPORTED, "2.1, only");
    /* Files that end before the header's length, of two bytes and of four. */
    bytes.data[7] = 0;
    for (int major = 1; major <= 2; major++)
        for (bytes.size = 8; bytes.size < (major == 1 ? 10 : 12); bytes.size++) {
            bytes.data[6] = (unsigned char)major;
            test_bench_expect(*state, &bytes, TN_FORMAT, "header length at offset 8: the file ends");
        }
    free(bytes.data);
}

/* ---- writing ----------------------------------------------------------------------------------------- */

static void what_is_written_is_read(void **state)
{
    test_bench *b = *state;
    static const int64_t shapes[][4] = {{0}, {6}, {2, 3}, {1, 2, 3, 1}, {3, 0}};
    static const int ranks[] = {0, 1, 2, 4, 2};
    static const double values[6] = {1, 2, 3, 4, 5, 6};
    char *path = test_text("%s/array.npy", b->dir);
    for (int i = 0; i < 5; i++) {
        for (int dtype = WT_BOOL; dtype <= WT_F64; dtype++) {
            tn_clear_error(b->ctx);
            tn_status status = wt_save_npy(b->ctx, path, (wt_dtype)dtype, ranks[i], shapes[i], values);
            assert_int_equal(status, dtype == WT_BF16 ? TN_UNSUPPORTED : TN_OK);
            if (status != TN_OK)
                continue;
            wt_file *file;
            assert_ok(b->ctx, wt_open(b->ctx, path, &file));
            const wt_entry *e = wt_find(file, "array");
            assert_non_null(e);
            assert_int_equal(e->dtype, dtype);
            assert_int_equal(e->rank, ranks[i]);
            assert_memory_equal(e->size, shapes[i], (size_t)ranks[i] * sizeof **shapes);
            assert_memory_equal(e->data, values, e->count * wt_dtype_size(e->dtype));
            assert_int_equal((uintptr_t)e->data % 64, 0);
            wt_close(file);
        }
    }
    tn_clear_error(b->ctx);
    assert_status(b->ctx, wt_save_npy(b->ctx, path, WT_F32, 9, shapes[0], values), TN_RANGE);
    tn_clear_error(b->ctx);
    assert_status(b->ctx, wt_save_npy(b->ctx, path, WT_F32, 1, &(int64_t){-1}, values), TN_RANGE);
    free(path);
}

static void a_folder_keeps_every_name(void **state)
{
    test_bench *b = *state;
    static const float values[2] = {1, 2};
    static const char *const names[] = {"..",           "a/b",      "a%2Fb", ".hidden", "tab\tname",
                                        "plain.weight", "\xc3\xbc", "%",     "x.npy"};
    enum { COUNT = sizeof names / sizeof *names };
    wt_tensor tensors[COUNT];
    for (int i = 0; i < COUNT; i++)
        tensors[i] = (wt_tensor){names[i], WT_F32, 1, {2}, values, NULL};
    char *dir = test_text("%s/folder", b->dir), *other = test_text("%s/folder/notes.txt", b->dir);
    for (int round = 0; round < 2; round++) {
        assert_ok(b->ctx, wt_save_folder(b->ctx, dir, tensors, COUNT));
        test_write_file(other, "x", 1);
        assert_int_equal(test_count_files(dir), COUNT + 1);
        wt_file *file;
        assert_ok(b->ctx, wt_open(b->ctx, dir, &file));
        assert_string_equal(wt_format(file), "folder of NPY files");
        assert_int_equal(wt_count(file), COUNT);
        for (int i = 0; i < COUNT; i++) {
            const wt_entry *e = wt_find(file, names[i]);
            assert_non_null(e);
            assert_memory_equal(e->data, values, sizeof values);
        }
        wt_close(file);
    }
    /* Two file names that mean one name. */
    char *twice = test_text("%s/folder/%%70lain.weight.npy", b->dir);
    assert_ok(b->ctx, wt_save_npy(b->ctx, twice, WT_F32, 0, NULL, values));
    wt_file *file;
    tn_clear_error(b->ctx);
    assert_status(b->ctx, wt_open(b->ctx, dir, &file), TN_FORMAT);
    assert_non_null(strstr(tn_error(b->ctx), "the name plain.weight is there twice"));
    /* Of a broken array, the array is named. */
    tn_clear_error(b->ctx);
    test_write_file(twice, "", 0);
    assert_status(b->ctx, wt_open(b->ctx, dir, &file), TN_FORMAT);
    assert_non_null(
        strstr(tn_error(b->ctx), "folder/%70lain.weight.npy: beginning at offset 0: the file is empty"));
    tn_clear_error(b->ctx);
    test_write_file(twice, "no array", 8);
    assert_status(b->ctx, wt_open(b->ctx, dir, &file), TN_FORMAT);
    assert_non_null(strstr(tn_error(b->ctx), "magic at offset 0: not NPY, or the file ends"));
    tn_clear_error(b->ctx);
    char *empty = test_text("%s/empty", b->dir);
    assert_int_equal(mkdir(empty, 0777), 0);
    assert_status(b->ctx, wt_open(b->ctx, empty, &file), TN_FORMAT);
    tn_clear_error(b->ctx);
    assert_status(b->ctx, wt_save_folder(b->ctx, other, tensors, 1), TN_IO);
    free(empty);
    free(twice);
    free(other);
    free(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(headers_are_checked),
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(a_folder_keeps_every_name),
    };
    return cmocka_run_group_tests(tests, test_bench_open, test_bench_close);
}
