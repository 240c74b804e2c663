// Soft equivariance under several symmetries: a penalty on how far weights are from those that commute with a group, strengths that follow
// from how well each group is satisfied, and how equivariant a function is.
#pragma once
#include <functional>
#include <vector>

#include "methods/experiment.h"
#include "models/equivariant/representation.h"

namespace plumb::methods::soft_equivariance {

// Kim, Lee, Yang & Lee, "Regularizing Towards Soft Equivariance Under Mixed Symmetries", ICML 2023 (PER).
using equivariant::MatrixGroup;
using equivariant::Projector;
using equivariant::Representation;

/// A layer x → W x + b between two representations; the bias may be undefined.
struct LayerWeights {
  Tensor weight, bias;
  Representation out, in;
};

/// R = Σ_layers ½ ‖W − P W‖² + ½ ‖b − P b‖² (without the biases unless `biases`), P the projection onto what commutes with the group. Since
/// P is orthogonal its gradient is W − P W. Throws ValueError for no layers, ShapeError where a representation does not fit its layer.
Tensor per_penalty(const std::vector<LayerWeights>& layers, const Projector& group, bool biases = true);
/// Σ_i λ_i R_i over groups with λ_i ≠ 0; `values`, if given, receives every R_i that was computed, 0 for the others. Undefined where all
/// λ_i are 0. Throws ValueError for no groups, another number of strengths, or one that is negative or NaN.
Tensor per_regularizer(const std::vector<LayerWeights>& layers, const std::vector<Projector>& groups, const std::vector<double>& strengths,
                       std::vector<double>* values = nullptr, bool biases = true);

struct TunerOptions {
  int64_t adjust_at = 150;    ///< the epoch after which strengths are changed, once
  int64_t window = 100;       ///< epochs before it in which penalties are watched
  int64_t warmup = 50;        ///< updates of which nothing is taken
  double kappa = 2;           ///< κ
  bool whole_vector = false;  ///< as in the released code: all values are replaced whenever any of them is a new minimum
  void check() const;
};
/// λ_i ← λ_i / (r_i / min_{j: λ_j ≠ 0} r_j)^κ, r the smallest penalties of the window: the group that is satisfied best keeps its strength,
/// the others are relaxed.
class EquivarianceTuner {
 public:
  /// Throws ValueError for no groups, and for options out of range.
  EquivarianceTuner(size_t groups, TunerOptions options = {});
  /// Whether the penalties of this epoch (from 1 on) and this update (from 0 on) count.
  bool watches(int64_t epoch, int64_t update) const;
  /// Throws ValueError for another number of penalties, or one that is negative or NaN.
  void track(const std::vector<double>& penalties);
  const std::vector<double>& smallest() const { return smallest_; }
  /// The new strengths. Penalties count as at least 1e-12 (1 + squared_norm), so that one of exactly 0 divides nothing by 0. Strengths that
  /// are all 0 stay so. Throws ValueError for another number of strengths, or if nothing was tracked.
  std::vector<double> adjust(const std::vector<double>& strengths, double squared_norm = 0) const;

 private:
  TunerOptions options_;
  size_t groups_;
  std::vector<double> smallest_;
};

using Function = std::function<Tensor(const Tensor& x)>;
/// mean over elements g and rows x of ‖f(ρ_in(g) x) − ρ_out(g) f(x)‖ / (‖f(ρ_in(g) x)‖ + ‖ρ_out(g) f(x)‖), from 0 to 1 (0 where both are
/// 0). x [n, size of in], f(x) [n, size of out]. Throws ValueError for no elements or rows, ShapeError for other sizes.
double equivariance_error(const Function& f, const Representation& in, const Representation& out, const std::vector<Tensor>& elements,
                          const Tensor& x);
/// The same over `elements` random elements of the group.
double equivariance_error(const Function& f, const Representation& in, const Representation& out, const MatrixGroup& group, const Tensor& x,
                          int64_t elements, Generator& generator);

Experiment experiment();

}  // namespace plumb::methods::soft_equivariance
