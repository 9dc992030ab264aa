/* Adam and SGD against torch.optim, over ten steps. */
#include "tests/common/golden.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The golden vector, repeated so that several threads have work. */
enum { SEED = 11, N = 1000, REPEAT = 40 };

static void draw(float *out, const char *name, float low, float high)
{
    tn_fill_uniform(out, N, SEED, tn_hash(name), low, high);
    for (int i = 1; i < REPEAT; i++)
        memcpy(out + i * N, out, N * sizeof *out);
}

typedef struct memory {
    float *param, *grad, *a, *b; /* N * REPEAT each; a and b belong to the optimiser */
} memory;

/* Rubbish in a fresh buffer is what SGD must not read; Adam's moments begin at 0. */
static memory new_memory(float first)
{
    memory m;
    float **parts[] = {&m.param, &m.grad, &m.a, &m.b};
    for (int p = 0; p < 4; p++) {
        *parts[p] = malloc(N * REPEAT * sizeof(float));
        assert_non_null(*parts[p]);
        for (int i = 0; i < N * REPEAT; i++)
            (*parts[p])[i] = first;
    }
    draw(m.param, "param", -1, 1);
    return m;
}

static void free_memory(memory *m)
{
    free(m->param);
    free(m->grad);
    free(m->a);
    free(m->b);
}

static void run(const char *name, const tn_adam *adam, const tn_sgd *sgd)
{
    tn_ctx *ctx = test_ctx(3, NULL);
    wt_file *want = golden_open(ctx, "update");
    memory m = new_memory(adam ? 0.0f : 1e9f);
    for (int step = 1; step <= 10; step++) {
        char key[64];
        snprintf(key, sizeof key, "grad.%d", step);
        draw(m.grad, key, -0.5f, 0.75f);
        if (adam)
            tn_adam_step(ctx, adam, step, N * REPEAT, m.param, m.grad, m.a, m.b);
        else
            tn_sgd_step(ctx, sgd, step, N * REPEAT, m.param, m.grad, m.a);
        if (step != 1 && step != 10)
            continue;
        snprintf(key, sizeof key, "%s.%d", name, step);
        const int64_t size = N;
        const tn_tensor got = tn_view(m.param, 1, &size);
        golden_near(ctx, want, key, &got, 1e-6);
        for (int i = 1; i < REPEAT; i++)
            assert_memory_equal(m.param + i * N, m.param, N * sizeof(float));
    }
    free_memory(&m);
    wt_close(want);
    tn_ctx_destroy(ctx);
}

static void adam(void **state)
{
    (void)state;
    run("adam", &(tn_adam){.lr = 0.01f, .beta1 = 0.9f, .beta2 = 0.999f, .eps = 1e-8f}, NULL);
    run("adam_decay",
        &(tn_adam){.lr = 0.003f, .beta1 = 0.8f, .beta2 = 0.95f, .eps = 1e-6f, .weight_decay = 0.05f}, NULL);
}

static void sgd(void **state)
{
    (void)state;
    run("sgd", NULL, &(tn_sgd){.lr = 0.1f});
    run("sgd_momentum", NULL, &(tn_sgd){.lr = 0.05f, .momentum = 0.9f, .weight_decay = 0.01f});
    run("sgd_nesterov", NULL, &(tn_sgd){.lr = 0.05f, .momentum = 0.8f, .nesterov = true});
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(adam),
        cmocka_unit_test(sgd),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
