// Series of a user's CSV for runs of train forecast.
#include "tools/forecast_model.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "engine/autograd/grad_mode.h"
#include "engine/data/files.h"
#include "engine/data/time_series.h"
#include "models/nn/placement.h"
#include "ops/pointwise.h"
#include "ops/shape.h"
#include "tools/cli/header_option.h"
#include "tools/train/run_config.h"

namespace plumb::tools {
namespace {

constexpr auto fields = [](auto& r, auto&& f) {
  f("data", r.data), f("data_sha256", r.data_sha256), f("column", r.column), f("delimiter", r.delimiter), f("network", r.network),
      f("loss", r.loss);
  f("lags", r.lags), f("strength", r.strength), f("fill_gaps", r.fill_gaps), f("validation", r.validation), f("test", r.test),
      f("mean", r.mean);
  f("deviation", r.deviation);
};

std::string sizes(const ForecastRun& run) { return fmt::format("--order {} and --horizon {}", run.network.order, run.network.horizon); }

data::LagMatrix windows(const ForecastRun& run, const ForecastSeries& series, int64_t from, int64_t to) {
  Tensor scaled = plumb::to(data::scale_series(series.values, {run.mean, run.deviation}), f32);
  return data::complete_lag_matrix(scaled, run.network.order, run.network.horizon, from, to);
}

void require_windows(const ForecastRun& run, const ForecastSeries& series, const data::LagMatrix& m, const std::string& where,
                     const std::string& way_out) {
  require(m.rows() > 0, fmt::format("{}: column \"{}\" has no window of {} without a missing value in {}; {}", series.path, run.column,
                                    sizes(run), where, way_out));
}

}  // namespace

ForecastRun::ForecastRun() {
  training.batch = 64, training.steps = 3000, training.warmup = 50, training.eval_every = 250, training.checkpoint_every = 500;
  training.lr = 5e-3, training.min_lr = 1e-5, training.weight_decay = 0, training.beta2 = 0.999;
}

std::string ForecastRun::to_json() const {
  JsonObject json = run_json("forecast", *this, fields);
  json.set("header", header);
  return json.text();
}

ForecastRun ForecastRun::from_json(const std::string& json) {
  ForecastRun run;
  read_run("forecast", json, run, fields).read("header", run.header);  // which older runs do not have
  return run;
}

void ForecastRun::check() const {
  training.check();
  require(validation > 0 || training.early_stop == 0, "--early-stop needs a validation part: --validation must not be 0");
  require(!training.recompute, "--recompute: a forecast's network has no blocks to compute again");
  require(network.order >= 1, fmt::format("--order must be at least 1, it is {}", network.order));
  require(network.horizon >= 1, fmt::format("--horizon must be at least 1, it is {}", network.horizon));
  for (int64_t width : network.hidden) require(width >= 1, fmt::format("--hidden must be at least 1, it is {}", width));
  require(loss == "mse" || loss == "huber", "--loss " + loss + " is unknown; choose mse or huber");
  require(lags >= 0 && lags <= static_cast<double>(network.order),
          fmt::format("--lags must lie between 0 and --order {}, it is {}", network.order, lags));
  require(strength >= 0, fmt::format("--strength must not be negative, it is {}", strength));
  require(fill_gaps >= 0, fmt::format("--fill-gaps must not be negative, it is {}", fill_gaps));
  checked_header(header);
  require(delimiter.size() == 1, "--delimiter must be one character, it is \"" + delimiter + "\"");
  require(validation >= 0 && test >= 0 && validation + test < 1,
          fmt::format("--validation {} and --test {} must not be negative and leave something to train on", validation, test));
}

double ForecastRun::lambda() const {
  return lags > 0 ? methods::ar_net::ar_lambda(lags / static_cast<double>(network.order), strength) : 0;
}

ForecastSeries read_series(ForecastRun& run, const std::string& path) {
  data::LongSeries series = data::csv_series(path, run.column, {.header = checked_header(run.header), .delimiter = run.delimiter[0]});
  run.column = series.name;
  for (size_t t = 0; t < series.values.size(); ++t)
    require(!std::isinf(series.values[t]), fmt::format("{}: column \"{}\" is infinite in row {}", path, run.column, t + 1));
  int64_t needed = run.network.order + run.network.horizon;
  require(series.size() >= needed,
          fmt::format("{}: column \"{}\" has {} values; {} need {} or more", path, run.column, series.size(), sizes(run), needed));
  return {path, data::fill_gaps(from_vector(series.values), run.fill_gaps), series.missing()};
}

ForecastSeries read_same_series(ForecastRun& run) {
  if (data::hash_files({run.data})[0].sha256 != run.data_sha256)
    throw ConfigError(run.data +
                      " has changed since the run began; the parts would not be the same. Restore it, or give --data or a new run");
  return read_series(run, run.data);
}

std::pair<int64_t, int64_t> cuts(const ForecastRun& run, int64_t steps) {
  auto n = static_cast<double>(steps);
  int64_t test = steps - static_cast<int64_t>(std::floor(run.test * n));
  return {test - static_cast<int64_t>(std::floor(run.validation * n)), test};
}

ForecastParts split_series(const ForecastRun& run, const ForecastSeries& series) {
  auto [validation, test] = cuts(run, series.size());
  const char* shorter = "lower --order, --validation or --test, or fill gaps: --fill-gaps N";
  ForecastParts parts{windows(run, series, 0, validation), windows(run, series, validation, test),
                      windows(run, series, test, series.size())};
  require_windows(run, series, parts.train, fmt::format("the first {} of {} values, which are trained on", validation, series.size()),
                  shorter);
  if (run.validation > 0)
    require_windows(run, series, parts.validation, fmt::format("the {} values that validate", test - validation), shorter);
  if (run.test > 0) require_windows(run, series, parts.test, fmt::format("the last {} values, which test", series.size() - test), shorter);
  return parts;
}

data::LagMatrix all_windows(const ForecastRun& run, const ForecastSeries& series) {
  data::LagMatrix m = windows(run, series, 0, series.size());
  require_windows(run, series, m, fmt::format("its {} values", series.size()), "give a longer series");
  return m;
}

methods::ar_net::ArNet load_forecaster(const ForecastRun& run, const train::RunDirectory& directory) {
  methods::ar_net::ArNet network(run.network);
  run.training.prepare(network);
  network.load_state(directory.load_model());
  network.eval();
  return network;
}

Tensor forecast(const methods::ar_net::ArNet& network, const Tensor& lags) {
  NoGrad off;
  return plumb::to(plumb::to(network(nn::input_for(network, lags)), cpu), f32);
}

std::vector<double> continuation(const ForecastRun& run, const methods::ar_net::ArNet& network, const ForecastSeries& series,
                                 int64_t steps) {
  std::vector<double> y = to_vector(data::scale_series(series.values, {run.mean, run.deviation}));
  auto order = static_cast<size_t>(run.network.order), known = y.size();
  for (size_t t = known - order; t < known; ++t)
    require(!std::isnan(y[t]), fmt::format("{}: column \"{}\" has no value in row {}, one of the last {} that the next is predicted from",
                                           series.path, run.column, t + 1, order));
  while (y.size() < known + static_cast<size_t>(steps)) {
    std::vector<float> lags;
    for (size_t k = 1; k <= order; ++k) lags.push_back(static_cast<float>(y[y.size() - k]));
    for (double v : to_vector(forecast(network, from_vector(lags, {1, run.network.order})))) y.push_back(v);
  }
  y.erase(y.begin(), y.begin() + static_cast<int64_t>(known));
  y.resize(static_cast<size_t>(steps));
  for (double& v : y) v = run.mean + run.deviation * v;
  return y;
}

}  // namespace plumb::tools
