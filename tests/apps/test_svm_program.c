/* The program svm as a user calls it. */
#include "tests/common/files.h"
#include "tests/common/programs.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static char *dir; /* with everything below */

static void copy(const char *from, const char *name)
{
    size_t size;
    unsigned char *data = test_read_file(from, &size);
    test_write_file(test_in(dir, name), data, size);
    free(data);
}

static void write_text(const char *name, const char *text)
{
    test_write_file(test_in(dir, name), text, strlen(text));
}

static int set_up(void **state)
{
    (void)state;
    dir = test_make_dir();
    copy("tests/golden/svm/train.data", "train.data");
    copy("tests/golden/svm/test.data", "test.data");
    copy("tests/golden/svm/rbf.model", "rbf.model");
    copy("tests/golden/svm_train/two.data", "two.data");
    write_text("one.data", "1 1:1\n1 1:2\n");
    write_text("half.data", "1 1:1\n2 1:2\n1.5 1:2\n");
    write_text("bad.data", "1 1:1\n2 1:x\n");
    write_text("high.data", "1 1:1e4\n1 1:2e4\n2 1:-1e4\n2 1:-2e4\n");
    write_text("large.data", "1 1:1e30\n2 1:-1e30\n");
    assert_int_equal(mkdir(test_in(dir, "folder"), 0777), 0);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    test_remove_dir(dir);
    return 0;
}

/* Runs "svm ARGUMENTS" in the folder, asserts success and silence on stderr; returns stdout. */
static char *run(const char *arguments)
{
    char *out, *err;
    const int status = test_run(&out, &err, "cd %s && %s %s", dir, test_program("svm"), arguments);
    if (status != 0 || *err)
        fail_msg("svm %s: status %d\n%s%s", arguments, status, out, err);
    free(err);
    return out;
}

static void assert_prints(const char *arguments, const char *want)
{
    char *out = run(arguments);
    assert_string_equal(out, want);
    free(out);
}

static void assert_same_files(const char *a, const char *b)
{
    if (test_run(NULL, NULL, "cd %s && cmp %s %s", dir, a, b) != 0)
        fail_msg("%s and %s differ", a, b);
}

static int count_lines(const char *text)
{
    int n = 0;
    for (; *text; text++)
        n += *text == '\n';
    return n;
}

/* The golden model: what svm-train makes of the same data at these options. */
static void trains_and_predicts_as_libsvm(void **state)
{
    (void)state;
    char *out = run("train -t 2 -g 0.35 -c 4 train.data ours.model");
    assert_non_null(strstr(out, "1 against 2: #iter = "));
    assert_non_null(strstr(out, "obj = -"));
    assert_non_null(strstr(out, "Total nSV = "));
    free(out);
    assert_prints("predict test.data ours.model ours.out", "Accuracy = 77.5% (31/40) (classification)\n");
    copy("tests/golden/svm/rbf.labels", "want.out");
    assert_same_files("ours.out", "want.out");
    assert_prints("predict -q test.data rbf.model theirs.out", "");
    assert_same_files("theirs.out", "want.out");
    assert_prints("train -q -t 2 -g 0.35 -c 4 train.data quiet.model", "");
    assert_same_files("ours.model", "quiet.model");
}

/* The numbers are LIBSVM's; its label is the most probable class, ours the vote. */
static void probabilities_are_written(void **state)
{
    (void)state;
    free(run("predict -b 1 test.data rbf.model p.out"));
    char *got = (char *)test_read_file(test_in(dir, "p.out"), NULL),
         *want = (char *)test_read_file("tests/golden/svm/rbf.probabilities", NULL),
         *label = (char *)test_read_file("tests/golden/svm/rbf.labels", NULL);
    char *g = got, *w = want, *l = label;
    assert_string_equal(strsep(&g, "\n"), strsep(&w, "\n"));
    for (int row = 0; row < 40; row++) {
        double p[3], q[3];
        int vote, most;
        assert_int_equal(sscanf(strsep(&g, "\n"), "%d %lf %lf %lf", &vote, &p[0], &p[1], &p[2]), 4);
        assert_int_equal(sscanf(strsep(&w, "\n"), "%d %lf %lf %lf", &most, &q[0], &q[1], &q[2]), 4);
        assert_int_equal(vote, atoi(strsep(&l, "\n")));
        for (int c = 0; c < 3; c++)
            assert_true(p[c] - q[c] < 1.1e-5 * q[c] && q[c] - p[c] < 1.1e-5 * q[c]);
    }
    assert_string_equal(g, "");
    free(label);
    free(want);
    free(got);
    free(run("train -q -b 1 train.data with.model"));
    free(run("predict -b 1 test.data with.model p.out"));
    free(run("train -q train.data without.model"));
    test_failure(dir, "svm", "predict -b 1 test.data without.model no.out", 1,
                 "without.model: the model has no");
    assert_int_not_equal(test_run(NULL, NULL, "ls %s/no.out", dir), 0);
}

static void threads_change_no_byte(void **state)
{
    (void)state;
    free(run("train -q -b 1 --seed 4 --threads 1 train.data 1.model"));
    char *grid = run("grid -t 0,1,2 -d 2,3 --log2c -3,3,2 --log2g 1,-3,-2 --threads 1 train.data");
    char *validated = run("train -v 4 --threads 1 train.data");
    for (int threads = 2; threads <= 3; threads++) {
        char *arguments = test_text("train -q -b 1 --seed 4 --threads %d train.data n.model", threads);
        free(run(arguments));
        assert_same_files("1.model", "n.model");
        free(arguments);
        arguments =
            test_text("grid -t 0,1,2 -d 2,3 --log2c -3,3,2 --log2g 1,-3,-2 --threads %d train.data", threads);
        assert_prints(arguments, grid);
        free(arguments);
        arguments = test_text("train -v 4 --threads %d train.data", threads);
        assert_prints(arguments, validated);
        free(arguments);
    }
    assert_int_equal(strncmp(validated, "Cross Validation Accuracy = ", 28), 0);
    /* Linear: 4 costs; two degrees and RBF: 4 costs x 3 gammas each. */
    assert_int_equal(count_lines(grid), 4 + 3 * 12 + 1);
    free(validated);
    free(grid);
    /* Another seed shuffles otherwise. */
    free(run("train -q -b 1 --seed 5 train.data n.model"));
    assert_int_not_equal(test_run(NULL, NULL, "cd %s && cmp 1.model n.model", dir), 0);
}

/* The best line names options that train takes, and train -v agrees with its accuracy. */
static void grid_has_the_ranges_of_grid_py(void **state)
{
    (void)state;
    char *out = run("grid train.data"), *best = strstr(out, "best: ");
    assert_int_equal(count_lines(out), 110 + 1);
    assert_int_equal(strncmp(out, "-t 2 -c 0.03125 -g 8: ", 22), 0);
    assert_non_null(strstr(out, "\n-t 2 -c 32768 -g 3.051757812e-05: "));
    assert_non_null(best);
    double accuracy;
    char options[64];
    assert_int_equal(sscanf(best, "best: %63[^:]: %lf%%", options, &accuracy), 2);
    char *arguments = test_text("train -v 5 %s train.data", options),
         *want = test_text("Cross Validation Accuracy = %g%%\n", accuracy);
    assert_prints(arguments, want);
    assert_prints("grid -q train.data", best);
    free(want);
    free(arguments);
    free(out);
}

/* Options of every letter reach the solver: models differ, or must not. */
static void letters_mean_what_they_do_for_libsvm(void **state)
{
    (void)state;
    static const struct {
        const char *options; /* beside the others' */
        bool changes;        /* whether the model is another */
    } cases[] = {
        {"-s 0", false},  {"-m 0", false},  {"-m 0.001 -h 1", false}, {"-t 2", false},
        {"-c 1", false},  {"-w1 1", false}, {"-t 0", true},           {"-t 3", true},
        {"-c 2", true},   {"-g 0.5", true}, {"-e 0.00001", true},     {"-w1 3", true},
        {"-w-1 3", true}, {"-b 1", true},   {"-t 1 -d 2 -r 1", true},
    };
    free(run("train -q two.data base.model"));
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char *arguments = test_text("train -q %s two.data other.model", cases[i].options);
        free(run(arguments));
        const int differ = test_run(NULL, NULL, "cd %s && cmp base.model other.model", dir);
        if ((differ != 0) != cases[i].changes)
            fail_msg("%s: %s", cases[i].options, differ ? "another model" : "the same model");
        free(arguments);
    }
    free(run("train -q -t 1 -d 2 -r 1 two.data other.model"));
    char *model = (char *)test_read_file(test_in(dir, "other.model"), NULL);
    assert_non_null(strstr(model, "kernel_type polynomial\ndegree 2\ngamma 0.016666666666666666\ncoef0 1\n"));
    free(model);
}

/* A line of output as an object; *line moves behind it. */
static json_t *next_object(char **line)
{
    json_error_t error;
    json_t *object = json_loads(strsep(line, "\n"), JSON_REJECT_DUPLICATES, &error);
    if (!object)
        fail_msg("%s", error.text);
    return object;
}

static double number(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    assert_true(json_is_number(value));
    return json_number_value(value);
}

static void results_as_json(void **state)
{
    (void)state;
    char *text = run("train -t 2 -g 0.35 -c 4 train.data m"),
         *out = run("train --json -t 2 -g 0.35 -c 4 train.data json.model"), *at = out;
    assert_same_files("m", "json.model");
    assert_int_equal(count_lines(out), 1);
    json_t *o = next_object(&at), *pairs = json_object_get(o, "pairs");
    assert_int_equal(json_array_size(pairs), 3);
    for (size_t p = 0; p < 3; p++) {
        const json_t *f = json_array_get(pairs, p);
        char line[300];
        snprintf(line, sizeof line, "%g against %g: #iter = %g\nobj = %f, rho = %f\nnSV = %g, nBSV = %g\n",
                 number(f, "first"), number(f, "second"), number(f, "steps"), number(f, "objective"),
                 number(f, "rho"), number(f, "vectors"), number(f, "bounded"));
        assert_non_null(strstr(text, line));
        assert_true(json_is_true(json_object_get(f, "converged")));
    }
    char total[60];
    snprintf(total, sizeof total, "Total nSV = %g\n", number(o, "vectors"));
    assert_non_null(strstr(text, total));
    json_decref(o);
    free(out);
    free(text);

    at = out = run("predict --json test.data rbf.model o");
    o = next_object(&at);
    assert_true(number(o, "correct") == 31 && number(o, "rows") == 40 && number(o, "accuracy") == 0.775);
    json_decref(o);
    free(out);
    assert_prints("predict --json -q test.data rbf.model o", "");

    text = run("train -v 3 train.data");
    at = out = run("train --json -v 3 train.data");
    o = next_object(&at);
    char line[60];
    snprintf(line, sizeof line, "Cross Validation Accuracy = %g%%\n", 100 * number(o, "accuracy"));
    assert_string_equal(text, line);
    assert_true(number(o, "accuracy") == number(o, "correct") / 60 && number(o, "rows") == 60);
    json_decref(o);
    free(out);
    free(text);
    assert_int_equal(remove(test_in(dir, "m")), 0); /* mistakes_are_told() wants them not to be there */
    assert_int_equal(remove(test_in(dir, "o")), 0);
}

static void grid_as_json(void **state)
{
    (void)state;
    char *out = run("grid --json -t 0,1 -d 2,9 --log2c 0,2,2 --log2g 0,0,1 high.data -v 2"), *at = out;
    int overflows = 0, best = 0;
    assert_int_equal(count_lines(out), 6);
    for (int i = 0; i < 6; i++) {
        json_t *o = next_object(&at);
        const bool linear = i < 2, there = json_is_integer(json_object_get(o, "correct"));
        assert_string_equal(json_string_value(json_object_get(o, "kernel")),
                            linear ? "linear" : "polynomial");
        assert_true(number(o, "cost") == (i % 2 ? 4 : 1) && number(o, "rows") == 4);
        assert_true(linear ? json_is_null(json_object_get(o, "gamma")) : number(o, "gamma") == 1);
        assert_true(linear ? json_is_null(json_object_get(o, "degree"))
                           : number(o, "degree") == (i < 4 ? 2 : 9));
        assert_true(json_is_null(json_object_get(o, "accuracy")) == !there);
        if (there)
            assert_true(number(o, "accuracy") == number(o, "correct") / 4);
        overflows += !there;
        best += json_is_true(json_object_get(o, "best"));
        json_decref(o);
    }
    assert_int_equal(best, 1);
    assert_int_equal(overflows, 2); /* both of degree 9 */
    free(out);
    out = run("grid -q --json train.data --log2c 0,4,2 --log2g -1,-1,1");
    assert_int_equal(count_lines(out), 1);
    at = out;
    json_t *o = next_object(&at);
    char *text = run("grid -q train.data --log2c 0,4,2 --log2g -1,-1,1"), line[100];
    snprintf(line, sizeof line, "best: -t 2 -c %g -g 0.5: %g%% (%g/60)\n", number(o, "cost"),
             100 * number(o, "accuracy"), number(o, "correct"));
    assert_string_equal(text, line);
    assert_true(json_is_true(json_object_get(o, "best")));
    json_decref(o);
    free(text);
    free(out);
}

static void mistakes_are_told(void **state)
{
    (void)state;
    static const test_mistake cases[] = {
        {"", 2, "a command is needed"},
        {"fit train.data", 2, "a command is needed"},
        {"train", 2, "DATA MODEL"},
        {"train train.data", 2, "DATA MODEL"},
        {"train -v 3 train.data m", 2, "-v writes no model"},
        {"train -v 1 train.data", 2, "--folds cannot be '1'"},
        {"train -t 4 train.data m", 2, "--kernel cannot be '4'"},
        {"train -s 1 train.data m", 2, "--svm-type cannot be '1'"},
        {"train -c 0 train.data m", 2, "--cost cannot be '0'"},
        {"train -wx 1 train.data m", 2, "-wx: expected -wLABEL VALUE"},
        {"train -w1 0 train.data m", 2, "-w1 0: expected a number above 0"},
        {"train train.data m -w1", 2, "-w1 needs a value"},
        {"predict train.data rbf.model", 2, "DATA MODEL OUT"},
        {"grid --log2c 1,2 train.data", 2, "--log2c 1,2: expected BEGIN,END,STEP"},
        {"grid --log2g 1,2,-1 train.data", 2, "--log2g 1,2,-1: expected"},
        {"grid --log2g 1,2,nan train.data", 2, "--log2g 1,2,nan: expected"},
        {"grid --log2c -1000,1000,0.001 train.data", 2, "more than 1000000 points"},
        {"grid -t 0,4 train.data", 2, "-t 0,4: expected kernels"},
        {"grid -t 1 -d 2, train.data", 2, "-d 2,: expected whole numbers"},
        {"train no.data m", 1, "no.data: No such file"},
        {"train bad.data m", 1, "bad.data:2: index 1: \"x\""},
        {"train half.data m", 1, "half.data:3: label 1.5 is not a whole number"},
        {"grid half.data", 1, "half.data:3: label 1.5"},
        {"train one.data m", 1, "every row has the label 1"},
        {"train -t 1 -g 1 large.data m", 1, "scale the features"},
        {"train -w7 2 train.data m", 1, "class 7"},
        {"train -v 61 train.data", 1, "61 folds of 60 rows"},
        {"train train.data folder", 1, "folder"},
        {"train train.data no/m", 1, "no/m: "},
        {"predict train.data train.data o", 1, "train.data:1: "},
        {"predict bad.data rbf.model o", 1, "bad.data:2: "},
        {"predict test.data rbf.model no/o", 1, "no/o: "},
    };
    test_failures(dir, "svm", cases, sizeof cases / sizeof cases[0]);
    assert_int_not_equal(test_run(NULL, NULL, "ls %s/m", dir), 0);
    assert_int_not_equal(test_run(NULL, NULL, "ls %s/o", dir), 0);
}

static void help_names_the_options(void **state)
{
    (void)state;
    char *out = run("--help");
    assert_non_null(strstr(out, "svm grid [options] DATA"));
    free(out);
    out = run("train --help");
    assert_non_null(strstr(out, "-wLABEL X"));
    free(out);
    out = run("grid --help");
    assert_non_null(strstr(out, "--log2c"));
    free(out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(trains_and_predicts_as_libsvm),
        cmocka_unit_test(probabilities_are_written),
        cmocka_unit_test(threads_change_no_byte),
        cmocka_unit_test(grid_has_the_ranges_of_grid_py),
        cmocka_unit_test(letters_mean_what_they_do_for_libsvm),
        cmocka_unit_test(results_as_json),
        cmocka_unit_test(grid_as_json),
        cmocka_unit_test(mistakes_are_told),
        cmocka_unit_test(help_names_the_options),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
