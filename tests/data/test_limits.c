/* Files and sizes at their limits: what is just small enough is read, what is just too large is told. */
#include "tests/common/files.h"
#include "tests/common/programs.h"
#include "tests/data/memory.h"

#include "data/clip.h"
#include "data/data.h"
#include "data/wav.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

static struct {
    tn_ctx *ctx; /* one thread */
    char *dir;   /* to write in */
} all;

static int set_up(void **state)
{
    (void)state;
    all.ctx = test_ctx(1, NULL);
    all.dir = test_make_dir();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    test_remove_dir(all.dir);
    tn_ctx_destroy(all.ctx);
    return 0;
}

/* That a call ended with a status and words of the message. */
static void told(tn_status got, tn_status want, const char *words)
{
    if (got != want || (words && !strstr(tn_error(all.ctx), words)))
        fail_msg("%s: \"%s\", expected %s: \"%s\"", tn_status_text(got), tn_error(all.ctx),
                 tn_status_text(want), words ? words : "");
    tn_clear_error(all.ctx);
}

/* ---- files ----------------------------------------------------------------------------------------- */

/* The bytes need not be on the disk for it. */
static void a_file_may_be_too_large(void **state)
{
    (void)state;
    data_manifest list;
    data_image image;
    const char *path = test_in(all.dir, "large");
    test_write_file(path, "x", 1);
    assert_int_equal(truncate(path, (1 << 28) + 1), 0);
    static const char words[] = "large: 268435457 bytes, more than the 268435456 that are read";
    told(data_manifest_read(all.ctx, path, NULL, &list), TN_RANGE, words);
    told(data_image_read(all.ctx, path, &image), TN_RANGE, words);
    assert_int_equal(truncate(path, 1 << 28), 0);
    told(data_manifest_read(all.ctx, path, NULL, &list), TN_FORMAT, "line 1: a NUL byte");
    assert_int_equal(unlink(path), 0);
}

/* On a full disk what was there stays, and nothing else does. */
static void what_cannot_be_written_leaves_the_old_file(void **state)
{
    (void)state;
    unsigned char rgb[3 * 64 * 64];
    struct rlimit before, tight;
    for (size_t i = 0; i < sizeof rgb; i++)
        rgb[i] = (unsigned char)(i * i / 7);
    const data_image image = {.rgb = rgb, .width = 64, .height = 64};
    char *dir = test_text("%s/full", all.dir);
    assert_int_equal(test_run(NULL, NULL, "mkdir %s", dir), 0);
    test_write_file(test_in(dir, "1.png"), "old", 3);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    signal(SIGXFSZ, SIG_IGN);
    tight = (struct rlimit){.rlim_cur = 100, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &tight), 0);
    const tn_status status = data_image_write_png(all.ctx, test_in(dir, "1.png"), &image);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    signal(SIGXFSZ, SIG_DFL);
    told(status, TN_IO, "1.png: cannot be written: File too large");
    test_file_has(dir, "1.png", "old");
    assert_int_equal(test_count_files(dir), 1);
    told(data_image_write_png(all.ctx, test_in(dir, "none/1.png"), &image), TN_IO, "No such file");
    told(data_image_write_png(all.ctx, test_in(dir, "1.png"), &image), TN_OK, NULL);
    assert_int_equal(test_count_files(dir), 1);
    free(dir);
}

/* ---- pictures -------------------------------------------------------------------------------------- */

static void clips_have_sizes(void **state)
{
    (void)state;
    static const struct {
        int frames, height, width;
        const char *words; /* NULL: it can be */
    } cases[] = {
        {1, 1, 1, NULL},
        {4096, 1, 1, NULL},
        {1, 16384, 1, NULL},
        {1, 1, 16384, NULL},
        {0, 1, 1, "x: 0 frames asked for, expected 1 to 4096"},
        {4097, 1, 1, "x: 4097 frames asked for, expected 1 to 4096"},
        {1, 0, 1, "x: frames of 1 x 0 asked for, expected 1 to 16384"},
        {1, 1, 0, "x: frames of 0 x 1 asked for, expected 1 to 16384"},
        {1, 16385, 1, "x: frames of 1 x 16385"},
        {1, 1, 16385, "x: frames of 16385 x 1"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        data_clip clip;
        told(data_clip_make(all.ctx, "x", cases[i].frames, cases[i].height, cases[i].width, &clip),
             cases[i].words ? TN_RANGE : TN_OK, cases[i].words);
        data_clip_free(all.ctx, &clip);
    }
}

/* ---- sound ----------------------------------------------------------------------------------------- */

static void sound_has_rates_and_channels(void **state)
{
    (void)state;
    static const struct {
        int channels, rate, want; /* 0: as it is */
        tn_status status;
        const char *words;
    } cases[] = {
        {1, 1, 0, TN_OK, NULL},
        {1, 768000, 0, TN_OK, NULL},
        {1024, 8000, 0, TN_OK, NULL},
        {1, 1, 1, TN_OK, NULL},
        {1, 768000, 768000, TN_OK, NULL},
        {1, 0, 0, TN_UNSUPPORTED, "x: a rate of 0 Hz, expected 1 to 768000"},
        {1, 768001, 0, TN_UNSUPPORTED, "x: a rate of 768001 Hz, expected 1 to 768000"},
        {0, 8000, 0, TN_UNSUPPORTED, "x: 0 channels, expected 1 to 1024"},
        {1025, 8000, 0, TN_UNSUPPORTED, "x: 1025 channels, expected 1 to 1024"},
        {1, 8000, -1, TN_RANGE, "x: resampling to -1 Hz is asked for, expected 1 to 768000"},
        {1, 8000, 768001, TN_RANGE, "x: resampling to 768001 Hz"},
    };
    float *sound = calloc(3 * 1025, sizeof *sound);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        data_audio audio;
        told(data_audio_from(all.ctx, "x", DATA_FLOAT, sound, 3, cases[i].channels, cases[i].rate,
                             cases[i].want, &audio),
             cases[i].status, cases[i].words);
        if (cases[i].status == TN_OK) {
            assert_int_equal(audio.count, 3);
            data_audio_free(all.ctx, &audio);
        }
    }
    free(sound);
}

/* A WAV file of `samples` bytes, one each, whose header announces `riff` bytes behind the first 8, and with
 * `more` bytes at the end. */
static void put_wav(uint32_t samples, uint32_t riff, int more)
{
    test_bytes b = {0};
    test_put_text(&b, "RIFF");
    test_put_int(&b, riff, 4);
    test_put_text(&b, "WAVEfmt ");
    test_put_int(&b, 16, 4);
    test_put_int(&b, 1, 2); /* PCM */
    test_put_int(&b, 1, 2); /* channel */
    test_put_int(&b, 8000, 4);
    test_put_int(&b, 8000, 4);
    test_put_int(&b, 1, 2);
    test_put_int(&b, 8, 2); /* bits */
    test_put_text(&b, "data");
    test_put_int(&b, samples, 4);
    for (uint32_t i = 0; i < samples; i++)
        test_put_int(&b, i % 200, 1);
    for (int i = 0; i < more; i++)
        test_put_int(&b, 0, 1);
    test_write_file(test_in(all.dir, "a.wav"), b.data, b.size);
    free(b.data);
}

/* A chunk of odd length is followed by a byte that some writers count and leave out. */
static void the_last_pad_byte_may_be_missing(void **state)
{
    (void)state;
    static const struct {
        uint32_t samples, riff; /* as announced */
        int more;               /* bytes at the end */
        const char *words;      /* NULL: it is read */
    } cases[] = {
        {501, 36 + 501, 0, NULL},
        {501, 36 + 502, 1, NULL},
        {501, 36 + 502, 0, NULL},
        {500, 36 + 500, 0, NULL},
        {501, 36 + 503, 0, "cut off: the header announces 547 bytes, 545 are there"},
        {501, 36 + 503, 1, "cut off: the header announces 547 bytes, 546 are there"},
        {500, 36 + 501, 0, "cut off: the header announces 545 bytes, 544 are there"},
        {500, 36 + 502, 1, "cut off: the header announces 546 bytes, 545 are there"},
    };
    const int open = open_files();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        data_audio audio;
        put_wav(cases[i].samples, cases[i].riff, cases[i].more);
        told(data_audio_read(all.ctx, test_in(all.dir, "a.wav"), 0, &audio),
             cases[i].words ? TN_FORMAT : TN_OK, cases[i].words);
        if (!cases[i].words)
            assert_int_equal(audio.count, cases[i].samples);
        data_audio_free(all.ctx, &audio);
    }
    assert_int_equal(open_files(), open);
}

static void a_header_without_sound_is_told(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t size;
        const char *words;
    } cases[] = {
        {TEST_LITERAL("RIFF\4\0\0"), "a.wav: cut off: a RIFF header of 7 bytes, expected 12"},
        {TEST_LITERAL("RIFF\4\0\0\0WAV"), "a.wav: cut off: a RIFF header of 11 bytes, expected 12"},
        {TEST_LITERAL("RIFF\4\0\0\0WAVE"), "a.wav: cut off or no sound: no chunk \"data\" in 12 bytes"},
        {TEST_LITERAL("RIFF\4\0\0\0WAVEdata\0\0\0"), "no chunk \"data\" in 19 bytes"},
        {TEST_LITERAL("RIFF\4\0\0\0WAVEa\1\"b\11\0\0\0abcdefgh"),
         "a.wav: cut off: chunk \"a?\"b\" at byte 12 announces 9 bytes, 8 are there"},
        {TEST_LITERAL("RIFF\4\0\0\0WAVEabcd\10\0\0\0abcdefgh"), "no chunk \"data\" in 28 bytes"},
        {TEST_LITERAL("RIFX\0\0\0\4WAVEabcd\0\0\0\11abcdefgh"), "announces 9 bytes, 8 are there"},
        {TEST_LITERAL("RIFF\4\0\0\0AVI LIST\377\0\0\0"), "(first bytes 52 49 46 46 04 00 00 00)"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        data_audio audio;
        test_write_file(test_in(all.dir, "a.wav"), cases[i].bytes, cases[i].size);
        told(data_audio_read(all.ctx, test_in(all.dir, "a.wav"), 0, &audio), TN_FORMAT, cases[i].words);
    }
}

/* Samples that are whole 16-bit numbers are kept as such, others as 32-bit floats; both come back equal. */
static void sound_beyond_16_bits_is_kept(void **state)
{
    (void)state;
    float half[3] = {-1.0f, 32767.0f / 32768, 0}, not_whole[3] = {-1.0f, 0.3f, 0}, loud[3] = {1.0f, -1.5f, 0};
    const struct {
        float *samples;
        size_t bytes; /* of the file */
    } cases[] = {{half, 44 + 6}, {not_whole, 0}, {loud, 0}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        data_audio in = {0}, out;
        assert_ok(all.ctx, data_audio_from(all.ctx, "x", DATA_FLOAT, cases[i].samples, 3, 1, 8000, 0, &in));
        assert_ok(all.ctx, data_wav_write(all.ctx, test_in(all.dir, "b.wav"), &in));
        assert_ok(all.ctx, data_audio_read(all.ctx, test_in(all.dir, "b.wav"), 0, &out));
        assert_int_equal(out.count, 3);
        assert_memory_equal(out.samples, in.samples, 3 * sizeof *in.samples);
        size_t size;
        free(test_read_file(test_in(all.dir, "b.wav"), &size));
        if (cases[i].bytes)
            assert_int_equal(size, cases[i].bytes);
        else
            assert_true(size >= 44 + 12);
        data_audio_free(all.ctx, &in);
        data_audio_free(all.ctx, &out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_may_be_too_large),
        cmocka_unit_test(what_cannot_be_written_leaves_the_old_file),
        cmocka_unit_test(clips_have_sizes),
        cmocka_unit_test(sound_has_rates_and_channels),
        cmocka_unit_test(the_last_pad_byte_may_be_missing),
        cmocka_unit_test(a_header_without_sound_is_told),
        cmocka_unit_test(sound_beyond_16_bits_is_kept),
    };
    return cmocka_run_group_tests_name("limits", tests, set_up, tear_down);
}
