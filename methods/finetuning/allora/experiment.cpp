// Short fine-tuning on handwritten digits: a network that knows 0 … 4 learns 5 … 9 from 60 examples in 25 to 400 steps.
#include "methods/experiment.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "engine/autograd/grad_mode.h"
#include "engine/core/generator.h"
#include "engine/data/dataset.h"
#include "methods/common/digit_examples.h"
#include "methods/finetuning/allora/allora.h"
#include "models/mlp/mlp.h"
#include "models/nn/init.h"
#include "models/optim/adam.h"
#include "models/optim/parameters.h"
#include "models/optim/sgd.h"
#include "ops/activation.h"
#include "ops/index.h"
#include "ops/loss.h"
#include "ops/matmul.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::methods::allora {
namespace {

constexpr std::array<int64_t, 4> kSteps{25, 50, 100, 400};  // lengths of a fine-tuning run
constexpr int64_t kClasses = 10, kKnown = 5, kRank = 4, kBatch = 20, kPerClass = 12;

// -- data and the pretrained network ----------------------------------------------------------------

struct Problem {
  uint64_t seed;
  DigitExamples tuning, test;  // of the classes 5 … 9
  mlp::Mlp pretrained;
};

Problem make_problem(uint64_t seed, int64_t pretraining_epochs) {
  manual_seed(seed);
  DigitExamples digits = digit_examples();
  std::vector<int64_t> label = to_vector<int64_t>(digits.label), known, tuning, test;
  std::array<int64_t, kClasses> taken{};
  for (int64_t i : data::random_order(digits.size(), default_generator())) {
    auto c = static_cast<size_t>(label[static_cast<size_t>(i)]);
    if (c < kKnown)
      known.push_back(i);
    else
      (taken[c]++ < kPerClass ? tuning : test).push_back(i);
  }
  Problem p{seed, digits.at(tuning), digits.at(test), mlp::Mlp(mlp::MlpConfig{.inputs = 64, .hidden = {128, 128}, .outputs = kClasses})};
  train_on_digits(p.pretrained, digits.at(known), pretraining_epochs);
  return p;
}

// -- fine-tuning ------------------------------------------------------------------------------------

enum class Change { full, lora, dora, adaptive, per_sample };

struct Recipe {
  Change change = Change::lora;
  bool sgd = false;
  double lr = 1e-2;
  double scale = 1, dropout = 0;  // alpha / rank, and what goes into the adapters
  double up_ratio = 1;            // LoRA+: the learning rate of up, in that of down
  AdaptiveScale adaptive;
};

// What a run came to at each of kSteps that it reached, and ‖B‖ after every step.
struct Course {
  std::array<double, kSteps.size()> accuracy{}, loss{};
  std::vector<double> size;
};

// The adapters of a network of three linear layers, applied with factors by sample.
Tensor per_sample_logits(const mlp::Mlp& net, Tensor x, const AdaptiveScale& scale) {
  std::vector<const nn::Linear*> layers;
  for (const auto& [name, module] : net.named_modules())
    if (const auto* layer = dynamic_cast<const nn::Linear*>(module)) layers.push_back(layer);
  for (size_t i = 0; i < layers.size(); ++i) {
    const nn::LowRankAdapter& adapter = *layers[i]->adapters->begin();
    x = linear(x, layers[i]->weight, layers[i]->bias) + per_sample_product(x, adapter.down, adapter.up, scale.eta, scale.rule);
    if (i + 1 < layers.size()) x = relu(x);
  }
  return x;
}

Tensor head_bias(const mlp::Mlp& net) {
  for (const nn::NamedTensor& p : net.named_parameters())
    if (p.name == "layers.2.bias") return p.tensor;
  throw ValueError("allora: the network has no head");
}

// Adapters on all three layers, drawn from N(0, 1 / inputs); the head's bias is trained too.
void add_change(mlp::Mlp& net, const Recipe& r) {
  if (r.change == Change::full) return;
  nn::add_adapter(net, "task", {.rank = kRank, .alpha = r.scale * kRank, .magnitude = r.change == Change::dora, .dropout = r.dropout});
  nn::train_adapters_only(net);
  for (nn::LowRankAdapter* adapter : adapters_of(net))
    nn::init::normal(adapter->down, 0, 1 / std::sqrt(static_cast<double>(adapter->down.size(1))));
  head_bias(net).requires_grad_();
}

template <typename Optimizer, typename Options>
std::unique_ptr<optim::Optimizer> optimizer_of(const mlp::Mlp& net, const Recipe& r, Options options) {
  if (r.change == Change::full) return std::make_unique<Optimizer>(net.parameters(), options);
  AdapterFactors adapters = adapter_factors(net);
  optim::Group<Options> up{adapters.up, options}, rest{adapters.down, options};
  rest.parameters.insert(rest.parameters.end(), adapters.other.begin(), adapters.other.end());
  up.options.lr *= r.up_ratio;
  auto optimizer = std::make_unique<Optimizer>(std::vector<optim::Group<Options>>{up, rest});
  if (r.change == Change::adaptive) adapt_steps(*optimizer, adapters, r.adaptive);
  return optimizer;
}

std::unique_ptr<optim::Optimizer> optimizer_of(const mlp::Mlp& net, const Recipe& r) {
  if (r.sgd) return optimizer_of<optim::SGD>(net, r, optim::SgdOptions{.lr = r.lr});
  return optimizer_of<optim::AdamW>(net, r, optim::AdamWOptions{.lr = r.lr, .weight_decay = 0});
}

// What ‖B‖ is measured on: every up; for full fine-tuning the whole change, from `origin`.
struct Size {
  std::vector<Tensor> now, origin;
  double operator()() const { return origin.empty() ? optim::norm(now) : optim::distance(now, origin); }
};

Size size_of_change(const mlp::Mlp& net, const Problem& p, const Recipe& r) {
  if (r.change == Change::full) return {net.parameters(), p.pretrained.parameters()};
  return {adapter_factors(net).up, {}};
}

void judge(mlp::Mlp& net, const Problem& p, double& accuracy, double& loss) {
  NoGrad off;
  net.eval();
  Tensor logits = slice(net(p.test.x), 1, kKnown, kClasses), label = p.test.label - kKnown;
  accuracy = 100 * mean(to(argmax(logits, 1) == label, f64)).item();
  loss = cross_entropy(logits, label).item();
  net.train();
}

Course fine_tune(const Problem& p, const Recipe& r, int64_t steps) {
  manual_seed(p.seed + 1);  // the same adapters and the same order of examples for every recipe
  mlp::Mlp net = p.pretrained;
  add_change(net, r);
  std::unique_ptr<optim::Optimizer> optimizer = optimizer_of(net, r);
  Generator orders(p.seed + 2);
  std::vector<int64_t> order;
  Size size = size_of_change(net, p, r);
  Course course;
  for (int64_t step = 0; step < steps; ++step) {
    if (order.empty()) order = data::random_order(p.tuning.size(), orders);
    DigitExamples batch = p.tuning.at({order.end() - kBatch, order.end()});
    order.resize(order.size() - kBatch);
    optimizer->zero_grad();
    Tensor logits = r.change == Change::per_sample ? per_sample_logits(net, batch.x, r.adaptive) : net(batch.x);
    cross_entropy(logits, batch.label).backward();
    optimizer->step();
    course.size.push_back(size());
    for (size_t i = 0; i < kSteps.size(); ++i)
      if (step + 1 == kSteps[i]) judge(net, p, course.accuracy[i], course.loss[i]);
  }
  return course;
}

// The first step after which ‖B‖ is at least half of what it is after `steps`.
double steps_to_half(const Course& course, int64_t steps) {
  double half = course.size[static_cast<size_t>(steps - 1)] / 2;
  auto reached = std::find_if(course.size.begin(), course.size.end(), [&](double s) { return s >= half; });
  return static_cast<double>(reached - course.size.begin()) + 1;
}

// -- choosing settings ------------------------------------------------------------------------------

struct VariantPlan {
  Variant variant;
  Recipe recipe;
  std::vector<double> rates;
  enum class Second { none, scale, ratio, eta } second = Second::none;  // what is tuned beside the learning rate
  std::vector<double> values{0};
};

// Twelve trials for every variant: learning rates times values of the second setting.
const std::vector<VariantPlan>& plans() {
  using Second = VariantPlan::Second;
  const std::vector<double> twelve{3e-4, 6e-4, 1e-3, 2e-3, 3e-3, 6e-3, 1e-2, 2e-2, 3e-2, 6e-2, 0.1, 0.2};
  const std::vector<double> three{3e-3, 1e-2, 3e-2}, four{1e-3, 3e-3, 1e-2, 3e-2}, sgd_three{0.03, 0.1, 0.3},
      sgd_four{0.01, 0.03, 0.1, 0.3};
  const std::vector<double> scales{0.5, 1, 2, 4}, ratios{4, 8, 16}, etas{2, 4, 8};
  auto adaptive = [&](const char* name, const char* about, AdaptiveScale scale, Change change = Change::adaptive) {
    return VariantPlan{{name, about}, {.change = change, .adaptive = scale}, four, Second::eta, etas};
  };
  static const std::vector<VariantPlan> all{
      {{"full fine-tuning", "every weight is trained"},
       {.change = Change::full},
       {1e-4, 2e-4, 3e-4, 6e-4, 1e-3, 2e-3, 3e-3, 6e-3, 1e-2, 2e-2, 3e-2, 6e-2}},
      {{"LoRA", "AdamW; scale alpha / rank tuned"}, {}, three, Second::scale, scales},
      {{"LoRA, dropout 0.05", "of the adapters' input; scale tuned"}, {.dropout = 0.05}, three, Second::scale, scales},
      {{"LoRA, dropout 0.1", "of the adapters' input; scale tuned"}, {.dropout = 0.1}, three, Second::scale, scales},
      {{"LoRA+", "the learning rate of up is 4, 8 or 16 times that of down"}, {}, four, Second::ratio, ratios},
      {{"DoRA", "LoRA, and the lengths of the weights' rows"}, {.change = Change::dora}, twelve},
      {{"LoRA, SGD", "scale tuned"}, {.sgd = true}, sgd_three, Second::scale, scales},
      {{"ALLoRA, SGD", "rows of up by 1 / √(‖row‖ + 1/η²)"}, {.change = Change::adaptive, .sgd = true}, sgd_four, Second::eta, etas},
      adaptive("ALLoRA, gradient", "AdamW; the factor multiplies the gradient, as the rule is written", {.placement = Placement::gradient}),
      adaptive("ALLoRA, squared norm", "1 / √(‖row‖² + 1/η²)", {.rule = Rule::square}),
      adaptive("ALLoRA, one factor a matrix", "of its Frobenius norm", {.grain = Grain::matrix}),
      adaptive("ALLoRA, both matrices", "the rows of down too", {.both = true}),
      adaptive("ALLoRA, by sample", "factors of the adapters' outputs, in the gradient of up", {}, Change::per_sample),
      adaptive("ALLoRA", "AdamW; the factor multiplies the step", {}),
  };
  return all;
}

std::vector<Recipe> trials(const VariantPlan& plan) {
  std::vector<Recipe> recipes;
  for (double lr : plan.rates)
    for (double value : plan.values) {
      Recipe r = plan.recipe;
      r.lr = lr;
      if (plan.second == VariantPlan::Second::scale) r.scale = value;
      if (plan.second == VariantPlan::Second::ratio) r.up_ratio = value;
      if (plan.second == VariantPlan::Second::eta) r.adaptive.eta = value;
      recipes.push_back(r);
    }
  return recipes;
}

struct Choice {
  std::array<Recipe, kSteps.size()> recipe;           // the best for each length of a run
  std::array<double, kSteps.size()> best{}, worst{};  // mean accuracies of the grid's best and worst
};

// Of equal accuracies the smaller loss wins; a loss that is not finite never does.
Choice choose(Cell& cell, const VariantPlan& plan, int64_t longest) {
  Choice choice;
  choice.recipe.fill(plan.recipe);
  if (cell.budget() == Budget::smoke) return choice;
  auto problems = cell.shared("problems of other seeds", [&] {
    std::vector<Problem> made;
    for (uint64_t seed : {1'000'000, 1'000'001}) made.push_back(make_problem(seed, 30));
    return made;
  });
  std::vector<Recipe> recipes = trials(plan);
  std::array<double, kSteps.size()> loss{};
  choice.best.fill(-1), choice.worst.fill(101);
  for (size_t k = 0; k < recipes.size(); ++k) {
    cell.progress(static_cast<double>(k) / static_cast<double>(recipes.size() + 1));
    Course mean{};
    for (const Problem& p : *problems) {
      Course course = fine_tune(p, recipes[k], longest);
      for (size_t i = 0; i < kSteps.size(); ++i) {
        mean.accuracy[i] += course.accuracy[i] / static_cast<double>(problems->size());
        mean.loss[i] += course.loss[i] / static_cast<double>(problems->size());
      }
    }
    for (size_t i = 0; i < kSteps.size(); ++i) {
      choice.worst[i] = std::min(choice.worst[i], mean.accuracy[i]);
      bool better = mean.accuracy[i] > choice.best[i] || (mean.accuracy[i] == choice.best[i] && mean.loss[i] < loss[i]);
      if (!std::isfinite(mean.loss[i]) || !better) continue;
      choice.best[i] = mean.accuracy[i], loss[i] = mean.loss[i], choice.recipe[i] = recipes[k];
    }
  }
  return choice;
}

// -- measuring --------------------------------------------------------------------------------------

constexpr const char* kShort = "accuracy, 25 to 100 steps (%)";
constexpr const char* kHalf = "steps to half of B's size";
constexpr const char* kSpread = "best minus worst of the grid, 100 steps (points)";

std::string after(int64_t steps) { return fmt::format("accuracy, {} steps (%)", steps); }

void note_choice(Cell& cell, const VariantPlan& plan, size_t i, const Recipe& r) {
  auto note = [&](const char* setting, double value) {
    cell.point("Settings that were chosen", "steps", static_cast<double>(kSteps[i]), value, setting);
  };
  note("learning rate", r.lr);
  if (plan.second == VariantPlan::Second::scale) note("scale", r.scale);
  if (plan.second == VariantPlan::Second::ratio) note("ratio", r.up_ratio);
  if (plan.second == VariantPlan::Second::eta) note("eta", r.adaptive.eta);
}

void run(Cell& cell) {
  const VariantPlan& plan = *std::ranges::find_if(plans(), [&](const VariantPlan& p) { return cell.is(p.variant.name); });
  int64_t longest = cell.pick<int64_t>(100, 400, 400);
  auto problem = cell.shared("problem", [&] { return make_problem(cell.seed(), cell.pick<int64_t>(8, 30, 30)); });
  Choice choice = choose(cell, plan, longest);
  double short_runs = 0, half = NAN;
  for (size_t i = 0; i < kSteps.size(); ++i) {
    if (kSteps[i] > longest) {
      cell.metric(after(kSteps[i]), NAN);
      continue;
    }
    Course course = fine_tune(*problem, choice.recipe[i], kSteps[i]);
    cell.metric(after(kSteps[i]), course.accuracy[i]);
    cell.point("Accuracy on new classes (%)", "steps", static_cast<double>(kSteps[i]), course.accuracy[i]);
    note_choice(cell, plan, i, choice.recipe[i]);
    if (kSteps[i] <= 100) short_runs += course.accuracy[i] / 3;
    if (kSteps[i] != 100) continue;
    half = steps_to_half(course, 100);
    for (size_t s = 0; s < course.size.size(); s += 5)
      cell.point("Size of B in a run of 100 steps", "step", static_cast<double>(s + 1), course.size[s]);
  }
  cell.metric(kShort, short_runs);
  cell.metric(kHalf, half);
  cell.metric(kSpread, choice.best[2] - choice.worst[2]);
}

}  // namespace

Experiment experiment() {
  Experiment e;
  e.title = "ALLoRA";
  e.paper = "Huang and Balestriero: ALLoRA: Adaptive Learning Rate Mitigates LoRA Fatal Flaws, arXiv 2410.09692";
  e.claim = "in short runs, larger steps for short rows of B beat LoRA at any scale and dropout";
  e.metrics = {{kShort, Better::higher}};
  for (int64_t steps : kSteps) e.metrics.push_back({after(steps), Better::higher});
  e.metrics.push_back({kHalf, Better::lower});
  e.metrics.push_back({kSpread, Better::neither});
  for (const VariantPlan& plan : plans()) e.variants.push_back(plan.variant);
  e.baseline = "LoRA";
  e.method = "ALLoRA";
  e.run = &run;
  return e;
}

}  // namespace plumb::methods::allora
