// Data mixing laws (Ye et al., ICLR 2025): a group's loss as a function of the mixture, L(p) = exp(Σ_j t_j p_j) + b, fitted to short runs.
#pragma once
#include "models/data_mixing/learner.h"

namespace plumb::data_mixing {

/// The published form has one more number, c exp(Σ_j t_j p_j) + b; since the p_j sum to 1, c is the same as log c added to every t_j.
struct MixingLaw {
  Shares t;
  double b = 0;
  double operator()(const Shares& p) const;
};

/// One law a group by least squares (Levenberg–Marquardt, from several b below the smallest loss; the best of them): mixtures[n] is that of
/// run n, losses[n] its groups' losses. Throws ValueError for numbers that differ, fewer runs than groups + 1, or a loss that is not
/// positive and finite.
std::vector<MixingLaw> fit_mixing_laws(const std::vector<Shares>& mixtures, const std::vector<Shares>& losses);

/// The mixture with the smallest Σ_i L_i(p): a convex problem on the simplex, by exponentiated gradients with steps that never go up.
Shares best_mixture(const std::vector<MixingLaw>& laws);

}  // namespace plumb::data_mixing
