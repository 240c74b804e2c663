// Distances in weight space, and losses that grow as they shrink.
#include "methods/common/repulsion.h"

#include <fmt/format.h>

#include "ops/elementary.h"
#include "ops/join.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::methods {
namespace {

constexpr double kFloor = 1e-8;

void check(const std::vector<Tensor>& parameters, const std::vector<std::vector<Tensor>>& anchors) {
  if (parameters.empty()) throw ValueError("repulsion: there are no parameters");
  if (anchors.empty()) throw ValueError("repulsion: there is nothing to be repelled from (K = 0)");
  for (size_t k = 0; k < anchors.size(); ++k) {
    if (anchors[k].size() != parameters.size())
      throw ShapeError(fmt::format("repulsion: anchor {} has {} tensors, the parameters {}", k, anchors[k].size(), parameters.size()));
    for (size_t i = 0; i < parameters.size(); ++i)
      if (anchors[k][i].shape() != parameters[i].shape())
        throw ShapeError(fmt::format("repulsion: tensor {} of anchor {} is {}, the parameter {}", i, k, to_string(anchors[k][i].shape()),
                                     to_string(parameters[i].shape())));
  }
}

}  // namespace

Tensor squared_distances(const std::vector<Tensor>& parameters, const std::vector<std::vector<Tensor>>& anchors) {
  check(parameters, anchors);
  std::vector<Tensor> distances;
  for (const std::vector<Tensor>& anchor : anchors) {
    Tensor total;
    for (size_t i = 0; i < parameters.size(); ++i) {
      Tensor part = sum(square(parameters[i] - anchor[i].detach()));
      total = total.defined() ? total + part : part;
    }
    distances.push_back(total);
  }
  return stack(distances, 0);
}

Tensor repulsion_loss(const std::vector<Tensor>& parameters, const std::vector<std::vector<Tensor>>& anchors, const RepulsionOptions& o) {
  if (!(o.scale > 0)) throw ValueError(fmt::format("repulsion: the scale is {}, it must be positive", o.scale));
  Tensor distance = mean(squared_distances(parameters, anchors)) / o.scale;
  switch (o.kind) {
    case Repulsion::negative_l2:
      return -distance;
    case Repulsion::inverse_l2:
      return 1.0 / clamp_min(distance, kFloor);
    default:
      return exp(distance * -o.alpha);
  }
}

Tensor per_tensor_distance(const std::vector<Tensor>& parameters, const std::vector<std::vector<Tensor>>& anchors) {
  check(parameters, anchors);
  Tensor total;
  for (const std::vector<Tensor>& anchor : anchors)
    for (size_t i = 0; i < parameters.size(); ++i) {
      Tensor part = mean(square(parameters[i] - anchor[i].detach()));
      total = total.defined() ? total + part : part;
    }
  return total * (static_cast<double>(anchors.size()) / 2 / static_cast<double>(parameters.size()));
}

}  // namespace plumb::methods
