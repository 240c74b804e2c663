// The memory of replay.
#include "methods/common/rehearsal.h"

#include <fmt/format.h>

#include <algorithm>

#include "engine/core/error.h"
#include "ops/join.h"
#include "ops/random.h"
#include "ops/shape.h"

namespace plumb::methods {
namespace {

Tensor some_places(int64_t n, int64_t count, Generator& g) {
  return narrow(randperm(n, {.dtype = i64, .generator = &g}), 0, 0, std::min(n, count));
}

}  // namespace

RehearsalMemory::RehearsalMemory(int64_t per_class) : per_class_(per_class) {
  if (per_class < 1) throw ValueError(fmt::format("rehearsal: {} examples a class", per_class));
}

void RehearsalMemory::add(const ContinualExamples& examples, Generator& generator) {
  auto labels = to_vector<int64_t>(examples.labels), tasks = to_vector<int64_t>(examples.task);
  std::map<int64_t, std::map<int64_t, std::vector<int64_t>>> places;
  for (size_t i = 0; i < labels.size(); ++i) places[labels[i]][tasks[i]].push_back(static_cast<int64_t>(i));
  for (const auto& [label, by_task] : places) {
    auto& kept = kept_[label];
    for (const auto& [task, at] : by_task) kept[task] = examples.at(from_vector(at));
    int64_t share = std::max<int64_t>(1, per_class_ / static_cast<int64_t>(kept.size()));
    for (auto& [task, those] : kept)
      if (those.size() > share) those = those.at(some_places(those.size(), share, generator));
  }
  std::vector<ContinualExamples> parts;
  for (const auto& [label, kept] : kept_)
    for (const auto& [task, those] : kept) parts.push_back(those);
  all_ = join(parts);
}

ContinualExamples RehearsalMemory::sample(int64_t count, Generator& generator) const {
  if (empty()) throw ValueError("rehearsal: nothing is kept yet");
  if (count <= size()) return all_.at(some_places(size(), count, generator));
  return all_.at(randint(0, size(), {count}, {.dtype = i64, .generator = &generator}));
}

}  // namespace plumb::methods
