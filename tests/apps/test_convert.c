/* bin/convert and weights/fetch as a user calls them. */
#include "tests/common/files.h"
#include "weights/weights.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define GOLDEN "tests/golden/convert/"

typedef struct place {
    char *dir;       /* to write in */
    const char *bin; /* where convert is */
} place;

static int set_up(void **state)
{
    place *p = calloc(1, sizeof *p);
    p->dir = test_make_dir();
    p->bin = getenv("VALENCE_BIN") ? getenv("VALENCE_BIN") : "bin";
    *state = p;
    return 0;
}

static int tear_down(void **state)
{
    place *p = *state;
    test_remove_dir(p->dir);
    free(p);
    return 0;
}

/* Runs "convert ARGUMENTS", in which %s stands for the folder to write in, and asserts the exit status and
 * what is in the two outputs. "" means that the output is empty. */
static void expect(void **state, const char *arguments, int status, const char *in_out, const char *in_err)
{
    const place *p = *state;
    char *out, *err, *command = test_text("cd . && D='%s' && %s/convert %s", p->dir, p->bin, arguments);
    int got = test_run(&out, &err, "%s", command);
    bool fits = (*in_out ? strstr(out, in_out) != NULL : *out == '\0') &&
                (*in_err ? strstr(err, in_err) != NULL : *err == '\0');
    if (got != status || !fits)
        fail_msg("convert %s: status %d\n%s%s", arguments, got, out, err);
    /* A failure is told on one line. */
    if (status == 1)
        assert_ptr_equal(strchr(err, '\n'), err + strlen(err) - 1);
    free(command);
    free(out);
    free(err);
}

/* Asserts that a converted file has the tensors that the checkpoint has, floats as floats. */
static void assert_same(const char *path, const char *converted)
{
    tn_ctx *ctx = test_ctx(1, NULL);
    wt_file *want, *got;
    assert_ok(ctx, wt_open(ctx, path, &want));
    assert_ok(ctx, wt_open(ctx, converted, &got));
    assert_int_equal(wt_count(got), wt_count(want));
    for (int i = 0; i < wt_count(want); i++) {
        const wt_entry *w = wt_at(want, i), *g = wt_find(got, w->name);
        float a[64], b[64];
        assert_non_null(g);
        assert_int_equal(g->dtype, wt_dtype_is_float(w->dtype) ? WT_F32 : w->dtype);
        assert_int_equal(g->rank, w->rank);
        assert_memory_equal(g->size, w->size, (size_t)w->rank * sizeof *w->size);
        assert_true(w->count <= 64);
        assert_ok(ctx, wt_read(ctx, want, w, a, w->count));
        assert_ok(ctx, wt_read(ctx, got, g, b, g->count));
        assert_memory_equal(a, b, w->count * sizeof *a);
    }
    wt_close(got);
    wt_close(want);
    tn_ctx_destroy(ctx);
}

static void every_kind_becomes_safetensors_and_npy(void **state)
{
    const place *p = *state;
    static const char *const files[] = {
        "small-legacy.pth",  "small-zip.pth", "python2-legacy.pth", "bare-zip.pth",
        "tensor-legacy.pth", "version2.npy",  "arrays.npz",         "arrays",
        "hand.safetensors"};
    char *one = test_text("%s/one.safetensors", p->dir), *folder = test_text("%s/folder/", p->dir);
    char *back = test_text("%s/back.safetensors", p->dir);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char *path = test_text(GOLDEN "%s", files[i]);
        char *to_one = test_text("%s $D/one.safetensors", path),
             *to_folder = test_text("%s $D/folder/", path);
        expect(state, to_one, 0, "one.safetensors: ", "");
        assert_same(path, one);
        expect(state, to_folder, 0, "folder/: ", "");
        assert_same(path, folder);
        expect(state, "--quiet $D/folder $D/back.safetensors", 0, "", "");
        assert_same(path, back);
        assert_int_equal(test_run(NULL, NULL, "rm -r '%s'", folder), 0);
        free(to_folder);
        free(to_one);
        free(path);
    }
    free(back);
    free(folder);
    free(one);
}

static void metadata_is_kept_and_bytes_are_stable(void **state)
{
    const place *p = *state;
    expect(state, GOLDEN "hand.safetensors $D/a.safetensors", 0, "4 tensors", "");
    expect(state, "--list $D/a.safetensors", 0, "# format: pt\n", "");
    expect(state, "$D/a.safetensors $D/b.safetensors", 0, "4 tensors", "");
    assert_int_equal(test_run(NULL, NULL, "cmp %s/a.safetensors %s/b.safetensors", p->dir, p->dir), 0);
    /* Onto itself, and over an old file. */
    expect(state, "$D/a.safetensors $D/a.safetensors", 0, "4 tensors", "");
    assert_int_equal(test_run(NULL, NULL, "cmp %s/a.safetensors %s/b.safetensors", p->dir, p->dir), 0);
    expect(state, GOLDEN "bare-zip.pth $D/a.safetensors", 0, "7 tensors", "");
    expect(state, "--list $D/a.safetensors", 0, "1.running_var\tF32\t(3,)\n", "");
}

static void list_shows_what_is_there(void **state)
{
    expect(
        state, "--list " GOLDEN "small-legacy.pth", 0,
        "# PyTorch legacy, 21 tensors, 187 elements\n# epoch: 42\n# arch: \"resnet3d50\"\n# best_prec1: 58.25\n",
        "");
    expect(state, "--list " GOLDEN "small-zip.pth", 0,
           "# optimizer: skipped, 2 tensors\nplain\tF32\t(2, 3)\n", "");
    expect(state, "--list " GOLDEN "small-zip.pth", 0, "\nnum_batches_tracked\tI64\t()\n", "");
    expect(state, "--list " GOLDEN "small-zip.pth", 0, "\nhalf\tF16\t(9,)\n", "");
    expect(state, GOLDEN "arrays --list", 0, "# folder of NPY files, 8 tensors, 51 elements\n", "");
    expect(state, "--list -- " GOLDEN "hand.safetensors", 0, "\nb/name\tI64\t()\n", "");
    expect(state, "--list " GOLDEN "hand.safetensors >/dev/full", 1, "", "standard output: No space left");
}

static void prefixes_go(void **state)
{
    expect(state, "--list --prefix inner. " GOLDEN "small-zip.pth", 0, "\nmodule.weight\tF32\t(1,)\nbare\t",
           "");
    expect(state, "--prefix inner.module. " GOLDEN "small-zip.pth $D/p.safetensors", 0, "21 tensors", "");
    expect(state, "--list $D/p.safetensors", 0, "\nweight\tF32\t(1,)\n", "");
    expect(state, "--prefix module. --list " GOLDEN "small-zip.pth", 1, "",
           "no name begins with the prefix \"module.\"");
    expect(state, "--prefix nothing --list " GOLDEN "small-zip.pth", 1, "",
           "no name begins with the prefix \"nothing\"");
    /* What is left has to be a name, and one that no other has. */
    expect(state, "--prefix plain " GOLDEN "small-zip.pth $D/q.safetensors", 1, "",
           "a tensor's name is empty");
    expect(state, "--prefix 0. " GOLDEN "bare-zip.pth $D/q.safetensors", 0, "7 tensors", "");
    expect(state, "--prefix 1. $D/q.safetensors $D/r.safetensors", 1, "", "the name bias is there twice");
    expect(state, "--prefix 1. $D/q.safetensors $D/rr/", 1, "", "the name bias is there twice");
    expect(state, "--list $D/r.safetensors", 1, "", "No such file");
}

static void wrong_usage_exits_with_2(void **state)
{
    static const char *const wrong[] = {
        "",         "one",     "one two.safetensors three", "--list", "--list one two", "--nonsense",
        "--prefix", "one two", "one .safetensors",          "one ''"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        expect(state, wrong[i], 2, "", "Try 'convert --help'.\n");
    expect(state, "--nonsense", 2, "", "convert: unrecognized option '--nonsense'. Try");
    expect(state, "one two", 2, "", "convert: two: OUT is a name that ends in .safetensors, or a folder");
    expect(state, "'' two.safetensors", 2, "", "convert: an argument is empty,");
    expect(state, "--list ''", 2, "", "convert: an argument is empty,");
    expect(state, "--help", 0, "Usage: convert ", "");
    expect(state, "--version", 0, "convert (valence) ", "");
}

/* A file in the folder with these bytes. */
static void put_file(void **state, const char *name, const void *data, size_t size)
{
    char *path = test_text("%s/%s", ((place *)*state)->dir, name);
    test_write_file(path, data, size);
    free(path);
}

static void bad_input_exits_with_1(void **state)
{
    size_t size;
    unsigned char *data = test_read_file(GOLDEN "small-legacy.pth", &size);
    put_file(state, "empty", "", 0);
    put_file(state, "text.safetensors", "hello, world\n", 13);
    put_file(state, "cut.pth", data, size - 1);
    free(data);
    assert_int_equal(test_run(NULL, NULL, "mkdir %s/hollow", ((place *)*state)->dir), 0);
    expect(state, "$D/missing $D/out.safetensors", 1, "",
           "/missing: cannot open: No such file or directory\n");
    expect(state, "$D/empty $D/out.safetensors", 1, "", "/empty: beginning at offset 0: the file is empty\n");
    expect(state, "--list $D/text.safetensors", 1, "",
           "neither safetensors nor a PyTorch checkpoint nor NPY");
    expect(state, "$D/cut.pth $D/out.safetensors", 1, "", "/cut.pth: storages at offset ");
    expect(state, "$D/hollow $D/out.safetensors", 1, "", "/hollow: a folder without .npy files\n");
    expect(state, "/dev/null $D/out.safetensors", 1, "", "neither a regular file nor a folder\n");
    expect(state, GOLDEN "small-zip.pth $D/no/such/out.safetensors", 1, "",
           "cannot create: No such file or directory\n");
    expect(state, GOLDEN "small-zip.pth $D/empty/", 1, "", "cannot make the folder");
    expect(state, GOLDEN "small-zip.pth /proc/out.safetensors", 1, "",
           "/proc/out.safetensors: cannot create: ");
    expect(state, "--list $D/out.safetensors", 1, "", "No such file");
}

static void failures_leave_nothing(void **state)
{
    const place *p = *state;
    char *sub = test_text("%s/sub", p->dir), *path = test_text("%s/sub/out.safetensors", p->dir), *err;
    assert_int_equal(test_run(NULL, NULL, "mkdir %s", sub), 0);
    /* Blocks of 512 bytes: room for nothing, for half of the header, and for some of the payload. */
    for (int blocks = 0; blocks < 6; blocks += 2) {
        /* The limit holds for our temporary outputs too, so that they go through a pipe. */
        test_run(NULL, &err,
                 "(ulimit -f %d; %s/convert --quiet " GOLDEN
                 "small-zip.pth %s; echo status $?) 2>&1 | cat >&2",
                 blocks, p->bin, path);
        assert_non_null(strstr(err, "out.safetensors: cannot write: File too large\nstatus 1\n"));
        assert_int_equal(test_count_files(sub), 0);
        free(err);
    }
    free(path);
    free(sub);
}

static void fetch_converts_or_says_what_to_do(void **state)
{
    const place *p = *state;
    char *out, *err, *files = test_text("%s/fetched", p->dir);
    assert_int_equal(
        test_run(NULL, NULL, "mkdir %s && cp " GOLDEN "small-legacy.pth %s/small.pth.tar", files, p->dir), 0);
    /* No such host: one line with the reason and the way round, and no leftovers. */
    int status = test_run(&out, &err, "MOMENTS_URL=http://127.0.0.1:9 weights/fetch %s/convert small %s",
                          p->bin, files);
    assert_int_equal(status, 1);
    assert_ptr_equal(strchr(err, '\n'), err + strlen(err) - 1);
    assert_non_null(strstr(err, "by hand: get http://127.0.0.1:9/small.pth.tar"));
    assert_int_equal(test_count_files(files), 0);
    free(out);
    free(err);
    if (test_run(NULL, NULL, "command -v curl") == 0) { /* wget has no file: URLs */
        status = test_run(&out, &err, "MOMENTS_URL=file://%s weights/fetch %s/convert small %s", p->dir,
                          p->bin, files);
        assert_string_equal(err, "");
        assert_int_equal(status, 0);
        assert_int_equal(test_count_files(files), 1);
        free(out);
        free(err);
        char *converted = test_text("%s/small.safetensors", files);
        assert_same(GOLDEN "small-legacy.pth", converted);
        free(converted);
        /* There already: nothing is fetched. */
        assert_int_equal(
            test_run(&out, &err, "MOMENTS_URL=file:///no weights/fetch %s/convert small %s", p->bin, files),
            0);
        free(out);
        free(err);
        /* A page instead of a checkpoint. */
        assert_int_equal(test_run(NULL, NULL, "echo '<html>' > %s/page.pth.tar", p->dir), 0);
        status = test_run(&out, &err, "MOMENTS_URL=file://%s weights/fetch %s/convert page %s", p->dir,
                          p->bin, files);
        assert_int_equal(status, 1);
        assert_non_null(strstr(err, "the download is no checkpoint"));
        assert_int_equal(test_count_files(files), 1);
        free(out);
        free(err);
    }
    free(files);
}

static void valgrind_finds_nothing(void **state)
{
    const place *p = *state;
    if (test_quick() || test_run(NULL, NULL, "command -v valgrind") != 0)
        skip();
    /* Older valgrinds give up on the debug information of newer compilers. */
    if (test_run(NULL, NULL, "VALENCE_ISA=generic valgrind -q %s/convert --version", p->bin) != 0) {
        printf("skip: valgrind does not run %s/convert\n", p->bin);
        skip();
    }
    static const char *const calls[] = {
        GOLDEN "small-legacy.pth $D/v.safetensors",
        GOLDEN "small-zip.pth $D/v/",
        "$D/v $D/v.safetensors",
        "--list " GOLDEN "arrays.npz",
        GOLDEN "full.txt $D/v.safetensors",
    };
    for (int i = 0; i < 5; i++) {
        char *out, *err;
        int status =
            test_run(&out, &err,
                     "D='%s' && VALENCE_ISA=generic valgrind -q --error-exitcode=99 --leak-check=full "
                     "--show-leak-kinds=definite,indirect,possible %s/convert %s",
                     p->dir, p->bin, calls[i]);
        if (status != (i == 4))
            fail_msg("%s: status %d\n%s", calls[i], status, err);
        free(out);
        free(err);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_becomes_safetensors_and_npy),
        cmocka_unit_test(metadata_is_kept_and_bytes_are_stable),
        cmocka_unit_test(list_shows_what_is_there),
        cmocka_unit_test(prefixes_go),
        cmocka_unit_test(wrong_usage_exits_with_2),
        cmocka_unit_test(bad_input_exits_with_1),
        cmocka_unit_test(failures_leave_nothing),
        cmocka_unit_test(fetch_converts_or_says_what_to_do),
        cmocka_unit_test(valgrind_finds_nothing),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
