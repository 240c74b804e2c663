// Do the solvers of supervised dictionary learning reach its optimum, and how fast?
#include "methods/experiment.h"

#include <algorithm>
#include <cmath>
#include <ctime>

#include "methods/classical/sdl/planted.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/shape.h"

namespace plumb::methods::sdl_optimum {
namespace {

using namespace plumb::methods::sdl;

constexpr double kXi = 0.15;
const std::vector<double> kNus{0.1, 0.001};
constexpr int64_t kRank = 3;

std::string gap_metric(double nu) {
  return nu > 0.01 ? "log10 relative gap to the optimum, nu = 0.1" : "log10 relative gap to the optimum, nu = 0.001";
}
std::string time_metric(double nu) { return nu > 0.01 ? "processor seconds, nu = 0.1" : "processor seconds, nu = 0.001"; }

SdlData planted_problem(const Cell& cell) {
  Planted p =
      planted_data({.features = cell.pick<int64_t>(24, 60, 200), .samples = cell.pick<int64_t>(120, 400, 1000)}, default_generator());
  return {p.x / spectral_norm(p.x), p.labels};
}

SdlModel random_start(const SdlData& d) {
  RandomOptions drawn{.dtype = f64};
  SdlModel m = principal_start(d, kRank, Kind::filter);
  m.w = randn(m.w.shape(), drawn) * 0.1;
  m.h = randn(m.h.shape(), drawn) * 0.1;
  m.beta = randn(m.beta.shape(), drawn) * 0.1;
  return m;
}

// The least F that anything here finds: all factors at once from three starts, and a long projected descent.
double least(Cell& cell, const SdlData& d, double nu) {
  SdlData c = checked(d);
  std::vector<SdlModel> starts{principal_start(c, kRank, Kind::filter), random_start(c), random_start(c)};
  double best = sdl_lpgd(d, {.rank = kRank, .xi = kXi, .nu = nu, .iterations = cell.pick<int64_t>(300, 3000, 10'000)}).loss.back();
  for (const SdlModel& start : starts) best = std::min(best, objective(sdl_joint(d, start, kXi, nu), c, kXi, nu).item());
  return best;
}

double processor_seconds() { return static_cast<double>(std::clock()) / CLOCKS_PER_SEC; }

// F after every iteration of this variant's solver.
std::vector<double> losses(const Cell& cell, const SdlData& d, double nu) {
  int64_t iterations = cell.pick<int64_t>(150, 300, 1000);
  Curvature c = curvature(d, Kind::filter, kXi, nu);
  LpgdOptions lifted{.rank = kRank, .xi = kXi, .nu = nu, .iterations = iterations};
  if (cell.is("LPGD, step 1 / L")) return sdl_lpgd(d, lifted).loss;
  if (cell.is("LPGD, guaranteed step")) {
    double low = 1 / (2 * c.convex), high = 3 / (2 * c.smooth);
    lifted.tau = low < high ? 0.5 * (low + high) : 0.95 * high;  // where there is no such step: as far as F alone allows
    return sdl_lpgd(d, lifted).loss;
  }
  if (cell.is("LPGD, the code's steps")) {
    lifted.tau = 0.01 * std::pow(10, -0.1);
    lifted.decay = 0.1;
    return sdl_lpgd(d, lifted).loss;
  }
  SdlData wide = checked(d);
  if (cell.is("BCD")) {
    std::vector<double> loss, all = sdl_bcd(d, {.rank = kRank, .xi = kXi, .nu = nu, .iterations = iterations}).loss;
    for (size_t i = 2; i < all.size(); i += 3) loss.push_back(all[i]);
    return loss;
  }
  SdlModel joint = sdl_joint(d, principal_start(wide, kRank, Kind::filter), kXi, nu);
  return {objective(joint, wide, kXi, nu).item()};
}

void run(Cell& cell) {
  auto data = cell.shared("planted", [&] { return planted_problem(cell); });
  for (double nu : kNus) {
    double optimum = *cell.shared("optimum " + decimal(nu), [&] { return least(cell, *data, nu); });
    double before = processor_seconds();
    std::vector<double> loss = losses(cell, *data, nu);
    cell.metric(time_metric(nu), processor_seconds() - before);
    auto gap = [&](double f) { return std::log10(std::max((f - optimum) / optimum, 1e-16)); };
    for (size_t i = 0; i < loss.size(); i += i < 20 ? 1 : 5)
      cell.point("log10 relative gap, nu = " + std::string(nu > 0.01 ? "0.1" : "0.001"), "iteration", static_cast<double>(i + 1),
                 gap(loss[i]));
    cell.metric(gap_metric(nu), gap(loss.back()));
    cell.progress(nu > 0.01 ? 0.5 : 1);
  }
}

}  // namespace

Experiment experiment() {
  Experiment e;
  e.title = "Supervised dictionary learning's optimum";
  e.paper = "Lee, Lyu and Yao, Supervised Dictionary Learning with Auxiliary Covariates, 2022";
  e.claim = "Low-rank projected gradient descent converges exponentially to the least objective of rank r.";
  for (double nu : kNus) e.metrics.push_back({gap_metric(nu), Better::lower});
  for (double nu : kNus) e.metrics.push_back({time_metric(nu), Better::lower});
  e.variants = {{"all factors, L-BFGS", "W, H and β at once from the leading singular vectors, to a gradient of 1e-8"},
                {"BCD", "block coordinate descent"},
                {"LPGD, the code's steps", "0.01 (k + 10)^(−0.1)"},
                {"LPGD, step 1 / L", "plain projected gradient descent"},
                {"LPGD, guaranteed step", "between 1 / 2μ and 3 / 2L; where there is no such step, 0.95 · 3 / 2L"}};
  e.baseline = "all factors, L-BFGS";
  e.method = "LPGD, guaranteed step";
  e.run = run;
  return e;
}

}  // namespace plumb::methods::sdl_optimum
