// ConR on digits turned by an angle that is to be predicted, small angles being common and large ones rare; judged evenly over all angles.
#include <cmath>
#include <vector>

#include "engine/data/digits/digits.h"
#include "engine/data/images.h"
#include "methods/common/small_cnn.h"
#include "methods/robust/conr/trial.h"
#include "models/train/image_grid.h"
#include "ops/grid_sample.h"
#include "ops/random.h"

namespace plumb::methods::conr {
namespace {

constexpr double kRange = 90, kMeanAngle = 18;  // degrees
constexpr double kNoise = 0.1;                  // of views

struct Angles {
  Tensor images, degrees;  // [n, 1, H, W], f32 [n]
};

// Each image turned by its angle about its middle, zeros outside.
Tensor turned(const Tensor& images, const Tensor& degrees) {
  NoGrad no_grad;
  std::vector<float> theta;
  for (double d : to_vector(degrees)) {
    double a = d * M_PI / 180;
    for (double v : {std::cos(a), -std::sin(a), 0.0, std::sin(a), std::cos(a), 0.0}) theta.push_back(static_cast<float>(v));
  }
  Tensor maps = from_vector(theta, {images.size(0), 2, 3});
  return grid_sample(images, affine_grid(maps, {images.size(2), images.size(3)}));
}

// n images drawn from `from` with replacement, turned by angles of this density: exponential, cut off at 90 degrees, or uniform.
Angles draw(const Tensor& from, int64_t n, bool uniform_angles, Generator& g) {
  Tensor u = rand({n}, {.dtype = f64, .generator = &g});
  Tensor degrees = u * kRange;
  if (!uniform_angles) {
    std::vector<double> values = to_vector(u);
    for (double& v : values) v = -kMeanAngle * std::log(1 - v * (1 - std::exp(-kRange / kMeanAngle)));
    degrees = from_vector(values);
  }
  degrees = to(degrees, f32);
  Tensor places = randint(0, from.size(0), {n}, {.dtype = i64, .generator = &g});
  return {turned(index_select(from, 0, places), degrees), degrees};
}

// Digits that a turn of up to 90 degrees does not make into another one.
data::Dataset digits_of(const Cell& cell) {
  data::Dataset all = cell.budget() == Budget::full ? data::mnist().train().take(10'000) : data::digits().all();
  return all.with_labels({2, 3, 4, 5, 7});
}

Problem<SmallCnn> make_problem(const Cell& cell) {
  Generator& g = default_generator();
  auto parts = digits_of(cell).split({2.0 / 3, 1.0 / 3}, {.seed = g.next_u64(), .stratified = true});
  auto images = [](const data::Dataset& set) { return set.batch(set.size()).next().image; };
  Tensor sources = images(parts[0]);
  Angles train = draw(sources, cell.pick<int64_t>(200, 1800, 5000), false, g);
  Angles test = draw(images(parts[1]), cell.pick<int64_t>(90, 900, 2000), true, g);
  SmallCnn initial({.channels = 1, .side = sources.size(2), .classes = 1, .width = cell.pick<int64_t>(2, 8, 16), .features = 32});
  return {train.images, train.degrees, test.images, test.degrees, initial, g.next_u64()};
}

Setting setting_of(const Cell& cell) {
  auto view = [shift = augment::shift_view()](const Tensor& x, Generator& g) {
    return shift(x, g) + kNoise * randn(x.shape(), {.generator = &g});
  };
  return {.unit = "°",
          .group_width = 3,
          .density_width = 1,
          .centre = 20,
          .scale = 20,
          .view = view,
          .epochs = cell.pick<int64_t>(2, 30, 100),
          .conr = {.omega = 2, .tau = 0.2, .e = 0.01},
          .profile_width = 10};
}

void run(Cell& cell) {
  auto problem = cell.shared("turned digits", [&] { return make_problem(cell); });
  Trial<SmallCnn>(cell, *problem, setting_of(cell)).run();
  if (cell.is("L1"))
    cell.picture("training images, as they are drawn", train::image_grid(narrow(problem->inputs, 0, 0, 48), {.columns = 12}));
}

}  // namespace

Experiment experiment() {
  return {.title = "ConR",
          .paper = "Keramati, Meng, Evans: ConR: Contrastive Regularizer for Deep Imbalanced Regression, ICLR 2024",
          .claim = "the mean error of angles with fewer than 20 training examples falls with ConR, and that of frequent ones does not rise",
          .metrics = error_metrics("°"),
          .variants = {{"L1", "the absolute error"},
                       {"LDS", "weights by the smoothed density's inverse root"},
                       {"FDS", "features moved to smoothed statistics of their bins"},
                       {"RankSim, γ = 0.1", "features' similarities ranked as the targets'"},
                       {"balanced MSE, σ = 1", "by the batch, σ in degrees"},
                       {"SupCon, δ = 0.2", "supervised contrastive loss over bins of 3°"},
                       {"ConR, β = 2", "ω = 2°, τ = 0.2, e = 0.01"},
                       {"ConR, β = 4", ""},
                       {"ConR, β = 8", ""},
                       {"ConR, β = 4, the code's denominator", ""},
                       {"ConR, β = 4, τ = 1", ""},
                       {"LDS + ConR, β = 4, τ = 1", ""},
                       {"FDS + ConR, β = 4, τ = 1", ""},
                       {"RankSim, γ = 0.1 + ConR, β = 4, τ = 1", ""},
                       {"balanced MSE, σ = 1 + ConR, β = 4, τ = 1", ""}},
          .baseline = "L1",
          .method = "ConR, β = 4, τ = 1",
          .run = run};
}

}  // namespace plumb::methods::conr
