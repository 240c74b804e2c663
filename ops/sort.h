// Sorting, selecting and searching. Order: ascending (or descending) with NaN last either way; equal elements keep their order, so
// results are unique. Values carry the gradient back to where they came from; places (i64) have none. dim counts from the end if negative.
#pragma once
#include <vector>

#include "engine/core/tensor.h"
#include "ops/reduce.h"

namespace plumb {

/// x sorted along `dim`, and the place of each value in x. Stable.
ValuesAndIndices sort(const Tensor& x, int dim = -1, bool descending = false);
Tensor argsort(const Tensor& x, int dim = -1, bool descending = false);
/// The k largest (smallest) along `dim`, best first; without `sorted`, in the order in which they stand in x. NaN counts as worst.
/// Throws ValueError unless 0 ≤ k ≤ size.
ValuesAndIndices topk(const Tensor& x, int64_t k, int dim = -1, bool largest = true, bool sorted = true);
/// The k-th smallest along `dim`, k from 1. Throws ValueError outside [1, size].
ValuesAndIndices kthvalue(const Tensor& x, int64_t k, int dim = -1, bool keepdim = false);
/// The median along `dim`: of an even number of elements the lower one. NaN if any is NaN. Throws ValueError for an empty dimension.
ValuesAndIndices median(const Tensor& x, int dim, bool keepdim = false);
/// The (lower) median of all elements.
Tensor median(const Tensor& x);
/// The value below which a fraction q of the elements lies, interpolated linearly between the neighbours at ⌊q(n−1)⌋ and the next; over
/// `dims` (none: all). NaN if any is NaN. The form with several q has them as a new first dimension. Throws ValueError unless 0 ≤ q ≤ 1.
Tensor quantile(const Tensor& x, double q, const std::vector<int>& dims = {}, bool keepdim = false);
Tensor quantile(const Tensor& x, const std::vector<double>& q, const std::vector<int>& dims = {}, bool keepdim = false);

struct Unique {
  Tensor values;   ///< ascending
  Tensor inverse;  ///< shape of x: values[inverse] = x
  Tensor counts;   ///< how often each occurs
};
/// The different elements of x. Every NaN is different. No derivative.
Unique unique(const Tensor& x);
/// For each wanted value how many of the ascending `sorted` [.., n] are below it (at most it, if `right`): where to insert it. Leading
/// dimensions are equal, or sorted is a vector. The types are promoted.
Tensor searchsorted(const Tensor& sorted, const Tensor& wanted, bool right = false);
/// y_k = how often k occurs in x (or the sum of its weights), for k below max(max x + 1, minlength). x holds integers ≥ 0, else
/// IndexError. Weighted sums are of the weights' type and differentiable in them.
Tensor bincount(const Tensor& x, const Tensor& weights = {}, int64_t minlength = 0);
/// How many elements fall into each of `bins` equal parts of [low, high] (the last one closed); others are not counted. In x's type. No
/// derivative.
Tensor histc(const Tensor& x, int64_t bins, double low, double high);

}  // namespace plumb
