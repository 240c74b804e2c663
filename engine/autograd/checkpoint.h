// Recompute checkpointing: less memory for one more forward pass.
#pragma once
#include <functional>

#include "engine/core/tensor.h"

namespace plumb {

/// f(), with what its operations would save for backward dropped; the first gradient that arrives runs f again to have it back, with the
/// random generator and autocast as they were. f must compute the same both times. What f reads (captured tensors, parameters)
/// gets its gradient as usual, to any order. May be nested.
Tensor checkpoint(const std::function<Tensor()>& f);
std::vector<Tensor> checkpoint(const std::function<std::vector<Tensor>()>& f);

/// True while a checkpointed region runs again on this thread: what is to happen once a step (running statistics) is not done then.
bool recomputing();

}  // namespace plumb
