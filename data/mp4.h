/* How long the pictures of an MP4 file are, by its own word. */
#ifndef DATA_MP4_H
#define DATA_MP4_H

#include <stdbool.h>
#include <stdint.h>

/* Length in seconds, num / den, of the first video track as its media header gives it (ISO/IEC 14496-12,
 * 8.4.2). False where the file is none, or says nothing that makes sense. A guess that is to be checked: edit
 * lists and what is really in the file are not looked at. */
bool data_mp4_length(const char *path, int64_t *num, int64_t *den);

#endif
