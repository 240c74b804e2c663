// When has a stream changed? A test of each new value against the few before it.
#pragma once
#include <cstdint>
#include <deque>

namespace plumb::methods {

struct DriftOptions {
  int64_t recent = 8;       ///< values that the test compares with
  int64_t least = 6;        ///< values since the last change before it says anything
  double deviations = 2.5;  ///< how many standard deviations above the mean fire
  double slack = 0.02;      ///< and how much above that, so that a quiet stream does not fire at a breath
};

/// Fires on a value above mean + deviations · s + slack of the last `recent` values that were kept, s their population standard deviation.
/// The value itself is not among them, and it is kept only if nothing fires.
class DriftMonitor {
 public:
  /// Throws ValueError unless recent ≥ 1, least ≥ 1, and deviations and slack are finite and not negative.
  explicit DriftMonitor(DriftOptions options = {});

  /// Whether `value` would fire. NaN and infinity fire as soon as anything may.
  bool exceeds(double value) const;
  void keep(double value);
  /// Forgets everything.
  void reset();
  /// exceeds(value); then starts anew if so, and keeps the value otherwise.
  bool update(double value);
  /// Kept values since the last change.
  int64_t count() const { return count_; }

 private:
  DriftOptions options_;
  std::deque<double> kept_;  // the last `recent`
  int64_t count_ = 0;
};

}  // namespace plumb::methods
