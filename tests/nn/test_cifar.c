/* Networks that other people trained: ResNet-20, 32 and 44 for CIFAR-10 (He et al. 2016, section 4.2,
 * shortcuts of kind A), built from our ops and asked about real pictures; then the same weights inflated
 * along time. */
#include "tests/common/golden.h"

#include "data/data.h"
#include "nn/nn.h"

#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CLASSES = 10, PER_CLASS = 50, PICTURES = CLASSES * PER_CLASS, SIDE = 32 };

/* ---- network --------------------------------------------------------------------------------------- */

/* A network of pictures (depth 1, kernels of depth 1), or of stills repeated in time. Without padding in time
 * every convolution of depth 3 takes two frames away, so that no frame ever sees the border and the last one
 * left must say what the picture's network says. */
typedef struct cifar {
    tn_graph *graph;
    int blocks;          /* of each of the three stages */
    bool inflated;       /* kernels of depth 3 */
    int64_t frames;      /* at the var at hand */
    int64_t side;        /* same: height and width */
    int64_t zeros[2][2]; /* frames and side of the two inputs of zeros */
} cifar;

static tn_var *conv_norm(cifar *c, tn_var *x, const char *block, int i, int64_t in, int64_t out, int stride)
{
    char name[64];
    const int kernel[3] = {c->inflated ? 3 : 1, 3, 3}, strides[3] = {1, stride, stride}, pad[3] = {0, 1, 1};
    snprintf(name, sizeof name, "%sconv%d", block, i);
    x = nn_conv(c->graph, x, name, in, out, kernel, strides, pad);
    snprintf(name, sizeof name, "%sbn%d", block, i);
    c->frames -= c->inflated ? 2 : 0;
    c->side /= stride;
    return nn_batch_norm(c->graph, x, name, out, (tn_batch_norm_attr){1e-5f, 0.1f});
}

/* What is left of x beside a block: the frames that its convolutions kept, every second pixel where it halves
 * the picture, with zeros for the channels that it adds. */
static tn_var *shortcut(cifar *c, tn_var *x, int64_t frames_before, int64_t in, int64_t out)
{
    const int64_t lost = (frames_before - c->frames) / 2;
    if (lost > 0)
        x = tn_slice(x, (tn_slice_attr){2, lost, frames_before - lost, 1});
    if (in == out)
        return x;
    for (int axis = 3; axis <= 4; axis++)
        x = tn_slice(x, (tn_slice_attr){axis, 0, TN_ANY, 2});
    const int which = out == 64;
    const int64_t size[5] = {TN_ANY, (out - in) / 2, c->frames, c->side, c->side};
    c->zeros[which][0] = c->frames;
    c->zeros[which][1] = c->side;
    tn_var *zeros = tn_input(c->graph, which ? "zeros1" : "zeros0", 5, size);
    tn_var *const parts[3] = {zeros, x, zeros};
    return tn_concat(parts, 3, 1);
}

static void build(cifar *c)
{
    const int64_t size[5] = {TN_ANY, 3, c->frames, SIDE, SIDE};
    int64_t channels = 16;
    tn_var *x = tn_input(c->graph, "picture", 5, size);
    x = tn_relu(conv_norm(c, x, "", 1, 3, 16, 1));
    for (int stage = 1; stage <= 3; stage++)
        for (int i = 0; i < c->blocks; i++) {
            char block[32];
            snprintf(block, sizeof block, "layer%d.%d.", stage, i);
            const int64_t out = 8 << stage, before = c->frames;
            tn_var *y = tn_relu(conv_norm(c, x, block, 1, channels, out, out == channels ? 1 : 2));
            y = conv_norm(c, y, block, 2, out, out, 1);
            x = tn_relu(tn_add(y, shortcut(c, x, before, channels, out)));
            channels = out;
        }
    tn_output(nn_linear(c->graph, tn_global_avg_pool(x), "linear", 64, CLASSES), "logits");
}

/* Two-dimensional kernels (O, I, 3, 3) become (O, I, 1, 3, 3), or three times a third of them in time. */
static void bind(tn_ctx *ctx, const cifar *c, const wt_file *file)
{
    for (int p = 0; p < tn_param_count(c->graph); p++) {
        tn_var *param = tn_param_at(c->graph, p);
        const wt_entry *entry = wt_find(file, tn_var_name(param));
        if (!entry)
            fail_msg("no %s", tn_var_name(param));
        const tn_tensor to = tn_value(param);
        const size_t depth = c->inflated && to.rank == 5 ? 3 : 1;
        assert_int_equal(entry->count * depth, tn_numel(&to));
        assert_int_equal(entry->rank, to.rank == 5 ? 4 : to.rank);
        float *from = malloc(entry->count * sizeof *from);
        assert_non_null(from);
        assert_ok(ctx, wt_read(ctx, file, entry, from, entry->count));
        for (size_t i = 0; i < entry->count; i++)
            for (size_t t = 0; t < depth; t++)
                to.data[i / 9 * 9 * depth + t * 9 * (depth > 1) + i % 9] = from[i] / (float)depth;
        free(from);
    }
}

static cifar make(tn_ctx *ctx, const wt_file *file, int blocks, bool inflated)
{
    cifar c = {.blocks = blocks, .inflated = inflated, .side = SIDE};
    c.frames = inflated ? 1 + 2 * (1 + 6 * blocks) : 1;
    assert_ok(ctx, tn_graph_create(ctx, &c.graph));
    build(&c);
    assert_int_equal(c.frames, 1);
    bind(ctx, &c, file);
    return c;
}

static tn_plan *plan_of(tn_ctx *ctx, const cifar *c, int64_t batch, tn_precision precision)
{
    const tn_input_shape shapes[3] = {
        {.name = "picture", .size = {batch, 3, c->inflated ? 1 + 2 * (1 + 6 * c->blocks) : 1, SIDE, SIDE}},
        {.name = "zeros0", .size = {batch, 8, c->zeros[0][0], c->zeros[0][1], c->zeros[0][1]}},
        {.name = "zeros1", .size = {batch, 16, c->zeros[1][0], c->zeros[1][1], c->zeros[1][1]}},
    };
    const tn_plan_options options = {.mode = TN_INFERENCE, .precision = precision};
    tn_plan *plan = NULL;
    assert_ok(ctx, tn_plan_create(c->graph, &options, shapes, 3, &plan));
    return plan;
}

/* ---- pictures -------------------------------------------------------------------------------------- */

/* All pictures, class behind class: (PICTURES, 3, SIDE, SIDE), (value / 255 - mean) / deviation. */
static void read_picture(tn_ctx *ctx, const char *path, float *out)
{
    static const float mean[3] = {0.485f, 0.456f, 0.406f}, deviation[3] = {0.229f, 0.224f, 0.225f};
    data_image image;
    assert_ok(ctx, data_image_read(ctx, path, &image));
    assert_int_equal(image.width, SIDE);
    assert_int_equal(image.height, SIDE);
    for (int c = 0; c < 3; c++)
        for (int i = 0; i < SIDE * SIDE; i++)
            out[c * SIDE * SIDE + i] = ((float)image.rgb[i * 3 + c] / 255 - mean[c]) / deviation[c];
    data_image_free(ctx, &image);
}

static int visible(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

static float *read_pictures(tn_ctx *ctx, const char *root)
{
    float *all = malloc((size_t)PICTURES * 3 * SIDE * SIDE * sizeof *all), *at = all;
    assert_non_null(all);
    struct dirent **classes, **files;
    assert_int_equal(scandir(root, &classes, visible, alphasort), CLASSES);
    for (int c = 0; c < CLASSES; c++) {
        char *dir = NULL, *path = NULL;
        assert_true(asprintf(&dir, "%s/%s", root, classes[c]->d_name) > 0);
        assert_int_equal(scandir(dir, &files, visible, alphasort), PER_CLASS);
        for (int i = 0; i < PER_CLASS; i++, at += 3 * SIDE * SIDE) {
            assert_true(asprintf(&path, "%s/%s", dir, files[i]->d_name) > 0);
            read_picture(ctx, path, at);
            free(path);
            free(files[i]);
        }
        free(files);
        free(dir);
        free(classes[c]);
    }
    free(classes);
    return all;
}

/* ---- tests ----------------------------------------------------------------------------------------- */

/* The logits of all pictures, PICTURES x CLASSES; the caller's to free(). */
static float *run_all(tn_ctx *ctx, const cifar *c, const float *pictures, tn_precision precision)
{
    enum { BATCH = 50 };
    float *all = malloc((size_t)PICTURES * CLASSES * sizeof *all);
    assert_non_null(all);
    tn_plan *plan = plan_of(ctx, c, BATCH, precision);
    const tn_tensor input = tn_plan_value(plan, tn_find(c->graph, "picture"));
    const tn_tensor logits = tn_plan_value(plan, tn_find(c->graph, "logits"));
    for (int first = 0; first < PICTURES; first += BATCH) {
        const tn_tensor rows = tn_view((float *)pictures + (size_t)first * 3 * SIDE * SIDE, 5, input.size);
        tn_copy(&input, &rows);
        tn_plan_forward(plan);
        memcpy(all + first * CLASSES, logits.data, (size_t)(BATCH * CLASSES) * sizeof *all);
    }
    tn_plan_destroy(plan);
    return all;
}

static int label_of(const float *logits, int picture)
{
    const float *row = logits + picture * CLASSES;
    int best = 0;
    for (int k = 1; k < CLASSES; k++)
        best = row[k] > row[best] ? k : best;
    return best;
}

static int count_right(const float *logits)
{
    int right = 0;
    for (int i = 0; i < PICTURES; i++)
        right += label_of(logits, i) == i / PER_CLASS;
    return right;
}

/* How far bfloat16 moves the logits, and how many labels with them. */
static void compare_precisions(const char *name, const float *fp32, const float *bf16)
{
    double sum = 0, all = 0, largest = 0;
    int changed = 0;
    for (int i = 0; i < PICTURES * CLASSES; i++) {
        const double d = (double)bf16[i] - (double)fp32[i];
        sum += d * d;
        all += (double)fp32[i] * (double)fp32[i];
        largest = fmax(largest, fabs(d));
    }
    for (int i = 0; i < PICTURES; i++)
        changed += label_of(fp32, i) != label_of(bf16, i);
    print_message("%s in bfloat16: %d of %d right; %d labels changed; logits off by %.3f at most, %.2f %% in "
                  "quadratic mean\n",
                  name, count_right(bf16), PICTURES, changed, largest, 100 * sqrt(sum / all));
    assert_true(sqrt(sum / all) < 0.01);
    assert_in_range(changed, 0, 3);
    assert_in_range(count_right(bf16), count_right(fp32) - 3, count_right(fp32) + 3);
}

static const struct {
    const char *file;
    int blocks; /* of a stage */
    int right;  /* by PyTorch and Pillow, of 500 */
} networks[] = {
    {"checkpoints/resnet20-12fca82f.th", 3, 400},
    {"checkpoints/resnet32-d509ac18.th", 5, 404},
    {"checkpoints/resnet44-014dd654.th", 7, 396},
};

static void as_many_right_as_pytorch(void **state)
{
    (void)state;
    char *root = test_data("cifar10");
    tn_ctx *ctx = test_ctx(2, NULL);
    float *pictures = read_pictures(ctx, root);
    for (int i = 0; i < (test_quick() ? 1 : 3); i++) {
        char *path = test_data(networks[i].file);
        wt_file *file = NULL;
        assert_ok(ctx, wt_open(ctx, path, &file));
        assert_string_equal(wt_format(file), "PyTorch legacy");
        cifar c = make(ctx, file, networks[i].blocks, false);
        float *logits = run_all(ctx, &c, pictures, TN_FP32);
        const int right = count_right(logits);
        print_message("%s: %d of %d right, PyTorch %d\n", networks[i].file, right, PICTURES,
                      networks[i].right);
        assert_in_range(right, networks[i].right - 4, networks[i].right + 4);
        if (tn_has_precision(ctx, TN_BF16)) {
            float *rounded = run_all(ctx, &c, pictures, TN_BF16);
            compare_precisions(networks[i].file, logits, rounded);
            free(rounded);
        }
        free(logits);
        tn_graph_destroy(c.graph);
        wt_close(file);
        free(path);
    }
    free(pictures);
    tn_ctx_destroy(ctx);
    free(root);
}

static void inflated_networks_see_a_still_as_a_picture(void **state)
{
    (void)state;
    char *root = test_data("cifar10"), *path = test_data(networks[0].file);
    tn_ctx *ctx = test_ctx(2, NULL);
    float *pictures = read_pictures(ctx, root);
    wt_file *file = NULL;
    assert_ok(ctx, wt_open(ctx, path, &file));
    cifar flat = make(ctx, file, networks[0].blocks, false), deep = make(ctx, file, networks[0].blocks, true);
    tn_plan *plans[2] = {plan_of(ctx, &flat, 1, TN_FP32), plan_of(ctx, &deep, 1, TN_FP32)};
    const tn_tensor picture = tn_plan_value(plans[0], tn_find(flat.graph, "picture"));
    const tn_tensor clip = tn_plan_value(plans[1], tn_find(deep.graph, "picture"));
    const tn_tensor want = tn_plan_value(plans[0], tn_find(flat.graph, "logits"));
    const tn_tensor got = tn_plan_value(plans[1], tn_find(deep.graph, "logits"));
    assert_int_equal(clip.size[2], 39);
    for (int i = 0; i < (test_quick() ? 1 : 5); i++) {
        tn_tensor rows = tn_view(pictures + (size_t)i * 101 * 3 * SIDE * SIDE, 5, picture.size);
        tn_copy(&picture, &rows);
        rows.size[2] = clip.size[2]; /* the same picture again and again */
        rows.stride[2] = 0;
        tn_copy(&clip, &rows);
        tn_plan_forward(plans[0]);
        tn_plan_forward(plans[1]);
        assert_true(test_relative_error(got.data, want.data, CLASSES) < 1e-4);
    }
    for (int i = 0; i < 2; i++)
        tn_plan_destroy(plans[i]);
    tn_graph_destroy(flat.graph);
    tn_graph_destroy(deep.graph);
    wt_close(file);
    free(pictures);
    tn_ctx_destroy(ctx);
    free(path);
    free(root);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(as_many_right_as_pytorch),
        cmocka_unit_test(inflated_networks_see_a_still_as_a_picture),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
