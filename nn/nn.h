/* nn: the networks as graph builders, their weights, ready models, and support vector machines.
 *
 * A network is a plain config struct and a builder that adds it to a tn_graph; parameters carry the names of
 * the PyTorch state_dict, so that a converted checkpoint binds 1:1 (docs/models.md lists them). A config is
 * made by a _defaults() function or read from the weights with a _config_from() function. nn_bind() gives a
 * graph its weights, nn_init() random ones, nn_save() writes them. An nn_model is all of that for a program
 * that only wants answers.
 *
 * Nothing here prints or exits. Functions that can fail return a tn_status and leave one message in the
 * context.
 */
#ifndef NN_NN_H
#define NN_NN_H

#include "libtensor/tensor.h"
#include "weights/weights.h"

/* ---- video network --------------------------------------------------------------------------------- */

enum { NN_STAGES = 4 };

/* An inflated bottleneck ResNet (He et al. 2016; Carreira and Zisserman 2017), as in the Moments in Time
 * release. Stage i = 1..4 has blocks[i - 1] bottleneck blocks of width * 2^(i - 1) planes; its first block
 * has stride 1 for i = 1, else 2 on all three axes. */
typedef struct nn_video_config {
    int blocks[NN_STAGES]; /* of layer1 to layer4 */
    int width;             /* channels of the stem and planes of layer1 */
    int expansion;         /* channels that leave a block: expansion * planes */
    int in_channels;       /* of the clip: 3 for RGB */
    int stem_kernel[3];    /* of conv1 (T, H, W), odd; its padding is kernel / 2 */
    int stem_stride[3];    /* of conv1 (T, H, W) */
    bool stem_pool;        /* 3x3x3 max pool with stride 2 behind the stem */
    int classes;           /* rows of the head */
    char head[32];         /* the head's name: "last_linear" or "fc" */
    float eps;             /* of every batch norm */
    float momentum;        /* same, PyTorch's convention */
} nn_video_config;

/* ResNet-50 with 64 channels, 7x7x7 stem of stride (1, 2, 2), eps 1e-5, momentum 0.1, head "last_linear". */
nn_video_config nn_video_defaults(int classes);

/* Channels of the features: width * 8 * expansion (2048 for ResNet-50). */
int64_t nn_video_features(const nn_video_config *config);

/* Reads every size from the tensors of a file and the stem's stride and pool from its metadata (else the
 * defaults). Fails with TN_SHAPE, the message naming the file, the tensor, its shape and what was expected,
 * or with TN_FORMAT for the metadata. */
tn_status nn_video_config_from(tn_ctx *ctx, const wt_file *file, nn_video_config *config);

/* The vars of a network in a graph. */
typedef struct nn_network {
    tn_var *input;         /* video: "clip" (N, C, T, H, W); audio: "sequence" (N, T, F) */
    tn_var *lengths;       /* audio: "lengths" (N) as whole floats; video: NULL */
    tn_var *features;      /* output "features" (N, F): what the head sees */
    tn_var *logits;        /* output "logits" (N, classes) */
    tn_var *probabilities; /* output "probabilities" (N, classes) */
    tn_var *attention;     /* audio: output "attention" (N, T), 0 past the length; video: NULL */
} nn_network;

/* Adds the network to a graph. Mistakes poison the graph, as everywhere. */
nn_network nn_video_build(tn_graph *graph, const nn_video_config *config);

/* Its two parts, for other heads and for training on cached features: x (N, C, T, H, W) -> (N, F), and
 * features (N, F) -> logits. */
tn_var *nn_video_backbone(tn_graph *graph, tn_var *x, const nn_video_config *config);
tn_var *nn_video_head(tn_graph *graph, tn_var *features, const nn_video_config *config);

/* ---- audio network --------------------------------------------------------------------------------- */

/* What stands in for the query u of local attention. */
typedef enum nn_attention {
    NN_ATTENTION_LOCAL,  /* a trained vector (Mirsamadi et al. 2017, eq. 2): parameter "attention.query" */
    NN_ATTENTION_SOFTMAX /* softmax(W c + b), c constant 1 / F: "attention.query.weight" (F, F), ".bias" */
} nn_attention;

/* Dense-ReLU-dropout twice, input dropout, bidirectional LSTM, local attention, dense. */
typedef struct nn_audio_config {
    int inputs;          /* features of a window: 34 */
    int dense[2];        /* units of dense1 and dense2: 512, 512 */
    int cells;           /* of the LSTM, each way: 128 */
    int classes;         /* rows of the head */
    nn_attention kind;   /* of the query */
    float dropout;       /* behind each dense layer */
    float input_dropout; /* before the LSTM, one mask per sequence */
} nn_audio_config;

/* 34 - 512 - 512 - 2 x 128, local attention, every dropout 0.5. */
nn_audio_config nn_audio_defaults(int classes);

/* Reads every size from the tensors of a file, the kind of attention from its tensors too; dropouts are the
 * defaults. Errors as for nn_video_config_from(). */
tn_status nn_audio_config_from(tn_ctx *ctx, const wt_file *file, nn_audio_config *config);

nn_network nn_audio_build(tn_graph *graph, const nn_audio_config *config);

/* How features are scaled before they enter the audio network. */
typedef enum nn_norm {
    NN_NORM_TRAIN, /* (x - mean) / deviation, each feature's own over the training set */
    NN_NORM_FRAME, /* z-score within each window over its features (population deviation) */
    NN_NORM_NONE   /* as they are */
} nn_norm;

typedef struct nn_scaling {
    nn_norm norm;     /* which of the three */
    int width;        /* features of a window */
    float *mean;      /* width, or NULL but for NN_NORM_TRAIN */
    float *deviation; /* same; where it is 0 the feature is only centred */
} nn_scaling;

/* Scales `windows` x scaling->width row-major features into `out` (windows, width; any strides). A feature
 * that is not finite counts as 0 before scaling (the paper's rule); what is not finite as a float after it
 * becomes 0. Returns how many there were. A window whose features are all equal becomes 0 under
 * NN_NORM_FRAME. */
size_t nn_scale(const nn_scaling *scaling, const double *features, size_t windows, const tn_tensor *out);

/* The names in metadata and options: "train", "frame", "none"; "local", "softmax-query". The second of each
 * pair returns false, and leaves *out alone, for any other text. */
const char *nn_norm_name(nn_norm norm);
bool nn_norm_parse(const char *text, nn_norm *out);
const char *nn_attention_name(nn_attention kind);
bool nn_attention_parse(const char *text, nn_attention *out);

/* ---- building blocks of other networks ------------------------------------------------------------- */

/* Convolution without bias: parameter NAME.weight. */
tn_var *nn_conv(tn_graph *graph, tn_var *x, const char *name, int64_t in, int64_t out, const int kernel[3],
                const int stride[3], const int pad[3]);

/* Batch norm: NAME.weight, .bias, .running_mean, .running_var, each (channels). */
tn_var *nn_batch_norm(tn_graph *graph, tn_var *x, const char *name, int64_t channels,
                      tn_batch_norm_attr attr);

/* NAME.weight (out, in) and NAME.bias (out). */
tn_var *nn_linear(tn_graph *graph, tn_var *x, const char *name, int64_t in, int64_t out);

/* Adds the input "labels" (N), the input "class_weights" (classes) where `weighted`, and the scalar output
 * "loss": tn_cross_entropy() of the logits. */
tn_var *nn_add_loss(tn_graph *graph, tn_var *logits, int64_t classes, bool weighted);

/* ---- weights --------------------------------------------------------------------------------------- */

/* Random values for every parameter and buffer of a graph, told by name and rank: convolutions He uniform,
 * U(-b, b) with b = sqrt(6 / fan_in) (He et al. 2015); matrices Glorot uniform, b = sqrt(6 / (in + out));
 * *.weight_hh_* orthogonal, b_ih 0 but 1 for the forget gate (Keras' defaults); batch norm weight and
 * variance 1; attention.query 1 / F; everything else 0. Each draws from Philox with key `seed` and stream
 * tn_hash(name), so the result depends on nothing else. TN_NOMEM. */
tn_status nn_init(tn_graph *graph, uint64_t seed);

/* Shown the plan of something that has run, for profiles. */
typedef void (*nn_plan_fn)(void *arg, const tn_plan *plan);

/* Sets the running statistics of every batch norm of a video graph to those of one batch of clips (N, C, T,
 * H, W), layer behind layer as a training step computes them, so that seeded weights keep sane activations.
 * N * T * H * W must leave more than one value a channel at the last layer. `seen` (NULL: nobody) is shown
 * the plan after its run. TN_NOMEM, TN_SHAPE, and TN_RANGE where the statistics are not finite. */
tn_status nn_video_calibrate(tn_graph *graph, const nn_video_config *config, const tn_tensor *clips,
                             nn_plan_fn seen, void *arg);

/* Gives every parameter and buffer of the graph its tensor of the same name. Mapped floats are borrowed (the
 * file must outlive the graph's plans), other types converted into the graph's own memory. `skip`, unless
 * NULL, is a prefix as for tn_set_trainable(): what is below it keeps its values (a new head). Every tensor
 * that is missing, of another shape or unexpected is named, with both shapes, in one TN_SHAPE message (as
 * many as it holds, and how many more). Never unexpected are *.num_batches_tracked, norm.* and what is below
 * `skip`. A poisoned graph gives what it recorded. */
tn_status nn_bind(tn_graph *graph, const wt_file *file, const char *skip);

/* ---- model files ----------------------------------------------------------------------------------- */

typedef enum nn_kind { NN_VIDEO, NN_AUDIO } nn_kind;

const char *nn_kind_name(nn_kind kind); /* "video", "audio" */

/* What a model file says beside its weights. A converted checkpoint says nothing of this. */
typedef struct nn_facts {
    nn_kind kind;       /* valence.kind; without it told from the tensors */
    int classes;        /* rows of the head */
    char **class_name;  /* valence.classes, in the order of the head; NULL: unknown */
    int frames;         /* video, valence.frames: frames of a clip; 0: not said */
    int size;           /* video, valence.size: height and width; 0: not said */
    double fps;         /* video, valence.fps: frames a second; 0: not said */
    int rate;           /* audio, valence.rate: Hz that sound is resampled to; 0: as it is */
    double eps;         /* audio, valence.eps: of the feature extraction; 0: not said */
    nn_scaling scaling; /* audio, valence.norm, norm.mean, norm.std */
} nn_facts;

/* Saves parameters and buffers of a graph as safetensors with the facts as metadata, whole or not at all;
 * reading it back gives the same bits. Exactly one of the configs is not NULL; config and facts must agree.
 * `more` is further metadata (the recipe), of `more_count` entries. TN_RANGE for a class name that is empty
 * or holds a comma or a line end, or that is there twice; else what wt_save() fails with. */
tn_status nn_save(tn_graph *graph, const char *path, const nn_video_config *video,
                  const nn_audio_config *audio, const nn_facts *facts, const wt_meta *more, int more_count);

/* Whether a model file can hold these class names: not empty, no commas or line ends, none twice. TN_RANGE
 * names the first that it cannot, and `path`, the file that they are from. */
tn_status nn_check_names(tn_ctx *ctx, const char *path, char *const *name, int count);

typedef struct nn_model nn_model;

typedef struct nn_model_options {
    nn_kind kind;            /* what the caller expects the file to hold */
    const wt_labels *labels; /* class names; NULL: those of the file */
    bool nameless;           /* go on without any class names */
    tn_precision precision;  /* of the plans: see tn_plan_create() */
} nn_model_options;

/* Opens a file of weights and builds its network, ready to predict. Fails where the file cannot be read, is
 * of the other kind, does not fit (as nn_bind()), has no class names and none are given, where their number
 * is not that of the head's rows, or as tn_check_precision(). */
tn_status nn_model_open(tn_ctx *ctx, const char *path, const nn_model_options *options, nn_model **out);
void nn_model_close(nn_model *model);

/* All live as long as the model; facts->class_name holds the names in use. */
const nn_facts *nn_model_facts(const nn_model *model);
const char *nn_model_path(const nn_model *model);
tn_graph *nn_model_graph(const nn_model *model);
const nn_video_config *nn_model_video(const nn_model *model); /* NULL for an audio model */
const nn_audio_config *nn_model_audio(const nn_model *model); /* NULL for a video model */

/* Makes the model ready for inputs of this shape. The plan is kept and used again as long as shapes repeat.
 * *input is where the caller writes the clips, (batch, 3, frames, height, width), or sequences (batch,
 * steps, features) with *lengths (batch) preset to `steps`. Views are good until the next call. */
tn_status nn_video_prepare(nn_model *model, int batch, int frames, int height, int width, tn_tensor *input);
tn_status nn_audio_prepare(nn_model *model, int batch, int steps, tn_tensor *input, tn_tensor *lengths);

/* Views of a run's results; they live until the model is prepared or run again. */
typedef struct nn_result {
    tn_tensor features;      /* (N, F) */
    tn_tensor logits;        /* (N, classes) */
    tn_tensor probabilities; /* (N, classes) */
    tn_tensor attention;     /* audio: (N, T); video: data NULL */
} nn_result;

/* Runs the prepared plan. TN_RANGE where a logit is not finite: the message names the first parameter that is
 * not, else the input. */
tn_status nn_model_run(nn_model *model, nn_result *result);

/* Scales the features of one clip with the model's scaling, prepares and runs. `width` must be the network's
 * (TN_SHAPE) and `windows` at least 1 (TN_RANGE). *replaced, where not NULL, is the count of nn_scale(). */
tn_status nn_audio_predict(nn_model *model, const double *features, size_t windows, int width,
                           nn_result *result, size_t *replaced);

/* The plan of the last prepare, for profiles; NULL before. */
const tn_plan *nn_model_plan(const nn_model *model);

/* ---- metrics --------------------------------------------------------------------------------------- */

/* A confusion matrix is classes x classes counts, row-major: rows are true, columns predicted classes. */

typedef struct nn_interval {
    double low, high; /* from 0 to 1; NAN where there is none */
} nn_interval;

/* A number from 0 to 1 with its 95 % interval. NAN where it is a quotient of 0 and 0. */
typedef struct nn_rate {
    double value;         /* the estimate */
    nn_interval interval; /* 95 % */
} nn_rate;

typedef struct nn_class_metrics {
    int64_t clips;     /* that are of the class */
    int64_t predicted; /* that are said to be */
    int64_t right;     /* both */
    nn_rate recall;    /* right / clips: the accuracy of the class */
    nn_rate precision; /* right / predicted */
    double f1;         /* 2 right / (clips + predicted) */
} nn_class_metrics;

typedef struct nn_metrics {
    int classes;                /* of the matrix */
    int64_t clips, right;       /* all, and those on the diagonal */
    nn_rate accuracy;           /* right / clips */
    nn_rate uar;                /* unweighted average recall: mean over the classes that have clips */
    nn_rate f1;                 /* macro: mean over the classes that have clips or are predicted */
    nn_class_metrics *of_class; /* one a class */
} nn_metrics;

/* All of these from a confusion matrix with counts of at least 0. The intervals take clips for independent,
 * which clips of one source are not. Those of accuracy, recall and precision are Wilson's (Wilson 1927). That
 * of UAR is made of the recalls' by their distances from them (Zou, Huang and Zhang 2009, "A note on
 * confidence interval estimation for a linear function of binomial proportions"). That of macro F1 is normal,
 * the variance by the delta method on the multinomial cells (Takahashi et al. 2022, "Confidence interval for
 * micro-averaged F1 and macro-averaged F1 scores"), cut to [0, 1]; NAN where every class's F1 is 0 or 1.
 * TN_NOMEM. */
tn_status nn_metrics_compute(tn_ctx *ctx, const int64_t *matrix, int classes, nn_metrics *out);
void nn_metrics_free(tn_ctx *ctx, nn_metrics *metrics);

/* Wilson's interval for `right` of `clips`. */
nn_interval nn_wilson(int64_t right, int64_t clips);

typedef struct nn_mcnemar {
    bool exact;  /* by the binomial distribution */
    double chi2; /* the statistic; 0 where exact */
    double p;    /* two-sided, that two equally good systems would differ so much */
} nn_mcnemar;

/* McNemar's test of two systems on the same clips: `first` clips only the first has right, `second` only the
 * second. Fewer than 25 such clips: the exact binomial test, p = min(1, 2 P(X <= min)), X ~ B(first + second,
 * 1/2). Else chi-square of one degree of freedom with the continuity correction of Edwards 1948, (|first -
 * second| - 1)^2 / (first + second). */
nn_mcnemar nn_mcnemar_test(int64_t first, int64_t second);

/* ---- score files ----------------------------------------------------------------------------------- */

/* What a system says of a clip. */
typedef struct nn_score {
    const char *name;          /* of the clip; not empty, unique */
    int label;                 /* true class; -1: unlabelled */
    int predicted;             /* class */
    const char *source;        /* of the clip: the video it was cut from; "" : not known */
    int faces;                 /* in the clip; -1: not known */
    const char *split;         /* "train", "val", ...; "": not known */
    const double *probability; /* classes; NULL: the system gives none */
    long line;                 /* of the file; 0 where there is none */
} nn_score;

typedef struct nn_scores {
    int classes;              /* at least 2 */
    const char **class_name;  /* in the system's order */
    size_t count;             /* clips */
    nn_score *row;            /* one a clip */
    const char *path;         /* of the file, for messages; NULL: none */
    void *text, *probability; /* what a reader keeps: the file, and room for numbers */
} nn_scores;

/* How far the probabilities of a clip may be from 1 in sum: files that others make have few digits. */
#define NN_SCORES_TOLERANCE 1e-3

/* Limits of a score file. */
enum {
    NN_MAX_CLIPS = 1 << 18,         /* rows */
    NN_MAX_SCORE_CLASSES = 1 << 10, /* class columns */
    NN_MAX_PROBABILITIES = 1 << 22  /* rows times classes */
};

/* Reads CSV (RFC 4180) with a header. Columns `name`, `label`, `predicted`, `source`, `faces` and `split` may
 * stand in any order; every other column is a class and holds its probability, at least two. Only `name` has
 * to be there. Empty cells: no label, faces not known, and in all classes of a row no probabilities. Without
 * a column `predicted` the most probable class is predicted, the first of equals. Numbers have decimal points
 * whatever the locale. TN_FORMAT with "FILE:LINE: ..." for a clip or column that is there twice, another
 * number of cells than the header has, a class that is no column, what is not a number, a negative
 * probability, a sum that is off by more than NN_SCORES_TOLERANCE; TN_UNSUPPORTED beyond the limits; TN_IO;
 * TN_NOMEM. */
tn_status nn_scores_read(tn_ctx *ctx, const char *path, nn_scores *out);
void nn_scores_free(tn_ctx *ctx, nn_scores *scores); /* of a read file */

/* Writes such a file, whole or not at all; reading it gives the same bits. What reading would refuse is
 * refused: TN_RANGE names the clip. `line`, `path` and what a reader keeps are not looked at. */
tn_status nn_scores_write(tn_ctx *ctx, const char *path, const nn_scores *scores);

/* Whether a score file can have these classes: at least two, none called like another column. TN_RANGE names
 * the first that it cannot, and `path`, the file that they are from. */
tn_status nn_scores_check_names(tn_ctx *ctx, const char *path, char *const *class_name, int classes);

/* Clips by number of faces. */
typedef enum nn_faces { NN_FACES_ANY, NN_FACES_FEWER, NN_FACES_MORE, NN_FACES_UNKNOWN } nn_faces;

/* Which clips count. */
typedef struct nn_selection {
    const char *split; /* of this split only; NULL: of any */
    nn_faces faces;    /* of this group: fewer than `limit`, or `limit` and more */
    int limit;         /* faces */
} nn_selection;

bool nn_selected(const nn_score *score, const nn_selection *selection);

/* Fills the confusion matrix of the labelled clips that are selected and returns how many these are. */
int64_t nn_scores_confusion(const nn_scores *scores, const nn_selection *selection, int64_t *matrix);

/* How two systems do on the clips that both have, selected and labelled. */
typedef struct nn_paired {
    int64_t clips;         /* shared */
    int64_t both, neither; /* have it right */
    int64_t first, second; /* only this one has */
    nn_mcnemar test;       /* of the last two */
} nn_paired;

/* Classes are compared by name. TN_FORMAT names a clip that is labelled differently in the two. TN_NOMEM. */
tn_status nn_scores_compare(tn_ctx *ctx, const nn_scores *first, const nn_scores *second,
                            const nn_selection *selection, nn_paired *out);

/* Writes the selected unlabelled clips as label files are written: the header "Vid_name Label", then
 * "NAME LABEL", 1 being the first class; whole or not at all. *count is how many. TN_RANGE where there is
 * none, or a name has white space or a file name's ending. */
tn_status nn_predictions_write(tn_ctx *ctx, const char *path, const nn_scores *scores,
                               const nn_selection *selection, size_t *count);

/* ---- published confusion matrices ------------------------------------------------------------------ */

typedef struct nn_matrix {
    int classes;             /* at least 2 */
    const char **class_name; /* in the order of the header */
    int64_t *count;          /* classes x classes */
    bool truncated;          /* the source cuts percentages off where others round */
    void *text;              /* the file, which the names are in */
} nn_matrix;

/* Reads CSV: the header's first cell is free, the others are predicted classes; each row is a true class and
 * its counts. Rows may have another order. Lines before the header that begin with # are comments, but "#
 * percentages: truncated" (or "rounded", as without it) says how the source prints them. Errors as for
 * nn_scores_read(), at most NN_MAX_SCORE_CLASSES classes, and TN_FORMAT where all counts are 0. */
tn_status nn_matrix_read(tn_ctx *ctx, const char *path, nn_matrix *out);
void nn_matrix_free(tn_ctx *ctx, nn_matrix *matrix);

/* ---- training: one step ---------------------------------------------------------------------------- */

typedef enum nn_method { NN_ADAM, NN_SGD } nn_method;

/* The names in options: "adam", "sgd"; "constant", "cosine", "step". The parsers return false, and leave *out
 * alone, for any other text. */
const char *nn_method_name(nn_method method);
bool nn_method_parse(const char *text, nn_method *out);

typedef struct nn_optimizer_options {
    nn_method method;    /* Adam (Kingma and Ba 2015), or SGD with momentum; formulas at tn_adam, tn_sgd */
    double beta1, beta2; /* Adam: decay of the moments, from 0 to below 1 */
    double eps;          /* Adam: above 0 */
    double momentum;     /* SGD: from 0 to below 1 */
    bool nesterov;       /* SGD: Nesterov's momentum */
    double weight_decay; /* added to the gradient times the parameter (L2), of every trained parameter */
    double clip;         /* bound of the norm of all gradients as one vector (Pascanu et al. 2013); 0: none */
} nn_optimizer_options;

/* beta 0.9 and 0.999, eps 1e-8; momentum 0.9; no decay, no clipping. */
nn_optimizer_options nn_optimizer_defaults(nn_method method);

typedef struct nn_optimizer nn_optimizer;

/* An optimiser of the graph's parameters that are trainable now; its moments begin at 0. Fails with TN_RANGE
 * (an option, or nothing to train) or TN_NOMEM. */
tn_status nn_optimizer_create(tn_graph *graph, const nn_optimizer_options *options, nn_optimizer **out);
void nn_optimizer_destroy(nn_optimizer *optimizer); /* before its graph; NULL is fine */

/* One update with the gradients that the plan's backward left, which clipping scales in place. `rate` is the
 * learning rate, `step` counts updates from 1. *norm, where not NULL, is the gradients' norm before clipping.
 * Parameters that the loss does not depend on stay. TN_RANGE, with nothing changed, names the first parameter
 * whose gradient is not finite. The result does not depend on the number of threads. */
tn_status nn_optimizer_step(nn_optimizer *optimizer, const tn_plan *plan, double rate, int64_t step,
                            double *norm);

/* What the optimiser keeps, for checkpoints: nn_optimizer_count() tensors of the shapes of their parameters,
 * called "adam.m.NAME" and "adam.v.NAME", or "sgd.momentum.NAME". The i-th one's name is written into `name`
 * (of `room` bytes), its values can be changed. */
int nn_optimizer_count(const nn_optimizer *optimizer);
wt_tensor nn_optimizer_moment(const nn_optimizer *optimizer, int i, char *name, size_t room);
float *nn_optimizer_values(nn_optimizer *optimizer, int i);

/* Forward, backward and update of a training plan whose inputs are written; *out is the loss before the
 * update. TN_RANGE where the loss or a gradient is not finite: the message names the step and what is to
 * blame, the first parameter, else the input, else the first layer that is not finite; the parameters are as
 * before the step. */
tn_status nn_train_step(tn_graph *graph, tn_plan *plan, const tn_var *loss, nn_optimizer *optimizer,
                        double rate, int64_t step, double *out);

typedef enum nn_schedule_kind {
    NN_SCHEDULE_CONSTANT, /* rate */
    NN_SCHEDULE_COSINE,   /* from rate to 0 over `epochs`: rate (1 + cos(pi epoch / epochs)) / 2 (Loshchilov
                             and Hutter 2017, without restarts) */
    NN_SCHEDULE_STEP      /* rate * factor^floor(epoch / every) */
} nn_schedule_kind;

const char *nn_schedule_name(nn_schedule_kind kind);
bool nn_schedule_parse(const char *text, nn_schedule_kind *out);

typedef struct nn_schedule {
    nn_schedule_kind kind; /* of the three */
    double rate;           /* at the beginning */
    double epochs;         /* cosine: when it reaches 0 */
    double every;          /* step: epochs between two reductions */
    double factor;         /* step: of a reduction */
} nn_schedule;

/* The learning rate after `epoch` epochs; fractions are positions within one. */
double nn_schedule_rate(const nn_schedule *schedule, double epoch);

/* ---- training: checkpoints ------------------------------------------------------------------------- */

/* Saves tensors (which have `data`) and metadata as safetensors, whole or not at all, with a hash over all of
 * them as metadata "valence.hash"; equal contents give equal bytes. TN_RANGE for a name, key
 * or value with control characters; else fails as wt_save() does. */
tn_status nn_checkpoint_save(tn_ctx *ctx, const char *path, const wt_tensor *tensors, int count,
                             const wt_meta *meta, int meta_count);

/* Opens such a file. TN_FORMAT where it has no hash, or another than its contents give: every file in which
 * one bit was turned over is refused. Else fails as wt_open() does. */
tn_status nn_checkpoint_open(tn_ctx *ctx, const char *path, wt_file **out);

/* ---- training: the loop ---------------------------------------------------------------------------- */

/* Labelled clips to learn from or to validate with. */
typedef struct nn_clips {
    size_t count;                  /* of clips */
    const int *label;              /* class of each, from 0 */
    const int *steps;              /* length of each, at least 1; NULL where the network takes no lengths */
    int64_t size[TN_MAX_RANK - 1]; /* of the input of one clip; the first is not read where there are steps */
    /* Writes the input of a clip, `out` having its shape and any strides: (steps, features) for sound. `step`
     * is the number of the training step, from 1, for what is to be random; 0 in validation. The result may
     * depend on nothing else. */
    tn_status (*fill)(void *arg, size_t clip, int64_t step, const tn_tensor *out);
    void *arg; /* handed to fill() */
} nn_clips;

typedef struct nn_train_options {
    uint64_t seed;                  /* of the order of clips and of dropout */
    int epochs;                     /* at most so many */
    int batch;                      /* clips of a batch; the last of an epoch may have fewer */
    int least;                      /* a last batch of fewer joins the one before; 0, 1: none does */
    int bucket;                     /* groups of so many shuffled batches are sorted by length; 0, 1: not */
    int patience;                   /* stop after so many epochs without a lower validation loss; 0: never */
    nn_optimizer_options optimizer; /* what takes the steps */
    nn_schedule schedule;           /* learning rate, taken at each step */
    const float *class_weight;      /* of each class in the training loss, borrowed; NULL: all 1 */
    const char *checkpoint;         /* file that is written after each epoch, borrowed; NULL: none */
    const wt_meta *settings;        /* kept in checkpoints, borrowed: what must be equal to go on from one */
    int setting_count;              /* of them */
    bool profile;                   /* sum up what each layer costs, for nn_trainer_profile() */
} nn_train_options;

/* What an epoch came to. Losses are means over clips (by class weight in training), accuracies shares of
 * clips, UAR the mean of the classes' recalls. Validation is NaN where there is none. Training numbers are
 * those of the steps on the way, dropout and all. */
typedef struct nn_epoch {
    int64_t epoch;                          /* from 1 */
    double loss, accuracy, uar;             /* of training */
    double val_loss, val_accuracy, val_uar; /* of validation */
    double rate;                            /* learning rate at the epoch's beginning */
    bool best; /* the best one so far: highest accuracy on validation, of equals the lower loss, of equals the
                  first; without validation the last */
} nn_epoch;

/* How far a run is. */
typedef struct nn_train_progress {
    int64_t step;         /* updates done */
    int64_t epoch;        /* epochs done */
    int64_t batch;        /* batches done of the epoch under way */
    int64_t batches;      /* of an epoch; 0 before the run */
    int64_t best_epoch;   /* the one that is kept; 0: none yet */
    double best_accuracy; /* of it, on validation */
    double best_loss;     /* same */
    double loss;          /* mean of the epoch under way */
} nn_train_progress;

typedef struct nn_trainer nn_trainer;

/* What a run calls; any may be NULL. A failure ends the run. */
typedef struct nn_train_hooks {
    void *arg;                                          /* handed to all */
    void (*step)(void *arg, const nn_trainer *trainer); /* after each step */
    bool (*stop)(void *arg);                            /* after each step: whether to stop here */
    tn_status (*better)(void *arg, const nn_epoch *e);  /* the graph holds the best weights so far */
    tn_status (*epoch)(void *arg, const nn_epoch *e);   /* after each epoch, after better() */
} nn_train_hooks;

typedef enum nn_train_end {
    NN_TRAIN_EPOCHS,     /* all epochs are done */
    NN_TRAIN_PATIENCE,   /* the validation loss has not fallen for long enough */
    NN_TRAIN_INTERRUPTED /* stop() said so; a checkpoint of this very step was saved */
} nn_train_end;

/* A run that trains the trainable parameters of a graph, which have values already; adds the loss to the
 * graph (nn_add_loss()). Fails with TN_RANGE (an option; nothing to train) or TN_NOMEM. */
tn_status nn_trainer_create(tn_graph *graph, const nn_network *net, int classes,
                            const nn_train_options *options, nn_trainer **out);
void nn_trainer_destroy(nn_trainer *trainer); /* before its graph; NULL is fine */

nn_train_progress nn_trainer_progress(const nn_trainer *trainer);

/* The whole run as it is, mid-epoch too, to a checkpoint and back into a trainer that was created alike: then
 * it goes on bit for bit as if it had never stopped. Loading fails, with nothing changed, where the file is
 * damaged (nn_checkpoint_open()), was saved with another seed or other settings (TN_RANGE names the first) or
 * for another network (TN_SHAPE). */
tn_status nn_trainer_save(const nn_trainer *trainer, const char *path);
tn_status nn_trainer_load(nn_trainer *trainer, const char *path);

/* Trains from where the trainer is. After each epoch better(), epoch() and then the checkpoint, so that a run
 * that is killed anywhere repeats at most what came after its last checkpoint. `val` NULL or empty: no
 * validation. A loss or gradient that is not finite is TN_RANGE (nn_train_step()) and leaves the last
 * checkpoint as it is. Results do not depend on the number of threads. */
tn_status nn_trainer_run(nn_trainer *trainer, const nn_clips *train, const nn_clips *val,
                         const nn_train_hooks *hooks, nn_train_end *end);

/* What each layer has cost in the steps so far, in order of the graph: seconds are sums over `runs` steps,
 * flops the mean, shapes those of the last batch. *count is 0 before the first step and without
 * options.profile. Good until the next call or step, or until nn_trainer_destroy(). */
const tn_step_info *nn_trainer_profile(nn_trainer *trainer, int *count);

/* Gives the graph the weights of a file, which must outlive the trainer, and frees what only training needs:
 * then nn_trainer_ask() tells what the best epoch says. Fails as nn_bind(). */
tn_status nn_trainer_take(nn_trainer *trainer, const wt_file *file);

/* What the network says of one clip, in inference, whose label is not looked at: a probability for each
 * class. Weights must not have changed since it was last asked. Fails as fill() and tn_plan_create() do, and
 * with TN_RANGE where a probability is not finite. */
tn_status nn_trainer_ask(nn_trainer *trainer, const nn_clips *clips, size_t clip, double *probability);

/* ---- support vector machines ----------------------------------------------------------------------- */

/* One entry of a sparse vector; entries ascend by index and what is not there is 0. */
typedef struct nn_svm_entry {
    int index;    /* LIBSVM counts from 1 */
    double value; /* finite */
} nn_svm_entry;

typedef struct nn_svm_vector {
    const nn_svm_entry *entry; /* borrowed */
    size_t count;              /* entries */
} nn_svm_vector;

/* LIBSVM's kernels, in its order: u.v, (gamma u.v + coef0)^degree, exp(-gamma |u - v|^2), tanh(gamma u.v +
 * coef0). */
typedef enum nn_svm_kernel { NN_SVM_LINEAR, NN_SVM_POLYNOMIAL, NN_SVM_RBF, NN_SVM_SIGMOID } nn_svm_kernel;

typedef struct nn_svm nn_svm;

/* Reads a text model as LIBSVM writes it: svm_type c_svc or nu_svc (they predict alike), any kernel but
 * precomputed; others are refused by name (TN_UNSUPPORTED). Errors say file, line and what was expected
 * (TN_FORMAT, TN_IO). Numbers are read in the C locale whatever the program's is. */
tn_status nn_svm_read(tn_ctx *ctx, const char *path, nn_svm **out);

/* Writes the same format, whole or not at all; coefficients and vectors come back with the same bits. */
tn_status nn_svm_write(tn_ctx *ctx, const nn_svm *svm, const char *path);
void nn_svm_destroy(tn_ctx *ctx, nn_svm *svm);

int nn_svm_classes(const nn_svm *svm);          /* k, at least 2 */
const int *nn_svm_labels(const nn_svm *svm);    /* k labels in the model's order */
int nn_svm_pairs(const nn_svm *svm);            /* k (k - 1) / 2 */
int64_t nn_svm_vectors(const nn_svm *svm);      /* support vectors */
int nn_svm_max_index(const nn_svm *svm);        /* largest index of a support vector, 0 where there is none */
bool nn_svm_has_probability(const nn_svm *svm); /* Platt's A and B are there */

/* Decision values of all pairs (0, 1), (0, 2), ..., (k - 2, k - 1), positive for the first of a pair, into
 * `decision`. Returns the class (not the label) with most votes, the first of equals. */
int nn_svm_decide(const nn_svm *svm, nn_svm_vector x, double *decision);

/* Class probabilities from decision values: Platt's sigmoid for each pair, three and more classes coupled by
 * the second method of Wu, Lin and Weng 2004 (algorithm 2), iterated as LIBSVM does. TN_UNSUPPORTED without A
 * and B; TN_NOMEM. */
tn_status nn_svm_probability(tn_ctx *ctx, const nn_svm *svm, const double *decision, double *probability);

/* A LIBSVM data file: each line a label and index:value entries. */
typedef struct nn_svm_data {
    size_t rows;         /* vectors */
    double *label;       /* rows */
    size_t *start;       /* rows + 1: row i is entry[start[i]] to entry[start[i + 1] - 1] */
    nn_svm_entry *entry; /* of all rows */
    int max_index;       /* the largest index, 0 where there is none */
} nn_svm_data;

/* Indices must ascend within a line and be at least 0, numbers finite; empty lines are refused as LIBSVM
 * does. Errors as for nn_svm_read(). */
tn_status nn_svm_data_read(tn_ctx *ctx, const char *path, nn_svm_data *out);
void nn_svm_data_free(tn_ctx *ctx, nn_svm_data *data);
nn_svm_vector nn_svm_row(const nn_svm_data *data, size_t row);

/* From row-major values (rows x width) and whole labels; index 1 is the first column, zeros are left out, and
 * max_index is the width whatever is in the last column.
 * TN_NOMEM; TN_RANGE for a value that is not finite, naming row and column. */
tn_status nn_svm_data_from(tn_ctx *ctx, const double *value, const int *label, size_t rows, int width,
                           nn_svm_data *out);

/* ---- training support vector machines -------------------------------------------------------------- */

/* C-SVC (Cortes and Vapnik 1995) as LIBSVM states it, docs/svm.md; one machine for each pair of classes. */
typedef struct nn_svm_params {
    nn_svm_kernel kernel;    /* any of the four */
    int degree;              /* polynomial, at least 0 */
    double gamma;            /* at least 0; 0: 1 / largest index, LIBSVM's default */
    double coef0;            /* polynomial, sigmoid */
    double cost;             /* C, above 0 */
    double tolerance;        /* of the stopping criterion, above 0 */
    size_t cache_bytes;      /* for kernel values, all threads together; no result depends on it */
    bool shrinking;          /* leave out variables that stay at their bounds */
    bool probability;        /* fit Platt's sigmoids; only nn_svm_train() looks at it */
    uint64_t seed;           /* of the shuffles that these need */
    int weight_count;        /* of the following two */
    const int *weight_label; /* a class whose C is multiplied */
    const double *weight;    /* by this, above 0 */
    /* nn_svm_grid() calls it on its caller's thread after some of the points are done; NULL: nobody asks. */
    void (*progress)(void *arg, size_t done, size_t points);
    void *progress_arg; /* handed to it */
} nn_svm_params;

/* RBF, C 1, degree 3, tolerance 1e-3, 100 MB, shrinking: LIBSVM's. */
nn_svm_params nn_svm_defaults(void);

/* How training one pair of classes went. */
typedef struct nn_svm_pair_fit {
    int first, second;  /* labels; positive decision values are the first's */
    double objective;   /* 1/2 a'Qa - e'a */
    double rho;         /* subtracted from decision values */
    int64_t iterations; /* of the solver */
    int vectors;        /* support vectors */
    int bounded;        /* of them with a at its cost */
    bool converged;     /* false: stopped at 10,000,000 steps or 100 a row, whichever is more */
} nn_svm_pair_fit;

/* Trains on all rows. Classes are in order of their first row, but 1 before -1 where these are the two, as in
 * LIBSVM; the pairs' machines, and with `probability` the five more of each, are trained on the context's
 * threads. `fits`, unless NULL, gets nn_svm_pairs() entries in an array for tn_free(). Labels that name
 * weights must be in the data. The same input gives the same bits whatever the threads. TN_NOMEM; TN_RANGE
 * for parameters, labels that are not whole, fewer than two classes, kernel values that are not finite
 * floats, and where no row became a support vector. */
tn_status nn_svm_train(tn_ctx *ctx, const nn_svm_data *data, const nn_svm_params *params, nn_svm **out,
                       nn_svm_pair_fit **fits);

/* Predicts each row by machines trained on the rows of other folds, to a hundredth of the tolerance
 * (docs/svm.md); fold (rows) holds numbers from 0 to rows - 1, gaps allowed. A class that a training part
 * lacks gets no vote there; a lone class wins. predicted (rows) are labels. Errors as for nn_svm_train(), and
 * TN_RANGE where one fold holds every row. */
tn_status nn_svm_cross_validate(tn_ctx *ctx, const nn_svm_data *data, const nn_svm_params *params,
                                const int *fold, int *predicted);

/* Deals the rows of each class, shuffled by `seed`, to folds in turn: folds, and each class in them, differ
 * by one row at most. `folds` is from 2 to the number of rows (TN_RANGE). */
tn_status nn_svm_folds_stratified(tn_ctx *ctx, const nn_svm_data *data, int folds, uint64_t seed, int *fold);

/* Keeps rows of one source (by name; NULL and "": a source of its own) in one fold: sources, the largest
 * first, those of one size shuffled by `seed`, go to the fold that has the fewest rows. TN_RANGE for fewer
 * sources than folds. */
tn_status nn_svm_folds_grouped(tn_ctx *ctx, const char *const *source, size_t rows, int folds, uint64_t seed,
                               int *fold);

/* A point of a grid and how it does. */
typedef struct nn_svm_point {
    nn_svm_kernel kernel; /* of nn_svm_params */
    int degree;           /* same */
    double gamma;         /* same */
    double cost;          /* same */
    int64_t correct;      /* rows predicted right, set by nn_svm_grid(); -1: kernel values overflow */
} nn_svm_point;

/* Cross-validates every point, other parameters being those of `params`, on the context's threads. *best is
 * the point with most correct rows; of equals the one with the smallest cost, then the kernel that comes
 * first in nn_svm_kernel, then the smallest degree, gamma, place. Errors as for nn_svm_cross_validate();
 * kernel values that overflow are one only where they do at every point. */
tn_status nn_svm_grid(tn_ctx *ctx, const nn_svm_data *data, const nn_svm_params *params, const int *fold,
                      nn_svm_point *points, size_t count, size_t *best);

/* ---- fusion ---------------------------------------------------------------------------------------- */

/* Late fusion (Pinto et al. 2020): an SVM on the scores [video softmax | audio softmax], or, where nobody has
 * trained one, the mean of the two. */
typedef struct nn_fusion nn_fusion;

/* Reads the SVM of `classes` classes: its labels are 1 to `classes`, each once, in the order of the networks'
 * heads. `path` NULL: the mean. Fails as nn_svm_read() does, and with TN_SHAPE where labels or inputs are not
 * those of so many classes. */
tn_status nn_fusion_open(tn_ctx *ctx, const char *path, int classes, nn_fusion **out);
void nn_fusion_close(nn_fusion *fusion); /* NULL is fine */

bool nn_fusion_is_svm(const nn_fusion *fusion);
bool nn_fusion_has_probability(const nn_fusion *fusion); /* an SVM without Platt's A and B has none */

/* Fuses the probabilities of one clip, `classes` each; one of the two may be NULL, and then the other is the
 * answer. *label is the class: the SVM's vote, which need not be the most probable class, or the largest
 * probability, the first of equals. `probability` (classes) is filled, with zeros where *known becomes false
 * because the SVM has none. TN_NOMEM. */
tn_status nn_fuse(const nn_fusion *fusion, const float *video, const float *audio, int *label,
                  double *probability, bool *known);

/* The indices of the `count` largest of n values, falling; of equals the first comes first. `count` is at
 * most n (asserted). */
void nn_largest(const float *value, int n, int count, int *index);

/* ---- cache of features ----------------------------------------------------------------------------- */

/* A frozen network gives the same features for the same clip, so they are computed once and kept in a file:
 * records of a key and `width` floats, appended one by one; of each, 40 bytes at most are in memory. A record
 * is safe from the end of the process once it is added, from that of the machine once the cache is closed.
 * One that was cut off by a crash is dropped when the file is opened, one that was damaged is not found; both
 * are then computed anew. One process at a time has the file. */
typedef struct nn_cache nn_cache;

/* Opens or makes the file. TN_FORMAT where it is no cache or of another width, TN_IO where another process
 * has it or it cannot be read or written, TN_NOMEM. */
tn_status nn_cache_open(tn_ctx *ctx, const char *path, int width, nn_cache **out);

bool nn_cache_has(const nn_cache *cache, uint64_t key); /* whether there is a record of that key */

/* The `width` floats of that key, from the file. TN_RANGE where there are none, TN_IO, TN_FORMAT where
 * another hand has changed them since they were found. */
tn_status nn_cache_read(nn_cache *cache, uint64_t key, float *out);

/* Appends a record, or does nothing where the key is there. TN_IO: the file is as it was before. */
tn_status nn_cache_add(nn_cache *cache, uint64_t key, const float *values);

size_t nn_cache_count(const nn_cache *cache); /* records that can be found */

/* Brings the records to disk (TN_IO) and frees the cache in any case. NULL is fine. */
tn_status nn_cache_close(nn_cache *cache);

/* FNV-1a over bytes, for keys of what a result depends on: begin with NN_HASH_BEGIN, chain piece by piece. It
 * tells changes apart, not forgeries. */
#define NN_HASH_BEGIN UINT64_C(0xcbf29ce484222325)
uint64_t nn_hash(uint64_t hash, const void *data, size_t bytes);

#endif
