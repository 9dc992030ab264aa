/* Context, memory, random numbers, threads, views. */
#include "tests/common/testing.h"

#include <stdlib.h>
#include <string.h>

/* Known answers of Random123's kat_vectors for philox4x32-10. */
static void philox_known_answers(void **state)
{
    (void)state;
    static const struct {
        uint64_t key;
        uint32_t counter[4], want[4];
    } known[] = {
        {0, {0, 0, 0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {0xffffffffffffffffu,
         {0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
         {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {0x299f31d0a4093822u,
         {0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        uint32_t out[4];
        tn_philox(known[i].key, known[i].counter, out);
        assert_memory_equal(out, known[i].want, sizeof out);
    }
}

static void uniform_is_the_same_by_element_and_by_array(void **state)
{
    (void)state;
    float all[11];
    tn_fill_uniform(all, 11, 7, 9, -2.0f, 3.0f);
    for (uint64_t i = 0; i < 11; i++) {
        float u = tn_uniform(7, 9, i);
        assert_true(u >= 0.0f && u < 1.0f);
        assert_true(all[i] == -2.0f + 5.0f * u);
    }
}

static void count_task(void *arg, int64_t task, int thread)
{
    (void)thread;
    ((int *)arg)[task]++;
}

static void every_task_runs_once(void **state)
{
    (void)state;
    for (int threads = 1; threads <= 5; threads++) {
        tn_ctx *ctx = test_ctx(threads, NULL);
        assert_int_equal(tn_threads(ctx), threads);
        for (int round = 0; round < 200; round++) {
            int count[97] = {0};
            tn_parallel(ctx, 97, count_task, count);
            for (int i = 0; i < 97; i++)
                assert_int_equal(count[i], 1);
        }
        tn_ctx_destroy(ctx);
    }
}

static void thread_task(void *arg, int64_t task, int thread)
{
    ((int *)arg)[task] = 1 + thread;
}

/* Every task of a short job runs, and on the calling thread. */
static void short_work_wakes_nobody(void **state)
{
    (void)state;
    tn_ctx *ctx = test_ctx(3, NULL);
    for (int round = 0; round < 200; round++) {
        int seen[97] = {0};
        tn_parallel_short(ctx, 97, 1e3, thread_task, seen);
        for (int i = 0; i < 97; i++)
            assert_int_equal(seen[i], 1);
        int count[97] = {0};
        tn_parallel_short(ctx, 97, 1e6, count_task, count);
        for (int i = 0; i < 97; i++)
            assert_int_equal(count[i], 1);
    }
    tn_ctx_destroy(ctx);
}

static void the_first_error_stays(void **state)
{
    (void)state;
    tn_ctx *ctx = test_ctx(1, NULL);
    assert_string_equal(tn_error(ctx), "");
    assert_int_equal(tn_fail(ctx, TN_SHAPE, "first %d", 1), TN_SHAPE);
    assert_int_equal(tn_fail(ctx, TN_IO, "second"), TN_IO);
    assert_string_equal(tn_error(ctx), "first 1");
    tn_clear_error(ctx);
    assert_null(tn_alloc(ctx, SIZE_MAX / 2, 3));
    assert_non_null(strstr(tn_error(ctx), "out of memory"));
    tn_ctx_destroy(ctx);
}

static void unknown_instruction_set(void **state)
{
    (void)state;
    tn_ctx *ctx = NULL;
    tn_options options = {.isa = "abacus"};
    assert_int_equal(tn_ctx_create(&options, &ctx), TN_UNSUPPORTED);
    assert_null(ctx);
    assert_string_equal(tn_isa_list(0), "generic");
}

static void copy_between_layouts(void **state)
{
    (void)state;
    float from[24], to[24];
    for (int i = 0; i < 24; i++)
        from[i] = (float)i;
    tn_tensor src = tn_view(from, 3, (int64_t[]){2, 3, 4});
    tn_tensor dst = tn_view(to, 3, (int64_t[]){2, 3, 4});
    dst.stride[0] = 12, dst.stride[1] = 1, dst.stride[2] = 3;
    tn_copy(&dst, &src);
    for (int i = 0; i < 2; i++)
        for (int j = 0; j < 3; j++)
            for (int k = 0; k < 4; k++)
                assert_true(to[i * 12 + j + k * 3] == from[(i * 3 + j) * 4 + k]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(philox_known_answers),
        cmocka_unit_test(uniform_is_the_same_by_element_and_by_array),
        cmocka_unit_test(every_task_runs_once),
        cmocka_unit_test(short_work_wakes_nobody),
        cmocka_unit_test(the_first_error_stays),
        cmocka_unit_test(unknown_instruction_set),
        cmocka_unit_test(copy_between_layouts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
