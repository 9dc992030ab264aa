/* Why a loss is no number. */
#include "nn/internal.h"

#include <math.h>
#include <stdio.h>

/* The first parameter that is not finite. Running statistics that follow the batches are what the layer
 * before them has made of them. */
static bool blame_parameter(tn_graph *graph, char *where, size_t room)
{
    for (int i = 0; i < tn_param_count(graph); i++) {
        const tn_var *param = tn_param_at(graph, i);
        if (tn_is_buffer(param) && tn_is_trainable(param))
            continue;
        const tn_tensor shape = tn_view(NULL, tn_var_rank(param), tn_var_size(param));
        const int64_t at = nn_first_not_finite(tn_value_const(param), tn_numel(&shape));
        if (at < 0)
            continue;
        snprintf(where, room, "element %lld of %s is not", (long long)at, tn_var_name(param));
        return true;
    }
    return false;
}

/* What the network was fed: frames or sound, else the features that a head alone begins with. */
static bool blame_input(tn_graph *graph, const tn_plan *plan, char *where, size_t room)
{
    static const char *const seen[] = {"class_weights", "clip", "sequence", "features"};
    const bool whole = tn_find(graph, "clip") || tn_find(graph, "sequence");
    for (size_t i = 0; i < (whole ? 3 : 4); i++) {
        const tn_var *var = tn_find(graph, seen[i]);
        const tn_tensor t = var ? tn_plan_value(plan, var) : (tn_tensor){0};
        if (!t.data || nn_first_not_finite(t.data, tn_numel(&t)) < 0)
            continue;
        snprintf(where, room, "\"%s\" is not", seen[i]);
        return true;
    }
    return false;
}

tn_status nn_blame(tn_graph *graph, tn_plan *plan, const char *when, double loss)
{
    char where[NN_NAME + 96] = "weights, inputs and layers are";
    const bool known =
        blame_parameter(graph, where, sizeof where) || blame_input(graph, plan, where, sizeof where);
    const int step = known ? -1 : tn_plan_find_not_finite(plan);
    if (step >= 0) {
        const tn_step_info info = tn_plan_step(plan, step);
        snprintf(where, sizeof where, "what %.*s (%s) gives is not, of finite weights and inputs", NN_NAME,
                 info.name, info.op);
    }
    return tn_fail(tn_graph_ctx(graph), TN_RANGE, "%s: the loss is %g, not a finite number: %s", when,
                   isnan(loss) ? (double)NAN : loss, where); /* a NaN's sign says nothing */
}
