// `plumb train forecast`: the next values of a series in a user's own CSV, by an autoregression that is trained (AR-Net) or a perceptron of
// lags.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <memory>
#include <numeric>

#include "engine/core/generator.h"
#include "engine/data/files.h"
#include "engine/data/step_batches.h"
#include "engine/io/file.h"
#include "methods/time_series/ar_net/fit.h"
#include "models/nn/placement.h"
#include "ops/elementary.h"
#include "ops/loss.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "tools/cli/header_option.h"
#include "tools/cli/heeded_options.h"
#include "tools/forecast_model.h"
#include "tools/output_file.h"
#include "tools/train/kinds.h"

namespace plumb::tools {
namespace {

using methods::ar_net::ArNet;

constexpr double kCounts = 0.01;        // a lag counts from this weight on
constexpr size_t kListed = 10;          // lags in the report
constexpr double kRampShare = 1.0 / 3;  // of the steps, in which the regulariser grows

// Errors over all steps of the horizon; loss in the scaled series, the others in its own units.
struct Errors {
  double loss = 0, rmse = 0, mae = 0;
};

Errors errors_of(const ForecastRun& run, const Tensor& predicted, const Tensor& truth) {
  Tensor apart = plumb::to(predicted, f64) - plumb::to(truth, f64);
  double squares = mean(square(apart)).item();
  return {squares, run.deviation * std::sqrt(squares), run.deviation * mean(abs(apart)).item()};
}

// Every step of the horizon as the last value known.
Tensor last_value(const data::LagMatrix& m) { return expand(narrow(m.inputs, 1, 0, 1), m.targets.shape()); }

train::Measures measure(const ForecastRun& run, const ArNet& network, const data::LagMatrix& part, const std::string& name) {
  Errors e = errors_of(run, forecast(network, part.inputs), part.targets);
  train::Measures measures{{name + "_loss", e.loss}, {name + "_rmse", e.rmse}, {name + "_mae", e.mae}};
  measures.push_back({name + "_rmse_last_value", errors_of(run, last_value(part), part.targets).rmse});
  return measures;
}

// What least squares makes of the same lags, where the training windows determine it.
void add_least_squares(const ForecastRun& run, const ForecastParts& parts, train::Measures& measures) {
  if (parts.train.rows() <= run.network.order) return;
  try {
    auto fit =
        methods::ar_net::fit_ar_least_squares(parts.train.inputs, parts.train.targets, methods::ar_net::LeastSquares::normal_equations);
    measures.push_back({"test_rmse_least_squares", errors_of(run, fit(parts.test.inputs), parts.test.targets).rmse});
  } catch (const ValueError&) {
    // Lags that depend on each other, of a constant series: there is no single fit to compare with.
  }
}

// The largest weights, and how the series goes on.
std::string words(const ForecastRun& run, const ArNet& network, const ForecastSeries& series) {
  std::string text;
  if (run.network.hidden.empty()) {
    std::vector<double> w = to_vector(select(network.coefficients(), 0, 0));
    std::vector<size_t> order(w.size());
    std::iota(order.begin(), order.end(), size_t{0});
    std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return std::abs(w[a]) > std::abs(w[b]); });
    text += fmt::format("{} of {} lags have a weight above {}. The largest, for the next value:\n", network.lags_used(kCounts), w.size(),
                        kCounts);
    for (size_t k = 0; k < std::min(kListed, w.size()); ++k) text += fmt::format("  lag {:>4}  {:+.4f}\n", order[k] + 1, w[order[k]]);
  }
  try {
    std::vector<double> next = continuation(run, network, series, run.network.horizon);
    text += fmt::format("After the last row \"{}\" goes on:\n", run.column);
    for (size_t k = 0; k < next.size(); ++k) text += fmt::format("  {:>4}  {:.6g}\n", k + 1, next[k]);
  } catch (const ConfigError& e) { text += fmt::format("How it goes on cannot be told: {}\n", e.what()); }
  return text;
}

int train_run(const train::RunDirectory& directory, const ForecastRun& run, const ForecastSeries& series) {
  const TrainingSettings& settings = run.training;
  ForecastParts parts = split_series(run, series);
  manual_seed(settings.seed);
  ArNet network(run.network);
  settings.prepare(network);
  fmt::print(
      stderr,
      "forecast: \"{}\", {} values of which {} are missing; {} lags, {} parameters; {} windows to train on, {} to validate, {} to test\n",
      run.column, series.size(), series.missing, run.network.order, network.num_parameters(), parts.train.rows(), parts.validation.rows(),
      parts.test.rows());
  data::StepBatches batches(data::from_tensors({{"features", parts.train.inputs}, {"target", parts.train.targets}}),
                            {.batch = settings.batch, .seed = settings.seed});
  double ramp = std::max(1.0, kRampShare * static_cast<double>(settings.steps)), lambda = run.lambda();
  train::Training training;
  training.loss = [&](const train::Part& part) {
    data::Batch batch = batches(part.step, part.index, part.count);
    Tensor predicted = network(nn::input_for(network, batch.features)), truth = nn::input_for(network, batch.target);
    Tensor loss = run.loss == "huber" ? huber_loss(predicted, truth) : mse_loss(predicted, truth);
    double share = std::min(1.0, static_cast<double>(part.step) / ramp);
    return lambda * share > 0 ? loss + lambda * share * methods::ar_net::ar_sparsity_penalty(network.lag_weight()) : loss;
  };
  if (parts.validation.rows() > 0)
    training.validate = [&] {
      train::Measures measures = measure(run, network, parts.validation, "val");
      measures.push_back({"val_lags", static_cast<double>(network.lags_used(kCounts))});
      return measures;
    };
  if (parts.test.rows() > 0)
    training.test = [&] {
      train::Measures measures = measure(run, network, parts.test, "test");
      add_least_squares(run, parts, measures);
      return measures;
    };
  training.sample = [&] { return words(run, network, series); };
  return settings.train_model(directory, network, training, static_cast<double>(settings.batch), "windows");
}

int start(ForecastRun& run, const CommandLine& line, const std::string& out) {
  require(!run.data.empty(), "--data is missing: give a CSV file");
  run.check();
  refuse_unheeded(line, {{{"--strength"}, run.lags > 0, "without --lags there is no regulariser to weigh"}});
  ForecastSeries series = read_series(run, run.data);
  auto [validation, test] = cuts(run, series.size());
  std::vector<double> learned = to_vector(narrow(series.values, 0, 0, validation));
  require(
      std::any_of(learned.begin(), learned.end(), [](double v) { return !std::isnan(v); }),
      fmt::format("{}: all of the first {} values of column \"{}\", which are trained on, are missing", run.data, validation, run.column));
  data::SeriesScaling scaling = data::series_scaling(series.values, validation);
  run.mean = scaling.mean, run.deviation = scaling.deviation;
  run.data = std::filesystem::absolute(run.data).lexically_normal().string();
  run.data_sha256 = data::hash_files({run.data})[0].sha256;
  split_series(run, series);  // throws before anything is made
  return train_run(train::RunDirectory::create(out, run.to_json()), run, series);
}

int resume(const train::RunDirectory& directory) {
  ForecastRun run = ForecastRun::from_json(directory.config());
  run.check();
  ForecastSeries series = read_same_series(run);
  return train_run(directory, run, series);
}

Action define(CommandLine& line) {
  auto run = std::make_shared<ForecastRun>();
  line.option("--data", run->data, "a CSV file with a value a row, in order of time; gzipped or not");
  line.option("--column", run->column, "the series; without it the last column of numbers");
  line.option("--delimiter", run->delimiter, "between fields");
  line.option("--header", run->header, kHeaderHelp);
  line.option("--order", run->network.order, "lags that are read: so many values before");
  line.option("--horizon", run->network.horizon, "values that are predicted at once");
  line.option("--hidden", run->network.hidden,
              "widths of hidden layers; without them the model is linear and its weights are the lags' coefficients");
  line.option("--loss", run->loss, "mse or huber, of the scaled series");
  line.option("--lags", run->lags, "how many lags are expected to count: AR-Net's regulariser looks for them; 0: none");
  line.option("--strength", run->strength, "c of its weight c (order / lags - 1)");
  line.option("--fill-gaps", run->fill_gaps, "fill gaps of at most so many values by a straight line; windows with others are left out");
  line.option("--validation", run->validation, "share of the series before the test part to choose settings by; 0: none");
  line.option("--test", run->test, "share of the series, its end, that the result is measured on; 0: none");
  run->training.define(line, "windows");
  return start_or_resume(
      line, "forecast", [run, line](const std::string& out) { return start(*run, line, out); }, resume);
}

// On the run's own test part, or on all of another file's column of that name.
int evaluate(const train::RunDirectory& directory, const std::vector<std::string>& names) {
  require(names.size() <= 1, "--data: give one CSV file");
  ForecastRun run = ForecastRun::from_json(directory.config());
  require(!names.empty() || run.test > 0, "the run has no test part; give --data");
  ForecastSeries series = names.empty() ? read_same_series(run) : read_series(run, names[0]);
  data::LagMatrix part = names.empty() ? split_series(run, series).test : all_windows(run, series);
  ArNet network = load_forecaster(run, directory);
  Errors e = errors_of(run, forecast(network, part.inputs), part.targets), naive = errors_of(run, last_value(part), part.targets);
  fmt::print("{{\"loss\": {}, \"mae\": {}, \"rmse\": {}, \"rmse_last_value\": {}, \"windows\": {}}}\n", e.loss, e.mae, e.rmse, naive.rmse,
             part.rows());
  return 0;
}

std::string csv_field(const std::string& text) {
  if (text.find_first_of(",\"\n") == std::string::npos) return text;
  std::string quoted = "\"";
  for (char c : text) quoted += c == '"' ? "\"\"" : std::string(1, c);
  return quoted + "\"";
}

int predict(const train::RunDirectory& directory, const PredictRequest& request) {
  ForecastRun run = ForecastRun::from_json(directory.config());
  require(request.steps >= 0, fmt::format("--steps must not be negative, it is {}", request.steps));
  if (!request.out.empty()) check_can_write(request.out);
  ForecastSeries series = read_series(run, request.data.empty() ? run.data : request.data);
  ArNet network = load_forecaster(run, directory);
  std::string text = "step," + csv_field(run.column) + "\n";
  std::vector<double> next = continuation(run, network, series, request.steps > 0 ? request.steps : run.network.horizon);
  for (size_t k = 0; k < next.size(); ++k) text += fmt::format("{},{:.9g}\n", k + 1, next[k]);
  if (request.out.empty())
    fmt::print("{}", text);
  else
    write_file_atomic(request.out, text);
  return 0;
}

}  // namespace

extern const TrainingKind forecast_kind;
const TrainingKind forecast_kind{{"forecast", "an autoregression (AR-Net), on a series in a CSV file", define}, evaluate, nullptr, predict};

}  // namespace plumb::tools
