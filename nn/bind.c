/* Weights from a file into a graph. */
#include "nn/internal.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

nn_shape_text nn_shape(int rank, const int64_t *size)
{
    nn_shape_text s = {"("};
    size_t used = 1;
    for (int i = 0; i < rank; i++)
        used +=
            (size_t)snprintf(s.text + used, sizeof s.text - used, i ? ", %lld" : "%lld", (long long)size[i]);
    snprintf(s.text + used, sizeof s.text - used, ")");
    return s;
}

int64_t nn_first_not_finite(const float *x, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        if (!isfinite(x[i]))
            return i;
    return -1;
}

tn_status nn_need(tn_ctx *ctx, const wt_file *file, const char *name, int rank, const char *expected,
                  const wt_entry **out)
{
    *out = wt_find(file, name);
    if (!*out)
        return tn_fail(ctx, TN_SHAPE, "%s: %s is missing, expected %s", wt_path(file), name, expected);
    if ((*out)->rank != rank || !wt_dtype_is_float((*out)->dtype))
        return tn_fail(ctx, TN_SHAPE, "%s: %s is %s %s, expected floats %s", wt_path(file), name,
                       wt_dtype_name((*out)->dtype), nn_shape((*out)->rank, (*out)->size).text, expected);
    return TN_OK;
}

bool nn_below(const char *name, const char *prefix)
{
    const size_t n = strlen(prefix);
    return strncmp(name, prefix, n) == 0 && (name[n] == '\0' || name[n] == '.');
}

/* ---- what does not fit ----------------------------------------------------------------------------- */

/* As many complaints as a message holds, and the count of all. */
typedef struct report {
    char text[360];
    size_t used; /* of text */
    int count;   /* complaints */
    int left;    /* that did not fit */
} report;

static void complain(report *r, const char *format, ...) TN_PRINTF(2, 3);
static void complain(report *r, const char *format, ...)
{
    char line[400];
    va_list args;
    va_start(args, format);
    const int n = vsnprintf(line, sizeof line, format, args);
    va_end(args);
    const char *between = r->count++ ? "; " : "";
    if (n < 0 || r->used + strlen(between) + (size_t)n >= sizeof r->text) {
        r->left++;
        return;
    }
    r->used += (size_t)snprintf(r->text + r->used, sizeof r->text - r->used, "%s%s", between, line);
}

static bool same_shape(const tn_var *param, const wt_entry *entry)
{
    if (tn_var_rank(param) != entry->rank)
        return false;
    for (int i = 0; i < entry->rank; i++)
        if (tn_var_size(param)[i] != entry->size[i])
            return false;
    return true;
}

static void compare(report *r, const tn_var *param, const wt_file *file)
{
    const char *name = tn_var_name(param);
    const wt_entry *entry = wt_find(file, name);
    const nn_shape_text want = nn_shape(tn_var_rank(param), tn_var_size(param));
    if (!entry)
        complain(r, "%s is missing, expected %s", name, want.text);
    else if (!same_shape(param, entry))
        complain(r, "%s is %s, expected %s", name, nn_shape(entry->rank, entry->size).text, want.text);
    else if (!wt_dtype_is_float(entry->dtype))
        complain(r, "%s holds %s, expected floats", name, wt_dtype_name(entry->dtype));
}

static bool is_parameter(tn_var *const *params, int count, const char *name)
{
    for (int i = 0; i < count; i++)
        if (strcmp(tn_var_name(params[i]), name) == 0)
            return true;
    return false;
}

/* Tensors of a file that no network has a parameter for, and that are right there. */
static bool is_extra(const char *name)
{
    const char *dot = strrchr(name, '.');
    return nn_below(name, "norm") || (dot && strcmp(dot, ".num_batches_tracked") == 0);
}

static tn_status check(tn_ctx *ctx, tn_var *const *params, int count, const wt_file *file, const char *skip)
{
    report r = {.count = 0};
    for (int i = 0; i < count; i++)
        if (!skip || !nn_below(tn_var_name(params[i]), skip))
            compare(&r, params[i], file);
    for (int i = 0; i < wt_count(file); i++) {
        const wt_entry *entry = wt_at(file, i);
        if (is_extra(entry->name) || (skip && nn_below(entry->name, skip)) ||
            is_parameter(params, count, entry->name))
            continue;
        complain(&r, "%s %s is not part of the network", entry->name,
                 nn_shape(entry->rank, entry->size).text);
    }
    if (r.count == 0)
        return TN_OK;
    if (r.left == 0)
        return tn_fail(ctx, TN_SHAPE, "%s: %s", wt_path(file), r.text);
    return tn_fail(ctx, TN_SHAPE, "%s: %s; and %d more", wt_path(file), r.text, r.left);
}

/* ---- binding --------------------------------------------------------------------------------------- */

static tn_status take(tn_ctx *ctx, tn_var *param, const wt_file *file)
{
    const wt_entry *entry = wt_find(file, tn_var_name(param));
    const float *mapped = wt_floats(entry);
    if (mapped) {
        tn_bind(param, mapped);
        return TN_OK;
    }
    tn_tensor own = tn_value(param);
    if (!own.data)
        return TN_NOMEM;
    return wt_read(ctx, file, entry, own.data, entry->count);
}

tn_status nn_bind(tn_graph *graph, const wt_file *file, const char *skip)
{
    tn_ctx *ctx = tn_graph_ctx(graph);
    TN_TRY(
        tn_graph_check(graph)); /* else what is missing in the graph would seem to be surplus in the file */
    const int count = tn_param_count(graph);
    tn_var **params = tn_alloc(ctx, (size_t)count, sizeof(tn_var *));
    if (!params)
        return TN_NOMEM;
    for (int i = 0; i < count; i++)
        params[i] = tn_param_at(graph, i);
    tn_status status = check(ctx, params, count, file, skip);
    for (int i = 0; status == TN_OK && i < count; i++)
        if (!skip || !nn_below(tn_var_name(params[i]), skip))
            status = take(ctx, params[i], file);
    tn_free(ctx, params);
    return status;
}
