/* Checkpoints: every damage is seen, nothing is half read or half written. */
#include "tests/nn/training.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

/* A run of a tiny video or audio network that has a checkpoint. */
typedef struct fixture {
    char *dir, *path;         /* of the checkpoint */
    wt_meta setting[2];       /* of the run */
    nn_train_options options; /* same */
    run r;                    /* itself, after one epoch */
} fixture;

static void setup(fixture *f, nn_kind kind)
{
    f->dir = test_make_dir();
    f->path = test_text("%s/run.safetensors", f->dir);
    f->setting[0] = (wt_meta){"set.lr", "0.01"};
    f->setting[1] = (wt_meta){"set.data", "a \"quoted\" folder\\"};
    f->options = run_options();
    f->options.epochs = 1;
    f->options.batch = 4;
    f->options.settings = f->setting;
    f->options.setting_count = 2;
    f->options.checkpoint = f->path;
    run_make(&f->r, 1, kind, 0, &f->options);
    nn_train_end end;
    assert_ok(f->r.ctx, run_go(&f->r, &f->r.clips, &end));
}

static void teardown(fixture *f)
{
    run_destroy(&f->r);
    test_remove_dir(f->dir);
    free(f->path);
}

static void says(tn_ctx *ctx, const char *part)
{
    if (!strstr(tn_error(ctx), part))
        fail_msg("\"%s\" lacks \"%s\"", tn_error(ctx), part);
    tn_clear_error(ctx);
}

/* What a checkpoint holds comes back, and saving it again gives the same file. */
static void there_and_back(void **state)
{
    (void)state;
    for (int kind = 0; kind < 2; kind++) {
        fixture f;
        setup(&f, kind ? NN_AUDIO : NN_VIDEO);
        size_t size, other;
        unsigned char *before = test_read_file(f.path, &size);
        run back;
        run_make(&back, 2, kind ? NN_AUDIO : NN_VIDEO, 0, &f.options);
        assert_ok(back.ctx, nn_trainer_load(back.trainer, f.path));
        assert_ok(back.ctx, nn_trainer_save(back.trainer, f.path));
        unsigned char *after = test_read_file(f.path, &other);
        assert_int_equal(size, other);
        assert_memory_equal(before, after, size);
        const nn_train_progress progress = nn_trainer_progress(back.trainer);
        assert_int_equal(progress.epoch, 1);
        assert_int_equal(progress.step, 4);
        assert_int_equal(progress.best_epoch, 1);
        assert_true(progress.best_loss == f.r.epoch[0].val_loss);
        free(before);
        free(after);
        run_destroy(&back);
        teardown(&f);
    }
}

/* A checkpoint of a few tensors of every type that runs keep. */
static void save_little(tn_ctx *ctx, const char *path)
{
    static const float weight[5] = {1, -2, 0.5f, 3e-20f, 7};
    static const int64_t counter[2] = {5, 1};
    static const double value[1] = {0.1};
    const wt_tensor tensors[3] = {
        {.name = "w", .dtype = WT_F32, .rank = 1, .size = {5}, .data = weight},
        {.name = "train.counters", .dtype = WT_I64, .rank = 1, .size = {2}, .data = counter},
        {.name = "train.values", .dtype = WT_F64, .rank = 1, .size = {1}, .data = value}};
    const wt_meta meta[2] = {{"train.seed", "1"}, {"set.data", "a \"quoted\" folder\\ \xc3\xa9"}};
    assert_ok(ctx, nn_checkpoint_save(ctx, path, tensors, 3, meta, 2));
}

/* Each bit of a file turned over, and each prefix of it. Those of the header are all there; the large runs'
 * payloads are the same code. */
static void every_flipped_bit_is_seen(void **state)
{
    (void)state;
    tn_ctx *ctx = test_ctx(1, NULL);
    char *dir = test_make_dir(), *path = test_text("%s/c.safetensors", dir);
    wt_file *file;
    size_t size;
    save_little(ctx, path);
    assert_ok(ctx, nn_checkpoint_open(ctx, path, &file));
    wt_close(file);
    const wt_meta odd = {"set.data", "two\nlines"};
    assert_status(ctx, nn_checkpoint_save(ctx, path, NULL, 0, &odd, 1), TN_RANGE);
    says(ctx, "two\\x0alines");
    unsigned char *bytes = test_read_file(path, &size);
    for (size_t bit = 0; bit < 8 * size; bit++) {
        bytes[bit / 8] ^= (unsigned char)(1u << (bit % 8));
        test_write_file(path, bytes, size);
        if (nn_checkpoint_open(ctx, path, &file) == TN_OK || file || !strstr(tn_error(ctx), path))
            fail_msg("bit %zu of byte %zu (%c): \"%s\"", bit % 8, bit / 8, bytes[bit / 8], tn_error(ctx));
        tn_clear_error(ctx);
        bytes[bit / 8] ^= (unsigned char)(1u << (bit % 8));
    }
    for (size_t n = 1; n < size; n++) {
        test_write_file(path, bytes, n);
        assert_true(nn_checkpoint_open(ctx, path, &file) != TN_OK);
        tn_clear_error(ctx);
    }
    free(bytes);
    test_remove_dir(dir);
    free(path);
    tn_ctx_destroy(ctx);
}

/* A damaged file, one of another run, one of another network: the trainer stays as it was. */
static void others_are_refused(void **state)
{
    (void)state;
    fixture f;
    setup(&f, NN_AUDIO);
    tn_ctx *ctx = f.r.ctx;
    size_t size, other_size;
    char *other = test_text("%s/other.safetensors", f.dir), *copy = test_text("%s/copy.safetensors", f.dir);
    unsigned char *bytes = test_read_file(f.path, &size);
    run r;

    bytes[size - 7] ^= 4;
    test_write_file(other, bytes, size);
    assert_status(ctx, nn_trainer_load(f.r.trainer, other), TN_FORMAT);
    says(ctx, "damaged");
    assert_status(ctx, nn_trainer_load(f.r.trainer, "no such file"), TN_IO);
    says(ctx, "no such file");

    f.options.seed = 4;
    f.options.checkpoint = NULL;
    run_make(&r, 1, NN_AUDIO, 0, &f.options);
    assert_status(r.ctx, nn_trainer_load(r.trainer, f.path), TN_RANGE);
    says(r.ctx, "train.seed = 3, this run has 4");
    run_destroy(&r);
    f.options.seed = 3;
    f.setting[0].value = "0.02";
    run_make(&r, 1, NN_AUDIO, 0, &f.options);
    assert_status(r.ctx, nn_trainer_load(r.trainer, f.path), TN_RANGE);
    says(r.ctx, "set.lr = 0.01, this run has 0.02");
    run_destroy(&r);
    f.setting[0].value = "0.01";
    f.options.optimizer.method = NN_SGD;
    run_make(&r, 1, NN_AUDIO, 0, &f.options);
    assert_ok(r.ctx, nn_trainer_save(r.trainer, other));
    unsigned char *before = test_read_file(other, &other_size);
    assert_status(r.ctx, nn_trainer_load(r.trainer, f.path), TN_SHAPE);
    says(r.ctx, "sgd.momentum.dense1.weight is missing");
    assert_ok(r.ctx, nn_trainer_save(r.trainer, copy));
    size_t copy_size;
    unsigned char *after = test_read_file(copy, &copy_size);
    assert_int_equal(other_size, copy_size);
    assert_memory_equal(before, after, copy_size);
    free(before);
    free(after);
    run_destroy(&r);
    free(bytes);
    free(other);
    free(copy);
    teardown(&f);
}

/* A disk that is full at any place: an error that names the file, and the old file as it was. */
static void a_full_disk_keeps_the_old_file(void **state)
{
    (void)state;
    fixture f;
    setup(&f, NN_AUDIO);
    size_t size, other;
    unsigned char *before = test_read_file(f.path, &size);
    signal(SIGXFSZ, SIG_IGN);
    struct rlimit whole;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &whole), 0);
    for (size_t limit = 0; limit < size; limit += 4096) {
        const struct rlimit small = {limit, whole.rlim_max};
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
        const tn_status status = nn_trainer_save(f.r.trainer, f.path);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &whole), 0);
        assert_int_equal(status, TN_IO);
        says(f.r.ctx, f.path);
        unsigned char *after = test_read_file(f.path, &other);
        assert_int_equal(size, other);
        assert_memory_equal(before, after, size);
        free(after);
        assert_int_equal(test_count_files(f.dir), 1);
    }
    free(before);
    teardown(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(there_and_back),
        cmocka_unit_test(every_flipped_bit_is_seen),
        cmocka_unit_test(others_are_refused),
        cmocka_unit_test(a_full_disk_keeps_the_old_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
