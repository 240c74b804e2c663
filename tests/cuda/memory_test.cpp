// The device's allocator: blocks that are used again, statistics, and what is said when memory runs out.
#include <doctest/doctest.h>

#include "engine/core/allocator.h"
#include "engine/core/device_runtime.h"
#include "engine/core/error.h"
#include "tests/cuda/on_device.h"

using namespace plumb;
using namespace plumb::testing;

TEST_CASE("device memory: a freed block is handed out again, and statistics follow") {
  Tensor warm = empty({256}, f32, kGpu);
  MemoryStats before = memory_stats(kGpu);
  void* first;
  {
    Tensor x = empty({1000}, f32, kGpu);
    first = x.raw_data();
    MemoryStats during = memory_stats(kGpu);
    CHECK(during.live == before.live + 4096);
    CHECK(during.allocations == before.allocations + 1);
    CHECK(during.peak >= during.live);
  }
  CHECK(memory_stats(kGpu).live == before.live);
  Tensor y = empty({1000}, f32, kGpu);
  CHECK(y.raw_data() == first);
  reset_peak_memory(kGpu);
  CHECK(memory_stats(kGpu).peak == memory_stats(kGpu).live);
}

TEST_CASE("device memory: neighbours that are freed join to one block") {
  int64_t reserved;
  {
    Tensor a = empty({3 << 20}, f32, kGpu), b = empty({3 << 20}, f32, kGpu);
    reserved = memory_stats(kGpu).reserved;
  }
  Tensor both = empty({6 << 20}, f32, kGpu);
  CHECK(memory_stats(kGpu).reserved == reserved);
}

TEST_CASE("device memory: cached segments go back to the driver") {
  { Tensor x = empty({64 << 20}, u8, kGpu); }
  int64_t reserved = memory_stats(kGpu).reserved;
  release_cached_memory(kGpu);
  CHECK(memory_stats(kGpu).reserved <= reserved - (64 << 20));
}

TEST_CASE("device memory: running out says for what, and what is live") {
  release_cached_memory(kGpu);
  std::vector<Tensor> live;
  for (int i = 0; i < 3; ++i) live.push_back(empty({1024, 1024}, f32, kGpu, "matmul"));
  set_memory_limit(kGpu, memory_stats(kGpu).reserved + (16 << 20));
  std::string text;
  try {
    empty({64, 1024, 1024}, u8, kGpu, "softmax");
  } catch (const OutOfMemoryError& error) {
    text = error.what();
  }
  set_memory_limit(kGpu, 0);
  CHECK_MESSAGE(text.find("softmax: out of memory on cuda:0: 64.0 MiB for a tensor of shape [64, 1024, 1024]; the limit is ") == 0, text);
  CHECK_MESSAGE(text.find("12.0 MiB in 3 of matmul [1024, 1024]") != std::string::npos, text);
  CHECK_NOTHROW(empty({64, 1024, 1024}, u8, kGpu));
}

TEST_CASE("device memory: tensors of other devices than there are") {
  auto count = static_cast<int8_t>(device_count(DeviceType::cuda));
  std::string n = std::to_string(count), problem = "cuda:" + n + " is not there: this machine has " + n + " GPU(s)";
  CHECK_THROWS_WITH_AS(empty({1}, f32, Device{DeviceType::cuda, count}), problem.c_str(), DeviceError);
}
