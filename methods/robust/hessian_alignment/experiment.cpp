// Coloured digits with the classes balanced over two environments, and not; and the exact population of coloured bits.
#include <algorithm>
#include <cmath>

#include "engine/autograd/grad_mode.h"
#include "engine/core/generator.h"
#include "engine/data/colored_digits.h"
#include "engine/data/digits/digits.h"
#include "engine/data/images.h"
#include "methods/common/domain_penalties.h"
#include "methods/robust/hessian_alignment/hessian_alignment.h"
#include "models/metrics/confusion.h"
#include "models/nn/containers.h"
#include "models/nn/init.h"
#include "models/nn/linear.h"
#include "models/optim/adam.h"
#include "models/train/image_grid.h"
#include "ops/activation.h"
#include "ops/elementary.h"
#include "ops/join.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::methods::hessian_alignment {
namespace {

constexpr int64_t kProbes = 20;

// Both classes of one environment: inputs [n, d], labels [n].
struct Environment {
  Tensor inputs, labels;
};

struct Problem {
  std::vector<Environment> train;
  Environment test, grey;  // colours turned around; no colours (undefined: not asked for)
};

// How a problem is trained on, the same for all variants.
struct Setting {
  std::string name;
  std::vector<int64_t> hidden;
  bool tanh = false;
  int64_t steps = 300;
  double lr = 1e-3, l2 = 1e-3;
  int64_t anneal_start = 100;  // the step from which penalties have their full weight
  double weight = 1e5;  // of the penalty, λ: of 1e2 … 1e5 the best for every penalty on another seed, with little between the last two
  DType dtype = f32;
};

// Hidden layers and a head with one logit; Xavier-uniform weights, biases of 0, as in the published script.
struct Network : nn::Module {
  Network(int64_t inputs, const Setting& s)
      : hidden(this, "hidden"), head(this, "head", s.hidden.back(), 1, {.dtype = s.dtype}), use_tanh(s.tanh) {
    for (int64_t width : s.hidden) {
      hidden.emplace_back(inputs, width, nn::LinearOptions{.dtype = s.dtype});
      inputs = width;
    }
    for (nn::Linear* layer : layers()) {
      nn::init::xavier_uniform(layer->weight);
      nn::init::zeros(layer->bias);
    }
  }
  std::vector<nn::Linear*> layers() {
    std::vector<nn::Linear*> all;
    for (nn::Linear& layer : hidden) all.push_back(&layer);
    all.push_back(&head);
    return all;
  }
  Tensor features(Tensor x) const {
    for (const nn::Linear& layer : hidden) x = use_tanh ? plumb::tanh(layer(x)) : relu(layer(x));
    return x;
  }

  nn::ModuleList<nn::Linear> hidden;
  nn::Linear head;
  bool use_tanh;
};

// -- data ---------------------------------------------------------------------------------------------------------

// The exact population of Colored-MNIST with the digit as one bit, as 80 examples that stand for equal parts of it: inputs (digit, colour)
// in ±1.
Environment population(int64_t color_flips_of_ten) {
  std::vector<double> inputs;
  std::vector<int64_t> labels;
  for (int64_t digit : {0, 1})
    for (int64_t label_flip : {0, 1})
      for (int64_t color_flip : {0, 1}) {
        int64_t label = digit ^ label_flip, color = label ^ color_flip;
        int64_t count = (label_flip ? 1 : 3) * (color_flip ? color_flips_of_ten : 10 - color_flips_of_ten);
        for (int64_t i = 0; i < count; ++i) {
          inputs.push_back(digit ? 1 : -1);
          inputs.push_back(color ? 1 : -1);
          labels.push_back(label);
        }
      }
  auto n = static_cast<int64_t>(labels.size());
  return {from_vector(inputs, {n, 2}), from_vector(labels)};
}

// MNIST where it is, in half the resolution; else the digits inside the library. Tests always take the latter.
struct Digits {
  data::Dataset set;
  int64_t stride = 1, per_environment = 0, test = 0;
};

Digits digits_for(const Cell& cell) {
  if (cell.budget() != Budget::smoke) {
    try {
      return {data::mnist().train(), 2, cell.pick<int64_t>(0, 5000, 25'000), cell.pick<int64_t>(0, 5000, 10'000)};
    } catch (const IoError&) {
      // Not there: go on with the digits that always are.
    }
  }
  return {data::digits().all(), 1, cell.pick<int64_t>(200, 600, 600), cell.pick<int64_t>(200, 500, 500)};
}

Environment environment_of(const Digits& digits, std::vector<int64_t> places, data::ColoredDigitsOptions options) {
  options.stride = digits.stride;
  auto n = static_cast<int64_t>(places.size());
  data::Batch all = data::colored_digits(digits.set.subset(std::move(places)), options).batch(n).next();
  return {flatten(all.image, 1), all.label};
}

Problem colored_problem(const Cell& cell, bool imbalanced) {
  Digits digits = digits_for(cell);
  Generator generator(cell.seed());
  std::vector<int64_t> order = data::random_order(digits.set.size(), generator);
  auto train_end = order.begin() + 2 * digits.per_environment, test_end = train_end + digits.test;
  std::vector<int64_t> train(order.begin(), train_end), test(train_end, test_end);
  std::array<std::vector<int64_t>, 2> places;
  if (imbalanced) {
    places = data::imbalanced_environments(digits.set.subset(train).labels(), {.seed = cell.seed()});
    for (auto& environment : places)
      for (int64_t& place : environment) place = train[static_cast<size_t>(place)];
  } else {
    places = {std::vector(train.begin(), train.begin() + digits.per_environment),
              std::vector(train.begin() + digits.per_environment, train.end())};
  }
  data::ColoredDigitsOptions options{.seed = cell.seed()};
  auto with = [&](double color_flip, bool grey = false) {
    data::ColoredDigitsOptions changed = options;
    changed.color_flip = color_flip;
    changed.grey = grey;
    return changed;
  };
  return {{environment_of(digits, places[0], with(0.2)), environment_of(digits, places[1], with(0.1))},
          environment_of(digits, test, with(0.9)),
          environment_of(digits, test, with(0.5, /*grey=*/true))};
}

// The first digits of an environment, the two channels as red and green.
Tensor picture_of(const Environment& e) {
  int64_t n = std::min<int64_t>(e.inputs.size(0), 40);
  auto side = std::llround(std::sqrt(static_cast<double>(e.inputs.size(1)) / 2));
  Tensor images = reshape(narrow(e.inputs, 0, 0, n), {n, 2, side, side});
  return train::image_grid(cat({images, zeros({n, 1, side, side})}, 1), {.columns = 10});
}

// -- training -----------------------------------------------------------------------------------------------------

// What the environments' heads and features give a variant's penalty; undefined for ERM.
using Heads = std::vector<HeadStatistics>;
using PenaltyFunction = Tensor (*)(const Heads& heads, const std::vector<Tensor>& features, const std::vector<Environment>& environments);

// The scripts for Colored-MNIST: sums over environments, gradients through the means.
AlignmentOptions aligned(double alpha, double beta) { return {.alpha = alpha, .beta = beta, .stop_gradient = false, .sum = true}; }

struct Objective {
  Variant variant;
  PenaltyFunction penalty;
};

const std::vector<Objective>& objectives() {
  using Features = std::vector<Tensor>;
  using Environments = std::vector<Environment>;
  static const std::vector<Objective> all{
      {{"ERM", "the mean of the losses alone"}, nullptr},
      {{"IRM", "the derivative in a scale of the logits, squared"},
       [](const Heads& h, const Features&, const Environments& e) {
         Tensor total = irm_penalty(h[0].logits(), e[0].labels);
         for (size_t i = 1; i < h.size(); ++i) total = total + irm_penalty(h[i].logits(), e[i].labels);
         return total / static_cast<double>(h.size());
       }},
      {{"V-REx", "the difference of the losses, squared"},
       [](const Heads& h, const Features&, const Environments&) {
         return vrex_penalty({h[0].loss(), h[1].loss()}) * 4;
       }},
      {{"Fishr", "variances of the head's gradient"},
       [](const Heads& h, const Features&, const Environments&) {
         return fishr_penalty({h[0].gradient_variance(), h[1].gradient_variance()});
       }},
      {{"CORAL", "means and covariances of the features"},
       [](const Heads&, const Features& f, const Environments&) { return coral_penalty(f); }},
      {{"gradient only", "the head's gradients (α = 0)"},
       [](const Heads& h, const Features&, const Environments&) { return hgp_penalty(h, aligned(0, 1)); }},
      {{"Hessian only", "Hessian–gradient products (β = 0)"},
       [](const Heads& h, const Features&, const Environments&) { return hgp_penalty(h, aligned(1, 0)); }},
      {{"Hutchinson", "gradients and Hessian diagonals, estimated with 20 probes"},
       [](const Heads& h, const Features&, const Environments&) { return hutchinson_penalty(h, kProbes, aligned(1, 1)); }},
      {{"exact diagonal", "gradients and exact Hessian diagonals"},
       [](const Heads& h, const Features&, const Environments&) { return diagonal_penalty(h, aligned(1, 1)); }},
      {{"HGP", "gradients and Hessian–gradient products"},
       [](const Heads& h, const Features&, const Environments&) { return hgp_penalty(h, aligned(1, 1)); }}};
  return all;
}

const Objective& objective_of(const Cell& cell) {
  return *std::ranges::find_if(objectives(), [&](const Objective& o) { return cell.is(o.variant.name); });
}

double accuracy_on(const Network& network, const Environment& e) {
  NoGrad off;
  Tensor positive = squeeze(network.head(network.features(e.inputs)), 1) > 0;
  return 100 * metrics::accuracy(to(positive, i64), e.labels);
}

double train_accuracy(const Network& network, const Problem& problem) {
  double total = 0;
  for (const Environment& e : problem.train) total += accuracy_on(network, e);
  return total / static_cast<double>(problem.train.size());
}

Heads heads_of(const Network& network, const std::vector<Environment>& environments, std::vector<Tensor>& features) {
  Heads heads;
  for (const Environment& e : environments) {
    features.push_back(network.features(e.inputs));
    heads.emplace_back(features.back(), e.labels, network.head.weight, network.head.bias);
  }
  return heads;
}

// (mean loss + l2 Σ w² + λ P) / max(λ, 1)
Tensor objective(const Network& network, const Objective& o, const Problem& problem, const Setting& s, int64_t step) {
  std::vector<Tensor> features;
  Heads heads = heads_of(network, problem.train, features);
  Tensor loss = heads[0].loss();
  for (size_t e = 1; e < heads.size(); ++e) loss = loss + heads[e].loss();
  loss = loss / static_cast<double>(heads.size());
  for (const Tensor& p : network.parameters()) loss = loss + sum(square(p)) * s.l2;
  if (!o.penalty) return loss;
  PenaltyAnneal anneal{.start = s.anneal_start, .weight = s.weight};
  return anneal(loss, o.penalty(heads, features, problem.train), step);
}

Network train(Cell& cell, const Problem& problem, const Setting& s, double done_before, double share) {
  manual_seed(cell.seed());  // all variants start alike
  Network network(problem.train[0].inputs.size(1), s);
  optim::Adam adam(network.parameters(), {.lr = s.lr});
  int64_t every = std::max<int64_t>(s.steps / 30, 1);
  for (int64_t step = 0; step < s.steps; ++step) {
    adam.zero_grad();
    objective(network, objective_of(cell), problem, s, step).backward();
    adam.step();
    if ((step + 1) % every != 0) continue;
    auto x = static_cast<double>(step + 1);
    cell.point(s.name + ": accuracy (%)", "step", x, train_accuracy(network, problem), "train");
    cell.point(s.name + ": accuracy (%)", "step", x, accuracy_on(network, problem.test), "test");
    cell.progress(done_before + share * x / static_cast<double>(s.steps));
  }
  return network;
}

void measure(Cell& cell, const Network& network, const Problem& problem, const std::string& name) {
  cell.metric(name + ": test accuracy (%)", accuracy_on(network, problem.test));
  cell.metric(name + ": train accuracy (%)", train_accuracy(network, problem));
  if (problem.grey.inputs.defined()) cell.metric(name + ": grey accuracy (%)", accuracy_on(network, problem.grey));
  std::vector<Tensor> features;
  cell.metric(name + ": Hessian distance", hessian_distance(heads_of(network, problem.train, features)));
}

constexpr const char* kColored = "coloured";
constexpr const char* kImbalanced = "imbalanced";
constexpr const char* kPopulation = "population";

void run(Cell& cell) {
  Setting images{.name = kColored,
                 .hidden = cell.pick<std::vector<int64_t>>({16, 16}, {64, 64}, {390, 390}),
                 .steps = cell.pick<int64_t>(40, 300, 501),
                 .lr = cell.pick(1e-2, 1e-3, 4.898e-4),
                 .l2 = cell.pick(1e-3, 1e-3, 0.00110794568),
                 .anneal_start = cell.pick<int64_t>(15, 100, 190),
                 .weight = cell.pick(1e4, 1e5, 91257.19)};
  Setting bits{.name = kPopulation,
               .hidden = {6},
               .tanh = true,
               .steps = cell.pick<int64_t>(60, 900, 900),
               .lr = 0.02,
               .anneal_start = cell.pick<int64_t>(20, 200, 200),
               .dtype = f64};

  auto colored = cell.shared(kColored, [&] { return colored_problem(cell, false); });
  if (cell.is("ERM"))
    for (size_t e = 0; e < 2; ++e) cell.picture("training environment " + std::to_string(e + 1), picture_of(colored->train[e]));
  measure(cell, train(cell, *colored, images, 0, 0.45), *colored, kColored);

  auto imbalanced = cell.shared(kImbalanced, [&] { return colored_problem(cell, true); });
  images.name = kImbalanced;
  measure(cell, train(cell, *imbalanced, images, 0.45, 0.45), *imbalanced, kImbalanced);

  Problem exact{{population(2), population(1)}, population(9), {}};
  measure(cell, train(cell, exact, bits, 0.9, 0.1), exact, kPopulation);
  cell.progress(1);
}

}  // namespace

Experiment experiment() {
  Experiment e;
  e.title = "HGP";
  e.paper = "Hemati, Zhang, Estiri, Chen: Understanding Hessian Alignment for Domain Generalization, ICCV 2023";
  e.claim = "aligning the head's gradients and Hessians across environments keeps a network from relying on colour";
  for (std::string name : {kColored, kImbalanced, kPopulation}) {
    e.metrics.push_back({name + ": test accuracy (%)"});
    e.metrics.push_back({name + ": train accuracy (%)", Better::neither});
    if (name != kPopulation) e.metrics.push_back({name + ": grey accuracy (%)"});
    e.metrics.push_back({name + ": Hessian distance", Better::lower});
  }
  for (const Objective& o : objectives()) e.variants.push_back(o.variant);
  e.baseline = "ERM";
  e.method = "HGP";
  e.run = run;
  return e;
}

}  // namespace plumb::methods::hessian_alignment
