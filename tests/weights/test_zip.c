/* Zip archives made by hand around a small checkpoint: what a directory must not say. */
#include "tests/common/hostile.h"
#include "weights/internal.h"

#include <stdlib.h>
#include <string.h>

#define P "\x80\x02"
#define FLOATS "ctorch\nFloatStorage\n"
#define OBJECT                                                                                               \
    P "}U\1wctorch._utils\n_rebuild_tensor_v2\n((U\7storage" FLOATS "U\1kU\3cpuK\2tQK\0K\2\x85K\1\x85\x89"   \
      "ccollections\nOrderedDict\n)RtRs."

/* An entry, and the ways in which its headers may lie. Zeros tell the truth. */
typedef struct member {
    const char *name;       /* NULL: none */
    const char *data;       /* stored */
    size_t size;            /* of data */
    const char *local_name; /* NULL: name */
    unsigned flags;         /* both headers; 8 is added when `plain` is not set */
    unsigned method;        /* both headers */
    unsigned local_method;  /* added in the local header */
    unsigned crc;           /* added to the right one */
    long size_off;          /* added to the directory's size */
    long packed_off;        /* added to its other size */
    long offset_off;        /* added to the directory's offset */
    long local_size;        /* added to the local header's size, where `plain` */
    unsigned disk;          /* in the directory */
    bool plain;             /* sizes are in the local header, as NumPy writes them */
    bool big;               /* sizes and offset are in the directory's 64-bit field */
} member;

typedef struct archive {
    member members[6];   /* up to the first without a name */
    const char *comment; /* NULL: none */
    long count_off;      /* added to the number of entries */
    long size_off;       /* added to the directory's size */
    long offset_off;     /* added to its offset */
    unsigned disk;       /* in the end record */
    bool zip64;          /* with the 64-bit end records */
    long count64_off;    /* added to the number in them */
    long record64_off;   /* added to where the locator says that they are */
    unsigned disk64;     /* in the 64-bit end record */
    bool unset;          /* the end record leaves its fields to the 64-bit one */
} archive;

#define MEMBER(name, text)                                                                                   \
    {                                                                                                        \
        name, text, sizeof(text) - 1, NULL, 0, 0, 0, 0, 0, 0, 0, 0, 0, false, false                          \
    }
#define GOOD                                                                                                 \
    {                                                                                                        \
        MEMBER("m/data.pkl", OBJECT), MEMBER("m/byteorder", "little"),                                       \
            MEMBER("m/data/k", "\0\0\x80\x3f\0\0\0\x40"), MEMBER("m/version", "3\n")                         \
    }

/* ---- building ---------------------------------------------------------------------------------------- */

static void put_local(test_bytes *b, const member *m, unsigned crc)
{
    const char *name = m->local_name ? m->local_name : m->name;
    test_put_int(b, 0x04034b50, 4);
    test_put_int(b, 0, 2);
    test_put_int(b, m->flags | (m->plain ? 0 : 8), 2);
    test_put_int(b, m->method + m->local_method, 2);
    test_put_int(b, 0, 4);
    test_put_int(b, m->plain ? crc : 0, 4);
    test_put_int(b, m->plain ? m->size + (size_t)m->local_size : 0, 4);
    test_put_int(b, m->plain ? m->size + (size_t)m->local_size : 0, 4);
    test_put_int(b, strlen(name), 2);
    test_put_int(b, 7, 2);
    test_put_text(b, name);
    test_put(b, "FB\3\0ZZZ", 7);
    test_put(b, m->data, m->size);
}

static void put_central(test_bytes *b, const member *m, unsigned crc, size_t offset)
{
    size_t size = m->size + (size_t)m->size_off, packed = m->size + (size_t)m->packed_off;
    offset += (size_t)m->offset_off;
    test_put_int(b, 0x02014b50, 4);
    test_put_int(b, 0, 4);
    test_put_int(b, m->flags | (m->plain ? 0 : 8), 2);
    test_put_int(b, m->method, 2);
    test_put_int(b, 0, 4);
    test_put_int(b, crc, 4);
    test_put_int(b, m->big ? 0xffffffff : packed, 4);
    test_put_int(b, m->big ? 0xffffffff : size, 4);
    test_put_int(b, strlen(m->name), 2);
    test_put_int(b, m->big ? 33 : 0, 2);
    test_put_int(b, 0, 2);
    test_put_int(b, m->disk, 2);
    test_put_int(b, 0, 6);
    test_put_int(b, m->big ? 0xffffffff : offset, 4);
    test_put_text(b, m->name);
    if (m->big) {
        test_put(b, "XX\1\0x", 5); /* another field before it */
        test_put_int(b, 1, 2);
        test_put_int(b, 24, 2);
        test_put_int(b, size, 8);
        test_put_int(b, packed, 8);
        test_put_int(b, offset, 8);
    }
}

static void put_end(test_bytes *b, const archive *a, size_t count, size_t size, size_t offset)
{
    if (a->zip64) {
        size_t at = b->size;
        test_put_int(b, 0x06064b50, 4);
        test_put_int(b, 44, 8);
        test_put_int(b, 0x2d001e, 4);
        test_put_int(b, a->disk64, 4);
        test_put_int(b, 0, 4);
        test_put_int(b, count + (size_t)a->count64_off, 8);
        test_put_int(b, count + (size_t)a->count64_off, 8);
        test_put_int(b, size, 8);
        test_put_int(b, offset, 8);
        test_put_int(b, 0x07064b50, 4);
        test_put_int(b, 0, 4);
        test_put_int(b, at + (size_t)a->record64_off, 8);
        test_put_int(b, 1, 4);
    }
    count += (size_t)a->count_off;
    test_put_int(b, 0x06054b50, 4);
    test_put_int(b, a->disk, 2);
    test_put_int(b, 0, 2);
    test_put_int(b, a->unset ? 0xffff : count, 2);
    test_put_int(b, a->unset ? 0xffff : count, 2);
    test_put_int(b, a->unset ? 0xffffffff : size + (size_t)a->size_off, 4);
    test_put_int(b, a->unset ? 0xffffffff : offset + (size_t)a->offset_off, 4);
    test_put_int(b, a->comment ? strlen(a->comment) : 0, 2);
    test_put_text(b, a->comment ? a->comment : "");
}

static void build(test_bytes *b, const archive *a)
{
    size_t offsets[6] = {0}, count = 0;
    unsigned crcs[6] = {0};
    for (; count < 6 && a->members[count].name; count++) {
        const member *m = &a->members[count];
        offsets[count] = b->size;
        crcs[count] = wt_crc32((const unsigned char *)m->data, m->size) + m->crc;
        put_local(b, m, crcs[count]);
    }
    size_t begin = b->size;
    for (size_t i = 0; i < count; i++)
        put_central(b, &a->members[i], crcs[i], offsets[i]);
    put_end(b, a, count, b->size - begin, begin);
}

static void expect(void **state, const archive *a, tn_status status, const char *message)
{
    test_bytes bytes = {0};
    build(&bytes, a);
    test_bench_expect(*state, &bytes, status, message);
    free(bytes.data);
}

/* ---- tests ------------------------------------------------------------------------------------------- */

static void the_true_archive_opens(void **state)
{
    for (int form = 0; form < 8; form++) {
        archive a = {.members = GOOD, .zip64 = form & 1, .unset = (form & 1) && (form & 4)};
        for (int i = 0; i < 4; i++) {
            a.members[i].plain = form & 2;
            a.members[i].big = form & 4;
        }
        expect(state, &a, TN_OK, "");
    }
    archive without_order = {.members = {MEMBER("m/data.pkl", OBJECT), MEMBER("m/data/k", "12345678"),
                                         MEMBER("m/version", "10\n")}};
    expect(state, &without_order, TN_OK, "");
}

static void directories_lie(void **state)
{
#define LIE(field, value, status, message)                                                                   \
    do {                                                                                                     \
        archive a = {.members = GOOD};                                                                       \
        a.field = value;                                                                                     \
        expect(state, &a, status, message);                                                                  \
    } while (0)
    LIE(members[2].method, 8, TN_UNSUPPORTED, "m/data/k is compressed (method 8)");
    LIE(members[2].local_method, 8, TN_UNSUPPORTED, "m/data/k is encrypted or compressed");
    LIE(members[0].flags, 1, TN_UNSUPPORTED, "m/data.pkl is encrypted (flags 0009)");
    LIE(members[0].flags, 0x40, TN_UNSUPPORTED, "m/data.pkl is encrypted (flags 0048)");
    LIE(members[0].flags, 0x2000, TN_UNSUPPORTED, "m/data.pkl is encrypted (flags 2008)");
    LIE(members[1].disk, 1, TN_FORMAT, "two sizes, or lies outside the file");
    LIE(members[1].packed_off, 1, TN_FORMAT, "two sizes, or lies outside the file");
    LIE(members[1].offset_off, 1, TN_FORMAT, "not there, for m/byteorder");
    LIE(members[1].offset_off, 1000000, TN_FORMAT, "lies outside the file");
    LIE(members[1].local_name, "m/byteOrder", TN_FORMAT, "its name is not m/byteorder");
    LIE(members[1].local_name, "m/byteorder2", TN_FORMAT, "its name is not m/byteorder");
    LIE(members[1].name, "m/version", TN_FORMAT, "local header at offset");
    LIE(count_off, -1, TN_FORMAT, "bytes after the last entry");
    LIE(count_off, 1, TN_FORMAT, "entries in a directory of");
    LIE(size_off, 1, TN_FORMAT, "does not end where it should");
    LIE(offset_off, 1, TN_FORMAT, "does not end where it should");
    LIE(offset_off, 1000000, TN_FORMAT, "does not end where it should");
    LIE(disk, 1, TN_UNSUPPORTED, "on several disks");
    LIE(comment, "hello", TN_FORMAT, "not there: the file was cut, or bytes follow it");
    LIE(unset, true, TN_FORMAT, "does not end where it should");
#undef LIE
#define LIE64(field, value, status, message)                                                                 \
    do {                                                                                                     \
        archive a = {.members = GOOD, .zip64 = true};                                                        \
        a.field = value;                                                                                     \
        expect(state, &a, status, message);                                                                  \
    } while (0)
    LIE64(count64_off, 1, TN_FORMAT, "it contradicts the end record");
    LIE64(count_off, 1, TN_FORMAT, "it contradicts the end record");
    LIE64(record64_off, 1, TN_FORMAT, "no end record at");
    LIE64(record64_off, 1000000, TN_FORMAT, "no end record at");
    LIE64(disk64, 1, TN_UNSUPPORTED, "on several disks");
#undef LIE64
    archive longer = {.members = GOOD, .count_off = 1};
    longer.members[4] = (member)MEMBER("m/a name that is so long that one more entry would have room", "1");
    expect(state, &longer, TN_FORMAT, "no entry where one is expected");
    archive sizes = {.members = GOOD};
    sizes.members[3].size_off = sizes.members[3].packed_off = 5;
    expect(state, &sizes, TN_FORMAT, "m/version has 7 bytes, 2 are left");
    archive overlap = {.members = GOOD};
    overlap.members[1].size_off = overlap.members[1].packed_off = 5;
    expect(state, &overlap, TN_FORMAT, "m/data/k overlaps the entry before it");
    archive local = {.members = GOOD};
    local.members[1].plain = true;
    local.members[1].local_size = 1;
    expect(state, &local, TN_FORMAT, "the size of m/byteorder is not what the directory says");
}

/* The place of the last occurrence of four bytes. */
static size_t last(const test_bytes *b, const char *mark)
{
    size_t at = b->size - 4;
    while (memcmp(b->data + at, mark, 4) != 0)
        at--;
    return at;
}

/* Bytes of the 64-bit form, changed where the form above cannot. */
static void long_forms_lie(void **state)
{
    /* The last entry is m/version: behind its name are a field of five bytes and the 64-bit one, 4 + 24. */
    enum { CENTRAL_NAME = 28, EXTRA = 46 + sizeof "m/version" - 1, SHORT = EXTRA + 2, LONG = EXTRA + 5 + 2 };
    static const struct {
        const char *mark;    /* of the record */
        int at;              /* in it */
        uint64_t value;      /* of two bytes */
        tn_status status;    /* it is refused with */
        const char *message; /* same */
    } cases[] = {
        {"PK\6\7", 4, 1, TN_UNSUPPORTED, "zip64 locator at offset"},
        {"PK\6\7", 16, 2, TN_UNSUPPORTED, "zip64 locator at offset"},
        {"PK\6\7", 16, 0, TN_OK, ""},
        {"PK\6\6", 4, 45, TN_FORMAT, "its length is wrong"},
        {"PK\6\6", 4, 43, TN_FORMAT, "its length is wrong"},
        {"PK\6\6", 20, 1, TN_UNSUPPORTED, "zip64 end record at offset"},
        {"PK\6\6", 24, 3, TN_UNSUPPORTED, "zip64 end record at offset"},
        {"PK\1\2", CENTRAL_NAME, 10, TN_FORMAT, "an entry is longer than the directory"},
        {"PK\1\2", CENTRAL_NAME, 0xffff, TN_FORMAT, "an entry is longer than the directory"},
        {"PK\1\2", SHORT, 30, TN_FORMAT, "m/version has two sizes, or lies outside the file"},
        {"PK\1\2", SHORT, 0xffff, TN_FORMAT, "m/version has two sizes, or lies outside the file"},
        {"PK\1\2", LONG, 23, TN_FORMAT, "a 64-bit size is missing"},
        {"PK\1\2", LONG, 7, TN_FORMAT, "a 64-bit size is missing"},
        {"PK\1\2", LONG, 25, TN_FORMAT, "m/version has two sizes, or lies outside the file"},
    };
    archive a = {.members = GOOD, .zip64 = true};
    for (int i = 0; i < 4; i++)
        a.members[i].big = true;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        test_bytes b = {0};
        build(&b, &a);
        unsigned char *to = b.data + last(&b, cases[i].mark) + cases[i].at;
        to[0] = (unsigned char)cases[i].value;
        to[1] = (unsigned char)(cases[i].value >> 8);
        test_bench_expect(*state, &b, cases[i].status, cases[i].message);
        free(b.data);
    }
    /* Sizes that the old fields have are theirs, whatever the long field says. */
    test_bytes b = {0};
    build(&b, &a);
    unsigned char *central = b.data + last(&b, "PK\1\2"), *extra = central + EXTRA + 5 + 4;
    memcpy(central + 20, extra, 4);
    memcpy(central + 24, extra, 4);
    memcpy(central + 42, extra + 16, 4);
    memset(extra, 0xee, 24);
    test_bench_expect(*state, &b, TN_OK, "");
    free(b.data);
}

static void names_are_checked(void **state)
{
    static const struct {
        const char *name;
        tn_status status;
        const char *message;
    } cases[] = {
        {"m/../x", TN_FORMAT, "the name m/../x leads out"},
        {"../m/x", TN_FORMAT, "leads out"},
        {"m/..", TN_FORMAT, "leads out"},
        {"..", TN_FORMAT, "leads out"},
        {"/m/x", TN_FORMAT, "leads out"},
        {"m\\x", TN_FORMAT, "the name m\\x5cx leads out"},
        {"", TN_FORMAT, "a name is empty or not UTF-8"},
        {"m/\xff", TN_FORMAT, "a name is empty or not UTF-8"},
        {"n/x", TN_FORMAT, "outside the checkpoint's one top folder"},
        {"x", TN_FORMAT, "outside the checkpoint's one top folder"},
        {"m/code/x.py", TN_UNSUPPORTED, "m/code/x.py: a TorchScript archive"},
        {"m/constants.pkl", TN_UNSUPPORTED, "m/constants.pkl: a TorchScript archive"},
        {"m/version", TN_FORMAT, "the name m/version is there twice"},
        {"m/..x", TN_OK, ""},
        {"m/x/", TN_OK, ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        archive a = {.members = GOOD};
        a.members[4] = (member)MEMBER(cases[i].name, "1");
        expect(state, &a, cases[i].status, cases[i].message);
    }
}

static void records_are_checked(void **state)
{
    static const struct {
        int member; /* which is changed */
        member to;
        tn_status status;
        const char *message;
    } cases[] = {
        {0, MEMBER("m/data.pk", OBJECT), TN_FORMAT, "a zip file, but no checkpoint"},
        {0, MEMBER("m/data.pkl", OBJECT "N."), TN_FORMAT, "2 bytes after the pickle"},
        {0, MEMBER("m/data.pkl", ""), TN_FORMAT, "data.pkl at offset 47: the pickle ends without a STOP"},
        {0, MEMBER("m/data.pkl", P "(U\7storage" FLOATS "U\1kU\3cpuK\2NtQ."), TN_FORMAT,
         "a persistent id that is no storage"},
        {1, MEMBER("m/byteorder", "big"), TN_UNSUPPORTED, "record byteorder at offset"},
        {1, MEMBER("m/byteorder", "little\n"), TN_UNSUPPORTED, "record byteorder at offset"},
        {2, MEMBER("m/data/j", "12345678"), TN_FORMAT, "there is no record for a storage"},
        {2, MEMBER("m/data/k", "1234567"), TN_FORMAT, "7 bytes, but the object says 2 x F32"},
        {2, MEMBER("m/data/k", "123456789"), TN_FORMAT, "9 bytes, but the object says 2 x F32"},
        {3, MEMBER("m/versio", "3\n"), TN_FORMAT, "there is no record \"version\""},
        {3, MEMBER("m/version", "0\n"), TN_UNSUPPORTED, "not a number from 1 to 10"},
        {3, MEMBER("m/version", "11\n"), TN_UNSUPPORTED, "not a number from 1 to 10"},
        {3, MEMBER("m/version", "x"), TN_UNSUPPORTED, "not a number from 1 to 10"},
        {3, MEMBER("m/version", ""), TN_UNSUPPORTED, "not a number from 1 to 10"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        archive a = {.members = GOOD};
        a.members[cases[i].member] = cases[i].to;
        expect(state, &a, cases[i].status, cases[i].message);
    }
    archive empty = {.members = {MEMBER(NULL, "")}};
    expect(state, &empty, TN_FORMAT, "a zip file, but no checkpoint");
}

static void wrong_checksums_are_told(void **state)
{
    test_bench *b = *state;
    for (int i = 0; i < 4; i++) {
        archive a = {.members = GOOD};
        a.members[i].crc = 1;
        test_bytes bytes = {0};
        build(&bytes, &a);
        wt_file *file;
        assert_ok(b->ctx, test_bench_bytes(b, &bytes, &file));
        /* Those that say nothing about a tensor are not looked at. */
        bool matters = i == 0 || i == 2;
        assert_int_equal(wt_verify(b->ctx, file), matters ? TN_FORMAT : TN_OK);
        if (matters)
            assert_non_null(
                strstr(tn_error(b->ctx), i ? "record m/data/k at offset" : "record m/data.pkl at offset"));
        wt_close(file);
        free(bytes.data);
    }
}

int main(void)
{
    /* The check value of CRC-32, and one whose length is no multiple of the slices. */
    if (wt_crc32((const unsigned char *)"123456789", 9) != 0xcbf43926)
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_true_archive_opens), cmocka_unit_test(directories_lie),
        cmocka_unit_test(long_forms_lie),         cmocka_unit_test(names_are_checked),
        cmocka_unit_test(records_are_checked),    cmocka_unit_test(wrong_checksums_are_told),
    };
    return cmocka_run_group_tests(tests, test_bench_open, test_bench_close);
}
