// The encoder of BERT (Devlin et al., NAACL 2019): post-norm blocks of attention to the whole sequence.
#pragma once
#include <string>

#include "models/nn/attention.h"
#include "models/nn/containers.h"
#include "models/nn/embedding.h"
#include "models/nn/feed_forward.h"
#include "models/nn/norm.h"

namespace plumb::transformer {

struct EncoderConfig {
  int64_t vocab = 30522;    ///< tokens
  int64_t layers = 12;      ///< blocks
  int64_t heads = 12;       ///< attention heads a block; width must be a multiple
  int64_t width = 768;      ///< of the residual stream
  int64_t inner = 3072;     ///< width inside the feed-forward networks
  int64_t context = 512;    ///< longest sequence
  int64_t token_types = 2;  ///< kinds of segments
  double dropout = 0.1;            ///< of embeddings and of what each block adds
  double attention_dropout = 0.1;  ///< of attention weights
  double norm_eps = 1e-12;
  int64_t padding = 0;               ///< the token that fills short sequences; −1: none
  std::string activation = "gelu";   ///< gelu, gelu_tanh, relu or silu
  bool pooler = true;                ///< has the layer that pools the first token

  /// An object with these names. from_json takes missing ones from the defaults and throws ConfigError for values that make no model.
  std::string to_json() const;
  static EncoderConfig from_json(const std::string& json);
  /// Throws ConfigError naming the option that is out of range.
  void check() const;
};

/// x ← norm1(x + attention(x)), then x ← norm2(x + mlp(x)).
struct EncoderBlock : nn::Module {
  nn::MultiheadAttention attention;
  nn::Dropout dropout;
  nn::LayerNorm norm1;
  nn::FeedForward mlp;
  nn::LayerNorm norm2;

  explicit EncoderBlock(const EncoderConfig& config);
  /// mask: undefined, or [B, 1, 1, T], true where a token is real.
  Tensor operator()(const Tensor& x, const Tensor& mask) const;
};

class Encoder : public nn::Module {
 public:
  /// Weights drawn from the default generator as draw_weights does, with the deviation for the width; the padding token's embedding is 0.
  /// Throws ConfigError as EncoderConfig::check.
  explicit Encoder(const EncoderConfig& config);
  Encoder(Module* parent, std::string name, const EncoderConfig& config) : Encoder(config) { join(parent, std::move(name)); }

  /// tokens [B, T], T ≤ context → hidden states [B, T, width]. mask [B, T] bool: false where a token is only padding, which nothing sees;
  /// types [B, T]: the segment of each token (0 by default). Throws ShapeError for a longer T or sizes that differ.
  Tensor operator()(const Tensor& tokens, const Tensor& mask = {}, const Tensor& types = {}) const;
  /// tanh(pooler(first token)): hidden [B, T, width] → [B, width]. Throws ValueError if the model has no pooler.
  Tensor pooled(const Tensor& hidden) const;
  const EncoderConfig& config() const { return config_; }
  /// [vocab, width], for heads that share them.
  const Tensor& token_embeddings() const { return token_embedding_.weight; }

 private:
  EncoderConfig config_;
  nn::Embedding token_embedding_, position_embedding_, type_embedding_;
  nn::LayerNorm embedding_norm_;
  nn::Dropout dropout_;
  nn::ModuleList<EncoderBlock> blocks_;
  std::optional<nn::Linear> pooler_;
};

/// Σ_t mask_t x_t / Σ_t mask_t over the tokens of each sequence: hidden [B, T, width], mask [B, T] bool → [B, width]. A sequence without
/// any token gives 0. Throws ShapeError if the sizes differ.
Tensor masked_mean(const Tensor& hidden, const Tensor& mask);

}  // namespace plumb::transformer
