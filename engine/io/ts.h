// The .ts format of time series archives (UCR, UEA, sktime): labelled series of one or several channels.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "engine/core/tensor.h"

namespace plumb {

/// Series with the same channels and perhaps different lengths.
struct SeriesSet {
  std::string name;                      ///< @problemName: "BasicMotions"
  std::vector<Tensor>
      series;  ///< f32 [C, L]; NaN where a value is missing ("?" or "NaN"), or a channel is shorter than the series' longest
  std::vector<int64_t> labels;           ///< of each series, places in class_names; empty without classes
  std::vector<std::string> class_names;  ///< in the order of @classLabel
  std::vector<double> targets;           ///< of each series, a number to predict, where the file has @targetLabel; else empty

  int64_t size() const { return static_cast<int64_t>(series.size()); }
  int64_t channels() const { return series.empty() ? 0 : series[0].size(0); }
  std::vector<int64_t> lengths() const;
  int64_t longest() const;
  /// f32 [N, C, longest()]; after the end of a shorter series stands `padding`. Throws ValueError where that would take more than 1,000
  /// times the memory of the series and more than 64 MiB.
  Tensor stacked(double padding = 0) const;
};

/// The set in the file at `path`, gzipped or not. Lines beginning with # are comments, names of @ lines are read in any case. Throws
/// IoError naming the file and the line for what is no such text: an unknown class, a number that is none, series with different numbers of
/// channels, lengths that break @equalLength true, and for series with time stamps (@timeStamps true), which are not read.
SeriesSet load_ts(const std::string& path);

}  // namespace plumb
