#include "apps/common/bench_network.h"

#include "apps/common/report.h"

void bench_network_close(bench_network *n)
{
    tn_plan_destroy(n->plan);
    nn_optimizer_destroy(n->optimizer);
    tn_graph_destroy(n->graph);
}

tn_status bench_network_answer(void *arg)
{
    const bench_network *n = arg;
    tn_plan_forward(n->plan);
    return TN_OK;
}

tn_status bench_network_train(void *arg)
{
    bench_network *n = arg;
    double loss;
    n->step++;
    tn_plan_seed(n->plan, 1, (uint64_t)n->step, 0);
    return nn_train_step(n->graph, n->plan, n->loss, n->optimizer, n->rate, n->step, &loss);
}

tn_status bench_network_profile(const char *title, const bench_network *n)
{
    if (!n->loss) {
        report_profile(title, n->plan);
        return TN_OK;
    }
    tn_ctx *ctx = tn_graph_ctx(n->graph);
    const int count = tn_plan_get_info(n->plan).steps;
    tn_step_info *step = tn_alloc(ctx, (size_t)count, sizeof *step);
    if (!step)
        return TN_NOMEM;
    for (int i = 0; i < count; i++)
        step[i] = tn_plan_step(n->plan, i);
    report_training(title, step, count);
    tn_free(ctx, step);
    return TN_OK;
}
