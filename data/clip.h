/* What folders and video files share in making clips. */
#ifndef DATA_CLIP_H
#define DATA_CLIP_H

#include "data/data.h"

/* Checks the sizes (TN_RANGE) and makes room for the frames. */
tn_status data_clip_make(tn_ctx *ctx, const char *name, int frames, int height, int width, data_clip *out);

/* Frame i. */
unsigned char *data_clip_frame(const data_clip *clip, int i);

/* Resizes a picture into frame i. */
tn_status data_clip_put(tn_ctx *ctx, const data_image *image, data_clip *clip, int i);

#endif
