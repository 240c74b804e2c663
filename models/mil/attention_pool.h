// Attention-based multiple-instance learning (Ilse, Tomczak & Welling, ICML 2018): a label for a bag of instances, and who gave it.
#pragma once
#include <optional>
#include <string>

#include "models/nn/dropout.h"
#include "models/nn/linear.h"

namespace plumb::mil {

struct AbmilConfig {
  int64_t inputs = 512;     ///< numbers an instance
  int64_t width = 0;        ///< of relu(projection) and dropout in front of the attention; 0: none, instances are pooled as they come
  int64_t attention = 128;  ///< hidden units of the attention
  bool gated = true;        ///< (⊙ σ(U h + c))
  std::string activation = "tanh";  ///< tanh, or relu
  bool attention_bias = true;
  double dropout = 0;  ///< of projected instances
  int64_t classes = 2;

  std::string to_json() const;
  static AbmilConfig from_json(const std::string& json);
  /// Throws ConfigError naming what is out of range.
  void check() const;
};

/// a_n = softmax_n(wᵀ (act(V h_n + b) ⊙ σ(U h_n + c))), without the second factor if not gated; z = Σ_n a_n h_n.
class AttentionPool : public nn::Module {
 public:
  struct Options {
    int64_t attention = 128;
    bool gated = true;
    bool relu = false;  ///< act; else tanh
    bool bias = true;
  };
  struct Pooled {
    Tensor vector;     ///< z [B, width]
    Tensor attention;  ///< a [B, N], each row summing to 1 over the instances that are there
  };
  AttentionPool(int64_t width, Options options);
  /// h [B, N, width]; mask [B, N] bool, true where an instance is there (bags differ in size); undefined: all. An empty bag gives zeros.
  Pooled operator()(const Tensor& h, const Tensor& mask = {}) const;
  /// What the softmax is taken of, [B, N].
  Tensor scores(const Tensor& h) const;

 private:
  bool relu_;
  nn::Linear v_;
  std::optional<nn::Linear> u_;
  nn::Linear w_;
};

/// classifier(pool(dropout(relu(projection(x))))). Names: projection, pool.attention_V, pool.attention_U, pool.attention_w (after the
/// authors' code, where they are steps of Sequentials), classifier.
class Abmil : public nn::Module {
 public:
  struct Answer {
    Tensor logits;     ///< [B, classes]
    Tensor bag;        ///< z [B, width]
    Tensor attention;  ///< [B, N]
  };
  /// Layers start as nn::Linear does. Throws ConfigError as AbmilConfig::check.
  explicit Abmil(const AbmilConfig& config);
  /// bags x [B, N, inputs], mask as AttentionPool. Throws ShapeError for other sizes.
  Answer answer(const Tensor& x, const Tensor& mask = {}) const;
  Tensor operator()(const Tensor& x, const Tensor& mask = {}) const { return answer(x, mask).logits; }
  /// The parts, for methods that come between them: instances as the attention sees them, [B, N, width].
  Tensor instances(const Tensor& x) const;
  Answer pooled(const Tensor& instances, const Tensor& mask = {}) const;
  /// What the classifier alone makes of vectors [.., width].
  Tensor classify(const Tensor& vectors) const { return classifier_(vectors); }
  const AbmilConfig& config() const { return config_; }

 private:
  AbmilConfig config_;
  std::optional<nn::Linear> projection_;
  nn::Dropout dropout_;
  AttentionPool pool_;
  nn::Linear classifier_;
};

}  // namespace plumb::mil
