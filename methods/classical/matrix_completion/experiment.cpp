// Completing generated matrices and real digits: are rough turns as good as exact ones, and what do they cost?
#include "methods/experiment.h"

#include <cmath>
#include <limits>
#include <tuple>

#include "engine/data/digits/digits.h"
#include "methods/classical/matrix_completion/baselines.h"
#include "methods/classical/matrix_completion/matrix_completion.h"
#include "ops/create.h"
#include "ops/elementary.h"
#include "ops/linalg.h"
#include "ops/matmul.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/shape.h"

namespace plumb::methods::matrix_completion {
namespace {

const std::string kError = "log10 relative error", kReach = "multiply-adds to an error of 1e-4, large (M)",
                  kLargeError = "log10 relative error, large", kLargeWork = "multiply-adds, large (M)",
                  kNoisy = "log10 relative error, noisy entries", kDigits = "held-out RMSE, digits";
const std::string kExact = "exact turns", kWarm = "warm CGLS, 2 steps";

struct TurnVariant {
  std::string name, about;
  InnerSolver inner;
  bool split = false;
};

const std::vector<TurnVariant>& turn_variants() {
  static const std::vector<TurnVariant> variants{
      {kExact, "alternating least squares; normal equations by Cholesky", {.kind = Solver::exact}},
      {"exact turns, split samples", "every turn sees its own 1/17 of the entries, as the theory asks for", {.kind = Solver::exact}, true},
      {"sketch and solve", "CountSketch of 4 k rows, solved, no more", {.kind = Solver::sketch_and_solve}},
      {"sketch, 1 CGLS step",
       "and one step of conjugate gradients preconditioned by the sketch",
       {.kind = Solver::sketched_cgls, .steps = 1}},
      {"sketch, 2 CGLS steps", "and two", {.kind = Solver::sketched_cgls, .steps = 2}},
      {"sketch, 4 Richardson steps",
       "the paper's solver: preconditioned Richardson, η from the sketch's expected distortion",
       {.kind = Solver::sketched_richardson, .steps = 4}},
      {"cold CGLS, 2 steps", "no sketch, every turn from 0", {.steps = 2, .warm_start = false}},
      {"cold CGLS, 4 steps", "the same, as costly as two preconditioned steps", {.steps = 4, .warm_start = false}},
      {"warm CGLS, 1 step", "no sketch, from the last turn's rotated factor", {.steps = 1}},
      {kWarm, "two such steps", {.steps = 2}},
      {"warm CGLS, 3 steps", "three", {.steps = 3}},
  };
  return variants;
}

struct Problem {
  Tensor matrix;
  SparseObservations entries;
  int64_t rank = 1;
};

// Random orthonormal factors, singular values from κ = 2 to 1, times √(m n); entries known with probability p, with noise.
Problem random_problem(int64_t n, int64_t k, double p, double noise = 0) {
  Tensor u = qr(randn({n, k}, {.dtype = f64})).q, v = qr(randn({n, k}, {.dtype = f64})).q;
  Problem problem{matmul(u * (linspace(2, 1, k, f64) * static_cast<double>(n)), mT(v)), {}, k};
  Tensor seen = noise > 0 ? problem.matrix + randn({n, n}, {.dtype = f64}) * noise : problem.matrix;
  problem.entries = observe_share(seen, p, default_generator());
  return problem;
}

struct Outcome {
  Tensor u, v;
  int64_t work = 0;   // multiply–adds
  int64_t start = 0;  // of those, before the first half-step or iteration
};

struct Effort {
  int64_t rounds = 8, descent = 200, projection = 60, thresholds = 14, impute = 20;
};

Outcome complete(const std::string& variant, const SparseObservations& entries, int64_t k, const Effort& effort, const Watch& watch = {}) {
  for (const TurnVariant& t : turn_variants()) {
    if (t.name != variant) continue;
    AltMinOptions o{.sample_splitting = t.split, .minimum_norm = true, .watch = watch};
    Completion found = alternating_minimization(entries, k, effort.rounds, t.inner, o);
    return {found.u, found.v, found.multiply_adds + found.start_multiply_adds, found.start_multiply_adds};
  }
  Factors f;
  if (variant == "soft-impute") {
    f = soft_impute(entries, k, {.iterations = effort.impute, .thresholds = effort.thresholds, .watch = watch});
  } else {
    ObservedMatrix observed(entries);
    if (variant == "spectral start") f = spectral_completion(observed, k);
    if (variant == "gradient descent") f = gradient_descent(observed, k, {.iterations = effort.descent, .balance = 0, .watch = watch});
    if (variant == "gradient descent, balanced") f = gradient_descent(observed, k, {.iterations = effort.descent, .watch = watch});
    if (variant == "singular value projection")
      f = singular_value_projection(observed, k, {.iterations = effort.projection, .watch = watch});
  }
  return {f.u, f.v, f.multiply_adds, f.start_multiply_adds};
}

double log_error(const Outcome& o, const Tensor& matrix) { return std::log10(std::max(relative_error(o.u, o.v, matrix), 1e-16)); }

// Millions of multiply–adds until the error was 1e-4, all iterations costing the same; NaN if it never was.
double work_to_reach(const Outcome& o, const std::vector<double>& log_errors) {
  for (size_t i = 0; i < log_errors.size(); ++i)
    if (log_errors[i] <= -4)
      return (static_cast<double>(o.start) +
              static_cast<double>(o.work - o.start) * static_cast<double>(i + 1) / static_cast<double>(log_errors.size())) /
             1e6;
  return std::numeric_limits<double>::quiet_NaN();
}

// -- real data: images as rows, pixels as columns --------------------------------------------------------------

struct Digits {
  SparseObservations fit, choose, all;  // all = fit and choose
  SparseObservations unseen;
};

void subtract(SparseObservations& o, const std::vector<double>& means) {
  for (size_t i = 0; i < o.value.size(); ++i) o.value[i] -= means[static_cast<size_t>(o.column[i])];
}

std::vector<double> column_means(const SparseObservations& o) {
  std::vector<double> total(static_cast<size_t>(o.columns)), count(total.size());
  for (size_t i = 0; i < o.value.size(); ++i)
    total[static_cast<size_t>(o.column[i])] += o.value[i], count[static_cast<size_t>(o.column[i])] += 1;
  for (size_t c = 0; c < total.size(); ++c) total[c] = count[c] > 0 ? total[c] / count[c] : 0;
  return total;
}

// Half of the pixels of so many images are known; of those a tenth chooses the rank.
Digits digits_problem(int64_t images) {
  data::Dataset all = data::digits().all();
  std::vector<double> pixels;
  Tensor order = randperm(all.size());
  for (int64_t i = 0; i < images; ++i)
    for (double v : to_vector(all.get(order.data<int64_t>()[i]).image)) pixels.push_back(v * 16);
  Tensor matrix = from_vector(pixels, {images, 64}), mask = to(rand({images, 64}) < 0.5, f64);
  Digits d;
  d.all = observe(matrix, mask);
  d.unseen = observe(matrix, 1 - mask);
  std::vector<double> means = column_means(d.all);
  subtract(d.all, means);
  subtract(d.unseen, means);
  std::tie(d.fit, d.choose) = hold_out(d.all, 0.1, default_generator());
  return d;
}

double rmse(const Outcome& o, const SparseObservations& at) {
  ObservedMatrix entries(at);
  return residual_norm(entries, o.u, o.v) / std::sqrt(static_cast<double>(entries.count()));
}

// The rank (for soft-impute: the most it may have) is chosen by entries that are not fitted.
double digits_error(Cell& cell, const Digits& d, const Effort& effort) {
  std::vector<int64_t> ranks = cell.pick<std::vector<int64_t>>({2, 4}, {2, 4, 6, 8, 10, 12}, {2, 4, 6, 8, 10, 12, 16});
  int64_t best = 0;
  double least = std::numeric_limits<double>::infinity();
  for (int64_t k : ranks) {
    double e = rmse(complete(cell.variant(), d.fit, k, effort), d.choose);
    if (e < least) least = e, best = k;
    cell.progress(0.6 + 0.3 * static_cast<double>(k) / 16);
  }
  return rmse(complete(cell.variant(), d.all, best ? best : ranks[0], effort), d.unseen);
}

// -- charts of two variants -------------------------------------------------------------------------------------

// Relative noise in every solution against the error it leaves.
void chart_floor(Cell& cell, const Problem& problem, const InnerSolver& inner, const Effort& effort) {
  for (double noise : {1e-1, 3e-2, 1e-2, 3e-3, 1e-3}) {
    InnerSolver noisy = inner;
    noisy.noise = noise;
    Completion c = alternating_minimization(problem.entries, problem.rank, effort.rounds, noisy);
    cell.point("floor left by noise in every solution", "log10 relative noise", std::log10(noise), log_error({c.u, c.v}, problem.matrix));
  }
}

// Work of one round by rank, without the start.
void chart_cost(Cell& cell, const InnerSolver& inner) {
  int64_t n = cell.pick<int64_t>(60, 600, 1000);
  for (int64_t k : cell.pick<std::vector<int64_t>>({2, 4}, {5, 10, 20, 40}, {5, 10, 20, 40, 80})) {
    auto problem = cell.shared("cost " + std::to_string(k), [&] { return random_problem(n, k, 0.4); });
    Completion c = alternating_minimization(problem->entries, k, 1, inner);
    cell.point("cost of one round by rank", "log10 rank", std::log10(static_cast<double>(k)),
               std::log10(static_cast<double>(c.multiply_adds)));
  }
}

void chart_phase(Cell& cell, const InnerSolver& inner, const Effort& effort) {
  int64_t n = cell.pick<int64_t>(60, 300, 300), k = cell.pick<int64_t>(2, 5, 5);
  for (double p : {0.05, 0.08, 0.12, 0.2, 0.3}) {
    auto problem = cell.shared("phase " + std::to_string(p), [&] { return random_problem(n, k, p); });
    Completion c = alternating_minimization(problem->entries, k, effort.rounds, inner, {.minimum_norm = true});
    cell.point("error by share of known entries", "share known", p, log_error({c.u, c.v}, problem->matrix));
  }
}

// ---------------------------------------------------------------------------------------------------------------

Effort effort_of(const Cell& cell) {
  return {.rounds = 8,
          .descent = cell.pick<int64_t>(60, 200, 400),
          .projection = cell.pick<int64_t>(20, 60, 100),
          .thresholds = cell.pick<int64_t>(6, 14, 16),
          .impute = cell.pick<int64_t>(5, 20, 30)};
}

void run(Cell& cell) {
  Effort effort = effort_of(cell), large_effort = effort;
  large_effort.impute = cell.pick<int64_t>(3, 8, 10);
  large_effort.thresholds = cell.pick<int64_t>(6, 10, 12);
  auto main = cell.shared(
      "main", [&] { return random_problem(cell.pick<int64_t>(80, 300, 1000), cell.pick<int64_t>(3, 5, 10), cell.pick(0.5, 0.3, 0.2)); });
  auto watch = [&](int64_t at, const Tensor& u, const Tensor& v) {
    cell.point(kError, "half-steps (iterations of descent, projection, soft-impute)", static_cast<double>(at),
               log_error({u, v}, main->matrix));
  };
  Outcome found = complete(cell.variant(), main->entries, main->rank, effort, watch);
  cell.metric(kError, log_error(found, main->matrix));
  cell.progress(0.2);

  auto large = cell.shared("large", [&] { return random_problem(cell.pick<int64_t>(100, 600, 2000), cell.pick<int64_t>(5, 20, 40), 0.4); });
  std::vector<double> errors;
  found = complete(cell.variant(), large->entries, large->rank, large_effort, [&](int64_t, const Tensor& u, const Tensor& v) {
    errors.push_back(log_error({u, v}, large->matrix));
  });
  cell.metric(kLargeError, log_error(found, large->matrix));
  cell.metric(kReach, work_to_reach(found, errors));
  cell.metric(kLargeWork, static_cast<double>(found.work) / 1e6);
  cell.progress(0.5);

  auto noisy = cell.shared("noisy", [&] {
    return random_problem(cell.pick<int64_t>(80, 300, 1000), cell.pick<int64_t>(3, 5, 10), cell.pick(0.5, 0.3, 0.2), 0.1);
  });
  cell.metric(kNoisy, log_error(complete(cell.variant(), noisy->entries, noisy->rank, effort), noisy->matrix));
  cell.progress(0.6);

  auto digits = cell.shared("digits", [&] { return digits_problem(cell.pick<int64_t>(80, 400, 1000)); });
  cell.metric(kDigits, digits_error(cell, *digits, large_effort));
  cell.progress(0.9);

  for (const TurnVariant& t : turn_variants()) {
    if (!cell.is(t.name)) continue;
    bool solver = t.name == kExact || t.name == kWarm;
    if (solver || t.name == "sketch, 2 CGLS steps") chart_cost(cell, t.inner);
    if (solver) chart_phase(cell, t.inner, effort);
    if (t.name == kExact) chart_floor(cell, *main, t.inner, effort);
  }
}

}  // namespace

Experiment experiment() {
  Experiment e;
  e.title = "Robust alternating minimisation";
  e.paper = "Gu, Song, Yin and Zhang, Low Rank Matrix Completion via Robust Alternating Minimization in Nearly Linear Time, ICLR 2024";
  e.claim = "Turns that are solved only roughly converge as exact ones do, at a cost linear instead of quadratic in the rank.";
  e.metrics = {{kError, Better::lower},     {kLargeError, Better::lower}, {kReach, Better::lower},
               {kLargeWork, Better::lower}, {kNoisy, Better::lower},      {kDigits, Better::lower}};
  e.variants = {{"spectral start", "the best approximation of rank k of the known entries / p"},
                {"gradient descent", "on both factors, from the spectral start"},
                {"gradient descent, balanced", "with a penalty that keeps UᵀU = VᵀV"},
                {"singular value projection", "a step to the known entries, then the nearest matrix of rank k"},
                {"soft-impute", "nuclear norm, λ chosen by held-out entries"}};
  for (const TurnVariant& t : turn_variants()) e.variants.push_back({t.name, t.about});
  e.baseline = kExact;
  e.method = kWarm;
  e.run = run;
  return e;
}

}  // namespace plumb::methods::matrix_completion
