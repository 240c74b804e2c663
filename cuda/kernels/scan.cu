// Running sums and linear recurrences on the GPU, accumulated in f64 (i64 for integers). Both are running joins of an associative operation
// (h_t = a_t h_{t−1} + b_t through pairs (a, b)∘(a′, b′) = (a a′, a′ b + b′)), so a line is cut into tiles of fixed length: the tiles'
// totals are found, then joined in order, then every tile goes on from what lies before it. Dense lines belong to blocks, lines across
// memory to threads side by side. Bytes: x twice where a line has more than one tile, else once, and y once. Bound: memory.
#include "ops/kernels/scan.h"

#include <limits>

#include "cuda/kernels/prefix.h"
#include "cuda/kernels/sort.h"
#include "cuda/runtime/launch.h"
#include "cuda/runtime/memory.h"
#include "engine/core/tensor.h"

namespace plumb::cuda_backend {
namespace {

constexpr int kThreads = 256, kItems = 8, kTile = kThreads * kItems;
constexpr int64_t kShortLine = 64;  // up to here a thread walks a dense line by itself

template <typename S>
struct Cumulate {
  using Value = std::conditional_t<std::is_integral_v<S>, int64_t, double>;
  const S* x;
  S* y;
  bool product;
  __device__ Value neutral() const { return product ? 1 : 0; }
  __device__ Value join(Value a, Value b) const { return product ? a * b : a + b; }
  __device__ Value read(int64_t at) const { return static_cast<Value>(load(x[at])); }
  __device__ void write(int64_t at, Value v) const { y[at] = static_cast<S>(static_cast<compute_t<S>>(v)); }
};

template <typename S>
struct Recur {
  struct Value {
    double a, b;
  };
  const S *a, *b;
  S* h;
  // −0, which tells it from a first step of a = 1 and b = 0.
  __device__ Value neutral() const { return {1, -0.0}; }
  __device__ static bool is_neutral(const Value& v) { return v.a == 1 && v.b == 0 && 1 / v.b < 0; }
  // A product of many a that is beyond f64 is the largest number: ∞ times an h of 0 were NaN.
  __device__ static double product(double a, double b) {
    constexpr double kLargest = std::numeric_limits<double>::max();
    if (a == 0 || b == 0) return 0;
    double p = a * b;
    bool beyond = (p > kLargest || p < -kLargest) && a - a == 0 && b - b == 0;
    return beyond ? (p > 0 ? kLargest : -kLargest) : p;
  }
  /// Nothing comes before the first step, whose a counts for nothing, nor is carried over an a of 0.
  __device__ Value join(const Value& l, const Value& r) const {
    if (is_neutral(l)) return r;
    return {product(l.a, r.a), (r.a == 0 ? 0 : r.a * l.b) + r.b};
  }
  __device__ Value read(int64_t at) const { return {static_cast<double>(a[at]), static_cast<double>(b[at])}; }
  __device__ void write(int64_t at, const Value& v) const { h[at] = static_cast<S>(v.b); }
};

// Running sums of counts, each without its own.
struct Count {
  using Value = int64_t;
  int64_t* counts;
  __device__ Value neutral() const { return 0; }
  __device__ Value join(Value a, Value b) const { return a + b; }
  __device__ Value read(int64_t at) const { return counts[at]; }
  __device__ void write(int64_t at, Value v) const { counts[at] = v - counts[at]; }
};

// Lines of n elements; place t of the running order.
struct Lines {
  int64_t n, tiles;
  bool reverse;
  __device__ int64_t place(int64_t t) const { return reverse ? n - 1 - t : t; }
};

// Neighbouring threads take neighbouring elements to and from shared memory, where each then has kItems in a row. One element of every 33
// is left out, so that rows of 8 begin in different banks.
__device__ inline int slot(int i) { return i + i / 32; }
constexpr int kSlots = kTile + kTile / 32;

// One tile of one dense line. totals[line · tiles + tile] ← all of it, or y ← running joins that go on from `before`. Both null: one tile.
template <typename Op>
__global__ void __launch_bounds__(kThreads) scan_tiles(Op op, Lines lines, const typename Op::Value* before, typename Op::Value* totals) {
  using V = typename Op::Value;
  V* items = dynamic_shared<V>();
  V* of_warp = items + kSlots;
  int64_t line = blockIdx.x / lines.tiles, tile = blockIdx.x % lines.tiles, first = tile * kTile, start = line * lines.n;
  int count = static_cast<int>(lines.n - first < kTile ? lines.n - first : kTile), mine = static_cast<int>(threadIdx.x) * kItems;
  for (int i = static_cast<int>(threadIdx.x); i < kTile; i += kThreads)
    items[slot(i)] = i < count ? op.read(start + lines.place(first + i)) : op.neutral();
  __syncthreads();
  V all = items[slot(mine)];
#pragma unroll
  for (int j = 1; j < kItems; ++j) all = op.join(all, items[slot(mine + j)]);
  V total;
  Before<V> prior = block_before(all, [&](const V& a, const V& b) { return op.join(a, b); }, of_warp, total);
  if (totals) {
    if (threadIdx.x == 0) totals[blockIdx.x] = total;
    return;
  }
  if (before && tile > 0) prior = {true, prior.any ? op.join(before[blockIdx.x - 1], prior.value) : before[blockIdx.x - 1]};
#pragma unroll
  for (int j = 0; j < kItems; ++j) {
    V& item = items[slot(mine + j)];
    prior = {true, prior.any ? op.join(prior.value, item) : item};
    item = prior.value;
  }
  __syncthreads();
  for (int i = static_cast<int>(threadIdx.x); i < count; i += kThreads) op.write(start + lines.place(first + i), items[slot(i)]);
}

// Totals of tiles → running joins of them, in place; a block a line.
template <typename Op>
__global__ void __launch_bounds__(kThreads) scan_totals(Op op, int64_t tiles, typename Op::Value* totals) {
  using V = typename Op::Value;
  V* of_warp = dynamic_shared<V>();
  V* line = totals + blockIdx.x * tiles;
  V carried{};
  for (int64_t first = 0; first < tiles; first += kThreads) {
    int64_t i = first + threadIdx.x;
    V mine = i < tiles ? line[i] : op.neutral(), total;
    Before<V> prior = block_before(mine, [&](const V& a, const V& b) { return op.join(a, b); }, of_warp, total);
    V running = prior.any ? op.join(prior.value, mine) : mine;
    if (i < tiles) line[i] = first == 0 ? running : op.join(carried, running);
    carried = first == 0 ? total : op.join(carried, total);
  }
}

// Lines across memory: [outer, n, inner], a thread for each tile of `length` steps of each line; totals [tiles, lines].
template <typename Op>
__global__ void scan_columns(Op op, Lines lines, int64_t count, int64_t inner, int64_t length, const typename Op::Value* before,
                             typename Op::Value* totals) {
  using V = typename Op::Value;
  for (int64_t task = thread_index(); task < count * lines.tiles; task += grid_threads()) {
    int64_t line = task % count, tile = task / count, start = line / inner * lines.n * inner + line % inner;
    int64_t first = tile * length, last = first + length < lines.n ? first + length : lines.n;
    V running = op.read(start + lines.place(first) * inner);
    if (before && tile > 0) running = op.join(before[task - count], running);
    for (int64_t t = first;;) {
      if (!totals) op.write(start + lines.place(t) * inner, running);
      if (++t >= last) break;
      running = op.join(running, op.read(start + lines.place(t) * inner));
    }
    if (totals) totals[task] = running;
  }
}
template <typename Op>
__global__ void scan_column_totals(Op op, int64_t count, int64_t tiles, typename Op::Value* totals) {
  for (int64_t line = thread_index(); line < count; line += grid_threads())
    for (int64_t tile = 1; tile < tiles; ++tile)
      totals[tile * count + line] = op.join(totals[(tile - 1) * count + line], totals[tile * count + line]);
}

template <typename Op>
void scan_dense(const Op& op, int64_t rows, int64_t n, bool reverse) {
  using V = typename Op::Value;
  Lines lines{n, pieces(n, kTile), reverse};
  Grid grid{dim3(static_cast<unsigned>(rows * lines.tiles)), dim3(kThreads), (kSlots + kThreads / kWarp) * sizeof(V)};
  const V* none = nullptr;
  if (lines.tiles == 1) return launch(scan_tiles<Op>, grid, op, lines, none, nullptr);
  Scratch<V> totals(rows * lines.tiles);
  launch(scan_tiles<Op>, grid, op, lines, none, totals.data());
  launch(scan_totals<Op>, Grid{dim3(static_cast<unsigned>(rows)), dim3(kThreads), kThreads / kWarp * sizeof(V)}, op, lines.tiles,
         totals.data());
  launch(scan_tiles<Op>, grid, op, lines, totals.data(), nullptr);
}

template <typename Op>
void scan_lines(const Op& op, int64_t outer, int64_t n, int64_t inner, bool reverse) {
  using V = typename Op::Value;
  int64_t count = outer * inner;
  if (count == 0 || n == 0) return;
  if (inner == 1 && n > kShortLine) return scan_dense(op, outer, n, reverse);
  constexpr int64_t kEnough = 1 << 16;  // threads that fill the GPU
  int64_t length = std::max<int64_t>(32, pieces(n, std::max<int64_t>(1, kEnough / count)));
  Lines lines{n, pieces(n, length), reverse};
  Grid grid = grid_for(count * lines.tiles);
  const V* none = nullptr;
  if (lines.tiles == 1) return launch(scan_columns<Op>, grid, op, lines, count, inner, length, none, nullptr);
  Scratch<V> totals(count * lines.tiles);
  launch(scan_columns<Op>, grid, op, lines, count, inner, length, none, totals.data());
  launch(scan_column_totals<Op>, grid_for(count), op, count, lines.tiles, totals.data());
  launch(scan_columns<Op>, grid, op, lines, count, inner, length, totals.data(), nullptr);
}

void cumulate(const Tensor& x, bool product, bool reverse, Tensor& y) {
  auto run = [&]<typename S>() {
    scan_lines(Cumulate<S>{x.data<S>(), y.data<S>(), product}, x.shape()[0], x.shape()[1], x.shape()[2], reverse);
  };
  x.dtype() == i64 ? run.operator()<int64_t>() : visit_floating("cumulate", x.dtype(), run);
}

void linear_scan(const Tensor& a, const Tensor& b, bool reverse, Tensor& h) {
  visit_f32_f64("linear_scan", a.dtype(), [&]<typename S>() {
    scan_lines(Recur<S>{a.data<S>(), b.data<S>(), h.data<S>()}, a.shape()[0], a.shape()[1], a.shape()[2], reverse);
  });
}

}  // namespace

void prefix_sums(int64_t* counts, int64_t rows, int64_t n) {
  if (rows > 0 && n > 0) scan_dense(Count{counts}, rows, n, false);
}

void running_sums(double* values, int64_t rows, int64_t n) {
  if (rows > 0 && n > 0) scan_dense(Cumulate<double>{values, values, false}, rows, n, false);
}

void register_scan() {
  kernel::cumulate.set(DeviceType::cuda, cumulate);
  kernel::linear_scan.set(DeviceType::cuda, linear_scan);
}

}  // namespace plumb::cuda_backend
