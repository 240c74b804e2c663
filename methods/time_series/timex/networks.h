// The transformers of TimeX: encoders without a way around self-attention, whose weights a mask multiplies, and the generator of masks.
#pragma once
#include "models/mlp/mlp.h"
#include "models/nn/attention.h"
#include "models/nn/dropout.h"
#include "models/nn/feed_forward.h"
#include "models/nn/linear.h"
#include "models/nn/norm.h"

namespace plumb::methods::timex {

struct EncoderOptions {
  int64_t channels = 1, steps = 50;  ///< d, T
  int64_t code = 16;                 ///< width of the time code, even
  int64_t inner = 16;                ///< of the feed-forward network
  int64_t layers = 1;
  double dropout = 0.1;
  bool renormalise = false;  ///< masked attention weights sum to 1 again; the released code leaves them
  int64_t width() const { return code + channels; }
  /// Throws ConfigError naming what is out of range.
  void check() const;
};

/// [sin(t / τ_k), cos(t / τ_k)], τ_k = T^{k / (code/2 − 1)}: times of any shape → [.., code].
Tensor time_code(const Tensor& times, int64_t steps, int64_t code = 16);

/// out(W v), W = softmax(q kᵀ / √width) ⊙ (a aᵀ), one head: what a gate a_t = 0 leaves out is neither read nor reads.
struct GatedAttention : nn::Module {
  nn::Linear query, key, value, out;
  nn::Dropout dropout;
  bool renormalise;
  explicit GatedAttention(const EncoderOptions& options);
  GatedAttention(Module* parent, std::string name, const EncoderOptions& options) : GatedAttention(options) {
    join(parent, std::move(name));
  }
  /// x [B, T, width], gate [B, T] or undefined (all 1).
  Tensor operator()(const Tensor& x, const Tensor& gate) const;
};

/// u = LN(attention(x)), then LN(u + feed_forward(u)): no way around the attention, which would carry masked values past the gate.
struct GatedLayer : nn::Module {
  GatedAttention attention;
  nn::LayerNorm norm1;
  nn::Linear up, down;
  nn::Dropout dropout;
  nn::LayerNorm norm2;
  explicit GatedLayer(const EncoderOptions& options);
  Tensor operator()(const Tensor& x, const Tensor& gate) const;
};

/// Tokens [time code ; x_t], a few gated layers.
class SeriesEncoder : public nn::Module {
 public:
  explicit SeriesEncoder(const EncoderOptions& options);
  SeriesEncoder(Module* parent, std::string name, const EncoderOptions& options) : SeriesEncoder(options) { join(parent, std::move(name)); }
  /// x [B, T, d], times [B, T] → [B, T, width]. Throws ShapeError for other sizes.
  Tensor tokens(const Tensor& x, const Tensor& times, const Tensor& gate = {}) const;
  /// Σ_t tokens / (T + 1) [B, width].
  Tensor operator()(const Tensor& x, const Tensor& times, const Tensor& gate = {}) const;
  /// [time code ; x_t] [B, T, width].
  Tensor embed(const Tensor& x, const Tensor& times) const;
  const EncoderOptions& options() const { return options_; }

 private:
  EncoderOptions options_;
  nn::ModuleList<GatedLayer> layers_;
};

/// The classifier to be explained: an encoder and a perceptron width → width → classes.
struct SeriesClassifier : nn::Module {
  SeriesEncoder encoder;
  mlp::Mlp head;
  SeriesClassifier(const EncoderOptions& options, int64_t classes);
  Tensor operator()(const Tensor& x, const Tensor& times) const { return head(encoder(x, times)); }
};

/// An ordinary post-norm decoder layer: self-attention, attention to a memory, a feed-forward network, each with a way around it.
struct DecoderLayer : nn::Module {
  nn::MultiheadAttention self, cross;
  nn::FeedForward mlp;
  nn::LayerNorm norm1, norm2, norm3;
  nn::Dropout dropout;
  DecoderLayer(int64_t width, int64_t inner, double dropout);
  Tensor operator()(const Tensor& x, const Tensor& memory) const;
};

/// Probabilities p [B, T, d] that a step, of a channel, is part of the explanation. One channel: the second of two classes; more: sigmoids.
class MaskGenerator : public nn::Module {
 public:
  MaskGenerator(const EncoderOptions& options, int64_t decoder_layers, int64_t decoder_inner);
  MaskGenerator(Module* parent, std::string name, const EncoderOptions& options, int64_t decoder_layers, int64_t decoder_inner)
      : MaskGenerator(options, decoder_layers, decoder_inner) {
    join(parent, std::move(name));
  }
  Tensor operator()(const Tensor& x, const Tensor& times) const;

 private:
  SeriesEncoder encoder_;
  nn::ModuleList<DecoderLayer> layers_;
  nn::Linear out_;
};

}  // namespace plumb::methods::timex
