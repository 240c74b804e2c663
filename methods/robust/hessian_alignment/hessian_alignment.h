// Hessian alignment: training environments whose classifier heads see the same gradient and the same curvature of the loss.
#pragma once
#include <cstdint>
#include <vector>

#include "methods/common/head_statistics.h"
#include "methods/experiment.h"

namespace plumb::methods::hessian_alignment {

struct AlignmentOptions {
  double alpha = 1;           ///< of the Hessian's term; 0 leaves it out
  double beta = 1;            ///< of the gradient's term; 0 leaves it out
  bool stop_gradient = true;  ///< no gradient through h̄ or D̄ and ḡ, as in the DomainBed version; the Colored-MNIST scripts let it through
  bool sum = false;           ///< the sum over environments, as in the Colored-MNIST scripts, in place of the mean
  /// Throws ValueError for a negative (or NaN) alpha or beta.
  void check() const;
};

// Hemati, Zhang, Estiri & Chen, "Understanding Hessian Alignment for Domain Generalization", ICCV 2023. Of the head's loss in environment
// e: gradient g_e and Hessian H_e; ḡ = mean_e g_e and H̄ = mean_e H_e are those of the mean of the losses. All penalties are scalars and
// throw ValueError without environments, ShapeError for heads of different shapes. All but Hutchinson's, which has noise, are 0 for equal
// environments and for a single one.

/// Hessian–gradient products:   mean_e [ α ‖h_e − h̄‖² + β ‖g_e − ḡ‖² ],   h_e = H_e g_e,  h̄ = H̄ ḡ  (which is not the mean of the h_e).
Tensor hgp_penalty(const std::vector<HeadStatistics>& environments, const AlignmentOptions& options = {});

/// The Hessians' exact diagonals:   mean_e [ α ‖diag H_e − diag H̄‖² + β ‖g_e − ḡ‖² ].
Tensor diagonal_penalty(const std::vector<HeadStatistics>& environments, const AlignmentOptions& options = {});

/// The same with Hutchinson's estimates of `probes` random sign vectors each, drawn independently for every H_e and for H̄ from the default
/// generator: their noise does not cancel, so diagonal_penalty is the better choice wherever the head is linear. Throws ValueError for
/// probes < 1.
Tensor hutchinson_penalty(const std::vector<HeadStatistics>& environments, int64_t probes, const AlignmentOptions& options = {});

/// ‖H_1 − H_2‖₂ / ‖H̄‖₂ in spectral norms, the largest over pairs of environments: what bounds the transfer between them (theorem 1 of the
/// paper), made relative. 0 for one environment.
double hessian_distance(const std::vector<HeadStatistics>& environments);

Experiment experiment();

}  // namespace plumb::methods::hessian_alignment
