// Steps of the probability-flow ODE.
#include "models/diffusion/solver.h"

#include <algorithm>
#include <string>

#include "engine/autograd/grad_mode.h"
#include "ops/pointwise.h"
#include "ops/shape.h"

namespace plumb::diffusion {
namespace {

void check_levels(const Tensor& levels) {
  for (double s : to_vector(levels))
    if (!(s > 0)) throw ValueError("ode_step: noise levels must be positive, one is " + decimal(s));
}

}  // namespace

Tensor ode_step(Solver solver, const Denoiser& denoiser, const Tensor& x, const Tensor& from, const Tensor& to) {
  check_levels(from);
  check_levels(to);
  Tensor here = per_example(from, x), there = per_example(to, x), length = there - here;
  Tensor slope = (x - denoiser(x, from)) / here, next = x + slope * length;
  if (solver == Solver::euler) return next;
  Tensor second = (next - denoiser(next, to)) / there;
  return x + (slope + second) * (length * 0.5);
}

Tensor levels_at(const std::vector<double>& sigmas, const std::vector<int64_t>& place, const Tensor& x, int64_t offset) {
  std::vector<double> values;
  values.reserve(place.size());
  for (int64_t i : place) {
    int64_t at = i + offset;
    if (at < 0 || at >= static_cast<int64_t>(sigmas.size()))
      throw IndexError("levels_at: place " + std::to_string(at) + " is outside a grid of " + std::to_string(sigmas.size()) +
                       " noise levels");
    values.push_back(sigmas[static_cast<size_t>(at)]);
  }
  return to(to(from_vector(values), x.dtype()), x.device());
}

Tensor solve_along(Solver solver, const Denoiser& denoiser, const Tensor& x, const std::vector<double>& sigmas,
                   const std::vector<int64_t>& start, int64_t steps) {
  if (steps < 0) throw ValueError("solve_along: the number of steps must not be negative, it is " + std::to_string(steps));
  NoGrad off;
  levels_at(sigmas, start, x, steps);  // the far end lies on the grid
  Tensor y = x;
  for (int64_t k = 0; k < steps; ++k) y = ode_step(solver, denoiser, y, levels_at(sigmas, start, x, k), levels_at(sigmas, start, x, k + 1));
  return y;
}

}  // namespace plumb::diffusion
