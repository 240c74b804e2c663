// Class-incremental experiences and their measures.
#include "engine/data/experiences.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>

#include "engine/core/error.h"

namespace plumb::data {
namespace {

// Numbers of classes of each experience.
std::vector<int64_t> task_sizes(int64_t classes, const ClassIncrementalOptions& o) {
  if (o.tasks < 1) throw ValueError("class_incremental: " + std::to_string(o.tasks) + " tasks");
  std::vector<int64_t> sizes;
  int64_t left = classes;
  if (o.first > 0) sizes.push_back(o.first), left -= o.first;
  int64_t tasks = o.tasks - static_cast<int64_t>(sizes.size());
  if (left < tasks || (tasks == 0 && left != 0))
    throw ValueError("class_incremental: " + std::to_string(classes) + " classes cannot be split into " + std::to_string(o.tasks) +
                     " tasks" + (o.first > 0 ? ", the first of " + std::to_string(o.first) : ""));
  for (int64_t t = 0; t < tasks; ++t) sizes.push_back(left / tasks + (t < left % tasks));
  return sizes;
}

Dataset with_new_labels(const Dataset& data, const std::vector<int64_t>& place) {
  return data.map("label", [place](const Tensor& label) { return scalar_tensor(place[static_cast<size_t>(label.item<int64_t>())], i64); });
}

}  // namespace

std::vector<int64_t> class_order(int64_t classes, const ClassIncrementalOptions& o) {
  if (o.shuffle) {
    Generator generator(mix(o.seed, 0x6f72646572));
    return random_order(classes, generator);
  }
  std::vector<int64_t> order(static_cast<size_t>(classes));
  std::iota(order.begin(), order.end(), 0);
  return order;
}

std::vector<Experience> class_incremental(const DatasetParts& data, const ClassIncrementalOptions& o) {
  if (!(o.blurry >= 0 && o.blurry <= 1))
    throw ValueError("class_incremental: blurry must lie in [0, 1], it is " + decimal(o.blurry));
  Dataset train = data.train(), test = data.test();
  auto labels = train.labels();
  int64_t classes = labels.empty() ? 0 : *std::ranges::max_element(labels) + 1;
  auto sizes = task_sizes(classes, o);
  auto order = class_order(classes, o);
  std::vector<int64_t> place(order.size()), task_of(order.size());
  for (size_t k = 0; k < order.size(); ++k) place[static_cast<size_t>(order[k])] = static_cast<int64_t>(k);
  std::vector<Experience> out(sizes.size());
  size_t next = 0;
  for (size_t t = 0; t < sizes.size(); ++t)
    for (int64_t k = 0; k < sizes[t]; ++k) {
      int64_t c = order[next++];
      task_of[static_cast<size_t>(c)] = static_cast<int64_t>(t);
      out[t].classes.push_back(c);
    }
  // Each class's examples in random order: the first share goes round the other experiences, the rest to its own.
  Generator generator(mix(o.seed, 0x626c7572));
  std::vector<std::vector<int64_t>> places(sizes.size());
  std::vector<int64_t> spread(order.size()), turn(order.size());
  for (size_t c = 0; c < spread.size(); ++c)
    if (sizes.size() > 1)
      spread[c] =
          static_cast<int64_t>(std::floor(o.blurry * static_cast<double>(std::ranges::count(labels, static_cast<int64_t>(c))) + 0.5));
  for (int64_t i : random_order(train.size(), generator)) {
    auto c = static_cast<size_t>(labels[static_cast<size_t>(i)]);
    int64_t task = task_of[c];
    if (spread[c] > 0) {
      --spread[c];
      task = (task + 1 + turn[c]++ % (static_cast<int64_t>(sizes.size()) - 1)) % static_cast<int64_t>(sizes.size());
    }
    places[static_cast<size_t>(task)].push_back(i);
  }
  for (size_t t = 0; t < out.size(); ++t) {
    std::ranges::sort(places[t]);
    out[t].train = train.subset(places[t]);
    out[t].test = test.with_labels(out[t].classes);
    if (!o.relabel) continue;
    out[t].train = with_new_labels(out[t].train, place);
    out[t].test = with_new_labels(out[t].test, place);
    for (int64_t& c : out[t].classes) c = place[static_cast<size_t>(c)];
  }
  return out;
}

namespace {

void check(const char* name, const AccuracyMatrix& a) {
  bool square = !a.empty();
  for (const auto& row : a) square = square && row.size() == a.size();
  if (!square) throw ValueError(std::string(name) + ": the accuracies must be a square matrix, a row an experience");
}

}  // namespace

double average_accuracy(const AccuracyMatrix& a) {
  check("average_accuracy", a);
  return std::accumulate(a.back().begin(), a.back().end(), 0.0) / static_cast<double>(a.size());
}

double average_incremental_accuracy(const AccuracyMatrix& a) {
  check("average_incremental_accuracy", a);
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i)
    sum += std::accumulate(a[i].begin(), a[i].begin() + static_cast<int64_t>(i) + 1, 0.0) / static_cast<double>(i + 1);
  return sum / static_cast<double>(a.size());
}

double forgetting(const AccuracyMatrix& a) {
  check("forgetting", a);
  size_t last = a.size() - 1;
  double sum = 0;
  for (size_t j = 0; j < last; ++j) {
    double best = a[j][j];
    for (size_t i = j; i < last; ++i) best = std::max(best, a[i][j]);
    sum += best - a[last][j];
  }
  return last > 0 ? sum / static_cast<double>(last) : 0;
}

double backward_transfer(const AccuracyMatrix& a) {
  check("backward_transfer", a);
  size_t last = a.size() - 1;
  double sum = 0;
  for (size_t j = 0; j < last; ++j) sum += a[last][j] - a[j][j];
  return last > 0 ? sum / static_cast<double>(last) : 0;
}

double forward_transfer(const AccuracyMatrix& a, const std::vector<double>& before) {
  check("forward_transfer", a);
  if (before.size() != a.size())
    throw ValueError("forward_transfer: " + std::to_string(before.size()) + " accuracies of before for " + std::to_string(a.size()) +
                     " experiences");
  double sum = 0;
  for (size_t j = 1; j < a.size(); ++j) sum += a[j - 1][j] - before[j];
  return a.size() > 1 ? sum / static_cast<double>(a.size() - 1) : 0;
}

}  // namespace plumb::data
