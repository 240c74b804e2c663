// Late generalisation on modular addition: softmax at three precisions, weight decay, StableMax and ⊥Grad, full-batch training.
#include <algorithm>
#include <memory>

#include "engine/autograd/grad_mode.h"
#include "engine/core/generator.h"
#include "methods/common/grokking.h"
#include "methods/regularization/stable_grokking/stable_grokking.h"
#include "models/metrics/confusion.h"
#include "models/optim/adam.h"
#include "models/optim/parameters.h"
#include "models/optim/sgd.h"
#include "models/optim/transforms.h"
#include "ops/index.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::methods::stable_grokking {
namespace {

constexpr const char* kSoftmax16 = "AdamW, softmax f16";
constexpr const char* kSoftmax32 = "AdamW, softmax f32";
constexpr const char* kSoftmax64 = "AdamW, softmax f64";
constexpr const char* kDecay = "AdamW, weight decay 1";
constexpr const char* kStableMax = "AdamW, StableMax";
constexpr const char* kPerpendicular = "⊥AdamW";
constexpr const char* kPerpendicularSgd = "⊥SGD, StableMax, f64";

constexpr const char* kHalf = "half of the table";
constexpr const char* kMost = "most of the table";

// A task, and how all variants are trained on it but for what they are about.
struct Setting {
  std::string name;
  int64_t modulus;
  double train;
  std::vector<int64_t> hidden;
  int64_t epochs, every;  // at most so many; looked at every so many
  double lr;
};

struct Recipe {
  DType softmax = f32;  // precision of the loss
  bool stablemax = false, perpendicular = false, sgd = false;
  double weight_decay = 0, beta2 = 0.99, eps = 1e-25;
  DType model = f32;
};

Recipe recipe_of(const Cell& cell) {
  if (cell.is(kSoftmax16)) return {.softmax = f16, .eps = 1e-30};
  if (cell.is(kSoftmax64)) return {.softmax = f64};
  if (cell.is(kDecay)) return {.weight_decay = 1};
  if (cell.is(kStableMax)) return {.stablemax = true, .beta2 = 0.999};
  if (cell.is(kPerpendicular)) return {.perpendicular = true};
  if (cell.is(kPerpendicularSgd)) return {.softmax = f64, .stablemax = true, .perpendicular = true, .sgd = true, .model = f64};
  return {};
}

std::unique_ptr<optim::Optimizer> optimizer_of(const PairMlp& model, const Recipe& r, double lr) {
  std::unique_ptr<optim::Optimizer> optimizer;
  if (r.sgd)
    optimizer = std::make_unique<optim::SGD>(model.parameters(), optim::SgdOptions{.lr = 10, .momentum = 0.8});
  else
    optimizer = std::make_unique<optim::AdamW>(
        model.parameters(), optim::AdamWOptions{.lr = lr, .beta2 = r.beta2, .eps = r.eps, .weight_decay = r.weight_decay});
  if (r.perpendicular) optimizer->add_transform(optim::perpendicular());
  return optimizer;
}

Tensor losses(const Recipe& r, const Tensor& logits, const Tensor& labels) {
  return r.stablemax ? stablemax_cross_entropy(logits, labels, Reduction::none)
                     : cross_entropy_at(logits, labels, r.softmax, Reduction::none);
}

Tensor mean_loss(const Recipe& r, const Tensor& logits, const Tensor& labels) {
  return r.stablemax ? stablemax_cross_entropy(logits, labels) : cross_entropy_at(logits, labels, r.softmax);
}

// What the network is like before the step that its gradients (still there) are for. `logits` are those of the training examples.
GrokkingPoint look(int64_t epoch, const PairMlp& model, const Recipe& r, const Tensor& logits, const Tensor& labels,
                   const PairExamples& test) {
  NoGrad off;
  Tensor each = losses(r, logits.detach(), labels);
  std::vector<Tensor> weights, gradients = optim::gradients(model.parameters());
  for (const Tensor& p : model.parameters()) weights.push_back(p.detach());
  return {.epoch = epoch,
          .train_accuracy = metrics::accuracy(argmax(logits, -1), labels),
          .test_accuracy = metrics::accuracy(argmax(model(test.pairs), -1), test.labels),
          .train_loss = mean(to(each, f64)).item(),
          .collapse_rate = softmax_collapse_rate(logits, r.softmax),
          .zero_rate = zero_loss_rate(each),
          .alignment = nlm_alignment(weights, gradients),
          .weight_norm = optim::norm(weights),
          .gradient_norm = optim::norm(gradients)};
}

// The rest would say nothing new: at three looks in a row the test part was learned, or every gradient was exactly 0.
bool settled(const GrokkingLog& log) {
  const std::vector<GrokkingPoint>& points = log.points();
  if (points.size() < 3) return false;
  auto all = [&](auto holds) { return std::all_of(points.end() - 3, points.end(), holds); };
  return all([](const GrokkingPoint& p) { return p.test_accuracy >= 0.99; }) ||
         all([](const GrokkingPoint& p) { return p.gradient_norm == 0; });
}

void draw(Cell& cell, const Setting& s, const GrokkingPoint& p) {
  auto x = static_cast<double>(p.epoch);
  cell.point(s.name + ": accuracy (%)", "epoch", x, 100 * p.test_accuracy, "test");
  cell.point(s.name + ": accuracy (%)", "epoch", x, 100 * p.train_accuracy, "train");
  if (!recipe_of(cell).stablemax)  // whose logits are large and whose loss takes no such sum
    cell.point(s.name + ": samples with a sum of exactly 1 (%)", "epoch", x, 100 * p.collapse_rate);
  cell.point(s.name + ": cos(−gradient, weights)", "epoch", x, p.alignment);
  cell.point(s.name + ": norm of the weights", "epoch", x, p.weight_norm);
}

// The whole training part in every step, in a new order each epoch (which changes how sums are rounded).
GrokkingLog train(Cell& cell, const Setting& s, double share_before, double share) {
  Recipe r = recipe_of(cell);
  manual_seed(cell.seed());  // all variants start alike in both settings
  auto data = cell.shared(s.name, [&] { return algorithmic_data({.modulus = s.modulus, .train = s.train, .seed = cell.seed()}); });
  PairMlp model({.modulus = s.modulus, .hidden = s.hidden, .dtype = r.model});
  auto optimizer = optimizer_of(model, r, s.lr);
  GrokkingLog log;
  for (int64_t epoch = 0; epoch <= s.epochs && !settled(log); ++epoch) {
    Tensor order = randperm(data->train.size());
    Tensor labels = index_select(data->train.labels, 0, order);
    Tensor logits = model(index_select(data->train.pairs, 0, order));
    optimizer->zero_grad();
    mean_loss(r, logits, labels).backward();
    if (epoch % s.every == 0) {
      log.add(look(epoch, model, r, logits, labels, data->test));
      draw(cell, s, log.last());
      cell.progress(share_before + share * static_cast<double>(epoch) / static_cast<double>(s.epochs));
    }
    optimizer->step();
  }
  return log;
}

void measure(Cell& cell, const Setting& s, const GrokkingLog& log) {
  const GrokkingPoint& end = log.last();
  int64_t reached = log.epoch_reaching(0.95, GrokkingLog::Part::test);
  cell.metric(s.name + ": test accuracy (%)", 100 * end.test_accuracy);
  cell.metric(s.name + ": epochs to 95 % (all if never)", static_cast<double>(reached < 0 ? s.epochs : reached));
}

std::vector<Setting> settings(const Cell& cell) {
  std::vector<int64_t> hidden = cell.pick<std::vector<int64_t>>({32, 32}, {200, 200}, {200, 200});
  return {{kHalf, cell.pick<int64_t>(7, 59, 113), cell.pick(0.5, 0.5, 0.4), hidden, cell.pick<int64_t>(40, 1200, 20'000),
           cell.pick<int64_t>(10, 20, 20), 5e-3},
          {kMost, cell.pick<int64_t>(7, 47, 97), 0.8, hidden, cell.pick<int64_t>(40, 3000, 80'000), cell.pick<int64_t>(10, 40, 100), 1e-2}};
}

void run(Cell& cell) {
  for (const Setting& s : settings(cell)) {
    bool first = s.name == kHalf;
    measure(cell, s, train(cell, s, first ? 0 : 0.33, first ? 0.33 : 0.67));
  }
  cell.progress(1);
}

}  // namespace

Experiment experiment() {
  Experiment e;
  e.title = "Stable grokking";
  e.paper = "Prieto, Barsbey, Mediano, Birdal: Grokking at the Edge of Numerical Stability, ICLR 2025";
  e.claim =
      "without regularisation softmax collapses before modular addition is understood; ⊥Grad generalises within a few hundred epochs, "
      "StableMax slowly";
  for (const char* setting : {kHalf, kMost}) {
    std::string name = setting;
    e.metrics.push_back({name + ": test accuracy (%)"});
    e.metrics.push_back({name + ": epochs to 95 % (all if never)", Better::lower});
  }
  e.variants = {{kSoftmax32, "cross-entropy in f32, no regularisation"},
                {kSoftmax16, "cross-entropy with every intermediate rounded to f16"},
                {kSoftmax64, "cross-entropy in f64"},
                {kDecay, "cross-entropy in f32, decoupled weight decay 1"},
                {kStableMax, "StableMax for softmax, no regularisation"},
                {kPerpendicularSgd, "gradients perpendicular to the weights, lr 10, momentum 0.8"},
                {kPerpendicular, "cross-entropy in f32, gradients perpendicular to the weights"}};
  e.baseline = kSoftmax32;
  e.method = kPerpendicular;
  e.run = run;
  return e;
}

}  // namespace plumb::methods::stable_grokking
