// The encoder–decoder transformer: its configuration, its forward pass, and decoding step by step.
#include "models/transformer/translator.h"

#include <cmath>

#include "engine/autograd/grad_mode.h"
#include "engine/io/json_fields.h"
#include "models/nn/init.h"
#include "models/require.h"
#include "ops/create.h"
#include "ops/pointwise.h"
#include "ops/shape.h"

namespace plumb::transformer {

static constexpr auto fields = [](auto& c, auto&& f) {
  f("source_vocab", c.source_vocab), f("target_vocab", c.target_vocab), f("encoder_layers", c.encoder_layers),
      f("decoder_layers", c.decoder_layers);
  f("heads", c.heads), f("width", c.width), f("inner", c.inner), f("context", c.context), f("dropout", c.dropout);
  f("padding", c.padding), f("begin", c.begin), f("end", c.end), f("tied", c.tied), f("activation", c.activation);
};

std::string TranslatorConfig::to_json() const { return fields_to_json(*this, fields); }
TranslatorConfig TranslatorConfig::from_json(const std::string& text) {
  return fields_from_json<TranslatorConfig>("translator", text, fields);
}

void TranslatorConfig::check() const {
  require_positive("translator", {{"source_vocab", source_vocab},
                                  {"target_vocab", target_vocab},
                                  {"--layers", encoder_layers},
                                  {"--decoder-layers", decoder_layers},
                                  {"--heads", heads},
                                  {"--width", width},
                                  {"--inner", inner},
                                  {"context", context}});
  require_multiple("translator", "--width", width, "--heads", heads);
  require(width % 2 == 0, "translator: sinusoidal positions need an even --width, it is " + std::to_string(width));
  require_rate("translator", "--dropout", dropout);
  for (auto [name, token] : {std::pair{"padding", padding}, {"begin", begin}, {"end", end}})
    require(token >= 0 && token < target_vocab,
            std::string("translator: ") + name + " must be a token of the target, it is " + std::to_string(token));
  require(padding < source_vocab, "translator: padding must be a token of the source, it is " + std::to_string(padding));
  nn::activation_named(activation);
}

TranslatorBlock::TranslatorBlock(const TranslatorConfig& c)
    : norm1(this, "norm1", c.width),
      attention(this, "attention", c.width, c.heads, {.dropout = c.dropout}),
      norm2(this, "norm2", c.width),
      cross(this, "cross", c.width, c.heads, {.dropout = c.dropout}),
      norm3(this, "norm3", c.width),
      mlp(this, "mlp", c.width, c.inner, {.activation = nn::activation_named(c.activation), .dropout = c.dropout}),
      dropout(this, "dropout", c.dropout) {}

Tensor TranslatorBlock::operator()(const Tensor& x, const Memory& memory, const Tensor& mask) const {
  Tensor y = x + dropout(attention(norm1(x), {.causal = true}));
  y = y + dropout(cross.attend(norm2(y), memory, {.mask = mask}));
  return y + mlp(norm3(y));
}

Tensor TranslatorBlock::operator()(const Tensor& x, const Memory& memory, const Tensor& mask, KeyValueCache& cache, size_t block) const {
  Tensor y = x + attention(norm1(x), cache, block);
  y = y + cross.attend(norm2(y), memory, {.mask = mask});
  return y + mlp(norm3(y));
}

Translator::Translator(const TranslatorConfig& c)
    : config_((c.check(), c)),
      source_embedding_(this, "source_embedding", c.source_vocab, c.width, {.padding_idx = c.padding}),
      target_embedding_(this, "target_embedding", c.target_vocab, c.width),
      dropout_(this, "dropout", c.dropout),
      encoder_(this, "encoder"),
      encoder_norm_(this, "encoder_norm", c.width),
      decoder_(this, "decoder"),
      decoder_norm_(this, "decoder_norm", c.width),
      head_(this, "head", c.width, c.target_vocab, {.bias = false}) {
  PreNormOptions block{.width = c.width,
                       .heads = c.heads,
                       .inner = c.inner,
                       .activation = nn::activation_named(c.activation),
                       .dropout = c.dropout,
                       .attention_dropout = c.dropout};
  for (int64_t i = 0; i < c.encoder_layers; ++i) encoder_.emplace_back(block);
  for (int64_t i = 0; i < c.decoder_layers; ++i) decoder_.emplace_back(c);
  if (c.tied) head_.weight = target_embedding_.weight;
  for (const auto& [name, p] : named_parameters())
    if (p.rank() == 2 && !name.ends_with("embedding.weight") && !(c.tied && name == "head.weight")) nn::init::xavier_uniform(p);
  for (nn::Embedding* table : {&source_embedding_, &target_embedding_})
    nn::init::normal(table->weight, 0, 1 / std::sqrt(static_cast<double>(c.width)));
  Tensor padding = select(source_embedding_.weight.detach(), 0, c.padding);
  copy_data(zeros(padding.shape()), padding);
}

Tensor Translator::embedded(const nn::Embedding& table, const Tensor& tokens, int64_t first) const {
  if (tokens.rank() != 2) throw ShapeError("translator: takes tokens [B, T], got " + to_string(tokens.shape()));
  int64_t end = first + tokens.size(1);
  if (end > config_.context)
    throw ShapeError("translator: " + std::to_string(end) + " tokens are more than the context of " + std::to_string(config_.context));
  Tensor positions =
      plumb::to(sinusoidal_embedding(arange(first, end, 1, i64, table.weight.device()), config_.width), table.weight.dtype());
  return dropout_(table(tokens) * std::sqrt(static_cast<double>(config_.width)) + positions);
}

Tensor Translator::real_tokens(const Tensor& source) const { return unsqueeze(unsqueeze(source != config_.padding, 1), 1); }

Tensor Translator::encode(const Tensor& source) const {
  Tensor mask = real_tokens(source), x = embedded(source_embedding_, source, 0);
  for (const PreNormBlock& block : encoder_) x = block(x, mask);
  return encoder_norm_(x);
}

Tensor Translator::operator()(const Tensor& source, const Tensor& target) const {
  Tensor encoded = encode(source), mask = real_tokens(source), x = embedded(target_embedding_, target, 0);
  if (source.size(0) != target.size(0))
    throw ShapeError("translator: source " + to_string(source.shape()) + " and target " + to_string(target.shape()) +
                     " are batches of different sizes");
  for (const TranslatorBlock& block : decoder_) x = block(x, block.cross.project(encoded), mask);
  return head_(decoder_norm_(x));
}

TranslatorDecoding::TranslatorDecoding(const Translator& model, const Tensor& source) : model_(model), mask_(model.real_tokens(source)) {
  NoGrad off;
  Tensor encoded = model.encode(source);
  for (const TranslatorBlock& block : model.decoder_) memory_.push_back(block.cross.project(encoded));
}

Tensor TranslatorDecoding::next(const Tensor& tokens, KeyValueCache& cache) const {
  NoGrad off;
  int64_t batch = tokens.size(0);
  auto for_batch = [&](const Tensor& x) { return expand(x, {batch, x.size(1), x.size(2), x.size(3)}); };
  Tensor x = model_.embedded(model_.target_embedding_, tokens, cache.length), mask = for_batch(mask_);
  for (size_t i = 0; i < memory_.size(); ++i)
    x = model_.decoder_[i](x, {for_batch(memory_[i].first), for_batch(memory_[i].second)}, mask, cache, i);
  cache.length += tokens.size(1);
  return model_.head_(model_.decoder_norm_(select(x, 1, -1)));
}

KeyValueCache TranslatorDecoding::make_cache(int64_t batch) const {
  const TranslatorConfig& c = model_.config();
  const Tensor& like = model_.target_embedding_.weight;
  return {c.decoder_layers, batch, c.heads, c.context, c.width / c.heads, like.dtype(), like.device()};
}

int64_t TranslatorDecoding::context() const { return model_.config().context; }

std::vector<Hypothesis> Translator::translate(const std::vector<int32_t>& source, const BeamOptions& options) const {
  if (source.empty()) throw ValueError("translator: the source has no tokens");
  std::vector<int64_t> tokens(source.begin(), source.end());
  TranslatorDecoding decoding(*this, plumb::to(from_vector(tokens, {1, static_cast<int64_t>(tokens.size())}), head_.weight.device()));
  BeamOptions o = options;
  o.end_token = static_cast<int32_t>(config_.end);
  return beam_search(decoding, {static_cast<int32_t>(config_.begin)}, o);
}

}  // namespace plumb::transformer
