// What a cell leaves behind, and what it shares with others.
#include "methods/experiment.h"

#include <algorithm>
#include <chrono>
#include <cmath>

#include "engine/core/generator.h"
#include "models/train/interrupt.h"

namespace plumb::methods {
namespace {

// Values of other names draw from other streams: noise in the data is not the noise in the weights.
uint64_t seed_of(const std::string& name, uint64_t seed) {
  uint64_t hash = 0xcbf29ce484222325;  // FNV-1a
  for (char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  auto words = philox(seed, hash);
  return uint64_t{words[0]} << 32 | words[1];
}

}  // namespace

const std::vector<std::string>& words_of(Budget) {
  static const std::vector<std::string> words{"smoke", "default", "full"};
  return words;
}

void Cell::point(const std::string& chart, const std::string& x_label, double x, double y, const std::string& line) {
  if (!std::isfinite(x) || !std::isfinite(y)) return;
  auto found = std::ranges::find_if(measured_.curves, [&](const Curve& c) { return c.chart == chart && c.line == line; });
  if (found == measured_.curves.end()) found = measured_.curves.insert(found, {chart, x_label, line, {}, {}});
  found->x.push_back(x);
  found->y.push_back(y);
}

void Cell::progress(double share) {
  if (train::InterruptScope::signal() != 0) throw Interrupted();
  if (listener_) listener_(std::clamp(share, 0.0, 1.0));
}

std::shared_ptr<const void> Cell::share(const std::string& name, const std::function<std::shared_ptr<const void>()>& make) {
  SharedValues& values = values_ ? *values_ : own_values_;
  if (auto found = values.find(name); found != values.end()) return found->second;
  Generator before = default_generator();
  double sharing_before = seconds_sharing_;  // values may be made of others
  auto start = std::chrono::steady_clock::now();
  manual_seed(seed_of(name, seed_));
  std::shared_ptr<const void> value = make();
  default_generator() = before;
  seconds_sharing_ = sharing_before + std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  values.emplace(name, value);
  return value;
}

}  // namespace plumb::methods
