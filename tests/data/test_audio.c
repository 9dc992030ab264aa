/* Reading sound: formats, channels, resampling, and files that are not what they seem. */
#include "tests/common/testing.h"

#include "data/data.h"

#include <dirent.h>
#include <math.h>
#include <sndfile.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static const double pi = 3.14159265358979323846;

/* A context that counts what it gives out, and a folder. */
typedef struct fixture {
    tn_ctx *ctx;
    tn_allocator allocator;
    long before_failure; /* allocations that succeed until one fails; negative: all do */
    long blocks;         /* out */
    size_t bytes, most;  /* out, and at most so far */
    char *dir;
    char path[300];
} fixture;

static void *counted_alloc(void *user, size_t bytes)
{
    fixture *f = user;
    if (f->before_failure-- == 0)
        return NULL;
    size_t *block = aligned_alloc(64, bytes + 64);
    assert_non_null(block);
    *block = bytes;
    f->blocks++;
    f->bytes += bytes;
    f->most = f->bytes > f->most ? f->bytes : f->most;
    return (char *)block + 64;
}

static void counted_release(void *user, void *block)
{
    fixture *f = user;
    size_t *head = (size_t *)(void *)((char *)block - 64);
    f->blocks--;
    f->bytes -= *head;
    free(head);
}

static int set_up(void **state)
{
    fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    f->before_failure = -1;
    f->allocator = (tn_allocator){counted_alloc, counted_release, f};
    tn_options options = {.threads = 1, .allocator = &f->allocator};
    assert_int_equal(tn_ctx_create(&options, &f->ctx), TN_OK);
    f->dir = test_make_dir();
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    fixture *f = *state;
    tn_ctx_destroy(f->ctx);
    assert_int_equal(f->blocks, 0);
    test_remove_dir(f->dir);
    free(f);
    return 0;
}

static const char *path_of(fixture *f, const char *name)
{
    snprintf(f->path, sizeof f->path, "%s/%s", f->dir, name);
    return f->path;
}

/* Writes frames x channels values with libsndfile, whose own scale for integers is a little under 2^15. */
static const char *write_sound(fixture *f, const char *name, int format, int rate, int channels,
                               const double *x, size_t frames)
{
    SF_INFO info = {.samplerate = rate, .channels = channels, .format = format};
    SNDFILE *file = sf_open(path_of(f, name), SFM_WRITE, &info);
    assert_non_null(file);
    int kind = format & SF_FORMAT_SUBMASK;
    if (kind == SF_FORMAT_FLOAT || kind == SF_FORMAT_DOUBLE || kind == SF_FORMAT_VORBIS) {
        assert_int_equal(sf_writef_double(file, x, (sf_count_t)frames), frames);
    } else {
        size_t n = frames * (size_t)channels;
        int *scaled = malloc((n + 1) * sizeof *scaled);
        assert_non_null(scaled);
        for (size_t i = 0; i < n; i++)
            scaled[i] = (int)(x[i] * 0x1p31);
        assert_int_equal(sf_writef_int(file, scaled, (sf_count_t)frames), frames);
        free(scaled);
    }
    assert_int_equal(sf_close(file), 0);
    return f->path;
}

static const char *write_bytes(fixture *f, const char *name, const void *bytes, size_t n)
{
    FILE *file = fopen(path_of(f, name), "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, n, file), n);
    assert_int_equal(fclose(file), 0);
    return f->path;
}

static unsigned char *read_bytes(const char *path, size_t *n)
{
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    assert_int_equal(fseek(file, 0, SEEK_END), 0);
    *n = (size_t)ftell(file);
    rewind(file);
    unsigned char *bytes = malloc(*n + 1);
    assert_non_null(bytes);
    assert_int_equal(fread(bytes, 1, *n, file), *n);
    fclose(file);
    return bytes;
}

static void refuse(fixture *f, const char *path, int want_rate, tn_status status, const char *says)
{
    data_audio audio = {.count = 7};
    tn_clear_error(f->ctx);
    assert_status(f->ctx, data_audio_read(f->ctx, path, want_rate, &audio), status);
    const char *error = tn_error(f->ctx);
    if (strncmp(error, path, strlen(path)) != 0 || !strstr(error, says) || strchr(error, '\n'))
        fail_msg("\"%s\" is not one line that names %s and says \"%s\"", error, path, says);
    assert_null(audio.samples);
    assert_int_equal(audio.count, 0);
    tn_clear_error(f->ctx);
}

/* Values on the grid of 8 bits, which every format has. */
static void ramp(double *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        x[i] = (double)((int)(i * 37 % 256) - 128) / 128;
}

/* ---- formats ----------------------------------------------------------------------------------------- */

static void every_format_gives_the_same_samples(void **state)
{
    fixture *f = *state;
    static const struct {
        const char *name;
        int format;
    } kind[] = {{"u8.wav", SF_FORMAT_WAV | SF_FORMAT_PCM_U8},
                {"16.wav", SF_FORMAT_WAV | SF_FORMAT_PCM_16},
                {"24.wav", SF_FORMAT_WAV | SF_FORMAT_PCM_24},
                {"32.wav", SF_FORMAT_WAV | SF_FORMAT_PCM_32},
                {"f.wav", SF_FORMAT_WAV | SF_FORMAT_FLOAT},
                {"d.wav", SF_FORMAT_WAV | SF_FORMAT_DOUBLE},
                {"x.wav", SF_FORMAT_WAVEX | SF_FORMAT_PCM_16},
                {"rf64.wav", SF_FORMAT_RF64 | SF_FORMAT_PCM_16},
                {"be.wav", SF_FORMAT_WAV | SF_FORMAT_PCM_16 | SF_ENDIAN_BIG},
                {"a.flac", SF_FORMAT_FLAC | SF_FORMAT_PCM_16},
                {"24.flac", SF_FORMAT_FLAC | SF_FORMAT_PCM_24},
                {"a.aiff", SF_FORMAT_AIFF | SF_FORMAT_PCM_16},
                {"a.au", SF_FORMAT_AU | SF_FORMAT_PCM_16},
                {"no_suffix", SF_FORMAT_FLAC | SF_FORMAT_PCM_16}};
    enum { N = 1000 };
    double x[N];
    ramp(x, N);
    for (size_t k = 0; k < sizeof kind / sizeof *kind; k++) {
        data_audio audio;
        write_sound(f, kind[k].name, kind[k].format, 16000, 1, x, N);
        assert_ok(f->ctx, data_audio_read(f->ctx, f->path, 0, &audio));
        assert_int_equal(audio.count, N);
        assert_int_equal(audio.rate, 16000);
        assert_int_equal(audio.channels, 1);
        for (int i = 0; i < N; i++)
            if (audio.samples[i] != x[i])
                fail_msg("%s: sample %d is %g, expected %g", kind[k].name, i, audio.samples[i], x[i]);
        data_audio_free(f->ctx, &audio);
    }
}

static void sixteen_bits_are_divided_by_32768(void **state)
{
    fixture *f = *state;
    static const int16_t x[] = {-32768, -1, 0, 1, 32767};
    SF_INFO info = {.samplerate = 8000, .channels = 1, .format = SF_FORMAT_WAV | SF_FORMAT_PCM_16};
    SNDFILE *file = sf_open(path_of(f, "x.wav"), SFM_WRITE, &info);
    assert_non_null(file);
    assert_int_equal(sf_write_short(file, x, 5), 5);
    sf_close(file);
    data_audio audio;
    assert_ok(f->ctx, data_audio_read(f->ctx, f->path, 0, &audio));
    for (int i = 0; i < 5; i++)
        assert_true(audio.samples[i] == x[i] / 32768.0);
    data_audio_free(f->ctx, &audio);
}

/* Lossy: the tone is still there. */
static void vorbis_is_read(void **state)
{
    fixture *f = *state;
    enum { N = 22050 };
    double *x = malloc(N * sizeof *x);
    assert_non_null(x);
    for (int i = 0; i < N; i++)
        x[i] = 0.5 * sin(2 * pi * 440 * i / 22050);
    data_audio audio;
    write_sound(f, "a.ogg", SF_FORMAT_OGG | SF_FORMAT_VORBIS, 22050, 1, x, N);
    assert_ok(f->ctx, data_audio_read(f->ctx, f->path, 0, &audio));
    assert_int_equal(audio.count, N);
    double error = 0;
    for (int i = 0; i < N; i++)
        error += (audio.samples[i] - x[i]) * (audio.samples[i] - x[i]) / N;
    assert_true(error < 1e-4);
    data_audio_free(f->ctx, &audio);
    free(x);
}

static void channels_are_averaged(void **state)
{
    fixture *f = *state;
    /* More channels than a power of two, and more frames than are decoded at a time. */
    static const int channels[] = {2, 3, 7};
    for (size_t c = 0; c < 3; c++) {
        size_t frames = 70000, n = (size_t)channels[c];
        double *x = malloc(frames * n * sizeof *x);
        assert_non_null(x);
        ramp(x, frames * n);
        data_audio audio;
        write_sound(f, "many.wav", SF_FORMAT_WAV | SF_FORMAT_PCM_16, 44100, channels[c], x, frames);
        assert_ok(f->ctx, data_audio_read(f->ctx, f->path, 0, &audio));
        assert_int_equal(audio.channels, channels[c]);
        assert_int_equal(audio.count, frames);
        for (size_t i = 0; i < frames; i++) {
            double sum = 0;
            for (size_t j = 0; j < n; j++)
                sum += x[i * n + j];
            assert_true(audio.samples[i] == sum / channels[c]);
        }
        data_audio_free(f->ctx, &audio);
        free(x);
    }
}

static void memory_gives_what_a_file_gives(void **state)
{
    fixture *f = *state;
    enum { FRAMES = 50000, N = 2 * FRAMES };
    double *x = malloc(N * sizeof *x);
    float *as_float = malloc(N * sizeof *as_float);
    int16_t *as_int = malloc(N * sizeof *as_int);
    assert_true(x && as_float && as_int);
    ramp(x, N);
    for (int i = 0; i < N; i++) {
        as_float[i] = (float)x[i];
        as_int[i] = (int16_t)(x[i] * 32768);
    }
    write_sound(f, "x.wav", SF_FORMAT_WAV | SF_FORMAT_PCM_16, 44100, 2, x, FRAMES);
    static const int want_rate[] = {0, 44100, 16000};
    for (size_t r = 0; r < 3; r++) {
        data_audio file;
        assert_ok(f->ctx, data_audio_read(f->ctx, f->path, want_rate[r], &file));
        assert_int_equal(file.rate, want_rate[r] ? want_rate[r] : 44100);
        const void *const memory[] = {as_int, as_float, x};
        for (int t = DATA_INT16; t <= DATA_DOUBLE; t++) {
            data_audio audio;
            assert_ok(f->ctx, data_audio_from(f->ctx, "x", (data_sample)t, memory[t], FRAMES, 2, 44100,
                                              want_rate[r], &audio));
            assert_int_equal(audio.count, file.count);
            assert_int_equal(audio.rate, file.rate);
            assert_int_equal(audio.channels, 2);
            assert_memory_equal(audio.samples, file.samples, file.count * sizeof *file.samples);
            data_audio_free(f->ctx, &audio);
        }
        data_audio_free(f->ctx, &file);
    }
    free(x);
    free(as_float);
    free(as_int);
}

static void silence_is_known(void **state)
{
    fixture *f = *state;
    int16_t x[100] = {0};
    data_audio audio;
    assert_ok(f->ctx, data_audio_from(f->ctx, "x", DATA_INT16, x, 100, 1, 8000, 0, &audio));
    assert_true(data_audio_is_silent(&audio));
    data_audio_free(f->ctx, &audio);
    x[99] = 1;
    assert_ok(f->ctx, data_audio_from(f->ctx, "x", DATA_INT16, x, 100, 1, 8000, 0, &audio));
    assert_false(data_audio_is_silent(&audio));
    data_audio_free(f->ctx, &audio);
}

/* ---- resampling -------------------------------------------------------------------------------------- */

/* Resamples half a second of a tone; returns the largest error against `gain` times the tone itself, away
 * from the ends. */
static double resampling_error(fixture *f, int rate, int want_rate, double frequency, double gain)
{
    size_t n = (size_t)rate / 2;
    double *x = malloc(n * sizeof *x), worst = 0;
    assert_non_null(x);
    for (size_t i = 0; i < n; i++)
        x[i] = 0.5 * sin(2 * pi * frequency * (double)i / rate);
    data_audio audio;
    assert_ok(f->ctx, data_audio_from(f->ctx, "tone", DATA_DOUBLE, x, n, 1, rate, want_rate, &audio));
    assert_int_equal(audio.rate, want_rate);
    assert_true(labs((long)audio.count - (long)want_rate / 2) <= 1);
    for (size_t i = audio.count / 5; i < audio.count * 4 / 5; i++)
        worst = fmax(worst,
                     fabs(audio.samples[i] - gain * 0.5 * sin(2 * pi * frequency * (double)i / want_rate)));
    data_audio_free(f->ctx, &audio);
    free(x);
    return worst;
}

static void a_tone_stays_itself(void **state)
{
    fixture *f = *state;
    static const int rate[][2] = {
        {48000, 16000}, {44100, 16000}, {8000, 16000}, {16000, 44100}, {96000, 8000}};
    for (size_t i = 0; i < sizeof rate / sizeof *rate; i++)
        assert_true(resampling_error(f, rate[i][0], rate[i][1], 1000, 1) < 1e-5);
}

static void tones_that_do_not_fit_vanish(void **state)
{
    fixture *f = *state;
    assert_true(resampling_error(f, 48000, 16000, 10000, 0) < 1e-5);
    assert_true(resampling_error(f, 44100, 8000, 5000, 0) < 1e-5);
}

/* ---- what is refused --------------------------------------------------------------------------------- */

static void what_is_no_file_of_sound_is_refused(void **state)
{
    fixture *f = *state;
    char *text = strdup(write_bytes(f, "text.wav", "ID, label\n1, joy\n", 17));
    char *empty = strdup(write_bytes(f, "empty.wav", "", 0));
    char *fifo = strdup(path_of(f, "fifo.wav"));
    assert_int_equal(mkfifo(fifo, 0600), 0);
    refuse(f, text, 0, TN_FORMAT, "not a sound file (first bytes 49 44 2c 20 6c 61 62 65), expected WAV");
    refuse(f, empty, 0, TN_FORMAT, "empty (0 bytes)");
    refuse(f, fifo, 0, TN_IO, "not a regular file");
    refuse(f, f->dir, 0, TN_IO, "is a folder");
    refuse(f, path_of(f, "missing.wav"), 0, TN_IO, "No such file");
    free(text);
    free(empty);
    free(fifo);
}

static void no_samples_are_refused(void **state)
{
    fixture *f = *state;
    double none = 0;
    refuse(f, write_sound(f, "none.wav", SF_FORMAT_WAV | SF_FORMAT_PCM_16, 8000, 2, &none, 0), 0, TN_FORMAT,
           "no samples (8000 Hz, 2 channels, 44 bytes)");
    data_audio audio;
    assert_int_equal(data_audio_from(f->ctx, "x", DATA_DOUBLE, &none, 0, 1, 8000, 0, &audio), TN_FORMAT);
    assert_string_equal(tn_error(f->ctx), "x: no samples");
}

static void values_that_are_no_numbers_are_refused(void **state)
{
    fixture *f = *state;
    static const double bad[] = {(double)NAN, (double)INFINITY, 1e300};
    double x[300];
    for (size_t i = 0; i < 3; i++) {
        ramp(x, 300);
        x[201] = bad[i];
        refuse(f, write_sound(f, "nan.wav", SF_FORMAT_WAV | SF_FORMAT_DOUBLE, 8000, 1, x, 300), 0, TN_FORMAT,
               "sample 201 is");
        refuse(f, f->path, 16000, TN_FORMAT, "sample 201 is");
    }
}

static void what_overflows_in_the_resampler_is_refused(void **state)
{
    fixture *f = *state;
    float x[4000];
    data_audio audio;
    for (size_t i = 0; i < 4000; i++)
        x[i] = i / 7 % 2 ? 3.4e38f : -3.4e38f;
    assert_int_equal(data_audio_from(f->ctx, "x", DATA_FLOAT, x, 4000, 1, 8000, 44100, &audio), TN_FORMAT);
    assert_string_equal(tn_error(f->ctx), "x: values are too large to be resampled");
    assert_null(audio.samples);
}

static void put_number(unsigned char *at, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        at[i] = (unsigned char)(value >> 8 * i);
}

/* Offsets into the 44 bytes before the samples of a plain WAV file. */
enum { RIFF_BYTES = 4, CHANNELS = 22, RATE = 24, DATA_BYTES = 40, SAMPLES = 44 };

static void a_header_that_lies_is_found_out(void **state)
{
    fixture *f = *state;
    double x[2000];
    size_t n;
    ramp(x, 2000);
    unsigned char *plain =
        read_bytes(write_sound(f, "a.wav", SF_FORMAT_WAV | SF_FORMAT_PCM_16, 8000, 1, x, 2000), &n);
    assert_int_equal(n, SAMPLES + 4000);
    unsigned char wav[SAMPLES + 4000];
    static const struct {
        int offset;
        uint32_t value;
        const char *says; /* NULL: it is read */
        tn_status status;
    } lie[] = {
        {DATA_BYTES, 4002, "chunk \"data\" at byte 36 announces 4002 bytes, 4000 are there", TN_FORMAT},
        {DATA_BYTES, 0x7fffefff, "announces 2147479551 bytes", TN_FORMAT},
        {RIFF_BYTES, 5000, "announces 5008 bytes, 4044 are there", TN_FORMAT},
        {RATE, 0, "", TN_FORMAT},
        {RATE, 768001, "a rate of 768001 Hz, expected 1 to 768000", TN_UNSUPPORTED},
        {RATE, 0x7fffffff, "a rate of 2147483647 Hz", TN_UNSUPPORTED},
        {16, 0xfffffff0, "chunk \"fmt \" at byte 12 announces 4294967280 bytes", TN_FORMAT},
        /* What a program writes that does not know the length yet. */
        {DATA_BYTES, 0xffffffff, NULL, TN_OK},
        {RIFF_BYTES, 0xffffffff, NULL, TN_OK},
    };
    for (size_t i = 0; i < sizeof lie / sizeof *lie; i++) {
        memcpy(wav, plain, n);
        put_number(wav + lie[i].offset, lie[i].value);
        write_bytes(f, "lie.wav", wav, n);
        if (lie[i].says) {
            refuse(f, f->path, 0, lie[i].status, lie[i].says);
            continue;
        }
        data_audio audio;
        assert_ok(f->ctx, data_audio_read(f->ctx, f->path, 0, &audio));
        assert_int_equal(audio.count, 2000);
        data_audio_free(f->ctx, &audio);
    }
    /* 65,535 channels of nothing. */
    memcpy(wav, plain, n);
    wav[CHANNELS] = wav[CHANNELS + 1] = 0xff;
    refuse(f, write_bytes(f, "lie.wav", wav, n), 0, TN_FORMAT, "lie.wav: ");
    free(plain);
}

/* Every file cut off anywhere is refused, in time. */
static void prefixes_are_refused(void **state)
{
    fixture *f = *state;
    static const int format[] = {SF_FORMAT_WAV | SF_FORMAT_PCM_16,
                                 SF_FORMAT_WAV | SF_FORMAT_PCM_24,
                                 SF_FORMAT_WAVEX | SF_FORMAT_FLOAT,
                                 SF_FORMAT_RF64 | SF_FORMAT_PCM_16,
                                 SF_FORMAT_WAV | SF_FORMAT_PCM_16 | SF_ENDIAN_BIG,
                                 SF_FORMAT_FLAC | SF_FORMAT_PCM_16};
    double x[300];
    ramp(x, 300);
    for (size_t k = 0; k < sizeof format / sizeof *format; k++) {
        struct stat disk;
        data_audio audio;
        write_sound(f, "cut.wav", format[k], 16000, 1, x, 300);
        assert_ok(f->ctx, data_audio_read(f->ctx, f->path, 0, &audio));
        data_audio_free(f->ctx, &audio);
        assert_int_equal(stat(f->path, &disk), 0);
        while (disk.st_size-- > 0) {
            assert_int_equal(truncate(f->path, disk.st_size), 0);
            refuse(f, f->path, 0, TN_FORMAT, "cut.wav: ");
        }
    }
}

/* Frames that a header announces and that are not there, and a length of 64 bits. */
static void what_is_announced_is_there(void **state)
{
    fixture *f = *state;
    double x[20000];
    size_t n;
    ramp(x, 20000);
    write_sound(f, "cut.flac", SF_FORMAT_FLAC | SF_FORMAT_PCM_16, 16000, 1, x, 20000);
    struct stat disk;
    assert_int_equal(stat(f->path, &disk), 0);
    assert_int_equal(truncate(f->path, disk.st_size / 3 * 2), 0);
    refuse(f, f->path, 0, TN_FORMAT, "20000 samples are announced");
    unsigned char *bytes =
        read_bytes(write_sound(f, "a.wav", SF_FORMAT_RF64 | SF_FORMAT_PCM_16, 16000, 1, x, 20000), &n);
    assert_memory_equal(bytes + 12, "ds64", 4);
    put_number(bytes + 28, 1000000); /* its second length */
    refuse(f, write_bytes(f, "lie.wav", bytes, n), 0, TN_FORMAT, "announces 1000000 bytes, 40000 are there");
    free(bytes);
}

/* A small file of much silence. */
static void what_decodes_to_too_much_is_refused(void **state)
{
    fixture *f = *state;
    if (test_quick())
        skip();
    SF_INFO info = {.samplerate = 48000, .channels = 1, .format = SF_FORMAT_FLAC | SF_FORMAT_PCM_16};
    SNDFILE *file = sf_open(path_of(f, "bomb.flac"), SFM_WRITE, &info);
    static const int16_t zero[48000];
    assert_non_null(file);
    for (int seconds = 0; seconds < 130; seconds++)
        assert_int_equal(sf_write_short(file, zero, 48000), 48000);
    sf_close(file);
    struct stat disk;
    assert_int_equal(stat(f->path, &disk), 0);
    f->most = 0;
    refuse(f, f->path, 0, TN_RANGE, "decodes to more than");
    assert_true(f->most <= 4 * (size_t)disk.st_size + (64u << 20));
    f->most = 0;
    refuse(f, f->path, 192000, TN_RANGE, "decodes to more than");
    assert_true(f->most <= 4 * (size_t)disk.st_size + (64u << 20));
    data_audio audio;
    assert_ok(f->ctx, data_audio_read(f->ctx, f->path, 8000, &audio));
    data_audio_free(f->ctx, &audio);
}

static void what_cannot_be_asked_for_is_refused(void **state)
{
    fixture *f = *state;
    double x[100];
    data_audio audio;
    ramp(x, 100);
    write_sound(f, "a.wav", SF_FORMAT_WAV | SF_FORMAT_PCM_16, 16000, 1, x, 100);
    refuse(f, f->path, -1, TN_RANGE, "resampling to -1 Hz");
    refuse(f, f->path, 768001, TN_RANGE, "resampling to 768001 Hz");
    refuse(f, f->path, 8, TN_UNSUPPORTED, "cannot resample from 16000 to 8 Hz");
    assert_int_equal(data_audio_from(f->ctx, "x", DATA_DOUBLE, x, 10, 0, 8000, 0, &audio), TN_UNSUPPORTED);
    assert_int_equal(data_audio_from(f->ctx, "x", DATA_DOUBLE, x, 10, 1025, 8000, 0, &audio), TN_UNSUPPORTED);
    assert_int_equal(data_audio_from(f->ctx, "x", DATA_DOUBLE, x, 10, 1, 0, 0, &audio), TN_UNSUPPORTED);
    assert_null(audio.samples);
}

static void memory_that_runs_out_is_an_error(void **state)
{
    fixture *f = *state;
    double x[6000];
    ramp(x, 6000);
    write_sound(f, "a.wav", SF_FORMAT_WAV | SF_FORMAT_PCM_16, 16000, 1, x, 6000);
    for (int want_rate = 0; want_rate <= 8000; want_rate += 8000) {
        data_audio audio;
        long failures = 0;
        for (;; failures++) {
            f->before_failure = failures;
            tn_status status = data_audio_read(f->ctx, f->path, want_rate, &audio);
            f->before_failure = -1;
            if (status == TN_OK)
                break;
            assert_int_equal(status, TN_NOMEM);
            assert_int_equal(f->blocks, 1); /* the context */
            tn_clear_error(f->ctx);
        }
        assert_true(failures >= 2);
        data_audio_free(f->ctx, &audio);
    }
}

static void hostile_files_end_in_time(void **state)
{
    fixture *f = *state;
    char *dir = test_data("hostile/wav");
    DIR *folder = opendir(dir);
    assert_non_null(folder);
    int read = 0, refused = 0;
    for (struct dirent *entry; (entry = readdir(folder));) {
        char path[600];
        if (entry->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, "%s/%s", dir, entry->d_name);
        struct timespec begin, end;
        clock_gettime(CLOCK_MONOTONIC, &begin);
        data_audio audio;
        data_features features = {0};
        tn_clear_error(f->ctx);
        bool fine = data_audio_read(f->ctx, path, 0, &audio) == TN_OK;
        if (fine)
            data_features_compute(f->ctx, path, &audio, NULL, &features);
        else
            assert_int_equal(strncmp(tn_error(f->ctx), path, strlen(path)), 0);
        clock_gettime(CLOCK_MONOTONIC, &end);
        assert_true(end.tv_sec - begin.tv_sec <= 1);
        fine ? read++ : refused++;
        data_features_free(f->ctx, &features);
        data_audio_free(f->ctx, &audio);
    }
    closedir(folder);
    free(dir);
    printf("%d hostile files were read, %d refused\n", read, refused);
    assert_true(read > 0 && refused > 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(every_format_gives_the_same_samples),
        TEST(sixteen_bits_are_divided_by_32768),
        TEST(vorbis_is_read),
        TEST(channels_are_averaged),
        TEST(memory_gives_what_a_file_gives),
        TEST(silence_is_known),
        TEST(a_tone_stays_itself),
        TEST(tones_that_do_not_fit_vanish),
        TEST(what_is_no_file_of_sound_is_refused),
        TEST(no_samples_are_refused),
        TEST(values_that_are_no_numbers_are_refused),
        TEST(what_overflows_in_the_resampler_is_refused),
        TEST(a_header_that_lies_is_found_out),
        TEST(prefixes_are_refused),
        TEST(what_is_announced_is_there),
        TEST(what_decodes_to_too_much_is_refused),
        TEST(what_cannot_be_asked_for_is_refused),
        TEST(memory_that_runs_out_is_an_error),
        TEST(hostile_files_end_in_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
