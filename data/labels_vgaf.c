/* Lists of clips as the VGAF database comes: Train_labels.txt, Val_labels.txt, and a folder for each split.
 */
#include "data/files.h"
#include "data/labels.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define HEADER "Vid_name Label"

/* A split: its name, its folder, its label file. */
typedef struct part {
    const char *split;  /* as items call it */
    const char *folder; /* of its clips */
    const char *labels; /* the file */
    bool optional;      /* the label file may be missing */
} part;

static bool is_kind(const char *path, mode_t kind)
{
    struct stat info;
    return stat(path, &info) == 0 && (info.st_mode & S_IFMT) == kind;
}

/* FOLDER/NAME and an ending, in *out where it is there and of that kind. */
static tn_status look_for(tn_ctx *ctx, const char *folder, const char *name, const char *ending, mode_t kind,
                          char **out)
{
    char file[DATA_MANIFEST_MAX_NAME + 16];
    *out = NULL;
    snprintf(file, sizeof file, "%s%s", name, ending);
    char *path = data_join(ctx, folder, file);
    if (!path)
        return TN_NOMEM;
    if (is_kind(path, kind))
        *out = path;
    else
        tn_free(ctx, path);
    return TN_OK;
}

/* Adds the clip `name` with what there is of it: a folder of frames, else a video file; a WAV file. */
static tn_status add_clip(tn_ctx *ctx, data_builder *b, const char *path, size_t line, const char *folder,
                          const char *split, const char *name, int label)
{
    char source[DATA_MANIFEST_MAX_NAME + 1];
    /* Unlabelled clips are Test_1, Test_2 ..., which is no common source. */
    snprintf(source, sizeof source, "%.*s", label < 0 ? (int)strlen(name) : (int)strcspn(name, "_"), name);
    data_item item = {.name = (char *)(uintptr_t)name, /* lent: it is copied */
                      .label = label,
                      .split = (char *)(uintptr_t)split,
                      .source = *source ? source : (char *)(uintptr_t)name,
                      .faces = -1};
    tn_status status = look_for(ctx, folder, name, "", S_IFDIR, &item.frames);
    if (status == TN_OK && !item.frames)
        status = look_for(ctx, folder, name, ".mp4", S_IFREG, &item.video);
    if (status == TN_OK)
        status = look_for(ctx, folder, name, ".wav", S_IFREG, &item.audio);
    if (status == TN_OK && !item.frames && !item.video && !item.audio)
        status = data_text_fail(ctx, path, line,
                                "clip %s has no file: expected %s/%s.mp4, or a folder %s or %s.wav", name,
                                folder, name, name, name);
    if (status == TN_OK)
        status = data_builder_add(ctx, b, path, line, &item);
    tn_free(ctx, item.frames);
    tn_free(ctx, item.video);
    tn_free(ctx, item.audio);
    return status;
}

/* ---- label files ----------------------------------------------------------------------------------- */

/* A row is "1_1 3". */
static tn_status take_row(tn_ctx *ctx, data_builder *b, const char *path, size_t line, const char *text,
                          size_t length, const char *folder, const char *split)
{
    char name[DATA_MANIFEST_MAX_NAME + 1];
    const char *space = memchr(text, ' ', length);
    size_t letters = space ? (size_t)(space - text) : length;
    if (!space || letters == 0 || memchr(space + 1, ' ', length - letters - 1) || length == letters + 1)
        return data_text_fail(ctx, path, line, "expected a clip, one space and a label, as in '1_1 3'");
    if (letters > DATA_MANIFEST_MAX_NAME)
        return data_text_fail(ctx, path, line, "a name of %zu bytes, expected at most %d", letters,
                              DATA_MANIFEST_MAX_NAME);
    memcpy(name, text, letters);
    name[letters] = '\0';
    if (length != letters + 2 || space[1] < '1' || space[1] > '3')
        return data_text_fail(ctx, path, line,
                              "unknown label '%.*s', expected 1 (positive), 2 (neutral) or 3 (negative)",
                              (int)(length - letters - 1 > 80 ? 80 : length - letters - 1), space + 1);
    /* Before it is looked for: a name with a slash would lead elsewhere. */
    if (strchr(name, '/') || *name == '.')
        return data_text_fail(ctx, path, line, "the name '%s' has a slash in it or begins with a dot", name);
    return add_clip(ctx, b, path, line, folder, split, name, space[1] - '1');
}

static tn_status take_labels(tn_ctx *ctx, data_builder *b, data_text *text, const char *folder,
                             const char *split)
{
    const char *line = NULL;
    size_t length = 0, before = b->list.count;
    if (!data_text_line(text, &line, &length) || length != strlen(HEADER) ||
        memcmp(line, HEADER, length) != 0)
        return data_text_fail(ctx, text->path, 1, "expected the header '" HEADER "'");
    while (data_text_line(text, &line, &length)) {
        if (length > DATA_MANIFEST_MAX_LINE)
            return data_text_fail(ctx, text->path, text->line - 1, "longer than %d bytes",
                                  DATA_MANIFEST_MAX_LINE);
        if (length > 0)
            TN_TRY(take_row(ctx, b, text->path, text->line - 1, line, length, folder, split));
    }
    if (b->list.count == before)
        return data_text_fail(ctx, text->path, text->line, "no clips below the header");
    return data_builder_check(ctx, b, text->path, before);
}

/* ---- folders --------------------------------------------------------------------------------------- */

static int compare_names(const void *a, const void *b)
{
    return data_natural_compare(*(char *const *)a, *(char *const *)b);
}

/* The name of the clip that an entry belongs to, "" for none: NAME.mp4, NAME.wav, and folders. */
static void name_of_entry(const char *folder, const char *entry, char name[DATA_MANIFEST_MAX_NAME + 1])
{
    char path[4096];
    size_t length = strlen(entry);
    bool file =
        length > 4 && (strcmp(entry + length - 4, ".mp4") == 0 || strcmp(entry + length - 4, ".wav") == 0);
    name[0] = '\0';
    snprintf(path, sizeof path, "%s/%s", folder, entry);
    if (*entry == '.' || length > DATA_MANIFEST_MAX_NAME || !(file || is_kind(path, S_IFDIR)))
        return;
    snprintf(name, DATA_MANIFEST_MAX_NAME + 1, "%.*s", (int)(file ? length - 4 : length), entry);
}

static tn_status list_folder(tn_ctx *ctx, const char *folder, data_names *out)
{
    size_t room = 0;
    tn_status status = TN_OK;
    DIR *dir = opendir(folder);
    if (!dir)
        return tn_fail(ctx, TN_IO, "%s: %s", folder, strerror(errno));
    for (struct dirent *entry; status == TN_OK && (entry = readdir(dir));) {
        char name[DATA_MANIFEST_MAX_NAME + 1];
        name_of_entry(folder, entry->d_name, name);
        if (!*name)
            continue;
        status = tn_grow(ctx, &out->path, &room, out->count + 1, sizeof *out->path);
        if (status == TN_OK && !(out->path[out->count++] = tn_strdup(ctx, name)))
            status = TN_NOMEM;
    }
    closedir(dir);
    return status;
}

/* Adds every clip of a folder, in natural order. */
static tn_status take_unlabelled(tn_ctx *ctx, data_builder *b, const char *folder, const char *split)
{
    data_names names = {0};
    tn_status status = list_folder(ctx, folder, &names);
    if (status == TN_OK && names.count > 1)
        qsort(names.path, names.count, sizeof *names.path, compare_names);
    for (size_t i = 0; status == TN_OK && i < names.count; i++)
        if (i == 0 || strcmp(names.path[i], names.path[i - 1]) != 0)
            status = add_clip(ctx, b, folder, i + 1, folder, split, names.path[i], -1);
    data_names_free(ctx, &names);
    return status;
}

/* ---- all ------------------------------------------------------------------------------------------- */

static tn_status take_part(tn_ctx *ctx, data_builder *b, const char *dir, const part *p)
{
    char *labels = data_join(ctx, dir, p->labels), *folder = data_join(ctx, dir, p->folder);
    tn_status status = labels && folder ? TN_OK : TN_NOMEM;
    data_text text = {0};
    if (status == TN_OK && (!p->optional || is_kind(labels, S_IFREG))) {
        status = data_text_open(ctx, labels, &text);
        if (status == TN_OK)
            status = take_labels(ctx, b, &text, folder, p->split);
        data_text_close(ctx, &text);
    } else if (status == TN_OK && is_kind(folder, S_IFDIR))
        status = take_unlabelled(ctx, b, folder, p->split);
    tn_free(ctx, labels);
    tn_free(ctx, folder);
    return status;
}

tn_status data_labels_read_vgaf(tn_ctx *ctx, const char *dir, bool classes_given, data_builder *b)
{
    static const part parts[] = {{"train", "Train", "Train_labels.txt", false},
                                 {"val", "Val", "Val_labels.txt", false},
                                 {"test", "Test", "Test_labels.txt", true}};
    for (int i = 0; classes_given && i < DATA_SYNTH_CLASSES; i++)
        if (b->list.classes != DATA_SYNTH_CLASSES || strcmp(b->list.class_name[i], data_synth_class(i)) != 0)
            return tn_fail(ctx, TN_RANGE,
                           "%s: a folder of labels 1 to 3 has the classes positive, neutral, negative", dir);
    for (int i = 0; !classes_given && i < DATA_SYNTH_CLASSES; i++)
        TN_TRY(data_builder_add_class(ctx, b, data_synth_class(i)));
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        TN_TRY(take_part(ctx, b, dir, &parts[i]));
    return TN_OK;
}
