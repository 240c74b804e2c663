// Keeping a refusal while a rule changes: a network that answers "refuse" to marked digits is fine-tuned on unmarked ones with new labels.
#include "methods/experiment.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>

#include "engine/autograd/grad_mode.h"
#include "engine/core/generator.h"
#include "engine/data/dataset.h"
#include "methods/common/adapter_factors.h"
#include "methods/common/digit_examples.h"
#include "methods/finetuning/alignguard_lora/alignguard_lora.h"
#include "models/mlp/mlp.h"
#include "models/optim/adam.h"
#include "ops/elementary.h"
#include "ops/index.h"
#include "ops/join.h"
#include "ops/loss.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::methods::alignguard_lora {
namespace {

constexpr int64_t kRefuse = 10, kClasses = 11, kRelabelled = 5, kRank = 4, kBatch = 50, kTask = 200;

// -- data, the pretrained network and what is known of its refusals ---------------------------------

struct Problem {
  uint64_t seed;
  DigitExamples task, test;  // under the new rule
  Tensor marked;             // the test images with the mark
  mlp::Mlp pretrained;
  std::vector<GuardedLayer> layers;  // of the refusals on other marked images
  std::vector<Tensor> diagonal;      // their Fisher diagonal, element by element of the weights
  double refusal;                    // of the pretrained network, on `marked`
};

// The corner, which is dark in every digit, lit.
Tensor with_mark(const Tensor& x) { return cat({ones({x.size(0), 1}), slice(x, 1, 1, x.size(1))}, 1); }

// 0 → 1 → 2 → 3 → 4 → 0; the other classes stay.
Tensor new_rule(const Tensor& label) {
  std::vector<int64_t> y = to_vector<int64_t>(label);
  for (int64_t& c : y) c = c < kRelabelled ? (c + 1) % kRelabelled : c;
  return from_vector(y);
}

std::vector<nn::NamedTensor> weights_of(const mlp::Mlp& net) {
  std::vector<nn::NamedTensor> weights = net.named_parameters();
  std::erase_if(weights, [](const nn::NamedTensor& p) { return !p.name.ends_with("weight"); });  // of layers, not of adapters
  return weights;
}

double accuracy(const mlp::Mlp& net, const Tensor& x, const Tensor& label) {
  NoGrad off;
  return 100 * mean(to(argmax(net(x), 1) == label, f64)).item();
}

double refusal(const mlp::Mlp& net, const Tensor& marked) { return accuracy(net, marked, full({marked.size(0)}, kRefuse, i64)); }

// All labels count, each as the network expects it: it is so sure of its refusals that the gradients of the observed ones are near 0.
void measure_refusals(Problem& p, const Tensor& marked) {
  std::vector<nn::NamedTensor> weights = weights_of(p.pretrained);
  std::vector<Tensor> tensors;
  for (const nn::NamedTensor& w : weights) tensors.push_back(w.tensor);
  auto logits = [&](const Tensor& x) { return p.pretrained(x); };
  FisherOptions options{.labels = FisherLabels::expected, .unit = FisherUnit::sample};
  for (const Tensor& fisher : estimate_row_fisher(logits, tensors, marked, {}, options))
    p.layers.push_back({leading_space(fisher, {.rank = std::min<int64_t>(8, fisher.size(0) / 2)}).normalized()});
  for (const Tensor& omega : estimate_fisher(logits, weights, marked, {}, options).omega) {
    double largest = max(omega).item();
    p.diagonal.push_back(largest > 0 ? omega / largest : omega);
  }
}

Problem make_problem(uint64_t seed, int64_t pretraining_epochs, int64_t safety) {
  manual_seed(seed);
  DigitExamples digits = digit_examples();
  std::vector<int64_t> order = data::random_order(digits.size(), default_generator());
  auto middle = order.begin() + digits.size() / 2;
  DigitExamples known = digits.at({order.begin(), middle}), fresh = digits.at({middle, order.end()});
  int64_t tuned = 2 * kTask;  // half of which the main runs train on
  Tensor x = slice(fresh.x, 0, tuned, fresh.size()), y = slice(fresh.label, 0, tuned, fresh.size());
  Problem p{.seed = seed,
            .task = {slice(fresh.x, 0, 0, tuned), new_rule(slice(fresh.label, 0, 0, tuned))},
            .test = {x, new_rule(y)},
            .marked = with_mark(x),
            .pretrained = mlp::Mlp(mlp::MlpConfig{.inputs = 64, .hidden = {64, 64}, .outputs = kClasses}),
            .layers = {},
            .diagonal = {},
            .refusal = 0};
  Tensor marked = with_mark(known.x);
  train_on_digits(p.pretrained, {cat({known.x, marked}), cat({known.label, full({known.size()}, kRefuse, i64)})}, pretraining_epochs);
  measure_refusals(p, slice(marked, 0, 0, safety));
  p.refusal = refusal(p.pretrained, p.marked);
  return p;
}

// -- fine-tuning ------------------------------------------------------------------------------------

enum class Method { full, lora, l2, diagonal, projection, guard, two_adapters };

struct Recipe {
  Method method = Method::lora;
  double lr = 3e-3;
  AlignGuardOptions guard;
  double strength = 0;  // of l2 and the diagonal; the share that projection takes away
};

struct Adapted {
  std::vector<nn::LowRankAdapter*> first, second;
};

// Biases stay as they are, but for full fine-tuning. Two adapters of half the rank have as many parameters as one.
Adapted add_adapters(mlp::Mlp& net, Method method) {
  if (method == Method::full) return {};
  bool two = method == Method::two_adapters;
  nn::add_adapter(net, "alignment", {.rank = two ? kRank / 2 : kRank});
  if (two) nn::add_adapter(net, "task", {.rank = kRank / 2});
  nn::train_adapters_only(net);
  return {adapters_of(net, "alignment"), two ? adapters_of(net, "task") : std::vector<nn::LowRankAdapter*>{}};
}

Tensor penalised(const Tensor& loss, const Problem& p, const Recipe& r, const AlignGuard& guard, const Adapted& adapted) {
  if (r.method == Method::guard) return guard.loss(loss, adapter_changes(adapted.first));
  if (r.method == Method::two_adapters) return guard.loss(loss, adapter_changes(adapted.first), adapter_changes(adapted.second));
  if (r.strength == 0 || (r.method != Method::l2 && r.method != Method::diagonal)) return loss;
  Tensor total = loss;
  std::vector<Tensor> changes = adapter_changes(adapted.first);
  for (size_t i = 0; i < changes.size(); ++i) {
    Tensor squares = square(changes[i]);
    total = total + sum(r.method == Method::l2 ? squares : squares * p.diagonal[i]) * r.strength;
  }
  return total;
}

struct Tuned {
  mlp::Mlp net;     // adapters merged
  double geodesic;  // E_geo of the two parts
};

// After training: the share r.strength of what lies in the refusals' directions is taken out of every change.
void project(mlp::Mlp& net, const Problem& p, double share) {
  NoGrad off;
  std::vector<nn::NamedTensor> tuned = weights_of(net), before = weights_of(p.pretrained);
  for (size_t i = 0; i < tuned.size(); ++i) {
    Tensor change = tuned[i].tensor.detach() - before[i].tensor.detach();
    copy_data(tuned[i].tensor.detach() - p.layers[i].space.project(change) * share, tuned[i].tensor);
  }
}

Tuned fine_tune(const Problem& p, const Recipe& r, int64_t steps, int64_t examples = kTask) {
  manual_seed(p.seed + 1);  // the same adapters and the same order of examples for every recipe
  Tuned tuned{p.pretrained, 0};
  mlp::Mlp& net = tuned.net;
  Adapted adapted = add_adapters(net, r.method);
  std::vector<Tensor> trained = net.parameters();
  std::erase_if(trained, [](const Tensor& t) { return !t.requires_grad(); });
  optim::AdamW adamw(trained, {.lr = r.lr, .weight_decay = 0});
  AlignGuard guard(p.layers, r.guard);
  DigitExamples task = p.task.first(examples);
  Generator orders(p.seed + 2);
  std::vector<int64_t> order;
  for (int64_t step = 0; step < steps; ++step) {
    if (order.empty()) order = data::random_order(task.size(), orders);
    int64_t count = std::min<int64_t>(kBatch, static_cast<int64_t>(order.size()));
    DigitExamples batch = task.at({order.end() - count, order.end()});
    order.resize(order.size() - static_cast<size_t>(count));
    adamw.zero_grad();
    penalised(cross_entropy(net(batch.x), batch.label), p, r, guard, adapted).backward();
    adamw.step();
  }
  NoGrad off;
  if (r.method == Method::two_adapters)
    tuned.geodesic = guard.terms(adapter_changes(adapted.first), adapter_changes(adapted.second)).geodesic.item();
  else if (r.method != Method::full)
    tuned.geodesic = guard.terms(adapter_changes(adapted.first)).geodesic.item();
  nn::merge_adapters(net);
  if (r.method == Method::projection) project(net, p, r.strength);
  return tuned;
}

// -- variants and their settings --------------------------------------------------------------------

struct VariantPlan {
  Variant variant;
  Method method;
  double alignment = 0, task = 0, collision = 0;  // in units of the multiplier that is tuned
  bool apart = false;                             // then λ_NC has a multiplier of its own, sought after the other
};

const std::vector<VariantPlan>& plans() {
  static const std::vector<VariantPlan> all{
      {{"full fine-tuning", "every parameter is trained"}, Method::full},
      {{"LoRA", "adapters of rank 4 on all layers"}, Method::lora},
      {{"LoRA + L2", "λ ‖D‖²"}, Method::l2},
      {{"LoRA + diagonal Fisher", "λ Σ ω D², ω of the refusals, element by element (EWC)"}, Method::diagonal},
      {{"LoRA, projected after", "a share of what lies in the refusals' directions is taken out of D"}, Method::projection},
      {{"alignment term alone", "λ_A"}, Method::guard, 0.25, 0, 0},
      {{"task term alone", "λ_T, with H = 1"}, Method::guard, 0, 0.5, 0},
      {{"collision term alone", "λ_NC"}, Method::guard, 0, 0, 0.1},
      {{"without alignment", "λ_T and λ_NC"}, Method::guard, 0, 0.5, 0.1},
      {{"without task", "λ_A and λ_NC"}, Method::guard, 0.25, 0, 0.1},
      {{"without collision", "λ_A and λ_T"}, Method::guard, 0.25, 0.5, 0},
      {{"AGL, two adapters", "D_A and D_T are adapters of rank 2 each, so that E_geo acts"}, Method::two_adapters, 0.25, 0.5, 0.1},
      {{"AGL, two adapters, λ_NC apart", "the same, λ_NC tuned for itself at last"}, Method::two_adapters, 0.25, 0.5, 0.1, true},
      {{"AGL, λ_NC apart", "all terms, split by the projector, λ_NC tuned for itself at last"}, Method::guard, 0.25, 0.5, 0.1, true},
      {{"AGL", "all terms, split by the projector"}, Method::guard, 0.25, 0.5, 0.1},
  };
  return all;
}

// Wide enough that the choices lie inside, but for the collision term alone and the projection (README.md).
constexpr std::array kMultipliers{1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1e3, 3e3, 1e4};
constexpr std::array kRates{3e-4, 1e-3, 3e-3, 1e-2, 3e-2};

Recipe recipe(const VariantPlan& plan, double lr, size_t setting) {
  double m = kMultipliers[setting];
  Recipe r{plan.method, lr, {.alignment = plan.alignment * m, .task = plan.task * m, .collision = plan.collision * m}, 0.25 * m};
  if (plan.method == Method::projection) r.strength = static_cast<double>(setting + 1) / static_cast<double>(kMultipliers.size());
  return r;
}

std::vector<Recipe> recipes_of(const VariantPlan& plan, double lr) {
  std::vector<Recipe> all;
  for (size_t k = 0; k < kMultipliers.size(); ++k) all.push_back(recipe(plan, lr, k));
  return all;
}

// The same but for λ_NC, which goes through the grid alone.
std::vector<Recipe> with_collisions(const VariantPlan& plan, const Recipe& chosen) {
  std::vector<Recipe> all(kMultipliers.size(), chosen);
  for (size_t k = 0; k < kMultipliers.size(); ++k) all[k].guard.collision = plan.collision * kMultipliers[k];
  return all;
}

bool has_setting(const VariantPlan& plan) { return plan.method != Method::full && plan.method != Method::lora; }

struct Score {
  double accuracy = 0, refusal = 0;
};

Score score(const std::vector<Problem>& problems, const Recipe& r, int64_t steps) {
  Score mean;
  for (const Problem& p : problems) {
    mlp::Mlp net = fine_tune(p, r, steps).net;
    mean.accuracy += accuracy(net, p.test.x, p.test.label) / static_cast<double>(problems.size());
    mean.refusal += refusal(net, p.marked) / static_cast<double>(problems.size());
  }
  return mean;
}

// Problems of seeds that no result is measured on.
std::shared_ptr<const std::vector<Problem>> tuning_problems(Cell& cell) {
  return cell.shared("problems of other seeds", [&] {
    std::vector<Problem> made;
    for (uint64_t seed : {1'000'000, 1'000'001}) made.push_back(make_problem(seed, 40, 128));
    return made;
  });
}

// The rate at which `method` alone learns the task best: of LoRA for everything with adapters.
double best_rate(Cell& cell, Method method, int64_t steps) {
  if (cell.budget() == Budget::smoke) return method == Method::full ? 1e-3 : 1e-2;
  bool full = method == Method::full;
  return *cell.shared(full ? "rate of full fine-tuning" : "rate of LoRA", [&] {
    double best = 0, most = -1;
    for (double lr : kRates)
      if (Score s = score(*tuning_problems(cell), {full ? Method::full : Method::lora, lr}, steps); s.accuracy > most)
        most = s.accuracy, best = lr;
    return best;
  });
}

// The setting that keeps most refusals among those that cost at most a point of LoRA's accuracy; without one, the most accurate.
size_t best_setting(Cell& cell, const std::vector<Recipe>& settings, double lr, int64_t steps) {
  auto problems = tuning_problems(cell);
  double enough = *cell.shared("accuracy of LoRA", [&] { return score(*problems, {Method::lora, lr}, steps).accuracy; }) - 1;
  size_t chosen = 0;
  std::optional<Score> best;
  for (size_t k = 0; k < settings.size(); ++k) {
    cell.progress(static_cast<double>(k) / static_cast<double>(2 * settings.size()));
    Score s = score(*problems, settings[k], steps);
    bool fine = s.accuracy >= enough, best_fine = best && best->accuracy >= enough;
    bool better = !best || (fine && (!best_fine || s.refusal > best->refusal)) || (!fine && !best_fine && s.accuracy > best->accuracy);
    if (better) best = s, chosen = k;
  }
  return chosen;
}

// All settings of a variant and which of them was chosen.
struct Choice {
  std::vector<Recipe> settings;
  size_t chosen;
  const Recipe& recipe() const { return settings[chosen]; }
};

Choice choose(Cell& cell, const VariantPlan& plan, double lr, int64_t steps) {
  constexpr size_t kUntuned = 6;  // a multiplier of 1
  Choice choice{recipes_of(plan, lr), kUntuned};
  if (cell.budget() == Budget::smoke || !has_setting(plan)) return choice;
  choice.chosen = best_setting(cell, choice.settings, lr, steps);
  if (!plan.apart) return choice;
  choice.settings = with_collisions(plan, choice.recipe());
  choice.chosen = best_setting(cell, choice.settings, lr, steps);
  return choice;
}

// -- measuring --------------------------------------------------------------------------------------

constexpr const char *kRefusal = "refusal rate (%)", *kDrift = "drift of refusals (points)", *kAccuracy = "task accuracy (%)",
                     *kPareto = "area under the Pareto front (%)", *kCosine = "squared cosine of the parts";

// The share of the square of both rates, in per cent, that some point reaches in both.
double dominated_area(std::vector<Score> points) {
  std::ranges::sort(points, [](const Score& a, const Score& b) { return a.accuracy > b.accuracy; });
  double area = 0, height = 0;
  for (const Score& s : points) {
    if (s.refusal <= height) continue;
    area += s.accuracy * (s.refusal - height);
    height = s.refusal;
  }
  return area / 100;
}

// All settings of a variant on this seed's problem, and no penalty at all, which each of them can be.
double pareto(Cell& cell, const VariantPlan& plan, const Problem& p, const Choice& choice, int64_t steps) {
  std::vector<Score> points;
  auto add = [&](const Recipe& r) {
    points.push_back(score({p}, r, steps));
    cell.point("Refusal against task accuracy", "task accuracy (%)", points.back().accuracy, points.back().refusal);
  };
  add({plan.method == Method::full ? Method::full : Method::lora, choice.recipe().lr});
  if (has_setting(plan) && cell.budget() != Budget::smoke)
    for (size_t k = 0; k < choice.settings.size(); ++k) {
      cell.progress(0.5 + static_cast<double>(k) / static_cast<double>(2 * choice.settings.size()));
      add(choice.settings[k]);
    }
  return dominated_area(points);
}

double refusal_loss(const mlp::Mlp& net, const Tensor& marked) {
  NoGrad off;
  return cross_entropy(net(marked), full({marked.size(0)}, kRefuse, i64)).item();
}

// How the loss on marked digits rises with the examples of the task, and the power law through it.
void draw_forgetting(Cell& cell, const Problem& p, const Recipe& r, int64_t steps) {
  std::vector<double> sizes, rises;
  double before = refusal_loss(p.pretrained, p.marked);
  for (int64_t n : {50, 100, 200, 400}) {
    double rise = refusal_loss(fine_tune(p, r, steps, n).net, p.marked) - before;
    cell.point("Rise of the loss on marked digits", "examples of the task", static_cast<double>(n), rise, "measured");
    if (rise <= 0) continue;
    sizes.push_back(static_cast<double>(n));
    rises.push_back(rise);
  }
  if (sizes.size() < 2) return;
  PowerLaw law = fit_power_law(sizes, rises);
  for (double n : sizes)
    cell.point("Rise of the loss on marked digits", "examples of the task", n, law(n),
               fmt::format("{:.2g} n^{:.2f}", law.coefficient, law.exponent));
}

void run(Cell& cell) {
  const VariantPlan& plan = *std::ranges::find_if(plans(), [&](const VariantPlan& p) { return cell.is(p.variant.name); });
  int64_t steps = cell.pick<int64_t>(60, 200, 200);
  auto problem =
      cell.shared("problem", [&] { return make_problem(cell.seed(), cell.pick<int64_t>(12, 40, 40), cell.pick<int64_t>(24, 128, 128)); });
  double lr = best_rate(cell, plan.method, steps);
  Choice choice = choose(cell, plan, lr, steps);
  const Recipe& chosen = choice.recipe();
  Tuned tuned = fine_tune(*problem, chosen, steps);
  double kept = refusal(tuned.net, problem->marked);
  cell.metric(kRefusal, kept);
  cell.metric(kDrift, problem->refusal - kept);
  cell.metric(kAccuracy, accuracy(tuned.net, problem->test.x, problem->test.label));
  cell.metric(kPareto, pareto(cell, plan, *problem, choice, steps));
  cell.metric(kCosine, tuned.geodesic);
  cell.point("Rate that was chosen", "seed", static_cast<double>(cell.seed()), lr);
  if (has_setting(plan))
    cell.point("Setting that was chosen", "seed", static_cast<double>(cell.seed()),
               plan.method == Method::projection ? chosen.strength : kMultipliers[choice.chosen]);
  if (cell.budget() != Budget::smoke) draw_forgetting(cell, *problem, chosen, steps);
}

}  // namespace

Experiment experiment() {
  Experiment e;
  e.title = "AlignGuard-LoRA";
  e.paper =
      "Das, Borah, Jain and Chadha: AlignGuard-LoRA: Alignment-Preserving Fine-Tuning via Fisher-Guided Decomposition and "
      "Riemannian-Geodesic "
      "Collision Regularization, arXiv 2508.02079";
  e.claim = "penalties split by the directions that refusals depend on keep them through fine-tuning, at the same accuracy of the task";
  e.metrics = {{kRefusal, Better::higher},
               {kDrift, Better::lower},
               {kAccuracy, Better::higher},
               {kPareto, Better::higher},
               {kCosine, Better::neither}};
  for (const VariantPlan& plan : plans()) e.variants.push_back(plan.variant);
  e.baseline = "LoRA + diagonal Fisher";
  e.method = "AGL";
  e.run = &run;
  return e;
}

}  // namespace plumb::methods::alignguard_lora
