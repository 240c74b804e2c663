// Levels, points and steps of flow matching.
#include "models/diffusion/flow.h"

#include <string>

#include "engine/autograd/grad_mode.h"
#include "models/diffusion/precondition.h"
#include "ops/elementary.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::diffusion {

FlowSchedule::FlowSchedule(double shift, int64_t count, int64_t steps) : shift_(shift), count_(count), steps_(steps) {
  if (count < 1 || count > steps || !(shift > 0))
    throw ValueError("flow_schedule: needs 1 <= levels <= steps and a positive shift, got " + std::to_string(count) + ", " +
                     std::to_string(steps) + " and " + decimal(shift));
}

double FlowSchedule::sigma(int64_t i) const {
  if (i < 0 || i >= count_)
    throw IndexError("flow_schedule: place " + std::to_string(i) + " is outside [0, " + std::to_string(count_) + ")");
  return shifted_level(static_cast<double>(i + 1) / static_cast<double>(count_), shift_);
}

double FlowSchedule::previous(int64_t i) const { return i == 0 ? shifted_level(1 / static_cast<double>(steps_), shift_) : sigma(i - 1); }

namespace {

template <typename Level>
Tensor tensor_of(const std::vector<int64_t>& places, const Tensor& like, Level&& level) {
  std::vector<double> values;
  for (int64_t i : places) values.push_back(level(i));
  return to(to(from_vector(values), like.dtype()), like.device());
}

}  // namespace

Tensor FlowSchedule::sigmas(const std::vector<int64_t>& places, const Tensor& like) const {
  return tensor_of(places, like, [this](int64_t i) { return sigma(i); });
}
Tensor FlowSchedule::previous(const std::vector<int64_t>& places, const Tensor& like) const {
  return tensor_of(places, like, [this](int64_t i) { return previous(i); });
}

Tensor flow_point(const Tensor& clean, const Tensor& noise, const Tensor& sigma) {
  Tensor s = per_example(sigma, clean);
  return (1 - s) * clean + s * noise;
}

Tensor flow_step(const Tensor& x, const Tensor& velocity, const Tensor& from, const Tensor& to) {
  return x + per_example(to - from, x) * velocity;
}

Tensor flow_sample(const Velocity& velocity, const Tensor& x, const std::vector<double>& levels) {
  if (levels.size() < 2) throw ValueError("flow_sample: needs at least two levels, got " + std::to_string(levels.size()));
  for (size_t i = 0; i + 1 < levels.size(); ++i)
    if (!(levels[i] <= 1 && levels[i + 1] < levels[i] && levels[i + 1] >= 0))
      throw ValueError("flow_sample: levels must descend within [0, 1], " + decimal(levels[i]) + " is followed by " +
                       decimal(levels[i + 1]));
  NoGrad off;
  Tensor y = x;
  for (size_t i = 0; i + 1 < levels.size(); ++i)
    y = y + velocity(y, full({x.size(0)}, levels[i], x.dtype(), x.device())) * (levels[i + 1] - levels[i]);
  return y;
}

Tensor flow_losses(const Velocity& velocity, const Tensor& clean, const Tensor& noise, const Tensor& sigma) {
  return mean(flatten(square(velocity(flow_point(clean, noise, sigma), sigma) - (noise - clean)), 1), {1});
}

}  // namespace plumb::diffusion
