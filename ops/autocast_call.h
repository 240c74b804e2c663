// What a product does with its operands under autocast.
#pragma once
#include "engine/autograd/autocast.h"
#include "ops/shape.h"

namespace plumb::detail {

/// x in the type that autocast chose, if there is one and x is f32; an undefined tensor stays so.
inline Tensor autocast(const Tensor& x) { return x.defined() && x.dtype() == f32 && Autocast::type() != f32 ? to(x, Autocast::type()) : x; }

}  // namespace plumb::detail
