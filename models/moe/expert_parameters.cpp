// Slices of stacked weights as parameters of their own.
#include "models/moe/expert_parameters.h"

#include <algorithm>
#include <string>

#include "engine/autograd/grad_mode.h"
#include "ops/shape.h"

namespace plumb::moe {

ExpertParameters::ExpertParameters(MoeGpt& model) {
  NoGrad off;
  for (MoeBlock& block : model.blocks()) {
    if (!block.moe) continue;
    for (const Tensor& weight : block.moe->experts.parameters()) {
      Stack stack{weight, {}, layers_};
      for (int64_t e = 0; e < weight.size(0); ++e) stack.slices.push_back(alias(select(weight.detach(), 0, e)).requires_grad_());
      stacks_.push_back(std::move(stack));
    }
    ++layers_;
  }
  for (const Tensor& p : model.parameters())
    if (std::ranges::none_of(stacks_, [&](const Stack& s) { return s.weight.same_as(p); })) all_.push_back(p);
  for (const Stack& s : stacks_) all_.insert(all_.end(), s.slices.begin(), s.slices.end());
}

void ExpertParameters::hand_out(const std::vector<Routing>& routings) {
  if (layers_ == 0 ? !routings.empty() : routings.empty() || routings.size() % layers_ != 0)
    throw ValueError("expert_parameters: " + std::to_string(routings.size()) + " routings are not those of passes through " +
                     std::to_string(layers_) + " layers with experts");
  NoGrad off;
  std::vector<std::vector<double>> met(layers_);
  for (size_t i = 0; i < routings.size(); ++i) {
    std::vector<double> chosen = to_vector(routings[i].chosen);
    std::vector<double>& sum = met[i % layers_];
    sum.resize(std::max(sum.size(), chosen.size()));
    for (size_t e = 0; e < chosen.size(); ++e) sum[e] += chosen[e];
  }
  for (Stack& stack : stacks_) {
    Tensor gradient = stack.weight.grad();
    for (size_t e = 0; e < stack.slices.size(); ++e)
      stack.slices[e].set_grad(gradient.defined() && met[stack.layer][e] > 0 ? select(gradient, 0, static_cast<int64_t>(e)) : Tensor());
    stack.weight.zero_grad();
  }
}

}  // namespace plumb::moe
