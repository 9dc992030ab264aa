#include "tests/common/golden.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SEED = 2020 };

wt_file *golden_open(tn_ctx *ctx, const char *name)
{
    char path[256];
    snprintf(path, sizeof path, "tests/golden/%s.safetensors", name);
    wt_file *file = NULL;
    assert_ok(ctx, wt_open(ctx, path, &file));
    return file;
}

float *golden_rows(const tn_tensor *t)
{
    float *copy = malloc((size_t)(tn_numel(t) + 1) * sizeof *copy);
    assert_non_null(copy);
    const tn_tensor view = tn_view(copy, t->rank, t->size);
    tn_copy(&view, t);
    return copy;
}

void golden_near(tn_ctx *ctx, const wt_file *file, const char *name, const tn_tensor *got, double bound)
{
    const wt_entry *entry = wt_find(file, name);
    if (!entry)
        fail_msg("%s has no %s", wt_path(file), name);
    assert_non_null(got->data);
    assert_int_equal(entry->count, tn_numel(got));
    float *want = malloc(entry->count * sizeof *want), *have = golden_rows(got);
    assert_non_null(want);
    assert_ok(ctx, wt_read(ctx, file, entry, want, entry->count));
    const double error = test_relative_error(have, want, entry->count);
    if (!(error <= bound))
        fail_msg("%s: %s is off by %.3g of its largest value, at most %.3g is asked", wt_path(file), name,
                 error, bound);
    free(want);
    free(have);
}

static bool ends_with(const char *name, const char *end)
{
    const size_t n = strlen(name), m = strlen(end);
    return n >= m && strcmp(name + n - m, end) == 0;
}

static void fill(const char *name, const tn_tensor *out, float low, float high)
{
    const size_t n = (size_t)tn_numel(out);
    float *rows = malloc(n * sizeof *rows);
    assert_non_null(rows);
    tn_fill_uniform(rows, n, SEED, tn_hash(name), low, high);
    const tn_tensor view = tn_view(rows, out->rank, out->size);
    tn_copy(out, &view);
    free(rows);
}

void golden_draw(const char *name, const tn_tensor *out)
{
    if (ends_with(name, ".running_var")) {
        fill(name, out, 0.5f, 1.5f);
    } else if (ends_with(name, ".weight") && out->rank == 1) {
        fill(name, out, 0.9f, 1.1f);
    } else if (out->rank == 1 && strcmp(name, "attention.query") != 0) {
        fill(name, out, -0.1f, 0.1f);
    } else {
        const int64_t fan_in = out->rank > 1 ? tn_numel(out) / out->size[0] : 1;
        const float bound = (float)sqrt(3.0 / (double)fan_in);
        fill(name, out, -bound, bound);
    }
}

static bool is_batch_norm_bias(const char *name)
{
    return strstr(name, ".bias") && (strstr(name, "bn") || strstr(name, "downsample.1"));
}

void golden_draw_shifted(const char *name, const tn_tensor *out)
{
    golden_draw(name, out);
    if (!is_batch_norm_bias(name))
        return;
    char stream[192];
    snprintf(stream, sizeof stream, "shift.%s", name);
    for (int64_t i = 0; i < tn_numel(out); i++)
        out->data[i] += 2 * tn_uniform(SEED, tn_hash(stream), (uint64_t)i) < 1 ? -2.0f : 2.0f;
}

void golden_input(const char *name, const tn_tensor *out)
{
    fill(name, out, -2.0f, 2.0f);
}

void golden_draw_all(tn_graph *graph)
{
    for (int i = 0; i < tn_param_count(graph); i++) {
        tn_var *param = tn_param_at(graph, i);
        const tn_tensor value = tn_value(param);
        assert_non_null(value.data);
        golden_draw(tn_var_name(param), &value);
    }
}
