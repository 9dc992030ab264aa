/* The program infer, run on generated clips with small untrained networks: its answers, and how it combines
 * what a clip and the weights have. */
#include "tests/apps/infer.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>

/* ---- answers --------------------------------------------------------------------------------------- */

/* The one JSON object that a command prints. */
static json_t *answer_of(int want_status, const char *arguments)
{
    char *out, *err;
    const int status = INFER(&out, &err, "--json %s", arguments);
    if (status != want_status)
        print_error("infer --json %s: %s", arguments, err);
    assert_int_equal(status, want_status);
    json_error_t error;
    json_t *answer = json_loads(out, JSON_REJECT_DUPLICATES, &error);
    assert_non_null(answer);
    free(out);
    free(err);
    return answer;
}

static void assert_text(const json_t *answer, const char *key, const char *want)
{
    const char *text = json_string_value(json_object_get(answer, key));
    assert_non_null(text);
    assert_string_equal(text, want);
}

/* Probabilities of good, plain and bad, in this order, that sum to 1. */
static void assert_scores(const json_t *answer, const char *key)
{
    static const char *const names[3] = {"good", "plain", "bad"};
    const json_t *scores = json_object_get(answer, key);
    assert_int_equal(json_object_size(scores), 3);
    double sum = 0;
    int at = 0;
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)scores, name, value)
    {
        assert_string_equal(name, names[at++]);
        assert_true(json_is_real(value));
        assert_true(json_real_value(value) >= 0 && json_real_value(value) <= 1);
        sum += json_real_value(value);
    }
    assert_true(fabs(sum - 1) < 1e-6);
}

static double score(const json_t *answer, const char *key, const char *name)
{
    return json_real_value(json_object_get(json_object_get(answer, key), name));
}

static void assert_json_null(const json_t *answer, const char *key)
{
    assert_true(json_is_null(json_object_get(answer, key)));
}

static void assert_note(const json_t *answer, const char *part)
{
    const json_t *notes = json_object_get(answer, "notes");
    assert_true(json_is_array(notes));
    if (!part) {
        assert_int_equal(json_array_size(notes), 0);
        return;
    }
    assert_int_equal(json_array_size(notes), 1);
    const char *note = json_string_value(json_array_get(notes, 0));
    if (!strstr(note, part))
        print_error("the note is \"%s\"\n", note);
    assert_non_null(strstr(note, part));
}

static void both_modalities_are_fused(void **state)
{
    (void)state;
    json_t *svm = answer_of(0, "--frames frames --audio sound.wav " NETWORKS " --fusion fusion.svm");
    assert_text(svm, "name", "frames");
    assert_text(svm, "status", "ok");
    assert_text(svm, "fusion", "svm");
    assert_scores(svm, "probabilities");
    assert_scores(svm, "video");
    assert_scores(svm, "audio");
    assert_note(svm, NULL);
    assert_true(json_real_value(json_object_get(svm, "seconds")) > 0);
    /* This SVM's label is the class of the largest sum. */
    static const char *const names[3] = {"good", "plain", "bad"};
    const char *best = names[0];
    for (int i = 1; i < 3; i++)
        if (score(svm, "video", names[i]) + score(svm, "audio", names[i]) >
            score(svm, "video", best) + score(svm, "audio", best))
            best = names[i];
    assert_text(svm, "valence", best);

    json_t *mean = answer_of(0, "--frames frames --audio sound.wav " NETWORKS);
    assert_text(mean, "fusion", "mean");
    assert_text(mean, "valence", best);
    for (int i = 0; i < 3; i++) {
        const double want = (score(svm, "video", names[i]) + score(svm, "audio", names[i])) / 2;
        assert_true(score(mean, "probabilities", names[i]) == want);
    }
    json_decref(mean);
    json_decref(svm);
}

static void the_mean_is_said_plainly(void **state)
{
    (void)state;
    char *out, *err;
    assert_int_equal(INFER(&out, &err, "--frames frames --audio sound.wav %s", NETWORKS), 0);
    assert_true(test_is_line(err, "infer: note: ", "mean of both"));
    assert_non_null(strstr(out, "fused by their mean\n"));
    free(out);
    free(err);
    assert_int_equal(INFER(&out, &err, "--quiet --frames frames --audio sound.wav %s", NETWORKS), 0);
    assert_string_equal(err, "");
    free(out);
    free(err);
}

static void an_svm_without_probabilities_gives_a_label_alone(void **state)
{
    (void)state;
    json_t *with = answer_of(0, "--frames frames --audio sound.wav " NETWORKS " --fusion fusion.svm");
    json_t *without = answer_of(0, "--frames frames --audio sound.wav " NETWORKS " --fusion plain.svm");
    assert_text(without, "valence", json_string_value(json_object_get(with, "valence")));
    assert_json_null(without, "probabilities");
    assert_scores(without, "video");
    assert_note(without, "no probabilities");
    json_decref(with);
    json_decref(without);
}

static void one_modality_alone_works_and_says_so(void **state)
{
    (void)state;
    json_t *video = answer_of(0, "--frames frames " NETWORKS " --fusion fusion.svm");
    assert_text(video, "fusion", "video");
    assert_json_null(video, "audio");
    assert_note(video, "no sound");
    assert_true(json_equal(json_object_get(video, "video"), json_object_get(video, "probabilities")));

    json_t *audio = answer_of(0, "sound.wav --audio-weights a.safetensors");
    assert_text(audio, "name", "sound.wav");
    assert_text(audio, "fusion", "audio");
    assert_json_null(audio, "video");
    assert_note(audio, NULL);
    assert_true(json_equal(json_object_get(audio, "audio"), json_object_get(audio, "probabilities")));

    json_t *blind = answer_of(0, "--frames frames --audio sound.wav --audio-weights a.safetensors");
    assert_text(blind, "fusion", "audio");
    assert_note(blind, "no video weights");
    json_t *deaf = answer_of(0, "--frames frames --audio sound.wav --video-weights v.safetensors");
    assert_text(deaf, "fusion", "video");
    assert_note(deaf, "no audio weights");
    json_decref(video);
    json_decref(audio);
    json_decref(blind);
    json_decref(deaf);

    char *out;
    assert_int_equal(INFER(&out, NULL, "--frames frames %s", NETWORKS), 0);
    assert_non_null(strstr(out, "from video (4 frames) alone\n"));
    free(out);
}

static void silence_and_short_sound_are_left_out_beside_frames(void **state)
{
    (void)state;
    json_t *silent = answer_of(0, "--frames frames --audio silence.wav " NETWORKS);
    assert_text(silent, "fusion", "video");
    assert_json_null(silent, "audio");
    assert_note(silent, "digital silence and is not used");
    json_t *alone = answer_of(0, "--audio silence.wav " NETWORKS);
    assert_text(alone, "fusion", "audio");
    assert_note(alone, "digital silence");
    json_t *brief = answer_of(0, "--frames frames --audio short.wav " NETWORKS);
    assert_text(brief, "fusion", "video");
    assert_json_null(brief, "audio");
    assert_note(brief, "400");
    json_t *nothing = answer_of(1, "--audio short.wav " NETWORKS);
    assert_json_null(nothing, "valence");
    assert_non_null(strstr(json_string_value(json_object_get(nothing, "status")), "short.wav"));
    json_decref(silent);
    json_decref(alone);
    json_decref(brief);
    json_decref(nothing);
}

static void features_that_are_no_numbers_count_as_zero_and_are_told(void **state)
{
    (void)state;
    json_t *answer = answer_of(0, "--audio silence.wav --audio-weights eps.safetensors");
    assert_text(answer, "status", "ok");
    assert_scores(answer, "audio");
    const json_t *notes = json_object_get(answer, "notes");
    assert_int_equal(json_array_size(notes), 2);
    assert_non_null(strstr(json_string_value(json_array_get(notes, 1)), "not numbers and count as 0"));
    json_t *sane = answer_of(0, "--audio sound.wav --audio-weights a.safetensors");
    assert_note(sane, NULL);
    json_t *harmonic = answer_of(0, "--audio sound.wav --audio-weights harmonic.safetensors");
    assert_scores(harmonic, "audio");
    json_decref(answer);
    json_decref(sane);
    json_decref(harmonic);
}

static void sound_is_resampled_where_the_weights_say_so(void **state)
{
    (void)state;
    json_t *plain = answer_of(0, "--audio sound.wav --audio-weights a.safetensors");
    json_t *slow = answer_of(0, "--audio sound.wav --audio-weights rate.safetensors");
    assert_scores(slow, "audio");
    assert_false(json_equal(json_object_get(plain, "audio"), json_object_get(slow, "audio")));
    json_decref(plain);
    json_decref(slow);
}

static void sound_is_known_by_its_content_too(void **state)
{
    (void)state;
    json_t *named = answer_of(0, "sound.wav " NETWORKS);
    json_t *other = answer_of(0, "sound.dat " NETWORKS);
    assert_text(other, "fusion", "audio");
    assert_true(json_equal(json_object_get(named, "audio"), json_object_get(other, "audio")));
    json_decref(named);
    json_decref(other);
}

static void activities_come_in_order_with_their_names(void **state)
{
    (void)state;
    json_t *answer = answer_of(
        0, "--activities 5 --video-weights nameless.safetensors --labels seven.txt --frames frames");
    assert_json_null(answer, "valence");
    assert_json_null(answer, "probabilities");
    const json_t *list = json_object_get(answer, "activities");
    assert_int_equal(json_array_size(list), 5);
    double last = 1;
    for (size_t i = 0; i < 5; i++) {
        const json_t *one = json_array_get(list, i);
        const double p = json_real_value(json_object_get(one, "probability"));
        assert_int_equal(strlen(json_string_value(json_object_get(one, "label"))), 1);
        assert_true(p > 0 && p <= last);
        last = p;
    }
    json_decref(answer);
    /* More than there are: all of them, which sum to 1. */
    answer = answer_of(0, "--activities 50 --video-weights nameless.safetensors --labels seven.txt frames");
    list = json_object_get(answer, "activities");
    assert_int_equal(json_array_size(list), 7);
    double sum = 0;
    for (size_t i = 0; i < 7; i++)
        sum += json_real_value(json_object_get(json_array_get(list, i), "probability"));
    assert_true(fabs(sum - 1) < 1e-6);
    json_decref(answer);
}

static void labels_name_the_classes_of_weights_without_names(void **state)
{
    (void)state;
    json_t *answer = answer_of(0, "--video-weights nameless.safetensors --labels seven.txt --frames frames");
    assert_int_equal(json_object_size(json_object_get(answer, "video")), 7);
    assert_int_equal(strlen(json_string_value(json_object_get(answer, "valence"))), 1);
    json_decref(answer);
}

static void any_number_of_frames_will_do(void **state)
{
    (void)state;
    static const struct {
        int count;        /* --num-frames */
        const char *text; /* of the answer */
    } cases[] = {{1, "from video (1 frame) alone\n"}, {3, "(3 frames)"}, {16, "(16 frames)"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char *out;
        assert_int_equal(INFER(&out, NULL, "--num-frames %d --frames frames %s", cases[i].count, NETWORKS),
                         0);
        assert_non_null(strstr(out, cases[i].text));
        free(out);
    }
    json_t *growing = answer_of(0, "--frames growing " NETWORKS);
    assert_scores(growing, "video");
    json_decref(growing);
}

static void video_files_bring_their_own_sound(void **state)
{
    (void)state;
    if (!test_have_ffmpeg()) {
        printf("skip: no ffmpeg\n");
        skip();
    }
    json_t *clip = answer_of(0, "clip.avi " NETWORKS);
    assert_text(clip, "fusion", "mean");
    assert_note(clip, NULL);
    json_t *same = answer_of(0, "--video clip.avi " NETWORKS);
    assert_true(json_equal(json_object_get(clip, "probabilities"), json_object_get(same, "probabilities")));
    json_t *mute = answer_of(0, "mute.avi " NETWORKS);
    assert_text(mute, "fusion", "video");
    assert_note(mute, "no sound");
    json_t *silent = answer_of(0, "silent.avi " NETWORKS);
    assert_text(silent, "fusion", "video");
    assert_note(silent, "digital silence");
    json_t *dubbed = answer_of(0, "mute.avi --audio sound.wav " NETWORKS);
    assert_text(dubbed, "fusion", "mean");
    assert_true(json_equal(json_object_get(clip, "video"), json_object_get(dubbed, "video")));
    json_decref(clip);
    json_decref(same);
    json_decref(mute);
    json_decref(silent);
    json_decref(dubbed);
}

static void a_batch_goes_on_behind_a_clip_that_fails(void **state)
{
    (void)state;
    char *out, *err;
    assert_int_equal(INFER(&out, &err, "--json frames empty sound.wav text.wav %s", NETWORKS), 3);
    static const char *const names[4] = {"frames", "empty", "sound.wav", "text.wav"};
    char *rest = out;
    for (int i = 0; i < 4; i++) {
        const char *line = strsep(&rest, "\n");
        json_t *answer = json_loads(line, JSON_REJECT_DUPLICATES, NULL);
        assert_text(answer, "name", names[i]);
        if (i % 2 == 0) {
            assert_text(answer, "status", "ok");
            assert_scores(answer, "probabilities");
        } else {
            assert_non_null(strstr(json_string_value(json_object_get(answer, "status")), names[i]));
            assert_json_null(answer, "valence");
            assert_json_null(answer, "probabilities");
            assert_json_null(answer, "video");
            assert_json_null(answer, "audio");
        }
        json_decref(answer);
    }
    assert_string_equal(rest, "");
    assert_non_null(strstr(err, "infer: empty"));
    assert_non_null(strstr(err, "infer: text.wav"));
    free(out);
    free(err);
}

/* The object of a line without the time that it took, as text. */
static char *timeless(const char *line)
{
    json_t *answer = json_loads(line, JSON_REJECT_DUPLICATES, NULL);
    assert_true(json_real_value(json_object_get(answer, "seconds")) >
                3e-6); /* reading a file that fails, too */
    json_object_del(answer, "seconds");
    char *text = json_dumps(answer, JSON_REAL_PRECISION(17));
    json_decref(answer);
    return text;
}

/* More clips than are read ahead, good and bad: each has the answer that it has alone, in the order given. */
static void clips_are_read_ahead_and_answered_in_order(void **state)
{
    (void)state;
    static const char *const name[] = {"frames", "text.wav", "sound.wav", "empty"};
    static const char order[] = "0203001230202021330";
    char *alone[4], *out, arguments[512] = "";
    for (int i = 0; i < 4; i++) {
        assert_int_equal(INFER(&out, NULL, "--json --quiet %s %s", name[i], NETWORKS), i % 2);
        alone[i] = timeless(out);
        free(out);
    }
    for (size_t i = 0; order[i]; i++)
        snprintf(arguments + strlen(arguments), sizeof arguments - strlen(arguments), " %s",
                 name[order[i] - '0']);
    for (int threads = 1; threads <= 3; threads++) {
        assert_int_equal(INFER(&out, NULL, "--json --quiet --threads %d %s %s", threads, arguments, NETWORKS),
                         3);
        char *rest = out;
        for (size_t i = 0; order[i]; i++) {
            char *answer = timeless(strsep(&rest, "\n"));
            assert_string_equal(answer, alone[order[i] - '0']);
            free(answer);
        }
        assert_string_equal(rest, "");
        free(out);
    }
    for (int i = 0; i < 4; i++)
        free(alone[i]);
}

static void the_number_of_threads_changes_no_bit(void **state)
{
    (void)state;
    char *first = NULL;
    for (int threads = 1; threads <= 3; threads++) {
        char arguments[256];
        snprintf(arguments, sizeof arguments,
                 "--threads %d --frames frames --audio sound.wav " NETWORKS " --fusion fusion.svm", threads);
        json_t *answer = answer_of(0, arguments);
        json_object_del(answer, "seconds");
        char *text = json_dumps(answer, JSON_REAL_PRECISION(17));
        json_decref(answer);
        if (!first) {
            first = text;
            continue;
        }
        assert_string_equal(text, first);
        free(text);
    }
    free(first);
}

static void bfloat16_is_an_option(void **state)
{
    (void)state;
    char *err;
    assert_int_equal(test_run(NULL, &err,
                              "cd %s && VALENCE_ISA=generic %s --precision bf16 " NETWORKS " frames", all.dir,
                              test_program("infer")),
                     1);
    assert_true(test_is_line(err, "infer: ", "AVX512_BF16, which the instruction set generic has not"));
    free(err);
    test_need_bf16();
    json_t *fp32 = answer_of(0, "--precision fp32 " NETWORKS " frames");
    json_t *bf16 = answer_of(0, "--precision bf16 " NETWORKS " frames");
    const double distance = fabs(score(fp32, "video", "good") - score(bf16, "video", "good"));
    assert_true(distance > 0 && distance < 0.05);
    json_decref(fp32);
    json_decref(bf16);
    assert_int_equal(INFER(NULL, &err, "--profile --precision bf16 %s frames", NETWORKS), 0);
    test_has(err, "1x3x4x64x64 > 1x4x4x32x32:bf16");
    free(err);
}

static void profile_is_a_table_on_stderr(void **state)
{
    (void)state;
    char *plain, *out, *err;
    assert_int_equal(INFER(&plain, NULL, "--frames frames --audio sound.wav %s", NETWORKS), 0);
    assert_int_equal(INFER(&out, &err, "--profile --frames frames --audio sound.wav %s", NETWORKS), 0);
    assert_string_equal(out, plain);
    static const char *const parts[] = {
        "video network: ", "audio network: ", "1x3x4x64x64 > ", "op ",     "name ", "shapes ", "ms ",
        "GFLOP/s",         "layer1.0.conv2",  "lstm",           "\n  all "};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        if (!strstr(err, parts[i]))
            fail_msg("no \"%s\" in: %s", parts[i], err);
    free(plain);
    free(out);
    free(err);
}

/* ---- real clips ------------------------------------------------------------------------------------ */

static void real_clips_with_and_without_sound(void **state)
{
    (void)state;
    static const char *const clips[3][3] = {{"fi013.mp4", "mean", NULL},
                                            {"fi001.mp4", "video", "digital silence"},
                                            {"fi077.mp4", "video", "no sound"}};
    char *data = test_data("groupclips");
    if (!test_have_ffmpeg()) {
        printf("skip: no ffmpeg\n");
        free(data);
        skip();
    }
    for (int i = 0; i < 3; i++) {
        char *path = realpath(data, NULL), arguments[5000];
        assert_non_null(path);
        snprintf(arguments, sizeof arguments, "%s/%s " NETWORKS, path, clips[i][0]);
        json_t *answer = answer_of(0, arguments);
        assert_text(answer, "status", "ok");
        assert_text(answer, "fusion", clips[i][1]);
        assert_scores(answer, "probabilities");
        assert_note(answer, clips[i][2]);
        json_decref(answer);
        free(path);
    }
    free(data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_modalities_are_fused),
        cmocka_unit_test(the_mean_is_said_plainly),
        cmocka_unit_test(an_svm_without_probabilities_gives_a_label_alone),
        cmocka_unit_test(one_modality_alone_works_and_says_so),
        cmocka_unit_test(silence_and_short_sound_are_left_out_beside_frames),
        cmocka_unit_test(features_that_are_no_numbers_count_as_zero_and_are_told),
        cmocka_unit_test(sound_is_resampled_where_the_weights_say_so),
        cmocka_unit_test(sound_is_known_by_its_content_too),
        cmocka_unit_test(activities_come_in_order_with_their_names),
        cmocka_unit_test(labels_name_the_classes_of_weights_without_names),
        cmocka_unit_test(any_number_of_frames_will_do),
        cmocka_unit_test(video_files_bring_their_own_sound),
        cmocka_unit_test(a_batch_goes_on_behind_a_clip_that_fails),
        cmocka_unit_test(clips_are_read_ahead_and_answered_in_order),
        cmocka_unit_test(the_number_of_threads_changes_no_bit),
        cmocka_unit_test(bfloat16_is_an_option),
        cmocka_unit_test(profile_is_a_table_on_stderr),
        cmocka_unit_test(real_clips_with_and_without_sound),
    };
    return cmocka_run_group_tests_name("infer", tests, set_up, tear_down);
}
