// Bit-widths chosen layer by layer: what they cost on average, and the choice among those that a budget allows.
#pragma once
#include <functional>
#include <vector>

#include "models/optim/genetic_search.h"
#include "models/quantize/elastic.h"

namespace plumb::quantize {

/// Σ sizeᵢ bitsᵢ / Σ sizeᵢ over all layers but the first and the last. Throws ValueError for fewer than three layers or lists of different
/// lengths.
double average_bits(const std::vector<double>& sizes, const std::vector<int>& bits);
/// Of a form's weights by the elements of the weights, and of its activations by the elements of the inputs.
double average_weight_bits(const SuperNet& net, const NetForm& form);
double average_activation_bits(const SuperNet& net, const NetForm& form);

/// Both averages lie in (bits − slack, bits].
struct BitBudget {
  double bits = 4;
  double slack = 0.5;
  bool allows(const SuperNet& net, const NetForm& form) const;
};

/// How a form is held in genes: the weight and activation bits of every layer but the first and the last, as indices into `choices`.
/// Everything else is that of `like`.
struct FormGenes {
  NetForm like;
  std::vector<int> choices{2, 3, 4, 5, 6, 7, 8};

  std::vector<int> sizes() const;
  NetForm form(const optim::Choices& genes) const;
};

/// The form that `fitness` likes best among those that the budget allows. Throws ValueError as optim::genetic_search, also for a budget
/// that nothing meets.
struct FoundForm {
  NetForm form;
  optim::GeneticResult search;
};
FoundForm search_form(const SuperNet& net, const FormGenes& genes,
                      const std::function<std::vector<double>(const std::vector<NetForm>&)>& fitness, const BitBudget& budget,
                      const optim::GeneticOptions& options = {}, Generator& generator = default_generator());

}  // namespace plumb::quantize
