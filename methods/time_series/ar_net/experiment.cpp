// AR-Net on simulated processes whose few true lags are known: does it find them where the order is far too large, and is it least squares
// where nothing is to be found?
#include "methods/experiment.h"

#include <fmt/format.h>

#include <cmath>

#include "engine/autograd/grad_mode.h"
#include "methods/time_series/ar_net/ar_process.h"
#include "methods/time_series/ar_net/study.h"
#include "ops/elementary.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::methods::ar_net {
namespace {

constexpr int64_t kTrueOrder = 10;  // of the process with lags 1, 3 and 10
constexpr int64_t kTest = 1000;     // steps after the training part
constexpr double kTrueLags = 3;     // that are expected: s = 3 / p

// The card's training for short and for long series.
constexpr int64_t kShortBatch = 32, kLongBatch = 128;
constexpr double kShortRate = 3e-3, kShortDecay = 0.98, kLongRate = 2e-3, kLongDecay = 0.9;
// c of the baselines' penalties, for short and for long series: λ = c (1/s − 1).
constexpr double kLassoShort = 0.4, kLassoLong = 0.1, kRootShort = 0.1, kRootLong = 0.1;

Tensor true_coefficients() { return tensor({.2, 0., .3, 0., 0., 0., 0., 0., 0., -.5}, f64); }
Tensor third_order() { return tensor({.2, .3, -.5}, f64); }

// c of a variant's penalty, by its name: "AR-Net, c = 0.02".
double strength(const std::string& variant, bool is_short) {
  if (variant.ends_with("L1")) return is_short ? kLassoShort : kLassoLong;
  if (variant.ends_with("square root")) return is_short ? kRootShort : kRootLong;
  size_t at = variant.find("c = ");
  return at == std::string::npos ? 0 : std::stod(variant.substr(at + 4));
}

Penalty penalty_of_variant(const std::string& variant) {
  if (variant.ends_with("L1")) return Penalty::l1;
  if (variant.ends_with("square root")) return Penalty::square_root;
  return variant.find("c = ") != std::string::npos ? Penalty::sparsity : Penalty::none;
}

ArTraining training_of(const Cell& cell, int64_t order, bool is_short) {
  ArTraining t;
  t.epochs = is_short ? cell.pick<int64_t>(30, 200, 200) : cell.pick<int64_t>(4, 30, 30);
  t.batch = is_short ? kShortBatch : kLongBatch;
  t.lr = is_short ? kShortRate : kLongRate;
  t.decay = is_short ? kShortDecay : kLongDecay;
  if (cell.budget() == Budget::smoke) t.lr *= 4;
  t.ramp_epochs = static_cast<double>(t.epochs) / 3;
  t.penalty = penalty_of_variant(cell.variant());
  t.lambda = ar_lambda(std::min(1.0, kTrueLags / static_cast<double>(order)), strength(cell.variant(), is_short));
  return t;
}

struct Fitted {
  Tensor coefficients;  // f64 [p]
  double test_error;
};

Fitted fitted(Cell& cell, const TimeSplit& s, bool is_short, double from, double to) {
  if (cell.variant().starts_with("least")) {
    ArFit fit = fit_ar_least_squares(s.train_lags, s.train_targets, LeastSquares::normal_equations);
    return {select(fit.coefficients, 0, 0), squared_error(fit(s.test_lags), s.test_targets)};
  }
  ArTraining t = training_of(cell, s.train_lags.size(1), is_short);
  t.each_epoch = [&](int64_t epoch) { cell.progress(from + (to - from) * static_cast<double>(epoch) / static_cast<double>(t.epochs)); };
  ArNet net = trained(s, t);
  NoGrad off;
  return {plumb::to(select(net.coefficients(), 0, 0), f64), squared_error(net(s.test_lags), s.test_targets)};
}

Tensor least_squares_weights(const TimeSplit& s) {
  return select(fit_ar_least_squares(s.train_lags, s.train_targets, LeastSquares::normal_equations).coefficients, 0, 0);
}

// One length of the series, one order.
void run_problem(Cell& cell, int64_t length, int64_t order, const char* name, bool is_short, double from, double to) {
  auto series =
      cell.shared(fmt::format("{} steps", length), [&] { return simulate_ar(true_coefficients(), length + kTest, default_generator()); });
  bool oracle = cell.is("least squares, true order");
  TimeSplit s = split_in_time(*series, oracle ? kTrueOrder : order, length);
  Fitted f = fitted(cell, s, is_short, from, to);
  cell.metric(fmt::format("sTPE, {}", name), stpe(f.coefficients, true_coefficients()));
  cell.metric(fmt::format("test MSE, {}", name), f.test_error);
  if (order != 20 || !is_short) return;
  Tensor apart = oracle ? zeros({1}, f64) : f.coefficients - least_squares_weights(s);
  cell.metric("‖w − least squares‖, p = 20", norm(apart).item());
  std::vector<double> w = to_vector(f.coefficients);
  for (size_t k = 0; k < w.size(); ++k) cell.point("weights at N = 1,000", "lag", static_cast<double>(k + 1), w[k]);
}

// Claim 1: at the true order, trained without a penalty (s = 1), it is least squares. The same for all that are trained.
double distance_at_true_order(Cell& cell) {
  int64_t length = cell.pick<int64_t>(300, 1000, 1000);
  TimeSplit s = split_in_time(simulate_ar(third_order(), length, default_generator()), 3, length - 1);
  ArTraining t = training_of(cell, 3, true);
  t.penalty = Penalty::none;
  return amax(abs(plumb::to(select(trained(s, t).coefficients(), 0, 0), f64) - least_squares_weights(s))).item();
}

void run(Cell& cell) {
  int64_t few = cell.pick<int64_t>(300, 1000, 1000), many = cell.pick<int64_t>(600, 20'000, 100'000);
  run_problem(cell, few, 20, "p = 20, N = 1,000", true, 0, 0.4);
  run_problem(cell, many, 20, "p = 20, N = 20,000", false, 0.4, 0.7);
  run_problem(cell, many, cell.pick<int64_t>(40, 100, 300), "p = 100, N = 20,000", false, 0.7, 1);
  bool exact = cell.variant().starts_with("least");
  cell.metric("largest |w − least squares|, p = 3", exact ? 0 : *cell.shared("true order", [&] { return distance_at_true_order(cell); }));
}

}  // namespace

Experiment experiment() {
  return {
      .title = "AR-Net",
      .paper = "Triebe, Laptev and Rajagopal, AR-Net: A simple Auto-Regressive Neural Network for time-series, 2019 (arXiv 1911.12436)",
      .claim = "trained step by step it is least squares; with its regulariser it finds three true lags among many",
      .metrics = {{"sTPE, p = 20, N = 1,000", Better::lower},
                  {"test MSE, p = 20, N = 1,000", Better::lower},
                  {"sTPE, p = 20, N = 20,000", Better::lower},
                  {"test MSE, p = 20, N = 20,000", Better::lower},
                  {"sTPE, p = 100, N = 20,000", Better::lower},
                  {"test MSE, p = 100, N = 20,000", Better::lower},
                  {"‖w − least squares‖, p = 20", Better::neither},
                  {"largest |w − least squares|, p = 3", Better::lower}},
      .variants = {{"least squares", "exact, with an intercept: Classic-AR"},
                   {"least squares, true order", "an oracle: of the ten lags that the process reads"},
                   {"AR-Net, no penalty", "the same model, trained by Adam"},
                   {"AR-Net, L1", "the lasso's penalty"},
                   {"AR-Net, square root", "mean of the roots of the weights' sizes"},
                   {"AR-Net, c = 0.02", "the paper's penalty, as weak as the released code has it"},
                   {"AR-Net, c = 0.1", "the paper's penalty"},
                   {"AR-Net, c = 0.2", "the paper's penalty, as strong as 1,000 values want it"}},
      .baseline = "least squares",
      .method = "AR-Net, c = 0.1",
      .run = run,
  };
}

}  // namespace plumb::methods::ar_net
