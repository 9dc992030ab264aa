#include "tests/common/files.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

char *test_text(const char *format, ...)
{
    char *text = NULL;
    va_list args;
    va_start(args, format);
    assert_true(vasprintf(&text, format, args) >= 0);
    va_end(args);
    return text;
}

unsigned char *test_read_file(const char *path, size_t *size)
{
    FILE *f = fopen(path, "rb");
    if (!f)
        fail_msg("no %s", path);
    assert_int_equal(fseek(f, 0, SEEK_END), 0);
    size_t n = (size_t)ftell(f);
    rewind(f);
    unsigned char *data = malloc(n + 1);
    assert_non_null(data);
    assert_int_equal(fread(data, 1, n, f), n);
    fclose(f);
    data[n] = 0;
    if (size)
        *size = n;
    return data;
}

void test_write_file(const char *path, const void *data, size_t size)
{
    FILE *f = fopen(path, "wb");
    if (!f)
        fail_msg("cannot write %s", path);
    assert_int_equal(fwrite(data, 1, size, f), size);
    assert_int_equal(fclose(f), 0);
}

int test_count_files(const char *dir)
{
    DIR *d = opendir(dir);
    assert_non_null(d);
    int count = -2;
    while (readdir(d))
        count++;
    closedir(d);
    return count;
}

void test_put(test_bytes *b, const void *data, size_t size)
{
    if (b->room - b->size <= size) {
        b->room = 2 * (b->size + size + 32);
        b->data = realloc(b->data, b->room);
        assert_non_null(b->data);
    }
    if (size)
        memcpy(b->data + b->size, data, size);
    b->size += size;
}

void test_put_text(test_bytes *b, const char *text)
{
    test_put(b, text, strlen(text));
}

void test_put_int(test_bytes *b, uint64_t value, size_t size)
{
    test_put(b, &value, size);
}
