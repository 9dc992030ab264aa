/* Files that are written whole or not at all, what cannot be opened, and lists of class names. */
#include "tests/common/hostile.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static void assert_file(const char *path, const char *text)
{
    char *got = (char *)test_read_file(path, NULL);
    assert_string_equal(got, text);
    free(got);
}

static void a_file_appears_at_the_end(void **state)
{
    test_bench *b = *state;
    wt_writer *writer;
    test_write_file(b->path, "old", 3);
    assert_ok(b->ctx, wt_create(b->ctx, b->path, &writer));
    assert_ok(b->ctx, wt_write(writer, "n", 1));
    assert_ok(b->ctx, wt_printf(writer, "%s %d", "ew", 7));
    assert_file(b->path, "old");
    assert_int_equal(test_count_files(b->dir), 2);
    assert_ok(b->ctx, wt_commit(writer));
    assert_file(b->path, "new 7");
    assert_int_equal(test_count_files(b->dir), 1);
    assert_ok(b->ctx, wt_create(b->ctx, b->path, &writer));
    assert_ok(b->ctx, wt_write(writer, "other", 5));
    wt_discard(writer);
    assert_file(b->path, "new 7");
    assert_int_equal(test_count_files(b->dir), 1);
    /* Two writers of one file: the last to commit stays. */
    wt_writer *second;
    assert_ok(b->ctx, wt_create(b->ctx, b->path, &writer));
    assert_ok(b->ctx, wt_create(b->ctx, b->path, &second));
    assert_ok(b->ctx, wt_write(writer, "first", 5));
    assert_ok(b->ctx, wt_write(second, "second", 6));
    assert_ok(b->ctx, wt_commit(second));
    assert_ok(b->ctx, wt_commit(writer));
    assert_file(b->path, "first");
    assert_int_equal(test_count_files(b->dir), 1);
    wt_discard(NULL);
}

/* The process may write `limit` bytes per file and no more. */
static void limit_files(rlim_t limit)
{
    struct rlimit l;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &l), 0);
    l.rlim_cur = limit;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &l), 0);
}

static void a_full_disk_leaves_the_old_file(void **state)
{
    test_bench *b = *state;
    static float values[5000];
    const wt_tensor tensor = {"a", WT_F32, 1, {5000}, values, NULL};
    test_write_file(b->path, "old", 3);
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    for (rlim_t limit = 0; limit < 20000; limit += 4096) {
        tn_clear_error(b->ctx);
        limit_files(limit);
        tn_status status = wt_save(b->ctx, b->path, &tensor, 1, NULL, 0);
        limit_files(RLIM_INFINITY);
        assert_int_equal(status, TN_IO);
        char *want = test_text("%s: cannot write: File too large", b->path);
        assert_string_equal(tn_error(b->ctx), want);
        free(want);
        assert_file(b->path, "old");
        assert_int_equal(test_count_files(b->dir), 1);
    }
    /* Text is held back in a buffer: the error comes when it is written out, and stays. */
    wt_writer *writer;
    tn_clear_error(b->ctx);
    limit_files(10);
    assert_ok(b->ctx, wt_create(b->ctx, b->path, &writer));
    assert_ok(b->ctx, wt_printf(writer, "%s", "more than ten bytes"));
    tn_status status = wt_commit(writer);
    limit_files(RLIM_INFINITY);
    signal(SIGXFSZ, handler);
    assert_int_equal(status, TN_IO);
    assert_file(b->path, "old");
    assert_int_equal(test_count_files(b->dir), 1);
}

static void places_that_cannot_be_written_are_named(void **state)
{
    test_bench *b = *state;
    wt_writer *writer;
    char *missing = test_text("%s/no/such/folder", b->dir);
    static const char *const others[] = {"/dev/null", "/"};
    tn_clear_error(b->ctx);
    assert_status(b->ctx, wt_create(b->ctx, missing, &writer), TN_IO);
    assert_null(writer);
    char *want = test_text("%s: cannot create: No such file or directory", missing);
    assert_string_equal(tn_error(b->ctx), want);
    for (int i = 0; i < 2; i++) {
        tn_clear_error(b->ctx);
        assert_status(b->ctx, wt_create(b->ctx, others[i], &writer), TN_IO);
        assert_non_null(strstr(tn_error(b->ctx), i ? "it is a folder" : "it is a device or pipe"));
    }
    tn_clear_error(b->ctx);
    assert_status(b->ctx, wt_create(b->ctx, b->dir, &writer), TN_IO);
    /* The folder goes away meanwhile. */
    char *dir = test_text("%s/gone", b->dir), *path = test_text("%s/gone/x", b->dir);
    assert_int_equal(mkdir(dir, 0777), 0);
    tn_clear_error(b->ctx);
    assert_ok(b->ctx, wt_create(b->ctx, path, &writer));
    assert_int_equal(test_run(NULL, NULL, "rm -r '%s'", dir), 0);
    assert_status(b->ctx, wt_commit(writer), TN_IO);
    assert_non_null(strstr(tn_error(b->ctx), "cannot rename its temporary file: No such file"));
    free(path);
    free(dir);
    free(want);
    free(missing);
}

static void what_is_no_file_is_not_opened(void **state)
{
    test_bench *b = *state;
    wt_file *file;
    char *path = test_text("%s/missing", b->dir), *pipe = test_text("%s/pipe", b->dir);
    tn_clear_error(b->ctx);
    assert_status(b->ctx, wt_open(b->ctx, path, &file), TN_IO);
    assert_non_null(strstr(tn_error(b->ctx), "missing: cannot open: No such file or directory"));
    assert_null(file);
    tn_clear_error(b->ctx);
    assert_int_equal(mkfifo(pipe, 0666), 0);
    assert_status(b->ctx, wt_open(b->ctx, pipe, &file), TN_IO); /* and does not wait */
    assert_non_null(strstr(tn_error(b->ctx), "neither a regular file nor a folder"));
    tn_clear_error(b->ctx);
    assert_status(b->ctx, wt_open(b->ctx, "/dev/null", &file), TN_IO);
    unlink(pipe);
    static const struct {
        const char *bytes;
        size_t size;
        tn_status status;
        const char *message;
    } cases[] = {
        {"", 0, TN_FORMAT, "beginning at offset 0: the file is empty"},
        {TEST_LITERAL("PK"), TN_FORMAT, "(first bytes 50 4b)"},
        {TEST_LITERAL("<!DOCTYPE html>"), TN_FORMAT, "NPY (first bytes 3c 21 44 4f 43 54 59 50)"},
        {TEST_LITERAL("RIFF\0\0\0\0WAVE"), TN_FORMAT, "neither safetensors nor a PyTorch checkpoint nor NPY"},
        {TEST_LITERAL("\x89HDF\r\n\x1a\n...."), TN_UNSUPPORTED, "an HDF5 file"},
        {TEST_LITERAL("\x80\2}q\0."), TN_FORMAT, "a pickle, but not one of torch.save()"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        test_bytes bytes = {0};
        test_put(&bytes, cases[i].bytes, cases[i].size);
        test_bench_expect(b, &bytes, cases[i].status, cases[i].message);
        free(bytes.data);
    }
    test_bytes tar = {0};
    char head[512] = "sys_info";
    memcpy(head + 257, "ustar  ", 7);
    test_put(&tar, head, sizeof head);
    test_bench_expect(b, &tar, TN_UNSUPPORTED, "a tar file, such as PyTorch 0.1.1 wrote");
    free(tar.data);
    free(pipe);
    free(path);
}

static void printable_text_is_one_safe_line(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t room;
        const char *want;
    } cases[] = {
        {"plain", 100, "plain"},
        {"", 100, ""},
        {"a\nb\x1b[2J\x7f\\", 100, "a\\x0ab\\x1b[2J\\x7f\\x5c"},
        {"\xc3\xbc\xff\xc2\x9b\xf0\x9f\x98\x80", 100, "\xc3\xbc\\xff\\xc2\\x9b\xf0\x9f\x98\x80"},
        {"abcdef", 7, "abcdef"},
        {"abcdefg", 7, "abc..."},
        {"\n\n", 9, "\\x0a\\x0a"},
        {"\n\n\n", 9, "\\x0a..."},
        {"abc", 1, ""},
        {"abc", 3, ".."},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *out = malloc(cases[i].room); /* of the exact size, for the sanitizer */
        assert_string_equal(wt_printable(cases[i].text, out, cases[i].room), cases[i].want);
        free(out);
    }
    wt_printable("abc", NULL, 0);
}

/* ---- class names ------------------------------------------------------------------------------------- */

static void labels_are_lines(void **state)
{
    test_bench *b = *state;
    wt_labels *labels;
    static const char text[] = "\xef\xbb\xbf"
                               "clapping\r\nplaying music \n\tr\xc3\xbc"
                               "hren\n \t\r\n\n";
    test_write_file(b->path, text, sizeof text - 1);
    assert_ok(b->ctx, wt_labels_read(b->ctx, b->path, &labels));
    assert_int_equal(labels->count, 3);
    assert_string_equal(labels->name[0], "clapping");
    assert_string_equal(labels->name[1], "playing music");
    assert_string_equal(labels->name[2], "r\xc3\xbchren");
    wt_labels_free(b->ctx, labels);
    static const struct {
        const char *text;
        size_t size;
        const char *message;
    } cases[] = {
        {"", 0, "x: beginning at offset 0: the file is empty"},
        {TEST_LITERAL("a\n\nb\n"), "x: line 2 at offset 2: no name"},
        {TEST_LITERAL("a\n \t\r\nb"), "x: line 2 at offset 2: no name"},
        {TEST_LITERAL("\xef\xbb\xbf\n"), "x: line 1 at offset 0: no name"},
        {TEST_LITERAL("\xef\xbb"), "x: line 1 at offset 0: not UTF-8"},
        {TEST_LITERAL(" \r\n\n"), "x: line 1 at offset 0: no name"},
        {TEST_LITERAL("\n"), "x: line 1 at offset 0: no name"},
        {TEST_LITERAL("a\nb\xff\n"), "x: line 2 at offset 2: not UTF-8"},
        {TEST_LITERAL("a\nb\0c\n"), "x: line 2 at offset 2: not UTF-8"},
        {TEST_LITERAL("a\nb\nc\nb\n"), "x: line 4: the name b is on line 2 too"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        test_write_file(b->path, cases[i].text, cases[i].size);
        tn_clear_error(b->ctx);
        long held = b->memory.blocks;
        assert_status(b->ctx, wt_labels_read(b->ctx, b->path, &labels), TN_FORMAT);
        assert_null(labels);
        assert_int_equal(b->memory.blocks, held);
        if (!strstr(tn_error(b->ctx), cases[i].message))
            fail_msg("%s, expected %s", tn_error(b->ctx), cases[i].message);
    }
    tn_clear_error(b->ctx);
    assert_status(b->ctx, wt_labels_read(b->ctx, b->dir, &labels), TN_IO);
    /* As many names as there may be, and one more. */
    for (int count = 65536; count <= 65537; count++) {
        test_bytes names = {0};
        for (int i = 0; i < count; i++) {
            char line[16];
            snprintf(line, sizeof line, "%d\n", i);
            test_put_text(&names, line);
        }
        test_write_file(b->path, names.data, names.size);
        tn_clear_error(b->ctx);
        tn_status status = wt_labels_read(b->ctx, b->path, &labels);
        assert_int_equal(status, count == 65536 ? TN_OK : TN_UNSUPPORTED);
        wt_labels_free(b->ctx, labels);
        free(names.data);
    }
}

static void the_lists_of_the_release_have_their_lengths(void **state)
{
    test_bench *b = *state;
    static const struct {
        const char *path, *first, *last;
        int count;
    } lists[] = {
        {"weights/labels/moments_v2.txt", "clapping", "typing", 305},
        {"weights/labels/multi_moments_v2.txt", "crafting", "jogging", 292},
    };
    for (int i = 0; i < 2; i++) {
        wt_labels *labels;
        assert_ok(b->ctx, wt_labels_read(b->ctx, lists[i].path, &labels));
        assert_int_equal(labels->count, lists[i].count);
        assert_string_equal(labels->name[0], lists[i].first);
        assert_string_equal(labels->name[labels->count - 1], lists[i].last);
        wt_labels_free(b->ctx, labels);
    }
}

static void labels_without_memory(void **state)
{
    test_bench *b = *state;
    wt_labels *labels;
    test_write_file(b->path, "a\nb\n", 4);
    long held = b->memory.blocks, call = 0;
    do {
        b->memory.calls = 0;
        b->memory.fail_at = ++call;
        tn_clear_error(b->ctx);
        tn_status status = wt_labels_read(b->ctx, b->path, &labels);
        assert_int_equal(status, b->memory.calls >= call ? TN_NOMEM : TN_OK);
        wt_labels_free(b->ctx, labels);
        assert_int_equal(b->memory.blocks, held);
    } while (b->memory.calls >= call);
    b->memory.fail_at = 0;
    assert_true(call > 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_appears_at_the_end),
        cmocka_unit_test(a_full_disk_leaves_the_old_file),
        cmocka_unit_test(places_that_cannot_be_written_are_named),
        cmocka_unit_test(what_is_no_file_is_not_opened),
        cmocka_unit_test(printable_text_is_one_safe_line),
        cmocka_unit_test(labels_are_lines),
        cmocka_unit_test(the_lists_of_the_release_have_their_lengths),
        cmocka_unit_test(labels_without_memory),
    };
    return cmocka_run_group_tests(tests, test_bench_open, test_bench_close);
}
