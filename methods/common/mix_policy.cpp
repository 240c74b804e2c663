// Policies of mixing.
#include "methods/common/mix_policy.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "engine/autograd/grad_mode.h"
#include "engine/core/error.h"
#include "methods/common/mixing.h"
#include "models/augment/augment.h"
#include "ops/distributions.h"
#include "ops/fft.h"
#include "ops/index.h"
#include "ops/loss.h"
#include "ops/pad.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/shape.h"
#include "ops/sort.h"
#include "ops/vision.h"

namespace plumb::methods {
namespace {

struct Sides {
  int64_t height, width;
  double area() const { return static_cast<double>(height * width); }
};

Sides image_sides(const char* policy, const Tensor& x) {
  if (x.rank() != 4) throw ShapeError(fmt::format("mix_examples: {} takes images [B, C, H, W], got {}", policy, to_string(x.shape())));
  return {x.size(2), x.size(3)};
}

// Who is mixed with whom, still without shares.
struct Partners {
  Tensor x;  // the other examples
  MixedLabels labels;
};

void check_batch(const MixPolicy& policy, const Tensor& x, const Tensor& labels) {
  policy.check();
  if (x.rank() < 1 || !is_floating(x.dtype()))
    throw ShapeError("mix_examples: takes floating examples [B, ..], got " + to_string(x.shape()));
  if (labels.rank() != 1 || labels.dtype() != i64 || labels.size(0) != x.size(0))
    throw ShapeError(fmt::format("mix_examples: labels must be i64 [{}], got {}", x.size(0), to_string(labels.shape())));
}

Partners draw_partners(const Tensor& x, const Tensor& labels, Generator& generator) {
  Tensor order = randperm(x.size(0), {.dtype = i64, .device = x.device(), .generator = &generator});
  return {index_select(x, 0, order), {labels, index_select(labels, 0, order), {}}};
}

Tensor same_share(const Tensor& x, double lambda) { return full({x.size(0)}, lambda, x.dtype(), x.device()); }

Tensor draw_shares(const MixPolicy& policy, const Tensor& x, Generator& generator) {
  if (!policy.per_example) return same_share(x, augment::beta_number(policy.alpha, policy.alpha, generator));
  return beta({x.size(0)}, policy.alpha, policy.alpha, {.dtype = x.dtype(), .device = x.device(), .generator = &generator});
}

// 1 in the box, 0 elsewhere, as bool [H, W].
Tensor box_mask(Sides sides, const augment::CutBox& box, Device device) {
  Tensor mask = zeros({sides.height, sides.width}, boolean);
  for (int64_t y = box.top; y < box.bottom; ++y)
    std::fill(mask.data<bool>() + y * sides.width + box.left, mask.data<bool>() + y * sides.width + box.right, true);
  return to(mask, device);
}

MixedExamples mix_by_mixup(const MixPolicy& policy, const Tensor& x, const Tensor& labels, Generator& generator) {
  Tensor lambda = draw_shares(policy, x, generator);
  Partners other = draw_partners(x, labels, generator);
  other.labels.lambda = lambda;
  return {mix_pairs(x, other.x, lambda), other.labels};
}

MixedExamples mix_by_box(const MixPolicy& policy, const Tensor& x, const Tensor& labels, Generator& generator) {
  Sides sides = image_sides("cutmix", x);
  double lambda = augment::beta_number(policy.alpha, policy.alpha, generator);
  augment::CutBox box = augment::cut_box(sides.height, sides.width, lambda, generator);
  Partners other = draw_partners(x, labels, generator);
  other.labels.lambda = same_share(x, 1 - static_cast<double>(box.area()) / sides.area());
  return {where(box_mask(sides, box, x.device()), other.x, x), other.labels};
}

MixedExamples mix_by_resizing(const MixPolicy& policy, const Tensor& x, const Tensor& labels, Generator& generator) {
  Sides sides = image_sides("resize", x);
  double side = policy.smallest + (policy.largest - policy.smallest) * generator.next_double();
  auto shorter = [&](int64_t size) { return std::max<int64_t>(1, std::llround(side * static_cast<double>(size))); };
  int64_t height = shorter(sides.height), width = shorter(sides.width);
  auto place = [&](int64_t size, int64_t part) {
    return static_cast<int64_t>(generator.next_below(static_cast<uint64_t>(size - part + 1)));
  };
  int64_t top = place(sides.height, height), left = place(sides.width, width);
  augment::CutBox box{top, top + height, left, left + width};
  Partners other = draw_partners(x, labels, generator);
  Tensor small = interpolate(other.x, {.size = Size2(height, width), .mode = Interpolation::linear});
  Tensor around = pad(small, {left, sides.width - box.right, top, sides.height - box.bottom});
  other.labels.lambda = same_share(x, 1 - static_cast<double>(box.area()) / sides.area());
  return {where(box_mask(sides, box, x.device()), around, x), other.labels};
}

MixedExamples mix_by_smooth_mask(const MixPolicy& policy, const Tensor& x, const Tensor& labels, Generator& generator) {
  Sides sides = image_sides("fmix", x);
  double lambda = augment::beta_number(policy.alpha, policy.alpha, generator);
  Tensor mask = smooth_mask(sides.height, sides.width, lambda, policy.decay, generator);
  Partners other = draw_partners(x, labels, generator);
  other.labels.lambda = same_share(x, std::round(lambda * sides.area()) / sides.area());
  return {where(to(mask, x.device()), x, other.x), other.labels};
}

}  // namespace

void MixPolicy::check() const {
  if (!(alpha > 0)) throw ValueError(fmt::format("mix_policy: alpha must be positive, it is {}", alpha));
  if (!(smallest > 0 && smallest <= largest && largest <= 1))
    throw ValueError(fmt::format("mix_policy: sides between {} and {} times as long do not lie in (0, 1]", smallest, largest));
  if (!(decay >= 0)) throw ValueError(fmt::format("mix_policy: decay must not be negative, it is {}", decay));
}

Tensor mixed_cross_entropy(const Tensor& logits, const MixedLabels& labels, double label_smoothing) {
  if (logits.rank() != 2) throw ShapeError("mixed_cross_entropy: takes logits [B, C], got " + to_string(logits.shape()));
  return cross_entropy(logits, mixed_targets(labels.first, labels.second, labels.lambda, logits.size(1)),
                       {.label_smoothing = label_smoothing});
}

MixedExamples mix_examples(const MixPolicy& policy, const Tensor& x, const Tensor& labels, Generator& generator) {
  check_batch(policy, x, labels);
  switch (policy.kind) {
    case MixKind::none:
      return {x, {labels, labels, same_share(x, 1)}};
    case MixKind::mixup:
      return mix_by_mixup(policy, x, labels, generator);
    case MixKind::cutmix:
      return mix_by_box(policy, x, labels, generator);
    case MixKind::resize:
      return mix_by_resizing(policy, x, labels, generator);
    case MixKind::fmix:
      return mix_by_smooth_mask(policy, x, labels, generator);
    default:
      throw ValueError("mix_examples: manifold mixes inside a network; call mixed_logits");
  }
}

MixedLogits mixed_logits(const MixPolicy& policy, const StagedNetwork& network, const Tensor& x, const Tensor& labels,
                         Generator& generator) {
  if (policy.kind != MixKind::manifold) {
    MixedExamples mixed = mix_examples(policy, x, labels, generator);
    return {network(mixed.x), mixed.labels};
  }
  check_batch(policy, x, labels);
  size_t stages = network.stages.size();
  size_t place = stages == 0 ? 0 : static_cast<size_t>(generator.next_below(stages));
  MixedExamples mixed = mix_by_mixup(policy, network.run(x, 0, place), labels, generator);
  return {network.run(mixed.x, place, stages), mixed.labels};
}

Tensor smooth_mask(int64_t height, int64_t width, double lambda, double decay, Generator& generator) {
  if (!(lambda >= 0 && lambda <= 1)) throw ValueError(fmt::format("smooth_mask: lambda must lie in [0, 1], it is {}", lambda));
  NoGrad no_grad;
  int64_t columns = width / 2 + 1;
  Tensor spectrum = randn({height, columns, 2}, {.dtype = f64, .generator = &generator});
  double least = 1 / static_cast<double>(std::max(height, width));
  for (int64_t y = 0; y < height; ++y)
    for (int64_t x = 0; x < columns; ++x) {
      double frequency = std::hypot(static_cast<double>(std::min(y, height - y)) / static_cast<double>(height),
                                    static_cast<double>(x) / static_cast<double>(width));
      double amplitude = std::pow(std::max(frequency, least), -decay);
      for (int64_t part = 0; part < 2; ++part) spectrum.data<double>()[(y * columns + x) * 2 + part] *= amplitude;
    }
  Tensor order = argsort(flatten(irfftn(spectrum, {.sizes = {height, width}})), -1, true);
  auto places = to_vector<int64_t>(order);
  Tensor mask = zeros({height, width}, boolean);
  auto count = static_cast<size_t>(std::llround(lambda * static_cast<double>(height * width)));
  for (size_t k = 0; k < count; ++k) mask.data<bool>()[places[k]] = true;
  return mask;
}

}  // namespace plumb::methods
