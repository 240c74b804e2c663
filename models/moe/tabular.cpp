// The tabular mixture.
#include "models/moe/tabular.h"

#include <cmath>

#include "engine/autograd/grad_mode.h"
#include "engine/io/json_fields.h"
#include "models/moe/routing.h"
#include "models/require.h"
#include "ops/elementary.h"
#include "ops/index.h"
#include "ops/join.h"
#include "ops/matmul.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "ops/softmax.h"
#include "ops/sort.h"

namespace plumb::moe {

static constexpr auto fields = [](auto& c, auto&& f) {
  f("inputs", c.inputs), f("outputs", c.outputs), f("experts", c.experts), f("hidden", c.hidden), f("top_k", c.top_k),
      f("activation", c.activation);
};

std::string TabularMoeConfig::to_json() const { return fields_to_json(*this, fields); }
TabularMoeConfig TabularMoeConfig::from_json(const std::string& text) {
  return fields_from_json<TabularMoeConfig>("tabular mixture", text, fields);
}

void TabularMoeConfig::check() const {
  require_positive("tabular mixture", {{"inputs", inputs}, {"outputs", outputs}, {"experts", experts}});
  require(hidden >= 0, "tabular mixture: hidden must not be negative, it is " + std::to_string(hidden));
  require(top_k >= 0 && top_k <= experts,
          "tabular mixture: top_k must lie between 0 and " + std::to_string(experts) + ", it is " + std::to_string(top_k));
  nn::activation_named(activation);
}

TabularMoe::TabularMoe(const TabularMoeConfig& c)
    : gate((c.check(), c.inputs), c.experts), first(c.experts, c.inputs, c.hidden > 0 ? c.hidden : c.outputs), config_(c) {
  register_module("gate", gate);
  register_module("first", first);
  if (c.hidden > 0) register_module("second", second.emplace(c.experts, c.hidden, c.outputs));
}

void TabularMoe::check_rows(const Tensor& x) const {
  if (x.rank() != 2 || x.size(1) != config_.inputs)
    throw ShapeError("tabular mixture: takes x [B, " + std::to_string(config_.inputs) + "], got " + to_string(x.shape()));
}

Tensor TabularMoe::log_gates(const Tensor& x) const {
  check_rows(x);
  Tensor logits = gate(x);
  if (config_.top_k == 0 || config_.top_k == config_.experts) return log_softmax(logits, -1);
  Tensor best = topk(logits, config_.top_k).indices, chosen = scatter(zeros(logits.shape(), boolean, x.device()), 1, best, true);
  return masked_log_softmax(logits, chosen, -1);
}

Tensor TabularMoe::gates(const Tensor& x) const { return exp(log_gates(x)); }

Tensor TabularMoe::expert_outputs(const Tensor& x) const {
  check_rows(x);
  auto layer = [](const GroupedLinear& l, const Tensor& rows) {
    return matmul(rows, mT(l.weight)) + unsqueeze(l.bias, 1);
  };  // [1 or E, B, in] → [E, B, out]
  Tensor s = layer(first, unsqueeze(x, 0));
  if (second) s = layer(*second, nn::activate(nn::activation_named(config_.activation), s));
  return transpose(s, 0, 1);
}

Tensor TabularMoe::operator()(const Tensor& x) const {
  Tensor g = gates(x);
  if (config_.top_k == 0 || config_.top_k == config_.experts) return sum(unsqueeze(g, 2) * expert_outputs(x), {1});
  ValuesAndIndices best = topk(g, config_.top_k);
  Routing routing = route_tokens(best.indices, best.values, config_.experts);
  Tensor s = first(dispatch(x, routing), routing.offsets);
  if (second) s = (*second)(nn::activate(nn::activation_named(config_.activation), s), routing.offsets);
  return combine(s, routing);
}

Tensor TabularMoe::probabilities(const Tensor& x) const {
  Tensor s = expert_outputs(x), p = config_.outputs == 1 ? sigmoid(s) : softmax(s, -1);
  return sum(unsqueeze(gates(x), 2) * p, {1});
}

Tensor TabularMoe::log_joint(const Tensor& x, const Tensor& label) const {
  Tensor s = expert_outputs(x);
  if (label.shape() != Shape{x.size(0)})
    throw ShapeError("tabular mixture: " + std::to_string(x.size(0)) + " rows, but labels " + to_string(label.shape()));
  if (config_.outputs == 1) s = cat({zeros_like(s), s}, 2);  // σ(s) is the softmax of (0, s)
  Tensor picked = expand(reshape(label, {x.size(0), 1, 1}), {x.size(0), config_.experts, 1});
  return log_gates(x) + squeeze(gather(log_softmax(s, -1), 2, picked), 2);
}

Tensor TabularMoe::negative_log_likelihood(const Tensor& x, const Tensor& label) const {
  return -mean(logsumexp(log_joint(x, label), {1}));
}

Tensor TabularMoe::responsibilities(const Tensor& x, const Tensor& label) const { return softmax(log_joint(x, label), 1); }

// Gives every tensor with a row an expert a new one.
template <typename F>
void TabularMoe::replace_experts(F&& f) {
  NoGrad off;
  auto replace = [&](nn::Parameter& p, bool of_gate) {
    bool trained = p.requires_grad();
    p = clone(f(p.detach(), of_gate)).requires_grad_(trained);
  };
  for (nn::Parameter* p : {&gate.weight, &gate.bias}) replace(*p, true);
  for (nn::Parameter* p : {&first.weight, &first.bias}) replace(*p, false);
  if (!second) return;
  for (nn::Parameter* p : {&second->weight, &second->bias}) replace(*p, false);
}

void TabularMoe::add_expert(double deviation) {
  if (!(deviation >= 0)) throw ValueError("tabular mixture: the deviation must not be negative, it is " + decimal(deviation));
  replace_experts([&](const Tensor& p, bool of_gate) {
    Tensor centre = of_gate ? zeros_like(slice(p, 0, 0, 1)) : mean(p, {0}, true);
    return cat({p, centre + randn_like(centre) * deviation});
  });
  ++config_.experts;
}

void TabularMoe::keep_experts(const std::vector<int64_t>& experts) {
  auto count = static_cast<int64_t>(experts.size());
  if (count < std::max<int64_t>(1, config_.top_k))
    throw ValueError("tabular mixture: " + std::to_string(count) + " experts are too few; at least " +
                     std::to_string(std::max<int64_t>(1, config_.top_k)) + " must stay");
  for (int64_t e : experts)
    if (e < 0 || e >= config_.experts)
      throw IndexError("tabular mixture: expert " + std::to_string(e) + " is outside [0, " + std::to_string(config_.experts) + ")");
  Tensor kept = from_vector(experts);
  replace_experts([&](const Tensor& p, bool) { return index_select(p, 0, kept); });
  config_.experts = count;
}

}  // namespace plumb::moe
