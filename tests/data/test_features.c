/* The short-term features, against pyAudioAnalysis's numbers (tests/golden/features.py). */
#include "tests/common/testing.h"

#include "data/data.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- signals, as features.py makes them -------------------------------------------------------------- */

static int64_t noise(int64_t i, uint64_t seed)
{
    uint64_t z = ((seed << 32) + (uint64_t)i) * 0x9E3779B97F4A7C15u;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return (int64_t)((z ^ z >> 31) >> 48) - 32768;
}

/* Division that rounds down, as Python's. */
static int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

static int64_t triangle(int64_t i, int64_t rate, int64_t frequency)
{
    int64_t phase = i * frequency * 65536 / rate % 65536;
    return llabs(phase - 32768) * 2 - 32768;
}

static int64_t tones(int64_t i, int64_t rate)
{
    int64_t swell = triangle(i, rate, 5) + 32768;
    int64_t x = 3 * triangle(i, rate, 220) + 2 * triangle(i, rate, 1730) + noise(i, 1);
    return floor_div(floor_div(x * swell, 65536), 8);
}

static int64_t sample(const char *kind, int64_t i, int64_t rate, int64_t samples)
{
    if (strcmp(kind, "tones") == 0)
        return tones(i, rate);
    if (strcmp(kind, "silence") == 0)
        return 0;
    if (strcmp(kind, "offset") == 0)
        return 1000;
    if (strcmp(kind, "clipped") == 0)
        return tones(i, rate) * 9;
    if (strcmp(kind, "tiny") == 0)
        return floor_div(noise(i, 2), 32768);
    if (strcmp(kind, "shifted") == 0)
        return 12000 + floor_div(noise(i, 3), 64);
    if (strcmp(kind, "quiet") == 0)
        return i < 100 ? i % 2 * 65534 - 32767 : floor_div(noise(i, 6), 16384);
    if (strcmp(kind, "hum") == 0)
        return floor_div(triangle(i, rate, 97), 2) + floor_div(noise(i, 5), 4096);
    assert_string_equal(kind, "gaps");
    if (i < samples / 3)
        return tones(i, rate);
    return i < samples / 3 * 2 ? 0 : 9000 + floor_div(noise(i, 4), 8);
}

static void make(tn_ctx *ctx, const char *kind, int rate, size_t samples, data_audio *out)
{
    int16_t *x = calloc(samples + 1, sizeof *x);
    assert_non_null(x);
    for (size_t i = 0; i < samples; i++) {
        int64_t value = sample(kind, (int64_t)i, rate, (int64_t)samples);
        x[i] = (int16_t)(value > 32767 ? 32767 : value < -32768 ? -32768 : value);
    }
    assert_ok(ctx, data_audio_from(ctx, kind, DATA_INT16, x, samples, 1, rate, 0, out));
    free(x);
}

/* ---- known answers ----------------------------------------------------------------------------------- */

/* Reads the doubles of a NumPy file, version 1, row-major; freed by the caller. */
static double *read_npy(const char *path, size_t *count)
{
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    unsigned char head[10];
    assert_int_equal(fread(head, 1, sizeof head, f), sizeof head);
    assert_memory_equal(head, "\x93NUMPY\x01\x00", 8);
    char text[512] = "";
    size_t length = head[8] + 256u * head[9];
    assert_true(length < sizeof text);
    assert_int_equal(fread(text, 1, length, f), length);
    assert_non_null(strstr(text, "'<f8'"));
    assert_non_null(strstr(text, "'fortran_order': False"));
    long begin = ftell(f);
    assert_int_equal(fseek(f, 0, SEEK_END), 0);
    *count = (size_t)(ftell(f) - begin) / sizeof(double);
    assert_int_equal(fseek(f, begin, SEEK_SET), 0);
    double *value = calloc(*count + 1, sizeof *value);
    assert_non_null(value);
    assert_int_equal(fread(value, sizeof *value, *count, f), *count);
    fclose(f);
    return value;
}

static bool agrees(double a, double b)
{
    return isfinite(b) ? fabs(a - b) <= 1e-6 * fmax(1, fabs(b))
                       : isnan(a) == isnan(b) && (isnan(b) || a == b);
}

static void one_case(tn_ctx *ctx, const char *name, const char *kind, int rate, size_t samples, double eps)
{
    data_audio audio;
    data_features got;
    data_feature_options options = data_feature_defaults();
    options.harmonic = true;
    if (eps > 0)
        options.eps = eps;
    make(ctx, kind, rate, samples, &audio);
    assert_ok(ctx, data_features_compute(ctx, name, &audio, &options, &got));
    char path[256];
    snprintf(path, sizeof path, "tests/golden/features/%s.npy", name);
    size_t count, nonfinite = 0;
    double *want = read_npy(path, &count);
    assert_int_equal(count, got.windows * DATA_FEATURES_HARMONIC);
    for (size_t i = 0; i < count; i++) {
        nonfinite += isfinite(want[i]) ? 0 : 1;
        if (!agrees(got.value[i], want[i]))
            fail_msg("%s: %s of window %zu is %.17g, expected %.17g", name,
                     data_feature_name((int)(i % DATA_FEATURES_HARMONIC)), i / DATA_FEATURES_HARMONIC,
                     got.value[i], want[i]);
    }
    assert_int_equal(data_features_nonfinite(&got), nonfinite);
    free(want);
    data_features_free(ctx, &got);
    data_audio_free(ctx, &audio);
}

static void signals_agree(void **state)
{
    (void)state;
    for (int s = 0; tn_isa_list(s); s++) {
        tn_ctx *ctx = test_ctx(1, tn_isa_list(s));
        FILE *index = fopen("tests/golden/features/cases.txt", "r");
        assert_non_null(index);
        char name[80], kind[20];
        int rate, cases = 0;
        size_t samples;
        double eps;
        for (; fscanf(index, "%79s %19s %d %zu %lf", name, kind, &rate, &samples, &eps) == 5; cases++)
            one_case(ctx, name, kind, rate, samples, eps);
        fclose(index);
        assert_int_equal(cases, 30);
        tn_ctx_destroy(ctx);
    }
}

/* Sums, sums of squares, first, middle and last window against five rows of a digest. */
static void assert_digest(const char *name, const data_features *f, const double *want)
{
    for (int i = 0; i < DATA_FEATURES; i++) {
        double got[5] = {0};
        for (size_t w = 0; w < f->windows; w++) {
            double value = f->value[w * DATA_FEATURES + (size_t)i];
            got[0] += value;
            got[1] += value * value;
        }
        got[2] = f->value[i];
        got[3] = f->value[f->windows / 2 * DATA_FEATURES + (size_t)i];
        got[4] = f->value[(f->windows - 1) * DATA_FEATURES + (size_t)i];
        for (int row = 0; row < 5; row++)
            if (!agrees(got[row], want[row * DATA_FEATURES + i]))
                fail_msg("%s: %s, row %d of the digest: %.17g, expected %.17g", name, data_feature_name(i),
                         row, got[row], want[row * DATA_FEATURES + i]);
    }
}

static void recordings_agree(void **state)
{
    (void)state;
    /* A test that skips does not come back to free anything. */
    free(test_data("emodb"));
    free(test_data("clips"));
    FILE *index = fopen("tests/golden/features/recordings.txt", "r");
    assert_non_null(index);
    size_t count, n = 0;
    double *want = read_npy("tests/golden/features/recordings.npy", &count);
    tn_ctx *ctx = test_ctx(1, NULL);
    char name[120];
    for (; fscanf(index, "%119s", name) == 1; n++) {
        char *path = test_data(name);
        data_audio audio;
        data_features got;
        assert_ok(ctx, data_audio_read(ctx, path, 0, &audio));
        assert_ok(ctx, data_features_compute(ctx, path, &audio, NULL, &got));
        assert_true((n + 1) * 5 * DATA_FEATURES <= count);
        assert_digest(name, &got, want + n * 5 * DATA_FEATURES);
        assert_int_equal(data_features_nonfinite(&got), 0);
        data_features_free(ctx, &got);
        data_audio_free(ctx, &audio);
        free(path);
    }
    fclose(index);
    free(want);
    assert_int_equal(n * 5 * DATA_FEATURES, count);
    tn_ctx_destroy(ctx);
}

/* ---- limits ------------------------------------------------------------------------------------------ */

static void windows_are_those_that_fit(void **state)
{
    (void)state;
    tn_ctx *ctx = test_ctx(1, NULL);
    static const struct {
        int rate;
        size_t samples, windows;
    } known[] = {{16000, 80000, 498}, {44100, 220500, 498}, {16000, 400, 1},
                 {16000, 559, 1},     {16000, 560, 2},      {8000, 8000, 98}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        data_audio audio;
        data_features got;
        make(ctx, "tones", known[i].rate, known[i].samples, &audio);
        assert_ok(ctx, data_features_compute(ctx, "x", &audio, NULL, &got));
        assert_int_equal(got.windows, known[i].windows);
        assert_int_equal(got.width, DATA_FEATURES);
        data_features_free(ctx, &got);
        data_audio_free(ctx, &audio);
    }
    tn_ctx_destroy(ctx);
}

/* A window's numbers depend neither on how many follow it nor on how many are computed at a time. */
static void windows_are_independent(void **state)
{
    (void)state;
    tn_ctx *ctx = test_ctx(1, NULL);
    data_audio audio;
    data_features all, some;
    make(ctx, "hum", 16000, 4000, &audio);
    assert_ok(ctx, data_features_compute(ctx, "x", &audio, NULL, &all));
    /* The mean and the maximum are the sound's, so copies of it keep them. */
    double *twice = malloc(2 * audio.count * sizeof *twice);
    assert_non_null(twice);
    memcpy(twice, audio.samples, audio.count * sizeof *twice);
    memcpy(twice + audio.count, audio.samples, audio.count * sizeof *twice);
    data_audio doubled = {.samples = twice, .count = 2 * audio.count, .rate = 16000, .channels = 1};
    for (int s = 0; tn_isa_list(s); s++) {
        tn_ctx *other = test_ctx(1, tn_isa_list(s));
        assert_ok(other, data_features_compute(other, "x", &doubled, NULL, &some));
        assert_true(some.windows > all.windows);
        assert_memory_equal(all.value, some.value, all.windows * DATA_FEATURES * sizeof *all.value);
        data_features_free(other, &some);
        tn_ctx_destroy(other);
    }
    free(twice);
    data_features_free(ctx, &all);
    data_audio_free(ctx, &audio);
    tn_ctx_destroy(ctx);
}

static void refuse(tn_ctx *ctx, const char *kind, int rate, size_t samples, double eps, tn_status status,
                   const char *says)
{
    data_audio audio;
    data_features got = {.windows = 7};
    data_feature_options options = {.eps = eps};
    make(ctx, kind, rate, samples, &audio);
    tn_clear_error(ctx);
    assert_status(ctx, data_features_compute(ctx, "clip7.wav", &audio, &options, &got), status);
    if (!strstr(tn_error(ctx), "clip7.wav: ") || !strstr(tn_error(ctx), says))
        fail_msg("\"%s\" does not say \"%s\"", tn_error(ctx), says);
    assert_null(got.value);
    assert_int_equal(got.windows, 0);
    data_audio_free(ctx, &audio);
}

static void what_has_no_features_is_refused(void **state)
{
    (void)state;
    tn_ctx *ctx = test_ctx(1, NULL);
    double eps = data_feature_defaults().eps;
    refuse(ctx, "tones", 16000, 399, eps, TN_RANGE,
           "399 samples, but one window of 25 ms at 16000 Hz needs 400");
    refuse(ctx, "tones", 44100, 1, eps, TN_RANGE, "needs 1102");
    refuse(ctx, "tones", 16000, 400, 0, TN_RANGE, "eps");
    refuse(ctx, "tones", 16000, 400, (double)NAN, TN_RANGE, "eps");
    /* pyAudioAnalysis fails at every rate below 6854 Hz and at none above. */
    static const int low[] = {1, 50, 400, 799, 800, 1234, 4000, 6000, 6853};
    for (size_t i = 0; i < sizeof low / sizeof *low; i++)
        refuse(ctx, "tones", low[i], 2000, eps, TN_UNSUPPORTED, "resample to 8000 Hz or more");
    data_audio audio;
    data_features got;
    tn_clear_error(ctx);
    for (int rate = 6854; rate < 12000; rate += 97) {
        make(ctx, "tones", rate, 400, &audio);
        assert_ok(ctx, data_features_compute(ctx, "x", &audio, NULL, &got));
        data_features_free(ctx, &got);
        data_audio_free(ctx, &audio);
    }
    tn_ctx_destroy(ctx);
}

static void names_are_in_order(void **state)
{
    (void)state;
    assert_string_equal(data_feature_name(0), "zcr");
    assert_string_equal(data_feature_name(7), "spectral_rolloff");
    assert_string_equal(data_feature_name(8), "mfcc_1");
    assert_string_equal(data_feature_name(20), "mfcc_13");
    assert_string_equal(data_feature_name(21), "chroma_1");
    assert_string_equal(data_feature_name(33), "chroma_std");
    assert_string_equal(data_feature_name(35), "pitch");
    assert_null(data_feature_name(36));
    assert_null(data_feature_name(-1));
}

/* ---- memory ------------------------------------------------------------------------------------------ */

/* An allocator that fails once, and counts what is out. */
typedef struct tally {
    long before_failure; /* allocations that succeed until then; negative: all */
    long out;            /* blocks */
} tally;

static void *tally_alloc(void *user, size_t bytes)
{
    tally *t = user;
    if (t->before_failure-- == 0)
        return NULL;
    t->out++;
    return aligned_alloc(64, bytes);
}

static void tally_release(void *user, void *block)
{
    tally *t = user;
    t->out--;
    free(block);
}

static void memory_that_runs_out_is_an_error(void **state)
{
    (void)state;
    tally t = {.before_failure = -1};
    tn_allocator allocator = {tally_alloc, tally_release, &t};
    tn_options options = {.threads = 1, .allocator = &allocator};
    tn_ctx *ctx;
    assert_int_equal(tn_ctx_create(&options, &ctx), TN_OK);
    /* A rate whose window has a large prime factor needs the most. */
    static const int rate[] = {16000, 44120};
    for (size_t r = 0; r < 2; r++) {
        data_audio audio;
        data_features got;
        make(ctx, "tones", rate[r], 3000, &audio);
        long out = t.out, failures = 0;
        for (;; failures++) {
            t.before_failure = failures;
            tn_status status = data_features_compute(ctx, "x", &audio, NULL, &got);
            t.before_failure = -1;
            if (status == TN_OK)
                break;
            assert_int_equal(status, TN_NOMEM);
            assert_int_equal(t.out, out);
            tn_clear_error(ctx);
        }
        assert_true(failures >= 8);
        data_features_free(ctx, &got);
        data_audio_free(ctx, &audio);
    }
    tn_ctx_destroy(ctx);
    assert_int_equal(t.out, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(signals_agree),
        cmocka_unit_test(recordings_agree),
        cmocka_unit_test(windows_are_those_that_fit),
        cmocka_unit_test(windows_are_independent),
        cmocka_unit_test(what_has_no_features_is_refused),
        cmocka_unit_test(names_are_in_order),
        cmocka_unit_test(memory_that_runs_out_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
