// Llama (Touvron et al. 2023) and its relatives: a pre-norm decoder with rotary positions, root-mean-square norms, gated feed-forward
// networks and grouped-query attention.
#pragma once
#include <string>

#include "models/nn/attention.h"
#include "models/nn/containers.h"
#include "models/nn/embedding.h"
#include "models/nn/feed_forward.h"
#include "models/nn/norm.h"
#include "models/nn/soft_prompt.h"
#include "models/transformer/decoder.h"

namespace plumb::transformer {

struct LlamaConfig {
  int64_t vocab = 32000;          ///< tokens
  int64_t layers = 8;             ///< blocks
  int64_t heads = 8;              ///< of queries; width must be a multiple unless head_width is given
  int64_t key_value_heads = 0;    ///< grouped-query attention; heads must be a multiple; 0: heads
  int64_t width = 512;            ///< of the residual stream
  int64_t head_width = 0;         ///< of one head, even; 0: width / heads
  int64_t inner = 1376;           ///< width inside the feed-forward networks
  int64_t context = 2048;         ///< longest sequence
  int64_t window = 0;             ///< a token sees only so many before it and itself; 0: all
  double rope_base = 10000;       ///< of the rotary angles
  double rope_factor = 1, rope_low = 1, rope_high = 4;  ///< their scaling for longer contexts (RotaryScaling)
  int64_t rope_original_context = 0;
  double norm_eps = 1e-6;
  double dropout = 0;             ///< of attention weights and of what each block adds
  bool attention_bias = false;    ///< of the projections of queries, keys and values
  bool out_bias = false;          ///< of attention's last projection
  bool mlp_bias = false;
  bool tied = false;              ///< the output projection is the token embedding
  std::string activation = "silu";

  /// An object with these names. from_json takes missing ones from the defaults and throws ConfigError for values that make no model.
  std::string to_json() const;
  static LlamaConfig from_json(const std::string& json);
  /// Throws ConfigError naming the option that is out of range.
  void check() const;
};

/// x + attention(norm1(x)), then x + mlp(norm2(x)).
struct LlamaBlock : nn::Module {
  nn::RMSNorm norm1;
  nn::MultiheadAttention attention;
  nn::Dropout dropout;
  nn::RMSNorm norm2;
  nn::FeedForward mlp;
  int64_t window;

  explicit LlamaBlock(const LlamaConfig& config);
  Tensor operator()(const Tensor& x) const;
  Tensor operator()(const Tensor& x, KeyValueCache& cache, size_t block) const;
};

class Llama : public nn::Module, public CausalDecoder {
 public:
  /// Weights drawn from the default generator as draw_weights does, with the deviation for the width. Throws ConfigError as
  /// LlamaConfig::check.
  explicit Llama(const LlamaConfig& config);

  /// tokens [B, T], T ≤ context → logits [B, T, vocab]. Throws ShapeError for a longer T.
  Tensor operator()(const Tensor& tokens) const;
  /// The same logits of tokens that stand behind a learned prompt, which takes its part of the context.
  Tensor operator()(const Tensor& tokens, const nn::SoftPrompt& prompt) const;
  Tensor next(const Tensor& tokens, KeyValueCache& cache) const override;
  KeyValueCache make_cache(int64_t batch = 1) const override;
  int64_t context() const override { return config_.context; }
  const LlamaConfig& config() const { return config_; }

 private:
  void check_tokens(const Tensor& tokens, int64_t first) const;

  LlamaConfig config_;
  nn::Embedding token_embedding_;
  nn::ModuleList<LlamaBlock> blocks_;
  nn::RMSNorm norm_;
  nn::Linear head_;
};

}  // namespace plumb::transformer
