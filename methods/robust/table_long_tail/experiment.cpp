// The common table of methods for long-tailed classes: one training set, network, augmentation and optimiser for each of six settings, and
// each method's own loss, or experts.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <vector>

#include "engine/autograd/grad_mode.h"
#include "engine/data/digits/digits.h"
#include "engine/data/images.h"
#include "engine/data/long_tail.h"
#include "engine/data/shapes.h"
#include "methods/common/image_views.h"
#include "methods/common/long_tail_losses.h"
#include "methods/experiment.h"
#include "methods/robust/ldr/ldr.h"
#include "methods/robust/mdcs/experts.h"
#include "methods/robust/mdcs/mdcs.h"
#include "models/metrics/shot_groups.h"
#include "models/optim/schedule.h"
#include "models/optim/sgd.h"
#include "ops/index.h"
#include "ops/join.h"
#include "ops/loss.h"
#include "ops/pool.h"
#include "ops/reduce.h"

namespace plumb::methods::long_tail_table {
namespace {

constexpr std::array<int64_t, 3> kFactors{10, 50, 100};
constexpr std::array kSets{"handwritten digits", "colour images"};
constexpr double kShare = 1.0 / static_cast<double>(kFactors.size() * kSets.size());  // of a cell, for one setting

constexpr int64_t kBatch = 32;  // images, of two views each
constexpr double kScale = 16, kLearningRate = 0.05;

std::string heading(const std::string& set, int64_t factor) { return fmt::format("{}, factor {}", set, factor); }

// What all variants of a seed train on and begin with, in one setting.
struct Problem {
  Tensor images, labels, test, test_labels;
  std::vector<int64_t> counts;
  data::ShotGroups groups;
  ImageViews views;
  mdcs::ExpertCnn single, triple;
  uint64_t seed;  // of order and views
  int64_t classes() const { return static_cast<int64_t>(counts.size()); }
};

struct Images {
  data::Dataset train, test;
  int64_t largest;  // images of the most frequent class
  ImageKind kind;
  bool halved = false;
};

// So many random examples of each of ten classes.
data::Dataset of_each(const data::Dataset& set, int64_t count, Generator& g) {
  return data::long_tail(set, std::vector<int64_t>(10, count), g.next_u64());
}

// Smoke: what the library carries and renders itself. Else the published sets, MNIST's first 10,000 images; by default in half the
// resolution, which is a quarter of the work.
Images images_of(const Cell& cell, const std::string& set, Generator& g) {
  bool small = cell.budget() == Budget::smoke, halved = cell.budget() == Budget::usual;
  if (set == "handwritten digits") {
    if (small) return {data::digits().train(), of_each(data::digits().test(), 30, g), 60, ImageKind::marks};
    return {data::mnist().train().take(10'000), of_each(data::mnist().test(), 200, g), 500, ImageKind::marks, halved};
  }
  if (small) {
    data::ShapeOptions one{.size = 12, .max_shapes = 1};
    data::ShapeOptions other = one;
    other.seed = 1;
    return {data::shapes(240, one), data::shapes(60, other), 40, ImageKind::photos};
  }
  return {data::cifar10().train(), data::cifar10().test(), 1000, ImageKind::photos, halved};
}

// The most frequent third of the classes, the rarest third, and what is between: the same classes for every factor.
data::ShotGroups thirds(const std::vector<int64_t>& rank) {
  auto third = static_cast<int64_t>(rank.size()) / 3;
  return {{rank.begin(), rank.begin() + third}, {rank.begin() + third, rank.end() - third}, {rank.end() - third, rank.end()}};
}

Problem make_problem(const Cell& cell, const std::string& set, int64_t factor) {
  Generator& g = default_generator();
  Images images = images_of(cell, set, g);
  auto labels = images.train.labels();
  int64_t classes = *std::ranges::max_element(labels) + 1;
  auto rank = data::random_order(classes, g);
  auto wanted = data::long_tail_counts(images.largest, classes, static_cast<double>(factor));
  auto rows = [&](const data::Dataset& of) {
    data::Batch all = of.batch(of.size()).next();
    if (images.halved) all.image = avg_pool2d(all.image, 2);
    return all;
  };
  data::Batch x = rows(data::long_tail(images.train, wanted, g.next_u64(), rank)), y = rows(images.test);
  PooledCnnConfig config{.channels = x.image.size(1),
                         .height = x.image.size(2),
                         .width = x.image.size(3),
                         .classes = classes,
                         .first = cell.pick<int64_t>(4, 8, 32),
                         .features = cell.pick<int64_t>(16, 64, 128)};
  return {x.image,
          x.label,
          y.image,
          y.label,
          data::class_counts(to_vector<int64_t>(x.label), classes),
          thirds(rank),
          image_views(images.kind, x.image.size(2)),
          mdcs::expert_cnn(config, 1, kScale),
          mdcs::expert_cnn(config, 3, kScale),
          g.next_u64()};
}

// The loss of one variant in one setting, with what it remembers.
class Objective {
 public:
  Objective(const Cell& cell, const Problem& p, int64_t steps) : variant_(cell.variant()), p_(p), steps_(steps) {
    int64_t epochs = std::max<int64_t>(1, steps * kBatch / p.images.size(0));
    per_epoch_ = static_cast<double>(steps) / static_cast<double>(epochs);
    bool equal = variant_ == "experts (1, 1, 1)";
    if (experts()) {
      loss_.emplace(p.counts, mdcs::MdcsOptions{.exponents = equal ? std::vector<double>{1, 1, 1} : std::vector<double>{-0.5, 1, 2.5},
                                                .alpha = variant_ == "MDCS" ? 0.2 : 0,
                                                .warmup = 0.1 * static_cast<double>(epochs)});
    }
    if (variant_ == "ALDR-KL") aldr_.emplace(p.images.size(0));
  }
  bool experts() const { return variant_ == "experts (1, 1, 1)" || variant_ == "diversity loss" || variant_ == "MDCS"; }

  // logits of weak and strong views one above the other, of each expert; labels and places [B] of the images.
  Tensor operator()(const std::vector<Tensor>& logits, const Tensor& labels, const Tensor& places, int64_t step) {
    if (loss_) return (*loss_)(logits, labels, 1 + static_cast<double>(step) / per_epoch_).loss;
    Tensor both = cat({labels, labels});
    const Tensor& z = logits[0];
    if (variant_ == "class-balanced") return cross_entropy(z, both, {.weight = deferred_weights(p_.counts, 0, 0, 0.999)});
    if (variant_ == "focal") return focal_loss(z, both);
    if (variant_ == "balanced softmax") return prior_adjusted_cross_entropy(z, both, log_prior(p_.counts));
    if (variant_ == "LDAM-DRW")
      return ldam_loss(z, both, ldam_margins(p_.counts), kScale, deferred_weights(p_.counts, step, steps_ * 4 / 5));
    if (variant_ == "LDR-KL") return ldr::ldr_kl_loss(z, both);
    if (aldr_) return (*aldr_)(z, both, cat({places, places}));
    return cross_entropy(z, both);
  }

 private:
  std::string variant_;
  const Problem& p_;
  int64_t steps_;
  double per_epoch_ = 1;
  std::optional<mdcs::MdcsLoss> loss_;
  std::optional<ldr::AldrKlLoss> aldr_;
};

// Endless places in random order.
struct Order {
  int64_t size;
  Generator& generator;
  std::vector<int64_t> order = {};
  size_t at = 0;
  Tensor take(int64_t count) {
    std::vector<int64_t> out;
    for (int64_t k = 0; k < count; ++k) {
      if (at == order.size()) order = data::random_order(size, generator), at = 0;
      out.push_back(order[at++]);
    }
    return from_vector(out);
  }
};

class Run {
 public:
  Run(Cell& cell, const Problem& problem, std::string set, int64_t factor, double done)
      : cell_(cell), p_(problem), set_(std::move(set)), factor_(factor), done_(done), steps_(cell.pick<int64_t>(8, 800, 20'000)) {}

  void train() {
    Objective objective(cell_, p_, steps_);
    mdcs::ExpertCnn net = objective.experts() ? p_.triple : p_.single;
    optim::SGD sgd(net.parameters(), {.lr = kLearningRate, .momentum = 0.9, .weight_decay = 5e-4, .nesterov = true});
    auto schedule = optim::cosine_with_warmup(std::max<int64_t>(1, steps_ / 20), steps_);
    Generator g(p_.seed);
    Order order{p_.images.size(0), g};
    int64_t every = std::max<int64_t>(1, steps_ / 5);
    for (int64_t step = 0; step < steps_; ++step) {
      net.train();
      Tensor places = order.take(kBatch), images = index_select(p_.images, 0, places), labels = index_select(p_.labels, 0, places);
      Tensor views = cat({p_.views.weak(images, g), p_.views.strong(images, g)});
      sgd.set_lr_scale(schedule(step));
      sgd.zero_grad();
      objective(net.logits(views), labels, places, step).backward();
      sgd.step();
      cell_.progress(done_ + kShare * static_cast<double>(step) / static_cast<double>(steps_));
      if ((step + 1) % every == 0)
        cell_.point(heading(set_, factor_) + ": accuracy (%)", "steps", static_cast<double>(step + 1), 100 * judge(net).all);
    }
    report(judge(net));
  }

 private:
  metrics::ShotAccuracy judge(mdcs::ExpertCnn& net) const {
    NoGrad no_grad;
    net.eval();
    return metrics::shot_accuracy(argmax(net(p_.test), 1), p_.test_labels, p_.groups, p_.classes());
  }

  void report(const metrics::ShotAccuracy& a) {
    cell_.metric(heading(set_, factor_) + " (%)", 100 * a.all);
    auto at = static_cast<double>(factor_);
    cell_.point(set_ + ": frequent third of the classes (%)", "factor", at, 100 * a.many);
    cell_.point(set_ + ": middle of the classes (%)", "factor", at, 100 * a.medium);
    cell_.point(set_ + ": rare third of the classes (%)", "factor", at, 100 * a.few);
  }

  Cell& cell_;
  const Problem& p_;
  std::string set_;
  int64_t factor_;
  double done_;
  int64_t steps_;
};

void run(Cell& cell) {
  double done = 0;
  for (const char* set : kSets)
    for (int64_t factor : kFactors) {
      auto problem = cell.shared(heading(set, factor), [&] { return make_problem(cell, set, factor); });
      Run(cell, *problem, set, factor, done).train();
      done += kShare;
    }
}

}  // namespace

Experiment experiment() {
  std::vector<Metric> metrics;
  for (const char* set : kSets)
    for (int64_t factor : kFactors) metrics.push_back({heading(set, factor) + " (%)"});
  return {.title = "Long-tailed classes: one table",
          .paper = "each method's own; plumb methods names them",
          .claim =
              "test accuracy, all classes counting alike, when the rarest class of MNIST (handwritten digits) and of a CIFAR-10 subset "
              "(colour images) has 10, 50 and 100 times fewer training images than the most frequent one: the same images, network, views, "
              "optimiser and steps for all",
          .metrics = metrics,
          .variants = {{"cross entropy", "one network"},
                       {"class-balanced", "cross-entropy weighted by the inverse effective number of images, β = 0.999"},
                       {"focal", "γ = 2"},
                       {"balanced softmax", "logits adjusted by the prior (logit adjustment, τ = 1)"},
                       {"LDAM-DRW", "margins up to 0.5, weights in the last fifth"},
                       {"LDR-KL", "λ = 1, margin 0.1"},
                       {"ALDR-KL", "λ₀ = 10, α = 2, margin 0.1"},
                       {"experts (1, 1, 1)", "three experts, each with the balanced softmax"},
                       {"diversity loss", "three experts, exponents −0.5, 1, 2.5"},
                       {"MDCS", "and consistency self-distillation, α = 0.2 as in its own experiment"}},
          .baseline = "cross entropy",
          .method = "",
          .run = run};
}

}  // namespace plumb::methods::long_tail_table
