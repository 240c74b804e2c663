// The drift test.
#include "methods/common/drift_monitor.h"

#include <cmath>
#include <string>
#include <utility>

#include "engine/core/error.h"

namespace plumb::methods {

DriftMonitor::DriftMonitor(DriftOptions options) : options_(options) {
  if (options.recent < 1) throw ValueError("drift monitor: recent must be at least 1, it is " + std::to_string(options.recent));
  if (options.least < 1) throw ValueError("drift monitor: least must be at least 1, it is " + std::to_string(options.least));
  for (auto [name, value] : {std::pair{"deviations", options.deviations}, std::pair{"slack", options.slack}})
    if (!(value >= 0) || std::isinf(value))
      throw ValueError(std::string("drift monitor: ") + name + " must be finite and not negative, it is " + decimal(value));
}

bool DriftMonitor::exceeds(double value) const {
  if (count_ < options_.least) return false;
  double n = static_cast<double>(kept_.size()), mean = 0, squares = 0;
  for (double v : kept_) mean += v / n;
  for (double v : kept_) squares += (v - mean) * (v - mean) / n;
  return !(value <= mean + options_.deviations * std::sqrt(squares) + options_.slack);
}

void DriftMonitor::keep(double value) {
  kept_.push_back(value);
  if (static_cast<int64_t>(kept_.size()) > options_.recent) kept_.pop_front();
  ++count_;
}

void DriftMonitor::reset() {
  kept_.clear();
  count_ = 0;
}

bool DriftMonitor::update(double value) {
  if (exceeds(value)) {
    reset();
    return true;
  }
  keep(value);
  return false;
}

}  // namespace plumb::methods
