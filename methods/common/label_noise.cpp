// Wrong labels: all is decided on the host, label by label, from the generator alone.
#include "methods/common/label_noise.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "engine/autograd/grad_mode.h"
#include "engine/core/error.h"
#include "engine/data/dataset.h"
#include "engine/data/internal/portable_math.h"
#include "ops/elementary.h"
#include "ops/matmul.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "ops/softmax.h"

namespace plumb::methods {
namespace {

std::vector<int64_t> checked_labels(const Tensor& labels, int64_t classes) {
  if (labels.dtype() != i64) throw DTypeError(fmt::format("label_noise: labels must be i64, got {}", name(labels.dtype())));
  if (labels.rank() != 1) throw ShapeError("label_noise: labels must be [n], got " + to_string(labels.shape()));
  if (classes < 2) throw ValueError(fmt::format("label_noise: {} classes; at least 2 are needed", classes));
  auto out = to_vector<int64_t>(labels);
  for (size_t i = 0; i < out.size(); ++i)
    if (out[i] < 0 || out[i] >= classes)
      throw IndexError(fmt::format("label_noise: label {} of example {} is outside [0, {})", out[i], i, classes));
  return out;
}

void check_rate(double rate) {
  if (!(rate >= 0 && rate <= 1)) throw ValueError(fmt::format("label_noise: the rate must lie in [0, 1], it is {}", rate));
}

int64_t share_of(double rate, int64_t n) { return static_cast<int64_t>(std::floor(rate * static_cast<double>(n) + 0.5)); }

NoisyLabels made(const std::vector<int64_t>& given, const std::vector<int64_t>& clean) { return {from_vector(given), from_vector(clean)}; }

// The class at which the running sum of a row's probabilities passes `unit`.
int64_t drawn(const double* row, int64_t classes, double unit) {
  double sum = 0;
  int64_t last = 0;
  for (int64_t c = 0; c < classes; ++c) {
    if (row[c] <= 0) continue;
    last = c;
    sum += row[c];
    if (unit < sum) return c;
  }
  return last;
}

}  // namespace

Tensor NoisyLabels::wrong() const { return given != clean; }

double NoisyLabels::rate() const { return given.numel() == 0 ? 0 : mean(to(wrong(), f64)).item(); }

NoisyLabels inject_symmetric(const Tensor& labels, double rate, int64_t classes, Generator& generator, bool include_true) {
  auto clean = checked_labels(labels, classes);
  check_rate(rate);
  auto given = clean;
  auto order = data::random_order(static_cast<int64_t>(clean.size()), generator);
  order.resize(static_cast<size_t>(share_of(rate, static_cast<int64_t>(clean.size()))));
  for (int64_t i : order) {
    auto& label = given[static_cast<size_t>(i)];
    if (include_true) {
      label = static_cast<int64_t>(generator.next_below(static_cast<uint64_t>(classes)));
    } else {
      auto other = static_cast<int64_t>(generator.next_below(static_cast<uint64_t>(classes - 1)));
      label = other + (other >= label);
    }
  }
  return made(given, clean);
}

NoisyLabels inject_asymmetric(const Tensor& labels, const std::vector<int64_t>& map, double rate, Generator& generator) {
  auto classes = static_cast<int64_t>(map.size());
  auto clean = checked_labels(labels, classes);
  check_rate(rate);
  for (int64_t to : map)
    if (to < 0 || to >= classes) throw IndexError(fmt::format("label_noise: the map's class {} is outside [0, {})", to, classes));
  auto given = clean;
  auto order = data::random_order(static_cast<int64_t>(clean.size()), generator);
  for (int64_t c = 0; c < classes; ++c) {
    int64_t to = map[static_cast<size_t>(c)];
    if (to == c) continue;
    int64_t left = share_of(rate, std::ranges::count(clean, c));
    for (int64_t i : order)
      if (left > 0 && clean[static_cast<size_t>(i)] == c) given[static_cast<size_t>(i)] = to, --left;
  }
  return made(given, clean);
}

NoisyLabels inject_transition(const Tensor& labels, const Tensor& transition, Generator& generator) {
  if (transition.rank() != 2 || transition.size(0) != transition.size(1))
    throw ShapeError("label_noise: a transition matrix must be [C, C], got " + to_string(transition.shape()));
  int64_t classes = transition.size(0);
  auto clean = checked_labels(labels, classes);
  auto p = to_vector<double>(transition);
  for (int64_t c = 0; c < classes; ++c) {
    auto row = p.begin() + c * classes;
    double sum = std::accumulate(row, row + classes, 0.0);
    if (std::abs(sum - 1) > 1e-4 || *std::min_element(row, row + classes) < 0)
      throw ValueError(fmt::format("label_noise: row {} of the transition matrix sums to {:.6g}; it must hold probabilities", c, sum));
  }
  auto given = clean;
  for (auto& label : given) label = drawn(p.data() + label * classes, classes, generator.next_double());
  return made(given, clean);
}

NoisyLabels inject_instance_dependent(const Tensor& labels, const Tensor& features, double rate, int64_t classes, Generator& generator,
                                      InstanceNoiseOptions options) {
  auto clean = checked_labels(labels, classes);
  check_rate(rate);
  if (!(options.spread >= 0)) throw ValueError(fmt::format("label_noise: the spread must not be negative, it is {}", options.spread));
  if (features.rank() < 2 || features.size(0) != labels.size(0))
    throw ShapeError(fmt::format("label_noise: {} labels, but features {}", labels.size(0), to_string(features.shape())));
  NoGrad no_grad;
  auto n = static_cast<int64_t>(clean.size());
  Tensor x = to(flatten(features.detach(), 1), f64);
  int64_t width = x.size(1);
  x = x * (std::sqrt(static_cast<double>(width)) / clamp_min(norm(x, 2, {1}, true), 1e-12));
  Tensor weights = randn({classes, width, classes}, {.dtype = f64, .generator = &generator});
  auto given = clean;
  for (int64_t i = 0; i < n; ++i) {
    int64_t y = clean[static_cast<size_t>(i)];
    double q;
    do q = rate + options.spread * data::normal(generator);
    while (q < 0 || q > 1);
    auto scores = to_vector<double>(matmul(select(x, 0, i), select(weights, 0, y)));
    scores[static_cast<size_t>(y)] = -std::numeric_limits<double>::infinity();
    double largest = *std::ranges::max_element(scores), total = 0;
    for (double& s : scores) total += s = std::exp(s - largest);
    for (double& s : scores) s *= q / total;
    scores[static_cast<size_t>(y)] = 1 - q;
    given[static_cast<size_t>(i)] = drawn(scores.data(), classes, generator.next_double());
  }
  return made(given, clean);
}

namespace {

std::vector<int64_t> identity_map(int64_t classes) {
  std::vector<int64_t> map(static_cast<size_t>(classes));
  std::iota(map.begin(), map.end(), 0);
  return map;
}

void check_class(int64_t c, int64_t classes) {
  if (c < 0 || c >= classes) throw ValueError(fmt::format("label_noise: class {} is outside [0, {})", c, classes));
}

}  // namespace

std::vector<int64_t> next_class_map(int64_t classes) {
  auto map = identity_map(classes);
  std::rotate(map.begin(), map.empty() ? map.begin() : map.begin() + 1, map.end());
  return map;
}

std::vector<int64_t> next_in_group_map(const std::vector<std::vector<int64_t>>& groups, int64_t classes) {
  auto map = identity_map(classes);
  for (const auto& group : groups)
    for (size_t i = 0; i < group.size(); ++i) {
      check_class(group[i], classes);
      map[static_cast<size_t>(group[i])] = group[(i + 1) % group.size()];
    }
  return map;
}

std::vector<int64_t> pair_map(const std::vector<std::pair<int64_t, int64_t>>& pairs, int64_t classes) {
  auto map = identity_map(classes);
  for (auto [from, to] : pairs) {
    check_class(from, classes);
    check_class(to, classes);
    map[static_cast<size_t>(from)] = to;
  }
  return map;
}

std::vector<int64_t> similar_digits_map() { return pair_map({{7, 1}, {2, 7}, {5, 6}, {6, 5}, {3, 8}}, 10); }

Tensor transition_matrix(const NoisyLabels& labels, int64_t classes) {
  auto clean = checked_labels(labels.clean, classes), given = checked_labels(labels.given, classes);
  std::vector<double> count(static_cast<size_t>(classes * classes)), total(static_cast<size_t>(classes));
  for (size_t i = 0; i < clean.size(); ++i) {
    ++count[static_cast<size_t>(clean[i] * classes + given[i])];
    ++total[static_cast<size_t>(clean[i])];
  }
  for (int64_t c = 0; c < classes; ++c) {
    double n = total[static_cast<size_t>(c)];
    if (n == 0) count[static_cast<size_t>(c * classes + c)] = n = 1;
    for (int64_t k = 0; k < classes; ++k) count[static_cast<size_t>(c * classes + k)] /= n;
  }
  return from_vector(count, {classes, classes});
}

NoiseAudit audit(const Tensor& predictions, const NoisyLabels& labels) {
  if (predictions.shape() != labels.clean.shape())
    throw ShapeError(fmt::format("audit: predictions {} for labels {}", to_string(predictions.shape()), to_string(labels.clean.shape())));
  auto said = to_vector<int64_t>(predictions), given = to_vector<int64_t>(labels.given), clean = to_vector<int64_t>(labels.clean);
  double truth = 0, wrong_label = 0, right = 0;
  int64_t wrong = 0;
  for (size_t i = 0; i < said.size(); ++i) {
    if (given[i] == clean[i]) {
      right += said[i] == clean[i];
    } else {
      ++wrong;
      truth += said[i] == clean[i];
      wrong_label += said[i] == given[i];
    }
  }
  auto n = static_cast<double>(wrong), rest = static_cast<double>(said.size()) - n;
  return {wrong, truth / n, wrong_label / n, (n - truth - wrong_label) / n, right / rest};
}

DetectionQuality detection_quality(const Tensor& flagged, const NoisyLabels& labels) {
  if (flagged.shape() != labels.clean.shape() || flagged.dtype() != boolean)
    throw ShapeError(
        fmt::format("detection_quality: flags must be bool {}, got {}", to_string(labels.clean.shape()), to_string(flagged.shape())));
  Tensor wrong = labels.wrong();
  double hits = static_cast<double>(count_nonzero(logical_and(flagged, wrong)).item<int64_t>());
  return {hits / static_cast<double>(count_nonzero(flagged).item<int64_t>()),
          hits / static_cast<double>(count_nonzero(wrong).item<int64_t>())};
}

}  // namespace plumb::methods
