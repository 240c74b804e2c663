// Routers: who goes where, and with what weight.
#include "models/moe/router.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>

#include "engine/autograd/autocast.h"
#include "models/moe/expert_parallel.h"
#include "models/nn/init.h"
#include "ops/activation.h"
#include "ops/elementary.h"
#include "ops/index.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "ops/softmax.h"
#include "ops/sort.h"

namespace plumb::moe {
namespace {

// For each id the first k places of a random order of the experts, which depends on the layer alone.
Tensor hash_table(int64_t ids, int64_t experts, int64_t k, int64_t layer) {
  Generator generator(static_cast<uint64_t>(layer));
  Tensor table = empty({ids, k}, i64);
  std::vector<int64_t> order(static_cast<size_t>(experts));
  for (int64_t id = 0; id < ids; ++id) {
    std::iota(order.begin(), order.end(), 0);
    for (int64_t j = 0; j < k; ++j) {
      auto other = j + static_cast<int64_t>(generator.next_below(static_cast<uint64_t>(experts - j)));
      std::swap(order[static_cast<size_t>(j)], order[static_cast<size_t>(other)]);
      table.data<int64_t>()[id * k + j] = order[static_cast<size_t>(j)];
    }
  }
  return table;
}

Tensor divided_by_sum(const Tensor& x) { return x / clamp_min(sum(x, {-1}, true), 1e-30); }

// The weight of each of k experts that nobody weighed.
Tensor even(const Tensor& expert, DType t) { return full(expert.shape(), 1.0 / static_cast<double>(expert.size(1)), t, expert.device()); }

}  // namespace

Router::Router(int64_t width, const MoeConfig& c, int64_t layer)
    : kind((c.check(), router_named(c.router))),
      top_k(c.top_k),
      width_(width),
      experts_(c.experts),
      normalize_(c.normalize),
      capacity_(c.capacity),
      jitter_(c.jitter) {
  if (has_gate(kind)) register_module("gate", gate.emplace(width, experts_, nn::LinearOptions{.bias = false}));
  if (kind == RouterKind::noisy) {
    register_module("noise", noise.emplace(width, experts_, nn::LinearOptions{.bias = false}));
    nn::init::zeros(gate->weight);
    nn::init::zeros(noise->weight);
  }
  if (kind != RouterKind::hash) return;
  if (c.token_ids < 1) throw ConfigError("moe: a hash router needs token_ids, the number of token ids");
  register_buffer("table", table_, hash_table(c.token_ids, experts_, top_k, layer), false);
}

Routing Router::operator()(const Tensor& x, const Tensor& ids) const {
  if (x.rank() < 2 || x.size(-1) != width_)
    throw ShapeError("router: takes x [.., " + std::to_string(width_) + "], got " + to_string(x.shape()));
  if (has_gate(kind) && !gate) throw ValueError("router: it was made without a gate");
  if (kind == RouterKind::noisy && !noise) throw ValueError("router: it was made without noise");
  if (kind == RouterKind::hash && !table_.defined()) throw ValueError("router: it was made without a hash");
  Autocast off(f32);
  if (has_gate(kind)) return by_gate(flatten(x, 0, -2));
  return kind == RouterKind::hash ? by_hash(flatten(x, 0, -2), ids) : at_random(x);
}

int64_t Router::capacity(int64_t tokens) const {
  if (capacity_ == 0 || !training()) return 0;
  double all = static_cast<double>(tokens * top_k), places = std::ceil(capacity_ * all / static_cast<double>(experts_));
  return std::max<int64_t>(1, static_cast<int64_t>(std::min(places, all)));
}

// Token choice, within the capacity.
Routing Router::routed(const Tensor& expert, const Tensor& weight) const {
  int64_t tokens = expert.size(0);
  if (!together()) return route_tokens(expert, weight, experts_, capacity(tokens));
  return route_tokens_across(expert, weight, experts_, capacity(tokens * processes->size()), *processes);
}

Routing Router::by_gate(const Tensor& tokens) const {
  Tensor rows = plumb::to(tokens, gate->weight.dtype());
  if (jitter_ > 0 && training())
    rows = rows * uniform(rows.shape(), 1 - jitter_, 1 + jitter_, {.dtype = rows.dtype(), .device = rows.device()});
  Tensor logits = (*gate)(rows), probability, score;
  if (kind == RouterKind::sigmoid) {
    score = sigmoid(logits);
    probability = divided_by_sum(score);
  } else {
    score = probability = softmax(logits, -1);
  }
  Routing r = kind == RouterKind::noisy           ? with_noise(logits, rows)
              : kind == RouterKind::expert_choice ? by_expert(probability)
                                                  : by_token(score, {});
  r.logits = logits;
  r.probability = probability;
  return r;
}

// Those of the largest score; weighed by it, or by `weight` of the chosen.
Routing Router::by_token(const Tensor& score, const Tensor& weight) const {
  ValuesAndIndices best = topk(score, kind == RouterKind::switched ? 1 : top_k);
  Tensor w = weight.defined() ? weight : best.values;
  if (!weight.defined() && normalize_ && kind != RouterKind::switched) w = divided_by_sum(w);
  return routed(best.indices, w);
}

// H = W x + ε ⊙ softplus(W_noise x);   G = softmax of the k largest of H
Routing Router::with_noise(const Tensor& logits, const Tensor& rows) const {
  Tensor noisy = logits, deviation;
  if (training()) {
    deviation = softplus((*noise)(rows));
    noisy = logits + randn_like(logits) * deviation;
  }
  Routing r = by_token(noisy, softmax(topk(noisy, top_k).values, -1));
  if (training()) {
    r.noisy_logits = noisy;
    r.noise_deviation = deviation;
  }
  return r;
}

Routing Router::by_expert(const Tensor& probability) const {
  int64_t tokens = probability.size(0) * (together() ? processes->size() : 1);
  double each = (capacity_ > 0 ? capacity_ : static_cast<double>(top_k)) * static_cast<double>(tokens) / static_cast<double>(experts_);
  int64_t count = std::clamp<int64_t>(std::llround(each), std::min<int64_t>(1, tokens), tokens);
  if (together()) return choose_tokens_across(probability, count, *processes);
  ValuesAndIndices best = topk(transpose(probability, 0, 1), count, -1, true, false);
  return route_experts(best.indices, best.values, tokens);
}

Routing Router::by_hash(const Tensor& rows, const Tensor& ids) const {
  if (!ids.defined()) throw ValueError("router: a hash router needs the tokens' ids");
  if (ids.numel() != rows.size(0))
    throw ShapeError("router: " + std::to_string(rows.size(0)) + " tokens, but ids " + to_string(ids.shape()));
  Tensor expert = index_select(table_, 0, reshape(ids, {ids.numel()}));
  return routed(expert, even(expert, rows.dtype()));
}

Routing Router::at_random(const Tensor& x) const {
  int64_t tokens = x.numel() / std::max<int64_t>(1, width_);
  int64_t together = kind == RouterKind::random_batch   ? tokens
                     : kind == RouterKind::random_token ? 1
                                                        : tokens / std::max<int64_t>(1, x.size(0));
  int64_t draws = tokens / std::max<int64_t>(1, together);
  Tensor drawn = topk(rand({draws, experts_}, {.device = x.device()}), top_k).indices;  // [draws, k], different in a row
  Tensor expert = draws == 0 ? drawn : reshape(expand(unsqueeze(drawn, 1), {draws, together, top_k}), {tokens, top_k});
  return routed(expert, even(expert, x.dtype()));
}

}  // namespace plumb::moe
