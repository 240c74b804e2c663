// The convolution network for sentences, forward, and its configuration.
#include "models/temporal/text_cnn.h"

#include "engine/autograd/grad_mode.h"
#include "engine/io/json_fields.h"
#include "models/nn/init.h"
#include "models/require.h"
#include "ops/activation.h"
#include "ops/index.h"
#include "ops/join.h"
#include "ops/pad.h"
#include "ops/pointwise.h"
#include "ops/pool.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::temporal {

static constexpr auto fields = [](auto& c, auto&& f) {
  f("vocab", c.vocab), f("padding", c.padding), f("embedding", c.embedding), f("widths", c.widths), f("filters", c.filters),
      f("dropout", c.dropout), f("classes", c.classes);
};

std::string TextCnnConfig::to_json() const { return fields_to_json(*this, fields); }
TextCnnConfig TextCnnConfig::from_json(const std::string& text) { return fields_from_json<TextCnnConfig>("text_cnn", text, fields); }

void TextCnnConfig::check() const {
  require_positive("text_cnn", {{"vocab", vocab}, {"embedding", embedding}, {"filters", filters}, {"classes", classes}});
  require(padding >= -1 && padding < vocab,
          "text_cnn: padding " + std::to_string(padding) + " is not one of " + std::to_string(vocab) + " tokens");
  require(!widths.empty(), "text_cnn: needs at least one width");
  for (int64_t w : widths) require_positive("text_cnn", {{"widths", w}});
  require_rate("text_cnn", "dropout", dropout);
}

TextCnn::TextCnn(const TextCnnConfig& c)
    : embedding(this, "embedding", (c.check(), c.vocab), c.embedding, {.padding_idx = c.padding}),
      config_(c),
      convs_(this, "convs"),
      dropout_(this, "dropout", c.dropout),
      fc_(this, "fc", static_cast<int64_t>(c.widths.size()) * c.filters, c.classes) {
  for (int64_t width : c.widths) convs_.emplace_back(c.embedding, c.filters, width, nn::Conv1dOptions{.padding = width - 1});
  nn::init::uniform(embedding.weight, -0.25, 0.25);
  if (c.padding >= 0) nn::init::zeros(select(embedding.weight.detach(), 0, c.padding));
}

// Window j of a width w covers tokens j − w + 1 … j; it counts if one of them is a word. relu ≥ 0, so 0 stands for no answer.
Tensor TextCnn::features(const Tensor& tokens) const {
  if (tokens.rank() != 2 || tokens.size(1) < 1)
    throw ShapeError("text_cnn: takes tokens [B, T] of at least one token, got " + to_string(tokens.shape()));
  Tensor x = mT(embedding(tokens)), words;
  if (config_.padding >= 0) {
    words = unsqueeze(plumb::to(tokens != config_.padding, x.dtype()), 1);
    x = x * words;
  }
  std::vector<Tensor> strongest;
  for (size_t i = 0; i < convs_.size(); ++i) {
    int64_t width = config_.widths[i];
    Tensor y = relu(convs_[i](x));
    if (words.defined()) y = y * max_pool1d(pad(words, {width - 1, width - 1}), width, {.stride = 1});
    strongest.push_back(max(y, 2).values);
  }
  return cat(strongest, 1);
}

Tensor TextCnn::operator()(const Tensor& tokens) const { return fc_(dropout_(features(tokens))); }

void TextCnn::limit_norms(double most) {
  NoGrad off;
  Tensor weight = fc_.weight.detach();
  copy_data(weight * clamp_max(most / clamp_min(norm(weight, 2, {1}, true), 1e-12), 1), weight);
}

}  // namespace plumb::temporal
