// Low-rank projected gradient descent, and block coordinate descent.
#include <cmath>
#include <string>

#include "engine/autograd/grad_mode.h"
#include "methods/classical/sdl/sdl.h"
#include "methods/common/logistic_regression.h"
#include "methods/common/low_rank.h"
#include "ops/elementary.h"
#include "ops/index.h"
#include "ops/linalg.h"
#include "ops/matmul.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::methods::sdl {
namespace {

void check(const SdlData& d, int64_t rank, double xi, double nu, int64_t iterations) {
  int64_t most = std::min(d.x.size(0), d.x.size(1));
  if (rank < 1 || rank > most)
    throw ValueError("sdl: the rank " + std::to_string(rank) + " must lie in [1, " + std::to_string(most) + "] for data " +
                     to_string(d.x.shape()));
  if (!(xi >= 0 && std::isfinite(xi))) throw ValueError("sdl: xi must be finite and not negative, it is " + decimal(xi));
  if (!(nu >= 0 && std::isfinite(nu))) throw ValueError("sdl: nu must be finite and not negative, it is " + decimal(nu));
  if (iterations < 1) throw ValueError("sdl: needs at least 1 iteration, got " + std::to_string(iterations));
}

double squared_norm(const Tensor& x) {
  double s = spectral_norm(x);
  return s * s;
}

}  // namespace

Lpgd sdl_lpgd(const SdlData& data, const LpgdOptions& o) {
  NoGrad off;
  SdlData d = checked(data);
  check(d, o.rank, o.xi, o.nu, o.iterations);
  if (!(o.tau >= 0 && std::isfinite(o.tau))) throw ValueError("sdl: tau must be finite and not negative, it is " + decimal(o.tau));
  SdlModel start = o.start.w.defined() ? o.start : principal_start(d, o.rank, o.kind);
  double tau = o.tau > 0 ? o.tau : 1 / curvature(d, o.kind, o.xi, o.nu).smooth;
  Lpgd found{{}, lift(start), start.gamma, {}};
  Lifted at = lifted_objective(found.theta, found.gamma, d, o.kind, o.xi, o.nu);
  for (int64_t k = 0; k < o.iterations; ++k) {
    double step = tau * std::pow(1 + static_cast<double>(k) / 10, -o.decay);
    Tensor moved = found.theta - at.theta * step;
    found.theta = project_rank_gram(o.convex ? o.convex(moved) : moved, o.rank);
    if (found.gamma.size(0) > 0) found.gamma = found.gamma - at.gamma * step;
    at = lifted_objective(found.theta, found.gamma, d, o.kind, o.xi, o.nu);
    found.loss.push_back(at.value);
    if (o.watch) o.watch(k + 1, found.theta, found.gamma);
  }
  found.model = unlift(found.theta, found.gamma, o.kind, o.rank, d.logits());
  return found;
}

namespace {

// What one run of block descent works on.
class Blocks {
 public:
  Blocks(const SdlData& d, const BcdOptions& o, SdlModel start) : model(std::move(start)), d_(d), o_(o) { x_norm_ = squared_norm(d.x); }

  SdlModel model;

  // W of the filter model: ∇ = 2 ξ (W H − X) Hᵀ + X (P − Y) βᵀ + 2 ν W β βᵀ, the labels' part only with supervision.
  void dictionary_by_gradient(int64_t iteration) {
    Tensor before = model.w;
    double c = d_.classes == 2 ? 0.25 : 0.5;
    double lipschitz = 2 * o_.xi * squared_norm(model.h) + (c * x_norm_ + 2 * o_.nu) * squared_norm(model.beta);
    if (lipschitz == 0) return;
    for (int64_t i = 0; i < o_.inner; ++i) {
      Tensor slope = matmul(matmul(model.w, model.h) - d_.x, mT(model.h)) * (2 * o_.xi) +
                     matmul(matmul(d_.x, label_slope()), mT(model.beta)) +
                     matmul(model.w, matmul(model.beta, mT(model.beta))) * (2 * o_.nu);
      model.w = feasible(model.w - slope / lipschitz);
    }
    model.w = trusted(before, model.w, iteration);
  }

  // H of the feature model: ∇ = 2 ξ Wᵀ (W H − X) + β (P − Y)ᵀ + 2 ν β βᵀ H.
  void codes_by_gradient(int64_t iteration) {
    Tensor before = model.h;
    double c = d_.classes == 2 ? 0.25 : 0.5;
    double lipschitz = 2 * o_.xi * squared_norm(model.w) + (c + 2 * o_.nu) * squared_norm(model.beta);
    if (lipschitz == 0) return;
    for (int64_t i = 0; i < o_.inner; ++i) {
      Tensor slope = matmul(mT(model.w), matmul(model.w, model.h) - d_.x) * (2 * o_.xi) + matmul(model.beta, mT(label_slope())) +
                     matmul(model.beta, matmul(mT(model.beta), model.h)) * (2 * o_.nu);
      model.h = feasible(model.h - slope / lipschitz);
    }
    model.h = trusted(before, model.h, iteration);
  }

  void codes_by_least_squares() { model.h = code(model.w, d_.x, o_.nonnegative); }
  void dictionary_by_least_squares() { model.w = contiguous(mT(code(mT(model.h), mT(d_.x), o_.nonnegative))); }

  // F is the same for any scale of W, if the others follow.
  void normalise() {
    double length = norm(model.w).item();
    if (length == 0) return;
    model.w = model.w / length;
    model.h = model.h * length;
    model.beta = model.kind == Kind::filter ? model.beta * length : model.beta / length;
  }

  double loss() const { return objective(model, d_, o_.xi, o_.nu).item(); }

 private:
  Tensor label_slope() const {
    return reference_probabilities(training_logits(model, d_)) - to(narrow(one_hot(d_.labels, d_.classes), 1, 1, d_.logits()), f64);
  }
  Tensor feasible(const Tensor& block) const { return o_.nonnegative ? clamp_min(block, 0) : block; }
  // Back towards `before`, if it went too far: between two points F is no larger than at the worse of them.
  Tensor trusted(const Tensor& before, const Tensor& now, int64_t iteration) const {
    if (!(o_.trust > 0)) return now;
    double k = static_cast<double>(iteration + 1), radius = o_.trust * std::pow(k, -o_.trust_decay) / std::log(k + 1),
           moved = norm(now - before).item();
    return moved > radius ? before + (now - before) * (radius / moved) : now;
  }

  const SdlData& d_;
  const BcdOptions& o_;
  double x_norm_;
};

SdlModel starting_model(const SdlData& d, const BcdOptions& o) {
  SdlModel m = o.start.w.defined() ? o.start : principal_start(d, o.rank, o.kind);
  if (!o.start.w.defined()) {
    RandomOptions drawn{.dtype = f64, .generator = o.generator};
    double scale = o.noise / std::sqrt(static_cast<double>(m.w.numel()));
    m.w = m.w + randn(m.w.shape(), drawn) * scale;
    m.h = m.h + randn(m.h.shape(), drawn) * (o.noise * norm(m.h).item() / std::sqrt(static_cast<double>(m.h.numel())));
  }
  if (o.nonnegative) {
    m.w = abs(m.w);
    m.h = abs(m.h);
  }
  return m;
}

}  // namespace

Bcd sdl_bcd(const SdlData& data, const BcdOptions& o) {
  NoGrad off;
  SdlData d = checked(data);
  check(d, o.rank, o.xi, o.nu, o.iterations);
  if (o.inner < 1) throw ValueError("sdl: needs at least 1 inner step, got " + std::to_string(o.inner));
  Blocks blocks(d, o, starting_model(d, o));
  SdlModel& m = blocks.model;
  if (o.supervised) m = refit_classifier(m, d, o.nu);
  Bcd found;
  for (int64_t k = 0; k < o.iterations; ++k) {
    bool filter = o.kind == Kind::filter && o.supervised;
    if (filter)
      blocks.dictionary_by_gradient(k);
    else
      blocks.dictionary_by_least_squares();
    blocks.normalise();
    found.loss.push_back(blocks.loss());
    if (o.kind == Kind::feature && o.supervised)
      blocks.codes_by_gradient(k);
    else
      blocks.codes_by_least_squares();
    found.loss.push_back(blocks.loss());
    if (o.supervised) m = refit_classifier(m, d, o.nu);
    found.loss.push_back(blocks.loss());
    if (o.watch) o.watch(k + 1, m);
  }
  if (!o.supervised) m = refit_classifier(m, d, o.nu);
  found.model = m;
  return found;
}

}  // namespace plumb::methods::sdl
