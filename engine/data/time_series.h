// Published time series by name: sets of labelled ones (.ts files), and long ones; and a long one in a column of any CSV file.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "engine/io/csv.h"
#include "engine/io/ts.h"

namespace plumb::data {

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
