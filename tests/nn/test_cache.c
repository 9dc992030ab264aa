/* The cache of features: what was added is found again, whatever happened to the file in between. */
#include "tests/common/files.h"
#include "tests/common/memory.h"
#include "tests/common/testing.h"

#include "nn/nn.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum { WIDTH = 5, HEADER = 16, RECORD = 8 + WIDTH * 4 + 8, RECORDS = 3 };

static struct {
    tn_ctx *ctx;
    char *dir, *path;
} all;

static int set_up(void **state)
{
    (void)state;
    all.ctx = test_ctx(1, NULL);
    all.dir = test_make_dir();
    all.path = test_text("%s/features.cache", all.dir);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    free(all.path);
    test_remove_dir(all.dir);
    tn_ctx_destroy(all.ctx);
    return 0;
}

static const float *row(uint64_t key)
{
    static float values[WIDTH];
    tn_fill_uniform(values, WIDTH, 1, key, -1, 1);
    return values;
}

static bool holds(nn_cache *cache, uint64_t key)
{
    float found[WIDTH + 1] = {[WIDTH] = 7};
    if (!nn_cache_has(cache, key)) {
        assert_status(all.ctx, nn_cache_read(cache, key, found), TN_RANGE);
        tn_clear_error(all.ctx);
        return false;
    }
    assert_ok(all.ctx, nn_cache_read(cache, key, found));
    assert_memory_equal(found, row(key), WIDTH * sizeof(float));
    assert_true(found[WIDTH] > 6);
    return true;
}

static nn_cache *open_cache(void)
{
    nn_cache *cache = NULL;
    assert_ok(all.ctx, nn_cache_open(all.ctx, all.path, WIDTH, &cache));
    return cache;
}

/* A new file with the keys 1 to `count`. */
static void write_cache(int count)
{
    unlink(all.path);
    nn_cache *cache = open_cache();
    for (int i = 1; i <= count; i++)
        assert_ok(all.ctx, nn_cache_add(cache, (uint64_t)i, row((uint64_t)i)));
    assert_ok(all.ctx, nn_cache_close(cache));
}

static void fnv_is_fnv(void **state)
{
    (void)state;
    assert_true(nn_hash(NN_HASH_BEGIN, "", 0) == NN_HASH_BEGIN);
    assert_true(nn_hash(NN_HASH_BEGIN, "foobar", 6) == UINT64_C(0x85944171f73967e8)); /* of the FNV page */
    assert_true(nn_hash(nn_hash(NN_HASH_BEGIN, "foo", 3), "bar", 3) == nn_hash(NN_HASH_BEGIN, "foobar", 6));
}

static void many_records_are_found_again(void **state)
{
    (void)state;
    enum { MANY = 1000 };
    unlink(all.path);
    for (int round = 0; round < 2; round++) {
        nn_cache *cache = open_cache();
        assert_int_equal(nn_cache_count(cache), round * MANY);
        /* Keys that differ in their upper bits only, too. */
        for (int i = 0; i < MANY; i++) {
            const uint64_t key = i % 2 ? (uint64_t)i : (uint64_t)i << 40;
            assert_true(holds(cache, key) == (round == 1));
            assert_ok(all.ctx, nn_cache_add(cache, key, row(key)));
            assert_true(holds(cache, key));
        }
        assert_int_equal(nn_cache_count(cache), MANY);
        assert_false(holds(cache, 12345678));
        assert_ok(all.ctx, nn_cache_close(cache));
    }
    size_t size;
    free(test_read_file(all.path, &size));
    assert_int_equal(size, HEADER + MANY * RECORD);
}

/* Of many records only where they are is in memory, while they are added and afterwards. */
static void values_stay_in_the_file(void **state)
{
    (void)state;
    enum { WIDE = 2048, MANY = 500 };
    test_memory memory;
    test_memory_init(&memory);
    tn_ctx *ctx = test_memory_ctx(&memory);
    const size_t before = memory.bytes;
    static float values[WIDE], back[WIDE];
    unlink(all.path);
    for (int round = 0; round < 2; round++) {
        nn_cache *cache;
        assert_ok(ctx, nn_cache_open(ctx, all.path, WIDE, &cache));
        for (uint64_t key = 0; key < MANY; key++) {
            tn_fill_uniform(values, WIDE, 1, key, -1, 1);
            assert_ok(ctx, nn_cache_add(cache, key, values));
        }
        for (uint64_t key = MANY; key-- > 0;) {
            tn_fill_uniform(values, WIDE, 1, key, -1, 1);
            assert_ok(ctx, nn_cache_read(cache, key, back));
            assert_memory_equal(back, values, sizeof values);
        }
        assert_ok(ctx, nn_cache_close(cache));
        assert_int_equal(memory.bytes, before);
    }
    assert_true(memory.peak - before < 4 * sizeof values + 100 * MANY);
    tn_ctx_destroy(ctx);
}

/* The file is changed by another hand while it is open. */
static void a_record_that_changes_is_told(void **state)
{
    (void)state;
    write_cache(RECORDS);
    nn_cache *cache = open_cache();
    FILE *f = fopen(all.path, "r+b");
    assert_non_null(f);
    fseek(f, HEADER + RECORD + 8, SEEK_SET);
    fputc(99, f);
    fclose(f);
    float values[WIDTH];
    assert_true(holds(cache, 1) && holds(cache, 3));
    assert_status(all.ctx, nn_cache_read(cache, 2, values), TN_FORMAT);
    assert_non_null(strstr(tn_error(all.ctx), "changed while the file was open"));
    tn_clear_error(all.ctx);
    assert_int_equal(truncate(all.path, HEADER + 2 * RECORD), 0);
    assert_status(all.ctx, nn_cache_read(cache, 3, values), TN_FORMAT);
    tn_clear_error(all.ctx);
    assert_ok(all.ctx, nn_cache_close(cache));
}

static void a_file_cut_anywhere_keeps_whole_records(void **state)
{
    (void)state;
    write_cache(RECORDS);
    size_t size;
    unsigned char *bytes = test_read_file(all.path, &size);
    for (size_t cut = 0; cut < size; cut++) {
        test_write_file(all.path, bytes, cut);
        nn_cache *cache = open_cache();
        const size_t whole = cut < HEADER ? 0 : (cut - HEADER) / RECORD;
        assert_int_equal(nn_cache_count(cache), whole);
        for (uint64_t key = 1; key <= RECORDS; key++) {
            assert_true(holds(cache, key) == (key <= whole));
            assert_ok(all.ctx, nn_cache_add(cache, key, row(key)));
        }
        assert_ok(all.ctx, nn_cache_close(cache));
        size_t again;
        unsigned char *healed = test_read_file(all.path, &again);
        assert_int_equal(again, size);
        assert_memory_equal(healed, bytes, size);
        free(healed);
    }
    free(bytes);
}

static void a_damaged_record_hides_itself_only(void **state)
{
    (void)state;
    write_cache(RECORDS);
    size_t size;
    unsigned char *bytes = test_read_file(all.path, &size);
    for (size_t bit = HEADER * 8; bit < size * 8; bit++) {
        bytes[bit / 8] ^= (unsigned char)(1 << bit % 8);
        test_write_file(all.path, bytes, size);
        bytes[bit / 8] ^= (unsigned char)(1 << bit % 8);
        nn_cache *cache = open_cache();
        const uint64_t hidden = (bit / 8 - HEADER) / RECORD + 1;
        for (uint64_t key = 1; key <= RECORDS; key++)
            assert_true(holds(cache, key) == (key != hidden));
        assert_ok(all.ctx, nn_cache_add(cache, hidden, row(hidden)));
        assert_true(holds(cache, hidden));
        assert_ok(all.ctx, nn_cache_close(cache));
    }
    free(bytes);
}

static void refuse(tn_status status, int width, const char *text)
{
    nn_cache *cache = NULL;
    assert_status(all.ctx, nn_cache_open(all.ctx, all.path, width, &cache), status);
    assert_null(cache);
    assert_non_null(strstr(tn_error(all.ctx), all.path));
    assert_non_null(strstr(tn_error(all.ctx), text));
    tn_clear_error(all.ctx);
}

static void what_is_no_cache_of_this_width_is_refused(void **state)
{
    (void)state;
    write_cache(1);
    refuse(TN_FORMAT, WIDTH + 1, "expected 6");
    refuse(TN_RANGE, 0, "0 features");
    unsigned char header[HEADER] = "VLNCACHE";
    header[8] = 9;
    test_write_file(all.path, header, sizeof header);
    refuse(TN_FORMAT, WIDTH, "version 9");
    test_write_file(all.path, "some text that is longer than a header", 38);
    refuse(TN_FORMAT, WIDTH, "not a cache");
    test_write_file(all.path, "text", 4);
    refuse(TN_FORMAT, WIDTH, "not a cache");
    size_t size;
    unsigned char *kept = test_read_file(all.path, &size); /* and left alone */
    assert_int_equal(size, 4);
    free(kept);
    char *path = all.path;
    all.path = all.dir;
    refuse(TN_IO, WIDTH, "cannot open");
    all.path = test_text("%s/none/features.cache", all.dir);
    refuse(TN_IO, WIDTH, "No such file");
    free(all.path);
    all.path = path;
}

static void one_process_at_a_time(void **state)
{
    (void)state;
    write_cache(1);
    nn_cache *cache = open_cache();
    refuse(TN_IO, WIDTH, "another process");
    assert_ok(all.ctx, nn_cache_close(cache));
    assert_ok(all.ctx, nn_cache_close(open_cache()));
}

static void a_full_disk_loses_nothing(void **state)
{
    (void)state;
    write_cache(1);
    nn_cache *cache = open_cache();
    struct rlimit old, limit;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    limit = old;
    limit.rlim_cur = HEADER + RECORD + RECORD / 2;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    const tn_status status = nn_cache_add(cache, 2, row(2));
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    assert_int_equal(status, TN_IO);
    assert_non_null(strstr(tn_error(all.ctx), all.path));
    tn_clear_error(all.ctx);
    assert_false(holds(cache, 2));
    size_t size;
    free(test_read_file(all.path, &size));
    assert_int_equal(size, HEADER + RECORD);
    assert_ok(all.ctx, nn_cache_add(cache, 2, row(2)));
    assert_ok(all.ctx, nn_cache_close(cache));
    cache = open_cache();
    assert_true(holds(cache, 1) && holds(cache, 2));
    assert_ok(all.ctx, nn_cache_close(cache));
}

static void memory_that_runs_out_is_an_error(void **state)
{
    (void)state;
    write_cache(RECORDS);
    bool done = false;
    for (long call = 1; !done; call++) {
        test_memory memory;
        test_memory_init(&memory);
        tn_ctx *ctx = test_memory_ctx(&memory);
        const long before = memory.blocks;
        memory.fail_at = memory.calls + call;
        nn_cache *cache = NULL;
        tn_status status = nn_cache_open(ctx, all.path, WIDTH, &cache);
        if (status == TN_OK)
            status = nn_cache_add(cache, 99, row(99));
        done = status == TN_OK;
        if (!done)
            assert_int_equal(status, TN_NOMEM);
        assert_int_equal(nn_cache_close(cache), TN_OK);
        assert_int_equal(memory.blocks, before);
        tn_ctx_destroy(ctx);
    }
    nn_cache *cache = open_cache();
    assert_int_equal(nn_cache_count(cache), RECORDS + 1);
    assert_ok(all.ctx, nn_cache_close(cache));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fnv_is_fnv),
        cmocka_unit_test(many_records_are_found_again),
        cmocka_unit_test(values_stay_in_the_file),
        cmocka_unit_test(a_record_that_changes_is_told),
        cmocka_unit_test(a_file_cut_anywhere_keeps_whole_records),
        cmocka_unit_test(a_damaged_record_hides_itself_only),
        cmocka_unit_test(what_is_no_cache_of_this_width_is_refused),
        cmocka_unit_test(one_process_at_a_time),
        cmocka_unit_test(a_full_disk_loses_nothing),
        cmocka_unit_test(memory_that_runs_out_is_an_error),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
