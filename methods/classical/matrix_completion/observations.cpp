// Known entries: drawn, split, sorted by rows and columns, multiplied.
#include "methods/classical/matrix_completion/observations.h"

#include <cmath>
#include <numeric>
#include <string>

#include "engine/core/parallel.h"
#include "ops/shape.h"

namespace plumb::methods::matrix_completion {
namespace {

std::string place_text(int64_t row, int64_t column) { return "(" + std::to_string(row) + ", " + std::to_string(column) + ")"; }

void check(const SparseObservations& o) {
  if (o.row.size() != o.column.size() || o.row.size() != o.value.size())
    throw ShapeError("matrix_completion: " + std::to_string(o.row.size()) + " rows, " + std::to_string(o.column.size()) + " columns and " +
                     std::to_string(o.value.size()) + " values must be as many");
  if (o.value.empty()) throw ValueError("matrix_completion: no entry is known");
  for (size_t i = 0; i < o.value.size(); ++i) {
    if (o.row[i] < 0 || o.row[i] >= o.rows || o.column[i] < 0 || o.column[i] >= o.columns)
      throw IndexError("matrix_completion: entry " + place_text(o.row[i], o.column[i]) + " lies outside a matrix of " +
                       std::to_string(o.rows) + " x " + std::to_string(o.columns));
    if (!std::isfinite(o.value[i])) throw ValueError("matrix_completion: entry " + place_text(o.row[i], o.column[i]) + " is not finite");
  }
}

// The places of `order` by rising key (of which there are `keys`), equal ones as they stood: a counting sort, whose time is linear.
std::vector<size_t> stable_by(const std::vector<int64_t>& key, int64_t keys, const std::vector<size_t>& order) {
  std::vector<size_t> next(static_cast<size_t>(keys) + 1), sorted(order.size());
  for (int64_t k : key) ++next[static_cast<size_t>(k) + 1];
  std::partial_sum(next.begin(), next.end(), next.begin());
  for (size_t i : order) sorted[next[static_cast<size_t>(key[i])]++] = i;
  return sorted;
}

Lines sorted_by(const std::vector<int64_t>& line, const std::vector<int64_t>& across, const std::vector<double>& value, int64_t lines,
                int64_t places) {
  std::vector<size_t> order(line.size());
  std::iota(order.begin(), order.end(), 0);
  order = stable_by(line, lines, stable_by(across, places, order));
  Lines found;
  found.start.assign(static_cast<size_t>(lines) + 1, 0);
  found.index.reserve(order.size());
  found.value.reserve(order.size());
  found.place.reserve(order.size());
  for (size_t i : order) {
    ++found.start[static_cast<size_t>(line[i]) + 1];
    found.index.push_back(across[i]);
    found.value.push_back(value[i]);
    found.place.push_back(static_cast<int64_t>(i));
  }
  std::partial_sum(found.start.begin(), found.start.end(), found.start.begin());
  return found;
}

void add_entry(SparseObservations& to, const SparseObservations& from, size_t i) {
  to.row.push_back(from.row[i]);
  to.column.push_back(from.column[i]);
  to.value.push_back(from.value[i]);
}

template <typename Keep>
SparseObservations observe_where(const Tensor& matrix, Keep&& keep) {
  if (matrix.rank() != 2) throw ShapeError("observe: takes a matrix, got " + to_string(matrix.shape()));
  std::vector<double> v = to_vector(matrix);
  SparseObservations found{matrix.size(0), matrix.size(1), {}, {}, {}};
  for (int64_t r = 0; r < found.rows; ++r)
    for (int64_t c = 0; c < found.columns; ++c) {
      auto at = static_cast<size_t>(r * found.columns + c);
      if (!keep(at)) continue;
      found.row.push_back(r);
      found.column.push_back(c);
      found.value.push_back(v[at]);
    }
  return found;
}

}  // namespace

SparseObservations observe(const Tensor& matrix, const Tensor& mask) {
  if (matrix.shape() != mask.shape())
    throw ShapeError("observe: matrix " + to_string(matrix.shape()) + " and mask " + to_string(mask.shape()) + " differ");
  std::vector<double> known = to_vector(mask);
  return observe_where(matrix, [&](size_t at) { return known[at] != 0; });
}

SparseObservations observe_share(const Tensor& matrix, double p, Generator& generator) {
  if (!(p > 0 && p <= 1)) throw ValueError("observe_share: p must lie in (0, 1], it is " + decimal(p));
  return observe_where(matrix, [&](size_t) { return generator.next_double() < p; });
}

SparseObservations observe_product(const Tensor& u, const Tensor& v, int64_t per_row, Generator& generator) {
  if (u.rank() != 2 || v.rank() != 2 || u.size(1) != v.size(1))
    throw ShapeError("observe_product: factors " + to_string(u.shape()) + " and " + to_string(v.shape()) + " must be [m, k] and [n, k]");
  int64_t rows = u.size(0), columns = v.size(0), k = u.size(1);
  if (per_row < 1 || per_row > columns)
    throw ValueError("observe_product: " + std::to_string(per_row) + " entries a row must lie in [1, " + std::to_string(columns) + "]");
  Tensor left = contiguous_data(to(u, f64)), right = contiguous_data(to(v, f64));
  SparseObservations found{rows, columns, {}, {}, {}};
  auto count = static_cast<size_t>(rows * per_row);
  found.row.reserve(count);
  found.column.reserve(count);
  found.value.reserve(count);
  const double *from_left = left.data<double>(), *from_right = right.data<double>();
  std::vector<int64_t> last(static_cast<size_t>(columns), -1);  // the row that took a column last
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t taken = 0; taken < per_row;) {
      auto c = static_cast<int64_t>(generator.next_below(static_cast<uint64_t>(columns)));
      if (last[static_cast<size_t>(c)] == r) continue;
      last[static_cast<size_t>(c)] = r;
      const double *a = from_left + r * k, *b = from_right + c * k;
      double product = 0;
      for (int64_t j = 0; j < k; ++j) product += a[j] * b[j];
      found.row.push_back(r);
      found.column.push_back(c);
      found.value.push_back(product);
      ++taken;
    }
  return found;
}

std::vector<SparseObservations> split(const SparseObservations& observed, int64_t parts, Generator& generator) {
  if (parts < 1) throw ValueError("split: needs at least 1 part, got " + std::to_string(parts));
  std::vector<SparseObservations> found(static_cast<size_t>(parts), {observed.rows, observed.columns, {}, {}, {}});
  for (size_t i = 0; i < observed.value.size(); ++i) add_entry(found[generator.next_below(found.size())], observed, i);
  return found;
}

std::pair<SparseObservations, SparseObservations> hold_out(const SparseObservations& observed, double share, Generator& generator) {
  if (!(share > 0 && share < 1)) throw ValueError("hold_out: the share must lie in (0, 1), it is " + decimal(share));
  SparseObservations kept{observed.rows, observed.columns, {}, {}, {}}, held = kept;
  for (size_t i = 0; i < observed.value.size(); ++i) add_entry(generator.next_double() < share ? held : kept, observed, i);
  return {kept, held};
}

ObservedMatrix::ObservedMatrix(const SparseObservations& o) {
  check(o);
  by_row_ = sorted_by(o.row, o.column, o.value, o.rows, o.columns);
  for (int64_t r = 0; r < o.rows; ++r)
    for (int64_t i = by_row_.start[static_cast<size_t>(r)] + 1; i < by_row_.start[static_cast<size_t>(r) + 1]; ++i)
      if (by_row_.index[static_cast<size_t>(i)] == by_row_.index[static_cast<size_t>(i) - 1])
        throw ValueError("matrix_completion: entry " + place_text(r, by_row_.index[static_cast<size_t>(i)]) + " is given twice");
  by_column_ = sorted_by(o.column, o.row, o.value, o.columns, o.rows);
  std::vector<int64_t> place(o.value.size());  // of each entry as given, in the order by rows
  for (size_t i = 0; i < place.size(); ++i) place[static_cast<size_t>(by_row_.place[i])] = static_cast<int64_t>(i);
  for (int64_t& p : by_column_.place) p = place[static_cast<size_t>(p)];
  std::iota(by_row_.place.begin(), by_row_.place.end(), 0);
  double squares = 0;
  for (double v : by_row_.value) squares += v * v;
  norm_ = std::sqrt(squares);
}

std::vector<double> residuals(const ObservedMatrix& observed, const Tensor& u, const Tensor& v) {
  const Lines& lines = observed.by_row();
  if (u.rank() != 2 || v.rank() != 2 || u.size(0) != observed.rows() || v.size(0) != observed.columns() || u.size(1) != v.size(1))
    throw ShapeError("residuals: factors " + to_string(u.shape()) + " and " + to_string(v.shape()) + " do not fit a matrix of " +
                     std::to_string(observed.rows()) + " x " + std::to_string(observed.columns()));
  int64_t k = u.size(1);
  Tensor left = contiguous_data(to(u, f64)), right = contiguous_data(to(v, f64));
  std::vector<double> found(lines.value.size());
  const double *rows = left.data<double>(), *columns = right.data<double>();  // asked for once: the loop is about |Ω| k multiply–adds
  parallel_for(lines.count(), 16, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r)
      for (auto i = static_cast<size_t>(lines.start[static_cast<size_t>(r)]);
           i < static_cast<size_t>(lines.start[static_cast<size_t>(r) + 1]); ++i) {
        const double *a = rows + r * k, *b = columns + lines.index[i] * k;
        double product = 0;
        for (int64_t j = 0; j < k; ++j) product += a[j] * b[j];
        found[i] = lines.value[i] - product;
      }
  });
  return found;
}

double residual_norm(const ObservedMatrix& observed, const Tensor& u, const Tensor& v) {
  double squares = 0;
  for (double e : residuals(observed, u, v)) squares += e * e;
  return std::sqrt(squares);
}

Tensor sparse_multiply(const Lines& lines, const std::vector<double>& values, const Tensor& x) {
  int64_t q = x.size(1);
  Tensor wide = contiguous_data(to(x, f64)), y = zeros({lines.count(), q}, f64);
  double* out = y.data<double>();
  const double* in = wide.data<double>();
  parallel_for(lines.count(), 16, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r)
      for (auto i = static_cast<size_t>(lines.start[static_cast<size_t>(r)]);
           i < static_cast<size_t>(lines.start[static_cast<size_t>(r) + 1]); ++i) {
        const double* row = in + lines.index[i] * q;
        double value = values[static_cast<size_t>(lines.place[i])];
        for (int64_t j = 0; j < q; ++j) out[r * q + j] += value * row[j];
      }
  });
  return y;
}

}  // namespace plumb::methods::matrix_completion
