/* The program evaluate: the paper's tables from the paper's matrices, score files in three formats, bad
 * input. */
#include "tests/common/files.h"
#include "tests/common/programs.h"

#include "nn/nn.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char *dir; /* with everything below */

/* Two systems, class columns in another order: clip 4 is only in a, 7 and 8 only in b. */
static const char system_a[] = "name,label,predicted,source,faces,split,positive,neutral,negative\n"
                               "1,positive,positive,s1,3,val,0.7,0.2,0.1\n"
                               "2,positive,neutral,s1,4,val,0.2,0.7,0.1\n"
                               "3,neutral,neutral,s2,5,val,0.2,0.7,0.1\n"
                               "4,negative,negative,s2,12,val,0.2,0.1,0.7\n"
                               "5,negative,positive,s3,,val,0.7,0.2,0.1\n"
                               "6,,negative,s3,1,val,0.2,0.1,0.7\n";
static const char system_b[] = "name,label,split,negative,neutral,positive\n"
                               "1,positive,val,0.7,0.2,0.1\n"
                               "2,positive,val,0.7,0.2,0.1\n"
                               "3,neutral,val,0.2,0.7,0.1\n"
                               "5,negative,val,0.6,0.2,0.2\n"
                               "7,neutral,train,0.2,0.7,0.1\n"
                               "8,negative,train,0.2,0.7,0.1\n";

static void write_text(const char *name, const char *text)
{
    test_write_file(test_in(dir, name), text, strlen(text));
}

static int set_up(void **state)
{
    (void)state;
    dir = test_make_dir();
    write_text("a.csv", system_a);
    write_text("b.csv", system_b);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    test_remove_dir(dir);
    return 0;
}

/* Runs evaluate in the folder of files; asserts status 0 and that nothing is told. Freed by the caller. */
static char *evaluate(const char *arguments)
{
    char *out, *err;
    const int status = test_run(&out, &err, "cd %s && %s %s", dir, test_program("evaluate"), arguments);
    if (status != 0 || *err)
        fail_msg("evaluate %s: status %d, %s", arguments, status, err);
    free(err);
    return out;
}

/* Asserts that every one of the texts is in `out`, one behind the other. */
static void expect_texts(const char *out, const char *const *text)
{
    const char *at = out;
    for (; *text; text++) {
        const char *found = strstr(at, *text);
        if (!found)
            fail_msg("no \"%s\" (or not there) in:\n%s", *text, out);
        at = found + strlen(*text);
    }
}
#define EXPECT(out, ...) expect_texts(out, (const char *const[]){__VA_ARGS__, NULL})

/* ---- the paper -------------------------------------------------------------------------------------- */

static void the_papers_tables_come_out(void **state)
{
    (void)state;
    char *out;
    assert_int_equal(test_run(&out, NULL,
                              "%s --matrix docs/paper/audio.csv --matrix docs/paper/video.csv --matrix "
                              "docs/paper/both.csv",
                              test_program("evaluate")),
                     0);
    EXPECT(out, "audio: 765 clips, 361 right\n", "  accuracy   47.19 %", "  positive     301   19.93",
           "  neutral      280   69.64", "  negative     184   57.61",
           "true \\ predicted  positive   neutral  negative\n",
           "  positive                60       139       102\n",
           "  neutral                 35       195        50\n",
           "  negative                24        54       106\n", "video: 766 clips, 478 right\n",
           "  accuracy   62.40 %", "both: 765 clips, 473 right\n", "  accuracy   61.83 %", "\nsystem ",
           " positive   neutral  negative\n", "audio ", "765     47.19 ", " 19.93     69.64     57.61\n",
           "video ", "766     62.40 ", " 69.20     52.50     66.30\n", "both ", "765     61.83 ",
           " 58.13     61.78     67.93\n");
    assert_null(strstr(out, "McNemar"));
    free(out);
}

/* The three files of the paper, but for how they print: the usual rounding. */
static void other_matrices_are_rounded(void **state)
{
    (void)state;
    write_text("plain.csv",
               "t,positive,neutral,negative\npositive,175,99,27\nneutral,78,173,29\nnegative,27,32,125\n");
    write_text("cut.csv", "# percentages: truncated\nt,x,y\nx,57,43\ny,1,2\n");
    char *out = evaluate("--matrix plain.csv");
    EXPECT(out, "  accuracy   61.83 %", "  positive     301   58.14", "  neutral      280   61.79",
           "  negative     184   67.93");
    free(out);
    /* 0.57 * 10000 is a hair below 5700; 2/3 is cut. */
    out = evaluate("--matrix cut.csv");
    EXPECT(out, "  x         100   57.00", "  y           3   66.66");
    free(out);
    /* Which clips a published matrix has is not known: it is not compared. */
    char *both;
    for (int i = 0; i < 2; i++) {
        both = evaluate(i ? "--quiet --matrix plain.csv a.csv" : "--matrix plain.csv --matrix plain.csv");
        EXPECT(both, "\nsystem ");
        assert_null(strstr(both, "McNemar"));
        free(both);
    }
}

/* ---- score files ------------------------------------------------------------------------------------ */

static void a_score_file_as_text(void **state)
{
    (void)state;
    char *out = evaluate("a.csv");
    EXPECT(out, "a: 5 clips, 3 right; 1 without a label\n", "  accuracy   60.00 %   95 %: 23.07 to 88.24\n",
           "  UAR        66.67 %", "\n  class      clips  recall", "\n  positive       2   50.00",
           "\n  neutral        1  100.00", "\n  negative       2   50.00",
           "\n  true \\ predicted  positive   neutral  negative\n",
           "  positive                 1         1         0\n",
           "  neutral                  0         1         0\n",
           "  negative                 1         0         1\n", "\n  faces ",
           "\n  fewer than 5                 2     50.00", "\n  5 and more                   2    100.00",
           "\n  unknown                      1      0.00");
    assert_null(strstr(out, "McNemar"));
    assert_null(strstr(out, "system"));
    free(out);
    out = evaluate("--faces 4 a.csv");
    EXPECT(out, "  fewer than 4                 1    100.00", "  4 and more                   3     66.67");
    free(out);
    out = evaluate("--split train b.csv");
    EXPECT(out, "b: 2 clips, 1 right\n", "  negative       1    0.00", "  positive       0       -  -");
    assert_null(strstr(out, "faces"));
    free(out);
}

static void two_systems_are_compared(void **state)
{
    (void)state;
    char *out = evaluate("--split val a.csv b.csv");
    /* b's classes have another order; the table has a's. Shared: 1 2 3 5; only a has 1 right, only b has 5.
     */
    EXPECT(out, "b: 4 clips, 2 right\n", "true \\ predicted  negative   neutral  positive\n", "\nsystem ",
           "  positive   neutral  negative\n", "a            5     60.00", "  50.00    100.00     50.00\n",
           "b            4     50.00", "  0.00    100.00    100.00\n",
           "\nMcNemar's test on the clips that two systems share\n",
           "a       b            4           1            1          1  exact\n");
    free(out);
    write_text(".csv", "name,label,split,x,y\n1,x,train,1,0\n2,x,val,1,0\n");
    char *notes;
    assert_int_equal(test_run(&out, &notes, "cd %s && %s .csv", dir, test_program("evaluate")), 0);
    EXPECT(out, ".csv: 2 clips, 2 right\n");
    assert_true(test_is_line(notes, "evaluate: note: .csv: ", "clips of several splits are taken together"));
    free(out);
    free(notes);
    out = evaluate("--quiet a.csv ./a.csv");
    EXPECT(out, "\na.csv ", "\n./a.csv ");
    free(out);
    char *err;
    assert_int_equal(test_run(NULL, &err, "cd %s && %s b.csv", dir, test_program("evaluate")), 0);
    assert_true(test_is_line(err, "evaluate: note: ", "b.csv: clips of several splits are taken together"));
    free(err);
}

/* What follows `begin`, which begins a line of the CSV. */
static const char *csv_value(const char *out, const char *begin)
{
    const char *found = out;
    do
        found = strstr(found + 1, begin);
    while (found && found[-1] != '\n');
    if (!found)
        fail_msg("no line \"%s\" in:\n%s", begin, out);
    return found + strlen(begin);
}

/* Each number once, and in this order. */
static void csv_lines_are_in_order(void **state)
{
    (void)state;
    static const char *const class_name[3] = {"positive", "neutral", "negative"};
    char *out = evaluate("--csv --faces 4 a.csv"), *rest = out, key[100], *line = strsep(&rest, "\n");
    assert_string_equal(line, "system,metric,class,other,value,low,high,clips");
    const char *const first[] = {"a,accuracy,,,", "a,uar,,,", "a,macro_f1,,,"};
    for (int i = 0; i < 3 + 9 + 9 + 3; i++) {
        static const char *const of_class[3] = {"recall", "precision", "f1"};
        static const char *const faces[3] = {"fewer than 4", "4 and more", "unknown"};
        const int k = i < 12 ? i - 3 : i - 12;
        if (i < 3)
            snprintf(key, sizeof key, "%s", first[i]);
        else if (i < 12)
            snprintf(key, sizeof key, "a,%s,%s,,", of_class[k % 3], class_name[k / 3]);
        else if (i < 21)
            snprintf(key, sizeof key, "a,confusion,%s,%s,", class_name[k / 3], class_name[k % 3]);
        else
            snprintf(key, sizeof key, "a,accuracy with faces %s,,,", faces[i - 21]);
        line = strsep(&rest, "\n");
        if (!line || strncmp(line, key, strlen(key)) != 0)
            fail_msg("line %d is \"%s\", expected \"%s\"", i + 2, line ? line : "", key);
        if (i == 5)
            assert_string_equal(line, "a,f1,positive,,0.5,,,2");
    }
    assert_string_equal(rest, "");
    free(out);
}

static void csv_has_a_line_for_each_number(void **state)
{
    (void)state;
    char *out = evaluate("--csv --split val a.csv b.csv");
    assert_int_equal(strncmp(out, TEST_LITERAL("system,metric,class,other,value,low,high,clips\n")), 0);
    const nn_interval wilson = nn_wilson(3, 5);
    double value, low, high;
    int clips;
    assert_int_equal(sscanf(csv_value(out, "a,accuracy,,,"), "%lf,%lf,%lf,%d", &value, &low, &high, &clips),
                     4);
    assert_true(value == 0.6 && low == wilson.low && high == wilson.high && clips == 5);
    assert_int_equal(sscanf(csv_value(out, "b,uar,,,"), "%lf,", &value), 1);
    assert_true(value == 2.0 / 3);
    static const char *const lines[] = {"a,recall,neutral,,1,",
                                        "a,confusion,negative,positive,1,,,\n",
                                        "a,confusion,positive,negative,0,,,\n",
                                        "b,confusion,positive,negative,2,,,\n",
                                        "b,precision,positive,,,,,0\n",
                                        "a,accuracy with faces 5 and more,,,1,",
                                        "a,mcnemar_p,,b,1,,,4\n",
                                        "a,only_first_right,,b,1,,,4\n",
                                        "a,only_second_right,,b,1,,,4\n",
                                        "a,both_right,,b,1,,,4\n",
                                        "a,neither_right,,b,1,,,4\n"};
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        csv_value(out, lines[i]);
    free(out);
    write_text("q.csv", "name,label,\"x,\"\"y\",z\n1,z,0,1\n");
    out = evaluate("--csv q.csv");
    csv_value(out, "q,recall,\"x,\"\"y\",,,,,0\n");
    free(out);
}

static double number_at(json_t *object, const char *key, const char *inner)
{
    json_t *value = json_object_get(object, key);
    return json_number_value(inner ? json_object_get(value, inner) : value);
}

static void json_has_an_object_for_each_system_and_pair(void **state)
{
    (void)state;
    char *out = evaluate("--json --split val a.csv b.csv"), *rest = out;
    json_t *line[3];
    for (int i = 0; i < 3; i++) {
        line[i] = json_loads(strsep(&rest, "\n"), JSON_REJECT_DUPLICATES, NULL);
        assert_non_null(line[i]);
    }
    assert_string_equal(rest, "");
    assert_string_equal(json_string_value(json_object_get(line[0], "system")), "a");
    assert_string_equal(json_string_value(json_object_get(line[0], "file")), "a.csv");
    assert_string_equal(json_string_value(json_object_get(line[0], "kind")), "scores");
    assert_true(number_at(line[0], "clips", NULL) == 5 && number_at(line[0], "right", NULL) == 3);
    assert_true(number_at(line[0], "unlabelled", NULL) == 1);
    assert_true(number_at(line[0], "accuracy", "value") == 0.6);
    assert_true(number_at(line[0], "accuracy", "low") == nn_wilson(3, 5).low);
    assert_true(fabs(number_at(line[1], "uar", "value") - 2.0 / 3) < 1e-15);
    json_t *class = json_array_get(json_object_get(line[1], "classes"), 2);
    assert_string_equal(json_string_value(json_object_get(class, "name")), "positive");
    assert_true(json_is_null(json_object_get(json_object_get(class, "precision"), "value")));
    assert_true(number_at(class, "recall", "value") == 0);
    assert_true(number_at(class, "clips", NULL) == 2);
    json_t *counts = json_object_get(json_object_get(line[1], "confusion"), "counts");
    assert_true(json_integer_value(json_array_get(json_array_get(counts, 2), 0)) == 2);
    json_t *faces = json_object_get(line[0], "faces");
    assert_true(number_at(json_array_get(faces, 1), "accuracy", "value") == 1);
    assert_true(json_is_null(json_object_get(line[1], "faces")));
    assert_string_equal(json_string_value(json_array_get(json_object_get(line[2], "mcnemar"), 1)), "b");
    assert_true(number_at(line[2], "p", NULL) == 1 && number_at(line[2], "clips", NULL) == 4);
    assert_string_equal(json_string_value(json_object_get(line[2], "method")), "exact");
    for (int i = 0; i < 3; i++)
        json_decref(line[i]);
    free(out);
}

/* ---- predictions ------------------------------------------------------------------------------------ */

static void predictions_are_written_whole_or_not_at_all(void **state)
{
    (void)state;
    char *out = evaluate("--quiet --predictions labels.txt a.csv");
    EXPECT(out, "a: 5 clips, 3 right");
    free(out);
    unsigned char *text = test_read_file(test_in(dir, "labels.txt"), NULL);
    assert_string_equal((char *)text, "Vid_name Label\n6 3\n");
    free(text);
    write_text("test.csv", "name,positive,negative\nTest_1,0.6,0.4\nTest_2,0.1,0.9\n");
    char *err;
    assert_int_equal(
        test_run(&out, &err, "cd %s && %s --predictions test.txt test.csv", dir, test_program("evaluate")),
        0);
    assert_string_equal(out, "test: 0 clips, 0 right; 2 without a label\n");
    assert_string_equal(err, "evaluate: note: 2 predictions in test.txt\n");
    text = test_read_file(test_in(dir, "test.txt"), NULL);
    assert_string_equal((char *)text, "Vid_name Label\nTest_1 1\nTest_2 2\n");
    free(text);
    free(out);
    free(err);
    test_failure(dir, "evaluate", "--predictions test.txt --split train --quiet b.csv", 1,
                 "no unlabelled clip");
    test_failure(dir, "evaluate", "--predictions no/such/folder/x a.csv", 1, "no/such/folder/x");
    text = test_read_file(test_in(dir, "test.txt"), NULL);
    assert_string_equal((char *)text, "Vid_name Label\nTest_1 1\nTest_2 2\n");
    free(text);
}

/* ---- bad input -------------------------------------------------------------------------------------- */

static void mistakes_are_told(void **state)
{
    (void)state;
    write_text("line.csv", "name,label,x,y\n1,x,1,0\n2,z,1,0\n");
    write_text("twice.csv", "name,label,x,y\n1,x,1,0\n1,x,1,0\n");
    write_text("other.csv", "name,label,positive,neutral,angry\n1,positive,1,0,0\n");
    write_text("two.csv", "name,label,x,y\n1,x,1,0\n");
    write_text("label.csv", "name,label,positive,neutral,negative\n1,neutral,1,0,0\n");
    write_text("unlabelled.csv", "name,x,y\n1,1,0\n");
    write_text("matrix.csv", "t,x,y\nx,1,2\n");
    static const test_mistake cases[] = {
        {"", 2, "no system"},
        {"--csv --json a.csv", 2, "choose one"},
        {"--predictions p a.csv b.csv", 2, "takes one score file"},
        {"--predictions p --matrix matrix.csv", 2, "takes one score file"},
        {"--predictions ./a.csv a.csv", 2, "--predictions ./a.csv: is the score file"},
        {"--faces 0 a.csv", 2, "--faces cannot be '0'"},
        {"--matrix '' a.csv", 2, "--matrix: the FILE is empty"},
        {"missing.csv", 1, "missing.csv: No such file"},
        {".", 1, ".: "},
        {"a.csv line.csv", 1, "line.csv:3: label \"z\" is not one of the class columns"},
        {"twice.csv", 1, "twice.csv:3: clip \"1\" is on line 2 already"},
        {"a.csv two.csv", 1, "two.csv: 2 classes, but a.csv has 3"},
        {"a.csv other.csv", 1, "other.csv: class \"angry\" is none of a.csv"},
        {"a.csv label.csv", 1, "clip \"1\" is labelled positive in a.csv but neutral in label.csv"},
        {"unlabelled.csv", 1, "unlabelled.csv: no labelled clip"},
        {"--split test a.csv", 1, "a.csv: no labelled clip of split \"test\""},
        {"--matrix matrix.csv", 1, "matrix.csv: no row \"y\""},
        {"--matrix a.csv", 1, "a.csv:2: true class \"1\" is not one of the columns"},
        {"a.csv > /dev/full", 1, "standard output: No space left"},
    };
    test_failures(dir, "evaluate", cases, sizeof cases / sizeof cases[0]);
    char *many = calloc(66, 20);
    assert_non_null(many);
    for (int i = 0; i < 65; i++)
        strcat(many, " --matrix matrix.csv");
    test_failure(dir, "evaluate", many, 2, "--matrix is there more than 64 times");
    *many = '\0';
    for (int i = 0; i < 64; i++)
        strcat(many, " a.csv");
    assert_int_equal(test_run(NULL, NULL, "cd %s && %s %s", dir, test_program("evaluate"), many), 0);
    strcat(many, " a.csv");
    test_failure(dir, "evaluate", many, 2, "65 score files, expected at most 64");
    free(many);
}

/* A pipe that nobody writes into is refused, not waited for. */
static void a_pipe_is_not_waited_for(void **state)
{
    (void)state;
    static const char *const ways[] = {"pipe", "--matrix pipe"};
    assert_int_equal(test_run(NULL, NULL, "mkfifo %s/pipe", dir), 0);
    for (int i = 0; i < 2; i++) {
        char *err;
        assert_int_equal(
            test_run(NULL, &err, "cd %s && timeout 20 %s %s", dir, test_program("evaluate"), ways[i]), 1);
        assert_true(test_is_line(err, "evaluate: ", "pipe: not a regular file"));
        free(err);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_papers_tables_come_out),
        cmocka_unit_test(other_matrices_are_rounded),
        cmocka_unit_test(a_score_file_as_text),
        cmocka_unit_test(two_systems_are_compared),
        cmocka_unit_test(csv_lines_are_in_order),
        cmocka_unit_test(csv_has_a_line_for_each_number),
        cmocka_unit_test(json_has_an_object_for_each_system_and_pair),
        cmocka_unit_test(predictions_are_written_whole_or_not_at_all),
        cmocka_unit_test(mistakes_are_told),
        cmocka_unit_test(a_pipe_is_not_waited_for),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
