/* What the LSTM's forward and backward share. */
#ifndef TN_OPS_LSTM_H
#define TN_OPS_LSTM_H

#include "libtensor/internal.h"

/* Inputs: x, lengths, then four weights per direction. */
enum { LSTM_X, LSTM_LENGTHS, LSTM_WEIGHTS };
enum { LSTM_W_IH, LSTM_W_HH, LSTM_B_IH, LSTM_B_HH };

enum { LSTM_ROWS = 16 }; /* rows of the batch in a task */

typedef struct lstm_shape {
    int64_t n, t, i, h; /* batch, steps, input features, cells */
    int64_t directions; /* 1 or 2 */
    int64_t cell_steps; /* steps whose cell states are kept: all for training, else 1 */
} lstm_shape;

lstm_shape lstm_get_shape(const tn_step *step);

/* Where row n at step t begins: gates [4 h] and cell [h] of direction d in the saved memory, output [h] in y
 * or dy. */
float *lstm_gates(const tn_step *step, const lstm_shape *s, int64_t d, int64_t n, int64_t t);
float *lstm_cell(const tn_step *step, const lstm_shape *s, int64_t d, int64_t n, int64_t t);
float *lstm_output(const lstm_shape *s, float *y, int64_t d, int64_t n, int64_t t);

void lstm_prepare_backward(tn_step *step, const lstm_shape *s);
void lstm_backward(tn_step *step);

#endif
