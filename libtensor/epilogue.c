/* What an inference plan puts behind a packed product: batch norm folded into it, a residual added, ReLU. */
#include "libtensor/internal.h"

#include <math.h>

bool tn_absorb_epilogue(tn_step *step, const tn_node *next, int slot)
{
    tn_epilogue *e = &step->epilogue;
    if (e->relu || step->training)
        return false;
    if (next->op == &tn_op_batch_norm && slot == 0 && !e->batch_norm && !e->add)
        e->batch_norm = next;
    else if (next->op == &tn_op_add && !e->add)
        e->add = true;
    else if (next->op == &tn_op_relu)
        e->relu = true;
    else
        return false;
    return true;
}

/* Ioffe and Szegedy 2015, section 3.1: with fixed statistics batch norm is y = scale * x + shift. */
void tn_fold_epilogue(const tn_step *step, int64_t n, const float *bias, float *scale, float *shift)
{
    const tn_node *bn = step->epilogue.batch_norm;
    for (int64_t j = 0; j < n; j++) {
        scale[j] = 1.0f;
        shift[j] = bias ? bias[j] : 0.0f;
    }
    if (!bn)
        return;
    const tn_batch_norm_attr *attr = bn->attr;
    const float *weight = tn_value_const(bn->in[1]), *beta = tn_value_const(bn->in[2]);
    const float *mean = tn_value_const(bn->in[3]), *variance = tn_value_const(bn->in[4]);
    for (int64_t j = 0; j < n; j++) {
        const double s = (double)weight[j] / sqrt((double)variance[j] + (double)attr->eps);
        scale[j] = (float)s;
        shift[j] = (float)((double)beta[j] + ((double)shift[j] - (double)mean[j]) * s);
    }
}
