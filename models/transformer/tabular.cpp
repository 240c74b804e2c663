// The tabular transformer: its configuration and its forward pass.
#include "models/transformer/tabular.h"

#include <cmath>

#include "engine/io/json_fields.h"
#include "models/nn/init.h"
#include "models/require.h"
#include "ops/activation.h"
#include "ops/join.h"
#include "ops/pointwise.h"
#include "ops/shape.h"

namespace plumb::transformer {

static constexpr auto fields = [](auto& c, auto&& f) {
  f("numeric", c.numeric), f("categories", c.categories), f("outputs", c.outputs), f("layers", c.layers), f("heads", c.heads),
      f("width", c.width), f("inner", c.inner);
  f("dropout", c.dropout), f("attention_dropout", c.attention_dropout);
};

std::string TabularConfig::to_json() const { return fields_to_json(*this, fields); }
TabularConfig TabularConfig::from_json(const std::string& text) { return fields_from_json<TabularConfig>("tabular", text, fields); }

void TabularConfig::check() const {
  require_positive("tabular", {{"outputs", outputs}, {"layers", layers}, {"heads", heads}, {"width", width}, {"inner", inner}});
  require(numeric >= 0, "tabular: numeric must not be negative, it is " + std::to_string(numeric));
  require(numeric > 0 || !categories.empty(), "tabular: the table has no columns");
  for (int64_t n : categories) require(n >= 1, "tabular: a column of categories has " + std::to_string(n));
  require_multiple("tabular", "width", width, "heads", heads);
  require_rate("tabular", "dropout", dropout);
  require_rate("tabular", "attention_dropout", attention_dropout);
}

static Tensor drawn(const Shape& shape, int64_t width) {
  Tensor t = empty(shape);
  double bound = 1 / std::sqrt(static_cast<double>(width));
  nn::init::uniform(t, -bound, bound);
  return t;
}

FeatureTokens::FeatureTokens(int64_t numeric, const std::vector<int64_t>& categories, int64_t width) {
  int64_t columns = numeric + static_cast<int64_t>(categories.size());
  if (numeric > 0) register_parameter("weight", weight_, drawn({numeric, width}, width));
  register_parameter("bias", bias_, drawn({columns, width}, width));
  register_module("tables", tables_);
  for (int64_t n : categories) copy_data(drawn({n, width}, width), tables_.emplace_back(n, width).weight);
}

Tensor FeatureTokens::operator()(const Tensor& numbers, const Tensor& categories) const {
  int64_t numeric = weight_.defined() ? weight_.size(0) : 0, columns = static_cast<int64_t>(tables_.size());
  auto fits = [](const Tensor& x, int64_t n) {
    return n == 0 ? !x.defined() || x.numel() == 0 : x.defined() && x.rank() == 2 && x.size(1) == n;
  };
  if (!fits(numbers, numeric) || !fits(categories, columns) || (numeric > 0 && columns > 0 && numbers.size(0) != categories.size(0)))
    throw ShapeError("tabular: takes numbers [B, " + std::to_string(numeric) + "] and categories [B, " + std::to_string(columns) +
                     "], got " + (numbers.defined() ? to_string(numbers.shape()) : "none") + " and " +
                     (categories.defined() ? to_string(categories.shape()) : "none"));
  std::vector<Tensor> tokens;
  if (numeric > 0) tokens.push_back(unsqueeze(numbers, 2) * weight_);
  for (int64_t j = 0; j < columns; ++j) tokens.push_back(tables_[static_cast<size_t>(j)](slice(categories, 1, j, j + 1)));
  return cat(tokens, 1) + bias_;
}

TabularTransformer::TabularTransformer(const TabularConfig& c)
    : config_((c.check(), c)),
      tokens_(this, "tokens", c.numeric, c.categories, c.width),
      class_token_(this, "class_token", drawn({1, 1, c.width}, c.width)),
      blocks_(this, "blocks"),
      norm_(this, "norm", c.width),
      head_(this, "head", c.width, c.outputs) {
  for (int64_t i = 0; i < c.layers; ++i)
    blocks_.emplace_back(PreNormOptions{.width = c.width,
                                        .heads = c.heads,
                                        .inner = c.inner,
                                        .activation = nn::ActivationKind::relu,
                                        .gated = true,
                                        .dropout = c.dropout,
                                        .attention_dropout = c.attention_dropout});
}

Tensor TabularTransformer::operator()(const Tensor& numbers, const Tensor& categories) const {
  Tensor features = tokens_(numbers, categories);
  Tensor x = cat({expand(class_token_, {features.size(0), 1, config_.width}), features}, 1);
  for (const PreNormBlock& block : blocks_) x = block(x);
  return head_(relu(norm_(select(x, 1, 0))));
}

}  // namespace plumb::transformer
