// Digits by a small perceptron: what a generalised Gaussian start, BackSlash, DeepShape and 8-bit floats do to accuracy and to the length
// of the code.
#include "methods/experiment.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>

#include "engine/autograd/grad_mode.h"
#include "engine/core/generator.h"
#include "engine/data/digits/digits.h"
#include "methods/common/entropy_coding.h"
#include "methods/finetuning/gg_prior/deepshape.h"
#include "methods/finetuning/gg_prior/gg_prior.h"
#include "models/metrics/confusion.h"
#include "models/mlp/mlp.h"
#include "models/optim/adam.h"
#include "models/optim/schedule.h"
#include "models/quantize/minifloat.h"
#include "models/quantize/rf8.h"
#include "models/quantize/store.h"
#include "ops/elementary.h"
#include "ops/index.h"
#include "ops/loss.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::methods::gg_prior {
namespace {

constexpr double kStep = 1.0 / 128;  // of the grid that codes are counted on
constexpr double kAllowed = 0.5;     // points of validation accuracy that a shorter code may cost
constexpr int64_t kBatch = 64;
constexpr double kRate = 2e-3;
constexpr std::array kPruned{0.5, 0.8, 0.95};

// -- data ---------------------------------------------------------------------------------------------

struct Images {
  Tensor x, label;  // [n, 64], [n]
};

struct Problem {
  Images train, validation, test;
};

Images tensors(const data::Dataset& set) {
  data::Batch all = set.batch(set.size()).next();
  return {flatten(all.image, 1), all.label};
}

Problem make_problem() {
  auto parts =
      data::digits().all().split({1000.0 / 1797, 300.0 / 1797, 497.0 / 1797}, {.seed = default_generator().next_u64(), .stratified = true});
  return {tensors(parts[0]), tensors(parts[1]), tensors(parts[2])};
}

double accuracy(const mlp::Mlp& net, const Images& images) {
  NoGrad off;
  return 100 * metrics::accuracy(argmax(net(images.x), 1), images.label);
}

// -- training -----------------------------------------------------------------------------------------

enum class Shrink { none, decay, l1, backslash };

struct Recipe {
  double shape = 0;  // of the start; 0: He's normal start, as the network has it
  nn::init::Fan fan = nn::init::Fan::in;
  Shrink shrink = Shrink::none;
  double strength = 0;  // decay: share of a weight a step; l1: length of a step; BackSlash: λ / n
  double offset = 1;    // BackSlash's c
};

struct Work {
  int64_t penalised, plain, tuning;  // epochs
  int64_t width;
  std::vector<double> steps, decays;
};

Work work_of(const Cell& cell) {
  if (cell.budget() == Budget::smoke) return {3, 2, 1, 32, {2e-4}, {3e-3}};
  return {cell.pick<int64_t>(0, 20, 60),   cell.pick<int64_t>(0, 10, 30),        2,
          cell.pick<int64_t>(0, 128, 512), {1e-5, 3e-5, 1e-4, 2e-4, 4e-4, 8e-4}, {3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 6e-3}};
}

void shrink(const mlp::Mlp& net, const Recipe& r) {
  NoGrad off;
  std::vector<Tensor> parameters = net.parameters();
  if (r.shrink == Shrink::backslash) {
    backslash(parameters, {.lambda = r.strength * static_cast<double>(net.num_parameters()), .offset = r.offset});
    return;
  }
  for (const Tensor& p : parameters) {
    Tensor w = p.detach();
    if (r.shrink == Shrink::decay) copy_data(w * (1 - r.strength), w);
    if (r.shrink == Shrink::l1) copy_data(sign(w) * clamp_min(abs(w) - r.strength, 0), w);
  }
}

// One pass in batches by Adam.
template <typename After>
void epoch(mlp::Mlp& net, optim::Adam& adam, const Images& train, Generator& random, After&& after_step) {
  std::vector<int64_t> order = data::random_order(train.label.size(0), random);
  for (size_t from = 0; from < order.size(); from += kBatch) {
    size_t to = std::min(order.size(), from + kBatch);
    Tensor rows = from_vector(std::vector<int64_t>(order.begin() + static_cast<int64_t>(from), order.begin() + static_cast<int64_t>(to)));
    adam.zero_grad();
    cross_entropy(net(index_select(train.x, 0, rows)), index_select(train.label, 0, rows)).backward();
    adam.step();
    after_step();
  }
}

struct Trained {
  mlp::Mlp net;
  double epochs_to_95 = 0;  // of training accuracy; one more than all where it is not reached
};

// The penalty holds in the first two thirds of the epochs.
Trained train(const Problem& problem, const Recipe& r, const Work& work, uint64_t seed) {
  manual_seed(seed);
  mlp::Mlp net(mlp::MlpConfig{.inputs = 64, .hidden = {work.width, work.width / 2}, .outputs = 10});
  if (r.shape > 0) initialize(net, {.shape = r.shape, .variance = kReluVariance, .fan = r.fan});
  Generator random(seed + 1);
  optim::Adam adam(net.parameters(), {.lr = kRate});
  int64_t epochs = work.penalised + work.plain;
  optim::Schedule schedule = optim::cosine(epochs, 1, 0.05);
  double reached = static_cast<double>(epochs + 1);
  for (int64_t e = 0; e < epochs; ++e) {
    adam.set_lr_scale(schedule(e));
    epoch(net, adam, problem.train, random, [&] {
      if (r.strength > 0 && e < work.penalised) shrink(net, r);
    });
    if (reached > static_cast<double>(epochs) && accuracy(net, problem.train) >= 95) reached = static_cast<double>(e + 1);
  }
  return {net, reached};
}

// -- choosing a strength --------------------------------------------------------------------------------

Recipe recipe_of(const std::string& variant) {
  Recipe r;
  if (variant.find("ν = 2") != std::string::npos) r.shape = 2;
  if (variant.find("ν = 1") != std::string::npos || variant == "GG-Prior") r.shape = 1;
  if (variant.find("ν = 0.5") != std::string::npos) r.shape = 0.5;
  if (variant.find("fan-out") != std::string::npos) r.fan = nn::init::Fan::out;
  if (variant == "weight decay") r.shrink = Shrink::decay;
  if (variant == "l1") r.shrink = Shrink::l1;
  if (variant.starts_with("BackSlash") || variant == "GG-Prior") r.shrink = Shrink::backslash;
  if (variant == "BackSlash, c = 0.001") r.offset = 1e-3;
  return r;
}

double code_bits(const mlp::Mlp& net, Coder coder = Coder::exp_golomb) { return bits_per_parameter(net.parameters(), kStep, coder); }

// The shortest code among the strengths that cost at most kAllowed points of validation accuracy against the plain network; if all cost
// more, the most accurate one.
Trained best(Cell& cell, const Problem& problem, const Work& work) {
  Recipe recipe = recipe_of(cell.variant());
  if (recipe.shrink == Shrink::none) return train(problem, recipe, work, cell.seed());
  double plain = *cell.shared("validation accuracy of the plain network",
                              [&] { return accuracy(train(problem, {}, work, cell.seed()).net, problem.validation); });
  const std::vector<double>& strengths = recipe.shrink == Shrink::decay ? work.decays : work.steps;
  std::optional<Trained> chosen;
  double fewest = INFINITY, most = -1, strength = 0;
  for (size_t i = 0; i < strengths.size(); ++i) {
    cell.progress(0.8 * static_cast<double>(i) / static_cast<double>(strengths.size()));
    recipe.strength = strengths[i];
    Trained t = train(problem, recipe, work, cell.seed());
    double bits = code_bits(t.net), valid = accuracy(t.net, problem.validation);
    cell.point("Test accuracy by strength (%)", "log10 of the strength", std::log10(recipe.strength), accuracy(t.net, problem.test));
    cell.point("EG0 bits / weight by strength", "log10 of the strength", std::log10(recipe.strength), bits);
    bool fine = valid >= plain - kAllowed;
    if (fine ? bits < fewest : std::isinf(fewest) && valid > most) {
      chosen = t, strength = recipe.strength, most = std::max(most, valid);
      if (fine) fewest = bits;
    }
  }
  cell.point("Strength that was chosen (log10)", "", 0, std::log10(strength));
  return *chosen;
}

// -- measuring --------------------------------------------------------------------------------------------

// A copy whose weights were changed by f(parameters).
template <typename F>
mlp::Mlp changed(const mlp::Mlp& net, F&& f) {
  NoGrad off;
  mlp::Mlp copy = net;
  f(copy.parameters());
  return copy;
}

// A copy whose matrices were changed by f, one by one; biases stay.
template <typename F>
mlp::Mlp each_matrix(const mlp::Mlp& net, F&& f) {
  return changed(net, [&](const std::vector<Tensor>& parameters) {
    for (const Tensor& p : parameters) {
      if (p.rank() < 2) continue;
      Tensor w = p.detach();
      copy_data(f(w), w);
    }
  });
}

void measure_formats(Cell& cell, const mlp::Mlp& net, const Images& test) {
  auto measured = [&](const char* format, auto&& f) {
    cell.metric(fmt::format("accuracy in {} (%)", format), accuracy(each_matrix(net, f), test));
  };
  measured("RF8", [](const Tensor& w) { return quantize::rf8(w); });
  measured("E4M3", [](const Tensor& w) { return quantize::kFloatE4M3.fake_quantize(w); });
  measured("E4M3, bias 15", [](const Tensor& w) { return quantize::kWeightE4M3.fake_quantize(w); });
  measured("E5M2", [](const Tensor& w) { return quantize::kFloatE5M2.fake_quantize(w); });
  measured("int8", [](const Tensor& w) { return quantize::decode(quantize::encode(w)); });
}

DeepshapeOptions on_the_miniature(double shape_factor = 0.8, double scale_factor = 0.6) {
  return {.bits = 9, .tail_count = 2, .shape_factor = shape_factor, .scale_factor = scale_factor};
}

mlp::Mlp tuned_after(mlp::Mlp net, const Problem& problem, const Work& work, uint64_t seed) {
  Generator random(seed + 2);
  optim::Adam adam(net.parameters(), {.lr = kRate / 10});
  for (int64_t e = 0; e < work.tuning; ++e) epoch(net, adam, problem.train, random, [] {});
  return net;
}

void measure_deepshape(Cell& cell, const mlp::Mlp& net, const Problem& problem, const Work& work) {
  mlp::Mlp shaped = changed(net, [](const std::vector<Tensor>& p) { deepshape(p, on_the_miniature()); });
  mlp::Mlp tuned = tuned_after(shaped, problem, work, cell.seed());
  cell.metric("EG0 bits / weight, DeepShape", code_bits(shaped));
  cell.metric("accuracy, DeepShape (%)", accuracy(shaped, problem.test));
  cell.metric("EG0 bits / weight, DeepShape, tuned", code_bits(tuned));
  cell.metric("accuracy, DeepShape, tuned (%)", accuracy(tuned, problem.test));
}

// DeepShape's two factors, and what simply making all weights smaller does: on the page of the plain network.
void deepshape_grid(Cell& cell, const mlp::Mlp& net, const Problem& problem, const Work& work) {
  auto draw = [&](double scale, const mlp::Mlp& shaped, const std::string& line) {
    mlp::Mlp tuned = tuned_after(shaped, problem, work, cell.seed());
    auto point = [&](const char* what, double y) {
      cell.point(fmt::format("The plain network under DeepShape: {}", what), "scale factor", scale, y, line);
    };
    point("EG0 bits / weight", code_bits(shaped));
    point("test accuracy (%)", accuracy(shaped, problem.test));
    point("EG0 bits / weight, tuned", code_bits(tuned));
    point("test accuracy, tuned (%)", accuracy(tuned, problem.test));
  };
  for (double scale : {1.0, 0.8, 0.6}) {
    for (double shape : {1.0, 0.8, 0.6})
      draw(scale, changed(net, [&](const std::vector<Tensor>& p) { deepshape(p, on_the_miniature(shape, scale)); }),
           fmt::format("shape × {}", shape));
    draw(scale,
         changed(net,
                 [&](const std::vector<Tensor>& p) {
                   for (const Tensor& w : p) {
                     Tensor elements = w.detach();
                     copy_data(elements * scale, elements);
                   }
                 }),
         "all weights × scale, no DeepShape");
  }
}

void run(Cell& cell) {
  Work work = work_of(cell);
  auto problem = cell.shared("digits", [&] { return make_problem(); });
  Trained t = best(cell, *problem, work);
  const Images& test = problem->test;
  Counts counts = count_integers(grid_integers(t.net.parameters(), kStep));
  cell.metric("EG0 bits / weight", mean_bits(counts, Coder::exp_golomb));
  cell.metric("entropy (bits / weight)", mean_bits(counts, Coder::entropy));
  cell.metric("Huffman bits / weight", mean_bits(counts, Coder::huffman));
  cell.metric("fixed bits / weight", mean_bits(counts, Coder::fixed));
  cell.metric("zeros (%)", 100 * share_of_zeros(counts));
  cell.metric("fitted shape", fit_moments(weight_moments(t.net.parameters())).shape);
  cell.metric("test accuracy (%)", accuracy(t.net, test));
  mlp::Mlp coarse = changed(t.net, [](const std::vector<Tensor>& parameters) {
    for (const Tensor& p : parameters) {
      Tensor w = p.detach();
      copy_data(round(w / kStep) * kStep, w);
    }
  });
  cell.metric("accuracy on the grid (%)", accuracy(coarse, test));
  cell.metric("epochs to 95 % in training", t.epochs_to_95);
  for (double share : kPruned) {
    double a = accuracy(changed(t.net, [&](const std::vector<Tensor>& p) { prune_smallest(p, share); }), test);
    cell.metric(fmt::format("accuracy, {:.0f} % pruned (%)", 100 * share), a);
    cell.point("Test accuracy after pruning (%)", "pruned (%)", 100 * share, a);
  }
  measure_formats(cell, t.net, test);
  measure_deepshape(cell, t.net, *problem, work);
  if (cell.is("plain")) deepshape_grid(cell, t.net, *problem, work);
}

}  // namespace

Experiment experiment() {
  Experiment e;
  e.title = "GG-Prior";
  e.paper =
      "Wu, Xiong, Wen, Han: It Takes a Good Model to Train a Good Model: Generalized Gaussian Priors for Optimized LLMs, arXiv 2506.00486; "
      "Wu, Wen, Han: BackSlash, arXiv 2504.16968";
  e.claim =
      "a penalty that follows the weights' generalised Gaussian shape halves the length of their code within half a point of accuracy";
  e.metrics = {{"EG0 bits / weight", Better::lower},
               {"test accuracy (%)", Better::higher},
               {"accuracy on the grid (%)", Better::higher},
               {"entropy (bits / weight)", Better::lower},
               {"Huffman bits / weight", Better::lower},
               {"fixed bits / weight", Better::lower},
               {"zeros (%)", Better::higher},
               {"fitted shape", Better::neither},
               {"epochs to 95 % in training", Better::lower}};
  for (double share : kPruned) e.metrics.push_back({fmt::format("accuracy, {:.0f} % pruned (%)", 100 * share), Better::higher});
  for (const char* format : {"RF8", "E4M3", "E4M3, bias 15", "E5M2", "int8"})
    e.metrics.push_back({fmt::format("accuracy in {} (%)", format), Better::higher});
  e.metrics.push_back({"EG0 bits / weight, DeepShape", Better::lower});
  e.metrics.push_back({"accuracy, DeepShape (%)", Better::higher});
  e.metrics.push_back({"EG0 bits / weight, DeepShape, tuned", Better::lower});
  e.metrics.push_back({"accuracy, DeepShape, tuned (%)", Better::higher});
  e.variants = {{"plain", "He's normal start, no penalty"},
                {"GG start, ν = 2", "of the same variance: a normal start again, other draws"},
                {"GG start, ν = 1", "of the same variance"},
                {"GG start, ν = 0.5", "of the same variance"},
                {"GG start, ν = 1, fan-out", "variance 2 / outputs, as the official code has it"},
                {"weight decay", "each step takes a share of every weight"},
                {"l1", "each step takes a length of every weight, and stops at 0"},
                {"BackSlash", "c = 1, as published"},
                {"BackSlash, c = 0.001", "nearly the slope of |w|^ν"},
                {"GG-Prior", "BackSlash from a GG start, ν = 1"}};
  e.baseline = "plain";
  e.method = "GG-Prior";
  e.run = run;
  return e;
}

}  // namespace plumb::methods::gg_prior
