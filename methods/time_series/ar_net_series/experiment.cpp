// AR-Net on long real series, one with gaps: temperatures, sunspots, hourly pollution.
#include <fmt/format.h>

#include <array>
#include <cmath>
#include <limits>
#include <numbers>

#include "engine/autograd/grad_mode.h"
#include "engine/data/time_series.h"
#include "methods/experiment.h"
#include "methods/time_series/ar_net/ar_process.h"
#include "methods/time_series/ar_net/study.h"
#include "ops/elementary.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::methods::ar_net_series {
namespace {

using namespace ar_net;

constexpr double kTrain = 0.8;           // of the series, in time
constexpr double kShare = 0.1;           // s, of lags that are expected to count
constexpr double kStrength = 0.02;       // c
constexpr double kLassoStrength = 0.05;  // c of the L1 penalty
constexpr int64_t kHiddenEpochs = 20;    // of the perceptron on the two short series, which it learns by heart in 200
constexpr double kHiddenDecay = 0.85;
constexpr double kCounts = 0.01;                                     // a lag counts from this weight on
constexpr const char* kRows = "training windows, all three series";  // 41,000 published ones, or made-up series

struct Task {
  const char* name;       // in metrics
  const char* published;  // in the data directory
  int64_t order;
  double period;    // of the made-up series
  int64_t made_up;  // its length
  double missing;   // share of its steps in gaps
};
constexpr std::array kTasks{Task{"temperatures", "daily-min-temperatures", 60, 365.25, 3650, 0},
                            Task{"sunspots", "monthly-sunspots", 60, 132, 2820, 0}, Task{"pollution", "pollution", 48, 24, 20'000, 0.05}};

// A season and an autoregression around it, with gaps of ten steps.
Tensor made_up(const Task& task, int64_t n, Generator& g) {
  std::vector<double> y = to_vector(simulate_ar(tensor({.6, 0., .2}, f64), n, g));
  for (size_t t = 0; t < y.size(); ++t) y[t] += 1.5 * std::sin(2 * std::numbers::pi * static_cast<double>(t) / task.period);
  auto gaps = static_cast<int64_t>(task.missing * static_cast<double>(n) / 10);
  for (int64_t k = 0; k < gaps; ++k) {
    uint64_t from = g.next_below(static_cast<uint64_t>(n - 10));
    for (size_t t = from; t < from + 10; ++t) y[t] = std::numeric_limits<double>::quiet_NaN();
  }
  return from_vector(y);
}

Tensor series_of(const Task& task, const Cell& cell, Generator& g) {
  auto published = cell.budget() == Budget::smoke ? std::optional<data::LongSeries>() : data::find_published_series(task.published);
  return published ? from_vector(published->values) : made_up(task, cell.pick<int64_t>(400, task.made_up, task.made_up), g);
}

// Standardised by what comes first in time.
TimeSplit problem(const Task& task, const Cell& cell) {
  Tensor y = series_of(task, cell, default_generator());
  auto end = static_cast<int64_t>(kTrain * static_cast<double>(y.numel()));
  return split_in_time(data::scale_series(y, data::series_scaling(y, end)), cell.pick<int64_t>(24, task.order, task.order), end);
}

ArTraining training_of(const Cell& cell, int64_t rows) {
  ArTraining t{.epochs = cell.pick<int64_t>(5, 200, 200), .batch = 32, .lr = 3e-3, .decay = 0.98};
  if (cell.is("AR-Net, one hidden layer")) t.epochs = cell.pick<int64_t>(5, kHiddenEpochs, kHiddenEpochs), t.decay = kHiddenDecay;
  if (rows > 10'000) t = {.epochs = cell.pick<int64_t>(2, 40, 40), .batch = 128, .lr = 3e-3, .decay = 0.9};
  t.ramp_epochs = static_cast<double>(t.epochs) / 3;
  bool l1 = cell.is("AR-Net, L1");
  if (l1 || cell.is("AR-Net")) {
    t.penalty = l1 ? Penalty::l1 : Penalty::sparsity;
    t.lambda = ar_lambda(kShare, l1 ? kLassoStrength : kStrength);
  }
  return t;
}

struct Forecast {
  double error;
  int64_t lags;
};

Forecast forecast(Cell& cell, const TimeSplit& s, double from) {
  if (cell.is("last value")) return {squared_error(narrow(s.test_lags, 1, 0, 1), s.test_targets), 1};
  if (cell.is("least squares")) {
    ArFit fit = fit_ar_least_squares(s.train_lags, s.train_targets, LeastSquares::normal_equations);
    return {squared_error(fit(s.test_lags), s.test_targets), count_nonzero(abs(fit.coefficients) > kCounts).item<int64_t>()};
  }
  ArTraining t = training_of(cell, s.train_lags.size(0));
  t.each_epoch = [&](int64_t epoch) { cell.progress(from + static_cast<double>(epoch) / static_cast<double>(3 * t.epochs)); };
  std::vector<int64_t> hidden;
  if (cell.is("AR-Net, one hidden layer")) hidden = {s.train_lags.size(1)};
  ArNet net = trained(s, t, hidden);
  if (hidden.empty()) {
    std::vector<double> w = to_vector(net.coefficients());
    for (size_t k = 0; k < w.size(); ++k)
      cell.point(fmt::format("weights, {}", kTasks[static_cast<size_t>(3 * from)].name), "lag", static_cast<double>(k + 1), w[k]);
  }
  NoGrad off;
  return {squared_error(net(s.test_lags), s.test_targets), net.lags_used(kCounts)};
}

void run(Cell& cell) {
  int64_t rows = 0;
  for (size_t k = 0; k < kTasks.size(); ++k) {
    auto split = cell.shared(kTasks[k].name, [&] { return problem(kTasks[k], cell); });
    rows += split->train_lags.size(0);
    Forecast f = forecast(cell, *split, static_cast<double>(k) / 3 + 1e-9);
    cell.metric(fmt::format("test MSE, {}", kTasks[k].name), f.error);
    cell.metric(fmt::format("lags above 0.01, {}", kTasks[k].name), static_cast<double>(f.lags));
  }
  cell.metric(kRows, static_cast<double>(rows));
}

}  // namespace

Experiment experiment() {
  return {
      .title = "AR-Net on real series",
      .paper = "Triebe, Laptev and Rajagopal, AR-Net: A simple Auto-Regressive Neural Network for time-series, 2019 (arXiv 1911.12436)",
      .claim = "as good a forecast as least squares from a few lags",
      .metrics = {{"test MSE, temperatures", Better::lower},
                  {"lags above 0.01, temperatures", Better::lower},
                  {"test MSE, sunspots", Better::lower},
                  {"lags above 0.01, sunspots", Better::lower},
                  {"test MSE, pollution", Better::lower},
                  {"lags above 0.01, pollution", Better::lower},
                  {kRows, Better::neither}},
      .variants = {{"last value", "tomorrow is as today"},
                   {"least squares", "exact, with an intercept"},
                   {"AR-Net, no penalty", "the same model, trained by Adam"},
                   {"AR-Net, one hidden layer", "as many units as lags, with relu; no penalty"},
                   {"AR-Net, L1", "the lasso's penalty"},
                   {"AR-Net", "the paper's penalty, c = 0.02, s = 0.1"}},
      .baseline = "least squares",
      .method = "AR-Net",
      .run = run,
  };
}

}  // namespace plumb::methods::ar_net_series
