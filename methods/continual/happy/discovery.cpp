// Stages of discovery and their measure.
#include "methods/continual/happy/discovery.h"

#include <fmt/format.h>

#include <limits>

#include "engine/data/dataset.h"
#include "models/cluster/assignment.h"
#include "ops/index.h"
#include "ops/join.h"

namespace plumb::methods::happy {
namespace {

/// Places of each class's examples in `part`, in random order.
std::vector<std::vector<int64_t>> places_by_class(const ContinualExamples& part, ClassRange classes, Generator& generator) {
  std::vector<std::vector<int64_t>> places(static_cast<size_t>(classes.size()));
  std::vector<int64_t> labels = to_vector<int64_t>(part.labels);
  for (int64_t i : data::random_order(part.size(), generator))
    places[static_cast<size_t>(labels[static_cast<size_t>(i)] - classes.begin)].push_back(i);
  return places;
}

/// Examples of one class that have not been given out yet.
class Supply {
 public:
  Supply(const ContinualExamples& all, std::vector<int64_t> places, int64_t number, int64_t needed)
      : all_(&all), places_(std::move(places)) {
    if (static_cast<int64_t>(places_.size()) < needed)
      throw ValueError(fmt::format("happy: class {} has {} training examples, its stages take {}", number, places_.size(), needed));
  }
  ContinualExamples next(int64_t count) {
    std::vector<int64_t> taken(places_.begin() + used_, places_.begin() + used_ + count);
    used_ += count;
    return all_->at(from_vector(taken));
  }

 private:
  const ContinualExamples* all_;
  std::vector<int64_t> places_;
  int64_t used_ = 0;
};

}  // namespace

std::vector<DiscoveryStage> discovery_stages(const ContinualStream& stream, const DiscoveryCounts& counts, uint64_t seed) {
  stream.check();
  if (counts.labelled < 1 || counts.fresh < 1 || counts.old < 1)
    throw ValueError(fmt::format("happy: {} labelled, {} new and {} old examples of a class", counts.labelled, counts.fresh, counts.old));
  if (stream.size() < 2) throw ValueError("happy: no classes are left to discover, all are in the first task");
  Generator g(seed);
  std::vector<Supply> supplies;
  auto last = static_cast<int64_t>(stream.size()) - 1;
  for (size_t t = 0; t < stream.size(); ++t) {
    const ContinualTask& task = stream.at(t);
    auto places = places_by_class(task.train, task.classes, g);
    int64_t needed = (t == 0 ? counts.labelled : counts.fresh) + (last - static_cast<int64_t>(t)) * counts.old;
    for (auto& own : places) supplies.emplace_back(task.train, std::move(own), static_cast<int64_t>(supplies.size()), needed);
  }
  std::vector<DiscoveryStage> stages;
  std::vector<ContinualExamples> tests;
  for (size_t t = 0; t < stream.size(); ++t) {
    ClassRange own = stream.at(t).classes;
    std::vector<ContinualExamples> parts;
    for (int64_t c = 0; c < own.end; ++c)
      parts.push_back(supplies[static_cast<size_t>(c)].next(c < own.begin ? counts.old : t == 0 ? counts.labelled : counts.fresh));
    ContinualExamples all = join(parts);
    all = all.at(from_vector(data::random_order(all.size(), g)));
    tests.push_back(stream.at(t).test);
    ContinualExamples test = join(tests);
    stages.push_back({all.x, all.labels, own.begin, own.size(), test.x, test.labels});
  }
  return stages;
}

DiscoveryAccuracy discovery_accuracy(const Tensor& predicted, const Tensor& labels, int64_t known, int64_t base_classes) {
  std::vector<int64_t> class_of = cluster::match_clusters(predicted, labels);
  std::vector<int64_t> p = to_vector<int64_t>(predicted), y = to_vector<int64_t>(labels);
  if (y.empty()) throw ValueError("discovery_accuracy: there are no examples");
  double right[2] = {}, count[2] = {}, base_right = 0, base_count = 0, old = 0;
  for (size_t i = 0; i < y.size(); ++i) {
    int64_t assigned = class_of[static_cast<size_t>(p[i])];
    double hit = assigned == y[i] ? 1 : 0;
    int group = y[i] < known ? 0 : 1;
    right[group] += hit, count[group] += 1;
    if (y[i] < base_classes) base_right += hit, base_count += 1;
    if (assigned >= 0 && assigned < known) old += 1;
  }
  auto share = [](double a, double b) { return b > 0 ? 100 * a / b : std::numeric_limits<double>::quiet_NaN(); };
  double n = static_cast<double>(y.size());
  return {share(right[0] + right[1], n), share(right[0], count[0]), share(right[1], count[1]), share(base_right, base_count),
          share(old, n)};
}

}  // namespace plumb::methods::happy
