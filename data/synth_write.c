/* Synthetic clips as folders: frames, sound, and both in one file. */
#include "data/data.h"
#include "data/files.h"
#include "data/process.h"
#include "data/wav.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* The sound as a WAV file: mono, 16 bits. */
static tn_status write_sound(tn_ctx *ctx, const char *path, const data_synth_options *o)
{
    size_t count = data_synth_sample_count(o);
    int16_t *samples = tn_alloc(ctx, count, sizeof *samples);
    if (!samples)
        return TN_NOMEM;
    data_synth_audio(o, (size_t)(o->start * o->rate + 0.5), count, samples);
    tn_status status = data_wav_write_int16(ctx, path, o->rate, samples, count);
    tn_free(ctx, samples);
    return status;
}

static tn_status write_frames(tn_ctx *ctx, const char *dir, const data_synth_options *o)
{
    data_image image = {tn_alloc(ctx, (size_t)o->width * (size_t)o->height, 3), o->width, o->height};
    tn_status status = image.rgb ? TN_OK : TN_NOMEM;
    int count = data_synth_frame_count(o);
    for (int i = 0; status == TN_OK && i < count; i++) {
        char name[32];
        snprintf(name, sizeof name, "%04d.png", i + 1);
        char *path = data_join(ctx, dir, name);
        data_synth_frame(o, o->start + i / o->fps, image.rgb);
        status = path ? data_image_write_png(ctx, path, &image) : TN_NOMEM;
        tn_free(ctx, path);
    }
    data_image_free(ctx, &image);
    return status;
}

/* Makes clip.mp4 of what the folder has. The command line holds no name that anybody chose. */
static tn_status write_video(tn_ctx *ctx, const char *dir, const data_synth_options *o)
{
    char rate[64];
    int status = 0;
    snprintf(rate, sizeof rate, "%lld/1000000", (long long)(o->fps * 1e6 + 0.5));
    char *const argv[] = {
        "ffmpeg", "-nostdin",  "-v",   "error", "-framerate", rate, "-i",       "frames/%04d.png",
        "-i",     "audio.wav", "-c:v", "mpeg4", "-q:v",       "3",  "-pix_fmt", "yuv420p",
        "-c:a",   "aac",       "-b:a", "64k",   "clip.mp4",   NULL};
    data_process p;
    tn_status result = data_process_start(ctx, dir, argv, dir, 60, NULL, &p);
    if (result == TN_OK)
        result = data_process_wait(ctx, &p, &status);
    if (result == TN_OK && status != 0)
        result = tn_fail(ctx, TN_IO, "clip.mp4: ffmpeg could not make it: %s", data_process_complaint(&p));
    data_process_end(&p);
    return result;
}

static tn_status fill_folder(tn_ctx *ctx, const char *dir, const data_synth_options *o, bool video)
{
    char *frames = data_join(ctx, dir, "frames"), *sound = data_join(ctx, dir, "audio.wav");
    tn_status status = frames && sound ? TN_OK : TN_NOMEM;
    if (status == TN_OK && mkdir(frames, 0777) != 0)
        status = tn_fail(ctx, TN_IO, "%s: cannot be made: %s", frames, strerror(errno));
    if (status == TN_OK)
        status = write_frames(ctx, frames, o);
    if (status == TN_OK)
        status = write_sound(ctx, sound, o);
    if (status == TN_OK && video)
        status = write_video(ctx, dir, o);
    tn_free(ctx, frames);
    tn_free(ctx, sound);
    return status;
}

tn_status data_synth_write(tn_ctx *ctx, const char *dir, const data_synth_options *options, bool video)
{
    TN_TRY(data_synth_check(ctx, options));
    TN_TRY(data_check_place(ctx, dir));
    char *path = data_without_slash(ctx, dir), *temporary = NULL;
    if (!path)
        return TN_NOMEM;
    tn_status status = data_make_folder(ctx, path, &temporary);
    if (status == TN_OK)
        status = fill_folder(ctx, temporary, options, video);
    if (status == TN_OK)
        status = data_rename_folder(ctx, temporary, path);
    if (status != TN_OK && temporary)
        data_remove_folder(temporary);
    tn_free(ctx, temporary);
    tn_free(ctx, path);
    return status;
}
