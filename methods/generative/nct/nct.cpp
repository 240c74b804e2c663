// The noise path, the two losses, and the step.
#include "methods/generative/nct/nct.h"

#include <cmath>
#include <numbers>
#include <string>

#include "engine/autograd/grad_mode.h"
#include "ops/join.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::methods::nct {

using namespace diffusion;

NoisePath::NoisePath(int64_t levels) {
  if (levels < 1) throw ValueError("noise_path: needs at least 1 step, got " + std::to_string(levels));
  for (int64_t k = 0; k <= levels; ++k) {
    double angle = std::numbers::pi / 2 * static_cast<double>(k) / static_cast<double>(levels);
    sigma_.push_back(std::sin(angle));
    alpha_.push_back(std::cos(angle));
  }
  alpha_.back() = 0;
  sigma_.back() = 1;
}

NoisePath::NoisePath(const std::vector<double>& sigmas) : sigma_(sigmas) {
  if (sigmas.size() < 2 || sigmas.front() != 0 || sigmas.back() != 1)
    throw ValueError("noise_path: sigma must lead from 0 to 1, got " + std::to_string(sigmas.size()) + " numbers" +
                     (sigmas.empty() ? "" : " from " + decimal(sigmas.front()) + " to " + decimal(sigmas.back())));
  for (size_t k = 0; k < sigmas.size(); ++k) {
    if (k > 0 && !(sigmas[k] > sigmas[k - 1]))
      throw ValueError("noise_path: sigma must ascend, " + decimal(sigmas[k - 1]) + " is followed by " + decimal(sigmas[k]));
    alpha_.push_back(std::sqrt(1 - sigmas[k] * sigmas[k]));
  }
}

size_t NoisePath::checked(int64_t k) const {
  if (k < 0 || k > levels())
    throw IndexError("noise_path: level " + std::to_string(k) + " is outside [0, " + std::to_string(levels()) + "]");
  return static_cast<size_t>(k);
}

Tensor NoisePath::at(const Tensor& z, const Tensor& e, const std::vector<int64_t>& k, int64_t offset) const {
  return per_example(levels_at(alpha_, k, z, offset), z) * z + per_example(levels_at(sigma_, k, z, offset), z) * e;
}

NoisePath::Neighbours NoisePath::couple(const Tensor& z, const Tensor& e, const std::vector<int64_t>& k) const {
  if (z.shape() != e.shape()) throw ShapeError("noise_path: z " + to_string(z.shape()) + " and e " + to_string(e.shape()) + " differ");
  for (int64_t i : k)
    if (i < 0 || i >= levels())
      throw IndexError("noise_path: level " + std::to_string(i) + " is outside [0, " + std::to_string(levels()) + ")");
  return {at(z, e, k, 0), at(z, e, k, 1)};
}

Tensor Distance::operator()(const Tensor& a, const Tensor& b) const { return consistency_distances(metric, a, b, h); }

Tensor noise_consistency_losses(const ControlledGenerator& g, const NoisePath::Neighbours& pair, const Tensor& control, const Distance& d) {
  Tensor target;
  {
    NoGrad off;
    target = g(pair.low, control);
  }
  return d(g(pair.high, control), target);
}

Tensor boundary_losses(const ControlledGenerator& g, const Tensor& z, const Tensor& x, const Tensor& control, const Distance& d) {
  Tensor y = g(z, control);
  if (y.shape() != x.shape())
    throw ShapeError("nct: the adapted generator makes " + to_string(y.shape()) + ", the frozen one " + to_string(x.shape()));
  return d(y, x.detach());
}

Tensor particle_losses(const Tensor& a, const Tensor& b, const Distance& d) {
  if (a.rank() < 3 || a.shape() != b.shape())
    throw ShapeError("particle_losses: takes two [B, M, ..] of one shape, got " + to_string(a.shape()) + " and " + to_string(b.shape()));
  int64_t batch = a.size(0), m = a.size(1);
  Tensor x = flatten(a, 2), y = flatten(b, 2);
  auto between = [&](const Tensor& u, const Tensor& v) {  // the mean over i and j of d(u_i, v_j)
    Shape all{batch, m, m, u.size(2)};
    Tensor left = reshape(expand(unsqueeze(u, 2), all), {batch * m * m, u.size(2)}),
           right = reshape(expand(unsqueeze(v, 1), all), {batch * m * m, u.size(2)});
    return mean(reshape(d(left, right), {batch, m * m}), {1});
  };
  return between(x, y) - (between(x, x) + between(y, y)) * 0.5;
}

void NctOptions::check() const {
  if (levels < 1) throw ValueError("nct: levels must be at least 1, it is " + std::to_string(levels));
  if (particles < 1) throw ValueError("nct: particles must be at least 1, it is " + std::to_string(particles));
  if (!(distance.h > 0)) throw ValueError("nct: h must be positive, it is " + std::to_string(distance.h));
  dual.check();
}

NctTraining::NctTraining(const NctOptions& options) : options_((options.check(), options)), path_(options.levels), dual_(options.dual) {}

// With several particles the rows of z and c are repeated, each with an e of its own.
Tensor NctTraining::consistency_losses(const ControlledGenerator& g, const Coupled& batch, Generator& generator) const {
  int64_t m = options_.particles, rows = batch.z.size(0);
  std::vector<int64_t> k;
  for (int64_t i = 0; i < rows; ++i) {
    auto drawn = static_cast<int64_t>(generator.next_below(static_cast<uint64_t>(path_.levels())));
    k.insert(k.end(), static_cast<size_t>(m), drawn);
  }
  Tensor z = m == 1 ? batch.z : repeat_interleave(batch.z, m, 0), c = m == 1 ? batch.control : repeat_interleave(batch.control, m, 0);
  NoisePath::Neighbours pair = path_.couple(z, randn_like(z, &generator), k);
  if (m == 1) return noise_consistency_losses(g, pair, c, options_.distance);
  Tensor target;
  {
    NoGrad off;
    target = g(pair.low, c);
  }
  return particle_losses(unflatten(g(pair.high, c), 0, {rows, m}), unflatten(target, 0, {rows, m}), options_.distance);
}

Tensor NctTraining::loss(const ControlledGenerator& g, const Coupled& batch, Generator& generator) {
  if (batch.z.rank() < 2 || batch.control.rank() < 1 || batch.control.size(0) != batch.z.size(0))
    throw ShapeError("nct: noise " + to_string(batch.z.shape()) + " and controls " + to_string(batch.control.shape()) +
                     " are not one for one");
  Tensor bound = mean(boundary_losses(g, batch.z, batch.x, batch.control, options_.distance));
  Tensor consistent = mean(consistency_losses(g, batch, generator));
  boundary_ = bound.item();
  consistency_ = consistent.item();
  return consistent + bound * dual_.value();
}

}  // namespace plumb::methods::nct
