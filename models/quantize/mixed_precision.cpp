// Average bits and the search under a budget of them.
#include "models/quantize/mixed_precision.h"

#include <algorithm>
#include <string>

namespace plumb::quantize {
namespace {

std::vector<int> bits_of(const NetForm& form, int LayerForm::*member) {
  std::vector<int> bits;
  for (const LayerForm& f : form) bits.push_back(f.*member);
  return bits;
}

std::vector<NetForm> forms_of(const FormGenes& genes, const std::vector<optim::Choices>& candidates) {
  std::vector<NetForm> forms;
  for (const auto& c : candidates) forms.push_back(genes.form(c));
  return forms;
}

}  // namespace

double average_bits(const std::vector<double>& sizes, const std::vector<int>& bits) {
  if (sizes.size() != bits.size())
    throw ValueError("average_bits: bits of " + std::to_string(bits.size()) + " layers for sizes of " + std::to_string(sizes.size()));
  if (sizes.size() < 3)
    throw ValueError("average_bits: between the first and the last of " + std::to_string(sizes.size()) + " layers there is none");
  double total = 0, size = 0;
  for (size_t i = 1; i + 1 < sizes.size(); ++i) total += sizes[i] * bits[i], size += sizes[i];
  return total / size;
}

double average_weight_bits(const SuperNet& net, const NetForm& form) {
  return average_bits(net.weight_sizes(), bits_of(form, &LayerForm::weight_bits));
}
double average_activation_bits(const SuperNet& net, const NetForm& form) {
  return average_bits(net.activation_sizes(), bits_of(form, &LayerForm::activation_bits));
}

bool BitBudget::allows(const SuperNet& net, const NetForm& form) const {
  auto fits = [&](double average) { return average > bits - slack && average <= bits; };
  return fits(average_weight_bits(net, form)) && fits(average_activation_bits(net, form));
}

std::vector<int> FormGenes::sizes() const {
  if (like.size() < 3)
    throw ValueError("search_form: between the first and the last of " + std::to_string(like.size()) + " layers there is none");
  return std::vector<int>(2 * (like.size() - 2), static_cast<int>(choices.size()));
}

NetForm FormGenes::form(const optim::Choices& genes) const {
  NetForm form = like;
  for (size_t i = 1; i + 1 < form.size(); ++i) {
    form[i].weight_bits = choices.at(static_cast<size_t>(genes.at(2 * i - 2)));
    form[i].activation_bits = choices.at(static_cast<size_t>(genes.at(2 * i - 1)));
  }
  return form;
}

FoundForm search_form(const SuperNet& net, const FormGenes& genes,
                      const std::function<std::vector<double>(const std::vector<NetForm>&)>& fitness, const BitBudget& budget,
                      const optim::GeneticOptions& options, Generator& generator) {
  auto allowed = [&](const optim::Choices& c) { return budget.allows(net, genes.form(c)); };
  auto judge = [&](const std::vector<optim::Choices>& candidates) { return fitness(forms_of(genes, candidates)); };
  optim::GeneticResult result = optim::genetic_search(genes.sizes(), judge, allowed, options, generator);
  return {genes.form(result.best), std::move(result)};
}

}  // namespace plumb::quantize
