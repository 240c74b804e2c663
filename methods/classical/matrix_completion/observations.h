// Matrices of which some entries are known, by rows and by columns.
#pragma once
#include <cstdint>
#include <utility>
#include <vector>

#include "engine/core/generator.h"
#include "engine/core/tensor.h"

namespace plumb::methods::matrix_completion {

/// Known entries in any order: value[i] stands at (row[i], column[i]).
struct SparseObservations {
  int64_t rows = 0, columns = 0;
  std::vector<int64_t> row, column;
  std::vector<double> value;
};

/// The entries of matrix [m, n] where mask [m, n] is not 0. Throws ShapeError if the shapes differ.
SparseObservations observe(const Tensor& matrix, const Tensor& mask);
/// Each entry with probability p. Throws ValueError unless 0 < p ≤ 1.
SparseObservations observe_share(const Tensor& matrix, double p, Generator& generator);
/// Of u vᵀ, u [m, k] and v [n, k], `per_row` different random entries in each row, without ever making the matrix. Throws ShapeError for
/// factors that do not fit, ValueError unless 1 ≤ per_row ≤ n.
SparseObservations observe_product(const Tensor& u, const Tensor& v, int64_t per_row, Generator& generator);
/// Every entry to one of `parts` sets at random: the fresh samples that the theory asks for.
std::vector<SparseObservations> split(const SparseObservations& observed, int64_t parts, Generator& generator);
/// (kept, held out): each entry is held out with probability `share`.
std::pair<SparseObservations, SparseObservations> hold_out(const SparseObservations& observed, double share, Generator& generator);

/// Entries by lines (rows or columns): those of line i are [start[i], start[i + 1]).
struct Lines {
  std::vector<int64_t> start, index;  ///< index: the place across the line
  std::vector<double> value;
  std::vector<int64_t> place;  ///< where the entry stands in the order by rows

  int64_t count() const { return static_cast<int64_t>(start.size()) - 1; }
  int64_t length(int64_t line) const { return start[static_cast<size_t>(line) + 1] - start[static_cast<size_t>(line)]; }
};

/// Known entries sorted both ways. Immutable.
class ObservedMatrix {
 public:
  /// Throws ShapeError for lists of different lengths, IndexError for a place outside, ValueError for an entry given twice, a value that is
  /// not finite, or no entries.
  explicit ObservedMatrix(const SparseObservations& observed);
  int64_t rows() const { return by_row_.count(); }
  int64_t columns() const { return by_column_.count(); }
  int64_t count() const { return static_cast<int64_t>(by_row_.value.size()); }
  double density() const { return static_cast<double>(count()) / static_cast<double>(rows()) / static_cast<double>(columns()); }
  const Lines& by_row() const { return by_row_; }
  const Lines& by_column() const { return by_column_; }
  double norm() const { return norm_; }  ///< ‖P_Ω(M)‖_F

 private:
  Lines by_row_, by_column_;
  double norm_ = 0;
};

/// M − U Vᵀ at the known entries, in the order by rows; u [m, k], v [n, k]. |Ω| k multiply–adds. Throws ShapeError for other factors.
std::vector<double> residuals(const ObservedMatrix& observed, const Tensor& u, const Tensor& v);
/// ‖P_Ω(M − U Vᵀ)‖_F.
double residual_norm(const ObservedMatrix& observed, const Tensor& u, const Tensor& v);
/// S x [lines, q] for the sparse S with `values` (in the order by rows) at the entries of `lines`, x [across, q].
Tensor sparse_multiply(const Lines& lines, const std::vector<double>& values, const Tensor& x);

}  // namespace plumb::methods::matrix_completion
