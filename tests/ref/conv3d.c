#include "tests/ref/ref.h"

/* One element of the result: all taps that do not fall in the padding. */
static double correlate(const ref_call *call, int64_t n, int64_t o, const int64_t at[3])
{
    const tn_conv3d_attr *attr = call->attr;
    const ref_tensor *x = &call->in[0], *weight = &call->in[1], *bias = &call->in[2];
    double sum = bias->data ? bias->data[o] : 0;
    for (int64_t c = 0; c < weight->size[1]; c++)
        for (int64_t kt = 0; kt < weight->size[2]; kt++)
            for (int64_t kh = 0; kh < weight->size[3]; kh++) {
                const int64_t t = at[0] * attr->stride[0] - attr->pad[0] + kt;
                const int64_t h = at[1] * attr->stride[1] - attr->pad[1] + kh;
                if (t < 0 || t >= x->size[2] || h < 0 || h >= x->size[3])
                    continue;
                const double *pixels = x->data + ref_at5(x, n, c, t, h, 0);
                const double *taps = weight->data + ref_at5(weight, o, c, kt, kh, 0);
                for (int64_t kw = 0; kw < weight->size[4]; kw++) {
                    const int64_t w = at[2] * attr->stride[2] - attr->pad[2] + kw;
                    if (w >= 0 && w < x->size[4])
                        sum += pixels[w] * taps[kw];
                }
            }
    return sum;
}

void ref_conv3d(ref_call *call)
{
    const tn_conv3d_attr *attr = call->attr;
    const ref_tensor *x = &call->in[0], *weight = &call->in[1];
    int64_t size[5] = {x->size[0], weight->size[0]};
    for (int i = 0; i < 3; i++)
        size[2 + i] = (x->size[2 + i] + 2 * attr->pad[i] - weight->size[2 + i]) / attr->stride[i] + 1;
    double *out = ref_output(call, 0, 5, size);
    for (int64_t n = 0; n < size[0]; n++)
        for (int64_t o = 0; o < size[1]; o++)
            for (int64_t t = 0; t < size[2]; t++)
                for (int64_t h = 0; h < size[3]; h++)
                    for (int64_t w = 0; w < size[4]; w++)
                        *out++ = correlate(call, n, o, (int64_t[]){t, h, w});
}
