/* A safetensors file begins with the length of its header, whose bytes may look like another kind's. */
#include "tests/common/testing.h"

#include "weights/weights.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void headers_of_every_length_are_told_from_pickles(void **state)
{
    (void)state;
    tn_ctx *ctx = test_ctx(1, NULL);
    char *dir = test_make_dir(), *path = NULL;
    assert_true(asprintf(&path, "%s/x.safetensors", dir) > 0);
    const float data[2] = {1, 2};
    const wt_tensor tensor = {.name = "x", .dtype = WT_F32, .rank = 1, .size = {2}, .data = data};
    char filler[320];
    int like_pickles = 0;
    for (int length = 1; length < 300; length += 4) {
        memset(filler, 'a', (size_t)length);
        filler[length] = '\0';
        const wt_meta meta = {"filler", filler};
        assert_ok(ctx, wt_save(ctx, path, &tensor, 1, &meta, 1));
        FILE *raw = fopen(path, "rb");
        assert_non_null(raw);
        like_pickles += fgetc(raw) == 0x80;
        fclose(raw);
        wt_file *file;
        assert_ok(ctx, wt_open(ctx, path, &file));
        assert_string_equal(wt_format(file), "safetensors");
        assert_string_equal(wt_metadata(file, "filler"), filler);
        wt_close(file);
    }
    assert_true(like_pickles > 0);
    free(path);
    test_remove_dir(dir);
    tn_ctx_destroy(ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(headers_of_every_length_are_told_from_pickles),
    };
    return cmocka_run_group_tests_name("header length", tests, NULL, NULL);
}
