/* Prepared clips: equal to their source, whole or not there, kept where nothing changed. */
#include "tests/common/files.h"
#include "tests/common/programs.h"
#include "tests/data/memory.h"

#include "data/data.h"
#include "data/wav.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static struct {
    tn_ctx *ctx;             /* one thread */
    char *dir;               /* with everything below */
    char *out;               /* DIR/out, locked and with the split "s" */
    data_video_options take; /* 4 frames of 32 x 32 */
} all;

static char source_dir[400], source_wav[400];

static data_item item_of(const char *name, const char *frames, const char *video, const char *audio)
{
    return (data_item){.name = (char *)(uintptr_t)name,
                       .frames = (char *)(uintptr_t)frames,
                       .video = (char *)(uintptr_t)video,
                       .audio = (char *)(uintptr_t)audio,
                       .split = (char[]){"s"},
                       .source = (char *)(uintptr_t)name,
                       .faces = -1};
}

static data_item folder_item(char split[2])
{
    data_item item = item_of("c", source_dir, NULL, source_wav);
    item.split = split;
    return item;
}

static int set_up(void **state)
{
    (void)state;
    all.ctx = test_ctx(1, NULL);
    all.dir = test_make_dir();
    all.out = test_text("%s/out", all.dir);
    all.take = data_video_defaults();
    all.take.frames = 4;
    all.take.height = all.take.width = 32;
    snprintf(source_dir, sizeof source_dir, "%s/frames", all.dir);
    snprintf(source_wav, sizeof source_wav, "%s/sound.wav", all.dir);
    test_write_frames(all.ctx, source_dir, 9, 2);
    test_write_wav(source_wav, 4000, 4000);
    assert_int_equal(test_run(NULL, NULL, "mkdir -p '%s/s'", all.out), 0);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    test_remove_dir(all.dir);
    free(all.out);
    tn_ctx_destroy(all.ctx);
    return 0;
}

/* Asserts that a prepared clip gives the same frames as the source. */
static void assert_clip(const char *frames, const data_clip *want)
{
    data_clip clip;
    assert_ok(all.ctx, data_clip_from_dir(all.ctx, frames, want->frames, want->height, want->width, &clip));
    assert_memory_equal(clip.rgb, want->rgb,
                        (size_t)want->frames * (size_t)want->height * (size_t)want->width * 3);
    data_clip_free(all.ctx, &clip);
}

static void assert_sound(const char *path, const data_audio *want)
{
    data_audio audio;
    assert_ok(all.ctx, data_audio_read(all.ctx, path, 0, &audio));
    assert_true(audio.count == want->count && audio.rate == want->rate && audio.channels == 1);
    assert_memory_equal(audio.samples, want->samples, want->count * sizeof *want->samples);
    data_audio_free(all.ctx, &audio);
}

static void sound_comes_back_the_same(void **state)
{
    (void)state;
    /* Two channels of 16 bits: their mean has half steps. */
    int16_t stereo[200];
    data_audio audio;
    char path[400];
    snprintf(path, sizeof path, "%s/back.wav", all.dir);
    for (int i = 0; i < 200; i++)
        stereo[i] = (int16_t)(i == 0 ? -32768 : i == 1 ? -32768 : i * 7919 % 65536 - 32768);
    for (int channels = 1; channels <= 2; channels++) {
        assert_ok(all.ctx, data_audio_from(all.ctx, "x", DATA_INT16, stereo, 200 / (size_t)channels, channels,
                                           11025, 0, &audio));
        assert_ok(all.ctx, data_wav_write(all.ctx, path, &audio));
        struct stat info;
        assert_int_equal(stat(path, &info), 0);
        assert_int_equal(info.st_size, 44 + 400); /* 200 x 16 bits, 100 x 32 bits */
        assert_sound(path, &audio);
        data_audio_free(all.ctx, &audio);
    }
}

static void a_folder_is_prepared(void **state)
{
    (void)state;
    data_item item = folder_item((char[]){"s"});
    data_prepared r;
    data_clip clip;
    data_audio audio;
    assert_ok(all.ctx, data_clip_from_dir(all.ctx, source_dir, 4, 32, 32, &clip));
    assert_ok(all.ctx, data_audio_read(all.ctx, source_wav, 0, &audio));
    assert_ok(all.ctx, data_prepare_clip(all.ctx, all.out, &item, &all.take, &r));
    assert_true(!r.kept && r.sound == DATA_SOUND_OK);
    assert_int_equal(test_count_files(r.frames), 6);
    assert_clip(r.frames, &clip);
    assert_sound(r.audio, &audio);
    data_clip_free(all.ctx, &clip);
    data_audio_free(all.ctx, &audio);
    data_prepared_free(all.ctx, &r);
}

/* Whether the clip is kept when it is prepared again. */
static bool is_kept(const data_item *item, const data_video_options *take)
{
    data_prepared r;
    assert_ok(all.ctx, data_prepare_clip(all.ctx, all.out, item, take, &r));
    const bool kept = r.kept;
    assert_int_equal(test_count_files(r.frames), take->frames + 2);
    data_prepared_free(all.ctx, &r);
    char split[500];
    snprintf(split, sizeof split, "%s/s", all.out);
    assert_int_equal(test_count_files(split), 1); /* no temporary stays */
    return kept;
}

/* A clip is made again after each of these, and kept after that. */
static void only_what_is_whole_is_kept(void **state)
{
    (void)state;
    data_item item = folder_item((char[]){"s"});
    data_video_options other = all.take;
    assert_int_equal(test_run(NULL, NULL, "rm -rf '%s'/s/*", all.out), 0);
    assert_false(is_kept(&item, &all.take));
    assert_true(is_kept(&item, &all.take));
    static const char *const damage[] = {"rm OUT/02.png",
                                         "cp OUT/02.png OUT/03.png",
                                         "rm OUT/audio.wav",
                                         "printf x >> OUT/audio.wav",
                                         "cp OUT/01.png OUT/05.png",
                                         "touch -d 2001-02-03 SOURCE/frames/9.png SOURCE/frames/*.png",
                                         "touch -d 2001-02-03 SOURCE/sound.wav",
                                         "sed -i s/hash/hush/ OUT/prepared.txt"};
    for (size_t i = 0; i < sizeof damage / sizeof *damage; i++) {
        assert_int_equal(test_run(NULL, NULL, "eval \"$(echo '%s' | sed 's|OUT|%s/s/c|g; s|SOURCE|%s|g')\"",
                                  damage[i], all.out, all.dir),
                         0);
        if (is_kept(&item, &all.take))
            fail_msg("kept after %s", damage[i]);
        assert_true(is_kept(&item, &all.take));
    }
    other.frames = 5;
    assert_false(is_kept(&item, &other));
    assert_true(is_kept(&item, &other));
    other.height = other.width = 33;
    assert_false(is_kept(&item, &other));
    assert_false(is_kept(&item, &all.take));
}

static void what_is_not_ours_stays(void **state)
{
    (void)state;
    data_item item = folder_item((char[]){"s"});
    item.name = (char[]){"foreign"};
    data_prepared r;
    assert_int_equal(
        test_run(NULL, NULL, "mkdir '%s/s/foreign'; echo 1 > '%s/s/foreign/thesis'", all.out, all.out), 0);
    tn_clear_error(all.ctx);
    assert_status(all.ctx, data_prepare_clip(all.ctx, all.out, &item, &all.take, &r), TN_IO);
    assert_non_null(strstr(tn_error(all.ctx), "s/foreign: is there, and is no prepared clip"));
    assert_int_equal(
        test_run(NULL, NULL, "test -s '%s/s/foreign/thesis' && rm -r '%s/s/foreign'", all.out, all.out), 0);
    tn_clear_error(all.ctx);
}

/* Silent, short and no sound; no frames. */
static void modalities_may_be_missing(void **state)
{
    (void)state;
    char silent[420], brief[420];
    snprintf(silent, sizeof silent, "%s/silent.wav", all.dir);
    snprintf(brief, sizeof brief, "%s/short.wav", all.dir);
    test_write_wav(silent, 4000, 0);
    test_write_wav(brief, 399, 399);
    const struct {
        const char *frames, *audio;
        data_sound sound;
    } cases[] = {{source_dir, NULL, DATA_SOUND_NONE},
                 {source_dir, silent, DATA_SOUND_SILENT},
                 {NULL, brief, DATA_SOUND_SHORT},
                 {NULL, source_wav, DATA_SOUND_OK}};
    for (int i = 0; i < 8; i++) {
        char name[16];
        snprintf(name, sizeof name, "m%d", i / 2);
        data_item item = item_of(name, cases[i / 2].frames, NULL, cases[i / 2].audio);
        item.split = (char[]){"s"};
        data_prepared r;
        assert_ok(all.ctx, data_prepare_clip(all.ctx, all.out, &item, &all.take, &r));
        assert_true(r.sound == cases[i / 2].sound && r.kept == (i % 2 == 1));
        assert_true(!r.frames == !cases[i / 2].frames && !r.audio == !cases[i / 2].audio);
        data_prepared_free(all.ctx, &r);
    }
    assert_int_equal(test_run(NULL, NULL, "rm -r '%s'/s/m?", all.out), 0);
}

static void one_run_at_a_time_and_no_leftovers(void **state)
{
    (void)state;
    data_item item = folder_item((char[]){"s"});
    data_manifest list = {.path = (char[]){"x"}, .item = &item, .count = 1};
    int lock, second;
    assert_int_equal(
        test_run(NULL, NULL,
                 "cd '%s' && mkdir -p s/.c.123-0.tmp s/.keep s/.c.x-0.tmp && touch s/.c.123-0.tmp/1 "
                 ".manifest.csv.77-12.tmp s/c.9-9.tmp",
                 all.out),
        0);
    assert_ok(all.ctx, data_prepare_begin(all.ctx, all.out, &list, &lock));
    assert_int_equal(
        test_run(NULL, NULL,
                 "cd '%s' && test -d s/.keep -a -d s/.c.x-0.tmp -a -f s/c.9-9.tmp && ! test -e "
                 "s/.c.123-0.tmp && ! test -e .manifest.csv.77-12.tmp && rm -r s/.keep s/.c.x-0.tmp "
                 "s/c.9-9.tmp",
                 all.out),
        0);
    tn_clear_error(all.ctx);
    assert_status(all.ctx, data_prepare_begin(all.ctx, all.out, &list, &second), TN_IO);
    assert_non_null(strstr(tn_error(all.ctx), "another run prepares clips there"));
    tn_clear_error(all.ctx);
    data_prepare_end(lock);
    assert_ok(all.ctx, data_prepare_begin(all.ctx, all.out, &list, &lock));
    data_prepare_end(lock);
}

static tn_status prepare_once(tn_ctx *ctx, void *arg)
{
    const char *out = arg;
    data_item item = folder_item((char[]){"s"});
    data_manifest list = {.path = (char[]){"x"}, .item = &item, .count = 1};
    data_prepared r = {0};
    int lock;
    tn_status status = data_prepare_begin(ctx, out, &list, &lock);
    if (status == TN_OK)
        status = data_prepare_clip(ctx, out, &item, &all.take, &r);
    data_prepare_end(lock);
    data_prepared_free(ctx, &r);
    char dir[500];
    snprintf(dir, sizeof dir, "%s/s/c", out);
    if (access(dir, F_OK) == 0)
        assert_int_equal(test_count_files(dir), 6);
    return status;
}

static void no_memory_leaves_nothing(void **state)
{
    (void)state;
    char *out = test_text("%s/memory", all.dir);
    int before = open_files();
    assert_true(fail_each_allocation(prepare_once, out) > 30);
    assert_int_equal(open_files(), before);
    free(out);
}

/* A video file's clip and sound, bit by bit. */
static void check_video(const char *name, const char *video)
{
    data_item item = item_of(name, NULL, video, NULL);
    item.split = (char[]){"s"};
    data_video_options take = data_video_defaults();
    data_prepared r;
    data_clip clip;
    data_audio audio;
    bool has;
    assert_ok(all.ctx, data_prepare_clip(all.ctx, all.out, &item, &take, &r));
    assert_ok(all.ctx, data_video_clip(all.ctx, video, &take, &clip));
    assert_ok(all.ctx, data_video_audio(all.ctx, video, &take, &has, &audio));
    assert_clip(r.frames, &clip);
    assert_int_equal(has, r.sound != DATA_SOUND_NONE);
    assert_true(has == (r.audio != NULL));
    if (has)
        assert_sound(r.audio, &audio);
    if (has)
        assert_int_equal(data_audio_is_silent(&audio), r.sound == DATA_SOUND_SILENT);
    data_clip_free(all.ctx, &clip);
    data_audio_free(all.ctx, &audio);
    data_prepared_free(all.ctx, &r);
}

static void a_video_is_prepared(void **state)
{
    (void)state;
    if (!test_have_ffmpeg())
        skip();
    char path[420];
    snprintf(path, sizeof path, "%s/clip", all.dir);
    data_synth_options o = data_synth_defaults(0, 3);
    o.width = 80;
    o.height = 60;
    o.seconds = 1;
    assert_ok(all.ctx, data_synth_write(all.ctx, path, &o, true));
    snprintf(path, sizeof path, "%s/clip/clip.mp4", all.dir);
    check_video("video", path);
    /* Sound of two channels, and none at all. */
    assert_int_equal(
        test_run(NULL, NULL,
                 "cd '%s/clip' && ffmpeg -v error -i clip.mp4 -c:v copy -af "
                 "'pan=stereo|c0=c0|c1=0.3*c0' -c:a pcm_s16le two.avi && ffmpeg -v error -i clip.mp4 -an "
                 "-c:v copy none.mp4",
                 all.dir),
        0);
    snprintf(path, sizeof path, "%s/clip/two.avi", all.dir);
    check_video("two", path);
    snprintf(path, sizeof path, "%s/clip/none.mp4", all.dir);
    check_video("none", path);
}

/* Surveillance clips: the first of each kind of sound. */
static void real_clips_are_prepared(void **state)
{
    (void)state;
    char *folder = test_data("groupclips");
    bool seen[DATA_SOUNDS] = {false};
    if (!test_have_ffmpeg())
        skip();
    char *names = NULL;
    assert_int_equal(test_run(&names, NULL, "ls '%s' | grep mp4 | sed -n '1p;40,$p'", folder), 0);
    char *rest = names;
    for (char *name; (name = strsep(&rest, "\n")) && *name && !(seen[0] && seen[1] && seen[2]);) {
        char path[500];
        bool has;
        data_audio audio;
        data_video_options take = data_video_defaults();
        snprintf(path, sizeof path, "%s/%s", folder, name);
        assert_ok(all.ctx, data_video_audio(all.ctx, path, &take, &has, &audio));
        data_sound sound = !has                           ? DATA_SOUND_NONE
                           : data_audio_is_silent(&audio) ? DATA_SOUND_SILENT
                                                          : DATA_SOUND_OK;
        data_audio_free(all.ctx, &audio);
        if (!seen[sound])
            check_video(name, path);
        seen[sound] = true;
    }
    assert_true(seen[DATA_SOUND_OK] && seen[DATA_SOUND_NONE] && seen[DATA_SOUND_SILENT]);
    free(names);
    free(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sound_comes_back_the_same),  cmocka_unit_test(a_folder_is_prepared),
        cmocka_unit_test(only_what_is_whole_is_kept), cmocka_unit_test(what_is_not_ours_stays),
        cmocka_unit_test(modalities_may_be_missing),  cmocka_unit_test(one_run_at_a_time_and_no_leftovers),
        cmocka_unit_test(no_memory_leaves_nothing),   cmocka_unit_test(a_video_is_prepared),
        cmocka_unit_test(real_clips_are_prepared),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
