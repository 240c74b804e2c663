// Results that never share memory with an input, for operations that move elements: where nothing has to be moved, what they are made of is
// a view.
#pragma once
#include "ops/shape.h"

namespace plumb::detail {

/// y, or a copy of it if it shares memory with x.
inline Tensor with_own_memory(const Tensor& y, const Tensor& x) { return y.impl()->storage == x.impl()->storage ? clone(y) : y; }

}  // namespace plumb::detail
