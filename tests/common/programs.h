/* What the tests of programs share: where the programs are, and small inputs for them. */
#ifndef TESTS_PROGRAMS_H
#define TESTS_PROGRAMS_H

#include "tests/common/testing.h"

/* The path of a program under test; `make check` says where they are. Good until the next three calls. */
const char *test_program(const char *name);

/* DIR/NAME; good until the next three calls. */
const char *test_in(const char *dir, const char *name);

/* Writes a mono WAV file of 16 bits at 16 kHz: a beating tone, and zeros from sample `silent_from` on. */
void test_write_wav(const char *path, uint32_t samples, uint32_t silent_from);

/* Makes a folder of `count` PNG pictures, 1.png to COUNT.png: a bright square that moves over a ramp, 40 x 30
 * and `grow` pixels wider from one to the next. */
void test_write_frames(tn_ctx *ctx, const char *dir, int count, int grow);

/* Whether `text` is one line that begins with `begin` and holds `part`; prints it where not. */
bool test_is_line(const char *text, const char *begin, const char *part);

/* Runs a program in the folder `dir` and asserts that it fails with that status, prints nothing on stdout and
 * one line on stderr that begins with its name and holds `part`. */
void test_failure(const char *dir, const char *name, const char *arguments, int status, const char *part);

/* A table of such runs. */
typedef struct test_mistake {
    const char *arguments; /* of the program */
    int status;            /* it ends with */
    const char *part;      /* of its message */
} test_mistake;

void test_failures(const char *dir, const char *name, const test_mistake *mistake, size_t count);

/* Asserts that `text` holds `part`, that the file DIR/NAME does, and that DIR/A and DIR/B have the same
 * bytes. */
void test_has(const char *text, const char *part);
void test_file_has(const char *dir, const char *name, const char *part);
void test_same_files(const char *dir, const char *a, const char *b);

/* The line ends of DIR/NAME. */
int test_count_lines(const char *dir, const char *name);

/* Whether there is an ffmpeg to make and read video files. */
bool test_have_ffmpeg(void);

#endif
