#include "apps/common/bench_network.h"

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
