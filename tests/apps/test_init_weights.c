/* The program init-weights: what it writes depends on its options alone and opens as a model. */
#include "tests/common/programs.h"

#include "nn/nn.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct {
    tn_ctx *ctx; /* for making and opening files */
    char *dir;   /* with everything below */
} all;

#define SMALL "--width 4 --blocks 1,2,1,1 --size 64 --num-frames 4"

#define INIT(out, err, format, ...)                                                                          \
    test_run((out), (err), "cd %s && %s " format, all.dir, test_program("init-weights"), __VA_ARGS__)

static int set_up(void **state)
{
    (void)state;
    all.ctx = test_ctx(2, NULL);
    all.dir = test_make_dir();
    test_write_frames(all.ctx, test_in(all.dir, "frames"), 6, 0);
    test_write_wav(test_in(all.dir, "sound.wav"), 8000, 8000);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    test_remove_dir(all.dir);
    tn_ctx_destroy(all.ctx);
    return 0;
}

static void a_video_network_has_the_sizes_and_facts_that_were_asked_for(void **state)
{
    (void)state;
    assert_int_equal(INIT(NULL, NULL, "--video v.safetensors --classes yes,no %s", SMALL), 0);
    const nn_model_options options = {.kind = NN_VIDEO};
    nn_model *model;
    assert_ok(all.ctx, nn_model_open(all.ctx, test_in(all.dir, "v.safetensors"), &options, &model));
    const nn_facts *facts = nn_model_facts(model);
    assert_int_equal(facts->classes, 2);
    assert_string_equal(facts->class_name[0], "yes");
    assert_string_equal(facts->class_name[1], "no");
    assert_int_equal(facts->frames, 4);
    assert_int_equal(facts->size, 64);
    const nn_video_config *config = nn_model_video(model);
    assert_int_equal(config->width, 4);
    assert_int_equal(config->blocks[1], 2);
    assert_int_equal(config->blocks[2], 1);
    nn_model_close(model);
}

static void an_audio_network_has_the_sizes_and_facts_that_were_asked_for(void **state)
{
    (void)state;
    assert_int_equal(
        INIT(NULL, NULL,
             "--audio a.safetensors --classes a,b,c --dense 6 --cells 5 --harmonic --rate %d --norm none "
             "--attention softmax-query --eps 1e-8",
             16000),
        0);
    const nn_model_options options = {.kind = NN_AUDIO};
    nn_model *model;
    assert_ok(all.ctx, nn_model_open(all.ctx, test_in(all.dir, "a.safetensors"), &options, &model));
    const nn_facts *facts = nn_model_facts(model);
    assert_int_equal(facts->classes, 3);
    assert_int_equal(facts->rate, 16000);
    assert_true(facts->eps == 1e-8);
    assert_int_equal(facts->scaling.norm, NN_NORM_NONE);
    const nn_audio_config *config = nn_model_audio(model);
    assert_int_equal(config->inputs, 36);
    assert_int_equal(config->dense[1], 6);
    assert_int_equal(config->cells, 5);
    assert_int_equal(config->kind, NN_ATTENTION_SOFTMAX);
    nn_model_close(model);
}

/* The paper's network where nothing is said. */
static void defaults_are_those_that_help_names(void **state)
{
    (void)state;
    assert_int_equal(INIT(NULL, NULL, "--quiet --audio a.safetensors --classes %s", "a,b"), 0);
    const nn_model_options options = {.kind = NN_AUDIO};
    nn_model *model;
    assert_ok(all.ctx, nn_model_open(all.ctx, test_in(all.dir, "a.safetensors"), &options, &model));
    const nn_audio_config *config = nn_model_audio(model);
    assert_int_equal(config->dense[0], 512);
    assert_int_equal(config->cells, 128);
    assert_int_equal(config->kind, NN_ATTENTION_LOCAL);
    assert_int_equal(nn_model_facts(model)->scaling.norm, NN_NORM_FRAME);
    nn_model_close(model);
    assert_int_equal(INIT(NULL, NULL, "--video v.safetensors --classes a,b --blocks %s", "1,1,1,1"), 0);
    const nn_model_options video = {.kind = NN_VIDEO};
    assert_ok(all.ctx, nn_model_open(all.ctx, test_in(all.dir, "v.safetensors"), &video, &model));
    assert_int_equal(nn_model_video(model)->width, 64);
    assert_int_equal(nn_model_facts(model)->size, 224);
    assert_int_equal(nn_model_facts(model)->frames, 10);
    nn_model_close(model);
}

static void the_same_seed_gives_the_same_bytes_whatever_the_threads(void **state)
{
    (void)state;
    for (int threads = 1; threads <= 3; threads++)
        assert_int_equal(
            INIT(NULL, NULL,
                 "--video %d.safetensors --classes a,b --calibrate frames --threads %d --seed 7 %s", threads,
                 threads, SMALL),
            0);
    assert_int_equal(
        INIT(NULL, NULL, "--video 8.safetensors --classes a,b --calibrate frames --seed %d %s", 8, SMALL), 0);
    assert_int_equal(test_run(NULL, NULL,
                              "cd %s && cmp 1.safetensors 2.safetensors && cmp 1.safetensors 3.safetensors",
                              all.dir),
                     0);
    assert_int_equal(test_run(NULL, NULL, "cd %s && cmp -s 1.safetensors 8.safetensors", all.dir), 1);
}

/* The largest distance of bn1's running variance from the 1 that it begins with. */
static double moved(const char *name)
{
    wt_file *file;
    assert_ok(all.ctx, wt_open(all.ctx, test_in(all.dir, name), &file));
    const wt_entry *entry = wt_find(file, "bn1.running_var");
    assert_non_null(entry);
    const float *value = wt_floats(entry);
    assert_non_null(value);
    double most = 0;
    for (size_t i = 0; i < entry->count; i++)
        most = fmax(most, fabs((double)value[i] - 1));
    wt_close(file);
    return most;
}

static void calibration_takes_statistics_from_the_clip(void **state)
{
    (void)state;
    assert_int_equal(INIT(NULL, NULL, "--video raw.safetensors --num-classes 3 %s", SMALL), 0);
    assert_int_equal(
        INIT(NULL, NULL, "--video sane.safetensors --num-classes 3 --calibrate frames %s", SMALL), 0);
    assert_true(moved("raw.safetensors") == 0);
    assert_true(moved("sane.safetensors") > 1e-3);
    char *err = NULL;
    assert_int_equal(
        INIT(NULL, &err, "--video p.safetensors --num-classes 3 --calibrate frames --profile %s", SMALL), 0);
    assert_non_null(strstr(err, "layer1.0.conv2"));
    free(err);
}

static void bad_input_gives_one_line(void **state)
{
    (void)state;
    static const test_mistake cases[] = {
        {SMALL " --video v.safetensors --classes a,,b", 1, "class"},
        {SMALL " --video v.safetensors --classes a,b,a", 1, "class"},
        {SMALL " --video missing/v.safetensors --classes a,b", 1, "missing/v.safetensors"},
        {SMALL " --video v.safetensors --classes a,b --calibrate missing.mp4", 1, "missing.mp4"},
        {SMALL " --video v.safetensors --classes a,b --calibrate sound.wav", 1, "sound.wav"},
        {"--classes a,b", 2, "--video"},
        {"--video v --audio a --classes a,b", 2, "--video"},
        {"--video v", 2, "--classes"},
        {"--video v --classes a,b --num-classes 2", 2, "--classes"},
        {"--video v --classes a,b --blocks 1,2,3", 2, "--blocks"},
        {"--video v --classes a,b --blocks 1,2,3,4,5", 2, "--blocks"},
        {"--video v --classes a,b --blocks 0,2,3,4", 2, "--blocks"},
        {"--video v --classes a,b --seed -1", 2, "--seed"},
        {"--video v --classes a,b --seed 99999999999999999999", 2, "--seed"},
        {"--audio a --classes a,b --norm train", 2, "--norm"},
        {"--audio a --classes a,b --attention none", 2, "--attention"},
        {"--audio a --classes a,b --calibrate frames", 2, "--calibrate is for the other network"},
        {"--audio a --classes a,b --width 3", 2, "--width"},
        {"--audio a --classes a,b --blocks 1,1,1,1", 2, "--blocks"},
        {"--audio a --classes a,b --size 32", 2, "--size"},
        {"--audio a --classes a,b --num-frames 3", 2, "--num-frames"},
        {"--video v --classes a,b --dense 3", 2, "--dense"},
        {"--video v --classes a,b --cells 3", 2, "--cells"},
        {"--video v --classes a,b --rate 8000", 2, "--rate"},
        {"--video v --classes a,b --eps 0.1", 2, "--eps"},
        {"--video v --classes a,b --harmonic", 2, "--harmonic"},
        {"--video v --classes a,b --norm frame", 2, "--norm"},
        {"--video v --classes a,b --attention local", 2, "--attention"},
    };
    test_failures(all.dir, "init-weights", cases, sizeof cases / sizeof cases[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_video_network_has_the_sizes_and_facts_that_were_asked_for),
        cmocka_unit_test(an_audio_network_has_the_sizes_and_facts_that_were_asked_for),
        cmocka_unit_test(defaults_are_those_that_help_names),
        cmocka_unit_test(the_same_seed_gives_the_same_bytes_whatever_the_threads),
        cmocka_unit_test(calibration_takes_statistics_from_the_clip),
        cmocka_unit_test(bad_input_gives_one_line),
    };
    return cmocka_run_group_tests_name("init-weights", tests, set_up, tear_down);
}
