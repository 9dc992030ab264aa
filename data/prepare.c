/* Clips made ready once, so that training neither decodes video nor resizes pictures.
 *
 * A clip becomes a folder, which is filled under a temporary name and then renamed: an interrupted run leaves
 * whole folders and such temporaries, which the next run removes. prepared.txt in it says what it was made
 * of; where that still holds and the files have the hash that it names, there is nothing to do. */
#include "data/files.h"
#include "data/labels.h"
#include "data/wav.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define LIST "manifest.csv"
#define RECORD "prepared.txt"
#define SOUND "audio.wav"
#define FIRST_LINE "valence prepared clip 1\n"

enum { HEAD = 512, MAX_RECORD = 4096 };

const char *data_sound_name(data_sound sound)
{
    static const char *const names[DATA_SOUNDS] = {"ok", "none", "silent", "short"};
    return sound >= 0 && sound < DATA_SOUNDS ? names[sound] : NULL;
}

void data_prepared_free(tn_ctx *ctx, data_prepared *r)
{
    tn_free(ctx, r->frames);
    tn_free(ctx, r->audio);
    *r = (data_prepared){0};
}

/* ---- the folder of all ----------------------------------------------------------------------------- */

/* Whether `name` is ".SOMETHING.PID-i.tmp", as data_make_folder() and data_write_file() name temporaries. */
static bool is_temporary(const char *name)
{
    size_t length = strlen(name), at = length;
    if (name[0] != '.' || length < 8 || strcmp(name + length - 4, ".tmp") != 0)
        return false;
    at -= 4;
    size_t end = at;
    while (at > 0 && strchr("0123456789-", name[at - 1]))
        at--;
    return at > 1 && at < end && name[at - 1] == '.' && memchr(name + at, '-', end - at);
}

/* Removes what an interrupted run left in a folder; nobody else works there. */
static tn_status remove_temporaries(tn_ctx *ctx, const char *dir)
{
    DIR *folder = opendir(dir);
    if (!folder)
        return tn_fail(ctx, TN_IO, "%s: %s", dir, strerror(errno));
    tn_status status = TN_OK;
    for (struct dirent *entry; status == TN_OK && (entry = readdir(folder));)
        if (is_temporary(entry->d_name)) {
            char *path = data_join(ctx, dir, entry->d_name);
            status = path ? TN_OK : TN_NOMEM;
            if (path)
                data_remove_folder(path);
            tn_free(ctx, path);
        }
    closedir(folder);
    return status;
}

static tn_status make_folder(tn_ctx *ctx, const char *dir)
{
    if (mkdir(dir, 0777) != 0 && errno != EEXIST)
        return tn_fail(ctx, TN_IO, "%s: cannot be made: %s", dir, strerror(errno));
    return TN_OK;
}

static tn_status make_splits(tn_ctx *ctx, const char *out, const data_manifest *m)
{
    data_summary s;
    TN_TRY(data_manifest_summary(ctx, m, &s));
    tn_status status = TN_OK;
    for (size_t i = 0; status == TN_OK && i < s.splits; i++) {
        char *dir = data_join(ctx, out, s.split[i].name);
        status = dir ? make_folder(ctx, dir) : TN_NOMEM;
        if (status == TN_OK)
            status = remove_temporaries(ctx, dir);
        tn_free(ctx, dir);
    }
    data_summary_free(ctx, &s);
    return status;
}

/* The list that is going to be written must not take the place of the one that was read, whose clips may be
 * elsewhere and have more frames; nor can a split, at the end of all work, have its place. */
static tn_status check_list(tn_ctx *ctx, const char *out, const data_manifest *m)
{
    struct stat in, old;
    for (size_t i = 0; i < m->count; i++)
        if (strcmp(m->item[i].split, LIST) == 0)
            return tn_fail(ctx, TN_RANGE, "%s: a split cannot be called " LIST ", as the list is", m->path);
    char *path = data_join(ctx, out, LIST);
    tn_status status = path ? TN_OK : TN_NOMEM;
    if (path && m->path && stat(m->path, &in) == 0 && stat(path, &old) == 0 && in.st_dev == old.st_dev &&
        in.st_ino == old.st_ino)
        status =
            tn_fail(ctx, TN_IO, "%s: is the list itself, which would be lost; choose another folder", path);
    tn_free(ctx, path);
    return status;
}

tn_status data_prepare_begin(tn_ctx *ctx, const char *out, const data_manifest *m, int *lock)
{
    *lock = -1;
    TN_TRY(check_list(ctx, out, m));
    TN_TRY(make_folder(ctx, out));
    /* The lock is on the folder itself, so that no file of it stays. */
    int fd = open(out, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return tn_fail(ctx, TN_IO, "%s: %s", out, strerror(errno));
    tn_status status = TN_OK;
    if (flock(fd, LOCK_EX | LOCK_NB) != 0)
        status = tn_fail(ctx, TN_IO, "%s: %s", out,
                         errno == EWOULDBLOCK ? "another run prepares clips there" : strerror(errno));
    if (status == TN_OK)
        status = remove_temporaries(ctx, out);
    if (status == TN_OK)
        status = make_splits(ctx, out, m);
    if (status == TN_OK)
        *lock = fd;
    else
        close(fd);
    return status;
}

void data_prepare_end(int lock)
{
    if (lock >= 0)
        close(lock);
}

/* ---- what a clip is made of ------------------------------------------------------------------------ */

/* Size and time of a file or of a folder's pictures: enough to see that another has taken its place. */
typedef struct stamp {
    size_t files;         /* how many */
    uint64_t bytes;       /* in all of them */
    struct timespec last; /* when the last of them changed */
} stamp;

static tn_status stamp_file(tn_ctx *ctx, const char *path, stamp *s)
{
    struct stat info;
    if (stat(path, &info) != 0)
        return tn_fail(ctx, TN_IO, "%s: %s", path, strerror(errno));
    s->files++;
    s->bytes += (uint64_t)info.st_size;
    if (info.st_mtim.tv_sec > s->last.tv_sec ||
        (info.st_mtim.tv_sec == s->last.tv_sec && info.st_mtim.tv_nsec > s->last.tv_nsec))
        s->last = info.st_mtim;
    return TN_OK;
}

static tn_status stamp_folder(tn_ctx *ctx, const char *dir, stamp *s)
{
    data_names names;
    TN_TRY(data_frames_list(ctx, dir, &names));
    tn_status status = TN_OK;
    for (size_t i = 0; status == TN_OK && i < names.count; i++)
        status = stamp_file(ctx, names.path[i], s);
    data_names_free(ctx, &names);
    return status;
}

/* What prepared.txt has to begin with. */
static tn_status describe(tn_ctx *ctx, const data_item *item, const data_video_options *o, char head[HEAD])
{
    stamp pictures = {0}, sound = {0};
    if (item->frames)
        TN_TRY(stamp_folder(ctx, item->frames, &pictures));
    if (item->video)
        TN_TRY(stamp_file(ctx, item->video, &pictures));
    if (item->audio)
        TN_TRY(stamp_file(ctx, item->audio, &sound));
    snprintf(head, HEAD,
             FIRST_LINE "options: %d frames of %d x %d, %.17g s, %.17g fps, %d Hz\n"
                        "%s: %zu files, %" PRIu64 " bytes, %lld.%09ld\n"
                        "sound: %zu files, %" PRIu64 " bytes, %lld.%09ld\n",
             o->frames, o->width, o->height, o->seconds, o->fps, o->rate, item->video ? "video" : "pictures",
             pictures.files, pictures.bytes, (long long)pictures.last.tv_sec, pictures.last.tv_nsec,
             sound.files, sound.bytes, (long long)sound.last.tv_sec, sound.last.tv_nsec);
    return TN_OK;
}

/* The hash of a clip's files, and how many pictures there are. */
static tn_status hash_clip(tn_ctx *ctx, const char *dir, bool pictures, bool sound, uint64_t *h,
                           size_t *count)
{
    *h = DATA_HASH_BEGIN;
    *count = 0;
    if (pictures)
        TN_TRY(data_hash_folder(ctx, dir, h, count));
    if (!sound)
        return TN_OK;
    char *path = data_join(ctx, dir, SOUND);
    tn_status status = path ? data_hash_file(ctx, path, h) : TN_NOMEM;
    tn_free(ctx, path);
    return status;
}

static bool has_pictures(const data_item *item)
{
    return item->frames || item->video;
}

/* ---- whether it is there --------------------------------------------------------------------------- */

/* What is in the place of a clip. */
typedef enum place {
    NOTHING, /* or an empty folder */
    OURS,    /* made by this program, but not whole or of something else */
    WHOLE,   /* nothing to do */
    FOREIGN  /* not ours to replace */
} place;

/* Reads "sound: ok, hash 0123456789abcdef" behind the head. */
static bool parse_tail(const char *text, data_sound *sound, uint64_t *hash)
{
    for (int i = 0; i < DATA_SOUNDS; i++) {
        char line[64];
        int used = snprintf(line, sizeof line, "result: sound %s, hash ", data_sound_name((data_sound)i));
        if (strncmp(text, line, (size_t)used) == 0) {
            *sound = (data_sound)i;
            return sscanf(text + used, "%16" SCNx64, hash) == 1;
        }
    }
    return false;
}

static tn_status check_files(tn_ctx *ctx, const char *dir, const data_item *item, const data_video_options *o,
                             const char *tail, data_sound *sound, place *out)
{
    uint64_t want, got;
    size_t count;
    *out = OURS;
    if (!parse_tail(tail, sound, &want))
        return TN_OK;
    tn_status status = hash_clip(ctx, dir, has_pictures(item), *sound != DATA_SOUND_NONE, &got, &count);
    if (status == TN_NOMEM)
        return status;
    /* A file that is missing is what was to be found out, not an error. */
    tn_clear_error(ctx);
    if (status == TN_OK && got == want && count == (has_pictures(item) ? (size_t)o->frames : 0))
        *out = WHOLE;
    return TN_OK;
}

static tn_status look(tn_ctx *ctx, const char *dir, const data_item *item, const data_video_options *o,
                      const char *head, data_sound *sound, place *out)
{
    unsigned char *bytes = NULL;
    char text[MAX_RECORD + 1];
    size_t count = 0;
    struct stat info;
    *out = NOTHING;
    if (lstat(dir, &info) != 0 || (rmdir(dir) == 0))
        return TN_OK;
    *out = FOREIGN;
    char *path = data_join(ctx, dir, RECORD);
    tn_status status = path ? data_read_file(ctx, path, MAX_RECORD, &bytes, &count) : TN_NOMEM;
    tn_free(ctx, path);
    if (status == TN_NOMEM)
        return status;
    tn_clear_error(ctx);
    if (status != TN_OK)
        return TN_OK;
    memcpy(text, bytes, count);
    text[count] = '\0';
    tn_free(ctx, bytes);
    if (strncmp(text, FIRST_LINE, strlen(FIRST_LINE)) != 0)
        return TN_OK;
    *out = OURS;
    if (strncmp(text, head, strlen(head)) != 0)
        return TN_OK;
    return check_files(ctx, dir, item, o, text + strlen(head), sound, out);
}

/* ---- making it ------------------------------------------------------------------------------------- */

/* A clip in memory. */
typedef struct material {
    data_clip clip;   /* empty: none */
    data_audio audio; /* empty: none */
    data_sound sound; /* what it is like */
} material;

static tn_status read_source(tn_ctx *ctx, const data_item *item, const data_video_options *o, material *m)
{
    bool has = item->audio != NULL;
    if (item->frames)
        TN_TRY(data_clip_from_dir(ctx, item->frames, o->frames, o->height, o->width, &m->clip));
    if (item->video)
        TN_TRY(data_video_clip(ctx, item->video, o, &m->clip));
    if (item->audio)
        TN_TRY(data_audio_read(ctx, item->audio, o->rate, &m->audio));
    else if (item->video)
        TN_TRY(data_video_audio(ctx, item->video, o, &has, &m->audio));
    m->sound = !has                                               ? DATA_SOUND_NONE
               : data_audio_is_silent(&m->audio)                  ? DATA_SOUND_SILENT
               : m->audio.count < (size_t)(0.025 * m->audio.rate) ? DATA_SOUND_SHORT
                                                                  : DATA_SOUND_OK;
    return TN_OK;
}

static tn_status write_pictures(tn_ctx *ctx, const char *dir, const data_clip *clip)
{
    size_t bytes = (size_t)clip->height * (size_t)clip->width * 3;
    for (int i = 0; i < clip->frames; i++) {
        char name[32];
        snprintf(name, sizeof name, "%02d.png", i + 1);
        char *path = data_join(ctx, dir, name);
        const data_image image = {clip->rgb + (size_t)i * bytes, clip->width, clip->height};
        tn_status status = path ? data_image_write_png(ctx, path, &image) : TN_NOMEM;
        tn_free(ctx, path);
        TN_TRY(status);
    }
    return TN_OK;
}

static tn_status write_record(tn_ctx *ctx, const char *dir, const data_item *item, const char *head,
                              data_sound sound)
{
    char text[HEAD + 64];
    uint64_t hash;
    size_t count;
    TN_TRY(hash_clip(ctx, dir, has_pictures(item), sound != DATA_SOUND_NONE, &hash, &count));
    int used = snprintf(text, sizeof text, "%sresult: sound %s, hash %016" PRIx64 "\n", head,
                        data_sound_name(sound), hash);
    char *path = data_join(ctx, dir, RECORD);
    tn_status status = path ? data_write_file(ctx, path, text, (size_t)used) : TN_NOMEM;
    tn_free(ctx, path);
    return status;
}

static tn_status write_files(tn_ctx *ctx, const char *dir, const data_item *item, const char *head,
                             const material *m)
{
    if (m->clip.rgb)
        TN_TRY(write_pictures(ctx, dir, &m->clip));
    if (m->sound != DATA_SOUND_NONE) {
        char *path = data_join(ctx, dir, SOUND);
        tn_status status = path ? data_wav_write(ctx, path, &m->audio) : TN_NOMEM;
        tn_free(ctx, path);
        TN_TRY(status);
    }
    return write_record(ctx, dir, item, head, m->sound);
}

/* Puts a folder in the place of one that is of no use any more. */
static tn_status replace(tn_ctx *ctx, const char *temporary, const char *dir, place old)
{
    char *aside = NULL;
    tn_status status = TN_OK;
    if (old == OURS) {
        status = data_make_folder(ctx, dir, &aside);
        if (status == TN_OK)
            status = data_rename_folder(ctx, dir, aside);
    }
    if (status == TN_OK)
        status = data_rename_folder(ctx, temporary, dir);
    if (aside)
        data_remove_folder(aside);
    tn_free(ctx, aside);
    return status;
}

static tn_status make_clip(tn_ctx *ctx, const char *dir, const data_item *item, const data_video_options *o,
                           const char *head, place old, data_prepared *result)
{
    material m = {0};
    char *temporary = NULL;
    tn_status status = read_source(ctx, item, o, &m);
    if (status == TN_OK) {
        status = data_make_folder(ctx, dir, &temporary);
        if (status == TN_OK)
            status = write_files(ctx, temporary, item, head, &m);
        if (status == TN_OK)
            status = replace(ctx, temporary, dir, old);
        if (status != TN_OK && temporary)
            data_remove_folder(temporary);
        result->unwritable = status == TN_IO;
    }
    result->sound = m.sound;
    tn_free(ctx, temporary);
    data_audio_free(ctx, &m.audio);
    data_clip_free(ctx, &m.clip);
    return status;
}

/* Makes the clip unless it is there. */
static tn_status make_missing(tn_ctx *ctx, const char *dir, const data_item *item,
                              const data_video_options *o, data_prepared *result)
{
    char head[HEAD];
    place old;
    TN_TRY(describe(ctx, item, o, head));
    TN_TRY(look(ctx, dir, item, o, head, &result->sound, &old));
    if (old == FOREIGN)
        return tn_fail(ctx, TN_IO, "%s: is there, and is no prepared clip", dir);
    result->kept = old == WHOLE;
    return result->kept ? TN_OK : make_clip(ctx, dir, item, o, head, old, result);
}

static tn_status name_files(tn_ctx *ctx, const char *dir, const data_item *item, data_prepared *result)
{
    if (has_pictures(item) && !(result->frames = tn_strdup(ctx, dir)))
        return TN_NOMEM;
    if (result->sound != DATA_SOUND_NONE && !(result->audio = data_join(ctx, dir, SOUND)))
        return TN_NOMEM;
    return TN_OK;
}

tn_status data_prepare_clip(tn_ctx *ctx, const char *out, const data_item *item,
                            const data_video_options *options, data_prepared *result)
{
    *result = (data_prepared){0};
    char *split = data_join(ctx, out, item->split), *dir = split ? data_join(ctx, split, item->name) : NULL;
    tn_status status = dir ? make_missing(ctx, dir, item, options, result) : TN_NOMEM;
    if (status == TN_OK)
        status = name_files(ctx, dir, item, result);
    if (status != TN_OK) {
        bool unwritable = result->unwritable;
        data_prepared_free(ctx, result);
        result->unwritable = unwritable;
    }
    tn_free(ctx, dir);
    tn_free(ctx, split);
    return status;
}
