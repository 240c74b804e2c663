// The GPT of experts, forward.
#include "models/moe/gpt.h"

#include "engine/autograd/autocast.h"
#include "engine/autograd/checkpoint.h"
#include "engine/autograd/grad_mode.h"
#include "models/nn/init.h"
#include "models/transformer/initial_weights.h"
#include "ops/pointwise.h"
#include "ops/shape.h"

namespace plumb::moe {
namespace {

// A block whose attention and experts keep their inputs only; tokens keep their experts, so the router runs once.
Tensor recomputed(const MoeBlock& block, Tensor x, const Tensor& tokens, std::vector<Routing>& routings) {
  x = checkpoint([&block, x] { return x + block.attention(block.norm1(x)); });
  if (block.mlp) return checkpoint([&block, x] { return x + (*block.mlp)(block.norm2(x)); });
  Tensor inner = block.norm2(x);
  routings.push_back(block.moe->router(inner, tokens));
  return checkpoint([&block, x, inner, routing = routings.back()] { return x + block.moe->forward(inner, routing); });
}

}  // namespace

MoeBlock::MoeBlock(const MoeGptConfig& c, int64_t block)
    : norm1(this, "norm1", c.gpt.width, {.eps = c.gpt.norm_eps, .bias = c.gpt.bias}),
      attention(this, "attention", c.gpt),
      norm2(this, "norm2", c.gpt.width, {.eps = c.gpt.norm_eps, .bias = c.gpt.bias}) {
  if (c.has_experts(block)) {
    register_module("moe", moe.emplace(c.gpt.width, c.layer(), block));
  } else {
    nn::FeedForwardOptions o{.activation = nn::activation_named(c.gpt.activation), .bias = c.gpt.bias, .dropout = c.gpt.dropout};
    register_module("mlp", mlp.emplace(c.gpt.width, c.dense_inner(), o));
  }
}

MoeGpt::MoeGpt(const MoeGptConfig& c)
    : config_((c.check(), c)),
      token_embedding_(this, "token_embedding", c.gpt.vocab, c.gpt.width),
      position_embedding_(this, "position_embedding", c.gpt.context, c.gpt.width),
      dropout_(this, "dropout", c.gpt.dropout),
      blocks_(this, "blocks"),
      norm_(this, "norm", c.gpt.width, {.eps = c.gpt.norm_eps, .bias = c.gpt.bias}),
      head_(this, "head", c.gpt.width, c.gpt.vocab, {.bias = false}) {
  for (int64_t i = 0; i < c.gpt.layers; ++i) blocks_.emplace_back(c, i);
  if (c.gpt.tied) head_.weight = token_embedding_.weight;
  transformer::draw_weights(*this, transformer::initial_deviation(c.gpt.width), c.gpt.layers,
                            {"attention.out.weight", "mlp.down.weight", "experts.down.weight", "shared.down.weight"});
  for (const auto& [name, parameter] : named_parameters()) {
    bool of_noisy = router_named(c.moe.router) == RouterKind::noisy && name.find(".router.") != std::string::npos;
    if (of_noisy || name.ends_with(".bias")) nn::init::zeros(parameter);
  }
}

Tensor MoeGpt::embedded(const Tensor& tokens, int64_t first) const {
  if (tokens.rank() != 2) throw ShapeError("moe gpt: takes tokens [B, T], got " + to_string(tokens.shape()));
  int64_t end = first + tokens.size(1);
  if (end > context())
    throw ShapeError("moe gpt: " + std::to_string(end) + " tokens are more than the context of " + std::to_string(context()));
  return dropout_(token_embedding_(tokens) + slice(position_embedding_.weight, 0, first, end));
}

// As transformer::Gpt, a sum of the residual stream is taken by the norm after it. The norm that a gate compares tokens by is not rounded
// for the experts' products.
MoeGpt::Output MoeGpt::forward(const Tensor& tokens) const {
  Output out;
  transformer::Residual stream{embedded(tokens, 0), {}};
  for (const MoeBlock& block : blocks_) {
    if (recompute && training()) {
      stream.x = recomputed(block, stream.x, tokens, out.routings);
      continue;
    }
    AddNorm first = block.norm1.added(stream.x, stream.branch);
    Tensor attended = block.attention(first.norm);
    if (block.mlp) {
      AddNorm second = block.norm2.added(first.sum, attended);
      stream = {second.sum, (*block.mlp)(second.norm)};
      continue;
    }
    AddNorm second = [&] {
      Autocast off(f32);
      return block.norm2.added(first.sum, attended);
    }();
    out.routings.push_back(block.moe->router(second.norm, tokens));
    stream = {second.sum, block.moe->forward(second.norm, out.routings.back())};
  }
  out.logits = head_(norm_.added(stream.x, stream.branch).norm);
  return out;
}

Tensor MoeGpt::next(const Tensor& tokens, transformer::KeyValueCache& cache) const {
  NoGrad off;
  Tensor x = embedded(tokens, cache.length);
  for (size_t i = 0; i < blocks_.size(); ++i) {
    const MoeBlock& block = blocks_[i];
    x = x + block.attention(block.norm1(x), cache, i);
    x = x + (block.mlp ? (*block.mlp)(block.norm2(x)) : (*block.moe)(block.norm2(x), tokens));
  }
  cache.length += tokens.size(1);
  return head_(norm_(select(x, 1, -1)));
}

transformer::KeyValueCache MoeGpt::make_cache(int64_t batch) const {
  const Tensor& like = token_embedding_.weight;
  const transformer::GptConfig& c = config_.gpt;
  return {c.layers, batch, c.heads, c.context, c.width / c.heads, like.dtype(), like.device()};
}

int64_t MoeGpt::active_parameters() const {
  int64_t active = num_parameters();
  for (const MoeBlock& block : blocks_)
    if (block.moe) active -= block.moe->experts.num_parameters() / config_.moe.experts * (config_.moe.experts - config_.moe.top_k);
  return active;
}

int64_t MoeGpt::router_parameters() const {
  int64_t count = 0;
  for (const MoeBlock& block : blocks_)
    if (block.moe) count += block.moe->router.num_parameters();
  return count;
}

}  // namespace plumb::moe
