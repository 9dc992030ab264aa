/* Dropout (Srivastava et al. 2014), inverted: what survives is scaled by 1 / (1 - p).
 *
 * Element e of sample n (counted from the plan's first_sample) survives where u >= p, with u = 2^-24 * (w >>
 * 8), w being word e mod 4 of the Philox block with key `seed` and counter (e / 4, node id, run, n), each mod
 * 2^32. e counts a sample's elements in the order in which they lie in memory: (t, f), or (t, h, w, c) for
 * rank 5; with one mask for all steps of a sequence e is f. Nothing depends on the number of threads or
 * samples, nor on padding at the end of a sequence.
 */
#include "libtensor/internal.h"

#include <math.h>

static tn_status infer(tn_step *step)
{
    const tn_dropout_attr *attr = step->node->attr;
    const tn_tensor *x = &step->in[0];
    if (!(attr->p >= 0.0f && attr->p < 1.0f))
        return tn_step_fail(step, TN_RANGE, "p is %g, expected [0, 1)", (double)attr->p);
    if (x->rank < 1 || (attr->per_channel && x->rank != 3))
        return tn_step_fail(step, TN_SHAPE, "x is %s, expected %s", tn_shape(x).text,
                            attr->per_channel ? "(N, T, F)" : "(N, ...)");
    step->out[0] = *x;
    return TN_OK;
}

static tn_status prepare(tn_step *step)
{
    step->flops = (double)tn_numel(&step->in[0]);
    return TN_OK;
}

/* (w >> 8) * 2^-24 >= p is w >= 2^8 ceil(2^24 p) for whole numbers w. */
tn_mask tn_dropout_mask(const tn_step *step, const tn_node *node, int64_t sample)
{
    const tn_dropout_attr *attr = node->attr;
    return (tn_mask){
        .key = step->seed,
        .counter = {0, (uint32_t)node->id, (uint32_t)step->run,
                    (uint32_t)(step->first_sample + (uint64_t)sample)},
        .least = (uint32_t)ceil((double)attr->p * 0x1p24) << 8,
        .scale = 1.0f / (1.0f - attr->p),
    };
}

typedef struct dropout_job {
    const tn_step *step;
    const float *from;
    float *to;
} dropout_job;

static void dropout_task(void *arg, int64_t sample, int thread)
{
    (void)thread;
    const dropout_job *job = arg;
    const tn_dropout_attr *attr = job->step->node->attr;
    const tn_tensor *x = &job->step->in[0];
    const int64_t elements = tn_numel(x) / x->size[0], begin = sample * elements;
    const int64_t count = attr->per_channel ? x->size[2] : elements;
    const tn_mask mask = tn_dropout_mask(job->step, job->step->node, sample);
    for (int64_t at = begin; at < begin + elements; at += count)
        job->step->ctx->kernels->dropout(&mask, 0, count, job->from + at, job->to + at);
}

static void forward(tn_step *step)
{
    dropout_job job = {step, step->in[0].data, step->out[0].data};
    tn_parallel(step->ctx, step->in[0].size[0], dropout_task, &job);
}

/* The mask is drawn again rather than kept. */
static void backward(tn_step *step)
{
    dropout_job job = {step, step->dout[0].data, step->din[0].data};
    tn_parallel(step->ctx, step->in[0].size[0], dropout_task, &job);
}

static const tn_dropout_attr half = {0.5f, false}, tenth = {0.1f, false}, none = {0.0f, false},
                             sequence = {0.4f, true}, half_sequence = {0.5f, true};
static const tn_case cases[] = {
    {"half", {{2, 4, 23}}, &half, false},
    {"tenth of 5d", {{5, 2, 3, 2, 3, 5}}, &tenth, false},
    {"none", {{2, 3, 5}}, &none, false},
    {"one mask a sequence", {{3, 3, 5, 7}}, &sequence, false},
    {0},
};

static const tn_layer layers[] = {
    {{"dense1 of 128 clips", {{3, 128, 498, 512}}, &half, false}, false},
    {{"one mask a sequence, 128 clips", {{3, 128, 498, 512}}, &half_sequence, false}, false},
    {{0}, false},
};

const tn_op tn_op_dropout = {
    .name = "dropout",
    .role = {TN_ROLE_DATA},
    .outputs = 1,
    .attr_size = sizeof(tn_dropout_attr),
    .identity_in_inference = true,
    .cases = cases,
    .layers = layers,
    .infer = infer,
    .prepare = prepare,
    .forward = forward,
    .backward = backward,
};

tn_var *tn_dropout(tn_var *x, tn_dropout_attr attr)
{
    tn_var *in[TN_MAX_IN] = {x};
    return tn_apply(x->graph, &tn_op_dropout, in, &attr);
}
