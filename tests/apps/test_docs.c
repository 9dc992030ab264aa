/* The examples in docs/ print what the pages show. */
#include "tests/common/files.h"
#include "tests/common/programs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Whether `got` is `want`, in which a line "..." stands for any number of lines. */
static bool is_shown(const char *got, const char *want)
{
    const char *gap = strstr(want, "\n...\n");
    if (!gap)
        return strcmp(got, want) == 0;
    const char *tail = gap + strlen("\n...\n");
    const size_t head = (size_t)(gap + 1 - want), rest = strlen(tail), all = strlen(got);
    return all >= head + rest && strncmp(got, want, head) == 0 && strcmp(got + all - rest, tail) == 0;
}

/* Runs one command of a page in `dir`, "bin/" being where the programs are. `cat FILE` makes a file that is
 * not there. Only commands of `program` are run. */
static int run_example(const char *dir, const char *program, const char *command, const char *want)
{
    char name[64], *out;
    if (sscanf(command, "cat %63s", name) == 1 && access(test_in(dir, name), F_OK) != 0) {
        test_write_file(test_in(dir, name), want, strlen(want));
        return 0;
    }
    if (strncmp(command, "bin/", 4) == 0 && strncmp(command + 4, program, strlen(program)) != 0)
        return 0;
    test_run(&out, NULL, "cd %s && (%s) 2>&1", dir, command);
    if (!is_shown(out, want))
        fail_msg("$ %s\n%s\nexpected:\n%s", command, out, want);
    free(out);
    return 1;
}

/* Runs the examples of a page; returns how many. */
static int run_page(const char *dir, const char *page, const char *program)
{
    char *text = (char *)test_read_file(page, NULL), *want = calloc(1, strlen(text) + 1), *command = NULL;
    bool fenced = false;
    int count = 0;
    for (char *line = text, *next; *line; line = next) {
        char *end = strchrnul(line, '\n');
        next = *end ? end + 1 : end;
        const bool fence = strncmp(line, "```", 3) == 0, prompt = fenced && strncmp(line, "$ ", 2) == 0;
        if (command && (fence || prompt)) {
            count += run_example(dir, program, command, want);
            command = NULL;
        }
        if (command)
            strncat(want, line, (size_t)(next - line));
        if (prompt) {
            *end = '\0';
            command = line + 2;
            *want = '\0';
        }
        fenced = fenced != fence;
    }
    free(want);
    free(text);
    return count;
}

/* A folder in which bin/ and docs/ are those of the project. */
static char *make_dir(void)
{
    char *dir = test_make_dir(), *bin = strdup(test_program("evaluate"));
    *strrchr(bin, '/') = '\0';
    assert_int_equal(test_run(NULL, NULL, "ln -s %s %s/bin && ln -s \"$PWD\"/docs %s/docs", bin, dir, dir),
                     0);
    free(bin);
    return dir;
}

static void evaluation_is_as_shown(void **state)
{
    (void)state;
    char *dir = make_dir();
    assert_int_equal(run_page(dir, "docs/evaluate.md", "evaluate"), 6);
    test_remove_dir(dir);
}

static void support_vector_machines_are_as_shown(void **state)
{
    (void)state;
    char *data = test_data("svm/heart_scale"), *dir = make_dir();
    assert_int_equal(test_run(NULL, NULL, "cp %s %s/heart_scale", data, dir), 0);
    assert_int_equal(run_page(dir, "docs/svm.md", "svm"), 5);
    test_remove_dir(dir);
    free(data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(evaluation_is_as_shown),
        cmocka_unit_test(support_vector_machines_are_as_shown),
    };
    return cmocka_run_group_tests_name("docs", tests, NULL, NULL);
}
