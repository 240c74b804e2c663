// Training and evaluation modes that are put back.
#pragma once
#include <utility>
#include <vector>

#include "models/nn/module.h"

namespace plumb::nn {

/// Puts back every module's own mode at the end of its life, also after an exception.
class Modes {
 public:
  explicit Modes(Module& module) {
    for (auto& [name, m] : module.named_modules()) before_.emplace_back(m, m->training());
  }
  ~Modes() {
    for (auto& [m, training] : before_) m->train(training);  // parents first: children have the last word
  }
  Modes(const Modes&) = delete;
  Modes& operator=(const Modes&) = delete;

 private:
  std::vector<std::pair<Module*, bool>> before_;
};

}  // namespace plumb::nn
