// Settings, network and losses of semi-supervised runs.
#include "tools/ssl_model.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "methods/semi_supervised/semixup/semixup.h"
#include "methods/semi_supervised/uda/uda.h"
#include "models/optim/parameters.h"
#include "ops/create.h"
#include "ops/pointwise.h"
#include "ops/shape.h"
#include "tools/train/run_config.h"

namespace plumb::tools {

static constexpr auto fields = [](auto& r, auto&& f) {
  f("method", r.method), f("labelled", r.labelled), f("unlabelled", r.unlabelled), f("test", r.test), f("data_sha256", r.data_sha256);
  f("model", r.model), f("width", r.width), f("features", r.features), f("depth", r.depth), f("widen", r.widen), f("views", r.views);
  f("ratio", r.ratio), f("threshold", r.threshold), f("weight", r.weight), f("validation", r.validation);
  f("mean", r.mean), f("std", r.std), f("image", r.image), f("class_names", r.class_names);
};

namespace {

using namespace methods;

constexpr std::array kMethods{"uda", "shrinkmatch", "simmatchv2", "semixup", "fixmatch", "supervised"};
constexpr int64_t kEmbedding = 32, kNeighbours = 8, kQueuedBatches = 8;
constexpr int64_t kMostRatio = 1 << 20;  // the images of a step are counted in 64 bits
constexpr double kProgressDecay = 0.99, kTeacher = 0.99;

Tensor channels(const std::vector<double>& values) {
  return reshape(to(from_vector(values), f32), {1, static_cast<int64_t>(values.size()), 1, 1});
}

void store(nn::Buffer& buffer, const Tensor& value) {
  NoGrad off;
  optim::copy({value}, {buffer});
}

simmatchv2::SimMatchV2Options simmatch_options(const SslRun& run, int64_t labelled, int64_t unlabelled_batch) {
  double w = run.weight;
  return {.threshold = run.threshold,
          .neighbours = std::min(kNeighbours, labelled),
          .queue = kQueuedBatches * unlabelled_batch,
          .node_node = w,
          .edge_edge = 0.5 * w,
          .node_edge = 0.5 * w,
          .teacher = {.momentum = kTeacher},
          .seed = run.training.seed};
}

}  // namespace

std::string ssl_method_names() {
  std::string names;
  for (size_t i = 0; i < kMethods.size(); ++i) names += (i == 0 ? "" : i + 1 < kMethods.size() ? ", " : " or ") + std::string(kMethods[i]);
  return names;
}

double own_threshold(const std::string& method) { return method == "uda" || method == "simmatchv2" ? 0.8 : 0.95; }

SslRun::SslRun() {
  training.batch = 16;
  training.steps = 2000;
  training.warmup = 0;
  training.optimizer = "sgd";
  training.lr = 0.03;
  training.min_lr = 0.006;
  training.weight_decay = 5e-4;
  training.clip = 0;
  training.ema = 0.99;
}

std::string SslRun::to_json() const { return run_json("ssl", *this, fields).text(); }

SslRun SslRun::from_json(const std::string& text) {
  SslRun run;
  read_run("ssl", text, run, fields);
  require_image_sizes(run.image);
  return run;
}

void SslRun::check() const {
  training.check();
  require(validation > 0 || training.early_stop == 0, "--early-stop needs a validation part: --validation must not be 0");
  require(std::ranges::find(kMethods, method) != kMethods.end(), "--method " + method + " is unknown; choose " + ssl_method_names());
  require(model == "cnn" || model == "wide-resnet", "--model " + model + " is unknown; choose cnn or wide-resnet");
  require(ratio >= 1 && ratio <= kMostRatio, fmt::format("--ratio must lie between 1 and {}, it is {}", kMostRatio, ratio));
  require(weight >= 0, fmt::format("--weight must not be negative, it is {}", weight));
  require(validation >= 0 && validation < 1, fmt::format("--validation must lie in [0, 1), it is {}", validation));
  require(threshold > 0 && threshold < 1, fmt::format("--threshold must lie in (0, 1), it is {}", threshold));
  require(method != "shrinkmatch" || features >= 4 || model != "cnn", "--features: shrinkmatch's second head needs at least 4");
  require(width >= 1 && features >= 1, "--width and --features must be at least 1");
  require(training.device == "cpu" && training.dtype == "f32", "train ssl computes on the CPU and in f32; leave --device and --dtype out");
  require(model != "cnn" || !training.recompute, "--recompute: the cnn has no blocks to compute again");
  require(!training.capture, "--capture: a step waits for what is done to its images; leave it out");
}

SslNetwork::SslNetwork(const SslRun& run) : scale_(channels(run.std)), shift_(channels(run.mean)) {
  int64_t features = run.features;
  if (run.model == "cnn") {
    cnn_.emplace(PooledCnnConfig{.channels = run.image[0], .height = run.image[1], .width = run.image[2], .classes = run.classes(),
                                 .first = run.width, .features = run.features});
    register_module("cnn", *cnn_);
  } else {
    wide_.emplace(resnet::WideResNetConfig{.depth = run.depth, .widen = run.widen, .channels = run.image[0], .classes = run.classes()});
    wide_->recompute = run.training.recompute;
    register_module("wide_resnet", *wide_);
    features = 64 * run.widen;
  }
  if (run.method == "shrinkmatch") {
    auxiliary_.emplace(features, run.classes());
    register_module("auxiliary", *auxiliary_);
  }
  if (run.method == "simmatchv2") {
    heads_.emplace(features, run.classes(), kEmbedding);
    register_module("heads", *heads_);
  }
}

Tensor SslNetwork::features(const Tensor& images) const {
  Tensor x = (images - shift_) / scale_;
  Tensor v = cnn_ ? cnn_->features(x) : wide_->features(x);
  return heads_ ? heads_->normalised(v) : v;
}

Tensor SslNetwork::head(const Tensor& features) const {
  if (heads_) return heads_->classifier(features);
  return cnn_ ? cnn_->head(features) : wide_->head(features);
}

SslModel::SslModel(const SslRun& run, int64_t labelled) : student(run) {
  register_module("student", student);
  if (run.method == "shrinkmatch") register_buffer("progress", progress_, zeros({1}));
  if (run.method != "simmatchv2") return;
  teacher_.emplace(student);
  register_module("teacher", *teacher_);
  teacher_->requires_grad_(false);
  int64_t queue = kQueuedBatches * run.ratio * run.training.batch / run.training.accumulate;
  register_buffer("bank", bank_, zeros({labelled, kEmbedding}));
  register_buffer("queue", queue_, zeros({queue, kEmbedding}));
  register_buffer("queue_probabilities", queue_probabilities_, zeros({queue, run.classes()}));
  register_buffer("mean", mean_, zeros({run.classes()}));
}

Tensor SslModel::loss(const SslRun& run, const SemiBatch& batch, const Step& at) {
  bool first = at.step == 0 && at.index == 0;
  if (run.method == "supervised") return Supervised()(student, batch, at.step).loss;
  if (run.method == "uda")
    return uda::Uda({.lambda = run.weight, .consistency = {.tau = 0.4, .beta = run.threshold}})(student, batch, at.step).loss;
  if (run.method == "semixup") {  // a seed of its own for every part of every step: nothing to remember
    uint64_t seed = data::mix(run.training.seed, static_cast<uint64_t>(at.step * at.count + at.index));
    semixup::Weights w;
    for (double* part : {&w.in, &w.interpolated, &w.out}) *part *= run.weight;
    return semixup::Semixup({.weights = w, .common = {.seed = seed}})(student, batch, at.step).loss;
  }
  if (run.method == "shrinkmatch") return shrinkmatch_loss(run, batch, first);
  if (run.method == "simmatchv2") return simmatch_loss(run, batch, at);
  SemiData none;
  none.classes = run.classes();
  return FixMatch({.threshold = run.threshold, .weight = run.weight}, none)(student, batch, at.step).loss;
}

Tensor SslModel::shrinkmatch_loss(const SslRun& run, const SemiBatch& batch, bool first) {
  ScalarEma progress(kProgressDecay);
  if (!first) progress.update(to_vector(progress_)[0]);
  Tensor all = student.features(all_views(batch));
  SemiParts logits = split_views(student.head(all), batch);
  Tensor second = student.auxiliary(split_views(all, batch).strong.at(0));
  std::vector<DistributionAligner> unaligned;
  auto terms = shrinkmatch::shrinkmatch_loss(logits.labelled, batch.labels, weak_probabilities(logits.weak, unaligned), logits.strong.at(0),
                                             second, progress, {.threshold = run.threshold, .lambda = run.weight});
  store(progress_, full({1}, progress.value(), f32));
  return terms.total;
}

Tensor SslModel::simmatch_loss(const SslRun& run, const SemiBatch& batch, const Step& at) {
  bool first = at.step == 0 && at.index == 0;
  if (at.step > 0 && at.index == 0) optim::ema_update(*teacher_, student, kTeacher, optim::EmaBuffers::keep);
  simmatchv2::SimMatchV2Options options = simmatch_options(run, at.labelled.size(), batch.weak.size(0));
  simmatchv2::MomentumTeacher<SslNetwork> teacher(options.teacher);
  teacher.follow(*teacher_);
  if (first) {
    std::vector<Tensor> rows;
    for (const auto& some : at.labelled.batch(256)) rows.push_back(teacher.embed(some.image));
    store(bank_, cat(rows, 0));
  }
  simmatchv2::SimMatchV2Objective objective(options, from_vector(at.labelled.labels()), run.classes(), clone(bank_));
  if (!first) objective.restore({queue_, queue_probabilities_, mean_});
  Tensor total = objective(teacher.outputs(student, batch), batch.labels, batch.labelled_index).total;
  simmatchv2::SimMatchV2Objective::Memories memories = objective.memories();
  store(bank_, objective.labelled_bank().table());
  store(queue_, memories.embeddings);
  store(queue_probabilities_, memories.probabilities);
  store(mean_, memories.mean);
  return total;
}

}  // namespace plumb::tools
