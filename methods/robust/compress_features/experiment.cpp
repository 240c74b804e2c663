// Nested dropout and co-teaching on 8×8 digits with wrong labels, against dropout, co-teaching from scratch and plain training.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <tuple>

#include "engine/autograd/grad_mode.h"
#include "engine/data/digits/digits.h"
#include "methods/common/co_teaching.h"
#include "methods/common/label_noise.h"
#include "methods/experiment.h"
#include "methods/robust/compress_features/compress_features.h"
#include "models/metrics/confusion.h"
#include "models/mlp/mlp.h"
#include "models/optim/adam.h"
#include "models/optim/schedule.h"
#include "ops/activation.h"
#include "ops/create.h"
#include "ops/dropout.h"
#include "ops/elementary.h"
#include "ops/matmul.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::methods::compress_features {
namespace {

constexpr int64_t kClasses = 10, kBatch = 64, kChannels = 128, kWarmup = 200;
constexpr double kRate = 0.05, kFineRate = 0.005, kDecay = 5e-4;

// 64-256-128 with ReLU on the 128 features, and a classifier without bias.
struct Net : nn::Module {
  mlp::Mlp body;
  nn::Linear head;

  Net() : body({.inputs = 64, .hidden = {256}, .outputs = kChannels}), head(kChannels, kClasses, {.bias = false}) {
    register_module("body", body);
    register_module("head", head);
  }
  Tensor features(const Tensor& x) const { return relu(body(x)); }
};

// What happens to the features in training.
struct Mask {
  double dropout = 0;                // share of channels that are dropped
  std::optional<double> sigma = {};  // nested

  Tensor operator()(const Tensor& features, Generator& g) const {
    if (sigma) return keep_first(features, NestedDropout(kChannels, *sigma).sample_k(g));
    return dropout > 0 ? plumb::dropout(features, dropout) : features;
  }
  std::string name() const { return sigma ? fmt::format("nested {}", *sigma) : fmt::format("dropout {}", dropout); }
};

struct Images {
  Tensor x, labels;
};
struct Problem {
  Images train, choose, test;  // the labels of train are the true ones
  NoisyLabels labels;
};

Images tensors(const data::Dataset& set) {
  auto all = set.batch(set.size()).next();
  return {flatten(all.image, 1), all.label};
}

Problem make_problem(bool symmetric) {
  Generator& g = default_generator();
  auto parts = data::digits().all().split({1147.0 / 1797, 150.0 / 1797, 500.0 / 1797}, {.seed = g.next_u64(), .stratified = true});
  Images train = tensors(parts[0]);
  NoisyLabels noisy =
      symmetric ? inject_symmetric(train.labels, 0.4, kClasses, g, false) : inject_asymmetric(train.labels, similar_digits_map(), 0.3, g);
  return {train, tensors(parts[1]), tensors(parts[2]), noisy};
}

// Networks that are judged by their mean logits, with so many channels.
struct Judged {
  std::vector<Net> nets;
  int64_t channels = kChannels;
  double chosen_by = -1;  // accuracy on the clean examples that choose

  std::vector<double> accuracies(const Images& images) const {
    NoGrad no_grad;
    std::vector<FeaturesAndWeight> heads;
    for (const Net& net : nets) heads.push_back({net.features(images.x), net.head.weight});
    return prefix_accuracy(heads, images.labels);
  }
  Tensor predictions(const Tensor& x) const {
    NoGrad no_grad;
    Tensor total;
    for (const Net& net : nets) {
      Tensor z = net.head(keep_first(net.features(x), channels));
      total = total.defined() ? total + z : z;
    }
    return argmax(total, 1);
  }
  /// Sets the number of channels, all of them unless nested, and chosen_by.
  void choose(const Images& images, bool nested) {
    if (!nested) {
      channels = kChannels;
      chosen_by = metrics::accuracy(predictions(images.x), images.labels);
      return;
    }
    auto all = accuracies(images);
    channels = select_k(all);
    chosen_by = all[static_cast<size_t>(channels - 1)];
  }
};

struct Point {
  double epoch, test, memorised;
};
// What training comes to: the last epoch, the epoch that the clean examples chose, and the way there.
struct Outcome {
  Judged last, best;
  std::vector<Point> way;
};

double test_accuracy(const Judged& j, const Problem& p) { return 100 * metrics::accuracy(j.predictions(p.test.x), p.test.labels); }
double memorised(const Judged& j, const Problem& p) { return 100 * audit(j.predictions(p.train.x), p.labels).memorised; }

void note(Outcome& outcome, Judged now, const Problem& p, bool nested, int64_t epoch, int64_t epochs) {
  now.choose(p.choose, nested);
  if (now.chosen_by > outcome.best.chosen_by) outcome.best = now;
  if (epoch % std::max<int64_t>(1, epochs / 20) == 0 || epoch == epochs)
    outcome.way.push_back({static_cast<double>(epoch), test_accuracy(now, p), memorised(now, p)});
  outcome.last = std::move(now);
}

// f(x, labels) for the batches of an epoch; a last batch that is smaller is left out where all must be equal.
template <typename F>
void each_batch(const Problem& p, int64_t batch, bool equal, Generator& g, F&& f) {
  int64_t n = p.train.x.size(0);
  Tensor order = randperm(n, {.dtype = i64, .generator = &g});
  for (int64_t from = 0; from < n; from += batch) {
    int64_t count = std::min(batch, n - from);
    if (equal && count < batch) break;
    Tensor at = narrow(order, 0, from, count);
    f(index_select(p.train.x, 0, at), index_select(p.labels.given, 0, at));
  }
}

// Stage 1. The rate rises over the first steps, for every variant.
Outcome train_one(Cell& cell, const Problem& p, const Mask& mask, int64_t epochs, double from, double share) {
  Generator& g = default_generator();  // set to the seed and the shared value's name
  Net net;
  optim::SGD sgd(net.parameters(), {.lr = kRate, .momentum = 0.9, .weight_decay = kDecay});
  optim::Schedule schedule = optim::warmup(std::min(kWarmup, epochs * 4));
  Outcome outcome;
  int64_t step = 0;
  for (int64_t epoch = 1; epoch <= epochs; ++epoch) {
    each_batch(p, kBatch, false, g, [&](const Tensor& x, const Tensor& labels) {
      sgd.set_lr_scale(schedule(step++));
      sgd.zero_grad();
      cross_entropy(net.head(mask(net.features(x), g)), labels).backward();
      sgd.step();
    });
    note(outcome, {{net}}, p, mask.sigma.has_value(), epoch, epochs);
    cell.progress(from + share * static_cast<double>(epoch) / static_cast<double>(epochs));
  }
  return outcome;
}

struct TeachOptions {
  int64_t epochs, gradual;
  double rate;
  bool halves;  // with batches twice as large
};

// Two networks choose for each other. With a nested mask they keep one common random number of channels, and choose with the number of
// the last validation.
Outcome co_teach(Cell& cell, const Problem& p, Judged start, const Mask& mask, const TeachOptions& o, double from, double share) {
  Generator& g = default_generator();
  CoTeachingTrainer<Net> trainer(start.nets[0], start.nets[1], {.halves = o.halves, .freeze_norms = o.halves},
                                 {.lr = o.rate, .momentum = 0.9, .weight_decay = kDecay});
  start.choose(p.choose, mask.sigma.has_value());
  int64_t channels = start.channels, step = 0;
  optim::Schedule schedule = o.halves ? optim::constant() : optim::warmup(std::min(kWarmup, o.epochs * 4));
  Outcome outcome;
  for (int64_t epoch = 1; epoch <= o.epochs; ++epoch) {
    double forget = forget_schedule(epoch - 1, p.labels.rate(), o.gradual);
    each_batch(p, o.halves ? 2 * kBatch : kBatch, o.halves, g, [&](const Tensor& x, const Tensor& labels) {
      int64_t kept = mask.sigma ? NestedDropout(kChannels, *mask.sigma).sample_k(g) : kChannels;
      for (int which : {0, 1}) trainer.optimizer(which).set_lr_scale(schedule(step));
      trainer.step(
          x, labels, forget, [&](Net& net, const Tensor& part) { return net.head(keep_first(net.features(part), channels)); },
          [&](Net& net, const Tensor& part) {
            Tensor f = net.features(part);
            return net.head(mask.sigma ? keep_first(f, kept) : mask.dropout > 0 ? plumb::dropout(f, mask.dropout) : f);
          });
      ++step;
    });
    note(outcome, {{trainer.network(0), trainer.network(1)}}, p, mask.sigma.has_value(), epoch, o.epochs);
    channels = outcome.last.channels;
    cell.progress(from + share * static_cast<double>(epoch) / static_cast<double>(o.epochs));
  }
  return outcome;
}

Mask mask_of(const Cell& cell) {
  if (cell.is("dropout 0.3")) return {.dropout = 0.3};
  if (cell.is("dropout 0.5") || cell.is("dropout + co-teaching")) return {.dropout = 0.5};
  if (cell.is("nested, σ = 5")) return {.sigma = 5};
  if (cell.is("nested, σ = 20")) return {.sigma = 20};
  if (cell.variant().starts_with("nested") || cell.is("two nested, averaged")) return {.sigma = 10};
  return {};
}

Outcome train_variant(Cell& cell, const Problem& p, const std::string& level, double from, double share) {
  Mask mask = mask_of(cell);
  int64_t epochs = cell.pick<int64_t>(4, 100, 200), fine = cell.pick<int64_t>(1, 30, 60);
  if (cell.is("co-teaching")) {
    Judged start{{Net(), Net()}};
    return co_teach(cell, p, start, mask, {epochs, epochs / 10, kRate, false}, from, share);
  }
  auto stage = [&](int which) {  // networks that several variants use, made once a seed
    return cell.shared(fmt::format("{}, {}, network {}", mask.name(), level, which),
                       [&] { return train_one(cell, p, mask, epochs, from, 0.4 * share); });
  };
  auto first = stage(0);
  bool teaches = cell.variant().ends_with("co-teaching"), averages = cell.is("two nested, averaged");
  if (!teaches && !averages) return *first;
  auto second = stage(1);
  bool nested = mask.sigma.has_value();
  if (teaches) {
    Judged start{{first->best.nets[0], second->best.nets[0]}};
    return co_teach(cell, p, start, mask, {fine, 0, kFineRate, true}, from + 0.8 * share, 0.2 * share);
  }
  Outcome both;
  both.best = {{first->best.nets[0], second->best.nets[0]}};
  both.last = {{first->last.nets[0], second->last.nets[0]}};
  both.best.choose(p.choose, nested);
  both.last.choose(p.choose, nested);
  return both;
}

void run_level(Cell& cell, bool symmetric, const std::string& level, double from) {
  auto problem = cell.shared("digits, " + level, [&] { return make_problem(symmetric); });
  const Problem& p = *problem;
  Outcome outcome = train_variant(cell, p, level, from, 0.5);
  for (const Point& at : outcome.way) {
    cell.point("test accuracy (%): " + level, "epochs", at.epoch, at.test);
    cell.point("wrong labels memorised (%): " + level, "epochs", at.epoch, at.memorised);
  }
  auto by_channels = outcome.last.accuracies(p.test);
  for (size_t k = 0; k < by_channels.size(); k += k < 24 ? 1 : 8)
    cell.point("test accuracy with the first K channels (%): " + level, "K", static_cast<double>(k + 1), 100 * by_channels[k]);
  cell.metric("test accuracy, " + level + " (%)", test_accuracy(outcome.last, p));
  cell.metric("chosen epoch, " + level + " (%)", test_accuracy(outcome.best, p));
  cell.metric("memorised, " + level + " (%)", memorised(outcome.last, p));
  cell.metric("channels kept, " + level, static_cast<double>(outcome.last.channels));
}

// The paper's picture: a curve through noisy points by a wide network, plain and nested. The way of plotting is ours.
void regression(Cell& cell) {
  bool nested = !cell.is("cross entropy");
  const int64_t width = 256, points = 60;
  Tensor x = linspace(-1, 1, points);
  Tensor truth = sin(5 * x), y = unsqueeze(truth + 0.3 * randn({points}), 1);
  nn::Linear up(1, width), down(width, 1, {.bias = false});
  optim::Adam adam(std::vector<Tensor>{up.weight, up.bias, down.weight}, {.lr = 3e-3});
  NestedDropout law(width, 30);
  Generator g(cell.seed());
  Tensor in = unsqueeze(x, 1);
  auto features = [&] { return relu(up(3 * in)); };
  int64_t steps = cell.pick<int64_t>(5, 3000, 10'000);
  for (int64_t step = 0; step < steps; ++step) {
    adam.zero_grad();
    Tensor f = features();
    mean(square(down(nested ? keep_first(f, law.sample_k(g)) : f) - y)).backward();
    adam.step();
  }
  NoGrad no_grad;
  auto line = [&](const std::string& name, const Tensor& values) {
    auto at = to_vector(x), v = to_vector(values);
    for (size_t i = 0; i < at.size(); ++i) cell.point("a curve through noisy points", "x", at[i], v[i], name);
  };
  auto fit = [&](int64_t k) { return squeeze(down(keep_first(features(), k)), 1); };
  if (!nested) {
    line("truth", truth);
    line("noisy points", squeeze(y, 1));
    line("all channels", fit(width));
    return;
  }
  for (int64_t k : {5, 20, 60}) line(fmt::format("first {}", k), fit(k));
}

void run(Cell& cell) {
  run_level(cell, true, "symmetric 40 %", 0);
  run_level(cell, false, "asymmetric 30 %", 0.5);
  if (cell.is("cross entropy") || cell.is("nested, σ = 10")) regression(cell);
}

}  // namespace

Experiment experiment() {
  std::vector<Metric> metrics;
  for (const char* level : {", symmetric 40 %", ", asymmetric 30 %"})
    for (auto [what, unit, better] : {std::tuple{"test accuracy", " (%)", Better::higher},
                                      {"chosen epoch", " (%)", Better::higher},
                                      {"memorised", " (%)", Better::lower},
                                      {"channels kept", "", Better::neither}})
      metrics.push_back({std::string(what) + level + unit, better});
  return {.title = "Nested dropout + co-teaching",
          .paper = "Chen, Hu, Shen, Ai, Suykens: Compressing Features for Learning with Noisy Labels, TNNLS 2022",
          .claim =
              "with wrong labels, keeping only the first K features, K random, memorises less than dropout and plain training, and "
              "co-teaching two such networks gains further",
          .metrics = metrics,
          .variants = {{"cross entropy", "all 128 features"},
                       {"dropout 0.3", "of the features"},
                       {"dropout 0.5", "of the features"},
                       {"co-teaching", "two networks from scratch, all features; the share to forget rises over the first tenth"},
                       {"dropout + co-teaching", "two networks with dropout 0.5, then fine-tuned by co-teaching"},
                       {"nested, σ = 5", "first K of the features"},
                       {"nested, σ = 10", "first K of the features"},
                       {"nested, σ = 20", "first K of the features"},
                       {"two nested, averaged", "σ = 10, mean logits without co-teaching"},
                       {"nested + co-teaching", "σ = 10, two networks, then fine-tuned by co-teaching"}},
          .baseline = "cross entropy",
          .method = "nested + co-teaching",
          .run = run};
}

}  // namespace plumb::methods::compress_features
