// What the continual baselines do whatever the network.
#include "methods/common/continual_baselines.h"

namespace plumb::methods {

std::vector<nn::NamedTensor> backbone_parameters(const nn::Module& model) {
  std::vector<nn::NamedTensor> out;
  for (nn::NamedTensor& p : model.named_parameters())
    if (!p.name.starts_with("head.")) out.push_back(std::move(p));
  return out;
}

Tensor old_distillation(const Tensor& logits, const Tensor& teacher, const TaskContext& context, double temperature) {
  if (context.stream.scenario != Scenario::task)
    return knowledge_distillation(logits, teacher, context.old().begin, context.old().end, temperature);
  Tensor total;
  for (size_t t = 0; t < context.number; ++t) {
    ClassRange r = context.stream.at(t).classes;
    Tensor term = knowledge_distillation(logits, teacher, r.begin, r.end, temperature);
    total = total.defined() ? total + term : term;
  }
  if (!total.defined()) return knowledge_distillation(logits, teacher, 0, 0, temperature);  // says that there are no old classes
  return total / static_cast<double>(context.number);
}

}  // namespace plumb::methods
