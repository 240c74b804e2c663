// The common table of label noise: symmetric and asymmetric wrong labels at 20, 40 and 60 % on digits and on colour images; one network,
// one training loop, and each method's own loss of a batch.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <functional>
#include <memory>

#include "engine/autograd/grad_mode.h"
#include "engine/data/digits/digits.h"
#include "engine/data/images.h"
#include "engine/data/shapes.h"
#include "methods/common/co_teaching.h"
#include "methods/common/label_noise.h"
#include "methods/common/mixing.h"
#include "methods/common/noisy_label_losses.h"
#include "methods/common/pooled_cnn.h"
#include "methods/common/robust_losses.h"
#include "methods/experiment.h"
#include "methods/regularization/ps_kd/ps_kd.h"
#include "methods/robust/compress_features/compress_features.h"
#include "methods/robust/elr/elr.h"
#include "methods/robust/ldr/ldr.h"
#include "models/metrics/confusion.h"
#include "models/optim/schedule.h"
#include "models/optim/sgd.h"
#include "ops/dropout.h"
#include "ops/index.h"
#include "ops/join.h"
#include "ops/loss.h"
#include "ops/matmul.h"
#include "ops/pointwise.h"
#include "ops/pool.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::methods::label_noise_table {
namespace {

namespace nested = compress_features;

constexpr int64_t kFeatures = 128, kBatch = 64;
constexpr double kRate = 0.05, kDecay = 5e-4;
// Losses whose gradient is small, or bounded by how they normalise scores, train at a rate of their own.
constexpr double kLdrRate = 0.01, kAldrRate = 0.1, kNceRate = 0.005;
constexpr double kSigma = 12;  // nested dropout: about a tenth of the features

constexpr std::array kSets{"digits", "colour"};
struct Noise {
  const char* name;
  bool symmetric;
  double rate;
};
constexpr std::array kNoises{Noise{"symmetric 20 %", true, .2},   Noise{"symmetric 40 %", true, .4},   Noise{"symmetric 60 %", true, .6},
                             Noise{"asymmetric 20 %", false, .2}, Noise{"asymmetric 40 %", false, .4}, Noise{"asymmetric 60 %", false, .6}};

struct Images {
  Tensor x, labels;  // [n, C, H, W], [n]
};
struct Data {
  Images train, test;
  std::vector<int64_t> map;  // of asymmetric noise
};

// What the variants share for one set and noise. Part of the noisy training set is held out, for choosing.
struct Problem {
  Images held, test;  // held with the labels as they are given
  Tensor train;
  NoisyLabels labels;
  int64_t classes;
  PooledCnn first, second;
  uint64_t seed;  // of the batches
};

Images tensors(const data::Dataset& set, bool halve) {
  auto all = set.batch(set.size()).next();
  return {halve ? avg_pool2d(all.image, 2) : all.image, all.label};
}

// Smoke: what the library carries and renders itself. Else the published sets at half resolution.
Data make_data(const Cell& cell, const std::string& set) {
  bool small = cell.budget() == Budget::smoke;
  int64_t train = cell.pick<int64_t>(200, 2000, 10'000), test = cell.pick<int64_t>(80, 1000, 2000);
  // What asymmetric noise takes for what: digits that look alike; truck for automobile, bird for airplane, deer for horse, cat and dog for
  // each other.
  auto objects = pair_map({{9, 1}, {2, 0}, {4, 7}, {3, 5}, {5, 3}}, 10);
  Data d;
  if (set == "digits") {
    auto parts = small ? data::digits() : data::mnist();
    d = {tensors(parts.train().take(train), !small), tensors(parts.test().take(test), !small), similar_digits_map()};
  } else if (small) {
    data::ShapeOptions one{.size = 12, .max_shapes = 1};
    data::ShapeOptions other = one;
    other.seed = 1;
    d = {tensors(data::shapes(train, one), false), tensors(data::shapes(test, other), false), next_class_map(data::kShapeKinds)};
  } else {
    d = {tensors(data::cifar10().train().take(train), true), tensors(data::cifar10().test().take(test), true), objects};
  }
  Tensor center = mean(d.train.x), scale = std_dev(d.train.x);
  for (Images* images : {&d.train, &d.test}) images->x = (images->x - center) / scale;
  return d;
}

PooledCnn make_network(const Data& d, int64_t first) {
  const Tensor& x = d.train.x;
  PooledCnn net({.channels = x.size(1),
                 .height = x.size(2),
                 .width = x.size(3),
                 .classes = static_cast<int64_t>(d.map.size()),
                 .first = first,
                 .features = kFeatures});
  fill_(net.head.bias, 0);  // a classifier without bias, as nested dropout wants it, for all
  net.head.bias.requires_grad_(false);
  return net;
}

Problem make_problem(const Data& d, const Noise& noise, int64_t first) {
  Generator& g = default_generator();
  auto classes = static_cast<int64_t>(d.map.size());
  NoGrad no_grad;
  NoisyLabels all = noise.symmetric ? inject_symmetric(d.train.labels, noise.rate, classes, g, false)
                                    : inject_asymmetric(d.train.labels, d.map, noise.rate, g);
  int64_t n = d.train.x.size(0), held = n / 12;
  Tensor order = randperm(n, {.dtype = i64, .generator = &g}), out = narrow(order, 0, 0, held), in = narrow(order, 0, held, n - held);
  auto rows = [](const Tensor& x, const Tensor& at) { return index_select(x, 0, at); };
  return {{rows(d.train.x, out), rows(all.given, out)},
          d.test,
          rows(d.train.x, in),
          {rows(all.given, in), rows(all.clean, in)},
          classes,
          make_network(d, first),
          make_network(d, first),
          g.next_u64()};
}

// Networks judged by their mean logits, with the first `channels` features.
struct Judged {
  std::vector<PooledCnn> nets;
  int64_t channels = kFeatures;

  Tensor predictions(const Tensor& images) {
    NoGrad no_grad;
    for (PooledCnn& net : nets) net.eval();
    std::vector<Tensor> parts;
    for (const Tensor& x : split(images, 500)) {
      Tensor total;
      for (PooledCnn& net : nets) {
        Tensor z = net.head(nested::keep_first(net.features(x), channels));
        total = total.defined() ? total + z : z;
      }
      parts.push_back(argmax(total, 1));
    }
    for (PooledCnn& net : nets) net.train();
    return cat(parts, 0);
  }
  double accuracy(const Images& images) { return 100 * metrics::accuracy(predictions(images.x), images.labels); }
  /// By the held-out examples and their noisy labels.
  void choose_channels(const Problem& p) {
    NoGrad no_grad;
    std::vector<nested::FeaturesAndWeight> heads;
    for (PooledCnn& net : nets) {
      net.eval();
      heads.push_back({net.features(p.held.x), net.head.weight});
      net.train();
    }
    channels = nested::select_k(nested::prefix_accuracy(heads, p.held.labels));
  }
};

struct Batch {
  Tensor x, labels, index;
};
// What a method does with a batch; made anew for each training run, with what it remembers about the examples.
struct Objective {
  std::function<Tensor(PooledCnn& net, const Batch& batch)> loss;
  double rate = kRate;
  std::function<void(int64_t epoch)> epoch_begins = {};  // from 1 on
};

Objective on_logits(Tensor (*loss)(const Tensor& logits, const Tensor& labels), double rate = kRate) {
  return {[loss](PooledCnn& net, const Batch& b) { return loss(net(b.x), b.labels); }, rate};
}

Objective mixup(Generator& g) {
  return {[&g](PooledCnn& net, const Batch& b) {
    double share = sample_mix_coefficient(g, {.a = 1, .b = 1, .least = -1});
    Tensor order = randperm(b.x.size(0), {.dtype = i64, .generator = &g});
    return mixup_cross_entropy(net(mix(b.x, order, share)), b.labels, index_select(b.labels, 0, order), share);
  }};
}

Objective nested_dropout(Generator& g) {
  return {[&g, law = nested::NestedDropout(kFeatures, kSigma)](PooledCnn& net, const Batch& b) {
    return cross_entropy(net.head(nested::keep_first(net.features(b.x), law.sample_k(g))), b.labels);
  }};
}

Objective ps_kd_objective(int64_t samples, int64_t classes, int64_t epochs) {
  auto targets = std::make_shared<ps_kd::ProgressiveTargets>(samples, classes, epochs);
  return {[targets](PooledCnn& net, const Batch& b) { return ps_kd::ps_kd_loss(net(b.x), b.labels, b.index, *targets); }, kRate,
          [targets](int64_t epoch) { targets->begin_epoch(epoch); }};
}

// Losses with a state or a mask first, then those of logits and labels.
Objective objective(const std::string& variant, const Problem& p, int64_t epochs, Generator& g) {
  int64_t n = p.train.size(0);
  if (variant == "mixup") return mixup(g);
  if (variant.starts_with("nested")) return nested_dropout(g);
  if (variant == "PS-KD") return ps_kd_objective(n, p.classes, epochs);
  if (variant == "dropout")
    return {[](PooledCnn& net, const Batch& b) { return cross_entropy(net.head(dropout(net.features(b.x), 0.5)), b.labels); }};
  if (variant == "ELR") {
    auto targets = std::make_shared<PerSampleEma>(n, p.classes, 0.7);
    return {[targets](PooledCnn& net, const Batch& b) { return elr::elr_loss(net(b.x), b.labels, b.index, *targets); }};
  }
  if (variant == "ALDR-KL") {
    auto loss = std::make_shared<ldr::AldrKlLoss>(n);
    return {[loss](PooledCnn& net, const Batch& b) { return (*loss)(net(b.x), b.labels, b.index); }, kAldrRate};
  }
  if (variant == "LDR-KL")
    return on_logits([](const Tensor& z, const Tensor& y) { return ldr::ldr_kl_loss(z, y, {.lambda = 10}); }, kLdrRate);
  if (variant == "GCE") return on_logits([](const Tensor& z, const Tensor& y) { return generalized_cross_entropy(z, y); });
  if (variant == "SCE") return on_logits([](const Tensor& z, const Tensor& y) { return symmetric_cross_entropy(z, y); });
  if (variant == "NCE + RCE") return on_logits([](const Tensor& z, const Tensor& y) { return nce_and_rce(z, y, 9); }, kNceRate);
  if (variant == "Jensen–Shannon") return on_logits([](const Tensor& z, const Tensor& y) { return generalized_js_loss(z, y, 0.5); });
  if (variant == "label smoothing")
    return on_logits([](const Tensor& z, const Tensor& y) { return cross_entropy(z, y, {.label_smoothing = 0.2}); });
  return on_logits([](const Tensor& z, const Tensor& y) { return cross_entropy(z, y); });
}

optim::SgdOptions sgd_options(double rate) { return {.lr = rate, .momentum = 0.9, .weight_decay = kDecay, .nesterov = true}; }

// f(batch) for an epoch; `count` examples each, the rest is left out.
template <typename F>
void each_batch(const Problem& p, int64_t count, Generator& g, F&& f) {
  int64_t n = p.train.size(0);
  Tensor order = randperm(n, {.dtype = i64, .generator = &g});
  for (int64_t from = 0; from + count <= n; from += count) {
    Tensor at = narrow(order, 0, from, count);
    f(Batch{index_select(p.train, 0, at), index_select(p.labels.given, 0, at), at});
  }
}

// One variant on one set and noise.
class Run {
 public:
  Run(Cell& cell, const Problem& problem, std::string name, double from, double share)
      : cell_(cell),
        p_(problem),
        name_(std::move(name)),
        from_(from),
        share_(share),
        epochs_(cell.pick<int64_t>(2, 20, 60)),
        g_(problem.seed) {}

  /// The test accuracy, which is also left with the cell.
  double run() {
    Judged judged = result();
    double accuracy = judged.accuracy(p_.test);
    cell_.metric(name_ + " (%)", accuracy);
    return accuracy;
  }

 private:
  Judged result() {
    if (cell_.is("co-teaching")) return co_teach(p_.first, p_.second, epochs_, false, false);
    if (cell_.is("nested + co-teaching")) return co_teach(train(p_.first), train(p_.second), std::max<int64_t>(1, epochs_ / 4), true, true);
    if (cell_.is("cross entropy")) return plain()->last;
    if (cell_.is("early stopping")) return plain()->best;
    Judged judged{{train(p_.first)}};
    if (cell_.is("nested dropout")) judged.choose_channels(p_);
    return judged;
  }

  PooledCnn train(const PooledCnn& from, const std::function<void(PooledCnn&)>& after_epoch = {}) {
    PooledCnn net = from;
    Objective o = objective(cell_.variant(), p_, epochs_, g_);
    optim::SGD sgd(net.parameters(), sgd_options(o.rate));
    optim::Schedule schedule = optim::cosine(epochs_ * (p_.train.size(0) / kBatch));
    int64_t step = 0;
    for (int64_t epoch = 1; epoch <= epochs_; ++epoch) {
      if (o.epoch_begins) o.epoch_begins(epoch);
      each_batch(p_, kBatch, g_, [&](const Batch& b) {
        sgd.set_lr_scale(schedule(step++));
        sgd.zero_grad();
        o.loss(net, b).backward();
        sgd.step();
      });
      Judged now{{net}};
      note(epoch, now);
      if (after_epoch) after_epoch(net);
    }
    return net;
  }

  struct Plain {
    Judged last, best;  // of the last epoch, and of that which the held-out examples chose
  };
  std::shared_ptr<const Plain> plain() {
    return cell_.shared("plain training, " + name_, [&] {
      Plain out;
      double most = -1;
      train(p_.first, [&](PooledCnn& net) {
        out.last = {{net}};
        double accuracy = out.last.accuracy(p_.held);
        if (accuracy > most) most = accuracy, out.best = out.last;
      });
      return out;
    });
  }

  // From scratch on whole batches, or (fine) nested networks on halves at a tenth of the rate, with batch norms kept.
  Judged co_teach(const PooledCnn& first, const PooledCnn& second, int64_t epochs, bool fine, bool masked) {
    CoTeachingTrainer<PooledCnn> trainer(first, second, {.halves = fine, .freeze_norms = fine}, sgd_options(fine ? kRate / 10 : kRate));
    nested::NestedDropout law(kFeatures, kSigma);
    Judged judged{{first, second}};
    if (masked) judged.choose_channels(p_);
    int64_t batch = fine ? 2 * kBatch : kBatch, step = 0;
    optim::Schedule schedule = optim::cosine(epochs * (p_.train.size(0) / batch));
    for (int64_t epoch = 1; epoch <= epochs; ++epoch) {
      double forget = forget_schedule(epoch - 1, p_.labels.rate(), fine ? 0 : epochs / 5);
      each_batch(p_, batch, g_, [&](const Batch& b) {
        int64_t kept = masked ? law.sample_k(g_) : kFeatures;
        for (int which : {0, 1}) trainer.optimizer(which).set_lr_scale(schedule(step));
        auto with = [](int64_t channels) {
          return [channels](PooledCnn& net, const Tensor& x) { return net.head(nested::keep_first(net.features(x), channels)); };
        };
        trainer.step(b.x, b.labels, forget, with(judged.channels), with(kept));
        ++step;
      });
      judged.nets = {trainer.network(0), trainer.network(1)};
      if (masked) judged.choose_channels(p_);
      note(epoch, judged);
    }
    return judged;
  }

  // The way there, for half of the settings and not in every epoch: it costs passes over test and training sets.
  void note(int64_t epoch, Judged& now) {
    cell_.progress(from_ + share_ * 0.9 * static_cast<double>(epoch) / static_cast<double>(epochs_));
    bool drawn = name_.find("40 %") != std::string::npos && (epoch % std::max<int64_t>(1, epochs_ / 5) == 0);
    if (!drawn) return;
    auto at = static_cast<double>(epoch);
    cell_.point("test accuracy (%): " + name_, "epochs", at, now.accuracy(p_.test));
    cell_.point("wrong labels memorised (%): " + name_, "epochs", at, 100 * audit(now.predictions(p_.train), p_.labels).memorised);
  }

  Cell& cell_;
  const Problem& p_;
  std::string name_;
  double from_, share_;
  int64_t epochs_;
  Generator g_;
};

std::string heading(const char* set, const Noise& noise) { return fmt::format("{}, {}", set, noise.name); }

void run(Cell& cell) {
  const double share = 1.0 / static_cast<double>(kSets.size() * kNoises.size());
  double done = 0, total = 0;
  for (const char* set : kSets) {
    auto data = cell.shared(set, [&] { return make_data(cell, set); });
    for (const Noise& noise : kNoises) {
      std::string name = heading(set, noise);
      auto problem = cell.shared(name, [&] { return make_problem(*data, noise, cell.pick<int64_t>(4, 8, 16)); });
      manual_seed(problem->seed);  // for operations without a generator of their own
      total += Run(cell, *problem, name, done, share).run();
      done += share;
    }
  }
  cell.metric("mean of all (%)", total * share);
}

}  // namespace

Experiment experiment() {
  std::vector<Metric> metrics{{"mean of all (%)"}};
  for (const char* set : kSets)
    for (const Noise& noise : kNoises) metrics.push_back({heading(set, noise) + " (%)"});
  return {.title = "Label noise: one table",
          .paper = "each method's own; plumb methods names them",
          .claim =
              "test accuracy of the last epoch with 20, 40 and 60 % wrong labels on MNIST (digits) and a CIFAR-10 subset (colour), at half "
              "resolution: the same noise, network, optimiser and epochs for all",
          .metrics = metrics,
          .variants = {{"cross entropy", "the last epoch"},
                       {"early stopping", "cross-entropy; the epoch chosen by held-out noisy labels"},
                       {"label smoothing", "ε = 0.2"},
                       {"dropout", "half of the features"},
                       {"mixup", "α = 1"},
                       {"GCE", "q = 0.7"},
                       {"SCE", "0.1 cross-entropy + 1.0 reverse cross-entropy"},
                       {"NCE + RCE", "9 and 1; learning rate 0.005"},
                       {"Jensen–Shannon", "π₁ = 0.5"},
                       {"PS-KD", "last epoch's predictions as targets, α = 0.8"},
                       {"ELR", "λ = 3, β = 0.7"},
                       {"LDR-KL", "λ = 10; learning rate 0.01"},
                       {"ALDR-KL", "λ₀ = 10, α = 2; learning rate 0.1"},
                       {"co-teaching", "two networks from scratch; they know the noise's rate"},
                       {"nested dropout", "σ = 12; K chosen by held-out noisy labels"},
                       {"nested + co-teaching", "two nested networks, then fine-tuned by co-teaching; they know the noise's rate"}},
          .baseline = "cross entropy",
          .method = "",
          .run = run};
}

}  // namespace plumb::methods::label_noise_table
