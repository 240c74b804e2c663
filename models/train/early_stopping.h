// When a run has stopped getting better.
#pragma once
#include <cmath>
#include <cstdint>

namespace plumb::train {

/// Counts evaluations since the best one. A value that is not a number is no improvement.
struct EarlyStopping {
  int64_t patience = 0;  ///< evaluations in a row without improvement after which the run ends; 0: never
  bool highest = false;  ///< larger values are better
  double best = NAN;
  int64_t best_step = 0;
  int64_t waited = 0;  ///< evaluations since the best

  /// Takes the value of an evaluation; true if it is the best so far.
  bool improved(int64_t step, double value) {
    bool better = std::isnan(best) ? !std::isnan(value) : (highest ? value > best : value < best);
    waited = better ? 0 : waited + 1;
    if (better) {
      best = value;
      best_step = step;
    }
    return better;
  }
  bool stops() const { return patience > 0 && waited >= patience; }
};

}  // namespace plumb::train
