// How long does completing a matrix take as the known entries grow to 10⁷?
#include "methods/experiment.h"

#include <algorithm>
#include <cmath>
#include <ctime>
#include <limits>

#include "methods/classical/matrix_completion/matrix_completion.h"
#include "models/metrics/line_fit.h"
#include "ops/create.h"
#include "ops/linalg.h"
#include "ops/pointwise.h"
#include "ops/random.h"

namespace plumb::methods::matrix_completion_scaling {
namespace {

using matrix_completion::alternating_minimization;
using matrix_completion::Completion;
using matrix_completion::InnerSolver;
using matrix_completion::observe_product;
using matrix_completion::ObservedMatrix;
using matrix_completion::Solver;
using matrix_completion::SparseObservations;

/// How a matrix grows with its known entries.
struct Growth {
  std::string name;
  bool dense;  // a fixed share of a square matrix is known, so that lines get longer; else a fixed number a row, so that there are more
               // lines
};
const std::vector<Growth> kGrowths{{"a tenth known", true}, {"100 a row", false}};

std::string exponent_metric(const Growth& g) { return "exponent of time in entries, " + g.name; }
std::string work_metric(const Growth& g) { return "exponent of multiply-adds in entries, " + g.name; }
std::string seconds_metric(const Growth& g) { return "processor seconds at the most entries, " + g.name; }
std::string error_metric(const Growth& g) { return "log10 relative error of unseen entries at the most, " + g.name; }

constexpr double kTolerance = 1e-6;  // of the known entries, where a completion counts as done
constexpr int64_t kMostRounds = 30;

struct Problem {
  SparseObservations known, unseen;
};

// rank k, singular values from 2 down to 1, times n; `per_row` entries known in each row, and a few others to be judged by.
Problem make_problem(int64_t n, int64_t k, int64_t per_row, Generator& g) {
  RandomOptions drawn{.dtype = f64, .generator = &g};
  Tensor u = qr(randn({n, k}, drawn)).q * (linspace(2, 1, k, f64) * static_cast<double>(n)), v = qr(randn({n, k}, drawn)).q;
  return {observe_product(u, v, per_row, g), observe_product(u, v, 2, g)};
}

double processor_seconds() { return static_cast<double>(std::clock()) / CLOCKS_PER_SEC; }

struct Timed {
  double seconds = std::numeric_limits<double>::infinity();
  Completion found;
};

// Short runs are repeated, and the shortest counts: it was disturbed least.
Timed timed_completion(const SparseObservations& known, int64_t k, const InnerSolver& inner, uint64_t seed, int most) {
  Timed best;
  double spent = 0;
  for (int i = 0; i < most && (i == 0 || spent < 1); ++i) {
    Generator g(seed);
    double before = processor_seconds();
    Completion found =
        alternating_minimization(known, k, kMostRounds, inner, {.minimum_norm = true, .tolerance = kTolerance, .generator = &g});
    double seconds = processor_seconds() - before;
    spent += seconds;
    if (seconds < best.seconds) best = {seconds, std::move(found)};
  }
  return best;
}

InnerSolver solver_of(const Cell& cell) {
  if (cell.is("exact turns")) return {.kind = Solver::exact};
  if (cell.is("sketch, 4 Richardson steps")) return {.kind = Solver::sketched_richardson, .steps = 4};
  return {.kind = Solver::cgls, .steps = 2};
}

std::vector<int64_t> totals_of(const Cell& cell) {
  return cell.pick<std::vector<int64_t>>({8'000, 16'000, 32'000}, {100'000, 316'000, 1'000'000, 3'160'000, 10'000'000},
                                         {100'000, 316'000, 1'000'000, 3'160'000, 10'000'000, 31'600'000});
}

void measure(Cell& cell, const Growth& growth, double from, double to) {
  int64_t rank = cell.pick<int64_t>(2, 5, 10);
  std::vector<int64_t> totals = totals_of(cell);
  std::vector<double> entries, seconds, work;
  double done = 0, all = 0;
  for (int64_t total : totals) all += static_cast<double>(total);
  auto chart = [&](const char* what, double value) {
    cell.point(std::string(what) + " to a residual of 1e-6", "log10 known entries", std::log10(entries.back()), value, growth.name);
  };
  for (int64_t total : totals) {
    cell.progress(from + (to - from) * done / all);
    double share = cell.pick(0.25, 0.1, 0.1);
    auto side = static_cast<int64_t>(std::llround(std::sqrt(static_cast<double>(total) / share)));
    int64_t per_row = growth.dense ? total / side : cell.pick<int64_t>(40, 100, 200), n = growth.dense ? side : total / per_row;
    Generator g(cell.seed() * 1000 + static_cast<uint64_t>(entries.size()));  // made anew for each variant: too large to keep
    Problem problem = make_problem(n, rank, per_row, g);
    Timed timed = timed_completion(problem.known, rank, solver_of(cell), cell.seed(), cell.pick(1, 5, 5));
    const Completion& c = timed.found;
    entries.push_back(static_cast<double>(problem.known.value.size()));
    seconds.push_back(std::max(timed.seconds, 1e-6));  // a clock that did not move
    work.push_back(static_cast<double>(c.multiply_adds + c.start_multiply_adds));
    chart("log10 seconds", std::log10(seconds.back()));
    chart("log10 multiply-adds", std::log10(work.back()));
    chart("rounds", static_cast<double>(c.residual.size()) / 2);
    done += static_cast<double>(total);
    if (total != totals.back()) continue;
    ObservedMatrix unseen(problem.unseen);
    cell.metric(seconds_metric(growth), timed.seconds);
    cell.metric(error_metric(growth), std::log10(std::max(residual_norm(unseen, c.u, c.v) / unseen.norm(), 1e-16)));
  }
  cell.metric(exponent_metric(growth), power_law_fit(entries, seconds).slope);
  cell.metric(work_metric(growth), power_law_fit(entries, work).slope);
}

void run(Cell& cell) {
  measure(cell, kGrowths[0], 0, 0.4);
  measure(cell, kGrowths[1], 0.4, 1);
}

}  // namespace

Experiment experiment() {
  Experiment e;
  e.title = "Matrix completion's time";
  e.paper = "Gu, Song, Yin and Zhang, Low Rank Matrix Completion via Robust Alternating Minimization in Nearly Linear Time, ICLR 2024";
  e.claim = "The time to complete a matrix of fixed rank grows nearly in proportion to the number of known entries.";
  for (auto metric : {exponent_metric, seconds_metric, work_metric, error_metric})
    for (const Growth& g : kGrowths) e.metrics.push_back({metric(g), Better::lower});
  e.variants = {{"exact turns", "alternating least squares; normal equations by Cholesky"},
                {"sketch, 4 Richardson steps", "the paper's solver: a sketch as preconditioner of Richardson's iteration"},
                {"warm CGLS, 2 steps", "conjugate gradients from the last turn's rotated factor"}};
  e.baseline = "exact turns";
  e.method = "warm CGLS, 2 steps";
  e.run = run;
  return e;
}

}  // namespace plumb::methods::matrix_completion_scaling
