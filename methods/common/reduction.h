// How the losses of rows become one.
#pragma once
#include "ops/loss.h"
#include "ops/reduce.h"

namespace plumb::methods {

/// The losses themselves, their mean or their sum.
inline Tensor reduced(const Tensor& losses, Reduction reduction) {
  return reduction == Reduction::none ? losses : reduction == Reduction::sum ? sum(losses) : mean(losses);
}

}  // namespace plumb::methods
