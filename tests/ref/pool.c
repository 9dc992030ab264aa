/* Maximum, average and global average. */
#include "tests/ref/ref.h"

#include <math.h>

/* Maximum and sum of the window at `at` of one channel; padding is no element of either. */
static void window(const ref_tensor *x, const tn_pool3d_attr *attr, const double *channel,
                   const int64_t at[3], double *largest, double *sum)
{
    *largest = -INFINITY;
    *sum = 0;
    for (int kt = 0; kt < attr->kernel[0]; kt++)
        for (int kh = 0; kh < attr->kernel[1]; kh++)
            for (int kw = 0; kw < attr->kernel[2]; kw++) {
                const int64_t t = at[0] * attr->stride[0] - attr->pad[0] + kt;
                const int64_t h = at[1] * attr->stride[1] - attr->pad[1] + kh;
                const int64_t w = at[2] * attr->stride[2] - attr->pad[2] + kw;
                if (t < 0 || t >= x->size[2] || h < 0 || h >= x->size[3] || w < 0 || w >= x->size[4])
                    continue;
                const double value = channel[(t * x->size[3] + h) * x->size[4] + w];
                *largest = fmax(*largest, value);
                *sum += value;
            }
}

static void pool(ref_call *call, bool average)
{
    const tn_pool3d_attr *attr = call->attr;
    const ref_tensor *x = &call->in[0];
    int64_t size[5] = {x->size[0], x->size[1]};
    for (int i = 0; i < 3; i++)
        size[2 + i] = (x->size[2 + i] + 2 * attr->pad[i] - attr->kernel[i]) / attr->stride[i] + 1;
    const double elements = (double)attr->kernel[0] * attr->kernel[1] * attr->kernel[2];
    double *out = ref_output(call, 0, 5, size);
    for (int64_t channel = 0; channel < size[0] * size[1]; channel++)
        for (int64_t t = 0; t < size[2]; t++)
            for (int64_t h = 0; h < size[3]; h++)
                for (int64_t w = 0; w < size[4]; w++) {
                    double largest, sum;
                    window(x, attr, x->data + channel * ref_count(x, 2, 5), (int64_t[]){t, h, w}, &largest,
                           &sum);
                    *out++ = average ? sum / elements : largest;
                }
}

void ref_max_pool3d(ref_call *call)
{
    pool(call, false);
}

void ref_avg_pool3d(ref_call *call)
{
    pool(call, true);
}

void ref_global_avg_pool(ref_call *call)
{
    const ref_tensor *x = &call->in[0];
    const int64_t elements = ref_count(x, 2, 5);
    double *out = ref_output(call, 0, 2, x->size);
    for (int64_t channel = 0; channel < x->size[0] * x->size[1]; channel++) {
        double sum = 0;
        for (int64_t i = 0; i < elements; i++)
            sum += x->data[channel * elements + i];
        out[channel] = sum / (double)elements;
    }
}
