// MDCS on long-tailed digits, against single networks with the usual answers to long tails and other ways to make experts differ.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <memory>
#include <string>
#include <vector>

#include "engine/autograd/grad_mode.h"
#include "engine/data/digits/digits.h"
#include "engine/data/images.h"
#include "engine/data/long_tail.h"
#include "methods/common/long_tail_losses.h"
#include "methods/experiment.h"
#include "methods/robust/mdcs/experts.h"
#include "methods/robust/mdcs/mdcs.h"
#include "models/augment/rand_augment.h"
#include "models/metrics/confusion.h"
#include "models/metrics/shot_groups.h"
#include "models/optim/schedule.h"
#include "models/optim/sgd.h"
#include "ops/index.h"
#include "ops/join.h"
#include "ops/loss.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"

namespace plumb::methods::mdcs {
namespace {

constexpr int64_t kClasses = 10, kBatch = 64;
constexpr int kRuns = 2;  // networks of each cell, whose disagreement is what the variance of training does
constexpr double kScale = 16, kLearningRate = 0.05, kMargin = 0.5, kApart = 0.2;
constexpr double kAlpha = 0.2;  // of 0.05, 0.2 and the published 0.6, which is a variant of its own, the best on another seed
constexpr const char* kGroups[] = {"many", "medium", "few"};

// What all variants of a seed train on and begin with.
struct Problem {
  Tensor images, labels, test, test_labels;
  std::vector<int64_t> counts;  // of each class; which is frequent is the seed's choice
  data::ShotGroups groups;      // thirds of the classes
  augment::View weak, strong;
  std::vector<ExpertCnn> single, triple;  // a start for each run, with one expert and with three
  std::array<uint64_t, kRuns> seeds;      // of order and views
};

struct Source {
  data::Dataset train, test;
  int64_t largest;
  double imbalance;
  metrics::ShotThresholds thresholds;
};

// The digits carried inside, 110 … 3 of a class, with 55 of each class for the test; in the full budget MNIST, 600 … 6.
Source source_of(const Cell& cell, Generator& g) {
  if (cell.budget() == Budget::full)
    return {data::mnist().train(),
            data::long_tail(data::mnist().test(), std::vector<int64_t>(kClasses, 200), g.next_u64()),
            600,
            100,
            {.many_above = 200, .few_below = 20}};
  data::Dataset all = data::digits().all();
  std::vector<int64_t> train, test;
  std::array<int64_t, kClasses> taken{};
  auto labels = all.labels();
  for (int64_t i : data::random_order(all.size(), g)) {
    bool judged = taken[static_cast<size_t>(labels[static_cast<size_t>(i)])]++ < 55;
    (judged ? test : train).push_back(i);
  }
  return {all.subset(train), all.subset(test), 110, 110.0 / 3, {.many_above = 40, .few_below = 9}};
}

Problem make_problem(const Cell& cell) {
  using enum augment::Change;
  Generator& g = default_generator();
  Source s = source_of(cell, g);
  auto rank = data::random_order(kClasses, g);
  data::Dataset train = data::long_tail(s.train, data::long_tail_counts(s.largest, kClasses, s.imbalance), g.next_u64(), rank);
  auto rows = [](const data::Dataset& set) { return set.batch(set.size()).next(); };
  data::Batch x = rows(train), y = rows(s.test);
  Problem p{x.image, x.label, y.image, y.label, data::class_counts(train.labels(), kClasses), {}, {}, {}, {}, {}, {}};
  p.groups = data::shot_groups(p.counts, s.thresholds.many_above, s.thresholds.few_below);
  int64_t side = x.image.size(2);
  p.weak = augment::shift_view(std::max<int64_t>(1, side / 14));
  // Mild: what a strong view must still show is the digit.
  augment::RandAugmentPolicy policy{.changes = {{rotate, 0, 15, 0, true}, {contrast, 0.6, 1.4}}, .n = 2, .cutout = side / 4};
  p.strong = augment::rand_augment_view(policy, p.weak);
  PooledCnnConfig config{.channels = x.image.size(1),
                         .height = side,
                         .width = side,
                         .classes = kClasses,
                         .first = cell.pick<int64_t>(4, 8, 16),
                         .features = cell.pick<int64_t>(16, 32, 64)};
  for (int r = 0; r < kRuns; ++r) {
    p.single.push_back(expert_cnn(config, 1, kScale));
    p.triple.push_back(expert_cnn(config, 3, kScale));
    p.seeds[static_cast<size_t>(r)] = g.next_u64();
  }
  return p;
}

// The exponents of a variant's experts and the weight of its consistency; single networks have one expert.
struct Recipe {
  std::vector<double> exponents;
  double alpha = 0;
  bool confident_only = true;
};

Recipe recipe_of(const Cell& cell) {
  if (cell.is("balanced softmax")) return {{1}};
  if (cell.is("LDAM-DRW") || cell.is("cross entropy")) return {{0}};
  if (cell.is("experts (1, 1, 1)")) return {{1, 1, 1}};
  if (cell.is("experts (1, 1, 1) + CS")) return {{1, 1, 1}, kAlpha};
  if (cell.is("RIDE")) return {{0, 0, 0}};
  if (cell.is("SADE")) return {{0, 1, 2}};
  if (cell.is("CS alone")) return {{0, 0, 0}, kAlpha};
  if (cell.is("diversity loss")) return {{-0.5, 1, 2.5}};
  return {{-0.5, 1, 2.5}, cell.is("MDCS, α = 0.6") ? 0.6 : kAlpha, !cell.is("MDCS without CIS")};
}

struct Outcome {
  std::vector<Tensor> logits;  // of each expert, for the test images
  Tensor predicted;
};

class Training {
 public:
  Training(Cell& cell, const Problem& problem)
      : cell_(cell), p_(problem), recipe_(recipe_of(cell)), epochs_(cell.pick<int64_t>(3, 60, 200)) {
    double warmup = std::max(1.0, 0.1 * static_cast<double>(epochs_));
    loss_ = std::make_unique<MdcsLoss>(
        p_.counts,
        MdcsOptions{.exponents = recipe_.exponents, .alpha = recipe_.alpha, .warmup = warmup, .confident_only = recipe_.confident_only});
  }

  Outcome run(int which) {
    auto at = static_cast<size_t>(which);
    ExpertCnn net = recipe_.exponents.size() > 1 ? p_.triple[at] : p_.single[at];
    optim::SGD sgd(net.parameters(), {.lr = kLearningRate, .momentum = 0.9, .weight_decay = 5e-4, .nesterov = true});
    int64_t n = p_.images.size(0), per_epoch = (n + kBatch - 1) / kBatch;
    auto schedule = optim::cosine_with_warmup(std::max<int64_t>(1, epochs_ / 20) * per_epoch, epochs_ * per_epoch);
    Generator g(p_.seeds[at]);
    int64_t step = 0;
    for (int64_t epoch = 1; epoch <= epochs_; ++epoch) {
      net.train();
      auto order = data::random_order(n, g);
      for (int64_t from = 0; from < n; from += kBatch, ++step) {
        Tensor places = from_vector(std::vector<int64_t>(order.begin() + from, order.begin() + std::min(n, from + kBatch)));
        Tensor images = index_select(p_.images, 0, places), labels = index_select(p_.labels, 0, places);
        Tensor views = cat({p_.weak(images, g), p_.strong(images, g)});
        sgd.set_lr_scale(schedule(step));
        sgd.zero_grad();
        objective(net.logits(views), labels, epoch).backward();
        sgd.step();
      }
      cell_.progress((which + static_cast<double>(epoch) / static_cast<double>(epochs_)) / kRuns);
      if (which == 0 && epoch % cell_.pick<int64_t>(2, 5, 15) == 0 && epoch < epochs_) note(epoch, judge(net));
    }
    Outcome last = judge(net);
    if (which == 0) note(epochs_, last);
    return last;
  }

 private:
  Tensor objective(const std::vector<Tensor>& logits, const Tensor& labels, int64_t epoch) const {
    Tensor both = cat({labels, labels});
    if (cell_.is("LDAM-DRW"))
      return ldam_loss(logits[0], both, ldam_margins(p_.counts, kMargin), kScale, deferred_weights(p_.counts, epoch, epochs_ * 4 / 5 + 1));
    if (cell_.is("RIDE")) return ride_loss(logits, both, kApart);
    return (*loss_)(logits, labels, static_cast<double>(epoch)).loss;
  }

  Outcome judge(ExpertCnn& net) const {
    NoGrad no_grad;
    net.eval();
    Outcome o;
    o.logits = net.logits(p_.test);
    o.predicted = argmax(mean_logits(o.logits), 1);
    return o;
  }

  void note(int64_t epoch, const Outcome& o) {
    auto at = static_cast<double>(epoch);
    auto a = metrics::shot_accuracy(o.predicted, p_.test_labels, p_.groups, kClasses);
    cell_.point("test accuracy (%)", "epochs", at, 100 * a.all);
    cell_.point("test accuracy, few (%)", "epochs", at, 100 * a.few);
    if (o.logits.size() > 1) cell_.point("KL between experts (nats)", "epochs", at, expert_diversity(o.logits));
  }

  Cell& cell_;
  const Problem& p_;
  Recipe recipe_;
  int64_t epochs_;
  std::unique_ptr<MdcsLoss> loss_;
};

// What each expert alone would say, by group: the roles that exponents give them.
void note_roles(Cell& cell, const Problem& p, const Outcome& o) {
  for (size_t e = 0; o.logits.size() > 1 && e < o.logits.size(); ++e) {
    auto a = metrics::shot_accuracy(argmax(o.logits[e], 1), p.test_labels, p.groups, kClasses);
    double of[] = {a.many, a.medium, a.few};
    for (int k = 0; k < 3; ++k)
      cell.point(fmt::format("experts alone, {} (%)", kGroups[k]), "expert", static_cast<double>(e + 1), 100 * of[k]);
  }
}

void run(Cell& cell) {
  auto problem = cell.shared("long-tailed digits", [&] { return make_problem(cell); });
  Training training(cell, *problem);
  std::vector<Outcome> outcomes;
  metrics::ShotAccuracy mean;
  for (int r = 0; r < kRuns; ++r) {
    outcomes.push_back(training.run(r));
    auto a = metrics::shot_accuracy(outcomes.back().predicted, problem->test_labels, problem->groups, kClasses);
    mean.all += a.all / kRuns, mean.many += a.many / kRuns, mean.medium += a.medium / kRuns, mean.few += a.few / kRuns;
  }
  note_roles(cell, *problem, outcomes[0]);
  cell.metric("accuracy (%)", 100 * mean.all);
  cell.metric("many (%)", 100 * mean.many);
  cell.metric("medium (%)", 100 * mean.medium);
  cell.metric("few (%)", 100 * mean.few);
  cell.metric("disagreement of two runs (%)", 100 * (1 - metrics::accuracy(outcomes[0].predicted, outcomes[1].predicted)));
}

}  // namespace

Experiment experiment() {
  return {.title = "MDCS",
          .paper =
              "Zhao, Jiang, Hu, Zhang, Liu: MDCS: More Diverse Experts with Consistency Self-distillation for Long-tailed Recognition, "
              "ICCV 2023",
          .claim =
              "on digits of which the rarest class has 3 training examples and the most frequent 110, experts with different class "
              "priors beat equal ones and a single network, and self-distillation adds to it",
          .metrics = {{"accuracy (%)"}, {"many (%)"}, {"medium (%)"}, {"few (%)"}, {"disagreement of two runs (%)", Better::lower}},
          .variants = {{"cross entropy", "one network"},
                       {"balanced softmax", "one network, logits adjusted by the prior"},
                       {"LDAM-DRW", "one network, margins up to 0.5, weights in the last fifth"},
                       {"RIDE", "three experts, cross-entropy and a push apart, 0.2"},
                       {"SADE", "three experts with exponents 0, 1, 2"},
                       {"experts (1, 1, 1)", "three experts, each with the balanced softmax"},
                       {"experts (1, 1, 1) + CS", "and consistency self-distillation, α = 0.2"},
                       {"CS alone", "three experts with cross-entropy and self-distillation"},
                       {"diversity loss", "exponents −0.5, 1, 2.5"},
                       {"MDCS without CIS", "and self-distillation from all weak views"},
                       {"MDCS, α = 0.6", "and self-distillation from those that are right, with the published weight"},
                       {"MDCS", "with α = 0.2"}},
          .baseline = "balanced softmax",
          .method = "MDCS",
          .run = run};
}

}  // namespace plumb::methods::mdcs
