/* Update steps of the optimisers. */
#include "libtensor/internal.h"

#include <math.h>

enum { GRAIN = 1 << 14 };

typedef struct adam_job {
    const tn_adam *hyper;
    float step_size, root_correction; /* lr / (1 - beta1^t), sqrt(1 - beta2^t) */
    float *param, *m, *v;
    const float *grad;
} adam_job;

static void adam_range(void *arg, int64_t begin, int64_t end)
{
    const adam_job *job = arg;
    const tn_adam *h = job->hyper;
    for (int64_t i = begin; i < end; i++) {
        const float g = job->grad[i] + h->weight_decay * job->param[i];
        job->m[i] += (1.0f - h->beta1) * (g - job->m[i]);
        job->v[i] = h->beta2 * job->v[i] + (1.0f - h->beta2) * g * g;
        job->param[i] -= job->step_size * job->m[i] / (sqrtf(job->v[i]) / job->root_correction + h->eps);
    }
}

void tn_adam_step(tn_ctx *ctx, const tn_adam *hyper, int64_t step, size_t n, float *param, const float *grad,
                  float *m, float *v)
{
    const double t = (double)step;
    adam_job job = {
        .hyper = hyper,
        .step_size = (float)((double)hyper->lr / (1 - pow((double)hyper->beta1, t))),
        .root_correction = (float)sqrt(1 - pow((double)hyper->beta2, t)),
        .param = param,
        .m = m,
        .v = v,
        .grad = grad,
    };
    tn_parallel_ranges(ctx, (int64_t)n, GRAIN, adam_range, &job);
}

typedef struct sgd_job {
    const tn_sgd *hyper;
    bool first; /* step 1: the buffer holds nothing yet */
    float *param, *buf;
    const float *grad;
} sgd_job;

static void sgd_range(void *arg, int64_t begin, int64_t end)
{
    const sgd_job *job = arg;
    const tn_sgd *h = job->hyper;
    for (int64_t i = begin; i < end; i++) {
        const float g = job->grad[i] + h->weight_decay * job->param[i];
        job->buf[i] = job->first ? g : h->momentum * job->buf[i] + g;
        job->param[i] -= h->lr * (h->nesterov ? g + h->momentum * job->buf[i] : job->buf[i]);
    }
}

void tn_sgd_step(tn_ctx *ctx, const tn_sgd *hyper, int64_t step, size_t n, float *param, const float *grad,
                 float *buf)
{
    sgd_job job = {hyper, step <= 1, param, buf, grad};
    tn_parallel_ranges(ctx, (int64_t)n, GRAIN, sgd_range, &job);
}
