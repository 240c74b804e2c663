// Writing to a tensor that is part of a graph.
#pragma once
#include "engine/autograd/record.h"

namespace plumb {

/// Throws AutogradError if `target` may not be written by `op`: a leaf (or a view of one) that requires a gradient outside NoGrad,
/// or a tensor whose elements overlap (an expanded one, as_strided or sliding windows that share elements).
void check_writable(const char* op, const Tensor& target);

/// Whether a write to `target` becomes part of a graph: it, or the tensor that it is a view of, requires a gradient, and gradients are
/// recorded.
bool write_is_recorded(const Tensor& target);

/// What `target` holds, with its gradient: itself, or, for a view that was made without recording, the same view of its base, recorded.
Tensor recorded_value(const Tensor& target);

/// target ← value (same shape and type), recorded: afterwards `target`, its base and every view of that base carry value's gradient
/// where they were written, and the old one elsewhere. Throws as check_writable.
void assign(const char* op, Tensor& target, const Tensor& value);

}  // namespace plumb
