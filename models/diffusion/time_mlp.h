// A perceptron that is told its noise level: the network of diffusion and consistency models of vectors and of very small images.
#pragma once
#include <functional>
#include <optional>
#include <vector>

#include "models/nn/containers.h"
#include "models/nn/dropout.h"
#include "models/nn/linear.h"
#include "models/nn/non_scaling_norm.h"
#include "models/nn/norm.h"

namespace plumb::diffusion {

/// What stands before each activation: nothing, layer norm, or layer norm without a learned weight.
enum class HiddenNorm : uint8_t { none, layer, non_scaling };

struct TimeMlpConfig {
  int64_t features = 64;  ///< numbers an example
  std::vector<int64_t> hidden{256, 256, 256};
  bool second_time = false;  ///< told another level beside its own: where a trajectory is to end
  int64_t condition = 0;     ///< numbers of a condition (one-hot classes, a thumbnail) told beside the input; 0: none
  double dropout = 0;        ///< after each activation
  HiddenNorm norm = HiddenNorm::none;
  /// Throws ValueError for what makes no network.
  void check() const;
};

/// Waves of a level c = ¼ ln σ: sin(f c), cos(f c) for f = 1, 2, 4, 8, then c itself: [B] → [B, 9]. Low frequencies, since a consistency
/// model must change slowly with σ (Song & Dhariwal 2024).
Tensor level_waves(const Tensor& noise);

/// Called with a hidden layer's place, from 0 on, and its activation [B, width]; what it returns takes the activation's place.
using LayerHook = std::function<Tensor(size_t place, const Tensor& h)>;

/// F(x, c) for x [B, ..] with `features` numbers an example, c [B] (a Precondition's c_noise) → x's shape: SiLU layers over [x,
/// level_waves(c)]. Weights start normal with variance 1/inputs, the last layer's ten times smaller, biases 0. The second time enters the
/// first layer through weights of its own that start at 0: a network loaded from one without it (load_state, not strict) computes the same
/// until it is trained. A condition enters there too, its weights drawn as the others.
class TimeMlp : public nn::Module {
 public:
  explicit TimeMlp(const TimeMlpConfig& config);
  /// condition [B, ..]. Throws ShapeError for another number of features or of numbers of the condition, ValueError if a second time or a
  /// condition is missing or not known.
  Tensor operator()(const Tensor& x, const Tensor& noise, const Tensor& second = {}, const Tensor& condition = {}) const {
    return forward(x, noise, {}, second, condition);
  }
  /// The same with a hook after every hidden layer: how temporal layers enter from outside.
  Tensor forward(const Tensor& x, const Tensor& noise, const LayerHook& after, const Tensor& second = {},
                 const Tensor& condition = {}) const;
  /// The last hidden layer's activations, [B, hidden.back()]: what a discriminator reads. Throws as operator().
  Tensor features(const Tensor& x, const Tensor& noise, const Tensor& second = {}, const Tensor& condition = {}) const {
    return last_hidden(x, noise, {}, second, condition);
  }
  const TimeMlpConfig& config() const { return config_; }
  /// The weight of the last layer: where gradients of several losses are compared (optim::adaptive_weight).
  const Tensor& last_weight() const { return output_.weight; }

 private:
  Tensor last_hidden(const Tensor& x, const Tensor& noise, const LayerHook& after, const Tensor& second, const Tensor& condition) const;
  Tensor activated(const Tensor& y, size_t layer) const;
  TimeMlpConfig config_;
  nn::Linear input_;
  nn::ModuleList<nn::Linear> hidden_;
  nn::Linear output_;
  nn::Dropout dropout_;
  std::optional<nn::Linear> second_, condition_;
  nn::ModuleList<nn::LayerNorm> norms_;
  nn::ModuleList<nn::NonScalingNorm> non_scaling_norms_;
};

}  // namespace plumb::diffusion
