// Single objectives and joint ones on recidivism with few rows: does a suite of contradictory objectives regularise (thesis 3)?
#include "methods/experiment.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "engine/autograd/grad_mode.h"
#include "methods/common/fair_tables.h"
#include "methods/common/private_gradients.h"
#include "methods/fairness/rai_inconsistency/objectives.h"
#include "methods/fairness/rai_inconsistency/suite.h"
#include "models/metrics/loss_attack.h"
#include "models/mlp/mlp.h"
#include "models/optim/adam.h"
#include "models/optim/parameters.h"
#include "ops/activation.h"
#include "ops/elementary.h"
#include "ops/functional.h"
#include "ops/index.h"
#include "ops/loss.h"
#include "ops/matmul.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "ops/sort.h"

namespace plumb::methods::rai_inconsistency {
namespace {

// The rate and the strength of each kind of objective, to be swept. Clean or noisy cross-entropy has weight 1.
constexpr double kRate = 0.02, kSingle = 3, kJoint = 1, kNoise = 0.5, kFgsm = 0.1, kPrivateRate = 0.02, kPrivateNoise = 10, kClip = 1;
constexpr double kBound = 1e-3, kRho = 100;  // of each fairness objective under constraints (a gap of about 0.03), and their strength
constexpr int64_t kHidden = 16, kLookEvery = 10;

// Weights of cross-entropy, demographic parity, equalised odds, calibration, noise, FGSM.
enum Which { clean, parity, odds, calibrated, noisy, attacked };
struct Setup {
  const char* name;
  const char* about;
  std::vector<double> weights;
  Combine combine = Combine::weighted_sum;
  bool is_private = false;
};

const std::vector<Setup>& setups() {
  static const std::vector<Setup> all{
      {"accuracy only", "the cross-entropy", {1, 0, 0, 0, 0, 0}},
      {"demographic parity, λ = 3", "and one soft gap", {1, kSingle, 0, 0, 0, 0}},
      {"equalised odds, λ = 3", "and both gaps given the label", {1, 0, kSingle, 0, 0, 0}},
      {"three fairness terms", "parity, odds and calibration at once, λ = 1 each", {1, kJoint, kJoint, kJoint, 0, 0}},
      {"noise alone", "the cross-entropy on noisy inputs and nothing else: is it the noise?", {0, 0, 0, 0, 1, 0}},
      {"FGSM alone", "the cross-entropy on attacked inputs", {0, 0, 0, 0, 0, 1}},
      {"joint with noise", "the three terms, and the cross-entropy on noisy inputs", {0, kJoint, kJoint, kJoint, 1, 0}},
      {"joint, Chebyshev", "the largest of the four, smoothed", {1, kJoint, kJoint, kJoint, 0, 0}, Combine::chebyshev},
      {"joint, PCGrad", "conflicting gradients projected", {1, kJoint, kJoint, kJoint, 0, 0}, Combine::pcgrad},
      {"joint, MGDA", "the shortest convex combination of gradients", {1, kJoint, kJoint, kJoint, 0, 0}, Combine::mgda},
      {"joint, constraints",
       "the cross-entropy with the three terms held below a bound",
       {1, kJoint, kJoint, kJoint, 0, 0},
       Combine::epsilon_constraint},
      {"private",
       "clipped gradients with noise of multiplier 10, 100 steps: ε = 5.3 at δ = 1e-5",
       {1, 0, 0, 0, 0, 0},
       Combine::weighted_sum,
       true},
  };
  return all;
}

std::vector<Objective> objectives() {
  return {cross_entropy_objective(), demographic_parity_objective(), equalised_odds_objective(),
          calibration_objective(),   noise_objective(kNoise),        adversarial_objective(kFgsm)};
}

mlp::MlpConfig config_of(const FairSplit& split) { return {.inputs = split.train.x.size(1), .hidden = {kHidden}, .outputs = 1}; }

// Those objectives alone that have a weight: constraints take no other.
void drop_unused(std::vector<Objective>& all, std::vector<double>& weights) {
  for (size_t i = all.size(); i-- > 0;)
    if (weights[i] == 0) {
      all.erase(all.begin() + static_cast<std::ptrdiff_t>(i));
      weights.erase(weights.begin() + static_cast<std::ptrdiff_t>(i));
    }
}

// Each example's loss under parameters of its own: one hidden layer.
Tensor losses_of_samples(const std::vector<Tensor>& w, const Tensor& x, const Tensor& y) {
  Tensor hidden = relu(squeeze(matmul(w[0], unsqueeze(x, 2)), 2) + w[1]);  // w: [B, h, d], [B, h], [B, 1, h], [B, 1]
  Tensor logits = sum(squeeze(w[2], 1) * hidden, {1}) + squeeze(w[3], 1);
  return binary_cross_entropy_with_logits(logits, y, {.reduction = Reduction::none});
}

void train_privately(mlp::Mlp& network, const FairPart& part, int64_t steps) {
  std::vector<Tensor> parameters = network.parameters();
  optim::Adam adam(parameters, {.lr = kPrivateRate});
  for (int64_t t = 0; t < steps; ++t) {
    auto losses = [&](const std::vector<Tensor>& w) { return losses_of_samples(w, part.x, part.y); };
    optim::set_gradients(parameters, private_gradients(per_sample_grad(losses, parameters, part.rows()), kClip, kPrivateNoise));
    adam.step();
  }
}

Conflict train(const Setup& setup, mlp::Mlp& network, const TensorFunction& model, const FairPart& part, int64_t steps) {
  if (setup.is_private) {
    train_privately(network, part, std::min<int64_t>(steps, 100));
    return {};
  }
  std::vector<Objective> all = objectives();
  TrainOptions options{.combine = setup.combine, .weights = setup.weights, .steps = steps, .lr = kRate, .watch_every = kLookEvery};
  if (setup.combine == Combine::epsilon_constraint) {
    drop_unused(all, options.weights);
    options.bounds.assign(all.size() - 1, kBound);
    options.rho = kRho;
  }
  return train_multi_objective(network, model, part.x, part.y, to(part.a, f32), all, options).conflict;
}

struct Scores {
  MetricSuite suite;
  double nll() const { return value_of(suite, "NLL"); }
};

Scores scores_of(const TensorFunction& model, const FairPart& part) {
  NoGrad off;
  return {evaluate_predictions(sigmoid(to(model({part.x})[0], f64)), part.y, part.a)};
}

// The third of the rows with the largest first feature: older people, of whom the whole has fewer.
FairPart shifted(const FairPart& part) {
  Tensor places = topk(select(part.x, 1, 0), part.rows() / 3).indices;
  return {index_select(part.x, 0, places), index_select(part.y, 0, places), index_select(part.a, 0, places), {}};
}

struct Run {
  Scores train, test, shift;
  double advantage = 0, noise_error = 0, fgsm_error = 0;
  Conflict conflict;
};

Run run_once(const Setup& setup, const FairSplit& split, int64_t steps, uint64_t seed, bool everything) {
  manual_seed(seed);
  mlp::Mlp network(config_of(split));
  TensorFunction model = [&](const Tensor& x) { return squeeze(network(x), 1); };
  Run run;
  run.conflict = train(setup, network, model, split.train, steps);
  run.train = scores_of(model, split.train), run.test = scores_of(model, split.test);
  if (!everything) return run;
  run.shift = scores_of(model, shifted(split.test));
  EvalContext context{.features = split.test.x, .model = model, .noise = kNoise, .fgsm = kFgsm};
  auto losses = [&](const FairPart& part) {
    NoGrad off;
    return row_losses(sigmoid(model({part.x})[0]), part.y);
  };
  context.member_losses = losses(split.train), context.other_losses = losses(split.test);
  Tensor p;
  {
    NoGrad off;
    p = sigmoid(to(model({split.test.x})[0], f64));
  }
  MetricSuite all = evaluate(p, split.test.y, split.test.a, context);
  run.advantage = value_of(all, "membership advantage");
  run.noise_error = value_of(all, "error under noise"), run.fgsm_error = value_of(all, "error under FGSM");
  return run;
}

// One split of a table with `rows` rows to train on, the same for all variants.
std::shared_ptr<const FairSplit> split_of(Cell& cell, const std::string& name, int64_t rows) {
  bool generated = cell.budget() == Budget::smoke;
  auto table =
      cell.shared(name, [&] { return generated ? generated_fair_table(360, default_generator()) : fair_table(name, default_generator()); });
  return cell.shared(fmt::format("{}, {} rows", name, rows), [&] { return split_fair_table(*table, rows, 0, default_generator(), 2500); });
}

void run(Cell& cell) {
  const Setup& setup = *std::find_if(setups().begin(), setups().end(), [&](const Setup& s) { return cell.is(s.name); });
  int64_t steps = cell.pick<int64_t>(6, 250, 400), few = cell.pick<int64_t>(60, 600, 600), many = cell.pick<int64_t>(120, 2500, 2500);
  std::vector<int64_t> sizes = cell.pick<std::vector<int64_t>>({60, 120}, {300, 600, 1200, 2500}, {150, 300, 600, 1200, 2500});
  double done = 0, all = static_cast<double>(sizes.size()) + 2;
  for (int64_t n : sizes) {
    auto split = split_of(cell, "COMPAS", n);
    Run r = run_once(setup, *split, steps, cell.seed(), n == few);
    double gap = r.test.nll() - r.train.nll();
    cell.point("NLL, test − train", "rows to train on", static_cast<double>(n), gap);
    cell.point("NLL, test", "rows to train on", static_cast<double>(n), r.test.nll());
    if (n == many) cell.metric("NLL, test − train, 2,500 rows", gap), cell.metric("NLL, test, 2,500 rows", r.test.nll());
    if (n == few) {
      auto test = [&](const char* name) { return value_of(r.test.suite, name); };
      cell.metric("NLL, test", r.test.nll());
      cell.metric("NLL, test − train", gap);
      cell.metric("error, test (%)", 100 * test("error"));
      for (const char* name : {"demographic parity", "equalised odds"}) {
        cell.metric(std::string(name) + ", test", test(name));
        cell.metric(std::string(name) + ", test − train", test(name) - value_of(r.train.suite, name));
      }
      cell.metric("calibration in the large, test", test("calibration in the large"));
      cell.metric("NLL, shifted test", r.shift.nll());
      cell.metric("membership advantage", r.advantage);
      cell.metric("error under noise (%)", 100 * r.noise_error);
      cell.metric("error under FGSM (%)", 100 * r.fgsm_error);
      bool looked = r.conflict.looks > 0;  // not when trained privately: those gradients are of no objective alone
      cell.metric("looks at which parity's gradient opposes accuracy's (%)", looked ? 100 * r.conflict.share[parity] : 0);
    }
    cell.progress(++done / all);
  }
  for (const char* name : {"Adult", "German credit"}) {
    auto split = split_of(cell, name, few);
    Run r = run_once(setup, *split, steps, cell.seed(), false);
    cell.metric(std::string("NLL, test − train, ") + name, r.test.nll() - r.train.nll());
    cell.progress(++done / all);
  }
}

}  // namespace

Experiment experiment() {
  Experiment e;
  e.title = "RAI inconsistency";
  e.paper =
      "Dai & Xiao, Embracing Contradiction: Theoretical Inconsistency Will Not Impede the Road of Building Responsible AI Systems, NeurIPS "
      "2025";
  e.claim = "With few rows, contradictory objectives together generalise better than accuracy alone or one of them.";
  e.metrics = {{"NLL, test − train", Better::lower},
               {"NLL, test", Better::lower},
               {"error, test (%)", Better::lower},
               {"demographic parity, test", Better::lower},
               {"demographic parity, test − train", Better::lower},
               {"equalised odds, test", Better::lower},
               {"equalised odds, test − train", Better::lower},
               {"calibration in the large, test", Better::lower},
               {"NLL, shifted test", Better::lower},
               {"membership advantage", Better::lower},
               {"error under noise (%)", Better::lower},
               {"error under FGSM (%)", Better::lower},
               {"looks at which parity's gradient opposes accuracy's (%)", Better::neither},
               {"NLL, test − train, 2,500 rows", Better::lower},
               {"NLL, test, 2,500 rows", Better::lower},
               {"NLL, test − train, Adult", Better::lower},
               {"NLL, test − train, German credit", Better::lower}};
  for (const Setup& s : setups()) e.variants.push_back({s.name, s.about});
  e.baseline = "noise alone";
  e.method = "joint with noise";
  e.run = run;
  return e;
}

}  // namespace plumb::methods::rai_inconsistency
