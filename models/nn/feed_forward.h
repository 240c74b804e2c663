// The feed-forward network of a transformer block, plain or gated.
#pragma once
#include <optional>

#include "models/nn/activation.h"
#include "models/nn/bottleneck.h"
#include "models/nn/dropout.h"
#include "models/nn/linear.h"

namespace plumb::nn {

struct FeedForwardOptions {
  ActivationKind activation = ActivationKind::gelu;
  bool gated = false;  ///< with silu SwiGLU, with gelu GEGLU
  bool bias = true;
  double dropout = 0;  ///< of the result, in training mode
  DType dtype = f32;
  Device device = {};
};

/// down(a(up(x))); gated: down(a(gate(x)) ⊙ up(x)) (Shazeer 2020). x [.., width] → [.., width], `inner` wide in between.
class FeedForward : public Module, public BottleneckPlace {
 public:
  FeedForward(int64_t width, int64_t inner, FeedForwardOptions options = {});
  FeedForward(Module* parent, std::string name, int64_t width, int64_t inner, FeedForwardOptions options = {})
      : FeedForward(width, inner, options) {
    join(parent, std::move(name));
  }
  Tensor operator()(const Tensor& x) const;
  int64_t output_width() const override { return down.weight.size(0); }

  std::optional<Linear> gate;
  Linear up, down;

 private:
  Dropout dropout_;
  ActivationKind activation_;
};

}  // namespace plumb::nn
