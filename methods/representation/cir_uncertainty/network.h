// Networks for composed retrieval: an image and a text that says what to change become one query, an image alone becomes a target.
#pragma once
#include <array>

#include "models/mlp/mlp.h"
#include "models/nn/conv.h"
#include "models/nn/embedding.h"
#include "models/nn/linear.h"
#include "models/nn/norm.h"

namespace plumb::methods::cir_uncertainty {

struct NetworkConfig {
  int64_t channels = 3, side = 8;  ///< of the images
  int64_t tokens = 18;             ///< the vocabulary
  int64_t text = 32;               ///< of a text's vector, the mean of its tokens' embeddings
  int64_t width = 64;              ///< d, of features
  double norm_scale = 4;           ///< the length of queries and targets
  /// Throws ConfigError naming what is out of range.
  void check() const;
};

/// f = σ(G[x; w]) ⊙ x + R[x; w] on features x [B, width] with texts w [B, text] (TIRG; Vo et al., CVPR 2019): G and R have one hidden
/// layer.
struct GatedResidual : nn::Module {
  mlp::Mlp gate, residual;
  GatedResidual(int64_t width, int64_t text);
  Tensor operator()(const Tensor& x, const Tensor& text) const;
};

/// CoSMo's compositor (Lee, Kim & Han, CVPR 2021) on maps x [B, C, H, W] with texts [B, text].
///   content: c = instance_norm(x), then twice c ← c + λ attention(c, text), λ learned, 1 at first
///   style:   out = γ ⊙ c + β,  γ = gate_σ ⊙ σ(x) + g,  β = gate_μ ⊙ μ(x) + b,  gates = sigmoid(W text), (g, b) = W' text, at first around
///   (1, 0)
/// attention: each place asks all places, softmax(q kᵀ/√C) v, its question weighted channel by channel by sigmoid(W'' text).
class CosmoCompositor : public nn::Module {
 public:
  CosmoCompositor(int64_t channels, int64_t text);
  Tensor operator()(const Tensor& x, const Tensor& text) const;

  struct TextAttention : nn::Module {
    nn::Linear query, key, value, gate;
    nn::Parameter weight;  ///< λ
    TextAttention(int64_t channels, int64_t text);
    /// places [B, H·W, C] → as many.
    Tensor operator()(const Tensor& places, const Tensor& text) const;
  };

  std::array<TextAttention, 2> attention;
  nn::Linear gates, style;
  int64_t channels;
};

/// A perceptron with two hidden layers on pixels, a GatedResidual, and one linear layer above for queries and targets alike.
struct PerceptronNetwork : nn::Module {
  nn::Embedding words;
  mlp::Mlp lower;
  GatedResidual compositor;
  nn::Linear upper;

  explicit PerceptronNetwork(const NetworkConfig& config = {});
  /// images [B, C, H, W] → [B, width] of length norm_scale.
  Tensor target(const Tensor& images) const;
  /// images and tokens i64 [B, n] → the same.
  Tensor query(const Tensor& images, const Tensor& tokens) const;

 private:
  double norm_scale_;
};

/// Three convolutions (batch norm, ReLU; the second and third with stride 2), a CosmoCompositor on their map, then the mean over places and
/// a linear layer for queries and targets alike.
struct CosmoNetwork : nn::Module {
  nn::Embedding words;
  nn::Conv2d conv1, conv2, conv3;
  nn::BatchNorm bn1, bn2, bn3;
  CosmoCompositor compositor;
  nn::Linear upper;

  explicit CosmoNetwork(const NetworkConfig& config = {});
  Tensor target(const Tensor& images) const;
  Tensor query(const Tensor& images, const Tensor& tokens) const;
  /// [B, C', H', W'].
  Tensor map(const Tensor& images) const;

 private:
  Tensor top(const Tensor& map) const;
  double norm_scale_;
};

}  // namespace plumb::methods::cir_uncertainty
