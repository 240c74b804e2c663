// A one-step generator that is given a control it did not have: the generator stays as it is, a small network corrects its output.
#pragma once
#include <functional>
#include <vector>

#include "models/nn/containers.h"
#include "models/nn/linear.h"

namespace plumb::methods {

/// x = f(z): z [B, ..] → x [B, ..].
using OneStepGenerator = std::function<Tensor(const Tensor& z)>;
/// x = g(z, c), c [B, ..].
using ControlledGenerator = std::function<Tensor(const Tensor& z, const Tensor& control)>;

struct ControlAdapterConfig {
  int64_t noise = 2;    ///< numbers of z
  int64_t control = 4;  ///< numbers of c
  int64_t outputs = 2;  ///< numbers of x
  std::vector<int64_t> hidden{128, 128};
  bool sees_output = false;  ///< f(z) is an input beside z and c
  /// Throws ValueError for what makes no network.
  void check() const;
};

/// The correction A(z, c[, f(z)]): SiLU layers with weights N(0, 2/inputs) and a last layer of zeros, so that g = f before training.
class ControlAdapter : public nn::Module {
 public:
  explicit ControlAdapter(const ControlAdapterConfig& config);
  /// In x's shape: z [B, ..], c [B, ..], x = f(z). Throws ShapeError for other numbers.
  Tensor operator()(const Tensor& z, const Tensor& control, const Tensor& x) const;
  const ControlAdapterConfig& config() const { return config_; }

 private:
  ControlAdapterConfig config_;
  nn::ModuleList<nn::Linear> layers_;
};

/// g(z, c) = f(z) + A(z, c, f(z)); no gradient goes to f. The adapter must outlive it.
ControlledGenerator adapted(OneStepGenerator frozen, const ControlAdapter& adapter);

}  // namespace plumb::methods
