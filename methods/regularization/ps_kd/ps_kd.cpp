// Progressive targets.
#include "methods/regularization/ps_kd/ps_kd.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "engine/autograd/grad_mode.h"
#include "engine/core/error.h"
#include "ops/elementary.h"
#include "ops/index.h"
#include "ops/loss.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "ops/softmax.h"

namespace plumb::methods::ps_kd {
namespace {

constexpr double kSumTolerance = 1e-3;  // of probabilities in f16

double checked_share(double last) {
  if (!(last >= 0 && last <= 1)) throw ValueError(fmt::format("ps_kd: the last mixing weight must lie in [0, 1], it is {}", last));
  return last;
}

int64_t checked_epochs(int64_t epochs) {
  if (epochs < 1) throw ValueError(fmt::format("ps_kd: a run has at least one epoch, not {}", epochs));
  return epochs;
}

void check_index(const Tensor& index, int64_t samples) {
  if (index.rank() != 1 || index.dtype() != i64)
    throw ShapeError(fmt::format("ps_kd: the index must be i64 [B], it is {} {}", name(index.dtype()), to_string(index.shape())));
  for (int64_t i : to_vector<int64_t>(index))
    if (i < 0 || i >= samples) throw IndexError(fmt::format("ps_kd: index {} is outside [0, {})", i, samples));
}

// Labels as rows of f32 probabilities: class numbers become 1 at the class.
Tensor label_rows(const Tensor& labels, int64_t batch, int64_t classes) {
  if (labels.rank() == 2) {
    if (labels.shape() != Shape{batch, classes})
      throw ShapeError(
          fmt::format("ps_kd: soft labels must be {}, they are {}", to_string(Shape{batch, classes}), to_string(labels.shape())));
    return to(labels.detach(), f32);
  }
  if (labels.rank() != 1 || labels.size(0) != batch)
    throw ShapeError(fmt::format("ps_kd: {} examples have labels {}", batch, to_string(labels.shape())));
  for (int64_t c : to_vector<int64_t>(labels))
    if (c < 0 || c >= classes) throw IndexError(fmt::format("ps_kd: label {} is outside [0, {})", c, classes));
  return to(one_hot(labels, classes), f32);
}

void check_probabilities(const Tensor& probabilities, int64_t batch, int64_t classes) {
  if (probabilities.shape() != Shape{batch, classes})
    throw ShapeError(
        fmt::format("ps_kd: predictions must be {}, they are {}", to_string(Shape{batch, classes}), to_string(probabilities.shape())));
  std::vector<double> p = to_vector(probabilities);
  auto width = static_cast<size_t>(classes);
  for (size_t row = 0; row < static_cast<size_t>(batch); ++row) {
    double total = 0;
    for (size_t c = 0; c < width; ++c) {
      double value = p[row * width + c];
      if (!(value >= 0 && value <= 1))
        throw ValueError(fmt::format("ps_kd: prediction {} for class {} in row {} is no probability", value, c, row));
      total += value;
    }
    if (std::abs(total - 1) > kSumTolerance)
      throw ValueError(fmt::format("ps_kd: the predictions in row {} sum to {}, not to 1", row, total));
  }
}

}  // namespace

double mixing_weight(double last, int64_t t, int64_t epochs) {
  checked_share(last);
  checked_epochs(epochs);
  if (t < 1 || t > epochs) throw ValueError(fmt::format("ps_kd: epoch {} is outside 1 … {}", t, epochs));
  return last * static_cast<double>(t) / static_cast<double>(epochs);
}

ProgressiveTargets::ProgressiveTargets(int64_t samples, int64_t classes, int64_t epochs, double last)
    : predictions_(samples, classes), epochs_(checked_epochs(epochs)), last_(checked_share(last)) {}

void ProgressiveTargets::begin_epoch(int64_t t) {
  mixing_weight(last_, t, epochs_);
  epoch_ = t;
}

double ProgressiveTargets::alpha() const { return mixing_weight(last_, epoch_, epochs_); }

bool ProgressiveTargets::any_seen(const Tensor& index) const {
  NoGrad off;
  check_index(index, table().size(0));
  return index.numel() > 0 && max(index_select(table(), 0, index)).item() > 0;
}

Tensor ProgressiveTargets::predictions(const Tensor& index, const Tensor& labels) const {
  NoGrad off;
  check_index(index, table().size(0));
  Tensor y = label_rows(labels, index.size(0), table().size(1)), before = index_select(table(), 0, index);
  return where(amax(before, {1}, true) > 0, before, y);
}

Tensor ProgressiveTargets::targets(const Tensor& index, const Tensor& labels) const {
  NoGrad off;
  Tensor before = predictions(index, labels);
  return (1 - alpha()) * label_rows(labels, index.size(0), table().size(1)) + alpha() * before;
}

void ProgressiveTargets::update(const Tensor& index, const Tensor& probabilities) {
  check_index(index, table().size(0));
  check_probabilities(probabilities, index.size(0), table().size(1));
  predictions_.put(index, to(probabilities.detach(), f32));
}

void ProgressiveTargets::set_table(const Tensor& stored) {
  if (stored.shape() != table().shape())
    throw ShapeError(fmt::format("ps_kd: a table {} for one of {}", to_string(stored.shape()), to_string(table().shape())));
  Tensor own = table();
  copy_data(stored, own);
}

Tensor ps_kd_loss(const Tensor& logits, const Tensor& labels, const Tensor& index, ProgressiveTargets& targets) {
  bool plain = targets.alpha() == 0 || !targets.any_seen(index);
  Tensor q = targets.targets(index, labels);       // checks what it is given, also where it is not needed
  DType wide = logits.dtype() == f64 ? f64 : f32;  // under autocast logits may be of 16 bits, and their softmax with them
  Tensor loss = cross_entropy(logits, plain ? labels : to(q, wide));
  NoGrad off;
  targets.update(index, softmax(to(logits.detach(), wide), 1));
  return loss;
}

Tensor gradient_norms(const Tensor& probabilities, const Tensor& targets) {
  NoGrad off;
  return sum(abs(probabilities - targets), {1});
}

double gradient_ratio(const std::vector<double>& p, const std::vector<double>& before, double alpha, int64_t label) {
  if (p.size() != before.size()) throw ShapeError(fmt::format("ps_kd: {} and {} probabilities", p.size(), before.size()));
  if (label < 0 || label >= static_cast<int64_t>(p.size()))
    throw IndexError(fmt::format("ps_kd: label {} is outside [0, {})", label, p.size()));
  auto y = static_cast<size_t>(label);
  for (size_t i = 0; i < p.size(); ++i)
    if (i != y && p[i] < alpha * before[i])
      throw ValueError(
          fmt::format("ps_kd: the ratio has no closed form: p = {} of class {} is below α P = {}", p[i], i, alpha * before[i]));
  if (!(p[y] < 1)) throw ValueError("ps_kd: an example of which the network is certain has no gradient to compare with");
  return 1 - alpha * (1 - before[y]) / (1 - p[y]);
}

double hardest_part(const Tensor& norms, const Tensor& confidence, double share) {
  std::vector<double> size = to_vector(norms), sure = to_vector(confidence);
  if (size.size() != sure.size()) throw ShapeError(fmt::format("ps_kd: {} norms of {} examples", size.size(), sure.size()));
  std::vector<size_t> order(size.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::ranges::stable_sort(order, {}, [&](size_t i) { return sure[i]; });
  auto hard = static_cast<size_t>(std::ceil(share * static_cast<double>(size.size())));
  double part = 0, total = 0;
  for (size_t k = 0; k < order.size(); ++k) {
    total += size[order[k]];
    if (k < hard) part += size[order[k]];
  }
  return total > 0 ? part / total : 0;
}

}  // namespace plumb::methods::ps_kd
