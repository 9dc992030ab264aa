/* What a model file says beside its weights. */
#include "nn/internal.h"
#include "nn/text.h"

#include <stdio.h>
#include <string.h>

const char *nn_kind_name(nn_kind kind)
{
    return kind == NN_VIDEO ? "video" : "audio";
}

/* ---- metadata -------------------------------------------------------------------------------------- */

static tn_status bad(tn_ctx *ctx, const wt_file *file, const char *key, const char *expected)
{
    char value[64];
    return tn_fail(ctx, TN_FORMAT, "%s: metadata %s is \"%s\", expected %s", wt_path(file), key,
                   wt_printable(wt_metadata(file, key), value, sizeof value), expected);
}

tn_status nn_meta_ints(tn_ctx *ctx, const wt_file *file, const char *key, int least, int count, int *out)
{
    const char *value = wt_metadata(file, key);
    char expected[64];
    snprintf(expected, sizeof expected, "%d whole number%s of at least %d", count,
             count == 1 ? "" : "s between commas", least);
    for (int i = 0; value && i < count; i++) {
        const size_t n = strcspn(value, ",");
        char word[16];
        int number;
        if (n >= sizeof word || (value[n] == ',') != (i < count - 1))
            return bad(ctx, file, key, expected);
        snprintf(word, sizeof word, "%.*s", (int)n, value);
        if (!nn_text_int(word, &number) || number < least || number > NN_MAX_NUMBER)
            return bad(ctx, file, key, expected);
        out[i] = number;
        value += n + 1;
    }
    return TN_OK;
}

static tn_status meta_double(tn_ctx *ctx, const wt_file *file, const char *key, double *out)
{
    const char *value = wt_metadata(file, key);
    if (!value)
        return TN_OK;
    if (!nn_text_double(value, out) || *out < 0)
        return bad(ctx, file, key, "a number of at least 0");
    return TN_OK;
}

tn_status nn_check_kind(tn_ctx *ctx, const wt_file *file, nn_kind kind)
{
    const char *said = wt_metadata(file, "valence.kind");
    if (!said)
        said = wt_find(file, "conv1.weight")        ? "video"
               : wt_find(file, "lstm.weight_hh_l0") ? "audio"
                                                    : "unknown";
    if (strcmp(said, nn_kind_name(kind)) == 0)
        return TN_OK;
    char text[64];
    return tn_fail(ctx, TN_SHAPE, "%s: %s where weights of the %s network are expected", wt_path(file),
                   strcmp(said, "unknown") == 0 ? "weights of an unknown network"
                                                : wt_printable(said, text, sizeof text),
                   nn_kind_name(kind));
}

/* ---- class names ----------------------------------------------------------------------------------- */

char **nn_names_copy(tn_ctx *ctx, char *const *name, int count)
{
    size_t bytes = (size_t)count * sizeof *name;
    for (int i = 0; i < count; i++)
        bytes += strlen(name[i]) + 1;
    char **copy = tn_alloc(ctx, bytes, 1);
    if (!copy)
        return NULL;
    char *text = (char *)(copy + count);
    for (int i = 0; i < count; i++) {
        copy[i] = text;
        text = stpcpy(text, name[i]) + 1;
    }
    return copy;
}

tn_status nn_check_names(tn_ctx *ctx, const char *path, char *const *name, int count)
{
    for (int i = 0; i < count; i++) {
        char text[64];
        wt_printable(name[i], text, sizeof text);
        if (name[i][0] == '\0' || strpbrk(name[i], ",\n\r") || !wt_is_text(name[i], strlen(name[i])))
            return tn_fail(ctx, TN_RANGE, "%s: class name %d is \"%s\", expected UTF-8 text without commas",
                           path, i + 1, text);
        for (int j = 0; j < i; j++)
            if (strcmp(name[i], name[j]) == 0)
                return tn_fail(ctx, TN_RANGE, "%s: class \"%s\" is there twice", path, text);
    }
    return TN_OK;
}

static tn_status read_names(tn_ctx *ctx, const wt_file *file, nn_facts *facts)
{
    const char *said = wt_metadata(file, "valence.classes");
    if (!said)
        return TN_OK;
    int count = 1;
    for (const char *c = said; *c; c++)
        count += *c == ',';
    if (count != facts->classes)
        return tn_fail(ctx, TN_FORMAT, "%s: metadata valence.classes names %d classes, but the head has %d",
                       wt_path(file), count, facts->classes);
    const size_t table = (size_t)count * sizeof *facts->class_name;
    facts->class_name = tn_alloc(ctx, table + strlen(said) + 1, 1);
    if (!facts->class_name)
        return TN_NOMEM;
    char *text = strcpy((char *)facts->class_name + table, said);
    for (int i = 0; i < count; i++) {
        facts->class_name[i] = text;
        text += strcspn(text, ",");
        *text++ = '\0';
    }
    return nn_check_names(ctx, wt_path(file), facts->class_name, count);
}

/* ---- scaling --------------------------------------------------------------------------------------- */

static tn_status read_statistic(tn_ctx *ctx, const wt_file *file, const char *name, int width, float **out)
{
    char expected[32];
    const wt_entry *entry;
    snprintf(expected, sizeof expected, "(%d)", width);
    TN_TRY(nn_need(ctx, file, name, 1, expected, &entry));
    if (entry->size[0] != width)
        return tn_fail(ctx, TN_SHAPE, "%s: %s is %s, expected %s", wt_path(file), name,
                       nn_shape(1, entry->size).text, expected);
    *out = tn_alloc(ctx, (size_t)width, sizeof **out);
    if (!*out)
        return TN_NOMEM;
    TN_TRY(wt_read(ctx, file, entry, *out, entry->count));
    for (int i = 0; i < width; i++)
        if (nn_first_not_finite(*out + i, 1) == 0)
            return tn_fail(ctx, TN_FORMAT, "%s: %s: element %d is not finite", wt_path(file), name, i);
    return TN_OK;
}

static tn_status read_scaling(tn_ctx *ctx, const wt_file *file, nn_scaling *scaling)
{
    const char *said = wt_metadata(file, "valence.norm");
    scaling->norm = wt_find(file, "norm.mean") ? NN_NORM_TRAIN : NN_NORM_NONE;
    if (said && !nn_norm_parse(said, &scaling->norm))
        return bad(ctx, file, "valence.norm", "train, frame or none");
    if (scaling->norm != NN_NORM_TRAIN)
        return TN_OK;
    TN_TRY(read_statistic(ctx, file, "norm.mean", scaling->width, &scaling->mean));
    return read_statistic(ctx, file, "norm.std", scaling->width, &scaling->deviation);
}

/* ---- all of it ------------------------------------------------------------------------------------- */

static tn_status read_facts(tn_ctx *ctx, const wt_file *file, nn_kind kind, nn_facts *out)
{
    TN_TRY(read_names(ctx, file, out));
    if (kind == NN_VIDEO) {
        TN_TRY(nn_meta_ints(ctx, file, "valence.frames", 1, 1, &out->frames));
        TN_TRY(nn_meta_ints(ctx, file, "valence.size", 1, 1, &out->size));
        return meta_double(ctx, file, "valence.fps", &out->fps);
    }
    TN_TRY(nn_meta_ints(ctx, file, "valence.rate", 1, 1, &out->rate));
    TN_TRY(meta_double(ctx, file, "valence.eps", &out->eps));
    return read_scaling(ctx, file, &out->scaling);
}

tn_status nn_facts_read(tn_ctx *ctx, const wt_file *file, nn_kind kind, int classes, int width, nn_facts *out)
{
    *out = (nn_facts){.kind = kind, .classes = classes, .scaling.width = width};
    nn_locale locale;
    tn_status status = nn_locale_enter(ctx, &locale);
    if (status == TN_OK)
        status = read_facts(ctx, file, kind, out);
    nn_locale_leave(&locale);
    if (status != TN_OK)
        nn_facts_free(ctx, out);
    return status;
}

void nn_facts_free(tn_ctx *ctx, nn_facts *facts)
{
    tn_free(ctx, facts->class_name);
    tn_free(ctx, facts->scaling.mean);
    tn_free(ctx, facts->scaling.deviation);
    *facts = (nn_facts){0};
}
