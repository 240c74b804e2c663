// Dropout as a layer.
#pragma once
#include "models/nn/module.h"

namespace plumb::nn {

/// dropout(x, p) in training mode, x in evaluation mode. Throws ValueError unless p lies in [0, 1).
class Dropout : public Module {
 public:
  explicit Dropout(double p = 0.5);
  Dropout(Module* parent, std::string name, double p = 0.5) : Dropout(p) { join(parent, std::move(name)); }
  Tensor operator()(const Tensor& x) const;
  double p() const { return p_; }

 private:
  double p_;
};

}  // namespace plumb::nn
