// A residual perceptron over symbols of which some are missing.
#pragma once
#include "models/nn/containers.h"
#include "models/nn/linear.h"

namespace plumb::any_order {

struct SymbolMlpConfig {
  int64_t variables = 16, symbols = 2;  ///< D and K
  int64_t width = 256, layers = 3;      ///< hidden layers, the first of them included
  int64_t outputs = 1;
  /// Throws ValueError for what makes no network.
  void check() const;
};

/// x [B, D], symbols 0 … K, 0 for missing → [B, outputs]:
///   h = LeakyReLU(W₁ one_hot(x)),   h ← h + LeakyReLU(W h) for each further layer,   W_out h
/// One-hot with K + 1 places a variable, variable by variable; slope 0.01.
class SymbolMlp : public nn::Module {
 public:
  explicit SymbolMlp(const SymbolMlpConfig& config);
  SymbolMlp(nn::Module* parent, std::string name, const SymbolMlpConfig& config) : SymbolMlp(config) { join(parent, std::move(name)); }
  /// Throws ShapeError for another number of variables, IndexError for a symbol outside 0 … K.
  Tensor operator()(const Tensor& x) const;
  const SymbolMlpConfig& config() const { return config_; }

 private:
  SymbolMlpConfig config_;
  nn::Linear input_;
  nn::ModuleList<nn::Linear> hidden_;
  nn::Linear output_;
};

}  // namespace plumb::any_order
