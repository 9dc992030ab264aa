/* Update steps of the optimisers. */
#include "libtensor/internal.h"

#include <math.h>

enum { GRAIN = 1 << 14 };

typedef struct adam_job {
    const tn_kernels *kernels;
    tn_adam_update update;
    float *param, *m, *v;
    const float *grad;
} adam_job;

static void adam_range(void *arg, int64_t begin, int64_t end)
{
    const adam_job *job = arg;
    job->kernels->adam(&job->update, end - begin, job->param + begin, job->grad + begin, job->m + begin,
                       job->v + begin);
}

void tn_adam_step(tn_ctx *ctx, const tn_adam *hyper, int64_t step, size_t n, float *param, const float *grad,
                  float *m, float *v)
{
    const double t = (double)step;
    adam_job job = {
        .kernels = ctx->kernels,
        .update = {.beta1 = hyper->beta1,
                   .beta2 = hyper->beta2,
                   .eps = hyper->eps,
                   .weight_decay = hyper->weight_decay,
                   .step_size = (float)((double)hyper->lr / (1 - pow((double)hyper->beta1, t))),
                   .root_correction = (float)sqrt(1 - pow((double)hyper->beta2, t))},
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
