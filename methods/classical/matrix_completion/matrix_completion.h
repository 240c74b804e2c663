// Matrix completion by robust alternating minimisation (Gu, Song, Yin & Zhang, ICLR 2024; the frame is that of Jain, Netrapalli &
// Sanghavi, STOC 2013): a matrix of rank k is found from some of its entries as U Vᵀ by turns of small least squares, which need to be
// solved only roughly.
#pragma once
#include <functional>

#include "methods/classical/matrix_completion/observations.h"

namespace plumb::methods::matrix_completion {

/// How the regression of one row or column, min ‖A x − b‖ with A [d, k] the rows of the other factor, is solved.
enum class Solver : uint8_t {
  exact,                ///< normal equations: d k² / 2 + k³ / 6
  cgls,                 ///< `steps` steps of conjugate gradients: 2 d k each
  sketch_and_solve,     ///< R and x₀ from a CountSketch of A, no more: d k + 2 s k²
  sketched_cgls,        ///< from there, `steps` steps of conjugate gradients preconditioned by R
  sketched_richardson,  ///< from there, `steps` steps of x ← x + η R⁻¹ R⁻ᵀ Aᵀ (b − A x), the form that the paper analyses
};

struct InnerSolver {
  Solver kind = Solver::cgls;
  int64_t steps = 2;
  int64_t sketch_rows = 0;  ///< 0: 4 k
  /// cgls starts from the factor of the last turn, rotated as the other one was (else from 0). Since the other factor is orthonormal and
  /// its rows are a random sample, AᵀA ≈ p I, and two steps are enough.
  bool warm_start = true;
  /// η; 0: as the expected distortion √(k / s) of the sketch allows, and halved where a step made things worse.
  double richardson_step = 0;
  double noise = 0;  ///< relative length of a random vector that is added to every solution: how robust are the turns?
};

struct AltMinOptions {
  double clip = 2;                ///< μ: rows of the first U longer than 2 μ √(k / m) are set to 0; infinity: none
  bool sample_splitting = false;  ///< every turn sees one of 2 T + 1 random parts of the entries, as the theory asks for; else all of them
  bool minimum_norm = false;      ///< lines with fewer than k entries take the shortest solution; else they are an error
  double tolerance = 0;           ///< stops when ‖P_Ω(M − U Vᵀ)‖ ≤ tolerance · ‖P_Ω(M)‖
  Generator* generator = nullptr;
  /// Called after every half-step (from 1) with factors whose product is the completion so far.
  std::function<void(int64_t half_step, const Tensor& u, const Tensor& v)> watch = {};
};

struct Completion {
  Tensor u;                         ///< [m, k], carries the scale
  Tensor v;                         ///< [n, k], orthonormal columns: M ≈ u vᵀ
  std::vector<double> residual;     ///< ‖P_Ω(M − U Vᵀ)‖ / ‖P_Ω(M)‖ after every half-step
  int64_t multiply_adds = 0;        ///< of the regressions and of keeping factors orthonormal
  int64_t start_multiply_adds = 0;  ///< of the spectral start
  int64_t underdetermined = 0;      ///< lines with fewer than k entries
};

/// The k leading left singular vectors of P_Ω(M) / p, [m, k], with rows longer than 2 `clip` √(k / m) set to 0 and made orthonormal again.
/// Throws ValueError for p outside (0, 1], k outside [1, min(m, n)], clip ≤ 0, or where clipping leaves less than k dimensions.
Tensor spectral_init(const ObservedMatrix& observed, int64_t k, double p, double clip = 2, Generator* generator = nullptr);

/// `rounds` (T) times V, then U, by the regressions of all columns, then of all rows. A line without entries throws ValueError, one with
/// fewer than k as well unless `minimum_norm`; so does k outside [1, min(m, n)] or rounds < 1. Bit-identical for any number of threads.
Completion alternating_minimization(const SparseObservations& observed, int64_t k, int64_t rounds, const InnerSolver& inner = {},
                                    const AltMinOptions& options = {});

/// One half-step: for each line i of `lines` the x_i of min ‖P (line − fixed x_i)‖, from `start` (undefined: 0): [lines, k]. `fixed`
/// [across, k] has orthonormal columns. Adds to `multiply_adds`; `stream` names the random numbers of this half-step.
Tensor solve_lines(const Lines& lines, const Tensor& fixed, const Tensor& start, const InnerSolver& inner, bool minimum_norm,
                   uint64_t stream, int64_t& multiply_adds);

/// Warm starts: (U, V) with the same product U Vᵀ and V orthonormal: V = Q R becomes Q, U becomes U Rᵀ.
struct Balanced {
  Tensor orthonormal, start;
};
Balanced orthonormalize(const Tensor& solved, const Tensor& other);

/// ‖U Vᵀ − M‖_F / ‖M‖_F for a known M.
double relative_error(const Tensor& u, const Tensor& v, const Tensor& matrix);

}  // namespace plumb::methods::matrix_completion
