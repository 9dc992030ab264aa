/* The Moments in Time release's 3D ResNet-50 at full size, as PyTorch writes it in both forms. The files are
 * put together from what PyTorch wrote around the weights (tests/golden/convert/full-*.skeleton) and from
 * weights that test and writer draw from the same generator; their checksum is the one of PyTorch's own file.
 */
#include "tests/common/files.h"
#include "weights/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define GOLDEN "tests/golden/convert/"

/* ---- drawing ----------------------------------------------------------------------------------------- */

typedef struct drawn {
    char name[256]; /* of the stream */
    float *values;  /* uniform in [-1, 1) */
    size_t count;   /* of values */
} drawn;

/* What both files are made of, drawn once. */
typedef struct pool {
    drawn *items; /* in the order of first use */
    int count;    /* of items */
} pool;

static const drawn *draw(pool *p, const char *name, size_t count)
{
    for (int i = 0; i < p->count; i++) {
        if (strcmp(p->items[i].name, name) == 0) {
            assert_int_equal(p->items[i].count, count);
            return &p->items[i];
        }
    }
    p->items = realloc(p->items, (size_t)(p->count + 1) * sizeof *p->items);
    assert_non_null(p->items);
    drawn *d = &p->items[p->count++];
    snprintf(d->name, sizeof d->name, "%s", name);
    d->count = count;
    d->values = malloc(count * sizeof *d->values);
    assert_non_null(d->values);
    tn_fill_uniform(d->values, count, 1, tn_hash(name), -1.0f, 1.0f);
    return d;
}

static int make_pool(void **state)
{
    *state = calloc(1, sizeof(pool));
    return *state ? 0 : -1;
}

static int free_pool(void **state)
{
    pool *p = *state;
    for (int i = 0; i < p->count; i++)
        free(p->items[i].values);
    free(p->items);
    free(p);
    return 0;
}

/* ---- putting together -------------------------------------------------------------------------------- */

typedef struct reader {
    const unsigned char *at, *end; /* of the skeleton */
} reader;

static uint64_t take(reader *r, size_t bytes)
{
    uint64_t value = 0;
    assert_true((size_t)(r->end - r->at) >= bytes);
    memcpy(&value, r->at, bytes);
    r->at += bytes;
    return value;
}

/* One run: 0 bytes as they are, 1 the values of a name, 2 one byte again and again. */
static void put_run(reader *r, pool *p, FILE *out)
{
    uint64_t kind = take(r, 1);
    if (kind == 0) {
        size_t n = take(r, 4);
        assert_true((size_t)(r->end - r->at) >= n);
        assert_int_equal(fwrite(r->at, 1, n, out), n);
        r->at += n;
    } else if (kind == 1) {
        char name[256] = "";
        size_t bytes = take(r, 1), count = take(r, 8);
        for (size_t i = 0; i < bytes; i++)
            name[i] = (char)take(r, 1);
        assert_int_equal(fwrite(draw(p, name, count)->values, sizeof(float), count, out), count);
    } else {
        assert_int_equal(kind, 2);
        int byte = (int)take(r, 1);
        for (size_t n = take(r, 4); n > 0; n--)
            fputc(byte, out);
    }
}

/* Writes the file and checks that it is the one that PyTorch wrote. */
static void put_together(pool *p, const char *skeleton, const char *path)
{
    size_t size;
    unsigned char *data = test_read_file(skeleton, &size);
    reader r = {data, data + size};
    uint64_t bytes = take(&r, 8), crc = take(&r, 4), runs = take(&r, 4);
    FILE *out = fopen(path, "wb");
    assert_non_null(out);
    for (uint64_t i = 0; i < runs; i++)
        put_run(&r, p, out);
    assert_int_equal(fclose(out), 0);
    assert_ptr_equal(r.at, r.end);
    free(data);
    data = test_read_file(path, &size);
    assert_int_equal(size, bytes);
    assert_int_equal(wt_crc32(data, size), crc);
    free(data);
}

/* ---- checking ---------------------------------------------------------------------------------------- */

/* Each of the golden lines: a fact, or name, type, shape and where it is an integer its value. `entries`
 * counts. */
static void check_line(tn_ctx *ctx, const wt_file *file, pool *p, char *line, int *entries, int *facts)
{
    if (*line == '#') {
        if (facts)
            assert_string_equal(wt_fact(file, (*facts)++), line + 2);
        return;
    }
    const char *name = strsep(&line, "\t"), *type = strsep(&line, "\t"), *shape = strsep(&line, "\t");
    const wt_entry *entry = wt_find(file, name);
    if (!entry)
        fail_msg("%s is not there", name);
    char own[100] = "";
    size_t used = 0;
    for (int i = 0; i < entry->rank; i++)
        used += (size_t)snprintf(own + used, sizeof own - used, i ? ",%d" : "%d", (int)entry->size[i]);
    assert_string_equal(own, shape);
    assert_string_equal(wt_dtype_name(entry->dtype), type);
    if (facts)
        assert_ptr_equal(wt_at(file, *entries), entry);
    (*entries)++;
    if (entry->dtype == WT_I64) {
        int64_t value;
        assert_ok(ctx, wt_copy(ctx, file, entry, &value, 1));
        assert_int_equal(value, atoll(line));
    } else {
        const drawn *d = draw(p, name, entry->count);
        const float *floats = wt_floats(entry);
        if (floats)
            assert_ptr_equal(floats, entry->data);
        assert_int_equal(memcmp(entry->data, d->values, d->count * sizeof(float)), 0);
    }
}

/* All 320 tensors bit for bit; order and facts too unless it is a converted file. */
static void check_file(tn_ctx *ctx, const char *path, pool *p, bool converted)
{
    wt_file *file;
    assert_ok(ctx, wt_open(ctx, path, &file));
    char *lines = (char *)test_read_file(GOLDEN "full.txt", NULL), *rest = lines;
    int entries = 0, facts = 0;
    for (char *line; (line = strsep(&rest, "\n")) && *line;)
        check_line(ctx, file, p, line, &entries, converted ? NULL : &facts);
    assert_int_equal(entries, 320);
    assert_int_equal(wt_count(file), 320);
    if (converted) {
        for (int i = 0; i < wt_count(file); i++)
            if (wt_at(file, i)->dtype == WT_F32)
                assert_non_null(wt_floats(wt_at(file, i)));
    } else {
        assert_null(wt_fact(file, facts));
        assert_ok(ctx, wt_verify(ctx, file));
    }
    wt_close(file);
    free(lines);
}

static void check_form(pool *p, const char *form)
{
    if (test_quick())
        skip();
    const char *bin = getenv("VALENCE_BIN");
    tn_ctx *ctx = test_ctx(1, NULL);
    char *dir = test_make_dir(), *skeleton = test_text(GOLDEN "full-%s.skeleton", form);
    char *path = test_text("%s/full.pth.tar", dir), *out = test_text("%s/full.safetensors", dir), *err;
    put_together(p, skeleton, path);
    check_file(ctx, path, p, false);
    int status = test_run(NULL, &err, "%s/convert --quiet %s %s", bin ? bin : "bin", path, out);
    assert_string_equal(err, "");
    assert_int_equal(status, 0);
    check_file(ctx, out, p, true);
    free(err);
    free(out);
    free(path);
    free(skeleton);
    test_remove_dir(dir);
    tn_ctx_destroy(ctx);
}

static void legacy_form(void **state)
{
    check_form(*state, "legacy");
}

static void zip_form(void **state)
{
    check_form(*state, "zip");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(legacy_form),
        cmocka_unit_test(zip_form),
    };
    return cmocka_run_group_tests(tests, make_pool, free_pool);
}
