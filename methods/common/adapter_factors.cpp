// The parameters of low-rank adapters by their role.
#include "methods/common/adapter_factors.h"

#include <algorithm>

#include "ops/shape.h"

namespace plumb::methods {

std::vector<Tensor> AdapterFactors::all() const {
  std::vector<Tensor> parameters = down;
  parameters.insert(parameters.end(), up.begin(), up.end());
  parameters.insert(parameters.end(), other.begin(), other.end());
  return parameters;
}

std::vector<nn::LowRankAdapter*> adapters_of(const nn::Module& model, const std::string& name) {
  std::vector<nn::LowRankAdapter*> adapters;
  for (const auto& [place, module] : model.named_modules())
    if (auto* adapter = dynamic_cast<nn::LowRankAdapter*>(module); adapter && (name.empty() || adapter->name() == name))
      adapters.push_back(adapter);
  if (adapters.empty())
    throw ValueError(name.empty() ? "adapters: the model has none" : "adapters: no layer has an adapter \"" + name + "\"");
  return adapters;
}

AdapterFactors adapter_factors(const nn::Module& model, const std::string& name) {
  AdapterFactors factors;
  for (const nn::LowRankAdapter* adapter : adapters_of(model, name)) {
    factors.down.push_back(adapter->down);
    factors.up.push_back(adapter->up);
  }
  auto among = [](const std::vector<Tensor>& list, const Tensor& p) {
    return std::any_of(list.begin(), list.end(), [&](const Tensor& q) { return q.same_as(p); });
  };
  for (const Tensor& p : model.parameters())
    if (p.requires_grad() && !among(factors.down, p) && !among(factors.up, p)) factors.other.push_back(p);
  return factors;
}

std::vector<Tensor> adapter_changes(const std::vector<nn::LowRankAdapter*>& adapters) {
  std::vector<Tensor> changes;
  for (const nn::LowRankAdapter* adapter : adapters) {
    Tensor change = adapter->change();
    changes.push_back(reshape(change, {change.size(0), -1}));
  }
  return changes;
}

}  // namespace plumb::methods
