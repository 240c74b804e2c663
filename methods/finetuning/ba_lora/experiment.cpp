// Catastrophic inheritance on handwritten digits: networks pretrained on wrong labels are fine-tuned on few, clean, imbalanced ones.
#include "methods/experiment.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "engine/autograd/grad_mode.h"
#include "engine/core/generator.h"
#include "engine/data/dataset.h"
#include "methods/common/decorrelation.h"
#include "methods/common/digit_examples.h"
#include "methods/common/label_noise.h"
#include "methods/finetuning/ba_lora/ba_lora.h"
#include "models/metrics/confusion.h"
#include "models/mlp/mlp.h"
#include "models/nn/low_rank.h"
#include "models/optim/adam.h"
#include "models/optim/schedule.h"
#include "ops/index.h"
#include "ops/loss.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::methods::ba_lora {
namespace {

constexpr std::array kNoise{0.0, 0.2, 0.4};  // share of the pretraining labels that are replaced
constexpr int64_t kClasses = 10, kRank = 8;

// -- data and the pretrained network ----------------------------------------------------------------

struct Problem {
  uint64_t seed;
  DigitExamples tuning, validation, test;
  mlp::Mlp pretrained;
  Tensor inherited;  // the pretrained network's logits of the tuning examples
};

struct Work {
  int64_t pretraining_epochs, epochs, width, tuning_seeds;
  std::vector<double> rates;                             // learning rates to choose from
  std::vector<double> consistency, diversity, spectrum;  // multipliers to choose from
};

Work work_of(const Cell& cell) {
  if (cell.budget() == Budget::smoke) return {60, 10, 64, 1, {3e-3}, {10}, {1e-3}, {1}};
  int64_t width = cell.pick<int64_t>(0, 128, 256), seeds = cell.pick<int64_t>(0, 5, 10);
  return {200, 10, width, seeds, {1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2}, {1, 10, 100, 1000}, {1e-4, 1e-3, 1e-2, 1e-1}, {1e-1, 1, 10, 100}};
}

// Of the second half: 15 examples of each of the classes 0 … 4 and 5 of each of the others to fine-tune on, 100 to validate, the rest to
// test.
void deal(const DigitExamples& second_half, Problem& problem) {
  std::vector<int64_t> label = to_vector<int64_t>(second_half.label), tuning, rest;
  std::array<int64_t, kClasses> taken{};
  for (size_t i = 0; i < label.size(); ++i) {
    auto c = static_cast<size_t>(label[i]);
    bool wanted = taken[c] < (c < 5 ? 15 : 5);
    taken[c] += wanted;
    (wanted ? tuning : rest).push_back(static_cast<int64_t>(i));
  }
  problem.tuning = second_half.at(tuning);
  problem.validation = second_half.at({rest.begin(), rest.begin() + 100});
  problem.test = second_half.at({rest.begin() + 100, rest.end()});
}

// One pass over the examples in random order, in batches: f(places).
template <typename F>
void epoch(int64_t examples, int64_t batch, F&& f) {
  std::vector<int64_t> order = data::random_order(examples, default_generator());
  for (int64_t begin = 0; begin < examples; begin += batch)
    f(std::vector<int64_t>(order.begin() + begin, order.begin() + std::min(examples, begin + batch)));
}

// One problem for each share of noise; they differ in the replaced labels alone, and more noise replaces those of less, and more.
std::vector<Problem> make_problems(uint64_t seed, const Work& work) {
  manual_seed(seed);
  DigitExamples digits = digit_examples();
  std::vector<int64_t> order = data::random_order(digits.size(), default_generator());
  auto middle = order.begin() + digits.size() / 2;
  DigitExamples first_half = digits.at({order.begin(), middle}), second_half = digits.at({middle, order.end()});
  mlp::Mlp fresh(mlp::MlpConfig{.inputs = 64, .hidden = {work.width, work.width}, .outputs = kClasses});
  std::vector<Problem> problems;
  for (double noise : kNoise) {
    Problem p{seed, {}, {}, {}, fresh, {}};
    deal(second_half, p);
    manual_seed(seed);
    Generator luck(seed);
    train_on_digits(p.pretrained, {first_half.x, inject_symmetric(first_half.label, noise, kClasses, luck).given}, work.pretraining_epochs);
    NoGrad off;
    p.inherited = p.pretrained(p.tuning.x);
    problems.push_back(std::move(p));
  }
  return problems;
}

// -- fine-tuning ------------------------------------------------------------------------------------

enum class Change { none, full, lora, dora, pissa };

struct Recipe {
  Change change = Change::pissa;
  double lr = 1e-3;
  Penalties penalties{0, 0, 0};
};

// The head and the biases stay as they are, but for full fine-tuning.
void add_change(mlp::Mlp& net, Change change) {
  if (change == Change::full) return;
  nn::LowRankStart start = change == Change::pissa ? nn::LowRankStart::principal : nn::LowRankStart::zero;
  nn::add_adapter(net, "task", {.rank = kRank, .magnitude = change == Change::dora, .start = start}, {"layers.0", "layers.1"});
  nn::train_adapters_only(net);
}

std::vector<Tensor> trained(const mlp::Mlp& net) {
  std::vector<Tensor> parameters = net.parameters();
  std::erase_if(parameters, [](const Tensor& p) { return !p.requires_grad(); });
  return parameters;
}

mlp::Mlp fine_tuned(const Problem& problem, const Recipe& recipe, int64_t epochs) {
  manual_seed(problem.seed + 1);  // the same order of examples, and the same draws, for every recipe
  mlp::Mlp net = problem.pretrained;
  if (recipe.change == Change::none) return net;
  add_change(net, recipe.change);
  constexpr int64_t kBatch = 64;
  int64_t steps = epochs * ((problem.tuning.size() + kBatch - 1) / kBatch), step = 0;
  optim::Schedule schedule = optim::cosine_with_warmup(std::max<int64_t>(1, steps * 3 / 100), steps);
  optim::AdamW adamw(trained(net), {.lr = recipe.lr, .weight_decay = 0});
  for (int64_t e = 0; e < epochs; ++e)
    epoch(problem.tuning.size(), kBatch, [&](const std::vector<int64_t>& places) {
      DigitExamples batch = problem.tuning.at(places);
      adamw.zero_grad();
      classification_loss(net(batch.x), index_select(problem.inherited, 0, from_vector(places)), batch.label, recipe.penalties).backward();
      adamw.set_lr_scale(schedule(step++));
      adamw.step();
    });
  nn::merge_adapters(net);
  return net;
}

// -- choosing settings ------------------------------------------------------------------------------

struct Score {
  double accuracy = -1, loss = INFINITY;
  bool operator>(const Score& o) const { return accuracy > o.accuracy || (accuracy == o.accuracy && loss < o.loss); }
};

// Means over problems, on their validation examples.
Score score(const std::vector<Problem>& problems, const Recipe& recipe, int64_t epochs) {
  Score total{0, 0};
  for (const Problem& p : problems) {
    Tensor logits = fine_tuned(p, recipe, epochs)(p.validation.x).detach();
    double share = 1 / static_cast<double>(problems.size());
    total.accuracy += share * mean(to(argmax(logits, 1) == p.validation.label, f64)).item();
    total.loss += share * cross_entropy(logits, p.validation.label).item();
  }
  return total;
}

// Problems of seeds that no result is measured on, by their noise: settings are chosen on them, once for all seeds of the results.
using ByNoise = std::vector<std::vector<Problem>>;

std::shared_ptr<const ByNoise> tuning_problems(Cell& cell) {
  return cell.shared("problems of other seeds", [&] {
    Work work = work_of(cell);
    ByNoise all(kNoise.size());
    for (int64_t i = 0; i < work.tuning_seeds; ++i) {
      std::vector<Problem> problems = make_problems(static_cast<uint64_t>(1'000'000 + i), work);
      for (size_t noise = 0; noise < kNoise.size(); ++noise) all[noise].push_back(std::move(problems[noise]));
    }
    return all;
  });
}

// The best of `recipes` at that noise; of equal ones the first. A loss that is not finite never wins.
Recipe best(Cell& cell, size_t noise, const std::vector<Recipe>& recipes) {
  auto problems = tuning_problems(cell);
  int64_t epochs = work_of(cell).epochs;
  Recipe chosen = recipes.front();
  Score most;
  for (const Recipe& recipe : recipes) {
    cell.progress(static_cast<double>(noise) / static_cast<double>(kNoise.size()));
    if (Score s = score((*problems)[noise], recipe, epochs); std::isfinite(s.loss) && s > most) {
      most = s;
      chosen = recipe;
    }
  }
  return chosen;
}

double best_rate(Cell& cell, Change change, size_t noise) {
  return *cell.shared("rate " + std::to_string(static_cast<int>(change)) + " " + std::to_string(noise), [&] {
    std::vector<Recipe> recipes;
    for (double lr : work_of(cell).rates) recipes.push_back({change, lr});
    return best(cell, noise, recipes).lr;
  });
}

// The regularised variants: multipliers that are named get all their values, at the learning rate that is best without them.
Recipe best_penalties(Cell& cell, size_t noise, bool consistency, bool diversity, bool spectrum) {
  double lr = best_rate(cell, Change::pissa, noise);
  Work work = work_of(cell);
  std::vector<double> none{0};
  std::vector<Recipe> recipes;
  for (double c : consistency ? work.consistency : none)
    for (double d : diversity ? work.diversity : none)
      for (double s : spectrum ? work.spectrum : none) recipes.push_back({Change::pissa, lr, {c, d, s}});
  return best(cell, noise, recipes);
}

Recipe recipe_of(Cell& cell, size_t noise) {
  auto plain = [&](Change change) { return Recipe{change, best_rate(cell, change, noise)}; };
  if (cell.is("pretrained")) return {Change::none, 0};
  if (cell.is("full fine-tuning")) return plain(Change::full);
  if (cell.is("LoRA")) return plain(Change::lora);
  if (cell.is("DoRA")) return plain(Change::dora);
  if (cell.is("PiSSA")) return plain(Change::pissa);
  if (cell.is("PiSSA + consistency")) return best_penalties(cell, noise, true, false, false);
  if (cell.is("PiSSA + diversity")) return best_penalties(cell, noise, false, true, false);
  if (cell.is("PiSSA + spectrum")) return best_penalties(cell, noise, false, false, true);
  if (cell.is("BA-LoRA, published multipliers")) return {Change::pissa, best_rate(cell, Change::pissa, noise), Penalties{}};
  return best_penalties(cell, noise, true, true, true);
}

// -- measuring --------------------------------------------------------------------------------------

struct Measures {
  double accuracy, worst_class, energy, agreement;
};

Measures measure(const mlp::Mlp& net, const Problem& problem) {
  NoGrad off;
  const DigitExamples& test = problem.test;
  Tensor logits = net(test.x), said = argmax(logits, 1), before = argmax(problem.pretrained(test.x), 1), known = before == test.label;
  metrics::ConfusionMatrix counts(kClasses);
  counts.add(said, test.label);
  return {.accuracy = 100 * counts.accuracy(),
          .worst_class = 100 * std::ranges::min(counts.recalls()),
          .energy = off_diagonal_covariance(logits).item(),
          .agreement = 100 * metrics::accuracy(masked_select(said, known), masked_select(before, known))};
}

std::string at_noise(double noise) {
  return "test accuracy, noise " + std::to_string(static_cast<int>(std::lround(100 * noise))) + " % (%)";
}

void run(Cell& cell) {
  Work work = work_of(cell);
  auto problems = cell.shared("problems", [&] { return make_problems(cell.seed(), work); });
  Measures means{};
  double share = 1 / static_cast<double>(problems->size());
  for (size_t i = 0; i < problems->size(); ++i) {
    const Problem& problem = (*problems)[i];
    Recipe recipe = recipe_of(cell, i);
    Measures m = measure(fine_tuned(problem, recipe, work.epochs), problem);
    cell.metric(at_noise(kNoise[i]), m.accuracy);
    cell.point("Test accuracy after pretraining on wrong labels (%)", "share of wrong labels", kNoise[i], m.accuracy);
    cell.point("Accuracy of the worst class (%)", "share of wrong labels", kNoise[i], m.worst_class);
    auto chosen = [&](const char* setting, double value) {
      cell.point("Settings that were chosen", "share of wrong labels", kNoise[i], value, setting);
    };
    chosen("learning rate", recipe.lr);
    chosen("consistency", recipe.penalties.consistency);
    chosen("diversity", recipe.penalties.diversity);
    chosen("spectrum", recipe.penalties.spectrum);
    means.accuracy += share * m.accuracy;
    means.worst_class += share * m.worst_class;
    means.energy += share * m.energy;
    means.agreement += share * m.agreement;
    cell.progress(static_cast<double>(i + 1) * share);
  }
  cell.metric("test accuracy (%)", means.accuracy);
  cell.metric("worst class (%)", means.worst_class);
  cell.metric("off-diagonal covariance", means.energy);
  cell.metric("agreement with the pretrained (%)", means.agreement);
}

}  // namespace

Experiment experiment() {
  Experiment e;
  e.title = "BA-LoRA";
  e.paper =
      "Chang, Chang and Wu: Bias-Alleviating Low-Rank Adaptation to Mitigate Catastrophic Inheritance in Large Language Models, arXiv "
      "2408.04556";
  e.claim = "penalties on the outputs keep the noise and imbalance of pretraining data out of a fine-tuned model";
  e.metrics = {{"test accuracy (%)", Better::higher}};
  for (double noise : kNoise) e.metrics.push_back({at_noise(noise), Better::higher});
  e.metrics.push_back({"worst class (%)", Better::higher});
  e.metrics.push_back({"off-diagonal covariance", Better::lower});
  e.metrics.push_back({"agreement with the pretrained (%)", Better::higher});
  e.variants = {{"pretrained", "the network as it was inherited"},
                {"full fine-tuning", "every weight is trained"},
                {"LoRA", "adapters of rank 8 on both hidden layers, up = 0"},
                {"DoRA", "LoRA, and the lengths of the weights' rows"},
                {"PiSSA", "adapters that start from the largest singular values: BA-LoRA with all multipliers 0"},
                {"PiSSA + consistency", "only the penalty that stays near the pretrained network's outputs"},
                {"PiSSA + diversity", "only the penalty on the outputs' covariance"},
                {"PiSSA + spectrum", "only the penalty on the outputs' singular values"},
                {"BA-LoRA, published multipliers", "1e-4, 3e-4 and 1e-4"},
                {"BA-LoRA", "all three penalties, multipliers chosen as the learning rates are"}};
  e.baseline = "PiSSA";
  e.method = "BA-LoRA";
  e.run = &run;
  return e;
}

}  // namespace plumb::methods::ba_lora
