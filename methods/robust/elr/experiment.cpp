// ELR on 8×8 digits with 40 % and 60 % of the training labels redrawn, against the losses and habits that it should beat.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>

#include "engine/autograd/grad_mode.h"
#include "engine/data/digits/digits.h"
#include "methods/common/label_noise.h"
#include "methods/common/noisy_label_losses.h"
#include "methods/experiment.h"
#include "methods/robust/elr/early_learning.h"
#include "methods/robust/elr/elr.h"
#include "methods/robust/elr/elr_plus.h"
#include "models/metrics/confusion.h"
#include "models/mlp/mlp.h"
#include "ops/index.h"
#include "ops/loss.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::methods::elr {
namespace {

constexpr int64_t kClasses = 10, kBatch = 64;
constexpr double kDecay = 0.7, kAverage = 0.99;  // β of the targets; of averaged weights

struct Images {
  Tensor x, labels;  // [n, 64], [n]
};

Images tensors(const data::Dataset& set) {
  auto all = set.batch(set.size()).next();
  return {flatten(all.image, 1), all.label};
}

// One noise level of one seed: what all variants train on and are judged by.
struct Problem {
  Images train, test;
  NoisyLabels labels;
  mlp::Mlp initial, second;  // the starts of the two networks of ELR+; the others use the first
};

Problem make_problem(double rate) {
  Generator& g = default_generator();
  auto parts = data::digits().all().split({1297.0 / 1797, 500.0 / 1797}, {.seed = g.next_u64(), .stratified = true});
  Images train = tensors(parts[0]), test = tensors(parts[1]);
  NoisyLabels labels = inject_symmetric(train.labels, rate, kClasses, g);
  mlp::MlpConfig config{.inputs = 64, .hidden = {256, 256}, .outputs = kClasses};
  return {train, test, labels, mlp::Mlp(config), mlp::Mlp(config)};
}

optim::SgdOptions sgd_options() { return {.lr = 0.05, .momentum = 0.9, .weight_decay = 1e-3}; }

Tensor predictions(const Tensor& logits) { return argmax(logits, 1); }
double accuracy(const Tensor& predicted, const Tensor& labels) { return 100 * metrics::accuracy(predicted, labels); }

// The measures of one epoch.
struct Scores {
  double test = 0, corrected = 0, memorised = 0;
};

class Recorder {
 public:
  Recorder(Cell& cell, const Problem& problem, const char* level, double from, int64_t epochs, int64_t passes)
      : cell_(cell),
        problem_(problem),
        level_(level),
        from_(from),
        epochs_(epochs),
        every_(std::max<int64_t>(1, epochs / 30)),
        passes_(passes) {}

  /// After epoch number `epoch` (1, 2, …) of a model that maps images to logits.
  template <typename Model>
  Scores note(int64_t epoch, Model& model) {
    NoGrad no_grad;
    Scores s;
    s.test = accuracy(predictions(model(problem_.test.x)), problem_.test.labels);
    NoiseAudit a = audit(predictions(model(problem_.train.x)), problem_.labels);
    s.corrected = 100 * a.corrected;
    s.memorised = 100 * a.memorised;
    best_ = std::max(best_, s.test);
    if (epoch % every_ == 0 || epoch == epochs_ || epoch == 1) {
      auto at = static_cast<double>(epoch * passes_);
      cell_.point(fmt::format("test accuracy, {} noise (%)", level_), "epochs", at, s.test);
      cell_.point(fmt::format("wrong labels memorised, {} noise (%)", level_), "epochs", at, s.memorised);
      cell_.point(fmt::format("wrong labels predicted right, {} noise (%)", level_), "epochs", at, s.corrected);
    }
    cell_.progress(from_ + 0.5 * static_cast<double>(epoch) / static_cast<double>(epochs_));
    return s;
  }
  double best() const { return best_; }

 private:
  Cell& cell_;
  const Problem& problem_;
  std::string level_;
  double from_;
  int64_t epochs_, every_, passes_;
  double best_ = 0;
};

using BatchLoss = std::function<Tensor(mlp::Mlp& net, const Tensor& x, const Tensor& labels, const Tensor& index)>;

// f(x, labels, index) for the batches of one epoch over the examples `of`, in random order.
template <typename F>
void each_batch(const Problem& p, const std::vector<int64_t>& of, Generator& g, F&& f) {
  auto order = data::random_order(static_cast<int64_t>(of.size()), g);
  for (size_t from = 0; from < of.size(); from += kBatch) {
    std::vector<int64_t> batch;
    for (size_t k = from; k < std::min(of.size(), from + kBatch); ++k) batch.push_back(of[static_cast<size_t>(order[k])]);
    Tensor index = from_vector(batch);
    f(index_select(p.train.x, 0, index), index_select(p.labels.given, 0, index), index);
  }
}

std::vector<int64_t> all_of(int64_t n) {
  std::vector<int64_t> out(static_cast<size_t>(n));
  for (size_t i = 0; i < out.size(); ++i) out[i] = static_cast<int64_t>(i);
  return out;
}

struct TrainOptions {
  int64_t epochs;
  bool average = false;      // judged by an average of the weights
  double held_out = 0;       // share of the noisy training set that chooses the epoch
};

Scores train(const Problem& p, const BatchLoss& loss, const TrainOptions& o, Recorder& recorder, Generator& g) {
  mlp::Mlp net = p.initial;
  std::optional<optim::Ema<mlp::Mlp>> average;
  if (o.average) average.emplace(net, optim::EmaOptions{.decay = kAverage, .warmup = true});
  optim::SGD sgd(net.parameters(), sgd_options());
  auto order = data::random_order(p.train.x.size(0), g);
  auto held = static_cast<size_t>(o.held_out * static_cast<double>(order.size()));
  std::vector<int64_t> chooses(order.begin(), order.begin() + static_cast<int64_t>(held)),
      learns(order.begin() + static_cast<int64_t>(held), order.end());
  if (held == 0) learns = all_of(p.train.x.size(0));
  Scores scores, chosen;
  double best = -1;
  for (int64_t epoch = 1; epoch <= o.epochs; ++epoch) {
    each_batch(p, learns, g, [&](const Tensor& x, const Tensor& labels, const Tensor& index) {
      sgd.zero_grad();
      loss(net, x, labels, index).backward();
      sgd.step();
      if (average) average->update(net);
    });
    scores = recorder.note(epoch, average ? average->model : net);
    if (held == 0) continue;
    NoGrad no_grad;
    Tensor at = from_vector(chooses);
    double noisy = accuracy(predictions(net(index_select(p.train.x, 0, at))), index_select(p.labels.given, 0, at));
    if (noisy > best) best = noisy, chosen = scores;
  }
  return held > 0 ? chosen : scores;
}

Scores train_plus(const Problem& p, int64_t epochs, double lambda, Recorder& recorder, Generator& g) {
  ElrPlusOptions options{.lambda = lambda, .beta = kDecay, .mixup_alpha = 1, .ema_decay = kAverage, .ema_steps = 1000};
  ElrPlusTrainer<mlp::Mlp> trainer(p.initial, p.second, p.train.x.size(0), kClasses, options, sgd_options());
  auto all = all_of(p.train.x.size(0));
  Scores scores;
  for (int64_t epoch = 1; epoch <= epochs; ++epoch) {
    for (int which : {0, 1})
      each_batch(p, all, g, [&](const Tensor& x, const Tensor& labels, const Tensor& index) { trainer.step(which, x, labels, index, g); });
    scores = recorder.note(epoch, trainer);
  }
  return scores;
}

// mixup alone: the cross-entropy on mixed images and labels.
Tensor mixup_loss(mlp::Mlp& net, const Tensor& x, const Tensor& labels, Generator& g) {
  Mixing m = draw_mixing(x.size(0), 1, g);
  return elr_plus_loss(net(mix(x, m)), mix(one_hot_rows(labels, kClasses), m), {}, 0);
}

double lambda_of(const std::string& variant) {
  return variant.find('1') != std::string::npos ? 1 : variant.find('7') != std::string::npos ? 7 : 3;
}

BatchLoss loss_of(const Cell& cell, PerSampleEma& targets, Generator& g) {
  const std::string& v = cell.variant();
  auto on_logits = [](auto f) {
    return [f](mlp::Mlp& net, const Tensor& x, const Tensor& labels, const Tensor& index) { return f(net(x), labels, index); };
  };
  if (v == "GCE") return on_logits([](const Tensor& z, const Tensor& y, const Tensor&) { return generalized_cross_entropy(z, y); });
  if (v == "SCE") return on_logits([](const Tensor& z, const Tensor& y, const Tensor&) { return symmetric_cross_entropy(z, y); });
  if (v == "mixup") return [&g](mlp::Mlp& net, const Tensor& x, const Tensor& y, const Tensor&) { return mixup_loss(net, x, y, g); };
  ElrOptions o{.lambda = lambda_of(v)};
  if (v.starts_with("soft"))
    return on_logits([o, &targets](const Tensor& z, const Tensor& y, const Tensor& i) { return soft_label_loss(z, y, i, targets, o); });
  if (v.starts_with("ELR"))
    return on_logits([o, &targets](const Tensor& z, const Tensor& y, const Tensor& i) { return elr_loss(z, y, i, targets, o); });
  return on_logits([](const Tensor& z, const Tensor& y, const Tensor&) { return cross_entropy(z, y); });
}

void run_level(Cell& cell, double rate, const char* level, double from) {
  auto problem = cell.shared(std::string("digits with noise ") + level, [&] { return make_problem(rate); });
  int64_t epochs = cell.pick<int64_t>(3, 150, 300);
  Generator g(cell.seed() * 2 + static_cast<uint64_t>(rate * 10));
  PerSampleEma targets(problem->train.x.size(0), kClasses, kDecay);
  bool plus = cell.is("ELR+");
  if (plus) epochs = cell.pick<int64_t>(2, 60, 120);
  Recorder recorder(cell, *problem, level, from, epochs, plus ? 2 : 1);
  Scores s = plus ? train_plus(*problem, epochs, 3, recorder, g)
                  : train(*problem, loss_of(cell, targets, g), {epochs, cell.is("weight averaging"), cell.is("early stopping") ? 0.15 : 0},
                          recorder, g);
  std::string at = std::string(" at ") + level;
  cell.metric("test accuracy" + at + " (%)", s.test);
  cell.metric("best epoch" + at + " (%)", recorder.best());
  cell.metric("memorised" + at + " (%)", s.memorised);
  cell.metric("corrected" + at + " (%)", s.corrected);
}

// The paper's analysed case, once a seed, on the baseline's page.
void linear_curves(Cell& cell) {
  Generator g(cell.seed());
  EarlyLearning e = early_learning(linear_problem({}, g), cell.pick<int64_t>(64, 1024, 4096), 0.5);
  for (size_t k = 0; k < e.step.size(); ++k)
    cell.point("linear classifier: flipped points predicted right (%)", "log2 of steps", std::log2(static_cast<double>(e.step[k])),
               100 * e.corrected[k]);
}

void run(Cell& cell) {
  run_level(cell, 0.4, "40 %", 0);
  run_level(cell, 0.6, "60 %", 0.5);
  if (cell.is("cross entropy")) linear_curves(cell);
}

}  // namespace

Experiment experiment() {
  std::vector<Metric> metrics;
  for (const char* level : {" at 40 %", " at 60 %"})
    for (auto [what, better] : {std::pair{"test accuracy", Better::higher},
                                {"best epoch", Better::neither},
                                {"memorised", Better::lower},
                                {"corrected", Better::higher}})
      metrics.push_back({std::string(what) + level + " (%)", better});
  return {
      .title = "ELR",
      .paper =
          "Liu, Niles-Weed, Razavian, Fernandez-Granda: Early-Learning Regularization Prevents Memorization of Noisy Labels, NeurIPS 2020",
      .claim =
          "with 40 % or 60 % of the labels redrawn, the last epoch's test accuracy stays near the best one's instead of falling with "
          "memorisation",
      .metrics = metrics,
      .variants = {{"cross entropy", "the last epoch"},
                   {"early stopping", "cross-entropy; the epoch chosen by 15 % of the noisy training set, held out"},
                   {"GCE", "generalised cross-entropy, q = 0.7"},
                   {"SCE", "0.1 cross-entropy + 1.0 reverse cross-entropy"},
                   {"soft labels, λ = 3", "the targets of ELR in a cross-entropy of their own"},
                   {"mixup", "cross-entropy on mixed images and labels, α = 1"},
                   {"weight averaging", "cross-entropy; judged by the average of the weights, decay 0.99"},
                   {"ELR, λ = 1", "β = 0.7"},
                   {"ELR, λ = 3", "β = 0.7"},
                   {"ELR, λ = 7", "β = 0.7"},
                   {"ELR+", "two networks, mixup, targets by the other's averaged weights; 60 epochs each"}},
      .baseline = "cross entropy",
      .method = "ELR, λ = 3",
      .run = run};
}

}  // namespace plumb::methods::elr
