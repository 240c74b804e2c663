// Functions of models/ that work on the host take what lies on the device too, and give the same.
#include <doctest/doctest.h>

#include "models/augment/augment.h"
#include "models/metrics/neighbours.h"
#include "models/metrics/sliced_wasserstein.h"
#include "models/sparsity/weight_mask.h"
#include "ops/pointwise.h"
#include "ops/shape.h"
#include "tests/cuda/host_access.h"
#include "tests/cuda/on_device.h"

using namespace plumb;
using namespace plumb::testing;

TEST_CASE(
    "metrics: precision, recall and the sliced Wasserstein distance of points on the device are those of the same points on the CPU") {
  Tensor a = some_numbers({40, 3}, f32, 1), b = some_numbers({30, 3}, f32, 2), c = to_gpu(a), d = to_gpu(b);
  metrics::PrecisionRecall expected = metrics::precision_recall(a, b, 3), got{};
  double distance = 0;
  Generator g(1), h(1);
  CHECK(stays_off_device_memory([&] {
    got = metrics::precision_recall(c, d, 3);
    distance = metrics::sliced_wasserstein(c, d, {.generator = &g});
  }));
  CHECK(got.precision == expected.precision);
  CHECK(got.recall == expected.recall);
  CHECK(got.density == expected.density);
  CHECK(got.coverage == expected.coverage);
  CHECK(distance == metrics::sliced_wasserstein(a, b, {.generator = &h}));
}

TEST_CASE("mixup and bit masks take labels and masks that lie on the device") {
  Tensor images = some_numbers({4, 3, 5, 5}, f32), labels = tensor({2, 0, 1, 2}), mask = some_numbers({9, 11}, f32) > 0;
  augment::Mixed got, expected;
  int64_t count = 0;
  Generator g(1), h(1);
  CHECK(stays_off_device_memory([&] {
    got = augment::mixup(images, to_gpu(labels), 3, 0.4, g);
    count = sparsity::BitMask(to_gpu(mask)).count();
  }));
  expected = augment::mixup(images, labels, 3, 0.4, h);
  CHECK(same(got.target, expected.target));
  CHECK(count == sparsity::BitMask(mask).count());
}
