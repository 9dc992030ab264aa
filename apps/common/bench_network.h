/* bench_network: a network that is timed, answering or learning. */
#ifndef APPS_COMMON_BENCH_NETWORK_H
#define APPS_COMMON_BENCH_NETWORK_H

#include "nn/nn.h"

typedef struct bench_network {
    tn_graph *graph;         /* owned */
    nn_network vars;         /* of the graph */
    tn_var *loss;            /* training, else NULL */
    nn_optimizer *optimizer; /* same; owned */
    tn_plan *plan;           /* owned */
    double rate;             /* training: learning rate */
    int64_t step;            /* training steps done */
} bench_network;

void bench_network_close(bench_network *n);

/* One run for bench_time(), `arg` being a bench_network: an answer, or a step of training, in which weights
 * are packed, the loss computed and differentiated, and every parameter updated. */
tn_status bench_network_answer(void *arg);
tn_status bench_network_train(void *arg);

/* Prints on stderr where the time of its runs went, layer by layer, and for training that of backward too.
 * TN_NOMEM. */
tn_status bench_network_profile(const char *title, const bench_network *n);

#endif
