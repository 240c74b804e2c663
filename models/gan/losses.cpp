// Adversarial losses and penalties on gradients.
#include "models/gan/losses.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "engine/autograd/backward.h"
#include "engine/core/error.h"
#include "ops/activation.h"
#include "ops/elementary.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::gan {
namespace {

constexpr std::array kNames{"non_saturating", "hinge", "least_squares", "wasserstein"};

// Σ over all but the batch of the squared gradient of `outputs`' sum.
Tensor squared_slopes(const Tensor& outputs, const Tensor& inputs) {
  Tensor slope = grad({sum(outputs)}, {inputs}, {.create_graph = true})[0];
  return sum(square(flatten(slope, 1)), {1});
}

}  // namespace

GanLoss gan_loss_named(const std::string& name) {
  auto found = std::ranges::find(kNames, name);
  if (found == kNames.end())
    throw ConfigError("gan: loss \"" + name + "\" is unknown; choose non_saturating, hinge, least_squares or wasserstein");
  return static_cast<GanLoss>(found - kNames.begin());
}

const char* name(GanLoss loss) { return kNames[static_cast<size_t>(loss)]; }

Tensor discriminator_loss(GanLoss loss, const Tensor& real, const Tensor& generated) {
  switch (loss) {
    case GanLoss::hinge: return mean(relu(1 - real)) + mean(relu(1 + generated));
    case GanLoss::least_squares: return 0.5 * (mean(square(real - 1)) + mean(square(generated)));
    case GanLoss::wasserstein: return mean(generated) - mean(real);
    default: return mean(softplus(-real)) + mean(softplus(generated));
  }
}

Tensor generator_loss(GanLoss loss, const Tensor& generated) {
  switch (loss) {
    case GanLoss::hinge:
    case GanLoss::wasserstein: return -mean(generated);
    case GanLoss::least_squares: return 0.5 * mean(square(generated - 1));
    default: return mean(softplus(-generated));
  }
}

Tensor r1_penalty(const Tensor& logits, const Tensor& images) { return mean(squared_slopes(logits, images)); }

Tensor gradient_penalty(const std::function<Tensor(const Tensor&)>& discriminator, const Tensor& real, const Tensor& generated,
                        Generator& random) {
  if (real.shape() != generated.shape())
    throw ShapeError("gradient_penalty: real images are " + to_string(real.shape()) + ", generated ones " + to_string(generated.shape()));
  Shape one_each = Shape::filled(real.rank(), 1);
  one_each[0] = real.size(0);
  Tensor share = rand(one_each, {.dtype = real.dtype(), .device = real.device(), .generator = &random});
  Tensor between = lerp(real.detach(), generated.detach(), share).detach().requires_grad_();
  return mean(square(sqrt(squared_slopes(discriminator(between), between) + 1e-12) - 1));
}

Tensor path_lengths(const Tensor& images, const Tensor& w, Generator& random) {
  int64_t places = images.rank() <= 2 ? 1 : images.numel() / std::max<int64_t>(1, images.size(0) * images.size(1));
  Tensor noise = randn_like(images, &random) / std::sqrt(static_cast<double>(places));
  Tensor slope = grad({sum(images * noise)}, {w}, {.create_graph = true})[0];
  return sqrt(mean(sum(square(slope), {2}), {1}));
}

}  // namespace plumb::gan
