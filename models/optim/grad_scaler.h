// Scaling of the loss for training in f16, whose gradients would otherwise vanish below 6e-8.
#pragma once
#include <vector>

#include "models/optim/optimizer.h"

namespace plumb::optim {

struct GradScalerOptions {
  double scale = 65536;            ///< at the start
  double growth = 2;               ///< its factor after `growth_interval` steps in a row whose gradients were finite
  double backoff = 0.5;            ///< its factor after a step whose gradients were not
  int64_t growth_interval = 2000;
  void check() const;
};

/// Dynamic loss scaling (Micikevicius et al., ICLR 2018): gradients of scale · loss fill f16's range; they are divided again before they
/// are used. A step whose gradients overflow is left out, and the scale falls; after many without, it rises.
///
///   { Autocast cast(f16);  loss = …; }
///   scaler.scaled(loss).backward();
///   scaler.step(adamw);
class GradScaler {
 public:
  explicit GradScaler(GradScalerOptions options = {});
  double scale() const { return scale_; }
  /// scale() · loss. Throws DTypeError for a loss of a 16-bit type, which the scale would overflow: to(loss, f32).
  Tensor scaled(const Tensor& loss) const;
  /// Divides the gradients of `parameters` by scale(): for clipping or transforms of one's own before update().
  void unscale(const std::vector<Tensor>& parameters) const;
  /// After a step, made or left out: whether its gradients were finite.
  void update(bool finite);
  /// unscale, then the optimiser's step if all gradients are finite, then update. Returns whether the step was made.
  bool step(Optimizer& optimizer);

  /// How many steps since the scale last changed; for checkpoints, with scale().
  int64_t steps_since_change() const { return steps_; }
  void set_state(double scale, int64_t steps_since_change);

 private:
  GradScalerOptions options_;
  double scale_;
  int64_t steps_ = 0;
};

}  // namespace plumb::optim
