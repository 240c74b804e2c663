// Latent consistency models.
#include "models/diffusion/latent_consistency.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "models/diffusion/sampler.h"
#include "ops/elementary.h"
#include "ops/join.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/shape.h"

namespace plumb::diffusion {

LcmBoundary::Shares LcmBoundary::at(double t) const {
  double scaled = time_scale * t, d2 = sigma_data * sigma_data, sum = scaled * scaled + d2;
  return {d2 / sum, scaled / std::sqrt(sum)};
}

Tensor latent_consistency(const VpSchedule& schedule, Prediction kind, const Tensor& z, const Tensor& prediction, const Tensor& t,
                          LcmBoundary boundary) {
  if (t.rank() != 1 || z.rank() < 1 || t.size(0) != z.size(0))
    throw ShapeError("latent_consistency: t must hold one time an example of " + to_string(z.shape()) + ", it is " + to_string(t.shape()));
  std::vector<double> alpha_bar, skip, out;
  for (int64_t time : to_vector<int64_t>(t)) {
    auto shares = boundary.at(static_cast<double>(time));
    alpha_bar.push_back(schedule.alpha_bar(time)), skip.push_back(shares.skip), out.push_back(shares.out);
  }
  auto placed = [&](const std::vector<double>& v) { return to(to(from_vector(v), z.dtype()), z.device()); };
  Tensor clean = predicted_clean(kind, z, prediction, placed(alpha_bar));
  return per_example(placed(skip), z) * z + per_example(placed(out), z) * clean;
}

// z = √ᾱ x:  c_skip √ᾱ x + c_out (a x + b F), where the prediction is read as a x + b F in the scale of x
Scalings LcmPrecondition::at(double sigma) const {
  double t = std::round(schedule_.time_of(sigma));
  Scalings reading = VpPrecondition(schedule_, kind_).at(sigma);
  auto [skip, out] = boundary_.at(t);
  return {skip * reading.in + out * reading.skip, out * reading.out, reading.in, t};
}

std::vector<int64_t> lcm_times(int64_t steps, int64_t count) {
  if (count < 1 || count > steps) throw ValueError("lcm_times: " + std::to_string(count) + " of " + std::to_string(steps) + " times");
  std::vector<int64_t> times;
  for (int64_t i = 1; i <= count; ++i) times.push_back(i * (steps / count) - 1);
  return times;
}

std::vector<double> lcm_levels(const VpSchedule& schedule, int64_t count) {
  std::vector<double> levels{schedule.sigma(0)};
  for (int64_t t : lcm_times(schedule.steps(), count))
    if (t > 0) levels.push_back(schedule.sigma(t));
  return levels;
}

PairOptions lcm_pairs(const VpSchedule& schedule, int64_t count, int64_t stride) {
  PairOptions options{.curriculum = ConsistencyCurriculum::constant,
                      .law = IntervalLaw::uniform,
                      .weight = IntervalWeight::one,
                      .levels = lcm_levels(schedule, count),
                      .stride = stride};
  options.check();
  return options;
}

std::vector<int64_t> lcm_sampling_times(int64_t calls, int64_t count, int64_t steps) {
  if (calls < 1 || calls > count)
    throw ValueError("lcm_sampling_times: between 1 and " + std::to_string(count) + " steps can be taken, not " + std::to_string(calls));
  std::vector<int64_t> all = lcm_times(steps, count), times;
  for (int64_t i = 0; i < calls; ++i) times.push_back(all[static_cast<size_t>(count - 1 - i * (count / calls))]);
  return times;
}

Tensor lcm_sample(const Denoiser& model, const Tensor& z, const VpSchedule& schedule, int64_t calls, int64_t count, Generator& generator) {
  std::vector<double> levels;
  for (int64_t t : lcm_sampling_times(calls, count, schedule.steps())) levels.push_back(schedule.sigma(t));
  Tensor x = z * std::sqrt(1 + levels.front() * levels.front());
  return sample(model, x, levels, {.sampler = Sampler::consistency, .sigma_min = 0, .generator = &generator});
}

Tensor guided_beyond(const Tensor& conditional, const Tensor& unconditional, const Tensor& w) {
  return conditional + per_example(to(w, conditional.dtype()), conditional) * (conditional - unconditional);
}

Denoiser guided_denoiser(Denoiser conditional, Denoiser unconditional, const Tensor& w) {
  return [conditional = std::move(conditional), unconditional = std::move(unconditional), w](const Tensor& x, const Tensor& sigma) {
    return guided_beyond(conditional(x, sigma), unconditional(x, sigma), w);
  };
}

Tensor guidance_embedding(const Tensor& w, int64_t width) {
  if (width < 4 || width % 2 != 0)
    throw ValueError("guidance_embedding: the width must be even and at least 4, it is " + std::to_string(width));
  if (w.rank() != 1) throw ShapeError("guidance_embedding: takes one weight an example, got " + to_string(w.shape()));
  std::vector<double> frequencies;
  for (int64_t i = 0; i < width / 2; ++i)
    frequencies.push_back(1000 * std::pow(10000.0, -static_cast<double>(i) / static_cast<double>(width / 2 - 1)));
  Tensor angle = unsqueeze(w, 1) * to(to(from_vector(frequencies), w.dtype()), w.device());
  return cat({sin(angle), cos(angle)}, 1);
}

}  // namespace plumb::diffusion
