/* Gradients of weights: C = A^T B over very many rows, several such products at once.
 *
 * Rows go by in ranges. A range of every factor is packed once, whatever the number of products that it is
 * in, and stays in the third-level cache while tasks, each a block of some C, add it; beside them the next
 * range is packed into the other of two buffers. Sums of columns are made of rows that the packing has just
 * read. Ranges follow each other, and within one every block of C is one task's, so that no result depends on
 * threads.
 */
#include "libtensor/internal.h"

#include <string.h>

enum {
    BLOCK_K = 320, /* rows that one call of the micro-kernel adds: a panel of B fits the first cache */
    CHUNK = 64,    /* rows that a task packs; BLOCK_K is a multiple */
    BLOCK_M = 144, /* about the rows and columns of C in a task: with both packs of BLOCK_K rows */
    BLOCK_N = 256, /* they fit the second cache */
    RANGE_FLOATS = 1 << 20, /* of a packed range, about */
    MOST_BLOCKS = 8,        /* of BLOCK_K rows in a range */
    SPARE = 16              /* floats between panels, which else would meet in one set of the first cache */
};

/* Where a factor lies in a block of a buffer, and how it is packed. */
typedef struct place {
    int64_t offset; /* floats from the block's beginning */
    int64_t stride; /* from panel to panel */
    int64_t panels; /* how many */
} place;

typedef struct layout {
    place left[TN_GRADIENT_FACTORS], right[TN_GRADIENT_FACTORS]; /* of each factor */
    int64_t block_floats;                                        /* of BLOCK_K rows of all factors */
    int64_t blocks;                                              /* of a range */
    int64_t sums;                                                /* columns of all left factors */
    bool direct; /* factors are read where they are: nothing would be read twice */
} layout;

static place place_of(int64_t width, int panel, int pitch, int64_t *floats)
{
    const place p = {*floats, BLOCK_K * pitch + SPARE, tn_ceil_div(width, panel)};
    *floats += p.panels * p.stride;
    return p;
}

/* One product whose left side is a single panel meets each element of the right one once. */
static bool is_direct(const tn_kernels *kernels, const tn_gradients *g)
{
    const tn_factor *right = &g->right[0];
    return g->products == 1 && g->left[0].width <= kernels->mr && right->width % kernels->nr == 0 &&
           right->shift == 0;
}

static layout lay_out(const tn_kernels *kernels, const tn_gradients *g)
{
    layout l = {.direct = is_direct(kernels, g)};
    for (int i = 0; i < g->lefts; i++) {
        l.left[i] = place_of(g->left[i].width, kernels->mr, kernels->a_pitch, &l.block_floats);
        l.sums += g->left[i].width;
    }
    for (int i = 0; i < g->rights; i++)
        l.right[i] = place_of(g->right[i].width, kernels->nr, kernels->nr, &l.block_floats);
    l.blocks = tn_max(1, tn_min(MOST_BLOCKS, RANGE_FLOATS / tn_max(1, l.block_floats)));
    l.blocks = tn_min(l.blocks, tn_max(1, tn_ceil_div(g->rows, BLOCK_K)));
    return l;
}

static size_t sums_doubles(const layout *l)
{
    return (size_t)(l->blocks * (BLOCK_K / CHUNK) * l->sums);
}

size_t tn_gradients_bytes(const tn_kernels *kernels, const tn_gradients *g)
{
    const layout l = lay_out(kernels, g);
    return sums_doubles(&l) * sizeof(double) + (size_t)(2 * l.blocks * l.block_floats) * sizeof(float);
}

typedef struct job {
    const tn_kernels *kernels; /* of the context */
    const tn_gradients *g;     /* what is to be done */
    layout l;                  /* of its packed factors */
    double *sums;              /* a row for each chunk of a range */
    float *buffer;             /* of the even ranges; that of the odd ones is behind it */
    int64_t range;             /* that is added; the next one is packed */
    int64_t adding;            /* tasks of this range */
    int64_t packing;           /* chunks of the next one */
} job;

static int64_t range_rows(const job *j)
{
    return j->l.blocks * BLOCK_K;
}

static float *buffer_of(const job *j, int64_t range)
{
    return j->buffer + range % 2 * j->l.blocks * j->l.block_floats;
}

/* ---- packing --------------------------------------------------------------------------------------- */

static void add_rows(const tn_factor *f, int64_t begin, int64_t end, double *sum)
{
    for (int64_t row = begin; row < end; row++)
        for (int64_t i = 0; i < f->width; i++)
            sum[i] += (double)f->x[row * f->ld + i];
}

/* Rows [begin, end) of a right factor, shifted within their sequences, to row `at` of a block. */
static void pack_shifted(const job *j, const tn_factor *f, const place *p, int64_t begin, int64_t end,
                         float *out)
{
    const int nr = j->kernels->nr;
    for (int64_t row = begin; row < end;) {
        const int64_t step = row % f->sequence, from = step + f->shift;
        float *to = out + (row - begin) * nr;
        if (from < 0 || from >= f->sequence) {
            for (int64_t q = 0; q < p->panels; q++)
                memset(to + q * p->stride, 0, (size_t)nr * sizeof *to);
            row++;
            continue;
        }
        const int64_t count = tn_min(end - row, f->sequence - tn_max(step, from));
        j->kernels->pack_b(count, f->width, f->x + (row + f->shift) * f->ld, f->ld, p->stride, to);
        row += count;
    }
}

/* Chunk `chunk` of the next range, all factors. */
static void pack_chunk(const job *j, int64_t chunk)
{
    const tn_gradients *g = j->g;
    const int64_t begin = (j->range + 1) * range_rows(j) + chunk * CHUNK;
    const int64_t end = tn_min(begin + CHUNK, g->rows), at = chunk * CHUNK % BLOCK_K;
    float *block = buffer_of(j, j->range + 1) + chunk * CHUNK / BLOCK_K * j->l.block_floats;
    double *sum = j->sums + chunk * j->l.sums;
    const bool packs = g->products > 0 && !j->l.direct;
    for (int i = 0; i < g->lefts; i++) {
        const tn_factor *f = &g->left[i];
        if (packs)
            j->kernels->pack_a(end - begin, f->width, f->x + begin * f->ld, f->ld, j->l.left[i].stride,
                               block + j->l.left[i].offset + at * j->kernels->a_pitch);
        if (f->sums)
            add_rows(f, begin, end, sum);
        sum += f->width;
    }
    for (int i = 0; packs && i < g->rights; i++)
        pack_shifted(j, &g->right[i], &j->l.right[i], begin, end,
                     block + j->l.right[i].offset + at * j->kernels->nr);
}

/* ---- adding ---------------------------------------------------------------------------------------- */

/* The rows of C in a task: even parts of m, and whole tiles but for the last. */
static int64_t block_rows(const tn_kernels *kernels, int64_t m)
{
    const int64_t most = BLOCK_M / kernels->mr * kernels->mr, each = tn_ceil_div(m, tn_ceil_div(m, most));
    return tn_ceil_div(each, kernels->mr) * kernels->mr;
}

static int64_t column_blocks(const job *j, const tn_outer *o)
{
    return tn_ceil_div(j->g->right[o->right].width, BLOCK_N);
}

static int64_t block_count(const job *j, const tn_outer *o)
{
    const int64_t m = j->g->left[o->left].width;
    return m ? tn_ceil_div(m, block_rows(j->kernels, m)) * column_blocks(j, o) : 0;
}

/* A tile of C at (row, col) gets `k` rows of block `block` of the range. */
static void add_tile(const job *j, const tn_outer *o, int64_t row, int64_t col, int64_t block, int64_t k)
{
    const tn_kernels *kernels = j->kernels;
    const tn_factor *left = &j->g->left[o->left], *right = &j->g->right[o->right];
    const place *at_left = &j->l.left[o->left], *at_right = &j->l.right[o->right];
    const float *packed = buffer_of(j, j->range) + block * j->l.block_floats;
    const int64_t begin = (j->range * j->l.blocks + block) * BLOCK_K;
    const float *a = packed + at_left->offset + row / kernels->mr * at_left->stride;
    const float *b = packed + at_right->offset + col / kernels->nr * at_right->stride;
    if (j->l.direct) {
        a = left->x + begin * left->ld;
        b = right->x + begin * right->ld + col;
    }
    float *c = o->c + row * right->width + col;
    const tn_brgemm tile = {.m = tn_min(kernels->mr, left->width - row),
                            .n = (int)tn_min(kernels->nr, right->width - col),
                            .k = k,
                            .batch = 1,
                            .a = &a,
                            .b = &b,
                            .lda = j->l.direct ? left->ld : kernels->a_pitch,
                            .ldb = j->l.direct ? right->ld : kernels->nr,
                            .flipped = true,
                            .c = c,
                            .ldc = right->width,
                            .residual = begin ? c : NULL,
                            .ldr = right->width};
    kernels->brgemm(&tile);
}

static void add_block(const job *j, const tn_outer *o, int64_t task)
{
    const tn_kernels *kernels = j->kernels;
    const int64_t m = j->g->left[o->left].width, n = j->g->right[o->right].width;
    const int64_t rows = block_rows(kernels, m), columns = column_blocks(j, o);
    const int64_t top = task / columns * rows, first = task % columns * BLOCK_N;
    const int64_t bottom = tn_min(top + rows, m), last = tn_min(first + BLOCK_N, n);
    const int64_t left = j->g->rows - j->range * range_rows(j);
    for (int64_t block = 0; block == 0 || (block < j->l.blocks && block * BLOCK_K < left); block++)
        for (int64_t col = first; col < last; col += kernels->nr)
            for (int64_t row = top; row < bottom; row += kernels->mr)
                add_tile(j, o, row, col, block, tn_min(BLOCK_K, left - block * BLOCK_K));
}

static void gradients_task(void *arg, int64_t task, int thread)
{
    (void)thread;
    const job *j = arg;
    if (task >= j->adding) {
        pack_chunk(j, task - j->adding);
        return;
    }
    for (int i = 0; i < j->g->products; i++) {
        const int64_t count = block_count(j, &j->g->product[i]);
        if (task < count) {
            add_block(j, &j->g->product[i], task);
            return;
        }
        task -= count;
    }
}

/* ---- all ------------------------------------------------------------------------------------------- */

static int64_t chunks_of(const job *j, int64_t range)
{
    const int64_t left = j->g->rows - range * range_rows(j);
    return left <= 0 ? 0 : tn_ceil_div(tn_min(left, range_rows(j)), CHUNK);
}

static double nanoseconds(const tn_gradients *g, int64_t rows)
{
    double macs = 0;
    for (int i = 0; i < g->products; i++)
        macs += (double)(g->left[g->product[i].left].width * g->right[g->product[i].right].width);
    for (int i = 0; i < g->lefts; i++)
        macs += 20 * (double)g->left[i].width;
    return macs * (double)rows / 100;
}

static void finish_sums(const job *j)
{
    const int64_t chunks = j->l.blocks * (BLOCK_K / CHUNK);
    const double *sum = j->sums;
    for (int i = 0; i < j->g->lefts; i++) {
        const tn_factor *f = &j->g->left[i];
        for (int64_t n = 0; f->sums && n < f->width; n++) {
            double all = 0;
            for (int64_t chunk = 0; chunk < chunks; chunk++)
                all += sum[chunk * j->l.sums + n];
            f->sums[n] = (float)all;
        }
        sum += f->width;
    }
}

void tn_weight_gradients(tn_ctx *ctx, const tn_gradients *g, void *scratch)
{
    job j = {.kernels = ctx->kernels, .g = g, .l = lay_out(ctx->kernels, g), .sums = scratch};
    j.buffer = (float *)(j.sums + sums_doubles(&j.l));
    memset(j.sums, 0, sums_doubles(&j.l) * sizeof *j.sums);
    int64_t adding = 0;
    for (int i = 0; i < g->products; i++)
        adding += block_count(&j, &g->product[i]);
    const int64_t ranges = tn_max(1, tn_ceil_div(g->rows, range_rows(&j)));
    for (j.range = -1; j.range < ranges; j.range++) {
        j.adding = j.range < 0 ? 0 : adding;
        j.packing = chunks_of(&j, j.range + 1);
        tn_parallel_short(ctx, j.adding + j.packing, nanoseconds(g, tn_min(range_rows(&j), g->rows)),
                          gradients_task, &j);
    }
    finish_sums(&j);
}
