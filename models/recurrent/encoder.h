// Recurrent encoders: a sequence of tokens or of vectors becomes one vector, and a classifier on it.
#pragma once
#include <optional>
#include <string>

#include "models/nn/dropout.h"
#include "models/nn/embedding.h"
#include "models/nn/linear.h"
#include "models/nn/recurrent.h"

namespace plumb::recurrent {

struct RecurrentConfig {
  std::string cell = "lstm";  ///< lstm or gru
  int64_t vocab = 0;          ///< tokens, which an embedding turns into vectors; 0: the input is vectors
  int64_t padding = 0;        ///< the token that fills short sequences, embedded as 0; −1: none
  int64_t inputs = 64;        ///< numbers of an input vector or of an embedding
  int64_t hidden = 128;       ///< state of each layer and direction
  int64_t layers = 1;
  bool bidirectional = false;
  double dropout = 0;            ///< of embeddings, between layers and before the classifier
  std::string pooling = "last";  ///< last, mean, max or attention
  int64_t attention = 64;        ///< width of the attention's hidden layer
  int64_t classes = 2;           ///< of the classifier

  /// An object with these names. from_json takes missing ones from the defaults and throws ConfigError for values that make no model.
  std::string to_json() const;
  static RecurrentConfig from_json(const std::string& json);
  /// Throws ConfigError naming what is out of range.
  void check() const;
};

/// α_t = softmax_t(context · tanh(W h_t + b)) over the steps whose mask is true (Yang et al., NAACL 2016): states [B, T, width], mask [B,
/// T] bool → [B, T], each row summing to 1 (to 0 where no step counts).
class StepAttention : public nn::Module {
 public:
  StepAttention(int64_t width, int64_t inner);
  Tensor operator()(const Tensor& states, const Tensor& mask) const;

 private:
  nn::Linear hidden_, context_;
};

class RecurrentEncoder : public nn::Module {
 public:
  struct Encoded {
    Tensor vector;     ///< [B, width()]
    Tensor states;     ///< [B, T, width()], 0 beyond the end of a sequence
    Tensor attention;  ///< [B, T] with attention pooling, else undefined
  };

  /// Layers start as nn::LSTM and nn::GRU do. Throws ConfigError as RecurrentConfig::check.
  explicit RecurrentEncoder(const RecurrentConfig& config);
  RecurrentEncoder(Module* parent, std::string name, const RecurrentConfig& config) : RecurrentEncoder(config) {
    join(parent, std::move(name));
  }

  /// tokens [B, T], or vectors [B, T, inputs] → a vector for each sequence:
  ///   last       the last layer's state after the last real step; the backward direction's is the one after the first step
  ///   mean, max  of the last layer's states over the real steps (0 for a sequence without any)
  ///   attention  Σ_t α_t h_t
  /// mask [B, T] bool: true for the real steps, which must come before the padding; the layers stop at their end, so padding changes
  /// nothing. Throws ShapeError for sizes that do not fit, ValueError for a mask with a gap.
  Encoded encode(const Tensor& x, const Tensor& mask = {}) const;
  Tensor operator()(const Tensor& x, const Tensor& mask = {}) const { return encode(x, mask).vector; }
  /// hidden, twice for two directions.
  int64_t width() const { return config_.hidden * (config_.bidirectional ? 2 : 1); }
  const RecurrentConfig& config() const { return config_; }

 private:
  struct Run {
    Tensor states, last;
  };
  Run run(const Tensor& x, const Tensor& lengths) const;
  RecurrentConfig config_;
  std::optional<nn::Embedding> embedding_;
  nn::Dropout dropout_;
  std::optional<nn::LSTM> lstm_;  // one of the two, under the name "rnn"
  std::optional<nn::GRU> gru_;
  std::optional<StepAttention> attention_;
};

/// classifier(dropout(encoder(x))): tokens [B, T] or vectors [B, T, inputs] → logits [B, classes].
class RecurrentClassifier : public nn::Module {
 public:
  explicit RecurrentClassifier(const RecurrentConfig& config)
      : encoder(this, "encoder", config),
        dropout_(this, "dropout", config.dropout),
        classifier(this, "classifier", encoder.width(), config.classes) {}
  Tensor operator()(const Tensor& x, const Tensor& mask = {}) const { return classifier(dropout_(encoder(x, mask))); }

  RecurrentEncoder encoder;

 private:
  nn::Dropout dropout_;

 public:
  nn::Linear classifier;
};

/// How many steps of each row are real, i64 [B], for mask [B, T] bool. Throws ShapeError for another rank, ValueError naming the row where
/// a real step follows a padded one.
Tensor lengths_of(const Tensor& mask);

}  // namespace plumb::recurrent
