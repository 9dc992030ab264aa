/* What the tests of infer share: clips of all kinds and small untrained networks in one folder. */
#ifndef TESTS_APPS_INFER_H
#define TESTS_APPS_INFER_H

#include "tests/common/files.h"
#include "tests/common/programs.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* Made once for all tests. */
static struct {
    tn_ctx *ctx; /* for making files */
    char *dir;   /* with everything below; */
} all;

/* Small networks of both kinds. */
#define NETWORKS "--video-weights v.safetensors --audio-weights a.safetensors"

/* Classes that differ, so that a wrong order shows: the sum of both scores decides. */
static const char voter[] = "svm_type c_svc\nkernel_type linear\nnr_class 3\ntotal_sv 3\nrho 0 0 0\n"
                            "label 1 2 3\nprobA -2 -2 -2\nprobB 0 0 0\nnr_sv 1 1 1\nSV\n"
                            "1 1 1:1 4:1\n-1 1 2:1 5:1\n-1 -1 3:1 6:1\n";
static const char voter_without_platt[] =
    "svm_type c_svc\nkernel_type linear\nnr_class 3\ntotal_sv 3\nrho 0 0 0\n"
    "label 1 2 3\nnr_sv 1 1 1\nSV\n1 1 1:1 4:1\n-1 1 2:1 5:1\n-1 -1 3:1 6:1\n";
static const char voter_of_two[] = "svm_type c_svc\nkernel_type linear\nnr_class 2\ntotal_sv 2\nrho 0\n"
                                   "label 1 2\nnr_sv 1 1\nSV\n1 1:1\n-1 2:1\n";

/* Runs infer in the folder of test data. */
#define INFER(out, err, format, ...)                                                                         \
    test_run((out), (err), "cd %s && %s " format, all.dir, test_program("infer"), __VA_ARGS__)

static void write_text(const char *name, const char *text)
{
    test_write_file(test_in(all.dir, name), text, strlen(text));
}

static void make_weights(void)
{
    const char *init = test_program("init-weights");
    assert_int_equal(
        test_run(NULL, NULL,
                 "cd %s && small='--width 4 --blocks 1,1,1,1 --size 64 --num-frames 4' && "
                 "%s --video v.safetensors --classes good,plain,bad --seed 5 $small --calibrate frames && "
                 "%s --video two.safetensors --classes good,bad $small && "
                 "%s --video nameless.safetensors --num-classes 7 $small && "
                 "audio='--dense 8 --cells 4' && "
                 "%s --audio a.safetensors --classes good,plain,bad --seed 6 $audio && "
                 "%s --audio rate.safetensors --classes good,plain,bad --seed 6 $audio --rate 8000 && "
                 "%s --audio eps.safetensors --classes good,plain,bad $audio --eps 1e-8 && "
                 "%s --audio harmonic.safetensors --classes good,plain,bad $audio --harmonic",
                 all.dir, init, init, init, init, init, init, init),
        0);
}

static int set_up(void **state)
{
    (void)state;
    all.ctx = test_ctx(1, NULL);
    all.dir = test_make_dir();
    test_write_frames(all.ctx, test_in(all.dir, "frames"), 6, 0);
    test_write_frames(all.ctx, test_in(all.dir, "growing"), 4, 7);
    test_write_frames(all.ctx, test_in(all.dir, "broken"), 4, 0);
    write_text("broken/3.png", "this is no picture\n");
    assert_int_equal(mkdir(test_in(all.dir, "empty"), 0777), 0);
    test_write_wav(test_in(all.dir, "sound.wav"), 16000, 16000);
    test_write_wav(test_in(all.dir, "sound.dat"), 16000, 16000);
    test_write_wav(test_in(all.dir, "silence.wav"), 8000, 0);
    test_write_wav(test_in(all.dir, "short.wav"), 160, 160);
    write_text("text.wav", "this is no sound, whatever its name says\n");
    write_text("text.mp4", "this is no video, whatever its name says\n");
    write_text("zero.wav", "");
    write_text("zero.mp4", "");
    write_text("zero.safetensors", "");
    write_text("fusion.svm", voter);
    write_text("plain.svm", voter_without_platt);
    write_text("two.svm", voter_of_two);
    write_text("three.txt", "good\nplain\nbad\n");
    write_text("seven.txt", "a\nb\nc\nd\ne\nf\ng\n");
    make_weights();
    if (test_have_ffmpeg())
        assert_int_equal(
            test_run(NULL, NULL,
                     "cd %s && ffmpeg -v error -framerate 3 -i frames/%%d.png -i sound.wav -c:v mpeg4 "
                     "-c:a pcm_s16le clip.avi && ffmpeg -v error -i clip.avi -c:v copy -an mute.avi && "
                     "ffmpeg -v error -i clip.avi -c:v copy -af volume=0 -c:a pcm_s16le silent.avi",
                     all.dir),
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

#endif
