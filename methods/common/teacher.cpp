// Targets of a frozen teacher.
#include "methods/common/teacher.h"

#include <algorithm>

namespace plumb::methods {

bool CachedTargets::complete(const Tensor& index) const {
  auto at = to_vector<int64_t>(index);
  int64_t size = store_.table().size(0);
  return std::ranges::all_of(at, [&](int64_t i) { return i < 0 || i >= size || store_.has(i); });  // rows() names one that is outside
}

}  // namespace plumb::methods
