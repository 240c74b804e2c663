// Shapley values of a model's inputs: by enumeration, and by sampling where there are too many inputs for that.
#pragma once
#include <functional>
#include <vector>

#include "engine/core/generator.h"
#include "engine/core/tensor.h"

namespace plumb::methods {

/// A model to explain: rows [n, d] → one number a row [n].
using RowFunction = std::function<Tensor(const Tensor& rows)>;

/// φ_j = Σ_{S ∌ j} |S|! (d − |S| − 1)! / d! · (v(S ∪ {j}) − v(S)), v(S) = mean over the background's rows b of f(x on S, b elsewhere)
/// (interventional; Shapley 1953, Lundberg & Lee, NeurIPS 2017), by all 2^d coalitions: Σ_j φ_j = f(x) − mean f(b). x [d] and
/// background [m, d] or [d], of one floating type; d ≤ 15. Throws ShapeError if they do not fit, or f does not give one number a row;
/// ValueError for more than 15 inputs or none.
std::vector<double> exact_shapley(const RowFunction& f, const Tensor& x, const Tensor& background);

/// The same by sampling (Štrumbelj & Kononenko 2014): over `permutations` random orders of the inputs, each with one row of the background
/// drawn at random, φ_j is the mean change of f when input j goes from the background's value to x's. Unbiased, and Σ_j φ_j is exact for
/// the rows that were drawn; d + 1 evaluations an order, all of them one call of f. Throws ValueError for permutations < 1.
std::vector<double> sampled_shapley(const RowFunction& f, const Tensor& x, const Tensor& background, int64_t permutations,
                                    Generator& generator);

}  // namespace plumb::methods
