// Masked-token pretraining.
#include "models/transformer/masked_tokens.h"

#include <algorithm>

#include "models/nn/activation.h"
#include "models/nn/init.h"
#include "models/transformer/initial_weights.h"
#include "ops/activation.h"
#include "ops/index.h"
#include "ops/loss.h"
#include "ops/matmul.h"
#include "ops/pointwise.h"
#include "ops/shape.h"

namespace plumb::transformer {

MaskedTokens mask_tokens(const Tensor& tokens, const MaskingOptions& o, Generator& generator) {
  auto share = [](double v) { return v >= 0 && v <= 1; };
  if (!share(o.share) || !share(o.masked) || !share(o.random) || o.masked + o.random > 1)
    throw ValueError("mask_tokens: share " + decimal(o.share) + ", masked " + decimal(o.masked) + " and random " +
                     decimal(o.random) + " must lie in [0, 1], the last two together too");
  auto special = [&](int64_t token) { return std::find(o.special.begin(), o.special.end(), token) != o.special.end(); };
  std::vector<int64_t> ordinary;
  for (int64_t t = 0; t < o.vocab; ++t)
    if (t != o.mask_token && !special(t)) ordinary.push_back(t);
  if (ordinary.empty()) throw ValueError("mask_tokens: of " + std::to_string(o.vocab) + " tokens none can be drawn at random");
  std::vector<int64_t> seen = to_vector<int64_t>(tokens), target(seen.size(), -100);
  for (size_t i = 0; i < seen.size(); ++i) {
    if (seen[i] < 0 || seen[i] >= o.vocab)
      throw IndexError("mask_tokens: token " + std::to_string(seen[i]) + " is outside [0, " + std::to_string(o.vocab) + ")");
    double chosen = generator.next_double(), fate = generator.next_double();
    if (special(seen[i]) || chosen >= o.share) continue;
    target[i] = seen[i];
    if (fate < o.masked) {
      seen[i] = o.mask_token;
    } else if (fate < o.masked + o.random) {  // where in that part `fate` fell is itself uniform
      double place = (fate - o.masked) / o.random * static_cast<double>(ordinary.size());
      seen[i] = ordinary[std::min(static_cast<size_t>(place), ordinary.size() - 1)];
    }
  }
  return {from_vector(seen, tokens.shape()), from_vector(target, tokens.shape())};
}

MaskedLanguageModel::Transform::Transform(Module* parent, const EncoderConfig& c)
    : Module(parent, "transform"), dense(this, "dense", c.width, c.width), norm(this, "LayerNorm", c.width, {.eps = c.norm_eps}) {}
MaskedLanguageModel::Predictions::Predictions(Module* parent, const EncoderConfig& c)
    : Module(parent, "predictions"), transform(this, c), bias(this, "bias", zeros({c.vocab})) {}
MaskedLanguageModel::Cls::Cls(Module* parent, const EncoderConfig& c) : Module(parent, "cls"), predictions(this, c) {}

MaskedLanguageModel::MaskedLanguageModel(const EncoderConfig& c) : encoder(this, "encoder", c), cls_(this, c) {
  nn::init::normal(cls_.predictions.transform.dense.weight, 0, initial_deviation(c.width));
  nn::init::zeros(cls_.predictions.transform.dense.bias);
}

Tensor MaskedLanguageModel::named(const Tensor& hidden) const {
  const Transform& transform = cls_.predictions.transform;
  Tensor h = transform.dense(hidden);
  return linear(transform.norm(nn::activate(nn::activation_named(encoder.config().activation), h)), encoder.token_embeddings(),
                cls_.predictions.bias);
}

Tensor MaskedLanguageModel::operator()(const Tensor& tokens, const Tensor& mask, const Tensor& types) const {
  return named(encoder(tokens, mask, types));
}

Tensor MaskedLanguageModel::loss(const MaskedTokens& masked, const Tensor& mask, const Tensor& types) const {
  Tensor hidden = flatten(encoder(masked.tokens, mask, types), 0, 1), target = flatten(masked.target);
  Tensor asked = flatten(nonzero(target != -100));
  return cross_entropy(named(index_select(hidden, 0, asked)), index_select(target, 0, asked));
}

}  // namespace plumb::transformer
