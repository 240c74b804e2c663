// The largest singular values and vectors of a sparse matrix plus one of low rank, by products with it alone.
#pragma once
#include "methods/classical/matrix_completion/observations.h"

namespace plumb::methods::matrix_completion {

/// left rightᵀ + scale · S, S sparse with `values` at the known entries. left [m, r] and right [n, r] may be undefined (no such part).
struct LowRankPlusSparse {
  const ObservedMatrix& pattern;
  const std::vector<double>& values;  ///< in the order by rows
  double scale = 1;
  Tensor left = {}, right = {};

  Tensor times(const Tensor& x) const;             ///< A x, x [n, q]
  Tensor transposed_times(const Tensor& y) const;  ///< Aᵀ y, y [m, q]
  int64_t multiply_adds(int64_t q) const;          ///< of one product with q columns
};

struct SvdOptions {
  int64_t oversampling = 5;  ///< columns more than asked for, which speed up convergence
  int64_t iterations = 200;  ///< at most
  double tolerance = 1e-9;   ///< stops when the leading left space moved by no more (sine of the angle)
  Tensor start = {};         ///< [n, ≥ 1] right vectors to begin with, from a nearby matrix; filled up with random ones
  Generator* generator = nullptr;
};

/// Tolerance for a start that many iterations will correct.
inline constexpr double kRoughStart = 1e-3;

struct TruncatedSvd {
  Tensor u, s, v;  ///< [m, k], [k] descending, [n, k]
  int64_t iterations = 0, multiply_adds = 0;
};
/// Subspace iteration (Rutishauser 1969) on k + oversampling columns. Throws ValueError unless 1 ≤ k ≤ min(m, n).
TruncatedSvd truncated_svd(const LowRankPlusSparse& a, int64_t k, const SvdOptions& options = {});

}  // namespace plumb::methods::matrix_completion
