// A mixture of small experts for tables: linear ones, or perceptrons with one hidden layer, under a gate that sees the same row.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "models/moe/experts.h"
#include "models/nn/linear.h"

namespace plumb::moe {

struct TabularMoeConfig {
  int64_t inputs = 0;
  int64_t outputs = 1;  ///< numbers to predict, or classes; 1 for two classes
  int64_t experts = 4;
  int64_t hidden = 0;               ///< width of each expert's hidden layer; 0: linear experts
  int64_t top_k = 0;                ///< experts of a row, their gates divided by their sum; 0: all
  std::string activation = "relu";  ///< of hidden layers: gelu, gelu_tanh, relu or silu

  /// An object with these names. from_json takes missing ones from the defaults and throws ConfigError for values that make no model.
  std::string to_json() const;
  static TabularMoeConfig from_json(const std::string& json);
  /// Throws ConfigError naming what is out of range.
  void check() const;
};

/// Experts s_e(x), gates g(x) = softmax(V x + c) (Jacobs et al. 1991). For numbers the prediction is Σ_e g_e s_e; for classes the experts
/// are classifiers, p(y|x) = Σ_e g_e p_e(y|x), p_e the softmax of s_e, with one output its sigmoid. Rows are x [B, inputs] (ShapeError
/// otherwise).
class TabularMoe : public nn::Module {
 public:
  /// Layers start as nn::Linear. Throws ConfigError as check().
  explicit TabularMoe(const TabularMoeConfig& config);

  /// Σ_e g_e s_e: [B, outputs]. With top_k only the chosen experts are computed.
  Tensor operator()(const Tensor& x) const;
  /// g: [B, E], rows sum to 1.
  Tensor gates(const Tensor& x) const;
  /// s: [B, E, outputs], all of them.
  Tensor expert_outputs(const Tensor& x) const;
  /// p(y|x): [B, outputs]; with one output that of class 1, [B, 1].
  Tensor probabilities(const Tensor& x) const;
  /// log g_e + log p_e(y|x): [B, E], for labels y [B] (integers). Throws IndexError for a label outside the classes.
  Tensor log_joint(const Tensor& x, const Tensor& label) const;
  /// −mean log p(y|x).
  Tensor negative_log_likelihood(const Tensor& x, const Tensor& label) const;
  /// p(e|x, y), how much each expert answers for a row: [B, E].
  Tensor responsibilities(const Tensor& x, const Tensor& label) const;

  /// One more expert: the mean of the others' weights + N(0, deviation²), and a gate of N(0, deviation²), from the default generator.
  /// Make optimisers afterwards, also after keep_experts. Throws ValueError for a negative deviation.
  void add_expert(double deviation = 0.05);
  /// Only these experts, in this order. Throws ValueError for none or fewer than top_k, IndexError for one that there is not.
  void keep_experts(const std::vector<int64_t>& experts);
  int64_t experts() const { return config_.experts; }
  const TabularMoeConfig& config() const { return config_; }

  nn::Linear gate;
  GroupedLinear first;  ///< of linear experts the only one
  std::optional<GroupedLinear> second;

 private:
  void check_rows(const Tensor& x) const;
  Tensor log_gates(const Tensor& x) const;
  template <typename F>
  void replace_experts(F&& f);

  TabularMoeConfig config_;
};

}  // namespace plumb::moe
