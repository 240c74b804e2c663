// Labels that must be classes.
#pragma once
#include <string>

#include "engine/core/tensor.h"

namespace plumb::methods {

/// Throws IndexError "op: label y is outside [0, classes)" naming the first of `labels`, integers of any shape, that is no class.
void check_class_labels(const std::string& op, const Tensor& labels, int64_t classes);

}  // namespace plumb::methods
