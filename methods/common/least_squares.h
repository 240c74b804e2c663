// Least squares min ‖A x − b‖² in f64: exact, by conjugate gradients, by Richardson's iteration, and with preconditioners made from random
// sketches. For one regression (tensors) and for thousands of small ones (pointers; see SmallRegression).
#pragma once
#include <cstdint>
#include <vector>

#include "engine/core/generator.h"
#include "engine/core/tensor.h"

namespace plumb::methods {

// -- one regression ------------------------------------------------------------------------------------------
// A [d, k], b [d], x [k]; any floating type is taken as f64. All throw ShapeError for sizes that do not fit.

/// The minimiser, by Householder's QR. Throws ValueError if A's columns are linearly dependent (d < k included), unless `minimum_norm`
/// asks for the shortest of the minimisers.
Tensor lsq_exact(const Tensor& a, const Tensor& b, bool minimum_norm = false);
/// `steps` steps of conjugate gradients on the normal equations (CGLS; Hestenes & Stiefel 1952) from x0, preconditioned by an upper
/// triangular R (undefined: none): on A R⁻¹ y = b, x = R⁻¹ y. Exact after k steps but for rounding. Stops earlier where the gradient is 0
/// but for rounding, so that a start at the solution stays there.
Tensor lsq_cgls(const Tensor& a, const Tensor& b, const Tensor& x0, int64_t steps, const Tensor& r = {});
/// x ← x + η R⁻¹ R⁻ᵀ Aᵀ (b − A x), `steps` times: converges iff η s² < 2 for all singular values s of A R⁻¹.
Tensor lsq_richardson(const Tensor& a, const Tensor& b, const Tensor& x0, int64_t steps, const Tensor& r, double eta);
/// The fastest η for that: 2 / (s_max² + s_min²).
double richardson_step(const Tensor& a, const Tensor& r);

// -- sketches ------------------------------------------------------------------------------------------------

/// S [s, d] with one ±1 in each column, in a random row (Charikar, Chen & Farach-Colton 2002): S A costs one pass over A.
class CountSketch {
 public:
  /// Throws ValueError unless rows and of are at least 1.
  CountSketch(int64_t rows, int64_t of, Generator& generator);
  Tensor operator()(const Tensor& a) const;  ///< S a, of a [d] or [d, c]
  Tensor matrix() const;                     ///< S [s, d]

 private:
  int64_t rows_;
  std::vector<int64_t> row_;
  std::vector<double> sign_;
};

/// The subsampled randomised Hadamard transform √(D / s) P H D± (Ailon & Chazelle 2006), D the power of two from d on, H orthonormal, D±
/// random signs, P `s` random rows without repetition. Every singular value of S A is near A's for s of order k log k, however A looks.
class HadamardSketch {
 public:
  /// Throws ValueError unless 1 ≤ rows ≤ D.
  HadamardSketch(int64_t rows, int64_t of, Generator& generator);
  Tensor operator()(const Tensor& a) const;
  Tensor matrix() const;

 private:
  int64_t of_, padded_;
  std::vector<int64_t> kept_;
  std::vector<double> sign_;
};

/// x ← H x / √n with H_ij = (−1)^{popcount(i & j)}: the Walsh–Hadamard transform in n log n additions, its own inverse. n a power of two.
void fast_walsh_hadamard(double* x, int64_t n);

struct SketchedSystem {
  Tensor r;   ///< [k, k] upper triangular with SA = Q R: A R⁻¹ is nearly orthonormal if S is a good sketch
  Tensor x0;  ///< [k], the minimiser of ‖S A x − S b‖
};
/// From SA [s, k] and Sb [s]. Throws ValueError where SA's columns are linearly dependent.
SketchedSystem sketch_preconditioner(const Tensor& sa, const Tensor& sb);

// -- thousands of small ones -----------------------------------------------------------------------------------

/// min ‖A x − b‖² with A row-major. Solvers count the multiply–adds that they do, and keep their scratch memory.
struct SmallRegression {
  const double* a;
  const double* b;
  int64_t rows, columns;
};

class SmallSolver {
 public:
  int64_t multiply_adds = 0;

  /// Normal equations by Cholesky: d k (k + 1) / 2 + k³/6 of the largest terms. Falls back to QR where rounding spoils them.
  /// False if the columns are linearly dependent.
  bool exact(const SmallRegression& p, double* x);
  /// By QR of [A b].
  bool exact_qr(const SmallRegression& p, double* x);
  /// As lsq_cgls, in place; r row-major or null. Returns the steps made.
  int64_t cgls(const SmallRegression& p, double* x, int64_t steps, const double* r = nullptr);
  /// As lsq_richardson. With `checked`, a step that makes the preconditioned gradient longer is taken back and η halved.
  void richardson(const SmallRegression& p, double* x, int64_t steps, const double* r, double eta, bool checked);
  /// R [k, k] of a CountSketch with `sketch_rows` rows drawn from the generator, and x of sketch-and-solve. False if the sketch lost rank.
  bool sketch(const SmallRegression& p, int64_t sketch_rows, Generator& generator, double* r, double* x);

 private:
  void residual(const SmallRegression& p, const double* x);
  double gradient(const SmallRegression& p, const double* r);
  void add_preconditioned(int64_t k, const double* r, const double* direction, double step, double* x);
  std::vector<double> residual_, image_, gradient_, direction_, moved_, square_, tall_, before_;
};

namespace detail {
/// Householder's QR of m [rows, columns] (row-major, rows ≥ pivots) in place, over the first `pivots` columns: their R is left above the
/// diagonal, and further columns become Qᵀ times themselves. False if a pivot is 0 but for rounding. Adds to `multiply_adds`.
bool householder(double* m, int64_t rows, int64_t columns, int64_t pivots, int64_t& multiply_adds);
}  // namespace detail

}  // namespace plumb::methods
