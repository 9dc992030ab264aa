/* Video files, by way of the program ffmpeg.
 *
 * A first run copies the packets' headers only (no decoding) to say which streams there are and how long the
 * picture lasts. A second one decodes: pictures come as PPM files one after the other, sound as an AU file,
 * both of which say themselves what they hold. Where the file itself says how long its pictures last, one run
 * does both, and counts if that was true: starting ffmpeg is most of the work with a short clip. */
#include "data/clip.h"
#include "data/files.h"
#include "data/mp4.h"
#include "data/process.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { MAX_SECONDS = 600, MAX_ARGS = 48, MAX_LINE = 512 };

data_video_options data_video_defaults(void)
{
    return (data_video_options){.frames = 10, .seconds = 5, .height = 224, .width = 224, .stall_seconds = 60};
}

static tn_status check_options(tn_ctx *ctx, const char *path, const data_video_options *o)
{
    if (!(o->seconds > 0 && o->seconds <= MAX_SECONDS))
        return tn_fail(ctx, TN_RANGE, "%s: a window of %g seconds, expected more than 0 and at most %d", path,
                       o->seconds, MAX_SECONDS);
    if (!(o->fps >= 0 && o->fps <= 1000))
        return tn_fail(ctx, TN_RANGE, "%s: %g frames per second, expected 0 to 1000", path, o->fps);
    if (!(o->stall_seconds > 0 && o->stall_seconds <= 86400))
        return tn_fail(ctx, TN_RANGE, "%s: a patience of %g seconds, expected more than 0 and at most 86400",
                       path, o->stall_seconds);
    return TN_OK;
}

/* ---- running ffmpeg -------------------------------------------------------------------------------- */

/* A command line. */
typedef struct command {
    char *arg[MAX_ARGS]; /* NULL at the end; borrowed */
    int count;           /* of them */
    char *url;           /* owned: the file as ffmpeg is told it */
    char number[2][64];  /* text of numbers among the arguments */
} command;

static void add(command *c, const char *arg)
{
    /* execvp() does not write to them, whatever its prototype says. */
    c->arg[c->count++] = (char *)(uintptr_t)arg;
    c->arg[c->count] = NULL;
}

static void add_all(command *c, const char *const *args)
{
    for (; *args; args++)
        add(c, *args);
}

/* Begins a command line that reads the first `seconds` of `path` (all of it for 0). The prefix "file:" keeps
 * names with a colon or a leading hyphen from being anything else, and the white list keeps a playlist from
 * reaching into the network. */
static tn_status begin_command(tn_ctx *ctx, const char *path, double seconds, command *c)
{
    static const char *const begin[] = {"ffmpeg",    "-nostdin",    "-hide_banner",
                                        "-v",        "error",       "-protocol_whitelist",
                                        "file,pipe", "-max_pixels", NULL};
    *c = (command){0};
    struct stat info;
    if (stat(path, &info) != 0)
        return tn_fail(ctx, TN_IO, "%s: %s", path, strerror(errno));
    if (!S_ISREG(info.st_mode))
        return tn_fail(ctx, TN_IO, "%s: %s", path,
                       S_ISDIR(info.st_mode) ? "a folder, where a video file is expected"
                                             : "not a regular file");
    size_t room = strlen(path) + 6;
    c->url = tn_alloc(ctx, room, 1);
    if (!c->url)
        return TN_NOMEM;
    snprintf(c->url, room, "file:%s", path);
    snprintf(c->number[0], sizeof c->number[0], "%d", DATA_MAX_PIXELS);
    snprintf(c->number[1], sizeof c->number[1], "%" PRId64 "us", (int64_t)ceil(seconds * 1e6));
    add_all(c, begin);
    add(c, c->number[0]);
    if (seconds > 0) {
        add(c, "-t");
        add(c, c->number[1]);
    }
    add(c, "-i");
    add(c, c->url);
    return TN_OK;
}

/* What is done with the output of a command. */
typedef tn_status (*reader)(tn_ctx *ctx, const char *path, data_process *p, void *arg);

/* Runs a command, which is used up by that. */
static tn_status run_command(tn_ctx *ctx, const char *path, const data_video_options *o, command *c,
                             data_process_text *text, reader read, void *arg)
{
    data_process p;
    tn_status status = data_process_start(ctx, path, c->arg, NULL, o->stall_seconds, text, &p);
    if (status == TN_OK)
        status = read(ctx, path, &p, arg);
    data_process_end(&p);
    tn_free(ctx, c->url);
    return status;
}

/* Reports that ffmpeg failed, in its own words but for the name, which is there already. */
static tn_status complain(tn_ctx *ctx, const char *path, data_process *p)
{
    const char *text = data_process_complaint(p);
    size_t length = strlen(path);
    if (strncmp(text, "file:", 5) == 0 && strncmp(text + 5, path, length) == 0 &&
        strncmp(text + 5 + length, ": ", 2) == 0)
        text += 5 + length + 2;
    return tn_fail(ctx, TN_FORMAT, "%s: ffmpeg cannot read it as video or sound: %s", path, text);
}

/* Reads a line without its newline; fewer than `room` bytes, or it is cut. False at the end of the output. */
static tn_status read_line(tn_ctx *ctx, data_process *p, char *line, size_t room, bool *got_one)
{
    size_t used = 0, got;
    for (;;) {
        char c;
        TN_TRY(data_process_read(ctx, p, &c, 1, &got));
        *got_one = got > 0 || used > 0;
        if (got == 0 || c == '\n')
            break;
        if (used + 1 < room)
            line[used++] = c;
    }
    line[used] = '\0';
    return TN_OK;
}

/* ---- what is in a file ----------------------------------------------------------------------------- */

typedef struct probe {
    bool video, sound; /* streams that are there */
    int64_t num, den;  /* length of the picture in seconds, as a fraction; num 0: unknown */
} probe;

/* What the lines of ffmpeg's "framecrc" format say: "#tb 0: 1/25", "#media_type 0: video", and for each
 * packet "stream, dts, pts, duration, size, checksum". */
typedef struct tally {
    probe found;         /* so far */
    int64_t num, den;    /* time base of the pictures */
    int64_t first, last; /* where they begin and end, in its units */
    bool any;            /* those are set */
} tally;

static void count_line(tally *t, const char *line)
{
    int stream;
    char type[16];
    int64_t num, den, pts, duration;
    if (sscanf(line, "#media_type %d: %15s", &stream, type) == 2) {
        /* Pictures are asked for first, so they are stream 0 where there are any. */
        t->found.video = t->found.video || (stream == 0 && strcmp(type, "video") == 0);
        t->found.sound = t->found.sound || strcmp(type, "audio") == 0;
    } else if (sscanf(line, "#tb %d: %" SCNd64 "/%" SCNd64, &stream, &num, &den) == 3) {
        if (stream == 0 && num > 0 && den > 0 && num < INT32_MAX && den < INT32_MAX) {
            t->num = num;
            t->den = den;
        }
    } else if (sscanf(line, "%d, %*d, %" SCNd64 ", %" SCNd64 ",", &stream, &pts, &duration) == 3 &&
               stream == 0 && t->found.video && pts > -INT32_MAX * (int64_t)1024 && pts < INT64_MAX / 1024 &&
               duration >= 0 && duration < INT32_MAX) {
        t->first = t->any && t->first < pts ? t->first : pts;
        t->last = t->any && t->last > pts + duration ? t->last : pts + duration;
        t->any = true;
    }
}

static probe sum_up(const tally *t)
{
    probe found = t->found;
    if (t->any && t->den > 0 && t->last > t->first &&
        !__builtin_mul_overflow(t->last - t->first, t->num, &found.num))
        found.den = t->den;
    else
        found.num = 0;
    return found;
}

static tn_status probe_lines(tn_ctx *ctx, const char *path, data_process *p, void *arg)
{
    probe *out = arg;
    tally t = {0};
    char line[MAX_LINE];
    int status = 0;
    for (bool more = true; more;) {
        TN_TRY(read_line(ctx, p, line, sizeof line, &more));
        if (more)
            count_line(&t, line);
    }
    TN_TRY(data_process_wait(ctx, p, &status));
    *out = sum_up(&t);
    return out->video || out->sound ? TN_OK : complain(ctx, path, p);
}

static tn_status probe_file(tn_ctx *ctx, const char *path, const data_video_options *o, probe *out)
{
    static const char *const rest[] = {"-map", "0:V:0?", "-map",     "0:a:0?", "-c",
                                       "copy", "-f",     "framecrc", "pipe:1", NULL};
    *out = (probe){0};
    TN_TRY(check_options(ctx, path, o));
    command c;
    /* A little more than the window, so that a clip which fills it is seen to. */
    TN_TRY(begin_command(ctx, path, o->seconds + 1, &c));
    add_all(&c, rest);
    return run_command(ctx, path, o, &c, NULL, probe_lines, out);
}

/* ---- pictures -------------------------------------------------------------------------------------- */

/* The filter that picks the frames. ffmpeg's "fps" gives for frame i the last one that begins before the
 * middle of the i-th part of 1 / rate seconds; data_frame_pick() says the same by number. */
static void picking_filter(const data_video_options *o, const probe *found, char *text, size_t room)
{
    double seconds = o->fps > 0 ? fmin(o->seconds, o->frames / o->fps) : o->seconds;
    int64_t num = llround(seconds * 1e6), den = 1000000;
    num = num < 1 ? 1 : num;
    if (found->num > 0 && (double)found->num / (double)found->den < seconds) {
        num = found->num;
        den = found->den;
    }
    snprintf(text, room, "setpts=PTS-STARTPTS,fps=%d*%" PRId64 "/%" PRId64 "", o->frames, den, num);
}

/* Reads one picture of a stream of PPM files, as ffmpeg writes them: "P6", width and height, 255, bytes. At
 * the end of the stream image->rgb stays NULL. */
static tn_status read_ppm(tn_ctx *ctx, const char *path, data_process *p, data_image *image)
{
    char line[3][64];
    bool more = true;
    int end = 0;
    *image = (data_image){0};
    for (int i = 0; i < 3; i++) {
        TN_TRY(read_line(ctx, p, line[i], sizeof line[i], &more));
        if (i == 0 && !more)
            return TN_OK;
    }
    if (strcmp(line[0], "P6") != 0 || strcmp(line[2], "255") != 0 ||
        sscanf(line[1], "%d %d%n", &image->width, &image->height, &end) != 2 || line[1][end] != '\0' ||
        image->width < 1 || image->height < 1)
        return tn_fail(ctx, TN_FORMAT, "%s: ffmpeg gave something else than a PPM picture of 8 bits", path);
    size_t pixels = (size_t)image->width * (size_t)image->height, got;
    if (pixels > DATA_MAX_PIXELS)
        return tn_fail(ctx, TN_RANGE, "%s: frames of %d x %d pixels, more than the %d that are read", path,
                       image->width, image->height, DATA_MAX_PIXELS);
    image->rgb = tn_alloc(ctx, pixels, 3);
    if (!image->rgb)
        return TN_NOMEM;
    tn_status status = data_process_read(ctx, p, image->rgb, pixels * 3, &got);
    if (status == TN_OK && got < pixels * 3)
        status = tn_fail(ctx, TN_FORMAT, "%s: ffmpeg stopped in the middle of a frame: %s", path,
                         data_process_complaint(p));
    if (status != TN_OK)
        data_image_free(ctx, image);
    return status;
}

/* Reads the frames that come and spreads them over the clip. */
static tn_status read_frames(tn_ctx *ctx, const char *path, data_process *p, void *arg)
{
    data_clip *clip = arg;
    int got = 0, exit_status = 0;
    for (; got < clip->frames; got++) {
        data_image image;
        TN_TRY(read_ppm(ctx, path, p, &image));
        if (!image.rgb)
            break;
        tn_status status = data_clip_put(ctx, &image, clip, got);
        data_image_free(ctx, &image);
        TN_TRY(status);
    }
    if (got == clip->frames)
        return TN_OK;
    TN_TRY(data_process_wait(ctx, p, &exit_status));
    if (got == 0 || exit_status != 0)
        return tn_fail(ctx, TN_FORMAT, "%s: ffmpeg gave %d of %d frames: %s", path, got, clip->frames,
                       data_process_complaint(p));
    size_t bytes = (size_t)clip->height * (size_t)clip->width * 3;
    for (int i = clip->frames - 1; i >= 0; i--) {
        int from = (int)data_frame_pick((size_t)got, clip->frames, i);
        if (from != i)
            memcpy(data_clip_frame(clip, i), data_clip_frame(clip, from), bytes);
    }
    return TN_OK;
}

enum { MAX_FILTER = 256 };

/* Adds what makes pictures of the picked frames, on standard output. */
static void add_frames(command *c, const data_video_options *o, const char *filter)
{
    static const char *const after[] = {"-an", "-sn", "-dn",        "-pix_fmt", "rgb24", "-c:v",
                                        "ppm", "-f",  "image2pipe", "pipe:1",   NULL};
    snprintf(c->number[1], sizeof c->number[1], "%d", o->frames);
    add_all(c, (const char *const[]){"-map", "0:V:0", "-vf", filter, "-frames:v", c->number[1], NULL});
    add_all(c, after);
}

static tn_status run_frames(tn_ctx *ctx, const char *path, const data_video_options *o, const probe *found,
                            data_clip *clip)
{
    char filter[MAX_FILTER];
    command c;
    TN_TRY(begin_command(ctx, path, 0, &c));
    picking_filter(o, found, filter, sizeof filter);
    add_frames(&c, o, filter);
    return run_command(ctx, path, o, &c, NULL, read_frames, clip);
}

/* ---- pictures in one run --------------------------------------------------------------------------- */

/* Reads the frames and waits for the list of packets; fewer frames are for the long way to judge. */
static tn_status read_all_frames(tn_ctx *ctx, const char *path, data_process *p, void *arg)
{
    int exit_status = 0;
    TN_TRY(read_frames(ctx, path, p, arg));
    TN_TRY(data_process_wait(ctx, p, &exit_status));
    return exit_status == 0 ? TN_OK : complain(ctx, path, p);
}

/* Whether the list of packets gives the filter that was used. The pictures have to begin early, so that the
 * list of the whole window and that of its first `seconds` + 1, which the long way looks at, are the same. */
static bool confirms(const data_process_text *text, const data_video_options *o, const char *filter)
{
    tally t = {0};
    char line[MAX_LINE], again[MAX_FILTER];
    for (size_t at = 0; at < text->count;) {
        const char *begin = text->bytes + at;
        const char *end = memchr(begin, '\n', text->count - at);
        const size_t length = end ? (size_t)(end - begin) : text->count - at;
        if (length < sizeof line) {
            memcpy(line, begin, length);
            line[length] = '\0';
            count_line(&t, line);
        }
        at += length + 1;
    }
    const probe found = sum_up(&t);
    if (text->cut || !found.video || found.num == 0 ||
        fabs((double)t.first * (double)t.num / (double)t.den) > 0.5)
        return false;
    picking_filter(o, &found, again, sizeof again);
    return strcmp(filter, again) == 0;
}

/* Reads the clip in one run where the file says how long it is; *done tells whether that went well. What went
 * wrong with the file is left to the long way to say. */
static tn_status run_at_once(tn_ctx *ctx, const char *path, const data_video_options *o, data_clip *clip,
                             bool *done)
{
    enum { LIST_BYTES = 1 << 16 };
    static const char *const list[] = {"-c", "copy", "-f", "framecrc", "pipe:3", NULL};
    char filter[MAX_FILTER], seconds[64];
    probe guess = {.video = true};
    *done = false;
    if (*tn_error(ctx) || !data_mp4_length(path, &guess.num, &guess.den))
        return TN_OK;
    data_process_text text = {tn_alloc(ctx, LIST_BYTES, 1), LIST_BYTES, 0, false};
    command c;
    tn_status status = text.bytes ? begin_command(ctx, path, 0, &c) : TN_NOMEM;
    if (status == TN_OK) {
        picking_filter(o, &guess, filter, sizeof filter);
        add_frames(&c, o, filter);
        snprintf(seconds, sizeof seconds, "%" PRId64 "us", (int64_t)ceil((o->seconds + 1) * 1e6));
        add_all(&c, (const char *const[]){"-map", "0:V:0", "-t", seconds, NULL});
        add_all(&c, list);
        status = run_command(ctx, path, o, &c, &text, read_all_frames, clip);
        *done = status == TN_OK && confirms(&text, o, filter);
    }
    tn_free(ctx, text.bytes);
    if (status == TN_OK || status == TN_NOMEM || status == TN_IO)
        return status;
    tn_clear_error(ctx);
    return TN_OK;
}

/* The long way: a look at the file, and then the frames. */
static tn_status run_twice(tn_ctx *ctx, const char *path, const data_video_options *o, data_clip *clip)
{
    probe found;
    TN_TRY(probe_file(ctx, path, o, &found));
    if (!found.video)
        return tn_fail(ctx, TN_FORMAT, "%s: no video stream, only sound", path);
    return run_frames(ctx, path, o, &found, clip);
}

tn_status data_video_clip(tn_ctx *ctx, const char *path, const data_video_options *options, data_clip *out)
{
    *out = (data_clip){0};
    bool done = false;
    TN_TRY(check_options(ctx, path, options));
    TN_TRY(data_clip_make(ctx, path, options->frames, options->height, options->width, out));
    tn_status status = run_at_once(ctx, path, options, out, &done);
    if (status == TN_OK && !done)
        status = run_twice(ctx, path, options, out);
    if (status != TN_OK)
        data_clip_free(ctx, out);
    return status;
}

/* ---- sound ----------------------------------------------------------------------------------------- */

/* Sound as ffmpeg gives it: 16-bit samples, channels interleaved. */
typedef struct sound {
    int16_t *samples; /* tn_free() */
    size_t count;     /* of values, all channels */
    size_t room;      /* for values */
    int channels;     /* of the stream */
    int rate;         /* of the stream */
    double seconds;   /* the most that is read */
} sound;

static uint32_t get32(const unsigned char *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* Reads the header of an AU file; *empty when there is not even that. */
static tn_status read_au_header(tn_ctx *ctx, const char *path, data_process *p, sound *s, bool *empty)
{
    unsigned char head[24], skipped;
    size_t got;
    TN_TRY(data_process_read(ctx, p, head, sizeof head, &got));
    *empty = got == 0;
    if (got == 0)
        return TN_OK;
    uint32_t begin = get32(head + 4), rate = get32(head + 16), channels = get32(head + 20);
    if (got < sizeof head || memcmp(head, ".snd", 4) != 0 || get32(head + 12) != 3 || begin < sizeof head ||
        begin > 65536)
        return tn_fail(ctx, TN_FORMAT, "%s: ffmpeg gave something else than an AU file of 16 bits", path);
    if (rate < 1 || rate > DATA_AUDIO_MAX_RATE || channels < 1 || channels > DATA_AUDIO_MAX_CHANNELS)
        return tn_fail(ctx, TN_UNSUPPORTED, "%s: sound of %u channels at %u Hz", path, channels, rate);
    s->rate = (int)rate;
    s->channels = (int)channels;
    for (size_t i = sizeof head; i < begin; i++)
        TN_TRY(data_process_read(ctx, p, &skipped, 1, &got));
    return TN_OK;
}

/* Reads all samples of the first s->seconds. */
static tn_status read_au(tn_ctx *ctx, const char *path, data_process *p, void *arg)
{
    sound *s = arg;
    enum { PART = 32768 };
    bool empty;
    TN_TRY(read_au_header(ctx, path, p, s, &empty));
    size_t most = empty ? 0 : (size_t)ceil(s->seconds * s->rate) * (size_t)s->channels;
    while (s->count < most) {
        size_t want = most - s->count < PART ? most - s->count : PART, got;
        TN_TRY(tn_grow(ctx, &s->samples, &s->room, s->count + want, sizeof *s->samples));
        unsigned char *bytes = (unsigned char *)(s->samples + s->count);
        TN_TRY(data_process_read(ctx, p, bytes, want * 2, &got));
        for (size_t i = 0; i < got / 2; i++) {
            uint16_t value = (uint16_t)(bytes[2 * i] << 8 | bytes[2 * i + 1]);
            memcpy(bytes + 2 * i, &value, 2);
        }
        s->count += got / 2;
        if (got < want * 2)
            break;
    }
    int exit_status = 0;
    if (s->count == 0) {
        TN_TRY(data_process_wait(ctx, p, &exit_status));
        if (exit_status != 0)
            return complain(ctx, path, p);
    }
    return TN_OK;
}

static tn_status run_sound(tn_ctx *ctx, const char *path, const data_video_options *o, sound *s)
{
    static const char *const rest[] = {"-map",      "0:a:0", "-vn", "-sn",    "-dn", "-c:a",
                                       "pcm_s16be", "-f",    "au",  "pipe:1", NULL};
    command c;
    TN_TRY(begin_command(ctx, path, o->seconds, &c));
    add_all(&c, rest);
    return run_command(ctx, path, o, &c, NULL, read_au, s);
}

tn_status data_video_audio(tn_ctx *ctx, const char *path, const data_video_options *options, bool *has_audio,
                           data_audio *out)
{
    *out = (data_audio){0};
    *has_audio = false;
    probe found;
    TN_TRY(probe_file(ctx, path, options, &found));
    if (!found.sound)
        return TN_OK;
    sound s = {.seconds = options->seconds};
    tn_status status = run_sound(ctx, path, options, &s);
    /* A stream without a single sample in the window is as good as none. */
    if (status == TN_OK && s.count / (size_t)(s.channels ? s.channels : 1) > 0) {
        status = data_audio_from(ctx, path, DATA_INT16, s.samples, s.count / (size_t)s.channels, s.channels,
                                 s.rate, options->rate, out);
        *has_audio = status == TN_OK;
    }
    tn_free(ctx, s.samples);
    return status;
}
