/* safetensors: headers made by hand, and files that are written and read back. */
#include "tests/common/hostile.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- reading ----------------------------------------------------------------------------------------- */

static void build(test_bytes *out, const char *header, size_t header_size, size_t payload)
{
    test_put_int(out, header_size, 8);
    test_put(out, header, header_size);
    for (size_t i = 0; i < payload; i++)
        test_put_int(out, i, 1);
}

#define T(name, shape, range)                                                                                \
    "\"" name "\":{\"dtype\":\"F32\",\"shape\":" shape ",\"data_offsets\":" range "}"

static void headers_are_checked(void **state)
{
    static const struct {
        const char *header;
        size_t payload;
        tn_status status;
        const char *message;
    } cases[] = {
        {"{}", 0, TN_OK, ""},
        {" {\n} \t", 0, TN_OK, ""},
        {"{" T("a", "[2]", "[0,8]") "," T("b", "[]", "[8,12]") "}", 12, TN_OK, ""},
        {"{" T("b", "[1]", "[8,12]") "," T("a", "[2]", "[0,8]") "}", 12, TN_OK, ""},
        {"{" T("a", "[0,5]", "[0,0]") "," T("b", "[1]", "[0,4]") "," T("c", "[0]", "[4,4]") "}", 4, TN_OK,
         ""},
        /* Layout. */
        {"{" T("a", "[2]", "[0,8]") "}", 9, TN_FORMAT, "payload at offset 70: 1 bytes after the last tensor"},
        {"{" T("a", "[2]", "[0,8]") "}", 7, TN_FORMAT, "the payload of a ends at byte 8 of 7"},
        {"{" T("a", "[1]", "[4,8]") "}", 8, TN_FORMAT, "a hole before a, which begins at 66"},
        {"{" T("a", "[1]", "[0,4]") "," T("b", "[1]", "[8,12]") "}", 12, TN_FORMAT, "a hole before b"},
        {"{" T("a", "[2]", "[0,8]") "," T("b", "[1]", "[4,8]") "}", 8, TN_FORMAT, "an overlap before b"},
        {"{" T("a", "[2]", "[0,8]") "," T("b", "[2]", "[0,8]") "}", 8, TN_FORMAT, "an overlap before"},
        {"{" T("a", "[1]", "[4,0]") "}", 4, TN_FORMAT, "a payload ends before it begins"},
        {"{" T("a", "[3]", "[0,8]") "}", 8, TN_FORMAT, "the payload of a has 8 bytes"},
        {"{" T("a", "[4611686018427387904,4]", "[0,0]") "}", 0, TN_FORMAT, "the payload of a has 0 bytes"},
        {"{" T("a", "[9223372036854775807]", "[0,8]") "}", 8, TN_FORMAT, "the payload of a has 8 bytes"},
        {"{" T("a", "[1]", "[9223372036854775803,9223372036854775807]") "}", 4, TN_FORMAT,
         "ends at byte 9223372036854775807 of 4"},
        /* Names and keys. */
        {"{" T("a", "[1]", "[0,4]") "," T("a", "[1]", "[4,8]") "}", 8, TN_FORMAT,
         "the name a is there twice"},
        {"{" T("a", "[1]", "[0,4]") "," T("\\u0061", "[1]", "[4,8]") "}", 8, TN_FORMAT,
         "the name a is there twice"},
        {"{" T("", "[1]", "[0,4]") "}", 4, TN_FORMAT, "an empty name"},
        {"{" T("a\\u0000b", "[1]", "[0,4]") "}", 4, TN_FORMAT, "no character"},
        {"{" T("\xff", "[1]", "[0,4]") "}", 4, TN_FORMAT, "not UTF-8"},
        {"{" T("\xed\xa0\x80", "[1]", "[0,4]") "}", 4, TN_FORMAT, "not UTF-8"},
        {"{" T("\xc0\xaf", "[1]", "[0,4]") "}", 4, TN_FORMAT, "not UTF-8"},
        {"{" T("a\nb", "[1]", "[0,4]") "}", 4, TN_FORMAT, "a control character"},
        {"{" T("\\ud800", "[1]", "[0,4]") "}", 4, TN_FORMAT, "no character"},
        {"{" T("\\ud800\\u0041", "[1]", "[0,4]") "}", 4, TN_FORMAT, "no character"},
        {"{" T("\\ud83d\\ude00", "[1]", "[0,4]") "}", 4, TN_OK, ""},
        {"{" T("\\ud83d\\ude00", "[1]", "[0,4]") "," T("\xf0\x9f\x98\x80", "[1]", "[4,8]") "}", 8, TN_FORMAT,
         "is there twice"},
        {"{" T("\\ude00\\ud83d", "[1]", "[0,4]") "}", 4, TN_FORMAT, "no character"},
        {"{" T("\\ud83d\\ue000", "[1]", "[0,4]") "}", 4, TN_FORMAT, "no character"},
        {"{\"a\\u123", 0, TN_FORMAT, "no character"},
        {"{" T("\\u12g4", "[1]", "[0,4]") "}", 4, TN_FORMAT, "no character"},
        {"{" T("\\x41", "[1]", "[0,4]") "}", 4, TN_FORMAT, "unknown escape"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1]}}", 4, TN_FORMAT, "a tensor without \"data_offsets\""},
        {"{\"a\":{\"dtype\":\"F32\",\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4, TN_FORMAT,
         "the key \"dtype\" is there twice"},
        {"{\"a\":{\"kind\":\"F32\"}}", 4, TN_FORMAT, "unknown key \"kind\""},
        {"{\"a\":{}}", 4, TN_FORMAT, "expected '\"'"},
        {"{\"a\":1}", 4, TN_FORMAT, "expected '{'"},
        /* Types and numbers. */
        {"{\"a\":{\"dtype\":\"F8_E4M3\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1, TN_UNSUPPORTED,
         "type F8_E4M3"},
        {"{\"a\":{\"dtype\":\"C64\",\"shape\":[1],\"data_offsets\":[0,8]}}", 8, TN_UNSUPPORTED, "type C64"},
        {"{\"a\":{\"dtype\":\"f32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4, TN_FORMAT,
         "unknown type \"f32\""},
        {"{" T("a", "[-1]", "[0,4]") "}", 4, TN_FORMAT, "expected a whole number"},
        {"{" T("a", "[1.0]", "[0,4]") "}", 4, TN_FORMAT, "expected ']'"},
        {"{" T("a", "[1e0]", "[0,4]") "}", 4, TN_FORMAT, "expected ']'"},
        {"{" T("a", "[01]", "[0,4]") "}", 4, TN_FORMAT, "begins with 0"},
        {"{" T("a", "[9223372036854775808]", "[0,4]") "}", 4, TN_FORMAT, "too large"},
        {"{" T("a", "[1,]", "[0,4]") "}", 4, TN_FORMAT, "expected a whole number"},
        {"{" T("a", "[1,1,1,1,1,1,1,1,1]", "[0,4]") "}", 4, TN_UNSUPPORTED, "more than 8 axes"},
        {"{" T("a", "[1]", "[0,4,8]") "}", 4, TN_FORMAT, "expected ']'"},
        {"{" T("a", "[1]", "[0]") "}", 4, TN_FORMAT, "expected ','"},
        /* Metadata. */
        {"{\"__metadata__\":{}}", 0, TN_OK, ""},
        {"{\"__metadata__\":{\"a\":\"b\",\"c\":\"\"}}", 0, TN_OK, ""},
        {"{\"__metadata__\":{\"a\":1}}", 0, TN_FORMAT, "expected '\"'"},
        {"{\"__metadata__\":{\"a\":\"b\",\"a\":\"c\"}}", 0, TN_FORMAT, "__metadata__ has the key a twice"},
        {"{\"__metadata__\":{},\"__metadata__\":{}}", 0, TN_FORMAT, "\"__metadata__\" is there twice"},
        /* Text. */
        {"{}x", 0, TN_FORMAT, "text after the header's object"},
        {"{},{}", 0, TN_FORMAT, "text after the header's object"},
        {"{", 0, TN_FORMAT, "the header ends"},
        {"{\"a", 0, TN_FORMAT, "the header ends inside a string"},
        {"{\"a\\", 0, TN_FORMAT, "unknown escape"},
        {"{,}", 0, TN_FORMAT, "expected '\"'"},
        {"{" T("a", "[1]", "[0,4]") ",}", 4, TN_FORMAT, "expected '\"'"},
        {" []", 0, TN_FORMAT, "expected '{'"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        test_bytes bytes = {0};
        build(&bytes, cases[i].header, strlen(cases[i].header), cases[i].payload);
        test_bench_expect(*state, &bytes, cases[i].status, cases[i].message);
        free(bytes.data);
    }
}

static void the_header_has_to_be_there(void **state)
{
    static const struct {
        uint64_t length;
        const char *message;
    } cases[] = {
        {3, "header length at offset 0: 3, but only 2 bytes follow"},
        {100000001, "header length at offset 0: 100000001, the limit is 100000000"},
        {UINT64_MAX, "the limit is 100000000"},
        {1, "the header ends where"},
        {0, "the header ends where"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        test_bytes bytes = {0};
        test_put_int(&bytes, cases[i].length, 8);
        test_put_text(&bytes, "{}");
        test_bench_expect(*state, &bytes, TN_FORMAT, cases[i].message);
        free(bytes.data);
    }
}

/* Large headers, of one long string, of many entries, and of much nothing: the bench looks at memory. */
static void large_headers_stay_in_bounds(void **state)
{
    size_t length = test_quick() ? 1 << 20 : 30 << 20;
    static const struct {
        const char *begin, *repeated, *end;
        tn_status status;
    } cases[] = {
        {"{\"__metadata__\":{\"a\":\"", "x", "\"}}", TN_OK},
        {"{\"__metadata__\":{\"", "x", "\":\"\"}}", TN_OK},
        {"{\"", "x", "\":0}", TN_UNSUPPORTED},
        {"{", " ", "}", TN_OK},
        {"{\"__metadata__\":{", "\"a\":\"\",", "\"b\":\"\"}}", TN_FORMAT},
        {"{", "\"a\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]},", "}", TN_FORMAT},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[", "1,", "1]}}", TN_UNSUPPORTED},
        {"", "{\"a\":", "", TN_FORMAT},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        test_bytes header = {0}, bytes = {0};
        test_put_text(&header, cases[i].begin);
        size_t n = strlen(cases[i].repeated);
        for (size_t used = 0; used < length; used += n)
            test_put(&header, cases[i].repeated, n);
        test_put_text(&header, cases[i].end);
        build(&bytes, (const char *)header.data, header.size, 0);
        wt_file *file;
        tn_status status = test_bench_bytes(*state, &bytes, &file);
        /* Entries past the limit are refused before duplicates are looked for. */
        if (status != cases[i].status && !(status == TN_UNSUPPORTED && cases[i].status == TN_FORMAT))
            fail_msg("case %zu: %s (%s)", i, tn_status_text(status), tn_error(((test_bench *)*state)->ctx));
        wt_close(file);
        free(header.data);
        free(bytes.data);
    }
}

/* ---- writing ----------------------------------------------------------------------------------------- */

static void what_is_written_is_read(void **state)
{
    test_bench *b = *state;
    static const float floats[6] = {0, -1.5f, 3, 4, 5, 6};
    static const int64_t number = -81923;
    static const unsigned char flags[3] = {1, 0, 1};
    const wt_tensor tensors[] = {
        {"flags", WT_BOOL, 1, {3}, flags, NULL},
        {"layer.weight", WT_F32, 2, {2, 3}, floats, NULL},
        {"layer.\"bias\"\\\n\xc3\xbc", WT_F32, 1, {2}, floats, NULL},
        {"number", WT_I64, 0, {0}, &number, NULL},
        {"empty", WT_F32, 2, {0, 7}, NULL, NULL},
    };
    const wt_meta meta[] = {{"valence.kind", "video"}, {"a\"\\\x01", "\xf0\x9f\x98\x80\t"}};
    assert_ok(b->ctx, wt_save(b->ctx, b->path, tensors, 5, meta, 2));
    assert_int_equal(test_count_files(b->dir), 1);
    wt_file *file;
    assert_ok(b->ctx, wt_open(b->ctx, b->path, &file));
    assert_string_equal(wt_format(file), "safetensors");
    assert_string_equal(wt_metadata(file, "valence.kind"), "video");
    assert_string_equal(wt_metadata(file, "a\"\\\x01"), "\xf0\x9f\x98\x80\t");
    static const int order[] = {3, 4, 2, 1, 0}; /* by element size, then by name */
    for (int i = 0; i < 5; i++) {
        const wt_tensor *t = &tensors[order[i]];
        const wt_entry *e = wt_at(file, i);
        assert_string_equal(e->name, t->name);
        assert_int_equal(e->dtype, t->dtype);
        assert_int_equal(e->rank, t->rank);
        assert_memory_equal(e->size, t->size, (size_t)t->rank * sizeof *t->size);
        if (e->count)
            assert_memory_equal(e->data, t->data, e->count * wt_dtype_size(e->dtype));
        assert_int_equal((uintptr_t)e->data % wt_dtype_size(e->dtype), 0);
        if (e->dtype == WT_F32)
            assert_ptr_equal(wt_floats(e), e->data);
    }
    /* Equal contents give equal bytes, also when they are given in another order or as entries of a file. */
    size_t size, again_size;
    unsigned char *bytes = test_read_file(b->path, &size);
    assert_int_equal((8 + bytes[0] + 256 * bytes[1]) % 8, 0);
    wt_tensor reversed[5];
    for (int i = 0; i < 5; i++)
        reversed[i] = wt_tensor_of(wt_at(file, 4 - i));
    char *second = test_text("%s/second", b->dir);
    assert_ok(b->ctx, wt_save(b->ctx, second, reversed, 5, meta, 2));
    unsigned char *again = test_read_file(second, &again_size);
    assert_int_equal(size, again_size);
    assert_memory_equal(bytes, again, size);
    /* Over the file that is open: the old one stays mapped. */
    assert_ok(b->ctx, wt_save(b->ctx, b->path, reversed, 2, NULL, 0));
    float copy[6];
    assert_ok(b->ctx, wt_read(b->ctx, file, wt_find(file, "layer.weight"), copy, 6));
    assert_memory_equal(copy, floats, sizeof floats);
    wt_close(file);
    free(again);
    free(bytes);
    free(second);
}

static void long_strided_entries_are_converted(void **state)
{
    test_bench *b = *state;
    enum { ROWS = 61, COLUMNS = 173 }; /* more than is converted at a time, and not a multiple of it */
    static uint16_t half[ROWS * COLUMNS];
    static double wide[ROWS * COLUMNS];
    for (int i = 0; i < ROWS * COLUMNS; i++) {
        half[i] = (uint16_t)(i % 0x7c00);
        wide[i] = 1.0 / (i + 1);
    }
    const wt_entry entries[] = {
        {"half", WT_F16, 2, {COLUMNS, ROWS}, {1, COLUMNS}, ROWS * COLUMNS, (const unsigned char *)half},
        {"wide", WT_F64, 2, {COLUMNS, ROWS}, {1, COLUMNS}, ROWS * COLUMNS, (const unsigned char *)wide},
        {"bits", WT_U16, 2, {COLUMNS, ROWS}, {1, COLUMNS}, ROWS * COLUMNS, (const unsigned char *)half},
    };
    wt_tensor tensors[3];
    for (int i = 0; i < 3; i++)
        tensors[i] = wt_tensor_of(&entries[i]);
    assert_int_equal(tensors[0].dtype, WT_F32);
    assert_int_equal(tensors[2].dtype, WT_U16);
    assert_ok(b->ctx, wt_save(b->ctx, b->path, tensors, 3, NULL, 0));
    wt_file *file;
    assert_ok(b->ctx, wt_open(b->ctx, b->path, &file));
    const float *from_half = wt_floats(wt_find(file, "half")), *from_wide = wt_floats(wt_find(file, "wide"));
    uint16_t bits[ROWS * COLUMNS];
    assert_ok(b->ctx, wt_copy(b->ctx, file, wt_find(file, "bits"), bits, ROWS * COLUMNS));
    for (int c = 0; c < COLUMNS; c++) {
        for (int r = 0; r < ROWS; r++) {
            int to = c * ROWS + r, from = r * COLUMNS + c;
            assert_int_equal(bits[to], half[from]);
            assert_true(from_wide[to] == (float)wide[from]);
            /* A half from its parts: mantissa, exponent. */
            int exponent = half[from] >> 10, mantissa = half[from] & 1023;
            float want = exponent ? (float)(1024 + mantissa) / 1024 : (float)mantissa / 1024;
            for (int e = exponent ? exponent : 1; e < 15; e++)
                want /= 2;
            for (int e = exponent; e > 15; e--)
                want *= 2;
            assert_true(from_half[to] == want);
        }
    }
    wt_close(file);
}

static void what_cannot_be_read_is_not_written(void **state)
{
    test_bench *b = *state;
    static const float one = 1;
    char name[257];
    memset(name, 'n', 256);
    name[256] = '\0';
    const wt_entry entry = {"e", WT_I64, 1, {1}, {1}, 1, (const unsigned char *)"12345678"};
    const wt_tensor bad[] = {
        {"", WT_F32, 0, {0}, &one, NULL},     {name, WT_F32, 0, {0}, &one, NULL},
        {"\xff", WT_F32, 0, {0}, &one, NULL}, {"__metadata__", WT_F32, 0, {0}, &one, NULL},
        {"a", WT_F32, -1, {0}, &one, NULL},   {"a", WT_F32, 9, {1}, &one, NULL},
        {"a", WT_F32, 1, {-1}, &one, NULL},   {"a", WT_F32, 2, {INT64_MAX, 2}, &one, NULL},
        {"a", WT_F32, 0, {0}, NULL, NULL},    {"a", WT_I32, 1, {1}, NULL, &entry},
        {"a", WT_I64, 1, {2}, NULL, &entry},  {"a", WT_I64, 0, {0}, NULL, &entry},
    };
    unlink(b->path);
    int files = test_count_files(b->dir);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        tn_clear_error(b->ctx);
        assert_status(b->ctx, wt_save(b->ctx, b->path, &bad[i], 1, NULL, 0), TN_RANGE);
    }
    const wt_tensor twice[] = {{"a", WT_F32, 0, {0}, &one, NULL}, {"a", WT_U8, 0, {0}, &one, NULL}};
    tn_clear_error(b->ctx);
    assert_status(b->ctx, wt_save(b->ctx, b->path, twice, 2, NULL, 0), TN_RANGE);
    const wt_meta meta[] = {{"a", "b"}, {"c", "d"}, {"a", "e"}}, text[] = {{"a", "\xff"}};
    tn_clear_error(b->ctx);
    assert_status(b->ctx, wt_save(b->ctx, b->path, twice, 1, meta, 3), TN_RANGE);
    tn_clear_error(b->ctx);
    assert_status(b->ctx, wt_save(b->ctx, b->path, twice, 1, text, 1), TN_RANGE);
    assert_int_equal(test_count_files(b->dir), files);
    tn_clear_error(b->ctx);
    assert_ok(b->ctx, wt_save(b->ctx, b->path, twice, 1, meta, 2));
}

static void saving_without_memory_leaves_nothing(void **state)
{
    test_bench *b = *state;
    static const float one = 1;
    const wt_tensor tensors[] = {{"a", WT_F32, 0, {0}, &one, NULL}, {"b", WT_F32, 0, {0}, &one, NULL}};
    const wt_meta meta = {"k", "v"};
    unlink(b->path);
    int files = test_count_files(b->dir);
    long held = b->memory.blocks, call = 0;
    tn_status status;
    do {
        b->memory.calls = 0;
        b->memory.fail_at = ++call;
        tn_clear_error(b->ctx);
        status = wt_save(b->ctx, b->path, tensors, 2, &meta, 1);
        assert_int_equal(b->memory.blocks, held);
        assert_true(status == TN_OK || status == TN_NOMEM);
        assert_int_equal(test_count_files(b->dir), files + (status == TN_OK));
    } while (b->memory.calls >= call);
    assert_int_equal(status, TN_OK);
    assert_true(call > 5);
    b->memory.fail_at = 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(headers_are_checked),
        cmocka_unit_test(the_header_has_to_be_there),
        cmocka_unit_test(large_headers_stay_in_bounds),
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(long_strided_entries_are_converted),
        cmocka_unit_test(what_cannot_be_read_is_not_written),
        cmocka_unit_test(saving_without_memory_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, test_bench_open, test_bench_close);
}
