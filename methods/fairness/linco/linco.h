// LInCo (Wang et al., Science China Information Sciences 2021): how much simulated judges, one trained on each group's cases, disagree on
// the same cases.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "engine/core/tensor.h"

namespace plumb::methods::linco {

/// Judgments [cases, judges] → σ(x) of every case, [cases] f64: √((1/K) Σ_k (M_k(x) − mean)²), the population's deviation over K judges.
/// For two judges |M_1 − M_2| / 2, for one 0. Throws ShapeError unless judgments are a matrix, ValueError for none, or a NaN, naming its
/// place.
Tensor case_deviation(const Tensor& judgments);
/// LInCo = mean_x σ(x), in the judgments' unit: use logarithms of terms (log_terms), or severe cases are all that counts. Throws likewise.
double linco(const Tensor& judgments);

/// D(x) = H(mean_k p_k) − mean_k H(p_k), in nats, of probabilities [cases, judges, classes]: the Jensen–Shannon disagreement, [cases] f64.
/// Throws ShapeError for another rank, ValueError for none, or for rows that are no distributions to 1e-4.
Tensor case_disagreement(const Tensor& probabilities);
/// mean_x D(x).
double linco_classification(const Tensor& probabilities);

/// t = log(1 + y) of terms y ≥ 0, f64. Throws ValueError naming one that is negative or not a number.
Tensor log_terms(const std::vector<double>& months);

/// Judges of groups that were dealt out by chance disagree too: what LInCo is beyond that, √(max(0, L² − L0²)).
double excess(double linco, double null_mean);
/// (1 + #{r : L0_r ≥ L}) / (R + 1) of R permutations; at least 1 / (R + 1), so that a test at 5 % needs R ≥ 19. Throws ValueError for none.
double permutation_p_value(double linco, std::span<const double> nulls);

/// Cases in equal parts by severity: what each is on average, and LInCo there.
struct SeverityBins {
  std::vector<double> severity, linco;
  double rank_correlation = 0;  ///< Spearman's ρ of the two over the bins; NaN if one does not vary
};
/// severity and deviation [cases] (case_deviation's or case_disagreement's). Throws ValueError unless 2 ≤ bins ≤ cases, ShapeError for
/// lengths that differ.
SeverityBins by_severity(std::span<const double> severity, std::span<const double> deviation, int64_t bins = 5);

}  // namespace plumb::methods::linco
