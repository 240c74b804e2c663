// Rendered shapes: boxes, masks and keypoints agree with each other and with the pixels.
#include "engine/data/shapes.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "engine/io/sha256.h"

using namespace plumb;
using data::Sample;
using data::ShapeKind;

namespace {

struct Extent {
  double x1 = 1e9, y1 = 1e9, x2 = -1, y2 = -1, area = 0;
};

/// The box and area of mask i.
Extent extent(const Sample& s, int64_t i) {
  int64_t size = s["masks"].size(1);
  const uint8_t* m = s["masks"].data<uint8_t>() + i * size * size;
  Extent e;
  for (int64_t y = 0; y < size; ++y)
    for (int64_t x = 0; x < size; ++x)
      if (m[y * size + x]) {
        e.x1 = std::min(e.x1, static_cast<double>(x)), e.x2 = std::max(e.x2, x + 1.0);
        e.y1 = std::min(e.y1, static_cast<double>(y)), e.y2 = std::max(e.y2, y + 1.0);
        e.area += 1;
      }
  return e;
}

/// The shape's area from its circumradius.
double area(ShapeKind kind, double r) {
  switch (kind) {
    case ShapeKind::circle:
      return M_PI * r * r;
    case ShapeKind::square:
      return 2 * r * r;
    case ShapeKind::triangle:
      return 3 * std::sqrt(3.0) / 4 * r * r;
    default:
      return 5 * r * r * (3 - std::sqrt(5.0)) / 2 * std::sin(M_PI / 5);
  }
}

}  // namespace

TEST_CASE("shapes: fields have their shapes, and counts stay in range") {
  data::Dataset d = data::shapes(40, {.size = 48, .min_shapes = 0, .max_shapes = 4, .max_radius = 0.15, .seed = 1});
  std::set<int64_t> counts, kinds;
  for (int64_t i = 0; i < d.size(); ++i) {
    Sample s = d[i];
    int64_t k = s["classes"].numel();
    counts.insert(k);
    for (int64_t c : to_vector<int64_t>(s["classes"])) kinds.insert(c);
    CHECK(s.index == i);
    CHECK(s.image.shape() == Shape{3, 48, 48});
    CHECK(s["boxes"].shape() == Shape{k, 4});
    CHECK(s["masks"].shape() == Shape{k, 48, 48});
    CHECK(s["keypoints"].shape() == Shape{k, 6, 3});
    CHECK(s["segmentation"].shape() == Shape{48, 48});
    CHECK_FALSE(s.has("label"));
    std::vector<double> pixels = to_vector(s.image);
    CHECK(*std::min_element(pixels.begin(), pixels.end()) >= 0);
    CHECK(*std::max_element(pixels.begin(), pixels.end()) <= 1);
  }
  CHECK(counts == std::set<int64_t>{0, 1, 2, 3, 4});
  CHECK(kinds == std::set<int64_t>{0, 1, 2, 3});
}

TEST_CASE("shapes: boxes are tight about the masks, and areas are those of the figures") {
  data::Dataset d = data::shapes(60, {.size = 96, .min_shapes = 1, .max_shapes = 3, .seed = 2});
  for (int64_t i = 0; i < d.size(); ++i) {
    Sample s = d[i];
    std::vector<double> boxes = to_vector(s["boxes"]), keypoints = to_vector(s["keypoints"]);
    std::vector<int64_t> classes = to_vector<int64_t>(s["classes"]);
    for (size_t k = 0; k < classes.size(); ++k) {
      auto kind = static_cast<ShapeKind>(classes[k]);
      Extent e = extent(s, static_cast<int64_t>(k));
      const double *b = &boxes[4 * k], *p = &keypoints[18 * k];
      CHECK((b[0] >= 0 && b[1] >= 0 && b[2] <= 96 && b[3] <= 96));
      // A mask's pixels are half covered, so it ends within a pixel of the box, but for thin tips: a star's 36° loses up to
      // ~1/(2·tan 18°) pixels more.
      double slack = kind == ShapeKind::star ? 3.0 : kind == ShapeKind::triangle ? 2.0 : 1.5;
      CHECK((e.x1 >= b[0] - 1 && e.x1 <= b[0] + slack));
      CHECK((e.y1 >= b[1] - 1 && e.y1 <= b[1] + slack));
      CHECK((e.x2 <= b[2] + 1 && e.x2 >= b[2] - slack));
      CHECK((e.y2 <= b[3] + 1 && e.y2 >= b[3] - slack));
      double r = kind == ShapeKind::circle ? (b[2] - b[0]) / 2 : std::hypot(p[3] - p[0], p[4] - p[1]);
      CHECK(e.area == doctest::Approx(area(kind, r)).epsilon(0.08));
    }
  }
}

TEST_CASE("shapes: corners are keypoints on the box's edges; a circle has its centre alone") {
  data::Dataset d = data::shapes(40, {.min_shapes = 1, .max_shapes = 1, .seed = 3});
  for (int64_t i = 0; i < d.size(); ++i) {
    Sample s = d[i];
    auto kind = static_cast<ShapeKind>(s.label.item<int64_t>());
    CHECK(s["classes"].item<int64_t>() == s.label.item<int64_t>());
    std::vector<double> p = to_vector(s["keypoints"]), b = to_vector(s["boxes"]);
    size_t corners = kind == ShapeKind::circle ? 0 : kind == ShapeKind::triangle ? 3 : kind == ShapeKind::square ? 4 : 5;
    Extent e;
    for (size_t k = 0; k < 6; ++k) {
      CHECK(p[3 * k + 2] == (k <= corners ? 2 : 0));
      if (k == 0 || k > corners) continue;
      e.x1 = std::min(e.x1, p[3 * k]), e.x2 = std::max(e.x2, p[3 * k]);
      e.y1 = std::min(e.y1, p[3 * k + 1]), e.y2 = std::max(e.y2, p[3 * k + 1]);
    }
    if (corners > 0)
      CHECK(b == std::vector<double>{e.x1, e.y1, e.x2, e.y2});
    else
      CHECK(p[0] == doctest::Approx((b[0] + b[2]) / 2));
  }
}

TEST_CASE("shapes: without rotation figures stand upright") {
  data::Dataset d = data::shapes(30, {.min_shapes = 1, .max_shapes = 1, .rotate = false, .seed = 4});
  for (int64_t i = 0; i < d.size(); ++i) {
    Sample s = d[i];
    auto kind = static_cast<ShapeKind>(s.label.item<int64_t>());
    std::vector<double> p = to_vector(s["keypoints"]), b = to_vector(s["boxes"]);
    if (kind == ShapeKind::square) {
      CHECK(p[3] == doctest::Approx(b[0]));  // the first corner is the upper left one, then clockwise
      CHECK(p[4] == doctest::Approx(b[1]));
      CHECK(p[6] == doctest::Approx(b[2]));
      CHECK(p[7] == doctest::Approx(b[1]));
    } else if (kind != ShapeKind::circle) {
      CHECK(p[3] == doctest::Approx(p[0]));  // the first tip is above the centre
      CHECK(p[4] == doctest::Approx(b[1]));
    }
  }
}

TEST_CASE("shapes: overlapping ones hide each other, and masks share no pixel") {
  data::Dataset d = data::shapes(30, {.size = 32, .min_shapes = 6, .max_shapes = 6, .overlap = true, .seed = 5});
  int hidden = 0;
  for (int64_t i = 0; i < d.size(); ++i) {
    Sample s = d[i];
    const uint8_t* m = s["masks"].data<uint8_t>();
    std::vector<int64_t> segmentation = to_vector<int64_t>(s["segmentation"]), classes = to_vector<int64_t>(s["classes"]);
    for (size_t pixel = 0; pixel < 32 * 32; ++pixel) {
      int64_t covers = 0, expected = 0;
      for (size_t k = 0; k < 6; ++k)
        if (m[k * 32 * 32 + pixel]) ++covers, expected = 1 + classes[k];
      CHECK_FALSE(covers > 1);
      CHECK_FALSE(segmentation[pixel] != expected);
    }
    std::vector<double> p = to_vector(s["keypoints"]);
    for (size_t k = 0; k < 36; ++k) hidden += p[3 * k + 2] == 1;
  }
  CHECK(hidden > 0);
}

TEST_CASE("shapes: a figure stands out from its background, and its inside has one colour") {
  for (int64_t channels : {1, 3}) {
    data::Dataset d = data::shapes(20, {.channels = channels, .min_shapes = 1, .max_shapes = 1, .seed = 6});
    for (int64_t i = 0; i < d.size(); ++i) {
      Sample s = d[i];
      std::vector<double> image = to_vector(s.image), p = to_vector(s["keypoints"]);
      auto at = [&](int64_t c, double x, double y) {
        return image[static_cast<size_t>((c * 64 + static_cast<int64_t>(y)) * 64 + static_cast<int64_t>(x))];
      };
      double most = 0;
      for (int64_t c = 0; c < channels; ++c) {
        CHECK(at(c, p[0], p[1]) == at(c, p[0] + 1, p[1]));
        for (int64_t y : {0, 63})
          for (int64_t x : {0, 63})
            most = std::max(most, std::abs(at(c, p[0], p[1]) - at(c, static_cast<double>(x), static_cast<double>(y))));
      }
      CHECK(most > 0.34);
    }
  }
}

TEST_CASE("shapes: an example depends on seed and place alone, the same bits everywhere") {
  data::ShapeOptions options{.noise = 0.05, .seed = 7};
  data::Dataset a = data::shapes(10, options), b = data::shapes(1000, options);
  Tensor x = a[4].image, y = b[4].image;
  CHECK(to_vector(x) == to_vector(y));
  CHECK(to_vector(a[5].image) != to_vector(x));
  options.seed = 8;
  CHECK(to_vector(data::shapes(10, options)[4].image) != to_vector(x));
  CHECK(sha256({reinterpret_cast<const char*>(x.raw_data()), static_cast<size_t>(x.numel()) * 4}) ==
        "91cebedb43a9dae6d8bd5ab94ed1b20628dca4a09b19870dd0cb6c2255c5ef73");
}

TEST_CASE("shapes: batches pad what differs in number") {
  data::Batch b = data::shapes(8, {.min_shapes = 1, .max_shapes = 3, .seed = 1})
                      .batch(8, {.workers = 2, .pad = {{"boxes", 0}, {"classes", -1}, {"masks", 0}, {"keypoints", 0}}})
                      .next();
  CHECK(b["boxes"].shape() == Shape{8, 3, 4});
  CHECK(b["masks"].shape() == Shape{8, 3, 64, 64});
  std::vector<int64_t> count = to_vector<int64_t>(b["classes_length"]), classes = to_vector<int64_t>(b["classes"]);
  for (size_t i = 0; i < 8; ++i)
    for (size_t k = 0; k < 3; ++k) CHECK((classes[3 * i + k] == -1) == (static_cast<int64_t>(k) >= count[i]));
}

TEST_CASE("shapes: options out of range are refused") {
  CHECK_THROWS_WITH_AS(data::shapes(1, {.size = 4}), "shapes: the size must be at least 8 pixels, it is 4", ValueError);
  CHECK_THROWS_WITH_AS(data::shapes(1, {.channels = 2}), "shapes: the number of channels must be 1 or 3, it is 2", ValueError);
  CHECK_THROWS_WITH_AS(data::shapes(1, {.min_shapes = 3, .max_shapes = 2}),
                       "shapes: the numbers of shapes must rise from 0 or more, they go from 3 to 2", ValueError);
  CHECK_THROWS_WITH_AS(data::shapes(1, {.min_radius = 0.4, .max_radius = 0.6}),
                       "shapes: radii must rise within (0, 0.5] of the size, they go from 0.4 to 0.6", ValueError);
  CHECK_THROWS_WITH_AS(data::shapes(1, {.noise = -1}), "shapes: the noise must not be negative, it is -1", ValueError);
  CHECK_THROWS_WITH_AS(data::shapes(1, {.min_shapes = 9, .max_shapes = 9, .min_radius = 0.4, .max_radius = 0.4})[0],
                       "shapes: found no place for 9 shapes of radius 0.4 to 0.4 without overlap", ValueError);
}
