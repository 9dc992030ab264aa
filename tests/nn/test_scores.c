/* Score files, confusion matrices in files, predictions: what is written comes back, what is wrong is told.
 */
#include "tests/common/files.h"
#include "tests/common/hostile.h"

#include "nn/nn.h"

#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void put(test_bench *b, const char *text)
{
    test_write_file(b->path, text, strlen(text));
    tn_clear_error(b->ctx);
}

/* Puts `text` and reads it. */
static nn_scores scores_of(test_bench *b, const char *text)
{
    nn_scores scores;
    put(b, text);
    assert_ok(b->ctx, nn_scores_read(b->ctx, b->path, &scores));
    return scores;
}

static void expect_message(test_bench *b, tn_status got, tn_status want, const char *message)
{
    if (got != want || !strstr(tn_error(b->ctx), message))
        fail_msg("%s (%s), expected %s (%s)", tn_status_text(got), tn_error(b->ctx), tn_status_text(want),
                 message);
    tn_clear_error(b->ctx);
}

static void expect_same(const nn_scores *a, const nn_scores *b)
{
    assert_int_equal(a->classes, b->classes);
    assert_int_equal(a->count, b->count);
    for (int k = 0; k < a->classes; k++)
        assert_string_equal(a->class_name[k], b->class_name[k]);
    for (size_t i = 0; i < a->count; i++) {
        const nn_score *x = &a->row[i], *y = &b->row[i];
        assert_string_equal(x->name, y->name);
        assert_string_equal(x->source ? x->source : "", y->source);
        assert_string_equal(x->split ? x->split : "", y->split);
        assert_int_equal(x->label, y->label);
        assert_int_equal(x->predicted, y->predicted);
        assert_int_equal(x->faces, y->faces);
        assert_int_equal(x->probability == NULL, y->probability == NULL);
        if (x->probability)
            assert_memory_equal(x->probability, y->probability, (size_t)a->classes * sizeof(double));
    }
}

enum { ROWS = 200, CLASSES = 4 };

/* Clips of all kinds: names that want quotes, no label, no probabilities; `value` has room for all. */
static void draw_scores(nn_score *row, double *value, char (*name)[32])
{
    static const char *const ends[] = {"", "_1", ",x", "\"q\"", " a b ", "\nline", "\r\n", "\xc3\xa4"};
    for (size_t i = 0; i < ROWS; i++) {
        const float u = tn_uniform(8, 1, i);
        double sum = 0, *p = value + i * CLASSES;
        for (size_t k = 0; k < CLASSES; k++)
            sum += p[k] = pow((double)tn_uniform(8, 2, i * CLASSES + k), 9);
        for (int k = 0; k < CLASSES; k++)
            p[k] /= sum;
        snprintf(name[i], sizeof name[i], "%zu%s", i, ends[i % 8]);
        row[i] = (nn_score){.name = name[i],
                            .label = (int)(i % (CLASSES + 1)) - 1,
                            .predicted = (int)(u * CLASSES),
                            .source = i % 3 ? name[i / 3] : NULL,
                            .faces = (int)(i % 9) - 1,
                            .split = i % 2 ? "val" : "",
                            .probability = i % 7 == 3 ? NULL : p};
    }
}

static const char *class_names[CLASSES] = {"positive", "neutral, or so", "\"negative\"", "x y"};

static void what_is_written_comes_back(void **state)
{
    test_bench *b = *state;
    static nn_score row[ROWS];
    static double value[ROWS * CLASSES];
    static char name[ROWS][32];
    draw_scores(row, value, name);
    const nn_scores made = {.classes = CLASSES, .class_name = class_names, .count = ROWS, .row = row};
    assert_ok(b->ctx, nn_scores_write(b->ctx, b->path, &made));
    size_t size, again;
    unsigned char *bytes = test_read_file(b->path, &size);
    nn_scores back;
    assert_ok(b->ctx, nn_scores_read(b->ctx, b->path, &back));
    expect_same(&made, &back);
    assert_ok(b->ctx, nn_scores_write(b->ctx, b->path, &back));
    unsigned char *second = test_read_file(b->path, &again);
    assert_int_equal(size, again);
    assert_memory_equal(bytes, second, size);
    nn_scores_free(b->ctx, &back);
    free(bytes);
    free(second);
}

static void a_file_as_it_is_written(void **state)
{
    test_bench *b = *state;
    const nn_score row[] = {{.name = "1_1",
                             .label = 0,
                             .predicted = 1,
                             .source = "1",
                             .faces = 4,
                             .split = "val",
                             .probability = (const double[]){0.25, 0.75}},
                            {.name = "a,b", .label = -1, .faces = -1}};
    const nn_scores made = {
        .classes = 2, .class_name = (const char *[]){"x", "y"}, .count = 2, .row = (nn_score *)row};
    assert_ok(b->ctx, nn_scores_write(b->ctx, b->path, &made));
    unsigned char *text = test_read_file(b->path, NULL);
    assert_string_equal(text, "name,label,predicted,source,faces,split,x,y\n"
                              "1_1,x,y,1,4,val,0.25,0.75\n"
                              "\"a,b\",,x,,,,,\n");
    free(text);
}

static void columns_come_in_any_order(void **state)
{
    test_bench *b = *state;
    nn_scores s = scores_of(b, "\xef\xbb\xbf"
                               "\r\n\n"
                               "no,name,faces,\"a \"\"yes\"\"\"\r\n"
                               "0.25,\"c,1\",12,0.75\r\n"
                               "\n5e-1,c2,,0.5\r\n\r\n"
                               "0.6,\"c\n3\",0,0.4\n\n\r");
    assert_int_equal(s.classes, 2);
    assert_string_equal(s.class_name[0], "no");
    assert_string_equal(s.class_name[1], "a \"yes\"");
    assert_int_equal(s.count, 3);
    assert_string_equal(s.row[0].name, "c,1");
    assert_string_equal(s.row[2].name, "c\n3");
    assert_int_equal(s.row[0].predicted, 1);
    assert_int_equal(s.row[1].predicted, 0); /* the first of equals */
    assert_int_equal(s.row[2].predicted, 0);
    assert_int_equal(s.row[0].label, -1);
    assert_int_equal(s.row[0].faces, 12);
    assert_int_equal(s.row[1].faces, -1);
    assert_int_equal(s.row[2].faces, 0);
    assert_true(s.row[1].probability[0] == 0.5);
    assert_string_equal(s.row[0].split, "");
    assert_int_equal(s.row[2].line, 8);
    nn_scores_free(b->ctx, &s);
}

static void bad_score_files_are_told_by_line(void **state)
{
    test_bench *b = *state;
    static const struct {
        const char *text, *message;
    } bad[] = {
        {"", "x: the file is empty"},
        {"\n\r\n", "x: the file is empty"},
        {"label,a,b\n", ":1: no column \"name\""},
        {"name,a\nc,1\n", ":1: 1 column of classes, expected at least 2"},
        {"name,a,b,a\n", ":1: there are two columns \"a\""},
        {"name,a,b,name\n", ":1: there are two columns \"name\""},
        {"name,a,,b\n", ":1: column 3 has no name"},
        {"name,a,b\nc,1,0\n\n\r\nd,1\n", ":5: 2 cells"},
        {"name,a,b\n\"\"\n", ":2: 1 cell, the header has 3"},
        {"name,a,b\nc,1,0\nd,1\n", ":3: 2 cells, the header has 3"},
        {"name,a,b\nc,1,0,\n", ":2: 4 cells, the header has 3"},
        {"name,a,b\nc,1,0\nd,0,1\nc,1,0\nd,1,0\n", ":4: clip \"c\" is on line 2 already"},
        {"name,a,b\n\"c\nc\",1,0\nd,1\n", ":4: 2 cells"},
        {"name,a,b\n,1,0\n", ":2: no name"},
        {"name,label,a,b\nc,A,1,0\n", ":2: label \"A\" is not one of the class columns"},
        {"name,predicted,a,b\nc,name,1,0\n", ":2: predicted \"name\" is not one"},
        {"name,predicted,a,b\nc,,1,0\n", ":2: no predicted class"},
        {"name,a,b\nc,,\n", ":2: neither a predicted class nor probabilities"},
        {"name,a,b\nc,1,\n", ":2: 1 of 2 probabilities are there"},
        {"name,a,b\nc,1,x\n", ":2: b: \"x\" is not a number"},
        {"name,a,b\nc,\"0,5\",0.5\n", ":2: a: \"0,5\" is not a number"},
        {"name,a,b\nc,nan,1\n", ":2: a: \"nan\" is not a number"},
        {"name,a,b\nc,inf,1\n", "is not a number"},
        {"name,a,b\nc,0x1,0\n", "is not a number"},
        {"name,a,b\nc, 1,0\n", "is not a number"},
        {"name,a,b\nc,1.1,-0.1\n", ":2: b: a probability of -0.1"},
        {"name,a,b\nc,0.5,0.4989\n", ":2: the probabilities' sum is 0.9989, expected 1 within 0.001"},
        {"name,a,b\nc,0.5,0.5011\n", "sum is 1.0011"},
        {"name,faces,a,b\nc,-1,1,0\n", ":2: faces: \"-1\" is not a whole number of at least 0"},
        {"name,faces,a,b\nc,2.5,1,0\n", ":2: faces: \"2.5\""},
        {"name,a,b\n\"c,1,0\n", ":2: a quote is not closed"},
        {"name,a,b\n\"c\"d,1,0\n", ":2: text behind a closing quote"},
        {"name,a,b\nc\"d\",1,0\n", ":2: a quote inside a cell"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        nn_scores s;
        put(b, bad[i].text);
        const long held = b->memory.blocks;
        expect_message(b, nn_scores_read(b->ctx, b->path, &s), TN_FORMAT, bad[i].message);
        assert_int_equal(b->memory.blocks, held);
    }
    nn_scores s;
    test_write_file(b->path, TEST_LITERAL("name,a,b\nc\0,1,0\n"));
    expect_message(b, nn_scores_read(b->ctx, b->path, &s), TN_FORMAT, "not a text file");
    expect_message(b, nn_scores_read(b->ctx, "nowhere/x.csv", &s), TN_IO, "nowhere/x.csv");
    s = scores_of(b, "name,a,b\nc,0.5,0.4991\nd,0.5,0.5009\n");
    nn_scores_free(b->ctx, &s);
    s = scores_of(b, "name,a,b\n");
    assert_int_equal(s.count, 0);
    nn_scores_free(b->ctx, &s);
}

static void more_than_the_limits_is_refused_before_memory(void **state)
{
    test_bench *b = *state;
    nn_scores s;
    test_bytes bytes = {0};
    test_put_text(&bytes, "name,a,b\n");
    for (int i = 0; i <= NN_MAX_CLIPS; i++)
        test_put_text(&bytes, "c,1,0\n");
    test_write_file(b->path, bytes.data, bytes.size);
    b->memory.peak = b->memory.bytes;
    expect_message(b, nn_scores_read(b->ctx, b->path, &s), TN_UNSUPPORTED, "262145 clips of 2 classes");
    assert_true(b->memory.peak < bytes.size + (1 << 20));
    bytes.size = 0;
    test_put_text(&bytes, "name");
    for (int i = 0; i <= NN_MAX_SCORE_CLASSES; i++) {
        char *name = test_text(",c%d", i);
        test_put_text(&bytes, name);
        free(name);
    }
    test_write_file(b->path, bytes.data, bytes.size);
    expect_message(b, nn_scores_read(b->ctx, b->path, &s), TN_UNSUPPORTED, "more than 1024 classes");
    test_put_text(&bytes, ",d,e,f,g,h,i");
    test_write_file(b->path, bytes.data, bytes.size);
    expect_message(b, nn_scores_read(b->ctx, b->path, &s), TN_UNSUPPORTED, "1032 columns");
    free(bytes.data);
}

static void what_could_not_be_read_is_not_written(void **state)
{
    test_bench *b = *state;
    const double half[] = {0.5, 0.5}, nan[] = {NAN, 1}, negative[] = {1.1, -0.1}, little[] = {0.4, 0.4};
    const struct {
        const char *class_name[2];
        nn_score row[2];
        const char *message;
    } bad[] = {
        {{"a", "name"}, {{.name = "c"}, {.name = "d"}}, "cannot be called \"name\""},
        {{"a", ""}, {{.name = "c"}, {.name = "d"}}, "cannot be called \"\""},
        {{"a", "a"}, {{.name = "c"}, {.name = "d"}}, "cannot be called \"a\" twice"},
        {{"a", "b"}, {{.name = "c"}, {.name = "c"}}, "clip \"c\" is there twice"},
        {{"a", "b"}, {{.name = "c"}, {.name = ""}}, "clip 2 has no name"},
        {{"a", "b"}, {{.name = "c"}, {.name = "d", .label = 2}}, "clip \"d\": label 2"},
        {{"a", "b"}, {{.name = "c"}, {.name = "d", .label = -2}}, "label -2"},
        {{"a", "b"}, {{.name = "c"}, {.name = "d", .predicted = -1}}, "predicted -1"},
        {{"a", "b"}, {{.name = "c", .predicted = 2}, {.name = "d"}}, "clip \"c\": label 0, predicted 2"},
        {{"a", "b"}, {{.name = "c"}, {.name = "d", .faces = -2}}, "-2 faces"},
        {{"a", "b"}, {{.name = "c", .probability = half}, {.name = "d", .probability = nan}}, "sum nan"},
        {{"a", "b"}, {{.name = "c", .probability = negative}, {.name = "d"}}, "the least of them -0.1"},
        {{"a", "b"}, {{.name = "c", .probability = little}, {.name = "d"}}, "sum 0.8"},
    };
    put(b, "old");
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const nn_scores s = {.classes = 2,
                             .class_name = (const char **)bad[i].class_name,
                             .count = 2,
                             .row = (nn_score *)bad[i].row};
        expect_message(b, nn_scores_write(b->ctx, b->path, &s), TN_RANGE, bad[i].message);
    }
    unsigned char *text = test_read_file(b->path, NULL);
    assert_string_equal(text, "old");
    free(text);
    assert_int_equal(test_count_files(b->dir), 1);
}

/* Every prefix of a file is read or told, and nothing is left of it. */
static void prefixes_are_read_or_told(void **state)
{
    test_bench *b = *state;
    static const char text[] = "name,label,predicted,source,faces,split,x,\"y,\"\r\n"
                               "1_1,x,\"y,\",1,4,val,0.25,0.75\r\n"
                               "\"a \"\"b\",,x,,,,,\r\n";
    const long held = b->memory.blocks;
    for (size_t size = 0; size < sizeof text; size++) {
        nn_scores s;
        test_write_file(b->path, text, size);
        tn_clear_error(b->ctx);
        const tn_status status = nn_scores_read(b->ctx, b->path, &s);
        assert_true(status == TN_OK || (status == TN_FORMAT && strstr(tn_error(b->ctx), b->path)));
        assert_true(status == TN_OK || b->memory.blocks == held);
        if (status == TN_OK)
            nn_scores_free(b->ctx, &s);
    }
    tn_clear_error(b->ctx);
}

static void every_allocation_may_fail(void **state)
{
    test_bench *b = *state;
    const char *matrix = "t,x,y\nx,1,2\ny,3,4\n";
    const char *good = "name,label,x,y\n1,x,1,0\n2,,0,1\n";
    char *out = test_text("%s/out", b->dir), *published = test_text("%s/m", b->dir);
    test_write_file(published, matrix, strlen(matrix));
    put(b, good);
    const long held = b->memory.blocks;
    for (long at = 1, failed = 1; failed; at++) {
        nn_scores s = {0};
        nn_matrix m = {0};
        nn_paired paired;
        size_t count;
        const nn_selection all = {0};
        tn_clear_error(b->ctx);
        b->memory.calls = 0;
        b->memory.fail_at = at;
        tn_status status = nn_matrix_read(b->ctx, published, &m);
        status = status == TN_OK ? nn_scores_read(b->ctx, b->path, &s) : status;
        status = status == TN_OK ? nn_scores_write(b->ctx, out, &s) : status;
        status = status == TN_OK ? nn_scores_compare(b->ctx, &s, &s, &all, &paired) : status;
        status = status == TN_OK ? nn_predictions_write(b->ctx, out, &s, &all, &count) : status;
        failed = b->memory.calls >= at;
        b->memory.fail_at = 0;
        assert_int_equal(status, failed ? TN_NOMEM : TN_OK);
        nn_scores_free(b->ctx, &s);
        nn_matrix_free(b->ctx, &m);
        assert_int_equal(b->memory.blocks, held);
    }
    tn_clear_error(b->ctx);
    assert_int_equal(test_count_files(b->dir), 3);
    assert_int_equal(remove(out), 0);
    assert_int_equal(remove(published), 0);
    free(out);
    free(published);
}

static void numbers_have_points_in_every_locale(void **state)
{
    test_bench *b = *state;
    char *dir = test_make_dir();
    if (!test_use_decimal_comma(dir)) {
        test_remove_dir(dir);
        print_message("skip: no locale with a decimal comma here\n");
        skip();
    }
    nn_scores s = scores_of(b, "name,a,b\nc,0.25,0.75\n");
    assert_true(s.row[0].probability[1] == 0.75);
    assert_ok(b->ctx, nn_scores_write(b->ctx, b->path, &s));
    char number[16];
    snprintf(number, sizeof number, "%.1f", 0.5);
    setlocale(LC_ALL, "C");
    test_remove_dir(dir);
    assert_string_equal(number, "0,5");
    unsigned char *text = test_read_file(b->path, NULL);
    assert_non_null(strstr((char *)text, ",0.25,0.75\n"));
    free(text);
    nn_scores_free(b->ctx, &s);
}

/* ---- counting -------------------------------------------------------------------------------------- */

static const char six_clips[] = "name,label,predicted,faces,split,a,b\n"
                                "1,a,a,3,val,,\n"
                                "2,a,b,4,val,,\n"
                                "3,b,b,5,val,,\n"
                                "4,b,b,,val,,\n"
                                "5,b,a,9,train,,\n"
                                "6,,a,1,val,,\n";

static void labelled_and_selected_clips_are_counted(void **state)
{
    test_bench *b = *state;
    nn_scores s = scores_of(b, six_clips);
    static const struct {
        nn_selection selection;
        int64_t clips, matrix[4];
    } cases[] = {
        {{0}, 5, {1, 1, 1, 2}},
        {{.split = "val"}, 4, {1, 1, 0, 2}},
        {{.split = "test"}, 0, {0, 0, 0, 0}},
        {{.split = ""}, 0, {0, 0, 0, 0}},
        {{.faces = NN_FACES_FEWER, .limit = 5}, 2, {1, 1, 0, 0}},
        {{.faces = NN_FACES_MORE, .limit = 5}, 2, {0, 0, 1, 1}},
        {{.faces = NN_FACES_UNKNOWN, .limit = 5}, 1, {0, 0, 0, 1}},
        {{.split = "val", .faces = NN_FACES_MORE, .limit = 4}, 2, {0, 1, 0, 1}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int64_t matrix[4] = {9, 9, 9, 9};
        assert_int_equal(nn_scores_confusion(&s, &cases[i].selection, matrix), cases[i].clips);
        assert_memory_equal(matrix, cases[i].matrix, sizeof matrix);
    }
    nn_scores_free(b->ctx, &s);
}

static void systems_are_compared_on_the_clips_they_share(void **state)
{
    test_bench *b = *state;
    /* Other order of clips and classes; 1 is not there, 7 only here, 5 is not labelled. */
    nn_scores s = scores_of(b, six_clips);
    nn_scores t =
        scores_of(b, "name,label,predicted,split,b,a\n"
                     "7,a,a,val,,\n6,a,a,val,,\n5,,b,train,,\n4,b,a,val,,\n3,b,b,val,,\n2,a,a,val,,\n");
    nn_paired p;
    const nn_selection all = {0};
    assert_ok(b->ctx, nn_scores_compare(b->ctx, &s, &t, &all, &p));
    assert_int_equal(p.clips, 3);
    assert_int_equal(p.both, 1);   /* 3 */
    assert_int_equal(p.first, 1);  /* 4 */
    assert_int_equal(p.second, 1); /* 2 */
    assert_int_equal(p.neither, 0);
    assert_true(p.test.exact && p.test.p == 1);
    const nn_selection train = {.split = "train"};
    assert_ok(b->ctx, nn_scores_compare(b->ctx, &s, &s, &train, &p));
    assert_int_equal(p.clips, 1);
    assert_int_equal(p.neither, 1);
    nn_scores_free(b->ctx, &t);
    t = scores_of(b, "name,label,a,b\n3,a,1,0\n");
    char *message = test_text("clip \"3\" is labelled b in %s but a in %s", s.path, t.path);
    expect_message(b, nn_scores_compare(b->ctx, &s, &t, &all, &p), TN_FORMAT, message);
    free(message);
    nn_scores made = t;
    made.path = NULL;
    expect_message(b, nn_scores_compare(b->ctx, &s, &made, &all, &p), TN_FORMAT, "but a in scores in memory");
    nn_scores_free(b->ctx, &s);
    nn_scores_free(b->ctx, &t);
}

static void predictions_are_a_label_file(void **state)
{
    test_bench *b = *state;
    nn_scores s = scores_of(
        b, "name,label,split,positive,neutral,negative\n"
           "Test_1,,test,0.2,0.3,0.5\nx,neutral,test,1,0,0\nTest_2,,test,1,0,0\n3.5_1,,val,0,1,0\n");
    char *out = test_text("%s/out", b->dir);
    size_t count;
    const nn_selection all = {0}, test = {.split = "test"}, none = {.split = "train"};
    assert_ok(b->ctx, nn_predictions_write(b->ctx, out, &s, &all, &count));
    assert_int_equal(count, 3);
    unsigned char *text = test_read_file(out, NULL);
    assert_string_equal(text, "Vid_name Label\nTest_1 3\nTest_2 1\n3.5_1 2\n");
    free(text);
    assert_ok(b->ctx, nn_predictions_write(b->ctx, out, &s, &test, &count));
    assert_int_equal(count, 2);
    expect_message(b, nn_predictions_write(b->ctx, out, &s, &none, &count), TN_RANGE, "no unlabelled clip");
    nn_scores_free(b->ctx, &s);
    static const char *const names[] = {"a b", "a.mp4", "\"a\nb\"", "a\tb", "x/1_1.MP4", "a.x"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char *bad = test_text("name,a,b\nfine,1,0\n%s,0,1\n", names[i]);
        s = scores_of(b, bad);
        expect_message(b, nn_predictions_write(b->ctx, out, &s, &all, &count), TN_RANGE,
                       "without white space and file endings");
        nn_scores_free(b->ctx, &s);
        free(bad);
    }
    text = test_read_file(out, NULL);
    assert_string_equal(text, "Vid_name Label\nTest_1 3\nTest_2 1\n");
    free(text);
    assert_int_equal(test_count_files(b->dir), 2);
    assert_int_equal(remove(out), 0);
    free(out);
}

/* ---- matrices -------------------------------------------------------------------------------------- */

static void a_matrix_is_read_by_its_names(void **state)
{
    test_bench *b = *state;
    nn_matrix m;
    put(b,
        "# a comment, \"with quotes\n# percentages: truncated\r\n,x,\"y,z\"\r\n\"y,z\",3,4\r\n\nx,1,2\r\n\r\n");
    assert_ok(b->ctx, nn_matrix_read(b->ctx, b->path, &m));
    assert_int_equal(m.classes, 2);
    assert_string_equal(m.class_name[1], "y,z");
    assert_memory_equal(m.count, ((int64_t[]){1, 2, 3, 4}), 4 * sizeof(int64_t));
    assert_true(m.truncated);
    nn_matrix_free(b->ctx, &m);
    put(b, "# percentages: rounded\nt,x,y\nx,1,0\ny,0,0\n");
    assert_ok(b->ctx, nn_matrix_read(b->ctx, b->path, &m));
    assert_false(m.truncated);
    nn_matrix_free(b->ctx, &m);
}

static void bad_matrices_are_told_by_line(void **state)
{
    test_bench *b = *state;
    static const struct {
        const char *text, *message;
    } bad[] = {
        {"", "x: there is no matrix in it"},
        {"# only this\n", "x: there is no matrix in it"},
        {"# percentages: cut\nt,x,y\nx,1,2\ny,3,4\n", ":1: # percentages: expected"},
        {"# percentages:\nt,x,y\n", ":1: # percentages: expected"},
        {"# percentages: rounded truncated\nt,x,y\n", ":1: # percentages: expected"},
        {"t,x\nx,1\n", ":1: 1 predicted class in the header"},
        {"t,x,x\n", ":1: there are two columns \"x\""},
        {"t,x,\n", ":1: column 3 has no name"},
        {"#\nt,x,y\nx,1,2\nx,3,4\n", ":4: there are two rows \"x\""},
        {"t,x,y\nz,1,2\n", ":2: true class \"z\" is not one of the columns"},
        {"t,x,y\nx,1,2\n", "x: no row \"y\""},
        {"t,x,y\nx,1\ny,3,4\n", ":2: 2 cells, the header has 3"},
        {"t,x,y\nx,1,2,3\ny,3,4\n", ":2: 4 cells, the header has 3"},
        {"t,x,y\nx,1,2\n\ny,3\n", ":4: 2 cells"},
        {"t,x,y\nx,1,-2\ny,3,4\n", ":2: \"-2\" is not a count"},
        {"t,x,y\nx,1,2\ny,3,4.5\n", ":3: \"4.5\" is not a count"},
        {"t,x,y\nx,1,\ny,3,4\n", ":2: \"\" is not a count"},
        {"t,x,y\nx,1,99999999999\ny,3,4\n", "\"99999999999\" is not a count"},
        {"t,x,y\nx,0,0\ny,0,0\n", "x: all counts are 0"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        nn_matrix m;
        put(b, bad[i].text);
        const long held = b->memory.blocks;
        expect_message(b, nn_matrix_read(b->ctx, b->path, &m), TN_FORMAT, bad[i].message);
        assert_int_equal(b->memory.blocks, held);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, test_bench_open, test_bench_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_is_written_comes_back),
        TEST(a_file_as_it_is_written),
        TEST(columns_come_in_any_order),
        TEST(bad_score_files_are_told_by_line),
        TEST(more_than_the_limits_is_refused_before_memory),
        TEST(what_could_not_be_read_is_not_written),
        TEST(prefixes_are_read_or_told),
        TEST(every_allocation_may_fail),
        TEST(numbers_have_points_in_every_locale),
        TEST(labelled_and_selected_clips_are_counted),
        TEST(systems_are_compared_on_the_clips_they_share),
        TEST(predictions_are_a_label_file),
        TEST(a_matrix_is_read_by_its_names),
        TEST(bad_matrices_are_told_by_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
