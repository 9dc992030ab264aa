/* An evaluation as text, CSV and JSON. */
#include "apps/common/evaluation.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- text ------------------------------------------------------------------------------------------ */

typedef struct cell {
    char text[48];
} cell;

/* A fraction as a percentage of two digits, as the source of the numbers prints them; "-" where there is
 * none.
 */
static cell percent(const evaluation_system *s, double value)
{
    cell out;
    if (isnan(value))
        return (cell){"-"};
    /* A quotient of whole hundredths of a percent may be a hair below them. */
    const double shown = s->matrix.truncated ? floor(value * 1e4 + 1e-6) / 100 : value * 100;
    snprintf(out.text, sizeof out.text, "%.2f", shown);
    return out;
}

static cell interval(const evaluation_system *s, nn_interval i)
{
    cell out;
    snprintf(out.text, sizeof out.text, "%.20s to %.20s", percent(s, i.low).text, percent(s, i.high).text);
    return isnan(i.low) ? (cell){"-"} : out;
}

enum { NAME_BYTES = 64 };

/* A class name that is safe to print, cut where it is long. */
static const char *class_text(const char *name, char *out)
{
    return wt_printable(name, out, NAME_BYTES);
}

/* The widest of the names of the classes and `least`. */
static int class_width(const evaluation_system *s, int least)
{
    int width = least;
    for (int i = 0; i < s->classes; i++) {
        char name[NAME_BYTES];
        width = (int)fmax(width, (double)strlen(class_text(s->class_name[i], name)));
    }
    return width;
}

static void print_rate(const evaluation_system *s, const char *what, nn_rate rate)
{
    printf("  %-9s %6s %%   95 %%: %s\n", what, percent(s, rate.value).text, interval(s, rate.interval).text);
}

static void print_classes(const evaluation_system *s)
{
    const int width = class_width(s, 5);
    printf("\n  %-*s  %6s  %6s  %-15s  %9s  %-15s  %6s\n", width, "class", "clips", "recall", "95 %",
           "precision", "95 %", "F1");
    for (int i = 0; i < s->classes; i++) {
        const nn_class_metrics *c = &s->metrics.of_class[i];
        char name[NAME_BYTES];
        printf("  %-*s  %6lld  %6s  %-15s  %9s  %-15s  %6s\n", width, class_text(s->class_name[i], name),
               (long long)c->clips, percent(s, c->recall.value).text, interval(s, c->recall.interval).text,
               percent(s, c->precision.value).text, interval(s, c->precision.interval).text,
               percent(s, c->f1).text);
    }
}

static void print_matrix(const evaluation_system *s)
{
    static const char corner[] = "true \\ predicted";
    const int width = class_width(s, (int)sizeof corner - 1);
    char name[NAME_BYTES];
    printf("\n  %-*s", width, corner);
    for (int j = 0; j < s->classes; j++)
        printf("  %8s", class_text(s->class_name[j], name));
    for (int i = 0; i < s->classes; i++) {
        printf("\n  %-*s", width, class_text(s->class_name[i], name));
        for (int j = 0; j < s->classes; j++) {
            /* As wide as the name above. */
            const int column = (int)fmax(8, (double)strlen(class_text(s->class_name[j], name)));
            printf("  %*lld", column, (long long)s->count[i * s->classes + j]);
        }
    }
    printf("\n");
}

static cell group_name(const evaluation *e, int group)
{
    cell out;
    if (group == 0)
        snprintf(out.text, sizeof out.text, "fewer than %d", e->selection.limit);
    else if (group == 1)
        snprintf(out.text, sizeof out.text, "%d and more", e->selection.limit);
    else
        snprintf(out.text, sizeof out.text, "unknown");
    return out;
}

static void print_groups(const evaluation *e, const evaluation_system *s)
{
    printf("\n  %-22s  %6s  %8s  %s\n", "faces", "clips", "accuracy", "95 %");
    for (int g = 0; g < EVALUATION_GROUPS; g++) {
        const evaluation_group *group = &s->group[g];
        if (group->clips > 0 || g < 2)
            printf("  %-22s  %6lld  %8s  %s\n", group_name(e, g).text, (long long)group->clips,
                   percent(s, group->accuracy.value).text, interval(s, group->accuracy.interval).text);
    }
}

static void print_system(const evaluation *e, const evaluation_system *s)
{
    printf("%s: %lld clip%s, %lld right", s->name, (long long)s->metrics.clips,
           s->metrics.clips == 1 ? "" : "s", (long long)s->metrics.right);
    if (s->unlabelled > 0)
        printf("; %zu without a label", s->unlabelled);
    printf("\n");
    if (s->metrics.clips == 0)
        return;
    print_rate(s, "accuracy", s->metrics.accuracy);
    print_rate(s, "UAR", s->metrics.uar);
    print_rate(s, "macro F1", s->metrics.f1);
    print_classes(s);
    print_matrix(s);
    if (s->by_faces)
        print_groups(e, s);
}

static int class_of(const evaluation_system *s, const char *name)
{
    int i = 0;
    while (strcmp(s->class_name[i], name) != 0)
        i++;
    return i;
}

static int name_width(const evaluation *e)
{
    int width = 6;
    for (int i = 0; i < e->count; i++)
        width = (int)fmax(width, (double)strlen(e->system[i].name));
    return width;
}

/* The systems side by side: accuracy of all clips and of each class. */
static void print_table(const evaluation *e)
{
    const evaluation_system *first = &e->system[0];
    const int width = name_width(e);
    char name[NAME_BYTES];
    printf("\n%-*s  %6s  %8s  %6s  %8s", width, "system", "clips", "accuracy", "UAR", "macro F1");
    for (int k = 0; k < first->classes; k++)
        printf("  %8s", class_text(first->class_name[k], name));
    for (int i = 0; i < e->count; i++) {
        const evaluation_system *s = &e->system[i];
        printf("\n%-*s  %6lld  %8s  %6s  %8s", width, s->name, (long long)s->metrics.clips,
               percent(s, s->metrics.accuracy.value).text, percent(s, s->metrics.uar.value).text,
               percent(s, s->metrics.f1.value).text);
        for (int k = 0; k < first->classes; k++) {
            const int column = (int)fmax(8, (double)strlen(class_text(first->class_name[k], name)));
            const int own = class_of(s, first->class_name[k]);
            printf("  %*s", column, percent(s, s->metrics.of_class[own].recall.value).text);
        }
    }
    printf("\n");
}

static void print_pairs(const evaluation *e)
{
    const int width = name_width(e);
    printf("\nMcNemar's test on the clips that two systems share\n");
    printf("%-*s  %-*s  %6s  %10s  %11s  %9s  %s\n", width, "first", width, "second", "clips", "only first",
           "only second", "p", "test");
    for (int i = 0; i < e->pairs; i++) {
        const evaluation_pair *pair = &e->pair[i];
        const nn_paired *p = &pair->paired;
        printf("%-*s  %-*s  %6lld  %10lld  %11lld  %9.3g  %s\n", width, e->system[pair->first].name, width,
               e->system[pair->second].name, (long long)p->clips, (long long)p->first, (long long)p->second,
               p->test.p, p->test.exact ? "exact" : "chi-square");
    }
}

void evaluation_text(const evaluation *e)
{
    for (int i = 0; i < e->count; i++) {
        if (i > 0)
            printf("\n");
        print_system(e, &e->system[i]);
    }
    if (e->count > 1)
        print_table(e);
    if (e->pairs > 0)
        print_pairs(e);
}

/* ---- CSV ------------------------------------------------------------------------------------------- */

static void csv_text(const char *text)
{
    if (text[strcspn(text, ",\"\r\n")] == '\0') {
        printf("%s,", text);
        return;
    }
    putchar('"');
    for (; *text; text++)
        printf(*text == '"' ? "\"\"" : "%c", *text);
    printf("\",");
}

static void csv_number(double value, char behind)
{
    if (!isnan(value))
        printf("%.17g", value);
    putchar(behind);
}

/* One line: system, metric, class, other class or system, value, interval, clips. `clips` -1: none. */
static void csv_line(const evaluation_system *s, const char *metric, const char *class_name,
                     const char *other, nn_rate rate, int64_t clips)
{
    csv_text(s->name);
    csv_text(metric);
    csv_text(class_name);
    csv_text(other);
    csv_number(rate.value, ',');
    csv_number(rate.interval.low, ',');
    csv_number(rate.interval.high, ',');
    if (clips >= 0)
        printf("%lld", (long long)clips);
    putchar('\n');
}

static nn_rate bare(double value)
{
    return (nn_rate){value, {NAN, NAN}};
}

static void csv_system(const evaluation *e, const evaluation_system *s)
{
    const nn_metrics *m = &s->metrics;
    csv_line(s, "accuracy", "", "", m->accuracy, m->clips);
    csv_line(s, "uar", "", "", m->uar, m->clips);
    csv_line(s, "macro_f1", "", "", m->f1, m->clips);
    for (int k = 0; k < s->classes; k++) {
        const nn_class_metrics *c = &m->of_class[k];
        csv_line(s, "recall", s->class_name[k], "", c->recall, c->clips);
        csv_line(s, "precision", s->class_name[k], "", c->precision, c->predicted);
        csv_line(s, "f1", s->class_name[k], "", bare(c->f1), c->clips);
    }
    for (int i = 0; i < s->classes; i++)
        for (int j = 0; j < s->classes; j++)
            csv_line(s, "confusion", s->class_name[i], s->class_name[j],
                     bare((double)s->count[i * s->classes + j]), -1);
    for (int g = 0; s->by_faces && g < EVALUATION_GROUPS; g++) {
        char metric[80];
        snprintf(metric, sizeof metric, "accuracy with faces %s", group_name(e, g).text);
        csv_line(s, metric, "", "", s->group[g].accuracy, s->group[g].clips);
    }
}

void evaluation_csv(const evaluation *e)
{
    printf("system,metric,class,other,value,low,high,clips\n");
    for (int i = 0; i < e->count; i++)
        csv_system(e, &e->system[i]);
    for (int i = 0; i < e->pairs; i++) {
        const nn_paired *p = &e->pair[i].paired;
        const evaluation_system *a = &e->system[e->pair[i].first], *b = &e->system[e->pair[i].second];
        csv_line(a, "mcnemar_p", "", b->name, bare(p->test.p), p->clips);
        csv_line(a, "only_first_right", "", b->name, bare((double)p->first), p->clips);
        csv_line(a, "only_second_right", "", b->name, bare((double)p->second), p->clips);
        csv_line(a, "both_right", "", b->name, bare((double)p->both), p->clips);
        csv_line(a, "neither_right", "", b->name, bare((double)p->neither), p->clips);
    }
}

/* ---- JSON ------------------------------------------------------------------------------------------ */

/* Names are bytes of any kind, JSON is UTF-8. */
static json_t *json_name(const char *text)
{
    char line[1024];
    json_t *value = json_string(text);
    return value ? value : json_string(wt_printable(text, line, sizeof line));
}

static json_t *json_number(double value)
{
    return isnan(value) ? json_null() : json_real(value);
}

static json_t *json_rate(nn_rate rate)
{
    return json_pack("{s:o, s:o, s:o}", "value", json_number(rate.value), "low",
                     json_number(rate.interval.low), "high", json_number(rate.interval.high));
}

static json_t *json_classes(const evaluation_system *s)
{
    json_t *list = json_array();
    for (int k = 0; k < s->classes; k++) {
        const nn_class_metrics *c = &s->metrics.of_class[k];
        json_array_append_new(
            list, json_pack("{s:o, s:I, s:I, s:I, s:o, s:o, s:o}", "name", json_name(s->class_name[k]),
                            "clips", (json_int_t)c->clips, "predicted", (json_int_t)c->predicted, "right",
                            (json_int_t)c->right, "recall", json_rate(c->recall), "precision",
                            json_rate(c->precision), "f1", json_number(c->f1)));
    }
    return list;
}

/* Rows are true, columns predicted classes, both in the order of "classes". */
static json_t *json_matrix(const evaluation_system *s)
{
    json_t *rows = json_array();
    for (int i = 0; i < s->classes; i++) {
        json_t *row = json_array();
        for (int j = 0; j < s->classes; j++)
            json_array_append_new(row, json_integer((json_int_t)s->count[i * s->classes + j]));
        json_array_append_new(rows, row);
    }
    return json_pack("{s:s, s:s, s:o}", "rows", "true", "columns", "predicted", "counts", rows);
}

static json_t *json_groups(const evaluation *e, const evaluation_system *s)
{
    if (!s->by_faces)
        return json_null();
    json_t *list = json_array();
    for (int g = 0; g < EVALUATION_GROUPS; g++)
        json_array_append_new(list,
                              json_pack("{s:s, s:I, s:I, s:o}", "faces", group_name(e, g).text, "clips",
                                        (json_int_t)s->group[g].clips, "right", (json_int_t)s->group[g].right,
                                        "accuracy", json_rate(s->group[g].accuracy)));
    return list;
}

static json_t *json_system(const evaluation *e, const evaluation_system *s)
{
    const nn_metrics *m = &s->metrics;
    return json_pack("{s:o, s:o, s:s, s:I, s:I, s:I, s:o, s:o, s:o, s:o, s:o, s:o}", "system",
                     json_name(s->name), "file", json_name(s->path), "kind",
                     s->published ? "matrix" : "scores", "clips", (json_int_t)m->clips, "right",
                     (json_int_t)m->right, "unlabelled", (json_int_t)s->unlabelled, "accuracy",
                     json_rate(m->accuracy), "uar", json_rate(m->uar), "macro_f1", json_rate(m->f1),
                     "classes", json_classes(s), "confusion", json_matrix(s), "faces", json_groups(e, s));
}

static json_t *json_pair(const evaluation *e, const evaluation_pair *pair)
{
    const nn_paired *p = &pair->paired;
    return json_pack("{s:[o, o], s:I, s:I, s:I, s:I, s:I, s:s, s:o, s:f}", "mcnemar",
                     json_name(e->system[pair->first].name), json_name(e->system[pair->second].name), "clips",
                     (json_int_t)p->clips, "both_right", (json_int_t)p->both, "only_first_right",
                     (json_int_t)p->first, "only_second_right", (json_int_t)p->second, "neither_right",
                     (json_int_t)p->neither, "method", p->test.exact ? "exact" : "chi-square", "chi2",
                     json_number(p->test.exact ? NAN : p->test.chi2), "p", p->test.p);
}

static bool print_object(json_t *object)
{
    char *line = object ? json_dumps(object, JSON_PRESERVE_ORDER | JSON_REAL_PRECISION(17)) : NULL;
    json_decref(object);
    if (line)
        puts(line);
    free(line);
    return line != NULL;
}

bool evaluation_json(const evaluation *e)
{
    bool good = true;
    for (int i = 0; i < e->count; i++)
        good = print_object(json_system(e, &e->system[i])) && good;
    for (int i = 0; i < e->pairs; i++)
        good = print_object(json_pair(e, &e->pair[i])) && good;
    return good;
}
