// How the time of a fit grows with the order: least squares by normal equations against AR-Net, on one series.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <optional>
#include <vector>

#include "engine/autograd/grad_mode.h"
#include "methods/experiment.h"
#include "methods/time_series/ar_net/ar_process.h"
#include "methods/time_series/ar_net/study.h"
#include "models/metrics/line_fit.h"

namespace plumb::methods::ar_net_scaling {
namespace {

using namespace ar_net;

constexpr int64_t kTest = 1000;
constexpr int64_t kFrom = 100;  // orders from here on give the exponent: below, what every step costs anyway counts

std::vector<int64_t> orders(const Cell& cell) {
  if (cell.budget() == Budget::smoke) return {50, 100, 200};
  if (cell.budget() == Budget::full) return {25, 50, 100, 200, 400, 800, 1600};
  return {25, 50, 100, 200, 400, 800};
}

struct Timed {
  double seconds, test_error;
};

template <typename F>
double seconds_of(F&& f) {
  auto start = std::chrono::steady_clock::now();
  f();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

Timed least_squares(const TimeSplit& s) {
  std::optional<ArFit> fit;
  double seconds = seconds_of([&] { fit = fit_ar_least_squares(s.train_lags, s.train_targets, LeastSquares::normal_equations); });
  return {seconds, squared_error((*fit)(s.test_lags), s.test_targets)};
}

// The paper's training: ten epochs of batches of 128.
Timed ar_net_of(const TimeSplit& s, const Cell& cell) {
  ArTraining t{.epochs = cell.pick<int64_t>(2, 10, 10), .lr = 2e-3};
  t.penalty = Penalty::sparsity;
  t.lambda = ar_lambda(3.0 / static_cast<double>(s.train_lags.size(1)), 0.02);
  std::optional<ArNet> net;
  double seconds = seconds_of([&] { net = trained(s, t); });
  NoGrad off;
  return {seconds, squared_error((*net)(s.test_lags), s.test_targets)};
}

void run(Cell& cell) {
  int64_t length = cell.pick<int64_t>(1200, 20'000, 100'000), repeats = cell.pick<int64_t>(1, 3, 3);
  auto series = cell.shared("series", [&] { return simulate_ar(tensor({.2, .3, -.5}, f64), length + kTest, default_generator()); });
  std::vector<double> order, time;
  std::vector<int64_t> all = orders(cell);
  Timed last{};
  for (size_t k = 0; k < all.size(); ++k) {
    TimeSplit s = split_in_time(*series, all[k], length);
    double fastest = 1e300;
    for (int64_t repeat = 0; repeat < repeats; ++repeat) {
      last = cell.is("AR-Net") ? ar_net_of(s, cell) : least_squares(s);
      fastest = std::min(fastest, last.seconds);
      cell.progress((static_cast<double>(k) + static_cast<double>(repeat + 1) / static_cast<double>(repeats)) /
                    static_cast<double>(all.size()));
    }
    cell.point("log10 of the seconds of a fit", "log10 of the order", std::log10(static_cast<double>(all[k])), std::log10(fastest));
    if (k == 0) cell.metric("seconds, smallest order", fastest);
    if (all[k] >= kFrom) order.push_back(static_cast<double>(all[k])), time.push_back(fastest);
  }
  cell.metric("seconds, largest order", time.back());
  cell.metric("exponent, order 100 and up", power_law_fit(order, time).slope);
  cell.metric("test MSE, largest order", last.test_error);
}

}  // namespace

Experiment experiment() {
  return {
      .title = "AR-Net's time",
      .paper = "Triebe, Laptev and Rajagopal, AR-Net: A simple Auto-Regressive Neural Network for time-series, 2019 (arXiv 1911.12436)",
      .claim = "its time grows linearly with the order, that of least squares quadratically",
      .metrics = {{"exponent, order 100 and up", Better::lower},
                  {"seconds, smallest order", Better::lower},
                  {"seconds, largest order", Better::lower},
                  {"test MSE, largest order", Better::lower}},
      .variants = {{"least squares", "normal equations and Cholesky's factor, in f64"}, {"AR-Net", "ten epochs of batches of 128, in f32"}},
      .baseline = "least squares",
      .method = "AR-Net",
      .run = run,
  };
}

}  // namespace plumb::methods::ar_net_scaling
