// Least squares and training of autoregressions.
#include "methods/time_series/ar_net/fit.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "engine/core/error.h"
#include "engine/data/dataset.h"
#include "methods/common/least_squares.h"
#include "models/optim/adam.h"
#include "models/optim/schedule.h"
#include "ops/index.h"
#include "ops/join.h"
#include "ops/linalg.h"
#include "ops/loss.h"
#include "ops/matmul.h"
#include "ops/pointwise.h"
#include "ops/shape.h"

namespace plumb::methods::ar_net {
namespace {

void check_rows(const char* op, const Tensor& lags, const Tensor& targets) {
  if (lags.rank() != 2 || targets.rank() != 2 || lags.size(0) != targets.size(0))
    throw ShapeError(
        fmt::format("{}: lags [n, p] and targets [n, h] do not fit: {} and {}", op, to_string(lags.shape()), to_string(targets.shape())));
}

Tensor by_qr(const Tensor& a, const Tensor& targets) {
  std::vector<Tensor> columns;
  for (const Tensor& y : unbind(targets, 1)) columns.push_back(lsq_exact(a, contiguous(y)));
  return stack(columns, 1);
}

Tensor by_normal_equations(const Tensor& a, const Tensor& targets) {
  Tensor at = mT(a), l = cholesky(matmul(at, a));
  return triangular_solve(mT(l), triangular_solve(l, matmul(at, targets)), true);
}

void check_training(const ArTraining& t, int64_t rows) {
  if (rows < 1) throw ValueError("ar_net: there are no rows to train on");
  if (t.epochs < 1 || t.batch < 1)
    throw ValueError(fmt::format("ar_net: epochs and batch must be at least 1, they are {} and {}", t.epochs, t.batch));
  if (!(t.lambda >= 0)) throw ValueError(fmt::format("ar_net: lambda must not be negative, it is {}", t.lambda));
  if (!(t.decay > 0 && t.decay <= 1)) throw ValueError(fmt::format("ar_net: the decay must lie in (0, 1], it is {}", t.decay));
  if (!(t.ramp_epochs >= 0))
    throw ValueError(fmt::format("ar_net: the epochs of the ramp must not be negative, they are {}", t.ramp_epochs));
}

// The share of λ that counts in step `step` of an epoch's `steps`.
double share_of_lambda(const ArTraining& t, int64_t epoch, int64_t step, int64_t steps) {
  if (t.ramp == Ramp::quadratic)
    return quadratic_ramp((static_cast<double>(epoch) + static_cast<double>(step) / static_cast<double>(steps)) /
                          static_cast<double>(t.epochs));
  return t.ramp_epochs > 0 ? std::min(1.0, static_cast<double>(epoch) / t.ramp_epochs) : 1;
}

}  // namespace

Tensor ArFit::operator()(const Tensor& lags) const { return linear(to(lags, f64), coefficients, intercept); }

ArFit fit_ar_least_squares(const Tensor& lags, const Tensor& targets, LeastSquares how) {
  check_rows("fit_ar_least_squares", lags, targets);
  int64_t n = lags.size(0), p = lags.size(1);
  if (n <= p) throw ValueError(fmt::format("fit_ar_least_squares: {} rows do not determine {} coefficients and an intercept", n, p));
  Tensor a = cat({to(lags, f64), ones({n, 1}, f64)}, 1), y = to(targets, f64);
  Tensor x = mT(how == LeastSquares::qr ? by_qr(a, y) : by_normal_equations(a, y));  // [h, p + 1]
  return {contiguous(narrow(x, 1, 0, p)), contiguous(select(x, 1, p))};
}

ArTraining second_version(double lr) {
  return {.epochs = 20,
          .batch = 32,
          .lr = lr,
          .one_cycle = true,
          .huber = true,
          .penalty = Penalty::sparsity,
          .ramp = Ramp::quadratic,
          .form = {.c1 = 2, .c2 = 2}};
}

Tensor penalty_of(const ArNet& net, const ArTraining& t) {
  switch (t.penalty) {
    case Penalty::sparsity:
      return ar_sparsity_penalty(net.lag_weight(), t.form);
    case Penalty::l1:
      return power_penalty(net.lag_weight(), 1, t.form.clip);
    case Penalty::square_root:
      return power_penalty(net.lag_weight(), 0.5, t.form.clip);
    default:
      return {};
  }
}

void train_ar_net(ArNet& net, const Tensor& lags, const Tensor& targets, const ArTraining& t, Generator& generator) {
  check_rows("ar_net", lags, targets);
  int64_t rows = lags.size(0);
  check_training(t, rows);
  int64_t steps = (rows + t.batch - 1) / t.batch;
  optim::Adam adam(net.parameters(), {.lr = t.lr});
  std::optional<optim::Schedule> cycle;
  if (t.one_cycle) cycle = optim::one_cycle(t.epochs * steps, 0.25, 25, 1e4);
  double scale = 1;
  for (int64_t epoch = 0; epoch < t.epochs; ++epoch, scale *= t.decay) {
    Tensor order = from_vector(data::random_order(rows, generator));
    for (int64_t step = 0; step < steps; ++step) {
      Tensor at = narrow(order, 0, step * t.batch, std::min(t.batch, rows - step * t.batch));
      Tensor predicted = net(index_select(lags, 0, at)), truth = index_select(targets, 0, at);
      Tensor loss = t.huber ? huber_loss(predicted, truth) : mse_loss(predicted, truth);
      double lambda = t.penalty == Penalty::none ? 0 : t.lambda * share_of_lambda(t, epoch, step, steps);
      if (lambda > 0) loss = loss + lambda * penalty_of(net, t);
      adam.set_lr_scale(cycle ? (*cycle)(epoch * steps + step) : scale);
      adam.zero_grad();
      loss.backward();
      adam.step();
    }
    if (t.each_epoch) t.each_epoch(epoch + 1);
  }
}

}  // namespace plumb::methods::ar_net
