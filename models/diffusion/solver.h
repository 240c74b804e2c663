// Steps of the probability-flow ODE for batches whose examples stand at noise levels of their own: how a teacher shows the way to a
// student.
#pragma once
#include <vector>

#include "models/diffusion/precondition.h"

namespace plumb::diffusion {

enum class Solver : uint8_t { euler, heun };

/// One step of dx/dσ = (x − D(x, σ))/σ from levels `from` [B] to levels `to` [B], x [B, ..]:
///   euler   x' = x + (to − from) d,              d = (x − D(x, from))/from
///   heun    x' = x + (to − from) (d + d')/2,     d' = (x₁ − D(x₁, to))/to,  x₁ the Euler step       (order 2, two calls)
/// Recorded for backward as any operation. Throws ShapeError unless levels are one number an example, ValueError unless they are positive.
Tensor ode_step(Solver solver, const Denoiser& denoiser, const Tensor& x, const Tensor& from, const Tensor& to);

/// `steps` such steps along neighbouring levels of a grid: example b goes from sigmas[start[b]] to sigmas[start[b] + steps], whichever way
/// the grid runs. Nothing is recorded. steps = 0 gives x. Throws IndexError for places outside the grid.
Tensor solve_along(Solver solver, const Denoiser& denoiser, const Tensor& x, const std::vector<double>& sigmas,
                   const std::vector<int64_t>& start, int64_t steps);

/// sigmas[place[b] + offset] for each example, as a tensor of x's type and device. Throws IndexError for places outside the grid.
Tensor levels_at(const std::vector<double>& sigmas, const std::vector<int64_t>& place, const Tensor& x, int64_t offset = 0);

}  // namespace plumb::diffusion
