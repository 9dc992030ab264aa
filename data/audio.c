/* Sound files, by libsndfile, to one channel; resampled by libsamplerate where that is asked for. */
#include "data/data.h"
#include "data/riff.h"

#include <errno.h>
#include <fcntl.h>
#include <float.h>
#include <math.h>
#include <samplerate.h>
#include <sndfile.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    CHUNK_VALUES = 65536, /* decoded at a time, all channels counted */
    CHUNK_SAMPLES = 4096  /* resampled at a time */
};

/* Where samples of one channel go: to memory, through the resampler or not. */
typedef struct sink {
    tn_ctx *ctx;
    const char *name; /* of the source, for messages */
    double *samples;  /* capacity of them */
    size_t count;     /* so far */
    size_t capacity;  /* as many as there will be, or as are allowed */
    SRC_STATE *state; /* NULL: not resampled */
    double ratio;     /* rate wanted / rate of the source */
    float *resampled; /* CHUNK_SAMPLES: the resampler's output */
    float *in;        /* CHUNK_SAMPLES: its input */
    size_t received;  /* samples pushed, for messages */
    int rate;         /* of what goes to memory */
} sink;

static tn_status check_rates(tn_ctx *ctx, const char *name, int rate, int channels, int want_rate)
{
    if (rate < DATA_AUDIO_MIN_RATE || rate > DATA_AUDIO_MAX_RATE)
        return tn_fail(ctx, TN_UNSUPPORTED, "%s: a rate of %d Hz, expected %d to %d", name, rate,
                       DATA_AUDIO_MIN_RATE, DATA_AUDIO_MAX_RATE);
    if (channels < 1 || channels > DATA_AUDIO_MAX_CHANNELS)
        return tn_fail(ctx, TN_UNSUPPORTED, "%s: %d channels, expected 1 to %d", name, channels,
                       DATA_AUDIO_MAX_CHANNELS);
    if (want_rate != 0 && (want_rate < DATA_AUDIO_MIN_RATE || want_rate > DATA_AUDIO_MAX_RATE))
        return tn_fail(ctx, TN_RANGE, "%s: resampling to %d Hz is asked for, expected %d to %d", name,
                       want_rate, DATA_AUDIO_MIN_RATE, DATA_AUDIO_MAX_RATE);
    return TN_OK;
}

static void sink_free(sink *s)
{
    if (s->state)
        src_delete(s->state);
    tn_free(s->ctx, s->resampled);
    tn_free(s->ctx, s->samples);
}

/* Prepares for `frames` samples of `rate`, but for no more than `most` in the end. */
static tn_status sink_init(sink *s, tn_ctx *ctx, const char *name, size_t frames, size_t most, int rate,
                           int want_rate)
{
    *s = (sink){.ctx = ctx, .name = name, .rate = want_rate ? want_rate : rate};
    double expected = (double)frames;
    if (s->rate != rate) {
        s->ratio = (double)s->rate / rate;
        if (!src_is_valid_ratio(s->ratio))
            return tn_fail(ctx, TN_UNSUPPORTED,
                           "%s: cannot resample from %d to %d Hz: the ratio is beyond 256", name, rate,
                           s->rate);
        int error = 0;
        s->state = src_new(SRC_SINC_MEDIUM_QUALITY, 1, &error);
        if (!s->state)
            return tn_fail(ctx, TN_NOMEM, "%s: the resampler: %s", name, src_strerror(error));
        s->resampled = tn_alloc(ctx, 2 * CHUNK_SAMPLES, sizeof *s->resampled);
        if (!s->resampled)
            return TN_NOMEM;
        /* Behind the output: libsamplerate takes input that has been used up in front of it for an overlap.
         */
        s->in = s->resampled + CHUNK_SAMPLES;
        expected = ceil(expected * s->ratio) + 16;
    }
    s->capacity = expected < (double)most ? (size_t)expected : most;
    s->samples = tn_alloc(ctx, s->capacity, sizeof *s->samples);
    return s->samples ? TN_OK : TN_NOMEM;
}

static tn_status sink_store(sink *s, const float *x, size_t n)
{
    if (n > s->capacity - s->count)
        return tn_fail(s->ctx, TN_RANGE,
                       "%s: decodes to more than %zu samples, the most for a file of its size", s->name,
                       s->capacity);
    for (size_t i = 0; i < n; i++) {
        if (!isfinite(x[i]))
            return tn_fail(s->ctx, TN_FORMAT, "%s: values are too large to be resampled", s->name);
        s->samples[s->count + i] = (double)x[i];
    }
    s->count += n;
    return TN_OK;
}

/* Feeds s->in[0 .. n) to the resampler; `last` says that nothing follows, and takes what it still holds. */
static tn_status sink_resample(sink *s, size_t n, bool last)
{
    SRC_DATA data = {.data_in = s->in,
                     .input_frames = (long)n,
                     .data_out = s->resampled,
                     .output_frames = CHUNK_SAMPLES,
                     .src_ratio = s->ratio,
                     .end_of_input = last};
    do {
        int error = src_process(s->state, &data);
        if (error != 0)
            return tn_fail(s->ctx, TN_UNSUPPORTED, "%s: the resampler: %s", s->name, src_strerror(error));
        TN_TRY(sink_store(s, s->resampled, (size_t)data.output_frames_gen));
        data.data_in += data.input_frames_used;
        data.input_frames -= data.input_frames_used;
    } while (data.input_frames > 0 || data.output_frames_gen == CHUNK_SAMPLES);
    return TN_OK;
}

/* Takes the mean of the channels of `frames` interleaved frames. */
static tn_status sink_push(sink *s, const double *x, size_t frames, int channels)
{
    size_t filled = 0;
    if (!s->state && frames > s->capacity - s->count)
        return sink_store(s, NULL, frames);
    for (size_t i = 0; i < frames; i++) {
        double sum = 0;
        for (int c = 0; c < channels; c++)
            sum += x[i * (size_t)channels + (size_t)c];
        double mean = sum / channels;
        /* Also false where it is not a number. The bound keeps squares of differences finite. */
        if (!(fabs(mean) <= (double)FLT_MAX))
            return tn_fail(s->ctx, TN_FORMAT, "%s: sample %zu is %g, expected finite numbers", s->name,
                           s->received + i, mean);
        if (!s->state) {
            s->samples[s->count++] = mean;
            continue;
        }
        s->in[filled++] = (float)mean;
        if (filled == CHUNK_SAMPLES) {
            TN_TRY(sink_resample(s, filled, false));
            filled = 0;
        }
    }
    s->received += frames;
    return filled ? sink_resample(s, filled, false) : TN_OK;
}

/* Hands the samples over. */
static tn_status sink_finish(sink *s, int channels, data_audio *out)
{
    if (s->state)
        TN_TRY(sink_resample(s, 0, true));
    if (s->count == 0)
        return tn_fail(s->ctx, TN_FORMAT, "%s: no samples%s", s->name,
                       s->received > 0 ? " are left after resampling" : "");
    *out = (data_audio){.samples = s->samples, .count = s->count, .rate = s->rate, .channels = channels};
    s->samples = NULL;
    return TN_OK;
}

/* ---- from memory ------------------------------------------------------------------------------------- */

/* Widens n values. */
static void widen(data_sample type, const void *from, size_t n, double *to)
{
    switch (type) {
    case DATA_INT16:
        for (size_t i = 0; i < n; i++)
            to[i] = ((const int16_t *)from)[i] / 32768.0;
        break;
    case DATA_FLOAT:
        for (size_t i = 0; i < n; i++)
            to[i] = (double)((const float *)from)[i];
        break;
    case DATA_DOUBLE:
        memcpy(to, from, n * sizeof *to);
    }
}

static tn_status push_all(sink *s, data_sample type, const void *samples, size_t frames, int channels,
                          double *chunk)
{
    static const size_t size[] = {
        [DATA_INT16] = sizeof(int16_t), [DATA_FLOAT] = sizeof(float), [DATA_DOUBLE] = sizeof(double)};
    const char *at = samples;
    size_t step = CHUNK_VALUES / (size_t)channels;
    while (frames > 0) {
        size_t n = frames < step ? frames : step, values = n * (size_t)channels;
        widen(type, at, values, chunk);
        TN_TRY(sink_push(s, chunk, n, channels));
        at += values * size[type];
        frames -= n;
    }
    return TN_OK;
}

tn_status data_audio_from(tn_ctx *ctx, const char *name, data_sample type, const void *samples, size_t frames,
                          int channels, int rate, int want_rate, data_audio *out)
{
    *out = (data_audio){0};
    TN_TRY(check_rates(ctx, name, rate, channels, want_rate));
    double *chunk = tn_alloc(ctx, CHUNK_VALUES, sizeof *chunk);
    if (!chunk)
        return TN_NOMEM;
    sink s;
    tn_status status = sink_init(&s, ctx, name, frames, SIZE_MAX / 2, rate, want_rate);
    if (status == TN_OK)
        status = push_all(&s, type, samples, frames, channels, chunk);
    if (status == TN_OK)
        status = sink_finish(&s, channels, out);
    sink_free(&s);
    tn_free(ctx, chunk);
    return status;
}

/* ---- from a file ------------------------------------------------------------------------------------- */

/* A sound file that is being read. */
typedef struct source {
    tn_ctx *ctx;
    const char *path;
    int fd;        /* -1: not open */
    size_t bytes;  /* of the file */
    sf_count_t at; /* where libsndfile reads next */
    int error;     /* errno of the first read that failed, or 0 */
    SNDFILE *file; /* NULL: not open */
    SF_INFO info;  /* what libsndfile says of it */
} source;

/* libsndfile reads through these, because it closes a descriptor that it cannot make sense of, whatever it is
 * told. */
static sf_count_t virtual_length(void *user)
{
    const source *s = user;
    return (sf_count_t)s->bytes;
}

static sf_count_t virtual_seek(sf_count_t offset, int whence, void *user)
{
    source *s = user;
    sf_count_t from = whence == SEEK_CUR ? s->at : whence == SEEK_END ? (sf_count_t)s->bytes : 0, at;
    if (__builtin_add_overflow(from, offset, &at) || at < 0)
        return -1;
    return s->at = at;
}

static sf_count_t virtual_read(void *to, sf_count_t count, void *user)
{
    source *s = user;
    ssize_t got;
    do
        got = count > 0 ? pread(s->fd, to, (size_t)count, (off_t)s->at) : 0;
    while (got < 0 && errno == EINTR);
    if (got < 0 && s->error == 0)
        s->error = errno;
    if (got <= 0)
        return 0;
    s->at += got;
    return got;
}

static sf_count_t virtual_write(const void *from, sf_count_t count, void *user)
{
    (void)from, (void)count, (void)user;
    return 0;
}

static sf_count_t virtual_tell(void *user)
{
    const source *s = user;
    return s->at;
}

static void source_close(source *s)
{
    if (s->file)
        sf_close(s->file);
    if (s->fd >= 0)
        close(s->fd);
}

/* Opens without waiting: a FIFO without a writer would hold us forever. */
static tn_status source_open(source *s)
{
    struct stat info;
    s->fd = open(s->path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (s->fd < 0 || fstat(s->fd, &info) != 0)
        return tn_fail(s->ctx, TN_IO, "%s: cannot open: %s", s->path, strerror(errno));
    if (!S_ISREG(info.st_mode))
        return tn_fail(s->ctx, TN_IO, "%s: %s, expected a sound file", s->path,
                       S_ISDIR(info.st_mode) ? "is a folder" : "is not a regular file");
    if (info.st_size == 0)
        return tn_fail(s->ctx, TN_FORMAT, "%s: the file is empty (0 bytes), expected sound", s->path);
    s->bytes = (size_t)info.st_size;
    return data_riff_check(s->ctx, s->path, s->fd, s->bytes);
}

/* Says what libsndfile found wrong, with the first bytes. */
static tn_status source_refuse(source *s)
{
    if (s->error)
        return tn_fail(s->ctx, TN_IO, "%s: cannot read: %s", s->path, strerror(s->error));
    unsigned char head[8];
    char text[3 * sizeof head + 1] = "", why[160];
    ssize_t got = pread(s->fd, head, sizeof head, 0);
    for (ssize_t i = 0; i < got; i++)
        snprintf(text + 3 * i, 4, " %02x", head[i]);
    if (sf_error(NULL) == SF_ERR_UNRECOGNISED_FORMAT)
        return tn_fail(s->ctx, TN_FORMAT,
                       "%s: not a sound file (first bytes%s), expected WAV, FLAC, Ogg or the like", s->path,
                       text);
    snprintf(why, sizeof why, "%s", sf_strerror(NULL));
    why[strcspn(why, "\n")] = '\0';
    return tn_fail(s->ctx, TN_FORMAT, "%s: no sound that can be read (first bytes%s): %s", s->path, text,
                   why);
}

static tn_status decode(source *s, sink *to, double *chunk)
{
    const int channels = s->info.channels;
    const size_t most = DATA_AUDIO_FREE_VALUES + 4 * s->bytes;
    sf_count_t step = CHUNK_VALUES / channels, frames = 0, got;
    while ((got = sf_readf_double(s->file, chunk, step)) > 0) {
        frames += got;
        if ((size_t)frames > most / (size_t)channels)
            return tn_fail(s->ctx, TN_RANGE, "%s: decodes to more than %zu values, the most for %zu bytes",
                           s->path, most, s->bytes);
        TN_TRY(sink_push(to, chunk, (size_t)got, channels));
    }
    /* libsndfile takes what cannot be read for the file's end. */
    if (s->error)
        return tn_fail(s->ctx, TN_IO, "%s: cannot read: %s", s->path, strerror(s->error));
    if (sf_error(s->file) != SF_ERR_NO_ERROR)
        return tn_fail(s->ctx, TN_FORMAT, "%s: damaged behind sample %lld: %s", s->path, (long long)frames,
                       sf_strerror(s->file));
    if (frames < s->info.frames && s->info.frames < SF_COUNT_MAX)
        return tn_fail(s->ctx, TN_FORMAT,
                       "%s: damaged or cut off: %lld samples are announced, %lld are there", s->path,
                       (long long)s->info.frames, (long long)frames);
    return TN_OK;
}

static tn_status read_source(source *s, int want_rate, double *chunk, data_audio *out)
{
    TN_TRY(source_open(s));
    SF_VIRTUAL_IO io = {virtual_length, virtual_seek, virtual_read, virtual_write, virtual_tell};
    s->file = sf_open_virtual(&io, SFM_READ, &s->info, s);
    if (!s->file)
        return source_refuse(s);
    TN_TRY(check_rates(s->ctx, s->path, s->info.samplerate, s->info.channels, want_rate));
    if (s->info.frames <= 0)
        return tn_fail(s->ctx, TN_FORMAT, "%s: no samples (%d Hz, %d channels, %zu bytes)", s->path,
                       s->info.samplerate, s->info.channels, s->bytes);
    sink to;
    tn_status status = sink_init(&to, s->ctx, s->path, (size_t)s->info.frames,
                                 DATA_AUDIO_FREE_SAMPLES + s->bytes / 2, s->info.samplerate, want_rate);
    if (status == TN_OK)
        status = decode(s, &to, chunk);
    if (status == TN_OK)
        status = sink_finish(&to, s->info.channels, out);
    sink_free(&to);
    return status;
}

tn_status data_audio_read(tn_ctx *ctx, const char *path, int want_rate, data_audio *out)
{
    *out = (data_audio){0};
    double *chunk = tn_alloc(ctx, CHUNK_VALUES, sizeof *chunk);
    if (!chunk)
        return TN_NOMEM;
    source s = {.ctx = ctx, .path = path, .fd = -1};
    tn_status status = read_source(&s, want_rate, chunk, out);
    source_close(&s);
    tn_free(ctx, chunk);
    return status;
}

void data_audio_free(tn_ctx *ctx, data_audio *audio)
{
    tn_free(ctx, audio->samples);
    *audio = (data_audio){0};
}

bool data_audio_is_silent(const data_audio *audio)
{
    for (size_t i = 0; i < audio->count; i++)
        if (audio->samples[i] != 0)
            return false;
    return true;
}
