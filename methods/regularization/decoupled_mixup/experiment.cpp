// Decoupled Mixup on few digits: does the regulariser find both classes of a hard mixed image, and what becomes of error and calibration?
#include <array>

#include "engine/autograd/grad_mode.h"
#include "methods/common/few_digits.h"
#include "methods/common/staged_mlp.h"
#include "methods/experiment.h"
#include "methods/regularization/decoupled_mixup/decoupled_mixup.h"
#include "methods/regularization/decoupled_mixup/hard_pairs.h"
#include "models/metrics/calibration.h"
#include "models/optim/sgd.h"
#include "ops/elementary.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "ops/softmax.h"

namespace plumb::methods::decoupled_mixup {
namespace {

constexpr int64_t kClasses = 10, kBins = 15, kPairs = 2000;
constexpr double kRate = 0.05;

struct Labels {
  const char* name;
  double noise;
};
constexpr std::array kLabels{Labels{"clean", 0}, Labels{"noisy", 0.2}};

std::string with(const std::string& measure, const Labels& l, const char* unit) {
  return measure + ", " + l.name + " labels (" + unit + ")";
}

struct Problem {
  FewDigits digits;
  HardPairs pairs;
  StagedMlp initial;
};

Problem make_problem(const Labels& labels) {
  Generator& g = default_generator();
  FewDigits digits = few_digits({.train = 300, .noise = labels.noise}, g);
  HardPairs pairs = hard_pairs(digits.test, digits.test_labels, kPairs, g);
  return {digits, pairs, StagedMlp({.inputs = 64, .hidden = {256, 256}, .classes = kClasses})};
}

// Mixup with yes-or-no scores of each class.
class BceObjective : public MixObjective {
 public:
  explicit BceObjective(const MixupBceOptions& options) : options_(options) {}
  Tensor loss(const StagedNetwork& network, const Tensor& x, const Tensor& labels, Generator& generator) override {
    MixedLogits m = mixed_logits({.kind = MixKind::mixup}, network, x, labels, generator);
    return static_cast<double>(kClasses) * mixup_bce_loss(m.logits, m.labels.first, m.labels.second, m.labels.lambda, options_);
  }

 private:
  MixupBceOptions options_;
};

bool scored_one_by_one(const Cell& cell) { return cell.variant().find("BCE") != std::string::npos; }

std::unique_ptr<MixObjective> objective_of(const Cell& cell) {
  const std::string& v = cell.variant();
  if (v == "cross-entropy") return mix_objective("none", {});
  if (v == "label smoothing") return mix_objective("none", {.label_smoothing = 0.1});
  if (v == "mixup, BCE") return std::make_unique<BceObjective>(MixupBceOptions{});
  if (v == "mixup + DM(BCE)") return std::make_unique<BceObjective>(MixupBceOptions{.threshold = 0.8});
  MixPolicy policy{.kind = MixKind::mixup, .alpha = 1};
  if (v.starts_with("CutMix")) policy = {.kind = MixKind::cutmix, .alpha = 0.2};
  if (v.starts_with("Manifold")) policy = {.kind = MixKind::manifold, .alpha = 1};
  if (v.starts_with("ResizeMix")) policy = {.kind = MixKind::resize};
  if (v.find("+ DM") == std::string::npos) return mixed_cross_entropy_objective(policy);
  return decoupled_objective(policy, {.exponent = v.ends_with("weighted") ? 1.0 : 0.0});
}

// Scores of classes as probabilities; those that were trained one by one brought to the sum 1.
Tensor probabilities(const Cell& cell, const Tensor& logits) {
  if (!scored_one_by_one(cell)) return softmax(logits, 1);
  Tensor yes = sigmoid(logits);
  return yes / clamp_min(sum(yes, {1}, true), 1e-12);
}

void run_labels(Cell& cell, const Labels& labels, double from) {
  auto problem = cell.shared(labels.name, [&] { return make_problem(labels); });
  int64_t epochs = cell.pick<int64_t>(8, 100, 100), every = cell.pick<int64_t>(4, 10, 10);
  StagedMlp net = problem->initial;
  StagedNetwork stages = staged(net);
  optim::SGD sgd(net.parameters(), {.lr = kRate, .momentum = 0.9});
  auto objective = objective_of(cell);
  uint64_t seed = 2 * cell.seed() + static_cast<uint64_t>(labels.noise > 0);
  Generator order(seed), mixing(seed + 1'000'000);  // the batches are the same for all variants
  metrics::CalibrationReport report;
  double found = 0;
  train_on_few_digits(
      problem->digits, {.epochs = epochs, .batch = 32}, sgd, order,
      [&](const FewDigitsBatch& batch) {
        return objective->loss(stages, reshape(batch.rows, {batch.rows.size(0), 1, 8, 8}), batch.labels, mixing);
      },
      [&](int64_t epoch) {
        cell.progress(from + static_cast<double>(epoch) / static_cast<double>(2 * epochs));
        if (epoch % every != 0) return;
        NoGrad off;
        report = metrics::calibration_report(probabilities(cell, net(problem->digits.test)), problem->digits.test_labels, kBins);
        found = 100 * both_classes_found(net(problem->pairs.x), problem->pairs);
        cell.point(with("both classes found", labels, "%"), "epochs", static_cast<double>(epoch), found);
        cell.point(with("test error", labels, "%"), "epochs", static_cast<double>(epoch), 100 * report.error);
      });
  cell.metric(with("both classes found", labels, "%"), found);
  cell.metric(with("test error", labels, "%"), 100 * report.error);
  cell.metric(with("NLL", labels, "nats"), report.nll);
  cell.metric(with("ECE", labels, "%"), 100 * report.ece);
}

void run(Cell& cell) {
  for (size_t i = 0; i < kLabels.size(); ++i) run_labels(cell, kLabels[i], 0.5 * static_cast<double>(i));
}

}  // namespace

Experiment experiment() {
  std::vector<Metric> metrics;
  for (const Labels& l : kLabels) {
    metrics.push_back({with("both classes found", l, "%"), Better::higher});
    metrics.push_back({with("test error", l, "%"), Better::lower});
    metrics.push_back({with("NLL", l, "nats"), Better::lower});
    metrics.push_back({with("ECE", l, "%"), Better::lower});
  }
  return {.title = "Decoupled Mixup",
          .paper = "Liu, Li, Wang, Tan, Wu, Li: Harnessing Hard Mixed Samples with Decoupled Regularizer, NeurIPS 2023",
          .claim =
              "scoring each mixed class without the other makes a network surer of both classes of a hard mixed image, at the same error "
              "and with better calibration than the mixing policy alone",
          .metrics = metrics,
          .variants = {{"cross-entropy", "the images as they are"},
                       {"label smoothing", "a tenth of each label spread over all classes"},
                       {"mixup", "λ ~ Beta(1, 1), one a batch"},
                       {"mixup, BCE", "a yes or no for each class, targets λ and 1 − λ"},
                       {"CutMix", "λ ~ Beta(0.2, 0.2)"},
                       {"Manifold Mixup", "λ ~ Beta(1, 1), before a random layer"},
                       {"ResizeMix", "the other image at 0.1 to 0.8 of its size"},
                       {"mixup + DM(BCE)", "shares from t = 0.8 on count as 1, those below as λ/t"},
                       {"mixup + DM, weighted", "η = 0.1, terms weighted by λ and 1 − λ: the released code's defaults"},
                       {"mixup + DM", "η = 0.1, terms unweighted: the paper's form"},
                       {"CutMix + DM", "η = 0.1, unweighted"},
                       {"Manifold Mixup + DM", "η = 0.1, unweighted"},
                       {"ResizeMix + DM", "η = 0.1, unweighted"}},
          .baseline = "mixup",
          .method = "mixup + DM",
          .run = run};
}

}  // namespace plumb::methods::decoupled_mixup
