// Batches that go to the device while it works: the same as on the CPU, in the same order, whatever becomes of them.
#include <doctest/doctest.h>

#include "engine/core/device_runtime.h"
#include "engine/data/dataset.h"
#include "engine/data/step_batches.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "tests/cuda/on_device.h"

using namespace plumb;
using namespace plumb::testing;
using data::Batch;
using data::DataLoader;

namespace {

data::Dataset numbers(int64_t n) {
  std::vector<float> x;
  for (int64_t i = 0; i < 3 * n; ++i) x.push_back(static_cast<float>(i));
  return data::from_tensors({{"features", from_vector(x, {n, 3})}}).shuffle({.seed = 4});
}

// The batches' elements, after work that keeps the device busy with them.
std::vector<double> worked(const Batch& batch) {
  Tensor y = batch.features;
  for (int i = 0; i < 4; ++i) y = y * 2 - y;
  return to_vector(y);
}

}  // namespace

TEST_CASE("loader: batches on the device are those of the CPU, with and without workers, epoch after epoch") {
  for (int workers : {0, 2}) {
    DataLoader plain = numbers(10).batch(4), gpu = numbers(10).batch(4, {.workers = workers, .device = kGpu});
    std::vector<Batch> held;  // some are kept, some are gone when the next comes
    for (int i = 0; i < 9; ++i) {
      Batch a = plain.next(), b = gpu.next();
      CHECK(b.features.device() == kGpu);
      CHECK(worked(b) == to_vector(a.features));
      CHECK(to_vector<int64_t>(b.index) == to_vector<int64_t>(a.index));
      if (i % 3 == 0) held.push_back(b);
    }
    DataLoader again = numbers(10).batch(4);
    for (size_t i = 0; i < held.size(); ++i)
      for (int k = 0; k < 3; ++k) {
        Batch a = again.next();
        if (k == 0) CHECK(to_vector(held[i].features) == to_vector(a.features));
      }
  }
}

TEST_CASE("loader: the place is that of the batches handed out, not of those on their way") {
  DataLoader gpu = numbers(10).batch(4, {.device = kGpu}), other = numbers(10).batch(4, {.device = kGpu}), plain = numbers(10).batch(4);
  gpu.next();
  gpu.next();
  CHECK(gpu.state().position == 2);
  other.next();
  other.set_state(gpu.state());
  plain.set_state(gpu.state());
  Batch a = plain.next(), b = gpu.next(), c = other.next();
  CHECK(to_vector(b.features) == to_vector(a.features));
  CHECK(to_vector(c.features) == to_vector(a.features));
}

TEST_CASE("loader: an error comes in the turn of its batch") {
  auto failing = data::from_function(6, [](int64_t i) {
    if (i == 4) throw ValueError("example 4 is bad");
    data::Sample s;
    s.features = full({2}, i);
    s.index = i;
    return s;
  });
  DataLoader gpu = failing.batch(2, {.device = kGpu});
  CHECK(to_vector(gpu.next().features) == std::vector<double>{0, 0, 1, 1});
  CHECK(to_vector(gpu.next().features) == std::vector<double>{2, 2, 3, 3});
  CHECK_THROWS_WITH_AS(gpu.next(), "example 4 is bad", ValueError);
}

TEST_CASE("step batches: on the device as on the CPU, in parts, and from any step") {
  data::StepBatches plain(numbers(10), {.batch = 4, .seed = 2}), gpu(numbers(10), {.batch = 4, .seed = 2, .device = kGpu});
  for (int64_t step : {0, 1, 2, 7, 8, 3})
    CHECK(worked(gpu(step)) == to_vector(plain(step).features));
  for (int64_t part : {0, 1}) CHECK(worked(gpu(5, part, 2)) == to_vector(plain(5, part, 2).features));
  CHECK(worked(gpu(6, 0, 2)) == to_vector(plain(6, 0, 2).features));
}
