/* A program in a child process whose standard output is read as it comes. */
#ifndef DATA_PROCESS_H
#define DATA_PROCESS_H

#include "libtensor/tensor.h"

#include <sys/types.h>

enum { DATA_PROCESS_LOG = 4096, DATA_PROCESS_AHEAD = 4096 };

/* What a program writes to its descriptor 3, as far as there is room. */
typedef struct data_process_text {
    char *bytes;        /* borrowed; not ended by a zero */
    size_t room, count; /* of it; what is there */
    bool cut;           /* there was more */
} data_process_text;

typedef struct data_process {
    const char *program;     /* borrowed; for messages */
    const char *name;        /* borrowed; what it works on, for messages */
    pid_t pid;               /* 0 when there is none (any more) */
    int out, err, third;     /* our ends of its standard output and error and of descriptor 3; -1: closed */
    data_process_text *text; /* borrowed: what came by the third, or NULL */
    double stall_seconds;    /* how long it may be silent */
    char log[DATA_PROCESS_LOG];     /* the end of what it said on standard error */
    size_t log_count;               /* of it */
    char ahead[DATA_PROCESS_AHEAD]; /* output that was read and not yet asked for */
    size_t ahead_begin, ahead_end;  /* where in it */
} data_process;

/* Starts `argv` (NULL at its end; argv[0] is looked for in PATH, no shell has a part in it) with nothing on
 * its standard input, in the folder `dir` (NULL: ours). `text` is empty, or NULL: then it has no
 * descriptor 3. Fails with TN_IO; the message says what to install where there is no such program. */
tn_status data_process_start(tn_ctx *ctx, const char *name, char *const argv[], const char *dir,
                             double stall_seconds, data_process_text *text, data_process *p);

/* Reads `count` bytes of its output, fewer only at the end. Fails with TN_IO when it is silent for too long.
 */
tn_status data_process_read(tn_ctx *ctx, data_process *p, void *bytes, size_t count, size_t *got);

/* Waits for its end, throwing away what it still writes, and returns its exit status in *status, or 128 plus
 * the signal that ended it. Fails with TN_IO when it does not end. */
tn_status data_process_wait(tn_ctx *ctx, data_process *p, int *status);

/* Ends it if it still runs. To be called in any case after a successful start; more than once is fine. */
void data_process_end(data_process *p);

/* The last line with a meaning that it wrote to standard error, without the addresses that ffmpeg puts into
 * its lines; "it said nothing" if there is none. The text lives in *p. */
const char *data_process_complaint(data_process *p);

#endif
