// Alternating minimisation: the spectral start, one turn over all lines, and the loop.
#include "methods/classical/matrix_completion/matrix_completion.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <numeric>
#include <optional>
#include <string>

#include "engine/core/parallel.h"
#include "methods/classical/matrix_completion/truncated_svd.h"
#include "methods/common/least_squares.h"
#include "ops/elementary.h"
#include "ops/linalg.h"
#include "ops/matmul.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::methods::matrix_completion {
namespace {

void check_lines(const char* what, const Lines& lines, int64_t k) {
  for (int64_t i = 0; i < lines.count(); ++i) {
    std::string name = std::string("matrix_completion: ") + what + " " + std::to_string(i);
    if (lines.length(i) == 0) throw ValueError(name + " has no known entry");
    if (lines.length(i) < k)
      throw ValueError(name + " has " + std::to_string(lines.length(i)) + " known entries, fewer than the rank " + std::to_string(k) +
                       "; ask for minimum_norm or a lower rank");
  }
}

int64_t short_lines(const Lines& lines, int64_t k) {
  int64_t count = 0;
  for (int64_t i = 0; i < lines.count(); ++i) count += lines.length(i) < k ? 1 : 0;
  return count;
}

void check_inner(const InnerSolver& inner) {
  bool iterates = inner.kind != Solver::exact && inner.kind != Solver::sketch_and_solve;
  if (iterates && inner.steps < 1)
    throw ValueError("matrix_completion: the inner solver needs at least 1 step, got " + std::to_string(inner.steps));
  if (!(inner.noise >= 0)) throw ValueError("matrix_completion: noise must not be negative, it is " + std::to_string(inner.noise));
}

void check_rank(const char* op, int64_t k, int64_t rows, int64_t columns) {
  if (k < 1 || k > std::min(rows, columns))
    throw ValueError(std::string(op) + ": the rank " + std::to_string(k) + " must lie in [1, " + std::to_string(std::min(rows, columns)) +
                     "] for a matrix of " + std::to_string(rows) + " x " + std::to_string(columns));
}

// x += noise · ‖x‖ · a random direction.
void disturb(double* x, int64_t k, double noise, Generator& generator) {
  std::vector<double> direction;
  double squares = 0, length = 0;
  for (int64_t i = 0; i < k; ++i) {
    double r = std::sqrt(-2 * std::log(1 - generator.next_double()));
    direction.push_back(r * std::cos(2 * std::numbers::pi * generator.next_double()));
    squares += direction.back() * direction.back();
    length += x[i] * x[i];
  }
  for (int64_t i = 0; i < k; ++i) x[i] += noise * std::sqrt(length / squares) * direction[static_cast<size_t>(i)];
}

// Singular values of A R⁻¹ lie about in [1 / (1 + ε), 1 / (1 − ε)], ε = √(k / s): 2 / (their largest² + smallest²).
double expected_step(int64_t k, int64_t sketch_rows) {
  double e = std::min(std::sqrt(static_cast<double>(k) / static_cast<double>(sketch_rows)), 0.9);
  return 2 / (1 / ((1 + e) * (1 + e)) + 1 / ((1 - e) * (1 - e)));
}

// Regressions of the lines of one range: memory is kept from one to the next.
class LineSolver {
 public:
  LineSolver(const InnerSolver& inner, int64_t k)
      : inner_(inner), k_(k), sketch_rows_(inner.sketch_rows > 0 ? inner.sketch_rows : 4 * k), r_(static_cast<size_t>(k * k)) {}

  // x holds the start. False if the line alone does not determine x.
  bool solve(const SmallRegression& p, double* x, Generator& generator) {
    if (p.rows < k_) return false;
    bool solved = inner_.kind == Solver::exact  ? solver_.exact(p, x)
                  : inner_.kind == Solver::cgls ? solver_.cgls(p, x, inner_.steps) >= 0
                                                : sketched(p, x, generator);
    if (solved && inner_.noise > 0) disturb(x, k_, inner_.noise, generator);
    return solved;
  }
  int64_t take_multiply_adds() { return std::exchange(solver_.multiply_adds, 0); }

 private:
  bool sketched(const SmallRegression& p, double* x, Generator& generator) {
    if (!solver_.sketch(p, sketch_rows_, generator, r_.data(), x)) return solver_.exact(p, x);  // a sketch that lost rank
    if (inner_.kind == Solver::sketched_cgls) solver_.cgls(p, x, inner_.steps, r_.data());
    if (inner_.kind == Solver::sketched_richardson) {
      bool given = inner_.richardson_step > 0;
      solver_.richardson(p, x, inner_.steps, r_.data(), given ? inner_.richardson_step : expected_step(k_, sketch_rows_), !given);
    }
    return true;
  }

  const InnerSolver& inner_;
  int64_t k_, sketch_rows_;
  std::vector<double> r_;
  SmallSolver solver_;
};

// The shortest solution of a line with too few entries, which a ridge of rounding's size keeps stable.
void shortest(const std::vector<double>& a, const double* b, int64_t rows, int64_t k, double* x) {
  std::fill(x, x + k, 0.0);
  if (rows == 0) return;
  Tensor solution = contiguous_data(lstsq(from_vector(a, {rows, k}), from_vector(std::vector<double>(b, b + rows)), 1e-12));
  std::copy(solution.data<double>(), solution.data<double>() + k, x);
}

struct Turns {
  std::vector<ObservedMatrix> parts;  // one, or a part for the start and one for each half-step
  const ObservedMatrix& at(size_t i) const { return parts.size() == 1 ? parts[0] : parts[i]; }
};

Turns turns_of(const SparseObservations& observed, int64_t rounds, const AltMinOptions& o, Generator& generator) {
  Turns turns;
  if (!o.sample_splitting) {
    turns.parts.emplace_back(observed);
    return turns;
  }
  for (const SparseObservations& part : split(observed, 2 * rounds + 1, generator)) turns.parts.emplace_back(part);
  return turns;
}

Tensor clipped_start(const ObservedMatrix& observed, int64_t k, double p, double clip, double tolerance, Generator* generator,
                     int64_t& multiply_adds) {
  TruncatedSvd leading = truncated_svd({observed, observed.by_row().value, 1 / p}, k, {.tolerance = tolerance, .generator = generator});
  multiply_adds += leading.multiply_adds;
  double limit = 2 * clip * std::sqrt(static_cast<double>(k) / static_cast<double>(observed.rows()));
  Tensor kept = to(sum(square(leading.u), {1}, true) <= limit * limit, f64);
  if (sum(kept).item() < static_cast<double>(k))
    throw ValueError("spectral_init: clipping at " + decimal(limit) + " leaves fewer than " + std::to_string(k) +
                     " rows; the matrix is too coherent");
  return qr(leading.u * kept).q;
}

}  // namespace

Tensor spectral_init(const ObservedMatrix& observed, int64_t k, double p, double clip, Generator* generator) {
  check_rank("spectral_init", k, observed.rows(), observed.columns());
  if (!(p > 0 && p <= 1)) throw ValueError("spectral_init: p must lie in (0, 1], it is " + decimal(p));
  if (!(clip > 0)) throw ValueError("spectral_init: clip must be positive, it is " + decimal(clip));
  int64_t multiply_adds = 0;
  return clipped_start(observed, k, p, clip, 1e-9, generator, multiply_adds);
}

Tensor solve_lines(const Lines& lines, const Tensor& fixed, const Tensor& start, const InnerSolver& inner, bool minimum_norm,
                   uint64_t stream, int64_t& multiply_adds) {
  int64_t k = fixed.size(1);
  Tensor basis = contiguous_data(fixed), solution = zeros({lines.count(), k}, f64);
  if (start.defined() && inner.kind == Solver::cgls && inner.warm_start) copy_data(start, solution);
  const double* rows = basis.data<double>();
  double* x = solution.data<double>();
  std::vector<int64_t> work(static_cast<size_t>(lines.count()));
  parallel_for(lines.count(), 8, [&](int64_t begin, int64_t end) {
    LineSolver solver(inner, k);
    std::vector<double> a;
    for (int64_t line = begin; line < end; ++line) {
      auto from = lines.start[static_cast<size_t>(line)], to = lines.start[static_cast<size_t>(line) + 1];
      a.resize(static_cast<size_t>((to - from) * k));
      double* place = a.data();
      for (int64_t i = from; i < to; ++i, place += k) {
        const double* row = rows + lines.index[static_cast<size_t>(i)] * k;
        for (int64_t j = 0; j < k; ++j) place[j] = row[j];
      }
      auto words = philox(stream, static_cast<uint64_t>(line));
      Generator generator(uint64_t{words[0]} << 32 | words[1]);
      const double* b = lines.value.data() + from;
      if (!solver.solve({a.data(), b, to - from, k}, x + line * k, generator)) {
        if (!minimum_norm)
          throw ValueError("matrix_completion: the regression of line " + std::to_string(line) + " with " + std::to_string(to - from) +
                           " known entries is singular; ask for minimum_norm or a lower rank");
        shortest(a, b, to - from, k, x + line * k);
      }
      work[static_cast<size_t>(line)] = solver.take_multiply_adds();
    }
  });
  multiply_adds = std::accumulate(work.begin(), work.end(), multiply_adds);
  return solution;
}

Balanced orthonormalize(const Tensor& solved, const Tensor& other) {
  auto [q, r] = qr(solved);
  return {q, matmul(other, mT(r))};
}

Completion alternating_minimization(const SparseObservations& observed, int64_t k, int64_t rounds, const InnerSolver& inner,
                                    const AltMinOptions& o) {
  check_rank("matrix_completion", k, observed.rows, observed.columns);
  if (rounds < 1) throw ValueError("matrix_completion: needs at least 1 round, got " + std::to_string(rounds));
  check_inner(inner);
  Generator& generator = o.generator ? *o.generator : default_generator();
  Turns turns = turns_of(observed, rounds, o, generator);
  std::optional<ObservedMatrix> joined;  // only where turns see parts: entries are the largest thing here
  if (o.sample_splitting) joined.emplace(observed);
  const ObservedMatrix& all = joined ? *joined : turns.at(0);
  Completion found;
  for (const ObservedMatrix& part : turns.parts) {
    if (!o.minimum_norm) check_lines("row", part.by_row(), k), check_lines("column", part.by_column(), k);
    found.underdetermined += short_lines(part.by_row(), k) + short_lines(part.by_column(), k);
  }
  uint64_t stream = generator.next_u64();
  if (!(o.clip > 0)) throw ValueError("matrix_completion: clip must be positive, it is " + decimal(o.clip));
  Tensor u = clipped_start(turns.at(0), k, turns.at(0).density(), o.clip, kRoughStart, &generator, found.start_multiply_adds), v, start;
  int64_t m = observed.rows, n = observed.columns;
  for (int64_t half = 1; half <= 2 * rounds; ++half) {
    const ObservedMatrix& part = turns.at(static_cast<size_t>(half));
    bool columns = half % 2 == 1;
    Tensor solved = solve_lines(columns ? part.by_column() : part.by_row(), columns ? u : v, start, inner, o.minimum_norm,
                                stream + static_cast<uint64_t>(half), found.multiply_adds);
    (columns ? v : u) = solved;
    found.residual.push_back(residual_norm(all, u, v) / all.norm());
    if (o.watch) o.watch(half, u, v);
    if (!columns && (half == 2 * rounds || found.residual.back() <= o.tolerance)) break;
    Balanced next = orthonormalize(solved, columns ? u : v);
    (columns ? v : u) = next.orthonormal;
    start = next.start;
    found.multiply_adds += 2 * (columns ? n : m) * k * k + (columns ? m : n) * k * (k + 1) / 2;
  }
  found.u = u;
  found.v = v;
  return found;
}

double relative_error(const Tensor& u, const Tensor& v, const Tensor& matrix) {
  Tensor wide = to(matrix, f64);
  return std::sqrt(sum(square(matmul(u, mT(v)) - wide)).item() / sum(square(wide)).item());
}

}  // namespace plumb::methods::matrix_completion
