// Covering boxes of images: drawn in order, one image after the other, each from the batch as it came.
#include "models/augment/occlusion.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "engine/core/error.h"
#include "models/augment/augment.h"
#include "models/augment/internal/images.h"
#include "ops/shape.h"

namespace plumb::augment {
namespace {

using detail::Geometry;

/// Half-open, within the image.
struct PixelBox {
  int64_t x0, y0, x1, y1;
  int64_t width() const { return x1 - x0; }
  int64_t height() const { return y1 - y0; }
};

struct Half {
  int64_t x, y;
};

int64_t draw_integer(int64_t low, int64_t high, Generator& g) {
  return low + static_cast<int64_t>(g.next_below(static_cast<uint64_t>(high - low + 1)));
}
Half draw_half(const OcclusionOptions& o, Generator& g) {
  int64_t x = draw_integer(o.min_half, o.max_half, g);
  return {x, draw_integer(o.min_half, o.max_half, g)};
}
double draw_normal(Generator& g) {
  double radius = std::sqrt(-2 * std::log(1 - g.next_double()));
  return radius * std::cos(2 * std::numbers::pi * g.next_double());
}

PixelBox box_about(int64_t x, int64_t y, Half half, const Geometry& g) {
  auto within = [](int64_t v, int64_t size) { return std::clamp<int64_t>(v, 0, size); };
  return {within(x - half.x, g.width), within(y - half.y, g.height), within(x + half.x, g.width), within(y + half.y, g.height)};
}

PixelBox box_anywhere(const OcclusionOptions& o, const Geometry& g, Generator& generator) {
  int64_t x = draw_integer(0, g.width - 1, generator), y = draw_integer(0, g.height - 1, generator);
  return box_about(x, y, draw_half(o, generator), g);
}

/// The joints of a batch as numbers.
class Joints {
 public:
  Joints(const char* name, const Tensor& joints, const Geometry& g) : count_(joints.rank() == 3 ? joints.size(1) : 0) {
    if (joints.rank() != 3 || joints.size(0) != g.batch || joints.size(2) != 2 || count_ < 1)
      throw ShapeError(std::string(name) + ": joints " + to_string(joints.shape()) + " for " + std::to_string(g.batch) +
                       " images; takes [B, J, 2]");
    places_ = to_vector(joints);
    for (double p : places_)
      if (!std::isfinite(p)) throw ValueError(std::string(name) + ": a joint is not finite");
  }
  /// About a random joint of the image, moved.
  PixelBox draw(int64_t image, Half half, double jitter, const Geometry& g, Generator& generator) const {
    int64_t at = 2 * (image * count_ + draw_integer(0, count_ - 1, generator));
    double x = places_[static_cast<size_t>(at)] + jitter * draw_normal(generator);
    double y = places_[static_cast<size_t>(at + 1)] + jitter * draw_normal(generator);
    return box_about(std::llround(x), std::llround(y), half, g);
  }

 private:
  int64_t count_;
  std::vector<double> places_;
};

/// A batch that is written to, beside what it was.
class Covered {
 public:
  Covered(const char* name, const Tensor& images)
      : geometry(detail::geometry(name, images)), before_(contiguous_data(images)), after_(empty(images.shape(), f32, cpu, name)) {
    std::copy_n(before_.data<float>(), before_.numel(), after_.data<float>());
  }
  void clear(int64_t image, const PixelBox& b) {
    each_row(image, b, [&](float* to, int64_t, int64_t) { std::fill_n(to, b.width(), 0.0f); });
  }
  /// `source` of another image, as it was, put at `target` of the same size.
  void paste(int64_t image, const PixelBox& target, int64_t other, const PixelBox& source) {
    const float* from = before_.data<float>() + other * geometry.image();
    each_row(image, target, [&](float* to, int64_t channel, int64_t row) {
      std::copy_n(from + channel * geometry.plane() + (row - target.y0 + source.y0) * geometry.width + source.x0, target.width(), to);
    });
  }
  Tensor result() const { return after_; }

  const Geometry geometry;

 private:
  template <typename F>
  void each_row(int64_t image, const PixelBox& b, F&& f) {
    if (b.width() <= 0) return;
    float* to = after_.data<float>() + image * geometry.image();
    for (int64_t c = 0; c < geometry.channels; ++c)
      for (int64_t y = b.y0; y < b.y1; ++y) f(to + c * geometry.plane() + y * geometry.width + b.x0, c, y);
  }
  Tensor before_, after_;
};

std::vector<int64_t> permutation(int64_t n, Generator& g) {
  std::vector<int64_t> order(static_cast<size_t>(n));
  for (size_t i = 0; i < order.size(); ++i) order[i] = static_cast<int64_t>(i);
  for (size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[g.next_below(i)]);
  return order;
}

}  // namespace

void OcclusionOptions::check(const char* name) const {
  if (count < 0) throw ValueError(std::string(name) + ": the number of boxes must not be negative, it is " + std::to_string(count));
  if (min_half < 0 || max_half < min_half)
    throw ValueError(std::string(name) + ": half sizes must rise from 0 or more, they go from " + std::to_string(min_half) + " to " +
                     std::to_string(max_half));
  if (!(jitter >= 0)) throw ValueError(std::string(name) + ": the jitter must not be negative, it is " + decimal(jitter));
}

Tensor cut_boxes(const Tensor& images, const OcclusionOptions& o, Generator& g) {
  o.check("cut_boxes");
  Covered c("cut_boxes", images);
  for (int64_t i = 0; i < c.geometry.batch; ++i)
    for (int64_t k = 0; k < o.count; ++k) c.clear(i, box_anywhere(o, c.geometry, g));
  return c.result();
}

Tensor mix_boxes(const Tensor& images, const OcclusionOptions& o, Generator& g) {
  return mix_boxes(images, permutation(detail::geometry("mix_boxes", images).batch, g), o, g);
}

Tensor mix_boxes(const Tensor& images, const std::vector<int64_t>& partners, const OcclusionOptions& o, Generator& g) {
  o.check("mix_boxes");
  Covered c("mix_boxes", images);
  if (static_cast<int64_t>(partners.size()) != c.geometry.batch)
    throw ShapeError("mix_boxes: " + std::to_string(partners.size()) + " partners for images " + to_string(images.shape()));
  for (int64_t p : partners)
    if (p < 0 || p >= c.geometry.batch)
      throw IndexError("mix_boxes: partner " + std::to_string(p) + " is outside [0, " + std::to_string(c.geometry.batch) + ")");
  for (int64_t i = 0; i < c.geometry.batch; ++i)
    for (int64_t k = 0; k < o.count; ++k) {
      PixelBox b = box_anywhere(o, c.geometry, g);
      c.paste(i, b, partners[static_cast<size_t>(i)], b);
    }
  return c.result();
}

Tensor blend_images(const Tensor& images, Generator& g, double share, double alpha) {
  Geometry geometry = detail::geometry("blend_images", images);
  if (!(share >= 0 && share <= 1)) throw ValueError("blend_images: the share must lie in [0, 1], it is " + decimal(share));
  auto other = static_cast<float>(share * beta_number(alpha, alpha, g));
  std::vector<int64_t> order = permutation(geometry.batch, g);
  Tensor x = contiguous_data(images);
  const float* all = x.data<float>();
  return detail::each_image("blend_images", images, [&](int64_t i, const float* from, float* to) {
    const float* partner = all + order[static_cast<size_t>(i)] * geometry.image();
    for (int64_t k = 0; k < geometry.image(); ++k) to[k] = (1 - other) * from[k] + other * partner[k];
  });
}

Tensor cut_joints(const Tensor& images, const Tensor& joints, const OcclusionOptions& o, Generator& g) {
  o.check("cut_joints");
  Covered c("cut_joints", images);
  Joints places("cut_joints", joints, c.geometry);
  for (int64_t i = 0; i < c.geometry.batch; ++i)
    for (int64_t k = 0; k < o.count; ++k) {
      Half half = draw_half(o, g);
      c.clear(i, places.draw(i, half, o.jitter, c.geometry, g));
    }
  return c.result();
}

Tensor paste_joints(const Tensor& images, const Tensor& joints, const OcclusionOptions& o, Generator& g) {
  o.check("paste_joints");
  Covered c("paste_joints", images);
  Joints places("paste_joints", joints, c.geometry);
  int64_t batch = c.geometry.batch;
  for (int64_t i = 0; i < batch; ++i) {
    int64_t other = batch > 1 ? draw_integer(0, batch - 2, g) : 0;
    if (batch > 1 && other >= i) ++other;
    for (int64_t k = 0; k < o.count; ++k) {
      Half half = draw_half(o, g);
      PixelBox source = places.draw(other, half, o.jitter, c.geometry, g), target = places.draw(i, half, o.jitter, c.geometry, g);
      if (source.width() == target.width() && source.height() == target.height())
        c.paste(i, target, other, source);
      else
        c.clear(i, target);
    }
  }
  return c.result();
}

Tensor join_halves(const Tensor& a, const Tensor& b, Generator& g) {
  if (a.shape() != b.shape()) throw ShapeError("join_halves: images " + to_string(a.shape()) + " and " + to_string(b.shape()) + " differ");
  Covered c("join_halves", a);
  Tensor second = contiguous_data(to(b, cpu));
  Tensor out = c.result();
  const Geometry& s = c.geometry;
  for (int64_t i = 0; i < s.batch; ++i) {
    bool across = g.next_double() < 0.5;
    for (int64_t plane = i * s.channels; plane < (i + 1) * s.channels; ++plane)
      for (int64_t y = across ? s.height / 2 : 0; y < s.height; ++y) {
        int64_t from = plane * s.plane() + y * s.width + (across ? 0 : s.width / 2), to = plane * s.plane() + (y + 1) * s.width;
        std::copy(second.data<float>() + from, second.data<float>() + to, out.data<float>() + from);
      }
  }
  return out;
}

}  // namespace plumb::augment
