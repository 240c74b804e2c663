// Reductions on the CPU. Elements are combined in blocks of fixed size and the blocks in a fixed tree, both decided by the shape alone,
// so the result does not depend on the number of threads. Bytes: read x once. Bound: memory.
#include <cmath>
#include <limits>
#include <vector>

#include "ops/cpu/register.h"
#include "ops/cpu/strided_loop.h"
#include "ops/kernels/reduce.h"

namespace plumb::cpu_kernels {
namespace {

template <ReduceOp op, typename T>
struct Combine {
  static T start() {
    if constexpr (op == ReduceOp::product) return 1;
    if constexpr (op == ReduceOp::maximum) return std::numeric_limits<T>::has_infinity ? -std::numeric_limits<T>::infinity() : std::numeric_limits<T>::lowest();
    if constexpr (op == ReduceOp::minimum) return std::numeric_limits<T>::has_infinity ? std::numeric_limits<T>::infinity() : std::numeric_limits<T>::max();
    return 0;
  }
  static T element(T x) { return op == ReduceOp::sum_of_squares ? x * x : x; }
  static T join(T a, T b) {
    if constexpr (op == ReduceOp::product) return a * b;
    else if constexpr (op == ReduceOp::maximum) return b > a || b != b ? b : a;  // NaN wins
    else if constexpr (op == ReduceOp::minimum) return b < a || b != b ? b : a;
    else return a + b;
  }
};

constexpr int64_t kLanes = 16;    // independent partial results of a run, for the vectoriser
constexpr int64_t kBlock = 4096;  // elements combined lane by lane before blocks are joined pairwise

// n elements `stride` apart.
template <ReduceOp op, typename S, typename T>
T reduce_run(const S* x, int64_t stride, int64_t n) {
  using C = Combine<op, T>;
  if (n > kBlock) {
    int64_t blocks = (n + kBlock - 1) / kBlock, left = blocks / 2 * kBlock;
    return C::join(reduce_run<op, S, T>(x, stride, left), reduce_run<op, S, T>(x + left * stride, stride, n - left));
  }
  T lanes[kLanes];
  for (T& lane : lanes) lane = C::start();
  int64_t i = 0;
  if (stride == 1) {
    for (; i + kLanes <= n; i += kLanes)
      for (int64_t j = 0; j < kLanes; ++j) lanes[j] = C::join(lanes[j], C::element(static_cast<T>(static_cast<compute_t<S>>(x[i + j]))));
  } else {
    for (; i + kLanes <= n; i += kLanes)
      for (int64_t j = 0; j < kLanes; ++j) lanes[j] = C::join(lanes[j], C::element(static_cast<T>(static_cast<compute_t<S>>(x[(i + j) * stride]))));
  }
  for (int64_t j = 0; i < n; ++i, ++j) lanes[j] = C::join(lanes[j], C::element(static_cast<T>(static_cast<compute_t<S>>(x[i * stride]))));
  for (int64_t width = kLanes / 2; width > 0; width /= 2)
    for (int64_t j = 0; j < width; ++j) lanes[j] = C::join(lanes[j], lanes[j + width]);
  return lanes[0];
}

// All elements of a strided block, its dimensions from `d` on.
template <ReduceOp op, typename S, typename T>
T reduce_block(const S* x, const Shape& shape, const Strides& strides, int d) {
  if (d >= shape.rank()) return Combine<op, T>::element(static_cast<T>(static_cast<compute_t<S>>(*x)));
  if (d == shape.rank() - 1) return reduce_run<op, S, T>(x, strides[d], shape[d]);
  T total = Combine<op, T>::start();
  for (int64_t i = 0; i < shape[d]; ++i) total = Combine<op, T>::join(total, reduce_block<op, S, T>(x + i * strides[d], shape, strides, d + 1));
  return total;
}

int64_t offset_of(int64_t index, const Shape& shape, const Strides& strides) {
  int64_t offset = 0;
  for (int d = shape.rank() - 1; d >= 0; --d) {
    offset += index % shape[d] * strides[d];
    index /= shape[d];
  }
  return offset;
}

// Dimensions of size 1 dropped, neighbours merged where they form one run.
void merge_dims(Shape& shape, Strides& strides) {
  Shape merged;
  Strides merged_strides;
  for (int d = 0; d < shape.rank(); ++d) {
    if (shape[d] == 1) continue;
    int last = merged.rank() - 1;
    if (last >= 0 && merged_strides[last] == strides[d] * shape[d]) {
      merged[last] *= shape[d];
      merged_strides[last] = strides[d];
    } else {
      merged.push_back(shape[d]);
      merged_strides.push_back(strides[d]);
    }
  }
  shape = merged;
  strides = merged_strides;
}

// Columns: the innermost outer dimension is dense and the reduced one is not, so whole rows are added to an accumulator row.
// The rows are cut into fixed chunks (by shape alone); each chunk's sum is kept in T and the chunks are joined in order.
template <ReduceOp op, typename S, typename T>
void reduce_columns(const S* x, int64_t columns, int64_t rows, int64_t row_stride, S* y) {
  using C = Combine<op, T>;
  constexpr int64_t kRows = 128, kColumns = 256;
  int64_t chunks = (rows + kRows - 1) / kRows, strips = (columns + kColumns - 1) / kColumns;
  std::vector<T> partial(static_cast<size_t>(chunks * columns));
  parallel_for(chunks * strips, std::max<int64_t>(1, kPointwiseGrain / (std::min(rows, kRows) * std::min(columns, kColumns))), [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; ++task) {
      int64_t chunk = task / strips, c0 = task % strips * kColumns, width = std::min(kColumns, columns - c0);
      T* into = partial.data() + chunk * columns + c0;
      for (int64_t c = 0; c < width; ++c) into[c] = C::start();
      for (int64_t r = chunk * kRows; r < std::min(rows, (chunk + 1) * kRows); ++r) {
        const S* from = x + r * row_stride + c0;
        for (int64_t c = 0; c < width; ++c) into[c] = C::join(into[c], C::element(static_cast<T>(static_cast<compute_t<S>>(from[c]))));
      }
    }
  });
  for (int64_t c = 0; c < columns; ++c) {
    T total = partial[static_cast<size_t>(c)];
    for (int64_t chunk = 1; chunk < chunks; ++chunk) total = C::join(total, partial[static_cast<size_t>(chunk * columns + c)]);
    y[c] = static_cast<S>(static_cast<compute_t<S>>(total));
  }
}

// One output over very many elements: fixed pieces on all threads, joined pairwise.
template <ReduceOp op, typename S, typename T>
T reduce_long_run(const S* x, int64_t stride, int64_t n) {
  constexpr int64_t kPiece = 16 * kBlock;
  int64_t pieces = (n + kPiece - 1) / kPiece;
  std::vector<T> partial(static_cast<size_t>(pieces));
  parallel_for(pieces, 1, [&](int64_t begin, int64_t end) {
    for (int64_t p = begin; p < end; ++p) partial[static_cast<size_t>(p)] = reduce_run<op, S, T>(x + p * kPiece * stride, stride, std::min(kPiece, n - p * kPiece));
  });
  auto join = [&](auto&& self, int64_t from, int64_t to) -> T {
    if (to - from == 1) return partial[static_cast<size_t>(from)];
    int64_t middle = (from + to) / 2;
    return Combine<op, T>::join(self(self, from, middle), self(self, middle, to));
  };
  return join(join, 0, pieces);
}

template <ReduceOp op, typename S, typename T>
void reduce_typed(const Tensor& input, Shape outer, Strides outer_strides, Shape reduced, Strides reduced_strides, Tensor& output) {
  const S* x = input.data<S>();
  S* y = output.data<S>();
  int64_t outputs = numel(outer), per_output = numel(reduced);
  if (outputs == 0) return;
  if (per_output == 0) {
    std::fill_n(y, outputs, static_cast<S>(static_cast<compute_t<S>>(Combine<op, T>::start())));
    return;
  }
  merge_dims(outer, outer_strides);
  merge_dims(reduced, reduced_strides);
  if (outputs == 1 && reduced.rank() == 1 && per_output > 16 * kBlock) {
    *y = static_cast<S>(static_cast<compute_t<S>>(reduce_long_run<op, S, T>(x, reduced_strides[0], per_output)));
    return;
  }
  bool columns = outer.rank() >= 1 && reduced.rank() == 1 && outer_strides.back() == 1 && reduced_strides[0] != 1 && outer.back() >= 8;
  if (columns) {
    int64_t width = outer.back(), planes = outputs / width;
    Shape outer_planes = outer.slice(0, outer.rank() - 1);
    for (int64_t p = 0; p < planes; ++p) reduce_columns<op, S, T>(x + offset_of(p, outer_planes, outer_strides), width, per_output, reduced_strides[0], y + p * width);
    return;
  }
  parallel_for(outputs, std::max<int64_t>(1, kPointwiseGrain / per_output), [&](int64_t begin, int64_t end) {
    for (int64_t o = begin; o < end; ++o)
      y[o] = static_cast<S>(static_cast<compute_t<S>>(reduce_block<op, S, T>(x + offset_of(o, outer, outer_strides), reduced, reduced_strides, 0)));
  });
}

template <ReduceOp op>
void reduce_with(const Tensor& x, const Shape& outer, const Strides& outer_strides, const Shape& reduced, const Strides& reduced_strides, Tensor& y) {
  switch (x.dtype()) {
    case DType::f64: return reduce_typed<op, double, double>(x, outer, outer_strides, reduced, reduced_strides, y);
    case DType::f32: return reduce_typed<op, float, float>(x, outer, outer_strides, reduced, reduced_strides, y);
    case DType::bf16: return reduce_typed<op, bfloat16, float>(x, outer, outer_strides, reduced, reduced_strides, y);
    case DType::f16: return reduce_typed<op, half, float>(x, outer, outer_strides, reduced, reduced_strides, y);
    case DType::i64: return reduce_typed<op, int64_t, int64_t>(x, outer, outer_strides, reduced, reduced_strides, y);
    case DType::u8: return reduce_typed<op, uint8_t, uint8_t>(x, outer, outer_strides, reduced, reduced_strides, y);
    default: unsupported_dtype("reduce", x.dtype());
  }
}

void reduce(ReduceOp op, const Tensor& x, const Shape& outer, const Strides& outer_strides, const Shape& reduced, const Strides& reduced_strides, Tensor& y) {
  switch (op) {
    case ReduceOp::sum: return reduce_with<ReduceOp::sum>(x, outer, outer_strides, reduced, reduced_strides, y);
    case ReduceOp::sum_of_squares: return reduce_with<ReduceOp::sum_of_squares>(x, outer, outer_strides, reduced, reduced_strides, y);
    case ReduceOp::product: return reduce_with<ReduceOp::product>(x, outer, outer_strides, reduced, reduced_strides, y);
    case ReduceOp::maximum: return reduce_with<ReduceOp::maximum>(x, outer, outer_strides, reduced, reduced_strides, y);
    case ReduceOp::minimum: return reduce_with<ReduceOp::minimum>(x, outer, outer_strides, reduced, reduced_strides, y);
  }
}

}  // namespace

void register_reduce() { kernel::reduce.set(DeviceType::cpu, reduce); }

}  // namespace plumb::cpu_kernels
