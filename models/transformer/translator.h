// The encoder–decoder transformer (Vaswani et al., NeurIPS 2017), with pre-norm blocks: one sequence into another.
#pragma once
#include <string>

#include "models/nn/containers.h"
#include "models/nn/embedding.h"
#include "models/transformer/beam_search.h"
#include "models/transformer/pre_norm_block.h"

namespace plumb::transformer {

struct TranslatorConfig {
  int64_t source_vocab = 64, target_vocab = 64;
  int64_t encoder_layers = 3, decoder_layers = 3;
  int64_t heads = 4;       ///< width must be a multiple
  int64_t width = 128;     ///< of the residual streams, even
  int64_t inner = 512;     ///< width inside the feed-forward networks
  int64_t context = 64;    ///< longest source and target, with their markers
  double dropout = 0.1;    ///< of embeddings, attention weights and what each part adds
  int64_t padding = 0;     ///< the token that fills short sequences of both sides
  int64_t begin = 1;       ///< the token before a target
  int64_t end = 2;         ///< the token behind a target
  bool tied = true;        ///< the output projection is the target embedding
  std::string activation = "gelu";

  /// An object with these names. from_json takes missing ones from the defaults and throws ConfigError for values that make no model.
  std::string to_json() const;
  static TranslatorConfig from_json(const std::string& json);
  /// Throws ConfigError naming the option that is out of range.
  void check() const;
};

/// Keys and values of the source for one attention layer.
using Memory = std::pair<Tensor, Tensor>;

/// x ← x + attention(norm1(x)), causal; x ← x + cross(norm2(x), source); x ← x + mlp(norm3(x)).
struct TranslatorBlock : nn::Module {
  nn::LayerNorm norm1;
  nn::MultiheadAttention attention;
  nn::LayerNorm norm2;
  nn::MultiheadAttention cross;
  nn::LayerNorm norm3;
  nn::FeedForward mlp;
  nn::Dropout dropout;

  explicit TranslatorBlock(const TranslatorConfig& config);
  /// memory: cross.project(encoded source); mask [B, 1, 1, S]: true where a source token is real.
  Tensor operator()(const Tensor& x, const Memory& memory, const Tensor& mask) const;
  Tensor operator()(const Tensor& x, const Memory& memory, const Tensor& mask, KeyValueCache& cache, size_t block) const;
};

class Translator : public nn::Module {
 public:
  /// Weights Xavier-uniform, embeddings N(0, 1/width) (they are multiplied by √width). Throws ConfigError as TranslatorConfig::check.
  explicit Translator(const TranslatorConfig& config);

  /// source [B, S], target [B, T] (begin, then the words so far), both filled up with padding → logits of each next token
  /// [B, T, target_vocab]. Throws ShapeError for longer ones.
  Tensor operator()(const Tensor& source, const Tensor& target) const;
  /// The encoder alone: source [B, S] → [B, S, width].
  Tensor encode(const Tensor& source) const;
  /// The best translations of one source by beam search, ended by the end token, the best first.
  std::vector<Hypothesis> translate(const std::vector<int32_t>& source, const BeamOptions& options = {}) const;
  const TranslatorConfig& config() const { return config_; }

 private:
  friend class TranslatorDecoding;
  Tensor embedded(const nn::Embedding& table, const Tensor& tokens, int64_t first) const;
  Tensor real_tokens(const Tensor& source) const;

  TranslatorConfig config_;
  nn::Embedding source_embedding_, target_embedding_;
  nn::Dropout dropout_;
  nn::ModuleList<PreNormBlock> encoder_;
  nn::LayerNorm encoder_norm_;
  nn::ModuleList<TranslatorBlock> decoder_;
  nn::LayerNorm decoder_norm_;
  nn::Linear head_;
};

/// The decoder of a Translator for one given source, for generation. Refers to the model, which must outlive it.
class TranslatorDecoding : public CausalDecoder {
 public:
  /// source [1, S].
  TranslatorDecoding(const Translator& model, const Tensor& source);
  Tensor next(const Tensor& tokens, KeyValueCache& cache) const override;
  KeyValueCache make_cache(int64_t batch = 1) const override;
  int64_t context() const override;

 private:
  const Translator& model_;
  std::vector<Memory> memory_;  ///< of each block
  Tensor mask_;
};

}  // namespace plumb::transformer
