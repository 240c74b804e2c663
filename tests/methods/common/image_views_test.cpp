// Views by kind of image: small marks as the digits' own policy has it, photos mirrored, marks never.
#include "methods/common/image_views.h"

#include <doctest/doctest.h>

#include "ops/random.h"
#include "ops/shape.h"
#include "tests/ops/samples.h"

using namespace plumb;
using namespace plumb::methods;

TEST_CASE("image views: marks of 8 pixels are treated as the small digits are") {
  Generator data(1), one(2), two(2);
  Tensor x = rand({20, 1, 8, 8}, {.generator = &data});
  CHECK(test::same_bits(augment::rand_augment(x, marks_policy(8), one), augment::rand_augment(x, augment::small_digits_policy(), two)));
}

TEST_CASE("image views: photos are mirrored, marks are not; strong views differ from weak ones") {
  Tensor left = zeros({200, 3, 16, 16});
  Tensor half = slice(left, 3, 0, 8);
  fill_(half, 1.0);  // bright on the left
  auto brighter_right = [&](const augment::View& view) {
    Generator g(3);
    auto v = to_vector(view(left, g));
    int count = 0;
    for (size_t i = 0; i < 200; ++i) {
      double balance = 0;
      for (size_t k = 0; k < 768; ++k) balance += v[768 * i + k] * (k % 16 < 8 ? -1 : 1);
      count += balance > 0;
    }
    return count;
  };
  int mirrored = brighter_right(image_views(ImageKind::photos, 16).weak);
  CHECK((mirrored > 65 && mirrored < 135));  // 100 ± 5 standard deviations
  CHECK(brighter_right(image_views(ImageKind::marks, 16).weak) == 0);
  for (ImageKind kind : {ImageKind::photos, ImageKind::marks}) {
    Generator a(4), b(4);
    ImageViews views = image_views(kind, 16);
    CHECK_FALSE(test::same_bits(views.weak(left, a), views.strong(left, b)));
  }
}
