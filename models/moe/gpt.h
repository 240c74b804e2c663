// A GPT whose feed-forward networks are mixtures of experts.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "models/moe/feed_forward.h"
#include "models/transformer/gpt.h"

namespace plumb::moe {

struct MoeGptConfig {
  transformer::GptConfig gpt;  ///< everything but the experts; gpt.inner is the width inside the feed-forward networks that stay dense
  MoeConfig moe;               ///< inner 0: the dense width / top_k; bias and dropout are gpt's, token_ids its vocabulary
  int64_t every = 1;           ///< every so many blocks one has experts: 1 all, 2 the second, fourth, …
  int64_t first = -1;          ///< the first block that has (0 with every = 2: the first, third, …); −1: every − 1

  /// An object with these names. from_json takes missing ones from the defaults and throws ConfigError for values that make no model.
  std::string to_json() const;
  static MoeGptConfig from_json(const std::string& json);
  /// Throws ConfigError naming the option that is out of range.
  void check() const;

  int64_t dense_inner() const { return gpt.inner > 0 ? gpt.inner : 4 * gpt.width; }
  int64_t first_with_experts() const { return first >= 0 ? first : every - 1; }
  bool has_experts(int64_t block) const { return block >= first_with_experts() && (block - first_with_experts()) % every == 0; }
  /// `moe` with everything that follows from `gpt` put in.
  MoeConfig layer() const;
};

/// transformer::Block with experts for `mlp`, under the name `moe`, or without.
struct MoeBlock : nn::Module {
  nn::LayerNorm norm1;
  transformer::CausalAttention attention;
  nn::LayerNorm norm2;
  std::optional<nn::FeedForward> mlp;
  std::optional<MoeFeedForward> moe;

  MoeBlock(const MoeGptConfig& config, int64_t block);
};

/// transformer::Gpt with MoeBlocks, its parameters under the same names.
class MoeGpt : public nn::Module, public transformer::CausalDecoder {
 public:
  /// Weights drawn as transformer::Gpt's, the gates among them (those of noisy routers start as 0); biases 0, norms 1.
  /// Throws ConfigError as MoeGptConfig::check.
  explicit MoeGpt(const MoeGptConfig& config);

  struct Output {
    Tensor logits;                  ///< [B, T, vocab]
    std::vector<Routing> routings;  ///< of each block with experts
  };
  /// tokens [B, T], T ≤ context. Throws ShapeError for a longer T.
  Output forward(const Tensor& tokens) const;
  Tensor operator()(const Tensor& tokens) const { return forward(tokens).logits; }
  /// As transformer::Gpt. What a router makes of a token may depend on what it sees beside it (expert_choice, random_batch,
  /// random_sequence).
  Tensor next(const Tensor& tokens, transformer::KeyValueCache& cache) const override;
  transformer::KeyValueCache make_cache(int64_t batch = 1) const override;
  int64_t context() const override { return config_.gpt.context; }
  const MoeGptConfig& config() const { return config_; }

  /// Parameters that a token meets: all but those of the experts that it does not go to. Gates count.
  int64_t active_parameters() const;
  /// Those of the gates (and of their noise).
  int64_t router_parameters() const;
  nn::ModuleList<MoeBlock>& blocks() { return blocks_; }

  bool recompute =
      false;  ///< in training, attention and experts keep their inputs only and run again for their gradients; tokens keep their experts

 private:
  Tensor embedded(const Tensor& tokens, int64_t first_position) const;

  MoeGptConfig config_;
  nn::Embedding token_embedding_, position_embedding_;
  nn::Dropout dropout_;
  nn::ModuleList<MoeBlock> blocks_;
  nn::LayerNorm norm_;
  nn::Linear head_;
};

/// Sparse upcycling (Komatsuzaki et al., ICLR 2023): gives `model` the weights of a trained dense GPT, every expert those of the
/// feed-forward network in its place; gates keep theirs. Where a token's weights sum to 1 (normalised, noisy, hash, random) the model then
/// computes what the dense one does, to rounding. `dense` is the state of a transformer::Gpt. Checked before anything is written:
/// throws ShapeError naming a tensor of another shape with both, ValueError for one that is missing or that has no place.
void upcycle(const StateDict& dense, MoeGpt& model);

}  // namespace plumb::moe
