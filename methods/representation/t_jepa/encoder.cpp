// Encoder and predictor, forward. Derivatives are the operations'.
#include "methods/representation/t_jepa/encoder.h"

#include <fmt/format.h>

#include <cmath>

#include "models/nn/init.h"
#include "models/require.h"
#include "ops/attention.h"
#include "ops/create.h"
#include "ops/embedding.h"
#include "ops/index.h"
#include "ops/join.h"
#include "ops/pointwise.h"
#include "ops/shape.h"

namespace plumb::methods::t_jepa {
namespace {

constexpr double kDeviation = 0.02;
void draw_small(const Tensor& t) { nn::init::truncated_normal(t, 0, kDeviation, -2, 2); }

/// The REG tokens of every row, then features by their number: places among the R + D tokens.
Tensor with_reg(const Tensor& features, int64_t n_reg) {
  Tensor shifted = features + n_reg;
  if (n_reg == 0) return shifted;
  return cat({expand(unsqueeze(arange(n_reg, i64), 0), {features.size(0), n_reg}), shifted}, 1);
}

transformer::EncoderConfig block_config(int64_t width, int64_t layers, int64_t heads, int64_t inner, double dropout) {
  return {.layers = layers,
          .heads = heads,
          .width = width,
          .inner = inner,
          .dropout = dropout,
          .attention_dropout = dropout,
          .norm_eps = 1e-5,
          .activation = "relu"};
}

/// Linear layers below `module`. The projections of attention are drawn as the packed matrix [3 h, h] they are in the official code.
void draw_weights(nn::Module& module, Init init) {
  for (auto& [name, child] : module.named_modules()) {
    auto* linear = dynamic_cast<nn::Linear*>(child);
    if (!linear) continue;
    bool packed = name.ends_with("attention.query") || name.ends_with("attention.key") || name.ends_with("attention.value");
    double out = static_cast<double>(linear->weight.size(0)), in = static_cast<double>(linear->weight.size(1));
    double bound = std::sqrt(6 / (in + (packed ? 3 * out : out)));
    if (packed || init == Init::xavier) nn::init::uniform(linear->weight, -bound, bound);
    else draw_small(linear->weight);
    if (linear->bias.defined()) nn::init::zeros(linear->bias);
  }
}

Tensor uniform_rows(int64_t rows, int64_t width) {
  Tensor t = empty({rows, width});
  double bound = 1 / std::sqrt(static_cast<double>(width));
  nn::init::uniform(t, -bound, bound);
  return t;
}

}  // namespace

Tensor interleaved_positions(int64_t count, int64_t width, double base) {
  Tensor halves = sinusoidal_embedding(arange(count, i64), width, base);
  return reshape(transpose(unflatten(halves, 1, {2, width / 2}), 1, 2), {count, width});
}

// -- the tokenizer --------------------------------------------------------------------------------------

static int64_t checked_width(int64_t numeric, const std::vector<int64_t>& cardinalities, int64_t width, int64_t n_reg) {
  if (numeric < 0 || (numeric == 0 && cardinalities.empty())) throw ValueError("feature_tokenizer: the table has no columns");
  if (width < 1 || n_reg < 0) throw ValueError(fmt::format("feature_tokenizer: a width of {} with {} REG tokens", width, n_reg));
  return width;
}

FeatureTokenizer::FeatureTokenizer(int64_t numeric, const std::vector<int64_t>& cardinalities, int64_t width, int64_t n_reg)
    : features(this, "features", numeric, cardinalities, checked_width(numeric, cardinalities, width, n_reg)) {
  if (n_reg > 0) register_parameter("reg", reg, uniform_rows(n_reg, width));
}

Tensor FeatureTokenizer::operator()(const Tensor& numbers, const Tensor& categories) const {
  Tensor tokens = features(numbers, categories);
  if (!reg.defined()) return tokens;
  return cat({expand(unsqueeze(reg, 0), {tokens.size(0), reg.size(0), reg.size(1)}), tokens}, 1);
}

// -- the encoder ----------------------------------------------------------------------------------------

void EncoderOptions::check() const {
  require_positive("t_jepa", {{"width", width}, {"layers", layers}, {"heads", heads}, {"inner", inner}});
  require_multiple("t_jepa", "width", width, "heads", heads);
  require(width % 2 == 0, fmt::format("t_jepa: width {} is odd, the position code needs pairs", width));
  require_rate("t_jepa", "dropout", dropout);
  require(n_reg >= 0, fmt::format("t_jepa: n_reg must not be negative, it is {}", n_reg));
  require(numeric >= 0 && features() > 0, "t_jepa: the table has no columns");
  for (int64_t n : cardinalities) require(n >= 1, fmt::format("t_jepa: a column of {} categories", n));
}

Trunk::Trunk(int64_t width, int64_t layers, int64_t heads, int64_t inner, double dropout)
    : blocks_(this, "blocks"),
      dropout_(this, "dropout", dropout),
      norm1_(this, "norm1", width),
      linear_(this, "linear", width, width),
      norm2_(this, "norm2", width) {
  for (int64_t i = 0; i < layers; ++i) blocks_.emplace_back(block_config(width, layers, heads, inner, dropout));
}

Tensor Trunk::operator()(const Tensor& input) const {
  Tensor x = input;
  for (const transformer::EncoderBlock& block : blocks_) x = block(x, {});
  return norm2_(dropout_(linear_(norm1_(dropout_(x)))));
}

TabularEncoder::TabularEncoder(const EncoderOptions& o)
    : tokenizer(this, "tokenizer", (o.check(), o.numeric), o.cardinalities, o.width, o.n_reg),
      options_(o),
      position_(this, "position", o.positions ? interleaved_positions(o.tokens(), o.width, 100) : zeros({o.tokens(), o.width}),
                /*saved=*/false),
      trunk_(this, "trunk", o.width, o.layers, o.heads, o.inner, o.dropout) {
  draw_weights(trunk_, o.init);
  if (o.init == Init::official)
    for (const nn::NamedTensor& p : tokenizer.named_parameters())
      if (p.name.find("tables.") != std::string::npos) draw_small(p.tensor);
  if (!o.type_embedding) return;
  register_parameter("type", type_, empty({2, o.width}));
  draw_small(type_);
}

Tensor TabularEncoder::operator()(const Tensor& numbers, const Tensor& categories, const Tensor& context) const {
  const EncoderOptions& o = options_;
  Tensor tokens = tokenizer(numbers, categories) + position_;
  if (type_.defined()) {
    Tensor kind =
        cat({expand(slice(type_, 0, 0, 1), {o.numeric, o.width}), expand(slice(type_, 0, 1, 2), {o.features() - o.numeric, o.width})}, 0);
    tokens = tokens + cat({zeros({o.n_reg, o.width}, kind.dtype()), kind}, 0);
  }
  if (context.defined()) {
    if (context.rank() != 2 || context.size(0) != tokens.size(0))
      throw ShapeError(fmt::format("t_jepa: a context of {} for {} rows", to_string(context.shape()), tokens.size(0)));
    tokens = take_along(tokens, unsqueeze(with_reg(context, o.n_reg), 2), 1);
  }
  return trunk_(tokens);
}

// -- the predictor --------------------------------------------------------------------------------------

LatentPredictor::LatentPredictor(const EncoderOptions& e, const PredictorOptions& o)
    : mask_token(this, "mask_token", empty({o.width})),
      n_reg_(e.n_reg),
      in_(this, "in", e.width, o.width),
      position_(this, "position", sinusoidal_embedding(arange(e.tokens(), i64), o.width, 10000), /*saved=*/false),
      trunk_(this, "trunk", o.width, o.layers, o.heads, o.inner, 0),
      norm_(this, "norm", o.width),
      out_(this, "out", o.width, e.width) {
  draw_weights(*this, e.init);
  draw_small(mask_token);
}

Tensor LatentPredictor::operator()(const Tensor& z, const Tensor& context, const std::vector<Tensor>& targets) const {
  if (targets.empty()) throw ValueError("t_jepa: there are no targets to predict");
  if (z.rank() != 3 || context.rank() != 2 || z.size(1) != n_reg_ + context.size(1))
    throw ShapeError(fmt::format("t_jepa: latents {} do not fit a context of {} and {} REG tokens", to_string(z.shape()),
                                 to_string(context.shape()), n_reg_));
  Tensor seen = in_(z) + embedding(position_, with_reg(context, n_reg_));
  std::vector<Tensor> sets;
  for (const Tensor& target : targets) sets.push_back(cat({seen, mask_token + embedding(position_, target + n_reg_)}, 1));
  Tensor predicted = norm_(trunk_(cat(sets, 0)));
  return out_(narrow(predicted, 1, z.size(1), targets[0].size(1)));
}

Tensor gather_targets(const Tensor& hidden, const std::vector<Tensor>& targets, int64_t n_reg) {
  std::vector<Tensor> sets;
  for (const Tensor& target : targets) sets.push_back(take_along(hidden, unsqueeze(target + n_reg, 2), 1));
  return cat(sets, 0);
}

}  // namespace plumb::methods::t_jepa
