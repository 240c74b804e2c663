// Copies of state dictionaries.
#include "engine/io/state_dict.h"

namespace plumb {

StateDict clone(const StateDict& state) {
  StateDict copies;
  for (const auto& [name, tensor] : state) {
    Tensor copy = empty(tensor.shape(), tensor.dtype(), tensor.device(), "clone");
    copy_data(tensor, copy);
    copies[name] = copy;
  }
  return copies;
}

}  // namespace plumb
