// Labels that must be classes.
#include "methods/common/class_labels.h"

#include <fmt/format.h>

#include "engine/core/error.h"

namespace plumb::methods {

void check_class_labels(const std::string& op, const Tensor& labels, int64_t classes) {
  for (int64_t label : to_vector<int64_t>(labels))
    if (label < 0 || label >= classes) throw IndexError(fmt::format("{}: label {} is outside [0, {})", op, label, classes));
}

}  // namespace plumb::methods
