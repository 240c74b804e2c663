// A transformer over the instances of a bag, after TransMIL (Shao et al., NeurIPS 2021), with exact attention.
#pragma once
#include <optional>
#include <string>

#include "models/nn/containers.h"
#include "models/nn/conv.h"
#include "models/nn/dropout.h"
#include "models/nn/linear.h"
#include "models/nn/norm.h"

namespace plumb::mil {

struct TransMilConfig {
  int64_t inputs = 1024;  ///< numbers an instance
  int64_t width = 512;
  int64_t heads = 8;      ///< width must be a multiple
  int64_t residual = 33;  ///< kernel of the convolution over the values that joins the attention's result; odd; 0: none
  double dropout = 0.1;   ///< of what the attention adds
  int64_t classes = 2;

  std::string to_json() const;
  static TransMilConfig from_json(const std::string& json);
  /// Throws ConfigError naming what is out of range.
  void check() const;
};

/// Positions from convolutions (PPEG): the instances laid out row by row as a square picture, x + conv7(x) + conv5(x) + conv3(x), each
/// channel by itself; the class token in front passes through.
struct PyramidPositions : nn::Module {
  nn::Conv2d proj, proj1, proj2;
  PyramidPositions(Module* parent, std::string name, int64_t width);
  /// x [B, 1 + side², width] → the same shape.
  Tensor operator()(const Tensor& x, int64_t side) const;
};

/// x + attn(norm(x)), where attn projects softmax(q kᵀ / √d) v + depthwise convolution of v along the sequence.
class TransLayer : public nn::Module {
 public:
  struct Result {
    Tensor y;
    Tensor class_attention;  ///< of the first token, [B, heads, T]
  };
  TransLayer(Module* parent, std::string name, const TransMilConfig& config);
  /// x [B, T, width].
  Result operator()(const Tensor& x) const;

 private:
  struct Attention : nn::Module {
    nn::Linear to_qkv;
    nn::ModuleList<nn::Linear> to_out;
    std::optional<nn::Conv2d> res_conv;
    nn::Dropout dropout;
    int64_t heads;
    Attention(Module* parent, const TransMilConfig& config);
    Result operator()(const Tensor& x) const;
  };
  nn::LayerNorm norm_;
  Attention attn_;
};

/// Names are those of the authors' code (_fc1.0, cls_token, layer1.attn.to_qkv, pos_layer.proj, …), so its weights load. What differs: the
/// attention is the exact softmax where theirs is Nyström's approximation of it, with the engine's attention, which never stores T×T
/// numbers.
class TransMil : public nn::Module {
 public:
  struct Answer {
    Tensor logits;     ///< [B, classes]
    Tensor bag;        ///< the class token behind the last norm, [B, width]
    Tensor attention;  ///< what the class token of the last layer gives to each instance, [B, heads, N]; with its own share they sum to 1
  };
  /// Layers start as nn's, the class token as N(0, 1). Throws ConfigError as TransMilConfig::check.
  explicit TransMil(const TransMilConfig& config);
  /// bags x [B, N, inputs] of one size, N ≥ 1. Instances from the beginning are repeated until they fill a square; attention to a repeated
  /// one counts for its original. Throws ShapeError for other sizes.
  Answer answer(const Tensor& x) const;
  Tensor operator()(const Tensor& x) const { return answer(x).logits; }
  /// The parts, for methods that come between them: relu(_fc1(x)), and the rest.
  Tensor instances(const Tensor& x) const;
  Answer pooled(const Tensor& instances) const;
  /// What the classifier alone makes of vectors [.., width].
  Tensor classify(const Tensor& vectors) const { return fc2_(vectors); }
  const TransMilConfig& config() const { return config_; }

 private:
  TransMilConfig config_;
  nn::Parameter cls_token_;
  nn::ModuleList<nn::Linear> fc1_;
  TransLayer layer1_;
  PyramidPositions positions_;
  TransLayer layer2_;
  nn::LayerNorm norm_;
  nn::Linear fc2_;
};

}  // namespace plumb::mil
