// What ALDR-KL's λ of an example knows of how noisy its label is: three classes in the plane, the noisier the further to the right.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <memory>
#include <numbers>

#include "engine/autograd/grad_mode.h"
#include "methods/common/label_noise.h"
#include "methods/experiment.h"
#include "methods/robust/ldr/ldr.h"
#include "models/metrics/confusion.h"
#include "models/metrics/correlation.h"
#include "models/mlp/mlp.h"
#include "models/optim/sgd.h"
#include "ops/index.h"
#include "ops/loss.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::methods::ldr_adaptivity {
namespace {

constexpr int64_t kClasses = 3, kBatch = 64;
constexpr double kRate = 0.1, kMostNoise = 0.6;

struct Points {
  Tensor x;  // [n, 2]
  NoisyLabels labels;
  std::vector<double> noise;  // the chance that a label is redrawn
};

// Three normal clouds about a centre. From left to right the chance that a label is redrawn from all classes rises from 0 to kMostNoise.
Points make_points(int64_t n, bool noisy, Generator& g) {
  std::vector<float> x;
  std::vector<int64_t> clean, given;
  Points p;
  for (int64_t i = 0; i < n; ++i) {
    auto c = static_cast<int64_t>(g.next_below(kClasses));
    double angle = 2 * std::numbers::pi * static_cast<double>(c) / kClasses;
    auto offset = to_vector(randn({2}, {.generator = &g}));
    double right = 1.5 * std::cos(angle) + 0.6 * offset[0], up = 1.5 * std::sin(angle) + 0.6 * offset[1];
    double noise = noisy ? kMostNoise * std::clamp((right + 2) / 4, 0.0, 1.0) : 0;
    x.insert(x.end(), {static_cast<float>(right), static_cast<float>(up)});
    clean.push_back(c);
    given.push_back(g.next_double() < noise ? static_cast<int64_t>(g.next_below(kClasses)) : c);
    p.noise.push_back(noise);
  }
  p.x = from_vector(x, {n, 2});
  p.labels = {from_vector(given), from_vector(clean)};
  return p;
}

struct Problem {
  Points train, test;
  mlp::Mlp initial;
};

Problem make_problem(const Cell& cell) {
  Generator& g = default_generator();
  int64_t n = cell.pick<int64_t>(200, 900, 3000);
  return {make_points(n, true, g), make_points(1000, false, g),
          mlp::Mlp({.inputs = 2, .hidden = {64}, .outputs = kClasses, .activation = "tanh"})};
}

// λ₀ of the adaptive variants, 0 for the others.
double lambda0_of(const std::string& variant) {
  return variant == "ALDR-KL, λ₀ = 0.1" ? 0.1 : variant == "ALDR-KL, λ₀ = 1" ? 1 : variant == "ALDR-KL, λ₀ = 10" ? 10 : 0;
}

double mean_where(const std::vector<double>& values, const std::vector<int>& mask, int wanted) {
  double total = 0, count = 0;
  for (size_t i = 0; i < values.size(); ++i)
    if (mask[i] == wanted) total += values[i], ++count;
  return total / count;
}

// λ / λ₀ against the noise in ten parts of its range.
void draw_by_noise(Cell& cell, const std::vector<double>& share, const std::vector<double>& noise) {
  constexpr size_t kParts = 10;
  std::array<double, kParts> total{}, count{};
  for (size_t i = 0; i < share.size(); ++i) {
    size_t part = std::min(kParts - 1, static_cast<size_t>(noise[i] / kMostNoise * kParts));
    total[part] += share[i];
    ++count[part];
  }
  for (size_t part = 0; part < kParts; ++part)
    if (count[part] > 0)
      cell.point("mean λ / λ₀ of an example", "chance that its label was redrawn", kMostNoise * (static_cast<double>(part) + 0.5) / kParts,
                 total[part] / count[part]);
}

void run(Cell& cell) {
  auto problem = cell.shared("points", [&] { return make_problem(cell); });
  const Points& train = problem->train;
  double lambda0 = lambda0_of(cell.variant());
  std::shared_ptr<ldr::AldrKlLoss> adaptive;
  if (lambda0 > 0) adaptive = std::make_shared<ldr::AldrKlLoss>(train.x.size(0), ldr::AldrOptions{.lambda0 = lambda0});
  auto loss = [&](const Tensor& f, const Tensor& y, const Tensor& index) {
    if (adaptive) return (*adaptive)(f, y, index);
    return cell.is("LDR-KL, λ = 1") ? ldr::ldr_kl_loss(f, y, {.lambda = 1, .normalize = ldr::ScoreNorm::l1}) : cross_entropy(f, y);
  };
  mlp::Mlp net = problem->initial;
  optim::SGD sgd(net.parameters(), {.lr = kRate, .momentum = 0.9, .weight_decay = 5e-4});
  Generator g(cell.seed());
  int64_t n = train.x.size(0), epochs = cell.pick<int64_t>(5, 100, 300);
  for (int64_t epoch = 1; epoch <= epochs; ++epoch) {
    Tensor order = randperm(n, {.dtype = i64, .generator = &g});
    for (int64_t from = 0; from < n; from += kBatch) {
      Tensor at = narrow(order, 0, from, std::min(kBatch, n - from));
      sgd.zero_grad();
      loss(net(index_select(train.x, 0, at)), index_select(train.labels.given, 0, at), at).backward();
      sgd.step();
    }
    cell.progress(static_cast<double>(epoch) / static_cast<double>(epochs));
  }
  NoGrad no_grad;
  // Variants without a λ of their own are given what the rule makes of their scores at λ = 1.
  Tensor lambdas = adaptive ? adaptive->lambdas() * (1 / lambda0)
                            : ldr::adapted_lambdas(ldr::normalize_scores(net(train.x), ldr::ScoreNorm::l1), ones({n}, f64), {.lambda0 = 1});
  auto share = to_vector(lambdas);
  auto wrong = to_vector<int>(train.labels.wrong());
  cell.metric("test accuracy (%)", 100 * metrics::accuracy(argmax(net(problem->test.x), 1), problem->test.labels.clean));
  cell.metric("rank correlation of λ and noise", spearman_correlation(share, train.noise));
  cell.metric("mean λ / λ₀, rightly labelled", mean_where(share, wrong, 0));
  cell.metric("mean λ / λ₀, wrongly labelled", mean_where(share, wrong, 1));
  draw_by_noise(cell, share, train.noise);
}

}  // namespace

Experiment experiment() {
  return {
      .title = "ALDR-KL, adaptivity",
      .paper =
          "Zhu, Ying, Yang: Label Distributionally Robust Losses for Multi-class Classification: Consistency, Robustness and Adaptivity, "
          "ICML 2023",
      .claim = "the λ of an example is the larger the noisier its label is",
      .metrics = {{"rank correlation of λ and noise"},
                  {"test accuracy (%)"},
                  {"mean λ / λ₀, rightly labelled", Better::neither},
                  {"mean λ / λ₀, wrongly labelled", Better::neither}},
      .variants = {{"cross entropy", "λ by the same rule from its scores at λ = 1"},
                   {"LDR-KL, λ = 1", "λ by the same rule from its scores at λ = 1"},
                   {"ALDR-KL, λ₀ = 0.1", "α = 2, c = 0.1"},
                   {"ALDR-KL, λ₀ = 1", "α = 2, c = 0.1"},
                   {"ALDR-KL, λ₀ = 10", "α = 2, c = 0.1"}},
      .baseline = "cross entropy",
      .method = "ALDR-KL, λ₀ = 1",
      .run = run};
}

}  // namespace plumb::methods::ldr_adaptivity
