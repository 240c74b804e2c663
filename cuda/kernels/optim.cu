// Many tensors in one launch: a table says where they lie and with which block each begins, and a block finds its tensor in it by
// bisection. So an optimiser's step or a gradient's norm over hundreds of parameters costs one launch, and small tensors share the GPU.
// Bytes of an update: p, g and its state read, p and its state written, 16 bytes at a time: AdamW 28 an element in f32; in bf16 with f32
// masters 30 (g 2, p 2 + 2, master and two states 8 each). 4096 elements a block: 30,000 blocks for 124 million parameters, 8 at a time on
// an H100's multiprocessor, with 48 bytes of loads under way a thread. Bound: memory.
#include "ops/kernels/optim.h"

#include <algorithm>
#include <vector>

#include "cuda/kernels/reduce_engine.h"
#include "cuda/runtime/upload.h"
#include "ops/optim_functions.h"

namespace plumb::cuda_backend {
namespace {

constexpr int kThreads = 256, kVector = 4;
constexpr int64_t kBlockElements = 4096;

/// A tensor of a launch. `first_block` of them belong to the tensors before it.
struct UpdateEntry {
  void* parameter;
  const void* gradient;
  float* master;
  void* state[3];
  int64_t count, first_block;
  double constants[8];
  const double* device_constants;  ///< null, or what counts in their place: a recorded update reads them at each replay
  bool aligned;
};
/// The same for arithmetic on two tensors.
struct PairEntry {
  const void* x;
  void* y;
  int64_t count, first_block;
  bool aligned;
};

// The tensor that this block belongs to, of the sorted table.
template <typename Entry>
__device__ int entry_of_block(const Entry* table, int entries) {
  int low = 0, high = entries - 1;
  while (low < high) {
    int middle = (low + high + 1) / 2;
    if (table[middle].first_block <= static_cast<int64_t>(blockIdx.x)) low = middle;
    else high = middle - 1;
  }
  return low;
}

// Four neighbours from `from` on, those at `end` and beyond left alone; N of them are there.
template <typename T, typename C>
__device__ void read_some(const T* from, int n, bool whole, C (&v)[kVector]) {
  if (whole) return read_pack<kVector>(from, v);
  for (int j = 0; j < kVector; ++j) v[j] = j < n ? static_cast<C>(load(from[j])) : C(0);
}
template <typename T, typename C>
__device__ void write_some(T* to, int n, bool whole, const C (&v)[kVector]) {
  if (whole) return write_pack<kVector>(to, v);
  for (int j = 0; j < n; ++j) to[j] = static_cast<T>(static_cast<compute_t<T>>(v[j]));
}

template <typename Rule, typename S>
__global__ void __launch_bounds__(kThreads) update_elements(const UpdateEntry* table, int entries) {
  using T = compute_t<S>;
  constexpr bool narrow = sizeof(S) < sizeof(T);
  const UpdateEntry& entry = table[entry_of_block(table, entries)];
  T constants[8];
  const double* from = entry.device_constants ? entry.device_constants : entry.constants;
#pragma unroll
  for (int i = 0; i < 8; ++i) constants[i] = static_cast<T>(from[i]);
  S* parameter = static_cast<S*>(entry.parameter);
  const S* gradient = static_cast<const S*>(entry.gradient);
  T* state[3] = {static_cast<T*>(entry.state[0]), static_cast<T*>(entry.state[1]), static_cast<T*>(entry.state[2])};
  int64_t begin = (blockIdx.x - entry.first_block) * kBlockElements,
          end = begin + kBlockElements < entry.count ? begin + kBlockElements : entry.count;
  for (int64_t i = begin + threadIdx.x * kVector; i < end; i += kThreads * kVector) {
    int n = static_cast<int>(end - i < kVector ? end - i : kVector);
    bool whole = entry.aligned && n == kVector;
    T p[kVector], g[kVector], s[3][kVector] = {};
    read_some(gradient + i, n, whole, g);
    read_some(parameter + i, n, whole, p);
#pragma unroll
    for (int k = 0; k < 3; ++k)
      if (state[k]) read_some(state[k] + i, n, whole, s[k]);
    if constexpr (narrow) {  // the update works on the master, unless someone wrote to the parameter
      T master[kVector];
      read_some(entry.master + i, n, whole, master);
#pragma unroll
      for (int j = 0; j < kVector; ++j)
        if (S(master[j]).bits == S(p[j]).bits) p[j] = master[j];
    }
#pragma unroll
    for (int j = 0; j < kVector; ++j) Rule::apply(p[j], g[j], s[0][j], s[1][j], s[2][j], constants);
    if constexpr (narrow) write_some(entry.master + i, n, whole, p);
    write_some(parameter + i, n, whole, p);
#pragma unroll
    for (int k = 0; k < 3; ++k)
      if (state[k]) write_some(state[k] + i, n, whole, s[k]);
  }
}

template <typename Rule>
void update_with(std::span<const UpdateTensor> tensors) {
  for (DType dtype : {f32, bf16, f16, f64}) {
    std::vector<UpdateEntry> table;
    int64_t blocks = 0;
    for (const UpdateTensor& u : tensors) {
      if (u.parameter.dtype() != dtype || u.parameter.numel() == 0) continue;
      UpdateEntry e{};
      e.parameter = u.parameter.raw_data();
      e.gradient = u.gradient.raw_data();
      e.master = u.master.defined() ? static_cast<float*>(u.master.raw_data()) : nullptr;
      e.count = u.parameter.numel();
      e.first_block = blocks;
      e.aligned = aligned16(e.parameter) && aligned16(e.gradient) && aligned16(e.master);
      for (size_t k = 0; k < 3; ++k) {
        e.state[k] = u.state[k].defined() ? u.state[k].raw_data() : nullptr;
        e.aligned = e.aligned && aligned16(e.state[k]);
      }
      std::copy(u.constants.begin(), u.constants.end(), e.constants);
      if (u.device_constants.defined()) e.device_constants = u.device_constants.data<double>();
      blocks += pieces(e.count, kBlockElements);
      table.push_back(e);
    }
    if (table.empty()) continue;
    Uploaded<UpdateEntry> on_device(table, "update");
    visit_floating("update", dtype, [&]<typename S>() {
      launch(update_elements<Rule, S>, Grid{dim3(static_cast<unsigned>(blocks)), dim3(kThreads)}, on_device.data(),
             static_cast<int>(table.size()));
    });
  }
  for (const UpdateTensor& u : tensors)
    if (!is_floating(u.parameter.dtype())) unsupported_dtype("update", u.parameter.dtype());
}

void update(UpdateRule rule, std::span<const UpdateTensor> tensors) {
  switch (rule) {
    case UpdateRule::sgd: return update_with<rule::Sgd>(tensors);
    case UpdateRule::adam: return update_with<rule::Adam>(tensors);
    case UpdateRule::adagrad: return update_with<rule::Adagrad>(tensors);
    case UpdateRule::rmsprop: return update_with<rule::RmsProp>(tensors);
    case UpdateRule::lion: return update_with<rule::Lion>(tensors);
    case UpdateRule::count: break;
  }
}

// The pairs of one type; `blocks` ← how many blocks they need.
std::vector<PairEntry> pairs_of(std::span<const Tensor> x, std::span<const Tensor> y, DType dtype, int64_t& blocks) {
  std::vector<PairEntry> table;
  for (size_t t = 0; t < y.size(); ++t) {
    if (y[t].dtype() != dtype || y[t].numel() == 0) continue;
    PairEntry e{x.empty() ? nullptr : x[t].raw_data(), y[t].raw_data(), y[t].numel(), blocks, false};
    e.aligned = aligned16(e.x) && aligned16(e.y);
    blocks += pieces(e.count, kBlockElements);
    table.push_back(e);
  }
  return table;
}

// partial[block] ← Σ x y over the block's elements.
template <typename S>
__global__ void __launch_bounds__(kThreads) products_of_block(const PairEntry* table, int entries, double* partial) {
  const PairEntry& entry = table[entry_of_block(table, entries)];
  const S *x = static_cast<const S*>(entry.x), *y = static_cast<const S*>(entry.y);
  int64_t begin = (blockIdx.x - entry.first_block) * kBlockElements,
          end = begin + kBlockElements < entry.count ? begin + kBlockElements : entry.count;
  double total = 0;
  if (x == y && entry.aligned && end - begin == kBlockElements) {
    // A norm: all loads are under way before the first is used, and an element is converted once, at a quarter of the rate of f64 products.
    constexpr int kSteps = kBlockElements / (kThreads * kVector);
    compute_t<S> v[kSteps][kVector];
#pragma unroll
    for (int k = 0; k < kSteps; ++k) read_pack<kVector>(x + begin + (k * kThreads + static_cast<int>(threadIdx.x)) * kVector, v[k]);
#pragma unroll
    for (int k = 0; k < kSteps; ++k)
#pragma unroll
      for (int j = 0; j < kVector; ++j) {
        auto e = static_cast<double>(v[k][j]);
        total += e * e;
      }
  } else {
    for (int64_t i = begin + threadIdx.x * kVector; i < end; i += kThreads * kVector) {
      int n = static_cast<int>(end - i < kVector ? end - i : kVector);
      bool whole = entry.aligned && n == kVector;
      double a[kVector], b[kVector];
      read_some(x + i, n, whole, a);
      read_some(y + i, n, whole, b);
#pragma unroll
      for (int j = 0; j < kVector; ++j) total += a[j] * b[j];
    }
  }
  total = block_sum(total);
  if (threadIdx.x == 0) partial[blockIdx.x] = total;
}

struct SumPartials {
  using Value = double;
  static constexpr int kPack = 1;
  const double* partial;
  double* total;
  __device__ double start() const { return 0; }
  __device__ double join(double a, double b) const { return a + b; }
  __device__ double element(int64_t at, int64_t, int64_t) const { return partial[at]; }
  __device__ void store(int64_t, double v) const { *total = v; }
};

void sum_of_products(std::span<const Tensor> x, std::span<const Tensor> y, double& total) {
  int64_t blocks_in_all = 0;
  for (const Tensor& t : y) blocks_in_all += pieces(t.numel(), kBlockElements);
  Scratch<double> partial(blocks_in_all), sum(1);
  int64_t done = 0;
  for (DType dtype : {f32, bf16, f16, f64}) {
    int64_t blocks = 0;
    std::vector<PairEntry> table = pairs_of(x, y, dtype, blocks);
    if (table.empty()) continue;
    Uploaded<PairEntry> on_device(table, "sum_of_products");
    visit_floating("sum_of_products", dtype, [&]<typename S>() {
      launch(products_of_block<S>, Grid{dim3(static_cast<unsigned>(blocks)), dim3(kThreads)}, on_device.data(),
             static_cast<int>(table.size()), partial.data() + done);
    });
    done += blocks;
  }
  ReduceAxes all;
  all.add({done, 1, 0, 0});
  reduce_axes(SumPartials{partial, sum}, {}, all);
  total = read_back(sum.data());
}

template <typename S>
__global__ void __launch_bounds__(kThreads) combine_elements(const PairEntry* table, int entries, compute_t<S> p, compute_t<S> q) {
  using T = compute_t<S>;
  const PairEntry& entry = table[entry_of_block(table, entries)];
  const S* x = static_cast<const S*>(entry.x);
  S* y = static_cast<S*>(entry.y);
  int64_t begin = (blockIdx.x - entry.first_block) * kBlockElements,
          end = begin + kBlockElements < entry.count ? begin + kBlockElements : entry.count;
  for (int64_t i = begin + threadIdx.x * kVector; i < end; i += kThreads * kVector) {
    int n = static_cast<int>(end - i < kVector ? end - i : kVector);
    bool whole = entry.aligned && n == kVector;
    T a[kVector] = {}, b[kVector] = {};
    if (p != 0) read_some(x + i, n, whole, a);
    if (q != 0) read_some(y + i, n, whole, b);
#pragma unroll
    for (int j = 0; j < kVector; ++j) b[j] = p == 0 ? (q == 0 ? T(0) : q * b[j]) : q == 0 ? p * a[j] : p * a[j] + q * b[j];
    write_some(y + i, n, whole, b);
  }
}

void combine(double a, std::span<const Tensor> x, double b, std::span<const Tensor> y) {
  for (DType dtype : {f32, bf16, f16, f64}) {
    int64_t blocks = 0;
    std::vector<PairEntry> table = pairs_of(x, y, dtype, blocks);
    if (table.empty()) continue;
    Uploaded<PairEntry> on_device(table, "combine");
    visit_floating("combine", dtype, [&]<typename S>() {
      launch(combine_elements<S>, Grid{dim3(static_cast<unsigned>(blocks)), dim3(kThreads)}, on_device.data(),
             static_cast<int>(table.size()), static_cast<compute_t<S>>(a), static_cast<compute_t<S>>(b));
    });
  }
}

}  // namespace

void register_optim() {
  kernel::update.set(DeviceType::cuda, update);
  kernel::sum_of_products.set(DeviceType::cuda, sum_of_products);
  kernel::combine.set(DeviceType::cuda, combine);
}

}  // namespace plumb::cuda_backend
