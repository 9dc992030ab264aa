/* What the tests of video files share: clips that ffmpeg makes. */
#ifndef TESTS_DATA_VIDEO_H
#define TESTS_DATA_VIDEO_H

#include "data/data.h"
#include "tests/common/testing.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

/* Skips the test where there is no ffmpeg. */
static inline void need_ffmpeg(void)
{
    if (test_run(NULL, NULL, "command -v ffmpeg") != 0) {
        printf("skip: no ffmpeg\n");
        skip();
    }
}

/* A folder for clips that ffmpeg makes. */
static inline char *begin(void)
{
    need_ffmpeg();
    return test_make_dir();
}

#define FFMPEG "ffmpeg -nostdin -v error -y "

static inline void make_clip(const char *format, ...) TN_PRINTF(1, 2);
static inline void make_clip(const char *format, ...)
{
    char command[2000], *err = NULL;
    va_list args;
    va_start(args, format);
    vsnprintf(command, sizeof command, format, args);
    va_end(args);
    if (test_run(NULL, &err, "%s%s", FFMPEG, command) != 0)
        fail_msg("ffmpeg %s: %s", command, err);
    free(err);
}

static inline void assert_no_children(void)
{
    errno = 0;
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    assert_int_equal(errno, ECHILD);
}

static inline char *joined(const char *dir, const char *name)
{
    char *path = NULL;
    assert_true(asprintf(&path, "%s/%s", dir, name) > 0);
    return path;
}

/* Frames whose level says when they are: 10 frames a second, level 2 + 2 * number. */
static inline char *clock_clip(const char *dir, const char *name, double seconds, const char *options)
{
    char *path = joined(dir, name);
    make_clip("-f lavfi -i \"color=s=32x24:r=10:d=%g,format=gray,geq=lum='2+2*N'\" %s -c:v ffv1 '%s'",
              seconds, options, path);
    return path;
}

/* Makes `script` the program ffmpeg (NULL: there is none) until put_back() gets what this returns. */
static inline char *replace_ffmpeg(const char *dir, const char *script)
{
    char *bin = joined(dir, "bin"), *program = joined(bin, "ffmpeg"), *old = strdup(getenv("PATH"));
    mkdir(bin, 0700);
    remove(program);
    if (script) {
        FILE *f = fopen(program, "w");
        assert_non_null(f);
        fprintf(f, "#!/bin/sh\nPATH='%s'\n%s\n", old, script);
        fclose(f);
        chmod(program, 0700);
    }
    setenv("PATH", bin, 1);
    free(program);
    free(bin);
    return old;
}

static inline void put_back(char *old)
{
    setenv("PATH", old, 1);
    free(old);
}

#endif
