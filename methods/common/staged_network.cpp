// A classifier as functions that follow each other.
#include "methods/common/staged_network.h"

#include <fmt/format.h>

#include "engine/core/error.h"

namespace plumb::methods {

Tensor StagedNetwork::run(const Tensor& x, size_t from, size_t to) const {
  if (stages.empty()) throw ValueError("staged network: it has no stages");
  if (from > to || to > stages.size())
    throw IndexError(fmt::format("staged network: stages {} to {} of {} do not exist", from, to, stages.size()));
  Tensor y = x;
  for (size_t k = from; k < to; ++k) y = stages[k](y);
  return y;
}

Tensor StagedNetwork::features(const Tensor& x) const {
  if (stages.size() < 2) throw ValueError("staged network: features need a stage before the head");
  return run(x, 0, stages.size() - 1);
}

}  // namespace plumb::methods
