// Time series: sets of labelled ones in .ts files, and a long one in a column of a CSV file.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "engine/core/tensor.h"
#include "engine/io/csv.h"

namespace plumb::data {

/// Series with the same channels and perhaps different lengths.
struct SeriesSet {
  std::string name;                      ///< from the file: "BasicMotions"
  std::vector<Tensor> series;            ///< f32 [C, L], NaN where a value is missing
  std::vector<int64_t> labels;           ///< of each series; empty where the file has none
  std::vector<std::string> class_names;  ///< by label, in the file's order

  int64_t size() const { return static_cast<int64_t>(series.size()); }
  int64_t channels() const { return series.empty() ? 0 : series[0].size(0); }
  std::vector<int64_t> lengths() const;
  int64_t longest() const;
  /// f32 [N, C, longest()]; after the end of a shorter series stands `padding`.
  Tensor stacked(double padding = 0) const;
};

/// The set in a .ts file, the text format of the UCR and UEA archives: lines that begin with "@" say what it holds, then follows one series
/// a line: channels apart by ":", values by ",", "?" or "NaN" where one is missing, and the class last. Gzipped or not. Throws IoError
/// naming the file and the line for what does not fit, for time stamps, and for a file without series.
SeriesSet load_ts(const std::string& path);

struct SeriesSetParts {
  SeriesSet train, test;
};
/// timeseries/NAME_TRAIN.ts and NAME_TEST.ts of the data directory (see files.h): GunPoint, ItalyPowerDemand, ArrowHead, BasicMotions,
/// JapaneseVowels, or any other that was put there. Throws IoError for a missing file, and if the parts differ in channels or classes.
SeriesSetParts ts_set(const std::string& name, const std::string& directory = "");
/// The same, or nothing where a file is missing.
std::optional<SeriesSetParts> find_ts_set(const std::string& name, const std::string& directory = "");

/// One long series, a value a row of its file.
struct LongSeries {
  std::string name;            ///< its column
  std::vector<double> values;  ///< NaN where missing
  int64_t size() const { return static_cast<int64_t>(values.size()); }
  int64_t missing() const;
};

/// The column of a CSV file; without a name the last one of numbers. Throws IoError naming the file for a column that
/// is not there (naming those there are), one that is not of numbers, and one without a single value.
LongSeries csv_series(const std::string& path, const std::string& column = "", const CsvOptions& options = {});

/// A published series from timeseries/NAME.csv of the data directory: daily-min-temperatures, daily-max-temperatures (Melbourne 1981–1990),
/// monthly-sunspots (Zürich 1749–1983), airline-passengers (1949–1960), or pollution (PM2.5 in Beijing, hourly 2010–2014, of which 2,067
/// values are missing). Throws ValueError for another name, IoError for a missing file.
LongSeries published_series(const std::string& name, const std::string& directory = "");
/// The same, or nothing where the file is missing.
std::optional<LongSeries> find_published_series(const std::string& name, const std::string& directory = "");

}  // namespace plumb::data
