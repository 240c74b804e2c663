// The formulas of the page on scale.
#include <algorithm>

#include "tools/bench/scale.h"

namespace plumb::tools {

double parameter_count(const transformer::GptConfig& c) {
  auto d = static_cast<double>(c.width), inner = c.inner > 0 ? static_cast<double>(c.inner) : 4 * d, layers = static_cast<double>(c.layers);
  double blocks = layers * (4 * d * d + 2 * d * inner + 2 * d), ends = static_cast<double>(c.vocab + c.context) * d + d;
  if (!c.tied) ends += static_cast<double>(c.vocab) * d;
  if (c.bias) blocks += layers * (4 * d + inner + d + 2 * d), ends += d;
  return blocks + ends;
}

// Forward 2 a weight and token, backward 4. Attention: q kᵀ and its product with v are 2 · 2 · T · d a token and layer, half of it masked.
double step_flops(const transformer::GptConfig& c, double tokens) {
  auto d = static_cast<double>(c.width), context = static_cast<double>(c.context),
       inner = c.inner > 0 ? static_cast<double>(c.inner) : 4 * d;
  double weights = static_cast<double>(c.layers) * (4 * d * d + 2 * d * inner) + static_cast<double>(c.vocab) * d;
  return tokens * (6 * weights + 3 * static_cast<double>(c.layers) * 2 * context * d);
}

double ring_half(double bytes, double n) { return (n - 1) / n * bytes; }
double ring_all_reduce(double bytes, double n) { return 2 * ring_half(bytes, n); }

double ActivationCost::bytes(const transformer::GptConfig& c, double tokens) const {
  return tokens * (block * static_cast<double>(c.layers * c.width) + vocabulary * static_cast<double>(c.vocab));
}

Plan plan(const transformer::GptConfig& c, double sequences, const Cluster& k, const ActivationCost& cost) {
  Plan p;
  auto n = static_cast<double>(k.gpus);
  double tokens = sequences * static_cast<double>(c.context);
  p.parameters = parameter_count(c);
  p.weights = p.gradients = 4 * p.parameters;
  p.optimizer_whole = 8 * p.parameters;
  p.optimizer_sharded = p.optimizer_whole / n;
  p.activations = cost.bytes(c, tokens);
  transformer::GptConfig one = c;
  one.layers = 1;
  p.activations_recomputed = cost.bytes(one, tokens) + 4 * tokens * static_cast<double>(c.layers * c.width);
  p.flops = step_flops(c, tokens);
  double rate = k.peak_flops * k.utilisation;
  p.forward_s = p.flops / 3 / rate;
  p.backward_s = p.flops / rate;  // two thirds, and with --recompute a forward pass once more
  p.sent = ring_half(p.gradients, n) + ring_half(p.weights, n);
  p.scatter_s = ring_half(p.gradients, n) / k.network_bandwidth;
  p.gather_s = ring_half(p.weights, n) / k.network_bandwidth;
  p.update_s = p.parameters / n * (4 + 2 * 4 + 2 * 8) / k.memory_bandwidth;  // reads a gradient, reads and writes a weight and two moments
  p.step_s = p.forward_s + std::max(p.backward_s, p.scatter_s) + p.update_s + p.gather_s;
  return p;
}

}  // namespace plumb::tools
