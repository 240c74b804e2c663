// The .ts format of time series archives (UCR, UEA, sktime): labelled series of one or several channels.
#pragma once
#include <string>
#include <vector>

#include "engine/core/tensor.h"

namespace plumb {

struct TimeSeriesSet {
  std::string name;                  ///< @problemName
  Tensor values;                     ///< f32 [series, steps, channels]; NaN where a value is missing ("?") or a series has ended
  Tensor length;                     ///< i64 [series]: steps of each, of its longest channel
  Tensor label;                      ///< i64 [series], places in `classes`; undefined without classes
  std::vector<std::string> classes;  ///< in the order of @classLabel
  Tensor target;                     ///< f64 [series] where the file has @targetLabel: a number to predict; else undefined
};

/// The set in the file at `path`, gzipped or not. Lines beginning with # are comments, names of @ lines are read in any case. Throws
/// IoError naming the file and the line for what is no such text: an unknown class, a number that is none, series with different numbers of
/// channels, lengths that break @equalLength true, and for series with time stamps (@timeStamps true), which are not read.
TimeSeriesSet load_ts(const std::string& path);

}  // namespace plumb
