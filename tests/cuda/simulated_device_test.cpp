// The simulated device does what a GPU does, and says what a GPU would not: barriers, warps, matrix instructions, streams, closed memory.
#include <doctest/doctest.h>

#include <numeric>
#include <vector>

#include "cuda/runtime/instructions.h"
#include "cuda/runtime/launch.h"
#include "cuda/runtime/memory.h"
#include "cuda/runtime/stream.h"
#include "engine/core/error.h"
#include "tests/cuda/host_access.h"
#include "tests/cuda/simulated/device.h"

namespace plumb::simulated_backend {
namespace {

template <typename T>
std::vector<T> read(const T* device, size_t count) {
  std::vector<T> host(count);
  copy_to_host(host.data(), device, count * sizeof(T));
  return host;
}

// A DeviceError of a kernel stays with a GPU; the tests below go on.
template <typename F>
std::string device_error(F&& f) {
  try {
    f();
  } catch (const DeviceError& error) {
    simulated::reset();
    return error.what();
  }
  return "no error";
}

__global__ void sum_kernel(const float* x, float* y, int64_t n) {
  float sum = 0;
  for (int64_t i = threadIdx.x; i < n; i += blockDim.x) sum += x[i];
  sum = block_sum(sum);
  if (threadIdx.x == 0) *y = sum;
}

__global__ void neighbour_kernel(int* y, bool with_barrier) {
  __shared__ int values[64];
  values[threadIdx.x] = static_cast<int>(threadIdx.x);
  if (with_barrier) __syncthreads();
  y[threadIdx.x] = values[(threadIdx.x + 1) % 64];
}

__global__ void lone_barrier_kernel() {
  if (threadIdx.x == 0) __syncthreads();
  else sync_warp(0x2u);
}
__global__ void half_warp_kernel() {
  if (threadIdx.x < 16) shuffle_xor(1.0f, 1);
  else __syncthreads();
}

__global__ void shared_kernel(float* y) {
  float* memory = dynamic_shared<float>();
  y[threadIdx.x] = memory[threadIdx.x];
}

__global__ void lanes_kernel(int* y) {
  int lane = lane_index();
  y[lane] = shuffle_up(lane, 1) + 100 * shuffle_down(lane, 2) + 10000 * shuffle(lane, 5);
  y[32 + lane] = static_cast<int>(ballot(lane % 3 == 0));
  y[64 + lane] = warp_sum<8>(lane);
  y[96 + lane] = warp_max(lane % 7);
}

// D = A B of a warp's fragments, laid out as the comment in instructions.h says.
__global__ void product_kernel(const bfloat16* a, const bfloat16* b, float* d) {
  int g = lane_index() / 4, t = lane_index() % 4;
  auto pair = [](bfloat16 low, bfloat16 high) { return uint32_t{low.bits} | uint32_t{high.bits} << 16; };
  auto of_a = [&](int row, int k) { return pair(a[row * 16 + k], a[row * 16 + k + 1]); };
  auto of_b = [&](int k, int column) { return pair(b[k * 8 + column], b[(k + 1) * 8 + column]); };
  uint32_t fa[4] = {of_a(g, 2 * t), of_a(g + 8, 2 * t), of_a(g, 2 * t + 8), of_a(g + 8, 2 * t + 8)};
  uint32_t fb[2] = {of_b(2 * t, g), of_b(2 * t + 8, g)};
  float sum[4] = {1, 1, 1, 1};
  multiply_accumulate<bfloat16>(sum, fa, fb);
  for (int i = 0; i < 4; ++i) d[(g + i / 2 * 8) * 8 + 2 * t + i % 2] = sum[i];
}

__global__ void load_kernel(uint16_t* y, bool transposed) {
  __shared__ uint16_t tile[4][8][8];
  for (int i = lane_index(); i < 256; i += kWarp) (&tile[0][0][0])[i] = static_cast<uint16_t>(i);
  sync_warp();
  uint32_t r[4];
  const void* row = tile[lane_index() / 8][lane_index() % 8];
  if (transposed) load_matrix_x4_transposed(r, row);
  else load_matrix_x4(r, row);
  for (int m = 0; m < 4; ++m) {
    y[(m * 32 + lane_index()) * 2] = static_cast<uint16_t>(r[m]);
    y[(m * 32 + lane_index()) * 2 + 1] = static_cast<uint16_t>(r[m] >> 16);
  }
}

__global__ void async_kernel(const int* x, int* y) {
  alignas(16) __shared__ int room[8];
  if (threadIdx.x > 0) return;
  for (int& v : room) v = -1;
  copy_async_16(room, x);
  copy_async_commit();
  copy_async_16(room + 4, x + 4, false);
  copy_async_commit();
  y[0] = room[0];
  copy_async_wait<1>();
  y[1] = room[0];
  y[2] = room[4];
  copy_async_wait<0>();
  y[3] = room[4];
}

__global__ void hasty_kernel(const int* x) {
  alignas(16) __shared__ int room[4];
  copy_async_16(room, x);
  copy_async_wait<0>();  // not in a group: not waited for
}

__global__ void add_one_kernel(int* x) { *x += 1; }

}  // namespace

TEST_CASE("simulated device: a block adds up what its threads hold") {
  std::vector<float> x(1000);
  std::iota(x.begin(), x.end(), 0.0f);
  Scratch<float> in(1000), out(1);
  check(cudaMemcpyAsync(in, x.data(), 4000, cudaMemcpyHostToDevice, current_stream()), "test");
  launch(sum_kernel, {1, 256}, in.data(), out.data(), int64_t{1000});
  CHECK(read_back(out.data()) == 499500);
}

TEST_CASE("simulated device: a missing barrier shows") {
  Scratch<int> y(64);
  launch(neighbour_kernel, {1, 64}, y.data(), true);
  std::vector<int> right = read(y.data(), 64);
  for (int i = 0; i < 64; ++i) CHECK(right[static_cast<size_t>(i)] == (i + 1) % 64);
  launch(neighbour_kernel, {1, 64}, y.data(), false);
  CHECK(read(y.data(), 64) != right);
}

TEST_CASE("simulated device: threads that wait for ever are an error that names the kernel and the block") {
  std::string text = device_error([] {
    launch(half_warp_kernel, {1, 32});
    synchronize_stream();
  });
  CHECK_MESSAGE(text.find("half_warp_kernel") != std::string::npos, text);
  CHECK_MESSAGE(
      text.find("block (0, 0, 0): threads wait for ever: 16 at a barrier, 16 in a warp function, 0 have returned") != std::string::npos,
      text);
  text = device_error([] {
    launch(lone_barrier_kernel, {1, 3});
    synchronize_stream();
  });
  CHECK_MESSAGE(text.find("a lane calls a warp function whose mask leaves it out") != std::string::npos, text);
}

TEST_CASE("simulated device: a launch that no GPU takes is an error with its grid") {
  Scratch<float> y(1);
  CHECK_MESSAGE(device_error([&] {
                  launch(shared_kernel, {1, 2000}, y.data());
                }).find("(blocks 1×1×1, threads 2000×1×1, shared bytes 0): cuda: invalid configuration") != std::string::npos,
                "the message");
  CHECK(device_error([&] { launch(shared_kernel, {1, 32, 300 << 10}, y.data()); }) != "no error");
  launch(shared_kernel, {0, 32}, y.data());  // nothing to do
}

TEST_CASE("simulated device: shared memory starts as NaN") {
  Scratch<float> y(32);
  launch(shared_kernel, {1, 32, 128}, y.data());
  for (float v : read(y.data(), 32)) CHECK(v != v);
}

TEST_CASE("simulated device: shuffles, ballots and reductions of a warp") {
  Scratch<int> y(128);
  launch(lanes_kernel, {1, 32}, y.data());
  std::vector<int> got = read(y.data(), 128);
  for (int lane = 0; lane < 32; ++lane) {
    auto l = static_cast<size_t>(lane);
    CHECK(got[l] == std::max(lane - 1, 0) + 100 * (lane < 30 ? lane + 2 : lane) + 10000 * 5);
    CHECK(got[32 + l] == 0x49249249);
    CHECK(got[64 + l] == 8 * (lane / 8 * 8) + 28);
    CHECK(got[96 + l] == 6);
  }
}

TEST_CASE("simulated device: matrix fragments multiply as their layout says") {
  std::vector<bfloat16> a(16 * 16), b(16 * 8);
  for (size_t i = 0; i < a.size(); ++i) a[i] = bfloat16(static_cast<float>(i % 13) - 6);
  for (size_t i = 0; i < b.size(); ++i) b[i] = bfloat16(static_cast<float>(i % 7) - 3);
  Scratch<bfloat16> da(256), db(128);
  Scratch<float> d(128);
  check(cudaMemcpyAsync(da, a.data(), 512, cudaMemcpyHostToDevice, current_stream()), "test");
  check(cudaMemcpyAsync(db, b.data(), 256, cudaMemcpyHostToDevice, current_stream()), "test");
  launch(product_kernel, {1, 32}, da.data(), db.data(), d.data());
  std::vector<float> got = read(d.data(), 128);
  for (size_t i = 0; i < 16; ++i)
    for (size_t j = 0; j < 8; ++j) {
      float expected = 1;
      for (size_t k = 0; k < 16; ++k) expected += static_cast<float>(a[i * 16 + k]) * static_cast<float>(b[k * 8 + j]);
      CHECK(got[i * 8 + j] == expected);
    }
}

TEST_CASE("simulated device: fragments load from rows, also transposed") {
  Scratch<uint16_t> y(256);
  for (bool transposed : {false, true}) {
    launch(load_kernel, {1, 32}, y.data(), transposed);
    std::vector<uint16_t> got = read(y.data(), 256);
    for (int m = 0; m < 4; ++m)
      for (int lane = 0; lane < 32; ++lane)
        for (int e = 0; e < 2; ++e) {
          int i = lane / 4, j = 2 * (lane % 4) + e;
          CHECK(got[static_cast<size_t>((m * 32 + lane) * 2 + e)] == m * 64 + (transposed ? j * 8 + i : i * 8 + j));
        }
  }
}

TEST_CASE("simulated device: asynchronous copies arrive when they are waited for") {
  std::vector<int> x{1, 2, 3, 4, 5, 6, 7, 8};
  Scratch<int> in(8), out(4);
  check(cudaMemcpyAsync(in, x.data(), 32, cudaMemcpyHostToDevice, current_stream()), "test");
  launch(async_kernel, {1, 32}, in.data(), out.data());
  CHECK(read(out.data(), 4) == std::vector<int>{-1, 1, -1, 0});
}

TEST_CASE("simulated device: a thread that ends with copies under way is an error") {
  Scratch<int> in(4);
  std::string text = device_error([&] {
    launch(hasty_kernel, {1, 1}, in.data());
    synchronize_stream();
  });
  CHECK_MESSAGE(text.find("a thread ends with asynchronous copies that it did not wait for") != std::string::npos, text);
}

TEST_CASE("simulated device: the host cannot touch its memory") {
  Scratch<int> y(4);
  volatile int* at = y.data();
  CHECK_FALSE(plumb::testing::stays_off_device_memory([&] { *at = 1; }));
  CHECK(plumb::testing::stays_off_device_memory([] {}));
}

TEST_CASE("simulated device: work runs when it is waited for, in the order of its stream and of events") {
  PinnedMemory result(sizeof(int));
  auto* host = static_cast<int*>(result.data());
  *host = -1;
  Scratch<int> x(1);
  check(cudaMemsetAsync(x, 0, sizeof(int), current_stream()), "test");
  launch(add_one_kernel, {1, 1}, x.data());
  Event computed;
  computed.record();
  Stream other;
  computed.make_wait(other.get());
  check(cudaMemcpyAsync(host, x, sizeof(int), cudaMemcpyDeviceToHost, other.get()), "test");
  CHECK(*host == -1);
  other.synchronize();
  CHECK(*host == 1);
}

TEST_CASE("simulated device: a captured graph runs each time it is launched") {
  Scratch<int> x(1);
  check(cudaMemsetAsync(x, 0, sizeof(int), current_stream()), "test");
  synchronize_stream();
  Stream stream;
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t executable = nullptr;
  {
    StreamScope scope(stream.get());
    check(cudaStreamBeginCapture(stream.get(), cudaStreamCaptureModeThreadLocal), "test");
    launch(add_one_kernel, {1, 1}, x.data());
    launch(add_one_kernel, {1, 1}, x.data());
    check(cudaStreamEndCapture(stream.get(), &graph), "test");
  }
  check(cudaGraphInstantiate(&executable, graph), "test");
  CHECK(read_back(x.data()) == 0);
  for (int i = 0; i < 3; ++i) check(cudaGraphLaunch(executable, current_stream()), "test");
  CHECK(read_back(x.data()) == 6);
  cudaGraphExecDestroy(executable);
  cudaGraphDestroy(graph);
}

}  // namespace plumb::simulated_backend
