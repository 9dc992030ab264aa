#include "apps/common/video_source.h"

#include "apps/common/predict.h"

#include <math.h>
#include <string.h>

/* ---- frames ---------------------------------------------------------------------------------------- */

/* Clips that are read between two looks at the progress bar. */
enum { ROUND = 32 };

static tn_status read_kept(video_source *s, size_t kept)
{
    const size_t bytes = video_clip_bytes(s->options.take);
    const report_bar bar = report_bar_begin(kept, s->options.quiet);
    tn_status status = TN_OK;
    for (size_t begin = 0; begin < kept && status == TN_OK && !train_interrupted(); begin += ROUND) {
        const size_t left = kept - begin, n = left < ROUND ? left : ROUND;
        size_t clip[ROUND];
        for (size_t i = 0; i < n && status == TN_OK; i++) {
            clip[i] = begin + i;
            s->rgb[begin + i] = tn_alloc(s->ctx, bytes, 1);
            status = s->rgb[begin + i] ? TN_OK : TN_NOMEM;
        }
        if (status == TN_OK)
            status = video_read_clips(s->ctx, s->part, clip, n, s->options.take, s->rgb + begin);
        report_bar_show(&bar, begin + n, "frames");
    }
    report_bar_clear(&bar);
    return status;
}

tn_status video_source_open(tn_ctx *ctx, const video_part *part, const video_source_options *options,
                            video_source *out)
{
    *out = (video_source){.ctx = ctx, .part = part, .options = *options};
    const size_t bytes = video_clip_bytes(options->take), clips = part->clips;
    out->rgb = tn_zalloc(ctx, clips, sizeof *out->rgb);
    for (int i = 0; i < 2; i++)
        out->scratch[i] = tn_alloc(ctx, bytes, 1);
    if (!out->rgb || !out->scratch[0] || !out->scratch[1])
        return TN_NOMEM;
    const size_t fit = options->memory / bytes;
    return read_kept(out, fit < clips ? fit : clips);
}

void video_source_close(video_source *s)
{
    for (size_t i = 0; s->rgb && i < s->part->clips; i++)
        tn_free(s->ctx, s->rgb[i]);
    if (s->ctx) {
        tn_free(s->ctx, s->rgb);
        tn_free(s->ctx, s->scratch[0]);
        tn_free(s->ctx, s->scratch[1]);
    }
    *s = (video_source){0};
}

tn_status video_source_frames(video_source *s, size_t clip, unsigned char **rgb)
{
    *rgb = s->rgb[clip] ? s->rgb[clip] : s->scratch[0];
    if (s->rgb[clip])
        return TN_OK;
    const data_item *item = video_part_item(s->part, clip);
    const tn_status status = video_read_clip(s->ctx, item, s->options.take, *rgb);
    if (status == TN_OK || !train_interrupted())
        return status;
    /* Ctrl-C on a terminal goes to the decoder as well, but the step under way is to be finished. */
    tn_clear_error(s->ctx);
    return video_read_clip(s->ctx, item, s->options.take, *rgb);
}

/* ---- chance ---------------------------------------------------------------------------------------- */

/* What happens to all frames of a clip. */
typedef struct change {
    bool flip; /* mirrored */
    int side;  /* of the square that is left */
    int x, y;  /* its upper left corner */
} change;

static int below(int n, double u)
{
    const int i = (int)floor(u * n);
    return i < n ? i : n - 1;
}

static change draw(const video_source *s, size_t clip, int64_t step)
{
    const int size = s->options.take->width;
    const uint64_t number = clip;
    uint64_t stream = tn_hash("video_source");
    stream = nn_hash(nn_hash(stream, &step, sizeof step), &number, sizeof number);
    double u[4];
    for (uint64_t i = 0; i < 4; i++)
        u[i] = (double)tn_uniform(s->options.seed, stream, i);
    change c = {.flip = s->options.flip && u[0] < 0.5, .side = size};
    if (s->options.crop < 1) {
        const int least = (int)ceil(s->options.crop * size);
        c.side = least + below(size - least + 1, u[1]);
        c.x = below(size - c.side + 1, u[2]);
        c.y = below(size - c.side + 1, u[3]);
    }
    return c;
}

static void mirror(unsigned char *rgb, size_t rows, size_t width)
{
    for (size_t y = 0; y < rows; y++, rgb += 3 * width)
        for (size_t left = 0, right = width - 1; left < right; left++, right--)
            for (size_t c = 0; c < 3; c++) {
                const unsigned char keep = rgb[3 * left + c];
                rgb[3 * left + c] = rgb[3 * right + c];
                rgb[3 * right + c] = keep;
            }
}

/* Cuts the square out of a frame and resizes it back to the frame's size. */
static tn_status cut(video_source *s, const change *c, const unsigned char *frame, unsigned char *out)
{
    const size_t size = (size_t)s->options.take->width, side = (size_t)c->side;
    for (size_t y = 0; y < side; y++)
        memcpy(out + 3 * side * y, frame + 3 * (size * ((size_t)c->y + y) + (size_t)c->x), 3 * side);
    const data_image square = {out, c->side, c->side};
    data_image image;
    TN_TRY(data_image_resize(s->ctx, &square, (int)size, (int)size, &image));
    memcpy(out, image.rgb, 3 * size * size);
    data_image_free(s->ctx, &image);
    return TN_OK;
}

static tn_status apply(video_source *s, const change *c, unsigned char **rgb)
{
    const data_video_options *take = s->options.take;
    const size_t size = (size_t)take->width, frame = 3 * size * size;
    unsigned char *out = s->scratch[1];
    for (size_t i = 0; i < (size_t)take->frames; i++) {
        if (c->side < take->width)
            TN_TRY(cut(s, c, *rgb + i * frame, out + i * frame));
        else
            memcpy(out + i * frame, *rgb + i * frame, frame);
    }
    if (c->flip)
        mirror(out, size * (size_t)take->frames, size);
    *rgb = out;
    return TN_OK;
}

tn_status video_source_fill(void *source, size_t clip, int64_t step, const tn_tensor *out)
{
    video_source *s = source;
    const data_video_options *take = s->options.take;
    unsigned char *rgb;
    TN_TRY(video_source_frames(s, clip, &rgb));
    if (step > 0 && (s->options.flip || s->options.crop < 1)) {
        const change c = draw(s, clip, step);
        TN_TRY(apply(s, &c, &rgb));
    }
    const data_clip frames = {rgb, take->frames, take->height, take->width};
    const int64_t size[5] = {1, out->size[0], out->size[1], out->size[2], out->size[3]};
    tn_tensor view = tn_view(out->data, 5, size);
    memcpy(view.stride + 1, out->stride, 4 * sizeof *view.stride);
    clip_normalise(&frames, &view);
    return TN_OK;
}
