/* Mean cross-entropy of softmax(logits) and labels, from log-softmax so that nothing overflows. */
#include "libtensor/internal.h"

#include <math.h>

enum { LOGITS, LABELS, WEIGHTS };

static tn_status infer(tn_step *step)
{
    const tn_tensor *x = &step->in[LOGITS], *labels = &step->in[LABELS], *w = &step->in[WEIGHTS];
    if (x->rank != 2 || x->size[1] < 1)
        return tn_step_fail(step, TN_SHAPE, "logits are %s, expected (N, classes)", tn_shape(x).text);
    if (labels->rank != 1 || labels->size[0] != x->size[0])
        return tn_step_fail(step, TN_SHAPE, "labels are %s, logits %s", tn_shape(labels).text,
                            tn_shape(x).text);
    if (tn_present(step, WEIGHTS) && (w->rank != 1 || w->size[0] != x->size[1]))
        return tn_step_fail(step, TN_SHAPE, "class weights are %s, logits %s", tn_shape(w).text,
                            tn_shape(x).text);
    step->out[0].rank = 0;
    return TN_OK;
}

static tn_status prepare(tn_step *step)
{
    step->flops = 4.0 * (double)tn_numel(&step->in[LOGITS]);
    step->saved_bytes = sizeof(double); /* the sum of the rows' weights */
    return TN_OK;
}

/* The row's class, or -1 where it does not count. */
static int64_t label_of(const tn_step *step, int64_t row)
{
    const float label = step->in[LABELS].data[row];
    return label >= 0 && label < (float)step->in[LOGITS].size[1] ? (int64_t)label : -1;
}

static double weight_of(const tn_step *step, int64_t label)
{
    return tn_present(step, WEIGHTS) ? (double)step->in[WEIGHTS].data[label] : 1.0;
}

/* log sum exp x */
static double log_sum(const float *x, int64_t n)
{
    float largest = x[0];
    double sum = 0;
    for (int64_t j = 1; j < n; j++)
        largest = fmaxf(largest, x[j]);
    for (int64_t j = 0; j < n; j++)
        sum += exp((double)x[j] - (double)largest);
    return (double)largest + log(sum);
}

static void forward(tn_step *step)
{
    const int64_t rows = step->in[LOGITS].size[0], classes = step->in[LOGITS].size[1];
    double loss = 0, weights = 0;
    for (int64_t row = 0; row < rows; row++) {
        const float *x = step->in[LOGITS].data + row * classes;
        const int64_t label = label_of(step, row);
        if (label < 0)
            continue;
        const double w = weight_of(step, label);
        loss += w * (log_sum(x, classes) - (double)x[label]);
        weights += w;
    }
    *(double *)step->saved = weights;
    step->out[0].data[0] = weights > 0 ? (float)(loss / weights) : 0.0f;
}

/* d loss / d logit_j = w (softmax_j - [j = label]) / sum of w */
static void backward(tn_step *step)
{
    const int64_t rows = step->in[LOGITS].size[0], classes = step->in[LOGITS].size[1];
    const double weights = *(const double *)step->saved;
    const double dy = weights > 0 ? (double)step->dout[0].data[0] / weights : 0;
    for (int64_t row = 0; row < rows; row++) {
        const float *x = step->in[LOGITS].data + row * classes;
        float *dx = step->din[LOGITS].data + row * classes;
        const int64_t label = label_of(step, row);
        const double w = label < 0 ? 0 : dy * weight_of(step, label), total = log_sum(x, classes);
        for (int64_t j = 0; j < classes; j++)
            dx[j] = label < 0 ? 0.0f : (float)(w * (exp((double)x[j] - total) - (j == label)));
    }
}

static const tn_case cases[] = {
    {"plain", {{2, 6, 3}, {1, 6}}, NULL, false},
    {"class weights", {{2, 7, 4}, {1, 7}, {1, 4}}, NULL, false},
    {"one row", {{2, 1, 5}, {1, 1}}, NULL, false},
    {0},
};

static const tn_layer layers[] = {
    {{"128 clips", {{2, 128, 3}, {1, 128}}, NULL, false}, false},
    {{"32 clips of 305 classes", {{2, 32, 305}, {1, 32}}, NULL, false}, false},
    {{0}, false},
};

const tn_op tn_op_cross_entropy = {
    .name = "cross_entropy",
    .role = {TN_ROLE_DATA, TN_ROLE_LABEL, TN_ROLE_POSITIVE},
    .optional = 1u << WEIGHTS,
    .outputs = 1,
    .keep_in = 1u << LOGITS | 1u << LABELS | 1u << WEIGHTS,
    .cases = cases,
    .layers = layers,
    .infer = infer,
    .prepare = prepare,
    .forward = forward,
    .backward = backward,
};

tn_var *tn_cross_entropy(tn_var *logits, tn_var *labels, tn_var *class_weights)
{
    tn_var *in[TN_MAX_IN] = {logits, labels, class_weights};
    return tn_apply(logits->graph, &tn_op_cross_entropy, in, NULL);
}
