// What a page shows of a run: read from its directory, again and again while it trains, and told as JSON.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "engine/io/json_object.h"
#include "models/train/metrics.h"
#include "models/train/run_directory.h"

namespace plumb::train {

/// One number over steps.
struct Curve {
  std::string name;  ///< as in metrics.jsonl
  std::vector<int64_t> step;
  std::vector<double> value;
};

/// At most 2 `buckets` points of it, the smallest and the largest of each of `buckets` stretches, so that what sticks out is still seen;
/// all points where there are no more than that.
Curve thinned(const Curve& curve, size_t buckets);

/// The text with every byte that is not UTF-8 replaced by U+FFFD.
std::string valid_utf8(std::string_view text);

/// Reads files of the run's directory only: a link that leads out of it is not followed, and what is no ordinary file is not there.
class RunView {
 public:
  /// `ending`: the run is finished, though its model is not saved yet.
  explicit RunView(RunDirectory run, bool ending = false);

  const RunDirectory& directory() const { return run_; }
  /// Reads what was written since. Nothing is thrown for a file that cannot be read or understood: problem() says what it was.
  void update();
  /// Of the files as they are now: another one than json() tells, if there is something new to update() to. Letters, digits and dots.
  std::string version() const;
  /// Changes whenever histograms() may have changed.
  std::string histograms_version() const;
  const std::string& problem() const { return problem_; }

  const std::vector<Curve>& curves() const { return curves_; }
  /// "300 steps; training loss 1.2345, validation loss …".
  std::string summary() const;

  /// Everything but histograms. Pictures are addresses: `pictures` + "STEP.png"; if it is empty, they are in it themselves, some of them,
  /// the newest always.
  JsonObject json(const std::string& pictures) const;
  /// {"lines": […]}: lines of histograms.jsonl, some of them, the newest always.
  JsonObject histograms() const;
  /// The PNG file of samples/ of that step; empty if there is none.
  std::string picture(int64_t step) const;

 private:
  void add(const Metrics& line);
  void read_metrics_on();
  std::string contents(const std::string& name) const;

  RunDirectory run_;
  bool ending_;
  std::vector<Curve> curves_;  // in order of first appearance; none is empty
  std::string problem_, version_;
  int64_t steps_ = 0;
  size_t read_ = 0, lines_ = 0;  // bytes and lines of metrics.jsonl that were read
};

}  // namespace plumb::train
