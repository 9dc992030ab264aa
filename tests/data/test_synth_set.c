/* Synthetic sets: what is planned, and what the program makes of it. */
#include "tests/common/files.h"
#include "tests/common/programs.h"
#include "tests/data/memory.h"

#include "data/data.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static data_synth_entry *plan(tn_ctx *ctx, const data_synth_set *set)
{
    data_synth_entry *entry = calloc((size_t)set->clips * DATA_SYNTH_CLASSES, sizeof *entry);
    assert_non_null(entry);
    assert_ok(ctx, data_synth_set_check(ctx, set));
    assert_ok(ctx, data_synth_set_plan(ctx, set, entry));
    return entry;
}

/* Each cue is right as often as it should, and whether one is says nothing of another. */
static void cues_are_imperfect_and_independent(void **state)
{
    (void)state;
    enum { N = 4000, CLIPS = N * DATA_SYNTH_CLASSES };
    tn_ctx *ctx = test_ctx(1, NULL);
    data_synth_set set = data_synth_set_defaults(N, 5);
    set.right[DATA_SYNTH_MOTION] = 0.75;
    set.opposite[DATA_SYNTH_POSTURE] = 0.5;
    data_synth_entry *entry = plan(ctx, &set);
    for (int a = 0; a < DATA_SYNTH_CUES; a++) {
        int right = 0, shown[3][3] = {{0}}, of_class[3] = {0};
        for (int i = 0; i < CLIPS; i++) {
            const bool good = entry[i].clip.cue[a] == entry[i].label;
            right += good;
            of_class[entry[i].label] += good;
            shown[entry[i].label][entry[i].clip.cue[a]]++;
        }
        const double p = set.right[a], tolerance = 4 * sqrt(p * (1 - p) / CLIPS);
        assert_true(fabs(right / (double)CLIPS - p) < tolerance);
        for (int c = 0; c < 3; c++)
            assert_true(fabs(of_class[c] / (double)N - p) < 2 * tolerance);
        const double wrong = (1 - p) * N, share = set.opposite[a], spread = 4 * sqrt(wrong);
        assert_true(fabs(shown[0][2] - share * wrong) < spread &&
                    fabs(shown[0][1] - (1 - share) * wrong) < spread);
        assert_true(fabs(shown[2][0] - share * wrong) < spread &&
                    fabs(shown[2][1] - (1 - share) * wrong) < spread);
        assert_true(fabs(shown[1][0] - wrong / 2) < spread && fabs(shown[1][2] - wrong / 2) < spread);
        for (int b = 0; b < a; b++) {
            int both = 0;
            for (int i = 0; i < CLIPS; i++)
                both += entry[i].clip.cue[a] == entry[i].label && entry[i].clip.cue[b] == entry[i].label;
            assert_true(fabs(both / (double)CLIPS - p * set.right[b]) < 0.02);
        }
    }
    free(entry);
    tn_ctx_destroy(ctx);
}

static void sources_have_one_split_and_every_class(void **state)
{
    (void)state;
    tn_ctx *ctx = test_ctx(1, NULL);
    static const int sizes[][4] = {{3, 1, 1, 1}, {7, 5, 1, 1}, {8, 4, 2, 2}, {40, 24, 8, 8}};
    for (size_t s = 0; s < 4; s++) {
        data_synth_set set = data_synth_set_defaults(sizes[s][0], 9), other = set;
        data_synth_entry *entry = plan(ctx, &set), *again = plan(ctx, &set);
        int count[3] = {0};
        other.seed++;
        data_synth_entry *different = plan(ctx, &other);
        for (int i = 0; i < set.clips; i++) {
            const data_synth_entry *e = &entry[3 * i];
            bool seen[3] = {false};
            for (int k = 0; k < 3; k++) {
                char name[64];
                snprintf(name, sizeof name, "%d_%d", i + 1, k + 1);
                assert_string_equal(e[k].name, name);
                assert_int_equal(atoi(e[k].source), i + 1);
                assert_string_equal(e[k].split, e[0].split);
                assert_true(e[k].clip.seed == e[0].clip.seed && e[k].clip.start >= 5.0 * k &&
                            e[k].clip.start <= 5.0 * k);
                assert_true(i == 0 || e[k].clip.seed != e[k - 3].clip.seed);
                seen[e[k].label] = true;
            }
            assert_true(seen[0] && seen[1] && seen[2]);
            count[strcmp(e->split, "train") == 0 ? 0 : strcmp(e->split, "val") == 0 ? 1 : 2]++;
        }
        for (int k = 0; k < 3; k++)
            assert_int_equal(count[k], sizes[s][k + 1]);
        assert_memory_equal(entry, again, (size_t)set.clips * 3 * sizeof *entry);
        assert_true(entry[0].clip.seed != different[0].clip.seed);
        free(entry);
        free(again);
        free(different);
    }
    tn_ctx_destroy(ctx);
}

static void a_clip_may_begin_later(void **state)
{
    (void)state;
    tn_ctx *ctx = test_ctx(1, NULL);
    char *dir = test_make_dir(), path[300];
    data_synth_options o = data_synth_defaults(2, 4);
    o.width = o.height = 32;
    o.seconds = 1;
    o.start = 5.5;
    snprintf(path, sizeof path, "%s/clip", dir);
    assert_ok(ctx, data_synth_write(ctx, path, &o, false));
    unsigned char want[32 * 32 * 3];
    data_image image;
    data_audio audio;
    data_synth_frame(&o, 5.5 + 0.3, want);
    snprintf(path, sizeof path, "%s/clip/frames/0004.png", dir);
    assert_ok(ctx, data_image_read(ctx, path, &image));
    assert_memory_equal(image.rgb, want, sizeof want);
    data_image_free(ctx, &image);
    snprintf(path, sizeof path, "%s/clip/audio.wav", dir);
    assert_ok(ctx, data_audio_read(ctx, path, 0, &audio));
    int16_t sample[100];
    data_synth_audio(&o, 88000, 100, sample);
    for (int i = 0; i < 100; i++)
        assert_true(audio.samples[i] * 32768 == sample[i]);
    data_audio_free(ctx, &audio);
    test_remove_dir(dir);
    tn_ctx_destroy(ctx);
}

static void bad_sets_are_refused(void **state)
{
    (void)state;
    tn_ctx *ctx = test_ctx(1, NULL);
    const data_synth_set good = data_synth_set_defaults(3, 0);
    enum { BAD = 8 };
    data_synth_set bad[BAD];
    for (int i = 0; i < BAD; i++)
        bad[i] = good;
    static const char *const words[] = {"2 clips of each class",
                                        "cue 3 is right with probability 1.5",
                                        "cue 0 is right with probability nan",
                                        "-1 seconds",
                                        "a start at -1 seconds",
                                        "a start at inf seconds",
                                        "cue 2, wrong, shows the opposite with probability -0.1",
                                        "cue 3, wrong, shows the opposite with probability nan"};
    bad[0].clips = 2;
    bad[1].right[3] = 1.5;
    bad[2].right[0] = NAN;
    bad[3].clip.seconds = -1;
    bad[4].clip.start = -1;
    bad[5].clip.start = INFINITY;
    bad[6].opposite[2] = -0.1;
    bad[7].opposite[3] = NAN;
    for (size_t i = 0; i < BAD; i++) {
        tn_clear_error(ctx);
        assert_status(ctx, data_synth_set_check(ctx, &bad[i]), TN_RANGE);
        assert_non_null(strstr(tn_error(ctx), words[i]));
    }
    tn_ctx_destroy(ctx);
}

static tn_status lists_once(tn_ctx *ctx, void *arg)
{
    char path[300], *temporary = NULL;
    data_synth_set set = data_synth_set_defaults(3, 0);
    data_synth_entry entry[9];
    snprintf(path, sizeof path, "%s/lists", (const char *)arg);
    tn_status status = data_synth_set_plan(ctx, &set, entry);
    if (status == TN_OK)
        status = data_synth_set_begin(ctx, path, &temporary);
    if (status == TN_OK)
        status = data_synth_set_finish(ctx, &set, entry, temporary, path);
    if (status != TN_OK && temporary)
        data_synth_set_abandon(temporary);
    if (status != TN_OK)
        assert_int_equal(test_count_files(arg), 0);
    tn_free(ctx, temporary);
    return status;
}

static void no_memory_leaves_nothing(void **state)
{
    (void)state;
    char *dir = test_make_dir();
    assert_true(fail_each_allocation(lists_once, dir) > 20);
    test_remove_dir(dir);
}

/* ---- the program ----------------------------------------------------------------------------------- */

#define SET "--seconds 0.4 --size 32x24 --seed 6"

static void the_program_makes_what_is_planned(void **state)
{
    (void)state;
    tn_ctx *ctx = test_ctx(1, NULL);
    char *dir = test_make_dir(), *out, *err, path[300];
    for (int threads = 1; threads <= 3; threads++) {
        assert_int_equal(test_run(&out, &err, "cd '%s' && '%s' --set 4 " SET " --threads %d set%d/", dir,
                                  test_program("synth"), threads, threads),
                         0);
        assert_string_equal(err, "");
        assert_non_null(strstr(out, "12 clips of 4 sources, 4 of each class, 0.4 s each\n"));
        free(out);
        free(err);
    }
    assert_int_equal(test_run(NULL, NULL, "cd '%s' && diff -r set1 set2 && diff -r set1 set3", dir), 0);

    data_synth_set set = data_synth_set_defaults(4, 6);
    set.clip.seconds = 0.4;
    set.clip.width = 32;
    set.clip.height = 24;
    data_synth_entry *entry = plan(ctx, &set);
    data_manifest list;
    snprintf(path, sizeof path, "%s/set1/manifest.csv", dir);
    assert_ok(ctx, data_manifest_read(ctx, path, NULL, &list));
    assert_int_equal(list.count, 12);
    assert_string_equal(list.class_name[0], "positive");
    for (size_t i = 0; i < 12; i++) {
        const data_item *x = &list.item[i];
        assert_string_equal(x->name, entry[i].name);
        assert_string_equal(x->source, entry[i].source);
        assert_string_equal(x->split, entry[i].split);
        assert_int_equal(x->label, entry[i].label);
        data_clip clip;
        unsigned char want[32 * 24 * 3];
        assert_ok(ctx, data_clip_from_dir(ctx, x->frames, 2, 24, 32, &clip));
        data_synth_frame(&entry[i].clip, entry[i].clip.start + 0.25, want);
        assert_memory_equal(clip.rgb + sizeof want, want, sizeof want);
        data_clip_free(ctx, &clip);
    }
    snprintf(path, sizeof path, "%s/set1/cues.csv", dir);
    char *cues = (char *)test_read_file(path, NULL), line[200];
    snprintf(line, sizeof line, "\n%s,%s,%s,%s,%s,%s\n", entry[7].name, data_synth_class(entry[7].label),
             data_synth_class(entry[7].clip.cue[0]), data_synth_class(entry[7].clip.cue[1]),
             data_synth_class(entry[7].clip.cue[2]), data_synth_class(entry[7].clip.cue[3]));
    assert_non_null(strstr(cues, line));
    free(cues);
    data_manifest_free(ctx, &list);
    free(entry);
    test_remove_dir(dir);
    tn_ctx_destroy(ctx);
}

static void probabilities_are_obeyed(void **state)
{
    (void)state;
    char *dir = test_make_dir(), *out;
    assert_int_equal(test_run(&out, NULL,
                              "cd '%s' && '%s' --quiet --set 3 " SET " --right 1 --right-sound 0 s && "
                              "tail -n +2 s/cues.csv | awk -F, '$2!=$3 || $2!=$4 || $2!=$5 || $2==$6'",
                              dir, test_program("synth")),
                     0);
    assert_string_equal(out, "");
    free(out);
    test_remove_dir(dir);
}

static void a_set_is_whole_or_not_there(void **state)
{
    (void)state;
    char *dir = test_make_dir(), *out, *err;
    test_failure(dir, "synth", "--set 2 x", 2, "--set cannot be '2'");
    test_failure(dir, "synth", "--set 3 --class positive x", 2, "--class does not go with it");
    test_failure(dir, "synth", "--set 3 --right 1.5 x", 2, "--right cannot be '1.5'");
    test_failure(dir, "synth", "--right 0.5 x", 2, "--right and --right-sound are for a --set");
    test_failure(dir, "synth", "--set 3 --seconds -1 x", 2, "--seconds cannot be '-1'");
    test_failure(dir, "synth", "--set 3 " SET " none/x", 1, "none/x: cannot be made");
    assert_int_equal(test_run(NULL, NULL, "mkdir -p '%s/full/thing'", dir), 0);
    test_failure(dir, "synth", "--set 3 " SET " full", 1, "full: the folder is there and is not empty");
    assert_int_equal(test_run(NULL, NULL, "rmdir '%s/full/thing' '%s/full'", dir, dir), 0);
    /* The sound has 12.8 kB. */
    assert_int_equal(test_run(&out, &err, "cd '%s' && bash -c 'ulimit -f 8; exec \"%s\" --set 3 " SET " x'",
                              dir, test_program("synth")),
                     1);
    assert_non_null(strstr(err, "audio.wav: cannot be written: File too large"));
    free(out);
    free(err);
    assert_int_equal(test_count_files(dir), 0);
    test_remove_dir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cues_are_imperfect_and_independent),
        cmocka_unit_test(sources_have_one_split_and_every_class),
        cmocka_unit_test(a_clip_may_begin_later),
        cmocka_unit_test(bad_sets_are_refused),
        cmocka_unit_test(no_memory_leaves_nothing),
        cmocka_unit_test(the_program_makes_what_is_planned),
        cmocka_unit_test(probabilities_are_obeyed),
        cmocka_unit_test(a_set_is_whole_or_not_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
