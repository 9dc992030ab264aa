#include "tests/common/testing.h"

#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

tn_ctx *test_ctx(int threads, const char *isa)
{
    tn_ctx *ctx = NULL;
    tn_options options = {.threads = threads, .isa = isa};
    assert_int_equal(tn_ctx_create(&options, &ctx), TN_OK);
    return ctx;
}

char *test_data(const char *name)
{
    const char *root = getenv("VALENCE_TEST_DATA");
    char *path = NULL;
    assert_true(asprintf(&path, "%s/%s", root ? root : "../shared/data", name) > 0);
    struct stat info;
    if (stat(path, &info) != 0) {
        printf("skip: no %s (set VALENCE_TEST_DATA)\n", path);
        free(path);
        skip();
    }
    return path;
}

void test_need_bf16(void)
{
    tn_ctx *ctx = test_ctx(1, NULL);
    const bool have = tn_has_precision(ctx, TN_BF16);
    if (!have)
        printf("skip: %s has no bfloat16 here\n", tn_isa(ctx));
    tn_ctx_destroy(ctx);
    if (!have)
        skip();
}

bool test_quick(void)
{
    const char *quick = getenv("VALENCE_QUICK");
    return quick && *quick;
}

char *test_make_dir(void)
{
    const char *root = getenv("TMPDIR");
    char *dir = NULL;
    assert_true(asprintf(&dir, "%s/valence-test-XXXXXX", root && *root ? root : "/tmp") > 0);
    assert_non_null(mkdtemp(dir));
    return dir;
}

void test_remove_dir(char *dir)
{
    assert_int_equal(test_run(NULL, NULL, "rm -rf '%s'", dir), 0);
    free(dir);
}

void test_assert_status(tn_ctx *ctx, tn_status got, tn_status want, const char *expr, const char *file,
                        int line)
{
    if (got == want)
        return;
    print_error("%s: %s (%s), expected %s\n", expr, tn_status_text(got), tn_error(ctx), tn_status_text(want));
    _fail(file, line);
}

static char *read_all(FILE *f)
{
    char *text = NULL;
    size_t used = 0, room = 0;
    for (;;) {
        if (room - used < 4096) {
            room = room * 2 + 8192;
            text = realloc(text, room);
            assert_non_null(text);
        }
        size_t got = fread(text + used, 1, room - used - 1, f);
        used += got;
        if (got == 0)
            break;
    }
    text[used] = '\0';
    return text;
}

int test_run(char **out, char **err, const char *format, ...)
{
    char *command = NULL;
    va_list args;
    va_start(args, format);
    assert_true(vasprintf(&command, format, args) > 0);
    va_end(args);

    FILE *files[2] = {tmpfile(), tmpfile()};
    assert_non_null(files[0]);
    assert_non_null(files[1]);
    fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        dup2(fileno(files[0]), 1);
        dup2(fileno(files[1]), 2);
        execl("/bin/sh", "sh", "-c", command, (char *)NULL);
        _exit(127);
    }
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    char **texts[2] = {out, err};
    for (int i = 0; i < 2; i++) {
        rewind(files[i]);
        if (texts[i])
            *texts[i] = read_all(files[i]);
        fclose(files[i]);
    }
    free(command);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

double test_relative_error(const float *a, const float *b, size_t n)
{
    double worst = 0, largest = 0;
    for (size_t i = 0; i < n; i++) {
        if (!isfinite(a[i]) || !isfinite(b[i]))
            return INFINITY;
        worst = fmax(worst, fabs((double)a[i] - (double)b[i]));
        largest = fmax(largest, fabs((double)b[i]));
    }
    return worst / (largest > 0 ? largest : 1);
}

bool test_use_decimal_comma(const char *dir)
{
    if (setlocale(LC_ALL, "de_DE.UTF-8"))
        return true;
    if (test_run(NULL, NULL, "localedef -i de_DE -f UTF-8 '%s/de_DE.UTF-8'", dir) != 0)
        return false;
    setenv("LOCPATH", dir, 1);
    return setlocale(LC_ALL, "de_DE.UTF-8") != NULL;
}
