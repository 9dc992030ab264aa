/* What every test shares. cmocka wants these headers in this order. */
#ifndef TESTS_TESTING_H
#define TESTS_TESTING_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "libtensor/tensor.h"

/* Tests run in the project's root. Golden files are under tests/golden. */

/* A context with `threads` threads and the instruction set `isa` (NULL: as the environment says); asserts. */
tn_ctx *test_ctx(int threads, const char *isa);

/* The path of `name` in the folder of real data; skips the test, saying why, where it is not there. The
 * result is the caller's to free(). */
char *test_data(const char *name);

/* Whether VALENCE_QUICK is set: a run under a sanitizer that wants the small cases only. */
bool test_quick(void);

/* Skips the test, saying why, where the best instruction set of this machine has no bfloat16. */
void test_need_bf16(void);

/* A fresh folder below $TMPDIR, removed with what is in it by test_remove_dir(). */
char *test_make_dir(void);
void test_remove_dir(char *dir);

/* Asserts the status, and on a surprise fails with the context's message. */
#define assert_ok(ctx, expr) test_assert_status((ctx), (expr), TN_OK, #expr, __FILE__, __LINE__)
#define assert_status(ctx, expr, status)                                                                     \
    test_assert_status((ctx), (expr), (status), #expr, __FILE__, __LINE__)
void test_assert_status(tn_ctx *ctx, tn_status got, tn_status want, const char *expr, const char *file,
                        int line);

/* Runs a program through the shell, with its standard output and error in `out` and `err` (freed by the
 * caller; either may be NULL). Returns the exit status, or 128 + the signal. */
int test_run(char **out, char **err, const char *format, ...) TN_PRINTF(3, 4);

/* Puts the program in a locale with a decimal comma: one of the system's, else one made in the folder `dir`,
 * until setlocale(LC_ALL, "C"). False where neither is to be had. */
bool test_use_decimal_comma(const char *dir);

/* The largest |a - b| divided by the largest |b| (by 1 where that is 0); infinite where one is not a number.
 */
double test_relative_error(const float *a, const float *b, size_t n);

#endif
