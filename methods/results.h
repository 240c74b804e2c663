// Measured cells, stored, and the table they add up to.
#pragma once
#include <string>
#include <vector>

#include "methods/experiment.h"
#include "models/metrics/intervals.h"

namespace plumb::methods {

struct CellResult {
  std::string variant;
  uint64_t seed = 0;
  double seconds = 0;  ///< wall time without what variants share
  Measured measured;

  std::string to_json() const;
  static CellResult from_json(const std::string& text, const std::string& what);
};

/// What `plumb run` leaves as results.json; a method's is stored beside its code.
struct Results {
  std::string slug;
  Budget budget = Budget::usual;
  std::string device = "cpu";
  std::string command, machine, date;
  std::vector<CellResult> cells;

  /// Curves are stored as their means over seeds, thinned to what a chart shows; pictures are files of their own.
  std::string to_json() const;
  /// Throws ConfigError, calling the file `what`, for text that is not such results.
  static Results from_json(const std::string& text, const std::string& what);
  std::vector<uint64_t> seeds() const;
};

/// One variant's line of the table. A metric that some seed did not measure, or measured as not finite, has a mean that is NaN.
struct Row {
  std::string variant;
  std::vector<Interval> values;       ///< one a metric
  std::vector<Interval> differences;  ///< from the baseline, by seeds
  double seconds = 0;                 ///< mean
};
std::vector<Row> table(const Experiment& experiment, const Results& results);

/// "71.32 ± 0.45": as many digits as the half-width carries two of; without one, four significant digits. "failed" for NaN.
std::string format(const Interval& value, bool with_sign = false);
/// The table for a terminal, a block of lines for each metric with the difference from the baseline last; and as Markdown, a row a variant.
std::string table_text(const Experiment& experiment, const Results& results);
std::string table_markdown(const Experiment& experiment, const Results& results);
/// "+4.1 ± 0.6 test accuracy (%) over cross entropy, 5 seeds": the method's effect in the first metric. Empty without its cells.
std::string effect(const Experiment& experiment, const Results& results);

/// The mean over seeds of every curve of every variant; x that only some seeds have is averaged over those.
struct MeanCurve {
  std::string variant;
  Curve curve;
};
std::vector<MeanCurve> mean_curves(const Results& results);

}  // namespace plumb::methods
