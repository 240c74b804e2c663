// Unlearning two of eight modes in the plane, where everything can be counted: the authors' own synthetic case.
#include <cmath>

#include "engine/data/points.h"
#include "methods/generative/adapt_then_unlearn/comparison.h"
#include "models/train/image_grid.h"
#include "ops/elementary.h"
#include "ops/index.h"
#include "ops/join.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "ops/sort.h"

namespace plumb::methods::adapt_then_unlearn_ring {
namespace {

using namespace adapt_then_unlearn;

constexpr int64_t kModes = 8, kUndesired = 2;  // modes 0 and 1, neighbours
constexpr double kRadius = 2, kDeviation = 0.07, kR1 = 1, kRate = 4e-3;

Budgets budgets(const Cell& cell) {
  return {.pretrain = cell.pick<int64_t>(900, 10'000, 30'000),
          .adapt = cell.pick<int64_t>(8, 400, 2000),
          .unlearn = cell.pick<int64_t>(32, 800, 3200),
          .anchors = cell.pick<int64_t>(2, 3, 5),
          .samples = cell.pick<int64_t>(1500, 5000, 5000),
          .final_samples = cell.pick<int64_t>(400, 5000, 15'000)};
}

Tensor centres() { return to(data::ring_means(kModes, kRadius), f32); }

// [n, 8]
Tensor distances(const Tensor& x) { return norm(unsqueeze(x, 1) - unsqueeze(centres(), 0), 2, {2}); }

Tensor drawn(int64_t n, int64_t first_mode) {
  Tensor mode = randint(first_mode, kModes, {n});
  return index_select(centres(), 0, mode) + randn({n, 2}) * kDeviation;
}

// Of the modes that are to stay, how many have at least a hundredth of the samples within three deviations.
double covered(const Tensor& x) {
  Tensor near = mean(to(narrow(distances(x), 1, kUndesired, kModes - kUndesired) < 3 * kDeviation, f64), {0});
  return static_cast<double>(count_nonzero(near >= 0.01).item<int64_t>());
}

// The normal distribution with the moments of the six modes: mean and covariance of their centres, and each mode's own variance.
metrics::FeatureStatistics moments() {
  Tensor kept = to(narrow(centres(), 0, kUndesired, kModes - kUndesired), f64), middle = mean(kept, {0}), away = kept - middle;
  Tensor covariance = sum(unsqueeze(away, 2) * unsqueeze(away, 1), {0}) / static_cast<double>(kModes - kUndesired);
  return {middle, covariance + tensor({{kDeviation * kDeviation, 0.0}, {0.0, kDeviation * kDeviation}}, f64)};
}

// How many samples fall into each of 96 × 96 squares of [−3, 3]², dark on white.
Tensor histogram(const Tensor& x) {
  constexpr int64_t side = 96;
  Tensor place = to(clamp(floor((x + 3.0) * (side / 6.0)), 0, side - 1), i64);
  Tensor counts = bincount((side - 1 - select(place, 1, 1)) * side + select(place, 1, 0), {}, side * side);
  return reshape(1.0 - clamp(to(counts, f32) / 10.0, 0, 1), {1, 1, side, side});
}

GanRecipe recipe() {
  GanRecipe r{.lr = kRate};
  r.losses.r1 = kR1;
  return r;
}

void run(Cell& cell) {
  gan::MlpGanConfig config{.features = 2, .latent = 8, .hidden = {128, 128}};
  Budgets b = budgets(cell);
  auto original = cell.shared("original", [&] {
    return trained_pair(
        cell, config, recipe(), [](int64_t n) { return drawn(n, 0); }, b.pretrain);
  });
  Problem ring{.name = "modes",
               .config = config,
               .recipe = recipe(),
               .real = [](int64_t n) { return drawn(n, 0); },
               .real_without = [](int64_t n) { return drawn(n, kUndesired); },
               .undesired = [](const Tensor& x) { return argmin(distances(x), 1) < kUndesired; },
               .features = [](const Tensor& x) { return x; },
               .without = moments()};
  Compared at = compared(cell, ring, *original, b, 0, 1);
  Tensor near = amin(distances(at.samples), {1});
  cell.metric("area under PUL (%)", at.area);
  cell.metric("PUL (%)", at.pul);
  cell.metric("steps to PUL 90", at.steps_to_90);
  cell.metric("modes kept (of 6)", covered(at.samples));
  cell.metric("within 3 deviations (%)", 100 * mean(to(near < 3 * kDeviation, f64)).item());
  cell.metric("FD", at.frechet);
  cell.metric("FD to retrained", at.frechet_to_retrained);
  cell.picture("samples", train::image_grid(histogram(at.samples), {.zoom = 3}));
}

}  // namespace

Experiment experiment() {
  return {.title = "Adapt-then-Unlearn, ring",
          .paper =
              "Tiwary et al., Adapt then Unlearn: Exploring Parameter Space Semantics for Unlearning in Generative Adversarial Networks, "
              "TMLR 2025",
          .claim = "Two of eight modes are forgotten and the other six kept",
          .metrics = {{"area under PUL (%)", Better::higher},
                      {"PUL (%)", Better::higher},
                      {"steps to PUL 90", Better::lower},
                      {"modes kept (of 6)", Better::higher},
                      {"within 3 deviations (%)", Better::higher},
                      {"FD", Better::lower},
                      {"FD to retrained", Better::lower}},
          .variants = variants(),
          .baseline = "no repulsion",
          .method = "EL2",
          .run = run};
}

}  // namespace plumb::methods::adapt_then_unlearn_ring
