// Annotation noise: morphology on small pictures, what may change under which error, sizes, rates and mistakes.
#include <doctest/doctest.h>

#include <cmath>

#include "methods/common/annotation_noise.h"
#include "ops/index.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"

using namespace plumb;
using namespace plumb::methods;

namespace {

std::vector<int> bits(const Tensor& mask) { return to_vector<int>(mask); }

// A class-1 square of side 6 at (2, 2) and a class-2 square of side 4 that touches it from the right.
Tensor two_squares() {
  std::vector<int64_t> m(16 * 16);
  for (size_t r = 2; r < 8; ++r)
    for (size_t c = 2; c < 8; ++c) m[r * 16 + c] = 1;
  for (size_t r = 2; r < 6; ++r)
    for (size_t c = 8; c < 12; ++c) m[r * 16 + c] = 2;
  return from_vector(m, {16, 16});
}

int64_t area(const Tensor& mask, int64_t c) { return sum(mask == c).item<int64_t>(); }

}  // namespace

TEST_CASE("annotation noise: erosion and dilation by 3×3 neighbourhoods, without a border of their own") {
  Tensor mask = tensor({{0, 0, 0, 0, 0}, {0, 1, 1, 1, 0}, {0, 1, 1, 1, 0}, {0, 1, 1, 1, 0}, {0, 0, 0, 0, 0}}) != 0;
  std::vector<int> middle(25);
  middle[12] = 1;
  CHECK(bits(erode(mask)) == middle);
  CHECK(bits(dilate(mask)) == std::vector<int>(25, 1));
  CHECK(bits(erode(mask, 2)) == std::vector<int>(25, 0));
  CHECK(bits(erode(ones({3, 4}) != 0)) == std::vector<int>(12, 1));  // what is outside does not count
  CHECK(bits(erode(mask, 0)) == bits(mask));
}

TEST_CASE("annotation noise: under makes background of the rim, over takes background only, and classes keep off each other") {
  Tensor mask = two_squares();
  Tensor under = annotation_noise(mask, 3, AnnotationError::under, 1, 0), over = annotation_noise(mask, 3, AnnotationError::over, 1, 0);
  CHECK(area(under, 1) == 16);
  CHECK(area(under, 2) == 4);
  CHECK(all(logical_or(under == mask, under == 0)).item<int>() == 1);
  CHECK(area(over, 1) == 64 - 4);  // of its new rim, four pixels are class 2
  CHECK(all(logical_or(over == mask, mask == 0)).item<int>() == 1);
  CHECK(area(over, 2) > 16);
}

TEST_CASE("annotation noise: a reference area makes the loss a share of the object, whatever its size") {
  for (int64_t side : {8, 32}) {
    CAPTURE(side);
    std::vector<int64_t> m(64 * 64);
    for (int64_t r = 10; r < 10 + side; ++r)
      for (int64_t c = 12; c < 12 + side; ++c) m[static_cast<size_t>(r * 64 + c)] = 1;
    Tensor mask = from_vector(m, {64, 64});
    // At 1000 pixels a square has side 31.6; four steps take 8 of them: (23.6 / 31.6)² = 0.56 is left.
    double left = static_cast<double>(area(annotation_noise(mask, 2, AnnotationError::under, 4), 1)) / static_cast<double>(side * side);
    CHECK(left > 0.4);
    CHECK(left < 0.75);
    double grown = static_cast<double>(area(annotation_noise(mask, 2, AnnotationError::over, 4), 1)) / static_cast<double>(side * side);
    CHECK(grown > 1.25);
    CHECK(grown < 1.95);  // (39.6 / 31.6)² = 1.57
  }
}

TEST_CASE("annotation noise: ignored pixels stay, shares and directions are drawn, and the truth is untouched") {
  Tensor mask = two_squares();
  Tensor ignored = slice_assign(mask, full({1, 16}, 255, i64), 0, 0, 1);
  CHECK(area(annotation_noise(ignored, 3, AnnotationError::over, 3, 0), 255) == 16);
  Tensor many = contiguous(expand(unsqueeze(mask, 0), {200, 16, 16}));
  Generator g(1);
  Tensor noisy = inject_annotation_noise(many, 3, g, {.share = .5, .least = 1, .most = 2, .reference_area = 0});
  Tensor sizes = sum(noisy == 1, {1, 2});
  int64_t same = sum(sizes == 36).item<int64_t>(), smaller = sum(sizes < 36).item<int64_t>();
  CHECK(std::abs(same - 100) < 32);    // 4.5 deviations of 7.1
  CHECK(std::abs(smaller - 50) < 28);  // of 6.1
  CHECK(area(many, 1) == 200 * 36);
}

TEST_CASE("annotation noise: mistakes are named") {
  CHECK_THROWS_WITH_AS(erode(ones({2, 2, 2})), "erode: the mask must be [H, W], it is [2, 2, 2]", ShapeError);
  CHECK_THROWS_WITH_AS(annotation_noise(two_squares(), 1, AnnotationError::under, 1), "annotation_noise: 1 classes; at least 2 are needed",
                       ValueError);
  CHECK_THROWS_WITH_AS(annotation_noise(two_squares(), 3, AnnotationError::under, -1), "annotation_noise: -1 iterations", ValueError);
  Generator g(1);
  CHECK_THROWS_WITH_AS(inject_annotation_noise(zeros({1, 4, 4}, i64), 2, g, {.share = 2}),
                       "annotation_noise: the share must lie in [0, 1], it is 2", ValueError);
}
