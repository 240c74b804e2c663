// Putting tensors together, taking them apart, and repeating or turning them around.
#pragma once
#include <vector>

#include "engine/core/tensor.h"

namespace plumb {

/// The tensors one after another along `dim`; other sizes must be equal, types are promoted. Throws ShapeError, ValueError for none.
Tensor cat(const std::vector<Tensor>& tensors, int dim = 0);
/// Tensors of one shape along a new dimension `dim`.
Tensor stack(const std::vector<Tensor>& tensors, int dim = 0);
/// Views of `size` slices each along `dim`, the last one perhaps smaller. Throws ValueError for size < 1.
std::vector<Tensor> split(const Tensor& x, int64_t size, int dim = 0);
/// Views of the given sizes, which must add up. Throws ShapeError otherwise.
std::vector<Tensor> split(const Tensor& x, const std::vector<int64_t>& sizes, int dim = 0);
/// At most `count` views of equal size ⌈n / count⌉, the last one perhaps smaller.
std::vector<Tensor> chunk(const Tensor& x, int64_t count, int dim = 0);
/// A view for each index of `dim`, without that dimension.
std::vector<Tensor> unbind(const Tensor& x, int dim = 0);

/// x repeated repeats[i] times along dimension i; more repeats than dimensions add leading ones. Throws ShapeError for fewer (repeat),
/// ValueError for a negative number. tile fills in leading ones.
Tensor repeat(const Tensor& x, const std::vector<int64_t>& repeats);
Tensor tile(const Tensor& x, const std::vector<int64_t>& repeats);
/// Every slice along `dim` `repeats` times in a row; or slice i repeats[i] times (integers ≥ 0, one for each slice).
Tensor repeat_interleave(const Tensor& x, int64_t repeats, int dim);
Tensor repeat_interleave(const Tensor& x, const Tensor& repeats, int dim);

/// y[(i + shift) mod n] = x[i] along each of `dims`; without dims x is rolled as if flat.
Tensor roll(const Tensor& x, const std::vector<int64_t>& shifts, const std::vector<int>& dims);
Tensor roll(const Tensor& x, int64_t shift);
/// The order along each of `dims` reversed.
Tensor flip(const Tensor& x, const std::vector<int>& dims);
/// Turned `turns` times by 90° in the plane (dim0, dim1), from dim0 towards dim1.
Tensor rot90(const Tensor& x, int turns = 1, int dim0 = 0, int dim1 = 1);

}  // namespace plumb
