// What `plumb train forecast`, `eval` and `predict` share: a run's settings, how it reads a user's series, and its network.
#pragma once
#include <cstdint>
#include <string>

#include "engine/data/lag_windows.h"
#include "methods/time_series/ar_net/ar_net.h"
#include "models/train/run_directory.h"
#include "tools/train/settings.h"

namespace plumb::tools {

/// Everything that config.json of a forecast run holds.
struct ForecastRun {
  std::string data;         ///< absolute path of the CSV file
  std::string data_sha256;  ///< of its bytes
  std::string column;       ///< the series
  std::string delimiter = ",";
  std::string header = "auto";  ///< whether the file's first line has names: auto, yes or no
  methods::ar_net::ArNetConfig network{.order = 24};
  std::string loss = "mse";             ///< or huber
  double lags = 0;                      ///< how many are expected to count; 0: no regulariser
  double strength = 0.02;               ///< c of its weight c (order / lags − 1)
  int64_t fill_gaps = 0;                ///< the longest gap that is filled by a straight line
  double validation = 0.1, test = 0.2;  ///< shares of the series, the last ones in time
  double mean = 0, deviation = 1;       ///< of what is trained on; learned
  TrainingSettings training;

  ForecastRun();
  std::string to_json() const;
  static ForecastRun from_json(const std::string& json);
  /// Throws ConfigError naming the option that is out of range.
  void check() const;
  /// λ of the regulariser in full; 0 without one.
  double lambda() const;
};

/// A series as the run sees it: gaps filled, not yet scaled. f64 [N].
struct ForecastSeries {
  std::string path;
  Tensor values;
  int64_t missing = 0;  ///< before gaps were filled
  int64_t size() const { return values.numel(); }
};

/// Reads `path` and, where the run has no column yet, chooses the last one of numbers. Throws IoError as data::csv_series, ConfigError for
/// a series shorter than order and horizon.
ForecastSeries read_series(ForecastRun& run, const std::string& path);
/// The run's own file, which must not have changed: ConfigError.
ForecastSeries read_same_series(ForecastRun& run);

/// Windows of the scaled series, f32, by when their targets are.
struct ForecastParts {
  data::LagMatrix train, validation, test;
};
/// The first step of validation and of test.
std::pair<int64_t, int64_t> cuts(const ForecastRun& run, int64_t steps);
/// Throws ConfigError for a part that is asked for and has no window without a missing value.
ForecastParts split_series(const ForecastRun& run, const ForecastSeries& series);
/// All windows; throws likewise.
data::LagMatrix all_windows(const ForecastRun& run, const ForecastSeries& series);

/// A finished (or stopped) run's network, ready to be evaluated.
methods::ar_net::ArNet load_forecaster(const ForecastRun& run, const train::RunDirectory& directory);
/// What the network says of lags [n, p], f32 [n, h] on the CPU, scaled as they are.
Tensor forecast(const methods::ar_net::ArNet& network, const Tensor& lags);
/// The `steps` values after the series' end, in its own units; what goes beyond the horizon is predicted from predictions. Throws
/// ConfigError where one of the last `order` values is missing.
std::vector<double> continuation(const ForecastRun& run, const methods::ar_net::ArNet& network, const ForecastSeries& series,
                                 int64_t steps);

}  // namespace plumb::tools
