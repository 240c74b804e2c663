// WSCL's targets and losses.
#include "methods/semi_supervised/wscl/wscl.h"

#include <fmt/format.h>

#include <cmath>

#include "engine/autograd/grad_mode.h"
#include "engine/core/error.h"
#include "models/optim/schedule.h"
#include "ops/elementary.h"
#include "ops/index.h"
#include "ops/loss.h"
#include "ops/matmul.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "ops/vision.h"

namespace plumb::methods::wscl {
namespace {

double checked_total(const std::vector<double>& weights, size_t streams) {
  if (weights.size() != streams) throw ValueError(fmt::format("wscl: {} stream weights for {} streams", weights.size(), streams));
  double total = 0;
  for (double w : weights) {
    if (!(w >= 0)) throw ValueError(fmt::format("wscl: a stream's weight must not be negative, it is {}", w));
    total += w;
  }
  if (!(total > 0)) throw ValueError("wscl: all stream weights are 0");
  return total;
}

void check_labels(const Tensor& labels, int64_t images) {
  if (labels.shape() != Shape{images}) throw ShapeError(fmt::format("wscl: labels {} for {} images", to_string(labels.shape()), images));
  for (int64_t y : to_vector<int64_t>(labels))
    if (y != 0 && y != 1) throw ValueError(fmt::format("wscl: label {} is neither 0 (authentic) nor 1 (tampered)", y));
}

Tensor weighted_mean(const std::vector<Tensor>& values, const std::vector<double>& weights) {
  double total = checked_total(weights, values.size());
  for (const Tensor& v : values)
    if (v.shape() != values[0].shape())
      throw ShapeError(fmt::format("wscl: the streams' maps {} and {} differ", to_string(values[0].shape()), to_string(v.shape())));
  Tensor mean = weights[0] / total * values[0];
  for (size_t s = 1; s < values.size(); ++s) mean = mean + weights[s] / total * values[s];
  return mean;
}

std::vector<Tensor> maps_of(const std::vector<StreamOutput>& streams) {
  std::vector<Tensor> maps;
  for (const StreamOutput& s : streams) maps.push_back(s.map);
  return maps;
}

void check_square(const char* name, const Tensor& map) {
  if (map.size(-1) != map.size(-2)) throw ShapeError(fmt::format("{}: the map {} is not square", name, to_string(map.shape())));
}

// t at the volume's resolution, 0 or 1.
Tensor at_side(const Tensor& target, int64_t side) {
  if (target.size(1) == side && target.size(2) == side) return to(target > 0.5, target.dtype());
  Tensor resized = interpolate(unsqueeze(target, 1), {.size = Size2(side), .mode = Interpolation::linear});
  return to(squeeze(resized, 1) > 0.5, target.dtype());
}

}  // namespace

Tensor inconsistency_logits(const Tensor& f1, const Tensor& f2) {
  if (f1.rank() != 4 || f1.shape() != f2.shape())
    throw ShapeError(fmt::format("consistency_volume: features {} and {}", to_string(f1.shape()), to_string(f2.shape())));
  check_square("consistency_volume", f1);
  return bmm(contiguous(mT(flatten(f1, 2))), flatten(f2, 2)) * (-1 / std::sqrt(static_cast<double>(f1.size(1))));
}

Tensor consistency_volume(const Tensor& f1, const Tensor& f2) { return sigmoid(inconsistency_logits(f1, f2)); }

Tensor xor_volume(const Tensor& masks) {
  if (masks.rank() != 3) throw ShapeError(fmt::format("xor_volume: takes masks [B, h, h], got {}", to_string(masks.shape())));
  check_square("xor_volume", masks);
  Tensor flat = flatten(masks, 1), i = unsqueeze(flat, 2), j = unsqueeze(flat, 1);
  return 1.0 - (i * j + (1.0 - i) * (1.0 - j));
}

Tensor msc_target(const std::vector<Tensor>& maps, const std::vector<double>& weights, const Tensor& labels, bool hard) {
  checked_total(weights, maps.size());
  if (maps[0].rank() != 3) throw ShapeError(fmt::format("wscl: maps must be [B, h, w], got {}", to_string(maps[0].shape())));
  check_labels(labels, maps[0].size(0));
  NoGrad no_grad;
  std::vector<Tensor> constants;
  for (const Tensor& m : maps) constants.push_back(m.detach());
  Tensor t = weighted_mean(constants, weights);
  Tensor tampered = reshape(labels == 1, {labels.numel(), 1, 1});
  if (hard) {
    Tensor largest = amax(t, {1, 2}, true);
    t = to(logical_or(t > 0.5, logical_and(largest <= 0.5, t == largest)), t.dtype());
  }
  return where(tampered, t, 0.0);
}

WsclParts wscl_loss(const std::vector<StreamOutput>& streams, const Tensor& labels, int64_t epoch, int64_t epochs, const WsclOptions& o) {
  if (!(o.msc >= 0 && o.ipc >= 0))
    throw ValueError(fmt::format("wscl: weights {} and {} of the consistencies must not be negative", o.msc, o.ipc));
  if (epochs < 1 || epoch < 0) throw ValueError(fmt::format("wscl: epoch {} of {}", epoch, epochs));
  checked_total(o.weights, streams.size());
  check_labels(labels, streams[0].map.size(0));
  Tensor together = msc_target(maps_of(streams), o.weights, labels, o.hard);
  Tensor y = to(labels, streams[0].score.dtype()), zero = zeros({}, y.dtype());
  WsclParts parts{.classification = zero, .msc = zero, .ipc = zero, .target = together, .ramp = optim::sigmoid_rampup(epochs)(epoch)};
  for (size_t s = 0; s < streams.size(); ++s) {
    Tensor target = o.targets == Targets::together ? together : msc_target({streams[s].map}, {1}, labels, o.hard);
    if (s == 0) parts.target = target;
    parts.classification = parts.classification + binary_cross_entropy(streams[s].score, y);
    if (o.msc > 0) parts.msc = parts.msc + mse_loss(streams[s].map, target);
    if (o.ipc > 0) {
      Tensor volume = xor_volume(at_side(target, streams[s].side));
      parts.ipc = parts.ipc + binary_cross_entropy_with_logits(streams[s].inconsistency, volume);
    }
  }
  parts.total = parts.classification + parts.ramp * (o.msc * parts.msc + o.ipc * parts.ipc);
  return parts;
}

Ensemble ensemble(const std::vector<StreamOutput>& streams, const std::vector<double>& weights) {
  std::vector<Tensor> scores;
  for (const StreamOutput& s : streams) scores.push_back(s.score);
  return {weighted_mean(maps_of(streams), weights), weighted_mean(scores, weights)};
}

Tensor manipulated(const Tensor& map, int64_t height, int64_t width, double threshold) {
  NoGrad no_grad;
  Tensor resized = interpolate(unsqueeze(map.detach(), 1), {.size = Size2(height, width), .mode = Interpolation::linear});
  return to(squeeze(resized, 1) > threshold, i64);
}

double combined_f1(double image, double pixel) { return image > 0 && pixel > 0 ? 2 * image * pixel / (image + pixel) : 0; }

}  // namespace plumb::methods::wscl
