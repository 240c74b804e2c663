// What a layer of experts looks like.
#pragma once
#include <cstdint>
#include <string>

namespace plumb::moe {

/// How tokens find their experts.
enum class RouterKind : uint8_t {
  softmax,          ///< the top_k largest of softmax(W x)
  sigmoid,          ///< the top_k largest of σ(W x)
  noisy,            ///< the top_k largest of W x + ε ⊙ softplus(W_noise x), weighed by their softmax (Shazeer et al., ICLR 2017)
  switched,         ///< "switch": the one largest of softmax(W x), weighed by it (Fedus et al., JMLR 2022)
  expert_choice,    ///< each expert takes the tokens with the largest softmax(W x) for it (Zhou et al., NeurIPS 2022)
  hash,             ///< top_k experts fixed for each token id at random (Roller et al., NeurIPS 2021)
  random_batch,     ///< top_k experts drawn uniformly, the same for the whole batch (Zuo et al., ICLR 2022)
  random_sequence,  ///< … for each sequence
  random_token,     ///< … for each token
};
/// "softmax", "sigmoid", "noisy", "switch", "expert_choice", "hash", "random_batch", "random_sequence", "random_token". Throws ConfigError.
RouterKind router_named(const std::string& name);
/// Whether the kind has a gate W, and so probabilities that losses can balance.
inline bool has_gate(RouterKind kind) { return kind <= RouterKind::expert_choice; }

struct MoeConfig {
  int64_t experts = 8;
  int64_t top_k = 2;               ///< experts of a token
  std::string router = "softmax";  ///< a RouterKind by its name
  bool normalize = true;  ///< softmax, sigmoid: a token's weights are divided by their sum. With top_k = 1 the gate then learns from the
                          ///< losses of balance alone
  double capacity = 0;  ///< in training an expert takes at most ⌈capacity · tokens · top_k / experts⌉ tokens, the rest pass it by; 0: all.
                        ///< expert_choice: experts of a token in the mean, always; 0: top_k
  double jitter = 0;                ///< in training the gate sees x ⊙ U(1 − jitter, 1 + jitter)
  int64_t token_ids = 0;            ///< hash: how many ids there are
  int64_t inner = 0;                ///< width inside an expert; 0: 4 width / top_k, with as many active parameters as a dense network
  int64_t shared_inner = 0;         ///< width inside a shared expert that every token passes; 0: none
  std::string activation = "gelu";  ///< of the experts: gelu, gelu_tanh, relu or silu
  bool gated = false;               ///< with silu SwiGLU, with gelu GEGLU
  bool bias = false;
  double dropout = 0;  ///< of the result, in training

  /// An object with these names. from_json takes missing ones from the defaults and throws ConfigError for values that make no model.
  std::string to_json() const;
  static MoeConfig from_json(const std::string& json);
  /// Throws ConfigError naming the option that is out of range.
  void check() const;
  /// `inner`, or where it is 0 the default: the inner width of a dense network, shared by the top_k experts of a token.
  int64_t expert_inner(int64_t dense) const { return inner > 0 ? inner : dense / top_k; }
};

}  // namespace plumb::moe
