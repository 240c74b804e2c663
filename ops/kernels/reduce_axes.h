// The geometry of a reduction, for every device: which dimensions are kept and which reduced, merged and ordered by their place in memory.
#pragma once
#include <algorithm>
#include <array>

#include "engine/core/shape.h"
#include "ops/special_functions.h"

namespace plumb {

/// One dimension: its size and the steps that x, the output and the shift take along it, in elements.
struct ReduceAxis {
  int64_t size, x, y, shift;
};
/// What an index among ReduceAxes means for the operands, in elements.
struct ReducePlace {
  int64_t x = 0, y = 0, shift = 0;
};
/// Dimensions ordered from the outermost to the innermost in memory, sizes of 1 dropped, neighbours merged.
struct ReduceAxes {
  ReduceAxis axis[kMaxRank] = {};
  int rank = 0;

  void add(ReduceAxis a) {
    if (a.size != 1) axis[rank++] = a;
  }
  void normalise();
  int64_t count() const {
    int64_t n = 1;
    for (int d = 0; d < rank; ++d) n *= axis[d].size;
    return n;
  }
  const ReduceAxis& back() const { return axis[rank - 1]; }
  ReduceAxes without_back() const {
    ReduceAxes a = *this;
    --a.rank;
    return a;
  }
  /// The place of index i in row-major order. Index is the type to divide in.
  template <typename Index = int64_t>
  PLUMB_DEVICE ReducePlace at(Index i) const {
    ReducePlace p;
    for (int d = rank - 1; d >= 0; --d) {
      Index rest = d == 0 ? i : static_cast<Index>(i % static_cast<Index>(axis[d].size));
      if (d > 0) i /= static_cast<Index>(axis[d].size);
      p.x += static_cast<int64_t>(rest) * axis[d].x;
      p.y += static_cast<int64_t>(rest) * axis[d].y;
      p.shift += static_cast<int64_t>(rest) * axis[d].shift;
    }
    return p;
  }
};

inline void ReduceAxes::normalise() {
  std::stable_sort(axis, axis + rank, [](const ReduceAxis& a, const ReduceAxis& b) { return a.x > b.x; });
  int merged = 0;
  for (int d = 0; d < rank; ++d) {
    const ReduceAxis a = axis[d];
    ReduceAxis* last = merged > 0 ? &axis[merged - 1] : nullptr;
    if (last && last->x == a.x * a.size && last->y == a.y * a.size && last->shift == a.shift * a.size)
      *last = {last->size * a.size, a.x, a.y, a.shift};
    else axis[merged++] = a;
  }
  rank = merged;
}

/// The kept and the reduced dimensions of a kernel call; y (and shift) hold one element for each outer index, in order.
struct ReduceCall {
  ReduceAxes outer, reduced;
  ReduceCall(const Shape& outer_shape, const Strides& outer_strides, const Shape& reduced_shape, const Strides& reduced_strides,
             bool shifted) {
    Strides y = contiguous_strides(outer_shape);
    for (int d = 0; d < outer_shape.rank(); ++d) outer.add({outer_shape[d], outer_strides[d], y[d], shifted ? y[d] : 0});
    for (int d = 0; d < reduced_shape.rank(); ++d) reduced.add({reduced_shape[d], reduced_strides[d], 0, 0});
  }
};

}  // namespace plumb
