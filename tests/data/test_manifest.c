/* Lists of clips: both kinds read, every mistake told with its place, counts, hashes, folds. */
#include "tests/common/files.h"
#include "tests/data/memory.h"

#include "data/data.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

static struct {
    tn_ctx *ctx; /* one thread */
    char *dir;   /* with everything below */
} all;

/* DIR/NAME, free()d by nobody until the test's end: a few, short. */
static const char *in(const char *name)
{
    static char path[8][400];
    static int next;
    next = (next + 1) % 8;
    snprintf(path[next], sizeof path[next], "%s/%s", all.dir, name);
    return path[next];
}

static void put_text(const char *name, const char *text)
{
    test_write_file(in(name), text, strlen(text));
}

static int set_up(void **state)
{
    (void)state;
    all.ctx = test_ctx(1, NULL);
    all.dir = test_make_dir();
    assert_int_equal(mkdir(in("f"), 0777), 0);
    put_text("f/1.png", "one");
    put_text("f/2.png", "two");
    put_text("a.mp4", "video");
    put_text("a.wav", "sound");
    put_text("b, \"b\".wav", "other");
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    test_remove_dir(all.dir);
    tn_ctx_destroy(all.ctx);
    return 0;
}

#define HEADER "name,frames,audio,label,split\n"

static tn_status read_csv_with(const char *text, const data_names *classes, data_manifest *m)
{
    put_text("m.csv", text);
    tn_clear_error(all.ctx);
    return data_manifest_read(all.ctx, in("m.csv"), classes, m);
}

static void a_csv_is_read(void **state)
{
    (void)state;
    data_manifest m;
    assert_ok(all.ctx, read_csv_with("\xef\xbb\xbf"
                                     "faces,split,label,audio,frames,name,source\r\n"
                                     "3,train,calm,a.wav,f,one,s1\r\n"
                                     "\r\n"
                                     ",train,\"fight, hard\",\"b, \"\"b\"\".wav\",,two,\r\n"
                                     "0,val,calm,,a.mp4,\"one\",s1",
                                     NULL, &m));
    assert_true(m.count == 3 && m.classes == 2);
    assert_string_equal(m.class_name[0], "calm");
    assert_string_equal(m.class_name[1], "fight, hard");
    const data_item *x = m.item;
    assert_string_equal(x[0].name, "one");
    assert_string_equal(x[0].frames, in("f"));
    assert_null(x[0].video);
    assert_string_equal(x[0].audio, in("a.wav"));
    assert_true(x[0].label == 0 && x[0].faces == 3 && x[0].line == 2);
    assert_string_equal(x[0].source, "s1");
    assert_true(!x[1].frames && !x[1].video && x[1].label == 1 && x[1].faces == -1 && x[1].line == 4);
    assert_string_equal(x[1].audio, in("b, \"b\".wav"));
    assert_string_equal(x[1].source, "two");
    assert_true(!x[2].frames && !x[2].audio && x[2].faces == 0);
    assert_string_equal(x[2].video, in("a.mp4"));
    assert_string_equal(x[2].split, "val");

    /* Written, elsewhere too, and read, it is the same. */
    assert_int_equal(mkdir(in("sub"), 0777), 0);
    for (int i = 0; i < 2; i++) {
        data_manifest again;
        const char *path = in(i ? "sub/again.csv" : "again.csv");
        data_names classes = {m.class_name, 2};
        assert_ok(all.ctx, data_manifest_write(all.ctx, path, &m));
        assert_ok(all.ctx, data_manifest_read(all.ctx, path, &classes, &again));
        assert_true(data_manifest_hash(&m) == data_manifest_hash(&again));
        for (size_t k = 0; k < 3; k++)
            if (x[k].audio)
                assert_string_equal(again.item[k].audio, x[k].audio);
        data_manifest_free(all.ctx, &again);
    }
    char *text = (char *)test_read_file(in("again.csv"), NULL);
    assert_string_equal(text, "name,frames,audio,label,split,source,faces\n"
                              "one,f,a.wav,calm,train,s1,3\n"
                              "two,,\"b, \"\"b\"\".wav\",\"fight, hard\",train,two,\n"
                              "one,a.mp4,,calm,val,s1,0\n");
    free(text);
    data_manifest_free(all.ctx, &m);
}

/* Classes: first appearance; VGAF's three in VGAF's order; or as given. */
static void classes_have_an_order(void **state)
{
    (void)state;
    static const char vgaf[] = HEADER "1,f,,negative,t\n2,f,,positive,t\n3,f,,neutral,t\n4,f,,,t\n";
    static const char other[] = HEADER "1,f,,negative,t\n2,f,,positive,t\n3,f,,calm,t\n";
    char *names[] = {(char[]){"calm"}, (char[]){"positive"}, (char[]){"negative"}};
    data_names given = {names, 3};
    const struct {
        const char *text;          /* of the file */
        const data_names *classes; /* given */
        const char *want[3];       /* names */
        int label[4];              /* of the clips */
    } cases[] = {{vgaf, NULL, {"positive", "neutral", "negative"}, {2, 0, 1, -1}},
                 {other, NULL, {"negative", "positive", "calm"}, {0, 1, 2}},
                 {other, &given, {"calm", "positive", "negative"}, {2, 1, 0}}};
    for (size_t i = 0; i < 3; i++) {
        data_manifest m;
        assert_ok(all.ctx, read_csv_with(cases[i].text, cases[i].classes, &m));
        assert_int_equal(m.classes, 3);
        for (int c = 0; c < 3; c++)
            assert_string_equal(m.class_name[c], cases[i].want[c]);
        for (size_t k = 0; k < m.count; k++)
            assert_int_equal(m.item[k].label, cases[i].label[k]);
        data_manifest_free(all.ctx, &m);
    }
}

static void refused(const char *path, const data_names *classes, tn_status want, const char *words)
{
    data_manifest m;
    tn_clear_error(all.ctx);
    assert_status(all.ctx, data_manifest_read(all.ctx, path, classes, &m), want);
    assert_true(!m.item && !m.class_name && !m.path && m.count == 0);
    if (!strstr(tn_error(all.ctx), words))
        fail_msg("\"%s\" does not say \"%s\"", tn_error(all.ctx), words);
}

static void bad_csv_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text, *words;
    } cases[] = {
        {"", "line 1: no header"},
        {"\n\n", "line 1: no header"},
        {"name,frames,audio,label\n", "line 1: no column split"},
        {"name,frames,audio,lable,split\n", "line 1: unknown column 'lable'"},
        {"name,frames,audio,label,split,name\n", "line 1: the column name is there twice"},
        {HEADER, "line 2: no clips below the header"},
        {HEADER "1,f,,x\n", "line 2: 4 columns, but the header has 5"},
        {HEADER "1,f,,x,t\n1,f,,x,t,2,3,4,5,6,7\n", "line 3: 11 columns, but the header has 5"},
        {HEADER "1,f,,x,t\n2,f,,x,t\n1,f,,x,t\n",
         "line 4: duplicate clip 1 in the split t, which is in line 2"},
        {HEADER "1,none,,x,t\n", "none: No such file"},
        {HEADER "1,f,none.wav,x,t\n", "line 2: audio "},
        {HEADER "1,f,f,x,t\n", "a folder, where a file is expected"},
        {HEADER "1,,,x,t\n", "line 2: clip 1 has neither frames nor audio"},
        {HEADER ",f,,x,t\n", "line 2: the name '' is empty"},
        {HEADER "../1,f,,x,t\n", "line 2: the name '../1' begins with a dot"},
        {HEADER "a/1,f,,x,t\n", "has a slash"},
        {HEADER "\"a\n1\",f,,x,t\n", "line 2: the name"},
        {HEADER "1,f,,\"x\ny\",t\n2,f,,x\n", "line 4: 4 columns"},
        {HEADER "1,f,,x,\n", "line 2: the split '' is empty"},
        {HEADER "1,f,,x,../t\n", "line 2: the split '../t'"},
        {HEADER "1,f,,,t\n", "no clip has a label"},
        {HEADER "1,\"f,,x,t\n\n\n", "line 2: a quote is not closed"},
        {HEADER "1,\"f\"f,,x,t\n", "line 2: text behind a closing quote"},
        {HEADER "1,f\"f\",,x,t\n", "line 2: a quote inside a field"},
        {"name,frames,audio,label,split,faces\n1,f,,x,t,-1\n", "line 2: faces cannot be '-1'"},
        {"name,frames,audio,label,split,faces\n1,f,,x,t,99999999999\n", "line 2: faces cannot be"},
        {"name,frames,audio,label,split,faces\n1,f,,x,t,two\n", "line 2: faces cannot be 'two'"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        put_text("bad.csv", cases[i].text);
        refused(in("bad.csv"), NULL, TN_FORMAT, cases[i].words);
        assert_true(strncmp(tn_error(all.ctx), in("bad.csv"), strlen(in("bad.csv"))) == 0);
    }
    test_write_file(in("bad.csv"), TEST_LITERAL(HEADER "1,f,,x,t\n2,f\0,,x,t\n"));
    refused(in("bad.csv"), NULL, TN_FORMAT, "line 3: a NUL byte");
    char *text = malloc(200000);
    memset(text, 'x', 199999);
    text[199999] = '\0';
    memcpy(text, HEADER, strlen(HEADER));
    put_text("bad.csv", text);
    refused(in("bad.csv"), NULL, TN_FORMAT, "line 2: longer than 65536 bytes");
    free(text);
    refused(in("none.csv"), NULL, TN_IO, "No such file");
}

static void given_classes_are_strict(void **state)
{
    (void)state;
    char *names[] = {(char[]){"x"}, (char[]){"y"}, (char[]){"x"}};
    put_text("bad.csv", HEADER "1,f,,x,t\n2,f,,z,t\n");
    refused(in("bad.csv"), &(data_names){names, 2}, TN_FORMAT,
            "line 3: unknown label 'z', expected one of the 2");
    put_text("bad.csv", HEADER "1,f,,x,t\n");
    refused(in("bad.csv"), &(data_names){names, 2}, TN_FORMAT, "no clip of the class y");
    refused(in("bad.csv"), &(data_names){names, 3}, TN_RANGE, "the class x is given twice");
}

/* ---- VGAF ------------------------------------------------------------------------------------------ */

/* A folder `name` with seven labelled clips and three without labels. */
static const char *make_vgaf(const char *name)
{
    assert_int_equal(test_run(NULL, NULL,
                              "mkdir '%s' && cd '%s' && mkdir -p Train/1_1 Train/1_2 Val/3_1 Test/Test_10 &&"
                              "touch Train/1_1.mp4 Train/2_1.mp4 Train/2_2.mp4 Train/1_1.wav Train/4_1.wav "
                              "Val/3_2.mp4 Test/Test_10.wav Test/Test_2.mp4 Test/Test_1.wav Test/notes.txt",
                              in(name), in(name)),
                     0);
    return in(name);
}

static void put_labels(const char *folder, const char *train, const char *val)
{
    char path[400];
    snprintf(path, sizeof path, "%s/Train_labels.txt", folder);
    test_write_file(path, train, strlen(train));
    snprintf(path, sizeof path, "%s/Val_labels.txt", folder);
    test_write_file(path, val, strlen(val));
}

#define TRAIN "Vid_name Label\r\n1_1 3\r\n1_2 1\r\n2_1 2\r\n2_2 2\r\n4_1 3\r\n"
#define VAL "Vid_name Label\n3_1 1\n3_2 3\n"

static void vgaf_is_read(void **state)
{
    (void)state;
    char *dir = strdup(make_vgaf("vgaf"));
    put_labels(dir, TRAIN, VAL);
    data_manifest m;
    assert_ok(all.ctx, data_manifest_read(all.ctx, dir, NULL, &m));
    static const struct {
        const char *split, *name, *source;
        int label;
        bool frames, video, audio;
    } want[] = {
        {"train", "1_1", "1", 2, true, false, true},
        {"train", "1_2", "1", 0, true, false, false},
        {"train", "2_1", "2", 1, false, true, false},
        {"train", "2_2", "2", 1, false, true, false},
        {"train", "4_1", "4", 2, false, false, true},
        {"val", "3_1", "3", 0, true, false, false},
        {"val", "3_2", "3", 2, false, true, false},
        {"test", "Test_1", "Test_1", -1, false, false, true},
        {"test", "Test_2", "Test_2", -1, false, true, false},
        {"test", "Test_10", "Test_10", -1, true, false, true},
    };
    assert_true(m.count == sizeof want / sizeof *want && m.classes == 3);
    for (size_t i = 0; i < m.count; i++) {
        const data_item *x = &m.item[i];
        assert_string_equal(x->name, want[i].name);
        assert_string_equal(x->split, want[i].split);
        assert_string_equal(x->source, want[i].source);
        assert_true(x->label == want[i].label && x->faces == -1);
        assert_true(!x->frames == !want[i].frames && !x->video == !want[i].video &&
                    !x->audio == !want[i].audio);
    }
    char path[400];
    snprintf(path, sizeof path, "%s/Train/2_1.mp4", dir);
    assert_string_equal(m.item[2].video, path);

    data_summary s;
    assert_ok(all.ctx, data_manifest_summary(all.ctx, &m, &s));
    assert_int_equal(s.splits, 3);
    const data_split_summary *t = &s.split[0];
    assert_string_equal(t->name, "train");
    assert_true(t->clips == 5 && t->sources == 3 && t->shared_sources == 0);
    assert_true(t->no_frames == 1 && t->no_audio == 1 && t->faces_known == 0);
    assert_true(t->clips_of_class[0] == 1 && t->clips_of_class[1] == 2 && t->clips_of_class[2] == 2);
    assert_true(t->clips_of_class[3] == 0 && s.split[2].clips_of_class[3] == 3 && s.split[2].sources == 3);
    data_summary_free(all.ctx, &s);

    data_selection some;
    assert_ok(all.ctx, data_manifest_select_labelled(all.ctx, &m, "train", &some));
    assert_true(some.count == 5 && some.index[4] == 4);
    tn_free(all.ctx, some.index);
    assert_ok(all.ctx, data_manifest_select(all.ctx, &m, "test", &some));
    assert_true(some.count == 3 && some.index[0] == 7);
    tn_free(all.ctx, some.index);
    assert_ok(all.ctx, data_manifest_select(all.ctx, &m, NULL, &some));
    assert_int_equal(some.count, 10);
    tn_free(all.ctx, some.index);
    const struct {
        const char *split, *words;
    } bad[] = {{"val", "no clip of the class neutral in the split val"},
               {"test", "clip Test_1 of the split test has no label"},
               {"dev", "no clips in the split dev, there are: train (5), val (2), test (3)"}};
    for (size_t i = 0; i < 3; i++) {
        tn_clear_error(all.ctx);
        assert_status(all.ctx, data_manifest_select_labelled(all.ctx, &m, bad[i].split, &some), TN_RANGE);
        assert_true(some.index == NULL && strstr(tn_error(all.ctx), bad[i].words));
    }
    data_manifest_free(all.ctx, &m);
    free(dir);
}

static void bad_vgaf_is_refused(void **state)
{
    (void)state;
    char *dir = strdup(make_vgaf("bad"));
    refused(dir, NULL, TN_IO, "Train_labels.txt: No such file");
    static const struct {
        const char *train, *val, *words;
    } cases[] = {
        {"", VAL, "Train_labels.txt: line 1: expected the header 'Vid_name Label'"},
        {"1_1 3\n", VAL, "Train_labels.txt: line 1: expected the header"},
        {TRAIN "1_1 4\n", VAL, "Train_labels.txt: line 7: unknown label '4'"},
        {TRAIN "1_1 positive\n", VAL, "Train_labels.txt: line 7: unknown label 'positive'"},
        {TRAIN "1_1\n", VAL, "Train_labels.txt: line 7: expected a clip, one space and a label"},
        {TRAIN "1_1 \n", VAL, "Train_labels.txt: line 7: expected a clip"},
        {TRAIN " 1\n", VAL, "Train_labels.txt: line 7: expected a clip"},
        {TRAIN "1_1  3\n", VAL, "Train_labels.txt: line 7: expected a clip"},
        {TRAIN "1_1 3 3\n", VAL, "Train_labels.txt: line 7: expected a clip"},
        {TRAIN "\n1_1 3\n", VAL,
         "Train_labels.txt: line 8: duplicate clip 1_1 in the split train, which is in line 2"},
        {TRAIN "9_1 3\n", VAL, "Train_labels.txt: line 7: clip 9_1 has no file: expected"},
        {TRAIN "../Val/3_1 3\n", VAL, "Train_labels.txt: line 7: the name '../Val/3_1' has a slash"},
        {TRAIN, "Vid_name Label\n", "Val_labels.txt: line 2: no clips below the header"},
        {"Vid_name Label\n1_1 3\n", "Vid_name Label\n3_1 3\n", "bad: no clip of the class positive"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        put_labels(dir, cases[i].train, cases[i].val);
        refused(dir, NULL, TN_FORMAT, cases[i].words);
    }
    put_labels(dir, TRAIN, VAL);
    char *names[] = {(char[]){"x"}};
    refused(dir, &(data_names){names, 1}, TN_RANGE, "has the classes positive, neutral, negative");
    free(dir);
}

/* ---- hashes ---------------------------------------------------------------------------------------- */

static void hashes_tell_what_changed(void **state)
{
    (void)state;
    static const char *const texts[] = {
        HEADER "1,f,a.wav,x,t\n2,f,,y,t\n", "name,frames,audio,label,split\n1,./f,a.wav,x,t\n2,f,,y,t\n\n",
        HEADER "1,f,a.wav,y,t\n2,f,,x,t\n", HEADER "1,f,,x,t\n2,f,,y,t\n",
        HEADER "1,f,a.wav,x,u\n2,f,,y,t\n", HEADER "3,f,a.wav,x,t\n2,f,,y,t\n",
    };
    uint64_t list[6], files[6], h;
    data_manifest m;
    for (size_t i = 0; i < 6; i++) {
        assert_ok(all.ctx, read_csv_with(texts[i], NULL, &m));
        list[i] = data_manifest_hash(&m);
        assert_ok(all.ctx, data_manifest_hash_files(all.ctx, &m, &files[i]));
        if (i < 5)
            data_manifest_free(all.ctx, &m);
    }
    assert_true(list[0] == list[1] && files[0] == files[1] && list[0] != files[0]);
    for (size_t i = 2; i < 6; i++)
        assert_true(list[i] != list[0] && files[i] != files[0]);
    put_text("f/2.png", "twO");
    assert_ok(all.ctx, data_manifest_hash_files(all.ctx, &m, &h));
    assert_true(h != files[5]);
    put_text("f/2.png", "two");
    put_text("a.wav", "soun");
    assert_ok(all.ctx, data_manifest_hash_files(all.ctx, &m, &h));
    assert_true(h != files[5]);
    put_text("a.wav", "sound");
    assert_ok(all.ctx, data_manifest_hash_files(all.ctx, &m, &h));
    assert_true(h == files[5]);
    data_manifest_free(all.ctx, &m);
    /* Reading it would have no end. */
    assert_ok(all.ctx, read_csv_with(HEADER "1,f,/dev/zero,x,t\n2,f,,y,t\n", NULL, &m));
    assert_status(all.ctx, data_manifest_hash_files(all.ctx, &m, &h), TN_IO);
    assert_non_null(strstr(tn_error(all.ctx), "/dev/zero: not a regular file"));
    tn_clear_error(all.ctx);
    data_manifest_free(all.ctx, &m);
}

/* ---- folds ----------------------------------------------------------------------------------------- */

/* 240 clips of 60 sources of different sizes, three classes. */
static void make_many(data_manifest *m, bool backwards)
{
    char *text = malloc(1 << 16);
    size_t used = (size_t)sprintf(text, "name,frames,audio,label,split,source\n");
    for (int k = 0; k < 240; k++) {
        int i = backwards ? 239 - k : k;
        int source = i < 120 ? i / 8 : 15 + (i - 120) * 45 / 120;
        used += (size_t)sprintf(text + used, "c%d,f,,%c,t,s%d\n", i, "abc"[(i * 7 + i / 5) % 3], source);
    }
    char *names[] = {(char[]){"a"}, (char[]){"b"}, (char[]){"c"}};
    assert_ok(all.ctx, read_csv_with(text, &(data_names){names, 3}, m));
    free(text);
}

static void folds_keep_sources_and_classes(void **state)
{
    (void)state;
    data_manifest m, back;
    size_t index[240];
    int fold[240], again[240], other[240], of_source[100], counts[5][3] = {{0}};
    static const int want[3] = {19, 19, 10}; /* of 96, 96 and 48 */
    make_many(&m, false);
    make_many(&back, true);
    for (size_t i = 0; i < 240; i++)
        index[i] = i;
    memset(of_source, -1, sizeof of_source);
    assert_ok(all.ctx, data_manifest_folds(all.ctx, &m, index, 240, 5, 3, fold));
    assert_ok(all.ctx, data_manifest_folds(all.ctx, &back, index, 240, 5, 3, again));
    assert_ok(all.ctx, data_manifest_folds(all.ctx, &m, index, 240, 5, 4, other));
    for (size_t i = 0; i < 240; i++) {
        int source = atoi(m.item[i].source + 1);
        assert_true(fold[i] >= 0 && fold[i] < 5);
        assert_true(of_source[source] == -1 || of_source[source] == fold[i]);
        of_source[source] = fold[i];
        counts[fold[i]][m.item[i].label]++;
        assert_int_equal(again[239 - i], fold[i]); /* the order of the list does not matter */
    }
    for (int f = 0; f < 5; f++)
        for (int c = 0; c < 3; c++)
            if (abs(counts[f][c] - want[c]) > 1)
                fail_msg("fold %d has %d clips of class %d, expected %d", f, counts[f][c], c, want[c]);
    assert_true(memcmp(fold, other, sizeof fold) != 0); /* the seed does */

    /* As many folds as sources: one each. */
    assert_ok(all.ctx, data_manifest_folds(all.ctx, &m, index, 240, 60, 0, fold));
    for (size_t i = 0; i < 240; i++)
        for (size_t k = 0; k < i; k++)
            assert_int_equal(fold[i] == fold[k], strcmp(m.item[i].source, m.item[k].source) == 0);
    static const int bad[] = {-1, 0, 1, 61, 241};
    for (size_t i = 0; i < 5; i++) {
        tn_clear_error(all.ctx);
        assert_status(all.ctx, data_manifest_folds(all.ctx, &m, index, 240, bad[i], 0, fold), TN_RANGE);
    }
    data_manifest_free(all.ctx, &m);
    data_manifest_free(all.ctx, &back);
}

static void a_source_in_two_splits_is_counted(void **state)
{
    (void)state;
    data_manifest m;
    data_summary s;
    assert_ok(all.ctx,
              read_csv_with("name,frames,audio,label,split,source,faces\n1,f,,x,train,p,2\n2,f,,x,val,p,\n"
                            "3,f,,x,val,q,\n4,f,,x,train,p,\n5,f,,x,val,p,\n",
                            NULL, &m));
    assert_ok(all.ctx, data_manifest_summary(all.ctx, &m, &s));
    assert_true(s.split[0].sources == 1 && s.split[0].shared_sources == 0 && s.split[0].faces_known == 1);
    assert_true(s.split[1].sources == 2 && s.split[1].shared_sources == 1);
    data_summary_free(all.ctx, &s);
    data_manifest_free(all.ctx, &m);
}

/* ---- memory ---------------------------------------------------------------------------------------- */

static tn_status use_everything(tn_ctx *ctx, void *arg)
{
    data_manifest m;
    data_summary s = {0};
    data_selection some = {0};
    uint64_t h;
    int fold[4];
    tn_status status = data_manifest_read(ctx, arg, NULL, &m);
    if (status != TN_OK)
        return status;
    status = data_manifest_summary(ctx, &m, &s);
    if (status == TN_OK)
        status = data_manifest_select_labelled(ctx, &m, "train", &some);
    if (status == TN_OK)
        status = data_manifest_folds(ctx, &m, some.index, some.count, 2, 0, fold);
    if (status == TN_OK)
        status = data_manifest_hash_files(ctx, &m, &h);
    if (status == TN_OK)
        status = data_manifest_write(ctx, in("written.csv"), &m);
    tn_free(ctx, some.index);
    data_summary_free(ctx, &s);
    data_manifest_free(ctx, &m);
    return status;
}

static void no_memory_leaves_nothing(void **state)
{
    (void)state;
    int before = open_files();
    put_text("m.csv", HEADER "1,f,,x,train\n2,,a.wav,y,train\n3,a.mp4,,,val\n");
    char *csv = strdup(in("m.csv")), *dir = strdup(make_vgaf("memory"));
    assert_true(fail_each_allocation(use_everything, csv) > 30);
    free(csv);
    put_labels(dir, "Vid_name Label\n4_1 3\n2_1 1\n2_2 2\n", "Vid_name Label\n3_2 3\n");
    assert_int_equal(test_run(NULL, NULL, "rm -r '%s/Test/Test_10'", dir), 0);
    assert_true(fail_each_allocation(use_everything, dir) > 30);
    free(dir);
    assert_int_equal(open_files(), before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_csv_is_read),
        cmocka_unit_test(classes_have_an_order),
        cmocka_unit_test(bad_csv_is_refused),
        cmocka_unit_test(given_classes_are_strict),
        cmocka_unit_test(vgaf_is_read),
        cmocka_unit_test(bad_vgaf_is_refused),
        cmocka_unit_test(hashes_tell_what_changed),
        cmocka_unit_test(folds_keep_sources_and_classes),
        cmocka_unit_test(a_source_in_two_splits_is_counted),
        cmocka_unit_test(no_memory_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
