// An experiment: what a method is compared with, on which data, by which measures. `plumb run <slug>` runs it.
#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "engine/core/device.h"
#include "engine/core/tensor.h"

namespace plumb::methods {

/// How much work one seed of all variants may be: smoke: three seconds, in the tests; usual ("default"): three minutes on two cores; full:
/// what the paper's claim asks for, for those with more time or a GPU.
enum class Budget : uint8_t { smoke, usual, full };
const std::vector<std::string>& words_of(Budget);

enum class Better : uint8_t { higher, lower, neither };

struct Metric {
  std::string name;  ///< as a table's heading: "test accuracy (%)", "NLL (nats)"
  Better better = Better::higher;
};

struct Variant {
  std::string name;   ///< as a table's row: "cross entropy", "ELR"
  std::string about;  ///< one line, what is different about it
};

/// Points of one line of a chart; the chart and the line are known by their names.
struct Curve {
  std::string chart, x_label;
  std::string line;  ///< within the variant; empty if it has one line in this chart
  std::vector<double> x, y;
};

struct Picture {
  std::string title;
  Tensor image;  ///< u8 [height, width, channels], or [frames, height, width, channels], which becomes an animated picture
};

/// What a cell measured.
struct Measured {
  std::vector<std::pair<std::string, double>> metrics;
  std::vector<Curve> curves;
  std::vector<Picture> pictures;
};

/// What the cells of one seed make once and read together: data, a pre-trained network, a teacher.
using SharedValues = std::map<std::string, std::shared_ptr<const void>>;

/// Thrown by Cell::progress after Ctrl-C; the runner keeps the cells that are finished.
struct Interrupted {};

/// One variant with one seed: what an experiment's run() reads and where it leaves its numbers. The default generator was set to the seed.
class Cell {
 public:
  Cell(std::string variant, uint64_t seed, Budget budget, Device device = cpu)
      : variant_(std::move(variant)), seed_(seed), budget_(budget), device_(device) {}

  const std::string& variant() const { return variant_; }
  bool is(std::string_view variant) const { return variant_ == variant; }
  uint64_t seed() const { return seed_; }
  Budget budget() const { return budget_; }
  Device device() const { return device_; }
  /// The one of three values that belongs to the budget: cell.pick(20, 600, 20'000) steps.
  template <typename T>
  T pick(T smoke, T usual, T full) const { return budget_ == Budget::smoke ? smoke : budget_ == Budget::usual ? usual : full; }

  /// The value of one of the experiment's metrics, by its name. A value that is not finite stands for a variant that failed, and is shown
  /// so.
  void metric(const std::string& name, double value) { measured_.metrics.emplace_back(name, value); }
  /// A point of this variant's line in `chart`, or of its line called `line`. One that is not finite leaves a gap.
  void point(const std::string& chart, const std::string& x_label, double x, double y, const std::string& line = "");
  /// A picture for the page, u8 [height, width, channels] (train::image_grid makes one of many), or with frames in front of it
  /// (train::video_grid); the first seed's are kept.
  void picture(const std::string& title, Tensor image) { measured_.pictures.push_back({title, std::move(image)}); }
  /// How much of this cell is done, from 0 to 1. To be called every second or so; throws Interrupted after Ctrl-C.
  void progress(double share);

  /// make()'s value, made by the first cell of a seed that asks for `name` and shared by the others. It is made with a generator that the
  /// seed and the name determine, and the cell's own is given back after, so that no variant's numbers depend on which one came first.
  template <typename Make>
  auto shared(const std::string& name, Make&& make) -> std::shared_ptr<const std::decay_t<decltype(make())>> {
    using T = std::decay_t<decltype(make())>;
    return std::static_pointer_cast<const T>(
        share(name, [&]() -> std::shared_ptr<const void> { return std::make_shared<const T>(make()); }));
  }

  const Measured& measured() const { return measured_; }
  /// Seconds that shared() took to make values: not this variant's own.
  double seconds_sharing() const { return seconds_sharing_; }
  /// For the runner: where shared values are kept, and who hears of progress.
  void attach(SharedValues* values, std::function<void(double)> listener) {
    values_ = values;
    listener_ = std::move(listener);
  }

 private:
  std::shared_ptr<const void> share(const std::string& name, const std::function<std::shared_ptr<const void>()>& make);

  std::string variant_;
  uint64_t seed_;
  Budget budget_;
  Device device_;
  Measured measured_;
  SharedValues own_values_;
  SharedValues* values_ = nullptr;
  std::function<void(double)> listener_;
  double seconds_sharing_ = 0;
};

/// methods/<family>/<slug>/experiment.cpp defines `Experiment experiment()` in namespace plumb::methods::<slug>; the build finds it there.
struct Experiment {
  std::string title;              ///< the method's usual short name: "ELR"
  std::string paper;              ///< authors, title, venue and year
  std::string claim;              ///< one line: what the experiment is to show
  std::vector<Metric> metrics;    ///< the first is what the claim is about
  std::vector<Variant> variants;  ///< baselines first
  std::string baseline;           ///< the variant from which differences are taken
  std::string method;             ///< the variant whose difference is the method's effect
  std::function<void(Cell&)> run;
  bool follows_device = false;    ///< computes on Cell::device(); the others compute on the CPU, and say so when asked for another device
};

}  // namespace plumb::methods
