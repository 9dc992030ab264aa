/* infer under valgrind: no invalid access, no use of memory that was never written, no leak, whether it
 * succeeds or fails. */
#include "tests/common/programs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

static struct {
    tn_ctx *ctx; /* for making files */
    char *dir;   /* with everything below */
} all;

static int set_up(void **state)
{
    (void)state;
    all.ctx = test_ctx(1, NULL);
    all.dir = test_make_dir();
    test_write_frames(all.ctx, test_in(all.dir, "frames"), 3, 0);
    test_write_wav(test_in(all.dir, "sound.wav"), 3000, 3000);
    assert_int_equal(
        test_run(NULL, NULL,
                 "cd %s && %s --video v.safetensors --classes a,b --width 2 --blocks 1,1,1,1 --size 32 "
                 "--num-frames 2 && %s --audio a.safetensors --classes a,b --dense 4 --cells 3 && "
                 "head -c 3000 v.safetensors > cut.safetensors",
                 all.dir, test_program("init-weights"), test_program("init-weights")),
        0);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    test_remove_dir(all.dir);
    tn_ctx_destroy(all.ctx);
    return 0;
}

/* Runs infer in the folder of test data; a complaint of valgrind's makes the status 99. */
static void assert_clean(const char *arguments, int want)
{
    if (SANITIZED || test_run(NULL, NULL, "valgrind --version") != 0) {
        printf("skip: %s\n", SANITIZED ? "a sanitized program does not run under valgrind" : "no valgrind");
        skip();
    }
    /* valgrind knows AVX2, but not AVX-512, and not clang's way to write debug information. */
    char *err;
    const int status = test_run(NULL, &err,
                                "cd %s && strip -g -o program %s && "
                                "VALENCE_ISA=$(grep -q avx2 /proc/cpuinfo && echo avx2 || echo generic) "
                                "valgrind -q --error-exitcode=99 --leak-check=full ./program %s",
                                all.dir, test_program("infer"), arguments);
    /* A program's own failure has its message; valgrind's has not. */
    const bool good = status == want && strstr(err, "==") == NULL && (want == 0 || strstr(err, "infer: "));
    if (!good)
        print_error("infer %s: status %d\n%s", arguments, status, err);
    free(err);
    assert_true(good);
}

static void infer_answers_cleanly(void **state)
{
    (void)state;
    assert_clean(
        "--json --threads 2 --profile --frames frames --audio sound.wav --video-weights v.safetensors "
        "--audio-weights a.safetensors",
        0);
}

static void infer_reads_video_cleanly(void **state)
{
    (void)state;
    if (!test_have_ffmpeg()) {
        printf("skip: no ffmpeg\n");
        skip();
    }
    assert_int_equal(
        test_run(NULL, NULL,
                 "cd %s && ffmpeg -v error -y -framerate 3 -i frames/%%d.png -i sound.wav -c:v mpeg4 "
                 "-c:a pcm_s16le clip.avi",
                 all.dir),
        0);
    assert_clean("clip.avi --video-weights v.safetensors --audio-weights a.safetensors", 0);
}

static void infer_fails_cleanly(void **state)
{
    (void)state;
    assert_clean("--frames frames --video-weights cut.safetensors", 1);
    assert_clean("--json frames missing v.safetensors --video-weights v.safetensors", 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(infer_answers_cleanly),
        cmocka_unit_test(infer_reads_video_cleanly),
        cmocka_unit_test(infer_fails_cleanly),
    };
    return cmocka_run_group_tests_name("valgrind", tests, set_up, tear_down);
}
