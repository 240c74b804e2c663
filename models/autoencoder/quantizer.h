// Vector quantisation (van den Oord et al., NeurIPS 2017): each vector is replaced by the nearest one of a codebook.
#pragma once
#include <string>

#include "engine/core/generator.h"
#include "models/nn/module.h"

namespace plumb::autoencoder {

struct QuantizerConfig {
  int64_t codes = 256;
  double commitment = 0.25;  ///< weight of ‖z − sg[e]‖²
  double decay = 0.99;       ///< the codebook follows the mean of its vectors at this rate; 0: it is learned by the loss ‖sg[z] − e‖²
  double restart = 1;  ///< a code used less often than so many times a batch (running mean) becomes a random vector of the batch; 0: never

  /// An object with these names. from_json takes missing ones from the defaults and throws ConfigError for values that make no model.
  std::string to_json() const;
  static QuantizerConfig from_json(const std::string& json);
  /// Throws ConfigError naming what is out of range.
  void check() const;
};

struct Quantized {
  Tensor values;   ///< as z, of codes; the gradient goes straight through to z (and, with a learned codebook, not to the codes)
  Tensor indices;  ///< i64 [B, places..]
  Tensor loss;  ///< Σ over places and channels of commitment · (z − sg[e])² (+ (sg[z] − e)² of a learned codebook), the mean over the batch
};

/// Codes e_k, "embedding.weight" [codes, width]; z [B, width, places..] → e_k with k = argmin_k ‖z − e_k‖².
/// With a decay γ, in training mode:  n_k ← γ n_k + (1 − γ) count_k,   m_k ← γ m_k + (1 − γ) Σ z,   e_k ← m_k / n_k  (Laplace-smoothed
/// n_k). Dead codes restart before the batch is quantised; at the first batch every code is dead, so the codebook starts from data. A code
/// that starts anew counts as used twice as often as `restart` asks.
class VectorQuantizer : public nn::Module {
 public:
  /// Codes start as U(−1/codes, 1/codes). Throws ConfigError as QuantizerConfig::check.
  VectorQuantizer(const QuantizerConfig& config, int64_t width);
  VectorQuantizer(nn::Module* parent, std::string name, const QuantizerConfig& config, int64_t width) : VectorQuantizer(config, width) {
    join(parent, std::move(name));
  }

  /// In training mode the codebook moves and dead codes restart, with vectors chosen by `random`. Throws ShapeError unless z has `width`
  /// channels.
  Quantized operator()(const Tensor& z, Generator& random) const;
  /// The nearest code of each vector: [B, width, places..] → i64 [B, places..].
  Tensor nearest(const Tensor& z) const;
  /// [B, places..] → [B, width, places..]. Throws IndexError for a code that does not exist.
  Tensor lookup(const Tensor& indices) const;
  const QuantizerConfig& config() const { return config_; }

  /// [codes, width]; trained where the codebook is learned by the loss, else a buffer.
  const Tensor& codebook() const;

 private:
  struct Embedding : nn::Module {
    nn::Parameter weight;
    nn::Buffer average;  // "weight" too
  } embedding_;
  void restart_dead(const Tensor& rows, Generator& random) const;
  void follow(const Tensor& rows, const Tensor& indices) const;
  void count(const Tensor& indices) const;

  QuantizerConfig config_;
  int64_t width_;
  nn::Buffer ema_count_, ema_sum_;
};

/// e^(entropy) of how often each of `codes` is used among the indices: from 1 (one code alone) to `codes` (all alike).
double perplexity(const Tensor& indices, int64_t codes);

}  // namespace plumb::autoencoder
