// How reductions walk over a tensor on the GPU. An operation is a small struct, copied to the device:
//   Value                                  the type of partial results
//   Value start(), join(a, b)              what nothing amounts to; two partial results as one
//   Value element(x, shift, n)             what the element at offset x contributes to the output at `shift`; it is the output's n-th
//   kPack, pack(x, shift, step, v)         v[j] ← the same for the kPack neighbours from x on, which belong to shift + j · step; no pack()
//   where
//                                          kPack is 1
//   aligned()                              whether packs can be read where offsets are multiples of kPack; only where kPack is more than 1
//   store(y, value)                        puts an output into its place
// Which elements are joined in which order follows from the geometry alone. As on the CPU there are two ways:
//   by rows      a reduced dimension is dense: neighbouring threads take neighbouring elements of one output, then join
//   by columns   a kept dimension is dense: neighbouring threads take neighbouring outputs, and several rows at a time
// What is long is cut into parts, whose results a second launch joins, so that a few outputs fill the GPU too and no chain of additions is
// long. Bytes: x once, in 16-byte loads where it is dense, plus one partial result for every 8192 elements or more. Bound: memory.
#pragma once
#include <algorithm>
#include <bit>

#include "cuda/kernels/elements.h"
#include "cuda/runtime/launch.h"
#include "cuda/runtime/memory.h"
#include "cuda/runtime/warp.h"
#include "ops/kernels/reduce_axes.h"

namespace plumb::cuda_backend {

inline constexpr int kReduceThreads = 256;

/// One launch: `outputs` sums of `count` elements, each cut into `splits` parts of `part` elements.
struct ReduceTask {
  ReduceAxes outer, reduced;
  int64_t outputs, count, splits, part;
  bool small;  ///< indices fit in 32 bits, in which division is four times as fast
};
__device__ inline ReducePlace place_of(const ReduceAxes& axes, int64_t i, bool small) {
  return small ? axes.at(static_cast<uint32_t>(i)) : axes.at(i);
}

/// The results of `group` neighbouring threads (a power of two up to 32, or the whole block) as one, known to all of the first warp.
template <typename Op>
__device__ typename Op::Value join_group(const Op& op, typename Op::Value v, int group) {
  for (int mask = (group < 32 ? group : 32) / 2; mask > 0; mask /= 2) v = op.join(v, shuffle_xor_value(v, mask));
  if (group <= 32) return v;
  auto* parts = dynamic_shared<typename Op::Value>();
  if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32] = v;
  __syncthreads();
  v = parts[0];
  for (int w = 1; w < group / 32; ++w) v = op.join(v, parts[w]);
  return v;
}

// `group` threads an output (or a part of one).
template <typename Op>
__global__ void reduce_rows(Op op, ReduceTask task, int group, bool packed, typename Op::Value* partial) {
  int64_t lane = threadIdx.x % static_cast<unsigned>(group),
          at = static_cast<int64_t>(blockIdx.x) * (blockDim.x / static_cast<unsigned>(group)) + threadIdx.x / static_cast<unsigned>(group);
  bool inside = at < task.outputs * task.splits;
  auto total = op.start();
  ReducePlace place;
  if (inside) {
    place = place_of(task.outer, task.splits == 1 ? at : at / task.splits, task.small);
    int64_t first = task.splits == 1 ? 0 : at % task.splits * task.part,
            last = first + task.part < task.count ? first + task.part : task.count;
    if constexpr (Op::kPack > 1) {
      if (packed) {
        int64_t end = last - (last - first) % Op::kPack;
#pragma unroll 4
        for (int64_t i = first + lane * Op::kPack; i < end; i += group * Op::kPack) {
          typename Op::Value v[Op::kPack];
          op.pack(place.x + i, place.shift, 0, v);
#pragma unroll
          for (int width = Op::kPack / 2; width > 0; width /= 2)
#pragma unroll
            for (int j = 0; j < width; ++j) v[j] = op.join(v[j], v[j + width]);
          total = op.join(total, v[0]);
        }
        first = end;
      }
    }
    for (int64_t i = first + lane; i < last; i += group)
      total = op.join(total, op.element(place.x + place_of(task.reduced, i, task.small).x, place.shift, i));
  }
  total = join_group(op, total, group);
  if (!inside || lane != 0) return;
  if (partial) partial[at] = total;
  else op.store(place.y, total);
}

// A block takes a strip of columns, `width` threads of N columns across, and rows `down` apart; then its rows are joined in pairs.
template <typename Op, int N>
__global__ void reduce_columns(Op op, ReduceTask task, ReduceAxis column, int width, typename Op::Value* partial) {
  int across = static_cast<int>(threadIdx.x) % width, row = static_cast<int>(threadIdx.x) / width,
      depth = static_cast<int>(blockDim.x) / width;
  int64_t strips = (column.size + width * N - 1) / (width * N), block = blockIdx.x;
  int64_t c = (block % strips * width + across) * N, split = block / strips % task.splits, plane = block / strips / task.splits;
  ReducePlace place = place_of(task.outer, plane, task.small);
  typename Op::Value total[N];
#pragma unroll
  for (int j = 0; j < N; ++j) total[j] = op.start();
  if (c < column.size) {
    int64_t x = place.x + c * column.x, shift = place.shift + c * column.shift;
    int64_t first = split * task.part + row, last = (split + 1) * task.part < task.count ? (split + 1) * task.part : task.count;
    int64_t steps = first < last ? (last - first + depth - 1) / depth : 0;
    auto read = [&](int64_t at, int64_t step, typename Op::Value (&v)[N]) {
      if constexpr (N == 1) v[0] = op.element(at, shift, first + step * depth);
      else op.pack(at, shift, column.shift, v);
    };
    auto add = [&](const typename Op::Value (&v)[N]) {
#pragma unroll
      for (int j = 0; j < N; ++j) total[j] = op.join(total[j], v[j]);
    };
    if (task.reduced.rank == 1) {
      // Four rows are under way before the first is added: nothing is asked between their loads.
      const int64_t down = depth * task.reduced.axis[0].x;
      int64_t step = 0, at = x + first * task.reduced.axis[0].x;
      for (; step + 4 <= steps; step += 4, at += 4 * down) {
        typename Op::Value v[4][N];
#pragma unroll
        for (int k = 0; k < 4; ++k) read(at + k * down, step + k, v[k]);
#pragma unroll
        for (int k = 0; k < 4; ++k) add(v[k]);
      }
#pragma unroll 1
      for (; step < steps; ++step, at += down) {
        typename Op::Value v[N];
        read(at, step, v);
        add(v);
      }
    } else {
      for (int64_t step = 0; step < steps; ++step) {
        typename Op::Value v[N];
        read(x + place_of(task.reduced, first + step * depth, task.small).x, step, v);
        add(v);
      }
    }
  }
  auto* rows = dynamic_shared<typename Op::Value>();  // [depth, width · N]
#pragma unroll
  for (int j = 0; j < N; ++j) rows[(row * width + across) * N + j] = total[j];
  for (int half = depth / 2; half > 0; half /= 2) {
    __syncthreads();
    if (row >= half) continue;
#pragma unroll
    for (int j = 0; j < N; ++j) {
      int at = (row * width + across) * N + j;
      rows[at] = op.join(rows[at], rows[at + half * width * N]);
    }
  }
  if (row != 0 || c >= column.size) return;
#pragma unroll
  for (int j = 0; j < N; ++j) {
    if (partial) partial[split * task.outputs + plane * column.size + c + j] = rows[across * N + j];
    else op.store(place.y + (c + j) * column.y, rows[across * N + j]);
  }
}

/// The partial results of an operation as elements of a second reduction.
template <typename Op>
struct PartialResults {
  using Value = typename Op::Value;
  static constexpr int kPack = 1;
  Op op;
  const Value* partial;
  __device__ Value start() const { return op.start(); }
  __device__ Value join(const Value& a, const Value& b) const { return op.join(a, b); }
  __device__ Value element(int64_t x, int64_t, int64_t) const { return partial[x]; }
  __device__ void store(int64_t y, const Value& v) const { op.store(y, v); }
};
template <typename Op>
PartialResults<Op> partial_results(const Op& op, const typename Op::Value* partial) { return {op, partial}; }
template <typename Op>
PartialResults<Op> partial_results(const PartialResults<Op>& before, const typename Op::Value* partial) { return {before.op, partial}; }

template <typename Op>
void reduce_by_rows(const Op& op, ReduceTask task);
template <typename Op, int N>
void reduce_by_columns(const Op& op, const ReduceAxes& outer, ReduceTask task);

/// `outer` as the axes of a dense array whose elements are `step` apart.
inline ReduceAxes dense_axes(ReduceAxes outer, int64_t step) {
  for (int d = outer.rank - 1; d >= 0; --d) {
    outer.axis[d].x = step;
    step *= outer.axis[d].size;
  }
  return outer;
}

/// The second launch: outputs in the order of outer, each with `splits` partial results, side by side or as far apart as there are outputs.
template <typename Op>
void join_partial_results(const Op& op, const typename Op::Value* partial, const ReduceAxes& outer, int64_t splits, bool side_by_side) {
  int64_t outputs = outer.count();
  ReduceAxes from = dense_axes(outer, side_by_side ? splits : 1), parts;
  parts.add({splits, side_by_side ? 1 : outputs, 0, 0});
  ReduceTask task{from, parts, outputs, splits, 1, splits, outputs * splits < int64_t{1} << 31};
  auto join = partial_results(op, partial);
  if (side_by_side || outputs < 512) return reduce_by_rows(join, task);
  task.outer = from.without_back();
  reduce_by_columns<decltype(join), 1>(join, from, task);
}

template <typename Op>
bool packs_fit(const Op& op, const ReduceAxes& axes, int from) {
  if constexpr (Op::kPack == 1) {
    return false;
  } else {
    for (int d = from; d < axes.rank; ++d)
      if (axes.axis[d].x % Op::kPack != 0) return false;
    return op.aligned();
  }
}

template <typename Op>
void reduce_by_rows(const Op& op, ReduceTask task) {
  bool packed = task.reduced.rank == 1 && task.reduced.back().x == 1 && packs_fit(op, task.outer, 0);
  int64_t steps = pieces(task.count, packed ? Op::kPack : 1);  // loads an output
  int group = steps > 256 || (steps > 32 && task.outputs < 4096)
                  ? kReduceThreads
                  : static_cast<int>(std::bit_ceil(static_cast<uint64_t>(std::clamp<int64_t>(pieces(steps, 2), 1, 32))));
  // Two waves of the blocks that an H100 holds, where there is so much.
  task.part = task.outputs >= 1024
                  ? int64_t{1} << 16
                  : std::clamp<int64_t>(pieces(pieces(task.outputs * task.count, 1320), 2048) * 2048, int64_t{1} << 13, int64_t{1} << 16);
  task.splits = std::max<int64_t>(1, pieces(task.count, task.part));
  int64_t tasks = task.outputs * task.splits;
  Grid grid{dim3(static_cast<unsigned>(pieces(tasks, kReduceThreads / group))), dim3(kReduceThreads),
            group > 32 ? kReduceThreads / 32 * sizeof(typename Op::Value) : 0};
  Scratch<typename Op::Value> partial(task.splits > 1 ? tasks : 0);
  launch(reduce_rows<Op>, grid, op, task, group, packed, task.splits > 1 ? partial.data() : nullptr);
  if (task.splits > 1) join_partial_results(op, partial.data(), task.outer, task.splits, true);
}

template <typename Op, int N>
void reduce_by_columns(const Op& op, const ReduceAxes& outer, ReduceTask task) {
  ReduceAxis column = outer.back();
  int width = static_cast<int>(std::bit_ceil(static_cast<uint64_t>(std::min<int64_t>(32, pieces(column.size, N))))),
      depth = kReduceThreads / width;
  int64_t across = task.outer.count() * pieces(column.size, width * N);
  task.part = std::clamp<int64_t>(pieces(task.count, pieces(1024, across)), depth * 16, depth * 512);
  task.splits = std::max<int64_t>(1, pieces(task.count, task.part));
  Grid grid{dim3(static_cast<unsigned>(across * task.splits)), dim3(kReduceThreads), kReduceThreads * N * sizeof(typename Op::Value)};
  Scratch<typename Op::Value> partial(task.splits > 1 ? task.outputs * task.splits : 0);
  launch(reduce_columns<Op, N>, grid, op, task, column, width, task.splits > 1 ? partial.data() : nullptr);
  if (task.splits > 1) join_partial_results(op, partial.data(), outer, task.splits, false);
}

/// Reduces over `reduced` for every index of `outer`.
template <typename Op>
void reduce_axes(const Op& op, ReduceAxes outer, ReduceAxes reduced) {
  outer.normalise();
  reduced.normalise();
  ReduceTask task{outer, reduced, outer.count(), reduced.count(), 1, 1, false};
  if (task.outputs == 0) return;
  task.small = task.outputs < int64_t{1} << 31 && task.count < int64_t{1} << 31;
  bool columns = outer.rank > 0 && task.count > 0 && (reduced.rank == 0 || outer.back().x < reduced.back().x);
  if (!columns) return reduce_by_rows(op, task);
  bool packed =
      outer.back().x == 1 && outer.back().size % Op::kPack == 0 && packs_fit(op, outer.without_back(), 0) && packs_fit(op, reduced, 0);
  task.outer = outer.without_back();
  packed ? reduce_by_columns<Op, Op::kPack>(op, outer, task) : reduce_by_columns<Op, 1>(op, outer, task);
}

}  // namespace plumb::cuda_backend
