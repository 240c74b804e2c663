// Sequential: calling its steps, and copying them.
#include "models/nn/containers.h"

namespace plumb::nn {

Sequential::Sequential(const Sequential& o) : Module(o) { copy_steps(o); }
Sequential& Sequential::operator=(const Sequential& o) {
  if (this == &o) return *this;
  Module::operator=(o);
  copy_steps(o);
  return *this;
}

void Sequential::copy_steps(const Sequential& o) {
  std::vector<std::unique_ptr<Step>> copies;
  for (const auto& step : o.steps_) copies.push_back(step->copy(o, *this));
  steps_ = std::move(copies);
}

Tensor Sequential::operator()(const Tensor& x) const {
  Tensor y = x;
  for (const auto& step : steps_) y = step->call(y);
  return y;
}

Module* Sequential::module_at(size_t i) const {
  if (i >= steps_.size())
    throw IndexError("sequential: step " + std::to_string(i) + " is outside [0, " + std::to_string(steps_.size()) + ")");
  return steps_[i]->module();
}

std::vector<std::pair<std::string, Module*>> Sequential::heap_children() const {
  std::vector<std::pair<std::string, Module*>> children;
  for (size_t i = 0; i < steps_.size(); ++i)
    if (Module* m = steps_[i]->module()) children.push_back({std::to_string(i), m});
  return children;
}

}  // namespace plumb::nn
