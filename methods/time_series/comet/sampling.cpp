// Orders of windows by their groups.
#include "methods/time_series/comet/sampling.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <numeric>

#include "engine/core/error.h"
#include "engine/data/dataset.h"

namespace plumb::methods::comet {
namespace {

std::vector<int64_t> numbers_of(const char* op, const char* what, const Tensor& x) {
  if (x.rank() != 1) throw ShapeError(fmt::format("{}: {} must be [n], they are {}", op, what, to_string(x.shape())));
  if (x.dtype() != i64) throw DTypeError(fmt::format("{}: {} must be i64, not {}", op, what, name(x.dtype())));
  return to_vector<int64_t>(x);
}

void mix(std::vector<int64_t>& places, Generator& g) {
  std::vector<int64_t> mixed;
  for (int64_t at : data::random_order(static_cast<int64_t>(places.size()), g)) mixed.push_back(places[static_cast<size_t>(at)]);
  places = std::move(mixed);
}

}  // namespace

GroupedBatches::GroupedBatches(const Tensor& groups, int64_t batch) : windows_(groups.numel()), batch_(batch) {
  std::map<int64_t, std::vector<int64_t>> by_group;
  std::vector<int64_t> ids = numbers_of("grouped_batches", "groups", groups);
  for (size_t i = 0; i < ids.size(); ++i) by_group[ids[i]].push_back(static_cast<int64_t>(i));
  for (auto& [id, places] : by_group) groups_.push_back(std::move(places));
  if (windows_ < 1) throw ValueError("grouped_batches: there are no windows");
  if (batch < 3) throw ValueError(fmt::format("grouped_batches: a batch must have at least 3 windows, it has {}", batch));
}

std::vector<Tensor> GroupedBatches::epoch(Generator& g) const {
  std::vector<int64_t> order;
  for (int64_t group : data::random_order(static_cast<int64_t>(groups_.size()), g)) {
    std::vector<int64_t> places = groups_[static_cast<size_t>(group)];
    mix(places, g);
    order.insert(order.end(), places.begin(), places.end());
  }
  std::vector<Tensor> batches;
  for (int64_t from = 0; from < windows_;) {
    int64_t end = std::min(from + batch_, windows_);
    if (windows_ - end < 3) end = windows_;
    std::vector<int64_t> batch(order.begin() + from, order.begin() + end);
    mix(batch, g);
    batches.push_back(from_vector(batch));
    from = end;
  }
  return batches;
}

std::vector<std::vector<int64_t>> patient_split(const Tensor& patients, const Tensor& labels, const std::vector<int64_t>& counts,
                                                Generator& g) {
  std::vector<int64_t> who = numbers_of("patient_split", "patients", patients), label = numbers_of("patient_split", "labels", labels);
  if (who.size() != label.size()) throw ShapeError(fmt::format("patient_split: {} patients for {} labels", who.size(), label.size()));
  std::map<int64_t, int64_t> label_of;
  for (size_t i = 0; i < who.size(); ++i)
    if (label_of.emplace(who[i], label[i]).first->second != label[i])
      throw ValueError(fmt::format("patient_split: patient {} has the labels {} and {}", who[i], label_of[who[i]], label[i]));
  int64_t wanted = std::accumulate(counts.begin(), counts.end(), int64_t{0});
  if (wanted > static_cast<int64_t>(label_of.size()))
    throw ValueError(fmt::format("patient_split: {} patients are wanted, there are {}", wanted, label_of.size()));
  std::map<int64_t, std::vector<int64_t>> by_class;
  for (auto [patient, its] : label_of) by_class[its].push_back(patient);
  for (auto& [its, members] : by_class) mix(members, g);
  std::map<int64_t, size_t> part_of;
  size_t part = 0, turn = 0, left = static_cast<size_t>(wanted);
  std::vector<int64_t> room = counts;
  for (; left > 0; ++turn)
    for (auto& [its, members] : by_class) {
      if (turn >= members.size() || left == 0) continue;
      while (room[part] == 0) ++part;
      part_of[members[turn]] = part, --room[part], --left;
    }
  std::vector<std::vector<int64_t>> places(counts.size());
  for (size_t i = 0; i < who.size(); ++i)
    if (auto at = part_of.find(who[i]); at != part_of.end()) places[at->second].push_back(static_cast<int64_t>(i));
  return places;
}

}  // namespace plumb::methods::comet
