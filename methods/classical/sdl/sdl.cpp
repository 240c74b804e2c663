// The model, its objective, the lifted form, and prediction.
#include "methods/classical/sdl/sdl.h"

#include <cmath>
#include <string>

#include "engine/autograd/backward.h"
#include "engine/autograd/grad_mode.h"
#include "methods/common/class_rows.h"
#include "methods/common/logistic_regression.h"
#include "models/optim/minimize.h"
#include "ops/elementary.h"
#include "ops/index.h"
#include "ops/join.h"
#include "ops/linalg.h"
#include "ops/matmul.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::methods::sdl {
namespace {

void check_finite(const char* what, const Tensor& x) {
  if (x.numel() > 0 && !all(isfinite(x)).item<bool>()) throw ValueError(std::string("sdl: ") + what + " has a number that is not finite");
}

// Γᵀ x' [n, κ]; 0 where there are no covariates.
Tensor aux_logits(const Tensor& aux, const Tensor& gamma, int64_t columns) {
  if (gamma.size(0) == 0) return zeros({columns, gamma.size(1)}, f64);
  return matmul(mT(aux), gamma);
}

Tensor residual_gradient(const Tensor& logits, const SdlData& d) {  // P − Y, [n, κ]
  return reference_probabilities(logits) - to(narrow(one_hot(d.labels, d.classes), 1, 1, d.logits()), f64);
}

Tensor aux_or_none(const Tensor& aux, int64_t columns, int64_t rows) {
  if (!aux.defined()) {
    if (rows > 0) throw ShapeError("sdl: the model takes " + std::to_string(rows) + " covariates, got none");
    return zeros({0, columns}, f64);
  }
  if (aux.rank() != 2 || aux.size(0) != rows || aux.size(1) != columns)
    throw ShapeError("sdl: covariates " + to_string(aux.shape()) + " must be [" + std::to_string(rows) + ", " + std::to_string(columns) +
                     "]");
  return to(aux, f64);
}

}  // namespace

SdlData checked(const SdlData& d) {
  if (d.x.rank() != 2 || d.labels.rank() != 1 || d.x.size(1) != d.labels.size(0))
    throw ShapeError("sdl: data " + to_string(d.x.shape()) + " and labels " + to_string(d.labels.shape()) + " must be [p, n] and [n]");
  SdlData wide{to(d.x.detach(), f64), d.labels, {}, d.classes};
  check_finite("X", wide.x);
  check_class_rows("sdl", mT(wide.x), d.labels, d.classes);
  if (d.aux.defined() && (d.aux.rank() != 2 || d.aux.size(1) != d.x.size(1)))
    throw ShapeError("sdl: data " + to_string(d.x.shape()) + " and covariates " + to_string(d.aux.shape()) + " must have as many columns");
  wide.aux = d.aux.defined() ? to(d.aux.detach(), f64) : zeros({0, d.x.size(1)}, f64);
  check_finite("X'", wide.aux);
  return wide;
}

Tensor training_logits(const SdlModel& m, const SdlData& d) {
  Tensor seen = m.kind == Kind::filter ? matmul(mT(d.x), m.w) : mT(m.h);
  return matmul(seen, m.beta) + aux_logits(aux_or_none(d.aux, d.x.size(1), m.gamma.size(0)), m.gamma, d.x.size(1));
}

Tensor objective(const SdlModel& m, const SdlData& d, double xi, double nu) {
  Tensor loss = reference_cross_entropy(training_logits(m, d), d.labels) + sum(square(d.x - matmul(m.w, m.h))) * xi;
  if (nu == 0) return loss;
  Tensor a = m.kind == Kind::filter ? matmul(m.w, m.beta) : matmul(mT(m.beta), m.h);
  Tensor penalty = sum(square(a));
  return loss + (m.gamma.size(0) > 0 ? penalty + sum(square(m.gamma)) : penalty) * nu;
}

Tensor lift(const SdlModel& m) {
  Tensor b = matmul(m.w, m.h);
  return m.kind == Kind::filter ? cat({matmul(m.w, m.beta), b}, 1) : cat({matmul(mT(m.beta), m.h), b}, 0);
}

SdlModel unlift(const Tensor& theta, const Tensor& gamma, Kind kind, int64_t rank, int64_t logits) {
  int64_t most = std::min(theta.size(0), theta.size(1));
  if (rank < 1 || rank > most) throw ValueError("sdl: the rank " + std::to_string(rank) + " must lie in [1, " + std::to_string(most) + "]");
  Svd s = svd(to(theta, f64));
  Tensor root = plumb::sqrt(narrow(s.s, 0, 0, rank)), left = narrow(s.u, 1, 0, rank) * root,
         right = mT(mT(narrow(s.vh, 0, 0, rank)) * root);
  SdlModel m{kind, {}, {}, {}, gamma};
  if (kind == Kind::filter) {
    m.w = left;
    m.beta = contiguous(narrow(right, 1, 0, logits));
    m.h = contiguous(narrow(right, 1, logits, right.size(1) - logits));
  } else {
    m.beta = contiguous(mT(narrow(left, 0, 0, logits)));
    m.w = contiguous(narrow(left, 0, logits, left.size(0) - logits));
    m.h = right;
  }
  double length = norm(m.w).item();
  if (length == 0) return m;
  m.w = m.w / length;
  m.h = m.h * length;
  m.beta = kind == Kind::filter ? m.beta * length : m.beta / length;
  return m;
}

Lifted lifted_objective(const Tensor& theta, const Tensor& gamma, const SdlData& d, Kind kind, double xi, double nu) {
  NoGrad off;
  bool filter = kind == Kind::filter;
  int64_t k = d.logits(), across = filter ? 1 : 0;
  Tensor a = narrow(theta, static_cast<int>(across), 0, k),
         b = narrow(theta, static_cast<int>(across), k, theta.size(static_cast<int>(across)) - k);
  Tensor logits = (filter ? matmul(mT(d.x), a) : mT(a)) + aux_logits(d.aux, gamma, d.x.size(1)), difference = residual_gradient(logits, d);
  Tensor by_a = (filter ? matmul(d.x, difference) : mT(difference)) + a * (2 * nu), by_b = (b - d.x) * (2 * xi);
  Lifted f;
  f.value = reference_cross_entropy(logits, d.labels).item() + xi * sum(square(d.x - b)).item() + nu * sum(square(a)).item();
  f.theta = cat({by_a, by_b}, static_cast<int>(across));
  f.gamma = gamma;
  if (gamma.size(0) > 0) {
    f.value += nu * sum(square(gamma)).item();
    f.gamma = matmul(d.aux, difference) + gamma * (2 * nu);
  }
  return f;
}

double spectral_norm(const Tensor& x) {
  if (x.numel() == 0) return 0;
  Tensor wide = to(x.detach(), f64), gram = x.size(0) <= x.size(1) ? matmul(wide, mT(wide)) : matmul(mT(wide), wide);
  Generator g(1);
  Tensor v = randn({gram.size(0)}, {.dtype = f64, .generator = &g});
  double before = -1, now = 0;
  for (int i = 0; i < 10'000 && std::abs(now - before) > 1e-14 * now; ++i) {
    double length = norm(v).item();
    if (length == 0) return 0;
    v = matmul(gram, v / length);
    before = now;
    now = norm(v).item();
    if (now == 0) return 0;
  }
  return std::sqrt(now);
}

Curvature curvature(const SdlData& d, Kind kind, double xi, double nu) {
  double c = d.classes == 2 ? 0.25 : 0.5, aux = d.aux.defined() ? spectral_norm(d.aux) : 0;
  double seen = kind == Kind::feature ? 1 + aux * aux : 0;
  if (kind == Kind::filter) {
    double s = spectral_norm(d.aux.defined() && d.aux.size(0) > 0 ? cat({d.x, d.aux}, 0) : d.x);
    seen = s * s;
  }
  return {std::max(c * seen + 2 * nu, 2 * xi), 2 * std::min(nu, xi)};
}

double contraction(double tau, const Curvature& c) { return 2 * std::max(std::abs(1 - tau * c.convex), std::abs(1 - tau * c.smooth)); }

SdlModel principal_start(const SdlData& d, int64_t rank, Kind kind) {
  int64_t most = std::min(d.x.size(0), d.x.size(1));
  if (rank < 1 || rank > most)
    throw ValueError("sdl: the rank " + std::to_string(rank) + " must lie in [1, " + std::to_string(most) + "] for data " +
                     to_string(d.x.shape()));
  double length = std::sqrt(static_cast<double>(rank));
  Tensor u = narrow(svd(d.x).u, 1, 0, rank);
  int64_t covariates = d.aux.defined() ? d.aux.size(0) : 0;
  return {kind, u / length, matmul(mT(u), d.x) * length, zeros({rank, d.logits()}, f64), zeros({covariates, d.logits()}, f64)};
}

// With the features F of the classifier as F = Q R, β' = R β has ‖A‖ = ‖β'‖, so that the penalty is a plain ridge.
SdlModel refit_classifier(const SdlModel& model, const SdlData& d, double nu) {
  bool filter = model.kind == Kind::filter;
  Tensor basis = filter ? model.w : mT(model.h), features = filter ? matmul(mT(d.x), model.w) : mT(model.h), start = model.beta, r;
  if (nu > 0) {
    Qr factored = qr(basis);
    r = factored.r;
    features = filter ? matmul(mT(d.x), factored.q) : factored.q;
    start = matmul(r, start);
  }
  Tensor seen = model.gamma.size(0) > 0 ? cat({features, mT(d.aux)}, 1) : features;
  Tensor begin = model.gamma.size(0) > 0 ? cat({start, model.gamma}, 0) : start;
  Tensor found = reference_regression(seen, d.labels, begin, nu);
  SdlModel fitted = model;
  Tensor beta = narrow(found, 0, 0, start.size(0));
  fitted.beta = r.defined() ? triangular_solve(r, beta, true) : contiguous(beta);
  fitted.gamma = contiguous(narrow(found, 0, start.size(0), model.gamma.size(0)));
  return fitted;
}

SdlModel sdl_joint(const SdlData& data, const SdlModel& start, double xi, double nu, int iterations, double tolerance) {
  SdlData d = checked(data);
  bool covariates = d.aux.size(0) > 0;
  auto model_of = [&](const std::vector<Tensor>& p) { return SdlModel{start.kind, p[0], p[1], p[2], covariates ? p[3] : start.gamma}; };
  std::vector<Tensor> from{start.w, start.h, start.beta};
  if (covariates) from.push_back(start.gamma);
  optim::Minimum found = optim::lbfgs_minimize([&](const std::vector<Tensor>& p) { return objective(model_of(p), d, xi, nu); }, from,
                                               {.iterations = iterations, .history = 20, .gradient_tolerance = tolerance});
  return model_of(found.x);
}

Tensor code(const Tensor& w, const Tensor& x, bool nonnegative) {
  Tensor wide = to(x.detach(), f64);
  if (w.rank() != 2 || x.rank() != 2 || w.size(0) != x.size(0))
    throw ShapeError("sdl: dictionary " + to_string(w.shape()) + " and data " + to_string(x.shape()) + " must have as many rows");
  if (!nonnegative) return lstsq(w, wide);
  // Row by row of the code (each has its minimum in closed form given the others), until nothing moves.
  Tensor gram = matmul(mT(w), w), target = matmul(mT(w), wide), h = clamp_min(lstsq(w, wide), 0);
  for (int sweep = 0; sweep < 500; ++sweep) {
    double moved = 0;
    for (int64_t j = 0; j < w.size(1); ++j) {
      double own = gram.data<double>()[j * w.size(1) + j];
      if (own == 0) continue;
      Tensor row = select(h, 0, j), slope = select(target, 0, j) - matmul(select(gram, 0, j), h);
      Tensor better = clamp_min(row + slope / own, 0);
      moved = std::max(moved, max(abs(better - row)).item());
      h = slice_assign(h, unsqueeze(better, 0), 0, j, j + 1);
    }
    if (moved <= 1e-12 * std::max(1.0, max(h).item())) break;
  }
  return h;
}

Tensor predict_logits(const SdlModel& m, const Tensor& x, const Tensor& aux, bool nonnegative) {
  if (x.rank() != 2 || x.size(0) != m.w.size(0))
    throw ShapeError("sdl: data " + to_string(x.shape()) + " must be [" + std::to_string(m.w.size(0)) + ", m]");
  Tensor seen = m.kind == Kind::filter ? matmul(mT(to(x, f64)), m.w) : mT(code(m.w, x, nonnegative));
  return matmul(seen, m.beta) + aux_logits(aux_or_none(aux, x.size(1), m.gamma.size(0)), m.gamma, x.size(1));
}

Tensor predict(const SdlModel& m, const Tensor& x, const Tensor& aux, bool nonnegative) {
  return reference_probabilities(predict_logits(m, x, aux, nonnegative));
}

Tensor predict_exhaustive(const SdlModel& m, const Tensor& x, const Tensor& aux, double xi, int64_t steps) {
  if (m.kind != Kind::feature) throw ValueError("sdl: only the feature model has codes that depend on the label");
  NoGrad off;
  int64_t n = x.size(1), k = m.beta.size(1);
  Tensor wide = to(x, f64), shift = aux_logits(aux_or_none(aux, n, m.gamma.size(0)), m.gamma, n), plain = code(m.w, x);
  double w_norm = spectral_norm(m.w), b_norm = spectral_norm(m.beta), c = k == 1 ? 0.25 : 0.5;
  double step = 1 / (2 * xi * w_norm * w_norm + c * b_norm * b_norm);
  std::vector<Tensor> cost;
  for (int64_t label = 0; label <= k; ++label) {
    SdlData as_if{wide, full({n}, label, i64), {}, k + 1};
    Tensor h = plain, logits;
    for (int64_t i = 0; i < steps; ++i) {
      logits = matmul(mT(h), m.beta) + shift;
      h = h - (matmul(mT(m.w), matmul(m.w, h) - wide) * (2 * xi) + matmul(m.beta, mT(residual_gradient(logits, as_if)))) * step;
    }
    logits = matmul(mT(h), m.beta) + shift;
    Tensor all_logits = cat({zeros({n, 1}, f64), logits}, 1);
    cost.push_back(logsumexp(all_logits, {1}) - select(all_logits, 1, label) + sum(square(wide - matmul(m.w, h)), {0}) * xi);
  }
  return argmin(stack(cost, 1), 1);
}

double reconstruction_error(const Tensor& w, const Tensor& x, bool nonnegative) {
  Tensor wide = to(x, f64);
  return (sum(square(wide - matmul(w, code(w, x, nonnegative)))) / sum(square(wide))).item();
}

}  // namespace plumb::methods::sdl
