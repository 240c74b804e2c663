// Peaks, hits and the scores made of them.
#include "methods/representation/proto_eval/part_hits.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "engine/autograd/grad_mode.h"
#include "ops/elementary.h"
#include "ops/join.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "ops/vision.h"

namespace plumb::methods::proto_eval {

Tensor map_peaks(const Tensor& maps, int64_t size) {
  if (maps.rank() != 4 || maps.numel() == 0) throw ShapeError("proto_eval: maps are to be [n, K, h, w], got " + to_string(maps.shape()));
  NoGrad no_grad;
  bool there = maps.size(2) == size && maps.size(3) == size;
  Tensor large = there ? maps : interpolate(maps, {.size = Size2(size), .mode = Interpolation::bicubic});
  Tensor at = argmax(flatten(large, 2), 2), width = full({1}, size, i64);
  return stack({floor_divide(at, width), remainder(at, width)}, 2);
}

Tensor prototype_part_hits(const Tensor& maps, const Parts& parts, double half, int64_t size) {
  Tensor peaks = to(map_peaks(maps, size), f64);
  if (parts.location.rank() != 3 || parts.location.size(0) != maps.size(0) || parts.location.size(2) != 2 ||
      parts.visible.shape() != Shape{maps.size(0), parts.location.size(1)})
    throw ShapeError(fmt::format("proto_eval: locations {} and visibilities {} for maps {}", to_string(parts.location.shape()),
                                 to_string(parts.visible.shape()), to_string(maps.shape())));
  if (!(half >= 0)) throw ValueError(fmt::format("proto_eval: half a box of {:g} pixels", half));
  Tensor away = amax(abs(unsqueeze(peaks, 2) - unsqueeze(to(parts.location, f64), 1)), {3});
  return logical_and(away <= half, unsqueeze(parts.visible != 0, 1));
}

void PartHits::check() const {
  if (hit.rank() != 3 || visible.shape() != Shape{hit.size(0), hit.size(2)} || labels.shape() != Shape{hit.size(0)})
    throw ShapeError(fmt::format("proto_eval: hits {}, visibilities {} and labels {} do not fit", to_string(hit.shape()),
                                 to_string(visible.shape()), to_string(labels.shape())));
  std::vector<int64_t> images(static_cast<size_t>(std::max<int64_t>(classes, 0)), 0);
  for (int64_t y : to_vector<int64_t>(labels)) {
    if (y < 0 || y >= classes) throw IndexError(fmt::format("proto_eval: class {} is outside [0, {})", y, classes));
    ++images[static_cast<size_t>(y)];
  }
  if (images.empty()) throw ValueError("proto_eval: hits of no classes");
  for (size_t c = 0; c < images.size(); ++c)
    if (images[c] == 0) throw ValueError(fmt::format("proto_eval: class {} has no images", c));
  if (any(logical_and(hit, logical_not(unsqueeze(visible, 1)))).item() != 0)
    throw ValueError("proto_eval: a part is hit where it is not visible");
}

namespace {

// f(class, images of that class) for every class.
template <typename F>
void each_class(const PartHits& hits, F&& f) {
  std::vector<std::vector<int64_t>> images(static_cast<size_t>(hits.classes));
  auto labels = to_vector<int64_t>(hits.labels);
  for (size_t i = 0; i < labels.size(); ++i) images[static_cast<size_t>(labels[i])].push_back(static_cast<int64_t>(i));
  for (size_t c = 0; c < images.size(); ++c) f(c, images[c]);
}

// The elements of a bool tensor in row-major order.
struct Flags {
  std::vector<int> values;
  int64_t inner, parts;
  Flags(const Tensor& x, int64_t of_image, int64_t q) : values(to_vector<int>(x)), inner(of_image), parts(q) {}
  int at(int64_t image, int64_t prototype, int64_t part) const {
    return values[static_cast<size_t>((image * inner + prototype) * parts + part)];
  }
};

}  // namespace

Tensor part_rates(const PartHits& hits) {
  hits.check();
  int64_t k_count = hits.hit.size(1), q_count = hits.hit.size(2);
  Flags hit(hits.hit, k_count, q_count), visible(hits.visible, 1, q_count);
  std::vector<double> rates;
  each_class(hits, [&](size_t, const std::vector<int64_t>& images) {
    for (int64_t k = 0; k < k_count; ++k)
      for (int64_t q = 0; q < q_count; ++q) {
        double struck = 0, seen = 0;
        for (int64_t i : images) struck += hit.at(i, k, q), seen += visible.at(i, 0, q);
        rates.push_back(struck / std::max(seen, 1.0));
      }
  });
  return from_vector(rates, {hits.classes * k_count, q_count});
}

double consistency_score(const PartHits& hits, double threshold) {
  return 100 * mean(to(any(part_rates(hits) >= threshold, {1}), f64)).item();
}

double best_part_rate(const PartHits& hits) { return 100 * mean(amax(part_rates(hits), {1})).item(); }

double stability_score(const PartHits& clean, const PartHits& noisy) {
  clean.check();
  noisy.check();
  if (clean.hit.shape() != noisy.hit.shape())
    throw ShapeError(fmt::format("proto_eval: hits {} of clean images and {} of noisy ones", to_string(clean.hit.shape()),
                                 to_string(noisy.hit.shape())));
  if (to_vector<int64_t>(clean.labels) != to_vector<int64_t>(noisy.labels))
    throw ValueError("proto_eval: clean and noisy images have other labels");
  Tensor same = to(all(clean.hit == noisy.hit, {2}), f64);  // [n, K]
  auto values = to_vector(same);
  int64_t k_count = same.size(1);
  double total = 0;
  each_class(clean, [&](size_t, const std::vector<int64_t>& images) {
    double kept = 0;
    for (int64_t i : images)
      for (int64_t k = 0; k < k_count; ++k) kept += values[static_cast<size_t>(i * k_count + k)];
    total += kept / static_cast<double>(images.size());
  });
  return 100 * total / static_cast<double>(clean.classes * k_count);
}

Tensor imperceptible_noise(const Tensor& images, Generator& g, double deviation, double clip) {
  if (!(deviation >= 0 && clip >= 0)) throw ValueError(fmt::format("proto_eval: noise of deviation {:g} clipped at {:g}", deviation, clip));
  return images + clamp(randn_like(images, &g) * deviation, -clip, clip);
}

}  // namespace plumb::methods::proto_eval
