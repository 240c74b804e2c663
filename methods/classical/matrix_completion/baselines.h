// What alternating minimisation is compared with: gradient descent on both factors, singular value projection, soft-impute.
#pragma once
#include <functional>

#include "methods/classical/matrix_completion/observations.h"

namespace plumb::methods::matrix_completion {

/// M ≈ u vᵀ, u [m, k], v [n, k].
struct Factors {
  Tensor u, v;
  int64_t multiply_adds = 0;        ///< all of them
  int64_t start_multiply_adds = 0;  ///< of those, what came before the first iteration
};
using Watch = std::function<void(int64_t iteration, const Tensor& u, const Tensor& v)>;

/// The best approximation of rank k of P_Ω(M) / p, p the share of known entries: where all of them start. Throws ValueError unless
/// 1 ≤ k ≤ min(m, n), as do the others.
Factors spectral_completion(const ObservedMatrix& observed, int64_t k, Generator* generator = nullptr);

struct DescentOptions {
  int64_t iterations = 200;
  double step = 0.7;     ///< in units of 1 / σ₁ of the start
  double balance = 0.5;  ///< λ; 0: none
  Watch watch = {};
  Generator* generator = nullptr;
};
/// Gradient descent on ‖P_Ω(U Vᵀ − M)‖² / 2p + λ ‖UᵀU − VᵀV‖² / 4 from the spectral start with equal shares of its singular values (Tu et
/// al. 2016; Zheng & Lafferty 2016). Throws ValueError for a step ≤ 0 or a negative balance.
Factors gradient_descent(const ObservedMatrix& observed, int64_t k, const DescentOptions& options = {});

struct ProjectionOptions {
  int64_t iterations = 50;
  double step = 1;  ///< in units of 1 / p
  Watch watch = {};
  Generator* generator = nullptr;
};
/// X ← Π_k(X + step / p · P_Ω(M − X)) from 0, Π_k the projection to rank k (Jain, Meka & Dhillon 2010), by a few warm subspace iterations.
Factors singular_value_projection(const ObservedMatrix& observed, int64_t k, const ProjectionOptions& options = {});

struct SoftImputeOptions {
  int64_t iterations = 20;  ///< for each λ
  int64_t thresholds = 12;  ///< λ = σ₁ 2⁻¹, σ₁ 2⁻², …: from each the next is started
  int64_t most_rank = 0;    ///< of the completion; 0: 3 k
  double held_out = 0.1;    ///< share of the entries that choose λ, put back afterwards; 0: the last λ
  Watch watch = {};
  Generator* generator = nullptr;
};
/// X ← S_λ(P_Ω(M) + P_Ω⊥(X)), S_λ shrinking singular values by λ: the nuclear norm's least squares (Mazumder, Hastie & Tibshirani 2010).
/// k says only what most_rank is if not given.
Factors soft_impute(const SparseObservations& observed, int64_t k, const SoftImputeOptions& options = {});

}  // namespace plumb::methods::matrix_completion
