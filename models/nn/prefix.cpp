// Prefixes: rows split into heads and joined in front of what attention projects.
#include "models/nn/prefix.h"

#include <algorithm>
#include <string>

#include "models/nn/init.h"
#include "ops/join.h"
#include "ops/shape.h"

namespace plumb::nn {
namespace {

// [L, H · D] or [B, L, H · D] in front of [B, H, T, D]
Tensor in_front(const Tensor& rows, const Tensor& x) {
  int64_t batch = x.size(0), heads = x.size(1), width = x.size(3);
  bool shared = rows.rank() == 2;
  if ((!shared && rows.rank() != 3) || rows.size(-1) != heads * width || (!shared && rows.size(0) != batch))
    throw ShapeError("prefix: rows " + to_string(rows.shape()) + " do not fit in front of " + std::to_string(heads) + " heads of " +
                     std::to_string(width) + " for " + std::to_string(batch) + " sequences");
  int64_t length = rows.size(-2);
  if (length == 0) return x;
  Tensor by_head = transpose(unflatten(rows, -1, {heads, width}), -3, -2);
  return cat({shared ? expand(by_head, {batch, heads, length, width}) : by_head, x}, 2);
}

}  // namespace

AttentionPrefix split_prompt(const Tensor& prompt) {
  int64_t length = prompt.size(-2);
  if (length % 2 != 0) throw ValueError("prefix: a prompt of " + std::to_string(length) + " rows has no two halves");
  return {narrow(prompt, -2, 0, length / 2), narrow(prompt, -2, length / 2, length / 2)};
}

Tensor prefix_attention(const MultiheadAttention& attention, const Tensor& x, const AttentionPrefix& prefix,
                        const AttentionOptions& options) {
  if (!prefix.defined()) return attention(x, options);
  auto [keys, values] = attention.project(x);
  return attention.attend(x, {in_front(prefix.key, keys), in_front(prefix.value, values)}, options);
}

void check_prompt(const char* who, const std::vector<int64_t>& layers, int64_t length) {
  if (length < 0 || length % 2 != 0)
    throw ValueError(std::string(who) + ": the length of a prompt must be even, half keys and half values; it is " +
                     std::to_string(length));
  for (size_t i = 0; i < layers.size(); ++i)
    if (layers[i] < 0 || std::find(layers.begin(), layers.begin() + static_cast<std::ptrdiff_t>(i), layers[i]) !=
                             layers.begin() + static_cast<std::ptrdiff_t>(i))
      throw ValueError(std::string(who) + ": block " + std::to_string(layers[i]) + " is negative or named twice");
}

PrefixPrompt::PrefixPrompt(std::vector<int64_t> layers, int64_t length, int64_t width)
    : weight(this, "weight", (check_prompt("prefix", layers, length), zeros({static_cast<int64_t>(layers.size()), length, width}))),
      layers_(std::move(layers)) {
  init::uniform(weight);
}

void PrefixPrompt::place(Prefixes& prefixes) const {
  for (size_t i = 0; i < layers_.size(); ++i) {
    auto block = static_cast<size_t>(layers_[i]);
    if (prefixes.size() <= block) prefixes.resize(block + 1);
    prefixes[block] = split_prompt(select(weight, 0, static_cast<int64_t>(i)));
  }
}

}  // namespace plumb::nn
