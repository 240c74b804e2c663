// NCT in the plane, where the truth is known, and on digits: control against diversity, beside what each part leaves undone.
#include "methods/experiment.h"

#include <cmath>
#include <optional>

#include "engine/autograd/grad_mode.h"
#include "methods/common/digit_oracle.h"
#include "methods/generative/nct/nct.h"
#include "methods/generative/nct/problem.h"
#include "models/metrics/energy_distance.h"
#include "models/metrics/frechet.h"
#include "models/optim/adam.h"
#include "models/optim/ema.h"
#include "models/optim/schedule.h"
#include "models/train/image_grid.h"
#include "ops/elementary.h"
#include "ops/index.h"
#include "ops/join.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::methods::nct {
namespace {

// -- training ------------------------------------------------------------------------------------------------------------

struct Length {
  int64_t steps, batch;
};

struct Trained {
  ControlAdapter average;
  double lambda = 0;  // at the end
};

Coupled coupled(const Problem& p, int64_t batch) {
  NoGrad off;
  Tensor z = randn({batch, p.adapter.noise}), x = p.generator(z);
  return {z, x, p.annotate(x)};
}

// Adam at 3e-3, its rate falling to 0 over the last 30 %, and the average of the weights. loss(g, batch), then at_step(k).
template <typename Loss, typename AtStep>
ControlAdapter trained(const Problem& p, const Length& length, Loss&& loss, AtStep&& at_step) {
  ControlAdapter adapter(p.adapter);
  optim::Adam adam(adapter.parameters(), {.lr = 3e-3, .beta2 = 0.99});
  optim::Ema<ControlAdapter> average(adapter, {.decay = 0.999, .warmup = true});
  ControlledGenerator g = adapted(p.generator, adapter);
  int64_t level = length.steps * 7 / 10;
  optim::Schedule rate = optim::sequence({{level, optim::constant()}, {length.steps - level, optim::linear(length.steps - level)}});
  for (int64_t k = 0; k < length.steps; ++k) {
    adam.set_lr_scale(rate(k));
    Tensor value = loss(g, coupled(p, length.batch));
    adam.zero_grad();
    value.backward();
    adam.step();
    average.update(adapter);
    at_step(k);
  }
  return average.model;
}

NctOptions options_of(const Cell& cell, const Problem& p) {
  NctOptions o{.dual = {.start = 1, .rate = 0.05, .margin = p.margin}};
  if (cell.is("NCT, N = 4")) o.levels = 4;
  if (cell.is("NCT, N = 64")) o.levels = 64;
  if (cell.is("NCT, 4 particles")) o.particles = 4;
  if (cell.is("NCT, λ from 0.1")) o.dual.start = 0.1;
  if (cell.is("NCT, λ from 5")) o.dual.start = 5;
  return o;
}

Trained nct(const Problem& p, const Length& length, const NctOptions& options, const std::function<void(int64_t, double)>& at_step) {
  NctTraining training(options);
  ControlAdapter adapter = trained(
      p, length, [&](const ControlledGenerator& g, const Coupled& batch) { return training.loss(g, batch); },
      [&](int64_t k) {
        training.update();
        at_step(k, training.lambda());
      });
  return {std::move(adapter), training.lambda()};
}

// What the baselines minimise; none for a variant that is not one of them.
using Loss = std::function<Tensor(const ControlledGenerator& g, const Coupled& batch)>;
Loss baseline_loss(const Cell& cell) {
  Distance d;
  if (cell.is("regression"))
    return [d](const ControlledGenerator& g, const Coupled& b) { return mean(boundary_losses(g, randn_like(b.z), b.x, b.control, d)); };
  if (cell.is("boundary only"))
    return [d](const ControlledGenerator& g, const Coupled& b) { return mean(boundary_losses(g, b.z, b.x, b.control, d)); };
  if (cell.is("consistency only")) {
    auto training = std::make_shared<NctTraining>(NctOptions{.dual = {.start = 0, .rate = 0, .margin = 0}});
    return [training](const ControlledGenerator& g, const Coupled& b) { return training->loss(g, b); };
  }
  if (cell.is("trained with c"))  // the energy score: right on average only for the conditional distribution
    return [d](const ControlledGenerator& g, const Coupled& b) {
      Tensor one = g(randn_like(b.z), b.control), other = g(randn_like(b.z), b.control);
      return mean(d(one, b.x) + d(other, b.x) - d(one, other)) * 0.5;
    };
  return {};
}

// Samples of the variant for controls: x [n, ..] from z and c.
struct Sampler {
  std::function<Tensor(const Tensor& z, const Tensor& control)> sample;
  double calls = 1;
};

Sampler sampler_of(Cell& cell, const Problem& p, const std::string& name, const Length& length,
                   const std::function<void(double)>& progress) {
  if (cell.is("frozen generator")) return {[&p](const Tensor& z, const Tensor&) { return p.generator(z); }};
  if (cell.is("rejection")) {
    int64_t tries = p.adapter.control == 4 && p.adapter.outputs == 2 ? 64 : 500;
    return {[&p, tries, seed = cell.seed()](const Tensor&, const Tensor& c) {
              Generator draws(seed ^ 0x4ec);
              return nearest_of(p, c, tries, draws);
            },
            static_cast<double>(tries)};
  }
  if (cell.is("optimised noise")) return {[&p](const Tensor& z, const Tensor& c) { return optimised(p, z, c); }, 31};
  auto served = [&p](std::shared_ptr<const ControlAdapter> adapter) {
    return Sampler{[&p, adapter](const Tensor& z, const Tensor& c) {
      NoGrad off;
      return adapted(p.generator, *adapter)(z, c);
    }};
  };
  auto heard = [&](int64_t k) {
    if (k % 20 == 0) progress(static_cast<double>(k) / static_cast<double>(length.steps));
  };
  if (Loss loss = baseline_loss(cell)) return served(std::make_shared<ControlAdapter>(trained(p, length, loss, heard)));
  if (cell.is("fixed λ = 1") || cell.is("fixed λ, NCT's last") || cell.is("NCT")) {
    auto full = cell.shared("NCT, " + name, [&] {
      std::vector<std::pair<int64_t, double>> lambdas;
      Trained result = nct(p, length, options_of(cell, p), [&](int64_t k, double lambda) {
        heard(k);
        if (k % std::max<int64_t>(1, length.steps / 30) == 0) lambdas.emplace_back(k, lambda);
      });
      return std::pair{std::make_shared<const ControlAdapter>(std::move(result.average)), std::pair{result.lambda, lambdas}};
    });
    if (cell.is("NCT")) {
      for (auto [k, lambda] : full->second.second) cell.point("λ, " + name, "step", static_cast<double>(k), lambda);
      return served(full->first);
    }
    NctOptions fixed = options_of(cell, p);
    fixed.dual.rate = 0;
    if (cell.is("fixed λ, NCT's last")) fixed.dual.start = full->second.first;
    return served(std::make_shared<ControlAdapter>(nct(p, length, fixed, [&](int64_t k, double) { heard(k); }).average));
  }
  return served(std::make_shared<ControlAdapter>(nct(p, length, options_of(cell, p), [&](int64_t k, double lambda) {
                                                   heard(k);
                                                   if (k % std::max<int64_t>(1, length.steps / 30) == 0)
                                                     cell.point("λ, " + name, "step", static_cast<double>(k), lambda);
                                                 }).average));
}

// -- measures ------------------------------------------------------------------------------------------------------------

double deviation(const Tensor& x) { return std::sqrt(mean(var(x, {0})).item()); }

// Points of the plane in [−4, 4]², coloured by their control.
Tensor plane_picture(const Tensor& x, const Tensor& asked) {
  constexpr int64_t kSide = 96;
  constexpr float kColours[4][3] = {{0.84f, 0.15f, 0.16f}, {0.12f, 0.47f, 0.71f}, {0.17f, 0.63f, 0.17f}, {1.0f, 0.6f, 0.1f}};
  std::vector<float> pixels(3 * kSide * kSide, 1.0f);
  std::vector<double> at = to_vector(x);
  std::vector<int64_t> of = to_vector<int64_t>(asked);
  for (size_t i = 0; i < of.size(); ++i) {
    double u = (at[2 * i] + 4) / 8 * kSide, v = (4 - at[2 * i + 1]) / 8 * kSide;
    if (!(u >= 0 && u < kSide && v >= 0 && v < kSide)) continue;
    for (size_t c = 0; c < 3; ++c) pixels[c * kSide * kSide + static_cast<size_t>(v) * kSide + static_cast<size_t>(u)] = kColours[of[i]][c];
  }
  return train::image_grid(from_vector(pixels, {1, 3, kSide, kSide}), {.columns = 1, .zoom = 3});
}

void measure_plane(Cell& cell, const Problem& p, const Sampler& sampler) {
  int64_t n = cell.pick<int64_t>(400, 8000, 8000), each = cell.pick<int64_t>(50, 800, 800);
  Generator draws(cell.seed() ^ 0x9c7);
  Tensor control = p.annotate(p.generator(randn({n, 2}, {.generator = &draws})));
  Tensor x = sampler.sample(randn({n, 2}, {.generator = &draws}), control), asked = quadrant(control);
  cell.metric("plane: right quadrant (%)", 100 * mean(to(quadrant(x) == asked, f64)).item());
  double distance = 0, ratio = 0;
  for (int64_t c = 0; c < 4; ++c) {
    Tensor one = to(one_hot(full({each}, c, i64), 4), f32);
    Tensor made = sampler.sample(randn({each, 2}, {.generator = &draws}), one), truth = nearest_of(p, one, 64, draws);
    distance += metrics::energy_distance(made, truth) / 4;
    ratio += deviation(made) / deviation(truth) / 4;
  }
  cell.metric("plane: energy distance", distance);
  cell.metric("plane: deviation, over the true one", ratio);
  cell.picture("plane", plane_picture(narrow(x, 0, 0, std::min<int64_t>(n, 3000)), narrow(asked, 0, 0, std::min<int64_t>(n, 3000))));
}

// Deviation of samples of one control, over that of the nearest samples of f, as the root of mean variances over controls.
double digit_diversity(const Problem& p, const Sampler& sampler, const Tensor& controls, int64_t each, Generator& draws) {
  double made = 0, truth = 0;
  for (int64_t i = 0; i < controls.size(0); ++i) {
    Tensor one = expand(narrow(controls, 0, i, 1), {each, 4});
    made += mean(var(sampler.sample(randn({each, 64}, {.generator = &draws}), one), {0})).item();
    truth += mean(var(nearest_of(p, one, 500, draws), {0})).item();
  }
  return std::sqrt(made / truth);
}

void measure_digits(Cell& cell, const Problem& p, const DigitVectors& digits, const DigitOracle& oracle, const Sampler& sampler) {
  int64_t n = cell.pick<int64_t>(100, 2000, 4000);
  Generator draws(cell.seed() ^ 0xd19);
  NoGrad off;
  auto noise = [&](int64_t count) { return randn({count, 64}, {.generator = &draws}); };
  Tensor control = p.annotate(p.generator(noise(n))), x = sampler.sample(noise(n), control);
  cell.metric("digits: control error", mean(abs(quarters(x) - control)).item());
  cell.metric("digits: Fréchet distance", digits.frechet_distance(digits.clipped(x)));
  bool finite = std::isfinite(sum(x).item());
  Tensor reference = oracle.features(digits.clipped(p.generator(noise(n))));
  cell.metric("digits: feature distance", finite ? metrics::frechet_distance(oracle.features(digits.clipped(x)), reference) : INFINITY);
  cell.metric("digits: deviation, over the true one",
              digit_diversity(p, sampler, narrow(control, 0, 0, cell.pick<int64_t>(2, 24, 48)), 40, draws));
  std::vector<Tensor> shown;
  for (int64_t i = 0; i < 8; ++i) {
    Tensor one = narrow(control, 0, i, 1);
    shown.push_back(enlarged(one));
    shown.push_back(sampler.sample(noise(11), expand(one, {11, 4})));
  }
  cell.picture("digits: the control, then samples", train::image_grid(digits.images(digits.clipped(cat(shown))), {.columns = 12}));
}

void run(Cell& cell) {
  auto digits = cell.shared("digits", [] { return DigitVectors(); });
  auto oracle = cell.shared("oracle", [&] { return DigitOracle(*digits, cell.pick<int64_t>(30, 1500, 1500)); });
  auto network = cell.shared("generator", [&] {
    return train_consistency_model(*digits, {.steps = cell.pick<int64_t>(20, 4000, 20'000)}, [&](double) { cell.progress(0); });
  });
  auto on_digits = cell.shared("digit problem", [&] { return digit_problem(*network); });
  auto on_plane = cell.shared("plane problem", [] { return plane_problem(); });
  Sampler plane = sampler_of(cell, *on_plane, "plane", {cell.pick<int64_t>(10, 4000, 6000), cell.pick<int64_t>(64, 256, 512)},
                             [&](double share) { cell.progress(share / 2); });
  measure_plane(cell, *on_plane, plane);
  Sampler digit = sampler_of(cell, *on_digits, "digits", {cell.pick<int64_t>(6, 2000, 10'000), 128},
                             [&](double share) { cell.progress(0.5 + share / 2); });
  measure_digits(cell, *on_digits, *digits, *oracle, digit);
  cell.metric("calls a sample", digit.calls);
}

}  // namespace

Experiment experiment() {
  return {
      .title = "NCT",
      .paper =
          "Luo et al., Noise Consistency Training: A Native Approach for One-Step Generator in Learning Additional Controls, NeurIPS 2025",
      .claim = "A frozen one-step generator learns a control from its own samples, with one call, without losing its diversity",
      .metrics = {{"plane: right quadrant (%)", Better::higher},
                  {"plane: energy distance", Better::lower},
                  {"plane: deviation, over the true one", Better::neither},
                  {"digits: control error", Better::lower},
                  {"digits: Fréchet distance", Better::lower},
                  {"digits: feature distance", Better::lower},
                  {"digits: deviation, over the true one", Better::neither},
                  {"calls a sample", Better::lower}},
      .variants = {{"frozen generator", "the control ignored"},
                   {"rejection", "the best of 64 (plane) or 500 (digits) samples: the true conditional distribution, nearly"},
                   {"optimised noise", "30 steps of gradient descent on z for each sample"},
                   {"regression", "x from c and noise of its own"},
                   {"boundary only", "without noise consistency"},
                   {"consistency only", "without the boundary"},
                   {"trained with c", "the same adapter trained for the conditional distribution itself, by the energy score"},
                   {"fixed λ = 1", "no dual ascent"},
                   {"fixed λ, NCT's last", "no dual ascent, λ where NCT's ended"},
                   {"NCT, λ from 0.1", "dual ascent from a start that is too low"},
                   {"NCT, λ from 5", "from one that is too high"},
                   {"NCT, N = 4", "four levels of noise"},
                   {"NCT, N = 64", "sixty-four"},
                   {"NCT, 4 particles", "four noises a control, compared as sets"},
                   {"NCT", "16 levels, λ from 1"}},
      .baseline = "boundary only",
      .method = "NCT",
      .run = run};
}

}  // namespace plumb::methods::nct
