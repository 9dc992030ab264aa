/* What is read ahead: in order, while the caller works, no more than there is room for; failures come with
 * their item; closing at any time leaves no thread and no memory. */
#include "apps/common/prefetch.h"
#include "tests/common/testing.h"

#include <dirent.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* What the readers of a test do and have done. */
typedef struct work {
    size_t bad;          /* the item that cannot be read; SIZE_MAX: none */
    bool uneven;         /* even items take longer */
    atomic_int begun;    /* calls of read */
    atomic_int held;     /* items that were made and not dropped */
    atomic_int most;     /* the most of them at a time */
    atomic_int finished; /* calls of read that are over */
    atomic_bool wrong;   /* read was called otherwise than promised */
} work;

typedef struct item {
    work *owner;   /* whose count it is in */
    size_t number; /* which it is */
    void *memory;  /* of the reader's context */
} item;

static void nap(long milliseconds)
{
    nanosleep(&(struct timespec){.tv_nsec = milliseconds * 1000000}, NULL);
}

static tn_status read_item(tn_ctx *ctx, const void *arg, size_t i, void *out)
{
    work *w = *(work *const *)arg;
    item *made = out;
    if (tn_threads(ctx) != 1 || made->owner || made->memory || *tn_error(ctx))
        atomic_store(&w->wrong, true);
    atomic_fetch_add(&w->begun, 1);
    if (w->uneven && i % 2 == 0)
        nap(3);
    *made = (item){w, i, tn_alloc(ctx, 100, 1)};
    if (!made->memory)
        return TN_NOMEM;
    const int held = atomic_fetch_add(&w->held, 1) + 1;
    for (int most = atomic_load(&w->most); held > most;)
        if (atomic_compare_exchange_weak(&w->most, &most, held))
            break;
    atomic_fetch_add(&w->finished, 1);
    return i == w->bad ? tn_fail(ctx, TN_FORMAT, "item %zu is bad", i) : TN_OK;
}

static void drop_item(tn_ctx *ctx, void *out)
{
    item *made = out;
    tn_free(ctx, made->memory);
    if (made->memory)
        atomic_fetch_sub(&made->owner->held, 1);
}

static prefetch *begin(tn_ctx *ctx, work *const *w, size_t count)
{
    const prefetch_job job = {count, sizeof(item), read_item, drop_item, w};
    prefetch *p;
    assert_ok(ctx, prefetch_open(ctx, &job, &p));
    return p;
}

/* Closes it and sees that nothing is left. */
static void end(prefetch *p, const work *w)
{
    prefetch_close(p);
    assert_int_equal(w->held, 0);
    assert_false(w->wrong);
}

static int threads_of_process(void)
{
    int count = 0;
    DIR *folder = opendir("/proc/self/task");
    assert_non_null(folder);
    while (readdir(folder))
        count++;
    closedir(folder);
    return count;
}

static void items_come_in_order(void **state)
{
    (void)state;
    for (int threads = 1; threads <= 4; threads++) {
        tn_ctx *ctx = test_ctx(threads, NULL);
        for (size_t count = 1; count <= 40; count += 13) {
            work state_of = {.bad = SIZE_MAX, .uneven = true}, *w = &state_of;
            prefetch *p = begin(ctx, &w, count);
            for (size_t i = 0; i < count; i++) {
                void *out;
                assert_ok(ctx, prefetch_next(p, &out));
                assert_int_equal(((const item *)out)->number, i);
            }
            void *none;
            assert_status(ctx, prefetch_next(p, &none), TN_RANGE);
            assert_null(none);
            tn_clear_error(ctx);
            end(p, w);
            assert_int_equal(w->begun, (int)count);
        }
        tn_ctx_destroy(ctx);
    }
}

/* Waits until `want` items are read, 10 s at most. */
static void await(const work *w, int want)
{
    for (int i = 0; i < 5000 && atomic_load(&w->finished) < want; i++)
        nap(2);
    assert_int_equal(atomic_load(&w->finished), want);
}

/* While the caller has the first item, as many are read as there is room for, and no more; each that it takes
 * makes room for one. */
static void reads_ahead_and_no_further(void **state)
{
    (void)state;
    for (int threads = 1; threads <= 3; threads++) {
        const int room = threads + PREFETCH_AHEAD;
        tn_ctx *ctx = test_ctx(threads, NULL);
        work state_of = {.bad = SIZE_MAX}, *w = &state_of;
        prefetch *p = begin(ctx, &w, 30);
        void *out;
        for (int i = 0; i < 5; i++) {
            assert_ok(ctx, prefetch_next(p, &out));
            await(w, room + i);
            nap(5);
            assert_int_equal(w->begun, room + i);
        }
        assert_int_equal(w->most, room);
        end(p, w);
        tn_ctx_destroy(ctx);
    }
}

/* A failure is told where its item would be; what is before and behind it is there. */
static void a_bad_item_is_told_in_its_place(void **state)
{
    (void)state;
    for (int threads = 1; threads <= 3; threads++)
        for (size_t bad = 0; bad < 12; bad += 11) {
            tn_ctx *ctx = test_ctx(threads, NULL);
            work state_of = {.bad = bad, .uneven = true}, *w = &state_of;
            prefetch *p = begin(ctx, &w, 12);
            for (size_t i = 0; i < 12; i++) {
                void *out;
                const tn_status status = prefetch_next(p, &out);
                assert_int_equal(status, i == bad ? TN_FORMAT : TN_OK);
                assert_int_equal(((const item *)out)->number, i);
                if (i != bad)
                    continue;
                char text[32];
                snprintf(text, sizeof text, "item %zu is bad", bad);
                assert_string_equal(tn_error(ctx), text);
                tn_clear_error(ctx);
            }
            end(p, w);
            tn_ctx_destroy(ctx);
        }
}

/* At the beginning, in the middle, past the end; threads and memory are gone. */
static void may_be_closed_at_any_time(void **state)
{
    (void)state;
    tn_ctx *ctx = test_ctx(2, NULL);
    const int threads = threads_of_process();
    for (size_t used = 0; used <= 20; used++) {
        work state_of = {.bad = SIZE_MAX, .uneven = used % 2 == 0}, *w = &state_of;
        prefetch *p = begin(ctx, &w, 20);
        void *out;
        for (size_t i = 0; i < used; i++)
            assert_ok(ctx, prefetch_next(p, &out));
        end(p, w);
        assert_true(w->begun <= (int)used + 2 + PREFETCH_AHEAD);
        assert_int_equal(threads_of_process(), threads);
    }
    prefetch_close(NULL);
    tn_ctx_destroy(ctx);
}

static void of_nothing_there_is_nothing(void **state)
{
    (void)state;
    tn_ctx *ctx = test_ctx(2, NULL);
    work state_of = {.bad = SIZE_MAX}, *w = &state_of;
    prefetch *p = begin(ctx, &w, 0);
    void *out;
    assert_status(ctx, prefetch_next(p, &out), TN_RANGE);
    prefetch_close(p);
    assert_int_equal(w->begun, 0);
    tn_ctx_destroy(ctx);
}

/* An allocator that fails from the n-th call on. */
typedef struct shortage {
    long left;        /* calls that are granted */
    atomic_long held; /* blocks */
} shortage;

static void *scarce(void *user, size_t bytes)
{
    shortage *s = user;
    if (s->left-- <= 0)
        return NULL;
    atomic_fetch_add(&s->held, 1);
    return aligned_alloc(64, (bytes + 63) & ~(size_t)63);
}

static void give_back(void *user, void *block)
{
    shortage *s = user;
    if (block)
        atomic_fetch_sub(&s->held, 1);
    free(block);
}

static void no_memory_no_harm(void **state)
{
    (void)state;
    shortage s = {.left = 1000};
    const tn_allocator allocator = {scarce, give_back, &s};
    const tn_options options = {.threads = 2, .allocator = &allocator};
    tn_ctx *ctx;
    assert_int_equal(tn_ctx_create(&options, &ctx), TN_OK);
    const int threads = threads_of_process();
    const long held = s.held;
    long failures = 0;
    for (bool done = false; !done; failures += !done) {
        work state_of = {.bad = SIZE_MAX}, *w = &state_of;
        const prefetch_job job = {9, sizeof(item), read_item, drop_item, &w};
        prefetch *p;
        s.left = failures;
        done = prefetch_open(ctx, &job, &p) == TN_OK;
        assert_true(done == (p != NULL));
        s.left = 1000;
        prefetch_close(p);
        assert_int_equal(s.held, held);
        assert_int_equal(threads_of_process(), threads);
        assert_true(done || strstr(tn_error(ctx), "memory"));
        tn_clear_error(ctx);
    }
    assert_true(failures >= 9);
    tn_ctx_destroy(ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(items_come_in_order),
        cmocka_unit_test(reads_ahead_and_no_further),
        cmocka_unit_test(a_bad_item_is_told_in_its_place),
        cmocka_unit_test(may_be_closed_at_any_time),
        cmocka_unit_test(of_nothing_there_is_nothing),
        cmocka_unit_test(no_memory_no_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
