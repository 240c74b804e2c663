// GPT: the decoder of GPT-2 (Radford et al. 2019), pre-norm blocks of causal attention and a feed-forward network.
#pragma once
#include <string>
#include <vector>

#include "models/nn/bottleneck.h"
#include "models/nn/containers.h"
#include "models/nn/dropout.h"
#include "models/nn/embedding.h"
#include "models/nn/feed_forward.h"
#include "models/nn/linear.h"
#include "models/nn/norm.h"
#include "models/nn/soft_prompt.h"
#include "models/transformer/decoder.h"

namespace plumb::transformer {

struct GptConfig {
  int64_t vocab = 65;     ///< tokens
  int64_t layers = 4;     ///< blocks
  int64_t heads = 4;      ///< attention heads a block; width must be a multiple
  int64_t width = 128;    ///< of the residual stream
  int64_t context = 64;   ///< longest sequence
  double dropout = 0;     ///< of attention weights and of what each block adds
  bool bias = false;      ///< in linear layers and norms
  bool tied = true;       ///< the output projection is the token embedding
  int64_t inner = 0;      ///< width inside the feed-forward network; 0: 4 width
  std::string activation = "gelu";  ///< of the feed-forward network: gelu, gelu_tanh (GPT-2's), relu or silu
  double norm_eps = 1e-5;

  /// An object with these names. from_json takes missing ones from the defaults and throws ConfigError for values that make no model.
  std::string to_json() const;
  static GptConfig from_json(const std::string& json);
  /// Throws ConfigError naming the option that is out of range.
  void check() const;
};

/// y = out(attention(qkv(x))), causal.
struct CausalAttention : nn::Module, nn::BottleneckPlace {
  nn::Linear qkv, out;
  nn::Dropout residual_dropout;
  int64_t heads;
  double dropout;

  CausalAttention(nn::Module* parent, std::string name, const GptConfig& config);
  Tensor operator()(const Tensor& x) const;
  /// The same for x that continues what `cache` holds; adds its keys and values at place `block` (the caller advances cache.length).
  Tensor operator()(const Tensor& x, KeyValueCache& cache, size_t block) const;
  int64_t output_width() const override { return out.weight.size(0); }
};

/// The residual stream x + branch before the sum is taken, so that the next norm takes it in the same pass. branch may be undefined.
struct Residual {
  Tensor x, branch;
};

/// x + attention(norm1(x)), then x + mlp(norm2(x)).
struct Block : nn::Module {
  nn::LayerNorm norm1;
  CausalAttention attention;
  nn::LayerNorm norm2;
  nn::FeedForward mlp;

  explicit Block(const GptConfig& config);
  Tensor operator()(const Tensor& x) const;
  Residual operator()(const Residual& stream) const;
  Tensor operator()(const Tensor& x, KeyValueCache& cache, size_t block) const;
};

class Gpt : public nn::Module, public CausalDecoder {
 public:
  /// Weights drawn from the default generator: normal with standard deviation 0.02 · √(768 / width), which is GPT-2's at its width and
  /// keeps products of one size at others; divided by √(2·layers) for projections into the residual stream; biases 0, norms 1.
  /// Throws ConfigError as GptConfig::check.
  explicit Gpt(const GptConfig& config);

  /// tokens [B, T], T ≤ context → logits [B, T, vocab]. Throws ShapeError for a longer T.
  Tensor operator()(const Tensor& tokens) const;
  /// The same logits of tokens that stand behind a learned prompt, which takes its part of the context.
  Tensor operator()(const Tensor& tokens, const nn::SoftPrompt& prompt) const;
  /// Logits of the last of `tokens` [B, T] → [B, vocab], given what the cache holds; the cache then holds them too.
  Tensor next(const Tensor& tokens, KeyValueCache& cache) const override;
  /// The same behind a learned prompt, which goes into an empty cache before the tokens.
  Tensor next(const Tensor& tokens, KeyValueCache& cache, const nn::SoftPrompt& prompt) const;
  KeyValueCache make_cache(int64_t batch = 1) const override;
  int64_t context() const override { return config_.context; }
  const GptConfig& config() const { return config_; }

  bool recompute = false;  ///< in training, each block keeps its input only and runs again for its gradient

 private:
  Tensor embedded(const Tensor& tokens, int64_t first_position, const nn::SoftPrompt* prompt = nullptr) const;
  Tensor continued(const Tensor& tokens, KeyValueCache& cache, const nn::SoftPrompt* prompt) const;

  GptConfig config_;
  nn::Embedding token_embedding_, position_embedding_;
  nn::Dropout dropout_;
  nn::ModuleList<Block> blocks_;
  nn::LayerNorm norm_;
  nn::Linear head_;
};

/// A Gpt whose every sequence stands behind one learned prompt: what generate and beam_search take. Both are kept by reference.
class PromptedGpt : public CausalDecoder {
 public:
  /// Throws ValueError for a prompt that leaves no room in the context.
  PromptedGpt(const Gpt& model, const nn::SoftPrompt& prompt);
  Tensor next(const Tensor& tokens, KeyValueCache& cache) const override { return model_.next(tokens, cache, prompt_); }
  KeyValueCache make_cache(int64_t batch = 1) const override { return model_.make_cache(batch); }
  int64_t context() const override { return model_.context() - prompt_.length(); }

 private:
  const Gpt& model_;
  const nn::SoftPrompt& prompt_;
};

}  // namespace plumb::transformer
