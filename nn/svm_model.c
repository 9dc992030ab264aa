/* LIBSVM's text models: reading, checking, writing.
 *
 * A header of lines "keyword value...", the line "SV", then one line for each support vector: its k - 1
 * coefficients and its index:value entries. Everything that the header promises is compared with what the
 * file has bytes for before memory is asked for.
 */
#include "nn/svm.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const kernel_names[] = {"linear", "polynomial", "rbf", "sigmoid"};
enum { KERNELS = sizeof kernel_names / sizeof *kernel_names };

/* Which header lines were there. */
enum {
    SEEN_SVM_TYPE = 1 << 0,
    SEEN_KERNEL_TYPE = 1 << 1,
    SEEN_DEGREE = 1 << 2,
    SEEN_GAMMA = 1 << 3,
    SEEN_COEF0 = 1 << 4,
    SEEN_NR_CLASS = 1 << 5,
    SEEN_TOTAL_SV = 1 << 6,
    SEEN_RHO = 1 << 7,
    SEEN_LABEL = 1 << 8,
    SEEN_PROB_A = 1 << 9,
    SEEN_PROB_B = 1 << 10,
    SEEN_NR_SV = 1 << 11
};

typedef struct reader {
    nn_text text;
    nn_svm *svm;     /* being filled */
    unsigned seen;   /* header lines so far */
    const char *key; /* keyword of the line at hand */
    char *rest;      /* what follows it */
} reader;

void nn_svm_destroy(tn_ctx *ctx, nn_svm *svm)
{
    if (!svm)
        return;
    tn_free(ctx, svm->label);
    tn_free(ctx, svm->count);
    tn_free(ctx, svm->rho);
    tn_free(ctx, svm->prob_a);
    tn_free(ctx, svm->prob_b);
    tn_free(ctx, svm->coef);
    tn_free(ctx, svm->start);
    tn_free(ctx, svm->entry);
    tn_free(ctx, svm);
}

/* ---- header ---------------------------------------------------------------------------------------- */

static tn_status line_ends(reader *r)
{
    const char *word = nn_text_word(&r->rest);
    return word ? nn_text_fail(&r->text, "%s: unexpected \"%.40s\" at the end of the line", r->key, word)
                : TN_OK;
}

static tn_status read_int(reader *r, int least, int *out)
{
    const char *word = nn_text_word(&r->rest);
    if (!word || !nn_text_int(word, out))
        return nn_text_fail(&r->text, "%s: \"%.40s\" is not a whole number", r->key, word ? word : "");
    if (*out < least)
        return nn_text_fail(&r->text, "%s is %d, expected at least %d", r->key, *out, least);
    return TN_OK;
}

static tn_status read_double(reader *r, double *out)
{
    const char *word = nn_text_word(&r->rest);
    if (!word || !nn_text_double(word, out))
        return nn_text_fail(&r->text, "%s: \"%.40s\" is not a finite number", r->key, word ? word : "");
    return TN_OK;
}

static tn_status read_svm_type(reader *r)
{
    const char *word = nn_text_word(&r->rest);
    if (word && strcmp(word, "nu_svc") == 0)
        r->svm->nu = true;
    else if (!word || strcmp(word, "c_svc") != 0)
        return tn_fail(r->text.ctx, TN_UNSUPPORTED,
                       "%s:%ld: svm_type \"%.40s\" is not supported (c_svc and nu_svc are)", r->text.path,
                       r->text.line, word ? word : "");
    return line_ends(r);
}

static tn_status read_kernel_type(reader *r)
{
    const char *word = nn_text_word(&r->rest);
    int i = 0;
    while (i < KERNELS && (!word || strcmp(word, kernel_names[i]) != 0))
        i++;
    if (i == KERNELS)
        return tn_fail(
            r->text.ctx, TN_UNSUPPORTED,
            "%s:%ld: kernel_type \"%.40s\" is not supported (linear, polynomial, rbf and sigmoid are)",
            r->text.path, r->text.line, word ? word : "");
    r->svm->kernel.kernel = (nn_svm_kernel)i;
    return line_ends(r);
}

static tn_status read_classes(reader *r)
{
    TN_TRY(read_int(r, 2, &r->svm->classes));
    /* Each pair has at least one digit and a blank in the line "rho". */
    size_t classes = (size_t)r->svm->classes, twice_pairs;
    if (!tn_mul_size(classes, classes - 1, &twice_pairs) || twice_pairs > r->text.size)
        return nn_text_fail(&r->text, "nr_class is %d, more than %zu bytes can hold", r->svm->classes,
                            r->text.size);
    return line_ends(r);
}

static tn_status read_total(reader *r)
{
    int total;
    TN_TRY(read_int(r, 1, &total));
    r->svm->vectors = total;
    return line_ends(r);
}

/* Lists whose length follows from nr_class, which therefore has to come first. */
static tn_status list_length(reader *r, bool pairs, size_t *n)
{
    if (!(r->seen & SEEN_NR_CLASS))
        return nn_text_fail(&r->text, "%s before nr_class", r->key);
    *n = (size_t)(pairs ? nn_svm_pairs(r->svm) : r->svm->classes);
    return TN_OK;
}

static tn_status read_doubles(reader *r, double **out)
{
    size_t n = 0;
    TN_TRY(list_length(r, true, &n));
    *out = tn_alloc(r->text.ctx, n, sizeof **out);
    if (!*out)
        return TN_NOMEM;
    for (size_t i = 0; i < n; i++)
        TN_TRY(read_double(r, &(*out)[i]));
    return line_ends(r);
}

static tn_status read_ints(reader *r, int least, int **out)
{
    size_t n = 0;
    TN_TRY(list_length(r, false, &n));
    *out = tn_alloc(r->text.ctx, n, sizeof **out);
    if (!*out)
        return TN_NOMEM;
    for (size_t i = 0; i < n; i++)
        TN_TRY(read_int(r, least, &(*out)[i]));
    return line_ends(r);
}

static tn_status read_degree(reader *r)
{
    TN_TRY(read_int(r, 0, &r->svm->kernel.degree));
    return line_ends(r);
}

static tn_status read_gamma(reader *r)
{
    TN_TRY(read_double(r, &r->svm->kernel.gamma));
    return line_ends(r);
}

static tn_status read_coef0(reader *r)
{
    TN_TRY(read_double(r, &r->svm->kernel.coef0));
    return line_ends(r);
}

static tn_status read_rho(reader *r)
{
    return read_doubles(r, &r->svm->rho);
}

static tn_status read_labels(reader *r)
{
    TN_TRY(read_ints(r, INT32_MIN, &r->svm->label));
    for (int i = 0; i < r->svm->classes; i++)
        for (int j = 0; j < i; j++)
            if (r->svm->label[i] == r->svm->label[j])
                return nn_text_fail(&r->text, "label %d is there twice", r->svm->label[i]);
    return TN_OK;
}

static tn_status read_prob_a(reader *r)
{
    return read_doubles(r, &r->svm->prob_a);
}

static tn_status read_prob_b(reader *r)
{
    return read_doubles(r, &r->svm->prob_b);
}

static tn_status read_counts(reader *r)
{
    return read_ints(r, 0, &r->svm->count);
}

static const struct {
    const char *key;
    unsigned bit;
    tn_status (*read)(reader *r);
} header_lines[] = {
    {"svm_type", SEEN_SVM_TYPE, read_svm_type}, {"kernel_type", SEEN_KERNEL_TYPE, read_kernel_type},
    {"degree", SEEN_DEGREE, read_degree},       {"gamma", SEEN_GAMMA, read_gamma},
    {"coef0", SEEN_COEF0, read_coef0},          {"nr_class", SEEN_NR_CLASS, read_classes},
    {"total_sv", SEEN_TOTAL_SV, read_total},    {"rho", SEEN_RHO, read_rho},
    {"label", SEEN_LABEL, read_labels},         {"probA", SEEN_PROB_A, read_prob_a},
    {"probB", SEEN_PROB_B, read_prob_b},        {"nr_sv", SEEN_NR_SV, read_counts},
};
enum { HEADER_LINES = sizeof header_lines / sizeof *header_lines };

static tn_status read_header_line(reader *r)
{
    for (int i = 0; i < HEADER_LINES; i++)
        if (strcmp(r->key, header_lines[i].key) == 0) {
            if (r->seen & header_lines[i].bit)
                return nn_text_fail(&r->text, "%s is there twice", r->key);
            TN_TRY(header_lines[i].read(r));
            r->seen |= header_lines[i].bit;
            return TN_OK;
        }
    if (r->seen == 0)
        return nn_text_fail(&r->text, "\"%.40s\" where a LIBSVM model begins with svm_type", r->key);
    return nn_text_fail(&r->text, "\"%.40s\" is not a keyword of a LIBSVM model", r->key);
}

/* What the kernel and every model need. */
static unsigned needed(const nn_svm *svm)
{
    static const unsigned by_kernel[KERNELS] = {
        [NN_SVM_LINEAR] = 0,
        [NN_SVM_POLYNOMIAL] = SEEN_DEGREE | SEEN_GAMMA | SEEN_COEF0,
        [NN_SVM_RBF] = SEEN_GAMMA,
        [NN_SVM_SIGMOID] = SEEN_GAMMA | SEEN_COEF0,
    };
    return SEEN_SVM_TYPE | SEEN_KERNEL_TYPE | SEEN_NR_CLASS | SEEN_TOTAL_SV | SEEN_RHO | SEEN_LABEL |
           SEEN_NR_SV | by_kernel[svm->kernel.kernel];
}

static tn_status read_header(reader *r)
{
    for (;;) {
        r->rest = nn_text_line(&r->text);
        if (!r->rest)
            return nn_text_fail(&r->text, "the file ends before \"SV\"");
        r->key = nn_text_word(&r->rest);
        if (!r->key)
            return nn_text_fail(&r->text, "empty line in the header");
        if (strcmp(r->key, "SV") == 0)
            break;
        TN_TRY(read_header_line(r));
    }
    TN_TRY(line_ends(r));
    for (int i = 0; i < HEADER_LINES; i++)
        if (needed(r->svm) & ~r->seen & header_lines[i].bit)
            return nn_text_fail(&r->text, "the header has no %s", header_lines[i].key);
    if (!(r->seen & SEEN_PROB_A) != !(r->seen & SEEN_PROB_B))
        return nn_text_fail(&r->text, "the header has %s alone, probA and probB belong together",
                            r->seen & SEEN_PROB_A ? "probA" : "probB");
    int64_t sum = 0;
    for (int i = 0; i < r->svm->classes; i++)
        sum += r->svm->count[i];
    if (sum != r->svm->vectors)
        return nn_text_fail(&r->text, "total_sv is %lld, but nr_sv sums to %lld", (long long)r->svm->vectors,
                            (long long)sum);
    return TN_OK;
}

/* ---- support vectors ------------------------------------------------------------------------------- */

size_t nn_svm_count_entries(const nn_text *text)
{
    size_t n = 0;
    for (size_t i = text->at; i < text->size; i++)
        n += text->data[i] == ':';
    return n;
}

tn_status nn_svm_parse_entries(nn_text *text, char *rest, nn_svm_entry *entry, size_t room, size_t *count,
                               int *max_index)
{
    size_t n = 0;
    int before = -1;
    for (char *word; (word = nn_text_word(&rest)) != NULL; n++) {
        char *colon = strchr(word, ':');
        if (!colon)
            return nn_text_fail(text, "\"%.40s\" is not index:value", word);
        *colon = '\0';
        nn_svm_entry e;
        if (!nn_text_int(word, &e.index) || e.index < 0)
            return nn_text_fail(text, "\"%.40s\" is not an index", word);
        if (!nn_text_double(colon + 1, &e.value))
            return nn_text_fail(text, "index %d: \"%.40s\" is not a finite number", e.index, colon + 1);
        if (e.index <= before)
            return nn_text_fail(text, "index %d after %d: indices must ascend", e.index, before);
        if (n == room)
            return nn_text_fail(text, "more entries than were counted");
        before = e.index;
        entry[n] = e;
    }
    if (before > *max_index)
        *max_index = before;
    *count = n;
    return TN_OK;
}

static tn_status read_vectors(reader *r)
{
    nn_svm *svm = r->svm;
    tn_ctx *ctx = r->text.ctx;
    const size_t vectors = (size_t)svm->vectors, others = (size_t)svm->classes - 1;
    /* Each coefficient has at least one digit and a blank or line end. */
    size_t numbers, left = r->text.at < r->text.size ? r->text.size - r->text.at + 1 : 0;
    if (!tn_mul_size(vectors, others, &numbers) || numbers > left / 2)
        return nn_text_fail(
            &r->text, "%zu support vectors with %zu coefficients do not fit into the %zu bytes that follow",
            vectors, others, left ? left - 1 : 0);
    size_t room = nn_svm_count_entries(&r->text), used = 0;
    svm->coef = tn_alloc(ctx, numbers, sizeof *svm->coef);
    svm->start = tn_alloc(ctx, vectors + 1, sizeof *svm->start);
    svm->entry = tn_alloc(ctx, room, sizeof *svm->entry);
    if (!svm->coef || !svm->start || !svm->entry)
        return TN_NOMEM;
    r->key = "coefficient";
    for (size_t i = 0; i < vectors; i++) {
        r->rest = nn_text_line(&r->text);
        if (!r->rest)
            return nn_text_fail(&r->text, "the file ends after %zu of %zu support vectors", i, vectors);
        for (size_t j = 0; j < others; j++)
            TN_TRY(read_double(r, &svm->coef[i * others + j]));
        size_t count;
        TN_TRY(
            nn_svm_parse_entries(&r->text, r->rest, svm->entry + used, room - used, &count, &svm->max_index));
        svm->start[i] = used;
        used += count;
    }
    svm->start[vectors] = used;
    if (nn_text_line(&r->text))
        return nn_text_fail(&r->text, "more lines than total_sv (%zu) support vectors", vectors);
    return TN_OK;
}

tn_status nn_svm_read(tn_ctx *ctx, const char *path, nn_svm **out)
{
    *out = NULL;
    reader r = {0};
    tn_status status = nn_text_open(ctx, path, &r.text);
    if (status != TN_OK)
        goto done;
    r.svm = tn_zalloc(ctx, 1, sizeof *r.svm);
    if (!r.svm) {
        status = TN_NOMEM;
        goto done;
    }
    status = read_header(&r);
    if (status == TN_OK)
        status = read_vectors(&r);
done:
    nn_text_close(&r.text);
    if (status == TN_OK)
        *out = r.svm;
    else
        nn_svm_destroy(ctx, r.svm);
    return status;
}

/* ---- writing --------------------------------------------------------------------------------------- */

/* The shortest decimal that reads back as the same number: what a data file said comes out again. */
static void shortest(double value, char out[32])
{
    for (int digits = 6; digits <= 17; digits++) {
        snprintf(out, 32, "%.*g", digits, value);
        if (strtod(out, NULL) == value)
            return;
    }
}

static void write_ints(wt_writer *w, const char *key, const int *value, int n)
{
    wt_printf(w, "%s", key);
    for (int i = 0; i < n; i++)
        wt_printf(w, " %d", value[i]);
    wt_printf(w, "\n");
}

static void write_doubles(wt_writer *w, const char *key, const double *value, int n)
{
    wt_printf(w, "%s", key);
    for (int i = 0; i < n; i++)
        wt_printf(w, " %.17g", value[i]);
    wt_printf(w, "\n");
}

static void write_header(wt_writer *w, const nn_svm *svm)
{
    const nn_svm_kernel_params *kernel = &svm->kernel;
    const int pairs = nn_svm_pairs(svm);
    wt_printf(w, "svm_type %s\n", svm->nu ? "nu_svc" : "c_svc");
    wt_printf(w, "kernel_type %s\n", kernel_names[kernel->kernel]);
    if (kernel->kernel == NN_SVM_POLYNOMIAL)
        wt_printf(w, "degree %d\n", kernel->degree);
    if (kernel->kernel != NN_SVM_LINEAR)
        wt_printf(w, "gamma %.17g\n", kernel->gamma);
    if (kernel->kernel == NN_SVM_POLYNOMIAL || kernel->kernel == NN_SVM_SIGMOID)
        wt_printf(w, "coef0 %.17g\n", kernel->coef0);
    wt_printf(w, "nr_class %d\ntotal_sv %lld\n", svm->classes, (long long)svm->vectors);
    write_doubles(w, "rho", svm->rho, pairs);
    write_ints(w, "label", svm->label, svm->classes);
    if (svm->prob_a) {
        write_doubles(w, "probA", svm->prob_a, pairs);
        write_doubles(w, "probB", svm->prob_b, pairs);
    }
    write_ints(w, "nr_sv", svm->count, svm->classes);
    wt_printf(w, "SV\n");
}

static void write_vectors(wt_writer *w, const nn_svm *svm)
{
    const int others = svm->classes - 1;
    for (int64_t i = 0; i < svm->vectors; i++) {
        for (int j = 0; j < others; j++)
            wt_printf(w, "%.17g ", svm->coef[i * others + j]);
        nn_svm_vector sv = nn_svm_sv(svm, i);
        for (size_t e = 0; e < sv.count; e++) {
            char value[32];
            shortest(sv.entry[e].value, value);
            wt_printf(w, "%d:%s ", sv.entry[e].index, value);
        }
        wt_printf(w, "\n");
    }
}

tn_status nn_svm_write(tn_ctx *ctx, const nn_svm *svm, const char *path)
{
    nn_locale locale;
    TN_TRY(nn_locale_enter(ctx, &locale));
    wt_writer *w = NULL;
    tn_status status = wt_create(ctx, path, &w);
    if (status == TN_OK) {
        write_header(w, svm);
        write_vectors(w, svm);
        /* The writer keeps its first error; committing tells it. */
        status = wt_commit(w);
    }
    nn_locale_leave(&locale);
    return status;
}
