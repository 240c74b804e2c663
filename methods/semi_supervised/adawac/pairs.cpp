// Pairs of augmented views, and scenes of digits.
#include "methods/semi_supervised/adawac/pairs.h"

#include <fmt/format.h>

#include <algorithm>

#include "engine/autograd/grad_mode.h"
#include "engine/core/error.h"
#include "engine/data/dataset.h"
#include "engine/data/sample.h"
#include "models/augment/image_and_mask.h"
#include "ops/index.h"
#include "ops/join.h"
#include "ops/pointwise.h"
#include "ops/pool.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::methods::adawac {

PairBatcher::PairBatcher(SegmentationSet set, int64_t batch, uint64_t seed)
    : set_(std::move(set)), batch_(batch), order_generator_(data::mix(seed, 1)), views_(data::mix(seed, 2)) {
  const Tensor &x = set_.images, &m = set_.masks;
  if (x.rank() != 4 || m.shape() != Shape{x.size(0), x.size(2), x.size(3)})
    throw ShapeError(fmt::format("pair_batcher: images {} with masks {}", to_string(x.shape()), to_string(m.shape())));
  if (batch < 1 || batch > x.size(0)) throw ValueError(fmt::format("pair_batcher: a batch of {} of {} images", batch, x.size(0)));
}

PairBatch PairBatcher::next() {
  NoGrad no_grad;
  auto count = static_cast<size_t>(batch_);
  if (at_ + count > order_.size()) order_ = data::random_order(set_.images.size(0), order_generator_), at_ = 0;
  std::vector<int64_t> places(order_.begin() + static_cast<int64_t>(at_), order_.begin() + static_cast<int64_t>(at_ + count));
  at_ += count;
  Tensor index = from_vector(places);
  augment::ImagesAndMasks batch{index_select(set_.images, 0, index), index_select(set_.masks, 0, index)};
  augment::ImagesAndMasks first = augment::turn_or_rotate(batch, views_), second = augment::turn_or_rotate(batch, views_);
  return {first.images, first.masks, second.images, second.masks, index};
}

namespace {

// A smooth texture in [0, 1]: noise averaged over 5×5 pixels and stretched, with a little noise on each pixel.
Tensor texture(int64_t size, Generator& g) {
  Tensor smooth = avg_pool2d(rand({1, 1, size, size}, {.generator = &g}), 5, {.stride = 1, .padding = 2, .count_include_pad = false});
  Tensor low = min(smooth), high = max(smooth);
  Tensor stretched = (smooth - low) / (high - low);
  return clamp(0.8 * stretched + 0.2 * rand({1, 1, size, size}, {.generator = &g}), 0, 1);
}

struct Canvas {
  int64_t size;
  float* image;
  int64_t* mask;
};

// A digit of 8 · scale pixels at a random place that holds it whole. One that is cut is seen, but not in the mask.
void draw_digit(Canvas canvas, const float* digit, int64_t scale, int64_t label, bool cut, double foreground, Generator& g) {
  int64_t side = 8 * scale;
  auto place = [&] { return static_cast<int64_t>(g.next_below(static_cast<uint64_t>(canvas.size - side + 1))); };
  int64_t top = place(), left = place();
  double contrast = 0.7 + 0.3 * g.next_double();
  for (int64_t y = 0; y < side; ++y)
    for (int64_t x = 0; x < side; ++x) {
      double ink = digit[(y / scale) * 8 + x / scale];
      if (ink < foreground) continue;
      int64_t at = (top + y) * canvas.size + left + x;
      canvas.image[at] = static_cast<float>(contrast * ink);
      canvas.mask[at] = cut ? 0 : label < 5 ? 1 : 2;
    }
}

SceneKind drawn_kind(double dense, Generator& g) {
  if (g.next_double() < dense) return SceneKind::dense;
  return g.next_double() < 0.5 ? SceneKind::sparse : SceneKind::empty;
}

}  // namespace

Scenes digit_scenes(int64_t n, const Tensor& digits, const Tensor& labels, const SceneOptions& o, Generator& g) {
  if (digits.rank() != 4 || digits.size(2) != 8 || digits.size(3) != 8 || labels.shape() != Shape{digits.size(0)} || o.size < 16)
    throw ShapeError(
        fmt::format("digit_scenes: digits {} with labels {} on {} pixels", to_string(digits.shape()), to_string(labels.shape()), o.size));
  NoGrad no_grad;
  Scenes s{{empty({n, 1, o.size, o.size}), zeros({n, o.size, o.size}, i64)}, {}, {}};
  Tensor ink = contiguous(digits);
  auto kinds = to_vector<int64_t>(labels);
  int64_t pixels = o.size * o.size;
  for (int64_t i = 0; i < n; ++i) {
    Tensor background = o.noise * texture(o.size, g);
    Canvas canvas{o.size, s.set.images.data<float>() + i * pixels, s.set.masks.data<int64_t>() + i * pixels};
    std::copy_n(background.data<float>(), pixels, canvas.image);
    SceneKind kind = drawn_kind(o.dense, g);
    auto count = kind == SceneKind::dense ? 2 + static_cast<int>(g.next_below(3)) : kind == SceneKind::sparse ? 1 : 0;
    for (int d = 0; d < count; ++d) {
      auto which = static_cast<int64_t>(g.next_below(static_cast<uint64_t>(digits.size(0))));
      bool cut = g.next_double() < o.cut;
      draw_digit(canvas, ink.data<float>() + which * 64, kind == SceneKind::dense ? 2 : 1, kinds[static_cast<size_t>(which)], cut,
                 o.foreground, g);
    }
    s.kinds.push_back(kind);
    s.density.push_back(static_cast<double>(std::count_if(canvas.mask, canvas.mask + pixels, [](int64_t c) { return c != 0; })) /
                        static_cast<double>(pixels));
  }
  return s;
}

}  // namespace plumb::methods::adawac
