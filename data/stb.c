/* stb_image and stb_image_write, compiled here and nowhere else. */
#include "data/stb.h"

#include <limits.h>
#include <setjmp.h>
#include <string.h>

/* stb_image's allocations carry no argument, so the heap in use is known by thread. */
typedef struct stb_block {
    struct stb_block *next; /* of the heap */
    struct stb_block *prev; /* NULL in the first */
    size_t bytes;           /* behind this header */
} stb_block;

typedef struct stb_heap {
    tn_ctx *ctx;      /* where the memory comes from */
    stb_block *first; /* all blocks in use */
    size_t left;      /* of the budget */
    bool refused;     /* something asked for more than that */
    bool starved;     /* the context had no memory */
    jmp_buf *escape;  /* where to go when there is no memory; NULL: return NULL */
} stb_heap;

enum { STB_HEADER = 64 };
_Static_assert(sizeof(stb_block) <= STB_HEADER, "a block's header keeps the alignment");

static _Thread_local stb_heap *stb_current;

static void *heap_alloc(size_t bytes)
{
    stb_heap *heap = stb_current;
    stb_block *block = NULL;
    size_t padded;
    if (!heap || bytes > heap->left) {
        if (heap)
            heap->refused = true;
    } else if (tn_add_size(bytes, STB_HEADER, &padded)) {
        /* Cleared, because stb_image shows what a damaged file does not define. */
        block = tn_zalloc(heap->ctx, padded, 1);
        heap->starved = heap->starved || !block;
    }
    if (!block) {
        if (heap && heap->escape)
            longjmp(*heap->escape, 1);
        return NULL;
    }
    block->bytes = bytes;
    block->next = heap->first;
    if (heap->first)
        heap->first->prev = block;
    heap->first = block;
    heap->left -= bytes;
    return (char *)block + STB_HEADER;
}

static void heap_free(void *memory)
{
    if (!memory)
        return;
    stb_heap *heap = stb_current;
    stb_block *block = (stb_block *)((char *)memory - STB_HEADER);
    if (block->next)
        block->next->prev = block->prev;
    if (block->prev)
        block->prev->next = block->next;
    else
        heap->first = block->next;
    heap->left += block->bytes;
    tn_free(heap->ctx, block);
}

static void *heap_realloc(void *memory, size_t bytes)
{
    void *bigger = heap_alloc(bytes);
    if (bigger && memory) {
        size_t old = ((stb_block *)((char *)memory - STB_HEADER))->bytes;
        memcpy(bigger, memory, old < bytes ? old : bytes);
        heap_free(memory);
    }
    return bigger;
}

static void heap_begin(stb_heap *heap, tn_ctx *ctx, size_t budget)
{
    *heap = (stb_heap){.ctx = ctx, .left = budget};
    stb_current = heap;
}

static void heap_end(stb_heap *heap)
{
    while (heap->first)
        heap_free((char *)heap->first + STB_HEADER);
    stb_current = NULL;
}

#define STBI_ONLY_JPEG
#define STBI_ONLY_PNG
#define STBI_NO_STDIO
#define STBI_NO_LINEAR
#define STBI_NO_HDR
#define STBI_MALLOC(bytes) heap_alloc(bytes)
#define STBI_REALLOC(memory, bytes) heap_realloc(memory, bytes)
#define STBI_FREE(memory) heap_free(memory)
/* A library does not abort, and a file may break what stb_image asserts. */
#define STBI_ASSERT(x) ((void)0)
#define STB_IMAGE_STATIC
#define STB_IMAGE_IMPLEMENTATION
#define STBI_WRITE_NO_STDIO
#define STBIW_MALLOC(bytes) heap_alloc(bytes)
#define STBIW_REALLOC(memory, bytes) heap_realloc(memory, bytes)
#define STBIW_FREE(memory) heap_free(memory)
#define STBIW_ASSERT(x) ((void)0)
#define STB_IMAGE_WRITE_STATIC
#define STB_IMAGE_WRITE_IMPLEMENTATION
/* Reported at the end of the file, so this stays on. */
#pragma GCC diagnostic ignored "-Wunused-function"
#include <stb/stb_image.h>
#include <stb/stb_image_write.h>

/* What the result of `memory` is copied to, for the caller to tn_free(). */
static unsigned char *take(tn_ctx *ctx, const void *memory, size_t count)
{
    unsigned char *copy = tn_alloc(ctx, count, 1);
    if (copy)
        memcpy(copy, memory, count);
    return copy;
}

/* Why stb_image gave nothing. */
static tn_status failure(const stb_heap *heap, const char **reason)
{
    *reason = stbi_failure_reason();
    return heap->refused ? TN_RANGE : heap->starved ? TN_NOMEM : TN_FORMAT;
}

tn_status data_stb_decode(tn_ctx *ctx, const unsigned char *bytes, size_t count, int width, int height,
                          size_t budget, unsigned char **rgb, const char **reason)
{
    *rgb = NULL;
    *reason = "too large";
    if (count > INT_MAX)
        return TN_RANGE;
    stb_heap heap;
    heap_begin(&heap, ctx, budget);
    tn_status status = TN_OK;
    int w = 0, h = 0, channels = 0;
    unsigned char *decoded = NULL;
    if (!stbi_info_from_memory(bytes, (int)count, &w, &h, &channels)) {
        status = failure(&heap, reason);
    } else if (w != width || h != height) {
        *reason = "the decoder reads another size";
        status = TN_FORMAT;
    } else if (!(decoded = stbi_load_from_memory(bytes, (int)count, &w, &h, &channels, 3))) {
        status = failure(&heap, reason);
    } else if (!(*rgb = take(ctx, decoded, (size_t)width * (size_t)height * 3))) {
        status = TN_NOMEM;
    }
    /* Without memory for one format stb_image may have tried the next; the context holds an error by then. */
    if (status == TN_OK && heap.starved) {
        tn_free(ctx, *rgb);
        *rgb = NULL;
        status = TN_NOMEM;
    }
    heap_end(&heap);
    return status;
}

/* Out of line, so that nothing of it lives in the frame that setjmp() returns to twice. */
__attribute__((noinline)) static void encode(stb_heap *heap, const unsigned char *rgb, int width, int height,
                                             unsigned char **bytes, size_t *count)
{
    int length = 0;
    unsigned char *png = stbi_write_png_to_mem(rgb, width * 3, width, height, 3, &length);
    heap->escape = NULL;
    if (png && (*bytes = take(heap->ctx, png, (size_t)length)))
        *count = (size_t)length;
}

tn_status data_stb_encode(tn_ctx *ctx, const unsigned char *rgb, int width, int height, unsigned char **bytes,
                          size_t *count)
{
    *bytes = NULL;
    *count = 0;
    stb_heap heap;
    jmp_buf escape;
    heap_begin(&heap, ctx, SIZE_MAX);
    /* stb_image_write goes on after a growth that failed, so it is not allowed to come back from one. */
    heap.escape = &escape;
    if (setjmp(escape) == 0)
        encode(&heap, rgb, width, height, bytes, count);
    heap_end(&heap);
    return *bytes ? TN_OK : tn_fail(ctx, TN_NOMEM, "out of memory writing a picture");
}
