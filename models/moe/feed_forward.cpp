// A mixture of experts, forward: sort tokens by expert, run each expert on its own, bring the results back.
#include "models/moe/feed_forward.h"

#include "models/moe/expert_parallel.h"
#include "ops/pointwise.h"
#include "ops/shape.h"

namespace plumb::moe {
namespace {

ExpertsOptions options_of(const MoeConfig& c) {
  return {.activation = nn::activation_named(c.activation), .gated = c.gated, .bias = c.bias};
}

}  // namespace

MoeFeedForward::MoeFeedForward(int64_t width, const MoeConfig& c, int64_t layer)
    : router(width, c, layer), experts(c.experts, width, c.expert_inner(4 * width), options_of(c)), dropout_(c.dropout) {
  register_module("router", router);
  register_module("experts", experts);
  if (c.shared_inner > 0) {
    nn::FeedForwardOptions o{.activation = nn::activation_named(c.activation), .gated = c.gated, .bias = c.bias};
    register_module("shared", shared.emplace(width, c.shared_inner, o));
  }
  register_module("dropout", dropout_);
}

std::vector<std::pair<Tensor, int64_t>> MoeFeedForward::parts() const {
  std::vector<std::pair<Tensor, int64_t>> parts;
  if (processes())
    for (const Tensor& p : experts.parameters()) parts.emplace_back(p, router.experts());
  return parts;
}

void MoeFeedForward::work_with(dist::Communicator& processes) {
  router.processes = &processes;
  router.collectives = processes.collectives_on(experts.up.weight.device());
}

Tensor MoeFeedForward::forward(const Tensor& x, const Routing& routing) const {
  Tensor rows = flatten(x, 0, -2);
  if (rows.size(0) != routing.tokens)
    throw ShapeError("moe: the routing is of " + std::to_string(routing.tokens) + " tokens, x is " + to_string(x.shape()));
  Tensor sent = dispatch(rows, routing);
  Tensor y = combine(processes() ? run_across(experts, sent, routing, *processes()) : experts(sent, routing.offsets), routing);
  if (shared) y = y + (*shared)(rows);
  return dropout_(through_bottleneck(reshape(y, x.shape())));
}

}  // namespace plumb::moe
