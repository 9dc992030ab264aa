/* What holds for the command line of every program. */
#include "tests/common/files.h"
#include "tests/common/programs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Each program, with the beginnings of the command lines that take options. */
static const struct {
    const char *name;  /* of the program */
    const char *exits; /* what --help says of exit statuses besides 0, 1 and 2 */
    bool operands;     /* whether it takes arguments that are no options */
} programs[] = {
    {"bench", "", true},
    {"convert", "", true},
    {"evaluate", "", true},
    {"features", "", false},
    {"infer", ", 3 some of several clips failed", true},
    {"init-weights", "", false},
    {"prepare", ", 3 some clips failed, the list is without them", true},
    {"svm", "", true},
    {"synth", "", true},
    {"train-audio", ", 130 interrupted and saved", false},
    {"train-fusion", "", false},
    {"train-video", ", 130 interrupted and saved", false},
};
enum { PROGRAMS = sizeof programs / sizeof programs[0] };

static void help_and_version_are_results(void **state)
{
    (void)state;
    for (size_t i = 0; i < PROGRAMS; i++) {
        const char *name = programs[i].name;
        char *out, *err, *want = test_text("Usage: %s ", name);
        assert_int_equal(test_run(&out, &err, "%s --help", test_program(name)), 0);
        assert_string_equal(err, "");
        assert_memory_equal(out, want, strlen(want));
        free(want);
        want = test_text("\n\nExit status: 0 done, 1 failed, 2 wrong usage%s.\n", programs[i].exits);
        assert_true(strlen(out) > strlen(want));
        assert_string_equal(out + strlen(out) - strlen(want), want);
        free(want);
        free(out);
        free(err);
        want = test_text("%s (valence) %s\n", name, VALENCE_VERSION);
        assert_int_equal(test_run(&out, &err, "%s --version", test_program(name)), 0);
        assert_string_equal(out, want);
        assert_string_equal(err, "");
        free(want);
        free(out);
        free(err);
    }
}

/* The program's one line of standard error, after a run that ended with `status`. */
static void complains(const char *name, const char *arguments, int status, const char *part)
{
    char *err, begin[64];
    snprintf(begin, sizeof begin, "%s: ", name);
    const int got = test_run(NULL, &err, "%s %s", test_program(name), arguments);
    if (got != status || !test_is_line(err, begin, part))
        fail_msg("%s %s: status %d, \"%s\"", name, arguments, got, err);
    free(err);
}

static void wrong_usage_is_told_and_nothing_is_done(void **state)
{
    (void)state;
    for (size_t i = 0; i < PROGRAMS; i++) {
        const char *name = programs[i].name;
        complains(name, "--nonsense", 2, "unrecognized option '--nonsense'. Try '");
        complains(name, "-Q", 2, "unrecognized option '-Q'. Try '");
        complains(name, "--help=yes", 2, "--help: takes no value. Try '");
        complains(name, "''", 2,
                  programs[i].operands ? "an argument is empty, expected the name of a file or folder. Try '"
                                       : "'' is one argument too many. Try '");
    }
}

static void numbers_are_plain_and_in_range(void **state)
{
    (void)state;
    static const char *const threads[] = {"0",    "-1",  "1025", "1e400", "nan",
                                          "0x10", "2.5", "' 2'", "''",    "2x"};
    for (size_t i = 0; i < sizeof threads / sizeof threads[0]; i++) {
        char *arguments = test_text("--threads %s", threads[i]);
        complains("infer", arguments, 2, ", expected a whole number from 1 to 1024. Try 'infer --help'.");
        free(arguments);
    }
    static const char *const seed[] = {"-1", "18446744073709551616", "1.0", "0x1", "' 1'", "''"};
    for (size_t i = 0; i < sizeof seed / sizeof seed[0]; i++) {
        char *arguments = test_text("--seed %s", seed[i]);
        complains("synth", arguments, 2, ", expected a whole number from 0 to 18446744073709551615. Try");
        free(arguments);
    }
    complains("synth", "--fps inf", 2, "--fps cannot be 'inf', expected a number from 1e-09 to 240. Try");
    complains("synth", "--threads", 2, "--threads: the N is missing. Try");
}

/* Of an option that is given twice the last counts, and any beginning of its name that no other has will do.
 */
static void the_last_of_two_counts(void **state)
{
    (void)state;
    char *dir = test_make_dir();
    static const char init[] = "--classes a,b --dense 2 --cells 2";
    const char *program = test_program("init-weights");
    assert_int_equal(test_run(NULL, NULL,
                              "cd %s && %s --audio x %s --seed 1 --see=18446744073709551615 && "
                              "%s --audio y %s --seed 18446744073709551615 && %s --audio z %s --seed 1",
                              dir, program, init, program, init, program, init),
                     0);
    test_same_files(dir, "x", "y");
    assert_int_equal(test_run(NULL, NULL, "cd %s && cmp -s x z", dir), 1);
    complains("init-weights", "--c 3", 2, "ambiguous option '--c'. Try");
    complains("init-weights", "--c=3", 2, "ambiguous option '--c=3'. Try");
    complains("init-weights", "--classesx=3", 2, "unrecognized option '--classesx=3'. Try");
    test_remove_dir(dir);
}

static void a_standard_output_that_takes_nothing_is_an_error(void **state)
{
    (void)state;
    for (size_t i = 0; i < PROGRAMS; i++) {
        complains(programs[i].name, "--help > /dev/full", 1, "standard output: No space left on device");
        complains(programs[i].name, "--version > /dev/full", 1, "standard output: No space left on device");
        complains(programs[i].name, "--help >&-", 1, "standard output: Bad file descriptor");
    }
}

/* A file that is opened while standard error is closed must not take its number: notes would go there. */
static void nothing_is_printed_into_files(void **state)
{
    (void)state;
    char *dir = test_make_dir(), *err;
    const char *const set_up[] = {"synth --quiet --set 3 --seconds 0.5 --size 32x32 set",
                                  "init-weights --video v.safetensors --classes negative,neutral,positive "
                                  "--width 2 --blocks 1,1,1,1 --size 32 --num-frames 1"};
    for (size_t i = 0; i < sizeof set_up / sizeof set_up[0]; i++) {
        const char *space = strchr(set_up[i], ' ');
        char *name = test_text("%.*s", (int)(space - set_up[i]), set_up[i]);
        assert_int_equal(test_run(NULL, NULL, "cd %s && %s%s", dir, test_program(name), space), 0);
        free(name);
    }
    static const char train[] = "--data set/manifest.csv --video-weights v.safetensors --epochs 1";
    const char *program = test_program("train-video");
    assert_int_equal(test_run(NULL, &err, "cd %s && %s %s --out open", dir, program, train), 0);
    test_has(err, "note: features: 9 clips computed");
    free(err);
    assert_int_equal(test_run(NULL, NULL, "cd %s && exec 2>&- && %s %s --out closed", dir, program, train),
                     0);
    test_same_files(dir, "open/features.cache", "closed/features.cache");
    test_remove_dir(dir);
}

/* A name with a line end in it does not make two lines of one. */
static void results_are_lines_whatever_the_name(void **state)
{
    (void)state;
    char *dir = test_make_dir(), *out;
    static const char *const line[] = {
        "a\\x0ab: 9 clips of 3 sources, 3 of each class, 0.5 s each\n",
        "c\\x0ad: 1 frames of 32 x 32, 0.1 s of sound at 16000 Hz\n",
        "\ne\\x0af: 9 clips prepared, 0 were there already\nlist: e\\x0af/manifest.csv, hash ",
        "g\\x0ah/audio.safetensors: 1 epochs, best epoch 1: ",
        "i\\x0aj.safetensors: 17 tensors from g\\x0ah/audio.safetensors (safetensors)\n",
    };
    const int status =
        test_run(&out, NULL,
                 "cd %s && %s --set 3 --seconds 0.5 --size 32x32 \"$(printf 'a\\nb')\" && "
                 "%s --seconds 0.1 --size 32x32 \"$(printf 'c\\nd')\" && "
                 "%s --size 16 --num-frames 1 \"$(printf 'a\\nb/manifest.csv')\" \"$(printf 'e\\nf')\"",
                 dir, test_program("synth"), test_program("synth"), test_program("prepare"));
    assert_int_equal(status, 0);
    for (int i = 0; i < 3; i++)
        test_has(out, line[i]);
    free(out);
    assert_int_equal(
        test_run(&out, NULL,
                 "cd %s && %s --data e*/manifest.csv --out \"$(printf 'g\\nh')\" --epochs 1 --dense 2 "
                 "--cells 2 && %s g*/audio.safetensors \"$(printf 'i\\nj.safetensors')\"",
                 dir, test_program("train-audio"), test_program("convert")),
        0);
    for (int i = 3; i < 5; i++)
        test_has(out, line[i]);
    free(out);
    test_remove_dir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(help_and_version_are_results),
        cmocka_unit_test(wrong_usage_is_told_and_nothing_is_done),
        cmocka_unit_test(numbers_are_plain_and_in_range),
        cmocka_unit_test(the_last_of_two_counts),
        cmocka_unit_test(a_standard_output_that_takes_nothing_is_an_error),
        cmocka_unit_test(nothing_is_printed_into_files),
        cmocka_unit_test(results_are_lines_whatever_the_name),
    };
    return cmocka_run_group_tests_name("command", tests, NULL, NULL);
}
