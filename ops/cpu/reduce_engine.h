// How reductions walk over a tensor on the CPU; what they do with elements is a rule of ops/reduce_functions.h.
// Which elements are joined in which order follows from the geometry alone, never from the number of threads: runs are cut into
// blocks and pieces of fixed size, whose results are joined in pairs. Two ways, chosen by which dimension is dense in memory:
//   by rows      a reduced dimension is dense: each output's elements are runs, taken in lanes side by side
//   by columns   a kept dimension is dense: whole rows are joined into a row of accumulators
// Reduced dimensions may be any, next to each other or not. Bytes: read x once. Bound: memory.
#pragma once
#include <algorithm>
#include <array>

#include "engine/core/data_kernels.h"
#include "ops/cpu/strided_loop.h"
#include "ops/kernels/reduce.h"
#include "ops/kernels/reduce_axes.h"

namespace plumb::cpu_kernels {

/// A place among ReduceAxes and what it means for the operands; advances in order.
class ReduceWalk {
 public:
  ReduceWalk(const ReduceAxes& axes, int64_t at) : axes_(axes) {
    for (int d = axes.rank - 1; d >= 0; --d) {
      auto i = static_cast<size_t>(d);
      index_[i] = at % axes.axis[i].size;
      at /= axes.axis[i].size;
      move(axes.axis[i], index_[i]);
    }
  }
  void next() {
    for (int d = axes_.rank - 1; d >= 0; --d) {
      auto i = static_cast<size_t>(d);
      move(axes_.axis[i], 1);
      if (++index_[i] < axes_.axis[i].size) return;
      move(axes_.axis[i], -index_[i]);
      index_[i] = 0;
    }
  }
  int64_t x = 0, y = 0, shift = 0;

 private:
  void move(const ReduceAxis& a, int64_t steps) {
    x += steps * a.x;
    y += steps * a.y;
    shift += steps * a.shift;
  }
  const ReduceAxes& axes_;
  std::array<int64_t, kMaxRank> index_{};
};

/// Joins partial results in pairs of neighbours as they come, so that errors grow with the logarithm of their number.
template <typename Op, typename T>
class PairwiseJoin {
 public:
  void add(T t) {
    for (uint64_t n = count_++; n & 1; n >>= 1) t = Op::join(stack_[--depth_], t);
    stack_[depth_++] = t;
  }
  T total() const {
    if (depth_ == 0) return Op::start();
    T t = stack_[depth_ - 1];
    for (int i = depth_ - 1; i-- > 0;) t = Op::join(stack_[i], t);
    return t;
  }

 private:
  T stack_[64];
  int depth_ = 0;
  uint64_t count_ = 0;
};

/// Reduces x (stored as S, joined as T) over `reduced` for every index of `outer`.
template <typename Op, typename S, typename T>
class Reduction {
 public:
  Reduction(const S* x, const T* shift, ReduceAxes outer, ReduceAxes reduced) : x_(x), shift_(shift), outer_(outer), reduced_(reduced) {
    outer_.normalise();
    reduced_.normalise();
  }

  void run(T* y) {
    if (outer_.count() == 0) return;
    if (reduced_.count() == 0) {
      parallel_for(outer_.count(), kPointwiseGrain, [&](int64_t b, int64_t e) {
        ReduceWalk at(outer_, b);
        for (int64_t o = b; o < e; ++o, at.next()) y[at.y] = Op::start();
      });
      return;
    }
    if (reduced_.rank == 0) reduced_.axis[reduced_.rank++] = {1, int64_t{1} << 40, 0, 0};  // one row of columns
    bool columns = outer_.rank > 0 && outer_.back().x < reduced_.back().x;
    if (columns) return by_columns(y);
    bool short_runs = outer_.rank > 0 && reduced_.rank > 1 && reduced_.back().size < 64;
    short_runs ? in_two_steps(y) : by_rows(y);
  }

 private:
  static constexpr int64_t kLanes = 32;        // partial results of a run side by side, for the vectoriser
  static constexpr int64_t kBlock = 4096;      // elements of a run joined in lanes
  static constexpr int64_t kPiece = 1 << 16;   // elements of one output that a thread takes at a time
  static constexpr int64_t kRows = 128;        // rows joined one after the other
  static constexpr int64_t kColumns = 2048;    // accumulators side by side, in the first cache
  static constexpr int64_t kFolded = 64;       // narrow rows are folded to about this width

  static T shift_at(const T* shift, int64_t c) {
    if constexpr (Op::kShifted) return shift[c];
    else return T();
  }
  static T load(const S& x) { return static_cast<T>(static_cast<compute_t<S>>(x)); }

  // Up to kBlock elements in `lanes` partial results.
  template <int64_t lanes>
  static T run_in_lanes(const S* x, int64_t n, T shift) {
    T lane[lanes];
    for (T& t : lane) t = Op::start();
    int64_t i = 0;
    for (; i + lanes <= n; i += lanes)
      for (int64_t j = 0; j < lanes; ++j) lane[j] = Op::join(lane[j], Op::element(load(x[i + j]), shift));
    for (int64_t j = 0; i < n; ++i, ++j) lane[j] = Op::join(lane[j], Op::element(load(x[i]), shift));
    for (int64_t width = lanes / 2; width > 0; width /= 2)
      for (int64_t j = 0; j < width; ++j) lane[j] = Op::join(lane[j], lane[j + width]);
    return lane[0];
  }

  static T long_run(const S* x, int64_t stride, int64_t n, T shift) {
    if (n <= kBlock) return stride == 1 ? run_in_lanes<kLanes>(x, n, shift) : run_with_gaps(x, stride, n, shift);
    int64_t left = (n + kBlock - 1) / kBlock / 2 * kBlock;
    return Op::join(long_run(x, stride, left, shift), long_run(x + left * stride, stride, n - left, shift));
  }

  // In four partial results, so that one addition need not wait for the last.
  static T run_with_gaps(const S* x, int64_t stride, int64_t n, T shift) {
    T a = Op::start(), b = a, c = a, d = a;
    auto element = [&](int64_t i) { return Op::element(load(x[i * stride]), shift); };
    int64_t i = 0;
    for (; i + 4 <= n; i += 4) {
      a = Op::join(a, element(i));
      b = Op::join(b, element(i + 1));
      c = Op::join(c, element(i + 2));
      d = Op::join(d, element(i + 3));
    }
    for (; i < n; ++i) a = Op::join(a, element(i));
    return Op::join(Op::join(a, b), Op::join(c, d));
  }

  static T run_of(const S* x, int64_t stride, int64_t n, T shift) {
    if (n >= 256) return long_run(x, stride, n, shift);
    if (n >= 16 && stride == 1) return run_in_lanes<8>(x, n, shift);
    if (n >= 4) return run_with_gaps(x, stride, n, shift);
    T t = Op::element(load(x[0]), shift);
    for (int64_t i = 1; i < n; ++i) t = Op::join(t, Op::element(load(x[i * stride]), shift));
    return t;
  }

  // A line is a run along the innermost reduced dimension. Long lines are cut into sections, short ones bundled: a piece is about kPiece
  // elements of one output either way.
  void by_rows(T* y) {
    const ReduceAxis line = reduced_.back();
    ReduceAxes lines = reduced_.without_back();
    int64_t outputs = outer_.count(), cuts = (line.size + kPiece - 1) / kPiece, sections = lines.count() * cuts;
    int64_t bundle = std::max<int64_t>(1, kPiece / line.size), pieces = (sections + bundle - 1) / bundle;
    auto piece = [&](const ReduceWalk& output, int64_t p) {
      int64_t first = p * bundle, last = std::min(sections, first + bundle);
      ReduceWalk at(lines, first / cuts);
      T shift = shift_ ? shift_[output.shift] : T();
      auto section = [&](int64_t s) {
        int64_t from = s % cuts * kPiece;
        return run_of(x_ + output.x + at.x + from * line.x, line.x, std::min(line.size - from, kPiece), shift);
      };
      if (last - first == 1) return section(first);
      PairwiseJoin<Op, T> joined;
      for (int64_t s = first; s < last; ++s) {
        joined.add(section(s));
        if ((s + 1) % cuts == 0) at.next();
      }
      return joined.total();
    };
    int64_t grain = std::max<int64_t>(1, kPointwiseGrain / std::min(kPiece, reduced_.count()));
    if (sections == 1) {
      parallel_for(outputs, grain, [&](int64_t b, int64_t e) {
        ReduceWalk at(outer_, b);
        for (int64_t o = b; o < e; ++o, at.next()) y[at.y] = run_of(x_ + at.x, line.x, line.size, shift_ ? shift_[at.shift] : T());
      });
      return;
    }
    if (pieces == 1) {
      parallel_for(outputs, grain, [&](int64_t b, int64_t e) {
        ReduceWalk at(outer_, b);
        for (int64_t o = b; o < e; ++o, at.next()) y[at.y] = piece(at, 0);
      });
      return;
    }
    Tensor partial = empty({outputs, pieces}, dtype_of<T>(), cpu, "reduce");
    T* parts = partial.data<T>();
    parallel_for(outputs * pieces, grain, [&](int64_t b, int64_t e) {
      for (int64_t task = b; task < e; ++task) parts[task] = piece(ReduceWalk(outer_, task / pieces), task % pieces);
    });
    ReduceWalk at(outer_, 0);
    for (int64_t o = 0; o < outputs; ++o, at.next()) {
      PairwiseJoin<Op, T> joined;
      for (int64_t p = 0; p < pieces; ++p) joined.add(parts[o * pieces + p]);
      y[at.y] = joined.total();
    }
  }

  // `rows` rows of `width` columns of x, from the row `first` on, joined into `into`, four at a time.
  static void join_rows(const S* x, int64_t step, const ReduceAxes& axes, int64_t first, int64_t rows, int64_t width, const T* shift,
                        T* into) {
    if (rows == 0) return;
    ReduceWalk at(axes, first);
    auto next_row = [&] {
      const S* row = x + at.x;
      at.next();
      return row;
    };
    auto element = [&](const S* row, int64_t c) { return Op::element(load(row[c]), shift_at(shift, c)); };
    int64_t r = 0;
    for (; step == 1 && r + 4 <= rows; r += 4) {
      const S *p = next_row(), *q = next_row(), *u = next_row(), *v = next_row();
      for (int64_t c = 0; c < width; ++c)
        into[c] = Op::join(into[c], Op::join(Op::join(element(p, c), element(q, c)), Op::join(element(u, c), element(v, c))));
    }
    for (; r < rows; ++r) {
      const S* row = next_row();
      for (int64_t c = 0; c < width; ++c) into[c] = Op::join(into[c], Op::element(load(row[c * step]), shift_at(shift, c)));
    }
  }

  // Rows follow each other in chunks of fixed size; narrow ones that lie without gaps are taken `fold` at a time as one wide row, and
  // what is left over at the end one by one.
  void by_columns(T* y) {
    const ReduceAxis column = outer_.back(), row = reduced_.back();
    ReduceAxes planes = outer_.without_back(), wide_rows = reduced_;
    bool dense = column.x == 1 && row.x == column.size;
    int64_t fold = dense ? std::max<int64_t>(1, kFolded / column.size) : 1;
    if (reduced_.rank > 1)
      while (row.size % fold != 0) --fold;
    wide_rows.axis[wide_rows.rank - 1] = {row.size / fold, row.x * fold, 0, 0};
    int64_t rows = wide_rows.count(), left_over = row.size % fold;
    int64_t plane_count = planes.count(), strips = (column.size + kColumns - 1) / kColumns,
            chunks = std::max<int64_t>(1, (rows + kRows - 1) / kRows);
    Tensor partial = chunks == 1 ? Tensor() : empty({plane_count * chunks, column.size}, dtype_of<T>(), cpu, "reduce");
    auto chunk = [&](const ReduceWalk& plane, int64_t k, int64_t c0, int64_t width, T* into) {
      T shift[Op::kShifted ? kColumns : 1];
      if constexpr (Op::kShifted)
        for (int64_t c = 0; c < width * fold; ++c) shift[c] = shift_[plane.shift + (c0 + c % width) * column.shift];
      std::fill_n(into, width * fold, Op::start());
      const S* x = x_ + plane.x + c0 * column.x;
      int64_t first = k * kRows;
      join_rows(x, column.x, wide_rows, first, std::min(rows - first, kRows), width * fold, shift, into);
      if (k == chunks - 1) join_rows(x, column.x, reduced_, row.size - left_over, left_over, width, shift, into);
      for (int64_t f = 1; f < fold; ++f)
        for (int64_t c = 0; c < width; ++c) into[c] = Op::join(into[c], into[f * width + c]);
    };
    int64_t task_elements = std::min(rows * fold + left_over, kRows * fold) * std::min(column.size, kColumns);
    parallel_for(plane_count * chunks * strips, std::max<int64_t>(1, kPointwiseGrain / task_elements), [&](int64_t b, int64_t e) {
      for (int64_t task = b; task < e; ++task) {
        int64_t c0 = task % strips * kColumns, width = std::min(kColumns, column.size - c0), k = task / strips % chunks,
                p = task / strips / chunks;
        ReduceWalk plane(planes, p);
        T into[kColumns];
        chunk(plane, k, c0, width, into);
        if (chunks == 1) {
          for (int64_t c = 0; c < width; ++c) y[plane.y + (c0 + c) * column.y] = into[c];
        } else {
          std::copy_n(into, width, partial.data<T>() + (p * chunks + k) * column.size + c0);
        }
      }
    });
    if (chunks == 1) return;
    parallel_for(plane_count * strips, std::max<int64_t>(1, kPointwiseGrain / (chunks * std::min(column.size, kColumns))),
                 [&](int64_t b, int64_t e) {
                   for (int64_t task = b; task < e; ++task) {
                     int64_t c0 = task % strips * kColumns, width = std::min(kColumns, column.size - c0), p = task / strips;
                     T* parts = partial.data<T>() + p * chunks * column.size + c0;
                     for (int64_t step = 1; step < chunks; step *= 2)
                       for (int64_t k = 0; k + step < chunks; k += 2 * step)
                         for (int64_t c = 0; c < width; ++c)
                           parts[k * column.size + c] = Op::join(parts[k * column.size + c], parts[(k + step) * column.size + c]);
                     ReduceWalk plane(planes, p);
                     for (int64_t c = 0; c < width; ++c) y[plane.y + (c0 + c) * column.y] = parts[c];
                   }
                 });
  }

  // Short dense runs within several reduced dimensions ([N, C, 4] over N and the last): first everything but the run, by columns that
  // include it, then the runs.
  void in_two_steps(T* y) {
    int64_t outputs = outer_.count(), length = reduced_.back().size;
    ReduceAxes wide = outer_, kept;
    int64_t step = length;
    for (int d = outer_.rank - 1; d >= 0; --d) {  // the sums in between lie in the order of outer_
      auto i = static_cast<size_t>(d);
      wide.axis[i].y = step;
      step *= outer_.axis[i].size;
    }
    for (int d = 0; d < outer_.rank; ++d) {
      auto i = static_cast<size_t>(d);
      kept.add({outer_.axis[i].size, wide.axis[i].y, outer_.axis[i].y, 0});
    }
    wide.add({length, reduced_.back().x, 1, 0});
    Tensor between = empty({outputs, length}, dtype_of<T>(), cpu, "reduce");
    Reduction(x_, shift_, wide, reduced_.without_back()).run(between.data<T>());
    ReduceAxes run;
    run.add({length, 1, 0, 0});
    Reduction<typename Op::Joined, T, T>(between.data<T>(), nullptr, kept, run).run(y);
  }

  const S* x_;
  const T* shift_;
  ReduceAxes outer_, reduced_;
};

/// Runs a reduction of x without shift into y, which is of type T, or of x's own 16 bits.
template <typename Op, typename S, typename T>
void reduce_into(const Tensor& x, const ReduceCall& call, Tensor& y) {
  bool narrower = y.dtype() != dtype_of<T>();
  Tensor wide = narrower ? empty(y.shape(), dtype_of<T>(), cpu, "reduce") : y;
  Reduction<Op, S, T>(x.data<S>(), nullptr, call.outer, call.reduced).run(wide.data<T>());
  if (narrower) kernel::copy(cpu, wide, y);
}

/// Products and extrema, in a file of their own.
void reduce_by_choice(ReduceOp op, const Tensor& x, const ReduceCall& call, Tensor& y);

}  // namespace plumb::cpu_kernels
