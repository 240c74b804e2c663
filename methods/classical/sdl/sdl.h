// Supervised dictionary learning with covariates (Lee, Lyu & Yao 2022): r atoms that both rebuild the data and predict the labels.
#pragma once
#include <functional>
#include <vector>

#include "engine/core/generator.h"
#include "engine/core/tensor.h"

namespace plumb::methods::sdl {

/// Columns are samples. Labels are 0 … κ, of which 0 is the reference.
struct SdlData {
  Tensor x;         ///< X [p, n]
  Tensor labels;    ///< y, i64 [n]
  Tensor aux = {};  ///< X' [q, n], seen by the classifier alone: covariates, and a row of equal numbers for an intercept; undefined: none
  int64_t classes = 2;
  int64_t logits() const { return classes - 1; }  ///< κ
};
/// The same in f64 with an aux of [0, n] where there was none. Throws ShapeError where the numbers of columns differ, DTypeError for labels
/// that are not i64, IndexError for a label outside [0, classes), ValueError for one class only, a class without samples, or a number that
/// is not finite.
SdlData checked(const SdlData& data);

/// What the classifier reads: filter (SDL-W): a = βᵀ Wᵀ x + Γᵀ x'. feature (SDL-H): a = βᵀ h + Γᵀ x', where new points need a code h first.
enum class Kind : uint8_t { filter, feature };

struct SdlModel {
  Kind kind = Kind::filter;
  Tensor w;      ///< dictionary [p, r], Frobenius norm 1
  Tensor h;      ///< codes of the training points [r, n]
  Tensor beta;   ///< [r, κ]
  Tensor gamma;  ///< [q, κ]
};

/// Logits [n, κ] of training points (feature: by their codes h).
Tensor training_logits(const SdlModel& model, const SdlData& data);
/// F = Σ ℓ(y, a) + ξ ‖X − W H‖² + ν (‖A‖² + ‖Γ‖²), with ℓ(y, a) = log(1 + Σ exp a_c) − a_y (a_0 = 0) and A = W β (filter) or βᵀ H
/// (feature): made of operations, so it has gradients in all four.
Tensor objective(const SdlModel& model, const SdlData& data, double xi, double nu = 0);

// -- lifted to one matrix of rank r, in which F is convex ---------------------------------------------------------

/// θ = [A, B] [p, κ + n] (filter) or [A; B] [κ + p, n] (feature), B = W H.
Tensor lift(const SdlModel& model);
/// W, H and β from the r leading singular triples U Σ Vᵀ of θ: both sides take √Σ, then W has norm 1. Throws ValueError unless
/// 1 ≤ r ≤ both sides of θ.
SdlModel unlift(const Tensor& theta, const Tensor& gamma, Kind kind, int64_t rank, int64_t logits);

struct Lifted {
  double value = 0;
  Tensor theta, gamma;  ///< gradients
};
/// F at θ and Γ, with its gradients: filter ∇A = X (P − Y) + 2 ν A, feature ∇A = (P − Y)ᵀ + 2 ν A; ∇B = 2 ξ (B − X); ∇Γ = X' (P − Y) + 2 ν
/// Γ.
Lifted lifted_objective(const Tensor& theta, const Tensor& gamma, const SdlData& data, Kind kind, double xi, double nu);

/// L = max(c λ_max + 2 ν, 2 ξ), λ_max that of [X; X'] [X; X']ᵀ (feature: 1 + ‖X'‖₂²), c = ¼ for two classes, ½ for more; μ = 2 min(ν, ξ).
struct Curvature {
  double smooth = 0, convex = 0;
};
/// Both constants of the lifted objective of `data`.
Curvature curvature(const SdlData& data, Kind kind, double xi, double nu);
/// 2 max(|1 − τ μ|, |1 − τ L|): below 1, which takes 1 / 2μ < τ < 3 / 2L, every step brings the error down by that factor. The 2 is what
/// projecting to a set that is not convex costs.
double contraction(double tau, const Curvature& c);
/// The largest singular value, by power iteration on the smaller Gram matrix.
double spectral_norm(const Tensor& x);

struct LpgdOptions {
  int64_t rank = 3;
  Kind kind = Kind::filter;
  double xi = 1, nu = 0;
  double tau = 0;    ///< step; 0: 1 / L
  double decay = 0;  ///< τ_k = τ (1 + k / 10)^(−decay): the released code has τ = 0.01 · 10^(−decay)
  int64_t iterations = 300;
  SdlModel start = {};                                     ///< undefined w: the leading r singular vectors of X, β = Γ = 0
  std::function<Tensor(const Tensor& theta)> convex = {};  ///< a projection on a convex set, done before the one to rank r
  std::function<void(int64_t iteration, const Tensor& theta, const Tensor& gamma)> watch = {};
};
struct Lpgd {
  SdlModel model;
  Tensor theta, gamma;
  std::vector<double> loss;  ///< F after every step
};
/// Low-rank projected gradient descent: θ ← Π_r(θ − τ ∇F), Γ ← Γ − τ ∇F. X should have spectral norm 1 and an intercept's row be 1 / √n:
/// else Π_r keeps B's large directions and drops A's. Throws as `checked`; ValueError for r outside [1, min(p, n)], a negative ξ or ν, τ or
/// iterations out of range.
Lpgd sdl_lpgd(const SdlData& data, const LpgdOptions& options);

// -- block by block --------------------------------------------------------------------------------------------------

struct BcdOptions {
  int64_t rank = 3;
  Kind kind = Kind::filter;
  double xi = 1, nu = 0;
  int64_t iterations = 100, inner = 5;  ///< inner: projected gradient steps of the block that both terms share
  bool nonnegative = false;             ///< W and H ≥ 0
  bool supervised = true;               ///< false: W and H as if there were no labels (PCA or NMF), then β and Γ once
  double trust = 0, trust_decay = 0.5;  ///< if > 0 the gradient block moves by at most r_k = trust · k^(−trust_decay) / log(k + 1)
  double noise = 1e-3;                  ///< of the start, relative: leading singular vectors of X and so much at random
  SdlModel start = {};
  Generator* generator = nullptr;
  std::function<void(int64_t iteration, const SdlModel& model)> watch = {};
};
struct Bcd {
  SdlModel model;
  std::vector<double> loss;  ///< F after every block, three an iteration
};
/// Block coordinate descent on F: the block that both terms share by gradient steps of 1 / Lip, the other by least squares, β and Γ by
/// logistic regression. F never grows: W is kept at norm 1, and H and β are rescaled with it. Throws as sdl_lpgd.
Bcd sdl_bcd(const SdlData& data, const BcdOptions& options);

/// All factors at once by L-BFGS on F from `start`, to a gradient of `tolerance`: what the others are held against.
SdlModel sdl_joint(const SdlData& data, const SdlModel& start, double xi, double nu, int iterations = 2000, double tolerance = 1e-8);
/// W the leading left singular vectors of X (uncentred), H = Wᵀ X, both scaled to ‖W‖ = 1; β = Γ = 0.
SdlModel principal_start(const SdlData& data, int64_t rank, Kind kind);
/// The model with β and Γ that are best for its W and H.
SdlModel refit_classifier(const SdlModel& model, const SdlData& data, double nu = 0);

// -- new points --------------------------------------------------------------------------------------------------------

/// Codes argmin ‖x − W h‖² of columns [p, m], by least squares, or with h ≥ 0.
Tensor code(const Tensor& w, const Tensor& x, bool nonnegative = false);
/// Logits [m, κ] of new columns: the filter model directly, the feature model by codes that know no labels.
Tensor predict_logits(const SdlModel& model, const Tensor& x, const Tensor& aux = {}, bool nonnegative = false);
/// P(y = 1 … κ) [m, κ].
Tensor predict(const SdlModel& model, const Tensor& x, const Tensor& aux = {}, bool nonnegative = false);
/// Feature model: for every candidate label the code that is best for both terms, argmin_h ℓ(label, βᵀ h + Γᵀ x') + ξ ‖x − W h‖², and the
/// label whose least is the least: class numbers [m]. Throws ValueError for a filter model.
Tensor predict_exhaustive(const SdlModel& model, const Tensor& x, const Tensor& aux, double xi, int64_t steps = 200);
/// ‖X − W code(W, X)‖² / ‖X‖².
double reconstruction_error(const Tensor& w, const Tensor& x, bool nonnegative = false);

}  // namespace plumb::methods::sdl
