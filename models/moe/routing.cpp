// Sorting tokens by expert, and bringing results back.
#include "models/moe/routing.h"

#include <cmath>
#include <string>

#include "engine/autograd/autocast.h"
#include "engine/autograd/grad_mode.h"
#include "ops/create.h"
#include "ops/elementary.h"
#include "ops/grouped_rows.h"
#include "ops/index.h"
#include "ops/join.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/scan.h"
#include "ops/shape.h"
#include "ops/sort.h"

namespace plumb::moe {
namespace {

// [0, c_0, c_0 + c_1, …]
Tensor offsets_of(const Tensor& counts) { return cat({zeros({1}, i64, counts.device()), cumsum(counts, 0)}); }

Tensor counts_of(const Tensor& offsets) { return slice(offsets, 0, 1) - slice(offsets, 0, 0, offsets.size(0) - 1); }

}  // namespace

Routing Routing::detach() const {
  Routing r = *this;
  for (Tensor* t : {&r.weight, &r.logits, &r.probability, &r.noisy_logits, &r.noise_deviation})
    if (t->defined()) *t = t->detach();
  return r;
}

Routing route_tokens(const Tensor& expert, const Tensor& weight, int64_t experts, int64_t capacity) {
  if (expert.rank() != 2 || weight.shape() != expert.shape())
    throw ShapeError("route_tokens: takes experts and weights [N, k], got " + to_string(expert.shape()) + " and " +
                     to_string(weight.shape()));
  int64_t tokens = expert.size(0), choices = expert.size(1), pairs = expert.numel();
  Tensor wanted = reshape(transpose(expert, 0, 1), {pairs});  // all first choices, then all second ones: the order of precedence
  auto [order, place, offsets] = group_by(to(wanted, i64), experts);  // stable, so an expert's tokens stay in order of precedence
  Tensor chosen = counts_of(offsets);
  if (capacity > 0) {
    Tensor number = place - index_select(offsets, 0, wanted);  // of a pair among its expert's
    order = masked_select(order, index_select(number, 0, order) < capacity);
    offsets = offsets_of(minimum(chosen, scalar_tensor(capacity, i64, expert.device())));
    place = where(number < capacity, index_select(offsets, 0, wanted) + number, -1);
  }
  int64_t rows = order.size(0);
  return {.tokens = tokens,
          .experts = experts,
          .token = remainder(order, scalar_tensor(tokens, i64, expert.device())),
          .expert = index_select(wanted, 0, order),
          .weight = squeeze(spread_rows(reshape(transpose(weight, 0, 1), {pairs, 1}), unsqueeze(place, 1), rows), 1),
          .offsets = offsets,
          .chosen = chosen,
          .place = contiguous(transpose(reshape(place, {choices, tokens}), 0, 1))};
}

Routing route_experts(const Tensor& token, const Tensor& weight, int64_t tokens) {
  if (token.rank() != 2 || weight.shape() != token.shape())
    throw ShapeError("route_experts: takes tokens and weights [E, C], got " + to_string(token.shape()) + " and " +
                     to_string(weight.shape()));
  int64_t experts = token.size(0), each = token.size(1);
  Tensor counts = full({experts}, each, i64, token.device());
  return {.tokens = tokens,
          .experts = experts,
          .token = reshape(token, {experts * each}),
          .expert = repeat_interleave(arange(experts, i64, token.device()), each, 0),
          .weight = reshape(weight, {experts * each}),
          .offsets = offsets_of(counts),
          .chosen = counts};
}

// Under autocast the experts' products take 16 bits anyway: rows are rounded before they are copied, and gradients added up in f32.
Tensor dispatch(const Tensor& x, const Routing& r) {
  if (!r.place.defined()) return index_select(x, 0, r.token);
  return spread_rows(x, r.place, r.token.size(0), {}, x.dtype() == f32 ? Autocast::type() : x.dtype());
}

Tensor combine(const Tensor& rows, const Routing& r) {
  if (r.place.defined()) return join_rows(rows, r.place, r.weight);
  Tensor weighed = rows * unsqueeze(r.weight, 1);
  return index_add(zeros({r.tokens, rows.size(1)}, weighed.dtype(), rows.device()), 0, r.token, weighed);
}

RoutingStatistics statistics(const Routing& routing) {
  NoGrad off;
  RoutingStatistics s{.gate_entropy = NAN};
  s.share = to_vector(routing.chosen);
  double asked = 0, taken = static_cast<double>(routing.token.numel());
  for (double count : s.share) asked += count;
  for (double& share : s.share) {
    share = asked > 0 ? share / asked : 0;
    if (share > 0) s.evenness -= share * std::log(share);
  }
  s.evenness = routing.experts > 1 ? s.evenness / std::log(static_cast<double>(routing.experts)) : 1;
  s.dropped = asked > 0 ? 1 - taken / asked : 0;
  if (routing.tokens > 0)
    s.unrouted = 1 - count_nonzero(bincount(routing.token, {}, routing.tokens)).item() / static_cast<double>(routing.tokens);
  if (routing.probability.defined() && routing.tokens > 0)
    s.gate_entropy = -mean(sum(xlogy(routing.probability, routing.probability), {-1})).item();
  return s;
}

}  // namespace plumb::moe
