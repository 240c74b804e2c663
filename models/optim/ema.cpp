// Exponential moving averages of weights.
#include "models/optim/ema.h"

#include <algorithm>
#include <cmath>
#include <unordered_set>

#include "models/optim/optimizer.h"
#include "models/optim/parameters.h"

namespace plumb::optim {

void EmaOptions::check() const { check_option(decay >= 0 && decay < 1, "ema", "decay", "lie in [0, 1)", decay); }

double ema_decay(const EmaOptions& o, int64_t k) {
  double at = static_cast<double>(k), decay = o.decay;
  if (o.warmup) decay = std::min(decay, (1 + at) / (10 + at));
  if (o.bias_correct) decay *= (1 - std::pow(o.decay, at)) / (1 - std::pow(o.decay, at + 1));
  return decay;
}

// 11 and 8 significant bits: a step of 0.001 towards the source is less than half of the last one.
bool ema_stands_still(DType type) { return type == f16 || type == bf16; }

void ema_widen(nn::Module& average) {
  std::vector<Tensor> parameters = average.parameters();
  if (std::ranges::any_of(parameters, ema_stands_still, &Tensor::dtype)) average.to(f32);
}

// Pairs of tensors under the same names, tied ones once.
static void pair_up(const std::vector<nn::NamedTensor>& into, const std::vector<nn::NamedTensor>& from, std::vector<Tensor>& average,
                    std::vector<Tensor>& source) {
  if (into.size() != from.size())
    throw ValueError("ema: the modules have " + std::to_string(into.size()) + " and " + std::to_string(from.size()) + " tensors");
  std::unordered_set<const TensorImpl*> seen;
  for (size_t i = 0; i < into.size(); ++i) {
    if (into[i].name != from[i].name)
      throw ValueError("ema: \"" + into[i].name + "\" in the average stands where the source has \"" + from[i].name + "\"");
    if (!seen.insert(into[i].tensor.impl()).second) continue;
    average.push_back(into[i].tensor);
    source.push_back(from[i].tensor);
  }
}

void ema_update(nn::Module& average, const nn::Module& source, double decay, EmaBuffers buffers) {
  std::vector<Tensor> into, from, buffers_into, buffers_from;
  pair_up(average.named_parameters(), source.named_parameters(), into, from);
  if (std::ranges::any_of(into, ema_stands_still, &Tensor::dtype))
    throw DTypeError("ema: an average of f16 or bf16 does not move; convert it to f32 (ema_widen)");
  if (buffers != EmaBuffers::keep) pair_up(average.named_buffers(), source.named_buffers(), buffers_into, buffers_from);
  lerp(into, from, 1 - decay);
  for (size_t i = 0; i < buffers_into.size(); ++i) {
    if (buffers == EmaBuffers::average && is_floating(buffers_into[i].dtype())) lerp({buffers_into[i]}, {buffers_from[i]}, 1 - decay);
    else copy({buffers_from[i]}, {buffers_into[i]});
  }
}

}  // namespace plumb::optim
