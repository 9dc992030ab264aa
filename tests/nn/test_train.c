/* The training loop: it learns, goes on bit for bit, keeps the best epoch, and stops when it should. */
#include "tests/nn/training.h"

/* ---- learning -------------------------------------------------------------------------------------- */

/* Sixteen clips that show little of their class are learnt by heart. */
static void overfits(nn_kind kind)
{
    nn_train_options options = run_options();
    options.epochs = MAX_EPOCHS;
    options.batch = CLIPS;
    options.bucket = 0;
    run r;
    run_make(&r, 2, kind, 0, &options);
    r.enough = 0.01;
    nn_train_end end;
    assert_ok(r.ctx, run_go(&r, NULL, &end));
    assert_true(r.epoch[0].loss > 0.8);
    if (end != NN_TRAIN_INTERRUPTED)
        fail_msg("after %d epochs the loss is %g", r.epochs, r.epoch[r.epochs - 1].loss);
    assert_true(r.epoch[r.epochs - 1].accuracy == 1 && r.epoch[r.epochs - 1].uar == 1);
    run_destroy(&r);
}

static void video_overfits(void **state)
{
    (void)state;
    overfits(NN_VIDEO);
}

static void audio_overfits(void **state)
{
    (void)state;
    overfits(NN_AUDIO);
}

/* ---- equal bits ------------------------------------------------------------------------------------ */

/* Validation whose loss rises, so that patience has something to count. */
static nn_clips contrary(const run *r, int label[CLIPS])
{
    nn_clips val = r->clips;
    for (int i = 0; i < CLIPS; i++)
        label[i] = (r->label[i] + 1 + i % 2) % CLASSES;
    val.label = label;
    return val;
}

/* What a run leaves: its checkpoint, and what it told of its last epoch. */
typedef struct left {
    unsigned char *bytes; /* malloc()ed */
    size_t size;          /* of them */
    uint64_t order;       /* of what it was fed */
    nn_epoch last;        /* epoch */
} left;

static void same(const left *a, const left *b)
{
    assert_int_equal(a->size, b->size);
    assert_memory_equal(a->bytes, b->bytes, a->size);
    assert_int_equal(a->last.epoch, b->last.epoch);
    const double x[6] = {a->last.loss,     a->last.accuracy,     a->last.uar,
                         a->last.val_loss, a->last.val_accuracy, a->last.val_uar};
    const double y[6] = {b->last.loss,     b->last.accuracy,     b->last.uar,
                         b->last.val_loss, b->last.val_accuracy, b->last.val_uar};
    assert_memory_equal(x, y, sizeof x);
}

static left leave(run *r, const char *path)
{
    left l = {.order = r->order, .last = r->epoch[r->epochs - 1]};
    l.bytes = test_read_file(path, &l.size);
    run_destroy(r);
    return l;
}

/* Four epochs with dropout, validation and batches of unequal size. */
static left straight(int threads, const char *path)
{
    nn_train_options options = run_options();
    options.checkpoint = path;
    int label[CLIPS];
    run r;
    nn_train_end end;
    run_make(&r, threads, NN_AUDIO, 0.3f, &options);
    const nn_clips val = contrary(&r, label);
    assert_ok(r.ctx, run_go(&r, &val, &end));
    assert_int_equal(end, NN_TRAIN_EPOCHS);
    assert_int_equal(r.epochs, 4);
    assert_int_equal(nn_trainer_progress(r.trainer).step, 4 * 4);
    return leave(&r, path);
}

/* The same, as a run of its own for every `every` steps. */
static left interrupted(int threads, const char *path, int every)
{
    nn_train_options options = run_options();
    options.checkpoint = path;
    for (int runs = 0;; runs++) {
        int label[CLIPS];
        run r;
        nn_train_end end;
        assert_true(runs < 20);
        run_make(&r, threads, NN_AUDIO, 0.3f, &options);
        const nn_clips val = contrary(&r, label);
        if (runs)
            assert_ok(r.ctx, nn_trainer_load(r.trainer, path));
        assert_int_equal(nn_trainer_progress(r.trainer).step, runs * every);
        r.stop_at = every;
        assert_ok(r.ctx, run_go(&r, &val, &end));
        if (end == NN_TRAIN_EPOCHS)
            return leave(&r, path);
        assert_int_equal(end, NN_TRAIN_INTERRUPTED);
        run_destroy(&r);
    }
}

static void going_on_gives_equal_bits(void **state)
{
    (void)state;
    char *dir = test_make_dir(), *path = test_text("%s/c.safetensors", dir);
    const left want = straight(1, path);
    for (int threads = 1; threads <= 2; threads++)
        for (int every = 1; every <= 4; every += threads) {
            const left got = interrupted(threads, path, every);
            same(&want, &got);
            free(got.bytes);
        }
    free(want.bytes);
    test_remove_dir(dir);
    free(path);
}

static void threads_give_equal_bits(void **state)
{
    (void)state;
    char *dir = test_make_dir(), *path = test_text("%s/c.safetensors", dir);
    const left want = straight(1, path);
    for (int threads = 2; threads <= 3; threads++) {
        const left got = straight(threads, path);
        same(&want, &got);
        assert_true(want.order == got.order);
        free(got.bytes);
    }
    free(want.bytes);
    test_remove_dir(dir);
    free(path);
}

/* Weights that hardly move: two epochs differ by their masks alone. */
static void masks_differ_by_step_and_seed(void **state)
{
    (void)state;
    double loss[3];
    for (int i = 0; i < 3; i++) {
        nn_train_options options = run_options();
        options.epochs = 2;
        options.batch = CLIPS;
        options.seed = i == 2 ? 5 : 3;
        options.schedule.rate = 1e-30;
        run r;
        nn_train_end end;
        run_make(&r, 1, NN_AUDIO, i ? 0.5f : 0, &options);
        assert_ok(r.ctx, run_go(&r, NULL, &end));
        loss[i] = r.epoch[1].loss;
        const double change = fabs(r.epoch[0].loss - r.epoch[1].loss);
        assert_true(i ? change > 1e-3 : change < 1e-6);
        run_destroy(&r);
    }
    assert_true(fabs(loss[1] - loss[2]) > 1e-3);
}

/* ---- batches --------------------------------------------------------------------------------------- */

/* What one epoch is fed. */
typedef struct fed {
    run *r;
    int count[CLIPS];    /* how often each clip came */
    int batch_of[CLIPS]; /* in which batch */
    int batches;         /* of the epoch */
} fed;

static tn_status count_fill(void *arg, size_t clip, int64_t step, const tn_tensor *out)
{
    fed *f = arg;
    assert_true(step >= 1);
    f->count[clip]++;
    f->batch_of[clip] = (int)step;
    assert_int_equal(out->size[0], f->r->steps[clip]);
    return run_fill(f->r, clip, step, out);
}

/* Each clip comes once an epoch, in another order each time; the longest are together where they are sorted.
 */
static void each_clip_once(void **state)
{
    (void)state;
    uint64_t orders[3];
    for (int i = 0; i < 3; i++) {
        nn_train_options options = run_options();
        options.epochs = 1;
        options.seed = i == 1 ? 4 : 3;
        options.bucket = i == 2 ? 4 : 0;
        run r;
        nn_train_end end;
        run_make(&r, 2, NN_AUDIO, 0, &options);
        fed f = {.r = &r};
        r.clips.fill = count_fill;
        r.clips.arg = &f;
        assert_ok(r.ctx, run_go(&r, NULL, &end));
        for (int c = 0; c < CLIPS; c++)
            assert_int_equal(f.count[c], 1);
        orders[i] = r.order;
        /* Sorted by length, lengths of different batches do not overlap. */
        bool overlap = false;
        for (int a = 0; a < CLIPS; a++)
            for (int b = 0; b < CLIPS; b++)
                for (int c = 0; c < CLIPS; c++)
                    overlap |= f.batch_of[a] == f.batch_of[b] && f.batch_of[c] != f.batch_of[a] &&
                               r.steps[a] < r.steps[c] && r.steps[c] < r.steps[b];
        assert_int_equal(overlap, i != 2);
        run_destroy(&r);
    }
    assert_true(orders[0] != orders[1]);
}

/* 16 clips in batches of 5: the last one is left alone, joins the third, or stays with two where it may. */
static void a_small_last_batch_joins_the_one_before(void **state)
{
    (void)state;
    static const struct {
        int batch, least, rows[5];
    } cases[] = {{5, 0, {5, 5, 5, 1}}, {5, 1, {5, 5, 5, 1}}, {5, 2, {5, 5, 6}},      {7, 2, {7, 7, 2}},
                 {7, 3, {7, 9}},       {20, 17, {16}},       {1, 2, {1, 1, 1, 1, 1}}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        nn_train_options options = run_options();
        options.epochs = 1;
        options.batch = cases[i].batch;
        options.least = cases[i].least;
        options.bucket = 2;
        run r;
        nn_train_end end;
        run_make(&r, 1, NN_AUDIO, 0, &options);
        fed f = {.r = &r};
        r.clips.fill = count_fill;
        r.clips.arg = &f;
        assert_ok(r.ctx, run_go(&r, NULL, &end));
        int rows[CLIPS + 1] = {0}, sizes[CLIPS + 1] = {0}, wanted[CLIPS + 1] = {0};
        for (int c = 0; c < CLIPS; c++) {
            assert_int_equal(f.count[c], 1);
            rows[f.batch_of[c]]++;
        }
        for (int b = 1; b <= CLIPS; b++)
            sizes[rows[b]] += rows[b] > 0;
        for (int b = 0; b < 5 && cases[i].rows[b]; b++)
            wanted[cases[i].rows[b]] += cases[i].batch == 1 && b == 4 ? CLIPS - 4 : 1;
        assert_memory_equal(sizes, wanted, sizeof sizes);
        run_destroy(&r);
    }
}

/* ---- what is kept, and when it stops --------------------------------------------------------------- */

/* The loss of validation clips with the labels of others rises sooner or later. */
static void stops_early(void **state)
{
    (void)state;
    nn_train_options options = run_options();
    options.epochs = 200;
    options.patience = 4;
    run r;
    nn_train_end end;
    run_make(&r, 2, NN_AUDIO, 0, &options);
    int wrong[CLIPS];
    nn_clips val = contrary(&r, wrong);
    assert_ok(r.ctx, run_go(&r, &val, &end));
    assert_int_equal(end, NN_TRAIN_PATIENCE);
    assert_true(r.epochs >= 5 && r.epochs < 200);
    int lowest = 0, best = 0;
    for (int i = 0; i < r.epochs; i++) {
        const nn_epoch *e = &r.epoch[i], *b = &r.epoch[best];
        lowest = e->val_loss < r.epoch[lowest].val_loss ? i : lowest;
        const bool better = i == 0 || e->val_accuracy > b->val_accuracy ||
                            (e->val_accuracy == b->val_accuracy && e->val_loss < b->val_loss);
        assert_int_equal(e->best, better);
        best = better ? i : best;
        assert_int_equal(e->epoch, i + 1);
    }
    assert_int_equal(r.epochs, lowest + 1 + 4);
    assert_int_equal(nn_trainer_progress(r.trainer).best_epoch, best + 1);
    assert_ok(r.ctx, run_go(&r, &val, &end)); /* it stays stopped */
    assert_int_equal(end, NN_TRAIN_PATIENCE);
    assert_int_equal(r.seen, 0);
    run_destroy(&r);
}

/* Validation is an inference plan over sorted batches of the same weights. */
static void validation_is_exact(int batch)
{
    nn_train_options options = run_options();
    options.epochs = 2;
    options.batch = batch;
    run r;
    nn_train_end end;
    run_make(&r, 2, NN_AUDIO, 0.5f, &options);
    assert_ok(r.ctx, run_go(&r, &r.clips, &end));
    double loss = 0;
    int hits = 0;
    for (int i = 0; i < CLIPS; i++) {
        tn_plan *plan;
        const tn_input_shape shapes[2] = {{"sequence", {1, r.steps[i], INPUTS}}, {"lengths", {1}}};
        const tn_plan_options inference = {.mode = TN_INFERENCE};
        assert_ok(r.ctx, tn_plan_create(r.graph, &inference, shapes, 2, &plan));
        tn_tensor x = tn_plan_value(plan, r.net.input);
        x = tn_view(x.data, 2, x.size + 1);
        assert_ok(r.ctx, run_fill(&r, (size_t)i, 0, &x));
        tn_plan_value(plan, r.net.lengths).data[0] = (float)r.steps[i];
        tn_plan_forward(plan);
        const float *p = tn_plan_value(plan, r.net.probabilities).data;
        int told;
        nn_largest(p, CLASSES, 1, &told);
        hits += told == r.label[i];
        loss -= log((double)p[r.label[i]]);
        tn_plan_destroy(plan);
    }
    assert_true(fabs(r.epoch[1].val_loss - loss / CLIPS) < 1e-5);
    assert_true(fabs(r.epoch[1].val_accuracy - (double)hits / CLIPS) < 1e-12);
    run_destroy(&r);
}

/* Once every clip is told right, the loss goes on falling, and the later epoch is kept. */
static void equal_accuracies_go_by_loss(void **state)
{
    (void)state;
    nn_train_options options = run_options();
    options.epochs = 60;
    options.batch = CLIPS;
    run r;
    nn_train_end end;
    run_make(&r, 2, NN_AUDIO, 0, &options);
    assert_ok(r.ctx, run_go(&r, &r.clips, &end));
    const nn_epoch *last = &r.epoch[r.epochs - 1];
    assert_true(last[0].val_accuracy == 1 && last[-1].val_accuracy == 1);
    assert_true(last[0].val_loss < last[-1].val_loss);
    assert_true(last[0].best && last[-1].best);
    run_destroy(&r);
}

static void validation_in_batches(void **state)
{
    (void)state;
    validation_is_exact(5);
}

static void validation_with_one_plan(void **state)
{
    (void)state;
    validation_is_exact(CLIPS);
}

/* A class that weighs nothing is not learnt, and the others are. */
static void class_weights_count(void **state)
{
    (void)state;
    const float weight[CLASSES] = {1, 0, 2};
    nn_train_options options = run_options();
    options.epochs = 60;
    options.batch = CLIPS;
    options.class_weight = weight;
    run r;
    nn_train_end end;
    run_make(&r, 2, NN_AUDIO, 0, &options);
    assert_ok(r.ctx, run_go(&r, &r.clips, &end));
    int rows[CLASSES] = {0};
    for (int i = 0; i < CLIPS; i++)
        rows[r.label[i]]++;
    const nn_epoch *last = &r.epoch[r.epochs - 1];
    assert_true(last->loss < 0.1 && last->val_loss > 1);
    assert_true(fabs(last->accuracy - (double)(rows[0] + rows[2]) / CLIPS) < 1e-12);
    assert_true(fabs(last->uar - 2.0 / 3) < 1e-12);
    run_destroy(&r);
}

/* ---- what is wrong --------------------------------------------------------------------------------- */

static void refuses(run *r, const nn_clips *val, tn_status want, const char *part)
{
    nn_train_end end;
    assert_status(r->ctx, run_go(r, val, &end), want);
    if (!strstr(tn_error(r->ctx), part))
        fail_msg("\"%s\" lacks \"%s\"", tn_error(r->ctx), part);
    tn_clear_error(r->ctx);
}

static void bad_clips_are_refused(void **state)
{
    (void)state;
    const nn_train_options options = run_options();
    run r;
    run_make(&r, 1, NN_AUDIO, 0, &options);
    r.label[3] = CLASSES;
    refuses(&r, NULL, TN_RANGE, "training: clip 3 has the label 3, expected 0 to 2");
    r.label[3] = 0;
    nn_clips val = r.clips;
    int none[CLIPS] = {0};
    val.steps = none;
    refuses(&r, &val, TN_RANGE, "validation: clip 0 has 0 steps");
    val.steps = NULL;
    refuses(&r, &val, TN_SHAPE, "validation: clips have no lengths");
    r.clips.count = 0;
    refuses(&r, NULL, TN_RANGE, "no clips");
    run_destroy(&r);
    nn_train_options bad = options;
    bad.batch = 0;
    tn_ctx *ctx = test_ctx(1, NULL);
    tn_graph *graph;
    assert_ok(ctx, tn_graph_create(ctx, &graph));
    const nn_audio_config config = nn_audio_defaults(3);
    const nn_network net = nn_audio_build(graph, &config);
    nn_trainer *trainer;
    assert_status(ctx, nn_trainer_create(graph, &net, 3, &bad, &trainer), TN_RANGE);
    tn_graph_destroy(graph);
    tn_ctx_destroy(ctx);
}

/* The run ends, and the checkpoint is that of the last good epoch. */
static void a_loss_that_is_no_number_stops(void **state)
{
    (void)state;
    char *dir = test_make_dir(), *path = test_text("%s/c.safetensors", dir);
    nn_train_options options = run_options();
    options.checkpoint = path;
    run r;
    run_make(&r, 2, NN_AUDIO, 0, &options);
    r.poison = true;
    refuses(&r, NULL, TN_RANGE, "step 5");
    assert_int_equal(r.epochs, 1);
    run_destroy(&r);
    run_make(&r, 2, NN_AUDIO, 0, &options);
    assert_ok(r.ctx, nn_trainer_load(r.trainer, path));
    assert_int_equal(nn_trainer_progress(r.trainer).step, 4);
    nn_train_end end;
    assert_ok(r.ctx, run_go(&r, NULL, &end));
    run_destroy(&r);
    test_remove_dir(dir);
    free(path);
}

/* Of every step, whatever its batch's size: with 16 clips in batches of 5, four plans' worth an epoch. */
static void profiles_sum_up_all_batches(void **state)
{
    (void)state;
    for (int on = 0; on < 2; on++) {
        nn_train_options options = run_options();
        options.epochs = 3;
        options.profile = on;
        run r;
        nn_train_end end;
        int count = -1;
        run_make(&r, 1, NN_AUDIO, 0, &options);
        assert_true(!nn_trainer_profile(r.trainer, &count) && count == 0);
        assert_ok(r.ctx, run_go(&r, NULL, &end));
        for (int again = 0; again < 2; again++) {
            const tn_step_info *step = nn_trainer_profile(r.trainer, &count);
            assert_int_equal(count > 5, on);
            bool dense = false;
            for (int i = 0; i < count; i++) {
                assert_int_equal(step[i].runs, 3 * 4);
                assert_true(step[i].forward_seconds > 0);
                dense = dense || (strcmp(step[i].name, "dense1") == 0 && strcmp(step[i].op, "linear") == 0 &&
                                  step[i].flops > 0 && step[i].backward_seconds > 0);
            }
            assert_int_equal(dense, on);
        }
        run_destroy(&r);
    }
}

/* Weights and inputs are finite, but a layer overflows: it is named, and nothing behind it. */
static void a_layer_that_overflows_is_named(void **state)
{
    (void)state;
    static const struct {
        nn_kind kind;
        const char *param, *part;
    } cases[] = {
        {NN_AUDIO, "dense2.weight", "step 1: the loss is "},
        {NN_AUDIO, "dense2.weight", "what dense2 (linear) gives is not, of finite weights and inputs"},
        {NN_AUDIO, "dense1.weight", "what dense1 (linear) gives"},
        {NN_VIDEO, "layer2.0.conv2.weight", "what layer2.0.conv2 (conv3d) gives"},
        {NN_VIDEO, "conv1.weight", "what conv1 (conv3d) gives"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        nn_train_options options = run_options();
        run r;
        run_make(&r, 2, cases[i].kind, 0, &options);
        tn_var *param = tn_find(r.graph, cases[i].param);
        assert_non_null(param);
        const tn_tensor value = tn_value(param);
        for (int64_t k = 0; k < tn_numel(&value); k++)
            value.data[k] = 3e38f;
        refuses(&r, NULL, TN_RANGE, cases[i].part);
        assert_int_equal(nn_trainer_progress(r.trainer).step, 0);
        run_destroy(&r);
    }
}

/* In validation, too. */
static void a_layer_that_overflows_in_validation(void **state)
{
    (void)state;
    nn_train_options options = run_options();
    options.optimizer = nn_optimizer_defaults(NN_SGD);
    options.optimizer.momentum = 0;
    options.schedule.rate = 1e38;
    options.batch = CLIPS;
    run r;
    run_make(&r, 2, NN_AUDIO, 0, &options);
    refuses(&r, &r.clips, TN_RANGE, "validation after step 1: the loss is ");
    run_destroy(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(video_overfits),
        cmocka_unit_test(audio_overfits),
        cmocka_unit_test(going_on_gives_equal_bits),
        cmocka_unit_test(threads_give_equal_bits),
        cmocka_unit_test(masks_differ_by_step_and_seed),
        cmocka_unit_test(each_clip_once),
        cmocka_unit_test(a_small_last_batch_joins_the_one_before),
        cmocka_unit_test(stops_early),
        cmocka_unit_test(equal_accuracies_go_by_loss),
        cmocka_unit_test(validation_in_batches),
        cmocka_unit_test(validation_with_one_plan),
        cmocka_unit_test(class_weights_count),
        cmocka_unit_test(bad_clips_are_refused),
        cmocka_unit_test(a_loss_that_is_no_number_stops),
        cmocka_unit_test(profiles_sum_up_all_batches),
        cmocka_unit_test(a_layer_that_overflows_is_named),
        cmocka_unit_test(a_layer_that_overflows_in_validation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
