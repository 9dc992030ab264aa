#include "tests/common/programs.h"

#include "data/data.h"
#include "tests/common/files.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

const char *test_program(const char *name)
{
    static char path[4][PATH_MAX];
    static int next = 0;
    char *out = path[next++ % 4], given[PATH_MAX];
    const char *bin = getenv("VALENCE_BIN"), *infer = getenv("VALENCE_INFER");
    if (strcmp(name, "infer") == 0)
        snprintf(given, sizeof given, "%s", infer ? infer : "./infer");
    else
        snprintf(given, sizeof given, "%s/%s", bin ? bin : "bin", name);
    /* Commands of tests change the folder. */
    if (!realpath(given, out))
        fail_msg("no program %s", given);
    return out;
}

const char *test_in(const char *dir, const char *name)
{
    static char path[4][PATH_MAX];
    static int next = 0;
    char *out = path[next++ % 4];
    snprintf(out, sizeof path[0], "%s/%s", dir, name);
    return out;
}

static void put_u32(unsigned char *to, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        to[i] = (unsigned char)(value >> (8 * i));
}

void test_write_wav(const char *path, uint32_t samples, uint32_t silent_from)
{
    unsigned char *file = calloc(1, 44 + 2 * (size_t)samples);
    assert_non_null(file);
    memcpy(file, "RIFF    WAVEfmt \20\0\0\0\1\0\1\0", 24);
    put_u32(file + 4, 36 + 2 * samples);
    put_u32(file + 24, 16000);
    put_u32(file + 28, 32000);
    memcpy(file + 32, "\2\0\20\0data", 8);
    put_u32(file + 40, 2 * samples);
    for (uint32_t i = 0; i < samples && i < silent_from; i++) {
        const double t = (double)i / 16000;
        const int value = (int)(9000 * sin(2764 * t) * sin(9 * t));
        file[44 + 2 * i] = (unsigned char)(value & 255);
        file[45 + 2 * i] = (unsigned char)((value >> 8) & 255);
    }
    test_write_file(path, file, 44 + 2 * (size_t)samples);
    free(file);
}

void test_write_frames(tn_ctx *ctx, const char *dir, int count, int grow)
{
    assert_int_equal(mkdir(dir, 0777), 0);
    for (int i = 0; i < count; i++) {
        const int width = 40 + i * grow, height = 30;
        unsigned char *rgb = malloc((size_t)(3 * width * height));
        assert_non_null(rgb);
        for (int at = 0; at < width * height; at++) {
            const int x = at % width, y = at / width;
            const bool in = x >= 3 * i && x < 3 * i + 12 && y >= 8 && y < 20;
            for (int c = 0; c < 3; c++)
                rgb[3 * at + c] = (unsigned char)(in ? 250 - 60 * c : 2 * x + 3 * y + 20 * c);
        }
        char path[4096];
        snprintf(path, sizeof path, "%s/%d.png", dir, i + 1);
        const data_image image = {.rgb = rgb, .width = width, .height = height};
        assert_ok(ctx, data_image_write_png(ctx, path, &image));
        free(rgb);
    }
}

bool test_is_line(const char *text, const char *begin, const char *part)
{
    const char *end = strchr(text, '\n');
    const bool good = end && end[1] == '\0' && strncmp(text, begin, strlen(begin)) == 0 && strstr(text, part);
    if (!good)
        print_error("expected one line \"%s...%s...\", got \"%s\"\n", begin, part, text);
    return good;
}

void test_failure(const char *dir, const char *name, const char *arguments, int status, const char *part)
{
    char *out, *err, begin[64];
    snprintf(begin, sizeof begin, "%s: ", name);
    const int got = test_run(&out, &err, "cd %s && %s %s", dir, test_program(name), arguments);
    const bool good = got == status && *out == '\0' && test_is_line(err, begin, part);
    if (!good)
        fail_msg("%s %s: status %d, \"%s\", \"%s\"", name, arguments, got, out, err);
    free(out);
    free(err);
}

void test_has(const char *text, const char *part)
{
    if (!strstr(text, part))
        fail_msg("\"%s\" lacks \"%s\"", text, part);
}

void test_file_has(const char *dir, const char *name, const char *part)
{
    char *text = (char *)test_read_file(test_in(dir, name), NULL);
    test_has(text, part);
    free(text);
}

void test_same_files(const char *dir, const char *a, const char *b)
{
    size_t n, m;
    unsigned char *x = test_read_file(test_in(dir, a), &n), *y = test_read_file(test_in(dir, b), &m);
    assert_int_equal(n, m);
    assert_memory_equal(x, y, n);
    free(x);
    free(y);
}

int test_count_lines(const char *dir, const char *name)
{
    char *text = (char *)test_read_file(test_in(dir, name), NULL);
    int lines = 0;
    for (const char *c = text; *c; c++)
        lines += *c == '\n';
    free(text);
    return lines;
}

bool test_have_ffmpeg(void)
{
    return test_run(NULL, NULL, "ffmpeg -version") == 0;
}

void test_failures(const char *dir, const char *name, const test_mistake *mistake, size_t count)
{
    for (size_t i = 0; i < count; i++)
        test_failure(dir, name, mistake[i].arguments, mistake[i].status, mistake[i].part);
}
