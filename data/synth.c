/* Synthetic clips: a group of simple figures, drawn and heard.
 *
 * Everything is a function of the options and of the time or the sample's number: random numbers are
 * counter-based, one stream for each use, and only operations that IEEE 754 defines exactly are used (hence a
 * sine of our own), so that the same options give the same bytes on every machine. */
#include "data/data.h"

#include <math.h>
#include <string.h>

enum { POSITIVE, NEUTRAL, NEGATIVE, MAX_PEOPLE = 7, MIN_PEOPLE = 4 };

/* What random numbers are drawn for. */
enum { USE_GROUP = 1, USE_PERSON = 2, USE_JERK = 1000, USE_SOUND = 3, USE_NOISE = 4, USE_BURST = 5 };

const char *data_synth_class(int label)
{
    static const char *const names[DATA_SYNTH_CLASSES] = {"positive", "neutral", "negative"};
    return label >= 0 && label < DATA_SYNTH_CLASSES ? names[label] : NULL;
}

data_synth_options data_synth_defaults(int label, uint64_t seed)
{
    data_synth_options o = {
        .seed = seed, .seconds = 5, .fps = 10, .width = 320, .height = 240, .rate = 16000};
    for (int i = 0; i < DATA_SYNTH_CUES; i++)
        o.cue[i] = label;
    return o;
}

tn_status data_synth_check(tn_ctx *ctx, const data_synth_options *o)
{
    for (int i = 0; i < DATA_SYNTH_CUES; i++)
        if (!data_synth_class(o->cue[i]))
            return tn_fail(ctx, TN_RANGE, "synthetic clip: class %d of cue %d, expected 0 to %d", o->cue[i],
                           i, DATA_SYNTH_CLASSES - 1);
    if (!(o->start >= 0 && o->start <= 1e6))
        return tn_fail(ctx, TN_RANGE, "synthetic clip: a start at %g seconds, expected 0 to 1000000",
                       o->start);
    if (!(o->seconds > 0 && o->seconds <= 600))
        return tn_fail(ctx, TN_RANGE, "synthetic clip: %g seconds, expected more than 0 and at most 600",
                       o->seconds);
    if (!(o->fps > 0 && o->fps <= 240))
        return tn_fail(ctx, TN_RANGE,
                       "synthetic clip: %g frames per second, expected more than 0 and at most 240", o->fps);
    if (o->width < 16 || o->width > 4096 || o->height < 16 || o->height > 4096)
        return tn_fail(ctx, TN_RANGE, "synthetic clip: frames of %d x %d, expected sides of 16 to 4096",
                       o->width, o->height);
    if (o->rate < 8000 || o->rate > 192000)
        return tn_fail(ctx, TN_RANGE, "synthetic clip: sound at %d Hz, expected 8000 to 192000", o->rate);
    return TN_OK;
}

int data_synth_frame_count(const data_synth_options *o)
{
    double n = floor(o->seconds * o->fps + 0.5);
    return n < 1 ? 1 : (int)n;
}

size_t data_synth_sample_count(const data_synth_options *o)
{
    double n = floor(o->seconds * o->rate + 0.5);
    return n < 1 ? 1 : (size_t)n;
}

/* ---- numbers --------------------------------------------------------------------------------------- */

/* sin(2 pi x) to about 0.001: a parabola for each half wave, bent towards the sine. */
static double wave(double x)
{
    x -= floor(x);
    double side = x < 0.5 ? 1 : -1, y = x < 0.5 ? x : x - 0.5;
    y = 16 * y * (0.5 - y);
    return side * (0.775 * y + 0.225 * y * y);
}

static double cosine(double x)
{
    return wave(x + 0.25);
}

static double mix(double a, double b, double share)
{
    return a + (b - a) * share;
}

/* The i-th random number of a use, uniform in [low, high). */
static double draw(const data_synth_options *o, uint64_t use, uint64_t i, double low, double high)
{
    return mix(low, high, (double)tn_uniform(o->seed, use, i));
}

/* ---- pictures -------------------------------------------------------------------------------------- */

typedef struct colour {
    double r, g, b; /* 0 to 255 */
} colour;

typedef struct canvas {
    unsigned char *rgb; /* height x width x 3 */
    int width, height;  /* in pixels */
} canvas;

static void blend(unsigned char *p, colour c, double share)
{
    p[0] = (unsigned char)(mix(p[0], c.r, share) + 0.5);
    p[1] = (unsigned char)(mix(p[1], c.g, share) + 0.5);
    p[2] = (unsigned char)(mix(p[2], c.b, share) + 0.5);
}

/* A stroke of radius r from (x0, y0) to (x1, y1) with round ends and soft edges; a disc where both are one.
 */
static void stroke(const canvas *to, double x0, double y0, double x1, double y1, double r, colour c)
{
    double dx = x1 - x0, dy = y1 - y0, length2 = dx * dx + dy * dy;
    int left = (int)fmax(floor(fmin(x0, x1) - r - 1), 0), top = (int)fmax(floor(fmin(y0, y1) - r - 1), 0);
    int right = (int)fmin(ceil(fmax(x0, x1) + r + 1), to->width - 1);
    int bottom = (int)fmin(ceil(fmax(y0, y1) + r + 1), to->height - 1);
    for (int y = top; y <= bottom; y++)
        for (int x = left; x <= right; x++) {
            double px = x + 0.5 - x0, py = y + 0.5 - y0;
            double along = length2 > 0 ? (px * dx + py * dy) / length2 : 0;
            along = along < 0 ? 0 : along > 1 ? 1 : along;
            double qx = px - along * dx, qy = py - along * dy;
            double cover = r + 0.5 - sqrt(qx * qx + qy * qy);
            if (cover > 0)
                blend(to->rgb + ((size_t)y * (size_t)to->width + (size_t)x) * 3, c, cover < 1 ? cover : 1);
        }
}

/* Sky above, ground below, both shaded. */
static void draw_place(const data_synth_options *o, const canvas *to)
{
    static const colour sky[3][2] = {
        {{255, 236, 170}, {255, 206, 120}}, {{176, 184, 190}, {158, 166, 170}}, {{62, 20, 26}, {88, 26, 28}}};
    static const colour ground[3][2] = {
        {{246, 178, 96}, {226, 150, 80}}, {{138, 144, 140}, {120, 126, 122}}, {{44, 18, 20}, {26, 10, 14}}};
    int kind = o->cue[DATA_SYNTH_COLOUR];
    double horizon = draw(o, USE_GROUP, 0, 0.55, 0.68) * to->height, shade = draw(o, USE_GROUP, 1, -12, 12);
    for (int y = 0; y < to->height; y++) {
        bool above = y < horizon;
        const colour *pair = above ? sky[kind] : ground[kind];
        double share = above ? y / horizon : (y - horizon) / (to->height - horizon);
        colour c = {mix(pair[0].r, pair[1].r, share) + shade, mix(pair[0].g, pair[1].g, share) + shade,
                    mix(pair[0].b, pair[1].b, share) + shade};
        c = (colour){fmin(fmax(c.r, 0), 255), fmin(fmax(c.g, 0), 255), fmin(fmax(c.b, 0), 255)};
        for (int x = 0; x < to->width; x++)
            blend(to->rgb + ((size_t)y * (size_t)to->width + (size_t)x) * 3, c, 1);
    }
}

/* Clothes: bright, plain or dark. */
static colour clothes(const data_synth_options *o, int person)
{
    static const colour kinds[3][4] = {
        {{235, 60, 70}, {40, 130, 235}, {40, 180, 90}, {240, 80, 190}},
        {{96, 104, 116}, {118, 108, 100}, {92, 112, 104}, {108, 98, 112}},
        {{120, 22, 24}, {40, 36, 44}, {74, 26, 40}, {30, 30, 30}},
    };
    int choice = (int)draw(o, USE_PERSON, (uint64_t)person * 16 + 1, 0, 4);
    return kinds[o->cue[DATA_SYNTH_COLOUR]][choice & 3];
}

/* A smooth path between random points, one every `step` seconds: what jerking is made of. */
static double jerk(const data_synth_options *o, int person, int axis, double t, double step)
{
    double at = floor(t / step), share = t / step - at;
    uint64_t use = USE_JERK + (uint64_t)person * 2 + (uint64_t)axis, i = (uint64_t)at;
    share = share < 0.4 ? share / 0.4 : 1; /* fast, then held */
    return mix(draw(o, use, i, -1, 1), draw(o, use, i + 1, -1, 1), share);
}

/* Where a figure is moved to at time t, in units of its height. `side` is +1 or -1, towards its neighbour. */
static void move(const data_synth_options *o, int person, double side, double t, double *dx, double *dy)
{
    double beat = draw(o, USE_GROUP, 2, 0.85, 1.15);
    double own = draw(o, USE_PERSON, (uint64_t)person * 16 + 2, 0, 1);
    *dx = *dy = 0;
    switch (o->cue[DATA_SYNTH_MOTION]) {
    case POSITIVE: /* all hop on one beat, nearly together */
        *dy = -0.16 * fabs(wave(beat * t + 0.04 * own));
        *dx = 0.03 * wave(beat * t / 2);
        break;
    case NEUTRAL:
        *dx = 0.025 * wave(0.2 * beat * t + own);
        *dy = 0.006 * wave(0.25 * t + own);
        break;
    default:
        *dx = 0.12 * jerk(o, person, 0, t, 0.22) + 0.10 * side * (0.5 + 0.5 * wave(1.7 * beat * t));
        *dy = 0.05 * jerk(o, person, 1, t, 0.22);
        break;
    }
}

/* A figure as joints in units of its height, feet at the origin, y upwards. */
typedef struct body {
    double hip[2], neck[2], head[2]; /* x and y of the trunk */
    double elbow[2][2], hand[2][2];  /* left and right, x and y */
    double foot[2][2];               /* the same */
} body;

static body pose(const data_synth_options *o, int person, double side, double t)
{
    double own = draw(o, USE_PERSON, (uint64_t)person * 16 + 3, 0, 1);
    body b = {.hip = {0, 0.48}, .neck = {0, 0.80}, .head = {0, 0.90}, .foot = {{-0.10, 0}, {0.10, 0}}};
    for (int i = 0; i < 2; i++) {
        double out = i == 0 ? -1 : 1;
        double *elbow = b.elbow[i], *hand = b.hand[i];
        switch (o->cue[DATA_SYNTH_POSTURE]) {
        case POSITIVE: /* up and waving */
            elbow[0] = out * 0.17;
            elbow[1] = 0.90;
            hand[0] = out * (0.20 + 0.07 * wave(1.3 * t + own));
            hand[1] = 1.10 + 0.03 * cosine(1.3 * t + own);
            break;
        case NEUTRAL: /* hanging */
            elbow[0] = out * 0.13;
            elbow[1] = 0.63;
            hand[0] = out * 0.14;
            hand[1] = 0.47;
            break;
        default: /* leaning, with both arms at the neighbour */
            b.neck[0] = side * 0.14;
            b.neck[1] = 0.77;
            b.head[0] = side * 0.20;
            b.head[1] = 0.86;
            b.foot[i][0] = out * 0.16;
            elbow[0] = side * 0.28;
            elbow[1] = 0.70 + out * 0.05;
            hand[0] = side * (0.42 + 0.05 * wave(2.3 * t + own + 0.3 * i));
            hand[1] = 0.76 + out * 0.07;
            break;
        }
    }
    return b;
}

/* Draws a figure of `size` pixels with its feet at (x, y). */
static void draw_body(const canvas *to, const body *b, double x, double y, double size, colour cloth,
                      colour skin)
{
    double thin = 0.035 * size;
    colour legs = {cloth.r * 0.5, cloth.g * 0.5, cloth.b * 0.55};
#define AT(joint) x + size *(joint)[0], y - size *(joint)[1]
    for (int i = 0; i < 2; i++)
        stroke(to, AT(b->hip), AT(b->foot[i]), thin * 1.3, legs);
    stroke(to, AT(b->hip), AT(b->neck), 0.085 * size, cloth);
    for (int i = 0; i < 2; i++) {
        stroke(to, AT(b->neck), AT(b->elbow[i]), thin, cloth);
        stroke(to, AT(b->elbow[i]), AT(b->hand[i]), thin, cloth);
        stroke(to, AT(b->hand[i]), AT(b->hand[i]), thin * 1.2, skin);
    }
    stroke(to, AT(b->head), AT(b->head), 0.085 * size, skin);
#undef AT
}

void data_synth_frame(const data_synth_options *o, double t, unsigned char *rgb)
{
    canvas to = {rgb, o->width, o->height};
    memset(rgb, 0, (size_t)o->width * (size_t)o->height * 3);
    draw_place(o, &to);
    int people = (int)draw(o, USE_GROUP, 3, MIN_PEOPLE, MAX_PEOPLE + 1);
    /* From the back to the front, every other one behind. */
    for (int order = 0; order < people; order++) {
        int back = (people + 1) / 2, person = order < back ? 2 * order : 2 * (order - back) + 1;
        uint64_t base = (uint64_t)person * 16;
        /* Towards the neighbour that it is paired with. */
        double side = person % 2 == 0 && person + 1 < people ? 1 : -1, dx, dy;
        double depth = order < back ? 0 : 1;
        double size = o->height * (0.46 + 0.12 * depth + draw(o, USE_PERSON, base + 4, -0.03, 0.03));
        double room = (double)o->width / people;
        double x = (person + 0.5 + draw(o, USE_PERSON, base + 5, -0.15, 0.15)) * room;
        double y = o->height * (0.84 + 0.10 * depth + draw(o, USE_PERSON, base + 6, -0.01, 0.01));
        double tone = draw(o, USE_PERSON, base + 7, 0.45, 1);
        colour skin = {240 * tone, 196 * tone, 164 * tone};
        if (o->cue[DATA_SYNTH_COLOUR] == NEGATIVE)
            skin = (colour){skin.r * 0.6, skin.g * 0.5, skin.b * 0.5};
        move(o, person, side, t, &dx, &dy);
        body b = pose(o, person, side, t);
        draw_body(&to, &b, x + dx * size, y + dy * size, size, clothes(o, person), skin);
    }
}

/* ---- sound ----------------------------------------------------------------------------------------- */

/* A major chord, note after note, each dying away. */
static double arpeggio(const data_synth_options *o, double t)
{
    static const double steps[4] = {1, 1.25, 1.5, 2};
    double base = draw(o, USE_SOUND, 0, 230, 300), every = draw(o, USE_SOUND, 1, 0.16, 0.24);
    double at = floor(t / every), since = t / every - at;
    double f = base * steps[(int)(at - 4 * floor(at / 4))];
    double fade = (1 - since) * (1 - since) * (since < 0.04 ? since / 0.04 : 1);
    return 0.5 * fade * (wave(f * t) + 0.4 * wave(2 * f * t) + 0.2 * wave(3 * f * t));
}

static double hum(const data_synth_options *o, double t)
{
    double f = draw(o, USE_SOUND, 2, 110, 150);
    return 0.12 * (wave(f * t) + 0.3 * wave(2 * f * t)) * (1 + 0.1 * wave(0.5 * t));
}

/* Noise in bursts over two low tones that grate. */
static double uproar(const data_synth_options *o, double t, double noise)
{
    double f = draw(o, USE_SOUND, 3, 75, 100);
    double at = floor(t / 0.15), since = t / 0.15 - at;
    double loud = draw(o, USE_BURST, (uint64_t)at, -0.6, 1);
    double burst = loud > 0 ? loud * (1 - since) : 0;
    return 0.5 * burst * noise + 0.15 * (wave(f * t) + wave(1.06 * f * t) + 0.5 * wave(2.83 * f * t));
}

void data_synth_audio(const data_synth_options *o, size_t first, size_t count, int16_t *samples)
{
    for (size_t i = 0; i < count; i++) {
        double t = (double)(first + i) / o->rate, value;
        double noise = draw(o, USE_NOISE, first + i, -1, 1);
        switch (o->cue[DATA_SYNTH_SOUND]) {
        case POSITIVE:
            value = arpeggio(o, t);
            break;
        case NEUTRAL:
            value = hum(o, t);
            break;
        default:
            value = uproar(o, t, noise);
            break;
        }
        value += 0.004 * noise; /* no room is silent */
        value = value < -1 ? -1 : value > 1 ? 1 : value;
        samples[i] = (int16_t)floor(value * 32000 + 0.5);
    }
}
