// Dropout layers.
#include "models/nn/dropout.h"

#include "ops/dropout.h"

namespace plumb::nn {

Dropout::Dropout(double p) : p_(p) {
  if (!(p >= 0 && p < 1)) throw ValueError("dropout: the probability must lie in [0, 1), it is " + decimal(p));
}

Tensor Dropout::operator()(const Tensor& x) const { return training() ? dropout(x, p_) : x; }

}  // namespace plumb::nn
