// Drawing shapes: layout, then colours, then one pass a shape over the pixels of its box.
#include "engine/data/shapes.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <tuple>

#include "engine/data/internal/portable_math.h"

namespace plumb::data {

namespace {

struct Point {
  double x, y;
};

/// A shape in place. Corners of polygons go round; y points down.
struct Placed {
  ShapeKind kind;
  Point center;
  double radius;
  std::vector<Point> outline;  ///< empty for a circle

  bool contains(Point p) const {
    if (outline.empty()) return (p.x - center.x) * (p.x - center.x) + (p.y - center.y) * (p.y - center.y) <= radius * radius;
    bool inside = false;  // a ray from p crosses the outline an odd number of times
    for (size_t i = 0, j = outline.size() - 1; i < outline.size(); j = i++) {
      const Point &a = outline[i], &b = outline[j];
      if ((a.y > p.y) != (b.y > p.y) && p.x < (b.x - a.x) * (p.y - a.y) / (b.y - a.y) + a.x) inside = !inside;
    }
    return inside;
  }

  /// x1, y1, x2, y2.
  std::array<double, 4> box() const {
    if (outline.empty()) return {center.x - radius, center.y - radius, center.x + radius, center.y + radius};
    std::array<double, 4> b{outline[0].x, outline[0].y, outline[0].x, outline[0].y};
    for (const Point& p : outline) b = {std::min(b[0], p.x), std::min(b[1], p.y), std::max(b[2], p.x), std::max(b[3], p.y)};
    return b;
  }

  /// The share of pixel (column, row) that is covered, by 4×4 samples.
  double coverage(int64_t column, int64_t row) const {
    int hits = 0;
    for (int v = 0; v < 4; ++v)
      for (int u = 0; u < 4; ++u) hits += contains({static_cast<double>(column) + (u + 0.5) / 4, static_cast<double>(row) + (v + 0.5) / 4});
    return hits / 16.0;
  }
};

Placed place(ShapeKind kind, Point center, double radius, double turn) {
  Placed shape{kind, center, radius, {}};
  auto corner = [&](double turns, double r) {
    auto [sine, cosine] = sin_cos_turns(turns);
    shape.outline.push_back({center.x + r * cosine, center.y + r * sine});
  };
  switch (kind) {
    case ShapeKind::circle:
      break;
    case ShapeKind::square:
      for (int i = 0; i < 4; ++i) corner(turn + 0.625 + i / 4.0, radius);
      break;
    case ShapeKind::triangle:
      for (int i = 0; i < 3; ++i) corner(turn + 0.75 + i / 3.0, radius);
      break;
    case ShapeKind::star:  // the inner corners of a pentagram lie at (3 − √5)/2 of the radius
      for (int i = 0; i < 10; ++i) corner(turn + 0.75 + i / 10.0, i % 2 == 0 ? radius : radius * 0.38196601125010515);
      break;
  }
  return shape;
}

/// A shape of random kind, size, place and rotation that lies inside the image.
Placed random_shape(const ShapeOptions& o, Generator& g) {
  auto kind = static_cast<ShapeKind>(g.next_below(kShapeKinds));
  double size = static_cast<double>(o.size), radius = size * uniform(g, o.min_radius, o.max_radius);
  Point center{uniform(g, radius, size - radius), 0};
  center.y = uniform(g, radius, size - radius);
  double turn = g.next_double();
  return place(kind, center, radius, o.rotate ? turn : 0);
}

/// The circles about the shapes are a pixel apart.
bool apart(const Placed& a, const Placed& b) {
  double dx = a.center.x - b.center.x, dy = a.center.y - b.center.y, distance = a.radius + b.radius + 1;
  return dx * dx + dy * dy >= distance * distance;
}

std::vector<Placed> layout(const ShapeOptions& o, Generator& g) {
  int64_t count = o.min_shapes + static_cast<int64_t>(g.next_below(static_cast<uint64_t>(o.max_shapes - o.min_shapes + 1)));
  for (int attempt = 0; attempt < 100; ++attempt) {
    std::vector<Placed> shapes;
    for (int tries = 0; static_cast<int64_t>(shapes.size()) < count && tries < 50 * count; ++tries) {
      Placed shape = random_shape(o, g);
      if (o.overlap || std::all_of(shapes.begin(), shapes.end(), [&](const Placed& s) { return apart(s, shape); })) shapes.push_back(shape);
    }
    if (static_cast<int64_t>(shapes.size()) == count) return shapes;
  }
  throw ValueError(
      fmt::format("shapes: found no place for {} shapes of radius {} to {} without overlap", count, o.min_radius, o.max_radius));
}

using Colour = std::array<double, 3>;

Colour random_colour(Generator& g) {
  Colour c;
  for (double& v : c) v = g.next_double();
  return c;
}

double difference(const Colour& a, const Colour& b, int64_t channels) {
  double most = 0;
  for (size_t c = 0; c < static_cast<size_t>(channels); ++c) most = std::max(most, std::abs(a[c] - b[c]));
  return most;
}

enum class Background { plain, gradient, checkerboard };

/// Two colours at most 0.2 apart, so that shapes can stand out from both.
struct Scene {
  Background background;
  Colour first, second;
  double along_x, along_y;  ///< direction of the gradient

  Scene(const ShapeOptions& o, Generator& g)
      : background(static_cast<Background>(g.next_below(3))), first(random_colour(g)), second(first) {
    if (o.plain_background) background = Background::plain;
    for (double& v : second) v = std::clamp(v + uniform(g, -0.2, 0.2), 0.0, 1.0);
    std::tie(along_y, along_x) = sin_cos_turns(g.next_double());
  }

  /// The share of the second colour at a pixel, both coordinates in [0, 1).
  double share(double x, double y) const {
    switch (background) {
      case Background::gradient:
        return std::clamp(0.5 + (x - 0.5) * along_x + (y - 0.5) * along_y, 0.0, 1.0);
      case Background::checkerboard:
        return static_cast<double>((static_cast<int>(x * 8) + static_cast<int>(y * 8)) % 2);
      default:
        return 0;
    }
  }

  Colour foreground(const ShapeOptions& o, Generator& g) const {
    while (true) {
      Colour c = random_colour(g);
      if (difference(c, first, o.channels) >= 0.35 && difference(c, second, o.channels) >= 0.35) return c;
    }
  }
};

/// The tensors of one image, written to in turn by the background and each shape.
class Canvas {
 public:
  Canvas(const ShapeOptions& o, const std::vector<Placed>& shapes)
      : size_(o.size),
        channels_(o.channels),
        shapes_(shapes),
        image_(empty({o.channels, size_, size_}, f32, cpu, "shapes")),
        masks_(zeros({count(), size_, size_}, u8)),
        segmentation_(zeros({size_, size_}, i64)) {}

  void paint_background(const Scene& scene) {
    for (int64_t y = 0; y < size_; ++y)
      for (int64_t x = 0; x < size_; ++x) {
        double share = scene.share((static_cast<double>(x) + 0.5) / static_cast<double>(size_),
                                   (static_cast<double>(y) + 0.5) / static_cast<double>(size_));
        for (int64_t c = 0; c < channels_; ++c) {
          auto channel = static_cast<size_t>(c);
          pixel(c, y, x) = static_cast<float>(scene.first[channel] + share * (scene.second[channel] - scene.first[channel]));
        }
      }
  }

  void paint(int64_t i, const Colour& colour) {
    const Placed& shape = shapes_[static_cast<size_t>(i)];
    auto [x1, y1, x2, y2] = shape.box();
    for (int64_t y = std::max<int64_t>(0, static_cast<int64_t>(y1)); y < std::min(size_, static_cast<int64_t>(y2) + 1); ++y)
      for (int64_t x = std::max<int64_t>(0, static_cast<int64_t>(x1)); x < std::min(size_, static_cast<int64_t>(x2) + 1); ++x) {
        double coverage = shape.coverage(x, y);
        for (int64_t c = 0; c < channels_; ++c)
          pixel(c, y, x) = static_cast<float>((1 - coverage) * pixel(c, y, x) + coverage * colour[static_cast<size_t>(c)]);
        if (coverage >= 0.5) cover(i, y, x);
      }
  }

  void add_noise(double deviation, Generator& g) {
    if (deviation == 0) return;
    float* p = image_.data<float>();
    for (int64_t i = 0; i < image_.numel(); ++i) p[i] = std::clamp(static_cast<float>(p[i] + deviation * normal(g)), 0.0f, 1.0f);
  }

  Sample sample() const {
    Sample s;
    s.image = image_;
    s.set("boxes", boxes());
    s.set("classes", classes());
    s.set("masks", masks_);
    s.set("keypoints", keypoints());
    s.set("segmentation", segmentation_);
    return s;
  }

 private:
  int64_t count() const { return static_cast<int64_t>(shapes_.size()); }
  float& pixel(int64_t c, int64_t y, int64_t x) { return image_.data<float>()[(c * size_ + y) * size_ + x]; }

  void cover(int64_t i, int64_t y, int64_t x) {
    uint8_t* masks = masks_.data<uint8_t>();
    for (int64_t earlier = 0; earlier <= i; ++earlier) masks[(earlier * size_ + y) * size_ + x] = earlier == i;
    segmentation_.data<int64_t>()[y * size_ + x] = 1 + static_cast<int64_t>(shapes_[static_cast<size_t>(i)].kind);
  }

  Tensor boxes() const {
    std::vector<float> v;
    for (const Placed& s : shapes_)
      for (double edge : s.box()) v.push_back(static_cast<float>(edge));
    return from_vector(v, {count(), 4});
  }

  Tensor classes() const {
    std::vector<int64_t> v;
    for (const Placed& s : shapes_) v.push_back(static_cast<int64_t>(s.kind));
    return from_vector(v);
  }

  Tensor keypoints() const {
    std::vector<float> v(static_cast<size_t>(count() * kShapeKeypoints * 3), 0.0f);
    for (size_t i = 0; i < shapes_.size(); ++i) {
      float* at = &v[i * kShapeKeypoints * 3];
      auto add = [&](Point p) {
        bool hidden = std::any_of(shapes_.begin() + static_cast<int64_t>(i) + 1, shapes_.end(),
                                  [&](const Placed& later) { return later.contains(p); });
        *at++ = static_cast<float>(p.x);
        *at++ = static_cast<float>(p.y);
        *at++ = hidden ? 1.0f : 2.0f;
      };
      add(shapes_[i].center);
      size_t step = shapes_[i].kind == ShapeKind::star ? 2 : 1;
      for (size_t c = 0; c < shapes_[i].outline.size(); c += step) add(shapes_[i].outline[c]);
    }
    return from_vector(v, {count(), kShapeKeypoints, 3});
  }

  int64_t size_, channels_;
  const std::vector<Placed>& shapes_;
  Tensor image_, masks_, segmentation_;
};

Sample render(const ShapeOptions& o, int64_t i) {
  Generator g(mix(mix(o.seed, 0x736861706573), static_cast<uint64_t>(i)));
  std::vector<Placed> shapes = layout(o, g);
  Scene scene(o, g);
  Canvas canvas(o, shapes);
  canvas.paint_background(scene);
  for (size_t s = 0; s < shapes.size(); ++s) canvas.paint(static_cast<int64_t>(s), scene.foreground(o, g));
  canvas.add_noise(o.noise, g);
  Sample sample = canvas.sample();
  if (o.max_shapes == 1 && shapes.size() == 1) {
    sample.label = empty({}, i64, cpu, "shapes");
    *sample.label.data<int64_t>() = static_cast<int64_t>(shapes[0].kind);
  }
  return sample;
}

}  // namespace

std::vector<std::string> shape_names() { return {"circle", "square", "triangle", "star"}; }

Dataset shapes(int64_t n, ShapeOptions o) {
  if (o.size < 8) throw ValueError(fmt::format("shapes: the size must be at least 8 pixels, it is {}", o.size));
  if (o.channels != 1 && o.channels != 3)
    throw ValueError(fmt::format("shapes: the number of channels must be 1 or 3, it is {}", o.channels));
  if (o.min_shapes < 0 || o.max_shapes < o.min_shapes)
    throw ValueError(
        fmt::format("shapes: the numbers of shapes must rise from 0 or more, they go from {} to {}", o.min_shapes, o.max_shapes));
  if (!(o.min_radius > 0 && o.min_radius <= o.max_radius && o.max_radius <= 0.5))
    throw ValueError(fmt::format("shapes: radii must rise within (0, 0.5] of the size, they go from {} to {}", o.min_radius, o.max_radius));
  if (!(o.noise >= 0)) throw ValueError(fmt::format("shapes: the noise must not be negative, it is {}", o.noise));
  return from_function(n, [o](int64_t i) { return render(o, i); });
}

}  // namespace plumb::data
