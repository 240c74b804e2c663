// A state dictionary: tensors under names, in the order of their names.
#pragma once
#include <map>
#include <string>

#include "engine/core/tensor.h"

namespace plumb {

using StateDict = std::map<std::string, Tensor>;

/// The same names with elements of their own, outside of any graph.
StateDict clone(const StateDict& state);

}  // namespace plumb
