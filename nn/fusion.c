/* Late fusion of the two networks' probabilities. */
#include "nn/nn.h"

#include <assert.h>
#include <string.h>

struct nn_fusion {
    tn_ctx *ctx; /* borrowed */
    nn_svm *svm; /* NULL: the mean */
    int classes; /* of each network */
};

/* The SVM's labels are the label files': 1 for the first class. That none is there twice is nn_svm_read()'s
 * business. */
static tn_status check_labels(tn_ctx *ctx, const char *path, const nn_svm *svm, int classes)
{
    const int *label = nn_svm_labels(svm);
    if (nn_svm_classes(svm) != classes)
        return tn_fail(ctx, TN_SHAPE, "%s: the SVM has %d classes, the networks have %d", path,
                       nn_svm_classes(svm), classes);
    for (int i = 0; i < classes; i++)
        if (label[i] < 1 || label[i] > classes)
            return tn_fail(ctx, TN_SHAPE, "%s: label %d, expected 1 to %d (classes in the networks' order)",
                           path, label[i], classes);
    if (nn_svm_max_index(svm) > 2 * classes)
        return tn_fail(ctx, TN_SHAPE,
                       "%s: the SVM looks at input %d, expected at most %d (%d of each network)", path,
                       nn_svm_max_index(svm), 2 * classes, classes);
    return TN_OK;
}

tn_status nn_fusion_open(tn_ctx *ctx, const char *path, int classes, nn_fusion **out)
{
    *out = NULL;
    nn_fusion *f = tn_zalloc(ctx, 1, sizeof *f);
    if (!f)
        return TN_NOMEM;
    f->ctx = ctx;
    f->classes = classes;
    tn_status status = TN_OK;
    if (path) {
        status = nn_svm_read(ctx, path, &f->svm);
        if (status == TN_OK)
            status = check_labels(ctx, path, f->svm, classes);
    }
    if (status == TN_OK)
        *out = f;
    else
        nn_fusion_close(f);
    return status;
}

void nn_fusion_close(nn_fusion *fusion)
{
    if (!fusion)
        return;
    if (fusion->svm)
        nn_svm_destroy(fusion->ctx, fusion->svm);
    tn_free(fusion->ctx, fusion);
}

bool nn_fusion_is_svm(const nn_fusion *fusion)
{
    return fusion->svm != NULL;
}

bool nn_fusion_has_probability(const nn_fusion *fusion)
{
    return !fusion->svm || nn_svm_has_probability(fusion->svm);
}

static tn_status ask_svm(const nn_fusion *f, const nn_svm_entry *entry, double *decision, double *coupled,
                         int *label, double *probability, bool *known)
{
    const int *labels = nn_svm_labels(f->svm);
    const nn_svm_vector x = {.entry = entry, .count = 2 * (size_t)f->classes};
    *label = labels[nn_svm_decide(f->svm, x, decision)] - 1;
    *known = nn_svm_has_probability(f->svm);
    memset(probability, 0, (size_t)f->classes * sizeof *probability);
    if (!*known)
        return TN_OK;
    TN_TRY(nn_svm_probability(f->ctx, f->svm, decision, coupled));
    for (int i = 0; i < f->classes; i++)
        probability[labels[i] - 1] = coupled[i];
    return TN_OK;
}

static tn_status fuse_by_svm(const nn_fusion *f, const float *video, const float *audio, int *label,
                             double *probability, bool *known)
{
    const int k = f->classes;
    nn_svm_entry *entry = tn_alloc(f->ctx, 2 * (size_t)k, sizeof *entry);
    double *decision = tn_alloc(f->ctx, (size_t)nn_svm_pairs(f->svm), sizeof *decision);
    double *coupled = tn_alloc(f->ctx, (size_t)k, sizeof *coupled);
    tn_status status = TN_NOMEM;
    if (entry && decision && coupled) {
        for (int i = 0; i < k; i++) {
            entry[i] = (nn_svm_entry){.index = i + 1, .value = (double)video[i]};
            entry[k + i] = (nn_svm_entry){.index = k + i + 1, .value = (double)audio[i]};
        }
        status = ask_svm(f, entry, decision, coupled, label, probability, known);
    }
    tn_free(f->ctx, entry);
    tn_free(f->ctx, decision);
    tn_free(f->ctx, coupled);
    return status;
}

tn_status nn_fuse(const nn_fusion *fusion, const float *video, const float *audio, int *label,
                  double *probability, bool *known)
{
    assert(video || audio);
    if (fusion->svm && video && audio)
        return fuse_by_svm(fusion, video, audio, label, probability, known);
    *known = true;
    *label = 0;
    for (int i = 0; i < fusion->classes; i++) {
        const double v = (double)(video ? video : audio)[i], a = (double)(audio ? audio : video)[i];
        probability[i] = (v + a) / 2;
        if (probability[i] > probability[*label])
            *label = i;
    }
    return TN_OK;
}

void nn_largest(const float *value, int n, int count, int *index)
{
    assert(count <= n);
    int used = 0;
    for (int i = 0; i < n; i++) {
        int at = used;
        while (at > 0 && value[index[at - 1]] < value[i])
            at--;
        if (at == count)
            continue;
        if (used < count)
            used++;
        memmove(index + at + 1, index + at, (size_t)(used - at - 1) * sizeof *index);
        index[at] = i;
    }
}
