// The networks of supnotMIWAE: a Gaussian encoder and decoder of series, the model of which values are missing, and the classifier.
#pragma once
#include <optional>
#include <vector>

#include "methods/time_series/supnotmiwae/imputation.h"
#include "models/nn/containers.h"
#include "models/nn/conv.h"
#include "models/nn/linear.h"
#include "models/transformer/pre_norm_block.h"

namespace plumb::methods::supnotmiwae {

struct NetworkOptions {
  int64_t width = 128, heads = 2;
  int64_t kernel = 3;  ///< of the convolution at the entrance
  int64_t layers = 2;  ///< transformer blocks behind it
  bool causal = true;  ///< a step sees itself and earlier ones (the convolution sees both sides)
  double dropout = 0;  ///< of what each part of a block adds, in training mode
};

/// tanh(conv1d(x)) + time code, then transformer blocks that see valid steps alone: x [N, T, in], times and valid [N, T] → [N, T, width].
class SeriesNetwork : public nn::Module {
 public:
  SeriesNetwork(nn::Module* parent, std::string name, int64_t inputs, const NetworkOptions& options);
  Tensor operator()(const Tensor& x, const Tensor& times, const Tensor& valid) const;

 private:
  bool causal_;
  int64_t width_;
  nn::Conv1d entrance_;
  nn::ModuleList<transformer::PreNormBlock> blocks_{this, "blocks"};
};

/// Normal distributions at every step: mean and deviation [N, T, out].
struct Gaussian {
  Tensor mean, deviation;
};

/// q(z | x_obs) or p(x | z): a SeriesNetwork, then μ = W_μ h and σ = σ_0 + (1 − σ_0) softplus(W_σ h).
class GaussianNetwork : public nn::Module {
 public:
  GaussianNetwork(nn::Module* parent, std::string name, int64_t inputs, int64_t outputs, double least_deviation,
                  const NetworkOptions& options);
  Gaussian operator()(const Tensor& x, const Tensor& times, const Tensor& valid) const;

 private:
  double least_;
  SeriesNetwork network_;
  nn::Linear mean_, deviation_;
};
using GaussianEncoder = GaussianNetwork;
using GaussianDecoder = GaussianNetwork;

/// σ_0 + (1 − σ_0) softplus(x).
Tensor bounded_deviation(const Tensor& x, double least);

/// p(s | x') for values that are not missing at random: logits tanh(W_1 x') → W_2, step by step, of which entries are observed. The
/// released code puts the logits through tanh, which holds probabilities between 0.27 and 0.73: `bounded_logits`.
class MissingnessModel : public nn::Module {
 public:
  MissingnessModel(nn::Module* parent, std::string name, int64_t channels, int64_t width, bool bounded_logits);
  /// Σ over valid steps and channels of log Bernoulli(kept | logits): imputed and kept [N, T, D], valid [N, T] → [N].
  Tensor log_probability(const Tensor& imputed, const Tensor& kept, const Tensor& valid) const;

 private:
  bool bounded_;
  nn::Linear hidden_, logits_;
};

enum class Aggregation : uint8_t { mean, max };

/// p(y | x'): a token made of static features in front (if there are any), a SeriesNetwork that sees all valid steps, their mean or
/// largest, and logits [N, classes].
class SeriesClassifier : public nn::Module {
 public:
  SeriesClassifier(nn::Module* parent, std::string name, int64_t inputs, int64_t classes, int64_t statics, Aggregation aggregation,
                   NetworkOptions options);
  /// x [N, T, inputs], times and valid [N, T], statics [N, S] or undefined. Throws ValueError where static features are missing or not
  /// expected.
  Tensor operator()(const Tensor& x, const Tensor& times, const Tensor& valid, const Tensor& statics = {}) const;

 private:
  struct StaticToken : nn::Module {
    nn::Linear in, out;
    StaticToken(nn::Module* parent, std::string name, int64_t statics, int64_t width, int64_t channels);
    Tensor operator()(const Tensor& statics) const;
  };
  Aggregation aggregation_;
  std::optional<StaticToken> token_;
  SeriesNetwork network_;
  nn::Linear head_;
};

}  // namespace plumb::methods::supnotmiwae
