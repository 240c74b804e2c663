// Gathering and scattering on the CPU. Gathering moves elements and is bound by memory; rows that share an index are copied whole.
// Scattering keeps the order along the indexed dimension: threads divide the other dimensions or, when those are few, the places
// written to, so every place sees its elements in the same order whatever the number of threads.
#include <cstring>
#include <numeric>
#include <vector>

#include "ops/cpu/strided_loop.h"
#include "ops/kernels/index.h"

namespace plumb::cpu_kernels {
namespace {

// `t` as seen from `shape`, standing still along `dim` (whose step is applied per element).
Tensor without_dim(const Tensor& t, int dim, Shape shape) {
  Strides strides = t.strides();
  strides[dim] = 0;
  return view_of(t, shape, strides, 0);
}

template <typename T>
void gather_typed(const Tensor& x, int dim, const Tensor& index, Tensor& y) {
  int64_t step = x.strides()[dim] * static_cast<int64_t>(sizeof(T));
  Tensor lines = without_dim(x, dim, index.shape());
  auto loop = strided_loop<3>({&y, &index, &lines});
  parallel_rows(loop, [&](int64_t n, const std::array<std::byte*, 3>& at, const std::array<int64_t, 3>& stride) {
    if (stride[1] == 0) {
      const std::byte* from = at[2] + *reinterpret_cast<const int64_t*>(at[1]) * step;
      if (stride[0] == sizeof(T) && stride[2] == sizeof(T)) {
        std::memcpy(at[0], from, static_cast<size_t>(n) * sizeof(T));
        return;
      }
      for (int64_t i = 0; i < n; ++i) *reinterpret_cast<T*>(at[0] + i * stride[0]) = *reinterpret_cast<const T*>(from + i * stride[2]);
      return;
    }
    for (int64_t i = 0; i < n; ++i) {
      int64_t j = *reinterpret_cast<const int64_t*>(at[1] + i * stride[1]);
      *reinterpret_cast<T*>(at[0] + i * stride[0]) = *reinterpret_cast<const T*>(at[2] + i * stride[2] + j * step);
    }
  });
}

void gather(const Tensor& x, int dim, const Tensor& index, Tensor& y) {
  if (y.numel() == 0) return;
  switch (item_size(x.dtype())) {
    case 8: return gather_typed<uint64_t>(x, dim, index, y);
    case 4: return gather_typed<uint32_t>(x, dim, index, y);
    case 2: return gather_typed<uint16_t>(x, dim, index, y);
    default: return gather_typed<uint8_t>(x, dim, index, y);
  }
}

template <ScatterOp op, typename T>
void join(T& into, T v) {
  if constexpr (op == ScatterOp::copy) into = v;
  else if constexpr (op == ScatterOp::add) into = into + v;
  else if constexpr (op == ScatterOp::maximum) into = v > into || v != v ? v : into;  // NaN wins
  else into = v < into || v != v ? v : into;
}

// The indexed dimension of the three operands, in bytes.
struct Indexed {
  int64_t count, index_step, src_step, z_step;
};

// One row of lines (z, index, src at their first element along the indexed dimension), for places in [low, high).
template <ScatterOp op, typename T>
void scatter_row(const Indexed& d, int64_t n, const std::array<std::byte*, 3>& at, const std::array<int64_t, 3>& stride, int64_t low,
                 int64_t high) {
  auto place = [&](int64_t k, int64_t i) { return *reinterpret_cast<const int64_t*>(at[1] + k * d.index_step + i * stride[1]); };
  auto put = [&](int64_t k, int64_t i, int64_t j) {
    join<op>(*reinterpret_cast<T*>(at[0] + i * stride[0] + j * d.z_step),
             *reinterpret_cast<const T*>(at[2] + k * d.src_step + i * stride[2]));
  };
  if (stride[1] == 0) {  // one index for the whole row
    for (int64_t k = 0; k < d.count; ++k) {
      int64_t j = place(k, 0);
      if (j < low || j >= high) continue;
      if (stride[0] == sizeof(T) && stride[2] == sizeof(T)) {
        T* into = reinterpret_cast<T*>(at[0] + j * d.z_step);
        const T* from = reinterpret_cast<const T*>(at[2] + k * d.src_step);
        for (int64_t i = 0; i < n; ++i) join<op>(into[i], from[i]);
      } else {
        for (int64_t i = 0; i < n; ++i) put(k, i, j);
      }
    }
    return;
  }
  auto element = [&](int64_t k, int64_t i) {
    int64_t j = place(k, i);
    if (j >= low && j < high) put(k, i, j);
  };
  if (std::abs(stride[1]) < std::abs(d.index_step)) {
    for (int64_t k = 0; k < d.count; ++k)
      for (int64_t i = 0; i < n; ++i) element(k, i);
  } else {
    for (int64_t i = 0; i < n; ++i)
      for (int64_t k = 0; k < d.count; ++k) element(k, i);
  }
}

template <ScatterOp op, typename T>
void scatter_typed(int dim, const Tensor& index, const Tensor& src, Tensor& z) {
  constexpr auto width = static_cast<int64_t>(sizeof(T));
  Indexed d{index.shape()[dim], index.strides()[dim] * 8, src.strides()[dim] * width, z.strides()[dim] * width};
  Shape lines = index.shape();
  lines[dim] = 1;
  Tensor z_lines = without_dim(z, dim, lines), index_lines = without_dim(index, dim, lines), src_lines = without_dim(src, dim, lines);
  auto loop = strided_loop<3>({&z_lines, &index_lines, &src_lines});
  // Neighbouring lines share cache lines when z is dense along them: then a thread takes 64 at least.
  bool dense = loop.strides[static_cast<size_t>(loop.rank - 1)][0] == width;
  int64_t least = dense ? 64 : 1, places = z.shape()[dim], threads = num_threads();
  if (loop.count >= least * threads || loop.count * d.count < 2 * kPointwiseGrain) {
    parallel_for(loop.count, std::max(least, kPointwiseGrain / d.count), [&](int64_t b, int64_t e) {
      for_each_row(loop, b, e, [&](int64_t n, const auto& at, const auto& stride) { scatter_row<op, T>(d, n, at, stride, 0, places); });
    });
    return;
  }
  int64_t share = (places + threads - 1) / threads;
  parallel_for(threads, 1, [&](int64_t b, int64_t e) {
    for_each_row(loop, 0, loop.count,
                 [&](int64_t n, const auto& at, const auto& stride) { scatter_row<op, T>(d, n, at, stride, b * share, e * share); });
  });
}

template <ScatterOp op>
void scatter_numbers(int dim, const Tensor& index, const Tensor& src, Tensor& z) {
  switch (z.dtype()) {
    case DType::f64: return scatter_typed<op, double>(dim, index, src, z);
    case DType::f32: return scatter_typed<op, float>(dim, index, src, z);
    case DType::i64: return scatter_typed<op, int64_t>(dim, index, src, z);
    default: unsupported_dtype("scatter", z.dtype());
  }
}

void scatter_copy(int dim, const Tensor& index, const Tensor& src, Tensor& z) {
  switch (item_size(z.dtype())) {
    case 8: return scatter_typed<ScatterOp::copy, uint64_t>(dim, index, src, z);
    case 4: return scatter_typed<ScatterOp::copy, uint32_t>(dim, index, src, z);
    case 2: return scatter_typed<ScatterOp::copy, uint16_t>(dim, index, src, z);
    default: return scatter_typed<ScatterOp::copy, uint8_t>(dim, index, src, z);
  }
}

void scatter(ScatterOp op, int dim, const Tensor& index, const Tensor& src, Tensor& z) {
  if (index.numel() == 0) return;
  switch (op) {
    case ScatterOp::copy: return scatter_copy(dim, index, src, z);
    case ScatterOp::add: return scatter_numbers<ScatterOp::add>(dim, index, src, z);
    case ScatterOp::maximum: return scatter_numbers<ScatterOp::maximum>(dim, index, src, z);
    case ScatterOp::minimum: return scatter_numbers<ScatterOp::minimum>(dim, index, src, z);
  }
}

void check_index(const char*, const Tensor& index, int64_t low, int64_t high, bool& found, int64_t& value) {
  found = false;
  if (index.numel() == 0) return;
  auto loop = strided_loop<1>({&index});
  auto for_each = [&](auto&& visit) {
    for_each_row(loop, 0, loop.count, [&](int64_t n, const std::array<std::byte*, 1>& at, const std::array<int64_t, 1>& stride) {
      if (stride[0] == 8) visit(reinterpret_cast<const int64_t*>(at[0]), n, int64_t{1});
      else visit(reinterpret_cast<const int64_t*>(at[0]), n, stride[0] / 8);
    });
  };
  bool outside = false;
  for_each([&](const int64_t* p, int64_t n, int64_t step) {
    bool any = false;
    for (int64_t i = 0; i < n; ++i) any |= (p[i * step] < low) | (p[i * step] >= high);
    outside |= any;
  });
  if (!outside) return;
  for_each([&](const int64_t* p, int64_t n, int64_t step) {
    for (int64_t i = 0; !found && i < n; ++i)
      if (p[i * step] < low || p[i * step] >= high) {
        found = true;
        value = p[i * step];
      }
  });
}

constexpr int64_t kMaskBlock = 1 << 16;

// How many are true in each block of the mask.
std::vector<int64_t> block_counts(const Tensor& mask) {
  const auto* m = reinterpret_cast<const uint8_t*>(mask.data<bool>());
  int64_t n = mask.numel(), blocks = (n + kMaskBlock - 1) / kMaskBlock;
  std::vector<int64_t> counts(static_cast<size_t>(blocks));
  parallel_for(blocks, 1, [&](int64_t b, int64_t e) {
    for (int64_t block = b; block < e; ++block)
      counts[static_cast<size_t>(block)] = std::accumulate(m + block * kMaskBlock, m + std::min(n, (block + 1) * kMaskBlock), int64_t{0});
  });
  return counts;
}

void count_true(const Tensor& mask, int64_t& count) {
  auto counts = block_counts(mask);
  count = std::accumulate(counts.begin(), counts.end(), int64_t{0});
}

void true_places(const Tensor& mask, Tensor& places) {
  auto starts = block_counts(mask);
  std::exclusive_scan(starts.begin(), starts.end(), starts.begin(), int64_t{0});
  const bool* m = mask.data<bool>();
  auto* out = places.data<int64_t>();
  int64_t n = mask.numel();
  parallel_for(static_cast<int64_t>(starts.size()), 1, [&](int64_t b, int64_t e) {
    for (int64_t block = b; block < e; ++block) {
      int64_t at = starts[static_cast<size_t>(block)];
      for (int64_t i = block * kMaskBlock; i < std::min(n, (block + 1) * kMaskBlock); ++i)
        if (m[i]) out[at++] = i;
    }
  });
}

}  // namespace

void register_index() {
  kernel::gather.set(DeviceType::cpu, gather);
  kernel::scatter.set(DeviceType::cpu, scatter);
  kernel::check_index.set(DeviceType::cpu, check_index);
  kernel::count_true.set(DeviceType::cpu, count_true);
  kernel::true_places.set(DeviceType::cpu, true_places);
}

}  // namespace plumb::cpu_kernels
