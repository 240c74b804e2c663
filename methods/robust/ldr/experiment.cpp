// LDR-KL and ALDR-KL against thirteen other losses on 8×8 digits, clean and with three kinds of wrong labels; every loss has the same
// number of tries, judged on a part of the noisy training set.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>

#include "engine/autograd/grad_mode.h"
#include "engine/data/digits/digits.h"
#include "methods/common/label_noise.h"
#include "methods/common/robust_losses.h"
#include "methods/experiment.h"
#include "methods/robust/ldr/ldr.h"
#include "models/metrics/confusion.h"
#include "models/mlp/mlp.h"
#include "models/optim/schedule.h"
#include "models/optim/sgd.h"
#include "ops/index.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::methods::ldr {
namespace {

constexpr int64_t kClasses = 10, kBatch = 64;
constexpr double kHeldOut = 0.2;  // of the noisy training set, for choosing

struct Setting {
  const char* name;
  double uniform, next;  // shares of labels redrawn over all classes, or moved to the next class
};
constexpr std::array kSettings{Setting{"clean", 0, 0}, Setting{"uniform 0.3", 0.3, 0}, Setting{"uniform 0.6", 0.6, 0},
                               Setting{"class-dependent 0.3", 0, 0.3}};

// The variants by the name of their loss; those that are not in the table of stateless losses are made in objective().
constexpr std::array kVariants{std::pair{"cross entropy", "ce"},
                               std::pair{"Crammer–Singer", "crammer-singer"},
                               std::pair{"Weston–Watkins", "weston-watkins"},
                               std::pair{"GCE", "gce"},
                               std::pair{"truncated GCE", "tgce"},
                               std::pair{"SCE", "sce"},
                               std::pair{"MAE", "mae"},
                               std::pair{"MSE", "mse"},
                               std::pair{"NCE + RCE", "nce-rce"},
                               std::pair{"NCE + AUL", "nce-aul"},
                               std::pair{"NCE + AGCE", "nce-agce"},
                               std::pair{"Jensen–Shannon", "js"},
                               std::pair{"RLL", "rll"},
                               std::pair{"LDR-KL", "ldr-kl"},
                               std::pair{"ALDR-KL", "aldr-kl"}};

struct Problem {
  Tensor train, test, test_labels;  // [n, 64]
  NoisyLabels labels;
  std::vector<int64_t> chooses, learns;  // parts of the training set
  mlp::Mlp initial;
};

std::pair<Tensor, Tensor> tensors(const data::Dataset& set) {
  auto all = set.batch(set.size()).next();
  return {flatten(all.image, 1), all.label};
}

Problem make_problem(const Setting& setting) {
  Generator& g = default_generator();
  auto parts = data::digits().all().split({1297.0 / 1797, 500.0 / 1797}, {.seed = g.next_u64(), .stratified = true});
  auto [train, labels] = tensors(parts[0]);
  auto [test, test_labels] = tensors(parts[1]);
  NoisyLabels noisy = setting.next > 0 ? inject_asymmetric(labels, next_class_map(kClasses), setting.next, g)
                                       : inject_symmetric(labels, setting.uniform, kClasses, g);
  auto order = data::random_order(train.size(0), g);
  auto held = order.begin() + static_cast<int64_t>(kHeldOut * static_cast<double>(order.size()));
  mlp::MlpConfig config{.inputs = 64, .hidden = {128}, .outputs = kClasses, .activation = "tanh"};
  return {train, test, test_labels, noisy, {order.begin(), held}, {held, order.end()}, mlp::Mlp(config)};
}

// One way to train: a loss with its parameter, and the learning rate.
struct Try {
  double parameter, rate;
};

// Six of each: three values of the parameter at two learning rates, or six learning rates.
std::vector<Try> tries(const std::string& loss) {
  std::vector<double> values;
  if (loss == "tgce")
    values = {0.05, 0.7, 0.95};
  else if (loss == "ldr-kl" || loss == "aldr-kl")
    values = {0.1, 1, 10};
  else
    values = find_robust_loss(loss).tried;
  std::vector<Try> out;
  if (values.empty())
    for (double rate : {0.5, 0.2, 0.1, 0.05, 0.02, 0.01}) out.push_back({0, rate});
  for (double value : values)
    for (double rate : {0.1, 0.02}) out.push_back({value, rate});
  return out;
}

// A loss with whatever it remembers about the examples, for one training run.
struct Objective {
  std::function<Tensor(const Tensor& scores, const Tensor& labels, const Tensor& index)> loss;
  std::function<void(const Tensor& scores, const Tensor& labels, const Tensor& index)> epoch_begins = {};  // of all examples
  std::shared_ptr<AldrKlLoss> adaptive = {};
};

Objective objective(const std::string& name, double parameter, int64_t samples) {
  if (name == "ldr-kl")
    return {[parameter](const Tensor& f, const Tensor& y, const Tensor&) { return ldr_kl_loss(f, y, {.lambda = parameter}); }};
  if (name == "aldr-kl") {
    auto aldr = std::make_shared<AldrKlLoss>(samples, AldrOptions{.lambda0 = parameter});
    return {[aldr](const Tensor& f, const Tensor& y, const Tensor& index) { return (*aldr)(f, y, index); }, {}, aldr};
  }
  if (name == "tgce") {
    auto truncated = std::make_shared<TruncatedGce>(samples, parameter);
    return {[truncated](const Tensor& z, const Tensor& y, const Tensor& index) { return (*truncated)(z, y, index); },
            [truncated](const Tensor& z, const Tensor& y, const Tensor& index) { truncated->refresh(z, y, index); }};
  }
  const RobustLoss& of = find_robust_loss(name);
  return {[&of, parameter](const Tensor& z, const Tensor& y, const Tensor&) { return of.loss(z, y, parameter); }};
}

struct Rows {
  Tensor x, labels, index;
};
Rows rows_of(const Problem& p, const std::vector<int64_t>& at) {
  Tensor index = from_vector(at);
  return {index_select(p.train, 0, index), index_select(p.labels.given, 0, index), index};
}

// Trains on the examples `on`; after_epoch(epoch, net) hears of every epoch.
template <typename AfterEpoch>
mlp::Mlp train(const Problem& p, const std::vector<int64_t>& on, const Try& how, const Objective& objective, int64_t epochs, Generator& g,
               AfterEpoch&& after_epoch) {
  mlp::Mlp net = p.initial;
  optim::SGD sgd(net.parameters(), {.lr = how.rate, .momentum = 0.9, .weight_decay = 5e-4});
  optim::Schedule schedule = optim::milestones({epochs / 2, epochs * 3 / 4});
  Rows all = rows_of(p, on);
  for (int64_t epoch = 0; epoch < epochs; ++epoch) {
    sgd.set_lr_scale(schedule(epoch));
    if (objective.epoch_begins && epoch >= (epochs + 2) / 3) {  // before, too little is learnt to judge by
      NoGrad no_grad;
      objective.epoch_begins(net(all.x), all.labels, all.index);
    }
    auto order = data::random_order(static_cast<int64_t>(on.size()), g);
    for (size_t from = 0; from < on.size(); from += kBatch) {
      std::vector<int64_t> batch;
      for (size_t k = from; k < std::min(on.size(), from + kBatch); ++k) batch.push_back(on[static_cast<size_t>(order[k])]);
      Rows b = rows_of(p, batch);
      sgd.zero_grad();
      objective.loss(net(b.x), b.labels, b.index).backward();
      sgd.step();
    }
    after_epoch(epoch + 1, net);
  }
  return net;
}

std::vector<int64_t> all_of(int64_t n) {
  std::vector<int64_t> out(static_cast<size_t>(n));
  for (size_t i = 0; i < out.size(); ++i) out[i] = static_cast<int64_t>(i);
  return out;
}

double mean_where(const Tensor& values, const Tensor& mask) {
  Tensor weight = to(mask, f64);
  return (sum(values * weight) / sum(weight)).item();
}

// One setting of one variant: choose, train on everything, judge.
class Run {
 public:
  Run(Cell& cell, const std::string& loss, size_t setting)
      : cell_(cell),
        loss_(loss),
        at_(setting),
        name_(kSettings[setting].name),
        epochs_(cell.pick<int64_t>(2, 40, 100)),
        problem_(cell.shared(std::string("digits, ") + name_, [setting] { return make_problem(kSettings[setting]); })) {}

  /// Returns the test accuracy.
  double run() {
    std::vector<Try> all = tries(loss_);
    if (cell_.budget() == Budget::smoke) all = {all[0], all[2]};
    Try best = all[0];
    double best_accuracy = -1;
    for (size_t k = 0; k < all.size(); ++k) {
      double accuracy = held_out_accuracy(all[k]);
      if (accuracy > best_accuracy) best_accuracy = accuracy, best = all[k];
      progress(static_cast<double>(k + 1) / static_cast<double>(all.size() + 1));
    }
    return judge(best);
  }

 private:
  Generator generator() const { return Generator(cell_.seed() * 16 + at_); }

  double held_out_accuracy(const Try& how) {
    Generator g = generator();
    mlp::Mlp net = train(*problem_, problem_->learns, how, objective(loss_, how.parameter, problem_->train.size(0)), epochs_, g,
                         [](int64_t, mlp::Mlp&) {});
    NoGrad no_grad;
    Rows held = rows_of(*problem_, problem_->chooses);
    return metrics::accuracy(argmax(net(held.x), 1), held.labels);
  }

  double judge(const Try& how) {
    const Problem& p = *problem_;
    Generator g = generator();
    Objective made = objective(loss_, how.parameter, p.train.size(0));
    Scores last;
    train(p, all_of(p.train.size(0)), how, made, epochs_, g, [&](int64_t epoch, mlp::Mlp& net) {
      if (epoch % std::max<int64_t>(1, epochs_ / 20) != 0 && epoch != epochs_) return;
      last = scores(net);
      auto at = static_cast<double>(epoch);
      cell_.point("test accuracy (%): " + name_, "epochs", at, last.top1);
      if (p.labels.rate() > 0) cell_.point("wrong labels memorised (%): " + name_, "epochs", at, last.memorised);
      if (!made.adaptive || p.labels.rate() == 0) return;
      Tensor share = made.adaptive->lambdas() * (1 / how.parameter), wrong = p.labels.wrong();
      cell_.point("mean λ / λ₀: " + name_, "epochs", at, mean_where(share, logical_not(wrong)), "rightly labelled");
      cell_.point("mean λ / λ₀: " + name_, "epochs", at, mean_where(share, wrong), "wrongly labelled");
    });
    auto place = static_cast<double>(at_);
    cell_.point("chosen learning rate", "setting, in the table's order", place, how.rate);
    if (how.parameter > 0) cell_.point("chosen λ, q, …", "setting, in the table's order", place, how.parameter);
    cell_.metric("top-1, " + name_ + " (%)", last.top1);
    cell_.metric("top-3, " + name_ + " (%)", last.top3);
    if (p.labels.rate() > 0) cell_.metric("memorised, " + name_ + " (%)", last.memorised);
    progress(1);
    return last.top1;
  }

  struct Scores {
    double top1 = 0, top3 = 0, memorised = 0;
  };
  Scores scores(const mlp::Mlp& net) const {
    NoGrad no_grad;
    Tensor z = net(problem_->test);
    return {100 * metrics::top_k_accuracy(z, problem_->test_labels, 1), 100 * metrics::top_k_accuracy(z, problem_->test_labels, 3),
            100 * audit(argmax(net(problem_->train), 1), problem_->labels).memorised};
  }

  void progress(double share) { cell_.progress((static_cast<double>(at_) + share) / static_cast<double>(kSettings.size())); }

  Cell& cell_;
  std::string loss_;
  size_t at_;
  std::string name_;
  int64_t epochs_;
  std::shared_ptr<const Problem> problem_;
};

void run(Cell& cell) {
  std::string loss;
  for (const auto& [variant, name] : kVariants)
    if (cell.is(variant)) loss = name;
  double total = 0;
  for (size_t setting = 0; setting < kSettings.size(); ++setting) total += Run(cell, loss, setting).run();
  cell.metric("top-1, mean of the four (%)", total / static_cast<double>(kSettings.size()));
}

std::string about(const std::string& loss) {
  if (loss == "ldr-kl") return "softplus scores over their mean, c = 0.1; λ of 0.1, 1, 10";
  if (loss == "aldr-kl") return "scores over their mean size, c = 0.1, α = 2; λ₀ of 0.1, 1, 10";
  if (loss == "tgce") return "(1 − p_y^q) / q, after a third of training where p_y > 0.5 at the epoch's beginning; q of 0.05, 0.7, 0.95";
  const RobustLoss& of = find_robust_loss(loss);
  std::string text = of.about;
  if (of.tried.empty()) return text;
  return text + fmt::format("; {} of {}, {}, {}", of.parameter, of.tried[0], of.tried[1], of.tried[2]);
}

}  // namespace

Experiment experiment() {
  std::vector<Metric> metrics{{"top-1, mean of the four (%)"}};
  for (const Setting& setting : kSettings) metrics.push_back({std::string("top-1, ") + setting.name + " (%)"});
  for (const Setting& setting : kSettings) metrics.push_back({std::string("top-3, ") + setting.name + " (%)"});
  for (const Setting& setting : kSettings)
    if (setting.uniform > 0 || setting.next > 0) metrics.push_back({std::string("memorised, ") + setting.name + " (%)", Better::lower});
  std::vector<Variant> variants;
  for (const auto& [variant, loss] : kVariants) variants.push_back({variant, about(loss)});
  return {
      .title = "LDR-KL",
      .paper =
          "Zhu, Ying, Yang: Label Distributionally Robust Losses for Multi-class Classification: Consistency, Robustness and Adaptivity, "
          "ICML 2023",
      .claim = "over clean and noisy labels the label distributionally robust losses rank above the other losses, all tuned alike",
      .metrics = metrics,
      .variants = variants,
      .baseline = "cross entropy",
      .method = "ALDR-KL",
      .run = run};
}

}  // namespace plumb::methods::ldr
