/* What a plan is made of; shared by the files that make, lay out and run it. */
#ifndef TN_PLAN_H
#define TN_PLAN_H

#include "libtensor/internal.h"

/* A stretch of the slab and when it is in use. Forward of step i is time i, its backward 2n - 1 - i. */
typedef struct plan_buffer {
    size_t bytes;        /* asked for */
    int first, last;     /* times, both inclusive */
    size_t offset;       /* in the slab, set by plan_lay_out() */
    int step;            /* whose it is, for messages; -1: an input's */
    const char *purpose; /* "output", "scratch"... */
} plan_buffer;

/* One var of the graph as this plan sees it. */
typedef struct plan_value {
    tn_tensor value;   /* sizes and strides; data once laid out */
    tn_tensor grad;    /* same for the gradient */
    tn_var *alias;     /* the var whose value this one's is (dropout in inference), or NULL */
    bool needed;       /* the plan computes or reads it */
    bool missing;      /* it depends on an input that was given no shape */
    bool needs_grad;   /* something trainable lies before it */
    bool reaches_loss; /* the loss depends on it */
    int producer;      /* step index, -1 for inputs and parameters */
    int last_use;      /* time of the last reading */
    int buffer;        /* index, -1 for none */
    int grad_buffer;   /* index, -1 for none */
} plan_value;

/* A step and its places in the slab. */
typedef struct plan_step {
    tn_step step;            /* what the op sees */
    tn_var *in[TN_MAX_IN];   /* aliases resolved */
    tn_var *out[TN_MAX_OUT]; /* after fusing: of the last node taken in */
    bool removed;            /* fused into another */
    bool backward;           /* takes part in backward */
    int saved;               /* buffer indices, -1 for none */
    int scratch[2];          /* forward, backward */
    int thread_scratch[2];   /* forward, backward */
    int partial[TN_MAX_IN];  /* where din goes that is not its var's first contribution */
} plan_step;

struct tn_plan {
    tn_graph *graph;             /* borrowed */
    tn_ctx *ctx;                 /* the graph's */
    bool training;               /* mode */
    bool debug;                  /* NaN before, canaries around */
    tn_precision precision;      /* of weights and of what lies between steps that can */
    tn_var *loss;                /* training: what is differentiated */
    void (*packed_hook)(void *); /* tn_plan_options.packed */
    void *packed_arg;            /* its argument */
    plan_value *values;          /* one for each var of the graph, by id */
    size_t value_count;          /* the graph may grow later */
    plan_step **steps;           /* in order */
    int step_count;
    plan_buffer *buffers; /* all of the slab */
    size_t buffer_count, buffer_capacity;
    char *slab; /* one allocation */
    size_t slab_bytes;
    char *packed; /* packed weights of all steps */
    size_t packed_bytes;
};

/* plan_build.c: steps, shapes, fusing, gradients wanted. */
tn_status plan_build(tn_plan *plan, const tn_input_shape *shapes, int shape_count);

/* plan_memory.c: buffers, their places, pointers. */
tn_status plan_lay_out(tn_plan *plan);

static inline plan_value *plan_at(const tn_plan *plan, const tn_var *var)
{
    return &plan->values[var->id];
}

/* Follows aliases. */
static inline tn_var *plan_resolve(const tn_plan *plan, tn_var *var)
{
    while (plan_at(plan, var)->alias)
        var = plan_at(plan, var)->alias;
    return var;
}

static inline bool plan_is_parameter(const tn_var *var)
{
    return var->kind == TN_VAR_PARAM || var->kind == TN_VAR_BUFFER;
}

static inline bool plan_differentiable(tn_role role)
{
    return role == TN_ROLE_DATA || role == TN_ROLE_WEIGHT;
}

/* Bytes of a tensor's elements. */
static inline size_t plan_bytes(const tn_tensor *t)
{
    return (size_t)tn_numel(t) * tn_element_bytes(t);
}

#endif
