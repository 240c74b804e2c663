// Virtual outlier regularisation (Huang et al., ICLR 2024, after NPOS: Tao et al., ICLR 2023): points made around the boundary of a task's
// features are to get a high energy from the head, the features themselves a low one, so that heads of different tasks claim less space.
#pragma once
#include <cstdint>

#include "engine/core/generator.h"
#include "engine/core/tensor.h"

namespace plumb::methods::ovor {

enum class Center : uint8_t {
  boundary,  ///< around boundary points, as the paper says
  origin,    ///< around 0, as the released code does: it finds the boundary and does not use it
};

struct OutlierOptions {
  int64_t neighbour = 50;       ///< K: a point is as far out as its K-th nearest feature is away
  int64_t boundary = 50;        ///< n_b: boundary points, at most all
  int64_t offsets = 600;        ///< n_s: candidates around each
  int64_t keep_per_class = 40;  ///< n_out
  double sigma = 0.1;           ///< of the offsets
  Center center = Center::boundary;
  bool raw = false;  ///< candidates are compared with the features as they are, not by direction, as released
  /// Throws ValueError for a number below 1 or a sigma that is not positive.
  void check() const;
};

/// d_K(i): the K-th smallest squared distance of ẑ_i = z_i / ‖z_i‖ to the directions of all features, itself counted first as the released
/// search does (or left out, with `count_self` false). features [n, d] → f64 [n]. Throws ValueError for K above the number of points.
Tensor boundary_scores(const Tensor& features, int64_t neighbour, bool count_self = true);

struct VirtualOutliers {
  Tensor rows;      ///< [m, d] in the features' type, farthest out first
  Tensor score;     ///< their d_K, f64 [m]
  Tensor boundary;  ///< i64 [n_b]: the features that are farthest out, in that order
};
/// The min(n_b n_s, keep_per_class · classes) candidates z_b + σ ε_j, ε_j ~ N(0, I), b over the boundary and the same ε_j for each b, whose
/// direction (or, raw, which themselves) have the largest d_K to the features' directions; of equals the lower b, then the lower j. Throws
/// ShapeError unless features are a matrix, ValueError for no classes, K above the number of features, or options out of range.
VirtualOutliers sample_outliers(const Tensor& features, int64_t classes, const OutlierOptions& options, Generator& generator);

struct Margins {
  double in = -15, out = -3;
  /// Throws ValueError unless in < out.
  void check() const;
};
/// mean_i huber(max(0, E_i − m_in)) + mean_j huber(max(0, m_out − E_j)) of inliers' and outliers' energies (methods/common/local_logits.h),
/// huber(a) = a² / 2 up to 1, a − 1/2 beyond. Either may be undefined and then counts 0; both are not. Throws ValueError for m_in ≥ m_out.
Tensor energy_hinge_loss(const Tensor& inliers, const Tensor& outliers, const Margins& margins = {});

}  // namespace plumb::methods::ovor
