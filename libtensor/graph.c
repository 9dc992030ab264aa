/* Graphs: vars, nodes, parameters. Builders record the first mistake in the graph and go on with the poison
 * var. */
#include "libtensor/internal.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

tn_status tn_graph_create(tn_ctx *ctx, tn_graph **out)
{
    tn_graph *graph = tn_zalloc(ctx, 1, sizeof *graph);
    *out = graph;
    if (!graph)
        return TN_NOMEM;
    graph->ctx = ctx;
    graph->poison.graph = graph;
    graph->poison.kind = TN_VAR_POISON;
    return TN_OK;
}

void tn_graph_destroy(tn_graph *graph)
{
    if (!graph)
        return;
    tn_ctx *ctx = graph->ctx;
    for (size_t i = 0; i < graph->var_count; i++) {
        tn_free(ctx, graph->vars[i]->name);
        tn_free(ctx, graph->vars[i]->own);
        tn_free(ctx, graph->vars[i]);
    }
    for (size_t i = 0; i < graph->node_count; i++) {
        tn_free(ctx, graph->nodes[i]->name);
        tn_free(ctx, graph->nodes[i]->attr);
        tn_free(ctx, graph->nodes[i]);
    }
    tn_free(ctx, graph->vars);
    tn_free(ctx, graph->nodes);
    tn_free(ctx, graph);
}

tn_ctx *tn_graph_ctx(const tn_graph *graph)
{
    return graph->ctx;
}

tn_status tn_graph_check(const tn_graph *graph)
{
    return graph->status == TN_OK ? TN_OK : tn_fail(graph->ctx, graph->status, "%s", graph->message);
}

tn_var *tn_poison(tn_graph *graph, tn_status status, const char *format, ...)
{
    if (graph->status == TN_OK) {
        va_list args;
        va_start(args, format);
        vsnprintf(graph->message, sizeof graph->message, format, args);
        va_end(args);
        graph->status = status;
    }
    return &graph->poison;
}

static tn_var *out_of_memory(tn_graph *graph)
{
    return tn_poison(graph, TN_NOMEM, "out of memory while building the graph");
}

static tn_var *new_var(tn_graph *graph, tn_var_kind kind)
{
    tn_ctx *ctx = graph->ctx;
    if (tn_grow(ctx, &graph->vars, &graph->var_capacity, graph->var_count + 1, sizeof(tn_var *)) != TN_OK)
        return NULL;
    tn_var *var = tn_zalloc(ctx, 1, sizeof *var);
    if (!var)
        return NULL;
    var->graph = graph;
    var->kind = kind;
    var->id = (int)graph->var_count;
    graph->vars[graph->var_count++] = var;
    return var;
}

static tn_var *declare(tn_graph *graph, tn_var_kind kind, const char *name, int rank, const int64_t *size)
{
    if (rank < 0 || rank > TN_MAX_RANK)
        return tn_poison(graph, TN_RANGE, "%s: rank %d is not in 0 to %d", name, rank, TN_MAX_RANK);
    for (int i = 0; i < rank; i++)
        if (size[i] < 0 && !(kind == TN_VAR_INPUT && size[i] == TN_ANY))
            return tn_poison(graph, TN_RANGE, "%s: size %lld of axis %d", name, (long long)size[i], i);
    if (!tn_size_fits(rank, size))
        return tn_poison(graph, TN_RANGE, "%s: more elements than there can be", name);
    if (tn_find(graph, name))
        return tn_poison(graph, TN_RANGE, "%s: the name is taken", name);
    tn_var *var = new_var(graph, kind);
    if (!var || !(var->name = tn_strdup(graph->ctx, name)))
        return out_of_memory(graph);
    var->rank = rank;
    memcpy(var->size, size, (size_t)rank * sizeof *size);
    var->trainable = kind != TN_VAR_INPUT;
    return var;
}

tn_var *tn_input(tn_graph *graph, const char *name, int rank, const int64_t *size)
{
    return declare(graph, TN_VAR_INPUT, name, rank, size);
}

tn_var *tn_param(tn_graph *graph, const char *name, int rank, const int64_t *size)
{
    return declare(graph, TN_VAR_PARAM, name, rank, size);
}

tn_var *tn_buffer(tn_graph *graph, const char *name, int rank, const int64_t *size)
{
    return declare(graph, TN_VAR_BUFFER, name, rank, size);
}

void tn_output(tn_var *var, const char *name)
{
    if (var->kind == TN_VAR_POISON)
        return;
    if (var->kind != TN_VAR_NODE || var->name || tn_find(var->graph, name)) {
        tn_poison(var->graph, TN_RANGE, "%s: the name is taken, or what it names has one already", name);
        return;
    }
    var->name = tn_strdup(var->graph->ctx, name);
    if (!var->name)
        out_of_memory(var->graph);
    var->output = true;
}

tn_var *tn_find(const tn_graph *graph, const char *name)
{
    for (size_t i = 0; i < graph->var_count; i++)
        if (graph->vars[i]->name && strcmp(graph->vars[i]->name, name) == 0)
            return graph->vars[i];
    return NULL;
}

const char *tn_var_name(const tn_var *var)
{
    return var->name ? var->name : "";
}

/* ---- nodes ----------------------------------------------------------------------------------------- */

/* A node is called after its parameters: "layer1.0.conv1.weight" belongs to "layer1.0.conv1". */
static char *node_name(tn_graph *graph, const tn_op *op, tn_var *const *in, int id)
{
    char text[256];
    snprintf(text, sizeof text, "%s_%d", op->name, id);
    for (int i = 0; i < TN_MAX_IN && op->role[i]; i++) {
        const char *dot = in[i] && in[i]->kind == TN_VAR_PARAM ? strrchr(in[i]->name, '.') : NULL;
        if (dot) {
            snprintf(text, sizeof text, "%.*s", (int)(dot - in[i]->name), in[i]->name);
            break;
        }
    }
    return tn_strdup(graph->ctx, text);
}

/* Weights are packed before anything is computed, so they must be parameters. A parameter is row-major, which
 * is not how an op sees activations of rank 5. */
static bool input_kind_fits(const tn_op *op, int i, const tn_var *var)
{
    const bool parameter = var->kind == TN_VAR_PARAM || var->kind == TN_VAR_BUFFER;
    const tn_role role = op->role[i];
    if (role == TN_ROLE_WEIGHT || role == TN_ROLE_MEAN || role == TN_ROLE_VARIANCE)
        return parameter;
    return !parameter || var->rank != 5;
}

/* Checks what can be checked without shapes; true when the inputs can be used. */
static bool inputs_fit(tn_graph *graph, const tn_op *op, tn_var *const *in)
{
    for (int i = 0; i < TN_MAX_IN && op->role[i]; i++) {
        if (!in[i]) {
            if (op->optional >> i & 1)
                continue;
            tn_poison(graph, TN_RANGE, "%s: input %d is missing", op->name, i);
            return false;
        }
        if (in[i]->kind == TN_VAR_POISON)
            return false;
        if (in[i]->graph != graph) {
            tn_poison(graph, TN_RANGE, "%s: input %d belongs to another graph", op->name, i);
            return false;
        }
        if (!input_kind_fits(op, i, in[i])) {
            tn_poison(graph, TN_UNSUPPORTED, "%s: input %d is %s parameter%s", op->name, i,
                      op->role[i] == TN_ROLE_DATA ? "a" : "not a",
                      op->role[i] == TN_ROLE_DATA ? " of rank 5" : "");
            return false;
        }
    }
    return true;
}

tn_var *tn_apply(tn_graph *graph, const tn_op *op, tn_var *const *in, const void *attr)
{
    tn_ctx *ctx = graph->ctx;
    if (!inputs_fit(graph, op, in))
        return &graph->poison;
    if (tn_grow(ctx, &graph->nodes, &graph->node_capacity, graph->node_count + 1, sizeof(tn_node *)) != TN_OK)
        return out_of_memory(graph);
    tn_node *node = tn_zalloc(ctx, 1, sizeof *node);
    if (!node)
        return out_of_memory(graph);
    graph->nodes[graph->node_count] = node;
    node->op = op;
    node->id = (int)graph->node_count++;
    node->name = node_name(graph, op, in, node->id);
    if (!node->name)
        return out_of_memory(graph);
    if (op->attr_size) {
        node->attr = tn_alloc(ctx, op->attr_size, 1);
        if (!node->attr)
            return out_of_memory(graph);
        memcpy(node->attr, attr, op->attr_size);
    }
    for (int i = 0; i < TN_MAX_IN && op->role[i]; i++)
        node->in[i] = in[i];
    for (int i = 0; i < op->outputs; i++) {
        node->out[i] = new_var(graph, TN_VAR_NODE);
        if (!node->out[i])
            return out_of_memory(graph);
        node->out[i]->node = node;
        node->out[i]->slot = i;
    }
    return node->out[0];
}

/* ---- parameters ------------------------------------------------------------------------------------ */

static bool is_parameter(const tn_var *var)
{
    return var->kind == TN_VAR_PARAM || var->kind == TN_VAR_BUFFER;
}

int tn_param_count(const tn_graph *graph)
{
    int n = 0;
    for (size_t i = 0; i < graph->var_count; i++)
        n += is_parameter(graph->vars[i]);
    return n;
}

tn_var *tn_param_at(const tn_graph *graph, int index)
{
    for (size_t i = 0; i < graph->var_count; i++)
        if (is_parameter(graph->vars[i]) && index-- == 0)
            return graph->vars[i];
    return NULL;
}

bool tn_is_buffer(const tn_var *var)
{
    return var->kind == TN_VAR_BUFFER;
}

int tn_var_rank(const tn_var *var)
{
    return var->rank;
}

const int64_t *tn_var_size(const tn_var *var)
{
    return var->size;
}

void tn_bind(tn_var *param, const float *data)
{
    if (!is_parameter(param))
        return;
    tn_free(param->graph->ctx, param->own);
    param->own = NULL;
    param->bound = data;
}

tn_tensor tn_value(tn_var *param)
{
    tn_tensor view = tn_view(NULL, param->rank, param->size);
    if (!is_parameter(param))
        return view;
    if (!param->own) {
        const size_t n = (size_t)tn_numel(&view);
        param->own = tn_zalloc(param->graph->ctx, n, sizeof(float));
        if (param->own && param->bound)
            memcpy(param->own, param->bound, n * sizeof(float));
    }
    view.data = param->own;
    return view;
}

const float *tn_value_const(const tn_var *param)
{
    return param->own ? param->own : param->bound;
}

int tn_set_trainable(tn_graph *graph, const char *prefix, bool trainable)
{
    const size_t length = strlen(prefix);
    int count = 0;
    for (size_t i = 0; i < graph->var_count; i++) {
        tn_var *var = graph->vars[i];
        if (var->kind == TN_VAR_NODE || !var->name) /* no name: memory ran out while it was declared */
            continue;
        const bool whole = length == 0 ? is_parameter(var) : strcmp(var->name, prefix) == 0;
        if (whole || (length && strncmp(var->name, prefix, length) == 0 && var->name[length] == '.')) {
            var->trainable = trainable;
            count++;
        }
    }
    return count;
}

bool tn_is_trainable(const tn_var *var)
{
    return var->trainable;
}
