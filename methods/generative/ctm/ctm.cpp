// Jumps, the three losses, and gamma-sampling.
#include "methods/generative/ctm/ctm.h"

#include <cmath>
#include <string>

#include "engine/autograd/grad_mode.h"
#include "models/diffusion/loss.h"
#include "models/gan/losses.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::methods::ctm {

using namespace diffusion;

namespace {

// s/t of every example, in f64.
std::vector<double> ratios(const Tensor& t, const Tensor& s) {
  std::vector<double> from = to_vector(t), end = to_vector(s), ratio;
  if (from.size() != end.size())
    throw ShapeError("ctm: " + std::to_string(from.size()) + " levels t, " + std::to_string(end.size()) + " levels s");
  for (size_t b = 0; b < from.size(); ++b) {
    if (!(from[b] > 0)) throw ValueError("ctm: the level t must be positive, it is " + decimal(from[b]));
    if (!(end[b] > 0 && end[b] <= from[b]))
      throw ValueError("ctm: a jump goes down to a level 0 < s <= t, got s " + decimal(end[b]) + " and t " +
                       decimal(from[b]));
    ratio.push_back(end[b] / from[b]);
  }
  return ratio;
}

Tensor column(const std::vector<double>& numbers, const Tensor& x) {
  return per_example(to(to(from_vector(numbers), x.dtype()), x.device()), x);
}

std::vector<double> complement(std::vector<double> numbers) {
  for (double& r : numbers) r = 1 - r;
  return numbers;
}

}  // namespace

Tensor jump_towards(const Tensor& estimate, const Tensor& x, const Tensor& t, const Tensor& s) {
  std::vector<double> ratio = ratios(t, s);
  return column(ratio, x) * x + column(complement(ratio), x) * estimate;
}

Tensor exact_estimate(const Tensor& x, const Tensor& x_s, const Tensor& t, const Tensor& s) {
  std::vector<double> ratio = ratios(t, s);
  for (double r : ratio)
    if (r == 1) throw ValueError("ctm: at s = t every estimate leads to x");
  return (x_s - column(ratio, x) * x) / column(complement(ratio), x);
}

TrajectoryModel::TrajectoryModel(TrajectoryNetwork network, double sigma_data, double noise_scale)
    : network_(std::move(network)), precondition_(sigma_data, noise_scale) {}

Tensor TrajectoryModel::estimate(const Tensor& x, const Tensor& t, const Tensor& s) const {
  std::vector<double> end;
  for (double level : to_vector(s)) end.push_back(precondition_.at(level).noise);
  Tensor end_noise = to(to(from_vector(end), x.dtype()), x.device());
  return precondition_.denoise([&](const Tensor& y, const Tensor& noise) { return network_(y, noise, end_noise); }, x, t);
}

Tensor TrajectoryModel::jump(const Tensor& x, const Tensor& t, const Tensor& s) const {
  ratios(t, s);  // before the network is called
  return jump_towards(estimate(x, t, s), x, t, s);
}

Denoiser TrajectoryModel::denoiser() const {
  return [model = *this](const Tensor& x, const Tensor& t) { return model.estimate(x, t, t); };
}

TrajectoryModel::operator Jump() const {
  return [model = *this](const Tensor& x, const Tensor& t, const Tensor& s) { return model.jump(x, t, s); };
}

void CtmOptions::check() const {
  grid();
  if (max_steps < 1 || max_steps >= levels)
    throw ValueError("ctm: max_steps must lie in [1, levels), got " + std::to_string(max_steps) + " of " + std::to_string(levels) +
                     " levels");
}

std::vector<double> step_probabilities(int64_t max_steps) {
  if (max_steps < 1) throw ValueError("step_probabilities: max_steps must be at least 1, it is " + std::to_string(max_steps));
  double total = 0.5 * static_cast<double>(max_steps) * static_cast<double>(max_steps + 1);
  std::vector<double> p;
  for (int64_t n = 1; n <= max_steps; ++n) p.push_back(static_cast<double>(n) / total);
  return p;
}

Places draw_places(int64_t batch, const CtmOptions& o, Generator& generator) {
  o.check();
  Places places;
  places.steps = 1 + diffusion::draw_places(step_probabilities(o.max_steps), 1, generator)[0];
  for (int64_t b = 0; b < batch; ++b) {
    auto from = static_cast<int64_t>(generator.next_below(static_cast<uint64_t>(o.levels - places.steps)));
    int64_t first = from + places.steps;
    places.from.push_back(from);
    places.end.push_back(first + static_cast<int64_t>(generator.next_below(static_cast<uint64_t>(o.levels - first))));
  }
  return places;
}

SoftConsistency soft_consistency(const Jump& student, const Jump& average, const Denoiser& teacher, const Tensor& clean,
                                 const Places& places, const CtmOptions& o, Generator& generator) {
  o.check();
  if (clean.rank() < 2 || clean.numel() == 0) throw ValueError("ctm: the batch is empty: " + to_string(clean.shape()));
  if (static_cast<int64_t>(places.from.size()) != clean.size(0) || places.end.size() != places.from.size())
    throw ShapeError("ctm: " + std::to_string(places.from.size()) + " and " + std::to_string(places.end.size()) +
                     " places for a batch of " + std::to_string(clean.size(0)));
  std::vector<double> grid = o.grid();
  Tensor t = levels_at(grid, places.from, clean), u = levels_at(grid, places.from, clean, places.steps),
         s = levels_at(grid, places.end, clean);
  Tensor last = full({clean.size(0)}, grid.back(), clean.dtype(), clean.device());
  Tensor x_t, x_u, target;
  {
    NoGrad off;
    x_t = clean + per_example(t, clean) * randn_like(clean, &generator);
    x_u = solve_along(Solver::heun, teacher, x_t, grid, places.from, places.steps);
    target = average(student(x_u, u, s), s, last);
  }
  Tensor estimate = average(student(x_t, t, s), s, last);
  return {consistency_distances(o.metric, estimate, target, o.c), estimate, target};
}

Objective objective(const Parts& parts, const Tensor& clean, const CtmOptions& o, Generator& generator) {
  SoftConsistency soft =
      soft_consistency(parts.student, parts.average, parts.teacher, clean, draw_places(clean.size(0), o, generator), o, generator);
  Objective result;
  Tensor consistency = mean(soft.losses);
  result.loss = consistency;
  result.estimate = soft.estimate;
  result.consistency = consistency.item();
  if (o.denoising) {
    Tensor sigma =
        to(to(lognormal_and_high_sigmas(clean.size(0), {.sigma_min = o.sigma_min, .sigma_max = o.sigma_max, .rho = o.rho}, generator),
              clean.dtype()),
           clean.device());
    Tensor denoising =
        mean(denoising_losses(parts.student.denoiser(), clean, randn_like(clean, &generator), sigma, {.sigma_data = o.sigma_data}));
    result.denoising = denoising.item();
    result.denoising_weight = optim::adaptive_weight(consistency, denoising, parts.last_weight, o.denoising_weight);
    result.loss = result.loss + denoising * result.denoising_weight;
  }
  if (parts.discriminator) {
    Tensor adversarial = gan::generator_loss(gan::GanLoss::hinge, parts.discriminator(soft.estimate));
    result.adversarial = adversarial.item();
    result.adversarial_weight = optim::adaptive_weight(consistency, adversarial, parts.last_weight, o.adversarial_weight);
    result.loss = result.loss + adversarial * result.adversarial_weight;
  }
  return result;
}

Tensor discriminator_objective(const std::function<Tensor(const Tensor& x)>& discriminator, const Tensor& clean, const Tensor& estimate) {
  return gan::discriminator_loss(gan::GanLoss::hinge, discriminator(clean), discriminator(estimate.detach()));
}

GammaStep gamma_step(double next, double gamma, double sigma_min) {
  if (!(gamma >= 0 && gamma <= 1)) throw ValueError("gamma_step: gamma must lie in [0, 1], it is " + decimal(gamma));
  if (!(sigma_min > 0 && next >= sigma_min))
    throw ValueError("gamma_step: the next level " + decimal(next) + " must not lie below sigma_min " + decimal(sigma_min));
  if (gamma == 0) return {next, 0};  // no rounding: nothing is to be drawn
  double end = std::sqrt(1 - gamma * gamma) * (next - sigma_min) + sigma_min;
  return {end, std::sqrt(std::max(next * next - end * end, 0.0))};
}

Tensor gamma_sample(const Jump& model, const Tensor& start, const std::vector<double>& times, double gamma, Generator& generator) {
  if (times.size() < 2) throw ValueError("gamma_sample: needs at least 2 times, got " + std::to_string(times.size()));
  for (size_t m = 0; m + 1 < times.size(); ++m)
    if (!(times[m + 1] < times[m]))
      throw ValueError("gamma_sample: times must descend, " + decimal(times[m]) + " is followed by " + decimal(times[m + 1]));
  NoGrad off;
  Tensor x = start;
  auto level = [&](double sigma) { return full({x.size(0)}, sigma, x.dtype(), x.device()); };
  for (size_t m = 0; m + 1 < times.size(); ++m) {
    auto [end, noise] = gamma_step(times[m + 1], gamma, times.back());
    x = model(x, level(times[m]), level(end));
    if (m + 2 < times.size() && noise > 0) x = x + randn_like(x, &generator) * noise;
  }
  return x;
}

}  // namespace plumb::methods::ctm
