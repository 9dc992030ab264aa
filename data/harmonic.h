/* The two features on request. Private to data. */
#ifndef DATA_HARMONIC_H
#define DATA_HARMONIC_H

#include "data/lanes.h"

/* Harmonic ratio and pitch (Hz) of a window x of e->length samples to row[0] and row[1]. `work` has room for
 * 2 * e->length. */
void data_harmonic(const data_extractor *e, const double *x, double *work, double *row);

#endif
