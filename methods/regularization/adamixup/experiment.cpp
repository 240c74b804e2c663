// AdaMixUp on two problems: three blobs in a row, where mixing two classes gives points of the third, and few handwritten digits.
#include <cmath>
#include <optional>

#include "engine/autograd/grad_mode.h"
#include "engine/data/step_batches.h"
#include "methods/common/few_digits.h"
#include "methods/common/staged_mlp.h"
#include "methods/experiment.h"
#include "methods/regularization/adamixup/adamixup.h"
#include "models/metrics/calibration.h"
#include "models/optim/adam.h"
#include "ops/index.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/softmax.h"

namespace plumb::methods::adamixup {
namespace {

constexpr int64_t kBatch = 64, kBins = 15, kHidden = 32;
constexpr double kRate = 1e-3, kDecay = 1e-4, kHeadStd = 1e-3;

// What the variants of a seed share.
struct Problem {
  Tensor x, labels, test, test_labels;
  StagedMlpConfig network;
  StagedMlp initial;
};

// Class 1 lies between 0 and 2; everything is of deviation 0.25.
Tensor blobs(int64_t per_class, Generator& g) {
  Tensor points = normal({3 * per_class, 2}, 0, 0.25, {.generator = &g});
  for (int64_t i = 0; i < 3 * per_class; ++i) points.data<float>()[2 * i] += static_cast<float>(2 * (i / per_class - 1));
  return points;
}
Tensor blob_labels(int64_t per_class) {
  std::vector<int64_t> labels;
  for (int64_t i = 0; i < 3 * per_class; ++i) labels.push_back(i / per_class);
  return from_vector(labels);
}

Problem make_blobs() {
  Generator& g = default_generator();
  Tensor train = blobs(60, g), test = blobs(1000, g);
  StagedMlpConfig network{.inputs = 2, .hidden = {64, 64}, .classes = 3, .head_std = kHeadStd};
  return {train, blob_labels(60), test, blob_labels(1000), network, StagedMlp(network)};
}

Problem make_digits() {
  FewDigits d = few_digits({.train = 300}, default_generator());
  StagedMlpConfig network{.inputs = 64, .hidden = {128, 128}, .classes = 10, .head_std = kHeadStd};
  return {digit_rows(d.images), d.labels.given, d.test, d.test_labels, network, StagedMlp(network)};
}

std::unique_ptr<MixObjective> objective_of(const Cell& cell, const StagedMlpConfig& network) {
  const std::string& v = cell.variant();
  if (v == "ERM") return mix_objective("none", {});
  if (v.starts_with("mixup, α")) {
    double alpha = v.ends_with("0.2") ? 0.2 : v.ends_with("0.5") ? 0.5 : 1;
    return mixed_cross_entropy_objective({.kind = MixKind::mixup, .alpha = alpha, .per_example = true});
  }
  AdaMixUpConfig config{.features = network.hidden.back(), .classes = network.classes, .hidden = kHidden};
  config.region = v == "AdaMixUp" || v == "AdaMixUp without discriminator";
  config.discriminator = v == "AdaMixUp" || v.starts_with("discriminator");
  if (v.ends_with("λ = ½")) config.options.a = 0.5, config.options.b = 0;
  FeatureNetwork trunk;
  if (config.region) {
    auto net = std::make_shared<StagedMlp>(network);
    trunk = {net, [net = net.get()](const Tensor& x) { return net->features(x); }};
  }
  return std::make_unique<AdaMixUp>(config, trunk);
}

// Adam with decay of weights but not of biases.
optim::Adam optimizer_of(const StagedMlp& net, MixObjective& objective) {
  std::vector<Tensor> weights, biases, all = net.parameters();
  if (nn::Module* more = objective.module())
    for (const Tensor& p : more->parameters()) all.push_back(p);
  for (const Tensor& p : all) (p.rank() > 1 ? weights : biases).push_back(p);
  using Group = optim::Group<optim::AdamOptions>;
  return optim::Adam(std::vector<Group>{{weights, {.lr = kRate, .weight_decay = kDecay}}, {biases, {.lr = kRate}}});
}

void note_step(Cell& cell, const std::string& where, double at, const StepLoss& s) {
  cell.point("the region's begin a, " + where, "steps", at, s.a_mean);
  cell.point("the region's length b, " + where, "steps", at, s.b_mean);
  cell.point("deviation of a between pairs, " + where, "steps", at, s.a_std);
  cell.point("mean λ, " + where, "steps", at, s.lambda_mean);
  cell.point("deviation of λ, " + where, "steps", at, s.lambda_std);
  if (!cell.is("AdaMixUp") && !cell.variant().starts_with("discriminator")) return;
  cell.point("intrusion loss, " + where + " (nats)", "steps", at, s.intrusion);
  cell.point("mixed examples taken for real, " + where + " (%)", "steps", at, 100 * s.intrusion_rate);
}

// The mean of a step's measures over so many steps.
void add_share(StepLoss& sum, const StepLoss& s, double share) {
  sum.a_mean += share * s.a_mean, sum.a_std += share * s.a_std, sum.b_mean += share * s.b_mean;
  sum.lambda_mean += share * s.lambda_mean, sum.lambda_std += share * s.lambda_std;
  sum.intrusion += share * s.intrusion, sum.intrusion_rate += share * s.intrusion_rate;
}

// Trains the cell's variant; gives the test probabilities.
Tensor train(Cell& cell, const Problem& p, const std::string& where, int64_t steps, double from) {
  StagedMlp net = p.initial;
  StagedNetwork stages = staged(net);
  auto objective = objective_of(cell, p.network);
  auto* adaptive = dynamic_cast<AdaMixUp*>(objective.get());
  optim::Adam adam = optimizer_of(net, *objective);
  uint64_t seed = 2 * cell.seed() + static_cast<uint64_t>(from > 0);
  Generator mixing(seed + 1'000'000);
  data::StepBatches batches(data::from_tensors({{"features", p.x}, {"label", p.labels}}), {.batch = kBatch, .seed = seed});
  int64_t every = std::max<int64_t>(1, steps / 20);
  StepLoss seen;
  for (int64_t step = 0; step < steps; ++step) {
    data::Batch batch = batches(step);
    adam.zero_grad();
    objective->loss(stages, batch.features, batch.label, mixing).backward();
    adam.step();
    if (adaptive) add_share(seen, adaptive->report(), 1.0 / static_cast<double>(every));
    if ((step + 1) % every != 0) continue;
    cell.progress(from + 0.5 * static_cast<double>(step) / static_cast<double>(steps));
    if (adaptive) note_step(cell, where, static_cast<double>(step + 1), seen);
    seen = {};
  }
  NoGrad off;
  return softmax(net(p.test), 1);
}

void run(Cell& cell) {
  auto points = cell.shared("blobs", [] { return make_blobs(); });
  auto digits = cell.shared("digits", [] { return make_digits(); });
  Tensor p = train(cell, *digits, "digits", cell.pick<int64_t>(60, 2000, 10'000), 0);
  auto report = metrics::calibration_report(p, digits->test_labels, kBins);
  cell.metric("NLL, digits (nats)", report.nll);
  cell.metric("test error, digits (%)", 100 * report.error);
  cell.metric("ECE, digits (%)", 100 * report.ece);

  Tensor q = train(cell, *points, "blobs", cell.pick<int64_t>(100, 1500, 1500), 0.5);
  double between = 0;  // of the thousand points of class 1
  for (int64_t i = 1000; i < 2000; ++i) between += q.data<float>()[3 * i + 1] / 1000.0;
  cell.metric("P(class between), blobs", between);
  cell.metric("NLL, blobs (nats)", metrics::negative_log_likelihood(q, points->test_labels));
}

}  // namespace

Experiment experiment() {
  return {.title = "AdaMixUp",
          .paper = "Guo, Mao, Zhang: MixUp as Locally Linear Out-Of-Manifold Regularization, AAAI 2019",
          .claim =
              "shares from a learned interval, with a discriminator that keeps mixed examples apart from real ones, give a lower test NLL "
              "than mixup, also than mixup whose batches hold the originals as well",
          .metrics = {{"NLL, digits (nats)", Better::lower},
                      {"test error, digits (%)", Better::lower},
                      {"ECE, digits (%)", Better::lower},
                      {"P(class between), blobs", Better::higher},
                      {"NLL, blobs (nats)", Better::lower}},
          .variants = {{"ERM", "the examples as they are"},
                       {"mixup, α = 0.2", "λ ~ Beta(α, α) for each example"},
                       {"mixup, α = 0.5", "λ ~ Beta(α, α) for each example"},
                       {"mixup, α = 1", "λ ~ Beta(α, α) for each example"},
                       {"mixup + originals", "half of the batch mixed with λ ~ U(0, 1), beside its originals, as AdaMixUp's batches are"},
                       {"mixup + originals, λ = ½", "the same with one share for all, the middle of where AdaMixUp's interval ends up"},
                       {"discriminator, λ ~ U(0, 1)", "AdaMixUp without the learned interval"},
                       {"discriminator, λ = ½", "AdaMixUp without the learned interval, one share for all"},
                       {"AdaMixUp without discriminator", "the learned interval alone"},
                       {"AdaMixUp", "learned interval and discriminator"}},
          .baseline = "mixup + originals",
          .method = "AdaMixUp",
          .run = run};
}

}  // namespace plumb::methods::adamixup
