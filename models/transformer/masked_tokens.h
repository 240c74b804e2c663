// Pretraining an encoder by words left out (BERT; Devlin et al., NAACL 2019): which tokens are hidden, and the head that names them.
#pragma once
#include <vector>

#include "engine/core/generator.h"
#include "models/transformer/encoder.h"

namespace plumb::transformer {

struct MaskingOptions {
  int64_t mask_token = 103;           ///< what stands for a hidden token
  int64_t vocab = 30522;              ///< tokens to draw random ones from
  std::vector<int64_t> special{};     ///< never hidden and never drawn: padding, [CLS], [SEP], …
  double share = 0.15;                ///< of the other tokens that are to be named
  double masked = 0.8, random = 0.1;  ///< of those: become mask_token, a random token; the rest stay as they are
};

struct MaskedTokens {
  Tensor tokens;  ///< i64, what the encoder sees
  Tensor target;  ///< i64, the token to name; −100 where none is asked for
};

/// Hides tokens (i64 of any shape), each by itself with probability `share`. Draws two numbers a token whatever becomes of it. Throws
/// ValueError for shares outside [0, 1] or without a token that could be drawn, IndexError for a token outside the vocabulary.
MaskedTokens mask_tokens(const Tensor& tokens, const MaskingOptions& options, Generator& generator);

/// Names hidden tokens: logits = norm(gelu(dense(h))) Eᵀ + bias, E the encoder's own token embeddings. Names are BERT's:
/// cls.predictions.transform.dense, cls.predictions.transform.LayerNorm, cls.predictions.bias; the encoder stands under "encoder".
class MaskedLanguageModel : public nn::Module {
 public:
  /// The encoder starts as Encoder does, dense as its layers do, the bias as 0. Throws ConfigError as EncoderConfig::check.
  explicit MaskedLanguageModel(const EncoderConfig& config);
  /// tokens [B, T], mask and types as Encoder's → logits [B, T, vocab].
  Tensor operator()(const Tensor& tokens, const Tensor& mask = {}, const Tensor& types = {}) const;
  /// The mean cross-entropy of the asked-for tokens: logits are computed for those alone. 0 if none is asked for.
  Tensor loss(const MaskedTokens& masked, const Tensor& mask = {}, const Tensor& types = {}) const;

  Encoder encoder;

 private:
  struct Transform : nn::Module {
    nn::Linear dense;
    nn::LayerNorm norm;
    Transform(Module* parent, const EncoderConfig& config);
  };
  struct Predictions : nn::Module {
    Transform transform;
    nn::Parameter bias;
    Predictions(Module* parent, const EncoderConfig& config);
  };
  struct Cls : nn::Module {
    Predictions predictions;
    Cls(Module* parent, const EncoderConfig& config);
  };
  Tensor named(const Tensor& hidden) const;
  Cls cls_;
};

}  // namespace plumb::transformer
