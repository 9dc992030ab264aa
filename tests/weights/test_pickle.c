/* Pickles made by hand, in legacy files: what a checkpoint must not say. */
#include "tests/common/hostile.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Where the object's pickle begins in the files of legacy(). */
enum { OBJECT = 42 };

#define P "\x80\x02" /* PROTO 2 */
#define TENSOR "ctorch._utils\n_rebuild_tensor_v2\n"
#define FLOATS "ctorch\nFloatStorage\n"
/* A storage "k" of 4 floats, and the rest of a tensor's arguments behind offset, sizes and strides. */
#define STORAGE "(U\7storage" FLOATS "U\1kU\3cpuK\4NtQ"
#define REST                                                                                                 \
    "\x89"                                                                                                   \
    "ccollections\nOrderedDict\n)RtR"
/* The tensor [s0, s1] of a dictionary {"w": ...} that is all of it. */
#define WITH(arguments) P "}U\1w" TENSOR "(" STORAGE arguments REST "s."
#define GOOD WITH("K\0K\4\x85K\1\x85")
#define KEYS P "]U\1ka."
#define FOUR                                                                                                 \
    "\4\0\0\0\0\0\0\0"                                                                                       \
    "\0\0\0\0\0\0\x80\x3f\0\0\0\x40\0\0\x40\x40"

typedef struct hostile {
    const char *object;   /* the object's pickle */
    size_t object_size;   /* of it */
    const char *keys;     /* the pickle of storage keys */
    size_t keys_size;     /* of it */
    const char *storages; /* what follows */
    size_t storages_size; /* of it */
    tn_status status;     /* of wt_open() */
    const char *message;  /* which its message contains */
} hostile;

#define CASE(object, keys, storages, status, message)                                                        \
    {                                                                                                        \
        TEST_LITERAL(object), TEST_LITERAL(keys), TEST_LITERAL(storages), status, message                    \
    }
#define OBJECT_CASE(object, status, message) CASE(object, KEYS, FOUR, status, message)

/* ---- files ------------------------------------------------------------------------------------------- */

static void legacy(test_bytes *out, const void *object, size_t object_size, const void *keys,
                   size_t keys_size, const void *storages, size_t storages_size)
{
    test_put(out, TEST_LITERAL(P "\x8a\nl\xfc\x9c"
                                 "F\xf9 j\xa8P\x19."));
    test_put(out, TEST_LITERAL(P "M\xe9\3."));
    test_put(out, TEST_LITERAL(P "}U\rlittle_endian\x88s."));
    assert_int_equal(out->size, OBJECT);
    test_put(out, object, object_size);
    test_put(out, keys, keys_size);
    test_put(out, storages, storages_size);
}

/* Opens an object's pickle, in a file with the storage "k" or with none; `file` may be NULL. */
static tn_status open_object(test_bench *b, const test_bytes *object, bool stored, wt_file **file)
{
    test_bytes bytes = {0};
    wt_file *own;
    if (stored)
        legacy(&bytes, object->data, object->size, TEST_LITERAL(KEYS), TEST_LITERAL(FOUR));
    else
        legacy(&bytes, object->data, object->size, TEST_LITERAL(P "]."), "", 0);
    tn_status status = test_bench_bytes(b, &bytes, file ? file : &own);
    if (!file)
        wt_close(own);
    free(bytes.data);
    return status;
}

static void check(test_bench *b, const hostile *h)
{
    test_bytes bytes = {0};
    legacy(&bytes, h->object, h->object_size, h->keys, h->keys_size, h->storages, h->storages_size);
    test_bench_expect(b, &bytes, h->status, h->message);
    free(bytes.data);
}

static void check_all(test_bench *b, const hostile *cases, size_t count)
{
    for (size_t i = 0; i < count; i++)
        check(b, &cases[i]);
}

#define CHECK_ALL(state, cases) check_all(*(state), cases, sizeof(cases) / sizeof *(cases))

/* ---- tests ------------------------------------------------------------------------------------------- */

static void only_known_globals_pass(void **state)
{
    static const hostile cases[] = {
        OBJECT_CASE(GOOD, TN_OK, ""),
        OBJECT_CASE(P "cposix\nsystem\nU\2ls\x85R.", TN_UNSUPPORTED,
                    "x: object pickle at offset 44: the global \"posix system\" is not allowed"),
        OBJECT_CASE(P "c__builtin__\neval\n.", TN_UNSUPPORTED, "\"__builtin__ eval\""),
        OBJECT_CASE(P "ctorch\nComplexFloatStorage\n.", TN_UNSUPPORTED, "\"torch ComplexFloatStorage\""),
        OBJECT_CASE(P "ctorch\nQInt8Storage\n.", TN_UNSUPPORTED, "\"torch QInt8Storage\""),
        OBJECT_CASE(P "ccollections\nOrderedDictX\n.", TN_UNSUPPORTED, "\"collections OrderedDictX\""),
        OBJECT_CASE(P "ccollections\nOrdered\n.", TN_UNSUPPORTED, "\"collections Ordered\""),
        OBJECT_CASE(P "c\x1b[2J\n\n.", TN_UNSUPPORTED, "\"\\x1b[2J \""),
        OBJECT_CASE(P "c" FLOATS, TN_UNSUPPORTED, "\"ctorch FloatStorage\""),
        OBJECT_CASE(P FLOATS ")R.", TN_FORMAT, "a storage that is made by a call"),
        OBJECT_CASE(P "NN\x86"
                      ")R.",
                    TN_FORMAT, "a call of something that is no global"),
        OBJECT_CASE(P "ccollections\nOrderedDict\nNR.", TN_FORMAT, "without a tuple of arguments"),
        OBJECT_CASE(P "ccollections\nOrderedDict\nN\x85R.", TN_FORMAT, "OrderedDict takes nothing or a list"),
        OBJECT_CASE(P "ccollections\nOrderedDict\n]Na\x85R.", TN_FORMAT,
                    "OrderedDict takes nothing or a list"),
        OBJECT_CASE(P "ctorch\nSize\nN\x85R.", TN_FORMAT, "torch.Size takes a tuple"),
        OBJECT_CASE(P "NNb.", TN_FORMAT, "a state for something that has none"),
        OBJECT_CASE(P "cnumpy\ndtype\nU\2V8\x89\x88\x87R.", TN_FORMAT, "no plain number"),
        OBJECT_CASE(P "cnumpy\ndtype\nU\2f8\x89\x88\x87R(K\3U\1>NNNtb.", TN_FORMAT, "not little-endian"),
        OBJECT_CASE(P "cnumpy.core.multiarray\nscalar\ncnumpy\ndtype\nU\2f8\x89\x88\x87RU\7"
                      "1234567\x86R.",
                    TN_FORMAT, "not a type and its bytes"),
        OBJECT_CASE(P "c_codecs\nencode\nX\3\0\0\0\xe2\x82\xacU\6latin1\x86R.", TN_FORMAT,
                    "not encoded as latin1"),
        OBJECT_CASE(P "c_codecs\nencode\nU\1aU\5utf-8\x86R.", TN_FORMAT, "not encoded as latin1"),
        OBJECT_CASE(P "ctorch._utils\n_rebuild_parameter\nN\x88\x89\x87R.", TN_FORMAT,
                    "something else than a tensor"),
    };
    CHECK_ALL(state, cases);
}

static void other_opcodes_and_protocols_are_refused(void **state)
{
    static const char known[] = "\x80.(})]t\x85\x86\x87XUJKM\x8aGN\x88\x89"
                                "cRbQqrhjsuae";
    for (int opcode = 0; opcode < 256; opcode++) {
        if (memchr(known, opcode, sizeof known - 1))
            continue;
        char object[] = P "NN?NN.", message[16];
        object[4] = (char)opcode;
        snprintf(message, sizeof message, "opcode 0x%02x", (unsigned)opcode);
        hostile h = OBJECT_CASE("", TN_UNSUPPORTED, message);
        h.object = object;
        h.object_size = sizeof object - 1;
        check(*state, &h);
    }
    static const hostile cases[] = {
        OBJECT_CASE("\x80\3}.", TN_UNSUPPORTED, "pickle protocol 3"),
        OBJECT_CASE("\x80\4\x95\0\0\0\0\0\0\0\0}.", TN_UNSUPPORTED, "pickle protocol 4"),
    };
    CHECK_ALL(state, cases);
}

static void stack_and_memo_are_bounded(void **state)
{
    /* Opcodes that take something, with nothing there, and with nothing above a mark. */
    static const char takers[] = "t\x85\x86\x87RbQsuae.";
    for (size_t i = 0; i < sizeof takers - 1; i++) {
        char bare[] = P "?.", marked[] = P "N(?.";
        bare[2] = marked[4] = takers[i];
        hostile h = OBJECT_CASE("", TN_FORMAT, "");
        h.object = bare;
        h.object_size = sizeof bare - 1;
        check(*state, &h);
        h.object = marked;
        h.object_size = sizeof marked - 1;
        if (!strchr("tue", takers[i]))
            check(*state, &h);
    }
    static const hostile cases[] = {
        OBJECT_CASE(P "Nt.", TN_FORMAT, "the opcode 0x74 finds no mark"),
        OBJECT_CASE(P "}NNu.", TN_FORMAT, "the opcode 0x75 finds no mark"),
        OBJECT_CASE(P "](tt.", TN_FORMAT, "the opcode 0x74 finds no mark"),
        OBJECT_CASE(P "ctorch", TN_FORMAT, "the pickle ends inside a global's name"),
        OBJECT_CASE(P "ctorch\nFloat", TN_FORMAT, "the pickle ends inside a global's name"),
        OBJECT_CASE(P "h\0.", TN_FORMAT, "memo index 0 was never put"),
        OBJECT_CASE(P "Nq\1h\2.", TN_FORMAT, "memo index 2 was never put"),
        OBJECT_CASE(P "Nr\xff\xff\xff\x7f.", TN_FORMAT, "memo index 2147483647 after 2 opcodes"),
        OBJECT_CASE(P "Nr\x14\0\0\0.", TN_FORMAT, "memo index 20 after 2 opcodes"),
        OBJECT_CASE(P "Nj\xff\xff\xff\xff.", TN_FORMAT, "memo index 4294967295 was never put"),
        OBJECT_CASE(P "q\0.", TN_FORMAT, "nothing on the stack to remember"),
        OBJECT_CASE(P "(q\0.", TN_FORMAT, "nothing on the stack to remember"),
        OBJECT_CASE(P "}(Nu.", TN_FORMAT, "a key without a value"),
        OBJECT_CASE(P "](NNu.", TN_FORMAT, "is for a dictionary"),
        OBJECT_CASE(P "}(Ne.", TN_FORMAT, "is for a list"),
        OBJECT_CASE(P ")(Ne.", TN_FORMAT, "is for a list"),
        OBJECT_CASE(P "((Nt.", TN_FORMAT, "1 values are left"),
        OBJECT_CASE(P "NN.", TN_FORMAT, "1 values are left"),
        OBJECT_CASE(P "X\xff\xff\xff\xff"
                      "a.",
                    TN_FORMAT, "the opcode wants 4294967295 bytes"),
        OBJECT_CASE(P "\x8a\x11"
                      "12345678901234567.",
                    TN_FORMAT, "an integer of 17 bytes, the limit is 16"),
        CASE(P "\x8a\x10"
               "1234567890123456.",
             P "].", "", TN_UNSUPPORTED, "neither a dictionary nor a tensor"),
    };
    CHECK_ALL(state, cases);
}

static void tensors_lie_inside_their_storages(void **state)
{
    static const hostile cases[] = {
        OBJECT_CASE(WITH("K\3))"), TN_OK, ""),
        OBJECT_CASE(WITH("K\4))"), TN_FORMAT, "does not fit into its storage of 4 elements"),
        OBJECT_CASE(WITH("J\xff\xff\xff\xff))"), TN_FORMAT, "something else than storage, offset, sizes"),
        OBJECT_CASE(WITH("\x88))"), TN_FORMAT, "something else than storage, offset, sizes"),
        OBJECT_CASE(WITH("K\0K\5\x85K\1\x85"), TN_FORMAT, "does not fit"),
        OBJECT_CASE(WITH("K\1K\4\x85K\1\x85"), TN_FORMAT, "does not fit"),
        OBJECT_CASE(WITH("K\0K\2\x85K\3\x85"), TN_OK, ""),
        OBJECT_CASE(WITH("K\0K\2\x85K\4\x85"), TN_FORMAT, "does not fit"),
        /* Expansion with stride 0 makes elements out of nothing. */
        OBJECT_CASE(WITH("K\0M\0\4\x85K\0\x85"), TN_FORMAT, "does not fit"),
        OBJECT_CASE(WITH("K\0J\xff\xff\xff\x7f\x85K\0\x85"), TN_FORMAT, "does not fit"),
        OBJECT_CASE(WITH("K\0K\4\x85K\0\x85"), TN_OK, ""),
        OBJECT_CASE(WITH("K\0J\xff\xff\xff\xff\x85K\1\x85"), TN_FORMAT, "negative or no integer"),
        OBJECT_CASE(WITH("K\0K\2\x85J\xff\xff\xff\xff\x85"), TN_FORMAT, "negative or no integer"),
        OBJECT_CASE(WITH("K\0N\x85K\1\x85"), TN_FORMAT, "negative or no integer"),
        OBJECT_CASE(WITH("K\0K\2\x85K\1K\1\x86"), TN_FORMAT, "something else than storage, offset, sizes"),
        /* 2^62 * 4 elements, and strides whose sum overflows. */
        OBJECT_CASE(WITH("K\0\x8a\x08\0\0\0\0\0\0\0\x40K\4\x86K\0K\0\x86"), TN_FORMAT, "does not fit"),
        OBJECT_CASE(
            WITH(
                "K\0K\2K\2\x86\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f\x86"),
            TN_FORMAT, "does not fit"),
        OBJECT_CASE(WITH("\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7fK\1\x85K\1\x85"), TN_FORMAT,
                    "does not fit"),
        /* Empty tensors may have any other size, but begin inside. */
        OBJECT_CASE(WITH("K\4\x8a\x08\0\0\0\0\0\0\0\x40K\0\x86K\0K\0\x86"), TN_OK, ""),
        OBJECT_CASE(WITH("K\5K\0\x85K\1\x85"), TN_FORMAT, "does not fit"),
        OBJECT_CASE(WITH("K\0(K\1K\1K\1K\1K\1K\1K\1K\1K\1t(K\1K\1K\1K\1K\1K\1K\1K\1K\1t"), TN_UNSUPPORTED,
                    "9 axes"),
        OBJECT_CASE(P TENSOR "(" STORAGE "K\0))NtR.", TN_FORMAT, "a tensor is rebuilt from 5 arguments"),
        OBJECT_CASE(P TENSOR ")R.", TN_FORMAT, "a tensor is rebuilt from 0 arguments"),
        OBJECT_CASE(P TENSOR "(NK\0))" REST ".", TN_FORMAT, "something else than storage, offset, sizes"),
    };
    CHECK_ALL(state, cases);
}

static void storages_are_what_the_object_says(void **state)
{
#define ID(inside) P "(" inside "tQ."
    static const hostile cases[] = {
        OBJECT_CASE(ID("U\7storage" FLOATS "U\1kU\3cpuK\4"), TN_FORMAT, "a persistent id that is no storage"),
        OBJECT_CASE(ID("U\7storagX" FLOATS "U\1kU\3cpuK\4N"), TN_FORMAT,
                    "a persistent id that is no storage"),
        OBJECT_CASE(P "NQ.", TN_FORMAT, "a persistent id that is no storage"),
        OBJECT_CASE(ID("U\6moduleNNN"), TN_UNSUPPORTED, "a whole pickled module"),
        OBJECT_CASE(ID("U\7storageNU\1kU\3cpuK\4N"), TN_FORMAT, "(class, key, location, number of elements)"),
        OBJECT_CASE(ID("U\7storage" TENSOR "U\1kU\3cpuK\4N"), TN_FORMAT, "(class, key, location, number"),
        OBJECT_CASE(ID("U\7storage" FLOATS "K\1U\3cpuK\4N"), TN_FORMAT, "(class, key, location, number"),
        OBJECT_CASE(ID("U\7storage" FLOATS "U\0U\3cpuK\4N"), TN_FORMAT, "(class, key, location, number"),
        OBJECT_CASE(ID("U\7storage" FLOATS "U\1kU\3cpuJ\xff\xff\xff\xffN"), TN_FORMAT,
                    "(class, key, location, number"),
        OBJECT_CASE(ID("U\7storage" FLOATS "U\1kU\3cpuK\4K\1"), TN_FORMAT,
                    "a view of a storage lies outside"),
        OBJECT_CASE(ID("U\7storage" FLOATS "U\1kU\3cpuK\4U\1vK\3K\2\x87"), TN_FORMAT,
                    "a view of a storage lies outside"),
        /* One key with two lengths, and with two types. */
        OBJECT_CASE(P "]("
                      "(U\7storage" FLOATS "U\1kU\3cpuK\4NtQ"
                      "(U\7storage" FLOATS "U\1kU\3cpuK\3NtQ"
                      "e.",
                    TN_FORMAT, "a storage of 3 x F32 that was 4 x F32"),
        OBJECT_CASE(P "]("
                      "(U\7storage" FLOATS "U\1kU\3cpuK\4NtQ"
                      "(U\7storagectorch\nLongStorage\nU\1kU\3cpuK\4NtQ"
                      "e.",
                    TN_FORMAT, "a storage of 4 x I64 that was 4 x F32"),
        /* The stream against the object. */
        CASE(GOOD, P "].", "", TN_FORMAT, "0 keys, but the object mentions 1 storages"),
        CASE(GOOD, P "}.", "", TN_FORMAT, "storage keys at offset 165: not a list"),
        CASE(GOOD, P "]U\1ja.", FOUR, TN_FORMAT, "one that the object does not mention"),
        CASE(GOOD, P "]U\2kka.", FOUR, TN_FORMAT, "one that the object does not mention"),
        CASE(GOOD, P "]K\1a.", FOUR, TN_FORMAT, "one that the object does not mention"),
        CASE(GOOD, P "](U\1kU\1ke.", FOUR FOUR, TN_FORMAT, "has one twice"),
        CASE(GOOD, P "]" STORAGE "a.", FOUR, TN_FORMAT, "a persistent id that is no storage"),
        CASE(GOOD, KEYS, "\4\0\0", TN_FORMAT, "the file ends before a storage's length"),
        CASE(GOOD, KEYS, "\5" FOUR "1234", TN_FORMAT, "elements, the object says 4"),
        CASE(GOOD, KEYS,
             "\4\0\0\0\0\0\0\x80"
             "1234567890123456",
             TN_FORMAT, "elements, the object says 4"),
        CASE(GOOD, KEYS,
             "\4\0\0\0\0\0\0\0"
             "123456789012345",
             TN_FORMAT, "a storage of 4 x F32, but 15 bytes are left"),
        CASE(GOOD, KEYS, FOUR "1", TN_FORMAT, "1 bytes after the last storage"),
        /* More elements than bytes can be counted. */
        CASE(P "(U\7storage" FLOATS "U\1kU\3cpu\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7fNtQ.", KEYS,
             "\xff\xff\xff\xff\xff\xff\xff\x7f", TN_FORMAT, "but 0 bytes are left"),
    };
    CHECK_ALL(state, cases);
#undef ID
}

static void the_object_holds_a_state_dict(void **state)
{
#define W TENSOR "(" STORAGE "K\0))" REST /* a scalar */
    static const hostile cases[] = {
        OBJECT_CASE(P "}" STORAGE "s.", TN_FORMAT, "is for a dictionary"),
        CASE(P "}.", P "].", "", TN_UNSUPPORTED, "there is no state_dict, and there are no tensors"),
        CASE(P "}U\nstate_dict}s.", P "].", "", TN_UNSUPPORTED, "the state_dict holds no tensors"),
        CASE(P "].", P "].", "", TN_UNSUPPORTED, "neither a dictionary nor a tensor"),
        OBJECT_CASE(P "}U\0" W "s.", TN_FORMAT, "a tensor has an empty name"),
        OBJECT_CASE(P "}K\1" W "s.", TN_FORMAT, "a tensor's name is not text"),
        OBJECT_CASE(P "}U\2\xc3(" W "s.", TN_FORMAT, "not UTF-8"),
        OBJECT_CASE(P "}U\3a\0b" W "s.", TN_FORMAT, "holds a NUL"),
        OBJECT_CASE(P "}(U\1a" W "q\0U\1ah\0u.", TN_FORMAT, "the name a is there twice"),
        OBJECT_CASE(P "}(U\1a" W "q\0U\x08module.ah\0u.", TN_FORMAT, "the name a is there twice"),
        OBJECT_CASE(P "}(U\2a\n" W "q\0U\2a\nh\0u.", TN_FORMAT, "the name a\\x0a is there twice"),
        OBJECT_CASE(P "}(U\x07module." W "q\0U\x0emodule.module.h\0u.", TN_FORMAT,
                    "the name module. is there twice"),
        /* A dictionary that holds itself is read like any other. */
        OBJECT_CASE(P "}q\0(U\4selfh\0U\1a" W "u.", TN_OK, ""),
    };
    CHECK_ALL(state, cases);
#undef W
}

static void repeat(test_bytes *b, const char *text, size_t size, size_t count)
{
    for (size_t i = 0; i < count; i++)
        test_put(b, text, size);
}

static void nesting_is_bounded(void **state)
{
    for (int levels = 60; levels < 70; levels++) {
        test_bytes object = {0};
        test_put(&object, TEST_LITERAL(P "}(U\1w" TENSOR "(" STORAGE "K\0))" REST "U\1d"));
        repeat(&object, "]", 1, (size_t)levels);
        repeat(&object, "a", 1, (size_t)levels - 1);
        test_put_text(&object, "u.");
        /* The fact about "d" is reached at depth 0, its innermost list at levels - 1. */
        assert_int_equal(open_object(*state, &object, true, NULL), levels <= 64 ? TN_OK : TN_UNSUPPORTED);
        free(object.data);
    }
    /* Dictionaries are searched for the state_dict. */
    test_bytes object = {0};
    test_put(&object, TEST_LITERAL(P));
    repeat(&object, TEST_LITERAL("}U\1d"), 100000);
    test_put(&object, TEST_LITERAL("N"));
    repeat(&object, "s", 1, 100000);
    test_put_text(&object, ".");
    assert_int_equal(open_object(*state, &object, false, NULL), TN_UNSUPPORTED);
    assert_non_null(strstr(tn_error(((test_bench *)*state)->ctx), "nested deeper than 64"));
    free(object.data);
}

static void shared_values_are_visited_once(void **state)
{
    /* Forty lists, each of twice the one before: 2^40 values if they were copied or walked. */
    test_bytes object = {0};
    test_put(&object, TEST_LITERAL(P "}(U\1w" TENSOR "(" STORAGE "K\0))" REST "U\4bomb]q\0"));
    for (int i = 0; i < 40; i++) {
        char level[] = "](h?h?eq?";
        level[3] = level[5] = (char)i;
        level[8] = (char)(i + 1);
        test_put(&object, level, sizeof level - 1);
    }
    /* All lists are on the stack: pairs of a list and a pair. */
    repeat(&object, TEST_LITERAL("\x86"), 40);
    test_put_text(&object, "u.");
    wt_file *file;
    clock_t begin = clock();
    assert_ok(((test_bench *)*state)->ctx, open_object(*state, &object, true, &file));
    assert_true(clock() - begin < CLOCKS_PER_SEC);
    assert_string_equal(wt_fact(file, 0), "bomb: a tuple of 2");
    wt_close(file);
    free(object.data);
}

/* Pickles that repeat one thing as often as their size allows. */
static void size_is_bounded(void **state)
{
    static const struct {
        const char *begin, *repeated; /* texts */
        size_t size, count;           /* bytes of `repeated`, and how often */
        const char *end, *message;    /* text, and what comes of it */
    } cases[] = {
        {P, TEST_LITERAL("N"), 1000001, "", "the pickle has more than 1000000 opcodes"},
        {P, TEST_LITERAL("]"), 999990, ".", "values are left on the stack"},
        {P, TEST_LITERAL("K\1"), 999990, ".", "values are left on the stack"},
        {P "N", TEST_LITERAL("r\0\0\0\0"), 999990, ".", "neither a dictionary nor a tensor"},
        {P, TEST_LITERAL("]Na"), 333330, ".", "values are left on the stack"},
        {P "](", TEST_LITERAL("}"), 999980, "e.", "neither a dictionary nor a tensor"},
        {P "](", TEST_LITERAL("}NNs"), 249990, "e.", "neither a dictionary nor a tensor"},
        {P "](", TEST_LITERAL("]NaNa"), 199990, "e.", "neither a dictionary nor a tensor"},
        {P "](", TEST_LITERAL(STORAGE), 32769, "e.", "more than 32768 storages"},
    };
    test_bench *b = *state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        test_bytes object = {0};
        test_put_text(&object, cases[i].begin);
        repeat(&object, cases[i].repeated, cases[i].size, cases[i].count);
        test_put_text(&object, cases[i].end);
        assert_int_not_equal(open_object(b, &object, false, NULL), TN_OK);
        if (!strstr(tn_error(b->ctx), cases[i].message))
            fail_msg("%s, expected %s", tn_error(b->ctx), cases[i].message);
        free(object.data);
    }
}

/* Many tensors of one storage, under the longest name. */
static void tensors_are_bounded(void **state)
{
    test_bench *b = *state;
    for (size_t more = 32767; more <= 32768; more++) {
        test_bytes object = {0};
        test_put(&object, TEST_LITERAL(P "}(U\xff"));
        repeat(&object, "n", 1, 255);
        test_put(&object, TEST_LITERAL("q\2" TENSOR "q\0(" STORAGE "K\0))\x89"
                                       "ccollections\nOrderedDict\n)Rtq\1R"));
        repeat(&object, TEST_LITERAL("h\2h\0h\1R"), more);
        test_put_text(&object, "u.");
        assert_int_equal(open_object(b, &object, true, NULL), more == 32767 ? TN_FORMAT : TN_UNSUPPORTED);
        assert_non_null(
            strstr(tn_error(b->ctx), more == 32767 ? "is there twice" : "more than 32768 tensors"));
        free(object.data);
    }
    /* One byte longer is too long. */
    test_bytes object = {0};
    test_put(&object, TEST_LITERAL(P "}X\0\1\0\0"));
    repeat(&object, "n", 1, 256);
    test_put(&object, TEST_LITERAL(TENSOR "(" STORAGE "K\0))" REST "s."));
    assert_int_equal(open_object(b, &object, true, NULL), TN_UNSUPPORTED);
    assert_non_null(strstr(tn_error(b->ctx), "name has 256 bytes, the limit is 255"));
    free(object.data);
}

/* A checkpoint may hold more than is worth telling. */
static void facts_are_bounded(void **state)
{
    test_bench *b = *state;
    test_bytes object = {0};
    test_put(&object, TEST_LITERAL(P "}(U\1w" TENSOR "(" STORAGE "K\0))" REST));
    repeat(&object,
           TEST_LITERAL("U\3k\ne"
                        "G\x3f\xb9\x99\x99\x99\x99\x99\x9a"),
           2000);
    test_put_text(&object, "u.");
    wt_file *file;
    assert_ok(b->ctx, open_object(b, &object, true, &file));
    assert_string_equal(wt_fact(file, 999), "k\\x0ae: 0.1");
    assert_null(wt_fact(file, 1000));
    assert_null(wt_fact(file, -1));
    wt_close(file);
    free(object.data);
}

/* Calls that would copy a long list or text each time. */
static void calls_do_not_multiply(void **state)
{
    test_bench *b = *state;
    test_bytes object = {0};
    test_put(&object, TEST_LITERAL(P "ccollections\nOrderedDict\nq\0]q\1("));
    repeat(&object, TEST_LITERAL("NN\x86"), 50000);
    test_put(&object, TEST_LITERAL("e\x85q\2"));
    repeat(&object, TEST_LITERAL("h\0h\2R"), 100000);
    test_put_text(&object, ".");
    assert_int_equal(open_object(b, &object, true, NULL), TN_FORMAT);
    assert_non_null(strstr(tn_error(b->ctx), "unfolds into more items"));
    object.size = 0;
    test_put(&object, TEST_LITERAL(P "c_codecs\nencode\nq\0X\0\0\x10\0"));
    repeat(&object, "x", 1, 1 << 20);
    test_put(&object, TEST_LITERAL("U\6latin1\x86q\1"));
    repeat(&object, TEST_LITERAL("h\0h\1R"), 100000);
    test_put_text(&object, ".");
    assert_int_equal(open_object(b, &object, true, NULL), TN_FORMAT);
    free(object.data);
}

/* Tensors that share memory are written one by one: a small file must not become a large one. */
static void sharing_is_bounded(void **state)
{
    test_bench *b = *state;
    for (int count = 10; count <= 40; count += 30) {
        test_bytes object = {0}, storage = {0}, bytes = {0};
        test_put(&object, TEST_LITERAL(P "}("));
        for (int i = 0; i < count; i++) {
            char name[] = "U\2??";
            name[2] = (char)('a' + i / 26);
            name[3] = (char)('a' + i % 26);
            test_put(&object, name, 4);
            test_put(&object,
                     TEST_LITERAL(TENSOR "((U\7storage" FLOATS "U\1kU\3cpuM\0@NtQK\0M\0@\x85K\1\x85" REST));
        }
        test_put_text(&object, "u.");
        test_put_int(&storage, 0x4000, 8);
        repeat(&storage, "\0\0\0\0", 4, 0x4000);
        legacy(&bytes, object.data, object.size, TEST_LITERAL(KEYS), storage.data, storage.size);
        wt_file *file;
        assert_int_equal(test_bench_bytes(b, &bytes, &file), count <= 16 ? TN_OK : TN_UNSUPPORTED);
        wt_close(file);
        free(object.data);
        free(storage.data);
        free(bytes.data);
    }
}

static void what_comes_before_the_object_is_checked(void **state)
{
    static const struct {
        size_t at;          /* of the byte that is changed */
        unsigned char byte; /* to this */
        const char *message;
    } cases[] = {
        {1, 3, "magic number at offset 1: expected byte 0x02, got 0x03"},
        {14, 0, "magic number at offset 14"},
        {18, 0xea, "protocol version at offset 15: it is not 1001"},
        {39, 0x89, "system information at offset 21: it does not say little_endian: True"},
        {26, 'X', "system information at offset 21: it does not say little_endian: True"},
        {0, 0x81, "beginning at offset 0: neither safetensors nor"},
    };
    test_bench *b = *state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        test_bytes bytes = {0};
        wt_file *file;
        legacy(&bytes, TEST_LITERAL(GOOD), TEST_LITERAL(KEYS), TEST_LITERAL(FOUR));
        bytes.data[cases[i].at] = cases[i].byte;
        assert_int_not_equal(test_bench_bytes(b, &bytes, &file), TN_OK);
        if (!strstr(tn_error(b->ctx), cases[i].message))
            fail_msg("%s", tn_error(b->ctx));
        free(bytes.data);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_known_globals_pass),
        cmocka_unit_test(other_opcodes_and_protocols_are_refused),
        cmocka_unit_test(stack_and_memo_are_bounded),
        cmocka_unit_test(tensors_lie_inside_their_storages),
        cmocka_unit_test(storages_are_what_the_object_says),
        cmocka_unit_test(the_object_holds_a_state_dict),
        cmocka_unit_test(nesting_is_bounded),
        cmocka_unit_test(shared_values_are_visited_once),
        cmocka_unit_test(size_is_bounded),
        cmocka_unit_test(tensors_are_bounded),
        cmocka_unit_test(facts_are_bounded),
        cmocka_unit_test(calls_do_not_multiply),
        cmocka_unit_test(sharing_is_bounded),
        cmocka_unit_test(what_comes_before_the_object_is_checked),
    };
    return cmocka_run_group_tests(tests, test_bench_open, test_bench_close);
}
