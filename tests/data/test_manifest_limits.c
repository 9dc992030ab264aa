/* Lists of clips at their limits: the longest names and lines, the most splits and classes; what the hash is
 * of; how ties between folds are broken; paths of a list that is read by a relative name. */
#include "tests/common/files.h"
#include "tests/common/programs.h"

#include "data/data.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct {
    tn_ctx *ctx; /* one thread */
    char *dir;   /* with everything below: a folder f, two video files, a sound */
} all;

static int set_up(void **state)
{
    (void)state;
    all.ctx = test_ctx(1, NULL);
    all.dir = test_make_dir();
    assert_int_equal(mkdir(test_in(all.dir, "f"), 0777), 0);
    test_write_file(test_in(all.dir, "v.mp4"), "video", 5);
    test_write_file(test_in(all.dir, "w.mp4"), "Video", 5);
    test_write_file(test_in(all.dir, "a.wav"), "sound", 5);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    test_remove_dir(all.dir);
    tn_ctx_destroy(all.ctx);
    return 0;
}

#define HEADER "name,frames,audio,label,split,source,faces\n"

/* Reads a list of that text, which ends with a message that has `words` in it, or well where that is NULL. */
static void read_list(const char *text, const char *words, data_manifest *m)
{
    test_write_file(test_in(all.dir, "m.csv"), text, strlen(text));
    tn_clear_error(all.ctx);
    const tn_status status = data_manifest_read(all.ctx, test_in(all.dir, "m.csv"), NULL, m);
    if (status != (words ? TN_FORMAT : TN_OK) || (words && !strstr(tn_error(all.ctx), words)))
        fail_msg("\"%.100s\": %s: %s", text, tn_status_text(status), tn_error(all.ctx));
    tn_clear_error(all.ctx);
}

/* A row in which cell `column` has `length` letters is read, one with a letter more is refused. */
static void longest(int column, int length, const char *words)
{
    static const char *const cell[7] = {"1", "f", "", "x", "t", "s", "3"};
    char *text = calloc(1, sizeof HEADER + 32 + (size_t)length);
    for (int more = 0; more < 2; more++) {
        char *at = text + sprintf(text, HEADER);
        for (int c = 0; c < 7; c++) {
            if (c == column)
                at = (char *)memset(at, 'n', (size_t)(length + more)) + length + more;
            else
                at += sprintf(at, "%s", cell[c]);
            *at++ = c < 6 ? ',' : '\n';
        }
        *at = '\0';
        data_manifest m;
        read_list(text, more ? words : NULL, &m);
        data_manifest_free(all.ctx, &m);
    }
    free(text);
}

static void names_have_a_longest(void **state)
{
    (void)state;
    longest(0, DATA_MANIFEST_MAX_NAME, "is too long (200 bytes at most)");
    longest(3, DATA_MANIFEST_MAX_NAME, "line 2: a label of more than 200 bytes");
    longest(4, DATA_MANIFEST_MAX_NAME, "is too long (200 bytes at most)");
    longest(5, DATA_MANIFEST_MAX_NAME, "is too long (200 bytes at most)");
}

static void lines_have_a_longest(void **state)
{
    (void)state;
    data_manifest m;
    char *text = calloc(1, sizeof HEADER + 32 + DATA_MANIFEST_MAX_LINE);
    /* The cells and a NUL behind each are in one buffer; the last is what is too much. */
    for (int more = 0; more < 2; more++) {
        const size_t head = (size_t)sprintf(text, HEADER "1,f,,x,t,s,");
        memset(text + head, '0', DATA_MANIFEST_MAX_LINE);
        strcpy(text + sizeof HEADER - 1 + DATA_MANIFEST_MAX_LINE - 1 + more, "\n");
        read_list(text, more ? "line 2: longer than 65536 bytes" : NULL, &m);
        data_manifest_free(all.ctx, &m);
    }
    free(text);
    read_list(HEADER "1,f,,x,t,s,1000000\n", NULL, &m);
    assert_int_equal(m.item[0].faces, 1000000);
    data_manifest_free(all.ctx, &m);
    read_list(HEADER "1,f,,x,t,s,1000001\n", "faces cannot be '1000001', expected a number up to 1000000",
              &m);
    read_list("name,frames,audio,label,split,source,faces,faces\n", "line 1: the column faces", &m);
}

static void splits_and_classes_have_a_most(void **state)
{
    (void)state;
    enum { ROW = 40 };
    data_manifest m;
    data_summary s;
    char *text = calloc(DATA_MANIFEST_MAX_CLASSES + 2, ROW);
    /* As many splits as there may be and then classes, and one more of each. */
    for (int i = 0; i < 4; i++) {
        const int most = i < 2 ? DATA_MANIFEST_MAX_SPLITS : DATA_MANIFEST_MAX_CLASSES, more = i % 2;
        char *at = text + sprintf(text, HEADER);
        for (int k = 0; k < most + more; k++)
            at += i < 2 ? sprintf(at, "1,f,,x,t%d,s,0\n", k)
                        : sprintf(at, "%d,f,,x%d,t%d,s,0\n", k, k, k / 100);
        test_write_file(test_in(all.dir, "m.csv"), text, strlen(text));
        tn_clear_error(all.ctx);
        assert_status(all.ctx, data_manifest_read(all.ctx, test_in(all.dir, "m.csv"), NULL, &m),
                      more ? TN_RANGE : TN_OK);
        if (more)
            test_has(tn_error(all.ctx),
                     i < 2 ? "m.csv: more than 64 splits" : "m.csv: more than 4096 classes");
        else {
            assert_ok(all.ctx, data_manifest_summary(all.ctx, &m, &s));
            assert_int_equal(s.splits, i < 2 ? most : most / 100 + 1);
            assert_int_equal(s.split[0].faces_known, s.split[0].clips); /* 0 faces is a number, too */
            data_summary_free(all.ctx, &s);
        }
        data_manifest_free(all.ctx, &m);
    }
    free(text);
}

/* Each list differs from the first in one thing. */
static void the_hash_is_of_everything(void **state)
{
    (void)state;
    static const char *const row[] = {
        "1,f,a.wav,x,t,s,3\n", "1,v.mp4,a.wav,x,t,s,3\n", "1,f,,x,t,s,3\n",      "1,,a.wav,x,t,s,3\n",
        "1,f,a.wav,x,t,s,4\n", "1,f,a.wav,x,t,s,\n",      "1,f,a.wav,x,t,r,3\n", "1,f,a.wav,y,t,s,3\n",
        "2,f,a.wav,x,t,s,3\n", "1,f,a.wav,x,u,s,3\n",
    };
    enum { ROWS = sizeof row / sizeof row[0] };
    uint64_t hash[ROWS];
    for (size_t i = 0; i < ROWS; i++) {
        data_manifest m;
        char *text = test_text(HEADER "%s", row[i]);
        read_list(text, NULL, &m);
        free(text);
        hash[i] = data_manifest_hash(&m);
        data_manifest_free(all.ctx, &m);
        for (size_t k = 0; k < i; k++)
            if (hash[i] == hash[k])
                fail_msg("\"%s\" and \"%s\" have one hash", row[i], row[k]);
    }
}

static void the_hash_of_files_is_of_videos_too(void **state)
{
    (void)state;
    uint64_t hash[2];
    for (int i = 0; i < 2; i++) {
        data_manifest m;
        read_list(i ? HEADER "1,w.mp4,,x,t,s,3\n" : HEADER "1,v.mp4,,x,t,s,3\n", NULL, &m);
        assert_ok(all.ctx, data_manifest_hash_files(all.ctx, &m, &hash[i]));
        if (i) {
            assert_int_equal(rename(m.item[0].video, test_in(all.dir, "gone")), 0);
            assert_status(all.ctx, data_manifest_hash_files(all.ctx, &m, &hash[i]), TN_IO);
            test_has(tn_error(all.ctx), "w.mp4: No such file");
            assert_int_equal(rename(test_in(all.dir, "gone"), m.item[0].video), 0);
        }
        data_manifest_free(all.ctx, &m);
    }
    assert_true(hash[0] != hash[1]);
}

/* Where the classes leave a choice, clips without a label too, the folds get equally many clips. */
static void folds_are_of_equal_size(void **state)
{
    (void)state;
    enum { CLIPS = 40, FOLDS = 4 };
    data_manifest m;
    size_t index[CLIPS];
    int fold[CLIPS], counts[FOLDS][3] = {{0}};
    char *text = calloc(CLIPS + 2, 40), *at = text + sprintf(text, HEADER);
    /* Of the first class 8 clips, of the second 8 and 24 of none, each clip a source. */
    for (int i = 0; i < CLIPS; i++) {
        at += sprintf(at, "%d,f,,%s,t,s%d,\n", i, i < 8 ? "x" : i < 16 ? "y" : "", i);
        index[i] = (size_t)i;
    }
    read_list(text, NULL, &m);
    free(text);
    assert_ok(all.ctx, data_manifest_folds(all.ctx, &m, index, CLIPS, FOLDS, 1, fold));
    for (int i = 0; i < CLIPS; i++)
        counts[fold[i]][i < 8 ? 0 : i < 16 ? 1 : 2]++;
    for (int f = 0; f < FOLDS; f++) {
        assert_int_equal(counts[f][0], 2);
        assert_int_equal(counts[f][1], 2);
        assert_int_equal(counts[f][2], 6);
    }
    /* Of three classes a clip each goes to its own fold: there are fewest clips. */
    data_manifest_free(all.ctx, &m);
    read_list(HEADER "1,f,,x,t,a,\n2,f,,y,t,b,\n3,f,,z,t,c,\n", NULL, &m);
    assert_ok(all.ctx, data_manifest_folds(all.ctx, &m, index, 3, 3, 1, fold));
    assert_true(fold[0] != fold[1] && fold[1] != fold[2] && fold[0] != fold[2]);
    data_manifest_free(all.ctx, &m);
}

/* A list that is read by a relative name and written into another folder leads to the same files. */
static void relative_paths_are_written_from_the_root(void **state)
{
    (void)state;
    data_manifest m, again;
    char before[4096];
    assert_non_null(getcwd(before, sizeof before));
    test_write_file(test_in(all.dir, "m.csv"), HEADER "1,f,a.wav,x,t,s,3\n",
                    strlen(HEADER "1,f,a.wav,x,t,s,3\n"));
    assert_int_equal(chdir(all.dir), 0);
    assert_int_equal(mkdir("sub", 0777), 0);
    assert_ok(all.ctx, data_manifest_read(all.ctx, "m.csv", NULL, &m));
    assert_string_equal(m.item[0].audio, "a.wav");
    assert_ok(all.ctx, data_manifest_write(all.ctx, "sub/m.csv", &m));
    assert_int_equal(chdir("sub"), 0);
    assert_ok(all.ctx, data_manifest_read(all.ctx, "m.csv", NULL, &again));
    /* A name without a folder has no folder's name to be taken off. */
    assert_ok(all.ctx, data_manifest_write(all.ctx, "n.csv", &again));
    data_manifest_free(all.ctx, &again);
    assert_ok(all.ctx, data_manifest_read(all.ctx, "n.csv", NULL, &again));
    assert_int_equal(unlink("n.csv"), 0);
    assert_int_equal(chdir(before), 0);
    char *a = realpath(test_in(all.dir, "a.wav"), NULL), *f = realpath(test_in(all.dir, "f"), NULL);
    assert_string_equal(again.item[0].audio, a);
    assert_string_equal(again.item[0].frames, f);
    free(a);
    free(f);
    /* Where the file is gone its name from the root is not known. */
    assert_status(all.ctx, data_manifest_write(all.ctx, test_in(all.dir, "sub/n.csv"), &m), TN_IO);
    test_has(tn_error(all.ctx), "f: No such file");
    assert_int_equal(test_count_files(test_in(all.dir, "sub")), 1);
    data_manifest_free(all.ctx, &m);
    data_manifest_free(all.ctx, &again);
}

/* ---- VGAF ------------------------------------------------------------------------------------------ */

/* The message of a folder with such a label file for training. */
static void refuse_labels(const char *labels, const data_names *classes, tn_status want, const char *words)
{
    data_manifest m;
    test_write_file(test_in(all.dir, "vgaf/Train_labels.txt"), labels, strlen(labels));
    tn_clear_error(all.ctx);
    assert_status(all.ctx, data_manifest_read(all.ctx, test_in(all.dir, "vgaf"), classes, &m), want);
    test_has(tn_error(all.ctx), words);
}

static void vgaf_is_strict(void **state)
{
    (void)state;
    assert_int_equal(test_run(NULL, NULL,
                              "cd %s && mkdir -p vgaf/Train vgaf/Val && touch vgaf/Train/1_1.mp4 "
                              "vgaf/Train/.h.mp4 vgaf/Val/2_1.mp4",
                              all.dir),
                     0);
    test_write_file(test_in(all.dir, "vgaf/Val_labels.txt"), "Vid_name Label\n2_1 1\n", 21);
#define VGAF "Vid_name Label\n"
    static const char header[] = "line 1: expected the header 'Vid_name Label'";
    refuse_labels("Vid_name Label 2\n1_1 1\n", NULL, TN_FORMAT, header);
    refuse_labels("Vid_name Labem\n1_1 1\n", NULL, TN_FORMAT, header);
    refuse_labels("Vid_name Labe\n1_1 1\n", NULL, TN_FORMAT, header);
    refuse_labels(VGAF ".h 1\n", NULL, TN_FORMAT,
                  "line 2: the name '.h' has a slash in it or begins with a dot");
    refuse_labels(VGAF "a/b 1\n", NULL, TN_FORMAT, "line 2: the name 'a/b' has a slash");
    refuse_labels(VGAF "1_1 12\n", NULL, TN_FORMAT, "line 2: unknown label '12'");
    refuse_labels(VGAF "1_1 0\n", NULL, TN_FORMAT, "line 2: unknown label '0'");
    char *names[] = {(char[]){"positive"}, (char[]){"negative"}, (char[]){"neutral"}, (char[]){"more"}};
    for (size_t count = 2; count <= 4; count++)
        refuse_labels(VGAF "1_1 1\n", &(data_names){names, count}, TN_RANGE,
                      "a folder of labels 1 to 3 has the classes positive, neutral, negative");
    char *line = calloc(1, 32 + DATA_MANIFEST_MAX_LINE);
    memset(line + sprintf(line, VGAF), 'n', DATA_MANIFEST_MAX_NAME + 1);
    strcat(line, " 1\n");
    refuse_labels(line, NULL, TN_FORMAT, "line 2: a name of 201 bytes, expected at most 200");
    memset(line + sprintf(line, VGAF), 'n', DATA_MANIFEST_MAX_LINE + 1);
    refuse_labels(line, NULL, TN_FORMAT, "line 2: longer than 65536 bytes");
    free(line);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_have_a_longest),
        cmocka_unit_test(lines_have_a_longest),
        cmocka_unit_test(splits_and_classes_have_a_most),
        cmocka_unit_test(the_hash_is_of_everything),
        cmocka_unit_test(the_hash_of_files_is_of_videos_too),
        cmocka_unit_test(folds_are_of_equal_size),
        cmocka_unit_test(relative_paths_are_written_from_the_root),
        cmocka_unit_test(vgaf_is_strict),
    };
    return cmocka_run_group_tests_name("limits of lists", tests, set_up, tear_down);
}
