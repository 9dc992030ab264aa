/* Learning rates over the steps of a training run. */
#include "nn/nn.h"

#include <math.h>
#include <string.h>

static const char *const names[] = {"constant", "cosine", "step"};
enum { NAMES = sizeof names / sizeof *names };

const char *nn_schedule_name(nn_schedule_kind kind)
{
    return names[kind];
}

bool nn_schedule_parse(const char *text, nn_schedule_kind *out)
{
    for (int i = 0; i < NAMES; i++)
        if (strcmp(text, names[i]) == 0) {
            *out = (nn_schedule_kind)i;
            return true;
        }
    return false;
}

double nn_schedule_rate(const nn_schedule *schedule, double epoch)
{
    const double pi = 3.14159265358979323846;
    switch (schedule->kind) {
    case NN_SCHEDULE_COSINE:
        return schedule->rate * 0.5 * (1 + cos(pi * fmin(epoch / schedule->epochs, 1)));
    case NN_SCHEDULE_STEP:
        return schedule->rate * pow(schedule->factor, floor(epoch / schedule->every));
    case NN_SCHEDULE_CONSTANT:
        break;
    }
    return schedule->rate;
}
