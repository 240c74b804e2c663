// Long-tailed class frequencies.
#include "engine/data/long_tail.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>

#include "engine/core/error.h"

namespace plumb::data {

std::vector<int64_t> long_tail_counts(int64_t largest, int64_t classes, double imbalance, Tail tail) {
  if (largest < 1 || classes < 1)
    throw ValueError("long_tail: " + std::to_string(classes) + " classes of up to " + std::to_string(largest) + " examples");
  if (!(imbalance >= 1)) throw ValueError("long_tail: the imbalance must be at least 1, it is " + decimal(imbalance));
  std::vector<int64_t> counts;
  for (int64_t c = 0; c < classes; ++c) {
    double share = classes > 1 ? static_cast<double>(c) / static_cast<double>(classes - 1) : 0;
    double factor = std::pow(imbalance, -share);
    if (tail == Tail::step) factor = 2 * c < classes ? 1 : 1 / imbalance;
    if (tail == Tail::pareto && classes > 1)
      factor = std::pow(static_cast<double>(c + 1), -std::log(imbalance) / std::log(static_cast<double>(classes)));
    counts.push_back(std::max<int64_t>(1, static_cast<int64_t>(std::floor(static_cast<double>(largest) * factor + 1e-9))));
  }
  return counts;
}

Dataset long_tail(const Dataset& data, const std::vector<int64_t>& counts, uint64_t seed, const std::vector<int64_t>& rank) {
  std::vector<int64_t> wanted(counts.size());
  std::vector<bool> seen(counts.size());
  for (size_t r = 0; r < counts.size(); ++r) {
    int64_t c = rank.empty() ? static_cast<int64_t>(r) : r < rank.size() ? rank[r] : -1;
    if (c < 0 || c >= static_cast<int64_t>(counts.size()) || seen[static_cast<size_t>(c)] ||
        (!rank.empty() && rank.size() != counts.size()))
      throw ValueError("long_tail: the rank is no permutation of " + std::to_string(counts.size()) + " classes");
    seen[static_cast<size_t>(c)] = true;
    wanted[static_cast<size_t>(c)] = counts[r];
  }
  auto labels = data.labels();
  Generator generator(seed);
  std::vector<int64_t> places, left = wanted;
  for (int64_t i : random_order(data.size(), generator)) {
    int64_t label = labels[static_cast<size_t>(i)];
    if (label < 0 || label >= static_cast<int64_t>(left.size()))
      throw IndexError("long_tail: label " + std::to_string(label) + " has no count; there are " + std::to_string(left.size()));
    if (left[static_cast<size_t>(label)] > 0) places.push_back(i), --left[static_cast<size_t>(label)];
  }
  for (size_t c = 0; c < left.size(); ++c)
    if (left[c] > 0)
      throw ValueError("long_tail: class " + std::to_string(c) + " has " + std::to_string(wanted[c] - left[c]) + " examples, fewer than " +
                       std::to_string(wanted[c]));
  std::ranges::sort(places);
  return data.subset(places);
}

std::vector<int64_t> class_counts(const std::vector<int64_t>& labels, int64_t classes) {
  if (classes < 0) classes = labels.empty() ? 0 : *std::ranges::max_element(labels) + 1;
  std::vector<int64_t> counts(static_cast<size_t>(classes));
  for (int64_t label : labels) {
    if (label < 0 || label >= classes)
      throw IndexError("class_counts: label " + std::to_string(label) + " is outside [0, " + std::to_string(classes) + ")");
    ++counts[static_cast<size_t>(label)];
  }
  return counts;
}

namespace {

// f(count) of every class.
template <typename F>
std::vector<double> each_count(const char* name, const std::vector<int64_t>& counts, F&& f) {
  std::vector<double> out;
  for (size_t c = 0; c < counts.size(); ++c) {
    if (counts[c] < 1) throw ValueError(std::string(name) + ": class " + std::to_string(c) + " has no examples");
    out.push_back(f(static_cast<double>(counts[c])));
  }
  return out;
}

std::vector<double> with_mean_one(std::vector<double> weights) {
  double mean = std::accumulate(weights.begin(), weights.end(), 0.0) / static_cast<double>(weights.size());
  for (double& w : weights) w /= mean;
  return weights;
}

}  // namespace

std::vector<double> inverse_frequency_weights(const std::vector<int64_t>& counts) {
  return with_mean_one(each_count("inverse_frequency_weights", counts, [](double n) { return 1 / n; }));
}

std::vector<double> effective_number_weights(const std::vector<int64_t>& counts, double beta) {
  if (!(beta >= 0 && beta < 1)) throw ValueError("effective_number_weights: beta must lie in [0, 1), it is " + decimal(beta));
  return with_mean_one(each_count("effective_number_weights", counts, [beta](double n) { return (1 - beta) / (1 - std::pow(beta, n)); }));
}

std::vector<double> logit_adjustment(const std::vector<int64_t>& counts, double tau) {
  auto total = static_cast<double>(std::accumulate(counts.begin(), counts.end(), int64_t{0}));
  return each_count("logit_adjustment", counts, [=](double n) { return tau * std::log(n / total); });
}

ShotGroups shot_groups(const std::vector<int64_t>& counts, int64_t many_above, int64_t few_below) {
  ShotGroups groups;
  for (size_t c = 0; c < counts.size(); ++c) {
    auto& group = counts[c] > many_above ? groups.many : counts[c] < few_below ? groups.few : groups.medium;
    group.push_back(static_cast<int64_t>(c));
  }
  return groups;
}

}  // namespace plumb::data
