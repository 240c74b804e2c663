// Entropies of predictions, and the parameters that are adapted by them.
#include "methods/common/test_time.h"

#include <fmt/format.h>

#include "models/nn/norm.h"
#include "ops/elementary.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/softmax.h"

namespace plumb::methods {

Tensor softmax_entropy(const Tensor& logits) {
  if (logits.rank() < 1) throw ShapeError("softmax_entropy: takes logits [.., C], got a number");
  if (logits.size(-1) < 2) throw ValueError(fmt::format("softmax_entropy: {} has fewer than two classes", to_string(logits.shape())));
  Tensor log_p = log_softmax(logits, -1);
  return neg(sum(exp(log_p) * log_p, {-1}));
}

Tensor tent_loss(const Tensor& logits) { return mean(softmax_entropy(logits)); }

std::vector<nn::NamedTensor> batch_norm_parameters(const nn::Module& model, const char* method) {
  std::vector<nn::NamedTensor> found;
  for (auto& [name, module] : model.named_modules())
    if (dynamic_cast<nn::BatchNorm*>(module))
      for (nn::NamedTensor& p : module->named_parameters()) found.push_back({name.empty() ? p.name : name + "." + p.name, p.tensor});
  if (found.empty()) throw ValueError(fmt::format("{}: the model has no batch-norm layer with a scale and a shift to adapt", method));
  return found;
}

void train_only(nn::Module& model, const std::vector<nn::NamedTensor>& chosen) {
  model.requires_grad_(false);
  for (const nn::NamedTensor& p : chosen) p.tensor.requires_grad_();
}

}  // namespace plumb::methods
