// Many models measured by many measures: who wins by which, what each choice costs the others, and what one measure tells of another.
// A pay-off is a matrix, a row a model and a column a measure, of which less is better.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace plumb::methods::rai_inconsistency {

using Matrix = std::vector<std::vector<double>>;

/// Models not much worse than the best: R_ε = {m : err(m) ≤ min err + ε}.
struct RashomonReport {
  std::vector<size_t> members;
  size_t best = 0;                ///< the first with the least error
  std::vector<double> low, high;  ///< of each measure over the members
  double ambiguity = 0;           ///< share of people for whom two members decide differently
  double discrepancy = 0;         ///< largest share of people for whom a member decides other than the best
};
/// errors [P], decisions [P][n] of 0 and 1, metrics [P][M] (may be empty). Throws ValueError for no models or people, or ε < 0; ShapeError
/// for sizes that differ.
RashomonReport rashomon(const std::vector<double>& errors, const std::vector<std::vector<int>>& decisions, const Matrix& metrics,
                        double epsilon = 0.02);

/// Thesis 1, pluralism: the first best model by each measure, and what the choice by one costs by another.
struct Winners {
  std::vector<size_t> winner;  ///< of each measure
  size_t distinct = 0;         ///< different winners
  Matrix regret;               ///< [i][j] = m_j(winner of i) − min m_j
};
Winners winners(const Matrix& payoff);

/// Scaled measures z_j = (m_j − ideal_j) / (nadir_j − ideal_j): ideal_j the least, nadir_j the largest m_j among the winners. A measure
/// with nadir = ideal is left out.
struct Compromise {
  std::vector<double> ideal, nadir;
  std::vector<double> worst;  ///< max_j z_j of each model
  double level = 0;           ///< the least of these: how much inconsistency has to be accepted
  size_t model = 0;           ///< where it is
};
Compromise compromise(const Matrix& payoff);

/// What somebody cares for: weights on scaled measures. Chooses the model with the least Σ_j w_j z_j.
struct Stakeholder {
  std::string name;
  std::vector<double> weights;
};
struct Choices {
  std::vector<size_t> model;  ///< each stakeholder's
  Matrix regret;              ///< [s][t] = Σ_j w_t,j z_j of the choice of s, less that of t's own
};
Choices choices(const Matrix& payoff, const std::vector<Stakeholder>& stakeholders);

/// Thesis 2, completeness: how well a measure is known from others over the pool, as R² of leave-one-out ridge regression on standardised
/// measures with `penalty` on all coefficients, the intercept too: 1 − Σ (left-out residual)² / Σ (m − mean)². NaN if it does not vary.
double leave_one_out_r2(const Matrix& payoff, size_t target, const std::vector<size_t>& predictors, double penalty = 0.1);
/// exp of the entropy of the shares of the correlation matrix's eigenvalues: how many measures there really are. Those that do not vary are
/// left out; 0 if none does.
double effective_rank(const Matrix& payoff);
/// Spearman's ρ of all pairs of measures over the pool; NaN with one that does not vary.
Matrix rank_correlations(const Matrix& payoff);

// All of a pay-off throw ValueError for one without models or measures or with a value that is not finite, ShapeError for rows of different
// length.

}  // namespace plumb::methods::rai_inconsistency
