/* Drawing values, asking the oracle, differentiating it. */
#include "tests/ref/problem.h"
#include "tests/common/testing.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* An input of more elements is probed at few of them: the oracle takes too long. */
enum { LARGE = 4096 };

/* Random directions in which a large input's gradient is tried as a whole. */
enum { DIRECTIONS = 2 };

static const double epsilon = 1e-6;

tn_role problem_role(const problem *p, int i)
{
    return p->in[i].data ? p->oracle->op->role[i] : TN_ROLE_NONE;
}

bool problem_differentiable(const problem *p, int i)
{
    return problem_role(p, i) == TN_ROLE_DATA || problem_role(p, i) == TN_ROLE_WEIGHT;
}

bool problem_is_statistic(const problem *p, int i)
{
    return problem_role(p, i) == TN_ROLE_MEAN || problem_role(p, i) == TN_ROLE_VARIANCE;
}

/* ---- values ---------------------------------------------------------------------------------------- */

static double uniform(const problem *p, int stream, int64_t i, double low, double high)
{
    const uint64_t seed = tn_hash(p->c->label) + (uint64_t)p->draw;
    return low + (high - low) * ref_uniform(seed, (uint64_t)stream, (uint64_t)i);
}

/* Some rows' labels are out of range; in draw 1 of a single row all are. */
static double label(const problem *p, double u, int64_t row)
{
    const double classes = (double)p->in[0].size[p->in[0].rank - 1];
    const double outside[] = {-1, classes, -100, classes + 7};
    if (p->in[0].size[0] == 1 ? p->draw == 1 : row % 3 == 1)
        return outside[row % 4];
    return floor(u * classes);
}

/* Draw 0: every length from 0 to all steps. Draw 1: also some outside of that. */
static double length(const problem *p, double u, int64_t row)
{
    const double steps = (double)p->in[0].size[1];
    const double within[] = {steps, 0, 1}, outside[] = {steps + 3, 0, -2};
    if (p->in[0].size[0] == 1)
        return p->draw == 0 ? fmax(1, steps - 1) : steps + 3;
    return row < 3 ? (p->draw == 0 ? within : outside)[row] : floor(u * (steps + 1));
}

/* Draw 0 is around zero, draw 1 wide and lopsided. */
static double draw(const problem *p, int i, int64_t element)
{
    switch (p->oracle->op->role[i]) {
    case TN_ROLE_DATA:
        return p->draw == 0 ? uniform(p, i, element, -1, 1) : uniform(p, i, element, -8, 4);
    case TN_ROLE_VARIANCE:
        return uniform(p, i, element, 0.25, 2);
    case TN_ROLE_POSITIVE:
        return p->draw == 1 && element == 1 ? 0 : uniform(p, i, element, 0.25, 2);
    case TN_ROLE_LABEL:
        return label(p, uniform(p, i, element, 0, 1), element);
    case TN_ROLE_LENGTH:
        return length(p, uniform(p, i, element, 0, 1), element);
    default:
        return uniform(p, i, element, -1, 1);
    }
}

static void *allocate(int64_t count, size_t size)
{
    void *block = calloc((size_t)count + 1, size);
    assert_non_null(block);
    return block;
}

tn_tensor problem_new_tensor(int rank, const int64_t *size)
{
    tn_tensor t = tn_view(NULL, rank, size);
    t.data = allocate(tn_numel(&t), sizeof *t.data);
    return t;
}

/* ---- what the oracle says -------------------------------------------------------------------------- */

static void widen(ref_tensor *to, const tn_tensor *from)
{
    for (int64_t i = 0; i < ref_numel(to); i++)
        to->data[i] = (double)from->data[i];
}

static void call_oracle(const problem *p, ref_call *call)
{
    for (int i = 0; i < TN_MAX_IN; i++)
        if (problem_is_statistic(p, i))
            widen(&call->in[i], &p->in[i]); /* the last call changed them */
    p->oracle->ref(call);
}

static void prepare_call(const problem *p, ref_call *call, bool training)
{
    *call = (ref_call){.attr = p->c->attr,
                       .training = training,
                       .frozen = p->c->frozen,
                       .seed = PROBLEM_SEED,
                       .run = PROBLEM_RUN,
                       .first_sample = PROBLEM_FIRST_SAMPLE,
                       .node = PROBLEM_NODE};
    for (int i = 0; i < TN_MAX_IN; i++) {
        if (!p->in[i].data)
            continue;
        ref_tensor *in = &call->in[i];
        in->rank = p->in[i].rank;
        memcpy(in->size, p->in[i].size, sizeof in->size);
        in->data = allocate(ref_numel(in), sizeof *in->data);
        widen(in, &p->in[i]);
    }
    call_oracle(p, call);
}

bool problem_takes_part(const problem *p, int loss, int output)
{
    return loss == output || loss == p->oracle->op->outputs;
}

static double loss_of(const problem *p, ref_call *call, int loss)
{
    double sum = 0;
    call_oracle(p, call);
    for (int o = 0; o < p->oracle->op->outputs; o++)
        for (int64_t i = 0; problem_takes_part(p, loss, o) && i < ref_numel(&call->out[o]); i++)
            sum += (double)p->cotangent[o].data[i] * call->out[o].data[i];
    return sum;
}

/* The step along a probe's line at one element: 1 at the probe's own, or +-1/sqrt(n) everywhere. */
static double along(const problem *p, const probe *at, int64_t element)
{
    if (at->element >= 0)
        return element == at->element ? 1 : 0;
    const double length = 1 / sqrt((double)tn_numel(&p->in[at->input]));
    return uniform(p, 100 + (int)-at->element, element, -1, 1) < 0 ? -length : length;
}

static void move(const problem *p, ref_tensor *to, const probe *at, double distance)
{
    const float *from = p->in[at->input].data;
    if (at->element >= 0) {
        to->data[at->element] = (double)from[at->element] + distance;
        return;
    }
    for (int64_t i = 0; i < ref_numel(to); i++)
        to->data[i] = (double)from[i] + distance * along(p, at, i);
}

double problem_project(const problem *p, const probe *at, const tn_tensor *grad)
{
    double sum = 0;
    if (at->element >= 0)
        return (double)grad->data[at->element];
    for (int64_t i = 0; i < tn_numel(grad); i++)
        sum += along(p, at, i) * (double)grad->data[i];
    return sum;
}

static double central_difference(const problem *p, ref_call *call, int loss, const probe *at)
{
    ref_tensor *x = &call->in[at->input];
    double value[2];
    for (int side = 0; side < 2; side++) {
        move(p, x, at, side ? epsilon : -epsilon);
        value[side] = loss_of(p, call, loss);
    }
    move(p, x, at, 0);
    return (value[1] - value[0]) / (2 * epsilon);
}

static void place_probes(problem *p, int loss)
{
    const bool few = p->draw > 0 || test_quick();
    const int all = few ? 40 : 200;
    probe *list = allocate(TN_MAX_IN * (all + DIRECTIONS) + 1, sizeof *list);
    p->probes[loss] = list;
    for (int i = 0; i < TN_MAX_IN; i++) {
        if (!problem_differentiable(p, i))
            continue;
        const int64_t n = tn_numel(&p->in[i]), some = n > LARGE ? 4 : all / 2;
        for (int64_t k = 0; k < (n <= all ? n : some); k++) {
            const int64_t random = (int64_t)(uniform(p, 50 + i, k, 0, 1) * (double)n);
            *list++ = (probe){i, n <= all ? k : random, 0};
        }
        for (int d = 0; n > all && d < DIRECTIONS; d++)
            *list++ = (probe){i, -1 - d, 0};
    }
    list->input = -1;
    for (list = p->probes[loss]; list->input >= 0; list++)
        list->want = central_difference(p, &p->want[TN_TRAINING], loss, list);
}

void problem_set_up(problem *p, const oracle *of, const tn_case *c, int draw_index)
{
    *p = (problem){.oracle = of, .c = c, .draw = draw_index};
    for (int i = 0; i < TN_MAX_IN; i++) {
        if (c->in[i][0] == 0)
            continue;
        p->in[i] = problem_new_tensor((int)c->in[i][0], c->in[i] + 1);
        for (int64_t e = 0; e < tn_numel(&p->in[i]); e++)
            p->in[i].data[e] = (float)draw(p, i, e);
    }
    for (int mode = 0; mode < 2; mode++)
        prepare_call(p, &p->want[mode], mode == TN_TRAINING);
    for (int o = 0; o < of->op->outputs; o++) {
        const ref_tensor *out = &p->want[TN_TRAINING].out[o];
        p->cotangent[o] = problem_new_tensor(out->rank, out->size);
        for (int64_t e = 0; e < ref_numel(out); e++)
            p->cotangent[o].data[e] = (float)uniform(p, 20 + o, e, -1, 1);
    }
    p->losses = of->op->outputs == 1 ? 1 : of->op->outputs + 1;
    for (int loss = 0; loss < p->losses; loss++)
        place_probes(p, loss);
    call_oracle(p, &p->want[TN_TRAINING]); /* the probes moved its inputs */
}

void problem_tear_down(problem *p)
{
    for (int i = 0; i < TN_MAX_IN; i++) {
        free(p->in[i].data);
        for (int mode = 0; mode < 2; mode++)
            free(p->want[mode].in[i].data);
    }
    for (int o = 0; o < TN_MAX_OUT; o++)
        free(p->cotangent[o].data);
    for (int mode = 0; mode < 2; mode++)
        ref_free(&p->want[mode]);
    for (int loss = 0; loss < p->losses; loss++)
        free(p->probes[loss]);
}
